//! Requests, profiles, plans and runs for tests.

use std::collections::BTreeMap;

use super::{Inputs, Limits, plan as make_plan};
use crate::estimator::ThroughputEstimate;
use crate::model::{
    ChangeCounters, ChunkRecord, ChunkStatus, Chunking, Column, ConnectionLoad, Consistency,
    Estimate, ExecutionPlan, FieldType, FormatOptions, Key, KeyDensity, KeyOrder, KeyProfile,
    KeyValue, LatencySample, Layout, OnUnrepresentable, Origin, OutputOptions, Predicted,
    ProofLevel, ReadAs, Relation, RelationKind, RunId, RunRequest, RunRow, RunStatus, Selection,
    SourceIdentity, SourceKind, SourceProfile, SourceThen, Statistics, StoredRun, Table,
    TypeOptions, WorkOptions, WorkerRecord,
};

/// `public.orders` of a PostgreSQL server.
pub(crate) fn source() -> SourceIdentity {
    SourceIdentity {
        kind: SourceKind::PostgreSql,
        host: "db.example".to_owned(),
        port: 5432,
        database: "shop".to_owned(),
        name: None,
    }
}

/// A request without any wish.
pub(crate) fn request() -> RunRequest {
    RunRequest {
        table: "orders".to_owned(),
        selection: Selection::default(),
        types: TypeOptions::default(),
        work: WorkOptions {
            workers: None,
            start_workers: None,
            min_workers: 1,
            max_workers: 8,
            explore: true,
            chunking: Chunking::Auto,
            chunk_rows: None,
            consistency: Consistency::Auto,
            proof: ProofLevel::Count,
        },
        output: OutputOptions {
            directory: "out/orders".to_owned(),
            format: FormatOptions::default(),
            layout: Layout::Replace,
            keep: 0,
        },
        hints: None,
    }
}

/// `public.orders` with `rows` rows of 100 bytes, an even primary key from 1 in storage order,
/// addressable blocks, a near server with plenty of connections.
pub(crate) fn profile(rows: u64) -> SourceProfile {
    SourceProfile {
        table: Table {
            relation: Relation {
                schema: "public".to_owned(),
                name: "orders".to_owned(),
            },
            kind: RelationKind::Table,
            query: None,
            columns: vec![Column {
                name: "id".to_owned(),
                source_type: "bigint".to_owned(),
                base_type: "int8".to_owned(),
                read: ReadAs::Native,
                field: FieldType::Int64,
                nullable: false,
                comment: None,
                generated: None,
                on_unrepresentable: OnUnrepresentable::Fail,
                lossy: false,
            }],
            keys: vec![key()],
            filter: None,
        },
        statistics: Statistics {
            estimate: Estimate {
                rows,
                origin: Origin::Catalogue,
            },
            bytes: rows * 100,
            blocks: Some((rows / 80) as u32),
            leaves: Vec::new(),
            counters: ChangeCounters::default(),
        },
        key: Some(KeyProfile {
            key: key(),
            density: KeyDensity {
                min: Some(KeyValue::Int(1)),
                max: Some(KeyValue::Int(rows.into())),
                bounds: Vec::new(),
                null_permille: 0,
                origin: Origin::Catalogue,
            },
            correlation_permille: Some(1000),
            cv_permille: 0,
        }),
        whole_key: None,
        latency: LatencySample {
            connect_us: 900,
            round_trips_us: vec![200, 210, 220, 230, 300],
        },
        connections: ConnectionLoad {
            max: 100,
            active: 10,
        },
        server: "PostgreSQL 15.18".to_owned(),
        blocks_addressable: true,
        max_readers: 1000,
        warnings: Vec::new(),
    }
}

/// The primary key of `public.orders`.
pub(crate) fn key() -> Key {
    Key {
        column: "id".to_owned(),
        source_type: "bigint".to_owned(),
        primary: true,
        unique: true,
        nullable: false,
        order: KeyOrder::Integer,
        rest: Vec::new(),
    }
}

/// A plan for the profile without any wish, on a machine of eight processors.
pub(crate) fn plan(profile: SourceProfile) -> ExecutionPlan {
    plan_of(&request(), &profile)
}

/// A plan for a request and a profile, on a machine of eight processors.
pub(crate) fn plan_of(request: &RunRequest, profile: &SourceProfile) -> ExecutionPlan {
    try_plan(request, profile).expect("the request can be planned")
}

/// As [`plan_of`], for requests that may be refused.
pub(crate) fn try_plan(
    request: &RunRequest,
    profile: &SourceProfile,
) -> Result<ExecutionPlan, super::PlanError> {
    make_plan(&Inputs {
        request,
        source: &source(),
        profile,
        estimate: &|workers| ThroughputEstimate::guess(100_000.0 * f64::from(workers)),
        learned: &|_| None,
        filtered: None,
        benchmark: None,
        limits: Limits { cpus: 8 },
    })
    .map(|planned| planned.plan)
}

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
    let started_at = "2026-01-31T12:00:00Z".parse().expect("a time");
    RunRow {
        finding: None,
        anomaly: None,
        id: RunId::new(started_at, 0x0bad_cafe),
        scope: "f00d".to_owned(),
        source: source().to_string(),
        relation: plan.spec.read.relation.to_string(),
        status: RunStatus::Success,
        pid: 42,
        host: "etl-1".to_owned(),
        started_at,
        ended_at: "2026-01-31T12:00:02Z".parse().ok(),
        version: "0.1.0".to_owned(),
        fingerprint: plan.fingerprint.clone(),
        strategy: plan.spec.strategy,
        scheduling: plan.spec.scheduling,
        consistency: "auto".to_owned(),
        workers: plan.spec.workers,
        chunks: plan.spec.chunks.len() as u64,
        constrained: false,
        teaches: true,
        replay_of: None,
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
        throughput: 1_500_000.0,
        effective_workers: 6.0,
        confidence: "full".to_owned(),
        adaptations: Vec::new(),
        snapshot: None,
        error: None,
        estimated_cost: None,
        actual_cost: None,
        nulled: BTreeMap::new(),
        source_then: SourceThen::default(),
        context: serde_json::json!({}),
        hints: None,
    }
}
