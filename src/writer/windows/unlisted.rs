//! What lies among windows and no list names.

use std::fs;
use std::path::Path;

use super::WindowList;
use crate::model::RunId;
use crate::writer::folder::{Directory, Folder};
use crate::writer::{Result, names, place, stable, sweep as swept};

/// Removes windows that no list names, and what dead runs staged: we hold the lock, so nobody is
/// writing them. Kept versions stay, and what is spared.
pub(super) fn sweep(
    root: &Path,
    list: Option<&WindowList>,
    spared: &[RunId],
    warnings: &mut Vec<String>,
) -> Result<()> {
    let windows = root.join(names::WINDOWS);
    if !windows.exists() {
        return Ok(());
    }
    let listed = |name: &str| {
        let path = names::in_windows(name);
        list.is_some_and(|list| list.windows.iter().any(|entry| entry.path == path))
    };
    for entry in place::entries(&windows)? {
        let name = entry.to_string_lossy();
        let path = windows.join(&entry);
        let gone = names::is_never_published(&name) || is_window(&name) && !listed(&name);
        if path.is_dir() && gone && !spared.iter().any(|run| is_of(&path, &name, run)) {
            remove(&path, warnings)?;
        }
    }
    Ok(())
}

/// Whether a run has gathered its files here: beside its window, or inside with `--layout runs`.
fn is_of(path: &Path, name: &str, run: &RunId) -> bool {
    name.ends_with(&format!("-{}", run.tag())) && !is_window(name)
        || path.join(names::RUNS).join(run.as_str()).is_dir()
}

/// Whether a name is one of a window's folder, not of something hidden beside it.
fn is_window(name: &str) -> bool {
    !name.starts_with('.')
}

/// Removes a window, with `--layout runs` too.
fn remove(path: &Path, warnings: &mut Vec<String>) -> Result<()> {
    let runs = path.join(names::RUNS);
    if runs.is_dir() {
        // The manifest first: what is cut short is then never taken for whole.
        for name in [names::MANIFEST, names::SUCCESS] {
            stable::remove_file(&path.join(name))?;
        }
        for run in Directory(runs.clone()).names("")? {
            swept::version(&runs.join(run), warnings)?;
        }
        // Only what is empty goes.
        let _ = fs::remove_dir(&runs);
    }
    swept::version(path, warnings)
}
