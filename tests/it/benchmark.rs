//! `ixtract benchmark`: sessions that really read at the same time, nothing written, and a next plan
//! that takes what was found.

use rusqlite::Connection;
use serde_json::Value;

use crate::extraction::{Extraction, until};
use crate::ixtract::Cli;
use crate::published::{Failure, sqlite_url};
use crate::servers::{Database, postgres};

/// A table of `rows` rows, each of which takes the server a while: reading it waits, so more sessions
/// are faster in proportion.
fn slow_table(rows: u32, milliseconds: &str) -> (Database, Extraction) {
    let database = postgres().fresh_database();
    database.exec(&format!(
        "CREATE TABLE t (id int8 PRIMARY KEY);
         INSERT INTO t SELECT generate_series(1, {rows});
         ANALYZE t;
         CREATE FUNCTION slow() RETURNS bool LANGUAGE plpgsql VOLATILE AS $$
         BEGIN
             PERFORM pg_sleep({milliseconds} / 1000.0);
             RETURN true;
         END $$"
    ));
    let extraction = Extraction::new(database.url(), "public.t");
    (database, extraction)
}

const SLOWLY: [&str; 2] = ["--where", "slow()"];

fn benchmark(extraction: &Extraction, flags: &[&str]) -> Value {
    let words = extraction.words("benchmark", &[flags, &["--json"]].concat());
    extraction.cli.run(words).expect_code(0).json()
}

fn plan(extraction: &Extraction, flags: &[&str]) -> Value {
    let words = extraction.words("plan", &[flags, &["--json"]].concat());
    extraction.cli.run(words).expect_code(0).json()["plan"].clone()
}

/// The plan's reason of this kind.
#[track_caller]
fn reason(plan: &Value, kind: &str) -> Value {
    let reasons = plan["reasons"].as_array().expect("reasons");
    let found = reasons.iter().find(|reason| reason["reason"] == kind);
    found
        .unwrap_or_else(|| panic!("no {kind} in {reasons:#?}"))
        .clone()
}

fn state(cli: &Cli) -> Connection {
    let path = cli.home().join(".local/state/ixtract/state.db");
    Connection::open(path).expect("the state")
}

#[test]
fn sessions_read_at_the_same_time_and_the_next_plan_takes_what_was_found() {
    let (database, extraction) = slow_table(560, "4");
    let watcher = database.session();
    let flags = [&SLOWLY[..], &["--force", "--worker-grid", "1,4"]].concat();
    let words = extraction.words("benchmark", &[&flags[..], &["--json"]].concat());
    let running = extraction.cli.spawn(words);
    // One snapshot, four sessions inside it, all in the middle of their rows.
    until("four sessions read at once", || {
        let reading = watcher.query_text(
            "SELECT pid FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE 'ixtract/%'
               AND state = 'active' AND wait_event = 'PgSleep' AND query ILIKE 'copy%'",
        );
        reading.len() == 4
    });
    let document = running.wait().expect_code(0).json();
    assert_eq!(document["status"], "measured");
    assert_eq!(document["consistency"]["level"], "shared-snapshot");
    let found = &document["benchmark"];
    let results = found["probe_results"].as_array().expect("results");
    let counts: Vec<&Value> = results.iter().map(|of| &of["worker_count"]).collect();
    assert_eq!(counts, [1, 4]);
    assert_eq!(found["ranges_used"], 3);
    assert_eq!(found["curve_shape"], "increasing");
    assert_eq!(found["optimal_workers"], 4);
    assert!(
        results[1]["effective_workers"].as_f64() > Some(2.5),
        "{found}"
    );

    // Nothing was written but the history.
    let left: Vec<_> = std::fs::read_dir(extraction.cli.home())
        .expect("the home")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left, [".local"], "{left:?}");
    let stored: (u32, String) = state(&extraction.cli)
        .query_row(
            "SELECT optimal_workers, throughput_json FROM benchmarks",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .expect("a benchmark");
    assert_eq!(stored.0, 4);
    assert!(stored.1.contains("\"4\":"), "{}", stored.1);

    let cut = [&SLOWLY[..], &["--chunk-rows", "20"]].concat();
    let next = plan(&extraction, &cut);
    assert_eq!(next["spec"]["workers"], 4);
    assert_eq!(reason(&next, "workers_benchmarked")["conservative"], false);
    assert_eq!(next["forecast"]["method"], "benchmarked");
    // The user's word still counts for more, and other scopes know nothing of it.
    let forced = [&cut[..], &["--workers", "3"]].concat();
    assert_eq!(plan(&extraction, &forced)["spec"]["workers"], 3);
    assert_eq!(
        reason(&plan(&extraction, &[]), "workers_profiled")["workers"],
        1
    );
}

