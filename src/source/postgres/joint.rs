//! One point in time of several relations: their locks, then the snapshot, on one session that outlives
//! every read.
//!
//! Each relation's read enters the snapshot by a coordinator of its own, as workers do, so that its
//! failure, its count and its end are nobody else's.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::super::dialect::quote_relation;
use super::super::{BlockedSession, Joint, Result, Snapshot, SnapshotRequest, SourceError};
use super::Base;
use super::classify::Subject;
use super::connect::{Link, OWN_NAMES};
use super::registry::{Registration, Registry};
use super::shared::{BEGIN, Hold, Shared, pins_of};
use super::snapshot::{self, PgSnapshot, Point, may_touch};
use crate::model::{
    Consistency, ConsistencyLevel, ReadSpec, Relation, RelationKind, SnapshotFacts,
};

/// One point in time of several relations.
pub(super) struct PgJoint {
    base: Arc<Base>,
    registry: Arc<Registry>,
    point: Point,
    holds: BTreeMap<Relation, Hold>,
    sessions: u32,
    /// Absent once it is closed.
    coordinator: Mutex<Option<(Link, Registration)>>,
}

/// What a snapshot shows of itself.
const POINT: &str = "
    SELECT pg_backend_pid(), pg_export_snapshot(),
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                ELSE pg_current_wal_lsn() END::text,
           to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
           pg_is_in_recovery()";

impl PgJoint {
    /// Locks what can be locked, takes the snapshot, and touches the rest. A relation that cannot be
    /// held is passed over: its own read finds out what is wrong, and whether it was replaced meanwhile.
    pub(super) async fn open(
        base: Arc<Base>,
        reads: &[ReadSpec],
        request: &SnapshotRequest,
    ) -> Result<Option<Self>> {
        if request.consistency == Consistency::PerChunk {
            return Ok(None);
        }
        let subject = Subject::catalogue(base.connector.place());
        let link = base.connector.open().await?;
        let opening = format!("{BEGIN}{}{OWN_NAMES}", pins_of(&base, request));
        link.execute(&subject, &opening).await?;
        let mut holds = BTreeMap::new();
        for read in reads {
            holds.insert(read.relation.clone(), lock(&link, &subject, read).await?);
        }
        let row = link.row(&subject, POINT, &[]).await?;
        for read in reads {
            if read.kind == RelationKind::View || holds[&read.relation] == Hold::Touch {
                let sql = format!("SELECT 1 FROM {} LIMIT 0;", quote_relation(&read.relation));
                attempt(&link, &subject, &sql).await?.ok();
            }
        }
        let registry = Arc::<Registry>::default();
        let export = Some(row.get(1));
        let group = Registry::group(&registry);
        let registration = group.join(row.get(0), export, link.cancel_token());
        Ok(Some(Self {
            point: Point {
                position: row.get(2),
                taken_at: row.get(3),
                standby: row.get(4),
            },
            base,
            registry,
            holds,
            sessions: request.sessions,
            coordinator: Mutex::new(Some((link, registration))),
        }))
    }
}

/// Locks a relation before the snapshot is taken. It is to be touched where it cannot be locked at all;
/// that somebody else has it locked is for its own read to find out.
async fn lock(link: &Link, subject: &Subject, read: &ReadSpec) -> Result<Hold> {
    let hold = Hold::of(read.kind);
    if hold == Hold::Touch {
        return Ok(hold);
    }
    let relation = quote_relation(&read.relation);
    let sql = format!("LOCK TABLE {relation} IN ACCESS SHARE MODE;");
    match attempt(link, subject, &sql).await? {
        Err(error) if may_touch(&error) => Ok(Hold::Touch),
        Ok(()) | Err(_) => Ok(hold),
    }
}

/// Tries a statement without giving up the transaction it is in; the driver's error where it failed.
async fn attempt(
    link: &Link,
    subject: &Subject,
    sql: &str,
) -> Result<std::result::Result<(), tokio_postgres::Error>> {
    let tried = format!("SAVEPOINT ixtract;{sql}RELEASE SAVEPOINT ixtract");
    let Err(error) = link.attempt(&tried).await else {
        return Ok(Ok(()));
    };
    // Fails, too, where it was the connection that was lost.
    let back = "ROLLBACK TO SAVEPOINT ixtract;RELEASE SAVEPOINT ixtract";
    link.execute(subject, back).await?;
    Ok(Err(error))
}

#[async_trait]
impl Joint for PgJoint {
    fn facts(&self) -> SnapshotFacts {
        SnapshotFacts {
            level: ConsistencyLevel::SharedSnapshot,
            readers: self.sessions,
            position: self.point.position.clone(),
            taken_at: self.point.taken_at.clone(),
            held_by: "ACCESS SHARE locks, or relfilenode checks, and an exported snapshot"
                .to_owned(),
            notes: snapshot::standby_note(self.point.standby)
                .into_iter()
                .collect(),
        }
    }

    async fn snapshot(
        &self,
        read: &ReadSpec,
        request: &SnapshotRequest,
    ) -> Result<Option<Arc<dyn Snapshot>>> {
        let Some(hold) = self.holds.get(&read.relation) else {
            return Ok(None);
        };
        let group = Registry::group(&self.registry);
        let mut shared = Shared::new(Arc::clone(&self.base), read, request, group);
        shared.hold = *hold;
        shared.standby = self.point.standby;
        let snapshot = PgSnapshot::enter(shared, &self.point).await?;
        Ok(Some(Arc::new(snapshot)))
    }

    async fn blocked(&self) -> Result<Vec<BlockedSession>> {
        let subject = Subject::catalogue(self.base.connector.place());
        snapshot::blocked(&self.base, &subject, &self.registry.pids()).await
    }

    async fn close(&self) {
        let Some((link, registration)) = self.coordinator.lock().await.take() else {
            return;
        };
        registration.withdraw();
        let subject = Subject::catalogue(self.base.connector.place());
        // Every relation's read has checked what it read; nothing depends on how this ends.
        let ended: std::result::Result<(), SourceError> = link.execute(&subject, "COMMIT").await;
        if let Err(error) = ended {
            tracing::debug!(%error, "the joint snapshot's session was lost before its end");
        }
        link.close().await;
    }
}
