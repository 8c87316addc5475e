//! What a run costs by the user's rates, and whether another number of workers would be cheaper or
//! faster; pure (facts sheet, section 11).
//!
//! Durations of other numbers of workers come from throughputs that were measured with them. What
//! two workers reach says little about four, so a number that was never measured is not offered: a
//! straight line through the origin would always call more workers faster and never dearer.

use crate::model::{Alternative, Amount, Comparison, Cost, Extra, Rates};

/// Seconds of an hour and bytes of a GiB.
const HOUR_S: f64 = 3_600.0;
const GIB: f64 = 1_073_741_824.0;

/// Most workers that any run has.
const MOST: u32 = 64;

/// What is paid for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// Wall time, in seconds.
    pub seconds: f64,
    /// Bytes written.
    pub bytes: u64,
    /// Workers, each with its connection.
    pub workers: u32,
}

/// What that costs. What is no finite number costs nothing at all.
pub fn of(rates: &Rates, usage: Usage) -> Cost {
    let rate = |rate: Option<Amount>| rate.map_or(0.0, Amount::get);
    let hours = usage.seconds / HOUR_S;
    let compute = round(hours * rate(rates.compute_cost_per_hour));
    let egress = round(usage.bytes as f64 / GIB * rate(rates.egress_cost_per_gb));
    let connections = f64::from(usage.workers) * hours * rate(rates.connection_cost_per_hour);
    let connections = round(connections);
    let total = round(compute + egress + connections);
    if total.is_finite() {
        Cost {
            compute,
            egress,
            connections,
            total,
        }
    } else {
        Cost::default()
    }
}

/// Four decimals, ties to even.
fn round(amount: f64) -> f64 {
    (amount * 10_000.0).round_ties_even() / 10_000.0
}

/// A plan, as far as it is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// Estimated rows.
    pub rows: u64,
    /// Estimated bytes written.
    pub bytes: u64,
    /// Workers.
    pub workers: u32,
    /// Rows per second that they are expected to reach.
    pub rows_per_s: f64,
    /// The most workers that may be offered.
    pub most: u32,
}

/// Compares a plan with fewer and with more workers. `measured` is the throughput of a number of
/// workers in rows per second, where it was measured.
///
/// Candidates are half as many fewer and half as many more, or what was measured next to those.
/// `None` where nothing costs anything, nothing is known of the plan, or nothing else was measured.
pub fn compare(
    rates: &Rates,
    planned: &Outlook,
    measured: &dyn Fn(u32) -> Option<f64>,
) -> Option<Comparison> {
    let known = planned.rows_per_s.is_finite() && planned.rows_per_s > 0.0 && planned.rows > 0;
    rates.clone().charged().filter(|_| known)?;
    let usable = |workers: u32| measured(workers).filter(|speed| speed.is_finite() && *speed > 0.0);
    let alternative = |workers: u32, rows_per_s: f64, measured: bool| {
        let seconds = planned.rows as f64 / rows_per_s;
        let bytes = planned.bytes;
        Alternative {
            workers,
            duration_s: seconds,
            cost: of(
                rates,
                Usage {
                    seconds,
                    bytes,
                    workers,
                },
            ),
            planned: workers == planned.workers,
            measured,
        }
    };
    let others: Vec<Alternative> = candidates(planned, &usable)
        .into_iter()
        .filter_map(|workers| Some(alternative(workers, usable(workers)?, true)))
        .collect();
    if others.is_empty() {
        return None;
    }
    let was_measured = usable(planned.workers).is_some();
    let own = alternative(planned.workers, planned.rows_per_s, was_measured);
    let all: Vec<Alternative> = others.into_iter().chain([own]).collect();
    let mut alternatives: Vec<Alternative> = all
        .iter()
        .filter(|one| one.planned || !all.iter().any(|other| beats(other, one)))
        .copied()
        .collect();
    alternatives.sort_by_key(|alternative| alternative.workers);
    Some(Comparison {
        extra: extra(&own, &alternatives),
        alternatives,
    })
}

/// How far the candidates are from the plan's number of workers: half of it, ties to even.
fn step(workers: u32) -> u32 {
    let half = workers / 2;
    let up = workers % 2 == 1 && half % 2 == 1;
    (half + u32::from(up)).max(1)
}

