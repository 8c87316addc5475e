//! From PostgreSQL's binary values to Arrow, column by column.
//!
//! Rows are framed into a [`Block`] that fits the CPU's cache; then each column runs over it with a
//! loop that was chosen once, when the read began. Nothing is allocated for a value or a row.

mod fixed;
mod numeric;
mod temporal;
mod text;

use arrow::array::ArrayRef;

use crate::model::{Column, FieldType, ReadAs, TimeUnit};

/// A field of a row inside a block's bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    /// Where the value begins.
    pub(super) start: u32,
    /// How long it is; −1 is NULL.
    pub(super) len: i32,
}

/// Some rows as they came, with the place of every field.
#[derive(Debug)]
pub(super) struct Block {
    /// The raw stream.
    pub(super) bytes: Vec<u8>,
    /// The fields, row by row.
    pub(super) cells: Vec<Cell>,
    /// Fields of a row.
    pub(super) columns: usize,
    /// Complete rows.
    pub(super) rows: usize,
}

impl Block {
    /// An empty block of rows of `columns` fields.
    pub(super) fn new(columns: usize) -> Self {
        Self {
            bytes: Vec::new(),
            cells: Vec::new(),
            columns,
            rows: 0,
        }
    }

    /// The values of a column, `None` for NULL.
    #[inline]
    pub(super) fn column(&self, column: usize) -> impl Iterator<Item = Option<&[u8]>> {
        let cells = self.cells.get(column..).unwrap_or_default();
        let bytes = self.bytes.as_slice();
        cells.iter().step_by(self.columns.max(1)).map(move |cell| {
            let start = cell.start as usize;
            // A negative length is NULL and nothing else: the framing let only −1 pass.
            let len = usize::try_from(cell.len).ok()?;
            bytes.get(start..start + len)
        })
    }

    /// One value; `None` for NULL.
    pub(super) fn value(&self, row: usize, column: usize) -> Option<&[u8]> {
        self.column(column).nth(row).flatten()
    }
}

/// Why a value did not become Arrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The output type cannot hold it. Rows count from the beginning of the block or, when a batch
    /// is finished, of the batch.
    Unrepresentable {
        /// Row.
        row: usize,
        /// The value as the server prints it, or as near as can be.
        value: String,
        /// What cannot be held.
        why: &'static str,
    },
    /// The bytes are not what the type's format says.
    Malformed(String),
}

/// A column under construction.
pub(super) trait Decode: Send {
    /// Appends a block's values.
    fn append(&mut self, block: &Block, column: usize) -> Result<(), Fault>;

    /// Hands over what was appended and begins anew.
    fn finish(&mut self) -> Result<ArrayRef, Fault>;
}

/// The decoder of a column; `Err` says what combination of types there is none for.
pub(super) fn decoder(column: &Column) -> Result<Box<dyn Decode>, String> {
    if column.read == ReadAs::Text {
        return match column.field {
            FieldType::Utf8 | FieldType::Json => Ok(text::utf8(0)),
            ref other => Err(format!("text cannot be read as {other}")),
        };
    }
    native(&column.base_type, &column.field)
        .ok_or_else(|| format!("{} cannot be read as {}", column.base_type, column.field))
}

/// Whether a built-in type's own wire format can be read as an output type.
pub(super) fn can_read(base_type: &str, field: &FieldType) -> bool {
    native(base_type, field).is_some()
}

fn native(base_type: &str, field: &FieldType) -> Option<Box<dyn Decode>> {
    const MICRO: TimeUnit = TimeUnit::Micro;
    Some(match (base_type, field) {
        ("bool", FieldType::Bool) => fixed::boolean(),
        ("int2", FieldType::Int16) => fixed::int16(),
        ("int2", FieldType::Int32) => fixed::int16_as_int32(),
        ("int2", FieldType::Int64) => fixed::int16_as_int64(),
        ("int4", FieldType::Int32) => fixed::int32(),
        ("int4", FieldType::Int64) => fixed::int32_as_int64(),
        ("int8", FieldType::Int64) => fixed::int64(),
        ("oid" | "xid" | "cid", FieldType::UInt32) => fixed::uint32(),
        ("oid" | "xid" | "cid", FieldType::Int64) => fixed::uint32_as_int64(),
        ("xid8", FieldType::UInt64) => fixed::uint64(),
        (
            "xid8",
            FieldType::Decimal {
                precision: 20,
                scale: 0,
            },
        ) => fixed::uint64_as_decimal(),
        ("float4", FieldType::Float32) => fixed::float32(),
        ("float4", FieldType::Float64) => fixed::float32_as_float64(),
        ("float8", FieldType::Float64) => fixed::float64(),
        ("numeric", FieldType::Decimal { precision, scale }) if *precision <= 38 => {
            numeric::decimal128(*precision, *scale)
        }
        ("numeric", FieldType::Decimal { precision, scale }) => {
            numeric::decimal256(*precision, *scale)
        }
        ("date", FieldType::Date) => temporal::date(),
        ("time", FieldType::Time(MICRO)) => temporal::time(),
        (
            "timestamp",
            FieldType::Timestamp {
                unit: MICRO,
                utc: false,
            },
        ) => temporal::timestamp(),
        (
            "timestamptz",
            FieldType::Timestamp {
                unit: MICRO,
                utc: true,
            },
        ) => temporal::instant(),
        ("bytea", FieldType::Binary) => text::binary(),
        ("uuid", FieldType::Uuid) => text::uuid(),
        ("uuid", FieldType::Utf8) => text::uuid_text(),
        ("json", FieldType::Json | FieldType::Utf8) => text::utf8(0),
        // jsonb travels as one version byte and the text.
        ("jsonb", FieldType::Json | FieldType::Utf8) => text::utf8(1),
        ("text" | "varchar" | "bpchar" | "name" | "citext" | "enum", FieldType::Utf8) => {
            text::utf8(0)
        }
        // The bytes that are not text in a SQL_ASCII database.
        ("text" | "varchar" | "bpchar" | "name" | "citext" | "enum", FieldType::Binary) => {
            text::binary()
        }
        _ => return None,
    })
}

/// An integer key's value for a message.
pub(super) fn key_text(bytes: &[u8]) -> Option<String> {
    if let Ok(bytes) = bytes.try_into() {
        return Some(i64::from_be_bytes(bytes).to_string());
    }
    if let Ok(bytes) = bytes.try_into() {
        return Some(i32::from_be_bytes(bytes).to_string());
    }
    bytes
        .try_into()
        .ok()
        .map(|bytes| i16::from_be_bytes(bytes).to_string())
}

#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A block of one column.
    pub(in super::super) fn block(values: &[Option<&[u8]>]) -> Block {
        let mut block = Block::new(1);
        for value in values {
            let start = block.bytes.len() as u32;
            block.bytes.extend_from_slice(value.unwrap_or_default());
            let len = value.map_or(-1, |bytes| bytes.len() as i32);
            block.cells.push(Cell { start, len });
            block.rows += 1;
        }
        block
    }

    /// What a decoder makes of some values.
    pub(in super::super) fn decode(
        mut decoder: Box<dyn Decode>,
        values: &[Option<&[u8]>],
    ) -> Result<ArrayRef, Fault> {
        decoder.append(&block(values), 0)?;
        decoder.finish()
    }
}
