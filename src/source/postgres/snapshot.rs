//! One point in time for many sessions: lock, freeze, export, and pass on.
//!
//! The coordinator's transaction holds the relation's lock and exports its snapshot. Every session
//! imports it, takes a lock of its own and exports the snapshot again, so that any survivor can hand
//! it on when the coordinator is lost. The snapshot is over when nobody is left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::Mutex;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::super::dialect::quote_relation;
use super::super::{
    BlockedSession, Occupation, Pulse, Result, Session, Snapshot, SnapshotRequest, SourceError,
};
use super::Base;
use super::classify::Subject;
use super::connect::{Link, NAMES_OF_ROLE, OWN_NAMES};
use super::registry::{Registration, Registry};
use super::session::{PgSession, rows_of};
use super::shared::{BEGIN, Hold, Shared, TRIES};
use crate::error::one_line;
use crate::model::{
    ChunkBounds, Consistency, ConsistencyLevel, ReadSpec, RelationKind, SnapshotFacts,
};

/// The longest that asking the server to cancel may take.
const CANCEL_LIMIT: Duration = Duration::from_secs(3);

/// The coordinator's transaction.
struct Coordinator {
    link: Link,
    registration: Registration,
    /// A count runs on it; still set when the counting was dropped half-way.
    counting: bool,
}

impl Coordinator {
    fn new(link: Link, registration: Registration) -> Self {
        Self {
            link,
            registration,
            counting: false,
        }
    }
}

/// One point in time of a relation.
pub(super) struct PgSnapshot {
    shared: Arc<Shared>,
    facts: SnapshotFacts,
    /// Absent when each chunk has its own point in time, and when it was lost or closed.
    coordinator: Mutex<Option<Coordinator>>,
    /// Others stand at this point in time, and somebody else sees who waits for all of us.
    joint: bool,
}

/// A point in time, as the server tells it.
pub(super) struct Point {
    pub(super) position: Option<String>,
    pub(super) taken_at: String,
    /// The server is a standby.
    pub(super) standby: bool,
}

impl PgSnapshot {
    /// Locks, freezes and exports.
    pub(super) async fn open(
        base: Arc<Base>,
        read: &ReadSpec,
        request: &SnapshotRequest,
    ) -> Result<Self> {
        let group = Registry::group(&Arc::default());
        let mut shared = Shared::new(base, read, request, group);
        let link = freeze(&mut shared).await?;
        let exports = !shared.per_chunk();
        let (facts, pid, export) = examine(&shared, &link, exports).await?;
        shared.standby = facts.notes.iter().any(|note| note == FROM_A_STANDBY);
        let coordinator = if exports {
            let registration = shared.group.join(pid, export, link.cancel_token());
            Some(Coordinator::new(link, registration))
        } else {
            link.close().await;
            None
        };
        Ok(Self {
            shared: Arc::new(shared),
            facts,
            coordinator: Mutex::new(coordinator),
            joint: false,
        })
    }

    /// Enters a point in time that is there already, with a coordinator of its own.
    pub(super) async fn enter(shared: Shared, point: &Point) -> Result<Self> {
        let (link, registration) = shared.coordinate().await?;
        let (facts, _, _) = examine(&shared, &link, false).await?;
        let facts = SnapshotFacts {
            position: point.position.clone(),
            taken_at: point.taken_at.clone(),
            ..facts
        };
        Ok(Self {
            shared: Arc::new(shared),
            facts,
            coordinator: Mutex::new(Some(Coordinator::new(link, registration))),
            joint: true,
        })
    }

