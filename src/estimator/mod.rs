//! How fast a run will be, from history; pure (facts sheet, section 3).
//!
//! Speeds are never scaled from one worker count to another: what two workers reached says little
//! about eight. Runs of the planned count decide; where there are none, runs of the nearest count
//! stand in as they are. The blended estimator, which weighs runs by how alike their circumstances
//! were, belongs here beside the moving average.

use std::fmt;

use crate::model::{PastRun, SourceProfile};

/// Share of the newest run in the moving average.
const NEWEST_SHARE: f64 = 0.3;

/// An estimate stays within these multiples of the slowest and the fastest run it rests on.
const CLAMP: (f64, f64) = (0.75, 1.25);

/// Rows per second that a cold start never exceeds.
const COLD_CEILING: f64 = 500_000.0;

/// Rows per second of a cold start when neither latency nor row width is known.
const COLD_DEFAULT: f64 = 10_000.0;

/// How an estimate was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// From latency or row width: there is no run to learn from.
    ColdStart,
    /// An exponentially weighted moving average of earlier runs.
    Ewma,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ColdStart => "cold_start",
            Self::Ewma => "ewma",
        })
    }
}

/// An expected speed and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThroughputEstimate {
    /// Rows per second, above 0.
    pub rows_per_s: f64,
    /// How it was made.
    pub method: Method,
    /// Runs it rests on.
    pub runs: u32,
}

/// The expected speed of `workers` workers. `history` is newest first and may hold runs that must
/// not teach; they are passed over.
pub fn estimate(history: &[PastRun], profile: &SourceProfile, workers: u32) -> ThroughputEstimate {
    let teachers: Vec<&PastRun> = history
        .iter()
        .filter(|run| run.teaches && run.throughput.is_finite() && run.throughput > 0.0)
        .collect();
    // On a tie the smaller count: it promises less.
    let nearest = teachers
        .iter()
        .map(|run| (run.workers.abs_diff(workers), run.workers))
        .min();
    let Some((_, count)) = nearest else {
        return ThroughputEstimate {
            rows_per_s: cold_start(profile, workers),
            method: Method::ColdStart,
            runs: 0,
        };
    };
    let oldest_first: Vec<f64> = teachers
        .iter()
        .rev()
        .filter(|run| run.workers == count)
        .map(|run| run.throughput)
        .collect();
    ThroughputEstimate {
        rows_per_s: clamp(ewma(&oldest_first), &oldest_first),
        method: Method::Ewma,
        runs: u32::try_from(oldest_first.len()).unwrap_or(u32::MAX),
    }
}

/// The moving average of values given oldest first, seeded with the first; 0 without values.
fn ewma(oldest_first: &[f64]) -> f64 {
    let Some((seed, later)) = oldest_first.split_first() else {
        return 0.0;
    };
    later.iter().fold(*seed, |average, value| {
        NEWEST_SHARE * value + (1.0 - NEWEST_SHARE) * average
    })
}

/// Holds an estimate near what was seen. A plain average cannot leave that range; a weighed blend
/// of few runs against a whole history can.
fn clamp(value: f64, seen: &[f64]) -> f64 {
    let slowest = seen.iter().copied().fold(f64::INFINITY, f64::min);
    let fastest = seen.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    value.max(CLAMP.0 * slowest.max(0.0)).min(CLAMP.1 * fastest)
}

