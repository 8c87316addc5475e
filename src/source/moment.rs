//! Dates and times as people write them, to the integers that Arrow counts in: pure text.

use crate::model::TimeUnit;

/// Nanoseconds of a day.
const DAY_NANOS: i128 = 86_400_000_000_000;

/// Days after 1970-01-01 of `YYYY-MM-DD`, the year with four digits or more, `-` before it for years
/// before 0.
pub(super) fn date(text: &str) -> Option<i32> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let mut parts = digits.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !(4..=7).contains(&year.len()) {
        return None;
    }
    let year = i64::from(number(year)?);
    let year = if negative { -year } else { year };
    civil(year, two(month)?, two(day)?)
}

/// Days after 1970-01-01 of a date of the Gregorian calendar, carried on before its beginning.
pub(super) fn civil(year: i64, month: u32, day: u32) -> Option<i32> {
    let leaps = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leaps),
        _ => return None,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    // Years that begin on March 1st, in cycles of 400, so that the leap day comes last.
    let shifted = year - i64::from(month <= 2);
    let (era, of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let month = i64::from((month + 9) % 12);
    let of_year = (153 * month + 2) / 5 + i64::from(day) - 1;
    let of_cycle = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    i32::try_from(era * 146_097 + of_cycle - 719_468).ok()
}

/// `YYYY-MM-DD` of a day after 1970-01-01, of the years from 0 to 9999.
pub(super) fn calendar(days: i64) -> Option<String> {
    // The inverse of `civil`: years begin on March 1st, in cycles of 400.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let of_years = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * of_years + of_years / 4 - of_years / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + of_years + i64::from(month <= 2);
    (0..=9999)
        .contains(&year)
        .then(|| format!("{year:04}-{month:02}-{of_month:02}"))
}

/// A time of day, `hh:mm[:ss[.fraction]]`, in `unit`; with `lossy` finer digits are cut off.
pub(super) fn time(text: &str, unit: TimeUnit, lossy: bool) -> Option<i64> {
    let nanos = nanos_of_day(text)?;
    i64::try_from(in_unit(nanos, unit, lossy)?).ok()
}

/// A date and a time with a space or a `T` between, in `unit` from 1970. With `utc` a zone has to
/// follow, `Z` or an offset, and without none may.
pub(super) fn timestamp(text: &str, unit: TimeUnit, utc: bool, lossy: bool) -> Option<i64> {
    let at = text.find([' ', 'T'])?;
    let (day, clock) = (text.get(..at)?, text.get(at + 1..)?);
    let (clock, offset) = if utc { zone(clock)? } else { (clock, 0) };
    let nanos = i128::from(date(day)?) * DAY_NANOS + nanos_of_day(clock)?
        - i128::from(offset) * 1_000_000_000;
    i64::try_from(in_unit(nanos, unit, lossy)?).ok()
}

/// The day of a date and time; with `lossy` whatever the time, else only where it is midnight.
pub(super) fn day(text: &str, lossy: bool) -> Option<i32> {
    let Some(at) = text.find([' ', 'T']) else {
        return date(text);
    };
    let nanos = nanos_of_day(text.get(at + 1..)?)?;
    (lossy || nanos == 0).then_some(date(text.get(..at)?)?)
}

fn in_unit(nanos: i128, unit: TimeUnit, lossy: bool) -> Option<i128> {
    match unit {
        TimeUnit::Nano => Some(nanos),
        TimeUnit::Micro if lossy || nanos % 1000 == 0 => Some(nanos.div_euclid(1000)),
        TimeUnit::Micro => None,
    }
}

fn nanos_of_day(text: &str) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if text.ends_with('.') || fraction.len() > 9 {
        return None;
    }
    let mut parts = whole.split(':');
    let (hour, minute) = (two(parts.next()?)?, two(parts.next()?)?);
    let second = match parts.next() {
        Some(second) => two(second)?,
        None if fraction.is_empty() => 0,
        None => return None,
    };
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let nanos = match fraction.len() {
        0 => 0,
        // At most nine digits.
        digits => number(fraction)? * 10u32.pow(9 - digits as u32),
    };
    Some(i128::from(hour * 3600 + minute * 60 + second) * 1_000_000_000 + i128::from(nanos))
}

