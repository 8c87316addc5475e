//! `--type`, `--lossy` and `--on-unrepresentable`: what the user wants, checked value by value.

use crate::ixtract::Cli;
use crate::published::{Failure, attempt, extract, sqlite_url};
use crate::readers::{self, Engine};
use crate::servers::postgres;

/// A conversion: source type, value, output type, what pyarrow reads.
type Case = (&'static str, &'static str, &'static str, &'static str);

const EXACT: &[Case] = &[
    ("int8", "127", "int8", "127"),
    ("int8", "1", "bool", "true"),
    ("int4", "-5", "decimal(9,2)", "-5.00"),
    ("int8", "9007199254740992", "float64", "9007199254740992.0"),
    (
        "numeric",
        "18446744073709551615",
        "uint64",
        "18446744073709551615",
    ),
    ("numeric", "-1.50", "decimal(50,10)", "-1.5000000000"),
    ("float8", "-3", "int32", "-3"),
    ("float8", "0.5", "float32", "0.5"),
    ("money", "12.34", "decimal(30,4)", "12.3400"),
    (
        "date",
        "2024-02-29",
        "timestamp(us)",
        "2024-02-29T00:00:00.000000",
    ),
    ("timestamp", "2024-02-29 00:00", "date", "2024-02-29"),
    (
        "timestamp",
        "2024-02-29 01:02:03.000004",
        "timestamp(ns)",
        "2024-02-29T01:02:03.000004",
    ),
    (
        "timestamptz",
        "2024-02-29 01:02:03+00",
        "timestamp(ns,utc)",
        "2024-02-29T01:02:03.000000Z",
    ),
    ("text", "12.50", "decimal(9,2)", "12.50"),
    ("text", "2024-02-29", "date", "2024-02-29"),
    (
        "varchar(40)",
        "2024-02-29T01:02:03.5",
        "timestamp(us)",
        "2024-02-29T01:02:03.500000",
    ),
    ("char(9)", "17", "int16", "17"),
    ("text", "{\"a\": 1}", "json", "{\"a\": 1}"),
    (
        "text",
        "00112233-4455-6677-8899-AABBCCDDEEFF",
        "uuid",
        "00112233-4455-6677-8899-aabbccddeeff",
    ),
    ("text", "yes", "bool", "true"),
    ("text", "ü", "binary", "c3bc"),
    (
        "bytea",
        "\\x00112233445566778899aabbccddeeff",
        "uuid",
        "00112233-4455-6677-8899-aabbccddeeff",
    ),
    ("inet", "10.0.0.1", "binary", "31302e302e302e312f3332"),
    ("int2[]", "{1,NULL}", "list(int64)", "[\"1\",null]"),
];

const LOSSY: &[Case] = &[
    ("numeric", "0.1", "float64", "0.1"),
    ("numeric", "2.345", "decimal(9,2)", "2.35"),
    ("numeric", "-2.5", "int64", "-3"),
    ("int8", "9007199254740993", "float64", "9007199254740992.0"),
    ("float8", "0.1", "float32", "0.1"),
    ("timestamp", "2024-02-29 23:59:59", "date", "2024-02-29"),
    (
        "timestamptz",
        "2024-02-29 23:00+00",
        "timestamp(us)",
        "2024-02-29T23:00:00.000000",
    ),
    ("text", "0.1", "float64", "0.1"),
];

fn expect(cases: &[Case], flag: &str) {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    let numbered = || cases.iter().enumerate();
    let columns: String = numbered()
        .map(|(n, (sql_type, ..))| format!(", c{n} {sql_type}"))
        .collect();
    let values: String = numbered()
        .map(|(_, (_, value, ..))| format!(", '{value}'"))
        .collect();
    database.exec(&format!(
        "SET TimeZone = 'UTC'; CREATE TABLE t (id int PRIMARY KEY{columns});
         INSERT INTO t VALUES (1{values}); INSERT INTO t (id) VALUES (2)"
    ));
    let wishes: Vec<String> = numbered()
        .map(|(n, (_, _, to, _))| format!("c{n}={to}"))
        .collect();
    let flags: Vec<&str> = wishes.iter().flat_map(|wish| [flag, wish]).collect();
    let run = extract(&cli, &database.url(), "public.t", "out", &flags);
    let rows = run.rows(Engine::Pyarrow, &["id"]);
    for (n, case) in numbered() {
        assert_eq!(rows[0][n + 1].as_deref(), Some(case.3), "{case:?}");
        assert_eq!(rows[1][n + 1], None, "{case:?}");
        let column = &run.manifest["schema"][n + 1];
        assert_eq!(column["field"], case.2);
        let lossy = column["lossy"].as_bool().unwrap_or_default();
        assert_eq!(lossy, flag == "--lossy", "{column}");
    }
}

