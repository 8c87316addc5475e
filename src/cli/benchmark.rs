//! `ixtract benchmark`: how fast a table is read by different numbers of workers.

use std::sync::Arc;

use super::args::BenchmarkArgs;
use super::context::Context;
use super::history::History;
use super::machine;
use super::settings::{self, SourceSettings, StateSettings};
use super::survey::{self, Wanted};
use crate::benchmarker::{self, Probes};
use crate::engine::budget::{self, DEFAULT_BYTES_PER_WORKER};
use crate::engine::{EngineError, WorkerHost};
use crate::error::{ExitCode, Failure};
use crate::estimator::ThroughputEstimate;
use crate::estimator::curve::{self, Measured};
use crate::model::{
    BENCHMARK_VERSION, Benchmark, ChunkBounds, ExecutionPlan, Reason, RunRequest, SnapshotFacts,
    SourceProfile,
};
use crate::planner::{self, Inputs, Limits};
use crate::source::SnapshotRequest;
use crate::source::{Source, SourceError};
use crate::ui;
use crate::ui::json::BenchmarkDocument;
use crate::ui::{Progress, wording};

/// Measures the table, keeps what was found, and shows it.
pub(super) async fn command(context: &Context, args: &BenchmarkArgs) -> Result<(), Failure> {
    let mut request = settings::probing(args)?;
    let source_settings = SourceSettings::settle(&args.source, &context.environment, None)?;
    let state = StateSettings::settle(&args.state, &context.environment);
    let mut history = History::open(context, &state)?;
    // The sessions are named to the server as a run's are.
    let source = survey::connect(context, &source_settings, Some(context.run_id())).await?;
    let wanted = Wanted {
        table: &request.table,
        selection: &request.selection,
        types: &request.types,
        chunk_rows: Some(curve::LEAST_PROBE_ROWS),
        window: None,
    };
    let profile = survey::profile(context, &source, &wanted).await?;
    let scope = history.scope(
        source.identity(),
        &profile.table.relation,
        &request.selection,
    );
    history.save_profile(&scope, &profile, context)?;
    let subject = Subject {
        source: &source,
        profile: &profile,
    };
    if let Some(reason) = too_small(&profile).filter(|_| !args.force) {
        subject.show(context, &history, Outcome::Skipped(reason));
        return Ok(());
    }
    let course = subject.course(&args.worker_grid, &mut request)?;
    let (measured, facts) = subject.measure(context, &source_settings, &course).await?;
    let benchmark = subject.judged(context, &course, &measured)?;
    history.save_benchmark(&scope, &benchmark)?;
    let outcome = Outcome::Measured(Box::new(Found {
        benchmark,
        facts,
        course,
    }));
    subject.show(context, &history, outcome);
    Ok(())
}

/// Why a table is not worth a benchmark, if it is not.
fn too_small(profile: &SourceProfile) -> Option<String> {
    let bytes = profile.statistics.bytes;
    let seconds = curve::guessed_seconds(bytes);
    (seconds < curve::LEAST_SECONDS).then(|| {
        format!(
            "its {} take about {seconds:.1} s to read, and below {:.0} s the number of workers matters little; --force measures it all the same",
            ui::units::bytes(bytes),
            curve::LEAST_SECONDS
        )
    })
}

/// What is measured.
struct Subject<'a> {
    source: &'a Arc<dyn Source>,
    profile: &'a SourceProfile,
}

/// What will be read, and by how many.
struct Course {
    plan: ExecutionPlan,
    probes: Probes,
    /// Estimated rows of a slice.
    slice_rows: u64,
    /// Numbers of workers that were asked for and cannot be tried, each with the reason.
    left_out: Vec<String>,
}

/// How it ended.
enum Outcome {
    Skipped(String),
    Measured(Box<Found>),
}

/// What was measured, and how.
struct Found {
    benchmark: Benchmark,
    facts: SnapshotFacts,
    course: Course,
}

