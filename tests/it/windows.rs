//! Incremental windows: whatever happens from night to night, every row that was there when its
//! window was fixed is in exactly one.

mod bounds;
mod stores;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rusqlite::Connection;
use serde_json::Value;

use crate::extraction::{Extraction, state_file};
use crate::ixtract::{Cli, Outcome};
use crate::published::sqlite_url;
use crate::readers::{self, Engine, Row};
use crate::servers::{Database, postgres};

const KILLED: i32 = 128 + 6;

/// A database that the nights pass on.
enum Server {
    Postgres(Database),
    Sqlite(Connection, String),
}

impl Server {
    fn sqlite(folder: &Path) -> Self {
        let file = folder.join("shop.db");
        let connection = Connection::open(&file).expect("a database");
        Self::Sqlite(connection, sqlite_url(&file))
    }

    fn exec(&self, sql: &str) {
        match self {
            Self::Postgres(database) => database.exec(sql),
            Self::Sqlite(connection, _) => connection.execute_batch(sql).expect("statements"),
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Postgres(database) => database.url(),
            Self::Sqlite(_, url) => url.clone(),
        }
    }

    /// The type of the watermark.
    fn moment(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "timestamp",
            Self::Sqlite(..) => "text",
        }
    }

    fn table(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "public.t",
            Self::Sqlite(..) => "t",
        }
    }
}

/// A table, what it holds by our own account, and what its windows must therefore hold.
struct Nights {
    server: Server,
    extraction: Extraction,
    rows: BTreeMap<i64, (String, i64)>,
    /// Low, high, and what was between them when the window was read.
    windows: Vec<(String, String, Vec<Row>)>,
}

/// A point in time as both databases write it.
fn moment(night: i64, second: i64) -> String {
    format!(
        "2026-01-{night:02} 00:{:02}:{:02}",
        second / 60,
        second % 60
    )
}

impl Nights {
    fn new(server: Server) -> Self {
        server.exec(&format!(
            "CREATE TABLE t (id integer PRIMARY KEY, at {} NOT NULL, v integer NOT NULL);
             CREATE INDEX t_at ON t (at)",
            server.moment()
        ));
        Self {
            extraction: Extraction::new(server.url(), server.table()),
            server,
            rows: BTreeMap::new(),
            windows: Vec::new(),
        }
    }

    fn put(&mut self, id: i64, at: String, v: i64) {
        self.server.exec(&format!(
            "INSERT INTO t VALUES ({id}, '{at}', {v})
             ON CONFLICT (id) DO UPDATE SET at = excluded.at, v = excluded.v"
        ));
        self.rows.insert(id, (at, v));
    }

    /// A day's work: new rows, and old ones that change, which moves their watermark.
    fn day(&mut self, night: i64) {
        for second in 0..12 {
            self.put(night * 100 + second, moment(night, second), night);
        }
        let old: Vec<i64> = self.rows.keys().copied().step_by(9).collect();
        for (second, id) in (100..).zip(old) {
            self.put(id, moment(night, second), night * 1_000);
        }
    }

    fn between(&self, low: &str, high: &str) -> Vec<Row> {
        self.rows
            .iter()
            .filter(|(_, (at, _))| low < at.as_str() && at.as_str() <= high)
            .map(|(id, (at, v))| {
                let at = at.replace(' ', self.separator());
                vec![Some(id.to_string()), Some(at), Some(v.to_string())]
            })
            .collect()
    }

