//! Databases that tables are read from.
//!
//! Three traits, from the outside in: a [`Source`] is a connected database; a [`Snapshot`] is one
//! point in time of it, which says what it achieved; a [`Session`] reads chunks inside a snapshot as
//! Arrow batches. Dynamic dispatch happens once a batch, never once a value.
//!
//! Every implementation passes the same contract suite, `tests/it/source_contract.rs`.

mod convert;
pub mod dialect;
mod error;
mod examination;
mod frozen;
mod indexes;
mod ledger;
mod mark;
mod moment;
pub mod mssql;
pub mod mysql;
pub mod postgres;
mod remote;
mod resolve;
mod rows;
mod seats;
pub mod secrets;
mod spelt;
mod spread;
pub mod sqlite;
pub mod url;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use async_trait::async_trait;

use crate::clock::SharedClock;
use crate::model::{
    Check, ChunkBounds, ConnectionLoad, Consistency, Key, KeyDensity, KeySum, KeyValue, ReadSpec,
    RunId, Selection, Settled, SnapshotFacts, SourceIdentity, Statistics, Table, TypeOptions,
    Watermark, Window,
};

pub use error::SourceError;
pub use mark::within;
pub use resolve::wild::{Catalogue, Listed, Meant, is_wild};

/// What stands before the GRANT in a note about consistency that a missing right has cost.
pub const BY_ADMINISTRATOR: &str = "an administrator can run ";

/// Calls a function that is generic over Arrow's integer types with that of an output type; `None` where
/// that is no integer.
macro_rules! for_integer {
    ($field:expr, $call:ident($($argument:expr),*)) => {{
        use arrow::datatypes as a;
        use $crate::model::FieldType as F;
        match $field {
            F::Int8 => Some($call::<a::Int8Type>($($argument),*)),
            F::Int16 => Some($call::<a::Int16Type>($($argument),*)),
            F::Int32 => Some($call::<a::Int32Type>($($argument),*)),
            F::Int64 => Some($call::<a::Int64Type>($($argument),*)),
            F::UInt8 => Some($call::<a::UInt8Type>($($argument),*)),
            F::UInt16 => Some($call::<a::UInt16Type>($($argument),*)),
            F::UInt32 => Some($call::<a::UInt32Type>($($argument),*)),
            F::UInt64 => Some($call::<a::UInt64Type>($($argument),*)),
            _ => None,
        }
    }};
}
use for_integer;

/// Names that more than one column of a query has, as the reason for refusing it: a file's columns
/// are found by name.
fn duplicate_columns(names: &[String]) -> Option<String> {
    let mut seen = std::collections::BTreeSet::new();
    let twice = names.iter().find(|name| !seen.insert(name.as_str()))?;
    Some(format!("several of its columns are called {twice}"))
}

/// The result of asking a source.
pub type Result<T> = std::result::Result<T, SourceError>;

/// What a source can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The server as it names itself, such as `PostgreSQL 15.18`.
    pub server: String,
    /// Physical blocks can be addressed efficiently (PostgreSQL ≥ 14).
    pub blocks_addressable: bool,
    /// The most readers that can share one point in time.
    pub max_readers: u32,
}

/// A connected database. Methods ask the catalogue; none of them reads a whole table.
#[async_trait]
pub trait Source: Send + Sync {
    /// Which database this is.
    fn identity(&self) -> &SourceIdentity;

    /// What it can do.
    fn capabilities(&self) -> &Capabilities;

    /// Resolves the table's name as the user wrote it and describes the selected columns.
    ///
    /// # Errors
    /// [`SourceError::TableMissing`] names the nearest tables; [`SourceError::ColumnMissing`] the
    /// nearest columns.
    async fn describe(
        &self,
        table: &str,
        selection: &Selection,
        types: &TypeOptions,
    ) -> Result<Table>;

    /// Every relation of the users' own, none of the system's, for names with wild characters.
    async fn catalogue(&self) -> Result<Catalogue>;

    /// Rows, bytes, blocks and change counters from the catalogue or a bounded sample.
    async fn statistics(&self, table: &Table) -> Result<Statistics>;

