//! Watermarks: which columns can be one, and how far their values go now.

use std::cmp::Ordering;

use super::super::dialect::{DialectError, where_clause};
use super::super::mark::{self, endless, shortest, wrong};
use super::super::seats::Line;
use super::super::{Result, SourceError};
use super::Base;
use super::classify::Subject;
use super::sql::{from_item, is_decimal, quote_identifier, quote_text};
use super::types::Storage;
use crate::model::{Column, KeyValue, MarkKind, Table, Watermark, Window};

/// Of [`KeyValue::Typed`].
const DECIMAL: &str = "decimal";
const DATE: &str = "date";
const MOMENT: &str = "datetime";
const TEXT: &str = "text";

/// Which part of the declared types is no text that grows: their values have an order by number.
const DECLARED: [&str; 2] = ["enum", "set"];

/// What the values of a column are, where windows can be cut on it.
pub(super) fn kind(column: &Column) -> Option<MarkKind> {
    Some(match Storage::named(&column.base_type)? {
        Storage::Integer { .. } => MarkKind::Integer,
        Storage::Decimal { .. } => MarkKind::Decimal,
        Storage::Date => MarkKind::Date,
        // Both are compared as points in time without a zone: sessions are pinned to UTC.
        Storage::DateTime { .. } | Storage::Timestamp { .. } => MarkKind::Timestamp,
        Storage::Text
            if !DECLARED
                .iter()
                .any(|kind| column.source_type.starts_with(kind)) =>
        {
            MarkKind::Text
        }
        _ => return None,
    })
}

/// A column as it is compared. Text by the code points of its characters: a collation takes several
/// texts for equal, pads some, and is another one in another version.
fn compared(column: &str, is_text: bool) -> String {
    let name = quote_identifier(column);
    if is_text {
        format!("CAST(CONVERT({name} USING utf8mb4) AS BINARY)")
    } else {
        name
    }
}

/// The condition that holds for exactly a window's rows.
pub(super) fn condition(window: &Window) -> Result<String> {
    let is_text = matches!(&window.high, KeyValue::Typed { kind, .. } if kind == TEXT);
    let column = compared(&window.column, is_text);
    let name = quote_identifier(&window.column);
    mark::between(window, (&column, &name), literal)
}

/// A bound as a literal of its own type.
fn literal(value: &KeyValue) -> std::result::Result<String, DialectError> {
    let said = match value {
        KeyValue::Int(value) => {
            let fits = i128::from(i64::MIN)..=i128::from(u64::MAX);
            fits.contains(value).then(|| value.to_string())
        }
        KeyValue::Typed { kind, text } => match kind.as_str() {
            DECIMAL => is_decimal(text).then(|| text.clone()),
            DATE => Some(format!("CAST({} AS DATE)", quote_text(text))),
            MOMENT => Some(format!("CAST({} AS DATETIME(6))", quote_text(text))),
            TEXT => Some(format!("CAST({} AS BINARY)", quote_text(text))),
            _ => None,
        },
        KeyValue::Tuple(_) => None,
    };
    said.ok_or_else(|| DialectError::Misfit(value.to_string(), "watermark".to_owned()))
}

