//! The runs of a table, or of all, one a line.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::table::Table;
use super::wording::finding as wording;
use super::{Line, picture, units};
use crate::model::{RunRow, RunStatus, Trend};

/// A change of the speed up to this has no arrow up or down.
const STEADY: f64 = 0.05;

/// Columns of the fastest run's bar.
const BAR: usize = 10;

/// The table's column of bars, which a narrow terminal does without.
const BARS: usize = 4;

/// Where a table's runs are going.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Outlook {
    /// The speed over the last runs.
    pub trend: Trend,
    /// Whether the controller has found its number of workers; `None` before a run taught it.
    pub converged: Option<bool>,
    /// The number that did best so far.
    pub best_workers: Option<u32>,
}

/// `history`.
#[derive(Debug, Serialize)]
pub struct HistoryDocument<'a> {
    /// The history's file.
    pub state: String,
    /// The relation, where the runs are one table's.
    pub table: Option<&'a str>,
    /// The database that the newest of them read, where they are one table's.
    pub source: Option<&'a str>,
    /// Where they are going, where they are one table's.
    pub outlook: Option<Outlook>,
    /// The runs, oldest first.
    pub runs: Vec<Entry<'a>>,
}

/// One run.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    /// The last part of its id, which is enough to name it.
    pub tag: &'a str,
    /// What sets it apart: `constrained`, `replayed`, `resumed` (another run's chunks), `gone on with`
    /// (by another run), `anomaly`, `schema change` (since the run before), `rebuilt`.
    pub marks: Vec<&'static str>,
    /// Change of the speed since the successful run listed before it, as a fraction; of one table's
    /// runs.
    pub change: Option<f64>,
    /// How far the data goes that it published, UTC.
    pub fresh_to: Option<Timestamp>,
    /// Its row.
    #[serde(flatten)]
    pub run: &'a RunRow,
}

impl<'a> HistoryDocument<'a> {
    /// Runs, newest first; of one table where there is an outlook.
    pub fn new(state: String, runs: &'a [RunRow], outlook: Option<Outlook>) -> Self {
        let newest = runs.first().filter(|_| outlook.is_some());
        let mut before = None;
        let entries = runs.iter().rev().map(|run| {
            let mut entry = Entry::new(run);
            if newest.is_some()
                && let Some(speed) = speed(run)
            {
                entry.change = before.map(|before: f64| speed / before - 1.0);
                before = Some(speed);
            }
            entry
        });
        Self {
            state,
            table: newest.map(|run| run.relation.as_str()),
            source: newest.map(|run| run.source.as_str()),
            outlook,
            runs: entries.collect(),
        }
    }
}

impl<'a> Entry<'a> {
    fn new(run: &'a RunRow) -> Self {
        let marks = [
            ("constrained", run.constrained),
            ("replayed", run.replay_of.is_some()),
            ("in a set", run.set.is_some()),
            ("resumed", run.resumes.is_some()),
            ("gone on with", run.resumed_by.is_some()),
            ("anomaly", run.anomaly.is_some()),
            ("schema change", run.schema_change.is_some()),
            ("rebuilt", run.rebuilt_from.is_some()),
        ];
        Self {
            tag: run.id.tag(),
            marks: marks
                .into_iter()
                .filter_map(|(mark, applies)| applies.then_some(mark))
                .collect(),
            change: None,
            fresh_to: run.freshness(),
            run,
        }
    }
}

/// The speed of a run that has one.
fn speed(run: &RunRow) -> Option<f64> {
    let known = run.status == RunStatus::Success && run.throughput > 0.0;
    known.then_some(run.throughput)
}

/// Which columns the runs are shown in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Columns {
    /// Of all tables.
    AllTables,
    /// Of one table.
    OneTable,
    /// Of one table's windows.
    Windows,
}

impl Columns {
    fn of(document: &HistoryDocument<'_>) -> Self {
        let windows = document.runs.iter().any(|entry| entry.run.window.is_some());
        match (document.table, windows) {
            (None, _) => Self::AllTables,
            (Some(_), false) => Self::OneTable,
            (Some(_), true) => Self::Windows,
        }
    }

    /// Their names, and which of them are numbers.
    fn header(self) -> (&'static [&'static str], &'static [usize]) {
        match self {
            Self::AllTables => (
                &[
                    "run",
                    "started (UTC)",
                    "table",
                    "workers",
                    "speed",
                    "took",
                    "status",
                    "diagnosis",
                ],
                &[3, 4, 5],
            ),
            Self::OneTable => (
                &[
                    "run",
                    "started (UTC)",
                    "workers",
                    "speed",
                    "",
                    "",
                    "took",
                    "status",
                    "diagnosis",
                ],
                &[2, 3, 6],
            ),
            Self::Windows => (
                &[
                    "run",
                    "started (UTC)",
                    "window",
                    "rows",
                    "data up to",
                    "workers",
                    "took",
                    "status",
                    "diagnosis",
                ],
                &[3, 5, 6],
            ),
        }
    }
}

