//! What changed between two runs, each change made on a real table and by real flags.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::ixtract::Cli;
use crate::published::{Failure, extract, sqlite_url};
use crate::servers::postgres;

type Sides = (Value, Value);

/// The differences by aspect and name.
fn differences(cli: &Cli, before: &str, after: &str) -> BTreeMap<(String, String), Sides> {
    let words = ["diff", before, after, "--json"];
    let document = cli.run(words).expect_code(0).json();
    let found = document["differences"].as_array().expect("differences");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    found
        .iter()
        .map(|found| {
            let at = (text(&found["aspect"]), text(&found["name"]));
            (at, (found["before"].clone(), found["after"].clone()))
        })
        .collect()
}

fn at(aspect: &str, name: &str) -> (String, String) {
    (aspect.to_owned(), name.to_owned())
}

#[test]
fn what_changed_in_table_and_flags_is_named_from_either_side() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        "CREATE TABLE t (id int8 PRIMARY KEY, gone text, n int4, s text);
         INSERT INTO t SELECT i, 'x', i, 'y' FROM generate_series(1, 100) AS i;
         ANALYZE t",
    );
    let url = database.url();
    let first = extract(&cli, &url, "public.t", "out", &["--chunk-rows", "20"]).run();
    database.exec(
        "ALTER TABLE t DROP COLUMN gone;
         ALTER TABLE t ALTER COLUMN n TYPE int8;
         ALTER TABLE t ADD COLUMN more date;
         INSERT INTO t (id) SELECT generate_series(101, 150);
         ANALYZE t",
    );
    let flags = [
        "--chunk-rows",
        "50",
        "--workers",
        "1",
        "--compression",
        "zstd",
    ];
    let flags = [&flags[..], &["--where", "id > 0"]].concat();
    let second = extract(&cli, &url, "public.t", "other", &flags).run();

    let found = differences(&cli, first.tag(), second.tag());
    let expect = |aspect: &str, name: &str, before: Value, after: Value| {
        assert_eq!(
            found.get(&at(aspect, name)),
            Some(&(before, after)),
            "{name}: {found:#?}"
        );
    };
    expect("schema", "column gone", "text as text".into(), Value::Null);
    expect("schema", "column more", Value::Null, "date as date".into());
    expect(
        "schema",
        "column n",
        "integer as int32".into(),
        "bigint as int64".into(),
    );
    expect("settings", "compression", "snappy".into(), "zstd:3".into());
    expect("settings", "where", Value::Null, "id > 0".into());
    expect("kind", "constrained", false.into(), true.into());
    expect("chunks", "planned", 5.into(), 3.into());
    expect("data", "rows", 100.into(), 150.into());
    for (aspect, name) in [
        ("settings", "output"),
        ("chunks", "bounds"),
        ("data", "bytes"),
    ] {
        assert!(found.contains_key(&at(aspect, name)), "{name}: {found:#?}");
    }
    for same in [
        at("version", "ixtract"),
        at("table", "table"),
        at("schema", "order of columns"),
    ] {
        assert!(!found.contains_key(&same), "{same:?}: {found:#?}");
    }
    let swapped = differences(&cli, second.tag(), first.tag());
    let back: BTreeMap<_, Sides> = swapped
        .into_iter()
        .map(|(at, (before, after))| (at, (after, before)))
        .collect();
    assert_eq!(back, found);
    let told = cli.run(["diff", first.tag(), "last"]).expect_code(0).stdout;
    for words in ["schema", "column gone", "+50.0 %", "another"] {
        assert!(told.contains(words), "no {words:?} in\n{told}");
    }
}

#[test]
fn columns_in_another_order_and_nothing_else() {
    let cli = Cli::new();
    let path = cli.home().join("t.db");
    let store = rusqlite::Connection::open(&path).expect("a database");
    let url = sqlite_url(&path);
    store
        .execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT)")
        .expect("a table");
    let first = extract(&cli, &url, "t", "out", &[]).run();
    store
        .execute_batch("DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, b TEXT, a TEXT)")
        .expect("a table");
    extract(&cli, &url, "t", "out", &[]);
    let found = differences(&cli, first.tag(), "last");
    let schema: Vec<_> = found
        .keys()
        .filter(|(aspect, _)| aspect == "schema")
        .collect();
    // And that the second run met that change.
    let expected = [
        at("schema", "changes met"),
        at("schema", "order of columns"),
    ];
    assert_eq!(schema, expected.iter().collect::<Vec<_>>());
}

#[test]
fn a_run_does_not_differ_from_itself_and_a_run_that_is_not_there_is_named() {
    let cli = Cli::new();
    let missing = cli.run(["diff", "last", "last", "--json"]).expect_code(64);
    assert!(Failure::of(&missing).what.contains("no state store"));
    let path = cli.home().join("t.db");
    rusqlite::Connection::open(&path)
        .and_then(|store| store.execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY)"))
        .expect("a table");
    let run = extract(&cli, &sqlite_url(&path), "t", "out", &[]).run();
    assert_eq!(differences(&cli, "t", run.as_str()), BTreeMap::new());
    let told = cli.run(["diff", "last", "last"]).expect_code(0).stdout;
    assert!(told.contains("Nothing that was recorded differs"), "{told}");
    let missing = cli
        .run(["diff", "last", "nobody", "--json"])
        .expect_code(64);
    assert_eq!(Failure::of(&missing).what, "there is no run 'nobody'");
}