    /// Counts on the coordinator's session.
    async fn count_in(&self, read: &ReadSpec, chunk: &ChunkBounds) -> Result<u64> {
        if self.shared.per_chunk() {
            let (link, _registration) = self.shared.on_its_own().await?;
            let opening = self.shared.opening(None);
            link.execute(&self.shared.subject, &opening).await?;
            let count = self.count_on(&link, read, chunk).await;
            link.close().await;
            return count;
        }
        let mut coordinator = self.coordinator.lock().await;
        if coordinator
            .as_ref()
            .is_none_or(|held| held.link.is_closed())
        {
            // Lost: a session that still has the snapshot hands it on to a new coordinator.
            *coordinator = None;
            let (link, registration) = self.shared.coordinate().await?;
            *coordinator = Some(Coordinator::new(link, registration));
        }
        let Some(held) = coordinator.as_mut() else {
            return Err(self.shared.lost());
        };
        held.counting = true;
        let count = self.count_on(&held.link, read, chunk).await;
        held.counting = false;
        if count.is_err() {
            // A failed statement ends the transaction, and its export with it.
            *coordinator = None;
        }
        count
    }

    async fn count_on(&self, link: &Link, read: &ReadSpec, chunk: &ChunkBounds) -> Result<u64> {
        let sql = format!("SELECT pg_catalog.count(*) FROM {}", rows_of(read, chunk)?);
        let (subject, by_role) = (&self.shared.subject, self.shared.by_role());
        if by_role {
            link.execute(subject, NAMES_OF_ROLE).await?;
        }
        let row = link.row(subject, &sql, &[]).await?;
        if by_role {
            link.execute(subject, OWN_NAMES).await?;
        }
        u64::try_from(row.get::<_, i64>(0)).map_err(|error| SourceError::Protocol {
            target: self.shared.target().to_owned(),
            why: format!("count(*): {error}"),
        })
    }
}

/// Opens the coordinator's transaction with the relation held and the snapshot taken; falls back to
/// touching where locking is not allowed.
async fn freeze(shared: &mut Shared) -> Result<Link> {
    let link = shared.base.connector.open().await?;
    let mut failure = None;
    let mut tries = 0;
    while tries < TRIES {
        let opening = format!("{BEGIN}{}{}{OWN_NAMES}", shared.pins(), shared.holding());
        match link.attempt(&opening).await {
            Ok(()) => match shared.check_files(&link).await {
                Ok(()) => return Ok(link),
                Err(changed @ SourceError::Changed { .. }) => failure = Some(changed),
                Err(error) => return Err(error),
            },
            Err(error) if shared.hold == Hold::Lock && may_touch(&error) => {
                // A column grant, or a kind of relation that this version cannot lock.
                shared.hold = Hold::Touch;
                tries = 0;
                link.execute(&shared.subject, "ROLLBACK").await?;
                continue;
            }
            Err(error) => match shared.explain(&link, &error).await {
                locked @ SourceError::Locked { .. } => failure = Some(locked),
                error => return Err(error),
            },
        }
        tries += 1;
        link.execute(&shared.subject, "ROLLBACK").await?;
    }
    // Every way to the end of the loop left its reason.
    Err(failure.unwrap_or_else(|| SourceError::Locked {
        object: shared.read.relation.to_string(),
        why: "no try was made".to_owned(),
    }))
}

/// Whether a relation that cannot be locked may still be read.
pub(super) fn may_touch(error: &tokio_postgres::Error) -> bool {
    let row_security = error
        .as_db_error()
        .is_some_and(|db| db.routine() == Some("check_enable_rls"));
    !row_security
        && [
            SqlState::INSUFFICIENT_PRIVILEGE,
            SqlState::WRONG_OBJECT_TYPE,
        ]
        .iter()
        .any(|code| error.code() == Some(code))
}

/// What a person should know of a standby's snapshot.
const FROM_A_STANDBY: &str = "read from a standby";

/// It, of a standby.
pub(super) fn standby_note(standby: bool) -> Option<String> {
    standby.then(|| FROM_A_STANDBY.to_owned())
}

