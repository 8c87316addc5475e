//! Several tables in one run: one point in time, one budget of sessions, a dataset each.
//!
//! Everything that can be refused is refused first: every table is looked at and every output taken
//! before any row is read. From then on tables end each for itself, and what went wrong with one is told
//! and counted, and touches no other. What they have in common is in [`Common`].

mod member;
mod schedule;

use std::num::NonZero;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;

use self::member::{Held, Member};
use self::schedule::{Schedule, Task};
use crate::cli::budget::Share;
use crate::cli::context::Context;
use crate::cli::history::History;
use crate::cli::machine;
use crate::cli::run::shared::Common;
use crate::cli::run::{Goal, Job};
use crate::cli::survey;
use crate::engine::{Look, until_blocking};
use crate::error::{ExitCode, Failure};
use crate::model::{Consistency, ReadSpec, Relation, RunId, SourceKind};
use crate::source::{Joint, SnapshotRequest, Source, SourceError};
use crate::state::Claim;
use crate::ui::Overall;
use crate::ui::json::{SetDocument, SetTable};
use crate::writer::Location;
use crate::writer::set::{self, SET_VERSION, SetEntry, SetManifest};

/// Tables that are to be extracted together, of one source and into one history.
pub(in crate::cli) struct Set {
    /// Its id, which the sessions of its source are named after.
    pub(in crate::cli) id: RunId,
    /// The source of all of them, connected.
    pub(in crate::cli) source: Arc<dyn Source>,
    /// What is to be done; at least one.
    pub(in crate::cli) wishes: Vec<Wish>,
    /// Where the set's own manifest goes: the template of the directory above the datasets.
    pub(in crate::cli) beside: String,
}

/// One table of a set.
pub(in crate::cli) struct Wish {
    /// What it is called where it is not known any better.
    pub(in crate::cli) table: String,
    /// What is to be done; its source and its history are those of the set.
    pub(in crate::cli) job: Job,
}

/// Does what is asked for. What becomes of a table is in the document, and not an error.
///
/// # Errors
/// What keeps every table from being begun: two of them would land in one place.
pub(in crate::cli) async fn perform(context: &Context, set: Set) -> Result<SetDocument, Failure> {
    let id = set.id.clone();
    let started_at = context.clock.now();
    let begun = context.clock.monotonic();
    let Some(first) = set.wishes.first() else {
        return Err(Failure::new(
            ExitCode::Usage,
            "there is nothing to extract",
            "no table is named",
            "name a table",
        ));
    };
    let settings = first.job.clone();
    let beside = beside(context, &set, &settings)?;
    let mut history = History::open(context, &settings.state)?;
    let mut members = Vec::with_capacity(set.wishes.len());
    for mut wish in set.wishes {
        leave_one(&mut wish.job, set.source.identity().kind);
        members.push(Member::surveyed(context, wish, &set.source, &mut history).await);
    }
    separate(&members)?;
    for member in &mut members {
        member.hold(context, &mut history, &set.source).await;
    }
    member::show(context, &members);
    for member in &mut members {
        member.agree(context).await;
    }
    let together = Together {
        context,
        settings: &settings,
        source: &set.source,
        id: &id,
    };
    let (joint, warnings) = together.read(&mut members, &history).await;
    let mut document = SetDocument {
        status: "",
        set: id,
        exit: ExitCode::Success,
        snapshot: joint.map(|joint| joint.facts()),
        rows: 0,
        bytes: 0,
        duration_s: context
            .clock
            .monotonic()
            .saturating_sub(begun)
            .as_secs_f64(),
        manifest: None,
        tables: members.into_iter().map(Member::told).collect(),
        failure: None,
        warnings,
    };
    document.judge(context.interrupt.failure().map(|failure| failure.exit));
    let source = set.source.as_ref();
    announce(context, &mut document, (source, started_at), beside).await;
    Ok(document)
}

/// Where sessions are limited, one is left for the common snapshot, which PostgreSQL keeps on a session
/// of its own.
fn leave_one(job: &mut Job, kind: SourceKind) {
    if let (Goal::Request(request), SourceKind::PostgreSql) = (&mut job.goal, kind)
        && let Some(hints) = &mut request.hints
        && let Some(most) = hints.max_source_connections
    {
        let left = NonZero::new(most.get().saturating_sub(1));
        hints.max_source_connections = left.or(Some(most));
    }
}

/// The place that is above all datasets.
fn beside(context: &Context, set: &Set, settings: &Job) -> Result<Location, Failure> {
    // It names neither schema nor table.
    let nobody = Relation {
        schema: String::new(),
        name: String::new(),
    };
    let of = (set.source.identity(), &nobody);
    let path = survey::output(of, &set.beside, &settings.source, context);
    settings.store.locate(path)
}

