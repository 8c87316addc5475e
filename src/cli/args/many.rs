//! Flags of runs of several tables.

use clap::Args;

/// Which tables, where names with wild characters name them.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Table")]
pub struct ManyArgs {
    /// All the tables that TABLE names but these; may use * and ? as TABLE does, and be repeated
    #[arg(long, value_name = "TABLE", requires = "table")]
    pub exclude: Vec<String>,
}
