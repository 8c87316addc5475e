//! A benchmark's rules: what to read, what the measurements say, and how long they hold; pure (facts
//! sheet, section 4).

use std::ops::Range;

use jiff::Timestamp;

use super::similarity::rounded;
use crate::model::{Benchmark, Benchmarked, CurveShape, ProbeResult, Unfit};

/// The numbers of workers that are tried unless told otherwise.
pub const GRID: [u32; 4] = [1, 2, 4, 8];

/// The most workers that may be tried.
pub const MOST_WORKERS: u32 = 16;

/// Fewer different numbers of workers make no curve.
pub const LEAST_POINTS: usize = 2;

/// Rows that a session reads of a range: 2 % of the table, at least these where there are as many,
pub const LEAST_PROBE_ROWS: u64 = 50_000;

/// and at most these.
const MOST_PROBE_ROWS: u64 = 100_000;

/// Speed that a table's duration is guessed with, in bytes per second.
const GUESSED_SPEED: f64 = 25.0 * 1024.0 * 1024.0;

/// A table that is read faster, in seconds, is not worth a benchmark.
pub const LEAST_SECONDS: f64 = 12.0;

/// Later counts at this share of the peak or above are as good.
const FLAT: f64 = 0.95;

/// The least that the number of workers is taken to matter.
const LEAST_SIGNAL: f64 = 0.15;

/// Up to this signal the number of workers matters little, and few are taken.
const WEAK_SIGNAL: f64 = 0.30;

/// The most workers where the signal is weak.
const CONSERVATIVE: u32 = 2;

/// From this confidence on a benchmark decides.
const TRUSTED: f64 = 0.50;

/// Days after which a benchmark is stale.
const FRESH_DAYS: i64 = 7;

/// The share by which a table may change before its benchmark is stale: a fifth.
const CHANGED: u128 = 5;

/// How long reading so many bytes is guessed to take, in seconds.
pub fn guessed_seconds(bytes: u64) -> f64 {
    bytes as f64 / GUESSED_SPEED
}

/// Rows that a session reads of a range of a table of so many.
pub fn probe_rows(rows: u64) -> u64 {
    (rows / 50).clamp(LEAST_PROBE_ROWS, MOST_PROBE_ROWS)
}

/// Rows of a slice, which one of `sessions` sessions reads of a range: those of a probe, but few
/// enough that a table of `rows` rows has slices for three ranges and some space between them.
pub fn slice_rows(rows: u64, sessions: u32) -> u64 {
    let slices = 3 * u64::from(sessions) + 4;
    probe_rows(rows).min(rows / slices).max(1)
}

/// Which of a table's `slices` slices to read with the numbers of sessions in `grid`: ranges of as many
/// slices as the most sessions, and the grid without the numbers that there are too few slices for.
/// `None` where fewer than two numbers remain.
pub fn layout(slices: usize, grid: &[u32]) -> Option<(Vec<u32>, Vec<Range<usize>>)> {
    (LEAST_POINTS..=grid.len()).rev().find_map(|points| {
        let grid = &grid[..points];
        let sessions = *grid.last()? as usize;
        let ranges = apart(slices, sessions)?;
        Some((grid.to_vec(), ranges))
    })
}

/// Ranges of `sessions` neighbouring slices each, as far apart as the facts sheet's ranges are.
fn apart(slices: usize, sessions: usize) -> Option<Vec<Range<usize>>> {
    let whole: Vec<Range<usize>> = ranges(1, slices as u64, sessions as u64)
        .into_iter()
        .filter_map(|(from, to)| {
            let from = usize::try_from(from).ok()?.checked_sub(1)?;
            let end = from + sessions;
            (end <= usize::try_from(to).ok()?).then_some(from..end)
        })
        .collect();
    if whole.len() > 1 {
        return Some(whole);
    }
    // Both ends, side by side.
    let last = slices.checked_sub(sessions)?;
    (last >= sessions).then(|| vec![0..sessions, last..slices])
}

