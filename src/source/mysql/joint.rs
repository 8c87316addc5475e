//! One point in time of several tables: sessions that began together, which every table's read takes from
//! and gives back.
//!
//! A session of this server's that breaks off in the middle of an answer is lost, and none can be added. So
//! what is left of an answer that nobody wants any more is read to its end beside the others' work, and the
//! session goes on.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;

use super::super::seats::Seats;
use super::super::{BlockedSession, Joint, Result, Snapshot, SnapshotRequest, SourceError};
use super::Base;
use super::acquire::{Acquired, Acquisition, entry};
use super::catalog;
use super::classify::Subject;
use super::connect::Link;
use super::shared::Shared;
use super::snapshot::{self, MysqlSnapshot};
use crate::model::{Consistency, ReadSpec, Relation, SnapshotFacts};

/// The longest that ending what still runs may take.
const CANCEL_LIMIT: Duration = Duration::from_secs(3);

/// One point in time of several tables.
pub(super) struct MysqlJoint {
    base: Arc<Base>,
    seats: Arc<Seats<Link>>,
    facts: SnapshotFacts,
    relations: Vec<Relation>,
    runtime: Handle,
}

impl MysqlJoint {
    /// Opens every session. Tables whose engine has no snapshots are left out, and so are those that
    /// somebody else has locked for longer than we may wait.
    pub(super) async fn open(
        base: Arc<Base>,
        reads: &[ReadSpec],
        request: &SnapshotRequest,
    ) -> Result<Option<Self>> {
        if request.consistency == Consistency::PerChunk {
            return Ok(None);
        }
        let mut reads = able(&base, reads).await?;
        if reads.is_empty() {
            return Ok(None);
        }
        let subject = Subject::several(base.connector.account());
        let acquired = match acquire(&base, &reads, request, &subject).await {
            Err(locked @ SourceError::Locked { .. }) => {
                let all = reads.len();
                reads = unlocked(&base, reads, request).await?;
                if reads.is_empty() || reads.len() == all {
                    return Err(locked);
                }
                acquire(&base, &reads, request, &subject).await?
            }
            acquired => acquired?,
        };
        let (facts, seats) = acquired.into_parts(request);
        Ok(Some(Self {
            base,
            seats: Arc::new(seats),
            facts,
            relations: reads.into_iter().map(|read| read.relation).collect(),
            runtime: Handle::current(),
        }))
    }
}

async fn acquire(
    base: &Base,
    reads: &[ReadSpec],
    request: &SnapshotRequest,
    subject: &Subject,
) -> Result<Acquired> {
    let acquisition = Acquisition {
        base,
        reads,
        request,
        subject,
    };
    acquisition.acquire().await
}

/// Those that there are, and whose engine has snapshots.
async fn able(base: &Base, reads: &[ReadSpec]) -> Result<Vec<ReadSpec>> {
    let mut able = Vec::with_capacity(reads.len());
    for read in reads {
        match entry(base, read).await {
            Ok(entry) if entry.is_transactional() => able.push(read.clone()),
            // Its own read will say so.
            Ok(_) | Err(SourceError::PlanMismatch { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(able)
}

/// Those that can be locked, each by itself.
async fn unlocked(
    base: &Base,
    reads: Vec<ReadSpec>,
    request: &SnapshotRequest,
) -> Result<Vec<ReadSpec>> {
    let mut free = Vec::with_capacity(reads.len());
    for read in reads {
        let subject = Subject::of(base.connector.account(), &read.relation, None);
        let alone = std::slice::from_ref(&read);
        let acquisition = Acquisition {
            base,
            reads: alone,
            request,
            subject: &subject,
        };
        if acquisition.is_free().await? {
            free.push(read);
        }
    }
    Ok(free)
}

#[async_trait]
impl Joint for MysqlJoint {
    fn facts(&self) -> SnapshotFacts {
        self.facts.clone()
    }

    async fn snapshot(
        &self,
        read: &ReadSpec,
        request: &SnapshotRequest,
    ) -> Result<Option<Arc<dyn Snapshot>>> {
        if !self.relations.contains(&read.relation) {
            return Ok(None);
        }
        {
            // Nothing was altered since the locks were taken; a plan may be older than that.
            let mut link = self.base.link().await?;
            catalog::check_columns(&self.base, &mut link, read).await?;
        }
        let subject = Subject::of(self.base.connector.account(), &read.relation, None);
        let facts = SnapshotFacts {
            readers: self.facts.readers.min(request.sessions.max(1)),
            ..self.facts.clone()
        };
        Ok(Some(Arc::new(MysqlSnapshot {
            shared: Arc::new(Shared {
                seats: Arc::clone(&self.seats),
                base: Arc::clone(&self.base),
                read: read.clone(),
                request: request.clone(),
                subject,
                level: self.facts.level,
                joint: Some(self.runtime.clone()),
            }),
            facts,
        })))
    }

    async fn blocked(&self) -> Result<Vec<BlockedSession>> {
        let subject = Subject::several(self.base.connector.account());
        let relations: Vec<&Relation> = self.relations.iter().collect();
        snapshot::blocked(&self.base, &subject, (&self.seats.ids(), &relations)).await
    }

    async fn close(&self) {
        let busy = self.seats.close().await;
        if !busy.is_empty() {
            // Nobody waits for these answers any more.
            let cancel = self.base.connector.cancel(&busy);
            if tokio::time::timeout(CANCEL_LIMIT, cancel).await.is_err() {
                tracing::debug!("cancel requests took longer than {CANCEL_LIMIT:?}");
            }
        }
    }
}
