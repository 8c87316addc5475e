//! Numbers with units, as people read them (facts sheet, section 5): decimal, one digit.

use std::time::Duration;

/// A predicted duration: whole seconds below a minute, whole minutes below an hour, else hours.
pub fn duration(seconds: f64) -> String {
    // The unit is chosen after rounding, so that 59.7 s is `1m`, never `60s`, and nothing takes `0s`.
    if seconds < 0.5 {
        "<1s".to_owned()
    } else if seconds.round() < 60.0 {
        format!("{seconds:.0}s")
    } else if (seconds / 60.0).round() < 60.0 {
        format!("{:.0}m", seconds / 60.0)
    } else {
        format!("{:.1}h", seconds / 3600.0)
    }
}

/// A measured duration: finer than a predicted one, because it is known.
pub fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let whole = seconds.round() as u64;
    if seconds < 9.995 {
        format!("{seconds:.2}s")
    } else if seconds < 59.95 {
        format!("{seconds:.1}s")
    } else if whole < 3600 {
        format!("{}m {:02}s", whole / 60, whole % 60)
    } else {
        let minutes = whole / 60 + u64::from(whole % 60 >= 30);
        format!("{}h {:02}m", minutes / 60, minutes % 60)
    }
}

/// A count: K, M and B for thousands, millions and billions.
pub fn count(number: u64) -> String {
    scaled(number, ["", "K", "M", "B"])
}

/// A number of bytes: KB, MB and GB, decimal.
pub fn bytes(number: u64) -> String {
    scaled(number, [" B", " KB", " MB", " GB"])
}

/// A number of bytes: MiB and GiB, where limits are given in those.
pub fn binary(number: u64) -> String {
    let mib = number as f64 / 1_048_576.0;
    if mib < 1_023.95 {
        format!("{mib:.1} MiB")
    } else {
        format!("{:.1} GiB", mib / 1_024.0)
    }
}

/// Rows a second.
pub fn rate(rows_per_s: f64) -> String {
    format!("{} rows/s", count(rows_per_s.max(0.0).round() as u64))
}

fn scaled(number: u64, units: [&str; 4]) -> String {
    if number < 1000 {
        return format!("{number}{}", units[0]);
    }
    let mut value = number as f64 / 1000.0;
    let mut unit = 1;
    // 999.95 would be shown as 1000.0: that is the next unit.
    while value >= 999.95 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1}{}", units[unit])
}

/// Every digit, in groups of three: for numbers that prove something.
pub fn exact(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A difference with its sign, its size in the words of `unit`; `0` stays without one.
pub fn signed(difference: i64, unit: impl Fn(u64) -> String) -> String {
    let size = unit(difference.unsigned_abs());
    match difference {
        0 => size,
        1.. => format!("+{size}"),
        _ => format!("-{size}"),
    }
}

/// A difference of seconds as [`elapsed`] shows its size: one that it would show as nothing has no sign.
pub fn longer(seconds: f64) -> String {
    let hundredths = (seconds * 100.0).round() as i64;
    signed(hundredths, |size| {
        elapsed(Duration::from_millis(size.saturating_mul(10)))
    })
}

/// A difference in percent; one that rounds to nothing has no sign.
pub fn more(percent: f64) -> String {
    let tenths = (percent * 10.0).round() as i64;
    signed(tenths, |size| format!("{:.1} %", size as f64 / 10.0))
}

/// A share in whole percent.
pub fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "0%".to_owned(),
        _ => format!("{:.0}%", part as f64 * 100.0 / whole as f64),
    }
}

/// `1 chunk`, `2 chunks`.
pub fn plural(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", exact(number))
}

/// A server's time to the second; as it is where it is no RFC 3339 time.
pub fn moment(time: &str) -> String {
    match time.parse::<jiff::Timestamp>() {
        Ok(time) => time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        Err(_) => time.to_owned(),
    }
}

