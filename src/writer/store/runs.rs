//! A dataset on a store: every run under `_runs/<run>/`, and one object, the manifest, that names
//! the current one and is only ever put over the version that its run found at the beginning.
//!
//! There is no lock, because a lock on a store is only as good as the clock of whoever holds it.
//! What follows from the condition instead:
//!
//! * Of runs at once one publishes, the others find the manifest changed and leave nothing.
//! * What a dead run left is removed only *after* this run has published, and only if it lay there
//!   before that: whatever run it belongs to, its condition does not hold any more, so that nothing
//!   is ever removed that a manifest may still come to name.

use bytes::Bytes;
use jiff::Timestamp;
use object_store::UpdateVersion;
use object_store::path::Path;

use super::objects::{Found, Put};
use super::upload::Uploads;
use super::{Service, Store, Trouble, leavings, orphans};
use crate::model::{FinishedChunk, Layout, RunId};
use crate::writer::folder::Folder;
use crate::writer::leftovers::{Left, Move};
use crate::writer::location::Location;
use crate::writer::manifest::Manifest;
use crate::writer::part::Home;
use crate::writer::publish::Arrangement;
use crate::writer::staging::Staging;
use crate::writer::{PartReceipt, Result, WriteError, names};

/// A dataset whose manifest names the current run.
pub(in crate::writer) struct StoreRuns {
    staging: StoreStaging,
    keep: u32,
    /// The manifest that was current when this run began.
    before: Option<(Manifest, UpdateVersion)>,
    /// The next manifest, as it will be put.
    next: Bytes,
    /// Whether readers were shown it could not be found out.
    uncertain: bool,
    /// What lay under `_runs` right before this run published.
    swept: Swept,
}

/// What may be removed once this run has published.
#[derive(Default)]
struct Swept {
    runs: Vec<String>,
    uploads: Vec<orphans::Orphan>,
}

/// What a run has gathered on the store.
struct StoreStaging {
    store: Store,
    run: RunId,
    uploads: Uploads,
}

impl StoreStaging {
    /// The path of a file of this run inside the dataset.
    fn path(&self, name: &str) -> String {
        names::in_run(&self.run, name)
    }

    /// Removes everything of this run.
    fn remove(&self) -> Result<()> {
        self.uploads.abandon()?;
        let store = &self.store;
        store.remove(store.all(&self.path(""))?)
    }
}

impl Staging for StoreStaging {
    fn home(&self) -> Home {
        Home::Store(self.uploads.clone())
    }

    fn land(&self, receipts: &[PartReceipt]) -> Result<()> {
        self.uploads.complete(receipts)
    }

    fn folder(&self) -> Box<dyn Folder> {
        Box::new(self.store.inside(&self.path("")))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let bytes = Bytes::copy_from_slice(bytes);
        self.store.put(&self.path(name), bytes)
    }

    fn written_at(&self, name: &str) -> Result<Option<Timestamp>> {
        self.store.written_at(&self.path(name))
    }

    fn seal(&self) -> Result<()> {
        Ok(())
    }
}

impl StoreRuns {
    /// Looks at what is there and tries to write, so that whatever stands in the way shows before
    /// reading starts.
    pub(in crate::writer) fn prepare(
        store: Store,
        run: &RunId,
        keep: u32,
        warnings: &mut Vec<String>,
    ) -> Result<Self> {
        let shown = store.to_string();
        let before = match store.find(names::MANIFEST)? {
            Some(Found { bytes, version }) => Some((Manifest::read(&bytes, &shown)?, version)),
            None => None,
        };
        if before
            .as_ref()
            .is_some_and(|(m, _)| m.layout != Layout::Runs)
        {
            return Err(WriteError::OtherLayout {
                path: shown,
                layout: "replace",
            });
        }
        refuse_foreign(&store)?;
        let staging = StoreStaging {
            uploads: Uploads::new(&store, names::in_run(run, "")),
            run: run.clone(),
            store,
        };
        probe(&staging, warnings)?;
        Ok(Self {
            staging,
            keep,
            before,
            next: Bytes::new(),
            uncertain: false,
            swept: Swept::default(),
        })
    }

