//! What was usual at each run of a history.

use std::ops::Range;

use serde::Serialize;

use crate::diagnosis::anomaly::{BASELINE_RUNS, Z_LIMIT, standing};
use crate::estimator::moving_averages;
use crate::model::{Reason, RunRow};
use crate::ui::wording::{self, Topic};

/// Runs before the first one that is shown, so that what was usual for that one is known too.
pub const LEAD_IN: u32 = 3 * BASELINE_RUNS as u32;

/// One run beside what was usual when it began.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Point {
    /// Whether later runs are compared with it.
    pub clean: bool,
    /// The moving average of the clean runs' speeds up to this run, in rows per second; `None` before
    /// the first of them.
    pub average: Option<f64>,
    /// What the clean runs before it make usual; `None` of too few.
    pub usual: Option<Usual>,
    /// Why it had its number of workers, as half sentences; empty where that is not known, or was not
    /// asked for.
    pub workers_because: Vec<String>,
}

/// The range in which a speed is not out of the ordinary.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Usual {
    /// The mean of the baseline, in rows per second.
    pub mean: f64,
    /// Its standard deviation.
    pub sigma: f64,
    /// Two deviations below the mean, and not below 0.
    pub low: f64,
    /// Two deviations above the mean.
    pub high: f64,
    /// Clean runs in the baseline.
    pub runs: u32,
}

/// What was usual at each of these runs, which are given newest first; oldest first.
pub fn of(newest_first: &[RunRow]) -> Vec<Point> {
    let clean = || newest_first.iter().filter(|run| run.is_clean());
    let speeds: Vec<f64> = clean().map(|run| run.throughput).collect();
    let oldest_first: Vec<f64> = speeds.iter().rev().copied().collect();
    let averages = moving_averages(&oldest_first);
    let mut before = 0;
    let points = newest_first.iter().rev().map(|run| {
        let clean = run.is_clean();
        let earlier = &speeds[speeds.len() - before..];
        let usual = standing(run.throughput, earlier).map(|than| Usual {
            mean: than.mean,
            sigma: than.sigma,
            low: (than.mean - Z_LIMIT * than.sigma).max(0.0),
            high: than.mean + Z_LIMIT * than.sigma,
            runs: than.runs,
        });
        before += usize::from(clean);
        Point {
            clean,
            average: before.checked_sub(1).map(|last| averages[last]),
            usual,
            workers_because: Vec::new(),
        }
    });
    points.collect()
}

/// Runs, by their place among `newest_first`, whose reasons for their number of workers are worth
/// looking up: those that changed it, and else the newest, `most` at most.
pub fn worth_a_reason(newest_first: &[RunRow], most: usize) -> Vec<usize> {
    let changed = |at: &usize| {
        let before = newest_first.get(at + 1);
        before.is_none_or(|before| before.workers != newest_first[*at].workers)
    };
    let (mut places, others): (Vec<usize>, Vec<usize>) = (0..newest_first.len()).partition(changed);
    places.extend(others);
    places.truncate(most);
    places.sort_unstable();
    places
}

/// Why a plan has its number of workers, as half sentences.
pub fn workers_because(reasons: &[Reason]) -> Vec<String> {
    let of_workers = reasons
        .iter()
        .filter(|reason| wording::topic(reason) == Topic::Workers);
    of_workers.map(wording::reason).collect()
}

/// Neighbouring runs that are drawn as one, so that at most `most` are drawn.
pub(super) fn groups(runs: usize, most: usize) -> Vec<Range<usize>> {
    let size = runs.div_ceil(most.max(1)).max(1);
    let starts = (0..runs).step_by(size);
    starts.map(|at| at..(at + size).min(runs)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diagnosis::anomaly;
    use crate::model::fixtures::row;

    #[test]
    fn what_is_usual_rests_on_the_clean_runs_before() {
        let mut runs: Vec<RunRow> = [90.0, 5.0, 110.0, 90.0, 110.0, 90.0, 110.0]
            .map(row)
            .to_vec();
        runs[1].teaches = false;
        let points = of(&runs);
        assert_eq!(points.len(), 7);
        assert_eq!(points[0].average, Some(110.0));
        assert!((points[1].average.expect("two runs") - 104.0).abs() < 1e-9);
        assert_eq!(points[4].usual, None, "four runs before it");
        let usual = points[5].usual.expect("five runs before it");
        assert_eq!((usual.mean, usual.runs), (102.0, 5));
        assert!((usual.high - usual.mean - 2.0 * usual.sigma).abs() < 1e-9);
        assert_eq!(
            (points[5].clean, points[5].average),
            (false, points[4].average),
            "a run that does not teach moves no average"
        );
        assert_eq!(points[6].usual.map(|usual| usual.runs), Some(5));
    }

    #[test]
    fn changes_of_the_workers_are_looked_up_first() {
        let with = |workers| RunRow {
            workers,
            ..row(1.0)
        };
        let runs: Vec<RunRow> = [4, 4, 4, 6, 4, 4].map(with).to_vec();
        assert_eq!(worth_a_reason(&runs, 3), [2, 3, 5]);
        assert_eq!(worth_a_reason(&runs, 4), [0, 2, 3, 5]);
        assert_eq!(worth_a_reason(&runs, 99).len(), 6);
        assert!(worth_a_reason(&[], 3).is_empty());
    }

    proptest! {
        #[test]
        fn an_anomaly_is_a_run_outside_of_what_was_usual(
            speeds in proptest::collection::vec(100.0f64..1e6, 1..60)
        ) {
            let runs: Vec<RunRow> = speeds.iter().map(|speed| row(*speed)).collect();
            for (at, point) in of(&runs).iter().rev().enumerate() {
                let found = anomaly::detect(speeds[at], &speeds[at + 1..]);
                let outside = point.usual.filter(|usual| usual.sigma > 1e-3).is_some_and(|usual| {
                    (speeds[at] - usual.mean).abs() > 2.0 * usual.sigma
                });
                prop_assert_eq!(found.is_some(), outside);
            }
        }

        #[test]
        fn groups_hold_every_run_once(runs in 0usize..5_000, most in 1usize..400) {
            let groups = groups(runs, most);
            prop_assert!(groups.len() <= most);
            prop_assert!(groups.iter().cloned().flatten().eq(0..runs));
        }
    }
}
