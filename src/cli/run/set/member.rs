//! One table of a set, from its plan to what became of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Wish;
use super::schedule::Task;
use crate::cli::context::Context;
use crate::cli::drift;
use crate::cli::history::History;
use crate::cli::run::agreement::consent;
use crate::cli::run::shared::Common;
use crate::cli::run::taking;
use crate::cli::run::{self, Goal, Job, Ready, give_back, opening};
use crate::cli::survey::{Purpose, Survey};
use crate::error::{ExitCode, Failure};
use crate::model::{RunId, RunOpen, SchemaDrift, Verdict};
use crate::planner::verdict;
use crate::source::Source;
use crate::ui;
use crate::ui::json::{RunDocument, SetTable};
use crate::writer::Leftovers;
use crate::writer::publish::Dataset;

/// One table of a set.
pub(super) struct Member {
    /// What it is called.
    table: String,
    /// What is to be done.
    pub(super) job: Job,
    /// What it was planned to be, until its output is taken.
    survey: Option<(Survey, PathBuf)>,
    /// What it takes to run it, until it runs.
    pub(super) held: Option<Held>,
    /// What became of it.
    pub(super) outcome: Option<Outcome>,
}

/// What became of a table.
pub(super) enum Outcome {
    /// It is published.
    Published(Box<RunDocument>, bool),
    /// It is not; the run, where it came to one.
    Failed(Option<RunId>, Failure),
}

/// A table whose output is held for it.
pub(super) struct Held {
    pub(super) survey: Survey,
    id: RunId,
    output: PathBuf,
    dataset: Dataset,
    verdict: Verdict,
    drift: Option<SchemaDrift>,
}

impl Member {
    /// Looks at the table and plans its run.
    pub(super) async fn surveyed(
        context: &Context,
        wish: Wish,
        source: &Arc<dyn Source>,
        history: &mut History,
    ) -> Self {
        let Wish { table, job } = wish;
        let mut member = Self {
            table,
            survey: None,
            held: None,
            outcome: None,
            job: job.clone(),
        };
        let looked = look(context, &job, source, history).await;
        member.job = job;
        match looked {
            Ok(survey) => {
                let output =
                    survey.output(&member.job.output.directory, &member.job.source, context);
                member.table = survey.plan.spec.read.relation.to_string();
                member.survey = Some((survey, output));
            }
            Err(failure) => member.outcome = Some(Outcome::Failed(None, failure)),
        }
        member
    }

    /// Where it is going, and what it is called.
    pub(super) fn place(&self) -> Option<(&Path, &str)> {
        let (_, output) = self.survey.as_ref()?;
        Some((output.as_path(), self.table.as_str()))
    }

    /// Takes its output.
    pub(super) async fn hold(
        &mut self,
        context: &Context,
        history: &mut History,
        source: &Arc<dyn Source>,
    ) {
        let Some((survey, output)) = self.survey.take() else {
            return;
        };
        match take(context, &self.job, (history, source), (survey, output)).await {
            Ok(held) => self.held = Some(held),
            Err(failure) => self.outcome = Some(Outcome::Failed(None, failure)),
        }
    }

    /// Gives a table up that is not recommended, unless somebody says otherwise.
    pub(super) async fn agree(&mut self, context: &Context) {
        let Some(held) = &self.held else {
            return;
        };
        let relation = &held.survey.plan.spec.read.relation;
        let agreed = consent(context, &self.job, relation, &held.verdict).await;
        if let Err(failure) = agreed {
            self.fail(failure, context);
        }
    }

    /// Ends it without a run.
    pub(super) fn fail(&mut self, failure: Failure, context: &Context) {
        if let Some(held) = self.held.take() {
            held.give_back(context);
        }
        self.outcome = Some(Outcome::Failed(None, failure));
    }

    /// What running it takes.
    pub(super) fn task(&self, index: usize) -> Option<Task> {
        let plan = &self.held.as_ref()?.survey.plan;
        let (expected, workers) = (plan.forecast.duration_s, plan.spec.workers);
        Some(Task::new(index, expected, workers))
    }

    /// Rows that it is expected to have.
    pub(super) fn expected_rows(&self) -> u64 {
        let held = self.held.as_ref();
        held.map_or(0, |held| held.survey.plan.forecast.rows)
    }

    /// What is told of it.
    pub(super) fn told(self) -> SetTable {
        let mut told = SetTable {
            table: self.table,
            status: "failed",
            dataset: None,
            in_snapshot: false,
            run: None,
            failed_run: None,
            error: None,
        };
        match self.outcome {
            Some(Outcome::Published(run, in_snapshot)) => {
                told.status = run.status;
                told.dataset = Some(run.dataset.clone());
                told.in_snapshot = in_snapshot;
                told.run = Some(run);
            }
            Some(Outcome::Failed(run, failure)) => {
                told.failed_run = run;
                told.error = Some(failure);
            }
            None => told.error = Some(forgotten()),
        }
        told
    }
}

