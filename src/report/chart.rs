//! What the charts have in common. Horizontally everything stands at a share of the width and
//! vertically at pixels, so that a chart fits any screen while its text keeps its size.

use jiff::Timestamp;

use super::html::Html;
use super::scale::{Scale, number, percent};

/// Width of the coordinates of stretched shapes.
pub(super) const WIDE: f64 = 1000.0;

/// A chart: its name, what it shows in a sentence for those who do not see it, and its height.
pub(super) struct Chart<'a> {
    /// Its id on the page.
    pub(super) id: &'static str,
    /// Its title.
    pub(super) title: &'a str,
    /// What it shows.
    pub(super) about: &'a str,
    /// Its height in pixels, without what stands below.
    pub(super) height: u32,
}

impl Chart<'_> {
    /// Draws it.
    pub(super) fn draw(&self, html: &mut Html, inside: impl FnOnce(&mut Html)) {
        let (title, about) = (format!("{}-title", self.id), format!("{}-about", self.id));
        html.nest("div", &[("class", "plot")], |html| {
            let labels = format!("{title} {about}");
            let attributes = [
                ("id", self.id),
                ("role", "img"),
                ("aria-labelledby", &labels),
                ("width", "100%"),
                ("height", &self.height.to_string()),
            ];
            html.nest("svg", &attributes, |html| {
                html.leaf("title", &[("id", &title)], self.title);
                html.leaf("desc", &[("id", &about)], self.about);
                inside(html);
            });
        });
    }
}

/// A key: classes of marks, with what they stand for.
pub(super) fn key(html: &mut Html, marks: &[(&'static str, &str)]) {
    html.nest("ul", &[("class", "key")], |html| {
        for (class, words) in marks {
            html.nest("li", &[], |html| {
                html.leaf("i", &[("class", class)], "");
                html.text(words);
            });
        }
    });
}

/// The numbers behind a chart, folded away.
pub(super) fn numbers(html: &mut Html, table: &Table<'_>) {
    html.nest("details", &[], |html| {
        html.leaf("summary", &[], table.caption);
        rows(html, table);
    });
}

/// A table.
pub(super) struct Table<'a> {
    /// What it lists.
    pub(super) caption: &'a str,
    /// The columns' names.
    pub(super) header: &'a [&'a str],
    /// The columns that hold numbers.
    pub(super) right: &'a [usize],
    /// The rows.
    pub(super) rows: Vec<Vec<String>>,
}

/// Draws a table; one that is too wide is scrolled by itself.
pub(super) fn rows(html: &mut Html, table: &Table<'_>) {
    let class = |at: usize| match table.right.contains(&at) {
        true => "n",
        false => "w",
    };
    let scroll = [
        ("class", "scroll"),
        ("tabindex", "0"),
        ("role", "region"),
        ("aria-label", table.caption),
    ];
    html.nest("div", &scroll, |html| {
        html.nest("table", &[], |html| {
            html.nest("thead", &[], |html| {
                html.nest("tr", &[], |html| {
                    for (at, name) in table.header.iter().enumerate() {
                        html.leaf("th", &[("scope", "col"), ("class", class(at))], name);
                    }
                });
            });
            html.nest("tbody", &[], |html| {
                for row in &table.rows {
                    html.nest("tr", &[], |html| {
                        for (at, cell) in row.iter().enumerate() {
                            html.leaf("td", &[("class", class(at))], cell);
                        }
                    });
                }
            });
        });
    });
}

/// Where a value stands above the ground of a chart, in pixels from its top.
pub(super) fn level(scale: &Scale, value: f64, height: u32) -> f64 {
    f64::from(height) * (1.0 - scale.share(value))
}

/// The vertical axis: a line and a label a tick.
pub(super) fn vertical(html: &mut Html, scale: &Scale, height: u32, label: impl Fn(f64) -> String) {
    for tick in &scale.ticks {
        let y = number(level(scale, *tick, height));
        line(html, "grid", ("0", "100%"), (&y, &y));
        let attributes = [("class", "tick"), ("x", "-8"), ("y", &y), ("dy", "0.32em")];
        html.leaf("text", &with_anchor(&attributes, "end"), &label(*tick));
    }
}