/// The highest value that a watermark has now, among the table's rows that pass its filter.
pub(super) async fn newest(
    base: &Base,
    table: &Table,
    mark: &Watermark,
) -> Result<Option<KeyValue>> {
    let column = compared(&mark.column, mark.kind == MarkKind::Text);
    let shown = match mark.kind {
        // Added to 0, so that no ZEROFILL pads it.
        MarkKind::Decimal | MarkKind::Integer => "CAST(m + 0 AS CHAR)",
        MarkKind::Text => "CONVERT(m USING utf8mb4)",
        _ => "CAST(m AS CHAR)",
    };
    let sql = format!(
        "SELECT {shown} FROM (SELECT MAX({column}) AS m FROM {}{}) AS newest",
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
    let typed = match mark.kind {
        MarkKind::Text => return Ok(KeyValue::typed(TEXT, text)),
        MarkKind::Integer | MarkKind::Decimal => {
            if !is_decimal(text) {
                return Err(wrong(table, format!("'{text}' is no number")));
            }
            return understood(table, mark, text.to_owned());
        }
        MarkKind::Date => format!("CAST({} AS DATE)", quote_text(text)),
        _ => format!("CAST({} AS DATETIME(6))", quote_text(text)),
    };
    let said = ask(base, table, &format!("SELECT CAST({typed} AS CHAR)")).await?;
    // What this server cannot read becomes NULL, with a warning that nobody sees.
    match said.into_iter().flatten().next() {
        Some(said) => understood(table, mark, said),
        None => Err(wrong(table, format!("'{text}' is no date or time"))),
    }
}

/// Which of two values comes first.
pub(super) async fn order(
    base: &Base,
    table: &Table,
    one: &KeyValue,
    other: &KeyValue,
) -> Result<Ordering> {
    if let Some(order) = one.partial_cmp(other) {
        return Ok(order);
    }
    let said = |value| literal(value).map_err(|error| wrong(table, error.to_string()));
    let sql = format!("SELECT {} < {}", said(one)?, said(other)?);
    let answer = ask(base, table, &sql).await?;
    Ok(match answer.into_iter().flatten().next().as_deref() {
        Some("1") => Ordering::Less,
        _ => Ordering::Greater,
    })
}

/// The server's text as a value, alike for all that are equal.
fn understood(table: &Table, mark: &Watermark, text: String) -> Result<KeyValue> {
    match mark.kind {
        MarkKind::Integer => mark::integer(table, &text),
        MarkKind::Decimal => Ok(KeyValue::typed(DECIMAL, shortest(&text))),
        MarkKind::Text => Ok(KeyValue::typed(TEXT, text)),
        // A zero or partial date is no point in time, and not always one that can be compared with.
        _ if text.starts_with("0000") || text.contains("-00") => Err(endless(table, mark, &text)),
        MarkKind::Date => Ok(KeyValue::typed(DATE, text)),
        _ => Ok(KeyValue::typed(MOMENT, shortest(&text))),
    }
}

/// The first row of an answer, on a connection with the time limit that reading has: without an index
/// the whole table is looked at.
async fn ask(base: &Base, table: &Table, sql: &str) -> Result<Vec<Option<String>>> {
    let query = table.query.as_deref();
    let subject = Subject::of(base.connector.account(), &table.relation, query);
    let mut link = base.connector.open().await?;
    let rows = link.try_rows(sql).await;
    let rows: std::result::Result<_, SourceError> =
        rows.map_err(|error| link.explain(&subject, &error));
    link.close().await;
    Ok(rows?.into_iter().next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(low: Option<KeyValue>, high: KeyValue, nulls: bool) -> Window {
        Window {
            column: "a`b".to_owned(),
            low,
            high,
            nulls,
        }
    }

    #[test]
    fn bounds_are_literals_of_their_own_type() {
        let of = |window| condition(&window).unwrap();
        assert_eq!(
            of(window(Some(KeyValue::Int(-1)), KeyValue::Int(5), false)),
            "`a``b` > -1 AND `a``b` <= 5"
        );
        assert_eq!(
            of(window(None, KeyValue::typed("decimal", "1.5"), true)),
            "(`a``b` <= 1.5 OR `a``b` IS NULL)"
        );
        let day = window(None, KeyValue::typed("date", "2026-01-02"), false);
        assert_eq!(
            of(day),
            "`a``b` <= CAST(_utf8mb4 x'323032362D30312D3032' AS DATE)"
        );
        assert_eq!(
            of(window(None, KeyValue::typed("text", "Z"), false)),
            "CAST(CONVERT(`a``b` USING utf8mb4) AS BINARY) <= CAST(_utf8mb4 x'5A' AS BINARY)"
        );
        for wrong in [
            KeyValue::typed("decimal", "1; DROP"),
            KeyValue::typed("real", "1"),
            KeyValue::Int(i128::MAX),
        ] {
            assert!(condition(&window(None, wrong, false)).is_err());
        }
    }
}
