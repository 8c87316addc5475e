//! Requests, profiles and plans for tests.

use super::{Inputs, Limits, plan as make_plan};
use crate::estimator::ThroughputEstimate;
use crate::model::{
    ChangeCounters, Chunking, Column, ConnectionLoad, Consistency, Estimate, ExecutionPlan,
    FieldType, FormatOptions, Key, KeyDensity, KeyOrder, KeyProfile, KeyValue, LatencySample,
    Layout, OnUnrepresentable, Origin, OutputOptions, ProofLevel, ReadAs, Relation, RelationKind,
    RunRequest, Selection, SourceIdentity, SourceKind, SourceProfile, Statistics, Table,
    TypeOptions, WorkOptions,
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
        increment: None,
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
            unusable_key: None,
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
