//! Watermarks: which columns can be one, and how far their values go now.

use std::cmp::Ordering;

use super::super::dialect::{Dialect, from_item, quote_identifier, where_clause};
use super::super::mark::BYTEWISE;
use super::super::{Result, mark as marks};
use super::Base;
use super::classify::Subject;
use super::connect::BEGIN_LOOK;
use super::shared::OUTPUT;
use crate::model::{Column, KeyValue, MarkKind, Table, Watermark};

/// What the values of a column are, where windows can be cut on it.
pub(super) fn kind(base: &Base, column: &Column) -> Option<MarkKind> {
    Some(match column.base_type.as_str() {
        "int2" | "int4" | "int8" => MarkKind::Integer,
        "numeric" => MarkKind::Decimal,
        "date" => MarkKind::Date,
        "timestamp" => MarkKind::Timestamp,
        "timestamptz" => MarkKind::TimestampTz,
        // Of a database without an encoding, text may be of bytes that no literal can say.
        "text" | "varchar" if !base.bytes_as_text => MarkKind::Text,
        _ => return None,
    })
}

/// The server's name for a kind, in `pg_catalog`.
fn type_name(kind: MarkKind) -> &'static str {
    match kind {
        MarkKind::Integer => "int8",
        MarkKind::Decimal => "numeric",
        MarkKind::Date => "date",
        MarkKind::Timestamp => "timestamp",
        MarkKind::TimestampTz => "timestamptz",
        MarkKind::Text | MarkKind::Stored | MarkKind::RowVersion => "text",
    }
}

/// A value as text, alike for all that are equal.
fn as_text(kind: MarkKind, value: &str) -> String {
    match kind {
        MarkKind::Decimal => format!("pg_catalog.trim_scale({value})::pg_catalog.text"),
        _ => format!("({value})::pg_catalog.text"),
    }
}

/// The highest value that a watermark has now, among the table's rows that pass its filter.
pub(super) async fn newest(
    base: &Base,
    table: &Table,
    mark: &Watermark,
) -> Result<Option<KeyValue>> {
    let column = quote_identifier(&mark.column);
    let compared = match mark.kind {
        MarkKind::Text => format!("{column}::pg_catalog.text {BYTEWISE}"),
        _ => column,
    };
    let sql = format!(
        "SELECT {} FROM (SELECT pg_catalog.max({compared}) AS m FROM {}{}) AS newest",
        as_text(mark.kind, "m"),
        from_item(&table.relation, table.query.as_deref()),
        where_clause(table.filter.as_deref(), None)
    );
    let said = ask(base, table, &sql).await?.into_iter().flatten().next();
    said.map(|text| understood(table, mark, text)).transpose()
}

/// A value that a person wrote, as the server understands it.
pub(super) async fn read(
    base: &Base,
    table: &Table,
    mark: &Watermark,
    text: &str,
) -> Result<KeyValue> {
    let literal = super::super::dialect::quote_literal(Dialect::PostgreSql, text);
    let typed = format!(
        "{}::pg_catalog.{}",
        literal.trim_start(),
        type_name(mark.kind)
    );
    let sql = format!("SELECT {}", as_text(mark.kind, &typed));
    let said = ask(base, table, &sql).await?.into_iter().flatten().next();
    understood(table, mark, said.unwrap_or_default())
}

/// Which of two values comes first.
pub(super) async fn order(
    base: &Base,
    table: &Table,
    one: &KeyValue,
    other: &KeyValue,
) -> Result<Ordering> {
    if one == other {
        return Ok(Ordering::Equal);
    }
    let below = Dialect::PostgreSql.is_below(one, other);
    let below = below.map_err(|error| marks::wrong(table, error.to_string()))?;
    let said = ask(base, table, &format!("SELECT {below}")).await?;
    Ok(match said.into_iter().flatten().next().as_deref() {
        Some("t") => Ordering::Less,
        _ => Ordering::Greater,
    })
}

/// The server's text as a value.
fn understood(table: &Table, mark: &Watermark, text: String) -> Result<KeyValue> {
    // After such a value nothing would ever be new.
    let endless = ["infinity", "-infinity", "Infinity", "-Infinity", "NaN"];
    if mark.kind != MarkKind::Text && endless.contains(&text.as_str()) {
        return Err(marks::endless(table, mark, &text));
    }
    match mark.kind {
        MarkKind::Integer => marks::integer(table, &text),
        kind => Ok(KeyValue::typed(type_name(kind), text)),
    }
}

/// The first row of an answer, in a transaction that only looks, its text in fixed form. Its time
/// limit is the one that reading has: without an index the whole table is looked at.
pub(super) async fn ask(base: &Base, table: &Table, sql: &str) -> Result<Vec<Option<String>>> {
    let place = base.connector.place();
    let subject = Subject::of(place, &table.relation, table.query.as_deref());
    let link = base.link().await?;
    let limit = base.statement_timeout.as_millis();
    link.execute(
        &subject,
        &format!("{BEGIN_LOOK}{OUTPUT}SET LOCAL statement_timeout = {limit}"),
    )
    .await?;
    let outcome = link.text_rows(sql).await;
    // Ends the transaction whether it failed or not; what is lost with the connection is told here.
    link.execute(&subject, "ROLLBACK").await?;
    let rows = outcome.map_err(|error| link.explain(&subject, &error))?;
    Ok(rows.into_iter().next().unwrap_or_default())
}