#[test]
fn the_first_run_after_it_takes_the_curve_up() {
    let (_database, extraction) = slow_table(280, "5");
    let flags = [&SLOWLY[..], &["--force", "--worker-grid", "1,2,4"]].concat();
    benchmark(&extraction, &flags);
    let cut = [&SLOWLY[..], &["--chunk-rows", "10", "--proof", "stream"]].concat();
    let first = plan(&extraction, &cut);
    let benchmarked = reason(&first, "workers_benchmarked")["workers"].clone();
    extraction.run(&cut).expect_code(0);
    let next = plan(&extraction, &cut);
    assert_eq!(reason(&next, "benchmark_passed")["why"], "taken_up");
    assert_eq!(reason(&next, "benchmark_passed")["runs"], 1);
    reason(&next, "workers_learned");
    assert_eq!(next["forecast"]["grounds"]["workers"], benchmarked);
    let told = extraction.words("plan", &cut);
    let told = extraction.cli.run(told).expect_code(0).stdout;
    assert!(
        told.contains("the benchmark's curve has been taken up, and 1 run since"),
        "{told}"
    );
}

#[test]
fn a_benchmark_of_another_size_is_stale_and_so_is_an_old_one() {
    let (database, extraction) = slow_table(300, "1");
    let flags = [&SLOWLY[..], &["--force", "--worker-grid", "1,2"]].concat();
    benchmark(&extraction, &flags);
    let passed = |extraction: &Extraction| reason(&plan(extraction, &SLOWLY), "benchmark_passed");
    database.exec("INSERT INTO t SELECT generate_series(301, 400); ANALYZE t");
    assert_eq!(passed(&extraction)["why"], "rows_changed");
    let words = extraction.words("plan", &SLOWLY);
    let told = extraction.cli.run(words).expect_code(0).stdout;
    assert!(
        told.contains("the table had about 300 rows then and has 400 now"),
        "{told}"
    );

    database.exec("DELETE FROM t WHERE id > 300");
    database.exec("VACUUM (ANALYZE) t");
    let old = "UPDATE benchmarks SET result_json =
        json_set(result_json, '$.benchmarked_at', '2020-01-01T00:00:00Z')";
    state(&extraction.cli).execute(old, []).expect("an old one");
    assert_eq!(passed(&extraction)["why"], "too_old");
    let noisy = "UPDATE benchmarks SET result_json = json_set(result_json,
        '$.benchmarked_at', strftime('%Y-%m-%dT%H:%M:%SZ'), '$.confidence', 0.3)";
    state(&extraction.cli)
        .execute(noisy, [])
        .expect("a noisy one");
    assert_eq!(passed(&extraction)["why"], "not_trusted");
}

#[test]
fn a_small_table_is_skipped_with_the_reason_unless_forced() {
    let (_database, extraction) = slow_table(100, "0");
    let skipped = benchmark(&extraction, &[]);
    assert_eq!(skipped["status"], "skipped");
    assert!(skipped["benchmark"].is_null());
    let told = extraction.words("benchmark", &[]);
    let told = extraction.cli.run(told).expect_code(0).stdout;
    assert!(
        told.contains("skipped") && told.contains("--force"),
        "{told}"
    );
    let forced = benchmark(&extraction, &["--force"]);
    assert_eq!(forced["status"], "measured");
    assert_eq!(
        forced["benchmark"]["worker_grid"],
        serde_json::json!([1, 2, 4, 8])
    );
    let told = extraction.words("benchmark", &["--force", "--max-workers", "3"]);
    let told = extraction.cli.run(told).expect_code(0).stdout;
    assert!(told.contains("█") && told.contains("next plan"), "{told}");
    assert!(
        told.contains("at most 3 sessions may be tried here"),
        "{told}"
    );
}

