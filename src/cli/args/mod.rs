//! The command line as clap reads it: words and their syntax, nothing about the machine.
//!
//! Flags that several commands share are groups, defined once and flattened. What a flag means
//! together with environment and files is settled in [`super::settings`].

mod config;
mod drift;
mod groups;
mod help;
mod machine;
mod many;
mod parse;
mod redact;
mod report;
mod shipping;
mod state;
mod variables;
mod window;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::estimator::curve::GRID;

pub use config::{ConfigArgs, ConfigCommand, ShowArgs};
pub use drift::DriftArgs;
pub use groups::{
    Common, CostArgs, FormatArgs, HintArgs, LogFormat, ObjectStoreArgs, OutputArgs, ProofName,
    RunSelector, SourceArgs, StateArgs, StoreArgs, TableArgs, TlsName, TypeArgs, WorkArgs,
};
pub use machine::MachineArgs;
pub use many::ManyArgs;
pub use parse::ColumnNames;
pub use redact::redact;
pub use report::ReportArgs;
pub use shipping::{CompletionsArgs, ManArgs, ShellName};
pub use state::{BackupArgs, CheckArgs, PortArgs, PruneArgs, RebuildArgs, StateCommand};
pub use variables::VARIABLES;
pub use window::WindowArgs;

use crate::model::{Consistency, Layout};

/// Copy tables out of databases into Parquet or CSV: exactly, gently, and faster with every run.
#[derive(Debug, Parser)]
#[command(
    name = "ixtract",
    version,
    about = "Copy tables out of databases into Parquet or CSV: exactly, gently, and faster with every run",
    long_about = help::LONG_ABOUT,
    after_help = "Start with `ixtract demo`. `ixtract --help` (long) lists exit codes and environment variables.",
    after_long_help = help::after_long_help(),
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to talk.
    #[command(flatten)]
    pub common: Common,
    /// What is read before the flags.
    #[command(flatten)]
    pub config: ConfigArgs,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Extract a table and publish it as one proven dataset
    #[command(visible_alias = "execute", long_about = help::RUN_ABOUT, after_help = help::RUN_EXAMPLES)]
    Run(RunArgs),
    /// Execute a run's stored plan again, exactly as it was decided
    #[command(long_about = help::REPLAY_ABOUT, after_help = help::REPLAY_EXAMPLES)]
    Replay(ReplayArgs),
    /// Show what `run` would do, and why, without reading the table
    #[command(long_about = help::PLAN_ABOUT, after_help = help::PLAN_EXAMPLES)]
    Plan(PlanArgs),
    /// Show what is known about a table without scanning it
    #[command(long_about = help::PROFILE_ABOUT, after_help = help::PROFILE_EXAMPLES)]
    Profile(ProfileArgs),
    /// Measure how fast a table is read by different numbers of workers
    #[command(long_about = help::BENCHMARK_ABOUT, after_help = help::BENCHMARK_EXAMPLES)]
    Benchmark(BenchmarkArgs),
    /// Look for whatever would stand in a run's way: exits 0 all well, 1 with warnings
    #[command(long_about = help::DOCTOR_ABOUT, after_help = help::DOCTOR_EXAMPLES)]
    Doctor(DoctorArgs),
    /// Make a small SQLite database and extract it: a tour in under a minute
    #[command(long_about = help::DEMO_ABOUT, after_help = help::DEMO_EXAMPLES)]
    Demo(DemoArgs),
    /// Check a published dataset against its manifest, without the database
    #[command(long_about = help::VERIFY_ABOUT, after_help = help::VERIFY_EXAMPLES)]
    Verify(VerifyArgs),
    /// List the files of a dataset's current version, one a line, in key order
    #[command(long_about = help::FILES_ABOUT, after_help = help::FILES_EXAMPLES)]
    Files(DatasetArgs),
    /// Explain a run: why this many workers, why these chunks, why this estimate
    #[command(long_about = help::EXPLAIN_ABOUT, after_help = help::EXPLAIN_EXAMPLES)]
    Explain(ExplainArgs),
    /// Show a run in numbers: speed of chunks and workers, skew, totals
    #[command(long_about = help::METRICS_ABOUT, after_help = help::METRICS_EXAMPLES)]
    Metrics(RunSelector),
    /// Draw a run and its table's history as one HTML page to look at
    #[command(long_about = report::ABOUT, after_help = report::EXAMPLES)]
    Report(ReportArgs),
    /// Say what changed between two runs
    #[command(long_about = help::DIFF_ABOUT, after_help = help::DIFF_EXAMPLES)]
    Diff(DiffArgs),
    /// List the runs of a table, oldest first: how fast they were, and how they ended
    #[command(long_about = help::HISTORY_ABOUT, after_help = help::HISTORY_EXAMPLES)]
    History(HistoryArgs),
    /// Show where a run's time went, how it compares, and what can be done
    #[command(long_about = help::DIAGNOSE_ABOUT, after_help = help::DIAGNOSE_EXAMPLES)]
    Diagnose(RunSelector),
    /// Judge a table's runs: exits 0 HEALTHY, 1 NEEDS ATTENTION, 2 DEGRADED
    #[command(long_about = help::INSPECT_ABOUT, after_help = help::INSPECT_EXAMPLES)]
    Inspect(InspectArgs),
    /// Back up, check, prune, move or rebuild the history
    #[command(subcommand, long_about = help::STATE_ABOUT, after_help = help::STATE_EXAMPLES)]
    State(StateCommand),
    /// Show what ixtract.toml, environment and flags come to
    #[command(subcommand, long_about = config::CONFIG_ABOUT, after_help = config::CONFIG_EXAMPLES)]
    Config(ConfigCommand),
    /// Print what makes bash, zsh or fish complete commands and flags
    #[command(
        long_about = shipping::COMPLETIONS_ABOUT,
        after_help = shipping::COMPLETIONS_EXAMPLES
    )]
    Completions(CompletionsArgs),
    /// Print the manual, or write it as pages for man
    #[command(long_about = shipping::MAN_ABOUT, after_help = shipping::MAN_EXAMPLES)]
    Man(ManArgs),
}

