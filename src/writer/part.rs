//! A place that takes the files of chunks: each named, hidden until it is whole, encoded batch by
//! batch within a bounded memory, ended when it is as long as it may be. Format and place are
//! somebody else's.

use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;

use super::format::{Encoder, FileFormat, Target};
use super::outlet::{Exit, Outlet, Written};
use super::publish::WriteBudget;
use super::stable::{self, Backlog};
use super::store::{FILE_BYTES, Queue, Upload, Uploads};
use super::{ChunkWriter, Meter, PartReceipt, Result, Sink, WriteError, names};
use crate::clock::SharedClock;
use crate::model::Waits;

/// A batch is encoded in slices of at most this share of a file's bytes, so that files end near
/// their limit.
const SLICES: u64 = 16;

/// Where files go.
#[derive(Clone)]
pub(super) enum Home {
    /// A directory of this machine.
    Directory {
        /// Its path.
        path: PathBuf,
        /// Takes finished files to stable storage.
        backlog: Backlog,
    },
    /// A store.
    Store(Uploads),
}

impl Home {
    /// The path of a file, for errors.
    fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Directory { path, .. } => path.join(name),
            Self::Store(uploads) => uploads.shown(name).into(),
        }
    }

    /// The most bytes that a file may have here.
    fn most_bytes(&self) -> u64 {
        match self {
            Self::Directory { .. } => u64::MAX,
            Self::Store(_) => FILE_BYTES,
        }
    }

    /// The part of a writer's memory that the encoder gets: on a store, pieces on their way take
    /// the other half.
    pub(super) fn share(&self, budget: WriteBudget) -> WriteBudget {
        match self {
            Self::Directory { .. } => budget,
            Self::Store(_) => WriteBudget {
                row_group_bytes_cap: budget.row_group_bytes_cap / 2,
            },
        }
    }

    /// A new file of this name, not visible yet.
    fn create(&self, name: &str) -> Result<(Way, Outlet)> {
        match self {
            Self::Directory { path, .. } => {
                let hidden = path.join(names::unfinished(name));
                let file = OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .open(&hidden)
                    .map_err(WriteError::io("create", &hidden))?;
                let way = Way::File(Hidden(Some(hidden)));
                Ok((way, Outlet::new(Exit::File(file))))
            }
            Self::Store(uploads) => {
                let upload = uploads.begin(name.to_owned());
                let exit = Exit::Queue(upload.queue());
                Ok((Way::Upload(upload), Outlet::new(exit)))
            }
        }
    }

    /// Gives a whole file its name; tells where it waits.
    async fn keep(&self, name: &str, way: Way, exit: Exit) -> Result<Waits> {
        match (self, way, exit) {
            (Self::Directory { path, backlog }, Way::File(mut hidden), Exit::File(file)) => {
                let path = path.join(name);
                if let Some(from) = &hidden.0 {
                    stable::put_in_place(from, &path)?;
                }
                hidden.0 = None;
                backlog.sync(file, &path)?;
                Ok(Waits::Staged)
            }
            (_, Way::Upload(upload), _) => upload.finish().await,
            _ => Ok(Waits::Staged),
        }
    }

    /// Removes a file of an attempt that is over, whole or not; whether there was one.
    fn remove(&self, name: &str) -> Result<bool> {
        match self {
            Self::Directory { path, .. } => {
                let unfinished = stable::remove_file(&path.join(names::unfinished(name)))?;
                Ok(stable::remove_file(&path.join(name))? || unfinished)
            }
            Self::Store(uploads) => Ok(uploads.forget(|held| held == name)),
        }
    }
}

/// A file under way; dropped before it is whole, it leaves nothing.
enum Way {
    File(Hidden),
    Upload(Upload),
}

/// The path of a file that is not whole.
struct Hidden(Option<PathBuf>);

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // What cannot be removed now is litter of a hidden name, which the next run sweeps.
            let _ = fs::remove_file(path);
        }
    }
}

/// Takes the files of chunks.
#[derive(Clone)]
pub(super) struct PartSink {
    /// Where they go.
    pub(super) home: Home,
    /// The run's tag, part of every name.
    pub(super) tag: String,
    /// How they are encoded.
    pub(super) format: Arc<dyn FileFormat>,
    /// `--max-file-size`.
    pub(super) file_bytes: Option<u64>,
    /// Measures what writing takes, where it is to be measured.
    pub(super) clock: Option<SharedClock>,
}

impl PartSink {
    fn name(&self, chunk: u32, segment: u32) -> String {
        names::part(chunk, segment, &self.tag, self.format.extension())
    }

    /// Writes a readable file without rows: an empty table still has a schema.
    pub(super) fn write_empty(&self, chunk: u32, schema: &SchemaRef) -> Result<PartReceipt> {
        let name = self.name(chunk, 1);
        let path = self.home.path(&name);
        let begin = |outlet| {
            self.format.begin(
                Target {
                    outlet,
                    path: &path,
                },
                schema,
                None,
            )
        };
        let written = match &self.home {
            Home::Directory { backlog, .. } => {
                let file = fs::File::create_new(&path).map_err(WriteError::io("create", &path))?;
                let written = begin(Outlet::new(Exit::File(file)))?.finish()?.finish();
                if let Exit::File(file) = &written.exit {
                    let file = file.try_clone().map_err(WriteError::io("sync", &path))?;
                    backlog.sync(file, &path)?;
                }
                backlog.wait()?;
                written
            }
            Home::Store(uploads) => {
                let queue = Queue::default();
                let outlet = Outlet::new(Exit::Queue(queue.clone()));
                let written = begin(outlet)?.finish()?.finish();
                uploads.put(&name, queue.last())?;
                written
            }
        };
        Ok(receipt(name, (chunk, 1), 0, &written))
    }
}

