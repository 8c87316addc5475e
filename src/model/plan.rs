//! The plan: one immutable document that says everything an execution decides.

use serde::{Deserialize, Serialize};

use super::format::FormatOptions;
use super::grounds::Grounds;
use super::key::{ChunkBounds, CoverError, check_cover};
use super::reason::Reason;
use super::relation::{Column, Key, Relation, RelationKind, SourceIdentity};
use super::request::TypeMode;
use super::resolution::WorkerResolution;
use super::snapshot::Consistency;
use super::window::PlannedWindow;

/// The version of the plan document that this program writes.
pub const PLAN_VERSION: u32 = 1;

/// The version of the type mapping (`type_map` in plan and manifest).
pub const TYPE_MAP_VERSION: u32 = 1;

/// How rows are cut into chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Strategy {
    /// One chunk.
    SinglePass,
    /// Ranges of a key.
    RangeChunking,
    /// Ranges of physical blocks.
    CtidChunking,
}

/// In which order workers take chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheduling {
    /// Plan order; every chunk is estimated alike.
    RoundRobin,
    /// Longest estimated chunk first, whoever is free.
    WorkStealing,
}

/// `--proof`: how completeness is proved.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum ProofLevel {
    /// Cover, protocol trailers and footers; no count by the server.
    Stream,
    /// Also one unchunked `count(*)` in the same snapshot.
    #[default]
    Count,
    /// Also, for each chunk, the rows and a sum over their keys that the server computes in the same
    /// snapshot, against what is read back from the written files.
    Full,
}

impl ProofLevel {
    /// Whether the server counts the rows.
    pub fn counts(self) -> bool {
        self >= Self::Count
    }
}

/// The type mapping that the columns were made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TypeMapping {
    /// Portable or native.
    pub mode: TypeMode,
    /// The mapping's version.
    pub version: u32,
}

/// What a session needs to read a chunk: enough to execute one chunk alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReadSpec {
    /// The relation.
    pub relation: Relation,
    /// What it is.
    pub kind: RelationKind,
    /// The statement of `--query`, parameters filled in, where that is what is read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Columns in output order.
    pub columns: Vec<Column>,
    /// The key that key chunks are cut on.
    pub key: Option<Key>,
    /// The leaves that block chunks are cut on, each read by itself; together they are the table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaves: Vec<Relation>,
    /// The filter, parameters filled in.
    pub filter: Option<String>,
}

/// One chunk of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PlannedChunk {
    /// Position in the plan, from 1; names the files.
    pub number: u32,
    /// The rows it holds.
    pub bounds: ChunkBounds,
    /// Dispatch rank, from 0: lower is sooner.
    pub rank: u32,
}

impl PlannedChunk {
    /// `chunk_001`, …: the name used in records and messages.
    pub fn id(&self) -> String {
        format!("chunk_{:03}", self.number)
    }
}

/// Retries of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub retries: u32,
    /// First wait, in milliseconds; doubles with every attempt, with jitter.
    pub base_ms: u64,
    /// Longest wait, in milliseconds.
    pub max_ms: u64,
}

/// The adaptive rule `source_latency_backoff`: a worker pauses when the source slows down.
///
/// The threshold is a multiple, resolved at run time from the latency the run itself measures, so
/// that equal inputs give equal plans whatever the network's mood (facts sheet, section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BackoffRule {
    /// The rule fires when the server takes longer than this many median latencies to begin to
    /// answer a chunk's query,
    pub threshold_p50s: u32,
    /// and longer than this many milliseconds,
    pub floor_ms: u64,
    /// and longer than this many median latencies.
    pub floor_p50s: u32,
    /// The rule is off below this median latency, in microseconds.
    pub active_from_p50_us: u64,
    /// Most activations a worker.
    pub max_activations: u32,
    /// Chunks between two activations.
    pub cooldown_chunks: u32,
    /// Longest pause, in milliseconds; pauses are 1, 2, 4, … seconds.
    pub max_pause_ms: u64,
}

