//! Every category by its cause, the neighbours that must not be taken for it, and what holds of
//! every run.

use proptest::prelude::{Strategy as Generator, *};

use super::*;
use crate::model::{
    Action, Attribution, Category, ChunkRecord, Direction, Evidence, Part, RunId, RunStatus, Scope,
    Selection, Severity, SourceThen, WorkerRecord,
};
use crate::planner::fixtures;

/// A finding of this category and of no other meaning.
pub(super) fn finding(category: Category) -> Finding {
    Finding {
        category,
        certainty: ConfidenceLevel::High,
        evidence: Vec::new(),
        actions: vec![Action::Nothing],
        deviation_ratio: 1.0,
        throughput_change: None,
        measures: Measures::default(),
    }
}

/// What becomes of a million rows in a run.
#[derive(Clone, Debug)]
struct Scene {
    workers: u32,
    /// Milliseconds of each chunk, dealt to the workers in turn.
    chunks: Vec<u64>,
    /// Rows of each chunk.
    rows: Vec<u64>,
    /// Thousandths of a chunk's time spent on decoding and encoding, and on writing.
    processor: u64,
    storage: u64,
    answer_ms: u64,
    latency_us: u64,
    snapshot_ms: u64,
    look_ms: u64,
    confidence: &'static str,
    fixed: bool,
    filtered: bool,
    predicted: (u64, f64, ConfidenceLevel),
}

const CHUNKS: usize = 8;

impl Scene {
    /// Eight even chunks of 125,000 rows by `workers` workers, so fast that the whole takes
    /// `seconds`; predicted just so by many runs.
    fn even(workers: u32, seconds: f64) -> Self {
        let rounds = (CHUNKS as u64).div_ceil(u64::from(workers));
        let each = (seconds * 1000.0) as u64 / rounds;
        Self {
            workers,
            chunks: vec![each; CHUNKS],
            rows: vec![125_000; CHUNKS],
            processor: 200,
            storage: 50,
            answer_ms: 5,
            latency_us: 300,
            snapshot_ms: 20,
            look_ms: 30,
            confidence: "full",
            fixed: false,
            filtered: false,
            predicted: (1_000_000, 1_000_000.0 / seconds, ConfidenceLevel::High),
        }
    }

    fn play(&self) -> (RunOpen, RunClose) {
        let mut profile = fixtures::profile(1_000_000);
        profile.latency.round_trips_us = vec![self.latency_us; 5];
        let mut plan = fixtures::plan(profile.clone());
        plan.spec.workers = self.workers;
        let (rows, throughput, confidence) = self.predicted;
        plan.forecast.rows = rows;
        plan.forecast.throughput = throughput;
        plan.forecast.duration_s = rows as f64 / throughput;
        plan.forecast.grounds.confidence = confidence;
        plan.spec.read.filter = self.filtered.then(|| "total > 0".to_owned());
        let relation = profile.table.relation.clone();
        let open = RunOpen {
            id: RunId::stored("rx-20260131-120000-00000now"),
            scope: Scope::new(&fixtures::source(), &relation, &Selection::default(), None),
            started_at: jiff::Timestamp::UNIX_EPOCH,
            pid: 1,
            host: "etl-1".to_owned(),
            plan,
            constrained: self.fixed,
            replay_of: None,
            resumes: None,
            drift: None,
            context: None,
            hints: None,
            estimated_cost: None,
            source_then: SourceThen::from(&profile),
            look_ms: self.look_ms,
            output: "out".to_owned(),
        };
        (open, self.close())
    }

