//! Reads chunks by a prepared statement, whose rows come in the binary protocol, and turns them into
//! Arrow.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use mysql_async::{Row, Statement, Value};

use super::super::ledger::{Ledger, Met, flag};
use super::super::{Batch, Result, Session, SourceError};
use super::decode::{Decoder, printed};
use super::keysum;
use super::seats::{Held, Seat};
use super::shared::Shared;
use super::sql::{self, hex, quote_identifier};
use super::types::Storage;
use crate::clock::SharedClock;
use crate::model::{ChunkBounds, Column, FieldType, KeySum, ReadSpec, arrow_schema};

/// Rows are decoded when there are so many: they stay in the second-level cache while every column
/// runs over them.
const BLOCK_ROWS: usize = 256;

/// A batch ends at this many rows even if its bytes would let it go on.
const BATCH_ROWS: usize = 16 * 1024;

/// The most of a value that an error shows, in characters.
const SHOWN: usize = 80;

/// A session inside a snapshot.
pub(super) struct MysqlSession {
    shared: Arc<Shared>,
    place: usize,
    seat: Arc<Seat>,
    /// The connection, while a chunk is read on it.
    reading: Option<Reading>,
    rows: RowReader,
    dead: bool,
}

struct Reading {
    held: Held,
    statement: Statement,
}

impl MysqlSession {
    /// A session on a seat that nobody else reads on.
    pub(super) fn new(shared: Arc<Shared>, place: usize, seat: Arc<Seat>) -> Result<Self> {
        let rows = RowReader::new(&shared)?;
        Ok(Self {
            shared,
            place,
            seat,
            reading: None,
            rows,
            dead: false,
        })
    }

    fn ended(&self) -> SourceError {
        SourceError::ConnectionLost {
            target: self.shared.target().to_owned(),
            why: "this session ended with an earlier error or in the middle of a chunk".to_owned(),
        }
    }

