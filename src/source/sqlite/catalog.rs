//! What the schema says: tables by the names users write, their columns and keys.

use rusqlite::Connection;

use super::failure::translate;
use super::keys;
use super::query;
use super::sql::{self, Part, Reading};
use super::types::Storage;
use crate::model::nearest;
use crate::model::{
    Column, ColumnOptions, FieldType, Key, QUERY_SCHEMA, ReadAs, ReadSpec, Relation, RelationKind,
    Selection, Table, TypeOptions,
};
use crate::source::resolve::wild::{self, Catalogue};
use crate::source::{Result, SourceError};

/// The only schema a database file has: temporary tables belong to connections.
const SCHEMA: &str = "main";

/// A relation as `PRAGMA table_list` has it.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    name: String,
    kind: RelationKind,
    /// What a virtual table keeps its rows in.
    shadow: bool,
    pub(super) without_rowid: bool,
    pub(super) strict: bool,
}

/// A column as `PRAGMA table_xinfo` has it.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) declared: String,
    pub(super) not_null: bool,
    /// Position in the primary key from 1; 0 outside it.
    pub(super) primary: u32,
    pub(super) generated: Option<&'static str>,
}

/// Resolves the name and describes the selected columns.
pub(super) fn describe(
    connection: &Connection,
    database: &str,
    table: &str,
    selection: &Selection,
    types: &TypeOptions,
) -> Result<Table> {
    let (relation, kind, all, keys, unusable_key) = match selection.query.as_deref() {
        Some(text) => {
            let relation = Relation {
                schema: QUERY_SCHEMA.to_owned(),
                name: table.to_owned(),
            };
            let all = query::columns(connection, &relation, text)?;
            (relation, RelationKind::Query, all, Vec::new(), None)
        }
        None => {
            let listed = resolve(connection, database, table)?;
            let relation = Relation {
                schema: SCHEMA.to_owned(),
                name: listed.name.clone(),
            };
            let (all, keys) = columns_and_keys(connection, &relation, &listed)?;
            let unusable = keys::unusable(&listed, &all, &keys);
            (relation, listed.kind, all, keys, unusable)
        }
    };
    let keep = selected(&relation, &all, selection)?;
    let options = types.of_columns(all.len(), |name| find(&relation, &all, name))?;
    let never_null: Vec<&str> = keys
        .iter()
        .filter(|key| key.primary)
        .flat_map(|key| key.columns().map(|(name, _)| name))
        .collect();
    let columns: Vec<Column> = all
        .iter()
        .zip(options)
        .zip(&keep)
        .filter(|(_, keep)| **keep)
        .map(|((declared, options), _)| {
            let promised = declared.not_null || never_null.contains(&declared.name.as_str());
            column(declared, options, kind == RelationKind::Table && promised)
        })
        .collect::<Result<_>>()?;
    if columns.is_empty() {
        return Err(SourceError::nothing_to_read(&relation, all.is_empty()));
    }
    Ok(Table {
        relation,
        kind,
        query: selection.query.clone(),
        columns,
        keys,
        unusable_key,
        filter: selection.filter.clone(),
    })
}

/// All columns and the key of a relation whose exact name is known, as they are now.
///
/// # Errors
/// [`SourceError::PlanMismatch`] when it is gone, or when a column is not what the plan says.
pub(super) fn recheck(connection: &Connection, read: &ReadSpec) -> Result<Vec<Key>> {
    let relation = &read.relation;
    let mismatch = |why: String| SourceError::PlanMismatch {
        table: relation.to_string(),
        why,
    };
    let (now, keys) = match read.query.as_deref() {
        Some(text) => (query::columns(connection, relation, text)?, Vec::new()),
        None => {
            let listed = list(connection, &relation.to_string())?
                .into_iter()
                .find(|listed| listed.name == relation.name)
                .ok_or_else(|| mismatch("it is gone".to_owned()))?;
            columns_and_keys(connection, relation, &listed)?
        }
    };
    for column in &read.columns {
        let declared = now
            .iter()
            .find(|declared| declared.name == column.name)
            .ok_or_else(|| mismatch(format!("column {} is gone", column.name)))?;
        if declared.declared != column.source_type {
            return Err(mismatch(format!(
                "column {} was declared {:?} and is now {:?}",
                column.name, column.source_type, declared.declared
            )));
        }
    }
    Ok(keys)
}

fn columns_and_keys(
    connection: &Connection,
    relation: &Relation,
    listed: &Listed,
) -> Result<(Vec<Declared>, Vec<Key>)> {
    let wrong = |error: rusqlite::Error| translate(&error, &relation.to_string());
    let columns = declared(connection, relation).map_err(wrong)?;
    let keys = match listed.kind {
        RelationKind::Table => keys::keys(connection, relation, listed, &columns).map_err(wrong)?,
        _ => Vec::new(),
    };
    Ok((columns, keys))
}

/// Every relation of the users' own, for names with wild characters.
pub(super) fn catalogue(connection: &Connection, database: &str) -> Result<Catalogue> {
    let listed = list(connection, database)?.into_iter();
    // Those are SQLite's own, and what virtual tables keep their rows in.
    let own = |listed: &Listed| !listed.name.starts_with("sqlite_") && !listed.shadow;
    let relations = listed.filter(own).map(|listed| wild::Listed {
        relation: Relation {
            schema: SCHEMA.to_owned(),
            name: listed.name,
        },
        kind: listed.kind,
        place: Some(0),
        parents: Vec::new(),
    });
    Ok(Catalogue {
        database: database.to_owned(),
        quotes: &[('"', '"'), ('`', '`'), ('[', ']')],
        relations: relations.collect(),
    })
}

