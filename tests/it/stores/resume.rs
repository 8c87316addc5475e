//! Runs onto a store that ended too early are gone on with: what had arrived there, whole and invisible,
//! is not read again.

use ixtract::writer::publish::Step;
use serde_json::Value;

use super::Bucket;
use super::crash::CRASH_AT;
use crate::extraction::{Extraction, until};
use crate::gate::Gate;
use crate::ixtract::{Outcome, Running, Signal};
use crate::readers::{self, Engine};
use crate::resume::{finished, resume};
use crate::servers::{Database, postgres};

/// Four chunks of 400 rows, of which the last stands at the gate.
const ROWS: usize = 1600;
const OPTIONS: [&str; 8] = [
    "--workers",
    "2",
    "--chunk-rows",
    "400",
    "--chunking",
    "key",
    "--compression",
    "none",
];
const ALL_BUT_THE_LAST: &str = "id <= 1200 OR public.gate(id)";

/// Bytes of a row whose chunk is uploaded in several pieces.
const LARGE: usize = 24_000;

/// Bytes of a row whose chunk waits in memory.
const SMALL: usize = 24;

struct Scene {
    database: Database,
    extraction: Extraction,
    bucket: Bucket,
    url: String,
}

impl Scene {
    fn new(bucket: Bucket, bytes: usize) -> Self {
        let database = postgres().fresh_database();
        database.exec(&format!(
            "CREATE TABLE t (id bigint PRIMARY KEY, noise text NOT NULL);
             INSERT INTO t SELECT i, i || repeat('x', {bytes}) FROM generate_series(1, {ROWS}) AS i;
             ANALYZE t"
        ));
        let url = bucket.url();
        Self {
            extraction: Extraction::new(database.url(), "public.t").by(bucket.cli()),
            database,
            bucket,
            url,
        }
    }

    fn words(&self, more: &[&str]) -> Vec<String> {
        let options = [&["--output", self.url.as_str()], &OPTIONS[..], more].concat();
        self.extraction.words("run", &options)
    }

    /// A run that has read three chunks and reads the fourth.
    fn at_the_gate(&self, kept: usize) -> (Gate, Running) {
        let gate = Gate::shut(&self.database);
        let running = self
            .extraction
            .cli
            .spawn(self.words(&["--where", ALL_BUT_THE_LAST]));
        gate.wait_for_readers(1);
        if kept > 0 {
            until("finished chunks are remembered", || {
                finished(&self.extraction) == kept
            });
        }
        (gate, running)
    }

    /// Ends such a run, and lets later ones pass.
    fn ended(&self, kept: usize, signal: Signal) -> Outcome {
        let (gate, mut running) = self.at_the_gate(kept);
        running.signal(signal);
        let outcome = running.wait();
        gate.open();
        outcome
    }

    fn resume(&self) -> Value {
        resume(&self.extraction, &["--json"]).expect_code(0).json()
    }

    /// The rows, each once, as another program reads them; nothing else on the store.
    #[track_caller]
    fn assert_whole(&self) {
        let copy = self.bucket.fetch();
        let rows = readers::rows(Engine::Pyarrow, copy.path(), &["id"]);
        let expected = self
            .database
            .query_text("SELECT id, noise FROM t ORDER BY id");
        assert!(rows == expected, "{} rows", rows.len());
        let verified = self.extraction.cli.run(["verify", &self.url]);
        verified.expect_code(0);
        assert_eq!(self.bucket.runs().len(), 1, "{:?}", self.bucket.keys());
        assert_eq!(self.bucket.uploads(), Vec::<String>::new());
    }
}

#[test]
fn a_killed_run_is_gone_on_with_where_the_store_has_its_pieces() {
    for bucket in Bucket::everywhere() {
        let scene = Scene::new(bucket, LARGE);
        let expected = if scene.bucket.keeps_uploads() { 3 } else { 0 };
        scene.ended(expected, Signal::KILL).expect_code(128 + 9);
        assert!(scene.bucket.keys().keys().all(|key| !key.contains("part-")));
        let report = scene.resume();
        assert_eq!(report["rows"], ROWS);
        let name = scene.bucket.name();
        assert_eq!(report["resumed"]["kept"], expected, "{name}: {report:#}");
        assert_eq!(report["resumed"]["read"], 4 - expected, "{name}");
        scene.assert_whole();
    }
}

