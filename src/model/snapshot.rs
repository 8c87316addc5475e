//! Consistency: what was asked for, and what a snapshot achieved.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the user asks for with `--consistency`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// One point in time for all workers, or a refusal.
    Snapshot,
    /// One point in time; with fewer readers where it cannot be had for all.
    #[default]
    Auto,
    /// Parallel without one point in time; recorded as such.
    PerChunk,
}

impl Consistency {
    /// The word used on the command line and in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Snapshot => "snapshot",
            Self::Auto => "auto",
            Self::PerChunk => "per-chunk",
        }
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a snapshot really is; recorded in the run, the manifest and the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ConsistencyLevel {
    /// All readers see one point in time.
    SharedSnapshot,
    /// One reader in one transaction: one point in time, no parallelism.
    SingleTransaction,
    /// Several points in time, each of whole chunks: an unfinished run's and that of the one that
    /// went on with it.
    Mixed,
    /// Each chunk at its own point in time.
    PerChunk,
}

impl fmt::Display for ConsistencyLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SharedSnapshot => "one snapshot shared by all readers",
            Self::SingleTransaction => "one transaction, one reader",
            Self::Mixed => "several points in time, each of whole chunks",
            Self::PerChunk => "each chunk at its own point in time",
        })
    }
}

/// The facts of an open snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFacts {
    /// The level achieved; never weaker than what is recorded.
    pub level: ConsistencyLevel,
    /// How many sessions can read in it.
    pub readers: u32,
    /// The source's position in its log (a WAL LSN), where there is one.
    pub position: Option<String>,
    /// The server's time when the snapshot was taken, RFC 3339, UTC.
    pub taken_at: String,
    /// How the relation is held still: `ACCESS SHARE lock`, `relfilenode check`, `file lock`, ….
    pub held_by: String,
    /// Things a person should know, such as "writers wait while we read".
    pub notes: Vec<String>,
}
