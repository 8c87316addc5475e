//! Unfinished runs are gone on with: what they had finished is kept if it is still whole, the rest is
//! read, and the dataset says which rows are of when.

mod faults;
mod refusals;

use std::fs;
use std::path::PathBuf;

use ixtract::state::Store;
use serde_json::{Value, json};

use crate::extraction::{Extraction, names, state_file, until};
use crate::gate::Gate;
use crate::ixtract::{Cli, Outcome, Running, Signal};
use crate::readers::Row;
use crate::servers::{Database, postgres};

const KILLED: i32 = 128 + 9;
const ROWS: i64 = 4000;

/// Eight chunks, of which one reader stands at the gate in the last.
const OPTIONS: [&str; 6] = ["--workers", "2", "--chunk-rows", "500", "--chunking", "key"];
const ALL_BUT_THE_LAST: &str = "id <= 3600 OR public.gate(id)";

/// A table of which a run has read seven chunks of eight, and reads the last.
struct Scene {
    database: Database,
    extraction: Extraction,
    gate: Gate,
    run: Running,
}

impl Scene {
    fn new(more: &[&str]) -> Self {
        Self::at(Cli::new(), &[&["--output", "out"], more].concat())
    }

    /// By a program that was set up otherwise, to another place.
    fn at(cli: Cli, more: &[&str]) -> Self {
        let database = postgres().fresh_database();
        database.exec(&format!(
            "CREATE TABLE t (id bigint PRIMARY KEY, version int NOT NULL);
             INSERT INTO t SELECT i, 1 FROM generate_series(1, {ROWS}) AS i; ANALYZE t"
        ));
        let extraction = Extraction::new(database.url(), "public.t").by(cli);
        let gate = Gate::shut(&database);
        let options = [&OPTIONS[..], &["--where", ALL_BUT_THE_LAST], more].concat();
        let run = extraction.cli.spawn(extraction.words("run", &options));
        gate.wait_for_readers(1);
        Self {
            database,
            extraction,
            gate,
            run,
        }
    }

    /// Waits for the seven chunks.
    fn seven_chunks(self) -> Self {
        until("seven chunks are finished", || {
            finished(&self.extraction) == 7
        });
        self
    }

    /// Ends the run, and lets later ones pass.
    fn end(mut self, signal: Signal) -> (Unfinished, Outcome) {
        self.run.signal(signal);
        let outcome = self.run.wait();
        self.gate.open();
        let Self {
            database,
            extraction,
            ..
        } = self;
        (
            Unfinished {
                database,
                extraction,
            },
            outcome,
        )
    }

    /// The run is killed when it has finished seven of its eight chunks.
    fn killed(more: &[&str]) -> Unfinished {
        let (left, outcome) = Self::new(more).seven_chunks().end(Signal::KILL);
        outcome.expect_code(KILLED);
        left
    }
}

/// A run that ended too early.
struct Unfinished {
    database: Database,
    extraction: Extraction,
}

impl Unfinished {
    fn resume(&self, more: &[&str]) -> Outcome {
        resume(&self.extraction, more)
    }

    /// A part of a chunk that is left there.
    fn part(&self, chunk: u32) -> PathBuf {
        part(&self.extraction, chunk)
    }

    fn assert_clean(&self) {
        assert_eq!(self.extraction.beside(), [].into());
        let whole = Store::open(&state_file(&self.extraction.cli)).expect("a store");
        let newest = whole.newest().expect("readable").expect("a run");
        let left = whole.finished_chunks(&newest).expect("readable");
        assert_eq!(left, [], "nothing is left to go on with");
    }
}

/// The directory in which an unfinished run gathered its files.
fn staging(extraction: &Extraction) -> PathBuf {
    let beside = extraction.beside();
    let staging = beside.iter().find(|name| name.contains("staging"));
    let staging = staging.unwrap_or_else(|| panic!("{beside:?}"));
    extraction.cli.home().join(staging)
}

