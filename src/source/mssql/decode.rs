//! Rows into Arrow: one decoder a column, chosen once, appending to typed builders.

use std::fmt::Write as _;
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
use crate::model::{Column, FieldType, TimeUnit};
use crate::source::convert::{Convert, Raw, converter};
use crate::source::moment;
use crate::source::rows::{Decode, SHOWN, shortened};

/// Bytes that a number or NULL counts for, so that a batch of them is bounded too.
const SMALL: usize = 8;

const DAY_NANOS: i64 = 86_400_000_000_000;

/// Days from 0001-01-01, and from 1900-01-01, to 1970-01-01.
const FROM_YEAR_1: i64 = 719_162;
const FROM_1900: i64 = 25_567;

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

/// Whether a value is NULL.
pub(super) fn is_null(value: &ColumnData<'_>) -> bool {
    match value {
        ColumnData::U8(value) => value.is_none(),
        ColumnData::I16(value) => value.is_none(),
        ColumnData::I32(value) => value.is_none(),
        ColumnData::I64(value) => value.is_none(),
        ColumnData::F32(value) => value.is_none(),
        ColumnData::F64(value) => value.is_none(),
        ColumnData::Bit(value) => value.is_none(),
        ColumnData::String(value) => value.is_none(),
        ColumnData::Guid(value) => value.is_none(),
        ColumnData::Binary(value) => value.is_none(),
        ColumnData::Numeric(value) => value.is_none(),
        ColumnData::Xml(value) => value.is_none(),
        ColumnData::DateTime(value) => value.is_none(),
        ColumnData::SmallDateTime(value) => value.is_none(),
        ColumnData::Time(value) => value.is_none(),
        ColumnData::Date(value) => value.is_none(),
        ColumnData::DateTime2(value) => value.is_none(),
        ColumnData::DateTimeOffset(value) => value.is_none(),
    }
}

#[inline]
fn integer(value: &ColumnData<'_>) -> Option<i64> {
    match value {
        ColumnData::U8(Some(value)) => Some(i64::from(*value)),
        ColumnData::I16(Some(value)) => Some(i64::from(*value)),
        ColumnData::I32(Some(value)) => Some(i64::from(*value)),
        ColumnData::I64(Some(value)) => Some(*value),
        _ => None,
    }
}

/// Days from 1970-01-01, and nanoseconds of the day; of a time alone the day is 0, of one with an
/// offset it is that of the instant.
#[inline]
fn moment_of(value: &ColumnData<'_>) -> Option<(i64, i64)> {
    Some(match value {
        ColumnData::Time(Some(value)) => (0, nanos(value.increments(), value.scale())?),
        ColumnData::Date(Some(value)) => (i64::from(value.days()) - FROM_YEAR_1, 0),
        ColumnData::SmallDateTime(Some(value)) => (
            i64::from(value.days()) - FROM_1900,
            i64::from(value.seconds_fragments()) * 60_000_000_000,
        ),
        ColumnData::DateTime(Some(value)) => {
            // Ticks of 1/300 s, to the nearest millisecond.
            let millis = (i64::from(value.seconds_fragments()) * 20 + 3) / 6;
            (i64::from(value.days()) - FROM_1900, millis * 1_000_000)
        }
        ColumnData::DateTime2(Some(value)) => date_and_time(*value)?,
        ColumnData::DateTimeOffset(Some(value)) => date_and_time(value.datetime2())?,
        _ => return None,
    })
}

fn date_and_time(value: tiberius::time::DateTime2) -> Option<(i64, i64)> {
    let time = value.time();
    Some((
        i64::from(value.date().days()) - FROM_YEAR_1,
        nanos(time.increments(), time.scale())?,
    ))
}

/// Nanoseconds of a time in steps of 10^-scale seconds.
fn nanos(increments: u64, scale: u8) -> Option<i64> {
    let step = 10_i64.checked_pow(9_u32.checked_sub(scale.into())?)?;
    let nanos = i64::try_from(increments).ok()?.checked_mul(step)?;
    (nanos < DAY_NANOS).then_some(nanos)
}

