//! How long chunks took and how large they were: histograms.

use super::chart::{self, Chart, Table, level};
use super::document::Document;
use super::html::Html;
use super::scale::{self, Scale, number, percent};
use crate::model::{ChunkRecord, ChunkStatus};
use crate::ui::units;

/// Pixels from top to ground.
const HEIGHT: u32 = 120;

/// Bars, about.
const BARS: u32 = 16;

/// One histogram.
struct Histogram {
    /// The axis, a bar between two ticks.
    axis: Scale,
    /// Chunks a bar.
    bars: Vec<u32>,
    /// The middle value; of an even number the upper one.
    median: f64,
}

impl Histogram {
    /// Of values, at least one.
    fn of(mut values: Vec<f64>, axis: impl Fn(f64, u32) -> Scale) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (median, most) = (*values.get(values.len() / 2)?, *values.last()?);
        let axis = axis(most, BARS);
        let mut bars = vec![0; axis.ticks.len() - 1];
        let last = bars.len() - 1;
        for value in values {
            let at = (axis.share(value) * bars.len() as f64) as usize;
            bars[at.min(last)] += 1;
        }
        Some(Self { axis, bars, median })
    }
}

/// Draws them.
pub(super) fn draw(html: &mut Html, document: &Document<'_>) {
    let finished: Vec<_> = document
        .run
        .chunks
        .iter()
        .map(|one| one.chunk)
        .filter(|chunk| chunk.status == ChunkStatus::Success)
        .collect();
    if finished.len() < 3 {
        let words = match finished.len() {
            0 => "No chunk was finished.",
            _ => "Fewer than three chunks were finished: there is nothing to compare.",
        };
        html.leaf("p", &[("class", "none")], words);
        return;
    }
    let of = |measure: fn(&ChunkRecord) -> u64| -> Vec<f64> {
        finished.iter().map(|chunk| measure(chunk) as f64).collect()
    };
    let clock = |most: f64, about| Scale::time(most as u64, about);
    html.nest("div", &[("class", "several-plots")], |html| {
        if let Some(times) = Histogram::of(of(|chunk| chunk.duration_ms), clock) {
            let end = times.axis.end();
            let label = |value| scale::time(value, end);
            one(html, &times, ("durations", "How long chunks took"), &label);
        }
        if let Some(rows) = Histogram::of(of(|chunk| chunk.rows), Scale::reaching) {
            one(html, &rows, ("rows", "Rows of chunks"), &scale::count);
        }
        if let Some(bytes) = Histogram::of(of(|chunk| chunk.bytes), Scale::reaching) {
            one(
                html,
                &bytes,
                ("bytes", "Written bytes of chunks"),
                &scale::bytes,
            );
        }
    });
}

fn one(
    html: &mut Html,
    histogram: &Histogram,
    (id, title): (&'static str, &str),
    label: &dyn Fn(f64) -> String,
) {
    let bars = &histogram.bars;
    let most = bars.iter().copied().max().unwrap_or(1);
    let (scale, n) = (Scale::whole(most, 3), bars.len());
    let median = label(histogram.median);
    let chart = Chart {
        id,
        title,
        about: &format!(
            "{} chunks, half of them up to {median}.",
            bars.iter().sum::<u32>()
        ),
        height: HEIGHT,
    };
    html.nest("figure", &[], |html| {
        html.leaf("h3", &[], title);
        html.leaf("p", &[("class", "unit")], "chunks");
        chart.draw(html, |html| {
            chart::vertical(html, &scale, HEIGHT, scale::count);
            chart::horizontal(html, &ends(&histogram.axis, label), false, HEIGHT);
            for (at, count) in bars.iter().enumerate().filter(|(_, count)| **count > 0) {
                let told = format!(
                    "{}: {}",
                    range(&histogram.axis, at, label),
                    units::plural(u64::from(*count), "chunk")
                );
                chart::pointed(html, &(at..at + 1), (n, HEIGHT), &told, |html| {
                    let top = level(&scale, f64::from(*count), HEIGHT);
                    let shape = [
                        ("class", "bar"),
                        ("x", &percent((at as f64 + 0.06) / n as f64)),
                        ("width", &percent(0.88 / n as f64)),
                        ("y", &number(top)),
                        ("height", &number(f64::from(HEIGHT) - top)),
                    ];
                    html.leaf("rect", &shape, "");
                });
            }
            let share = histogram.axis.share(histogram.median);
            let x = percent(share);
            chart::line(html, "median", (&x, &x), ("0", &HEIGHT.to_string()));
            let (anchor, text) = match share > 0.6 {
                true => ("end", format!("median {median} ")),
                false => ("start", format!(" median {median}")),
            };
            let beside = if share > 0.6 {
                share - 0.015
            } else {
                share + 0.015
            };
            chart::words(html, "label", (&percent(beside), -4.0), anchor, text.trim());
        });
        table(html, histogram, title, label);
    });
}

fn range(axis: &Scale, at: usize, label: &dyn Fn(f64) -> String) -> String {
    format!("{} to {}", label(axis.ticks[at]), label(axis.ticks[at + 1]))
}

/// The ends of the axis and its middle.
fn ends(axis: &Scale, label: &dyn Fn(f64) -> String) -> Vec<(f64, String)> {
    let last = axis.ticks.len() - 1;
    let mut places = vec![0, last / 2, last];
    places.dedup();
    let tick = |at: usize| (axis.share(axis.ticks[at]), label(axis.ticks[at]));
    places.into_iter().map(tick).collect()
}

fn table(html: &mut Html, histogram: &Histogram, title: &str, label: &dyn Fn(f64) -> String) {
    let filled = histogram
        .bars
        .iter()
        .enumerate()
        .filter(|(_, count)| **count > 0);
    let rows = filled.map(|(at, count)| vec![range(&histogram.axis, at, label), count.to_string()]);
    chart::numbers(
        html,
        &Table {
            caption: &format!("{title}, as a table"),
            header: &["range", "chunks"],
            right: &[1],
            rows: rows.collect(),
        },
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_value_is_in_one_bar(values in proptest::collection::vec(0.0f64..1e7, 1..200)) {
            let n = values.len() as u32;
            let histogram = Histogram::of(values, Scale::reaching).expect("values");
            prop_assert_eq!(histogram.bars.iter().sum::<u32>(), n);
            prop_assert!(histogram.bars.len() as u32 <= BARS + 1);
        }
    }

    #[test]
    fn nothing_and_equal_values_are_no_trouble() {
        assert!(Histogram::of(Vec::new(), Scale::reaching).is_none());
        let equal = Histogram::of(vec![250_000.0; 12], Scale::reaching).expect("values");
        assert_eq!(equal.bars.iter().max(), Some(&12));
        assert_eq!(equal.median, 250_000.0);
        let none = Histogram::of(vec![0.0; 3], Scale::reaching).expect("values");
        assert_eq!(none.bars[0], 3);
    }
}
