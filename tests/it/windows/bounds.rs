//! Where windows begin and end, and what is refused.

use std::path::Path;

use rusqlite::Connection;

use crate::extraction::Extraction;
use crate::published::sqlite_url;

/// A table of three rows in SQLite, and its first window.
pub(super) fn small(folder: &Path) -> (Connection, Extraction) {
    let file = folder.join("shop.db");
    let connection = Connection::open(&file).expect("a database");
    let sql = "CREATE TABLE t (id integer PRIMARY KEY, n integer, other integer NOT NULL);
               INSERT INTO t VALUES (1, 10, 0), (2, 20, 0), (3, 30, 0)";
    connection.execute_batch(sql).expect("statements");
    (connection, Extraction::new(sqlite_url(&file), "t"))
}

const BY_ID: [&str; 2] = ["--incremental", "id"];

pub(super) fn with<'a>(more: &[&'a str]) -> Vec<&'a str> {
    BY_ID.iter().chain(more).copied().collect()
}

#[test]
fn a_gap_an_overlap_and_other_rows_are_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let (connection, extraction) = small(folder.path());
    extraction.run(&BY_ID).expect_code(0);
    connection
        .execute("INSERT INTO t VALUES (9, 90, 0)", [])
        .expect("a row");
    let refuse = |more: &[&str], code: i32, says: &str| {
        let outcome = extraction.run(more).expect_code(code);
        assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    };
    refuse(&with(&["--from", "5"]), 2, "leave a gap before");
    refuse(&with(&["--from", "2"]), 2, "overlap");
    refuse(&with(&["--from", "x"]), 64, "--from x is no value of id");
    refuse(&with(&["--lag", "5m"]), 64, "--lag");
    refuse(&with(&["--where", "n > 0"]), 2, "--where");
    refuse(&["--incremental", "other"], 2, "cut on id");
    refuse(&["--incremental", "idd"], 64, "idd");
    // Neither kind of dataset replaces the other.
    refuse(&[], 73, "--incremental");
    extraction.run(&with(&["--from", "3"])).expect_code(0);
    assert_eq!(extraction.count(), 4);
}

#[test]
fn a_whole_dataset_gets_no_windows() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_connection, extraction) = small(folder.path());
    extraction.run(&[]).expect_code(0);
    let refused = extraction.run(&BY_ID).expect_code(73);
    assert!(
        refused.stderr.contains("without --incremental"),
        "{}",
        refused.stderr
    );
    assert_eq!(extraction.count(), 3);
}

#[test]
fn rows_without_a_value_are_counted_and_refused_or_taken_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let (connection, extraction) = small(folder.path());
    let insert = |id: i64, n: &str| {
        let sql = format!("INSERT INTO t VALUES ({id}, {n}, 0)");
        connection.execute(&sql, []).expect("a row");
    };
    let by = |more: &[&str]| extraction.run(&[&["--incremental", "n"], more].concat());
    insert(4, "NULL");
    insert(5, "NULL");
    let refused = by(&[]).expect_code(2);
    assert!(
        refused.stderr.contains("2 rows have no n"),
        "{}",
        refused.stderr
    );
    by(&["--include-nulls", "first-window"]).expect_code(0);
    assert_eq!(extraction.count(), 5);
    insert(6, "40");
    by(&[]).expect_code(0);
    assert_eq!(extraction.count(), 6);
    insert(7, "NULL");
    insert(8, "50");
    let refused = by(&[]).expect_code(2);
    assert!(refused.stderr.contains("1 rows more"), "{}", refused.stderr);
    by(&["--until", "30", "--include-nulls", "first-window"]).expect_code(0);
    by(&[]).expect_code(0);
    assert_eq!(extraction.count(), 8);
}

#[test]
fn an_end_is_never_ahead_of_the_newest_row() {
    let folder = tempfile::tempdir().expect("a folder");
    let (connection, extraction) = small(folder.path());
    extraction.run(&with(&["--until", "2"])).expect_code(0);
    assert_eq!(extraction.count(), 2);
    // Up to 100 rows may still come.
    extraction.run(&with(&["--until", "100"])).expect_code(0);
    connection
        .execute("INSERT INTO t VALUES (50, 0, 0)", [])
        .expect("a row");
    extraction.run(&BY_ID).expect_code(0);
    assert_eq!(extraction.count(), 4);
}

#[test]
fn an_empty_table_has_no_window_yet() {
    let folder = tempfile::tempdir().expect("a folder");
    let (connection, extraction) = small(folder.path());
    connection.execute("DELETE FROM t", []).expect("no rows");
    let quiet = extraction.run(&with(&["--json"])).expect_code(0).json();
    assert_eq!(quiet["status"], "nothing new");
    assert!(!extraction.dataset().exists());
}

#[test]
fn a_window_may_begin_and_end_below_zero() {
    let folder = tempfile::tempdir().expect("a folder");
    let (connection, extraction) = small(folder.path());
    let sql = "INSERT INTO t VALUES (-9, 0, 0), (-5, 0, 0)";
    connection.execute(sql, []).expect("rows");
    let words = with(&["--from", "-9", "--until", "-5"]);
    extraction.run(&words).expect_code(0);
    assert_eq!(extraction.count(), 1);
    extraction.run(&BY_ID).expect_code(0);
    assert_eq!(extraction.count(), 4);
}
