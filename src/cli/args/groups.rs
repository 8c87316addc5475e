//! Groups of flags that commands share.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::parse::{self, ColumnNames};
use crate::model::{
    Chunking, Compression, Consistency, FieldType, Format, Layout, OnUnrepresentable, TypeMode,
};
use crate::state::LAST;

/// Flags of every command.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Common {
    /// Print one JSON document on stdout and nothing else there; errors too
    #[arg(long, global = true, help_heading = "Common")]
    pub json: bool,
    /// No progress and no notes; results, warnings and errors stay
    #[arg(
        long,
        short,
        global = true,
        help_heading = "Common",
        conflicts_with = "verbose"
    )]
    pub quiet: bool,
    /// Tell every chunk, and what the program does inside, on stderr
    #[arg(long, short, global = true, help_heading = "Common")]
    pub verbose: bool,
}

/// Which of the table's columns and rows.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Table")]
pub struct TableArgs {
    /// Only these columns, comma-separated or repeated; a name with a comma in double quotes
    #[arg(long, value_name = "NAMES", value_parser = parse::names)]
    pub columns: Vec<ColumnNames>,
    /// All columns but these, comma-separated or repeated; a name with a comma in double quotes
    #[arg(long, value_name = "NAMES", value_parser = parse::names, conflicts_with = "columns")]
    pub exclude_columns: Vec<ColumnNames>,
    /// Only rows for which this SQL condition holds; may use {NAME} of --param
    #[arg(long = "where", value_name = "SQL")]
    pub filter: Option<String>,
    /// Extract the rows of this SELECT instead of a table; may use {NAME} of --param
    #[arg(
        long,
        value_name = "SQL",
        requires = "name",
        conflicts_with = "table",
        value_parser = parse::query
    )]
    pub query: Option<String>,
    /// What the rows of --query are called: {table} of --output, and the history's name
    #[arg(long, value_name = "NAME", requires = "query", value_parser = parse::name)]
    pub name: Option<String>,
    /// The text that stands for {NAME} in --where and --query; runs that differ only here share
    /// one history
    #[arg(long = "param", value_name = "NAME=TEXT", value_parser = parse::param)]
    pub params: Vec<(String, String)>,
}

impl TableArgs {
    /// What is read, as the user calls it: the table, or the name of the query. clap asks for one of
    /// them, or for a plan.
    pub fn subject<'a>(&'a self, table: Option<&'a str>) -> &'a str {
        table.or(self.name.as_deref()).unwrap_or_default()
    }
}

/// Where the table is, as whom to read it, and for how long to wait.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Source")]
pub struct SourceArgs {
    /// `postgresql://USER@HOST:PORT/DATABASE`, `mysql://…`, `sqlserver://…` or `sqlite:PATH`, or the
    /// name of a source in ixtract.toml [env: IXTRACT_SOURCE]
    #[arg(
        long,
        value_name = "URL|NAME",
        conflicts_with_all = ["source_type", "host", "port", "database"]
    )]
    pub source: Option<String>,
    /// `postgresql`, `mysql`, `sqlserver` or `sqlite`, instead of a URL
    #[arg(long, value_name = "TYPE")]
    pub source_type: Option<String>,
    /// Host name, address or socket directory [env: PGHOST]
    #[arg(long)]
    pub host: Option<String>,
    /// Port [env: PGPORT]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// Database, or the file of SQLite [env: PGDATABASE]
    #[arg(long)]
    pub database: Option<String>,
    /// User [env: PGUSER]
    #[arg(long)]
    pub user: Option<String>,
    /// Read the password from this file's first line
    #[arg(long, value_name = "FILE", conflicts_with_all = ["password_command", "password_env"])]
    pub password_file: Option<PathBuf>,
    /// Read the password from this environment variable
    #[arg(long, value_name = "VARIABLE", conflicts_with = "password_command")]
    pub password_env: Option<String>,
    /// Run this command for a password, again for each connection (cloud tokens expire)
    #[arg(long, value_name = "COMMAND")]
    pub password_command: Option<String>,
    /// Encryption; default: prefer on this machine, verify-full elsewhere [env: PGSSLMODE]
    #[arg(long, value_enum, value_name = "MODE")]
    pub tls: Option<TlsName>,
    /// Trusted roots, PEM; default: the system's [env: PGSSLROOTCERT]
    #[arg(long, value_name = "FILE")]
    pub tls_ca: Option<PathBuf>,
    /// Client certificate, PEM [env: PGSSLCERT]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Key of the client certificate, PEM [env: PGSSLKEY]
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Most seconds for opening a connection [default: 10, env: PGCONNECT_TIMEOUT]
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub connect_timeout_s: Option<u64>,
    /// Most seconds for one chunk's statement; 0 means no limit
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub statement_timeout_s: u64,
    /// Most seconds to wait for the table's lock
    #[arg(long, value_name = "S", default_value_t = 6)]
    pub lock_wait_s: u64,
    /// Stop, with nothing published, when others wait for our lock longer than this
    #[arg(long, value_name = "S", default_value_t = 30)]
    pub max_blocking_s: u64,
    /// Keep small queries beside the run within this: workers are held up and let go again
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_source_latency_ms: Option<u64>,
    /// Keep the source's replicas, or the replica that is read, within this of their primary
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_replica_lag_s: Option<u64>,
    /// Stop, with nothing published, when the snapshot is open for longer than this
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..))]
    pub max_snapshot_age: Option<u64>,
    /// Name this database in history and {source}, so that a failover to another host keeps them
    #[arg(long, value_name = "NAME")]
    pub source_name: Option<String>,
    /// Take what the role may see of a table with row-level security, instead of refusing
    #[arg(long)]
    pub allow_row_security: bool,
}

