//! Writes runs and profiles.

use std::fmt::Debug;

use jiff::Timestamp;
use rusqlite::{Transaction, TransactionBehavior, named_params};
use serde::Serialize;

use super::{
    Result, StateError, Store, drift, resume, stored_count, stored_float, stored_time, windows,
};
use crate::controller::between_runs::State;
use crate::model::{
    ChunkRecord, ConsistencyLevel, RunClose, RunId, RunOpen, RunStatus, Scope, SnapshotFacts,
    SourceProfile, SourceThen, WorkerRecord,
};

/// What the row of a run says whose process died.
const CRASHED: &str = "its process ended without closing the run";

pub(super) const UNDER_WAY: &str =
    "SELECT run_id, pid, started_at FROM runs WHERE status = 'running' AND host = ?1";

impl Store {
    /// Writes the row of a run that is about to start.
    ///
    /// # Errors
    /// [`StateError::Io`] also where a run of this id exists.
    pub fn begin(&self, run: &RunOpen) -> Result<()> {
        self.write(|transaction| {
            let scope = scope_id(transaction, &run.scope)?;
            insert_run(transaction, run, scope)?;
            if let Some(set) = &run.set {
                transaction.execute(
                    "INSERT INTO set_members VALUES (?1, ?2)",
                    [run.id.as_str(), set.as_str()],
                )?;
            }
            if let Some(drift) = &run.drift {
                drift::insert(transaction, &run.id, drift)?;
            }
            let chunks = run.plan.spec.chunks.len();
            run.resumes.iter().try_for_each(|resumed| {
                resume::insert_resumption(transaction, &run.id, resumed, chunks)
            })
        })
    }

    /// Closes a run with its chunks and workers, in one transaction. A run that was taken for crashed
    /// meanwhile is closed all the same: its own word counts. What the controller learned is kept
    /// only when the run teaches.
    ///
    /// # Errors
    /// [`StateError::NotFound`] where no such run is open.
    pub fn close(&self, id: &RunId, close: &RunClose, learned: Option<&State>) -> Result<()> {
        let closed = self.write(|transaction| {
            let open = open_run(transaction, id)?;
            if let Some((constrained, workers)) = open {
                let teaches = !constrained
                    && is_clean(close, workers)
                    && (close.confidence != "low" || is_first_of_its_count(transaction, id)?);
                update_run(transaction, id, close, teaches)?;
                close
                    .chunks
                    .iter()
                    .try_for_each(|chunk| insert_chunk(transaction, id, chunk))?;
                close
                    .workers
                    .iter()
                    .try_for_each(|worker| insert_worker(transaction, id, worker))?;
                keep_finding(transaction, id, close)?;
                if close.status == RunStatus::Success {
                    resume::forget_unfinished(transaction, id)?;
                }
                if let Some(learned) = learned.filter(|_| teaches) {
                    keep_learned(transaction, id, learned, close.ended_at)?;
                }
            }
            Ok(open.is_some())
        })?;
        if closed {
            Ok(())
        } else {
            Err(StateError::NotFound { id: id.to_string() })
        }
    }

    /// Marks runs of this host as crashed whose process is gone, and returns them. `alive` tells
    /// whether the process of a run that began then is there; runs of other hosts are left to those.
    pub fn sweep_crashed(
        &self,
        host: &str,
        now: Timestamp,
        alive: &dyn Fn(u32, Timestamp) -> bool,
    ) -> Result<Vec<RunId>> {
        let under_way: Vec<(String, u32, String)> = self.rows(UNDER_WAY, [host])?;
        let mut dead = Vec::new();
        for (id, pid, began) in under_way {
            let began = began.parse().map_err(|error| self.corrupt(error))?;
            if !alive(pid, began) {
                dead.push(id);
            }
        }
        if dead.is_empty() {
            return Ok(Vec::new());
        }
        self.write(|transaction| {
            // A run may have been closed since it was looked at; then it is not ours to mark.
            let mut mark = transaction.prepare(
                "UPDATE runs SET status = 'crashed', ended_at = ?2, error = ?3
                 WHERE run_id = ?1 AND status = 'running'",
            )?;
            let mut crashed = Vec::new();
            for id in dead {
                if mark.execute((&id, stored_time(now), CRASHED))? == 1 {
                    crashed.push(RunId::stored(id));
                }
            }
            Ok(crashed)
        })
    }

