//! One point in time of a relation, and who waits for us because of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::super::frozen::Frozen;
use super::super::{BlockedSession, Pulse, Result, Session, Snapshot, SnapshotRequest};
use super::Base;
use super::acquire::Acquisition;
use super::classify::Subject;
use super::session::MysqlSession;
use super::shared::Shared;
use super::sql::quote_text;
use crate::error::one_line;
use crate::model::{ChunkBounds, ReadSpec, SnapshotFacts};

/// The longest that asking the server to cancel may take.
const CANCEL_LIMIT: Duration = Duration::from_secs(3);

/// One point in time of a relation.
pub(super) struct MysqlSnapshot {
    shared: Arc<Shared>,
    facts: SnapshotFacts,
}

impl MysqlSnapshot {
    /// Opens every session, at one point in time where that can be had.
    pub(super) async fn open(
        base: Arc<Base>,
        read: &ReadSpec,
        request: &SnapshotRequest,
    ) -> Result<Self> {
        let account = base.connector.account();
        let subject = Subject::of(account, &read.relation, read.query.as_deref());
        let acquisition = Acquisition {
            base: &base,
            read,
            request,
            subject: &subject,
        };
        let acquired = acquisition.acquire().await?;
        let level = acquired.level;
        let (facts, seats) = acquired.into_parts(request);
        Ok(Self {
            shared: Arc::new(Shared {
                seats,
                base,
                read: read.clone(),
                request: request.clone(),
                subject,
                level,
            }),
            facts,
        })
    }
}

#[async_trait]
impl Snapshot for MysqlSnapshot {
    fn facts(&self) -> SnapshotFacts {
        self.facts.clone()
    }

    async fn session(&self) -> Result<Box<dyn Session>> {
        let (place, seat) = self.shared.seat().await?;
        let session = MysqlSession::new(Arc::clone(&self.shared), place, seat)?;
        Ok(Box::new(session))
    }

    async fn count(&self) -> Result<u64> {
        self.shared.count(&ChunkBounds::All).await
    }

    async fn count_of(&self, chunk: &ChunkBounds) -> Result<u64> {
        self.shared.count(chunk).await
    }

    async fn count_where(&self, filter: Option<&str>) -> Result<u64> {
        self.shared.count_where(filter).await
    }

    fn holds_each_chunk(&self) -> bool {
        // Every session has a lock of its own that keeps the table from being replaced.
        true
    }

    async fn blocked(&self) -> Result<Vec<BlockedSession>> {
        let relation = &self.shared.read.relation;
        let ours: Vec<String> = self.shared.seats.ids().iter().map(u32::to_string).collect();
        let ours = if ours.is_empty() {
            "0".to_owned()
        } else {
            ours.join(", ")
        };
        // The metadata locks themselves are shown only where an administrator has switched that on.
        let sql = format!(
            "SELECT ID, LEFT(COALESCE(INFO, ''), 200) FROM information_schema.PROCESSLIST \
             WHERE STATE LIKE 'Waiting for table%lock%' AND ID NOT IN ({ours}) \
             AND LOCATE({name}, INFO) > 0 AND (DB = {schema} OR LOCATE({schema}, INFO) > 0) \
             ORDER BY ID",
            name = quote_text(&relation.name),
            schema = quote_text(&relation.schema),
        );
        if self.shared.read.query.is_some() {
            return Ok(Vec::new());
        }
        let mut link = self.shared.base.link().await?;
        let rows = link.texts(&self.shared.subject, &sql).await?;
        Ok(rows
            .into_iter()
            .filter_map(|row| {
                let mut texts = row.into_iter().flatten();
                Some(BlockedSession {
                    id: texts.next()?,
                    statement: one_line(&texts.next()?),
                })
            })
            .collect())
    }

    async fn pulse(&self, lag: bool) -> Result<Pulse> {
        super::pulse::pulse(&self.shared.base, lag).await
    }

    async fn cancel(&self) {
        let ids = self.shared.seats.ids();
        let requests = self.shared.base.connector.cancel(&ids);
        if tokio::time::timeout(CANCEL_LIMIT, requests).await.is_err() {
            tracing::debug!("cancel requests took longer than {CANCEL_LIMIT:?}");
        }
    }

    async fn close(&self) -> Result<()> {
        // Their locks kept the table from being changed or replaced until now.
        self.shared.seats.close().await;
        Ok(())
    }
}
