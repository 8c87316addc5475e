//! A run reads one point in time, whatever others do meanwhile and whichever of its sessions are lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use super::NUMBERS;
use super::gate::Gate;
use crate::extraction::{DIGITS, Extraction, sort_key, until};
use crate::ixtract::Signal;
use crate::proxy::Proxy;
use crate::readers::Row;
use crate::servers::mysql::{Mysql, MysqlDatabase, both, mariadb};

const ACCOUNTS: i64 = 10_000;
const TOTAL: i64 = 1000 * ACCOUNTS;

const PARALLEL: [&str; 4] = ["--workers", "4", "--chunk-rows", "250"];

fn scene(server: &Mysql) -> (MysqlDatabase, Extraction) {
    let database = server.fresh_database();
    database.exec(&format!(
        "{DIGITS} {NUMBERS};
         CREATE TABLE accounts (id BIGINT PRIMARY KEY, owner INT NOT NULL, balance BIGINT NOT NULL);
         INSERT INTO accounts SELECT n * 100, n % 3, 1000 FROM numbers"
    ));
    let extraction = Extraction::new(database.url(), "accounts");
    (database, extraction)
}

fn rows(database: &MysqlDatabase) -> Vec<Row> {
    let mut rows = database.query_text("SELECT id, owner, balance FROM accounts");
    rows.sort_by_cached_key(sort_key);
    rows
}

/// Changes every chunk of the table in one transaction.
fn change_everything(database: &MysqlDatabase) {
    database.exec(
        "START TRANSACTION;
         UPDATE accounts SET balance = balance + IF(id % 200 = 0, 1, -1);
         DELETE FROM accounts WHERE id % 700 = 0;
         INSERT INTO accounts SELECT -1 - n, 0, 5 FROM numbers WHERE n < 50;
         INSERT INTO accounts SELECT n * 1000 + 1, 0, 7 FROM numbers WHERE n < 500;
         INSERT INTO accounts SELECT 1000000000 + n, 0, 9 FROM numbers WHERE n < 50;
         COMMIT",
    );
}

#[test]
fn all_chunks_are_of_one_instant() {
    for server in both() {
        let (database, extraction) = scene(&server);
        let before = rows(&database);
        let gate = Gate::shut(&database);
        let filter = gate.filter();
        let running = extraction.spawn(&[&PARALLEL[..], &["--where", &filter]].concat());
        gate.wait_for_readers(4);
        change_everything(&database);
        gate.open();
        running.wait().expect_code(0);
        assert_ne!(rows(&database), before, "there is something to miss");
        assert!(extraction.rows() == before, "not what was there");
        let consistency = &extraction.manifest()["consistency"];
        assert_eq!(consistency["level"], "shared-snapshot");
        assert_eq!(consistency["readers"], 4);
    }
}

/// The control of the test above: what it would see if each chunk had its own snapshot.
#[test]
fn per_chunk_is_torn_and_recorded_as_such() {
    let (database, extraction) = scene(&mariadb());
    let before = rows(&database);
    let gate = Gate::shut(&database);
    let filter = gate.filter();
    let options = [
        "--consistency",
        "per-chunk",
        "--proof",
        "stream",
        "--where",
        &filter,
    ];
    let running = extraction.spawn(&[&PARALLEL[..], &options].concat());
    gate.wait_for_readers(4);
    change_everything(&database);
    gate.open();
    running.wait().expect_code(0);
    let read = extraction.rows();
    assert!(read != before && read != rows(&database), "it is torn");
    assert_eq!(extraction.manifest()["consistency"]["level"], "per-chunk");
}

