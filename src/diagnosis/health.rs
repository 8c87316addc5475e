//! How a table's runs are as a whole (facts sheet, section 10.5).

use jiff::Timestamp;

use crate::model::{Category, Checkup, Concern, Health, RunRow, RunStatus, Trend};

/// Runs whose anomalies count.
pub const RECENT_RUNS: usize = 3;

/// Runs that a trend looks at.
const TREND_RUNS: usize = 5;

/// Runs that a trend needs.
const TREND_RUNS_MIN: usize = 3;

/// A trend that begins below this speed, in rows per second, says nothing.
const SIGNAL_MIN: f64 = 1000.0;

/// A change up to this is none.
const STEADY: f64 = 0.05;

/// A fall beyond this is degradation.
const FALL: f64 = -0.20;

/// What is known of a table.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Its runs, newest first; more than a few are of no use.
    pub runs: &'a [RunRow],
    /// Age of its profile, in hours; `None` where there is none.
    pub profile_hours: Option<u64>,
    /// From how many hours on a profile is stale.
    pub stale_hours: u64,
    /// Whether the controller has found its number of workers.
    pub converged: bool,
    /// Age of the newest published data, in seconds; `None` where nothing is published.
    pub age_s: Option<u64>,
    /// The oldest that it may be, where the user said so.
    pub most_age_s: Option<u64>,
}

/// How far the newest data goes that a table's runs have published: see [`RunRow::freshness`].
pub fn freshness(runs: &[RunRow]) -> Option<Timestamp> {
    runs.iter().filter_map(RunRow::freshness).max()
}

/// Looks at a table's runs. A run that is still under way is passed over.
pub fn check(facts: &Facts<'_>) -> Checkup {
    let ended = || {
        facts
            .runs
            .iter()
            .filter(|run| run.status != RunStatus::Running)
    };
    let trend = trend(&speeds(facts.runs));
    let mut degraded = Vec::new();
    if let Some(most_s) = facts.most_age_s
        && facts.age_s.is_none_or(|age| age > most_s)
    {
        let age_s = facts.age_s;
        degraded.push(Concern::Old { age_s, most_s });
    }
    let Some(last) = ended().next() else {
        let old = !degraded.is_empty();
        degraded.push(Concern::NoRuns);
        return Checkup {
            health: if old {
                Health::Degraded
            } else {
                Health::NeedsAttention
            },
            concerns: degraded,
            trend,
        };
    };
    let mut attention = Vec::new();
    if last.status != RunStatus::Success {
        let status = last.status;
        degraded.push(Concern::LastRun { status });
    }
    let anomalies = ended()
        .take(RECENT_RUNS)
        .filter(|run| unexplained(run))
        .count();
    let anomaly = Concern::Anomalies {
        runs: u32::try_from(anomalies).unwrap_or(u32::MAX),
    };
    match anomalies {
        0 => {}
        1 => attention.push(anomaly),
        _ => degraded.push(anomaly),
    }
    if let Trend::Degrading { permille } = trend
        && (permille as f64) < FALL * 1000.0
    {
        degraded.push(Concern::Falling { permille });
    }
    match facts.profile_hours {
        None => attention.push(Concern::NoProfile),
        Some(hours) if hours >= facts.stale_hours => {
            attention.push(Concern::StaleProfile { hours })
        }
        Some(_) => {}
    }
    if !facts.converged {
        attention.push(Concern::NotConverged);
    }
    let health = match (degraded.is_empty(), attention.is_empty()) {
        (false, _) => Health::Degraded,
        (true, false) => Health::NeedsAttention,
        (true, true) => Health::Healthy,
    };
    degraded.append(&mut attention);
    Checkup {
        health,
        concerns: degraded,
        trend,
    }
}

/// An anomaly that comes of trying another number of workers is the controller's own doing.
fn unexplained(run: &RunRow) -> bool {
    use Category::{OverParallel, UnderParallel};
    let tried = |category| matches!(category, OverParallel | UnderParallel);
    run.anomaly.is_some()
        && !run
            .finding
            .as_ref()
            .is_some_and(|found| tried(found.category))
}

/// The speeds that say where a table's runs are going, newest first: of successful runs that were
/// neither constrained nor replayed.
pub fn speeds(runs: &[RunRow]) -> Vec<f64> {
    runs.iter()
        .filter(|run| run.status == RunStatus::Success)
        .filter(|run| !run.constrained && run.replay_of.is_none())
        .map(|run| run.throughput)
        .collect()
}

