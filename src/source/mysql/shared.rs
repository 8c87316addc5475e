//! What a snapshot and its sessions share.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Handle;

use super::super::dialect::DialectError;
use super::super::frozen::Frozen;
use super::super::seats::Seats;
use super::super::{Result, SnapshotRequest};
use super::Base;
use super::classify::Subject;
use super::connect::Link;
use super::keysum;
use super::session::select_chunk;
use super::sql;
use crate::model::{ChunkBounds, ConsistencyLevel, Key, KeyRange, KeySum, ReadSpec};

/// What a snapshot and its sessions share.
pub(super) struct Shared {
    pub(super) base: Arc<Base>,
    pub(super) read: ReadSpec,
    pub(super) request: SnapshotRequest,
    pub(super) subject: Subject,
    pub(super) seats: Arc<Seats<Link>>,
    pub(super) level: ConsistencyLevel,
    /// Where sessions are looked after that other tables go on with; absent where none does.
    pub(super) joint: Option<Handle>,
}

#[async_trait]
impl Frozen for Shared {
    type Line = Link;
    type Question = String;

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
        self.base.connector.open().await
    }

    fn counting(&self, read: &ReadSpec, chunk: &ChunkBounds) -> Result<String> {
        select_chunk(&["COUNT(*)".to_owned()], read, chunk)
    }

    fn ascending(
        &self,
        key: &Key,
        range: &KeyRange,
    ) -> std::result::Result<Option<String>, DialectError> {
        let condition = sql::ascends(key, range)?;
        Ok(condition.map(|condition| format!("SELECT {condition}")))
    }

    async fn first(&self, link: &mut Link, question: String) -> Result<Option<String>> {
        let rows = link.try_rows(&question).await;
        let rows = rows.map_err(|error| link.explain(&self.subject, &error))?;
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