/// The runs on one screen.
pub fn view(document: &HistoryDocument<'_>) -> Vec<Line> {
    let columns = Columns::of(document);
    let (header, numbers) = columns.header();
    let heading = match (document.table, document.source) {
        (Some(table), Some(source)) => format!("Runs of {table} in {source}"),
        _ => "Runs".to_owned(),
    };
    let one_table = columns == Columns::OneTable;
    let speeds = document.runs.iter().map(|entry| speed(entry.run));
    let fastest = one_table.then(|| speeds.flatten().fold(0.0, f64::max));
    let rows = document
        .runs
        .iter()
        .map(|entry| cells(columns, fastest, entry));
    let table = Table::new(header, rows.collect(), numbers);
    let mut lines = vec![
        Line::Heading(heading),
        Line::Table(if one_table {
            table.with_spare(BARS)
        } else {
            table
        }),
        Line::Blank,
    ];
    if let Some(outlook) = document.outlook {
        let speeds = document.runs.iter().map(|entry| speed(entry.run));
        let speeds = speeds.map(|speed| speed.map(|speed| speed.round() as u64));
        lines.push(Line::Course("speed", speeds.collect()));
        lines.push(Line::fact("trend", wording::trend(outlook.trend)));
        lines.push(Line::fact("workers", convergence(outlook)));
        let fresh = document
            .runs
            .iter()
            .filter_map(|entry| entry.fresh_to)
            .max();
        lines.extend(fresh.map(|at| {
            let text = at.strftime("data up to %Y-%m-%d %H:%M:%S UTC");
            Line::fact("freshness", text.to_string())
        }));
    }
    lines.push(Line::fact("history", document.state.clone()));
    lines
}

/// What the controller knows, as half a sentence.
pub fn convergence(outlook: Outlook) -> String {
    match (outlook.converged, outlook.best_workers) {
        (Some(true), Some(best)) => format!("converged at {best}"),
        (Some(false), Some(best)) => format!("still searching; {best} did best so far"),
        _ => "no clean run has taught yet".to_owned(),
    }
}

/// A run's cells; with a bar beside the fastest's where it is one of one table's.
fn cells(columns: Columns, fastest: Option<f64>, entry: &Entry<'_>) -> Vec<String> {
    let run = entry.run;
    let known = speed(run);
    let only = |text: String| {
        if known.is_some() {
            text
        } else {
            "-".to_owned()
        }
    };
    let started = run.started_at.strftime("%Y-%m-%d %H:%M:%S").to_string();
    let mut cells = vec![entry.tag.to_owned(), started];
    if columns == Columns::AllTables {
        cells.push(run.relation.clone());
    }
    if columns == Columns::Windows {
        let window = run.window.as_ref().map(ToString::to_string);
        cells.push(window.unwrap_or_default());
        cells.push(only(units::exact(run.rows)));
        let fresh = entry
            .fresh_to
            .map(|at| at.strftime("%Y-%m-%d %H:%M:%S").to_string());
        cells.push(fresh.unwrap_or_else(|| "-".to_owned()));
    }
    cells.push(run.workers.to_string());
    if columns != Columns::Windows {
        cells.push(only(units::rate(run.throughput)));
    }
    if let Some(fastest) = fastest {
        cells.push(picture::bar(known.unwrap_or(0.0), fastest, BAR));
        cells.push(arrow(entry.change).to_owned());
    }
    let took = Duration::from_secs_f64(run.duration_s.max(0.0));
    cells.push(only(units::elapsed(took)));
    cells.push(run.status.name().to_owned());
    let category = run.finding.as_ref().map(|finding| finding.category.name());
    let said: Vec<&str> = category
        .into_iter()
        .chain(entry.marks.iter().copied())
        .collect();
    cells.push(said.join(", "));
    cells
}

fn arrow(change: Option<f64>) -> &'static str {
    match change {
        None => "",
        Some(change) if change > STEADY => "↑",
        Some(change) if change < -STEADY => "↓",
        Some(_) => "→",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures::row;
    use crate::ui::plain;

    #[test]
    fn runs_are_told_oldest_first_with_what_sets_them_apart() {
        let mut runs =
            [(90.0, 4), (400.0, 4), (410.0, 4), (200.0, 2)].map(|(speed, workers)| RunRow {
                workers,
                ..row(speed * 1000.0)
            });
        runs[0].constrained = true;
        runs[1].status = RunStatus::Crashed;
        let outlook = Outlook {
            trend: Trend::Improving { permille: 1050 },
            converged: Some(false),
            best_workers: Some(4),
        };
        let document = HistoryDocument::new("state.db".to_owned(), &runs, Some(outlook));
        insta::assert_snapshot!(plain(&view(&document)), @"
        Runs of public.orders in postgresql://db.example:5432/shop
          run       started (UTC)        workers          speed                  took  status   diagnosis
          0badcafe  2026-01-31 12:00:00        2  200.0K rows/s  ████▉          1.00s  success
          0badcafe  2026-01-31 12:00:00        4  410.0K rows/s  ██████████  ↑  1.00s  success
          0badcafe  2026-01-31 12:00:00        4              -                     -  crashed
          0badcafe  2026-01-31 12:00:00        4   90.0K rows/s  ██▎         ↓  1.00s  success  constrained

          speed        ▄█·▂
          trend        improving (+105.0%)
          workers      still searching; 4 did best so far
          history      state.db
        ");
    }

    #[test]
    fn a_list_of_all_tables_names_them_and_compares_nothing() {
        let runs = [row(1000.0), row(2000.0)];
        let document = HistoryDocument::new("state.db".to_owned(), &runs, None);
        let text = plain(&view(&document));
        assert!(text.contains("public.orders"), "{text}");
        assert!(!text.contains('↑') && !text.contains("trend"), "{text}");
    }
}
