//! How many bytes may be in flight, and how they are shared out.
//!
//! Memory is bounded by bytes, never by rows: what a worker holds is one batch on its way from the
//! source and one row group on its way to the target, whatever the table's size.

/// Bytes that one worker may hold unless told otherwise: with encoder state and buffers beside it,
/// two workers stay under 200 MB in all.
pub const DEFAULT_BYTES_PER_WORKER: u64 = 48 * MIB;

/// What a process holds whatever its workers do: the program, its threads, connections and encoder
/// tables; found by running a debug build, whose own pages are more than twice a release's.
const STANDING_BYTES: u64 = 38 * MIB;

const MIB: u64 = 1024 * 1024;

/// Bytes that each of `workers` may hold: the usual, and less where the process as a whole may take
/// no more than `memory_mb` MiB.
pub fn worker_bytes(memory_mb: Option<u64>, workers: u32) -> u64 {
    let Some(limit) = memory_mb else {
        return DEFAULT_BYTES_PER_WORKER;
    };
    let left = limit.saturating_mul(MIB).saturating_sub(STANDING_BYTES);
    DEFAULT_BYTES_PER_WORKER.min(left / u64::from(workers.max(1)))
}

/// One worker's share of the budget, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Source bytes gathered into one batch.
    pub batch_bytes: usize,
    /// Encoded bytes that a row group may reach.
    pub row_group_bytes: u64,
}

/// Splits `bytes` of one worker. A batch exists as wire bytes, as Arrow and inside the encoder at
/// once, so it gets a twelfth, between 256 KiB and 4 MiB; the row group gets two thirds.
pub fn share(bytes: u64) -> Share {
    let batch = (bytes / 12).clamp(MIB / 4, 4 * MIB);
    Share {
        batch_bytes: usize::try_from(batch).unwrap_or(usize::MAX),
        row_group_bytes: (bytes / 3 * 2).max(MIB),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_default_gives_four_megabyte_batches() {
        let share = share(DEFAULT_BYTES_PER_WORKER);
        assert_eq!(
            share,
            Share {
                batch_bytes: 4 << 20,
                row_group_bytes: 32 << 20
            }
        );
    }

    #[test]
    fn a_limit_on_memory_is_shared_out_by_the_workers() {
        assert_eq!(worker_bytes(None, 8), DEFAULT_BYTES_PER_WORKER);
        assert_eq!(worker_bytes(Some(4_096), 8), DEFAULT_BYTES_PER_WORKER);
        assert_eq!(worker_bytes(Some(38 + 64), 4), 16 * MIB);
        assert_eq!(worker_bytes(Some(1), 4), 0);
    }

    proptest! {
        #[test]
        fn workers_together_stay_below_the_limit(limit in 1u64..100_000, workers in 1u32..64) {
            let all = worker_bytes(Some(limit), workers) * u64::from(workers);
            prop_assert!(all == 0 || all + STANDING_BYTES <= limit * MIB);
        }

        #[test]
        fn parts_stay_within_the_share(bytes in 4 * MIB..1 << 40) {
            let share = share(bytes);
            prop_assert!(3 * share.batch_bytes as u64 + share.row_group_bytes <= bytes);
        }
    }
}
