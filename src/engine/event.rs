//! What happens during an execution, in one linear order. Terminal, log and recorder consume it.

use std::time::Duration;

use serde::Serialize;

use crate::model::{ChunkRecord, KeySum, PartReceipt, SnapshotFacts};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The snapshot is open and reading begins.
    Started {
        /// What the snapshot achieved.
        snapshot: SnapshotFacts,
        /// Chunks to read.
        chunks: u32,
        /// Workers planned.
        workers: u32,
    },
    /// A worker has its session.
    WorkerReady {
        /// From 1.
        worker: u32,
    },
    /// A planned worker did not get a session; the others go on.
    WorkerMissing {
        /// From 1.
        worker: u32,
        /// Why, one line.
        why: String,
    },
    /// A worker took a chunk.
    ChunkStarted {
        /// Plan chunk number.
        chunk: u32,
        /// From 1.
        worker: u32,
        /// From 1.
        attempt: u32,
    },
    /// Progress, a few times a second in all.
    Progress {
        /// Rows written so far, rows of later abandoned attempts excluded.
        rows: u64,
        /// Source bytes read so far.
        bytes: u64,
        /// Chunks finished.
        chunks_done: u32,
        /// Workers with a chunk in hand.
        busy: u32,
        /// Since the start.
        elapsed: Duration,
    },
    /// A chunk is read to its end and written.
    ChunkFinished {
        /// How it went.
        record: ChunkRecord,
        /// Its files.
        files: Vec<PartReceipt>,
        /// The server's own sum of its keys, with a full proof.
        key_sum: Option<KeySum>,
    },
    /// An attempt failed; the chunk is tried again after a pause.
    ChunkRetried {
        /// Plan chunk number.
        chunk: u32,
        /// From 1.
        worker: u32,
        /// The attempt that failed, from 1.
        attempt: u32,
        /// Pause before the next.
        pause: Duration,
        /// One line.
        error: String,
    },
    /// The adaptive back-off rule fired: the worker pauses.
    BackedOff {
        /// From 1.
        worker: u32,
        /// The pause.
        pause: Duration,
        /// How long the server took to begin to answer the chunk that triggered it.
        answer: Duration,
    },
    /// The source came near the limits of the impact budget, or away from them: fewer workers read, or
    /// more again.
    Impact {
        /// What changed, and why; one line.
        text: String,
    },
    /// A worker was held up in the middle of a chunk, to keep within the impact budget.
    HeldUp {
        /// From 1.
        worker: u32,
        /// For how long, in all of this attempt.
        pause: Duration,
    },
    /// The server's own count is known.
    Counted {
        /// Rows.
        rows: u64,
        /// What the count took.
        took: Duration,
    },
    /// All chunks are done.
    Drained {
        /// Rows written.
        rows: u64,
        /// Since the start.
        elapsed: Duration,
    },
}
