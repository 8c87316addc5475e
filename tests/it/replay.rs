//! A stored plan executed again: the same decisions, a dataset of what is there now, a record that
//! says so, and nothing learned from it.

mod fingerprints;
mod refusals;

use rusqlite::Connection;
use serde_json::Value;

use crate::extraction::{manifest, state_file, statuses};
use crate::ixtract::{Cli, Outcome, Signal};
use crate::published::{Published, extract, sqlite_url};
use crate::readers::{self, Engine};
use crate::servers::{Database, postgres};

/// Ten chunks of a small table.
const CUT: [&str; 2] = ["--chunk-rows", "30"];

/// The same by two workers, slowly enough that both get to work whatever else the machine does.
const SHARED: [&str; 6] = [
    "--chunk-rows",
    "30",
    "--workers",
    "2",
    "--where",
    "pg_sleep(0.003) IS NOT NULL",
];

/// A PostgreSQL database with a table `t` of 300 rows.
fn server_table() -> Database {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id int8 PRIMARY KEY, x text);
         INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 300) AS i;
         ANALYZE t",
    );
    database
}

/// A SQLite file in the user's home with the same table; its URL.
fn file_table(cli: &Cli) -> String {
    let path = cli.home().join("t.db");
    Connection::open(&path)
        .expect("a database")
        .execute_batch(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);
             WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 300)
                 INSERT INTO t SELECT i, 'row ' || i FROM c",
        )
        .expect("a table");
    sqlite_url(&path)
}

fn replay(cli: &Cli, words: &[&str]) -> Outcome {
    cli.run([&["replay", "--json"], words].concat())
}

/// The values of one column of the runs, the oldest first, as text.
fn recorded(cli: &Cli, column: &str) -> Vec<Option<String>> {
    let store = Connection::open(state_file(cli)).expect("a state store");
    let sql = format!("SELECT CAST({column} AS TEXT) FROM runs ORDER BY started_at, id");
    let mut query = store.prepare(&sql).expect("a table of runs");
    let rows = query.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("texts")
}

/// Everything that later plans are made from.
fn learned(cli: &Cli) -> Vec<String> {
    let store = Connection::open(state_file(cli)).expect("a state store");
    let mut found = Vec::new();
    for table in ["controller_state", "profiles"] {
        let mut query = store
            .prepare(&format!("SELECT * FROM {table}"))
            .expect("a table");
        let columns = query.column_count();
        let mut rows = query.query([]).expect("rows");
        while let Some(row) = rows.next().expect("a row") {
            for column in 0..columns {
                found.push(format!("{:?}", row.get_ref(column).expect("a value")));
            }
        }
    }
    found
}

/// Replays the first run beside its dataset and checks all that a replay of unchanged data promises.
#[track_caller]
fn expect_equal(cli: &Cli, first: &Published, words: &[&str]) -> Value {
    let before = learned(cli);
    let run = first.run();
    let words = [&[run.tag(), "--output", "again"], words].concat();
    let document = replay(cli, &words).expect_code(0).json();
    assert_eq!(document["same_decisions"], true, "{document}");
    assert_eq!(document["integrity"], "intact");
    assert_eq!(document["original"]["run"], first.run().as_str());
    assert_eq!(document["replay"]["replay_of"], first.run().as_str());
    assert_eq!(document["outcome"]["rows"], 0, "{document}");
    let decisions = &document["replay"]["decisions"];
    for decision in ["workers", "chunks", "strategy", "fingerprint"] {
        let both = &decisions[decision];
        assert_eq!(both["planned"], both["executed"], "{decision}");
    }
    assert_eq!(decisions["differences"], Value::Array(Vec::new()));

    let again = cli.home().join("again");
    let rows = |dataset| readers::rows(Engine::DuckDb, dataset, &["id"]);
    assert_eq!(rows(&again), rows(&first.dataset));
    assert_eq!(
        manifest(&again)["fingerprint"],
        first.manifest["fingerprint"]
    );
    cli.run(["verify", "again"]).expect_code(0);

    let original = Some(first.run().to_string());
    assert_eq!(recorded(cli, "replay_of"), [None, original]);
    assert_eq!(recorded(cli, "teaches").last(), Some(&Some("0".to_owned())));
    assert_eq!(document["replay"]["teaches"], false);
    assert_eq!(learned(cli), before, "a replay changed what was learned");
    document
}

