//! Flags for what watches runs: event streams, metrics, hooks.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::parse;

/// What other programs are told of a run.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "For machines (docs/events.md, docs/watching.md)")]
pub struct MachineArgs {
    /// Append what happens to this file, one JSON object a line; `-` is stdout, which then has nothing
    /// else
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Write how the run ended to this file, whole, as a Prometheus textfile
    #[arg(long, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
    /// Run this by `sh -c` after success, with the summary of --json on its standard input
    #[arg(long, value_name = "COMMAND")]
    pub on_success: Option<String>,
    /// Run this by `sh -c` after a failure, also one before the start, with the error of --json on its
    /// standard input
    #[arg(long, value_name = "COMMAND")]
    pub on_failure: Option<String>,
    /// Most time for either command, such as 30s or 5m; then it is ended
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = parse::duration)]
    pub hook_timeout: Duration,
}