/// Refuses tables of which one would be published into, or inside of, another's dataset.
fn separate(members: &[Member]) -> Result<(), Failure> {
    let mut places: Vec<(&Path, &str)> = members.iter().filter_map(Member::place).collect();
    places.sort_unstable();
    let clash = places
        .windows(2)
        .find(|pair| pair[1].0.starts_with(pair[0].0));
    match clash {
        None => Ok(()),
        Some(pair) => Err(Failure::new(
            ExitCode::Usage,
            format!(
                "{} and {} would be published into one place",
                pair[0].1, pair[1].1
            ),
            format!("{} and {}", pair[0].0.display(), pair[1].0.display()),
            "use {schema} and {table} in --output, such as 'out/{schema}/{table}'",
        )),
    }
}

/// Reading several tables.
struct Together<'a> {
    context: &'a Context,
    settings: &'a Job,
    source: &'a Arc<dyn Source>,
    id: &'a RunId,
}

impl Together<'_> {
    /// Reads and publishes whatever is held; the point in time, where there was one, and what a person
    /// should know.
    async fn read(
        &self,
        members: &mut [Member],
        history: &History,
    ) -> (Option<Arc<dyn Joint>>, Vec<String>) {
        let tasks: Vec<Task> = members
            .iter()
            .enumerate()
            .filter_map(|(index, member)| member.task(index))
            .collect();
        if tasks.is_empty() {
            return (None, Vec::new());
        }
        let budget = schedule::budget(&tasks, self.enough(members));
        let _claim = self.claim(history, budget);
        let since = self.context.clock.monotonic();
        let (joint, warnings) = match self.freeze(members, budget).await {
            Ok((joint, note)) => (joint, note.into_iter().collect()),
            Err(failure) => {
                fail_all(members, &failure, self.context);
                return (None, Vec::new());
            }
        };
        let expected = members.iter().map(Member::expected_rows).sum();
        let common = Arc::new(Common {
            joint: joint.clone(),
            since,
            sessions: budget,
            stop: self.context.interrupt.token().child_token(),
            why: OnceLock::new(),
            progress: Overall::new(&self.context.printer, expected),
        });
        let watch = self.watch(&common);
        let work = self.work(members, Schedule::new(tasks, budget), &common);
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            () = &mut work => {}
            () = watch => work.await,
        }
        common.progress.finish();
        if let Some(joint) = &joint {
            joint.close().await;
        }
        (joint, warnings)
    }

    /// How many sessions small tables may take together, where nobody limits them: two for each
    /// processor, of what the user allows and the server has.
    fn enough(&self, members: &[Member]) -> u32 {
        let held = members.iter().filter_map(|member| member.held.as_ref());
        let least = |of: &Held| match &of.survey.plan.resolution {
            Some(found) if found.hints.max_source_connections.is_some() => 0,
            _ => {
                let load = of.survey.contact.connections;
                let quarter = load.max.saturating_sub(load.active) / 4;
                quarter.min(of.survey.most_workers)
            }
        };
        let most = held.map(least).min().unwrap_or(0);
        let asked = match &self.settings.goal {
            Goal::Request(request) => request.work.workers.unwrap_or(u32::MAX),
            Goal::Given(_) => 0,
        };
        machine::cpus().min(most).min(asked).saturating_mul(2)
    }

    /// Writes the sessions down for other processes.
    fn claim(&self, history: &History, budget: u32) -> Option<Claim> {
        let limited = match &self.settings.goal {
            Goal::Request(request) => {
                let hints = request.hints.as_ref();
                hints.is_some_and(|hints| hints.max_source_connections.is_some())
            }
            Goal::Given(_) => false,
        };
        let share = Share::of(self.context, history, self.source.identity(), limited);
        share.claim(self.context, budget)
    }

    /// Opens the point in time that all tables are read at, or says that they have none.
    async fn freeze(
        &self,
        members: &[Member],
        budget: u32,
    ) -> Result<(Option<Arc<dyn Joint>>, Option<String>), Failure> {
        let held = members.iter().filter_map(|member| member.held.as_ref());
        let specs: Vec<_> = held.map(|held| &held.survey.plan.spec).collect();
        let asked = specs.iter().map(|spec| spec.consistency);
        let strict = asked.clone().any(|of| of == Consistency::Snapshot);
        let reads: Vec<ReadSpec> = specs
            .iter()
            .filter(|spec| spec.consistency != Consistency::PerChunk)
            .map(|spec| spec.read.clone())
            .collect();
        if reads.is_empty() {
            return Ok((None, None));
        }
        let request = SnapshotRequest {
            consistency: if strict {
                Consistency::Snapshot
            } else {
                Consistency::Auto
            },
            // One of them counts.
            sessions: budget.saturating_sub(1).max(1),
            batch_bytes: 0,
            lock_wait: self.settings.source.lock_wait,
            allow_row_security: self.settings.source.allow_row_security,
        };
        self.context.printer.detail("opening the common snapshot");
        let opening = self.source.joint(&reads, &request);
        let opened = self.context.interrupt.or::<_, SourceError>(opening).await?;
        let kind = self.source.identity().kind;
        match opened {
            Some(joint) => Ok((Some(joint), None)),
            None if strict && reads.len() > 1 => Err(no_joint(kind)),
            None => Ok((
                None,
                (reads.len() > 1).then(|| {
                    format!(
                        "{kind} gives several tables no point in time in common: each is read at one of \
                         its own"
                    )
                }),
            )),
        }
    }

    /// Ends everything when somebody has waited for the common locks for too long.
    async fn watch(&self, common: &Arc<Common>) {
        let Some(joint) = common.joint.clone() else {
            return std::future::pending().await;
        };
        let look: Look = Box::new(move || {
            let joint = Arc::clone(&joint);
            Box::pin(async move { joint.blocked().await })
        });
        let clock = self.context.clock.clone();
        let limit = self.settings.source.max_blocking;
        let object = format!("the tables of set {}", self.id);
        let blocking = until_blocking(look, clock, limit, object).await;
        // There is one watcher, so nobody was quicker.
        let _ = common.why.set(Failure::from(blocking));
        common.stop.cancel();
    }

    /// Runs the tables, as many at once as there are sessions for.
    async fn work(&self, members: &mut [Member], mut schedule: Schedule, common: &Arc<Common>) {
        let mut running = FuturesUnordered::new();
        loop {
            while !common.stop.is_cancelled()
                && let Some(task) = schedule.next()
            {
                let Some(held) = members[task.index].held.take() else {
                    schedule.done(task);
                    continue;
                };
                let (job, common) = (members[task.index].job.clone(), Arc::clone(common));
                running.push(async move {
                    let outcome = held.run(self.context, &job, self.id, common).await;
                    (task, outcome)
                });
            }
            let Some((task, outcome)) = running.next().await else {
                break;
            };
            members[task.index].outcome = Some(outcome);
            schedule.done(task);
        }
        for task in schedule.give_up() {
            let why = common.why.get().cloned();
            let failure = why.or_else(|| self.context.interrupt.failure());
            if let Some(failure) = failure {
                members[task.index].fail(failure, self.context);
            }
        }
    }
}

