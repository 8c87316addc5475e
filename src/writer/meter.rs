//! How long bytes take to leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::SharedClock;

/// Time spent on handing bytes to their place, checksums included. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    clock: Option<SharedClock>,
    spent_ns: Arc<AtomicU64>,
}

impl Meter {
    /// A meter that reads this clock; one without a clock counts nothing.
    pub fn new(clock: Option<SharedClock>) -> Self {
        Self {
            clock,
            spent_ns: Arc::default(),
        }
    }

    /// What was spent so far.
    pub fn spent(&self) -> Duration {
        Duration::from_nanos(self.spent_ns.load(Ordering::Relaxed))
    }

    /// Waits for some work and counts its time.
    pub async fn while_waiting<T>(&self, work: impl Future<Output = T>) -> T {
        let Some(clock) = &self.clock else {
            return work.await;
        };
        let begun = clock.monotonic();
        let result = work.await;
        self.add(clock.monotonic().saturating_sub(begun));
        result
    }

    fn add(&self, spent: Duration) {
        let spent_ns = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX);
        self.spent_ns.fetch_add(spent_ns, Ordering::Relaxed);
    }

    /// Does some work and counts its time.
    pub(super) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        let Some(clock) = &self.clock else {
            return work();
        };
        let begun = clock.monotonic();
        let result = work();
        self.add(clock.monotonic().saturating_sub(begun));
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Manual;

    #[test]
    fn clones_count_together_and_without_a_clock_nothing_is_counted() {
        let clock = Arc::new(Manual::at(jiff::Timestamp::UNIX_EPOCH));
        let meter = Meter::new(Some(clock.clone()));
        let second = Duration::from_secs(1);
        assert_eq!(meter.clone().during(|| 7), 7);
        for _ in 0..2 {
            meter.clone().during(|| clock.advance(second));
        }
        assert_eq!(meter.spent(), 2 * second);
        let none = Meter::default();
        none.during(|| clock.advance(second));
        assert_eq!(none.spent(), Duration::ZERO);
    }
}