/// A span of whole seconds in its two largest units: `26 h`, `1 d 2 h`, `45 s`.
pub fn span(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let mut left = seconds;
    let mut parts = Vec::new();
    for (size, unit) in units {
        if left >= size && parts.len() < 2 {
            parts.push(format!("{} {unit}", left / size));
            left %= size;
        } else if !parts.is_empty() {
            break;
        }
    }
    if parts.is_empty() {
        return "0 s".to_owned();
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_the_facts_sheets_units() {
        let cases = [
            (0.0, "<1s"),
            (0.6, "1s"),
            (59.4, "59s"),
            (59.7, "1m"),
            (90.0, "2m"),
            (3569.0, "59m"),
            (3590.0, "1.0h"),
            (5400.0, "1.5h"),
        ];
        for (seconds, want) in cases {
            assert_eq!(duration(seconds), want);
        }
    }

    #[test]
    fn measured_times_are_finer() {
        let cases = [
            (0.421, "0.42s"),
            (9.999, "10.0s"),
            (59.96, "1m 00s"),
            (192.0, "3m 12s"),
            (3600.0, "1h 00m"),
            (5399.0, "1h 30m"),
        ];
        for (seconds, want) in cases {
            assert_eq!(elapsed(Duration::from_secs_f64(seconds)), want);
        }
    }

    #[test]
    fn counts_and_bytes_are_decimal_with_one_digit() {
        let cases = [
            (0, "0", "0 B"),
            (999, "999", "999 B"),
            (1_000, "1.0K", "1.0 KB"),
            (999_949, "999.9K", "999.9 KB"),
            (999_950, "1.0M", "1.0 MB"),
            (6_001_215, "6.0M", "6.0 MB"),
            (1_500_000_000, "1.5B", "1.5 GB"),
            (u64::MAX, "18446744073.7B", "18446744073.7 GB"),
        ];
        for (number, as_count, as_bytes) in cases {
            assert_eq!(count(number), as_count);
            assert_eq!(bytes(number), as_bytes);
        }
    }

    #[test]
    fn limits_have_binary_units() {
        let cases = [
            (0, "0.0 MiB"),
            (1_572_864, "1.5 MiB"),
            (1 << 30, "1.0 GiB"),
            (10_737_418_240, "10.0 GiB"),
        ];
        for (number, want) in cases {
            assert_eq!(binary(number), want);
        }
    }

    #[test]
    fn exact_numbers_are_grouped() {
        let cases = [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (6_001_215, "6,001,215"),
        ];
        for (number, want) in cases {
            assert_eq!(exact(number), want);
        }
    }

    #[test]
    fn differences_have_a_sign() {
        assert_eq!(signed(1_234, exact), "+1,234");
        assert_eq!(signed(-2_000, bytes), "-2.0 KB");
        assert_eq!(signed(0, exact), "0");
    }

    #[test]
    fn a_difference_too_small_to_be_shown_has_no_sign() {
        let cases = [
            (-0.004, "0.00s"),
            (0.004, "0.00s"),
            (-0.03, "-0.03s"),
            (1.5, "+1.50s"),
            (-90.0, "-1m 30s"),
        ];
        for (seconds, want) in cases {
            assert_eq!(longer(seconds), want);
        }
        let percents = [
            (0.04, "0.0 %"),
            (-0.04, "0.0 %"),
            (-25.0, "-25.0 %"),
            (0.06, "+0.1 %"),
        ];
        for (percent, want) in percents {
            assert_eq!(more(percent), want);
        }
    }

    #[test]
    fn shares_are_whole_percents() {
        assert_eq!(percent(4, 100), "4%");
        assert_eq!(percent(1, 3), "33%");
        assert_eq!(percent(1, 0), "0%");
        assert_eq!(plural(1, "chunk"), "1 chunk");
        assert_eq!(plural(0, "chunk"), "0 chunks");
    }

    #[test]
    fn spans_have_their_two_largest_units() {
        let said = [0, 45, 93_600, 86_461, 7_260].map(span);
        assert_eq!(said, ["0 s", "45 s", "1 d 2 h", "1 d", "2 h 1 min"]);
    }
}
