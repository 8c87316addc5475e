//! Reads chunks by binary COPY and turns them into Arrow.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::util::display::array_value_to_string;
use async_trait::async_trait;
use futures_util::StreamExt;
use tokio_postgres::CopyOutStream;

use super::super::dialect::{Dialect, from_item, quote_identifier, quote_relation, where_clause};
use super::super::ledger::{Ledger, Met, flag};
use super::super::{Batch, Result, Session, SourceError};
use super::connect::Link;
use super::copy::Framer;
use super::decode::{self, Decode, Refusal, Refused};
use super::registry::Registration;
use super::shared::Shared;
use crate::clock::SharedClock;
use crate::model::{ChunkBounds, Column, FieldType, ReadAs, ReadSpec, arrow_schema};

/// A block is decoded when it reaches this many bytes or rows: it stays in the second-level cache
/// while every column runs over it.
const BLOCK_BYTES: usize = 128 * 1024;
const BLOCK_ROWS: usize = 512;

/// A batch ends at this many rows even if its bytes would let it go on.
const BATCH_ROWS: usize = 16 * 1024;

/// A session inside a snapshot.
pub(super) struct PgSession {
    link: Link,
    shared: Arc<Shared>,
    /// Keeps this session's own export on offer while it lives.
    registration: Registration,
    stream: Option<Pin<Box<CopyOutStream>>>,
    rows: RowReader,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between chunks.
    Idle,
    /// A chunk's stream is open, or was dropped half-way.
    Reading,
    /// A statement failed: its transaction is over and with it the session.
    Dead,
}

impl PgSession {
    /// A session on a link whose transaction is in the snapshot.
    pub(super) fn new(link: Link, shared: Arc<Shared>, registration: Registration) -> Result<Self> {
        let rows = RowReader::new(shared.read(), shared.batch_bytes(), shared.clock().clone())?;
        Ok(Self {
            link,
            shared,
            registration,
            stream: None,
            rows,
            state: State::Idle,
        })
    }

    async fn start(&mut self, chunk: &ChunkBounds) -> Result<()> {
        let sql = copy_statement(self.shared.read(), chunk)?;
        if self.shared.per_chunk() {
            let opening = self.shared.opening(None);
            self.link.execute(self.shared.subject(), &opening).await?;
        }
        self.check_ascends(chunk).await?;
        self.rows.reset();
        let stream = self.link.copy_out(self.shared.subject(), &sql).await?;
        self.stream = Some(Box::pin(stream));
        Ok(())
    }

    /// Asks the server whether it, too, takes the chunk's bounds to be in order: a plan may come from
    /// another server, or from before its collation changed.
    async fn check_ascends(&mut self, chunk: &ChunkBounds) -> Result<()> {
        let read = self.shared.read();
        let (ChunkBounds::Key(range), Some(key)) = (chunk, read.key.as_ref()) else {
            return Ok(());
        };
        let question = Dialect::PostgreSql
            .ascends(key, range)
            .map_err(|error| mismatch(read, error.to_string()))?;
        let Some(question) = question else {
            return Ok(());
        };
        let subject = self.shared.subject();
        let sql = format!("SELECT coalesce({question}, false)");
        if self.link.row(subject, &sql, &[]).await?.get(0) {
            Ok(())
        } else {
            Err(mismatch(
                read,
                format!("the server orders the bounds {chunk} of {key} the other way round"),
            ))
        }
    }

    /// Gathers the next batch; an empty one only at the stream's proven end.
    async fn gather(&mut self) -> Result<Option<Batch>> {
        let Some(stream) = self.stream.as_mut() else {
            return Ok(None);
        };
        while let Some(message) = stream.next().await {
            let data = message.map_err(|error| self.link.explain(self.shared.subject(), &error))?;
            if self.rows.push(&data)? {
                return self.rows.batch().map(Some);
            }
        }
        self.stream = None;
        self.rows.check_end()?;
        if self.shared.per_chunk() {
            self.link.execute(self.shared.subject(), "COMMIT").await?;
        }
        self.state = State::Idle;
        if self.rows.is_empty() {
            Ok(None)
        } else {
            self.rows.batch().map(Some)
        }
    }

    /// A failed statement ends the transaction, so nobody may import from this session any more.
    fn judge<T>(&mut self, outcome: Result<T>) -> Result<T> {
        if outcome.is_err() {
            self.state = State::Dead;
            self.stream = None;
            self.registration.withdraw();
        }
        outcome
    }
}

