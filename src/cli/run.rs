//! `ixtract run`: from a request, or a given plan, to a published dataset.
//!
//! One way for every source: settle, connect, plan, take the output, record, read, prove, publish,
//! record. Whatever fails after the output was taken gives it back and closes the run's row.

mod agreement;
mod attempt;
mod job;
mod resuming;
mod set;
mod shared;
mod taking;
mod windows;

use std::sync::Arc;

use jiff::Timestamp;

use self::agreement::agree;
use self::attempt::Attempt;
pub(super) use self::job::{Given, Goal, Job, Origin, Original};
pub(super) use self::set::{Set, Wish, perform as perform_set};
use self::shared::Common;
use self::taking::Listing;
use super::aftermath::{Ending, Watched};
use super::args::RunArgs;
use super::context::Context;
use super::drift;
use super::history::{self, History};
use super::many;
use super::price;
use super::survey::{self, Purpose, Survey};
use crate::error::{ExitCode, Failure};
use crate::model::{Resumed, RunId, RunOpen};
use crate::ui;
use crate::ui::events::RunEvent;
use crate::ui::json::RunDocument;
use crate::writer::Leftovers;
use crate::writer::publish::Dataset;

/// Runs what the command line asks for, and tells of it.
pub(super) async fn command(context: &Context, args: &RunArgs) -> Result<ExitCode, Failure> {
    if many::is_asked_for(&args.table, &args.many) {
        return many::run(context, args).await;
    }
    let table = args.table.first().map(String::as_str);
    let asked = args.selection.subject(table);
    let mut watched = Watched::new(context, &args.machine, asked);
    let result = attempt(context, args, &mut watched).await;
    watched.end(result).await.map(|()| ExitCode::Success)
}

async fn attempt(
    context: &Context,
    args: &RunArgs,
    watched: &mut Watched<'_>,
) -> Result<Ending, Failure> {
    watched.begin("run").await?;
    let mut job = Job {
        id: watched.id.clone(),
        ..Job::of(context, args)?
    };
    watched.settled(&job);
    windows::extract(context, &mut job).await
}

/// What is said where the summary could not be written: what is published stays published.
pub(super) const PUBLISHED_UNTOLD: &str =
    "the dataset is published, but its summary did not reach standard output";

/// Does a job. Under `--json` the document is the caller's to print.
pub(super) async fn perform(context: &Context, job: &Job) -> Result<RunDocument, Failure> {
    let id = job.id.clone();
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
    announce(context, &open);
    let ready = Ready {
        open,
        dataset,
        left,
        windows,
        common: None,
    };
    conclude(context, job, &survey, &mut history, ready).await
}

/// Tells what is going to be done.
fn announce(context: &Context, open: &RunOpen) {
    let events = context.events();
    let planned = RunEvent::planned(&open.plan, open.output.clone());
    events.tell(&open.id, &planned);
    if let Some(drift) = &open.drift {
        events.tell(&open.id, &RunEvent::schema_changed(drift));
    }
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
        set: None,
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
    /// What it shares with other runs, where it is one of a set.
    common: Option<Arc<Common>>,
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
        common,
    } = ready;
    let held = windows.as_ref().map_or(0, |(windows, _)| windows.nulls());
    let mut attempt = Attempt::new((left, held), common);
    let read = attempt
        .read(context, job, (survey, &open), &mut dataset, history)
        .await;
    let published = match read {
        Ok(()) => {
            let published = attempt.publish(context, survey, &open, dataset).await;
            let published = taking::list(context, published, windows).await;
            if let Ok(published) = &published {
                let published = attempt::published(published);
                context.events().tell(&open.id, &published);
            }
            published
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
    let published =
        published.map_err(|failure| attempt.parting(context, job, history, (&open, failure)));
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
