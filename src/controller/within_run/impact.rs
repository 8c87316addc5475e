//! The impact budget: how many workers may read while the source stays within the user's limits.
//!
//! Samples of the source's answers and of its replicas' lag come about once a second. Two above a limit
//! in a row halve the workers, down to none; calm ones bring them back one by one. So load goes fast
//! and comes back with care, and each time it had to go again the calm must last longer. A source
//! that stays above its limit for a minute with nobody of ours reading is in trouble for other
//! reasons: then the run gives up.

use std::fmt;
use std::time::Duration;

/// Samples in a row above a limit that take workers away: one is a blip.
const OVER: u32 = 2;

/// Samples in a row well inside that bring a worker back, at first and at most.
const CALM: u32 = 5;
const MOST_CALM: u32 = 60;

/// After a change nothing is changed for so long: what was changed has yet to show.
const SETTLE: Duration = Duration::from_secs(3);

/// How long the source may stay above a limit with nobody of ours reading.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Well inside is up to so many fifths of a limit.
const WELL_INSIDE_FIFTHS: u32 = 4;

/// What a run may do to its source at the most; a limit that is absent is not watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImpactBudget {
    /// `--max-source-latency-ms`: the longest that a small query may take beside the run.
    pub latency: Option<Duration>,
    /// `--max-replica-lag-s`: the farthest that a replica may be behind.
    pub replica_lag: Option<Duration>,
    /// `--max-snapshot-age`: the longest that the snapshot may be open.
    pub snapshot_age: Option<Duration>,
}

impl ImpactBudget {
    /// Whether the source has to be asked while the run reads.
    pub fn is_watched(&self) -> bool {
        self.latency.is_some() || self.replica_lag.is_some()
    }
}

/// How the source was at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// When, by the run's monotonic clock.
    pub at: Duration,
    /// How long a small query took, or has taken so far without an answer.
    pub latency: Duration,
    /// How far the replica that is farthest behind is; `None` where there is none, or nobody says.
    pub lag: Option<Duration>,
}

/// A limit and what was beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// A small query took too long.
    Latency {
        /// What it took.
        took: Duration,
        /// What it may take.
        limit: Duration,
    },
    /// A replica was too far behind.
    Lag {
        /// How far.
        lag: Duration,
        /// How far it may be.
        limit: Duration,
    },
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latency { took, limit } => write!(
                f,
                "a small query took {} ms, --max-source-latency-ms is {}",
                took.as_millis(),
                limit.as_millis()
            ),
            Self::Lag { lag, limit } => write!(
                f,
                "a replica was {:.1} s behind, --max-replica-lag-s is {}",
                lag.as_secs_f64(),
                limit.as_secs()
            ),
        }
    }
}

/// What a sample leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// Nothing changes.
    Kept,
    /// Fewer workers may read.
    Shed {
        /// So many could until now.
        from: u32,
        /// So many can from now on.
        to: u32,
        /// Because of this.
        why: Excess,
    },
    /// One worker more may read.
    Restored {
        /// So many can from now on.
        to: u32,
    },
    /// Nobody reads any more, and still the source is beyond its limit.
    Hopeless {
        /// Because of this.
        why: Excess,
    },
}

/// How many workers may read, from sample to sample.
#[derive(Clone, Debug)]
pub struct Throttle {
    budget: ImpactBudget,
    planned: u32,
    allowed: u32,
    over: u32,
    calm: u32,
    calm_needed: u32,
    /// A worker came back since workers were last taken away.
    restored: bool,
    settled_at: Duration,
    /// Since when nobody reads and the source is beyond its limit all the same.
    hopeless_since: Option<Duration>,
}

impl Throttle {
    /// All `planned` workers may read.
    pub fn new(budget: ImpactBudget, planned: u32) -> Self {
        Self {
            budget,
            planned,
            allowed: planned,
            over: 0,
            calm: 0,
            calm_needed: CALM,
            restored: false,
            settled_at: Duration::ZERO,
            hopeless_since: None,
        }
    }

    /// How many workers may read now: from none to all that were planned.
    pub fn allowed(&self) -> u32 {
        self.allowed
    }

    /// Takes note of a sample. Samples come in the order of their times.
    pub fn observe(&mut self, sample: Sample) -> Allowance {
        match self.excess(sample) {
            Some(why) => self.beyond(sample.at, why),
            None => self.within(sample),
        }
    }

    fn excess(&self, sample: Sample) -> Option<Excess> {
        let (took, lag) = (sample.latency, sample.lag.unwrap_or_default());
        let slow = self.budget.latency.filter(|limit| took > *limit);
        let late = self.budget.replica_lag.filter(|limit| lag > *limit);
        slow.map(|limit| Excess::Latency { took, limit })
            .or(late.map(|limit| Excess::Lag { lag, limit }))
    }

