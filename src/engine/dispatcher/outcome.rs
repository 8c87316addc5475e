//! What an execution comes to, once every worker has stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Dispatcher;
use crate::controller::within_run::Confidence;
use crate::engine::Execution;
use crate::engine::error::EngineError;
use crate::engine::event::Event;
use crate::model::{ChunkRecord, ChunkStatus, WorkerRecord};

impl Dispatcher<'_> {
    /// The sum of the run. No error, yet a chunk that is not done, is an error of its own.
    pub(super) fn outcome(mut self, on_event: &mut (dyn FnMut(Event) + Send)) -> Execution {
        let elapsed = self.elapsed();
        let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let chunks: Vec<ChunkRecord> = self.chunks.into_values().collect();
        let unfinished = chunks
            .iter()
            .filter(|chunk| chunk.status != ChunkStatus::Success)
            .count();
        if self.failure.is_none() && unfinished > 0 {
            let why = format!("{unfinished} chunks are unfinished and no error was reported");
            self.failure = Some(EngineError::WorkerDied { why });
        }
        let finished: Vec<&ChunkRecord> = chunks
            .iter()
            .filter(|chunk| chunk.status == ChunkStatus::Success)
            .collect();
        let rows = finished.iter().map(|chunk| chunk.rows).sum();
        let bytes = finished.iter().map(|chunk| chunk.bytes).sum();
        let nulled = nulled(&finished);
        let effective_workers = effective_workers(&finished, elapsed, self.spec.workers);
        let done = u32::try_from(finished.len()).unwrap_or(u32::MAX);
        if self.failure.is_none() {
            on_event(Event::Drained { rows, elapsed });
        }
        for (worker, hand) in &self.hands {
            // Who is gone was told of then.
            if self.failure.is_none() && !hand.ready && !hand.gone {
                self.adaptations.push(format!(
                    "worker {worker} had no session yet when the others had finished"
                ));
            }
        }
        let sessions = self.hands.values().filter(|hand| hand.ready).count();
        let workers = self
            .hands
            .into_values()
            .filter(|hand| !hand.gone || hand.record.chunks > 0);
        let workers = workers
            .map(|hand| WorkerRecord {
                idle_ms: elapsed_ms.saturating_sub(hand.record.busy_ms),
                ..hand.record
            })
            .collect();
        let counted = self.counted;
        Execution {
            result: self.failure.map_or(Ok(()), Err),
            rows,
            bytes,
            counted: counted.as_ref().map(|counted| counted.rows),
            count_took: counted.as_ref().map(|counted| counted.took),
            counted_kept: counted.map(|counted| counted.kept).unwrap_or_default(),
            elapsed,
            key_sums: self.summed,
            receipts: self.receipts.into_values().flatten().collect(),
            confidence: confidence(self.shed, self.breached, done),
            effective_workers,
            nulled,
            sessions: u32::try_from(sessions).unwrap_or(u32::MAX),
            workers,
            chunks,
            executed: self.executed.into_values().collect(),
            adaptations: self.adaptations,
        }
    }
}

/// Mean number of busy workers.
fn effective_workers(finished: &[&ChunkRecord], elapsed: Duration, planned: u32) -> f64 {
    let busy = finished.iter().map(|chunk| chunk.duration_ms as f64);
    let busy_s: f64 = busy.map(|ms| ms / 1000.0).sum();
    let planned = f64::from(planned);
    if elapsed.is_zero() {
        planned
    } else {
        (busy_s / elapsed.as_secs_f64()).clamp(1.0, planned.max(1.0))
    }
}

/// How far the speed may teach, of so many finished chunks of which so many breached the latency rule:
/// with workers held up it is not that of the planned number.
fn confidence(shed: bool, breached: u32, done: u32) -> Confidence {
    if shed {
        Confidence::Low
    } else {
        Confidence::from_breaches(breached, done)
    }
}

/// Values that stand as NULL in all chunks together, by column.
fn nulled(chunks: &[&ChunkRecord]) -> BTreeMap<String, u64> {
    let mut nulled = BTreeMap::new();
    for (column, count) in chunks.iter().flat_map(|chunk| &chunk.nulled) {
        *nulled.entry(column.clone()).or_default() += count;
    }
    nulled
}
