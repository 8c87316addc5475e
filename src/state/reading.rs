//! Opens a store that may not be written, to look back all the same.

use std::path::{Path, PathBuf};

use rusqlite::backup::Backup;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{BUSY_TIMEOUT, Result, StateError, Store, migrate};

/// Pages that are copied at a time: all of them.
const WHOLE: std::ffi::c_int = -1;

impl Store {
    /// Opens the store at `path` to look back, whether or not it may be written: where the file, its
    /// directory or its file system is read-only, the store is read as it is, and an older one is
    /// migrated in memory.
    ///
    /// # Errors
    /// Those of [`Store::open_existing`], but for [`StateError::ReadOnly`].
    pub fn open_to_read(path: &Path) -> Result<Self> {
        match Self::open_existing(path) {
            Err(StateError::ReadOnly { .. } | StateError::Io { .. }) => Self::open_read_only(path),
            other => other,
        }
    }

    /// Opens the store at `path` so that nothing can change it.
    ///
    /// # Errors
    /// [`StateError::Missing`], [`StateError::Newer`], [`StateError::Corrupt`], [`StateError::Io`].
    pub fn open_read_only(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let (connection, version) = look(path)?;
        let current = version == migrate::MIGRATIONS.len();
        let connection = if current {
            connection
        } else {
            in_memory(&connection)
                .map_err(|error| StateError::from_sqlite(&error, "read", &name))
                .and_then(|copy| migrate::raise(&copy, &name, migrate::MIGRATIONS).map(|()| copy))?
        };
        Ok(Self {
            connection,
            path: name,
            read_only: true,
        })
    }
}

/// The store's file, opened read-only, and its version.
pub(super) fn look(path: &Path) -> Result<(Connection, usize)> {
    let name = path.display().to_string();
    match path.try_exists() {
        Ok(true) => {}
        Ok(false) => return Err(StateError::Missing { path: name }),
        Err(error) => return Err(StateError::from_io(&error, "open", &name)),
    }
    let connection = connect(path, &name)?;
    let version = migrate::look(&connection, &name, migrate::MIGRATIONS.len())?;
    Ok((connection, version))
}

/// A connection that reads, with SQLite's locks where they can be had.
fn connect(path: &Path, name: &str) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let shared = Connection::open_with_flags(path, flags).and_then(tried);
    match shared {
        Err(error) if cannot_lock(&error) => {}
        other => return other.map_err(|error| StateError::from_sqlite(&error, "open", name)),
    }
    // In WAL mode even a reader needs files beside the store. Where none can be made nobody writes
    // either, so the file stands still, unless its last changes never left the log.
    let log = beside(path, "-wal");
    if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
        return Err(StateError::Io {
            action: "read",
            path: name.to_owned(),
            why: format!(
                "its last changes are in {}, which cannot be read where nothing may be written",
                log.display()
            ),
            denied: true,
        });
    }
    let uri = std::path::absolute(path)
        .ok()
        .and_then(|path| url::Url::from_file_path(path).ok());
    let uri = uri.map(|mut uri| {
        uri.set_query(Some("mode=ro&immutable=1"));
        uri.to_string()
    });
    let flags = flags | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(uri.as_deref().unwrap_or(name), flags)
        .and_then(tried)
        .map_err(|error| StateError::from_sqlite(&error, "open", name))
}

/// Whether the files that readers share their locks in could not be made or opened.
fn cannot_lock(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied)
    )
}

/// The connection, once it has read something: SQLite opens nothing before.
fn tried(connection: Connection) -> rusqlite::Result<Connection> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

fn in_memory(connection: &Connection) -> rusqlite::Result<Connection> {
    let mut copy = Connection::open_in_memory()?;
    Backup::new(connection, &mut copy)?.step(WHOLE)?;
    Ok(copy)
}

/// A file beside the store, its name with a suffix.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
