//! `ixtract run`: from a request, or a given plan, to a published dataset.
//!
//! One way for every source: settle, connect, plan, take the output, record, read, prove, publish,
//! record. Whatever fails after the output was taken gives it back and closes the run's row.

mod agreement;
mod attempt;
mod resuming;
mod taking;
mod windows;

use std::time::Duration;

use jiff::Timestamp;

use self::agreement::agree;
use self::attempt::Attempt;
pub(super) use self::resuming::Unfinished;
use self::taking::Listing;
use super::args::RunArgs;
use super::context::Context;
use super::drift;
use super::history::{self, History};
use super::plan;
use super::price;
use super::settings::{self, ObjectStoreSettings, SourceSettings, StateSettings};
use super::survey::{self, Purpose, Survey};
use crate::error::Failure;
use crate::model::{
    ExecutionPlan, OnSchemaChange, OutputOptions, Rates, Resumed, RunId, RunOpen, RunRequest, Scope,
};
use crate::ui;
use crate::ui::json::RunDocument;
use crate::writer::Leftovers;
use crate::writer::publish::Dataset;

/// Runs what the command line asks for and shows what came of it.
pub(super) async fn command(context: &Context, args: &RunArgs) -> Result<(), Failure> {
    let mut job = Job::of(context, args)?;
    windows::command(context, &mut job).await
}

/// Does a job and shows what came of it.
async fn publish(context: &Context, job: &Job) -> Result<(), Failure> {
    let document = perform(context, job).await?;
    context.printer.document(&document);
    context.printer.show(&ui::summary::view(&document));
    context.printer.excuse(PUBLISHED_UNTOLD);
    Ok(())
}

/// What is said where the summary could not be written: what is published stays published.
pub(super) const PUBLISHED_UNTOLD: &str =
    "the dataset is published, but its summary did not reach standard output";

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
    /// `--wait`: how long another run of the dataset is waited for.
    pub(super) wait: Duration,
    /// `--on-schema-change`.
    pub(super) on_schema_change: OnSchemaChange,
    /// `--discard`: what unfinished runs left is removed before reading.
    pub(super) discard: bool,
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
    /// Where it comes from.
    pub(super) origin: Origin,
}

/// Where a plan comes from.
#[derive(Debug)]
pub(super) enum Origin {
    /// A file.
    File,
    /// A run that is executed again.
    Replay(Original),
    /// A run that is gone on with.
    Resume(Unfinished),
}

impl Given {
    /// The run whose plan it is, where it is that of one.
    pub(super) fn original(&self) -> Option<&Original> {
        match &self.origin {
            Origin::File => None,
            Origin::Replay(original) => Some(original),
            Origin::Resume(unfinished) => Some(&unfinished.original),
        }
    }
}

/// A run whose plan is executed again.
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
            Self::Given(given) => match &given.origin {
                Origin::Replay(original) => Some(&original.id),
                Origin::File | Origin::Resume(_) => None,
            },
            Self::Request(_) => None,
        }
    }

    /// The run that is gone on with, where that is what is done.
    fn resumes(&self) -> Option<&Unfinished> {
        match self {
            Self::Given(given) => match &given.origin {
                Origin::Resume(unfinished) => Some(unfinished),
                Origin::File | Origin::Replay(_) => None,
            },
            Self::Request(_) => None,
        }
    }
}

