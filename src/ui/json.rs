//! The documents of `--json`: one on stdout for each command.

mod replay;
mod set;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::error::Failure;
use crate::model::{
    Advice, Anomaly, Benchmark, BesideKept, Comparison, ConnectionLoad, Cost, Decisions,
    ExecutionContext, ExecutionPlan, Finding, PointInTime, ProofLevel, Rates, RunId,
    RuntimeContext, SchemaDrift, SnapshotFacts, SourceProfile, Window,
};

pub use set::{PlansDocument, SetDocument, SetTable};

pub use replay::{GUARANTEE, Measured, OriginalDocument, OutcomeDocument, ReplayDocument};

/// Any failure.
#[derive(Debug, Serialize)]
pub struct ErrorDocument<'a> {
    error: &'a Failure,
}

impl<'a> ErrorDocument<'a> {
    /// The document of a failure.
    pub fn new(failure: &'a Failure) -> Self {
        Self { error: failure }
    }
}

/// A plan's verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerdictDocument {
    /// `SAFE`, `SAFE WITH WARNINGS` or `NOT RECOMMENDED`.
    pub verdict: &'static str,
    /// Why not, where it is not recommended.
    pub reason: Option<String>,
}

impl VerdictDocument {
    /// Both in one line.
    pub(super) fn words(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{}: {reason}", self.verdict),
            None => self.verdict.to_owned(),
        }
    }
}

/// `plan`.
#[derive(Debug, Serialize)]
pub struct PlanDocument<'a> {
    /// The relation, `schema.name`.
    pub table: String,
    /// The server as it names itself.
    pub server: &'a str,
    /// Its connections.
    pub connections: ConnectionLoad,
    /// Where `run` would publish.
    pub output: &'a str,
    /// The circumstances as they were measured for this plan.
    pub context: &'a ExecutionContext,
    /// The verdict.
    pub verdict: VerdictDocument,
    /// What the plan means for hints that did not change it; empty without such hints.
    pub advice: Vec<Advice>,
    /// Whether hints, `--workers` or a given plan shape it, so that a run of it is not learned from.
    pub constrained: bool,
    /// How its columns differ from those of the published run before, where they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_change: Option<SchemaDrift>,
    /// What it is expected to cost, where rates were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<PriceDocument>,
    /// The plan, as `--out` writes it.
    pub plan: &'a ExecutionPlan,
    /// Where `--out` wrote it.
    pub written: Option<String>,
    /// What a person should know beside the plan's own warnings.
    pub warnings: Vec<String>,
}

/// `benchmark`.
#[derive(Debug, Serialize)]
pub struct BenchmarkDocument<'a> {
    /// `measured` or `skipped`.
    pub status: &'static str,
    /// Why nothing was measured, where that is so.
    pub skipped: Option<String>,
    /// The relation, `schema.name`.
    pub table: String,
    /// The server as it names itself.
    pub server: &'a str,
    /// The database, without secrets.
    pub source: String,
    /// What was measured.
    pub benchmark: Option<Benchmark>,
    /// Rows per second by number of workers.
    pub throughput_by_workers: Option<BTreeMap<u32, f64>>,
    /// What the next plan makes of it, in words.
    pub next_plan: Option<String>,
    /// What the snapshot achieved that everything was read in.
    pub consistency: Option<SnapshotFacts>,
    /// The history's file; `None` when none could be used.
    pub state: Option<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// `profile`.
#[derive(Debug, Serialize)]
pub struct ProfileDocument<'a> {
    /// The database, without secrets.
    pub source: String,
    /// Whether the source is a file, which has no connections to count.
    #[serde(skip)]
    pub file: bool,
    /// The profile.
    pub profile: &'a SourceProfile,
}

/// What a full proof summed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeysDocument {
    /// The key's columns.
    pub columns: Vec<String>,
    /// Time of the server's sums, all readers together, in milliseconds.
    pub server_ms: u64,
    /// Time of reading the files back, in milliseconds.
    pub read_back_ms: u64,
}

/// How completeness was proved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProofDocument {
    /// `stream`, `count` or `full`.
    pub level: ProofLevel,
    /// Rows as the server counted them, in the same snapshot; of kept chunks, their own.
    pub counted: Option<u64>,
    /// What the server counted where chunks were kept from an unfinished run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside_kept: Option<BesideKept>,
    /// What the count took beside the read, in milliseconds.
    pub count_ms: Option<u64>,
    /// The keys that the server and the files, read back, agree on; of a full proof.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<KeysDocument>,
}

