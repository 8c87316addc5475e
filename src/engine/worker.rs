//! A worker: one session, one chunk at a time, retried from scratch when it fails.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::error::EngineError;
use super::event::Event;
use super::gauge::Gauge;
use super::retry;
use crate::clock::SharedClock;
use crate::controller::within_run::Backoff;
use crate::model::{ChunkRecord, ChunkStatus, KeySum, PlannedChunk, RetryPolicy};
use crate::source::{Session, Snapshot};
use crate::writer::{ChunkWriter, PartReceipt, Sink};

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
    pub(super) seed: u64,
    pub(super) backoff: Backoff,
    pub(super) gauge: Arc<Gauge>,
    /// Whether to stand still in the middle of a chunk.
    pub(super) held: watch::Receiver<bool>,
    pub(super) orders: mpsc::Receiver<PlannedChunk>,
    pub(super) reports: mpsc::UnboundedSender<Report>,
    pub(super) stop: CancellationToken,
}

/// Why an attempt ended early.
enum Interruption {
    /// The run is over.
    Stopped,
    /// It failed; what kind of error decides about a retry.
    Failed(EngineError),
}

impl<E: Into<EngineError>> From<E> for Interruption {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// A chunk that was read to its end and written.
struct Done {
    receipts: Vec<PartReceipt>,
    /// How long the server took to begin to answer.
    answer: Duration,
    summed: Option<(KeySum, Duration)>,
}

/// Times and counts of one attempt.
#[derive(Default)]
struct Tally {
    answer: Duration,
    waited: Duration,
    decoded: Duration,
    wrote: Duration,
    /// Time spent standing still, to spare the source.
    held: Duration,
    rows: u64,
    /// Values written as NULL, by the position of their column.
    nulled: BTreeMap<usize, u64>,
}

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
            let error = match self.attempt(session, chunk, &mut record).await {
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
            let error = error.to_string();
            let chunk = chunk.number;
            self.report(Report::Told(Event::ChunkRetried {
                chunk,
                worker,
                attempt,
                pause,
                error,
            }));
            if self.pause(pause).await.is_err() {
                return None;
            }
        }
    }

    /// One attempt: a new writer, the whole chunk.
    async fn attempt(
        &self,
        session: &mut Option<Box<dyn Session>>,
        chunk: &PlannedChunk,
        record: &mut ChunkRecord,
    ) -> Result<Done, Interruption> {
        let session = session.as_mut().ok_or_else(|| EngineError::WorkerDied {
            why: format!("{} was started without a session", chunk.id()),
        })?;
        self.gauge.set_session(session.number());
        // Looks at what an attempt before did are not this one's.
        self.gauge.take_waits();
        let started = self.clock.monotonic();
        record.started_ms = millis(started.saturating_sub(self.origin));
        let mut writer = self.sink.open(chunk.number, self.schema.clone()).await?;
        let meter = writer.meter();
        let mut tally = Tally::default();
        let copied = self
            .copy(session.as_mut(), writer.as_mut(), chunk, &mut tally)
            .await;
        let result = match copied {
            Ok(()) => {
                let begun = self.clock.monotonic();
                // A store may take its time, which a stop does not have.
                let finished = tokio::select! {
                    biased;
                    () = self.stop.cancelled() => return Err(Interruption::Stopped),
                    finished = writer.finish() => finished,
                };
                tally.wrote += self.clock.monotonic().saturating_sub(begun);
                finished.map_err(Interruption::from)
            }
            Err(interruption) => {
                if let Err(error) = writer.abort().await {
                    tracing::warn!(%error, chunk = chunk.number, "an aborted file stays until the next run");
                }
                Err(interruption)
            }
        };
        let took = self.clock.monotonic().saturating_sub(started);
        self.note_times(record, &tally, took);
        record.storage_ms = millis(meter.spent()).min(record.write_ms);
        let receipts = result?;
        record.rows = receipts.iter().map(|receipt| receipt.rows).sum();
        record.bytes = receipts.iter().map(|receipt| receipt.bytes).sum();
        record.files = receipts
            .iter()
            .map(|receipt| receipt.name.clone())
            .collect();
        record.nulled = tally
            .nulled
            .iter()
            .filter_map(|(column, count)| {
                let field = self.schema.fields().get(*column)?;
                Some((field.name().clone(), *count))
            })
            .collect();
        if record.rows != tally.rows {
            let why = format!(
                "{}: {} rows were read and {} were written",
                chunk.id(),
                tally.rows,
                record.rows
            );
            return Err(EngineError::WorkerDied { why }.into());
        }
        let summed = self.sum(session.as_mut(), chunk).await?;
        record.status = ChunkStatus::Success;
        Ok(Done {
            receipts,
            answer: tally.answer,
            summed,
        })
    }

    /// Writes down where an attempt's time went; time spent standing still is no work.
    fn note_times(&self, record: &mut ChunkRecord, tally: &Tally, took: Duration) {
        record.duration_ms += millis(took.saturating_sub(tally.held));
        record.query_ms = millis(tally.waited);
        record.answer_ms = millis(tally.answer);
        record.decode_ms = millis(tally.decoded);
        record.write_ms = millis(tally.wrote);
        record.waits = self.gauge.take_waits();
        if !tally.held.is_zero() {
            self.report(Report::Told(Event::HeldUp {
                worker: self.number,
                pause: tally.held,
            }));
        }
    }

    /// Asks the server for its own sum over the chunk's keys, where the proof needs it.
    async fn sum(
        &self,
        session: &mut dyn Session,
        chunk: &PlannedChunk,
    ) -> Result<Option<(KeySum, Duration)>, Interruption> {
        if self.proof_key.is_empty() {
            return Ok(None);
        }
        let begun = self.clock.monotonic();
        let sum = tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(Interruption::Stopped),
            sum = session.key_sum(&chunk.bounds, &self.proof_key) => sum?,
        };
        Ok(Some((sum, self.clock.monotonic().saturating_sub(begun))))
    }

    /// Waits until this worker may go on. The server meanwhile waits for us to take what it sends.
    async fn released(&self) -> Result<(), Interruption> {
        let mut held = self.held.clone();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Interruption::Stopped),
            // A dispatcher that is gone has stopped the run, or holds nobody.
            _ = held.wait_for(|held| !held) => Ok(()),
        }
    }

    /// Moves every batch of the chunk from the session to the writer.
    async fn copy(
        &self,
        session: &mut dyn Session,
        writer: &mut dyn ChunkWriter,
        chunk: &PlannedChunk,
        tally: &mut Tally,
    ) -> Result<(), Interruption> {
        let mut mark = self.clock.monotonic();
        let mut lap = || {
            let now = self.clock.monotonic();
            let spent = now.saturating_sub(mark);
            mark = now;
            spent
        };
        let waiting = self.gauge.wait();
        tokio::select! {
            biased;
            () = self.stop.cancelled() => return Err(Interruption::Stopped),
            begun = session.begin(&chunk.bounds) => begun?,
        }
        drop(waiting);
        tally.answer = lap();
        tally.waited = tally.answer;
        loop {
            if *self.held.borrow() {
                self.released().await?;
                tally.held += lap();
            }
            let waiting = self.gauge.wait();
            let batch = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Interruption::Stopped),
                batch = session.next() => batch?,
            };
            drop(waiting);
            let spent = lap();
            let Some(batch) = batch else {
                tally.waited += spent;
                return Ok(());
            };
            tally.waited += spent.saturating_sub(batch.decode);
            tally.decoded += batch.decode;
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Interruption::Stopped),
                written = writer.write(&batch.rows) => written?,
            }
            tally.wrote += lap();
            let rows = batch.rows.num_rows() as u64;
            tally.rows += rows;
            for (column, count) in batch.nulled {
                *tally.nulled.entry(column).or_default() += count;
            }
            self.gauge.rows.fetch_add(rows, Ordering::Relaxed);
            self.gauge
                .bytes
                .fetch_add(batch.wire_bytes, Ordering::Relaxed);
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

fn is_transient(error: &EngineError) -> bool {
    matches!(error, EngineError::Source(error) if error.is_transient())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
