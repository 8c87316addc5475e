//! What the runs of a set share while they read.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::error::Failure;
use crate::model::ReadSpec;
use crate::source::{self, Joint, Snapshot, SnapshotRequest, Source};
use crate::ui::{Overall, Progress};

/// What the runs of a set share while they read.
pub(super) struct Common {
    /// Their point in time, where they have one.
    pub(super) joint: Option<Arc<dyn Joint>>,
    /// When it was asked for, by the clock's monotonic time.
    pub(super) since: Duration,
    /// Sessions of all of them at once, who share the memory of one run.
    pub(super) sessions: u32,
    /// Ends every read: a signal, or that others waited for us for too long.
    pub(super) stop: CancellationToken,
    /// Why it was ended, where that was no signal.
    pub(super) why: OnceLock<Failure>,
    /// The progress of all.
    pub(super) progress: Overall,
}

impl Common {
    /// The snapshot of one table: at the common point in time, if it is part of that.
    pub(super) async fn snapshot(
        &self,
        source: &dyn Source,
        read: &ReadSpec,
        request: &SnapshotRequest,
    ) -> source::Result<Arc<dyn Snapshot>> {
        if let Some(joint) = &self.joint
            && let Some(snapshot) = joint.snapshot(read, request).await?
        {
            return Ok(snapshot);
        }
        source.snapshot(read, request).await
    }

    /// The progress of one table as a part of all, `now` being the clock's monotonic time.
    pub(super) fn part(&self, table: &str, now: Duration) -> Progress {
        self.progress.part(table, now.saturating_sub(self.since))
    }
}
