//! The verdict on a plan: what its last line says, and whether it needs `--force`.

use serde::Serialize;

use crate::model::{ExecutionPlan, FieldType, FileCompression, FormatOptions};

/// Room that must be free, as a multiple of the estimated output: six fifths.
const ROOM: (u128, u128) = (6, 5);

/// Bytes of a megabyte as people and disk makers count it.
const MB: u64 = 1_000_000;

/// Whether a plan should be executed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", content = "detail", rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing speaks against it.
    Safe,
    /// It may be executed; a person should know these things first, one line each.
    SafeWithWarnings(Vec<String>),
    /// It needs `--force` or a person's yes.
    NotRecommended {
        /// One line.
        reason: String,
    },
}

/// Judges a plan. `free_bytes` is the room at the output; `None` where it cannot be known, as in an
/// object store. The output is taken to be as large as the source's data, or twice as large where its
/// bytes are spelled in hexadecimal digits.
pub fn verdict(plan: &ExecutionPlan, free_bytes: Option<u64>) -> Verdict {
    let needed = u128::from(plan.forecast.bytes) * spelling(plan) * ROOM.0 / ROOM.1;
    if let Some(free) = free_bytes
        && u128::from(free) < needed
    {
        return Verdict::NotRecommended {
            reason: format!(
                "the output needs about {} MB of room and {} MB are free",
                needed.div_ceil(u128::from(MB)),
                free / MB
            ),
        };
    }
    if plan.warnings.is_empty() {
        Verdict::Safe
    } else {
        Verdict::SafeWithWarnings(plan.warnings.clone())
    }
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
    let columns = &plan.spec.read.columns;
    if plain && columns.iter().any(|column| binary(&column.field)) {
        2
    } else {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CsvOptions;
    use crate::planner::fixtures;

    fn plan_of_bytes(bytes: u64) -> ExecutionPlan {
        let mut plan = fixtures::plan(fixtures::profile(3_000_000));
        plan.forecast.bytes = bytes;
        plan
    }

    #[test]
    fn room_for_six_fifths_of_the_output_is_enough() {
        let plan = plan_of_bytes(1_000 * MB);
        assert_eq!(verdict(&plan, Some(1_200 * MB)), Verdict::Safe);
        assert_eq!(verdict(&plan, None), Verdict::Safe);
        assert_eq!(
            verdict(&plan, Some(1_200 * MB - 1)),
            Verdict::NotRecommended {
                reason: "the output needs about 1200 MB of room and 1199 MB are free".to_owned()
            }
        );
    }

    #[test]
    fn bytes_that_csv_spells_take_twice_the_room() {
        let mut plan = plan_of_bytes(1_000 * MB);
        if let Some(column) = plan.spec.read.columns.first_mut() {
            column.field = FieldType::List(Box::new(FieldType::Binary));
        }
        assert_eq!(verdict(&plan, Some(1_200 * MB)), Verdict::Safe);
        let mut csv = CsvOptions::default();
        plan.spec.format = FormatOptions::Csv(csv.clone());
        assert_ne!(verdict(&plan, Some(2_400 * MB - 1)), Verdict::Safe);
        assert_eq!(verdict(&plan, Some(2_400 * MB)), Verdict::Safe);
        csv.compression = FileCompression::Gzip;
        plan.spec.format = FormatOptions::Csv(csv);
        assert_eq!(verdict(&plan, Some(1_200 * MB)), Verdict::Safe);
    }

    #[test]
    fn warnings_are_passed_on() {
        let mut plan = plan_of_bytes(MB);
        plan.warnings
            .push("the snapshot is held for long".to_owned());
        assert_eq!(
            verdict(&plan, Some(u64::MAX)),
            Verdict::SafeWithWarnings(plan.warnings.clone())
        );
    }
}
