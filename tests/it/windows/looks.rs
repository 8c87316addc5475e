//! What is told of windows afterwards: by the history, by `inspect`, and by the source.

use super::bounds::{small, with};
use crate::extraction::Extraction;
use crate::servers::mysql::mariadb;
use crate::servers::postgres;
use crate::servers::sqlserver::SqlDatabase;

/// `verify --source` of the dataset of an extraction.
fn recount(extraction: &Extraction, url: &str, code: i32) -> serde_json::Value {
    let words = ["verify", "out", "--source", url, "--json"];
    extraction.cli.run(words).expect_code(code).json()
}

#[test]
fn windows_are_counted_again_at_the_source_and_named_where_they_changed() {
    let postgres = postgres().fresh_database();
    let maria = mariadb().fresh_database();
    let server = SqlDatabase::fresh();
    let folder = tempfile::tempdir().expect("a folder");
    let (connection, _) = small(folder.path());
    connection.execute_batch("DROP TABLE t").expect("no table");
    let sqlite = crate::published::sqlite_url(&folder.path().join("shop.db"));
    type Exec<'a> = Box<dyn Fn(&str) + 'a>;
    let sources: [(String, &str, Exec<'_>); 4] = [
        (
            postgres.url(),
            "public.t",
            Box::new(|sql| postgres.exec(sql)),
        ),
        (maria.url(), "t", Box::new(|sql| maria.exec(sql))),
        (server.url(), "dbo.t", Box::new(|sql| server.exec(sql))),
        (
            sqlite,
            "t",
            Box::new(|sql| connection.execute_batch(sql).expect("statements")),
        ),
    ];
    for (url, table, exec) in sources {
        exec("CREATE TABLE t (id int NOT NULL, n int)");
        exec("INSERT INTO t VALUES (1, 1), (2, 1), (5, 0)");
        let extraction = Extraction::new(url.clone(), table);
        let words = with(&["--where", "n = {n}", "--param", "n=1"]);
        extraction.run(&words).expect_code(0);
        exec("INSERT INTO t VALUES (9, 1)");
        extraction.run(&words).expect_code(0);
        let again = |code: i32| {
            let words = [
                "verify", "out", "--source", &url, "--param", "n=1", "--json",
            ];
            extraction.cli.run(words).expect_code(code).json()["source"].clone()
        };
        let quiet = again(0);
        assert_eq!(
            (&quiet["windows"], &quiet["changed"]),
            (&2.into(), &serde_json::json!([]))
        );
        // One late, and one that has moved on.
        exec("INSERT INTO t VALUES (7, 1)");
        exec("INSERT INTO t VALUES (8, 1)");
        exec("UPDATE t SET id = 20 WHERE id = 2");
        let changed = again(1);
        let of = |index: usize| &changed["changed"][index];
        assert_eq!(
            (&of(0)["window"]["high"], &of(0)["published"]),
            (&"int:2".into(), &2.into())
        );
        assert_eq!((&of(0)["now"], &of(1)["now"]), (&1.into(), &3.into()));
        let told = extraction
            .cli
            .run(["verify", "out", "--source", &url, "--param", "n=1"]);
        let told = told.expect_code(1);
        let said = format!("{}{}", told.stdout, told.stderr);
        assert!(
            said.contains("id in (2, 9]: 1 row published, 3 at the source now"),
            "{said}"
        );
        // A window that is extracted again is as it is there.
        extraction
            .run(&[&words[..], &["--from", "2", "--until", "9"]].concat())
            .expect_code(0);
        assert_eq!(again(1)["changed"].as_array().map(Vec::len), Some(1));
        // Without the parameter nobody knows what the windows are of.
        recount(&extraction, &url, 64);
    }
}

#[test]
fn only_windows_of_this_database_are_counted_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_connection, extraction) = small(folder.path());
    let url = crate::published::sqlite_url(&folder.path().join("shop.db"));
    extraction.run(&[]).expect_code(0);
    recount(&extraction, &url, 2);
    let elsewhere = tempfile::tempdir().expect("a folder");
    let (_other, windows) = small(elsewhere.path());
    windows.run(&with(&[])).expect_code(0);
    recount(&windows, &url, 2);
    // A source in the environment alone is not asked.
    windows.cli.run(["verify", "out"]).expect_code(0);
}

