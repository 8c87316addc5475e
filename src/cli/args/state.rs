//! `ixtract state …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::groups::{ObjectStoreArgs, StoreArgs};
use super::parse;

/// What to do with the history.
#[derive(Debug, Subcommand)]
pub enum StateCommand {
    /// Copy the history to a file, while runs go on
    Backup(BackupArgs),
    /// Check that the history is sound; changes nothing
    Check(CheckArgs),
    /// Remove old runs, but never what the next plan looks at
    Prune(PruneArgs),
    /// Write the history as JSON, one object a line
    Export(PortArgs),
    /// Take in what `export` wrote; runs that are here already stay as they are
    Import(PortArgs),
    /// Take in the runs that manifests know, where the history was lost
    Rebuild(RebuildArgs),
}

/// `state backup`.
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The copy; an older copy there is replaced in one step
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// State.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// `state check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// State.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// `state prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// The newest N runs of each table stay
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        required_unless_present = "older_than"
    )]
    pub keep: Option<u32>,
    /// Runs younger than this stay: a number with h, d or w, such as 90d
    #[arg(long, value_name = "AGE", value_parser = parse::age)]
    pub older_than: Option<i64>,
    /// Only say what would go
    #[arg(long)]
    pub dry_run: bool,
    /// State.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// `state export` and `state import`.
#[derive(Debug, Args)]
pub struct PortArgs {
    /// The document; - is standard output or input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// State.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// `state rebuild`.
#[derive(Debug, Args)]
pub struct RebuildArgs {
    /// Datasets, or folders with datasets in them: directories, or URLs of object stores
    #[arg(value_name = "DATASET", required = true)]
    pub datasets: Vec<PathBuf>,
    /// How an object store is reached.
    #[command(flatten)]
    pub object_store: ObjectStoreArgs,
    /// State.
    #[command(flatten)]
    pub store: StoreArgs,
}
