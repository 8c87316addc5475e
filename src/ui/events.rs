//! What `--events` tells of a run: one JSON object a line, by a schema with a version.
//!
//! `docs/events.md` lists every event with its members; a test compares that table with this file.
//! Members may be added to an event without a new version; one that goes or means something else gives one.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::json::RunDocument;
use crate::engine::event::Event;
use crate::error::Failure;
use crate::model::{ConsistencyLevel, ExecutionPlan, RunId, SchemaDrift};

/// The version of the lines that this program writes.
pub const EVENTS_VERSION: u32 = 1;

/// One line.
#[derive(Debug, Serialize)]
pub struct EventLine<'a> {
    /// [`EVENTS_VERSION`].
    pub schema: u32,
    /// When it happened, UTC.
    pub at: Timestamp,
    /// The run it is about: one process may tell of several.
    pub run: &'a RunId,
    /// What happened.
    #[serde(flatten)]
    pub event: &'a RunEvent,
}

/// One thing that happened to a run. Times are in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// The run has an id; nothing else was done.
    RunStarted {
        /// `run`, `replay` or `demo`.
        command: &'static str,
        /// The table as the user names it; empty where only a plan or a run does.
        table: String,
        /// The version of ixtract.
        ixtract: &'static str,
        /// The process.
        pid: u32,
    },
    /// The plan is made, and accepted.
    Planned {
        /// The relation, `schema.name`.
        table: String,
        /// The database, without secrets.
        source: String,
        /// Where the dataset goes.
        output: String,
        /// Fingerprint of the plan.
        fingerprint: String,
        /// Planned chunks.
        chunks: u64,
        /// Planned workers.
        workers: u32,
        /// Why so many, in words.
        worker_reasons: Vec<String>,
        /// Expected rows.
        rows: u64,
        /// Expected time of the read.
        expected_ms: u64,
    },
    /// The columns are not those of the published run before.
    SchemaChanged {
        /// That run.
        since: RunId,
        /// The changes, one in words each.
        changes: Vec<String>,
    },
    /// The snapshot is open and reading begins.
    SnapshotOpened {
        /// The consistency achieved.
        level: ConsistencyLevel,
        /// Sessions that share it.
        readers: u32,
        /// The server's position, where it has one.
        position: Option<String>,
        /// The server's time.
        taken_at: String,
    },
    /// A worker has its session.
    WorkerReady {
        /// From 1.
        worker: u32,
    },
    /// A planned worker got no session; the others go on.
    WorkerMissing {
        /// From 1.
        worker: u32,
        /// Why.
        reason: String,
    },
    /// A worker pauses, or was held up in the middle of a chunk.
    WorkerPaused {
        /// From 1.
        worker: u32,
        /// For how long.
        pause_ms: u64,
        /// Why.
        reason: String,
    },
    /// Fewer workers read than before, or more again.
    WorkersChanged {
        /// Why.
        reason: String,
    },
    /// A worker took a chunk.
    ChunkStarted {
        /// Plan chunk number, from 1.
        chunk: u32,
        /// From 1.
        worker: u32,
        /// From 1.
        attempt: u32,
    },
    /// A chunk is read to its end and written.
    ChunkFinished {
        /// Plan chunk number, from 1.
        chunk: u32,
        /// From 1.
        worker: u32,
        /// Rows.
        rows: u64,
        /// Bytes of its files.
        bytes: u64,
        /// Files.
        files: u64,
        /// Time of all its attempts, pauses excluded.
        duration_ms: u64,
        /// Attempts after the first.
        retries: u32,
    },
    /// An attempt at a chunk failed; it is tried again.
    ChunkRetried {
        /// Plan chunk number, from 1.
        chunk: u32,
        /// From 1.
        worker: u32,
        /// The attempt that failed, from 1.
        attempt: u32,
        /// Pause before the next.
        pause_ms: u64,
        /// What went wrong.
        error: String,
    },
    /// The server's own count is known.
    Counted {
        /// Rows.
        rows: u64,
        /// What it took.
        took_ms: u64,
    },
    /// All chunks are read.
    ReadFinished {
        /// Rows written.
        rows: u64,
        /// Since reading began.
        elapsed_ms: u64,
    },
    /// Readers see the new version.
    Published {
        /// The dataset.
        dataset: String,
        /// Files.
        files: u64,
        /// Rows.
        rows: u64,
        /// Bytes of the files.
        bytes: u64,
    },
    /// The run is over, and went well. The last line of a run.
    RunFinished {
        /// `success`, or `nothing new` of an incremental extraction.
        status: &'static str,
        /// Rows published.
        rows: u64,
        /// Time of the read.
        duration_ms: u64,
    },
    /// The run is over, and nothing was published. The last line of a run.
    RunFailed {
        /// The exit code.
        exit: u8,
        /// What could not be done.
        what: String,
        /// Why.
        why: String,
        /// What helps.
        fix: String,
    },
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn ms_of(seconds: f64) -> u64 {
    // Saturates, and takes what is no number for 0.
    (seconds * 1000.0).round() as u64
}

