//! What a snapshot and its sessions share: the statements that open, pin and hold a transaction, and
//! the way into the snapshot.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::super::dialect::{Dialect, from_item, quote_literal, quote_relation};
use super::super::{Result, SnapshotRequest, SourceError};
use super::Base;
use super::classify::Subject;
use super::connect::{Link, NAMES_OF_ROLE, OWN_NAMES};
use super::registry::{Registration, Registry};
use crate::clock::SharedClock;
use crate::error::one_line;
use crate::model::{Consistency, ReadSpec, RelationKind};

/// Tries for the lock, sharing the wait, and for a relation that was replaced under our eyes.
pub(super) const TRIES: u32 = 3;

/// How the relation is kept from being replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// `LOCK TABLE … IN ACCESS SHARE MODE`, before the snapshot.
    Lock,
    /// Reading from it takes the same lock, but after the snapshot: files are compared.
    Touch,
}

/// What a snapshot and its sessions share.
pub(super) struct Shared {
    pub(super) base: Arc<Base>,
    pub(super) read: ReadSpec,
    pub(super) request: SnapshotRequest,
    pub(super) subject: Subject,
    pub(super) hold: Hold,
    /// The server is a standby.
    pub(super) standby: bool,
    pub(super) registry: Arc<Registry>,
}

impl Shared {
    /// What is read.
    pub(super) fn read(&self) -> &ReadSpec {
        &self.read
    }

    /// What errors name.
    pub(super) fn subject(&self) -> &Subject {
        &self.subject
    }

    /// `host:port`.
    pub(super) fn target(&self) -> &str {
        &self.base.connector.place().target
    }

    /// The clock.
    pub(super) fn clock(&self) -> &SharedClock {
        &self.base.clock
    }

    /// Bytes a batch gathers.
    pub(super) fn batch_bytes(&self) -> usize {
        self.request.batch_bytes
    }

    /// Whether each chunk has a transaction of its own.
    pub(super) fn per_chunk(&self) -> bool {
        self.request.consistency == Consistency::PerChunk
    }

    /// Whether what is read names things as the role does: a filter, a query, and the functions inside
    /// a view. All else, casts that print names included, uses the server's own names.
    pub(super) fn by_role(&self) -> bool {
        self.read.filter.is_some()
            || matches!(self.read.kind, RelationKind::View | RelationKind::Query)
    }

    /// The statements that open a reader's transaction: begin, import, pins, lock.
    pub(super) fn opening(&self, import: Option<&str>) -> String {
        let snapshot = import.map_or_else(String::new, |id| {
            format!(
                "SET TRANSACTION SNAPSHOT {};",
                quote_literal(Dialect::PostgreSql, id)
            )
        });
        // Zero is no limit at all, whatever the role's or the database's own is.
        let limit = self.base.statement_timeout.as_millis();
        // Last: what is held may be a query. An importer has questions of its own first.
        let names = if self.by_role() && import.is_none() {
            ""
        } else {
            OWN_NAMES
        };
        // Each reader is one process of the server: parallelism is our workers', and compiling the
        // statement anew for every chunk costs more than it saves.
        format!(
            "{BEGIN}{snapshot}{}SET LOCAL quote_all_identifiers = off;\
             SET LOCAL statement_timeout = {limit};SET LOCAL jit = off;\
             SET LOCAL max_parallel_workers_per_gather = 0;{}{names}",
            self.pins(),
            self.holding()
        )
    }

    /// The pins of this snapshot's transactions.
    pub(super) fn pins(&self) -> String {
        let mut sql = pins(
            self.base.version,
            self.request.lock_wait / TRIES,
            self.request.allow_row_security,
        );
        if self.base.bytes_as_text {
            // Asked for UTF-8, such a server fails at the first byte that is none, and says not where.
            sql.push_str("SET LOCAL client_encoding = 'SQL_ASCII';");
        }
        sql
    }

    /// The statement that keeps the relation from being replaced.
    pub(super) fn holding(&self) -> String {
        let relation = from_item(&self.read.relation, self.read.query.as_deref());
        match self.hold {
            // LOCK passes over what is no table or view inside a view.
            Hold::Lock if self.read.kind == RelationKind::View => format!(
                "LOCK TABLE {relation} IN ACCESS SHARE MODE;SELECT 1 FROM {relation} LIMIT 0;"
            ),
            Hold::Lock => format!("LOCK TABLE {relation} IN ACCESS SHARE MODE;"),
            Hold::Touch => format!("SELECT 1 FROM {relation} LIMIT 0;"),
        }
    }

    /// Fails when a relation that we hold has other files now than in the snapshot: it was
    /// truncated, rewritten or refreshed in between, and the snapshot would see it empty.
    pub(super) async fn check_files(&self, link: &Link) -> Result<()> {
        let row = link.row(&self.subject, CHANGED_FILES, &[]).await?;
        match row.get::<_, Option<String>>(0) {
            None => Ok(()),
            Some(names) => Err(SourceError::Changed {
                object: self.read.relation.to_string(),
                why: format!("{names} was truncated, rewritten or refreshed just now"),
            }),
        }
    }

    pub(super) fn lost(&self) -> SourceError {
        if self.standby {
            // An idle session is not told why it was ended; on a standby this is why.
            return SourceError::RecoveryConflict {
                object: self.read.relation.to_string(),
                why: "every session of the snapshot has ended, as happens on a standby whose primary \
                      changed what they read"
                    .to_owned(),
            };
        }
        SourceError::SnapshotLost {
            object: self.read.relation.to_string(),
            why: "the coordinator and every session that held it have ended".to_owned(),
            cause: None,
        }
    }

