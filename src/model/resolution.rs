//! What became of the number of workers under the user's hints, stage by stage.

use serde::{Deserialize, Serialize};

use super::hints::{Priority, RuntimeContext};

/// The waterfall from the number of workers that a plan would have without hints to the one it has
/// (facts sheet, section 6). Outside of the fingerprint: the workers themselves are inside.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerResolution {
    /// The hints.
    pub hints: RuntimeContext,
    /// Workers without hints.
    pub base: u32,
    /// After the caps.
    pub after_caps: u32,
    /// The caps, each with the workers it allows.
    pub caps: Vec<HintCap>,
    /// The most workers that server, user and caps allow.
    pub most: u32,
    /// After the multiplier.
    pub after_multiplier: u32,
    /// The factors below 1 that make up the multiplier.
    pub factors: Vec<HintFactor>,
    /// The multiplier, in thousandths, never below [`WorkerResolution::LEAST_PERMILLE`].
    pub multiplier_permille: u32,
    /// Whether the factors together would have been below the least multiplier.
    pub floored: bool,
    /// After the priority.
    pub after_priority: u32,
    /// What the plan was made with; 0 where no connection is left for a worker, which the verdict
    /// refuses.
    pub workers: u32,
    /// What a person should know, in the order of the stages.
    pub warnings: Vec<HintWarning>,
}

impl WorkerResolution {
    /// The circumstances never take more than three quarters of the workers.
    pub const LEAST_PERMILLE: u32 = 250;
}

/// A cap on the workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HintCap {
    /// The hint's key.
    pub hint: String,
    /// Workers that it allows; 0 is taken as 1.
    pub workers: u32,
    /// Whether it is what lowered the workers: the lowest cap, and below the base.
    pub bound: bool,
}

/// A factor on the workers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HintFactor {
    /// The hint's key.
    pub hint: String,
    /// The hint's word.
    pub value: String,
    /// In thousandths.
    pub permille: u32,
}

/// What is odd about the hints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "warning", rename_all = "snake_case")]
pub enum HintWarning {
    /// The connections allowed are all taken before the first worker's.
    NoConnectionsLeft {
        /// `max_source_connections`.
        allowed: u32,
        /// `concurrent_extractions`.
        concurrent: u32,
        /// Sessions that a run needs beside its workers'.
        others: u32,
    },
    /// Nobody knows how wide a row is, so memory cannot be told in workers.
    MemoryWithoutWidth,
    /// The memory is less than one worker is thought to need.
    MemoryBelowOneWorker {
        /// `max_memory_mb`.
        allowed_mb: u64,
        /// What one worker is thought to need, in MiB.
        worker_mb: u64,
    },
    /// The memory is less than the program takes with one worker.
    MemoryBelowProgram {
        /// `max_memory_mb`.
        allowed_mb: u64,
        /// What it takes, in MiB.
        needed_mb: u64,
    },
    /// `concurrent_extractions` takes from `max_source_connections`, which is not given.
    ConcurrentWithoutCap,
    /// The priority changed nothing.
    PriorityWithoutEffect {
        /// It.
        priority: Priority,
    },
}