#[test]
fn what_fits_exactly_is_written_as_wanted() {
    expect(EXACT, "--type");
}

#[test]
fn what_may_be_lost_is_written_as_near_as_can_be_and_recorded() {
    expect(LOSSY, "--lossy");
}

#[test]
fn what_would_be_lost_is_refused_or_stops_the_run() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    for (n, (sql_type, value, to, _)) in LOSSY.iter().enumerate() {
        let name = format!("t{n}");
        database.exec(&format!(
            "SET TimeZone = 'UTC'; CREATE TABLE {name} (id int PRIMARY KEY, c {sql_type});
             INSERT INTO {name} VALUES (7, '{value}')"
        ));
        let table = format!("public.{name}");
        let wish = format!("c={to}");
        let outcome = attempt(&cli, &database.url(), &table, &name, &["--type", &wish]);
        let said = Failure::of(&outcome).text();
        // Refused before the run with the flag that allows it, or stopped at the value.
        match outcome.code {
            2 => assert!(said.contains(&format!("--lossy {wish}")), "{wish}: {said}"),
            1 => assert!(said.contains("id = 7"), "{wish}: {said}"),
            code => panic!("{wish}: {code}: {said}"),
        }
        assert!(!cli.home().join(&name).exists(), "{wish} was published");
    }
    let both = ["--type", "c=int64", "--lossy", "c=float64"];
    attempt(&cli, &database.url(), "public.t0", "both", &both).expect_code(64);
    attempt(
        &cli,
        &database.url(),
        "public.t0",
        "odd",
        &["--type", "c=uuid"],
    )
    .expect_code(2);
}

const UNREPRESENTABLE: &str = "
    CREATE TABLE t (id int PRIMARY KEY, d date NOT NULL, n numeric(9,2), s time);
    INSERT INTO t SELECT i, CASE WHEN i % 3 = 0 THEN 'infinity' ELSE date '2024-01-01' END,
        CASE WHEN i % 4 = 0 THEN 'NaN' ELSE 1.5 END, '12:00' FROM generate_series(1, 120) AS i;
    ANALYZE t";

#[test]
fn values_that_cannot_be_held_become_nulls_only_where_that_is_wanted() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(UNREPRESENTABLE);
    let flags = [
        "--workers",
        "3",
        "--chunk-rows",
        "20",
        "--on-unrepresentable",
        "null",
    ];
    let run = extract(&cli, &database.url(), "public.t", "out", &flags);
    for document in [&run.manifest, &run.report] {
        assert_eq!(document["nulled"], serde_json::json!({"d": 40, "n": 30}));
    }
    let rows = run.rows(Engine::Polars, &["id"]);
    for (number, row) in rows.iter().enumerate() {
        assert_eq!(row[1].is_none(), (number + 1) % 3 == 0, "{row:?}");
        assert_eq!(row[2].is_none(), (number + 1) % 4 == 0, "{row:?}");
    }
    let schema = readers::schema(Engine::Pyarrow, &run.dataset);
    assert!(schema[1].nullable, "{schema:?}");
    let stored = rusqlite::Connection::open(cli.home().join(".local/state/ixtract/state.db"))
        .and_then(|state| {
            state.query_row("SELECT nulled_json FROM runs", [], |row| {
                row.get::<_, String>(0)
            })
        });
    assert_eq!(stored.expect("a run"), r#"{"d":40,"n":30}"#);

    // One column's exception, and the other's value stops the run.
    let flags = ["--on-unrepresentable", "d=null"];
    let outcome = attempt(&cli, &database.url(), "public.t", "one", &flags).expect_code(1);
    let fix = Failure::of(&outcome).fix;
    assert!(
        fix.contains("--on-unrepresentable n=null") && !fix.contains("d=null"),
        "{fix}"
    );
}

