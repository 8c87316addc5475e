//! Everything the store knows of one run, for the commands that look back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::context::Recorded;
use super::drift::SchemaDrift;
use super::finding::{Anomaly, Finding};
use super::hints::RuntimeContext;
use super::plan::{ExecutionPlan, Scheduling, Strategy};
use super::profile::{LatencySample, SourceProfile, Statistics};
use super::resume::Resumption;
use super::run::{ChangeCounters, ChunkRecord, RunId, RunStatus, WorkerRecord};
use super::snapshot::SnapshotFacts;
use super::window::Window;

/// What a plan predicted, as its run's row has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Predicted {
    /// Rows.
    pub rows: u64,
    /// Bytes at the source.
    pub bytes: u64,
    /// Rows per second.
    pub throughput: f64,
    /// Seconds.
    pub duration_s: f64,
    /// How the throughput was estimated: `cold_start`, `ewma`, ….
    pub method: String,
}

impl Predicted {
    /// Whether no prediction is known: of a run that was rebuilt from its manifest.
    fn is_unknown(&self) -> bool {
        self.method.is_empty()
    }
}

/// What the source looked like when a run was planned; it cannot be found out later.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SourceThen {
    /// Estimated rows of the relation.
    pub rows: Option<u64>,
    /// Bytes of the relation.
    pub bytes: Option<u64>,
    /// Smallest key, as text.
    pub key_min: Option<String>,
    /// Largest key, as text.
    pub key_max: Option<String>,
    /// Time to open a session, in microseconds.
    pub connect_us: Option<u64>,
    /// Round trips of small queries, ascending, in microseconds.
    pub latency_us: Vec<u64>,
    /// The source's own counters of changes.
    pub counters: ChangeCounters,
}

impl SourceThen {
    /// What a look at a table showed. The range of its key is known only where a plan was made.
    pub fn new(statistics: Option<&Statistics>, latency: &LatencySample) -> Self {
        Self {
            rows: statistics.map(|statistics| statistics.estimate.rows),
            bytes: statistics.map(|statistics| statistics.bytes),
            connect_us: Some(latency.connect_us),
            latency_us: latency.round_trips_us.clone(),
            counters: statistics
                .map(|statistics| statistics.counters.clone())
                .unwrap_or_default(),
            ..Self::default()
        }
    }

    /// The middle round trip, in microseconds; `None` where none was measured.
    pub fn latency_p50_us(&self) -> Option<u64> {
        self.latency_us.get(self.latency_us.len() / 2).copied()
    }
}

impl From<&SourceProfile> for SourceThen {
    fn from(profile: &SourceProfile) -> Self {
        let (key_min, key_max) = profile.key_ends();
        Self {
            key_min,
            key_max,
            ..Self::new(Some(&profile.statistics), &profile.latency)
        }
    }
}