/// Writers move money between accounts, and accounts to new keys, in transactions.
#[test]
fn sums_and_counts_hold_while_writers_work() {
    for server in both() {
        let (database, extraction) = scene(&server);
        let (stop, done) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let writers: Vec<_> = (0..3)
            .map(|owner| {
                let session = database.session();
                let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
                std::thread::spawn(move || {
                    let mut round = 0_i64;
                    while !stop.load(Ordering::Relaxed) {
                        round += 1;
                        let one = (round * 7919 % ACCOUNTS / 3 * 3 + owner) * 100;
                        let other = (round * 104_729 % ACCOUNTS / 3 * 3 + owner) * 100;
                        // Of keys that nobody else has.
                        let fresh = 1_000_000_000 + round * 3 + owner;
                        session.exec(&format!(
                            "START TRANSACTION;
                             UPDATE accounts SET balance = balance - 1 WHERE id = {one};
                             UPDATE accounts SET balance = balance + ROW_COUNT() WHERE id = {other};
                             UPDATE accounts SET id = {fresh} WHERE id = {one} + 100 * 3;
                             UPDATE accounts SET id = {one} + 100 * 3 WHERE id = {fresh};
                             COMMIT"
                        ));
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for round in 0..3 {
            let before = done.load(Ordering::Relaxed);
            extraction.run(&PARALLEL).expect_code(0);
            let read = extraction.rows();
            assert_eq!(read.len() as i64, ACCOUNTS, "round {round}");
            let balances = read.iter().map(|row| row[2].as_deref().expect("a balance"));
            let total: i64 = balances
                .map(|text| text.parse::<i64>().expect("a number"))
                .sum();
            assert_eq!(total, TOTAL, "round {round}");
            assert!(
                done.load(Ordering::Relaxed) > before,
                "nobody wrote meanwhile"
            );
        }
        stop.store(true, Ordering::Relaxed);
        for writer in writers {
            writer.join().expect("a writer that never failed");
        }
    }
}

#[test]
fn a_lost_reader_is_replaced_by_the_spare_in_the_same_instant() {
    let (database, extraction) = scene(&mariadb());
    let before = rows(&database);
    let gate = Gate::shut(&database);
    let filter = gate.filter();
    let running = extraction.spawn(&[&PARALLEL[..], &["--where", &filter]].concat());
    gate.wait_for_readers(4);
    change_everything(&database);
    database.exec(&format!("KILL CONNECTION {}", gate.readers()[0]));
    gate.open();
    running.wait().expect_code(0);
    assert!(extraction.rows() == before, "not what was there");
    let manifest = extraction.manifest();
    assert_eq!(manifest["consistency"]["level"], "shared-snapshot");
    assert_eq!(manifest["proof"]["counted"], json!(before.len()));
}

#[test]
fn a_cut_connection_is_read_again_in_the_same_instant() {
    let (database, _) = scene(&mariadb());
    // Rows so wide that the line breaks in the middle of a chunk, and not where the keys are asked for.
    database.exec(
        "ALTER TABLE accounts ADD COLUMN filler VARCHAR(500);
         UPDATE accounts SET filler = REPEAT('x', 500)",
    );
    let mut before = database.query_text("SELECT * FROM accounts");
    before.sort_by_cached_key(sort_key);
    let proxy = Proxy::to(database.address().port)
        .cut_after(600_000)
        .once()
        .start();
    let extraction = Extraction::new(database.url_through(proxy.port()), "accounts");
    let options = ["--workers", "4", "--chunk-rows", "2500", "--tls", "disable"];
    extraction.run(&options).expect_code(0);
    assert_eq!(proxy.faults(), 1);
    assert!(extraction.rows() == before, "not what was there");
}

#[test]
fn without_any_session_the_run_ends_with_nothing_published() {
    let (database, extraction) = scene(&mariadb());
    let gate = Gate::shut(&database);
    let filter = gate.filter();
    let running = extraction.spawn(&[&PARALLEL[..], &["--where", &filter]].concat());
    gate.wait_for_readers(4);
    let ours = format!(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{}' AND ID NOT IN \
         (CONNECTION_ID(), {})",
        database.name(),
        gate.id()
    );
    let session = database.session();
    for id in session.query_text(&ours).into_iter().flatten().flatten() {
        // One that ended by itself is gone, too.
        session.try_exec(&format!("KILL CONNECTION {id}")).ok();
    }
    let outcome = running.wait().expect_code(69);
    assert!(outcome.stderr.contains("accounts"), "{outcome:#?}");
    assert!(!extraction.dataset().exists());
    assert_eq!(extraction.beside(), [].into());
    assert_eq!(extraction.statuses(), ["failed"]);
    gate.open();
}

#[test]
fn a_signal_stops_the_servers_queries_and_publishes_nothing() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let (database, extraction) = scene(&mariadb());
        let gate = Gate::shut(&database);
        let filter = gate.filter();
        let mut running = extraction.spawn(&[&PARALLEL[..], &["--where", &filter]].concat());
        gate.wait_for_readers(4);
        running.signal(signal);
        let outcome = running.wait().expect_code(code);
        assert!(
            outcome.stderr.contains("nothing was published"),
            "{outcome:#?}"
        );
        // The gate is still shut: only a cancelled query leaves it.
        until("no reader is left", || gate.readers().is_empty());
        gate.open();
        assert!(!extraction.dataset().exists());
        assert_eq!(extraction.beside(), [].into(), "staging is gone");
        assert_eq!(extraction.statuses(), ["cancelled"]);
    }
}

#[test]
fn blocking_others_too_long_ends_the_run_and_names_the_statement() {
    let (database, extraction) = scene(&mariadb());
    let gate = Gate::shut(&database);
    let filter = gate.filter();
    let options = ["--max-blocking-s", "2", "--where", &filter];
    let running = extraction.spawn(&[&PARALLEL[..], &options].concat());
    gate.wait_for_readers(4);
    let session = database.session();
    let alter = std::thread::spawn(move || {
        session.exec("ALTER TABLE accounts ADD COLUMN note TEXT");
    });
    let outcome = running.wait().expect_code(75);
    alter.join().expect("the ALTER went on");
    assert!(
        outcome
            .stderr
            .contains("ALTER TABLE accounts ADD COLUMN note TEXT"),
        "{outcome:#?}"
    );
    assert!(!extraction.dataset().exists(), "nothing is published");
    assert_eq!(extraction.statuses(), ["failed"]);
    gate.open();
}

/// Somebody has written and not yet committed: the lock would wait for them.
#[test]
fn a_lock_that_is_not_free_is_done_without() {
    for server in both() {
        let (database, extraction) = scene(&server);
        let before = rows(&database);
        let writer = database.session();
        writer.exec("START TRANSACTION; UPDATE accounts SET balance = 0");
        let quick = ["--lock-wait-s", "3"];
        extraction
            .run(&[&PARALLEL[..], &quick].concat())
            .expect_code(0);
        assert!(extraction.rows() == before, "what was committed");
        let consistency = &extraction.manifest()["consistency"];
        assert_eq!(consistency["level"], "single-transaction");
        assert_eq!(consistency["readers"], 1);
        let strict = [&quick[..], &["--consistency", "snapshot"]].concat();
        let refused = extraction
            .run(&[&PARALLEL[..], &strict].concat())
            .expect_code(75);
        assert!(refused.stderr.contains("--lock-wait-s"), "{refused:#?}");
    }
}

#[test]
fn an_engine_without_snapshots_keeps_writers_waiting() {
    let database = mariadb().fresh_database();
    database.exec(&format!(
        "{DIGITS} {NUMBERS};
         CREATE TABLE accounts (id BIGINT PRIMARY KEY, owner INT, balance BIGINT) ENGINE = MyISAM;
         INSERT INTO accounts SELECT n * 100, n % 3, 1000 FROM numbers"
    ));
    let before = rows(&database);
    let extraction = Extraction::new(database.url(), "accounts");
    let gate = Gate::shut(&database);
    let filter = gate.filter();
    let running = extraction.spawn(&[&PARALLEL[..], &["--where", &filter]].concat());
    gate.wait_for_readers(4);
    let session = database.session();
    let writer = std::thread::spawn(move || session.exec("UPDATE accounts SET balance = 0"));
    let watcher = database.session();
    until("the writer waits", || {
        let waiting =
            "SELECT 1 FROM information_schema.PROCESSLIST WHERE STATE LIKE 'Waiting for table%'";
        !watcher.query_text(waiting).is_empty()
    });
    gate.open();
    running.wait().expect_code(0);
    writer.join().expect("the writer went on");
    assert!(extraction.rows() == before, "not what was there");
    let consistency = &extraction.manifest()["consistency"];
    assert_eq!(consistency["level"], "shared-snapshot");
    assert!(
        consistency["notes"][0]
            .as_str()
            .is_some_and(|note| note.contains("MyISAM"))
    );
}
