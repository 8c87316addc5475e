//! The keys that a table's rows are stored by: the rowid, or the primary key of a table without one.

use rusqlite::Connection;

use super::catalog::{Declared, Listed};
use crate::model::{Key, KeyColumn, KeyOrder, Relation};

/// Collations that are SQLite's own, and that ranges can be read in on any connection. (`RTRIM` is,
/// too, but what it takes for equal is spelt in many ways.)
const COLLATIONS: &[&str] = &["BINARY", "NOCASE"];

/// A table's keys, best first. None may be NULL.
pub(super) fn keys(
    connection: &Connection,
    relation: &Relation,
    listed: &Listed,
    columns: &[Declared],
) -> rusqlite::Result<Vec<Key>> {
    if listed.without_rowid {
        return stored_key(connection, relation, listed, columns);
    }
    let mut primary = columns.iter().filter(|column| column.primary > 0);
    if let (Some(column), None) = (primary.next(), primary.next())
        && column.declared.eq_ignore_ascii_case("INTEGER")
        && primary_index(connection, relation)?.is_none()
    {
        return Ok(vec![Key {
            source_type: column.declared.clone(),
            primary: true,
            ..integer(&column.name)
        }]);
    }
    let free = ["rowid", "_rowid_", "oid"].into_iter().find(|spelling| {
        columns
            .iter()
            .all(|column| !column.name.eq_ignore_ascii_case(spelling))
    });
    Ok(free.map(integer).into_iter().collect())
}

/// A row's number.
fn integer(name: &str) -> Key {
    Key {
        column: name.to_owned(),
        source_type: "INTEGER".to_owned(),
        order: KeyOrder::Integer,
        primary: false,
        unique: true,
        nullable: false,
        rest: Vec::new(),
    }
}

/// The first column of the primary key, and all of them where there are several. SQLite lets none
/// be NULL in a table without a rowid.
fn stored_key(
    connection: &Connection,
    relation: &Relation,
    listed: &Listed,
    columns: &[Declared],
) -> rusqlite::Result<Vec<Key>> {
    let Some(index) = primary_index(connection, relation)? else {
        return Ok(Vec::new());
    };
    let indexed = indexed(connection, &index)?;
    let of = |place: &Indexed| -> Option<(&Declared, KeyOrder)> {
        let column = columns.iter().find(|column| column.name == place.column)?;
        // Without STRICT an INTEGER column may hold text, which no range of integers contains; and
        // of several columns the first may repeat, which integers that are counted by must not.
        let integers = listed.strict
            && indexed.len() == 1
            && ["INT", "INTEGER"]
                .iter()
                .any(|name| column.declared.eq_ignore_ascii_case(name));
        let order = if integers {
            KeyOrder::Integer
        } else {
            let known = COLLATIONS
                .iter()
                .find(|known| place.collation.eq_ignore_ascii_case(known))?;
            KeyOrder::Server {
                cast: None,
                collation: Some((*known).to_owned()),
            }
        };
        Some((column, order))
    };
    let places: Option<Vec<(&Declared, KeyOrder)>> = indexed.iter().map(of).collect();
    let Some(((first, order), rest)) = places.as_deref().and_then(<[_]>::split_first) else {
        return Ok(Vec::new());
    };
    let single = Key {
        source_type: first.declared.clone(),
        order: order.clone(),
        primary: true,
        unique: rest.is_empty(),
        ..integer(&first.name)
    };
    let mut keys = vec![single.clone()];
    // Rows of columns in different directions are in no order that a row comparison knows.
    if !rest.is_empty() && indexed.iter().all(|place| !place.descending) {
        keys.push(Key {
            unique: true,
            rest: rest
                .iter()
                .map(|(column, order)| KeyColumn {
                    column: column.name.clone(),
                    order: order.clone(),
                })
                .collect(),
            ..single
        });
    }
    Ok(keys)
}

/// The index of the primary key, where it has one of its own: an alias of the rowid has none, unless
/// it was declared `INTEGER PRIMARY KEY DESC`, by a mistake that SQLite keeps for compatibility.
fn primary_index(connection: &Connection, relation: &Relation) -> rusqlite::Result<Option<String>> {
    let mut statement =
        connection.prepare("SELECT name FROM pragma_index_list(?1, ?2) WHERE origin = 'pk'")?;
    let mut names = statement.query_map([&relation.name, &relation.schema], |row| row.get(0))?;
    names.next().transpose()
}

/// A column of an index.
struct Indexed {
    column: String,
    descending: bool,
    collation: String,
}

/// The key columns of an index, in its order.
fn indexed(connection: &Connection, index: &str) -> rusqlite::Result<Vec<Indexed>> {
    let mut statement = connection.prepare(
        "SELECT name, \"desc\", coll FROM pragma_index_xinfo(?1, 'main') WHERE key ORDER BY seqno",
    )?;
    let rows = statement.query_map([index], |row| {
        Ok(Indexed {
            column: row.get(0)?,
            descending: row.get(1)?,
            collation: row.get(2)?,
        })
    })?;
    rows.collect()
}
