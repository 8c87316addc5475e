//! Reads runs with everything that was recorded of them.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row};
use serde::de::DeserializeOwned;

use super::history::{status, understood, understood_if_any};
use super::{Result, StateError, Store, stored_count, stored_time};
use crate::model::{
    Anomaly, ChunkRecord, CleanRun, Predicted, Recorded, Resumption, RunId, RunRow, Scope,
    SourceThen, StoredRun, WaitedFor, WorkerRecord,
};

/// The columns of a run's row that [`run_row`] reads, by name; never the plan, which is long.
const COLUMNS: &str = "
    runs.run_id, scopes.key AS scope, runs.source, relation, status, pid, runs.host, started_at,
    ended_at, ixtract_version, fingerprint, strategy, scheduling, consistency, workers, chunk_count,
    constrained, teaches, replay_of, resumed, kept, read AS read_again,
    (SELECT later.run_id FROM resumptions AS later WHERE later.resumed = runs.run_id
     ORDER BY later.run_id DESC LIMIT 1) AS resumed_by, output, predicted_rows, predicted_bytes, predicted_throughput,
    predicted_s, estimate_method, rows, bytes, duration_s, runs.throughput, effective_workers,
    runs.confidence, adaptations_json, snapshot_json, error, estimated_cost, actual_cost, counters_json, source_rows,
    source_bytes, key_min, key_max, connect_us, latency_us_json, execution_context_json,
    runtime_context_json, nulled_json, finding_json, direction, z, anomalies.throughput AS was, mean,
    sigma, anomalies.runs AS baseline, manifest, drift_json, set_id, window_json";

/// Runs with what is kept of them beside their row.
const RUNS: &str = "
    runs JOIN scopes ON scopes.id = scope_id
    LEFT JOIN deviations USING (run_id) LEFT JOIN anomalies USING (run_id)
    LEFT JOIN rebuilt USING (run_id) LEFT JOIN resumptions USING (run_id)
    LEFT JOIN schema_changes USING (run_id) LEFT JOIN set_members USING (run_id)
    LEFT JOIN extracted_windows USING (run_id)";

pub(super) const CLEAN: &str = "
    SELECT runs.run_id, workers, runs.throughput, rows, finding_json, direction, z,
           anomalies.throughput AS was, mean, sigma, anomalies.runs AS baseline
    FROM runs LEFT JOIN deviations USING (run_id) LEFT JOIN anomalies USING (run_id)
    WHERE scope_id = (SELECT id FROM scopes WHERE key = ?1) AND started_at < ?2
        AND teaches AND runs.confidence <> 'low' AND runs.throughput > 0
    ORDER BY started_at DESC, runs.id DESC LIMIT ?3";

const CHUNKS: &str = "
    SELECT number, worker, status, started_ms, duration_ms, query_ms, answer_ms, decode_ms,
           write_ms, storage_ms, waits_server, waits_network, rows, bytes, retries, files_json,
           nulled_json, error
    FROM chunks WHERE run_id = ?1 ORDER BY number";

const WORKERS: &str = "
    SELECT worker, chunks, rows, bytes, busy_ms, blocked_ms, idle_ms, paused_ms
    FROM worker_metrics WHERE run_id = ?1 ORDER BY worker";

impl Store {
    /// Everything that is known of a run; `None` where there is no such run.
    pub fn stored(&self, id: &RunId) -> Result<Option<StoredRun>> {
        let Some(run) = self.row(id)? else {
            return Ok(None);
        };
        let Some(plan) = self.plan(id)? else {
            return Ok(None);
        };
        Ok(Some(StoredRun {
            run,
            plan,
            chunks: self.mapped(CHUNKS, [id.as_str()], chunk)?,
            workers: self.mapped(WORKERS, [id.as_str()], worker)?,
        }))
    }

    /// A run's row alone; `None` where there is no such run. It can be read whatever the version of
    /// the run's plan.
    pub fn row(&self, id: &RunId) -> Result<Option<RunRow>> {
        let sql = format!("SELECT {COLUMNS} FROM {RUNS} WHERE runs.run_id = ?1");
        let read = || {
            self.connection
                .prepare_cached(&sql)?
                .query_row([id.as_str()], run_row)
                .optional()
        };
        read().map_err(|error| self.unreadable(&error))
    }

