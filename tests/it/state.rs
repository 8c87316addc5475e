//! What is remembered of a run, and for whom: the store is opened and looked at.

use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;

use crate::ixtract::{Cli, Signal};
use crate::published::{Published, attempt, extract, sqlite_url};
use crate::servers::postgres;

/// The user's own store.
fn store(cli: &Cli) -> Connection {
    let path = cli.home().join(".local/state/ixtract/state.db");
    Connection::open(path).expect("the state")
}

/// The first column of a query's rows, as text.
fn texts(store: &Connection, sql: &str) -> Vec<String> {
    let mut statement = store
        .prepare(sql)
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let rows = statement.query_map([], |row| {
        Ok(match row.get(0)? {
            rusqlite::types::Value::Null => "NULL".to_owned(),
            rusqlite::types::Value::Integer(value) => value.to_string(),
            rusqlite::types::Value::Real(value) => value.to_string(),
            rusqlite::types::Value::Text(value) => value,
            rusqlite::types::Value::Blob(_) => "blob".to_owned(),
        })
    });
    rows.expect("rows")
        .collect::<Result<_, _>>()
        .expect("texts")
}

fn one(store: &Connection, sql: &str) -> String {
    let found = texts(store, sql);
    assert_eq!(found.len(), 1, "{sql}: {found:?}");
    found.into_iter().next().unwrap_or_default()
}

/// A SQLite database with a table `t` of so many rows.
fn database(path: &Path, rows: u32) {
    let sql = format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT);
         WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {rows})
             INSERT INTO t SELECT i, 'row ' || i FROM c"
    );
    Connection::open(path)
        .expect("a database")
        .execute_batch(&sql)
        .expect("a table");
}

#[test]
fn a_run_leaves_its_row_chunks_workers_profile_and_plan() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        "SELECT pg_stat_reset();
         CREATE TABLE t (id int8 PRIMARY KEY, x text);
         INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 100) AS i;
         UPDATE t SET x = 'changed' WHERE id <= 30; DELETE FROM t WHERE id > 90; ANALYZE t",
    );
    let flags = ["--workers", "2", "--chunking", "key", "--chunk-rows", "10"];
    let run = extract(&cli, &database.url(), "public.t", "out", &flags);
    let stored = Stored {
        store: store(&cli),
        run,
    };
    stored.expect_run();
    stored.expect_chunks_and_workers();
    stored.expect_documents();
}

/// A run, and the store that should hold it.
struct Stored {
    store: Connection,
    run: Published,
}

impl Stored {
    /// What the run's rows of a table say.
    fn of(&self, table: &str, what: &str) -> Vec<String> {
        let id = self.run.run();
        texts(
            &self.store,
            &format!("SELECT {what} FROM {table} WHERE run_id = '{id}'"),
        )
    }

    /// What the run's own row says.
    fn value(&self, what: &str) -> String {
        self.of("runs", what).concat()
    }

    fn document(&self, column: &str) -> Value {
        serde_json::from_str(&self.value(column)).expect("JSON")
    }

    fn expect_run(&self) {
        let manifest = &self.run.manifest;
        for (what, wanted) in [
            ("status", "success"),
            ("rows", "90"),
            ("bytes", &manifest["bytes"].to_string()),
            ("workers", "2"),
            ("relation", "public.t"),
            (
                "fingerprint",
                manifest["fingerprint"].as_str().expect("a text"),
            ),
            ("strategy", "range_chunking"),
            // A count that the user chose teaches nothing.
            ("constrained", "1"),
            ("teaches", "0"),
            ("ended_at >= started_at", "1"),
            ("pid > 0 AND host <> ''", "1"),
            (
                "duration_s > 0 AND throughput > 0 AND effective_workers > 0",
                "1",
            ),
        ] {
            assert_eq!(self.value(what), wanted, "{what}");
        }
    }

