//! `run` and `plan` of several tables: which they are, and what cannot be asked of several at once.

use std::sync::Arc;

use super::args::{ManyArgs, PlanArgs, RunArgs, TableArgs, TypeArgs, WindowArgs};
use super::context::Context;
use super::history::History;
use super::plan;
use super::run::{self, Goal, Job, Set, Wish};
use super::settings::{self, SourceSettings, StateSettings};
use super::survey::{self, Purpose, Survey, literal};
use crate::error::{ExitCode, Failure};
use crate::model::RunRequest;
use crate::source::{Meant, Source, SourceError, is_wild};
use crate::ui;
use crate::ui::json::{PlanDocument, PlansDocument};

/// Whether a command line is about several tables, if only one should fit in the end.
pub(super) fn is_asked_for(tables: &[String], many: &ManyArgs) -> bool {
    tables.len() > 1 || !many.exclude.is_empty() || tables.iter().any(|name| is_wild(name))
}

/// Runs what the command line asks for and shows what came of it.
pub(super) async fn run(context: &Context, args: &RunArgs) -> Result<ExitCode, Failure> {
    refuse(&[
        ("--plan", args.plan.is_some()),
        ("--resume", args.resume.is_some()),
        ("--events", args.machine.events.is_some()),
        ("--metrics-file", args.machine.metrics_file.is_some()),
        ("--on-success", args.machine.on_success.is_some()),
        ("--on-failure", args.machine.on_failure.is_some()),
    ])?;
    refuse_columns(&args.selection, &args.types, &args.window)?;
    settings::check_several(args.output.place())?;
    let job = Job::of(context, args)?;
    let id = context.run_id();
    let source = survey::connect(context, &job.source, Some(id.clone())).await?;
    let tables = named(context, &source, &args.table, &args.many).await?;
    let set = Set {
        id,
        beside: settings::above_tables(args.output.place()).to_owned(),
        wishes: tables
            .into_iter()
            .map(|table| table.wish(context, &job))
            .collect(),
        source,
    };
    let document = run::perform_set(context, set).await?;
    context.printer.document(&document);
    context.printer.show(&ui::set::view(&document));
    for failure in document.failures() {
        context.printer.complain(failure);
    }
    context.printer.excuse(run::PUBLISHED_UNTOLD);
    Ok(document.exit)
}

/// Shows what `run` would do.
pub(super) async fn plan(context: &Context, args: &PlanArgs) -> Result<(), Failure> {
    refuse(&[("--out", args.out.is_some())])?;
    refuse_columns(&args.selection, &args.types, &args.window)?;
    settings::check_several(args.output.place())?;
    let request = plan::request(args)?;
    let rates = settings::rates(&args.cost)?;
    let source_settings = SourceSettings::settle(&args.source, &context.environment, None)?;
    let state = StateSettings::settle(&args.state, &context.environment);
    let mut history = History::open(context, &state)?;
    let source = survey::connect(context, &source_settings, None).await?;
    let mut surveys = Vec::new();
    for table in named(context, &source, &args.table, &args.many).await? {
        let request = RunRequest {
            table: table.name,
            ..request.clone()
        };
        let source = Arc::clone(&source);
        let look = Purpose::Look;
        let survey = Survey::of_request(context, &mut history, source, &request, look).await?;
        let output = survey.output(&request.output.directory, &source_settings, context);
        surveys.push((survey, output));
    }
    let store = settings::ObjectStoreSettings::settle(&args.output.store, &context.environment);
    let shown: Vec<String> = surveys
        .iter()
        .map(|(_, output)| output.display().to_string())
        .collect();
    let mut plans: Vec<PlanDocument<'_>> = Vec::new();
    for ((survey, output), shown) in surveys.iter().zip(&shown) {
        let verdict = plan::verdict_at(survey, &store.locate(output.clone())?);
        let mut document = survey.document(shown, &verdict, Vec::new());
        document.cost = rates
            .as_ref()
            .map(|rates| super::price::document(rates, survey));
        plans.push(document);
    }
    let document = PlansDocument {
        plans,
        warnings: history.warnings().to_vec(),
    };
    context.printer.document(&document);
    context.printer.show(&ui::set::plans(&document));
    Ok(())
}

/// A table that was named.
struct Named {
    /// As it is to be described.
    name: String,
    /// As people are told of it.
    shown: String,
}

impl Named {
    /// A job like `job`, of this table.
    fn wish(self, context: &Context, job: &Job) -> Wish {
        let mut job = job.clone();
        job.id = context.run_id();
        if let Goal::Request(request) = &mut job.goal {
            request.table = self.name;
        }
        Wish {
            table: self.shown,
            job,
        }
    }
}

/// The tables that are meant, but for those that are excluded.
async fn named(
    context: &Context,
    source: &Arc<dyn Source>,
    tables: &[String],
    many: &ManyArgs,
) -> Result<Vec<Named>, Failure> {
    let looking = source.catalogue();
    let catalogue = context.interrupt.or::<_, SourceError>(looking).await?;
    let meant = catalogue.expand(tables, &many.exclude)?;
    if meant.is_empty() {
        return Err(Failure::new(
            ExitCode::Usage,
            "no table is left to extract",
            "every table that was named is excluded",
            "name more tables, or exclude fewer",
        ));
    }
    let named = meant.into_iter().map(|meant| match meant {
        Meant::Relation(relation) => Named {
            name: literal(&relation),
            shown: relation.to_string(),
        },
        Meant::Written(text) => Named {
            name: text.clone(),
            shown: text,
        },
    });
    Ok(named.collect())
}

/// Refuses what one table alone can be asked for.
fn refuse(flags: &[(&str, bool)]) -> Result<(), Failure> {
    match flags.iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((flag, _)) => Err(Failure::new(
            ExitCode::Usage,
            format!("{flag} does not go with several tables"),
            format!("{flag} is about one table, and this command line names several"),
            "run that table by itself",
        )),
    }
}

/// Refuses what names columns of one table, and windows, which are of one; a condition may be one that holds
/// for all.
fn refuse_columns(
    selection: &TableArgs,
    types: &TypeArgs,
    window: &WindowArgs,
) -> Result<(), Failure> {
    let of_a_column = types.on_unrepresentable.iter().any(|(of, _)| of.is_some());
    refuse(&[
        ("--columns", !selection.columns.is_empty()),
        ("--exclude-columns", !selection.exclude_columns.is_empty()),
        ("--type", !types.overrides.is_empty()),
        ("--lossy", !types.lossy.is_empty()),
        ("--on-unrepresentable COLUMN=RULE", of_a_column),
        ("--incremental", window.incremental.is_some()),
    ])
}