#[test]
fn a_stopped_run_says_what_is_kept_and_another_run_removes_it() {
    let scene = Scene::new(Bucket::new(), LARGE);
    let outcome = scene.ended(3, Signal::TERM).expect_code(143);
    assert!(
        outcome.stderr.contains("3 of 4 chunks are kept"),
        "{}",
        outcome.stderr
    );
    assert_eq!(scene.bucket.uploads().len(), 3);
    assert_eq!(scene.bucket.keys().len(), 0, "{:?}", scene.bucket.keys());
    let fresh = scene.extraction.cli.run(scene.words(&[]));
    fresh.expect_code(0);
    scene.assert_whole();
}

#[test]
fn an_upload_that_somebody_ended_is_read_again() {
    let scene = Scene::new(Bucket::new(), LARGE);
    scene.ended(3, Signal::KILL).expect_code(128 + 9);
    let uploads = scene.bucket.uploads();
    scene.bucket.end_upload(&uploads[1]);
    let report = scene.resume();
    assert_eq!(report["resumed"]["kept"], 2, "{report:#}");
    let adaptations = report["adaptations"].to_string();
    assert!(adaptations.contains("is read again"), "{adaptations}");
    scene.assert_whole();
}

#[test]
fn small_files_wait_in_memory_and_are_read_again() {
    let scene = Scene::new(Bucket::new(), SMALL);
    let outcome = scene.ended(0, Signal::TERM).expect_code(143);
    assert!(
        !outcome.stderr.contains("chunks are kept"),
        "{}",
        outcome.stderr
    );
    assert_eq!(scene.bucket.keys().len(), 0);
    let report = scene.resume();
    assert_eq!(report["resumed"]["kept"], 0);
    scene.assert_whole();
}

/// A resumed run that is killed too: what it took over stays where it was.
#[test]
fn a_resumed_run_is_gone_on_with() {
    let scene = Scene::new(Bucket::new(), LARGE);
    scene.ended(3, Signal::KILL).expect_code(128 + 9);
    let gate = Gate::shut_again(&scene.database);
    let words = scene.extraction.words("run", &[]);
    let words = [&["run"][..], &[&words[2], &words[3], "--resume", "last"]].concat();
    let mut running = scene.extraction.cli.spawn(words);
    gate.wait_for_readers(1);
    running.signal(Signal::KILL);
    running.wait().expect_code(128 + 9);
    gate.open();
    assert_eq!(scene.bucket.uploads().len(), 3);
    let report = scene.resume();
    assert_eq!(report["resumed"]["kept"], 3, "{report:#}");
    scene.assert_whole();
}

/// Killed when files were visible already: they are no uploads any more, and are read again.
#[test]
fn a_run_that_died_while_it_published_is_gone_on_with() {
    for step in [Step::PartsStable, Step::Ready] {
        let mut scene = Scene::new(Bucket::new(), LARGE);
        scene.change_cli(|cli| cli.env(CRASH_AT, step.name()));
        let crashed = scene.extraction.cli.run(scene.words(&[]));
        crashed.expect_code(128 + 6);
        scene.change_cli(|cli| cli.unset(CRASH_AT));
        let report = scene.resume();
        assert_eq!(report["resumed"]["kept"], 0, "{step}: {report:#}");
        scene.assert_whole();
    }
}

impl Scene {
    /// Runs the program otherwise from now on.
    fn change_cli(&mut self, change: impl FnOnce(crate::ixtract::Cli) -> crate::ixtract::Cli) {
        let cli = std::mem::replace(&mut self.extraction.cli, crate::ixtract::Cli::new());
        self.extraction.cli = change(cli);
    }
}
