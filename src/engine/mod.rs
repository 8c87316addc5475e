//! Executes a plan: a dispatcher owns the run's state, workers own one session each, and nothing but
//! messages passes between them.
//!
//! The engine knows the two traits [`Snapshot`] and [`Sink`], a clock and the rules of
//! [`within_run`](crate::controller::within_run); it knows no database, no file format, no history
//! and no terminal. What happens is told in one linear order of [`event::Event`]s.
//!
//! A chunk counts as done only when its stream ended with the server's own proof and its writer
//! returned its receipts; an execution succeeds only when that is so for every chunk of the plan.

pub mod budget;
mod dispatcher;
mod error;
pub mod event;
mod host;
mod retry;
mod watch;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::controller::within_run::{Confidence, ImpactBudget};
use crate::model::{ChunkRecord, ExecutionSpec, KeySum, PlannedChunk, WorkerRecord};
use crate::source::Snapshot;
use crate::writer::{PartReceipt, Sink};

pub use error::EngineError;
pub use host::WorkerHost;
pub(crate) use watch::until_blocking;

/// How an execution is carried out; nothing here changes what is read or written.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Measures durations.
    pub clock: SharedClock,
    /// Where workers run.
    pub host: WorkerHost,
    /// How long somebody may wait for a lock of ours before the run is given up.
    pub max_blocking: Duration,
    /// What the run may do to its source at the most.
    pub impact: ImpactBudget,
    /// When the snapshot was asked for, by the clock's monotonic time.
    pub snapshot_since: Duration,
    /// The source's median round trip, which the back-off rule is a multiple of.
    pub latency_p50: Duration,
    /// Seeds the jitter of retry pauses.
    pub seed: u64,
}

/// What an execution did, however it ended.
#[derive(Debug)]
pub struct Execution {
    /// Success, or the first error that ended it.
    pub result: Result<(), EngineError>,
    /// Rows of finished chunks.
    pub rows: u64,
    /// Bytes of finished files.
    pub bytes: u64,
    /// The server's own count of the rows, when the plan's proof asks for it.
    pub counted: Option<u64>,
    /// What that count took.
    pub count_took: Option<Duration>,
    /// The server's own sums over the keys of each chunk, by its number, and what each took; when the
    /// plan's proof asks for them.
    pub key_sums: BTreeMap<u32, (KeySum, Duration)>,
    /// Wall time.
    pub elapsed: Duration,
    /// Finished files of all chunks, in plan order.
    pub receipts: Vec<PartReceipt>,
    /// Every chunk of the plan, in plan order.
    pub chunks: Vec<ChunkRecord>,
    /// What was read to its end, by number, as the worker that read it was told: what really was
    /// executed.
    pub executed: Vec<PlannedChunk>,
    /// Values of finished chunks that stand as NULL because their output type cannot hold them, by
    /// column.
    pub nulled: BTreeMap<String, u64>,
    /// Workers that got a session.
    pub sessions: u32,
    /// Every planned worker that was not given up before its first chunk.
    pub workers: Vec<WorkerRecord>,
    /// Mean number of busy workers, from 1 to the planned number (facts sheet, section 8).
    pub effective_workers: f64,
    /// Whether latency stayed near normal.
    pub confidence: Confidence,
    /// What was done otherwise than planned, one line each.
    pub adaptations: Vec<String>,
}

/// Executes `spec` in `snapshot` into `sink`.
///
/// Returns when every worker has stopped. On `cancel`, reads stop, the server is asked to drop its
/// queries and writers abort; that takes a few seconds at most.
pub async fn execute(
    spec: &ExecutionSpec,
    snapshot: Arc<dyn Snapshot>,
    sink: Arc<dyn Sink>,
    settings: &Settings,
    on_event: &mut (dyn FnMut(event::Event) + Send),
    cancel: CancellationToken,
) -> Execution {
    dispatcher::Dispatcher::new(spec, snapshot, sink, settings)
        .run(on_event, cancel)
        .await
}
