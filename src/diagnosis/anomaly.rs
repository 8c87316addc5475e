//! Whether a speed is far from what is usual (facts sheet, section 10.4). Observes only: nothing is
//! decided from it.

use crate::model::{Anomaly, Direction};

/// Runs that a baseline has at most: the newest.
pub const BASELINE_RUNS: usize = 20;

/// Runs that a baseline has at least.
pub const BASELINE_RUNS_MIN: usize = 5;

/// Standard deviations from the mean beyond which a run is anomalous.
pub const Z_LIMIT: f64 = 2.0;

/// A standard deviation below this is none: the baseline does not vary.
const SIGMA_MIN: f64 = 1e-6;

/// Where the baseline does not vary: the change, as a fraction of the mean, beyond which a run is
/// anomalous.
const FLAT_CHANGE: f64 = 0.20;

/// A speed against a baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Standing {
    /// Distance from the mean in standard deviations; where the baseline does not vary, in fifths
    /// of the mean.
    pub z: f64,
    /// Mean of the baseline, in rows per second.
    pub mean: f64,
    /// Population standard deviation of the baseline.
    pub sigma: f64,
    /// Runs in the baseline.
    pub runs: u32,
    /// Whether it is beyond the limit.
    pub anomalous: bool,
}

/// Where `throughput` stands against the clean runs before it, newest first; `None` of fewer than
/// [`BASELINE_RUNS_MIN`]. The run itself must not be among them: with five samples, one of which is
/// the run, no z exceeds 2.
pub fn standing(throughput: f64, earlier: &[f64]) -> Option<Standing> {
    let baseline: Vec<f64> = earlier
        .iter()
        .copied()
        .filter(|speed| speed.is_finite() && *speed > 0.0)
        .take(BASELINE_RUNS)
        .collect();
    if baseline.len() < BASELINE_RUNS_MIN || !throughput.is_finite() {
        return None;
    }
    let n = baseline.len() as f64;
    let mean = baseline.iter().sum::<f64>() / n;
    let variance = baseline
        .iter()
        .map(|speed| (speed - mean).powi(2))
        .sum::<f64>()
        / n;
    let sigma = variance.sqrt();
    let distance = (throughput - mean).abs();
    let (z, anomalous) = if sigma < SIGMA_MIN {
        let change = distance / mean;
        (change / FLAT_CHANGE, change > FLAT_CHANGE)
    } else {
        (distance / sigma, distance / sigma > Z_LIMIT)
    };
    Some(Standing {
        z,
        mean,
        sigma,
        runs: u32::try_from(baseline.len()).unwrap_or(u32::MAX),
        anomalous,
    })
}

/// The anomaly that a speed is, if it is one.
pub fn detect(throughput: f64, earlier: &[f64]) -> Option<Anomaly> {
    let standing = standing(throughput, earlier).filter(|standing| standing.anomalous)?;
    Some(Anomaly {
        direction: if throughput < standing.mean {
            Direction::Degradation
        } else {
            Direction::Improvement
        },
        z: rounded(standing.z, 2),
        throughput,
        mean: rounded(standing.mean, 1),
        sigma: rounded(standing.sigma, 1),
        runs: standing.runs,
    })
}

/// `value` at so many decimals, ties to even.
pub(super) fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round_ties_even() / scale
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_facts_sheets_golden() {
        let baseline: Vec<f64> = (0..10)
            .map(|n| 856_000.0 + 1_000.0 * f64::from(n))
            .collect();
        let anomaly = detect(8_700.0, &baseline).expect("far away");
        assert_eq!(
            (anomaly.z, anomaly.mean, anomaly.sigma, anomaly.runs),
            (296.56, 860_500.0, 2_872.3, 10)
        );
        assert_eq!(anomaly.direction, Direction::Degradation);
    }

    #[test]
    fn the_limit_is_strict_and_five_runs_are_needed() {
        // Mean 100, σ 10.
        let baseline = [90.0, 110.0, 90.0, 110.0, 90.0, 110.0];
        assert_eq!(detect(80.0, &baseline), None, "exactly two");
        assert_eq!(detect(120.0, &baseline), None, "exactly two");
        let slow = detect(79.9, &baseline).expect("more than two");
        assert_eq!((slow.direction, slow.z), (Direction::Degradation, 2.01));
        let fast = detect(130.0, &baseline).expect("three");
        assert_eq!((fast.direction, fast.z), (Direction::Improvement, 3.0));
        assert_eq!(detect(1.0, &baseline[..4]), None, "four runs");
        assert!(detect(1.0, &baseline[..5]).is_some());
    }

    #[test]
    fn where_nothing_varies_a_fifth_of_the_mean_is_the_limit() {
        let flat = [100.0; 7];
        assert_eq!(detect(100.0, &flat), None);
        assert_eq!(detect(80.0, &flat), None, "exactly a fifth");
        let slow = detect(70.0, &flat).expect("three tenths");
        assert_eq!((slow.z, slow.sigma), (1.5, 0.0));
        assert_eq!(slow.direction, Direction::Degradation);
    }

    #[test]
    fn only_the_newest_twenty_count_and_nothing_that_is_no_speed() {
        let mut runs = vec![100.0; 20];
        runs.extend([1.0; 30]);
        assert_eq!(
            standing(100.0, &runs).map(|s| (s.mean, s.runs)),
            Some((100.0, 20))
        );
        let odd = [0.0, -1.0, f64::NAN, f64::INFINITY, 5.0, 5.0, 5.0, 5.0];
        assert_eq!(standing(5.0, &odd), None);
        assert_eq!(detect(f64::NAN, &[5.0; 9]), None);
    }

    proptest! {
        #[test]
        fn an_anomaly_is_beyond_the_limit_and_on_its_side(
            speed in 0.1f64..1e7,
            baseline in proptest::collection::vec(1.0f64..1e7, 0..40),
        ) {
            let found = detect(speed, &baseline);
            let standing = standing(speed, &baseline);
            prop_assert_eq!(standing.is_some(), baseline.len() >= BASELINE_RUNS_MIN);
            prop_assert_eq!(found.is_some(), standing.is_some_and(|s| s.anomalous));
            if let (Some(anomaly), Some(standing)) = (found, standing) {
                let slower = speed < standing.mean;
                prop_assert_eq!(anomaly.direction == Direction::Degradation, slower);
                prop_assert!(anomaly.z >= 1.0);
            }
            // The order of the baseline does not matter while all of it counts.
            if baseline.len() <= BASELINE_RUNS {
                let turned: Vec<f64> = baseline.iter().rev().copied().collect();
                prop_assert_eq!(detect(speed, &turned).is_some(), found.is_some());
            }
        }
    }
}
