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
pub(super) type Move = (RunId, String);

/// Looks which chunks are whole: every file there, as long as it was when it was finished and with its
/// SHA-256. `folders` are the leftovers of runs, the newest first; a chunk's file may lie in any of them,
/// because a run may have died while it took files over.
pub(super) fn look(
    folders: &[(RunId, Box<dyn Folder>)],
    chunks: Vec<FinishedChunk>,
) -> (Leftovers, Vec<Move>) {
    let mut found = Leftovers::default();
    let mut moves = Vec::new();
    for chunk in chunks {
        let number = chunk.record.number;
        let files: Result<Vec<Move>, String> =
            chunk.files.iter().map(|file| find(folders, file)).collect();
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

/// Where a file lies whole, or why it does not.
fn find(folders: &[(RunId, Box<dyn Folder>)], file: &PartReceipt) -> Result<Move, String> {
    let name = &file.name;
    // The history may be anybody's: its names open nothing but parts.
    if !names::is_part(name) {
        return Err(format!("'{name}' is no name of a part"));
    }
    let mut why = format!("{name} is gone");
    for (run, folder) in folders {
        match check(folder.as_ref(), file) {
            Ok(true) => return Ok((run.clone(), name.clone())),
            Ok(false) => why = format!("{name} is not what was written"),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => why = format!("{name}: {error}"),
        }
    }
    Err(why)
}

fn check(folder: &dyn Folder, file: &PartReceipt) -> io::Result<bool> {
    let blob = folder.open(&file.name)?;
    Ok(blob.length() == file.bytes && hash(blob.as_ref())? == file.sha256)
}
