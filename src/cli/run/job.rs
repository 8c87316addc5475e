//! A run, settled: what is to be done, and where its plan comes from.

use std::time::Duration;

use super::resuming::{self, Unfinished};
use crate::cli::args::RunArgs;
use crate::cli::context::Context;
use crate::cli::plan;
use crate::cli::settings::{self, ObjectStoreSettings, SourceSettings, StateSettings};
use crate::error::Failure;
use crate::model::{ExecutionPlan, OnSchemaChange, OutputOptions, Rates, RunId, RunRequest, Scope};

/// A run, settled.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Job {
    /// The run that does it.
    pub(in crate::cli) id: RunId,
    /// The database.
    pub(in crate::cli) source: SourceSettings,
    /// The history.
    pub(in crate::cli) state: StateSettings,
    /// What is to be done.
    pub(in crate::cli) goal: Goal,
    /// Where the dataset goes; the directory is still a template.
    pub(in crate::cli) output: OutputOptions,
    /// How an object store is reached.
    pub(in crate::cli) store: ObjectStoreSettings,
    /// `--force` or `--yes`: a plan that is not recommended is run without a question.
    pub(in crate::cli) consent: bool,
    /// What things cost, where they cost anything.
    pub(in crate::cli) rates: Option<Rates>,
    /// The plan is like one that was shown before: one line is enough.
    pub(in crate::cli) shown_before: bool,
    /// `--wait`: how long another run of the dataset is waited for.
    pub(in crate::cli) wait: Duration,
    /// `--on-schema-change`.
    pub(in crate::cli) on_schema_change: OnSchemaChange,
    /// `--discard`: what unfinished runs left is removed before reading.
    pub(in crate::cli) discard: bool,
    /// What a person should know of the window, where one is extracted.
    pub(in crate::cli) notes: Vec<String>,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub(in crate::cli) enum Goal {
    /// A plan is to be made.
    Request(Box<RunRequest>),
    /// This plan is to be executed exactly.
    Given(Box<Given>),
}

/// A plan that was made before.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Given {
    /// The plan.
    pub(in crate::cli) plan: ExecutionPlan,
    /// Where it comes from.
    pub(in crate::cli) origin: Origin,
}

/// Where a plan comes from.
#[derive(Clone, Debug)]
pub(in crate::cli) enum Origin {
    /// A file.
    File,
    /// A run that is executed again.
    Replay(Original),
    /// A run that is gone on with.
    Resume(Unfinished),
}

impl Given {
    /// The run whose plan it is, where it is that of one.
    pub(in crate::cli) fn original(&self) -> Option<&Original> {
        match &self.origin {
            Origin::File => None,
            Origin::Replay(original) => Some(original),
            Origin::Resume(unfinished) => Some(&unfinished.original),
        }
    }
}

/// A run whose plan is executed again.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Original {
    /// Its id.
    pub(in crate::cli) id: RunId,
    /// What it is remembered under.
    pub(in crate::cli) scope: Scope,
}

impl Goal {
    /// The run that is executed again, where that is what is done.
    pub(super) fn replays(&self) -> Option<&RunId> {
        match self {
            Self::Given(given) => match &given.origin {
                Origin::Replay(original) => Some(&original.id),
                Origin::File | Origin::Resume(_) => None,
            },
            Self::Request(_) => None,
        }
    }

    /// The run that is gone on with, where that is what is done.
    pub(super) fn resumes(&self) -> Option<&Unfinished> {
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
    pub(in crate::cli) fn of(context: &Context, args: &RunArgs) -> Result<Self, Failure> {
        if let Some(run) = &args.resume {
            return resuming::job(context, args, run);
        }
        let goal = match (&args.plan, args.table.first()) {
            (Some(file), _) => Goal::Given(Box::new(Given {
                plan: plan::read(file)?,
                origin: Origin::File,
            })),
            (None, table) => {
                let mut request = settings::request(
                    args.selection.subject(table.map(String::as_str)),
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
            id: context.run_id(),
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

    /// The table as the user names it.
    pub(in crate::cli) fn subject(&self) -> String {
        match &self.goal {
            Goal::Request(request) => request.table.clone(),
            Goal::Given(given) => given.plan.spec.read.relation.to_string(),
        }
    }
}