/// `--tls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TlsName {
    /// Never encrypted
    Disable,
    /// Encrypted where the server can, unverified
    Prefer,
    /// Encrypted, the server not verified
    Require,
    /// Encrypted, the certificate's chain verified
    VerifyCa,
    /// Encrypted, chain and host name verified
    VerifyFull,
}

/// Where the dataset goes, and its format.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// The dataset, replaced as a whole: a directory, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or
    /// az://CONTAINER/PREFIX; may use {source} {schema} {table} {date} [default: out/{schema}.{table}]
    #[arg(long, short, value_name = "PLACE", value_parser = parse::output)]
    pub output: Option<String>,
    /// How files are written.
    #[command(flatten)]
    pub format: FormatArgs,
    /// replace: exchange the directory in one step; runs: keep parts under _runs/, where no
    /// exchange is possible [default: replace; on object stores always runs]
    #[arg(long, value_parser = parse::layout)]
    pub layout: Option<Layout>,
    /// Old versions that stay beside the new one
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub keep: u32,
    /// How an object store is reached.
    #[command(flatten)]
    pub store: ObjectStoreArgs,
}

impl OutputArgs {
    /// The place, or where datasets go when nobody says so; a template.
    pub fn place(&self) -> &str {
        self.output.as_deref().unwrap_or("out/{schema}.{table}")
    }
}

/// How an object store is reached; secrets come from the environment and from files.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Object store")]
pub struct ObjectStoreArgs {
    /// The service's URL, where it is not the cloud's own; http:// is allowed if written
    #[arg(long, value_name = "URL", value_parser = parse::endpoint)]
    pub store_endpoint: Option<String>,
    /// S3: the bucket's region [default: AWS_REGION, else us-east-1]
    #[arg(long, value_name = "NAME")]
    pub store_region: Option<String>,
    /// S3: a profile of ~/.aws, over the environment's keys [default: AWS_PROFILE]
    #[arg(long, value_name = "NAME")]
    pub store_profile: Option<String>,
    /// S3: the endpoint names the bucket (virtual-hosted style) instead of the path
    #[arg(long)]
    pub store_virtual_host: bool,
    /// S3: encrypt what is written with this key of KMS
    #[arg(long, value_name = "KEY")]
    pub store_kms_key: Option<String>,
    /// Send requests without a signature, to a store that asks for none
    #[arg(long)]
    pub store_unsigned: bool,
}

