//! The keys that a table's rows are stored by: the rowid, or the primary key of a table without one.
//! Where rows cannot be asked for by either, because columns bear all names of the rowid or because
//! the primary key is in a strange order, the keys of the table's unique indexes.

use rusqlite::{Connection, OptionalExtension};

use super::catalog::{Declared, Listed, declared};
use crate::model::{Key, KeyColumn, KeyDefect, KeyOrder, Relation, UnusableKey};

/// Collations that are SQLite's own, and that ranges can be read in on any connection.
const COLLATIONS: &[&str] = &["BINARY", "NOCASE", "RTRIM"];

/// A table's keys, best first.
pub(super) fn keys(
    connection: &Connection,
    relation: &Relation,
    listed: &Listed,
    columns: &[Declared],
) -> rusqlite::Result<Vec<Key>> {
    let keys = stored_keys(connection, relation, listed, columns)?;
    if !keys.is_empty() {
        return Ok(keys);
    }
    let indexes = unique_indexes(connection, relation, columns)?;
    Ok(indexes.into_iter().flat_map(|index| index.keys).collect())
}

/// The primary key that rows are stored by, where it is not among the table's keys.
pub(super) fn unusable(listed: &Listed, columns: &[Declared], keys: &[Key]) -> Option<UnusableKey> {
    let hidden = listed.without_rowid && !keys.iter().any(|key| key.primary);
    let first = columns.iter().find(|column| column.primary == 1);
    first.filter(|_| hidden).map(|column| UnusableKey {
        column: column.name.clone(),
        source_type: column.declared.clone(),
        defect: KeyDefect::NoOrder,
    })
}

/// Whether a key is what a table's rows are stored by, and not that of an index beside them.
pub(super) fn is_stored(key: &Key) -> bool {
    // Any other key may hold text, and so is none of integers.
    key.primary || key.is_integer()
}

/// The page that the b-tree of a key begins with which is no rowid, where there is one.
pub(super) fn root_page(
    connection: &Connection,
    relation: &Relation,
    key: &Key,
) -> rusqlite::Result<Option<u32>> {
    let name = if is_stored(key) {
        Some(relation.name.clone())
    } else {
        unique_indexes(connection, relation, &declared(connection, relation)?)?
            .into_iter()
            .find(|index| index.keys.contains(key))
            .map(|index| index.name)
    };
    let Some(name) = name else {
        return Ok(None);
    };
    connection
        .query_row(
            "SELECT rootpage FROM main.sqlite_schema WHERE name = ?1 AND type IN ('table', 'index')",
            [name],
            |row| row.get(0),
        )
        .optional()
}

/// The keys that the rows are stored by. None may be NULL.
fn stored_keys(
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
    let Some(indexed) = indexed(connection, &index)? else {
        return Ok(Vec::new());
    };
    // Without STRICT an INTEGER column may hold text, which no range of integers contains; and of
    // several columns the first may repeat, which integers that are counted by must not.
    let integers = |column: &Declared| {
        listed.strict
            && indexed.len() == 1
            && ["INT", "INTEGER"]
                .iter()
                .any(|name| column.declared.eq_ignore_ascii_case(name))
    };
    let keys = keys_of(&indexed, columns, |column, order| {
        if integers(column) {
            Some(KeyOrder::Integer)
        } else {
            order
        }
    });
    let primary = |key| Key {
        primary: true,
        nullable: false,
        ..key
    };
    Ok(keys.into_iter().map(primary).collect())
}

/// The first column of an index, and all of them where there are several: NULL at most where a
/// column may be, and in the order that `order` makes of the index's own.
fn keys_of(
    indexed: &[Indexed],
    columns: &[Declared],
    order: impl Fn(&Declared, Option<KeyOrder>) -> Option<KeyOrder>,
) -> Vec<Key> {
    let of = |place: &Indexed| -> Option<(&Declared, KeyOrder)> {
        let column = columns.iter().find(|column| column.name == place.column)?;
        let known = COLLATIONS
            .iter()
            .find(|known| place.collation.eq_ignore_ascii_case(known));
        let own = known.map(|known| KeyOrder::Server {
            cast: None,
            collation: Some((*known).to_owned()),
            operators: None,
        });
        Some((column, order(column, own)?))
    };
    let places: Option<Vec<(&Declared, KeyOrder)>> = indexed.iter().map(of).collect();
    let Some(((first, order), rest)) = places.as_deref().and_then(<[_]>::split_first) else {
        return Vec::new();
    };
    let single = Key {
        source_type: first.declared.clone(),
        order: order.clone(),
        unique: rest.is_empty(),
        nullable: !first.not_null,
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
    keys
}

/// A unique index of all rows and its keys.
struct Unique {
    name: String,
    keys: Vec<Key>,
}

/// The unique indexes that ranges can be read by, the best first. A partial index lacks rows, and
/// what an expression gives is no column's value.
fn unique_indexes(
    connection: &Connection,
    relation: &Relation,
    columns: &[Declared],
) -> rusqlite::Result<Vec<Unique>> {
    let mut statement = connection.prepare(
        "SELECT name FROM pragma_index_list(?1, ?2) WHERE \"unique\" AND NOT partial ORDER BY name",
    )?;
    let names = statement
        .query_map([&relation.name, &relation.schema], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    let mut found: Vec<Unique> = Vec::new();
    for name in names {
        let Some(indexed) = indexed(connection, &name)? else {
            continue;
        };
        let mut keys = keys_of(&indexed, columns, |_, order| order);
        // Of several columns only the first has NULLs in a chunk of their own.
        let null = |place: &Indexed| {
            !columns
                .iter()
                .any(|column| column.name == place.column && column.not_null)
        };
        keys.truncate(1 + usize::from(!indexed.iter().any(null)));
        let taken = |key: &Key| {
            found
                .iter()
                .flat_map(|known| &known.keys)
                .any(|known| known.column == key.column)
        };
        if keys.first().is_some_and(|key| !taken(key)) {
            found.push(Unique { name, keys });
        }
    }
    found.sort_by_key(|index| {
        let first = index.keys.first();
        first.map(|key| (!key.unique, key.nullable))
    });
    Ok(found)
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

/// The key columns of an index, in its order; `None` where one is no column.
fn indexed(connection: &Connection, index: &str) -> rusqlite::Result<Option<Vec<Indexed>>> {
    let mut statement = connection.prepare(
        "SELECT name, \"desc\", coll FROM pragma_index_xinfo(?1, 'main') WHERE key ORDER BY seqno",
    )?;
    let rows = statement.query_map([index], |row| {
        let column: Option<String> = row.get(0)?;
        let (descending, collation) = (row.get(1)?, row.get(2)?);
        Ok(column.map(|column| Indexed {
            column,
            descending,
            collation,
        }))
    })?;
    rows.collect()
}
