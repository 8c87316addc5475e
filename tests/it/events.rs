//! What happens to runs, as lines of JSON: whole, in order, and never in the way of a run.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::extraction::Extraction;
use crate::gate::Gate;
use crate::ixtract::{Cli, Signal};
use crate::published::{attempt, extract, sqlite_url};
use crate::servers::postgres;

/// The lines of a text, each an object of this schema.
fn lines(text: &str) -> Vec<Value> {
    let parsed = text.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!(line["schema"], 1, "{line}");
        let at = line["at"].as_str().expect("a time");
        at.parse::<jiff::Timestamp>().expect("a time");
        line
    });
    parsed.collect()
}

fn file(cli: &Cli, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(cli.home().join(name)).expect("events");
    assert!(text.ends_with('\n'), "{text}");
    lines(&text)
}

fn names(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["event"].as_str().expect("a name"))
        .collect()
}

/// A SQLite database with `t` of so many rows.
fn small(cli: &Cli, rows: u32) -> String {
    let path = cli.home().join("t.db");
    let database = rusqlite::Connection::open(&path).expect("a database");
    let sql = format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
         INSERT INTO t SELECT i FROM n"
    );
    database.execute_batch(&sql).expect("a table");
    sqlite_url(Path::new(&path))
}

#[test]
fn a_run_is_told_from_its_start_to_its_end_and_the_next_one_after_it() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        "CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000);
         ANALYZE t",
    );
    let flags = [
        "--workers",
        "2",
        "--chunk-rows",
        "250",
        "--events",
        "e.jsonl",
    ];
    let first = extract(&cli, &database.url(), "t", "out", &flags);
    let told = file(&cli, "e.jsonl");
    let id = first.run();
    assert!(
        told.iter().all(|line| line["run"] == id.as_str()),
        "{told:#?}"
    );
    let events = names(&told);
    assert_eq!(events[..2], ["run_started", "planned"]);
    assert_eq!(
        events[events.len() - 3..],
        ["read_finished", "published", "run_finished"]
    );
    for name in ["snapshot_opened", "worker_ready", "counted"] {
        assert!(events.contains(&name), "no {name} in {events:?}");
    }
    let of =
        |name: &str| -> Vec<&Value> { told.iter().filter(|line| line["event"] == name).collect() };
    let finished = of("chunk_finished");
    let rows = finished
        .iter()
        .map(|line| line["rows"].as_u64().expect("rows"));
    assert_eq!(rows.sum::<u64>(), 1000);
    assert_eq!(of("chunk_started").len(), of("chunk_finished").len());
    assert_eq!(of("planned")[0]["fingerprint"], first.report["fingerprint"]);
    assert_eq!(of("published")[0]["files"], first.report["files"]);
    let times: Vec<&str> = told
        .iter()
        .map(|line| line["at"].as_str().expect("a time"))
        .collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn runs_of_one_file_are_told_apart_and_a_changed_table_is_told() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec("CREATE TABLE t (id int8 PRIMARY KEY)");
    let flags = ["--events", "e.jsonl"];
    let id = extract(&cli, &database.url(), "t", "out", &flags).run();
    database.exec("ALTER TABLE t ADD COLUMN more text");
    let second = extract(&cli, &database.url(), "t", "out", &flags).run();
    let url = database.url();
    let replayed = [
        "replay",
        second.as_str(),
        "--source",
        &url,
        "--events",
        "e.jsonl",
    ];
    cli.run(replayed).expect_code(0);
    let told = file(&cli, "e.jsonl");
    let runs: BTreeSet<&str> = told
        .iter()
        .map(|line| line["run"].as_str().expect("a run"))
        .collect();
    assert_eq!(runs.len(), 3);
    let changed: Vec<&Value> = told
        .iter()
        .filter(|l| l["event"] == "schema_changed")
        .collect();
    assert_eq!(changed.len(), 1);
    assert_eq!(
        (&changed[0]["run"], &changed[0]["since"]),
        (&second.as_str().into(), &id.as_str().into())
    );
}

