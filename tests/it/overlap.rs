//! Two runs of one dataset, real processes: the second says so at once, or waits, and takes over from
//! whoever died.

use ixtract::state::Store;

use crate::extraction::{Extraction, state_file};
use crate::gate::Gate;
use crate::ixtract::{Cli, Running, Signal};
use crate::servers::{Database, postgres};
use crate::stores::Bucket;

const KILLED: i32 = 128 + 9;

/// A run that stands in the middle of reading a table whose rows are of version 1.
struct First {
    database: Database,
    extraction: Extraction,
    place: Vec<String>,
    gate: Gate,
    run: Running,
}

impl First {
    fn start(cli: Cli, place: &[&str]) -> Self {
        let database = postgres().fresh_database();
        database.exec(
            "CREATE TABLE t (id bigint PRIMARY KEY, version int NOT NULL);
             INSERT INTO t SELECT i, 1 FROM generate_series(1, 500) AS i; ANALYZE t",
        );
        let extraction = Extraction::new(database.url(), "public.t").by(cli);
        let place: Vec<String> = place.iter().map(|&word| word.to_owned()).collect();
        let gate = Gate::shut(&database);
        let run = spawn(&extraction, &place, &["--where", Gate::FILTER]);
        gate.wait_for_readers(1);
        Self {
            database,
            extraction,
            place,
            gate,
            run,
        }
    }

    fn local(layout: &str) -> Self {
        Self::start(Cli::new(), &["--output", "out", "--layout", layout])
    }

    fn second(&self, more: &[&str]) -> Running {
        spawn(&self.extraction, &self.place, more)
    }
}

fn spawn(extraction: &Extraction, place: &[String], more: &[&str]) -> Running {
    let place = place.iter().map(String::as_str);
    let words: Vec<&str> = place.chain(more.iter().copied()).collect();
    extraction.cli.spawn(extraction.words("run", &words))
}

#[test]
fn a_run_waits_for_the_one_before_and_then_looks_anew() {
    for layout in ["replace", "runs"] {
        let first = First::local(layout);
        let mut second = first.second(&["--wait", "2m", "--json"]);
        second.wait_for_stderr("waiting for its end");
        // What the second run saw of the table by now is of no use to it.
        first.database.exec(
            "UPDATE t SET version = 2;
             INSERT INTO t SELECT i, 2 FROM generate_series(501, 2000) AS i; ANALYZE t",
        );
        let First {
            extraction,
            gate,
            run,
            ..
        } = first;
        gate.open();
        run.wait().expect_code(0);
        let report = second.wait().expect_code(0).json();
        assert_eq!(report["rows"], 2000, "{layout}");
        let rows = extraction.rows();
        assert!(rows.iter().all(|row| row[1].as_deref() == Some("2")));
        let store = Store::open(&state_file(&extraction.cli)).expect("a state store");
        let newest = store.selected("last").expect("a run");
        assert_eq!(newest.run.predicted.rows, 2000, "planned before the wait");
        assert_eq!(extraction.statuses(), ["success", "success"]);
        assert_eq!(extraction.beside(), [].into());
    }
}

#[test]
fn who_holds_a_dataset_is_told_after_the_wait_and_at_once_without_one() {
    let first = First::local("replace");
    for wait in [&[][..], &["--wait", "0"], &["--wait", "1s"]] {
        let outcome = first.second(wait).wait().expect_code(75);
        let held = outcome.stderr.contains("another run is writing");
        let by = outcome.stderr.contains("held by run rx-") && outcome.stderr.contains("process ");
        assert!(
            held && by && outcome.stderr.contains("--wait"),
            "{outcome:#?}"
        );
    }
    first.gate.open();
    first.run.wait().expect_code(0);
    assert_eq!(first.extraction.statuses(), ["success"]);
}

#[test]
fn the_lock_of_a_killed_run_is_nobodys() {
    for layout in ["replace", "runs"] {
        let mut first = First::local(layout);
        let mut waiting = first.second(&["--wait", "2m"]);
        waiting.wait_for_stderr("waiting for its end");
        first.run.signal(Signal::KILL);
        // Its backend still stands at the gate, and its lock is gone with its process.
        waiting.wait().expect_code(0);
        first.run.wait().expect_code(KILLED);
        assert_eq!(first.extraction.statuses(), ["crashed", "success"]);
        assert_eq!(first.extraction.beside(), [].into(), "{layout}");
        assert_eq!(first.extraction.rows().len(), 500);
        first.gate.open();
    }
}

#[test]
fn a_run_that_waits_can_be_stopped() {
    let first = First::local("replace");
    let mut second = first.second(&["--wait", "2h"]);
    second.wait_for_stderr("waiting for its end");
    second.signal(Signal::TERM);
    second.wait().expect_code(143);
    first.gate.open();
    first.run.wait().expect_code(0);
    assert_eq!(first.extraction.statuses(), ["success"]);
}

#[test]
fn on_a_store_runs_of_one_history_see_each_other() {
    let bucket = Bucket::new();
    let url = bucket.url();
    let mut first = First::start(bucket.cli(), &["--output", &url]);
    let outcome = first.second(&[]).wait().expect_code(75);
    assert!(outcome.stderr.contains("of this machine"), "{outcome:#?}");
    let mut waiting = first.second(&["--wait", "2m"]);
    waiting.wait_for_stderr("waiting for its end");
    first.run.signal(Signal::KILL);
    waiting.wait().expect_code(0);
    first.run.wait().expect_code(KILLED);
    assert_eq!(first.extraction.statuses(), ["crashed", "success"]);
    assert_eq!(bucket.runs().len(), 1);
    first.gate.open();
}
