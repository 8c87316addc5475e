//! Publishing: the one way from staged files to a dataset that readers see.
//!
//! Everything that can fail before reading starts fails in [`Dataset::prepare`]; everything that
//! must hold before anyone sees a row is proved in [`Dataset::publish`], which then seals the staged
//! directory and switches to it in one step. Killed at any moment, the old version or the new one is
//! whole, and the next run sweeps what is left.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::description::describe;
use super::folder::Folder;
use super::format;
use super::leftovers::{self, Folders, Left, Leftovers, Move};
use super::location::Location;
use super::manifest::{FileEntry, Manifest};
use super::part::PartSink;
use super::place::{self, Lock, Spot};
use super::replace::Replace;
use super::runs::Runs;
use super::staging::Staging;
pub use super::step::Step;
use super::store::StoreRuns;
use super::{PartReceipt, Result, Sink, WriteError, names, proof};
use crate::clock::SharedClock;
use crate::model::{
    ChunkBounds, ChunkRecord, ExecutionPlan, FinishedChunk, FormatOptions, KeySum, Layout,
    PointInTime, RunId, SchemaDrift, SnapshotFacts, Teaching, arrow_schema,
};

/// The memory of one writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteBudget {
    /// A row group ends when it has this many bytes in memory, whatever the user's options allow.
    pub row_group_bytes_cap: u64,
}

impl WriteBudget {
    /// No bound: for files without rows, and for reading back.
    pub(super) const UNBOUNDED: Self = Self {
        row_group_bytes_cap: u64::MAX,
    };
}

/// What a run has to show for itself.
#[derive(Clone, Debug)]
pub struct Evidence<'a> {
    /// The run; the one that prepared the dataset.
    pub run: &'a RunId,
    /// What was executed.
    pub plan: &'a ExecutionPlan,
    /// The snapshot it read in.
    pub snapshot: &'a SnapshotFacts,
    /// Every finished file.
    pub receipts: &'a [PartReceipt],
    /// Every chunk, as it ended.
    pub chunks: &'a [ChunkRecord],
    /// The server's own count in the snapshot.
    pub counted: Option<u64>,
    /// The server's own sums over keys; of no chunk unless the plan asks for a full proof.
    pub sums: Sums<'a>,
    /// Deviations from the plan.
    pub adaptations: &'a [String],
    /// Values written as NULL because their output type cannot hold them, by column.
    pub nulled: &'a BTreeMap<String, u64>,
    /// The points in time that the chunks show, where there are several.
    pub points: &'a [PointInTime],
    /// Of the server's count, the rows in the range of each chunk that was kept from an unfinished run.
    pub counted_kept: &'a BTreeMap<u32, u64>,
    /// Of a window, rows without a value in its column, as the snapshot counts them.
    pub unmarked: Option<u64>,
    /// How the columns differ from those of the published run before, where they do.
    pub drift: Option<&'a SchemaDrift>,
    /// When the run started.
    pub started_at: Timestamp,
    /// Now.
    pub now: Timestamp,
    /// What a lost history would be rebuilt from; none where nobody keeps one.
    pub teaching: Option<&'a Teaching>,
}

/// What the server summed while the chunks were read.
#[derive(Clone, Debug)]
pub struct Sums<'a> {
    /// By chunk, and what each took.
    pub of_chunks: &'a BTreeMap<u32, (KeySum, Duration)>,
    /// Tells what reading back takes.
    pub clock: SharedClock,
}

/// A published dataset.
#[derive(Clone, Debug)]
pub struct Published {
    /// Where it is; a directory's real path.
    pub dataset: Location,
    /// Its manifest.
    pub manifest: Manifest,
    /// What went wrong after readers could see it, and changes nothing about it.
    pub warnings: Vec<String>,
}

