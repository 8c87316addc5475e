//! What runs are put down to: each category by a cause that the test brings about, on a real server.
//!
//! Rows take as long as a table says (`pace`, in milliseconds), so that a run's time is the server's
//! doing and not this machine's mood; causes are much larger than noise.

use std::time::Duration;

use serde_json::Value;

use crate::extraction::until;
use crate::ixtract::Cli;
use crate::proxy::Proxy;
use crate::published::{Published, extract};
use crate::servers::{Database, postgres};

/// A table `t` whose rows take their time, and a user who extracts it again and again.
struct Scene {
    database: Database,
    cli: Cli,
}

impl Scene {
    /// A table of 240 rows, `pace_ms` each.
    fn new(pace_ms: u32) -> Self {
        let database = postgres().fresh_database();
        database.exec(&format!(
            "CREATE TABLE t (id int8 PRIMARY KEY, x text) WITH (autovacuum_enabled = false);
             INSERT INTO t SELECT 1000 * i, repeat('x', 2000) FROM generate_series(1, 240) AS i;
             ANALYZE t;
             CREATE TABLE pace AS SELECT {pace_ms} AS ms;
             CREATE FUNCTION slow() RETURNS bool LANGUAGE plpgsql VOLATILE AS $$
             BEGIN
                 PERFORM pg_sleep((SELECT ms FROM pace) / 1000.0);
                 RETURN true;
             END $$"
        ));
        let cli = Cli::new();
        Self { database, cli }
    }

    fn pace(&self, ms: u32) {
        self.database.exec(&format!("UPDATE pace SET ms = {ms}"));
    }

    /// One run in chunks of ten rows, without the count, which would take as long as one worker.
    fn run(&self, flags: &[&str]) -> Published {
        self.run_at(&self.database.url(), flags)
    }

    fn run_at(&self, url: &str, flags: &[&str]) -> Published {
        let flags = [&["--chunk-rows", "10"], flags].concat();
        self.extract(url, &flags)
    }

    /// One run in one chunk, in which the first rows come long before the last.
    fn run_whole(&self) -> Published {
        let flags = [&["--chunk-rows", "1000"], &ALONE[..]].concat();
        self.extract(&self.database.url(), &flags)
    }

    fn extract(&self, url: &str, flags: &[&str]) -> Published {
        let paced = ["--where", "slow()", "--proof", "stream"];
        let flags = [&paced[..], &["--source-name", "shop"], flags].concat();
        extract(&self.cli, url, "public.t", "out", &flags)
    }

    /// What `diagnose --json` says of the last run: the same as the run itself said.
    #[track_caller]
    fn diagnosed(&self, run: &Published) -> Value {
        let words = ["diagnose", "last", "--json"];
        let document = self.cli.run(words).expect_code(0).json();
        assert_eq!(document["id"], run.report["run"]);
        assert_eq!(document["finding"], run.report["finding"]);
        document
    }

    fn told(&self, words: &[&str]) -> String {
        self.cli.run(words).expect_code(0).stdout
    }
}

/// One worker in all, found by the profile: a clean run.
const ALONE: [&str; 2] = ["--max-workers", "1"];

#[track_caller]
fn expect(document: &Value, category: &str, evidence: &str, action: &str) {
    let finding = &document["finding"];
    assert_eq!(finding["category"], category, "{document:#}");
    let has = |list: &str, key: &str, wanted: &str| {
        let list = finding[list].as_array().cloned().unwrap_or_default();
        list.iter().any(|one| one[key] == wanted)
    };
    assert!(has("evidence", "evidence", evidence), "{finding:#}");
    assert!(has("actions", "action", action), "{finding:#}");
}

