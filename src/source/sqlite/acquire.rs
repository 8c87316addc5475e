//! Opening all readers at one point in time.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use super::failure::{one_line, translate};
use super::file::{Access, DatabaseFile};
use crate::clock::SharedClock;
use crate::model::{Consistency, ConsistencyLevel};
use crate::source::{Result, SourceError};

/// How long one round of opening readers may wait for a writer before all of them step back and
/// let it pass.
const ROUND: Duration = Duration::from_millis(250);

/// How often the write lock is tried: a writer that commits in a loop lets go of it for an instant.
const POLL: Duration = Duration::from_micros(500);

/// What is to be opened.
pub(super) struct Wanted {
    pub(super) file: Arc<DatabaseFile>,
    pub(super) access: Access,
    pub(super) consistency: Consistency,
    /// Sessions that will read; the count needs one reader more.
    pub(super) sessions: usize,
    pub(super) lock_wait: Duration,
    pub(super) clock: SharedClock,
}

/// Readers that stand at one point in time, as far as `level` says.
pub(super) struct Acquired {
    /// The sessions' connections and, unless there is only one in all, the count's as the last.
    pub(super) connections: Vec<Connection>,
    pub(super) level: ConsistencyLevel,
    pub(super) held_by: &'static str,
    pub(super) notes: Vec<String>,
}

/// Opens the readers. Blocks, for little more than `lock_wait`.
///
/// # Errors
/// [`SourceError::Locked`] when a writer does not let us in in time; [`SourceError::Consistency`]
/// when several readers of one point in time were demanded and cannot be had.
pub(super) fn acquire(wanted: &Wanted) -> Result<Acquired> {
    let deadline = wanted.clock.monotonic().saturating_add(wanted.lock_wait);
    let acquisition = Acquisition { wanted, deadline };
    if wanted.consistency == Consistency::PerChunk {
        return acquisition.per_chunk();
    }
    if wanted.access == Access::Immutable {
        return acquisition.immutable();
    }
    // WAL mode cannot be left while this connection is open, nor does it begin under a reader.
    let witness = acquisition.reader(acquisition.left())?;
    let mode: String = witness
        .query_row("PRAGMA main.journal_mode", [], |row| row.get(0))
        .map_err(|error| acquisition.translate(&error))?;
    if mode.eq_ignore_ascii_case("wal") {
        acquisition.write_ahead()
    } else {
        drop(witness);
        acquisition.rollback_journal()
    }
}

struct Acquisition<'a> {
    wanted: &'a Wanted,
    deadline: Duration,
}

