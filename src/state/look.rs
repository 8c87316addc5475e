//! Looking at a store without changing it, for `doctor`.

use std::path::Path;

use rustix::fs::Access;

use super::{Result, StateError, Store, migrate};

/// What a store's file is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreFacts {
    /// Its size; `None` where there is none yet and one can be made.
    pub bytes: Option<u64>,
    /// Its schema's version; 0 where there is none yet.
    pub version: usize,
    /// The version that this program brings it to.
    pub known: usize,
}

impl Store {
    /// Whether the store at `path` could be used, or made: it is neither made nor migrated.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub fn look(path: &Path) -> Result<StoreFacts> {
        let name = path.display().to_string();
        let system = |error: &std::io::Error| StateError::from_io(error, "open", &name);
        let known = migrate::MIGRATIONS.len();
        match std::fs::metadata(path) {
            Ok(file) => Ok(StoreFacts {
                bytes: Some(file.len()),
                version: Self::version(path)?,
                known,
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                may_be_made(path).map_err(|error| StateError::from_io(&error, "create", &name))?;
                Ok(StoreFacts {
                    bytes: None,
                    version: 0,
                    known,
                })
            }
            Err(error) => Err(system(&error)),
        }
    }

    /// The version of a store that could be written now.
    fn version(path: &Path) -> Result<usize> {
        let store = Self::writable(path)?;
        let version = migrate::look(&store.connection, &store.path, migrate::MIGRATIONS.len())?;
        // Takes the lock that writing takes, and lets it go.
        let tried = store.connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK");
        tried.map_err(|error| store.failed(&error, "write"))?;
        Ok(version)
    }
}

/// Whether a file could be made at `path`, with the directories above it.
fn may_be_made(path: &Path) -> std::io::Result<()> {
    let absolute = std::path::absolute(path)?;
    let above = absolute.ancestors().skip(1).find(|above| above.exists());
    let above = above.unwrap_or(Path::new("/"));
    if !above.is_dir() {
        return Err(std::io::ErrorKind::NotADirectory.into());
    }
    rustix::fs::access(above, Access::WRITE_OK | Access::EXEC_OK)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn looking_makes_nothing_and_changes_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("deep/state.db");
        let none = Store::look(&path).expect("could be made");
        assert_eq!((none.bytes, none.version), (None, 0));
        assert!(!directory.path().join("deep").exists());
        drop(Store::open(&path).expect("a store"));
        let some = Store::look(&path).expect("could be used");
        assert!(some.bytes.is_some_and(|bytes| bytes > 0));
        assert_eq!(some.version, some.known);
        std::fs::write(
            &path,
            "not a store, and longer than a header of SQLite would be at the least: \
                               a hundred bytes and more",
        )
        .expect("written");
        assert!(matches!(
            Store::look(&path),
            Err(StateError::Corrupt { .. })
        ));
    }

    #[test]
    fn a_store_of_another_version_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state.db");
        drop(Store::open_with(&path, &migrate::MIGRATIONS[..2]).expect("an old store"));
        let old = Store::look(&path).expect("could be used");
        assert_eq!((old.version, old.known), (2, migrate::MIGRATIONS.len()));
        let newer = Connection::open(&path).expect("SQLite");
        newer
            .execute_batch("PRAGMA user_version = 999")
            .expect("set");
        drop(newer);
        assert!(matches!(Store::look(&path), Err(StateError::Newer { .. })));
    }
}
