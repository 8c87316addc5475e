//! Trying an output: everything that a run does with it before its first row, and a small document
//! written and removed, with nothing left behind.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::location::Location;
use super::publish::Dataset;
use super::{Result, WriteError};
use crate::model::{Layout, RunId};

/// What trying an output showed.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Where the dataset is, or would be; a directory's real path.
    pub location: Location,
    /// Bytes that this user may still write there; `None` on a store, which has no end.
    pub free_bytes: Option<u64>,
    /// When the document was written, by the place's own clock, where that is not this machine's.
    pub written_at: Option<Timestamp>,
    /// What works, but not as it should: one line each.
    pub warnings: Vec<String>,
}

/// Tries whether `run` could publish at `target`. Unlike a run it leaves in place what dead runs
/// left, which might still be resumed; directories that it had to make are removed again.
///
/// # Errors
/// Those of [`Dataset::prepare`], and whatever keeps the document from being written and removed.
pub fn attempt(target: impl Into<Location>, run: &RunId, layout: Layout) -> Result<Trial> {
    let target = target.into();
    let _scaffold = match &target {
        Location::Local(path) => Scaffold::above(path)?,
        Location::Store(_) => Scaffold(Vec::new()),
    };
    let mut dataset = Dataset::take(target, run, (layout, 0), None)?;
    let location = dataset.location();
    let tried = dataset
        .free_bytes()
        .and_then(|free| Ok((free, dataset.touch()?)));
    let abandoned = dataset.abandon();
    let (free_bytes, (written_at, mut warnings)) = tried?;
    match abandoned {
        Ok(()) => {}
        // A store that lets nobody remove anything has said so already.
        Err(_) if !warnings.is_empty() => {}
        Err(error) => warnings.push(error.line()),
    }
    Ok(Trial {
        location,
        free_bytes,
        written_at,
        warnings,
    })
}

/// Directories that were missing before, outermost last; removed again where they are empty.
struct Scaffold(Vec<PathBuf>);

impl Scaffold {
    /// Those above a dataset.
    fn above(target: &Path) -> Result<Self> {
        let absolute = std::path::absolute(target).map_err(WriteError::io("use", target))?;
        let above = absolute.ancestors().skip(1);
        let missing = above.take_while(|directory| !directory.exists());
        Ok(Self(missing.map(Path::to_owned).collect()))
    }
}

impl Drop for Scaffold {
    fn drop(&mut self) {
        for directory in &self.0 {
            // One that somebody else has moved into meanwhile stays.
            let _ = fs::remove_dir(directory);
        }
    }
}
