//! Reads the keys of a finished file back, for `--proof full`: from the file itself, never from what
//! was in memory when it was written.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::Schema;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::csv::Plain;
use super::folder::Blob;
use crate::error::one_line;
use crate::model::KeySum;

/// Bytes that are fetched at once: pages are read one after the other, and on a store each fetch is a
/// round trip.
const PIECE: usize = 4 << 20;

/// Bytes that are handed to the decoder at once.
const STEP: usize = 64 << 10;

/// Where the named columns are in a schema.
///
/// # Errors
/// One line, for a name that is in no column.
pub(super) fn positions(schema: &Schema, columns: &[String]) -> Result<Vec<usize>, String> {
    columns
        .iter()
        .map(|name| {
            schema
                .index_of(name)
                .map_err(|error| one_line(&error.to_string()))
        })
        .collect()
}

/// The sum over the keys of a Parquet file's rows.
///
/// # Errors
/// One line on what cannot be read.
pub(super) fn of_parquet(file: Box<dyn Blob>, columns: &[usize]) -> Result<KeySum, String> {
    let said = |error: String| one_line(&error);
    let file = Pages {
        file: file.into(),
        piece: Arc::default(),
    };
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| said(error.to_string()))?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), columns.iter().copied());
    let reader = builder
        .with_projection(mask)
        .build()
        .map_err(|error| said(error.to_string()))?;
    // Projected columns come in the file's order.
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by_key(|place| columns[*place]);
    let mut sum = KeySum::default();
    let (mut key, mut text) = (Vec::new(), Vec::new());
    for batch in reader {
        let batch = batch.map_err(|error| said(error.to_string()))?;
        let plain = batch
            .columns()
            .iter()
            .map(Plain::of)
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            key.clear();
            for place in 0..columns.len() {
                let column = order.iter().position(|at| *at == place);
                let column = column
                    .and_then(|at| plain.get(at))
                    .ok_or("a column is missing")?;
                text.clear();
                column.write(row, &mut text);
                KeySum::part(&mut key, &text);
            }
            sum.add(&key);
        }
    }
    Ok(sum)
}

/// A blob that Parquet's reader may own, fetched in large pieces.
struct Pages {
    file: Arc<dyn Blob>,
    /// The piece that was fetched last, and where it begins.
    piece: Arc<Mutex<(u64, Bytes)>>,
}

impl Pages {
    /// So many bytes from a place on; fewer only at the end.
    fn bytes(&self, start: u64, length: usize) -> io::Result<Bytes> {
        let mut piece = self.piece.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, bytes) = &*piece;
        let inside = start
            .checked_sub(*at)
            .and_then(|skip| usize::try_from(skip).ok())
            .filter(|skip| skip.saturating_add(length) <= bytes.len());
        if let Some(skip) = inside {
            return Ok(bytes.slice(skip..skip + length));
        }
        let left = self.file.length().saturating_sub(start);
        let fetch = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(length.max(PIECE));
        let fetched = self.file.range(start, fetch)?;
        *piece = (start, fetched.clone());
        Ok(fetched.slice(..length.min(fetched.len())))
    }
}

impl Length for Pages {
    fn len(&self) -> u64 {
        self.file.length()
    }
}

impl ChunkReader for Pages {
    type T = Stream;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Stream> {
        Ok(Stream {
            pages: Self {
                file: Arc::clone(&self.file),
                piece: Arc::clone(&self.piece),
            },
            at: start,
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let bytes = self.bytes(start, length);
        bytes.map_err(|error| ParquetError::External(Box::new(error)))
    }
}

/// The same from a place on, as a stream.
struct Stream {
    pages: Pages,
    at: u64,
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let bytes = self.pages.bytes(self.at, into.len().min(STEP))?;
        into[..bytes.len()].copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}
