//! The verdict on a plan: what its last line says, and whether it needs `--force`.

use crate::model::{
    About, Advice, ExecutionPlan, FieldType, FileCompression, FormatOptions, HintWarning,
    Objection, RuntimeContext, Standing, Verdict,
};

/// Room that must be free, as a multiple of the estimated output: six fifths.
const ROOM: (u128, u128) = (6, 5);

/// Above this share of the disk that the user says is available, its filling deserves a warning:
/// four fifths.
const ROOMY: f64 = 0.8;

/// Bytes of a MiB and of a GiB.
const MIB: f64 = 1_048_576.0;
const GIB: f64 = 1_073_741_824.0;

/// What the plan means for the hints that did not change it: failures first, then warnings. The
/// output is taken to be as large as the source's data.
pub fn advice(plan: &ExecutionPlan) -> Vec<Advice> {
    let Some(resolution) = &plan.resolution else {
        return Vec::new();
    };
    let mut advice: Vec<Advice> = [
        target_duration(plan, &resolution.hints),
        maintenance_window(plan, &resolution.hints),
        disk(plan, &resolution.hints),
        egress(plan, &resolution.hints),
    ]
    .into_iter()
    .flatten()
    .collect();
    // Stable: as evaluated where they stand alike.
    advice.sort_by_key(|advice| advice.standing as u8);
    advice
}

fn target_duration(plan: &ExecutionPlan, hints: &RuntimeContext) -> Option<Advice> {
    let minutes = hints.target_duration_minutes?.get();
    let (forecast, workers) = (&plan.forecast, plan.spec.workers);
    let target_s = f64::from(minutes) * 60.0;
    let each = forecast.throughput / f64::from(workers.max(1));
    let workers_needed = (forecast.rows as f64 / (each * target_s).max(f64::MIN_POSITIVE)).ceil();
    Some(Advice {
        standing: unless(forecast.duration_s > target_s, Standing::Warn),
        about: About::TargetDuration {
            minutes,
            expected_s: forecast.duration_s,
            // Saturates; it is only shown.
            workers_needed: workers_needed as u64,
            workers,
            most: plan.resolution.as_ref().map_or(workers, |found| found.most),
        },
    })
}

fn maintenance_window(plan: &ExecutionPlan, hints: &RuntimeContext) -> Option<Advice> {
    let minutes = hints.maintenance_window_minutes?.get();
    let expected_s = plan.forecast.duration_s;
    Some(Advice {
        standing: unless(expected_s > f64::from(minutes) * 60.0, Standing::Fail),
        about: About::MaintenanceWindow {
            minutes,
            expected_s,
        },
    })
}

fn disk(plan: &ExecutionPlan, hints: &RuntimeContext) -> Option<Advice> {
    let available_gb = hints.disk_available_gb?.get();
    let output = plan.forecast.bytes;
    let gib = output as f64 / GIB;
    Some(Advice {
        standing: if gib > available_gb {
            Standing::Fail
        } else {
            unless(gib > ROOMY * available_gb, Standing::Warn)
        },
        about: About::Disk {
            available_gb,
            output,
        },
    })
}

fn egress(plan: &ExecutionPlan, hints: &RuntimeContext) -> Option<Advice> {
    let budget_mb = hints.egress_budget_mb?.get();
    let output = plan.forecast.bytes;
    Some(Advice {
        standing: unless(output as f64 / MIB > budget_mb, Standing::Warn),
        about: About::Egress { budget_mb, output },
    })
}

fn unless(exceeded: bool, standing: Standing) -> Standing {
    if exceeded { standing } else { Standing::Pass }
}

