//! What can go wrong at a source, and what to do about it.

use thiserror::Error;

use crate::error::{ExitCode, Failure};
use crate::model::{Fault, Relation};

/// An error of a source. `what` and `why` are in the variants; the fix and the exit code are one
/// exhaustive match in the conversion to [`Failure`].
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SourceError {
    /// Nobody answers at the address, or the name does not resolve.
    #[error("cannot reach {target}")]
    Unreachable {
        /// `host:port` or path.
        target: String,
        /// The system's words.
        why: String,
    },
    /// TLS could not be agreed or the server's certificate could not be verified.
    #[error("cannot make a secure connection to {target}")]
    Tls {
        /// `host:port`.
        target: String,
        /// TLS's words.
        why: String,
    },
    /// User or password refused.
    #[error("{target} refused to log in '{user}'")]
    Login {
        /// `host:port/database`.
        target: String,
        /// The user.
        user: String,
        /// The server's words.
        why: String,
    },
    /// The database, or the SQLite file, does not exist.
    #[error("there is no database '{database}' at {target}")]
    DatabaseMissing {
        /// `host:port` or directory.
        target: String,
        /// The database.
        database: String,
        /// The server's words.
        why: String,
    },
    /// The file is not a SQLite database, or damaged.
    #[error("'{path}' cannot be read as a SQLite database")]
    NotADatabase {
        /// The file.
        path: String,
        /// SQLite's words.
        why: String,
    },
    /// No such table.
    #[error("there is no table '{table}' in {source_name}")]
    TableMissing {
        /// As the user wrote it.
        table: String,
        /// The database.
        source_name: String,
        /// Nearest names, nearest first.
        near: Vec<String>,
    },
    /// The name fits several tables.
    #[error("the name '{table}' fits several tables")]
    TableAmbiguous {
        /// As the user wrote it.
        table: String,
        /// The tables.
        candidates: Vec<String>,
    },
    /// No such column.
    #[error("there is no column '{column}' in {table}")]
    ColumnMissing {
        /// As the user wrote it.
        column: String,
        /// The table.
        table: String,
        /// Nearest names.
        near: Vec<String>,
    },
    /// A privilege is missing.
    #[error("not allowed to read {object}")]
    Denied {
        /// The relation or column.
        object: String,
        /// The server's words.
        why: String,
        /// The GRANT that would help.
        grant: String,
    },
    /// Row security would hide rows.
    #[error("row security on {table} may hide rows from '{user}'")]
    RowSecurity {
        /// The table.
        table: String,
        /// The user.
        user: String,
    },
    /// The server has no session left for us.
    #[error("{target} has no free connection")]
    TooManyConnections {
        /// `host:port`.
        target: String,
        /// The server's words.
        why: String,
    },
    /// The relation's lock, or the file's, was not free in time.
    #[error("{object} is locked by somebody else")]
    Locked {
        /// The relation or file.
        object: String,
        /// Who holds it, or the server's words.
        why: String,
    },
    /// Others waited for our lock too long.
    #[error("stopped reading {object}: others waited for it too long")]
    Blocking {
        /// The relation.
        object: String,
        /// The statement that waited, and how long.
        why: String,
    },
    /// A standby ended our sessions in favour of its primary's changes.
    #[error("the standby stopped reading {object}")]
    RecoveryConflict {
        /// The relation.
        object: String,
        /// The server's words.
        why: String,
    },
    /// The server is out of disk or memory.
    #[error("the server cannot read {object} just now")]
    Exhausted {
        /// The relation.
        object: String,
        /// The server's words.
        why: String,
    },
    /// A conflict that passes, such as a deadlock.
    #[error("{object} cannot be read just now")]
    Conflict {
        /// The relation.
        object: String,
        /// The server's words.
        why: String,
        /// What helps against this kind of conflict.
        remedy: String,
    },
    /// A cloud is moving the database, or asks for less.
    #[error("{target} is not ready to answer")]
    Throttled {
        /// `host:port`.
        target: String,
        /// The server's words.
        why: String,
    },
    /// A time limit of the server or of ours was reached.
    #[error("reading {object} took longer than allowed")]
    Timeout {
        /// The relation.
        object: String,
        /// The server's words.
        why: String,
    },
    /// The connection broke, or the server was shut down.
    #[error("the connection to {target} was lost")]
    ConnectionLost {
        /// `host:port`.
        target: String,
        /// The system's or server's words.
        why: String,
    },
    /// No session is left that holds the point in time.
    #[error("the snapshot of {object} was lost")]
    SnapshotLost {
        /// The relation.
        object: String,
        /// Why.
        why: String,
        /// What the last session died of, where that is known: what helps is what helps against it.
        cause: Option<Fault>,
    },
    /// The relation, or the file, was not the same at the end as at the beginning.
    #[error("{object} was changed while it was read")]
    Changed {
        /// The relation or file.
        object: String,
        /// What differs.
        why: String,
    },
    /// The consistency asked for cannot be had.
    #[error("cannot give {object} the consistency that was asked for")]
    Consistency {
        /// The relation.
        object: String,
        /// Why.
        why: String,
    },
    /// A value that the output type cannot hold.
    #[error("a value of {table}.{column} cannot be written exactly")]
    Unrepresentable {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The row's key as `column = value`, where a key is known.
        key: Option<String>,
        /// The value as the server prints it.
        value: String,
        /// The output type and what it cannot hold.
        why: String,
        /// What the user may do.
        fix: String,
    },
    /// The statement of `--query` is none that can be extracted.
    #[error("the query {name} cannot be extracted")]
    Query {
        /// `--name`.
        name: String,
        /// Why, in the server's words where it has any.
        why: String,
        /// What to do instead.
        fix: String,
    },
    /// Something that this source, or its version, cannot do.
    #[error("{what}")]
    Unsupported {
        /// What was asked.
        what: String,
        /// Why it cannot be done.
        why: String,
        /// What to do instead.
        fix: String,
    },
    /// The plan's columns are not the table's columns any more.
    #[error("{table} is not what the plan was made for")]
    PlanMismatch {
        /// The table.
        table: String,
        /// What differs.
        why: String,
    },
    /// A statement failed for a reason that has no better variant.
    #[error("{object}: the server refused a statement")]
    Statement {
        /// The relation.
        object: String,
        /// The server's words with its code.
        why: String,
    },
    /// A secret could not be obtained.
    #[error("cannot get the password from {place}")]
    Secret {
        /// File, command or variable.
        place: String,
        /// Why.
        why: String,
    },
    /// The server sent what its protocol does not allow, or what we do not understand.
    #[error("cannot understand what {target} sent")]
    Protocol {
        /// `host:port` or relation.
        target: String,
        /// What was wrong.
        why: String,
    },
}