#[async_trait]
impl Session for PgSession {
    async fn begin(&mut self, chunk: &ChunkBounds) -> Result<()> {
        if self.state != State::Idle {
            return Err(SourceError::ConnectionLost {
                target: self.shared.target().to_owned(),
                why: "this session ended with an earlier error or in the middle of a chunk"
                    .to_owned(),
            });
        }
        self.state = State::Reading;
        let outcome = self.start(chunk).await;
        self.judge(outcome)
    }

    async fn next(&mut self) -> Result<Option<Batch>> {
        if self.stream.is_none() && self.state == State::Dead {
            return Err(SourceError::ConnectionLost {
                target: self.shared.target().to_owned(),
                why: "this session ended with an earlier error".to_owned(),
            });
        }
        let outcome = self.gather().await;
        self.judge(outcome)
    }
}

impl Drop for PgSession {
    fn drop(&mut self) {
        // Without this the driver would read a half-read stream to its end.
        if self.state != State::Idle {
            self.link.abort();
        }
    }
}

/// `COPY (SELECT …) TO STDOUT (FORMAT binary)` for a chunk.
fn copy_statement(read: &ReadSpec, chunk: &ChunkBounds) -> Result<String> {
    let predicate = Dialect::PostgreSql
        .predicate(chunk, read.key.as_ref())
        .map_err(|error| mismatch(read, error.to_string()))?;
    let from = match chunk.leaf() {
        Some(leaf) => format!("ONLY {}", quote_relation(leaf)),
        None => from_item(&read.relation, read.query.as_deref()),
    };
    let columns: Vec<String> = read
        .columns
        .iter()
        .map(|column| {
            let name = quote_identifier(&column.name);
            match (column.read, &column.field) {
                (ReadAs::Native, _) => name,
                (ReadAs::Text, FieldType::List(_)) => format!("{name}::pg_catalog.text[]"),
                (ReadAs::Text, _) => format!("{name}::pg_catalog.text"),
            }
        })
        .collect();
    Ok(format!(
        "COPY (SELECT {} FROM {from}{}) TO STDOUT (FORMAT binary)",
        columns.join(", "),
        where_clause(read.filter.as_deref(), predicate.as_deref())
    ))
}

fn mismatch(read: &ReadSpec, why: String) -> SourceError {
    SourceError::PlanMismatch {
        table: read.relation.to_string(),
        why,
    }
}

/// Frames a stream, decodes it block by block, and cuts it into batches.
struct RowReader {
    read: ReadSpec,
    schema: SchemaRef,
    framer: Framer,
    columns: Vec<Box<dyn Decode>>,
    /// Where the column that names rows in messages is, if there is one.
    key: Option<usize>,
    /// What the column in hand could not hold.
    refused: Refused,
    /// What that means.
    ledger: Ledger,
    batch_bytes: usize,
    clock: SharedClock,
    rows: usize,
    bytes: u64,
    decoding: Duration,
}

impl RowReader {
    fn new(read: &ReadSpec, batch_bytes: usize, clock: SharedClock) -> Result<Self> {
        let columns: std::result::Result<Vec<_>, String> =
            read.columns.iter().map(decode::decoder).collect();
        let columns = columns.map_err(|why| SourceError::PlanMismatch {
            table: read.relation.to_string(),
            why,
        })?;
        let integer = |column: &Column| {
            column.read == ReadAs::Native
                && matches!(column.base_type.as_str(), "int2" | "int4" | "int8")
        };
        let key = read.columns.iter().position(|column| match &read.key {
            Some(key) => column.name == key.column && integer(column),
            // Not cut on a key: the first number that is never absent names a row well.
            None => !column.nullable && integer(column),
        });
        Ok(Self {
            schema: arrow_schema(&read.columns),
            framer: Framer::new(columns.len()),
            columns,
            key,
            refused: Refused::default(),
            ledger: Ledger::new(&read.relation, &read.columns),
            // Offsets of text are 32 bits: a batch and its last row stay below 2 GiB.
            batch_bytes: batch_bytes.clamp(1, 1 << 29),
            clock,
            rows: 0,
            bytes: 0,
            decoding: Duration::ZERO,
            read: read.clone(),
        })
    }

    fn reset(&mut self) {
        self.framer.reset();
        self.ledger.clear();
        self.rows = 0;
        self.bytes = 0;
        self.decoding = Duration::ZERO;
    }

    fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Takes a piece of the stream; true when a batch is full.
    #[inline]
    fn push(&mut self, data: &[u8]) -> Result<bool> {
        self.framer
            .push(data)
            .map_err(|why| self.not_understood(why))?;
        self.bytes += data.len() as u64;
        let block = self.framer.block();
        let full = self.bytes >= self.batch_bytes as u64;
        if block.rows >= BLOCK_ROWS || block.bytes.len() >= BLOCK_BYTES || full {
            self.decode()?;
        }
        Ok(self.rows > 0 && (full || self.rows >= BATCH_ROWS))
    }

    /// Decodes the complete rows that were framed. A value that cannot be held is noted and the batch
    /// still filled, so that every column that meets one has its say before the run stops.
    fn decode(&mut self) -> Result<()> {
        let block = self.framer.block();
        if block.rows == 0 {
            return Ok(());
        }
        let started = self.clock.monotonic();
        for (index, column) in self.columns.iter_mut().enumerate() {
            column
                .append(block.column(index), &mut self.refused)
                .map_err(|fault| not_understood(&self.read, fault.0))?;
            if let Some((count, refusal)) = self.refused.take() {
                let key = || {
                    block
                        .value(refusal.row, self.key?)
                        .and_then(decode::key_text)
                };
                let met = || {
                    met(
                        &self.read,
                        (index, self.rows),
                        &refusal,
                        self.key.zip(key()),
                    )
                };
                self.ledger.enter(index, count, met);
            }
        }
        self.rows += block.rows;
        self.framer.clear();
        self.decoding += self.clock.monotonic().saturating_sub(started);
        Ok(())
    }

    /// The stream is over: it must have said so itself.
    fn check_end(&mut self) -> Result<()> {
        if !self.framer.ended() {
            return Err(self.not_understood(
                "the COPY stream stopped without its trailer, so rows may be missing".to_owned(),
            ));
        }
        self.decode()
    }

    /// Hands over the rows so far.
    fn batch(&mut self) -> Result<Batch> {
        let started = self.clock.monotonic();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        // What is found out only now; named when the key's column is there too.
        let mut late: Vec<(usize, u64, Refusal)> = Vec::new();
        for (index, column) in self.columns.iter_mut().enumerate() {
            let array = column.finish(&mut self.refused);
            arrays.push(array.map_err(|fault| not_understood(&self.read, fault.0))?);
            if let Some((count, refusal)) = self.refused.take() {
                late.push((index, count, refusal));
            }
        }
        for (index, count, refusal) in late {
            let key = || array_value_to_string(arrays.get(self.key?)?, refusal.row).ok();
            let met = || met(&self.read, (index, 0), &refusal, self.key.zip(key()));
            self.ledger.enter(index, count, met);
        }
        let nulled = self.ledger.close()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        let rows = RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map_err(|error| self.not_understood(error.to_string()))?;
        let decode = self.decoding + self.clock.monotonic().saturating_sub(started);
        let wire_bytes = std::mem::take(&mut self.bytes);
        self.rows = 0;
        self.decoding = Duration::ZERO;
        Ok(Batch {
            rows,
            wire_bytes,
            decode,
            nulled,
        })
    }

    fn not_understood(&self, why: String) -> SourceError {
        not_understood(&self.read, why)
    }
}

fn not_understood(read: &ReadSpec, why: String) -> SourceError {
    SourceError::Protocol {
        target: read.relation.to_string(),
        why,
    }
}

/// A value that stops the run, and the output type that would hold it: of which column, counted from
/// which row of the batch; `key` is the column that names its row, and the value there.
#[cold]
fn met(
    read: &ReadSpec,
    (column, before): (usize, usize),
    refusal: &Refusal,
    key: Option<(usize, String)>,
) -> Met {
    let key = key.and_then(|(index, value)| {
        let column = read.columns.get(index)?;
        Some(format!("{} = {value}", column.name))
    });
    let flag = read.columns.get(column).map(|column| {
        let field = match &column.field {
            FieldType::List(_) if refusal.why == decode::NOT_UTF8 => "list(binary)",
            _ if refusal.why == decode::NOT_UTF8 => "binary",
            _ => "text",
        };
        flag("--type", &format!("{}={field}", column.name))
    });
    Met {
        row: before + refusal.row,
        key,
        value: refusal.value.clone(),
        why: refusal.why.to_owned(),
        flag,
    }
}
