//! The one door to stable storage: whatever must survive a power cut is written, renamed and
//! removed through here, so that no fsync can be forgotten.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::{Result, WriteError, names};

/// Makes the names in a directory stable.
pub(super) fn sync_directory(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(WriteError::io("sync", path))
}

/// Creates a directory and those above it that are missing, each stable in the one above.
pub(super) fn create_directories(path: &Path) -> Result<()> {
    let missing: Vec<&Path> = path
        .ancestors()
        .take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.exists())
        .collect();
    for directory in missing.into_iter().rev() {
        match fs::create_dir(directory) {
            // Another run may be creating the same parents.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.map_err(WriteError::io("create", directory))?,
        }
        if let Some(above) = directory.parent() {
            sync_directory(above)?;
        }
    }
    Ok(())
}

/// Writes a whole file, stable but under its unfinished name; [`put_in_place`] shows it.
pub(super) fn write_aside(path: &Path, bytes: &[u8]) -> Result<PathBuf> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let aside = path.with_file_name(names::unfinished(&name));
    let mut file = File::create(&aside).map_err(WriteError::io("create", &aside))?;
    file.write_all(bytes)
        .and_then(|()| file.sync_all())
        .map_err(WriteError::io("write", &aside))?;
    Ok(aside)
}

/// Gives a file that was written aside its name, replacing what had it, in one step.
pub(super) fn put_in_place(aside: &Path, path: &Path) -> Result<()> {
    fs::rename(aside, path).map_err(WriteError::io("move", path))
}

/// Writes a whole file so that a reader, at any time, finds the old content or the new.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let aside = write_aside(path, bytes)?;
    put_in_place(&aside, path)?;
    sync_parent(path)
}

/// Makes the name of `path` stable.
pub(super) fn sync_parent(path: &Path) -> Result<()> {
    path.parent().map_or(Ok(()), sync_directory)
}

/// Exchanges two directories in one step; [`sync_parent`] makes it stable.
pub(super) fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

/// Moves a directory to a name that nothing has; [`sync_parent`] makes it stable.
pub(super) fn move_to_new(from: &Path, to: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

/// Removes a file that may be missing; whether it was there.
pub(super) fn remove_file(path: &Path) -> Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(WriteError::io("remove", path)(error)),
    }
}

/// Files on their way to stable storage while reading goes on.
///
/// A worker that waited for its own fsync would leave its session idle for as long as the disk
/// takes; a publish that did all of them would wait for the disk at the end. So each finished file
/// is synced beside the work, a few at a time: when the disk cannot keep up, workers wait for it,
/// which bounds dirty memory and open files.
#[derive(Clone, Default)]
pub(super) struct Backlog {
    shared: Arc<(Mutex<Pending>, Condvar)>,
}

#[derive(Default)]
struct Pending {
    files: u32,
    // The system reports a failed write-back once; it must reach whoever publishes.
    failed: Option<WriteError>,
}

/// How many files may be on their way at once.
const AT_ONCE: u32 = 4;

impl Backlog {
    /// Starts to make `file` stable; waits only when too many are on their way already.
    pub(super) fn sync(&self, file: File, path: &Path) -> Result<()> {
        let (pending, _) = &*self.shared;
        let mut now = pending.lock().unwrap_or_else(PoisonError::into_inner);
        let beside = now.files < AT_ONCE;
        now.files += u32::from(beside);
        drop(now);
        if !beside {
            return file.sync_all().map_err(WriteError::io("sync", path));
        }
        let backlog = self.clone();
        let owned = path.to_owned();
        let job = move || {
            let result = file.sync_all().map_err(WriteError::io("sync", &owned));
            backlog.done(result);
        };
        match std::thread::Builder::new()
            .name("ixtract-sync".to_owned())
            .spawn(job)
        {
            Ok(_detached) => Ok(()),
            Err(error) => {
                let failed = WriteError::io("sync", path)(error);
                self.done(Ok(()));
                Err(failed)
            }
        }
    }

    fn done(&self, result: Result<()>) {
        let (pending, changed) = &*self.shared;
        let mut now = pending.lock().unwrap_or_else(PoisonError::into_inner);
        now.files -= 1;
        if let Err(error) = result {
            now.failed.get_or_insert(error);
        }
        changed.notify_all();
    }

    /// Waits until every file is stable.
    ///
    /// # Errors
    /// The first failure, whichever file it was.
    pub(super) fn wait(&self) -> Result<()> {
        let (pending, changed) = &*self.shared;
        let now = pending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = changed
            .wait_while(now, |now| now.files > 0)
            .unwrap_or_else(PoisonError::into_inner);
        now.failed.take().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_leaves_no_litter() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("_manifest.json");
        write(&path, b"old").unwrap();
        let aside = write_aside(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        put_in_place(&aside, &path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_backlog_drains_and_reports_a_failure_once() {
        let directory = tempfile::tempdir().unwrap();
        let backlog = Backlog::default();
        for name in 0..20 {
            let path = directory.path().join(name.to_string());
            backlog.sync(File::create(&path).unwrap(), &path).unwrap();
        }
        backlog.wait().unwrap();
        let (pending, _) = &*backlog.shared;
        pending.lock().unwrap().files = 1;
        backlog.done(Err(WriteError::io("sync", "x")(io::Error::other("gone"))));
        assert!(matches!(backlog.wait(), Err(WriteError::Io { .. })));
        backlog.wait().unwrap();
    }
}
