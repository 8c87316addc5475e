//! From a request to a plan: connect, describe, profile, ask the history, estimate, plan.

mod fits;
mod output;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

pub(super) use self::fits::{check_source, literal};
use self::fits::{check_table, glance};
pub(super) use self::output::output;
use super::budget::Share;
use super::context::Context;
use super::history::History;
use super::increment;
use super::machine;
use super::run::Given;
use super::settings::SourceSettings;
use crate::controller::between_runs::benchmarked::{self, After};
use crate::controller::between_runs::{self, Sample, State};
use crate::error::Failure;
use crate::estimator::{self, Evidence, curve};
use crate::model::{
    Benchmark, Benchmarked, ExecutionContext, ExecutionPlan, PastRun, RunId, RunRequest,
    RuntimeContext, Scope, Selection, SourceIdentity, SourceProfile, SourceThen, Surroundings,
    TypeOptions, Unfit, Verdict, Window,
};
use crate::planner::{self, Inputs, Limits, Planned};
use crate::profiler::{self, Contact, Glance};
use crate::source::{self, Source, SourceError};
use crate::state::Claim;
use crate::ui::json::{PlanDocument, VerdictDocument};
use crate::ui::{hints, wording};

/// What is known and decided before a row is read.
pub(super) struct Survey {
    /// The connected source.
    pub(super) source: Arc<dyn Source>,
    /// How it answers now.
    pub(super) contact: Contact,
    /// What the source looks like.
    pub(super) source_then: SourceThen,
    /// How long it took to look at it.
    pub(super) look_took: Duration,
    /// The circumstances now.
    pub(super) circumstances: ExecutionContext,
    /// What runs of it are remembered under.
    pub(super) scope: Scope,
    /// What will be done.
    pub(super) plan: ExecutionPlan,
    /// Whether a hint or a given plan shapes the run, so that it must not teach.
    pub(super) constrained: bool,
    /// What the controller will know once the run has taught, where it chose the workers.
    pub(super) learned: Option<State>,
    /// Expected rows per second of every number of workers that was measured.
    pub(super) speeds: BTreeMap<u32, f64>,
    /// The most workers that user and hints allow.
    pub(super) most_workers: u32,
    /// The run's sessions, written down for other processes until the run is over; a plan takes none.
    _claim: Option<Claim>,
}

/// Connects, as `run` where there is one.
pub(super) async fn connect(
    context: &Context,
    settings: &SourceSettings,
    run: Option<RunId>,
) -> Result<Arc<dyn Source>, Failure> {
    caution(context, settings);
    let options = settings.connect(run, context.clock.clone());
    context.printer.detail("connecting");
    context.interrupt.or(source::connect(options)).await
}

/// Says what a person should know of the secrets, once.
pub(super) fn caution(context: &Context, settings: &SourceSettings) {
    if let Some(text) = settings.caution() {
        context.printer.warn_once(&text);
    }
}

/// What of which table is to be profiled.
pub(super) struct Wanted<'a> {
    /// By the name that the user wrote.
    pub(super) table: &'a str,
    /// Columns and rows.
    pub(super) selection: &'a Selection,
    /// How columns are mapped.
    pub(super) types: &'a TypeOptions,
    /// Rows of a chunk, where the user said so.
    pub(super) chunk_rows: Option<u64>,
    /// The window of an incremental extraction.
    pub(super) window: Option<&'a Window>,
}

/// Profiles a table.
pub(super) async fn profile(
    context: &Context,
    source: &Arc<dyn Source>,
    wanted: &Wanted<'_>,
) -> Result<SourceProfile, Failure> {
    context.printer.detail("looking at the table");
    let Wanted {
        table,
        selection,
        types,
        chunk_rows,
        window,
    } = *wanted;
    let look = async {
        let mut table = source.describe(table, selection, types).await?;
        if let Some(window) = window {
            increment::cut(source.as_ref(), &mut table, window)?;
        }
        profiler::profile(source.as_ref(), table, chunk_rows, context.clock.as_ref()).await
    };
    context.interrupt.or::<_, SourceError>(look).await
}

/// What a survey is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A run follows, which takes sessions.
    Run,
    /// Nothing follows.
    Look,
}

/// Whether the user limits sessions.
fn is_limited(hints: Option<&RuntimeContext>) -> bool {
    hints.is_some_and(|hints| hints.max_source_connections.is_some())
}

