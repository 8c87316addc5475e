//! `--query`: the rows of any SELECT, with the types the server gives them.

use serde_json::json;

use crate::cli::fails;
use crate::extraction::{Extraction, sort_key};
use crate::readers::{Engine, schema};
use crate::servers::{Database, postgres};

/// Orders and customers, with types that a query hands on.
fn shop() -> Database {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN price AS numeric(12,2);
         CREATE DOMAIN fair_price AS price; CREATE DOMAIN feeling AS mood;
         CREATE TABLE customers (id int PRIMARY KEY, name varchar(30), mood feeling);
         INSERT INTO customers SELECT i, 'it''s \" ' || i, 'happy' FROM generate_series(1, 20) AS i;
         CREATE TABLE orders (id bigint PRIMARY KEY, customer int, total fair_price,
                              raw numeric(7,3), at timestamptz(0));
         INSERT INTO orders SELECT i, i % 20 + 1, i * 1.05, i / 7.0,
             '2026-01-01 UTC'::timestamptz + i * '1 hour'::interval FROM generate_series(1, 500) AS i;
         UPDATE customers SET mood = NULL WHERE id = 7; ANALYZE",
    );
    database
}

const JOIN: &str = "SELECT o.id, c.name AS \"Who, exactly?\", c.mood, o.total, o.raw, o.at,
    o.total * 2 AS doubled, array_length(ARRAY[1, 2], 1) AS two, NULL AS nothing
    FROM orders AS o JOIN customers AS c ON c.id = o.customer WHERE o.id > 250 -- the newer half";

#[test]
fn a_query_may_have_any_name() {
    let database = shop();
    for name in ["one", "other", "One \"x\"", "q.q", "select"] {
        let extraction = Extraction::of_query(database.url(), "SELECT 1 AS id", name);
        extraction.run(&[]).expect_code(0);
        assert_eq!(extraction.count(), 1, "{name}");
    }
}

#[test]
fn a_query_is_extracted_with_the_servers_types() {
    let database = shop();
    let extraction = Extraction::of_query(database.url(), JOIN, "newer orders");
    extraction.run(&["--workers", "4"]).expect_code(0);
    let shown = "SELECT id, \"Who, exactly?\", mood, total, raw,
        to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), doubled, two, nothing";
    let mut expected = database.query_text(&format!("{shown} FROM ({JOIN}\n) AS q"));
    expected.sort_by_cached_key(sort_key);
    assert_eq!(extraction.rows(), expected);

    let columns = schema(Engine::Pyarrow, &extraction.dataset());
    let types: Vec<(&str, &str, &str)> = columns
        .iter()
        .map(|column| {
            let source = column.metadata["ixtract.source_type"].as_str();
            (column.name.as_str(), source, column.kind.as_str())
        })
        .collect();
    assert_eq!(
        types,
        [
            ("id", "bigint", "int64"),
            ("Who, exactly?", "character varying(30)", "string"),
            ("mood", "public.feeling", "string"),
            ("total", "public.fair_price", "decimal128(12, 2)"),
            ("raw", "numeric(7,3)", "decimal128(7, 3)"),
            ("at", "timestamp(0) with time zone", "timestamp[us, tz=UTC]"),
            ("doubled", "numeric", "string"),
            ("two", "integer", "int32"),
            ("nothing", "text", "string"),
        ]
    );
    let manifest = extraction.manifest();
    assert_eq!(manifest["query"], JOIN);
    assert_eq!(manifest["kind"], "query");
    assert_eq!(manifest["relation"]["name"], "newer orders");
    assert_eq!(manifest["proof"]["counted"], 250);
    assert_eq!(manifest["files"][0]["bounds"], "all");
    let notes = manifest["consistency"]["notes"].to_string();
    assert!(notes.contains("the query ran with search_path"), "{notes}");
}

