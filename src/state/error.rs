//! What can go wrong with the state store, and what to do about it.
//!
//! History is a help, never a gate: callers turn these errors into a warning and go on without
//! history, unless the user said `--state-required`.

use rusqlite::ErrorCode;
use thiserror::Error;

use crate::error::{ExitCode, Failure};

/// An error of the state store.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StateError {
    /// Another process held the store for longer than we wait.
    #[error("the state store {path} is locked")]
    Locked {
        /// The file.
        path: String,
    },
    /// The file is no state store, or what it holds does not make sense.
    #[error("the state store {path} is damaged, or is something else")]
    Corrupt {
        /// The file.
        path: String,
        /// What does not make sense.
        why: String,
    },
    /// A newer ixtract has written the store.
    #[error("the state store {path} is newer than this ixtract")]
    Newer {
        /// The file.
        path: String,
        /// Its version.
        version: i64,
        /// The version that this program knows.
        known: i64,
    },
    /// The store may be read but not written.
    #[error("the state store {path} cannot be written")]
    ReadOnly {
        /// The file.
        path: String,
    },
    /// The system or SQLite refused something else.
    #[error("cannot {action} the state store {path}")]
    Io {
        /// `open`, `read`, `write`, …
        action: &'static str,
        /// The file.
        path: String,
        /// The system's words.
        why: String,
        /// It is a matter of permissions.
        denied: bool,
    },
    /// There is no store, where only an existing one is of use.
    #[error("there is no state store {path}")]
    Missing {
        /// The file.
        path: String,
    },
    /// Runs of several relations or databases are called so.
    #[error("runs of several tables are called '{name}'")]
    SeveralTables {
        /// As it was asked for.
        name: String,
        /// The newest run of each, with where it read.
        candidates: Vec<String>,
    },
    /// A check found that the store is not sound.
    #[error("the state store {path} is damaged")]
    Damaged {
        /// The file.
        path: String,
        /// Everything that was found.
        problems: Vec<String>,
    },
    /// A backup cannot go where something else is.
    #[error("cannot write a backup to {path}")]
    Occupied {
        /// The file.
        path: String,
        /// What is there.
        why: String,
    },
    /// A document cannot be taken in.
    #[error("{name} is no history that can be imported")]
    Document {
        /// Its file.
        name: String,
        /// What does not make sense.
        why: String,
    },
    /// A document cannot be written.
    #[error("cannot write {name}")]
    Unwritten {
        /// Its file.
        name: String,
        /// The system's words.
        why: String,
    },
    /// The run was rebuilt from a manifest, which holds no plan.
    #[error("nothing is known of run {id} but what its manifest says")]
    NoPlan {
        /// The run.
        id: String,
    },
    /// There is no such run, or it is closed already.
    #[error("there is no run '{id}'")]
    NotFound {
        /// As it was asked for.
        id: String,
    },
    /// Several runs begin like this.
    #[error("'{prefix}' stands for several runs")]
    Ambiguous {
        /// As it was asked for.
        prefix: String,
        /// Some of the runs.
        candidates: Vec<String>,
    },
}

impl StateError {
    /// Sorts an error of SQLite's. `action` is what was tried.
    pub(super) fn from_sqlite(error: &rusqlite::Error, action: &'static str, path: &str) -> Self {
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked { path },
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt {
                path,
                why: one_line(error),
            },
            Some(ErrorCode::ReadOnly) => Self::ReadOnly { path },
            code => Self::Io {
                action,
                path,
                why: one_line(error),
                denied: code == Some(ErrorCode::PermissionDenied),
            },
        }
    }

    /// An error of the file system's.
    pub(super) fn from_io(error: &std::io::Error, action: &'static str, path: &str) -> Self {
        let path = path.to_owned();
        match error.kind() {
            std::io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            kind => Self::Io {
                action,
                path,
                why: one_line(error),
                denied: kind == std::io::ErrorKind::PermissionDenied,
            },
        }
    }
}

fn one_line(error: &impl ToString) -> String {
    error.to_string().replace('\n', " ")
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Failure {
        let (what, exit, fix) = (error.to_string(), exit(&error), fix(&error));
        Failure::new(exit, what, why(error), fix)
    }
}

fn exit(error: &StateError) -> ExitCode {
    use StateError as E;
    match error {
        E::Locked { .. } => ExitCode::TryLater,
        E::Corrupt { .. } | E::Newer { .. } | E::Damaged { .. } | E::Document { .. } => {
            ExitCode::Config
        }
        E::Io { denied: true, .. } => ExitCode::Denied,
        E::ReadOnly { .. } | E::Io { .. } | E::Occupied { .. } | E::Unwritten { .. } => {
            ExitCode::Output
        }
        E::Missing { .. }
        | E::NotFound { .. }
        | E::NoPlan { .. }
        | E::SeveralTables { .. }
        | E::Ambiguous { .. } => ExitCode::Usage,
    }
}