#[test]
fn the_first_run_is_stable_and_the_servers_share_is_told() {
    let scene = Scene::new(4);
    let run = scene.run(&ALONE);
    let document = scene.diagnosed(&run);
    expect(&document, "stable", "first", "read_less");
    let went = &document["attribution"];
    let of = |name: &str| went[name].as_u64().expect("milliseconds");
    let total: u64 = went
        .as_object()
        .expect("times")
        .keys()
        .map(|name| of(name))
        .sum();
    let server = of("rows_ms") + of("answer_ms");
    assert!(of("rows_ms") > 0 && server * 2 > total, "{went:#}");
    // Every millisecond of every worker has its place.
    let seconds = run.report["duration_s"].as_f64().expect("seconds");
    assert!(
        (total as f64 - seconds * 1000.0).abs() <= 1.0,
        "{total} of {seconds} s"
    );
    let told = scene.told(&["diagnose"]);
    assert!(told.contains("the server was the limit:"), "{told}");
    assert!(told.contains("of worker time waited for"), "{told}");
    assert!(told.contains("later plans learn from this run"), "{told}");
}

#[test]
fn a_number_of_workers_that_changes_the_speed_is_named_and_a_forced_one_is_excluded() {
    let scene = Scene::new(8);
    scene.run(&["--start-workers", "4"]);
    let fewer = scene.run(&["--workers", "1"]);
    let document = scene.diagnosed(&fewer);
    expect(
        &document,
        "under_parallel",
        "workers_changed",
        "free_workers",
    );
    let excluded = document["excluded"].to_string();
    assert!(excluded.contains("it was constrained"), "{excluded}");
    let told = scene.told(&["diagnose"]);
    assert!(
        told.contains("excluded from learning: it was constrained"),
        "{told}"
    );
    scene.pace(40);
    let more = scene.run(&["--workers", "8"]);
    expect(
        &scene.diagnosed(&more),
        "over_parallel",
        "workers_changed",
        "free_workers",
    );
    let told = scene.told(&["history", "t"]);
    assert_eq!(told.matches("constrained").count(), 2, "{told}");
}

#[test]
fn a_network_that_became_slow_is_the_sources_latency() {
    let scene = Scene::new(2);
    let port = scene.database.address().port;
    let near = Proxy::to(port).start();
    let url = scene.database.url_through(near.port());
    for _ in 0..3 {
        scene.run_at(&url, &ALONE);
    }
    let far = Proxy::to(port).latency(Duration::from_millis(80)).start();
    let run = scene.run_at(&scene.database.url_through(far.port()), &ALONE);
    let document = scene.diagnosed(&run);
    expect(&document, "source_latency", "latency_rose", "quieter_hour");
}

/// The lock is let go when the run is seen to wait for it, and a while later: what it waited is much,
/// whatever else the machine does.
#[test]
fn a_lock_that_is_held_while_a_run_is_planned_is_the_sources_latency() {
    let scene = Scene::new(0);
    for _ in 0..2 {
        scene.run(&ALONE);
    }
    let holder = scene.database.session();
    holder.exec("BEGIN; LOCK TABLE t");
    let run = std::thread::scope(|scope| {
        let run = scope.spawn(|| scene.run(&ALONE));
        let waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 't'::regclass";
        until("the run waits for the lock", || {
            !holder.query_text(waiting).is_empty()
        });
        std::thread::sleep(Duration::from_millis(3_000));
        holder.exec("COMMIT");
        run.join().expect("the run ends")
    });
    let document = scene.diagnosed(&run);
    expect(&document, "source_latency", "look_waited", "find_locks");
    let told = scene.told(&["diagnose"]);
    assert!(
        told.contains("looking at the table before the run took"),
        "{told}"
    );
}

#[test]
fn rows_that_statistics_do_not_know_of_make_uneven_chunks() {
    let scene = Scene::new(5);
    scene
        .database
        .exec("INSERT INTO t SELECT 240000 + i, 'x' FROM generate_series(1, 800) AS i");
    let run = scene.run(&["--workers", "2", "--chunking", "key"]);
    let document = scene.diagnosed(&run);
    expect(&document, "data_skew", "uneven", "smaller_chunks");
    assert_eq!(document["skew"]["severity"], "high");
    let told = scene.told(&["diagnose"]);
    assert!(told.contains("skew high: the slowest took"), "{told}");
}

