//! The page: what stands where.

use std::sync::LazyLock;

use sha2::{Digest, Sha256};

use super::chart::{self, Table};
use super::document::Document;
use super::html::Html;
use super::{cost, runs, speed, spread, work, workers};
use crate::model::{RunRow, RunStatus};
use crate::ui::wording::finding as wording;
use crate::ui::{self, Line, units};

/// The page's look.
const STYLE: &str = include_str!("style.css");

/// What says that a page is one of ours; near its beginning.
const GENERATOR: &str = "ixtract report";

/// Bytes of a page within which [`is_report`] finds what it looks for.
pub const HEAD_BYTES: usize = 2_048;

/// Whether a file that begins so is a page of ours, which another may replace.
pub fn is_report(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    text.starts_with("<!doctype html>\n")
        && text.contains(&format!(
            "<meta name=\"generator\" content=\"{GENERATOR}\">"
        ))
}

/// What the browser may do: use this style, and nothing else.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = base64(&Sha256::digest(STYLE));
    format!(
        "default-src 'none'; style-src 'sha256-{hash}'; img-src data:; base-uri 'none'; form-action 'none'"
    )
});

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at > three.len() {
                '='
            } else {
                char::from(digit)
            });
        }
    }
    text
}

/// Draws the page.
pub fn page(document: &Document<'_>) -> String {
    let mut html = Html::default();
    html.own("<!doctype html>\n");
    html.nest("html", &[("lang", "en")], |html| {
        head(html, document);
        html.nest("body", &[], |html| {
            html.nest("header", &[], |html| title(html, document));
            html.nest("main", &[], |html| {
                tiles(html, document);
                sections(html, document);
            });
            html.nest("footer", &[], |html| footer(html, document));
        });
    });
    html.own("\n");
    html.finish()
}

fn head(html: &mut Html, document: &Document<'_>) {
    html.nest("head", &[], |html| {
        html.open("meta", &[("charset", "utf-8")]);
        html.open(
            "meta",
            &[
                ("http-equiv", "Content-Security-Policy"),
                ("content", &POLICY),
            ],
        );
        html.open("meta", &[("name", "generator"), ("content", GENERATOR)]);
        html.open(
            "meta",
            &[
                ("name", "viewport"),
                ("content", "width=device-width, initial-scale=1"),
            ],
        );
        html.open(
            "meta",
            &[("name", "color-scheme"), ("content", "light dark")],
        );
        html.open("meta", &[("name", "referrer"), ("content", "no-referrer")]);
        // Without one a browser would ask the page's server for an icon.
        html.open("link", &[("rel", "icon"), ("href", "data:,")]);
        let title = format!("{}: run {}", document.table(), document.run.run.id.tag());
        html.leaf("title", &[], &title);
        html.open("style", &[]);
        html.own(STYLE);
        html.close("style");
    });
}

fn title(html: &mut Html, document: &Document<'_>) {
    let run = document.run.run;
    html.leaf("p", &[("class", "eyebrow")], "ixtract report");
    html.nest("h1", &[], |html| html.name(document.table()));
    html.nest("p", &[("class", "where")], |html| html.name(&run.source));
    html.nest("p", &[("class", "which")], |html| {
        html.leaf("span", &[("class", badge(run.status))], run.status.name());
        html.text(" run ");
        html.leaf("code", &[], run.id.tag());
        html.text(&format!(" · started {} UTC", runs::moment(run.started_at)));
        if run.anomaly.is_some() {
            html.text(" · ");
            html.leaf("span", &[("class", "badge warn")], "out of the ordinary");
        }
    });
    if let Some(error) = &run.error {
        html.leaf("p", &[("class", "error")], error);
    }
}

fn badge(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Success => "badge good",
        RunStatus::Running => "badge",
        RunStatus::Failed | RunStatus::Cancelled | RunStatus::Crashed => "badge bad",
    }
}

