//! Dates and times: PostgreSQL counts from 2000-01-01, Arrow from 1970-01-01.

use arrow::datatypes::{
    DataType, Date32Type, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType,
    TimestampNanosecondType,
};

use super::Decode;
use super::fixed::{Reject, fixed};
use crate::model::{FieldType, TimeUnit};

/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;

/// The same in microseconds.
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

const DAY_MICROS: i64 = 86_400_000_000;

const BEYOND: &str = "it is beyond the output type, or between two of its values";

const INFINITE: &str = "no date or timestamp type of Arrow and Parquet has an infinity";

/// date: −infinity and infinity have no counterpart.
pub(super) fn date() -> Box<dyn Decode> {
    fixed::<Date32Type, 4>(
        DataType::Date32,
        days_from_1970,
        |raw| match i32::from_be_bytes(raw) {
            i32::MIN => ("-infinity".to_owned(), INFINITE),
            i32::MAX => ("infinity".to_owned(), INFINITE),
            days => (
                format!("{days} days after 2000-01-01"),
                "it is beyond Date32",
            ),
        },
    )
}

/// timestamp and, with `utc`, timestamptz: infinities have no counterpart, and the last years that
/// PostgreSQL knows do not fit 64 bits of microseconds from 1970.
pub(super) fn moment(utc: bool) -> Box<dyn Decode> {
    fixed::<TimestampMicrosecondType, 8>(
        timestamp_type(TimeUnit::Micro, utc),
        micros_from_1970,
        rejection(utc),
    )
}

/// Dates and times as another type of theirs, each value checked: a timestamp is a date only at
/// midnight, unless its time may be lost; nanoseconds reach from 1677 to 2262.
pub(super) fn converted(
    base_type: &str,
    field: &FieldType,
    lossy: bool,
) -> Option<Box<dyn Decode>> {
    Some(match (base_type, field) {
        ("date", FieldType::Timestamp { unit, utc: false }) => day_as_moment(*unit),
        ("time", FieldType::Time(TimeUnit::Nano)) => fixed::<Time64NanosecondType, 8>(
            field.arrow(),
            |raw| time_of_day(raw).map(|micros| micros * 1000),
            reject_time,
        ),
        ("timestamp" | "timestamptz", FieldType::Date) => fixed::<Date32Type, 8>(
            field.arrow(),
            move |raw| {
                let micros = micros_from_1970(raw)?;
                let whole = lossy || micros.rem_euclid(DAY_MICROS) == 0;
                let day = micros.div_euclid(DAY_MICROS);
                whole.then(|| i32::try_from(day).ok())?
            },
            reject_parts,
        ),
        (_, FieldType::Timestamp { unit, utc })
            if matches!(base_type, "timestamp" | "timestamptz") =>
        {
            // Whether a value is an instant is a statement of the source's; only a loss may undo it.
            let instant = base_type == "timestamptz";
            if *utc != instant && !(instant && lossy) {
                return None;
            }
            match unit {
                TimeUnit::Micro => moment(*utc),
                TimeUnit::Nano => fixed::<TimestampNanosecondType, 8>(
                    field.arrow(),
                    |raw| micros_from_1970(raw)?.checked_mul(1000),
                    rejection(*utc),
                ),
            }
        }
        _ => return None,
    })
}

fn day_as_moment(unit: TimeUnit) -> Box<dyn Decode> {
    let reject: Reject<4> = |raw| match i32::from_be_bytes(raw) {
        i32::MIN => ("-infinity".to_owned(), INFINITE),
        i32::MAX => ("infinity".to_owned(), INFINITE),
        days => (text_of_day(days), BEYOND),
    };
    let data_type = timestamp_type(unit, false);
    match unit {
        TimeUnit::Micro => fixed::<TimestampMicrosecondType, 4>(
            data_type,
            |raw| i64::from(days_from_1970(raw)?).checked_mul(DAY_MICROS),
            reject,
        ),
        TimeUnit::Nano => fixed::<TimestampNanosecondType, 4>(
            data_type,
            |raw| i64::from(days_from_1970(raw)?).checked_mul(1000 * DAY_MICROS),
            reject,
        ),
    }
}

