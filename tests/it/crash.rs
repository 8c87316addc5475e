//! A run that is killed, wherever it stands, leaves the old version or the new one, whole, and
//! nothing that the next run does not clean up; one that is asked to stop does so at once.

use std::time::Duration;

use ixtract::writer::publish::Step;

use crate::extraction::{Extraction, until};
use crate::gate::{Gate, pids};
use crate::ixtract::{Cli, Running, Signal};
use crate::servers::{Database, postgres};
use crate::versions::Versions;

const KILLED: i32 = 128 + 9;

/// Dies at every step of publishing version 2, over `old` or over nothing.
fn die_at_every_step(layout: &'static str, old: Option<i64>) {
    for step in Step::ALL {
        let mut versions = Versions::new(layout);
        if let Some(old) = old {
            versions.publish(old);
        }
        versions.publish_and_crash(2, step.name());
        let left = versions.published();
        assert!(left == old || left == Some(2), "{}: {left:?}", step.name());
        versions.publish(3);
        assert_eq!(versions.published(), Some(3), "{}", step.name());
        versions.assert_swept();
        let mut statuses = versions.extraction.statuses();
        assert_eq!(
            statuses.pop().as_deref(),
            Some("success"),
            "{}",
            step.name()
        );
        assert_eq!(
            statuses.pop().as_deref(),
            Some("crashed"),
            "{}",
            step.name()
        );
    }
}

#[test]
fn a_crash_while_replacing_leaves_the_old_or_the_new_version() {
    die_at_every_step("replace", Some(1));
}

#[test]
fn a_crash_while_publishing_for_the_first_time_leaves_nothing_or_all() {
    die_at_every_step("replace", None);
}

#[test]
fn a_crash_while_adding_a_run_leaves_the_old_or_the_new_version() {
    die_at_every_step("runs", Some(1));
}

#[test]
fn a_crash_while_adding_the_first_run_leaves_nothing_or_all() {
    die_at_every_step("runs", None);
}

/// A published version of a table, and a run in the middle of reading the next.
struct MidRead {
    database: Database,
    extraction: Extraction,
    gate: Gate,
    running: Running,
}

/// Long enough for a loaded machine; without cancelling, it would be forever.
const TO_STOP: Duration = Duration::from_secs(10);

impl MidRead {
    fn start(more: &[&str]) -> Self {
        let database = postgres().fresh_database();
        database.exec(
            "CREATE TABLE t (id bigint PRIMARY KEY, version int NOT NULL);
             INSERT INTO t SELECT i, 1 FROM generate_series(1, 2000) AS i; ANALYZE t",
        );
        let extraction =
            Extraction::new(database.url(), "public.t").by(Cli::new().timeout(TO_STOP));
        let options = ["--workers", "2", "--chunk-rows", "500"];
        extraction.run(&options).expect_code(0);
        database.exec("UPDATE t SET version = 2");
        let gate = Gate::shut(&database);
        let running = extraction.spawn(&[&options[..], &["--where", Gate::FILTER], more].concat());
        gate.wait_for_readers(2);
        Self {
            database,
            extraction,
            gate,
            running,
        }
    }

    fn assert_old_version(extraction: &Extraction) {
        let rows = extraction.rows();
        assert_eq!(rows.len(), 2000);
        assert!(rows.iter().all(|row| row[1].as_deref() == Some("1")));
    }
}

fn stopped_by(signal: Signal, code: i32, more: &[&str]) {
    let MidRead {
        database,
        extraction,
        gate,
        mut running,
    } = MidRead::start(more);
    running.signal(signal);
    let outcome = running.wait().expect_code(code);
    assert!(
        outcome.stderr.contains("nothing was published"),
        "{outcome:#?}"
    );
    // The gate is still shut: only a cancelled query leaves it.
    let session = database.session();
    until("no session of ours is left", || {
        pids(&session, "true").is_empty()
    });
    drop(gate);
    assert_eq!(extraction.beside(), [].into(), "staging is gone");
    MidRead::assert_old_version(&extraction);
    assert_eq!(extraction.statuses(), ["success", "cancelled"]);
}

#[test]
fn an_interrupt_stops_the_servers_queries_and_publishes_nothing() {
    stopped_by(Signal::INT, 130, &[]);
}

#[test]
fn a_termination_stops_the_servers_queries_and_publishes_nothing() {
    stopped_by(Signal::TERM, 143, &[]);
}

#[test]
fn without_one_point_in_time_the_servers_queries_are_stopped_too() {
    stopped_by(Signal::TERM, 143, &["--consistency", "per-chunk"]);
}

#[test]
fn a_killed_reader_leaves_the_old_version_and_the_next_run_sweeps() {
    let MidRead {
        database,
        extraction,
        gate,
        mut running,
    } = MidRead::start(&[]);
    running.signal(Signal::KILL);
    running.wait().expect_code(KILLED);
    gate.open();
    MidRead::assert_old_version(&extraction);
    assert_eq!(extraction.statuses(), ["success", "running"]);
    extraction.run(&[]).expect_code(0);
    assert_eq!(
        extraction.beside(),
        [].into(),
        "what the dead run left is swept"
    );
    assert_eq!(extraction.statuses(), ["success", "crashed", "success"]);
    let rows = extraction.rows();
    assert!(rows.len() == 2000 && rows.iter().all(|row| row[1].as_deref() == Some("2")));
    drop(database);
}
