//! Keys of SQLite's tables without a rowid, or with one that cannot be named: text, blobs, reals, all
//! of them in one column, and several columns.

use ixtract::model::{ChunkBounds, ExecutionSpec, Strategy};
use ixtract::source::dialect::Dialect;
use rusqlite::Connection;

use super::expect_rows;
use crate::ixtract::Cli;
use crate::published::{extract, sqlite_url};
use crate::readers::Row;

/// Name, columns, and 150 rows of each table.
const TABLES: &[(&str, &str, &str)] = &[
    (
        "words",
        "k TEXT PRIMARY KEY, n INTEGER",
        "SELECT 'it''s \\ 🦀' || i, i FROM c",
    ),
    (
        "nocase",
        "k TEXT COLLATE NOCASE PRIMARY KEY, n INTEGER",
        "SELECT CASE i % 2 WHEN 0 THEN 'Key' ELSE 'kEY' END || i, i FROM c",
    ),
    (
        "mixed",
        "k PRIMARY KEY, n INTEGER",
        "SELECT CASE i % 4 WHEN 0 THEN i WHEN 1 THEN -i / 7.0 WHEN 2 THEN 'text' || i
                ELSE CAST('blob' || i AS BLOB) END, i FROM c",
    ),
    (
        "loose",
        "k INTEGER PRIMARY KEY, n INTEGER",
        "SELECT CASE WHEN i % 10 THEN i * 1000003 ELSE 'text ' || i END, i FROM c",
    ),
    (
        "numbers",
        "k NUMERIC PRIMARY KEY, n INTEGER",
        "SELECT CASE i % 3 WHEN 0 THEN 9223372036854775807 - i WHEN 1 THEN i / 3.0
                ELSE -i * 1e300 END, i FROM c",
    ),
    (
        "backwards",
        "k TEXT, n INTEGER, PRIMARY KEY (k DESC)",
        "SELECT printf('%03d', i), i FROM c",
    ),
    (
        "nul",
        "k TEXT PRIMARY KEY, n INTEGER",
        "SELECT CASE WHEN i < 40 THEN 'a' || char(0) || i ELSE 'b' || i END, i FROM c",
    ),
    (
        "heap",
        "a TEXT, b, n INTEGER, PRIMARY KEY (a, b)",
        "SELECT 'same', CASE WHEN i % 2 THEN i ELSE 'b' || i END, i FROM c",
    ),
    (
        "several",
        "a INT, b TEXT COLLATE NOCASE, n INTEGER, PRIMARY KEY (a, b)",
        "SELECT i / 50, 'B' || i, i FROM c",
    ),
    (
        "trimmed",
        "k TEXT COLLATE RTRIM, l INT, n INTEGER, PRIMARY KEY (k, l)",
        "SELECT substr('a      ', 1, 1 + i % 5), i, i FROM c",
    ),
    (
        "spellings",
        "k TEXT COLLATE NOCASE, l INT, n INTEGER, PRIMARY KEY (k, l)",
        "SELECT CASE i % 2 WHEN 0 THEN 'Key' ELSE 'kEY' END || (i / 9), i, i FROM c",
    ),
    (
        "both_ways",
        "a INT, b INT, n INTEGER, PRIMARY KEY (a, b DESC)",
        "SELECT i / 10, i, i FROM c",
    ),
];

#[test]
fn every_row_comes_once_whatever_its_key() {
    let cli = Cli::new();
    let path = cli.home().join("source.db");
    let connection = Connection::open(&path).expect("a database");
    for (name, columns, rows) in TABLES {
        let sql = format!(
            "CREATE TABLE {name} ({columns}) WITHOUT ROWID;
             WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 150)
                 INSERT INTO {name} {rows}"
        );
        connection.execute_batch(&sql).expect(name);
        let flags = ["--workers", "3", "--chunk-rows", "7", "--columns", "n"];
        let run = extract(&cli, &sqlite_url(&path), name, name, &flags);
        expect_rows(&run, name, numbers(&connection, name));
        let spec = run.plan().spec;
        assert_eq!(spec.strategy, Strategy::RangeChunking, "{name}");
        assert!(spec.chunks.len() > 10, "{name}: {:?}", run.chunks());
        expect_found(&connection, &spec, name);
    }
}

/// Name, columns beside those that bear all names of the rowid, an index, 150 rows, and whether they
/// can be cut.
const COVERED: &[(&str, &str, &str, &str, bool)] = &[
    ("words", "k TEXT UNIQUE", "", "'it''s ' || i", true),
    (
        "nulls",
        "k TEXT UNIQUE",
        "",
        "CASE WHEN i % 3 THEN 'k' || i END",
        true,
    ),
    ("never", "k TEXT UNIQUE", "", "NULL", true),
    (
        "mixed",
        "k UNIQUE",
        "",
        "CASE i % 5 WHEN 0 THEN i WHEN 1 THEN -i / 7.0 WHEN 2 THEN 'text' || i
             WHEN 3 THEN CAST('blob' || i AS BLOB) END",
        true,
    ),
    (
        "affine",
        "k INTEGER UNIQUE",
        "",
        "CASE i % 4 WHEN 0 THEN i * 1000003 WHEN 1 THEN 'text ' || i WHEN 2 THEN i / 7.0 END",
        true,
    ),
    (
        "other_collation",
        "k TEXT NOT NULL",
        "CREATE UNIQUE INDEX folded ON other_collation (k COLLATE NOCASE DESC)",
        "CASE i % 2 WHEN 0 THEN 'Key' ELSE 'kEY' END || i",
        true,
    ),
    (
        "trimmed",
        "k TEXT",
        "CREATE UNIQUE INDEX short ON trimmed (k COLLATE RTRIM)",
        "i || substr('      ', 1, i % 5)",
        true,
    ),
    (
        "primary_",
        "k TEXT PRIMARY KEY",
        "",
        "CASE WHEN i % 2 THEN 'k' || i END",
        true,
    ),
    (
        "partial",
        "k INT",
        "CREATE UNIQUE INDEX some ON partial (k) WHERE k > 10",
        "i",
        false,
    ),
    (
        "expression",
        "k INT",
        "CREATE UNIQUE INDEX shifted ON expression (k + 1)",
        "i",
        false,
    ),
];