    fn expect_chunks_and_workers(&self) {
        let chunks = self.run.chunks().len();
        assert_eq!(self.value("chunk_count"), chunks.to_string());
        assert_eq!(self.of("chunks", "number").len(), chunks);
        assert_eq!(self.of("chunks", "DISTINCT status"), ["success"]);
        assert_eq!(self.of("chunks", "sum(rows)"), ["90"]);
        assert_eq!(
            self.of("chunks", "count(DISTINCT number)"),
            [chunks.to_string()]
        );
        let mut files: Vec<String> = self
            .of("chunks", "files_json")
            .iter()
            .flat_map(|files| serde_json::from_str::<Vec<String>>(files).expect("names"))
            .collect();
        files.sort();
        let listed = self.run.manifest["files"].as_array().expect("files");
        let mut listed: Vec<&str> = listed
            .iter()
            .filter_map(|file| file["path"].as_str())
            .collect();
        listed.sort_unstable();
        assert_eq!(files, listed);
        // A worker that came when all was done is not one.
        let workers = self.of("worker_metrics", "worker");
        assert!(
            workers == ["1", "2"] || workers == ["1"] || workers == ["2"],
            "{workers:?}"
        );
        assert_eq!(self.of("worker_metrics", "sum(rows)"), ["90"]);
        assert_eq!(
            self.of("worker_metrics", "sum(chunks)"),
            [chunks.to_string()]
        );
    }

    fn expect_documents(&self) {
        let manifest = &self.run.manifest;
        let counters = self.document("counters_json");
        for name in ["n_tup_ins", "n_tup_upd", "n_tup_del", "stats_reset"] {
            assert!(counters.get(name).is_some(), "no {name} in {counters}");
        }
        assert_eq!(self.document("snapshot_json"), manifest["consistency"]);
        let plan = self.document("plan_json");
        assert_eq!(plan["fingerprint"], manifest["fingerprint"]);
        let chunks = plan["spec"]["chunks"].as_array().map(Vec::len);
        assert_eq!(chunks, Some(self.run.chunks().len()));

        let profile = one(&self.store, "SELECT profile_json FROM profiles");
        let profile: Value = serde_json::from_str(&profile).expect("JSON");
        assert_eq!(profile["table"]["relation"]["name"], "t");
        assert_eq!(self.value("key_max"), "90");
        let measured = "source_bytes > 0 AND source_rows > 0 AND latency_us_json <> '[]'";
        assert_eq!(self.value(measured), "1");
    }
}

/// One document of a run's row.
fn document_of(store: &Connection, run: &str, column: &str) -> Value {
    let sql = format!("SELECT {column} FROM runs WHERE run_id = '{run}'");
    serde_json::from_str(&one(store, &sql)).expect("JSON")
}

/// How many rows were ever inserted, by the counters of a run.
fn inserted(store: &Connection, run: &str) -> u64 {
    let counters = document_of(store, run, "counters_json");
    let text = counters["n_tup_ins"].as_str();
    text.and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("n_tup_ins in {counters}"))
}

/// What a given plan's run records of its source is as it was for that run, not for the one before.
#[test]
fn a_given_plan_and_a_replay_record_what_the_source_looked_like_too() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    let session = database.session();
    let insert = |from: u32, to: u32| {
        session.exec(&format!(
            "INSERT INTO t SELECT generate_series({from}, {to})"
        ));
        session.exec("SELECT pg_stat_force_next_flush()");
        // What a session did is reported when it is next idle.
        session.exec("SELECT 1");
    };
    session.exec("CREATE TABLE t (id int8 PRIMARY KEY)");
    insert(1, 10);
    let url = database.url();
    let planned = extract(&cli, &url, "public.t", "out", &[])
        .run()
        .to_string();
    insert(11, 30);
    let plan = ["plan", "public.t", "--source", &url, "--output", "given"];
    cli.run([&plan[..], &["--out", "plan.json"]].concat())
        .expect_code(0);
    insert(31, 70);
    let given = [
        "run",
        "--plan",
        "plan.json",
        "--source",
        &url,
        "--output",
        "given",
        "--json",
    ];
    let given = cli.run(given).expect_code(0).json();
    insert(71, 150);
    let again = [
        "replay", &planned, "--source", &url, "--output", "again", "--json",
    ];
    let again = cli.run(again).expect_code(0).json();
    let store = store(&cli);
    let runs = [
        planned.as_str(),
        text(&given["run"]),
        text(&again["replay"]["run"]),
    ];
    assert_eq!(runs.map(|run| inserted(&store, run)), [10, 70, 150]);
    for run in runs {
        let known = "source_rows >= 0 AND source_bytes > 0 AND connect_us > 0";
        let sql = format!("SELECT {known} FROM runs WHERE run_id = '{run}'");
        assert_eq!(one(&store, &sql), "1", "{run}");
        let latencies = document_of(&store, run, "latency_us_json");
        assert_eq!(latencies.as_array().map(Vec::len), Some(5), "{run}");
    }
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("a text, not {value}"))
}

