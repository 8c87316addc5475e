//! Every row once, whatever the keys are like.

use super::numbered;
use crate::extraction::{Extraction, expect_every_row, sort_key};
use crate::servers::sqlserver::SqlDatabase;

#[test]
fn every_kind_of_key_is_cut() {
    let database = numbered();
    for (name, definition, value, printed) in [
        ("ints", "int", "n * 7 - 5000", "k"),
        ("tiny", "smallint", "n - 500", "k"),
        ("big", "bigint", "9223372036854775807 - n", "k"),
        ("decimals", "decimal(20,4)", "n / 7.0 - 50", "k"),
        ("days", "date", "DATEFROM(n)", "k"),
        (
            "moments",
            "datetime2(7)",
            "DATEFROM(n)",
            "CONVERT(nvarchar(40), k, 121)",
        ),
        ("ticks", "datetime", "DATEFROM(n)", "k"),
        ("minutes", "smalldatetime", "DATEFROM(n)", "k"),
        ("clocks", "time(3)", "CLOCK(n)", "k"),
        (
            "fine_clocks",
            "time(7)",
            "CLOCK(n)",
            "IIF(n % 10 = 0, CAST(CAST(k AS time(6)) AS nvarchar(20)), \
             CONCAT(CONVERT(nvarchar(40), k, 121), '00'))",
        ),
        ("zoned", "datetimeoffset(3)", "ZONED(n)", "k"),
        (
            "coins",
            "money",
            "CAST(n AS money) / 7 - 50",
            "CAST(k AS decimal(19,4))",
        ),
        (
            "pennies",
            "smallmoney",
            "CAST(n AS money) / 7 - 50",
            "CAST(k AS decimal(10,4))",
        ),
        (
            "words",
            "varchar(30) COLLATE Latin1_General_CI_AS",
            "WORD(n)",
            "k",
        ),
        (
            "cased",
            "nvarchar(30) COLLATE Latin1_General_BIN2",
            "WORD(n)",
            "k",
        ),
        ("guids", "uniqueidentifier", "MAKEGUID(n)", "k"),
        (
            "bytes",
            "binary(16)",
            "CAST(MAKEGUID(n) AS binary(16))",
            "k",
        ),
    ] {
        database.exec(&format!(
            "CREATE TABLE {name} (k {definition} NOT NULL PRIMARY KEY, n INT);
             INSERT INTO {name} SELECT {value}, n FROM numbers WHERE n < 1000"
        ));
        let chunks = expect_every_row(&database, name, &format!("{printed}, n"));
        assert!(chunks > 5, "{name}: {chunks} chunks");
    }
}

/// A `rowversion` is the server's own, and unique in a database.
#[test]
fn versions_of_rows_are_cut_where_they_are_indexed() {
    let database = numbered();
    database.exec(
        "CREATE TABLE t (id INT NOT NULL, v rowversion NOT NULL, UNIQUE (v));
         INSERT INTO t (id) SELECT n FROM numbers WHERE n < 1000",
    );
    assert!(expect_every_row(&database, "t", "id, v") > 5);
    assert_eq!(
        extraction_key(&database, "t"),
        ("v".to_owned(), "rowversion".to_owned())
    );
}

/// The column that a plan cuts on, and its type.
fn extraction_key(database: &SqlDatabase, table: &str) -> (String, String) {
    let extraction = Extraction::new(database.url(), table);
    let words = extraction.words("plan", &["--json", "--chunk-rows", "100"]);
    let plan = extraction.cli.run(words).expect_code(0).json();
    let key = &plan["plan"]["spec"]["read"]["key"];
    let text = |name: &str| key[name].as_str().expect("a text").to_owned();
    (text("column"), text("source_type"))
}

/// What has no order that bounds could be written in is named, and the table read whole or by another key.
#[test]
fn keys_without_an_order_are_declined_with_a_reason() {
    let database = numbered();
    for (name, definition) in [("flags", "bit"), ("floats", "float"), ("reals", "real")] {
        database.exec(&format!(
            "CREATE TABLE {name} (k {definition} NOT NULL PRIMARY KEY, n INT);
             INSERT INTO {name} SELECT n, n FROM numbers WHERE n < 2"
        ));
        let extraction = Extraction::new(database.url(), name);
        let refused = extraction.run(&["--chunking", "key"]).expect_code(2);
        let said = "the primary key's k is passed over";
        assert!(refused.stderr.contains(said), "{name}: {refused:#?}");
        extraction.run(&["--workers", "2"]).expect_code(0);
        assert_eq!(extraction.count(), 2, "{name}");
    }
}