/// How a dataset is laid out, which is how readers are switched from one version to the next.
pub(super) trait Arrangement: Send {
    /// The dataset.
    fn location(&self) -> Location;
    /// What this run has gathered.
    fn staging(&self) -> &dyn Staging;
    /// A directory on the file system that the files go to; none where no disk of ours takes them.
    fn room(&self) -> Option<&Path>;
    /// Puts in place what the switch needs; gives the manifest that readers will see.
    fn ready(&mut self, manifest: Manifest) -> Result<Manifest>;
    /// Shows the new version, in one step.
    fn switch(&mut self) -> Result<()>;
    /// That another run has published here since this one began, where it has: what fails then
    /// fails because of that, and no bug is behind it.
    fn overtaken(&self) -> Option<WriteError> {
        None
    }
    /// Makes the switch stable.
    fn settle(&self) -> Result<()>;
    /// Gives the old version the name it is kept under.
    fn set_aside(&mut self, warnings: &mut Vec<String>) -> Result<()>;
    /// Removes versions that are not kept.
    fn remove_old(&mut self, warnings: &mut Vec<String>) -> Result<()>;
    /// Removes what was gathered.
    fn discard(&mut self) -> Result<()>;
    /// Whether finished files can be left to another run.
    fn can_leave(&self) -> bool {
        false
    }
    /// Leaves the finished files alone to another run.
    fn leave(&mut self) -> Result<()> {
        self.discard()
    }
    /// The folder that an unfinished run has left here.
    fn left_by(&self, _run: &RunId) -> Result<Option<Box<dyn Folder>>> {
        Ok(None)
    }
    /// What unfinished runs, the newest first, have left here of these chunks.
    fn left(&self, runs: &[RunId], _chunks: &[FinishedChunk]) -> Result<Box<dyn Left>> {
        let mut folders = Vec::new();
        for run in runs {
            if let Some(folder) = self.left_by(run)? {
                folders.push((run.clone(), folder));
            }
        }
        Ok(Box::new(Folders(folders)))
    }
    /// Makes a file that an unfinished run has left one of this run's.
    fn take_over(&self, file: &Move) -> Result<()>;
    /// After a discard, with the lock released: removes a directory that was made for nothing.
    fn vacate(&mut self) {}
}

/// An output taken by this run, its staging area ready.
///
/// A directory is held by a lock. A store has none: there, whoever publishes first wins, and the
/// other run, having found another version, publishes nothing. Dropping it releases the lock and
/// leaves the staging area to the next run's sweep; [`Dataset::abandon`] removes it at once.
pub struct Dataset {
    arrangement: Box<dyn Arrangement>,
    run: RunId,
    clock: Option<SharedClock>,
    warnings: Vec<String>,
    /// Files of unfinished runs to take over.
    moves: Vec<Move>,
    /// Whether finished files are left to another run when publishing fails.
    leaves: bool,
    /// Cancelled when somebody asks to stop.
    stop: CancellationToken,
    // Last, so that everything else is over before another run may begin.
    lock: Option<Lock>,
}

impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dataset")
            .field("location", &self.arrangement.location())
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

impl Dataset {
    /// Takes the output `target` for `run`.
    ///
    /// Of a directory it creates parents, takes the dataset's lock, refuses what is not ours to replace, sweeps what
    /// dead runs left, tries whether the directory can be exchanged, and makes the staging area. A
    /// symbolic link is followed: the directory it points to is the dataset. On a store it refuses
    /// what is not ours to replace, and tries whether objects can be put with a condition; `layout`
    /// is always that of runs. `keep` old versions stay after publishing.
    ///
    /// # Errors
    /// [`WriteError::Foreign`], [`WriteError::Held`], [`WriteError::NoExchange`],
    /// [`WriteError::OtherLayout`], [`WriteError::Manifest`] for a manifest that is broken or newer
    /// than this program, [`WriteError::Io`], and [`WriteError::Store`].
    pub fn prepare(
        target: impl Into<Location>,
        run: &RunId,
        layout: Layout,
        keep: u32,
    ) -> Result<Self> {
        Self::take(target.into(), run, (layout, keep), Some(&[]))
    }

    /// [`Dataset::prepare`], but the sweep spares what these unfinished runs left.
    ///
    /// # Errors
    /// Those of [`Dataset::prepare`].
    pub fn prepare_sparing(
        target: impl Into<Location>,
        run: &RunId,
        options: (Layout, u32),
        spared: &[RunId],
    ) -> Result<Self> {
        Self::take(target.into(), run, options, Some(spared))
    }

