//! History is a help and never a gate: a store that cannot be used costs a warning, unless it is
//! required.

use std::fs;
use std::path::Path;

use super::{Failure, orders};
use crate::extraction::{Extraction, state_file};

/// Runs with the store that `spoil` leaves; gives what the run without `--state-required` said.
fn with_spoilt(spoil: impl Fn(&Path), codes: &[i32], word: &str) {
    let (_database, extraction) = orders();
    extraction.run(&[]).expect_code(0);
    let store = state_file(&extraction.cli);
    spoil(&store);
    let before = fs::read(&store).ok();

    let outcome = extraction.run(&[]).expect_code(0);
    assert!(outcome.stderr.contains("warning"), "{outcome:#?}");
    assert!(outcome.stderr.contains(word), "{outcome:#?}");
    assert_eq!(extraction.count(), 10);
    let json = extraction.run(&["--json"]).expect_code(0).json();
    let warnings = json["warnings"].to_string();
    assert!(warnings.contains(word), "{warnings}");

    let outcome = extraction.run(&["--state-required"]);
    assert!(codes.contains(&outcome.code), "{outcome:#?}");
    let failure = Failure::of(&outcome);
    let said = format!("{} {}", failure.what, failure.why);
    assert!(said.contains(word), "{outcome:#?}");
    assert_eq!(fs::read(&store).ok(), before, "the store is not touched");
}

#[test]
fn a_corrupt_store() {
    let garbage = |store: &Path| {
        remove_journal(store);
        fs::write(store, "no database at all, ".repeat(1000)).expect("a file");
    };
    with_spoilt(garbage, &[78], "state.db");
}

#[test]
fn a_store_of_a_newer_program() {
    let newer = |store: &Path| {
        let store = rusqlite::Connection::open(store).expect("a store");
        let version: i64 = store
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .expect("a version");
        assert!(version > 0, "the store has a version");
        store
            .execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA user_version = 9999")
            .expect("a newer version");
    };
    with_spoilt(newer, &[78], "newer");
}

#[test]
fn a_store_that_is_a_directory() {
    let directory = |store: &Path| {
        remove_journal(store);
        fs::remove_file(store).expect("a file");
        fs::create_dir(store).expect("a directory");
    };
    with_spoilt(directory, &[73, 78], "state.db");
}

fn remove_journal(store: &Path) {
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(format!("{}{suffix}", store.display())).ok();
    }
}

#[test]
fn a_locked_store() {
    let (_database, extraction) = orders();
    extraction.run(&[]).expect_code(0);
    let other = rusqlite::Connection::open(state_file(&extraction.cli)).expect("a store");
    other
        .execute_batch("BEGIN EXCLUSIVE; DELETE FROM runs")
        .expect("a lock");
    let outcome = extraction.run(&[]).expect_code(0);
    assert!(outcome.stderr.contains("warning"), "{outcome:#?}");
    assert!(outcome.stderr.contains("locked"), "{outcome:#?}");
    let outcome = extraction.run(&["--state-required"]).expect_code(75);
    Failure::of(&outcome).assert_says("locked", "", "--state");
    drop(other);
    assert_eq!(extraction.statuses(), ["success"]);
}

#[test]
fn where_the_store_is_can_be_said() {
    let (_database, extraction) = orders();
    let cli = &extraction.cli;
    extraction
        .run(&["--state", "deep/in/here.db"])
        .expect_code(0);
    assert!(cli.home().join("deep/in/here.db").is_file());
    assert!(!state_file(cli).exists());
    let Extraction { cli, .. } = extraction;
    let cli = cli.env("IXTRACT_STATE", "there.db");
    let (_database, extraction) = orders();
    let extraction = extraction.by(cli);
    extraction.run(&[]).expect_code(0);
    assert!(extraction.cli.home().join("there.db").is_file());
}

#[test]
fn several_programs_share_one_store() {
    let (database, extraction) = orders();
    let cli = &extraction.cli;
    let names = ["a", "b", "c", "d", "e", "f"];
    let running: Vec<_> = names
        .map(|name| cli.spawn(extraction.words("run", &["--output", name, "--state-required"])))
        .into_iter()
        .collect();
    for program in running {
        program.wait().expect_code(0);
    }
    assert_eq!(extraction.statuses(), ["success"; 6]);
    drop(database);
}
