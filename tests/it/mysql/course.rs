//! From run to run: what a benchmark finds, a replay repeats and hints lower, whose history is whose; and
//! the same rows as CSV. Nothing of it knows the source's type, which is why it is tried on both servers.

use serde_json::Value;

use super::NUMBERS;
use crate::csv::{files, text};
use crate::extraction::{DIGITS, Extraction, until};
use crate::servers::mysql::{Mysql, MysqlDatabase, both};

/// A table of `rows` rows and its extraction.
fn table(server: &Mysql, rows: u32) -> (MysqlDatabase, Extraction) {
    let database = server.fresh_database();
    database.exec(&format!(
        "{DIGITS} {NUMBERS};
         CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(20));
         INSERT INTO t SELECT n, CONCAT('v', n) FROM numbers WHERE n < {rows};
         ANALYZE TABLE t"
    ));
    let extraction = Extraction::new(database.url(), "t");
    (database, extraction)
}

fn plan(extraction: &Extraction, flags: &[&str]) -> Value {
    let words = extraction.words("plan", &[flags, &["--json"]].concat());
    extraction.cli.run(words).expect_code(0).json()["plan"].clone()
}

/// The kinds of the plan's reasons.
fn reasons(plan: &Value) -> Vec<&str> {
    let reasons = plan["reasons"].as_array().expect("reasons");
    let kinds = reasons.iter().map(|reason| reason["reason"].as_str());
    kinds.map(|kind| kind.expect("a kind")).collect()
}

#[test]
fn a_benchmark_reads_with_several_sessions_at_once_and_the_next_plan_takes_what_it_found() {
    for server in both() {
        let (database, extraction) = table(&server, 560);
        // Every row takes the server a while, so more sessions are faster in proportion.
        let slowly = ["--where", "SLEEP(0.004) = 0"];
        let grid = ["--force", "--worker-grid", "1,4", "--json"];
        let words = extraction.words("benchmark", &[&slowly[..], &grid].concat());
        let running = extraction.cli.spawn(words);
        let watcher = database.session();
        let reading = format!(
            "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{}' AND STATE = 'User sleep'",
            database.name()
        );
        until("four sessions read at once", || {
            watcher.query_text(&reading).len() == 4
        });
        let document = running.wait().expect_code(0).json();
        assert_eq!(document["status"], "measured", "{document}");
        let found = &document["benchmark"];
        assert_eq!(found["worker_grid"], serde_json::json!([1, 4]));
        assert_eq!(found["optimal_workers"], 4, "{found}");
        assert!(!extraction.dataset().exists());

        let cut = [&slowly[..], &["--chunk-rows", "20"]].concat();
        let next = plan(&extraction, &cut);
        assert_eq!(next["spec"]["workers"], 4);
        assert!(reasons(&next).contains(&"workers_benchmarked"), "{next}");
    }
}

#[test]
fn a_replay_repeats_the_decisions_and_reads_what_is_there_now() {
    for server in both() {
        let (database, extraction) = table(&server, 300);
        let cut = ["--chunk-rows", "30", "--json"];
        let first = extraction.run(&cut).expect_code(0).json();
        database.exec("INSERT INTO t VALUES (5000, 'new')");
        let url = database.url();
        let words = ["replay", "last", "--source", &url, "--json"];
        let document = extraction.cli.run(words).expect_code(0).json();
        assert_eq!(document["original"]["run"], first["run"], "{document}");
        assert_eq!(document["same_decisions"], true, "{document}");
        assert_eq!(document["integrity"], "intact");
        assert_eq!(document["outcome"]["rows"], 1, "{document}");
        assert_eq!(document["replay"]["teaches"], false);
        assert_eq!(extraction.count(), 301);

        database.exec("ALTER TABLE t DROP COLUMN v");
        extraction.cli.run(words).expect_code(2);
        assert_eq!(extraction.count(), 301);
    }
}

#[test]
fn hints_lower_the_workers_and_a_run_under_them_teaches_nothing() {
    for server in both() {
        let (_database, extraction) = table(&server, 1000);
        let cut = ["--chunk-rows", "50", "--workers", "8"];
        assert_eq!(plan(&extraction, &cut)["spec"]["workers"], 8);
        // Two of a run's sessions are no worker's.
        let hint = ["--max-source-connections", "5"];
        let hinted = [&cut[..], &hint].concat();
        assert_eq!(plan(&extraction, &hinted)["spec"]["workers"], 3);
        let most = ["--chunk-rows", "50", "--max-workers", "2"];
        assert!(plan(&extraction, &most)["spec"]["workers"].as_u64() <= Some(2));
        let hinted = [
            "--chunk-rows",
            "50",
            "--max-source-connections",
            "5",
            "--json",
        ];
        let document = extraction.run(&hinted).expect_code(0).json();
        assert_eq!(extraction.count(), 1000);
        assert_eq!(document["constrained"], true, "{document}");
        assert_eq!(document["teaches"], false, "{document}");
    }
}

#[test]
fn two_tables_and_two_databases_have_histories_of_their_own() {
    for server in both() {
        let (database, extraction) = table(&server, 300);
        let (elsewhere, _) = table(&server, 300);
        database.exec("CREATE TABLE u (PRIMARY KEY (id)) AS SELECT * FROM t");
        let cut = ["--chunk-rows", "30", "--json"];
        extraction.run(&cut).expect_code(0);
        let learned = |of: &Extraction| {
            let words = of.words("plan", &cut);
            let document = extraction.cli.run(words).expect_code(0).json();
            reasons(&document["plan"]).contains(&"workers_learned")
        };
        assert!(learned(&extraction));
        assert!(!learned(&Extraction::new(database.url(), "u")));
        assert!(!learned(&Extraction::new(elsewhere.url(), "t")));
    }
}

#[test]
fn csv_holds_every_value_and_null_and_empty_apart() {
    for server in both() {
        let database = server.fresh_database();
        database.exec(
            "CREATE TABLE t (id INT PRIMARY KEY, d DECIMAL(6, 2), at DATETIME(6), b VARBINARY(9),
                 words VARCHAR(40) CHARACTER SET utf8mb4);
             INSERT INTO t VALUES
                 (1, -0.50, '2024-02-29 23:59:59.000001', x'00FF', 'a,\"b\"\n日本 😀'),
                 (2, NULL, NULL, NULL, NULL),
                 (3, 1234.5, '1000-01-01 00:00:00', x'', '')",
        );
        let extraction = Extraction::new(database.url(), "t");
        extraction.run(&["--format", "csv"]).expect_code(0);
        let written: String = files(&extraction.cli, "out")
            .iter()
            .map(|file| text(file))
            .collect();
        let expected = "id,d,at,b,words\n\
            1,-0.50,2024-02-29T23:59:59.000001,\\x00ff,\"a,\"\"b\"\"\n日本 😀\"\n\
            2,,,,\n\
            3,1234.50,1000-01-01T00:00:00,\\x,\"\"\n";
        assert_eq!(written, expected);
    }
}
