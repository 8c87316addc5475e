//! CSV: RFC 4180 in UTF-8 with `\n`, so that PostgreSQL's `COPY … CSV HEADER` reads back what was
//! there, and so does every other reader of the RFC.
//!
//! NULL is an unquoted field, empty unless `--csv-null` says otherwise; whatever value would look
//! like it is quoted, so that the two never mix. An array is a JSON array. A date before year 1 is
//! written as PostgreSQL does, `0044-03-15 BC`, and a year above 9999 has as many digits as it
//! needs: ISO 8601 has only signs for both, which PostgreSQL does not read.
//!
//! Rows are formatted into one buffer, which leaves in pieces that stay in the cache. The csv crate
//! has no part in it: it cannot quote one field and not the next, and would copy each once more.
//! A file has no footer, so before publishing each is read back from end to end.

mod fields;
mod scan;
mod text;
mod value;

use std::io::{self, Read, Write};
use std::path::PathBuf;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;

use super::folder::Blob;
use super::format::{Contents, Encoder, FileFormat, Target};
use super::outlet::Outlet;
use super::{Result, WriteError, readback};
use crate::error::one_line;
use crate::model::{CsvOptions, FileCompression, KeySum};
use fields::Fields;
use scan::Scan;
use value::Column;

pub(super) use value::Plain;

/// The buffer leaves when it has so many bytes: many writes' worth, and less than the cache.
const PIECE: usize = 256 << 10;

/// What a compressor may hold back, compressed: a block of zstd's and its buffer.
const HELD_BACK: u64 = 160 << 10;

/// From this level on, zstd would take hundreds of megabytes a file; level 19's window bounds that.
const ZSTD_LARGE: std::ops::RangeFrom<i32> = 20..;
const ZSTD_WINDOW_LOG: u32 = 23;

/// CSV files.
#[derive(Clone, Debug)]
pub(super) struct Csv {
    style: Style,
    header: bool,
    compression: FileCompression,
}

/// How fields are told apart.
#[derive(Clone, Debug)]
struct Style {
    delimiter: u8,
    null: Vec<u8>,
    quote_all: bool,
}

impl Csv {
    /// Files with these options, which have been checked.
    pub(super) fn new(options: &CsvOptions) -> Self {
        Self {
            style: Style {
                // ASCII, as `CsvOptions::check` holds.
                delimiter: u8::try_from(options.delimiter).unwrap_or(b','),
                null: options.null.clone().into_bytes(),
                quote_all: options.quote_all,
            },
            header: options.header,
            compression: options.compression,
        }
    }

    /// What every file begins with.
    fn head(&self, schema: &Schema) -> Vec<u8> {
        let mut head = Vec::new();
        if self.header {
            for (index, field) in schema.fields().iter().enumerate() {
                if index > 0 {
                    head.push(self.style.delimiter);
                }
                let start = head.len();
                head.extend_from_slice(field.name().as_bytes());
                self.style.protect(&mut head, start);
            }
            head.push(b'\n');
        }
        head
    }

    /// Gives what a file holds after its head, decompressed, piece by piece.
    fn read(
        &self,
        file: &dyn Blob,
        schema: &Schema,
        each: &mut dyn FnMut(&[u8]) -> std::result::Result<(), String>,
    ) -> std::result::Result<(), String> {
        let said = |error: io::Error| one_line(&error.to_string());
        let reader = file.reader(0).map_err(said)?;
        match self.compression {
            FileCompression::None => self.pieces(reader, schema, each),
            FileCompression::Gzip => self.pieces(MultiGzDecoder::new(reader), schema, each),
            FileCompression::Zstd(_) => {
                self.pieces(zstd::Decoder::new(reader).map_err(said)?, schema, each)
            }
        }
    }

    fn pieces(
        &self,
        mut reader: impl Read,
        schema: &Schema,
        each: &mut dyn FnMut(&[u8]) -> std::result::Result<(), String>,
    ) -> std::result::Result<(), String> {
        let said = |error: io::Error| one_line(&error.to_string());
        let head = self.head(schema);
        let mut begin = Vec::with_capacity(head.len());
        reader
            .by_ref()
            .take(head.len() as u64)
            .read_to_end(&mut begin)
            .map_err(said)?;
        if begin != head {
            return Err("it does not begin with the columns' names".to_owned());
        }
        let mut piece = vec![0; PIECE];
        loop {
            match reader.read(&mut piece) {
                Ok(0) => return Ok(()),
                Ok(taken) => each(&piece[..taken])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(said(error)),
            }
        }
    }
}

impl FileFormat for Csv {
    fn extension(&self) -> &'static str {
        match self.compression {
            FileCompression::None => "csv",
            FileCompression::Gzip => "csv.gz",
            FileCompression::Zstd(_) => "csv.zst",
        }
    }

    fn begin(
        &self,
        target: Target<'_>,
        schema: &SchemaRef,
        _first: Option<&RecordBatch>,
    ) -> Result<Box<dyn Encoder>> {
        let stream = Stream::new(target.outlet, self.compression)
            .map_err(WriteError::io("write", target.path))?;
        Ok(Box::new(CsvEncoder {
            style: self.style.clone(),
            stream,
            path: target.path.to_owned(),
            buffer: self.head(schema),
            fed: 0,
        }))
    }

    /// Counts rows, and holds each against the number of columns.
    fn inspect(&self, file: &dyn Blob, schema: &Schema) -> std::result::Result<Contents, String> {
        let mut scan = Scan::new(self.style.delimiter, schema.fields().len());
        self.read(file, schema, &mut |piece| scan.feed(piece))?;
        Ok(Contents {
            bytes: file.length(),
            rows: scan.end()?,
        })
    }

    /// A field is the text of its value, so it is summed as it stands there.
    fn key_sum(
        &self,
        file: Box<dyn Blob>,
        schema: &Schema,
        columns: &[String],
    ) -> std::result::Result<KeySum, String> {
        let positions = readback::positions(schema, columns)?;
        let mut fields = Fields::new(self.style.delimiter, &positions);
        let mut sum = KeySum::default();
        let mut key = Vec::new();
        self.read(file.as_ref(), schema, &mut |piece| {
            fields.feed(piece, &mut |row| {
                key.clear();
                row.iter().for_each(|field| KeySum::part(&mut key, field));
                sum.add(&key);
            });
            Ok(())
        })?;
        Ok(sum)
    }
}

