//! How the search goes on after a benchmark.
//!
//! A benchmark is the user's wish to measure anew, so while it stands it begins a new chapter: what
//! the search remembers from before it is forgotten. Until a run has taught after it, the benchmark
//! itself decides. The first such run ties its curve to what runs of this table reach (a benchmark
//! writes nothing, so its level is too high, while its shape is not): each count that was measured
//! becomes faint evidence at the run's level, less than a run's worth, until there is a run of that
//! count. From then on runs decide: a benchmark that was right saves the search, and one that was
//! wrong costs a few runs, never the rest of time.

use super::{Memory, Sample, State};
use crate::model::Benchmark;

/// Who decides after a benchmark.
#[derive(Clone, Debug, PartialEq)]
pub enum After {
    /// The benchmark: no run has taught since.
    Benchmark,
    /// The runs since, with what the benchmark measured as the state's first memory.
    Runs {
        /// The runs since, newest first.
        history: Vec<Sample>,
        /// The state to decide from.
        state: State,
        /// How many runs have taught since.
        runs: u32,
    },
}

/// Who decides after `benchmark`, which stood for `workers` workers, given teaching runs, newest
/// first, and the state that the last of them left.
pub fn after(benchmark: &Benchmark, workers: u32, history: &[Sample], state: &State) -> After {
    let begun = benchmark.benchmarked_at;
    let since: Vec<Sample> = history
        .iter()
        .copied()
        .filter(|sample| sample.at > begun && sample.throughput > 0.0)
        .collect();
    let Some(first) = since.last().copied() else {
        return After::Benchmark;
    };
    let runs = u32::try_from(since.len()).unwrap_or(u32::MAX);
    // A state that knows a run from after the benchmark has taken it in already.
    if state.memory.newest() > Some(begun) {
        return After::Runs {
            history: since,
            state: state.clone(),
            runs,
        };
    }
    After::Runs {
        history: since,
        state: State {
            best: workers,
            memory: Memory::of_benchmark(at_level_of(benchmark, first)),
            ..State::default()
        },
        runs,
    }
}

