//! What a snapshot and its sessions share.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::super::seats::Seats;
use super::super::{Result, SnapshotRequest, SourceError};
use super::Base;
use super::classify::Subject;
use super::connect::{Link, cut};
use super::sql;
use crate::model::{ChunkBounds, ConsistencyLevel, ReadSpec};

/// What a snapshot and its sessions share.
pub(super) struct Shared {
    pub(super) base: Arc<Base>,
    pub(super) read: ReadSpec,
    pub(super) request: SnapshotRequest,
    pub(super) subject: Subject,
    pub(super) seats: Seats<Link>,
    pub(super) level: ConsistencyLevel,
    /// What every session of a chunk's own point in time begins with.
    pub(super) isolation: &'static str,
    pub(super) cords: Cords,
}

/// What the snapshot's connections can be cut by, as long as they are there.
#[derive(Default)]
pub(super) struct Cords(Mutex<Vec<Weak<std::net::TcpStream>>>);

impl Cords {
    /// Knows this connection, too.
    pub(super) fn add(&self, link: &Link) {
        let mut cords = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cords.push(Arc::downgrade(link.cord()));
    }

    /// Cuts every connection.
    pub(super) fn cut(&self) {
        let cords = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cords
            .iter()
            .filter_map(Weak::upgrade)
            .for_each(|cord| cut(&cord));
    }
}

impl Shared {
    /// `host:port`.
    pub(super) fn target(&self) -> &str {
        &self.base.connector.place().target
    }

    /// Whether each chunk has a point in time of its own.
    pub(super) fn per_chunk(&self) -> bool {
        self.level == ConsistencyLevel::PerChunk
    }

    /// A session where each chunk has its own point in time.
    pub(super) async fn open(&self) -> Result<Link> {
        let mut link = self.base.connector.open(self.request.lock_wait).await?;
        link.run(&self.subject, self.isolation).await?;
        self.cords.add(&link);
        Ok(link)
    }

    pub(super) fn lost(&self) -> SourceError {
        SourceError::SnapshotLost {
            object: self.read.relation.to_string(),
            why: "every session that held it has ended".to_owned(),
        }
    }

    /// Asks the server whether it, too, takes the chunk's bounds to be in order: a plan may come from
    /// another server, or from before its collation changed.
    pub(super) async fn check_ascends(&self, link: &mut Link, chunk: &ChunkBounds) -> Result<()> {
        let (ChunkBounds::Key(range), Some(key)) = (chunk, self.read.key.as_ref()) else {
            return Ok(());
        };
        let mismatch = |why: String| SourceError::PlanMismatch {
            table: self.read.relation.to_string(),
            why,
        };
        let question = sql::ascends(key, range).map_err(|error| mismatch(error.to_string()))?;
        let Some(question) = question else {
            return Ok(());
        };
        let rows = link.ask(&self.subject, &question).await?;
        if rows.into_iter().flatten().flatten().next().as_deref() == Some("1") {
            return Ok(());
        }
        Err(mismatch(format!(
            "the server orders the bounds {chunk} of {key} the other way round"
        )))
    }
}