impl RunEvent {
    /// What the engine tells, where it is worth a line: progress, a few times a second, is not.
    pub fn of(event: &Event) -> Option<Self> {
        Some(match event {
            Event::Progress { .. } => return None,
            Event::Started { snapshot, .. } => Self::SnapshotOpened {
                level: snapshot.level,
                readers: snapshot.readers,
                position: snapshot.position.clone(),
                taken_at: snapshot.taken_at.clone(),
            },
            Event::WorkerReady { worker } => Self::WorkerReady { worker: *worker },
            Event::WorkerMissing { worker, why } => Self::WorkerMissing {
                worker: *worker,
                reason: why.clone(),
            },
            Event::BackedOff {
                worker,
                pause,
                answer,
            } => Self::WorkerPaused {
                worker: *worker,
                pause_ms: ms(*pause),
                reason: format!("the source took {} ms to answer", ms(*answer)),
            },
            Event::HeldUp { worker, pause } => Self::WorkerPaused {
                worker: *worker,
                pause_ms: ms(*pause),
                reason: "held up within its chunk, to keep within the impact budget".to_owned(),
            },
            Event::Impact { text } => Self::WorkersChanged {
                reason: text.clone(),
            },
            Event::ChunkStarted {
                chunk,
                worker,
                attempt,
            } => Self::ChunkStarted {
                chunk: *chunk,
                worker: *worker,
                attempt: *attempt,
            },
            Event::ChunkFinished { record, files, .. } => Self::ChunkFinished {
                chunk: record.number,
                worker: record.worker,
                rows: record.rows,
                bytes: record.bytes,
                files: files.len() as u64,
                duration_ms: record.duration_ms,
                retries: record.retries,
            },
            Event::ChunkRetried {
                chunk,
                worker,
                attempt,
                pause,
                error,
            } => Self::ChunkRetried {
                chunk: *chunk,
                worker: *worker,
                attempt: *attempt,
                pause_ms: ms(*pause),
                error: error.clone(),
            },
            Event::Counted { rows, took } => Self::Counted {
                rows: *rows,
                took_ms: ms(*took),
            },
            Event::Drained { rows, elapsed } => Self::ReadFinished {
                rows: *rows,
                elapsed_ms: ms(*elapsed),
            },
        })
    }

    /// A plan that was accepted.
    pub fn planned(plan: &ExecutionPlan, output: String) -> Self {
        let spec = &plan.spec;
        let reasons = plan.reasons.iter();
        let of_workers = reasons
            .filter(|reason| super::wording::topic(reason) == super::wording::Topic::Workers);
        Self::Planned {
            table: spec.read.relation.to_string(),
            source: spec.source.to_string(),
            output,
            fingerprint: plan.fingerprint.clone(),
            chunks: spec.chunks.len() as u64,
            workers: spec.workers,
            worker_reasons: of_workers.map(super::wording::reason).collect(),
            rows: plan.forecast.rows,
            expected_ms: ms_of(plan.forecast.duration_s),
        }
    }

    /// Columns that changed.
    pub fn schema_changed(drift: &SchemaDrift) -> Self {
        let changes = drift.changes.iter();
        Self::SchemaChanged {
            since: drift.since.clone(),
            changes: changes.map(ToString::to_string).collect(),
        }
    }

    /// That the run is over, and published.
    pub fn success(run: &RunDocument) -> Self {
        Self::RunFinished {
            status: run.status,
            rows: run.rows,
            duration_ms: ms_of(run.duration_s),
        }
    }

    /// That the run is over, because nothing was to be done.
    pub fn nothing_new() -> Self {
        Self::RunFinished {
            status: "nothing new",
            rows: 0,
            duration_ms: 0,
        }
    }

