//! The state store as commands use it: a help, never a gate.
//!
//! A store that cannot be used costs a warning and cold defaults, unless `--state-required`.

use jiff::{SignedDuration, Timestamp};

use super::context::Context;
use super::machine;
use super::settings::{self, StateSettings};
use crate::controller::between_runs::State;
use crate::diagnosis::anomaly::BASELINE_RUNS;
use crate::diagnosis::{self, Diagnosis};
use crate::error::{ExitCode, Failure};
use crate::model::{
    Benchmark, Column, FinishedChunk, PastRun, Relation, RunClose, RunId, RunOpen, Scope,
    Selection, SnapshotFacts, SourceIdentity, SourceProfile,
};
use crate::state::{StateError, Store};
use crate::ui::{Printer, resume};

/// Runs that an estimate looks at, newest first.
pub(super) const LOOK_BACK: u32 = 50;

/// How long what an unfinished run left is spared by other runs of its output.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Before every run.
pub(super) const LONG_AGO: Timestamp = Timestamp::UNIX_EPOCH;

/// The history, where there is one.
pub(super) struct History {
    store: Option<Store>,
    file: Option<String>,
    required: bool,
    scope: Option<String>,
    printer: Printer,
    /// What was warned about, for documents.
    warnings: Vec<String>,
}

impl History {
    /// Opens the store and marks runs whose process died.
    ///
    /// # Errors
    /// Only with `--state-required`: whatever keeps the store from being used.
    pub(super) fn open(context: &Context, settings: &StateSettings) -> Result<Self, Failure> {
        let printer = context.printer.clone();
        let mut history = Self {
            store: None,
            file: None,
            required: settings.required,
            scope: settings.scope.clone(),
            printer,
            warnings: Vec::new(),
        };
        match &settings.file {
            None => history.give_up(nowhere())?,
            Some(file) => match Store::open(file) {
                Ok(store) => {
                    history.store = Some(store);
                    history.file = Some(file.display().to_string());
                }
                Err(error) => history.give_up(error.into())?,
            },
        }
        history.sweep_crashed(context)?;
        Ok(history)
    }

    /// Marks runs whose process died.
    pub(super) fn sweep_crashed(&mut self, context: &Context) -> Result<(), Failure> {
        let now = context.clock.now();
        let swept = self.attempt(|store| store.sweep_crashed(&host(), now, &is_alive))?;
        for id in swept.into_iter().flatten() {
            self.printer.note(&format!(
                "run {id} is marked as crashed: its process is gone"
            ));
        }
        Ok(())
    }

    /// A run of this machine that is under way into `output`; none where there is no history.
    pub(super) fn writing(
        &mut self,
        context: &Context,
        output: &str,
    ) -> Result<Option<RunId>, Failure> {
        self.sweep_crashed(context)?;
        let writing = self.attempt(|store| store.writing(&host(), output))?;
        Ok(writing.flatten())
    }

    /// The store's file; `None` when none could be used.
    pub(super) fn file(&self) -> Option<String> {
        self.file.clone()
    }

    /// What people were warned about, for the documents of `--json`.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The scope that runs of a table are remembered under.
    pub(super) fn scope(
        &self,
        source: &SourceIdentity,
        relation: &Relation,
        selection: &Selection,
    ) -> Scope {
        Scope::new(source, relation, selection, self.scope.as_deref())
    }

    /// Earlier runs that teach, newest first; none where there is no history.
    pub(super) fn teachers(&mut self, scope: &Scope) -> Result<Vec<PastRun>, Failure> {
        let past = self.attempt(|store| store.teachers(scope, LOOK_BACK))?;
        Ok(past.unwrap_or_default())
    }

    /// The latest benchmark; none where there is no history.
    pub(super) fn benchmark(&mut self, scope: &Scope) -> Result<Option<Benchmark>, Failure> {
        let benchmark = self.attempt(|store| store.benchmark(scope))?;
        Ok(benchmark.flatten())
    }

    /// Keeps a benchmark.
    pub(super) fn save_benchmark(
        &mut self,
        scope: &Scope,
        benchmark: &Benchmark,
    ) -> Result<(), Failure> {
        self.attempt(|store| store.save_benchmark(scope, benchmark))?;
        Ok(())
    }