#[test]
fn a_slowdown_is_an_anomaly_that_is_attributed_and_marks_the_history() {
    let scene = Scene::new(4);
    let before: Vec<Published> = (0..6).map(|_| scene.run_whole()).collect();
    // With fewer than five runs before it nobody can tell what is usual.
    assert_eq!(before[4].report["anomaly"], Value::Null);
    scene.pace(60);
    let run = scene.run_whole();
    let document = scene.diagnosed(&run);
    expect(&document, "anomaly", "costlier", "look_at_source");
    let anomaly = &document["anomaly"];
    assert_eq!(
        (&anomaly["direction"], &anomaly["runs"]),
        (&"degradation".into(), &6.into())
    );
    let told = scene.told(&["history", "t"]);
    let line = told.lines().find(|line| line.contains(run.run().tag()));
    let line = line.unwrap_or_default();
    assert!(line.contains("anomaly") && line.contains('↓'), "{told}");
    let outcome = scene.cli.run(["inspect", "t", "--json"]);
    let document = outcome.json();
    assert_eq!(document["anomalies"][0][0], run.run().tag(), "{document:#}");
    assert_ne!(document["verdict"], "HEALTHY");
    assert_ne!(outcome.code, 0);
}

/// As many rows as take a fast machine longer than what is too short to be mispredicted.
#[test]
fn a_table_that_shrank_without_its_statistics_was_wrongly_predicted() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id int8 PRIMARY KEY, x text) WITH (autovacuum_enabled = false);
         INSERT INTO t SELECT i, repeat('x', 80) FROM generate_series(1, 1000000) AS i;
         ANALYZE t",
    );
    let cli = Cli::new();
    let run = || extract(&cli, &database.url(), "public.t", "out", &ALONE);
    for _ in 0..4 {
        run();
    }
    database.exec("DELETE FROM t WHERE id % 20 <> 0");
    let report = run().report;
    expect(
        &report,
        "model_error",
        "rows_mispredicted",
        "refresh_statistics",
    );
}

#[test]
fn inspect_exits_with_its_judgement() {
    let cli = Cli::new();
    let words = |more: &[&'static str]| [&["inspect", "t", "--json"], more].concat();
    cli.run(words(&[])).expect_code(64);
    // Too slow for a trend to be seen in noise.
    let scene = Scene::new(5);
    for _ in 0..3 {
        scene.run(&ALONE);
    }
    let healthy = scene.cli.run(words(&[])).expect_code(0);
    assert_eq!(healthy.json()["verdict"], "HEALTHY");
    let outcome = scene.cli.run(words(&["--profile-stale-hours", "0"]));
    let concerns = outcome.json()["concerns"].to_string();
    assert!(concerns.contains("stale_profile"), "{concerns}");
    assert_eq!(outcome.code, 1, "{outcome:#?}");
    let none = scene
        .cli
        .run(["inspect", "nothing", "--json"])
        .expect_code(1);
    assert_eq!(none.json()["verdict"], "NEEDS ATTENTION");
    // A run that fails: the table is not what its filter needs.
    scene.database.exec(
        "CREATE OR REPLACE FUNCTION slow() RETURNS bool LANGUAGE plpgsql AS
        $$ BEGIN RAISE 'not today'; END $$",
    );
    let paced = [
        "--where",
        "slow()",
        "--chunk-rows",
        "10",
        "--source-name",
        "shop",
    ];
    let url = scene.database.url();
    let run = ["run", "public.t", "--source", &url, "--output", "out"];
    assert_ne!(scene.cli.run([&run[..], &paced].concat()).code, 0);
    let outcome = scene.cli.run(words(&[])).expect_code(2);
    assert_eq!(outcome.json()["verdict"], "DEGRADED");
    let told = scene.told(&["diagnose", "t"]);
    assert!(
        told.contains("failed") && told.contains("not today"),
        "{told}"
    );
    assert!(told.contains("it did not succeed"), "{told}");
}
