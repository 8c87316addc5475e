//! Changed columns for people.

use super::Line;
use crate::model::{SchemaDrift, SchemaWitness};

/// Changes that are shown one by one; the manifest has them all.
const SHOWN: usize = 8;

/// How the columns differ from those of the run before.
pub(super) fn fact(drift: &SchemaDrift) -> Line {
    let whose = match drift.known_from {
        SchemaWitness::Manifest => "the dataset's manifest",
        SchemaWitness::History => "the history",
    };
    let mut text = format!("changed since run {} ({whose})", drift.since);
    for change in drift.changes.iter().take(SHOWN) {
        text.push_str(&format!("\n· {change}"));
    }
    let more = drift.changes.len().saturating_sub(SHOWN);
    if more > 0 {
        text.push_str(&format!("\n· and {more} more"));
    }
    Line::fact("schema", text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ColumnShape, FieldType, RunId, SchemaChange};
    use crate::ui::plain;

    #[test]
    fn changes_are_told_one_a_line_and_never_flood_the_screen() {
        let added = |number: u32| SchemaChange::Added {
            column: format!("c{number}"),
            after: ColumnShape {
                source_type: "bigint".to_owned(),
                field: FieldType::Int64,
                nullable: number > 1,
            },
        };
        let mut drift = SchemaDrift {
            since: RunId::stored("rx-20260131-120000-0badcafe"),
            known_from: SchemaWitness::Manifest,
            changes: (1..=2).map(added).collect(),
        };
        insta::assert_snapshot!(plain(&[fact(&drift)]), @r"
          schema       changed since run rx-20260131-120000-0badcafe (the dataset's manifest)
                       · c1 was added (bigint as int64, not null)
                       · c2 was added (bigint as int64)
        ");
        drift.changes = (1..=30).map(added).collect();
        let text = plain(&[fact(&drift)]);
        assert!(
            text.trim_end().ends_with("· and 22 more") && text.lines().count() == 10,
            "{text}"
        );
    }
}
