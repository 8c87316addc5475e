//! Where a dataset is: a directory here, or a prefix on an object store.

use std::fmt;
use std::path::{Path, PathBuf};

use super::folder::{Directory, Folder};
use super::store::Store;

/// Where a dataset is, or is to be.
#[derive(Clone, Debug)]
pub enum Location {
    /// A directory.
    Local(PathBuf),
    /// A prefix on an object store.
    Store(Store),
}

impl Location {
    /// The dataset's own name, the last of its path.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Local(path) => {
                let name = path.file_name().unwrap_or_default();
                name.to_string_lossy().into_owned()
            }
            Self::Store(store) => store.name(),
        }
    }

    /// The path that a run at this place records as its own, whether or not it is there yet: symbolic
    /// links are followed. A store's is its URL.
    pub fn real(&self) -> String {
        let Self::Local(path) = self else {
            return self.to_string();
        };
        let path = path.canonicalize().unwrap_or_else(|_| {
            let absolute = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            let above = absolute
                .parent()
                .and_then(|above| above.canonicalize().ok());
            match (above, absolute.file_name()) {
                (Some(above), Some(name)) => above.join(name),
                _ => absolute,
            }
        });
        path.display().to_string()
    }

    /// The dataset as something to read.
    pub(super) fn folder(&self) -> Box<dyn Folder> {
        match self {
            Self::Local(path) => Box::new(Directory(path.clone())),
            Self::Store(store) => Box::new(store.clone()),
        }
    }

    /// What is inside the dataset, as a dataset of its own.
    pub(super) fn inside(&self, path: &str) -> Self {
        match self {
            Self::Local(directory) => Self::Local(directory.join(path)),
            Self::Store(store) => Self::Store(store.inside(path)),
        }
    }

    /// The path that opens a file of the dataset: bytes, because a directory's name need be no text.
    pub(super) fn file(&self, path: &str) -> PathBuf {
        match self {
            Self::Local(directory) => directory.join(path),
            Self::Store(store) => PathBuf::from(store.shown(path)),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Store(store) => store.fmt(f),
        }
    }
}

impl From<&Path> for Location {
    fn from(path: &Path) -> Self {
        Self::Local(path.to_owned())
    }
}

impl From<&PathBuf> for Location {
    fn from(path: &PathBuf) -> Self {
        Self::Local(path.clone())
    }
}

impl From<&Location> for Location {
    fn from(location: &Location) -> Self {
        location.clone()
    }
}
