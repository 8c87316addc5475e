//! Which configuration file counts, and `ixtract config …`.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

pub(super) const CONFIG_ABOUT: &str = "\
Show what ixtract.toml, environment and flags come to.

One file counts: that of --config or IXTRACT_CONFIG, else the first ixtract.toml in the working \
directory, $XDG_CONFIG_HOME/ixtract (or ~/.config/ixtract) and /etc/ixtract. Its keys are the flags of \
`run`, with underscores, in [defaults], [tables.\"schema.name\"] and [profiles.NAME]; [sources.NAME] say \
where databases are, and --source takes their names. A flag wins over one of our variables, \
that over the file, the file over a default. What a table says wins over defaults, a profile over both. \
Secrets come by password_env or password_file; a password in the file is refused.";

pub(super) const CONFIG_EXAMPLES: &str = "\
Examples:
  What a run of a table would take, and from where:
  $ ixtract config show public.orders --profile prod

  With flags; nothing is run:
  $ ixtract config show plan public.orders --workers 4 --json | jq '.values[] | select(.origin != \"default\")'";

/// Which file, and what of it.
#[derive(Debug, Default, Args)]
pub struct ConfigArgs {
    /// The configuration; default: the first ixtract.toml in the working directory,
    /// $XDG_CONFIG_HOME/ixtract or ~/.config/ixtract, /etc/ixtract [env: IXTRACT_CONFIG]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Common")]
    pub config: Option<PathBuf>,
    /// What [profiles.NAME] of the configuration says goes first [env: IXTRACT_PROFILE]
    #[arg(long, value_name = "NAME", global = true, help_heading = "Common")]
    pub profile: Option<String>,
    /// Read no configuration
    #[arg(
        long,
        global = true,
        help_heading = "Common",
        conflicts_with_all = ["config", "profile"]
    )]
    pub no_config: bool,
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show every value that a command would take, and where it comes from
    Show(ShowArgs),
}

/// `config show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// A command and its words, or a table, as for `run`; nothing is done with them [default: run]
    #[arg(
        value_name = "COMMAND|TABLE",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub words: Vec<OsString>,
}

impl ShowArgs {
    /// Whether `--json` is among the words, where clap leaves it alone.
    pub fn wants_json(&self) -> bool {
        self.words.iter().any(|word| word == "--json")
    }
}
