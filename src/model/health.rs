//! The state of a table's runs as a whole (facts sheet, section 10.5).

use serde::Serialize;

use super::run::RunStatus;

/// How a table's runs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// As they should be.
    Healthy,
    /// Something to look at.
    NeedsAttention,
    /// Something is wrong.
    Degraded,
}

impl Health {
    /// The word that is shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Healthy => "HEALTHY",
            Self::NeedsAttention => "NEEDS ATTENTION",
            Self::Degraded => "DEGRADED",
        }
    }
}

/// Where the speed is going over the last runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "trend", rename_all = "snake_case")]
pub enum Trend {
    /// Fewer than three runs.
    InsufficientHistory,
    /// The first of them was slower than 1,000 rows a second.
    InsufficientSignal,
    /// Within 5 %.
    Stable {
        /// Change in thousandths.
        permille: i64,
    },
    /// Faster.
    Improving {
        /// Change in thousandths.
        permille: i64,
    },
    /// Slower.
    Degrading {
        /// Change in thousandths.
        permille: i64,
    },
}

/// A reason for a [`Health`] that is not the best.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "concern", rename_all = "snake_case")]
pub enum Concern {
    /// Nothing has run.
    NoRuns,
    /// The last run did not succeed.
    LastRun {
        /// How it ended.
        status: RunStatus,
    },
    /// Some of the last three runs were anomalous.
    Anomalies {
        /// How many.
        runs: u32,
    },
    /// The speed has fallen by more than a fifth over the last runs.
    Falling {
        /// Change in thousandths.
        permille: i64,
    },
    /// There is no profile.
    NoProfile,
    /// The profile is old.
    StaleProfile {
        /// Hours since it was made.
        hours: u64,
    },
    /// The newest published data is too old.
    Old {
        /// Its age in seconds; `None` where nothing is published.
        age_s: Option<u64>,
        /// The oldest that it may be, in seconds.
        most_s: u64,
    },
    /// The controller still looks for the best number of workers.
    NotConverged,
}

/// The outcome of a look at a table's runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checkup {
    /// How they are.
    pub health: Health,
    /// Why not better, the gravest first.
    pub concerns: Vec<Concern>,
    /// Where the speed is going.
    pub trend: Trend,
}
