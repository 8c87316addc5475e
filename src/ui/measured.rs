//! What two runs came to, side by side.

use std::time::Duration;

use super::json::{Measured, OutcomeDocument};
use super::{Line, table, units};

/// A grid of what two runs came to, named as given, and of the change where they can be compared.
pub(super) fn side_by_side(
    [one, other]: [(&str, &str, Measured); 2],
    change: Option<OutcomeDocument>,
) -> Line {
    let (name, status, before) = one;
    let (other_name, other_status, after) = other;
    let seconds = |seconds: f64| units::elapsed(Duration::from_secs_f64(seconds.max(0.0)));
    let changed = |say: &dyn Fn(OutcomeDocument) -> String| change.map_or_else(String::new, say);
    let row = |what: &str, before: String, after: String, change: String| {
        vec![what.to_owned(), before, after, change]
    };
    let rows = vec![
        row(
            "status",
            status.to_owned(),
            other_status.to_owned(),
            String::new(),
        ),
        row(
            "rows",
            units::exact(before.rows),
            units::exact(after.rows),
            changed(&|change| units::signed(change.rows, units::exact)),
        ),
        row(
            "size",
            units::bytes(before.bytes),
            units::bytes(after.bytes),
            changed(&|change| units::signed(change.bytes, units::bytes)),
        ),
        row(
            "duration",
            seconds(before.duration_s),
            seconds(after.duration_s),
            changed(&|change| units::longer(change.duration_s)),
        ),
        row(
            "speed",
            units::rate(before.throughput),
            units::rate(after.throughput),
            changed(&|change| {
                let percent = change.throughput_percent;
                percent.map_or_else(String::new, units::more)
            }),
        ),
    ];
    let header = ["", name, other_name, "change"];
    table::grid(&header, rows, &[1, 2, 3])
}
