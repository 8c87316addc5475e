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
mod gauge;
mod host;
mod retry;
mod watch;
mod worker;

use std::collections::{BTreeMap, BTreeSet};
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
pub(crate) use watch::{Look, behind, until_blocking};

/// What is to be executed.
#[derive(Clone, Debug)]
pub struct Work<'a> {
    /// The plan.
    pub spec: &'a ExecutionSpec,
    /// Its chunks that need not be read, by number: an unfinished run has left them whole.
    pub kept: BTreeSet<u32>,
}

impl<'a> From<&'a ExecutionSpec> for Work<'a> {
    /// All of a plan.
    fn from(spec: &'a ExecutionSpec) -> Self {
        Self {
            spec,
            kept: BTreeSet::new(),
        }
    }
}

impl<'a> Work<'a> {
    /// The chunks to read, in plan order.
    fn chunks(&self) -> impl Iterator<Item = &'a PlannedChunk> {
        let chunks = self.spec.chunks.iter();
        chunks.filter(|chunk| !self.kept.contains(&chunk.number))
    }

    /// The chunks that are kept, in plan order.
    fn kept(&self) -> impl Iterator<Item = &'a PlannedChunk> {
        let chunks = self.spec.chunks.iter();
        chunks.filter(|chunk| self.kept.contains(&chunk.number))
    }
}

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
    /// Of these, the rows in the range of each chunk that was kept.
    pub counted_kept: BTreeMap<u32, u64>,
    /// What counting took.
    pub count_took: Option<Duration>,
    /// The server's own sums over the keys of each chunk, by its number, and what each took; when the
    /// plan's proof asks for them.
    pub key_sums: BTreeMap<u32, (KeySum, Duration)>,
    /// Wall time.
    pub elapsed: Duration,
    /// Finished files of all chunks, in plan order.
    pub receipts: Vec<PartReceipt>,
    /// Every chunk that was to be read, in plan order.
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

/// Executes `work` in `snapshot` into `sink`.
///
/// Returns when every worker has stopped. On `cancel`, reads stop, the server is asked to drop its
/// queries and writers abort; that takes a few seconds at most.
pub async fn execute<'a>(
    work: impl Into<Work<'a>>,
    snapshot: Arc<dyn Snapshot>,
    sink: Arc<dyn Sink>,
    settings: &Settings,
    on_event: &mut (dyn FnMut(event::Event) + Send),
    cancel: CancellationToken,
) -> Execution {
    dispatcher::Dispatcher::new(work.into(), snapshot, sink, settings)
        .run(on_event, cancel)
        .await
}