/// There is no point in time for several tables, and one was demanded.
fn no_joint(kind: SourceKind) -> Failure {
    Failure::new(
        ExitCode::Refused,
        "cannot read several tables at one point in time",
        format!("this version cannot share one snapshot between tables of {kind}"),
        "pass --consistency auto to read each table at a point in time of its own",
    )
}

fn fail_all(members: &mut [Member], failure: &Failure, context: &Context) {
    for member in members.iter_mut().filter(|member| member.held.is_some()) {
        member.fail(failure.clone(), context);
    }
}

/// Writes the set's manifest, where anything was published.
async fn announce(
    context: &Context,
    document: &mut SetDocument,
    (source, started_at): (&dyn Source, Timestamp),
    beside: Location,
) {
    if !document.tables.iter().any(|table| table.error.is_none()) {
        return;
    }
    let manifest = SetManifest {
        set_version: SET_VERSION,
        ixtract: env!("CARGO_PKG_VERSION").to_owned(),
        set: document.set.clone(),
        started_at,
        created_at: context.clock.now(),
        source: source.identity().clone(),
        complete: document.tables.iter().all(|table| table.error.is_none())
            && document.snapshot.is_some()
            && document
                .tables
                .iter()
                .all(|table| table.in_snapshot || table.run.is_none()),
        snapshot: document.snapshot.clone(),
        rows: document.rows,
        tables: document.tables.iter().map(entry).collect(),
    };
    // What is published is published: a signal does not keep it from being told.
    let writing = tokio::task::spawn_blocking(move || set::write(&beside, &manifest));
    let failure = match writing.await {
        Ok(Ok(path)) => {
            document.manifest = Some(path);
            return;
        }
        Ok(Err(error)) => Failure::from(error),
        Err(error) => Failure::new(
            ExitCode::Bug,
            "ixtract has a bug and stopped",
            error.to_string(),
            "report it with this message and the command line",
        ),
    };
    if document.exit == ExitCode::Success {
        document.exit = failure.exit;
    }
    document.failure = Some(failure);
}

fn entry(table: &SetTable) -> SetEntry {
    let run = table.run.as_ref();
    let error = table.error.as_ref();
    SetEntry {
        table: table.table.clone(),
        status: table.status.to_owned(),
        run: run.map(|run| run.run.clone()),
        dataset: table.dataset.clone(),
        rows: run.map(|run| run.rows),
        bytes: run.map(|run| run.bytes),
        fingerprint: run.map(|run| run.fingerprint.clone()),
        in_snapshot: table.in_snapshot,
        taken_at: run.map(|run| run.consistency.taken_at.clone()),
        error: error.map(|failure| format!("{}: {}", failure.what, failure.why)),
    }
}
