//! From hints to workers: five stages that only ever lower (facts sheet, section 6). Integers
//! throughout, rounded down.

use crate::model::{
    HintCap, HintFactor, HintWarning, LoadHint, NetworkHint, Priority, RuntimeContext,
    WorkerResolution,
};

/// Rows that a worker is thought to hold at once, twice over.
const ROWS_HELD: u64 = 500_000;

/// Factor of a source that is being maintained, in thousandths.
const MAINTENANCE_PERMILLE: u32 = 500;

/// What the program takes with one worker and the smallest batches, in MiB; found by running it.
const PROGRAM_MB: u64 = 42;

/// Bytes of a MiB.
const MIB: u64 = 1 << 20;

/// What workers take of what the hints limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footprint {
    /// Memory of a worker, in bytes; 0 where it is not known.
    pub(super) worker_bytes: u64,
    /// Sessions of a run beside its workers'.
    pub(super) other_sessions: u32,
}

/// The workers that hints are brought to bear on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Staffing {
    /// Workers without hints.
    pub(super) base: u32,
    /// The most that server and user would allow.
    pub(super) most: u32,
}

impl Footprint {
    /// What workers on rows of this many bytes are thought to take.
    pub(super) fn of_rows(avg_row_bytes: u64, other_sessions: u32) -> Self {
        Self {
            worker_bytes: avg_row_bytes.saturating_mul(2 * ROWS_HELD),
            other_sessions,
        }
    }
}

/// How many workers are left under `hints`.
pub(super) fn resolve(
    staffing: Staffing,
    hints: &RuntimeContext,
    footprint: Footprint,
) -> WorkerResolution {
    let base = staffing.base.max(1);
    let mut warnings = Vec::new();
    let (mut caps, refused) = caps(hints, footprint, &mut warnings);
    let lowest = |most: u32| {
        let caps = caps.iter().map(|cap| cap.workers.max(1));
        caps.fold(most, u32::min)
    };
    let (after_caps, most) = (lowest(base), lowest(staffing.most.max(base)));
    // The first of two that allow the same.
    if let Some(lowest) = caps.iter_mut().min_by_key(|cap| cap.workers) {
        lowest.bound = lowest.workers < base;
    }
    let factors = factors(hints);
    let (multiplier_permille, floored) = multiplier(&factors);
    let after_multiplier = scaled(after_caps, multiplier_permille).max(1);
    if hints.concurrent_extractions.is_some() && hints.max_source_connections.is_none() {
        warnings.push(HintWarning::ConcurrentWithoutCap);
    }
    let after_priority = match hints.priority {
        Some(Priority::Low) => scaled(after_multiplier, 750).max(1),
        Some(Priority::Critical) => scaled(after_multiplier, 1_250).min(after_caps),
        Some(Priority::Normal) | None => after_multiplier,
    };
    if let Some(priority @ (Priority::Low | Priority::Critical)) = hints.priority
        && after_priority == after_multiplier
        && !refused
    {
        warnings.push(HintWarning::PriorityWithoutEffect { priority });
    }
    WorkerResolution {
        hints: hints.clone(),
        base,
        after_caps,
        caps,
        most,
        after_multiplier,
        factors,
        multiplier_permille,
        floored,
        after_priority,
        workers: if refused { 0 } else { after_priority.max(1) },
        warnings,
    }
}