/// The run in a few numbers.
fn tiles(html: &mut Html, document: &Document<'_>) {
    let run = document.run.run;
    let place = document.place();
    let before = place.and_then(|at| document.history.runs[at].change);
    let speed = match before {
        Some(change) => {
            let permille = (change * 1000.0).round() as i64;
            format!("{} since the run before", wording::signed(permille))
        }
        None => format!("{} expected", units::rate(run.predicted.throughput)),
    };
    let published = run.status == RunStatus::Success;
    let known = |text: String| if published { text } else { "-".to_owned() };
    let tiles = [
        ("speed", known(units::rate(run.throughput)), speed),
        (
            "rows",
            units::exact(run.rows),
            format!("{} written", units::bytes(run.bytes)),
        ),
        (
            "took",
            known(runs::seconds(run.duration_s)),
            format!("{} expected", units::duration(run.predicted.duration_s)),
        ),
        (
            "workers",
            run.workers.to_string(),
            format!("{:.1} busy on average", run.effective_workers),
        ),
        ("chunks", chunks(document), chunks_note(document)),
        (
            "trend",
            trend(document),
            "over the last clean runs".to_owned(),
        ),
    ];
    html.nest("dl", &[("class", "tiles")], |html| {
        for (name, value, note) in tiles {
            html.nest("div", &[], |html| {
                html.leaf("dt", &[], name);
                html.leaf("dd", &[("class", "value")], &value);
                html.leaf("dd", &[], &note);
            });
        }
    });
}

fn chunks(document: &Document<'_>) -> String {
    match &document.metrics {
        Some(metrics) => units::exact(metrics.counts.finished),
        None => units::exact(document.run.run.chunks),
    }
}

fn chunks_note(document: &Document<'_>) -> String {
    match &document.metrics {
        Some(metrics) => {
            let counts = &metrics.counts;
            let mut words = format!("of {} planned", units::exact(counts.planned));
            for (number, what) in [(counts.failed, "failed"), (counts.retries, "tried again")] {
                if number > 0 {
                    words.push_str(&format!(", {} {what}", units::exact(number)));
                }
            }
            words
        }
        None => "by the manifest".to_owned(),
    }
}

fn trend(document: &Document<'_>) -> String {
    let outlook = document.history.outlook;
    outlook.map_or_else(|| "-".to_owned(), |outlook| wording::trend(outlook.trend))
}

type Section = (&'static str, String, fn(&mut Html, &Document<'_>));

fn sections(html: &mut Html, document: &Document<'_>) {
    let shown = document.history.runs.len() as u64;
    let lead = match document.place() {
        Some(_) => format!("{}, oldest first.", units::plural(shown, "run")),
        None => format!(
            "{}, the newest of the table; the run of this report is older.",
            units::plural(shown, "run")
        ),
    };
    let outlook = document
        .history
        .outlook
        .map(workers::words)
        .unwrap_or_default();
    let sections: [Section; 8] = [
        ("What the numbers say", String::new(), findings),
        ("Throughput over runs", lead, speed::draw),
        ("Workers over runs", outlook, workers::draw),
        ("Where the workers' time went", limit(document), work::total),
        ("Timeline of chunks", String::new(), work::timeline),
        ("Sizes and times of chunks", uneven(document), spread::draw),
        ("Cost", String::new(), cost::draw),
        ("Columns and their types", columns_lead(document), columns),
    ];
    for (name, lead, draw) in sections {
        html.nest("section", &[], |html| {
            html.leaf("h2", &[], name);
            if !lead.is_empty() {
                html.leaf("p", &[("class", "lead")], &lead);
            }
            draw(html, document);
        });
    }
}

fn limit(document: &Document<'_>) -> String {
    match document.run.attribution.total_ms() {
        0 => String::new(),
        _ => sentence(&wording::limit(&document.run.attribution)),
    }
}

