//! Reads chunks by a prepared statement, whose rows come in the binary protocol, and turns them into
//! Arrow.

use std::sync::Arc;

use async_trait::async_trait;
use mysql_async::Statement;

use super::super::frozen::Frozen;
use super::super::rows::Rows;
use super::super::seats::{Held, Seat};
use super::super::{Batch, Result, Session, SourceError};
use super::connect::Link;
use super::decode::Decoder;
use super::shared::Shared;
use super::sql::{self, quote_identifier};
use super::types::Storage;
use crate::model::{ChunkBounds, Column, FieldType, KeySum, ReadSpec};

/// A session inside a snapshot.
pub(super) struct MysqlSession {
    shared: Arc<Shared>,
    place: usize,
    seat: Arc<Seat<Link>>,
    /// The connection, while a chunk is read on it.
    reading: Option<Reading>,
    /// What is selected.
    items: Vec<String>,
    rows: Rows<Decoder>,
    dead: bool,
}

struct Reading {
    held: Held<Link>,
    statement: Statement,
}

impl MysqlSession {
    /// A session on a seat that nobody else reads on.
    pub(super) fn new(shared: Arc<Shared>, place: usize, seat: Arc<Seat<Link>>) -> Result<Self> {
        let layout = Layout::of(&shared.read)?;
        let (clock, batch_bytes) = (shared.base.clock.clone(), shared.request.batch_bytes);
        let rows = Rows::new(&shared.read, layout.decoders, batch_bytes, clock);
        Ok(Self {
            items: layout.items,
            shared,
            place,
            seat,
            reading: None,
            rows,
            dead: false,
        })
    }

    fn ended(&self) -> SourceError {
        self.shared.ended()
    }

    async fn start(&mut self, chunk: &ChunkBounds) -> Result<()> {
        let sql = select_chunk(&self.items, &self.shared.read, chunk)?;
        let mut held = self.seat.take().await.ok_or_else(|| self.ended())?;
        let outcome = open(&self.shared, &mut held, &sql, chunk).await;
        match outcome {
            Ok(statement) => {
                self.rows.reset();
                self.reading = Some(Reading { held, statement });
                Ok(())
            }
            Err(error) => {
                self.shared.seats.lose(&self.seat, held);
                Err(error)
            }
        }
    }

    /// Gathers the next batch; an empty one only after the server said that there is no more.
    async fn gather(&mut self) -> Result<Option<Batch>> {
        let Some(reading) = self.reading.as_mut() else {
            return Ok(None);
        };
        let shared = Arc::clone(&self.shared);
        let lost = || self.shared.lost();
        let link = reading.held.as_mut().ok_or_else(lost)?;
        let explained = |link: &Link, error| link.explain(&shared.subject, &error);
        loop {
            match link.next_row().await {
                Ok(Some(row)) => {
                    if self.rows.push(row) {
                        return self.rows.batch().map(Some);
                    }
                }
                Ok(None) => break,
                Err(error) => return Err(explained(link, error)),
            }
        }
        let closed = link.unprepare(reading.statement.clone()).await;
        closed.map_err(|error| explained(link, error))?;
        if shared.per_chunk() {
            link.run(&shared.subject, "COMMIT").await?;
        }
        self.rows.decode();
        self.reading = None;
        if self.rows.is_empty() {
            Ok(None)
        } else {
            self.rows.batch().map(Some)
        }
    }

    /// A failed statement ends the session: whether its point in time outlived the error is not for us
    /// to guess.
    fn judge<T>(&mut self, outcome: Result<T>) -> Result<T> {
        if let Err(error) = &outcome {
            self.shared.seats.note(error);
            self.dead = true;
            if let Some(reading) = self.reading.take() {
                self.shared.seats.lose(&self.seat, reading.held);
            }
        }
        outcome
    }
}

/// `SELECT …` over the rows of a chunk.
pub(super) fn select_chunk(
    items: &[String],
    read: &ReadSpec,
    chunk: &ChunkBounds,
) -> Result<String> {
    let predicate = sql::predicate(chunk, read.key.as_ref());
    let predicate = predicate.map_err(|error| SourceError::PlanMismatch {
        table: read.relation.to_string(),
        why: error.to_string(),
    })?;
    Ok(sql::select(
        items,
        &sql::from_item(&read.relation, read.query.as_deref()),
        read.filter.as_deref(),
        predicate.as_deref(),
    ))
}

/// Prepares and starts a chunk's statement.
async fn open(
    shared: &Shared,
    held: &mut Held<Link>,
    sql: &str,
    chunk: &ChunkBounds,
) -> Result<Statement> {
    let link = held.as_mut().ok_or_else(|| shared.lost())?;
    if shared.per_chunk() {
        let begin = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
        link.run(&shared.subject, begin).await?;
    }
    shared.check_ascends(link, chunk).await?;
    let statement = link.prepare(sql).await;
    let statement = statement.map_err(|error| link.explain(&shared.subject, &error))?;
    let started = link.start(&statement).await;
    started.map_err(|error| link.explain(&shared.subject, &error))?;
    Ok(statement)
}

#[async_trait]
impl Session for MysqlSession {
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

impl Drop for MysqlSession {
    fn drop(&mut self) {
        match self.reading.take() {
            Some(reading) => self.shared.seats.lose(&self.seat, reading.held),
            None if !self.dead => self.shared.seats.release(self.place),
            None => {}
        }
    }
}

/// How a read's columns come: what is selected, and what decodes it.
struct Layout {
    /// The columns, then what tells of their character sets.
    items: Vec<String>,
    decoders: Vec<Decoder>,
}

impl Layout {
    fn of(read: &ReadSpec) -> Result<Self> {
        let mut items: Vec<String> = read.columns.iter().map(item).collect();
        let mut decoders = Vec::with_capacity(read.columns.len());
        for column in &read.columns {
            let storage = Storage::named(&column.base_type);
            let unharmed = storage.and_then(|storage| unharmed(column, &storage));
            let place = unharmed.map(|item| {
                items.push(item);
                items.len() - 1
            });
            let decoder = Decoder::of(column, place);
            decoders.push(decoder.ok_or_else(|| SourceError::PlanMismatch {
                table: read.relation.to_string(),
                why: format!(
                    "column {} cannot be decoded from {} to {}",
                    column.name, column.base_type, column.field
                ),
            })?);
        }
        Ok(Self { items, decoders })
    }
}

/// What is selected of a column.
fn item(column: &Column) -> String {
    let name = quote_identifier(&column.name);
    let storage = Storage::named(&column.base_type);
    match (storage, &column.field) {
        // Text as the bytes that are stored.
        (Some(Storage::Text | Storage::Legacy(_) | Storage::Json), FieldType::Binary) => {
            format!("CAST({name} AS BINARY) AS {name}")
        }
        _ => name,
    }
}

/// What tells whether a value survives the way through Unicode: where a byte means nothing the server
/// would write `?`, and say nothing.
fn unharmed(column: &Column, storage: &Storage) -> Option<String> {
    let Storage::Legacy(charset) = storage else {
        return None;
    };
    let name = quote_identifier(&column.name);
    (column.field != FieldType::Binary).then(|| {
        format!(
            "CAST(CONVERT(CONVERT({name} USING utf8mb4) USING {charset}) AS BINARY) \
             <=> CAST({name} AS BINARY)"
        )
    })
}