    /// Keeps the latest profile of a scope.
    pub fn save_profile(
        &self,
        scope: &Scope,
        profile: &SourceProfile,
        now: Timestamp,
    ) -> Result<()> {
        let (key_min, key_max) = profile.key_ends();
        let key = profile.key.as_ref();
        self.write(|transaction| {
            transaction.execute(
                "INSERT OR REPLACE INTO profiles VALUES (
                    :scope, :at, :rows, :size, :row_bytes, :column, :type, :min, :max, :cv,
                    :p50, :p95, :profile)",
                named_params! {
                    ":scope": scope_id(transaction, scope)?,
                    ":at": stored_time(now),
                    ":rows": stored_count(profile.statistics.estimate.rows),
                    ":size": stored_count(profile.statistics.bytes),
                    ":row_bytes": stored_count(profile.avg_row_bytes()),
                    ":column": key.map(|profile| &profile.key.column),
                    ":type": key.map(|profile| &profile.key.source_type),
                    ":min": key_min,
                    ":max": key_max,
                    ":cv": key.map(|profile| profile.cv_permille),
                    ":p50": stored_count(profile.latency.p50_us()),
                    ":p95": stored_count(profile.latency.p95_us()),
                    ":profile": json(profile)?,
                },
            )
        })
        .map(drop)
    }

    /// One transaction that holds the write lock from its start, so that it never fails half-way
    /// because another process wrote first.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>,
    ) -> Result<T> {
        // One that was migrated in memory would take the change, and lose it.
        if self.read_only {
            return Err(StateError::ReadOnly {
                path: self.path.clone(),
            });
        }
        let run = || {
            let transaction =
                Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
            let result = work(&transaction)?;
            transaction.commit()?;
            Ok(result)
        };
        run().map_err(|error| self.failed(&error, "write"))
    }
}

/// Whether a run shows what its worker count can do: successful, and read from one point in time by
/// as many workers as planned.
fn is_clean(close: &RunClose, workers: u32) -> bool {
    let as_planned = close
        .snapshot
        .as_ref()
        .is_some_and(|snapshot| is_steady(snapshot, workers));
    close.status == RunStatus::Success && as_planned
}

/// Whether a snapshot was one point in time for as many readers as planned.
pub(super) fn is_steady(snapshot: &SnapshotFacts, workers: u32) -> bool {
    snapshot.level != ConsistencyLevel::PerChunk && snapshot.readers >= workers
}

/// Whether no run of the same scope and number of workers has taught yet. Such a run teaches even when
/// the source was slow to answer: it may be that number of workers that slows it down, and a trial that
/// is never heard would be made again and again.
fn is_first_of_its_count(transaction: &Transaction<'_>, id: &RunId) -> rusqlite::Result<bool> {
    transaction.query_row(
        "SELECT NOT EXISTS (
             SELECT 1 FROM runs AS earlier JOIN runs AS this USING (scope_id, workers)
             WHERE this.run_id = ?1 AND earlier.teaches)",
        [id.as_str()],
        |row| row.get(0),
    )
}

/// The scope's row, made or brought up to date.
pub(super) fn scope_id(transaction: &Transaction<'_>, scope: &Scope) -> rusqlite::Result<i64> {
    transaction.query_row(
        "INSERT INTO scopes (key, source_kind, host, port, database_name, source_name,
                             schema_name, table_name)
         VALUES (:key, :kind, :host, :port, :database, :name, :schema, :table)
         ON CONFLICT (key) DO UPDATE SET
             source_kind = :kind, host = :host, port = :port, database_name = :database,
             source_name = :name, schema_name = :schema, table_name = :table
         RETURNING id",
        named_params! {
            ":key": scope.key,
            ":kind": scope.source.kind.name(),
            ":host": scope.source.host,
            ":port": scope.source.port,
            ":database": scope.source.database,
            ":name": scope.source.name,
            ":schema": scope.relation.schema,
            ":table": scope.relation.name,
        },
        |row| row.get(0),
    )
}