fn timestamp_type(unit: TimeUnit, utc: bool) -> DataType {
    FieldType::Timestamp { unit, utc }.arrow()
}

#[inline]
fn days_from_1970(raw: [u8; 4]) -> Option<i32> {
    match i32::from_be_bytes(raw) {
        i32::MIN | i32::MAX => None,
        days => days.checked_add(EPOCH_DAYS),
    }
}

#[inline]
fn micros_from_1970(raw: [u8; 8]) -> Option<i64> {
    match i64::from_be_bytes(raw) {
        i64::MIN | i64::MAX => None,
        micros => micros.checked_add(EPOCH_MICROS),
    }
}

fn rejection(utc: bool) -> Reject<8> {
    if utc {
        |raw| refusal(raw, "+00")
    } else {
        |raw| refusal(raw, "")
    }
}

fn reject_parts(raw: [u8; 8]) -> (String, &'static str) {
    match i64::from_be_bytes(raw) {
        i64::MIN => ("-infinity".to_owned(), INFINITE),
        i64::MAX => ("infinity".to_owned(), INFINITE),
        micros => (text_of(micros), "a date has no time of day"),
    }
}

fn refusal(raw: [u8; 8], zone: &str) -> (String, &'static str) {
    match i64::from_be_bytes(raw) {
        i64::MIN => ("-infinity".to_owned(), INFINITE),
        i64::MAX => ("infinity".to_owned(), INFINITE),
        micros if micros > i64::MAX - EPOCH_MICROS => (
            zoned(micros, zone),
            "it is after 294247-01-10, where 64 bits of microseconds from 1970 end",
        ),
        micros => (zoned(micros, zone), BEYOND),
    }
}

fn zoned(micros: i64, zone: &str) -> String {
    let text = text_of(micros);
    match text.strip_suffix(" BC") {
        Some(local) => format!("{local}{zone} BC"),
        None => format!("{text}{zone}"),
    }
}

/// The server's text of a moment that many microseconds after 2000-01-01.
fn text_of(micros: i64) -> String {
    let (days, of_day) = (micros.div_euclid(DAY_MICROS), micros.rem_euclid(DAY_MICROS));
    let seconds = of_day / 1_000_000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = format!(".{:06}", of_day % 1_000_000);
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    let clock = format!("{hour:02}:{minute:02}:{second:02}{fraction}");
    // Fewer days than 2^63 microseconds have.
    let day = text_of_day(days as i32);
    match day.strip_suffix(" BC") {
        Some(day) => format!("{day} {clock} BC"),
        None => format!("{day} {clock}"),
    }
}