    fn store(&self) -> &Store {
        &self.staging.store
    }

    /// Finds what no manifest names, nor the next one will: dead runs, older versions, and runs at
    /// work that are about to lose.
    fn look_around(&self, next: &Manifest) -> Result<Swept> {
        let store = self.store();
        let stays = |run: &str| {
            next.run.as_str() == run || next.kept.iter().any(|kept| kept.as_str() == run)
        };
        let mut runs: Vec<String> = store.list(names::RUNS)?.prefixes.into_iter().collect();
        runs.retain(|run| !stays(run));
        let mut uploads = orphans::list(store, names::RUNS)?;
        uploads.retain(|upload| !stays(upload.run()));
        Ok(Swept { runs, uploads })
    }
}

impl Store {
    /// Puts the manifest over the version that was there; what is shown to readers changes in one step.
    ///
    /// # Errors
    /// [`WriteError::Overtaken`] where another version is there; [`WriteError::Unknown`] where nobody
    /// can tell now, and the request may still be on its way.
    pub(in crate::writer) fn put_manifest(
        &self,
        next: Bytes,
        over: Option<UpdateVersion>,
    ) -> Result<()> {
        let outcome = self.put_if(names::MANIFEST, next.clone(), over, false);
        if matches!(outcome, Ok(Put::Done)) {
            return Ok(());
        }
        // The answer may have been lost, or that to a first attempt of the same request.
        let found = self.find(names::MANIFEST);
        let ours = found.map(|found| found.is_some_and(|found| found.bytes == next));
        let path = self.to_string();
        match (ours, outcome) {
            (Ok(true), _) => Ok(()),
            (Ok(false), Ok(_)) => Err(WriteError::Overtaken { path }),
            (Ok(false), Err(error)) if !is_open(&error) => Err(error),
            (Ok(false), Err(error)) | (Err(error), _) => Err(WriteError::Unknown {
                path,
                why: error.line(),
            }),
        }
    }
}

/// Whether it is open what became of a request: there was no answer, or none of the store's own.
fn is_open(error: &WriteError) -> bool {
    !matches!(error, WriteError::Store { trouble, .. } if *trouble != Trouble::Unreachable)
}

/// Refuses a prefix that holds anything but ours.
fn refuse_foreign(store: &Store) -> Result<()> {
    let refuse = |file: String| {
        Err(WriteError::Foreign {
            path: store.to_string(),
            file,
        })
    };
    let root = store.list("")?;
    let own = [names::MANIFEST, names::SUCCESS];
    let stranger = root
        .objects
        .iter()
        .find(|name| !own.contains(&name.as_str()));
    if let Some(name) = stranger {
        return refuse(name.clone());
    }
    if let Some(name) = root.prefixes.iter().find(|name| *name != names::RUNS) {
        return refuse(format!("{name}/"));
    }
    if !root.prefixes.is_empty() {
        let runs = store.list(names::RUNS)?;
        let stranger = runs.prefixes.iter().find(|name| !name.starts_with("rx-"));
        if let Some(name) = runs.objects.iter().next().or(stranger) {
            return refuse(names::in_run(&RunId::stored(name.clone()), ""));
        }
    }
    Ok(())
}

/// Puts an object where there is none, twice: the second must be refused, or two runs could both
/// win.
fn probe(staging: &StoreStaging, warnings: &mut Vec<String>) -> Result<()> {
    let store = &staging.store;
    let path = staging.path(names::PROBE);
    let put = || store.put_if(&path, Bytes::from_static(b"ixtract\n"), None, true);
    let (first, second) = (put()?, put());
    let removed = store.remove(vec![store.address().key(&path)]);
    if first == Put::Lost || second? == Put::Done {
        return Err(WriteError::NoCondition {
            path: store.to_string(),
        });
    }
    if let Err(error) = removed {
        warnings.push(format!(
            "nothing can be removed here, so older versions stay: {}",
            error.line()
        ));
    }
    Ok(())
}

