//! What the controller must and must not do, as courses of many runs (facts sheet, section 14: the
//! scenarios that concern it, hardening and drift, with the signs that the product's decisions give).

use ixtract::controller::between_runs::Room;
use ixtract::model::Learned;

use crate::plant::{Curve, Plant, ROOM, Run, mean_share};

/// A course as text: workers, with a letter for what kind of step they were.
fn told(course: &[Run]) -> String {
    let step = |run: &Run| {
        let letter = match run.decision.as_ref().map(|decision| &decision.why) {
            None => "start",
            Some(Learned::Held { .. }) => "",
            Some(Learned::Adopted { .. }) => "!",
            Some(Learned::Tried { .. }) => "?",
            Some(Learned::Probed { .. }) => "~",
            Some(Learned::Declined { .. }) => "-1",
            Some(Learned::Dropped { .. }) => "-2",
            Some(Learned::Restarted { .. }) => "restart",
        };
        if letter.len() > 1 {
            format!("{}({letter})", run.workers)
        } else {
            format!("{}{letter}", run.workers)
        }
    };
    course.iter().map(step).collect::<Vec<_>>().join(" ")
}

fn is_restart(run: &Run) -> bool {
    let why = run.decision.as_ref().map(|decision| &decision.why);
    matches!(why, Some(Learned::Restarted { .. }))
}

/// The count in use after a run, apart from trials.
fn in_use(run: &Run) -> u32 {
    let next = run.decision.as_ref().map(|decision| &decision.next);
    next.map_or(run.workers, |next| next.best)
}

/// How often the count in use changes.
fn changes(course: &[Run]) -> usize {
    let pairs = course.windows(2);
    pairs
        .filter(|pair| in_use(&pair[0]) != in_use(&pair[1]))
        .count()
}

#[test]
fn from_one_worker_it_doubles_its_way_up() {
    let course = Plant::steady(Curve::Linear, 6).course(1, 24, ROOM);
    insta::assert_snapshot!(told(&course), @"1(start) 2? 4? 8? 7? 13? 6? 6! 6 6 6 6 6 6 6 5~ 6 6 6 6 6 6 6 6");
}

#[test]
fn from_far_too_many_it_halves_its_way_down() {
    let course = Plant::steady(Curve::Plateau, 4).course(16, 24, ROOM);
    insta::assert_snapshot!(told(&course), @"16(start) 8? 4? 2? 3? 4? 3? 4 4 4 4 4 4 4 4 5~ 4 4 4 4 4 4 4 4");
}

#[test]
fn it_converges_from_either_side_within_thirty_runs() {
    for curve in Curve::ALL {
        for start in [1, 6, 16] {
            for seed in 1..=5 {
                let mut plant = Plant::steady(curve, 6);
                plant.seed = seed;
                let course = plant.course(start, 40, ROOM);
                let settled = in_use(&course[39]);
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
    assert_eq!(in_use(&course[23]), 1);
}

#[test]
fn one_slow_run_changes_nothing() {
    let mut plant = Plant::steady(Curve::Linear, 6);
    plant.noise = 0.05;
    plant.level = |run| if run == 20 { 1.0 / 1.5 } else { 1.0 };
    let course = plant.course(4, 30, ROOM);
    assert!(!course.iter().any(is_restart), "{}", told(&course));
    assert!(
        course[15..].iter().all(|run| in_use(run) == 6),
        "{}",
        told(&course)
    );
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
            let (workers, best) = (pair[1].workers, in_use(&pair[1]));
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
fn a_drop_by_two_fifths_restarts_the_search_and_a_recovery_does_too() {
    let mut plant = Plant::steady(Curve::Linear, 6);
    plant.level = |run| if (30..60).contains(&run) { 0.6 } else { 1.0 };
    let course = plant.course(4, 90, ROOM);
    insta::assert_snapshot!(told(&course[26..50]), @"7~ 6 6 6 6 6 6(restart) 3? 6 6 6 12? 7? 8? 7? 6 6 6 6 6 6 6 6 5~");
    assert_eq!(course.iter().filter(|run| is_restart(run)).count(), 2);
    let first = course.iter().position(is_restart).unwrap();
    let limit = in_use(&course[first - 1]);
    let calm = &course[first..first + 5];
    assert!(
        calm.iter().all(|run| run.workers <= limit),
        "{}",
        told(&course)
    );
    assert_eq!(in_use(&course[59]), 6, "{}", told(&course));
    assert_eq!(in_use(&course[89]), 6, "{}", told(&course));
}

#[test]
fn a_drop_by_a_fifth_is_borne() {
    let mut plant = Plant::steady(Curve::Linear, 6);
    plant.level = |run| if run >= 30 { 0.8 } else { 1.0 };
    let course = plant.course(4, 60, ROOM);
    assert!(!course.iter().any(is_restart), "{}", told(&course));
    assert_eq!(in_use(&course[59]), 6, "{}", told(&course));
}

#[test]
fn three_sharp_drops_take_two_workers_away_at_once() {
    let mut plant = Plant::steady(Curve::Linear, 6);
    plant.noise = 0.0;
    plant.level = |run| 0.82f64.powi(i32::try_from(run.clamp(28, 33) - 28).unwrap());
    let course = plant.course(6, 50, ROOM);
    insta::assert_snapshot!(told(&course[22..44]), @"6 6 6 6 6 7~ 6 6 6 6 4(-2) 6! 6 6 6 12? 7? 5? 8? 6 6 6");
}

#[test]
fn a_steady_decline_takes_one_worker_away() {
    let mut plant = Plant::steady(Curve::Logarithmic, 8);
    plant.noise = 0.0;
    plant.level = |run| 0.95f64.powi(i32::try_from(run.clamp(26, 36) - 26).unwrap());
    let course = plant.course(8, 50, ROOM);
    insta::assert_snapshot!(told(&course[22..44]), @"8 8 8 8 8 8 8 7~ 8 8 7(-1) 4? 8 7? 8 12? 9? 6? 7? 8 8 8");
}

#[test]
fn five_hundred_noisy_runs_do_not_unsettle_it() {
    for seed in 1..=5 {
        let mut plant = Plant::steady(Curve::Linear, 6);
        (plant.noise, plant.seed) = (0.13, seed);
        let course = plant.course(5, 500, ROOM);
        let later = &course[40..];
        let at_best = later.iter().filter(|run| run.workers == 6).count();
        assert!(
            at_best * 10 >= later.len() * 9,
            "{at_best} of {}",
            later.len()
        );
        assert!(changes(later) <= 3, "seed {seed}: {}", told(&course));
        assert!(!course.iter().any(is_restart), "seed {seed}");
    }
}

#[test]
fn two_thousand_noisy_runs_do_not_unsettle_it_on_any_curve() {
    for curve in Curve::ALL {
        let mut plant = Plant::steady(curve, 6);
        plant.noise = 0.13;
        let course = plant.course(5, 2_000, ROOM);
        let later = &course[100..];
        let near = later
            .iter()
            .filter(|run| run.workers.abs_diff(6) <= 1)
            .count();
        assert!(near * 100 >= later.len() * 92, "{near} of {}", later.len());
        assert!(mean_share(later) >= 0.98, "{}", mean_share(later));
        assert!(changes(later) <= 10, "{}", changes(later));
    }
}

#[test]
fn a_settled_search_stays_alive() {
    let course = Plant::steady(Curve::Linear, 6).course(6, 120, ROOM);
    let trials = |runs: &[Run]| runs.iter().filter(|run| run.workers != in_use(run)).count();
    assert!(
        (1..=8).contains(&trials(&course[60..])),
        "{}",
        told(&course)
    );
}
