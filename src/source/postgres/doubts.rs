//! Values that the statistics already show and that their output type cannot hold.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;

use super::Base;
use super::classify::Subject;
use crate::model::{Column, ReadAs, Table};
use crate::source::convert::{Raw, converter};
use crate::source::{Doubt, Result};

/// Each column's most common values and the bounds of its histogram, which have its extremes. Only
/// what the role may see is in it.
const SHOWN: &str = "
    SELECT s.attname::text, v
    FROM pg_stats s,
         unnest(s.most_common_vals::text::text[] || s.histogram_bounds::text::text[]) AS v
    WHERE s.schemaname = $1 AND s.tablename = $2 AND s.attname = ANY ($3)
      AND (current_setting('server_encoding') <> 'SQL_ASCII' OR v ~ '^[\\x01-\\x7f]*$')";

/// The first such value of each column.
pub(super) async fn doubts(base: &Base, table: &Table) -> Result<Vec<Doubt>> {
    let columns: BTreeMap<&str, &Column> = table
        .columns
        .iter()
        .filter(|column| may_refuse(column))
        .map(|column| (column.name.as_str(), column))
        .collect();
    // A query has no statistics, and a table may have its name.
    if columns.is_empty() || table.query.is_some() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = columns.keys().copied().collect();
    let relation = &table.relation;
    let subject = Subject::relation(base.connector.place(), relation);
    let rows = base
        .link()
        .await?
        .ask(
            &subject,
            SHOWN,
            &[
                (&relation.schema, Type::TEXT),
                (&relation.name, Type::TEXT),
                (&names, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for row in &rows {
        let (name, value): (String, String) = (row.get(0), row.get(1));
        let column = columns.get(name.as_str());
        if column.is_some_and(|column| is_refused(column, &value)) {
            found.entry(name).or_insert(value);
        }
    }
    Ok(found
        .into_iter()
        .map(|(column, value)| Doubt { column, value })
        .collect())
}

fn is_time(column: &Column) -> bool {
    matches!(
        column.base_type.as_str(),
        "date" | "time" | "timestamp" | "timestamptz"
    )
}

/// Whether a value's text says whether it can be held.
fn may_refuse(column: &Column) -> bool {
    let parsed = matches!(
        column.base_type.as_str(),
        "numeric" | "int2" | "int4" | "int8" | "text" | "varchar" | "name"
    );
    column.read == ReadAs::Native
        && (is_time(column) || parsed && converter(&column.field, column.lossy).is_some())
}

fn is_refused(column: &Column, value: &str) -> bool {
    if is_time(column) {
        // These are the same in every style of dates.
        return matches!(value, "infinity" | "-infinity" | "24:00:00");
    }
    converter(&column.field, column.lossy).is_some_and(|mut to| !to.append(Raw::Text(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::OnUnrepresentable;

    fn column(base_type: &str, field: &str) -> Column {
        Column {
            name: "c".to_owned(),
            source_type: base_type.to_owned(),
            base_type: base_type.to_owned(),
            read: ReadAs::Native,
            field: field.parse().expect("a type"),
            nullable: true,
            comment: None,
            generated: None,
            on_unrepresentable: OnUnrepresentable::Fail,
            lossy: false,
        }
    }

    #[test]
    fn a_values_text_shows_whether_it_can_be_held() {
        let refused = |base, field, value| {
            let column = column(base, field);
            may_refuse(&column) && is_refused(&column, value)
        };
        assert!(refused("numeric", "decimal(9,2)", "NaN"));
        assert!(refused("numeric", "decimal(9,2)", "1.005"));
        assert!(!refused("numeric", "decimal(9,2)", "1.50"));
        assert!(refused("date", "date", "infinity") && !refused("date", "date", "2024-01-01"));
        assert!(refused("time", "time(us)", "24:00:00"));
        assert!(refused("int8", "int16", "40000") && refused("text", "date", "soon"));
        assert!(!refused("text", "text", "anything") && !refused("uuid", "text", "NaN"));
    }
}
