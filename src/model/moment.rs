//! Points in time as sources write them, where text is all that there is.
//!
//! `2026-01-31`, `2026-01-31 12:00:00.25`, `2026-01-31T12:00:00Z`, `2026-01-31 12:00:00+00`: what stands
//! behind the seconds is kept as it is, so that values stay comparable as text.

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// A text, taken apart.
struct Parts<'a> {
    date: Date,
    /// Whole seconds, and what stands before and behind them.
    time: Option<(char, DateTime, &'a str)>,
}

/// Bytes of `2026-01-31`, and of that with a time.
const DAY: usize = 10;
const SECOND: usize = 19;

fn parts(text: &str) -> Option<Parts<'_>> {
    // Four digits a year: what is shorter or longer does not sort as text, and is not of our time.
    let date = text.get(..DAY)?;
    let shape = |text: &str, signs: &[(usize, u8)]| {
        text.bytes().enumerate().all(|(at, byte)| {
            let sign = signs.iter().find(|(place, _)| *place == at);
            sign.map_or(byte.is_ascii_digit(), |(_, sign)| byte == *sign)
        })
    };
    if !shape(date, &[(4, b'-'), (7, b'-')]) {
        return None;
    }
    let date: Date = date.parse().ok()?;
    let rest = text.get(DAY..)?;
    if rest.is_empty() {
        return Some(Parts { date, time: None });
    }
    let separator = rest
        .chars()
        .next()
        .filter(|char| [' ', 'T'].contains(char))?;
    let clock = text.get(DAY + 1..SECOND)?;
    if !shape(clock, &[(2, b':'), (5, b':')]) {
        return None;
    }
    let number = |at: usize| clock.get(at..at + 2)?.parse::<i8>().ok();
    let time = jiff::civil::Time::new(number(0)?, number(3)?, number(6)?, 0).ok()?;
    let tail = text.get(SECOND..)?;
    offset(fraction(tail).1)?;
    Some(Parts {
        date,
        time: Some((separator, date.to_datetime(time), tail)),
    })
}

/// The fraction at the beginning of a tail, and what is behind it.
fn fraction(tail: &str) -> (&str, &str) {
    let digits = tail.strip_prefix('.').map_or(0, |digits| {
        1 + digits.bytes().take_while(u8::is_ascii_digit).count()
    });
    tail.split_at(digits)
}

/// What a zone at the end of a text says; UTC where there is none.
fn offset(zone: &str) -> Option<Offset> {
    let zone = zone.trim_start();
    if zone.is_empty() || zone == "Z" {
        return Some(Offset::UTC);
    }
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let mut numbers = digits.split(':').map(|part| {
        let two = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        two.then(|| part.parse::<i32>().ok()).flatten()
    });
    let hours = numbers.next()??;
    let minutes = numbers.next().map_or(Some(0), |minutes| minutes)?;
    let seconds = numbers.next().map_or(Some(0), |seconds| seconds)?;
    Offset::from_seconds(sign * (hours * 3_600 + minutes * 60 + seconds)).ok()
}

/// A value so many seconds later, or earlier where there are fewer than none; of a day the day that this
/// is in. `None` for what is no point in time of the years 0 to 9999.
pub fn shifted(text: &str, seconds: i64) -> Option<String> {
    let by = SignedDuration::from_secs(seconds);
    let parts = parts(text)?;
    let (begin, time) = match parts.time {
        None => (parts.date.to_datetime(jiff::civil::Time::midnight()), None),
        Some((separator, at, tail)) => (at, Some((separator, tail))),
    };
    let at = begin.checked_add(by).ok()?;
    if at.year() < 0 {
        return None;
    }
    Some(match time {
        None => at.strftime("%Y-%m-%d").to_string(),
        Some((separator, tail)) => {
            let (date, clock) = (at.strftime("%Y-%m-%d"), at.strftime("%H:%M:%S"));
            format!("{date}{separator}{clock}{tail}")
        }
    })
}