fn why(error: StateError) -> String {
    use StateError as E;
    match error {
        E::Corrupt { why, .. }
        | E::Io { why, .. }
        | E::Occupied { why, .. }
        | E::Document { why, .. }
        | E::Unwritten { why, .. } => why,
        E::Newer { version, known, .. } => {
            format!("it is of version {version}; this ixtract knows versions up to {known}")
        }
        E::Damaged { problems, .. } => problems.join("; "),
        E::SeveralTables { candidates, .. } => {
            format!("the newest of each: {}", candidates.join("; "))
        }
        E::Ambiguous { candidates, .. } => format!("among them are {}", candidates.join(" and ")),
        E::Locked { .. } => "another process has held it for more than five seconds".to_owned(),
        E::ReadOnly { .. } => "the file or its file system is read-only".to_owned(),
        E::Missing { .. } => "no run was recorded there".to_owned(),
        E::NotFound { .. } => {
            "no id in this store, no last part of one and no table is called so, \
                               or begins so as an id"
                .to_owned()
        }
        E::NoPlan { .. } => "it was rebuilt from the manifest, which holds neither plan nor \
                             timings of chunks"
            .to_owned(),
    }
}

fn fix(error: &StateError) -> &'static str {
    use StateError as E;
    match error {
        E::Locked { .. } => "try again, or name another store with --state",
        E::Corrupt { .. } => {
            "move the file away to start a new history, or name another with --state"
        }
        E::Newer { .. } => "use the newer ixtract, or name another store with --state",
        E::ReadOnly { .. } => "make it writable, or name another store with --state",
        E::Io { .. } => {
            "check the path, its permissions and the room on its disk, or name another store with --state"
        }
        E::Missing { .. } => "run something first, or name the store with --state",
        E::NotFound { .. } => "ixtract history lists the runs; --state names the store",
        E::Damaged { .. } => {
            "put a backup in its place, or save what can be read: ixtract state export FILE, then import it into a new store"
        }
        E::Occupied { .. } => "name another file, or remove that one",
        E::Document { .. } => {
            "write it again with ixtract state export, or import it with the ixtract that wrote it"
        }
        E::Unwritten { .. } => "check the path, its permissions and the room on its disk",
        E::NoPlan { .. } => {
            "ixtract history shows what is known; name a run that was recorded itself"
        }
        E::SeveralTables { .. } => "name one of these runs instead of the table",
        E::Ambiguous { .. } => "write more of the id",
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    #[test]
    fn sqlites_codes_are_sorted() {
        let sort = |code| {
            let error = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            StateError::from_sqlite(&error, "open", "s.db")
        };
        assert!(matches!(sort(ffi::SQLITE_BUSY), StateError::Locked { .. }));
        assert!(matches!(
            sort(ffi::SQLITE_NOTADB),
            StateError::Corrupt { .. }
        ));
        assert!(matches!(
            sort(ffi::SQLITE_READONLY),
            StateError::ReadOnly { .. }
        ));
        assert!(matches!(
            sort(ffi::SQLITE_PERM),
            StateError::Io { denied: true, .. }
        ));
        assert!(matches!(
            sort(ffi::SQLITE_FULL),
            StateError::Io { denied: false, .. }
        ));
    }

    #[test]
    fn every_error_has_its_exit_code_and_three_lines() {
        let path = || "/var/lib/ixtract/state.db".to_owned();
        let io = |denied| StateError::Io {
            action: "open",
            path: path(),
            why: "no".to_owned(),
            denied,
        };
        let cases = [
            (StateError::Locked { path: path() }, ExitCode::TryLater),
            (
                StateError::Corrupt {
                    path: path(),
                    why: "it is text".into(),
                },
                ExitCode::Config,
            ),
            (
                StateError::Newer {
                    path: path(),
                    version: 9,
                    known: 1,
                },
                ExitCode::Config,
            ),
            (StateError::ReadOnly { path: path() }, ExitCode::Output),
            (io(true), ExitCode::Denied),
            (io(false), ExitCode::Output),
            (StateError::NotFound { id: "rx".into() }, ExitCode::Usage),
            (StateError::Missing { path: path() }, ExitCode::Usage),
            (
                StateError::SeveralTables {
                    name: "orders".into(),
                    candidates: vec!["rx-1".into()],
                },
                ExitCode::Usage,
            ),
            (
                StateError::Ambiguous {
                    prefix: "rx".into(),
                    candidates: vec!["rx-1".into()],
                },
                ExitCode::Usage,
            ),
        ];
        cases.into_iter().for_each(expect_failure);
    }

    #[test]
    fn so_have_the_errors_of_keeping_a_store() {
        let path = || "/var/lib/ixtract/state.db".to_owned();
        [
            (
                StateError::Damaged {
                    path: path(),
                    problems: vec!["a row is missing".into()],
                },
                ExitCode::Config,
            ),
            (
                StateError::Occupied {
                    path: path(),
                    why: "it is the store itself".into(),
                },
                ExitCode::Output,
            ),
            (
                StateError::Document {
                    name: "h.jsonl".into(),
                    why: "it is empty".into(),
                },
                ExitCode::Config,
            ),
            (
                StateError::Unwritten {
                    name: "h.jsonl".into(),
                    why: "the disk is full".into(),
                },
                ExitCode::Output,
            ),
            (StateError::NoPlan { id: "rx".into() }, ExitCode::Usage),
        ]
        .into_iter()
        .for_each(expect_failure);
    }

    #[track_caller]
    fn expect_failure((error, exit): (StateError, ExitCode)) {
        let failure = Failure::from(error);
        assert_eq!(failure.exit, exit);
        let lines = [&failure.what, &failure.why, &failure.fix];
        assert!(
            lines
                .iter()
                .all(|line| !line.is_empty() && !line.contains('\n'))
        );
    }
}