#[test]
fn a_run_that_fails_before_it_starts_is_told_too() {
    let cli = Cli::new();
    let gone = "postgresql://u:secret-word@127.0.0.1:1/d";
    attempt(&cli, gone, "t", "out", &["--events", "e.jsonl"]).expect_code(69);
    let told = file(&cli, "e.jsonl");
    assert_eq!(names(&told), ["run_started", "run_failed"]);
    assert_eq!(
        (&told[1]["exit"], &told[1]["run"]),
        (&69.into(), &told[0]["run"])
    );
    assert!(!format!("{told:?}").contains("secret-word"), "{told:#?}");
    // Nor where a URL stands in place of a table.
    cli.run([
        "run",
        gone,
        "--source",
        "sqlite:none.db",
        "--events",
        "g.jsonl",
    ]);
    let told = std::fs::read_to_string(cli.home().join("g.jsonl")).expect("events");
    assert!(!told.contains("secret-word"), "{told}");
    // And one whose settings make no sense.
    cli.run(["run", "t", "--source", "nonsense", "--events", "f.jsonl"])
        .expect_code(64);
    assert_eq!(names(&file(&cli, "f.jsonl")), ["run_started", "run_failed"]);
}

#[test]
fn retries_are_told_with_their_reason() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000);
         ANALYZE t",
    );
    let gate = Gate::shut(&database);
    let extraction = Extraction::new(database.url(), "t");
    let flags = [
        "--where",
        Gate::FILTER,
        "--workers",
        "2",
        "--chunk-rows",
        "250",
    ];
    let flags = [&flags[..], &["--proof", "stream", "--events", "e.jsonl"]].concat();
    let run = extraction.spawn(&flags);
    gate.wait_for_readers(2);
    let victim = gate.readers().remove(0);
    database.exec(&format!("SELECT pg_terminate_backend({victim})"));
    gate.open();
    run.wait().expect_code(0);
    let told = file(&extraction.cli, "e.jsonl");
    let retried: Vec<&Value> = told
        .iter()
        .filter(|l| l["event"] == "chunk_retried")
        .collect();
    assert_eq!(retried.len(), 1, "{told:#?}");
    let error = retried[0]["error"].as_str().expect("a reason");
    assert!(
        error.contains("lost") || error.contains("terminat"),
        "{error}"
    );
    let finished = told
        .iter()
        .find(|line| line["event"] == "chunk_finished" && line["chunk"] == retried[0]["chunk"]);
    assert_eq!(finished.expect("it went well then")["retries"], 1);
}

#[test]
fn a_full_disk_costs_one_warning_and_no_run() {
    let cli = Cli::new();
    let source = small(&cli, 100);
    let outcome = attempt(&cli, &source, "t", "out", &["--events", "/dev/full"]).expect_code(0);
    let missing = "events are missing from /dev/full: No space left on device";
    assert_eq!(outcome.stderr.matches(missing).count(), 1, "{outcome:#?}");
    let warnings = outcome.json()["warnings"].to_string();
    assert!(warnings.contains(missing), "{warnings}");
    let nowhere = attempt(&cli, &source, "t", "out", &["--events", "no/such/dir/e"]);
    assert!(nowhere.expect_code(73).stderr.contains("for events"));
}

/// A pipe that somebody has open, and nobody empties.
#[test]
fn a_reader_that_does_not_read_holds_nobody_up() {
    let cli = Cli::new();
    let source = small(&cli, 800);
    let pipe = cli.home().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.expect("mkfifo").success());
    let options = &mut std::fs::OpenOptions::new();
    let reader = options
        .read(true)
        .write(true)
        .open(&pipe)
        .expect("a reader");
    // More than a pipe holds.
    let flags = ["--events", "pipe", "--chunk-rows", "2", "--workers", "2"];
    let outcome = attempt(&cli, &source, "t", "out", &flags).expect_code(0);
    let warnings = outcome.json()["warnings"].to_string();
    assert!(
        warnings.contains("the last lines were not taken"),
        "{warnings}"
    );
    drop(reader);
}

