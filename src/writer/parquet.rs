//! Parquet: one file a chunk, encoded batch by batch within a bounded memory, its checksum taken as
//! the bytes leave.
//!
//! What the settings cost was measured on the `lineitem`-like table of `benches/encode.rs` (16
//! columns, snappy, one core, 210 ns and 31 bytes a row as they are): statistics of pages beside
//! those of chunks add 8 % of time; dictionaries everywhere add 18 %, none at all 16 % and half as
//! many bytes again; pages of 100 000 rows add 6 %, and write batches of 8 192 values 40 %, because
//! the encoder's working set leaves the cache. So pages keep the crate's 20 000 rows, and write
//! batches its 1 024. SHA-256 takes 17 ns of each row.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression as Codec, GzipLevel, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::publish::WriteBudget;
use super::stable::{self, Backlog, HashingFile};
use super::{ChunkWriter, PartReceipt, Result, Sink, WriteError, dictionary, names};
use crate::model::{Compression, FormatOptions};

/// Written into every file; the form is the one that Parquet's specification asks for.
const CREATED_BY: &str = concat!("ixtract version ", env!("CARGO_PKG_VERSION"));

/// Bounds of a column's page and dictionary; between them, wide tables share the budget.
const PAGE_BYTES: std::ops::RangeInclusive<usize> = 32 << 10..=1 << 20;

/// How files are encoded, whatever they hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encoding {
    /// The user's options.
    pub(super) options: FormatOptions,
    /// The memory of one writer.
    pub(super) budget: WriteBudget,
}

impl Encoding {
    /// The bytes that a row group may have in memory.
    fn group_bytes(&self) -> usize {
        let bytes = self
            .options
            .row_group_bytes
            .min(self.budget.row_group_bytes_cap);
        usize::try_from(bytes).unwrap_or(usize::MAX).max(1)
    }

    /// Properties for a file whose first rows are `first`; none for an empty file.
    fn properties(
        &self,
        schema: &Schema,
        first: Option<&RecordBatch>,
    ) -> EncodeResult<WriterProperties> {
        // A column buffers a page and a dictionary: a quarter of the memory for all of them.
        let share = self.group_bytes() / 4 / schema.fields().len().max(1);
        let page = share.clamp(*PAGE_BYTES.start(), *PAGE_BYTES.end());
        let rows = usize::try_from(self.options.row_group_rows).unwrap_or(usize::MAX);
        let mut properties = WriterProperties::builder()
            .set_created_by(CREATED_BY.to_owned())
            .set_compression(codec(self.options.compression)?)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_max_row_group_row_count(Some(rows.max(1)))
            .set_max_row_group_bytes(Some(self.group_bytes()))
            .set_data_page_size_limit(page)
            .set_dictionary_page_size_limit(page);
        if let Some(first) = first {
            let leaves = ArrowSchemaConverter::new().convert(schema)?;
            // Every type of ours has one leaf, so columns and leaves stand side by side.
            for (values, leaf) in first.columns().iter().zip(leaves.columns()) {
                let path = leaf.path().clone();
                let pays = dictionary::pays(values, page);
                properties = properties.set_column_dictionary_enabled(path, pays);
            }
        }
        Ok(properties.build())
    }
}

type EncodeResult<T> = std::result::Result<T, ParquetError>;

fn codec(compression: Compression) -> EncodeResult<Codec> {
    Ok(match compression {
        Compression::None => Codec::UNCOMPRESSED,
        Compression::Snappy => Codec::SNAPPY,
        Compression::Zstd(level) => Codec::ZSTD(ZstdLevel::try_new(level)?),
        Compression::Lz4 => Codec::LZ4_RAW,
        Compression::Gzip => Codec::GZIP(GzipLevel::default()),
    })
}