    /// How a key's values are spread: about `buckets` parts of equal estimated rows, and the
    /// physical correlation in thousandths where it is known.
    async fn density(
        &self,
        table: &Table,
        key: &Key,
        buckets: u32,
    ) -> Result<(KeyDensity, Option<i32>)>;

    /// Values that the source's statistics already show and that their output type cannot hold, one
    /// a column at most. What the statistics do not show may still be there.
    async fn doubts(&self, _table: &Table) -> Result<Vec<Doubt>> {
        Ok(Vec::new())
    }

    /// The column that windows are to be cut on, by the name that the user wrote; one of the
    /// selected columns.
    ///
    /// # Errors
    /// [`SourceError::ColumnMissing`]; [`SourceError::Unsupported`] for a type whose values have no
    /// order that a window could be said in, and where this source knows no windows.
    fn watermark(&self, _table: &Table, _column: &str) -> Result<Watermark> {
        Err(mark::unknown())
    }

    /// The highest value that a watermark has now, among the rows that pass the table's filter; `None`
    /// where no row has one.
    ///
    /// # Errors
    /// [`SourceError::Unsupported`] where it is one that nothing can follow.
    async fn newest(&self, _table: &Table, _mark: &Watermark) -> Result<Option<KeyValue>> {
        Err(mark::unknown())
    }

    /// The highest value that no transaction under way can still add a row at or below, for columns
    /// that hold when their row was written (`--lag auto`).
    ///
    /// # Errors
    /// [`SourceError::Unsupported`] where the source cannot know it.
    async fn settled(&self, table: &Table, mark: &Watermark) -> Result<Settled> {
        Err(mark::never_settled(
            table,
            mark,
            "this kind of source does not say what is under way",
        ))
    }

    /// A value of a watermark that a person wrote; `like` is one that the column holds. Values that are
    /// equal to the source are equal here.
    async fn bound(
        &self,
        _table: &Table,
        _mark: &Watermark,
        _text: &str,
        _like: Option<&KeyValue>,
    ) -> Result<KeyValue> {
        Err(mark::unknown())
    }

    /// Which of two values of a watermark comes first, in the source's order.
    async fn order(&self, _table: &Table, _one: &KeyValue, _other: &KeyValue) -> Result<Ordering> {
        Err(mark::unknown())
    }

    /// The condition that holds for exactly a window's rows, for the filter of a read.
    fn window(&self, _window: &Window) -> Result<String> {
        Err(mark::unknown())
    }

    /// The condition that holds for the rows without a value in a column.
    fn unmarked(&self, _column: &str) -> Result<String> {
        Err(mark::unknown())
    }

    /// One small round trip on the source's own connection.
    async fn ping(&self) -> Result<()>;

    /// How long it took to open the source's own connection and get a first answer.
    fn connect_time(&self) -> Duration;

    /// Connections of the server.
    async fn load(&self) -> Result<ConnectionLoad>;

    /// What a person should know before a run of any table here, one line each: what may end a long
    /// read.
    async fn cautions(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    /// What `doctor` looks at here beyond what a run does anyway: role, encryption, standby, poolers,
    /// time limits, the clock, and what keeps the watcher from seeing who waits for us. Changes
    /// nothing and leaves nothing behind.
    ///
    /// # Errors
    /// What keeps the source from answering at all; a question that it refuses is a check of its own.
    async fn examine(&self) -> Result<Vec<Check>> {
        Ok(vec![Check::skipped(
            "server",
            "role, encryption, time limits and clock are not looked at on this kind of source",
        )])
    }

    /// Opens one point in time of a relation for `request.sessions` readers.
    async fn snapshot(
        &self,
        read: &ReadSpec,
        request: &SnapshotRequest,
    ) -> Result<Arc<dyn Snapshot>>;

    /// Opens one point in time of several relations, with `request.sessions` sessions for all of them
    /// together; `None` where this kind of source, or this consistency, has none.
    ///
    /// # Errors
    /// What keeps all of the relations from being read. A relation that alone is in the way is left
    /// out, and what is wrong with it shows when it is read.
    async fn joint(
        &self,
        _reads: &[ReadSpec],
        _request: &SnapshotRequest,
    ) -> Result<Option<Arc<dyn Joint>>> {
        Ok(None)
    }
}

/// A value that a column holds by the statistics, and that its output type cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The column.
    pub column: String,
    /// The value as the source prints it.
    pub value: String,
}