/// The server's text of a day that many days after 2000-01-01.
fn text_of_day(days: i32) -> String {
    // 2000-01-01 begins a cycle of 400 years, in which every fourth year leaps but for three.
    let days = i64::from(days);
    let (cycle, mut day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let mut year = 2000 + 400 * cycle;
    let leaps = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    while day >= 365 + i64::from(leaps(year)) {
        day -= 365 + i64::from(leaps(year));
        year += 1;
    }
    let february = 28 + i64::from(leaps(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    // There is no year 0: 1 BC comes before 1.
    let (shown, era) = if year > 0 {
        (year, "")
    } else {
        (1 - year, " BC")
    };
    format!("{shown:04}-{month:02}-{:02}{era}", day + 1)
}

/// time: 24:00:00 would be read back as 00:00:00.
pub(super) fn time() -> Box<dyn Decode> {
    fixed::<Time64MicrosecondType, 8>(
        FieldType::Time(TimeUnit::Micro).arrow(),
        time_of_day,
        reject_time,
    )
}

#[inline]
fn time_of_day(raw: [u8; 8]) -> Option<i64> {
    Some(i64::from_be_bytes(raw)).filter(|micros| (0..DAY_MICROS).contains(micros))
}

fn reject_time(raw: [u8; 8]) -> (String, &'static str) {
    match i64::from_be_bytes(raw) {
        DAY_MICROS => (
            "24:00:00".to_owned(),
            "readers of Arrow and Parquet turn it into 00:00:00",
        ),
        micros => (format!("{micros} microseconds"), "it is no time of day"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{decode, refusal};
    use super::*;
    use arrow::array::AsArray;

    #[test]
    fn epochs_are_shifted() {
        let array = decode(date(), &[Some(&0i32.to_be_bytes())]);
        assert_eq!(array.as_primitive::<Date32Type>().value(0), 10_957);
        let array = decode(moment(false), &[Some(&1i64.to_be_bytes())]);
        let value = array.as_primitive::<TimestampMicrosecondType>().value(0);
        assert_eq!(value, 946_684_800_000_001);
    }

    #[test]
    fn what_cannot_be_held_is_refused_by_name() {
        let refused = |decoder, raw: &[u8]| refusal(decoder, raw).value;
        assert_eq!(refused(date(), &i32::MAX.to_be_bytes()), "infinity");
        assert_eq!(refused(moment(false), &i64::MIN.to_be_bytes()), "-infinity");
        assert_eq!(refused(time(), &DAY_MICROS.to_be_bytes()), "24:00:00");
        let last = i64::MAX - EPOCH_MICROS;
        let array = decode(moment(false), &[Some(&last.to_be_bytes())]);
        assert_eq!(
            array.as_primitive::<TimestampMicrosecondType>().value(0),
            i64::MAX
        );
        assert_eq!(
            refused(moment(false), &(last + 1).to_be_bytes()),
            "294247-01-10 04:00:54.775808"
        );
        // 294276-12-31 24:00 is the type's own end.
        let end: i64 = 9_223_371_331_200_000_000;
        assert_eq!(
            refused(moment(true), &(end - 1).to_be_bytes()),
            "294276-12-31 23:59:59.999999+00"
        );
        assert_eq!(text_of(DAY_MICROS * 59), "2000-02-29 00:00:00");
        assert_eq!(
            text_of(DAY_MICROS * (366 + 59) + 500_000),
            "2001-03-01 00:00:00.5"
        );
    }

    #[test]
    fn a_conversion_loses_nothing_unless_it_may() {
        let to = |base: &str, field: &str, lossy| {
            converted(base, &field.parse().expect("a type"), lossy)
        };
        let noon = (DAY_MICROS / 2).to_be_bytes();
        let midnight = (-DAY_MICROS).to_be_bytes();
        let date = || to("timestamp", "date", false).expect("a decoder");
        let array = decode(date(), &[Some(&midnight)]);
        assert_eq!(array.as_primitive::<Date32Type>().value(0), 10_956);
        assert_eq!(refusal(date(), &noon).value, "2000-01-01 12:00:00");
        let array = decode(
            to("timestamp", "date", true).expect("a decoder"),
            &[Some(&noon)],
        );
        assert_eq!(array.as_primitive::<Date32Type>().value(0), 10_957);

        let nanos = || to("timestamptz", "timestamp(ns,utc)", false).expect("a decoder");
        let array = decode(nanos(), &[Some(&1i64.to_be_bytes())]);
        let value = array.as_primitive::<TimestampNanosecondType>().value(0);
        assert_eq!(value, 946_684_800_000_001_000);
        let late = (DAY_MICROS * 366 * 263).to_be_bytes();
        assert_eq!(refusal(nanos(), &late).value, "2263-07-19 00:00:00+00");
        let early = (-DAY_MICROS * 366 * 2001).to_be_bytes();
        assert_eq!(refusal(nanos(), &early).value, "0007-11-07 00:00:00+00 BC");

        assert!(to("timestamptz", "timestamp(us)", false).is_none());
        assert!(to("timestamptz", "timestamp(us)", true).is_some());
        assert!(to("timestamp", "timestamp(us,utc)", true).is_none());
        let day = to("date", "timestamp(us)", false).expect("a decoder");
        let array = decode(day, &[Some(&0i32.to_be_bytes())]);
        let value = array.as_primitive::<TimestampMicrosecondType>().value(0);
        assert_eq!(value, EPOCH_MICROS);
        let day = to("date", "timestamp(us)", false).expect("a decoder");
        assert_eq!(refusal(day, &i32::MAX.to_be_bytes()).value, "infinity");
    }
}
