//! How much a search costs: the share of an oracle's throughput that the controller reaches, on
//! every curve, from every start.
//!
//! `cargo test --release --test sim regret -- --nocapture` prints the line.

use crate::course::{Run, mean_share};
use crate::plant::{Curve, Plant, ROOM};

const BESTS: [u32; 5] = [2, 4, 6, 8, 12];
const STARTS: [u32; 5] = [1, 2, 4, 8, 16];
const SEEDS: [u64; 3] = [1, 2, 3];

/// Shares of an oracle's throughput over the grid.
#[derive(Debug)]
struct Regret {
    /// Over all runs of all cases.
    mean: f64,
    /// Over the last five runs of all cases.
    last: f64,
    /// The lowest case's last five runs.
    worst: f64,
    /// Mean workers, as a share of what the oracle would have used.
    workers: f64,
}

/// The best count of a case, and its course.
type Case = (u32, Vec<Run>);

fn over_the_grid(runs: u32, seeds: &[u64], change: impl Fn(&mut Plant)) -> Regret {
    let mut courses: Vec<Case> = Vec::new();
    for curve in Curve::ALL {
        for best in BESTS {
            for start in STARTS {
                for seed in seeds {
                    let mut plant = Plant::steady(curve, best);
                    plant.seed = *seed;
                    change(&mut plant);
                    courses.push((best, plant.course(start, runs, ROOM)));
                }
            }
        }
    }
    let mean =
        |of: &dyn Fn(&Case) -> f64| courses.iter().map(of).sum::<f64>() / courses.len() as f64;
    let last = |(_, course): &Case| mean_share(&course[course.len() - 5..]);
    Regret {
        mean: mean(&|(_, course)| mean_share(course)),
        last: mean(&last),
        worst: courses.iter().map(last).fold(f64::INFINITY, f64::min),
        workers: mean(&|(best, course)| {
            let used: f64 = course.iter().map(|run| f64::from(run.workers)).sum();
            used / course.len() as f64 / f64::from(*best)
        }),
    }
}

/// What this test is for is to be read.
#[expect(clippy::print_stdout, reason = "the numbers are the result")]
fn tell(name: &str, regret: &Regret) {
    println!(
        "{name}: mean={:.4} final={:.4} worst={:.4}",
        regret.mean, regret.last, regret.worst
    );
}

#[test]
fn regret() {
    let regret = over_the_grid(40, &SEEDS, |_| {});
    tell("regret", &regret);
    assert!(regret.mean >= 0.94, "{regret:?}");
    assert!(regret.last >= 0.985, "{regret:?}");
    assert!(regret.worst >= 0.90, "{regret:?}");
    // Searching costs next to no connections beyond those that the best count holds.
    assert!(regret.workers <= 1.05, "{regret:?}");
}

#[test]
fn regret_under_twice_the_noise() {
    let regret = over_the_grid(40, &SEEDS, |plant| plant.noise = 0.20);
    tell("regret, noise 20 %", &regret);
    assert!(regret.mean >= 0.93, "{regret:?}");
    assert!(regret.last >= 0.975, "{regret:?}");
    assert!(regret.worst >= 0.60, "{regret:?}");
}

#[test]
fn regret_while_the_best_count_drifts() {
    let regret = over_the_grid(120, &SEEDS[..1], |plant| {
        plant.best = |first, run| first + run / 30
    });
    tell("regret, best count +1 every 30 runs", &regret);
    assert!(regret.mean >= 0.93, "{regret:?}");
    assert!(regret.last >= 0.93, "{regret:?}");
    let regret = over_the_grid(120, &SEEDS[..1], |plant| {
        plant.best = |first, run| if run < 60 { first } else { 14 - first };
    });
    tell("regret, another best count from run 60", &regret);
    assert!(regret.mean >= 0.93, "{regret:?}");
    assert!(regret.last >= 0.97, "{regret:?}");
}
