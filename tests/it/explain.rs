//! Runs explained and measured from the store alone.

use serde_json::Value;

use crate::ixtract::{Cli, Outcome};
use crate::published::{Failure, extract, sqlite_url};
use crate::servers::postgres;

/// A SQLite file `t.db` in the user's home with a table `t` of 1,000 rows.
fn file_table(cli: &Cli) -> String {
    let path = cli.home().join("t.db");
    rusqlite::Connection::open(&path)
        .expect("a database")
        .execute_batch(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);
             WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 1000)
                 INSERT INTO t SELECT i, 'row ' || i FROM c",
        )
        .expect("a table");
    sqlite_url(&path)
}

fn look(cli: &Cli, words: &[&str]) -> Outcome {
    cli.run(words)
}

fn document(cli: &Cli, words: &[&str]) -> Value {
    let words = [words, &["--json"]].concat();
    cli.run(words).expect_code(0).json()
}

#[test]
fn a_run_is_explained_with_its_reasons_and_against_the_one_before() {
    let cli = Cli::new();
    let url = file_table(&cli);
    let first = extract(&cli, &url, "t", "out", &["--chunk-rows", "100"]).run();
    let explained = document(&cli, &["explain"]);
    assert_eq!(explained["run"]["id"], first.as_str());
    assert_eq!(explained["previous"], Value::Null);
    // A run that publishes nothing is nothing to compare with.
    cli.run([
        "run",
        "t",
        "--source",
        &url,
        "--output",
        "out",
        "--where",
        "nonsense(",
    ]);
    let flags = ["--workers", "2", "--chunk-rows", "100"];
    let second = extract(&cli, &url, "t", "out", &flags).run();
    // The database is not needed.
    std::fs::remove_file(cli.home().join("t.db")).expect("a file");

    let explained = document(&cli, &["explain", "t"]);
    assert_eq!(explained["run"]["id"], second.as_str());
    assert_eq!(explained["decided"]["workers"], 2);
    assert_eq!(explained["decided"]["chunks"], 10);
    assert_eq!(explained["previous"]["run"], first.as_str());
    assert_eq!(explained["previous"]["change"]["rows"], 0);
    let reasons = explained["reasons"].as_array().expect("reasons");
    let why = |topic: &str| -> Vec<&str> {
        let of = reasons.iter().filter(|reason| reason["explains"] == topic);
        of.filter_map(|reason| reason["words"].as_str()).collect()
    };
    assert_eq!(why("workers")[0], "2 asked for by --workers");
    assert!(why("strategy").contains(&"about 100 rows a chunk, by --chunk-rows"));
    assert!(explained["standard"].is_null());

    let told = look(&cli, &["explain", "last"]).expect_code(0).stdout;
    for words in [
        "· 2 asked for by --workers",
        "· about 100 rows a chunk, by --chunk-rows",
        "no: hints, --workers or a given plan shaped it",
        "2 workers instead of 1",
        "1,000",
    ] {
        assert!(told.contains(words), "no {words:?} in\n{told}");
    }
}

#[test]
fn the_evidence_has_every_chunk_a_lane_a_worker_and_the_workers() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        "CREATE TABLE t (id int8 PRIMARY KEY);
         INSERT INTO t SELECT generate_series(1, 120);
         ANALYZE t",
    );
    let flags = [
        "--workers",
        "2",
        "--chunk-rows",
        "20",
        "--where",
        "pg_sleep(0.01) IS NOT NULL",
    ];
    extract(&cli, &database.url(), "public.t", "out", &flags);
    let explained = document(&cli, &["explain", "--standard"]);
    let chunks = explained["standard"]["chunks"].as_array().expect("chunks");
    assert_eq!(chunks.len(), 6);
    assert!(chunks.iter().all(|chunk| chunk["status"] == "success"));
    let holds = chunks[0]["holds"].as_str().unwrap_or_default();
    assert!(holds.starts_with("[…, "), "{holds}");
    let workers = explained["standard"]["workers"]
        .as_array()
        .expect("workers");
    let rows: u64 = workers
        .iter()
        .filter_map(|worker| worker["rows"].as_u64())
        .sum();
    assert_eq!((workers.len(), rows), (2, 120));

    let told = look(&cli, &["explain", "--standard"]).expect_code(0).stdout;
    let at = told.find("Timeline").expect("a timeline");
    let lanes: Vec<&str> = told[at..].lines().skip(1).take(2).collect();
    for (lane, worker) in lanes.iter().zip(["1", "2"]) {
        let (number, cells) = lane.trim().split_once("  ").expect("a lane");
        assert_eq!(number, worker, "{told}");
        assert_eq!(cells.chars().count(), 64, "{told}");
    }
    // Six chunks of some 0.2 s each: every one of them is seen.
    for chunk in '1'..='6' {
        assert!(
            lanes.iter().any(|lane| lane[4..].contains(chunk)),
            "{chunk}:\n{told}"
        );
    }
}

