//! What a person sees when something fails: three lines and an exit code.
//!
//! Every module has its own error type, which knows the facts. Each converts into a [`Failure`] by
//! one exhaustive match, so that a new kind of error cannot be added without deciding what to tell
//! the user and which code the process ends with.

use std::fmt;

use serde::Serialize;

/// The exit codes of the program: a contract, documented in the README and in `--help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "u8")]
#[repr(u8)]
pub enum ExitCode {
    /// The work is done; what failed after publishing was only warned about.
    Success = 0,
    /// The run failed and nothing was published.
    Failed = 1,
    /// Refused by a rule or by the user; the same command with other flags may be accepted.
    Refused = 2,
    /// A proof, checksum or plan fingerprint does not hold.
    Integrity = 3,
    /// Several tables: some published, some not.
    Partial = 4,
    /// The schema changed and `--on-schema-change fail` was given.
    SchemaChange = 5,
    /// The command line is wrong.
    Usage = 64,
    /// The source or the target cannot be reached.
    Unreachable = 69,
    /// A bug in ixtract.
    Bug = 70,
    /// The output cannot be created, is not ours to replace, or the disk is full.
    Output = 73,
    /// A passing condition: the same command may succeed later.
    TryLater = 75,
    /// Access denied by the source or the target.
    Denied = 77,
    /// A configuration, plan or state file is wrong or newer than this program.
    Config = 78,
    /// Ended by SIGINT; nothing was published.
    Interrupted = 130,
    /// Ended by SIGTERM; nothing was published.
    Terminated = 143,
}

impl ExitCode {
    /// Every code with its meaning in one line, in numeric order; `--help` prints it.
    pub const TABLE: [(ExitCode, &'static str); 15] = [
        (
            Self::Success,
            "success (inspect: HEALTHY, doctor: all well)",
        ),
        (
            Self::Failed,
            "nothing published: failed, value fits no type (inspect: NEEDS ATTENTION, doctor: warnings)",
        ),
        (
            Self::Refused,
            "refused: not recommended without --force, or not possible (inspect: DEGRADED)",
        ),
        (
            Self::Integrity,
            "integrity: a proof, checksum or plan fingerprint does not hold",
        ),
        (Self::Partial, "several tables: some published, some not"),
        (
            Self::SchemaChange,
            "schema change refused by --on-schema-change fail",
        ),
        (Self::Usage, "usage: the command line is wrong"),
        (
            Self::Unreachable,
            "source or target cannot be reached (a retry may help)",
        ),
        (Self::Bug, "a bug in ixtract"),
        (
            Self::Output,
            "output cannot be created or is not ours to replace; disk full",
        ),
        (
            Self::TryLater,
            "try again later: lock, deadlock, too many connections, dataset in use",
        ),
        (Self::Denied, "access denied"),
        (
            Self::Config,
            "a configuration, plan or state file is wrong or newer than this program",
        ),
        (
            Self::Interrupted,
            "SIGINT: server query cancelled, nothing published",
        ),
        (
            Self::Terminated,
            "SIGTERM: server query cancelled, nothing published",
        ),
    ];

    /// The number the process ends with.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<ExitCode> for u8 {
    fn from(code: ExitCode) -> u8 {
        code.code()
    }
}

/// Text with every run of white space turned into one blank: a server's or library's words on the
/// one line that a failure has for them.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A failure as the user sees it: what went wrong, why, and how to fix it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// One line: what could not be done, naming the object.
    pub what: String,
    /// One line: the cause, in the server's or system's own words where there are any.
    pub why: String,
    /// One line: what to change, naming the flag, grant or command.
    pub fix: String,
    /// The code the process ends with.
    pub exit: ExitCode,
}

impl Failure {
    /// A failure from its three lines and its exit code.
    pub fn new(
        exit: ExitCode,
        what: impl Into<String>,
        why: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            why: why.into(),
            fix: fix.into(),
            exit,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "error: {}\n  why: {}\n  fix: {}",
            self.what, self.why, self.fix
        )
    }
}

impl std::error::Error for Failure {}
