//! What unfinished runs leave, and who goes on with them.

use jiff::Timestamp;
use rusqlite::{Transaction, named_params};

use super::record::json;
use super::{Result, Store, stored_time};
use crate::model::{FinishedChunk, Resumed, RunId, SnapshotFacts};

/// Runs that ended without publishing, that no other went on with, and since whose start nothing was
/// published to the same place; newest first. `?1` is an output or NULL for any, `?2` a relation
/// (`schema.name` or `name`) or NULL, `?3` the earliest start. Those that left something come first.
pub(super) const UNFINISHED: &str = "
    SELECT run_id FROM runs
    WHERE status IN ('failed', 'cancelled', 'crashed') AND started_at >= ?3
      AND (?1 IS NULL OR output = ?1)
      AND (?2 IS NULL OR relation = ?2 OR substr(relation, instr(relation, '.') + 1) = ?2)
      AND NOT EXISTS (SELECT 1 FROM resumptions WHERE resumed = runs.run_id)
      AND NOT EXISTS (SELECT 1 FROM runs AS later WHERE later.output = runs.output
                      AND later.started_at >= runs.started_at AND later.status = 'success')
    ORDER BY EXISTS (SELECT 1 FROM finished_chunks WHERE finished_chunks.run_id = runs.run_id) DESC,
             started_at DESC, id DESC";

const PUBLISHED_SINCE: &str = "
    SELECT later.run_id FROM runs AS later JOIN runs AS this ON later.output = this.output
    WHERE this.run_id = ?1 AND later.started_at >= this.started_at AND later.status = 'success'
    ORDER BY later.started_at DESC LIMIT 1";

/// A run, the one that it went on with, and so on.
const CHAIN: &str = "
    WITH RECURSIVE chain (run, depth) AS (
        VALUES (?1, 0)
        UNION
        SELECT resumed, depth + 1 FROM resumptions JOIN chain ON run_id = run WHERE depth < 1000)
    SELECT run FROM chain ORDER BY depth";

impl Store {
    /// Remembers which point in time a run under way reads.
    pub fn keep_snapshot(&self, id: &RunId, facts: &SnapshotFacts) -> Result<()> {
        self.write(|transaction| {
            transaction.execute(
                "UPDATE runs SET snapshot_json = ?2 WHERE run_id = ?1",
                (id.as_str(), json(facts)?),
            )
        })
        .map(drop)
    }

    /// Remembers a chunk that a run under way has finished.
    pub fn keep_chunk(&self, id: &RunId, chunk: &FinishedChunk) -> Result<()> {
        self.write(|transaction| insert_finished(transaction, id, chunk))
    }

    /// The chunks that a run has finished, in plan order; none once something was published to its
    /// output.
    pub fn finished_chunks(&self, id: &RunId) -> Result<Vec<FinishedChunk>> {
        let rows: Vec<(String,)> = self.rows(
            "SELECT chunk_json FROM finished_chunks WHERE run_id = ?1 ORDER BY number",
            [id.as_str()],
        )?;
        rows.iter().map(|(text,)| self.parsed(text)).collect()
    }

    /// Forgets the chunks that runs have finished: their files are gone.
    pub fn forget_chunks(&self, runs: &[RunId]) -> Result<()> {
        self.write(|transaction| {
            runs.iter().try_for_each(|run| {
                let sql = "DELETE FROM finished_chunks WHERE run_id = ?1";
                transaction.execute(sql, [run.as_str()]).map(drop)
            })
        })
    }

    /// The runs into an output that ended and whose finished chunks are remembered.
    pub fn remembered(&self, output: &str) -> Result<Vec<RunId>> {
        let rows: Vec<(String,)> = self.rows(
            "SELECT run_id FROM runs WHERE output = ?1 AND status <> 'running'
                 AND EXISTS (SELECT 1 FROM finished_chunks AS of WHERE of.run_id = runs.run_id)",
            [output],
        )?;
        Ok(rows.into_iter().map(|(id,)| RunId::stored(id)).collect())
    }

    /// Runs that another may go on with, those that left something first, then newest first: they ended without publishing, nobody went on
    /// with them yet, and nothing was published to their output since they began. Of one output, of
    /// one relation (`schema.name` or `name`), or of all; none that began before `since`.
    pub fn unfinished(
        &self,
        output: Option<&str>,
        relation: Option<&str>,
        since: Timestamp,
    ) -> Result<Vec<RunId>> {
        let rows: Vec<(String,)> = self.rows(UNFINISHED, (output, relation, stored_time(since)))?;
        Ok(rows.into_iter().map(|(id,)| RunId::stored(id)).collect())
    }

    /// The newest run that was published to a run's output since that run began.
    pub fn published_since(&self, id: &RunId) -> Result<Option<RunId>> {
        let run: Option<String> = self.value(PUBLISHED_SINCE, [id.as_str()])?;
        Ok(run.map(RunId::stored))
    }

    /// A run, the unfinished one that it went on with, and so on: wherever its files may still lie.
    pub fn resumption_chain(&self, id: &RunId) -> Result<Vec<RunId>> {
        let rows: Vec<(String,)> = self.rows(CHAIN, [id.as_str()])?;
        Ok(rows.into_iter().map(|(id,)| RunId::stored(id)).collect())
    }
}

/// What a run that begins takes over from an unfinished one: from now on it is as if it had read those
/// chunks itself.
pub(super) fn insert_resumption(
    transaction: &Transaction<'_>,
    id: &RunId,
    resumed: &Resumed,
    chunks: usize,
) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO resumptions (run_id, resumed, kept, read)
         VALUES (:run, :resumed, :kept, :read)",
        named_params! {
            ":run": id.as_str(),
            ":resumed": resumed.run.as_str(),
            ":kept": resumed.kept.len() as i64,
            ":read": chunks.saturating_sub(resumed.kept.len()) as i64,
        },
    )?;
    resumed
        .kept
        .iter()
        .try_for_each(|chunk| insert_finished(transaction, id, chunk))
}

/// Once a run has published, nobody goes on with it or with what came before it.
pub(super) fn forget_unfinished(transaction: &Transaction<'_>, id: &RunId) -> rusqlite::Result<()> {
    transaction
        .execute(
            "DELETE FROM finished_chunks WHERE run_id IN (
                 SELECT earlier.run_id FROM runs AS earlier
                 JOIN runs AS this ON earlier.output = this.output
                 WHERE this.run_id = ?1 AND earlier.status <> 'running')",
            [id.as_str()],
        )
        .map(drop)
}

fn insert_finished(
    transaction: &Transaction<'_>,
    id: &RunId,
    chunk: &FinishedChunk,
) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT OR REPLACE INTO finished_chunks (run_id, number, chunk_json) VALUES (?1, ?2, ?3)",
    )?;
    insert
        .execute((id.as_str(), chunk.record.number, json(chunk)?))
        .map(drop)
}
