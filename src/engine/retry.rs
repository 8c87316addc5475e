//! Pauses between attempts: exponential, bounded, with seeded jitter.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};

use crate::model::RetryPolicy;

/// The pauses that `policy` allows, one an attempt after the first. The same seed gives the same
/// pauses; different workers take different seeds, so that they do not return all at once.
pub(super) fn pauses(policy: RetryPolicy, seed: u64) -> impl Iterator<Item = Duration> + Send {
    let longest = Duration::from_millis(policy.max_ms);
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(policy.base_ms))
        .with_max_delay(longest)
        .with_max_times(policy.retries as usize)
        .with_jitter_seed(seed)
        .build()
        // Jitter is added on top of the exponential delay; the policy's limit holds for the sum.
        .map(move |pause| pause.min(longest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bounded_in_number_and_length(retries in 0u32..12, base in 1u64..5_000, seed: u64) {
            let policy = RetryPolicy { retries, base_ms: base, max_ms: 60_000 };
            let all: Vec<Duration> = pauses(policy, seed).collect();
            prop_assert_eq!(all.len(), retries as usize);
            prop_assert!(all.iter().all(|pause| *pause <= Duration::from_secs(60)));
            prop_assert!(all.iter().all(|pause| *pause >= Duration::from_millis(base)));
            prop_assert_eq!(all, pauses(policy, seed).collect::<Vec<_>>());
        }
    }
}
