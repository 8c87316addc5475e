//! Removes whole versions of a dataset, and never a file that is not ours.

use std::fs;
use std::path::Path;

use super::manifest::Manifest;
use super::{Result, WriteError, names, place, stable};

/// Removes a version: the files that its manifest lists or, where it has none, those with names of
/// ours; then the directory.
///
/// The manifest goes first, so that a version whose removal was cut short is never taken for whole.
/// A foreign file stays, its directory with it, and a warning is added.
pub(super) fn version(directory: &Path, warnings: &mut Vec<String>) -> Result<()> {
    // An unreadable manifest lists nothing; names of ours then decide.
    let manifest = Manifest::find(directory).unwrap_or_default();
    stable::remove_file(&directory.join(names::MANIFEST))?;
    let mut foreign = None;
    for entry in place::entries(directory)? {
        let name = entry.to_string_lossy();
        let ours = match &manifest {
            Some(manifest) => {
                manifest.holds(&name) || name == names::SUCCESS || names::is_unfinished(&name)
            }
            None => names::is_ours(&name),
        };
        let path = directory.join(&entry);
        if ours && !path.is_dir() {
            stable::remove_file(&path)?;
        } else {
            foreign = Some(name.into_owned());
        }
    }
    match foreign {
        Some(file) => {
            warnings.push(format!(
                "{} stays because it holds '{file}', which is not ours to remove",
                directory.display()
            ));
            Ok(())
        }
        None => fs::remove_dir(directory).map_err(WriteError::io("remove", directory)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_staging_goes_and_a_foreign_file_stays() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("staging");
        let mut warnings = Vec::new();
        let fill = || {
            fs::create_dir(&directory).unwrap();
            for name in [
                "part-00001-001-ab12.parquet",
                ".part-00002-001-ab12.parquet.unfinished",
                names::SUCCESS,
                names::MANIFEST,
            ] {
                fs::write(directory.join(name), "x").unwrap();
            }
        };
        fill();
        version(&directory, &mut warnings).unwrap();
        assert!(!directory.exists() && warnings.is_empty());
        fill();
        fs::write(directory.join("notes.txt"), "mine").unwrap();
        version(&directory, &mut warnings).unwrap();
        assert_eq!(place::entries(&directory).unwrap(), ["notes.txt"]);
        assert_eq!(warnings.len(), 1);
    }
}
