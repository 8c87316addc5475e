//! Two runs at one place, and readers while a version is replaced.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::{Bucket, Versions};
use crate::extraction::Extraction;
use crate::gate::Gate;
use crate::readers::{self, Engine};
use crate::servers::postgres;
use crate::setting;

/// Reads the manifest and then, after a while, the files that it names; again and again until the
/// file `argv[3]` is there. A missing object is part of life, rows of two versions are not.
const RACING_READER: &str = r#"
import json, pathlib, random, sys, time, urllib.error
sys.path.insert(0, sys.argv[1])
import store

seaweed, prefix, stop = store.store("seaweed"), sys.argv[2], pathlib.Path(sys.argv[3])
def read(key):
    return seaweed.get(f"{prefix}/{key}")

random.seed(1)
whole = missing = 0
print("ready", flush=True)
while not stop.exists():
    try:
        files = json.loads(read("_manifest.json"))["files"]
        time.sleep(random.choice([0, 0.01, 0.1]))
        lines = [line for file in files for line in read(file["path"]).decode().splitlines()[1:]]
    except urllib.error.HTTPError as error:
        assert error.code == 404, error
        missing += 1
        continue
    versions = {line.split(",")[1] for line in lines}
    assert len(versions) == 1 and len(lines) == 300, f"{versions}, {len(lines)} rows"
    whole += 1
    if whole >= 5:
        stop.with_suffix(".enough").touch()
print(json.dumps([whole, missing]))
"#;

#[test]
fn a_reader_that_follows_the_manifest_never_reads_a_mix() {
    let versions = Versions::small(Bucket::new());
    versions.run(0, &["--format", "csv"]).expect_code(0);
    let home = tempfile::tempdir().expect("a directory");
    let stop = home.path().join("stop");
    let url = versions.bucket.url();
    let prefix = url.strip_prefix("s3://lake/").expect("our bucket");
    let mut reader = Command::new(setting("IXTRACT_TEST_STORE_PYTHON"))
        .args(["-c", RACING_READER])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests"))
        .arg(prefix)
        .arg(&stop)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python");
    let mut stdout = BufReader::new(reader.stdout.take().expect("piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a sign that it reads");
    for version in 1.. {
        versions.run(version, &["--format", "csv"]).expect_code(0);
        // The reader needs its time, and an end however unlucky it is.
        if (version >= 8 && stop.with_extension("enough").exists()) || version == 100 {
            break;
        }
    }
    fs::write(&stop, "").expect("a file");
    let output = reader.wait_with_output().expect("an end");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let (whole, _missing): (u32, u32) = serde_json::from_reader(stdout).expect("two numbers");
    assert!(whole > 0, "the reader never read everything");
}

/// A run of another machine, which shares no history with this one.
const ELSEWHERE: [&str; 2] = ["--state", "elsewhere.db"];

/// One run is stopped in the middle of its rows while another publishes.
fn overtaken(published_before: bool) {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id bigint PRIMARY KEY, version int NOT NULL);
         INSERT INTO t SELECT i, 1 FROM generate_series(1, 1000) AS i; ANALYZE t",
    );
    let bucket = Bucket::new();
    let extraction = Extraction::new(database.url(), "public.t").by(bucket.cli());
    let url = bucket.url();
    let output = ["--output", url.as_str()];
    let run = |more: &[&str]| {
        let words = extraction.words("run", &[&output, more].concat());
        extraction.cli.spawn(words)
    };
    if published_before {
        run(&[]).wait().expect_code(0);
    }
    let gate = Gate::shut(&database);
    let slow = run(&["--where", Gate::FILTER]);
    gate.wait_for_readers(1);
    run(&ELSEWHERE).wait().expect_code(0);
    let winner = bucket.runs();
    gate.open();
    let outcome = slow.wait().expect_code(75);
    assert!(
        outcome.stderr.contains("another run has published"),
        "{outcome:#?}"
    );
    assert!(outcome.stderr.contains("fix:"), "{outcome:#?}");
    assert_eq!(
        bucket.runs(),
        winner,
        "the loser left something, or took something"
    );
    assert_eq!(bucket.uploads(), Vec::<String>::new());
    extraction.cli.run(["verify", &url]).expect_code(0);
    let copy = bucket.fetch();
    assert_eq!(readers::rows(Engine::DuckDb, copy.path(), &[]).len(), 1000);
}

#[test]
fn a_run_that_is_overtaken_leaves_nothing() {
    overtaken(true);
}

#[test]
fn a_first_run_that_is_overtaken_leaves_nothing() {
    overtaken(false);
}

/// The winner sweeps what lies there before it publishes, and with it what the loser has uploaded.
#[test]
fn a_run_whose_uploads_are_swept_is_told_that_it_was_overtaken() {
    let database = postgres().fresh_database();
    // The first chunk's file is larger than a piece, so it lies on the store before it is complete;
    // only the last row is stopped at the gate.
    database.exec(
        "CREATE TABLE t (id bigint PRIMARY KEY, noise text NOT NULL);
         ALTER TABLE t ALTER noise SET STORAGE EXTERNAL;
         INSERT INTO t SELECT CASE i WHEN 400 THEN 40000 ELSE i * 100 - 1 END, (SELECT string_agg(md5(i::text || j::text), '')
                                  FROM generate_series(1, 1500) AS j)
         FROM generate_series(1, 400) AS i; ANALYZE t",
    );
    let bucket = Bucket::new();
    let extraction = Extraction::new(database.url(), "public.t").by(bucket.cli());
    let url = bucket.url();
    let output = ["--output", &url, "--compression", "none"];
    let run = |more: &[&str]| {
        let words = extraction.words("run", &[&output, more].concat());
        extraction.cli.spawn(words)
    };
    let gate = Gate::shut(&database);
    let slow = run(&[
        "--where",
        Gate::FILTER,
        "--chunk-rows",
        "200",
        "--workers",
        "1",
    ]);
    gate.wait_for_readers(1);
    assert_eq!(bucket.uploads().len(), 1);
    run(&ELSEWHERE).wait().expect_code(0);
    assert_eq!(bucket.uploads(), Vec::<String>::new());
    gate.open();
    let outcome = slow.wait().expect_code(75);
    assert!(
        outcome.stderr.contains("another run has published"),
        "{outcome:#?}"
    );
    extraction.cli.run(["verify", &url]).expect_code(0);
}

#[test]
fn of_many_runs_at_once_whoever_publishes_does_so_whole() {
    let versions = Versions::small(Bucket::new());
    versions.publish(1);
    let url = versions.bucket.url();
    let words = versions
        .extraction
        .words("run", &["--output", &url, "--chunk-rows", "100"]);
    let running: Vec<_> = (0..4)
        .map(|_| versions.extraction.cli.spawn(words.clone()))
        .collect();
    let codes: Vec<i32> = running.into_iter().map(|run| run.wait().code).collect();
    assert!(codes.iter().all(|code| [0, 75].contains(code)), "{codes:?}");
    assert!(codes.contains(&0), "{codes:?}");
    assert_eq!(versions.published(), Some(1));
    versions.publish(2);
    assert_eq!(versions.published(), Some(2));
    versions.assert_swept();
}