    async fn start(&mut self, chunk: &ChunkBounds) -> Result<()> {
        let sql = select_chunk(&self.rows.items, &self.shared.read, chunk)?;
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
        let explained = |link: &super::connect::Link, error| link.explain(&shared.subject, &error);
        loop {
            match link.next_row().await {
                Ok(Some(row)) => {
                    if self.rows.push(row)? {
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
        self.rows.decode()?;
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
        if outcome.is_err() {
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
    held: &mut Held,
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
        let mut held = self.seat.take().await.ok_or_else(|| self.ended())?;
        let link = held.as_mut().ok_or_else(|| self.shared.lost())?;
        let outcome = keysum::ask(link, &self.shared, chunk, columns).await;
        if outcome.is_err() {
            self.shared.seats.lose(&self.seat, held);
            self.dead = true;
        }
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

/// Decodes rows block by block, and cuts them into batches.
struct RowReader {
    columns: Vec<Column>,
    storages: Vec<Storage>,
    schema: SchemaRef,
    /// What the statement selects: the columns, then what tells of their character sets.
    items: Vec<String>,
    decoders: Vec<Decoder>,
    /// Where the column that names rows in messages is, if there is one.
    key: Option<usize>,
    ledger: Ledger,
    table: String,
    block: Vec<Row>,
    batch_bytes: usize,
    clock: SharedClock,
    rows: usize,
    bytes: usize,
    decoding: Duration,
}

impl RowReader {
    fn new(shared: &Shared) -> Result<Self> {
        let read = &shared.read;
        let mut items: Vec<String> = read.columns.iter().map(item).collect();
        let mut decoders = Vec::with_capacity(read.columns.len());
        let mut storages = Vec::with_capacity(read.columns.len());
        for column in &read.columns {
            let storage = Storage::named(&column.base_type);
            let unharmed = storage
                .as_ref()
                .and_then(|storage| unharmed(column, storage));
            let place = unharmed.map(|item| {
                items.push(item);
                items.len() - 1
            });
            let (decoder, storage) = Decoder::of(column, place).zip(storage).ok_or_else(|| {
                SourceError::PlanMismatch {
                    table: read.relation.to_string(),
                    why: format!(
                        "column {} cannot be decoded from {} to {}",
                        column.name, column.base_type, column.field
                    ),
                }
            })?;
            decoders.push(decoder);
            storages.push(storage);
        }
        let integer = |storage: &Storage| matches!(storage, Storage::Integer { .. });
        let key = read
            .columns
            .iter()
            .zip(&storages)
            .position(|(column, storage)| {
                match &read.key {
                    Some(key) => column.name == key.column,
                    // Not cut on a key: the first number that is never absent names a row well.
                    None => !column.nullable && integer(storage),
                }
            });
        Ok(Self {
            schema: arrow_schema(&read.columns),
            ledger: Ledger::new(&read.relation, &read.columns),
            table: read.relation.to_string(),
            columns: read.columns.clone(),
            storages,
            items,
            decoders,
            key,
            block: Vec::with_capacity(BLOCK_ROWS),
            // Offsets of text are 32 bits: a batch and its last row stay below 2 GiB.
            batch_bytes: shared.request.batch_bytes.clamp(1, 1 << 29),
            clock: shared.base.clock.clone(),
            rows: 0,
            bytes: 0,
            decoding: Duration::ZERO,
        })
    }

    fn reset(&mut self) {
        self.block.clear();
        self.ledger.clear();
        self.rows = 0;
        self.bytes = 0;
        self.decoding = Duration::ZERO;
    }

    fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Takes a row; true when a batch is full.
    #[inline]
    fn push(&mut self, row: Row) -> Result<bool> {
        let long = (0..row.len()).any(|index| is_long(row.as_ref(index)));
        self.block.push(row);
        if self.block.len() >= BLOCK_ROWS
            || long
            || self.block.len() * 8 * self.columns.len() >= self.batch_bytes
        {
            self.decode()?;
        }
        Ok(self.bytes >= self.batch_bytes || self.rows >= BATCH_ROWS)
    }

    /// Decodes the rows that came. A value that cannot be held is noted and the batch still filled, so
    /// that every column that meets one has its say before the run stops.
    fn decode(&mut self) -> Result<()> {
        let started = self.clock.monotonic();
        for (index, decoder) in self.decoders.iter_mut().enumerate() {
            for (at, row) in self.block.iter().enumerate() {
                if let Some(bytes) = decoder.append(row, index) {
                    self.bytes += bytes;
                    continue;
                }
                let place = Place {
                    row,
                    index,
                    number: self.rows + at,
                    key: self.key,
                };
                let met = || place.met(&self.columns, &self.storages);
                self.ledger.enter(index, 1, met);
            }
        }
        self.rows += self.block.len();
        self.block.clear();
        self.decoding += self.clock.monotonic().saturating_sub(started);
        Ok(())
    }

    /// Hands over the rows so far.
    fn batch(&mut self) -> Result<Batch> {
        let started = self.clock.monotonic();
        let nulled = self.ledger.close()?;
        let finished = self.decoders.iter_mut().map(Decoder::finish);
        let arrays: Vec<ArrayRef> = finished.collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map_err(|error| SourceError::Protocol {
                target: self.table.clone(),
                why: error.to_string(),
            })?;
        let decode = self.decoding + self.clock.monotonic().saturating_sub(started);
        let wire_bytes = std::mem::take(&mut self.bytes) as u64;
        self.rows = 0;
        self.decoding = Duration::ZERO;
        Ok(Batch {
            rows,
            wire_bytes,
            decode,
            nulled,
        })
    }
}

/// Whether a value is so long that it should not wait for others.
fn is_long(value: Option<&Value>) -> bool {
    matches!(value, Some(Value::Bytes(bytes)) if bytes.len() > 4096)
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

/// A value that cannot be held.
struct Place<'a> {
    row: &'a Row,
    index: usize,
    number: usize,
    key: Option<usize>,
}

impl Place<'_> {
    #[cold]
    fn met(&self, columns: &[Column], storages: &[Storage]) -> Met {
        let shown = |index: usize| {
            let value = self.row.as_ref(index)?;
            Some(shown(value, storages.get(index)?))
        };
        let key = self.key.and_then(|index| {
            let column = columns.get(index)?;
            Some(format!("{} = {}", column.name, shown(index)?))
        });
        let column = &columns[self.index];
        let (why, helps) = why(&storages[self.index], column);
        Met {
            row: self.number,
            key,
            value: shown(self.index).unwrap_or_default(),
            why,
            flag: helps.map(|field| flag("--type", &format!("{}={field}", column.name))),
        }
    }
}

/// What the output type cannot hold, and the one that would.
fn why(storage: &Storage, column: &Column) -> (String, Option<&'static str>) {
    let field = &column.field;
    let natural = [
        crate::model::TypeMode::Portable,
        crate::model::TypeMode::Native,
    ]
    .iter()
    .any(|mode| storage.field(*mode) == *field);
    match storage {
        Storage::Legacy(charset) if *field == FieldType::Utf8 => (
            format!("it holds a byte that is no character of {charset}"),
            Some("binary"),
        ),
        Storage::Text | Storage::Bytes | Storage::Json if *field == FieldType::Utf8 => (
            "it holds bytes that are not valid UTF-8".to_owned(),
            Some("binary"),
        ),
        Storage::Date | Storage::DateTime { .. } | Storage::Timestamp { .. } if natural => {
            ("it is no day of any calendar".to_owned(), Some("text"))
        }
        Storage::Bytes => (
            format!("it is not what {field} holds"),
            Some("binary").filter(|_| *field != FieldType::Binary),
        ),
        _ => (
            format!(
                "it is {} at the source, and {field} cannot hold it exactly",
                column.source_type
            ),
            Some("text").filter(|_| *field != FieldType::Utf8),
        ),
    }
}

/// A value for a person, shortened.
fn shown(value: &Value, storage: &Storage) -> String {
    let text = match (value, printed(value, storage)) {
        (Value::NULL, _) => return "NULL".to_owned(),
        (Value::Bytes(bytes), None) => {
            return format!("x'{}'", hex(&bytes[..bytes.len().min(SHOWN / 2)]));
        }
        (_, text) => text.unwrap_or_default(),
    };
    let mut chars = text.chars();
    let mut head: String = chars
        .by_ref()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    if chars.next().is_some() {
        head.push('…');
    }
    match value {
        Value::Bytes(_) if !matches!(storage, Storage::Decimal { .. } | Storage::Bit(_)) => {
            format!("'{head}'")
        }
        _ => head,
    }
}
