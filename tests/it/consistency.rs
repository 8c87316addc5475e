//! A run reads one point in time of a PostgreSQL table, whatever others do to it meanwhile and
//! whichever of its sessions are lost.

pub(crate) mod accounts;
mod sqlite;
mod standby;

use std::thread;

use serde_json::json;

use crate::extraction::{Extraction, until};
use crate::gate::{Gate, pids, wait_until_blocked};
use crate::ixtract::Outcome;
use crate::proxy::Proxy;
use crate::servers::{Database, postgres};
use accounts::{ACCOUNTS, TOTAL};

/// Four workers in many small chunks.
const PARALLEL: [&str; 4] = ["--workers", "4", "--chunk-rows", "250"];

/// The same in one flat list with more.
fn parallel<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&PARALLEL, more].concat()
}

/// A database with the accounts, and their extraction.
fn scene() -> (Database, Extraction) {
    let database = postgres().fresh_database();
    accounts::create(&database);
    let extraction = Extraction::new(database.url(), "public.accounts");
    (database, extraction)
}

/// Starts `change` on a session of its own, and waits until the server makes it wait.
fn blocked(database: &Database, change: &str) -> thread::JoinHandle<()> {
    let session = database.session();
    let statement = change.to_owned();
    let waiting = thread::spawn(move || session.exec(&statement));
    wait_until_blocked(&database.session(), change);
    waiting
}

/// The outcome of a run in the middle of which `meanwhile` happens, with what it needs to see.
fn run_with(
    database: &Database,
    extraction: &Extraction,
    options: &[&str],
    meanwhile: impl FnOnce(&Gate),
) -> Outcome {
    let gate = Gate::shut(database);
    let options = [options, &["--where", Gate::FILTER]].concat();
    let running = extraction.spawn(&parallel(&options));
    gate.wait_for_readers(4);
    meanwhile(&gate);
    gate.open();
    running.wait()
}

#[test]
fn all_chunks_are_of_one_instant() {
    for chunking in ["key", "ctid"] {
        let (database, extraction) = scene();
        let before = accounts::rows(&database);
        run_with(&database, &extraction, &["--chunking", chunking], |_| {
            accounts::change_everything(&database);
        })
        .expect_code(0);
        assert_ne!(
            accounts::rows(&database),
            before,
            "there is something to miss"
        );
        assert!(
            extraction.rows() == before,
            "{chunking}: not what was there"
        );
        let consistency = &extraction.manifest()["consistency"];
        assert_eq!(consistency["level"], "shared-snapshot");
        assert_eq!(consistency["readers"], 4);
        let position = consistency["position"].as_str().expect("a WAL position");
        assert!(position.contains('/'), "{position}");
    }
}

/// The control of the test above: what it would see if each chunk had its own snapshot.
#[test]
fn per_chunk_is_torn_and_recorded_as_such() {
    for chunking in ["key", "ctid"] {
        let (database, extraction) = scene();
        let before = accounts::rows(&database);
        let options = [
            "--chunking",
            chunking,
            "--consistency",
            "per-chunk",
            "--proof",
            "stream",
        ];
        run_with(&database, &extraction, &options, |_| {
            accounts::change_everything(&database);
        })
        .expect_code(0);
        let rows = extraction.rows();
        assert!(
            rows != before && rows != accounts::rows(&database),
            "{chunking}"
        );
        assert_eq!(extraction.manifest()["consistency"]["level"], "per-chunk");
    }
}

#[test]
fn sums_and_counts_hold_while_writers_work() {
    for chunking in ["key", "ctid"] {
        let (database, extraction) = scene();
        let writers = accounts::Writers::start(&database);
        for round in 0..3 {
            let before = writers.done();
            extraction
                .run(&[
                    "--workers",
                    "4",
                    "--chunk-rows",
                    "50",
                    "--chunking",
                    chunking,
                ])
                .expect_code(0);
            assert!(writers.done() > before + 10, "the writers were at work");
            let rows = extraction.rows();
            let ids: std::collections::BTreeSet<_> = rows.iter().map(|row| &row[0]).collect();
            let balances = rows.iter().map(|row| row[2].as_deref().expect("not null"));
            let sum: i64 = balances
                .map(|text| text.parse::<i64>().expect("a number"))
                .sum();
            assert_eq!(
                (rows.len(), ids.len(), sum),
                (ACCOUNTS, ACCOUNTS, TOTAL),
                "{chunking}, round {round}"
            );
        }
        writers.stop();
    }
}

