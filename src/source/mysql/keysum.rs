//! The server's own sum over the keys of a chunk, for `--proof full`.

use super::super::frozen::{self, Frozen};
use super::super::{Result, SourceError};
use super::connect::Link;
use super::session::select_chunk;
use super::shared::Shared;
use super::sql::quote_identifier;
use super::types::Storage;
use crate::model::{ChunkBounds, Column, DIGEST_DIGITS, KeySum};

/// Asks for the sum, in the session's transaction.
pub(super) async fn ask(
    link: &mut Link,
    shared: &Shared,
    chunk: &ChunkBounds,
    columns: &[String],
) -> Result<KeySum> {
    let sql = statement(shared, chunk, columns)?;
    let rows = link.try_rows(&sql).await;
    let rows = rows.map_err(|error| link.explain(&shared.subject, &error))?;
    frozen::key_sum(rows).ok_or_else(|| SourceError::Unsupported {
        what: format!("cannot sum the keys of {}", shared.read.relation),
        why: "the server computes no SHA-256".to_owned(),
        fix: "pass --proof count".to_owned(),
    })
}

/// What [`KeySum`] says, in SQL.
fn statement(shared: &Shared, chunk: &ChunkBounds, columns: &[String]) -> Result<String> {
    let read = &shared.read;
    let mut parts = Vec::with_capacity(columns.len());
    for name in columns {
        let column = read.columns.iter().find(|column| column.name == *name);
        let column = column.ok_or_else(|| shared.mismatch(format!("there is no column {name}")))?;
        let text = text(column);
        parts.push(format!("LENGTH({text}), ':', {text}"));
    }
    let digest = format!(
        "LEFT(SHA2(CONCAT({}), 256), {DIGEST_DIGITS})",
        parts.join(", ")
    );
    // A server without SHA-256 gives NULL, which no sum of rows is.
    let items = [
        "COUNT(*)".to_owned(),
        format!("IF(COUNT(*) = 0, 0, SUM(CAST(CONV({digest}, 16, 10) AS UNSIGNED)))"),
    ];
    select_chunk(&items, read, chunk)
}

/// A column's text in UTF-8. A number is added to 0, so that no ZEROFILL pads it.
fn text(column: &Column) -> String {
    let name = quote_identifier(&column.name);
    match Storage::named(&column.base_type) {
        Some(Storage::Integer { .. } | Storage::Decimal { .. }) => {
            format!("CONVERT({name} + 0 USING utf8mb4)")
        }
        _ => format!("CONVERT({name} USING utf8mb4)"),
    }
}