#[test]
fn change_counters_follow_the_changes() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    let session = database.session();
    session
        .exec("CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 10)");
    let flushed = "SELECT pg_stat_force_next_flush()";
    session.exec(flushed);
    let first = extract(&cli, &database.url(), "public.t", "out", &[]);
    session.exec("INSERT INTO t SELECT generate_series(11, 30); DELETE FROM t WHERE id = 1");
    session.exec(flushed);
    // What a session did is reported when it is next idle.
    session.exec("SELECT 1");
    let second = extract(&cli, &database.url(), "public.t", "out", &[]);
    let store = store(&cli);
    let counters = |run: &Published| -> Value {
        let sql = format!(
            "SELECT counters_json FROM runs WHERE run_id = '{}'",
            run.run()
        );
        serde_json::from_str(&one(&store, &sql)).expect("JSON")
    };
    let number = |counters: &Value, name: &str| -> u64 {
        let value = &counters[name];
        let text = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        text.parse()
            .unwrap_or_else(|_| panic!("{name} in {counters}"))
    };
    let (first, second) = (counters(&first), counters(&second));
    assert_eq!(
        number(&second, "n_tup_ins") - number(&first, "n_tup_ins"),
        20
    );
    assert_eq!(
        number(&second, "n_tup_del") - number(&first, "n_tup_del"),
        1
    );
}

#[test]
fn histories_of_like_named_tables_never_mix() {
    let cli = Cli::new();
    let [one_db, other_db] = ["one.db", "other.db"].map(|name| cli.home().join(name));
    database(&one_db, 10);
    database(&other_db, 20);
    let first = extract(&cli, &sqlite_url(&one_db), "t", "a", &[]);
    extract(&cli, &sqlite_url(&one_db), "t", "a", &[]);
    extract(&cli, &sqlite_url(&other_db), "t", "b", &[]);
    extract(&cli, &sqlite_url(&one_db), "t", "c", &["--columns", "id"]);
    extract(&cli, &sqlite_url(&one_db), "t", "d", &["--where", "id > 5"]);
    let day = |day: &'static str| ["--where", "id > {day}", "--param", day];
    extract(&cli, &sqlite_url(&one_db), "t", "e", &day("day=1"));
    extract(&cli, &sqlite_url(&one_db), "t", "e", &day("day=2"));
    extract(&cli, &sqlite_url(&other_db), "t", "f", &["--scope", "mine"]);

    let store = store(&cli);
    let sizes = texts(
        &store,
        "SELECT count(*) FROM runs GROUP BY scope_id ORDER BY min(started_at), min(id)",
    );
    assert_eq!(sizes, ["2", "1", "1", "1", "2", "1"], "runs of each scope");
    // Two databases, and the same file by another name.
    assert_eq!(one(&store, "SELECT count(DISTINCT source) FROM runs"), "2");
    let relative = extract(&cli, "sqlite:one.db", "t", "a", &[]);
    let scope = |id| {
        one(
            &store,
            &format!("SELECT scope_id FROM runs WHERE run_id = '{id}'"),
        )
    };
    assert_eq!(
        scope(relative.run()),
        scope(first.run()),
        "a relative path is the same file"
    );
}

