//! `ixtract report`.

use std::path::PathBuf;

use clap::Args;

use super::groups::RunSelector;

/// `report`.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// Run.
    #[command(flatten)]
    pub selector: RunSelector,
    /// The page; - for standard output [default: ixtract-report.html, and none with --json]
    #[arg(long, value_name = "FILE", help_heading = "Page")]
    pub html: Option<PathBuf>,
    /// Most runs of the table that are charted: the newest
    #[arg(
        long,
        value_name = "N",
        default_value_t = 500,
        value_parser = clap::value_parser!(u32).range(1..=100_000),
        help_heading = "Page"
    )]
    pub limit: u32,
    /// Replace the file even if it is no report
    #[arg(long, help_heading = "Page")]
    pub force: bool,
}
