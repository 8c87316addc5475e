//! A value is written exactly or not at all: what stops a run, what it says, and how to go on.

use crate::ixtract::Cli;
use crate::published::{Failure, attempt, extract};
use crate::readers::Engine;
use crate::servers::{Database, postgres};

/// Runs on a table whose row `id = 7` of ten holds `value` in the column `c`, and follows the advice.
#[track_caller]
fn expect_stop(database: &Database, cli: &Cli, table: &str, sql_type: &str, value: &str) {
    database.exec(&format!(
        "CREATE TABLE {table} (id int PRIMARY KEY, c {sql_type});
         INSERT INTO {table} SELECT i, CASE WHEN i = 7 THEN '{value}'::{sql_type} END
         FROM generate_series(1, 10) AS i; ANALYZE {table}"
    ));
    let name = format!("public.{table}");
    let outcome = attempt(
        cli,
        &database.url(),
        &name,
        table,
        &["--workers", "2", "--chunk-rows", "3"],
    );
    assert_eq!(outcome.code, 1, "{sql_type} {value}: {outcome:#?}");
    let left: Vec<_> = std::fs::read_dir(cli.home())
        .expect("the home")
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .filter(|file| file.contains(table))
        .collect();
    assert_eq!(
        left,
        Vec::<String>::new(),
        "{sql_type} {value}: something was left"
    );

    let failure = Failure::of(&outcome);
    let server = database.query_text(&format!(
        "SET DateStyle = ISO; SET TimeZone = 'UTC'; SELECT c FROM {table} WHERE id = 7"
    ));
    let text = server[0][0].as_deref().expect("a value");
    for part in [&name, "c", "id = 7", text] {
        let said = failure.text();
        assert!(
            said.contains(part),
            "{sql_type} {value}: no {part:?} in {said}"
        );
    }

    let advice = "--type c=text";
    assert!(
        failure.fix.contains(advice),
        "{sql_type} {value}: {}",
        failure.fix
    );
    let run = extract(cli, &database.url(), &name, table, &["--type", "c=text"]);
    let rows = run.rows(Engine::Pyarrow, &["id"]);
    assert_eq!(rows[6][1].as_deref(), Some(text), "{sql_type} {value}");
    assert_eq!(rows.len(), 10);
}

#[test]
fn numbers_that_are_none_stop_the_run() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    expect_stop(&database, &cli, "n1", "numeric(10,2)", "NaN");
    expect_stop(&database, &cli, "n2", "numeric(38,10)", "NaN");
    // An infinity fits no numeric with a precision, so only a wider one can hold it.
    expect_stop(&database, &cli, "n3", "numeric(5,-2)", "NaN");
}

#[test]
fn dates_without_end_stop_the_run() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    expect_stop(&database, &cli, "d1", "date", "infinity");
    expect_stop(&database, &cli, "d2", "date", "-infinity");
    expect_stop(&database, &cli, "t1", "timestamp", "infinity");
    expect_stop(&database, &cli, "t2", "timestamptz", "-infinity");
}

#[test]
fn moments_that_64_bits_do_not_reach_stop_the_run() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    expect_stop(
        &database,
        &cli,
        "t1",
        "timestamp",
        "294247-01-10 04:00:54.775808",
    );
    expect_stop(
        &database,
        &cli,
        "t2",
        "timestamptz",
        "294276-12-31 23:59:59.999999+00",
    );
    expect_stop(&database, &cli, "t3", "time", "24:00:00");
}

#[test]
fn every_column_that_met_one_before_the_stop_is_named() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        "CREATE TABLE t (id int PRIMARY KEY, a date, b numeric(9,2), c time);
         INSERT INTO t VALUES (1, 'infinity', 'NaN', '24:00')",
    );
    let outcome = attempt(&cli, &database.url(), "public.t", "out", &[]).expect_code(1);
    let fix = Failure::of(&outcome).fix;
    for advice in ["--type a=text", "--type b=text", "--type c=text"] {
        assert!(fix.contains(advice), "no {advice:?} in {fix}");
    }
}

#[test]
fn a_narrower_type_is_checked_value_by_value() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        "CREATE TABLE t (id int PRIMARY KEY, n numeric, i int8);
         INSERT INTO t VALUES (1, 1.5, 7), (2, -12345678901234567890.123456789, -8)",
    );
    let narrow = ["--type", "n=decimal(38,9)"];
    let run = extract(&cli, &database.url(), "public.t", "fits", &narrow);
    let rows = run.rows(Engine::Pyarrow, &["id"]);
    assert_eq!(rows[0][1].as_deref(), Some("1.500000000"));
    assert_eq!(
        rows[1][1].as_deref(),
        Some("-12345678901234567890.123456789")
    );

    // One digit too many after the point, then before it.
    for (narrow, value) in [
        ("n=decimal(38,8)", "-12345678901234567890.123456789"),
        ("n=decimal(28,9)", "-12345678901234567890.123456789"),
    ] {
        let outcome = attempt(&cli, &database.url(), "public.t", "no", &["--type", narrow]);
        let outcome = outcome.expect_code(1);
        let said = Failure::of(&outcome).text();
        assert!(
            said.contains(value) && said.contains("id = 2"),
            "{narrow}: {said}"
        );
        assert!(!cli.home().join("no").exists(), "{narrow} was published");
    }
}

#[test]
fn an_override_of_an_unknown_column_is_refused() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec("CREATE TABLE t (id int PRIMARY KEY, amount int)");
    let flags = ["--type", "amuont=text"];
    let outcome = attempt(&cli, &database.url(), "public.t", "out", &flags);
    let said = Failure::of(&outcome).text();
    assert_ne!(outcome.code, 0);
    assert!(said.contains("amuont") && said.contains("amount"), "{said}");
}

#[test]
fn bytes_that_are_no_utf_8_stop_the_run_and_can_be_had_as_bytes() {
    let database = postgres().fresh_database_with("ENCODING 'SQL_ASCII' TEMPLATE template0");
    let cli = Cli::new();
    database.exec(
        "CREATE TABLE t (id int PRIMARY KEY, c text);
         INSERT INTO t VALUES (1, 'plain'), (7, convert_from('\\x61ff62'::bytea, 'SQL_ASCII'))",
    );
    let outcome = attempt(&cli, &database.url(), "public.t", "out", &[]).expect_code(1);
    let failure = Failure::of(&outcome);
    assert!(failure.text().contains("id = 7"), "{}", failure.text());
    assert!(failure.fix.contains("--type c=binary"), "{}", failure.fix);
    let run = extract(
        &cli,
        &database.url(),
        "public.t",
        "out",
        &["--type", "c=binary"],
    );
    let rows = run.rows(Engine::Pyarrow, &["id"]);
    assert_eq!(rows[1][1].as_deref(), Some("61ff62"));
}
