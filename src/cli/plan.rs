//! `ixtract plan`.

use std::path::Path;

use super::args::PlanArgs;
use super::context::Context;
use super::drift;
use super::history::History;
use super::increment::{self, Target, Work};
use super::many;
use super::price;
use super::settings::{self, ObjectStoreSettings, SourceSettings, StateSettings};
use super::staged;
use super::survey::{self, Purpose, Survey};
use crate::error::{ExitCode, Failure};
use crate::model::{ExecutionPlan, RunRequest, Verdict};
use crate::planner::verdict;
use crate::ui;
use crate::writer::Location;

/// Shows what `run` would do.
pub(super) async fn command(context: &Context, args: &PlanArgs) -> Result<(), Failure> {
    if many::is_asked_for(&args.table, &args.many) {
        return many::plan(context, args).await;
    }
    let mut request = request(args)?;
    let rates = settings::rates(&args.cost)?;
    let source_settings = SourceSettings::settle(&args.source, &context.environment, None)?;
    let state = StateSettings::settle(&args.state, &context.environment);
    let mut history = History::open(context, &state)?;
    let source = survey::connect(context, &source_settings, None).await?;
    let store = ObjectStoreSettings::settle(&args.output.store, &context.environment);
    let target = Target {
        directory: &request.output.directory.clone(),
        source: &source_settings,
        store: &store,
    };
    let mut notes = Vec::new();
    if let Some(mut increment) = request.increment.take() {
        let asked = (&request, &increment);
        match increment::settle(context, source.as_ref(), asked, &target).await? {
            Work::Windows(windows) => {
                // Of a backfill the first: the others are planned when it is their turn.
                if let Some(first) = windows.into_iter().next() {
                    increment.fixed = Some(first.window);
                    notes = first.notes;
                }
                request.increment = Some(increment);
            }
            Work::Nothing(nothing) => {
                context.printer.document(&nothing);
                context.printer.show(&ui::summary::nothing_new(&nothing));
                return Ok(());
            }
        }
    }
    let survey = Survey::of_request(context, &mut history, source, &request, Purpose::Look).await?;
    let output = survey.output(&request.output.directory, &source_settings, context);
    let place = store.locate(output.clone())?;
    let verdict = verdict_at(&survey, &place);
    let shown = output.display().to_string();
    let mut document = survey.document(&shown, &verdict, history.warnings().to_vec());
    document.warnings.extend(notes);
    match drift::look(context, &survey, &mut history, place).await {
        Ok(drift) => document.schema_change = drift,
        // A plan needs nothing of the output; the run will say so if it does.
        Err(failure) => document.warnings.push(format!(
            "the columns are not compared with those published: {}: {}",
            failure.what, failure.why
        )),
    }
    document.cost = rates.as_ref().map(|rates| price::document(rates, &survey));
    if let Some(file) = &args.out {
        write(&survey.plan, file)?;
        document.written = Some(file.display().to_string());
    }
    context.printer.document(&document);
    context.printer.show(&ui::plan::full(&document));
    Ok(())
}

/// What is to be planned.
pub(super) fn request(args: &PlanArgs) -> Result<RunRequest, Failure> {
    let table = args.table.first().map(String::as_str);
    let mut request = settings::request(
        args.selection.subject(table),
        &args.selection,
        &args.types,
        &args.work,
        &args.output,
    )?;
    request.hints = settings::hints(&args.hints)?;
    request.increment = settings::increment(&args.window);
    Ok(request)
}

/// A plan's verdict, by the room there is where its dataset would be made.
pub(super) fn verdict_at(survey: &Survey, place: &Location) -> Verdict {
    let room = match place {
        Location::Local(directory) => free_bytes(directory),
        // It has no end, and a plan asks it nothing.
        Location::Store(_) => None,
    };
    verdict(&survey.plan, room)
}

/// Writes a plan for `run --plan`: readable, and whole or not at all.
fn write(plan: &ExecutionPlan, file: &Path) -> Result<(), Failure> {
    let failed = |why: String| {
        Failure::new(
            ExitCode::Output,
            format!("cannot write the plan to {}", file.display()),
            why,
            "name a file in a directory that this user may write",
        )
    };
    let mut text = serde_json::to_string_pretty(plan).map_err(|error| failed(error.to_string()))?;
    text.push('\n');
    staged::replace(file, &text).map_err(|error| failed(error.to_string()))
}

/// Reads a plan that `--out` wrote.
pub(super) fn read(file: &Path) -> Result<ExecutionPlan, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        Failure::new(
            ExitCode::Config,
            format!("cannot read the plan {}", file.display()),
            error.to_string(),
            "give a file that ixtract plan --out wrote",
        )
    })?;
    crate::planner::parse(&text).map_err(|error| {
        let failure = Failure::from(error);
        Failure {
            why: format!("{}: {}", file.display(), failure.why),
            ..failure
        }
    })
}

/// Bytes free where `output` would be made; `None` where that cannot be known.
fn free_bytes(output: &Path) -> Option<u64> {
    let mut ancestors = output.ancestors();
    let existing = ancestors.find_map(|path| {
        let path = if path.as_os_str().is_empty() {
            Path::new(".")
        } else {
            path
        };
        rustix::fs::statvfs(path).ok()
    })?;
    existing.f_bavail.checked_mul(existing.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_looked_up_at_the_nearest_directory_that_exists() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(free_bytes(&folder.path().join("not/yet/there")).is_some());
        assert!(free_bytes(Path::new("relative-and-not-there")).is_some());
    }

    #[test]
    fn a_missing_plan_is_a_configuration_error() {
        let failure = read(Path::new("/nonexistent/plan.json")).expect_err("missing");
        assert_eq!(failure.exit, ExitCode::Config);
    }
}