    /// How many runs are under way on a database; none where there is no history.
    pub(super) fn running(&mut self, source: &SourceIdentity) -> Result<u32, Failure> {
        let running = self.attempt(|store| store.running(source))?;
        Ok(running.unwrap_or(0))
    }

    /// What the controller knows; nothing where there is no history.
    pub(super) fn learned(&mut self, scope: &Scope) -> Result<State, Failure> {
        let learned = self.attempt(|store| store.learned(scope))?;
        Ok(learned.flatten().unwrap_or_default())
    }

    /// Keeps a profile.
    pub(super) fn save_profile(
        &mut self,
        scope: &Scope,
        profile: &SourceProfile,
        context: &Context,
    ) -> Result<(), Failure> {
        self.attempt(|store| store.save_profile(scope, profile, context.clock.now()))?;
        Ok(())
    }

    /// Writes a run's row before it starts.
    pub(super) fn begin(&mut self, run: &RunOpen) -> Result<(), Failure> {
        self.attempt(|store| store.begin(run))?;
        Ok(())
    }

    /// The columns of the newest published run of a relation, and which run that is; none where there is
    /// no history.
    pub(super) fn last_columns(
        &mut self,
        scope: &Scope,
        relation: &Relation,
    ) -> Result<Option<(RunId, Vec<Column>)>, Failure> {
        let columns = self.attempt(|store| store.last_columns(scope, relation))?;
        Ok(columns.flatten())
    }

    /// Whether there is a history to remember anything in.
    pub(super) fn is_there(&self) -> bool {
        self.store.is_some()
    }

    /// Remembers which point in time a run reads.
    pub(super) fn keep_snapshot(&mut self, id: &RunId, facts: &SnapshotFacts) {
        self.remember(|store| store.keep_snapshot(id, facts));
    }

    /// Remembers a chunk that a run has finished; false when it cannot be.
    pub(super) fn keep_chunk(&mut self, id: &RunId, chunk: &FinishedChunk) -> bool {
        self.remember(|store| store.keep_chunk(id, chunk))
    }

    /// Forgets the chunks that a run has finished: they are gone.
    pub(super) fn forget_chunks(&mut self, id: &RunId) {
        self.remember(|store| store.forget_chunks(std::slice::from_ref(id)));
    }

    /// Writes what only a resumed run would miss; whether that went well. A history that is busy for a
    /// while is no reason to give it up: the run's end is to be recorded still.
    fn remember(&self, write: impl FnOnce(&Store) -> Result<(), StateError>) -> bool {
        let Some(store) = &self.store else {
            return false;
        };
        match write(store) {
            Ok(()) => true,
            Err(error) => {
                let failure = Failure::from(error);
                self.printer.warn(&format!(
                    "a resumed run may have to read more again: {}: {}",
                    failure.what, failure.why
                ));
                false
            }
        }
    }

    /// The command that goes on with a run: with the history's file where it is not the usual one, and
    /// with the number of old versions that are to stay.
    pub(super) fn resume_command(&self, context: &Context, id: &RunId, keep: u32) -> String {
        let usual = settings::state_file(None, &context.environment);
        let usual = usual.map(|file| file.display().to_string());
        let mut command = resume::command(id);
        if keep > 0 {
            command.push_str(&format!(" --keep {keep}"));
        }
        match &self.file {
            Some(file) if self.file != usual => format!("{command} --state '{file}'"),
            _ => command,
        }
    }

    /// The runs whose leftovers another run of `output` must not sweep: the newest unfinished one that
    /// left something, unless that is [`KEPT_FOR`] ago, and whatever it went on with. All others are
    /// forgotten; with `discard` all are.
    pub(super) fn spared(
        &mut self,
        context: &Context,
        output: &str,
        discard: bool,
    ) -> Result<Vec<RunId>, Failure> {
        let since = context.clock.now() - KEPT_FOR;
        let spared = self.attempt(|store| {
            let recent = store.unfinished(Some(output), None, since)?;
            let spared = match recent.into_iter().next().filter(|_| !discard) {
                Some(run) if !store.finished_chunks(&run)?.is_empty() => Some(run),
                _ => None,
            };
            let mut others = store.remembered(output)?;
            others.retain(|run| Some(run) != spared.as_ref());
            if !others.is_empty() {
                store.forget_chunks(&others)?;
            }
            spared.map(|run| store.resumption_chain(&run)).transpose()
        })?;
        Ok(spared.flatten().unwrap_or_default())
    }

