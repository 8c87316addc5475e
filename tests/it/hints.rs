//! What the user knows of the circumstances: each hint's effect on the plan, everything wrong told at
//! once, the verdict and its exit codes, and that a run under hints teaches nothing.

mod promises;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::extraction::{Extraction, state_file};
use crate::ixtract::{Cli, Outcome};
use crate::servers::{Database, postgres};
use crate::setting;

/// Eight workers on forty chunks, so that only hints lower them.
const EIGHT: [&str; 4] = ["--workers", "8", "--chunk-rows", "100"];

/// Four thousand rows.
fn table() -> (Database, Extraction) {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id int8 PRIMARY KEY, a text NOT NULL);
         INSERT INTO t SELECT g, repeat('x', 200) FROM generate_series(1, 4000) g;
         ANALYZE t",
    );
    let extraction = Extraction::new(database.url(), "public.t");
    (database, extraction)
}

fn plan(extraction: &Extraction, flags: &[&str]) -> Outcome {
    let flags = [&EIGHT, flags, &["--json"]].concat();
    extraction.cli.run(extraction.words("plan", &flags))
}

fn planned(extraction: &Extraction, flags: &[&str]) -> Value {
    plan(extraction, flags).expect_code(0).json()
}

fn workers(document: &Value) -> u64 {
    document["plan"]["spec"]["workers"]
        .as_u64()
        .expect("workers")
}

#[test]
fn every_hint_that_lowers_workers_lowers_them() {
    let (_database, extraction) = table();
    let plain = planned(&extraction, &[]);
    let row_bytes = &plain["plan"]["forecast"];
    let row_bytes = row_bytes["bytes"].as_u64().expect("bytes") / 4000;
    // What one and a half workers are thought to hold: a million rows each.
    let memory = (row_bytes * 1_500_000 / (1 << 20)).to_string();
    let cases: &[(&[&str], u64)] = &[
        (&[], 8),
        // Two of the run's sessions are no worker's.
        (&["--max-source-connections", "8"], 6),
        (
            &[
                "--max-source-connections",
                "8",
                "--concurrent-extractions",
                "2",
            ],
            4,
        ),
        (&["--concurrent-extractions", "5"], 8),
        (&["--max-memory-mb", &memory], 1),
        (&["--network-quality", "good"], 8),
        (&["--network-quality", "degraded"], 6),
        (&["--network-quality", "poor"], 4),
        (&["--source-load", "low"], 8),
        (&["--source-load", "high"], 4),
        (&["--source-maintenance"], 4),
        (&["--priority", "low"], 6),
        (&["--priority", "critical"], 8),
        (
            &["--network-quality", "degraded", "--priority", "critical"],
            7,
        ),
        (
            &[
                "--network-quality",
                "degraded",
                "--source-load",
                "high",
                "--priority",
                "low",
            ],
            2,
        ),
        (
            &[
                "--network-quality",
                "poor",
                "--source-load",
                "high",
                "--source-maintenance",
            ],
            2,
        ),
        (&["--target-duration", "1"], 8),
        (&["--egress-budget-mb", "0.5"], 8),
        (&["--maintenance-window", "1"], 8),
        (&["--disk-available-gb", "0.5"], 8),
    ];
    for (flags, want) in cases {
        let document = planned(&extraction, flags);
        assert_eq!(workers(&document), *want, "{flags:?}: {document:#}");
        assert_eq!(document["constrained"], true, "{flags:?}");
        let resolution = &document["plan"]["resolution"];
        assert_eq!(resolution.is_null(), flags.is_empty(), "{flags:?}");
        if !flags.is_empty() {
            assert_eq!(
                (&resolution["base"], &resolution["workers"]),
                (&json!(8), &json!(want))
            );
        }
    }
}

#[test]
fn without_hints_nothing_changes() {
    let (_database, extraction) = table();
    let flags = ["--json"];
    let of = |flags: &[&str]| {
        let outcome = extraction.cli.run(extraction.words("plan", flags));
        outcome.expect_code(0).json()
    };
    let plain = of(&flags);
    std::fs::write(extraction.cli.home().join("none.json"), "{}").expect("a file");
    let none = of(&["--json", "--context-file", "none.json"]);
    assert_eq!(plain["plan"]["spec"], none["plan"]["spec"]);
    assert_eq!(plain["plan"]["fingerprint"], none["plan"]["fingerprint"]);
    assert_eq!(
        (&plain["constrained"], &none["constrained"]),
        (&json!(false), &json!(false))
    );
    // Advice decides nothing, so it changes no fingerprint either.
    let advised = of(&["--json", "--maintenance-window", "600"]);
    assert_eq!(plain["plan"]["fingerprint"], advised["plan"]["fingerprint"]);
    // Memory is a decision: it shapes batches and row groups.
    let frugal = of(&["--json", "--max-memory-mb", "90"]);
    assert_ne!(plain["plan"]["fingerprint"], frugal["plan"]["fingerprint"]);
}

