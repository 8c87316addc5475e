//! A run reads one point in time of a SQLite database while others write, and leaves its files as
//! they are.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use super::parallel;
use crate::extraction::{Extraction, names};

const ACCOUNTS: usize = 20_000;
const TOTAL: i64 = 1_000 * ACCOUNTS as i64;

/// A database with a journal of this mode, and the extraction of its accounts.
fn scene(journal: &str) -> (tempfile::TempDir, PathBuf, Extraction) {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("bank.db");
    let bank = open(&file);
    let mode: String = bank
        .query_row(&format!("PRAGMA journal_mode = {journal}"), [], |row| {
            row.get(0)
        })
        .expect("a journal");
    assert_eq!(mode, journal);
    bank.execute_batch(&format!(
        "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ACCOUNTS})
         INSERT INTO accounts SELECT i * 100, 1000 FROM n;"
    ))
    .expect("a table");
    let extraction = Extraction::new(format!("sqlite:{}", file.display()), "accounts");
    (home, file, extraction)
}

fn open(file: &Path) -> Connection {
    let connection = Connection::open(file).expect("a database");
    connection
        .busy_timeout(Duration::from_secs(60))
        .expect("a patient connection");
    connection
}

/// Works until it is stopped: a transfer, an account that goes and one that comes, a key that
/// changes, all in one transaction. With a breath after each: a writer that never pauses leaves
/// nobody a moment to read a database with a rollback journal.
fn write(file: &Path, stop: &AtomicBool, done: &AtomicUsize) {
    let bank = open(file);
    // A busy disk is not what this is about.
    bank.execute_batch("PRAGMA synchronous = OFF")
        .expect("a setting");
    for n in 1.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let (low, high) = (n % 2_000, ACCOUNTS / 2 + n % 2_000);
        bank.execute_batch(&format!(
            "BEGIN IMMEDIATE;
             CREATE TEMP TABLE IF NOT EXISTS gone AS SELECT * FROM accounts LIMIT 0;
             DELETE FROM gone;
             INSERT INTO gone SELECT * FROM accounts ORDER BY id LIMIT 1 OFFSET {high};
             DELETE FROM accounts WHERE id IN (SELECT id FROM gone);
             INSERT INTO accounts SELECT -{n}, balance FROM gone;
             UPDATE accounts SET id = 1000000000 + {n}, balance = balance
                 WHERE id = (SELECT id FROM accounts ORDER BY id LIMIT 1 OFFSET {low});
             UPDATE accounts SET balance = balance + 1
                 WHERE id = (SELECT min(id) FROM accounts);
             UPDATE accounts SET balance = balance - 1
                 WHERE id = (SELECT max(id) FROM accounts);
             COMMIT"
        ))
        .expect("a transaction");
        done.fetch_add(1, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn sums_and_counts_hold_while_a_writer_works() {
    for journal in ["wal", "delete"] {
        let (_home, file, extraction) = scene(journal);
        let (stop, done) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        let writer = std::thread::spawn({
            let (file, stop, done) = (file.clone(), Arc::clone(&stop), Arc::clone(&done));
            move || write(&file, &stop, &done)
        });
        for round in 0..3 {
            let before = done.load(Ordering::Relaxed);
            extraction.run(&parallel(&[])).expect_code(0);
            crate::extraction::until("the writer goes on", || {
                done.load(Ordering::Relaxed) > before
            });
            let rows = extraction.rows();
            let ids: std::collections::BTreeSet<_> = rows.iter().map(|row| &row[0]).collect();
            let balances = rows.iter().map(|row| row[1].as_deref().expect("not null"));
            let sum: i64 = balances
                .map(|text| text.parse::<i64>().expect("a number"))
                .sum();
            assert_eq!(
                (rows.len(), ids.len(), sum),
                (ACCOUNTS, ACCOUNTS, TOTAL),
                "{journal}, round {round}"
            );
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().expect("a writer that never failed");
        let level = extraction.manifest()["consistency"]["level"].clone();
        assert_eq!(level, "shared-snapshot", "{journal}");
    }
}

/// Everything that SQLite keeps of a database but the `-shm` file, which is shared memory and made
/// anew by whoever opens the database.
fn content(directory: &Path) -> Vec<(String, Vec<u8>)> {
    names(directory)
        .into_iter()
        .filter(|name| !name.ends_with("-shm"))
        .map(|name| {
            let bytes = std::fs::read(directory.join(&name)).expect("a file");
            (name, bytes)
        })
        .collect()
}

#[test]
fn reading_changes_no_byte_of_the_database() {
    for journal in ["wal", "delete"] {
        let (home, file, extraction) = scene(journal);
        let before = content(home.path());
        extraction.run(&parallel(&[])).expect_code(0);
        let after: Vec<_> = content(home.path());
        assert!(
            before == after
                // An empty log is what a database in WAL mode has when it is open.
                || (journal == "wal" && after == with_empty_log(before)),
            "{journal}: {:?}",
            names(home.path())
        );
        drop(file);
    }
}

fn with_empty_log(mut content: Vec<(String, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    content.push(("bank.db-wal".to_owned(), Vec::new()));
    content
}

/// What a program that was killed leaves: pages that are in the log only. Whoever closes the last
/// connection would move them into the database.
#[test]
fn a_log_that_somebody_left_is_read_and_left() {
    let (home, file, extraction) = scene("wal");
    let bank = open(&file);
    bank.execute_batch("PRAGMA wal_autocheckpoint = 0; UPDATE accounts SET balance = 7")
        .expect("pages in the log");
    let left = tempfile::tempdir().expect("a directory");
    for name in ["bank.db", "bank.db-wal"] {
        std::fs::copy(home.path().join(name), left.path().join(name)).expect("a copy");
    }
    drop(bank);
    let before = content(left.path());
    let file = left.path().join("bank.db");
    let extraction =
        Extraction::new(format!("sqlite:{}", file.display()), "accounts").by(extraction.cli);
    extraction.run(&parallel(&[])).expect_code(0);
    assert!(content(left.path()) == before, "{:?}", names(left.path()));
    let rows = extraction.rows();
    assert_eq!(rows.len(), ACCOUNTS);
    assert!(rows.iter().all(|row| row[1].as_deref() == Some("7")));
}
