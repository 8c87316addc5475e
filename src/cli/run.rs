//! `ixtract run`: from a request, or a given plan, to a published dataset.
//!
//! One way for every source: settle, connect, plan, take the output, record, read, prove, publish,
//! record. Whatever fails after the output was taken gives it back and closes the run's row.

mod attempt;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use self::attempt::Attempt;
use super::args::RunArgs;
use super::context::Context;
use super::history::{self, History};
use super::increment::{self, Settled, Target};
use super::plan;
use super::price;
use super::settings::{self, ObjectStoreSettings, SourceSettings, StateSettings};
use super::survey::{self, Survey};
use crate::error::{ExitCode, Failure};
use crate::model::{
    ExecutionPlan, OutputOptions, Rates, RunId, RunOpen, RunRequest, Scope, Verdict, Window,
};
use crate::planner::verdict;
use crate::source::Source;
use crate::ui;
use crate::ui::json::{NothingNewDocument, RunDocument};
use crate::writer::publish::{Dataset, Published};
use crate::writer::windows::Windows;

/// Runs what the command line asks for and shows what came of it.
pub(super) async fn command(context: &Context, args: &RunArgs) -> Result<(), Failure> {
    let mut job = Job::of(context, args)?;
    let opened = Opened::open(context, &job).await?;
    if let Some(nothing) = job.fix_window(context, &opened).await? {
        context.printer.document(&nothing);
        context.printer.show(&ui::summary::nothing_new(&nothing));
        return Ok(());
    }
    let document = opened.carry_out(context, &job).await?;
    context.printer.document(&document);
    context.printer.show(&ui::summary::view(&document));
    Ok(())
}

/// A run, settled.
#[derive(Debug)]
pub(super) struct Job {
    /// The database.
    pub(super) source: SourceSettings,
    /// The history.
    pub(super) state: StateSettings,
    /// What is to be done.
    pub(super) goal: Goal,
    /// Where the dataset goes; the directory is still a template.
    pub(super) output: OutputOptions,
    /// How an object store is reached.
    pub(super) store: ObjectStoreSettings,
    /// `--force` or `--yes`: a plan that is not recommended is run without a question.
    pub(super) consent: bool,
    /// What things cost, where they cost anything.
    pub(super) rates: Option<Rates>,
    /// The plan is like one that was shown before: one line is enough.
    pub(super) shown_before: bool,
    /// What a person should know of the window, where one is extracted.
    pub(super) notes: Vec<String>,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Goal {
    /// A plan is to be made.
    Request(Box<RunRequest>),
    /// This plan is to be executed exactly.
    Given(Box<Given>),
}

/// A plan that was made before.
#[derive(Debug)]
pub(super) struct Given {
    /// The plan.
    pub(super) plan: ExecutionPlan,
    /// The run that is executed again, where the plan is that of one.
    pub(super) replays: Option<Original>,
}

/// A run that is executed again.
#[derive(Debug)]
pub(super) struct Original {
    /// Its id.
    pub(super) id: RunId,
    /// What it is remembered under.
    pub(super) scope: Scope,
}

impl Goal {
    /// The run that is executed again, where that is what is done.
    fn replays(&self) -> Option<&RunId> {
        match self {
            Self::Given(given) => given.replays.as_ref().map(|original| &original.id),
            Self::Request(_) => None,
        }
    }
}

impl Job {
    /// The job that the arguments of `run` describe.
    pub(super) fn of(context: &Context, args: &RunArgs) -> Result<Self, Failure> {
        let goal = match (&args.plan, &args.table) {
            (Some(file), _) => Goal::Given(Box::new(Given {
                plan: plan::read(file)?,
                replays: None,
            })),
            (None, table) => {
                let mut request = settings::request(
                    args.selection.subject(table.as_deref()),
                    &args.selection,
                    &args.types,
                    &args.work,
                    &args.output,
                )?;
                request.hints = settings::hints(&args.hints)?;
                request.increment = settings::increment(&args.window);
                Goal::Request(Box::new(request))
            }
        };
        let planned = match &goal {
            Goal::Given(given) => Some(&given.plan.spec.source),
            Goal::Request(_) => None,
        };
        Ok(Self {
            source: SourceSettings::settle(&args.source, &context.environment, planned)?,
            state: StateSettings::settle(&args.state, &context.environment),
            output: settings::output_options(&args.output)?,
            store: ObjectStoreSettings::settle(&args.output.store, &context.environment),
            consent: args.force || args.yes,
            rates: settings::rates(&args.cost)?,
            shown_before: false,
            notes: Vec::new(),
            goal,
        })
    }

