//! The same of a SQLite file.

use std::path::Path;

use tempfile::TempDir;

use crate::cli::fails;
use crate::extraction::Extraction;
use crate::readers::{Engine, schema};

fn shop() -> (TempDir, String) {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("shop.db");
    write(
        &file,
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer INT, total REAL, note TEXT, raw BLOB);
         WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 500)
         INSERT INTO orders SELECT i, i % 20, i * 0.25, 'n' || i, x'00ff' FROM n;
         CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(30));
         INSERT INTO customers VALUES (1, 'it''s'), (2, 'a \"b\"')",
    );
    let url = format!("sqlite:{}", file.display());
    (home, url)
}

fn write(file: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(file).expect("a database");
    connection.execute_batch(sql).expect("statements");
}

#[test]
fn a_query_is_extracted_with_the_declared_types() {
    let (_home, url) = shop();
    let sql = "SELECT o.id, c.name AS \"Who, exactly?\", o.total, o.raw, o.id + 1 AS next
               FROM orders AS o JOIN customers AS c ON c.id = o.customer WHERE o.id <= {most} -- few";
    let extraction = Extraction::of_query(&url, sql, "orders");
    extraction
        .run(&["--workers", "4", "--param", "most=22"])
        .expect_code(0);
    let cell = |text: &str| Some(text.to_owned());
    let row = |id: i32, name: &str, total: &str| {
        let next = (id + 1).to_string();
        vec![
            cell(&id.to_string()),
            cell(name),
            cell(total),
            cell("00ff"),
            cell(&next),
        ]
    };
    assert_eq!(
        extraction.rows(),
        [
            row(1, "it's", "0.25"),
            row(2, "a \"b\"", "0.5"),
            row(21, "it's", "5.25"),
            row(22, "a \"b\"", "5.5"),
        ]
    );
    let columns = schema(Engine::Pyarrow, &extraction.dataset());
    let kinds: Vec<&str> = columns.iter().map(|column| column.kind.as_str()).collect();
    assert_eq!(kinds, ["int64", "string", "double", "binary", "string"]);
    let manifest = extraction.manifest();
    assert_eq!(manifest["query"], sql.replace("{most}", "22"));
    assert_eq!(manifest["kind"], "query");
    assert_eq!(manifest["proof"]["counted"], 4);
    // The plan alone is enough to do it again.
    let cli = &extraction.cli;
    let words = extraction.words("plan", &["--out", "p.json", "--param", "most=10"]);
    cli.run(words).expect_code(0);
    cli.run(["run", "--plan", "p.json", "--output", "out"])
        .expect_code(0);
    assert_eq!(extraction.count(), 2);
}

#[test]
fn what_is_not_one_statement_that_reads_is_refused() {
    let (home, url) = shop();
    let file = home.path().join("shop.db");
    let before = std::fs::read(&file).expect("the file");
    for (sql, why) in [
        ("SELECT 1 AS a; DELETE FROM orders", "several statements"),
        ("DELETE FROM orders RETURNING id", "only reads"),
        ("PRAGMA table_info(orders)", "syntax error"),
        ("EXPLAIN SELECT 1 AS a", "syntax error"),
        ("SELECT 1 AS a) AS x, (SELECT 2 AS b", "syntax error"),
        ("SELECT * FROM no_such_table", "no_such_table"),
        ("SELECT \"naem\" FROM customers", "naem"),
        ("SELECT 1 AS a /* ? */ WHERE ? = 1", "place holder"),
        ("SELECT id, customer AS id FROM orders", "called id"),
        ("ATTACH 'other.db' AS other", "only reads"),
    ] {
        let extraction = Extraction::of_query(&url, sql, "bad one");
        let failure = fails(extraction.run(&[]), 64, ["bad one", "", ""]);
        assert!(failure.why.contains(why), "{sql}: {}", failure.why);
        assert!(!extraction.dataset().exists(), "{sql}");
    }
    assert_eq!(before, std::fs::read(&file).expect("the file"));
    assert!(!home.path().join("other.db").exists());
}

#[test]
fn columns_and_conditions_at_their_edges() {
    let (home, url) = shop();
    write(
        &home.path().join("shop.db"),
        "CREATE TABLE odd (\"qu\"\"ote\" INT, \"a b\" INT, [select] INT, \"📦\" INT, \"a.b\" INT);
         INSERT INTO odd VALUES (1, 2, 3, 4, 5), (6, 7, 8, 9, 10)",
    );
    let extraction = Extraction::new(&url, "odd");
    for (flags, expected) in [
        (
            &["--columns", "📦,a.b,qu\"ote,a b"][..],
            &["qu\"ote", "a b", "📦", "a.b"][..],
        ),
        (&["--columns", "A B,a b"], &["a b"]),
        (
            &["--exclude-columns", "SELECT,📦", "--exclude-columns", "a.b"],
            &["qu\"ote", "a b"],
        ),
    ] {
        extraction.run(flags).expect_code(0);
        let columns = schema(Engine::Pyarrow, &extraction.dataset());
        let names: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
        assert_eq!(names, expected);
        assert_eq!(extraction.count(), 2);
    }
    let failure = fails(
        extraction.run(&["--columns", "a  b"]),
        64,
        ["main.odd", "a b", "spelling"],
    );
    assert!(failure.what.contains("a  b"), "{}", failure.what);
    let all = "qu\"ote,a b,select,📦,a.b";
    fails(
        extraction.run(&["--exclude-columns", all]),
        2,
        ["main.odd", "excluded", "--exclude-columns"],
    );
    let flags = ["--where", "\"a b\" = {n} -- one", "--param", "n=7"];
    extraction.run(&flags).expect_code(0);
    assert_eq!(extraction.rows()[0][0].as_deref(), Some("6"));
}
