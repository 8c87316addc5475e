//! Plan and verdict are shown, and what is not recommended is not run unless somebody says so.

use std::path::Path;

use super::Job;
use crate::cli::context::Context;
use crate::cli::price;
use crate::cli::survey::Survey;
use crate::error::{ExitCode, Failure};
use crate::model::{RunOpen, Verdict};
use crate::planner::verdict;
use crate::ui;
use crate::writer::Leftovers;
use crate::writer::publish::Dataset;

/// Shows plan and verdict; refuses what is not recommended, unless somebody says otherwise.
pub(super) async fn agree(
    context: &Context,
    job: &Job,
    survey: &Survey,
    dataset: &Dataset,
    (output, left, open): (&Path, &Leftovers, &RunOpen),
) -> Result<(), Failure> {
    // What is kept need not be written again.
    let kept: u64 = left.intact.iter().map(|chunk| chunk.record.bytes).sum();
    let free = dataset.free_bytes()?;
    let free = free.map(|bytes| bytes.saturating_add(kept));
    let verdict = verdict(&survey.plan, free);
    let shown = output.display().to_string();
    let mut document = survey.document(&shown, &verdict, job.notes.clone());
    document.schema_change.clone_from(&open.drift);
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
