//! From PostgreSQL's binary values to Arrow, column by column.
//!
//! Rows are framed into a [`Block`] that fits the CPU's cache; then each column runs over it with a
//! loop that was chosen once, when the read began. Nothing is allocated for a value or a row.

mod fixed;
mod list;
mod number;
mod numeric;
mod parsed;
mod refused;
mod temporal;
mod text;

use arrow::array::ArrayRef;

pub(super) use refused::{Malformed, Refusal, Refused};
pub(super) use text::NOT_UTF8;

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

    /// The values of a column.
    #[inline]
    pub(super) fn column(&self, column: usize) -> Values<'_> {
        Values {
            bytes: &self.bytes,
            cells: self.cells.get(column..).unwrap_or_default(),
            step: self.columns.max(1),
        }
    }

    /// One value; `None` for NULL.
    pub(super) fn value(&self, row: usize, column: usize) -> Option<&[u8]> {
        self.column(column).iter().nth(row).flatten()
    }
}

/// Some values of one column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    bytes: &'a [u8],
    cells: &'a [Cell],
    /// From one value's cell to the next one's.
    step: usize,
}

impl<'a> Values<'a> {
    /// How many there are, NULLs included.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.cells.len().div_ceil(self.step)
    }

    /// The values in their order, `None` for NULL.
    #[inline]
    pub(super) fn iter(self) -> impl Iterator<Item = Option<&'a [u8]>> {
        self.placed().map(|value| value.map(|(_, bytes)| bytes))
    }

    /// The values in their order, each with where it begins in the block.
    #[inline]
    fn placed(self) -> impl Iterator<Item = Option<(u32, &'a [u8])>> {
        self.cells.iter().step_by(self.step).map(move |cell| {
            let start = cell.start as usize;
            // A negative length is NULL and nothing else: the framing let only −1 pass.
            let len = usize::try_from(cell.len).ok()?;
            Some((cell.start, self.bytes.get(start..start + len)?))
        })
    }
}