impl Subject<'_> {
    fn name(&self) -> String {
        self.profile.table.relation.to_string()
    }

    /// Cuts the table as a plan does, and lays out the ranges to read.
    fn course(&self, wanted: &[u32], request: &mut RunRequest) -> Result<Course, Failure> {
        let most = planner::most_sessions(&self.inputs(request));
        let grid = curve::grid(wanted, most);
        let mut left_out = Vec::new();
        if wanted.iter().any(|count| *count > most) {
            left_out.push(format!(
                "at most {} may be tried here: half of the free connections, and --max-workers",
                ui::units::plural(u64::from(most), "session")
            ));
        }
        let rows = self.profile.statistics.estimate.rows;
        let sessions = grid.last().copied().unwrap_or(1);
        let slice_rows = curve::slice_rows(rows, sessions);
        request.work.workers = Some(sessions.max(2));
        request.work.chunk_rows = Some(slice_rows);
        let plan = planner::plan(&self.inputs(request))?.plan;
        let slices: Vec<ChunkBounds> = plan
            .spec
            .chunks
            .iter()
            .map(|chunk| chunk.bounds.clone())
            // As many or few rows as there are NULL keys: no measure of anything.
            .filter(|bounds| *bounds != ChunkBounds::KeyNull)
            .collect();
        let Some((grid, layout)) = curve::layout(slices.len(), &grid) else {
            return Err(self.no_curve(slices.len(), most));
        };
        if grid.last().is_some_and(|most| *most < sessions) {
            left_out.push(format!(
                "{} were not tried: the table can be cut into {} only",
                ui::units::plural(u64::from(sessions), "session"),
                ui::units::plural(slices.len() as u64, "slice")
            ));
        }
        let ranges = layout.into_iter().map(|range| slices[range].to_vec());
        Ok(Course {
            probes: Probes {
                object: self.name(),
                grid,
                ranges: ranges.collect(),
            },
            plan,
            slice_rows,
            left_out,
        })
    }

    fn inputs<'a>(&'a self, request: &'a RunRequest) -> Inputs<'a> {
        Inputs {
            request,
            source: self.source.identity(),
            profile: self.profile,
            estimate: &|_| ThroughputEstimate::guess(1.0),
            learned: &|_| None,
            benchmark: None,
            filtered: None,
            limits: Limits {
                cpus: machine::cpus(),
            },
        }
    }

    fn no_curve(&self, slices: usize, most: u32) -> Failure {
        let what = format!("cannot measure {} with several workers", self.name());
        if most < 2 {
            let why = "the server has room for one session of ours only, or --max-workers is 1";
            let fix = "try again when more connections are free, or raise --max-workers";
            return Failure::new(ExitCode::Refused, what, why, fix);
        }
        Failure::new(
            ExitCode::Refused,
            what,
            format!(
                "it can be cut into {} only, too few for two ranges of two sessions each",
                ui::units::plural(slices as u64, "slice")
            ),
            "name two or more smaller numbers in --worker-grid, or extract it with one worker",
        )
    }

    /// Reads everything in one snapshot.
    async fn measure(
        &self,
        context: &Context,
        settings: &SourceSettings,
        course: &Course,
    ) -> Result<(Vec<Measured>, SnapshotFacts), Failure> {
        let probes = &course.probes;
        let request = SnapshotRequest {
            consistency: course.plan.spec.consistency,
            sessions: probes.sessions(),
            batch_bytes: budget::share(DEFAULT_BYTES_PER_WORKER).batch_bytes,
            lock_wait: settings.lock_wait,
            allow_row_security: settings.allow_row_security,
        };
        let opening = self.source.snapshot(&course.plan.spec.read, &request);
        let snapshot = context.interrupt.or(opening).await?;
        let facts = snapshot.facts();
        let probes = probes.within(facts.readers);
        let mut progress = Progress::new(
            &context.printer,
            course.slice_rows.saturating_mul(u64::from(probes.reads())),
        );
        progress.expect(probes.reads());
        let measured = benchmarker::measure(
            Arc::clone(&snapshot),
            &probes,
            &benchmarker::Settings {
                clock: context.clock.clone(),
                host: WorkerHost::Threads,
                max_blocking: settings.max_blocking,
            },
            &mut |event| progress.on_event(&event),
            context.interrupt.token(),
        )
        .await;
        progress.finish();
        let measured = measured.map_err(|error| match error {
            EngineError::Cancelled => {
                let signal = context.interrupt.failure();
                signal.unwrap_or_else(|| EngineError::Cancelled.into())
            }
            error => error.into(),
        })?;
        let closing = context.interrupt.or::<_, SourceError>(snapshot.close());
        closing.await?;
        Ok((measured, facts))
    }

    /// What the measurements say.
    fn judged(
        &self,
        context: &Context,
        course: &Course,
        measured: &[Measured],
    ) -> Result<Benchmark, Failure> {
        let verdict = curve::judge(measured).ok_or_else(|| {
            Failure::new(
                ExitCode::Failed,
                format!("the benchmark of {} has no result", self.name()),
                "fewer than two numbers of workers could be measured: sessions could not be had or were lost, or the ranges held no rows",
                "try again when the server has free connections; --verbose tells what failed",
            )
        })?;
        Ok(Benchmark {
            schema_version: BENCHMARK_VERSION,
            source: self.source.identity().to_string(),
            object_name: self.name(),
            benchmarked_at: context.clock.now(),
            probe_rows: course.slice_rows,
            ranges_used: u32::try_from(course.probes.ranges.len()).unwrap_or(u32::MAX),
            worker_grid: measured.iter().map(|of_count| of_count.workers).collect(),
            optimal_workers: verdict.optimal,
            confidence: verdict.confidence,
            signal_strength: verdict.signal,
            curve_shape: verdict.shape,
            probe_results: verdict.results,
            row_estimate_at_benchmark: self.profile.statistics.estimate.rows,
        })
    }

    fn show(&self, context: &Context, history: &History, outcome: Outcome) {
        let rows = self.profile.statistics.estimate.rows;
        let mut document = BenchmarkDocument {
            status: "skipped",
            skipped: None,
            table: self.name(),
            server: &self.profile.server,
            source: self.source.identity().to_string(),
            benchmark: None,
            throughput_by_workers: None,
            next_plan: None,
            consistency: None,
            state: history.file(),
            warnings: history.warnings().to_vec(),
        };
        match outcome {
            Outcome::Skipped(reason) => document.skipped = Some(reason),
            Outcome::Measured(found) => {
                let Found {
                    benchmark,
                    facts,
                    course,
                } = *found;
                let advice = curve::advise(&benchmark, benchmark.benchmarked_at, rows);
                let reason = match advice {
                    Ok(advice) => Reason::WorkersBenchmarked(advice),
                    Err(unfit) => Reason::BenchmarkPassed(unfit),
                };
                document.status = "measured";
                document.next_plan = Some(wording::reason(&reason));
                document.throughput_by_workers = Some(benchmark.throughput_by_workers());
                document.consistency = Some(facts);
                document.warnings.extend(course.left_out);
                if benchmark.worker_grid.len() < course.probes.grid.len() {
                    document.warnings.push(format!(
                        "fewer sessions than planned could be had in one snapshot: tried were {:?}",
                        benchmark.worker_grid
                    ));
                }
                document.benchmark = Some(benchmark);
            }
        }
        context.printer.document(&document);
        context.printer.show(&ui::benchmark::view(&document));
    }
}
