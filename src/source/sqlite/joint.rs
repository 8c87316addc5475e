//! One point in time of several tables: connections that began together, lent to their reads.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::Handle;

use super::acquire::{Acquired, Wanted, acquire};
use super::file::{Access, DatabaseFile};
use super::pool::Pool;
use super::snapshot::Opening;
use super::standing::Standing;
use crate::clock::SharedClock;
use crate::model::{ReadSpec, SnapshotFacts};
use crate::source::{BlockedSession, Joint, Result, Snapshot, SnapshotRequest, SourceError};

/// What a point in time is opened of.
#[derive(Clone)]
pub(super) struct Basis {
    pub(super) file: Arc<DatabaseFile>,
    pub(super) access: Access,
    pub(super) statement_timeout: Duration,
    pub(super) clock: SharedClock,
    pub(super) runtime: Handle,
}

impl Basis {
    /// The opening of one relation's snapshot.
    pub(super) fn opening(self, read: &ReadSpec, request: &SnapshotRequest) -> Opening {
        Opening {
            file: self.file,
            access: self.access,
            read: read.clone(),
            request: request.clone(),
            statement_timeout: self.statement_timeout,
            clock: self.clock,
            runtime: self.runtime,
        }
    }
}

/// One point in time of several tables.
pub(super) struct SqliteJoint {
    basis: Basis,
    pool: Arc<Pool>,
    standing: Standing,
    sessions: u32,
}

impl SqliteJoint {
    /// Opens all connections. Blocks.
    pub(super) fn open(basis: Basis, request: &SnapshotRequest) -> Result<Self> {
        let stamp = basis.access.stamp(&basis.file)?;
        let Acquired {
            connections,
            level,
            held_by,
            notes,
        } = acquire(&Wanted {
            file: Arc::clone(&basis.file),
            access: basis.access,
            consistency: request.consistency,
            sessions: request.sessions.max(1) as usize,
            lock_wait: request.lock_wait,
            clock: Arc::clone(&basis.clock),
        })?;
        let readers = u32::try_from(connections.len()).unwrap_or(u32::MAX);
        Ok(Self {
            standing: Standing {
                level,
                held_by,
                notes,
                taken_at: basis.clock.now().to_string(),
                stamp,
            },
            basis,
            sessions: readers,
            pool: Pool::new(connections),
        })
    }
}

#[async_trait]
impl Joint for SqliteJoint {
    fn facts(&self) -> SnapshotFacts {
        self.standing.facts(self.sessions)
    }

    async fn snapshot(
        &self,
        read: &ReadSpec,
        request: &SnapshotRequest,
    ) -> Result<Option<Arc<dyn Snapshot>>> {
        // One more counts.
        let wanted = request.sessions.max(1) as usize + 1;
        let lost = || SourceError::SnapshotLost {
            object: read.relation.to_string(),
            why: "every connection that stood at it has left it".to_owned(),
            cause: None,
        };
        let lent = self.pool.lend(wanted).await.ok_or_else(lost)?;
        let opening = self.basis.clone().opening(read, request);
        let standing = self.standing.clone();
        let snapshot = super::blocking(move || opening.stand(lent, &standing)).await?;
        Ok(Some(Arc::new(snapshot)))
    }

    async fn blocked(&self) -> Result<Vec<BlockedSession>> {
        // File locks have no list of those who wait.
        Ok(Vec::new())
    }

    async fn close(&self) {
        self.pool.close();
    }
}
