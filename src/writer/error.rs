//! What can go wrong with an output, and what to do about it.

use thiserror::Error;

use super::store::{Address, Service, Trouble};
use crate::error::{ExitCode, Failure};
use crate::model::Fault;

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
    /// An object store did not do what it was asked.
    #[error("cannot {action} {at}")]
    Store {
        /// `read`, `write`, `list`, …
        action: &'static str,
        /// The object's URL.
        at: String,
        /// Whose language was spoken.
        service: Service,
        /// What kind of trouble it is.
        trouble: Trouble,
        /// The store's words, or the transport's; no secrets.
        why: String,
    },
    /// The options for a store make no sense.
    #[error("cannot set up the client for {path}")]
    Setting {
        /// The store.
        path: String,
        /// Which, and why; no values.
        why: String,
    },
    /// The store puts objects whatever the condition.
    #[error("{path} cannot be published to safely")]
    NoCondition {
        /// The dataset.
        path: String,
    },
    /// Work on a store ended without a result: a panic, and so a bug.
    #[error("the work on {path} broke off")]
    Died {
        /// The dataset.
        path: String,
    },
    /// Another run published while this one was reading.
    #[error("another run has published {path} meanwhile; this one published nothing")]
    Overtaken {
        /// The dataset.
        path: String,
    },
    /// The store fell silent in the very moment of publishing.
    #[error("it is not known whether this run has published {path}")]
    Unknown {
        /// The dataset.
        path: String,
        /// What went wrong.
        why: String,
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
        /// Which, where it has said so.
        by: Option<String>,
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
    /// The place holds windows where a whole dataset is to be.
    #[error("{path} holds windows of an incremental extraction")]
    Windowed {
        /// The dataset.
        path: String,
    },
    /// The place holds a whole dataset where windows are to be.
    #[error("{path} holds a dataset that is no list of windows")]
    NotWindowed {
        /// The dataset.
        path: String,
    },
    /// The windows that were published are not those that the new one was fixed for.
    #[error("the window {window} does not follow those of {path}")]
    WindowMoved {
        /// The dataset.
        path: String,
        /// The window.
        window: String,
        /// What is there.
        why: String,
    },
    /// The windows are of other rows than the new one would be.
    #[error("the windows of {path} are not of the same rows")]
    OtherWindows {
        /// The dataset.
        path: String,
        /// What differs.
        why: String,
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
    /// Somebody asked to stop before anybody saw the new version.
    #[error("publishing was stopped")]
    Stopped,
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
    /// Whether it is the place that failed, or somebody who stopped it, so that what is written stays
    /// good: a full disk, a store that is out of reach.
    pub fn is_of_place(&self) -> bool {
        matches!(
            self,
            Self::Io { .. }
                | Self::Store { .. }
                | Self::NoRoom { .. }
                | Self::NoExchange { .. }
                | Self::Stopped
        )
    }

    /// Which fault it is; none where it is no fault of the world.
    pub fn fault(&self) -> Option<Fault> {
        match self {
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                    Some(Fault::DiskFull)
                }
                _ => None,
            },
            Self::NoRoom { .. } => Some(Fault::DiskFull),
            Self::Store { trouble, .. } => trouble.fault(),
            Self::Overtaken { .. } => Some(Fault::StoreOvertaken),
            _ => None,
        }
    }

    /// The error with its cause in one line, for a warning.
    pub(super) fn line(&self) -> String {
        match (self, std::error::Error::source(self)) {
            (Self::Store { why, .. }, _) => format!("{self}: {why}"),
            (_, Some(cause)) => format!("{self}: {cause}"),
            (_, None) => self.to_string(),
        }
    }

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
                        Fault::DiskFull.rule().remedy
                    }
                    std::io::ErrorKind::PermissionDenied
                    | std::io::ErrorKind::ReadOnlyFilesystem => {
                        "choose an --output directory that this user may write"
                    }
                    _ => "check the path; the old version is untouched",
                };
                (source.to_string(), fix.to_owned(), ExitCode::Output)
            }
            E::Store {
                service,
                trouble,
                why,
                ..
            } => {
                let (fix, exit) = remedy(service, trouble);
                (why, fix, exit)
            }
            E::Setting { why, .. } => (
                why,
                "correct the option or the variable that it comes from".to_owned(),
                ExitCode::Config,
            ),
            E::NoCondition { .. } => (
                "the store puts an object although it is there and the request forbids that, so \
                 two runs could both publish"
                    .to_owned(),
                "use a store that honours If-None-Match and If-Match, as S3 does".to_owned(),
                ExitCode::Output,
            ),
            E::Overtaken { .. } => (
                "its manifest is not the one that this run began with".to_owned(),
                Fault::StoreOvertaken.rule().remedy.to_owned(),
                ExitCode::TryLater,
            ),
            E::Unknown { why, .. } => (
                why,
                "look at the dataset with ixtract verify; nothing was removed, and running again \
                 is safe"
                    .to_owned(),
                ExitCode::Unreachable,
            ),
            E::Foreign { file, .. } => (
                format!("it holds '{file}', which no manifest of ixtract lists"),
                "choose an empty or new --output directory, or move the files away".to_owned(),
                ExitCode::Output,
            ),
            E::Held { by, .. } => (
                by.map_or_else(
                    || "the dataset's lock is taken".to_owned(),
                    |by| format!("the dataset's lock is held by {by}"),
                ),
                "pass --wait 10m to wait for the other run to end, or give this one its own --output"
                    .to_owned(),
                ExitCode::TryLater,
            ),
            E::NoExchange { why, .. } => (
                why,
                "pass --layout runs, which needs no exchange of directories".to_owned(),
                ExitCode::Output,
            ),
            E::OtherLayout { path, layout } => {
                // A copy of a local dataset, on a store: there is only one layout there.
                let other = if Address::service_of(&path).is_some() {
                    "choose a new --output prefix".to_owned()
                } else {
                    format!("pass --layout {layout}, or choose a new --output directory")
                };
                let why = format!("it was published with --layout {layout}");
                (why, other, ExitCode::Output)
            }
            E::Windowed { .. } => (
                "one window after the other was published there, with --incremental".to_owned(),
                "pass --incremental with the column of those windows, or choose a new --output"
                    .to_owned(),
                ExitCode::Output,
            ),
            E::NotWindowed { .. } => (
                "it was published without --incremental, so no window can follow it".to_owned(),
                "choose a new --output for the windows; the first takes every row again".to_owned(),
                ExitCode::Output,
            ),
            E::WindowMoved { why, .. } => (
                why,
                "run again: the next window begins where the last one that is published ends"
                    .to_owned(),
                ExitCode::TryLater,
            ),
            E::OtherWindows { why, .. } => (
                why,
                "ask for the same rows as before, or choose a new --output for these".to_owned(),
                ExitCode::Refused,
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
            E::Died { .. } => (
                "a task of ours ended in the middle".to_owned(),
                "report it with this message and the command line".to_owned(),
                ExitCode::Bug,
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
            E::Stopped => (
                "a signal asked for it".to_owned(),
                "run the same command again".to_owned(),
                ExitCode::Interrupted,
            ),
            E::Differs { differences, .. } => (
                differences.join("; "),
                "run the extraction again, or restore the files".to_owned(),
                ExitCode::Integrity,
            ),
            E::Manifest { why, .. } => (
                why,
                "give the directory or URL that a run published".to_owned(),
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

/// What to do about trouble with a store, and the exit code.
fn remedy(service: Service, trouble: Trouble) -> (String, ExitCode) {
    let bucket = service.container();
    let (fix, exit) = match trouble {
        Trouble::Unreachable => of_table(Fault::StoreUnreachable),
        Trouble::Throttled => of_table(Fault::StoreThrottled),
        Trouble::Denied => {
            let rights = match service {
                Service::S3 => {
                    "s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject, \
                     s3:AbortMultipartUpload and s3:ListBucketMultipartUploads"
                }
                Service::Gcs => "the role Storage Object User",
                Service::Azure => "the role Storage Blob Data Contributor",
            };
            (
                format!("check the credentials; they need {rights} here"),
                ExitCode::Denied,
            )
        }
        Trouble::NoCredentials => {
            let where_from = match service {
                Service::S3 => {
                    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or use a machine \
                     with a role"
                }
                Service::Gcs => {
                    "GOOGLE_APPLICATION_CREDENTIALS, or use a machine with a service account"
                }
                Service::Azure => {
                    "AZURE_STORAGE_ACCOUNT_KEY, AZURE_STORAGE_SAS_TOKEN or the AZURE_CLIENT_… \
                     variables, or use a machine with a managed identity"
                }
            };
            (format!("set {where_from}"), ExitCode::Denied)
        }
        Trouble::Clock => of_table(Fault::StoreClock),
        Trouble::NoBucket => (
            format!("create the {bucket}, or correct its name or the endpoint"),
            ExitCode::Output,
        ),
        Trouble::Region => (
            format!("set AWS_REGION to the {bucket}'s own region"),
            ExitCode::Output,
        ),
        Trouble::Missing | Trouble::Condition => (
            "another run has published here meanwhile, or something else changes this place: \
             run again, and keep it for one run at a time"
                .to_owned(),
            ExitCode::TryLater,
        ),
        Trouble::Refused => (
            format!("check the {bucket}'s name and settings"),
            ExitCode::Output,
        ),
    };
    (fix, exit)
}

/// Remedy and exit code of a fault that needs no words of its own.
fn of_table(fault: Fault) -> (String, ExitCode) {
    let rule = fault.rule();
    (rule.remedy.to_owned(), rule.exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_end_as_the_table_says() {
        for trouble in Trouble::ALL {
            for service in [Service::S3, Service::Gcs, Service::Azure] {
                let (fix, exit) = remedy(service, trouble);
                assert!(!fix.is_empty());
                if let Some(fault) = trouble.fault() {
                    assert_eq!(exit, fault.rule().exit, "{trouble:?}");
                }
            }
        }
    }
}