    fn close(&self) -> RunClose {
        let mut clocks = vec![0; self.workers as usize];
        let mut chunks = Vec::new();
        for (index, (ms, rows)) in self.chunks.iter().zip(&self.rows).enumerate() {
            let at = index % clocks.len();
            let processor = ms * self.processor / 1000;
            let storage = ms * self.storage / 1000;
            chunks.push(ChunkRecord {
                query_ms: ms - processor - storage,
                answer_ms: self.answer_ms,
                decode_ms: processor / 2,
                write_ms: processor - processor / 2 + storage,
                storage_ms: storage,
                rows: *rows,
                bytes: rows * 10,
                ..attribution::tests::chunk(index as u32 + 1, at as u32 + 1, clocks[at], *ms)
            });
            clocks[at] += ms;
        }
        let elapsed = clocks.iter().max().copied().unwrap_or(0);
        let workers: Vec<WorkerRecord> = (1..)
            .zip(&clocks)
            .map(|(number, busy)| attribution::tests::worker(number, *busy, elapsed - busy))
            .collect();
        let rows: u64 = self.rows.iter().sum();
        let duration_s = elapsed as f64 / 1000.0;
        RunClose {
            status: RunStatus::Success,
            ended_at: jiff::Timestamp::UNIX_EPOCH,
            rows,
            bytes: rows * 10,
            duration_s,
            throughput: rows as f64 / duration_s.max(0.001),
            effective_workers: f64::from(self.workers),
            snapshot: None,
            snapshot_ms: self.snapshot_ms,
            confidence: self.confidence.to_owned(),
            adaptations: Vec::new(),
            error: None,
            nulled: std::collections::BTreeMap::new(),
            chunks,
            workers,
            actual_cost: None,
            finding: None,
            anomaly: None,
        }
    }

    /// What the run shows after these.
    fn after(&self, earlier: &[CleanRun]) -> Diagnosis {
        let (open, close) = self.play();
        diagnose(&open, &close, earlier)
    }

    /// The run as a later one sees it.
    fn past(&self, number: usize, earlier: &[CleanRun]) -> CleanRun {
        let Diagnosis { finding, anomaly } = self.after(earlier);
        let close = self.close();
        CleanRun {
            id: RunId::stored(format!("rx-20260130-120000-{number:08x}")),
            workers: self.workers,
            throughput: close.throughput,
            rows: close.rows,
            finding: Some(finding),
            anomaly,
        }
    }
}

/// Runs one after the other; newest first.
fn history(scenes: &[Scene]) -> Vec<CleanRun> {
    let mut runs: Vec<CleanRun> = Vec::new();
    for (number, scene) in scenes.iter().enumerate() {
        let run = scene.past(number, &runs);
        runs.insert(0, run);
    }
    runs
}

/// Runs of four workers in about ten seconds.
fn usual(runs: usize) -> Vec<CleanRun> {
    let seconds = [10.0, 10.1, 9.9, 10.05, 9.95];
    let scenes: Vec<Scene> = (0..runs).map(|n| Scene::even(4, seconds[n % 5])).collect();
    history(&scenes)
}

#[track_caller]
fn expect(found: &Diagnosis, category: Category, action: &Action) {
    let finding = &found.finding;
    assert_eq!(finding.category, category, "{found:#?}");
    assert!(finding.actions.contains(action), "{found:#?}");
}

#[test]
fn the_first_run_is_stable_for_want_of_others() {
    let found = Scene::even(4, 10.0).after(&[]);
    expect(&found, Category::Stable, &Action::ReadLess);
    assert_eq!(found.finding.certainty, ConfidenceLevel::Low);
    assert_eq!(found.finding.evidence, [Evidence::First]);
    assert_eq!(
        (found.anomaly, found.finding.throughput_change),
        (None, None)
    );
}

#[test]
fn a_run_like_the_others_is_stable() {
    let found = Scene::even(4, 10.05).after(&usual(8));
    expect(&found, Category::Stable, &Action::ReadLess);
    assert_eq!(found.finding.certainty, ConfidenceLevel::High);
    assert!(matches!(
        found.finding.evidence[0],
        Evidence::Unchanged { .. }
    ));
    assert_eq!(found.anomaly, None);
}