impl Acquisition<'_> {
    fn left(&self) -> Duration {
        self.deadline.saturating_sub(self.wanted.clock.monotonic())
    }

    fn translate(&self, error: &rusqlite::Error) -> SourceError {
        translate(error, &self.wanted.file.name())
    }

    fn open(&self, busy: Duration) -> Result<Connection> {
        self.wanted
            .file
            .open(self.wanted.access, busy)
            .map_err(|error| self.translate(&error))
    }

    /// A connection in a transaction that has made its first read, and so stands still in time.
    fn reader(&self, busy: Duration) -> Result<Connection> {
        let connection = self.open(busy)?;
        stand_still(&connection).map_err(|error| self.translate(&error))?;
        Ok(connection)
    }

    fn readers(&self, busy: Duration) -> Result<Vec<Connection>> {
        (0..=self.wanted.sessions)
            .map(|_| self.reader(busy))
            .collect()
    }

    fn per_chunk(&self) -> Result<Acquired> {
        let connections = (0..=self.wanted.sessions)
            .map(|_| self.open(self.wanted.lock_wait))
            .collect::<Result<_>>()?;
        Ok(Acquired {
            connections,
            level: ConsistencyLevel::PerChunk,
            held_by: "nothing between chunks",
            notes: Vec::new(),
        })
    }

    fn immutable(&self) -> Result<Acquired> {
        Ok(Acquired {
            connections: self.readers(Duration::ZERO)?,
            level: ConsistencyLevel::SharedSnapshot,
            held_by: "size, time and change counter of the file, checked at the end",
            notes: vec![
                "the directory cannot be written to, so the file is read without locks and must not change"
                    .to_owned(),
            ],
        })
    }

    /// WAL: nobody can commit while one connection holds the write lock, so readers that start
    /// meanwhile see the same end of the log. Writers wait only for that moment.
    fn write_ahead(&self) -> Result<Acquired> {
        let gate = match self.lock_writers() {
            Ok(gate) => gate,
            Err(why) => return self.alone(why),
        };
        let connections = self.readers(self.left())?;
        gate.execute_batch("ROLLBACK")
            .map_err(|error| self.translate(&error))?;
        Ok(Acquired {
            connections,
            level: ConsistencyLevel::SharedSnapshot,
            held_by: "read transactions, all begun under the write lock",
            notes: Vec::new(),
        })
    }

    /// Takes the write lock.
    fn lock_writers(&self) -> Result<Connection> {
        let unlockable = |why: String| SourceError::Consistency {
            object: self.wanted.file.name(),
            why: format!(
                "readers of a WAL database can start together only under its write lock: {why}"
            ),
        };
        let gate = self
            .wanted
            .file
            .open_writable(Duration::ZERO)
            .map_err(|error| unlockable(one_line(&error)))?;
        // SQLite begins a mere read transaction, without a word, where it may not write.
        if gate
            .is_readonly("main")
            .map_err(|error| self.translate(&error))?
        {
            return Err(unlockable("the file is not writable".to_owned()));
        }
        loop {
            let Err(error) = gate.execute_batch("BEGIN IMMEDIATE") else {
                return Ok(gate);
            };
            if error.sqlite_error_code() != Some(ErrorCode::DatabaseBusy) {
                return Err(unlockable(one_line(&error)));
            }
            if self.left().is_zero() {
                return Err(self.translate(&error));
            }
            // SQLite's own wait looks ten times a second, and a busy writer is never idle then.
            std::thread::sleep(POLL);
        }
    }

    /// One reader for everything, because `why` keeps several from standing at one point.
    fn alone(&self, why: SourceError) -> Result<Acquired> {
        if self.wanted.consistency == Consistency::Snapshot && self.wanted.sessions > 1 {
            return Err(why);
        }
        let cause = match why {
            SourceError::Locked { why, .. } => format!("a writer held the write lock: {why}"),
            SourceError::Consistency { why, .. } => why,
            other => return Err(other),
        };
        Ok(Acquired {
            connections: vec![self.reader(self.left())?],
            level: ConsistencyLevel::SingleTransaction,
            held_by: "a read transaction",
            notes: vec![format!("one reader only; {cause}")],
        })
    }

    /// Rollback journal: nobody can commit while any reader holds its SHARED lock, so readers whose
    /// locks overlap see the same state. A writer that already waits to commit keeps later readers
    /// out; then all step back, let it pass and start over.
    fn rollback_journal(&self) -> Result<Acquired> {
        loop {
            // The first waits as long as it may, the others only for a moment: they may be waiting
            // for a writer that waits for the first.
            let first = self.reader(self.left())?;
            let mut connections = vec![first];
            let others = (0..self.wanted.sessions)
                .map(|_| self.reader(self.left().min(ROUND)))
                .collect::<Result<Vec<_>>>();
            match others {
                Ok(others) => connections.extend(others),
                Err(SourceError::Locked { .. }) if self.left() > Duration::ZERO => continue,
                Err(error) => return Err(error),
            }
            return Ok(Acquired {
                connections,
                level: ConsistencyLevel::SharedSnapshot,
                held_by: "SHARED file locks, held to the end",
                notes: vec![
                    "rollback-journal mode: writers of this database wait while we read".to_owned(),
                ],
            });
        }
    }
}

/// Begins a transaction and makes its first read, which fixes what it sees.
fn stand_still(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("BEGIN; SELECT 1 FROM main.sqlite_schema LIMIT 1")
}