/// A measured number below the plan's and one above, each nearest to a step away.
fn candidates(planned: &Outlook, measured: &dyn Fn(u32) -> Option<f64>) -> Vec<u32> {
    let (workers, step) = (planned.workers, step(planned.workers));
    let most = planned.most.min(MOST);
    let nearest = |among: std::ops::RangeInclusive<u32>, wanted: u32| {
        among
            .filter(|count| measured(*count).is_some())
            .min_by_key(|count| (count.abs_diff(wanted), *count))
    };
    let below = nearest(1..=workers.saturating_sub(1), workers.saturating_sub(step));
    let above = nearest(
        workers.saturating_add(1)..=most,
        workers.saturating_add(step),
    );
    below.into_iter().chain(above).collect()
}

/// Whether `one` is no slower and no dearer than `other`; of two alike, fewer workers win.
fn beats(one: &Alternative, other: &Alternative) -> bool {
    let (time, price) = (one.duration_s, one.cost.total);
    let no_worse = time <= other.duration_s && price <= other.cost.total;
    let better = time < other.duration_s || price < other.cost.total;
    no_worse && (better || one.workers < other.workers)
}

fn extra(own: &Alternative, alternatives: &[Alternative]) -> Option<Extra> {
    let cheapest = alternatives
        .iter()
        .min_by(|a, b| a.cost.total.total_cmp(&b.cost.total))?;
    let more = round(own.cost.total - cheapest.cost.total);
    (own.duration_s < cheapest.duration_s && more > 0.0).then(|| Extra {
        cost: more,
        percent: (cheapest.cost.total > 0.0).then(|| more / cheapest.cost.total * 100.0),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn rates(compute: f64, egress: f64, connection: f64) -> Rates {
        let rate = |rate| Amount::try_from(rate).ok();
        Rates {
            compute_cost_per_hour: rate(compute),
            egress_cost_per_gb: rate(egress),
            connection_cost_per_hour: rate(connection),
            currency: None,
        }
    }

    fn planned(workers: u32, rows_per_s: f64) -> Outlook {
        Outlook {
            rows: 3_600_000,
            bytes: 0,
            workers,
            rows_per_s,
            most: 16,
        }
    }

    fn compared(rates: &Rates, plan: &Outlook, curve: &[(u32, f64)]) -> Option<Vec<u32>> {
        let curve: BTreeMap<u32, f64> = curve.iter().copied().collect();
        let found = compare(rates, plan, &|workers| curve.get(&workers).copied())?;
        Some(found.alternatives.iter().map(|one| one.workers).collect())
    }

    #[test]
    fn the_facts_sheets_example() {
        let usage = Usage {
            seconds: 1_800.0,
            bytes: 5 << 30,
            workers: 4,
        };
        let want = Cost {
            compute: 0.5,
            egress: 0.5,
            connections: 0.1,
            total: 1.1,
        };
        assert_eq!(of(&rates(1.0, 0.10, 0.05), usage), want);
    }

    #[test]
    fn what_is_not_finite_costs_nothing() {
        for seconds in [f64::NAN, f64::INFINITY] {
            let usage = Usage {
                seconds,
                bytes: 5 << 30,
                workers: 4,
            };
            assert_eq!(of(&rates(1.0, 0.1, 0.0), usage), Cost::default());
        }
    }

    #[test]
    fn candidates_are_half_as_many_away() {
        let steps: Vec<u32> = (1..=9).map(step).collect();
        assert_eq!(steps, [1, 1, 2, 2, 2, 3, 4, 4, 4]);
        let every: Vec<(u32, f64)> = (1..=20).map(|w| (w, f64::from(w) * 1_000.0)).collect();
        // Connections make more workers dearer: nothing is beaten.
        let dear = rates(0.0, 0.0, 1.0);
        let falling: Vec<(u32, f64)> = every
            .iter()
            .map(|(w, _)| (*w, f64::from(*w).sqrt() * 1_000.0))
            .collect();
        assert_eq!(
            compared(&dear, &planned(4, 2_000.0), &falling),
            Some(vec![2, 4, 6])
        );
        assert_eq!(
            compared(&dear, &planned(1, 1_000.0), &falling),
            Some(vec![1, 2])
        );
        // No more than is allowed.
        let capped = Outlook {
            most: 5,
            ..planned(4, 2_000.0)
        };
        assert_eq!(compared(&dear, &capped, &falling), Some(vec![2, 4, 5]));
    }

    #[test]
    fn only_what_was_measured_is_offered() {
        let dear = rates(0.0, 0.0, 1.0);
        let some = [(1, 1_000.0), (4, 2_000.0), (8, 2_800.0)];
        assert_eq!(
            compared(&dear, &planned(4, 2_000.0), &some),
            Some(vec![1, 4, 8])
        );
        assert_eq!(compared(&dear, &planned(4, 2_000.0), &some[1..2]), None);
        assert_eq!(compared(&dear, &planned(4, 2_000.0), &[]), None);
    }

    #[test]
    fn a_curve_that_falls_shows_that_fewer_are_better() {
        let curve = [(2, 3_000.0), (4, 2_000.0), (8, 1_000.0)];
        let rates = rates(1.0, 0.0, 0.1);
        assert_eq!(
            compared(&rates, &planned(4, 2_000.0), &curve),
            Some(vec![2, 4])
        );
    }

    #[test]
    fn the_price_of_being_faster_is_told() {
        let curve = |workers| {
            [(2, 1_000.0), (4, 1_500.0)]
                .into_iter()
                .find(|(w, _)| *w == workers)
        };
        let found = compare(&rates(0.0, 0.0, 1.0), &planned(4, 1_500.0), &|w| {
            curve(w).map(|(_, speed)| speed)
        });
        // 2 workers for an hour against 4 for 40 minutes.
        let extra = found.and_then(|found| found.extra).expect("it is dearer");
        assert_eq!(extra.cost, 0.6667);
        assert!((extra.percent.expect("of something") - 33.3).abs() < 0.1);
    }

    #[test]
    fn nothing_is_compared_without_rates_or_knowledge() {
        let curve = [(2, 1_000.0), (4, 2_000.0)];
        assert_eq!(
            compared(&rates(0.0, 0.0, 0.0), &planned(4, 2_000.0), &curve),
            None
        );
        assert_eq!(
            compared(&rates(1.0, 0.0, 0.0), &planned(4, 0.0), &curve),
            None
        );
        let empty = Outlook {
            rows: 0,
            ..planned(4, 2_000.0)
        };
        assert_eq!(compared(&rates(1.0, 0.0, 0.0), &empty, &curve), None);
    }

    proptest! {
        #[test]
        fn the_plans_own_is_always_there_and_nobody_else_is_beaten(
            workers in 1u32..20,
            speed in 1.0f64..1e6,
            curve in proptest::collection::btree_map(1u32..20, 1.0f64..1e6, 0..12),
            prices in (0.0f64..10.0, 0.0f64..10.0, 0.0f64..10.0),
        ) {
            let rates = rates(prices.0, prices.1, prices.2);
            let plan = planned(workers, speed);
            let Some(found) = compare(&rates, &plan, &|w| curve.get(&w).copied()) else {
                return Ok(());
            };
            let all = &found.alternatives;
            prop_assert_eq!(all.iter().filter(|one| one.planned).count(), 1);
            prop_assert!(all.windows(2).all(|pair| pair[0].workers < pair[1].workers));
            prop_assert!(all.len() <= 3);
            for one in all.iter().filter(|one| !one.planned) {
                prop_assert!(one.measured && curve.contains_key(&one.workers));
                prop_assert!(!all.iter().any(|other| beats(other, one)));
            }
        }

        #[test]
        fn parts_make_the_total(
            seconds in 0.0f64..1e6, bytes: u64, workers in 1u32..64,
            prices in (0.0f64..100.0, 0.0f64..100.0, 0.0f64..100.0),
        ) {
            let cost = of(&rates(prices.0, prices.1, prices.2), Usage { seconds, bytes, workers });
            let sum = cost.compute + cost.egress + cost.connections;
            prop_assert!((cost.total - sum).abs() < 1e-3_f64.max(sum * 1e-9));
            prop_assert!(cost.total >= 0.0);
        }
    }
}