impl Command {
    /// Whether `--json` is among words that clap leaves alone.
    pub fn wants_json(&self) -> bool {
        matches!(self, Self::Config(ConfigCommand::Show(args)) if args.wants_json())
    }
}

/// `run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// `schema.table` or `table`, or several; * stands for any characters and ? for one, and a part in
    /// the server's quotes is taken literally
    #[arg(value_name = "TABLE", required_unless_present_any = ["plan", "query", "resume"])]
    pub table: Vec<String>,
    /// Several tables.
    #[command(flatten)]
    pub many: ManyArgs,
    /// Columns and rows.
    #[command(flatten)]
    pub selection: TableArgs,
    /// Window.
    #[command(flatten)]
    pub window: WindowArgs,
    /// Execute exactly this plan, made by `ixtract plan --out`
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Table",
        conflicts_with_all = help::DECIDED_BY_PLAN
    )]
    pub plan: Option<PathBuf>,
    /// Go on with an unfinished run, keeping the chunks that it had finished: `last`, of TABLE or
    /// --output if given, or its id, the beginning of it or of its last part
    #[arg(
        long,
        value_name = "RUN",
        help_heading = "Table",
        conflicts_with_all = help::decided_by_run()
    )]
    pub resume: Option<String>,
    /// Remove what unfinished runs of this dataset left, before reading
    #[arg(long, help_heading = "Table", conflicts_with = "resume")]
    pub discard: bool,
    /// Source.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Output.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Types.
    #[command(flatten)]
    pub types: TypeArgs,
    /// Work.
    #[command(flatten)]
    pub work: WorkArgs,
    /// Hints.
    #[command(flatten)]
    pub hints: HintArgs,
    /// Cost.
    #[command(flatten)]
    pub cost: CostArgs,
    /// State.
    #[command(flatten)]
    pub state: StateArgs,
    /// Drift.
    #[command(flatten)]
    pub drift: DriftArgs,
    /// For machines.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Run although the plan's verdict is NOT RECOMMENDED
    #[arg(long, help_heading = "Safety")]
    pub force: bool,
    /// Answer yes to every question
    #[arg(long, short = 'y', help_heading = "Safety")]
    pub yes: bool,
    /// While another run writes this dataset, wait for its end so long, such as 90s, 15m or 2h; then
    /// exit 75 [default: at once]
    #[arg(long, value_name = "TIME", help_heading = "Safety", value_parser = parse::duration)]
    pub wait: Option<Duration>,
}

