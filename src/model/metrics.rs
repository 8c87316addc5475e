//! What the chunks and workers of a run come to (facts sheet, section 10.5).

use serde::Serialize;

/// Chunks by how they ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ChunkCounts {
    /// In the plan.
    pub planned: u64,
    /// Read to their end and written.
    pub finished: u64,
    /// Given up.
    pub failed: u64,
    /// Never finished because the run ended first, or was never closed.
    pub pending: u64,
    /// Attempts after the first, of all chunks.
    pub retries: u64,
}

/// A chunk and what was measured of it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OfChunk<T> {
    /// Plan chunk number, from 1.
    pub chunk: u32,
    /// The measure.
    pub value: T,
}

/// The finished chunks, measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChunkMetrics {
    /// Rows a second of chunk time, over all chunks.
    pub average_rate: f64,
    /// The most rows a second.
    pub best_rate: OfChunk<f64>,
    /// The fewest rows a second.
    pub worst_rate: OfChunk<f64>,
    /// The shortest, in milliseconds.
    pub fastest_ms: OfChunk<u64>,
    /// The longest, in milliseconds.
    pub slowest_ms: OfChunk<u64>,
    /// The median of their times, in milliseconds: of an even number the upper one.
    pub median_ms: u64,
    /// Coefficient of variation of their times; 0 of fewer than two.
    pub cv: f64,
    /// The longest over the median.
    pub skew: f64,
}

/// One worker, measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct WorkerMetrics {
    /// From 1.
    pub worker: u32,
    /// Chunks it finished.
    pub chunks: u32,
    /// Rows it wrote.
    pub rows: u64,
    /// Bytes it wrote.
    pub bytes: u64,
    /// Rows a second of the time that it had a chunk in hand.
    pub rate: f64,
    /// Of the time that the run lasted, with a chunk in hand, in thousandths.
    pub busy_permille: u32,
    /// Of that time, waiting for the source, in thousandths of the run's.
    pub blocked_permille: u32,
    /// Without a chunk, in thousandths.
    pub idle_permille: u32,
}

/// A run, measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Metrics {
    /// Chunks by how they ended.
    pub counts: ChunkCounts,
    /// The finished chunks; `None` where none was finished.
    pub chunks: Option<ChunkMetrics>,
    /// Planned workers.
    pub planned_workers: u32,
    /// Mean number of busy workers.
    pub effective_workers: f64,
    /// The workers that had a session.
    pub workers: Vec<WorkerMetrics>,
}
