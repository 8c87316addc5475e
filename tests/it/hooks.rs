//! Commands that are told how a run ended.

use std::path::Path;

use serde_json::Value;

use crate::extraction::Extraction;
use crate::gate::Gate;
use crate::ixtract::{Cli, Signal};
use crate::published::{attempt, sqlite_url};
use crate::servers::postgres;

/// Keeps what it is told and its environment.
const KEEP: &str = "cat > told.json; env > env.txt; echo to-stderr";

fn small(cli: &Cli) -> String {
    let path = cli.home().join("t.db");
    let database = rusqlite::Connection::open(&path).expect("a database");
    let sql = "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2)";
    database.execute_batch(sql).expect("a table");
    sqlite_url(Path::new(&path))
}

fn text(cli: &Cli, name: &str) -> String {
    std::fs::read_to_string(cli.home().join(name)).unwrap_or_default()
}

fn told(cli: &Cli) -> Value {
    serde_json::from_str(&text(cli, "told.json")).expect("a document")
}

#[test]
fn success_is_told_with_the_summary() {
    let cli = Cli::new();
    let source = small(&cli);
    let flags = ["--on-success", KEEP, "--on-failure", "touch wrong"];
    let outcome = attempt(&cli, &source, "t", "out", &flags).expect_code(0);
    assert_eq!(told(&cli), outcome.json());
    assert!(outcome.stderr.contains("to-stderr"), "{outcome:#?}");
    let environment = text(&cli, "env.txt");
    let run = outcome.json()["run"].as_str().expect("a run").to_owned();
    for line in [
        &format!("IXTRACT_HOOK_RUN={run}"),
        "IXTRACT_HOOK_TABLE=t",
        "IXTRACT_HOOK_EXIT=0",
    ] {
        assert!(
            environment.lines().any(|found| found == line),
            "no {line} in {environment}"
        );
    }
    assert!(!cli.home().join("wrong").exists());
}

#[test]
fn a_failure_before_the_start_is_told_with_the_error_and_no_secret() {
    let cli = Cli::new();
    let gone = "postgresql://u:secret-word@127.0.0.1:1/d";
    let flags = ["--on-failure", KEEP, "--on-success", "touch wrong"];
    let outcome = attempt(&cli, gone, "t", "out", &flags).expect_code(69);
    assert_eq!(told(&cli), outcome.json());
    assert_eq!(told(&cli)["error"]["exit"], 69);
    let environment = text(&cli, "env.txt");
    assert!(
        environment.contains("IXTRACT_HOOK_EXIT=69\n"),
        "{environment}"
    );
    assert!(!environment.contains("secret-word"), "{environment}");
    let wrong = cli.run(["run", "t", "--source", "nonsense", "--on-failure", KEEP]);
    wrong.expect_code(64);
    assert_eq!(told(&cli)["error"]["exit"], 64);
}

/// Nothing is held any more: the command may extract the same table into the same place.
#[test]
fn everything_is_released_before_the_command_runs() {
    let cli = Cli::new();
    let source = small(&cli);
    let again = format!(
        "{} run t --source {source} --output out --json > again.json",
        env!("CARGO_BIN_EXE_ixtract")
    );
    attempt(&cli, &source, "t", "out", &["--on-success", &again]).expect_code(0);
    let again: Value = serde_json::from_str(&text(&cli, "again.json")).expect("a document");
    assert_eq!(again["status"], "success");
    cli.run(["verify", "out"]).expect_code(0);
}

#[test]
fn a_command_that_fails_is_told_and_changes_nothing() {
    let cli = Cli::new();
    let source = small(&cli);
    let outcome = attempt(&cli, &source, "t", "out", &["--on-success", "exit 7"]).expect_code(0);
    assert!(
        outcome
            .stderr
            .contains("the command of --on-success failed: exit status: 7"),
        "{outcome:#?}"
    );
    // One that reads nothing of what it is told is as good as any.
    let deaf = attempt(
        &cli,
        &source,
        "t",
        "out",
        &["--on-success", "exec <&-; true"],
    )
    .expect_code(0);
    assert!(!deaf.stderr.contains("warning"), "{deaf:#?}");
    let failed = attempt(&cli, &source, "nobody", "out", &["--on-failure", "exit 7"]);
    assert!(
        failed
            .expect_code(64)
            .stderr
            .contains("--on-failure failed: exit status: 7")
    );
}

/// A command, and what it started, that would never end.
#[test]
fn a_command_that_takes_too_long_is_ended_with_all_it_started() {
    let cli = Cli::new();
    let source = small(&cli);
    let slow = "sleep 1000 & echo $! > pid; wait";
    let flags = ["--on-success", slow, "--hook-timeout", "1s"];
    let outcome = attempt(&cli, &source, "t", "out", &flags).expect_code(0);
    assert!(
        outcome
            .stderr
            .contains("took longer than 1 s and was ended"),
        "{outcome:#?}"
    );
    let pid = text(&cli, "pid").trim().to_owned();
    let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let gone = state.is_empty() || state.contains(") Z ");
    assert!(!pid.is_empty() && gone, "{state}");
}

#[test]
fn a_signal_ends_the_command_and_leaves_the_run() {
    let cli = Cli::new();
    let source = small(&cli);
    let words = [
        "run",
        "t",
        "--source",
        &source,
        "--output",
        "out",
        "--on-success",
    ];
    let mut run = cli.spawn([&words[..], &["echo at-work >&2; sleep 1000"]].concat());
    run.wait_for_stderr("at-work");
    run.signal(Signal::INT);
    let outcome = run.wait().expect_code(0);
    assert!(
        outcome
            .stderr
            .contains("--on-success was ended by a signal"),
        "{outcome:#?}"
    );
    cli.run(["verify", "out"]).expect_code(0);
}

#[test]
fn a_stopped_run_is_told_as_a_failure() {
    let database = postgres().fresh_database();
    database
        .exec("CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 200)");
    let gate = Gate::shut(&database);
    let extraction = Extraction::new(database.url(), "t");
    let mut run = extraction.spawn(&["--where", Gate::FILTER, "--on-failure", KEEP]);
    gate.wait_for_readers(1);
    run.signal(Signal::TERM);
    run.wait().expect_code(143);
    assert_eq!(told(&extraction.cli)["error"]["exit"], 143);
}
