//! `run --resume`: the plan of an unfinished run, and those of its chunks that are still whole.
//!
//! The road is that of a given plan. What is its own: which run it is, whether it can be gone on with at
//! all, and which of its chunks need not be read again.

use std::path::Path;

use crate::cli::args::RunArgs;
use crate::cli::context::Context;
use crate::cli::history::{self, nowhere};
use crate::cli::replay;
use crate::cli::run::{Given, Goal, Job, Origin, Original};
use crate::cli::settings::{self, ObjectStoreSettings, SourceSettings, StateSettings};
use crate::error::{ExitCode, Failure};
use crate::model::{
    Consistency, ExecutionPlan, FinishedChunk, Layout, NotKept, OutputOptions, ProofLevel, RunId,
    RunRow, RunStatus, Scope,
};
use crate::state::{LAST, StateError, Store};
use crate::writer::manifest::Manifest;
use crate::writer::publish::Dataset;
use crate::writer::{Leftovers, Location, windows};

/// An unfinished run to go on with.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Unfinished {
    /// The run.
    pub(in crate::cli) original: Original,
    /// It, the one that it went on with itself, and so on: wherever files may lie.
    pub(in crate::cli) chain: Vec<RunId>,
    /// Where it was to be published.
    output: String,
    /// The chunks that it had finished.
    pub(in crate::cli) chunks: Vec<FinishedChunk>,
    /// Why none of them can be kept, where that is so.
    pub(in crate::cli) not_kept: Option<NotKept>,
}

/// The job of going on with a run.
///
/// # Errors
/// 2 where it cannot be gone on with, 75 while it is under way.
pub(super) fn job(context: &Context, args: &RunArgs, run: &str) -> Result<Job, Failure> {
    let state = StateSettings {
        // Without its history nobody knows what it had finished.
        required: true,
        ..StateSettings::settle(&args.state, &context.environment)
    };
    let file = state.file.clone().ok_or_else(nowhere)?;
    let store = Store::open_existing(&file)?;
    let now = context.clock.now();
    store.sweep_crashed(&history::host(), now, &history::is_alive)?;
    let row = selected(&store, context, args, run)?;
    let gone = || StateError::NotFound {
        id: row.id.to_string(),
    };
    let text = store.plan_text(&row.id)?.ok_or_else(gone)?;
    let plan = replay::intact(&text, &row, false)
        .map_err(|error| refused(&row.id, Failure::from(error).what))?;
    one_point_in_time(&row.id, &plan, args)?;
    let mut chunks = store.finished_chunks(&row.id)?;
    // Without the server's sum of then, a full proof has nothing to compare a kept chunk with.
    chunks.retain(|chunk| plan.spec.proof != ProofLevel::Full || chunk.key_sum.is_some());
    let (directory, layout) = place(args, &row)?;
    let planned = &plan.spec.source;
    Ok(Job {
        id: context.run_id(),
        notes: Vec::new(),
        source: SourceSettings::settle(&args.source, &context.environment, Some(planned))?,
        output: OutputOptions {
            directory,
            layout,
            format: plan.spec.format.clone(),
            keep: args.output.keep,
        },
        state,
        store: ObjectStoreSettings::settle(&args.output.store, &context.environment),
        consent: args.force || args.yes,
        rates: settings::rates(&args.cost)?,
        shown_before: false,
        wait: args.wait.unwrap_or_default(),
        discard: false,
        on_schema_change: args.drift.on_schema_change,
        goal: Goal::Given(Box::new(Given {
            origin: Origin::Resume(Unfinished {
                output: row.output.clone(),
                chain: store.resumption_chain(&row.id)?,
                chunks,
                not_kept: plan.spec.not_kept(),
                original: Original {
                    scope: Scope {
                        key: row.scope.clone(),
                        source: planned.clone(),
                        relation: plan.spec.read.relation.clone(),
                    },
                    id: row.id,
                },
            }),
            plan,
        })),
    })
}

/// The run that is meant, if it can be gone on with.
fn selected(
    store: &Store,
    context: &Context,
    args: &RunArgs,
    run: &str,
) -> Result<RunRow, Failure> {
    let id = match run {
        LAST => last(store, context, args)?,
        text => store.select(text)?,
    };
    let row = store.row(&id)?;
    let row = row.ok_or_else(|| StateError::NotFound { id: id.to_string() })?;
    if let Some(later) = &row.resumed_by {
        return Err(Failure::new(
            ExitCode::Refused,
            format!("run {id} cannot be resumed"),
            format!("run {later} has gone on with it"),
            format!(
                "resume that one, if it is unfinished: --resume {}",
                later.tag()
            ),
        ));
    }
    match row.status {
        RunStatus::Running => Err(Failure::new(
            ExitCode::TryLater,
            format!("run {id} cannot be resumed"),
            format!("it is under way: process {} on {}", row.pid, row.host),
            "wait for its end, or end it",
        )),
        RunStatus::Success => Err(refused(&id, "it has published its dataset".to_owned())),
        RunStatus::Failed | RunStatus::Cancelled | RunStatus::Crashed => {
            match store.published_since(&id)? {
                // Its chunks would be older than what readers have by now.
                Some(later) => Err(refused(
                    &id,
                    format!("run {later} has published the dataset since"),
                )),
                None => Ok(row),
            }
        }
    }
}

