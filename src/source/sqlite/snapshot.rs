//! One point in time of a database file, and the sessions that read in it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::acquire::{Acquired, Wanted, acquire};
use super::catalog;
use super::failure::{self, translate};
use super::file::{Access, DatabaseFile, Stamp};
use super::keys;
use super::pool::{Berth, Lent};
use super::reader::{Answer, Command, Job, Reader};
use super::sql;
use super::standing::{Standing, stamp};
use crate::clock::SharedClock;
use crate::model::{ChunkBounds, Key, KeySum, ReadSpec, RelationKind, SnapshotFacts};
use crate::source::dialect::{Dialect, from_item};
use crate::source::{
    Batch, BlockedSession, Result, Session, Snapshot, SnapshotRequest, SourceError,
};

/// How long ending the readers may take.
const HALT: Duration = Duration::from_secs(5);
/// How often statements are interrupted until their threads have ended.
const HALT_STEP: Duration = Duration::from_millis(2);

/// What a snapshot is opened from.
pub(super) struct Opening {
    pub(super) file: Arc<DatabaseFile>,
    pub(super) access: Access,
    pub(super) read: ReadSpec,
    pub(super) request: SnapshotRequest,
    pub(super) statement_timeout: Duration,
    pub(super) clock: SharedClock,
    pub(super) runtime: Handle,
}

impl Opening {
    /// Opens every reader and starts its thread. Blocks.
    pub(super) fn open(self) -> Result<SqliteSnapshot> {
        let stamp = self.access.stamp(&self.file)?;
        let Acquired {
            connections,
            level,
            held_by,
            notes,
        } = acquire(&Wanted {
            file: Arc::clone(&self.file),
            access: self.access,
            consistency: self.request.consistency,
            sessions: self.sessions(),
            lock_wait: self.request.lock_wait,
            clock: Arc::clone(&self.clock),
        })?;
        let standing = Standing {
            level,
            held_by,
            notes,
            taken_at: self.clock.now().to_string(),
            stamp,
        };
        self.stand(Lent::own(connections), &standing)
    }

    fn sessions(&self) -> usize {
        self.request.sessions.max(1) as usize
    }

    /// Reads on connections that stand at a point in time. Blocks.
    pub(super) fn stand(self, lent: Lent, standing: &Standing) -> Result<SqliteSnapshot> {
        let row_name = self.check(lent.all())?.map(|key| key.column);
        // Where there is one connection in all, the count goes between its batches.
        let sessions = self.sessions().min(lent.all().len());
        let facts = standing.facts(u32::try_from(sessions).unwrap_or(u32::MAX));
        self.start(lent, row_name, facts, standing.stamp.clone())
    }

    /// Compares the plan with the schema as the snapshot has it, and readies the connections.
    fn check(&self, connections: &[Connection]) -> Result<Option<Key>> {
        let relation = &self.read.relation;
        for connection in connections {
            super::file::forbid_text_in_double_quotes(connection, self.read.kind)
                .map_err(|error| translate(&error, &relation.to_string()))?;
        }
        let keys = match connections.first() {
            Some(connection) => catalog::recheck(connection, &self.read)?,
            None => Vec::new(),
        };
        // Ranges of anything but the stored key might leave rows out.
        if let Some(planned) = self.read.key.as_ref().filter(|key| !keys.contains(key)) {
            return Err(SourceError::PlanMismatch {
                table: relation.to_string(),
                why: format!(
                    "{planned} is no key of it that chunks can be read by, or is another one"
                ),
            });
        }
        Ok(keys.into_iter().next())
    }

    fn start(
        self,
        lent: Lent,
        row_name: Option<String>,
        facts: SnapshotFacts,
        stamp: Option<Stamp>,
    ) -> Result<SqliteSnapshot> {
        let stop = CancellationToken::new();
        let job = Arc::new(Job {
            relation: self.read.relation.clone(),
            columns: self.read.columns.clone(),
            row_name,
            batch_bytes: self.request.batch_bytes,
            per_chunk: self.request.consistency == crate::model::Consistency::PerChunk,
            statement_timeout: self.statement_timeout,
            clock: Arc::clone(&self.clock),
            stop: stop.clone(),
        });
        // Readers that already run must end when a later one cannot start.
        let guard = stop.clone().drop_guard();
        let berth = lent.berth();
        let readers = lent
            .moorings(&berth)
            .into_iter()
            .enumerate()
            .map(|(at, mooring)| {
                Reader::start(
                    at + 1,
                    mooring,
                    Arc::clone(&self.file),
                    Arc::clone(&job),
                    self.runtime.clone(),
                )
            })
            .collect::<Result<Vec<_>>>();
        if readers.is_err() {
            // Those that run already bring theirs back when they have ended.
            berth.release();
        }
        let readers = readers?;
        guard.disarm();
        let free = (0..facts.readers as usize).rev().collect();
        Ok(SqliteSnapshot(Arc::new(Shared {
            job,
            read: self.read,
            facts,
            readers,
            berth,
            free: Mutex::new(free),
            stop,
            file: self.file,
            stamp,
        })))
    }
}

