//! Taking the output: one run of a dataset at a time, and the next one waits or says so.

use std::path::Path;
use std::time::Duration;

use crate::cli::context::Context;
use crate::cli::history::History;
use crate::cli::run::{Goal, Job};
use crate::error::{ExitCode, Failure};
use crate::model::{Layout, PlannedWindow, RunId, Window};
use crate::source::SourceError;
use crate::ui;
use crate::writer::publish::{Dataset, Published};
use crate::writer::windows::Windows;
use crate::writer::{Location, WriteError};

/// Pause between two looks whether the other run has ended.
const PAUSE: Duration = Duration::from_millis(250);

/// An output that was taken.
pub(super) struct Taken {
    /// The output.
    pub(super) dataset: Dataset,
    /// Whether another run had it first.
    pub(super) waited: bool,
    /// The list that is to name the dataset, where it is that of a window.
    pub(super) windows: Option<Listing>,
}

/// A list of windows, and the window that it is to name.
pub(super) type Listing = (Windows, Window);

/// Takes the output for a run; a store may be far away, so a signal ends the wait for it.
///
/// # Errors
/// 75 when another run of the dataset has not ended before `--wait` has.
pub(super) async fn take(
    context: &Context,
    job: &Job,
    history: &mut History,
    (output, id): (&Path, &RunId),
    window: Option<PlannedWindow>,
) -> Result<Taken, Failure> {
    let location = job.store.locate(output.to_owned())?;
    if let Some(unfinished) = job.goal.resumes() {
        unfinished.check_place(&location)?;
    }
    let begun = context.clock.monotonic();
    let mut waited = false;
    loop {
        let held = match other_run(context, history, &location)? {
            Some(held) => held,
            None => match prepare(context, job, history, (&location, id), window.clone()).await? {
                Ok((dataset, windows)) => {
                    if waited {
                        // It may have died.
                        history.sweep_crashed(context)?;
                    }
                    return Ok(Taken {
                        dataset,
                        waited,
                        windows,
                    });
                }
                Err(held @ WriteError::Held { .. }) => held,
                Err(error) => return Err(refused(job, error)),
            },
        };
        let spent = context.clock.monotonic().saturating_sub(begun);
        let Some(left) = job.wait.checked_sub(spent).filter(|left| !left.is_zero()) else {
            return Err(held.into());
        };
        if !waited {
            context
                .printer
                .note(&format!("{held}: waiting for its end"));
        }
        waited = true;
        let pause = async {
            tokio::time::sleep(PAUSE.min(left)).await;
            Ok::<_, SourceError>(())
        };
        context.interrupt.or(pause).await?;
    }
}

/// Why the output cannot be taken. A window that was fixed before a moment is fixed anew by another try;
/// that of a given plan stays what it is.
fn refused(job: &Job, error: WriteError) -> Failure {
    let given = matches!(job.goal, Goal::Given(_));
    let moved = matches!(error, WriteError::WindowMoved { .. });
    let failure = Failure::from(error);
    if !(given && moved) {
        return failure;
    }
    Failure {
        exit: ExitCode::Refused,
        fix: "run with --incremental, which begins where the last window ends; a plan fits while its \
              window is the next or is there"
            .to_owned(),
        ..failure
    }
}

/// A run of this machine that is under way into the same place on a store, by the history: there is
/// no lock there, and though only one of two runs can win, both would read the table. A directory's
/// lock knows better.
fn other_run(
    context: &Context,
    history: &mut History,
    location: &Location,
) -> Result<Option<WriteError>, Failure> {
    let Location::Store(store) = location else {
        return Ok(None);
    };
    let path = store.to_string();
    let other = history.writing(context, &path)?;
    Ok(other.map(|run| WriteError::Held {
        by: Some(format!("run {run} of this machine")),
        path,
    }))
}

/// The dataset, or who has it.
type Prepared = Result<(Dataset, Option<Listing>), WriteError>;

async fn prepare(
    context: &Context,
    job: &Job,
    history: &mut History,
    (location, id): (&Location, &RunId),
    window: Option<PlannedWindow>,
) -> Result<Prepared, Failure> {
    let spared = match job.goal.resumes() {
        Some(unfinished) => unfinished.chain.clone(),
        None => history.spared(context, &location.real(), job.discard)?,
    };
    let newest = spared.first().filter(|_| job.goal.resumes().is_none());
    let newest = newest.cloned();
    let (location, id, options) = (location.clone(), id.clone(), job.output.clone());
    let options = (options.layout, options.keep);
    let work = move || {
        let Some(planned) = window else {
            let dataset = Dataset::prepare_sparing(location, &id, options, &spared);
            return Ok(dataset.map(|dataset| (dataset, None)));
        };
        Ok(hold(location, (&id, &spared), options, planned))
    };
    let prepared = context.blocking(work).await?;
    if let (Ok(_), Some(run)) = (&prepared, newest) {
        context.printer.note(&ui::resume::not_resumed(&run));
    }
    Ok(prepared)
}

/// Takes the list of windows first, then the dataset of one.
fn hold(
    location: Location,
    (id, spared): (&RunId, &[RunId]),
    options: (Layout, u32),
    planned: PlannedWindow,
) -> Prepared {
    let PlannedWindow { window, of, .. } = planned;
    let windows = Windows::take_sparing(location, (id, spared), of, &window)?;
    match Dataset::prepare_sparing(windows.dataset(&window), id, options, spared) {
        Ok(dataset) => Ok((dataset, Some((windows, window)))),
        Err(error) => {
            windows.abandon();
            Err(error)
        }
    }
}

/// Lists a window that was published; only then anybody is told of it.
pub(super) async fn list(
    context: &Context,
    published: Result<Published, Failure>,
    windows: Option<Listing>,
) -> Result<Published, Failure> {
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