/// The facts of a snapshot that is open, and what keeps them from being all there is.
const FACTS: &str = "
    SELECT pg_backend_pid(),
           CASE WHEN $2 THEN pg_export_snapshot() END,
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                ELSE pg_current_wal_lsn() END::text,
           to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
           coalesce(row_security_active(to_regclass($1)), false),
           pg_is_in_recovery(),
           (SELECT reset_val FROM pg_settings WHERE name = 'search_path'),
           (SELECT coalesce(bool_or(row_security_active(l.relation)), false) FROM pg_locks l
            WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation'),
           (SELECT string_agg(DISTINCT c.oid::regclass::text, ', ') FROM pg_class c WHERE c.relkind = 'f'
            AND c.oid IN (SELECT l.relation FROM pg_locks l
                          WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation'))";

/// Checks that the relation is what the plan was made for, and learns the snapshot's facts, the server
/// process, and what it exported where it was to export.
async fn examine(
    shared: &Shared,
    link: &Link,
    exports: bool,
) -> Result<(SnapshotFacts, i32, Option<String>)> {
    let is_query = shared.read.kind == RelationKind::Query;
    // A table may have the query's name.
    let name = (!is_query).then(|| quote_relation(&shared.read.relation));
    let row = link
        .row(
            &shared.subject,
            FACTS,
            &[(&name, Type::TEXT), (&exports, Type::BOOL)],
        )
        .await?;
    let mut notes = Vec::new();
    let (active, active_behind): (bool, bool) = (row.get(4), row.get(7));
    if active && !shared.request.allow_row_security {
        return Err(SourceError::RowSecurity {
            table: shared.read.relation.to_string(),
            user: shared.base.connector.place().user.clone(),
        });
    }
    if active {
        notes.push("row security is active: only rows that the role may see are read".to_owned());
    } else if active_behind && shared.request.allow_row_security {
        // Where it was not allowed, the server itself fails rather than hide a row.
        notes.push("row security is active on a table behind it, and may hide rows".to_owned());
    }
    if row.get(5) {
        notes.push(FROM_A_STANDBY.to_owned());
    }
    if is_query || shared.read.filter.is_some() {
        notes.push(format!(
            "the {} ran with search_path = {}",
            if is_query { "query" } else { "filter" },
            row.get::<_, String>(6)
        ));
    }
    let foreign: Option<String> = row.get(8);
    let level = level(shared, foreign.as_deref())?;
    notes.extend(foreign.map(|names| {
        format!(
            "{names}: rows of a foreign table are read as they are there, outside of the snapshot"
        )
    }));
    super::catalog::check_columns(shared.base.as_ref(), link, &shared.read).await?;
    let facts = SnapshotFacts {
        level,
        readers: shared.request.sessions,
        position: row.get(2),
        taken_at: row.get(3),
        held_by: match shared.hold {
            Hold::Lock => "ACCESS SHARE lock",
            Hold::Touch => "relfilenode check",
        }
        .to_owned(),
        notes,
    };
    Ok((facts, row.get(0), row.get(1)))
}

/// What is achieved: foreign tables are in no snapshot of this server's, so that two readers of one
/// see two points in time.
fn level(shared: &Shared, foreign: Option<&str>) -> Result<ConsistencyLevel> {
    match foreign {
        Some(names) if shared.request.consistency == Consistency::Snapshot => {
            Err(SourceError::Consistency {
                object: shared.read.relation.to_string(),
                why: format!(
                    "{names}: the rows of a foreign table are in no snapshot of this server"
                ),
            })
        }
        _ if shared.per_chunk() => Ok(ConsistencyLevel::PerChunk),
        Some(_) if shared.request.sessions > 1 => Ok(ConsistencyLevel::PerChunk),
        Some(_) => Ok(ConsistencyLevel::SingleTransaction),
        None => Ok(ConsistencyLevel::SharedSnapshot),
    }
}

#[async_trait]
impl Snapshot for PgSnapshot {
    fn facts(&self) -> SnapshotFacts {
        self.facts.clone()
    }

    async fn session(&self) -> Result<Box<dyn Session>> {
        let shared = Arc::clone(&self.shared);
        let (link, registration) = if shared.per_chunk() {
            shared.on_its_own().await?
        } else {
            shared.import().await?
        };
        Ok(Box::new(PgSession::new(link, shared, registration)?))
    }

    async fn count(&self) -> Result<u64> {
        self.count_of(&ChunkBounds::All).await
    }

    async fn count_of(&self, chunk: &ChunkBounds) -> Result<u64> {
        self.count_in(&self.shared.read, chunk).await
    }

    async fn count_where(&self, filter: Option<&str>) -> Result<u64> {
        let read = self.shared.read.filtered(filter);
        self.count_in(&read, &ChunkBounds::All).await
    }

    fn holds_each_chunk(&self) -> bool {
        // A view may hide what cannot be locked.
        let lockable = matches!(
            self.shared.read.kind,
            RelationKind::Table | RelationKind::Partitioned
        );
        self.shared.hold == Hold::Lock && lockable
    }

    async fn blocked(&self) -> Result<Vec<BlockedSession>> {
        if self.joint {
            return Ok(Vec::new());
        }
        let shared = &self.shared;
        blocked(&shared.base, &shared.subject, &shared.group.pids()).await
    }

    async fn pulse(&self, lag: bool) -> Result<Pulse> {
        super::pulse::pulse(&self.shared.base, lag).await
    }

    async fn occupations(&self) -> Result<Option<BTreeMap<u64, Occupation>>> {
        let ours = self.shared.group.pids();
        super::pulse::occupations(&self.shared.base, &ours)
            .await
            .map(Some)
    }

    async fn cancel(&self) {
        let connector = &self.shared.base.connector;
        let tokens = self.shared.group.cancel_tokens();
        let requests = join_all(tokens.iter().map(|token| connector.cancel(token)));
        if tokio::time::timeout(CANCEL_LIMIT, requests).await.is_err() {
            tracing::debug!("cancel requests took longer than {CANCEL_LIMIT:?}");
        }
    }

    async fn close(&self) -> Result<()> {
        let Some(coordinator) = self.coordinator.lock().await.take() else {
            return Ok(());
        };
        let Coordinator {
            link,
            registration,
            counting,
        } = coordinator;
        registration.withdraw();
        if counting {
            // Nobody waits for that count any more, and nothing is published on it.
            let token = link.cancel_token();
            let cancel = self.shared.base.connector.cancel(&token);
            if tokio::time::timeout(CANCEL_LIMIT, cancel).await.is_err() {
                tracing::debug!("the cancel request took longer than {CANCEL_LIMIT:?}");
            }
            link.abort();
            return Ok(());
        }
        // A coordinator that was lost held nothing at the end; every session checked for itself.
        if link.is_closed() {
            return Ok(());
        }
        self.shared.check_files(&link).await?;
        link.execute(&self.shared.subject, "COMMIT").await?;
        link.close().await;
        Ok(())
    }
}

/// Sessions of others that wait for a lock of one of our server processes.
pub(super) async fn blocked(
    base: &Base,
    subject: &Subject,
    ours: &[i32],
) -> Result<Vec<BlockedSession>> {
    let sql = "
        SELECT w.pid, left(coalesce(a.query, ''), 200)
        FROM (SELECT DISTINCT pid FROM pg_locks WHERE NOT granted) w
        LEFT JOIN pg_stat_activity a ON a.pid = w.pid
        WHERE pg_blocking_pids(w.pid) && $1 AND NOT w.pid = ANY ($1)
        ORDER BY w.pid";
    let link = base.link().await?;
    let rows = link.ask(subject, sql, &[(&ours, Type::INT4_ARRAY)]).await?;
    Ok(rows
        .iter()
        .map(|row| BlockedSession {
            id: row.get::<_, i32>(0).to_string(),
            statement: one_line(row.get(1)),
        })
        .collect())
}
