//! A whole copy of a store, made while runs go on.

use std::fs::{self, File};
use std::path::Path;

use super::{Result, StateError, Store, migrate, reading};
use crate::model::{Checked, Copied};

impl Store {
    /// Copies the store, as one transaction sees it, to a file: made beside it, checked, brought to
    /// stable storage, and renamed in one step. A file that is there already is replaced if it is a
    /// store too.
    ///
    /// # Errors
    /// [`StateError::Occupied`] where the file is this store, or none; [`StateError::Damaged`] where
    /// the copy is not sound, and what the system refuses.
    pub fn back_up(&self, target: &Path) -> Result<Copied> {
        let replaced = self.may_replace(target)?;
        let partial = reading::beside(target, &format!(".{}.tmp", std::process::id()));
        let made = self.make(&partial, target);
        if made.is_err() {
            // The error that is reported came first.
            let _ = fs::remove_file(&partial);
        }
        made.map(|checked| Copied { checked, replaced })
    }

    /// Whether there is something to replace, which must be another store.
    fn may_replace(&self, target: &Path) -> Result<bool> {
        let name = target.display().to_string();
        if !target
            .try_exists()
            .map_err(|error| StateError::from_io(&error, "write", &name))?
        {
            return Ok(false);
        }
        let occupied = |why: &str| StateError::Occupied {
            path: name.clone(),
            why: why.to_owned(),
        };
        let real = |path: &Path| {
            fs::canonicalize(path).map_err(|error| StateError::from_io(&error, "write", &name))
        };
        if real(target)? == real(Path::new(&self.path))? {
            return Err(occupied("it is the store itself"));
        }
        match reading::look(target) {
            Ok(_) | Err(StateError::Newer { .. }) => Ok(true),
            Err(_) => Err(occupied("there is a file that is no state store")),
        }
    }

    fn make(&self, partial: &Path, target: &Path) -> Result<Checked> {
        let name = target.display().to_string();
        let system = |error: std::io::Error| StateError::from_io(&error, "write", &name);
        // What a process of this number left, which is dead.
        match fs::remove_file(partial) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(system(error));
            }
            _ => {}
        }
        migrate::copy_into(&self.connection, partial, target)?;
        let checked = Self::check(partial)?;
        File::open(partial)
            .and_then(|file| file.sync_all())
            .map_err(system)?;
        fs::rename(partial, target).map_err(system)?;
        let directory = target.parent().filter(|path| !path.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))
            .and_then(|directory| directory.sync_all())
            .map_err(system)?;
        Ok(checked)
    }
}
