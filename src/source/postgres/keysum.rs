//! The server's own sum over the keys of a chunk, for `--proof full`.

use super::super::dialect::quote_identifier;
use super::super::{Result, SourceError};
use super::connect::Link;
use super::session::rows_of;
use super::shared::Shared;
use crate::model::{ChunkBounds, DIGEST_DIGITS, KeySum, ReadSpec};

/// Asks for the sum, in the session's transaction.
pub(super) async fn ask(
    link: &Link,
    shared: &Shared,
    chunk: &ChunkBounds,
    columns: &[String],
) -> Result<KeySum> {
    let sql = statement(shared.read(), chunk, columns)?;
    let row = link.row(shared.subject(), &sql, &[]).await?;
    let number = |index: usize| row.get::<_, String>(index);
    let parsed = number(0).parse().ok().zip(number(1).parse().ok());
    let (rows, sum) = parsed.ok_or_else(|| SourceError::Protocol {
        target: shared.target().to_owned(),
        why: format!("the keys' sum is {} of {} rows", number(1), number(0)),
    })?;
    Ok(KeySum { rows, sum })
}

/// What [`KeySum`] says, in SQL. Names are the server's own, whatever the role's search path.
fn statement(read: &ReadSpec, chunk: &ChunkBounds, columns: &[String]) -> Result<String> {
    let parts: Vec<String> = columns
        .iter()
        .map(|name| {
            let text = format!("{}::pg_catalog.text", quote_identifier(name));
            format!("pg_catalog.octet_length(pg_catalog.convert_to({text}, 'UTF8')), ':', {text}")
        })
        .collect();
    let digest = format!(
        "pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(pg_catalog.concat({}), 'UTF8')), 'hex')",
        parts.join(", ")
    );
    let bits = 4 * DIGEST_DIGITS;
    Ok(format!(
        "SELECT pg_catalog.count(*)::pg_catalog.text, \
         coalesce(pg_catalog.sum(pg_catalog.concat('x', pg_catalog.substr({digest}, 1, {DIGEST_DIGITS}))\
         ::pg_catalog.bit({bits})::pg_catalog.int8), 0)::pg_catalog.text FROM {}",
        rows_of(read, chunk)?
    ))
}
