//! Why something was decided: data, which only `ui::wording` turns into sentences.

use serde::{Deserialize, Serialize};

use super::benchmark::{Benchmarked, Unfit};
use super::hints::Priority;
use super::profile::Origin;
use super::relation::UnusableKey;

/// One reason behind a decision of the planner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// Small table: one chunk. Limits are the facts sheet's 100,000 rows and 50,000,000 bytes.
    SmallTable {
        /// Estimated rows.
        rows: u64,
        /// Estimated bytes.
        bytes: u64,
    },
    /// No key and no addressable blocks: one chunk.
    NothingToCutOn,
    /// `--chunking none`.
    ChunkingOff,
    /// Chunks on a key because rows are stored in its order.
    KeyCorrelated {
        /// Key column.
        key: String,
        /// Correlation in thousandths.
        correlation_permille: i32,
    },
    /// Chunks on a key because blocks cannot be addressed.
    KeyOnly {
        /// Key column.
        key: String,
    },
    /// Block chunks because the key is not in storage order (or its order is unknown).
    BlocksUncorrelated {
        /// Key column.
        key: String,
        /// Correlation in thousandths where known.
        correlation_permille: Option<i32>,
    },
    /// Block chunks because there is no key.
    BlocksNoKey,
    /// The primary key cannot be cut on.
    KeyUnusable(UnusableKey),
    /// The user asked for this chunking.
    ChunkingForced {
        /// `key` or `ctid`.
        chunking: String,
    },
    /// The user asked for this many rows a chunk.
    ChunkRowsForced {
        /// Rows.
        rows: u64,
    },
    /// What would have been cut on gives too few chunks: a key of few values, a table of few blocks.
    CutTooCoarse {
        /// `key COLUMN`, `key (COLUMN, COLUMN)` or `blocks`.
        cut: String,
        /// Chunks it would give.
        chunks: u32,
    },
    /// What is cut on in place of what was too coarse.
    CutInstead {
        /// `key COLUMN`, `key (COLUMN, COLUMN)` or `blocks`.
        cut: String,
    },
    /// Every leaf of a partitioned table or inheritance tree is read by itself.
    LeavesApart {
        /// Leaves.
        leaves: u32,
    },
    /// Chunk bounds at equal estimated rows.
    BoundsFrom {
        /// Where the spread is known from.
        origin: Origin,
    },
    /// What an earlier run found to pass the filter is expected again.
    RowsFiltered {
        /// Rows that pass.
        rows: u64,
        /// Estimated rows of the table.
        of: u64,
    },
    /// `--workers`.
    WorkersForced {
        /// Workers.
        workers: u32,
    },
    /// The profiler's recommendation.
    WorkersProfiled {
        /// Workers.
        workers: u32,
    },
    /// `--start-workers`.
    WorkersStart {
        /// Workers.
        workers: u32,
    },
    /// What a benchmark stands for.
    WorkersBenchmarked(Benchmarked),
    /// There is a benchmark, and it does not decide.
    BenchmarkPassed(Unfit),
    /// What the controller learned from earlier runs.
    WorkersLearned(Learned),
    /// `--min-workers` raised the workers, before the caps.
    WorkersRaised {
        /// Before.
        from: u32,
        /// After.
        to: u32,
    },
    /// A cap lowered the workers.
    WorkersCapped {
        /// Before.
        from: u32,
        /// After.
        to: u32,
        /// `safe connections`, `CPUs`, `--max-workers`, `chunks`, `readers of one snapshot`,
        /// `--max-source-connections`, `--max-memory-mb`.
        cap: String,
    },
    /// The user's hints changed the workers, after the caps.
    WorkersHinted(Hinted),
    /// The key's spread is skewed: longest chunk first.
    Skewed {
        /// Coefficient of variation in thousandths.
        cv_permille: u32,
    },
    /// The chunks' estimated rows differ by more than 10 %: longest chunk first.
    UnequalChunks {
        /// Estimated rows of the smallest chunk.
        smallest: u64,
        /// Estimated rows of the largest chunk.
        largest: u64,
    },
}

/// How the user's hints changed a number of workers; each is a stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Hinted {
    /// The circumstances lowered them.
    Scaled {
        /// Before.
        from: u32,
        /// After.
        to: u32,
        /// The factor, in thousandths.
        permille: u32,
        /// What it is made of, such as `--network-quality poor`.
        because: Vec<String>,
    },
    /// `--priority` changed the workers.
    Prioritised {
        /// Before.
        from: u32,
        /// After.
        to: u32,
        /// It.
        priority: Priority,
    },
}

/// Why the controller chose a number of workers; each is a step of its search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Learned {
    /// The count that did best stays.
    Held {
        /// Workers.
        workers: u32,
        /// Runs that this rests on.
        runs: u32,
        /// Different numbers of workers in them.
        counts: u32,
    },
    /// A count that was measured is better beyond noise, or as good with fewer workers.
    Adopted {
        /// Workers.
        workers: u32,
        /// The count in use before.
        from: u32,
        /// Expected gain in thousandths; about 0 or less where fewer workers do as well.
        permille: i32,
    },
    /// A count that may be better is tried for one run.
    Tried {
        /// Workers.
        workers: u32,
        /// The best count so far.
        best: u32,
        /// What may be gained, weighed by how likely it is, in thousandths.
        permille: i32,
    },
    /// A search that has converged looks at a neighbour again.
    Probed {
        /// Workers.
        workers: u32,
        /// The best count so far.
        best: u32,
        /// Runs since the last trial.
        quiet: u32,
    },
    /// A steady decline: one worker less.
    Declined {
        /// Before.
        from: u32,
        /// After; the same where there can be no fewer.
        to: u32,
        /// Change of the throughput in thousandths.
        permille: i32,
    },
    /// Three sharp drops in a row: two workers less.
    Dropped {
        /// Before.
        from: u32,
        /// After.
        to: u32,
        /// Change of the throughput in thousandths.
        permille: i32,
    },
    /// The throughput is another one now: what was learned is forgotten and the search begins anew.
    Restarted {
        /// Workers.
        workers: u32,
        /// Change of the throughput in thousandths.
        permille: i32,
    },
}
