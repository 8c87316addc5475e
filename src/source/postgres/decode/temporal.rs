//! Dates and times: PostgreSQL counts from 2000-01-01, Arrow from 1970-01-01.

use std::sync::Arc;

use arrow::datatypes::{
    DataType, Date32Type, Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
};

use super::Decode;
use super::fixed::fixed;

/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;

/// The same in microseconds.
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

const DAY_MICROS: i64 = 86_400_000_000;

const INFINITE: &str = "no date or timestamp type of Arrow and Parquet has an infinity";

/// date: −infinity and infinity have no counterpart.
pub(super) fn date() -> Box<dyn Decode> {
    fixed::<Date32Type, 4>(
        DataType::Date32,
        |raw| match i32::from_be_bytes(raw) {
            i32::MIN | i32::MAX => None,
            days => days.checked_add(EPOCH_DAYS),
        },
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

/// timestamp: infinities have no counterpart, and the last years that PostgreSQL knows do not fit 64
/// bits of microseconds from 1970.
pub(super) fn timestamp() -> Box<dyn Decode> {
    moment(None, |raw| refusal(raw, ""))
}

/// timestamptz, likewise.
pub(super) fn instant() -> Box<dyn Decode> {
    moment(Some("UTC".into()), |raw| refusal(raw, "+00"))
}

fn moment(
    zone: Option<Arc<str>>,
    reject: fn([u8; 8]) -> (String, &'static str),
) -> Box<dyn Decode> {
    fixed::<TimestampMicrosecondType, 8>(
        DataType::Timestamp(TimeUnit::Microsecond, zone),
        |raw| match i64::from_be_bytes(raw) {
            i64::MIN | i64::MAX => None,
            micros => micros.checked_add(EPOCH_MICROS),
        },
        reject,
    )
}

fn refusal(raw: [u8; 8], zone: &str) -> (String, &'static str) {
    match i64::from_be_bytes(raw) {
        i64::MIN => ("-infinity".to_owned(), INFINITE),
        i64::MAX => ("infinity".to_owned(), INFINITE),
        micros => (
            format!("{}{zone}", late(micros)),
            "it is after 294247-01-10, where 64 bits of microseconds from 1970 end",
        ),
    }
}

/// The server's text of a moment after 2000-01-01.
fn late(micros: i64) -> String {
    let (days, of_day) = (micros.div_euclid(DAY_MICROS), micros.rem_euclid(DAY_MICROS));
    // 2000-01-01 begins a cycle of 400 years, in which every fourth year leaps but for three.
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
    let seconds = of_day / 1_000_000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = format!(".{:06}", of_day % 1_000_000);
    let fraction = fraction.trim_end_matches('0').trim_end_matches('.');
    format!(
        "{year}-{month:02}-{:02} {hour:02}:{minute:02}:{second:02}{fraction}",
        day + 1
    )
}

/// time: 24:00:00 would be read back as 00:00:00.
pub(super) fn time() -> Box<dyn Decode> {
    fixed::<Time64MicrosecondType, 8>(
        DataType::Time64(TimeUnit::Microsecond),
        |raw| Some(i64::from_be_bytes(raw)).filter(|micros| (0..DAY_MICROS).contains(micros)),
        |raw| match i64::from_be_bytes(raw) {
            DAY_MICROS => (
                "24:00:00".to_owned(),
                "readers of Arrow and Parquet turn it into 00:00:00",
            ),
            micros => (format!("{micros} microseconds"), "it is no time of day"),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::Fault;
    use super::super::testing::decode;
    use super::*;
    use arrow::array::AsArray;

    #[test]
    fn epochs_are_shifted() {
        let array = decode(date(), &[Some(&0i32.to_be_bytes())]).unwrap();
        assert_eq!(array.as_primitive::<Date32Type>().value(0), 10_957);
        let array = decode(timestamp(), &[Some(&1i64.to_be_bytes())]).unwrap();
        let value = array.as_primitive::<TimestampMicrosecondType>().value(0);
        assert_eq!(value, 946_684_800_000_001);
    }

    #[test]
    fn what_cannot_be_held_is_refused_by_name() {
        let refused = |decoder, raw: &[u8]| match decode(decoder, &[Some(raw)]) {
            Err(Fault::Unrepresentable { value, .. }) => value,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(date(), &i32::MAX.to_be_bytes()), "infinity");
        assert_eq!(refused(timestamp(), &i64::MIN.to_be_bytes()), "-infinity");
        assert_eq!(refused(time(), &DAY_MICROS.to_be_bytes()), "24:00:00");
        let last = i64::MAX - EPOCH_MICROS;
        assert!(decode(timestamp(), &[Some(&last.to_be_bytes())]).is_ok());
        assert_eq!(
            refused(timestamp(), &(last + 1).to_be_bytes()),
            "294247-01-10 04:00:54.775808"
        );
        // 294276-12-31 24:00 is the type's own end.
        let end: i64 = 9_223_371_331_200_000_000;
        assert_eq!(
            refused(instant(), &(end - 1).to_be_bytes()),
            "294276-12-31 23:59:59.999999+00"
        );
        assert_eq!(late(DAY_MICROS * 59), "2000-02-29 00:00:00");
        assert_eq!(
            late(DAY_MICROS * (366 + 59) + 500_000),
            "2001-03-01 00:00:00.5"
        );
    }
}
