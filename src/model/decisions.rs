//! Whether what was executed is what was decided.

use serde::{Deserialize, Serialize};

use super::plan::Strategy;

/// One decision, as it was planned and as it was executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Both<T> {
    /// In the plan.
    pub planned: T,
    /// In the execution.
    pub executed: T,
}

impl<T: PartialEq> Both<T> {
    /// Whether it was executed as planned.
    pub fn agree(&self) -> bool {
        self.planned == self.executed
    }
}

/// A plan's decisions against those of an execution of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decisions {
    /// Workers planned, and workers that had a session.
    pub workers: Both<u32>,
    /// Chunks planned, and chunks that were read to their end.
    pub chunks: Both<u64>,
    /// How the table was to be cut, and how what was read was cut.
    pub strategy: Both<Strategy>,
    /// The plan's fingerprint, and that of what was executed.
    pub fingerprint: Both<String>,
    /// What differs, one line each; empty exactly where both fingerprints are the same.
    pub differences: Vec<String>,
}

impl Decisions {
    /// Whether everything was executed as decided.
    pub fn agree(&self) -> bool {
        self.fingerprint.agree()
    }
}