fn receipt(
    name: String,
    (chunk, segment): (u32, u32),
    rows: u64,
    written: &Written,
) -> PartReceipt {
    PartReceipt {
        name,
        chunk,
        segment,
        rows,
        bytes: written.bytes,
        sha256: written.sha256.clone(),
        waits: Waits::Staged,
    }
}

#[async_trait]
impl Sink for PartSink {
    async fn open(&self, chunk: u32, schema: SchemaRef) -> Result<Box<dyn ChunkWriter>> {
        // An earlier attempt may have left files, and this one may have fewer. They were made in
        // order, and are removed from the last to the first.
        for segment in 1.. {
            if !self.home.remove(&self.name(chunk, segment))? {
                break;
            }
        }
        let most = self.home.most_bytes();
        Ok(Box::new(PartWriter {
            file_bytes: self.file_bytes.map_or(most, |bytes| bytes.min(most)),
            sink: self.clone(),
            meter: Meter::new(self.clock.clone()),
            chunk,
            schema,
            part: None,
            done: Vec::new(),
        }))
    }
}

/// One attempt at a chunk.
struct PartWriter {
    sink: PartSink,
    chunk: u32,
    schema: SchemaRef,
    meter: Meter,
    /// The most bytes of a file.
    file_bytes: u64,
    part: Option<Part>,
    /// Files that are whole, one a segment.
    done: Vec<PartReceipt>,
}

/// A file under way.
struct Part {
    encoder: Box<dyn Encoder>,
    way: Way,
    rows: u64,
    /// The most that a slice of rows added to it.
    step: u64,
}

impl PartWriter {
    fn segment(&self) -> u32 {
        u32::try_from(self.done.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1)
    }

    fn name(&self) -> String {
        self.sink.name(self.chunk, self.segment())
    }

    /// Opens the file at the first rows, because they may decide how columns are encoded.
    fn start(&self, first: &RecordBatch) -> Result<Part> {
        let name = self.name();
        let (way, outlet) = self.sink.home.create(&name)?;
        let path = self.sink.home.path(&name);
        let target = Target {
            outlet: outlet.measured_by(self.meter.clone()),
            path: &path,
        };
        let encoder = self.sink.format.begin(target, &self.schema, Some(first))?;
        Ok(Part {
            encoder,
            way,
            rows: 0,
            step: 0,
        })
    }

    async fn encode(&mut self, batch: &RecordBatch) -> Result<()> {
        if !same_columns(&batch.schema(), &self.schema) {
            return Err(WriteError::Encode {
                path: self.name(),
                why: "a batch does not have the schema that the file was opened with".to_owned(),
            });
        }
        let rows = rows_of_slice(batch, self.file_bytes);
        for start in (0..batch.num_rows()).step_by(rows) {
            // What follows decides about dictionaries, so the slice is not all that is shown.
            let rest = batch.slice(start, batch.num_rows() - start);
            let slice = rest.slice(0, rows.min(rest.num_rows()));
            let full = |part: &Part| part.encoder.size() + part.step > self.file_bytes;
            if self.part.as_ref().is_some_and(full) {
                self.end_part().await?;
            }
            let part = match &mut self.part {
                Some(part) => part,
                None => {
                    let part = self.start(&rest)?;
                    self.part.insert(part)
                }
            };
            let before = part.encoder.size();
            part.encoder.write(&slice)?;
            part.step = part.step.max(part.encoder.size().saturating_sub(before));
            part.rows += slice.num_rows() as u64;
            if let Way::Upload(upload) = &mut part.way {
                upload.drain().await?;
            }
        }
        Ok(())
    }

    /// Ends the file under way, if there is one.
    async fn end_part(&mut self) -> Result<()> {
        let Some(part) = self.part.take() else {
            return Ok(());
        };
        let name = self.name();
        let written = part.encoder.finish()?.finish();
        let mut receipt = receipt(
            name.clone(),
            (self.chunk, self.segment()),
            part.rows,
            &written,
        );
        let keeping = self.sink.home.keep(&name, part.way, written.exit);
        receipt.waits = self.meter.while_waiting(keeping).await?;
        self.done.push(receipt);
        Ok(())
    }
}

/// How many rows of a batch are encoded at once, so that a file may end in the middle of it.
fn rows_of_slice(batch: &RecordBatch, file_bytes: u64) -> usize {
    let rows = batch.num_rows().max(1);
    let memory = batch.get_array_memory_size() as u64;
    let slices = memory.div_ceil((file_bytes / SLICES).max(1)).max(1);
    rows.div_ceil(usize::try_from(slices).unwrap_or(usize::MAX))
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
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.encode(batch).await
    }

    fn meter(&self) -> Meter {
        self.meter.clone()
    }

    async fn finish(mut self: Box<Self>) -> Result<Vec<PartReceipt>> {
        self.end_part().await?;
        Ok(self.done)
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        self.part = None;
        while let Some(receipt) = self.done.pop() {
            self.sink.home.remove(&receipt.name)?;
        }
        Ok(())
    }
}
