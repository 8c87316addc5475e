//! The adaptive rule `source_latency_backoff`, and how much a run's measurements can be trusted.
//!
//! Facts sheet, sections 5 and 8. The rule looks at how long the server takes to *begin* to answer a
//! chunk's query, whatever the chunk's size. A part of that is the query's own work (a filter that
//! passes one row in a million, a function that sleeps), and no sign of a server in trouble: so
//! an answer is slow only when it is also many times slower than the fastest of this worker's so far.

mod impact;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::BackoffRule;

pub use impact::{Allowance, Excess, ImpactBudget, PATIENCE, Sample, Throttle, share};

/// The back-off rule with its multiples resolved for one run, and one worker's standing with it.
#[derive(Clone, Debug)]
pub struct Backoff {
    rule: BackoffRule,
    /// Answers slower than this breach the rule; `None` when the rule is off.
    limit: Option<Duration>,
    /// The fastest answer so far: what the query takes by itself, at most.
    fastest: Option<Duration>,
    activations: u32,
    chunks_since: u32,
}

impl Backoff {
    /// Resolves `rule` for a source whose median round trip is `p50`.
    pub fn new(rule: BackoffRule, p50: Duration) -> Self {
        let active = p50 >= Duration::from_micros(rule.active_from_p50_us);
        let limit = active.then(|| {
            let floor = (p50 * rule.floor_p50s).max(Duration::from_millis(rule.floor_ms));
            floor.max(p50 * rule.threshold_p50s)
        });
        Self {
            rule,
            limit,
            fastest: None,
            activations: 0,
            chunks_since: 0,
        }
    }

    /// Whether an answer breaches the rule, fired or not. The first has nothing to be held against.
    pub fn breached(&self, answer: Duration) -> bool {
        let (Some(limit), Some(fastest)) = (self.limit, self.fastest) else {
            return false;
        };
        answer > limit.max(fastest.saturating_mul(self.rule.threshold_p50s))
    }

    /// Takes note of a finished chunk; returns the pause to make before the next one.
    ///
    /// Pauses are 1, 2, 4, … seconds up to the rule's longest. At least `cooldown_chunks` chunks lie
    /// between two pauses, and before the first.
    pub fn after_chunk(&mut self, answer: Duration) -> Option<Duration> {
        let breached = self.breached(answer);
        self.fastest = Some(self.fastest.map_or(answer, |fastest| fastest.min(answer)));
        self.chunks_since = self.chunks_since.saturating_add(1);
        let ready = self.chunks_since > self.rule.cooldown_chunks
            && self.activations < self.rule.max_activations;
        if !ready || !breached {
            return None;
        }
        let seconds = 1u64.checked_shl(self.activations).unwrap_or(u64::MAX);
        self.activations += 1;
        self.chunks_since = 0;
        Some(Duration::from_millis(
            seconds.saturating_mul(1000).min(self.rule.max_pause_ms),
        ))
    }
}

/// How far a run's throughput may teach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// More than 20 % of the chunks breached the latency rule.
    Low,
    /// More than 5 %.
    Moderate,
    /// At most 5 %.
    Full,
}

impl Confidence {
    /// From the number of chunks that breached the rule, of all that finished.
    pub fn from_breaches(breached: u32, chunks: u32) -> Self {
        let (breached, chunks) = (u64::from(breached), u64::from(chunks));
        if breached * 20 <= chunks {
            Self::Full
        } else if breached * 5 <= chunks {
            Self::Moderate
        } else {
            Self::Low
        }
    }

    /// The word that is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Moderate => "moderate",
            Self::Low => "low",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULE: BackoffRule = BackoffRule {
        threshold_p50s: 5,
        floor_ms: 50,
        floor_p50s: 10,
        active_from_p50_us: 1000,
        max_activations: 10,
        cooldown_chunks: 3,
        max_pause_ms: 30_000,
    };

    #[test]
    fn off_below_one_millisecond_on_at_one() {
        let quick = Duration::from_millis(1);
        let mut off = Backoff::new(RULE, Duration::from_micros(999));
        assert_eq!(off.after_chunk(quick), None);
        assert!(!off.breached(Duration::from_secs(60)));
        let mut on = Backoff::new(RULE, Duration::from_millis(1));
        assert_eq!(on.after_chunk(quick), None);
        assert!(
            !on.breached(Duration::from_millis(50)),
            "the floor itself does not trigger"
        );
        assert!(on.breached(Duration::from_millis(51)));
    }

    #[test]
    fn fires_after_the_fourth_chunk_and_doubles() {
        let mut backoff = Backoff::new(RULE, Duration::from_millis(10));
        let slow = Duration::from_millis(101);
        assert_eq!(backoff.after_chunk(Duration::from_millis(20)), None);
        let pauses: Vec<u64> = (1..44)
            .filter_map(|_| backoff.after_chunk(slow))
            .map(|pause| pause.as_secs())
            .collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]);
    }

    #[test]
    fn what_every_answer_takes_is_the_querys_own_work() {
        let mut backoff = Backoff::new(RULE, Duration::from_millis(1));
        for answer in [150, 160, 151, 300, 749, 150] {
            let answer = Duration::from_millis(answer);
            assert!(!backoff.breached(answer), "{answer:?}");
            assert_eq!(backoff.after_chunk(answer), None);
        }
        assert!(backoff.breached(Duration::from_millis(751)));
    }

    #[test]
    fn confidence_has_its_limits_at_5_and_20_percent() {
        assert_eq!(Confidence::from_breaches(0, 0), Confidence::Full);
        assert_eq!(Confidence::from_breaches(1, 20), Confidence::Full);
        assert_eq!(Confidence::from_breaches(2, 20), Confidence::Moderate);
        assert_eq!(Confidence::from_breaches(4, 20), Confidence::Moderate);
        assert_eq!(Confidence::from_breaches(5, 20), Confidence::Low);
    }

    proptest! {
        #[test]
        fn never_pauses_more_than_allowed(answers in prop::collection::vec(0u64..10_000, 0..400)) {
            let mut backoff = Backoff::new(RULE, Duration::from_millis(5));
            let mut since = 0;
            let mut fired = 0;
            for answer in answers {
                since += 1;
                if let Some(pause) = backoff.after_chunk(Duration::from_millis(answer)) {
                    prop_assert!(since > RULE.cooldown_chunks);
                    prop_assert!(pause <= Duration::from_secs(30));
                    fired += 1;
                    since = 0;
                }
            }
            prop_assert!(fired <= RULE.max_activations);
        }
    }
}