/// The point in time that a value is, taken for UTC where it names no zone; of a day its last second.
pub fn instant(text: &str) -> Option<Timestamp> {
    let parts = parts(text)?;
    let Some((_, at, tail)) = parts.time else {
        let end = parts.date.to_datetime(jiff::civil::Time::midnight());
        let end = end.checked_add(SignedDuration::from_secs(86_399)).ok()?;
        return TimeZone::UTC.to_timestamp(end).ok();
    };
    let zone = offset(fraction(tail).1)?;
    TimeZone::fixed(zone).to_timestamp(at).ok()
}

/// A length of time as people write it, such as `90s`, `5m`, `2h` or `1d`, in seconds.
///
/// # Errors
/// What is wrong with the text: no number with a unit, or more than 300 years.
pub fn length(text: &str) -> Result<u64, String> {
    let wrong = || "write a number with s, m, h or d, such as 5m".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let each = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    // More would leave what a server can take from a date.
    match number.checked_mul(each) {
        Some(seconds) if seconds <= 300 * 366 * 86_400 => Ok(seconds),
        _ => Err("that is longer than 300 years".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_stands_behind_the_seconds_is_kept() {
        for (text, seconds, then) in [
            ("2026-01-31 00:02:00", -300, "2026-01-30 23:57:00"),
            (
                "2026-01-31 00:02:00.125000+00",
                -120,
                "2026-01-31 00:00:00.125000+00",
            ),
            ("2026-02-28T23:59:59Z", 1, "2026-03-01T00:00:00Z"),
            ("2026-01-31", -300, "2026-01-30"),
            ("2026-01-31", 86_400, "2026-02-01"),
            (
                "0999-12-31 23:59:59 +00:00",
                1,
                "1000-01-01 00:00:00 +00:00",
            ),
        ] {
            assert_eq!(shifted(text, seconds).as_deref(), Some(then), "{text}");
        }
    }

    #[test]
    fn what_is_no_point_in_time_is_not_taken_for_one() {
        for text in [
            "",
            "42",
            "tomorrow",
            "2026-1-1",
            "2026-13-01",
            "2026-01-01 00:00",
            "infinity",
            "10000-01-01",
            "2026-01-01 00:00:00 BC",
            "2026-01-01 24:00:00",
            "2026-01-01é00:00:00",
        ] {
            assert_eq!(shifted(text, 1), None, "{text}");
            assert_eq!(instant(text), None, "{text}");
        }
        assert_eq!(shifted("9999-12-31 23:59:59", 1), None);
    }

    #[test]
    fn a_length_of_time_has_a_unit() {
        assert_eq!(length("90s"), Ok(90));
        assert_eq!(length("5m"), Ok(300));
        assert_eq!(length("2h"), Ok(7_200));
        assert_eq!(length("1d"), Ok(86_400));
        for wrong in ["", "5", "m", "-1s", "1.5h", "5 m", "5é", "99999999999d"] {
            assert!(length(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn zones_count() {
        let at = |text: &str| instant(text).expect("a point in time").to_string();
        assert_eq!(at("2026-01-01 01:00:00.5+01"), "2026-01-01T00:00:00Z");
        assert_eq!(at("2026-01-01T00:00:00-05:30"), "2026-01-01T05:30:00Z");
        assert_eq!(at("2026-01-01"), "2026-01-01T23:59:59Z");
    }

    proptest! {
        #[test]
        fn there_and_back_is_where_one_was(at in 0_i64..4_000_000_000, by in -40_000_000_i64..40_000_000) {
            let text = TimeZone::UTC.to_datetime(Timestamp::from_second(at).expect("a time"));
            let text = text.strftime("%Y-%m-%d %H:%M:%S.25").to_string();
            let there = shifted(&text, by).expect("a time");
            prop_assert_eq!(shifted(&there, -by), Some(text.clone()));
            prop_assert_eq!(there < text, by < 0);
        }

        #[test]
        fn no_text_is_too_odd(text in ".*", by in any::<i32>()) {
            let _ = shifted(&text, by.into());
            let _ = instant(&text);
        }
    }
}