    /// Between day and time, as the files have it.
    fn separator(&self) -> &'static str {
        match self.server {
            Server::Postgres(_) => "T",
            Server::Sqlite(..) => " ",
        }
    }

    fn run(&self, more: &[&str]) -> Outcome {
        self.extraction
            .run(&[&["--incremental", "at"], more].concat())
    }

    fn last(&self) -> String {
        let last = self.windows.last();
        last.map_or_else(String::new, |(_, high, _)| high.clone())
    }

    fn newest(&self) -> String {
        let newest = self.rows.values().map(|(at, _)| at).max();
        newest.expect("a row").clone()
    }

    /// A night that is published.
    fn night(&mut self, more: &[&str]) {
        let (low, high) = (self.last(), self.newest());
        let document = self
            .run(&[&["--json"], more].concat())
            .expect_code(0)
            .json();
        let rows = self.between(&low, &high);
        assert_eq!(document["rows"], rows.len(), "{document}");
        assert_eq!(
            document["window"]["high"].as_str().map(bare),
            Some(high.as_str())
        );
        self.windows.push((low, high, rows));
    }

    /// The dataset's list of windows.
    fn list(&self) -> Value {
        self.extraction.manifest()
    }

    /// What another program finds in all files that `ixtract files` lists, and that the list is of
    /// exactly these windows, in order.
    #[track_caller]
    fn expect_union(&self) {
        let cli = &self.extraction.cli;
        let listed = cli.run(["files", "out"]).expect_code(0).stdout;
        let flat = tempfile::tempdir().expect("a folder");
        for (number, file) in listed.lines().enumerate() {
            let copy = flat.path().join(format!("{number:04}.parquet"));
            fs::copy(cli.home().join(file), copy).expect("a copy");
        }
        let mut found = readers::rows(Engine::DuckDb, flat.path(), &[]);
        for row in &mut found {
            for value in row.iter_mut().flatten() {
                *value = value.trim_end_matches(".000000").to_owned();
            }
        }
        let mut wanted: Vec<Row> = self.windows.iter().flat_map(|of| of.2.clone()).collect();
        found.sort();
        wanted.sort();
        assert_eq!(found, wanted);
        let verified = cli.run(["verify", "out", "--json"]).expect_code(0).json();
        assert_eq!(verified["rows"], wanted.len());
        assert_eq!(verified["windows"], self.windows.len());
        let list = self.list();
        let windows = list["windows"].as_array().expect("windows");
        let highs: Vec<&str> = windows
            .iter()
            .map(|entry| bare(entry["window"]["high"].as_str().expect("a bound")))
            .collect();
        let ours: Vec<&str> = self
            .windows
            .iter()
            .map(|(_, high, _)| high.as_str())
            .collect();
        assert_eq!(highs, ours);
    }
}

/// A bound without its type.
fn bare(bound: &str) -> &str {
    bound.split_once(':').expect("a typed bound").1
}

/// Fourteen nights, of which one is skipped, one killed after its window was published and before it
/// was listed, one quiet; the fifth is extracted again; the history is lost.
fn fourteen_nights(server: Server) {
    let mut nights = Nights::new(server);
    for night in 1..=14 {
        nights.day(night);
        match night {
            4 => {}
            6 => {
                let cli = std::mem::replace(&mut nights.extraction.cli, Cli::new());
                nights.extraction.cli = cli.env("IXTRACT_CRASH_AT", "released");
                nights.run(&[]).expect_code(KILLED);
                let cli = std::mem::replace(&mut nights.extraction.cli, Cli::new());
                nights.extraction.cli = cli.unset("IXTRACT_CRASH_AT");
                nights.expect_union();
            }
            9 => {
                nights.night(&[]);
                // Committed late, under a value that was published already: no later window has it.
                let (low, high, _) = nights.windows[4].clone();
                nights.put(7_777, high.clone(), 1);
                let again = ["--from", &low, "--until", &high];
                nights.run(&again).expect_code(0);
                nights.windows[4].2 = nights.between(&low, &high);
                assert!(
                    nights.windows[4]
                        .2
                        .iter()
                        .any(|row| row[0].as_deref() == Some("7777"))
                );
            }
            10 => {
                fs::remove_file(state_file(&nights.extraction.cli)).expect("a history");
                nights.night(&[]);
            }
            12 => {
                nights.night(&["--workers", "3", "--chunk-rows", "5"]);
                let quiet = nights.run(&["--json"]).expect_code(0).json();
                assert_eq!(quiet["status"], "nothing new");
            }
            _ => nights.night(&[]),
        }
    }
    assert_eq!(nights.windows.len(), 12);
    nights.expect_union();
}

#[test]
fn fourteen_nights_of_postgresql() {
    fourteen_nights(Server::Postgres(postgres().fresh_database()));
}

