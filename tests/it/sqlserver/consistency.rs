//! A run reads one point in time, whatever others do meanwhile and whichever of its sessions are lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::numbered;
use crate::extraction::{Extraction, sort_key, until};
use crate::proxy::Proxy;
use crate::readers::Row;
use crate::servers::sqlserver::{SqlDatabase, SqlSession};

const ACCOUNTS: i64 = 2500;
const TOTAL: i64 = 1000 * ACCOUNTS;

const PARALLEL: [&str; 4] = ["--workers", "4", "--chunk-rows", "100"];

/// A filter that every row passes, but some only when the gate is open.
const GATED: [&str; 2] = ["--where", "dbo.gate(id) = 1"];

fn scene() -> (SqlDatabase, Extraction) {
    let database = numbered();
    database.exec(&format!(
        "CREATE TABLE accounts (id BIGINT PRIMARY KEY, owner INT NOT NULL, balance BIGINT NOT NULL);
         INSERT INTO accounts SELECT n * 100, n % 3, 1000 FROM numbers WHERE n < {ACCOUNTS}"
    ));
    let extraction = Extraction::new(database.url(), "accounts");
    (database, extraction)
}

fn rows(database: &SqlDatabase) -> Vec<Row> {
    let mut rows = database.rows("SELECT id, owner, balance FROM accounts");
    rows.sort_by_cached_key(sort_key);
    rows
}

/// Changes every chunk of the table in one transaction.
fn change_everything(database: &SqlDatabase) {
    database.exec(
        "BEGIN TRANSACTION;
         UPDATE accounts SET balance = balance + IIF(id % 200 = 0, 1, -1);
         DELETE FROM accounts WHERE id % 700 = 0;
         INSERT INTO accounts SELECT -1 - n, 0, 5 FROM numbers WHERE n < 50;
         INSERT INTO accounts SELECT 1000000000 + n, 0, 9 FROM numbers WHERE n < 50;
         COMMIT",
    );
}

fn shut(database: &SqlDatabase) -> SqlSession {
    let session = database.session();
    session.exec("GATE SHUT");
    session
}

#[track_caller]
fn wait_for_readers(gate: &SqlSession, readers: i32) {
    until("the readers stand at the gate", || {
        gate.numbers("GATE READERS").expect("a number")[0] >= readers
    });
}

#[test]
fn all_chunks_are_of_one_instant() {
    let (database, extraction) = scene();
    let before = rows(&database);
    let gate = shut(&database);
    let running = extraction.spawn(&[&PARALLEL[..], &GATED].concat());
    wait_for_readers(&gate, 4);
    change_everything(&database);
    gate.exec("GATE OPEN");
    running.wait().expect_code(0);
    assert_ne!(rows(&database), before, "there is something to miss");
    assert!(extraction.rows() == before, "not what was there");
    let consistency = &extraction.manifest()["consistency"];
    assert_eq!(consistency["level"], "shared-snapshot");
    assert_eq!(consistency["readers"], 4);
    let position = consistency["position"].as_str().expect("a position");
    assert!(position.starts_with("rowversion 0x"), "{position}");
}

/// The control of the test above: what it would see if each chunk had its own point in time.
#[test]
fn per_chunk_is_torn_and_recorded_as_such() {
    let (database, extraction) = scene();
    let before = rows(&database);
    let gate = shut(&database);
    let options = ["--consistency", "per-chunk", "--proof", "stream"];
    let running = extraction.spawn(&[&PARALLEL[..], &options, &GATED].concat());
    wait_for_readers(&gate, 4);
    change_everything(&database);
    gate.exec("GATE OPEN");
    running.wait().expect_code(0);
    let read = extraction.rows();
    assert!(read != before && read != rows(&database), "it is torn");
    assert_eq!(extraction.manifest()["consistency"]["level"], "per-chunk");
}