#[test]
fn a_replay_is_explained_against_its_original() {
    let cli = Cli::new();
    let url = file_table(&cli);
    let first = extract(&cli, &url, "t", "out", &[]).run();
    extract(&cli, &url, "t", "out", &[]);
    let replayed = document(&cli, &["replay", first.tag()]);
    let explained = document(&cli, &["explain"]);
    assert_eq!(explained["run"]["id"], replayed["replay"]["run"]);
    assert_eq!(explained["previous"]["run"], first.as_str());
    let told = look(&cli, &["explain"]).expect_code(0).stdout;
    let line = format!("no: it is a replay of {first}");
    assert!(
        told.contains(&line) && told.contains("the run it replays"),
        "{told}"
    );
    // And it is nothing that a later run is compared with.
    let third = extract(&cli, &url, "t", "out", &[]).run();
    let explained = document(&cli, &["explain", third.tag()]);
    assert_ne!(explained["previous"]["run"], replayed["replay"]["run"]);
}

#[test]
fn metrics_add_up_to_the_run() {
    let cli = Cli::new();
    extract(
        &cli,
        &file_table(&cli),
        "t",
        "out",
        &["--chunk-rows", "100"],
    );
    let metrics = document(&cli, &["metrics"]);
    assert_eq!(
        (&metrics["rows"], &metrics["status"]),
        (&1000.into(), &"success".into())
    );
    assert_eq!(metrics["counts"]["planned"], 10);
    assert_eq!(metrics["counts"]["finished"], 10);
    assert_eq!(metrics["counts"]["retries"], 0);
    let number = |value: &Value| value.as_f64().expect("a number");
    let chunks = &metrics["chunks"];
    let rates = ["worst_rate", "best_rate"].map(|rate| number(&chunks[rate]["value"]));
    let average = number(&chunks["average_rate"]);
    assert!(rates[0] <= average && average <= rates[1], "{chunks}");
    assert!(number(&chunks["skew"]) >= 1.0, "{chunks}");
    let workers = metrics["workers"].as_array().expect("workers");
    let rows: u64 = workers
        .iter()
        .filter_map(|worker| worker["rows"].as_u64())
        .sum();
    assert_eq!(rows, 1000);
    let told = look(&cli, &["metrics", "t"]).expect_code(0).stdout;
    for words in [
        "10 planned, 10 finished",
        "on average",
        "slowest over median",
        "waiting",
    ] {
        assert!(told.contains(words), "no {words:?} in\n{told}");
    }
}

#[test]
fn what_failed_or_was_never_closed_is_explained_as_far_as_it_is_known() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec("CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t VALUES (1), (2); ANALYZE t");
    let url = database.url();
    let words = [
        "run",
        "public.t",
        "--source",
        &url,
        "--where",
        "1 / (id - 2) < 5",
    ];
    look(&cli, &words).expect_code(1);
    let told = look(&cli, &["explain", "--standard"]).expect_code(0).stdout;
    assert!(
        told.contains("failed: ") && told.contains("division by zero"),
        "{told}"
    );
    assert!(told.contains("no: it published nothing"), "{told}");
    let metrics = document(&cli, &["metrics"]);
    assert_eq!(metrics["counts"]["finished"], 0);
    assert_eq!(metrics["chunks"], Value::Null);
}

#[test]
fn without_a_store_or_a_run_three_lines_say_so() {
    let cli = Cli::new();
    for command in ["explain", "metrics"] {
        let outcome = look(&cli, &[command, "--json"]).expect_code(64);
        assert!(Failure::of(&outcome).what.contains("no state store"));
    }
    extract(&cli, &file_table(&cli), "t", "out", &[]);
    for command in ["explain", "metrics"] {
        let outcome = look(&cli, &[command, "nobody", "--json"]).expect_code(64);
        assert_eq!(Failure::of(&outcome).what, "there is no run 'nobody'");
    }
}
