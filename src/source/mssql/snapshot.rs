//! One point in time of a relation, and who waits for us because of it.

use std::sync::Arc;

use async_trait::async_trait;

use super::super::frozen::Frozen;
use super::super::{BlockedSession, Pulse, Result, Session, Snapshot, SnapshotRequest};
use super::Base;
use super::acquire::Acquisition;
use super::classify::Subject;
use super::session::SqlServerSession;
use super::shared::{Cords, Shared};
use super::sql::Statement;
use super::statistics::bounded;
use crate::error::one_line;
use crate::model::{ChunkBounds, ReadSpec, SnapshotFacts};

/// One point in time of a relation.
pub(super) struct SqlServerSnapshot {
    shared: Arc<Shared>,
    facts: SnapshotFacts,
}

impl SqlServerSnapshot {
    /// Opens every session, at one point in time where that can be had.
    pub(super) async fn open(
        base: Arc<Base>,
        read: &ReadSpec,
        request: &SnapshotRequest,
    ) -> Result<Self> {
        let subject = Subject::of(&base.server, &read.relation, read.query.as_deref());
        let acquisition = Acquisition {
            base: &base,
            read,
            request,
            subject: &subject,
        };
        let acquired = acquisition.acquire().await?;
        let cords = Cords::default();
        let links = &acquired.sessions.links;
        links.iter().for_each(|link| cords.add(link));
        let level = acquired.sessions.level;
        let (facts, seats) = acquired.sessions.into_parts(request);
        Ok(Self {
            shared: Arc::new(Shared {
                seats,
                base,
                read: read.clone(),
                request: request.clone(),
                subject,
                level,
                isolation: acquired.isolation,
                cords,
                entry: acquired.entry,
            }),
            facts,
        })
    }
}

#[async_trait]
impl Snapshot for SqlServerSnapshot {
    fn facts(&self) -> SnapshotFacts {
        self.facts.clone()
    }

    async fn session(&self) -> Result<Box<dyn Session>> {
        let (place, seat) = self.shared.seat().await?;
        let session = SqlServerSession::new(Arc::clone(&self.shared), place, seat)?;
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
        // After each chunk the relation is compared with what it was.
        true
    }

    async fn blocked(&self) -> Result<Vec<BlockedSession>> {
        let ours: Vec<String> = self.shared.seats.ids().iter().map(u32::to_string).collect();
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        // Without VIEW SERVER STATE only our own are shown.
        let sql = format!(
            "SELECT r.session_id, (SELECT LEFT(t.text, 200) FROM \
             sys.dm_exec_sql_text(r.sql_handle) AS t) FROM sys.dm_exec_requests AS r \
             WHERE r.blocking_session_id IN ({}) ORDER BY r.session_id",
            ours.join(", ")
        );
        let mut link = self.shared.base.link().await?;
        let rows = bounded(&mut link, &self.shared.subject, &Statement::plain(sql)).await?;
        let ours = |id: &String| ours.contains(id);
        Ok(rows
            .into_iter()
            .filter_map(|row| {
                let mut texts = row.into_iter();
                let id = texts.next()?.filter(|id| !ours(id))?;
                let statement = one_line(&texts.next()?.unwrap_or_default());
                Some(BlockedSession { id, statement })
            })
            .collect())
    }

    async fn pulse(&self, lag: bool) -> Result<Pulse> {
        super::pulse::pulse(&self.shared.base, lag).await
    }

    async fn cancel(&self) {
        self.shared.cords.cut();
    }

    async fn close(&self) -> Result<()> {
        self.shared.seats.close().await;
        self.shared.check_same().await
    }
}
