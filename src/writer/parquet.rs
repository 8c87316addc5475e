//! Parquet: batches into row groups of bounded memory; a footer that says what a file holds.
//!
//! What the settings cost was measured on the `lineitem`-like table of `benches/encode.rs` (16
//! columns, snappy, one core, 210 ns and 31 bytes a row as they are): statistics of pages beside
//! those of chunks add 8 % of time; dictionaries everywhere add 18 %, none at all 16 % and half as
//! many bytes again; pages of 100 000 rows add 6 %, and write batches of 8 192 values 40 %, because
//! the encoder's working set leaves the cache. So pages keep the crate's 20 000 rows, and write
//! batches its 1 024. SHA-256 takes 17 ns of each row.

use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression as Codec, GzipLevel, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use super::folder::{Blob, Chunks};
use super::format::{Contents, Encoder, FileFormat, Target};
use super::outlet::Outlet;
use super::publish::WriteBudget;
use super::{Result, WriteError, dictionary, readback};
use crate::error::one_line;
use crate::model::{Compression, KeySum, ParquetOptions};

/// Written into every file; the form is the one that Parquet's specification asks for.
const CREATED_BY: &str = concat!("ixtract version ", env!("CARGO_PKG_VERSION"));

/// Bounds of a column's page and dictionary; between them, wide tables share the budget.
const PAGE_BYTES: std::ops::RangeInclusive<usize> = 32 << 10..=1 << 20;

/// What a footer takes for each column of each row group, and besides; about.
const FOOTER_BYTES: usize = 150;

/// Parquet files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parquet {
    /// The user's options.
    pub(super) options: ParquetOptions,
    /// The memory of one writer.
    pub(super) budget: WriteBudget,
}

impl Parquet {
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

impl FileFormat for Parquet {
    fn extension(&self) -> &'static str {
        "parquet"
    }

    fn begin(
        &self,
        target: Target<'_>,
        schema: &SchemaRef,
        first: Option<&RecordBatch>,
    ) -> Result<Box<dyn Encoder>> {
        let path = target.path.to_owned();
        let begun = self
            .properties(schema, first)
            .and_then(|properties| {
                ArrowWriter::try_new(target.outlet, schema.clone(), Some(properties))
            })
            .map_err(|error| failed(&path, error));
        Ok(Box::new(ParquetEncoder {
            writer: begun?,
            path,
            memory: self.budget.row_group_bytes_cap,
        }))
    }

    fn inspect(&self, file: &dyn Blob, schema: &Schema) -> std::result::Result<Contents, String> {
        let footer = read_footer(file)?;
        match schema_difference(&footer.schema, schema) {
            Some(difference) => Err(difference),
            None => Ok(footer.contents),
        }
    }

    fn key_sum(
        &self,
        file: Box<dyn Blob>,
        schema: &Schema,
        columns: &[String],
    ) -> std::result::Result<KeySum, String> {
        readback::of_parquet(file, &readback::positions(schema, columns)?)
    }
}

/// One Parquet file under way.
struct ParquetEncoder {
    writer: ArrowWriter<Outlet>,
    path: PathBuf,
    memory: u64,
}

impl Encoder for ParquetEncoder {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut encode = || {
            self.writer.write(batch)?;
            // The crate ends a group by its encoded size alone; what is not yet encoded counts too.
            if self.writer.memory_size() as u64 >= self.memory {
                self.writer.flush()?;
            }
            Ok(())
        };
        encode().map_err(|error| failed(&self.path, error))
    }

    fn finish(self: Box<Self>) -> Result<Outlet> {
        let Self { writer, path, .. } = *self;
        writer.into_inner().map_err(|error| failed(&path, error))
    }

    fn size(&self) -> u64 {
        let written = self.writer.bytes_written() + self.writer.in_progress_size();
        let groups = self.writer.flushed_row_groups();
        let columns = groups.first().map_or(0, |group| group.num_columns());
        (written + FOOTER_BYTES * (1 + columns * groups.len())) as u64
    }
}

/// What a file says of itself.
struct Footer {
    contents: Contents,
    schema: SchemaRef,
}

/// Reads a file's footer.
fn read_footer(file: &dyn Blob) -> std::result::Result<Footer, String> {
    let metadata = ArrowReaderMetadata::load(&Chunks(file), Default::default())
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
        contents: Contents {
            bytes: file.length(),
            rows: u64::try_from(rows).map_err(|error| error.to_string())?,
        },
        schema: metadata.schema().clone(),
    })
}

/// How a file's schema differs from the one that was promised; `None` when it does not.
///
/// Name, type and nullability of each column count, and the extension type (UUID, JSON).
fn schema_difference(found: &Schema, promised: &Schema) -> Option<String> {
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
