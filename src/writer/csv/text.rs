//! Numbers and times as text, appended to a buffer without an allocation of their own.

use arrow::datatypes::i256;
use serde::Serialize;

/// `00` to `99`.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[0; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + number as u8 / 10, b'0' + number as u8 % 10];
        number += 1;
    }
    pairs
};

const HEX: [u8; 16] = *b"0123456789abcdef";

const DAY_S: i64 = 86_400;

/// A number, by the fast formatters inside serde_json: integers as they are, floats by the shortest
/// digits that read back equal.
pub(super) fn number(out: &mut Vec<u8>, value: impl Serialize) {
    serde_json::to_writer(out, &value).expect("a buffer takes every number");
}

/// A JSON string.
pub(super) fn json_string(out: &mut Vec<u8>, value: &str) {
    serde_json::to_writer(out, value).expect("a buffer takes every string");
}

/// A float as PostgreSQL reads it back to the last bit; what is not finite as it spells that.
pub(super) fn float(out: &mut Vec<u8>, value: impl Serialize + Copy + Into<f64>) {
    let wide: f64 = value.into();
    if wide.is_finite() {
        number(out, value);
        if out.ends_with(b".0") {
            out.truncate(out.len() - 2);
        }
    } else if wide.is_nan() {
        out.extend_from_slice(b"NaN");
    } else if wide > 0.0 {
        out.extend_from_slice(b"Infinity");
    } else {
        out.extend_from_slice(b"-Infinity");
    }
}

/// `value` / 10^`scale`, plain.
pub(super) fn decimal(out: &mut Vec<u8>, value: i128, scale: usize) {
    if value < 0 {
        out.push(b'-');
    }
    let start = out.len();
    digits(out, value.unsigned_abs());
    point(out, start, scale);
}

/// `value` / 10^`scale`, plain; `value` has at most 76 digits.
pub(super) fn wide_decimal(out: &mut Vec<u8>, value: i256, scale: usize) {
    const HALF: usize = 38;
    let unit = i256::from_i128(10i128.pow(HALF as u32));
    if value.is_negative() {
        out.push(b'-');
    }
    let half = |half: i256| half.as_i128().unsigned_abs();
    let (high, low) = (
        half(value.wrapping_div(unit)),
        half(value.wrapping_rem(unit)),
    );
    let start = out.len();
    if high > 0 {
        digits(out, high);
        let middle = out.len();
        digits(out, low);
        pad(out, middle, HALF);
    } else {
        digits(out, low);
    }
    point(out, start, scale);
}

fn digits(out: &mut Vec<u8>, value: u128) {
    // Nearly every value is short, and twice as fast in 64 bits.
    match u64::try_from(value) {
        Ok(short) => number(out, short),
        Err(_) => number(out, value),
    }
}

/// Zeros before what begins at `start`, up to `width` bytes.
fn pad(out: &mut Vec<u8>, start: usize, width: usize) {
    let length = out.len() - start;
    if let Some(zeros) = width.checked_sub(length).filter(|zeros| *zeros > 0) {
        out.resize(start + width, b'0');
        out.copy_within(start..start + length, start + zeros);
        out[start..start + zeros].fill(b'0');
    }
}

/// A point before the last `scale` digits of what begins at `start`.
fn point(out: &mut Vec<u8>, start: usize, scale: usize) {
    if scale > 0 {
        pad(out, start, scale + 1);
        let at = out.len() - scale;
        out.push(b'.');
        out.copy_within(at..at + scale, at + 1);
        out[at] = b'.';
    }
}

/// A unit of time as ticks a second, and its digits.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ticks {
    /// Microseconds.
    Micro,
    /// Nanoseconds.
    Nano,
}

impl Ticks {
    fn a_second(self) -> i64 {
        match self {
            Self::Micro => 1_000_000,
            Self::Nano => 1_000_000_000,
        }
    }

    fn digits(self) -> usize {
        match self {
            Self::Micro => 6,
            Self::Nano => 9,
        }
    }
}

