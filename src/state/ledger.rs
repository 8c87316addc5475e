//! Which processes of this machine have how many sessions on a source, so that they keep within a
//! number together.
//!
//! The ledger is a directory beside the state store, with a small file for each process at work on a
//! source. A process holds a lock on its file for as long as it lives, so what a dead one left is known
//! by its lock, which is free, and is taken away by the next that looks. Whoever looks and writes holds
//! a lock on the directory itself meanwhile.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::{BUSY_TIMEOUT, Result, StateError};
use crate::model::{SourceIdentity, hex};

/// Pause between two tries for the directory's lock.
const PAUSE: Duration = Duration::from_millis(20);

/// Bytes of a source's name in a file's name.
const NAME_BYTES: usize = 8;

/// The ledger of one source.
#[derive(Clone, Debug)]
pub struct Ledger {
    directory: PathBuf,
    /// What the files' names begin with.
    source: String,
}

/// A process at work on the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// Its sessions.
    pub sessions: u32,
}

/// The ledger, read and held: nobody else writes until it is dropped.
#[derive(Debug)]
pub struct OpenLedger {
    ledger: Ledger,
    others: Vec<Holder>,
    _gate: File,
}

/// Sessions of this process, in the ledger until it is dropped or the process dies.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    _file: File,
}

impl Ledger {
    /// The ledger beside the state store at `state`. Sessions are counted for each server, whatever the
    /// database.
    pub fn beside(state: &Path, source: &SourceIdentity) -> Self {
        let mut name = state.as_os_str().to_owned();
        name.push(".sessions");
        let server = format!("{}\n{}\n{}", source.kind, source.host, source.port);
        let hash = Sha256::digest(server.as_bytes());
        Self {
            directory: PathBuf::from(name),
            source: hex(&hash[..NAME_BYTES]),
        }
    }

    /// Takes the ledger and reads who is at work; what dead processes left is removed.
    ///
    /// # Errors
    /// [`StateError::Locked`] when another process holds it for more than five seconds;
    /// [`StateError::ReadOnly`] and [`StateError::Io`] as they say.
    pub fn open(&self) -> Result<OpenLedger> {
        let gate = self.lock()?;
        let others = self
            .holders()
            .map_err(|error| self.failed(&error, "read"))?;
        Ok(OpenLedger {
            ledger: self.clone(),
            others,
            _gate: gate,
        })
    }

    fn failed(&self, error: &io::Error, action: &'static str) -> StateError {
        StateError::from_io(error, action, &self.directory.display().to_string())
    }

    fn lock(&self) -> Result<File> {
        let made = DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory);
        made.map_err(|error| self.failed(&error, "create"))?;
        let gate = File::open(&self.directory).map_err(|error| self.failed(&error, "open"))?;
        let mut left = BUSY_TIMEOUT.as_millis() / PAUSE.as_millis();
        loop {
            match flock(&gate, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(gate),
                Err(Errno::WOULDBLOCK) if left > 0 => {
                    left -= 1;
                    std::thread::sleep(PAUSE);
                }
                Err(Errno::WOULDBLOCK) => {
                    return Err(StateError::Locked {
                        path: self.directory.display().to_string(),
                    });
                }
                Err(error) => return Err(self.failed(&error.into(), "lock")),
            }
        }
    }

    /// Everybody at work on this source.
    fn holders(&self) -> io::Result<Vec<Holder>> {
        let mut holders = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| self.pid(name)) else {
                continue;
            };
            if let Some(sessions) = living(&entry.path())? {
                holders.push(Holder { pid, sessions });
            }
        }
        holders.sort_unstable();
        Ok(holders)
    }

    /// The process that a file of this source is of: `<source>-<pid>-<number>`.
    fn pid(&self, name: &str) -> Option<u32> {
        let rest = name.strip_prefix(&self.source)?.strip_prefix('-')?;
        rest.split('-').next()?.parse().ok()
    }
}