impl Arrangement for StoreRuns {
    fn location(&self) -> Location {
        Location::Store(self.store().clone())
    }

    fn staging(&self) -> &dyn Staging {
        &self.staging
    }

    fn room(&self) -> Option<&std::path::Path> {
        None
    }

    fn ready(&mut self, mut manifest: Manifest) -> Result<Manifest> {
        for file in &mut manifest.files {
            file.path = names::in_run(&manifest.run, &file.path);
        }
        manifest.layout = Layout::Runs;
        if let Some((before, _)) = &self.before {
            manifest.kept = std::iter::once(&before.run)
                .chain(&before.kept)
                .take(self.keep as usize)
                .cloned()
                .collect();
        }
        self.swept = self.look_around(&manifest)?;
        // Says only that there is something whole; which it is, the manifest says.
        self.store().put(names::SUCCESS, Bytes::new())?;
        let (manifest, bytes) = manifest.seal();
        self.next = bytes.into();
        Ok(manifest)
    }

    fn switch(&mut self) -> Result<()> {
        let next = self.next.clone();
        let over = self.before.as_ref().map(|(_, version)| version.clone());
        let outcome = self.store().put_manifest(next, over);
        // Nothing may be removed that readers may yet be shown.
        self.uncertain = matches!(outcome, Err(WriteError::Unknown { .. }));
        outcome
    }

    fn overtaken(&self) -> Option<WriteError> {
        // What nobody can tell stays open.
        if self.uncertain {
            return None;
        }
        let shown = self.store().to_string();
        let found = self.store().find(names::MANIFEST).ok()??;
        let found = Manifest::read(&found.bytes, &shown).ok()?;
        let before = self.before.as_ref().map(|(manifest, _)| &manifest.run);
        (Some(&found.run) != before).then_some(WriteError::Overtaken { path: shown })
    }

    fn settle(&self) -> Result<()> {
        Ok(())
    }

    fn set_aside(&mut self, _warnings: &mut Vec<String>) -> Result<()> {
        Ok(())
    }

    fn remove_old(&mut self, warnings: &mut Vec<String>) -> Result<()> {
        let swept = std::mem::take(&mut self.swept);
        for run in &swept.runs {
            let prefix = names::in_run(&RunId::stored(run.clone()), "");
            let (ours, others): (Vec<Path>, Vec<Path>) = self
                .store()
                .all(&prefix)?
                .into_iter()
                .partition(|key| key.filename().is_some_and(names::is_ours));
            self.store().remove(ours)?;
            if let Some(other) = others.first() {
                warnings.push(format!(
                    "{} stays, which is not ours to remove",
                    self.store()
                        .shown(&self.store().address().inside(other).unwrap_or_default())
                ));
            }
        }
        orphans::abort(self.store(), swept.uploads)
    }

    fn can_leave(&self) -> bool {
        self.store().address().service != Service::Azure
    }

    fn leave(&mut self) -> Result<()> {
        if self.uncertain {
            return Ok(());
        }
        self.staging.uploads.leave()?;
        // Whatever is visible is not what another run takes over.
        self.store()
            .remove(self.store().all(&self.staging.path(""))?)
    }

    fn left(&self, _runs: &[RunId], chunks: &[FinishedChunk]) -> Result<Box<dyn Left>> {
        Ok(Box::new(leavings::look(self.store(), chunks)?))
    }

    fn take_over(&self, left: &Move) -> Result<()> {
        self.staging.uploads.adopt(&left.run, &left.file);
        Ok(())
    }

    fn discard(&mut self) -> Result<()> {
        if self.uncertain {
            return Ok(());
        }
        self.staging.remove()
    }
}