/// The last six bytes of a UUID come first in its order.
#[test]
fn uuids_are_cut_in_the_servers_own_order() {
    let database = SqlDatabase::fresh();
    database.exec(
        "CREATE TABLE t (k uniqueidentifier PRIMARY KEY, n INT);
         INSERT INTO t VALUES ('FF000000-0000-0000-0000-000000000001', 1),
             ('01000000-0000-0000-0000-000000000002', 2), ('00000000-0000-0000-0000-FF0000000000', 4),
             ('EE000000-0000-0000-0000-010000000000', 3)",
    );
    let extraction = Extraction::new(database.url(), "t");
    let options = ["--workers", "2", "--chunk-rows", "1", "--chunking", "key"];
    extraction.run(&options).expect_code(0);
    let files = extraction.manifest()["files"]
        .as_array()
        .expect("files")
        .clone();
    assert_eq!(files.len(), 4, "{files:#?}");
    let bounds: Vec<String> = files
        .iter()
        .map(|file| file["bounds"].to_string())
        .collect();
    let place = |part: &str| bounds.iter().position(|bound| bound.contains(part));
    let (second, third) = (
        place("01000000-").expect("a bound"),
        place("EE000000-").expect("a bound"),
    );
    assert!(second < third, "{bounds:#?}");
    assert_eq!(extraction.rows().len(), 4);
}

#[test]
fn keys_of_several_columns_and_none_and_nulls() {
    let database = numbered();
    database.exec(
        "CREATE TABLE pairs (a INT NOT NULL, b NVARCHAR(10) NOT NULL, c INT, PRIMARY KEY (a, b));
         INSERT INTO pairs SELECT n % 3, WORD(n), n FROM numbers WHERE n < 2000;
         CREATE TABLE loose (a INT NULL, n INT);
         CREATE INDEX loose_a ON loose (a);
         INSERT INTO loose SELECT IIF(n % 10 = 0, NULL, n / 5), n FROM numbers WHERE n < 2000;
         CREATE TABLE bare (n INT, t NVARCHAR(50));
         INSERT INTO bare SELECT n, WORD(n) FROM numbers WHERE n < 2000;
         CREATE TABLE nothing (id INT PRIMARY KEY);
         CREATE VIEW seen AS SELECT n, t FROM bare WHERE n % 2 = 0",
    );
    assert!(expect_every_row(&database, "pairs", "a, b, c") > 5);
    assert!(expect_every_row(&database, "loose", "a, n") > 5);
    for (table, columns) in [("bare", "n, t"), ("nothing", "id"), ("seen", "n, t")] {
        let extraction = Extraction::new(database.url(), table);
        extraction.run(&["--workers", "2"]).expect_code(0);
        let mut expected = database.rows(&format!("SELECT {columns} FROM {table}"));
        expected.sort_by_cached_key(sort_key);
        assert_eq!(extraction.rows(), expected, "{table}");
    }
}

/// A table of more keys than are all looked at.
#[test]
fn a_large_table_is_cut_by_a_sample() {
    let database = numbered();
    database.exec(
        "CREATE TABLE ids (id BIGINT PRIMARY KEY);
         INSERT INTO ids SELECT 3 * (n + 10000 * d) FROM numbers CROSS JOIN digits WHERE d < 3",
    );
    let extraction = Extraction::new(database.url(), "ids");
    let options = [
        "--workers",
        "2",
        "--chunk-rows",
        "4000",
        "--chunking",
        "key",
    ];
    extraction.run(&options).expect_code(0);
    assert_eq!(extraction.count(), 30_000);
    let manifest = extraction.manifest();
    let files = manifest["files"].as_array().expect("files");
    let rows = files.iter().filter_map(|file| file["rows"].as_u64());
    let largest = rows.max().expect("a file");
    assert!(files.len() > 5 && largest < 16_000, "{files:#?}");
}

