//! The chart of speeds over runs: each run, their moving average, what was usual, and what was not.

use std::fmt::Write;
use std::ops::Range;

use super::chart::{self, Chart, Table, WIDE, level, middle};
use super::course;
use super::document::Document;
use super::html::Html;
use super::runs;
use super::scale::{self, Scale, number, percent};
use crate::model::{Direction, RunStatus};
use crate::ui::history::Entry;
use crate::ui::units;
use crate::ui::wording::finding as wording;

/// Pixels from top to ground.
const HEIGHT: u32 = 240;

/// Runs, or groups of neighbouring ones, that are drawn.
const DRAWN: usize = 240;

/// The baseline's upper end is drawn up to this many times the highest speed.
const HEADROOM: f64 = 1.15;

/// Draws the chart, its key and its numbers.
pub(super) fn draw(html: &mut Html, document: &Document<'_>) {
    let runs = &document.history.runs;
    let best = runs
        .iter()
        .filter_map(|entry| speed(entry))
        .fold(0.0, f64::max);
    if best <= 0.0 {
        html.leaf(
            "p",
            &[("class", "none")],
            "No run has been published yet, so there is no speed to show.",
        );
        return;
    }
    let scale = Scale::reaching(reach(document, best), 4);
    let groups = course::groups(runs.len(), DRAWN);
    chart::key(html, &marks(document, groups.len() < runs.len()));
    html.leaf("p", &[("class", "unit")], "rows/s");
    let chart = Chart {
        id: "speed",
        title: "Throughput over runs",
        about: &about(document, best),
        height: HEIGHT,
    };
    chart.draw(html, |html| {
        chart::vertical(html, &scale, HEIGHT, scale::count);
        runs::dates(html, runs, HEIGHT);
        chart::stretched(html, HEIGHT, |html| lines(html, document, &scale));
        for group in &groups {
            let told = runs::told(document, group);
            chart::pointed(html, group, (runs.len(), HEIGHT), &told, |html| {
                mark(html, document, group, &scale);
            });
        }
        newest(html, document, &scale);
    });
    note(html, document);
    chart::numbers(html, &numbers(document));
}

/// The speed of a run that has one.
fn speed(entry: &Entry<'_>) -> Option<f64> {
    let run = entry.run;
    (run.status == RunStatus::Success && run.throughput > 0.0).then_some(run.throughput)
}

/// What the axis has to reach.
fn reach(document: &Document<'_>, best: f64) -> f64 {
    let usual = document.course.iter().filter_map(|point| point.usual);
    let high = usual.map(|usual| usual.high).fold(best, f64::max);
    high.min(best * HEADROOM)
}