/// The caps, and whether they leave nothing.
fn caps(
    hints: &RuntimeContext,
    footprint: Footprint,
    warnings: &mut Vec<HintWarning>,
) -> (Vec<HintCap>, bool) {
    let mut caps = Vec::new();
    let mut cap = |hint: &str, workers: u32| {
        caps.push(HintCap {
            hint: hint.to_owned(),
            workers,
            bound: false,
        });
    };
    let mut refused = false;
    if let Some(allowed) = hints.max_source_connections {
        let (allowed, others) = (allowed.get(), footprint.other_sessions);
        let concurrent = hints.concurrent_extractions.unwrap_or(0);
        let left = allowed.saturating_sub(concurrent).saturating_sub(others);
        refused = left == 0;
        if refused {
            warnings.push(HintWarning::NoConnectionsLeft {
                allowed,
                concurrent,
                others,
            });
        }
        cap("max_source_connections", left);
    }
    if let Some(allowed) = hints.max_memory_mb {
        let allowed_mb = allowed.get();
        if allowed_mb < PROGRAM_MB {
            warnings.push(HintWarning::MemoryBelowProgram {
                allowed_mb,
                needed_mb: PROGRAM_MB,
            });
        }
        match allowed_mb
            .saturating_mul(MIB)
            .checked_div(footprint.worker_bytes)
        {
            None => warnings.push(HintWarning::MemoryWithoutWidth),
            Some(workers) => {
                if workers == 0 {
                    let worker_mb = footprint.worker_bytes.div_ceil(MIB);
                    warnings.push(HintWarning::MemoryBelowOneWorker {
                        allowed_mb,
                        worker_mb,
                    });
                }
                cap("max_memory_mb", u32::try_from(workers).unwrap_or(u32::MAX));
            }
        }
    }
    (caps, refused)
}

/// The factors that are below 1.
fn factors(hints: &RuntimeContext) -> Vec<HintFactor> {
    let network = hints.network_quality.unwrap_or(NetworkHint::Good);
    let load = hints.source_load.unwrap_or(LoadHint::Normal);
    let maintained = hints.source_maintenance_scheduled == Some(true);
    [
        ("network_quality", network.name(), network.permille()),
        ("source_load", load.name(), load.permille()),
        (
            "source_maintenance_scheduled",
            "true",
            if maintained {
                MAINTENANCE_PERMILLE
            } else {
                1_000
            },
        ),
    ]
    .into_iter()
    .filter(|(_, _, permille)| *permille < 1_000)
    .map(|(hint, value, permille)| HintFactor {
        hint: hint.to_owned(),
        value: value.to_owned(),
        permille,
    })
    .collect()
}

/// The product of the factors in thousandths, not below the least, and whether it would have been.
/// Products that are not whole thousandths lie below the least, so that none is ever rounded.
fn multiplier(factors: &[HintFactor]) -> (u32, bool) {
    let one = 1_000u64.pow(u32::try_from(factors.len()).unwrap_or(0));
    let product: u64 = factors
        .iter()
        .map(|factor| u64::from(factor.permille))
        .product();
    let least = WorkerResolution::LEAST_PERMILLE;
    if product * 1_000 < u64::from(least) * one {
        (least, true)
    } else {
        (u32::try_from(product * 1_000 / one).unwrap_or(1_000), false)
    }
}

