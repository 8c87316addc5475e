//! The data of a report.

use jiff::Timestamp;
use serde::Serialize;

use super::course::Point;
use crate::model::{ExecutionPlan, Metrics};
use crate::ui::diagnose::DiagnoseDocument;
use crate::ui::history::HistoryDocument;
use crate::ui::plan::ColumnDocument;

/// The version of [`Document`] that this program writes.
pub const REPORT_VERSION: u32 = 1;

/// `report`: what the page is drawn from. What other commands compute is theirs, under the same names:
/// `history`, `run` is `diagnose`'s document, `metrics` is that of `metrics`.
#[derive(Debug, Serialize)]
pub struct Document<'a> {
    /// [`REPORT_VERSION`].
    pub report_version: u32,
    /// The ixtract that made it.
    pub ixtract: &'static str,
    /// When it was made.
    pub made_at: Timestamp,
    /// The runs of the table, oldest first.
    pub history: HistoryDocument<'a>,
    /// What was usual at each of them, in their order.
    pub course: Vec<Point>,
    /// The run that it is about, diagnosed.
    pub run: DiagnoseDocument<'a>,
    /// The same in numbers; `None` where its plan is not known.
    pub metrics: Option<Metrics>,
    /// What became of each column; empty where its plan is not known.
    pub columns: Vec<ColumnDocument>,
    /// The page that was written, where one was.
    pub written: Option<String>,
    /// What was executed, where it is known.
    #[serde(skip)]
    pub plan: Option<&'a ExecutionPlan>,
}

impl Document<'_> {
    /// The table, as the run has it.
    pub(super) fn table(&self) -> &str {
        &self.run.run.relation
    }

    /// Where the run stands among the runs of its history; `None` where those are newer.
    pub(super) fn place(&self) -> Option<usize> {
        let runs = &self.history.runs;
        runs.iter()
            .position(|entry| entry.run.id == self.run.run.id)
    }
}
