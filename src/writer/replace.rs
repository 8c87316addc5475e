//! `--layout replace`: a hidden sibling is filled and exchanged with the dataset in one step, so
//! that a reader finds the old version or the new one and never a mix.

use std::fs;
use std::io;
use std::path::Path;

use super::folder::{Directory, Folder};
use super::leftovers::Move;
use super::location::Location;
use super::manifest::Manifest;
use super::place::{self, Lock, Spot};
use super::publish::Arrangement;
use super::staging::{LocalStaging, Staging};
use super::{Result, WriteError, names, stable, sweep};
use crate::model::{Layout, RunId};

/// A dataset that is exchanged as a whole.
pub(super) struct Replace {
    spot: Spot,
    staging: LocalStaging,
    keep: u32,
    /// After the switch: the staging name holds the version before.
    holds_old: bool,
}

impl Replace {
    /// Takes the dataset, sweeps what dead runs left (all but what is spared, where anybody says what
    /// that is) and makes the staging directory.
    pub(super) fn prepare(
        spot: Spot,
        (run, spared): (&RunId, Option<&[RunId]>),
        keep: u32,
        warnings: &mut Vec<String>,
    ) -> Result<(Self, Lock)> {
        let lock = Lock::take(spot.lock(), &spot.target, run)?;
        inspect(&spot.target)?;
        if let Some(spared) = spared {
            sweep_staging(&spot, keep, spared, warnings)?;
        }
        spot.probe()?;
        let staged = spot.staging(run.tag());
        fs::create_dir(&staged).map_err(WriteError::io("create", &staged))?;
        // Whoever may read the dataset now may read its next version.
        if let Ok(facts) = fs::metadata(&spot.target) {
            fs::set_permissions(&staged, facts.permissions())
                .map_err(WriteError::io("set the permissions of", &staged))?;
        }
        let arrangement = Self {
            spot,
            staging: LocalStaging::new(staged),
            keep,
            holds_old: false,
        };
        Ok((arrangement, lock))
    }

    /// Removes kept versions but the newest `keep`.
    fn prune(&self, warnings: &mut Vec<String>) -> Result<()> {
        let mut kept = Vec::new();
        for (path, _) in self.spot.all_kept()? {
            // A version without a readable manifest sorts as the oldest.
            let published = Manifest::find(&path).ok().flatten().map(|m| m.created_at);
            kept.push((published, path));
        }
        kept.sort_by(|one, other| other.cmp(one));
        for (_, path) in kept.iter().skip(self.keep as usize) {
            sweep::version(path, warnings)?;
        }
        Ok(())
    }
}

impl Arrangement for Replace {
    fn location(&self) -> Location {
        Location::from(&self.spot.target)
    }

    fn staging(&self) -> &dyn Staging {
        &self.staging
    }

    fn room(&self) -> Option<&Path> {
        Some(&self.spot.above)
    }

    fn ready(&mut self, manifest: Manifest) -> Result<Manifest> {
        // Hours may have passed since the first look.
        inspect(&self.spot.target)?;
        Ok(manifest)
    }

    fn switch(&mut self) -> Result<()> {
        let target = &self.spot.target;
        if !target.exists() {
            match stable::move_to_new(&self.staging.directory, target) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => inspect(target)?,
                other => return other.map_err(WriteError::io("move", target)),
            }
        }
        stable::exchange(&self.staging.directory, target)
            .map_err(|error| place::no_exchange(target, &error.to_string()))?;
        self.holds_old = true;
        Ok(())
    }

    fn settle(&self) -> Result<()> {
        stable::sync_directory(&self.spot.above)
    }

    fn set_aside(&mut self, warnings: &mut Vec<String>) -> Result<()> {
        if self.holds_old && self.keep > 0 {
            self.holds_old = !keep_version(&self.spot, &self.staging.directory, warnings)?;
        }
        Ok(())
    }

    fn remove_old(&mut self, warnings: &mut Vec<String>) -> Result<()> {
        if self.holds_old {
            sweep::version(&self.staging.directory, warnings)?;
            self.holds_old = false;
        }
        // What unfinished runs left is of no use any more.
        sweep_staging(&self.spot, self.keep, &[], warnings)?;
        self.prune(warnings)?;
        stable::sync_directory(&self.spot.above)
    }

    fn discard(&mut self) -> Result<()> {
        self.staging.settle();
        let mut left = Vec::new();
        sweep::version(&self.staging.directory, &mut left)
    }

    fn can_leave(&self) -> bool {
        true
    }

    fn leave(&mut self) -> Result<()> {
        self.staging.leave()?;
        stable::sync_parent(&self.staging.directory)
    }

    fn left_by(&self, run: &RunId) -> Result<Option<Box<dyn Folder>>> {
        let left = Directory(self.spot.staging(run.tag()));
        Ok(left.0.is_dir().then(|| Box::new(left) as Box<dyn Folder>))
    }

    fn take_over(&self, left: &Move) -> Result<()> {
        let folder = self.spot.staging(left.run.tag());
        self.staging.take_over(&folder, &left.file.name)
    }
}

/// Refuses a directory that is not ours to replace. A missing or empty one is fine.
fn inspect(target: &Path) -> Result<()> {
    if !target.exists() {
        return Ok(());
    }
    let manifest = Manifest::find(target)?;
    if manifest
        .as_ref()
        .is_some_and(|m| m.layout != Layout::Replace)
    {
        return Err(WriteError::OtherLayout {
            path: target.display().to_string(),
            layout: "runs",
        });
    }
    for entry in place::entries(target)? {
        let name = entry.to_string_lossy();
        let listed = manifest.as_ref().is_some_and(|m| m.holds(&name));
        if !listed && name != names::MANIFEST && name != names::SUCCESS {
            return Err(WriteError::Foreign {
                path: target.display().to_string(),
                file: name.into_owned(),
            });
        }
    }
    Ok(())
}

/// Keeps the version in `directory` under the tag of the run that published it; false when it is no
/// whole version, or that tag is kept already.
fn keep_version(spot: &Spot, directory: &Path, warnings: &mut Vec<String>) -> Result<bool> {
    let Some(manifest) = Manifest::find(directory)? else {
        return Ok(false);
    };
    let kept = spot.kept(manifest.run.tag());
    match stable::move_to_new(directory, &kept) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            warnings.push(format!("{} is kept already", kept.display()));
            Ok(false)
        }
        Err(error) => Err(WriteError::io("move", &kept)(error)),
    }
}

/// Sweeps staging directories: we hold the lock, so their runs are dead.
///
/// One kind is worth more than that: a run that died right after its exchange left the version
/// before under its staging name, which shows in a manifest of another run.
fn sweep_staging(
    spot: &Spot,
    keep: u32,
    spared: &[RunId],
    warnings: &mut Vec<String>,
) -> Result<()> {
    for (path, tag) in spot.all_staging()? {
        if spared.iter().any(|run| run.tag() == tag) {
            continue;
        }
        let other = Manifest::find(&path)
            .ok()
            .flatten()
            .is_some_and(|m| m.run.tag() != tag);
        let saved = other && keep > 0 && keep_version(spot, &path, warnings)?;
        if !saved {
            sweep::version(&path, warnings)?;
        }
    }
    Ok(())
}