/// A date, by its days since 1970-01-01.
pub(super) fn date(out: &mut Vec<u8>, days: i32) {
    let before = day(out, i64::from(days));
    era(out, before);
}

/// A time of day.
pub(super) fn time(out: &mut Vec<u8>, ticks: i64, unit: Ticks) {
    let second = unit.a_second();
    clock(out, ticks.div_euclid(second));
    fraction(out, ticks.rem_euclid(second), unit.digits());
}

/// A date and time, by its ticks since 1970; an instant has a `Z`.
pub(super) fn timestamp(out: &mut Vec<u8>, ticks: i64, unit: Ticks, utc: bool) {
    let second = unit.a_second();
    let seconds = ticks.div_euclid(second);
    let before = day(out, seconds.div_euclid(DAY_S));
    out.push(b'T');
    clock(out, seconds.rem_euclid(DAY_S));
    fraction(out, ticks.rem_euclid(second), unit.digits());
    if utc {
        out.push(b'Z');
    }
    era(out, before);
}

/// `YYYY-MM-DD`; whether the year is one before Christ.
fn day(out: &mut Vec<u8>, days: i64) -> bool {
    let (year, month, day) = civil(days);
    let before = year < 1;
    // There is no year 0: 1 BC comes before 1.
    let year = if before { 1 - year } else { year };
    match usize::try_from(year) {
        Ok(year @ 0..10_000) => {
            pair(out, year / 100);
            pair(out, year % 100);
        }
        _ => number(out, year),
    }
    out.push(b'-');
    pair(out, month);
    out.push(b'-');
    pair(out, day);
    before
}

fn era(out: &mut Vec<u8>, before: bool) {
    if before {
        out.extend_from_slice(b" BC");
    }
}

/// `hh:mm:ss`, of a day's seconds.
fn clock(out: &mut Vec<u8>, seconds: i64) {
    // At most a day's, so nothing is cut off.
    let seconds = seconds as usize;
    pair(out, seconds / 3600);
    out.push(b':');
    pair(out, seconds / 60 % 60);
    out.push(b':');
    pair(out, seconds % 60);
}

/// `.f…` without zeros at its end; nothing for whole seconds.
fn fraction(out: &mut Vec<u8>, ticks: i64, width: usize) {
    if ticks == 0 {
        return;
    }
    out.push(b'.');
    let start = out.len();
    number(out, ticks);
    pad(out, start, width);
    while out.ends_with(b"0") {
        out.pop();
    }
}

fn pair(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&PAIRS[number]);
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar, which goes back for
/// ever; the year before 1 is 0. (Howard Hinnant's `civil_from_days`: years begin in March.)
fn civil(days: i64) -> (i64, usize, usize) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month as usize, day as usize)
}

/// Bytes in hexadecimal.
pub(super) fn hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = out.len();
    out.resize(start + 2 * bytes.len(), 0);
    for (pair, byte) in out[start..].chunks_exact_mut(2).zip(bytes) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
}