#[test]
fn fourteen_nights_of_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    fourteen_nights(Server::sqlite(folder.path()));
}

#[test]
fn late_commits_are_the_hole_that_a_lag_closes() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL);
         INSERT INTO t SELECT i, '2026-01-01 00:00:00Z'::timestamptz + i * interval '1 minute'
         FROM generate_series(1, 20) AS i",
    );
    let late = database.session();
    late.exec("BEGIN; INSERT INTO t VALUES (100, '2026-01-01 00:18:00Z')");
    let run = |output: &str, lag: &[&str]| {
        let extraction = Extraction::new(database.url(), "public.t");
        let words = [&["--incremental", "at", "--output", output], lag].concat();
        extraction
            .cli
            .run(extraction.words("run", &words))
            .expect_code(0);
        extraction
    };
    let without = run("without", &[]);
    let held = run("held", &["--lag", "5m"]);
    late.exec("COMMIT");
    database.exec("INSERT INTO t VALUES (30, '2026-01-01 00:40:00Z')");
    let again = |extraction: &Extraction, output: &str, lag: &[&str]| {
        let words = [&["--incremental", "at", "--output", output], lag].concat();
        let cli = &extraction.cli;
        cli.run(extraction.words("run", &words)).expect_code(0);
        cli.run(["verify", output, "--json"]).expect_code(0).json()["rows"].clone()
    };
    assert_eq!(again(&without, "without", &[]), 21, "the late row is lost");
    // 00:40 less five minutes: the newest row waits for the next window.
    assert_eq!(again(&held, "held", &["--lag", "5m"]), 21);
    database.exec("INSERT INTO t VALUES (31, '2026-01-01 01:00:00Z')");
    assert_eq!(
        again(&held, "held", &["--lag", "5m"]),
        22,
        "every row but the newest"
    );
}

#[test]
fn postgresql_cuts_on_every_kind_of_value() {
    let database = postgres().fresh_database();
    for (name, kind, values) in [
        ("small", "smallint", ["-5", "0", "7"]),
        (
            "big",
            "bigint",
            ["-9223372036854775808", "0", "9223372036854775807"],
        ),
        (
            "decimal",
            "numeric",
            ["-1.50", "0.1000", "12345678901234567890.5"],
        ),
        ("day", "date", ["1999-12-31", "2026-01-01", "2026-01-02"]),
        (
            "moment",
            "timestamp",
            ["1999-12-31 23:59:59.999999", "2026-01-01", "2026-01-02"],
        ),
        (
            "zoned",
            "timestamptz",
            [
                "1999-12-31 23:59:59+02",
                "2026-01-01 00:00Z",
                "2026-01-02 00:00Z",
            ],
        ),
        // In the order of bytes, whatever the collation.
        ("text", "text", ["A'\\b", "Z", "aé"]),
        ("name", "varchar(9)", ["", "B", "b"]),
    ] {
        database.exec(&format!("CREATE TABLE {name} (c {kind}, n int)"));
        let extraction = Extraction::new(database.url(), &format!("public.{name}"));
        for (index, value) in (1..).zip(values) {
            let value = value.replace('\'', "''");
            database.exec(&format!(
                "INSERT INTO {name} VALUES ('{value}', {index}), ('{value}', 9)"
            ));
            extraction.run(&["--incremental", "c"]).expect_code(0);
            let list = extraction.manifest();
            let windows = list["windows"].as_array().expect("windows");
            assert_eq!(windows.len(), index, "{name}: {list}");
            assert!(
                windows.iter().all(|entry| entry["rows"] == 2),
                "{name}: {list}"
            );
        }
    }
    database.exec("CREATE TABLE f (c double precision); INSERT INTO f VALUES (1)");
    let refuse = |table: &str, says: &str| {
        let extraction = Extraction::new(database.url(), &format!("public.{table}"));
        let outcome = extraction.run(&["--incremental", "c"]).expect_code(2);
        assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    };
    refuse("f", "cannot be cut on c");
    database.exec("INSERT INTO moment VALUES ('infinity', 1)");
    refuse("moment", "can end with infinity");
}
