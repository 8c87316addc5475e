//! One attempt at a plan: snapshot, execution, publishing, and what is known of it at the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::cli::context::{Context, entropy};
use crate::cli::run::Job;
use crate::cli::survey::Survey;
use crate::engine::budget;
use crate::engine::{self, EngineError, Execution, WorkerHost};
use crate::error::{ExitCode, Failure};
use crate::model::{Decisions, RunClose, RunOpen, RunStatus, SnapshotFacts, Teaching};
use crate::planner::{self, Executed};
use crate::source::{Snapshot, SnapshotRequest, SourceError};
use crate::ui::Progress;
use crate::ui::json::{KeysDocument, ProofDocument, RunDocument};
use crate::writer::publish::{Dataset, Evidence, Published, Step, Sums, WriteBudget};

/// What is known of an attempt, from nothing at its beginning.
#[derive(Debug, Default)]
pub(super) struct Attempt {
    snapshot: Option<SnapshotFacts>,
    /// How long it took to get it.
    snapshot_took: Duration,
    execution: Option<Execution>,
}

impl Attempt {
    /// Opens the snapshot, executes the plan in it, and makes sure that it held to the end.
    pub(super) async fn read(
        &mut self,
        context: &Context,
        job: &Job,
        survey: &Survey,
        dataset: &Dataset,
    ) -> Result<(), Failure> {
        let spec = &survey.plan.spec;
        let share = budget::share(budget::worker_bytes(spec.memory_mb, spec.workers));
        let request = SnapshotRequest {
            consistency: spec.consistency,
            sessions: spec.workers,
            batch_bytes: share.batch_bytes,
            lock_wait: job.source.lock_wait,
            allow_row_security: job.source.allow_row_security,
        };
        within_reach(job, survey)?;
        let begun = context.clock.monotonic();
        let opening = survey.source.snapshot(&spec.read, &request);
        let snapshot = context.interrupt.or(opening).await.map_err(unpublished)?;
        self.snapshot_took = context.clock.monotonic().saturating_sub(begun);
        self.snapshot = Some(snapshot.facts());

        let sink = dataset.sink(
            &spec.format,
            WriteBudget {
                row_group_bytes_cap: share.row_group_bytes,
            },
        );
        let settings = engine::Settings {
            clock: context.clock.clone(),
            host: WorkerHost::Threads,
            max_blocking: job.source.max_blocking,
            impact: job.source.impact,
            snapshot_since: begun,
            latency_p50: Duration::from_micros(survey.contact.latency.p50_us()),
            seed: entropy(),
        };
        let mut progress = Progress::new(&context.printer, survey.plan.forecast.rows);
        let mut execution = engine::execute(
            spec,
            Arc::clone(&snapshot),
            sink,
            &settings,
            &mut |event| progress.on_event(&event),
            context.interrupt.token(),
        )
        .await;
        progress.finish();
        // What the snapshot achieved may have become less while it was read in, and not every
        // worker may have got a session.
        let facts = snapshot.facts();
        self.snapshot = Some(SnapshotFacts {
            readers: facts.readers.min(execution.sessions),
            ..facts
        });
        let result = std::mem::replace(&mut execution.result, Ok(()));
        self.execution = Some(execution);
        match result {
            Ok(()) => close(context, snapshot.as_ref()).await,
            Err(EngineError::Cancelled) => Err(cancelled(context)),
            Err(error) => Err(error.into()),
        }
    }