/// A time and its offset from UTC in seconds.
fn zone(text: &str) -> Option<(&str, i32)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, 0));
    }
    let at = text.rfind(['+', '-'])?;
    let (clock, offset) = (text.get(..at)?, text.get(at + 1..)?);
    let (hours, minutes) = match offset.split_once(':') {
        Some((hours, minutes)) => (two(hours)?, two(minutes)?),
        None => (two(offset)?, 0),
    };
    let seconds = i32::try_from(hours * 3600 + minutes * 60).ok()?;
    (hours < 24 && minutes < 60).then_some((
        clock,
        if text.get(at..at + 1) == Some("-") {
            -seconds
        } else {
            seconds
        },
    ))
}

fn two(text: &str) -> Option<u32> {
    (text.len() == 2).then(|| number(text))?
}

/// Up to nine digits and nothing else.
fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    (digits && text.len() <= 9).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MICRO: TimeUnit = TimeUnit::Micro;

    #[test]
    fn dates_are_days_from_1970() {
        for (text, days) in [
            ("1970-01-01", Some(0)),
            ("1969-12-31", Some(-1)),
            ("2000-02-29", Some(11_016)),
            ("0000-01-01", Some(-719_528)),
            ("5874897-12-31", Some(2_145_042_905)),
            ("-0001-12-31", Some(-719_529)),
            ("1900-02-29", None),
            ("2024-13-01", None),
            ("2024-1-01", None),
            ("24-01-01", None),
            ("2024-01-01 ", None),
            ("", None),
        ] {
            assert_eq!(date(text), days, "{text}");
        }
    }

    #[test]
    fn timestamps_have_a_zone_exactly_where_they_are_instants() {
        let at = |text, utc| timestamp(text, MICRO, utc, false);
        assert_eq!(at("1970-01-01 00:00:01.5", false), Some(1_500_000));
        assert_eq!(at("1970-01-01T00:00", false), Some(0));
        assert_eq!(at("1970-01-01T00:00Z", false), None);
        assert_eq!(at("1970-01-01T00:00Z", true), Some(0));
        assert_eq!(at("1970-01-01 02:00+02", true), Some(0));
        assert_eq!(at("1970-01-01 02:00:00-05:30", true), Some(27_000_000_000));
        assert_eq!(at("1970-01-01 02:00:00", true), None);
        assert_eq!(at("1970-01-01 24:00:00", false), None);
        assert_eq!(at("1970-01-01", false), None);
    }

    #[test]
    fn what_is_finer_than_the_unit_is_refused_or_cut_off() {
        let text = "1969-12-31 23:59:59.9999999";
        assert_eq!(timestamp(text, MICRO, false, false), None);
        assert_eq!(timestamp(text, MICRO, false, true), Some(-1));
        assert_eq!(timestamp(text, TimeUnit::Nano, false, false), Some(-100));
        assert_eq!(
            timestamp("2263-01-01 00:00", TimeUnit::Nano, false, false),
            None
        );
        assert_eq!(day("2024-02-29 00:00:00", false), Some(19_782));
        assert_eq!(day("2024-02-29 00:00:01", false), None);
        assert_eq!(day("2024-02-29 00:00:01", true), Some(19_782));
        assert_eq!(time("23:59:59.999999", MICRO, false), Some(86_399_999_999));
    }

    proptest! {
        #[test]
        fn days_read_back(days in -719_528_i64..2_932_896) {
            let text = calendar(days).expect("a day");
            prop_assert_eq!(date(&text).map(i64::from), Some(days));
        }

        #[test]
        fn days_follow_each_other(days in -3_000_000i32..3_000_000) {
            let day = jiff::civil::date(1970, 1, 1)
                .checked_add(jiff::Span::new().days(days.rem_euclid(2_900_000)))
                .expect("a day before the year 10000");
            prop_assert_eq!(date(&day.to_string()), Some(days.rem_euclid(2_900_000)));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            prop_assert!(timestamp(&text, MICRO, true, true).is_none() || text.len() >= 17);
        }
    }
}