    /// [`Dataset::prepare`], sweeping all that dead runs left but for those that are spared; where
    /// nothing says who is, all of it stays where it lies.
    pub(super) fn take(
        target: Location,
        run: &RunId,
        (layout, keep): (Layout, u32),
        spared: Option<&[RunId]>,
    ) -> Result<Self> {
        let mut warnings = Vec::new();
        let (arrangement, lock): (Box<dyn Arrangement>, _) = match (target, layout) {
            (Location::Local(target), Layout::Replace) => {
                let spot = Spot::of(place::resolve(&target)?)?;
                let (replace, lock) = Replace::prepare(spot, (run, spared), keep, &mut warnings)?;
                (Box::new(replace), Some(lock))
            }
            (Location::Local(target), Layout::Runs) => {
                let target = place::resolve(&target)?;
                let (runs, lock) = Runs::prepare(target, (run, spared), keep, &mut warnings)?;
                (Box::new(runs), Some(lock))
            }
            (Location::Store(store), _) => {
                let runs = StoreRuns::prepare(store, run, keep, &mut warnings)?;
                (Box::new(runs), None)
            }
        };
        Ok(Self {
            arrangement,
            run: run.clone(),
            clock: None,
            warnings,
            moves: Vec::new(),
            leaves: false,
            stop: CancellationToken::new(),
            lock,
        })
    }

    /// Writes a small document among the files, as a run would, and says when that was by the place's
    /// own clock, where it has one; what else was found is in the list.
    pub(super) fn touch(&mut self) -> Result<(Option<Timestamp>, Vec<String>)> {
        let staging = self.arrangement.staging();
        staging.write(names::PROBE, b"ixtract\n")?;
        let written_at = staging.written_at(names::PROBE)?;
        Ok((written_at, std::mem::take(&mut self.warnings)))
    }

    /// Where the dataset is; a directory's real path.
    pub fn location(&self) -> Location {
        self.arrangement.location()
    }

    /// Bytes that this user may still write where the files go; `None` on a store, which has no end.
    pub fn free_bytes(&self) -> Result<Option<u64>> {
        self.arrangement.room().map(place::free_bytes).transpose()
    }

    /// Where rows go: files in the staging area.
    pub fn sink(&self, format: &FormatOptions, budget: WriteBudget) -> Arc<dyn Sink> {
        Arc::new(self.part_sink(format, budget))
    }

    /// Has writers tell by this clock how long bytes take to leave; see
    /// [`ChunkWriter::meter`](super::ChunkWriter::meter).
    pub fn measure(&mut self, clock: SharedClock) {
        self.clock = Some(clock);
    }

    /// Whether finished files can be left to another run: not on Azure, which does not tell a file's pieces.
    pub fn can_leave(&self) -> bool {
        self.arrangement.can_leave()
    }

    /// Publishing ends with [`WriteError::Stopped`] once this is cancelled, if readers see nothing yet.
    pub fn stop_on(&mut self, stop: CancellationToken) {
        self.stop = stop;
    }

    /// Finished files are left to another run where publishing fails; see [`WriteError::is_of_place`].
    pub fn leave_on_failure(&mut self) {
        self.leaves = true;
    }

    /// Looks which of the chunks that unfinished `runs`, the newest first, had finished are still whole,
    /// byte for byte; on a store, piece for piece. [`Dataset::take_over`] then makes their files this run's own.
    ///
    /// # Errors
    /// [`WriteError::Io`] where the leftovers cannot be looked at.
    pub fn look_over(&mut self, runs: &[RunId], chunks: Vec<FinishedChunk>) -> Result<Leftovers> {
        let left = self.arrangement.left(runs, &chunks)?;
        let (found, moves) = leftovers::look(left.as_ref(), chunks);
        self.moves = moves;
        Ok(found)
    }

    /// Takes over the files of the chunks that [`Dataset::look_over`] found whole.
    ///
    /// # Errors
    /// [`WriteError::Io`]; what was taken over by then is this run's, the rest lies where it was.
    pub fn take_over(&mut self) -> Result<()> {
        for file in std::mem::take(&mut self.moves) {
            self.arrangement.take_over(&file)?;
        }
        Ok(())
    }

    fn part_sink(&self, options: &FormatOptions, budget: WriteBudget) -> PartSink {
        let home = self.arrangement.staging().home();
        PartSink {
            tag: self.run.tag().to_owned(),
            format: format::of(options, home.share(budget)),
            file_bytes: options.max_file_bytes(),
            clock: self.clock.clone(),
            home,
        }
    }

    /// Proves completeness, then publishes in one step. Blocks for as long as the disk takes.
    ///
    /// # Errors
    /// [`WriteError::Proof`] and [`WriteError::Io`], among others; nothing is published then and the
    /// old version is as it was. Whatever fails after the switch is a warning in [`Published`].
    pub async fn publish(self, evidence: Evidence<'_>) -> Result<Published> {
        self.publish_with(evidence, &mut |_| {}).await
    }

