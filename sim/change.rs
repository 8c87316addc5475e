//! Sources that change: slow runs, declines, drops, recoveries, another best count (facts sheet,
//! section 14: window, escape and drift; degradation takes workers away, as the product's decisions
//! have it).

use crate::course::{Run, mean_share, told};
use crate::plant::{Curve, Plant, ROOM};

#[test]
fn one_slow_run_changes_nothing() {
    let mut plant = Plant::steady(Curve::Linear, 6);
    plant.noise = 0.05;
    plant.level = |run| if run == 20 { 1.0 / 1.5 } else { 1.0 };
    let course = plant.course(4, 30, ROOM);
    assert!(!course.iter().any(Run::is_restart), "{}", told(&course));
    assert!(
        course[15..].iter().all(|run| run.in_use() == 6),
        "{}",
        told(&course)
    );
}

#[test]
fn a_drop_by_two_fifths_restarts_the_search_and_a_recovery_does_too() {
    let mut plant = Plant::steady(Curve::Linear, 6);
    plant.level = |run| if (30..60).contains(&run) { 0.6 } else { 1.0 };
    let course = plant.course(4, 90, ROOM);
    insta::assert_snapshot!(told(&course[26..50]), @"6 6 6 6 6 6 6 6(restart) 3? 6 6 6 12? 7? 8? 6 6 6 6 6 6 6 6 5~");
    assert_eq!(course.iter().filter(|run| run.is_restart()).count(), 2);
    let first = course.iter().position(Run::is_restart).unwrap();
    let limit = course[first - 1].in_use();
    let calm = &course[first..first + 5];
    assert!(
        calm.iter().all(|run| run.workers <= limit),
        "{}",
        told(&course)
    );
    assert_eq!(course[59].in_use(), 6, "{}", told(&course));
    assert_eq!(course[89].in_use(), 6, "{}", told(&course));
}

#[test]
fn a_drop_by_a_fifth_is_borne() {
    let mut plant = Plant::steady(Curve::Linear, 6);
    plant.level = |run| if run >= 30 { 0.8 } else { 1.0 };
    let course = plant.course(4, 60, ROOM);
    assert!(!course.iter().any(Run::is_restart), "{}", told(&course));
    assert_eq!(course[59].in_use(), 6, "{}", told(&course));
}

#[test]
fn three_sharp_drops_take_two_workers_away_at_once() {
    let mut plant = Plant::steady(Curve::Linear, 6);
    plant.noise = 0.0;
    plant.level = |run| 0.82f64.powi(i32::try_from(run.clamp(28, 33) - 28).unwrap());
    let course = plant.course(6, 50, ROOM);
    insta::assert_snapshot!(told(&course[22..44]), @"6 6 6 6 6 7~ 6 6 6 6 4(-2) 6! 6 6 6 12? 7? 6 6 6 5? 6");
}

#[test]
fn a_steady_decline_takes_one_worker_away() {
    let mut plant = Plant::steady(Curve::Logarithmic, 8);
    plant.noise = 0.0;
    plant.level = |run| 0.95f64.powi(i32::try_from(run.clamp(26, 36) - 26).unwrap());
    let course = plant.course(8, 50, ROOM);
    insta::assert_snapshot!(told(&course[22..44]), @"8 8 8 8 8 8 7~ 8 8 8 7(-1) 4? 8 8 8? 11? 6? 9? 8? 7 8! 7?");
}

#[test]
fn five_percent_noise_survives() {
    for seed in 1..=5 {
        let mut plant = Plant::steady(Curve::Logarithmic, 6);
        (plant.noise, plant.seed) = (0.05, seed);
        let course = plant.course(6, 100, ROOM);
        let moved = course
            .iter()
            .any(|run| run.is_restart() || run.is_step_down());
        assert!(!moved, "seed {seed}: {}", told(&course));
    }
}

#[test]
fn fifteen_percent_noise_never_escapes() {
    for seed in 1..=5 {
        let mut plant = Plant::steady(Curve::Linear, 6);
        (plant.noise, plant.seed) = (0.15, seed);
        let course = plant.course(6, 200, ROOM);
        assert!(
            !course.iter().any(Run::is_restart),
            "seed {seed}: {}",
            told(&course)
        );
        let steps = course.iter().filter(|run| run.is_step_down()).count();
        assert!(steps <= 1, "seed {seed}: {}", told(&course));
    }
}

#[test]
fn a_source_that_becomes_faster_is_searched_anew() {
    let mut plant = Plant::steady(Curve::Linear, 4);
    plant.level = |run| if run >= 30 { 4.0 } else { 1.0 };
    plant.best = |first, run| if run >= 30 { 2 * first } else { first };
    let course = plant.course(4, 60, ROOM);
    assert_eq!(course[29].in_use(), 4, "{}", told(&course));
    assert!(course[50].in_use().abs_diff(8) <= 1, "{}", told(&course));
}

#[test]
fn another_best_count_is_found_on_either_side() {
    for (before, after) in [(3, 9), (9, 3), (6, 2), (2, 6)] {
        for curve in Curve::ALL {
            let mut plant = Plant::steady(curve, before * 100 + after);
            plant.best = |both, run| if run >= 40 { both % 100 } else { both / 100 };
            let course = plant.course(4, 100, ROOM);
            let later = mean_share(&course[80..]);
            assert!(
                later >= 0.93,
                "{curve:?} {before} to {after}, {later}: {}",
                told(&course)
            );
        }
    }
}

#[test]
fn a_best_count_that_wanders_is_followed() {
    for curve in Curve::ALL {
        let mut plant = Plant::steady(curve, 4);
        plant.best = |first, run| first + run / 40;
        let course = plant.course(4, 240, ROOM);
        assert!(
            mean_share(&course[40..]) >= 0.9,
            "{curve:?}: {}",
            told(&course)
        );
    }
}
