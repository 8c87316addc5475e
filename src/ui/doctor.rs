//! What `doctor` found, one line a check.

use serde::Serialize;

use super::{Line, units};
use crate::error::ExitCode;
use crate::model::{Check, CheckOutcome};

/// `doctor`.
#[derive(Debug, Serialize)]
pub struct DoctorDocument {
    /// `well`, `warnings` or `failures`.
    pub status: &'static str,
    /// The code that the process ends with.
    pub exit: ExitCode,
    /// Every check, in the order it was made.
    pub checks: Vec<Check>,
}

impl DoctorDocument {
    /// Of what was found.
    pub fn new(checks: Vec<Check>) -> Self {
        let exit = Check::exit_code(&checks);
        Self {
            status: match (number(&checks, CheckOutcome::Failed), exit) {
                (0, ExitCode::Success) => "well",
                (0, _) => "warnings",
                _ => "failures",
            },
            exit,
            checks,
        }
    }
}

fn number(checks: &[Check], outcome: CheckOutcome) -> u64 {
    checks
        .iter()
        .filter(|check| check.outcome == outcome)
        .count() as u64
}

/// Every check on a line, and what it comes to.
pub fn view(document: &DoctorDocument) -> Vec<Line> {
    let mut lines: Vec<Line> = document.checks.iter().cloned().map(Line::Check).collect();
    let failures = number(&document.checks, CheckOutcome::Failed);
    let warnings = number(&document.checks, CheckOutcome::Warning);
    let warned = match warnings {
        0 => String::new(),
        warnings => format!(", {}", units::plural(warnings, "warning")),
    };
    let (text, good) = match (failures, warnings) {
        (0, 0) => ("all well".to_owned(), true),
        (0, warnings) => (
            format!("{}: a run works", units::plural(warnings, "warning")),
            false,
        ),
        _ => (
            format!(
                "{}{warned}: a run would end with exit code {}",
                units::plural(failures, "failure"),
                document.exit.code()
            ),
            false,
        ),
    };
    lines.push(Line::Judgement {
        label: "verdict",
        text,
        good,
    });
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Failure;
    use crate::ui::plain;

    #[test]
    fn each_check_is_one_line_with_its_fix() {
        let denied = Failure::new(
            ExitCode::Denied,
            "not allowed to read t",
            "permission denied",
            "let an owner run: GRANT SELECT ON t TO etl",
        );
        let document = DoctorDocument::new(vec![
            Check::good("role", "etl, no superuser"),
            Check::warning(
                "watcher",
                "sees little",
                "GRANT PROCESS ON *.* TO 'etl'@'%'",
            ),
            Check::failed("table", &denied),
            Check::skipped("snapshot", "no table could be read"),
        ]);
        insta::assert_snapshot!(plain(&view(&document)), @r"
        ✓ role         etl, no superuser
        ! watcher      sees little; fix: GRANT PROCESS ON *.* TO 'etl'@'%'
        ✗ table        not allowed to read t: permission denied; fix: let an owner run: GRANT SELECT ON t TO etl
        - snapshot     no table could be read
          verdict      1 failure, 1 warning: a run would end with exit code 77
        ");
    }

    #[test]
    fn what_is_well_is_told_in_two_words() {
        let document = DoctorDocument::new(vec![Check::good("role", "etl")]);
        assert!(plain(&view(&document)).ends_with("all well\n"));
        assert_eq!(
            (document.status, document.exit),
            ("well", ExitCode::Success)
        );
    }
}
