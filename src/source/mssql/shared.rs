//! What a snapshot and its sessions share.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;

use super::super::dialect::DialectError;
use super::super::frozen::Frozen;
use super::super::seats::Seats;
use super::super::{Result, SnapshotRequest, SourceError};
use super::Base;
use super::catalog::{self, Entry};
use super::classify::Subject;
use super::connect::{Link, cut};
use super::keysum;
use super::session::select_chunk;
use super::sql::{self, Statement};
use crate::model::{ChunkBounds, ConsistencyLevel, Key, KeyRange, KeySum, ReadSpec};

/// What a snapshot and its sessions share.
pub(super) struct Shared {
    pub(super) base: Arc<Base>,
    pub(super) read: ReadSpec,
    pub(super) request: SnapshotRequest,
    pub(super) subject: Subject,
    pub(super) seats: Seats<Link>,
    pub(super) level: ConsistencyLevel,
    /// What every session of a chunk's own point in time begins with.
    pub(super) isolation: &'static str,
    pub(super) cords: Cords,
    /// What the catalogue said of the relation when the snapshot began, where it is to stay so.
    pub(super) entry: Option<Entry>,
}

/// What the snapshot's connections can be cut by, as long as they are there.
#[derive(Default)]
pub(super) struct Cords(Mutex<Vec<Weak<std::net::TcpStream>>>);

impl Cords {
    /// Knows this connection, too.
    pub(super) fn add(&self, link: &Link) {
        let mut cords = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cords.push(Arc::downgrade(link.cord()));
    }

    /// Cuts every connection.
    pub(super) fn cut(&self) {
        let cords = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cords
            .iter()
            .filter_map(Weak::upgrade)
            .for_each(|cord| cut(&cord));
    }
}

impl Shared {
    /// Fails when the relation is another now, or was altered: schema locks last one statement here, so
    /// what stands there may be another table.
    pub(super) async fn check_same(&self) -> Result<()> {
        let Some(before) = &self.entry else {
            return Ok(());
        };
        let now = {
            let mut link = self.base.link().await?;
            catalog::entry(&self.base, &mut link, &self.read.relation).await?
        };
        let why = match now {
            Some(now) if now == *before => return Ok(()),
            Some(now) if now.id == before.id => {
                format!("it was altered at {} by the server's clock", now.modified)
            }
            Some(_) => "another table has its name now".to_owned(),
            None => "it was dropped".to_owned(),
        };
        Err(SourceError::Changed {
            object: self.read.relation.to_string(),
            why,
        })
    }
}

#[async_trait]
impl Frozen for Shared {
    type Line = Link;
    type Question = Statement;

    fn seats(&self) -> &Seats<Link> {
        &self.seats
    }

    fn target(&self) -> &str {
        &self.base.connector.place().target
    }

    fn read(&self) -> &ReadSpec {
        &self.read
    }

    fn level(&self) -> ConsistencyLevel {
        self.level
    }

    async fn open(&self) -> Result<Link> {
        let mut link = self.base.connector.open(self.request.lock_wait).await?;
        link.run(&self.subject, self.isolation).await?;
        self.cords.add(&link);
        Ok(link)
    }

    fn counting(&self, read: &ReadSpec, chunk: &ChunkBounds) -> Result<Statement> {
        select_chunk(&["COUNT_BIG(*)".to_owned()], read, chunk)
    }

    fn ascending(
        &self,
        key: &Key,
        range: &KeyRange,
    ) -> std::result::Result<Option<Statement>, DialectError> {
        sql::ascends(key, range)
    }

    async fn first(&self, link: &mut Link, question: Statement) -> Result<Option<String>> {
        let rows = link.ask(&self.subject, &question).await?;
        Ok(rows.into_iter().flatten().next().flatten())
    }

    async fn sum(
        &self,
        link: &mut Link,
        chunk: &ChunkBounds,
        columns: &[String],
    ) -> Result<KeySum> {
        keysum::ask(link, self, chunk, columns).await
    }
}