/// Every table ends somehow; anything else is a bug.
fn forgotten() -> Failure {
    Failure::new(
        ExitCode::Bug,
        "a table was neither extracted nor refused",
        "the set ended before it",
        "report this as a bug",
    )
}

async fn look(
    context: &Context,
    job: &Job,
    source: &Arc<dyn Source>,
    history: &mut History,
) -> Result<Survey, Failure> {
    match &job.goal {
        Goal::Request(request) => {
            let source = Arc::clone(source);
            Survey::of_request(context, history, source, request, Purpose::Look).await
        }
        Goal::Given(given) => Survey::of_plan(context, history, Arc::clone(source), given).await,
    }
}

/// Takes the output of a table, and judges its plan by what is there.
async fn take(
    context: &Context,
    job: &Job,
    (history, source): (&mut History, &Arc<dyn Source>),
    (mut survey, output): (Survey, PathBuf),
) -> Result<Held, Failure> {
    let id = context.run_id();
    // Windows are of one table.
    let taken = taking::take(context, job, history, (&output, &id), None).await?;
    let mut dataset = taken.dataset;
    dataset.measure(context.clock.clone());
    let judged = async {
        if taken.waited {
            // What was seen of the table is as old as the wait was long.
            survey = look(context, job, source, history).await?;
        }
        let verdict = verdict(&survey.plan, dataset.free_bytes()?);
        let place = job.store.locate(output.clone())?;
        let rule = job.on_schema_change;
        let drift = drift::compare(context, rule, &survey, history, place).await?;
        Ok((verdict, drift))
    };
    match judged.await {
        Ok((verdict, drift)) => Ok(Held {
            survey,
            id,
            output,
            dataset,
            verdict,
            drift,
        }),
        Err(failure) => {
            give_back(context, dataset);
            Err(failure)
        }
    }
}

impl Held {
    /// Reads and publishes it.
    pub(super) async fn run(
        self,
        context: &Context,
        job: &Job,
        set: &RunId,
        common: Arc<Common>,
    ) -> Outcome {
        let begun = self.begin(context, job, set, Arc::clone(&common));
        let (survey, mut history, ready) = match begun {
            Ok(begun) => begun,
            Err(failure) => return Outcome::Failed(None, failure),
        };
        let id = ready.open.id.clone();
        match run::conclude(context, job, &survey, &mut history, ready).await {
            Ok(document) => {
                let joint = common.joint.as_ref();
                let point = joint.map(|joint| joint.facts().taken_at);
                let together = point.as_ref() == Some(&document.consistency.taken_at);
                Outcome::Published(Box::new(document), together)
            }
            Err(failure) => Outcome::Failed(Some(id), failure),
        }
    }

    /// Writes the run's row; each run has the history open for itself.
    fn begin(
        self,
        context: &Context,
        job: &Job,
        set: &RunId,
        common: Arc<Common>,
    ) -> Result<(Survey, History, Ready), Failure> {
        let left = Leftovers::default();
        let now = (self.id.clone(), context.clock.now());
        let output = self.dataset.location().to_string();
        let open = RunOpen {
            set: Some(set.clone()),
            drift: self.drift.clone(),
            ..opening(job, &self.survey, output, now, &left)
        };
        let history = History::open(context, &job.state);
        let begun = history.and_then(|mut history| history.begin(&open).map(|()| history));
        let history = match begun {
            Ok(history) => history,
            Err(failure) => {
                self.give_back(context);
                return Err(failure);
            }
        };
        let ready = Ready {
            open,
            dataset: self.dataset,
            left,
            windows: None,
            common: Some(common),
        };
        Ok((self.survey, history, ready))
    }

    /// Gives back what it held.
    fn give_back(self, context: &Context) {
        give_back(context, self.dataset);
    }
}

/// Shows all plans, one a line.
pub(super) fn show(context: &Context, members: &[Member]) {
    let held: Vec<(&Held, String)> = members
        .iter()
        .filter_map(|member| member.held.as_ref())
        .map(|held| (held, held.output.display().to_string()))
        .collect();
    let documents: Vec<_> = held
        .iter()
        .map(|(held, output)| {
            let mut document = held.survey.document(output, &held.verdict, Vec::new());
            document.schema_change.clone_from(&held.drift);
            document
        })
        .collect();
    context.printer.show(&ui::set::planned(&documents));
}
