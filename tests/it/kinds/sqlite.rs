//! SQLite's kinds of table and file.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rusqlite::Connection;

use crate::cli::fails;
use crate::extraction::Extraction;
use crate::ixtract::Cli;
use crate::published::sqlite_url;

const MANY: &str =
    "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 60)";

fn write(file: &Path, sql: &str) -> Connection {
    let connection = Connection::open(file).expect("a database");
    connection.execute_batch(sql).expect("statements");
    connection
}

/// Extracts a table in several ways and compares its rows with SQLite's own text.
#[track_caller]
fn expect_rows(connection: &Connection, url: &str, table: &str) {
    let sql = format!("SELECT * FROM {table}");
    let mut statement = connection.prepare(&sql).expect("a table");
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        (0..columns)
            .map(|column| {
                Ok(match row.get_ref(column)? {
                    rusqlite::types::ValueRef::Null => None,
                    rusqlite::types::ValueRef::Integer(value) => Some(value.to_string()),
                    rusqlite::types::ValueRef::Text(text) => {
                        Some(String::from_utf8_lossy(text).into_owned())
                    }
                    other => panic!("not in these tables: {other:?}"),
                })
            })
            .collect::<rusqlite::Result<Vec<_>>>()
    });
    let mut expected: Vec<_> = rows.expect("rows").map(|row| row.expect("a row")).collect();
    expected.sort_by_cached_key(crate::extraction::sort_key);
    for way in [&[][..], &["--workers", "3", "--chunk-rows", "7"]] {
        let extraction = Extraction::new(url, table);
        extraction.run(way).expect_code(0);
        assert_eq!(extraction.rows(), expected, "{table} {way:?}");
        assert_eq!(
            extraction.manifest()["proof"]["counted"],
            expected.len(),
            "{table}"
        );
    }
}

#[test]
fn every_kind_of_table_is_read() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("kinds.db");
    let connection = write(
        &file,
        &format!(
            "CREATE TABLE plain (id INTEGER PRIMARY KEY, t TEXT); {MANY} INSERT INTO plain SELECT i, 't' || i FROM n;
             CREATE TABLE without (k TEXT, l INT, PRIMARY KEY (k, l)) WITHOUT ROWID;
             {MANY} INSERT INTO without SELECT 'k' || i, i FROM n;
             CREATE TABLE strict_ (id INTEGER PRIMARY KEY, a ANY, t TEXT) STRICT;
             {MANY} INSERT INTO strict_ SELECT i, i * 2, 't' FROM n;
             CREATE TABLE both (id INT PRIMARY KEY, t TEXT) STRICT, WITHOUT ROWID;
             {MANY} INSERT INTO both SELECT -i, 't' || i FROM n;
             CREATE TABLE null_keys (k TEXT PRIMARY KEY, v INT);
             INSERT INTO null_keys VALUES (NULL, 1), (NULL, 2), ('a', 3), ('', 4);
             CREATE TABLE null_pair (a INT, b INT, PRIMARY KEY (a, b));
             INSERT INTO null_pair VALUES (NULL, NULL), (NULL, NULL), (1, NULL), (NULL, 1), (1, 1);
             CREATE TABLE ends (id INTEGER PRIMARY KEY, t TEXT);
             INSERT INTO ends VALUES (-9223372036854775808, 'low'), (9223372036854775807, 'high'),
                                     (0, NULL), (-1, 'x'), (1, 'y');
             CREATE TABLE made (a INT, b INT AS (a * 2), c TEXT AS ('c' || a) STORED);
             {MANY} INSERT INTO made (a) SELECT i FROM n;
             CREATE TABLE altered (a INT, gone INT, b INT); {MANY} INSERT INTO altered SELECT i, 0, -i FROM n;
             ALTER TABLE altered DROP gone; ALTER TABLE altered ADD late TEXT DEFAULT 'late';
             CREATE TABLE none (id INTEGER PRIMARY KEY, t TEXT); CREATE TABLE one (t TEXT); INSERT INTO one VALUES ('1');
             CREATE VIEW v AS SELECT id, t || '!' AS t FROM plain WHERE id % 2;
             CREATE VIEW nested AS SELECT v.id, w.l FROM v JOIN without AS w ON w.l = v.id;
             CREATE VIRTUAL TABLE words USING fts5(body); INSERT INTO words VALUES ('some words'), ('more');
             CREATE TABLE \"other.plain\" (x INT); INSERT INTO \"other.plain\" VALUES (1), (2);
             CREATE TABLE \"temp.plain\" (x INT); INSERT INTO \"temp.plain\" VALUES (3);
             CREATE TABLE \"main.plain\" (x INT); INSERT INTO \"main.plain\" VALUES (4)"
        ),
    );
    let url = sqlite_url(&file);
    for table in [
        "plain",
        "without",
        "strict_",
        "both",
        "null_keys",
        "null_pair",
        "ends",
        "made",
        "altered",
        "none",
        "one",
        "v",
        "nested",
        "words",
    ] {
        expect_rows(&connection, &url, table);
    }
    // Names that look like those of attached databases; `main.plain` is the table of that schema.
    for (typed, rows) in [
        ("other.plain", 2),
        ("temp.plain", 1),
        ("main.plain", 60),
        ("\"main.plain\"", 1),
        ("main.main.plain", 1),
    ] {
        let extraction = Extraction::new(&url, typed);
        extraction.run(&[]).expect_code(0);
        assert_eq!(extraction.count(), rows, "{typed}");
    }
}

