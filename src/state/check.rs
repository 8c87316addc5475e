//! Whether a store is sound.

use std::path::Path;

use rusqlite::Connection;

use super::{Result, StateError, Store, migrate, reading};
use crate::model::{Checked, Contents, RunId};

/// Most problems that are told; SQLite's own limit for what it finds.
const PROBLEMS: usize = 100;

impl Store {
    /// Checks a store without changing it: SQLite's integrity check, references between rows, and that
    /// every run and plan can be understood.
    ///
    /// # Errors
    /// [`StateError::Damaged`] with all that was found; [`StateError::Missing`],
    /// [`StateError::Newer`], [`StateError::Corrupt`] where the file is no store that can be checked.
    pub fn check(path: &Path) -> Result<Checked> {
        let (connection, version) = reading::look(path)?;
        let name = path.display().to_string();
        let failed = |error: rusqlite::Error| StateError::from_sqlite(&error, "read", &name);
        let mut problems = integrity(&connection).map_err(failed)?;
        problems.extend(orphans(&connection).map_err(failed)?);
        // What SQLite finds broken is not worth reading further.
        let contents = if problems.is_empty() {
            let store = Self::open_read_only(path)?;
            problems.extend(store.misunderstood()?);
            Some(store.contents()?)
        } else {
            None
        };
        let Some(contents) = contents.filter(|_| problems.is_empty()) else {
            problems.truncate(PROBLEMS);
            return Err(StateError::Damaged {
                path: name,
                problems,
            });
        };
        let number = |sql: &str| -> Result<u64> {
            let found: i64 = connection
                .query_row(sql, [], |row| row.get(0))
                .map_err(failed)?;
            Ok(found.unsigned_abs())
        };
        let page = number("PRAGMA page_size")?;
        Ok(Checked {
            version,
            current: migrate::MIGRATIONS.len(),
            bytes: number("PRAGMA page_count")? * page,
            free_bytes: number("PRAGMA freelist_count")? * page,
            log_bytes: std::fs::metadata(reading::beside(path, "-wal")).map_or(0, |log| log.len()),
            contents,
        })
    }

    /// What the store holds.
    pub(super) fn contents(&self) -> Result<Contents> {
        let counted: Vec<(String, i64)> =
            self.rows("SELECT status, count(*) FROM runs GROUP BY status", [])?;
        let scopes: Option<i64> = self.value("SELECT count(*) FROM scopes", [])?;
        let newest: Option<Option<String>> = self.value("SELECT max(started_at) FROM runs", [])?;
        Ok(Contents {
            scopes: scopes.unwrap_or(0).unsigned_abs(),
            runs: counted
                .into_iter()
                .map(|(status, count)| (status, count.unsigned_abs()))
                .collect(),
            newest: newest.flatten(),
        })
    }

    /// Runs, plans and what belongs to them that this program cannot make sense of.
    fn misunderstood(&self) -> Result<Vec<String>> {
        let ids: Vec<(String,)> = self.rows("SELECT run_id FROM runs ORDER BY id", [])?;
        let unclear = ids.into_iter().filter_map(|(id,)| {
            let found = match self.stored(&RunId::stored(&id)) {
                Ok(Some(_)) | Err(StateError::NoPlan { .. }) => return None,
                Ok(None) => "it has no history".to_owned(),
                Err(StateError::Corrupt { why, .. }) => why,
                Err(error) => error.to_string(),
            };
            Some(format!("run {id}: {found}"))
        });
        Ok(unclear.take(PROBLEMS).collect())
    }
}

fn integrity(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut check = connection.prepare("PRAGMA integrity_check")?;
    let found = check.query_map([], |row| row.get::<_, String>(0))?;
    let found: Vec<String> = found.collect::<rusqlite::Result<_>>()?;
    Ok(found.into_iter().filter(|line| line != "ok").collect())
}

/// Rows that refer to a run or history that is not there, counted by table.
fn orphans(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut check = connection.prepare(
        "SELECT \"table\", parent, count(*) FROM pragma_foreign_key_check
         GROUP BY \"table\", parent ORDER BY 1, 2",
    )?;
    let found = check.query_map([], |row| {
        let (table, parent, count): (String, String, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(format!(
            "{count} rows of {table} belong to rows of {parent} that are not there"
        ))
    })?;
    found.collect()
}