/// A column under construction.
///
/// A value that the output type cannot hold is written as NULL and put on the list of the refused:
/// whether that ends the run or is what the user wants is not for a decoder to know, so neither
/// policy costs the other anything.
pub(super) trait Decode: Send {
    /// Appends values. Rows of `refused` count from the first of them.
    fn append(&mut self, values: Values<'_>, refused: &mut Refused) -> Result<(), Malformed>;

    /// Hands over what was appended and begins anew. Rows of `refused` count from the first value
    /// since the last time.
    fn finish(&mut self, refused: &mut Refused) -> Result<ArrayRef, Malformed>;
}

/// The decoder of a column; `Err` says what combination of types there is none for.
pub(super) fn decoder(column: &Column) -> Result<Box<dyn Decode>, String> {
    let found = match (column.read, &column.field) {
        (ReadAs::Text, FieldType::Utf8 | FieldType::Json) => Some(text::utf8(0)),
        (ReadAs::Text, FieldType::List(item)) if **item == FieldType::Utf8 => {
            Some(list::list(item, text::utf8(0)))
        }
        (ReadAs::Text, FieldType::Binary) => Some(text::binary(0)),
        (ReadAs::Text, _) => None,
        (ReadAs::Native, field) => native(&column.base_type, field, column.lossy),
    };
    found.ok_or_else(|| format!("{} cannot be read as {}", column.base_type, column.field))
}

/// Whether a known type's own wire format can be read as an output type, with or without the
/// permission to lose some of it.
pub(super) fn can_read(base_type: &str, field: &FieldType, lossy: bool) -> bool {
    native(base_type, field, lossy).is_some()
}

/// The decoder from a type's own wire format. What turns a type into its own counterpart comes
/// first; what checks or rounds every value follows.
fn native(base_type: &str, field: &FieldType, lossy: bool) -> Option<Box<dyn Decode>> {
    if let (Some(element), FieldType::List(item)) = (base_type.strip_suffix("[]"), field) {
        return Some(list::list(item, native(element, item, lossy)?));
    }
    counterpart(base_type, field).or_else(|| converted(base_type, field, lossy))
}

fn counterpart(base_type: &str, field: &FieldType) -> Option<Box<dyn Decode>> {
    const MICRO: TimeUnit = TimeUnit::Micro;
    Some(match (base_type, field) {
        ("bool", FieldType::Bool) => fixed::boolean(),
        ("int2", FieldType::Int16) => fixed::int16(),
        ("int4", FieldType::Int32) => fixed::int32(),
        ("int8", FieldType::Int64) => fixed::int64(),
        ("oid" | "xid" | "cid", FieldType::UInt32) => fixed::uint32(),
        ("xid8", FieldType::UInt64) => fixed::uint64(),
        ("float4", FieldType::Float32) => fixed::float32(),
        ("float8", FieldType::Float64) => fixed::float64(),
        ("date", FieldType::Date) => temporal::date(),
        ("time", FieldType::Time(MICRO)) => temporal::time(),
        ("timestamp" | "timestamptz", FieldType::Timestamp { unit: MICRO, utc })
            if *utc == (base_type == "timestamptz") =>
        {
            temporal::moment(*utc)
        }
        ("bytea", FieldType::Binary) => text::binary(0),
        ("uuid", FieldType::Uuid) => text::uuid(),
        ("uuid", FieldType::Utf8) => text::uuid_text(),
        ("json", FieldType::Json | FieldType::Utf8) => text::utf8(0),
        // jsonb travels as one version byte and the text.
        ("jsonb", FieldType::Json | FieldType::Utf8) => text::utf8(1),
        ("text" | "varchar" | "bpchar" | "name" | "citext" | "enum", FieldType::Utf8) => {
            text::utf8(0)
        }
        _ => return None,
    })
}

fn converted(base_type: &str, field: &FieldType, lossy: bool) -> Option<Box<dyn Decode>> {
    match base_type {
        "bool" => number::integer(field, |raw: [u8; 1]| i128::from(raw[0] != 0)),
        "int2" => number::integer(field, |raw| i128::from(i16::from_be_bytes(raw))),
        "int4" => number::integer(field, |raw| i128::from(i32::from_be_bytes(raw))),
        "int8" => number::integer_or_near(field, lossy),
        "oid" | "xid" | "cid" => number::unsigned(field, |raw| i128::from(u32::from_be_bytes(raw))),
        "xid8" => number::unsigned(field, |raw| i128::from(u64::from_be_bytes(raw))),
        "float4" => number::real(field, lossy, |raw| f64::from(f32::from_be_bytes(raw))),
        "float8" => number::real(field, lossy, f64::from_be_bytes),
        "numeric" => numeric::decoder(field, lossy),
        "date" | "time" | "timestamp" | "timestamptz" => {
            temporal::converted(base_type, field, lossy)
        }
        "text" | "varchar" | "name" | "citext" | "enum" => parsed::parsed(field, lossy, false),
        "bpchar" => parsed::parsed(field, lossy, true),
        "json" => (*field == FieldType::Binary).then(|| text::binary(0)),
        "bytea" | "uuid" => match field {
            FieldType::Uuid => Some(text::uuid_of_bytes()),
            FieldType::Binary => Some(text::binary(0)),
            _ => None,
        },
        money => {
            let scale = money.strip_prefix("money(")?.strip_suffix(')')?;
            number::money(field, scale.parse().ok()?)
        }
    }
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

    /// What a decoder makes of some values, and which of them it refused.
    pub(in super::super) fn decode_all(
        mut decoder: Box<dyn Decode>,
        values: &[Option<&[u8]>],
    ) -> Result<(ArrayRef, Refused), Malformed> {
        let mut refused = Refused::default();
        decoder.append(block(values).column(0), &mut refused)?;
        let array = decoder.finish(&mut refused)?;
        Ok((array, refused))
    }

    /// What a decoder makes of some values, all of which it can hold.
    pub(in super::super) fn decode(decoder: Box<dyn Decode>, values: &[Option<&[u8]>]) -> ArrayRef {
        let (array, mut refused) = decode_all(decoder, values).expect("well formed");
        assert_eq!(refused.take(), None);
        array
    }

    /// The text of a value that a decoder refuses.
    pub(in super::super) fn refusal(decoder: Box<dyn Decode>, value: &[u8]) -> Refusal {
        let (array, mut refused) = decode_all(decoder, &[Some(value)]).expect("well formed");
        assert_eq!(arrow::array::Array::null_count(&array), 1);
        refused.take().expect("a refusal").1
    }
}
