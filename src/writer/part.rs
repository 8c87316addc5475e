//! A directory that takes one file a chunk: named, hidden until it is whole, encoded batch by batch
//! within a bounded memory, its checksum taken as the bytes leave. The format is somebody else's.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;

use super::format::{Encoder, FileFormat, Target};
use super::stable::{self, Backlog, HashingFile, Written};
use super::{ChunkWriter, Meter, PartReceipt, Result, Sink, WriteError, names};
use crate::clock::SharedClock;

/// The first and, as yet, only segment of a chunk.
const SEGMENT: u32 = 1;

/// A directory that takes one file a chunk.
#[derive(Clone)]
pub(super) struct DirectorySink {
    /// Where files go.
    pub(super) directory: PathBuf,
    /// The run's tag, part of every name.
    pub(super) tag: String,
    /// How they are encoded.
    pub(super) format: Arc<dyn FileFormat>,
    /// Takes finished files to stable storage.
    pub(super) backlog: Backlog,
    /// Measures what writing takes.
    pub(super) clock: Option<SharedClock>,
}

impl DirectorySink {
    fn name(&self, chunk: u32) -> String {
        names::part(chunk, SEGMENT, &self.tag, self.format.extension())
    }

    /// Hands a finished file, which has its name, to stable storage.
    fn receipt(
        &self,
        chunk: u32,
        rows: u64,
        (written, meter): (Written, &Meter),
    ) -> Result<PartReceipt> {
        let name = self.name(chunk);
        let path = self.directory.join(&name);
        meter.during(|| self.backlog.sync(written.file, &path))?;
        Ok(PartReceipt {
            name,
            chunk,
            segment: SEGMENT,
            rows,
            bytes: written.bytes,
            sha256: written.sha256,
        })
    }

    /// Writes a readable file without rows: an empty table still has a schema.
    pub(super) fn write_empty(&self, chunk: u32, schema: &SchemaRef) -> Result<PartReceipt> {
        let path = self.directory.join(self.name(chunk));
        let meter = Meter::default();
        let file = HashingFile::create(&path, meter.clone())?;
        let target = Target { file, path: &path };
        let file = self.format.begin(target, schema, None)?.finish()?;
        self.receipt(chunk, 0, (file.finish(), &meter))
    }
}

#[async_trait]
impl Sink for DirectorySink {
    async fn open(&self, chunk: u32, schema: SchemaRef) -> Result<Box<dyn ChunkWriter>> {
        // An earlier attempt may have left a file, and this one may have no rows to replace it.
        let name = self.name(chunk);
        stable::remove_file(&self.directory.join(names::unfinished(&name)))?;
        stable::remove_file(&self.directory.join(&name))?;
        Ok(Box::new(PartWriter {
            sink: self.clone(),
            chunk,
            schema,
            meter: Meter::new(self.clock.clone()),
            part: None,
        }))
    }
}

/// One attempt at a chunk.
struct PartWriter {
    sink: DirectorySink,
    chunk: u32,
    schema: SchemaRef,
    meter: Meter,
    part: Option<Part>,
}

/// A file under way; hidden until it is whole, and removed when it is dropped before.
struct Part {
    encoder: Option<Box<dyn Encoder>>,
    path: PathBuf,
    rows: u64,
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.encoder.take().is_some() {
            // What cannot be removed now is litter of a hidden name, which the next run sweeps.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl PartWriter {
    fn name(&self) -> String {
        self.sink.name(self.chunk)
    }

    /// Opens the file at the first rows, because they may decide how columns are encoded.
    fn start(&self, first: &RecordBatch) -> Result<Part> {
        let path = self.sink.directory.join(names::unfinished(&self.name()));
        let file = HashingFile::create(&path, self.meter.clone())?;
        let target = Target { file, path: &path };
        match self.sink.format.begin(target, &self.schema, Some(first)) {
            Ok(encoder) => Ok(Part {
                encoder: Some(encoder),
                path,
                rows: 0,
            }),
            Err(error) => {
                stable::remove_file(&path)?;
                Err(error)
            }
        }
    }

    fn encode(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if !same_columns(&batch.schema(), &self.schema) {
            return Err(WriteError::Encode {
                path: self.name(),
                why: "a batch does not have the schema that the file was opened with".to_owned(),
            });
        }
        if self.part.is_none() {
            self.part = Some(self.start(batch)?);
        }
        if let Some(Part {
            encoder: Some(encoder),
            rows,
            ..
        }) = &mut self.part
        {
            encoder.write(batch)?;
            *rows += batch.num_rows() as u64;
        }
        Ok(())
    }

    fn complete(mut self) -> Result<Vec<PartReceipt>> {
        let Some(mut part) = self.part.take() else {
            return Ok(Vec::new());
        };
        let Some(encoder) = part.encoder.take() else {
            return Ok(Vec::new());
        };
        let path = self.sink.directory.join(self.name());
        let sealed = encoder
            .finish()
            .map(HashingFile::finish)
            .and_then(|written| {
                stable::put_in_place(&part.path, &path)?;
                Ok(written)
            });
        match sealed {
            Ok(written) => {
                let receipt = self
                    .sink
                    .receipt(self.chunk, part.rows, (written, &self.meter))?;
                Ok(vec![receipt])
            }
            Err(error) => {
                stable::remove_file(&part.path)?;
                Err(error)
            }
        }
    }
}

fn same_columns(one: &SchemaRef, other: &SchemaRef) -> bool {
    Arc::ptr_eq(one, other)
        || one.fields().len() == other.fields().len()
            && one
                .fields()
                .iter()
                .zip(other.fields())
                .all(|(a, b)| a.name() == b.name() && a.data_type() == b.data_type())
}

#[async_trait]
impl ChunkWriter for PartWriter {
    async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.encode(batch)
    }

    fn meter(&self) -> Meter {
        self.meter.clone()
    }

    async fn finish(self: Box<Self>) -> Result<Vec<PartReceipt>> {
        self.complete()
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        match self.part.take() {
            Some(mut part) => {
                part.encoder = None;
                stable::remove_file(&part.path)
            }
            None => Ok(()),
        }
    }
}