fn marks(document: &Document<'_>, grouped: bool) -> Vec<(&'static str, &'static str)> {
    let course = &document.course;
    let is = |found: bool, mark: (&'static str, &'static str)| found.then_some(mark);
    let anomaly = |direction| {
        let mut runs = document.history.runs.iter();
        runs.any(|entry| {
            entry
                .run
                .anomaly
                .is_some_and(|one| one.direction == direction)
        })
    };
    let unpublished = document
        .history
        .runs
        .iter()
        .any(|entry| speed(entry).is_none());
    let set_apart = course.iter().zip(&document.history.runs);
    let set_apart = set_apart.filter(|(point, entry)| !point.clean && speed(entry).is_some());
    [
        Some(match grouped {
            true => ("k-dot", "runs, several in a bar from slowest to fastest"),
            false => ("k-dot", "a run"),
        }),
        is(
            set_apart.count() > 0,
            ("k-ring", "one that plans do not learn from"),
        ),
        is(
            course.len() > 1,
            ("k-average", "moving average, the newest counting 30 %"),
        ),
        is(
            course.iter().any(|point| point.usual.is_some()),
            ("k-usual", "usual: mean ± 2σ of the clean runs before"),
        ),
        is(
            anomaly(Direction::Degradation),
            ("k-slow", "much slower than usual"),
        ),
        is(
            anomaly(Direction::Improvement),
            ("k-fast", "much faster than usual"),
        ),
        is(unpublished, ("k-cross", "not published")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The chart in a sentence.
fn about(document: &Document<'_>, best: f64) -> String {
    let speeds: Vec<f64> = document.history.runs.iter().filter_map(speed).collect();
    let least = speeds.iter().copied().fold(best, f64::min);
    let newest = speeds.last().copied().unwrap_or(best);
    let anomalies = document
        .history
        .runs
        .iter()
        .filter(|entry| entry.run.anomaly.is_some());
    format!(
        "{} with a speed, oldest first, from {} to {}; the newest {}; {} out of the ordinary.",
        units::plural(speeds.len() as u64, "run"),
        units::rate(least),
        units::rate(best),
        units::rate(newest),
        anomalies.count()
    )
}

/// The band of what was usual, and the moving average.
fn lines(html: &mut Html, document: &Document<'_>, scale: &Scale) {
    let n = document.course.len();
    let x = |at: usize| number(middle(&(at..at + 1), n) * WIDE);
    let y = |value: f64| number(level(scale, value, HEIGHT));
    let points = || document.course.iter().enumerate();
    let usual: Vec<_> = points()
        .filter_map(|(at, point)| Some((at, point.usual?)))
        .collect();
    let mut band = String::new();
    let there = usual.iter().map(|(at, usual)| (*at, usual.high));
    let back = usual.iter().rev().map(|(at, usual)| (*at, usual.low));
    for (at, value) in there.chain(back) {
        let step = if band.is_empty() { 'M' } else { 'L' };
        // Writing to a string cannot fail.
        let _ = write!(band, "{step}{} {}", x(at), y(value));
    }
    if usual.len() > 1 {
        band.push('Z');
        chart::path(html, "band", &band);
    }
    let mut average = String::new();
    for (at, value) in points().filter_map(|(at, point)| Some((at, point.average?))) {
        let step = if average.is_empty() { 'M' } else { 'L' };
        let _ = write!(average, "{step}{} {}", x(at), y(value));
    }
    if n > 1 {
        chart::path(html, "average", &average);
    }
}

/// A run, or what several came to.
fn mark(html: &mut Html, document: &Document<'_>, group: &Range<usize>, scale: &Scale) {
    let entries = &document.history.runs[group.clone()];
    let x = percent(middle(group, document.history.runs.len()));
    let y = |value: f64| number(level(scale, value, HEIGHT));
    let speeds: Vec<f64> = entries.iter().filter_map(speed).collect();
    let (least, most) = speeds.iter().fold((f64::MAX, 0.0), |(least, most), speed| {
        (speed.min(least), speed.max(most))
    });
    match entries {
        [one] if !speeds.is_empty() => {
            let clean = document.course[group.start].clean;
            let (class, r) = if clean { ("dot", "3.5") } else { ("ring", "3") };
            let circle = [
                ("class", class),
                ("cx", x.as_str()),
                ("cy", &y(most)),
                ("r", r),
            ];
            html.leaf("circle", &circle, "");
            if document.place() == Some(group.start) {
                let circle = [
                    ("class", "chosen"),
                    ("cx", x.as_str()),
                    ("cy", &y(one.run.throughput)),
                    ("r", "7"),
                ];
                html.leaf("circle", &circle, "");
            }
        }
        _ if !speeds.is_empty() => chart::line(html, "several", (&x, &x), (&y(least), &y(most))),
        _ => {}
    }
    let unpublished = entries.iter().any(|entry| speed(entry).is_none());
    if unpublished {
        chart::words(html, "cross", (&x, f64::from(HEIGHT) - 3.0), "middle", "×");
    }
    // Of several, the one that is furthest out.
    let anomalies = entries
        .iter()
        .filter_map(|entry| entry.run.anomaly.as_ref());
    if let Some(anomaly) = anomalies.max_by(|one, other| one.z.total_cmp(&other.z)) {
        let at = level(scale, anomaly.throughput, HEIGHT);
        let (class, sign, at) = match anomaly.direction {
            Direction::Degradation => ("slow", "▼", at + 17.0),
            Direction::Improvement => ("fast", "▲", at - 8.0),
        };
        chart::words(
            html,
            class,
            (&x, at.clamp(10.0, f64::from(HEIGHT) - 2.0)),
            "middle",
            sign,
        );
    }
}

/// The newest speed, written beside its mark.
fn newest(html: &mut Html, document: &Document<'_>, scale: &Scale) {
    let runs = &document.history.runs;
    let published = runs.iter().enumerate().rev();
    let Some((at, speed)) = published
        .filter_map(|(at, entry)| Some((at, speed(entry)?)))
        .next()
    else {
        return;
    };
    let share = middle(&(at..at + 1), runs.len());
    let y = level(scale, speed, HEIGHT) - 12.0;
    let anchor = if runs.len() == 1 { "middle" } else { "end" };
    let x = if runs.len() == 1 {
        share
    } else {
        (share + 0.01).min(1.0)
    };
    chart::words(
        html,
        "label",
        (&percent(x), y.max(10.0)),
        anchor,
        &units::rate(speed),
    );
}

/// What is missing, and from when on it will not be.
fn note(html: &mut Html, document: &Document<'_>) {
    let clean = document.course.iter().filter(|point| point.clean).count();
    if document.course.iter().all(|point| point.usual.is_none()) {
        let words = format!(
            "{} so far: what is usual is known after five, and shows from the next run on.",
            units::plural(clean as u64, "clean run")
        );
        html.leaf("p", &[("class", "note")], &words);
    }
}

fn numbers(document: &Document<'_>) -> Table<'static> {
    let rate = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), units::rate);
    let runs = document.history.runs.iter().zip(&document.course).rev();
    let rows = runs.take(runs::LISTED).map(|(entry, point)| {
        let usual = point
            .usual
            .map(|usual| format!("{} to {}", units::rate(usual.low), units::rate(usual.high)));
        let anomaly = entry.run.anomaly.as_ref().map(wording::anomaly);
        vec![
            entry.tag.to_owned(),
            runs::moment(entry.run.started_at),
            entry.run.workers.to_string(),
            rate(speed(entry)),
            rate(point.average),
            usual.unwrap_or_else(|| "-".to_owned()),
            anomaly.unwrap_or_else(|| runs::status(entry)),
        ]
    });
    Table {
        caption: "Speeds as a table, newest first",
        header: &[
            "run",
            "started (UTC)",
            "workers",
            "speed",
            "average",
            "usual",
            "",
        ],
        right: &[2, 3, 4, 5],
        rows: rows.collect(),
    }
}