impl Job {
    /// The job that the arguments of `run` describe.
    pub(super) fn of(context: &Context, args: &RunArgs) -> Result<Self, Failure> {
        if let Some(run) = &args.resume {
            return resuming::job(context, args, run);
        }
        let goal = match (&args.plan, &args.table) {
            (Some(file), _) => Goal::Given(Box::new(Given {
                plan: plan::read(file)?,
                origin: Origin::File,
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
            wait: args.wait.unwrap_or_default(),
            discard: args.discard,
            on_schema_change: args.drift.on_schema_change,
            notes: Vec::new(),
            goal,
        })
    }
}

/// Does a job. Under `--json` the document is the caller's to print.
pub(super) async fn perform(context: &Context, job: &Job) -> Result<RunDocument, Failure> {
    let id = context.run_id();
    let started_at = context.clock.now();
    let mut history = History::open(context, &job.state)?;
    let mut survey = look(context, job, &mut history, &id).await?;
    let output = survey.output(&job.output.directory, &job.source, context);
    let place = job.store.locate(output.clone())?;
    let window = survey.plan.spec.window.clone();
    let taken = taking::take(context, job, &mut history, (&output, &id), window).await?;
    if taken.waited {
        // What was seen of the table is as old as the wait was long.
        survey = look(context, job, &mut history, &id).await?;
    }
    let (mut dataset, windows) = (taken.dataset, taken.windows);
    dataset.measure(context.clock.clone());
    let mut left = Leftovers::default();
    if let Some(unfinished) = job.goal.resumes() {
        (dataset, left) = unfinished.look_over(context, dataset).await?;
        context.printer.show(&[ui::resume::announced(
            &unfinished.original.id,
            unfinished.not_kept,
            (left.intact.len(), survey.plan.spec.chunks.len()),
        )]);
    }
    let recorded = match &windows {
        // The dataset of a window is where its list is: there the next run, and a replay, look.
        Some((windows, _)) => windows.place().to_string(),
        None => dataset.location().to_string(),
    };
    let mut open = opening(job, &survey, recorded, (id, started_at), &left);
    let compared = drift::compare(context, job.on_schema_change, &survey, &mut history, place);
    let agreed = match compared.await {
        Ok(drift) => {
            open.drift = drift;
            agree(context, job, &survey, &dataset, (&output, &left, &open)).await
        }
        Err(refused) => Err(refused),
    };
    if let Err(failure) = agreed.and_then(|()| history.begin(&open)) {
        give_back(context, dataset);
        windows
            .into_iter()
            .for_each(|(windows, _)| windows.abandon());
        return Err(failure);
    }
    let ready = Ready {
        open,
        dataset,
        left,
        windows,
    };
    conclude(context, job, &survey, &mut history, ready).await
}

/// The row of a run that is about to start.
fn opening(
    job: &Job,
    survey: &Survey,
    output: String,
    (id, started_at): (RunId, Timestamp),
    left: &Leftovers,
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
        resumes: job.goal.resumes().map(|unfinished| Resumed {
            run: unfinished.original.id.clone(),
            kept: left.intact.clone(),
        }),
        drift: None,
        source_then: survey.source_then.clone(),
        look_ms: u64::try_from(survey.look_took.as_millis()).unwrap_or(u64::MAX),
        output,
    }
}

/// Connects, looks at the table, and plans or takes the plan that is given.
async fn look(
    context: &Context,
    job: &Job,
    history: &mut History,
    id: &RunId,
) -> Result<Survey, Failure> {
    let source = survey::connect(context, &job.source, Some(id.clone())).await?;
    match &job.goal {
        Goal::Request(request) => {
            Survey::of_request(context, history, source, request, Purpose::Run).await
        }
        Goal::Given(given) => {
            let survey = Survey::of_plan(context, history, source, given).await;
            survey.map_err(|failure| match job.goal.resumes() {
                Some(unfinished) => unfinished.unfit(failure),
                None => failure,
            })
        }
    }
}

/// A run whose row is written and whose output is held.
struct Ready {
    open: RunOpen,
    dataset: Dataset,
    /// What an unfinished run left.
    left: Leftovers,
    /// The list that is to name the dataset, where it is that of a window.
    windows: Option<Listing>,
}

/// Reads, publishes, and closes the run's row, whatever happens.
async fn conclude(
    context: &Context,
    job: &Job,
    survey: &Survey,
    history: &mut History,
    ready: Ready,
) -> Result<RunDocument, Failure> {
    let Ready {
        open,
        mut dataset,
        left,
        windows,
    } = ready;
    let held = windows.as_ref().map_or(0, |(windows, _)| windows.nulls());
    let mut attempt = Attempt::new(left, held);
    let read = attempt
        .read(context, job, (survey, &open), &mut dataset, history)
        .await;
    let published = match read {
        Ok(()) => {
            let published = attempt.publish(context, survey, &open, dataset).await;
            taking::list(context, published, windows).await
        }
        Err(failure) => {
            if attempt.leaves() {
                leave(context, dataset);
            } else {
                give_back(context, dataset);
            }
            windows
                .into_iter()
                .for_each(|(windows, _)| windows.abandon());
            Err(failure)
        }
    };
    let published = match published {
        Err(failure) => Err(attempt.parting(context, job, history, (&open, failure))),
        published => published,
    };
    let mut close = attempt.close(context, &open, published.as_ref().err());
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

/// Leaves the finished chunks to a run that goes on with this one.
fn leave(context: &Context, dataset: Dataset) {
    if let Err(error) = dataset.leave() {
        let failure = Failure::from(error);
        context.printer.warn(&format!(
            "not everything that was finished may be there for a resumed run: {}: {}",
            failure.what, failure.why
        ));
    }
}
