//! Columns that changed since the last published run: told, recorded, or refused before anything is read.

use serde_json::{Value, json};

use crate::ixtract::{Cli, Outcome};
use crate::published::{Failure, attempt, extract, sqlite_url};
use crate::servers::mysql::mariadb;
use crate::servers::sqlserver::SqlDatabase;
use crate::servers::{Database, postgres};
use crate::stores::Bucket;

/// A table before and after: `gone` was dropped, `more` was added, `n` became another type, `last` moved to
/// the front, and `id` and `s` stayed as they were.
const BEFORE: &str = "CREATE TABLE t (id integer NOT NULL PRIMARY KEY, gone integer, n integer,
    s varchar(20), last integer); INSERT INTO t VALUES (1, 2, 3, 'x', 4)";
const AFTER: &str = "DROP TABLE t; CREATE TABLE t (last integer, id integer NOT NULL PRIMARY KEY,
    n varchar(9), s varchar(20), more date); INSERT INTO t VALUES (4, 1, '3', 'x', NULL)";

/// The changes that a document tells, each as its kind and its columns.
fn changes(drift: &Value) -> Vec<(String, String)> {
    let changes = drift["changes"].as_array().expect("changes").iter();
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    changes
        .map(|change| {
            let columns = match change["columns"].as_array() {
                Some(columns) => columns.iter().map(text).collect::<Vec<_>>().join(","),
                None => text(&change["column"]),
            };
            (text(&change["change"]), columns)
        })
        .collect()
}

fn expected() -> Vec<(String, String)> {
    let changes = [
        ("dropped", "gone"),
        ("retyped", "n"),
        ("added", "more"),
        ("reordered", "last"),
    ];
    changes
        .map(|(kind, column)| (kind.to_owned(), column.to_owned()))
        .into()
}