#[test]
fn changes_of_the_table_itself_wait_for_the_run() {
    let changes = [
        "TRUNCATE accounts",
        "ALTER TABLE accounts ALTER COLUMN balance TYPE text",
        "DROP TABLE accounts",
    ];
    for change in changes {
        let (database, extraction) = scene();
        let before = accounts::rows(&database);
        let mut waiting = None;
        run_with(&database, &extraction, &[], |_| {
            waiting = Some(blocked(&database, change));
        })
        .expect_code(0);
        waiting
            .expect("was started")
            .join()
            .expect("it went on after us");
        assert!(extraction.rows() == before, "{change}: not what was there");
    }
}

#[test]
fn who_cannot_be_locked_out_is_held_off_all_the_same() {
    // A role with grants on columns may not LOCK, nor can anybody lock a materialized view.
    let (database, _) = scene();
    database.exec("CREATE MATERIALIZED VIEW copies AS SELECT * FROM accounts");
    let role = database.limited_role();
    database.exec(&format!(
        "GRANT SELECT (id, owner, balance) ON accounts TO {}",
        role.user
    ));
    let before = accounts::rows(&database);
    let cases = [
        (role.to_string(), "accounts", "TRUNCATE accounts"),
        (database.url(), "copies", "REFRESH MATERIALIZED VIEW copies"),
    ];
    for (url, table, change) in cases {
        let extraction = Extraction::new(url, table);
        let gate = Gate::shut(&database);
        let options = ["--columns", "id,owner,balance", "--where", Gate::FILTER];
        let running = extraction.spawn(&parallel(&options));
        gate.wait_for_readers(1);
        let waiting = blocked(&database, change);
        gate.open();
        running.wait().expect_code(0);
        waiting.join().expect("it went on after us");
        assert!(extraction.rows() == before, "{table}");
        database.exec("DROP FUNCTION public.gate");
    }
}

#[test]
fn blocking_others_too_long_ends_the_run_and_names_the_statement() {
    let (database, extraction) = scene();
    let gate = Gate::shut(&database);
    let options = ["--max-blocking-s", "2", "--where", Gate::FILTER];
    let running = extraction.spawn(&parallel(&options));
    gate.wait_for_readers(4);
    let alter = blocked(&database, "ALTER TABLE accounts ADD COLUMN note text");
    // Behind the ALTER even those queue who only read.
    let select = blocked(&database, "SELECT sum(balance) FROM accounts");
    let outcome = running.wait().expect_code(75);
    alter.join().expect("the ALTER went on");
    select.join().expect("the SELECT went on");
    assert!(
        outcome
            .stderr
            .contains("ALTER TABLE accounts ADD COLUMN note text"),
        "{outcome:#?}"
    );
    assert!(!extraction.dataset().exists(), "nothing is published");
    assert_eq!(extraction.beside(), [].into(), "no staging is left");
    assert_eq!(extraction.statuses(), ["failed"]);
    drop(gate);
}

#[test]
fn the_point_in_time_outlives_its_coordinator() {
    let (database, extraction) = scene();
    let before = accounts::rows(&database);
    // Without a count the coordinator only holds the snapshot.
    let options = ["--proof", "stream"];
    run_with(&database, &extraction, &options, |gate| {
        let session = database.session();
        let coordinators = pids(&session, "state = 'idle in transaction'");
        assert!(!coordinators.is_empty(), "somebody holds the snapshot");
        terminate(&database, &coordinators);
        accounts::change_everything(&database);
        // And a worker, which has to get the same snapshot back from the others.
        terminate(&database, &gate.readers()[..1]);
    })
    .expect_code(0);
    assert!(extraction.rows() == before, "not what was there");
    let manifest = extraction.manifest();
    assert_eq!(manifest["consistency"]["level"], "shared-snapshot");
}

