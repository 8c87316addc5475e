//! `run --incremental`: the windows that are asked for, one after the other.

use super::{Goal, Job, perform};
use crate::cli::aftermath::Ending;
use crate::cli::context::Context;
use crate::cli::increment::{self, Fixed, Target, Work};
use crate::cli::survey;
use crate::error::Failure;
use crate::ui;
use crate::ui::json::BackfillDocument;

/// Does a job, window by window where it is of windows; tells what came of it.
pub(super) async fn extract(context: &Context, job: &mut Job) -> Result<Ending, Failure> {
    match job.windows(context).await? {
        None => {}
        Some(Work::Nothing(nothing)) => return Ok(Ending::Nothing(nothing)),
        Some(Work::Windows(mut windows)) if windows.len() == 1 => job.take_up(windows.remove(0)),
        Some(Work::Windows(windows)) => return one_by_one(context, job, windows).await,
    }
    let document = perform(context, job).await?;
    Ok(Ending::Published(Box::new(document)))
}

/// Publishes one window after the other; what is published before one fails stays.
async fn one_by_one(
    context: &Context,
    job: &mut Job,
    windows: Vec<Fixed>,
) -> Result<Ending, Failure> {
    let mut published = Vec::with_capacity(windows.len());
    for window in windows {
        if !published.is_empty() {
            job.id = context.run_id();
        }
        job.take_up(window);
        let document = perform(context, job).await?;
        context.printer.show(&[ui::summary::short(&document)]);
        job.shown_before = true;
        published.push(document);
    }
    Ok(Ending::Backfilled(Box::new(BackfillDocument::of(
        published,
    ))))
}

impl Job {
    /// The windows of an incremental extraction; none where none are asked for.
    async fn windows(&self, context: &Context) -> Result<Option<Work>, Failure> {
        let Goal::Request(request) = &self.goal else {
            return Ok(None);
        };
        let Some(increment) = &request.increment else {
            return Ok(None);
        };
        let target = Target {
            directory: &self.output.directory,
            source: &self.source,
            store: &self.store,
        };
        let source = survey::connect(context, &self.source, None).await?;
        let asked = (request.as_ref(), increment);
        let work = increment::settle(context, source.as_ref(), asked, &target).await?;
        Ok(Some(work))
    }

    /// Makes this window the one that is extracted.
    fn take_up(&mut self, fixed: Fixed) {
        if let Goal::Request(request) = &mut self.goal
            && let Some(increment) = &mut request.increment
        {
            increment.fixed = Some(fixed.window);
            self.notes = fixed.notes;
        }
    }
}
