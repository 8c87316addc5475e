//! What the server says when something goes wrong, and what a run makes of it: the peer says it in the
//! middle of a read, in the server's own numbers.

use serde_json::Value;

use super::numbered;
use crate::cli::fails;
use crate::extraction::Extraction;
use crate::servers::sqlserver::SqlDatabase;

/// A filter that every row passes, unless a fault is due.
const FAULTY: [&str; 2] = ["--where", "dbo.fault(id) = 1"];

const PARALLEL: [&str; 4] = ["--workers", "2", "--chunk-rows", "250"];

fn scene() -> (SqlDatabase, Extraction) {
    let database = numbered();
    database.exec(
        "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t SELECT n FROM numbers WHERE n < 1000",
    );
    let extraction = Extraction::new(database.url(), "t");
    (database, extraction)
}

/// Lets the next rows that a read looks at end it.
fn plan(database: &SqlDatabase, number: u32, times: u32) {
    database.exec(&format!("FAULT {number} {times} The server says so."));
}

fn adaptations(extraction: &Extraction) -> Vec<String> {
    let manifest = extraction.manifest();
    let all = manifest["adaptations"].as_array().expect("a list");
    all.iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

#[test]
fn what_passes_is_read_again_in_the_same_snapshot() {
    for number in [1205, 1222, 701, 8645, 10928, 40501, 40613, 49918] {
        let (database, extraction) = scene();
        plan(&database, number, 1);
        extraction
            .run(&[&PARALLEL[..], &FAULTY].concat())
            .expect_code(0);
        assert_eq!(extraction.count(), 1000, "{number}");
        let told = adaptations(&extraction);
        assert!(
            told.iter().any(|line| line.contains("was read again")),
            "{number}: {told:#?}"
        );
        assert_eq!(
            extraction.manifest()["consistency"]["level"],
            "shared-snapshot"
        );
    }
}

#[test]
fn what_does_not_pass_ends_the_run_with_what_helps() {
    let grant = "GRANT SELECT ON [dbo].[t] TO [dbo]";
    for (number, code, what, fix) in [
        (229, 77, "not allowed to read dbo.t", grant),
        (230, 77, "not allowed to read dbo.t", grant),
        (3961, 75, "dbo.t was changed while it was read", "altered"),
        (3958, 69, "the snapshot of dbo.t was lost", "run again"),
        (8134, 1, "the server refused a statement", "--where"),
    ] {
        let (database, extraction) = scene();
        plan(&database, number, 100);
        let outcome = extraction.run(&[&PARALLEL[..], &FAULTY, &["--json"]].concat());
        let says = format!("The server says so. (error {number})");
        fails(outcome, code, [what, &says, fix]);
        assert!(!extraction.dataset().exists(), "{number}");
        assert_eq!(extraction.beside(), [].into(), "{number}");
    }
}

/// The same again and again, on every session of the snapshot: what ends the run is what they died of.
#[test]
fn what_would_pass_and_does_not_says_what_helps() {
    for (number, code, fix) in [
        (1205, 75, "run again"),
        (40501, 75, "in a few minutes"),
        (701, 75, "memory"),
    ] {
        let (database, extraction) = scene();
        plan(&database, number, 1000);
        let outcome = extraction.run(&[&PARALLEL[..], &FAULTY, &["--json"]].concat());
        let says = format!("(error {number})");
        fails(outcome, code, ["", &says, fix]);
        assert!(!extraction.dataset().exists(), "{number}");
    }
}

#[test]
fn what_keeps_us_out_says_what_helps() {
    let (database, extraction) = scene();
    for (number, code, what, fix) in [
        (40613, 75, "is not ready to answer", "in a few minutes"),
        (40501, 75, "is not ready to answer", "in a few minutes"),
        (10928, 75, "has no free connection", "--workers"),
        (40615, 77, "refused to log in 'sa'", "user"),
        (18470, 77, "refused to log in 'sa'", "user"),
    ] {
        database.exec(&format!("FAULT LOGIN {number} 1 Not now."));
        let outcome = extraction.run(&["--json"]);
        let says = format!("Not now. (error {number})");
        fails(outcome, code, [what, &says, fix]);
    }
    extraction.run(&[]).expect_code(0);
    // Whether it is not there or not ours, the server does not say.
    let nowhere = database.url().replace(database.name(), "no_such_database");
    let outcome = Extraction::new(nowhere, "t").run(&["--json"]);
    fails(
        outcome,
        69,
        [
            "no_such_database",
            "CREATE USER [sa] FOR LOGIN [sa]",
            "name",
        ],
    );
}
