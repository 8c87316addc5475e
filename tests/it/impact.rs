//! A run keeps within its impact budget on real servers: workers are held up when the source slows
//! down, come back when it is at ease, and no row is lost over it.

use std::time::Duration;

use crate::extraction::{Extraction, until};
use crate::gate::{Gate, pids};
use crate::proxy::Proxy;
use crate::servers::{Address, Database, PrivatePostgres, Session, postgres};

const ROWS: u64 = 40_000;

fn scene(server: &crate::servers::Postgres) -> Database {
    let database = server.fresh_database();
    database.exec(&format!(
        "CREATE TABLE t (id int8 PRIMARY KEY, note text);
         INSERT INTO t SELECT i, repeat('n', 100) FROM generate_series(1, {ROWS}) i; ANALYZE t"
    ));
    database
}

/// Two workers with a chunk each in hand, and more to come.
const PARALLEL: [&str; 8] = [
    "--workers",
    "2",
    "--chunk-rows",
    "5000",
    "--chunking",
    "key",
    "--proof",
    "stream",
];

fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&PARALLEL[..], more].concat()
}

#[test]
fn workers_go_when_the_source_slows_down_and_come_back() {
    let database = scene(&postgres());
    let proxy = Proxy::to(database.address().port).start();
    let gate = Gate::shut(&database);
    let extraction = Extraction::new(database.url_through(proxy.port()), "t");
    let mut run = extraction.spawn(&with(&[
        "--where",
        Gate::FILTER,
        "--max-source-latency-ms",
        "400",
        "--verbose",
    ]));
    gate.wait_for_readers(2);
    proxy.slow_down(Duration::from_millis(1500));
    run.wait_for_stderr("impact budget: 1 of 2 workers");
    run.wait_for_stderr("impact budget: 0 of 2 workers");
    proxy.slow_down(Duration::ZERO);
    run.wait_for_stderr("impact budget: 1 of 2 workers again");
    run.wait_for_stderr("impact budget: 2 of 2 workers again");
    gate.open();
    let outcome = run.wait().expect_code(0);
    assert_eq!(extraction.count(), ROWS);
    assert!(
        outcome.stdout.contains("--max-source-latency-ms is 400"),
        "{outcome:#?}"
    );
    let told = extraction.manifest()["adaptations"].to_string();
    assert!(told.contains("2 of 2 workers again"), "{told}");
    for command in ["explain", "diagnose"] {
        let shown = extraction.cli.run([command]).expect_code(0).stdout;
        assert!(shown.contains("impact budget: 0 of 2 workers"), "{shown}");
    }
    // Constrained by --workers; the source's slowness is what else keeps it from teaching.
    let diagnosed = extraction.cli.run(["diagnose", "--json"]).json();
    assert_eq!(diagnosed["confidence"], "low", "{diagnosed:#}");
}

#[test]
fn a_source_that_is_slow_already_is_left_alone() {
    let database = scene(&postgres());
    let proxy = Proxy::to(database.address().port)
        .latency(Duration::from_millis(30))
        .start();
    let extraction = Extraction::new(database.url_through(proxy.port()), "t");
    let refused = extraction
        .run(&with(&["--max-source-latency-ms", "20"]))
        .expect_code(75);
    assert!(
        refused.stderr.contains("--max-source-latency-ms is 20"),
        "{refused:#?}"
    );
    assert!(!extraction.dataset().exists());
    extraction
        .run(&with(&["--max-source-latency-ms", "60000"]))
        .expect_code(0);
    assert_eq!(extraction.count(), ROWS);
}

#[test]
fn a_snapshot_that_is_open_for_too_long_ends_the_run() {
    let database = scene(&postgres());
    let gate = Gate::shut(&database);
    let extraction = Extraction::new(database.url(), "t");
    let ended = extraction
        .run(&with(&["--where", Gate::FILTER, "--max-snapshot-age", "2"]))
        .expect_code(75);
    assert!(
        ended.stderr.contains("--max-snapshot-age is 2 s"),
        "{ended:#?}"
    );
    assert!(!extraction.dataset().exists());
    assert_eq!(extraction.statuses(), ["failed"]);
    let session = database.session();
    until("no session is left", || pids(&session, "true").is_empty());
    gate.open();
    let generous = with(&["--where", Gate::FILTER, "--max-snapshot-age", "600"]);
    extraction.run(&generous).expect_code(0);
}

#[test]
fn a_standby_that_falls_behind_is_given_time() {
    let primary = PrivatePostgres::start("");
    let database = scene(&primary);
    let gate = Gate::shut(&database);
    let standby = PrivatePostgres::standby_of(&primary);
    let there = Address {
        database: database.name().to_owned(),
        ..standby.address().clone()
    };
    // Advisory locks are a server's own: here they are taken on the standby.
    let holder = Session::open(&there);
    holder.exec("SELECT pg_advisory_lock(42)");
    gate.open();
    let extraction = Extraction::new(there.to_string(), "t");
    let mut run = extraction.spawn(&with(&[
        "--where",
        Gate::FILTER,
        "--max-replica-lag-s",
        "1",
        "--verbose",
    ]));
    let session = Session::open(&there);
    until("both readers stand", || {
        pids(&session, "wait_event = 'advisory' AND query ILIKE 'copy%'").len() == 2
    });
    session.exec("SELECT pg_wal_replay_pause()");
    database.exec("CREATE TABLE other (id int)");
    run.wait_for_stderr("a replica was");
    run.wait_for_stderr("impact budget: 0 of 2 workers");
    session.exec("SELECT pg_wal_replay_resume()");
    run.wait_for_stderr("impact budget: 2 of 2 workers again");
    holder.exec("SELECT pg_advisory_unlock(42)");
    run.wait().expect_code(0);
    assert_eq!(extraction.count(), ROWS);
}

#[test]
fn lag_that_is_not_shown_is_told() {
    let primary = PrivatePostgres::start("");
    let database = scene(&primary);
    let _standby = PrivatePostgres::standby_of(&primary);
    let role = database.limited_role();
    database.exec(&format!("GRANT SELECT ON t TO {}", role.user));
    let gate = Gate::shut(&database);
    let extraction = Extraction::new(role.to_string(), "t");
    let lag = ["--where", Gate::FILTER, "--max-replica-lag-s", "60"];
    let mut run = extraction.spawn(&with(&[&lag[..], &["--verbose"]].concat()));
    let grant = format!("GRANT pg_read_all_stats TO \"{}\"", role.user);
    run.wait_for_stderr(&grant);
    gate.open();
    let outcome = run.wait().expect_code(0);
    assert!(outcome.stdout.contains(&grant), "{outcome:#?}");
    database.exec(&grant);
    let quiet = extraction.run(&with(&lag)).expect_code(0);
    assert!(!quiet.stdout.contains("GRANT"), "{quiet:#?}");
}
