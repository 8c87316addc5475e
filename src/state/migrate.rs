//! Brings a store to this program's version, keeping a copy of the old one.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::error::StateError;
use super::reading::beside;

/// What brings a store from version 0 (an empty file) to 1, from 1 to 2, and so on.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("nulled.sql"),
    include_str!("lookups.sql"),
    include_str!("findings.sql"),
    include_str!("rebuilt.sql"),
    include_str!("resume.sql"),
    include_str!("teachers.sql"),
    include_str!("drift.sql"),
    include_str!("waits.sql"),
    include_str!("sets.sql"),
    include_str!("windows.sql"),
];

/// Marks a SQLite file as ours: `ixtr` in ASCII.
const APPLICATION_ID: i64 = 0x6978_7472;

/// Migrates the store to the version that `migrations` lead to. Several processes may do so at
/// once: the version is looked at again under the write lock.
///
/// # Errors
/// Those of [`check`], and what the system refuses.
pub(super) fn migrate(
    connection: &Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<(), StateError> {
    let name = path.display().to_string();
    let target = migrations.len();
    let version = look(connection, &name, target)?;
    if version == target {
        return Ok(());
    }
    if version > 0 {
        keep_copy(connection, path, version)?;
    }
    raise(connection, &name, migrations)
}

/// The same without a copy: for a store in memory.
pub(super) fn raise(
    connection: &Connection,
    name: &str,
    migrations: &[&str],
) -> Result<(), StateError> {
    let failed = |error: rusqlite::Error| StateError::from_sqlite(&error, "migrate", name);
    let target = migrations.len();
    let transaction =
        Transaction::new_unchecked(connection, TransactionBehavior::Immediate).map_err(failed)?;
    let version = check(&transaction, name, target)?;
    for migration in &migrations[version..] {
        transaction.execute_batch(migration).map_err(failed)?;
    }
    let settings =
        format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {target}");
    transaction.execute_batch(&settings).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// [`check`] in one read transaction: another process may be creating the store meanwhile, and a
/// version from before its commit beside a schema from after it looks like a stranger's file.
pub(super) fn look(connection: &Connection, path: &str, known: usize) -> Result<usize, StateError> {
    let transaction = connection
        .unchecked_transaction()
        .map_err(|error| StateError::from_sqlite(&error, "read", path))?;
    check(&transaction, path, known)
}

/// The store's version, after making sure that it is ours and not newer than `known`; 0 for an
/// empty file. Changes nothing.
///
/// # Errors
/// [`StateError::Newer`], [`StateError::Corrupt`] for a file that is not ours.
fn check(connection: &Connection, path: &str, known: usize) -> Result<usize, StateError> {
    let ask = |sql: &str| -> Result<i64, StateError> {
        connection
            .query_row(sql, [], |row| row.get(0))
            .map_err(|error| StateError::from_sqlite(&error, "read", path))
    };
    let version = ask("PRAGMA user_version")?;
    let application = ask("PRAGMA application_id")?;
    let empty = ask("SELECT count(*) FROM sqlite_schema")? == 0;
    let ours = application == APPLICATION_ID && version > 0;
    let fresh = application == 0 && version == 0 && empty;
    if !ours && !fresh {
        return Err(StateError::Corrupt {
            path: path.to_owned(),
            why: "it is a SQLite database, but not one of ixtract's state stores".to_owned(),
        });
    }
    match usize::try_from(version) {
        Ok(version) if version <= known => Ok(version),
        _ => Err(StateError::Newer {
            path: path.to_owned(),
            version,
            known: i64::try_from(known).unwrap_or(i64::MAX),
        }),
    }
}

/// Keeps the store as it is beside it, as `<file>.v<version>.bak`.
fn keep_copy(connection: &Connection, path: &Path, version: usize) -> Result<(), StateError> {
    /// Tells the copies of one process's threads apart while they are made.
    static COPIES: AtomicU32 = AtomicU32::new(0);
    let number = COPIES.fetch_add(1, Ordering::Relaxed);
    let process = std::process::id();
    let partial = beside(path, &format!(".v{version}.{process}-{number}.tmp"));
    let copy = beside(path, &format!(".v{version}.bak"));
    let kept = copy_into(connection, &partial, path).and_then(|copied| {
        let name = path.display().to_string();
        let system = |error: std::io::Error| StateError::from_io(&error, "copy", &name);
        if usize::try_from(copied) == Ok(version) {
            std::fs::rename(&partial, &copy).map_err(system)
        } else {
            // Another process has migrated in between; its copy is the good one.
            std::fs::remove_file(&partial).map_err(system)
        }
    });
    if kept.is_err() {
        // The error that is reported came first; what is left behind is only a partial copy.
        let _ = std::fs::remove_file(&partial);
    }
    kept
}

/// Copies the store as one transaction sees it, and returns the copy's version.
pub(super) fn copy_into(
    connection: &Connection,
    target: &Path,
    path: &Path,
) -> Result<i64, StateError> {
    let name = path.display().to_string();
    // SQLite fills an empty file and keeps its mode.
    super::create_private(target).map_err(|error| StateError::from_io(&error, "copy", &name))?;
    let copy = || {
        connection.execute("VACUUM INTO ?1", [target.to_string_lossy()])?;
        Connection::open(target)?.query_row("PRAGMA user_version", [], |row| row.get(0))
    };
    copy().map_err(|error| StateError::from_sqlite(&error, "copy", &name))
}
