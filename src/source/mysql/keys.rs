//! Which keys a table has: the leading columns of its B-tree indexes, and its primary key as a whole.

use super::super::indexes::{self, Index, Indexed, Place};
use super::Base;
use super::catalog::Described;
use super::classify::Subject;
use super::connect::{Link, Texts};
use super::sql::quote_text;
use super::types::Storage;
use crate::model::{Key, KeyDefect, KeyOrder, Relation, UnusableKey};

/// A column at a place of an index.
struct Entry {
    index: String,
    unique: bool,
    /// Absent for an expression.
    column: Option<String>,
    /// Only the column's beginning is indexed.
    partial: bool,
}

impl Entry {
    fn of_row(row: &Texts) -> Self {
        let text = |index: usize| row.get(index).cloned().flatten();
        Self {
            index: text(0).unwrap_or_default(),
            unique: text(1).as_deref() == Some("0"),
            column: text(2),
            partial: text(3).is_some(),
        }
    }

    fn place(&self, columns: &[Described]) -> Place {
        let name = self.column.as_ref()?;
        let column = columns.iter().find(|column| column.name == *name)?;
        Some(Indexed {
            column: column.name.clone(),
            source_type: column.source_type.clone(),
            not_null: column.not_null,
            order: if self.partial {
                Err(KeyDefect::NoOrder)
            } else {
                order(column)
            },
        })
    }
}

/// The name of a table's primary index, which no other can have.
const PRIMARY: &str = "PRIMARY";

/// A table's keys, best first; after the first column of a primary key of several, all of them. And the
/// primary key, where it is not among them.
pub(super) async fn keys(
    base: &Base,
    link: &mut Link,
    relation: &Relation,
    columns: &[Described],
) -> crate::source::Result<(Vec<Key>, Option<UnusableKey>)> {
    let visible = match (&base.server, base.server.mariadb) {
        (server, true) if server.since(10, 6, 0) => " AND IGNORED = 'NO'",
        (server, false) if server.since(8, 0, 0) => " AND IS_VISIBLE = 'YES'",
        _ => "",
    };
    let sql = format!(
        "SELECT INDEX_NAME, NON_UNIQUE, COLUMN_NAME, SUB_PART FROM information_schema.STATISTICS \
         WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {} AND INDEX_TYPE = 'BTREE'{visible} \
         ORDER BY INDEX_NAME <> '{PRIMARY}', NON_UNIQUE, INDEX_NAME, SEQ_IN_INDEX",
        quote_text(&relation.schema),
        quote_text(&relation.name)
    );
    let subject = Subject::of(base.connector.account(), relation, None);
    let rows = link.texts(&subject, &sql).await?;
    let entries: Vec<Entry> = rows.iter().map(Entry::of_row).collect();
    let indexes = entries.chunk_by(|one, next| one.index == next.index);
    let index = |entries: &[Entry]| Index {
        primary: entries[0].index == PRIMARY,
        unique: entries[0].unique,
        places: entries.iter().map(|entry| entry.place(columns)).collect(),
    };
    Ok(indexes::keys(&indexes.map(index).collect::<Vec<_>>()))
}

/// How bounds of a column are compared.
fn order(column: &Described) -> Result<KeyOrder, KeyDefect> {
    if !column.ordered {
        return Err(KeyDefect::NoOrder);
    }
    let cast = match &column.storage {
        Storage::Integer { .. } | Storage::Year => return Ok(KeyOrder::Integer),
        Storage::Decimal { .. } => "decimal",
        Storage::Date => "date",
        Storage::DateTime { .. } => "datetime",
        Storage::Timestamp { .. } => "timestamp",
        Storage::Time { .. } => "time",
        Storage::Text | Storage::Legacy(_) => {
            let collation = column.collation.clone().ok_or(KeyDefect::NoOrder)?;
            return Ok(KeyOrder::Server {
                cast: Some("text".to_owned()),
                collation: Some(collation),
                operators: None,
            });
        }
        Storage::Bytes => "binary",
        Storage::Float | Storage::Double | Storage::Bit(_) | Storage::Json => {
            return Err(KeyDefect::NoOrder);
        }
        // `<` and the index order UUIDs of several versions differently (10.11.19): a range would
        // lose rows.
        Storage::Uuid => return Err(KeyDefect::TwoOrders),
    };
    Ok(KeyOrder::Server {
        cast: Some(cast.to_owned()),
        collation: None,
        operators: None,
    })
}