/// The format of the dataset's files.
///
/// What only one format knows has no default here, so that it is refused with the other.
#[derive(Debug, Args)]
#[command(next_help_heading = "Format")]
pub struct FormatArgs {
    /// File format: parquet or csv
    #[arg(long, value_name = "FORMAT", value_parser = parse::format, default_value = "parquet")]
    pub format: Format,
    /// For parquet none, snappy, zstd, zstd:LEVEL, lz4, gzip [default: snappy]; for csv none, gzip,
    /// zstd, zstd:LEVEL [default: none]
    #[arg(long, value_name = "CODEC")]
    pub compression: Option<Compression>,
    /// A chunk goes on in another file before one is longer than this; at least 1MB [default: no
    /// limit; on object stores 75GB]
    #[arg(long, value_name = "BYTES", value_parser = parse::bytes)]
    pub max_file_size: Option<u64>,
    /// Parquet: most rows of a row group [default: 1048576]
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    pub row_group_rows: Option<u64>,
    /// Parquet: a row group ends at this encoded size [default: 64MB]
    #[arg(long, value_name = "BYTES", value_parser = parse::bytes)]
    pub row_group_bytes: Option<u64>,
    /// CSV: what stands, unquoted, for NULL [default: nothing]; an equal value is quoted
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub csv_null: Option<String>,
    /// CSV: the character between fields, \t for a tab [default: ,]
    #[arg(long, value_name = "C", value_parser = parse::delimiter, allow_hyphen_values = true)]
    pub csv_delimiter: Option<char>,
    /// CSV: quote every value and name, not only those that need it; NULL never is
    #[arg(long)]
    pub csv_quote_all: bool,
    /// CSV: no line of column names at the beginning of each file
    #[arg(long)]
    pub csv_no_header: bool,
}

/// How columns are mapped.
#[derive(Debug, Args)]
#[command(next_help_heading = "Types")]
pub struct TypeArgs {
    /// portable: equal values in every reader; native: the narrowest exact type
    #[arg(long, value_name = "MODE", value_parser = parse::type_mode, default_value = "portable")]
    pub types: TypeMode,
    /// Write a column as another type, checked value by value, such as amount=decimal(38,9)
    #[arg(long = "type", value_name = "COLUMN=TYPE", value_parser = parse::column_type)]
    pub overrides: Vec<(String, FieldType)>,
    /// As --type, but values may be rounded or cut, such as price=float64 or at=date; recorded
    #[arg(long, value_name = "COLUMN=TYPE", value_parser = parse::column_type)]
    pub lossy: Vec<(String, FieldType)>,
    /// What becomes of a value that its type cannot hold: fail (the default) stops the run, null
    /// writes and counts a NULL; COLUMN=fail or COLUMN=null for one column
    #[arg(long, value_name = "[COLUMN=]RULE", value_parser = parse::on_unrepresentable)]
    pub on_unrepresentable: Vec<(Option<String>, OnUnrepresentable)>,
}

/// How the work is cut and shared out.
#[derive(Debug, Args)]
#[command(next_help_heading = "Work")]
pub struct WorkArgs {
    /// Exactly this many workers; such a run is not learned from
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub workers: Option<u32>,
    /// Workers of the first run, before anything was learned
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub start_workers: Option<u32>,
    /// Never fewer workers
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=64)
    )]
    pub min_workers: u32,
    /// Never more workers
    #[arg(
        long,
        value_name = "N",
        default_value_t = 8,
        value_parser = clap::value_parser!(u32).range(1..=64)
    )]
    pub max_workers: u32,
    /// Keep to the best number of workers known; try no other
    #[arg(long)]
    pub no_explore: bool,
    /// auto, key (ranges of an indexed column), ctid (physical blocks, PostgreSQL 14 or later), none
    #[arg(long, value_name = "HOW", value_parser = parse::chunking, default_value = "auto")]
    pub chunking: Chunking,
    /// About this many rows a chunk, on tables of any size
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..))]
    pub chunk_rows: Option<u64>,
    /// snapshot: one point in time or a refusal; auto: one point in time, with fewer workers if
    /// need be; per-chunk: parallel without it
    #[arg(long, value_name = "LEVEL", value_parser = parse::consistency, default_value = "auto")]
    pub consistency: Consistency,
    /// count: one count(*) by the server in the same snapshot must equal the rows written;
    /// stream: no count; full: also, chunk by chunk, a sum over the keys by the server must equal that
    /// of the files, read back
    #[arg(long, value_enum, value_name = "LEVEL", default_value = "count")]
    pub proof: ProofName,
}