#[test]
fn an_unfortunate_run_is_closed_too() {
    let cli = Cli::new();
    let path = cli.home().join("source.db");
    database(&path, 10);
    let damage = "INSERT INTO t VALUES (11, x'00')";
    Connection::open(&path)
        .expect("a database")
        .execute_batch(damage)
        .expect("a row");
    attempt(&cli, &sqlite_url(&path), "t", "out", &[]).expect_code(1);
    let store = store(&cli);
    assert_eq!(one(&store, "SELECT status FROM runs"), "failed");
    assert_eq!(one(&store, "SELECT teaches FROM runs"), "0");
    let error = one(&store, "SELECT error FROM runs");
    assert!(
        error.contains("main.t.x") && !error.contains('\n'),
        "{error}"
    );
    assert_ne!(one(&store, "SELECT ended_at FROM runs"), "NULL");
    assert_eq!(one(&store, "SELECT count(*) FROM chunks"), "1");
}

#[test]
fn two_processes_use_one_store_at_once() {
    let cli = Cli::new();
    let path = cli.home().join("source.db");
    database(&path, 2000);
    let url = sqlite_url(&path);
    // From nothing: both create and migrate the store.
    let outputs: Vec<String> = (0..4).map(|number| format!("out{number}")).collect();
    let running: Vec<_> = outputs
        .iter()
        .map(|output| cli.spawn(["run", "t", "--source", &url, "--output", output, "--json"]))
        .collect();
    for run in running {
        let outcome = run.wait().expect_code(0);
        assert_eq!(
            outcome.json()["warnings"],
            serde_json::json!([]),
            "{outcome:#?}"
        );
        assert!(outcome.json()["state"].is_string(), "{outcome:#?}");
    }
    let store = store(&cli);
    assert_eq!(
        one(&store, "SELECT count(*) FROM runs WHERE status = 'success'"),
        "4"
    );
    assert_eq!(
        one(&store, "SELECT count(DISTINCT run_id) FROM chunks"),
        "4"
    );
    assert_eq!(one(&store, "PRAGMA integrity_check"), "ok");
}

#[test]
fn the_run_of_a_killed_process_becomes_crashed_at_the_next_look() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    // The reader waits for this lock at its first row.
    let holder = database.session();
    holder.exec("SELECT pg_advisory_lock(42)");
    let url = database.url();
    let gate = "pg_advisory_xact_lock_shared(42)::text IS NOT NULL";
    let arguments = [
        "run", "public.t", "--source", &url, "--output", "out", "--where", gate,
    ];
    let mut running = cli.spawn(arguments);
    let waits = "SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event = 'advisory'";
    let path = cli.home().join(".local/state/ixtract/state.db");
    let stored = || -> bool {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        Connection::open_with_flags(&path, flags)
            .and_then(|store| store.query_row("SELECT count(*) FROM runs", [], |row| row.get(0)))
            .is_ok_and(|runs: u32| runs == 1)
    };
    let reached = (0..6000).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(10));
        stored() && !holder.query_text(waits).is_empty()
    });
    assert!(reached, "the run never came as far as its first row");
    running.signal(Signal::KILL);
    assert_eq!(running.wait().code, 137);
    let store = store(&cli);
    assert_eq!(one(&store, "SELECT status FROM runs"), "running");
    drop(holder);

    extract(&cli, &url, "public.t", "out", &[]);
    assert_eq!(
        texts(&store, "SELECT status FROM runs ORDER BY id"),
        ["crashed", "success"]
    );
}

#[test]
fn a_password_is_stored_nowhere() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)");
    let role = database.limited_role();
    database.exec(&format!("GRANT SELECT ON t TO {}", role.user));
    let run = extract(
        &cli,
        &role.to_string(),
        "public.t",
        "out",
        &["--chunk-rows", "1"],
    );
    let secret = role.password.as_bytes();
    let mut files = vec![run.dataset.join("_manifest.json")];
    let mut folders = vec![cli.home().join(".local/state/ixtract")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the state") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(path);
            }
        }
    }
    assert!(files.len() > 1);
    for file in files {
        let bytes = std::fs::read(&file).expect("a file");
        let found = bytes.windows(secret.len()).any(|part| part == secret);
        assert!(!found, "a password in {}", file.display());
    }
    assert!(!run.report.to_string().contains(&role.password));
}
