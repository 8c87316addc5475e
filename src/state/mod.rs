//! The SQLite store that carries history between runs.
//!
//! Several processes use one store at once: it is in WAL mode, writers wait for each other up to
//! [`BUSY_TIMEOUT`], and every change is one transaction. A run's row is written before the run
//! starts and closed in every outcome; the row of a process that died is found by
//! [`Store::sweep_crashed`].

mod backup;
mod benchmark;
mod check;
mod drift;
mod error;
mod history;
mod ledger;
mod look;
mod migrate;
mod portable;
mod prune;
mod reading;
mod rebuild;
mod record;
mod resume;
mod select;
mod stored;
mod windows;

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags};

pub use error::StateError;
pub use ledger::{Claim, Holder, Ledger, OpenLedger};
pub use look::StoreFacts;
pub use prune::Pruning;
pub use rebuild::RebuiltRun;
pub use select::LAST;

/// The result of using the store.
pub type Result<T> = std::result::Result<T, StateError>;

/// How long a process waits for another one's transaction.
pub const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Pause between two tries to switch a new store to WAL mode.
const WAL_PAUSE: Duration = Duration::from_millis(20);

/// An open state store: one connection.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: String,
    read_only: bool,
}

impl Store {
    /// Opens the store at `path`. Creates the file (mode 0600) and its directories (0700) where they
    /// do not exist, and migrates an older store after keeping a copy beside it.
    ///
    /// # Errors
    /// [`StateError::Newer`] and [`StateError::Corrupt`] leave the file as it is;
    /// [`StateError::ReadOnly`], [`StateError::Locked`] and [`StateError::Io`] as they say.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, migrate::MIGRATIONS)
    }

    /// Opens the store at `path` to look back: as [`Store::open`], but nothing is created.
    ///
    /// # Errors
    /// Also [`StateError::Missing`].
    pub fn open_existing(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        match path.try_exists() {
            Ok(true) => Self::open(path),
            Ok(false) => Err(StateError::Missing { path: name }),
            Err(error) => Err(StateError::from_io(&error, "open", &name)),
        }
    }

    /// Whether the store was opened so that nothing can change it.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    fn open_with(path: &Path, migrations: &[&str]) -> Result<Self> {
        let name = path.display().to_string();
        create(path).map_err(|error| StateError::from_io(&error, "create", &name))?;
        let store = Self::writable(path)?;
        // Before anything is written: a file that is not ours, or newer, stays as it is.
        migrate::look(&store.connection, &store.path, migrations.len())?;
        store
            .switch_to_wal()
            .map_err(|error| store.failed(&error, "open"))?;
        migrate::migrate(&store.connection, path, migrations)?;
        Ok(store)
    }

    /// The file at `path`, opened for writing; nothing is read or written yet.
    fn writable(path: &Path) -> Result<Self> {
        let name = path.display().to_string();
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)
            .map_err(|error| StateError::from_sqlite(&error, "open", &name))?;
        let store = Self {
            connection,
            path: name,
            read_only: false,
        };
        store.configure()?;
        Ok(store)
    }

    fn configure(&self) -> Result<()> {
        let failed = |error: rusqlite::Error| self.failed(&error, "open");
        self.connection.busy_timeout(BUSY_TIMEOUT).map_err(failed)?;
        // SQLite opens a write-protected file for reading without a word.
        if self.connection.is_readonly("main").map_err(failed)? {
            return Err(StateError::ReadOnly {
                path: self.path.clone(),
            });
        }
        self.connection
            .execute_batch("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON")
            .map_err(failed)
    }

    /// Switches to WAL mode. SQLite does not wait for its lock here, so processes that create a
    /// store together try again themselves.
    fn switch_to_wal(&self) -> rusqlite::Result<()> {
        let mut left = BUSY_TIMEOUT.as_millis() / WAL_PAUSE.as_millis();
        loop {
            let switched = self
                .connection
                .query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()));
            match switched {
                Err(error)
                    if left > 0 && error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) =>
                {
                    left -= 1;
                    std::thread::sleep(WAL_PAUSE);
                }
                other => return other,
            }
        }
    }

    fn failed(&self, error: &rusqlite::Error, action: &'static str) -> StateError {
        StateError::from_sqlite(error, action, &self.path)
    }

    fn corrupt(&self, why: impl ToString) -> StateError {
        StateError::Corrupt {
            path: self.path.clone(),
            why: why.to_string().replace('\n', " "),
        }
    }
}

/// Creates the file and its directories, readable by their owner alone, where they do not exist.
fn create(path: &Path) -> std::io::Result<()> {
    if path.try_exists()? {
        return Ok(());
    }
    if let Some(parent) = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
    {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)?;
    }
    create_private(path)
}

/// Creates a file that its owner alone may read, unless it exists: another process may create the
/// same at this moment.
fn create_private(path: &Path) -> std::io::Result<()> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
        .map(drop)
}