    /// [`Dataset::publish`], telling `after` of each step that is done: for tests that kill the
    /// program there.
    #[doc(hidden)]
    pub async fn publish_with(
        mut self,
        evidence: Evidence<'_>,
        after: &mut (dyn FnMut(Step) + Send),
    ) -> Result<Published> {
        after(Step::Prepared);
        match self.seal_and_switch(&evidence, after) {
            Ok(manifest) => Ok(self.finish(manifest, after)),
            Err(error) => {
                let error = self.arrangement.overtaken().unwrap_or(error);
                // The first error is the one to tell; what stays is swept by the next run.
                let _ = if self.leaves && error.is_of_place() {
                    self.leave()
                } else {
                    self.abandon()
                };
                Err(error)
            }
        }
    }

    /// Up to the moment that readers see the new version.
    fn seal_and_switch(
        &mut self,
        evidence: &Evidence<'_>,
        after: &mut (dyn FnMut(Step) + Send),
    ) -> Result<Manifest> {
        debug_assert_eq!(evidence.run, &self.run, "evidence of another run");
        let location = self.arrangement.location();
        let staging = self.arrangement.staging();
        let mut landed = || after(Step::PartsStable);
        let shown = location.to_string();
        let proof = proof::prove(&shown, staging, evidence, &self.stop, &mut landed)?;
        after(Step::Proved);
        let files = self.entries(evidence)?;
        let (manifest, bytes) = describe(&location, evidence, proof, files).seal();
        staging.write(names::MANIFEST, &bytes)?;
        after(Step::ManifestWritten);
        staging.write(names::SUCCESS, b"")?;
        after(Step::MarkerWritten);
        staging.seal()?;
        after(Step::Sealed);
        let manifest = self.arrangement.ready(manifest)?;
        after(Step::Ready);
        if self.stop.is_cancelled() {
            return Err(WriteError::Stopped);
        }
        self.arrangement.switch()?;
        after(Step::Switched);
        Ok(manifest)
    }

    /// From that moment on, when nothing may fail any more.
    fn finish(mut self, manifest: Manifest, after: &mut (dyn FnMut(Step) + Send)) -> Published {
        let mut warnings = std::mem::take(&mut self.warnings);
        let warn = |outcome: Result<()>, warnings: &mut Vec<String>| {
            if let Err(error) = outcome {
                warnings.push(WriteError::line(&error));
            }
        };
        warn(self.arrangement.settle(), &mut warnings);
        after(Step::Settled);
        let outcome = self.arrangement.set_aside(&mut warnings);
        warn(outcome, &mut warnings);
        after(Step::SetAside);
        let outcome = self.arrangement.remove_old(&mut warnings);
        warn(outcome, &mut warnings);
        after(Step::OldRemoved);
        let dataset = self.arrangement.location();
        drop(self.lock);
        after(Step::Released);
        Published {
            dataset,
            manifest,
            warnings,
        }
    }

    /// The manifest's files in key order; an empty table gets one readable file without rows.
    fn entries(&self, evidence: &Evidence<'_>) -> Result<Vec<FileEntry>> {
        let spec = &evidence.plan.spec;
        if evidence.receipts.is_empty() {
            let sink = self.part_sink(&spec.format, WriteBudget::UNBOUNDED);
            let schema = arrow_schema(&spec.read.columns);
            let receipt = sink.write_empty(1, &schema)?;
            return Ok(vec![FileEntry::of(&receipt, ChunkBounds::All)]);
        }
        let bounds = |chunk: u32| spec.chunks.iter().find(|c| c.number == chunk);
        let mut parts: Vec<&PartReceipt> = evidence.receipts.iter().collect();
        parts.sort_by_key(|part| (part.chunk, part.segment));
        let files = parts
            .into_iter()
            .filter_map(|part| Some(FileEntry::of(part, bounds(part.chunk)?.bounds.clone())))
            .collect();
        Ok(files)
    }

    /// Gives the dataset up, but leaves the finished files to another run. The old version is as it was.
    pub fn leave(mut self) -> Result<()> {
        self.arrangement.leave()
    }

    /// Gives the dataset up: removes what was staged, releases the lock; the old version is as it was.
    pub fn abandon(mut self) -> Result<()> {
        let outcome = self.arrangement.discard();
        drop(self.lock);
        self.arrangement.vacate();
        outcome
    }
}