/// One CSV file under way.
struct CsvEncoder {
    style: Style,
    stream: Stream,
    path: PathBuf,
    buffer: Vec<u8>,
    /// Bytes given to the stream.
    fed: u64,
}

impl CsvEncoder {
    /// Lets the buffer leave. One huge value must not keep its memory for the rest of the file.
    fn flush(&mut self) -> Result<()> {
        self.stream
            .write_all(&self.buffer)
            .map_err(WriteError::io("write", &self.path))?;
        self.fed += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(4 * PIECE);
        Ok(())
    }
}

impl Encoder for CsvEncoder {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = batch
            .columns()
            .iter()
            .map(|array| Column::of(array, &self.style))
            .collect::<std::result::Result<Vec<_>, _>>()
            .map_err(|why| WriteError::Encode {
                path: self.path.display().to_string(),
                why,
            })?;
        for row in 0..batch.num_rows() {
            for (index, column) in columns.iter().enumerate() {
                if index > 0 {
                    self.buffer.push(self.style.delimiter);
                }
                column.write(row, &mut self.buffer, &self.style);
            }
            self.buffer.push(b'\n');
            if self.buffer.len() >= PIECE {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<Outlet> {
        self.flush()?;
        self.stream
            .finish()
            .map_err(WriteError::io("write", &self.path))
    }

    fn size(&self) -> u64 {
        let (left, waiting) = (self.stream.outlet().bytes(), self.buffer.len() as u64);
        match self.stream {
            Stream::Plain(_) => left + waiting,
            // What waits will shrink as what has left did; until anything has, it is taken as it is.
            Stream::Gzip(_) | Stream::Zstd(_) => {
                let shrunk = waiting * left / self.fed.max(1);
                left + HELD_BACK + if left > 0 { shrunk } else { waiting }
            }
        }
    }
}

/// The way from the buffer to the file.
enum Stream {
    Plain(Outlet),
    Gzip(GzEncoder<Outlet>),
    Zstd(zstd::Encoder<'static, Outlet>),
}

impl Stream {
    fn new(outlet: Outlet, compression: FileCompression) -> io::Result<Self> {
        Ok(match compression {
            FileCompression::None => Self::Plain(outlet),
            FileCompression::Gzip => {
                Self::Gzip(GzEncoder::new(outlet, flate2::Compression::default()))
            }
            FileCompression::Zstd(level) => {
                let mut encoder = zstd::Encoder::new(outlet, level)?;
                // As gzip always has; without one a reader would not notice a flipped bit.
                encoder.include_checksum(true)?;
                if ZSTD_LARGE.contains(&level) {
                    encoder.window_log(ZSTD_WINDOW_LOG)?;
                }
                Self::Zstd(encoder)
            }
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(outlet) => outlet.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    fn outlet(&self) -> &Outlet {
        match self {
            Self::Plain(outlet) => outlet,
            Self::Gzip(encoder) => encoder.get_ref(),
            Self::Zstd(encoder) => encoder.get_ref(),
        }
    }

    fn finish(self) -> io::Result<Outlet> {
        match self {
            Self::Plain(outlet) => Ok(outlet),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

impl Style {
    /// Quotes the field that begins at `start` where a reader would take it for something else.
    fn protect(&self, out: &mut Vec<u8>, start: usize) {
        if self.quote_all || self.is_ambiguous(&out[start..]) {
            quote(out, start);
        }
    }

    fn is_ambiguous(&self, field: &[u8]) -> bool {
        const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
        // PostgreSQL ends its input at a line of these two.
        const END_OF_DATA: &[u8] = b"\\.";
        // No early exit: this form goes through the bytes many at a time.
        let special = field.iter().fold(false, |found, byte| {
            found
                | (*byte == self.delimiter)
                | (*byte == b'"')
                | (*byte == b'\n')
                | (*byte == b'\r')
        });
        special
            || field.is_empty()
            || field == self.null
            || field == END_OF_DATA
            || field.starts_with(BYTE_ORDER_MARK)
    }
}

/// Puts the field that begins at `start` between quotes and doubles those inside, in place.
fn quote(out: &mut Vec<u8>, start: usize) {
    let end = out.len();
    let inside = out[start..].iter().filter(|byte| **byte == b'"').count();
    let mut at = end + inside + 2;
    out.resize(at, b'"');
    if inside == 0 {
        out.copy_within(start..end, start + 1);
        out[start] = b'"';
        return;
    }
    // From behind, because the field grows; the last byte is a quote already.
    at -= 1;
    for from in (start..end).rev() {
        at -= 1;
        out[at] = out[from];
        if out[from] == b'"' {
            at -= 1;
            out[at] = b'"';
        }
    }
    out[start] = b'"';
}
