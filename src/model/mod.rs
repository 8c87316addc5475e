//! The product's nouns, and nothing that touches the world.
//!
//! No tokio, no file system, no environment, no clock, no randomness. Invariants are held by
//! constructors and by the `check` functions beside each type.

mod decisions;
mod field;
mod finding;
#[cfg(test)]
pub(crate) mod fixtures;
mod format;
mod health;
mod key;
mod plan;
mod profile;
mod reason;
mod relation;
mod request;
mod run;
mod snapshot;
mod spread;
mod steps;
mod stored;

pub use decisions::{Both, Decisions};
pub use field::{FieldType, TimeUnit, arrow_schema};
pub use finding::{
    Action, Activity, Anomaly, Attribution, Category, Certainty, Direction, Evidence, Finding,
    Measures, Part, Severity, Skew,
};
pub use format::{Compression, CsvOptions, FileCompression, Format, FormatOptions, ParquetOptions};
pub use health::{Checkup, Concern, Health, Trend};
pub use key::{BlockRange, ChunkBounds, CoverError, KeyRange, KeyValue, check_cover};
pub use plan::{
    BackoffRule, ExecutionPlan, ExecutionSpec, Forecast, ForecastChunk, PLAN_VERSION, PlannedChunk,
    ProofLevel, ReadSpec, RetryPolicy, Scheduling, SpecError, Strategy, TYPE_MAP_VERSION,
    TypeMapping,
};
pub use profile::{
    ConnectionLoad, Estimate, KeyDensity, KeyProfile, LatencySample, Leaf, Origin, SourceLoad,
    SourceProfile, Statistics,
};
pub use reason::{Learned, Reason};
pub use relation::{
    Column, Key, KeyColumn, KeyOrder, OnUnrepresentable, QUERY_SCHEMA, ReadAs, Relation,
    RelationKind, SourceIdentity, SourceKind, Table,
};
pub use request::{
    Chunking, ColumnOptions, Layout, OutputOptions, RunRequest, Selection, TypeMode, TypeOptions,
    TypeOverride, WorkOptions,
};
pub(crate) use run::hex;
pub use run::{
    ChangeCounters, ChunkRecord, ChunkStatus, PastRun, RunClose, RunId, RunOpen, RunStatus, Scope,
    WorkerRecord,
};
pub use snapshot::{Consistency, ConsistencyLevel, SnapshotFacts};
pub use spread::Spread;
pub use steps::Steps;
pub use stored::{CleanRun, Predicted, RunRow, SourceThen, StoredRun};
