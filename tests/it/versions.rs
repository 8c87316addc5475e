//! A small SQLite table whose rows all say which version of it they are of, so that a dataset shows
//! whether it is of one version.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::extraction::{Extraction, names};
use crate::ixtract::{Cli, Outcome};

/// Set to the name of a publishing step, it makes a debug build abort there.
const CRASH_AT: &str = "IXTRACT_CRASH_AT";
const ABORTED: i32 = 128 + 6;

const ROWS: usize = 300;

/// The table and where it is extracted to.
pub(crate) struct Versions {
    // Closed before its directory goes.
    database: Connection,
    _home: tempfile::TempDir,
    pub(crate) extraction: Extraction,
    layout: &'static str,
}

impl Versions {
    pub(crate) fn new(layout: &'static str) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("source.db");
        let database = Connection::open(&file).expect("a database");
        database
            .execute_batch(&format!(
                "CREATE TABLE versions (id INTEGER PRIMARY KEY, version INTEGER NOT NULL);
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
                 INSERT INTO versions SELECT i, 0 FROM n;"
            ))
            .expect("a table");
        let extraction = Extraction::new(format!("sqlite:{}", file.display()), "versions");
        Self {
            database,
            _home: home,
            extraction,
            layout,
        }
    }

    /// Extracts a version.
    pub(crate) fn publish(&self, version: i64) {
        self.run(version, &[]).expect_code(0);
    }

    /// Makes the table be of a version, and extracts it in several files.
    pub(crate) fn run(&self, version: i64, more: &[&str]) -> Outcome {
        self.database
            .execute("UPDATE versions SET version = ?1", [version])
            .expect("an update");
        let options = [
            "--chunk-rows",
            "100",
            "--workers",
            "2",
            "--layout",
            self.layout,
        ];
        self.extraction.run(&[&options, more].concat())
    }

    /// Dies at a step of publishing a version.
    pub(crate) fn publish_and_crash(&mut self, version: i64, step: &str) {
        self.change_cli(|cli| cli.env(CRASH_AT, step));
        let outcome = self.run(version, &[]);
        self.change_cli(|cli| cli.unset(CRASH_AT));
        outcome.expect_code(ABORTED);
    }

    fn change_cli(&mut self, change: impl FnOnce(Cli) -> Cli) {
        let cli = std::mem::replace(&mut self.extraction.cli, Cli::new());
        self.extraction.cli = change(cli);
    }

    /// The version that is published; none where nothing is. A mix, or a part, fails the test.
    pub(crate) fn published(&self) -> Option<i64> {
        if !self.extraction.dataset().join("_manifest.json").exists() {
            return None;
        }
        let rows = self.extraction.rows();
        assert_eq!(rows.len(), ROWS);
        let version = rows[0][1].clone();
        assert!(
            rows.iter().all(|row| row[1] == version),
            "versions are mixed"
        );
        version.and_then(|version| version.parse().ok())
    }

    /// Fails the test unless nothing is left of a run that died.
    pub(crate) fn assert_swept(&self) {
        assert_eq!(self.extraction.beside(), [].into(), "beside the dataset");
        let directory = self.extraction.dataset();
        let hidden = names(&directory);
        assert!(
            !hidden.iter().any(|name| name.starts_with('.')),
            "{hidden:?}"
        );
        let runs = names(&directory.join("_runs"));
        assert_eq!(runs.len(), usize::from(self.layout == "runs"), "{runs:?}");
    }
}

/// The Parquet files of a dataset, wherever in it they are, by name.
pub(crate) fn parts(dataset: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for name in names(dataset) {
        let path = dataset.join(&name);
        if path.is_dir() {
            found.extend(parts(&path));
        } else if name.ends_with(".parquet") {
            found.push(path);
        }
    }
    found
}
