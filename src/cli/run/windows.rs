//! `run --incremental`: the windows that are asked for, one after the other.

use super::{Goal, Job, PUBLISHED_UNTOLD, perform, publish};
use crate::cli::context::Context;
use crate::cli::increment::{self, Fixed, Target, Work};
use crate::cli::survey;
use crate::error::Failure;
use crate::ui;
use crate::ui::json::BackfillDocument;

/// Does a job, window by window where it is of windows, and shows what came of it.
pub(super) async fn command(context: &Context, job: &mut Job) -> Result<(), Failure> {
    match job.windows(context).await? {
        None => publish(context, job).await,
        Some(Work::Nothing(nothing)) => {
            context.printer.document(&nothing);
            context.printer.show(&ui::summary::nothing_new(&nothing));
            Ok(())
        }
        Some(Work::Windows(mut windows)) if windows.len() == 1 => {
            job.take_up(windows.remove(0));
            publish(context, job).await
        }
        Some(Work::Windows(windows)) => one_by_one(context, job, windows).await,
    }
}

/// Publishes one window after the other; what is published before one fails stays.
async fn one_by_one(context: &Context, job: &mut Job, windows: Vec<Fixed>) -> Result<(), Failure> {
    let mut published = Vec::with_capacity(windows.len());
    for window in windows {
        job.take_up(window);
        let document = perform(context, job).await?;
        context.printer.show(&[ui::summary::short(&document)]);
        job.shown_before = true;
        published.push(document);
    }
    let document = BackfillDocument::of(published);
    context.printer.document(&document);
    context.printer.show(&ui::summary::backfilled(&document));
    context.printer.excuse(PUBLISHED_UNTOLD);
    Ok(())
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
