//! What `doctor` looks at in a SQLite file.

use std::path::PathBuf;
use std::time::Duration;

use rusqlite::ErrorCode;

use super::file::Access;
use super::{Desk, Journal, failure};
use crate::model::Check;

/// Everything, one check each. A lock that is tried is let go at once.
pub(super) fn examine(desk: &Desk) -> Vec<Check> {
    vec![journal(desk), writer(desk)]
}

fn journal(desk: &Desk) -> Check {
    const NAME: &str = "journal";
    let directory = || {
        let path = PathBuf::from(desk.file.name());
        path.parent()
            .map_or_else(|| ".".to_owned(), |above| above.display().to_string())
    };
    match (desk.access, desk.journal) {
        (Access::Immutable, _) => Check::warning(
            NAME,
            "WAL, in a directory that cannot be written to: the file is read without locks, and a run \
             fails when it changes meanwhile",
            format!("let this user write in {}", directory()),
        ),
        (_, Journal::WriteAhead { lockable: true }) => Check::good(
            NAME,
            "WAL: readers start together under the write lock, and writers go on while we read",
        ),
        (_, Journal::WriteAhead { lockable: false }) => Check::warning(
            NAME,
            "WAL, and the file may not be written: one reader only, since several can start together \
             only under its write lock",
            format!("let this user write {}", desk.file.name()),
        ),
        (_, Journal::Rollback) => Check::good(
            NAME,
            "rollback: writers of this database wait while we read (in WAL mode they would not)",
        ),
    }
}

/// Whether somebody writes now.
fn writer(desk: &Desk) -> Check {
    const NAME: &str = "writer";
    let busy = |why: &str| {
        Check::warning(
            NAME,
            format!("somebody writes now: {why}"),
            "run when the writer has committed, or raise --lock-wait-s",
        )
    };
    match desk.journal {
        // To open it for writing could undo a dead writer's work, which would change the file.
        Journal::Rollback if desk.file.has_journal() => busy("its -journal holds a transaction"),
        Journal::Rollback => Check::good(NAME, "none at work now"),
        Journal::WriteAhead { lockable: false } => Check::skipped(
            NAME,
            "the write lock cannot be tried without the right to write",
        ),
        Journal::WriteAhead { lockable: true } => {
            let tried = desk.file.open_writable(Duration::ZERO).and_then(|gate| {
                gate.execute_batch("BEGIN IMMEDIATE; ROLLBACK")?;
                Ok(())
            });
            match tried {
                Ok(()) => Check::good(NAME, "none at work now"),
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                    busy("the write lock is taken")
                }
                Err(error) => Check::skipped(NAME, failure::one_line(&error)),
            }
        }
    }
}
