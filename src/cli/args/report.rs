//! `ixtract report`.

use std::path::PathBuf;

use clap::Args;

use super::groups::RunSelector;

/// The long help.
pub(super) const ABOUT: &str = "\
Draw a run and its table's history as one HTML page to look at: speeds over runs with their moving \
average and what is usual, worker counts and why they changed, a timeline of the run's chunks, sizes \
and times of chunks, costs, columns and their types, and the findings in words.

The page asks no network for anything and runs no script; it is light or dark as the reader's system \
is, and fits a phone. With --json the data that it is drawn from is printed, and no page is written \
unless --html names one. Read from the history alone; no database is asked.";

/// Examples of it.
pub(super) const EXAMPLES: &str = "\
Examples:
  $ ixtract report
  $ ixtract report public.orders --html orders.html
  $ ixtract report 0badcafe --html - | ssh web 'cat > /srv/www/orders.html'
  $ ixtract report orders --json | jq '.course[-1].usual'";

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
