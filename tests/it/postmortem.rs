//! Looking back: what the commands tell of runs that the store remembers.

use rusqlite::Connection;

use crate::gate::Gate;
use crate::ixtract::{Cli, Signal};
use crate::published::{Failure, extract, sqlite_url};
use crate::servers::postgres;

/// A SQLite database with a table `t` of so many rows.
fn database(cli: &Cli, name: &str, rows: u32) -> String {
    let path = cli.home().join(name);
    let sql = format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);
         WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {rows})
             INSERT INTO t SELECT i, 'row ' || i FROM c"
    );
    Connection::open(&path)
        .expect("a database")
        .execute_batch(&sql)
        .expect("a table");
    sqlite_url(&path)
}

#[test]
fn without_a_store_or_a_run_three_lines_say_so() {
    let cli = Cli::new();
    for words in [
        &["history"][..],
        &["history", "t"],
        &["history", "t", "--state", "no/such.db"],
    ] {
        let outcome = cli.run([words, &["--json"]].concat()).expect_code(64);
        let failure = Failure::of(&outcome);
        assert!(
            failure.what.contains("there is no state store"),
            "{words:?}"
        );
        assert!(failure.fix.contains("--state"), "{}", failure.text());
    }
    assert!(
        !cli.home().join("no").exists(),
        "looking back created a store"
    );

    extract(&cli, &database(&cli, "t.db", 10), "t", "out", &[]);
    let outcome = cli.run(["history", "other", "--json"]).expect_code(64);
    assert_eq!(Failure::of(&outcome).what, "there is no run 'other'");
}

#[test]
fn history_lists_the_runs_of_a_table_oldest_first() {
    let cli = Cli::new();
    let url = database(&cli, "t.db", 10);
    let first = extract(&cli, &url, "t", "out", &[]).run();
    let second = extract(&cli, &url, "t", "out", &["--workers", "2"]).run();
    let listed = |words: &[&str]| -> Vec<String> {
        let words = [&["history", "--json"], words].concat();
        let document = cli.run(words).expect_code(0).json();
        let runs = document["runs"].as_array().cloned().unwrap_or_default();
        runs.iter()
            .map(|run| run["id"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    let both = vec![first.to_string(), second.to_string()];
    assert_eq!(listed(&["t"]), both);
    assert_eq!(listed(&["main.t"]), both);
    assert_eq!(listed(&[first.tag()]), both, "a run stands for its table");
    assert_eq!(listed(&[]), both);
    assert_eq!(listed(&["t", "--limit", "1"]), both[1..]);
    let told = cli.run(["history", "t"]).expect_code(0).stdout;
    let line = |tag: &str| told.lines().find(|line| line.contains(tag)).unwrap_or("");
    assert!(line(second.tag()).contains("constrained"), "{told}");
    assert!(!line(first.tag()).contains("constrained"), "{told}");
}

#[test]
fn a_table_of_two_databases_is_asked_about() {
    let cli = Cli::new();
    let one = database(&cli, "one.db", 10);
    let two = database(&cli, "two.db", 20);
    extract(&cli, &one, "t", "one", &[]);
    let run = extract(&cli, &two, "t", "two", &[]).run();
    let failure = Failure::of(&cli.run(["history", "t", "--json"]).expect_code(64));
    assert_eq!(failure.what, "runs of several tables are called 't'");
    assert!(failure.why.contains("one.db") && failure.why.contains("two.db"));
    assert!(failure.fix.contains("name one of these runs"));
    let document = cli.run(["history", run.tag(), "--json"]).expect_code(0);
    let runs = document.json()["runs"].as_array().cloned().expect("runs");
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0]["rows"], 20);
}

#[test]
fn a_killed_run_shows_as_crashed() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database
        .exec("CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 200)");
    let gate = Gate::shut(&database);
    let url = database.url();
    let mut words = vec!["run", "public.t", "--source", &url, "--output", "out"];
    words.extend(["--where", Gate::FILTER]);
    let mut running = cli.spawn(words);
    gate.wait_for_readers(1);
    running.signal(Signal::KILL);
    running.wait();
    gate.open();
    let document = cli.run(["history", "t", "--json"]).expect_code(0).json();
    assert_eq!(document["runs"][0]["status"], "crashed", "{document}");
    let told = cli.run(["history", "t"]).expect_code(0).stdout;
    assert!(told.contains("crashed"), "{told}");
}
