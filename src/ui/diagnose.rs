//! What one run's numbers say: where its time went, how it compares, what can be done.

use std::time::Duration;

use serde::Serialize;

use super::wording::finding as wording;
use super::{Line, table, units};
use crate::model::{
    Activity, Attribution, ChunkRecord, ChunkStatus, RunRow, RunStatus, Severity, Skew,
    WorkerRecord,
};

/// Slow chunks that are listed where times are uneven.
const SLOWEST_SHOWN: usize = 3;

/// `diagnose`.
#[derive(Debug, Serialize)]
pub struct DiagnoseDocument<'a> {
    /// The run's row, its finding and anomaly among them.
    #[serde(flatten)]
    pub run: &'a RunRow,
    /// Why it is excluded from learning, one reason a line; empty where it is not.
    pub excluded: Vec<&'static str>,
    /// Where the time of all workers went, in milliseconds.
    pub attribution: Attribution,
    /// How uneven the chunks were; `None` of fewer than three.
    pub skew: Option<Skew>,
    /// Every chunk.
    #[serde(rename = "chunk_records")]
    pub chunks: Vec<ChunkDocument<'a>>,
    /// Every worker.
    #[serde(rename = "worker_records")]
    pub workers: &'a [WorkerRecord],
}

/// A chunk and where its time went.
#[derive(Debug, Serialize)]
pub struct ChunkDocument<'a> {
    /// The chunk.
    #[serde(flatten)]
    pub chunk: &'a ChunkRecord,
    /// Where its time went, in milliseconds.
    pub attribution: Attribution,
}

/// Why a run is excluded from learning; nothing where it is not.
pub fn excluded(run: &RunRow) -> Vec<&'static str> {
    let reasons = [
        (run.status == RunStatus::Running, "it is still under way"),
        (
            !matches!(run.status, RunStatus::Success | RunStatus::Running),
            "it did not succeed",
        ),
        (
            run.constrained && run.replay_of.is_none(),
            "it was constrained: by --workers, hints or a given plan",
        ),
        (
            run.replay_of.is_some(),
            "it was a replay of another run's plan",
        ),
        (
            run.confidence == "low",
            "the source was so slow to answer that its speed says nothing of its workers",
        ),
    ];
    let mut found: Vec<&'static str> = reasons
        .into_iter()
        .filter_map(|(holds, reason)| holds.then_some(reason))
        .collect();
    if found.is_empty() && !run.teaches {
        found.push("it was not read from one point in time by as many workers as planned");
    }
    found
}

/// The diagnosis on one screen.
pub fn view(document: &DiagnoseDocument<'_>) -> Vec<Line> {
    let run = document.run;
    let mut lines = vec![Line::Heading(format!(
        "Run {} of {} in {}",
        run.id.tag(),
        run.relation,
        run.source
    ))];
    lines.extend(facts(document));
    lines.extend(time(&document.attribution));
    lines.extend(workers(document));
    if run.finding.is_some() {
        lines.extend([Line::Blank, Line::Heading("What can be done".to_owned())]);
        let actions = actions(run);
        lines.extend(actions.map(|action| Line::Text(format!("  · {action}"))));
    }
    lines
}

/// What a run's numbers say, in words.
pub fn facts(document: &DiagnoseDocument<'_>) -> Vec<Line> {
    let run = document.run;
    let mut lines = vec![
        Line::fact("run", run.id.to_string()),
        Line::fact("ended", ended(run)),
    ];
    if run.status == RunStatus::Success {
        lines.push(Line::fact("speed", speed(run)));
    }
    lines.push(Line::fact("learning", learning(&document.excluded)));
    lines.extend(diagnosis(run));
    if !run.adaptations.is_empty() {
        lines.push(Line::fact("deviations", run.adaptations.join("\n")));
    }
    if let Some(anomaly) = &run.anomaly {
        lines.push(Line::fact("anomaly", wording::anomaly(anomaly)));
    }
    if document.attribution.total_ms() > 0 {
        lines.push(Line::fact("limit", wording::limit(&document.attribution)));
    }
    lines.extend(chunk_times(document));
    lines.extend(unfinished(document));
    lines
}

fn ended(run: &RunRow) -> String {
    let mut text = run.status.name().to_owned();
    if let Some(at) = run.ended_at {
        text.push_str(&at.strftime(", %Y-%m-%d %H:%M:%S UTC").to_string());
    }
    if let Some(error) = &run.error {
        text.push_str(&format!("\n{error}"));
    }
    text
}

fn speed(run: &RunRow) -> String {
    let seconds = |seconds: f64| units::elapsed(Duration::from_secs_f64(seconds.max(0.0)));
    format!(
        "{} by {} ({}, predicted {})",
        units::rate(run.throughput),
        units::plural(u64::from(run.workers), "worker"),
        seconds(run.duration_s),
        seconds(run.predicted.duration_s)
    )
}

fn learning(excluded: &[&str]) -> String {
    if excluded.is_empty() {
        "later plans learn from this run".to_owned()
    } else {
        format!("excluded from learning: {}", excluded.join("; "))
    }
}

fn diagnosis(run: &RunRow) -> Vec<Line> {
    let Some(finding) = &run.finding else {
        let why = match run.status {
            RunStatus::Success => "none: an older ixtract recorded it",
            RunStatus::Running => "none yet",
            _ => "none: only runs that were published are compared with others",
        };
        return vec![Line::fact("diagnosis", why)];
    };
    let mut text = format!(
        "{}, {} certainty",
        wording::named(finding.category),
        finding.certainty.name()
    );
    for fact in &finding.evidence {
        text.push_str(&format!("\n· {}", wording::evidence(fact)));
    }
    vec![Line::fact("diagnosis", text)]
}

