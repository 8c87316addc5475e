//! Runs that end in all kinds of ways, gone on with until they are done.

use std::fs;
use std::process::Command;

use rusqlite::Connection;

use super::{KILLED, OPTIONS, Scene, finished, part, resume, rows};
use crate::extraction::{Extraction, until};
use crate::gate::Gate;
use crate::ixtract::{Cli, Signal};
use crate::proxy::Proxy;
use crate::random::{Random, seed};
use crate::readers::Row;
use crate::servers::mysql::both;
use crate::servers::{PrivatePostgres, postgres};
use crate::stores::Bucket;

/// Killed again and again, each time after so many more chunks as chance has it, until one run gets
/// through.
#[test]
fn killed_at_random_and_gone_on_with_every_time_it_is_as_if_never_killed() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id bigint PRIMARY KEY, version int NOT NULL);
         INSERT INTO t SELECT i * 7, i % 11 FROM generate_series(1, 20000) AS i; ANALYZE t",
    );
    let extraction = Extraction::new(database.url(), "public.t");
    let seed = seed();
    let mut random = Random::new(seed, "kills");
    let mut done = 0;
    let mut kills = 0;
    loop {
        let first = kills == 0;
        let words = extraction.words("run", &[]);
        let words = if first {
            let options = ["--chunk-rows", "500", "--chunking", "key", "--workers", "3"];
            extraction.words("run", &[&options[..], &["--output", "out"]].concat())
        } else {
            let resumed = ["run", &words[2], &words[3], "--resume", "last"];
            resumed.map(str::to_owned).into()
        };
        let mut run = extraction.cli.spawn(words);
        let wanted = done + 1 + random.below(6) as usize;
        until("it has finished some chunks, or all", || {
            // Looked at first: there is no history before a run has begun one.
            finished(&extraction) >= wanted || kills > 0 && is_published(&extraction)
        });
        run.signal(Signal::KILL);
        let outcome = run.wait();
        let published = outcome.stderr.contains("it had published its dataset");
        if outcome.code == 0 || published || is_published(&extraction) {
            break;
        }
        assert_eq!(
            outcome.code, KILLED,
            "seed {seed}, after {kills} kills: {outcome:#?}"
        );
        assert!(finished(&extraction) >= done, "seed {seed}");
        done = finished(&extraction);
        kills += 1;
    }
    assert!(extraction.rows() == rows(&database), "seed {seed}");
    assert_eq!(extraction.beside(), [].into(), "seed {seed}");
}

/// Whether the newest run is in the history as published.
fn is_published(extraction: &Extraction) -> bool {
    let statuses = extraction.statuses();
    statuses.last().is_some_and(|status| status == "success")
}

#[test]
fn a_server_that_restarts_ends_the_run_and_not_what_it_had_read() {
    let server = PrivatePostgres::start("");
    let database = server.fresh_database();
    database.exec(
        "CREATE TABLE t (id bigint PRIMARY KEY, version int NOT NULL);
         INSERT INTO t SELECT i, 1 FROM generate_series(1, 4000) AS i; ANALYZE t",
    );
    let extraction = Extraction::new(database.url(), "public.t");
    let gate = Gate::shut(&database);
    let filter = ["--where", super::ALL_BUT_THE_LAST];
    let run = extraction.spawn(&[&OPTIONS[..], &filter].concat());
    gate.wait_for_readers(1);
    until("seven chunks are finished", || finished(&extraction) == 7);
    server.stop();
    let outcome = run.wait().expect_code(69);
    assert!(
        outcome.stderr.contains("ixtract run --resume"),
        "{outcome:#?}"
    );
    drop(gate);
    // While it is down there is nothing to lose.
    resume(&extraction, &[]).expect_code(69);
    server.start_again();
    let report = resume(&extraction, &["--json"]).expect_code(0).json();
    assert_eq!(report["resumed"]["kept"], 7);
    assert!(extraction.rows() == rows(&database));
    assert_eq!(extraction.statuses(), ["failed", "success"]);
}

