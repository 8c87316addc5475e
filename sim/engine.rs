//! The real engine on tokio's paused clock: every row once or an error, whatever goes wrong.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ixtract::clock::Clock;
use ixtract::engine::event::Event;
use ixtract::engine::{EngineError, Execution, Settings, WorkerHost, execute};
use ixtract::error::{ExitCode, Failure};
use ixtract::model::ChunkStatus;
use ixtract::source::SourceError;
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use crate::world::{Faults, MemorySink, MemorySnapshot, World, lost, too_many};

/// Workers in this very task, and nothing else out of the ordinary.
pub(crate) fn settings(world: &World) -> Settings {
    Settings {
        clock: world.clock.clone(),
        host: WorkerHost::Inline,
        max_blocking: Duration::from_secs(30),
        impact: Default::default(),
        snapshot_since: Duration::ZERO,
        latency_p50: Duration::from_millis(2),
        seed: 7,
    }
}

async fn run_with(
    world: &Arc<World>,
    sink: &Arc<MemorySink>,
    cancel: CancellationToken,
) -> (Execution, Vec<Event>) {
    let mut events = Vec::new();
    let execution = execute(
        &world.spec,
        Arc::new(MemorySnapshot(world.clone())),
        sink.clone(),
        &settings(world),
        &mut |event| events.push(event),
        cancel,
    )
    .await;
    (execution, events)
}

async fn run(world: &Arc<World>) -> (Execution, Vec<Event>, Arc<MemorySink>) {
    let sink = Arc::new(MemorySink::default());
    let (execution, events) = run_with(world, &sink, CancellationToken::new()).await;
    (execution, events, sink)
}

fn assert_complete(world: &World, execution: &Execution, sink: &MemorySink) {
    assert!(execution.result.is_ok(), "{:?}", execution.result);
    assert_eq!(sink.values(), (0..world.rows).collect::<Vec<_>>());
    assert_eq!(execution.rows, world.rows.unsigned_abs());
    assert_eq!(execution.counted, Some(world.rows.unsigned_abs()));
    assert!(
        execution
            .chunks
            .iter()
            .all(|chunk| chunk.status == ChunkStatus::Success)
    );
}

