//! A run that dies or is stopped leaves the old version or the new one, and nothing that stays.

use ixtract::writer::publish::Step;

use super::{Bucket, Versions};
use crate::extraction::{Extraction, until};
use crate::gate::{Gate, pids};
use crate::ixtract::Signal;
use crate::servers::postgres;

/// Set to the name of a publishing step, it makes a debug build abort there.
pub(super) const CRASH_AT: &str = "IXTRACT_CRASH_AT";
const ABORTED: i32 = 128 + 6;
const KILLED: i32 = 128 + 9;

fn crash_at(versions: &mut Versions, version: i64, step: Step) {
    versions.change_cli(|cli| cli.env(CRASH_AT, step.name()));
    let outcome = versions.run(version, &[]);
    versions.change_cli(|cli| cli.unset(CRASH_AT));
    outcome.expect_code(ABORTED);
}

fn die_at_every_step(old: Option<i64>) {
    for step in Step::ALL {
        let mut versions = Versions::small(Bucket::new());
        if let Some(old) = old {
            versions.publish(old);
        }
        crash_at(&mut versions, 2, step);
        let left = versions.published();
        let expected = if step.is_published() { Some(2) } else { old };
        assert_eq!(left, expected, "{step}");
        versions.publish(3);
        assert_eq!(versions.published(), Some(3), "{step}");
        versions.assert_swept();
    }
}

#[test]
fn a_crash_while_replacing_leaves_the_old_or_the_new_version() {
    die_at_every_step(Some(1));
}

#[test]
fn a_crash_while_publishing_for_the_first_time_leaves_nothing_or_all() {
    die_at_every_step(None);
}

#[test]
fn uploads_of_a_killed_run_are_ended_by_the_next() {
    for bucket in Bucket::everywhere() {
        let mut versions = Versions::large(bucket);
        versions.publish(1);
        crash_at(&mut versions, 2, Step::Prepared);
        // Completions are held until the proof: the files are there, and nobody can see them.
        let uploads = versions.bucket.uploads().len();
        assert_eq!(uploads > 0, versions.bucket.keeps_uploads());
        assert_eq!(versions.bucket.runs().len(), 1);
        assert_eq!(versions.published(), Some(1));
        versions.publish(3);
        assert_eq!(versions.published(), Some(3));
        versions.assert_swept();
    }
}

/// A run in the middle of its rows, one upload of it begun.
fn stopped_in_mid_upload(signal: Signal, code: i32) {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id bigint PRIMARY KEY, noise text NOT NULL);
         ALTER TABLE t ALTER noise SET STORAGE EXTERNAL;
         INSERT INTO t SELECT i, (SELECT string_agg(md5(i::text || j), '')
                                  FROM generate_series(1, 400) AS j)
         FROM generate_series(1, 2000) AS i; ANALYZE t",
    );
    let bucket = Bucket::new();
    let extraction = Extraction::new(database.url(), "public.t").by(bucket.cli());
    let url = bucket.url();
    let options = [
        "--output",
        url.as_str(),
        "--workers",
        "1",
        "--format",
        "csv",
    ];
    let gate = Gate::shut(&database);
    // The first 1 900 rows pass, so that there is something to upload.
    let filter = "id < 1950 OR public.gate(id)";
    let words = extraction.words("run", &[&options[..], &["--where", filter]].concat());
    let mut running = extraction.cli.spawn(words);
    gate.wait_for_readers(1);
    until("an upload has begun", || !bucket.uploads().is_empty());
    running.signal(signal);
    let outcome = running.wait().expect_code(code);
    if signal == Signal::KILL {
        gate.open();
    } else {
        assert!(
            outcome.stderr.contains("nothing was published"),
            "{outcome:#?}"
        );
        let session = database.session();
        until("no session of ours is left", || {
            pids(&session, "true").is_empty()
        });
        assert_eq!(bucket.keys().len(), 0, "{:?}", bucket.keys());
        assert_eq!(bucket.uploads(), Vec::<String>::new());
        drop(gate);
    }
    extraction
        .cli
        .run(extraction.words("run", &options))
        .expect_code(0);
    assert_eq!(bucket.runs().len(), 1);
    assert_eq!(bucket.uploads(), Vec::<String>::new());
    let verified = extraction
        .cli
        .run(["verify", &url, "--json"])
        .expect_code(0);
    assert_eq!(verified.json()["rows"], 2000);
}

#[test]
fn a_run_that_is_killed_in_mid_upload_is_swept() {
    stopped_in_mid_upload(Signal::KILL, KILLED);
}

#[test]
fn a_run_that_is_terminated_in_mid_upload_leaves_nothing() {
    stopped_in_mid_upload(Signal::TERM, 143);
}

#[test]
fn a_run_that_is_interrupted_in_mid_upload_leaves_nothing() {
    stopped_in_mid_upload(Signal::INT, 130);
}
