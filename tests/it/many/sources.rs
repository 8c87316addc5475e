//! The same on servers and files that hand no snapshot on.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rusqlite::Connection;

use super::{Scene, is, told};
use crate::extraction::{names, statuses};
use crate::mysql::gate::Gate;
use crate::servers::mysql::{MysqlDatabase, both, mariadb};

/// Moves fifty from every vault into a purse, in one transaction.
const MOVE: [&str; 2] = [
    "UPDATE vault SET held = held - 50",
    "UPDATE purse SET held = held + 50",
];

/// Two tables between which money is moved, on MySQL.
fn purses(database: &MysqlDatabase) -> Scene {
    for table in ["purse", "vault"] {
        database.exec(&format!(
            "CREATE TABLE {table} (id bigint PRIMARY KEY, held bigint NOT NULL) ENGINE = InnoDB"
        ));
        let rows: Vec<String> = (1..=2000).map(|id| format!("({id}, 100)")).collect();
        database.exec(&format!("INSERT INTO {table} VALUES {}", rows.join(", ")));
        database.exec(&format!("ANALYZE TABLE {table}"));
    }
    Scene::new(database.url())
}

fn transfer(database: &MysqlDatabase) {
    let session = database.session();
    session.exec("START TRANSACTION");
    MOVE.iter().for_each(|statement| session.exec(statement));
    session.exec("COMMIT");
}

#[test]
fn mysql_tables_are_of_one_instant_though_they_are_read_one_after_another() {
    for server in both() {
        let database = server.fresh_database();
        let scene = purses(&database);
        let gate = Gate::shut(&database);
        let filter = gate.filter();
        // One session for all: a count would stand at the gate before the reader does.
        let more = ["--workers", "1", "--where", &filter, "--proof", "stream"];
        let running = scene.cli.spawn(scene.words(&["*"], &more));
        gate.wait_for_readers(1);
        transfer(&database);
        gate.open();
        let outcome = running.wait().expect_code(0);
        let folder = |table: &str| format!("{}/{table}", database.name());
        assert_eq!(scene.sum(&folder("purse"), 1), 200_000);
        assert_eq!(scene.sum(&folder("vault"), 1), 200_000);
        let document = outcome.json();
        for table in document["tables"].as_array().expect("a list") {
            assert_eq!(table["in_snapshot"], true, "{table}");
        }
        // One reader is all that one worker takes.
        assert_eq!(document["snapshot"]["level"], "single-transaction");
    }
}

#[test]
fn a_mysql_table_that_fails_in_the_middle_disturbs_no_other() {
    let database = mariadb().fresh_database();
    let scene = purses(&database);
    // The longest, so it comes first; its last rows cannot be read.
    database.exec("CREATE TABLE broken (id bigint PRIMARY KEY, at datetime) ENGINE = InnoDB");
    let rows: Vec<String> = (1..=9000)
        .map(|id| {
            let at = if id > 8500 {
                "'0000-00-00'"
            } else {
                "'2020-01-01'"
            };
            format!("({id}, {at})")
        })
        .collect();
    let session = database.session();
    session.exec("SET SESSION sql_mode = ''");
    session.exec(&format!("INSERT INTO broken VALUES {}", rows.join(", ")));
    session.exec("ANALYZE TABLE broken");
    let more = ["--chunk-rows", "500", "--workers", "3"];
    let outcome = scene.run(&["*"], &more).expect_code(4);
    let name = |table: &str| format!("{}.{table}", database.name());
    let expected = [
        is(&name("broken"), "failed"),
        is(&name("purse"), "success"),
        is(&name("vault"), "success"),
    ];
    assert_eq!(told(&outcome), expected.into());
    let folder = |table: &str| format!("{}/{table}", database.name());
    let sum = scene.sum(&folder("purse"), 1) + scene.sum(&folder("vault"), 1);
    assert_eq!(sum, 400_000);
    let document = outcome.json();
    for table in [1, 2] {
        assert_eq!(document["tables"][table]["in_snapshot"], true);
    }
    assert_eq!(document["snapshot"]["level"], "shared-snapshot");
}

