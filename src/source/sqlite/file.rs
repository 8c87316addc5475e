//! The database file: how it is opened so that reading leaves no trace on it.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::failure;
use crate::model::RelationKind;
use crate::source::{Result, SourceError};

/// How connections of a source open the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// `mode=ro`, with SQLite's locks.
    Shared,
    /// `immutable=1`, without locks: a WAL database without a `-wal` file, where none can be made.
    Immutable,
}

/// A database file, and what it takes to leave it as it was found.
///
/// Everything that holds a connection holds the file too, and drops it after the connection: the
/// last one to go removes the empty `-wal` and `-shm` that SQLite made for us.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    /// Neither `-wal` nor `-shm` was there before our first connection.
    bare: bool,
}

impl DatabaseFile {
    /// Finds the file that `path` names, without opening it.
    ///
    /// # Errors
    /// [`SourceError::DatabaseMissing`], [`SourceError::Denied`], or
    /// [`SourceError::NotADatabase`] for what is not a regular file.
    pub(super) fn find(path: &Path) -> Result<Arc<Self>> {
        let shown = path.display().to_string();
        let found = std::fs::canonicalize(path).and_then(|path| {
            let metadata = std::fs::metadata(&path)?;
            if metadata.is_file() {
                rustix::fs::access(&path, rustix::fs::Access::READ_OK)?;
            }
            Ok((path, metadata))
        });
        let (path, metadata) = found.map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                failure::denied(shown.clone(), failure::one_line(&error))
            }
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => missing(path, &error),
            _ => SourceError::Unreachable {
                target: shown.clone(),
                why: failure::one_line(&error),
            },
        })?;
        if !metadata.is_file() {
            return Err(SourceError::NotADatabase {
                path: shown,
                why: "it is not a regular file".to_owned(),
            });
        }
        let bare = !beside(&path, "-wal").exists() && !beside(&path, "-shm").exists();
        Ok(Arc::new(Self { path, bare }))
    }

    /// The absolute path, for people and for the identity.
    pub(super) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Opens the file for reading.
    pub(super) fn open(&self, access: Access, busy: Duration) -> rusqlite::Result<Connection> {
        let query = match access {
            Access::Shared => "mode=ro",
            Access::Immutable => "mode=ro&immutable=1",
        };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        self.open_as(query, flags, busy)
    }

    /// Opens the file for writing: only ever to hold a lock, or to let SQLite tidy up.
    pub(super) fn open_writable(&self, busy: Duration) -> rusqlite::Result<Connection> {
        self.open_as("mode=rw", OpenFlags::SQLITE_OPEN_READ_WRITE, busy)
    }

    fn open_as(
        &self,
        query: &str,
        flags: OpenFlags,
        busy: Duration,
    ) -> rusqlite::Result<Connection> {
        let flags = flags | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(uri(&self.path, query), flags)?;
        // The last connection to close would move the whole WAL into the user's file.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.busy_timeout(busy)?;
        Ok(connection)
    }

    /// The file's bytes, to look at beside SQLite, which may be writing them.
    pub(super) fn bytes(&self) -> io::Result<Arc<File>> {
        descriptor(&self.path, &std::fs::metadata(&self.path)?)
    }

    /// What a stranger can see of the file's state without SQLite's help.
    pub(super) fn stamp(&self) -> io::Result<Stamp> {
        let metadata = std::fs::metadata(&self.path)?;
        let (wal, change_counter) = header(descriptor(&self.path, &metadata)?.as_ref())?;
        Ok(Stamp {
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            change_counter,
            wal,
        })
    }

    /// Whether there is a `-wal` file with anything in it.
    pub(super) fn has_wal(&self) -> bool {
        self.has_beside("-wal")
    }

    /// Whether there is a `-journal` file with anything in it.
    pub(super) fn has_journal(&self) -> bool {
        self.has_beside("-journal")
    }

    fn has_beside(&self, suffix: &str) -> bool {
        std::fs::metadata(beside(&self.path, suffix)).is_ok_and(|file| file.len() > 0)
    }
}

impl Drop for DatabaseFile {
    fn drop(&mut self) {
        let wal = beside(&self.path, "-wal");
        let ours = self.bare && std::fs::metadata(&wal).is_ok_and(|wal| wal.len() == 0);
        if !ours {
            return;
        }
        // SQLite itself removes both files when the last connection closes, under the lock that
        // keeps others out; with an empty WAL there is nothing to move into the database. Where it
        // may not, the empty files stay, which harms nobody.
        if let Ok(connection) = self.open_writable(Duration::ZERO) {
            let tidied = connection
                .query_row("PRAGMA schema_version", [], |_| Ok(()))
                .and_then(|()| {
                    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
                });
            if let Err(error) = tidied {
                tracing::debug!(%error, path = %self.path.display(), "left an empty -wal behind");
            }
        }
    }
}

