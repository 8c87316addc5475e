//! What most tests do: extract one table into a directory of the program's home, and look at what
//! came out with other people's code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::ixtract::{Cli, Outcome, Running};
use crate::readers::{self, Engine, Row};

/// The dataset's name in the program's home, which is its working directory.
const OUTPUT: &str = "out";

/// A table, and the directory `out` that it is extracted to.
pub(crate) struct Extraction {
    pub(crate) cli: Cli,
    source: String,
    /// The words that say what is read.
    subject: Vec<String>,
}

impl Extraction {
    pub(crate) fn new(source: impl Into<String>, table: &str) -> Self {
        Self {
            cli: Cli::new(),
            source: source.into(),
            subject: vec![table.to_owned()],
        }
    }

    /// Of a query instead of a table.
    pub(crate) fn of_query(source: impl Into<String>, sql: &str, name: &str) -> Self {
        let words = ["--query", sql, "--name", name].map(str::to_owned);
        Self {
            subject: words.into(),
            ..Self::new(source, name)
        }
    }

    /// The same, by a program that was set up otherwise.
    pub(crate) fn by(mut self, cli: Cli) -> Self {
        self.cli = cli;
        self
    }

    /// The command line of `ixtract COMMAND TABLE --source …`.
    pub(crate) fn words(&self, command: &str, more: &[&str]) -> Vec<String> {
        let subject = self.subject.iter().map(String::as_str);
        let words = std::iter::once(command).chain(subject);
        words
            .chain(["--source", &self.source])
            .chain(more.iter().copied())
            .map(str::to_owned)
            .collect()
    }

    /// `ixtract run`, to its end.
    pub(crate) fn run(&self, more: &[&str]) -> Outcome {
        self.spawn(more).wait()
    }

    /// `ixtract run`, started.
    pub(crate) fn spawn(&self, more: &[&str]) -> Running {
        let more = [&["--output", OUTPUT], more].concat();
        self.cli.spawn(self.words("run", &more))
    }

    /// Where the dataset is, or would be.
    pub(crate) fn dataset(&self) -> PathBuf {
        self.cli.home().join(OUTPUT)
    }

    /// The dataset's manifest.
    pub(crate) fn manifest(&self) -> Value {
        manifest(&self.dataset())
    }

    /// The dataset's rows as DuckDB reads them, ordered by the first column, once `ixtract verify`
    /// has found the dataset whole.
    pub(crate) fn rows(&self) -> Vec<Row> {
        self.cli.run(["verify", OUTPUT]).expect_code(0);
        let mut rows = readers::rows(Engine::DuckDb, &self.dataset(), &[]);
        // As the server sorts text under the C locale; integers are compared as such.
        rows.sort_by_cached_key(sort_key);
        rows
    }

    /// How many rows `ixtract verify` finds in the dataset's files.
    pub(crate) fn count(&self) -> u64 {
        let verified = self.cli.run(["verify", OUTPUT, "--json"]).expect_code(0);
        verified.json()["rows"].as_u64().expect("a number of rows")
    }

    /// What lies beside the dataset in the program's home, its own traces of work (staging
    /// directories, locks, probes, kept versions) by name.
    pub(crate) fn beside(&self) -> BTreeSet<String> {
        names(self.cli.home())
            .into_iter()
            .filter(|name| name.starts_with(&format!(".{OUTPUT}.")))
            .collect()
    }

    /// The status of every run in the state store, the oldest first.
    pub(crate) fn statuses(&self) -> Vec<String> {
        statuses(&self.cli)
    }
}

/// A database whose rows another client reads as texts.
pub(crate) trait Queried {
    fn url(&self) -> String;
    fn select(&self, sql: &str) -> Vec<Row>;
}

/// Extracts a table by its key in many chunks, and compares; says how many chunks the plan had.
#[track_caller]
pub(crate) fn expect_every_row(database: &impl Queried, table: &str, columns: &str) -> usize {
    let extraction = Extraction::new(database.url(), table);
    let options = ["--workers", "3", "--chunk-rows", "100", "--chunking", "key"];
    extraction.run(&options).expect_code(0);
    // A file a chunk.
    let chunks = extraction.manifest()["files"]
        .as_array()
        .map_or(0, Vec::len);
    let mut expected = database.select(&format!("SELECT {columns} FROM {table}"));
    expected.sort_by_cached_key(sort_key);
    assert_eq!(extraction.rows(), expected, "{table}");
    chunks
}

/// Digits for making rows with, on servers that cannot count.
pub(crate) const DIGITS: &str = "CREATE TABLE digits (d INT PRIMARY KEY);
    INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);";

/// A row's place among others: by its first value, as a number where it is one.
pub(crate) fn sort_key(row: &Row) -> (i128, Row) {
    let number = row.first().and_then(|first| first.as_deref()?.parse().ok());
    (number.unwrap_or_default(), row.clone())
}

/// A dataset's manifest.
pub(crate) fn manifest(dataset: &Path) -> Value {
    let path = dataset.join("_manifest.json");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"))
}

/// The names in a directory; none where it is missing.
pub(crate) fn names(directory: &Path) -> BTreeSet<String> {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return BTreeSet::new();
    };
    entries
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.into_string().expect("a plain name"))
        .collect()
}

/// The status of every run in a home's state store, the oldest first.
pub(crate) fn statuses(cli: &Cli) -> Vec<String> {
    let store = rusqlite::Connection::open(state_file(cli)).expect("a state store");
    let mut query = store
        .prepare("SELECT status FROM runs ORDER BY started_at, rowid")
        .expect("a table of runs");
    query
        .query_map([], |row| row.get(0))
        .expect("rows")
        .collect::<Result<_, _>>()
        .expect("texts")
}

/// Where the program keeps its state when nobody says otherwise.
pub(crate) fn state_file(cli: &Cli) -> PathBuf {
    cli.home().join(".local/state/ixtract/state.db")
}

/// Waits until a condition holds; panics when it does not within a minute.
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..6000 {
        if holds() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("waited in vain until {what}");
}