/// What a snapshot and its sessions have in common; the last to go ends the readers.
struct Shared {
    job: Arc<Job>,
    read: ReadSpec,
    facts: SnapshotFacts,
    readers: Vec<Reader>,
    /// Where their connections go in the end.
    berth: Arc<Berth>,
    /// Readers that no session uses.
    free: Mutex<Vec<usize>>,
    stop: CancellationToken,
    file: Arc<DatabaseFile>,
    /// The file at the beginning, where only comparing tells whether it changed.
    stamp: Option<Stamp>,
}

impl Shared {
    fn object(&self) -> String {
        self.read.relation.to_string()
    }

    fn lost(&self) -> SourceError {
        failure::interrupted(&self.object())
    }

    fn condition(&self, chunk: &ChunkBounds) -> Result<Option<String>> {
        Dialect::Sqlite
            .predicate(chunk, self.read.key.as_ref())
            .map_err(|error| SourceError::Unsupported {
                what: format!("cannot read {} by {chunk}", self.object()),
                why: error.to_string(),
                fix: "make a plan with --chunking auto".to_owned(),
            })
    }

    /// The keys of a chunk's rows.
    fn keys_sql(&self, chunk: &ChunkBounds, columns: &[String]) -> Result<String> {
        let columns: Vec<String> = columns.iter().map(|name| sql::quote(name)).collect();
        Ok(format!(
            "SELECT {} FROM {}{}",
            columns.join(", "),
            self.from(),
            sql::where_clause(
                self.condition(chunk)?.as_deref(),
                self.read.filter.as_deref()
            )
        ))
    }

    fn chunk_sql(&self, chunk: &ChunkBounds) -> Result<String> {
        let key = self.read.key.as_ref();
        let condition = self.condition(chunk)?;
        let filter = self.read.filter.as_deref();
        let stored = self.read.kind == RelationKind::Table
            && filter.is_none()
            && key.is_none_or(keys::is_stored);
        Ok(sql::select(
            &self.from(),
            &self.read.columns,
            self.job.row_name.as_deref(),
            stored,
            &sql::where_clause(condition.as_deref(), filter),
        ))
    }

    fn count_sql(&self, chunk: &ChunkBounds) -> Result<String> {
        let condition = self.condition(chunk)?;
        Ok(format!(
            "SELECT count(*) FROM {}{}",
            self.from(),
            sql::where_clause(condition.as_deref(), self.read.filter.as_deref())
        ))
    }

    fn from(&self) -> String {
        from_item(&self.read.relation, self.read.query.as_deref())
    }

    /// Ends every statement, transaction and thread.
    async fn halt(&self) {
        self.stop.cancel();
        let all_over = async {
            // An interruption between two statements is lost, so it is repeated.
            while !self.readers.iter().all(Reader::is_over) {
                self.readers.iter().for_each(Reader::interrupt);
                tokio::time::sleep(HALT_STEP).await;
            }
        };
        if tokio::time::timeout(HALT, all_over).await.is_err() {
            tracing::warn!(object = %self.object(), "a reader did not stop in time");
        }
        self.berth.release();
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.stop.cancel();
        self.readers.iter().for_each(Reader::interrupt);
        self.berth.release();
    }
}

/// One point in time of a SQLite database.
pub(super) struct SqliteSnapshot(Arc<Shared>);

impl SqliteSnapshot {
    /// Counts on the last reader, between its chunks.
    async fn count_by(&self, sql: String) -> Result<u64> {
        let shared = &self.0;
        let Some(reader) = shared.readers.last() else {
            return Err(shared.lost());
        };
        let (to, answer) = oneshot::channel();
        // Dropping this future gives the count up. A read on the same connection must go on.
        let asked = Asked {
            gone: shared.stop.child_token(),
            reader: (shared.readers.len() > 1).then_some(reader),
        };
        let told = reader.tell(Command {
            sql,
            gone: asked.gone.clone(),
            to: Answer::Count(to),
        });
        if !told {
            return Err(shared.lost());
        }
        answer.await.unwrap_or_else(|_| Err(shared.lost()))
    }
}

#[async_trait]
impl Snapshot for SqliteSnapshot {
    fn facts(&self) -> SnapshotFacts {
        self.0.facts.clone()
    }

    /// Hands out a reader that no other session uses: a session that is dropped gives its back.
    async fn session(&self) -> Result<Box<dyn Session>> {
        if self.0.stop.is_cancelled() {
            return Err(self.0.lost());
        }
        let mut free = self.0.free.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = free.pop().ok_or_else(|| SourceError::TooManyConnections {
            target: self.0.file.name(),
            why: format!(
                "all {} readers of the snapshot are in use",
                self.0.facts.readers
            ),
        })?;
        Ok(Box::new(SqliteSession {
            shared: Arc::clone(&self.0),
            reader,
            progress: Progress::Idle,
        }))
    }

