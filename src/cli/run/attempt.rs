//! One attempt at a plan: snapshot, execution, publishing, and what is known of it at the end.

mod remember;
mod telling;
mod unmarked;

pub(super) use self::telling::published;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use self::remember::Remember;
use crate::cli::context::{Context, entropy};
use crate::cli::history::History;
use crate::cli::run::Job;
use crate::cli::run::shared::Common;
use crate::cli::survey::Survey;
use crate::engine::{self, EngineError, Execution, Work, WorkerHost, budget};
use crate::error::{ExitCode, Failure};
use crate::model::{
    ChunkRecord, ChunkStatus, ExecutionSpec, PartReceipt, PointInTime, RunClose, RunOpen,
    RunStatus, SnapshotFacts, Teaching, combine, outlive,
};
use crate::source::{Snapshot, SnapshotRequest, SourceError};
use crate::ui::Progress;
use crate::writer::publish::{Dataset, Evidence, Published, Step, Sums, WriteBudget};
use crate::writer::{Leftovers, WriteError};

/// What is known of an attempt, from nothing at its beginning.
#[derive(Default)]
pub(super) struct Attempt {
    /// What it shares with other runs, where it is one of a set.
    common: Option<Arc<Common>>,
    /// What an unfinished run left: the chunks that need not be read, and why others must be.
    left: Leftovers,
    snapshot: Option<SnapshotFacts>,
    /// When it was asked for, by the clock.
    snapshot_since: Duration,
    /// How long it took to get it.
    snapshot_took: Duration,
    execution: Option<Execution>,
    /// Whether finished chunks are remembered, so that another run can go on with this one.
    remembered: bool,
    /// Rows without a value that earlier windows hold.
    held: u64,
    /// Of a window, rows without a value in its column, by the snapshot.
    unmarked: Option<u64>,
    /// What was read turned out not to be what the table held.
    spoiled: bool,
}

impl Attempt {
    /// One that need not read what an unfinished run left whole. Earlier windows hold so many rows
    /// without a value.
    pub(super) fn new((left, held): (Leftovers, u64), common: Option<Arc<Common>>) -> Self {
        Self {
            common,
            held,
            remembered: !left.intact.is_empty(),
            left,
            ..Self::default()
        }
    }

    /// Opens the snapshot, executes the plan in it, and makes sure that it held to the end.
    pub(super) async fn read(
        &mut self,
        context: &Context,
        job: &Job,
        (survey, open): (&Survey, &RunOpen),
        dataset: &mut Dataset,
        history: &mut History,
    ) -> Result<(), Failure> {
        dataset.take_over()?;
        let snapshot = self.freeze(context, job, survey).await?;
        let facts = snapshot.facts();
        history.keep_snapshot(&open.id, &facts);
        self.count_unmarked(context, survey, snapshot.as_ref())
            .await?;
        self.remembered = history.is_there()
            && dataset.can_leave()
            && survey.plan.spec.not_kept().is_none()
            && snapshot.holds_each_chunk();
        if self.remembered {
            dataset.leave_on_failure();
        }
        let remember = Remember {
            history: self.remembered.then_some(history),
            run: &open.id,
            facts: &facts,
        };
        let result = self
            .execute(context, job, survey, (&snapshot, dataset), remember)
            .await;
        match result {
            Ok(()) => {
                let closed = close(context, snapshot.as_ref()).await;
                // A signal and a lost connection come from outside; whatever else there is to say is
                // about what was read.
                self.spoiled = closed.as_ref().is_err_and(|failure| {
                    !matches!(
                        failure.exit,
                        ExitCode::Interrupted | ExitCode::Terminated | ExitCode::Unreachable
                    )
                });
                closed
            }
            Err(EngineError::Cancelled) => Err(self.stopped(context)),
            Err(error) => {
                self.spoiled = !error.keeps_chunks();
                Err(error.into())
            }
        }
    }

