//! How connections stand at a point in time, and the file as it was then.

use super::failure::one_line;
use super::file::{Access, DatabaseFile, Stamp};
use crate::model::{ConsistencyLevel, SnapshotFacts};
use crate::source::{Result, SourceError};

/// How connections stand at a point in time.
#[derive(Clone)]
pub(super) struct Standing {
    pub(super) level: ConsistencyLevel,
    pub(super) held_by: &'static str,
    pub(super) notes: Vec<String>,
    pub(super) taken_at: String,
    /// The file then, where only comparing tells whether it changed.
    pub(super) stamp: Option<Stamp>,
}

impl Standing {
    /// The facts of so many readers.
    pub(super) fn facts(&self, readers: u32) -> SnapshotFacts {
        SnapshotFacts {
            level: self.level,
            readers,
            position: None,
            taken_at: self.taken_at.clone(),
            held_by: self.held_by.to_owned(),
            notes: self.notes.clone(),
        }
    }
}

impl Access {
    /// The file as it is, where only comparing tells whether it changed.
    pub(super) fn stamp(self, file: &DatabaseFile) -> Result<Option<Stamp>> {
        match self {
            Self::Shared => Ok(None),
            Self::Immutable => stamp(file).map(Some),
        }
    }
}

/// The file as it is now.
pub(super) fn stamp(file: &DatabaseFile) -> Result<Stamp> {
    file.stamp().map_err(|error| SourceError::Unreachable {
        target: file.name(),
        why: one_line(&error),
    })
}