    /// Proves and publishes. From here on a signal is too late: the switch is one step.
    pub(super) async fn publish(
        &self,
        context: &Context,
        survey: &Survey,
        open: &RunOpen,
        dataset: Dataset,
    ) -> Result<Published, Failure> {
        let (Some(snapshot), Some(execution)) = (&self.snapshot, &self.execution) else {
            return Err(nothing_read());
        };
        context
            .printer
            .detail("proving completeness and publishing");
        let teaching = Teaching {
            scope: open.scope.key.clone(),
            workers: survey.plan.spec.workers,
            constrained: open.constrained,
            replay_of: open.replay_of.clone(),
            confidence: execution.confidence.name().to_owned(),
            read_ms: u64::try_from(execution.elapsed.as_millis()).unwrap_or(u64::MAX),
        };
        let evidence = Evidence {
            run: &open.id,
            plan: &survey.plan,
            snapshot,
            receipts: &execution.receipts,
            chunks: &execution.chunks,
            nulled: &execution.nulled,
            counted: execution.counted,
            sums: Sums {
                of_chunks: &execution.key_sums,
                clock: context.clock.clone(),
            },
            adaptations: &execution.adaptations,
            started_at: open.started_at,
            now: context.clock.now(),
            freshness: None,
            teaching: Some(&teaching),
        };
        let crash_at = context.environment.crash_at();
        let mut after = |step: Step| {
            if crash_at == Some(step.name()) {
                std::process::abort();
            }
        };
        Ok(dataset.publish_with(evidence, &mut after).await?)
    }

    /// What closes the run's row.
    pub(super) fn close(&self, context: &Context, failure: Option<&Failure>) -> RunClose {
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
            snapshot: self.snapshot.clone(),
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
            close.nulled.clone_from(&execution.nulled);
            close.chunks.clone_from(&execution.chunks);
            close.workers.clone_from(&execution.workers);
        }
        close
    }

    /// What is told of a published run.
    pub(super) fn document(
        self,
        survey: &Survey,
        open: &RunOpen,
        published: Published,
    ) -> Result<RunDocument, Failure> {
        let (Some(consistency), Some(execution)) = (self.snapshot, self.execution) else {
            return Err(nothing_read());
        };
        let spec = &survey.plan.spec;
        let open_s = (self.snapshot_took + execution.elapsed).as_secs_f64();
        let Published {
            dataset,
            manifest,
            mut warnings,
        } = published;
        warnings.extend(planner::long_held(open_s, survey.source.identity().kind));
        Ok(RunDocument {
            status: RunStatus::Success.name(),
            run: open.id.clone(),
            table: spec.read.relation.to_string(),
            manifest: format!("{dataset}/_manifest.json"),
            dataset: dataset.to_string(),
            files: manifest.files.len() as u64,
            rows: manifest.rows,
            bytes: manifest.bytes,
            format: spec.format.format().name(),
            compression: spec.format.compression().to_string(),
            duration_s: execution.elapsed.as_secs_f64(),
            predicted_s: survey.plan.forecast.duration_s,
            throughput: throughput(&execution),
            chunks: spec.chunks.len() as u64,
            workers: spec.workers,
            effective_workers: execution.effective_workers,
            consistency,
            proof: ProofDocument {
                level: spec.proof,
                counted: execution.counted,
                count_ms: execution
                    .count_took
                    .and_then(|took| u64::try_from(took.as_millis()).ok()),
                keys: manifest.proof.keys.map(|keys| KeysDocument {
                    columns: keys.columns,
                    server_ms: keys.server_ms,
                    read_back_ms: keys.read_back_ms,
                }),
            },
            fingerprint: survey.plan.fingerprint.clone(),
            replay_of: open.replay_of.clone(),
            decisions: decisions(survey, &execution),
            nulled: execution.nulled,
            adaptations: execution.adaptations,
            snapshot_open_s: open_s,
            plan_warnings: survey.plan.warnings.clone(),
            warnings,
            state: None,
            constrained: survey.constrained,
            hints: survey.hints().cloned(),
            cost: None,
            teaches: false,
            finding: None,
            anomaly: None,
        })
    }
}

/// What was executed against what was planned.
fn decisions(survey: &Survey, execution: &Execution) -> Decisions {
    let executed = Executed {
        spec: &survey.plan.spec,
        source: survey.source.identity(),
        workers: execution.sessions,
        chunks: &execution.executed,
    };
    planner::decisions(&survey.plan, &executed)
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
