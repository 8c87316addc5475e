//! `--query`: what a statement would return, without running it.

use rusqlite::{Connection, Error, ErrorCode, Statement};

use super::catalog::Declared;
use super::failure::{one_line, translate};
use super::file::forbid_text_in_double_quotes;
use crate::model::{Relation, RelationKind};
use crate::source::dialect::from_item;
use crate::source::{Result, SourceError, duplicate_columns};

/// The columns of a query, each with the declared type of the column that it shows, if it does
/// nothing but that.
///
/// # Errors
/// [`SourceError::Query`] for anything but one statement that reads; SQLite's own words where it
/// does not understand it.
pub(super) fn columns(
    connection: &Connection,
    relation: &Relation,
    text: &str,
) -> Result<Vec<Declared>> {
    let wrong = |error: Error| translate(&error, &relation.to_string());
    // The connection is the catalogue's too, for which a view may say what a query may not.
    forbid_text_in_double_quotes(connection, RelationKind::Query).map_err(wrong)?;
    let columns = examine(connection, relation, text);
    forbid_text_in_double_quotes(connection, RelationKind::View).map_err(wrong)?;
    columns
}

fn examine(connection: &Connection, relation: &Relation, text: &str) -> Result<Vec<Declared>> {
    let refused = |why: String, fix: &str| SourceError::Query {
        name: relation.name.clone(),
        why,
        fix: fix.to_owned(),
    };
    let compile = |sql: &str| {
        connection.prepare(sql).map_err(|error| match error {
            Error::SqlInputError { msg, .. } => refused(msg, "correct the statement of --query"),
            Error::MultipleStatement => refused(
                "it holds several statements".to_owned(),
                "pass one SELECT statement; parts of it may be named with WITH",
            ),
            // A mistake that is in no place of the text, such as a table that is not there.
            error if error.sqlite_error_code() == Some(ErrorCode::Unknown) => {
                refused(one_line(&error), "correct the statement of --query")
            }
            error => translate(&error, &relation.to_string()),
        })
    };
    // By itself first: it must be whole before it is put between parentheses of ours.
    let alone = compile(text)?;
    if !alone.readonly() || alone.column_count() == 0 {
        return Err(refused(
            "it is no statement that only reads".to_owned(),
            "pass one SELECT statement",
        ));
    }
    if alone.parameter_count() > 0 {
        return Err(refused(
            "it holds a place holder (? or :name) that nothing fills".to_owned(),
            "write {NAME} and pass --param NAME=TEXT",
        ));
    }
    let columns = declared(&alone);
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    if let Some(why) = duplicate_columns(&names) {
        return Err(refused(why, "give every column a name of its own with AS"));
    }
    let inside = compile(&format!(
        "SELECT * FROM {}",
        from_item(relation, Some(text))
    ))?;
    // SQLite promises names only for columns that are given one.
    if let Some(unnamed) = names
        .iter()
        .zip(inside.column_names())
        .find_map(|(name, inside)| (name != inside).then_some(name))
    {
        return Err(refused(
            format!("its column {unnamed} has no name of its own"),
            "give every column a name of its own with AS",
        ));
    }
    Ok(columns)
}

fn declared(statement: &Statement<'_>) -> Vec<Declared> {
    statement
        .columns()
        .map(|column| Declared {
            name: column.name().to_owned(),
            declared: column.decl_type().unwrap_or_default().to_owned(),
            not_null: false,
            primary: 0,
            generated: None,
        })
        .collect()
}