#[test]
fn a_replay_on_postgres_gives_an_equal_dataset_and_teaches_nothing() {
    let (database, cli) = (server_table(), Cli::new());
    let first = extract(&cli, &database.url(), "public.t", "out", &CUT);
    assert_eq!(first.report["teaches"], true);
    let document = expect_equal(&cli, &first, &["--source", &database.url()]);
    assert_eq!(document["replay"]["decisions"]["chunks"]["executed"], 10);
    // Neither the estimate nor the choice of workers has a run more to rest on.
    let plan = |table: &str| {
        let url = database.url();
        let words = [
            "plan",
            table,
            "--source",
            &url,
            "--chunk-rows",
            "30",
            "--json",
        ];
        cli.run(words).expect_code(0).json()
    };
    assert_eq!(plan("public.t")["plan"]["forecast"]["runs"], 1);
    let history = cli.run(["history", "public.t"]).expect_code(0).stdout;
    assert!(history.contains("replayed"), "{history}");
}

#[test]
fn a_file_is_replayed_from_what_the_plan_says_of_it() {
    let cli = Cli::new();
    let url = file_table(&cli);
    let first = extract(&cli, &url, "t", "out", &CUT);
    // No source is named: the plan's own needs no secret.
    let document = expect_equal(&cli, &first, &[]);
    assert_eq!(document["replay"]["decisions"]["chunks"]["executed"], 10);
}

#[test]
fn a_server_is_replayed_from_what_the_plan_says_of_it_and_the_users_own_login() {
    let (database, cli) = (server_table(), Cli::new());
    let first = extract(&cli, &database.url(), "public.t", "out", &SHARED);
    let address = database.address();
    let cli = cli
        .env("PGUSER", &*address.user)
        .env("PGPASSWORD", &*address.password);
    expect_equal(&cli, &first, &[]);
}

#[test]
fn without_an_output_the_original_dataset_is_replaced() {
    let cli = Cli::new();
    let url = file_table(&cli);
    for layout in ["replace", "runs"] {
        let first = extract(&cli, &url, "t", layout, &["--layout", layout]);
        let document = replay(&cli, &["last"]).expect_code(0).json();
        assert_eq!(
            document["replay"]["dataset"],
            document["original"]["dataset"]
        );
        let found = manifest(&first.dataset);
        assert_eq!(found["run"], document["replay"]["run"], "{layout}");
        assert_eq!(found["layout"], layout);
    }
}

#[test]
fn data_that_changed_is_read_as_it_is_now_and_told_of() {
    let (database, cli) = (server_table(), Cli::new());
    let first = extract(&cli, &database.url(), "public.t", "out", &SHARED);
    database.exec("INSERT INTO t SELECT i, 'new' FROM generate_series(-9, 0) AS i; ANALYZE t");
    let words = ["last", "--source", &database.url(), "--output", "again"];
    let document = replay(&cli, &words).expect_code(0).json();
    assert_eq!(document["same_decisions"], true);
    assert_eq!(document["outcome"]["rows"], 10);
    let rows = |dataset| readers::rows(Engine::DuckDb, dataset, &["id"]).len();
    assert_eq!(
        (rows(&first.dataset), rows(&cli.home().join("again"))),
        (300, 310)
    );

    let run = first.run();
    let words = ["replay", run.tag(), "--source", &database.url()];
    let told = cli.run(words).expect_code(0).stdout;
    for words in [
        "Replaying rx-",
        "as planned: 2 workers",
        "+10",
        "other rows are there now",
    ] {
        assert!(told.contains(words), "no {words:?} in\n{told}");
    }
}

