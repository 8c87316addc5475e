//! What `doctor` finds: one fact a check, whether it stands in a run's way, and what would help.

use jiff::Timestamp;
use serde::Serialize;

use crate::error::{ExitCode, Failure};

/// A clock that differs by more than this is worth a word, in milliseconds: `{date}` and ages are told
/// by this machine's, snapshots and objects by the other's. Stores refuse signatures that are 15
/// minutes off.
const CLOCK_TOLERANCE_MS: u64 = 30_000;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckOutcome {
    /// Nothing stands in the way.
    Good,
    /// A run works, but not as well as it could, or not always.
    Warning,
    /// A run fails.
    Failed,
    /// It could not be looked at; that says nothing about a run.
    Skipped,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What, in one word.
    pub name: &'static str,
    /// How it came out.
    pub outcome: CheckOutcome,
    /// What was seen, one line.
    pub seen: String,
    /// What to change, exactly: the grant, flag, setting or command. Always there where something is
    /// wrong.
    pub fix: Option<String>,
    /// The code that a run would end with, where it would fail.
    pub exit: Option<ExitCode>,
}

impl Check {
    /// Nothing stands in the way.
    pub fn good(name: &'static str, seen: impl Into<String>) -> Self {
        Self {
            name,
            outcome: CheckOutcome::Good,
            seen: seen.into(),
            fix: None,
            exit: None,
        }
    }

    /// Something that a run survives.
    pub fn warning(name: &'static str, seen: impl Into<String>, fix: impl Into<String>) -> Self {
        Self {
            outcome: CheckOutcome::Warning,
            fix: Some(fix.into()),
            ..Self::good(name, seen)
        }
    }

    /// Something that a run ends with.
    pub fn failed(name: &'static str, failure: &Failure) -> Self {
        Self {
            outcome: CheckOutcome::Failed,
            fix: Some(failure.fix.clone()),
            exit: Some(failure.exit),
            ..Self::good(name, format!("{}: {}", failure.what, failure.why))
        }
    }

    /// What was not looked at, and why.
    pub fn skipped(name: &'static str, why: impl Into<String>) -> Self {
        Self {
            outcome: CheckOutcome::Skipped,
            ..Self::good(name, why)
        }
    }

    /// Whether another clock agrees with ours: it told `theirs` at some moment between the two of
    /// `ours`.
    pub fn clock(name: &'static str, theirs: Timestamp, ours: (Timestamp, Timestamp)) -> Self {
        let (earliest, latest) = (ours.0.as_millisecond(), ours.1.as_millisecond());
        let theirs = theirs.as_millisecond();
        // The time that the question itself took belongs to neither clock.
        let (off, word) = if theirs > latest {
            (theirs.abs_diff(latest), "ahead of")
        } else if theirs < earliest {
            (theirs.abs_diff(earliest), "behind")
        } else {
            return Self::good(name, "its clock agrees with this machine's");
        };
        let seconds = off as f64 / 1000.0;
        if off > CLOCK_TOLERANCE_MS {
            return Self::warning(
                name,
                format!("its clock is {seconds:.0} s {word} this machine's"),
                "set both clocks by NTP, such as with: timedatectl set-ntp true",
            );
        }
        Self::good(
            name,
            format!("its clock is {seconds:.1} s {word} this machine's"),
        )
    }

    /// The exit code of all checks together: the code of the first failure, else 1 where there is a
    /// warning, else 0 (decisions.md, section 2).
    pub fn exit_code(checks: &[Self]) -> ExitCode {
        let has_warning = checks
            .iter()
            .any(|check| check.outcome == CheckOutcome::Warning);
        let worst = if has_warning {
            ExitCode::Failed
        } else {
            ExitCode::Success
        };
        checks.iter().find_map(|check| check.exit).unwrap_or(worst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_off_by_what_the_question_itself_does_not_explain() {
        let at = |ms: i64| Timestamp::from_millisecond(1_770_000_000_000 + ms).expect("a time");
        let seen = |theirs| Check::clock("clock", at(theirs), (at(0), at(2_000)));
        assert_eq!(seen(0).seen, "its clock agrees with this machine's");
        assert_eq!(seen(2_000), seen(1_000));
        assert_eq!(
            seen(4_500).seen,
            "its clock is 2.5 s ahead of this machine's"
        );
        assert_eq!(seen(-500).seen, "its clock is 0.5 s behind this machine's");
        assert_eq!(seen(32_000).outcome, CheckOutcome::Good);
        assert_eq!(seen(32_001).outcome, CheckOutcome::Warning);
        assert_eq!(seen(-30_001).outcome, CheckOutcome::Warning);
    }

    #[test]
    fn the_first_failure_decides_then_warnings() {
        let failed = |exit| Check::failed("x", &Failure::new(exit, "a", "b", "c"));
        let good = Check::good("x", "fine");
        let skipped = Check::skipped("x", "no table is named");
        let warning = Check::warning("x", "slow", "be faster");
        assert_eq!(Check::exit_code(&[]), ExitCode::Success);
        assert_eq!(
            Check::exit_code(&[good.clone(), skipped.clone()]),
            ExitCode::Success
        );
        assert_eq!(
            Check::exit_code(&[good.clone(), warning.clone(), skipped]),
            ExitCode::Failed
        );
        let all = [
            warning,
            failed(ExitCode::Denied),
            good,
            failed(ExitCode::Output),
        ];
        assert_eq!(Check::exit_code(&all), ExitCode::Denied);
        assert_eq!(all[1].seen, "a: b");
    }
}
