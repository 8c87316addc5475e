//! Which keys a table has: the leading columns of its row-store indexes, and its primary key as a whole.

use super::super::Result;
use super::super::indexes::{self, Index, Indexed, Place};
use super::Base;
use super::catalog::Described;
use super::classify::Subject;
use super::connect::{Link, Texts};
use super::sql::Statement;
use super::types::Storage;
use crate::model::{Key, KeyDefect, KeyOrder, Relation, UnusableKey};

/// A column at a place of an index.
struct Entry {
    index: String,
    primary: bool,
    unique: bool,
    column: u32,
}

impl Entry {
    fn of_row(row: &Texts) -> Option<Self> {
        let text = |index: usize| row.get(index)?.as_deref();
        Some(Self {
            index: text(0)?.to_owned(),
            primary: text(1) == Some("1"),
            unique: text(2) == Some("1"),
            column: text(3)?.parse().ok()?,
        })
    }

    fn place(&self, columns: &[Described]) -> Place {
        let column = columns.iter().find(|column| column.id == self.column)?;
        Some(Indexed {
            column: column.name.clone(),
            source_type: column.declared.shown(),
            not_null: column.not_null,
            order: order(column).ok_or(KeyDefect::NoOrder),
        })
    }
}

/// A table's keys, best first; after the first column of a primary key of several, all of them. And the
/// primary key, where it is not among them.
pub(super) async fn keys(
    base: &Base,
    link: &mut Link,
    relation: &Relation,
    columns: &[Described],
) -> Result<(Vec<Key>, Option<UnusableKey>)> {
    // Clustered and plain indexes of the whole table; of a filtered one rows are missing.
    let sql = "SELECT i.index_id, CAST(i.is_primary_key AS int), CAST(i.is_unique AS int), \
               x.column_id FROM sys.indexes AS i \
               JOIN sys.index_columns AS x \
               ON x.object_id = i.object_id AND x.index_id = i.index_id \
               JOIN sys.objects AS o ON o.object_id = i.object_id \
               JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
               WHERE s.name = @P1 AND o.name = @P2 AND i.type IN (1, 2) \
               AND i.is_disabled = 0 AND i.is_hypothetical = 0 AND i.has_filter = 0 \
               AND x.key_ordinal > 0 \
               ORDER BY i.is_primary_key DESC, i.is_unique DESC, i.index_id, x.key_ordinal";
    let statement = Statement::with_texts(sql, &[&relation.schema, &relation.name]);
    let subject = Subject::of(&base.server, relation, None);
    let rows = link.ask(&subject, &statement).await?;
    let entries: Vec<Entry> = rows.iter().filter_map(Entry::of_row).collect();
    let indexes = entries.chunk_by(|one, next| one.index == next.index);
    let index = |entries: &[Entry]| Index {
        primary: entries[0].primary,
        unique: entries[0].unique,
        places: entries.iter().map(|entry| entry.place(columns)).collect(),
    };
    Ok(indexes::keys(&indexes.map(index).collect::<Vec<_>>()))
}

/// How bounds of a column are compared: as values of its very type, in its collation.
fn order(column: &Described) -> Option<KeyOrder> {
    let shown = column.declared.shown();
    let (cast, collation) = match &column.storage {
        Storage::TinyInt | Storage::SmallInt | Storage::Int | Storage::BigInt => {
            return Some(KeyOrder::Integer);
        }
        Storage::Decimal { precision, scale } => (format!("decimal({precision},{scale})"), None),
        Storage::Bytes if shown == "rowversion" => ("binary(8)".to_owned(), None),
        Storage::Text { .. } => match column.declared.name.as_str() {
            "text" | "ntext" | "xml" => return None,
            "sysname" => ("nvarchar(128)".to_owned(), column.collation.clone()),
            _ => (shown, Some(column.collation.clone()?)),
        },
        Storage::Date
        | Storage::Time(_)
        | Storage::SmallDateTime
        | Storage::DateTime
        | Storage::DateTime2(_)
        | Storage::DateTimeOffset(_)
        | Storage::Money { .. }
        | Storage::Guid
        | Storage::Bytes => (shown, None),
        Storage::Bit
        | Storage::Real
        | Storage::Float
        | Storage::Image
        | Storage::Variant
        | Storage::Other => return None,
    };
    Some(KeyOrder::Server {
        cast: Some(cast),
        collation,
        operators: None,
    })
}
