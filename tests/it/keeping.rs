//! The history as a file to keep: `ixtract state …`, and looking back where nothing may be written.

mod kept;
mod read_only;
mod rebuild;

use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;

use crate::extraction::state_file;
use crate::ixtract::Cli;
use crate::published::{Failure, extract, sqlite_url};

/// A home with the table `t` of ten rows, and its URL.
fn home() -> (Cli, String) {
    let cli = Cli::new();
    let path = cli.home().join("source.db");
    let sql = "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);
         WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 10)
             INSERT INTO t SELECT i, 'row ' || i FROM c";
    let database = Connection::open(&path).expect("a database");
    database.execute_batch(sql).expect("a table");
    (cli, sqlite_url(&path))
}

/// A home with a history of so many runs.
fn history(runs: u32) -> (Cli, String) {
    let (cli, url) = home();
    for _ in 0..runs {
        extract(&cli, &url, "t", "out", &[]);
    }
    (cli, url)
}

/// What `ixtract WORDS --json` says.
#[track_caller]
fn said(cli: &Cli, words: &[&str]) -> Value {
    cli.run([words, &["--json"]].concat()).expect_code(0).json()
}

/// The failure of `ixtract WORDS --json`.
#[track_caller]
fn fails(cli: &Cli, words: &[&str], code: i32) -> Failure {
    Failure::of(&cli.run([words, &["--json"]].concat()).expect_code(code))
}

/// The runs of a store, as `history` lists them.
fn listed(cli: &Cli, state: &Path) -> Value {
    let state = state.to_str().expect("a plain name");
    said(cli, &["history", "--limit", "1000", "--state", state])["runs"].clone()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain name")
}

#[test]
fn a_backup_is_a_whole_store_and_replaces_only_another() {
    let (cli, url) = history(2);
    let (state, copy) = (state_file(&cli), cli.home().join("copy.db"));
    let first = said(&cli, &["state", "backup", "copy.db"]);
    assert_eq!(first["checked"]["contents"]["runs"]["success"], 2);
    assert_eq!(first["replaced"], false);
    assert_eq!(listed(&cli, &copy), listed(&cli, &state));

    extract(&cli, &url, "t", "out", &[]);
    let second = said(&cli, &["state", "backup", "copy.db"]);
    assert_eq!(second["replaced"], true);
    assert_eq!(listed(&cli, &copy), listed(&cli, &state));
    // It is used as any other.
    extract(
        &cli,
        &url,
        "t",
        "out",
        &["--state", "copy.db", "--state-required"],
    );
    assert_eq!(listed(&cli, &copy).as_array().map(Vec::len), Some(4));

    fs::write(cli.home().join("precious"), "mine").expect("a file");
    let failure = fails(&cli, &["state", "backup", "precious"], 73);
    assert!(failure.why.contains("no state store"), "{}", failure.text());
    let failure = fails(&cli, &["state", "backup", text(&state)], 73);
    assert!(
        failure.why.contains("the store itself"),
        "{}",
        failure.text()
    );
    fails(&cli, &["state", "backup", "no/such/folder/copy.db"], 73);
    let precious = fs::read_to_string(cli.home().join("precious"));
    assert_eq!(precious.expect("a file"), "mine");
    let mut litter: Vec<_> = fs::read_dir(cli.home())
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    litter.retain(|name| name.to_string_lossy().contains(".tmp"));
    assert!(litter.is_empty(), "{litter:?}");
}

#[test]
fn a_backup_is_of_one_point_in_time_while_runs_write() {
    let (cli, url) = history(1);
    let running: Vec<_> = (0..4)
        .map(|number| {
            let output = format!("out{number}");
            cli.spawn(["run", "t", "--source", &url, "--output", &output])
        })
        .collect();
    for number in 0..6 {
        let copy = format!("copy{number}.db");
        said(&cli, &["state", "backup", &copy]);
        // Closed runs have all their chunks, in every copy.
        let store = Connection::open(cli.home().join(&copy)).expect("a store");
        let torn: i64 = store
            .query_row(
                "SELECT count(*) FROM runs WHERE status = 'success' AND chunk_count <>
                     (SELECT count(*) FROM chunks WHERE chunks.run_id = runs.run_id)",
                [],
                |row| row.get(0),
            )
            .expect("a count");
        assert_eq!(torn, 0);
    }
    for run in running {
        run.wait().expect_code(0);
    }
}

#[test]
fn a_check_names_what_is_wrong_and_changes_nothing() {
    let (cli, _) = history(3);
    let state = state_file(&cli);
    let sound = said(&cli, &["state", "check"]);
    assert_eq!(sound["status"], "sound");
    assert_eq!(sound["contents"]["runs"]["success"], 3);
    assert_eq!(sound["version"], sound["current"]);
    fails(&cli, &["state", "check", "--state", "no-such.db"], 64);

    let spoilt = |name: &str, spoil: &dyn Fn(&Path)| -> String {
        said(&cli, &["state", "backup", name]);
        let path = cli.home().join(name);
        spoil(&path);
        let before = fs::read(&path).expect("a file");
        let failure = fails(&cli, &["state", "check", "--state", name], 78);
        assert_eq!(fs::read(&path).expect("a file"), before, "it was changed");
        failure.text()
    };
    let sql = |statements: &'static str| {
        move |path: &Path| {
            let store = Connection::open(path).expect("a store");
            store.execute_batch(statements).expect("an update");
        }
    };
    let orphans = sql("PRAGMA foreign_keys = OFF; DELETE FROM runs WHERE id = 2");
    let why = spoilt("orphans.db", &orphans);
    assert!(
        why.contains("rows of chunks belong to rows of runs"),
        "{why}"
    );
    let why = spoilt(
        "plan.db",
        &sql("UPDATE runs SET plan_json = '{}' WHERE id = 2"),
    );
    assert!(why.contains("missing field"), "{why}");
    let why = spoilt(
        "status.db",
        &sql("UPDATE runs SET snapshot_json = 'nonsense' WHERE id = 3"),
    );
    assert!(why.contains("'nonsense' is not understood"), "{why}");
    let why = spoilt("newer.db", &sql("PRAGMA user_version = 9999"));
    assert!(why.contains("newer"), "{why}");
    spoilt("torn.db", &|path| {
        let bytes = fs::read(path).expect("a file");
        fs::write(path, &bytes[..bytes.len() / 2]).expect("a file");
    });
    spoilt("page.db", &|path| {
        let mut bytes = fs::read(path).expect("a file");
        // The second page: a table's root.
        bytes[4096..4096 + 64].fill(0xff);
        fs::write(path, bytes).expect("a file");
    });
    assert_eq!(said(&cli, &["state", "check"]), sound);
    assert!(state.exists());
}

