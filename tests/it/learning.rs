//! The loop closed: real runs against a real source teach how many workers to use.

use rusqlite::Connection;

use crate::ixtract::Cli;
use crate::published::{Published, extract, sqlite_url};
use crate::servers::{Database, postgres};

/// How many sessions read at this moment.
const BUSY: &str = "(SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND state = 'active' AND query LIKE '%slow()%')";

/// A table of 240 rows, each of which takes the source a while: `cost` is an SQL expression in
/// milliseconds.
fn slow_table(cost: &str) -> Database {
    let database = postgres().fresh_database();
    database.exec(&format!(
        "CREATE TABLE t (id int8 PRIMARY KEY);
         INSERT INTO t SELECT generate_series(1, 240);
         ANALYZE t;
         CREATE FUNCTION slow() RETURNS bool LANGUAGE plpgsql VOLATILE AS $$
         BEGIN
             PERFORM pg_stat_clear_snapshot();
             PERFORM pg_sleep(({cost}) / 1000.0);
             RETURN true;
         END $$"
    ));
    database
}

/// One run in many chunks, without the count, which would take as long as one worker alone.
fn run(cli: &Cli, database: &Database, flags: &[&str]) -> Published {
    let each = [
        "--where",
        "slow()",
        "--chunk-rows",
        "10",
        "--proof",
        "stream",
    ];
    let flags = [&each, flags].concat();
    extract(cli, &database.url(), "public.t", "out", &flags)
}

/// The workers of `runs` runs.
fn course(cli: &Cli, database: &Database, runs: usize, flags: &[&str]) -> Vec<u32> {
    (0..runs)
        .map(|_| run(cli, database, flags).plan().spec.workers)
        .collect()
}

fn learned(cli: &Cli) -> (u32, String) {
    let path = cli.home().join(".local/state/ixtract/state.db");
    Connection::open(path)
        .expect("the state")
        .query_row(
            "SELECT current_workers, state_json FROM controller_state",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .expect("what was learned")
}

#[test]
fn more_workers_are_found_where_waiting_is_the_limit() {
    let (database, cli) = (slow_table("15"), Cli::new());
    let workers = course(&cli, &database, 9, &["--start-workers", "1"]);
    assert_eq!(workers[..3], [1, 2, 4], "{workers:?}");
    let (best, _) = learned(&cli);
    assert!(best >= 3, "{best} after {workers:?}");
}

#[test]
fn fewer_workers_are_found_where_they_hinder_each_other() {
    let (database, cli) = (slow_table(&format!("0.5 * {BUSY} ^ 3")), Cli::new());
    let workers = course(&cli, &database, 9, &["--start-workers", "8"]);
    assert_eq!(workers[..3], [8, 4, 2], "{workers:?}");
    let (best, _) = learned(&cli);
    assert!(best <= 2, "{best} after {workers:?}");
}

#[test]
fn the_plan_says_why_and_some_runs_do_not_teach() {
    let (database, cli) = (slow_table("15"), Cli::new());
    let start = ["--start-workers", "2"];
    course(&cli, &database, 2, &start);
    let (_, before) = learned(&cli);
    let forced = run(&cli, &database, &["--workers", "3"]);
    assert_eq!(forced.plan().spec.workers, 3);
    assert_eq!(learned(&cli).1, before, "a run with --workers taught");

    let url = database.url();
    let plan = |flags: &[&str]| {
        let table = ["plan", "public.t", "--source", &url, "--where", "slow()"];
        let cut = ["--chunk-rows", "10"];
        cli.run([&table[..], &cut, &start, flags].concat())
            .expect_code(0)
    };
    let told = plan(&[]).stdout;
    assert!(told.contains("for one run, to learn whether"), "{told}");
    let step = |flags: &[&str]| {
        let document = plan(&[&["--json"], flags].concat()).json();
        let reasons = document["plan"]["reasons"].as_array().cloned();
        let mut reasons = reasons.unwrap_or_default().into_iter();
        reasons
            .find(|reason| reason["reason"] == "workers_learned")
            .unwrap_or_else(|| panic!("no reason from history in {document}"))["step"]
            .clone()
    };
    assert_eq!(step(&[]), "tried");
    let settled = step(&["--no-explore"]);
    assert!(settled == "held" || settled == "adopted", "{settled}");
}

#[test]
fn a_filter_is_expected_to_pass_what_it_passed() {
    let cli = Cli::new();
    let path = cli.home().join("source.db");
    let connection = Connection::open(&path).expect("a database");
    let fill = |from: u32, to: u32| {
        let sql = format!(
            "CREATE TABLE IF NOT EXISTS t (id INTEGER PRIMARY KEY);
             WITH RECURSIVE c(i) AS (SELECT {from} UNION ALL SELECT i + 1 FROM c WHERE i < {to})
                 INSERT INTO t SELECT i FROM c"
        );
        connection.execute_batch(&sql).expect("rows");
    };
    let url = sqlite_url(&path);
    let filter = ["--where", "id % 4 = 0"];
    let expect = |rows: u64, said: &str| {
        let plan = [
            &["plan", "t", "--source", &url, "--chunk-rows", "500"],
            &filter[..],
        ]
        .concat();
        let told = cli.run(plan.clone()).expect_code(0).stdout;
        assert!(told.contains(said), "{told}");
        let document = cli.run([&plan[..], &["--json"]].concat()).json();
        let forecast = &document["plan"]["forecast"];
        assert_eq!(forecast["rows"], rows, "{forecast}");
        let chunks = forecast["chunks"].as_array().expect("chunks");
        assert!(chunks.len() > 4, "{forecast}");
        let each = chunks.iter().filter_map(|chunk| chunk["rows"].as_u64());
        assert_eq!(each.sum::<u64>(), rows, "{forecast}");
    };
    fill(1, 4000);
    expect(4000, "no history yet");
    extract(&cli, &url, "t", "out", &filter);
    expect(1000, "1.0K of about 4.0K rows pass the filter");
    fill(4001, 8000);
    expect(2000, "2.0K of about 8.0K rows pass the filter");
}
