//! Accounts whose number and total never change, and everything that can happen to their rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use crate::extraction::sort_key;
use crate::readers::Row;
use crate::servers::Database;

/// How many there are.
pub(crate) const ACCOUNTS: usize = 20_000;

/// What they hold together.
pub(crate) const TOTAL: i64 = 1_000 * ACCOUNTS as i64;

const WRITERS: usize = 3;

/// `public.accounts (id, owner, balance)`, and `public.churn`, which changes the accounts of one
/// owner in one transaction and keeps their number and total.
pub(crate) fn create(database: &Database) {
    database.exec(&format!(
        "CREATE TABLE accounts (
             id bigint PRIMARY KEY, owner int NOT NULL, balance bigint NOT NULL
         );
         INSERT INTO accounts
             SELECT i * 100, i % {WRITERS}, 1000 FROM generate_series(1, {ACCOUNTS}) AS i;
         CREATE INDEX ON accounts (owner, id);
         ANALYZE accounts;
         CREATE SEQUENCE fresh;
         CREATE FUNCTION some_account(of int) RETURNS bigint LANGUAGE sql VOLATILE AS $$
             SELECT coalesce(
                 (SELECT id FROM accounts WHERE owner = of
                      AND id >= (SELECT floor(random() * {ACCOUNTS} * 100)::bigint) ORDER BY id LIMIT 1),
                 (SELECT id FROM accounts WHERE owner = of ORDER BY id LIMIT 1))
         $$;
         -- A key that nobody has: below all others, between them or above them.
         CREATE FUNCTION fresh_key() RETURNS bigint LANGUAGE sql VOLATILE AS $$
             SELECT CASE n % 3
                 WHEN 0 THEN -n
                 WHEN 1 THEN ((n * 7919) % {ACCOUNTS}) * 100 + 1 + n % 97
                 ELSE 1000000000 + n END
             FROM nextval('fresh') AS n
         $$;
         CREATE FUNCTION churn(of int) RETURNS void LANGUAGE plpgsql AS $$
         DECLARE one bigint := some_account(of); other bigint := some_account(of);
                 third bigint := some_account(of); held bigint;
         BEGIN
             UPDATE accounts SET balance = balance - 1 WHERE id = one;
             UPDATE accounts SET balance = balance + 1 WHERE id = other;
             DELETE FROM accounts WHERE id = one RETURNING balance INTO held;
             INSERT INTO accounts VALUES (fresh_key(), of, held);
             UPDATE accounts SET id = fresh_key() WHERE id = third;
         EXCEPTION WHEN unique_violation THEN
             NULL; -- The key was taken; all of it is undone.
         END $$",
    ));
}

/// The rows that are there now, as the reader of a dataset would show them.
pub(crate) fn rows(database: &Database) -> Vec<Row> {
    let mut rows = database.query_text("SELECT id, owner, balance FROM accounts");
    rows.sort_by_cached_key(sort_key);
    rows
}

/// Changes every chunk of the table in one transaction: values, keys, places on disk, rows that
/// come and go, below, inside and above the range of keys.
pub(crate) fn change_everything(database: &Database) {
    database.exec(
        "BEGIN;
         UPDATE accounts SET balance = balance + CASE WHEN id % 200 = 0 THEN 1 ELSE -1 END;
         DELETE FROM accounts WHERE id % 700 = 0;
         INSERT INTO accounts SELECT i, 0, 5 FROM generate_series(-50, -1) AS i;
         INSERT INTO accounts SELECT i * 1000 + 1, 0, 7 FROM generate_series(1, 500) AS i;
         INSERT INTO accounts SELECT 1000000000 + i, 0, 9 FROM generate_series(1, 50) AS i;
         UPDATE accounts SET id = 3000003 - id WHERE id % 1100 = 0;
         COMMIT",
    );
}

/// Sessions that churn the accounts until they are stopped, each those of an owner of its own, so
/// that they never wait for each other.
pub(crate) struct Writers {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<()>>,
}

impl Writers {
    pub(crate) fn start(database: &Database) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let done = Arc::new(AtomicUsize::new(0));
        let threads = (0..WRITERS).map(|owner| {
            let session = database.session();
            let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    session.exec(&format!("SELECT churn({owner})"));
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let threads = threads.collect();
        Self {
            stop,
            done,
            threads,
        }
    }

    /// How many transactions were committed so far.
    pub(crate) fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Ends them; a writer that failed fails the test.
    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a writer that never failed");
        }
    }
}
