//! Opening all readers at one point in time: lock, freeze, thaw.
//!
//! A session that reads in none of them holds a lock that keeps writers out while every reader, and
//! one spare, begins its transaction; then it lets go. Beginning a transaction gives up the session's
//! own table locks, so the one that locks is never a reader.

use std::time::Duration;

use futures_util::future::join_all;

use super::super::frozen::{self, cause};
use super::super::seats::Line;
use super::super::{BY_ADMINISTRATOR, Result, SnapshotRequest, SourceError};
use super::Base;
use super::catalog::{self, Entry};
use super::classify::{self, Subject};
use super::connect::Link;
use super::sql::{from_item, quote_account, quote_identifier, quote_relation};
use crate::model::{Consistency, ConsistencyLevel, ReadSpec, RelationKind};

/// Tries for the lock, sharing the wait.
const TRIES: u32 = 3;

/// Every transaction sees one point in time and can write nothing.
const BEGIN: &str = "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";

type Acquired = frozen::Acquired<Link>;

/// What is to be opened.
pub(super) struct Acquisition<'a> {
    pub(super) base: &'a Base,
    pub(super) read: &'a ReadSpec,
    pub(super) request: &'a SnapshotRequest,
    pub(super) subject: &'a Subject,
}

/// A lock that keeps writers out.
struct Gate {
    link: Link,
    held_by: &'static str,
}

