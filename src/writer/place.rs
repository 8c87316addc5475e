//! Where a local dataset lives: its real path, its lock, its room on disk, and whether its
//! directory can be exchanged there in one step.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock, statvfs};

use super::{Result, WriteError, names, stable};
use crate::model::RunId;

/// Finds the real path of a dataset and creates the directories above it.
///
/// A symbolic link is followed first: the link stays, and what is replaced is the directory it
/// points to, with staging beside that directory, so on its file system. A link to nothing is an
/// error, because nobody can tell on which file system its directory was meant to be.
///
/// # Errors
/// [`WriteError::Io`] when the path is a file, cannot be looked up or its parents cannot be made.
pub(super) fn resolve(target: &Path) -> Result<PathBuf> {
    match fs::symlink_metadata(target) {
        Ok(_) => {
            let real = target
                .canonicalize()
                .map_err(WriteError::io("open", target))?;
            if real.is_dir() {
                Ok(real)
            } else {
                let error = io::Error::from(io::ErrorKind::NotADirectory);
                Err(WriteError::io("use", target)(error))
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let absolute = std::path::absolute(target).map_err(WriteError::io("use", target))?;
            let (Some(above), Some(name)) = (absolute.parent(), absolute.file_name()) else {
                let error = io::Error::from(io::ErrorKind::InvalidInput);
                return Err(WriteError::io("use", target)(error));
            };
            stable::create_directories(above)?;
            let above = above
                .canonicalize()
                .map_err(WriteError::io("open", above))?;
            Ok(above.join(name))
        }
        Err(error) => Err(WriteError::io("open", target)(error)),
    }
}

/// A dataset's directory as one name in the directory that holds it, which is what can be
/// exchanged.
#[derive(Clone, Debug)]
pub(super) struct Spot {
    /// The dataset's real path.
    pub(super) target: PathBuf,
    /// The directory that holds it.
    pub(super) above: PathBuf,
    name: OsString,
}

impl Spot {
    /// The spot of a resolved path.
    ///
    /// # Errors
    /// [`WriteError::NoExchange`] for a file system's root.
    pub(super) fn of(target: PathBuf) -> Result<Self> {
        let (Some(above), Some(name)) = (target.parent(), target.file_name()) else {
            return Err(no_exchange(&target, "it is the root of the file system"));
        };
        Ok(Self {
            above: above.to_owned(),
            name: name.to_owned(),
            target,
        })
    }

    /// The lock file beside the dataset.
    pub(super) fn lock(&self) -> PathBuf {
        self.above.join(names::lock(&self.name))
    }

    /// The staging directory of the run with `tag`.
    pub(super) fn staging(&self, tag: &str) -> PathBuf {
        self.above.join(names::staging(&self.name, tag))
    }

    /// Where the version that the run with `tag` published is kept.
    pub(super) fn kept(&self, tag: &str) -> PathBuf {
        self.above.join(names::kept(&self.name, tag))
    }

    /// Staging directories, each with its run's tag.
    pub(super) fn all_staging(&self) -> Result<Vec<(PathBuf, String)>> {
        self.siblings(names::staging_tag)
    }

    /// Kept versions, each with the tag of the run that published it.
    pub(super) fn all_kept(&self) -> Result<Vec<(PathBuf, String)>> {
        self.siblings(names::kept_tag)
    }

    fn siblings(
        &self,
        tag: impl for<'a> Fn(&OsStr, &'a OsStr) -> Option<&'a str>,
    ) -> Result<Vec<(PathBuf, String)>> {
        let mut found = Vec::new();
        for entry in entries(&self.above)? {
            if let Some(tag) = tag(&self.name, &entry) {
                found.push((self.above.join(&entry), tag.to_owned()));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Tries whether the dataset's directory can be exchanged: two directories beside it are, and
    /// it is no mount point (the kernel answers EBUSY for those, which the two cannot show).
    ///
    /// # Errors
    /// [`WriteError::NoExchange`] with the system's words; [`WriteError::Io`] where not even a
    /// directory can be created.
    pub(super) fn probe(&self) -> Result<()> {
        if is_mount_point(&self.target)? {
            return Err(no_exchange(&self.target, "it is a mount point"));
        }
        let pair = ["one", "other"].map(|which| self.above.join(names::probe(&self.name, which)));
        for directory in &pair {
            match fs::create_dir(directory) {
                // Left by a run that died here; we hold the lock, so it is ours.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                other => other.map_err(WriteError::io("create", directory))?,
            }
        }
        let outcome = stable::exchange(&pair[0], &pair[1]);
        for directory in &pair {
            fs::remove_dir(directory).map_err(WriteError::io("remove", directory))?;
        }
        outcome.map_err(|error| {
            no_exchange(
                &self.target,
                &format!("the file system cannot exchange two directories: {error}"),
            )
        })
    }
}

/// A [`WriteError::NoExchange`].
pub(super) fn no_exchange(target: &Path, why: &str) -> WriteError {
    WriteError::NoExchange {
        path: target.display().to_string(),
        why: why.to_owned(),
    }
}

/// The names in a directory.
pub(super) fn entries(directory: &Path) -> Result<Vec<OsString>> {
    let read = || -> io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(directory)? {
            names.push(entry?.file_name());
        }
        names.sort();
        Ok(names)
    };
    read().map_err(WriteError::io("list", directory))
}

#[cfg(target_os = "linux")]
fn is_mount_point(path: &Path) -> Result<bool> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    match statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()) {
        // Kernels before 5.8 do not say; the exchange itself then does, before anything changes.
        Ok(facts) => Ok(facts.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOSYS) => Ok(false),
        Err(error) => Err(WriteError::io("open", path)(error.into())),
    }
}

