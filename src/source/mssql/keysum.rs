//! The server's own sum over the keys of a chunk, for `--proof full`.

use super::super::frozen::{self, Frozen};
use super::super::{Result, SourceError};
use super::connect::Link;
use super::session::select_chunk;
use super::shared::Shared;
use super::sql::{Statement, quote_identifier};
use super::types::Storage;
use crate::model::{ChunkBounds, Column, DIGEST_DIGITS, KeySum};

/// Asks for the sum, in the session's transaction.
pub(super) async fn ask(
    link: &mut Link,
    shared: &Shared,
    chunk: &ChunkBounds,
    columns: &[String],
) -> Result<KeySum> {
    let statement = statement(shared, chunk, columns)?;
    let rows = link.ask(&shared.subject, &statement).await?;
    frozen::key_sum(rows).ok_or_else(|| SourceError::Protocol {
        target: shared.target().to_owned(),
        why: "the sum of keys is no number".to_owned(),
    })
}

/// What [`KeySum`] says, in T-SQL: the digest of each row's key, then their sum. Seven bytes of a digest
/// are 56 bits, and the upper half of the eighth makes them 60.
fn statement(shared: &Shared, chunk: &ChunkBounds, columns: &[String]) -> Result<Statement> {
    const { assert!(DIGEST_DIGITS == 15) };
    let mut parts = Vec::with_capacity(columns.len());
    for name in columns {
        let mut all = shared.read.columns.iter();
        let column = all.find(|column| column.name == *name);
        let column = column.ok_or_else(|| shared.mismatch(format!("there is no column {name}")))?;
        let text = text(column);
        parts.push(format!(
            "CAST(DATALENGTH({text}) AS varchar(9)), ':', {text}"
        ));
    }
    // CONCAT takes two at least, and there are three a column.
    let digest = format!(
        "HASHBYTES('SHA2_256', CONCAT({})) AS digest",
        parts.join(", ")
    );
    let inner = select_chunk(&[digest], &shared.read, chunk)?;
    let first = "CAST(SUBSTRING(k.digest, 1, 7) AS bigint) * 16";
    let rest = "CAST(SUBSTRING(k.digest, 8, 1) AS int) / 16";
    Ok(Statement {
        sql: format!(
            "SELECT COUNT_BIG(*), COALESCE(SUM(CAST({first} + {rest} AS decimal(38,0))), 0) \
             FROM ({}) AS k",
            inner.sql
        ),
        parameters: inner.parameters,
    })
}

/// A column's text, which has no letters but those of ASCII: what is stored in another character set has
/// no digest here that everybody else comes to.
fn text(column: &Column) -> String {
    let name = quote_identifier(&column.name);
    match Storage::named(&column.base_type) {
        Some(Storage::Date) => format!("CONVERT(varchar(10), {name}, 23)"),
        Some(Storage::Guid) => format!("LOWER(CONVERT(varchar(36), {name}))"),
        Some(Storage::Money { precision }) => {
            format!("CONVERT(varchar(60), CAST({name} AS decimal({precision},4)))")
        }
        _ => format!("CONVERT(varchar(60), {name})"),
    }
}
