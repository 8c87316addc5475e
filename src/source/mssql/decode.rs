//! Rows into Arrow: one decoder a column, chosen once, appending to typed builders.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder,
    FixedSizeBinaryBuilder, Float32Builder, Float64Builder, PrimitiveBuilder, StringBuilder,
};
use arrow::datatypes::{
    ArrowPrimitiveType, Int16Type, Int32Type, Int64Type, Time64MicrosecondType,
    Time64NanosecondType, TimestampMicrosecondType, TimestampNanosecondType, UInt8Type,
};
use tiberius::{ColumnData, Row};

use super::sql::hex;
use super::text;
use super::types::{Charset, Storage};
use super::value::{FROM_YEAR_1, in_unit, integer, is_null, moment_of, printed};
use crate::model::{Column, FieldType, TimeUnit};
use crate::source::convert::{Convert, Raw, converter};
use crate::source::remote::Stored;
use crate::source::rows::{Decode, SHOWN, shortened};

/// Bytes that a number or NULL counts for, so that a batch of them is bounded too.
const SMALL: usize = 8;

/// A column under construction.
pub(super) struct Decoder {
    to: Builder,
    storage: Storage,
    /// Text is read into it first: it may turn out to be none.
    scratch: String,
}

/// A column's builder, and what it takes.
enum Builder {
    Integer(Box<dyn Integers>),
    Flag(BooleanBuilder),
    Float(Float32Builder),
    Double(Float64Builder),
    Decimal {
        to: Decimal128Builder,
        scale: u8,
        /// The first number with more digits than the type has.
        limit: i128,
    },
    Date(Date32Builder),
    /// Times and timestamps in a unit; finer digits are cut off where that is allowed.
    Moment {
        to: Box<dyn Integers>,
        unit: TimeUnit,
        lossy: bool,
    },
    Text(StringBuilder, Charset),
    Bytes(BinaryBuilder),
    Uuid(FixedSizeBinaryBuilder),
    /// What is no text at the source, printed as the server does.
    Printed(StringBuilder),
    /// Values as the user wants them, each checked.
    Converted(Box<dyn Convert>, FieldType),
}

impl Decoder {
    /// The decoder of a column; `None` where there is none.
    pub(super) fn of(column: &Column) -> Option<Self> {
        let storage = Storage::named(&column.base_type)?;
        if !storage.can_be(&column.field, column.lossy) {
            return None;
        }
        let to = match Builder::natural(&storage, &column.field, column.lossy) {
            Some(builder) => builder,
            None if column.field == FieldType::Utf8 => Builder::Printed(StringBuilder::new()),
            None => {
                let to = converter(&column.field, column.lossy)?;
                Builder::Converted(to, column.field.clone())
            }
        };
        Some(Self {
            to,
            storage,
            scratch: String::new(),
        })
    }

    /// The storage that the values come from.
    pub(super) fn storage(&self) -> &Storage {
        &self.storage
    }
}

impl Decode for Decoder {
    type Row = Row;

    #[inline]
    fn append(&mut self, row: &Row, index: usize) -> Option<usize> {
        let value = row.get_column_data(index).ok()?;
        if is_null(value) {
            self.to.append_null();
            return Some(SMALL);
        }
        let taken = self.to.append(value, &self.storage, &mut self.scratch);
        if taken.is_none() {
            self.to.append_null();
        }
        taken
    }

    fn finish(&mut self) -> ArrayRef {
        self.to.finish()
    }

    fn shown(&self, row: &Row, index: usize) -> String {
        let Ok(value) = row.get_column_data(index) else {
            return String::new();
        };
        if is_null(value) {
            return "NULL".to_owned();
        }
        match (printed(value, &self.storage), value) {
            (None, ColumnData::Binary(Some(bytes))) => {
                format!("0x{}", hex(&bytes[..bytes.len().min(SHOWN / 2)]))
            }
            (text, ColumnData::Binary(_)) => format!("'{}'", shortened(&text.unwrap_or_default())),
            (text, _) => shortened(&text.unwrap_or_default()),
        }
    }