impl SourceError {
    /// No column is left of a relation, or it never had one. A file without columns holds no rows
    /// that any reader could count.
    pub(super) fn nothing_to_read(relation: &Relation, never_had_one: bool) -> Self {
        let (why, fix) = if never_had_one {
            (
                "it has no columns, and a file without columns holds no rows",
                "add a column to it",
            )
        } else {
            (
                "every column is excluded",
                "name fewer columns in --exclude-columns",
            )
        };
        Self::Unsupported {
            what: format!("no column of {relation} is left to read"),
            why: why.to_owned(),
            fix: fix.to_owned(),
        }
    }

    /// Which fault it is; none where somebody's words, and not the world, are wrong.
    pub fn fault(&self) -> Option<Fault> {
        Some(match self {
            Self::Unreachable { .. } => Fault::Unreachable,
            Self::ConnectionLost { .. } => Fault::ConnectionLost,
            Self::RecoveryConflict { .. } => Fault::RecoveryConflict,
            Self::Conflict { .. } => Fault::Deadlock,
            Self::Throttled { .. } => Fault::Throttled,
            Self::Timeout { .. } => Fault::Timeout,
            Self::TooManyConnections { .. } => Fault::TooManyConnections,
            Self::Locked { .. } => Fault::Locked,
            Self::Exhausted { .. } => Fault::Exhausted,
            Self::SnapshotLost { .. } => Fault::SnapshotLost,
            Self::Changed { .. } => Fault::Changed,
            Self::Blocking { .. } => Fault::Blocking,
            Self::Login { .. } | Self::Denied { .. } | Self::RowSecurity { .. } => Fault::Denied,
            Self::Tls { .. }
            | Self::DatabaseMissing { .. }
            | Self::NotADatabase { .. }
            | Self::TableMissing { .. }
            | Self::TableAmbiguous { .. }
            | Self::ColumnMissing { .. }
            | Self::Consistency { .. }
            | Self::Unrepresentable { .. }
            | Self::Query { .. }
            | Self::Unsupported { .. }
            | Self::PlanMismatch { .. }
            | Self::Statement { .. }
            | Self::Secret { .. }
            | Self::Protocol { .. } => return None,
        })
    }

    /// Whether the same chunk may succeed on a new session in the same snapshot.
    pub fn is_transient(&self) -> bool {
        self.fault().is_some_and(Fault::is_transient)
    }
}