#[test]
fn a_unique_index_is_a_key_where_the_rowid_has_no_name() {
    let cli = Cli::new();
    let path = cli.home().join("source.db");
    let connection = Connection::open(&path).expect("a database");
    for (name, columns, index, key, cut) in COVERED {
        let sql = format!(
            "CREATE TABLE {name} (rowid TEXT, oid TEXT, _rowid_ TEXT, n INTEGER, {columns}); {index};
             WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 150)
                 INSERT INTO {name} (n, k) SELECT i, {key} FROM c"
        );
        connection.execute_batch(&sql).expect(name);
        let flags = ["--workers", "3", "--chunk-rows", "7", "--columns", "n"];
        let run = extract(&cli, &sqlite_url(&path), name, name, &flags);
        expect_rows(&run, name, numbers(&connection, name));
        let spec = run.plan().spec;
        let wanted = if *cut {
            Strategy::RangeChunking
        } else {
            Strategy::SinglePass
        };
        assert_eq!(spec.strategy, wanted, "{name}");
        if *cut && *name != "never" {
            assert!(spec.chunks.len() > 10, "{name}: {:?}", run.chunks());
            expect_found(&connection, &spec, name);
        }
    }
}

#[test]
fn several_columns_of_a_unique_index_are_a_key_where_none_is_null() {
    let cli = Cli::new();
    let path = cli.home().join("source.db");
    let connection = Connection::open(&path).expect("a database");
    for (name, nullability, chunks) in [("filled", "NOT NULL", 10), ("gaps", "", 2)] {
        let sql = format!(
            "CREATE TABLE {name} (rowid TEXT, oid TEXT, _rowid_ TEXT, n INTEGER,
                 a TEXT NOT NULL, b INT {nullability}, UNIQUE (a, b));
             WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 150)
                 INSERT INTO {name} (n, a, b) SELECT i, 'a' || (i / 75), i FROM c"
        );
        connection.execute_batch(&sql).expect(name);
        let flags = ["--workers", "3", "--chunk-rows", "7", "--columns", "n"];
        let run = extract(&cli, &sqlite_url(&path), name, name, &flags);
        expect_rows(&run, name, numbers(&connection, name));
        assert!(run.chunks().len() >= chunks, "{name}: {:?}", run.chunks());
    }
}

#[test]
fn a_large_table_of_texts_is_cut_evenly() {
    let cli = Cli::new();
    let path = cli.home().join("source.db");
    let connection = Connection::open(&path).expect("a database");
    let sql = "CREATE TABLE t (k TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID;
        WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 400000)
            INSERT INTO t SELECT 'key ' || i, i FROM c";
    connection.execute_batch(sql).expect("a table");
    let flags = ["--workers", "2", "--chunk-rows", "50000", "--columns", "n"];
    let run = extract(&cli, &sqlite_url(&path), "t", "t", &flags);
    run.expect_exact_cover(400_000);
    let files = run.manifest["files"].as_array().expect("files");
    let rows: Vec<u64> = files
        .iter()
        .map(|file| file["rows"].as_u64().expect("rows"))
        .collect();
    assert!(rows.len() >= 8, "{rows:?}");
    assert!(
        rows.iter().all(|rows| (25_000..75_000).contains(rows)),
        "{rows:?}"
    );
}

/// Fails the test unless SQLite looks the bounds of a chunk up, and does not scan for them.
#[track_caller]
fn expect_found(connection: &Connection, spec: &ExecutionSpec, name: &str) {
    let chunk = spec
        .chunks
        .iter()
        .map(|chunk| &chunk.bounds)
        .find(|bounds| matches!(bounds, ChunkBounds::Key(range) if range.lower.is_some()));
    let predicate = Dialect::Sqlite
        .predicate(chunk.expect("a lower bound"), spec.read.key.as_ref())
        .expect("a predicate")
        .expect("a condition");
    let sql = format!("EXPLAIN QUERY PLAN SELECT n FROM {name} WHERE {predicate}");
    let steps: String = connection
        .query_row(&sql, [], |row| row.get(3))
        .expect("a query plan");
    assert!(steps.contains("SEARCH"), "{name}: {steps}: {predicate}");
}

fn numbers(connection: &Connection, table: &str) -> Vec<Row> {
    let mut statement = connection
        .prepare(&format!("SELECT n FROM {table}"))
        .expect("a query");
    let rows = statement.query_map([], |row| Ok(vec![Some(row.get::<_, i64>(0)?.to_string())]));
    rows.expect("rows").map(|row| row.expect("a row")).collect()
}