/// What a snapshot is asked for.
#[derive(Clone, Debug)]
pub struct SnapshotRequest {
    /// Consistency asked for.
    pub consistency: Consistency,
    /// Sessions that will read in it.
    pub sessions: u32,
    /// How many bytes of source data a session may gather into one batch.
    pub batch_bytes: usize,
    /// How long to wait for the relation's lock before giving up, in all.
    pub lock_wait: Duration,
    /// Row security may hide rows from us (`--allow-row-security`).
    pub allow_row_security: bool,
}

/// One point in time of several relations, for reads of them one after another or side by side.
///
/// Dropping it, and every [`Snapshot`] of it, releases it.
#[async_trait]
pub trait Joint: Send + Sync {
    /// What it achieved, for whatever is part of it. Its readers are those of all relations together.
    fn facts(&self) -> SnapshotFacts;

    /// One of its relations at this point in time, for as many readers as `request` asks for; `None`
    /// for a relation that could not be made part of it, which has to be read at a point of its own.
    ///
    /// What goes wrong with one relation's snapshot, and ending it, never touches the others'. It sees
    /// nobody who waits for us: [`Joint::blocked`] does.
    ///
    /// # Errors
    /// [`SourceError::SnapshotLost`] when the point in time is over for everybody.
    async fn snapshot(
        &self,
        read: &ReadSpec,
        request: &SnapshotRequest,
    ) -> Result<Option<Arc<dyn Snapshot>>>;

    /// Sessions of others that wait for a lock of ours now, on any of the relations.
    async fn blocked(&self) -> Result<Vec<BlockedSession>>;

    /// Ends it, once nothing is read in it any more.
    async fn close(&self);
}

/// One point in time of a relation.
///
/// Dropping a snapshot releases it; [`Snapshot::close`] does so and says whether it held to the end.
#[async_trait]
pub trait Snapshot: Send + Sync {
    /// What it achieved.
    fn facts(&self) -> SnapshotFacts;

    /// Opens (or re-opens after a loss) a session in this same point in time.
    ///
    /// # Errors
    /// [`SourceError::SnapshotLost`] when no session is left that could hand the snapshot on: the
    /// whole read must start over.
    async fn session(&self) -> Result<Box<dyn Session>>;

    /// The relation's rows as the server counts them in this point in time, with the read's filter
    /// and no chunk bounds. Runs beside the readers.
    async fn count(&self) -> Result<u64>;

    /// The same of the rows that a chunk holds.
    ///
    /// Here by reading them. A server can do better.
    async fn count_of(&self, chunk: &ChunkBounds) -> Result<u64> {
        let mut session = self.session().await?;
        session.begin(chunk).await?;
        let mut rows = 0;
        while let Some(batch) = session.next().await? {
            rows += batch.rows.num_rows() as u64;
        }
        Ok(rows)
    }

    /// The relation's rows for which another filter than the read's holds, in this point in time.
    ///
    /// # Errors
    /// [`SourceError::Unsupported`] where the source has no windows.
    async fn count_where(&self, _filter: Option<&str>) -> Result<u64> {
        Err(mark::unknown())
    }

    /// Whether a chunk that was read to its end is what this point in time holds, even if the snapshot
    /// is lost before [`Snapshot::close`] could look. So it is where locks, or the server's own
    /// snapshots, keep the relation from being replaced; not where only comparing it at the end does.
    fn holds_each_chunk(&self) -> bool {
        false
    }

    /// Sessions of others that wait for a lock of ours now.
    async fn blocked(&self) -> Result<Vec<BlockedSession>>;

    /// How the source is at the moment, asked on its own connection beside the readers; how far its
    /// replicas are behind only where `lag` asks for it. A source that cannot be burdened, such as a
    /// file, is always well.
    async fn pulse(&self, _lag: bool) -> Result<Pulse> {
        Ok(Pulse::default())
    }

    /// What each session of this snapshot does by the server's own account, under [`Session::number`],
    /// asked on the source's own connection beside the readers; `None` where the source does not tell.
    async fn occupations(&self) -> Result<Option<BTreeMap<u64, Occupation>>> {
        Ok(None)
    }

