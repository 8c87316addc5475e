//! Where a run gathers its files before anyone sees them: a hidden directory, or uploads that are
//! not completed.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::folder::{Directory, Folder};
use super::part::Home;
use super::stable::{self, Backlog};
use super::{PartReceipt, Result, names, place};

/// What a run has gathered so far.
pub(super) trait Staging: Send + Sync {
    /// Where new files go.
    fn home(&self) -> Home;

    /// Brings every file to where it stays, on stable storage; what is no file of these receipts
    /// goes where it is an attempt's remainder.
    fn land(&self, receipts: &[PartReceipt]) -> Result<()>;

    /// The files, to be read back once they have landed.
    fn folder(&self) -> Box<dyn Folder>;

    /// Writes a document among the files.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<()>;

    /// When a document was written, by a clock that is not this machine's; `None` where there is no
    /// other.
    fn written_at(&self, _name: &str) -> Result<Option<Timestamp>> {
        Ok(None)
    }

    /// Makes everything that was gathered stable, names included.
    fn seal(&self) -> Result<()>;
}

/// A hidden directory.
pub(super) struct LocalStaging {
    /// Its path.
    pub(super) directory: PathBuf,
    backlog: Backlog,
}

impl LocalStaging {
    /// In a directory that exists, or will before the first file.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            backlog: Backlog::default(),
        }
    }

    /// Waits for files that are on their way: that a sync failed says nothing any more where they are
    /// about to be removed, or to be compared with their checksums before anybody uses them.
    pub(super) fn settle(&self) {
        let _ = self.backlog.wait();
    }

    /// Leaves the whole files, and nothing else, to another run.
    pub(super) fn leave(&self) -> Result<()> {
        self.settle();
        for name in place::entries(&self.directory)? {
            if !names::is_part(&name.to_string_lossy()) {
                stable::remove_file(&self.directory.join(&name))?;
            }
        }
        stable::sync_directory(&self.directory)
    }

    /// Takes a file over from the directory of another run.
    pub(super) fn take_over(&self, from: &Path, name: &str) -> Result<()> {
        stable::put_in_place(&from.join(name), &self.directory.join(name))
    }
}

impl Staging for LocalStaging {
    fn home(&self) -> Home {
        Home::Directory {
            path: self.directory.clone(),
            backlog: self.backlog.clone(),
        }
    }

    fn land(&self, _receipts: &[PartReceipt]) -> Result<()> {
        self.backlog.wait()?;
        for name in place::entries(&self.directory)? {
            // Attempts that were dropped before they were whole.
            if names::is_unfinished(&name.to_string_lossy()) {
                stable::remove_file(&self.directory.join(&name))?;
            }
        }
        Ok(())
    }

    fn folder(&self) -> Box<dyn Folder> {
        Box::new(Directory(self.directory.clone()))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        stable::write(&self.directory.join(name), bytes)
    }

    fn seal(&self) -> Result<()> {
        stable::sync_directory(&self.directory)?;
        stable::sync_parent(&self.directory)
    }
}
