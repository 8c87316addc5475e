//! Watermarks of SQLite, whose values carry their own type.

use std::cmp::Ordering;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::super::dialect::{Dialect, from_item, quote_identifier};
use super::super::{Result, SourceError};
use super::{failure, sql};
use crate::model::{KeyValue, Table, Watermark};

/// The highest value that a watermark has now, among the rows that pass the table's filter.
pub(super) fn newest(
    connection: &Connection,
    table: &Table,
    mark: &Watermark,
) -> Result<Option<KeyValue>> {
    let from = from_item(&table.relation, table.query.as_deref());
    let filter = table.filter.as_deref();
    let column = quote_identifier(&mark.column);
    let highest = format!(
        "SELECT max({column} COLLATE BINARY) FROM {from}{}",
        sql::where_clause(None, filter)
    );
    let wrong = |error| failure::translate(&error, &table.relation.to_string());
    connection
        .query_row(&highest, [], |row| Ok(value(row.get_ref(0)?)))
        .map_err(wrong)?
        .ok_or_else(|| SourceError::Unsupported {
            what: format!("no window of {} can end here", table.relation),
            why: format!(
                "the highest {} is a blob, or text that is no UTF-8",
                mark.column
            ),
            fix: "leave such rows out with --where, or correct them".to_owned(),
        })
}

/// A value that SQLite gave; `None` of a kind that no bound is of.
fn value(found: ValueRef<'_>) -> Option<Option<KeyValue>> {
    match found {
        ValueRef::Null => Some(None),
        ValueRef::Integer(value) => Some(Some(KeyValue::Int(value.into()))),
        ValueRef::Real(value) => Some(Some(KeyValue::typed("real", format!("{value:?}")))),
        ValueRef::Text(bytes) => {
            let text = std::str::from_utf8(bytes).ok()?;
            Some(Some(KeyValue::typed("text", text)))
        }
        ValueRef::Blob(_) => None,
    }
}

/// A value that a person wrote, of the type that the column's values have.
pub(super) fn read(
    table: &Table,
    mark: &Watermark,
    text: &str,
    like: Option<&KeyValue>,
) -> Result<KeyValue> {
    let wrong = |what: &str| SourceError::Statement {
        object: table.relation.to_string(),
        why: format!(
            "'{text}' is no {what}, and the values of {} are",
            mark.column
        ),
    };
    match like {
        Some(KeyValue::Int(_)) => match text.parse::<i64>() {
            Ok(value) => Ok(KeyValue::Int(value.into())),
            Err(_) => Err(wrong("integer")),
        },
        Some(KeyValue::Typed { kind, .. }) if kind == "real" => match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(KeyValue::typed("real", format!("{value:?}"))),
            _ => Err(wrong("number")),
        },
        _ => Ok(KeyValue::typed("text", text)),
    }
}

/// Which of two values comes first.
pub(super) fn order(
    connection: &Connection,
    table: &Table,
    one: &KeyValue,
    other: &KeyValue,
) -> Result<Ordering> {
    if one == other {
        return Ok(Ordering::Equal);
    }
    let object = table.relation.to_string();
    let below = Dialect::Sqlite
        .is_below(one, other)
        .map_err(|error| SourceError::Statement {
            object: object.clone(),
            why: error.to_string(),
        })?;
    let below: bool = connection
        .query_row(&format!("SELECT {below}"), [], |row| row.get(0))
        .map_err(|error| failure::translate(&error, &object))?;
    Ok(if below {
        Ordering::Less
    } else {
        Ordering::Greater
    })
}
