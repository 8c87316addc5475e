//! SQLite's errors, as ours.

use rusqlite::{Error, ErrorCode, ffi};

use crate::source::SourceError;

/// What an error of SQLite means for `object`, a file or relation.
pub(super) fn translate(error: &Error, object: &str) -> SourceError {
    let why = match error {
        // Its text would repeat the whole statement.
        Error::SqlInputError { msg, .. } => one_line(msg),
        _ => one_line(error),
    };
    let object = object.to_owned();
    let Some(code) = error.sqlite_error() else {
        return SourceError::Statement { object, why };
    };
    match code.code {
        ErrorCode::DatabaseBusy
        | ErrorCode::DatabaseLocked
        | ErrorCode::FileLockingProtocolFailed => SourceError::Locked { object, why },
        ErrorCode::DiskFull | ErrorCode::OutOfMemory => SourceError::Exhausted { object, why },
        ErrorCode::NotADatabase => SourceError::NotADatabase {
            path: object,
            why: format!("{why}; it may be encrypted"),
        },
        ErrorCode::DatabaseCorrupt => SourceError::NotADatabase { path: object, why },
        ErrorCode::PermissionDenied => denied(object, why),
        ErrorCode::CannotOpen => unopenable(&object, &why),
        ErrorCode::ReadOnly if code.extended_code == ffi::SQLITE_READONLY_ROLLBACK => {
            hot_journal(&object)
        }
        ErrorCode::OperationInterrupted => interrupted(&object),
        _ => SourceError::Statement { object, why },
    }
}

/// A file that the system does not let us read.
pub(super) fn denied(object: String, why: String) -> SourceError {
    SourceError::Denied {
        grant: format!("chmod +r '{object}'"),
        object,
        why,
    }
}

/// The file can be read, as was seen before; what belongs to it cannot be opened.
fn unopenable(object: &str, why: &str) -> SourceError {
    SourceError::Unsupported {
        what: format!("{object} cannot be opened here"),
        why: format!("{why}: its -wal holds data, and the -shm that reading it takes cannot be made"),
        fix: "get the right to write in its directory, or copy the file and its -wal to a place where you may"
            .to_owned(),
    }
}

/// A writer died in the middle of a transaction, and only a writer may undo it.
fn hot_journal(object: &str) -> SourceError {
    SourceError::Unsupported {
        what: format!("{object} waits for its recovery"),
        why: "a writer died in mid-transaction; undoing that changes the file, and we only read"
            .to_owned(),
        fix: "open the database once with the program that writes it, or with sqlite3, then run again"
            .to_owned(),
    }
}

/// What a read that we stopped ourselves ends with.
pub(super) fn interrupted(object: &str) -> SourceError {
    SourceError::SnapshotLost {
        object: object.to_owned(),
        why: "the read was stopped".to_owned(),
        cause: None,
    }
}

/// The text of an error in one line.
pub(super) fn one_line(error: &impl ToString) -> String {
    crate::error::one_line(&error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Fault;

    #[test]
    fn codes_are_the_faults_of_the_table() {
        let codes = [
            ("SQLITE_BUSY", ffi::SQLITE_BUSY),
            ("SQLITE_LOCKED", ffi::SQLITE_LOCKED),
            ("SQLITE_PROTOCOL", ffi::SQLITE_PROTOCOL),
            ("SQLITE_FULL", ffi::SQLITE_FULL),
            ("SQLITE_NOMEM", ffi::SQLITE_NOMEM),
            ("SQLITE_PERM", ffi::SQLITE_PERM),
            ("SQLITE_ERROR", ffi::SQLITE_ERROR),
        ];
        for (name, code) in codes {
            let error = Error::SqliteFailure(ffi::Error::new(code), None);
            let says = |fault: &Fault| fault.sqlite_codes().contains(&name);
            let listed = Fault::ALL.into_iter().find(says);
            assert_eq!(translate(&error, "t").fault(), listed, "{name}");
        }
        let listed = Fault::ALL.iter().flat_map(|fault| fault.sqlite_codes());
        assert!(
            listed
                .clone()
                .all(|name| codes.iter().any(|(known, _)| known == name))
        );
    }
}
