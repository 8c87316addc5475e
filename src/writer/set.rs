//! The manifest of a set: which tables were extracted together, at which point in time, and what became
//! of each. Written last, so that whoever waits for it finds every dataset that it names.
//!
//! It lies beside the datasets as `_sets/<set>.json`. Readers that look for data pass over names with
//! `_` in front, and over that extension.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Location, Result, WriteError, stable};
use crate::model::{RunId, SnapshotFacts, SourceIdentity};

/// The version of the document that this program writes.
pub const SET_VERSION: u32 = 1;

/// Where manifests of sets are kept, beside the datasets.
const SETS: &str = "_sets";

/// The manifest of a set. Fields are written in this order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetManifest {
    /// [`SET_VERSION`].
    pub set_version: u32,
    /// The version of ixtract that wrote it.
    pub ixtract: String,
    /// The set's id.
    pub set: RunId,
    /// When it was begun, UTC.
    pub started_at: Timestamp,
    /// When this was written, UTC.
    pub created_at: Timestamp,
    /// The database. No secrets.
    pub source: SourceIdentity,
    /// Whether every table that was asked for is published as of [`SetManifest::snapshot`].
    pub complete: bool,
    /// The point in time that tables were read at together; none where each has one of its own.
    pub snapshot: Option<SnapshotFacts>,
    /// Rows of all tables.
    pub rows: u64,
    /// The tables, in the order in which they were named.
    pub tables: Vec<SetEntry>,
}

/// What became of one table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetEntry {
    /// The relation, `schema.name`.
    pub table: String,
    /// `success`, `nothing new` or `failed`.
    pub status: String,
    /// The run, where there was one.
    pub run: Option<RunId>,
    /// Where the dataset is.
    pub dataset: Option<String>,
    /// Rows that were published.
    pub rows: Option<u64>,
    /// Bytes of the files.
    pub bytes: Option<u64>,
    /// Fingerprint of the plan.
    pub fingerprint: Option<String>,
    /// Whether it was read at the set's point in time.
    pub in_snapshot: bool,
    /// When what it shows was so, by the server's clock.
    pub taken_at: Option<String>,
    /// What went wrong, one line.
    pub error: Option<String>,
}

/// Writes the manifest of a set beside its datasets, and says where it is.
///
/// # Errors
/// What the place refuses.
pub fn write(beside: &Location, manifest: &SetManifest) -> Result<String> {
    let path = format!("{SETS}/{}.json", manifest.set);
    let shown = beside.file(&path).display().to_string();
    let text = serde_json::to_vec_pretty(manifest).map_err(std::io::Error::from);
    let mut bytes = text.map_err(WriteError::io("write", &shown))?;
    bytes.push(b'\n');
    match beside {
        Location::Local(_) => {
            let file = beside.file(&path);
            if let Some(folder) = file.parent() {
                stable::create_directories(folder)?;
            }
            stable::write(&file, &bytes)?;
        }
        Location::Store(store) => store.put(&path, Bytes::from(bytes))?,
    }
    Ok(shown)
}
