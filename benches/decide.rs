//! What deciding costs, beside reading: a plan of many chunks with its fingerprint, and the questions
//! that a run asks of its history, of one table's ten runs and of ten thousand, none of which teaches.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ixtract::estimator::ThroughputEstimate;
use ixtract::model::{
    ExecutionPlan, RunClose, RunId, RunOpen, RunRequest, RunStatus, Scope, Selection,
    SourceIdentity, SourceKind, SourceProfile, SourceThen,
};
use ixtract::planner::{Inputs, Limits, plan};
use ixtract::state::Store;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

/// `public.orders` of 100 M rows with a dense key.
fn profile() -> SourceProfile {
    let key = json!({"column": "id", "source_type": "bigint", "primary": true, "unique": true,
                     "nullable": false});
    let column = json!({"name": "id", "source_type": "bigint", "base_type": "int8", "read": "native",
                        "field": "int64", "nullable": false, "comment": null, "generated": null,
                        "on_unrepresentable": "fail"});
    let relation = json!({"schema": "public", "name": "orders"});
    let profile = json!({
        "table": {"relation": relation, "kind": "table", "columns": [column], "keys": [key],
                  "filter": null},
        "statistics": {"estimate": {"rows": 100_000_000, "origin": "catalogue"},
                       "bytes": 10_000_000_000_u64, "blocks": null, "leaves": [], "counters": {}},
        "key": {"key": key,
                "density": {"min": "int:1", "max": "int:100000000", "bounds": [], "null_permille": 0,
                            "origin": "catalogue"},
                "correlation_permille": 1000, "cv_permille": 0},
        "latency": {"connect_us": 900, "round_trips_us": [200, 210, 220]},
        "connections": {"max": 100, "active": 10},
        "server": "PostgreSQL 15.18", "blocks_addressable": true, "max_readers": 1000,
        "warnings": [],
    });
    serde_json::from_value(profile).expect("a profile")
}

/// Chunks of so many rows.
fn request(chunk_rows: u64) -> RunRequest {
    let request = json!({
        "table": "orders",
        "selection": Selection::default(),
        "types": ixtract::model::TypeOptions::default(),
        "work": {"workers": null, "start_workers": null, "min_workers": 1, "max_workers": 8,
                 "explore": true, "chunking": "auto", "chunk_rows": chunk_rows,
                 "consistency": "auto", "proof": "count"},
        "output": {"directory": "out", "format": ixtract::model::FormatOptions::default(),
                   "layout": "replace", "keep": 0},
    });
    serde_json::from_value(request).expect("a request")
}

fn source() -> SourceIdentity {
    SourceIdentity {
        kind: SourceKind::PostgreSql,
        host: "db.example".to_owned(),
        port: 5432,
        database: "shop".to_owned(),
        name: None,
    }
}

fn planned(request: &RunRequest, profile: &SourceProfile) -> ExecutionPlan {
    let inputs = Inputs {
        request,
        source: &source(),
        profile,
        estimate: &|_| ThroughputEstimate::guess(500_000.0),
        learned: &|_| None,
        filtered: None,
        benchmark: None,
        limits: Limits { cpus: 8 },
    };
    plan(&inputs).expect("a plan").plan
}

fn plans(criterion: &mut Criterion) {
    let profile = profile();
    let mut group = criterion.benchmark_group("plan");
    for chunks in [100_u64, 10_000] {
        let request = request(100_000_000 / chunks);
        assert_eq!(planned(&request, &profile).spec.chunks.len() as u64, chunks);
        group.bench_function(BenchmarkId::from_parameter(chunks), |bencher| {
            bencher.iter(|| black_box(planned(&request, &profile)));
        });
    }
    group.finish();
}

fn scope(plan: &ExecutionPlan) -> Scope {
    Scope::new(
        &source(),
        &plan.spec.read.relation,
        &Selection::default(),
        None,
    )
}

/// A store with so many runs of one table.
fn store(path: &Path, runs: u32, plan: &ExecutionPlan) -> Store {
    let store = Store::open(path).expect("a store");
    let begin: Timestamp = "2026-01-01T00:00:00Z".parse().expect("a time");
    for number in 0..runs {
        let started_at = begin + SignedDuration::from_mins(i64::from(number));
        let id = RunId::stored(format!("rx-20260101-000000-{number:08x}"));
        let open = RunOpen {
            id: id.clone(),
            scope: scope(plan),
            started_at,
            pid: 1,
            host: "bench".to_owned(),
            plan: plan.clone(),
            constrained: false,
            hints: None,
            estimated_cost: None,
            replay_of: None,
            resumes: None,
            drift: None,
            source_then: SourceThen::default(),
            look_ms: 0,
            context: None,
            output: "out".to_owned(),
        };
        store.begin(&open).expect("a row");
        let close = RunClose {
            status: RunStatus::Success,
            ended_at: started_at + SignedDuration::from_secs(30),
            rows: 1_000_000,
            bytes: 30_000_000,
            duration_s: 30.0,
            throughput: 33_333.0,
            effective_workers: 2.0,
            snapshot: None,
            snapshot_ms: 3,
            confidence: "full".to_owned(),
            adaptations: Vec::new(),
            error: None,
            actual_cost: None,
            nulled: BTreeMap::new(),
            chunks: Vec::new(),
            workers: Vec::new(),
            finding: None,
            anomaly: None,
        };
        store.close(&id, &close, None).expect("an end");
    }
    store
}

fn histories(criterion: &mut Criterion) {
    let home = tempfile::tempdir().expect("a directory");
    let plan = planned(&request(10_000_000), &profile());
    let mut group = criterion.benchmark_group("history");
    for runs in [10_u32, 10_000] {
        let path = home.path().join(format!("{runs}.db"));
        let store = store(&path, runs, &plan);
        let (scope, newest) = (scope(&plan), format!("{:08x}", runs - 1));
        group.bench_function(BenchmarkId::new("teachers", runs), |bencher| {
            bencher.iter(|| black_box(store.teachers(&scope, 50).expect("runs")));
        });
        group.bench_function(BenchmarkId::new("select", runs), |bencher| {
            bencher.iter(|| black_box(store.select(&newest).expect("a run")));
        });
        group.bench_function(BenchmarkId::new("open", runs), |bencher| {
            bencher.iter(|| black_box(Store::open(&path).expect("a store")));
        });
    }
    group.finish();
}

criterion_group!(decisions, plans, histories);
criterion_main!(decisions);
