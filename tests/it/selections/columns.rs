//! `--columns`, `--exclude-columns`, `--where` and `--param` at their edges.

use crate::cli::fails;
use crate::extraction::{Extraction, sort_key};
use crate::readers::{Engine, schema};
use crate::servers::{Database, postgres};

/// Columns whose names differ by case only, hold commas, quotes, and words of SQL.
fn odd() -> Database {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE odd (id int PRIMARY KEY, \"Id\" text, \"ID\" text, \"a b\" int,
             \"qu\"\"ote\" int, \"select\" int, \"📦\" int, \"a.b\" int, amount int,
             \"com,ma\" int);
         INSERT INTO odd SELECT i, 'Id' || i, 'ID' || i, i, i * 2, i * 3, i * 4, i * 5, i * 6, i * 7
             FROM generate_series(1, 40) AS i",
    );
    database
}

fn names(extraction: &Extraction) -> Vec<String> {
    let columns = schema(Engine::Pyarrow, &extraction.dataset());
    columns.into_iter().map(|column| column.name).collect()
}

#[test]
fn columns_come_in_the_tables_order_once_each() {
    let database = odd();
    for (flags, expected) in [
        (&["--columns", "amount,id"][..], &["id", "amount"][..]),
        (
            &["--columns", "amount", "--columns", "id,amount"],
            &["id", "amount"],
        ),
        (&["--columns", "ID,Id"], &["Id", "ID"]),
        (&["--columns", "id"], &["id"]),
        (
            &["--columns", "qu\"ote,a b,select,📦,a.b"],
            &["a b", "qu\"ote", "select", "📦", "a.b"],
        ),
        (&["--columns", "AMOUNT"], &["amount"]),
        (
            &[
                "--exclude-columns",
                "Id,ID",
                "--exclude-columns",
                "id,Id,AMOUNT",
            ],
            &["a b", "qu\"ote", "select", "📦", "a.b", "com,ma"],
        ),
        (
            &["--columns", "\"com,ma\",\"qu\"\"ote\",id"],
            &["id", "qu\"ote", "com,ma"],
        ),
        (
            &["--exclude-columns", "\"com,ma\",amount,Id,ID,id,select"],
            &["a b", "qu\"ote", "📦", "a.b"],
        ),
    ] {
        for chunking in [&["--chunk-rows", "7", "--workers", "3"][..], &[]] {
            let extraction = Extraction::new(database.url(), "odd");
            extraction.run(&[flags, chunking].concat()).expect_code(0);
            assert_eq!(names(&extraction), expected, "{flags:?}");
            let quoted: Vec<String> = expected
                .iter()
                .map(|name| format!("\"{}\"", name.replace('"', "\"\"")))
                .collect();
            let mut rows = database.query_text(&format!("SELECT {} FROM odd", quoted.join(", ")));
            rows.sort_by_cached_key(sort_key);
            assert_eq!(extraction.rows(), rows, "{flags:?}");
        }
    }
}

#[test]
fn a_column_that_is_not_there_is_told_with_its_neighbours() {
    let database = odd();
    for (flag, column, near) in [
        ("--columns", "amuont", "amount"),
        ("--exclude-columns", "amuont", "amount"),
        ("--columns", "iD", ""),
        ("--columns", "qu'ote", "qu\"ote"),
        ("--columns", "nothing like it", ""),
        ("--columns", "", ""),
        ("--columns", "ctid", ""),
    ] {
        let extraction = Extraction::new(database.url(), "odd");
        let failure = fails(
            extraction.run(&[flag, column]),
            64,
            ["public.odd", near, "spelling"],
        );
        assert!(failure.what.contains(column), "{}", failure.what);
    }
    fails(
        Extraction::new(database.url(), "odd").run(&["--type", "amuont=text"]),
        64,
        ["amuont", "amount", "spelling"],
    );
}

#[test]
fn something_has_to_be_left_to_read() {
    let database = odd();
    database.exec("CREATE TABLE void (); INSERT INTO void DEFAULT VALUES");
    let all = "id,Id,ID,a b,qu\"ote,select,📦,a.b,amount,\"com,ma\"";
    let extraction = Extraction::new(database.url(), "odd");
    let outcome = extraction.run(&["--exclude-columns", all]);
    fails(outcome, 2, ["public.odd", "excluded", "--exclude-columns"]);
    let extraction = Extraction::new(database.url(), "void");
    fails(extraction.run(&[]), 2, ["public.void", "no columns", ""]);
    let outcome = Extraction::of_query(database.url(), "SELECT FROM odd", "void").run(&[]);
    fails(outcome, 2, ["query.void", "no columns", ""]);
}

#[test]
fn conditions_mean_what_they_mean_to_the_server() {
    let database = odd();
    for (condition, params, expected) in [
        ("\"Id\" = 'Id3' OR \"ID\" = 'ID4'", &[][..], "id IN (3, 4)"),
        ("true OR false -- all of them", &[], "true"),
        ("id % 7 = 0 /* every seventh */", &[], "id % 7 = 0"),
        ("\"Id\" = '{who}'", &["who=Id5"], "id = 5"),
        ("\"Id\" = {who}", &["who='it''s' OR id = 1"], "id = 1"),
        ("id = any('{1,2}'::int[])", &[], "id < 3"),
        (
            "id = any('{{1,2}}'::int[]) AND id > {least}",
            &["least=1"],
            "id = 2",
        ),
        ("id IN ({a}, {b}, {a})", &["a=1", "b=2"], "id < 3"),
        ("false", &[], "false"),
        ("NULL::bool", &[], "false"),
    ] {
        let extraction = Extraction::new(database.url(), "odd");
        let params = params.iter().flat_map(|param| ["--param", param]);
        let flags: Vec<&str> = ["--where", condition, "--chunk-rows", "5", "--workers", "2"]
            .into_iter()
            .chain(params)
            .collect();
        extraction.run(&flags).expect_code(0);
        let counted = database.query_text(&format!("SELECT count(*) FROM odd WHERE {expected}"));
        assert_eq!(
            Some(extraction.count().to_string()),
            counted[0][0],
            "{condition}"
        );
    }
    for condition in [
        "id = ",
        "id = 1) OR (id = 2",
        "no_such = 1",
        "1",
        "id = 1; DELETE FROM odd",
    ] {
        let extraction = Extraction::new(database.url(), "odd");
        let outcome = extraction.run(&["--where", condition]);
        assert_ne!(outcome.code, 0, "{condition}");
        assert_ne!(outcome.code, 70, "{condition}");
        assert!(!extraction.dataset().exists(), "{condition}");
    }
    assert_eq!(
        database.query_text("SELECT count(*) FROM odd")[0][0].as_deref(),
        Some("40")
    );
}
