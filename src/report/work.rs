//! Where a run's time went: all of it, and worker by worker as it went by.

use std::fmt::Write;
use std::time::Duration;

use super::chart::{self, Chart, Table, WIDE};
use super::document::Document;
use super::html::Html;
use super::lanes::{self, Span};
use super::scale::{self, Scale, number, percent};
use crate::model::{Activity, Attribution, ChunkStatus};
use crate::ui::units;
use crate::ui::wording::finding as wording;

/// Stretches that are drawn at most: beyond it neighbours are drawn as one.
const SPANS: usize = 1_200;

/// Up to so many chunks a thin line parts each from the next.
const PARTED: usize = 160;

/// Pixels of the bar.
const BAR: u32 = 28;

/// The class that colours an activity.
fn class(activity: Activity) -> &'static str {
    match activity {
        Activity::Opening => "opening",
        Activity::Answer => "answer",
        Activity::Rows => "rows",
        Activity::Decode => "decode",
        Activity::Encode => "encode",
        Activity::Write => "write",
        Activity::Other => "other",
        Activity::BackOff => "pause",
        Activity::Count => "count",
        Activity::Idle => "idle",
    }
}

/// The key of the activities that took any time.
fn key(html: &mut Html, went: &Attribution, failed: bool) {
    let mut marks: Vec<(&'static str, &str)> = took(went)
        .map(|activity| (class(activity), wording::activity(activity)))
        .collect();
    if failed {
        marks.push(("failed", "a chunk that failed"));
    }
    chart::key(html, &marks);
}

fn took(went: &Attribution) -> impl Iterator<Item = Activity> {
    let all = Activity::ALL.into_iter();
    all.filter(|activity| went.of(*activity) > 0)
}

fn share(went: &Attribution, activity: Activity) -> String {
    units::percent(went.of(activity), went.total_ms())
}

/// The whole of the workers' time as one bar.
pub(super) fn total(html: &mut Html, document: &Document<'_>) {
    let went = document.run.attribution;
    if went.total_ms() == 0 {
        html.leaf("p", &[("class", "none")], nothing(document));
        return;
    }
    key(html, &went, false);
    let parts = took(&went)
        .map(|activity| format!("{} {}", wording::activity(activity), share(&went, activity)));
    let parts: Vec<String> = parts.collect();
    let chart = Chart {
        id: "time",
        title: "Where the workers' time went",
        about: &format!("{}.", parts.join(", ")),
        height: BAR,
    };
    chart.draw(html, |html| bar(html, &went));
    let rows = took(&went).map(|activity| {
        vec![
            wording::activity(activity).to_owned(),
            units::elapsed(Duration::from_millis(went.of(activity))),
            share(&went, activity),
        ]
    });
    chart::numbers(
        html,
        &Table {
            caption: "Times as a table",
            header: &["", "time", "share"],
            right: &[1, 2],
            rows: rows.collect(),
        },
    );
    html.leaf(
        "p",
        &[("class", "note")],
        "While rows stream, the server and the network cannot be told apart from this end.",
    );
}

fn bar(html: &mut Html, went: &Attribution) {
    let total = went.total_ms() as f64;
    let mut from = 0.0;
    for activity in took(went) {
        let part = went.of(activity) as f64 / total;
        html.nest("g", &[("class", "one")], |html| {
            let told = format!(
                "{}: {}, {}",
                wording::activity(activity),
                units::elapsed(Duration::from_millis(went.of(activity))),
                share(went, activity)
            );
            html.leaf("title", &[], &told);
            let (x, width, height) = (percent(from), percent(part), BAR.to_string());
            let shape = [
                ("class", class(activity)),
                ("x", x.as_str()),
                ("y", "0"),
                ("width", &width),
                ("height", &height),
            ];
            html.leaf("rect", &shape, "");
            // Where the share has room to be written.
            if part >= 0.12 {
                let ink = format!("on-{}", class(activity));
                let middle = percent(from + part / 2.0);
                let words = [
                    ("class", ink.as_str()),
                    ("x", &middle),
                    ("y", "18.5"),
                    ("text-anchor", "middle"),
                ];
                html.leaf("text", &words, &share(went, activity));
            }
        });
        from += part;
    }
}

/// Why there is nothing to draw.
fn nothing(document: &Document<'_>) -> &'static str {
    use crate::model::RunStatus::{Crashed, Running};
    match document.run.run.status {
        Running => "The run is still under way: its chunks are recorded when it ends.",
        Crashed => "The run's process died before it could record its chunks.",
        _ if document.run.run.rebuilt_from.is_some() => {
            "The run was rebuilt from its manifest, which has no times of chunks."
        }
        _ => "The run ended before any chunk was read.",
    }
}

/// The timeline: a lane a worker.
pub(super) fn timeline(html: &mut Html, document: &Document<'_>) {
    let chunks = &document.run.chunks;
    let lanes = lanes::lanes(chunks, SPANS);
    let spans = || lanes.values().flatten();
    let Some(end) = spans().map(|span| span.to_ms).max() else {
        html.leaf("p", &[("class", "none")], nothing(document));
        return;
    };
    let elapsed = (document.run.run.duration_s.max(0.0) * 1000.0).round() as u64;
    let scale = Scale::time(end.max(elapsed), 5);
    let pitch = if lanes.len() > 24 { 12 } else { 22 };
    let height = pitch * u32::try_from(lanes.len()).unwrap_or(u32::MAX / 64).max(1);
    let busy = spans().fold(Attribution::default(), |sum, span| sum.plus(span.went));
    key(
        html,
        &busy,
        spans().any(|span| span.status != ChunkStatus::Success),
    );
    let merged = spans().any(|span| span.chunks > 1);
    let about = about(document, lanes.len(), merged);
    let chart = Chart {
        id: "timeline",
        title: "Timeline of chunks",
        about: &about,
        height,
    };
    html.leaf("p", &[("class", "unit")], "worker");
    chart.draw(html, |html| {
        axis(html, &scale, height);
        for (at, worker) in lanes.keys().enumerate() {
            let y = f64::from(pitch) * (at as f64 + 0.5) + 4.0;
            if pitch > 12 || at % 2 == 0 {
                chart::words(html, "tick", ("-8", y), "end", &worker.to_string());
            }
        }
        chart::stretched(html, height, |html| {
            for (at, lane) in lanes.values().enumerate() {
                let top = pitch * u32::try_from(at).unwrap_or(0);
                let parted = chunks.len() <= PARTED;
                lane_of(
                    html,
                    lane,
                    &scale,
                    (f64::from(top) + 2.0, f64::from(pitch) - 4.0, parted),
                );
            }
        });
    });
    let shares = "Within a chunk the colours show shares of its time, not the order: each batch is waited for, decoded, encoded and written in turn.";
    html.leaf("p", &[("class", "note")], shares);
    table(html, document);
}

fn about(document: &Document<'_>, lanes: usize, merged: bool) -> String {
    let chunks = document
        .run
        .chunks
        .iter()
        .filter(|one| one.chunk.worker > 0);
    format!(
        "{} by {}, each worker in a lane, coloured by where its time went{}.",
        units::plural(chunks.count() as u64, "chunk"),
        units::plural(lanes as u64, "worker"),
        if merged {
            "; neighbouring chunks are drawn as one"
        } else {
            ""
        }
    )
}

fn axis(html: &mut Html, scale: &Scale, height: u32) {
    let end = scale.end();
    let label = |tick: &f64| (scale.share(*tick), scale::time(*tick, end));
    let ticks: Vec<(f64, String)> = scale.ticks.iter().map(label).collect();
    chart::horizontal(html, &ticks, true, height);
}

fn lane_of(html: &mut Html, lane: &[Span], scale: &Scale, (top, high, parted): (f64, f64, bool)) {
    let x = |ms: f64| scale.share(ms) * WIDE;
    for span in lane {
        let (from, to) = (x(span.from_ms as f64), x(span.to_ms as f64));
        // What is shorter than a pixel is seen all the same.
        let to = to.max(from + 0.8);
        html.nest(
            "g",
            &[("class", if parted { "one parted" } else { "one" })],
            |html| {
                html.leaf("title", &[], &told(span));
                match span.status {
                    ChunkStatus::Success => shares(html, &span.went, (from, to), (top, high)),
                    ChunkStatus::Failed | ChunkStatus::Pending => {
                        chart::path(html, "failed", &block(from, to, (top, high)));
                    }
                }
                if parted {
                    chart::path(html, "edge", &block(from, to, (top, high)));
                }
            },
        );
    }
}

/// The activities of a stretch of time, one after the other.
fn shares(html: &mut Html, went: &Attribution, (from, to): (f64, f64), lane: (f64, f64)) {
    let total = went.total_ms();
    if total == 0 {
        chart::path(html, "other", &block(from, to, lane));
        return;
    }
    let mut at = from;
    for activity in took(went) {
        let next = at + (to - from) * went.of(activity) as f64 / total as f64;
        chart::path(html, class(activity), &block(at, next, lane));
        at = next;
    }
}

fn block(from: f64, to: f64, (top, high): (f64, f64)) -> String {
    let mut path = String::new();
    let (width, top, high) = (to - from, number(top), number(high));
    // Writing to a string cannot fail.
    let _ = write!(
        path,
        "M{} {top}h{}v{high}h-{}z",
        number(from),
        number(width),
        number(width)
    );
    path
}

fn told(span: &Span) -> String {
    let took = Duration::from_millis(span.to_ms - span.from_ms);
    let what = match span.chunks {
        1 => format!("chunk_{:03}", span.first),
        chunks => format!(
            "{} from chunk_{:03}",
            units::plural(u64::from(chunks), "chunk"),
            span.first
        ),
    };
    let ended = match span.status {
        ChunkStatus::Success => String::new(),
        ChunkStatus::Failed => " (failed)".to_owned(),
        ChunkStatus::Pending => " (unfinished)".to_owned(),
    };
    let mut text = format!(
        "{what}{ended}: {} in {}",
        units::plural(span.rows, "row"),
        units::elapsed(took)
    );
    if span.retries > 0 {
        let (verb, retries) = (
            "tried again",
            units::plural(u64::from(span.retries), "time"),
        );
        text.push_str(&format!(", {verb} {retries}"));
    }
    let parts = took_parts(&span.went);
    if !parts.is_empty() {
        text.push('\n');
        text.push_str(&parts);
    }
    text
}

fn took_parts(went: &Attribution) -> String {
    let part = |activity| format!("{} {}", wording::activity(activity), share(went, activity));
    took(went).map(part).collect::<Vec<_>>().join(", ")
}

/// Chunks that a table lists at most: the longest.
const LISTED: usize = 100;

fn table(html: &mut Html, document: &Document<'_>) {
    let mut chunks: Vec<_> = document.run.chunks.iter().collect();
    chunks.sort_by_key(|one| (std::cmp::Reverse(one.chunk.duration_ms), one.chunk.number));
    let rows = chunks.iter().take(LISTED).map(|one| {
        let chunk = one.chunk;
        vec![
            format!("chunk_{:03}", chunk.number),
            match chunk.worker {
                0 => "-".to_owned(),
                worker => worker.to_string(),
            },
            units::exact(chunk.rows),
            units::bytes(chunk.bytes),
            units::elapsed(Duration::from_millis(chunk.started_ms)),
            units::elapsed(Duration::from_millis(chunk.duration_ms)),
            took_parts(&one.attribution),
        ]
    });
    let caption = match chunks.len() > LISTED {
        true => "The longest chunks as a table",
        false => "Chunks as a table, the longest first",
    };
    chart::numbers(
        html,
        &Table {
            caption,
            header: &["chunk", "worker", "rows", "size", "at", "took", "of it"],
            right: &[1, 2, 3, 4, 5],
            rows: rows.collect(),
        },
    );
}