/// Judges a plan. `free_bytes` is the room at the output; `None` where it cannot be known, as in an
/// object store. The first that fits: no connection for a worker, a maintenance window too short, a
/// disk too small (by the user's word, or as found), anything to warn of.
pub fn verdict(plan: &ExecutionPlan, free_bytes: Option<u64>) -> Verdict {
    let warnings = plan.resolution.iter().flat_map(|found| &found.warnings);
    let advice = advice(plan);
    let failed = |wanted: fn(&About) -> bool| {
        let failed = |one: &&Advice| one.standing == Standing::Fail && wanted(&one.about);
        advice.iter().find(failed).cloned()
    };
    let refused = warnings
        .clone()
        .find(|warning| matches!(warning, HintWarning::NoConnectionsLeft { .. }));
    let objection = refused
        .map(|warning| Objection::Connections(*warning))
        .or_else(|| {
            failed(|about| matches!(about, About::MaintenanceWindow { .. })).map(Objection::Advice)
        })
        .or_else(|| failed(|about| matches!(about, About::Disk { .. })).map(Objection::Advice))
        .or_else(|| room(plan, free_bytes?));
    let warned = advice.iter().any(|one| one.standing != Standing::Pass);
    match objection {
        Some(objection) => Verdict::NotRecommended(objection),
        None if warned || warnings.count() > 0 || !plan.warnings.is_empty() => {
            Verdict::SafeWithWarnings
        }
        None => Verdict::Safe,
    }
}

/// Too little room at the output, which is taken to be as large as the source's data, or twice as large
/// where its bytes are spelled in hexadecimal digits.
fn room(plan: &ExecutionPlan, free: u64) -> Option<Objection> {
    let needed = u128::from(plan.forecast.bytes) * spelling(plan) * ROOM.0 / ROOM.1;
    (u128::from(free) < needed).then(|| Objection::Room {
        needed: u64::try_from(needed).unwrap_or(u64::MAX),
        free,
    })
}

