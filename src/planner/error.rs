//! What can be wrong with a request or with a plan document, and what to do about it.

use thiserror::Error;

use crate::error::{ExitCode, Failure};
use crate::model::{SpecError, UnusableKey};

/// An error of planning, or of a plan that was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// `--chunking key` on a relation without a key that chunks can be cut on.
    #[error("cannot cut {relation} on a key")]
    NoKey {
        /// The relation.
        relation: String,
        /// Physical blocks could be cut on instead.
        blocks: bool,
        /// The primary key, where it is none that can be cut on.
        unusable: Option<UnusableKey>,
    },
    /// `--chunking ctid` where physical blocks cannot be addressed.
    #[error("cannot cut {relation} into physical blocks")]
    NoBlocks {
        /// The relation.
        relation: String,
        /// The server as it names itself.
        server: String,
        /// A key could be cut on instead.
        key: bool,
    },
    /// `--proof full` without a key that server and files can be compared by.
    #[error("cannot prove {relation} in full")]
    Unprovable {
        /// The relation.
        relation: String,
        /// What its keys lack.
        why: String,
    },
    /// The planner made a plan that breaks its own rules: a bug.
    #[error("the planner made a plan for {relation} that cannot be executed")]
    Unsound {
        /// The relation.
        relation: String,
        /// The broken rule.
        #[source]
        source: SpecError,
    },
    /// A loaded plan is not what was fingerprinted.
    #[error("the plan was changed after it was made")]
    Fingerprint {
        /// The fingerprint written in the plan.
        written: String,
        /// The fingerprint of its content.
        found: String,
    },
    /// A loaded plan breaks the rules of a plan.
    #[error("the plan cannot be executed")]
    Broken(#[source] SpecError),
    /// A loaded plan's version is not one that this program knows.
    #[error("the plan is of version {version}")]
    Version {
        /// The plan's version.
        version: u64,
        /// The version that this program writes.
        known: u32,
    },
    /// The document is no plan.
    #[error("the plan cannot be read")]
    Unparsable {
        /// The parser's words.
        why: String,
    },
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Failure {
        use PlanError as E;
        let what = error.to_string();
        let (exit, why, fix) = match error {
            E::NoKey {
                blocks, unusable, ..
            } => (
                ExitCode::Refused,
                unusable.map_or_else(
                    || "it has no index whose first column has an order that we know".to_owned(),
                    |key| key.to_string(),
                ),
                if blocks {
                    "leave --chunking away: it is then cut into physical blocks".to_owned()
                } else {
                    "leave --chunking away to read it in one pass, or add a plain index on a column of it".to_owned()
                },
            ),
            E::NoBlocks { server, key, .. } => (
                ExitCode::Refused,
                format!(
                    "block ranges need PostgreSQL 14 or later, and tables that may be read one by one; this is {server}"
                ),
                if key {
                    "pass --chunking key, or leave --chunking away".to_owned()
                } else {
                    "leave --chunking away to read it in one pass".to_owned()
                },
            ),
            E::Unprovable { why, .. } => (
                ExitCode::Refused,
                why,
                "leave --proof away: the server then counts the rows, and every stream and file is checked".to_owned(),
            ),
            E::Unsound { source, .. } => (
                ExitCode::Bug,
                source.to_string(),
                "report this with the output of ixtract profile --json".to_owned(),
            ),
            E::Fingerprint { written, found } => (
                ExitCode::Integrity,
                format!("its fingerprint is {written}, its content gives {found}"),
                "make a new plan with ixtract plan --out; a plan must not be edited".to_owned(),
            ),
            E::Broken(source) => (
                ExitCode::Integrity,
                source.to_string(),
                "make a new plan with ixtract plan --out".to_owned(),
            ),
            E::Version { version, known } if version > u64::from(known) => (
                ExitCode::Config,
                format!("this ixtract knows plans up to version {known}"),
                "use the ixtract that made the plan, or make a new one with ixtract plan --out"
                    .to_owned(),
            ),
            E::Version { known, .. } => (
                ExitCode::Config,
                format!("there are plans of version 1 to {known} only"),
                "make a new plan with ixtract plan --out".to_owned(),
            ),
            E::Unparsable { why } => (
                ExitCode::Config,
                why,
                "give a file that ixtract plan --out wrote".to_owned(),
            ),
        };
        Failure::new(exit, what, why, fix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_exit_code_and_three_lines() {
        let relation = || "public.orders".to_owned();
        let cases = [
            (
                PlanError::NoKey {
                    relation: relation(),
                    blocks: true,
                    unusable: None,
                },
                ExitCode::Refused,
            ),
            (
                PlanError::NoBlocks {
                    relation: relation(),
                    server: "SQLite 3".into(),
                    key: true,
                },
                ExitCode::Refused,
            ),
            (
                PlanError::Unsound {
                    relation: relation(),
                    source: SpecError::NoWorker,
                },
                ExitCode::Bug,
            ),
            (
                PlanError::Fingerprint {
                    written: "a".into(),
                    found: "b".into(),
                },
                ExitCode::Integrity,
            ),
            (PlanError::Broken(SpecError::Order), ExitCode::Integrity),
            (
                PlanError::Version {
                    version: 2,
                    known: 1,
                },
                ExitCode::Config,
            ),
            (
                PlanError::Version {
                    version: 0,
                    known: 1,
                },
                ExitCode::Config,
            ),
            (
                PlanError::Unparsable {
                    why: "no JSON".into(),
                },
                ExitCode::Config,
            ),
        ];
        for (error, exit) in cases {
            let failure = Failure::from(error);
            assert_eq!(failure.exit, exit);
            let lines = [&failure.what, &failure.why, &failure.fix];
            assert!(
                lines
                    .iter()
                    .all(|line| !line.is_empty() && !line.contains('\n'))
            );
        }
    }
}
