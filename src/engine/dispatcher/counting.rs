//! The server's own count, beside the read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::clock::SharedClock;
use crate::engine::retry;
use crate::model::{ChunkBounds, PlannedChunk, RetryPolicy};
use crate::source::{Snapshot, SourceError};

/// A count under way.
pub(super) type Counting = BoxFuture<'static, Result<Counted, SourceError>>;

/// What the server has counted.
pub(super) struct Counted {
    /// All rows.
    pub(super) rows: u64,
    /// Those in the range of each chunk that is kept.
    pub(super) kept: BTreeMap<u32, u64>,
    /// What it took.
    pub(super) took: Duration,
}

/// Asks the server to count, again after passing errors.
pub(super) struct Counter {
    pub(super) snapshot: Arc<dyn Snapshot>,
    pub(super) clock: SharedClock,
    pub(super) policy: RetryPolicy,
    pub(super) seed: u64,
}

impl Counter {
    /// Counts all rows and, where chunks are kept, what these hold by now: what was read can only be
    /// compared with the rest.
    pub(super) fn count(self, kept: Vec<PlannedChunk>) -> Counting {
        async move {
            let begun = self.clock.monotonic();
            let rows = self.rows(&ChunkBounds::All).await?;
            let mut in_kept = BTreeMap::new();
            for chunk in &kept {
                in_kept.insert(chunk.number, self.rows(&chunk.bounds).await?);
            }
            Ok(Counted {
                rows,
                kept: in_kept,
                took: self.clock.monotonic().saturating_sub(begun),
            })
        }
        .boxed()
    }

    async fn rows(&self, bounds: &ChunkBounds) -> Result<u64, SourceError> {
        let mut pauses = retry::pauses(self.policy, self.seed);
        loop {
            let counted = match bounds {
                ChunkBounds::All => self.snapshot.count().await,
                bounds => self.snapshot.count_of(bounds).await,
            };
            match counted {
                Err(error) if error.is_transient() => match pauses.next() {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => return Err(error),
                },
                counted => return counted,
            }
        }
    }
}