#[test]
fn everything_wrong_is_told_at_once() {
    let (_database, extraction) = table();
    let file = extraction.cli.home().join("hints.json");
    let context = r#"{"max_memory_md": 5, "prioritiy": "low", "max_source_connections": true}"#;
    std::fs::write(&file, context).expect("a file");
    let flags = [
        "--network-quality",
        "bad",
        "--max-memory-mb",
        "-3",
        "--target-duration",
        "x",
    ];
    for command in ["plan", "run"] {
        let told = |flags: &[&str], code: i32| {
            let outcome = extraction
                .cli
                .run(extraction.words(command, flags))
                .expect_code(code);
            let lines: Vec<String> = outcome.stderr.lines().map(str::to_owned).collect();
            assert_eq!(lines.len(), 3, "{outcome:#?}");
            lines[1].clone()
        };
        let why = told(&flags, 64);
        for flag in ["--network-quality", "--max-memory-mb", "--target-duration"] {
            assert!(why.contains(flag), "{why}");
        }
        let why = told(&["--context-file", "hints.json"], 78);
        for word in [
            "did you mean max_memory_mb?",
            "did you mean priority?",
            "not true",
        ] {
            assert!(why.contains(word), "{why}");
        }
        let both = [&flags[..], &["--context-file", "hints.json"]].concat();
        let why = told(&both, 64);
        assert!(
            why.contains("--max-memory-mb") && why.contains("max_memory_md"),
            "{why}"
        );
        told(&["--context-file", "nowhere.json"], 78);
    }
}

#[test]
fn flags_win_over_the_context_file() {
    let (_database, extraction) = table();
    let file = extraction.cli.home().join("hints.json");
    std::fs::write(
        &file,
        r#"{"network_quality": "poor", "source_load": "high"}"#,
    )
    .expect("a file");
    let with = |flags: &[&str]| {
        let flags = [&["--context-file", "hints.json"], flags].concat();
        workers(&planned(&extraction, &flags))
    };
    assert_eq!(with(&[]), 2);
    assert_eq!(with(&["--network-quality", "good"]), 4);
    assert_eq!(
        with(&["--network-quality", "good", "--source-load", "low"]),
        8
    );
}

#[test]
fn a_plan_tells_the_verdict_and_never_fails_for_it() {
    let (_database, extraction) = table();
    let verdict = |flags: &[&str]| {
        let document = planned(&extraction, flags);
        let verdict = document["verdict"]["verdict"].clone();
        (verdict.as_str().expect("a verdict").to_owned(), document)
    };
    assert_eq!(verdict(&["--disk-available-gb", "100"]).0, "SAFE");
    let (word, document) = verdict(&["--egress-budget-mb", "0.1", "--target-duration", "60"]);
    assert_eq!(word, "SAFE WITH WARNINGS");
    let standings: Vec<_> = document["advice"]
        .as_array()
        .expect("advice")
        .iter()
        .map(|advice| (advice["hint"].as_str(), advice["standing"].as_str()))
        .collect();
    let want = [
        (Some("egress"), Some("warn")),
        (Some("target_duration"), Some("pass")),
    ];
    assert_eq!(standings, want);
    assert_eq!(
        verdict(&["--concurrent-extractions", "1"]).0,
        "SAFE WITH WARNINGS"
    );
    assert_eq!(verdict(&["--disk-available-gb", "0"]).0, "NOT RECOMMENDED");
    let (word, document) = verdict(&["--max-source-connections", "2", "--disk-available-gb", "0"]);
    assert_eq!(word, "NOT RECOMMENDED");
    let reason = document["verdict"]["reason"].to_string();
    assert!(reason.contains("no connection is left"), "{reason}");
    assert_eq!(document["plan"]["resolution"]["workers"], 0);

    let told = extraction.words("plan", &[&EIGHT[..], &["--source-load", "high"]].concat());
    let told = extraction.cli.run(told).expect_code(0).stdout;
    for line in [
        "lowered from 8 to 4 (× 0.5) by --source-load high",
        "given        --source-load high",
        "8 without hints, 4 after circumstances",
        "not learned from",
    ] {
        assert!(told.contains(line), "no {line:?} in {told}");
    }
}