/// How many times as long as at the source values may be: binary ones in CSV that is not compressed.
fn spelling(plan: &ExecutionPlan) -> u128 {
    let plain = match &plan.spec.format {
        FormatOptions::Csv(csv) => csv.compression == FileCompression::None,
        FormatOptions::Parquet(_) => false,
    };
    let binary = |field: &FieldType| match field {
        FieldType::List(element) => **element == FieldType::Binary,
        field => *field == FieldType::Binary,
    };
    let mut columns = plan.spec.read.columns.iter();
    if plain && columns.any(|column| binary(&column.field)) {
        2
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::model::{Amount, CsvOptions};
    use crate::planner::fixtures;

    const MB: u64 = 1_000_000;

    fn plan_of_bytes(bytes: u64) -> ExecutionPlan {
        let mut plan = fixtures::plan(fixtures::profile(3_000_000));
        plan.forecast.bytes = bytes;
        plan
    }

    #[test]
    fn bytes_that_csv_spells_take_twice_the_room() {
        let mut plan = plan_of_bytes(1_000 * MB);
        if let Some(column) = plan.spec.read.columns.first_mut() {
            column.field = FieldType::List(Box::new(FieldType::Binary));
        }
        assert_eq!(room(&plan, 1_200 * MB), None);
        let mut csv = CsvOptions::default();
        plan.spec.format = FormatOptions::Csv(csv.clone());
        assert!(room(&plan, 2_400 * MB - 1).is_some());
        assert_eq!(room(&plan, 2_400 * MB), None);
        csv.compression = FileCompression::Gzip;
        plan.spec.format = FormatOptions::Csv(csv);
        assert_eq!(room(&plan, 1_200 * MB), None);
    }

    /// Six million rows at 600,000 a second by six workers take ten seconds; the output is 10 GiB.
    fn hinted(change: impl FnOnce(&mut RuntimeContext)) -> ExecutionPlan {
        let mut request = fixtures::request();
        let mut hints = RuntimeContext::default();
        change(&mut hints);
        request.hints = Some(hints);
        let mut plan = fixtures::plan_of(&request, &fixtures::profile(3_000_000));
        plan.forecast.bytes = 10 << 30;
        plan.forecast.rows = 360_000_000;
        plan.forecast.throughput = 600_000.0;
        plan.forecast.duration_s = 600.0;
        plan
    }

    fn amount(number: f64) -> Option<Amount> {
        Amount::try_from(number).ok()
    }

    fn standings(plan: &ExecutionPlan) -> Vec<Standing> {
        advice(plan).iter().map(|advice| advice.standing).collect()
    }

    #[test]
    fn room_for_six_fifths_of_the_output_is_enough() {
        let plan = plan_of_bytes(1_000 * MB);
        assert_eq!(verdict(&plan, Some(1_200 * MB)), Verdict::Safe);
        assert_eq!(verdict(&plan, None), Verdict::Safe);
        let (needed, free) = (1_200 * MB, 1_200 * MB - 1);
        assert_eq!(
            verdict(&plan, Some(free)),
            Verdict::NotRecommended(Objection::Room { needed, free })
        );
    }

    #[test]
    fn warnings_make_it_less_than_safe() {
        let mut plan = plan_of_bytes(MB);
        plan.warnings
            .push("the snapshot is held for long".to_owned());
        assert_eq!(verdict(&plan, Some(u64::MAX)), Verdict::SafeWithWarnings);
        // A hint that has no effect is told too.
        let plan = hinted(|h| h.concurrent_extractions = Some(1));
        assert_eq!(verdict(&plan, None), Verdict::SafeWithWarnings);
    }

    #[test]
    fn a_limit_itself_is_kept() {
        for (minutes, want) in [(10, Standing::Pass), (9, Standing::Warn)] {
            let plan = hinted(|h| h.target_duration_minutes = NonZeroU32::new(minutes));
            assert_eq!(standings(&plan), [want]);
        }
        for (minutes, want) in [(10, Standing::Pass), (9, Standing::Fail)] {
            let plan = hinted(|h| h.maintenance_window_minutes = NonZeroU32::new(minutes));
            assert_eq!(standings(&plan), [want]);
        }
        let disk = [
            (12.5, Standing::Pass),
            (12.4, Standing::Warn),
            (10.0, Standing::Warn),
        ];
        for (gb, want) in disk.into_iter().chain([(9.9, Standing::Fail)]) {
            let plan = hinted(|h| h.disk_available_gb = amount(gb));
            assert_eq!(standings(&plan), [want], "{gb}");
        }
        for (mb, want) in [(10_240.0, Standing::Pass), (10_239.0, Standing::Warn)] {
            let plan = hinted(|h| h.egress_budget_mb = amount(mb));
            assert_eq!(standings(&plan), [want]);
        }
    }

    #[test]
    fn the_workers_that_a_duration_needs_are_told() {
        let plan = hinted(|h| h.target_duration_minutes = NonZeroU32::new(4));
        // 360,000,000 rows / (100,000 a second and worker × 240 s)
        let About::TargetDuration { workers_needed, .. } = advice(&plan)[0].about else {
            panic!("{:?}", advice(&plan));
        };
        assert_eq!((plan.spec.workers, workers_needed), (6, 15));
    }

    #[test]
    fn advice_is_sorted_and_the_first_objection_counts() {
        let plan = hinted(|h| {
            h.target_duration_minutes = NonZeroU32::new(1);
            h.maintenance_window_minutes = NonZeroU32::new(1);
            h.disk_available_gb = amount(1.0);
            h.egress_budget_mb = amount(1e9);
        });
        use Standing::{Fail, Pass, Warn};
        assert_eq!(standings(&plan), [Fail, Fail, Warn, Pass]);
        let against = |plan: &ExecutionPlan, free| match verdict(plan, free) {
            Verdict::NotRecommended(objection) => objection,
            other => panic!("{other:?}"),
        };
        let window = advice(&plan)[0].clone();
        assert!(matches!(window.about, About::MaintenanceWindow { .. }));
        assert_eq!(against(&plan, Some(0)), Objection::Advice(window));
        let plan = hinted(|h| h.disk_available_gb = amount(1.0));
        let disk = advice(&plan)[0].clone();
        assert_eq!(against(&plan, Some(0)), Objection::Advice(disk));
        let plan = hinted(|h| {
            h.maintenance_window_minutes = NonZeroU32::new(1);
            h.max_source_connections = NonZeroU32::new(2);
        });
        assert_eq!(plan.spec.workers, 1, "what --force would run");
        let found = against(&plan, None);
        assert!(matches!(found, Objection::Connections(_)), "{found:?}");
    }

    #[test]
    fn a_warning_alone_does_not_refuse() {
        let plan = hinted(|h| h.egress_budget_mb = amount(1.0));
        assert_eq!(verdict(&plan, Some(u64::MAX)), Verdict::SafeWithWarnings);
        let plan = hinted(|h| h.egress_budget_mb = amount(1e9));
        assert_eq!(verdict(&plan, Some(u64::MAX)), Verdict::Safe);
        assert_eq!(advice(&plan_of_bytes(MB)), []);
    }
}