    async fn count(&self) -> Result<u64> {
        self.count_of(&ChunkBounds::All).await
    }

    async fn count_of(&self, chunk: &ChunkBounds) -> Result<u64> {
        let sql = self.0.count_sql(chunk)?;
        self.count_by(sql).await
    }

    async fn count_where(&self, filter: Option<&str>) -> Result<u64> {
        let from = self.0.from();
        let condition = sql::where_clause(None, filter);
        self.count_by(format!("SELECT count(*) FROM {from}{condition}"))
            .await
    }

    fn holds_each_chunk(&self) -> bool {
        // A read transaction or a file lock; where there is only a stamp, it is compared at the end.
        self.0.stamp.is_none()
    }

    async fn blocked(&self) -> Result<Vec<BlockedSession>> {
        // File locks have no list of those who wait.
        Ok(Vec::new())
    }

    /// Stops all reading for good: afterwards the snapshot can only be closed.
    async fn cancel(&self) {
        self.0.halt().await;
    }

    async fn close(&self) -> Result<()> {
        self.0.halt().await;
        let Some(before) = &self.0.stamp else {
            return Ok(());
        };
        let after = stamp(&self.0.file)?;
        let appeared = self
            .0
            .file
            .has_wal()
            .then(|| "a -wal file appeared beside it".to_owned());
        match before.difference(&after).or(appeared) {
            None => Ok(()),
            Some(why) => Err(SourceError::Changed {
                object: self.0.file.name(),
                why,
            }),
        }
    }
}

/// A command that was given; gives it up when dropped.
struct Asked<'a> {
    gone: CancellationToken,
    /// The reader whose statements are to be interrupted then.
    reader: Option<&'a Reader>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.gone.cancel();
        if let Some(reader) = self.reader {
            reader.interrupt();
        }
    }
}

/// The far end of a chunk's stream.
struct Stream {
    gone: CancellationToken,
    batches: mpsc::Receiver<Result<Option<Batch>>>,
}

/// Where a session stands.
enum Progress {
    /// No chunk was begun, or its read failed.
    Idle,
    /// Batches are to come.
    Reading(Stream),
    /// SQLite said that the chunk has no more rows.
    Ended,
}

/// Reads chunks on one of a snapshot's readers.
struct SqliteSession {
    shared: Arc<Shared>,
    reader: usize,
    progress: Progress,
}

impl SqliteSession {
    /// Gives up a stream that was not read to its end.
    fn abandon(&mut self) {
        if let Progress::Reading(stream) = std::mem::replace(&mut self.progress, Progress::Idle) {
            stream.gone.cancel();
            self.shared.readers[self.reader].interrupt();
        }
    }
}

#[async_trait]
impl Session for SqliteSession {
    async fn key_sum(&mut self, chunk: &ChunkBounds, columns: &[String]) -> Result<KeySum> {
        self.abandon();
        let (to, answer) = oneshot::channel();
        let gone = self.shared.stop.child_token();
        // Whoever does not wait any more ends the statement.
        let guard = gone.clone().drop_guard();
        let told = self.shared.readers[self.reader].tell(Command {
            sql: self.shared.keys_sql(chunk, columns)?,
            gone,
            to: Answer::Sum(to),
        });
        if !told {
            return Err(self.shared.lost());
        }
        let sum = answer.await.unwrap_or_else(|_| Err(self.shared.lost()));
        drop(guard);
        sum
    }

    async fn begin(&mut self, chunk: &ChunkBounds) -> Result<()> {
        self.abandon();
        let sql = self.shared.chunk_sql(chunk)?;
        // One batch waits while the next is filled.
        let (to, batches) = mpsc::channel(1);
        let gone = self.shared.stop.child_token();
        let told = self.shared.readers[self.reader].tell(Command {
            sql,
            gone: gone.clone(),
            to: Answer::Batches(to),
        });
        if !told {
            return Err(self.shared.lost());
        }
        self.progress = Progress::Reading(Stream { gone, batches });
        Ok(())
    }

    async fn next(&mut self) -> Result<Option<Batch>> {
        let message = match &mut self.progress {
            Progress::Reading(stream) => stream.batches.recv().await,
            Progress::Ended => return Ok(None),
            Progress::Idle => None,
        };
        match message {
            Some(Ok(Some(batch))) => Ok(Some(batch)),
            Some(Ok(None)) => {
                self.progress = Progress::Ended;
                Ok(None)
            }
            Some(Err(error)) => {
                self.progress = Progress::Idle;
                Err(error)
            }
            // There is no read, or its thread went without SQLite's word that all rows came.
            None => {
                self.progress = Progress::Idle;
                Err(self.shared.lost())
            }
        }
    }
}

impl Drop for SqliteSession {
    fn drop(&mut self) {
        self.abandon();
        self.shared
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(self.reader);
    }
}
