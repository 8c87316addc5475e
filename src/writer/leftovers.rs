//! What unfinished runs left: finished files that another run may take over.

use std::io;

use super::folder::Folder;
use super::verify::hash;
use super::{PartReceipt, names};
use crate::model::{FinishedChunk, RunId};

/// What became of the chunks that unfinished runs had finished.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Leftovers {
    /// Those that are still whole, in plan order.
    pub intact: Vec<FinishedChunk>,
    /// Why others are not, one line each.
    pub lost: Vec<String>,
}

/// A file to take over, and the run in whose leftovers it lies.
#[derive(Clone, Debug)]
pub(super) struct Move {
    /// The run.
    pub(super) run: RunId,
    /// The file.
    pub(super) file: PartReceipt,
}

/// The leftovers of runs in one place.
pub(super) trait Left {
    /// Where a file lies whole, or why it does not.
    fn find(&self, file: &PartReceipt) -> Result<Move, String>;
}

/// Looks which chunks are whole: every file there, exactly as it was when it was finished.
pub(super) fn look(left: &dyn Left, chunks: Vec<FinishedChunk>) -> (Leftovers, Vec<Move>) {
    let mut found = Leftovers::default();
    let mut moves = Vec::new();
    for chunk in chunks {
        let number = chunk.record.number;
        let find = |file: &PartReceipt| {
            // The history may be anybody's: its names open nothing but parts.
            if names::is_part(&file.name) {
                left.find(file)
            } else {
                Err(format!("'{}' is no name of a part", file.name))
            }
        };
        let files: Result<Vec<Move>, String> = chunk.files.iter().map(find).collect();
        match files {
            Ok(files) => {
                moves.extend(files);
                found.intact.push(chunk);
            }
            Err(why) => found
                .lost
                .push(format!("chunk_{number:03} is read again: {why}")),
        }
    }
    (found, moves)
}

/// The folders that runs left, the newest first; a chunk's file may lie in any of them, because a run may
/// have died while it took files over.
pub(super) struct Folders(pub(super) Vec<(RunId, Box<dyn Folder>)>);

impl Left for Folders {
    fn find(&self, file: &PartReceipt) -> Result<Move, String> {
        let name = &file.name;
        let mut why = format!("{name} is gone");
        for (run, folder) in &self.0 {
            match check(folder.as_ref(), file) {
                Ok(true) => {
                    return Ok(Move {
                        run: run.clone(),
                        file: file.clone(),
                    });
                }
                Ok(false) => why = format!("{name} is not what was written"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => why = format!("{name}: {error}"),
            }
        }
        Err(why)
    }
}

/// Whether a file is as long as it was when it was finished, and has its SHA-256.
fn check(folder: &dyn Folder, file: &PartReceipt) -> io::Result<bool> {
    let blob = folder.open(&file.name)?;
    Ok(blob.length() == file.bytes && hash(blob.as_ref())? == file.sha256)
}