/// The numbers of workers to try: ascending, each once, within `most`.
pub fn grid(wanted: &[u32], most: u32) -> Vec<u32> {
    let range = 1..=most.min(MOST_WORKERS);
    let mut grid: Vec<u32> = wanted
        .iter()
        .copied()
        .filter(|workers| range.contains(workers))
        .collect();
    grid.sort_unstable();
    grid.dedup();
    grid
}

/// Where to read `n` of the numbers from `min` to `max`, both included: at the beginning, in the
/// middle and at the end, or at both ends where there is no room for three.
pub fn ranges(min: u64, max: u64, n: u64) -> Vec<(u64, u64)> {
    let span = max.saturating_sub(min);
    let last_start = max.saturating_sub(n);
    let low = (min, min + n.saturating_sub(1));
    if span < 3 * n {
        let high = (min + n + 1).max(last_start);
        return vec![low, (high, (high + n).saturating_sub(1).min(max))];
    }
    let third = span / 3;
    let mid = (min + n + 1).max((min + third + third / 2).saturating_sub(n / 2));
    let high = (mid + n + 1).max(last_start);
    vec![low, (mid, mid + n - 1), (high, max)]
}

/// What one number of workers reached: rows per second for each range that could be read.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Sessions.
    pub workers: u32,
    /// Mean number of sessions that were reading.
    pub effective_workers: f64,
    /// Rows per second, above 0.
    pub throughputs: Vec<f64>,
}

/// What the measurements say together.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Each number of workers, ascending.
    pub results: Vec<ProbeResult>,
    /// How throughput goes with them.
    pub shape: CurveShape,
    /// How far the curve can be trusted, 0 to 1; four decimals.
    pub confidence: f64,
    /// What the number of workers matters, 0.15 to 1; four decimals.
    pub signal: f64,
    /// The fewest workers within 5 % of the fastest.
    pub optimal: u32,
}

/// Judges measurements, given in ascending order of workers. Numbers of workers without any are left
/// out; `None` where fewer than two remain.
pub fn judge(measured: &[Measured]) -> Option<Verdict> {
    let results: Vec<ProbeResult> = measured.iter().filter_map(summed_up).collect();
    if results.len() < LEAST_POINTS {
        return None;
    }
    let averages: Vec<f64> = results.iter().map(|result| result.avg_throughput).collect();
    let shape = shape(&averages);
    let cvs = results.iter().map(|result| result.cv);
    let mean_cv = cvs.sum::<f64>() / results.len() as f64;
    let trust = match shape {
        CurveShape::Plateau => 1.00,
        CurveShape::Increasing => 0.75,
        CurveShape::NonMonotonic => 0.70,
    };
    let best = averages.iter().copied().fold(0.0, f64::max);
    let worst = averages.iter().copied().fold(f64::INFINITY, f64::min);
    let optimal = results
        .iter()
        .find(|result| result.avg_throughput >= FLAT * best)
        .map_or(1, |result| result.worker_count);
    Some(Verdict {
        shape,
        confidence: rounded((1.0 - mean_cv).max(0.0) * trust, 4),
        signal: rounded(((best - worst) / best).max(LEAST_SIGNAL), 4),
        optimal,
        results,
    })
}

fn summed_up(measured: &Measured) -> Option<ProbeResult> {
    let count = measured.throughputs.len() as f64;
    let average = measured.throughputs.iter().sum::<f64>() / count;
    // No figure at all gives NaN, which is not above 0 either.
    if !(average.is_finite() && average > 0.0) {
        return None;
    }
    let squares = measured.throughputs.iter().map(|of| (of - average).powi(2));
    Some(ProbeResult {
        worker_count: measured.workers,
        effective_workers: rounded(measured.effective_workers, 2),
        cv: (squares.sum::<f64>() / count).sqrt() / average,
        avg_throughput: average,
        throughputs: measured.throughputs.clone(),
    })
}