fn insert_run(transaction: &Transaction<'_>, run: &RunOpen, scope: i64) -> rusqlite::Result<()> {
    let (spec, forecast) = (&run.plan.spec, &run.plan.forecast);
    let SourceThen {
        rows,
        bytes,
        key_min,
        key_max,
        connect_us,
        latency_us,
        counters,
    } = &run.source_then;
    let latency = (!latency_us.is_empty()).then(|| json(latency_us));
    transaction.execute(
        "INSERT INTO runs (run_id, tag, scope_id, source, relation, status, pid, host, started_at,
             ixtract_version, fingerprint, strategy, scheduling, consistency, workers, chunk_count,
             constrained, replay_of, output, predicted_rows, predicted_bytes,
             predicted_throughput, predicted_s, estimate_method, counters_json, source_rows,
             source_bytes, key_min, key_max, connect_us, latency_us_json,
             execution_context_json, runtime_context_json, estimated_cost,
             plan_json)
         VALUES (:id, :tag, :scope, :source, :relation, 'running', :pid, :host, :started_at,
             :version, :fingerprint, :strategy, :scheduling, :consistency, :workers, :chunks,
             :constrained, :replay_of, :output, :predicted_rows, :predicted_bytes,
             :predicted_throughput, :predicted_s, :method, :counters, :source_rows,
             :source_bytes, :key_min, :key_max, :connect_us, :latency, :context, :hints,
             :cost, :plan)",
        named_params! {
            ":id": run.id.as_str(),
            ":tag": run.id.tag(),
            ":scope": scope,
            ":source": run.scope.source.to_string(),
            ":relation": run.scope.relation.to_string(),
            ":pid": run.pid,
            ":host": run.host,
            ":started_at": stored_time(run.started_at),
            ":version": env!("CARGO_PKG_VERSION"),
            ":fingerprint": run.plan.fingerprint,
            ":strategy": word(&spec.strategy)?,
            ":scheduling": word(&spec.scheduling)?,
            ":consistency": spec.consistency.name(),
            ":workers": spec.workers,
            ":chunks": stored_count(spec.chunks.len() as u64),
            ":constrained": run.constrained,
            ":replay_of": run.replay_of.as_ref().map(RunId::as_str),
            ":output": run.output,
            ":predicted_rows": stored_count(forecast.rows),
            ":predicted_bytes": stored_count(forecast.bytes),
            ":predicted_throughput": stored_float(forecast.throughput),
            ":predicted_s": stored_float(forecast.duration_s),
            ":method": forecast.method,
            ":counters": json(counters)?,
            ":source_rows": rows.map(stored_count),
            ":source_bytes": bytes.map(stored_count),
            ":key_min": key_min,
            ":key_max": key_max,
            ":connect_us": connect_us.map(stored_count),
            ":latency": latency.transpose()?,
            ":hints": run.hints.as_ref().map(json).transpose()?,
            ":cost": run.estimated_cost.map(stored_float),
            ":context": run.context.as_ref().map_or_else(|| Ok("{}".to_owned()), json)?,
            ":plan": json(&run.plan)?,
        },
    )?;
    if let Some(planned) = &spec.window {
        windows::keep(transaction, &run.id, &planned.window)?;
    }
    Ok(())
}

/// Whether the run is constrained, and its planned workers; `None` where it is not open.
fn open_run(transaction: &Transaction<'_>, id: &RunId) -> rusqlite::Result<Option<(bool, u32)>> {
    use rusqlite::OptionalExtension;
    transaction
        .query_row(
            "SELECT constrained OR replay_of IS NOT NULL
                 OR EXISTS (SELECT 1 FROM resumptions WHERE resumptions.run_id = runs.run_id),
                 workers
             FROM runs
             WHERE run_id = ?1 AND status IN ('running', 'crashed')",
            [id.as_str()],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
}

fn update_run(
    transaction: &Transaction<'_>,
    id: &RunId,
    close: &RunClose,
    teaches: bool,
) -> rusqlite::Result<()> {
    transaction.execute(
        "UPDATE runs SET status = :status, ended_at = :ended_at, rows = :rows, bytes = :bytes,
             duration_s = :duration_s, throughput = :throughput,
             effective_workers = :effective_workers, confidence = :confidence,
             adaptations_json = :adaptations, nulled_json = :nulled,
             snapshot_json = :snapshot, error = :error, actual_cost = :cost,
             teaches = :teaches
         WHERE run_id = :id",
        named_params! {
            ":id": id.as_str(),
            ":status": close.status.name(),
            ":ended_at": stored_time(close.ended_at),
            ":rows": stored_count(close.rows),
            ":bytes": stored_count(close.bytes),
            ":duration_s": stored_float(close.duration_s),
            ":throughput": stored_float(close.throughput),
            ":effective_workers": stored_float(close.effective_workers),
            ":confidence": close.confidence,
            ":adaptations": json(&close.adaptations)?,
            ":nulled": json(&close.nulled)?,
            ":snapshot": close.snapshot.as_ref().map(json).transpose()?,
            ":error": close.error,
            ":cost": close.actual_cost.map(stored_float),
            ":teaches": teaches,
        },
    )?;
    Ok(())
}

fn insert_chunk(
    transaction: &Transaction<'_>,
    id: &RunId,
    chunk: &ChunkRecord,
) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO chunks (run_id, number, worker, status, started_ms, duration_ms, query_ms,
             answer_ms, decode_ms, write_ms, storage_ms, waits_server, waits_network, rows, bytes,
             retries, files_json, nulled_json, error)
         VALUES (:run, :number, :worker, :status, :started_ms, :duration_ms, :query_ms,
             :answer_ms, :decode_ms, :write_ms, :storage_ms, :waits_server, :waits_network, :rows, :bytes,
             :retries, :files, :nulled, :error)",
    )?;
    insert.execute(named_params! {
        ":run": id.as_str(),
        ":number": chunk.number,
        ":worker": chunk.worker,
        ":status": word(&chunk.status)?,
        ":started_ms": stored_count(chunk.started_ms),
        ":duration_ms": stored_count(chunk.duration_ms),
        ":query_ms": stored_count(chunk.query_ms),
        ":answer_ms": stored_count(chunk.answer_ms),
        ":decode_ms": stored_count(chunk.decode_ms),
        ":write_ms": stored_count(chunk.write_ms),
        ":storage_ms": stored_count(chunk.storage_ms),
        ":waits_server": chunk.waits.server,
        ":waits_network": chunk.waits.network,
        ":rows": stored_count(chunk.rows),
        ":bytes": stored_count(chunk.bytes),
        ":retries": chunk.retries,
        ":files": json(&chunk.files)?,
        ":nulled": json(&chunk.nulled)?,
        ":error": chunk.error,
    })?;
    Ok(())
}