#[tokio::test(start_paused = true)]
async fn every_row_once_and_in_dispatch_order() {
    for workers in [1, 2, 5] {
        let world = World::new(1003, 9, workers, Faults::default());
        let (execution, events, sink) = run(&world).await;
        assert_complete(&world, &execution, &sink);
        assert_eq!(
            sink.order.lock().unwrap().first(),
            Some(&9),
            "the lowest rank goes first"
        );
        let finished = events
            .iter()
            .filter(|event| matches!(event, Event::ChunkFinished { .. }))
            .count();
        assert_eq!(finished, 9);
        assert_eq!(
            world.cancelled.load(Ordering::SeqCst),
            0,
            "nothing to cancel after success"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_table_is_done_without_a_file() {
    let world = World::new(0, 1, 1, Faults::default());
    let (execution, _, sink) = run(&world).await;
    assert_complete(&world, &execution, &sink);
    assert!(execution.receipts.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_lost_connection_rereads_the_chunk_from_its_start() {
    let faults = Faults {
        fail_once: [(2, lost()), (5, lost())].into(),
        ..Faults::default()
    };
    let world = World::new(500, 6, 2, faults);
    let (execution, events, sink) = run(&world).await;
    assert_complete(&world, &execution, &sink);
    let retries: Vec<u32> = execution.chunks.iter().map(|chunk| chunk.retries).collect();
    assert_eq!(retries, [0, 1, 0, 0, 1, 0]);
    assert_eq!(sink.aborts.load(Ordering::SeqCst), 2);
    assert_eq!(
        world.openings.load(Ordering::SeqCst),
        4,
        "each retry opens a session of its own"
    );
    assert_eq!(execution.adaptations.len(), 2);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::ChunkRetried { chunk: 2, .. }))
    );
}

#[tokio::test(start_paused = true)]
async fn an_error_that_stays_ends_the_run_after_its_retries() {
    let faults = Faults {
        fail_always: [(3, lost())].into(),
        ..Faults::default()
    };
    let world = World::new(500, 6, 2, faults);
    let (execution, _, _) = run(&world).await;
    assert!(matches!(
        execution.result,
        Err(EngineError::Source(SourceError::ConnectionLost { .. }))
    ));
    let failed = &execution.chunks[2];
    assert_eq!((failed.status, failed.retries), (ChunkStatus::Failed, 3));
    assert_eq!(
        world.cancelled.load(Ordering::SeqCst),
        1,
        "the server is asked to stop"
    );
}

#[tokio::test(start_paused = true)]
async fn an_error_that_no_retry_cures_is_not_retried() {
    let value = SourceError::Unrepresentable {
        table: "numbers".into(),
        column: "n".into(),
        key: None,
        value: "NaN".into(),
        why: "no decimal is NaN".into(),
        fix: "pass --type n=text".into(),
    };
    let faults = Faults {
        fail_always: [(1, value)].into(),
        ..Faults::default()
    };
    let world = World::new(500, 2, 2, faults);
    let (execution, _, _) = run(&world).await;
    assert_eq!(execution.chunks[0].retries, 0);
    assert_eq!(
        Failure::from(execution.result.unwrap_err()).exit,
        ExitCode::Failed
    );
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_gets_no_session_is_reported_while_the_others_read() {
    let faults = Faults {
        refuse_openings_after: Some(1),
        batch: Duration::from_secs(2),
        ..Faults::default()
    };
    let world = World::new(500, 6, 2, faults);
    let (execution, events, sink) = run(&world).await;
    assert_complete(&world, &execution, &sink);
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::WorkerMissing { .. }))
    );
    assert_eq!(execution.adaptations.len(), 1);
    assert_eq!(execution.workers.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_session_at_all_is_an_error_that_says_try_later() {
    let faults = Faults {
        refuse_openings_after: Some(0),
        ..Faults::default()
    };
    let world = World::new(500, 6, 3, faults);
    let (execution, _, sink) = run(&world).await;
    assert_eq!(
        Failure::from(execution.result.unwrap_err()).exit,
        ExitCode::TryLater
    );
    assert!(sink.values().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_chunk_whose_worker_cannot_return_goes_to_another() {
    // Both sessions open; chunk 6 loses its own, and no third is ever granted.
    let faults = Faults {
        fail_once: [(6, lost())].into(),
        refuse_openings_after: Some(2),
        batch: Duration::from_secs(1),
        ..Faults::default()
    };
    let world = World::new(500, 6, 2, faults);
    let (execution, _, sink) = run(&world).await;
    assert_complete(&world, &execution, &sink);
    assert!(
        execution
            .adaptations
            .iter()
            .any(|line| line.starts_with("went on without worker"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_never_success() {
    let faults = Faults {
        panic_in: BTreeSet::from([4]),
        ..Faults::default()
    };
    let world = World::new(500, 6, 2, faults);
    let (execution, _, _) = run(&world).await;
    assert_eq!(
        Failure::from(execution.result.unwrap_err()).exit,
        ExitCode::Bug
    );
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_ends_the_run_at_once() {
    let world = World::new(500, 6, 2, Faults::default());
    let sink = Arc::new(MemorySink {
        full_in: BTreeSet::from([6]),
        ..MemorySink::default()
    });
    let (execution, _) = run_with(&world, &sink, CancellationToken::new()).await;
    assert_eq!(
        Failure::from(execution.result.unwrap_err()).exit,
        ExitCode::Output
    );
    assert_eq!(execution.chunks[5].retries, 0);
}

#[tokio::test(start_paused = true)]
async fn cancelling_stops_a_reader_that_hangs() {
    let faults = Faults {
        hang_in: BTreeSet::from([1, 2]),
        ..Faults::default()
    };
    let world = World::new(500, 6, 2, faults);
    let sink = Arc::new(MemorySink::default());
    let cancel = CancellationToken::new();
    let trigger = cancel.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(10)).await;
        trigger.cancel();
    });
    let (execution, _) = run_with(&world, &sink, cancel).await;
    assert!(matches!(execution.result, Err(EngineError::Cancelled)));
    assert!(
        world.clock.monotonic() <= Duration::from_secs(15),
        "within five seconds"
    );
    assert_eq!(world.cancelled.load(Ordering::SeqCst), 1);
    assert_eq!(
        sink.aborts.load(Ordering::SeqCst),
        2,
        "both writers were aborted"
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_us_too_long_ends_the_run() {
    let faults = Faults {
        hang_in: BTreeSet::from([1]),
        blocked_from: Some(Duration::from_secs(5)),
        ..Faults::default()
    };
    let world = World::new(100, 2, 2, faults);
    let (execution, _, _) = run(&world).await;
    let failure = Failure::from(execution.result.unwrap_err());
    assert_eq!(failure.exit, ExitCode::TryLater);
    assert!(
        failure.why.contains("ALTER TABLE numbers ADD x int"),
        "{}",
        failure.why
    );
    assert!(world.clock.monotonic() < Duration::from_secs(42));
}

#[tokio::test(start_paused = true)]
async fn a_count_that_fails_for_good_fails_the_run() {
    let faults = Faults {
        count_error: Some(too_many()),
        ..Faults::default()
    };
    let world = World::new(100, 2, 1, faults);
    let (execution, _, _) = run(&world).await;
    assert_eq!(
        Failure::from(execution.result.unwrap_err()).exit,
        ExitCode::TryLater
    );
}

#[tokio::test(start_paused = true)]
async fn a_slow_source_is_given_pauses() {
    let faults = Faults {
        answer: Duration::from_millis(300),
        ..Faults::default()
    };
    let world = World::new(500, 13, 1, faults);
    let (execution, events, sink) = run(&world).await;
    assert_complete(&world, &execution, &sink);
    let pauses: Vec<u64> = events
        .iter()
        .filter_map(|event| match event {
            Event::BackedOff { pause, .. } => Some(pause.as_secs()),
            _ => None,
        })
        .collect();
    assert_eq!(pauses, [1, 2, 4]);
    assert_eq!(execution.confidence.name(), "low");
}

#[tokio::test(start_paused = true)]
async fn progress_never_goes_back() {
    let faults = Faults {
        fail_once: [(1, lost()), (2, lost()), (3, lost())].into(),
        batch: Duration::from_millis(150),
        ..Faults::default()
    };
    let world = World::new(500, 5, 2, faults);
    let (_, events, _) = run(&world).await;
    let rows: Vec<u64> = events
        .iter()
        .filter_map(|event| match event {
            Event::Progress { rows, .. } => Some(*rows),
            _ => None,
        })
        .collect();
    assert!(rows.len() > 3 && rows.is_sorted(), "{rows:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Random worlds: either every row exactly once, or an error; never a quiet loss.
    #[test]
    fn complete_or_an_error(
        rows in 0i64..400,
        chunks in 1u32..12,
        workers in 1u32..6,
        once in prop::collection::btree_set(1u32..12, 0..6),
        always in prop::collection::btree_set(1u32..40, 0..2),
        refused in prop::collection::btree_set(1u32..20, 0..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let faults = Faults {
                fail_once: once.iter().map(|chunk| (*chunk, lost())).collect(),
                fail_always: always.iter().map(|chunk| (*chunk, lost())).collect(),
                refuse_openings: refused.clone(),
                ..Faults::default()
            };
            let world = World::new(rows.max(i64::from(chunks)), chunks, workers, faults);
            let (execution, _, sink) = run(&world).await;
            if execution.result.is_ok() {
                assert_complete(&world, &execution, &sink);
            } else {
                let done =
                    execution.chunks.iter().all(|chunk| chunk.status == ChunkStatus::Success);
                assert!(!done || execution.counted.is_none());
            }
        });
    }
}