#[test]
fn wide_tables_strange_names_and_special_columns_are_read() {
    let database = SqlDatabase::fresh();
    let wide: Vec<String> = (0..600).map(|at| format!("c{at} tinyint")).collect();
    let values: Vec<String> = (0..600).map(|at| (at % 100).to_string()).collect();
    database.exec(&format!(
        "CREATE TABLE wide (id INT PRIMARY KEY, {}); INSERT INTO wide VALUES (1, {});
         CREATE SCHEMA [my schema];
         CREATE TABLE [my schema].[or]]der's \"x\".y] ([se]]lect] INT PRIMARY KEY, [ü 🦀] NVARCHAR(9));
         INSERT INTO [my schema].[or]]der's \"x\".y] VALUES (1, N'é');
         CREATE TABLE t (id INT PRIMARY KEY, d AS (id * 2) PERSISTED, s INT SPARSE NULL,
             h DATETIME2(3) GENERATED ALWAYS AS ROW START HIDDEN NULL, i INT IDENTITY(1, 1));
         INSERT INTO t (id, s, h, i) VALUES (1, NULL, '2024-01-01', 7), (2, 5, NULL, 8)",
        wide.join(", "),
        values.join(", ")
    ));
    for (name, sql) in [
        ("wide", "SELECT * FROM wide"),
        (
            "[my schema].[or]]der's \"x\".y]",
            "SELECT * FROM [my schema].[or]]der's \"x\".y]",
        ),
        ("t", "SELECT id, d, s, h, i FROM t"),
    ] {
        let extraction = Extraction::new(database.url(), name);
        extraction.run(&[]).expect_code(0);
        assert_eq!(extraction.rows(), database.rows(sql), "{name}");
    }
    let plan = Extraction::new(database.url(), "t");
    let words = plan.words("plan", &["--json"]);
    let plan = plan.cli.run(words).expect_code(0).json();
    let columns = plan["plan"]["spec"]["read"]["columns"].as_array();
    let columns = columns.expect("columns");
    let said: Vec<&str> = columns
        .iter()
        .filter_map(|c| c["generated"].as_str())
        .collect();
    let expected = [
        "computed, persisted",
        "sparse",
        "hidden, generated as row start",
        "identity",
    ];
    assert_eq!(said, expected);
}

#[test]
fn a_query_and_a_condition_are_checked_before_anything_is_read() {
    let database = numbered();
    database.exec(
        "CREATE TABLE t (id INT PRIMARY KEY, w NVARCHAR(9));
         INSERT INTO t SELECT n, N'ш' FROM numbers WHERE n < 100",
    );
    let query = "SELECT id AS a, w, CAST(id * 2 AS decimal(9,2)) AS twice FROM t -- all";
    let extraction = Extraction::of_query(database.url(), query, "mine");
    extraction.run(&["--where", "a < 50 -- few"]).expect_code(0);
    let expected = database.rows("SELECT id, w, CAST(id * 2 AS decimal(9,2)) FROM t WHERE id < 50");
    assert_eq!(extraction.rows(), expected);
    for (wrong, part) in [
        ("SELECT nope FROM t", "error 207"),
        ("SELECT 1 AS a; DROP TABLE t", "error 102"),
        ("DELETE FROM t", "SELECT"),
        ("SELECT id, id FROM t", "AS"),
        ("SELECT id FROM t ORDER BY id", "error 1033"),
    ] {
        let extraction = Extraction::of_query(database.url(), wrong, "mine");
        let refused = extraction.run(&[]).expect_code(64);
        assert!(refused.stderr.contains(part), "{wrong}: {refused:#?}");
    }
    let extraction = Extraction::new(database.url(), "t");
    for wrong in ["nope = 1", "id = 1) OR (id = 2", "id = 1; DROP TABLE t"] {
        let refused = extraction.run(&["--where", wrong]).expect_code(1);
        assert!(refused.stderr.contains("--where"), "{wrong}: {refused:#?}");
    }
    assert_eq!(
        database.rows("SELECT COUNT(*) FROM t"),
        [[Some("100".to_owned())]]
    );
}
