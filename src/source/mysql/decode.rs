//! Rows into Arrow: one decoder a column, chosen once, appending to typed builders.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder,
    Float64Builder, PrimitiveBuilder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{
    ArrowPrimitiveType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use mysql_async::{Row, Value};

use super::sql::hex;
use super::types::Storage;
use crate::model::{Column, FieldType, TimeUnit, TypeMode};
use crate::source::convert::{Convert, Raw, converter};
use crate::source::moment;
use crate::source::remote::Stored;
use crate::source::rows::{Decode, SHOWN, shortened};

/// Bytes that a number or NULL counts for, so that a batch of them is bounded too.
const SMALL: usize = 8;

/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// A column under construction.
pub(super) struct Decoder {
    to: Builder,
    storage: Storage,
    /// Where the server says whether a value went through Unicode unharmed, among the row's values.
    unharmed: Option<usize>,
}

/// A column's builder, and what it takes.
enum Builder {
    Integer(Box<dyn Integers>),
    Float(Float32Builder),
    Double(Float64Builder),
    Decimal {
        to: Decimal128Builder,
        scale: u8,
        /// The first number with more digits than the type has.
        limit: i128,
    },
    Flag(BooleanBuilder),
    Date(Date32Builder),
    Instant(TimestampMicrosecondBuilder),
    Text(StringBuilder),
    Bytes(BinaryBuilder),
    /// What is no text at the source, printed as the server does.
    Printed(StringBuilder, Storage),
    /// Values as the user wants them, each checked.
    Converted(Box<dyn Convert>, Storage, FieldType),
}

impl Decoder {
    /// The decoder of a column; `None` where there is none.
    pub(super) fn of(column: &Column, unharmed: Option<usize>) -> Option<Self> {
        let storage = Storage::named(&column.base_type)?;
        if !storage.can_be(&column.field, column.lossy) {
            return None;
        }
        let to = match Builder::natural(&storage, &column.field) {
            Some(builder) => builder,
            None if column.field == FieldType::Utf8 => {
                Builder::Printed(StringBuilder::new(), storage.clone())
            }
            None => {
                let to = converter(&column.field, column.lossy)?;
                Builder::Converted(to, storage.clone(), column.field.clone())
            }
        };
        Some(Self {
            to,
            storage,
            unharmed,
        })
    }
}

impl Decode for Decoder {
    type Row = Row;

    #[inline]
    fn append(&mut self, row: &Row, index: usize) -> Option<usize> {
        let value = row.as_ref(index).unwrap_or(&Value::NULL);
        if matches!(value, Value::NULL) {
            self.to.append_null();
            return Some(SMALL);
        }
        let harmed = self
            .unharmed
            .is_some_and(|at| !matches!(row.as_ref(at), Some(Value::Int(1) | Value::UInt(1))));
        let taken = if harmed { None } else { self.to.append(value) };
        if taken.is_none() {
            self.to.append_null();
        }
        taken
    }

    fn finish(&mut self) -> ArrayRef {
        self.to.finish()
    }
    fn shown(&self, row: &Row, index: usize) -> String {
        shown(row.as_ref(index).unwrap_or(&Value::NULL), &self.storage)
    }

    fn why(&self, column: &Column) -> (String, Option<&'static str>) {
        why(&self.storage, column)
    }

    fn is_integer(&self) -> bool {
        matches!(self.storage, Storage::Integer { .. })
    }

    fn is_long(row: &Row) -> bool {
        let long = |value: Option<&Value>| matches!(value, Some(Value::Bytes(bytes)) if bytes.len() > 4096);
        (0..row.len()).any(|index| long(row.as_ref(index)))
    }
}

impl Builder {
    /// The builder of a type's own output types; `None` where values must be converted.
    fn natural(storage: &Storage, field: &FieldType) -> Option<Self> {
        use FieldType as F;
        Some(match (storage, field) {
            (Storage::Integer { .. } | Storage::Year, _) => Self::Integer(integers(field)?),
            (Storage::Bit(1), F::Bool) => Self::Flag(BooleanBuilder::new()),
            (Storage::Float, F::Float32) => Self::Float(Float32Builder::new()),
            (Storage::Double, F::Float64) => Self::Double(Float64Builder::new()),
            (
                Storage::Decimal { scale, .. },
                F::Decimal {
                    precision,
                    scale: to,
                },
            ) if scale == to && *precision <= 38 => Self::Decimal {
                to: Decimal128Builder::new().with_data_type(field.arrow()),
                scale: *scale,
                limit: 10_i128.pow(u32::from(*precision)),
            },
            (Storage::Date, F::Date) => Self::Date(Date32Builder::new()),
            (
                Storage::DateTime { .. },
                F::Timestamp {
                    unit: TimeUnit::Micro,
                    utc: false,
                },
            )
            | (
                Storage::Timestamp { .. },
                F::Timestamp {
                    unit: TimeUnit::Micro,
                    utc: true,
                },
            ) => Self::Instant(TimestampMicrosecondBuilder::new().with_data_type(field.arrow())),
            (Storage::Text | Storage::Legacy(_) | Storage::Uuid | Storage::Bytes, F::Utf8)
            | (Storage::Json, F::Utf8 | F::Json)
            | (Storage::Decimal { .. }, F::Utf8) => Self::Text(StringBuilder::new()),
            (Storage::Bytes | Storage::Text | Storage::Legacy(_) | Storage::Json, F::Binary) => {
                Self::Bytes(BinaryBuilder::new())
            }
            _ => return None,
        })
    }

    /// Appends a value that is not NULL; `None` when it cannot be held, and then nothing was appended.
    #[inline]
    fn append(&mut self, value: &Value) -> Option<usize> {
        match (self, value) {
            (Self::Integer(to), Value::Int(value)) => to.signed(*value)?,
            (Self::Integer(to), Value::UInt(value)) => to.unsigned(*value)?,
            (Self::Float(to), Value::Float(value)) => to.append_value(*value),
            (Self::Double(to), Value::Double(value)) => to.append_value(*value),
            (Self::Decimal { to, scale, limit }, Value::Bytes(text)) => {
                let value = decimal(text, *scale)?;
                (value.abs() < *limit).then_some(())?;
                to.append_value(value);
            }
            (Self::Flag(to), Value::Bytes(bits)) => to.append_value(number_of(bits)? != 0),
            (Self::Date(to), Value::Date(year, month, day, ..)) => {
                to.append_value(moment::civil(
                    (*year).into(),
                    (*month).into(),
                    (*day).into(),
                )?);
            }
            (Self::Instant(to), Value::Date(..)) => to.append_value(micros(value)?),
            (Self::Text(to), Value::Bytes(text)) => {
                to.append_value(std::str::from_utf8(text).ok()?);
                return Some(text.len());
            }
            (Self::Bytes(to), Value::Bytes(bytes)) => {
                to.append_value(bytes);
                return Some(bytes.len());
            }
            (Self::Printed(to, storage), value) => {
                let text = printed(value, storage)?;
                to.append_value(&text);
                return Some(text.len());
            }
            (Self::Converted(to, storage, field), value) => {
                return convert(to.as_mut(), value, storage, field);
            }
            _ => return None,
        }
        Some(SMALL)
    }

    fn append_null(&mut self) {
        match self {
            Self::Integer(to) => to.null(),
            Self::Float(to) => to.append_null(),
            Self::Double(to) => to.append_null(),
            Self::Decimal { to, .. } => to.append_null(),
            Self::Flag(to) => to.append_null(),
            Self::Date(to) => to.append_null(),
            Self::Instant(to) => to.append_null(),
            Self::Text(to) | Self::Printed(to, _) => to.append_null(),
            Self::Bytes(to) => to.append_null(),
            Self::Converted(to, ..) => to.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Integer(from) => from.finish(),
            Self::Float(from) => Arc::new(from.finish()),
            Self::Double(from) => Arc::new(from.finish()),
            Self::Decimal { to, .. } => Arc::new(to.finish()),
            Self::Flag(from) => Arc::new(from.finish()),
            Self::Date(from) => Arc::new(from.finish()),
            Self::Instant(from) => Arc::new(from.finish()),
            Self::Text(from) | Self::Printed(from, _) => Arc::new(from.finish()),
            Self::Bytes(from) => Arc::new(from.finish()),
            Self::Converted(from, ..) => from.finish(),
        }
    }
}

/// Integers of some width under construction.
trait Integers: Send {
    fn signed(&mut self, value: i64) -> Option<()>;
    fn unsigned(&mut self, value: u64) -> Option<()>;
    fn null(&mut self);
    fn finish(&mut self) -> ArrayRef;
}

impl<P: ArrowPrimitiveType> Integers for PrimitiveBuilder<P>
where
    P::Native: TryFrom<i64> + TryFrom<u64>,
{
    fn signed(&mut self, value: i64) -> Option<()> {
        self.append_value(P::Native::try_from(value).ok()?);
        Some(())
    }

    fn unsigned(&mut self, value: u64) -> Option<()> {
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

fn integers(field: &FieldType) -> Option<Box<dyn Integers>> {
    fn of<P: ArrowPrimitiveType>() -> Box<dyn Integers>
    where
        P::Native: TryFrom<i64> + TryFrom<u64>,
    {
        Box::new(PrimitiveBuilder::<P>::new())
    }
    Some(match field {
        FieldType::Int8 => of::<Int8Type>(),
        FieldType::Int16 => of::<Int16Type>(),
        FieldType::Int32 => of::<Int32Type>(),
        FieldType::Int64 => of::<Int64Type>(),
        FieldType::UInt8 => of::<UInt8Type>(),
        FieldType::UInt16 => of::<UInt16Type>(),
        FieldType::UInt32 => of::<UInt32Type>(),
        FieldType::UInt64 => of::<UInt64Type>(),
        _ => return None,
    })
}

/// The unscaled number of a decimal as the server writes it: digits, and `scale` of them behind the
/// point.
#[inline]
fn decimal(text: &[u8], scale: u8) -> Option<i128> {
    let (negative, digits) = match text.split_first()? {
        (b'-', digits) => (true, digits),
        _ => (false, text),
    };
    let mut value = 0_i128;
    let mut behind = None;
    for byte in digits {
        match byte {
            b'0'..=b'9' => {
                value = value
                    .checked_mul(10)?
                    .checked_add(i128::from(byte - b'0'))?;
                behind = behind.map(|behind: u8| behind.saturating_add(1));
            }
            b'.' if behind.is_none() => behind = Some(0),
            _ => return None,
        }
    }
    (behind.unwrap_or(0) == scale).then_some(if negative { -value } else { value })
}

/// A `bit(n)`, most significant byte first.
fn number_of(bits: &[u8]) -> Option<u64> {
    (bits.len() <= 8).then(|| {
        bits.iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte))
    })
}

/// Microseconds from 1970 of a date and time; `None` where there is no such day.
#[inline]
fn micros(value: &Value) -> Option<i64> {
    let Value::Date(year, month, day, hour, minute, second, micro) = *value else {
        return None;
    };
    let days = moment::civil(year.into(), month.into(), day.into())?;
    let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
    Some(i64::from(days) * DAY_MICROS + seconds * 1_000_000 + i64::from(micro))
}

/// Appends a value as the user wants it.
fn convert(
    to: &mut dyn Convert,
    value: &Value,
    storage: &Storage,
    field: &FieldType,
) -> Option<usize> {
    let taken = match value {
        Value::Int(value) => to.append(Raw::Integer(*value)),
        Value::UInt(value) => match i64::try_from(*value) {
            Ok(value) => to.append(Raw::Integer(value)),
            Err(_) => to.append(Raw::Text(&value.to_string())),
        },
        // Through its own shortest text: as a double it would have digits that nobody stored.
        Value::Float(value) => to.append(Raw::Real(value.to_string().parse().ok()?)),
        Value::Double(value) => to.append(Raw::Real(*value)),
        Value::Bytes(bytes) => match storage {
            Storage::Bit(_) => to.append(Raw::Text(&number_of(bytes)?.to_string())),
            Storage::Bytes if *field == FieldType::Uuid && bytes.len() == 16 => {
                to.append(Raw::Bytes(bytes))
            }
            _ => to.append(Raw::Text(std::str::from_utf8(bytes).ok()?)),
        },
        Value::Date(..) | Value::Time(..) => {
            let mut text = printed(value, storage)?;
            match field {
                FieldType::Timestamp { utc: true, .. } => text.push('Z'),
                // A day is wanted as its beginning.
                FieldType::Timestamp { .. } if *storage == Storage::Date => {
                    text.push_str(" 00:00:00");
                }
                _ => {}
            }
            to.append(Raw::Text(&text))
        }
        Value::NULL => return None,
    };
    taken.then_some(SMALL)
}

/// What the output type cannot hold, and the one that would.
fn why(storage: &Storage, column: &Column) -> (String, Option<&'static str>) {
    let field = &column.field;
    let natural = [TypeMode::Portable, TypeMode::Native]
        .iter()
        .any(|mode| storage.field(*mode) == *field);
    match storage {
        Storage::Legacy(charset) if *field == FieldType::Utf8 => (
            format!("it holds a byte that is no character of {charset}"),
            Some("binary"),
        ),
        Storage::Text | Storage::Bytes | Storage::Json if *field == FieldType::Utf8 => (
            "it holds bytes that are not valid UTF-8".to_owned(),
            Some("binary"),
        ),
        Storage::Date | Storage::DateTime { .. } | Storage::Timestamp { .. } if natural => {
            ("it is no day of any calendar".to_owned(), Some("text"))
        }
        Storage::Bytes => (
            format!("it is not what {field} holds"),
            Some("binary").filter(|_| *field != FieldType::Binary),
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

/// A value for a person, shortened.
fn shown(value: &Value, storage: &Storage) -> String {
    let text = match (value, printed(value, storage)) {
        (Value::NULL, _) => return "NULL".to_owned(),
        (Value::Bytes(bytes), None) => {
            return format!("x'{}'", hex(&bytes[..bytes.len().min(SHOWN / 2)]));
        }
        (_, text) => shortened(&text.unwrap_or_default()),
    };
    match value {
        Value::Bytes(_) if !matches!(storage, Storage::Decimal { .. } | Storage::Bit(_)) => {
            format!("'{text}'")
        }
        _ => text,
    }
}

/// A value as the server prints it; numbers in the shortest text that reads back the same.
pub(super) fn printed(value: &Value, storage: &Storage) -> Option<String> {
    let mut text = String::new();
    match *value {
        Value::Int(value) => text = value.to_string(),
        Value::UInt(value) => text = value.to_string(),
        Value::Float(value) => text = value.to_string(),
        Value::Double(value) => text = value.to_string(),
        Value::Bytes(ref bytes) => match storage {
            Storage::Bit(_) => text = number_of(bytes)?.to_string(),
            _ => text = std::str::from_utf8(bytes).ok()?.to_owned(),
        },
        Value::Date(year, month, day, hour, minute, second, micro) => {
            // Writing to a string cannot fail.
            let _ = write!(text, "{year:04}-{month:02}-{day:02}");
            if let Storage::DateTime { digits } | Storage::Timestamp { digits } = storage {
                let _ = write!(text, " {hour:02}:{minute:02}:{second:02}");
                push_fraction(&mut text, micro, *digits);
            }
        }
        Value::Time(negative, days, hours, minutes, seconds, micro) => {
            let sign = if negative { "-" } else { "" };
            let hours = days.checked_mul(24)?.checked_add(hours.into())?;
            let _ = write!(text, "{sign}{hours:02}:{minutes:02}:{seconds:02}");
            if let Storage::Time { digits } = storage {
                push_fraction(&mut text, micro, *digits);
            }
        }
        Value::NULL => return None,
    }
    Some(text)
}

/// `.` and as many digits as the type has; more where the value has more, which no type of the
/// server's does.
fn push_fraction(text: &mut String, micro: u32, digits: u8) {
    let whole = format!("{micro:06}");
    let needed = whole.trim_end_matches('0').len();
    let shown = usize::from(digits.min(6)).max(needed);
    if shown > 0 {
        text.push('.');
        text.push_str(&whole[..shown]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_have_the_scale_of_their_type() {
        assert_eq!(decimal(b"-12.3450", 4), Some(-123_450));
        assert_eq!(decimal(b"0.01", 2), Some(1));
        assert_eq!(decimal(b"7", 0), Some(7));
        assert_eq!(decimal(b"7", 1), None);
        assert_eq!(decimal(b"1.2.3", 2), None);
        assert_eq!(decimal(b"1e3", 0), None);
        assert_eq!(decimal(b"", 0), None);
        assert_eq!(decimal(&[b'9'; 40], 0), None);
    }

    #[test]
    fn zero_and_partial_dates_are_no_days() {
        let date = |year, month, day| micros(&Value::Date(year, month, day, 0, 0, 0, 0));
        assert_eq!(date(1970, 1, 2), Some(DAY_MICROS));
        assert_eq!(date(0, 0, 0), None);
        assert_eq!(date(2024, 0, 10), None);
        assert_eq!(date(2024, 2, 30), None);
    }

    #[test]
    fn times_are_printed_as_the_server_does() {
        let time = |value, digits| printed(&value, &Storage::Time { digits });
        assert_eq!(
            time(Value::Time(true, 34, 22, 59, 59, 0), 0).as_deref(),
            Some("-838:59:59")
        );
        assert_eq!(
            time(Value::Time(false, 0, 1, 2, 3, 40_000), 3).as_deref(),
            Some("01:02:03.040")
        );
        let zero = Value::Date(0, 0, 0, 0, 0, 0, 0);
        assert_eq!(
            printed(&zero, &Storage::DateTime { digits: 2 }).as_deref(),
            Some("0000-00-00 00:00:00.00")
        );
        assert_eq!(
            printed(&zero, &Storage::Date).as_deref(),
            Some("0000-00-00")
        );
    }

    #[test]
    fn bits_are_numbers() {
        assert_eq!(number_of(&[1, 2]), Some(258));
        assert_eq!(number_of(&[0xff; 8]), Some(u64::MAX));
        assert_eq!(number_of(&[0; 9]), None);
    }

    proptest! {
        #[test]
        fn any_decimal_is_read(value in -(10_i128.pow(37))..10_i128.pow(37), scale in 0_u8..30) {
            let sign = if value < 0 { "-" } else { "" };
            let width = usize::from(scale) + 1;
            let digits = format!("{:0width$}", value.abs());
            let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
            let point = if scale > 0 { "." } else { "" };
            let text = format!("{sign}{whole}{point}{fraction}");
            prop_assert_eq!(decimal(text.as_bytes(), scale), Some(value));
        }
    }
}
