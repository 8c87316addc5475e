//! Where rows go: files of a dataset, staged, proven and published by one path.
//!
//! Format and place are two axes. A [`Sink`] opens a [`ChunkWriter`] a chunk and attempt; what it
//! writes stays invisible in the staging area until [`publish`] puts the whole dataset in place.

mod csv;
mod description;
mod dictionary;
mod error;
mod folder;
mod format;
pub mod latest;
mod leftovers;
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
pub mod set;
mod stable;
mod staging;
mod step;
mod stopping;
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

pub use error::WriteError;
pub use leftovers::Leftovers;
pub use location::Location;
pub use meter::Meter;

pub use crate::model::PartReceipt;

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
