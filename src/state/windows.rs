//! Which windows runs extracted.

use rusqlite::Transaction;

use super::record::json;
use crate::model::{RunId, Window};

/// Keeps which window a run extracts.
pub(super) fn keep(
    transaction: &Transaction<'_>,
    id: &RunId,
    window: &Window,
) -> rusqlite::Result<()> {
    transaction
        .execute(
            "INSERT INTO extracted_windows VALUES (?1, ?2)",
            (id.as_str(), json(window)?),
        )
        .map(drop)
}