/// The newest unfinished run of what the other flags name; one that left something first.
fn last(store: &Store, context: &Context, args: &RunArgs) -> Result<RunId, Failure> {
    // A template with names in it is not known to be a place yet; it is compared later.
    let place = args.output.output.as_deref();
    let place = place.filter(|place| !place.contains('{'));
    let stores = ObjectStoreSettings::settle(&args.output.store, &context.environment);
    let place = place
        .map(|place| stores.locate(place.into()).map(|place| place.real()))
        .transpose()?;
    let table = args.table.first().map(String::as_str);
    let found = store.unfinished(place.as_deref(), table, history::LONG_AGO)?;
    found.into_iter().next().ok_or_else(|| {
        let of = match (table, &place) {
            (Some(table), _) => format!(" of {table}"),
            (None, Some(place)) => format!(" into {place}"),
            (None, None) => String::new(),
        };
        Failure::new(
            ExitCode::Refused,
            "there is no run to resume",
            format!("no run{of} ended unfinished since the last one that was published"),
            "run without --resume",
        )
    })
}

fn refused(id: &RunId, why: String) -> Failure {
    Failure::new(
        ExitCode::Refused,
        format!("run {id} cannot be resumed"),
        why,
        "run the table again without --resume",
    )
}

/// Refuses to mix points in time where one was asked for, then or now.
fn one_point_in_time(id: &RunId, plan: &ExecutionPlan, args: &RunArgs) -> Result<(), Failure> {
    let planned = plan.spec.consistency;
    let asked = args.work.consistency;
    if planned == Consistency::Snapshot || asked == Consistency::Snapshot {
        return Err(refused(
            id,
            "--consistency snapshot asks for one point in time, and that of the run is gone"
                .to_owned(),
        ));
    }
    if asked != Consistency::default() && asked != planned {
        return Err(refused(
            id,
            format!("its plan is for --consistency {planned}"),
        ));
    }
    Ok(())
}

/// Where it was to be published, and how that is laid out: as a template, and so that `--output`, if it
/// is given, can be compared when its names are known.
fn place(args: &RunArgs, row: &RunRow) -> Result<(String, Layout), Failure> {
    let directory = match &args.output.output {
        Some(template) => {
            settings::check_output(template)?;
            template.clone()
        }
        None => settings::literal(&row.output),
    };
    let there = Path::new(&row.output);
    let layout = args.output.layout.unwrap_or_else(|| {
        if there.join("_runs").join(row.id.as_str()).is_dir() {
            Layout::Runs
        } else {
            replay::layout_at(&row.output)
        }
    });
    Ok((directory, layout))
}

impl Unfinished {
    /// Words for a table that is not what the plan was made for.
    pub(super) fn unfit(&self, failure: Failure) -> Failure {
        match failure.exit {
            ExitCode::Refused => refused(
                &self.original.id,
                format!("{}: {}", failure.what, failure.why),
            ),
            _ => failure,
        }
    }

    /// Refuses another place than that of the run, and a place where readers see that very run: it had
    /// published before it died.
    pub(super) fn check_place(&self, location: &Location) -> Result<(), Failure> {
        let (id, planned) = (&self.original.id, &self.output);
        if location.real() != *planned {
            return Err(refused(
                id,
                format!("it was to be published to {planned}, and --output says {location}"),
            ));
        }
        let published = match Manifest::load(location.clone()) {
            Ok(manifest) => manifest.run == *id,
            Err(_) => windows::lists(location.clone(), id),
        };
        if published {
            let why = "it had published its dataset when it died".to_owned();
            return Err(refused(id, why));
        }
        Ok(())
    }

    /// Looks which chunks are still whole; that may take as long as reading their files does.
    pub(super) async fn look_over(
        &self,
        context: &Context,
        mut dataset: Dataset,
    ) -> Result<(Dataset, Leftovers), Failure> {
        if self.not_kept.is_some() {
            return Ok((dataset, Leftovers::default()));
        }
        let (chain, chunks) = (self.chain.clone(), self.chunks.clone());
        let look = move || {
            let left = dataset.look_over(&chain, chunks)?;
            Ok((dataset, left))
        };
        context.blocking(look).await
    }
}
