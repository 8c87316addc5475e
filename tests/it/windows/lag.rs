//! Late commits, and what holds the end of a window back from them.

use super::bounds::small;
use crate::extraction::{Extraction, until};
use crate::servers::mysql::mariadb;
use crate::servers::postgres;

#[test]
fn late_commits_are_the_hole_that_a_lag_closes() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL);
         INSERT INTO t SELECT i, '2026-01-01 00:00:00Z'::timestamptz + i * interval '1 minute'
         FROM generate_series(1, 20) AS i",
    );
    let late = database.session();
    late.exec("BEGIN; INSERT INTO t VALUES (100, '2026-01-01 00:18:00Z')");
    let run = |output: &str, lag: &[&str]| {
        let extraction = Extraction::new(database.url(), "public.t");
        let words = [&["--incremental", "at", "--output", output], lag].concat();
        extraction
            .cli
            .run(extraction.words("run", &words))
            .expect_code(0);
        extraction
    };
    let without = run("without", &[]);
    let held = run("held", &["--lag", "5m"]);
    late.exec("COMMIT");
    database.exec("INSERT INTO t VALUES (30, '2026-01-01 00:40:00Z')");
    let again = |extraction: &Extraction, output: &str, lag: &[&str]| {
        let words = [&["--incremental", "at", "--output", output], lag].concat();
        let cli = &extraction.cli;
        cli.run(extraction.words("run", &words)).expect_code(0);
        cli.run(["verify", output, "--json"]).expect_code(0).json()["rows"].clone()
    };
    assert_eq!(again(&without, "without", &[]), 21, "the late row is lost");
    // 00:40 less five minutes: the newest row waits for the next window.
    assert_eq!(again(&held, "held", &["--lag", "5m"]), 21);
    database.exec("INSERT INTO t VALUES (31, '2026-01-01 01:00:00Z')");
    assert_eq!(
        again(&held, "held", &["--lag", "5m"]),
        22,
        "every row but the newest"
    );
}

/// Rows up to the beginning of the oldest transaction are settled, whoever adds a row later.
#[test]
fn the_oldest_transaction_says_what_is_settled() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());
         INSERT INTO t VALUES (1, now() - interval '1 hour')",
    );
    let late = database.session();
    late.exec("BEGIN; INSERT INTO t VALUES (2)");
    // Written and committed while the other is under way, and so after it began.
    database.exec("INSERT INTO t VALUES (3)");
    let extraction = Extraction::new(database.url(), "public.t");
    let auto = ["--incremental", "at", "--lag", "auto"];
    let document = extraction.run(&[&auto[..], &["--json"]].concat());
    let document = document.expect_code(0).json();
    assert_eq!(extraction.count(), 1);
    let note = document["notes"][0].as_str().expect("a note");
    assert!(
        note.contains("the oldest transaction, of process"),
        "{note}"
    );
    late.exec("COMMIT");
    // As soon as all that is under way began after them.
    until("both rows are settled", || {
        extraction.run(&auto).expect_code(0);
        extraction.count() == 3
    });
}

#[test]
fn what_is_settled_is_said_for_times_alone_and_where_it_can_be_known() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id int NOT NULL, at timestamptz NOT NULL, local timestamp NOT NULL, \
                         day date NOT NULL, word text NOT NULL);
         INSERT INTO t VALUES (1, '2026-01-01Z', '2026-01-01', '2026-01-01', 'a')",
    );
    let by = |url: &str, column: &str| {
        let extraction = Extraction::new(url, "public.t");
        let outcome = extraction.run(&["--incremental", column, "--lag", "auto"]);
        (outcome.code, outcome.stderr)
    };
    let url = database.url();
    for (column, says) in [
        ("id", "no transaction says which"),
        ("word", "only what holds a time"),
    ] {
        let (code, told) = by(&url, column);
        assert!(code == 2 && told.contains(says), "{code}: {told}");
    }
    let name = database.name();
    database.exec(&format!(
        "ALTER DATABASE \"{name}\" SET timezone = 'Europe/Berlin'"
    ));
    let (code, told) = by(&url, "local");
    assert!(
        code == 2 && told.contains("Europe/Berlin"),
        "{code}: {told}"
    );
    assert_eq!(by(&url, "at").0, 0);
    database.exec(&format!("ALTER DATABASE \"{name}\" SET timezone = 'UTC'"));
    for column in ["local", "day"] {
        let (code, told) = by(&url, column);
        assert_eq!(code, 0, "{column}: {told}");
    }
    let limited = database.limited_role();
    database.exec(&format!("GRANT SELECT ON t TO {}", limited.user));
    // A session of another's, whose transactions this role may not see.
    let _other = database.session();
    let (code, told) = by(&limited.to_string(), "at");
    assert!(
        code == 2 && told.contains("pg_read_all_stats"),
        "{code}: {told}"
    );
}

#[test]
fn other_sources_say_why_nothing_is_settled() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_connection, sqlite) = small(folder.path());
    let maria = mariadb().fresh_database();
    maria.exec("CREATE TABLE t (id int NOT NULL, at datetime NOT NULL)");
    for (extraction, column) in [(sqlite, "id"), (Extraction::new(maria.url(), "t"), "at")] {
        let refused = extraction.run(&["--incremental", column, "--lag", "auto"]);
        let refused = refused.expect_code(2);
        assert!(refused.stderr.contains("--lag 5m"), "{}", refused.stderr);
    }
}

/// A lag is taken from whatever is a time, by whichever type it is kept.
#[test]
fn a_lag_is_taken_from_times_of_every_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let (connection, sqlite) = small(folder.path());
    let sql = "CREATE TABLE w (at text NOT NULL);
               INSERT INTO w VALUES ('2026-01-01T00:00:00.5Z'), ('2026-01-01T00:06:00.5Z')";
    connection.execute_batch(sql).expect("statements");
    let maria = mariadb().fresh_database();
    maria.exec("CREATE TABLE w (at datetime(1) NOT NULL)");
    maria.exec("INSERT INTO w VALUES ('2026-01-01 00:00:00.5'), ('2026-01-01 00:06:00.5')");
    let url = crate::published::sqlite_url(&folder.path().join("shop.db"));
    drop(sqlite);
    for (extraction, high) in [
        (Extraction::new(url, "w"), "text:2026-01-01T00:01:00.5Z"),
        (
            Extraction::new(maria.url(), "w"),
            "datetime:2026-01-01 00:01:00.5",
        ),
    ] {
        extraction
            .run(&["--incremental", "at", "--lag", "5m"])
            .expect_code(0);
        assert_eq!(extraction.count(), 1);
        let list = extraction.manifest();
        assert_eq!(list["windows"][0]["window"]["high"], high);
        let path = list["windows"][0]["path"]
            .as_str()
            .expect("a path")
            .to_owned();
        let window = crate::extraction::manifest(&extraction.dataset().join(path));
        assert_eq!(window["freshness"], "2026-01-01T00:01:00Z");
        assert_eq!(window["extraction_window"]["high"], high);
    }
}
