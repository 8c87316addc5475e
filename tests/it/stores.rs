//! Datasets on object stores: published as a whole or not at all, whoever races, dies or breaks the
//! line, and nothing left that nobody names.

mod bucket;
mod crash;
mod failures;
mod flipped;
mod publish;
mod race;
mod resume;
mod sink;

pub(crate) use bucket::{Bucket, user_without};
pub(crate) use failures::Faulty;

use rusqlite::Connection;

use crate::extraction::Extraction;
use crate::ixtract::{Cli, Outcome};
use crate::readers::{self, Engine, Row};

/// Rows of a small table.
const ROWS: usize = 300;

/// Rows of a large one; with their 4 000 random bytes each they fill several pieces of an upload.
const LARGE: usize = 6_000;

/// A table whose rows all say which version they are of, and the prefix that it is published to.
pub(crate) struct Versions {
    // Closed before its directory goes.
    database: Connection,
    _home: tempfile::TempDir,
    pub(crate) extraction: Extraction,
    pub(crate) bucket: Bucket,
    rows: usize,
}

impl Versions {
    /// Of a few rows in several files.
    pub(crate) fn small(bucket: Bucket) -> Self {
        Self::new(bucket, ROWS, 1)
    }

    /// Of files that are uploaded in pieces.
    pub(crate) fn large(bucket: Bucket) -> Self {
        Self::new(bucket, LARGE, 4_000)
    }

    fn new(bucket: Bucket, rows: usize, bytes: usize) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("source.db");
        let database = Connection::open(&file).expect("a database");
        database
            .execute_batch(&format!(
                "CREATE TABLE versions
                     (id INTEGER PRIMARY KEY, version INTEGER NOT NULL, noise BLOB NOT NULL);
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
                 INSERT INTO versions SELECT i, 0, randomblob({bytes}) FROM n;"
            ))
            .expect("a table");
        let source = format!("sqlite:{}", file.display());
        let extraction = Extraction::new(source, "versions").by(bucket.cli());
        Self {
            database,
            _home: home,
            extraction,
            bucket,
            rows,
        }
    }

    /// Makes the table be of a version, and extracts it in several files.
    pub(crate) fn run(&self, version: i64, more: &[&str]) -> Outcome {
        self.database
            .execute("UPDATE versions SET version = ?1", [version])
            .expect("an update");
        let chunk = (self.rows / 2).to_string();
        let url = self.bucket.url();
        let options = ["--output", &url, "--chunk-rows", &chunk, "--workers", "2"];
        let words = self.extraction.words("run", &[&options, more].concat());
        self.extraction.cli.run(words)
    }

    /// Extracts a version.
    #[track_caller]
    pub(crate) fn publish(&self, version: i64) {
        self.run(version, &[]).expect_code(0);
    }

    /// Runs the program otherwise from now on.
    pub(crate) fn change_cli(&mut self, change: impl FnOnce(Cli) -> Cli) {
        let cli = std::mem::replace(&mut self.extraction.cli, Cli::new());
        self.extraction.cli = change(cli);
    }

    /// The rows that are published, as another program reads them from a copy; none where nothing
    /// is.
    pub(crate) fn rows(&self) -> Option<Vec<Row>> {
        let copy = self.bucket.fetch();
        let dataset = copy.path();
        dataset
            .join("_manifest.json")
            .exists()
            .then(|| readers::rows(Engine::Pyarrow, dataset, &["id"]))
    }

    /// The version that is published, once `ixtract verify` finds it whole. A mix, or a part, fails
    /// the test.
    #[track_caller]
    pub(crate) fn published(&self) -> Option<i64> {
        let rows = self.rows()?;
        let url = self.bucket.url();
        self.extraction.cli.run(["verify", &url]).expect_code(0);
        assert_eq!(rows.len(), self.rows);
        let version = rows[0][1].clone();
        assert!(
            rows.iter().all(|row| row[1] == version),
            "versions are mixed"
        );
        version.and_then(|version| version.parse().ok())
    }

    /// Fails the test unless there is one run's files, the manifest, and no upload.
    #[track_caller]
    pub(crate) fn assert_swept(&self) {
        assert_eq!(self.bucket.runs().len(), 1, "{:?}", self.bucket.keys());
        assert_eq!(self.bucket.uploads(), Vec::<String>::new());
    }
}
