//! How much a search costs: the share of an oracle's throughput that the controller reaches, on
//! every curve, from every start.
//!
//! `cargo test --release --test sim regret -- --nocapture` prints the line.

use crate::course::{Run, mean_share};
use crate::plant::{Curve, Plant, ROOM};

/// Sources to search, from everywhere.
struct Grid {
    curves: &'static [Curve],
    bests: &'static [u32],
    starts: &'static [u32],
    seeds: &'static [u64],
    runs: u32,
}

/// The grid that the targets are for; the controller's constants were chosen on it, among others.
const GRID: Grid = Grid {
    curves: &Curve::ALL,
    bests: &[2, 4, 6, 8, 12],
    starts: &[1, 2, 4, 8, 16],
    seeds: &[1, 2, 3],
    runs: 40,
};

/// Other curves, other best counts, other starts, other seeds: nothing was chosen on these.
const HELD_OUT: Grid = Grid {
    curves: &[
        Curve::Cliff,
        Curve::Shelf,
        Curve::Saw,
        Curve::Amdahl,
        Curve::Universal,
    ],
    bests: &[3, 5, 10, 16],
    starts: &[1, 6, 16],
    seeds: &[11],
    runs: 40,
};

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

fn over(grid: &Grid, change: impl Fn(&mut Plant)) -> Regret {
    let mut courses: Vec<Case> = Vec::new();
    for curve in grid.curves {
        for best in grid.bests {
            for start in grid.starts {
                for seed in grid.seeds {
                    let mut plant = Plant::steady(*curve, *best);
                    plant.seed = *seed;
                    change(&mut plant);
                    courses.push((*best, plant.course(*start, grid.runs, ROOM)));
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
    let regret = over(&GRID, |_| {});
    tell("regret", &regret);
    // What is asked for is 0.94, 0.985 and 0.90; this is what is reached.
    assert!(regret.mean >= 0.955, "{regret:?}");
    assert!(regret.last >= 0.995, "{regret:?}");
    assert!(regret.worst >= 0.92, "{regret:?}");
    // Searching costs next to no connections beyond those that the best count holds.
    assert!(regret.workers <= 1.05, "{regret:?}");
}

#[test]
fn regret_under_twice_the_noise() {
    let regret = over(&GRID, |plant| plant.noise = 0.20);
    tell("regret, noise 20 %", &regret);
    assert!(regret.mean >= 0.94, "{regret:?}");
    assert!(regret.last >= 0.985, "{regret:?}");
    // A controller that weighs none but these very curves ends below 0.90 in 5 of 900 such cases, the
    // lowest at 0.85: of 225 cases one is to be expected. With noise of 20 % a count that is 8 % worse
    // may look better over a dozen runs.
    assert!(regret.worst >= 0.85, "{regret:?}");
}

#[test]
fn regret_while_the_best_count_drifts() {
    let grid = Grid {
        seeds: &[1],
        runs: 120,
        ..GRID
    };
    let regret = over(&grid, |plant| plant.best = |first, run| first + run / 30);
    tell("regret, best count +1 every 30 runs", &regret);
    assert!(regret.mean >= 0.94, "{regret:?}");
    assert!(regret.last >= 0.97, "{regret:?}");
    // With the best count one further only since 30 runs, a case may not have seen it yet.
    assert!(regret.worst >= 0.84, "{regret:?}");
    let regret = over(&grid, |plant| {
        plant.best = |first, run| if run < 60 { first } else { 14 - first };
    });
    tell("regret, another best count from run 60", &regret);
    assert!(regret.mean >= 0.94, "{regret:?}");
    assert!(regret.last >= 0.99, "{regret:?}");
    assert!(regret.worst >= 0.94, "{regret:?}");
}

#[test]
fn regret_with_disturbed_runs() {
    let regret = over(
        &Grid {
            seeds: &[1],
            ..GRID
        },
        |plant| {
            (plant.noise, plant.disturbed) = (0.05, 0.10);
        },
    );
    tell("regret, one run of ten disturbed", &regret);
    assert!(regret.mean >= 0.94, "{regret:?}");
    assert!(regret.last >= 0.985, "{regret:?}");
    assert!(regret.worst >= 0.80, "{regret:?}");
}

#[test]
fn regret_where_nothing_was_chosen() {
    let regret = over(&HELD_OUT, |_| {});
    tell("regret, held-out sources", &regret);
    assert!(regret.mean >= 0.94, "{regret:?}");
    assert!(regret.last >= 0.985, "{regret:?}");
    assert!(regret.worst >= 0.90, "{regret:?}");
    let regret = over(&HELD_OUT, |plant| plant.noise = 0.20);
    tell("regret, held-out sources, noise 20 %", &regret);
    assert!(regret.mean >= 0.93, "{regret:?}");
    assert!(regret.last >= 0.98, "{regret:?}");
    assert!(regret.worst >= 0.85, "{regret:?}");
}
