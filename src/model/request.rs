//! What the user asked for, after flags, environment and defaults are settled. No secrets.

use serde::{Deserialize, Serialize};

use super::field::FieldType;
use super::plan::{Compression, Format, ProofLevel};
use super::snapshot::Consistency;

/// Which columns and rows of the relation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// `--columns`: these, in the catalogue's order; empty means all.
    pub columns: Vec<String>,
    /// `--exclude-columns`.
    pub exclude: Vec<String>,
    /// `--where`, with `{param}` place holders unfilled: the learning scope uses this text.
    pub filter_template: Option<String>,
    /// `--where` with parameters filled in: what the server is sent.
    pub filter: Option<String>,
}

/// `--types`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TypeMode {
    /// What Spark, BigQuery, Snowflake, DuckDB, pyarrow and Polars all read with equal values.
    #[default]
    Portable,
    /// The narrowest exact type.
    Native,
}

/// How columns are mapped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeOptions {
    /// Portable or native.
    pub mode: TypeMode,
    /// `--type COLUMN=TYPE`, in the order given.
    pub overrides: Vec<(String, FieldType)>,
}

/// `--chunking`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Chunking {
    /// Decided from statistics.
    #[default]
    Auto,
    /// Ranges of a key.
    Key,
    /// Ranges of physical blocks (PostgreSQL ≥ 14).
    Ctid,
    /// One chunk.
    None,
}

/// How the work is cut and shared out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkOptions {
    /// `--workers`: exactly this many; overrides everything but what is possible.
    pub workers: Option<u32>,
    /// `--start-workers`: the first run's count, before anything was learned.
    pub start_workers: Option<u32>,
    /// `--min-workers`.
    pub min_workers: u32,
    /// `--max-workers`, default 8.
    pub max_workers: u32,
    /// Whether other worker counts than the best known may be tried; `--no-explore` forbids it.
    pub explore: bool,
    /// `--chunking`.
    pub chunking: Chunking,
    /// `--chunk-rows`: target rows a chunk.
    pub chunk_rows: Option<u64>,
    /// `--consistency`.
    pub consistency: Consistency,
    /// `--proof`.
    pub proof: ProofLevel,
}

/// Parquet's own options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParquetOptions {
    /// `--row-group-rows`: most rows of a row group.
    pub row_group_rows: u64,
    /// `--row-group-bytes`: a row group ends when its encoded size reaches this.
    pub row_group_bytes: u64,
}

/// `--layout`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// The dataset directory is exchanged as a whole.
    #[default]
    Replace,
    /// Parts live under `_runs/<run>/` and the manifest names the current run.
    Runs,
}

/// Where and how the dataset is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputOptions {
    /// `--output`, templates filled in: a local directory.
    pub directory: String,
    /// `--format`.
    pub format: Format,
    /// `--compression`.
    pub compression: Compression,
    /// Parquet's options.
    pub parquet: ParquetOptions,
    /// `--layout`.
    pub layout: Layout,
    /// `--keep N`: old versions that stay.
    pub keep: u32,
}

/// A whole request: one table to one dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunRequest {
    /// The table as the user wrote it.
    pub table: String,
    /// Columns and rows.
    pub selection: Selection,
    /// Type mapping.
    pub types: TypeOptions,
    /// Work.
    pub work: WorkOptions,
    /// Output.
    pub output: OutputOptions,
}
