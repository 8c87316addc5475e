//! Chunks that are remembered as they are finished, for a run that goes on with this one.

use crate::cli::history::History;
use crate::engine::event::Event;
use crate::model::{FinishedChunk, RunId, SnapshotFacts, outlive};

/// Remembers chunks as they are finished.
pub(super) struct Remember<'a> {
    /// Where; nowhere once that failed, or where nothing could be kept.
    pub(super) history: Option<&'a mut History>,
    pub(super) run: &'a RunId,
    pub(super) facts: &'a SnapshotFacts,
}

impl Remember<'_> {
    /// Remembers what an event tells of.
    pub(super) fn hear(&mut self, event: &Event) {
        let Event::ChunkFinished {
            record,
            files,
            key_sum,
        } = event
        else {
            return;
        };
        let Some(history) = &mut self.history else {
            return;
        };
        // What waits in memory is not there for another run.
        if !outlive(files) {
            return;
        }
        let chunk = FinishedChunk {
            record: record.clone(),
            files: files.clone(),
            key_sum: *key_sum,
            run: self.run.clone(),
            snapshot: self.facts.clone(),
        };
        if !history.keep_chunk(self.run, &chunk) {
            self.history = None;
        }
    }
}
