//! How fast a run will be, from history; pure (facts sheet, section 3).
//!
//! Speeds are never scaled from one worker count to another by a rule of thumb: what two workers
//! reached says little about eight. So the planned count comes first: the runs of that count are what
//! an estimate rests on, and where there are none, those of the nearest count stand in, with low
//! confidence: as they are, or by the ratio of the two counts where a benchmark measured both. Among those runs, circumstances come second: the ones whose circumstances were
//! like today's (`similarity`) are weighed against the moving average of all (`blend`). The other way
//! round, alike runs of any count, the estimate would not notice that eight workers became two.

mod blend;
pub mod curve;
pub mod similarity;

use std::fmt;

use jiff::Timestamp;

use crate::model::{
    Benchmark, ConfidenceLevel, ConfidenceNote, ExecutionContext, Grounds, PastRun, Recorded,
    SourceProfile,
};

/// Share of the newest run in the moving average.
const NEWEST_SHARE: f64 = 0.3;

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
    /// That average, blended with the runs under like circumstances.
    Blended,
    /// From a benchmark: there is no run yet.
    Benchmarked,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ColdStart => "cold_start",
            Self::Ewma => "ewma",
            Self::Blended => "blended",
            Self::Benchmarked => "benchmarked",
        })
    }
}

/// An expected speed and what it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct ThroughputEstimate {
    /// Rows per second, above 0.
    pub rows_per_s: f64,
    /// How it was made.
    pub method: Method,
    /// Runs it rests on.
    pub runs: u32,
    /// Which runs, and how far it can be trusted.
    pub grounds: Grounds,
}

impl ThroughputEstimate {
    /// A guess without any run to rest on.
    pub fn guess(rows_per_s: f64) -> Self {
        Self {
            rows_per_s,
            method: Method::ColdStart,
            runs: 0,
            grounds: Grounds::none(),
        }
    }
}

/// What is known of earlier runs, and of the circumstances of the next one.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Newest first; may hold runs that must not teach, which are passed over.
    pub history: &'a [PastRun],
    /// The circumstances now.
    pub context: &'a ExecutionContext,
    /// The time now.
    pub now: Timestamp,
    /// A benchmark that is fresh and can be trusted.
    pub benchmark: Option<&'a Benchmark>,
}

/// The expected speed of `workers` workers.
pub fn estimate(
    evidence: &Evidence<'_>,
    profile: &SourceProfile,
    workers: u32,
) -> ThroughputEstimate {
    let usable = |run: &&PastRun| run.teaches && run.throughput.is_finite() && run.throughput > 0.0;
    let teachers: Vec<&PastRun> = evidence.history.iter().filter(usable).collect();
    // On a tie the smaller count: it promises less.
    let nearest = teachers
        .iter()
        .map(|run| (run.workers.abs_diff(workers), run.workers))
        .min();
    let benchmarked = |workers| evidence.benchmark.and_then(|of| of.throughput(workers));
    let Some((distance, count)) = nearest else {
        return match benchmarked(workers) {
            Some(rows_per_s) => ThroughputEstimate {
                method: Method::Benchmarked,
                ..ThroughputEstimate::guess(similarity::rounded(rows_per_s, 1))
            },
            None => ThroughputEstimate::guess(cold_start(profile, workers)),
        };
    };
    let of_count: Vec<&PastRun> = teachers
        .into_iter()
        .filter(|run| run.workers == count)
        .collect();
    let blend::Blend {
        mut rows_per_s,
        mut grounds,
    } = blend::estimate(&of_count, evidence.context, evidence.now);
    if distance > 0 {
        grounds.confidence = ConfidenceLevel::Low;
        grounds.notes.push(ConfidenceNote::OtherWorkers);
        grounds.notes.sort_unstable();
        // Not a rule of thumb: both counts were measured, in one snapshot.
        if let (Some(planned), Some(of_count)) = (benchmarked(workers), benchmarked(count)) {
            let ratio = similarity::rounded(planned / of_count, 4);
            rows_per_s = similarity::rounded(rows_per_s * ratio, 1);
            grounds.scaled_by = Some(ratio);
        }
    }
    ThroughputEstimate {
        rows_per_s,
        method: match grounds.blend_weight {
            Some(_) => Method::Blended,
            None => Method::Ewma,
        },
        runs: u32::try_from(of_count.len()).unwrap_or(u32::MAX),
        grounds,
    }
}

/// Rows that a filter is expected to let through of a table of about `table` rows: those of the last
/// run with it that teaches, in proportion where the table had another size then; `None` where there
/// is no such run. `history` is newest first.
pub fn filtered_rows(history: &[PastRun], table: u64) -> Option<u64> {
    let last = history.iter().find(|run| run.teaches)?;
    let then = match &last.context {
        Recorded::Known(context) => context.row_estimate,
        Recorded::Nothing | Recorded::Benchmark | Recorded::Unreadable => 0,
    };
    if then == 0 || table == 0 {
        return Some(last.rows);
    }
    let grown = u128::from(last.rows) * u128::from(table) / u128::from(then);
    Some(u64::try_from(grown).unwrap_or(u64::MAX))
}

/// The moving average of values given oldest first, seeded with the first; 0 without values.
fn ewma(oldest_first: &[f64]) -> f64 {
    moving_averages(oldest_first).last().copied().unwrap_or(0.0)
}