    /// What an error means; a lock that was not free in time names whoever stands before us.
    pub(super) async fn explain(&self, link: &Link, error: &tokio_postgres::Error) -> SourceError {
        match link.explain(&self.subject, error) {
            SourceError::Locked { object, why } => SourceError::Locked {
                object,
                why: self.lock_owner().await.ok().flatten().unwrap_or(why),
            },
            other => other,
        }
    }

    /// Who holds, or waits for, the one lock that keeps readers out, as far as we may see. A waiting
    /// one counts: the queue is first come, first served, and it came before us.
    async fn lock_owner(&self) -> Result<Option<String>> {
        let sql = "
            SELECT a.pid, coalesce(a.usename::text, '?'), left(coalesce(a.query, ''), 200), l.granted
            FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
            WHERE l.locktype = 'relation' AND l.relation = to_regclass($1)
              AND l.mode = 'AccessExclusiveLock'
            ORDER BY l.granted DESC, l.pid LIMIT 1";
        let name = quote_relation(&self.read.relation);
        let link = self.base.link().await?;
        let rows = link.ask(&self.subject, sql, &[(&name, Type::TEXT)]).await?;
        Ok(rows.first().map(|row| {
            let verb = if row.get(3) { "holds" } else { "waits for" };
            one_line(&format!(
                "session {} of {} {verb} an exclusive lock: {}",
                row.get::<_, i32>(0),
                row.get::<_, String>(1),
                row.get::<_, String>(2)
            ))
        }))
    }

    /// A session that shares nothing with the others but that it can be cancelled.
    pub(super) async fn on_its_own(&self) -> Result<(Link, Registration)> {
        let link = self.base.connector.open().await?;
        let row = link
            .row(&self.subject, "SELECT pg_catalog.pg_backend_pid()", &[])
            .await?;
        let registration = Registry::join(&self.registry, row.get(0), None, link.cancel_token());
        Ok((link, registration))
    }

    /// A session of this snapshot: imported from whoever still offers it, held, and on offer itself.
    pub(super) async fn import(&self) -> Result<(Link, Registration)> {
        loop {
            let Some((number, id)) = self.registry.offer() else {
                return Err(self.lost());
            };
            let link = self.base.connector.open().await?;
            match link.attempt(&self.opening(Some(&id))).await {
                Ok(()) => {
                    self.check_files(&link).await?;
                    let row = link
                        .row(
                            &self.subject,
                            "SELECT pg_backend_pid(), pg_export_snapshot()",
                            &[],
                        )
                        .await?;
                    if self.by_role() {
                        link.execute(&self.subject, NAMES_OF_ROLE).await?;
                    }
                    let export = Some(row.get::<_, String>(1));
                    let registration =
                        Registry::join(&self.registry, row.get(0), export, link.cancel_token());
                    return Ok((link, registration));
                }
                Err(error) if is_stale(&error) => self.registry.remove(number),
                Err(error) => return Err(self.explain(&link, &error).await),
            }
        }
    }
}

/// Every transaction sees one point in time and can write nothing.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;";

/// Relations locked by this transaction whose files differ between the snapshot and now. Mapped
/// catalogues have file number 0 in `pg_class`.
const CHANGED_FILES: &str = "
    SELECT string_agg(c.oid::regclass::text, ', ')
    FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
    WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' AND c.relfilenode <> 0
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND c.relfilenode IS DISTINCT FROM pg_relation_filenode(c.oid)";

/// Whether an import failed because the exporter is gone: the message's code differs by version.
fn is_stale(error: &tokio_postgres::Error) -> bool {
    [
        SqlState::INVALID_PARAMETER_VALUE,
        SqlState::UNDEFINED_OBJECT,
        SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE,
    ]
    .iter()
    .any(|code| error.code() == Some(code))
}

/// How values are written as text and read from it, so that what one session writes another reads.
pub(super) const OUTPUT: &str = "\
    SET LOCAL DateStyle = ISO;SET LOCAL IntervalStyle = iso_8601;SET LOCAL TimeZone = 'UTC';\
    SET LOCAL bytea_output = hex;SET LOCAL extra_float_digits = 3;SET LOCAL client_encoding = 'UTF8';";

/// What every transaction of ours fixes, whatever the role's or database's settings are. `SET LOCAL`,
/// so that a transaction pooler hands no setting on.
fn pins(version: u32, lock_wait: Duration, allow_row_security: bool) -> String {
    let mut sql = format!(
        "{OUTPUT}SET LOCAL enable_tidscan = on;\
         SET LOCAL statement_timeout = 0;SET LOCAL idle_in_transaction_session_timeout = 0;\
         SET LOCAL lock_timeout = {};",
        // Zero would mean to wait for ever.
        lock_wait.as_millis().max(1)
    );
    if version >= 170_000 {
        sql.push_str("SET LOCAL transaction_timeout = 0;");
    }
    if !allow_row_security {
        // The server then fails where it would hide rows, in views too.
        sql.push_str("SET LOCAL row_security = off;");
    }
    sql
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_fit_the_version_and_the_request() {
        let old = pins(150_000, Duration::ZERO, false);
        assert!(old.contains("lock_timeout = 1;") && old.contains("row_security = off;"));
        assert!(!old.contains(" transaction_timeout"));
        let new = pins(180_000, Duration::from_secs(2), true);
        assert!(new.contains("lock_timeout = 2000;SET LOCAL transaction_timeout = 0;"));
        assert!(!new.contains("row_security"));
    }

    #[test]
    fn every_pin_ends_with_its_transaction() {
        let sql = pins(180_000, Duration::from_secs(1), false);
        let statements: Vec<&str> = sql.split_terminator(';').collect();
        assert!(
            statements
                .iter()
                .all(|statement| statement.starts_with("SET LOCAL ")),
            "{sql}"
        );
        assert_eq!(statements.len(), 12);
    }
}