/// What the benchmark measured, at the level of a run. Nothing where the run had a number of workers
/// that the benchmark knows nothing about.
fn at_level_of(benchmark: &Benchmark, run: Sample) -> Vec<(u32, f64)> {
    let level = benchmark.throughput(run.workers).filter(|of| *of > 0.0);
    let Some(level) = level else {
        return Vec::new();
    };
    let counts = benchmark.throughput_by_workers().into_iter();
    counts
        .map(|(workers, throughput)| (workers, run.throughput * throughput / level))
        .collect()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::controller::between_runs::{Room, decide};
    use crate::estimator::curve::tests::benchmark;

    const ROOM: Room = Room {
        min: 1,
        max: 16,
        explore: true,
        upward: true,
    };

    fn at(benchmark: &Benchmark, run: usize) -> Timestamp {
        let hours = jiff::SignedDuration::from_hours(run as i64 + 1);
        benchmark.benchmarked_at + hours
    }

    /// The workers of `runs` runs after a benchmark that stands for `advised`, where `reached` tells
    /// what workers reach, and the number in use in the end.
    fn course(
        benchmark: &Benchmark,
        advised: u32,
        runs: usize,
        reached: impl Fn(u32, usize) -> f64,
    ) -> (Vec<u32>, u32) {
        let (mut history, mut state) = (Vec::<Sample>::new(), State::default());
        let mut course = Vec::new();
        for run in 0..runs {
            let workers = match after(benchmark, advised, &history, &state) {
                After::Benchmark => advised,
                After::Runs {
                    history,
                    state: from,
                    ..
                } => {
                    let decision = decide(&history, &from, ROOM).expect("there are runs");
                    state = decision.next;
                    decision.workers
                }
            };
            course.push(workers);
            history.insert(
                0,
                Sample {
                    workers,
                    throughput: reached(workers, run),
                    at: at(benchmark, run),
                },
            );
        }
        (course, state.best)
    }

    /// Rises to `peak` workers, then falls by 8 % a worker.
    fn plant(peak: u32, workers: u32) -> f64 {
        match workers.checked_sub(peak) {
            None => 10_000.0 * f64::from(workers).powf(0.7),
            Some(beyond) => {
                10_000.0 * f64::from(peak).powf(0.7) * (-0.08 * f64::from(beyond)).exp()
            }
        }
    }

    /// A few per cent up and down.
    fn noise(run: usize) -> f64 {
        [1.0, 0.97, 1.03, 1.01, 0.98, 1.02, 0.99][run % 7]
    }

    #[test]
    fn until_a_run_has_taught_the_benchmark_decides_whatever_was_learned_before() {
        let curve = benchmark(&[(1, 100.0), (2, 180.0), (4, 300.0), (8, 250.0)]);
        let before = Sample {
            workers: 8,
            throughput: 1.0,
            at: curve.benchmarked_at,
        };
        let old = State {
            best: 8,
            ..State::default()
        };
        assert_eq!(after(&curve, 4, &[before], &old), After::Benchmark);
        let run = Sample {
            workers: 4,
            throughput: 30.0,
            at: at(&curve, 0),
        };
        let After::Runs {
            history,
            state,
            runs,
        } = after(&curve, 4, &[run, before], &old)
        else {
            panic!("a run has taught since");
        };
        assert_eq!((state.best, runs), (4, 1));
        assert_eq!(history, [run]);
        let evidence = [(1, 10.0), (2, 18.0), (4, 30.0), (8, 25.0)];
        assert_eq!(state.memory, Memory::of_benchmark(evidence));
        let decision = decide(&history, &state, ROOM).expect("there is evidence");
        let more = [Sample {
            workers: 2,
            throughput: 70.0,
            at: at(&curve, 1),
        }];
        // Runs push out what the benchmark said of their counts, and only they are counted.
        let after = decide(&more, &decision.next, ROOM).expect("there are runs");
        assert_eq!(after.next.memory.size(), (2, 2));
        assert_eq!(after.next.memory.at(2), [70.0]);
    }

    #[test]
    fn a_run_of_an_unknown_count_leaves_the_start_and_no_evidence() {
        let curve = benchmark(&[(2, 100.0), (4, 300.0)]);
        let run = Sample {
            workers: 1,
            throughput: 30.0,
            at: at(&curve, 0),
        };
        let After::Runs { history, state, .. } = after(&curve, 4, &[run], &State::default()) else {
            panic!("a run has taught since");
        };
        assert_eq!((history, state.best), (vec![run], 4));
        assert_eq!(state.memory, Memory::default());
    }

    #[test]
    fn a_right_benchmark_saves_the_search() {
        let averages = [1, 2, 4, 8].map(|workers| (workers, 3.0 * plant(4, workers)));
        let (course, best) = course(&benchmark(&averages), 4, 30, |workers, run| {
            plant(4, workers) * noise(run)
        });
        assert!((3..=5).contains(&best), "{best}: {course:?}");
        let far = course.iter().filter(|workers| !(3..=5).contains(*workers));
        assert!(far.count() <= 3, "{course:?}");
    }

    #[test]
    fn a_wrong_benchmark_is_overcome() {
        // It saw a peak at two workers; runs, which write as well, have theirs at six.
        let averages = [1, 2, 4, 8].map(|workers| (workers, plant(2, workers)));
        let (course, best) = course(&benchmark(&averages), 2, 60, |workers, run| {
            plant(6, workers) * noise(run)
        });
        assert!(plant(6, best) >= 0.9 * plant(6, 6), "{best}: {course:?}");
    }

    #[test]
    fn a_source_that_changes_after_the_benchmark_is_followed() {
        let averages = [1, 2, 4, 8].map(|workers| (workers, plant(8, workers)));
        let (course, best) = course(&benchmark(&averages), 8, 60, |workers, run| {
            let peak = if run < 20 { 8 } else { 3 };
            plant(peak, workers) * noise(run)
        });
        assert!(plant(3, best) >= 0.9 * plant(3, 3), "{best}: {course:?}");
    }
}
