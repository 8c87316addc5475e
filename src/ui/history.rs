//! The runs of a table, or of all, one a line.

use std::time::Duration;

use serde::Serialize;

use super::{Line, table, units};
use crate::model::{RunRow, RunStatus};

/// `history`.
#[derive(Debug, Serialize)]
pub struct HistoryDocument<'a> {
    /// The history's file.
    pub state: String,
    /// The relation, where the runs are one table's.
    pub table: Option<&'a str>,
    /// The database that the newest of them read, where they are one table's.
    pub source: Option<&'a str>,
    /// The runs, oldest first.
    pub runs: Vec<Entry<'a>>,
}

/// One run.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    /// The last part of its id, which is enough to name it.
    pub tag: &'a str,
    /// What sets it apart: `constrained`, `replayed`, ….
    pub marks: Vec<&'static str>,
    /// Its row.
    #[serde(flatten)]
    pub run: &'a RunRow,
}

impl<'a> HistoryDocument<'a> {
    /// Runs, oldest first, of one table or of all.
    pub fn new(state: String, one_table: bool, runs: &'a [RunRow]) -> Self {
        let newest = runs.last().filter(|_| one_table);
        Self {
            state,
            table: newest.map(|run| run.relation.as_str()),
            source: newest.map(|run| run.source.as_str()),
            runs: runs.iter().map(Entry::new).collect(),
        }
    }
}

impl<'a> Entry<'a> {
    fn new(run: &'a RunRow) -> Self {
        let marks = [
            ("constrained", run.constrained),
            ("replayed", run.replay_of.is_some()),
        ];
        Self {
            tag: run.id.tag(),
            marks: marks
                .into_iter()
                .filter_map(|(mark, applies)| applies.then_some(mark))
                .collect(),
            run,
        }
    }
}

/// The runs on one screen.
pub fn view(document: &HistoryDocument<'_>) -> Vec<Line> {
    let mut header = vec!["run", "started (UTC)"];
    if document.table.is_none() {
        header.push("table");
    }
    header.extend(["workers", "speed", "took", "status", ""]);
    let first_number = header.len() - 5;
    let numbers: Vec<usize> = (first_number..first_number + 3).collect();
    let rows = document.runs.iter().map(|entry| cells(document, entry));
    let heading = match (document.table, document.source) {
        (Some(table), Some(source)) => format!("Runs of {table} in {source}"),
        _ => "Runs".to_owned(),
    };
    vec![
        Line::Heading(heading),
        Line::Text(table::grid(&header, rows.collect(), &numbers)),
        Line::Blank,
        Line::fact("history", document.state.clone()),
    ]
}

fn cells(document: &HistoryDocument<'_>, entry: &Entry<'_>) -> Vec<String> {
    let run = entry.run;
    let mut cells = vec![
        entry.tag.to_owned(),
        run.started_at.strftime("%Y-%m-%d %H:%M:%S").to_string(),
    ];
    if document.table.is_none() {
        cells.push(run.relation.clone());
    }
    let read = run.status == RunStatus::Success;
    let only = |text: String| if read { text } else { "-".to_owned() };
    cells.extend([
        run.workers.to_string(),
        only(units::rate(run.throughput)),
        only(units::elapsed(Duration::from_secs_f64(
            run.duration_s.max(0.0),
        ))),
        run.status.name().to_owned(),
        entry.marks.join(", "),
    ]);
    cells
}
