//! Keys of SQLite: the rowid under all its names, at both ends of 64 bits, and integer keys that are
//! no rowid.

use rusqlite::Connection;

use super::expect_rows;
use crate::ixtract::Cli;
use crate::published::{Published, extract, sqlite_url};
use crate::readers::Row;

const TABLES: &str = "
    CREATE TABLE ends (id INTEGER PRIMARY KEY, x TEXT);
    INSERT INTO ends VALUES (-9223372036854775808, 'low'), (9223372036854775807, 'high'), (0, 'zero');
    CREATE TABLE gaps (id INTEGER PRIMARY KEY, x TEXT);
    WITH RECURSIVE c(i) AS (SELECT -60 UNION ALL SELECT i + 1 FROM c WHERE i < 60)
        INSERT INTO gaps SELECT i * i * i * 1000003, 'row ' || i FROM c;
    INSERT INTO gaps VALUES (-9223372036854775808, 'low'), (9223372036854775807, 'high');
    CREATE TABLE hidden (x TEXT, rowid TEXT);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 80)
        INSERT INTO hidden SELECT 'row ' || i, 'not the rowid' FROM c;
    CREATE TABLE covered (rowid TEXT, oid TEXT, _rowid_ TEXT);
    INSERT INTO covered VALUES ('a', 'b', 'c'), ('d', NULL, 'f');
    CREATE TABLE nulls (k INTEGER UNIQUE, x TEXT);
    WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 60)
        INSERT INTO nulls SELECT CASE WHEN i % 3 THEN i END, 'row ' || i FROM c;
    CREATE TABLE loose (k INTEGER PRIMARY KEY, x TEXT) WITHOUT ROWID;
    INSERT INTO loose VALUES (1, 'a'), (2, 'b'), ('three', 'text sorts above every integer');
    CREATE TABLE without_ (k INTEGER PRIMARY KEY, x TEXT) STRICT, WITHOUT ROWID;
    WITH RECURSIVE c(i) AS (SELECT -40 UNION ALL SELECT i + 1 FROM c WHERE i < 40)
        INSERT INTO without_ SELECT i, 'row ' || i FROM c;
    CREATE TABLE backwards (id INTEGER PRIMARY KEY DESC, x TEXT);
    INSERT INTO backwards VALUES (5, 'a'), (NULL, 'b'), (NULL, 'c'), (-7, 'd');
    CREATE TABLE words (k TEXT PRIMARY KEY, x TEXT) WITHOUT ROWID;
    INSERT INTO words VALUES ('b', '1'), ('a', '2'), ('', '3')";

#[test]
fn every_row_comes_once_whatever_its_rowid() {
    let cli = Cli::new();
    let path = cli.home().join("source.db");
    let connection = Connection::open(&path).expect("a database");
    connection.execute_batch(TABLES).expect("tables");
    let check = |table: &str, rows: &str| -> Published {
        let flags = ["--workers", "3", "--chunk-rows", rows];
        let run = extract(&cli, &sqlite_url(&path), table, table, &flags);
        expect_rows(&run, table, stored(&connection, table));
        run
    };
    for table in ["gaps", "hidden", "without_"] {
        let run = check(table, "7");
        assert!(run.chunks().len() > 2, "{table}: {:?}", run.chunks());
    }
    check("ends", "1");
    for table in ["covered", "nulls", "backwards", "words"] {
        check(table, "1");
    }
    // A primary key that may hold text: read it without the column that could not.
    let loose = extract(
        &cli,
        &sqlite_url(&path),
        "loose",
        "loose",
        &["--columns", "x", "--chunk-rows", "1"],
    );
    expect_rows(
        &loose,
        "loose",
        stored(&connection, "(SELECT x FROM loose)"),
    );
    connection
        .execute_batch("ANALYZE; DELETE FROM gaps WHERE id > 0")
        .expect("statistics");
    check("gaps", "5");
    check("nulls", "5");
}

#[test]
fn strings_beside_numbers_in_an_integer_key_are_not_lost() {
    let cli = Cli::new();
    let path = cli.home().join("source.db");
    let connection = Connection::open(&path).expect("a database");
    // Only a UNIQUE column that is no rowid can hold them; text sorts above every number.
    let sql =
        "CREATE TABLE t (x TEXT, k INTEGER UNIQUE); CREATE TABLE n (k NUMERIC UNIQUE, x TEXT);
        WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 60)
            INSERT INTO t SELECT 'row ' || i, i FROM c;
        INSERT INTO t VALUES ('text', 'abc'), ('blob', x'00'), ('real', 7.5);
        INSERT INTO n SELECT k, x FROM t";
    connection.execute_batch(sql).expect("a table");
    let flags = ["--workers", "2", "--chunk-rows", "7", "--columns", "x"];
    for table in ["t", "n"] {
        let run = extract(&cli, &sqlite_url(&path), table, table, &flags);
        let wanted = format!("(SELECT x FROM {table})");
        expect_rows(&run, table, stored(&connection, &wanted));
    }
}

/// The rows as SQLite's own text.
fn stored(connection: &Connection, table: &str) -> Vec<Row> {
    let mut statement = connection
        .prepare(&format!("SELECT * FROM {table}"))
        .expect("a query");
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        let cell = |column| -> rusqlite::Result<Option<String>> {
            Ok(match row.get(column)? {
                rusqlite::types::Value::Null => None,
                rusqlite::types::Value::Integer(value) => Some(value.to_string()),
                rusqlite::types::Value::Text(value) => Some(value),
                other => panic!("not in these tables: {other:?}"),
            })
        };
        (0..columns).map(cell).collect()
    });
    rows.expect("rows").map(|row| row.expect("a row")).collect()
}
