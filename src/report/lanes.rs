//! A run's chunks as stretches of their workers' time.

use std::collections::BTreeMap;

use crate::model::{Attribution, ChunkStatus};
use crate::ui::diagnose::ChunkDocument;

/// A stretch of a worker's time: a chunk, or neighbours that are drawn as one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Span {
    /// Start since the run's, in milliseconds.
    pub(super) from_ms: u64,
    /// End, in milliseconds.
    pub(super) to_ms: u64,
    /// The number of the first chunk.
    pub(super) first: u32,
    /// Chunks.
    pub(super) chunks: u32,
    /// Rows written.
    pub(super) rows: u64,
    /// Attempts after the first.
    pub(super) retries: u32,
    /// How they ended.
    pub(super) status: ChunkStatus,
    /// Where their time went.
    pub(super) went: Attribution,
}

/// The stretches of each worker, in order of time and apart from each other; `most` in all where
/// chunks that end well are merged with their neighbours, and one more for each that did not.
pub(super) fn lanes(chunks: &[ChunkDocument<'_>], most: usize) -> BTreeMap<u32, Vec<Span>> {
    let mut lanes: BTreeMap<u32, Vec<Span>> = BTreeMap::new();
    let taken = chunks.iter().filter(|one| one.chunk.worker > 0);
    for one in taken {
        lanes.entry(one.chunk.worker).or_default().push(span(one));
    }
    let all: usize = lanes.values().map(Vec::len).sum();
    let end = lanes.values().flatten().map(|span| span.to_ms).max();
    let each = (most / lanes.len().max(1)).max(1) as u64;
    let bin_ms = (end.unwrap_or(0) / each).max(1);
    for lane in lanes.values_mut() {
        lane.sort_by_key(|span| (span.from_ms, span.first));
        // A chunk's time is that of all its attempts, and its start that of the last.
        for at in 1..lane.len() {
            let next = lane[at].from_ms;
            lane[at - 1].to_ms = lane[at - 1].to_ms.min(next);
        }
        if all > most {
            *lane = merged(lane, bin_ms);
        }
    }
    lanes
}

fn span(one: &ChunkDocument<'_>) -> Span {
    let chunk = one.chunk;
    Span {
        from_ms: chunk.started_ms,
        to_ms: chunk.started_ms.saturating_add(chunk.duration_ms),
        first: chunk.number,
        chunks: 1,
        rows: chunk.rows,
        retries: chunk.retries,
        status: chunk.status,
        went: one.attribution,
    }
}

/// Stretches that begin within the same `bin_ms`, as one.
fn merged(lane: &[Span], bin_ms: u64) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::new();
    for span in lane {
        let well = |span: &Span| span.status == ChunkStatus::Success;
        match out.last_mut() {
            Some(last)
                if well(last) && well(span) && last.from_ms / bin_ms == span.from_ms / bin_ms =>
            {
                last.to_ms = span.to_ms;
                last.chunks += 1;
                last.rows += span.rows;
                last.retries += span.retries;
                last.went = last.went.plus(span.went);
            }
            _ => out.push(*span),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diagnosis::attribution;
    use crate::model::{ChunkRecord, fixtures};

    fn records(times: &[(u64, u64, u32)]) -> Vec<ChunkRecord> {
        let numbered = times.iter().zip(1u32..);
        numbered
            .map(|((started_ms, duration_ms, worker), number)| ChunkRecord {
                started_ms: *started_ms,
                duration_ms: *duration_ms,
                worker: *worker,
                ..fixtures::chunk(number)
            })
            .collect()
    }

    fn documents(records: &[ChunkRecord]) -> Vec<ChunkDocument<'_>> {
        let with_time = records.iter().map(|chunk| ChunkDocument {
            attribution: attribution::of_chunk(chunk),
            chunk,
        });
        with_time.collect()
    }

    #[test]
    fn chunks_are_told_apart_until_there_are_too_many() {
        let mut records = records(&[(0, 10, 1), (10, 10, 1), (20, 10, 1), (0, 30, 2), (0, 9, 0)]);
        let apart = lanes(&documents(&records), 4);
        assert_eq!(apart.keys().copied().collect::<Vec<_>>(), [1, 2]);
        assert_eq!((apart[&1].len(), apart[&2].len()), (3, 1));
        let together = lanes(&documents(&records), 2);
        assert_eq!(together[&1].len(), 1);
        let whole = together[&1][0];
        assert_eq!((whole.from_ms, whole.to_ms, whole.chunks), (0, 30, 3));
        assert_eq!(whole.rows, 3_000_000);
        records[1].status = ChunkStatus::Failed;
        assert_eq!(lanes(&documents(&records), 2)[&1].len(), 3);
    }

    #[test]
    fn a_retried_chunk_does_not_cover_the_next() {
        let records = records(&[(5, 90, 1), (20, 10, 1)]);
        let lanes = lanes(&documents(&records), 100);
        assert_eq!(lanes[&1][0].to_ms, 20);
    }

    proptest! {
        #[test]
        fn every_chunk_is_in_one_stretch(
            times in proptest::collection::vec((0u64..9_000, 0u64..900, 0u32..5), 0..300),
            most in 1usize..400,
        ) {
            let records = records(&times);
            let lanes = lanes(&documents(&records), most);
            let spans = || lanes.values().flatten();
            let taken = times.iter().filter(|(_, _, worker)| *worker > 0).count();
            prop_assert_eq!(spans().map(|span| span.chunks as usize).sum::<usize>(), taken);
            prop_assert!(spans().count() <= most + 2 * lanes.len());
            for lane in lanes.values() {
                prop_assert!(lane.iter().all(|span| span.from_ms <= span.to_ms));
                prop_assert!(lane.windows(2).all(|two| two[0].to_ms <= two[1].from_ms));
            }
        }
    }
}