#[test]
fn more_workers_that_help_and_fewer_that_hurt_mean_too_few() {
    let more = Scene::even(8, 6.0).after(&usual(3));
    expect(&more, Category::UnderParallel, &Action::Learned);
    let change = Evidence::WorkersChanged { from: 4, to: 8 };
    assert_eq!(more.finding.evidence[0], change);
    assert_eq!(more.finding.certainty, ConfidenceLevel::Medium);
    let fewer = Scene::even(2, 17.0).after(&usual(3));
    expect(&fewer, Category::UnderParallel, &Action::Learned);
}

#[test]
fn more_workers_that_hurt_and_fewer_that_help_mean_too_many() {
    let more = Scene::even(8, 14.0).after(&usual(3));
    expect(&more, Category::OverParallel, &Action::Learned);
    let mut fewer = Scene::even(2, 8.0);
    expect(
        &fewer.after(&usual(3)),
        Category::OverParallel,
        &Action::Learned,
    );
    fewer.fixed = true;
    let free = Action::FreeWorkers { workers: 2 };
    expect(&fewer.after(&usual(3)), Category::OverParallel, &free);
}

#[test]
fn a_change_within_noise_is_none() {
    let found = Scene::even(8, 10.3).after(&usual(4));
    expect(&found, Category::Stable, &Action::ReadLess);
}

#[test]
fn workers_are_not_blamed_for_what_their_number_never_did() {
    // Two workers were as fast as four; this once they are not.
    let mut scenes = vec![Scene::even(4, 10.0), Scene::even(2, 10.0)];
    scenes.extend([
        Scene::even(2, 10.1),
        Scene::even(4, 9.9),
        Scene::even(4, 10.1),
    ]);
    let found = Scene::even(2, 25.0).after(&history(&scenes));
    expect(&found, Category::Anomaly, &Action::LookAtSource);
    let found = Scene::even(2, 11.0).after(&history(&scenes));
    assert_eq!(
        found.finding.category,
        Category::UnderParallel,
        "{found:#?}"
    );
    assert_eq!(found.finding.certainty, ConfidenceLevel::High);
}

#[test]
fn workers_are_not_blamed_for_more_than_their_share() {
    // Half of the workers cannot take five sixths of the speed with them, though it is their first try;
    let found = Scene::even(2, 60.0).after(&usual(6));
    expect(&found, Category::Anomaly, &Action::LookAtSource);
    // nor can twice as many bring ten times as much.
    let found = Scene::even(8, 1.0).after(&usual(6));
    expect(&found, Category::Anomaly, &Action::Nothing);
    // They may take and bring less,
    let found = Scene::even(1, 12.0).after(&usual(6));
    expect(&found, Category::UnderParallel, &Action::Learned);
    // and what hinders has no such bound.
    let found = Scene::even(8, 60.0).after(&usual(6));
    expect(&found, Category::OverParallel, &Action::Learned);
}

#[test]
fn a_run_that_the_source_slowed_is_no_measure_for_the_next() {
    let mut runs = usual(6);
    let mut slow = Scene::even(4, 30.0);
    slow.latency_us = 40_000;
    let slow = slow.past(7, &runs);
    runs.insert(0, slow);
    assert_eq!(
        runs[0].finding.as_ref().map(|finding| finding.category),
        Some(Category::SourceLatency)
    );
    // Three workers, and the source as it ever was: not the doing of the fourth.
    let found = Scene::even(4, 10.0).after(&runs);
    assert_eq!(found.finding.category, Category::Stable, "{found:#?}");
}