    fn beyond(&mut self, at: Duration, why: Excess) -> Allowance {
        self.calm = 0;
        self.over = self.over.saturating_add(1);
        if self.allowed == 0 {
            let since = *self.hopeless_since.get_or_insert(at);
            return if at.saturating_sub(since) >= PATIENCE {
                Allowance::Hopeless { why }
            } else {
                Allowance::Kept
            };
        }
        if self.over < OVER || at < self.settled_at {
            return Allowance::Kept;
        }
        let from = self.allowed;
        self.allowed = from / 2;
        self.over = 0;
        self.settled_at = at.saturating_add(SETTLE);
        if std::mem::take(&mut self.restored) {
            self.calm_needed = (self.calm_needed * 2).min(MOST_CALM);
        }
        Allowance::Shed {
            from,
            to: self.allowed,
            why,
        }
    }

    fn within(&mut self, sample: Sample) -> Allowance {
        self.over = 0;
        self.hopeless_since = None;
        let well = |limit: Option<Duration>, is: Duration| {
            limit.is_none_or(|limit| is * 5 <= limit * WELL_INSIDE_FIFTHS)
        };
        let is_calm = well(self.budget.latency, sample.latency)
            && well(self.budget.replica_lag, sample.lag.unwrap_or_default());
        self.calm = if is_calm {
            self.calm.saturating_add(1)
        } else {
            0
        };
        if self.allowed == self.planned {
            if self.calm >= MOST_CALM {
                self.calm_needed = CALM;
            }
            return Allowance::Kept;
        }
        if self.calm < self.calm_needed || sample.at < self.settled_at {
            return Allowance::Kept;
        }
        self.allowed += 1;
        self.calm = 0;
        self.restored = true;
        self.settled_at = sample.at.saturating_add(SETTLE);
        Allowance::Restored { to: self.allowed }
    }
}

