//! A SQLite database file as a source.
//!
//! The file belongs to somebody else: it is opened read-only, never checkpointed, and its bytes are
//! the same before and after. Readers of one snapshot are opened together (`acquire`) and each
//! runs on a thread of its own (`reader`), because SQLite's calls block.

mod acquire;
mod catalog;
mod decode;
mod examine;
mod failure;
mod file;
mod joint;
mod keys;
mod marks;
mod ordered;
mod pages;
mod pool;
mod query;
mod reader;
mod snapshot;
mod spread;
mod sql;
mod standing;
mod statistics;
#[cfg(test)]
mod tests;
mod types;

use std::cmp::Ordering;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, ErrorCode};
use tokio::runtime::Handle;

use super::dialect::{Dialect, from_item, quote_identifier};
use super::mark;
use super::{
    Capabilities, Catalogue, ConnectOptions, Joint, Result, Snapshot, SnapshotRequest, Source,
    SourceError,
};
use crate::clock::SharedClock;
use crate::model::{
    Check, ConnectionLoad, Consistency, Key, KeyDensity, KeyValue, MarkKind, ReadSpec,
    RelationKind, Selection, Settled, SourceIdentity, SourceKind, Statistics, Table, TypeOptions,
    Watermark, Window,
};
use file::{Access, DatabaseFile};
use joint::{Basis, SqliteJoint};
use ordered::Walk;
use spread::Spread;

/// Readers that a process may open: there is no server to count them, only file descriptors.
const MOST_READERS: u32 = 64;

/// Rows are stored in the order of the key that they are stored by.
const STORED_IN_ORDER: i32 = 1000;

/// A connected SQLite database.
pub struct Sqlite {
    desk: Arc<Desk>,
    identity: SourceIdentity,
    capabilities: Capabilities,
    connect_time: Duration,
    statement_timeout: Duration,
    clock: SharedClock,
}

/// The source's own connection, for the catalogue, and the file it is open on.
struct Desk {
    // Dropped in this order: the file may tidy up only once the connection is closed.
    connection: Mutex<Connection>,
    file: Arc<DatabaseFile>,
    access: Access,
    journal: Journal,
}

/// What decides how many readers can share a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Journal {
    Rollback,
    WriteAhead { lockable: bool },
}

impl Sqlite {
    /// Opens the database file at `path`.
    ///
    /// # Errors
    /// [`SourceError::DatabaseMissing`], [`SourceError::Denied`], [`SourceError::NotADatabase`],
    /// and [`SourceError::Locked`] when a writer keeps it locked for `options.connect_timeout`.
    pub async fn connect(path: &Path, options: &ConnectOptions) -> Result<Self> {
        let start = options.clock.monotonic();
        let path = path.to_owned();
        let timeout = options.connect_timeout;
        let desk = blocking(move || Desk::open(&path, timeout)).await?;
        let identity = SourceIdentity {
            kind: SourceKind::Sqlite,
            host: String::new(),
            port: 0,
            database: desk.file.name(),
            name: options.source_name.clone(),
        };
        let max_readers = match desk.journal {
            Journal::WriteAhead { lockable: false } if desk.access == Access::Shared => 1,
            _ => MOST_READERS,
        };
        Ok(Self {
            desk: Arc::new(desk),
            identity,
            capabilities: Capabilities {
                server: format!("SQLite {}", rusqlite::version()),
                blocks_addressable: false,
                max_readers,
            },
            connect_time: options.clock.monotonic().saturating_sub(start),
            statement_timeout: options.statement_timeout,
            clock: Arc::clone(&options.clock),
        })
    }

    fn basis(&self) -> Basis {
        Basis {
            file: Arc::clone(&self.desk.file),
            access: self.desk.access,
            statement_timeout: self.statement_timeout,
            clock: Arc::clone(&self.clock),
            runtime: Handle::current(),
        }
    }