#[cfg(not(target_os = "linux"))]
fn is_mount_point(path: &Path) -> Result<bool> {
    match (fs::metadata(path), path.parent().map(fs::metadata)) {
        (Ok(here), Some(Ok(above))) => Ok(here.dev() != above.dev()),
        _ => Ok(false),
    }
}

/// Bytes that an ordinary user may still write beside `path`, which exists.
pub(super) fn free_bytes(path: &Path) -> Result<u64> {
    let facts =
        statvfs(path).map_err(|error| WriteError::io("measure the room of", path)(error.into()))?;
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}

/// A lock on a dataset, held by this process and gone with it, however it ends.
///
/// The file is removed on release, by its holder and while held; whoever had opened it meanwhile
/// notices that what it locked is no longer what the name stands for, and tries again.
#[derive(Debug)]
pub(super) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock file `path` of the dataset `target` for `run`, without waiting. While it is
    /// held, the file says by whom.
    ///
    /// # Errors
    /// [`WriteError::Held`] when another run has it.
    pub(super) fn take(path: PathBuf, target: &Path, run: &RunId) -> Result<Self> {
        loop {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .read(true)
                .write(true)
                .open(&path)
                .map_err(WriteError::io("create", &path))?;
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => {}
                Err(rustix::io::Errno::WOULDBLOCK) => {
                    return Err(WriteError::Held {
                        path: target.display().to_string(),
                        by: holder(&mut file),
                    });
                }
                Err(error) => return Err(WriteError::io("lock", &path)(error.into())),
            }
            let locked = file.metadata().map_err(WriteError::io("lock", &path))?;
            match fs::metadata(&path) {
                Ok(named) if (named.dev(), named.ino()) == (locked.dev(), locked.ino()) => {
                    sign(&mut file, run).map_err(WriteError::io("write", &path))?;
                    return Ok(Self { path, _file: file });
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(WriteError::io("lock", &path)(error)),
            }
        }
    }
}

/// The most bytes of a lock file that say who holds it.
const SIGNATURE: u64 = 256;

/// Who holds a lock, in the words of [`sign`]; nothing where the holder has not signed yet.
fn holder(file: &mut File) -> Option<String> {
    let mut words = Vec::new();
    file.take(SIGNATURE).read_to_end(&mut words).ok()?;
    let words = String::from_utf8_lossy(&words);
    words.lines().next().map(str::to_owned)
}

/// Writes into a lock file who holds it. The kernel decides who does; this is for people.
fn sign(file: &mut File, run: &RunId) -> io::Result<()> {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    file.set_len(0)?;
    writeln!(file, "run {run}, process {} on {host}", std::process::id())
}

impl Drop for Lock {
    fn drop(&mut self) {
        // A file that stays does no harm: the next run takes it over.
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run() -> RunId {
        RunId::stored("rx-20260131-120000-0badcafe")
    }

    #[test]
    fn a_link_is_followed_and_a_link_to_nothing_refused() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        fs::create_dir(root.join("real")).unwrap();
        std::os::unix::fs::symlink(root.join("real"), root.join("link")).unwrap();
        std::os::unix::fs::symlink(root.join("gone"), root.join("dangling")).unwrap();
        assert_eq!(resolve(&root.join("link")).unwrap(), root.join("real"));
        assert!(matches!(
            resolve(&root.join("dangling")),
            Err(WriteError::Io { .. })
        ));
        assert_eq!(resolve(&root.join("a/b/c")).unwrap(), root.join("a/b/c"));
        assert!(root.join("a/b").is_dir(), "parents are made");
        assert!(!root.join("a/b/c").exists(), "the target is not");
    }

    #[test]
    fn a_lock_excludes_and_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".d.ixtract-lock");
        let first = Lock::take(path.clone(), Path::new("d"), &run()).unwrap();
        match Lock::take(path.clone(), Path::new("d"), &run()) {
            Err(WriteError::Held { by: Some(by), .. }) => {
                assert!(by.contains("0badcafe, process"), "{by}");
            }
            other => panic!("{other:?}"),
        }
        drop(first);
        assert!(!path.exists());
        fs::write(&path, "").unwrap();
        // What a killed run left is nobody's lock.
        drop(Lock::take(path.clone(), Path::new("d"), &run()).unwrap());
    }

    #[test]
    fn racing_runs_never_hold_one_lock_together() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let inside = AtomicU32::new(0);
        let taken = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        if let Ok(lock) = Lock::take(path.clone(), Path::new("d"), &run()) {
                            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                            taken.fetch_add(1, Ordering::SeqCst);
                            inside.fetch_sub(1, Ordering::SeqCst);
                            drop(lock);
                        }
                    }
                });
            }
        });
        assert!(taken.load(Ordering::SeqCst) > 0);
    }

    #[test]
    fn the_root_and_mount_points_cannot_be_exchanged() {
        assert!(matches!(
            Spot::of(PathBuf::from("/")),
            Err(WriteError::NoExchange { .. })
        ));
        let proc = Spot::of(PathBuf::from("/proc")).unwrap();
        assert!(matches!(proc.probe(), Err(WriteError::NoExchange { .. })));
    }

    #[test]
    fn the_probe_leaves_nothing_and_room_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let spot = Spot::of(directory.path().join("d")).unwrap();
        fs::create_dir(directory.path().join(names::probe(OsStr::new("d"), "one"))).unwrap();
        spot.probe().unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(free_bytes(directory.path()).unwrap() > 0);
    }
}
