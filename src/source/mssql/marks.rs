//! Watermarks: which columns can be one, and how far their values go now.

use std::cmp::Ordering;

use super::super::Result;
use super::super::dialect::{DialectError, where_clause};
use super::super::mark::{self, never_settled, shortest, wrong};
use super::super::seats::Line;
use super::Base;
use super::classify::Subject;
use super::sql::{Statement, from_item, quote_identifier};
use super::types::Storage;
use crate::model::{Column, KeyValue, MarkKind, Settled, Table, Watermark, Window};

/// Of [`KeyValue::Typed`].
const DECIMAL: &str = "decimal";
const DATE: &str = "date";
const TICKS: &str = "datetime";
const MOMENT: &str = "datetime2";
const ZONED: &str = "datetimeoffset";
const TEXT: &str = "text";
const ROWVERSION: &str = "rowversion";

/// How text is compared, whatever the column's own collation: by its code units, in an order that no
/// version changes.
const BY_UNITS: &str = "COLLATE Latin1_General_BIN2";

/// What the values of a column are, where windows can be cut on it.
pub(super) fn kind(column: &Column) -> Option<MarkKind> {
    Some(match Storage::named(&column.base_type)? {
        Storage::TinyInt | Storage::SmallInt | Storage::Int | Storage::BigInt => MarkKind::Integer,
        Storage::Decimal { .. } | Storage::Money { .. } => MarkKind::Decimal,
        Storage::Date => MarkKind::Date,
        Storage::DateTime | Storage::SmallDateTime | Storage::DateTime2(_) => MarkKind::Timestamp,
        Storage::DateTimeOffset(_) => MarkKind::TimestampTz,
        Storage::Text { .. } if is_comparable(&column.source_type) => MarkKind::Text,
        Storage::Bytes if ["timestamp", "rowversion"].contains(&column.source_type.as_str()) => {
            MarkKind::RowVersion
        }
        _ => return None,
    })
}

/// Whether two texts of a type can be compared at all.
fn is_comparable(source_type: &str) -> bool {
    !["text", "ntext", "xml"].contains(&source_type)
}