impl From<SourceError> for Failure {
    #[expect(
        clippy::too_many_lines,
        reason = "one table from the kind of error to its remedy"
    )]
    fn from(error: SourceError) -> Failure {
        use SourceError as E;
        let what = error.to_string();
        let rule = match &error {
            E::SnapshotLost {
                cause: Some(cause), ..
            } => Some(cause.rule()),
            error => error.fault().map(Fault::rule),
        };
        let (why, fix, exit) = match error {
            E::Unreachable { why, .. }
            | E::ConnectionLost { why, .. }
            | E::RecoveryConflict { why, .. }
            | E::Throttled { why, .. }
            | E::Timeout { why, .. }
            | E::TooManyConnections { why, .. }
            | E::Locked { why, .. }
            | E::Exhausted { why, .. }
            | E::SnapshotLost { why, .. }
            | E::Changed { why, .. }
            | E::Blocking { why, .. } => {
                // What these are is in the table, with what helps.
                let rule = rule.unwrap_or_else(|| Fault::Unreachable.rule());
                (why, rule.remedy.to_owned(), rule.exit)
            }
            E::Tls { why, .. } => (
                why,
                "give the server's CA with --tls-ca FILE; --tls require encrypts without verifying the server".to_owned(),
                ExitCode::Unreachable,
            ),
            E::Login { why, .. } => (
                why,
                "check the user and the password (IXTRACT_PASSWORD, --password-file, ~/.pgpass)".to_owned(),
                ExitCode::Denied,
            ),
            E::DatabaseMissing { why, .. } => {
                (why, "check the database's name in --source or --database".to_owned(), ExitCode::Unreachable)
            }
            E::NotADatabase { why, .. } => {
                (why, "give the path of a SQLite 3 database file".to_owned(), ExitCode::Failed)
            }
            E::TableMissing { near, .. } => match near.first() {
                Some(first) => (
                    format!("nearest names: {}", near.join(", ")),
                    format!("did you mean {first}?"),
                    ExitCode::Usage,
                ),
                None => (
                    "no table there has a similar name, or you may not see it".to_owned(),
                    "check the name, the database, and that the user has USAGE on the schema".to_owned(),
                    ExitCode::Usage,
                ),
            },
            E::TableAmbiguous { candidates, .. } => (
                format!("it may be {}", candidates.join(" or ")),
                "write schema.table, with the server's quotes around each part".to_owned(),
                ExitCode::Usage,
            ),
            E::ColumnMissing { near, .. } => (
                if near.is_empty() {
                    "no column there has a similar name".to_owned()
                } else {
                    format!("nearest names: {}", near.join(", "))
                },
                "check the spelling; column names match exactly, then by the server's case folding".to_owned(),
                ExitCode::Usage,
            ),
            E::Denied { why, grant, .. } => (why, format!("let an owner run: {grant}"), ExitCode::Denied),
            E::RowSecurity { user, .. } => (
                format!("the table has row-level security and '{user}' does not bypass it"),
                "use a role with BYPASSRLS, or pass --allow-row-security to take what the role may see".to_owned(),
                ExitCode::Denied,
            ),
            E::Conflict { why, remedy, .. } => (why, remedy, ExitCode::TryLater),
            E::Consistency { why, .. } => (
                why,
                "pass --consistency auto to read with fewer sessions, or per-chunk to do without".to_owned(),
                ExitCode::Refused,
            ),
            E::Unrepresentable { key, value, why, fix, .. } => {
                let place = key.map(|key| format!(" in the row {key}")).unwrap_or_default();
                (format!("the value {value}{place}: {why}"), fix, ExitCode::Failed)
            }
            E::Query { why, fix, .. } => (why, fix, ExitCode::Usage),
            E::Unsupported { why, fix, .. } => (why, fix, ExitCode::Refused),
            E::PlanMismatch { why, .. } => {
                (why, "make a new plan with ixtract plan".to_owned(), ExitCode::Refused)
            }
            E::Statement { why, .. } => (
                why,
                "check --where and the columns; the server's own words say what it did not accept".to_owned(),
                ExitCode::Failed,
            ),
            E::Secret { why, .. } => (
                why,
                "check the file's permissions or run the command by hand".to_owned(),
                ExitCode::Config,
            ),
            E::Protocol { why, .. } => (
                why,
                "check that the port belongs to the database and no proxy changes the traffic; else report a bug".to_owned(),
                ExitCode::Failed,
            ),
        };
        Failure {
            what,
            why,
            fix,
            exit,
        }
    }
}
