//! What is told of a report that was written.

use super::{Line, units};
use crate::model::RunRow;

/// The page of a run and of so many of its table's, in a file of a size in bytes.
pub fn view(run: &RunRow, charted: usize, (file, bytes): (&str, u64)) -> Vec<Line> {
    vec![
        Line::Heading(format!(
            "Report of run {} of {}",
            run.id.tag(),
            run.relation
        )),
        Line::fact("history", units::plural(charted as u64, "run") + " charted"),
        Line::fact("page", format!("{file} ({})", units::bytes(bytes))),
    ]
}
