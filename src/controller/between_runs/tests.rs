//! The controller between runs: its rules one by one, and what holds for any history.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

const ROOM: Room = Room {
    min: 1,
    max: 16,
    explore: true,
    upward: true,
};

fn sample(second: i64, workers: u32, throughput: f64) -> Sample {
    Sample {
        workers,
        throughput,
        at: Timestamp::from_second(second).expect("a time"),
    }
}

/// A history of `(workers, thousand rows a second)`, given oldest first.
fn history(runs: &[(u32, u32)]) -> Vec<Sample> {
    let oldest_first = (1..).zip(runs);
    let mut samples: Vec<Sample> = oldest_first
        .map(|(second, (workers, thousands))| {
            sample(second, *workers, f64::from(*thousands) * 1000.0)
        })
        .collect();
    samples.reverse();
    samples
}

fn after(best: u32, runs: &[(u32, u32)]) -> Decision {
    let state = State {
        best,
        ..State::default()
    };
    decide(&history(runs), &state, ROOM).expect("a decision")
}

fn at(workers: u32, thousands: &[u32]) -> Decision {
    let runs: Vec<(u32, u32)> = thousands.iter().map(|value| (workers, *value)).collect();
    after(workers, &runs)
}

/// The workers, and the step's name as it is stored.
fn step(decision: &Decision) -> (u32, String) {
    let json = serde_json::to_value(&decision.why).expect("JSON");
    (
        decision.workers,
        json["step"].as_str().expect("a name").to_owned(),
    )
}

#[test]
fn without_history_there_is_no_opinion() {
    assert_eq!(decide(&[], &State::default(), ROOM), None);
    let unusable = [sample(1, 4, 0.0), sample(2, 4, f64::NAN), sample(3, 0, 5.0)];
    assert_eq!(decide(&unusable, &State::default(), ROOM), None);
}

#[test]
fn degradation_takes_workers_away() {
    let decline = at(4, &[220, 210, 198, 190, 185]);
    assert_eq!(step(&decline), (3, "declined".to_owned()));
    let drops = at(4, &[220, 185, 155, 130]);
    assert_eq!(step(&drops), (2, "dropped".to_owned()));
    let sharp = at(15, &[100, 95, 78, 65, 54]);
    assert_eq!(step(&sharp), (13, "dropped".to_owned()));
    let few = at(2, &[220, 185, 155, 130]);
    assert_eq!(step(&few), (1, "dropped".to_owned()));
    let fewest = at(1, &[220, 185, 155, 130]);
    assert_eq!(step(&fewest), (1, "dropped".to_owned()));
    assert_ne!(step(&at(4, &[185, 155, 130])).1, "dropped");
}

#[test]
fn degradation_is_not_soon_followed_by_more_workers() {
    let mut runs = vec![(6, 200), (6, 200), (6, 200), (6, 110), (6, 110), (6, 110)];
    let mut decision = after(6, &runs);
    assert_eq!(step(&decision), (6, "restarted".to_owned()));
    for _ in 0..CALM {
        assert!(decision.workers <= 6, "{decision:?}");
        runs.push((decision.workers, 110));
        decision = decide(&history(&runs), &decision.next, ROOM).expect("a decision");
    }
}

#[test]
fn one_slow_run_changes_nothing_for_good() {
    let steady: Vec<(u32, u32)> = [(3, 160), (5, 160)]
        .into_iter()
        .chain((0..9).map(|_| (4, 200)))
        .collect();
    let settled = after(4, &steady);
    let mut runs = steady;
    runs.push((4, 133));
    let spiked = decide(&history(&runs), &settled.next, ROOM).expect("a decision");
    assert_eq!(spiked.next.best, 4);
    runs.push((spiked.workers, 200));
    let later = decide(&history(&runs), &spiked.next, ROOM).expect("a decision");
    assert_eq!(later.next.best, 4);
}

#[test]
fn a_better_count_is_adopted_and_a_tie_goes_to_the_smaller() {
    let better = after(4, &[(4, 200), (8, 330), (4, 201), (8, 331)]);
    assert_eq!(better.next.best, 8);
    let tie = after(8, &[(8, 200), (4, 200), (8, 200), (4, 200), (8, 200)]);
    assert_eq!(tie.next.best, 4);
}

#[test]
fn far_from_the_best_counts_are_doubled_or_halved() {
    let from_one = after(1, &[(1, 50)]);
    assert_eq!(step(&from_one), (2, "tried".to_owned()));
    let rising = after(1, &[(1, 50), (2, 100)]);
    assert_eq!(rising.workers, 4);
    let too_many = after(16, &[(16, 50)]);
    assert_eq!(step(&too_many), (8, "tried".to_owned()));
}

