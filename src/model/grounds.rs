//! What an estimate rests on (facts sheet, section 3).

use serde::{Deserialize, Serialize};

use super::context::NetworkLevel;
use super::profile::SourceLoad;
use super::run::RunId;

/// How far an estimate, or a finding, can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConfidenceLevel {
    /// A guess, or little to go by.
    Low,
    /// Something to go by: for an estimate, at least two alike runs.
    Medium,
    /// Plenty to go by: for an estimate, at least three alike runs that agree.
    High,
}

impl ConfidenceLevel {
    /// The word that is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// One step less.
    pub fn lowered(self) -> Self {
        match self {
            Self::High => Self::Medium,
            Self::Medium | Self::Low => Self::Low,
        }
    }
}

/// Something to know about an estimate, in the order in which they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfidenceNote {
    /// No run under like circumstances: an average of all, or a guess.
    FallbackUsed,
    /// No run had the planned number of workers; those of another number stand in.
    OtherWorkers,
    /// At most one run under like circumstances.
    SparseEvidence,
    /// The best match is not very alike.
    WeakMatch,
    /// The matches differ among each other.
    HighVariance,
    /// One match outweighs the rest.
    DominantMatch,
}

/// A run that an estimate rests on, and its circumstances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatchedRun {
    /// The run.
    pub run: RunId,
    /// Similarity to now, 0 to 1.
    pub score: f64,
    /// Rows per second.
    pub throughput: f64,
    /// How long ago, in days.
    pub age_days: f64,
    /// Share of the server's connections that were in use.
    pub source_load: Option<SourceLoad>,
    /// Round trips then.
    pub network_quality: Option<NetworkLevel>,
    /// The time of day, in bands of four hours, UTC.
    pub time_band: u8,
    /// Extractions beside it.
    pub concurrent_extractions: u32,
}

/// Why a run was not compared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Exclusion {
    /// Its circumstances were not recorded.
    NoContextRecorded,
    /// It is a benchmark.
    BenchmarkRun,
    /// What was recorded cannot be read.
    InvalidContext,
    /// The table had less than half or more than twice as many rows.
    RowGrowth {
        /// Estimated rows then.
        then: u64,
        /// Estimated rows now.
        now: u64,
        /// Similarity, for show.
        score: f64,
    },
    /// Its circumstances were too different.
    ScoreTooLow {
        /// Similarity.
        score: f64,
        /// The least that would have done.
        least: f64,
    },
}

/// A run that was not compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExcludedRun {
    /// The run.
    pub run: RunId,
    /// Why not.
    #[serde(flatten)]
    pub why: Exclusion,
}

/// What an estimate rests on, and how far it can be trusted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grounds {
    /// How far.
    pub confidence: ConfidenceLevel,
    /// Why no further, in the order in which it is shown.
    pub notes: Vec<ConfidenceNote>,
    /// The number of workers whose runs it rests on; `None` where there is no run.
    pub workers: Option<u32>,
    /// What the speed of those workers was multiplied by, where a benchmark measured how the planned
    /// number compares.
    #[serde(default)]
    pub scaled_by: Option<f64>,
    /// Share of the alike runs against the average of all, 0 to 1; where blended.
    pub blend_weight: Option<f64>,
    /// What it was kept within, where that moved it by more than 1 row/s.
    pub clamped_to: Option<(f64, f64)>,
    /// Share of the heaviest match in the weight of all; where there are two or more.
    pub dominance: Option<f64>,
    /// Coefficient of variation of the matches' throughput; where there are two or more.
    pub variation: Option<f64>,
    /// Alike runs, most alike first.
    pub matched: Vec<MatchedRun>,
    /// Runs of that number of workers that were left out of the comparison, newest first.
    pub excluded: Vec<ExcludedRun>,
}

impl Grounds {
    /// The grounds of a guess: there is nothing to go by.
    pub fn none() -> Self {
        Self {
            confidence: ConfidenceLevel::Low,
            notes: vec![ConfidenceNote::FallbackUsed, ConfidenceNote::SparseEvidence],
            workers: None,
            scaled_by: None,
            blend_weight: None,
            clamped_to: None,
            dominance: None,
            variation: None,
            matched: Vec::new(),
            excluded: Vec::new(),
        }
    }
}

impl Default for Grounds {
    fn default() -> Self {
        Self::none()
    }
}