fn insert_worker(
    transaction: &Transaction<'_>,
    id: &RunId,
    worker: &WorkerRecord,
) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO worker_metrics
             (run_id, worker, chunks, rows, bytes, busy_ms, blocked_ms, idle_ms, paused_ms)
         VALUES (:run, :worker, :chunks, :rows, :bytes, :busy_ms, :blocked_ms, :idle_ms, :paused_ms)",
    )?;
    insert.execute(named_params! {
        ":run": id.as_str(),
        ":worker": worker.worker,
        ":chunks": worker.chunks,
        ":rows": stored_count(worker.rows),
        ":bytes": stored_count(worker.bytes),
        ":busy_ms": stored_count(worker.busy_ms),
        ":blocked_ms": stored_count(worker.blocked_ms),
        ":idle_ms": stored_count(worker.idle_ms),
        ":paused_ms": stored_count(worker.paused_ms),
    })?;
    Ok(())
}

/// What the run shows, and whether it is an anomaly.
fn keep_finding(
    transaction: &Transaction<'_>,
    id: &RunId,
    close: &RunClose,
) -> rusqlite::Result<()> {
    if let Some(finding) = &close.finding {
        transaction.execute(
            "INSERT INTO deviations (run_id, deviation_ratio, diagnosed_cause, corrective_action,
                 reasoning, chunk_variance, throughput_change, confidence, finding_json)
             VALUES (:run, :ratio, :cause, :action, :reasoning, :variance, :change, :confidence,
                 :finding)",
            named_params! {
                ":run": id.as_str(),
                ":ratio": stored_float(finding.deviation_ratio),
                ":cause": finding.category.name(),
                ":action": json(&finding.actions)?,
                ":reasoning": json(&finding.evidence)?,
                ":variance": finding.measures.skew.map(|skew| stored_float(skew.cv)),
                ":change": finding.throughput_change,
                ":confidence": finding.certainty.name(),
                ":finding": json(finding)?,
            },
        )?;
    }
    if let Some(anomaly) = &close.anomaly {
        transaction.execute(
            "INSERT INTO anomalies VALUES (:run, :direction, :z, :throughput, :mean, :sigma, :runs)",
            named_params! {
                ":run": id.as_str(),
                ":direction": anomaly.direction.name(),
                ":z": stored_float(anomaly.z),
                ":throughput": stored_float(anomaly.throughput),
                ":mean": stored_float(anomaly.mean),
                ":sigma": stored_float(anomaly.sigma),
                ":runs": anomaly.runs,
            },
        )?;
    }
    Ok(())
}

/// Replaces what the controller knows of the run's scope.
fn keep_learned(
    transaction: &Transaction<'_>,
    id: &RunId,
    learned: &State,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let direction = if learned.converged { "hold" } else { "search" };
    transaction.execute(
        "INSERT OR REPLACE INTO controller_state
             (scope_id, current_workers, direction, consecutive_holds, converged, state_json,
              updated_at)
         SELECT scope_id, :workers, :direction, :holds, :converged, :state, :now
         FROM runs WHERE run_id = :run",
        named_params! {
            ":run": id.as_str(),
            ":workers": learned.best,
            ":direction": direction,
            ":holds": learned.quiet,
            ":converged": learned.converged,
            ":state": json(learned)?,
            ":now": stored_time(now),
        },
    )?;
    Ok(())
}

pub(super) fn json(value: &impl Serialize) -> rusqlite::Result<String> {
    serde_json::to_string(value)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

/// A unit variant's name as serde spells it.
pub(super) fn word(value: &(impl Serialize + Debug)) -> rusqlite::Result<String> {
    json(value).map(|quoted| quoted.trim_matches('"').to_owned())
}
