//! Stored runs for tests.

use std::collections::BTreeMap;

use super::{
    ChunkRecord, ChunkStatus, Predicted, Recorded, RunId, RunRow, RunStatus, Scheduling,
    SourceThen, Strategy,
};

/// A successful run of `public.orders` at this speed.
pub(crate) fn row(throughput: f64) -> RunRow {
    let started_at = "2026-01-31T12:00:00Z".parse().expect("a time");
    RunRow {
        id: RunId::stored("rx-20260131-120000-0badcafe"),
        scope: "orders".to_owned(),
        source: "postgresql://db.example:5432/shop".to_owned(),
        relation: "public.orders".to_owned(),
        status: RunStatus::Success,
        pid: 1,
        host: "etl-1".to_owned(),
        started_at,
        ended_at: None,
        version: "0".to_owned(),
        fingerprint: "f00d".to_owned(),
        strategy: Strategy::RangeChunking,
        scheduling: Some(Scheduling::RoundRobin),
        consistency: "auto".to_owned(),
        workers: 4,
        chunks: 8,
        constrained: false,
        teaches: true,
        replay_of: None,
        resumes: None,
        set: None,
        resumed_by: None,
        window: None,
        output: "out".to_owned(),
        predicted: Predicted {
            rows: 1,
            bytes: 1,
            throughput: 1.0,
            duration_s: 1.0,
            method: "ewma".to_owned(),
        },
        rows: 1,
        bytes: 1,
        duration_s: 1.0,
        throughput,
        effective_workers: 4.0,
        confidence: "full".to_owned(),
        adaptations: Vec::new(),
        snapshot: None,
        error: None,
        estimated_cost: None,
        actual_cost: None,
        nulled: BTreeMap::new(),
        source_then: SourceThen::default(),
        context: Recorded::Nothing,
        hints: None,
        finding: None,
        anomaly: None,
        rebuilt_from: None,
        schema_change: None,
    }
}

/// A chunk of a million rows that ended well.
pub(crate) fn chunk(number: u32) -> ChunkRecord {
    ChunkRecord {
        number,
        worker: 1,
        status: ChunkStatus::Success,
        started_ms: 0,
        duration_ms: 3,
        query_ms: 1,
        answer_ms: 1,
        decode_ms: 1,
        write_ms: 1,
        storage_ms: 1,
        waits: Default::default(),
        rows: 1_000_000,
        bytes: 25,
        retries: 0,
        files: vec![format!("part-{number:05}.parquet")],
        nulled: BTreeMap::new(),
        error: None,
    }
}