    fn why(&self, column: &Column) -> (String, Option<&'static str>) {
        let field = &column.field;
        match (&self.storage, field) {
            (Storage::Text { .. }, FieldType::Utf8) => (
                "it holds bytes that are no text in its character set".to_owned(),
                Some("binary"),
            ),
            (Storage::Bytes | Storage::Image, _) => (
                format!("it is not what {field} holds"),
                Some("binary").filter(|_| *field != FieldType::Binary),
            ),
            (
                Storage::DateTime2(7) | Storage::DateTimeOffset(7),
                FieldType::Timestamp {
                    unit: TimeUnit::Nano,
                    ..
                },
            ) => (
                "it is outside the years 1677 to 2262, which are all that nanoseconds reach"
                    .to_owned(),
                Some("text"),
            ),
            _ => (
                format!(
                    "it is {} at the source, and {field} cannot hold it exactly",
                    column.source_type
                ),
                Some("text").filter(|_| *field != FieldType::Utf8),
            ),
        }
    }

    fn is_integer(&self) -> bool {
        use Storage as S;
        matches!(self.storage, S::TinyInt | S::SmallInt | S::Int | S::BigInt)
    }

    fn is_long(row: &Row) -> bool {
        let long = |value: &ColumnData<'_>| matches!(value, ColumnData::Binary(Some(bytes)) if bytes.len() > 4096);
        row.cells().any(|(_, value)| long(value))
    }
}

impl Builder {
    /// The builder of a type's own output types; `None` where values must be converted.
    fn natural(storage: &Storage, field: &FieldType, lossy: bool) -> Option<Self> {
        use FieldType as F;
        use Storage as S;
        Some(match (storage, field) {
            (S::TinyInt | S::SmallInt | S::Int | S::BigInt, _) => Self::Integer(integers(field)?),
            (S::Bit, F::Bool) => Self::Flag(BooleanBuilder::new()),
            (S::Real, F::Float32) => Self::Float(Float32Builder::new()),
            (S::Float, F::Float64) => Self::Double(Float64Builder::new()),
            (S::Decimal { .. } | S::Money { .. }, F::Decimal { precision, scale })
                if *precision <= 38 && storage.scale() == Some(*scale) =>
            {
                Self::Decimal {
                    to: Decimal128Builder::new().with_data_type(field.arrow()),
                    scale: *scale,
                    limit: 10_i128.pow(u32::from(*precision)),
                }
            }
            (S::Date, F::Date) => Self::Date(Date32Builder::new()),
            (S::Time(_), F::Time(unit)) => Self::Moment {
                to: match unit {
                    TimeUnit::Micro => made::<Time64MicrosecondType>(field),
                    TimeUnit::Nano => made::<Time64NanosecondType>(field),
                },
                unit: *unit,
                lossy,
            },
            (
                S::SmallDateTime | S::DateTime | S::DateTime2(_) | S::DateTimeOffset(_),
                F::Timestamp { unit, .. },
            ) => Self::Moment {
                to: match unit {
                    TimeUnit::Micro => made::<TimestampMicrosecondType>(field),
                    TimeUnit::Nano => made::<TimestampNanosecondType>(field),
                },
                unit: *unit,
                lossy,
            },
            (S::Text { charset, .. }, F::Utf8) => Self::Text(StringBuilder::new(), *charset),
            (S::Variant | S::Other, F::Utf8) => {
                Self::Text(StringBuilder::new(), Charset::Converted)
            }
            (S::Text { .. } | S::Bytes | S::Image, F::Binary) => Self::Bytes(BinaryBuilder::new()),
            (S::Guid, F::Uuid) => Self::Uuid(FixedSizeBinaryBuilder::new(16)),
            _ => return None,
        })
    }

    /// Appends a value that is not NULL; `None` when it cannot be held, and then nothing was appended.
    #[inline]
    fn append(
        &mut self,
        value: &ColumnData<'static>,
        storage: &Storage,
        scratch: &mut String,
    ) -> Option<usize> {
        match (self, value) {
            (Self::Integer(to), value) => to.append(integer(value)?)?,
            (Self::Flag(to), ColumnData::Bit(Some(value))) => to.append_value(*value),
            (Self::Float(to), ColumnData::F32(Some(value))) => to.append_value(*value),
            (Self::Double(to), ColumnData::F64(Some(value))) => to.append_value(*value),
            (Self::Decimal { to, scale, limit }, ColumnData::Numeric(Some(value))) => {
                let fits = value.scale() == *scale && value.value().abs() < *limit;
                fits.then(|| to.append_value(value.value()))?;
            }
            (Self::Date(to), ColumnData::Date(Some(value))) => {
                to.append_value(i32::try_from(i64::from(value.days()) - FROM_YEAR_1).ok()?);
            }
            (Self::Moment { to, unit, lossy }, value) => {
                to.append(in_unit(moment_of(value)?, *unit, *lossy)?)?;
            }
            (Self::Text(to, charset), ColumnData::Binary(Some(bytes))) => {
                scratch.clear();
                text::read(*charset, bytes, scratch)?;
                to.append_value(&scratch);
                return Some(bytes.len());
            }
            (Self::Bytes(to), ColumnData::Binary(Some(bytes))) => {
                to.append_value(bytes);
                return Some(bytes.len());
            }
            (Self::Uuid(to), ColumnData::Guid(Some(value))) => {
                to.append_value(value.as_bytes()).ok()?;
            }
            (Self::Printed(to), value) => to.append_value(printed(value, storage)?),
            (Self::Converted(to, field), value) => {
                return convert(to.as_mut(), value, storage, field);
            }
            _ => return None,
        }
        Some(SMALL)
    }

