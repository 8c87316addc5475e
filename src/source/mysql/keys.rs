//! Which keys a table has: the leading columns of its B-tree indexes, and its primary key as a whole.

use std::collections::BTreeSet;

use super::super::Result;
use super::Base;
use super::catalog::Described;
use super::classify::Subject;
use super::connect::{Link, Texts};
use super::sql::quote_text;
use super::types::Storage;
use crate::model::{Key, KeyColumn, KeyDefect, KeyOrder, Relation, UnusableKey};

/// A column at a place of an index.
struct Indexed {
    index: String,
    unique: bool,
    /// Absent for an expression.
    column: Option<String>,
    /// Only the column's beginning is indexed.
    partial: bool,
}

impl Indexed {
    fn of_row(row: &Texts) -> Self {
        let text = |index: usize| row.get(index).cloned().flatten();
        Self {
            index: text(0).unwrap_or_default(),
            unique: text(1).as_deref() == Some("0"),
            column: text(2),
            partial: text(3).is_some(),
        }
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
) -> Result<(Vec<Key>, Option<UnusableKey>)> {
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
    let indexed: Vec<Indexed> = rows.iter().map(Indexed::of_row).collect();
    let mut seen = BTreeSet::new();
    let mut keys = Vec::new();
    for index in indexed.chunk_by(|one, next| one.index == next.index) {
        let leading = leading(index, columns);
        if let Some(key) = leading.filter(|key| seen.insert(key.column.clone())) {
            keys.extend(
                [Some(key.clone()), whole(index, columns, key)]
                    .into_iter()
                    .flatten(),
            );
        }
    }
    // An index of one column that is unique comes before longer ones.
    keys.sort_by_key(|key| (!key.primary, !key.unique && key.rest.is_empty()));
    let primary = indexed.iter().find(|place| place.index == PRIMARY);
    let unusable = primary
        .filter(|_| !keys.iter().any(|key| key.primary))
        .and_then(|first| unusable(first, columns));
    Ok((keys, unusable))
}

/// The key that begins so, for which no bounds can be written.
fn unusable(first: &Indexed, columns: &[Described]) -> Option<UnusableKey> {
    let name = first.column.as_ref()?;
    let column = columns.iter().find(|column| column.name == *name)?;
    Some(UnusableKey {
        column: name.clone(),
        source_type: column.source_type.clone(),
        defect: match column.storage {
            Storage::Uuid => KeyDefect::TwoOrders,
            _ => KeyDefect::NoOrder,
        },
    })
}

fn find<'a>(place: &Indexed, columns: &'a [Described]) -> Option<&'a Described> {
    let name = place.column.as_ref().filter(|_| !place.partial)?;
    columns.iter().find(|column| column.name == *name)
}

fn leading(index: &[Indexed], columns: &[Described]) -> Option<Key> {
    let first = index.first()?;
    let column = find(first, columns)?;
    Some(Key {
        column: column.name.clone(),
        source_type: column.source_type.clone(),
        order: order(column)?,
        primary: first.index == PRIMARY,
        unique: first.unique && index.len() == 1,
        nullable: !column.not_null,
        rest: Vec::new(),
    })
}

/// All columns of a primary key of several, where each has an order.
fn whole(index: &[Indexed], columns: &[Described], first: Key) -> Option<Key> {
    let rest = index
        .get(1..)
        .filter(|rest| first.primary && !rest.is_empty())?;
    let rest: Option<Vec<KeyColumn>> = rest
        .iter()
        .map(|place| {
            let column = find(place, columns)?;
            Some(KeyColumn {
                column: column.name.clone(),
                order: order(column)?,
            })
        })
        .collect();
    Some(Key {
        unique: true,
        rest: rest?,
        ..first
    })
}

/// How bounds of a column are compared.
fn order(column: &Described) -> Option<KeyOrder> {
    column.ordered.then_some(())?;
    let cast = match &column.storage {
        Storage::Integer { .. } | Storage::Year => return Some(KeyOrder::Integer),
        Storage::Decimal { .. } => "decimal",
        Storage::Date => "date",
        Storage::DateTime { .. } => "datetime",
        Storage::Timestamp { .. } => "timestamp",
        Storage::Time { .. } => "time",
        Storage::Text | Storage::Legacy(_) => {
            return Some(KeyOrder::Server {
                cast: Some("text".to_owned()),
                collation: Some(column.collation.clone()?),
                operators: None,
            });
        }
        Storage::Bytes => "binary",
        Storage::Float | Storage::Double | Storage::Bit(_) | Storage::Json => return None,
        // `<` and the index order UUIDs of several versions differently (10.11.19): a range would
        // lose rows.
        Storage::Uuid => return None,
    };
    Some(KeyOrder::Server {
        cast: Some(cast.to_owned()),
        collation: None,
        operators: None,
    })
}