/// The moving average after each of the values, which are given oldest first: that of the first is
/// itself, and each further one counts as estimates count the newest (facts sheet, section 3).
pub fn moving_averages(oldest_first: &[f64]) -> Vec<f64> {
    let step = |average: &mut Option<f64>, value: &f64| {
        let next = match *average {
            None => *value,
            Some(average) => NEWEST_SHARE * value + (1.0 - NEWEST_SHARE) * average,
        };
        *average = Some(next);
        *average
    };
    oldest_first.iter().scan(None, step).collect()
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
    use proptest::prelude::*;

    use super::*;
    use crate::model::{NetworkLevel, RunId, RunStatus, SourceLoad};
    use crate::planner::fixtures;

    pub(super) fn run(workers: u32, throughput: f64, teaches: bool) -> PastRun {
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
            context: Recorded::Nothing,
            replay_of: None,
        }
    }

    fn context() -> ExecutionContext {
        let near = NetworkLevel::Excellent;
        similarity::tests::context(SourceLoad::Low, 0, 0, None, near)
    }

    fn estimate(history: &[PastRun], workers: u32) -> ThroughputEstimate {
        let evidence = Evidence {
            history,
            context: &context(),
            now: Timestamp::UNIX_EPOCH,
            benchmark: None,
        };
        super::estimate(&evidence, &fixtures::profile(1_000_000), workers)
    }

    #[test]
    fn a_filter_is_expected_to_pass_what_it_passed_in_proportion() {
        let of = |rows, then, teaches| PastRun {
            rows,
            context: Recorded::Known(ExecutionContext {
                row_estimate: then,
                ..context()
            }),
            ..run(1, 1.0, teaches)
        };
        assert_eq!(filtered_rows(&[], 1000), None);
        assert_eq!(filtered_rows(&[of(10, 1000, false)], 1000), None);
        let runs = [of(7, 10, false), of(10, 1000, true), of(900, 1000, true)];
        assert_eq!(filtered_rows(&runs, 1000), Some(10));
        assert_eq!(filtered_rows(&runs, 3500), Some(35));
        assert_eq!(filtered_rows(&runs, 0), Some(10));
        assert_eq!(filtered_rows(&[run(1, 1.0, true)], 1000), Some(1));
        let most = of(u64::MAX, 1, true);
        assert_eq!(filtered_rows(&[most], u64::MAX), Some(u64::MAX));
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
        let history = [
            run(4, 300.0, true),
            run(2, 200.0, true),
            run(4, 100.0, true),
        ];
        let estimate = estimate(&history, 4);
        assert_eq!(estimate.method, Method::Ewma);
        assert_eq!((estimate.runs, estimate.grounds.workers), (2, Some(4)));
        assert_eq!(estimate.rows_per_s, 160.0);
    }

    #[test]
    fn the_nearest_count_stands_in_unscaled_and_promises_less_on_a_tie() {
        let alike = |workers, throughput| PastRun {
            context: Recorded::Known(context()),
            ..run(workers, throughput, true)
        };
        let history = [alike(6, 600.0), alike(2, 200.0), alike(2, 200.0)];
        assert_eq!(estimate(&history, 8).rows_per_s, 600.0);
        let stand_in = estimate(&history, 4);
        assert_eq!(stand_in.rows_per_s, 200.0);
        assert_eq!(stand_in.grounds.notes, [ConfidenceNote::OtherWorkers]);
        assert_eq!(stand_in.grounds.confidence, ConfidenceLevel::Low);
        let of_count = estimate(&history, 2);
        assert_eq!(of_count.method, Method::Blended);
        assert_eq!(of_count.grounds.confidence, ConfidenceLevel::Medium);
    }

    #[test]
    fn a_benchmark_tells_how_counts_compare() {
        let benchmark = curve::tests::benchmark(&[(2, 1_000.0), (4, 1_800.0)]);
        let estimate = |history: &[PastRun], workers| {
            let evidence = Evidence {
                history,
                context: &context(),
                now: Timestamp::UNIX_EPOCH,
                benchmark: Some(&benchmark),
            };
            super::estimate(&evidence, &fixtures::profile(1_000_000), workers)
        };
        let first = estimate(&[], 4);
        assert_eq!(first.method, Method::Benchmarked);
        assert_eq!((first.rows_per_s, first.runs), (1_800.0, 0));
        assert_eq!(estimate(&[], 5).method, Method::ColdStart);
        let history = [run(2, 500.0, true)];
        let scaled = estimate(&history, 4);
        assert_eq!(scaled.rows_per_s, 900.0);
        assert_eq!(scaled.grounds.scaled_by, Some(1.8));
        assert_eq!(estimate(&history, 2).rows_per_s, 500.0);
        assert_eq!(estimate(&history, 8).rows_per_s, 500.0);
    }

    #[test]
    fn runs_that_must_not_teach_are_passed_over() {
        let history = [
            run(4, 300.0, false),
            run(4, 0.0, true),
            run(4, f64::NAN, true),
        ];
        let estimate = estimate(&history, 4);
        assert_eq!((estimate.method, estimate.runs), (Method::ColdStart, 0));
        assert_eq!(estimate.grounds, Grounds::none());
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
        }
    }
}