/// `replay`.
#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// `last`, a run's id, the beginning of it or of its last part, or a table: its newest run
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Source.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Publish here instead of where the run did; may use {source} {schema} {table} {date}
    #[arg(long, short, value_name = "PLACE", help_heading = "Output", value_parser = parse::output)]
    pub output: Option<String>,
    /// replace or runs; default: as the dataset is laid out that is there
    #[arg(long, help_heading = "Output", value_parser = parse::layout)]
    pub layout: Option<Layout>,
    /// Old versions that stay beside the new one
    #[arg(long, help_heading = "Output", value_name = "N", default_value_t = 0)]
    pub keep: u32,
    /// How an object store is reached.
    #[command(flatten)]
    pub object_store: ObjectStoreArgs,
    /// State.
    #[command(flatten)]
    pub store: StoreArgs,
    /// For machines.
    #[command(flatten)]
    pub machine: MachineArgs,
    /// Execute a plan of another version as far as this program understands it; a plan that was
    /// changed is always refused
    #[arg(long, help_heading = "Safety")]
    pub force: bool,
    /// Answer yes to every question
    #[arg(long, short = 'y', help_heading = "Safety")]
    pub yes: bool,
}

/// `plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// `schema.table` or `table`, or several; * stands for any characters and ? for one, and a part in
    /// the server's quotes is taken literally
    #[arg(value_name = "TABLE", required_unless_present = "query")]
    pub table: Vec<String>,
    /// Several tables.
    #[command(flatten)]
    pub many: ManyArgs,
    /// Columns and rows.
    #[command(flatten)]
    pub selection: TableArgs,
    /// Window.
    #[command(flatten)]
    pub window: WindowArgs,
    /// Write the plan as JSON, for `ixtract run --plan FILE`
    #[arg(long, value_name = "FILE", help_heading = "Table")]
    pub out: Option<PathBuf>,
    /// Source.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Output.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Types.
    #[command(flatten)]
    pub types: TypeArgs,
    /// Work.
    #[command(flatten)]
    pub work: WorkArgs,
    /// Hints.
    #[command(flatten)]
    pub hints: HintArgs,
    /// Cost.
    #[command(flatten)]
    pub cost: CostArgs,
    /// State.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `profile`.
#[derive(Debug, Args)]
pub struct ProfileArgs {
    /// `schema.table` or `table`; quote a part as the server does to take it literally
    #[arg(value_name = "TABLE", required_unless_present = "query")]
    pub table: Option<String>,
    /// Columns and rows.
    #[command(flatten)]
    pub selection: TableArgs,
    /// Source.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Types.
    #[command(flatten)]
    pub types: TypeArgs,
    /// State.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `benchmark`.
#[derive(Debug, Args)]
pub struct BenchmarkArgs {
    /// `schema.table` or `table`; quote a part as the server does to take it literally
    #[arg(value_name = "TABLE", required_unless_present = "query")]
    pub table: Option<String>,
    /// Columns and rows.
    #[command(flatten)]
    pub selection: TableArgs,
    /// Source.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Types.
    #[command(flatten)]
    pub types: TypeArgs,
    /// The numbers of workers to try, comma-separated, 1 to 16
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_values_t = GRID,
        value_parser = clap::value_parser!(u32).range(1..=16),
        help_heading = "Work"
    )]
    pub worker_grid: Vec<u32>,
    /// Never more sessions than this, whatever the grid
    #[arg(
        long,
        value_name = "N",
        default_value_t = 8,
        value_parser = clap::value_parser!(u32).range(1..=64),
        help_heading = "Work"
    )]
    pub max_workers: u32,
    /// Never more sessions on the source than this, all of the benchmark's own and those of this
    /// machine's other processes counted
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = "Work"
    )]
    pub max_source_connections: Option<u32>,
    /// Measure a small table too, where the number of workers hardly matters
    #[arg(long, help_heading = "Work")]
    pub force: bool,
    /// State.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// `schema.table` or `table`; without one, the table's own grants and its snapshot are not tried
    #[arg(value_name = "TABLE")]
    pub table: Option<String>,
    /// Columns and rows.
    #[command(flatten)]
    pub selection: TableArgs,
    /// Source.
    #[command(flatten)]
    pub source: SourceArgs,
    /// Output.
    #[command(flatten)]
    pub output: OutputArgs,
    /// Types.
    #[command(flatten)]
    pub types: TypeArgs,
    /// The consistency that a run is to have: snapshot, auto or per-chunk [default: auto]
    #[arg(long, value_name = "LEVEL", value_parser = parse::consistency, help_heading = "Work")]
    pub consistency: Option<Consistency>,
    /// State.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Folder for the database and the datasets; made if missing, refused if it is not a demo's
    #[arg(long, value_name = "DIR", default_value = "ixtract-demo")]
    pub dir: PathBuf,
    /// State.
    #[command(flatten)]
    pub state: StateArgs,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Dataset.
    #[command(flatten)]
    pub dataset: DatasetArgs,
    /// Where windows are counted again, if they are to be.
    #[command(flatten)]
    pub source: SourceArgs,
    /// The text that stands for {NAME} in the --where and --query of the windows, with --source
    #[arg(long = "param", value_name = "NAME=TEXT", value_parser = parse::param, help_heading = "Table")]
    pub params: Vec<(String, String)>,
}