/// Which of the workers that have a chunk in hand may go on reading, in the order of their numbers, and
/// how many idle ones may take another chunk. Those that are reading come before those that were held
/// up: a change of hands would gain nothing.
pub fn share(allowed: u32, busy: &[(u32, bool)]) -> (Vec<u32>, u32) {
    let room = allowed as usize;
    let reading = busy.iter().filter(|(_, held)| !held);
    let held = busy.iter().filter(|(_, held)| *held);
    let mut free: Vec<u32> = reading
        .chain(held)
        .take(room)
        .map(|(worker, _)| *worker)
        .collect();
    free.sort_unstable();
    let left = room.saturating_sub(busy.len());
    (free, u32::try_from(left).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LATENCY: ImpactBudget = ImpactBudget {
        latency: Some(Duration::from_millis(50)),
        replica_lag: None,
        snapshot_age: None,
    };

    fn at(second: u64, latency_ms: u64) -> Sample {
        Sample {
            at: Duration::from_secs(second),
            latency: Duration::from_millis(latency_ms),
            lag: None,
        }
    }

    /// Every change that a second-by-second course of latencies brings, with its second.
    fn course(throttle: &mut Throttle, latencies: &[u64]) -> Vec<(usize, u32)> {
        let mut changes = Vec::new();
        for (second, latency) in latencies.iter().enumerate() {
            let before = throttle.allowed();
            throttle.observe(at(second as u64, *latency));
            if throttle.allowed() != before {
                changes.push((second, throttle.allowed()));
            }
        }
        changes
    }

    #[test]
    fn one_slow_answer_is_a_blip_two_halve() {
        let mut throttle = Throttle::new(LATENCY, 8);
        let changes = course(&mut throttle, &[10, 60, 10, 50, 60, 60, 60, 60, 60, 60]);
        assert_eq!(changes, [(5, 4), (8, 2)]);
        let why = Excess::Latency {
            took: Duration::from_millis(60),
            limit: Duration::from_millis(50),
        };
        let mut throttle = Throttle::new(LATENCY, 1);
        assert_eq!(throttle.observe(at(0, 60)), Allowance::Kept);
        let shed = Allowance::Shed {
            from: 1,
            to: 0,
            why,
        };
        assert_eq!(throttle.observe(at(1, 60)), shed);
        assert_eq!(
            why.to_string(),
            "a small query took 60 ms, --max-source-latency-ms is 50"
        );
    }

    #[test]
    fn workers_come_back_one_by_one_and_later_after_a_relapse() {
        let mut throttle = Throttle::new(LATENCY, 3);
        let calm = [10; 20];
        assert_eq!(course(&mut throttle, &[60, 60]), [(1, 1)]);
        assert_eq!(
            course(&mut throttle, &[calm.as_slice()].concat()),
            [(4, 2), (9, 3)]
        );
        let mut relapsed = throttle.clone();
        let again = [&[60, 60], &calm[..]].concat();
        assert!(relapsed.observe(at(100, 60)) == Allowance::Kept);
        relapsed.observe(at(101, 60));
        assert_eq!((relapsed.allowed(), relapsed.calm_needed), (1, 10));
        assert_eq!(again.len(), 22);
    }

    #[test]
    fn near_the_limit_nothing_changes() {
        let mut throttle = Throttle::new(LATENCY, 4);
        course(&mut throttle, &[60, 60]);
        assert_eq!(throttle.allowed(), 2);
        assert_eq!(course(&mut throttle, &[45; 50]), []);
    }

    #[test]
    fn a_source_that_is_slow_without_us_is_given_up_after_a_minute() {
        let mut throttle = Throttle::new(LATENCY, 1);
        let given_up = (0..200).find(|second| {
            matches!(
                throttle.observe(at(*second, 90)),
                Allowance::Hopeless { .. }
            )
        });
        assert_eq!(given_up, Some(2 + PATIENCE.as_secs()));
    }

    #[test]
    fn a_replica_may_be_behind_as_far_as_it_may() {
        let budget = ImpactBudget {
            replica_lag: Some(Duration::from_secs(5)),
            ..ImpactBudget::default()
        };
        let mut throttle = Throttle::new(budget, 2);
        let mut observe = |second, lag: Option<u64>| {
            throttle.observe(Sample {
                lag: lag.map(Duration::from_secs),
                ..at(second, 9_999)
            })
        };
        assert_eq!(observe(0, Some(5)), Allowance::Kept);
        assert_eq!(observe(1, None), Allowance::Kept);
        assert_eq!(observe(2, Some(6)), Allowance::Kept);
        assert!(matches!(
            observe(3, Some(6)),
            Allowance::Shed { from: 2, to: 1, .. }
        ));
    }

    #[test]
    fn whoever_reads_goes_on_before_whoever_was_held_up() {
        assert_eq!(
            share(2, &[(1, true), (2, false), (3, false)]),
            (vec![2, 3], 0)
        );
        assert_eq!(share(2, &[(1, true), (3, false)]), (vec![1, 3], 0));
        assert_eq!(share(3, &[(2, true)]), (vec![2], 2));
        assert_eq!(share(0, &[(2, true)]), (Vec::new(), 0));
    }

    proptest! {
        #[test]
        fn never_more_than_planned_and_no_change_without_a_cause(
            planned in 1u32..64,
            latencies in prop::collection::vec(0u64..120, 1..300),
        ) {
            let mut throttle = Throttle::new(LATENCY, planned);
            for (second, latency) in latencies.into_iter().enumerate() {
                let before = throttle.allowed();
                let outcome = throttle.observe(at(second as u64, latency));
                let now = throttle.allowed();
                prop_assert!(now <= planned && now <= before + 1);
                match outcome {
                    Allowance::Shed { from, to, .. } => {
                        prop_assert!(latency > 50 && (from, to) == (before, now) && to == from / 2);
                    }
                    Allowance::Restored { to } => {
                        prop_assert!(latency <= 40 && to == now && now == before + 1);
                    }
                    Allowance::Kept | Allowance::Hopeless { .. } => prop_assert_eq!(before, now),
                }
            }
            // Whatever was: in trouble that lasts nobody reads, and in calm that lasts everybody does.
            course(&mut throttle, &[90; 40]);
            let mut troubled = throttle.clone();
            for second in 1000..1040 {
                troubled.observe(at(second, 90));
            }
            prop_assert_eq!(troubled.allowed(), 0);
            for second in 2000..(2000 + u64::from(planned) * u64::from(MOST_CALM)) {
                troubled.observe(at(second, 10));
            }
            prop_assert_eq!(troubled.allowed(), planned);
        }

        #[test]
        fn no_more_go_on_than_may(
            allowed in 0u32..10,
            busy in prop::collection::btree_map(1u32..20, any::<bool>(), 0..10),
        ) {
            let busy: Vec<(u32, bool)> = busy.into_iter().collect();
            let (free, left) = share(allowed, &busy);
            prop_assert!(free.len() + left as usize <= allowed as usize || busy.is_empty());
            prop_assert!(free.iter().all(|worker| busy.iter().any(|(known, _)| known == worker)));
            prop_assert_eq!(free.len(), busy.len().min(allowed as usize));
        }
    }
}