    /// Asks something of the source's own connection, off the async threads.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Connection, &DatabaseFile) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let desk = Arc::clone(&self.desk);
        blocking(move || {
            let connection = desk
                .connection
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            question(&connection, &desk.file)
        })
        .await
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sqlite")
            .field("identity", &self.identity)
            .field("access", &self.desk.access)
            .finish_non_exhaustive()
    }
}

/// Runs what blocks on tokio's threads for that.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(SourceError::Statement {
                object: "sqlite".to_owned(),
                why: failure::one_line(&error),
            }),
        },
    }
}

impl Desk {
    fn open(path: &Path, timeout: Duration) -> Result<Self> {
        let file = DatabaseFile::find(path)?;
        let name = file.name();
        let wrong = |error: rusqlite::Error| failure::translate(&error, &name);
        let (connection, access) = match first_read(&file, Access::Shared, timeout) {
            Ok(connection) => (connection, Access::Shared),
            Err(error) if needs_immutable(&file, &error) => (
                first_read(&file, Access::Immutable, timeout).map_err(wrong)?,
                Access::Immutable,
            ),
            Err(error) => return Err(wrong(error)),
        };
        let mode: String = connection
            .query_row("PRAGMA main.journal_mode", [], |row| row.get(0))
            .map_err(wrong)?;
        let journal = if mode.eq_ignore_ascii_case("wal") {
            let gate = file.open_writable(Duration::ZERO);
            let read_only = gate.and_then(|gate| gate.is_readonly("main"));
            Journal::WriteAhead {
                lockable: matches!(read_only, Ok(false)),
            }
        } else {
            Journal::Rollback
        };
        Ok(Self {
            connection: Mutex::new(connection),
            file,
            access,
            journal,
        })
    }
}