#[test]
fn a_mysql_table_without_snapshots_is_read_apart_and_said_to_be() {
    let database = mariadb().fresh_database();
    let scene = purses(&database);
    database.exec("CREATE TABLE old (id bigint PRIMARY KEY) ENGINE = MyISAM");
    database.exec("INSERT INTO old VALUES (1), (2)");
    let outcome = scene.run(&["*"], &[]).expect_code(0);
    let document = outcome.json();
    let apart: Vec<bool> = document["tables"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|table| table["in_snapshot"] == false)
        .collect();
    assert_eq!(apart, [true, false, false]);
    let sets = scene.sets();
    let set = sets.values().next().expect("a manifest");
    assert_eq!(set["complete"], false);
}

/// The same tables in a file, with a journal of this mode.
fn bank(file: &Path, journal: &str) -> Scene {
    let bank = open(file);
    bank.execute_batch(&format!(
        "PRAGMA journal_mode = {journal};
         CREATE TABLE purse (id INTEGER PRIMARY KEY, held INTEGER NOT NULL);
         CREATE TABLE vault (id INTEGER PRIMARY KEY, held INTEGER NOT NULL);
         WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
         INSERT INTO purse SELECT i, 100 FROM n;
         INSERT INTO vault SELECT id, held FROM purse;"
    ))
    .expect("tables");
    Scene::new(format!("sqlite:{}", file.display()))
}

fn open(file: &Path) -> Connection {
    let connection = Connection::open(file).expect("a database");
    let patience = Duration::from_secs(60);
    connection.busy_timeout(patience).expect("patience");
    connection
}

#[test]
fn a_file_is_read_at_one_instant_while_others_write() {
    for journal in ["wal", "delete"] {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("bank.db");
        let scene = bank(&file, journal);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let bank = open(&file);
                while !stop.load(Ordering::Relaxed) {
                    let moved = format!("BEGIN IMMEDIATE; {}; COMMIT", MOVE.join("; "));
                    // Readers of a rollback journal keep writers out.
                    if bank.execute_batch(&moved).is_err() {
                        bank.execute_batch("ROLLBACK").ok();
                    }
                    // A writer that never pauses leaves readers no moment.
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
            for _ in 0..3 {
                let outcome = scene.run(&["*"], &["--chunk-rows", "500"]).expect_code(0);
                let sum = scene.sum("main/purse", 1) + scene.sum("main/vault", 1);
                assert_eq!(sum, 400_000, "{journal}");
                let tables = outcome.json()["tables"].clone();
                for table in tables.as_array().expect("a list") {
                    assert_eq!(table["in_snapshot"], true);
                }
            }
            stop.store(true, Ordering::Relaxed);
        });
    }
}

#[test]
fn a_table_of_a_file_that_fails_disturbs_no_other() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("bank.db");
    let scene = bank(&file, "wal");
    open(&file)
        .execute_batch(
            "CREATE TABLE broken (id INTEGER PRIMARY KEY, at INTEGER);
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)
             INSERT INTO broken SELECT i, CASE WHEN i > 8500 THEN 'never' ELSE 1 END FROM n;",
        )
        .expect("a table");
    let more = ["--chunk-rows", "500", "--workers", "3"];
    let outcome = scene.run(&["*"], &more).expect_code(4);
    let expected = [
        is("main.broken", "failed"),
        is("main.purse", "success"),
        is("main.vault", "success"),
    ];
    assert_eq!(told(&outcome), expected.into());
    assert_eq!(
        scene.sum("main/purse", 1) + scene.sum("main/vault", 1),
        400_000
    );
    let mut ended = statuses(&scene.cli);
    ended.sort();
    assert_eq!(ended, ["failed", "success", "success"]);
    assert!(!names(&scene.dataset("main")).contains("broken"));
}