/// A guess before the first run: latency decides where it is felt, else the width of a row.
fn cold_start(profile: &SourceProfile, workers: u32) -> f64 {
    let root = f64::from(workers.max(1)).sqrt();
    let p50_ms = profile.latency.p50_us() as f64 / 1000.0;
    let row_bytes = profile.avg_row_bytes();
    if p50_ms > 1.0 {
        COLD_CEILING.min(1000.0 / p50_ms * 100.0 * root)
    } else if row_bytes > 0 {
        COLD_CEILING.min(25_000_000.0 * root / row_bytes as f64)
    } else {
        COLD_DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::model::{RunId, RunStatus};
    use crate::planner::fixtures;

    fn run(workers: u32, throughput: f64, teaches: bool) -> PastRun {
        PastRun {
            id: RunId::stored("rx-20260101-000000-00000000"),
            relation: "public.orders".to_owned(),
            started_at: Timestamp::UNIX_EPOCH,
            status: RunStatus::Success,
            workers,
            rows: 1,
            bytes: 1,
            duration_s: 1.0,
            predicted_s: 1.0,
            throughput,
            teaches,
            fingerprint: String::new(),
            error: None,
            replay_of: None,
        }
    }

    #[test]
    fn the_average_weighs_the_newest_most() {
        let rising = [100_000.0, 150_000.0, 200_000.0, 250_000.0];
        let falling = [250_000.0, 200_000.0, 150_000.0, 100_000.0];
        assert!((ewma(&rising) - 173_350.0).abs() < 1e-6);
        assert!((ewma(&falling) - 176_650.0).abs() < 1e-6);
        assert_eq!(ewma(&[]), 0.0);
    }

    #[test]
    fn an_estimate_stays_near_what_was_seen() {
        let history = [100_000.0, 150_000.0, 200_000.0];
        assert_eq!(clamp(345_000.0, &history), 250_000.0);
        assert_eq!(clamp(10.0, &history), 75_000.0);
        assert_eq!(clamp(120_000.0, &history), 120_000.0);
    }

    #[test]
    fn a_cold_start_goes_by_latency() {
        let mut profile = fixtures::profile(1_200_000);
        profile.latency.round_trips_us = vec![5_000; 5];
        let speeds = [1, 2, 4, 8].map(|workers| cold_start(&profile, workers).round());
        assert_eq!(speeds, [20_000.0, 28_284.0, 40_000.0, 56_569.0]);
    }

    #[test]
    fn a_cold_start_without_latency_goes_by_row_width() {
        let mut profile = fixtures::profile(1_000_000);
        profile.latency.round_trips_us = vec![1_000; 5];
        profile.statistics.bytes = 200_000_000;
        assert_eq!(cold_start(&profile, 4), 250_000.0);
        profile.statistics.bytes = 1_000_000;
        assert_eq!(cold_start(&profile, 4), COLD_CEILING);
        profile.statistics.bytes = 0;
        assert_eq!(cold_start(&profile, 4), COLD_DEFAULT);
    }

    #[test]
    fn runs_of_the_planned_count_decide() {
        let profile = fixtures::profile(1_000_000);
        let history = [
            run(4, 300.0, true),
            run(2, 200.0, true),
            run(4, 100.0, true),
        ];
        let estimate = estimate(&history, &profile, 4);
        assert_eq!(estimate.method, Method::Ewma);
        assert_eq!(estimate.runs, 2);
        assert!((estimate.rows_per_s - 160.0).abs() < 1e-9);
    }

    #[test]
    fn the_nearest_count_stands_in_unscaled_and_promises_less_on_a_tie() {
        let profile = fixtures::profile(1_000_000);
        let history = [run(6, 600.0, true), run(2, 200.0, true)];
        assert_eq!(estimate(&history, &profile, 8).rows_per_s, 600.0);
        assert_eq!(estimate(&history, &profile, 4).rows_per_s, 200.0);
    }

    #[test]
    fn runs_that_must_not_teach_are_passed_over() {
        let profile = fixtures::profile(1_000_000);
        let history = [
            run(4, 300.0, false),
            run(4, 0.0, true),
            run(4, f64::NAN, true),
        ];
        let estimate = estimate(&history, &profile, 4);
        assert_eq!((estimate.method, estimate.runs), (Method::ColdStart, 0));
    }

    proptest! {
        #[test]
        fn the_average_lies_among_its_values(
            values in proptest::collection::vec(1.0f64..1e9, 1..50),
        ) {
            let average = ewma(&values);
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            let high = values.iter().copied().fold(0.0, f64::max);
            prop_assert!(average >= low * 0.999_999 && average <= high * 1.000_001);
            prop_assert_eq!(clamp(average, &values), average);
        }
    }
}
