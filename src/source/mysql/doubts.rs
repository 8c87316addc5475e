//! Dates of no calendar that an index shows without reading a table: the first entry of one that
//! begins with a date, since zero and most partial dates come before all others.

use std::collections::BTreeSet;

use super::super::{Doubt, Result};
use super::Base;
use super::classify::Subject;
use super::sql::{quote_identifier, quote_relation};
use super::statistics::bounded;
use super::types::Storage;
use crate::model::{Column, FieldType, Table};

/// The first such value of each column that an index begins with.
pub(super) async fn doubts(base: &Base, table: &Table) -> Result<Vec<Doubt>> {
    let leading: BTreeSet<&str> = table.keys.iter().map(|key| key.column.as_str()).collect();
    let columns: Vec<&Column> = table
        .columns
        .iter()
        .filter(|column| leading.contains(column.name.as_str()) && is_date(column))
        .collect();
    if columns.is_empty() {
        return Ok(Vec::new());
    }
    let subject = Subject::of(base.connector.account(), &table.relation, None);
    let mut link = base.link().await?;
    let mut doubts = Vec::new();
    for column in columns {
        let sql = format!(
            "SELECT CAST(MIN({}) AS CHAR) FROM {}",
            quote_identifier(&column.name),
            quote_relation(&table.relation)
        );
        let rows = bounded(&mut link, &subject, &sql).await?;
        let value = rows.into_iter().flatten().flatten().next();
        doubts.extend(value.filter(|text| is_partial(text)).map(|value| Doubt {
            column: column.name.clone(),
            value,
        }));
    }
    Ok(doubts)
}

/// Whether a column is a date that is written as one.
fn is_date(column: &Column) -> bool {
    let stored = matches!(
        Storage::named(&column.base_type),
        Some(Storage::Date | Storage::DateTime { .. } | Storage::Timestamp { .. })
    );
    let written = matches!(column.field, FieldType::Date | FieldType::Timestamp { .. });
    stored && written
}

/// Whether the month or the day is zero.
fn is_partial(text: &str) -> bool {
    let date = text.split(' ').next().unwrap_or_default();
    date.split('-').skip(1).any(|part| part == "00")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_without_month_or_day_is_no_date() {
        for partial in ["0000-00-00", "2024-00-10", "2024-05-00 00:00:00.00"] {
            assert!(is_partial(partial), "{partial}");
        }
        for whole in ["2024-05-10", "2000-01-01 00:00:00", ""] {
            assert!(!is_partial(whole), "{whole}");
        }
    }
}
