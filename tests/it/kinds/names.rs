//! Names: any schema, table and column, through `plan`, `run`, `verify` and `files`.

use std::collections::BTreeSet;

use crate::extraction::Extraction;
use crate::ixtract::Cli;
use crate::readers::{Engine, rows, schema};
use crate::servers::postgres;

/// Names as they are stored. Sixty-three bytes are PostgreSQL's longest.
fn odd() -> Vec<String> {
    let mut names: Vec<String> = [
        "plain",
        "two words",
        " leading",
        "trailing ",
        "a.b",
        "a.b.c",
        ".",
        "..",
        "quo\"te",
        "\"",
        "it's",
        "Upper",
        "UPPER",
        "select",
        "user",
        "table",
        "📦🚚",
        "tübingen",
        "back\\slash",
        "100%",
        "{braces}",
        "$1",
        "?",
        "-- x",
        "/* x */",
        "semi;colon",
        "tab\there",
        "*",
        "_",
        "0",
        "a/b",
    ]
    .map(str::to_owned)
    .into();
    names.push("x".repeat(63));
    names.push("ü".repeat(31));
    names
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Plans, runs the plan, verifies and lists a table, and reads it back by other people's code.
#[track_caller]
fn expect_extracted(cli: &Cli, source: &str, typed: &str, columns: &[String], output: &str) {
    let base = ["--source", source, "--quiet"];
    let flags = ["--workers", "2", "--chunk-rows", "2", "--out", "p.json"];
    cli.run([&["plan", typed][..], &base, &flags].concat())
        .expect_code(0);
    cli.run([&["run", "--plan", "p.json", "--output", output][..], &base].concat())
        .expect_code(0);
    cli.run(["verify", output]).expect_code(0);
    let listed = cli.run(["files", output]).expect_code(0).stdout;
    assert!(!listed.is_empty(), "{typed}");
    for line in listed.lines() {
        assert!(cli.home().join(line).is_file(), "{line}");
    }
    let found: Vec<String> = schema(Engine::Pyarrow, &cli.home().join(output))
        .into_iter()
        .map(|column| column.name)
        .collect();
    assert_eq!(found, columns, "{typed}");
    let manifest = crate::extraction::manifest(&cli.home().join(output));
    assert_eq!(manifest["rows"], 5, "{typed}");
}

#[test]
fn every_name_is_a_schema_a_table_and_a_column() {
    let database = postgres().fresh_database();
    let names = odd();
    let (url, cli) = (database.url(), Cli::new());
    // All columns in one table, as the key of one each below.
    let columns: Vec<String> = names
        .iter()
        .map(|name| format!("{} int", quoted(name)))
        .collect();
    let values: Vec<String> = (0..names.len())
        .map(|index| format!("i + {index}"))
        .collect();
    database.exec(&format!(
        "CREATE TABLE columns ({}); INSERT INTO columns SELECT {} FROM generate_series(1, 5) AS i",
        columns.join(", "),
        values.join(", ")
    ));
    expect_extracted(&cli, &url, "columns", &names, "columns");
    for (number, name) in names.iter().enumerate() {
        let (schema, column) = (
            &names[(number + 7) % names.len()],
            &names[(number + 3) % names.len()],
        );
        database.exec(&format!(
            "CREATE SCHEMA IF NOT EXISTS {0}; CREATE TABLE {0}.{1} ({2} bigint PRIMARY KEY);
             INSERT INTO {0}.{1} SELECT generate_series(1, 5)",
            quoted(schema),
            quoted(name),
            quoted(column)
        ));
        let typed = format!("{}.{}", quoted(schema), quoted(name));
        expect_extracted(
            &cli,
            &url,
            &typed,
            std::slice::from_ref(column),
            &format!("d{number}"),
        );
    }
}

#[test]
fn tables_of_one_name_have_datasets_of_their_own() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE SCHEMA a; CREATE SCHEMA \"A\"; CREATE SCHEMA \"a.t\"; CREATE SCHEMA \"a/t\";
         CREATE TABLE a.t (n int); CREATE TABLE \"A\".t (n int); CREATE TABLE \"A\".\"T\" (n int);
         CREATE TABLE \"a.t\".t (n int); CREATE TABLE \"a/t\".t (n int); CREATE TABLE a.\"t.t\" (n int);
         INSERT INTO a.t VALUES (1); INSERT INTO \"A\".t VALUES (2); INSERT INTO \"A\".\"T\" VALUES (3);
         INSERT INTO \"a.t\".t VALUES (4); INSERT INTO \"a/t\".t VALUES (5); INSERT INTO a.\"t.t\" VALUES (6)",
    );
    let cli = Cli::new();
    let mut datasets = BTreeSet::new();
    for (typed, value) in [
        ("a.t", "1"),
        ("A.t", "2"),
        ("A.T", "3"),
        ("\"a.t\".t", "4"),
        ("a/t.t", "5"),
        ("a.\"t.t\"", "6"),
        ("a.t.t", "6"),
    ] {
        let words = [
            "run",
            typed,
            "--source",
            &database.url(),
            "--json",
            "--output",
            "{schema}/{table}",
        ];
        let report = cli.run(words).expect_code(0).json();
        let dataset = report["dataset"].as_str().expect("a path").to_owned();
        let found = rows(Engine::DuckDb, &cli.home().join(&dataset), &[]);
        assert_eq!(found, [[Some(value.to_owned())]], "{typed}");
        datasets.insert(dataset);
    }
    assert_eq!(datasets.len(), 6, "{datasets:?}");
}

#[test]
fn columns_that_differ_by_case_only_keep_their_values_in_every_reader() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id int PRIMARY KEY, \"ID\" text, \"Id\" int, \"iD\" text);
         INSERT INTO t SELECT i, 'ID' || i, -i, 'iD' || i FROM generate_series(1, 30) AS i",
    );
    let expected = database.query_text("SELECT * FROM t ORDER BY id");
    let extraction = Extraction::new(database.url(), "t");
    extraction
        .run(&["--workers", "3", "--chunk-rows", "4"])
        .expect_code(0);
    for engine in Engine::ALL {
        let mut found = rows(engine, &extraction.dataset(), &[]);
        found.sort_by_cached_key(crate::extraction::sort_key);
        assert_eq!(found, expected, "{engine:?}");
    }
}

#[test]
fn every_name_is_a_table_and_a_column_of_sqlite() {
    let cli = Cli::new();
    let file = cli.home().join("odd names & more.db");
    let connection = rusqlite::Connection::open(&file).expect("a database");
    let url = format!("sqlite:{}", file.display());
    // SQLite folds the case of ASCII letters, so a name is there only once.
    let mut seen = BTreeSet::new();
    let names: Vec<String> = odd()
        .into_iter()
        .filter(|name| seen.insert(name.to_ascii_lowercase()))
        .collect();
    for (number, name) in names.iter().enumerate() {
        let column = &names[(number + 3) % names.len()];
        connection
            .execute_batch(&format!(
                "CREATE TABLE {0} ({1} INTEGER PRIMARY KEY);
                 WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5)
                 INSERT INTO {0} SELECT i FROM n",
                quoted(name),
                quoted(column)
            ))
            .expect("a table");
        let output = format!("d{number}");
        let columns = std::slice::from_ref(column);
        let schema = if number % 2 == 0 { "" } else { "main." };
        let typed = format!("{schema}{}", quoted(name));
        expect_extracted(&cli, &url, &typed, columns, &output);
    }
}