/// A part of a chunk that is left there.
fn part(extraction: &Extraction, chunk: u32) -> PathBuf {
    let staging = staging(extraction);
    let part = names(&staging)
        .into_iter()
        .find(|name| name.starts_with(&format!("part-{chunk:05}-")));
    staging.join(part.expect("a part"))
}

/// `ixtract run --resume last …`; nothing but the source is told again.
pub(crate) fn resume(extraction: &Extraction, more: &[&str]) -> Outcome {
    let words = extraction.words("run", &[]);
    // `run TABLE --source URL`.
    let words = [&["run"][..], &[&words[2], &words[3], "--resume", "last"]].concat();
    extraction.cli.run([&words, more].concat())
}

/// How many chunks of the newest run are remembered as finished.
pub(crate) fn finished(extraction: &Extraction) -> usize {
    let Ok(store) = Store::open_existing(&state_file(&extraction.cli)) else {
        return 0;
    };
    let newest = store.newest().expect("readable");
    newest.map_or(0, |run| {
        store.finished_chunks(&run).expect("readable").len()
    })
}

/// The rows of the table now.
fn rows(database: &Database) -> Vec<Row> {
    database.query_text("SELECT id, version FROM t ORDER BY id")
}

/// The chunks of each point in time that a manifest tells of, in its order.
fn chunks_by_point(manifest: &Value) -> Vec<Value> {
    let points = manifest["points"].as_array().expect("points in time");
    points.iter().map(|point| point["chunks"].clone()).collect()
}

#[test]
fn a_killed_run_is_gone_on_with_and_gives_the_same_rows() {
    for layout in ["replace", "runs"] {
        let left = Scene::killed(&["--layout", layout]);
        let outcome = left.resume(&["--json"]).expect_code(0);
        let report = outcome.json();
        assert_eq!(report["rows"], ROWS);
        assert_eq!(report["resumed"]["kept"], 7, "{report:#}");
        assert_eq!(report["resumed"]["read"], 1);
        assert_eq!(report["resumed"]["rows_read"], 501);
        // For one chunk, one of the two workers may be too late to have a session.
        let chunks = &report["decisions"]["chunks"];
        assert_eq!(chunks, &json!({"planned": 8, "executed": 8}));
        assert_eq!(report["teaches"], false);
        assert!(left.extraction.rows() == rows(&left.database), "{layout}");

        let manifest = left.extraction.manifest();
        assert_eq!(manifest["consistency"]["level"], "mixed");
        assert_eq!(
            chunks_by_point(&manifest),
            [json!([1, 2, 3, 4, 5, 6, 7]), json!([8])]
        );
        for point in manifest["points"].as_array().expect("points") {
            assert_eq!(point["level"], "shared-snapshot");
            assert!(point["position"].is_string() && point["taken_at"].is_string());
        }
        let beside = &manifest["proof"]["beside_kept"];
        assert_eq!(
            beside,
            &json!({"all": 4000, "in_kept": 3499, "kept": 3499}),
            "{manifest:#}"
        );
        assert_eq!(left.extraction.statuses(), ["crashed", "success"]);
        if layout == "replace" {
            left.assert_clean();
        }
    }
}

#[test]
fn rows_that_were_written_meanwhile_are_of_the_chunks_that_were_read_then() {
    let left = Scene::killed(&[]);
    // In the ranges of kept chunks and of the one that is read; more and fewer than before.
    left.database.exec(
        "UPDATE t SET version = 2;
         DELETE FROM t WHERE id <= 100 OR id BETWEEN 3990 AND 3995;
         INSERT INTO t SELECT -i, 2 FROM generate_series(1, 300) AS i;
         INSERT INTO t SELECT i, 2 FROM generate_series(4001, 4050) AS i",
    );
    left.resume(&[]).expect_code(0);
    let rows = left.extraction.rows();
    let of = |version: &str| {
        let rows = rows.iter();
        rows.filter(|row| row[1].as_deref() == Some(version))
            .count()
    };
    assert_eq!((of("1"), of("2")), (3499, 501 - 6 + 50));
    let manifest = left.extraction.manifest();
    assert_eq!(
        manifest["proof"]["beside_kept"],
        json!({"all": 4244, "in_kept": 3699, "kept": 3499})
    );
    assert_eq!(manifest["proof"]["counted"], 4044);
    assert_eq!(manifest["consistency"]["position"], Value::Null);
}

