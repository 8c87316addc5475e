//! `ixtract replay`: a run's stored plan, executed again exactly as it was decided.
//!
//! The same road as `run --plan` from the plan on. What is its own: the plan comes from the history
//! and must be the one that was executed; the run is recorded as a replay; and its decisions and its
//! outcome are compared with those of the original.

use std::path::Path;
use std::time::Duration;

use super::args::ReplayArgs;
use super::context::Context;
use super::postmortem::Archive;
use super::run::{self, Given, Goal, Job, Origin, Original};
use super::settings::{self, ObjectStoreSettings, SourceSettings, StateSettings};
use crate::error::Failure;
use crate::model::{
    ExecutionPlan, Layout, OnSchemaChange, OutputOptions, RunId, RunRow, RunStatus, Scope,
};
use crate::planner::{self, PlanError};
use crate::state::{StateError, Store};
use crate::ui;
use crate::ui::json::{
    GUARANTEE, Measured, OriginalDocument, OutcomeDocument, ReplayDocument, RunDocument,
};
use crate::writer::manifest::Manifest;

/// Executes a stored plan and compares.
pub(super) async fn command(context: &Context, args: &ReplayArgs) -> Result<(), Failure> {
    let Stored { row, plan, chain } = stored(context, args)?;
    let job = job(context, args, &row, &plan)?;
    context.printer.show(&[ui::replay::announced(&row.id)]);
    let plan_version = plan.spec.plan_version;
    let document = run::perform(context, &job).await?;
    let document = document_of(row, chain, plan_version, document);
    context.printer.document(&document);
    context.printer.show(&ui::replay::view(&document));
    context.printer.excuse(run::PUBLISHED_UNTOLD);
    Ok(())
}

/// What the history has of the run.
struct Stored {
    row: RunRow,
    plan: ExecutionPlan,
    /// What the run replayed itself, and so on.
    chain: Vec<RunId>,
}

fn stored(context: &Context, args: &ReplayArgs) -> Result<Stored, Failure> {
    let store = Archive::open(context, &args.store)?.store;
    let id = store.select(&args.run)?;
    let gone = || StateError::NotFound { id: id.to_string() };
    let row = store.row(&id)?.ok_or_else(gone)?;
    let text = store.plan_text(&id)?.ok_or_else(gone)?;
    let plan = intact(&text, &row, args.force).map_err(|error| unfit(&row, error))?;
    let chain = chain(&store, &row)?;
    Ok(Stored { row, plan, chain })
}

/// The plan, if it is what was fingerprinted and recorded. `force` is about its version alone.
pub(super) fn intact(text: &str, row: &RunRow, force: bool) -> Result<ExecutionPlan, PlanError> {
    let plan = if force {
        planner::parse_any_version(text)?
    } else {
        planner::parse(text)?
    };
    // A plan that was exchanged together with its fingerprint is not the one that was executed.
    if plan.fingerprint != row.fingerprint {
        return Err(PlanError::Fingerprint {
            written: row.fingerprint.clone(),
            found: plan.fingerprint,
        });
    }
    Ok(plan)
}

/// Why a stored plan cannot be executed again, and what can be done instead.
fn unfit(row: &RunRow, error: PlanError) -> Failure {
    let again = "run the table again: its plan is made anew";
    let fix = match &error {
        PlanError::Version { .. } => format!(
            "use ixtract {}, which made it, or pass --force to execute what this one understands",
            row.version
        ),
        _ => again.to_owned(),
    };
    let failure = Failure::from(error);
    Failure {
        what: format!("run {} cannot be replayed: {}", row.id, failure.what),
        fix,
        ..failure
    }
}

/// The runs behind a replay, from the one it repeats to the one that was planned.
fn chain(store: &Store, row: &RunRow) -> Result<Vec<RunId>, Failure> {
    let mut chain = Vec::new();
    let mut next = row.replay_of.clone();
    while let Some(id) = next.filter(|id| !chain.contains(id)) {
        // What an older run was may have been forgotten; its id is known all the same.
        next = store.row(&id)?.and_then(|row| row.replay_of);
        chain.push(id);
    }
    Ok(chain)
}

fn job(
    context: &Context,
    args: &ReplayArgs,
    row: &RunRow,
    plan: &ExecutionPlan,
) -> Result<Job, Failure> {
    let (directory, there) = match &args.output {
        Some(template) => {
            settings::check_output(template)?;
            (template.clone(), template)
        }
        None => (settings::literal(&row.output), &row.output),
    };
    let planned = &plan.spec.source;
    Ok(Job {
        source: SourceSettings::settle(&args.source, &context.environment, Some(planned))?,
        state: StateSettings {
            file: settings::state_file(args.store.state.as_deref(), &context.environment),
            // A replay is of use where it is recorded as one.
            required: true,
            scope: None,
        },
        output: OutputOptions {
            layout: args.layout.unwrap_or_else(|| layout_at(there)),
            directory,
            format: plan.spec.format.clone(),
            keep: args.keep,
        },
        store: ObjectStoreSettings::settle(&args.object_store, &context.environment),
        consent: args.yes,
        rates: None,
        shown_before: false,
        notes: Vec::new(),
        wait: Duration::ZERO,
        discard: false,
        on_schema_change: OnSchemaChange::default(),
        goal: Goal::Given(Box::new(Given {
            plan: plan.clone(),
            origin: Origin::Replay(Original {
                id: row.id.clone(),
                scope: Scope {
                    key: row.scope.clone(),
                    source: planned.clone(),
                    relation: plan.spec.read.relation.clone(),
                },
            }),
        })),
    })
}

/// How the dataset is laid out that a directory holds now. Where there is none the default holds,
/// and where there is something else the run refuses it.
pub(super) fn layout_at(directory: &str) -> Layout {
    Manifest::load(Path::new(directory)).map_or_else(|_| Layout::default(), |found| found.layout)
}

fn document_of(
    row: RunRow,
    chain: Vec<RunId>,
    plan_version: u32,
    replay: RunDocument,
) -> ReplayDocument {
    let published = row.status == RunStatus::Success;
    let measured = Measured::from(&row);
    let original = OriginalDocument {
        measured,
        run: row.id,
        status: row.status,
        started_at: row.started_at,
        version: row.version,
        dataset: row.output,
    };
    ReplayDocument {
        outcome: published.then(|| OutcomeDocument::between(measured, (&replay).into())),
        original,
        chain,
        integrity: "intact",
        plan_version,
        same_decisions: replay.decisions.agree(),
        replay,
        guarantee: GUARANTEE,
    }
}
