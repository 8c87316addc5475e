//! A worker: one session, one chunk at a time, retried from scratch when it fails.

mod attempt;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use self::attempt::Interruption;
use super::error::EngineError;
use super::event::Event;
use super::gauge::Gauge;
use super::retry;
use crate::clock::SharedClock;
use crate::controller::within_run::Backoff;
use crate::model::{ChunkBounds, ChunkRecord, ChunkStatus, KeySum, PlannedChunk, RetryPolicy};
use crate::source::{Session, Snapshot};
use crate::writer::{PartReceipt, Sink};

/// What a worker tells the dispatcher.
#[derive(Debug)]
pub(super) enum Report {
    /// It has a session and wants a chunk.
    Ready { worker: u32 },
    /// It has no session and has ended. `chunk` is what it had in hand, unfinished.
    Gone {
        worker: u32,
        chunk: Option<PlannedChunk>,
        error: EngineError,
    },
    /// Something to pass on.
    Told(Event),
    /// A chunk is going to be read by several statements.
    Cut { chunk: u32, pieces: usize },
    /// A chunk is read to its end and written; the worker wants another.
    Finished {
        worker: u32,
        chunk: PlannedChunk,
        record: ChunkRecord,
        receipts: Vec<PartReceipt>,
        /// The server's own sum over its keys, where the plan asks for it, and what that took.
        summed: Option<(KeySum, Duration)>,
        breached: bool,
    },
    /// A chunk has failed for good.
    Failed {
        record: ChunkRecord,
        error: EngineError,
    },
}

/// What a worker works with.
pub(super) struct Worker {
    pub(super) number: u32,
    pub(super) schema: SchemaRef,
    pub(super) snapshot: Arc<dyn Snapshot>,
    pub(super) sink: Arc<dyn Sink>,
    /// The columns that the server sums for a full proof; none for any other.
    pub(super) proof_key: Vec<String>,
    pub(super) clock: SharedClock,
    pub(super) origin: Duration,
    pub(super) retry: RetryPolicy,
    /// How a chunk may be read by several statements, where it may.
    pub(super) cutting: Option<Cutting>,
    pub(super) seed: u64,
    pub(super) backoff: Backoff,
    pub(super) gauge: Arc<Gauge>,
    /// Whether to stand still in the middle of a chunk.
    pub(super) held: watch::Receiver<bool>,
    pub(super) orders: mpsc::Receiver<PlannedChunk>,
    pub(super) reports: mpsc::UnboundedSender<Report>,
    pub(super) stop: CancellationToken,
}

/// What chunks are cut by, for a server that does not finish a statement over a whole one. Where each
/// statement has a point in time of its own, a chunk is one statement and is not cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cutting {
    /// How far chunks usually reach; see [`usual_width`](crate::model::usual_width).
    pub(super) usual_width: Option<i128>,
}

/// Into how many pieces more a chunk is cut each time.
const FINER: u32 = 4;

