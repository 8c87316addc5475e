//! What the controller must and must not do at a source that stays as it is, and where each of the
//! seed's 28 scenarios is tested (facts sheet, section 14).

use std::path::Path;

use ixtract::controller::between_runs::Room;
use ixtract::model::ExecutionPlan;
use ixtract::planner::{PlanError, fingerprint, parse};

use crate::course::{Run, changes, mean_share, told};
use crate::fixtures;
use crate::plant::{Curve, Plant, ROOM};

/// The 28 scenarios: what each asks, and the file and the test that hold it. What concerns requests,
/// plans and the store is tested where those are, on the real thing.
const SCENARIOS: [(&str, &str, &str); 28] = [
    (
        "low noise converges",
        "sim/scenarios.rs",
        "low_noise_converges_at_the_best",
    ),
    (
        "near the best or the start",
        "sim/scenarios.rs",
        "it_converges_from_either_side_within_thirty_runs",
    ),
    (
        "far too parallel: down, never up",
        "sim/scenarios.rs",
        "more_workers_that_bring_nothing_are_given_back",
    ),
    (
        "one slow run",
        "sim/change.rs",
        "one_slow_run_changes_nothing",
    ),
    (
        "skewed chunks",
        "sim/shares.rs",
        "chunks_of_a_skewed_key_hold_equally_many_rows",
    ),
    (
        "growth from run to run",
        "sim/scenarios.rs",
        "a_growing_table_is_a_steady_source",
    ),
    (
        "8 % noise does not oscillate",
        "sim/scenarios.rs",
        "eight_percent_noise_neither_oscillates_nor_keeps_it_from_converging",
    ),
    (
        "8 % noise converges",
        "sim/scenarios.rs",
        "eight_percent_noise_neither_oscillates_nor_keeps_it_from_converging",
    ),
    (
        "same inputs, same decisions",
        "sim/scenarios.rs",
        "equal_sources_give_equal_courses",
    ),
    (
        "bounds",
        "sim/scenarios.rs",
        "bounds_hold_and_no_trial_goes_beyond_double_or_half",
    ),
    (
        "steps are limited",
        "sim/swarm.rs",
        "nothing_forbidden_happens_in_any_world",
    ),
    (
        "a request from flags",
        "tests/it/cli/failures.rs",
        "bad_flags",
    ),
    (
        "equal requests, equal hashes",
        "tests/it/cli/plans.rs",
        "equal_inputs_have_equal_fingerprints",
    ),
    // There is no incremental mode to lack a key: a filter has parameters, and they must be given.
    (
        "incremental without its key",
        "tests/it/cli/failures.rs",
        "a_missing_parameter",
    ),
    (
        "incremental with its key",
        "tests/it/selections/query.rs",
        "runs_of_one_template_share_a_history",
    ),
    (
        "what a history is keyed by",
        "tests/it/state.rs",
        "histories_of_like_named_tables_never_mix",
    ),
    (
        "a plan cannot be edited",
        "tests/it/cli/plans.rs",
        "a_plan_that_was_edited_is_refused",
    ),
    (
        "a plan's round trip",
        "tests/it/cli/plans.rs",
        "a_plan_is_executed_as_it_was_written",
    ),
    (
        "no chunk",
        "sim/scenarios.rs",
        "what_cannot_be_executed_is_no_plan",
    ),
    (
        "bad bounds",
        "sim/scenarios.rs",
        "what_cannot_be_executed_is_no_plan",
    ),
    (
        "the controller's round trip",
        "src/controller/between_runs/tests.rs",
        "a_state_survives_the_store",
    ),
    (
        "the controller is kept",
        "tests/it/learning.rs",
        "the_plan_says_why_and_some_runs_do_not_teach",
    ),
    (
        "what was learned is replaced",
        "src/state/mod.rs",
        "what_was_learned_is_kept_when_the_run_teaches",
    ),
    (
        "nothing learned yet",
        "src/controller/between_runs/tests.rs",
        "without_history_there_is_no_opinion",
    ),
    (
        "a run's start and end",
        "tests/it/state.rs",
        "a_run_leaves_its_row_chunks_workers_profile_and_plan",
    ),
    (
        "more and faster",
        "sim/scenarios.rs",
        "from_one_worker_it_doubles_its_way_up",
    ),
    (
        "more and slower",
        "sim/scenarios.rs",
        "from_far_too_many_it_halves_its_way_down",
    ),
    (
        "a small change",
        "sim/change.rs",
        "five_percent_noise_survives",
    ),
];

#[test]
fn every_scenario_has_its_test() {
    for (scenario, file, test) in SCENARIOS {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(
            text.contains(&format!("fn {test}(")),
            "{scenario}: no {test} in {file}"
        );
    }
}

#[test]
fn low_noise_converges_at_the_best() {
    for curve in Curve::ALL {
        let mut plant = Plant::steady(curve, 6);
        plant.noise = 0.03;
        let course = plant.course(3, 30, ROOM);
        assert_eq!(course[29].in_use(), 6, "{}", told(&course));
        assert!(course[29].converged(), "{}", told(&course));
    }
}