    /// The run that `text` stands for (see [`Store::select`]), with everything that is known of it.
    ///
    /// # Errors
    /// Those of [`Store::select`].
    pub fn selected(&self, text: &str) -> Result<StoredRun> {
        let id = self.select(text)?;
        let found = self.stored(&id)?;
        found.ok_or_else(|| StateError::NotFound { id: id.to_string() })
    }

    /// The newest runs of the history that a run belongs to, newest first, at most `limit`.
    pub fn rows_beside(&self, id: &RunId, limit: u32) -> Result<Vec<RunRow>> {
        self.mapped(&Self::beside_sql(), (id.as_str(), limit), run_row)
    }

    pub(super) fn beside_sql() -> String {
        format!(
            "SELECT {COLUMNS} FROM {RUNS}
             WHERE scope_id = (SELECT scope_id FROM runs WHERE run_id = ?1)
             ORDER BY started_at DESC, runs.id DESC LIMIT ?2"
        )
    }

    /// The clean runs of a history that began before a time, newest first, at most `limit`.
    pub fn clean_runs(
        &self,
        scope: &Scope,
        before: Timestamp,
        limit: usize,
    ) -> Result<Vec<CleanRun>> {
        let params = (&scope.key, stored_time(before), stored_count(limit as u64));
        self.mapped(CLEAN, params, clean_run)
    }

    /// The newest runs of all tables, newest first, at most `limit`.
    pub fn newest_rows(&self, limit: u32) -> Result<Vec<RunRow>> {
        self.mapped(&Self::newest_sql(), [limit], run_row)
    }

    pub(super) fn newest_sql() -> String {
        format!(
            "SELECT {COLUMNS} FROM {RUNS}
             ORDER BY started_at DESC, runs.id DESC LIMIT ?1"
        )
    }

    /// All rows of a query, each understood by `row`.
    fn mapped<T>(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
        row: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>> {
        let read = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map(params, row)?;
            rows.collect::<rusqlite::Result<Vec<T>>>()
        };
        read().map_err(|error| self.unreadable(&error))
    }
}

fn run_row(row: &Row<'_>) -> rusqlite::Result<RunRow> {
    Ok(RunRow {
        id: RunId::stored(row.get::<_, String>("run_id")?),
        scope: row.get("scope")?,
        source: row.get("source")?,
        relation: row.get("relation")?,
        status: understood(row, "status", status)?,
        pid: row.get("pid")?,
        host: row.get("host")?,
        started_at: understood(row, "started_at", |text| text.parse().ok())?,
        ended_at: understood_if_any(row, "ended_at", |text| text.parse().ok())?,
        version: row.get("ixtract_version")?,
        fingerprint: row.get("fingerprint")?,
        strategy: understood(row, "strategy", word)?,
        // What the manifest of a rebuilt run does not say.
        scheduling: understood(row, "scheduling", |text| match text {
            "" => Some(None),
            text => word(text).map(Some),
        })?,
        consistency: row.get("consistency")?,
        workers: row.get("workers")?,
        chunks: count(row, "chunk_count")?,
        constrained: row.get("constrained")?,
        teaches: row.get("teaches")?,
        replay_of: row
            .get::<_, Option<String>>("replay_of")?
            .map(RunId::stored),
        resumes: resumption(row)?,
        resumed_by: row
            .get::<_, Option<String>>("resumed_by")?
            .map(RunId::stored),
        set: row.get::<_, Option<String>>("set_id")?.map(RunId::stored),
        output: row.get("output")?,
        predicted: predicted(row)?,
        rows: count(row, "rows")?,
        bytes: count(row, "bytes")?,
        duration_s: row.get("duration_s")?,
        throughput: row.get("throughput")?,
        effective_workers: row.get("effective_workers")?,
        confidence: row.get("confidence")?,
        adaptations: understood(row, "adaptations_json", json)?,
        snapshot: understood_if_any(row, "snapshot_json", json)?,
        error: row.get("error")?,
        estimated_cost: row.get("estimated_cost")?,
        actual_cost: row.get("actual_cost")?,
        nulled: understood(row, "nulled_json", json)?,
        source_then: source_then(row)?,
        context: understood(row, "execution_context_json", |text| {
            Some(Recorded::parse(text))
        })?,
        hints: understood_if_any(row, "runtime_context_json", json)?,
        finding: understood_if_any(row, "finding_json", json)?,
        anomaly: anomaly(row)?,
        rebuilt_from: row.get("manifest")?,
        window: understood_if_any(row, "window_json", json)?,
        schema_change: understood_if_any(row, "drift_json", json)?,
    })
}

