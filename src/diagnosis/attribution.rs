//! Where time went, from what the engine measured.
//!
//! The engine reads the clock a few times a batch, so every number here is measured, and what was
//! not measured apart is not told apart: while rows stream, the server's work and the network's
//! are one wait. How that was shared is an estimate of its own, from looks at the server: [`waits`].

use std::collections::BTreeMap;

use crate::model::{Attribution, ChunkRecord, WaitedFor, WorkerRecord};

/// Where the time of one chunk went.
pub fn of_chunk(chunk: &ChunkRecord) -> Attribution {
    let write_ms = chunk.storage_ms.min(chunk.write_ms);
    let known = [chunk.query_ms, chunk.decode_ms, chunk.write_ms];
    let known = known.into_iter().fold(0, u64::saturating_add);
    let answer_ms = chunk.answer_ms.min(chunk.query_ms);
    Attribution {
        answer_ms,
        rows_ms: chunk.query_ms - answer_ms,
        decode_ms: chunk.decode_ms,
        encode_ms: chunk.write_ms - write_ms,
        write_ms,
        other_ms: chunk.duration_ms.saturating_sub(known),
        ..Attribution::default()
    }
}

/// What workers were found waiting for, over all chunks.
pub fn waits(chunks: &[ChunkRecord]) -> WaitedFor {
    let each = chunks.iter().map(|chunk| chunk.waits);
    each.fold(WaitedFor::default(), WaitedFor::plus)
}

/// Where the time of all workers went, from the start of the read to its end `elapsed_ms` later.
pub fn of_run(chunks: &[ChunkRecord], workers: &[WorkerRecord], elapsed_ms: u64) -> Attribution {
    let busy = chunks
        .iter()
        .map(of_chunk)
        .fold(Attribution::default(), Attribution::plus);
    // Before its first chunk a worker gets its session; after the last chunk of all there is only
    // the count to wait for.
    let mut first: BTreeMap<u32, u64> = BTreeMap::new();
    let mut end = 0;
    for chunk in chunks.iter().filter(|chunk| chunk.worker > 0) {
        let start = first.entry(chunk.worker).or_insert(chunk.started_ms);
        *start = chunk.started_ms.min(*start);
        end = end.max(chunk.started_ms.saturating_add(chunk.duration_ms));
    }
    let tail = elapsed_ms.saturating_sub(end);
    workers.iter().fold(busy, |sum, worker| {
        let mut left = worker.idle_ms;
        let mut take = |time: u64| {
            let taken = time.min(left);
            left -= taken;
            taken
        };
        let waits = Attribution {
            count_ms: take(tail),
            back_off_ms: take(worker.paused_ms),
            opening_ms: take(first.get(&worker.worker).copied().unwrap_or(0)),
            ..Attribution::default()
        };
        sum.plus(waits).plus(Attribution {
            idle_ms: left,
            ..Attribution::default()
        })
    })
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Activity, ChunkStatus, Part};

    pub(crate) fn chunk(
        number: u32,
        worker: u32,
        started_ms: u64,
        duration_ms: u64,
    ) -> ChunkRecord {
        ChunkRecord {
            number,
            worker,
            status: ChunkStatus::Success,
            started_ms,
            duration_ms,
            query_ms: duration_ms,
            answer_ms: 0,
            decode_ms: 0,
            write_ms: 0,
            storage_ms: 0,
            waits: Default::default(),
            rows: 100,
            bytes: 1000,
            retries: 0,
            files: Vec::new(),
            nulled: BTreeMap::new(),
            error: None,
        }
    }

    pub(crate) fn worker(worker: u32, busy_ms: u64, idle_ms: u64) -> WorkerRecord {
        WorkerRecord {
            worker,
            chunks: 1,
            rows: 100,
            bytes: 1000,
            busy_ms,
            blocked_ms: 0,
            idle_ms,
            paused_ms: 0,
        }
    }

    #[test]
    fn every_millisecond_of_a_chunk_has_one_place() {
        let mut one = chunk(1, 1, 0, 1000);
        (one.query_ms, one.answer_ms, one.decode_ms) = (700, 100, 120);
        (one.write_ms, one.storage_ms) = (150, 30);
        let went = of_chunk(&one);
        assert_eq!((went.answer_ms, went.rows_ms), (100, 600));
        assert_eq!(
            (went.decode_ms, went.encode_ms, went.write_ms),
            (120, 120, 30)
        );
        assert_eq!((went.other_ms, went.total_ms()), (30, 1000));
        assert_eq!(went.permille(Activity::Rows), 600);
        assert_eq!(went.part_permille(Part::Source), 700);
        assert_eq!(went.limit(), Some(Part::Source));
    }

    #[test]
    fn waiting_without_a_chunk_is_told_apart() {
        // Worker 1 opens for 50 ms, reads for 400; worker 2 opens for 60, reads for 200, pauses for
        // 30 and then has nothing to do until worker 1 has finished; the count takes 150 more.
        let chunks = [chunk(1, 1, 50, 400), chunk(2, 2, 60, 200)];
        let mut second = worker(2, 200, 400);
        second.paused_ms = 30;
        let went = of_run(&chunks, &[worker(1, 400, 200), second], 600);
        assert_eq!(went.opening_ms, 50 + 60);
        assert_eq!(went.count_ms, 2 * 150);
        assert_eq!(went.back_off_ms, 30);
        assert_eq!(went.idle_ms, 400 - 150 - 30 - 60);
        assert_eq!(went.rows_ms, 600);
        assert_eq!(went.total_ms(), 2 * 600);
    }

    #[test]
    fn nothing_has_no_shares() {
        let nothing = of_run(&[], &[], 0);
        assert_eq!((nothing.total_ms(), nothing.limit()), (0, None));
        assert_eq!(nothing.permille(Activity::Idle), 0);
    }

    proptest! {
        #[test]
        fn the_whole_is_the_time_of_all_workers(
            times in proptest::collection::vec((0u64..5000, 0u64..5000), 1..20),
            pauses in proptest::collection::vec(0u64..9000, 4),
            tail in 0u64..5000,
        ) {
            let workers = 4u32;
            let mut clocks = [0u64; 4];
            let mut busy = [0u64; 4];
            let mut chunks = Vec::new();
            for (index, (wait, length)) in times.iter().enumerate() {
                let at = index % 4;
                let record = chunk(index as u32 + 1, at as u32 + 1, clocks[at] + wait, *length);
                clocks[at] += wait + length;
                busy[at] += length;
                chunks.push(record);
            }
            let elapsed = clocks.iter().max().copied().unwrap_or(0) + tail;
            let records: Vec<WorkerRecord> = (0..4)
                .map(|at| WorkerRecord {
                    paused_ms: pauses[at],
                    ..worker(at as u32 + 1, busy[at], elapsed - busy[at])
                })
                .collect();
            let went = of_run(&chunks, &records, elapsed);
            prop_assert_eq!(went.total_ms(), elapsed * u64::from(workers));
            prop_assert!(went.count_ms >= tail * u64::from(workers));
            let shares: u32 = Activity::ALL.iter().map(|a| went.permille(*a)).sum();
            prop_assert!(went.total_ms() == 0 || (990..=1010).contains(&shares));
        }
    }
}