/// The horizontal axis below: a label a tick, with a line where they are not bars' own.
pub(super) fn horizontal(html: &mut Html, ticks: &[(f64, String)], lines: bool, height: u32) {
    let (bottom, below) = (height.to_string(), (height + 18).to_string());
    for (at, (share, words)) in ticks.iter().enumerate() {
        let x = percent(*share);
        if lines {
            line(html, "grid", (&x, &x), ("0", &bottom));
        }
        let anchor = match share {
            share if *share <= 0.02 => "start",
            share if *share >= 0.98 => "end",
            _ => "middle",
        };
        // On a phone there is no room for each.
        let every = at == 0 || at + 1 == ticks.len();
        let class = if every { "tick" } else { "tick mid" };
        let attributes = [("class", class), ("x", &x), ("y", &below)];
        html.leaf("text", &with_anchor(&attributes, anchor), words);
    }
}

/// Labels of at most four of so many runs: the days, or the minutes where it was all within two days.
pub(super) fn dates(starts: &[Timestamp]) -> Vec<(f64, String)> {
    let (Some(first), Some(last)) = (starts.first(), starts.last()) else {
        return Vec::new();
    };
    let long = last.duration_since(*first).as_hours() >= 48;
    let format = if long { "%Y-%m-%d" } else { "%m-%d %H:%M" };
    let n = starts.len();
    let mut places = vec![0, n / 3, 2 * n / 3, n - 1];
    places.dedup();
    let mut labels: Vec<(f64, String)> = Vec::new();
    for at in places {
        let words = starts[at].strftime(format).to_string();
        if labels.last().is_none_or(|(_, before)| *before != words) {
            labels.push((middle(&(at..at + 1), n), words));
        }
    }
    labels
}

/// The share of the width at which the middle of these of so many runs stands.
pub(super) fn middle(runs: &std::ops::Range<usize>, all: usize) -> f64 {
    (runs.start + runs.end) as f64 / (2 * all.max(1)) as f64
}

/// A straight line.
pub(super) fn line(
    html: &mut Html,
    class: &'static str,
    (x1, x2): (&str, &str),
    (y1, y2): (&str, &str),
) {
    let ends = [
        ("class", class),
        ("x1", x1),
        ("x2", x2),
        ("y1", y1),
        ("y2", y2),
    ];
    html.leaf("line", &ends, "");
}

/// A text in a chart: anchored at its `start`, `middle` or `end`.
pub(super) fn words(
    html: &mut Html,
    class: &'static str,
    (x, y): (&str, f64),
    anchor: &'static str,
    text: &str,
) {
    let attributes = [("class", class), ("x", x), ("y", &number(y))];
    html.leaf("text", &with_anchor(&attributes, anchor), text);
}

fn with_anchor<'a>(
    attributes: &[(&'static str, &'a str)],
    anchor: &'a str,
) -> Vec<(&'static str, &'a str)> {
    let mut all = attributes.to_vec();
    all.push(("text-anchor", anchor));
    all
}

/// Shapes that are stretched to the chart's width; see [`WIDE`].
pub(super) fn stretched(html: &mut Html, height: u32, inside: impl FnOnce(&mut Html)) {
    let (height, area) = (height.to_string(), format!("0 0 {WIDE} {height}"));
    let attributes = [
        ("width", "100%"),
        ("height", height.as_str()),
        ("viewBox", &area),
        ("preserveAspectRatio", "none"),
    ];
    html.nest("svg", &attributes, inside);
}

/// A path, and what is told of it to those who point at it.
pub(super) fn path(html: &mut Html, class: &'static str, data: &str) {
    html.leaf("path", &[("class", class), ("d", data)], "");
}

/// A mark with what is told of it to those who point at it: a column of the chart's whole height
/// answers, so that small marks are easy to hit.
pub(super) fn pointed(
    html: &mut Html,
    runs: &std::ops::Range<usize>,
    (all, height): (usize, u32),
    told: &str,
    mark: impl FnOnce(&mut Html),
) {
    html.nest("g", &[("class", "one")], |html| {
        html.leaf("title", &[], told);
        let column = [
            ("class", "hit"),
            ("x", &percent(runs.start as f64 / all as f64)),
            ("width", &percent(runs.len() as f64 / all as f64)),
            ("y", "0"),
            ("height", &height.to_string()),
        ];
        html.leaf("rect", &column, "");
        mark(html);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_stands_once() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let starts = [
            "2026-01-01T00:00:00Z",
            "2026-01-01T08:00:00Z",
            "2026-01-09T00:00:00Z",
        ]
        .map(at);
        let words = |starts: &[Timestamp]| -> Vec<String> {
            dates(starts).into_iter().map(|(_, words)| words).collect()
        };
        assert_eq!(words(&starts), ["2026-01-01", "2026-01-09"]);
        assert_eq!(words(&starts[..2]), ["01-01 00:00", "01-01 08:00"]);
        assert_eq!(dates(&starts[..1])[0].0, 0.5);
        assert!(dates(&[]).is_empty());
    }
}