fn resumption(row: &Row<'_>) -> rusqlite::Result<Option<Resumption>> {
    let Some(run) = row.get::<_, Option<String>>("resumed")? else {
        return Ok(None);
    };
    Ok(Some(Resumption {
        run: RunId::stored(run),
        kept: row.get("kept")?,
        read: row.get("read_again")?,
    }))
}

fn clean_run(row: &Row<'_>) -> rusqlite::Result<CleanRun> {
    Ok(CleanRun {
        id: RunId::stored(row.get::<_, String>("run_id")?),
        workers: row.get("workers")?,
        throughput: row.get("throughput")?,
        rows: count(row, "rows")?,
        finding: understood_if_any(row, "finding_json", json)?,
        anomaly: anomaly(row)?,
    })
}

fn anomaly(row: &Row<'_>) -> rusqlite::Result<Option<Anomaly>> {
    let Some(direction) = understood_if_any(row, "direction", word)? else {
        return Ok(None);
    };
    Ok(Some(Anomaly {
        direction,
        z: row.get("z")?,
        throughput: row.get("was")?,
        mean: row.get("mean")?,
        sigma: row.get("sigma")?,
        runs: row.get("baseline")?,
    }))
}

fn predicted(row: &Row<'_>) -> rusqlite::Result<Predicted> {
    Ok(Predicted {
        rows: count(row, "predicted_rows")?,
        bytes: count(row, "predicted_bytes")?,
        throughput: row.get("predicted_throughput")?,
        duration_s: row.get("predicted_s")?,
        method: row.get("estimate_method")?,
    })
}

fn source_then(row: &Row<'_>) -> rusqlite::Result<SourceThen> {
    let known = |column| -> rusqlite::Result<Option<u64>> {
        Ok(row.get::<_, Option<i64>>(column)?.map(i64::unsigned_abs))
    };
    Ok(SourceThen {
        rows: known("source_rows")?,
        bytes: known("source_bytes")?,
        key_min: row.get("key_min")?,
        key_max: row.get("key_max")?,
        connect_us: known("connect_us")?,
        latency_us: understood_if_any(row, "latency_us_json", json)?.unwrap_or_default(),
        counters: understood(row, "counters_json", json)?,
    })
}

fn chunk(row: &Row<'_>) -> rusqlite::Result<ChunkRecord> {
    Ok(ChunkRecord {
        number: row.get("number")?,
        worker: row.get("worker")?,
        status: understood(row, "status", word)?,
        started_ms: count(row, "started_ms")?,
        duration_ms: count(row, "duration_ms")?,
        query_ms: count(row, "query_ms")?,
        answer_ms: count(row, "answer_ms")?,
        decode_ms: count(row, "decode_ms")?,
        write_ms: count(row, "write_ms")?,
        storage_ms: count(row, "storage_ms")?,
        waits: WaitedFor {
            server: row.get("waits_server")?,
            network: row.get("waits_network")?,
        },
        rows: count(row, "rows")?,
        bytes: count(row, "bytes")?,
        retries: row.get("retries")?,
        files: understood(row, "files_json", json)?,
        nulled: understood(row, "nulled_json", json)?,
        error: row.get("error")?,
    })
}

fn worker(row: &Row<'_>) -> rusqlite::Result<WorkerRecord> {
    Ok(WorkerRecord {
        worker: row.get("worker")?,
        chunks: row.get("chunks")?,
        rows: count(row, "rows")?,
        bytes: count(row, "bytes")?,
        busy_ms: count(row, "busy_ms")?,
        blocked_ms: count(row, "blocked_ms")?,
        idle_ms: count(row, "idle_ms")?,
        paused_ms: count(row, "paused_ms")?,
    })
}

/// SQLite's integers are signed; what is counted never is.
fn count(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    Ok(row.get::<_, i64>(column)?.unsigned_abs())
}

fn json<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// A unit variant by the name that serde spells.
fn word<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_value(text.into()).ok()
}
