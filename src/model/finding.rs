//! What a finished run shows: how it compares with the runs before it, and what that is put down to.
//! Data; only `ui::wording` turns it into sentences.

use serde::{Deserialize, Serialize};

use super::attribution::{Measures, Part, Skew};
use super::grounds::ConfidenceLevel;
use super::run::RunId;

/// What a run's course is put down to (facts sheet, section 10.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// More workers did better, or fewer did worse: there were too few.
    UnderParallel,
    /// More workers did worse, or fewer did better: there were too many.
    OverParallel,
    /// As the runs before it, or nothing to compare with.
    Stable,
    /// The source took longer to answer, or to let the run begin.
    SourceLatency,
    /// A few chunks held much more than the others, and workers waited for them.
    DataSkew,
    /// The run was as the runs before it, but not as it was predicted.
    ModelError,
    /// Far outside what the runs before it were, and none of the above.
    Anomaly,
}

impl Category {
    /// Every category.
    pub const ALL: [Self; 7] = [
        Self::UnderParallel,
        Self::OverParallel,
        Self::Stable,
        Self::SourceLatency,
        Self::DataSkew,
        Self::ModelError,
        Self::Anomaly,
    ];

    /// The word that is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnderParallel => "under_parallel",
            Self::OverParallel => "over_parallel",
            Self::Stable => "stable",
            Self::SourceLatency => "source_latency",
            Self::DataSkew => "data_skew",
            Self::ModelError => "model_error",
            Self::Anomaly => "anomaly",
        }
    }
}

/// One fact that a finding rests on, or that should be known beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "evidence", rename_all = "snake_case")]
pub enum Evidence {
    /// There is no earlier clean run to compare with.
    First,
    /// The speed changed since the clean run before it.
    Changed {
        /// That run.
        since: RunId,
        /// Change in thousandths.
        permille: i64,
    },
    /// The speed stayed within the 5 % that are noise.
    Unchanged {
        /// The clean run before it.
        since: RunId,
        /// Change in thousandths.
        permille: i64,
    },
    /// The number of workers changed since the clean run before it.
    WorkersChanged {
        /// Before.
        from: u32,
        /// Now.
        to: u32,
    },
    /// Too few clean earlier runs to tell whether this one is out of the ordinary.
    FewRuns {
        /// Those there are.
        runs: u32,
        /// Those there must be.
        needed: u32,
    },
    /// The speed is within what is usual, or as far from it as sometimes happens.
    Usual {
        /// Distance from the mean in standard deviations.
        z: f64,
        /// Clean earlier runs.
        runs: u32,
    },
    /// The speed is far from what is usual.
    Unusual {
        /// Distance from the mean in standard deviations.
        z: f64,
        /// The mean, in rows per second.
        mean: f64,
        /// Clean earlier runs.
        runs: u32,
    },
    /// Small queries before the run took much longer than before earlier runs.
    LatencyRose {
        /// The median of earlier runs' median round trips, in microseconds.
        from_us: u64,
        /// Now.
        to_us: u64,
    },
    /// The server took much longer to begin to answer a chunk's query.
    AnswersSlowed {
        /// The median of earlier runs' medians, in milliseconds.
        from_ms: u64,
        /// Now.
        to_ms: u64,
    },
    /// The run had to wait for its snapshot or the table's lock.
    SnapshotWaited {
        /// The median of earlier runs; 0 where there is none.
        from_ms: u64,
        /// Now.
        to_ms: u64,
    },
    /// Looking at the table before the run took much longer than before earlier runs: somebody held its
    /// lock, or its catalogue was slow.
    LookWaited {
        /// The median of earlier runs.
        from_ms: u64,
        /// Now.
        to_ms: u64,
    },
    /// The latency rule was breached by so many chunks that the run's confidence suffered.
    BackedOff {
        /// Time that workers paused, in milliseconds.
        paused_ms: u64,
    },
    /// Workers waited for a chunk that held more than the others.
    Uneven(Skew),
    /// A part took much longer for a row than in earlier runs.
    Costlier {
        /// The part.
        part: Part,
        /// The median of earlier runs, in nanoseconds of worker time a row.
        from_ns: u64,
        /// Now.
        to_ns: u64,
    },
    /// The table had another number of rows than was predicted.
    RowsMispredicted {
        /// Predicted.
        predicted: u64,
        /// Read.
        rows: u64,
    },
    /// The speed was another than was predicted.
    SpeedMispredicted {
        /// Predicted, in rows per second.
        predicted: f64,
        /// Reached.
        throughput: f64,
    },
}

/// What can be done about a finding, in view of what was active already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Nothing.
    Nothing,
    /// Nothing: later plans take this run into account by themselves.
    Learned,
    /// The run's number of workers was fixed by hand: leave it to the controller.
    FreeWorkers {
        /// The number.
        workers: u32,
    },
    /// Let the plan have more workers, if a limit keeps it from them.
    RaiseMaxWorkers {
        /// Workers now.
        workers: u32,
    },
    /// Let the plan have fewer workers, if a limit keeps it from that.
    LowerMaxWorkers {
        /// Workers now.
        workers: u32,
    },
    /// Run at another hour, or find out what else the source was doing.
    QuieterHour,
    /// Find out who holds locks on the table at that hour.
    FindLocks,
    /// Smaller chunks even the work out.
    SmallerChunks {
        /// Rows a chunk, for `--chunk-rows`.
        chunk_rows: u64,
        /// Whether the longest chunks were already taken first.
        longest_first: bool,
        /// Whether the bounds were already at equal numbers of rows.
        by_density: bool,
    },
    /// The source's statistics are behind: bring them up to date.
    RefreshStatistics,
    /// Select fewer columns or rows: the source has less to send.
    ReadLess,
    /// Cheaper compression, or a machine with more processors.
    CheaperEncoding,
    /// A faster disk or place, or stronger compression.
    FasterStorage,
    /// See what else the place that files go to did meanwhile.
    LookAtStorage,
    /// See what else the machine did meanwhile.
    LookAtMachine,
    /// See what else the source did meanwhile.
    LookAtSource,
    /// Leave the server's count out, at the price of a weaker proof.
    LeaveCountOut,
    /// Fewer workers open fewer sessions; a pooler opens them sooner.
    FewerSessions,
}

/// Which way an anomaly goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Slower than usual.
    Degradation,
    /// Faster than usual.
    Improvement,
}

impl Direction {
    /// The word that is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Degradation => "degradation",
            Self::Improvement => "improvement",
        }
    }
}

/// A run whose speed is far from that of the clean runs before it (facts sheet, section 10.4).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Anomaly {
    /// Which way.
    pub direction: Direction,
    /// Distance from the mean in standard deviations, at two decimals. Where the baseline does not
    /// vary: in fifths of the mean.
    pub z: f64,
    /// Rows per second of this run.
    pub throughput: f64,
    /// Mean of the baseline in rows per second, at one decimal.
    pub mean: f64,
    /// Standard deviation of the baseline in rows per second, at one decimal.
    pub sigma: f64,
    /// Runs in the baseline.
    pub runs: u32,
}

/// What a published run shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What its course is put down to.
    pub category: Category,
    /// How sure that is.
    pub certainty: ConfidenceLevel,
    /// What it rests on, the deciding facts first.
    pub evidence: Vec<Evidence>,
    /// What can be done.
    pub actions: Vec<Action>,
    /// Actual over predicted duration; 1 where nothing was predicted.
    pub deviation_ratio: f64,
    /// Change of the speed since the clean run before it, as a fraction.
    pub throughput_change: Option<f64>,
    /// What was measured.
    pub measures: Measures,
}
