//! What the user asked for, after flags, environment and defaults are settled. No secrets.

use serde::{Deserialize, Serialize};

use super::field::FieldType;
use super::format::FormatOptions;
use super::hints::RuntimeContext;
use super::plan::ProofLevel;
use super::relation::OnUnrepresentable;
use super::snapshot::Consistency;
use super::window::Increment;

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
    /// `--query`, with `{param}` place holders unfilled: the learning scope uses this text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query_template: Option<String>,
    /// `--query` with parameters filled in: read instead of a table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
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

/// `--type COLUMN=TYPE` or `--lossy COLUMN=TYPE`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeOverride {
    /// The column as the user wrote it.
    pub column: String,
    /// The output type.
    pub field: FieldType,
    /// Whether values may be rounded or cut.
    #[serde(default)]
    pub lossy: bool,
}

/// How columns are mapped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypeOptions {
    /// Portable or native.
    pub mode: TypeMode,
    /// Overrides in the order given; the last one for a column holds.
    pub overrides: Vec<TypeOverride>,
    /// `--on-unrepresentable fail|null`.
    #[serde(default)]
    pub on_unrepresentable: OnUnrepresentable,
    /// `--on-unrepresentable COLUMN=fail|null`, in the order given; the last one for a column holds.
    #[serde(default)]
    pub exceptions: Vec<(String, OnUnrepresentable)>,
}

impl TypeOptions {
    /// The options, resolved: for each of a table's columns the override and the rule that hold.
    ///
    /// # Errors
    /// That of `find`, which says where among the columns a name is.
    pub fn of_columns<E>(
        &self,
        count: usize,
        find: impl Fn(&str) -> Result<usize, E>,
    ) -> Result<Vec<ColumnOptions<'_>>, E> {
        let mut columns = vec![ColumnOptions::default(); count];
        for column in &mut columns {
            column.on_unrepresentable = self.on_unrepresentable;
        }
        for wanted in &self.overrides {
            if let Some(column) = columns.get_mut(find(&wanted.column)?) {
                column.wanted = Some(wanted);
            }
        }
        for (name, rule) in &self.exceptions {
            if let Some(column) = columns.get_mut(find(name)?) {
                column.on_unrepresentable = *rule;
            }
        }
        Ok(columns)
    }
}

/// What the user wants of one column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColumnOptions<'a> {
    /// The override that holds.
    pub wanted: Option<&'a TypeOverride>,
    /// What becomes of values that the output type cannot hold.
    pub on_unrepresentable: OnUnrepresentable,
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
    /// The format, with its options.
    pub format: FormatOptions,
    /// `--layout`.
    pub layout: Layout,
    /// `--keep N`: old versions that stay.
    pub keep: u32,
}

/// A whole request: one table to one dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRequest {
    /// The table as the user wrote it.
    pub table: String,
    /// Columns and rows.
    pub selection: Selection,
    /// Type mapping.
    pub types: TypeOptions,
    /// Work.
    pub work: WorkOptions,
    /// What the user knows of the circumstances; absent where no hint was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hints: Option<RuntimeContext>,
    /// `--incremental`: only what is new; absent where everything is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub increment: Option<Increment>,
    /// Output.
    pub output: OutputOptions,
}