/// How even the chunks were: fastest, slowest, and where it matters the slowest three.
fn chunk_times(document: &DiagnoseDocument<'_>) -> Option<Line> {
    let mut finished: Vec<&ChunkDocument<'_>> = document
        .chunks
        .iter()
        .filter(|one| one.chunk.status == ChunkStatus::Success)
        .collect();
    finished.sort_by_key(|one| (one.chunk.duration_ms, one.chunk.number));
    let (fastest, slowest) = (finished.first()?, finished.last()?);
    let mut text = format!(
        "{}; fastest {}, slowest {}",
        units::plural(finished.len() as u64, "chunk"),
        told(fastest),
        told(slowest)
    );
    if let Some(skew) = document.skew {
        text.push_str(&format!(
            "\nskew {}: the slowest took {:.1} times the median",
            skew.severity.name(),
            skew.ratio
        ));
        if skew.severity > Severity::Low {
            let next = finished.iter().rev().take(SLOWEST_SHOWN).skip(1);
            let next: Vec<String> = next.map(|one| told(one)).collect();
            text.push_str(&format!("; then {}", next.join(", ")));
        }
    }
    Some(Line::fact("chunks", text))
}

fn told(one: &ChunkDocument<'_>) -> String {
    let chunk = one.chunk;
    format!(
        "chunk_{:03} ({} in {})",
        chunk.number,
        units::plural(chunk.rows, "row"),
        units::elapsed(Duration::from_millis(chunk.duration_ms))
    )
}

fn unfinished(document: &DiagnoseDocument<'_>) -> Option<Line> {
    let chunks = || document.chunks.iter().map(|one| one.chunk);
    let failed = chunks().filter(|chunk| chunk.status == ChunkStatus::Failed);
    let failed: Vec<String> = failed
        .map(|chunk| {
            let error = chunk.error.as_deref().unwrap_or("for no recorded reason");
            format!("chunk_{:03} failed: {error}", chunk.number)
        })
        .collect();
    let pending = chunks()
        .filter(|chunk| chunk.status == ChunkStatus::Pending)
        .count();
    let mut text = failed.join("\n");
    if pending > 0 {
        let more = units::plural(pending as u64, "chunk");
        let line = format!("{more} unfinished when the run ended");
        text = if text.is_empty() {
            line
        } else {
            format!("{text}\n{line}")
        };
    }
    (!text.is_empty()).then(|| Line::fact("unfinished", text))
}

/// Where the time went, what took none left out.
fn time(went: &Attribution) -> Vec<Line> {
    let rows: Vec<Vec<String>> = Activity::ALL
        .into_iter()
        .filter(|activity| went.of(*activity) > 0)
        .map(|activity| {
            vec![
                wording::activity(activity).to_owned(),
                units::elapsed(Duration::from_millis(went.of(activity))),
                units::percent(went.of(activity), went.total_ms()),
            ]
        })
        .collect();
    if rows.is_empty() {
        return Vec::new();
    }
    vec![
        Line::Blank,
        Line::Heading("Where the workers' time went".to_owned()),
        Line::Text(table::grid(&["", "time", "share"], rows, &[1, 2])),
        Line::Text(
            "  While rows stream, the server and the network cannot be told apart from this end."
                .to_owned(),
        ),
    ]
}

fn workers(document: &DiagnoseDocument<'_>) -> Vec<Line> {
    if document.workers.is_empty() {
        return Vec::new();
    }
    let millis = |ms| units::elapsed(Duration::from_millis(ms));
    let rows = document.workers.iter().map(|worker| {
        vec![
            worker.worker.to_string(),
            worker.chunks.to_string(),
            units::exact(worker.rows),
            millis(worker.busy_ms),
            millis(worker.blocked_ms),
            millis(worker.idle_ms),
        ]
    });
    let header = ["worker", "chunks", "rows", "busy", "of it waiting", "idle"];
    vec![
        Line::Blank,
        Line::Text(table::grid(&header, rows.collect(), &[0, 1, 2, 3, 4, 5])),
    ]
}

/// What can be done, where the run was diagnosed.
pub fn actions(run: &RunRow) -> impl Iterator<Item = String> {
    let actions = run.finding.iter().flat_map(|finding| &finding.actions);
    actions.map(wording::action)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::row;

    #[test]
    fn a_run_that_taught_is_not_excluded_and_others_say_why() {
        assert!(excluded(&row(1.0)).is_empty());
        let with = |change: fn(&mut RunRow)| {
            let mut run = row(1.0);
            run.teaches = false;
            change(&mut run);
            excluded(&run).join("; ")
        };
        assert!(with(|run| run.constrained = true).starts_with("it was constrained"));
        let replayed = with(|run| {
            run.constrained = true;
            run.replay_of = Some(run.id.clone());
        });
        assert_eq!(replayed, "it was a replay of another run's plan");
        assert!(with(|run| run.status = RunStatus::Crashed).contains("did not succeed"));
        assert!(with(|run| run.status = RunStatus::Running).contains("under way"));
        assert!(with(|run| run.confidence = "low".to_owned()).contains("slow to answer"));
        assert!(with(|_| {}).contains("one point in time"));
    }
}