/// Everything that decides what an execution does: exactly what the fingerprint covers.
///
/// No ids, no times, no floats, no output location, no secrets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ExecutionSpec {
    /// The version of this document.
    pub plan_version: u32,
    /// The database.
    pub source: SourceIdentity,
    /// What is read.
    pub read: ReadSpec,
    /// The window of an incremental extraction; the filter holds its condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<PlannedWindow>,
    /// The type mapping.
    pub types: TypeMapping,
    /// How it is cut.
    pub strategy: Strategy,
    /// The chunks, in key or block order.
    pub chunks: Vec<PlannedChunk>,
    /// Workers, each with one session.
    pub workers: u32,
    /// Dispatch order.
    pub scheduling: Scheduling,
    /// Retries.
    pub retry: RetryPolicy,
    /// The adaptive back-off rule.
    pub backoff: BackoffRule,
    /// Format.
    pub format: FormatOptions,
    /// Consistency asked for.
    pub consistency: Consistency,
    /// Proof asked for.
    pub proof: ProofLevel,
    /// The columns whose values are summed for a full proof; absent with any other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proof_key: Vec<String>,
    /// The most memory that the execution may take, in MiB; absent where nobody set a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_mb: Option<u64>,
}

impl ReadSpec {
    /// The same relation with another filter.
    pub fn filtered(&self, filter: Option<&str>) -> Self {
        Self {
            filter: filter.map(str::to_owned),
            ..self.clone()
        }
    }
}

impl ExecutionSpec {
    /// Checks the invariants that make the spec executable: at least one worker and chunk, chunks
    /// that tile the table, ranks and numbers that are permutations, a format that can be written.
    pub fn check(&self) -> Result<(), SpecError> {
        if self.workers == 0 {
            return Err(SpecError::NoWorker);
        }
        self.format.check().map_err(SpecError::Format)?;
        let bounds: Vec<ChunkBounds> = self.chunks.iter().map(|c| c.bounds.clone()).collect();
        let nullable = self.read.key.as_ref().is_some_and(|key| key.nullable);
        check_cover(&bounds, nullable)?;
        let mut leaves: Vec<&Relation> = bounds.iter().filter_map(ChunkBounds::leaf).collect();
        leaves.dedup();
        if !leaves.iter().copied().eq(&self.read.leaves) {
            return Err(SpecError::Leaves);
        }
        let mut ranks: Vec<u32> = self.chunks.iter().map(|chunk| chunk.rank).collect();
        ranks.sort_unstable();
        let ranked = ranks.iter().zip(0u32..).all(|(rank, want)| *rank == want);
        let numbered = self
            .chunks
            .iter()
            .zip(1u32..)
            .all(|(c, want)| c.number == want);
        if ranked && numbered {
            Ok(())
        } else {
            Err(SpecError::Order)
        }
    }
}

/// Why a spec cannot be executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// `workers` is 0.
    #[error("the plan has no worker")]
    NoWorker,
    /// The format's options do not go together.
    #[error("the plan's format cannot be written: {0}")]
    Format(String),
    /// The chunks do not tile the table.
    #[error("the plan's chunks do not cover the table exactly: {0}")]
    Cover(#[from] CoverError),
    /// The leaves that the chunks read are not those that make up the table.
    #[error("the plan's chunks do not read the leaves that it names")]
    Leaves,
    /// Numbers or ranks have gaps or repeat.
    #[error("the plan's chunk numbers or ranks have gaps or repeat")]
    Order,
}

/// The prediction for one chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForecastChunk {
    /// Estimated rows.
    pub rows: u64,
    /// Estimated bytes at the source.
    pub bytes: u64,
}

/// What the plan predicts; outside the fingerprint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// Estimated rows.
    pub rows: u64,
    /// Estimated bytes at the source.
    pub bytes: u64,
    /// Rows per second for the planned worker count.
    pub throughput: f64,
    /// Seconds.
    pub duration_s: f64,
    /// `cold_start`, `benchmarked`, `ewma`, `blended`: how the throughput was estimated.
    pub method: String,
    /// Earlier runs that the estimate rests on.
    pub runs: u32,
    /// Which of them, and how far the estimate can be trusted.
    #[serde(default)]
    pub grounds: Grounds,
    /// One entry a chunk, in plan order.
    pub chunks: Vec<ForecastChunk>,
}

/// A plan: the decisions, what they are expected to give, and why they were taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ExecutionPlan {
    /// The decisions; what the fingerprint covers.
    pub spec: ExecutionSpec,
    /// SHA-256 over the canonical bytes of `spec`, in hex.
    pub fingerprint: String,
    /// The prediction.
    pub forecast: Forecast,
    /// Why.
    pub reasons: Vec<Reason>,
    /// What the user's hints made of the workers; absent where none was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<WorkerResolution>,
    /// Warnings for the verdict line, such as a long-held snapshot.
    pub warnings: Vec<String>,
}
