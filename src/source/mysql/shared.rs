//! What a snapshot and its sessions share.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::super::seats::Seats;
use super::super::{Result, SnapshotRequest, SourceError};
use super::Base;
use super::classify::Subject;
use super::connect::Link;
use super::sql;
use crate::model::{ChunkBounds, ConsistencyLevel, ReadSpec};

/// What a snapshot and its sessions share.
pub(super) struct Shared {
    pub(super) base: Arc<Base>,
    pub(super) read: ReadSpec,
    pub(super) request: SnapshotRequest,
    pub(super) subject: Subject,
    pub(super) seats: Arc<Seats<Link>>,
    pub(super) level: ConsistencyLevel,
    /// Where sessions are looked after that other tables go on with; absent where none does.
    pub(super) joint: Option<Handle>,
}

impl Shared {
    /// `host:port`.
    pub(super) fn target(&self) -> &str {
        &self.base.connector.place().target
    }

    /// Whether each chunk has a transaction of its own.
    pub(super) fn per_chunk(&self) -> bool {
        self.level == ConsistencyLevel::PerChunk
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
        let rows = link
            .texts(&self.subject, &format!("SELECT {question}"))
            .await?;
        if rows
            .into_iter()
            .flatten()
            .flatten()
            .any(|answer| answer == "1")
        {
            Ok(())
        } else {
            Err(mismatch(format!(
                "the server orders the bounds {chunk} of {key} the other way round"
            )))
        }
    }
}
