//! A history that was lost, rebuilt from what the datasets say of themselves.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{fails, history, listed, said};
use crate::extraction::state_file;
use crate::ixtract::Cli;
use crate::published::{attempt, extract};
use crate::stores::Bucket;

/// Loses the history.
fn lose(cli: &Cli) {
    let state = state_file(cli);
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(format!("{}{suffix}", state.display())).ok();
    }
}

/// What is known of runs after as before: the manifest has it.
fn kept(runs: &Value) -> Vec<Value> {
    let runs = runs.as_array().expect("runs");
    let known = [
        "id",
        "scope",
        "source",
        "relation",
        "status",
        "started_at",
        "version",
        "fingerprint",
        "strategy",
        "workers",
        "chunks",
        "constrained",
        "teaches",
        "rows",
        "bytes",
        "confidence",
        "snapshot",
        "nulled",
        "adaptations",
    ];
    runs.iter()
        .map(|run| {
            known
                .iter()
                .map(|&name| (name, run[name].clone()))
                .collect()
        })
        .collect()
}

#[test]
fn runs_come_back_from_datasets_and_kept_versions() {
    let (cli, url) = history(0);
    for _ in 0..3 {
        extract(&cli, &url, "t", "out", &["--keep", "5"]);
    }
    for _ in 0..2 {
        extract(
            &cli,
            &url,
            "t",
            "runs",
            &["--layout", "runs", "--keep", "1"],
        );
    }
    extract(
        &cli,
        &url,
        "t",
        "lake/t/1",
        &["--where", "id > 5", "--workers", "1"],
    );
    // What fails before it begins was never in the history.
    attempt(&cli, &url, "nowhere", "lake/t/2", &[]).expect_code(64);
    let state = state_file(&cli);
    let before = listed(&cli, &state);
    lose(&cli);

    let rebuilt = said(&cli, &["state", "rebuild", "out", "runs", "lake"]);
    assert_eq!(rebuilt["runs"].as_array().map(Vec::len), Some(6));
    assert_eq!(rebuilt["warnings"], json!([]));
    let after = listed(&cli, &state);
    assert_eq!(kept(&after), kept(&before));
    for run in after.as_array().expect("runs") {
        assert_eq!(
            run["marks"].as_array().and_then(|marks| marks.last()),
            Some(&json!("rebuilt"))
        );
        let manifest = run["rebuilt_from"].as_str().expect("a manifest");
        assert!(cli.home().join(manifest).is_file(), "{manifest}");
        // What nobody knows is not there.
        assert!(
            run.get("predicted").is_none() && run["scheduling"].is_null(),
            "{run}"
        );
    }
    said(&cli, &["state", "check"]);
    // Twice is once.
    let again = said(&cli, &["state", "rebuild", "out", "runs", "lake", "."]);
    assert_eq!(again["runs"], json!([]));

    // The runs teach what they measured.
    let forecast = said(&cli, &["plan", "t", "--source", &url])["plan"]["forecast"].clone();
    assert_ne!(forecast["method"], "cold_start");
    assert_eq!(forecast["runs"], 5);
    // What needs a plan says that there is none.
    for command in ["explain", "metrics", "diagnose"] {
        let failure = fails(&cli, &[command, "last"], 64);
        assert!(
            failure.why.contains("rebuilt from the manifest"),
            "{}",
            failure.text()
        );
    }
    fails(&cli, &["replay", "last", "--source", &url], 64);
    extract(&cli, &url, "t", "out", &[]);
    said(&cli, &["explain", "last"]);
}

#[test]
fn what_was_never_published_is_not_taken_for_a_run() {
    let (cli, url) = history(0);
    extract(&cli, &url, "t", "out", &[]);
    let crash = cli.env("IXTRACT_CRASH_AT", "ready");
    for (output, layout) in [("out", "replace"), ("new", "replace"), ("runs", "runs")] {
        attempt(&crash, &url, "t", output, &["--layout", layout]).expect_code(134);
    }
    lose(&crash);
    let rebuilt = said(&crash, &["state", "rebuild", "."]);
    assert_eq!(rebuilt["manifests"], 1, "{rebuilt}");
}

#[test]
fn manifests_that_cannot_be_trusted_are_named_and_left_out() {
    let (cli, url) = history(0);
    for output in ["lake/a", "lake/b", "lake/c"] {
        extract(&cli, &url, "t", output, &[]);
    }
    lose(&cli);
    let manifest = |name: &str| cli.home().join(name).join("_manifest.json");
    let edited = fs::read_to_string(manifest("lake/a")).expect("a manifest");
    fs::write(
        manifest("lake/a"),
        edited.replacen("\"rows\": 10", "\"rows\": 11", 1),
    )
    .expect("a file");
    fs::write(manifest("lake/b"), "{").expect("a file");
    let rebuilt = said(&cli, &["state", "rebuild", "lake"]);
    assert_eq!(rebuilt["runs"].as_array().map(Vec::len), Some(1));
    let warnings = rebuilt["warnings"].to_string();
    assert!(
        warnings.contains("lake/a/_manifest.json: it was edited"),
        "{warnings}"
    );
    assert!(warnings.contains("lake/b/_manifest.json"), "{warnings}");
    fs::create_dir(cli.home().join("empty")).expect("a directory");
    for place in ["empty", "no-such-place"] {
        let failure = fails(&cli, &["state", "rebuild", place], 64);
        assert!(failure.why.contains(place), "{}", failure.text());
    }
}

#[test]
fn manifests_of_the_first_version_come_back_without_teaching() {
    let cli = Cli::new();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/first-release");
    let rebuilt = said(
        &cli,
        &["state", "rebuild", data.to_str().expect("a plain name")],
    );
    assert_eq!(rebuilt["runs"].as_array().map(Vec::len), Some(2));
    let runs = listed(&cli, &state_file(&cli));
    for run in runs.as_array().expect("runs") {
        assert_eq!(run["teaches"], false);
        assert_eq!(run["workers"], run["snapshot"]["readers"]);
    }
}

#[test]
fn the_real_history_takes_the_place_of_a_rebuilt_one() {
    let (cli, url) = history(0);
    extract(&cli, &url, "t", "out", &[]);
    said(&cli, &["state", "export", "h.jsonl"]);
    let before = listed(&cli, &state_file(&cli));
    lose(&cli);
    said(&cli, &["state", "rebuild", "out"]);
    let imported = said(&cli, &["state", "import", "h.jsonl"]);
    assert_eq!(
        (&imported["runs"], &imported["completed"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(listed(&cli, &state_file(&cli)), before);
    // And not the other way round.
    said(&cli, &["state", "rebuild", "out"]);
    assert_eq!(listed(&cli, &state_file(&cli)), before);
}

#[test]
fn runs_come_back_from_every_store() {
    for bucket in Bucket::everywhere() {
        let (other, url) = history(0);
        let cli = bucket.cli();
        for _ in 0..2 {
            let words = [
                "run",
                "t",
                "--source",
                &url,
                "--output",
                &bucket.url(),
                "--keep",
                "1",
            ];
            cli.run(words).expect_code(0);
        }
        let before = listed(&cli, &state_file(&cli));
        lose(&cli);
        // The whole bucket is searched too, but others' tests are in it.
        let rebuilt = said(&cli, &["state", "rebuild", &bucket.url()]);
        assert_eq!(
            rebuilt["runs"].as_array().map(Vec::len),
            Some(2),
            "{}",
            bucket.url()
        );
        assert_eq!(kept(&listed(&cli, &state_file(&cli))), kept(&before));
        drop(other);
    }
}
