//! What a snapshot and its sessions share.

use std::sync::Arc;

use async_trait::async_trait;

use super::super::frozen::Frozen;
use super::super::seats::Seats;
use super::super::{Result, SnapshotRequest};
use super::Base;
use super::classify::Subject;
use super::connect::Link;
use super::keysum;
use super::session::select_chunk;
use super::sql;
use crate::model::{ChunkBounds, ConsistencyLevel, KeySum, ReadSpec};

/// What a snapshot and its sessions share.
pub(super) struct Shared {
    pub(super) base: Arc<Base>,
    pub(super) read: ReadSpec,
    pub(super) request: SnapshotRequest,
    pub(super) subject: Subject,
    pub(super) seats: Seats<Link>,
    pub(super) level: ConsistencyLevel,
}

#[async_trait]
impl Frozen for Shared {
    type Line = Link;

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

    async fn counted(
        &self,
        link: &mut Link,
        read: &ReadSpec,
        chunk: &ChunkBounds,
    ) -> Result<Option<String>> {
        let sql = select_chunk(&["COUNT(*)".to_owned()], read, chunk)?;
        let rows = link.try_rows(&sql).await;
        let rows = rows.map_err(|error| link.explain(&self.subject, &error))?;
        Ok(rows.into_iter().flatten().flatten().next())
    }

    async fn sum(
        &self,
        link: &mut Link,
        chunk: &ChunkBounds,
        columns: &[String],
    ) -> Result<KeySum> {
        keysum::ask(link, self, chunk, columns).await
    }

    async fn ascends(&self, link: &mut Link, chunk: &ChunkBounds) -> Result<Option<String>> {
        let (ChunkBounds::Key(range), Some(key)) = (chunk, self.read.key.as_ref()) else {
            return Ok(None);
        };
        let question = sql::ascends(key, range);
        let question = question.map_err(|error| self.mismatch(error.to_string()))?;
        let Some(question) = question else {
            return Ok(None);
        };
        let sql = format!("SELECT {question}");
        let rows = link.texts(&self.subject, &sql).await?;
        // What is neither true nor false is no order.
        let answer = rows.into_iter().flatten().next().flatten();
        Ok(Some(answer.unwrap_or_default()))
    }
}