/// The crate hands the system's errors on wrapped; a full disk must still be told as one.
fn failed(path: &Path, error: ParquetError) -> WriteError {
    let path_text = path.display().to_string();
    match error {
        ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
            Ok(source) => WriteError::io("write", path)(*source),
            Err(other) => WriteError::Encode {
                path: path_text,
                why: one_line(&other.to_string()),
            },
        },
        other => WriteError::Encode {
            path: path_text,
            why: one_line(&other.to_string()),
        },
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A directory that takes one file a chunk.
#[derive(Clone)]
pub(super) struct DirectorySink {
    /// Where files go.
    pub(super) directory: PathBuf,
    /// The run's tag, part of every name.
    pub(super) tag: String,
    /// How they are encoded.
    pub(super) encoding: Encoding,
    /// Takes finished files to stable storage.
    pub(super) backlog: Backlog,
}

#[async_trait]
impl Sink for DirectorySink {
    async fn open(&self, chunk: u32, schema: SchemaRef) -> Result<Box<dyn ChunkWriter>> {
        // An earlier attempt may have left a file, and this one may have no rows to replace it.
        let name = names::part(chunk, SEGMENT, &self.tag);
        stable::remove_file(&self.directory.join(names::unfinished(&name)))?;
        stable::remove_file(&self.directory.join(&name))?;
        Ok(Box::new(PartWriter {
            sink: self.clone(),
            chunk,
            schema,
            part: None,
        }))
    }
}

/// The first and, as yet, only segment of a chunk.
const SEGMENT: u32 = 1;

/// One attempt at a chunk.
struct PartWriter {
    sink: DirectorySink,
    chunk: u32,
    schema: SchemaRef,
    part: Option<Part>,
}

/// A file under way; hidden until it is whole, and removed when it is dropped before.
struct Part {
    encoder: Option<ArrowWriter<HashingFile>>,
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
        names::part(self.chunk, SEGMENT, &self.sink.tag)
    }

    /// Opens the file at the first rows, because they decide how columns are encoded.
    fn start(&self, first: &RecordBatch) -> Result<Part> {
        let path = self.sink.directory.join(names::unfinished(&self.name()));
        let file = HashingFile::create(&path)?;
        let encoder = self
            .sink
            .encoding
            .properties(&self.schema, Some(first))
            .and_then(|properties| {
                ArrowWriter::try_new(file, self.schema.clone(), Some(properties))
            })
            .map_err(|error| failed(&path, error));
        match encoder {
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
        let memory = self.sink.encoding.budget.row_group_bytes_cap;
        let Some(Part {
            encoder: Some(encoder),
            path,
            rows,
        }) = &mut self.part
        else {
            return Ok(());
        };
        encoder.write(batch).map_err(|error| failed(path, error))?;
        *rows += batch.num_rows() as u64;
        // The crate ends a group by its encoded size alone; what is not yet encoded counts too.
        if encoder.memory_size() as u64 >= memory {
            encoder.flush().map_err(|error| failed(path, error))?;
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
        let name = self.name();
        let path = self.sink.directory.join(&name);
        let unfinished = part.path.clone();
        let sealed = encoder
            .into_inner()
            .map(HashingFile::finish)
            .map_err(|error| failed(&unfinished, error))
            .and_then(|written| {
                stable::put_in_place(&unfinished, &path)?;
                Ok(written)
            });
        let written = match sealed {
            Ok(written) => written,
            Err(error) => {
                stable::remove_file(&unfinished)?;
                return Err(error);
            }
        };
        self.sink.backlog.sync(written.file, &path)?;
        Ok(vec![PartReceipt {
            name,
            chunk: self.chunk,
            segment: SEGMENT,
            rows: part.rows,
            bytes: written.bytes,
            sha256: written.sha256,
        }])
    }
}

fn same_columns(one: &SchemaRef, other: &SchemaRef) -> bool {
    std::sync::Arc::ptr_eq(one, other)
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

/// Writes a readable file without rows: an empty table still has a schema.
pub(super) fn write_empty(
    sink: &DirectorySink,
    chunk: u32,
    schema: &SchemaRef,
) -> Result<PartReceipt> {
    let name = names::part(chunk, SEGMENT, &sink.tag);
    let path = sink.directory.join(&name);
    let file = HashingFile::create(&path)?;
    let written = sink
        .encoding
        .properties(schema, None)
        .and_then(|properties| ArrowWriter::try_new(file, schema.clone(), Some(properties)))
        .and_then(ArrowWriter::into_inner)
        .map(HashingFile::finish)
        .map_err(|error| failed(&path, error))?;
    sink.backlog.sync(written.file, &path)?;
    Ok(PartReceipt {
        name,
        chunk,
        segment: SEGMENT,
        rows: 0,
        bytes: written.bytes,
        sha256: written.sha256,
    })
}

/// What a file says of itself.
pub(super) struct Footer {
    /// Its length.
    pub(super) bytes: u64,
    /// Its rows.
    pub(super) rows: u64,
    /// Its schema.
    pub(super) schema: SchemaRef,
}

/// Reads a file's footer.
///
/// # Errors
/// One line on why it cannot be read; the caller knows whether that is a failed proof or a
/// difference.
pub(super) fn read_footer(path: &Path) -> std::result::Result<Footer, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let bytes = file.metadata().map_err(|error| error.to_string())?.len();
    let metadata = ArrowReaderMetadata::load(&file, Default::default())
        .map_err(|error| one_line(&error.to_string()))?;
    let groups = metadata.metadata().row_groups();
    let rows: i64 = groups.iter().map(|group| group.num_rows()).sum();
    let told = metadata.metadata().file_metadata().num_rows();
    if rows != told {
        return Err(format!(
            "its row groups hold {rows} rows and its footer says {told}"
        ));
    }
    Ok(Footer {
        bytes,
        rows: u64::try_from(rows).map_err(|error| error.to_string())?,
        schema: metadata.schema().clone(),
    })
}

/// How a file's schema differs from the one that was promised; `None` when it does not.
///
/// Name, type and nullability of each column count, and the extension type (UUID, JSON).
pub(super) fn schema_difference(found: &Schema, promised: &Schema) -> Option<String> {
    const EXTENSION: &str = "ARROW:extension:name";
    if found.fields().len() != promised.fields().len() {
        return Some(format!(
            "it has {} columns and not {}",
            found.fields().len(),
            promised.fields().len()
        ));
    }
    let differing = found
        .fields()
        .iter()
        .zip(promised.fields())
        .find(|(a, b)| {
            a.name() != b.name()
                || a.data_type() != b.data_type()
                || a.is_nullable() != b.is_nullable()
                || a.metadata().get(EXTENSION) != b.metadata().get(EXTENSION)
        })?;
    let shown = |field: &arrow::datatypes::Field| {
        let nullable = if field.is_nullable() { "" } else { " not null" };
        format!("'{}' {}{nullable}", field.name(), field.data_type())
    };
    Some(format!(
        "it has column {} and not {}",
        shown(differing.0),
        shown(differing.1)
    ))
}
