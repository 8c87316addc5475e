//! What can go wrong with an output, and what to do about it.

use thiserror::Error;

use crate::error::{ExitCode, Failure};

/// An error of a writer, of publishing or of verification.
#[derive(Debug, Error)]
pub enum WriteError {
    /// A file or directory could not be created, written, moved or removed.
    #[error("cannot {action} {path}")]
    Io {
        /// `create`, `write`, `move`, …
        action: &'static str,
        /// The path.
        path: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The directory holds files that no manifest of ours lists.
    #[error("{path} is not ours to replace")]
    Foreign {
        /// The dataset.
        path: String,
        /// The first foreign file.
        file: String,
    },
    /// Another run holds the dataset.
    #[error("another run is writing {path}")]
    Held {
        /// The dataset.
        path: String,
    },
    /// The directory cannot be exchanged atomically where it is.
    #[error("{path} cannot be replaced in one step")]
    NoExchange {
        /// The dataset.
        path: String,
        /// The system's words.
        why: String,
    },
    /// The dataset was published with another `--layout`; the two are never mixed in one directory.
    #[error("{path} has another layout")]
    OtherLayout {
        /// The dataset.
        path: String,
        /// The layout its manifest names, as `--layout` spells it.
        layout: &'static str,
    },
    /// The disk has too little room for what is expected.
    #[error("not enough room for {path}")]
    NoRoom {
        /// The dataset.
        path: String,
        /// Bytes needed, by estimate.
        need: u64,
        /// Bytes free.
        free: u64,
    },
    /// Encoding failed.
    #[error("cannot encode {path}")]
    Encode {
        /// The file.
        path: String,
        /// The encoder's words.
        why: String,
    },
    /// A proof did not hold; nothing was published.
    #[error("the proof of completeness does not hold for {path}")]
    Proof {
        /// The dataset.
        path: String,
        /// Which proof, and both numbers.
        why: String,
    },
    /// A published dataset differs from its manifest.
    #[error("{path} is not what its manifest says")]
    Differs {
        /// The dataset.
        path: String,
        /// Every difference, one line each.
        differences: Vec<String>,
    },
    /// There is no manifest, or it cannot be understood.
    #[error("{path} has no readable manifest")]
    Manifest {
        /// The dataset.
        path: String,
        /// Why.
        why: String,
    },
}

impl WriteError {
    /// An [`WriteError::Io`] for `path`; to be used in `map_err`.
    pub fn io(
        action: &'static str,
        path: impl AsRef<std::path::Path>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().display().to_string();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }
}

impl From<WriteError> for Failure {
    #[expect(
        clippy::too_many_lines,
        reason = "one table from the kind of error to its remedy"
    )]
    fn from(error: WriteError) -> Failure {
        use WriteError as E;
        let what = error.to_string();
        let (why, fix, exit) = match error {
            E::Io { source, .. } => {
                let fix = match source.kind() {
                    std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                        "free some space or choose another --output; the old version is untouched"
                    }
                    std::io::ErrorKind::PermissionDenied
                    | std::io::ErrorKind::ReadOnlyFilesystem => {
                        "choose an --output directory that this user may write"
                    }
                    _ => "check the path; the old version is untouched",
                };
                (source.to_string(), fix.to_owned(), ExitCode::Output)
            }
            E::Foreign { file, .. } => (
                format!("it holds '{file}', which no manifest of ixtract lists"),
                "choose an empty or new --output directory, or move the files away".to_owned(),
                ExitCode::Output,
            ),
            E::Held { .. } => (
                "the dataset's lock is taken".to_owned(),
                "wait for the other run to end, or give this one its own --output".to_owned(),
                ExitCode::TryLater,
            ),
            E::NoExchange { why, .. } => (
                why,
                "pass --layout runs, which needs no exchange of directories".to_owned(),
                ExitCode::Output,
            ),
            E::OtherLayout { layout, .. } => (
                format!("it was published with --layout {layout}"),
                format!("pass --layout {layout}, or choose a new --output directory"),
                ExitCode::Output,
            ),
            E::NoRoom { need, free, .. } => (
                format!(
                    "about {} MB are needed and {} MB are free",
                    need.div_ceil(1_000_000),
                    free / 1_000_000
                ),
                "free some space or choose another --output".to_owned(),
                ExitCode::Output,
            ),
            E::Encode { why, .. } => (
                why,
                "report a bug with the table's definition".to_owned(),
                ExitCode::Bug,
            ),
            E::Proof { why, .. } => (
                why,
                "nothing was published; run again, and report a bug if it happens twice".to_owned(),
                ExitCode::Integrity,
            ),
            E::Differs { differences, .. } => (
                differences.join("; "),
                "run the extraction again, or restore the files".to_owned(),
                ExitCode::Integrity,
            ),
            E::Manifest { why, .. } => (
                why,
                "give the directory that a run published".to_owned(),
                ExitCode::Config,
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