impl Acquisition<'_> {
    /// Opens the sessions.
    ///
    /// # Errors
    /// [`SourceError::Consistency`] or [`SourceError::Locked`] when several readers of one point in
    /// time were demanded and cannot be had.
    pub(super) async fn acquire(&self) -> Result<Acquired> {
        let entry = self.entry().await?;
        if self.request.consistency == Consistency::PerChunk {
            return self.per_chunk().await;
        }
        if !entry.is_transactional() {
            return self.locked_to_the_end(&entry).await;
        }
        if self.request.sessions <= 1 {
            return self.alone(None).await;
        }
        let why = match self.together().await {
            Ok(acquired) => return Ok(acquired),
            Err(error) => cause(self.request.consistency, error)?,
        };
        self.alone(Some(why)).await
    }

    /// What the relation is; a query stands for tables of the best kind.
    async fn entry(&self) -> Result<Entry> {
        let unknown = Entry {
            kind: self.read.kind,
            engine: None,
        };
        if self.read.query.is_some() {
            return Ok(unknown);
        }
        let mut link = self.base.link().await?;
        let entry = catalog::entry(self.base, &mut link, &self.read.relation).await?;
        entry.ok_or_else(|| SourceError::PlanMismatch {
            table: self.read.relation.to_string(),
            why: "the table does not exist any more".to_owned(),
        })
    }

    fn from(&self) -> String {
        from_item(&self.read.relation, self.read.query.as_deref())
    }

    /// Every statement that holds the relation, and takes no view of its rows yet.
    fn touch(&self) -> String {
        format!("SELECT 1 FROM {} LIMIT 0", self.from())
    }

    fn unsure(&self) -> Option<String> {
        let what = match self.read.kind {
            RelationKind::View => "a view",
            RelationKind::Query => "the query",
            _ => return None,
        };
        Some(format!(
            "tables behind {what} that are not InnoDB's are in no snapshot: their rows are read as they are then"
        ))
    }

    /// Each chunk has its own point in time: there is nothing to open yet.
    async fn per_chunk(&self) -> Result<Acquired> {
        let mut link = self.base.link().await?;
        catalog::check_columns(self.base, &mut link, self.read).await?;
        let taken_at = self.now(&mut link).await?;
        Ok(Acquired::per_chunk(self.request, taken_at, Vec::new()))
    }

    /// Readers that begin while a lock keeps writers out, for as short a time as can be: they are
    /// connected before it is taken.
    async fn together(&self) -> Result<Acquired> {
        let wanted = self.request.sessions as usize + 1;
        // The one that locks takes the place of the one that asks: no session more than at any time.
        self.base.rest().await;
        let locker = self.base.connector.open().await?;
        let mut links = self.open(wanted).await?;
        let mut gate = match self.gate(locker).await {
            Ok(gate) => gate,
            Err(error) => {
                // There may be room for one more only when these are gone.
                join_all(links.into_iter().map(Link::close)).await;
                return Err(error);
            }
        };
        let begun = join_all(links.iter_mut().map(|link| self.begin(link))).await;
        let taken_at = self.now(&mut gate.link).await?;
        gate.link.run(self.subject, "UNLOCK TABLES").await?;
        let held_by = gate.held_by;
        gate.link.close().await;
        begun.into_iter().collect::<Result<()>>()?;
        let position = match links.last_mut() {
            Some(spare) => {
                catalog::check_columns(self.base, spare, self.read).await?;
                self.position(spare).await
            }
            None => None,
        };
        let mut acquired = Acquired::together(links, wanted, held_by, taken_at);
        acquired.position = position;
        acquired.notes.extend(self.unsure());
        Ok(acquired)
    }

    /// One reader for everything; `why` says what keeps several from standing at one point.
    async fn alone(&self, why: Option<String>) -> Result<Acquired> {
        let mut link = self.base.connector.open().await?;
        // The relation is held before the view of its rows is taken: nobody can replace it between.
        let subject = self.subject;
        link.run(subject, "START TRANSACTION READ ONLY").await?;
        self.touched(&mut link).await?;
        catalog::check_columns(self.base, &mut link, self.read).await?;
        let first = format!("SELECT 1 FROM {} LIMIT 1", self.from());
        let looked = link.try_rows(&first).await;
        looked.map_err(|error| link.explain(subject, &error))?;
        let taken_at = self.now(&mut link).await?;
        let position = self.position(&mut link).await;
        let mut acquired = Acquired::alone(link, "a metadata lock", taken_at);
        acquired.position = position;
        let why = why.map(|why| format!("one reader only; {why}"));
        acquired.notes.extend(why.into_iter().chain(self.unsure()));
        Ok(acquired)
    }

    /// An engine without snapshots: writers wait until everything is read, or nothing is promised.
    async fn locked_to_the_end(&self, entry: &Entry) -> Result<Acquired> {
        let engine = entry.engine.clone().unwrap_or_default();
        let mut links = self.open(self.request.sessions as usize + 1).await?;
        let refused = match self.lock_each(&mut links).await {
            Ok(()) => None,
            Err(SourceError::Denied { why, grant, .. }) => {
                Some(format!("{why}; {BY_ADMINISTRATOR}{grant}"))
            }
            Err(error) => return Err(error),
        };
        if let (Some(why), Consistency::Snapshot) = (&refused, self.request.consistency) {
            return Err(SourceError::Consistency {
                object: self.read.relation.to_string(),
                why: format!("{engine} has no snapshots, and the table cannot be locked: {why}"),
            });
        }
        let mut taken_at = String::new();
        if let Some(first) = links.first_mut() {
            catalog::check_columns(self.base, first, self.read).await?;
            taken_at = self.now(first).await?;
        }
        let (level, held_by, note) = match refused {
            None => (
                ConsistencyLevel::SharedSnapshot,
                "READ locks, held to the end",
                format!("{engine} has no snapshots: writers of the table wait while we read"),
            ),
            Some(why) => (
                ConsistencyLevel::PerChunk,
                "nothing between chunks",
                format!("{engine} has no snapshots, and the table cannot be locked: {why}"),
            ),
        };
        Ok(Acquired {
            readers: (links.len() - 1).max(1),
            links,
            level,
            held_by,
            position: None,
            taken_at,
            notes: vec![note],
        })
    }

    /// Every session takes a lock of its own: who waits to write stands before readers that come
    /// without one. The first lock is kept while the others are taken, so nothing changes between.
    async fn lock_each(&self, links: &mut [Link]) -> Result<()> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut outcome = Ok(());
            for link in links.iter_mut() {
                outcome = self.lock_table(link, 1).await;
                if outcome.is_err() {
                    break;
                }
            }
            match outcome {
                Err(SourceError::Locked { .. }) if tries < TRIES => {
                    for link in links.iter_mut() {
                        link.run(self.subject, "UNLOCK TABLES").await?;
                    }
                }
                outcome => return outcome,
            }
        }
    }

    async fn open(&self, wanted: usize) -> Result<Vec<Link>> {
        frozen::open_several(wanted, || self.base.connector.open()).await
    }

    /// Begins a reader's transaction, and holds the relation for as long as it lasts.
    async fn begin(&self, link: &mut Link) -> Result<()> {
        link.run(self.subject, BEGIN).await?;
        self.touched(link).await
    }

    async fn touched(&self, link: &mut Link) -> Result<()> {
        // The text may be the user's.
        let touched = link.try_rows(&self.touch()).await;
        touched
            .map(|_| ())
            .map_err(|error| link.explain(self.subject, &error))
    }

    /// The lock that keeps writers out, on a session of its own: of the table, or else of the whole
    /// server.
    async fn gate(&self, mut link: Link) -> Result<Gate> {
        if self.read.query.is_some() {
            return self.global_lock(link, None).await;
        }
        match self.lock_table(&mut link, TRIES).await {
            Ok(()) => Ok(Gate {
                link,
                held_by: "LOCK TABLES … READ while all began, metadata locks to the end",
            }),
            Err(SourceError::Denied { why, grant, .. }) => {
                self.global_lock(link, Some((why, grant))).await
            }
            Err(error) => Err(error),
        }
    }

    async fn lock_table(&self, link: &mut Link, tries: u32) -> Result<()> {
        let relation = &self.read.relation;
        let sql = format!("LOCK TABLES {} READ", quote_relation(relation));
        let locked = self.lock(link, &sql, tries).await;
        locked.map_err(|error| match error {
            SourceError::Denied { object, why, .. } => SourceError::Denied {
                object,
                why,
                grant: format!(
                    "GRANT SELECT, LOCK TABLES ON {}.* TO {}",
                    quote_identifier(&relation.schema),
                    self.account()
                ),
            },
            other => other,
        })
    }

    /// `refused` is why the table's own lock could not be had, and the grant for it.
    async fn global_lock(&self, mut link: Link, refused: Option<(String, String)>) -> Result<Gate> {
        let locked = self.lock(&mut link, "FLUSH TABLES WITH READ LOCK", TRIES);
        let locked = locked.await;
        let denied = |error| match error {
            SourceError::Denied { why, .. } => {
                let reload = format!("GRANT RELOAD ON *.* TO {}", self.account());
                let why = match refused {
                    Some((first, grant)) => {
                        format!("{first}, and {why}; {BY_ADMINISTRATOR}{grant}, or {reload}")
                    }
                    None => format!("{why}; {BY_ADMINISTRATOR}{reload}"),
                };
                SourceError::Consistency {
                    object: self.read.relation.to_string(),
                    why: format!("several sessions can begin together only under a lock: {why}"),
                }
            }
            other => other,
        };
        locked.map_err(denied)?;
        Ok(Gate {
            link,
            held_by: "FLUSH TABLES WITH READ LOCK while all began, metadata locks to the end",
        })
    }

    fn account(&self) -> String {
        quote_account(self.base.connector.account())
    }

    /// Takes a lock, in tries that share the wait: while one waits, later writers wait behind it.
    async fn lock(&self, link: &mut Link, sql: &str, tries: u32) -> Result<()> {
        let wait = (self.request.lock_wait / TRIES).max(Duration::from_secs(1));
        let seconds = wait.as_secs();
        // Only so does InnoDB wait for transactions that have written and not yet committed.
        let prepare = format!(
            "SET SESSION lock_wait_timeout = {seconds}, SESSION innodb_lock_wait_timeout = {seconds}, \
             SESSION innodb_table_locks = 1, SESSION autocommit = 0"
        );
        link.run(self.subject, &prepare).await?;
        let mut tried = 0;
        loop {
            tried += 1;
            let Err(error) = link.try_run(sql).await else {
                return Ok(());
            };
            // A view whose tables its definer may not lock.
            if classify::number(&error) == Some(1356) {
                return Err(SourceError::Denied {
                    object: self.read.relation.to_string(),
                    why: classify::words(&error),
                    grant: String::new(),
                });
            }
            match link.explain(self.subject, &error) {
                SourceError::Locked { .. } if tried < tries => {}
                error => return Err(error),
            }
        }
    }

    /// The server's clock, in UTC.
    async fn now(&self, link: &mut Link) -> Result<String> {
        let sql = "SELECT DATE_FORMAT(UTC_TIMESTAMP(6), '%Y-%m-%dT%H:%i:%s.%fZ')";
        let rows = link.texts(self.subject, sql).await?;
        Ok(rows
            .into_iter()
            .flatten()
            .flatten()
            .next()
            .unwrap_or_default())
    }

    /// The server's position in its binary log, where it has one and shows it. Of a reader that began
    /// with others, MariaDB keeps the very position of its snapshot.
    async fn position(&self, link: &mut Link) -> Option<String> {
        let sql = if self.base.server.mariadb {
            "SHOW STATUS LIKE 'Binlog_snapshot_%'"
        } else {
            "SHOW VARIABLES LIKE 'gtid_executed'"
        };
        match link.try_texts(sql).await {
            Ok(rows) => {
                let values = rows.into_iter().filter_map(|row| row.into_iter().nth(1)?);
                let filled = values.filter(|value| !value.is_empty() && value != "0");
                let joined = filled.collect::<Vec<_>>().join(":");
                (!joined.is_empty()).then_some(joined)
            }
            Err(error) => {
                tracing::debug!("no position: {}", classify::words(&error));
                None
            }
        }
    }
}
