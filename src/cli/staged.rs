//! Files that are there whole or not at all.

use std::io;
use std::path::{Path, PathBuf};

/// Writes a file beside its place and moves it there: an older one stays until this one is whole. A
/// device such as /dev/stdout cannot be replaced, and need not be.
///
/// # Errors
/// The system's; nothing is left then but the older file.
pub(super) fn replace(file: &Path, text: &str) -> io::Result<()> {
    let special = std::fs::metadata(file).is_ok_and(|found| !found.is_file());
    if special {
        return std::fs::write(file, text);
    }
    let mut staged = file.as_os_str().to_owned();
    staged.push(format!(".{}.new", std::process::id()));
    let staged = PathBuf::from(staged);
    std::fs::write(&staged, text)
        .and_then(|()| std::fs::rename(&staged, file))
        .inspect_err(|_| {
            // What is left of it helps nobody; the first error is the one to tell.
            let _ = std::fs::remove_file(&staged);
        })
}
