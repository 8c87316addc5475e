//! Flags of incremental extraction.

use clap::Args;

/// Which window of the table.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Incremental")]
pub struct WindowArgs {
    /// Only what is new by this column, as a window after those that were published
    #[arg(long, value_name = "COLUMN")]
    pub incremental: Option<String>,
    /// The window begins after this value, where the last one that is published ends, or one that is
    /// published again begins
    #[arg(
        long,
        value_name = "VALUE",
        requires = "incremental",
        allow_hyphen_values = true
    )]
    pub from: Option<String>,
    /// The window ends with this value, if there is one as new
    #[arg(
        long,
        value_name = "VALUE",
        requires = "incremental",
        allow_hyphen_values = true
    )]
    pub until: Option<String>,
    /// End the window so long before the newest value, for rows that are committed late: 90s, 5m, 2h
    #[arg(long, value_name = "DURATION", requires = "incremental", value_parser = seconds)]
    pub lag: Option<u64>,
    /// Take rows without a value, which are refused otherwise, with the first window
    #[arg(long, value_name = "WHICH", requires = "incremental", value_parser = ["first-window"])]
    pub include_nulls: Option<String>,
}

/// A length of time in seconds.
fn seconds(text: &str) -> Result<u64, String> {
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
    // Three hundred years: more would leave what a server can take from a date.
    match number.checked_mul(each) {
        Some(seconds) if seconds <= 300 * 366 * 86_400 => Ok(seconds),
        _ => Err("that is longer than 300 years".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_has_a_unit() {
        assert_eq!(seconds("90s"), Ok(90));
        assert_eq!(seconds("5m"), Ok(300));
        assert_eq!(seconds("2h"), Ok(7_200));
        assert_eq!(seconds("1d"), Ok(86_400));
        for wrong in ["", "5", "m", "-1s", "1.5h", "5 m", "5é", "99999999999d"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
