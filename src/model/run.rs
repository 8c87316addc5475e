//! Runs as they are recorded.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::context::{ExecutionContext, Recorded};
use super::drift::SchemaDrift;
use super::finding::{Anomaly, Finding};
use super::hints::RuntimeContext;
use super::plan::ExecutionPlan;
use super::relation::{Relation, SourceIdentity};
use super::request::Selection;
use super::resume::FinishedChunk;
use super::snapshot::SnapshotFacts;
use super::stored::SourceThen;

/// `rx-YYYYMMDD-HHMMSS-xxxxxxxx`: UTC time and eight hex digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(String);

impl RunId {
    /// An id from the time and entropy of the caller's.
    pub fn new(now: Timestamp, entropy: u32) -> Self {
        Self(format!(
            "rx-{}-{entropy:08x}",
            now.strftime("%Y%m%d-%H%M%S")
        ))
    }

    /// An id as it was stored.
    pub fn stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part, which tags file names.
    pub fn tag(&self) -> &str {
        self.0.rsplit('-').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What histories are keyed by: runs of one scope may teach each other, others never mix.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// The key: SHA-256 over all parts, in hex, or the text of `--scope`.
    pub key: String,
    /// The database.
    pub source: SourceIdentity,
    /// The relation.
    pub relation: Relation,
}

impl Scope {
    /// The scope of a table and selection in a database. `override_key` is `--scope`.
    pub fn new(
        source: &SourceIdentity,
        relation: &Relation,
        selection: &Selection,
        override_key: Option<&str>,
    ) -> Self {
        let key = override_key.map_or_else(
            || {
                let place = source
                    .name
                    .clone()
                    .unwrap_or_else(|| format!("{}:{}", source.host, source.port));
                let mut hash = Sha256::new();
                let mut part = |text: &str| {
                    // Length first, so that no two lists of parts give the same bytes.
                    hash.update((text.len() as u64).to_be_bytes());
                    hash.update(text.as_bytes());
                };
                part(source.kind.name());
                part(&place);
                part(&source.database);
                part(&relation.schema);
                part(&relation.name);
                part(&selection.columns.join("\0"));
                part(&selection.exclude.join("\0"));
                part(selection.filter_template.as_deref().unwrap_or(""));
                // Only where there is one, so that tables keep the scopes they had.
                if let Some(query) = &selection.query_template {
                    part(query);
                }
                hex(&hash.finalize())
            },
            str::to_owned,
        );
        Self {
            key,
            source: source.clone(),
            relation: relation.clone(),
        }
    }
}

/// Bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The source's own counters of changes to a table, by the source's names for them; kept with
/// every run because history cannot be backfilled.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeCounters(pub BTreeMap<String, String>);

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Under way (or its process died and nobody has looked yet).
    Running,
    /// Published.
    Success,
    /// Ended with an error; nothing published.
    Failed,
    /// Ended by a signal; nothing published.
    Cancelled,
    /// Its process died.
    Crashed,
}

impl RunStatus {
    /// The word that is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Success => "success",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Crashed => "crashed",
        }
    }
}

/// Where a chunk stands at the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChunkStatus {
    /// Read to its end and written.
    Success,
    /// Given up.
    Failed,
    /// Never finished because the run ended first.
    Pending,
}

/// One chunk as it was executed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChunkRecord {
    /// Plan chunk number, from 1.
    pub number: u32,
    /// The worker that ended it, from 1; 0 when none took it.
    pub worker: u32,
    /// How it ended.
    pub status: ChunkStatus,
    /// Start of the last attempt, since the run's start, in milliseconds.
    pub started_ms: u64,
    /// Wall time of all attempts together, pauses excluded, in milliseconds.
    pub duration_ms: u64,
    /// Time spent waiting for the source, in milliseconds.
    pub query_ms: u64,
    /// Time until the server began to answer the last attempt's query, in milliseconds.
    pub answer_ms: u64,
    /// Time spent decoding, in milliseconds.
    pub decode_ms: u64,
    /// Time spent encoding and writing, in milliseconds.
    pub write_ms: u64,
    /// Of that, time spent handing bytes to the place they go to, checksum included; 0 where it was
    /// not told apart.
    #[serde(default)]
    pub storage_ms: u64,
    /// Rows written.
    pub rows: u64,
    /// Bytes of the finished files.
    pub bytes: u64,
    /// Attempts after the first.
    pub retries: u32,
    /// File names, in segment order.
    pub files: Vec<String>,
    /// Values written as NULL because their output type cannot hold them, by column.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nulled: BTreeMap<String, u64>,
    /// The last error, one line.
    pub error: Option<String>,
}

/// One worker over a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerRecord {
    /// From 1.
    pub worker: u32,
    /// Chunks it finished.
    pub chunks: u32,
    /// Rows it wrote.
    pub rows: u64,
    /// Bytes it wrote.
    pub bytes: u64,
    /// Time with a chunk in hand, in milliseconds.
    pub busy_ms: u64,
    /// Of that, time waiting for the source.
    pub blocked_ms: u64,
    /// Time without a chunk while the run lasted, in milliseconds.
    pub idle_ms: u64,
    /// Of that, pauses because the source had slowed down or an attempt had failed.
    #[serde(default)]
    pub paused_ms: u64,
}

