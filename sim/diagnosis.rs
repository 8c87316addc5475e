//! Each category by its cause: the real engine reads a world in which one thing is otherwise, and the
//! real rules say what it was. On a paused clock everything takes exactly as long as it was told to, so
//! the same holds on every machine.

use std::sync::Arc;
use std::time::Duration;

use ixtract::diagnosis::{Diagnosis, diagnose};
use ixtract::engine::{Execution, execute};
use ixtract::model::{
    Action, Category, CleanRun, ConfidenceLevel, Evidence, LatencySample, Part, RunClose, RunId,
    RunOpen, RunStatus, Scope, Selection, SourceThen,
};
use ixtract::source::Snapshot;
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::engine::settings;
use crate::fixtures;
use crate::world::{Faults, MemorySink, MemorySnapshot, World};

/// A table and everything that takes time.
#[derive(Clone)]
struct Scene {
    workers: u32,
    rows: i64,
    /// Where the chunks after the first begin.
    edges: Vec<i64>,
    /// A round trip before the run, in microseconds.
    latency_us: u64,
    /// Looking at the table, and getting the snapshot, in milliseconds.
    look_ms: u64,
    snapshot_ms: u64,
    faults: Faults,
    encode: Duration,
    store: Duration,
    /// How many rows the plan believes in.
    believed: u64,
}

const fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Scene {
    /// Eight chunks of a thousand rows by two workers, a batch of ten rows every 10 ms.
    fn usual() -> Self {
        Self {
            workers: 2,
            rows: 8_000,
            edges: (1..8).map(|chunk| 1_000 * chunk).collect(),
            latency_us: 300,
            look_ms: 40,
            snapshot_ms: 20,
            faults: Faults {
                batch: millis(10),
                decode: millis(1),
                ..Faults::default()
            },
            encode: millis(2),
            store: millis(1),
            believed: 8_000,
        }
    }

    /// The same with one thing otherwise.
    fn but(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut scene = self.clone();
        change(&mut scene);
        scene
    }

    async fn execute(&self, world: &Arc<World>) -> Execution {
        let sink = MemorySink {
            encode: self.encode,
            store: self.store,
            clock: Some(world.clock.clone()),
            ..MemorySink::default()
        };
        let execution = execute(
            &world.spec,
            Arc::new(MemorySnapshot(world.clone())),
            Arc::new(sink),
            &settings(world),
            &mut |_| {},
            CancellationToken::new(),
        )
        .await;
        assert!(execution.result.is_ok(), "{:?}", execution.result);
        execution
    }

    /// One run in this world, and what it shows after these.
    async fn run(&self, earlier: &[CleanRun]) -> (CleanRun, Diagnosis) {
        let world = World::cut(self.rows, &self.edges, self.workers, self.faults.clone());
        let close = self.close(&world, self.execute(&world).await);
        let open = self.open(&world, earlier);
        let found = diagnose(&open, &close, earlier);
        let run = CleanRun {
            id: RunId::stored(format!("rx-20260130-120000-{:08x}", earlier.len())),
            workers: self.workers,
            throughput: close.throughput,
            rows: close.rows,
            finding: Some(found.finding.clone()),
            anomaly: found.anomaly,
        };
        (run, found)
    }

    /// What is predicted is the speed of the run before, for as many rows as are believed in.
    fn open(&self, world: &World, earlier: &[CleanRun]) -> RunOpen {
        let mut plan = fixtures::plan(fixtures::profile(self.believed));
        plan.spec = world.spec.clone();
        plan.forecast.rows = self.believed;
        if let Some(before) = earlier.first() {
            plan.forecast.throughput = before.throughput;
            plan.forecast.duration_s = self.believed as f64 / before.throughput;
            plan.forecast.grounds.confidence = ConfidenceLevel::High;
        }
        let latency = LatencySample {
            connect_us: 900,
            round_trips_us: vec![self.latency_us; 5],
        };
        RunOpen {
            id: RunId::stored("rx-20260131-120000-00000now"),
            scope: Scope::new(
                &world.spec.source,
                &world.spec.read.relation,
                &Selection::default(),
                None,
            ),
            started_at: Timestamp::UNIX_EPOCH,
            pid: 1,
            host: "here".to_owned(),
            plan,
            constrained: false,
            hints: None,
            estimated_cost: None,
            replay_of: None,
            resumes: None,
            drift: None,
            source_then: SourceThen::new(None, &latency),
            look_ms: self.look_ms,
            context: None,
            output: "memory".to_owned(),
        }
    }

    fn close(&self, world: &Arc<World>, execution: Execution) -> RunClose {
        RunClose {
            status: RunStatus::Success,
            ended_at: Timestamp::UNIX_EPOCH,
            rows: execution.rows,
            bytes: execution.bytes,
            duration_s: execution.elapsed.as_secs_f64(),
            throughput: execution.rows as f64 / execution.elapsed.as_secs_f64(),
            effective_workers: execution.effective_workers,
            snapshot: Some(MemorySnapshot(world.clone()).facts()),
            snapshot_ms: self.snapshot_ms,
            confidence: execution.confidence.name().to_owned(),
            adaptations: execution.adaptations,
            error: None,
            actual_cost: None,
            nulled: execution.nulled,
            chunks: execution.chunks,
            workers: execution.workers,
            finding: None,
            anomaly: None,
        }
    }
}

