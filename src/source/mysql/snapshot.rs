//! One point in time of a relation, and who waits for us because of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::super::frozen::Frozen;
use super::super::{BlockedSession, Occupation, Pulse, Result, Session, Snapshot, SnapshotRequest};
use super::Base;
use super::acquire::Acquisition;
use super::classify::Subject;
use super::session::MysqlSession;
use super::shared::Shared;
use super::sql::quote_text;
use crate::error::one_line;
use crate::model::{ChunkBounds, ReadSpec, Relation, SnapshotFacts};

/// The longest that asking the server to cancel may take.
const CANCEL_LIMIT: Duration = Duration::from_secs(3);

/// One point in time of a relation.
pub(super) struct MysqlSnapshot {
    pub(super) shared: Arc<Shared>,
    pub(super) facts: SnapshotFacts,
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
            reads: std::slice::from_ref(read),
            request,
            subject: &subject,
        };
        let acquired = acquisition.acquire().await?;
        let level = acquired.level;
        let (facts, seats) = acquired.into_parts(request);
        Ok(Self {
            shared: Arc::new(Shared {
                seats: Arc::new(seats),
                base,
                read: read.clone(),
                request: request.clone(),
                subject,
                level,
                joint: None,
            }),
            facts,
        })
    }
}

/// Sessions of others that wait for the metadata locks of these relations.
pub(super) async fn blocked(
    base: &Base,
    subject: &Subject,
    (ours, relations): (&[u32], &[&Relation]),
) -> Result<Vec<BlockedSession>> {
    let ours: Vec<String> = ours.iter().map(u32::to_string).collect();
    let ours = if ours.is_empty() {
        "0".to_owned()
    } else {
        ours.join(", ")
    };
    let named: Vec<String> = relations
        .iter()
        .map(|relation| {
            format!(
                "(LOCATE({name}, INFO) > 0 AND (DB = {schema} OR LOCATE({schema}, INFO) > 0))",
                name = quote_text(&relation.name),
                schema = quote_text(&relation.schema),
            )
        })
        .collect();
    // The metadata locks themselves are shown only where an administrator has switched that on.
    let sql = format!(
        "SELECT ID, LEFT(COALESCE(INFO, ''), 200) FROM information_schema.PROCESSLIST \
         WHERE STATE LIKE 'Waiting for table%lock%' AND ID NOT IN ({ours}) AND ({}) ORDER BY ID",
        named.join(" OR ")
    );
    let mut link = base.link().await?;
    let rows = link.texts(subject, &sql).await?;
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

#[async_trait]
impl Snapshot for MysqlSnapshot {
    fn facts(&self) -> SnapshotFacts {
        self.facts.clone()
    }

    async fn session(&self) -> Result<Box<dyn Session>> {
        let shared = &self.shared;
        let (place, seat) = match &shared.joint {
            None => shared.seat().await?,
            // Another table may have it for a little while yet.
            Some(_) => shared.seats.wait().await.ok_or_else(|| shared.lost())?,
        };
        let session = MysqlSession::new(Arc::clone(shared), place, seat)?;
        Ok(Box::new(session))
    }

    async fn count(&self) -> Result<u64> {
        self.shared.count(&ChunkBounds::All).await
    }

    async fn count_of(&self, chunk: &ChunkBounds) -> Result<u64> {
        let Some(runtime) = &self.shared.joint else {
            return self.shared.count(chunk).await;
        };
        // Whoever gives up waiting for it leaves the session whole, for the others.
        let (shared, chunk) = (Arc::clone(&self.shared), chunk.clone());
        let counting = runtime.spawn(async move { shared.count(&chunk).await });
        counting.await.unwrap_or_else(|_| Err(self.shared.lost()))
    }

    async fn count_where(&self, filter: Option<&str>) -> Result<u64> {
        self.shared.count_where(filter).await
    }

    fn holds_each_chunk(&self) -> bool {
        // Every session has a lock of its own that keeps the table from being replaced.
        true
    }

    async fn blocked(&self) -> Result<Vec<BlockedSession>> {
        let shared = &self.shared;
        if shared.joint.is_some() || shared.read.query.is_some() {
            return Ok(Vec::new());
        }
        let of = (&*shared.seats.ids(), &[&shared.read.relation][..]);
        blocked(&shared.base, &shared.subject, of).await
    }

    async fn pulse(&self, lag: bool) -> Result<Pulse> {
        super::pulse::pulse(&self.shared.base, lag).await
    }

    async fn occupations(&self) -> Result<Option<BTreeMap<u64, Occupation>>> {
        let ours = self.shared.seats.ids();
        super::pulse::occupations(&self.shared.base, &ours)
            .await
            .map(Some)
    }

    async fn cancel(&self) {
        if self.shared.joint.is_some() {
            // A statement that is cancelled ends its session, which other tables need.
            return;
        }
        let ids = self.shared.seats.ids();
        let requests = self.shared.base.connector.cancel(&ids);
        if tokio::time::timeout(CANCEL_LIMIT, requests).await.is_err() {
            tracing::debug!("cancel requests took longer than {CANCEL_LIMIT:?}");
        }
    }

    async fn close(&self) -> Result<()> {
        // Their locks kept the table from being changed or replaced until now.
        if self.shared.joint.is_none() {
            self.shared.seats.close().await;
        }
        Ok(())
    }
}