/// A table is changed between two runs: the change is told by everything that looks at it, before and
/// after; and a run that must not meet one reads nothing and leaves the old dataset as it is.
fn told_everywhere(url: &str, exec: &dyn Fn(&str)) {
    let cli = Cli::new();
    exec(BEFORE);
    let first = extract(&cli, url, "t", "out", &["--on-schema-change", "fail"]);
    assert_eq!(first.report.get("schema_change"), None);
    exec(AFTER);

    let plan = ["plan", "t", "--source", url, "--output", "out", "--json"];
    let planned = cli.run(plan).expect_code(0).json();
    assert_eq!(changes(&planned["schema_change"]), expected(), "{url}");
    let refused = attempt(&cli, url, "t", "out", &["--on-schema-change", "fail"]).expect_code(5);
    let failure = Failure::of(&refused);
    assert!(
        failure.what.contains(first.run().as_str()),
        "{}",
        failure.text()
    );
    assert!(
        failure.why.contains("gone was dropped"),
        "{}",
        failure.text()
    );
    assert!(
        failure.fix.contains("--on-schema-change warn"),
        "{}",
        failure.text()
    );
    let still = std::fs::read(first.dataset.join("_manifest.json")).expect("a manifest");
    assert_eq!(
        serde_json::from_slice::<Value>(&still).ok().as_ref(),
        Some(&first.manifest)
    );
    cli.run(["verify", "out"]).expect_code(0);

    let second = attempt(&cli, url, "t", "out", &[]).expect_code(0);
    assert!(
        second.stderr.contains("warning: the columns of"),
        "{second:#?}"
    );
    let drift = &second.json()["schema_change"];
    assert_eq!(changes(drift), expected(), "{url}");
    assert_eq!(drift["since"], first.run().as_str());
    assert_eq!(drift["known_from"], "manifest");
    let manifest = std::fs::read(first.dataset.join("_manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    assert_eq!(&manifest["schema_change"], drift);
    cli.run(["verify", "out"]).expect_code(0);

    let history = cli.run(["history", "t", "--json"]).expect_code(0).json();
    let runs = history["runs"].as_array().expect("runs");
    let marks: Vec<&Value> = runs.iter().map(|run| &run["marks"]).collect();
    assert_eq!(
        marks,
        [&json!([]), &json!(["schema change"])],
        "the refused run left no row"
    );
    assert_eq!(&runs[1]["schema_change"], drift);
    let differences = cli
        .run(["diff", first.run().as_str(), "last", "--json"])
        .expect_code(0)
        .json();
    let found = differences["differences"]
        .as_array()
        .expect("differences")
        .iter();
    let met: Vec<_> = found
        .filter(|found| found["name"] == "changes met")
        .collect();
    assert_eq!(met.len(), 1, "{differences:#}");
    assert_eq!(met[0]["after"].as_array().map(Vec::len), Some(4));

    // What the last run read is what the next one finds.
    let third = extract(&cli, url, "t", "out", &["--on-schema-change", "fail"]);
    assert_eq!(third.report.get("schema_change"), None);
}

#[test]
fn changed_columns_of_postgresql() {
    let database = postgres().fresh_database();
    told_everywhere(&database.url(), &|sql| database.exec(sql));
}

#[test]
fn changed_columns_of_mysql() {
    let database = mariadb().fresh_database();
    told_everywhere(&database.url(), &|sql| {
        let statements = sql.split(';').map(str::trim);
        statements.for_each(|statement| database.exec(statement));
    });
}

#[test]
fn changed_columns_of_sql_server() {
    let database = SqlDatabase::fresh();
    told_everywhere(&database.url(), &|sql| database.exec(sql));
}

#[test]
fn changed_columns_of_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.db");
    told_everywhere(&sqlite_url(&path), &|sql| {
        let database = rusqlite::Connection::open(&path).expect("a database");
        database.execute_batch(sql).expect("statements");
    });
}

/// A database of PostgreSQL with `t` of one column, and a program.
fn small() -> (Database, Cli) {
    let database = postgres().fresh_database();
    database.exec("CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t VALUES (1)");
    (database, Cli::new())
}

fn drift_of(outcome: &Outcome) -> Option<Vec<(String, String)>> {
    outcome.json().get("schema_change").map(changes)
}

fn added(column: &str) -> Option<Vec<(String, String)>> {
    Some(vec![("added".to_owned(), column.to_owned())])
}

#[test]
fn a_column_that_may_be_null_from_now_on_is_another_one() {
    let (database, cli) = small();
    database.exec("ALTER TABLE t ADD COLUMN n int4 NOT NULL DEFAULT 1");
    extract(&cli, &database.url(), "t", "out", &[]);
    database.exec("ALTER TABLE t ALTER COLUMN n DROP NOT NULL");
    let refused = attempt(
        &cli,
        &database.url(),
        "t",
        "out",
        &["--on-schema-change", "fail"],
    );
    let why = Failure::of(&refused.expect_code(5)).why;
    assert_eq!(
        why,
        "n was integer as int32, not null, it is integer as int32"
    );
}

#[test]
fn continue_records_without_a_word() {
    let (database, cli) = small();
    extract(&cli, &database.url(), "t", "out", &[]);
    database.exec("ALTER TABLE t ADD COLUMN more text");
    let flags = ["--on-schema-change", "continue"];
    let outcome = attempt(&cli, &database.url(), "t", "out", &flags).expect_code(0);
    assert!(!outcome.stderr.contains("warning"), "{outcome:#?}");
    assert_eq!(drift_of(&outcome), added("more"));
    let told = cli.run([
        "run",
        "t",
        "--source",
        &database.url(),
        "--output",
        "out",
        "--columns",
        "id",
    ]);
    assert!(
        !told.expect_code(0).stdout.contains("schema   "),
        "another selection is another scope"
    );
}

/// Published elsewhere, the history says what the columns were; with neither, nothing is compared.
#[test]
fn without_a_manifest_the_history_is_asked() {
    let (database, cli) = small();
    let first = extract(&cli, &database.url(), "t", "out", &[]);
    database.exec("ALTER TABLE t ADD COLUMN more text");
    let elsewhere = attempt(&cli, &database.url(), "t", "other", &[]).expect_code(0);
    assert_eq!(drift_of(&elsewhere), added("more"));
    let drift = &elsewhere.json()["schema_change"];
    assert_eq!(drift["known_from"], "history");
    assert_eq!(drift["since"], first.run().as_str());
    let stranger = Cli::new();
    let first = attempt(
        &stranger,
        &database.url(),
        "t",
        "out",
        &["--on-schema-change", "fail"],
    );
    assert_eq!(drift_of(&first.expect_code(0)), None);
}

/// A lost history changes nothing: the dataset itself says what its readers see. And what is rebuilt from
/// its manifest knows of the change too.
#[test]
fn the_dataset_is_asked_before_the_history() {
    let (database, cli) = small();
    extract(&cli, &database.url(), "t", "out", &[]);
    database.exec("ALTER TABLE t ADD COLUMN more text");
    let state = cli.home().join(".local/state/ixtract/state.db");
    std::fs::remove_file(&state).expect("a history to lose");
    attempt(
        &cli,
        &database.url(),
        "t",
        "out",
        &["--on-schema-change", "fail"],
    )
    .expect_code(5);
    attempt(&cli, &database.url(), "t", "out", &[]).expect_code(0);
    std::fs::remove_file(&state).expect("a history to lose");
    cli.run(["state", "rebuild", "out"]).expect_code(0);
    let history = cli.run(["history", "t"]).expect_code(0).stdout;
    assert!(history.contains("schema change, rebuilt"), "{history}");
}

/// Windows are compared with the one before, in a directory and on a store; a kept layout of runs too.
#[test]
fn every_place_says_what_was_published_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("t.db");
    let exec = |sql: &str| {
        let database = rusqlite::Connection::open(&path).expect("a database");
        database.execute_batch(sql).expect("statements");
    };
    let bucket = Bucket::new();
    let (url, cli) = (bucket.url(), bucket.cli());
    let (source, mut columns) = (sqlite_url(&path), 0);
    exec("CREATE TABLE t (id INTEGER PRIMARY KEY)");
    for (place, flags) in [
        ("windows", vec!["--incremental", "id"]),
        ("runs", vec!["--layout", "runs"]),
        (&url, vec![]),
    ] {
        let state = format!("state-{columns}.db");
        let run = |id: u32, rule: &str| {
            exec(&format!("INSERT INTO t (id) VALUES ({id})"));
            let more = ["--state", &state, "--on-schema-change", rule];
            attempt(&cli, &source, "t", place, &[&flags[..], &more].concat())
        };
        run(10 * columns + 1, "fail").expect_code(0);
        let column = format!("c{columns}");
        exec(&format!("ALTER TABLE t ADD COLUMN {column} TEXT"));
        // The place says so, and not a history.
        std::fs::remove_file(cli.home().join(&state)).expect("a history to lose");
        run(10 * columns + 2, "fail").expect_code(5);
        let told = run(10 * columns + 3, "warn").expect_code(0);
        assert_eq!(drift_of(&told), added(&column), "{place}");
        columns += 1;
    }
}