/// Sixteen bytes as a UUID.
pub(super) fn uuid(out: &mut Vec<u8>, bytes: &[u8]) {
    for (index, piece) in bytes.chunks(2).enumerate() {
        if (2..=5).contains(&index) {
            out.push(b'-');
        }
        hex(out, piece);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        // Something before, which no writer may touch.
        let mut out = b"0.0,".to_vec();
        write(&mut out);
        let text = String::from_utf8(out).unwrap();
        text.strip_prefix("0.0,").unwrap().to_owned()
    }

    #[test]
    fn decimals_are_plain() {
        for (value, scale, want) in [
            (0, 0, "0"),
            (0, 2, "0.00"),
            (-1, 3, "-0.001"),
            (123, 2, "1.23"),
            (-12_345, 4, "-1.2345"),
            (i128::MAX, 38, "1.70141183460469231731687303715884105727"),
        ] {
            assert_eq!(text(|out| decimal(out, value, scale)), want);
            let wide = i256::from_i128(value);
            assert_eq!(text(|out| wide_decimal(out, wide, scale)), want);
        }
        let nines = i256::from_string(&"9".repeat(76)).unwrap();
        let want = format!("-{}.{}", "9".repeat(56), "9".repeat(20));
        assert_eq!(text(|out| wide_decimal(out, -nines, 20)), want);
        let round = i256::from_i128(10i128.pow(38));
        let want = format!("1{}", "0".repeat(38));
        assert_eq!(text(|out| wide_decimal(out, round, 0)), want);
    }

    #[test]
    fn floats_are_spelled_as_postgresql_does() {
        for (value, want) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.1, "0.1"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
            (1e300, "1e+300"),
            (5e-324, "5e-324"),
        ] {
            let found = text(|out| float(out, value));
            assert_eq!(found, want);
        }
        assert_eq!(text(|out| float(out, 0.1f32)), "0.1");
        assert_eq!(text(|out| float(out, 16_777_216f32)), "16777216");
    }

    #[test]
    fn years_before_1_and_above_9999_are_postgresqls() {
        for (days, want) in [
            (0, "1970-01-01"),
            (-719_162, "0001-01-01"),
            (-719_163, "0001-12-31 BC"),
            (-735_160, "0044-03-15 BC"),
            (2_932_897, "10000-01-01"),
            (2_145_042_905, "5874897-12-31"),
        ] {
            assert_eq!(text(|out| date(out, days)), want);
        }
        let micro = |ticks, utc| text(|out| timestamp(out, ticks, Ticks::Micro, utc));
        assert_eq!(micro(-1, true), "1969-12-31T23:59:59.999999Z");
        assert_eq!(
            micro(-719_163 * 86_400_000_000, true),
            "0001-12-31T00:00:00Z BC"
        );
        assert_eq!(micro(i64::MAX, false), "294247-01-10T04:00:54.775807");
        assert_eq!(micro(i64::MIN, false), "290309-12-21T19:59:05.224192 BC");
        let nano = text(|out| timestamp(out, 100, Ticks::Nano, false));
        assert_eq!(nano, "1970-01-01T00:00:00.0000001");
    }

    #[test]
    fn bytes_are_hexadecimal() {
        assert_eq!(text(|out| hex(out, &[0, 255, 16])), "00ff10");
        let id: Vec<u8> = (0..16).collect();
        let want = "00010203-0405-0607-0809-0a0b0c0d0e0f";
        assert_eq!(text(|out| uuid(out, &id)), want);
    }

    proptest! {
        #[test]
        fn floats_read_back_to_the_last_bit(wide: u64, narrow: u32) {
            let wide = f64::from_bits(wide);
            let read: f64 = text(|out| float(out, wide)).parse().unwrap();
            prop_assert!(read.to_bits() == wide.to_bits() || read.is_nan() && wide.is_nan());
            let narrow = f32::from_bits(narrow);
            let read: f32 = text(|out| float(out, narrow)).parse().unwrap();
            prop_assert!(read.to_bits() == narrow.to_bits() || read.is_nan() && narrow.is_nan());
        }

        #[test]
        fn decimals_are_their_digits_with_a_point(value: i128, scale in 0usize..39) {
            let text = text(|out| decimal(out, value, scale));
            let point = if scale > 0 { text.len() - scale - 1 } else { text.len() };
            prop_assert_eq!(&text[point..], if scale > 0 { &text[point..] } else { "" });
            let digits: String = text.chars().filter(|c| *c != '.').collect();
            prop_assert_eq!(digits.parse::<i128>().unwrap(), value);
            prop_assert!(!text.trim_start_matches('-').starts_with('.'));
        }

        #[test]
        fn times_agree_with_jiff(micros in -377_705_116_800_000_000i64..253_402_207_200_000_000) {
            let instant = jiff::Timestamp::from_microsecond(micros).unwrap();
            prop_assume!(instant.strftime("%Y").to_string().parse::<i16>().unwrap() > 0);
            let text = text(|out| timestamp(out, micros, Ticks::Micro, true));
            prop_assert_eq!(text, instant.to_string());
        }
    }
}