/// The server's sum of a kept chunk's keys is that of its own snapshot, whatever the keys are by now.
#[test]
fn a_full_proof_compares_each_chunk_with_its_own_snapshot() {
    let left = Scene::killed(&["--proof", "full"]);
    left.database
        .exec("UPDATE t SET id = -id WHERE id IN (7, 700, 3700); DELETE FROM t WHERE id = 3900");
    let report = left.resume(&["--json"]).expect_code(0).json();
    assert_eq!(report["resumed"]["kept"], 7);
    assert_eq!(
        report["proof"]["keys"]["columns"],
        json!(["id"]),
        "{report:#}"
    );
    let rows = left.extraction.rows();
    // Two keys moved out of kept ranges, which are of before, and one out of what was read.
    assert_eq!(rows.len(), 3499 + 501 - 2);
    assert_eq!(rows[6][0].as_deref(), Some("7"));
}

#[test]
fn files_that_are_gone_or_changed_are_read_again() {
    let left = Scene::killed(&[]);
    fs::remove_file(left.part(2)).expect("a part");
    let flipped = left.part(5);
    let mut bytes = fs::read(&flipped).expect("a part");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&flipped, bytes).expect("a part");
    let outcome = left.resume(&["--json"]).expect_code(0);
    let report = outcome.json();
    assert_eq!(report["resumed"]["kept"], 5);
    let adaptations = report["adaptations"].to_string();
    assert!(
        adaptations.contains("chunk_002 is read again") && adaptations.contains("is gone"),
        "{adaptations}"
    );
    assert!(
        adaptations.contains("chunk_005 is read again")
            && adaptations.contains("not what was written"),
        "{adaptations}"
    );
    assert_eq!(
        chunks_by_point(&left.extraction.manifest()),
        [json!([1, 3, 4, 6, 7]), json!([2, 5, 8])]
    );
    assert!(left.extraction.rows() == rows(&left.database));
    left.assert_clean();
}

#[test]
fn a_stopped_run_tells_the_command_that_goes_on_with_it() {
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        let (left, outcome) = Scene::new(&[]).seven_chunks().end(signal);
        let outcome = outcome.expect_code(code);
        let fix = outcome.stderr.lines().find(|line| line.contains("fix: "));
        let fix = fix.expect("a remedy");
        assert!(fix.contains("7 of 8 chunks are kept"), "{fix}");
        let (_, command) = fix.split_once("ixtract ").expect("a command");
        let words: Vec<&str> = command.split_whitespace().take(3).collect();
        assert_eq!(words[..2], ["run", "--resume"]);
        let source = left.database.url();
        let again = [&words[..], &["--source", &source, "--json"]].concat();
        let report = left.extraction.cli.run(again).expect_code(0).json();
        assert_eq!(report["resumed"]["kept"], 7);
        assert!(left.extraction.rows() == rows(&left.database));
        assert_eq!(left.extraction.statuses(), ["cancelled", "success"]);
        left.assert_clean();
    }
}

#[test]
fn a_resumed_run_that_dies_is_gone_on_with_too() {
    let left = Scene::killed(&[]);
    fs::remove_file(left.part(3)).expect("a part");
    fs::remove_file(left.part(6)).expect("a part");
    // It stands at the gate in the one chunk that no run has read yet.
    let gate = Gate::shut_again(&left.database);
    let words = left.extraction.words("run", &[]);
    let words = [&["run"][..], &[&words[2], &words[3], "--resume", "last"]].concat();
    let mut second = left.extraction.cli.spawn(words);
    gate.wait_for_readers(1);
    until("seven chunks are finished", || {
        finished(&left.extraction) == 7
    });
    second.signal(Signal::KILL);
    second.wait().expect_code(KILLED);
    gate.open();
    let report = left.resume(&["--json"]).expect_code(0).json();
    assert_eq!(report["resumed"]["kept"], 7);
    assert_eq!(
        chunks_by_point(&left.extraction.manifest()),
        [json!([1, 2, 4, 5, 7]), json!([3, 6]), json!([8])]
    );
    assert!(left.extraction.rows() == rows(&left.database));
    assert_eq!(
        left.extraction.statuses(),
        ["crashed", "crashed", "success"]
    );
    left.assert_clean();
}

