//! Where rows go: files of a dataset, staged, proven and published by one path.
//!
//! Format and place are two axes. A [`Sink`] opens a [`ChunkWriter`] a chunk and attempt; what it
//! writes stays invisible in the staging area until [`publish`] puts the whole dataset in place.

mod csv;
mod dictionary;
mod error;
mod folder;
mod format;
mod location;
pub mod manifest;
mod meter;
mod names;
mod outlet;
mod parquet;
mod part;
mod place;
mod proof;
pub mod publish;
mod readback;
mod replace;
mod runs;
mod stable;
mod staging;
pub mod store;
mod sweep;
#[cfg(test)]
mod tests;
pub mod trial;
pub mod verify;
pub mod windows;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use error::WriteError;
pub use location::Location;
pub use meter::Meter;

/// The result of writing.
pub type Result<T> = std::result::Result<T, WriteError>;

/// Opens writers for chunks.
#[async_trait]
pub trait Sink: Send + Sync {
    /// A writer for one attempt at a chunk; `chunk` is its number in the plan. A new attempt
    /// replaces whatever an earlier one left.
    async fn open(&self, chunk: u32, schema: SchemaRef) -> Result<Box<dyn ChunkWriter>>;
}

/// Writes one chunk.
///
/// Dropping a writer without [`ChunkWriter::finish`] leaves nothing that could be published.
#[async_trait]
pub trait ChunkWriter: Send {
    /// Appends rows.
    async fn write(&mut self, batch: &RecordBatch) -> Result<()>;

    /// Counts the time that goes into handing bytes to their place, until the end of
    /// [`ChunkWriter::finish`]; the rest of a writer's time is encoding. A writer that does not tell
    /// the two apart counts nothing.
    fn meter(&self) -> Meter {
        Meter::default()
    }

    /// Ends the chunk: every byte is on its way to stable storage when this returns. A chunk
    /// without rows gives no receipt.
    async fn finish(self: Box<Self>) -> Result<Vec<PartReceipt>>;

    /// Removes what was written. May be called at any time.
    async fn abort(self: Box<Self>) -> Result<()>;
}

/// One finished file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartReceipt {
    /// File name, without directory.
    pub name: String,
    /// Plan chunk number.
    pub chunk: u32,
    /// Segment of the chunk, from 1.
    pub segment: u32,
    /// Rows.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file in hex, computed while it was written.
    pub sha256: String,
}