/// The line breaks and stays broken; the same database is then reached another way.
#[test]
fn a_network_that_is_lost_ends_the_run_and_not_what_had_come_through() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id bigint PRIMARY KEY, version int NOT NULL);
         INSERT INTO t SELECT i, 1 FROM generate_series(1, 4000) AS i; ANALYZE t",
    );
    let proxy = Proxy::to(database.address().port).start();
    let extraction = Extraction::new(database.url_through(proxy.port()), "public.t");
    let gate = Gate::shut(&database);
    let name = ["--source-name", "shop"];
    let filter = ["--where", super::ALL_BUT_THE_LAST];
    let run = extraction.spawn(&[&OPTIONS[..], &filter, &name].concat());
    gate.wait_for_readers(1);
    until("seven chunks are finished", || finished(&extraction) == 7);
    drop(proxy);
    let outcome = run.wait().expect_code(69);
    assert!(
        outcome.stderr.contains("ixtract run --resume"),
        "{outcome:#?}"
    );
    gate.open();
    let source = database.url();
    let words = ["run", "--source", &source, "--resume", "last", "--json"];
    let resumed = extraction.cli.run([&words[..], &name].concat());
    assert_eq!(resumed.expect_code(0).json()["resumed"]["kept"], 7);
    assert!(extraction.rows() == rows(&database));
}

/// A disk that takes four of six megabytes, then one that takes all.
#[test]
fn a_full_disk_ends_the_run_and_not_what_it_had_written() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("bulky.db");
    let database = Connection::open(&file).expect("a database");
    database
        .execute_batch(
            "CREATE TABLE bulky (id INTEGER PRIMARY KEY, noise BLOB);
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
             INSERT INTO bulky SELECT i, randomblob(1000) FROM n;",
        )
        .expect("a table");
    let source = format!("sqlite:{}", file.display());
    // A file of the size of the disk takes its place where nobody may mount one.
    let mount = "mkdir -p small && mount -t tmpfs -o size=4m none small";
    let script = format!(
        "{mount}; \"$@\"; echo \"code $?\"; mount -o remount,size=64m small; \
         \"$RESUME\" run --source \"$SOURCE\" --resume last --json; code=$?; \
         \"$RESUME\" verify small/out; cp -r small/out kept; exit $code"
    );
    let wrappers: [&[&str]; 2] = [
        &["unshare", "--mount"],
        &["unshare", "--user", "--map-root-user", "--mount"],
    ];
    let works = |unshare: &&&[&str]| {
        let mut command = Command::new(unshare[0]);
        let home = tempfile::tempdir().expect("a directory");
        command.args(&unshare[1..]).args(["sh", "-c", mount]);
        let output = command.current_dir(&home).output();
        output.is_ok_and(|output| output.status.success())
    };
    let Some(unshare) = wrappers.iter().find(works) else {
        panic!("nobody may mount a disk here, not even in a namespace of one's own");
    };
    let wrapper = [unshare, &["sh", "-c", &script, "sh"][..]].concat();
    let cli = Cli::new()
        .env("RESUME", env!("CARGO_BIN_EXE_ixtract"))
        .env("SOURCE", &source)
        .through(&wrapper);
    let options = [
        "--chunk-rows",
        "500",
        "--workers",
        "1",
        "--force",
        "--output",
    ];
    let words = [
        &["run", "bulky", "--source", &source][..],
        &options,
        &["small/out"],
    ];
    let outcome = cli.run(words.concat()).expect_code(0);
    assert!(outcome.stdout.contains("code 73\n"), "{outcome:#?}");
    assert!(
        outcome.stderr.contains("ixtract run --resume"),
        "{outcome:#?}"
    );
    let (_, report) = outcome.stdout.split_once("code 73\n").expect("a report");
    let mut reports = serde_json::Deserializer::from_str(report).into_iter();
    let report: serde_json::Value = reports.next().expect("a report").expect("JSON");
    assert_eq!(report["rows"], 6000);
    let kept = report["resumed"]["kept"].as_u64().expect("a number");
    assert!((1..12).contains(&kept), "{report:#}");
    let engine = crate::readers::Engine::DuckDb;
    let found: Vec<Row> = crate::readers::rows(engine, &cli.home().join("kept"), &[]);
    assert_eq!(found.len(), 6000);
}

