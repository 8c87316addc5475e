//! A batch's column as fields of CSV: what kind of values it has is found out once a batch, and
//! whether they could ever need quotes too.

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, BooleanArray, FixedSizeBinaryArray, StringArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;

use super::Style;
use super::text::{self, Ticks};

/// A column of a batch.
pub(super) struct Column<'a> {
    values: Values<'a>,
    nulls: Option<&'a NullBuffer>,
    /// No value of this type can need quotes.
    clean: bool,
}

/// Values without their NULLs.
enum Values<'a> {
    Bool(&'a BooleanArray),
    Int8(&'a [i8]),
    Int16(&'a [i16]),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    UInt8(&'a [u8]),
    UInt16(&'a [u16]),
    UInt32(&'a [u32]),
    UInt64(&'a [u64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal128(&'a [i128], usize),
    Decimal256(&'a [i256], usize),
    Text(&'a StringArray),
    Binary(&'a BinaryArray),
    Date(&'a [i32]),
    Time(&'a [i64], Ticks),
    Timestamp(&'a [i64], Ticks, bool),
    Uuid(&'a FixedSizeBinaryArray),
    List(&'a [i32], Box<Column<'a>>),
}

impl<'a> Column<'a> {
    /// A column of an output type.
    ///
    /// # Errors
    /// One line, for an Arrow type that no output type has.
    pub(super) fn of(array: &'a ArrayRef, style: &Style) -> Result<Self, String> {
        let values = values(array, style)?;
        let clean = !style.quote_all
            && values.alphabet().is_some_and(|bytes| {
                let foreign = |byte: &u8| !bytes.contains(byte);
                foreign(&style.delimiter)
                    && (style.null.is_empty() || style.null.iter().any(foreign))
            });
        Ok(Self {
            values,
            nulls: array.nulls(),
            clean,
        })
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends a row's field.
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>, style: &Style) {
        if self.is_null(row) {
            out.extend_from_slice(&style.null);
        } else {
            let start = out.len();
            self.values.write(row, out);
            if !self.clean {
                style.protect(out, start);
            }
        }
    }

    /// Appends a row's value as JSON.
    fn write_json(&self, row: usize, out: &mut Vec<u8>) {
        use Values as V;
        if self.is_null(row) {
            return out.extend_from_slice(b"null");
        }
        let is_json = match &self.values {
            V::Text(values) => return text::json_string(out, values.value(row)),
            V::Float32(values) => values[row].is_finite(),
            V::Float64(values) => values[row].is_finite(),
            V::Binary(_) | V::Date(_) | V::Time(..) | V::Timestamp(..) | V::Uuid(_) => false,
            _ => true,
        };
        if is_json {
            return self.values.write(row, out);
        }
        out.push(b'"');
        if matches!(self.values, V::Binary(_)) {
            // The one backslash of a value that is no text.
            out.push(b'\\');
        }
        self.values.write(row, out);
        out.push(b'"');
    }
}

/// A column's values as text, never quoted.
pub(in crate::writer) struct Plain<'a>(Values<'a>);

impl<'a> Plain<'a> {
    /// A column of an output type.
    ///
    /// # Errors
    /// One line, for an Arrow type that no output type has.
    pub(in crate::writer) fn of(array: &'a ArrayRef) -> Result<Self, String> {
        // Only lists look at the style, for their items' sake.
        let style = Style {
            delimiter: b',',
            null: Vec::new(),
            quote_all: false,
        };
        values(array, &style).map(Self)
    }

    /// Appends a row's value, which is not NULL.
    pub(in crate::writer) fn write(&self, row: usize, out: &mut Vec<u8>) {
        self.0.write(row, out);
    }
}

impl Values<'_> {
    /// The bytes that values consist of; `None` where they may be any.
    fn alphabet(&self) -> Option<&'static [u8]> {
        Some(match self {
            Self::Bool(_) => b"truefals",
            Self::Int8(_)
            | Self::Int16(_)
            | Self::Int32(_)
            | Self::Int64(_)
            | Self::UInt8(_)
            | Self::UInt16(_)
            | Self::UInt32(_)
            | Self::UInt64(_) => b"-0123456789",
            Self::Float32(_) | Self::Float64(_) => b"+-.0123456789eNaInfity",
            Self::Decimal128(..) | Self::Decimal256(..) => b"-.0123456789",
            Self::Date(_) | Self::Time(..) | Self::Timestamp(..) => b"-:.0123456789TZ BC",
            Self::Uuid(_) => b"-0123456789abcdef",
            Self::Binary(_) => b"\\x0123456789abcdef",
            Self::Text(_) | Self::List(..) => return None,
        })
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Self::Bool(values) if values.value(row) => out.extend_from_slice(b"true"),
            Self::Bool(_) => out.extend_from_slice(b"false"),
            Self::Int8(values) => text::number(out, values[row]),
            Self::Int16(values) => text::number(out, values[row]),
            Self::Int32(values) => text::number(out, values[row]),
            Self::Int64(values) => text::number(out, values[row]),
            Self::UInt8(values) => text::number(out, values[row]),
            Self::UInt16(values) => text::number(out, values[row]),
            Self::UInt32(values) => text::number(out, values[row]),
            Self::UInt64(values) => text::number(out, values[row]),
            Self::Float32(values) => text::float(out, values[row]),
            Self::Float64(values) => text::float(out, values[row]),
            Self::Decimal128(values, scale) => text::decimal(out, values[row], *scale),
            Self::Decimal256(values, scale) => text::wide_decimal(out, values[row], *scale),
            Self::Text(values) => out.extend_from_slice(values.value(row).as_bytes()),
            Self::Binary(values) => {
                out.extend_from_slice(b"\\x");
                text::hex(out, values.value(row));
            }
            Self::Date(values) => text::date(out, values[row]),
            Self::Time(values, unit) => text::time(out, values[row], *unit),
            Self::Timestamp(values, unit, utc) => text::timestamp(out, values[row], *unit, *utc),
            Self::Uuid(values) => text::uuid(out, values.value(row)),
            Self::List(offsets, items) => {
                out.push(b'[');
                let range = offsets[row] as usize..offsets[row + 1] as usize;
                let first = range.start;
                for index in range {
                    if index > first {
                        out.push(b',');
                    }
                    items.write_json(index, out);
                }
                out.push(b']');
            }
        }
    }
}

fn values<'a>(array: &'a ArrayRef, style: &Style) -> Result<Values<'a>, String> {
    use DataType as D;
    // Scales of ours are never negative.
    let scale = |scale: i8| usize::try_from(scale).map_err(|error| error.to_string());
    let utc = |zone: &Option<std::sync::Arc<str>>| zone.is_some();
    Ok(match array.data_type() {
        D::Boolean => Values::Bool(array.as_boolean()),
        D::Int8 => Values::Int8(array.as_primitive::<Int8Type>().values()),
        D::Int16 => Values::Int16(array.as_primitive::<Int16Type>().values()),
        D::Int32 => Values::Int32(array.as_primitive::<Int32Type>().values()),
        D::Int64 => Values::Int64(array.as_primitive::<Int64Type>().values()),
        D::UInt8 => Values::UInt8(array.as_primitive::<UInt8Type>().values()),
        D::UInt16 => Values::UInt16(array.as_primitive::<UInt16Type>().values()),
        D::UInt32 => Values::UInt32(array.as_primitive::<UInt32Type>().values()),
        D::UInt64 => Values::UInt64(array.as_primitive::<UInt64Type>().values()),
        D::Float32 => Values::Float32(array.as_primitive::<Float32Type>().values()),
        D::Float64 => Values::Float64(array.as_primitive::<Float64Type>().values()),
        D::Decimal128(_, digits) => Values::Decimal128(
            array.as_primitive::<Decimal128Type>().values(),
            scale(*digits)?,
        ),
        D::Decimal256(_, digits) => Values::Decimal256(
            array.as_primitive::<Decimal256Type>().values(),
            scale(*digits)?,
        ),
        D::Utf8 => Values::Text(array.as_string()),
        D::Binary => Values::Binary(array.as_binary()),
        D::Date32 => Values::Date(array.as_primitive::<Date32Type>().values()),
        D::Time64(TimeUnit::Microsecond) => Values::Time(
            array.as_primitive::<Time64MicrosecondType>().values(),
            Ticks::Micro,
        ),
        D::Time64(TimeUnit::Nanosecond) => Values::Time(
            array.as_primitive::<Time64NanosecondType>().values(),
            Ticks::Nano,
        ),
        D::Timestamp(TimeUnit::Microsecond, zone) => Values::Timestamp(
            array.as_primitive::<TimestampMicrosecondType>().values(),
            Ticks::Micro,
            utc(zone),
        ),
        D::Timestamp(TimeUnit::Nanosecond, zone) => Values::Timestamp(
            array.as_primitive::<TimestampNanosecondType>().values(),
            Ticks::Nano,
            utc(zone),
        ),
        D::FixedSizeBinary(16) => Values::Uuid(array.as_fixed_size_binary()),
        D::List(_) => {
            let list = array.as_list::<i32>();
            let items = Column::of(list.values(), style)?;
            Values::List(list.value_offsets(), Box::new(items))
        }
        other => return Err(format!("{other} has no form in CSV")),
    })
}