#[test]
fn latency_before_the_run_or_in_its_answers_is_the_sources() {
    let mut far = Scene::even(4, 14.0);
    far.latency_us = 25_000;
    let found = far.after(&usual(6));
    expect(&found, Category::SourceLatency, &Action::QuieterHour);
    let rose = Evidence::LatencyRose {
        from_us: 300,
        to_us: 25_000,
    };
    assert_eq!(found.finding.evidence[0], rose);
    // Eight chunks do not take four seconds longer because of 9 ms more a round trip.
    far.latency_us = 9_300;
    assert_eq!(far.after(&usual(6)).finding.category, Category::Anomaly);
    let mut late = Scene::even(4, 14.0);
    late.answer_ms = 1_900;
    let found = late.after(&usual(6));
    let slowed = Evidence::AnswersSlowed {
        from_ms: 5,
        to_ms: 1_900,
    };
    assert_eq!(found.finding.evidence[0], slowed);
    assert_eq!(found.finding.category, Category::SourceLatency);
    // A server that is slower throughout is not slow to answer.
    late = Scene::even(4, 30.0);
    late.answer_ms = 60;
    let found = late.after(&usual(6));
    assert_eq!(found.finding.category, Category::Anomaly);
    // Nor does one worker instead of four, a third as fast.
    let mut alone = Scene::even(1, 30.0);
    alone.latency_us = 2_500;
    let found = alone.after(&usual(6));
    assert_eq!(
        found.finding.category,
        Category::UnderParallel,
        "{found:#?}"
    );
    // Where a slow disk took the time, latency that rose beside it explains nothing.
    let mut slow = Scene::even(4, 30.0);
    (slow.storage, slow.latency_us) = (700, 30_000);
    let found = slow.after(&usual(6));
    expect(&found, Category::Anomaly, &Action::LookAtStorage);
    // Latency that costs nothing is no cause of anything.
    far = Scene::even(4, 10.0);
    far.latency_us = 20_000;
    assert_eq!(far.after(&usual(6)).finding.category, Category::Stable);
    // Answers that more workers of our own slow down are not the source's doing.
    late = Scene::even(8, 14.0);
    late.answer_ms = 1_900;
    assert_eq!(
        late.after(&usual(6)).finding.category,
        Category::OverParallel
    );
}

#[test]
fn waiting_for_a_lock_is_the_sources_though_the_reading_was_as_ever() {
    let mut waited = Scene::even(4, 10.0);
    waited.snapshot_ms = 4_200;
    let found = waited.after(&usual(3));
    expect(&found, Category::SourceLatency, &Action::FindLocks);
    let first = waited.after(&[]);
    expect(&first, Category::SourceLatency, &Action::FindLocks);
    // A distant source takes as long without any lock.
    waited.latency_us = 100_000;
    waited.snapshot_ms = 4_000;
    assert_eq!(waited.after(&[]).finding.category, Category::Stable);
    // What is nothing beside the run is not what became of it.
    let mut long = Scene::even(4, 100.0);
    long.snapshot_ms = 4_200;
    assert_eq!(long.after(&[]).finding.category, Category::Stable);
}

#[test]
fn a_lock_that_was_waited_for_before_the_run_is_the_sources() {
    let mut waited = Scene::even(4, 10.0);
    waited.look_ms = 5_000;
    // However wrongly it was predicted.
    waited.predicted = (1_000_000, 50_000.0, ConfidenceLevel::High);
    let found = waited.after(&usual(3));
    expect(&found, Category::SourceLatency, &Action::FindLocks);
    let from_ms = 30;
    let to_ms = 5_000;
    let fact = Evidence::LookWaited { from_ms, to_ms };
    assert_eq!(found.finding.evidence[0], fact);
    // Nobody knows yet how long it takes to look at this table.
    waited.predicted = Scene::even(4, 10.0).predicted;
    assert_eq!(waited.after(&[]).finding.category, Category::Stable);
}

#[test]
fn the_rule_that_fired_is_enough() {
    let mut disturbed = Scene::even(4, 10.0);
    disturbed.confidence = "low";
    let found = disturbed.after(&usual(6));
    expect(
        &found,
        Category::SourceLatency,
        &Action::LowerMaxWorkers { workers: 4 },
    );
    let mut faster = Scene::even(4, 8.0);
    faster.confidence = "low";
    let found = faster.after(&usual(2));
    assert_eq!(found.finding.category, Category::Stable, "{found:#?}");
}

