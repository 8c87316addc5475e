//! Why an execution ended without its rows.

use thiserror::Error;

use crate::error::{ExitCode, Failure};
use crate::source::SourceError;
use crate::writer::WriteError;

/// An error that ended an execution.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The source failed and retries did not help.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The target failed.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A worker ended in a way that no error describes; a bug.
    #[error("a worker died")]
    WorkerDied {
        /// What it was doing, and the panic's message where there is one.
        why: String,
    },
    /// The run could not keep within its impact budget.
    #[error("{what}")]
    Impact {
        /// What was stopped.
        what: String,
        /// Which limit, and what was beyond it.
        why: String,
        /// What helps.
        fix: String,
    },
    /// The execution was cancelled from outside.
    #[error("the run was cancelled")]
    Cancelled,
}

impl EngineError {
    /// Whether chunks that were finished before stay good, for a run of the same plan.
    pub fn keeps_chunks(&self) -> bool {
        match self {
            // What helps against such a value is another plan, and that goes on with nothing.
            Self::Source(SourceError::Unrepresentable { .. }) => false,
            Self::Source(error) => error.fault().is_none_or(|fault| fault.rule().keeps),
            Self::Write(_) | Self::Impact { .. } | Self::Cancelled => true,
            // Nobody knows what a bug has spoiled.
            Self::WorkerDied { .. } => false,
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Failure {
        match error {
            EngineError::Source(error) => error.into(),
            EngineError::Write(error) => error.into(),
            EngineError::WorkerDied { why } => Failure::new(
                ExitCode::Bug,
                "a worker died; nothing was published",
                why,
                "report this as a bug, with the command line",
            ),
            EngineError::Impact { what, why, fix } => {
                Failure::new(ExitCode::TryLater, what, why, fix)
            }
            EngineError::Cancelled => Failure::new(
                ExitCode::Interrupted,
                "the run was cancelled; nothing was published",
                "a signal asked for it",
                "run the same command again",
            ),
        }
    }
}