    fn append_null(&mut self) {
        match self {
            Self::Integer(to) | Self::Moment { to, .. } => to.null(),
            Self::Flag(to) => to.append_null(),
            Self::Float(to) => to.append_null(),
            Self::Double(to) => to.append_null(),
            Self::Decimal { to, .. } => to.append_null(),
            Self::Date(to) => to.append_null(),
            Self::Text(to, _) | Self::Printed(to) => to.append_null(),
            Self::Bytes(to) => to.append_null(),
            Self::Uuid(to) => to.append_null(),
            Self::Converted(to, _) => to.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Integer(from) | Self::Moment { to: from, .. } => from.finish(),
            Self::Flag(from) => Arc::new(from.finish()),
            Self::Float(from) => Arc::new(from.finish()),
            Self::Double(from) => Arc::new(from.finish()),
            Self::Decimal { to, .. } => Arc::new(to.finish()),
            Self::Date(from) => Arc::new(from.finish()),
            Self::Text(from, _) | Self::Printed(from) => Arc::new(from.finish()),
            Self::Bytes(from) => Arc::new(from.finish()),
            Self::Uuid(from) => Arc::new(from.finish()),
            Self::Converted(from, _) => from.finish(),
        }
    }
}

/// Integers of some width under construction.
trait Integers: Send {
    fn append(&mut self, value: i64) -> Option<()>;
    fn null(&mut self);
    fn finish(&mut self) -> ArrayRef;
}

impl<P: ArrowPrimitiveType> Integers for PrimitiveBuilder<P>
where
    P::Native: TryFrom<i64>,
{
    fn append(&mut self, value: i64) -> Option<()> {
        self.append_value(P::Native::try_from(value).ok()?);
        Some(())
    }

    fn null(&mut self) {
        self.append_null();
    }

    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.finish())
    }
}

fn made<P: ArrowPrimitiveType>(field: &FieldType) -> Box<dyn Integers>
where
    P::Native: TryFrom<i64>,
{
    Box::new(PrimitiveBuilder::<P>::new().with_data_type(field.arrow()))
}

fn integers(field: &FieldType) -> Option<Box<dyn Integers>> {
    Some(match field {
        FieldType::UInt8 => made::<UInt8Type>(field),
        FieldType::Int16 => made::<Int16Type>(field),
        FieldType::Int32 => made::<Int32Type>(field),
        FieldType::Int64 => made::<Int64Type>(field),
        _ => return None,
    })
}

/// Appends a value as the user wants it.
fn convert(
    to: &mut dyn Convert,
    value: &ColumnData<'static>,
    storage: &Storage,
    field: &FieldType,
) -> Option<usize> {
    let taken = match value {
        ColumnData::Bit(Some(value)) => to.append(Raw::Integer(i64::from(*value))),
        // Through its own shortest text: as a double it would have digits that nobody stored.
        ColumnData::F32(Some(value)) => to.append(Raw::Real(value.to_string().parse().ok()?)),
        ColumnData::F64(Some(value)) => to.append(Raw::Real(*value)),
        ColumnData::Binary(Some(bytes)) if matches!(storage, Storage::Bytes | Storage::Image) => {
            to.append(Raw::Bytes(bytes))
        }
        value => match integer(value) {
            Some(value) => to.append(Raw::Integer(value)),
            None => {
                let mut text = printed(value, storage)?;
                if *storage == Storage::Date && *field != FieldType::Date {
                    // A day is wanted as its beginning.
                    text.push_str(" 00:00:00");
                }
                to.append(Raw::Text(&text))
            }
        },
    };
    taken.then_some(SMALL)
}