/// Dies after everything was read; some of it is lost, and the table has changed.
fn goes_on_after(extraction: &mut Extraction, change: impl FnOnce()) {
    let options = ["--chunk-rows", "100", "--workers", "2"];
    let cli = std::mem::replace(&mut extraction.cli, Cli::new());
    extraction.cli = cli.env("IXTRACT_CRASH_AT", "prepared");
    extraction.run(&options).expect_code(128 + 6);
    let cli = std::mem::replace(&mut extraction.cli, Cli::new());
    extraction.cli = cli.unset("IXTRACT_CRASH_AT");
    fs::remove_file(part(extraction, 2)).expect("a part");
    change();
    let report = resume(extraction, &["--json"]).expect_code(0).json();
    assert_eq!(report["resumed"]["read"], 1, "{report:#}");
    assert_eq!(report["consistency"]["level"], "mixed");
    let beside = &report["proof"]["beside_kept"];
    assert_eq!(beside["all"], 1000, "{report:#}");
    let rows = extraction.rows();
    assert_eq!(rows.len(), 1000);
    let new = rows.iter().filter(|row| row[1].as_deref() == Some("2"));
    assert_eq!(
        new.count() as u64,
        1000 - beside["kept"].as_u64().expect("a number")
    );
    assert_eq!(extraction.statuses(), ["crashed", "success"]);
    assert_eq!(extraction.beside(), [].into());
}

#[test]
fn sqlite_is_gone_on_with() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("source.db");
    let database = Connection::open(&file).expect("a database");
    database
        .execute_batch(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, version INTEGER NOT NULL);
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
             INSERT INTO t SELECT i, 1 FROM n;",
        )
        .expect("a table");
    let mut extraction = Extraction::new(format!("sqlite:{}", file.display()), "t");
    goes_on_after(&mut extraction, || {
        database
            .execute("UPDATE t SET version = 2", [])
            .expect("an update");
    });
}

#[test]
fn mysql_and_mariadb_are_gone_on_with() {
    for server in both() {
        let database = server.fresh_database();
        let rows: Vec<String> = (1..=1000).map(|id| format!("({id}, 1)")).collect();
        database.exec(&format!(
            "CREATE TABLE t (id BIGINT PRIMARY KEY, version INT NOT NULL) ENGINE = InnoDB;
             INSERT INTO t VALUES {}; ANALYZE TABLE t",
            rows.join(", ")
        ));
        let mut extraction = Extraction::new(database.url(), "t");
        goes_on_after(&mut extraction, || {
            database.exec("UPDATE t SET version = 2");
        });
    }
}

/// Everything was read and only publishing was left: nothing is read again, and what is published is
/// still one point in time.
#[test]
fn a_run_that_died_while_publishing_is_published_as_it_was_read() {
    let left = Scene::new(&[]);
    let (left, _) = left.end(Signal::KILL);
    let mut extraction = left.extraction;
    let cli = std::mem::replace(&mut extraction.cli, Cli::new());
    extraction.cli = cli.env("IXTRACT_CRASH_AT", "sealed");
    extraction.run(&OPTIONS).expect_code(128 + 6);
    let cli = std::mem::replace(&mut extraction.cli, Cli::new());
    extraction.cli = cli.unset("IXTRACT_CRASH_AT");
    let before = rows(&left.database);
    left.database.exec("UPDATE t SET version = 2");
    let report = resume(&extraction, &["--json"]).expect_code(0).json();
    assert_eq!(report["resumed"]["kept"], 8, "{report:#}");
    assert_eq!(report["consistency"]["level"], "shared-snapshot");
    assert!(extraction.rows() == before);
}

/// What was on its way to a store has no name yet, and whoever held it is gone: the plan is kept, and
/// everything is read again, in one point in time.
#[test]
fn on_a_store_everything_is_read_again() {
    let bucket = Bucket::new();
    let url = bucket.url();
    let scene = Scene::at(bucket.cli(), &["--output", &url]);
    let gate_is_shut = || !scene.gate.readers().is_empty();
    until("a reader stands at the gate", gate_is_shut);
    let (left, outcome) = scene.end(Signal::KILL);
    outcome.expect_code(KILLED);
    let outcome = resume(&left.extraction, &["--json"]).expect_code(0);
    let report = outcome.json();
    assert_eq!(report["resumed"]["kept"], 0, "{report:#}");
    assert_eq!(report["consistency"]["level"], "shared-snapshot");
    assert_eq!(report["dataset"], url);
    assert_eq!(bucket.uploads(), Vec::<String>::new());
    assert_eq!(bucket.runs().len(), 1);
    let copy = bucket.fetch();
    let mut found = crate::readers::rows(crate::readers::Engine::DuckDb, copy.path(), &[]);
    found.sort_by_cached_key(crate::extraction::sort_key);
    assert!(found == rows(&left.database));
}