#[test]
fn history_and_inspect_say_how_far_the_data_goes() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (at timestamptz PRIMARY KEY);
         INSERT INTO t VALUES ('2026-01-01 10:00Z'), ('2026-01-02 10:00Z')",
    );
    let extraction = Extraction::new(database.url(), "public.t");
    let by = ["--incremental", "at"];
    extraction
        .run(&[&by[..], &["--until", "2026-01-01 10:00Z"]].concat())
        .expect_code(0);
    extraction.run(&by).expect_code(0);
    let cli = &extraction.cli;
    let told = cli
        .run(["history", "public.t", "--json"])
        .expect_code(0)
        .json();
    let run = &told["runs"][1];
    assert_eq!(run["window"]["low"], "timestamptz:2026-01-01 10:00:00+00");
    assert_eq!(
        (&run["rows"], &run["fresh_to"]),
        (&1.into(), &"2026-01-02T10:00:00Z".into())
    );
    let shown = cli.run(["history", "public.t"]).expect_code(0).stdout;
    for says in [
        "at in (2026-01-01 10:00:00+00, 2026-01-02 10:00:00+00]",
        "data up to 2026-01-02 10:00:00 UTC",
    ] {
        assert!(shown.contains(says), "{shown}");
    }
    // However long ago that is when this test runs, it is longer than a day.
    let old = cli
        .run(["inspect", "public.t", "--max-age", "26h", "--json"])
        .expect_code(2)
        .json();
    assert_eq!(old["fresh_to"], "2026-01-02T10:00:00Z");
    assert_eq!(old["concerns"][0]["concern"], "old", "{old}");
    assert_eq!(old["concerns"][0]["most_s"], 93_600);
    let shown = cli
        .run(["inspect", "public.t", "--max-age", "26h"])
        .expect_code(2)
        .stdout;
    assert!(shown.contains("the newest published data is"), "{shown}");
    // A table as a whole is as new as its snapshot.
    let whole = Extraction::new(database.url(), "public.t");
    whole.run(&[]).expect_code(0);
    let fresh = whole
        .cli
        .run(["inspect", "public.t", "--max-age", "26h", "--json"]);
    assert_ne!(fresh.json()["concerns"][0]["concern"], "old");
    let never = whole
        .cli
        .run(["inspect", "public.nothing", "--max-age", "26h", "--json"]);
    assert_eq!(never.expect_code(2).json()["concerns"][0]["concern"], "old");
}

/// A history that is rebuilt from the manifests knows the windows.
#[test]
fn a_rebuilt_history_knows_the_windows() {
    let folder = tempfile::tempdir().expect("a folder");
    let (connection, extraction) = small(folder.path());
    extraction.run(&with(&[])).expect_code(0);
    connection
        .execute("INSERT INTO t VALUES (9, 0, 0)", [])
        .expect("a row");
    extraction.run(&with(&[])).expect_code(0);
    let before = extraction
        .cli
        .run(["history", "--json"])
        .expect_code(0)
        .json();
    std::fs::remove_file(crate::extraction::state_file(&extraction.cli)).expect("a history");
    extraction
        .cli
        .run(["state", "rebuild", "out"])
        .expect_code(0);
    let after = extraction
        .cli
        .run(["history", "--json"])
        .expect_code(0)
        .json();
    for index in [0, 1] {
        for what in ["window", "output", "scope", "rows", "fresh_to"] {
            let (was, is) = (&before["runs"][index][what], &after["runs"][index][what]);
            assert_eq!(was, is, "{what}");
        }
    }
}