/// The row of a run that is written before it starts.
#[derive(Clone, Debug, PartialEq)]
pub struct RunOpen {
    /// Its id.
    pub id: RunId,
    /// Its scope.
    pub scope: Scope,
    /// Its start, UTC.
    pub started_at: Timestamp,
    /// This process.
    pub pid: u32,
    /// This host.
    pub host: String,
    /// What it will execute.
    pub plan: ExecutionPlan,
    /// Whether hints, `--workers`, a given plan or the like shaped it, so that it must not teach.
    pub constrained: bool,
    /// The hints that it was planned with, where there were any.
    pub hints: Option<RuntimeContext>,
    /// What it is expected to cost, where rates were given.
    pub estimated_cost: Option<f64>,
    /// The run whose plan is executed again. A replay never teaches: its plan answers an older state
    /// of things.
    pub replay_of: Option<RunId>,
    /// The unfinished run that this one goes on with, and what it keeps of it. Such a run never
    /// teaches: it read only a part.
    pub resumes: Option<Resumed>,
    /// How its columns differ from those of the published run before it, where they do.
    pub drift: Option<SchemaDrift>,
    /// What the source looked like.
    pub source_then: SourceThen,
    /// How long it took to look at it, locks that were waited for included, in milliseconds.
    pub look_ms: u64,
    /// The circumstances as they were measured, where they were.
    pub context: Option<ExecutionContext>,
    /// Where the output goes.
    pub output: String,
}

/// An unfinished run that another goes on with.
#[derive(Clone, Debug, PartialEq)]
pub struct Resumed {
    /// Its id.
    pub run: RunId,
    /// The chunks that are kept of it.
    pub kept: Vec<FinishedChunk>,
}

/// What a manifest keeps for a history that may be lost: the facts that decide whether, and what, a
/// run teaches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Teaching {
    /// The key of the run's history; see [`Scope`].
    pub scope: String,
    /// Planned workers.
    pub workers: u32,
    /// Whether hints, `--workers`, a given plan or the like shaped it.
    pub constrained: bool,
    /// The run whose plan it executed again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_of: Option<RunId>,
    /// `full`, `moderate` or `low` (facts sheet, section 8).
    pub confidence: String,
    /// Wall time of the read, in milliseconds.
    pub read_ms: u64,
}

/// What closes a run's row, in one transaction with its chunks and workers.
#[derive(Clone, Debug, PartialEq)]
pub struct RunClose {
    /// How it ended.
    pub status: RunStatus,
    /// Its end, UTC.
    pub ended_at: Timestamp,
    /// Rows written; those of chunks that were kept from an unfinished run do not count.
    pub rows: u64,
    /// Bytes of the finished files.
    pub bytes: u64,
    /// Wall time, in seconds.
    pub duration_s: f64,
    /// Rows per second over the whole run.
    pub throughput: f64,
    /// Mean number of busy workers.
    pub effective_workers: f64,
    /// What the snapshot achieved, where one was opened.
    pub snapshot: Option<SnapshotFacts>,
    /// How long it took to get the snapshot, locks included, in milliseconds.
    pub snapshot_ms: u64,
    /// `full`, `moderate` or `low` (facts sheet, section 8).
    pub confidence: String,
    /// Names of rules that fired, deviations from the plan, one line each.
    pub adaptations: Vec<String>,
    /// The error, one line, when there was one.
    pub error: Option<String>,
    /// What it cost, where rates were given.
    pub actual_cost: Option<f64>,
    /// Values written as NULL because their output type cannot hold them, by column.
    pub nulled: BTreeMap<String, u64>,
    /// The chunks.
    pub chunks: Vec<ChunkRecord>,
    /// The workers.
    pub workers: Vec<WorkerRecord>,
    /// What the run shows, where it was published.
    pub finding: Option<Finding>,
    /// Whether its speed is far from what is usual.
    pub anomaly: Option<Anomaly>,
}

/// A run out of the store, as estimator and history need it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PastRun {
    /// Its id.
    pub id: RunId,
    /// Its relation, `schema.name`.
    pub relation: String,
    /// Its start.
    pub started_at: Timestamp,
    /// How it ended.
    pub status: RunStatus,
    /// Planned workers.
    pub workers: u32,
    /// Rows written.
    pub rows: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Wall time, in seconds.
    pub duration_s: f64,
    /// Predicted wall time, in seconds.
    pub predicted_s: f64,
    /// Rows per second.
    pub throughput: f64,
    /// Whether it teaches: successful, unconstrained, no replay, not degraded, and its confidence is
    /// not low or it is the first of its number of workers.
    pub teaches: bool,
    /// Fingerprint of its plan.
    pub fingerprint: String,
    /// Error, where it failed.
    pub error: Option<String>,
    /// Its circumstances.
    pub context: Recorded,
    /// The run whose plan it executed again, where it is a replay.
    pub replay_of: Option<RunId>,
}
