//! SQL Server 2016 and later, and Azure SQL, as a source.
//!
//! [`SqlServer`] asks the catalogue over one connection of its own. A `SqlServerSnapshot` is a number
//! of sessions whose transactions began at one point in time; they read chunks by statements with
//! parameters.

mod acquire;
mod catalog;
mod classify;
mod connect;
mod decode;
mod density;
mod examine;
mod keys;
mod keysum;
mod lookup;
mod marks;
mod pulse;
mod query;
mod server;
mod session;
mod shared;
mod snapshot;
mod sql;
mod statistics;
mod text;
mod types;
mod value;

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, MutexGuard};

use super::mark;
use super::seats::Line;
use super::url::SqlServerTarget;
use super::{Capabilities, Catalogue, ConnectOptions, Result, Snapshot, SnapshotRequest, Source};
use crate::clock::SharedClock;
use crate::model::{
    Check, ConnectionLoad, Key, KeyDensity, KeyValue, ReadSpec, Selection, Settled, SourceIdentity,
    SourceKind, Statistics, Table, TypeOptions, Watermark, Window,
};
use classify::Subject;
use connect::{Connector, Link};
use server::Server;
use sql::Statement;

/// What the source, its snapshots and their sessions share.
struct Base {
    connector: Connector,
    clock: SharedClock,
    server: Server,
    link: Mutex<Link>,
}

impl Base {
    /// The source's own connection, opened again if it was lost. Nobody else uses it meanwhile.
    async fn link(&self) -> Result<MutexGuard<'_, Link>> {
        let mut link = self.link.lock().await;
        if !link.is_usable() {
            *link = self.connector.open_to_ask().await?;
        }
        Ok(link)
    }

    /// What questions to the catalogue are about.
    fn catalogue(&self) -> Subject {
        Subject::catalogue(self.connector.place(), Some(&self.server))
    }
}

/// A connected database of SQL Server's.
pub struct SqlServer {
    base: Arc<Base>,
    identity: SourceIdentity,
    capabilities: Capabilities,
    connect_time: Duration,
}

impl std::fmt::Debug for SqlServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqlServer")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl SqlServer {
    /// Connects, logs in and asks for the version.
    ///
    /// # Errors
    /// What keeps us from connecting, by kind; [`super::SourceError::Unsupported`] for a
    /// server that is too old.
    pub async fn connect(target: SqlServerTarget, options: &ConnectOptions) -> Result<Self> {
        let identity = SourceIdentity {
            kind: SourceKind::SqlServer,
            host: target.host.clone(),
            port: target.port,
            database: target.database.clone(),
            name: options.source_name.clone(),
        };
        let connector = Connector::new(target, options)?;
        let started = options.clock.monotonic();
        let link = connector.open_to_ask().await?;
        let connect_time = options.clock.monotonic().saturating_sub(started);
        let server = connector.server()?.clone();
        Ok(Self {
            capabilities: Capabilities {
                server: server.name(),
                blocks_addressable: false,
                max_readers: u32::MAX,
            },
            identity,
            connect_time,
            base: Arc::new(Base {
                connector,
                clock: options.clock.clone(),
                server,
                link: Mutex::new(link),
            }),
        })
    }
}

#[async_trait]
impl Source for SqlServer {
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

    fn watermark(&self, table: &Table, column: &str) -> Result<Watermark> {
        mark::watermark(table, column, marks::kind)
    }

    async fn newest(&self, table: &Table, mark: &Watermark) -> Result<Option<KeyValue>> {
        marks::newest(&self.base, table, mark).await
    }

    async fn settled(&self, table: &Table, mark: &Watermark) -> Result<Settled> {
        marks::settled(&self.base, table, mark).await
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
        marks::condition(window)
    }

    fn unmarked(&self, column: &str) -> Result<String> {
        Ok(format!("{} IS NULL", sql::quote_identifier(column)))
    }

    async fn ping(&self) -> Result<()> {
        let subject = self.base.catalogue();
        let mut link = self.base.link().await?;
        link.ask(&subject, &Statement::plain("SELECT 1")).await?;
        Ok(())
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

    async fn snapshot(
        &self,
        read: &ReadSpec,
        request: &SnapshotRequest,
    ) -> Result<Arc<dyn Snapshot>> {
        let opened = snapshot::SqlServerSnapshot::open(Arc::clone(&self.base), read, request);
        Ok(Arc::new(opened.await?))
    }
}