    /// Opens the snapshot.
    async fn freeze(
        &mut self,
        context: &Context,
        job: &Job,
        survey: &Survey,
    ) -> Result<Arc<dyn Snapshot>, Failure> {
        let spec = &survey.plan.spec;
        let request = SnapshotRequest {
            consistency: spec.consistency,
            sessions: spec.workers,
            batch_bytes: self.share(spec).batch_bytes,
            lock_wait: job.source.lock_wait,
            allow_row_security: job.source.allow_row_security,
        };
        within_reach(job, survey)?;
        let begun = context.clock.monotonic();
        let opening = async {
            match &self.common {
                Some(common) => {
                    common
                        .snapshot(survey.source.as_ref(), &spec.read, &request)
                        .await
                }
                None => survey.source.snapshot(&spec.read, &request).await,
            }
        };
        let snapshot = context.interrupt.or(opening).await.map_err(unpublished)?;
        self.snapshot_since = match &self.common {
            Some(common) => common.since,
            None => begun,
        };
        self.snapshot_took = context.clock.monotonic().saturating_sub(begun);
        self.snapshot = Some(snapshot.facts());
        Ok(snapshot)
    }

    /// Executes the plan, but for what is kept, and remembers chunks as they are finished.
    async fn execute(
        &mut self,
        context: &Context,
        job: &Job,
        survey: &Survey,
        (snapshot, dataset): (&Arc<dyn Snapshot>, &Dataset),
        mut remember: Remember<'_>,
    ) -> Result<(), EngineError> {
        let spec = &survey.plan.spec;
        let budget = WriteBudget {
            row_group_bytes_cap: self.share(spec).row_group_bytes,
        };
        let settings = engine::Settings {
            clock: context.clock.clone(),
            host: WorkerHost::Threads,
            max_blocking: job.source.max_blocking,
            impact: job.source.impact,
            snapshot_since: self.snapshot_since,
            latency_p50: Duration::from_micros(survey.contact.latency.p50_us()),
            seed: entropy(),
        };
        let kept_rows: u64 = self.left.intact.iter().map(|kept| kept.record.rows).sum();
        let expected = survey.plan.forecast.rows.saturating_sub(kept_rows);
        let (mut progress, stop) = match &self.common {
            Some(common) => {
                let table = spec.read.relation.to_string();
                let part = common.part(&table, context.clock.monotonic());
                (part, common.stop.clone())
            }
            None => (
                Progress::new(&context.printer, expected),
                context.interrupt.token(),
            ),
        };
        let work = Work {
            spec,
            kept: self.kept_numbers(),
        };
        let (events, run) = (context.events(), remember.run);
        let mut execution = engine::execute(
            work,
            Arc::clone(snapshot),
            dataset.sink(&spec.format, budget),
            &settings,
            &mut |event| {
                events.hear(run, &event);
                remember.hear(&event);
                progress.on_event(&event);
            },
            stop,
        )
        .await;
        progress.finish();
        execution.adaptations.splice(0..0, self.left.lost.clone());
        // What the snapshot achieved may have become less while it was read in, and not every
        // worker may have got a session.
        let facts = snapshot.facts();
        self.snapshot = Some(SnapshotFacts {
            readers: facts.readers.min(execution.sessions),
            ..facts
        });
        let result = std::mem::replace(&mut execution.result, Ok(()));
        self.execution = Some(execution);
        result
    }

    /// Why reading was stopped.
    fn stopped(&self, context: &Context) -> Failure {
        let why = self.common.as_ref().and_then(|common| common.why.get());
        why.cloned().unwrap_or_else(|| cancelled(context))
    }

    /// The memory of one worker: a set's tables share that of one run.
    fn share(&self, spec: &ExecutionSpec) -> budget::Share {
        let sessions = self.common.as_ref().map_or(0, |common| common.sessions);
        budget::share(budget::worker_bytes(
            spec.memory_mb,
            spec.workers.max(sessions),
        ))
    }

    /// The chunks that are kept, by number.
    fn kept_numbers(&self) -> BTreeSet<u32> {
        let kept = self.left.intact.iter();
        kept.map(|chunk| chunk.record.number).collect()
    }

    /// How many chunks are there for another run to go on with.
    fn finished(&self) -> usize {
        let Some(execution) = &self.execution else {
            return self.left.intact.len();
        };
        let files = execution.receipts.iter();
        let passing: BTreeSet<u32> = files
            .filter(|file| !outlive([*file]))
            .map(|file| file.chunk)
            .collect();
        let read = execution.chunks.iter();
        let read =
            read.filter(|c| c.status == ChunkStatus::Success && !passing.contains(&c.number));
        self.left.intact.len() + read.count()
    }