impl Survey {
    /// Plans what `request` asks for.
    pub(super) async fn of_request(
        context: &Context,
        history: &mut History,
        source: Arc<dyn Source>,
        request: &RunRequest,
        purpose: Purpose,
    ) -> Result<Self, Failure> {
        let wanted = Wanted {
            table: &request.table,
            selection: &request.selection,
            types: &request.types,
            chunk_rows: request.work.chunk_rows,
            window: window_of(request),
        };
        let begun = context.clock.monotonic();
        let profile = profile(context, &source, &wanted).await?;
        let look_took = context.clock.monotonic().saturating_sub(begun);
        let relation = &profile.table.relation;
        let template = match wanted.window {
            Some(window) => &increment::template(&request.selection, &window.column),
            None => &request.selection,
        };
        let scope = history.scope(source.identity(), relation, template);
        history.save_profile(&scope, &profile, context)?;
        let contact = Contact {
            latency: profile.latency.clone(),
            connections: profile.connections,
        };
        let rows = profile.statistics.estimate.rows;
        let circumstances = circumstances(context, history, source.identity(), (&contact, rows))?;
        let known = Known {
            past: history.teachers(&scope)?,
            state: history.learned(&scope)?,
            benchmark: history.benchmark(&scope)?,
            circumstances,
            now: context.clock.now(),
        };
        let limited = is_limited(request.hints.as_ref());
        let share = Share::of(context, history, source.identity(), limited);
        let shared = match &request.hints {
            Some(hints) => Some(share.shared(hints, source.identity())?),
            None => None,
        };
        let request = &RunRequest {
            hints: shared,
            ..request.clone()
        };
        let mut planned = make_plan(request, source.identity(), &profile, &known)?;
        planned
            .plan
            .warnings
            .extend(share.remark(request.hints.as_ref()));
        let claim = match purpose {
            Purpose::Run => share.claim(context, planned.plan.spec.workers),
            Purpose::Look => None,
        };
        let allowed = planned.plan.resolution.as_ref().map(|found| found.most);
        Ok(Self {
            speeds: known.speeds(&profile),
            most_workers: request.work.max_workers.min(allowed.unwrap_or(u32::MAX)),
            constrained: planner::constrained(request),
            source,
            circumstances: known.circumstances,
            contact,
            source_then: (&profile).into(),
            look_took,
            scope,
            plan: planned.plan,
            learned: planned.next,
            _claim: claim,
        })
    }

    /// Takes a plan that was made before, if the table is still what it was made for. The table is
    /// described, and what is kept with every run is asked for; what there is to decide was decided.
    pub(super) async fn of_plan(
        context: &Context,
        history: &mut History,
        source: Arc<dyn Source>,
        given: &Given,
    ) -> Result<Self, Failure> {
        let plan = &given.plan;
        let read = &plan.spec.read;
        check_source(&plan.spec.source, source.identity(), &read.relation)?;
        let selection = Selection {
            columns: read.columns.iter().map(|c| c.name.clone()).collect(),
            exclude: Vec::new(),
            filter_template: read.filter.clone(),
            filter: read.filter.clone(),
            query_template: read.query.clone(),
            query: read.query.clone(),
        };
        let begun = context.clock.monotonic();
        let Glance {
            table,
            contact,
            statistics,
        } = glance(context, source.as_ref(), plan, &selection).await?;
        let look_took = context.clock.monotonic().saturating_sub(begun);
        check_table(read, &table)?;
        let hints = plan.resolution.as_ref().map(|found| &found.hints);
        let share = Share::of(context, history, source.identity(), is_limited(hints));
        if let Some(most) = hints.and_then(|hints| hints.max_source_connections) {
            share.left(most.get(), plan.spec.workers, source.identity())?;
        }
        let claim = share.claim(context, plan.spec.workers);
        let scope = match given.original() {
            Some(original) => Scope {
                source: source.identity().clone(),
                ..original.scope.clone()
            },
            None => {
                let template = remembered_under(plan, &selection);
                history.scope(source.identity(), &read.relation, &template)
            }
        };
        Ok(Self {
            circumstances: circumstances(
                context,
                history,
                source.identity(),
                (&contact, plan.forecast.rows),
            )?,
            source_then: SourceThen::new(statistics.as_ref(), &contact.latency),
            look_took,
            contact,
            scope,
            plan: plan.clone(),
            constrained: true,
            learned: None,
            speeds: BTreeMap::new(),
            most_workers: plan.spec.workers,
            _claim: claim,
            source,
        })
    }

    /// The hints that the plan was made with.
    pub(super) fn hints(&self) -> Option<&RuntimeContext> {
        self.plan.resolution.as_ref().map(|found| &found.hints)
    }

    /// Where the dataset goes: the output template, filled in.
    pub(super) fn output(
        &self,
        template: &str,
        settings: &SourceSettings,
        context: &Context,
    ) -> PathBuf {
        let of = (self.source.identity(), &self.plan.spec.read.relation);
        output(of, template, settings, context)
    }

    /// The plan as it is shown.
    pub(super) fn document<'a>(
        &'a self,
        output: &'a str,
        verdict: &Verdict,
        warnings: Vec<String>,
    ) -> PlanDocument<'a> {
        PlanDocument {
            table: self.plan.spec.read.relation.to_string(),
            server: &self.source.capabilities().server,
            connections: self.contact.connections,
            output,
            verdict: verdict_document(verdict),
            advice: planner::advice(&self.plan),
            constrained: self.constrained,
            context: &self.circumstances,
            plan: &self.plan,
            schema_change: None,
            cost: None,
            written: None,
            warnings,
        }
    }
}

