//! What charts of runs say of one, or of several neighbours.

use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;

use super::chart;
use super::document::Document;
use super::html::Html;
use crate::model::RunStatus;
use crate::ui::history::Entry;
use crate::ui::units;
use crate::ui::wording::finding as wording;

/// Runs that a table lists at most: the newest.
pub(super) const LISTED: usize = 100;

/// A time to the second.
pub(super) fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// How a run ended, with what sets it apart.
pub(super) fn status(entry: &Entry<'_>) -> String {
    let words = std::iter::once(entry.run.status.name()).chain(entry.marks.iter().copied());
    words.collect::<Vec<_>>().join(", ")
}

/// The axis of runs.
pub(super) fn dates(html: &mut Html, runs: &[Entry<'_>], height: u32) {
    let starts: Vec<Timestamp> = runs.iter().map(|entry| entry.run.started_at).collect();
    chart::horizontal(html, &chart::dates(&starts), false, height);
}

/// What is told of a run to those who point at it, or of several.
pub(super) fn told(document: &Document<'_>, group: &Range<usize>) -> String {
    let entries = &document.history.runs[group.clone()];
    let [entry] = entries else {
        return several(entries);
    };
    let run = entry.run;
    let mut lines = vec![format!("{} · {} UTC", entry.tag, moment(run.started_at))];
    let workers = units::plural(u64::from(run.workers), "worker");
    lines.push(match run.status {
        RunStatus::Success => format!(
            "{} by {workers}: {} in {}",
            units::rate(run.throughput),
            units::plural(run.rows, "row"),
            seconds(run.duration_s)
        ),
        _ => workers,
    });
    lines.push(status(entry));
    let because = &document.course[group.start].workers_because;
    lines.extend(because.iter().map(|why| format!("workers: {why}")));
    lines.extend(run.anomaly.as_ref().map(wording::anomaly));
    lines.join("\n")
}

fn several(entries: &[Entry<'_>]) -> String {
    let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
        return String::new();
    };
    let published = entries
        .iter()
        .filter(|entry| entry.run.status == RunStatus::Success);
    let mut speeds: Vec<f64> = published.map(|entry| entry.run.throughput).collect();
    speeds.sort_by(f64::total_cmp);
    let mut text = format!(
        "{} from {} to {} UTC",
        units::plural(entries.len() as u64, "run"),
        moment(first.run.started_at),
        moment(last.run.started_at)
    );
    if let (Some(slowest), Some(fastest)) = (speeds.first(), speeds.last()) {
        let (slowest, fastest) = (units::rate(*slowest), units::rate(*fastest));
        let median = units::rate(speeds[speeds.len() / 2]);
        text.push_str(&format!(
            "\n{slowest} to {fastest}, half of them up to {median}"
        ));
    }
    let others = entries.len() - speeds.len();
    if others > 0 {
        text.push_str(&format!("\n{others} not published"));
    }
    text
}

/// Seconds that were measured.
pub(super) fn seconds(seconds: f64) -> String {
    units::elapsed(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default())
}
