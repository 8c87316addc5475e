//! What a benchmark measured: how fast a table is read by different numbers of workers (facts sheet,
//! section 4).

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of the stored document.
pub const BENCHMARK_VERSION: u32 = 1;

/// How throughput goes with the number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CurveShape {
    /// The most workers are the fastest.
    Increasing,
    /// Past the fastest count more workers change little, or it is the first.
    Plateau,
    /// Past the fastest count more workers are slower.
    NonMonotonic,
}

impl CurveShape {
    /// The word that is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Increasing => "increasing",
            Self::Plateau => "plateau",
            Self::NonMonotonic => "non_monotonic",
        }
    }
}

/// One number of workers, measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeResult {
    /// Sessions that read at the same time.
    pub worker_count: u32,
    /// Mean number of sessions that were reading, over all ranges.
    pub effective_workers: f64,
    /// Rows per second, one figure for each range.
    pub throughputs: Vec<f64>,
    /// Their mean.
    pub avg_throughput: f64,
    /// Their coefficient of variation; population.
    pub cv: f64,
}

/// A benchmark of a table, as it is stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Benchmark {
    /// [`BENCHMARK_VERSION`].
    pub schema_version: u32,
    /// The database, without secrets.
    pub source: String,
    /// The relation, `schema.name`.
    pub object_name: String,
    /// When it ended.
    pub benchmarked_at: Timestamp,
    /// Estimated rows that one session read of each range.
    pub probe_rows: u64,
    /// Ranges of the table that were read.
    pub ranges_used: u32,
    /// The numbers of workers that were tried.
    pub worker_grid: Vec<u32>,
    /// Those that could be measured, ascending; two or more.
    pub probe_results: Vec<ProbeResult>,
    /// The fewest workers within 5 % of the fastest.
    pub optimal_workers: u32,
    /// How far the curve can be trusted, 0 to 1.
    pub confidence: f64,
    /// What the number of workers matters: (best − worst) / best, at least 0.15.
    pub signal_strength: f64,
    /// How throughput goes with the number of workers.
    pub curve_shape: CurveShape,
    /// Estimated rows of the table.
    pub row_estimate_at_benchmark: u64,
}

impl Benchmark {
    /// Mean rows per second by number of workers.
    pub fn throughput_by_workers(&self) -> BTreeMap<u32, f64> {
        let results = self.probe_results.iter();
        results
            .map(|result| (result.worker_count, result.avg_throughput))
            .collect()
    }

    /// Rows per second of so many workers: measured, or on the straight line between two measured
    /// counts. `None` outside of what was measured, where nothing is known.
    pub fn throughput(&self, workers: u32) -> Option<f64> {
        let curve = self.throughput_by_workers();
        let (below, low) = curve.range(..=workers).next_back()?;
        let (above, high) = curve.range(workers..).next()?;
        if below == above {
            return Some(*low);
        }
        let part = f64::from(workers - below) / f64::from(above - below);
        Some(low + part * (high - low))
    }
}

/// Why a benchmark does not decide the number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Unfit {
    /// It is older than a week.
    TooOld {
        /// Its age in whole days.
        days: u32,
    },
    /// The table has a fifth more or fewer rows now.
    RowsChanged {
        /// Estimated rows then.
        then: u64,
        /// Estimated rows now.
        now: u64,
    },
    /// Its measurements vary too much.
    NotTrusted {
        /// Its confidence in thousandths.
        confidence_permille: u32,
    },
    /// Runs have learned from it and go on from there.
    TakenUp {
        /// Teaching runs since.
        runs: u32,
    },
}

/// A number of workers that a benchmark stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Benchmarked {
    /// Workers.
    pub workers: u32,
    /// The fewest within 5 % of the fastest.
    pub optimal: u32,
    /// Whether few are taken because the number of workers matters little.
    pub conservative: bool,
    /// How far it can be trusted, in thousandths.
    pub confidence_permille: u32,
}
