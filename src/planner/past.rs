//! A run of a plan of [`fixtures`](super::fixtures), as the store gives it back; for tests.

use super::fixtures::{plan, profile, source};
use crate::model::{
    ChunkRecord, ChunkStatus, ExecutionPlan, Predicted, RunRow, StoredRun, WorkerRecord, fixtures,
};
use std::collections::BTreeMap;

/// A run of [`plan`] over 3,000,000 rows: twelve chunks of a second each, by six workers in turn.
pub(crate) fn stored() -> StoredRun {
    let plan = plan(profile(3_000_000));
    let workers = plan.spec.workers;
    let chunks = plan
        .spec
        .chunks
        .iter()
        .zip(0..)
        .map(|(chunk, index)| ChunkRecord {
            number: chunk.number,
            worker: index % workers + 1,
            status: ChunkStatus::Success,
            started_ms: u64::from(index / workers) * 1000,
            duration_ms: 1000,
            query_ms: 600,
            answer_ms: 10,
            decode_ms: 200,
            storage_ms: 0,
            waits: Default::default(),
            write_ms: 100,
            rows: 250_000,
            bytes: 10_000_000,
            retries: 0,
            files: Vec::new(),
            nulled: BTreeMap::new(),
            error: None,
        });
    let workers = (1..=workers).map(|worker| WorkerRecord {
        worker,
        chunks: 2,
        rows: 500_000,
        bytes: 20_000_000,
        busy_ms: 2000,
        blocked_ms: 1200,
        paused_ms: 0,
        idle_ms: 0,
    });
    StoredRun {
        chunks: chunks.collect(),
        workers: workers.collect(),
        run: row(&plan),
        plan,
    }
}

/// The row of a run of a plan, published and clean.
fn row(plan: &ExecutionPlan) -> RunRow {
    RunRow {
        source: source().to_string(),
        relation: plan.spec.read.relation.to_string(),
        ended_at: "2026-01-31T12:00:02Z".parse().ok(),
        version: "0.1.0".to_owned(),
        fingerprint: plan.fingerprint.clone(),
        strategy: plan.spec.strategy,
        scheduling: Some(plan.spec.scheduling),
        workers: plan.spec.workers,
        chunks: plan.spec.chunks.len() as u64,
        window: None,
        output: "/srv/out/public.orders".to_owned(),
        predicted: Predicted {
            rows: plan.forecast.rows,
            bytes: plan.forecast.bytes,
            throughput: plan.forecast.throughput,
            duration_s: plan.forecast.duration_s,
            method: plan.forecast.method.clone(),
        },
        rows: 3_000_000,
        bytes: 120_000_000,
        duration_s: 2.0,
        effective_workers: 6.0,
        ..fixtures::row(1_500_000.0)
    }
}
