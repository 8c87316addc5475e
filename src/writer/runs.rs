//! `--layout runs`: every run has a directory of its own under `_runs`, and one file, the manifest,
//! names the current one; for mount points and file systems that cannot exchange directories.
//!
//! Each run's directory is a whole dataset by itself, so a kept version can be read and verified.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::folder::{Directory, Folder};
use super::leftovers::Move;
use super::location::Location;
use super::manifest::Manifest;
use super::place::{self, Lock};
use super::publish::Arrangement;
use super::staging::{LocalStaging, Staging};
use super::{Result, WriteError, names, stable, sweep};
use crate::model::{Layout, RunId};

/// A dataset whose manifest names the current run.
pub(super) struct Runs {
    target: PathBuf,
    staging: LocalStaging,
    keep: u32,
    /// This run made the dataset's directory, so an abandoned one goes again.
    created: bool,
    /// The next manifest, written and not yet shown.
    aside: Option<PathBuf>,
}

impl Runs {
    /// Takes the dataset, sweeps what dead runs left (all but what is spared, where anybody says what
    /// that is) and makes this run's directory.
    pub(super) fn prepare(
        target: PathBuf,
        (run, spared): (&RunId, Option<&[RunId]>),
        keep: u32,
        warnings: &mut Vec<String>,
    ) -> Result<(Self, Lock)> {
        let created = !target.exists();
        stable::create_directories(&target)?;
        let lock = Lock::take(target.join(names::INNER_LOCK), &target, run)?;
        let staged = target.join(names::RUNS).join(run.as_str());
        let arrangement = Self {
            target,
            staging: LocalStaging::new(staged),
            keep,
            created,
            aside: None,
        };
        arrangement.inspect()?;
        if let Some(spared) = spared {
            for name in [names::MANIFEST, names::SUCCESS] {
                stable::remove_file(&arrangement.target.join(names::unfinished(name)))?;
            }
            arrangement.sweep(spared, warnings)?;
        }
        stable::create_directories(&arrangement.staging.directory)?;
        Ok((arrangement, lock))
    }

    fn runs(&self) -> PathBuf {
        self.target.join(names::RUNS)
    }

    /// Refuses a directory that holds anything but ours.
    fn inspect(&self) -> Result<()> {
        let refuse = |file: String| {
            Err(WriteError::Foreign {
                path: self.target.display().to_string(),
                file,
            })
        };
        let manifest = Manifest::find(&self.target)?;
        if manifest.is_some_and(|m| m.layout != Layout::Runs) {
            return Err(WriteError::OtherLayout {
                path: self.target.display().to_string(),
                layout: "replace",
            });
        }
        for entry in place::entries(&self.target)? {
            let name = entry.to_string_lossy();
            if !names::is_in_runs_root(&name) {
                return refuse(name.into_owned());
            }
        }
        for (path, name) in self.all_runs()? {
            if !name.starts_with("rx-") || !path.is_dir() {
                return refuse(names::in_run(&RunId::stored(name), ""));
            }
        }
        Ok(())
    }

    fn all_runs(&self) -> Result<Vec<(PathBuf, String)>> {
        let runs = self.runs();
        if !runs.exists() {
            return Ok(Vec::new());
        }
        let found = place::entries(&runs)?;
        Ok(found
            .into_iter()
            .map(|name| (runs.join(&name), name.to_string_lossy().into_owned()))
            .collect())
    }

    /// Whether a manifest names or keeps a run.
    fn is_of_a_version(&self) -> Result<impl Fn(&str) -> bool + use<>> {
        let manifest = Manifest::find(&self.target)?;
        Ok(move |name: &str| {
            manifest.as_ref().is_some_and(|m| {
                m.run.as_str() == name || m.kept.iter().any(|run| run.as_str() == name)
            })
        })
    }

    /// Removes every run that the manifest neither names nor keeps, dead ones and old ones alike, but
    /// for those that are spared.
    fn sweep(&self, spared: &[RunId], warnings: &mut Vec<String>) -> Result<()> {
        let stays = self.is_of_a_version()?;
        for (path, name) in self.all_runs()? {
            if !stays(&name) && !spared.iter().any(|run| run.as_str() == name) {
                sweep::version(&path, warnings)?;
            }
        }
        Ok(())
    }
}

impl Arrangement for Runs {
    fn location(&self) -> Location {
        Location::from(&self.target)
    }

    fn staging(&self) -> &dyn Staging {
        &self.staging
    }

    fn room(&self) -> Option<&Path> {
        Some(&self.target)
    }

    fn ready(&mut self, mut manifest: Manifest) -> Result<Manifest> {
        for file in &mut manifest.files {
            file.path = names::in_run(&manifest.run, &file.path);
        }
        manifest.layout = Layout::Runs;
        if let Some(before) = Manifest::find(&self.target)? {
            manifest.kept = std::iter::once(before.run)
                .chain(before.kept)
                .take(self.keep as usize)
                .collect();
        }
        // The manifest alone decides what is current, so the marker, which says only that there is
        // something whole, may come before it.
        let success = self.target.join(names::SUCCESS);
        if !success.exists() {
            stable::write(&success, b"")?;
        }
        let path = self.target.join(names::MANIFEST);
        let (manifest, bytes) = manifest.seal();
        self.aside = Some(stable::write_aside(&path, &bytes)?);
        Ok(manifest)
    }

    fn switch(&mut self) -> Result<()> {
        let path = self.target.join(names::MANIFEST);
        match self.aside.take() {
            Some(aside) => stable::put_in_place(&aside, &path),
            None => {
                let error = io::Error::other("the manifest was not written before");
                Err(WriteError::io("move", &path)(error))
            }
        }
    }

    fn settle(&self) -> Result<()> {
        stable::sync_directory(&self.target)
    }

    fn set_aside(&mut self, _warnings: &mut Vec<String>) -> Result<()> {
        Ok(())
    }

    fn remove_old(&mut self, warnings: &mut Vec<String>) -> Result<()> {
        self.sweep(&[], warnings)?;
        stable::sync_directory(&self.runs())
    }

    fn discard(&mut self) -> Result<()> {
        self.staging.settle();
        if let Some(aside) = self.aside.take() {
            stable::remove_file(&aside)?;
        }
        let mut left = Vec::new();
        sweep::version(&self.staging.directory, &mut left)?;
        // Only what is empty goes.
        let _ = fs::remove_dir(self.runs());
        Ok(())
    }

    fn can_leave(&self) -> bool {
        true
    }

    fn leave(&mut self) -> Result<()> {
        if let Some(aside) = self.aside.take() {
            stable::remove_file(&aside)?;
        }
        self.staging.leave()?;
        stable::sync_directory(&self.runs())
    }

    fn left_by(&self, run: &RunId) -> Result<Option<Box<dyn Folder>>> {
        let left = Directory(self.runs().join(run.as_str()));
        // What readers are shown is nobody's leftover, whatever its run's end was.
        let shown = self.is_of_a_version()?(run.as_str());
        Ok((!shown && left.0.is_dir()).then(|| Box::new(left) as Box<dyn Folder>))
    }

    fn take_over(&self, left: &Move) -> Result<()> {
        self.staging
            .take_over(&self.runs().join(left.run.as_str()), &left.file.name)
    }

    fn vacate(&mut self) {
        if self.created {
            // Unless another run has moved in already.
            let _ = fs::remove_dir(&self.target);
        }
    }
}