/// Writers move money between accounts in transactions.
#[test]
fn sums_hold_while_writers_work() {
    let (database, extraction) = scene();
    let (stop, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let writers: Vec<_> = (0..2)
        .map(|owner: i64| {
            let session = database.session();
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            std::thread::spawn(move || {
                let mut round = 0_i64;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    let one = (round * 7919 % ACCOUNTS / 2 * 2 + owner) * 100;
                    let other = (round * 104_729 % ACCOUNTS / 2 * 2 + owner) * 100;
                    session.exec(&format!(
                        "BEGIN TRANSACTION;
                         UPDATE accounts SET balance = balance - 1 WHERE id = {one};
                         UPDATE accounts SET balance = balance + 1 WHERE id = {other};
                         COMMIT"
                    ));
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 0..3 {
        let before = done.load(Ordering::Relaxed);
        until("the writers write", || {
            done.load(Ordering::Relaxed) > before
        });
        extraction.run(&PARALLEL).expect_code(0);
        let read = extraction.rows();
        assert_eq!(read.len() as i64, ACCOUNTS, "round {round}");
        let balances = read.iter().map(|row| row[2].as_deref().expect("a balance"));
        let total: i64 = balances
            .map(|text| text.parse::<i64>().expect("a number"))
            .sum();
        assert_eq!(total, TOTAL, "round {round}");
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.join().expect("a writer");
    }
}

#[test]
fn a_connection_that_breaks_is_replaced_by_the_spare() {
    let database = numbered();
    database.exec(
        "CREATE TABLE notes (id BIGINT PRIMARY KEY, note CHAR(400));
         INSERT INTO notes SELECT n, 'note' FROM numbers WHERE n < 2000",
    );
    // In the middle of a chunk's rows, once: no other answer is as long.
    let proxy = Proxy::to(database.address().port)
        .cut_after(300_000)
        .once()
        .start();
    let source = database.url_through(proxy.port());
    let extraction = Extraction::new(source, "notes");
    let options = ["--workers", "2", "--chunk-rows", "1000"];
    extraction.run(&options).expect_code(0);
    assert_eq!(proxy.faults(), 1);
    assert_eq!(extraction.count(), 2000);
}

#[test]
fn without_any_session_the_run_ends_with_nothing_published() {
    let (database, extraction) = scene();
    let gate = shut(&database);
    let running = extraction.spawn(&[&PARALLEL[..], &GATED].concat());
    wait_for_readers(&gate, 4);
    let own = gate.numbers("SELECT @@SPID").expect("a number")[0];
    let all = gate.numbers("GATE SESSIONS").expect("numbers");
    for spid in all.into_iter().filter(|spid| *spid != own) {
        gate.exec(&format!("KILL {spid}"));
    }
    let outcome = running.wait().expect_code(69);
    assert!(outcome.stderr.contains("accounts"), "{outcome:#?}");
    assert!(!extraction.dataset().exists());
    assert_eq!(extraction.beside(), [].into());
    assert_eq!(extraction.statuses(), ["failed"]);
    gate.exec("GATE OPEN");
}

/// Somebody has written and not yet committed: the lock would wait for them.
#[test]
fn a_lock_that_is_not_free_is_done_without() {
    let (database, extraction) = scene();
    let before = rows(&database);
    let writer = database.session();
    writer.exec("BEGIN TRANSACTION; UPDATE accounts SET balance = 0");
    let quick = ["--lock-wait-s", "1"];
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

#[test]
fn where_snapshots_are_not_allowed_one_session_keeps_the_lock() {
    let (database, extraction) = scene();
    database.forbid_snapshots();
    let before = rows(&database);
    let gate = shut(&database);
    // The one session would count before it reads.
    let options = ["--proof", "stream"];
    let running = extraction.spawn(&[&PARALLEL[..], &options, &GATED].concat());
    wait_for_readers(&gate, 1);
    let session = database.session();
    let writer = std::thread::spawn(move || session.exec("UPDATE accounts SET balance = 0"));
    until("the writer waits", || {
        let waiting = "SELECT session_id FROM sys.dm_exec_requests WHERE blocking_session_id > 0";
        !database.rows(waiting).is_empty()
    });
    gate.exec("GATE OPEN");
    running.wait().expect_code(0);
    writer.join().expect("the writer went on");
    assert!(extraction.rows() == before, "not what was there");
    let consistency = &extraction.manifest()["consistency"];
    assert_eq!(consistency["level"], "single-transaction");
    let fix = format!(
        "ALTER DATABASE [{}] SET ALLOW_SNAPSHOT_ISOLATION ON",
        database.name()
    );
    assert!(
        consistency["notes"].to_string().contains(&fix),
        "{consistency}"
    );

    let strict = [&PARALLEL[..], &["--consistency", "snapshot"]].concat();
    let refused = extraction.run(&strict).expect_code(2);
    assert!(refused.stderr.contains(&fix), "{refused:#?}");
    let loose = [&PARALLEL[..], &["--consistency", "per-chunk"]].concat();
    extraction.run(&loose).expect_code(0);
    let consistency = &extraction.manifest()["consistency"];
    assert_eq!(consistency["level"], "per-chunk");
    assert!(
        consistency["notes"].to_string().contains(&fix),
        "{consistency}"
    );
    database.exec(&fix);
    extraction.run(&strict).expect_code(0);
    assert_eq!(
        extraction.manifest()["consistency"]["level"],
        "shared-snapshot"
    );
}

#[test]
fn blocking_others_too_long_ends_the_run_and_names_the_statement() {
    let (database, extraction) = scene();
    database.forbid_snapshots();
    let gate = shut(&database);
    let options = ["--max-blocking-s", "1", "--proof", "stream"];
    let running = extraction.spawn(&[&PARALLEL[..], &options, &GATED].concat());
    wait_for_readers(&gate, 1);
    let session = database.session();
    let writer = std::thread::spawn(move || session.exec("UPDATE accounts SET balance = 0"));
    let outcome = running.wait().expect_code(75);
    assert!(
        outcome.stderr.contains("UPDATE accounts SET balance = 0"),
        "{outcome:#?}"
    );
    gate.exec("GATE OPEN");
    writer.join().expect("the writer went on");
    assert!(!extraction.dataset().exists(), "nothing is published");
    assert_eq!(extraction.statuses(), ["failed"]);
}

#[test]
fn a_table_that_is_altered_meanwhile_is_noticed_at_the_end() {
    let (database, extraction) = scene();
    let gate = shut(&database);
    let running = extraction.spawn(&[&PARALLEL[..], &GATED].concat());
    wait_for_readers(&gate, 4);
    database.exec("ALTER TABLE accounts REBUILD");
    gate.exec("GATE OPEN");
    let outcome = running.wait().expect_code(75);
    assert!(outcome.stderr.contains("was changed while"), "{outcome:#?}");
    assert!(!extraction.dataset().exists(), "nothing is published");
}