    /// Whether finished chunks are left to another run, now that this one has failed.
    pub(super) fn leaves(&self) -> bool {
        self.remembered && !self.spoiled && self.finished() > 0
    }

    /// What the dataset shows: this run's snapshot, and those of the chunks that were kept.
    fn shown(&self, open: &RunOpen) -> Option<(SnapshotFacts, Vec<PointInTime>)> {
        let own = self.snapshot.as_ref()?;
        let read = self.execution.iter().flat_map(|done| &done.chunks);
        let read: Vec<u32> = read
            .filter(|chunk| chunk.status == ChunkStatus::Success)
            .map(|chunk| chunk.number)
            .collect();
        Some(combine((&open.id, own), &read, &self.left.intact))
    }

    /// Proves and publishes. A signal ends it until the switch, which is one step.
    pub(super) async fn publish(
        &mut self,
        context: &Context,
        survey: &Survey,
        open: &RunOpen,
        mut dataset: Dataset,
    ) -> Result<Published, Failure> {
        dataset.stop_on(context.interrupt.token());
        let (Some((snapshot, points)), Some(execution)) = (self.shown(open), &self.execution)
        else {
            return Err(nothing_read());
        };
        context
            .printer
            .detail("proving completeness and publishing");
        let kept = &self.left.intact;
        let files = kept.iter().flat_map(|chunk| &chunk.files);
        let receipts: Vec<PartReceipt> = files.chain(&execution.receipts).cloned().collect();
        let records = kept.iter().map(|chunk| &chunk.record);
        let chunks: Vec<ChunkRecord> = records.chain(&execution.chunks).cloned().collect();
        let teaching = Teaching {
            scope: open.scope.key.clone(),
            workers: survey.plan.spec.workers,
            constrained: open.constrained,
            replay_of: open.replay_of.clone(),
            confidence: execution.confidence.name().to_owned(),
            read_ms: u64::try_from(execution.elapsed.as_millis()).unwrap_or(u64::MAX),
        };
        let sums = kept.iter().filter_map(|chunk| {
            let sum = chunk.key_sum?;
            // What it took was another run's time.
            Some((chunk.record.number, (sum, Duration::ZERO)))
        });
        let mut key_sums = execution.key_sums.clone();
        key_sums.extend(sums);
        let evidence = Evidence {
            run: &open.id,
            plan: &survey.plan,
            snapshot: &snapshot,
            points: &points,
            drift: open.drift.as_ref(),
            receipts: &receipts,
            chunks: &chunks,
            nulled: &self.nulled(),
            counted: execution.counted,
            counted_kept: &execution.counted_kept,
            unmarked: self.unmarked,
            sums: Sums {
                of_chunks: &key_sums,
                clock: context.clock.clone(),
            },
            adaptations: &execution.adaptations,
            started_at: open.started_at,
            now: context.clock.now(),
            teaching: Some(&teaching),
        };
        let crash_at = context.environment.crash_at();
        let mut after = |step: Step| {
            if crash_at == Some(step.name()) {
                std::process::abort();
            }
        };
        match dataset.publish_with(evidence, &mut after).await {
            Ok(published) => Ok(published),
            Err(WriteError::Stopped) => Err(cancelled(context)),
            Err(error) => {
                self.spoiled = !error.is_of_place();
                Err(error.into())
            }
        }
    }

    /// Values that stand as NULL, by column, in kept chunks too.
    fn nulled(&self) -> BTreeMap<String, u64> {
        let execution = self.execution.as_ref();
        let mut all = execution
            .map(|done| done.nulled.clone())
            .unwrap_or_default();
        let kept = self.left.intact.iter();
        for (column, count) in kept.flat_map(|chunk| &chunk.record.nulled) {
            *all.entry(column.clone()).or_default() += count;
        }
        all
    }