    /// Fixes the window of an incremental extraction; what is told instead where nothing is new.
    async fn fix_window(
        &mut self,
        context: &Context,
        opened: &Opened,
    ) -> Result<Option<NothingNewDocument>, Failure> {
        let Goal::Request(request) = &mut self.goal else {
            return Ok(None);
        };
        let target = Target {
            directory: &self.output.directory,
            source: &self.source,
            store: &self.store,
        };
        match increment::settle(context, opened.source.as_ref(), request, &target).await? {
            Settled::Ready(notes) => {
                self.notes = notes;
                Ok(None)
            }
            Settled::Nothing(document) => Ok(Some(document)),
        }
    }
}

/// A run that has begun: history and source are there.
struct Opened {
    id: RunId,
    started_at: Timestamp,
    history: History,
    source: Arc<dyn Source>,
}

impl Opened {
    async fn open(context: &Context, job: &Job) -> Result<Self, Failure> {
        let id = context.run_id();
        let started_at = context.clock.now();
        let history = History::open(context, &job.state)?;
        let source = survey::connect(context, &job.source, Some(id.clone())).await?;
        Ok(Self {
            id,
            started_at,
            history,
            source,
        })
    }

    /// Plans and does the job.
    async fn carry_out(self, context: &Context, job: &Job) -> Result<RunDocument, Failure> {
        let Self {
            id,
            started_at,
            mut history,
            source,
        } = self;
        let survey = match &job.goal {
            Goal::Request(request) => {
                Survey::of_request(context, &mut history, source, request).await?
            }
            Goal::Given(given) => Survey::of_plan(context, &mut history, source, given).await?,
        };
        let output = survey.output(&job.output.directory, &job.source, context);
        let taken = take(context, job, &survey, output.clone(), &id).await?;
        let open = run_open(job, &survey, &taken.dataset, (id, started_at));
        let agreed = match agree(context, job, &survey, &taken.dataset, &output).await {
            Ok(()) => history.begin(&open),
            refused => refused,
        };
        if let Err(failure) = agreed {
            taken.give_back(context);
            return Err(failure);
        }
        conclude(context, job, &survey, &mut history, Ready { open, taken }).await
    }
}

/// Does a job. Under `--json` the document is the caller's to print.
pub(super) async fn perform(context: &Context, job: &Job) -> Result<RunDocument, Failure> {
    let opened = Opened::open(context, job).await?;
    opened.carry_out(context, job).await
}

/// The run's row, as it is written before it starts.
fn run_open(
    job: &Job,
    survey: &Survey,
    dataset: &Dataset,
    (id, started_at): (RunId, Timestamp),
) -> RunOpen {
    RunOpen {
        id,
        scope: survey.scope.clone(),
        started_at,
        pid: std::process::id(),
        host: history::host(),
        plan: survey.plan.clone(),
        constrained: survey.constrained,
        hints: survey.hints().cloned(),
        context: Some(survey.circumstances.clone()),
        estimated_cost: job
            .rates
            .as_ref()
            .map(|rates| price::expected(rates, survey).total),
        replay_of: job.goal.replays().cloned(),
        counters: survey
            .profile
            .as_ref()
            .map(|profile| profile.statistics.counters.clone())
            .unwrap_or_default(),
        profile: survey.profile.clone(),
        output: dataset.location().to_string(),
    }
}

/// Takes the output; a store may be far away, so a signal ends the wait for it.
async fn take(
    context: &Context,
    job: &Job,
    survey: &Survey,
    output: PathBuf,
    id: &RunId,
) -> Result<Taken, Failure> {
    let location = job.store.locate(output)?;
    let (id, options) = (id.clone(), job.output.clone());
    let window = survey.windowed();
    let take = move || {
        let windows = window
            .map(|(window, definition)| {
                Windows::take(&location, definition, &window).map(|taken| (taken, window))
            })
            .transpose()?;
        let target = match &windows {
            Some((windows, window)) => windows.dataset(window),
            None => location,
        };
        match Dataset::prepare(&target, &id, options.layout, options.keep) {
            Ok(dataset) => Ok(Taken { dataset, windows }),
            Err(error) => {
                if let Some((windows, _)) = windows {
                    windows.abandon();
                }
                Err(error.into())
            }
        }
    };
    let mut taken = context.blocking(take).await?;
    taken.dataset.measure(context.clock.clone());
    Ok(taken)
}

/// An output that this run holds: a dataset or, of an incremental one, the dataset of a window and
/// the list that is to name it.
struct Taken {
    dataset: Dataset,
    windows: Option<(Windows, Window)>,
}

impl Taken {
    /// Removes what was staged. A failure to do so changes nothing about how the run ended.
    fn give_back(self, context: &Context) {
        if let Err(error) = self.dataset.abandon() {
            let failure = Failure::from(error);
            context.printer.warn(&format!(
                "the staging area is left to the next run: {}: {}",
                failure.what, failure.why
            ));
        }
        if let Some((windows, _)) = self.windows {
            windows.abandon();
        }
    }
}

/// A run whose row is written and whose output is held.
struct Ready {
    open: RunOpen,
    taken: Taken,
}

/// Reads, publishes, and closes the run's row, whatever happens.
async fn conclude(
    context: &Context,
    job: &Job,
    survey: &Survey,
    history: &mut History,
    ready: Ready,
) -> Result<RunDocument, Failure> {
    let Ready { open, taken } = ready;
    let mut attempt = Attempt::default();
    let read = attempt.read(context, job, survey, &taken.dataset).await;
    let published = match read {
        Ok(()) => publish(context, survey, (&attempt, &open), taken).await,
        Err(failure) => {
            taken.give_back(context);
            Err(failure)
        }
    };
    let mut close = attempt.close(context, published.as_ref().err());
    if published.is_ok() {
        history.diagnose(&open, &mut close);
    }
    let spent = job
        .rates
        .as_ref()
        .map(|rates| (rates, price::spent(rates, &close)));
    close.actual_cost = spent.map(|(_, cost)| cost.total);
    let lost = history.close(&open.id, &close, survey.learned.as_ref());
    match published {
        Ok(published) => {
            let teaches = history.teaches(&survey.scope, &open.id);
            let mut document = attempt.document(survey, &open, published)?;
            document.notes.clone_from(&job.notes);
            document.warnings.extend(lost);
            document.warnings.extend_from_slice(history.warnings());
            document.state = history.file();
            document.teaches = teaches;
            document.finding = close.finding;
            document.anomaly = close.anomaly;
            document.cost = spent.map(|(rates, cost)| price::summary(rates, survey, cost));
            Ok(document)
        }
        Err(failure) => {
            if let Some(lost) = lost {
                context.printer.warn(&lost);
            }
            Err(failure)
        }
    }
}

/// Publishes and, of a window, lists it.
async fn publish(
    context: &Context,
    survey: &Survey,
    (attempt, open): (&Attempt, &RunOpen),
    taken: Taken,
) -> Result<Published, Failure> {
    let Taken { dataset, windows } = taken;
    let published = attempt.publish(context, survey, open, dataset).await;
    let Some((windows, window)) = windows else {
        return published;
    };
    let mut published = match published {
        Ok(published) => published,
        Err(failure) => {
            windows.abandon();
            return Err(failure);
        }
    };
    let manifest = published.manifest.clone();
    let list = move || Ok(windows.record(&window, &manifest)?);
    published.warnings.extend(context.blocking(list).await?);
    Ok(published)
}

/// Shows plan and verdict; refuses what is not recommended, unless somebody says otherwise.
async fn agree(
    context: &Context,
    job: &Job,
    survey: &Survey,
    dataset: &Dataset,
    output: &Path,
) -> Result<(), Failure> {
    let verdict = verdict(&survey.plan, dataset.free_bytes()?);
    let shown = output.display().to_string();
    let mut document = survey.document(&shown, &verdict, job.notes.clone());
    document.cost = job
        .rates
        .as_ref()
        .map(|rates| price::document(rates, survey));
    if job.shown_before {
        context.printer.show(&[ui::plan::short(&document)]);
    } else {
        context.printer.show(&ui::plan::brief(&document));
        context.printer.show(&[ui::Line::Blank]);
    }
    if let Some(age) = job.source.impact.snapshot_age
        && survey.plan.forecast.duration_s > age.as_secs_f64()
    {
        context.printer.warn(&format!(
            "the run is expected to take {:.0} s, and is stopped when its snapshot is {} s old \
             (--max-snapshot-age)",
            survey.plan.forecast.duration_s,
            age.as_secs()
        ));
    }
    let Verdict::NotRecommended(objection) = verdict else {
        return Ok(());
    };
    let reason = ui::hints::objection(&objection);
    if job.consent {
        context
            .printer
            .warn(&format!("not recommended, but forced: {reason}"));
        return Ok(());
    }
    let printer = context.printer.clone();
    let ask = move || Ok(printer.ask("Run it anyway?"));
    match context.blocking(ask).await? {
        Some(true) => Ok(()),
        answer => Err(Failure::new(
            ExitCode::Refused,
            format!(
                "the plan for {} is not recommended",
                survey.plan.spec.read.relation
            ),
            reason,
            match answer {
                Some(_) => "nothing was done, as you said",
                None if job.goal.replays().is_some() => {
                    "change what the reason names, or pass --yes to run it anyway"
                }
                None => "change what the reason names, or pass --force to run it anyway",
            },
        )),
    }
}
