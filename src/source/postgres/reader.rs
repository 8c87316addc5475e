//! From the bytes of a binary COPY to Arrow batches.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::util::display::array_value_to_string;

use super::super::ledger::{Ledger, Met, flag};
use super::super::{Batch, Result, SourceError};
use super::copy::Framer;
use super::decode::{self, Decode, Refusal, Refused};
use crate::clock::SharedClock;
use crate::model::{Column, FieldType, ReadAs, ReadSpec, arrow_schema};

/// A block is decoded when it reaches this many bytes or rows: it stays in the second-level cache
/// while every column runs over it.
const BLOCK_BYTES: usize = 128 * 1024;
const BLOCK_ROWS: usize = 512;

/// A batch ends at this many rows even if its bytes would let it go on.
const BATCH_ROWS: usize = 16 * 1024;

/// Turns the bytes of `COPY … TO STDOUT (FORMAT binary)` into Arrow batches.
///
/// Pieces may be cut anywhere. Rows are framed first and then decoded a block at a time, column by
/// column, so that a decoder runs over many values while the block is in the cache. Works on bytes
/// alone: a session feeds it from the wire, a benchmark or a fuzzer from memory.
pub struct CopyReader {
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
    /// Something went wrong between two columns: they are not of one length any more.
    torn: bool,
}

impl CopyReader {
    /// A reader of the columns of `read`. A batch ends with the row that reaches `batch_bytes` bytes
    /// of the stream (at most 512 MiB), or after 16,384 rows.
    ///
    /// # Errors
    /// [`SourceError::PlanMismatch`] for a column whose type has no decoder for its output type.
    pub fn new(read: &ReadSpec, batch_bytes: usize, clock: SharedClock) -> Result<Self> {
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
            torn: false,
            read: read.clone(),
        })
    }

    /// Forgets the stream in hand; the next one begins with its header.
    pub fn reset(&mut self) {
        self.framer.reset();
        self.ledger.clear();
        if self.torn || self.rows > 0 {
            // Values of the stream before must not become part of the next. Each column had a decoder
            // before, so it has one now.
            let fresh = self.read.columns.iter().map(decode::decoder);
            if let Ok(fresh) = fresh.collect() {
                self.columns = fresh;
            }
            self.refused = Refused::default();
            self.torn = false;
        }
        self.rows = 0;
        self.bytes = 0;
        self.decoding = Duration::ZERO;
    }

    /// Whether no decoded row waits for [`CopyReader::batch`].
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Takes a piece of the stream; true when a batch is full.
    ///
    /// # Errors
    /// [`SourceError::Protocol`] for bytes that are not the format, or not the column's type.
    #[inline]
    pub fn push(&mut self, data: &[u8]) -> Result<bool> {
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
        self.torn = true;
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
        self.torn = false;
        self.rows += block.rows;
        self.framer.clear();
        self.decoding += self.clock.monotonic().saturating_sub(started);
        Ok(())
    }

    /// The stream is over: it must have said so itself. What was left of it is decoded.
    ///
    /// # Errors
    /// [`SourceError::Protocol`] where the trailer is missing.
    pub fn check_end(&mut self) -> Result<()> {
        if !self.framer.ended() {
            return Err(self.not_understood(
                "the COPY stream stopped without its trailer, so rows may be missing".to_owned(),
            ));
        }
        self.decode()
    }

    /// Hands over the rows so far.
    ///
    /// # Errors
    /// [`SourceError::Unrepresentable`] for a value that its output type cannot hold, in a column
    /// whose rule is to stop.
    pub fn batch(&mut self) -> Result<Batch> {
        let started = self.clock.monotonic();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.columns.len());
        // What is found out only now; named when the key's column is there too.
        let mut late: Vec<(usize, u64, Refusal)> = Vec::new();
        self.torn = true;
        for (index, column) in self.columns.iter_mut().enumerate() {
            let array = column.finish(&mut self.refused);
            arrays.push(array.map_err(|fault| not_understood(&self.read, fault.0))?);
            if let Some((count, refusal)) = self.refused.take() {
                late.push((index, count, refusal));
            }
        }
        self.torn = false;
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
