//! Whether a dataset on disk is still what its manifest says: every byte is read again, and no
//! database is needed.

use std::collections::BTreeSet;
use std::io;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::folder::{Blob, Folder};
use super::format::{self, FileFormat};
use super::location::Location;
use super::manifest::{FileEntry, Manifest};
use super::publish::WriteBudget;
use super::windows::WindowList;
use super::{Result, WriteError, names};
use crate::model::{Layout, ProofLevel, RunId, arrow_schema, hex};

/// What was verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// The run that published the dataset.
    pub run: RunId,
    /// Files read.
    pub files: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes read.
    pub bytes: u64,
    /// Windows, of an incremental dataset; its run is that of the newest.
    pub windows: Option<u64>,
    /// How completeness was proved when it was published.
    pub proof: ProofLevel,
}

/// Verifies a dataset: the manifest's own checksum and totals, `_SUCCESS`, and of each file its
/// size, SHA-256, rows and schema; no file is missing and none is there that is not listed.
///
/// # Errors
/// [`WriteError::Differs`] with every difference; [`WriteError::Manifest`] when there is no
/// manifest to verify against; [`WriteError::Io`] when the directory cannot be listed.
pub fn verify(dataset: impl Into<Location>) -> Result<Verified> {
    let dataset = dataset.into();
    let folder = dataset.folder();
    let folder = folder.as_ref();
    if let Some(list) = WindowList::find(folder)? {
        return verify_windows(&dataset, &list);
    }
    let manifest = Manifest::of(folder)?;
    let mut differences = Vec::new();
    if manifest.checksum != manifest.expected_checksum() {
        differences.push(format!("{} was edited", names::MANIFEST));
    }
    if folder.read(names::SUCCESS)?.is_none() {
        differences.push(format!("{} is missing", names::SUCCESS));
    }
    totals(&manifest, &mut differences);
    let schema = arrow_schema(&manifest.schema);
    let format = format::of(&manifest.format, WriteBudget::UNBOUNDED);
    for file in &manifest.files {
        if let Err(why) = check_file(folder, file, format.as_ref(), &schema) {
            differences.push(format!("{}: {why}", file.path));
        }
    }
    for stranger in strangers(folder, &manifest)? {
        differences.push(format!("{stranger} is not in the manifest"));
    }
    if differences.is_empty() {
        Ok(Verified {
            files: manifest.files.len() as u64,
            rows: manifest.rows,
            bytes: manifest.bytes,
            proof: manifest.proof.level,
            run: manifest.run,
            windows: None,
        })
    } else {
        Err(WriteError::Differs {
            path: folder.shown(),
            differences,
        })
    }
}

/// The list's own checksum, and every window as a dataset, of which the list says what it holds.
fn verify_windows(place: &Location, list: &WindowList) -> Result<Verified> {
    let mut differences = Vec::new();
    if list.checksum != list.expected_checksum() {
        differences.push(format!("{} was edited", names::MANIFEST));
    }
    let mut all = Verified {
        run: RunId::stored(String::new()),
        files: 0,
        rows: 0,
        bytes: 0,
        // That of the window that says least.
        proof: ProofLevel::Full,
        windows: Some(list.windows.len() as u64),
    };
    for entry in &list.windows {
        let at = |what: String| format!("{}: {what}", entry.path);
        match verify(place.inside(&entry.path)) {
            Ok(found) => {
                if found.run != entry.run {
                    differences.push(at(format!(
                        "{} published it again and was ended before it could say so: extract the \
                         window once more",
                        found.run
                    )));
                } else if found.rows != entry.rows {
                    differences.push(at(format!("{} rows and not {}", found.rows, entry.rows)));
                }
                all.files += found.files;
                all.rows += found.rows;
                all.bytes += found.bytes;
                all.proof = all.proof.min(found.proof);
                all.run = found.run;
            }
            Err(WriteError::Differs {
                differences: of, ..
            }) => {
                differences.extend(of.into_iter().map(at));
            }
            Err(WriteError::Manifest { why, .. }) => differences.push(at(why)),
            Err(error) => return Err(error),
        }
    }
    if differences.is_empty() {
        Ok(all)
    } else {
        Err(WriteError::Differs {
            path: place.to_string(),
            differences,
        })
    }
}

fn totals(manifest: &Manifest, differences: &mut Vec<String>) {
    let sum = |of: fn(&FileEntry) -> u64| manifest.files.iter().map(of).sum::<u64>();
    let (rows, bytes) = (sum(|file| file.rows), sum(|file| file.bytes));
    let proved = manifest.proof.rows;
    let counted = manifest.proof.counted.unwrap_or(proved);
    for (what, said, found) in [
        ("rows", manifest.rows, rows),
        ("bytes", manifest.bytes, bytes),
        ("proved rows", proved, rows),
        ("counted rows", counted, rows),
    ] {
        if said != found {
            differences.push(format!(
                "{} says {said} {what} and its files add up to {found}",
                names::MANIFEST
            ));
        }
    }
}

fn check_file(
    folder: &dyn Folder,
    file: &FileEntry,
    format: &dyn FileFormat,
    schema: &arrow::datatypes::Schema,
) -> std::result::Result<(), String> {
    let blob = match folder.open(&file.path) {
        Ok(blob) => blob,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err("missing".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let length = blob.length();
    if length != file.bytes {
        return Err(format!("{length} bytes and not {}", file.bytes));
    }
    let sha256 = hash(blob.as_ref()).map_err(|error| error.to_string())?;
    if sha256 != file.sha256 {
        return Err("its SHA-256 differs".to_owned());
    }
    let found = format.inspect(blob.as_ref(), schema)?;
    if found.rows == file.rows {
        Ok(())
    } else {
        Err(format!("{} rows and not {}", found.rows, file.rows))
    }
}

/// SHA-256 of a file in hex, read in pieces.
pub(super) fn hash(file: &dyn Blob) -> io::Result<String> {
    let mut reader = file.reader(0)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        match reader.read(&mut piece) {
            Ok(0) => return Ok(hex(&hash.finalize())),
            Ok(taken) => hash.update(&piece[..taken]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Files that the manifest does not list. With `--layout runs` other runs' directories are none of
/// its business: a run may be writing there now.
fn strangers(folder: &dyn Folder, manifest: &Manifest) -> Result<Vec<String>> {
    let listed: BTreeSet<&str> = manifest.files.iter().map(|f| f.path.as_str()).collect();
    let mut found = Vec::new();
    let mut look = |prefix: &str, allowed: fn(&str) -> bool| -> Result<()> {
        for name in folder.names(prefix)? {
            let path = format!("{prefix}{name}");
            if !allowed(&name) && !listed.contains(path.as_str()) {
                found.push(path);
            }
        }
        Ok(())
    };
    let own = |name: &str| [names::MANIFEST, names::SUCCESS].contains(&name);
    match manifest.layout {
        Layout::Replace => look("", own)?,
        Layout::Runs => {
            look("", names::is_in_runs_root)?;
            look(&names::in_run(&manifest.run, ""), own)?;
        }
    }
    Ok(found)
}
