//! The document of `replay`.

use jiff::Timestamp;
use serde::Serialize;

use super::RunDocument;
use crate::model::{RunId, RunRow, RunStatus};

/// `replay`, published.
#[derive(Debug, Serialize)]
pub struct ReplayDocument {
    /// The run that was executed again.
    pub original: OriginalDocument,
    /// Where the original is a replay itself: what it replayed, and so on to the run that was
    /// planned.
    pub chain: Vec<RunId>,
    /// Always `intact`: a plan that was changed is an error document.
    pub integrity: &'static str,
    /// The version of the stored plan's document.
    pub plan_version: u32,
    /// The new run, with the check of its decisions.
    pub replay: RunDocument,
    /// Whether every decision of the plan was executed as it was taken.
    pub same_decisions: bool,
    /// What came out otherwise; `None` where the original published nothing to compare with.
    pub outcome: Option<OutcomeDocument>,
    /// What a replay promises and what it does not.
    pub guarantee: &'static str,
}

/// The run that was executed again, as it was recorded.
#[derive(Debug, Serialize)]
pub struct OriginalDocument {
    /// Its id.
    pub run: RunId,
    /// How it ended.
    pub status: RunStatus,
    /// Its start.
    pub started_at: Timestamp,
    /// The ixtract that executed it.
    pub version: String,
    /// Where it published.
    pub dataset: String,
    /// What it came to.
    #[serde(flatten)]
    pub measured: Measured,
}

/// What a run came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Measured {
    /// Rows.
    pub rows: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Wall time of the read, in seconds.
    pub duration_s: f64,
    /// Rows a second over the whole read.
    pub throughput: f64,
}

impl From<&RunRow> for Measured {
    fn from(run: &RunRow) -> Self {
        Self {
            rows: run.rows,
            bytes: run.bytes,
            duration_s: run.duration_s,
            throughput: run.throughput,
        }
    }
}

impl From<&RunDocument> for Measured {
    fn from(run: &RunDocument) -> Self {
        Self {
            rows: run.rows,
            bytes: run.bytes,
            duration_s: run.duration_s,
            throughput: run.throughput,
        }
    }
}

/// What a run came to less what an earlier one came to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OutcomeDocument {
    /// Rows more.
    pub rows: i64,
    /// Bytes of the files more.
    pub bytes: i64,
    /// Seconds more, to a tenth.
    pub duration_s: f64,
    /// Change of the throughput in percent, to a tenth; `None` where the earlier run has none.
    pub throughput_percent: Option<f64>,
}

/// What a replay promises.
pub const GUARANTEE: &str =
    "the same decisions; when it runs, and what the data is by then, may differ";

impl OutcomeDocument {
    /// What changed from one run to another.
    pub fn between(before: Measured, after: Measured) -> Self {
        let change = (after.throughput - before.throughput) / before.throughput * 100.0;
        Self {
            rows: difference(before.rows, after.rows),
            bytes: difference(before.bytes, after.bytes),
            duration_s: tenth(after.duration_s - before.duration_s),
            throughput_percent: change.is_finite().then(|| tenth(change)),
        }
    }
}

fn difference(before: u64, after: u64) -> i64 {
    let size = i64::try_from(before.abs_diff(after)).unwrap_or(i64::MAX);
    if after < before { -size } else { size }
}

/// To one decimal, and never a negative zero: less than 0.05 is no difference.
fn tenth(value: f64) -> f64 {
    let rounded = (value * 10.0).round() / 10.0;
    if rounded == 0.0 { 0.0 } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_differences_are_none() {
        assert_eq!(tenth(-0.049).to_string(), "0");
        assert_eq!(tenth(0.05), 0.1);
        assert_eq!(tenth(-12.34), -12.3);
        assert_eq!(difference(3, 1), -2);
        assert_eq!(difference(1, u64::MAX), i64::MAX);
    }
}
