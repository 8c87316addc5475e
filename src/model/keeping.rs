//! A history as something to keep: what was found in it, copied, removed, moved.

use std::collections::BTreeMap;

use serde::Serialize;

use super::run::RunId;

/// Rows of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// Histories of tables.
    pub scopes: u64,
    /// Runs by how they ended.
    pub runs: BTreeMap<String, u64>,
    /// The newest run's start, RFC 3339; none where there is no run.
    pub newest: Option<String>,
}

/// What was found out about a history that is sound.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Its version.
    pub version: usize,
    /// The version that this program writes; an older one is migrated when it is next used.
    pub current: usize,
    /// Bytes of the file.
    pub bytes: u64,
    /// Of these, bytes that no row takes; pruning gives them back.
    pub free_bytes: u64,
    /// Bytes of the log beside it, which are not all in the file yet.
    pub log_bytes: u64,
    /// What it holds.
    pub contents: Contents,
}

/// A copy that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// What the copy holds, checked after it was made.
    pub checked: Checked,
    /// Whether an older copy was replaced.
    pub replaced: bool,
}

/// Runs that went, or would go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// The runs, oldest first.
    pub runs: Vec<RunId>,
    /// Runs that were meant to go, and stay because the next plan looks at them.
    pub needed: u64,
}

/// What was written to a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// Histories of tables.
    pub scopes: u64,
    /// Runs.
    pub runs: u64,
    /// Runs that are under way, which are left out: they belong to their processes.
    pub under_way: u64,
}

/// What was taken in from a document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// Runs that are new here.
    pub runs: u64,
    /// Runs that were here, but of which less was known: under way, or rebuilt from a manifest.
    pub completed: u64,
    /// Runs that were here already and stay as they are.
    pub known: u64,
}