#[test]
fn a_source_that_no_curve_describes_is_believed() {
    // Steeper than any fall there is: several slow runs are not all accidents, nor a fast one luck.
    let mut runs = vec![(8, 31), (4, 125), (2, 400)];
    let mut decision = after(8, &runs);
    for _ in 0..12 {
        assert!(decision.workers <= 4, "{decision:?} after {runs:?}");
        let thousands = [0, 330, 400, 220, 125][decision.workers as usize];
        runs.push((decision.workers, thousands));
        decision = decide(&history(&runs), &decision.next, ROOM).expect("a decision");
    }
    assert_eq!(decision.next.best, 2, "{runs:?}");
}

#[test]
fn under_load_nothing_goes_up() {
    let loaded = Room {
        upward: false,
        ..ROOM
    };
    let runs = [(4, 200), (8, 330), (4, 200), (8, 330)];
    let state = State {
        best: 4,
        ..State::default()
    };
    let decision = decide(&history(&runs), &state, loaded).expect("a decision");
    assert!(decision.workers <= 4, "{decision:?}");
}

#[test]
fn without_exploring_measured_counts_alone_are_used() {
    let settled = Room {
        explore: false,
        ..ROOM
    };
    let state = State {
        best: 4,
        ..State::default()
    };
    let runs = history(&[(2, 100), (4, 200), (8, 330), (8, 330)]);
    let decision = decide(&runs, &state, settled).expect("a decision");
    assert_eq!(step(&decision), (8, "adopted".to_owned()));
    let again = decide(&[], &decision.next, settled).expect("a decision");
    assert_eq!(step(&again), (8, "held".to_owned()));
}

#[test]
fn the_same_question_has_the_same_answer_until_a_run_teaches() {
    let runs = history(&[(4, 200), (8, 330), (8, 320)]);
    let first = decide(&runs, &State::default(), ROOM);
    assert_eq!(decide(&runs, &State::default(), ROOM), first);
    // Runs that the state has taken in are not taken in twice.
    let next = first.expect("a decision").next;
    let older = decide(&runs, &next, ROOM).expect("a decision");
    let none = decide(&[], &next, ROOM).expect("a decision");
    assert_eq!(older, none);
}

#[test]
fn a_state_survives_the_store() {
    let state = at(4, &[220, 210, 198]).next;
    let text = serde_json::to_string(&state).expect("JSON");
    assert_eq!(
        serde_json::from_str::<State>(&text).expect("a state"),
        state
    );
    let empty: State = serde_json::from_str("{}").expect("a state");
    assert_eq!(empty, State::default());
}

prop_compose! {
    fn any_room()(min in 1u32..6, more in 0u32..20, explore: bool, upward: bool) -> Room {
        Room { min, max: min + more, explore, upward }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the source does, over many runs.
    #[test]
    fn a_course_stays_in_its_room(
        room in any_room(),
        start in 1u32..40,
        speeds in prop::collection::vec(1u32..1_000_000, 1..40),
    ) {
        let mut state = State::default();
        let mut workers = start;
        for (second, speed) in (1..).zip(speeds) {
            let newest = [sample(second, workers, f64::from(speed))];
            let decision = decide(&newest, &state, room).expect("a decision");
            prop_assert!((room.min..=room.max).contains(&decision.workers), "{decision:?}");
            prop_assert_eq!(decide(&newest, &state, room), Some(decision.clone()));
            let held = if state.best == 0 { workers } else { state.best }.clamp(room.min, room.max);
            let by = i64::from(decision.workers) - i64::from(held);
            match decision.why {
                Learned::Declined { .. } => prop_assert!((-1..=0).contains(&by), "{decision:?}"),
                Learned::Dropped { .. } => prop_assert!((-2..=0).contains(&by), "{decision:?}"),
                Learned::Restarted { .. } => prop_assert_eq!(by, 0),
                Learned::Tried { .. } | Learned::Probed { .. } => {
                    prop_assert!(room.explore, "{decision:?}");
                    prop_assert!(decision.workers <= 2 * decision.next.best, "{decision:?}");
                    prop_assert!(2 * decision.workers >= decision.next.best, "{decision:?}");
                }
                Learned::Held { .. } | Learned::Adopted { .. } => {
                    prop_assert_eq!(decision.workers, decision.next.best);
                }
            }
            if !room.upward {
                prop_assert!(by <= 0, "{decision:?}");
            }
            if decision.next.ceiling_runs > 0 {
                let ceiling = decision.next.ceiling.max(room.min);
                prop_assert!(decision.workers <= ceiling, "{decision:?}");
            }
            state = decision.next;
            workers = decision.workers;
        }
    }

    #[test]
    fn a_fall_never_adds_workers(
        workers in 1u32..16,
        level in 1_000u32..1_000_000,
        falls in prop::collection::vec(0.4f64..0.85, 3..6),
    ) {
        let mut speeds = vec![f64::from(level); 4];
        for fall in falls {
            speeds.push(speeds[speeds.len() - 1] * fall);
        }
        let mut runs: Vec<Sample> = (1..).zip(speeds).map(|(s, speed)| sample(s, workers, speed)).collect();
        runs.reverse();
        let state = State { best: workers, ..State::default() };
        let decision = decide(&runs, &state, ROOM).expect("a decision");
        prop_assert!(decision.workers <= workers, "{decision:?}");
    }
}
