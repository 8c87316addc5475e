//! The product's nouns, and nothing that touches the world.
//!
//! No tokio, no file system, no environment, no clock, no randomness. Invariants are held by
//! constructors and by the `check` functions beside each type.

mod attribution;
mod benchmark;
mod check;
mod context;
mod cost;
mod decisions;
mod difference;
mod drift;
mod fault;
mod field;
mod finding;
#[cfg(test)]
pub(crate) mod fixtures;
mod format;
mod given;
mod grounds;
mod health;
mod hints;
mod keeping;
mod key;
mod keysum;
mod metrics;
pub mod moment;
mod nearest;
mod pieces;
mod plan;
mod profile;
mod reason;
mod relation;
mod request;
mod resolution;
mod resume;
mod run;
mod snapshot;
mod spread;
mod steps;
mod stored;
mod verdict;
mod waited_for;
mod window;

pub use attribution::{Activity, Attribution, Measures, Part, Severity, Skew};
pub use benchmark::{BENCHMARK_VERSION, Benchmark, Benchmarked, CurveShape, ProbeResult, Unfit};
pub use check::{Check, CheckOutcome};
pub use context::{
    CONTEXT_VERSION, ExecutionContext, MOST_CONCURRENT, MOST_SYSTEM_LOAD, NetworkLevel, Recorded,
    Surroundings, TIME_BANDS, Weights,
};
pub use cost::{Alternative, Comparison, Cost, Extra, Rates};
pub use decisions::{Both, Decisions};
pub use difference::{Aspect, Difference};
pub use drift::{ColumnShape, OnSchemaChange, SchemaChange, SchemaDrift, SchemaWitness};
pub use fault::{Fault, Recovery, Rule};
pub use field::{FieldType, TimeUnit, arrow_schema};
pub use finding::{Action, Anomaly, Category, Direction, Evidence, Finding};
pub use format::{
    Compression, CsvOptions, FileCompression, Format, FormatOptions, MIN_FILE_BYTES, ParquetOptions,
};
pub use given::{Amount, Given};
pub use grounds::{ConfidenceLevel, ConfidenceNote, ExcludedRun, Exclusion, Grounds, MatchedRun};
pub use health::{Checkup, Concern, Health, Trend};
pub use hints::{LoadHint, NetworkHint, Priority, RuntimeContext};
pub use keeping::{Checked, Contents, Copied, Exported, Imported, Pruned};
pub use key::{BlockRange, ChunkBounds, CoverError, KeyRange, KeyValue, check_cover};
pub use keysum::{DIGEST_DIGITS, KeySum};
pub use metrics::{ChunkCounts, ChunkMetrics, Metrics, OfChunk, WorkerMetrics};
pub use nearest::nearest;
pub use pieces::usual_width;
pub use plan::{
    BackoffRule, ExecutionPlan, ExecutionSpec, Forecast, ForecastChunk, PLAN_VERSION, PlannedChunk,
    ProofLevel, ReadSpec, RetryPolicy, Scheduling, SpecError, Strategy, TYPE_MAP_VERSION,
    TypeMapping,
};
pub use profile::{
    ConnectionLoad, Estimate, KeyDensity, KeyProfile, LatencySample, Leaf, Origin, SourceLoad,
    SourceProfile, Statistics,
};
pub use reason::{Hinted, Learned, Reason};
pub use relation::{
    Column, Key, KeyColumn, KeyDefect, KeyOrder, OnUnrepresentable, QUERY_SCHEMA, ReadAs, Relation,
    RelationKind, SourceIdentity, SourceKind, Table, UnusableKey,
};
pub use request::{
    Chunking, ColumnOptions, Layout, OutputOptions, RunRequest, Selection, TypeMode, TypeOptions,
    TypeOverride, WorkOptions,
};
pub use resolution::{HintCap, HintFactor, HintWarning, WorkerResolution};
pub use resume::{
    BesideKept, FinishedChunk, NotKept, PartReceipt, PointInTime, Resumption, Waits, combine,
    outlive,
};
pub(crate) use run::hex;
pub use run::{
    ChangeCounters, ChunkRecord, ChunkStatus, PastRun, Resumed, RunClose, RunId, RunOpen,
    RunStatus, Scope, Teaching, WorkerRecord,
};
pub use snapshot::{Consistency, ConsistencyLevel, SnapshotFacts};
pub use spread::Spread;
pub use steps::Steps;
pub use stored::{CleanRun, Predicted, RunRow, SourceThen, StoredRun};
pub use verdict::{About, Advice, Objection, Standing, Verdict};
pub use waited_for::WaitedFor;
pub use window::{
    Increment, Lag, MarkKind, PlannedWindow, Settled, Watermark, Window, WindowDefinition,
};