/// How averages, ordered by workers, go.
fn shape(averages: &[f64]) -> CurveShape {
    let peak = averages.iter().copied().fold(0.0, f64::max);
    let Some(at) = averages.iter().position(|of| *of >= peak) else {
        return CurveShape::Plateau;
    };
    let later = &averages[at + 1..];
    if averages.len() < LEAST_POINTS {
        CurveShape::Plateau
    } else if later.is_empty() {
        CurveShape::Increasing
    } else if at == 0 || later.iter().all(|of| *of >= FLAT * peak) {
        CurveShape::Plateau
    } else {
        CurveShape::NonMonotonic
    }
}

/// How many workers a benchmark stands for, for a table of `rows` rows now.
///
/// # Errors
/// Why it does not stand for any: it is stale, or cannot be trusted.
pub fn advise(benchmark: &Benchmark, now: Timestamp, rows: u64) -> Result<Benchmarked, Unfit> {
    let age = now.duration_since(benchmark.benchmarked_at);
    let days = age.as_hours() / 24;
    if age > jiff::SignedDuration::from_hours(24 * FRESH_DAYS) {
        let days = u32::try_from(days).unwrap_or(u32::MAX);
        return Err(Unfit::TooOld { days });
    }
    let then = benchmark.row_estimate_at_benchmark;
    let change = u128::from(then.abs_diff(rows));
    if then > 0 && CHANGED * change > u128::from(then) {
        return Err(Unfit::RowsChanged { then, now: rows });
    }
    let confidence_permille = (benchmark.confidence.clamp(0.0, 1.0) * 1000.0).round() as u32;
    if benchmark.confidence < TRUSTED {
        return Err(Unfit::NotTrusted {
            confidence_permille,
        });
    }
    let conservative = benchmark.signal_strength <= WEAK_SIGNAL;
    let optimal = benchmark.optimal_workers.max(1);
    Ok(Benchmarked {
        workers: if conservative {
            optimal.min(CONSERVATIVE)
        } else {
            optimal
        },
        optimal,
        conservative,
        confidence_permille,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::BENCHMARK_VERSION;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(1_770_000_000 + day * 86_400).expect("a time of this century")
    }

    fn measured(workers: u32, throughputs: &[f64]) -> Measured {
        Measured {
            workers,
            effective_workers: f64::from(workers),
            throughputs: throughputs.to_vec(),
        }
    }

    /// A benchmark of averages by worker count, made at day 0 of a table of a million rows.
    pub(crate) fn benchmark(averages: &[(u32, f64)]) -> Benchmark {
        let measured: Vec<Measured> = averages
            .iter()
            .map(|(workers, average)| measured(*workers, &[*average]))
            .collect();
        let verdict = judge(&measured).expect("two points");
        Benchmark {
            schema_version: BENCHMARK_VERSION,
            source: "postgresql://db.example:5432/shop".to_owned(),
            object_name: "public.orders".to_owned(),
            benchmarked_at: at(0),
            probe_rows: 50_000,
            ranges_used: 1,
            worker_grid: averages.iter().map(|(workers, _)| *workers).collect(),
            optimal_workers: verdict.optimal,
            confidence: verdict.confidence,
            signal_strength: verdict.signal,
            curve_shape: verdict.shape,
            probe_results: verdict.results,
            row_estimate_at_benchmark: 1_000_000,
        }
    }

    #[test]
    fn the_facts_sheets_ranges_come_out() {
        let golden = [(1, 50_000), (574_999, 624_998), (1_150_000, 1_200_000)];
        assert_eq!(ranges(1, 1_200_000, 50_000), golden);
        let two = [(1, 50_000), (70_000, 119_999)];
        assert_eq!(ranges(1, 120_000, 50_000), two);
        let tight = [(1, 50_000), (50_002, 60_000)];
        assert_eq!(ranges(1, 60_000, 50_000), tight);
    }

    #[test]
    fn the_facts_sheets_curve_comes_out() {
        // Two figures each, 2 % to both sides of the average: their coefficient of variation is 0.02.
        let around = |workers, average: f64| measured(workers, &[0.98 * average, 1.02 * average]);
        let verdict = judge(&[
            around(1, 100_000.0),
            around(2, 220_000.0),
            around(4, 230_000.0),
            around(8, 215_000.0),
        ])
        .expect("four points");
        assert_eq!(verdict.shape, CurveShape::NonMonotonic);
        assert_eq!((verdict.optimal, verdict.signal), (2, 0.5652));
        assert_eq!(verdict.confidence, 0.686);
    }

    #[test]
    fn shapes_go_by_the_peak_and_what_comes_after_it() {
        assert_eq!(shape(&[100.0]), CurveShape::Plateau);
        assert_eq!(shape(&[100.0, 200.0, 201.0]), CurveShape::Increasing);
        assert_eq!(shape(&[100.0, 200.0, 190.0]), CurveShape::Plateau);
        assert_eq!(shape(&[100.0, 200.0, 189.0]), CurveShape::NonMonotonic);
        assert_eq!(shape(&[200.0, 100.0, 50.0]), CurveShape::Plateau);
        assert_eq!(shape(&[]), CurveShape::Plateau);
    }

    #[test]
    fn what_was_not_measured_is_left_out() {
        let verdict = judge(&[
            measured(1, &[100.0]),
            measured(2, &[]),
            measured(4, &[90.0]),
        ]);
        let counts = verdict.map(|verdict| {
            let results = verdict.results.iter();
            results.map(|result| result.worker_count).collect()
        });
        assert_eq!(counts, Some(vec![1, 4]));
        assert_eq!(judge(&[measured(1, &[100.0]), measured(2, &[])]), None);
        assert_eq!(judge(&[]), None);
    }

    #[test]
    fn probes_grid_and_duration_have_the_facts_sheets_bounds() {
        assert_eq!(probe_rows(0), 50_000);
        assert_eq!(probe_rows(4_000_000), 80_000);
        assert_eq!(probe_rows(u64::MAX), 100_000);
        assert_eq!(grid(&GRID, 8), [1, 2, 4, 8]);
        assert_eq!(grid(&[8, 2, 2, 0, 17], 64), [2, 8]);
        assert_eq!(grid(&GRID, 3), [1, 2]);
        assert_eq!(guessed_seconds(12 * 25 * 1024 * 1024), LEAST_SECONDS);
        assert_eq!(guessed_seconds(0), 0.0);
    }

    #[test]
    fn a_strong_signal_gives_the_optimum_and_a_weak_one_few_workers() {
        let strong = benchmark(&[(1, 100.0), (4, 300.0), (8, 310.0)]);
        let advice = advise(&strong, at(7), 1_200_000).expect("fresh");
        assert_eq!((advice.workers, advice.conservative), (4, false));
        assert_eq!(advice.confidence_permille, 750);
        let weak = benchmark(&[(1, 70.0), (4, 100.0)]);
        let advice = advise(&weak, at(0), 1_000_000).expect("fresh");
        assert_eq!((advice.workers, advice.optimal), (2, 4));
        assert!(advice.conservative);
        let flat = advise(&benchmark(&[(1, 99.0), (4, 100.0)]), at(0), 1_000_000);
        assert_eq!(flat.map(|advice| advice.workers), Ok(1));
    }

    #[test]
    fn stale_and_noisy_benchmarks_stand_for_nothing() {
        let good = benchmark(&[(1, 100.0), (4, 300.0)]);
        let second = jiff::SignedDuration::from_secs(1);
        let too_old = advise(&good, at(7) + second, 1_000_000);
        assert_eq!(too_old, Err(Unfit::TooOld { days: 7 }));
        let (then, now) = (1_000_000, 1_200_001);
        let changed = advise(&good, at(0), now);
        assert_eq!(changed, Err(Unfit::RowsChanged { then, now }));
        assert!(advise(&good, at(0), 800_000).is_ok());
        let mut empty = good.clone();
        empty.row_estimate_at_benchmark = 0;
        assert!(advise(&empty, at(0), 5).is_ok());
        let mut noisy = good;
        noisy.confidence = 0.4999;
        let untrusted = Unfit::NotTrusted {
            confidence_permille: 500,
        };
        assert_eq!(advise(&noisy, at(0), 1_000_000), Err(untrusted));
    }

    #[test]
    fn between_two_measured_counts_lies_a_straight_line() {
        let curve = benchmark(&[(2, 200.0), (4, 300.0), (8, 100.0)]);
        let at = |workers| curve.throughput(workers);
        assert_eq!([at(1), at(2), at(3)], [None, Some(200.0), Some(250.0)]);
        assert_eq!([at(5), at(8), at(9)], [Some(250.0), Some(100.0), None]);
    }

    #[test]
    fn slices_are_laid_out_in_three_ranges_or_two_or_for_fewer_sessions() {
        let three = layout(28, &GRID).expect("room for all");
        assert_eq!(three, (vec![1, 2, 4, 8], vec![0..8, 9..17, 19..27]));
        let two = layout(17, &GRID).expect("room for all");
        assert_eq!(two, (vec![1, 2, 4, 8], vec![0..8, 9..17]));
        let side_by_side = layout(16, &GRID).expect("room for all");
        assert_eq!(side_by_side.1, [0..8, 8..16]);
        assert_eq!(layout(15, &GRID).map(|of| of.0), Some(vec![1, 2, 4]));
        assert_eq!(layout(4, &GRID).map(|of| of.0), Some(vec![1, 2]));
        assert_eq!(layout(3, &GRID), None);
        assert_eq!(layout(100, &[1]), None);
        assert_eq!(layout(0, &GRID), None);
        assert_eq!(slice_rows(10_000_000, 8), 100_000);
        assert_eq!(slice_rows(280_000, 8), 10_000);
        assert_eq!(slice_rows(0, 8), 1);
    }

    proptest! {
        #[test]
        fn ranges_of_slices_are_whole_and_apart(slices in 0usize..300, grid in 0usize..4) {
            let grid: Vec<u32> = GRID[..=grid].to_vec();
            if let Some((grid, ranges)) = layout(slices, &grid) {
                let sessions = *grid.last().expect("two or more") as usize;
                prop_assert!(ranges.len() >= 2);
                prop_assert!(ranges.iter().all(|of| of.len() == sessions && of.end <= slices));
                prop_assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
            }
        }

        #[test]
        fn verdicts_are_bounded_and_the_optimum_is_nearly_the_fastest(
            averages in proptest::collection::vec((1.0f64..1e7, 0.0f64..0.9), 2..8),
        ) {
            let measured: Vec<Measured> = averages
                .iter()
                .zip(1..)
                .map(|((average, off), workers)| {
                    measured(workers, &[average * (1.0 - off), average * (1.0 + off)])
                })
                .collect();
            let verdict = judge(&measured).expect("two points");
            prop_assert!((0.0..=1.0).contains(&verdict.confidence));
            prop_assert!((0.15..=1.0).contains(&verdict.signal));
            let best = verdict.results.iter().map(|of| of.avg_throughput).fold(0.0, f64::max);
            let optimal = verdict.results.iter().find(|of| of.worker_count == verdict.optimal);
            prop_assert!(optimal.is_some_and(|of| of.avg_throughput >= 0.95 * best));
        }

        #[test]
        fn ranges_are_apart_and_within_the_table(
            min in 0u64..1000, length in 1u64..1_000_000, n in 1u64..1000,
        ) {
            let max = min + length;
            prop_assume!(length > 2 * n + 1);
            let ranges = ranges(min, max, n);
            prop_assert!(ranges.iter().all(|(from, to)| min <= *from && from <= to && *to <= max));
            prop_assert!(ranges.windows(2).all(|pair| pair[0].1 < pair[1].0));
        }
    }
}
