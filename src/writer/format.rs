//! What a file format is to the rest of the writer: a name's ending, an encoder, and a way to read
//! back what a file holds. Naming, hashing, staging and publishing know no more than this.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};

use super::Result;
use super::csv::Csv;
use super::folder::Blob;
use super::outlet::Outlet;
use super::parquet::Parquet;
use super::publish::WriteBudget;
use crate::model::{FormatOptions, KeySum};

/// Every ending that a file of ours may have, without the first dot.
pub(super) const EXTENSIONS: [&str; 4] = ["parquet", "csv", "csv.gz", "csv.zst"];

/// A file format with its options.
pub(super) trait FileFormat: Send + Sync {
    /// How names end, one of [`EXTENSIONS`].
    fn extension(&self) -> &'static str;

    /// Starts a file whose first rows are `first`; none for a file without rows. Nothing else is
    /// written to `target` before or after.
    fn begin(
        &self,
        target: Target<'_>,
        schema: &SchemaRef,
        first: Option<&RecordBatch>,
    ) -> Result<Box<dyn Encoder>>;

    /// Reads back what a file holds.
    ///
    /// # Errors
    /// One line on why it is not a whole file of this format and schema; the caller knows whether
    /// that is a failed proof or a difference.
    fn inspect(&self, file: &dyn Blob, schema: &Schema) -> std::result::Result<Contents, String>;

    /// Reads back every row's key, the values of some columns, and sums them.
    ///
    /// # Errors
    /// As [`FileFormat::inspect`].
    fn key_sum(
        &self,
        file: Box<dyn Blob>,
        schema: &Schema,
        columns: &[String],
    ) -> std::result::Result<KeySum, String>;
}

/// A new file, and its name for errors.
pub(super) struct Target<'a> {
    /// Where bytes go.
    pub(super) outlet: Outlet,
    /// Its path.
    pub(super) path: &'a Path,
}

/// Writes batches into one file.
pub(super) trait Encoder: Send {
    /// Appends rows of the schema that the file was begun with.
    fn write(&mut self, batch: &RecordBatch) -> Result<()>;

    /// Ends the file: every byte has left when this returns.
    fn finish(self: Box<Self>) -> Result<Outlet>;

    /// About how long the file would be if it ended now.
    fn size(&self) -> u64;
}

/// What a file was found to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contents {
    /// Its length.
    pub(super) bytes: u64,
    /// Its rows.
    pub(super) rows: u64,
}

/// The format that the options ask for. `budget` is the memory of one writer; reading back needs
/// none.
pub(super) fn of(options: &FormatOptions, budget: WriteBudget) -> Arc<dyn FileFormat> {
    match options {
        FormatOptions::Parquet(options) => Arc::new(Parquet {
            options: *options,
            budget,
        }),
        FormatOptions::Csv(options) => Arc::new(Csv::new(options)),
    }
}