/// A run's row: all but its plan, chunks and workers, so that many of them are cheap to read.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunRow {
    /// Its id.
    pub id: RunId,
    /// The key of its history; see [`Scope`](super::Scope).
    pub scope: String,
    /// The database, without secrets.
    pub source: String,
    /// The relation, `schema.name`.
    pub relation: String,
    /// How it ended, or that it has not.
    pub status: RunStatus,
    /// Its process.
    pub pid: u32,
    /// The host of that process.
    pub host: String,
    /// Its start.
    pub started_at: Timestamp,
    /// Its end; of a crashed run, when that was found out.
    pub ended_at: Option<Timestamp>,
    /// The ixtract that executed it.
    pub version: String,
    /// Fingerprint of its plan.
    pub fingerprint: String,
    /// How rows were cut into chunks.
    pub strategy: Strategy,
    /// In which order workers took chunks; `None` where only the run's manifest is known.
    pub scheduling: Option<Scheduling>,
    /// The consistency that was asked for.
    pub consistency: String,
    /// Planned workers.
    pub workers: u32,
    /// Planned chunks.
    pub chunks: u64,
    /// Whether hints, `--workers`, a given plan or the like shaped it, so that it must not teach.
    pub constrained: bool,
    /// Whether later plans are made from it.
    pub teaches: bool,
    /// The run whose plan it executed again.
    pub replay_of: Option<RunId>,
    /// The unfinished run that it went on with, and what it kept of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumes: Option<Resumption>,
    /// The run that went on with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed_by: Option<RunId>,
    /// The set that it was part of, where several tables were extracted together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<RunId>,
    /// The window that it extracted, where it was one of windows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Where its output went.
    pub output: String,
    /// What was predicted.
    #[serde(skip_serializing_if = "Predicted::is_unknown")]
    pub predicted: Predicted,
    /// Rows written.
    pub rows: u64,
    /// Bytes of the finished files.
    pub bytes: u64,
    /// Wall time of the read, in seconds.
    pub duration_s: f64,
    /// Rows per second.
    pub throughput: f64,
    /// Mean number of busy workers.
    pub effective_workers: f64,
    /// `full`, `moderate` or `low` (facts sheet, section 8); empty where nothing was read.
    pub confidence: String,
    /// Rules that fired and deviations from the plan, one line each.
    pub adaptations: Vec<String>,
    /// What the snapshot achieved, where one was opened.
    pub snapshot: Option<SnapshotFacts>,
    /// The error, one line, where there was one.
    pub error: Option<String>,
    /// What it was expected to cost, where rates were given.
    pub estimated_cost: Option<f64>,
    /// What it cost by those rates.
    pub actual_cost: Option<f64>,
    /// Values written as NULL because their output type cannot hold them, by column.
    pub nulled: BTreeMap<String, u64>,
    /// The source at planning.
    pub source_then: SourceThen,
    /// The execution context measured at planning; written as `null` where none can be read.
    #[serde(serialize_with = "known_context")]
    pub context: Recorded,
    /// The hints it was given, where there were any.
    pub hints: Option<RuntimeContext>,
    /// What it shows, where it was published and diagnosed.
    pub finding: Option<Finding>,
    /// How its speed was far from what was usual then, where it was.
    pub anomaly: Option<Anomaly>,
    /// The manifest that it was rebuilt from, where the history was lost. Of such a run no plan, no
    /// prediction, no process, no chunks and no workers are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rebuilt_from: Option<String>,
    /// How its columns differ from those of the published run before it, where they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_change: Option<SchemaDrift>,
}

impl RunRow {
    /// How far the data goes that it has published, UTC: to the end of its window where that is a point in
    /// time, else to its snapshot's. `None` where it published nothing.
    pub fn freshness(&self) -> Option<Timestamp> {
        if self.status != RunStatus::Success {
            return None;
        }
        let window = self.window.as_ref().and_then(Window::freshness);
        let snapshot = || self.snapshot.as_ref()?.taken_at.parse().ok();
        window.or_else(snapshot)
    }
}

impl RunRow {
    /// Whether later runs are compared with it: the rows of the [`CleanRun`]s of the store.
    pub fn is_clean(&self) -> bool {
        self.teaches && self.confidence != "low" && self.throughput > 0.0
    }
}

/// A context as a document of its own, or nothing.
fn known_context<S: Serializer>(recorded: &Recorded, to: S) -> Result<S::Ok, S::Error> {
    recorded.known().serialize(to)
}

/// A run that later ones are compared with: successful, unconstrained, not replayed, undisturbed.
#[derive(Clone, Debug, PartialEq)]
pub struct CleanRun {
    /// Its id.
    pub id: RunId,
    /// Planned workers.
    pub workers: u32,
    /// Rows per second, above 0.
    pub throughput: f64,
    /// Rows written.
    pub rows: u64,
    /// What it showed, where it was diagnosed.
    pub finding: Option<Finding>,
    /// How its own speed was far from what was usual then, where it was.
    pub anomaly: Option<Anomaly>,
}

/// One run with everything that was recorded of it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StoredRun {
    /// Its row.
    pub run: RunRow,
    /// What it executed. Before it is executed again it should pass `planner::verify`.
    pub plan: ExecutionPlan,
    /// Its chunks in plan order; none where the run was not closed.
    pub chunks: Vec<ChunkRecord>,
    /// Its workers; none where the run was not closed.
    pub workers: Vec<WorkerRecord>,
}
