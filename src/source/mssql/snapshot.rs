//! One point in time of a relation, and who waits for us because of it.

use std::sync::Arc;

use async_trait::async_trait;

use super::super::dialect::where_clause;
use super::super::seats::{Line, Seats};
use super::super::{
    BlockedSession, Pulse, Result, Session, Snapshot, SnapshotRequest, SourceError,
};
use super::Base;
use super::acquire::Acquisition;
use super::catalog::{self, Entry};
use super::classify::Subject;
use super::connect::Link;
use super::session::SqlServerSession;
use super::shared::{Cords, Shared};
use super::sql::{Statement, from_item};
use super::statistics::bounded;
use crate::error::one_line;
use crate::model::{ReadSpec, SnapshotFacts};

/// One point in time of a relation.
pub(super) struct SqlServerSnapshot {
    shared: Arc<Shared>,
    facts: SnapshotFacts,
    /// What the catalogue said of the relation when it began.
    entry: Option<Entry>,
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
        let facts = SnapshotFacts {
            level: acquired.level,
            readers: u32::try_from(acquired.readers)
                .unwrap_or(u32::MAX)
                .min(request.sessions.max(1)),
            position: acquired.position,
            taken_at: acquired.taken_at,
            held_by: acquired.held_by.to_owned(),
            notes: acquired.notes,
        };
        let cords = Cords::default();
        acquired.links.iter().for_each(|link| cords.add(link));
        Ok(Self {
            entry: acquired.entry,
            shared: Arc::new(Shared {
                seats: Seats::new(acquired.links),
                base,
                read: read.clone(),
                request: request.clone(),
                subject,
                level: acquired.level,
                isolation: acquired.isolation,
                cords,
            }),
            facts,
        })
    }

    /// Counts on a session that nothing is read on.
    async fn count_in(&self, filter: Option<&str>) -> Result<u64> {
        if self.shared.per_chunk() {
            let mut link = self.shared.open().await?;
            let count = self.count_on(&mut link, filter).await;
            link.close().await;
            return count;
        }
        // On the spare session; where it reads, or is lost, between the chunks of another.
        for seat in self.shared.seats.spare_first() {
            let Some(mut held) = seat.take().await else {
                continue;
            };
            let Some(link) = held.as_mut() else { continue };
            let count = self.count_on(link, filter).await;
            if count.is_err() {
                self.shared.seats.lose(&seat, held);
            }
            return count;
        }
        Err(self.shared.lost())
    }

    async fn count_on(&self, link: &mut Link, filter: Option<&str>) -> Result<u64> {
        let read = &self.shared.read;
        let sql = format!(
            "SELECT COUNT_BIG(*) FROM {}{}",
            from_item(&read.relation, read.query.as_deref()),
            where_clause(filter, None)
        );
        let rows = link
            .ask(&self.shared.subject, &Statement::plain(sql))
            .await?;
        let count = rows.into_iter().flatten().flatten().next();
        count
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| SourceError::Protocol {
                target: self.shared.target().to_owned(),
                why: "COUNT_BIG(*) gave no number".to_owned(),
            })
    }
}

#[async_trait]
impl Snapshot for SqlServerSnapshot {
    fn facts(&self) -> SnapshotFacts {
        self.facts.clone()
    }

    async fn session(&self) -> Result<Box<dyn Session>> {
        let shared = &self.shared;
        let seats = &shared.seats;
        let (place, seat) = match seats.claim() {
            Some(claimed) => claimed,
            None if shared.per_chunk() => seats.add(shared.open().await?),
            None if seats.any_left() => {
                return Err(SourceError::TooManyConnections {
                    target: shared.target().to_owned(),
                    why: "every session of the snapshot that is left is in use".to_owned(),
                });
            }
            None => return Err(shared.lost()),
        };
        Ok(Box::new(SqlServerSession::new(
            Arc::clone(shared),
            place,
            seat,
        )?))
    }

    async fn count(&self) -> Result<u64> {
        self.count_in(self.shared.read.filter.as_deref()).await
    }

    async fn count_where(&self, filter: Option<&str>) -> Result<u64> {
        self.count_in(filter).await
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
        let Some(before) = &self.entry else {
            return Ok(());
        };
        // Schema locks last one statement here, so what stands there now may be another table.
        let base = &self.shared.base;
        let relation = &self.shared.read.relation;
        let now = {
            let mut link = base.link().await?;
            catalog::entry(base, &mut link, relation).await?
        };
        let why = match now {
            Some(now) if now == *before => return Ok(()),
            Some(now) if now.id == before.id => {
                format!("it was altered at {} by the server's clock", now.modified)
            }
            Some(_) => "another table has its name now".to_owned(),
            None => "it was dropped".to_owned(),
        };
        Err(SourceError::Changed {
            object: relation.to_string(),
            why,
        })
    }
}