/// A time as it is stored: of fixed width, so that text order is time order.
fn stored_time(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// SQLite's integers are signed; larger counts than it can hold do not occur.
fn stored_count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// SQLite stores NaN as NULL, so what is not a number is stored as 0.
fn stored_float(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use proptest::prelude::*;

    use std::collections::BTreeMap;

    use super::*;
    use crate::controller::between_runs::State;
    use crate::model::fixtures::chunk;
    use crate::model::{
        Action, Anomaly, Category, ChangeCounters, ConfidenceLevel, ConsistencyLevel, Direction,
        Evidence, ExecutionContext, ExecutionPlan, Finding, Measures, PastRun, Recorded, Relation,
        RunClose, RunId, RunOpen, RunStatus, Scope, Selection, SnapshotFacts, SourceThen,
        Surroundings, WorkerRecord,
    };
    use crate::planner::fixtures;

    pub(super) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_770_000_000 + second).expect("a time of this century")
    }

    pub(super) fn store(directory: &tempfile::TempDir) -> Store {
        Store::open(&directory.path().join("state.db")).expect("the store opens")
    }

    pub(super) fn scope(table: &str) -> Scope {
        let relation = Relation {
            schema: "public".to_owned(),
            name: table.to_owned(),
        };
        Scope::new(&fixtures::source(), &relation, &Selection::default(), None)
    }

    fn plan() -> ExecutionPlan {
        fixtures::plan(fixtures::profile(3_000_000))
    }

    fn context() -> ExecutionContext {
        let around = Surroundings {
            now: at(0),
            concurrent_extractions: 1,
            system_load_per_core: None,
        };
        let profile = fixtures::profile(3_000_000);
        ExecutionContext::measured(&profile.latency, profile.connections, 3_000_000, around)
    }

    pub(super) fn open(second: i64, entropy: u32) -> RunOpen {
        RunOpen {
            id: RunId::new(at(second), entropy),
            scope: scope("orders"),
            started_at: at(second),
            pid: 42,
            host: "etl-1".to_owned(),
            plan: plan(),
            constrained: false,
            hints: None,
            estimated_cost: None,
            replay_of: None,
            resumes: None,
            set: None,
            drift: None,
            source_then: SourceThen {
                counters: ChangeCounters(
                    [("n_tup_ins".to_owned(), "7".to_owned())]
                        .into_iter()
                        .collect(),
                ),
                ..SourceThen::from(&fixtures::profile(3_000_000))
            },
            look_ms: 30,
            context: Some(context()),
            output: "out/orders".to_owned(),
        }
    }

    pub(super) fn close(second: i64) -> RunClose {
        RunClose {
            status: RunStatus::Success,
            ended_at: at(second),
            rows: 3_000_001,
            bytes: 77,
            duration_s: 12.5,
            throughput: 240_000.08,
            effective_workers: 5.5,
            snapshot: Some(SnapshotFacts {
                level: ConsistencyLevel::SharedSnapshot,
                readers: 6,
                position: Some("0/16B3748".to_owned()),
                taken_at: "2026-02-02T02:40:00Z".to_owned(),
                held_by: "ACCESS SHARE lock".to_owned(),
                notes: Vec::new(),
            }),
            snapshot_ms: 4,
            confidence: "full".to_owned(),
            adaptations: Vec::new(),
            error: None,
            actual_cost: None,
            nulled: BTreeMap::new(),
            chunks: (1..=3).map(chunk).collect(),
            workers: vec![WorkerRecord {
                worker: 1,
                chunks: 3,
                rows: 3_000_001,
                bytes: 77,
                busy_ms: 9,
                blocked_ms: 4,
                idle_ms: 1,
                paused_ms: 0,
            }],
            finding: None,
            anomaly: None,
        }
    }

    pub(super) fn count(store: &Store, sql: &str) -> i64 {
        store
            .connection
            .query_row(sql, [], |row| row.get(0))
            .expect("a number")
    }

    fn mode(path: &Path) -> u32 {
        let metadata = std::fs::metadata(path).expect("it exists");
        metadata.permissions().mode() & 0o777
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).expect("it is a directory");
        let mut names: Vec<String> = entries
            .map(|entry| {
                entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_store_is_private_and_in_wal_mode() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a/b/state.db");
        let store = Store::open(&path).expect("the store opens");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&directory.path().join("a/b")), 0o700);
        assert_eq!(mode(&directory.path().join("a")), 0o700);
        let pragma = |name: &str| -> String {
            let ask = format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}");
            store
                .connection
                .query_row(&ask, [], |row| row.get(0))
                .expect("a pragma")
        };
        assert_eq!(pragma("journal_mode"), "wal");
        assert_eq!(pragma("foreign_keys"), "1");
        assert_eq!(pragma("synchronous"), "1");
        assert_eq!(
            count(&store, "SELECT timeout FROM pragma_busy_timeout"),
            5_000
        );
        store.begin(&open(0, 1)).expect("the run begins");
        assert_eq!(mode(&directory.path().join("a/b/state.db-wal")), 0o600);
    }

    #[test]
    fn a_run_is_running_from_its_first_row_to_its_close() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        let run = open(0, 1);
        assert_eq!(store.running(&run.scope.source), Ok(0));
        store.begin(&run).expect("the run begins");
        assert_eq!(store.running(&run.scope.source), Ok(1));
        let history = store.history(&run.scope, 10).expect("a history");
        assert_eq!(
            (history[0].status, history[0].teaches),
            (RunStatus::Running, false)
        );

        store
            .close(&run.id, &close(13), None)
            .expect("the run closes");
        assert_eq!(store.running(&run.scope.source), Ok(0));
        let expected = PastRun {
            id: run.id.clone(),
            relation: "public.orders".to_owned(),
            started_at: at(0),
            status: RunStatus::Success,
            workers: 6,
            rows: 3_000_001,
            bytes: 77,
            duration_s: 12.5,
            predicted_s: 5.0,
            throughput: 240_000.08,
            teaches: true,
            fingerprint: run.plan.fingerprint.clone(),
            error: None,
            context: Recorded::Known(context()),
            replay_of: None,
        };
        assert_eq!(store.teachers(&run.scope, 10), Ok(vec![expected.clone()]));
        assert_eq!(store.history(&run.scope, 10), Ok(vec![expected]));
        assert_eq!(store.plan(&run.id), Ok(Some(run.plan.clone())));
        assert_eq!(store.plan(&RunId::stored("rx-none")), Ok(None));
        assert_eq!(count(&store, "SELECT count(*) FROM chunks"), 3);
        assert_eq!(count(&store, "SELECT busy_ms FROM worker_metrics"), 9);
        let facts = "SELECT key_max = '3000000' AND source_bytes = 300000000 AND connect_us = 900
            AND counters_json = '{\"n_tup_ins\":\"7\"}' AND json_array_length(latency_us_json) = 5
            AND ended_at = '2026-02-02T02:40:13.000000Z' FROM runs";
        assert_eq!(count(&store, facts), 1);
    }

    #[test]
    fn only_an_open_run_can_be_closed_and_an_id_begins_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        let run = open(0, 1);
        let missing = StateError::NotFound {
            id: run.id.to_string(),
        };
        assert_eq!(store.close(&run.id, &close(1), None), Err(missing.clone()));
        store.begin(&run).expect("the run begins");
        assert!(matches!(store.begin(&run), Err(StateError::Io { .. })));
        store
            .close(&run.id, &close(1), None)
            .expect("the run closes");
        assert_eq!(store.close(&run.id, &close(2), None), Err(missing));
        assert_eq!(count(&store, "SELECT count(*) FROM chunks"), 3);
    }

    #[test]
    fn only_clean_runs_teach() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        type Change = fn(&mut RunOpen, &mut RunClose);
        let unclean: [Change; 7] = [
            |open, _| open.constrained = true,
            |open, _| open.replay_of = Some(RunId::new(at(0), 7)),
            |_, close| close.status = RunStatus::Failed,
            |_, close| close.status = RunStatus::Cancelled,
            |_, close| close.snapshot = None,
            |_, close| {
                let snapshot = close.snapshot.as_mut().expect("a snapshot");
                snapshot.level = ConsistencyLevel::PerChunk;
            },
            |_, close| {
                let snapshot = close.snapshot.as_mut().expect("a snapshot");
                snapshot.readers = 5;
            },
        ];
        for (change, second) in unclean.into_iter().zip(0..) {
            let (mut open, mut close) = (open(second, 1), close(second));
            change(&mut open, &mut close);
            store.begin(&open).expect("the run begins");
            store.close(&open.id, &close, None).expect("the run closes");
        }
        let history = store.history(&scope("orders"), 50).expect("a history");
        assert_eq!(history.len(), 7);
        assert!(history.iter().all(|run| !run.teaches), "{history:?}");
        assert_eq!(store.teachers(&scope("orders"), 50), Ok(Vec::new()));
    }

    #[test]
    fn a_disturbed_run_teaches_only_as_the_first_of_its_count() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        let run = |second, workers, confidence: &str| {
            let (mut open, mut close) = (open(second, 1), close(second));
            open.plan.spec.workers = workers;
            close.confidence = confidence.to_owned();
            store.begin(&open).expect("the run begins");
            store.close(&open.id, &close, None).expect("the run closes");
            let teachers = store.teachers(&scope("orders"), 50).expect("a history");
            teachers.iter().any(|run| run.id == open.id)
        };
        let taught = [
            run(1, 6, "low"),
            run(2, 6, "low"),
            run(3, 5, "low"),
            run(4, 6, "full"),
            run(5, 6, "low"),
        ];
        assert_eq!(taught, [true, false, true, true, false]);
    }

    #[test]
    fn what_was_learned_is_kept_when_the_run_teaches() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        let knows = |best| State {
            best,
            ..State::default()
        };
        let scope = scope("orders");
        assert_eq!(store.learned(&scope), Ok(None));
        let close_with = |second: i64, best: u32, constrained: bool| {
            let mut run = open(second, 1);
            run.constrained = constrained;
            store.begin(&run).expect("the run begins");
            let learned = knows(best);
            store
                .close(&run.id, &close(second), Some(&learned))
                .expect("the run closes");
        };
        close_with(0, 4, false);
        assert_eq!(store.learned(&scope), Ok(Some(knows(4))));
        close_with(1, 7, true);
        assert_eq!(
            store.learned(&scope),
            Ok(Some(knows(4))),
            "it must not teach"
        );
        close_with(2, 6, false);
        assert_eq!(store.learned(&scope), Ok(Some(knows(6))));
        assert_eq!(
            count(&store, "SELECT current_workers FROM controller_state"),
            6
        );
    }

    #[test]
    fn runs_of_dead_processes_are_found_on_their_own_host() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        let (dead, mut alive, mut elsewhere) = (open(0, 1), open(1, 2), open(2, 3));
        alive.pid = 43;
        elsewhere.host = "etl-2".to_owned();
        for run in [&dead, &alive, &elsewhere] {
            store.begin(run).expect("the run begins");
        }
        let swept = store.sweep_crashed("etl-1", at(9), &|pid, began| pid == 43 && began == at(1));
        assert_eq!(swept, Ok(vec![dead.id.clone()]));
        assert_eq!(
            store.sweep_crashed("etl-1", at(9), &|pid, began| pid == 43 && began == at(1)),
            Ok(Vec::new())
        );
        assert_eq!(store.running(&dead.scope.source), Ok(2));
        let history = store.history(&dead.scope, 10).expect("a history");
        let statuses: Vec<RunStatus> = history.iter().map(|run| run.status).collect();
        use RunStatus::{Crashed, Running};
        assert_eq!(statuses, [Running, Running, Crashed]);
        assert_eq!(
            history[2].error.as_deref(),
            Some("its process ended without closing the run")
        );
        // It was not dead after all.
        store
            .close(&dead.id, &close(10), None)
            .expect("the run closes");
        let history = store.history(&dead.scope, 10).expect("a history");
        assert_eq!(
            (history[2].status, &history[2].error),
            (RunStatus::Success, &None)
        );
    }

    #[test]
    fn histories_of_scopes_never_mix_and_are_newest_first() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        for second in [5, 1, 3] {
            store.begin(&open(second, 1)).expect("the run begins");
            let mut other = open(second, 2);
            other.scope = scope("customers");
            store.begin(&other).expect("the run begins");
        }
        let history = store.history(&scope("orders"), 2).expect("a history");
        let starts: Vec<Timestamp> = history.iter().map(|run| run.started_at).collect();
        assert_eq!(starts, [at(5), at(3)]);
        assert!(history.iter().all(|run| run.relation == "public.orders"));
        assert_eq!(store.history(&scope("nothing"), 10), Ok(Vec::new()));
    }

    #[test]
    fn a_failover_keeps_the_history() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        for (host, second) in [("db-a", 1), ("db-b", 2)] {
            let mut run = open(second, 1);
            let mut source = fixtures::source();
            (source.host, source.name) = (host.to_owned(), Some("shop".to_owned()));
            run.scope = Scope::new(&source, &run.scope.relation, &Selection::default(), None);
            store.begin(&run).expect("the run begins");
            assert_eq!(
                store.history(&run.scope, 9).map(|runs| runs.len()),
                Ok(second as usize)
            );
            assert_eq!(store.running(&source), Ok(1));
        }
        assert_eq!(count(&store, "SELECT host = 'db-b' FROM scopes"), 1);
    }

    #[test]
    fn a_run_is_found_by_the_beginning_of_its_id_or_tag() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        let (first, second) = (open(0, 0xaabb_0000), open(1, 0xaacc_0000));
        store.begin(&first).expect("the run begins");
        store.begin(&second).expect("the run begins");
        assert_eq!(store.find(first.id.as_str()), Ok(first.id.clone()));
        assert_eq!(store.find("aab"), Ok(first.id.clone()));
        assert_eq!(store.find("rx-20260202-024001"), Ok(second.id.clone()));
        let candidates = vec![first.id.to_string(), second.id.to_string()];
        let prefix = "aa".to_owned();
        assert_eq!(
            store.find("aa"),
            Err(StateError::Ambiguous { prefix, candidates })
        );
        assert_eq!(
            store.find("%"),
            Err(StateError::NotFound { id: "%".to_owned() })
        );
        assert!(matches!(store.find(""), Err(StateError::Ambiguous { .. })));
    }

    #[test]
    fn everything_that_was_recorded_of_a_run_is_read_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        let (run, mut close) = (open(0, 0xfeed), close(13));
        close.adaptations = vec!["worker 2 paused 1 s".to_owned()];
        close.nulled = BTreeMap::from([("born".to_owned(), 2)]);
        store.begin(&run).expect("the run begins");
        let under_way = store.selected("0000feed").expect("it is stored");
        assert_eq!(under_way.run.status, RunStatus::Running);
        assert!(under_way.chunks.is_empty() && under_way.run.ended_at.is_none());

        store.close(&run.id, &close, None).expect("the run closes");
        let stored = store.selected("last").expect("it is stored");
        assert_eq!(stored.plan, run.plan);
        assert_eq!(
            (&stored.chunks, &stored.workers),
            (&close.chunks, &close.workers)
        );
        let row = stored.run;
        assert_eq!((&row.id, row.status), (&run.id, RunStatus::Success));
        assert_eq!(row.scope, run.scope.key);
        assert_eq!(row.ended_at, Some(at(13)));
        let spec = &run.plan.spec;
        assert_eq!(row.strategy, spec.strategy);
        assert_eq!(row.chunks, spec.chunks.len() as u64);
        assert_eq!(row.scheduling, Some(spec.scheduling));
        assert_eq!(row.predicted.method, run.plan.forecast.method);
        assert_eq!(row.predicted.duration_s, run.plan.forecast.duration_s);
        assert_eq!((row.rows, row.throughput), (close.rows, close.throughput));
        assert_eq!(row.snapshot, close.snapshot);
        assert_eq!(row.adaptations, close.adaptations);
        assert_eq!(row.nulled, close.nulled);
        assert_eq!(row.source_then, run.source_then);
        assert_eq!(row.source_then.latency_p50_us(), Some(220));
        assert_eq!(row.source_then.key_max.as_deref(), Some("3000000"));
        assert_eq!((row.constrained, row.teaches), (false, true));
        assert_eq!(row.hints, None);
        assert_eq!(row.context, Recorded::Known(context()));
        // In JSON it is what was measured, without a wrapping.
        let shown = serde_json::to_value(&row).expect("JSON");
        let measured = serde_json::to_value(context()).expect("JSON");
        assert_eq!(shown["context"], measured);
    }

    #[test]
    fn what_a_run_shows_is_kept_and_later_runs_are_compared_with_clean_ones() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        let finding = Finding {
            category: Category::SourceLatency,
            certainty: ConfidenceLevel::High,
            evidence: vec![Evidence::LatencyRose {
                from_us: 300,
                to_us: 9_000,
            }],
            actions: vec![Action::QuieterHour],
            deviation_ratio: 1.5,
            throughput_change: Some(-0.25),
            measures: Measures {
                latency_us: Some(9_000),
                ..Measures::default()
            },
        };
        let anomaly = Anomaly {
            direction: Direction::Degradation,
            z: 3.25,
            throughput: 8_700.0,
            mean: 9_000.5,
            sigma: 100.5,
            runs: 12,
        };
        let run = |second, change: &dyn Fn(&mut RunOpen, &mut RunClose)| {
            let (mut open, mut close) = (open(second, 1), close(second));
            (close.finding, close.anomaly) = (Some(finding.clone()), Some(anomaly));
            change(&mut open, &mut close);
            store.begin(&open).expect("the run begins");
            store.close(&open.id, &close, None).expect("the run closes");
            open.id
        };
        let plain = run(0, &|_, close| (close.finding, close.anomaly) = (None, None));
        let shown = run(1, &|_, _| {});
        run(2, &|open, _| open.constrained = true);
        run(3, &|_, close| close.status = RunStatus::Failed);
        run(4, &|_, close| close.confidence = "low".to_owned());
        run(5, &|_, close| close.throughput = 0.0);
        let stored = store.stored(&shown).expect("readable").expect("there").run;
        assert_eq!(stored.finding.as_ref(), Some(&finding));
        assert_eq!(stored.anomaly, Some(anomaly));
        let sql = "SELECT count(*) FROM deviations WHERE diagnosed_cause = 'source_latency'
            AND confidence = 'high' AND deviation_ratio = 1.5 AND throughput_change = -0.25";
        assert_eq!(count(&store, sql), 5);

        let clean = |second, limit| {
            let runs = store.clean_runs(&scope("orders"), at(second), limit);
            let runs = runs.expect("readable").into_iter();
            runs.map(|run| (run.id, run.finding.is_some(), run.anomaly.is_some()))
                .collect::<Vec<_>>()
        };
        let (one, other) = ((shown, true, true), (plain, false, false));
        assert_eq!(clean(9, 20), [one.clone(), other.clone()]);
        assert_eq!(clean(9, 1), [one]);
        assert_eq!(clean(1, 20), [other], "only what began before");
        assert!(clean(0, 20).is_empty());
    }

    #[test]
    fn a_table_stands_for_its_newest_run_and_for_no_other_table() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        assert!(matches!(
            store.select("last"),
            Err(StateError::NotFound { .. })
        ));
        let begin = |second, change: &dyn Fn(&mut RunOpen)| {
            let mut run = open(second, 0xaa00 + second as u32);
            change(&mut run);
            store.begin(&run).expect("the run begins");
            run.id
        };
        let relation = |run: &mut RunOpen, schema: &str, name: &str| {
            run.scope.relation = Relation {
                schema: schema.to_owned(),
                name: name.to_owned(),
            };
            run.scope.key = format!("{schema}.{name} at {}", run.scope.source);
        };
        let old = begin(0, &|_| {});
        let orders = begin(1, &|_| {});
        let items = begin(2, &|run| relation(run, "public", "Items"));
        assert_eq!(store.select("last"), Ok(items.clone()));
        for name in ["orders", "public.orders", "ORDERS"] {
            assert_eq!(store.select(name), Ok(orders.clone()), "{name}");
        }
        assert_eq!(store.select("items"), Ok(items));
        assert_eq!(store.select("0000aa00"), Ok(old.clone()));
        assert_eq!(store.select(old.as_str()), Ok(old));
        let prefix = store.select("0000aa");
        assert!(
            matches!(prefix, Err(StateError::Ambiguous { .. })),
            "{prefix:?}"
        );

        // A table may be called like the beginning of a tag, a run by its tag or id only.
        let hex = begin(3, &|run| relation(run, "public", "0000aa"));
        assert_eq!(store.select("0000aa"), Ok(hex));
        begin(4, &|run| relation(run, "sales", "orders"));
        begin(5, &|run| {
            run.scope.source.host = "elsewhere".to_owned();
            relation(run, "public", "orders");
        });
        let several = store.select("orders").expect_err("three tables");
        let StateError::SeveralTables { candidates, .. } = &several else {
            panic!("{several:?}");
        };
        assert_eq!(candidates.len(), 3, "{candidates:?}");
        assert!(candidates[0].contains("public.orders in postgresql://elsewhere"));
        assert!(candidates[1].contains("sales.orders"));
        let two = store.select("public.orders");
        assert!(matches!(two, Err(StateError::SeveralTables { .. })));
    }

    #[test]
    fn looking_back_creates_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state.db");
        assert!(matches!(
            Store::open_existing(&path),
            Err(StateError::Missing { .. })
        ));
        assert!(names(directory.path()).is_empty());
        drop(store(&directory));
        assert!(Store::open_existing(&path).is_ok());
    }

    #[test]
    fn the_latest_profile_of_a_scope_is_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        let scope = scope("orders");
        assert_eq!(store.profile(&scope), Ok(None));
        for rows in [10, 20] {
            let profile = fixtures::profile(rows);
            store
                .save_profile(&scope, &profile, at(rows as i64))
                .expect("it is kept");
            assert_eq!(store.profile(&scope), Ok(Some((at(rows as i64), profile))));
        }
        assert_eq!(count(&store, "SELECT count(*) FROM profiles"), 1);
        let garbled = "UPDATE profiles SET profile_json = '{'";
        store
            .connection
            .execute(garbled, [])
            .expect("it is damaged");
        assert!(matches!(
            store.profile(&scope),
            Err(StateError::Corrupt { .. })
        ));
    }

    /// The version that this program writes.
    const VERSION: usize = migrate::MIGRATIONS.len();

    /// What a later program would know: our migrations and one more.
    fn and(migration: &'static str) -> Vec<&'static str> {
        [migrate::MIGRATIONS, &[migration]].concat()
    }

    /// The copy that is kept of a store of our version.
    fn kept() -> String {
        format!("state.db.v{VERSION}.bak")
    }

    #[test]
    fn an_older_store_is_migrated_once_and_a_copy_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state.db");
        let old = Store::open(&path).expect("the store opens");
        old.begin(&open(0, 1)).expect("the run begins");
        drop(old);
        let newer = and("CREATE TABLE plugins (name TEXT NOT NULL) STRICT");
        for _ in 0..2 {
            let store = Store::open_with(&path, &newer).expect("the store is migrated");
            assert_eq!(count(&store, "SELECT count(*) FROM plugins"), 0);
            assert_eq!(count(&store, "SELECT count(*) FROM runs"), 1);
            assert_eq!(
                count(&store, "SELECT user_version FROM pragma_user_version"),
                VERSION as i64 + 1
            );
        }
        assert_eq!(names(directory.path()), ["state.db".to_owned(), kept()]);
        let copy = directory.path().join(kept());
        assert_eq!(mode(&copy), 0o600);
        let copy = Store::open(&copy).expect("the copy is a store");
        assert_eq!(
            copy.history(&scope("orders"), 9).map(|runs| runs.len()),
            Ok(1)
        );
        // This program's own list ends before the version that the file has now.
        let newer = Store::open(&path).map(drop);
        let (version, known) = (VERSION as i64 + 1, VERSION as i64);
        let path = path.display().to_string();
        let expected = StateError::Newer {
            path,
            version,
            known,
        };
        assert_eq!(newer, Err(expected));
    }

    #[test]
    fn a_failed_migration_leaves_the_store_as_it_was() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state.db");
        store(&directory)
            .begin(&open(0, 1))
            .expect("the run begins");
        let broken = and("CREATE TABLE half (a); nonsense");
        assert!(Store::open_with(&path, &broken).is_err());
        let store = store(&directory);
        assert_eq!(count(&store, "SELECT count(*) FROM runs"), 1);
        assert_eq!(
            count(
                &store,
                "SELECT count(*) FROM sqlite_schema WHERE name = 'half'"
            ),
            0
        );
    }

    #[test]
    fn what_is_not_ours_is_left_as_it_is() {
        let directory = tempfile::tempdir().expect("a directory");
        let text = directory.path().join("text.db");
        std::fs::write(&text, "this is no database, however long it is ".repeat(40))
            .expect("a file");
        let before = std::fs::read(&text).expect("a file");
        assert!(matches!(
            Store::open(&text),
            Err(StateError::Corrupt { .. })
        ));
        assert_eq!(std::fs::read(&text).expect("a file"), before);

        let foreign = directory.path().join("foreign.db");
        let database = Connection::open(&foreign).expect("a database");
        database
            .execute_batch("CREATE TABLE runs (id)")
            .expect("a table");
        drop(database);
        let before = std::fs::read(&foreign).expect("a file");
        assert!(matches!(
            Store::open(&foreign),
            Err(StateError::Corrupt { .. })
        ));
        assert_eq!(std::fs::read(&foreign).expect("a file"), before);

        let directory_path = Store::open(directory.path()).map(drop);
        assert!(matches!(directory_path, Err(StateError::Io { .. })));
    }

    #[test]
    fn a_store_that_somebody_else_holds_is_locked() {
        let directory = tempfile::tempdir().expect("a directory");
        let (one, other) = (store(&directory), store(&directory));
        other
            .connection
            .busy_timeout(Duration::ZERO)
            .expect("no waiting");
        one.connection
            .execute_batch("BEGIN IMMEDIATE")
            .expect("the lock");
        assert!(matches!(
            other.begin(&open(0, 1)),
            Err(StateError::Locked { .. })
        ));
        one.connection.execute_batch("ROLLBACK").expect("no lock");
        assert_eq!(other.begin(&open(0, 1)), Ok(()));
    }

    #[test]
    fn a_store_that_can_only_be_read_says_so() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state.db");
        drop(store(&directory));
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let store = Store {
            connection: Connection::open_with_flags(&path, flags).expect("it opens"),
            path: "state.db".to_owned(),
            read_only: false,
        };
        let path = "state.db".to_owned();
        assert_eq!(
            store.configure(),
            Err(StateError::ReadOnly { path: path.clone() })
        );
        assert_eq!(store.begin(&open(0, 1)), Err(StateError::ReadOnly { path }));
    }

    /// Opens the store and takes `runs` runs from begin to close.
    fn work(path: &Path, worker: u32, runs: u32) {
        let store = Store::open(path).expect("the store opens");
        for number in 0..runs {
            let run = open(number.into(), worker << 16 | number);
            store.begin(&run).expect("the run begins");
            store
                .close(&run.id, &close(i64::from(number) + 1), None)
                .expect("the run closes");
        }
    }

    #[test]
    fn threads_share_a_store_from_its_creation_on() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("new/state.db");
        std::thread::scope(|threads| {
            for worker in 0..6 {
                let path = &path;
                threads.spawn(move || work(path, worker, 20));
            }
        });
        let store = Store::open(&path).expect("the store opens");
        assert_eq!(
            count(&store, "SELECT count(*) FROM runs WHERE status = 'success'"),
            120
        );
        assert_eq!(count(&store, "SELECT count(*) FROM chunks"), 360);
        assert_eq!(count(&store, "SELECT count(*) FROM scopes"), 1);
    }

    #[test]
    fn a_store_that_is_just_being_created_is_not_taken_for_a_strangers() {
        for _ in 0..40 {
            let directory = tempfile::tempdir().expect("a directory");
            let path = directory.path().join("state.db");
            let opened = std::thread::scope(|threads| {
                let all: Vec<_> = (0..6)
                    .map(|_| threads.spawn(|| Store::open(&path)))
                    .collect();
                all.into_iter()
                    .map(|one| one.join().expect("no panic").map(drop))
                    .collect::<Vec<_>>()
            });
            assert_eq!(opened, vec![Ok(()); 6]);
        }
    }

    /// One of the processes below, where a store's path and a number are among the arguments; a
    /// lone worker elsewhere.
    #[test]
    fn one_process_of_several() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut arguments = std::env::args().skip_while(|text| !text.ends_with("state.db"));
        let path = arguments
            .next()
            .map_or_else(|| directory.path().join("state.db"), PathBuf::from);
        let worker = arguments
            .next()
            .map_or(0, |text| text.parse().expect("a number"));
        work(&path, worker, 10);
        let store = Store::open(&path).expect("the store opens");
        assert!(count(&store, "SELECT count(*) FROM runs") >= 10);
    }

    #[test]
    fn processes_share_a_store_from_its_creation_on() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state.db");
        let this = std::env::current_exe().expect("this test binary");
        let processes: Vec<_> = (1..=4)
            .map(|worker: u32| {
                std::process::Command::new(&this)
                    // A test binary takes every free argument for the name of a test.
                    .args(["--exact", "state::tests::one_process_of_several"])
                    .arg(&path)
                    .arg(worker.to_string())
                    .stdout(std::process::Stdio::null())
                    .spawn()
                    .expect("the process starts")
            })
            .collect();
        for mut process in processes {
            assert!(process.wait().expect("the process ends").success());
        }
        let store = store(&directory);
        assert_eq!(
            count(&store, "SELECT count(*) FROM runs WHERE status = 'success'"),
            40
        );
    }

    #[test]
    fn the_first_releases_store_is_read_on() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state.db");
        drop(Store::open_with(&path, &migrate::MIGRATIONS[..1]).expect("version 1"));
        let store = store(&directory);
        let mut close = close(9);
        close.nulled = BTreeMap::from([("born".to_owned(), 2)]);
        close.chunks[0].nulled = close.nulled.clone();
        let run = open(0, 1);
        store.begin(&run).expect("the run begins");
        store.close(&run.id, &close, None).expect("the run ends");
        let said = "nulled_json = '{\"born\":2}'";
        for table in ["runs", "chunks"] {
            let sql = format!("SELECT count(*) FROM {table} WHERE {said}");
            assert_eq!(count(&store, &sql), 1, "{table}");
        }
    }

    #[test]
    fn several_may_migrate_at_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state.db");
        drop(store(&directory));
        let newer = and("CREATE TABLE plugins (name TEXT NOT NULL) STRICT");
        std::thread::scope(|threads| {
            for _ in 0..6 {
                threads.spawn(|| {
                    Store::open_with(&path, &newer)
                        .map(drop)
                        .expect("it migrates")
                });
            }
        });
        let copy = Store::open(&directory.path().join(kept()));
        assert!(copy.is_ok(), "{copy:?}");
        assert!(
            !names(directory.path())
                .iter()
                .any(|name| name.ends_with(".tmp"))
        );
    }

    #[test]
    fn ten_thousand_runs_are_looked_up_by_index() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        store.begin(&open(0, 1)).expect("the run begins");
        store
            .close(&open(0, 1).id, &close(1), None)
            .expect("the run closes");
        let columns = "tag, scope_id, source, relation, status, pid, host, started_at,
            ixtract_version, fingerprint, strategy, scheduling, consistency, workers, chunk_count,
            constrained, output, predicted_rows, predicted_bytes, predicted_throughput,
            predicted_s, estimate_method, counters_json, plan_json";
        let many = format!(
            "INSERT INTO runs (run_id, {columns})
             SELECT 'rx-old-' || value, {columns} FROM runs, generate_series
             WHERE run_id LIKE 'rx-2%'"
        );
        let many = many.replace(
            "generate_series",
            "(WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n LIMIT 10000)
              SELECT value FROM n)",
        );
        store.connection.execute(&many, []).expect("many runs");
        assert_eq!(
            store.history(&scope("orders"), 50).map(|runs| runs.len()),
            Ok(50)
        );
        let explain = |sql: &str| -> String {
            let text = sql.replace("?1", "'a'").replace("?2", "50");
            let text = text.replace("?3", "1");
            let mut plan = store
                .connection
                .prepare(&format!("EXPLAIN QUERY PLAN {text}"))
                .expect("a statement");
            let steps = plan
                .query_map([], |row| row.get::<_, String>(3))
                .expect("steps");
            let steps: Vec<String> = steps.map(|step| step.expect("a step")).collect();
            steps.join("; ")
        };
        for (teaching, index) in [(false, "runs_by_scope"), (true, "runs_that_teach")] {
            let plan = explain(&history::history_sql(teaching));
            let used = format!("USING INDEX {index} (scope_id=?)");
            assert!(plan.contains(&used), "{plan}");
            let slow = plan.contains("SCAN") || plan.contains("TEMP B-TREE");
            assert!(!slow, "{plan}");
        }
        let (beside, newest) = (Store::beside_sql(), Store::newest_sql());
        for sql in [&beside, &newest, select::NEWEST] {
            let plan = explain(sql);
            assert!(!plan.contains("TEMP B-TREE"), "{plan}");
            assert!(plan.contains("INDEX runs_by_s"), "{plan}");
        }
        let plan = explain(&stored::CLEAN.replace("?3", "20"));
        assert!(plan.contains("INDEX runs_that_teach"), "{plan}");
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP"), "{plan}");
        let plan = explain(select::NAMES);
        assert!(plan.contains("COVERING INDEX runs_by_relation"), "{plan}");
        let plan = explain(select::RELATIONS);
        assert!(plan.contains("USING INDEX runs_by_relation"), "{plan}");
        use history::{FIND, RUNNING, WRITING};
        for sql in [FIND, RUNNING, WRITING, record::UNDER_WAY] {
            let plan = explain(sql);
            assert!(
                !plan.contains("SCAN runs;") && plan.contains("INDEX"),
                "{plan}"
            );
        }
    }

    proptest! {
        #[test]
        fn stored_times_sort_as_times_do_and_read_back(a: i32, b: i32, micros in 0i32..1_000_000) {
            let time = |second: i32, nanos| Timestamp::new(second.into(), nanos).expect("a time");
            let (a, b) = (time(a.max(0), micros * 1_000), time(b.max(0), 0));
            prop_assert_eq!(stored_time(a).cmp(&stored_time(b)), a.cmp(&b));
            prop_assert_eq!(stored_time(a).parse::<Timestamp>().expect("a time"), a);
        }
    }
}