#[test]
fn a_reader_that_goes_away_ends_nothing() {
    let script = "{ \"$@\"; echo $? > code; } | head -n 1";
    let cli = Cli::new().through(&["sh", "-c", script, "sh"]);
    let source = small(&cli, 400);
    let words = [
        "run", "t", "--source", &source, "--output", "out", "--events", "-",
    ];
    let told = cli
        .run([&words[..], &["--chunk-rows", "2"]].concat())
        .stdout;
    assert_eq!(names(&lines(&told)), ["run_started"]);
    let code = std::fs::read_to_string(cli.home().join("code")).expect("a code");
    assert_eq!(code, "0\n");
}

#[test]
fn events_on_stdout_have_it_alone() {
    let cli = Cli::new();
    let source = small(&cli, 10);
    let words = [
        "run", "t", "--source", &source, "--output", "out", "--events", "-",
    ];
    let outcome = cli.run(words).expect_code(0);
    let told = lines(&outcome.stdout);
    assert_eq!(names(&told).last(), Some(&"run_finished"));
    let both = cli.run([&words[..], &["--json"]].concat()).expect_code(64);
    assert!(
        both.json()["error"]["what"]
            .to_string()
            .contains("--events"),
        "{both:#?}"
    );
}

/// Another process was killed in the middle of a line.
#[test]
fn half_a_line_of_before_stays_by_itself() {
    let cli = Cli::new();
    let source = small(&cli, 10);
    std::fs::write(cli.home().join("e.jsonl"), "{\"schema\":1,\"at\"").expect("half a line");
    attempt(&cli, &source, "t", "out", &["--events", "e.jsonl"]).expect_code(0);
    let text = std::fs::read_to_string(cli.home().join("e.jsonl")).expect("events");
    let (half, rest) = text.split_once('\n').expect("lines");
    assert_eq!(half, "{\"schema\":1,\"at\"");
    assert_eq!(names(&lines(rest))[0], "run_started");
}

#[test]
fn a_stopped_run_says_so() {
    let database = postgres().fresh_database();
    database
        .exec("CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 200)");
    let gate = Gate::shut(&database);
    let extraction = Extraction::new(database.url(), "t");
    let mut run = extraction.spawn(&["--where", Gate::FILTER, "--events", "e.jsonl"]);
    gate.wait_for_readers(1);
    run.signal(Signal::TERM);
    run.wait().expect_code(143);
    let told = file(&extraction.cli, "e.jsonl");
    let last = told.last().expect("a line");
    assert_eq!(
        (&last["event"], &last["exit"]),
        (&"run_failed".into(), &143.into())
    );
}

#[test]
fn the_log_is_json_whatever_is_said() {
    let cli = Cli::new();
    let source = small(&cli, 10);
    let levels = |stderr: &str| -> BTreeSet<String> {
        let lines = stderr.lines().map(|line| {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            assert!(
                line["time"].is_string() && line["message"].is_string(),
                "{line}"
            );
            line["level"].as_str().expect("a level").to_owned()
        });
        lines.collect()
    };
    let json = ["--log-format", "json"];
    let verbose = [
        &["run", "t", "--source", &source, "--output", "out", "-v"][..],
        &json,
    ]
    .concat();
    let outcome = cli.run(verbose).expect_code(0);
    assert!(outcome.stdout.contains("Published"), "{outcome:#?}");
    assert!(levels(&outcome.stderr).contains("debug"), "{outcome:#?}");
    let failed = cli.run([&["plan", "nobody", "--source", &source][..], &json].concat());
    let failed = failed.expect_code(64);
    let error: Value = serde_json::from_str(failed.stderr.trim()).expect("one line");
    assert_eq!(
        (&error["level"], &error["exit"]),
        (&"error".into(), &64.into())
    );
    assert!(
        error["fix"].is_string() && error["why"].is_string(),
        "{error}"
    );
    let words = cli
        .run(["plan", "--no-such-flag", "--log-format=json"])
        .expect_code(64);
    assert_eq!(levels(&words.stderr), BTreeSet::from(["error".to_owned()]));
    let warned = cli.run(["history", "--state", "none.db", "--log-format", "json"]);
    assert!(levels(&warned.stderr).contains("error"), "{warned:#?}");
}
