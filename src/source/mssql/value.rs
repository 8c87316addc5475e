//! One value of the driver's: whether it is NULL, which moment it is, and how the server prints it.

use std::fmt::Write as _;

use tiberius::ColumnData;

use super::text;
use super::types::{Charset, Storage};
use crate::model::TimeUnit;
use crate::source::moment;

/// Nanoseconds of a day.
pub(super) const DAY_NANOS: i64 = 86_400_000_000_000;

/// Days from 0001-01-01, and from 1900-01-01, to 1970-01-01.
pub(super) const FROM_YEAR_1: i64 = 719_162;
const FROM_1900: i64 = 25_567;

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
pub(super) fn integer(value: &ColumnData<'_>) -> Option<i64> {
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
pub(super) fn moment_of(value: &ColumnData<'_>) -> Option<(i64, i64)> {
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
pub(super) fn nanos(increments: u64, scale: u8) -> Option<i64> {
    let step = 10_i64.checked_pow(9_u32.checked_sub(scale.into())?)?;
    let nanos = i64::try_from(increments).ok()?.checked_mul(step)?;
    (nanos < DAY_NANOS).then_some(nanos)
}

/// A moment in a unit, counted from 1970; `None` where the unit is too coarse, unless that is allowed, or
/// does not reach so far.
#[inline]
pub(super) fn in_unit((days, nanos): (i64, i64), unit: TimeUnit, lossy: bool) -> Option<i64> {
    let (a_day, value) = match unit {
        TimeUnit::Nano => (DAY_NANOS, nanos),
        TimeUnit::Micro if lossy || nanos % 1000 == 0 => (DAY_NANOS / 1000, nanos / 1000),
        TimeUnit::Micro => return None,
    };
    let whole = i128::from(days) * i128::from(a_day) + i128::from(value);
    i64::try_from(whole).ok()
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