impl VerifyArgs {
    /// Whether the source is to be asked. A source in the environment alone is none: verifying needs no
    /// database.
    pub fn asks_source(&self) -> bool {
        self.source.source.is_some() || self.source.source_type.is_some()
    }
}

/// `verify` and `files`.
#[derive(Debug, Args)]
pub struct DatasetArgs {
    /// The directory, or URL of an object store, that a run published
    #[arg(value_name = "DATASET")]
    pub dataset: PathBuf,
    /// How an object store is reached.
    #[command(flatten)]
    pub store: ObjectStoreArgs,
}

/// `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Run.
    #[command(flatten)]
    pub selector: RunSelector,
    /// With the evidence: prediction and outcome, every chunk, a timeline, the workers
    #[arg(long)]
    pub standard: bool,
}

/// `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The first run: `last`, an id, the beginning of it or of its last part, or a table
    #[arg(value_name = "RUN")]
    pub before: String,
    /// The second run
    #[arg(value_name = "RUN")]
    pub after: String,
    /// State.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// `history`.
#[derive(Debug, Args)]
pub struct HistoryArgs {
    /// `schema.table` or `table`, or a run of it; the runs of all tables where none is named
    #[arg(value_name = "TABLE")]
    pub table: Option<String>,
    /// Most runs that are listed: the newest
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// State.
    #[command(flatten)]
    pub store: StoreArgs,
}

/// `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// `schema.table` or `table`, or a run of it
    #[arg(value_name = "TABLE")]
    pub table: String,
    /// From how many hours on a profile is stale
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    pub profile_stale_hours: u64,
    /// DEGRADED where the newest published data is older than this: 90m, 26h, 7d
    #[arg(long, value_name = "AGE", value_parser = crate::model::moment::length)]
    pub max_age: Option<u64>,
    /// State.
    #[command(flatten)]
    pub store: StoreArgs,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn long_help(path: &[&str]) -> String {
        let mut command = Cli::command();
        command.build();
        let mut at = &mut command;
        for name in path {
            at = at.find_subcommand_mut(name).expect("a known command");
        }
        at.render_long_help().to_string()
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_teaches_by_example() {
        for name in [
            "run",
            "replay",
            "plan",
            "profile",
            "benchmark",
            "demo",
            "doctor",
            "verify",
            "files",
            "history",
            "diagnose",
            "inspect",
            "diff",
            "explain",
            "metrics",
            "report",
            "state",
            "config",
            "completions",
            "man",
        ] {
            let help = long_help(&[name]);
            assert!(help.contains("Examples:"), "{name} has no examples");
            assert!(help.contains(&format!("$ ixtract {name}")), "{name}");
        }
    }

    #[test]
    fn the_long_help_lists_every_exit_code_and_variable() {
        let help = long_help(&[]);
        for (code, meaning) in crate::error::ExitCode::TABLE {
            assert!(help.contains(&format!("{:>5}  {meaning}", code.code())));
        }
        for (name, meaning) in VARIABLES {
            assert!(help.contains(name), "{name} is not in --help");
            assert!(help.contains(meaning), "{name}'s meaning is not in --help");
        }
    }

    #[test]
    fn a_plan_decides_what_flags_would_otherwise() {
        let words = ["ixtract", "run", "--plan", "p.json", "--workers", "2"];
        let error = Cli::try_parse_from(words).expect_err("conflict");
        assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict);
        Cli::try_parse_from(["ixtract", "run", "--plan", "p.json", "--output", "o"])
            .expect("an output goes with a plan");
    }

    #[test]
    fn a_table_or_a_plan_is_needed() {
        assert!(Cli::try_parse_from(["ixtract", "run"]).is_err());
        assert!(Cli::try_parse_from(["ixtract", "profile"]).is_err());
    }

    #[test]
    fn what_this_version_cannot_do_says_what_it_can() {
        let tries: [(&[&str], &str); 4] = [
            (&["--format", "avro"], "csv"),
            (&["--output", "ftp://b/x"], "s3://"),
            (&["--compression", "brotli"], "zstd"),
            (&["--type", "a=float7"], "float64"),
        ];
        for (flags, says) in tries {
            let words = ["ixtract", "run", "t"].iter().chain(flags);
            let error = Cli::try_parse_from(words).expect_err("refused").to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
