//! Fourteen nights, and what another program then finds in the windows.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use tempfile::TempDir;

use super::{KILLED, change};
use crate::extraction::{Extraction, manifest, state_file};
use crate::ixtract::{Outcome, Running, Signal};
use crate::published::sqlite_url;
use crate::readers::{self, Engine, Row};
use crate::servers::mysql::{MysqlDatabase, mariadb};
use crate::servers::sqlserver::SqlDatabase;
use crate::servers::{Database, postgres};
use crate::stores::Bucket;

/// A database that the nights pass on.
enum Server {
    Postgres(Database),
    Maria(MysqlDatabase),
    Tds(SqlDatabase),
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
            Self::Maria(database) => database.exec(sql),
            Self::Tds(database) => database.exec(sql),
            Self::Sqlite(connection, _) => connection.execute_batch(sql).expect("statements"),
        }
    }

    fn url(&self) -> String {
        match self {
            Self::Postgres(database) => database.url(),
            Self::Maria(database) => database.url(),
            Self::Tds(database) => database.url(),
            Self::Sqlite(_, url) => url.clone(),
        }
    }

    /// The type of the watermark.
    fn moment(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "timestamp",
            Self::Maria(_) => "datetime",
            Self::Tds(_) => "datetime2(0)",
            Self::Sqlite(..) => "text",
        }
    }

    fn table(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "public.t",
            Self::Tds(_) => "dbo.t",
            Self::Maria(_) | Self::Sqlite(..) => "t",
        }
    }
}

/// A table, what it holds by our own account, and what its windows must therefore hold.
struct Nights {
    server: Server,
    extraction: Extraction,
    /// Where the windows go, unless that is a directory.
    bucket: Option<Bucket>,
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
            "CREATE TABLE t (id integer PRIMARY KEY, at {} NOT NULL, v integer NOT NULL)",
            server.moment()
        ));
        server.exec("CREATE INDEX t_at ON t (at)");
        Self {
            extraction: Extraction::new(server.url(), server.table()),
            bucket: None,
            server,
            rows: BTreeMap::new(),
            windows: Vec::new(),
        }
    }

    fn put(&mut self, id: i64, at: String, v: i64) {
        self.server.exec(&if self.rows.contains_key(&id) {
            format!("UPDATE t SET at = '{at}', v = {v} WHERE id = {id}")
        } else {
            format!("INSERT INTO t VALUES ({id}, '{at}', {v})")
        });
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
            Server::Sqlite(..) => " ",
            _ => "T",
        }
    }

    /// The same, into an object store.
    fn into(mut self, bucket: Bucket) -> Self {
        self.extraction = self.extraction.by(bucket.cli());
        self.bucket = Some(bucket);
        self
    }

    fn output(&self) -> String {
        let url = self.bucket.as_ref().map(Bucket::url);
        url.unwrap_or_else(|| "out".to_owned())
    }

    fn spawn(&self, more: &[&str]) -> Running {
        let output = self.output();
        let words = [&["--incremental", "at", "--output", &output], more].concat();
        self.extraction
            .cli
            .spawn(self.extraction.words("run", &words))
    }

    fn run(&self, more: &[&str]) -> Outcome {
        self.spawn(more).wait()
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

    /// A copy of everything that is published, and the dataset's place in it.
    fn copy(&self) -> (Option<TempDir>, PathBuf) {
        match &self.bucket {
            Some(bucket) => {
                let copy = bucket.fetch();
                let path = copy.path().to_owned();
                (Some(copy), path)
            }
            None => (None, self.extraction.dataset()),
        }
    }

    /// The bounds of the windows that the dataset lists.
    fn listed(&self) -> Vec<String> {
        let (_copy, place) = self.copy();
        if !place.join("_manifest.json").exists() {
            return Vec::new();
        }
        let list = manifest(&place);
        let windows = list["windows"].as_array().expect("windows").iter();
        windows
            .map(|entry| bare(entry["window"]["high"].as_str().expect("a bound")).to_owned())
            .collect()
    }

    /// A night that ends with kill -9, whenever that hits: its window is then listed or not, and nothing
    /// between.
    fn killed(&mut self) {
        let before = self.listed();
        let (low, high) = (self.last(), self.newest());
        let mut running = self.spawn(&["--json"]);
        running.signal(Signal::KILL);
        let _ = running.wait();
        let after = self.listed();
        if after != before {
            let rows = self.between(&low, &high);
            self.windows.push((low, high, rows));
        }
    }

    /// What another program finds in all files that `ixtract files` lists, and that the list is of
    /// exactly these windows, in order.
    #[track_caller]
    fn expect_union(&self) {
        let (cli, output) = (&self.extraction.cli, self.output());
        let listed = cli.run(["files", &output]).expect_code(0).stdout;
        let (_copy, place) = self.copy();
        let flat = tempfile::tempdir().expect("a folder");
        for (number, file) in listed.lines().enumerate() {
            let inside = file
                .strip_prefix(&format!("{output}/"))
                .expect("a file inside");
            let copy = flat.path().join(format!("{number:04}.parquet"));
            fs::copy(place.join(inside), copy).expect("a copy");
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
        let verified = cli.run(["verify", &output, "--json"]).expect_code(0).json();
        assert_eq!(verified["rows"], wanted.len());
        assert_eq!(verified["windows"], self.windows.len());
        let ours: Vec<&str> = self
            .windows
            .iter()
            .map(|(_, high, _)| high.as_str())
            .collect();
        assert_eq!(self.listed(), ours);
    }
}

/// A bound without its type.
fn bare(bound: &str) -> &str {
    bound.split_once(':').expect("a typed bound").1
}

/// Fourteen nights, of which one is skipped, one killed after its window was published and before it
/// was listed, one killed at any moment, one quiet; the fifth window is extracted again for a row that was
/// committed late; the history is lost.
fn fourteen_nights(mut nights: Nights) {
    for night in 1..=14 {
        nights.day(night);
        match night {
            4 => {}
            6 => {
                change(&mut nights.extraction.cli, |cli| {
                    cli.env("IXTRACT_CRASH_AT", "released")
                });
                nights.run(&[]).expect_code(KILLED);
                change(&mut nights.extraction.cli, |cli| {
                    cli.unset("IXTRACT_CRASH_AT")
                });
                nights.expect_union();
            }
            8 => nights.killed(),
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
    // The killed ones' rows are in the windows of the nights after them.
    assert!((11..=12).contains(&nights.windows.len()));
    nights.expect_union();
}

#[test]
fn fourteen_nights_of_postgresql() {
    fourteen_nights(Nights::new(Server::Postgres(postgres().fresh_database())));
}

#[test]
fn fourteen_nights_of_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    fourteen_nights(Nights::new(Server::sqlite(folder.path())));
}

#[test]
fn fourteen_nights_of_mariadb() {
    fourteen_nights(Nights::new(Server::Maria(mariadb().fresh_database())));
}

#[test]
fn fourteen_nights_of_sql_server() {
    fourteen_nights(Nights::new(Server::Tds(SqlDatabase::fresh())));
}

#[test]
fn fourteen_nights_into_a_store() {
    let nights = Nights::new(Server::Postgres(postgres().fresh_database()));
    fourteen_nights(nights.into(Bucket::new()));
}