#[test]
fn what_is_not_recommended_is_run_only_by_force() {
    let (_database, extraction) = table();
    let refused = ["--disk-available-gb", "0"];
    let outcome = extraction.run(&refused).expect_code(2);
    assert!(
        outcome.stderr.contains("--disk-available-gb"),
        "{outcome:#?}"
    );
    assert!(!extraction.dataset().exists());
    let outcome = extraction
        .run(&["--disk-available-gb", "0", "--json"])
        .expect_code(2);
    assert_eq!(outcome.json()["error"]["exit"], 2);
    let forced = extraction
        .run(&["--disk-available-gb", "0", "--force"])
        .expect_code(0);
    assert!(
        forced.stderr.contains("not recommended, but forced"),
        "{forced:#?}"
    );
    assert_eq!(extraction.count(), 4000);
    extraction.run(&["--egress-budget-mb", "0"]).expect_code(0);
    let nobody = ["--max-source-connections", "1"];
    extraction.run(&nobody).expect_code(2);
}

/// Runs on a terminal of its own, where somebody types `answer`.
fn on_a_terminal(extraction: &Extraction, answer: &str) -> Outcome {
    const TYPIST: &str = "
import os, pty, sys
master, answer = None, sys.argv[1]
pid, master = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
seen, typed = b'', False
while True:
    try:
        got = os.read(master, 4096)
    except OSError:
        break
    if not got:
        break
    seen += got
    if b'[y/N]' in seen and not typed:
        os.write(master, answer.encode())
        typed = True
sys.stdout.buffer.write(seen)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))";
    let python = setting("IXTRACT_TEST_PYTHON");
    let cli = Cli::new().through(&[&python, "-c", TYPIST, answer]);
    let words = extraction.words("run", &["--disk-available-gb", "0", "--output", "out"]);
    let outcome = cli.run(words);
    assert!(outcome.stdout.contains("Run it anyway?"), "{outcome:#?}");
    assert_eq!(cli.home().join("out").exists(), outcome.code == 0);
    outcome
}

#[test]
fn on_a_terminal_somebody_is_asked() {
    let (_database, extraction) = table();
    on_a_terminal(&extraction, "y\n").expect_code(0);
    // Anything else is no, and so is nothing.
    for answer in ["n\n", "\n", "what?\n"] {
        let outcome = on_a_terminal(&extraction, answer).expect_code(2);
        assert!(outcome.stdout.contains("as you said"), "{outcome:#?}");
    }
}

#[test]
fn a_run_under_hints_is_recorded_and_teaches_nothing() {
    let (_database, extraction) = table();
    extraction.run(&["--chunk-rows", "100"]).expect_code(0);
    let learned = || -> (i64, Option<String>) {
        let store = Connection::open(state_file(&extraction.cli)).expect("the state");
        let ask = "SELECT (SELECT count(*) FROM runs WHERE teaches), (SELECT state_json FROM controller_state)";
        store
            .query_row(ask, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .expect("what was learned")
    };
    let before = learned();
    assert_eq!(before.0, 1);
    let hints = [
        "--chunk-rows",
        "100",
        "--priority",
        "normal",
        "--max-memory-mb",
        "512",
    ];
    let outcome = extraction.run(&hints).expect_code(0);
    assert!(
        outcome
            .stdout
            .contains("not learned from: hints constrained it"),
        "{outcome:#?}"
    );
    let document = extraction
        .run(&[&hints[..], &["--json"]].concat())
        .expect_code(0)
        .json();
    assert_eq!(
        (&document["constrained"], &document["teaches"]),
        (&json!(true), &json!(false))
    );
    let want = json!({"priority": "normal", "max_memory_mb": 512});
    assert_eq!(document["hints"], want);
    assert_eq!(learned(), before);
    let stored: Vec<Option<String>> = {
        let store = Connection::open(state_file(&extraction.cli)).expect("the state");
        let mut ask = store
            .prepare("SELECT runtime_context_json FROM runs ORDER BY started_at")
            .expect("a statement");
        let rows = ask.query_map([], |row| row.get(0)).expect("rows");
        rows.collect::<Result<_, _>>().expect("texts")
    };
    let parsed: Vec<Option<Value>> = stored
        .iter()
        .map(|text| {
            text.as_deref()
                .and_then(|text| serde_json::from_str(text).ok())
        })
        .collect();
    assert_eq!(parsed, [None, Some(want.clone()), Some(want)]);
}

#[test]
fn a_given_plan_keeps_its_hints() {
    let (database, extraction) = table();
    let words = [
        "--out",
        "p.json",
        "--source-load",
        "high",
        "--max-memory-mb",
        "4000",
    ];
    plan(&extraction, &words).expect_code(0);
    let url = database.url();
    let run = |more: &[&str]| {
        let words = [
            "run", "--plan", "p.json", "--source", &url, "--output", "out", "--json",
        ];
        extraction.cli.run([&words, more].concat())
    };
    let document = run(&[]).expect_code(0).json();
    assert_eq!(document["workers"], 4);
    assert_eq!(document["hints"]["source_load"], "high");
    assert_eq!(document["teaches"], false);
    // They are decided: others do not go with it.
    run(&["--priority", "low"]).expect_code(64);
    run(&["--context-file", "p.json"]).expect_code(64);
}
