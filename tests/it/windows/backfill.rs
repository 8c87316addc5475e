//! A range that is cut into windows.

use super::bounds::{small, with};
use super::{KILLED, change};
use crate::extraction::Extraction;
use crate::servers::mysql::mariadb;
use crate::servers::postgres;
use crate::servers::sqlserver::SqlDatabase;

fn bounds(extraction: &Extraction) -> Vec<(String, String, u64)> {
    let list = extraction.manifest();
    let bare = |bound: &serde_json::Value| {
        let text = bound.as_str().unwrap_or("int:-").to_owned();
        text.split_once(':').expect("a typed bound").1.to_owned()
    };
    let windows = list["windows"].as_array().expect("windows").iter();
    windows
        .map(|entry| {
            let window = &entry["window"];
            let rows = entry["rows"].as_u64().expect("rows");
            (bare(&window["low"]), bare(&window["high"]), rows)
        })
        .collect()
}

fn backfill<'a>(from: &'a str, until: &'a str, every: &'a str) -> Vec<&'a str> {
    vec![
        "--backfill",
        "--from",
        from,
        "--until",
        until,
        "--every",
        every,
    ]
}

#[test]
fn a_range_is_cut_and_published_in_order_onwards_and_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (connection, extraction) = small(folder.path());
    for id in [12, 17, 25, 33, 34] {
        let sql = format!("INSERT INTO t VALUES ({id}, 0, 0)");
        connection.execute(&sql, []).expect("a row");
    }
    let run = |from: &str, until: &str, every: &str| {
        extraction.run(&[with(&["--json"]), backfill(from, until, every)].concat())
    };
    let document = run("10", "30", "10").expect_code(0).json();
    assert_eq!(document["windows"].as_array().map(Vec::len), Some(2));
    assert_eq!(document["rows"], 3);
    let of = |low: &str, high: &str, rows| (low.to_owned(), high.to_owned(), rows);
    assert_eq!(bounds(&extraction), [of("10", "20", 2), of("20", "30", 1)]);
    // Back to before the first, the newest first, so that there is never a gap.
    let document = run("0", "10", "4").expect_code(0).json();
    assert_eq!(document["windows"][0]["window"]["low"], "int:8");
    // Onwards: cut back to the newest row, and what is there is skipped.
    run("20", "50", "10").expect_code(0);
    let all = bounds(&extraction);
    assert_eq!(
        all,
        [
            of("0", "4", 3),
            of("4", "8", 0),
            of("8", "10", 0),
            of("10", "20", 2),
            of("20", "30", 1),
            of("30", "34", 2)
        ]
    );
    assert_eq!(extraction.count(), 8);
    let quiet = run("10", "30", "10").expect_code(0).json();
    assert_eq!(quiet["status"], "nothing new");
    for (from, until, says) in [
        ("15", "30", "overlap"),
        ("60", "90", "no row has a value after 60"),
        ("-9", "-3", "leave a gap to"),
        ("30", "10", "nothing between"),
    ] {
        let outcome = run(from, until, "10");
        let told = format!("{}{}", outcome.stdout, outcome.stderr);
        assert!(told.contains(says), "{from} to {until}: {told}");
    }
    let wrong = run("34", "50", "1d").expect_code(64);
    assert!(wrong.stdout.contains("cuts nothing"), "{}", wrong.stdout);
    extraction
        .run(&with(&["--backfill", "--from", "1"]))
        .expect_code(64);
    assert_eq!(bounds(&extraction), all);
}

/// Killed on the way, it goes on where the list ends.
#[test]
fn a_backfill_that_is_killed_is_taken_up_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_connection, mut extraction) = small(folder.path());
    let words = [with(&[]), backfill("0", "3", "1")].concat();
    change(&mut extraction.cli, |cli| {
        cli.env("IXTRACT_CRASH_AT", "released")
    });
    extraction.run(&words).expect_code(KILLED);
    change(&mut extraction.cli, |cli| cli.unset("IXTRACT_CRASH_AT"));
    extraction.run(&words).expect_code(0);
    assert_eq!(extraction.count(), 3);
    assert_eq!(bounds(&extraction).len(), 3);
}

#[test]
fn times_are_cut_by_hours_and_days_on_every_server() {
    let rows = "('2026-01-01 06:00:00'), ('2026-01-02 00:00:00'), ('2026-01-02 00:00:00.5'), \
                ('2026-01-03 12:00:00')";
    let postgres = postgres().fresh_database();
    postgres.exec(&format!(
        "CREATE TABLE t (at timestamptz NOT NULL); SET timezone = 'UTC'; INSERT INTO t VALUES {rows}"
    ));
    let maria = mariadb().fresh_database();
    maria.exec("CREATE TABLE t (at datetime(1) NOT NULL)");
    maria.exec(&format!("INSERT INTO t VALUES {rows}"));
    let server = SqlDatabase::fresh();
    server.exec("CREATE TABLE t (at datetime2(1) NOT NULL)");
    server.exec(&format!("INSERT INTO t VALUES {rows}"));
    let folder = tempfile::tempdir().expect("a folder");
    let (connection, _) = small(folder.path());
    let sql =
        format!("DROP TABLE t; CREATE TABLE t (at text NOT NULL); INSERT INTO t VALUES {rows}");
    connection.execute_batch(&sql).expect("statements");
    let sqlite = crate::published::sqlite_url(&folder.path().join("shop.db"));
    for (url, table) in [
        (postgres.url(), "public.t"),
        (maria.url(), "t"),
        (server.url(), "dbo.t"),
        (sqlite, "t"),
    ] {
        let extraction = Extraction::new(url, table);
        let cut = backfill("2026-01-01 00:00:00", "2026-01-04 00:00:00", "1d");
        extraction
            .run(&[vec!["--incremental", "at"], cut].concat())
            .expect_code(0);
        let counts: Vec<u64> = bounds(&extraction).iter().map(|of| of.2).collect();
        assert_eq!(counts, [2, 1, 1], "{table}");
        assert_eq!(extraction.count(), 4);
    }
}
