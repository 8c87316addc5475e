//! Hardening: many noisy runs at a source that stays as it is (facts sheet, section 14).

use crate::course::{Run, changes, mean_share, near, told};
use crate::plant::{Curve, Plant, ROOM};

#[test]
fn five_hundred_noisy_runs_do_not_unsettle_it() {
    for seed in 1..=5 {
        let mut plant = Plant::steady(Curve::Linear, 6);
        (plant.noise, plant.seed) = (0.13, seed);
        let course = plant.course(5, 500, ROOM);
        let settled = course.iter().position(Run::converged);
        assert!(
            settled.is_some_and(|run| run < 30),
            "seed {seed}: {}",
            told(&course[..40])
        );
        let later = &course[40..];
        let at_best = later.iter().filter(|run| run.workers == 6).count();
        assert!(
            at_best * 10 >= later.len() * 9,
            "seed {seed}: {at_best} of {}",
            later.len()
        );
        assert!(changes(later) <= 3, "seed {seed}: {}", told(&course));
        assert!(
            !course.iter().any(Run::is_restart),
            "seed {seed}: {}",
            told(&course)
        );
    }
}

#[test]
fn two_thousand_noisy_runs_do_not_unsettle_it_on_any_curve() {
    for curve in Curve::ALL {
        let mut plant = Plant::steady(curve, 6);
        plant.noise = 0.13;
        let course = plant.course(5, 2_000, ROOM);
        let later = &course[100..];
        assert!(near(later, 6) >= 0.92, "{curve:?}: {}", near(later, 6));
        assert!(
            mean_share(later) >= 0.98,
            "{curve:?}: {}",
            mean_share(later)
        );
        assert!(
            changes(later) <= 10,
            "{curve:?}: {} changes",
            changes(later)
        );
        let restarts = course
            .iter()
            .filter(|run| run.is_restart() || run.is_step_down());
        assert!(restarts.count() <= 1, "{curve:?}");
    }
}

#[test]
fn a_settled_search_stays_alive() {
    let course = Plant::steady(Curve::Linear, 6).course(6, 120, ROOM);
    let trials = |runs: &[Run]| {
        runs.iter()
            .filter(|run| run.workers != run.in_use())
            .count()
    };
    assert!(
        (1..=8).contains(&trials(&course[60..])),
        "{}",
        told(&course)
    );
}