    /// Ends a run that failed: its failure says how to go on, where another run can.
    pub(super) fn parting(
        &self,
        context: &Context,
        job: &Job,
        history: &mut History,
        (open, failure): (&RunOpen, Failure),
    ) -> Failure {
        if !self.leaves() {
            history.forget_chunks(&open.id);
            return failure;
        }
        let command = history.resume_command(context, &open.id, job.output.keep);
        let on = format!(
            "{} of {} chunks are kept: {command} goes on with them",
            self.finished(),
            open.plan.spec.chunks.len()
        );
        let fix = match failure.exit {
            ExitCode::Interrupted | ExitCode::Terminated => on,
            _ => format!("{}; {on}", failure.fix),
        };
        Failure { fix, ..failure }
    }

    /// What closes the run's row.
    pub(super) fn close(
        &self,
        context: &Context,
        open: &RunOpen,
        failure: Option<&Failure>,
    ) -> RunClose {
        let status = match failure.map(|failure| failure.exit) {
            None => RunStatus::Success,
            Some(ExitCode::Interrupted | ExitCode::Terminated) => RunStatus::Cancelled,
            Some(_) => RunStatus::Failed,
        };
        let error = failure.map(|failure| format!("{}: {}", failure.what, failure.why));
        let mut close = RunClose {
            status,
            ended_at: context.clock.now(),
            rows: 0,
            bytes: 0,
            duration_s: 0.0,
            throughput: 0.0,
            effective_workers: 0.0,
            snapshot: self.shown(open).map(|(facts, _)| facts),
            snapshot_ms: u64::try_from(self.snapshot_took.as_millis()).unwrap_or(u64::MAX),
            confidence: String::new(),
            adaptations: Vec::new(),
            error,
            actual_cost: None,
            nulled: BTreeMap::new(),
            chunks: Vec::new(),
            workers: Vec::new(),
            finding: None,
            anomaly: None,
        };
        if let Some(execution) = &self.execution {
            close.rows = execution.rows;
            close.bytes = execution.bytes;
            close.duration_s = execution.elapsed.as_secs_f64();
            close.throughput = throughput(execution);
            close.effective_workers = execution.effective_workers;
            close.confidence = execution.confidence.name().to_owned();
            close.adaptations.clone_from(&execution.adaptations);
            close.nulled = self.nulled();
            close.chunks.clone_from(&execution.chunks);
            close.workers.clone_from(&execution.workers);
        }
        close
    }
}

/// Ends the snapshot; that it was the same to the end is part of the proof. A signal until here
/// still means that nothing is published.
async fn close(context: &Context, snapshot: &dyn Snapshot) -> Result<(), Failure> {
    let closing = context.interrupt.or::<_, SourceError>(snapshot.close());
    closing.await.map_err(unpublished)
}

/// A source that is beyond its limit before the run has begun would be left alone for a minute, and
/// then given up.
fn within_reach(job: &Job, survey: &Survey) -> Result<(), Failure> {
    let took = Duration::from_micros(survey.contact.latency.p50_us());
    let relation = &survey.plan.spec.read.relation;
    match job.source.impact.latency {
        Some(limit) if took > limit => Err(Failure::new(
            ExitCode::TryLater,
            format!("{relation} was not read: the source is slower than it may be made"),
            format!(
                "a small query takes {:.1} ms before the run has begun, --max-source-latency-ms is {}",
                took.as_secs_f64() * 1000.0,
                limit.as_millis()
            ),
            "run when the source is at ease, or raise --max-source-latency-ms above the line's own \
             latency",
        )),
        _ => Ok(()),
    }
}

/// An interruption is told as what it means for the dataset.
fn unpublished(failure: Failure) -> Failure {
    match failure.exit {
        ExitCode::Interrupted | ExitCode::Terminated => Failure {
            what: "the run was cancelled; nothing was published".to_owned(),
            ..failure
        },
        _ => failure,
    }
}

fn cancelled(context: &Context) -> Failure {
    let failure = context.interrupt.failure();
    unpublished(failure.unwrap_or_else(|| EngineError::Cancelled.into()))
}

fn throughput(execution: &Execution) -> f64 {
    let seconds = execution.elapsed.as_secs_f64();
    if seconds > 0.0 {
        execution.rows as f64 / seconds
    } else {
        0.0
    }
}

/// Publishing comes after reading; anything else is a bug.
fn nothing_read() -> Failure {
    Failure::new(
        ExitCode::Bug,
        "there is nothing to publish",
        "publishing was asked for before anything was read",
        "report this as a bug",
    )
}