#[test]
fn text_in_an_integer_column_is_refused_or_written_as_text() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("loose.db");
    write(
        &file,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INTEGER);
         INSERT INTO t VALUES (1, 1), (2, 'two'), (3, NULL), (4, 4.5)",
    );
    let extraction = Extraction::new(sqlite_url(&file), "t");
    fails(extraction.run(&[]), 1, ["main.t.n", "two", "--type n=text"]);
    assert!(!extraction.dataset().exists());
    extraction.run(&["--type", "n=text"]).expect_code(0);
    let cell = |text: &str| Some(text.to_owned());
    let values: Vec<_> = extraction
        .rows()
        .into_iter()
        .map(|mut row| row.remove(1))
        .collect();
    assert_eq!(values, [cell("1"), cell("two"), None, cell("4.5")]);
}

#[test]
fn a_writer_at_work_changes_nothing_in_either_journal_mode() {
    for mode in ["wal", "delete", "truncate", "persist"] {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("live.db");
        let writer = write(
            &file,
            &format!(
                "PRAGMA journal_mode = {mode}; CREATE TABLE t (id INTEGER PRIMARY KEY, v INT);
                 {MANY} INSERT INTO t SELECT i, 0 FROM n"
            ),
        );
        writer
            .busy_timeout(std::time::Duration::from_secs(30))
            .expect("a timeout");
        let _busy = Busy::with(writer);
        let extraction = Extraction::new(sqlite_url(&file), "t");
        for _ in 0..5 {
            let flags = ["--workers", "3", "--chunk-rows", "7"];
            extraction.run(&flags).expect_code(0);
            let values: BTreeSet<_> = extraction
                .rows()
                .into_iter()
                .map(|row| row[1].clone())
                .collect();
            assert_eq!(values.len(), 1, "{mode}: {values:?}");
        }
    }
}

/// A writer that changes every row of `t` again and again, until it is dropped.
struct Busy {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Busy {
    fn with(writer: Connection) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                writer
                    .execute_batch("UPDATE t SET v = v + 1")
                    .expect("an update");
                // With no pause at all, a rollback journal would keep every reader out.
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))) || std::thread::panicking());
    }
}

/// As somebody who may read and not write; root may do both, whatever the permissions say.
#[test]
fn what_may_only_be_read_is_read_and_left_as_it_was() {
    use std::os::unix::fs::PermissionsExt;
    for mode in ["wal", "delete"] {
        let home = tempfile::tempdir().expect("a directory");
        let shut = home.path().join("shut");
        std::fs::create_dir(&shut).expect("a directory");
        let file = shut.join("sealed.db");
        write(
            &file,
            &format!(
                "PRAGMA journal_mode = {mode}; CREATE TABLE t (id INTEGER PRIMARY KEY);
                 {MANY} INSERT INTO t SELECT i FROM n"
            ),
        )
        .close()
        .expect("closed");
        let set = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("a mode");
        };
        set(home.path(), 0o755);
        set(&file, 0o444);
        set(&shut, 0o555);
        let cli = as_reader(Cli::new());
        let extraction = Extraction::new(sqlite_url(&file), "t").by(cli);
        set(extraction.cli.home(), 0o777);
        let before = std::fs::read(&file).expect("the file");
        extraction
            .run(&["--workers", "3", "--chunk-rows", "7"])
            .expect_code(0);
        assert_eq!(extraction.count(), 60, "{mode}");
        let notes = extraction.manifest()["consistency"]["notes"].to_string();
        assert_eq!(notes.contains("without locks"), mode == "wal", "{notes}");
        assert_eq!(std::fs::read(&file).expect("the file"), before, "{mode}");
        assert_eq!(
            std::fs::read_dir(&shut).expect("a directory").count(),
            1,
            "{mode}"
        );
        set(&shut, 0o755);
    }
}

/// The same program, started as somebody without rights where we are root.
fn as_reader(cli: Cli) -> Cli {
    if rustix::process::geteuid().is_root() {
        cli.through(&[
            "setpriv",
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "--",
        ])
    } else {
        cli
    }
}
