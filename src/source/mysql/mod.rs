//! MySQL 5.6 and later and MariaDB as a source.
//!
//! [`Mysql`] asks the catalogue over one connection of its own. A `MysqlSnapshot` is a number of
//! sessions that began at one point in time; they read chunks by prepared statements.

mod acquire;
mod axis;
mod catalog;
mod classify;
mod connect;
mod decode;
mod density;
mod doubts;
mod examine;
mod joint;
mod keys;
mod keysum;
mod lookup;
mod marks;
mod probe;
mod pulse;
mod query;
mod server;
mod session;
mod shared;
mod snapshot;
mod sql;
mod statistics;
mod tls;
mod types;

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, MutexGuard};

use super::mark;
use super::seats::Line;
use super::url::MysqlTarget;
use super::{
    Capabilities, Catalogue, ConnectOptions, Doubt, Joint, Result, Snapshot, SnapshotRequest,
    Source,
};
use crate::clock::SharedClock;
use crate::model::{
    Check, ConnectionLoad, Key, KeyDensity, KeyValue, ReadSpec, Selection, Settled, SourceIdentity,
    SourceKind, Statistics, Table, TypeOptions, Watermark, Window,
};
use classify::Subject;
use connect::{Connector, Link};
use server::Server;

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

    /// Ends the source's own connection for now, so that another may have its place. The next question
    /// opens it again.
    async fn rest(&self) {
        self.link.lock().await.hang_up().await;
    }
}

/// A connected MySQL or MariaDB database.
pub struct Mysql {
    base: Arc<Base>,
    identity: SourceIdentity,
    capabilities: Capabilities,
    connect_time: Duration,
}

impl std::fmt::Debug for Mysql {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mysql")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

impl Mysql {
    /// Connects, logs in and asks for the version.
    ///
    /// # Errors
    /// What keeps us from connecting, by kind; [`super::SourceError::Unsupported`] for a
    /// server that is too old.
    pub async fn connect(target: MysqlTarget, options: &ConnectOptions) -> Result<Self> {
        let host = match &target.socket {
            Some(socket) => socket.display().to_string(),
            None => target.host.clone(),
        };
        let identity = SourceIdentity {
            kind: SourceKind::Mysql,
            host,
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
impl Source for Mysql {
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
        mark::watermark(table, column, marks::kind)
    }

    async fn newest(&self, table: &Table, mark: &Watermark) -> Result<Option<KeyValue>> {
        marks::newest(&self.base, table, mark).await
    }

    async fn settled(&self, table: &Table, mark: &Watermark) -> Result<Settled> {
        let why = "this server does not say of every transaction when it began";
        Err(mark::never_settled(table, mark, why))
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
        let connector = &self.base.connector;
        let subject = Subject::catalogue(connector.place(), connector.account());
        self.base.link().await?.run(&subject, "DO 1").await
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
        let opened = snapshot::MysqlSnapshot::open(Arc::clone(&self.base), read, request).await?;
        Ok(Arc::new(opened))
    }

    async fn joint(
        &self,
        reads: &[ReadSpec],
        request: &SnapshotRequest,
    ) -> Result<Option<Arc<dyn Joint>>> {
        let opened = joint::MysqlJoint::open(Arc::clone(&self.base), reads, request).await?;
        Ok(opened.map(|joint| Arc::new(joint) as Arc<dyn Joint>))
    }
}