/// A column as it is compared.
fn compared(column: &str, is_text: bool) -> String {
    let name = quote_identifier(column);
    if is_text {
        format!("CAST({name} AS nvarchar(4000)) {BY_UNITS}")
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

/// A bound as a literal of its own type: another one would be compared after a conversion that moves
/// it, as the ticks of a `datetime` are.
fn literal(value: &KeyValue) -> std::result::Result<String, DialectError> {
    let said = match value {
        KeyValue::Int(value) => i64::try_from(*value).ok().map(|value| value.to_string()),
        KeyValue::Typed { kind, text } => match kind.as_str() {
            DECIMAL => is_decimal(text).then(|| text.clone()),
            DATE => Some(format!("CAST({} AS date)", quoted(text))),
            TICKS => Some(format!("CONVERT(datetime, {}, 121)", quoted(text))),
            MOMENT => Some(format!("CAST({} AS datetime2(7))", quoted(text))),
            ZONED => Some(format!("CAST({} AS datetimeoffset(7))", quoted(text))),
            TEXT => Some(quoted(text)),
            ROWVERSION => is_rowversion(text).then(|| text.clone()),
            _ => None,
        },
        KeyValue::Tuple(_) => None,
    };
    said.ok_or_else(|| DialectError::Misfit(value.to_string(), "watermark".to_owned()))
}

/// A text as a literal.
fn quoted(text: &str) -> String {
    format!("N'{}'", text.replace('\'', "''"))
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    [whole, fraction]
        .iter()
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Whether a text is eight bytes as this server writes them.
fn is_rowversion(text: &str) -> bool {
    let digits = text.strip_prefix("0x").unwrap_or_default();
    digits.len() == 16
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte))
}

/// A value as text.
fn shown(mark: &Watermark, value: &str) -> String {
    match mark.kind {
        MarkKind::Integer | MarkKind::Decimal => format!("CONVERT(nvarchar(60), {value})"),
        MarkKind::Date => format!("CONVERT(nvarchar(60), {value}, 23)"),
        MarkKind::RowVersion => format!("CONVERT(nvarchar(60), CAST({value} AS binary(8)), 1)"),
        MarkKind::TimestampTz => {
            // The instant, whatever the offset it was written with.
            format!("CONVERT(nvarchar(60), CONVERT(datetime2(7), {value}, 1), 121)")
        }
        MarkKind::Timestamp => format!("CONVERT(nvarchar(60), {value}, 121)"),
        MarkKind::Text | MarkKind::Stored => value.to_owned(),
    }
}

/// The highest value that a watermark has now, among the table's rows that pass its filter.
pub(super) async fn newest(
    base: &Base,
    table: &Table,
    mark: &Watermark,
) -> Result<Option<KeyValue>> {
    // What may still be committed is asked for first: a row that is there after that and below it is
    // there for good.
    let settled = match mark.kind {
        MarkKind::RowVersion => Some(settled(base, table, mark).await?.value),
        _ => None,
    };
    let column = compared(&mark.column, mark.kind == MarkKind::Text);
    let value = match mark.kind {
        // The server would write money in two digits.
        MarkKind::Decimal => format!("CAST(MAX({column}) AS decimal(38,{}))", scale(table, mark)),
        _ => format!("MAX({column})"),
    };
    let sql = format!(
        "SELECT {} AS newest FROM {}{}",
        shown(mark, &value),
        from_item(&table.relation, table.query.as_deref()),
        where_clause(table.filter.as_deref(), None)
    );
    let newest = ask(base, table, &sql).await?;
    let newest = newest
        .map(|text| understood(table, mark, text))
        .transpose()?;
    Ok(match (newest, settled) {
        // Eight bytes each: their order as text is their order.
        (Some(newest), Some(settled)) if text(&settled) < text(&newest) => Some(settled),
        (newest, _) => newest,
    })
}

fn text(value: &KeyValue) -> &str {
    match value {
        KeyValue::Typed { text, .. } => text,
        KeyValue::Int(_) | KeyValue::Tuple(_) => "",
    }
}

/// Digits behind the point of a decimal column.
fn scale(table: &Table, mark: &Watermark) -> u8 {
    let column = table
        .columns
        .iter()
        .find(|column| column.name == mark.column);
    let storage = column.and_then(|column| Storage::named(&column.base_type));
    storage.and_then(|storage| storage.scale()).unwrap_or(0)
}

/// The highest row version that no transaction under way can still add a row at or below.
///
/// # Errors
/// Of other columns: only for row versions does this server say what is under way.
pub(super) async fn settled(base: &Base, table: &Table, mark: &Watermark) -> Result<Settled> {
    if mark.kind != MarkKind::RowVersion {
        let why = "only of a rowversion column does this server say what is still under way";
        return Err(never_settled(table, mark, why));
    }
    let sql = format!(
        "SELECT {} AS active",
        shown(mark, "MIN_ACTIVE_ROWVERSION()")
    );
    let active = ask(base, table, &sql).await?.unwrap_or_default();
    let digits = active.strip_prefix("0x").unwrap_or_default();
    let active = u64::from_str_radix(digits, 16)
        .map_err(|_| wrong(table, format!("'{active}' is no row version")))?;
    Ok(Settled {
        value: KeyValue::typed(ROWVERSION, format!("0x{:016X}", active.saturating_sub(1))),
        why: "row versions below the oldest that is not committed (MIN_ACTIVE_ROWVERSION)"
            .to_owned(),
    })
}

/// A value that a person wrote, as the server understands it.
pub(super) async fn read(
    base: &Base,
    table: &Table,
    mark: &Watermark,
    text: &str,
) -> Result<KeyValue> {
    let quoted = quoted(text);
    let typed = match mark.kind {
        MarkKind::Text | MarkKind::Stored => return understood(table, mark, text.to_owned()),
        MarkKind::Integer => return mark::integer(table, text),
        MarkKind::Decimal if is_decimal(text) => return understood(table, mark, text.to_owned()),
        MarkKind::Decimal => return Err(wrong(table, format!("'{text}' is no number"))),
        MarkKind::RowVersion => {
            let digits = text.strip_prefix("0x").or(text.strip_prefix("0X"));
            let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
            let number = number.ok_or_else(|| {
                wrong(
                    table,
                    format!("'{text}' is no row version such as 0x00000000000007D0"),
                )
            })?;
            return Ok(KeyValue::typed(ROWVERSION, format!("0x{number:016X}")));
        }
        MarkKind::Date => format!("CAST({quoted} AS date)"),
        MarkKind::TimestampTz => format!("CAST({quoted} AS datetimeoffset(7))"),
        MarkKind::Timestamp if mark.source_type == TICKS => {
            format!("CONVERT(datetime, {quoted}, 121)")
        }
        MarkKind::Timestamp => format!("CAST({quoted} AS datetime2(7))"),
    };
    let said = ask(
        base,
        table,
        &format!("SELECT {} AS bound", shown(mark, &typed)),
    )
    .await?;
    match said {
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
    let is_text = matches!(one, KeyValue::Typed { kind, .. } if kind == TEXT);
    let by = if is_text { BY_UNITS } else { "" };
    let sql = format!(
        "SELECT CASE WHEN {} {by} < {} THEN 1 ELSE 0 END AS below",
        said(one)?,
        said(other)?
    );
    Ok(match ask(base, table, &sql).await?.as_deref() {
        Some("1") => Ordering::Less,
        _ => Ordering::Greater,
    })
}

/// The server's text as a value, alike for all that are equal.
fn understood(table: &Table, mark: &Watermark, text: String) -> Result<KeyValue> {
    Ok(match mark.kind {
        MarkKind::Integer => mark::integer(table, &text)?,
        MarkKind::Decimal => KeyValue::typed(DECIMAL, shortest(&text)),
        MarkKind::Date => KeyValue::typed(DATE, text),
        MarkKind::Timestamp if mark.source_type == TICKS => KeyValue::typed(TICKS, text),
        MarkKind::Timestamp => KeyValue::typed(MOMENT, shortest(&text)),
        MarkKind::TimestampTz => KeyValue::typed(ZONED, format!("{}Z", shortest(&text))),
        MarkKind::RowVersion => KeyValue::typed(ROWVERSION, text),
        // Blanks at the end do not count when texts are compared.
        MarkKind::Text | MarkKind::Stored => KeyValue::typed(TEXT, text.trim_end_matches(' ')),
    })
}

/// The first value of an answer, on a connection with the time limit that reading has: without an index
/// the whole table is looked at.
async fn ask(base: &Base, table: &Table, sql: &str) -> Result<Option<String>> {
    let subject = Subject::of(&base.server, &table.relation, table.query.as_deref());
    let mut link = base.connector.open(LOCKS).await?;
    let rows = link.ask(&subject, &Statement::plain(sql)).await;
    link.close().await;
    Ok(rows?.into_iter().flatten().next().flatten())
}

/// How long a question waits for a lock.
const LOCKS: std::time::Duration = std::time::Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    fn window(low: Option<KeyValue>, high: KeyValue, nulls: bool) -> Window {
        Window {
            column: "a]b".to_owned(),
            low,
            high,
            nulls,
        }
    }

    #[test]
    fn bounds_are_literals_of_their_own_type() {
        let of = |window| condition(&window).unwrap();
        assert_eq!(
            of(window(Some(KeyValue::Int(-1)), KeyValue::Int(5), true)),
            "[a]]b] > -1 AND ([a]]b] <= 5 OR [a]]b] IS NULL)"
        );
        let version = KeyValue::typed(ROWVERSION, "0x00000000000007D0");
        assert_eq!(
            of(window(None, version, false)),
            "[a]]b] <= 0x00000000000007D0"
        );
        let text = KeyValue::typed(TEXT, "it's");
        assert_eq!(
            of(window(None, text, false)),
            "CAST([a]]b] AS nvarchar(4000)) COLLATE Latin1_General_BIN2 <= N'it''s'"
        );
        let ticks = KeyValue::typed(TICKS, "2026-01-02 00:00:00.003");
        assert_eq!(
            of(window(None, ticks, false)),
            "[a]]b] <= CONVERT(datetime, N'2026-01-02 00:00:00.003', 121)"
        );
        for wrong in [
            KeyValue::typed(DECIMAL, "1; DROP"),
            KeyValue::typed(ROWVERSION, "0x01; DROP"),
            KeyValue::typed("real", "1"),
        ] {
            assert!(condition(&window(None, wrong, false)).is_err());
        }
    }
}