#[inline]
fn in_unit((days, nanos): (i64, i64), unit: TimeUnit, lossy: bool) -> Option<i64> {
    let (a_day, value) = match unit {
        TimeUnit::Nano => (DAY_NANOS, nanos),
        TimeUnit::Micro if lossy || nanos % 1000 == 0 => (DAY_NANOS / 1000, nanos / 1000),
        TimeUnit::Micro => return None,
    };
    let whole = i128::from(days) * i128::from(a_day) + i128::from(value);
    i64::try_from(whole).ok()
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

/// A value as the server prints it; numbers in the shortest text that reads back the same, UUIDs in
/// small letters.
pub(super) fn printed(value: &ColumnData<'_>, storage: &Storage) -> Option<String> {
    let mut out = String::new();
    match value {
        ColumnData::Bit(Some(value)) => out.push(if *value { '1' } else { '0' }),
        ColumnData::F32(Some(value)) => out = value.to_string(),
        ColumnData::F64(Some(value)) => out = value.to_string(),
        ColumnData::String(Some(value)) => out = value.to_string(),
        ColumnData::Guid(Some(value)) => out = value.to_string(),
        ColumnData::Numeric(Some(value)) => out = decimal(value.value(), value.scale()),
        ColumnData::Binary(Some(bytes)) => match storage {
            Storage::Text { charset, .. } => text::read(*charset, bytes, &mut out)?,
            Storage::Variant | Storage::Other => text::read(Charset::Converted, bytes, &mut out)?,
            _ => return None,
        },
        value => match integer(value) {
            Some(value) => out = value.to_string(),
            None => moment_text(value, storage, &mut out)?,
        },
    }
    Some(out)
}

fn moment_text(value: &ColumnData<'_>, storage: &Storage, out: &mut String) -> Option<()> {
    let (mut days, mut nanos) = moment_of(value)?;
    let offset = match value {
        ColumnData::DateTimeOffset(Some(value)) => Some(i64::from(value.offset())),
        _ => None,
    };
    if let Some(minutes) = offset {
        // What is sent is the instant; what is shown is the clock that was stored.
        let local = nanos + minutes * 60_000_000_000;
        days += local.div_euclid(DAY_NANOS);
        nanos = local.rem_euclid(DAY_NANOS);
    }
    if !matches!(storage, Storage::Time(_)) {
        out.push_str(&moment::calendar(days)?);
    }
    if *storage == Storage::Date {
        return Some(());
    }
    if !matches!(storage, Storage::Time(_)) {
        out.push(' ');
    }
    let seconds = nanos / 1_000_000_000;
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    let digits = match storage {
        Storage::DateTime => 3,
        Storage::Time(scale) | Storage::DateTime2(scale) | Storage::DateTimeOffset(scale) => {
            usize::from(*scale)
        }
        _ => 0,
    };
    if digits > 0 {
        let fraction = format!("{:09}", nanos % 1_000_000_000);
        let _ = write!(out, ".{}", fraction.get(..digits)?);
    }
    if let Some(minutes) = offset {
        let sign = if minutes < 0 { '-' } else { '+' };
        let minutes = minutes.abs();
        let _ = write!(out, " {sign}{:02}:{:02}", minutes / 60, minutes % 60);
    }
    Some(())
}

fn decimal(value: i128, scale: u8) -> String {
    let scale = usize::from(scale);
    let width = scale + 1;
    let digits = format!("{:0width$}", value.unsigned_abs());
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if value < 0 { "-" } else { "" };
    let point = if scale > 0 { "." } else { "" };
    format!("{sign}{whole}{point}{fraction}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiberius::numeric::Numeric;
    use tiberius::time::{Date, DateTime, DateTime2, DateTimeOffset, SmallDateTime, Time};

    fn shown(value: &ColumnData<'_>, storage: &str) -> String {
        let storage = Storage::named(storage).expect("a storage");
        printed(value, &storage).expect("a text")
    }

    fn instant(days: u32, increments: u64, scale: u8) -> DateTime2 {
        DateTime2::new(Date::new(days), Time::new(increments, scale))
    }

    #[test]
    fn ticks_are_milliseconds_as_the_server_prints_them() {
        for (ticks, millis) in [(0, "000"), (1, "003"), (2, "007"), (3, "010"), (299, "997")] {
            let value = ColumnData::DateTime(Some(DateTime::new(-53_690, ticks)));
            let expected = format!("1753-01-01 00:00:00.{millis}");
            assert_eq!(shown(&value, "datetime"), expected);
        }
        let last = ColumnData::DateTime(Some(DateTime::new(2_958_463, 25_919_999)));
        assert_eq!(shown(&last, "datetime"), "9999-12-31 23:59:59.997");
        let small = ColumnData::SmallDateTime(Some(SmallDateTime::new(65_535, 1439)));
        assert_eq!(shown(&small, "smalldatetime"), "2079-06-06 23:59:00");
    }

    #[test]
    fn moments_are_exact_to_their_last_digit() {
        let first = ColumnData::DateTime2(Some(instant(0, 1, 7)));
        assert_eq!(shown(&first, "datetime2(7)"), "0001-01-01 00:00:00.0000001");
        let moment = moment_of(&first).expect("a moment");
        assert_eq!(in_unit(moment, TimeUnit::Nano, false), None, "before 1677");
        assert_eq!(in_unit(moment, TimeUnit::Micro, false), None, "finer");
        assert!(in_unit(moment, TimeUnit::Micro, true).is_some());
        let epoch = moment_of(&ColumnData::DateTime2(Some(instant(719_162, 15, 1))));
        assert_eq!(epoch, Some((0, 1_500_000_000)));
        let last = ColumnData::Time(Some(Time::new(863_999_999_999, 7)));
        assert_eq!(shown(&last, "time(7)"), "23:59:59.9999999");
        assert_eq!(nanos(864_000_000_000, 7), None);
        assert_eq!(nanos(1, 12), None);
    }

    #[test]
    fn offsets_are_shown_with_the_clock_that_was_stored() {
        // 2024-01-01 00:30 UTC is the evening before, five hours and a half to the west.
        let value = DateTimeOffset::new(instant(738_885, 1_800_000, 3), -330);
        let value = ColumnData::DateTimeOffset(Some(value));
        assert_eq!(
            shown(&value, "datetimeoffset(3)"),
            "2023-12-31 19:00:00.000 -05:30"
        );
        assert_eq!(
            moment_of(&value).map(|moment| moment.1),
            Some(1_800_000_000_000)
        );
    }

    #[test]
    fn decimals_keep_every_digit() {
        let nines = 10_i128.pow(38) - 1;
        for (value, scale, text) in [
            (-nines, 38, "-0.99999999999999999999999999999999999999"),
            (9_223_372_036_854_775_807, 4, "922337203685477.5807"),
            (-5, 2, "-0.05"),
            (0, 0, "0"),
        ] {
            let value = ColumnData::Numeric(Some(Numeric::new_with_scale(value, scale)));
            assert_eq!(shown(&value, "decimal(38,4)"), text);
        }
    }
}