#[test]
fn eight_percent_noise_neither_oscillates_nor_keeps_it_from_converging() {
    for curve in Curve::ALL {
        let mut plant = Plant::steady(curve, 6);
        plant.noise = 0.08;
        let course = plant.course(4, 40, ROOM);
        let later = &course[20..];
        assert!(later.iter().any(Run::converged), "{}", told(&course));
        assert!(changes(later) <= 1, "{}", told(&course));
        assert!(mean_share(later) >= 0.97, "{}", told(&course));
    }
}

#[test]
fn a_growing_table_is_a_steady_source() {
    // Ten percent more rows a run take longer; rows a second stay, but for what starting up costs.
    let mut plant = Plant::steady(Curve::Linear, 6);
    plant.level = |run| 1.0 - 0.1 / 1.1f64.powi(i32::try_from(run).unwrap());
    let course = plant.course(4, 40, ROOM);
    assert!(!course.iter().any(Run::is_restart), "{}", told(&course));
    assert_eq!(course[39].in_use(), 6, "{}", told(&course));
}

#[test]
fn from_one_worker_it_doubles_its_way_up() {
    let course = Plant::steady(Curve::Linear, 6).course(1, 24, ROOM);
    insta::assert_snapshot!(told(&course), @"1(start) 2? 4? 8? 7? 12? 6? 6! 6 6 6 6 6 6 6 5~ 6 6 6 6 6 6 6 6");
}

#[test]
fn from_far_too_many_it_halves_its_way_down() {
    let course = Plant::steady(Curve::Plateau, 4).course(16, 24, ROOM);
    insta::assert_snapshot!(told(&course), @"16(start) 8? 4? 3? 4 4 4 4 4 4 4 4 5~ 4 4 4 4 4 4 4 4 4 4 4");
}

#[test]
fn it_converges_from_either_side_within_thirty_runs() {
    for curve in Curve::ALL {
        for start in [1, 6, 16] {
            for seed in 1..=5 {
                let mut plant = Plant::steady(curve, 6);
                plant.seed = seed;
                let course = plant.course(start, 40, ROOM);
                let settled = course[39].in_use();
                assert!(settled.abs_diff(6) <= 1, "{}", told(&course));
                let near = course[30..]
                    .iter()
                    .filter(|run| run.workers.abs_diff(6) <= 1);
                assert!(near.count() >= 9, "{}", told(&course));
            }
        }
    }
}

#[test]
fn more_workers_that_bring_nothing_are_given_back() {
    let mut plant = Plant::steady(Curve::Linear, 1);
    plant.noise = 0.02;
    let course = plant.course(8, 24, ROOM);
    insta::assert_snapshot!(told(&course), @"8(start) 4? 2? 1? 1! 1 1 1 1 1 1 1 2~ 1 1 1 1 1 1 1 1 1 1 1");
    assert_eq!(course[23].in_use(), 1);
}

#[test]
fn equal_sources_give_equal_courses() {
    let plant = Plant::steady(Curve::Logarithmic, 8);
    assert_eq!(plant.course(2, 60, ROOM), plant.course(2, 60, ROOM));
}

#[test]
fn bounds_hold_and_no_trial_goes_beyond_double_or_half() {
    let room = Room {
        min: 2,
        max: 9,
        ..ROOM
    };
    for start in [1, 4, 16] {
        let course = Plant::steady(Curve::Linear, 12).course(start, 60, room);
        for pair in course.windows(2) {
            let (workers, best) = (pair[1].workers, pair[1].in_use());
            assert!((2..=9).contains(&workers), "{}", told(&course));
            assert!(
                workers <= 2 * best && 2 * workers >= best,
                "{}",
                told(&course)
            );
        }
    }
}

#[test]
fn without_exploring_it_stays_where_it_is() {
    let room = Room {
        explore: false,
        ..ROOM
    };
    let course = Plant::steady(Curve::Linear, 6).course(3, 30, room);
    assert!(
        course.iter().all(|run| run.workers == 3),
        "{}",
        told(&course)
    );
}

#[test]
fn a_source_under_load_is_never_given_more_workers() {
    let room = Room {
        upward: false,
        ..ROOM
    };
    let course = Plant::steady(Curve::Linear, 12).course(6, 60, room);
    assert!(
        course.iter().all(|run| run.workers <= 6),
        "{}",
        told(&course)
    );
}

#[test]
fn what_cannot_be_executed_is_no_plan() {
    let spoil: [fn(&mut ExecutionPlan); 4] = [
        |plan| plan.spec.chunks.clear(),
        |plan| plan.spec.workers = 0,
        |plan| plan.spec.chunks.swap(0, 1),
        |plan| plan.spec.chunks[1].bounds = plan.spec.chunks[0].bounds.clone(),
    ];
    for spoil in spoil {
        let mut plan = fixtures::plan(fixtures::profile(3_000_000));
        assert_eq!(
            parse(&serde_json::to_string(&plan).unwrap()),
            Ok(plan.clone())
        );
        spoil(&mut plan);
        // Whoever edits a plan may well compute its fingerprint, too.
        plan.fingerprint = fingerprint(&plan.spec);
        let refused = parse(&serde_json::to_string(&plan).unwrap());
        assert!(matches!(refused, Err(PlanError::Broken(_))), "{refused:?}");
    }
}