#[test]
fn other_runs_spare_what_the_newest_left_until_one_publishes() {
    let left = Scene::killed(&[]);
    // A run that fails before it reads, and one that fails while it does.
    left.extraction
        .run(&["--columns", "nothing"])
        .expect_code(64);
    let failed = left.extraction.run(&["--where", "1 / (id - 4000) = 0"]);
    let failed = failed.expect_code(1);
    assert!(
        failed.stderr.contains("was not finished") && failed.stderr.contains("--resume"),
        "{failed:#?}"
    );
    let report = left.resume(&["--json"]).expect_code(0).json();
    assert_eq!(report["resumed"]["kept"], 7);
    left.assert_clean();

    let left = Scene::killed(&[]);
    left.extraction.run(&[]).expect_code(0);
    left.assert_clean();
    let refused = left.resume(&[]).expect_code(2);
    assert!(refused.stderr.contains("there is no run to resume"));

    let left = Scene::killed(&[]);
    let filter = ["--where", "1 / (id - 4000) = 0", "--discard"];
    left.extraction.run(&filter).expect_code(1);
    assert_eq!(left.extraction.beside(), [].into(), "it was discarded");
}

#[test]
fn what_was_resumed_shows_when_looking_back() {
    let left = Scene::killed(&[]);
    left.resume(&[]).expect_code(0);
    let cli = &left.extraction.cli;
    let history = cli.run(["history", "--json"]).expect_code(0).json();
    let (first, second) = (&history["runs"][0], &history["runs"][1]);
    assert_eq!(first["resumed_by"], second["id"], "{history:#}");
    assert_eq!(
        second["resumes"],
        json!({"run": first["id"], "kept": 7, "read": 1})
    );
    let shown = cli.run(["history"]).expect_code(0).stdout;
    assert!(shown.contains("resumed"), "{shown}");
    let explained = cli.run(["explain", "last"]).expect_code(0).stdout;
    assert!(explained.contains("7 chunks kept, 1 read"), "{explained}");
    let id = first["id"].as_str().expect("an id");
    let explained = cli.run(["explain", id]).expect_code(0).stdout;
    assert!(explained.contains("went on with it"), "{explained}");
}

#[test]
fn blocks_are_read_again_because_rows_move_between_them() {
    let database = postgres().fresh_database();
    database.exec(&format!(
        "CREATE TABLE t (id bigint PRIMARY KEY, version int NOT NULL);
         INSERT INTO t SELECT i, 1 FROM generate_series(1, {ROWS}) AS i; ANALYZE t"
    ));
    let extraction = Extraction::new(database.url(), "public.t");
    let gate = Gate::shut(&database);
    let options = [
        "--chunking",
        "ctid",
        "--chunk-rows",
        "500",
        "--workers",
        "2",
    ];
    let filter = ["--where", ALL_BUT_THE_LAST];
    let mut run = extraction.spawn(&[&options[..], &filter].concat());
    gate.wait_for_readers(1);
    run.signal(Signal::TERM);
    let outcome = run.wait().expect_code(143);
    assert!(!outcome.stderr.contains("--resume"), "{outcome:#?}");
    assert_eq!(extraction.beside(), [].into(), "nothing could be kept");
    gate.open();
    database.exec("UPDATE t SET version = 2 WHERE id % 2 = 0");
    let outcome = resume(&extraction, &["--json"]).expect_code(0);
    assert!(
        outcome.stderr.contains("physical blocks") || outcome.json()["resumed"]["kept"] == 0,
        "{outcome:#?}"
    );
    assert_eq!(
        extraction.manifest()["consistency"]["level"],
        "shared-snapshot"
    );
    assert!(extraction.rows() == rows(&database));
}