fn uneven(document: &Document<'_>) -> String {
    let skew = document.run.skew.map(|skew| {
        format!(
            "Skew is {}: the slowest chunk took {:.1} times the median.",
            skew.severity.name(),
            skew.ratio
        )
    });
    skew.unwrap_or_default()
}

/// Half a sentence as a whole one.
fn sentence(half: &str) -> String {
    let mut letters = half.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    format!("{}{}.", first.unwrap_or_default(), letters.as_str())
}

/// What is found and what can be done, as `diagnose` and `explain` have it.
fn findings(html: &mut Html, document: &Document<'_>) {
    facts(html, &ui::diagnose::facts(&document.run));
    let actions: Vec<String> = ui::diagnose::actions(document.run.run).collect();
    if !actions.is_empty() {
        html.leaf("h3", &[], "What can be done");
        html.nest("ul", &[("class", "actions")], |html| {
            for action in &actions {
                html.leaf("li", &[], action);
            }
        });
    }
    if let Some(plan) = document.plan {
        html.nest("details", &[], |html| {
            html.leaf("summary", &[], "Why it was done so");
            facts(html, &ui::plan::decisions(plan).collect::<Vec<_>>());
        });
    }
}

/// Named facts; lines that begin with a dot are a list below the first.
fn facts(html: &mut Html, lines: &[Line]) {
    html.nest("dl", &[("class", "facts")], |html| {
        for line in lines {
            let Line::Fact(name, value) = line else {
                continue;
            };
            html.leaf("dt", &[], name);
            html.nest("dd", &[], |html| {
                for line in value.split('\n') {
                    match line.strip_prefix("· ") {
                        Some(point) => html.leaf("p", &[("class", "point")], point),
                        None => html.leaf("p", &[], line),
                    }
                }
            });
        }
    });
}

fn columns_lead(document: &Document<'_>) -> String {
    let nulled: u64 = document.run.run.nulled.values().sum();
    match (document.plan, nulled) {
        (None, _) => String::new(),
        (Some(_), 0) => units::plural(document.columns.len() as u64, "column") + ".",
        (Some(_), nulled) => format!(
            "{}; {} written as NULL because the output's type cannot hold them.",
            units::plural(document.columns.len() as u64, "column"),
            units::plural(nulled, "value")
        ),
    }
}

fn columns(html: &mut Html, document: &Document<'_>) {
    let run: &RunRow = document.run.run;
    let Some(plan) = document.plan else {
        let words = "The run was rebuilt from its manifest, so its plan is not known.";
        html.leaf("p", &[("class", "none")], words);
        return;
    };
    let rows = document.columns.iter().map(|column| {
        let mut notes = column.notes.clone();
        if let Some(nulled) = run.nulled.get(&column.name) {
            notes.push(format!(
                "{} written as NULL",
                units::plural(*nulled, "value")
            ));
        }
        vec![
            column.name.clone(),
            column.source_type.clone(),
            column.output_type.clone(),
            if column.nullable { "yes" } else { "no" }.to_owned(),
            notes.join(", "),
        ]
    });
    chart::rows(
        html,
        &Table {
            caption: "Columns and their types",
            header: &[
                "column",
                "source type",
                plan.spec.format.format().name(),
                "null",
                "note",
            ],
            right: &[],
            rows: rows.collect(),
        },
    );
}

fn footer(html: &mut Html, document: &Document<'_>) {
    html.nest("p", &[], |html| {
        html.text(&format!(
            "Made by ixtract {} on {} UTC from ",
            document.ixtract,
            runs::moment(document.made_at)
        ));
        html.name(&document.history.state);
        html.text(". Run ");
        html.leaf("code", &[], document.run.run.id.as_str());
        html.text(" wrote ");
        html.name(&document.run.run.output);
        html.text(". This page needs no network and runs no script.");
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }

    #[test]
    fn half_sentences_become_whole() {
        assert_eq!(sentence("écrit"), "Écrit.");
        assert_eq!(sentence(""), ".");
    }
}