/// `run`, published.
#[derive(Clone, Debug, Serialize)]
pub struct RunDocument {
    /// Always `success`: other outcomes are error documents.
    pub status: &'static str,
    /// The run's id.
    pub run: RunId,
    /// The relation, `schema.name`.
    pub table: String,
    /// The dataset's directory.
    pub dataset: String,
    /// Its manifest.
    pub manifest: String,
    /// Number of files.
    pub files: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// `parquet` or `csv`.
    pub format: &'static str,
    /// The codec.
    pub compression: String,
    /// Wall time of the read, in seconds.
    pub duration_s: f64,
    /// The plan's prediction, in seconds.
    pub predicted_s: f64,
    /// Rows a second over the whole read.
    pub throughput: f64,
    /// Chunks.
    pub chunks: u64,
    /// Planned workers.
    pub workers: u32,
    /// Mean number of busy workers.
    pub effective_workers: f64,
    /// What the snapshot achieved.
    pub consistency: SnapshotFacts,
    /// The proof.
    pub proof: ProofDocument,
    /// The plan's fingerprint.
    pub fingerprint: String,
    /// The window, of an incremental extraction; `dataset` is then the window's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// What a person should know of the window.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// How its columns differ from those of the published run before, where they do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_change: Option<SchemaDrift>,
    /// Values written as NULL because their output type cannot hold them, by column.
    pub nulled: BTreeMap<String, u64>,
    /// The run whose plan was executed again, where this is a replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<RunId>,
    /// What was kept of an unfinished run, where this one went on with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed: Option<ResumedDocument>,
    /// Whether what was executed is what was decided.
    pub decisions: Decisions,
    /// Rules that fired and deviations from the plan.
    pub adaptations: Vec<String>,
    /// How long the snapshot was open, in seconds.
    pub snapshot_open_s: f64,
    /// What the plan warned of before the run.
    pub plan_warnings: Vec<String>,
    /// What went wrong after publishing, and changes nothing about it.
    pub warnings: Vec<String>,
    /// The history's file; `None` when none could be used.
    pub state: Option<String>,
    /// Whether hints, `--workers` or a given plan shaped the run.
    pub constrained: bool,
    /// The hints it was planned with, where there were any.
    pub hints: Option<RuntimeContext>,
    /// What it cost, where rates were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<SpentDocument>,
    /// Whether later plans are made from this run too; a constrained one never teaches.
    pub teaches: bool,
    /// What it shows: where its time went, and what its course is put down to.
    pub finding: Option<Finding>,
    /// How its speed is far from that of the clean runs before it, where it is.
    pub anomaly: Option<Anomaly>,
}

/// `run --incremental` and `plan --incremental` where no row is new.
#[derive(Clone, Debug, Serialize)]
pub struct NothingNewDocument {
    /// Always `nothing new`.
    pub status: &'static str,
    /// The dataset, as it was and stays.
    pub dataset: String,
    /// How far it reaches.
    pub why: String,
}

/// `run --backfill`.
#[derive(Clone, Debug, Serialize)]
pub struct BackfillDocument {
    /// Always `success`.
    pub status: &'static str,
    /// Rows of all windows that were published.
    pub rows: u64,
    /// One run a window, in the order in which they were published.
    pub windows: Vec<RunDocument>,
}

impl BackfillDocument {
    /// Of runs that were published.
    pub fn of(windows: Vec<RunDocument>) -> Self {
        Self {
            status: "success",
            rows: windows.iter().map(|run| run.rows).sum(),
            windows,
        }
    }
}

/// What was kept of an unfinished run.
#[derive(Clone, Debug, Serialize)]
pub struct ResumedDocument {
    /// The unfinished run.
    pub run: RunId,
    /// Chunks that were kept.
    pub kept: u32,
    /// Chunks that were read.
    pub read: u32,
    /// Rows of these.
    pub rows_read: u64,
    /// The points in time that the chunks show; empty where there is only one.
    pub points: Vec<PointInTime>,
}

/// What a plan is expected to cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PriceDocument {
    /// What amounts are in.
    pub currency: String,
    /// The rates as they were given.
    pub rates: Rates,
    /// By the plan's forecast.
    pub expected: Cost,
    /// Other numbers of workers, where any was measured.
    pub comparison: Option<Comparison>,
}

/// What a run cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpentDocument {
    /// What amounts are in.
    pub currency: String,
    /// By the plan's forecast.
    pub expected: Cost,
    /// By what the run took.
    pub actual: Cost,
}

/// `verify`, with nothing wrong.
#[derive(Debug, Serialize)]
pub struct VerifyDocument {
    /// Always `intact`: differences are error documents.
    pub status: &'static str,
    /// The dataset's directory.
    pub dataset: String,
    /// The run that published it.
    pub run: String,
    /// Number of files.
    pub files: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
    /// Windows, of an incremental dataset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows: Option<u64>,
    /// How completeness was proved when it was published: `stream`, `count` or `full`.
    pub proof: ProofLevel,
    /// Its windows, counted again, where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<RecountDocument>,
}

/// The windows of a dataset, counted again at the source.
#[derive(Clone, Debug, Serialize)]
pub struct RecountDocument {
    /// The server's time when it counted, RFC 3339, UTC.
    pub taken_at: String,
    /// Windows that were counted.
    pub windows: u64,
    /// Those with more or fewer rows than were published.
    pub changed: Vec<ChangedWindow>,
}

/// A window that holds another number of rows at the source by now.
#[derive(Clone, Debug, Serialize)]
pub struct ChangedWindow {
    /// Its bounds.
    pub window: Window,
    /// Where its dataset is, inside the list's.
    pub path: String,
    /// Rows that were published.
    pub published: u64,
    /// Rows at the source now.
    pub now: u64,
}

/// `files`.
#[derive(Debug, Serialize)]
pub struct FilesDocument {
    /// The dataset's directory.
    pub dataset: String,
    /// Paths, in key order.
    pub files: Vec<String>,
}

/// `demo`.
#[derive(Debug, Serialize)]
pub struct DemoDocument {
    /// The SQLite database.
    pub database: String,
    /// Every run, in order.
    pub runs: Vec<RunDocument>,
    /// The history's file.
    pub state: Option<String>,
}