/// `--proof`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProofName {
    /// The server counts, and sums the keys of each chunk, against the files read back
    Full,
    /// The server counts too
    Count,
    /// Only what the streams and files themselves prove
    Stream,
}

/// What is known of the circumstances and cannot be measured.
///
/// Texts, not numbers: what is wrong with them is told all at once, with the context file.
#[derive(Debug, Default, Args)]
#[command(
    next_help_heading = "Hints (they only lower what a run takes; such a run is not learned from)"
)]
pub struct HintArgs {
    /// Never more sessions on the source than this, all of the run's own counted (two beside the
    /// workers') and those of this machine's other processes
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub max_source_connections: Option<String>,
    /// Never more memory than about this
    #[arg(long, value_name = "MIB", allow_negative_numbers = true)]
    pub max_memory_mb: Option<String>,
    /// good, degraded (three quarters of the workers), poor (half)
    #[arg(long, value_name = "WORD")]
    pub network_quality: Option<String>,
    /// low, normal, high (half of the workers)
    #[arg(long, value_name = "WORD")]
    pub source_load: Option<String>,
    /// Other extractions, each of which takes one of --max-source-connections
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub concurrent_extractions: Option<String>,
    /// The source is being maintained (half of the workers)
    #[arg(long)]
    pub source_maintenance: bool,
    /// low (three quarters of the workers), normal, critical (takes back a quarter, within the caps)
    #[arg(long, value_name = "WORD")]
    pub priority: Option<String>,
    /// Warn when more than so many minutes are expected
    #[arg(long, value_name = "MINUTES", allow_negative_numbers = true)]
    pub target_duration: Option<String>,
    /// Warn when more than so many MiB are expected to be written
    #[arg(long, value_name = "MIB", allow_negative_numbers = true)]
    pub egress_budget_mb: Option<String>,
    /// Not recommended when more than so many minutes are expected
    #[arg(long, value_name = "MINUTES", allow_negative_numbers = true)]
    pub maintenance_window: Option<String>,
    /// Not recommended when the output does not fit into so many GiB; a warning above four fifths
    #[arg(long, value_name = "GIB", allow_negative_numbers = true)]
    pub disk_available_gb: Option<String>,
    /// Hints as a JSON object, such as {"priority": "low"}; flags win over it
    #[arg(long, value_name = "FILE")]
    pub context_file: Option<PathBuf>,
}

/// What things cost.
///
/// Texts, not numbers: what is wrong with them is told all at once, with the cost file.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Cost (no cost is shown while every rate is 0)")]
pub struct CostArgs {
    /// Cost of an hour of this machine
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    pub compute_rate: Option<String>,
    /// Cost of a GiB that is written
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    pub egress_rate: Option<String>,
    /// Cost of an hour of a worker's connection
    #[arg(long, value_name = "RATE", allow_negative_numbers = true)]
    pub connection_rate: Option<String>,
    /// Rates as a JSON object of compute_cost_per_hour, egress_cost_per_gb,
    /// connection_cost_per_hour, and currency [default: USD]; flags win over it
    #[arg(long, value_name = "FILE")]
    pub cost_file: Option<PathBuf>,
}

/// Where history lives.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "State")]
pub struct StateArgs {
    /// The history's file [env: IXTRACT_STATE, default: $XDG_STATE_HOME/ixtract/state.db]
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
    /// Fail when the history cannot be used, instead of going on without
    #[arg(long)]
    pub state_required: bool,
    /// Learn from and for this named history instead of the table's own
    #[arg(long, value_name = "NAME")]
    pub scope: Option<String>,
}

/// Where history lives, for commands that only look back.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "State")]
pub struct StoreArgs {
    /// The history's file [env: IXTRACT_STATE, default: $XDG_STATE_HOME/ixtract/state.db]
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
}

/// Which run to look back at.
#[derive(Debug, Args)]
pub struct RunSelector {
    /// `last`, a run's id, the beginning of it or of its last part, or a table: its newest run
    #[arg(value_name = "RUN", default_value = LAST)]
    pub run: String,
    /// State.
    #[command(flatten)]
    pub store: StoreArgs,
}