    /// That the run is over, and failed.
    pub fn failure(failure: &Failure) -> Self {
        Self::RunFailed {
            exit: failure.exit.code(),
            what: failure.what.clone(),
            why: failure.why.clone(),
            fix: failure.fix.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn of_workers() -> [RunEvent; 4] {
        let text = String::new;
        [
            RunEvent::WorkerReady { worker: 1 },
            RunEvent::WorkerMissing {
                worker: 1,
                reason: text(),
            },
            RunEvent::WorkerPaused {
                worker: 1,
                pause_ms: 1,
                reason: text(),
            },
            RunEvent::WorkersChanged { reason: text() },
        ]
    }

    /// One of each; a new event has to be added here, or the table of `docs/events.md` lacks it.
    fn one_of_each() -> Vec<RunEvent> {
        let id = RunId::stored("rx-20260131-120000-0badcafe");
        let text = String::new;
        let run = crate::ui::summary::tests::run();
        let plan = crate::planner::fixtures::plan(crate::planner::fixtures::profile(3_000_000));
        vec![
            RunEvent::RunStarted {
                command: "run",
                table: text(),
                ixtract: "0",
                pid: 1,
            },
            RunEvent::planned(&plan, text()),
            RunEvent::SchemaChanged {
                since: id,
                changes: Vec::new(),
            },
            RunEvent::SnapshotOpened {
                level: ConsistencyLevel::SharedSnapshot,
                readers: 1,
                position: None,
                taken_at: text(),
            },
            RunEvent::ChunkStarted {
                chunk: 1,
                worker: 1,
                attempt: 1,
            },
            RunEvent::ChunkFinished {
                chunk: 1,
                worker: 1,
                rows: 1,
                bytes: 1,
                files: 1,
                duration_ms: 1,
                retries: 0,
            },
            RunEvent::ChunkRetried {
                chunk: 1,
                worker: 1,
                attempt: 1,
                pause_ms: 1,
                error: text(),
            },
            RunEvent::Counted {
                rows: 1,
                took_ms: 1,
            },
            RunEvent::ReadFinished {
                rows: 1,
                elapsed_ms: 1,
            },
            RunEvent::Published {
                dataset: text(),
                files: 1,
                rows: 1,
                bytes: 1,
            },
            RunEvent::success(&run),
            RunEvent::failure(&Failure::new(crate::error::ExitCode::Failed, "", "", "")),
        ]
    }

    /// The rows of the documented table: `| event | when | members |`.
    fn documented() -> BTreeMap<String, Vec<String>> {
        let text = include_str!("../../docs/events.md");
        let rows = text.lines().filter_map(|line| {
            let cells: Vec<&str> = line.strip_prefix("| `")?.split('|').collect();
            let name = cells.first()?.trim().trim_end_matches('`').to_owned();
            let members = cells.get(2)?.split(',');
            let members = members.map(|member| member.trim().trim_matches('`').to_owned());
            Some((name, members.collect()))
        });
        rows.collect()
    }

    #[test]
    fn every_event_is_documented_with_its_members_and_back() {
        let told = one_of_each().into_iter().chain(of_workers()).map(|event| {
            let members = serde_json::to_value(&event).expect("JSON");
            let members = members.as_object().expect("an object").clone();
            let name = members["event"].as_str().expect("a name").to_owned();
            let mut members: Vec<String> = members.keys().cloned().collect();
            members.retain(|member| member != "event");
            (name, members)
        });
        let sorted = |of: BTreeMap<String, Vec<String>>| -> BTreeMap<String, Vec<String>> {
            let sort = |(name, mut members): (String, Vec<String>)| {
                members.sort();
                (name, members)
            };
            of.into_iter().map(sort).collect()
        };
        assert_eq!(sorted(told.collect()), sorted(documented()));
    }

    #[test]
    fn a_line_has_its_schema_its_time_and_its_run_first() {
        let id = RunId::stored("rx-20260131-120000-0badcafe");
        let line = EventLine {
            schema: EVENTS_VERSION,
            at: Timestamp::UNIX_EPOCH,
            run: &id,
            event: &RunEvent::WorkerReady { worker: 3 },
        };
        assert_eq!(
            serde_json::to_string(&line).expect("JSON"),
            r#"{"schema":1,"at":"1970-01-01T00:00:00Z","run":"rx-20260131-120000-0badcafe","event":"worker_ready","worker":3}"#
        );
    }
}