fn list(connection: &Connection, object: &str) -> Result<Vec<Listed>> {
    let ask = || {
        let mut statement = connection.prepare(
            "SELECT name, type, wr, strict FROM pragma_table_list WHERE schema = 'main' ORDER BY name",
        )?;
        let rows = statement.query_map([], |row| {
            let kind: String = row.get(1)?;
            Ok(Listed {
                name: row.get(0)?,
                shadow: kind == "shadow",
                kind: match kind.as_str() {
                    "view" => RelationKind::View,
                    // What answers is a module, not a b-tree of this file.
                    "virtual" => RelationKind::ForeignTable,
                    _ => RelationKind::Table,
                },
                without_rowid: row.get(2)?,
                strict: row.get(3)?,
            })
        })?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    ask().map_err(|error| translate(&error, object))
}

/// Finds the relation a user means: each reading of the name exactly, then by SQLite's own folding
/// of ASCII case.
fn resolve(connection: &Connection, database: &str, table: &str) -> Result<Listed> {
    let relations = list(connection, database)?;
    let readings: Vec<Reading> = sql::readings(table)
        .into_iter()
        .filter(|reading| {
            let schema = reading.schema.as_ref();
            schema.is_none_or(|schema| fits(schema, SCHEMA))
        })
        .collect();
    for reading in &readings {
        let exact = relations
            .iter()
            .find(|listed| listed.name == reading.name.text);
        if let Some(found) = exact {
            return Ok(found.clone());
        }
        // SQLite keeps names unique without regard to case, so there is at most one.
        let folded = relations
            .iter()
            .find(|listed| fits(&reading.name, &listed.name));
        if let Some(found) = folded {
            return Ok(found.clone());
        }
    }
    let names = relations
        .iter()
        .map(|listed| listed.name.as_str())
        .filter(|name| !name.starts_with("sqlite_"))
        .map(|name| (name, name));
    let wanted = readings
        .first()
        .map_or(table, |reading| reading.name.text.as_str());
    Err(SourceError::TableMissing {
        table: table.to_owned(),
        source_name: database.to_owned(),
        near: nearest(wanted, names),
    })
}

fn fits(part: &Part, name: &str) -> bool {
    if part.literal {
        part.text == name
    } else {
        part.text.eq_ignore_ascii_case(name)
    }
}

/// The columns of a relation, hidden ones of modules left out.
pub(super) fn declared(
    connection: &Connection,
    relation: &Relation,
) -> rusqlite::Result<Vec<Declared>> {
    let mut statement = connection.prepare(
        "SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo(?1, ?2) \
         WHERE hidden <> 1 ORDER BY cid",
    )?;
    let rows = statement.query_map([&relation.name, &relation.schema], |row| {
        let hidden: u32 = row.get(4)?;
        Ok(Declared {
            name: row.get(0)?,
            declared: row.get(1)?,
            not_null: row.get(2)?,
            primary: row.get(3)?,
            generated: match hidden {
                2 => Some("generated virtual"),
                3 => Some("generated stored"),
                _ => None,
            },
        })
    })?;
    rows.collect()
}

/// Finds a column as the user wrote it: exactly, then without regard to ASCII case.
fn find(relation: &Relation, columns: &[Declared], wanted: &str) -> Result<usize> {
    columns
        .iter()
        .position(|column| column.name == wanted)
        .or_else(|| {
            columns
                .iter()
                .position(|column| column.name.eq_ignore_ascii_case(wanted))
        })
        .ok_or_else(|| SourceError::ColumnMissing {
            column: wanted.to_owned(),
            table: relation.to_string(),
            near: nearest(
                wanted,
                columns
                    .iter()
                    .map(|column| (column.name.as_str(), column.name.as_str())),
            ),
        })
}

/// Which columns the user wants, by position.
fn selected(relation: &Relation, all: &[Declared], selection: &Selection) -> Result<Vec<bool>> {
    let mut keep = vec![selection.columns.is_empty(); all.len()];
    for wanted in &selection.columns {
        keep[find(relation, all, wanted)?] = true;
    }
    for unwanted in &selection.exclude {
        keep[find(relation, all, unwanted)?] = false;
    }
    Ok(keep)
}

fn column(declared: &Declared, options: ColumnOptions<'_>, promised: bool) -> Result<Column> {
    let natural = Storage::of_declared(&declared.declared);
    let field = options
        .wanted
        .map_or_else(|| natural.field(), |wanted| wanted.field.clone());
    let lossy = options.wanted.is_some_and(|wanted| wanted.lossy);
    if !natural.can_be(&field, lossy) {
        return Err(refusal(declared, natural, &field));
    }
    Ok(Column {
        name: declared.name.clone(),
        source_type: declared.declared.clone(),
        base_type: natural.name().to_owned(),
        read: ReadAs::Native,
        lossy: lossy && field != natural.field() && field != FieldType::Utf8,
        field,
        nullable: !(promised && options.on_unrepresentable.is_fail()),
        comment: None,
        generated: declared.generated.map(str::to_owned),
        on_unrepresentable: options.on_unrepresentable,
    })
}

fn refusal(declared: &Declared, natural: Storage, field: &FieldType) -> SourceError {
    let name = &declared.name;
    let what = format!("column {name} cannot be written as {field}");
    if natural.can_be(field, true) {
        return SourceError::Unsupported {
            what: format!("{what} without losing something"),
            why: format!("{field} can only come near to what it holds"),
            fix: format!("allow that with --lossy {name}={field}, or leave out --type {name}"),
        };
    }
    SourceError::Unsupported {
        what,
        why: format!(
            "it holds {} by its declaration, which is written as {}",
            natural.name(),
            natural.field()
        ),
        fix: format!("use --type {name}=text, or leave --type out"),
    }
}