#[test]
fn every_kind_of_key_can_be_measured() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE texts (word text COLLATE \"C\" PRIMARY KEY, x int);
         INSERT INTO texts SELECT md5(i::text), i FROM generate_series(1, 3000) i;
         CREATE TABLE keyless (x int, y text);
         INSERT INTO keyless SELECT i, repeat('x', 500) FROM generate_series(1, 3000) i;
         CREATE TABLE parted (id int PRIMARY KEY, y text) PARTITION BY RANGE (id);
         CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (1500);
         CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (1500) TO (9000);
         INSERT INTO parted SELECT i, repeat('x', 500) FROM generate_series(1, 3000) i;
         ANALYZE",
    );
    for table in ["texts", "keyless", "parted"] {
        let extraction = Extraction::new(database.url(), table);
        let document = benchmark(&extraction, &["--force", "--worker-grid", "1,2"]);
        assert_eq!(document["status"], "measured", "{table}: {document}");
        let ranges = document["benchmark"]["ranges_used"].as_u64();
        assert!(ranges >= Some(2), "{table}: {document}");
    }
}

#[test]
fn what_nobody_can_share_is_refused() {
    let (database, _) = slow_table(100, "0");
    let query = Extraction::of_query(database.url(), "SELECT * FROM t", "all");
    let words = query.words("benchmark", &["--force", "--json"]);
    let failure = Failure::of(&query.cli.run(words).expect_code(2));
    assert!(failure.why.contains("1 slice"), "{}", failure.text());
    let table = Extraction::new(database.url(), "t");
    let words = table.words("benchmark", &["--force", "--json", "--max-workers", "1"]);
    let failure = Failure::of(&table.cli.run(words).expect_code(2));
    assert!(failure.fix.contains("--max-workers"), "{}", failure.text());
    let words = table.words("benchmark", &["--json", "--worker-grid", "4,4"]);
    let failure = Failure::of(&table.cli.run(words).expect_code(64));
    assert!(failure.what.contains("--worker-grid"), "{}", failure.text());
}

#[test]
fn it_holds_nobody_up_for_long_and_keeps_nothing_of_it() {
    let (database, extraction) = slow_table(560, "20");
    let flags = ["--force", "--max-blocking-s", "1", "--worker-grid", "1,2"];
    let running = extraction
        .cli
        .spawn(extraction.words("benchmark", &[&SLOWLY[..], &flags].concat()));
    let watcher = database.session();
    until("a session reads", || {
        let reading = watcher.query_text(
            "SELECT 1 FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event = 'PgSleep'",
        );
        !reading.is_empty()
    });
    let session = database.session();
    let alter = std::thread::spawn(move || session.exec("ALTER TABLE t ADD COLUMN note text"));
    let outcome = running.wait().expect_code(75);
    alter.join().expect("the ALTER went on");
    let statement = "ALTER TABLE t ADD COLUMN note text";
    assert!(outcome.stderr.contains(statement), "{outcome:#?}");
    let kept: u32 = state(&extraction.cli)
        .query_row("SELECT count(*) FROM benchmarks", [], |row| row.get(0))
        .expect("a count");
    assert_eq!(kept, 0);
}

#[test]
fn a_sqlite_file_is_measured_and_left_as_it_was() {
    let cli = Cli::new();
    let path = cli.home().join("shop.db");
    Connection::open(&path)
        .expect("a database")
        .execute_batch(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);
             WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 40000)
                 INSERT INTO t SELECT i, 'row ' || i FROM c",
        )
        .expect("a table");
    let before = std::fs::read(&path).expect("the file");
    let extraction = Extraction::new(sqlite_url(&path), "t").by(cli);
    let document = benchmark(&extraction, &["--force"]);
    assert_eq!(document["status"], "measured", "{document}");
    assert_eq!(document["benchmark"]["ranges_used"], 3);
    let counts = document["throughput_by_workers"].as_object();
    assert_eq!(counts.map(|counts| counts.len()), Some(4));
    assert_eq!(std::fs::read(&path).expect("the file"), before);
}