/// So many usual runs, newest first.
async fn usual(runs: usize) -> Vec<CleanRun> {
    let mut history: Vec<CleanRun> = Vec::new();
    for _ in 0..runs {
        let (run, _) = Scene::usual().run(&history).await;
        history.insert(0, run);
    }
    history
}

/// What a run shows in which one thing is otherwise than in the six before it.
async fn shown(change: impl FnOnce(&mut Scene)) -> Diagnosis {
    let history = usual(6).await;
    Scene::usual().but(change).run(&history).await.1
}

#[track_caller]
fn expect(found: &Diagnosis, category: Category, action: &Action) {
    let finding = &found.finding;
    assert_eq!(finding.category, category, "{found:#?}");
    assert!(finding.actions.contains(action), "{found:#?}");
}

/// The part that became costlier first of all.
#[track_caller]
fn expect_costlier(found: &Diagnosis, part: Part, action: &Action) {
    expect(found, Category::Anomaly, action);
    let costlier = found.finding.evidence.iter().find_map(|fact| match fact {
        Evidence::Costlier { part, .. } => Some(*part),
        _ => None,
    });
    assert_eq!(costlier, Some(part), "{found:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_run_as_those_before_it_is_stable() {
    let found = shown(|_| {}).await;
    expect(&found, Category::Stable, &Action::ReadLess);
    assert_eq!(found.anomaly, None);
}

#[tokio::test(start_paused = true)]
async fn more_workers_that_help_were_too_few_before() {
    let found = shown(|scene| scene.workers = 4).await;
    expect(&found, Category::UnderParallel, &Action::Learned);
}

#[tokio::test(start_paused = true)]
async fn more_workers_that_hinder_each_other_were_too_many() {
    let found = shown(|scene| {
        scene.workers = 4;
        scene.faults.batch = millis(35);
    })
    .await;
    expect(&found, Category::OverParallel, &Action::Learned);
}

#[tokio::test(start_paused = true)]
async fn a_far_source_is_slow_to_answer() {
    let found = shown(|scene| {
        scene.latency_us = 300_000;
        scene.faults.answer = millis(900);
    })
    .await;
    expect(&found, Category::SourceLatency, &Action::QuieterHour);
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_waited_for_before_the_plan_or_after_it() {
    for locked in [
        |scene: &mut Scene| scene.look_ms = 5_000,
        |scene: &mut Scene| scene.snapshot_ms = 5_000,
    ] {
        let found = shown(locked).await;
        expect(&found, Category::SourceLatency, &Action::FindLocks);
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_holds_most_rows_is_skew() {
    let found = shown(|scene| {
        // The chunk that is taken last has the rows of all others.
        scene.edges.iter_mut().for_each(|edge| *edge += 8_000);
        scene.rows += 8_000;
        scene.believed = 16_000;
    })
    .await;
    let finding = &found.finding;
    assert_eq!(finding.category, Category::DataSkew, "{found:#?}");
    assert!(matches!(finding.evidence[0], Evidence::Uneven(_)));
}

#[tokio::test(start_paused = true)]
async fn half_the_rows_that_were_believed_in_are_an_error_of_the_model() {
    let found = shown(|scene| {
        scene.rows /= 2;
        scene.edges.iter_mut().for_each(|edge| *edge /= 2);
    })
    .await;
    expect(&found, Category::ModelError, &Action::RefreshStatistics);
}

#[tokio::test(start_paused = true)]
async fn what_is_slow_is_an_anomaly_of_the_part_that_it_is() {
    let source = shown(|scene| scene.faults.batch = millis(60)).await;
    expect_costlier(&source, Part::Source, &Action::LookAtSource);
    let machine = |scene: &mut Scene| {
        scene.encode = millis(40);
        scene.faults.decode = millis(20);
        // A machine that has no time for us is slow to hear answers, too.
        scene.latency_us = 40_000;
    };
    let processor = shown(machine).await;
    expect_costlier(&processor, Part::Processor, &Action::LookAtMachine);
    let storage = shown(|scene| scene.store = millis(50)).await;
    expect_costlier(&storage, Part::Storage, &Action::LookAtStorage);
}