/// Measures the circumstances of a plan for a table of about `rows` rows; this run has no row in the
/// history yet.
fn circumstances(
    context: &Context,
    history: &mut History,
    source: &SourceIdentity,
    (contact, rows): (&Contact, u64),
) -> Result<ExecutionContext, Failure> {
    let around = Surroundings {
        now: context.clock.now(),
        concurrent_extractions: history.running(source)?,
        system_load_per_core: machine::load_per_core(),
    };
    let Contact {
        latency,
        connections,
    } = contact;
    Ok(ExecutionContext::measured(
        latency,
        *connections,
        rows,
        around,
    ))
}

/// What earlier runs have left, and what is measured now.
struct Known {
    past: Vec<PastRun>,
    state: State,
    benchmark: Option<Benchmark>,
    circumstances: ExecutionContext,
    now: Timestamp,
}

/// Who decides how many workers, and from what.
struct Deciders {
    samples: Vec<Sample>,
    state: State,
    /// What the benchmark stands for, or why it does not decide.
    advice: Option<Result<Benchmarked, Unfit>>,
}

/// Settles it between the runs and the latest benchmark.
fn deciders(known: &Known, rows: u64) -> Deciders {
    let samples: Vec<Sample> = known.past.iter().map(sample).collect();
    let mut deciders = Deciders {
        samples,
        state: known.state.clone(),
        advice: None,
    };
    let Some(benchmark) = &known.benchmark else {
        return deciders;
    };
    let advice = curve::advise(benchmark, known.now, rows);
    deciders.advice = Some(advice);
    if let Ok(advice) = advice {
        let Deciders { samples, state, .. } = &deciders;
        match benchmarked::after(benchmark, advice.workers, samples, state) {
            After::Benchmark => {}
            After::Runs {
                history,
                state,
                runs,
            } => {
                deciders.samples = history;
                deciders.state = state;
                deciders.advice = Some(Err(Unfit::TakenUp { runs }));
            }
        }
    }
    deciders
}

impl Known {
    /// What estimates rest on, for a table of about `rows` rows now.
    fn evidence(&self, rows: u64) -> Evidence<'_> {
        let holds = |of: &&Benchmark| curve::advise(of, self.now, rows).is_ok();
        Evidence {
            history: &self.past,
            context: &self.circumstances,
            now: self.now,
            benchmark: self.benchmark.as_ref().filter(holds),
        }
    }

    /// What every number of workers that earlier runs or a benchmark had is expected to reach now.
    fn speeds(&self, profile: &SourceProfile) -> BTreeMap<u32, f64> {
        let evidence = self.evidence(profile.statistics.estimate.rows);
        let of_runs = self.past.iter().filter(|run| run.teaches);
        let of_runs = of_runs.map(|run| run.workers);
        let benchmark = evidence.benchmark.into_iter();
        let benchmarked = benchmark.flat_map(|of| of.throughput_by_workers().into_keys());
        of_runs
            .chain(benchmarked)
            .map(|workers| {
                let estimate = estimator::estimate(&evidence, profile, workers);
                (workers, estimate.rows_per_s)
            })
            .collect()
    }
}

fn make_plan(
    request: &RunRequest,
    source: &SourceIdentity,
    profile: &SourceProfile,
    known: &Known,
) -> Result<Planned, Failure> {
    let rows = profile.statistics.estimate.rows;
    let deciders = deciders(known, rows);
    let evidence = known.evidence(rows);
    let planned = planner::plan(&Inputs {
        request,
        source,
        profile,
        estimate: &|workers| estimator::estimate(&evidence, profile, workers),
        learned: &|room| between_runs::decide(&deciders.samples, &deciders.state, room),
        benchmark: deciders.advice,
        filtered: profile
            .table
            .filter
            .as_ref()
            .and_then(|_| estimator::filtered_rows(&known.past, rows)),
        limits: Limits {
            cpus: machine::cpus(),
        },
    })?;
    Ok(planned)
}

fn sample(run: &PastRun) -> Sample {
    Sample {
        workers: run.workers,
        throughput: run.throughput,
        at: run.started_at,
    }
}

fn verdict_document(verdict: &Verdict) -> VerdictDocument {
    let (verdict, reason) = match verdict {
        Verdict::Safe => (wording::SAFE, None),
        Verdict::SafeWithWarnings => (wording::SAFE_WITH_WARNINGS, None),
        Verdict::NotRecommended(objection) => {
            (wording::NOT_RECOMMENDED, Some(hints::objection(objection)))
        }
    };
    VerdictDocument { verdict, reason }
}

/// What runs of a given plan are remembered under: those of windows by their column, not their bounds.
fn remembered_under(plan: &ExecutionPlan, selection: &Selection) -> Selection {
    let Some(planned) = &plan.spec.window else {
        return selection.clone();
    };
    let of = Selection {
        filter_template: planned.of.filter.clone(),
        query_template: planned.of.query.clone(),
        ..selection.clone()
    };
    increment::template(&of, &planned.of.column)
}

/// The window of a request, once it is fixed.
fn window_of(request: &RunRequest) -> Option<&Window> {
    let planned = request.increment.as_ref()?.fixed.as_ref()?;
    Some(&planned.window)
}
