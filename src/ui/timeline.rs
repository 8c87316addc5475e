//! Which worker read which chunk when: a lane a worker, in text.

use std::collections::BTreeMap;

use super::metrics;
use crate::model::{ChunkRecord, ChunkStatus};

/// A chunk that failed.
const FAILED: char = '✗';

/// No chunk in hand.
const IDLE: char = '·';

/// Columns of a lane where nobody's terminal says how many there are, and the most and fewest of any.
const LANE: usize = 64;
const LANE_MAX: usize = 120;
const LANE_MIN: usize = 8;

/// A run's chunks in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    total_ms: u64,
    /// By their start.
    stretches: Vec<Stretch>,
}

/// A chunk in a worker's hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stretch {
    worker: u32,
    number: u32,
    from_ms: u64,
    to_ms: u64,
    failed: bool,
}

impl Timeline {
    /// Of the chunks that a worker took, from the start of their last attempt, over a run of `total_ms`;
    /// `None` where nobody took any.
    pub(super) fn of(chunks: &[ChunkRecord], total_ms: u64) -> Option<Self> {
        let taken = chunks.iter().filter(|chunk| chunk.worker > 0);
        let mut stretches: Vec<Stretch> = taken
            .map(|chunk| Stretch {
                worker: chunk.worker,
                number: chunk.number,
                from_ms: chunk.started_ms,
                to_ms: chunk.started_ms.saturating_add(chunk.duration_ms),
                failed: chunk.status == ChunkStatus::Failed,
            })
            .collect();
        stretches.sort_by_key(|stretch| stretch.from_ms);
        let last = stretches.iter().map(|stretch| stretch.to_ms).max()?;
        Some(Self {
            total_ms: total_ms.max(last).max(1),
            stretches,
        })
    }

    /// A line a worker, and below them the time from one end to the other; at most `width` columns wide
    /// where that is not too few to draw.
    pub(super) fn text(&self, width: Option<usize>) -> String {
        let workers = self.stretches.iter().map(|stretch| stretch.worker);
        let label = workers.max().unwrap_or(0).to_string().len().max(2);
        let room = |width: usize| width.saturating_sub(label + 4);
        let columns = width.map_or(LANE, |width| room(width).clamp(LANE_MIN, LANE_MAX));
        let mut lines: Vec<String> = self
            .lanes(columns)
            .iter()
            .map(|(worker, lane)| format!("  {worker:>label$}  {lane}"))
            .collect();
        let (from, to) = (metrics::millis(0), metrics::millis(self.total_ms));
        let between = columns.saturating_sub(from.len() + to.len()).max(1);
        let axis = format!("  {:label$}  {from}{:between$}{to}", "", "");
        if axis.len() <= width.unwrap_or(usize::MAX) {
            lines.push(axis);
        }
        lines.join("\n")
    }

    /// Lanes of so many columns, by worker. A chunk is its number's last digit; one that is shorter than
    /// a column has that column all the same, and where several fall into one the last of them is seen.
    fn lanes(&self, width: usize) -> BTreeMap<u32, String> {
        let total = u128::from(self.total_ms);
        let column =
            |ms: u64| usize::try_from(u128::from(ms) * width as u128 / total).unwrap_or(width);
        let mut lanes: BTreeMap<u32, Vec<char>> = BTreeMap::new();
        for stretch in &self.stretches {
            let lane = lanes
                .entry(stretch.worker)
                .or_insert_with(|| vec![IDLE; width]);
            let from = column(stretch.from_ms).min(width.saturating_sub(1));
            let to = column(stretch.to_ms).clamp(from + 1, width.max(from + 1));
            let digit = char::from_digit(stretch.number % 10, 10).unwrap_or(IDLE);
            let mark = if stretch.failed { FAILED } else { digit };
            for cell in lane.iter_mut().take(to).skip(from) {
                *cell = mark;
            }
        }
        let lanes = lanes.into_iter();
        lanes
            .map(|(worker, lane)| (worker, lane.into_iter().collect()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::planner::past::stored;
    use crate::ui::text;

    fn drawn(chunks: &[ChunkRecord], total_ms: u64) -> Vec<String> {
        let timeline = Timeline::of(chunks, total_ms).expect("chunks that were taken");
        timeline.lanes(20).into_values().collect()
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
    fn the_time_stands_below() {
        let mut chunks = stored().chunks;
        chunks.truncate(2);
        chunks[1].worker = 11;
        let timeline = Timeline::of(&chunks, 1_600).expect("chunks that were taken");
        insta::assert_snapshot!(timeline.text(Some(24)), @"
           1  11111111111·······
          11  22222222222·······
              0ms          1.60s
        ");
        assert_eq!(
            timeline.text(None).lines().next().map(text::width),
            Some(70)
        );
        assert_eq!(Timeline::of(&[], 5), None);
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
            let Some(timeline) = Timeline::of(&chunks, total) else {
                prop_assert!(chunks.iter().all(|chunk| chunk.worker == 0));
                return Ok(());
            };
            for (worker, lane) in &timeline.lanes(width) {
                prop_assert!(*worker > 0);
                prop_assert_eq!(lane.chars().count(), width);
                prop_assert!(lane.chars().any(|cell| cell != IDLE));
            }
            let screen = width.max(14);
            for line in timeline.text(Some(screen)).lines() {
                prop_assert!(text::width(line) <= screen, "{line:?}");
            }
        }
    }
}
