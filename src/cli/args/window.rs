//! Flags of incremental extraction.

use clap::Args;

use crate::model::{Lag, moment};

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
    /// End the window so long before the newest value, for rows that are committed late: 90s, 5m, 2h; or
    /// auto: before the oldest transaction that is under way (PostgreSQL, and rowversion columns)
    #[arg(long, value_name = "DURATION", requires = "incremental", value_parser = lag)]
    pub lag: Option<Lag>,
    /// Take rows without a value, which are refused otherwise, with the first window
    #[arg(long, value_name = "WHICH", requires = "incremental", value_parser = ["first-window"])]
    pub include_nulls: Option<String>,
    /// Cut everything from --from to --until into windows of --every, and publish one after the other
    #[arg(long, requires_all = ["incremental", "from", "until", "every"])]
    pub backfill: bool,
    /// How far each window of a backfill goes: a number of values, or a length of time such as 6h or 1d
    #[arg(long, value_name = "STEP", requires = "backfill")]
    pub every: Option<String>,
}

/// `--lag`.
fn lag(text: &str) -> Result<Lag, String> {
    match text {
        "auto" => Ok(Lag::Auto),
        length => match moment::length(length)? {
            0 => Ok(Lag::None),
            seconds => Ok(Lag::Seconds(seconds)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lag_is_a_length_of_time_or_found_out() {
        assert_eq!(lag("5m"), Ok(Lag::Seconds(300)));
        assert_eq!(lag("0s"), Ok(Lag::None));
        assert_eq!(lag("auto"), Ok(Lag::Auto));
        assert!(lag("automatic").is_err());
    }
}
