//! The chunks and workers of a run in numbers; pure (facts sheet, section 10.5).

use crate::model::{
    ChunkCounts, ChunkMetrics, ChunkRecord, ChunkStatus, Metrics, OfChunk, StoredRun,
    WorkerMetrics, WorkerRecord,
};

/// Measures a run.
pub fn of(stored: &StoredRun) -> Metrics {
    Metrics {
        counts: counts(stored),
        chunks: chunks(&stored.chunks),
        planned_workers: stored.run.workers,
        effective_workers: stored.run.effective_workers,
        workers: stored.workers.iter().map(worker).collect(),
    }
}

fn counts(stored: &StoredRun) -> ChunkCounts {
    let planned = stored.plan.spec.chunks.len() as u64;
    let ended = |status| {
        let ended = stored.chunks.iter().filter(|chunk| chunk.status == status);
        ended.count() as u64
    };
    let (finished, failed) = (ended(ChunkStatus::Success), ended(ChunkStatus::Failed));
    ChunkCounts {
        planned,
        finished,
        failed,
        // A run that was never closed has no chunks recorded at all.
        pending: planned.saturating_sub(finished + failed),
        retries: stored
            .chunks
            .iter()
            .map(|chunk| u64::from(chunk.retries))
            .sum(),
    }
}

/// The finished chunks, measured; `None` of none.
pub fn chunks(records: &[ChunkRecord]) -> Option<ChunkMetrics> {
    let finished = || {
        let records = records.iter();
        records.filter(|chunk| chunk.status == ChunkStatus::Success)
    };
    let rates: Vec<OfChunk<f64>> = finished()
        .map(|chunk| OfChunk {
            chunk: chunk.number,
            value: rate(chunk.rows, chunk.duration_ms),
        })
        .collect();
    let mut times: Vec<OfChunk<u64>> = finished()
        .map(|chunk| OfChunk {
            chunk: chunk.number,
            value: chunk.duration_ms,
        })
        .collect();
    // Of equals the first in plan order, on either end.
    let by_rate = |one: &&OfChunk<f64>, other: &&OfChunk<f64>| one.value.total_cmp(&other.value);
    let worst_rate = *rates.iter().min_by(by_rate)?;
    let best_rate = *rates.iter().rev().max_by(by_rate)?;
    let slowest_ms = *times.iter().rev().max_by_key(|time| time.value)?;
    times.sort_by_key(|time| time.value);
    let fastest_ms = *times.first()?;
    let median_ms = times.get(times.len() / 2)?.value;
    let rows = finished().map(|chunk| chunk.rows).sum();
    let took = finished().map(|chunk| chunk.duration_ms.max(1)).sum();
    Some(ChunkMetrics {
        average_rate: rate(rows, took),
        best_rate,
        worst_rate,
        fastest_ms,
        slowest_ms,
        median_ms,
        cv: variation(&times),
        skew: slowest_ms.value.max(1) as f64 / median_ms.max(1) as f64,
    })
}

/// Coefficient of variation: the population's standard deviation over the mean.
fn variation(times: &[OfChunk<u64>]) -> f64 {
    let n = times.len() as f64;
    let values = || times.iter().map(|time| time.value as f64);
    let mean = values().sum::<f64>() / n;
    if times.len() < 2 || mean <= 0.0 {
        return 0.0;
    }
    (values().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt() / mean
}

/// Rows a second. What took less than a millisecond took one.
fn rate(rows: u64, took_ms: u64) -> f64 {
    rows as f64 * 1000.0 / took_ms.max(1) as f64
}

fn worker(record: &WorkerRecord) -> WorkerMetrics {
    let whole = record.busy_ms + record.idle_ms;
    let share = |part: u64| {
        let permille = u128::from(part) * 1000 / u128::from(whole.max(1));
        u32::try_from(permille).unwrap_or(u32::MAX)
    };
    WorkerMetrics {
        worker: record.worker,
        chunks: record.chunks,
        rows: record.rows,
        bytes: record.bytes,
        rate: rate(record.rows, record.busy_ms),
        busy_permille: share(record.busy_ms),
        blocked_permille: share(record.blocked_ms),
        idle_permille: share(record.idle_ms),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::planner::fixtures::stored;

    #[test]
    fn an_even_run_has_no_skew() {
        let metrics = of(&stored());
        let chunks = metrics.chunks.expect("finished chunks");
        assert_eq!((metrics.counts.finished, metrics.counts.pending), (12, 0));
        assert_eq!(
            (chunks.average_rate, chunks.cv, chunks.skew),
            (250_000.0, 0.0, 1.0)
        );
        assert_eq!((chunks.fastest_ms.chunk, chunks.slowest_ms.chunk), (1, 1));
        assert_eq!((chunks.best_rate.chunk, chunks.worst_rate.chunk), (1, 1));
        let worker = metrics.workers[0];
        assert_eq!((worker.busy_permille, worker.blocked_permille), (1000, 600));
        assert_eq!(worker.rate, 250_000.0);
    }

    #[test]
    fn chunks_that_did_not_finish_are_counted_and_not_measured() {
        let mut stored = stored();
        stored.chunks[0].status = ChunkStatus::Failed;
        stored.chunks[0].duration_ms = 99_000;
        stored.chunks[1].status = ChunkStatus::Pending;
        stored.chunks[2].retries = 2;
        let metrics = of(&stored);
        assert_eq!(
            metrics.counts,
            ChunkCounts {
                planned: 12,
                finished: 10,
                failed: 1,
                pending: 1,
                retries: 2
            }
        );
        assert_eq!(
            metrics.chunks.map(|chunks| chunks.slowest_ms.value),
            Some(1000)
        );
        stored.chunks.clear();
        let metrics = of(&stored);
        assert_eq!((metrics.counts.pending, metrics.chunks), (12, None));
    }

    #[test]
    fn the_extremes_are_named() {
        let mut stored = stored();
        stored.chunks[3].duration_ms = 4000;
        stored.chunks[5].duration_ms = 500;
        let chunks = of(&stored).chunks.expect("finished chunks");
        assert_eq!((chunks.slowest_ms.chunk, chunks.fastest_ms.chunk), (4, 6));
        assert_eq!((chunks.worst_rate.chunk, chunks.best_rate.chunk), (4, 6));
        assert_eq!((chunks.median_ms, chunks.skew), (1000, 4.0));
        // Nine seconds and a half over twelve chunks and three more.
        let mean = 14_500.0 / 12.0_f64;
        let squares: f64 =
            10.0 * (1000.0 - mean).powi(2) + (4000.0 - mean).powi(2) + (500.0 - mean).powi(2);
        assert!((chunks.cv - (squares / 12.0).sqrt() / mean).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn extremes_enclose_the_rest(
            times in proptest::collection::vec(prop_oneof![0u64..3, 0u64..5_000], 1..12)
        ) {
            let mut stored = stored();
            stored.chunks.truncate(times.len());
            for (chunk, time) in stored.chunks.iter_mut().zip(&times) {
                chunk.duration_ms = *time;
            }
            let chunks = of(&stored).chunks.expect("finished chunks");
            prop_assert_eq!(Some(&chunks.fastest_ms.value), times.iter().min());
            prop_assert_eq!(Some(&chunks.slowest_ms.value), times.iter().max());
            prop_assert!(chunks.worst_rate.value <= chunks.average_rate * (1.0 + 1e-9));
            prop_assert!(chunks.average_rate <= chunks.best_rate.value * (1.0 + 1e-9));
            prop_assert!(chunks.skew >= 1.0 && chunks.cv >= 0.0);
        }
    }
}