/// One chunk holds as much as all others together.
fn lopsided() -> Scene {
    let mut scene = Scene::even(4, 4.0);
    scene.chunks = vec![500, 500, 500, 500, 500, 500, 500, 6_000];
    scene.rows = vec![
        70_000, 70_000, 70_000, 70_000, 70_000, 70_000, 70_000, 510_000,
    ];
    scene.predicted = (1_000_000, 153_846.0, ConfidenceLevel::High);
    scene
}

#[test]
fn a_chunk_that_holds_most_is_skew_and_the_remedy_knows_what_was_active() {
    let found = lopsided().after(&[]);
    assert_eq!(found.finding.category, Category::DataSkew, "{found:#?}");
    let [Evidence::Uneven(skew), ..] = &found.finding.evidence[..] else {
        panic!("{found:#?}");
    };
    assert_eq!((skew.severity, skew.slowest), (Severity::High, 8));
    let (mut open, close) = lopsided().play();
    let remedy = |open: &RunOpen| diagnose(open, &close, &[]).finding.actions;
    let chunks = open.plan.spec.chunks.len() as u64;
    let smaller = |longest_first, by_density| Action::SmallerChunks {
        chunk_rows: 1_000_000 / (chunks * 4),
        longest_first,
        by_density,
    };
    open.plan.reasons.clear();
    assert_eq!(remedy(&open), [smaller(false, false)]);
    open.plan.spec.scheduling = Scheduling::WorkStealing;
    let origin = Origin::Catalogue;
    open.plan.reasons.push(Reason::BoundsFrom { origin });
    let both = [smaller(true, true), Action::RefreshStatistics];
    assert_eq!(remedy(&open), both);
}

#[test]
fn unevenness_that_costs_nothing_or_is_not_the_datas_is_no_skew() {
    let mut alone = lopsided();
    alone.workers = 1;
    assert_ne!(alone.after(&[]).finding.category, Category::DataSkew);
    let mut slow = lopsided();
    slow.rows = vec![125_000; CHUNKS];
    assert_ne!(slow.after(&[]).finding.category, Category::DataSkew);
    let mut hidden = lopsided();
    // As long as what the others had to do meanwhile.
    hidden.chunks = vec![1_000, 1_000, 1_000, 1_900, 1_000, 1_000, 1_000, 200];
    assert_ne!(hidden.after(&[]).finding.category, Category::DataSkew);
}

#[test]
fn far_from_everything_for_no_known_reason_is_an_anomaly_with_its_place() {
    type Case = (Part, Action, fn(&mut Scene));
    let parts: [Case; 3] = [
        (Part::Source, Action::LookAtSource, |_| {}),
        (Part::Processor, Action::LookAtMachine, |scene| {
            scene.processor = 800
        }),
        (Part::Storage, Action::LookAtStorage, |scene| {
            (scene.processor, scene.storage) = (80, 800);
        }),
    ];
    for (part, action, change) in parts {
        let mut scene = Scene::even(4, 30.0);
        change(&mut scene);
        let found = scene.after(&usual(12));
        expect(&found, Category::Anomaly, &action);
        let costlier = found.finding.evidence.iter().find_map(|fact| match fact {
            Evidence::Costlier { part, .. } => Some(*part),
            _ => None,
        });
        assert_eq!(costlier, Some(part), "{found:#?}");
        let anomaly = found.anomaly.expect("an anomaly");
        assert_eq!(anomaly.direction, Direction::Degradation);
        assert_eq!(found.finding.certainty, ConfidenceLevel::High);
    }
    let fast = Scene::even(4, 5.0).after(&usual(12));
    expect(&fast, Category::Anomaly, &Action::Nothing);
    assert_eq!(
        fast.anomaly.map(|anomaly| anomaly.direction),
        Some(Direction::Improvement)
    );
}