#[test]
fn a_plan_of_a_query_shows_it_and_is_executed() {
    let database = shop();
    let extraction = Extraction::of_query(database.url(), "SELECT id FROM orders;", "orders");
    let cli = &extraction.cli;
    let shown = cli
        .run(extraction.words("plan", &["--out", "p.json"]))
        .expect_code(0);
    assert!(
        shown.stdout.contains("SELECT id FROM orders"),
        "{}",
        shown.stdout
    );
    assert!(shown.stdout.contains("500 rows"), "{}", shown.stdout);
    let document = cli
        .run(extraction.words("plan", &["--json"]))
        .expect_code(0)
        .json();
    assert_eq!(
        document["plan"]["spec"]["read"]["query"],
        "SELECT id FROM orders"
    );
    assert_eq!(
        document["plan"]["spec"]["read"]["relation"],
        json!({"schema": "query", "name": "orders"})
    );
    let url = database.url();
    let words = [
        "run", "--plan", "p.json", "--source", &url, "--output", "out",
    ];
    cli.run(words).expect_code(0);
    assert_eq!(extraction.count(), 500);
    let profile = cli.run(extraction.words("profile", &[])).expect_code(0);
    assert!(
        profile.stdout.contains("SELECT id FROM orders"),
        "{}",
        profile.stdout
    );
    // The query's type is another now: the plan is not for it.
    database.exec("ALTER TABLE orders ALTER id TYPE numeric(20,0)");
    let outcome = cli.run(words);
    fails(outcome, 2, ["query.orders", "numeric(20,0)", "plan"]);
    // The name of the output is made of the query's.
    cli.run(extraction.words("run", &["--quiet"]))
        .expect_code(0);
    assert!(cli.home().join("out/query.orders/_SUCCESS").is_file());
}

#[test]
fn every_selection_goes_with_a_query() {
    let database = shop();
    let sql = "SELECT id, customer, total AS \"T\" FROM orders WHERE id <= {most}";
    let extraction = Extraction::of_query(database.url(), sql, "some");
    let flags = [
        "--param",
        "most=100",
        "--param",
        "who=3",
        "--where",
        "customer = {who}",
        "--exclude-columns",
        "customer",
        "--type",
        "T=text",
    ];
    extraction.run(&flags).expect_code(0);
    let expected = database
        .query_text("SELECT id, total FROM orders WHERE id <= 100 AND customer = 3 ORDER BY id");
    assert_eq!(extraction.rows(), expected);
    let manifest = extraction.manifest();
    assert_eq!(manifest["query"], sql.replace("{most}", "100"));
    assert_eq!(manifest["filter"], "customer = 3");
}

#[test]
fn runs_of_one_template_share_a_history() {
    let database = shop();
    let sql = "SELECT * FROM orders WHERE id <= {most}";
    let extraction = Extraction::of_query(database.url(), sql, "some");
    for (most, runs) in [("10", 0), ("20", 1), ("30", 2)] {
        let flags = [format!("most={most}")];
        let words = extraction.words("plan", &["--json", "--param", &flags[0]]);
        let plan = extraction.cli.run(words).expect_code(0).json();
        assert_eq!(plan["plan"]["forecast"]["runs"], runs, "{most}");
        extraction.run(&["--param", &flags[0]]).expect_code(0);
        assert_eq!(extraction.count(), most.parse::<u64>().expect("a number"));
    }
    // Another text, or a table of that name, is another history.
    database.exec("CREATE SCHEMA query; CREATE TABLE query.some (id int)");
    let others = [
        Extraction::of_query(database.url(), "SELECT * FROM orders", "some"),
        Extraction::new(database.url(), "query.some"),
    ];
    for other in others {
        let plan = extraction
            .cli
            .run(other.words("plan", &["--json"]))
            .expect_code(0);
        assert_eq!(plan.json()["plan"]["forecast"]["runs"], 0);
    }
}

