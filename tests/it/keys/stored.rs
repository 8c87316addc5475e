//! Keys of SQLite's tables without a rowid: text, blobs, reals, all of them in one column, and several
//! columns.

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
    let sql = format!("EXPLAIN QUERY PLAN SELECT n FROM {name} NOT INDEXED WHERE {predicate}");
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
