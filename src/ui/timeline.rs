//! Which worker read which chunk when: a lane a worker, in text.

use std::collections::BTreeMap;

use crate::model::{ChunkRecord, ChunkStatus};

/// A chunk that failed.
const FAILED: char = '✗';

/// No chunk in hand.
const IDLE: char = '·';

/// Lanes of `width` columns over `total_ms`, by worker. A chunk is its number's last digit, from the
/// start of its last attempt; one that is shorter than a column has that column all the same, and
/// where several fall into one the last of them is seen. Chunks that nobody took are nowhere.
pub(super) fn lanes(chunks: &[ChunkRecord], total_ms: u64, width: usize) -> BTreeMap<u32, String> {
    let end = |chunk: &ChunkRecord| chunk.started_ms + chunk.duration_ms;
    let last = chunks.iter().map(end).max().unwrap_or(0);
    let total = u128::from(total_ms.max(last).max(1));
    let column = |ms: u64| usize::try_from(u128::from(ms) * width as u128 / total).unwrap_or(width);
    let mut taken: Vec<&ChunkRecord> = chunks.iter().filter(|chunk| chunk.worker > 0).collect();
    taken.sort_by_key(|chunk| chunk.started_ms);
    let mut lanes: BTreeMap<u32, Vec<char>> = BTreeMap::new();
    for chunk in taken {
        let lane = lanes
            .entry(chunk.worker)
            .or_insert_with(|| vec![IDLE; width]);
        let from = column(chunk.started_ms).min(width.saturating_sub(1));
        let to = column(end(chunk)).clamp(from + 1, width.max(from + 1));
        let mark = match chunk.status {
            ChunkStatus::Failed => FAILED,
            ChunkStatus::Success | ChunkStatus::Pending => {
                char::from_digit(chunk.number % 10, 10).unwrap_or(IDLE)
            }
        };
        for cell in lane.iter_mut().take(to).skip(from) {
            *cell = mark;
        }
    }
    lanes
        .into_iter()
        .map(|(worker, lane)| (worker, lane.into_iter().collect()))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::planner::fixtures::stored;

    fn drawn(chunks: &[ChunkRecord], total_ms: u64) -> Vec<String> {
        lanes(chunks, total_ms, 20).into_values().collect()
    }

    #[test]
    fn each_worker_has_its_lane() {
        let mut chunks = stored().chunks;
        chunks.truncate(3);
        for (chunk, worker) in chunks.iter_mut().zip([1, 2, 1]) {
            chunk.worker = worker;
        }
        chunks[2].started_ms = 1_500;
        assert_eq!(
            drawn(&chunks, 5_000),
            ["1111··3333··········", "2222················"]
        );
        chunks[1].status = ChunkStatus::Failed;
        assert_eq!(drawn(&chunks, 5_000)[1], "✗✗✗✗················");
        // Nobody took it.
        chunks[1].worker = 0;
        assert_eq!(drawn(&chunks, 5_000).len(), 1);
    }

    #[test]
    fn the_shortest_chunk_is_seen_and_none_leaves_its_lane() {
        let mut chunks = stored().chunks;
        chunks.truncate(1);
        chunks[0].duration_ms = 0;
        assert_eq!(drawn(&chunks, 1_000), ["1···················"]);
        chunks[0].started_ms = 1_000;
        assert_eq!(drawn(&chunks, 1_000), ["···················1"]);
        chunks[0].duration_ms = u64::MAX / 2;
        assert_eq!(drawn(&chunks, 1_000), ["11111111111111111111"]);
    }

    proptest! {
        #[test]
        fn lanes_are_as_wide_as_asked(
            spans in proptest::collection::vec((0u64..9_000, 0u64..9_000, 0u32..5), 0..12),
            total in 0u64..9_000,
            width in 1usize..90,
        ) {
            let mut chunks = stored().chunks;
            chunks.truncate(spans.len());
            for (chunk, (start, took, worker)) in chunks.iter_mut().zip(&spans) {
                (chunk.started_ms, chunk.duration_ms, chunk.worker) = (*start, *took, *worker);
            }
            let lanes = lanes(&chunks, total, width);
            for (worker, lane) in &lanes {
                prop_assert!(*worker > 0);
                prop_assert_eq!(lane.chars().count(), width);
                prop_assert!(lane.chars().any(|cell| cell != IDLE));
            }
        }
    }
}
