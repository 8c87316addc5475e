//! Reads chunks by statements with parameters, and turns their rows into Arrow.
//!
//! The driver's stream of rows borrows its connection, so the two live in one future, the pump, which
//! runs only while the session waits for rows: there is no task of its own, and no queue but the one
//! block that was poured and not yet decoded.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use tiberius::Row;
use tokio::sync::mpsc::{self, Receiver};

use super::super::frozen::Frozen;
use super::super::rows::Rows;
use super::super::seats::{Held, Seat};
use super::super::{Batch, Result, Session, SourceError};
use super::connect::Link;
use super::decode::Decoder;
use super::shared::Shared;
use super::sql::{self, Statement};
use crate::model::{ChunkBounds, KeySum, ReadSpec};

/// A session inside a snapshot.
pub(super) struct SqlServerSession {
    shared: Arc<Shared>,
    place: usize,
    seat: Arc<Seat<Link>>,
    reading: Option<Reading>,
    /// What is selected.
    items: Vec<String>,
    rows: Rows<Decoder>,
    dead: bool,
}

/// A chunk's statement under way.
struct Reading {
    /// Gives the connection back when the server has said that there are no more rows.
    pump: Option<Pump>,
    blocks: Receiver<Vec<Row>>,
    /// The block that is being decoded.
    block: std::vec::IntoIter<Row>,
    /// The connection, once the pump has ended.
    held: Option<Held<Link>>,
}

type Pump = Pin<Box<dyn Future<Output = (Held<Link>, Result<()>)> + Send>>;

impl Reading {
    fn of(mut held: Held<Link>, statement: Statement, shared: Arc<Shared>) -> Self {
        let (sender, blocks) = mpsc::channel(1);
        let pump = async move {
            let outcome = match held.as_mut() {
                Some(link) => {
                    let poured = link.pour(&statement, sender).await;
                    poured.map_err(|error| link.explain(&shared.subject, &error))
                }
                None => Err(shared.lost()),
            };
            (held, outcome)
        };
        Self {
            pump: Some(Box::pin(pump)),
            blocks,
            block: Vec::new().into_iter(),
            held: None,
        }
    }

    /// The next row; `None` after the server's own end of them.
    async fn next_row(&mut self) -> Result<Option<Row>> {
        loop {
            if let Some(row) = self.block.next() {
                return Ok(Some(row));
            }
            let Some(pump) = self.pump.as_mut() else {
                match self.blocks.try_recv() {
                    Ok(block) => self.block = block.into_iter(),
                    Err(_) => return Ok(None),
                }
                continue;
            };
            tokio::select! {
                biased;
                Some(block) = self.blocks.recv() => self.block = block.into_iter(),
                (held, outcome) = pump => {
                    self.pump = None;
                    self.held = Some(held);
                    outcome?;
                }
            }
        }
    }
}

impl SqlServerSession {
    /// A session on a seat that nobody else reads on.
    pub(super) fn new(shared: Arc<Shared>, place: usize, seat: Arc<Seat<Link>>) -> Result<Self> {
        let read = &shared.read;
        let mut decoders = Vec::with_capacity(read.columns.len());
        let mut items = Vec::with_capacity(read.columns.len());
        for column in &read.columns {
            let decoder = Decoder::of(column).ok_or_else(|| SourceError::PlanMismatch {
                table: read.relation.to_string(),
                why: format!(
                    "column {} cannot be decoded from {} to {}",
                    column.name, column.base_type, column.field
                ),
            })?;
            items.push(sql::item(column, decoder.storage()));
            decoders.push(decoder);
        }
        let (clock, batch_bytes) = (shared.base.clock.clone(), shared.request.batch_bytes);
        let rows = Rows::new(read, decoders, batch_bytes, clock);
        Ok(Self {
            shared,
            place,
            seat,
            reading: None,
            items,
            rows,
            dead: false,
        })
    }

    fn ended(&self) -> SourceError {
        self.shared.ended()
    }

    async fn start(&mut self, chunk: &ChunkBounds) -> Result<()> {
        let statement = select_chunk(&self.items, &self.shared.read, chunk)?;
        let mut held = self.seat.take().await.ok_or_else(|| self.ended())?;
        let Some(link) = held.as_mut() else {
            return Err(self.shared.lost());
        };
        if let Err(error) = self.shared.check_ascends(link, chunk).await {
            self.shared.seats.lose(&self.seat, held);
            return Err(error);
        }
        self.rows.reset();
        self.reading = Some(Reading::of(held, statement, Arc::clone(&self.shared)));
        Ok(())
    }

    /// Gathers the next batch; an empty one only after the server said that there is no more.
    async fn gather(&mut self) -> Result<Option<Batch>> {
        let Some(reading) = self.reading.as_mut() else {
            return Ok(None);
        };
        while let Some(row) = reading.next_row().await? {
            if self.rows.push(row) {
                return self.rows.batch().map(Some);
            }
        }
        self.rows.decode();
        self.reading = None;
        // What was read may be kept, even if the snapshot does not live to its end.
        self.shared.check_same().await?;
        if self.rows.is_empty() {
            Ok(None)
        } else {
            self.rows.batch().map(Some)
        }
    }

    /// A failed statement ends the session: whether its transaction outlived the error is not for us to
    /// guess.
    fn judge<T>(&mut self, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome {
            self.shared.seats.note(error);
            self.dead = true;
            self.give_up();
        }
        outcome
    }

    /// Loses the connection that a chunk is being read on.
    fn give_up(&mut self) {
        let Some(reading) = self.reading.take() else {
            return;
        };
        // What is not held by then lies in its seat, in the middle of an answer.
        let held = reading.held.or_else(|| {
            drop(reading.pump);
            self.seat.try_take()
        });
        if let Some(held) = held {
            self.shared.seats.lose(&self.seat, held);
        }
    }
}

/// `SELECT …` over the rows of a chunk.
pub(super) fn select_chunk(
    items: &[String],
    read: &ReadSpec,
    chunk: &ChunkBounds,
) -> Result<Statement> {
    let from = sql::from_item(&read.relation, read.query.as_deref());
    let filter = read.filter.as_deref();
    let selected = sql::select(items, &from, filter, (chunk, read.key.as_ref()));
    selected.map_err(|error| SourceError::PlanMismatch {
        table: read.relation.to_string(),
        why: error.to_string(),
    })
}

#[async_trait]
impl Session for SqlServerSession {
    async fn begin(&mut self, chunk: &ChunkBounds) -> Result<()> {
        if self.dead || self.reading.is_some() {
            return Err(self.ended());
        }
        let outcome = self.start(chunk).await;
        self.judge(outcome)
    }

    async fn next(&mut self) -> Result<Option<Batch>> {
        if self.dead {
            return Err(self.ended());
        }
        let outcome = self.gather().await;
        self.judge(outcome)
    }

    async fn key_sum(&mut self, chunk: &ChunkBounds, columns: &[String]) -> Result<KeySum> {
        if self.dead || self.reading.is_some() {
            return Err(self.ended());
        }
        let outcome = self.shared.summed(&self.seat, chunk, columns).await;
        self.dead |= outcome.is_err();
        outcome
    }
}

impl Drop for SqlServerSession {
    fn drop(&mut self) {
        if self.reading.is_some() {
            self.give_up();
        } else if !self.dead {
            self.shared.seats.release(self.place);
        }
    }
}