/// Opens a connection and reads the schema: only then SQLite looks at the file.
fn first_read(
    file: &DatabaseFile,
    access: Access,
    timeout: Duration,
) -> rusqlite::Result<Connection> {
    let connection = file.open(access, timeout)?;
    connection.query_row("SELECT count(*) FROM main.sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// Whether a WAL database could not be opened because there is no `-wal` file and none can be made.
/// All of its content is then in the file itself, and may be read without locks.
fn needs_immutable(file: &DatabaseFile, error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(code, Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
        && !file.has_wal()
        && file.stamp().is_ok_and(|stamp| stamp.wal)
}

#[async_trait]
impl Source for Sqlite {
    fn identity(&self) -> &SourceIdentity {
        &self.identity
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn describe(
        &self,
        table: &str,
        selection: &Selection,
        types: &TypeOptions,
    ) -> Result<Table> {
        let (table, selection, types) = (table.to_owned(), selection.clone(), types.clone());
        self.ask(move |connection, file| {
            let found = catalog::describe(connection, &file.name(), &table, &selection, &types)?;
            check_filter(connection, &found)?;
            Ok(found)
        })
        .await
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        self.ask(|connection, file| catalog::catalogue(connection, &file.name()))
            .await
    }

    async fn statistics(&self, table: &Table) -> Result<Statistics> {
        let table = table.clone();
        self.ask(move |connection, file| {
            statistics::statistics(connection, file, &table)
                .map_err(|error| failure::translate(&error, &table.relation.to_string()))
        })
        .await
    }

    async fn density(
        &self,
        table: &Table,
        key: &Key,
        buckets: u32,
    ) -> Result<(KeyDensity, Option<i32>)> {
        let (table, key) = (table.clone(), key.clone());
        self.ask(move |connection, file| {
            let relation = &table.relation;
            let look = || -> rusqlite::Result<KeyDensity> {
                if key.is_integer() {
                    return Ok(Spread::probe(connection, relation, &key)?.density(buckets));
                }
                let walk = Walk::along(connection, file, relation, &key)?;
                let rows = match walk.rows().or(walk.told()) {
                    Some(rows) => rows,
                    None => {
                        statistics::statistics(connection, file, &table)?
                            .estimate
                            .rows
                    }
                };
                Ok(walk.density(&key, rows, buckets))
            };
            let density =
                look().map_err(|error| failure::translate(&error, &relation.to_string()))?;
            Ok((density, keys::is_stored(&key).then_some(STORED_IN_ORDER)))
        })
        .await
    }

    fn watermark(&self, table: &Table, column: &str) -> Result<Watermark> {
        mark::watermark(table, column, |_| Some(MarkKind::Stored))
    }

    async fn newest(&self, table: &Table, mark: &Watermark) -> Result<Option<KeyValue>> {
        let (table, mark) = (table.clone(), mark.clone());
        self.ask(move |connection, _| marks::newest(connection, &table, &mark))
            .await
    }

    async fn bound(
        &self,
        table: &Table,
        mark: &Watermark,
        text: &str,
        like: Option<&KeyValue>,
    ) -> Result<KeyValue> {
        marks::read(table, mark, text, like)
    }

    async fn order(&self, table: &Table, one: &KeyValue, other: &KeyValue) -> Result<Ordering> {
        let (table, one, other) = (table.clone(), one.clone(), other.clone());
        self.ask(move |connection, _| marks::order(connection, &table, &one, &other))
            .await
    }

    fn window(&self, window: &Window) -> Result<String> {
        mark::condition(Dialect::Sqlite, window)
    }

    fn unmarked(&self, column: &str) -> Result<String> {
        Ok(format!("{} IS NULL", quote_identifier(column)))
    }

    async fn settled(&self, table: &Table, mark: &Watermark) -> Result<Settled> {
        // One writer at a time, whose rows are seen when it has committed; that is no help here, because
        // when a value was taken, only the writer knows.
        let why = "SQLite does not say since when its writer is at work";
        Err(mark::never_settled(table, mark, why))
    }

    async fn ping(&self) -> Result<()> {
        self.ask(|connection, file| {
            connection
                .query_row("SELECT 1", [], |_| Ok(()))
                .map_err(|error| failure::translate(&error, &file.name()))
        })
        .await
    }

    fn connect_time(&self) -> Duration {
        self.connect_time
    }

    async fn load(&self) -> Result<ConnectionLoad> {
        Ok(ConnectionLoad {
            max: MOST_READERS,
            active: 0,
        })
    }

    async fn examine(&self) -> Result<Vec<Check>> {
        let desk = Arc::clone(&self.desk);
        blocking(move || Ok(examine::examine(&desk))).await
    }

    async fn snapshot(
        &self,
        read: &ReadSpec,
        request: &SnapshotRequest,
    ) -> Result<Arc<dyn Snapshot>> {
        let opening = self.basis().opening(read, request);
        let snapshot = blocking(move || opening.open()).await?;
        Ok(Arc::new(snapshot))
    }

    async fn joint(
        &self,
        _reads: &[ReadSpec],
        request: &SnapshotRequest,
    ) -> Result<Option<Arc<dyn Joint>>> {
        if request.consistency == Consistency::PerChunk {
            return Ok(None);
        }
        let (basis, request) = (self.basis(), request.clone());
        let joint = blocking(move || SqliteJoint::open(basis, &request)).await?;
        Ok(Some(Arc::new(joint)))
    }
}

/// Has SQLite compile the filter, so that a mistake in it shows before anything is planned.
fn check_filter(connection: &Connection, table: &Table) -> Result<()> {
    let Some(filter) = table.filter.as_deref() else {
        return Ok(());
    };
    let compile = || {
        file::forbid_text_in_double_quotes(connection, table.kind)?;
        // As an argument it cannot close our parenthesis and open another, as `a) OR (b` would,
        // which put beside a chunk's bounds means something else.
        let text = format!(
            "SELECT coalesce({filter}\n, 0) FROM {}{}",
            from_item(&table.relation, table.query.as_deref()),
            sql::where_clause(None, Some(filter))
        );
        let compiled = connection.prepare(&text).map(|_| ());
        file::forbid_text_in_double_quotes(connection, RelationKind::View)?;
        compiled
    };
    compile()
        .map_err(|error: rusqlite::Error| failure::translate(&error, &table.relation.to_string()))
}
