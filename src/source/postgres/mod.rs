//! PostgreSQL 13 and later as a source.
//!
//! [`Postgres`] asks the catalogue over one connection of its own. A `PgSnapshot` is one
//! exported snapshot; its sessions read chunks by binary COPY.

mod catalog;
mod classify;
mod connect;
mod copy;
mod decode;
mod density;
mod doubts;
mod examine;
mod joint;
mod keys;
mod keysum;
mod leaves;
mod lookup;
mod marks;
mod ordered;
mod pulse;
mod query;
mod reader;
mod registry;
mod session;
mod settled;
mod shared;
mod snapshot;
mod statistics;
mod tls;
mod types;

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, MutexGuard};

use super::dialect::{Dialect, quote_identifier};
use super::mark;
use super::url::PostgresTarget;
use super::{
    Capabilities, Catalogue, ConnectOptions, Doubt, Joint, Result, Snapshot, SnapshotRequest,
    Source, SourceError,
};
use crate::clock::SharedClock;
use crate::model::{
    Check, ConnectionLoad, Key, KeyDensity, KeyValue, ReadSpec, Selection, Settled, SourceIdentity,
    SourceKind, Statistics, Table, TypeOptions, Watermark, Window,
};
use classify::Subject;
use connect::{Connector, Link};

pub use reader::CopyReader;

/// The oldest version that this program reads.
const OLDEST: u32 = 130_000;

/// The first version that reads a range of blocks without scanning the rest.
const BLOCK_RANGES: u32 = 140_000;

/// What the source, its snapshots and their sessions share.
struct Base {
    connector: Connector,
    clock: SharedClock,
    statement_timeout: Duration,
    /// `server_version_num`, such as 150018.
    version: u32,
    /// The database promises no encoding: its text is whatever bytes were put in.
    bytes_as_text: bool,
    link: Mutex<Link>,
}

impl Base {
    /// The source's own connection, opened again if it was lost. Nobody else uses it meanwhile.
    async fn link(&self) -> Result<MutexGuard<'_, Link>> {
        let mut link = self.link.lock().await;
        if link.is_closed() {
            *link = self.connector.open().await?;
        }
        Ok(link)
    }
}

/// A connected PostgreSQL database.
pub struct Postgres {
    base: Arc<Base>,
    identity: SourceIdentity,
    capabilities: Capabilities,
    connect_time: Duration,
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Postgres {
    /// Connects, logs in and asks for the version.
    ///
    /// # Errors
    /// What keeps us from connecting, by kind; [`SourceError::Unsupported`] for a server that is
    /// older than PostgreSQL 13.
    pub async fn connect(target: PostgresTarget, options: &ConnectOptions) -> Result<Self> {
        let identity = SourceIdentity {
            kind: SourceKind::PostgreSql,
            host: target.host.clone(),
            port: target.port,
            database: target.database.clone(),
            name: options.source_name.clone(),
        };
        let connector = Connector::new(target, options)?;
        let started = options.clock.monotonic();
        let link = connector.open().await?;
        let sql = "SELECT pg_catalog.current_setting('server_version_num')::pg_catalog.int4, \
                   pg_catalog.current_setting('server_version'), \
                   pg_catalog.current_setting('server_encoding')";
        let subject = Subject::catalogue(connector.place());
        let row = link.row(&subject, sql, &[]).await?;
        let connect_time = options.clock.monotonic().saturating_sub(started);
        let version = u32::try_from(row.get::<_, i32>(0)).unwrap_or(0);
        let name: String = row.get(1);
        // Distributions add their own version in parentheses.
        let number = name.split_whitespace().next().unwrap_or_default();
        if version < OLDEST {
            return Err(SourceError::Unsupported {
                what: format!("PostgreSQL {number} is too old"),
                why: "snapshots, statistics and locks are used as of PostgreSQL 13".to_owned(),
                fix: "read from a server or standby of version 13 or later".to_owned(),
            });
        }
        Ok(Self {
            capabilities: Capabilities {
                server: format!("PostgreSQL {number}"),
                blocks_addressable: version >= BLOCK_RANGES,
                max_readers: u32::MAX,
            },
            identity,
            connect_time,
            base: Arc::new(Base {
                connector,
                clock: options.clock.clone(),
                statement_timeout: options.statement_timeout,
                version,
                bytes_as_text: row.get::<_, &str>(2) == "SQL_ASCII",
                link: Mutex::new(link),
            }),
        })
    }
}

#[async_trait]
impl Source for Postgres {
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
        catalog::describe(&self.base, table, selection, types).await
    }

    async fn catalogue(&self) -> Result<Catalogue> {
        lookup::catalogue(&self.base).await
    }

    async fn statistics(&self, table: &Table) -> Result<Statistics> {
        statistics::statistics(&self.base, table).await
    }

    async fn density(
        &self,
        table: &Table,
        key: &Key,
        buckets: u32,
    ) -> Result<(KeyDensity, Option<i32>)> {
        density::density(&self.base, table, key, buckets).await
    }

    async fn doubts(&self, table: &Table) -> Result<Vec<Doubt>> {
        doubts::doubts(&self.base, table).await
    }

    fn watermark(&self, table: &Table, column: &str) -> Result<Watermark> {
        mark::watermark(table, column, |column| marks::kind(&self.base, column))
    }

    async fn newest(&self, table: &Table, mark: &Watermark) -> Result<Option<KeyValue>> {
        marks::newest(&self.base, table, mark).await
    }

    async fn settled(&self, table: &Table, mark: &Watermark) -> Result<Settled> {
        settled::settled(&self.base, table, mark).await
    }

    async fn bound(
        &self,
        table: &Table,
        mark: &Watermark,
        text: &str,
        _like: Option<&KeyValue>,
    ) -> Result<KeyValue> {
        marks::read(&self.base, table, mark, text).await
    }

    async fn order(&self, table: &Table, one: &KeyValue, other: &KeyValue) -> Result<Ordering> {
        marks::order(&self.base, table, one, other).await
    }

    fn window(&self, window: &Window) -> Result<String> {
        mark::condition(Dialect::PostgreSql, window)
    }

    fn unmarked(&self, column: &str) -> Result<String> {
        Ok(format!("{} IS NULL", quote_identifier(column)))
    }

    async fn ping(&self) -> Result<()> {
        let subject = Subject::catalogue(self.base.connector.place());
        self.base.link().await?.execute(&subject, "SELECT 1").await
    }

    fn connect_time(&self) -> Duration {
        self.connect_time
    }

    async fn load(&self) -> Result<ConnectionLoad> {
        statistics::load(&self.base).await
    }

    async fn examine(&self) -> Result<Vec<Check>> {
        examine::examine(&self.base).await
    }

    async fn cautions(&self) -> Result<Vec<String>> {
        examine::cautions(&self.base).await
    }

    async fn snapshot(
        &self,
        read: &ReadSpec,
        request: &SnapshotRequest,
    ) -> Result<Arc<dyn Snapshot>> {
        let snapshot = snapshot::PgSnapshot::open(Arc::clone(&self.base), read, request).await?;
        Ok(Arc::new(snapshot))
    }

    async fn joint(
        &self,
        reads: &[ReadSpec],
        request: &SnapshotRequest,
    ) -> Result<Option<Arc<dyn Joint>>> {
        let opened = joint::PgJoint::open(Arc::clone(&self.base), reads, request).await?;
        Ok(opened.map(|joint| Arc::new(joint) as Arc<dyn Joint>))
    }
}