    /// Asks the server to stop whatever this snapshot's sessions are executing. Best effort, at
    /// most a few seconds.
    async fn cancel(&self);

    /// Ends the snapshot and checks that the relation was the same from beginning to end.
    async fn close(&self) -> Result<()>;
}

/// What a session does by its server's own account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occupation {
    /// It works, or waits for something on the server's side, such as a disk or a lock.
    AtWork,
    /// It waits until we take more of what it has sent, or ask for more.
    WaitingForUs,
}

/// How a source is at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// How long a small query took.
    pub round_trip: Duration,
    /// How far its replicas are behind, or it is itself behind its primary.
    pub lag: Lag,
}

/// How far replicas are behind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Lag {
    /// There is none, or nobody asked.
    #[default]
    NoReplica,
    /// That of the one farthest behind.
    Behind(Duration),
    /// There are some, and this account is not told.
    Hidden {
        /// The statement that would let it be told.
        fix: String,
    },
}

/// Somebody who waits for us.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockedSession {
    /// The server's id of the waiting session.
    pub id: String,
    /// Its statement, shortened to one line.
    pub statement: String,
}

/// Reads chunks, one after another.
///
/// A future of [`Session::next`] may be dropped; the session is then of no further use.
#[async_trait]
pub trait Session: Send {
    /// The server's own number of this session, where it has one.
    fn number(&self) -> Option<u64> {
        None
    }

    /// Starts reading a chunk.
    async fn begin(&mut self, chunk: &ChunkBounds) -> Result<()>;

    /// The next batch of the chunk; `None` only after the server's own proof of the stream's end
    /// (a trailer or a completed statement), never merely because data stopped coming.
    async fn next(&mut self) -> Result<Option<Batch>>;

    /// The rows of a chunk and the sum over their keys as the server itself computes it, in the point
    /// in time that the chunk is read in; between chunks only.
    ///
    /// # Errors
    /// [`SourceError::Unsupported`] where the source cannot.
    async fn key_sum(&mut self, _chunk: &ChunkBounds, _columns: &[String]) -> Result<KeySum> {
        Err(SourceError::Unsupported {
            what: "this source cannot sum keys".to_owned(),
            why: "it has no digest that we know".to_owned(),
            fix: "leave --proof full away".to_owned(),
        })
    }
}

/// Rows of a chunk.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The rows, in the schema of the read's columns.
    pub rows: RecordBatch,
    /// Bytes as they came from the source.
    pub wire_bytes: u64,
    /// Time spent turning them into Arrow.
    pub decode: Duration,
    /// Values that stand as NULL because their output type cannot hold them, with the position of
    /// their column; only columns whose rule is to do so.
    pub nulled: Vec<(usize, u64)>,
}

/// How to reach a source: settled from flags, environment and files, secrets included.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Where, as whom, and how encrypted.
    pub target: url::Target,
    /// Where passwords come from.
    pub password: secrets::PasswordSource,
    /// `--source-name`.
    pub source_name: Option<String>,
    /// The run, for `application_name`; `None` for commands that only look.
    pub run: Option<RunId>,
    /// Longest time for opening a connection.
    pub connect_timeout: Duration,
    /// `--statement-timeout-s` for workers; zero means none.
    pub statement_timeout: Duration,
    /// `--lock-wait-s`: the longest that a question about a table may wait for its lock.
    pub lock_wait: Duration,
    /// The clock that latencies are measured with.
    pub clock: SharedClock,
}

/// Connects to the source that `options` names.
///
/// # Errors
/// What keeps us from connecting, by kind.
pub async fn connect(options: ConnectOptions) -> Result<Arc<dyn Source>> {
    Ok(match &options.target {
        url::Target::Postgres(target) => {
            Arc::new(postgres::Postgres::connect(target.clone(), &options).await?)
        }
        url::Target::Mysql(target) => {
            Arc::new(mysql::Mysql::connect(target.clone(), &options).await?)
        }
        url::Target::SqlServer(target) => {
            Arc::new(mssql::SqlServer::connect(target.clone(), &options).await?)
        }
        url::Target::Sqlite(path) => Arc::new(sqlite::Sqlite::connect(path, &options).await?),
    })
}
