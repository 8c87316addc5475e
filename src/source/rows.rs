//! Rows as a driver hands them over, decoded block by block into Arrow and cut into batches.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use super::ledger::{Ledger, Met, flag};
use super::{Batch, Result, SourceError};
use crate::clock::SharedClock;
use crate::model::{Column, ReadSpec, arrow_schema};

/// Rows are decoded when there are so many: they stay in the second-level cache while every column
/// runs over them.
const BLOCK_ROWS: usize = 256;

/// A batch ends at this many rows even if its bytes would let it go on.
const BATCH_ROWS: usize = 16 * 1024;

/// The most of a value that an error shows, in characters.
pub(super) const SHOWN: usize = 80;

/// A column under construction, out of a driver's rows.
pub(super) trait Decode: Send {
    /// A row of the driver's.
    type Row: Send;

    /// Appends a row's value and says how many bytes it was, or `None` when it cannot be held: NULL
    /// stands in its place then.
    fn append(&mut self, row: &Self::Row, index: usize) -> Option<usize>;

    /// The values so far; begins anew.
    fn finish(&mut self) -> ArrayRef;

    /// A value for a person, shortened.
    fn shown(&self, row: &Self::Row, index: usize) -> String;

    /// What the output type cannot hold, and the one that would.
    fn why(&self, column: &Column) -> (String, Option<&'static str>);

    /// Whether whole numbers are stored, which name a row well.
    fn is_integer(&self) -> bool;

    /// Whether a row holds a value so long that it should not wait for others.
    fn is_long(row: &Self::Row) -> bool;
}

/// Rows on their way into batches.
pub(super) struct Rows<D: Decode> {
    columns: Vec<Column>,
    schema: SchemaRef,
    decoders: Vec<D>,
    /// Where the column that names rows in messages is, if there is one.
    key: Option<usize>,
    ledger: Ledger,
    table: String,
    block: Vec<D::Row>,
    batch_bytes: usize,
    clock: SharedClock,
    rows: usize,
    bytes: usize,
    decoding: Duration,
}

impl<D: Decode> Rows<D> {
    /// Rows of a read, by one decoder a column.
    pub(super) fn new(
        read: &ReadSpec,
        decoders: Vec<D>,
        batch_bytes: usize,
        clock: SharedClock,
    ) -> Self {
        let columns = read.columns.iter().zip(&decoders);
        let key = columns.into_iter().position(|(column, decoder)| {
            match &read.key {
                Some(key) => column.name == key.column,
                // Not cut on a key: the first number that is never absent names a row well.
                None => !column.nullable && decoder.is_integer(),
            }
        });
        Self {
            schema: arrow_schema(&read.columns),
            ledger: Ledger::new(&read.relation, &read.columns),
            table: read.relation.to_string(),
            columns: read.columns.clone(),
            decoders,
            key,
            block: Vec::with_capacity(BLOCK_ROWS),
            // Offsets of text are 32 bits: a batch and its last row stay below 2 GiB.
            batch_bytes: batch_bytes.clamp(1, 1 << 29),
            clock,
            rows: 0,
            bytes: 0,
            decoding: Duration::ZERO,
        }
    }

    /// Forgets everything: a chunk begins.
    pub(super) fn reset(&mut self) {
        self.block.clear();
        self.ledger.clear();
        self.rows = 0;
        self.bytes = 0;
        self.decoding = Duration::ZERO;
    }

    /// Whether no row has been decoded since the last batch.
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Takes a row; true when a batch is full.
    #[inline]
    pub(super) fn push(&mut self, row: D::Row) -> bool {
        let long = D::is_long(&row);
        self.block.push(row);
        if self.block.len() >= BLOCK_ROWS
            || long
            || self.block.len() * 8 * self.columns.len() >= self.batch_bytes
        {
            self.decode();
        }
        self.bytes >= self.batch_bytes || self.rows >= BATCH_ROWS
    }

    /// Decodes the rows that came. A value that cannot be held is noted and the batch still filled, so
    /// that every column that meets one has its say before the run stops.
    pub(super) fn decode(&mut self) {
        let started = self.clock.monotonic();
        for index in 0..self.decoders.len() {
            for (at, row) in self.block.iter().enumerate() {
                if let Some(bytes) = self.decoders[index].append(row, index) {
                    self.bytes += bytes;
                    continue;
                }
                let met = || {
                    met(
                        &self.columns,
                        &self.decoders,
                        self.key,
                        (self.rows + at, row, index),
                    )
                };
                self.ledger.enter(index, 1, met);
            }
        }
        self.rows += self.block.len();
        self.block.clear();
        self.decoding += self.clock.monotonic().saturating_sub(started);
    }

    /// Hands over the rows so far.
    ///
    /// # Errors
    /// [`SourceError::Unrepresentable`] for a value that stops the run.
    pub(super) fn batch(&mut self) -> Result<Batch> {
        let started = self.clock.monotonic();
        let nulled = self.ledger.close()?;
        let finished = self.decoders.iter_mut().map(D::finish);
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

/// What an error says of a value: the number of its row within the batch, the row, the column.
#[cold]
fn met<D: Decode>(
    columns: &[Column],
    decoders: &[D],
    key: Option<usize>,
    (number, row, index): (usize, &D::Row, usize),
) -> Met {
    let key = key.and_then(|at| {
        let (column, decoder) = columns.get(at).zip(decoders.get(at))?;
        Some(format!("{} = {}", column.name, decoder.shown(row, at)))
    });
    let column = &columns[index];
    let (why, helps) = decoders[index].why(column);
    Met {
        row: number,
        key,
        value: decoders[index].shown(row, index),
        why,
        flag: helps.map(|field| flag("--type", &format!("{}={field}", column.name))),
    }
}

/// A text for a person on one line, shortened, and escaped.
pub(super) fn shortened(text: &str) -> String {
    let mut chars = text.chars();
    let mut head: String = chars
        .by_ref()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    if chars.next().is_some() {
        head.push('…');
    }
    head
}
