//! Circumstances are measured, kept with every run, and weighed in the next estimate.

use rusqlite::Connection;
use serde_json::Value;

use crate::extraction::Extraction;
use crate::gate::Gate;
use crate::ixtract::Cli;
use crate::published::sqlite_url;
use crate::servers::postgres;

/// A table of 2,000 rows in a SQLite file of the home.
fn small_table() -> Extraction {
    let cli = Cli::new();
    let path = cli.home().join("shop.db");
    Connection::open(&path)
        .expect("a database")
        .execute_batch(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);
             WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 2000)
                 INSERT INTO t SELECT i, 'row ' || i FROM c",
        )
        .expect("a table");
    Extraction::new(sqlite_url(&path), "t").by(cli)
}

fn state(extraction: &Extraction) -> Connection {
    let path = extraction.cli.home().join(".local/state/ixtract/state.db");
    Connection::open(path).expect("the state")
}

fn plan(extraction: &Extraction) -> Value {
    let words = extraction.words("plan", &["--json"]);
    extraction.cli.run(words).expect_code(0).json()
}

/// The circumstances of every run, the oldest first.
fn recorded(extraction: &Extraction) -> Vec<Value> {
    let state = state(extraction);
    let mut statement = state
        .prepare("SELECT execution_context_json FROM runs ORDER BY id")
        .expect("a statement");
    let rows = statement.query_map([], |row| row.get::<_, String>(0));
    rows.expect("rows")
        .map(|text| serde_json::from_str(&text.expect("text")).expect("JSON"))
        .collect()
}

#[test]
fn every_run_keeps_its_circumstances_and_the_next_estimate_weighs_them() {
    let extraction = small_table();
    let guess = plan(&extraction);
    assert_eq!(guess["plan"]["forecast"]["method"], "cold_start");
    for _ in 0..3 {
        extraction.run(&[]).expect_code(0);
    }
    let contexts = recorded(&extraction);
    assert_eq!(contexts.len(), 3);
    for context in &contexts {
        assert_eq!(context["schema_version"], 1, "{context}");
        assert_eq!(context["concurrent_extractions"], 0, "itself is no other");
        assert_eq!(context["row_estimate"], 2000);
        assert_eq!(context["effective_weights"]["system_load"], 0.15);
        assert_eq!(context["system_load_available"], true);
        assert!(context["system_load_per_core"].as_f64() >= Some(0.0));
        assert!(context["time_band"].as_u64() < Some(6));
    }
    let document = plan(&extraction);
    assert_eq!(document["context"]["network_quality"], "excellent");
    let forecast = &document["plan"]["forecast"];
    assert_eq!(forecast["method"], "blended", "{forecast}");
    let grounds = &forecast["grounds"];
    assert_eq!(grounds["workers"], 1);
    assert!(grounds["blend_weight"].as_f64() <= Some(0.3), "{grounds}");
    let matched = grounds["matched"].as_array().expect("runs");
    assert_eq!(matched.len(), 3, "{grounds}");
    assert!(matched.iter().all(|run| run["score"].as_f64() > Some(0.5)));

    let told = extraction.words("plan", &[]);
    let told = extraction.cli.run(told).expect_code(0).stdout;
    let estimate = "blended from 3 earlier runs with 1 worker, 3 of them alike";
    assert!(told.contains(estimate), "{told}");
    assert!(told.contains("· confidence "), "{told}");
    assert!(told.contains("most alike"), "{told}");
}

#[test]
fn runs_from_before_the_measurement_are_averaged_but_not_compared() {
    let extraction = small_table();
    extraction.run(&[]).expect_code(0);
    state(&extraction)
        .execute("UPDATE runs SET execution_context_json = '{}'", [])
        .expect("an old run");
    let forecast = plan(&extraction)["plan"]["forecast"].clone();
    assert_eq!(forecast["method"], "ewma");
    let grounds = &forecast["grounds"];
    assert_eq!(grounds["confidence"], "low");
    assert_eq!(grounds["excluded"][0]["why"], "no_context_recorded");
    let notes = serde_json::json!(["fallback_used", "sparse_evidence"]);
    assert_eq!(grounds["notes"], notes);
    let told = extraction.words("plan", &[]);
    let told = extraction.cli.run(told).expect_code(0).stdout;
    let confidence = "confidence LOW: no run under like circumstances, hardly any evidence";
    assert!(told.contains(confidence), "{told}");
    assert!(told.contains("its circumstances were not recorded"));
}

#[test]
fn failed_and_constrained_runs_do_not_count() {
    let extraction = small_table();
    extraction.run(&[]).expect_code(0);
    let before = plan(&extraction)["plan"]["forecast"].clone();
    for _ in 0..60 {
        // More than the history that an estimate looks back on.
        state(&extraction)
            .execute(
                "INSERT INTO runs (run_id, tag, scope_id, source, relation, status, pid, host,
                     started_at, ixtract_version, fingerprint, strategy, scheduling, consistency,
                     workers, chunk_count, constrained, output, predicted_rows, predicted_bytes,
                     predicted_throughput, predicted_s, estimate_method, counters_json, plan_json)
                 SELECT hex(randomblob(8)), 'x', scope_id, source, relation, 'failed', pid, host,
                     '2099-01-01T00:00:00.000000Z', ixtract_version, fingerprint, strategy,
                     scheduling, consistency, workers, chunk_count, 1, output, predicted_rows,
                     predicted_bytes, predicted_throughput, predicted_s, estimate_method,
                     counters_json, plan_json
                 FROM runs LIMIT 1",
                [],
            )
            .expect("a failed run");
    }
    let after = plan(&extraction)["plan"]["forecast"].clone();
    assert_eq!(after["throughput"], before["throughput"]);
    assert_eq!(after["runs"], 1);
}

#[test]
fn an_extraction_beside_is_seen() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id bigint PRIMARY KEY);
         INSERT INTO t SELECT generate_series(1, 200);
         ANALYZE t",
    );
    let extraction = Extraction::new(database.url(), "public.t");
    let gate = Gate::shut(&database);
    let running = extraction.spawn(&["--where", Gate::FILTER]);
    gate.wait_for_readers(1);
    let beside = plan(&extraction);
    gate.open();
    running.wait().expect_code(0);
    assert_eq!(beside["context"]["concurrent_extractions"], 1);
    assert_eq!(plan(&extraction)["context"]["concurrent_extractions"], 0);
    assert_eq!(recorded(&extraction)[0]["concurrent_extractions"], 0);
}