#[test]
fn what_is_not_one_statement_that_reads_is_refused() {
    let database = shop();
    let before = database.query_text("SELECT count(*), sum(total) FROM orders");
    for (sql, why) in [
        ("SELECT 1 AS a; DELETE FROM orders", "several statements"),
        (
            "SELECT 1 AS a; COMMIT; DELETE FROM orders; SELECT 1 AS a",
            "several statements",
        ),
        ("DELETE FROM orders RETURNING id", "only reads"),
        (
            "INSERT INTO customers (id) VALUES (99) RETURNING id",
            "only reads",
        ),
        (
            "WITH gone AS (DELETE FROM orders RETURNING id) SELECT * FROM gone",
            "only reads",
        ),
        ("SELECT 1 AS a) AS x, (SELECT 2 AS b", "syntax error"),
        (
            "SELECT id FROM orders) AS x; DELETE FROM orders; SELECT * FROM (SELECT 1",
            "syntax error",
        ),
        ("CREATE TABLE made AS SELECT 1 AS a", "only reads"),
        ("DROP TABLE orders", "syntax error"),
        ("ANALYZE SELECT 1 AS a", "syntax error"),
        ("SELECT * FROM no_such_table", "no_such_table"),
        ("SELECT naem FROM customers", "naem"),
        ("SELECT 1 AS a /* open", "unterminated"),
        ("SELECT $1::int AS a", "parameters"),
        ("SELECT id, customer AS id FROM orders", "called id"),
        ("SELECT 1, 2", "called ?column?"),
    ] {
        let extraction = Extraction::of_query(database.url(), sql, "bad one");
        let failure = fails(extraction.run(&[]), 64, ["bad one", "", ""]);
        assert!(failure.why.contains(why), "{sql}: {}", failure.why);
        assert!(!extraction.dataset().exists(), "{sql}");
    }
    assert_eq!(
        before,
        database.query_text("SELECT count(*), sum(total) FROM orders")
    );
    // A function that writes is stopped by the transaction.
    database.exec(
        "CREATE FUNCTION sly() RETURNS int LANGUAGE sql VOLATILE
         AS 'DELETE FROM orders RETURNING 1'",
    );
    let extraction = Extraction::of_query(database.url(), "SELECT sly() AS a", "sly");
    fails(extraction.run(&[]), 1, ["sly", "read-only transaction", ""]);
    assert_eq!(
        before,
        database.query_text("SELECT count(*), sum(total) FROM orders")
    );
}

#[test]
fn a_query_that_answers_each_session_otherwise_is_not_published() {
    let database = shop();
    let sql = "SELECT i FROM generate_series(1, pg_backend_pid()) AS i";
    let extraction = Extraction::of_query(database.url(), sql, "fickle");
    let outcome = extraction.run(&[]).expect_code(3);
    assert!(!extraction.dataset().exists(), "{outcome:#?}");
}

#[test]
fn names_and_flags_are_checked_before_anything_else() {
    let database = shop();
    let url = database.url();
    for words in [
        &["run", "--query", "SELECT 1 AS a"][..],
        &["run", "--name", "x"],
        &["run", "orders", "--query", "SELECT 1 AS a", "--name", "x"],
        &["run", "--query", " ; ", "--name", "x"],
        &["run", "--query", "SELECT 1 AS a", "--name", ""],
        &[
            "run",
            "--query",
            "SELECT 1 AS a",
            "--name",
            "x",
            "--param",
            "a=1",
        ],
        &["run", "orders", "--param", "a=1"],
    ] {
        let words = [words, &["--source", &url]].concat();
        Extraction::new("", "").cli.run(words).expect_code(64);
    }
}

#[test]
fn odd_names_and_odd_columns_of_queries() {
    let database = shop();
    for name in [
        "a.b", "sp ace", "📦", "quo\"te", "orders", "%", "../up", "select",
    ] {
        let sql = "SELECT id AS \"a.b\", id AS \"A.B\", id AS \"x\"\"y\", id AS \"📦\" FROM orders";
        let extraction = Extraction::of_query(database.url(), sql, name);
        extraction.run(&[]).expect_code(0);
        assert_eq!(extraction.count(), 500, "{name}");
        extraction
            .cli
            .run(extraction.words("run", &["--quiet"]))
            .expect_code(0);
        let made = crate::extraction::names(&extraction.cli.home().join("out"));
        assert!(!made.is_empty(), "{name}");
    }
}

#[test]
fn row_security_behind_a_query_is_refused_or_recorded() {
    let database = shop();
    let role = database.limited_role();
    database.exec(&format!(
        "GRANT SELECT ON orders TO {}; ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
         CREATE POLICY few ON orders USING (id <= 4)",
        role.user
    ));
    let extraction = Extraction::of_query(role.to_string(), "SELECT id FROM orders", "mine");
    fails(
        extraction.run(&[]),
        77,
        ["mine", "", "--allow-row-security"],
    );
    extraction.run(&["--allow-row-security"]).expect_code(0);
    assert_eq!(extraction.count(), 4);
    let notes = extraction.manifest()["consistency"]["notes"].to_string();
    assert!(notes.contains("row security is active"), "{notes}");
    // What the role may not read is told in the server's words.
    let extraction = Extraction::of_query(role.to_string(), "SELECT * FROM customers", "theirs");
    fails(
        extraction.run(&[]),
        77,
        ["theirs", "customers", "GRANT SELECT"],
    );
}