/// A file's state, comparable between two moments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Bytes.
    pub(super) size: u64,
    /// Modification time: seconds and nanoseconds since 1970.
    pub(super) modified: (i64, i64),
    /// The header's change counter; 0 for an empty file.
    pub(super) change_counter: u32,
    /// The header says that the database is in WAL mode.
    pub(super) wal: bool,
}

impl Stamp {
    /// What differs between two stamps, in one line; `None` when nothing does.
    pub(super) fn difference(&self, later: &Self) -> Option<String> {
        if self.change_counter != later.change_counter {
            Some(format!(
                "the header's change counter went from {} to {}",
                self.change_counter, later.change_counter
            ))
        } else if self.size != later.size {
            Some(format!(
                "its size went from {} to {}",
                self.size, later.size
            ))
        } else if self != later {
            Some("it was written to".to_owned())
        } else {
            None
        }
    }
}

/// The one descriptor of ours on a file.
fn descriptor(path: &Path, metadata: &Metadata) -> io::Result<Arc<File>> {
    // POSIX drops all locks of a process on a file when it closes any descriptor of it, SQLite's
    // included. So descriptors of ours are opened once for each file and stay open.
    static OPEN: Mutex<BTreeMap<(u64, u64), Arc<File>>> = Mutex::new(BTreeMap::new());
    let id = (metadata.dev(), metadata.ino());
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(file) = open.get(&id) {
        return Ok(Arc::clone(file));
    }
    let file = Arc::new(File::open(path)?);
    open.insert(id, Arc::clone(&file));
    Ok(file)
}

/// The header's journal mode (is it WAL?) and change counter.
fn header(file: &File) -> io::Result<(bool, u32)> {
    let mut bytes = [0; 28];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok((false, 0)),
        Err(error) => return Err(error),
    }
    let counter = u32::from_be_bytes([bytes[24], bytes[25], bytes[26], bytes[27]]);
    Ok((bytes[18] == 2 || bytes[19] == 2, counter))
}

fn missing(path: &Path, error: &io::Error) -> SourceError {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    SourceError::DatabaseMissing {
        target: directory.display().to_string(),
        database: path.file_name().map_or_else(
            || path.display().to_string(),
            |name| name.to_string_lossy().into_owned(),
        ),
        why: failure::one_line(error),
    }
}

/// The file of that suffix beside the database, such as `-wal`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A `file:` URI for any path: every byte that has a meaning in a URI, or none, is escaped.
fn uri(path: &Path, query: &str) -> String {
    let mut uri = String::from("file://");
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
                uri.push(char::from(byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri.push('?');
    uri.push_str(query);
    uri
}

/// Makes SQLite take `"naem"` for a misspelled column and not, as it does by default, for text.
/// Views may have been written with such text, and stay readable.
pub(super) fn forbid_text_in_double_quotes(
    connection: &Connection,
    kind: RelationKind,
) -> rusqlite::Result<()> {
    let allow = !matches!(kind, RelationKind::Table | RelationKind::Query);
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, allow)
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_escapes_what_it_must() {
        assert_eq!(
            uri(Path::new("/a b/c?d#e%f/ü.db"), "mode=ro"),
            "file:///a%20b/c%3Fd%23e%25f/%C3%BC.db?mode=ro"
        );
    }

    #[test]
    fn what_is_no_database_file_is_told_apart() {
        let directory = tempfile::tempdir().unwrap();
        let absent = DatabaseFile::find(&directory.path().join("no.db")).unwrap_err();
        assert!(
            matches!(absent, SourceError::DatabaseMissing { database, .. } if database == "no.db")
        );
        let itself = DatabaseFile::find(directory.path()).unwrap_err();
        assert!(matches!(itself, SourceError::NotADatabase { .. }));
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn stamps_say_what_differs() {
        let stamp = Stamp {
            size: 4096,
            modified: (1, 2),
            change_counter: 7,
            wal: true,
        };
        assert_eq!(stamp.difference(&stamp.clone()), None);
        let written = Stamp {
            modified: (1, 3),
            ..stamp.clone()
        };
        assert_eq!(stamp.difference(&written).unwrap(), "it was written to");
        let counted = Stamp {
            change_counter: 8,
            ..stamp.clone()
        };
        assert!(stamp.difference(&counted).unwrap().contains("from 7 to 8"));
    }
}
