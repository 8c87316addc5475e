//! Several tables in one document.

use serde::Serialize;

use super::{PlanDocument, RunDocument};
use crate::error::{ExitCode, Failure};
use crate::model::{RunId, SnapshotFacts};

/// `run` of several tables, whatever became of them.
#[derive(Debug, Serialize)]
pub struct SetDocument {
    /// `success`, `partial` where some tables are published, or `failed`.
    pub status: &'static str,
    /// The set's id, which its runs have in common.
    pub set: RunId,
    /// The code that the process ends with.
    pub exit: ExitCode,
    /// The point in time that tables were read at together; none where each has one of its own.
    pub snapshot: Option<SnapshotFacts>,
    /// Rows of all tables that are published.
    pub rows: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// Wall time of everything, in seconds.
    pub duration_s: f64,
    /// The set's manifest; none where nothing was published.
    pub manifest: Option<String>,
    /// The tables, in the order in which they were named.
    pub tables: Vec<SetTable>,
    /// Why the set's manifest could not be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// What became of one table of a set.
#[derive(Debug, Serialize)]
pub struct SetTable {
    /// The relation, `schema.name`; as it was written where that is all that is known.
    pub table: String,
    /// `success`, `nothing new` or `failed`.
    pub status: &'static str,
    /// Its dataset, where that is published.
    pub dataset: Option<String>,
    /// Whether it was read at the set's point in time.
    pub in_snapshot: bool,
    /// The run, as one of this table alone would tell it.
    pub run: Option<Box<RunDocument>>,
    /// The run that failed, where it came to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failed_run: Option<RunId>,
    /// What went wrong.
    pub error: Option<Failure>,
}

impl SetDocument {
    /// Sums up what became of the tables; `interrupted` is what a signal asked to end with.
    pub fn judge(&mut self, interrupted: Option<ExitCode>) {
        let published = self.tables.iter().filter_map(|table| table.run.as_deref());
        (self.rows, self.bytes) = published.fold((0, 0), |(rows, bytes), run| {
            (rows + run.rows, bytes + run.bytes)
        });
        let mut failed = self.tables.iter().filter_map(|table| table.error.as_ref());
        let Some(first) = failed.next().map(|failure| failure.exit) else {
            self.status = "success";
            self.exit = ExitCode::Success;
            return;
        };
        let alike = failed.all(|failure| failure.exit == first);
        let any_well = self.tables.iter().any(|table| table.error.is_none());
        self.status = if any_well { "partial" } else { "failed" };
        self.exit = match interrupted {
            Some(exit) => exit,
            None if any_well => ExitCode::Partial,
            None if alike => first,
            None => ExitCode::Failed,
        };
    }

    /// Everything that went wrong.
    pub fn failures(&self) -> impl Iterator<Item = &Failure> {
        let tables = self.tables.iter();
        tables
            .filter_map(|table| table.error.as_ref())
            .chain(&self.failure)
    }
}

/// `plan` of several tables.
#[derive(Debug, Serialize)]
pub struct PlansDocument<'a> {
    /// The plans, in the order in which the tables were named.
    pub plans: Vec<PlanDocument<'a>>,
    /// What a person should know beside the plans' own warnings.
    pub warnings: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(exits: &[Option<ExitCode>]) -> SetDocument {
        let tables = exits.iter().map(|exit| SetTable {
            table: "s.t".to_owned(),
            status: "failed",
            dataset: None,
            in_snapshot: false,
            run: None,
            failed_run: None,
            error: exit.map(|exit| Failure::new(exit, "what", "why", "fix")),
        });
        SetDocument {
            status: "",
            set: RunId::stored("s".to_owned()),
            exit: ExitCode::Success,
            snapshot: None,
            rows: 0,
            bytes: 0,
            duration_s: 0.0,
            manifest: None,
            tables: tables.collect(),
            failure: None,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn the_exit_code_follows_from_what_became_of_the_tables() {
        let (denied, later) = (Some(ExitCode::Denied), Some(ExitCode::TryLater));
        for (tables, interrupted, status, exit) in [
            (vec![None, None], None, "success", ExitCode::Success),
            (vec![None, denied], None, "partial", ExitCode::Partial),
            (vec![denied, denied], None, "failed", ExitCode::Denied),
            (vec![denied, later], None, "failed", ExitCode::Failed),
            (
                vec![None, Some(ExitCode::Terminated)],
                Some(ExitCode::Terminated),
                "partial",
                ExitCode::Terminated,
            ),
            // The signal came when everything was done.
            (
                vec![None],
                Some(ExitCode::Interrupted),
                "success",
                ExitCode::Success,
            ),
        ] {
            let mut document = document(&tables);
            document.judge(interrupted);
            assert_eq!(
                (document.status, document.exit),
                (status, exit),
                "{tables:?}"
            );
        }
    }
}
