//! What is to be said of a plan before it is executed.

use serde::{Deserialize, Serialize};

use super::resolution::HintWarning;

/// Whether a plan should be executed.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "verdict", content = "objection", rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing speaks against it.
    Safe,
    /// It may be executed; a person should know the plan's warnings and advice first.
    SafeWithWarnings,
    /// It needs `--force` or a person's yes.
    NotRecommended(Objection),
}

/// What speaks against a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "against", rename_all = "snake_case")]
pub enum Objection {
    /// The connections that the user allows leave none for a worker.
    Connections(HintWarning),
    /// Advice that the plan fails.
    Advice(Advice),
    /// The output does not fit where it is to go.
    Room {
        /// Bytes that should be free.
        needed: u64,
        /// Bytes that are.
        free: u64,
    },
}

/// How a plan stands to one of the user's hints that do not change it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// The plan should not be executed.
    Fail,
    /// A person should know.
    Warn,
    /// As wished.
    Pass,
}

/// What a plan means for one of the user's hints that do not change it (facts sheet, section 6).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Advice {
    /// How the plan stands to it.
    pub standing: Standing,
    /// Which, with the numbers.
    #[serde(flatten)]
    pub about: About,
}

/// What advice is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "hint", rename_all = "snake_case")]
pub enum About {
    /// `--target-duration`.
    TargetDuration {
        /// Minutes wished for.
        minutes: u32,
        /// Seconds expected.
        expected_s: f64,
        /// Workers that would be needed if each added as much as those planned.
        workers_needed: u64,
        /// Workers planned.
        workers: u32,
        /// The most that may be used here.
        most: u32,
    },
    /// `--maintenance-window`.
    MaintenanceWindow {
        /// Minutes until the source must be left alone.
        minutes: u32,
        /// Seconds expected.
        expected_s: f64,
    },
    /// `--disk-available-gb`.
    Disk {
        /// GiB available.
        available_gb: f64,
        /// Bytes of the output.
        output: u64,
    },
    /// `--egress-budget-mb`.
    Egress {
        /// MiB that may be written.
        budget_mb: f64,
        /// Bytes of the output.
        output: u64,
    },
}