#[test]
fn a_run_is_not_in_its_own_baseline() {
    let runs = usual(5);
    let found = Scene::even(4, 30.0).after(&runs);
    let anomaly = found.anomaly.expect("five runs are enough");
    assert!(anomaly.z > 2.0 && anomaly.runs == 5, "{anomaly:?}");
    assert_eq!(Scene::even(4, 30.0).after(&runs[1..]).anomaly, None);
}

#[test]
fn a_trusted_prediction_that_was_wrong_is_the_models_error() {
    // Twice the rows that were predicted, as fast as ever.
    let mut grown = Scene::even(4, 10.0);
    grown.predicted = (500_000, 100_000.0, ConfidenceLevel::High);
    let found = grown.after(&usual(6));
    expect(&found, Category::ModelError, &Action::RefreshStatistics);
    assert!((found.finding.deviation_ratio - 2.0).abs() < 0.01);
    // A filter's rows are not predicted.
    grown.filtered = true;
    assert_eq!(grown.after(&usual(6)).finding.category, Category::Stable);
    // As fast as the runs before it, twice as fast as predicted.
    let mut fast = Scene::even(4, 10.0);
    fast.predicted = (1_000_000, 50_000.0, ConfidenceLevel::Medium);
    let found = fast.after(&usual(6));
    expect(&found, Category::ModelError, &Action::Learned);
    assert_eq!(found.finding.certainty, ConfidenceLevel::Medium);
    // Nobody trusted this one.
    fast.predicted.2 = ConfidenceLevel::Low;
    assert_eq!(fast.after(&usual(6)).finding.category, Category::Stable);
}

fn scene() -> impl Generator<Value = Scene> {
    let times = (proptest::collection::vec(0u64..20_000, CHUNKS), 1u32..=8);
    let waits = (0u64..9000, 0u64..9000);
    let shares = (0u64..600, 0u64..400, 0u64..1000, 0u64..100_000, waits);
    let rest = (
        any::<bool>(),
        any::<bool>(),
        0usize..3,
        0u64..3_000_000,
        0.0f64..1e6,
    );
    (
        times,
        shares,
        rest,
        proptest::collection::vec(0u64..900_000, CHUNKS),
    )
        .prop_map(|((chunks, workers), shares, rest, rows)| {
            let (processor, storage, answer_ms, latency_us, waits) = shares;
            let (snapshot_ms, look_ms) = waits;
            let (fixed, filtered, confidence, predicted, speed) = rest;
            Scene {
                workers,
                chunks,
                rows,
                processor,
                storage,
                answer_ms,
                latency_us,
                snapshot_ms,
                look_ms,
                confidence: ["full", "moderate", "low"][confidence],
                fixed,
                filtered,
                predicted: (predicted, speed, ConfidenceLevel::High),
            }
        })
}

proptest! {
    #[test]
    fn every_run_has_a_finding_that_is_the_same_each_time_and_survives_the_store(
        scenes in proptest::collection::vec(scene(), 1..12),
    ) {
        let runs = history(&scenes[1..]);
        let found = scenes[0].after(&runs);
        prop_assert_eq!(&found, &scenes[0].after(&runs));
        let finding = &found.finding;
        prop_assert!(!finding.evidence.is_empty() && !finding.actions.is_empty());
        prop_assert!(finding.deviation_ratio.is_finite());
        let text = serde_json::to_string(finding).expect("JSON");
        let back: Finding = serde_json::from_str(&text).expect("its own JSON");
        prop_assert_eq!(&back, finding);
        let close = scenes[0].close();
        let elapsed = (close.duration_s * 1000.0).round() as u64;
        let went: Attribution = finding.measures.attribution;
        prop_assert_eq!(went.total_ms(), elapsed * u64::from(scenes[0].workers));
        if finding.category == Category::Anomaly {
            prop_assert!(found.anomaly.is_some());
        }
    }
}