#[test]
fn a_lost_count_is_not_a_lost_run() {
    let (database, extraction) = scene();
    let before = accounts::rows(&database);
    run_with(&database, &extraction, &[], |_| {
        let session = database.session();
        let mut counting = Vec::new();
        until("somebody counts", || {
            counting = pids(
                &session,
                "wait_event = 'advisory' AND query NOT ILIKE 'copy%'",
            );
            !counting.is_empty()
        });
        accounts::change_everything(&database);
        terminate(&database, &counting);
    })
    .expect_code(0);
    assert!(extraction.rows() == before, "not what was there");
    let proof = &extraction.manifest()["proof"];
    assert_eq!(proof["counted"], json!(before.len()));
}

#[test]
fn without_any_session_the_run_ends_with_nothing_published() {
    let (database, extraction) = scene();
    let outcome = run_with(&database, &extraction, &[], |_| {
        let session = database.session();
        terminate(&database, &pids(&session, "true"));
        until("they are gone", || pids(&session, "true").is_empty());
    })
    .expect_code(69);
    assert!(outcome.stderr.contains("accounts"), "{outcome:#?}");
    assert!(!extraction.dataset().exists());
    assert_eq!(extraction.beside(), [].into());
    assert_eq!(extraction.statuses(), ["failed"]);
}

#[test]
fn a_cut_connection_is_read_again_in_the_same_instant() {
    let (database, _) = scene();
    let before = accounts::rows(&database);
    let proxy = Proxy::to(database.address().port)
        .cut_after(20_000)
        .once()
        .start();
    let extraction = Extraction::new(database.url_through(proxy.port()), "public.accounts");
    // Large chunks, so that the line breaks in the middle of one.
    let gate = Gate::shut(&database);
    let options = [
        "--workers",
        "4",
        "--chunk-rows",
        "5000",
        "--where",
        Gate::FILTER,
    ];
    let running = extraction.spawn(&options);
    gate.wait_for_readers(4);
    accounts::change_everything(&database);
    gate.open();
    running.wait().expect_code(0);
    assert_eq!(proxy.faults(), 1);
    assert!(extraction.rows() == before, "not what was there");
}

#[test]
fn the_databases_own_timeouts_do_not_end_the_point_in_time() {
    let (database, extraction) = scene();
    let before = accounts::rows(&database);
    for setting in [
        "idle_in_transaction_session_timeout = '300ms'",
        "lock_timeout = '300ms'",
        "default_transaction_isolation = 'read committed'",
        "default_transaction_read_only = off",
        "datestyle = 'German'",
        "search_path = 'nowhere'",
    ] {
        database.exec(&format!("ALTER DATABASE {} SET {setting}", database.name()));
    }
    run_with(&database, &extraction, &["--proof", "stream"], |_| {
        let session = database.session();
        until("the coordinator was idle for longer than allowed", || {
            let idle = "state = 'idle in transaction' AND now() - state_change > '600ms'";
            !pids(&session, idle).is_empty()
        });
        database.exec("SET search_path = public; UPDATE accounts SET balance = 0");
    })
    .expect_code(0);
    assert!(extraction.rows() == before, "not what was there");
}

#[test]
fn fewer_sessions_than_planned_are_enough_and_recorded() {
    let (database, _) = scene();
    let before = accounts::rows(&database);
    let role = database.limited_role();
    database.exec(&format!(
        "GRANT SELECT ON accounts TO {0}; ALTER ROLE {0} CONNECTION LIMIT 4",
        role.user
    ));
    let extraction = Extraction::new(role.to_string(), "public.accounts");
    extraction.run(&parallel(&[])).expect_code(0);
    assert!(extraction.rows() == before, "not what was there");
    let manifest = extraction.manifest();
    assert_eq!(manifest["consistency"]["level"], "shared-snapshot");
    let readers = manifest["consistency"]["readers"]
        .as_u64()
        .expect("a number");
    assert!((1..4).contains(&readers), "{readers}");
    let adaptations = manifest["adaptations"].as_array().expect("a list");
    assert!(!adaptations.is_empty(), "the deviation is recorded");
}

fn terminate(database: &Database, pids: &[String]) {
    for pid in pids {
        database.query_text(&format!("SELECT pg_terminate_backend({pid})"));
    }
}