/// Where speeds, newest first, are going: the newest against the oldest of the last five.
pub fn trend(speeds: &[f64]) -> Trend {
    let last: Vec<f64> = speeds
        .iter()
        .copied()
        .filter(|speed| speed.is_finite() && *speed > 0.0)
        .take(TREND_RUNS)
        .collect();
    let (Some(newest), Some(oldest)) = (last.first(), last.last()) else {
        return Trend::InsufficientHistory;
    };
    if last.len() < TREND_RUNS_MIN {
        return Trend::InsufficientHistory;
    }
    if *oldest < SIGNAL_MIN {
        return Trend::InsufficientSignal;
    }
    let change = newest / oldest - 1.0;
    let permille = (change * 1000.0).round() as i64;
    match change {
        change if change.abs() < STEADY => Trend::Stable { permille },
        change if change > 0.0 => Trend::Improving { permille },
        _ => Trend::Degrading { permille },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diagnosis::tests::finding;
    use crate::model::fixtures::row;
    use crate::model::{Anomaly, Direction};

    fn fine(runs: &[RunRow]) -> Facts<'_> {
        Facts {
            age_s: None,
            most_age_s: None,
            runs,
            profile_hours: Some(1),
            stale_hours: 24,
            converged: true,
        }
    }

    #[test]
    fn data_may_be_too_old_or_missing() {
        let run = row(1e6);
        let runs = [run];
        let judged = |age_s, most_age_s| {
            check(&Facts {
                age_s,
                most_age_s,
                ..fine(&runs)
            })
        };
        assert_eq!(judged(Some(100), None).health, Health::Healthy);
        assert_eq!(judged(Some(100), Some(100)).health, Health::Healthy);
        let old = judged(Some(101), Some(100));
        let concern = Concern::Old {
            age_s: Some(101),
            most_s: 100,
        };
        assert_eq!((old.health, &old.concerns[0]), (Health::Degraded, &concern));
        assert_eq!(judged(None, Some(100)).health, Health::Degraded);
    }

    fn anomalous(mut run: RunRow, category: Category) -> RunRow {
        run.anomaly = Some(Anomaly {
            direction: Direction::Degradation,
            z: 9.0,
            throughput: 1.0,
            mean: 2.0,
            sigma: 0.1,
            runs: 9,
        });
        run.finding = Some(finding(category));
        run
    }

    #[test]
    fn a_table_with_good_runs_a_fresh_profile_and_a_settled_controller_is_healthy() {
        let runs = [row(50_000.0), row(51_000.0), row(49_000.0)];
        let checkup = check(&fine(&runs));
        assert_eq!(
            (checkup.health, checkup.concerns),
            (Health::Healthy, vec![])
        );
        assert!(matches!(checkup.trend, Trend::Stable { permille: 20 }));
    }

    #[test]
    fn each_concern_has_its_weight() {
        let good = || row(50_000.0);
        let strange = || anomalous(good(), Category::Anomaly);
        let tried = || anomalous(good(), Category::OverParallel);
        let mut failed = good();
        failed.status = RunStatus::Failed;
        let mut running = good();
        running.status = RunStatus::Running;
        use Health::{Degraded, Healthy, NeedsAttention};
        let cases: [(Vec<RunRow>, Health); 9] = [
            (vec![], NeedsAttention),
            (vec![running.clone()], NeedsAttention),
            (vec![running, good()], Healthy),
            (vec![failed.clone(), good()], Degraded),
            (vec![good(), failed], Healthy),
            (vec![strange(), good(), good()], NeedsAttention),
            (vec![strange(), good(), strange()], Degraded),
            (vec![good(), good(), good(), strange(), strange()], Healthy),
            (vec![tried(), tried(), good()], Healthy),
        ];
        for (runs, health) in cases {
            assert_eq!(check(&fine(&runs)).health, health, "{runs:#?}");
        }
        let falling = [row(39_000.0), row(45_000.0), row(50_000.0)];
        let checkup = check(&fine(&falling));
        assert_eq!(checkup.health, Degraded);
        assert_eq!(checkup.concerns, [Concern::Falling { permille: -220 }]);
        let runs = [good()];
        for facts in [
            Facts {
                profile_hours: None,
                ..fine(&runs)
            },
            Facts {
                profile_hours: Some(24),
                ..fine(&runs)
            },
            Facts {
                converged: false,
                ..fine(&runs)
            },
        ] {
            assert_eq!(check(&facts).health, NeedsAttention, "{facts:?}");
        }
    }

    #[test]
    fn constrained_and_replayed_runs_are_no_trend() {
        let mut slow = row(1_000.0);
        slow.constrained = true;
        assert_eq!(speeds(&[slow, row(9_000.0)]), [9_000.0]);
    }

    #[test]
    fn a_trend_needs_runs_and_signal() {
        assert_eq!(trend(&[9e9, 1e9]), Trend::InsufficientHistory);
        assert_eq!(trend(&[2000.0, 2000.0, 999.0]), Trend::InsufficientSignal);
        assert_eq!(
            trend(&[1049.0, 1.0, 1000.0]),
            Trend::Stable { permille: 49 }
        );
        assert_eq!(
            trend(&[1050.0, 1.0, 1000.0]),
            Trend::Improving { permille: 50 }
        );
        assert_eq!(
            trend(&[940.0, 1.0, 1.0, 1.0, 2000.0]),
            Trend::Degrading { permille: -530 }
        );
        assert_eq!(
            trend(&[1000.0, 0.0, f64::NAN, 1000.0, 1000.0]),
            Trend::Stable { permille: 0 }
        );
    }

    proptest! {
        #[test]
        fn only_the_last_five_runs_make_a_trend(
            speeds in proptest::collection::vec(1.0f64..1e6, 5..20),
            old in proptest::collection::vec(1.0f64..1e6, 0..9),
        ) {
            let all: Vec<f64> = speeds[..5].iter().chain(&old).copied().collect();
            prop_assert_eq!(trend(&speeds[..5]), trend(&all));
        }
    }
}
