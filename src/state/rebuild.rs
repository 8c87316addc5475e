//! Takes runs in that only their manifests still know.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, named_params};

use super::record::{is_steady, json, scope_id, word};
use super::{Result, Store, drift, stored_count, stored_float, stored_time};
use crate::model::{RunId, SchemaDrift, Scope, SnapshotFacts, Strategy, Teaching, Window};

/// A run as a manifest knows it. What only its plan or its process knew is not here.
#[derive(Clone, Debug, PartialEq)]
pub struct RebuiltRun {
    /// Its id.
    pub id: RunId,
    /// Its history.
    pub scope: Scope,
    /// What the manifest holds for this very purpose; manifests of older versions hold nothing.
    pub teaching: Option<Teaching>,
    /// Its start.
    pub started_at: Timestamp,
    /// When it published.
    pub published_at: Timestamp,
    /// The ixtract that executed it.
    pub version: String,
    /// Fingerprint of its plan.
    pub fingerprint: String,
    /// How rows were cut into chunks.
    pub strategy: Strategy,
    /// Chunks.
    pub chunks: u64,
    /// Where its output is.
    pub output: String,
    /// The manifest that this is from.
    pub manifest: String,
    /// Rows written.
    pub rows: u64,
    /// Bytes of the finished files.
    pub bytes: u64,
    /// Deviations from the plan, one line each.
    pub adaptations: Vec<String>,
    /// What the snapshot achieved.
    pub snapshot: SnapshotFacts,
    /// Values written as NULL because their output type cannot hold them, by column.
    pub nulled: BTreeMap<String, u64>,
    /// The window, where it is one that was extracted.
    pub window: Option<Window>,
    /// How its columns differed from those of the run before, where they did.
    pub drift: Option<SchemaDrift>,
}

impl RebuiltRun {
    /// Workers: as planned, or where only the readers are known, those.
    fn workers(&self) -> u32 {
        let planned = self.teaching.as_ref().map(|teaching| teaching.workers);
        planned.unwrap_or(self.snapshot.readers)
    }

    /// Wall time of the read, in seconds; where it is not known, from the run's start to publishing.
    fn seconds(&self) -> f64 {
        self.teaching.as_ref().map_or_else(
            || {
                self.published_at
                    .duration_since(self.started_at)
                    .as_secs_f64()
            },
            |teaching| teaching.read_ms as f64 / 1000.0,
        )
    }

    /// Whether later plans are made from it: only where everything that decides this is known, and
    /// the speed was measured.
    fn teaches(&self) -> bool {
        self.teaching.as_ref().is_some_and(|teaching| {
            !teaching.constrained
                && teaching.replay_of.is_none()
                && teaching.confidence != "low"
                && teaching.read_ms > 0
                && is_steady(&self.snapshot, teaching.workers)
        })
    }
}

impl Store {
    /// Takes runs in, marked as rebuilt, in one transaction; those that the store knows stay as they
    /// are. Gives those that were new.
    pub fn take_in(&self, runs: &[RebuiltRun], now: Timestamp) -> Result<Vec<RunId>> {
        self.write(|transaction| {
            let mut taken = Vec::new();
            for run in runs {
                let known = transaction
                    .query_row(
                        "SELECT 1 FROM runs WHERE run_id = ?1",
                        [run.id.as_str()],
                        |_| Ok(()),
                    )
                    .optional()?;
                if known.is_none() {
                    insert(transaction, run, now)?;
                    taken.push(run.id.clone());
                }
            }
            Ok(taken)
        })
    }
}

fn insert(transaction: &Transaction<'_>, run: &RebuiltRun, now: Timestamp) -> rusqlite::Result<()> {
    let teaching = run.teaching.as_ref();
    let seconds = run.seconds();
    let speed = if seconds > 0.0 {
        run.rows as f64 / seconds
    } else {
        0.0
    };
    transaction.execute(
        "INSERT INTO runs (run_id, tag, scope_id, source, relation, status, pid, host, started_at,
             ended_at, ixtract_version, fingerprint, strategy, scheduling, consistency, workers,
             chunk_count, constrained, teaches, replay_of, output, predicted_rows, predicted_bytes,
             predicted_throughput, predicted_s, estimate_method, rows, bytes, duration_s, throughput,
             confidence, adaptations_json, snapshot_json, nulled_json, counters_json, plan_json)
         VALUES (:id, :tag, :scope, :source, :relation, 'success', 0, '', :started_at,
             :ended_at, :version, :fingerprint, :strategy, '', '', :workers,
             :chunks, :constrained, :teaches, :replay_of, :output, 0, 0,
             0, 0, '', :rows, :bytes, :duration_s, :throughput,
             :confidence, :adaptations, :snapshot, :nulled, '{}', '')",
        named_params! {
            ":id": run.id.as_str(),
            ":tag": run.id.tag(),
            ":scope": scope_id(transaction, &run.scope)?,
            ":source": run.scope.source.to_string(),
            ":relation": run.scope.relation.to_string(),
            ":started_at": stored_time(run.started_at),
            ":ended_at": stored_time(run.published_at),
            ":version": run.version,
            ":fingerprint": run.fingerprint,
            ":strategy": word(&run.strategy)?,
            ":workers": run.workers(),
            ":chunks": stored_count(run.chunks),
            ":constrained": teaching.is_some_and(|teaching| teaching.constrained),
            ":teaches": run.teaches(),
            ":replay_of": teaching.and_then(|teaching| teaching.replay_of.as_ref()).map(RunId::as_str),
            ":output": run.output,
            ":rows": stored_count(run.rows),
            ":bytes": stored_count(run.bytes),
            ":duration_s": stored_float(seconds),
            ":throughput": stored_float(speed),
            ":confidence": teaching.map_or("", |teaching| teaching.confidence.as_str()),
            ":adaptations": json(&run.adaptations)?,
            ":snapshot": json(&run.snapshot)?,
            ":nulled": json(&run.nulled)?,
        },
    )?;
    transaction.execute(
        "INSERT INTO rebuilt (run_id, manifest, rebuilt_at) VALUES (?1, ?2, ?3)",
        (run.id.as_str(), &run.manifest, stored_time(now)),
    )?;
    if let Some(drift) = &run.drift {
        drift::insert(transaction, &run.id, drift)?;
    }
    match &run.window {
        Some(window) => super::windows::keep(transaction, &run.id, window),
        None => Ok(()),
    }
}
