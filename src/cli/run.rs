//! `ixtract run`: from a request, or a given plan, to a published dataset.
//!
//! One way for every source: settle, connect, plan, take the output, record, read, prove, publish,
//! record. Whatever fails after the output was taken gives it back and closes the run's row.

mod attempt;

use std::path::{Path, PathBuf};

use self::attempt::Attempt;
use super::args::RunArgs;
use super::context::Context;
use super::history::{self, History};
use super::plan;
use super::price;
use super::settings::{self, ObjectStoreSettings, SourceSettings, StateSettings};
use super::survey::{self, Purpose, Survey};
use crate::error::{ExitCode, Failure};
use crate::model::{
    ExecutionPlan, OutputOptions, Rates, RunId, RunOpen, RunRequest, Scope, Verdict,
};
use crate::planner::verdict;
use crate::ui;
use crate::ui::json::RunDocument;
use crate::writer::publish::Dataset;

/// Runs what the command line asks for and shows what came of it.
pub(super) async fn command(context: &Context, args: &RunArgs) -> Result<(), Failure> {
    let job = Job::of(context, args)?;
    let document = perform(context, &job).await?;
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
            goal,
        })
    }
}

/// Does a job. Under `--json` the document is the caller's to print.
pub(super) async fn perform(context: &Context, job: &Job) -> Result<RunDocument, Failure> {
    let id = context.run_id();
    let started_at = context.clock.now();
    let mut history = History::open(context, &job.state)?;
    let source = survey::connect(context, &job.source, Some(id.clone())).await?;
    let survey = match &job.goal {
        Goal::Request(request) => {
            Survey::of_request(context, &mut history, source, request, Purpose::Run).await?
        }
        Goal::Given(given) => Survey::of_plan(context, &mut history, source, given).await?,
    };
    let output = survey.output(&job.output.directory, &job.source, context);
    let mut dataset = take(context, job, output.clone(), &id).await?;
    dataset.measure(context.clock.clone());

    let open = RunOpen {
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
            .map(|rates| price::expected(rates, &survey).total),
        replay_of: job.goal.replays().cloned(),
        counters: survey
            .profile
            .as_ref()
            .map(|profile| profile.statistics.counters.clone())
            .unwrap_or_default(),
        profile: survey.profile.clone(),
        output: dataset.location().to_string(),
    };
    let agreed = match agree(context, job, &survey, &dataset, &output).await {
        Ok(()) => history.begin(&open),
        refused => refused,
    };
    if let Err(failure) = agreed {
        give_back(context, dataset);
        return Err(failure);
    }
    conclude(context, job, &survey, &mut history, Ready { open, dataset }).await
}

/// Takes the output; a store may be far away, so a signal ends the wait for it.
async fn take(
    context: &Context,
    job: &Job,
    output: PathBuf,
    id: &RunId,
) -> Result<Dataset, Failure> {
    let location = job.store.locate(output)?;
    let (id, options) = (id.clone(), job.output.clone());
    let prepare = move || {
        Ok(Dataset::prepare(
            &location,
            &id,
            options.layout,
            options.keep,
        )?)
    };
    context.blocking(prepare).await
}

/// A run whose row is written and whose output is held.
struct Ready {
    open: RunOpen,
    dataset: Dataset,
}

/// Reads, publishes, and closes the run's row, whatever happens.
async fn conclude(
    context: &Context,
    job: &Job,
    survey: &Survey,
    history: &mut History,
    ready: Ready,
) -> Result<RunDocument, Failure> {
    let Ready { open, dataset } = ready;
    let mut attempt = Attempt::default();
    let read = attempt.read(context, job, survey, &dataset).await;
    let published = match read {
        Ok(()) => attempt.publish(context, survey, &open, dataset).await,
        Err(failure) => {
            give_back(context, dataset);
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
    let mut document = survey.document(&shown, &verdict, Vec::new());
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

/// Removes what was staged. A failure to do so changes nothing about how the run ended.
fn give_back(context: &Context, dataset: Dataset) {
    if let Err(error) = dataset.abandon() {
        let failure = Failure::from(error);
        context.printer.warn(&format!(
            "the staging area is left to the next run: {}: {}",
            failure.what, failure.why
        ));
    }
}