#[test]
fn statistics_that_show_such_a_value_warn_before_the_run() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(UNREPRESENTABLE);
    let plan = |flags: &[&str]| {
        let url = database.url();
        let arguments = [&["plan", "public.t", "--source", &url][..], flags].concat();
        cli.run(arguments).expect_code(0).stdout
    };
    let said = plan(&[]);
    assert!(
        said.contains("d holds infinity by the statistics"),
        "{said}"
    );
    assert!(said.contains("n holds NaN by the statistics"), "{said}");
    assert!(!said.contains("s holds"), "{said}");
    let said = plan(&["--on-unrepresentable", "null", "--lossy", "n=float64"]);
    assert!(said.contains("written as NULL and counted"), "{said}");
    assert!(
        said.contains("lossy") && !said.contains("n holds"),
        "{said}"
    );
}

#[test]
fn latin_1_is_converted_by_the_server() {
    let latin = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0";
    let (database, cli) = (postgres().fresh_database_with(latin), Cli::new());
    database.exec(
        "CREATE TABLE t (id int PRIMARY KEY, c text, l text[]);
         INSERT INTO t VALUES (1, 'Größe ÿ', '{é}')",
    );
    let run = extract(&cli, &database.url(), "public.t", "out", &[]);
    let rows = run.rows(Engine::Pyarrow, &["id"]);
    assert_eq!(rows[0][1].as_deref(), Some("Größe ÿ"));
    assert_eq!(rows[0][2].as_deref(), Some("[\"é\"]"));
}

#[test]
fn fifty_megabytes_are_one_value() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        "CREATE TABLE t (id int PRIMARY KEY, b bytea, c text);
         INSERT INTO t SELECT i, decode(repeat('ab', 50000000), 'hex'), repeat('x', 50000000)
         FROM generate_series(1, 3) AS i",
    );
    let run = extract(
        &cli,
        &database.url(),
        "public.t",
        "out",
        &["--workers", "1"],
    );
    let rows = run.rows(Engine::Pyarrow, &["id"]);
    assert_eq!(rows.len(), 3);
    for row in rows {
        assert_eq!(row[1].as_deref().map(str::len), Some(100_000_000));
        assert_eq!(row[2].as_deref().map(str::len), Some(50_000_000));
    }
}

#[test]
fn sqlites_stored_values_are_checked_too() {
    let cli = Cli::new();
    let path = cli.home().join("source.db");
    let connection = rusqlite::Connection::open(&path).expect("a database");
    connection
        .execute_batch(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, d DATE, m NUMERIC, n DECIMAL(9,2), b BOOLEAN,
                 s DATETIME, u TEXT, x BLOB);
             INSERT INTO t VALUES (1, '2024-02-29', 9007199254740993, 19.99, 1,
                 '2024-02-29 01:02:03', '00112233-4455-6677-8899-aabbccddeeff', x'00');
             INSERT INTO t (id, d, n) VALUES (2, 'soon', 1.005)",
        )
        .expect("a table");
    let url = sqlite_url(&path);
    let types = [
        "--type",
        "d=date",
        "--type",
        "m=int64",
        "--type",
        "n=decimal(9,2)",
        "--type",
        "b=bool",
        "--type",
        "s=timestamp(us)",
        "--type",
        "u=uuid",
    ];
    let outcome = attempt(&cli, &url, "t", "out", &types).expect_code(1);
    let failure = Failure::of(&outcome);
    for part in ["'soon'", "id = 2", "--type d=text --type n=text"] {
        assert!(
            failure.text().contains(part),
            "no {part}: {}",
            failure.text()
        );
    }
    let nulls = [&types[..], &["--on-unrepresentable", "null"]].concat();
    let run = extract(&cli, &url, "t", "out", &nulls);
    assert_eq!(run.manifest["nulled"], serde_json::json!({"d": 1, "n": 1}));
    let rows = run.rows(Engine::Pyarrow, &["id"]);
    let first: Vec<&str> = rows[0]
        .iter()
        .map(|value| value.as_deref().expect("a value"))
        .collect();
    assert_eq!(
        first,
        [
            "1",
            "2024-02-29",
            "9007199254740993",
            "19.99",
            "true",
            "2024-02-29T01:02:03.000000",
            "00112233-4455-6677-8899-aabbccddeeff",
            "00",
        ]
    );
    let near = [
        "--lossy",
        "n=decimal(9,2)",
        "--lossy",
        "m=float64",
        "--columns",
        "id,n,m",
    ];
    let rows = extract(&cli, &url, "t", "near", &near).rows(Engine::DuckDb, &["id"]);
    assert_eq!(rows[1][2].as_deref(), Some("1.01"));
}