#[test]
fn pruning_leaves_what_the_next_plan_looks_at() {
    let (cli, url) = history(3);
    for _ in 0..4 {
        extract(&cli, &url, "t", "out", &["--workers", "1"]);
    }
    let state = state_file(&cli);
    let before = listed(&cli, &state);
    let would = said(&cli, &["state", "prune", "--keep", "2", "--dry-run"]);
    assert_eq!(listed(&cli, &state), before);
    // Of the seven two stay, and of the others the three that teach.
    assert_eq!(would["runs"].as_array().map(Vec::len), Some(2));
    assert_eq!(would["needed"], 3);
    let pruned = said(&cli, &["state", "prune", "--keep", "2"]);
    assert_eq!(pruned["runs"], would["runs"]);
    assert_eq!(pruned["warnings"], serde_json::json!([]));
    let after = listed(&cli, &state);
    let ids = |runs: &Value| -> Vec<String> {
        let runs = runs.as_array().cloned().unwrap_or_default();
        runs.iter().map(|run| run["id"].to_string()).collect()
    };
    let gone = ids(&before)
        .into_iter()
        .filter(|id| !ids(&after).contains(id));
    let told: Vec<String> = pruned["runs"]
        .as_array()
        .expect("runs")
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(gone.collect::<Vec<_>>(), told);
    said(&cli, &["state", "check"]);
    // Nothing is that old.
    let none = said(
        &cli,
        &["state", "prune", "--keep", "1", "--older-than", "1d"],
    );
    assert_eq!(none["runs"], serde_json::json!([]));
    for words in [
        &["state", "prune"][..],
        &["state", "prune", "--older-than", "9y"],
    ] {
        cli.run(words).expect_code(64);
    }
    let plan = said(&cli, &["plan", "t", "--source", &url]);
    assert_ne!(plan["plan"]["forecast"]["method"], "cold_start");
}

#[test]
fn an_export_is_taken_in_elsewhere_without_doubling() {
    let (cli, url) = history(2);
    said(&cli, &["profile", "t", "--source", &url]);
    said(&cli, &["state", "export", "history.jsonl"]);
    let document = fs::read_to_string(cli.home().join("history.jsonl")).expect("a document");
    assert!(document.lines().all(|line| line.starts_with('{')));
    let piped = cli.run(["state", "export", "-"]).expect_code(0);
    assert_eq!(piped.stdout, document);
    let failure = fails(&cli, &["state", "export", "-"], 64);
    assert!(failure.fix.contains("--json"), "{}", failure.text());

    let other = Cli::new().stdin(&document);
    let imported = said(&other, &["state", "import", "-"]);
    assert_eq!(imported["runs"], 2);
    assert_eq!(
        listed(&other, &state_file(&other)),
        listed(&cli, &state_file(&cli))
    );
    let explained = ["explain", "last"];
    assert_eq!(said(&other, &explained), said(&cli, &explained));
    let again = said(&other, &["state", "import", "-"]);
    assert_eq!((&again["runs"], &again["known"]), (&0.into(), &2.into()));
    // What was learned came along: the next plan is the same.
    let words = ["plan", "t", "--source", &url];
    let method = |cli: &Cli| said(cli, &words)["plan"]["forecast"]["method"].clone();
    assert_eq!(method(&other), method(&cli));
    assert_ne!(method(&cli), "cold_start");

    // One that was cut off, and one of a newer program.
    let cut = &document[..document.len() / 2];
    let newer = document.replacen("\"ixtract_state\":", "\"ixtract_state\":9", 1);
    for wrong in [cut, &newer, "", "what is this"] {
        let third = Cli::new().stdin(wrong);
        let failure = fails(&third, &["state", "import", "-"], 78);
        assert!(!failure.why.is_empty());
        assert_eq!(listed(&third, &state_file(&third)), serde_json::json!([]));
    }
    fails(&other, &["state", "import", "no-such-file"], 64);
    fails(&cli, &["state", "export", "no/such/folder/h.jsonl"], 73);
}

#[test]
fn an_export_that_the_disk_does_not_take_leaves_the_old_one() {
    let (cli, _) = history(1);
    let limited = cli.through(&["sh", "-c", "ulimit -f 1; exec \"$@\"", "sh"]);
    let path: PathBuf = limited.home().join("history.jsonl");
    fs::write(&path, "the old one").expect("a file");
    let outcome = limited.run(["state", "export", "history.jsonl"]);
    assert_ne!(outcome.code, 0, "{outcome:#?}");
    assert_eq!(fs::read_to_string(&path).expect("a file"), "the old one");
}