/// The sessions of whoever holds the lock on a file; a file that nobody holds is removed.
fn living(path: &Path) -> io::Result<Option<u32>> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        // Whoever ends takes its file away at any time.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(Errno::WOULDBLOCK) => {
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            // It was written whole before the directory's lock was let go.
            Ok(Some(text.trim().parse().unwrap_or(0)))
        }
        Ok(()) => {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

impl OpenLedger {
    /// The other processes at work, by their ids.
    pub fn others(&self) -> &[Holder] {
        &self.others
    }

    /// Writes down that this process has so many sessions, and lets the ledger go.
    ///
    /// # Errors
    /// [`StateError::Io`].
    pub fn claim(self, sessions: u32) -> Result<Claim> {
        /// Tells one process's claims apart.
        static CLAIMS: AtomicU32 = AtomicU32::new(0);
        let number = CLAIMS.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}-{}-{number}", self.ledger.source, std::process::id());
        let path = self.ledger.directory.join(name);
        let write = || -> io::Result<File> {
            let mut options = OpenOptions::new();
            // One of this name is of a dead process that had our number.
            let mut file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&path)?;
            flock(&file, FlockOperation::NonBlockingLockExclusive)?;
            write!(file, "{sessions}")?;
            Ok(file)
        };
        let file = write().map_err(|error| self.ledger.failed(&error, "write"))?;
        Ok(Claim { path, _file: file })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // One that stays has no lock, and goes at the next look.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::fixtures;

    fn ledger(directory: &tempfile::TempDir) -> Ledger {
        Ledger::beside(&directory.path().join("state.db"), &fixtures::source())
    }

    fn sessions(ledger: &Ledger) -> Vec<u32> {
        let open = ledger.open().expect("the ledger");
        open.others().iter().map(|holder| holder.sessions).collect()
    }

    #[test]
    fn claims_add_up_and_go_with_their_holders() {
        let directory = tempfile::tempdir().expect("a directory");
        let ledger = ledger(&directory);
        assert_eq!(sessions(&ledger), Vec::<u32>::new());
        let first = ledger.open().expect("open").claim(4).expect("a claim");
        let second = ledger.open().expect("open").claim(3).expect("a claim");
        assert_eq!(sessions(&ledger), [3, 4]);
        let open = ledger.open().expect("open");
        assert!(
            open.others()
                .iter()
                .all(|holder| holder.pid == std::process::id())
        );
        drop((open, first));
        assert_eq!(sessions(&ledger), [3]);
        drop(second);
        assert_eq!(sessions(&ledger), Vec::<u32>::new());
    }

    #[test]
    fn what_a_dead_process_left_is_taken_away_and_other_sources_are_others() {
        let directory = tempfile::tempdir().expect("a directory");
        let ledger = ledger(&directory);
        drop(ledger.open().expect("open"));
        let dead = ledger
            .directory
            .join(format!("{}-{}-0", ledger.source, u32::MAX));
        fs::write(&dead, "9").expect("a file that nobody holds");
        let elsewhere = SourceIdentity {
            port: 1,
            ..fixtures::source()
        };
        let elsewhere = Ledger::beside(&directory.path().join("state.db"), &elsewhere);
        let _other = elsewhere.open().expect("open").claim(7).expect("a claim");
        assert_eq!(sessions(&ledger), Vec::<u32>::new());
        assert!(!dead.exists());
        assert_eq!(sessions(&elsewhere), [7]);
    }

    #[test]
    fn racing_processes_never_have_more_than_they_may_together() {
        const MOST: u32 = 5;
        let directory = tempfile::tempdir().expect("a directory");
        let ledger = ledger(&directory);
        let in_use = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..25 {
                        let open = ledger.open().expect("open");
                        let taken: u32 = open.others().iter().map(|other| other.sessions).sum();
                        let Some(left) = MOST.checked_sub(taken).filter(|left| *left > 1) else {
                            continue;
                        };
                        let claim = open.claim(left / 2).expect("a claim");
                        let now = in_use.fetch_add(left / 2, Ordering::SeqCst) + left / 2;
                        assert!(now <= MOST, "{now} of {MOST}");
                        in_use.fetch_sub(left / 2, Ordering::SeqCst);
                        drop(claim);
                    }
                });
            }
        });
    }
}