#[test]
fn a_replay_of_a_replay_tells_where_it_comes_from() {
    let cli = Cli::new();
    let first = extract(&cli, &file_table(&cli), "t", "out", &CUT);
    let second = replay(&cli, &["last"]).expect_code(0).json();
    let document = replay(&cli, &["t"]).expect_code(0).json();
    assert_eq!(document["original"]["run"], second["replay"]["run"]);
    assert_eq!(document["chain"], Value::from(vec![first.run().as_str()]));
    let of: Vec<Option<String>> = recorded(&cli, "replay_of");
    let second = second["replay"]["run"].as_str().map(str::to_owned);
    assert_eq!(of, [None, Some(first.run().to_string()), second]);
    let told = cli.run(["replay", "last"]).expect_code(0).stdout;
    let line = format!("which replayed {}", first.run());
    assert!(told.contains(&line), "{told}");
}

#[test]
fn fewer_workers_than_planned_are_another_decision() {
    let (database, cli) = (server_table(), Cli::new());
    let flags = ["--workers", "3", "--chunk-rows", "30"];
    extract(&cli, &database.url(), "public.t", "out", &flags);
    let role = database.limited_role();
    // The coordinator and the monitor are two of them.
    database.exec(&format!(
        "GRANT SELECT ON t TO {0}; ALTER ROLE {0} CONNECTION LIMIT 4",
        role.user
    ));
    let words = ["last", "--source", &role.to_string(), "--output", "again"];
    let document = replay(&cli, &words).expect_code(0).json();
    assert_eq!(document["same_decisions"], false, "{document}");
    let decisions = &document["replay"]["decisions"];
    assert_eq!(decisions["workers"]["planned"], 3);
    assert_ne!(
        decisions["fingerprint"]["planned"],
        decisions["fingerprint"]["executed"]
    );
    let told = decisions["differences"][0].as_str().unwrap_or_default();
    assert!(
        told.starts_with("planned for 3 workers, read by "),
        "{told}"
    );
    assert!(
        !document["replay"]["adaptations"]
            .as_array()
            .is_none_or(Vec::is_empty)
    );
    assert_eq!(
        readers::rows(Engine::DuckDb, &cli.home().join("again"), &["id"]).len(),
        300
    );
}

#[test]
fn a_replay_that_fails_says_so_and_is_recorded_as_one() {
    let (database, cli) = (server_table(), Cli::new());
    database.exec("CREATE FUNCTION fine(int8) RETURNS bool LANGUAGE sql AS 'SELECT true'");
    let flags = [&CUT[..], &["--where", "fine(id)"]].concat();
    let first = extract(&cli, &database.url(), "public.t", "out", &flags);
    database.exec(
        "CREATE OR REPLACE FUNCTION fine(int8) RETURNS bool LANGUAGE sql AS 'SELECT 1 / (200 - $1) = 0'",
    );
    let words = ["last", "--source", &database.url()];
    let outcome = replay(&cli, &words);
    assert_eq!(outcome.code, 1, "{outcome:#?}");
    assert!(outcome.json()["error"]["why"].is_string());
    assert_eq!(statuses(&cli), ["success", "failed"]);
    let original = Some(first.run().to_string());
    assert_eq!(recorded(&cli, "replay_of"), [None, original]);
    assert_eq!(manifest(&first.dataset)["run"], first.run().as_str());
}

#[test]
fn a_replay_that_is_killed_is_recorded_as_crashed() {
    let (database, cli) = (server_table(), Cli::new());
    database.exec("CREATE FUNCTION slow(int8) RETURNS bool LANGUAGE sql AS 'SELECT true'");
    let flags = [&CUT[..], &["--where", "slow(id)"]].concat();
    let first = extract(&cli, &database.url(), "public.t", "out", &flags);
    database.exec(
        "CREATE OR REPLACE FUNCTION slow(int8) RETURNS bool LANGUAGE sql
             AS 'SELECT pg_sleep(60) IS NOT NULL'",
    );
    let words = ["replay", "last", "--source", &database.url(), "--verbose"];
    let mut running = cli.spawn(words);
    running.wait_for_stderr("0/10 chunks");
    running.signal(Signal::KILL);
    assert_eq!(running.wait().code, 137);
    // The server would not notice for a while.
    database.query_text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    let history = cli.run(["history", "--json"]).expect_code(0).json();
    assert_eq!(history["runs"][1]["status"], "crashed", "{history}");
    assert_eq!(history["runs"][1]["replay_of"], first.run().as_str());
    assert_eq!(manifest(&first.dataset)["run"], first.run().as_str());
}