impl Worker {
    /// Takes chunks until the dispatcher has no more, or the run stops.
    pub(super) async fn run(mut self) {
        let mut session = match self.open_session().await {
            Ok(session) => Some(session),
            Err(Interruption::Stopped) => return,
            Err(Interruption::Failed(error)) => {
                return self.report(Report::Gone {
                    worker: self.number,
                    chunk: None,
                    error,
                });
            }
        };
        self.report(Report::Ready {
            worker: self.number,
        });
        let stop = self.stop.clone();
        loop {
            let chunk = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                order = self.orders.recv() => match order {
                    Some(chunk) => chunk,
                    None => return,
                },
            };
            let answer = match self.chunk(&mut session, &chunk).await {
                Some(answer) => answer,
                None => return,
            };
            if let Some(pause) = self.backoff.after_chunk(answer) {
                self.report(Report::Told(Event::BackedOff {
                    worker: self.number,
                    pause,
                    answer,
                }));
                if self.pause(pause).await.is_err() {
                    return;
                }
            }
        }
    }

    fn report(&self, report: Report) {
        // The dispatcher outlives its workers unless it gave them up; then nobody needs to know.
        let _ = self.reports.send(report);
    }

    async fn pause(&self, pause: Duration) -> Result<(), Interruption> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Interruption::Stopped),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }

    /// Opens a session, trying again after passing errors.
    async fn open_session(&self) -> Result<Box<dyn Session>, Interruption> {
        let mut pauses = retry::pauses(self.retry, self.seed);
        loop {
            let opened = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Interruption::Stopped),
                opened = self.snapshot.session() => opened,
            };
            match (opened, pauses.next()) {
                (Ok(session), _) => return Ok(session),
                (Err(error), Some(pause)) if error.is_transient() => {
                    tracing::warn!(worker = self.number, %error, "no session yet");
                    self.pause(pause).await?;
                }
                (Err(error), _) => return Err(error.into()),
            }
        }
    }

    /// Reads and writes one chunk, with retries. Returns how long the server took to answer, or
    /// `None` when the worker is to end.
    async fn chunk(
        &mut self,
        session: &mut Option<Box<dyn Session>>,
        chunk: &PlannedChunk,
    ) -> Option<Duration> {
        let mut record = blank(chunk, self.number);
        let mut pauses = retry::pauses(self.retry, self.seed ^ u64::from(chunk.number));
        let mut pieces = vec![chunk.bounds.clone()];
        loop {
            let attempt = record.retries + 1;
            let worker = self.number;
            self.report(Report::Told(Event::ChunkStarted {
                chunk: chunk.number,
                worker,
                attempt,
            }));
            if session.is_none() {
                match self.open_session().await {
                    Ok(opened) => *session = Some(opened),
                    Err(Interruption::Stopped) => return None,
                    Err(Interruption::Failed(error)) => {
                        let chunk = Some(chunk.clone());
                        self.report(Report::Gone {
                            worker,
                            chunk,
                            error,
                        });
                        return None;
                    }
                }
            }
            let error = match self.attempt(session, (chunk, &pieces), &mut record).await {
                Ok(done) => {
                    let breached = self.backoff.breached(done.answer);
                    // Cleared first: progress may lag for a moment, but never counts rows twice.
                    self.gauge.clear();
                    self.report(Report::Finished {
                        worker,
                        chunk: chunk.clone(),
                        record,
                        receipts: done.receipts,
                        summed: done.summed,
                        breached,
                    });
                    return Some(done.answer);
                }
                Err(Interruption::Stopped) => return None,
                Err(Interruption::Failed(error)) => error,
            };
            // Whatever state the session is in now, the next attempt starts with a fresh one.
            *session = None;
            self.gauge.clear();
            record.error = Some(error.to_string());
            let pause = match pauses.next() {
                Some(pause) if is_transient(&error) => pause,
                _ => {
                    record.status = ChunkStatus::Failed;
                    self.report(Report::Failed { record, error });
                    return None;
                }
            };
            record.retries += 1;
            self.cut_finer(chunk, &mut pieces, &error);
            self.report(Report::Told(Event::ChunkRetried {
                chunk: chunk.number,
                worker,
                attempt,
                pause,
                error: error.to_string(),
            }));
            if self.pause(pause).await.is_err() {
                return None;
            }
        }
    }

    /// Cuts a chunk's pieces once more, where the error says that the server had too much to do at once.
    fn cut_finer(&self, chunk: &PlannedChunk, pieces: &mut Vec<ChunkBounds>, error: &EngineError) {
        let (true, Some(cutting)) = (wants_smaller(error), self.cutting) else {
            return;
        };
        let count = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
        let finer = count.saturating_mul(FINER);
        *pieces = chunk.bounds.pieces(finer, cutting.usual_width);
        if pieces.len() > 1 {
            self.report(Report::Cut {
                chunk: chunk.number,
                pieces: pieces.len(),
            });
        }
    }
}

/// The record of a chunk that nothing has been done for yet.
pub(super) fn blank(chunk: &PlannedChunk, worker: u32) -> ChunkRecord {
    ChunkRecord {
        number: chunk.number,
        worker,
        status: ChunkStatus::Pending,
        started_ms: 0,
        duration_ms: 0,
        query_ms: 0,
        answer_ms: 0,
        decode_ms: 0,
        write_ms: 0,
        storage_ms: 0,
        waits: Default::default(),
        rows: 0,
        bytes: 0,
        retries: 0,
        files: Vec::new(),
        nulled: BTreeMap::new(),
        error: None,
    }
}

fn wants_smaller(error: &EngineError) -> bool {
    matches!(error, EngineError::Source(error) if error.wants_smaller())
}

fn is_transient(error: &EngineError) -> bool {
    matches!(error, EngineError::Source(error) if error.is_transient())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
