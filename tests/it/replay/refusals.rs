//! What is not replayed: a plan that was changed, is newer, or does not fit the table any more.

use rusqlite::Connection;
use serde_json::Value;

use super::{CUT, file_table, replay, server_table};
use crate::extraction::state_file;
use crate::ixtract::{Cli, Outcome};
use crate::published::{Failure, extract};

/// Changes the stored plan of the only run.
fn edit(cli: &Cli, change: impl FnOnce(&mut Value)) {
    let store = Connection::open(state_file(cli)).expect("a state store");
    let text: String = store
        .query_row("SELECT plan_json FROM runs", [], |row| row.get(0))
        .expect("a plan");
    let mut plan: Value = serde_json::from_str(&text).expect("JSON");
    change(&mut plan);
    store
        .execute("UPDATE runs SET plan_json = ?1", [plan.to_string()])
        .expect("an update");
}

/// The fingerprint that a plan's decisions give.
fn fingerprint(plan: &Value) -> String {
    let spec = serde_json::from_value(plan["spec"].clone()).expect("a spec");
    ixtract::planner::fingerprint(&spec)
}

#[track_caller]
fn refused(outcome: Outcome, code: i32, words: [&str; 3]) {
    let outcome = outcome.expect_code(code);
    let failure = Failure::of(&outcome);
    let lines = [&failure.what, &failure.why, &failure.fix];
    for (line, word) in lines.into_iter().zip(words) {
        assert!(line.contains(word), "no {word:?} in {}", failure.text());
    }
}

#[test]
fn a_stored_plan_that_was_changed_is_never_executed() {
    type Change = fn(&mut Value);
    let changes: [Change; 4] = [
        |plan| plan["spec"]["workers"] = 3.into(),
        |plan| plan["spec"]["unheard_of"] = true.into(),
        |plan| plan["fingerprint"] = "0".repeat(64).into(),
        // With a fingerprint that fits it: not what was executed all the same.
        |plan| {
            plan["spec"]["workers"] = 3.into();
            plan["fingerprint"] = fingerprint(plan).into();
        },
    ];
    for change in changes {
        let cli = Cli::new();
        extract(&cli, &file_table(&cli), "t", "out", &CUT);
        edit(&cli, change);
        for flags in [&["last"][..], &["last", "--force"]] {
            refused(
                replay(&cli, flags),
                3,
                [
                    "the plan was changed after it was made",
                    "fingerprint",
                    "run the table again",
                ],
            );
        }
    }
}

#[test]
fn a_newer_plan_needs_force_and_is_then_executed_as_it_is() {
    let cli = Cli::new();
    extract(&cli, &file_table(&cli), "t", "out", &CUT);
    edit(&cli, |plan| {
        plan["spec"]["plan_version"] = 2.into();
        plan["fingerprint"] = fingerprint(plan).into();
    });
    let store = Connection::open(state_file(&cli)).expect("a state store");
    store
        .execute(
            "UPDATE runs SET fingerprint = plan_json ->> '$.fingerprint'",
            [],
        )
        .expect("an update");
    refused(
        replay(&cli, &["last"]),
        78,
        ["version 2", "up to version 1", "--force"],
    );
    let document = replay(&cli, &["last", "--force"]).expect_code(0).json();
    assert_eq!(document["plan_version"], 2);
    assert_eq!(document["same_decisions"], true);
    // Where it says more than we know, that is no secret.
    edit_newest(&cli, &document);
    let words = [
        document["replay"]["run"].as_str().expect("an id"),
        "--force",
    ];
    let document = replay(&cli, &words).expect_code(0).json();
    assert_eq!(document["same_decisions"], false, "{document}");
}

/// Gives the plan of the newest run a field that this program does not know, properly sealed.
fn edit_newest(cli: &Cli, document: &Value) {
    use sha2::Digest;
    let store = Connection::open(state_file(cli)).expect("a state store");
    let run = document["replay"]["run"].as_str().expect("an id");
    let text: String = store
        .query_row(
            "SELECT plan_json FROM runs WHERE run_id = ?1",
            [run],
            |row| row.get(0),
        )
        .expect("a plan");
    let mut plan: Value = serde_json::from_str(&text).expect("JSON");
    plan["spec"]["pace"] = "gentle".into();
    let canonical = ixtract::planner::canonical_json(&plan["spec"]);
    let digest = sha2::Sha256::digest(canonical.as_bytes());
    let seal: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    plan["fingerprint"] = seal.clone().into();
    store
        .execute(
            "UPDATE runs SET plan_json = ?1, fingerprint = ?2 WHERE run_id = ?3",
            [&plan.to_string(), &seal, run],
        )
        .expect("an update");
}

#[test]
fn a_table_that_changed_is_refused_before_anything_is_read() {
    for change in [
        "ALTER TABLE t DROP COLUMN x",
        "ALTER TABLE t ALTER COLUMN x TYPE varchar(9)",
        "ALTER TABLE t RENAME COLUMN x TO y",
        "ALTER TABLE t DROP CONSTRAINT t_pkey",
        "DROP TABLE t",
    ] {
        let (database, cli) = (server_table(), Cli::new());
        let first = extract(&cli, &database.url(), "public.t", "out", &CUT);
        database.exec(change);
        let outcome = replay(&cli, &["last", "--source", &database.url()]);
        assert_eq!(outcome.code, 2, "{change}: {outcome:#?}");
        let failure = Failure::of(&outcome);
        assert!(failure.what.contains("public.t"), "{}", failure.text());
        let now = crate::extraction::manifest(&first.dataset);
        assert_eq!(now["run"], first.run().as_str(), "{change}");
    }
    // What the plan does not read may come and go.
    let (database, cli) = (server_table(), Cli::new());
    extract(&cli, &database.url(), "public.t", "out", &CUT);
    database.exec("ALTER TABLE t ADD COLUMN more text");
    replay(&cli, &["last", "--source", &database.url()]).expect_code(0);
}

#[test]
fn another_database_is_refused() {
    let (database, cli) = (server_table(), Cli::new());
    extract(&cli, &database.url(), "public.t", "out", &CUT);
    let other = server_table();
    let outcome = replay(&cli, &["last", "--source", &other.url()]);
    refused(outcome, 2, ["public.t", "the plan is for", ""]);
}

#[test]
fn a_run_that_is_not_there_is_named() {
    let cli = Cli::new();
    refused(
        replay(&cli, &["last"]),
        64,
        ["no state store", "", "--state"],
    );
    extract(&cli, &file_table(&cli), "t", "out", &[]);
    refused(replay(&cli, &["nobody"]), 64, ["'nobody'", "", "history"]);
    let usage = cli.run(["replay"]).expect_code(64);
    assert!(usage.stderr.contains("RUN"), "{}", usage.stderr);
}