/// So many thousandths of the workers, rounded down.
fn scaled(workers: u32, permille: u32) -> u32 {
    let scaled = u64::from(workers) * u64::from(permille) / 1_000;
    u32::try_from(scaled).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::num::{NonZeroU32, NonZeroU64};

    use proptest::option::of;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// As the facts sheet has it: 200 MiB a worker, and no session but the workers'.
    const FOOTPRINT: Footprint = Footprint {
        worker_bytes: 200 * MIB,
        other_sessions: 0,
    };

    fn hints(change: impl FnOnce(&mut RuntimeContext)) -> RuntimeContext {
        let mut hints = RuntimeContext::default();
        change(&mut hints);
        hints
    }

    fn connections(allowed: u32, concurrent: Option<u32>) -> RuntimeContext {
        hints(|h| {
            h.max_source_connections = NonZeroU32::new(allowed);
            h.concurrent_extractions = concurrent;
        })
    }

    fn memory(mb: u64) -> RuntimeContext {
        hints(|h| h.max_memory_mb = NonZeroU64::new(mb))
    }

    fn resolve(base: u32, hints: &RuntimeContext, footprint: Footprint) -> WorkerResolution {
        super::resolve(Staffing { base, most: 8 }, hints, footprint)
    }

    /// After caps, multiplier and priority, and in the end.
    fn stages(base: u32, hints: &RuntimeContext) -> (u32, u32, u32, u32) {
        let found = resolve(base, hints, FOOTPRINT);
        (
            found.after_caps,
            found.after_multiplier,
            found.after_priority,
            found.workers,
        )
    }

    #[test]
    fn the_facts_sheets_examples() {
        let busy = hints(|h| {
            h.source_load = Some(LoadHint::High);
            h.network_quality = Some(NetworkHint::Degraded);
            h.priority = Some(Priority::Low);
        });
        assert_eq!(stages(8, &busy), (8, 3, 2, 2));
        assert_eq!(stages(8, &connections(6, Some(2))), (4, 4, 4, 4));
        assert_eq!(stages(8, &memory(500)), (2, 2, 2, 2));
        let worst = hints(|h| {
            h.network_quality = Some(NetworkHint::Poor);
            h.source_load = Some(LoadHint::High);
            h.source_maintenance_scheduled = Some(true);
        });
        assert_eq!(stages(8, &worst), (8, 2, 2, 2));
        let found = resolve(8, &worst, FOOTPRINT);
        assert_eq!((found.multiplier_permille, found.floored), (250, true));
        assert_eq!(stages(2, &worst), (2, 1, 1, 1));
        let critical = hints(|h| {
            h.network_quality = Some(NetworkHint::Degraded);
            h.priority = Some(Priority::Critical);
        });
        assert_eq!(stages(8, &critical), (8, 6, 7, 7));
        assert_eq!(resolve(8, &connections(3, Some(3)), FOOTPRINT).workers, 0);
        assert_eq!(stages(8, &memory(100)), (1, 1, 1, 1));
    }

    #[test]
    fn a_quarter_is_no_less_than_the_least() {
        let quarter = hints(|h| {
            h.network_quality = Some(NetworkHint::Poor);
            h.source_load = Some(LoadHint::High);
        });
        let found = resolve(8, &quarter, FOOTPRINT);
        assert_eq!((found.multiplier_permille, found.floored), (250, false));
        let below = hints(|h| {
            h.network_quality = Some(NetworkHint::Degraded);
            h.source_load = Some(LoadHint::High);
            h.source_maintenance_scheduled = Some(true);
        });
        assert!(resolve(8, &below, FOOTPRINT).floored);
    }

    #[test]
    fn a_runs_other_sessions_count_too() {
        let server = Footprint {
            other_sessions: 2,
            ..FOOTPRINT
        };
        assert_eq!(resolve(8, &connections(6, Some(2)), server).workers, 2);
        assert_eq!(resolve(8, &connections(3, None), server).workers, 1);
        let none = resolve(8, &connections(2, None), server);
        assert_eq!((none.workers, none.after_priority), (0, 1));
        assert_eq!(
            none.warnings,
            [HintWarning::NoConnectionsLeft {
                allowed: 2,
                concurrent: 0,
                others: 2
            }]
        );
    }

    #[test]
    fn the_lower_cap_binds() {
        let both = hints(|h| {
            h.max_source_connections = NonZeroU32::new(5);
            h.max_memory_mb = NonZeroU64::new(600);
        });
        let caps = resolve(8, &both, FOOTPRINT).caps;
        let caps: Vec<_> = caps
            .iter()
            .map(|cap| (cap.hint.as_str(), cap.workers, cap.bound))
            .collect();
        assert_eq!(
            caps,
            [
                ("max_source_connections", 5, false),
                ("max_memory_mb", 3, true)
            ]
        );
        assert_eq!(resolve(8, &both, FOOTPRINT).most, 3);
        assert!(
            resolve(3, &both, FOOTPRINT)
                .caps
                .iter()
                .all(|cap| !cap.bound)
        );
        assert_eq!(resolve(3, &connections(5, None), FOOTPRINT).most, 5);
    }

    #[test]
    fn what_has_no_effect_is_told() {
        let warned = |base, hints: &RuntimeContext| resolve(base, hints, FOOTPRINT).warnings;
        let alone = hints(|h| h.concurrent_extractions = Some(3));
        assert_eq!(warned(8, &alone), [HintWarning::ConcurrentWithoutCap]);
        assert_eq!(stages(8, &alone), (8, 8, 8, 8));
        for (base, priority, warns) in [
            (1, Priority::Low, true),
            (2, Priority::Low, false),
            (8, Priority::Critical, true),
            (8, Priority::Normal, false),
        ] {
            let told = warned(base, &hints(|h| h.priority = Some(priority)));
            let want = [HintWarning::PriorityWithoutEffect { priority }];
            assert_eq!(told.as_slice(), if warns { &want[..] } else { &[] });
        }
        let unknown = Footprint::of_rows(0, 0);
        let found = resolve(8, &memory(42), unknown);
        assert_eq!(found.warnings, [HintWarning::MemoryWithoutWidth]);
        assert_eq!(found.workers, 8);
        assert_eq!(
            resolve(8, &memory(41), unknown).warnings[0],
            HintWarning::MemoryBelowProgram {
                allowed_mb: 41,
                needed_mb: 42
            }
        );
    }

    #[test]
    fn a_worker_is_thought_to_hold_half_a_million_rows_twice() {
        // 500,000 × 200 × 2 bytes.
        assert_eq!(Footprint::of_rows(200, 2).worker_bytes, 200_000_000);
    }

    fn any_hints() -> impl Strategy<Value = RuntimeContext> {
        let network = [NetworkHint::Good, NetworkHint::Degraded, NetworkHint::Poor];
        let load = [LoadHint::Low, LoadHint::Normal, LoadHint::High];
        let priority = [Priority::Low, Priority::Normal, Priority::Critical];
        (
            of(1u32..40),
            of(0u32..40),
            of(1u64..20_000),
            of(select(network.to_vec())),
            of(select(load.to_vec())),
            of(any::<bool>()),
            of(select(priority.to_vec())),
        )
            .prop_map(
                |(allowed, concurrent, mb, network, load, maintained, priority)| RuntimeContext {
                    max_source_connections: allowed.and_then(NonZeroU32::new),
                    max_memory_mb: mb.and_then(NonZeroU64::new),
                    network_quality: network,
                    source_load: load,
                    concurrent_extractions: concurrent,
                    source_maintenance_scheduled: maintained,
                    priority,
                    ..RuntimeContext::default()
                },
            )
    }

    proptest! {
        #[test]
        fn hints_only_ever_lower(
            base in 0u32..80,
            hints in any_hints(),
            row_bytes in 0u64..5_000,
            others in 0u32..4,
        ) {
            let footprint = Footprint::of_rows(row_bytes, others);
            let found = resolve(base, &hints, footprint);
            prop_assert!(found.after_caps <= found.base);
            prop_assert!(found.after_multiplier <= found.after_caps);
            prop_assert!(found.after_priority <= found.after_caps);
            prop_assert!(found.workers <= found.after_priority);
            prop_assert!(found.after_priority >= 1);
            let refused = found
                .warnings
                .iter()
                .any(|warning| matches!(warning, HintWarning::NoConnectionsLeft { .. }));
            prop_assert_eq!(found.workers == 0, refused);
            if let (Some(allowed), false) = (hints.max_source_connections, refused) {
                let concurrent = hints.concurrent_extractions.unwrap_or(0);
                prop_assert!(found.workers + others + concurrent <= allowed.get());
            }
            prop_assert_eq!(&resolve(base, &hints, footprint), &found);
        }

        #[test]
        fn without_a_word_that_lowers_nothing_changes(base in 1u32..80) {
            for idle in [
                RuntimeContext::default(),
                hints(|h| {
                    h.network_quality = Some(NetworkHint::Good);
                    h.source_load = Some(LoadHint::Low);
                    h.source_maintenance_scheduled = Some(false);
                    h.priority = Some(Priority::Normal);
                }),
            ] {
                prop_assert_eq!(stages(base, &idle), (base, base, base, base));
                prop_assert_eq!(resolve(base, &idle, FOOTPRINT).warnings, []);
            }
        }
    }
}
