//! One attempt at a chunk: from the session to the writer, piece by piece, stopped at any await.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Report, Worker, millis};
use crate::engine::error::EngineError;
use crate::engine::event::Event;
use crate::model::{ChunkBounds, ChunkRecord, ChunkStatus, KeySum, PlannedChunk};
use crate::source::Session;
use crate::writer::{ChunkWriter, PartReceipt};

/// Why an attempt ended early.
pub(super) enum Interruption {
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
pub(super) struct Done {
    pub(super) receipts: Vec<PartReceipt>,
    /// How long the server took to begin to answer.
    pub(super) answer: Duration,
    pub(super) summed: Option<(KeySum, Duration)>,
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
    /// One attempt: a new writer, the whole chunk, one statement a piece.
    pub(super) async fn attempt(
        &self,
        session: &mut Option<Box<dyn Session>>,
        (chunk, pieces): (&PlannedChunk, &[ChunkBounds]),
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
            .copy(session.as_mut(), writer.as_mut(), pieces, &mut tally)
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
        let summed = self.sum(session.as_mut(), pieces).await?;
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
        pieces: &[ChunkBounds],
    ) -> Result<Option<(KeySum, Duration)>, Interruption> {
        if self.proof_key.is_empty() {
            return Ok(None);
        }
        let begun = self.clock.monotonic();
        let mut sum = KeySum::default();
        for piece in pieces {
            sum.merge(tokio::select! {
                biased;
                () = self.stop.cancelled() => return Err(Interruption::Stopped),
                sum = session.key_sum(piece, &self.proof_key) => sum?,
            });
        }
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

    /// Moves every batch of the chunk from the session to the writer, piece by piece.
    async fn copy(
        &self,
        session: &mut dyn Session,
        writer: &mut dyn ChunkWriter,
        pieces: &[ChunkBounds],
        tally: &mut Tally,
    ) -> Result<(), Interruption> {
        for piece in pieces {
            self.copy_piece(session, writer, piece, tally).await?;
        }
        Ok(())
    }

    /// Moves every batch of a piece.
    async fn copy_piece(
        &self,
        session: &mut dyn Session,
        writer: &mut dyn ChunkWriter,
        piece: &ChunkBounds,
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
            begun = session.begin(piece) => begun?,
        }
        drop(waiting);
        let answer = lap();
        tally.waited += answer;
        if tally.answer.is_zero() {
            // Of the first piece: the others follow on its heels.
            tally.answer = answer;
        }
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