    /// Diagnoses a published run before its row is closed. What was published stays published: a
    /// history that cannot be read costs a warning, and the run is diagnosed by itself.
    pub(super) fn diagnose(&mut self, open: &RunOpen, close: &mut RunClose) {
        let clean = self.ask(|store| store.clean_runs(&open.scope, open.started_at, BASELINE_RUNS));
        let Diagnosis { finding, anomaly } =
            diagnosis::diagnose(open, close, &clean.unwrap_or_default());
        close.finding = Some(finding);
        close.anomaly = anomaly;
    }

    /// Closes a run's row, and keeps what was learned if the run teaches. Never an error: what was
    /// published stays published.
    pub(super) fn close(
        &mut self,
        id: &RunId,
        close: &RunClose,
        learned: Option<&State>,
    ) -> Option<String> {
        let store = self.store.as_ref()?;
        let failure = Failure::from(store.close(id, close, learned).err()?);
        Some(format!(
            "the run's end is not in the history: {}",
            failure.why
        ))
    }

    /// Whether later plans are made from this run, which is the scope's newest.
    pub(super) fn teaches(&mut self, scope: &Scope, id: &RunId) -> bool {
        let newest = self.ask(|store| store.history(scope, 1));
        newest
            .and_then(|runs| runs.into_iter().next())
            .is_some_and(|run| run.id == *id && run.teaches)
    }

    /// Asks the store after publishing, when no answer is no failure any more.
    fn ask<T>(&mut self, ask: impl FnOnce(&Store) -> Result<T, StateError>) -> Option<T> {
        self.attempt(ask).ok().flatten()
    }

    /// Asks the store, if there is one; a store that fails is not asked again.
    fn attempt<T>(
        &mut self,
        ask: impl FnOnce(&Store) -> Result<T, StateError>,
    ) -> Result<Option<T>, Failure> {
        let Some(store) = &self.store else {
            return Ok(None);
        };
        match ask(store) {
            Ok(answer) => Ok(Some(answer)),
            Err(error) => {
                self.give_up(error.into())?;
                Ok(None)
            }
        }
    }

    fn give_up(&mut self, failure: Failure) -> Result<(), Failure> {
        if self.required {
            return Err(failure);
        }
        self.store = None;
        self.file = None;
        let warning = format!(
            "going on without history: {}: {} ({})",
            failure.what, failure.why, failure.fix
        );
        self.printer.warn(&warning);
        self.warnings.push(warning);
        Ok(())
    }
}

/// There is no file that the history could be in.
pub(super) fn nowhere() -> Failure {
    Failure::new(
        ExitCode::Config,
        "there is no place for the history",
        "none of IXTRACT_STATE, STATE_DIRECTORY, XDG_STATE_HOME and HOME is set",
        "pass --state FILE",
    )
}

/// This machine's name, as runs are recorded under.
pub(super) fn host() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// Whether the process of this machine that began a run at that time is still there, whoever owns it.
/// One that began later only has its number: after a restart, in a container, that is the rule.
pub(super) fn is_alive(pid: u32, run_began: Timestamp) -> bool {
    let there = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        // "Not permitted" means that it is there and somebody else's.
        .is_some_and(|pid| {
            rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH)
        });
    // Where the system does not tell when a process began, its number has to do.
    let later = machine::process_began(pid)
        .is_some_and(|began| began.duration_since(run_began) > CLOCKS_DIFFER);
    there && !later
}

/// The system tells the second in which a process began, rounded by its own rules.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_an_impossible_one_is_not() {
        let late = Timestamp::MAX;
        assert!(is_alive(std::process::id(), late));
        assert!(is_alive(1, late));
        assert!(!is_alive(u32::MAX, late));
        assert!(!is_alive(i32::MAX as u32, late));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_that_began_after_the_run_only_has_its_number() {
        assert!(!is_alive(std::process::id(), Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn this_machine_has_a_name() {
        assert!(!host().is_empty());
    }
}
