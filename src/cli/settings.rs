//! From raw flags to settled values: a flag wins over the environment, the environment over a
//! default. What a configuration file says is among the flags by now (`super::config`).
//!
//! This is the only reader of the process's environment; everything below takes an
//! [`Environment`], so that precedence is tested without touching the process.

mod cost;
mod environment;
mod format;
mod hints;
mod libpq;
mod option_file;
mod place;
mod store;
mod template;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use cost::rates;
pub use environment::Environment;
pub use hints::hints;
pub use store::ObjectStoreSettings;
pub use template::{Names, above_tables, check as check_output, check_several, directory, literal};

use super::args::{
    BenchmarkArgs, ColumnNames, OutputArgs, ProofName, SourceArgs, StateArgs, TableArgs, TypeArgs,
    WindowArgs, WorkArgs,
};
use crate::clock::SharedClock;
use crate::controller::within_run::ImpactBudget;
use crate::error::{ExitCode, Failure};
use crate::estimator::curve;
use crate::model::{
    Chunking, Consistency, FieldType, FormatOptions, Increment, Layout, OutputOptions, ProofLevel,
    RunId, RunRequest, Selection, SourceIdentity, SourceKind, TypeOptions, TypeOverride,
    WorkOptions,
};
use crate::source::ConnectOptions;
use crate::source::secrets::PasswordSource;
use crate::source::url::Target;
use crate::writer::store::Address;

/// Everything about the source, settled.
#[derive(Clone, Debug)]
pub struct SourceSettings {
    /// Where, as whom, with which secret and line.
    place: place::Place,
    /// `--source-name`.
    pub source_name: Option<String>,
    connect_timeout: Duration,
    statement_timeout: Duration,
    /// `--lock-wait-s`.
    pub lock_wait: Duration,
    /// `--max-blocking-s`.
    pub max_blocking: Duration,
    /// `--max-source-latency-ms`, `--max-replica-lag-s`, `--max-snapshot-age`.
    pub impact: ImpactBudget,
    /// `--allow-row-security`.
    pub allow_row_security: bool,
}

impl SourceSettings {
    /// Settles the source group. `planned` is the database of a given plan, which is the default
    /// for what flags and environment leave open.
    ///
    /// # Errors
    /// 64 when no source is named or its address is wrong, 78 for a wrong service file.
    pub fn settle(
        args: &SourceArgs,
        environment: &Environment,
        planned: Option<&SourceIdentity>,
    ) -> Result<Self, Failure> {
        let place = place::settle(args, environment, planned)?;
        let connect_timeout = args
            .connect_timeout_s
            .map(Duration::from_secs)
            .or(place.connect_timeout)
            .unwrap_or(Duration::from_secs(10));
        Ok(Self {
            place,
            source_name: args
                .source_name
                .clone()
                .or_else(|| planned.and_then(|identity| identity.name.clone())),
            connect_timeout,
            statement_timeout: Duration::from_secs(args.statement_timeout_s),
            lock_wait: Duration::from_secs(args.lock_wait_s),
            max_blocking: Duration::from_secs(args.max_blocking_s),
            impact: ImpactBudget {
                latency: args.max_source_latency_ms.map(Duration::from_millis),
                replica_lag: args.max_replica_lag_s.map(Duration::from_secs),
                snapshot_age: args.max_snapshot_age.map(Duration::from_secs),
            },
            allow_row_security: args.allow_row_security,
        })
    }

    /// The database as it is told to others: its name, where it has one, else its address. No secrets, and
    /// no user.
    pub fn shown(&self) -> String {
        let server = |kind: SourceKind, host: &str, port: u16, database: &str| {
            format!("{kind}://{host}:{port}/{database}")
        };
        match (&self.source_name, &self.place.target) {
            (Some(name), _) => name.clone(),
            (None, Target::Postgres(at)) => {
                server(SourceKind::PostgreSql, &at.host, at.port, &at.database)
            }
            (None, Target::Mysql(at)) => server(SourceKind::Mysql, &at.host, at.port, &at.database),
            (None, Target::SqlServer(at)) => {
                server(SourceKind::SqlServer, &at.host, at.port, &at.database)
            }
            (None, Target::Sqlite(file)) => format!("sqlite:{}", file.display()),
        }
    }

    /// What a person should know of the secrets, where there is anything.
    pub fn caution(&self) -> Option<String> {
        let PasswordSource::File(path) = &self.place.password else {
            return None;
        };
        let metadata = std::fs::metadata(path).ok()?;
        let open = metadata.is_file() && metadata.permissions().mode() & 0o004 != 0;
        open.then(|| {
            format!(
                "everybody on this machine may read the password file {}; chmod 600 keeps others out",
                path.display()
            )
        })
    }

    /// What a connection needs; `run` names the run to the server.
    pub fn connect(&self, run: Option<RunId>, clock: SharedClock) -> ConnectOptions {
        ConnectOptions {
            target: self.place.target.clone(),
            password: self.place.password.clone(),
            source_name: self.source_name.clone(),
            run,
            connect_timeout: self.connect_timeout,
            statement_timeout: self.statement_timeout,
            lock_wait: self.lock_wait,
            clock,
        }
    }
}

/// The columns and rows that are asked for, parameters filled in.
///
/// # Errors
/// 64 when a parameter is unknown or unused.
pub fn selection(args: &TableArgs) -> Result<Selection, Failure> {
    let [filter, query] = filled([&args.filter, &args.query], &args.params)?;
    Ok(Selection {
        columns: every(&args.columns),
        exclude: every(&args.exclude_columns),
        filter_template: args.filter.clone(),
        filter,
        query_template: args.query.clone(),
        query,
    })
}

/// The templates of `--where` and `--query`, filled in.
///
/// # Errors
/// 64 when a parameter is unknown or unused.
pub fn filled(
    [filter, query]: [&Option<String>; 2],
    params: &[(String, String)],
) -> Result<[Option<String>; 2], Failure> {
    template::fill_parameters([("--where", filter), ("--query", query)], params)
}

/// The names of a flag that was repeated.
fn every(lists: &[ColumnNames]) -> Vec<String> {
    lists.iter().flat_map(|list| list.0.clone()).collect()
}

/// How columns are mapped.
///
/// # Errors
/// 64 for a column that `--type` and `--lossy` both name.
pub fn types(args: &TypeArgs) -> Result<TypeOptions, Failure> {
    let both = args
        .overrides
        .iter()
        .find(|(column, _)| args.lossy.iter().any(|(lossy, _)| lossy == column));
    if let Some((column, _)) = both {
        return Err(Failure::new(
            ExitCode::Usage,
            format!("--type and --lossy both name {column}"),
            "one writes its values exactly, the other need not",
            "pass one of the two",
        ));
    }
    let overrides = |wanted: &[(String, FieldType)], lossy| {
        let wanted = wanted.iter().map(|(column, field)| TypeOverride {
            column: column.clone(),
            field: field.clone(),
            lossy,
        });
        wanted.collect::<Vec<_>>()
    };
    let mut options = TypeOptions {
        mode: args.types,
        overrides: overrides(&args.overrides, false),
        ..TypeOptions::default()
    };
    options.overrides.extend(overrides(&args.lossy, true));
    for (column, rule) in &args.on_unrepresentable {
        match column {
            Some(column) => options.exceptions.push((column.clone(), *rule)),
            None => options.on_unrepresentable = *rule,
        }
    }
    Ok(options)
}

/// The window that is asked for, if one is.
pub fn increment(args: &WindowArgs) -> Option<Increment> {
    args.incremental.as_ref().map(|column| Increment {
        column: column.clone(),
        from: args.from.clone(),
        until: args.until.clone(),
        lag: args.lag.unwrap_or_default(),
        include_nulls: args.include_nulls.is_some(),
        backfill: args.every.clone().filter(|_| args.backfill),
        fixed: None,
    })
}

/// A whole request. The output directory is still a template, which [`directory`] fills when the
/// table is known.
///
/// # Errors
/// 64 for flags that contradict each other.
pub fn request(
    table: &str,
    args: &TableArgs,
    type_args: &TypeArgs,
    work: &WorkArgs,
    output: &OutputArgs,
) -> Result<RunRequest, Failure> {
    Ok(RunRequest {
        table: table.to_owned(),
        selection: selection(args)?,
        types: types(type_args)?,
        work: work_options(work)?,
        output: output_options(output)?,
        increment: None,
        hints: None,
    })
}

/// The request that a benchmark cuts a table by: nothing is asked for but the table.
///
/// # Errors
/// 64 for a grid of one number, and those of [`selection`] and [`types`].
pub fn probing(args: &BenchmarkArgs) -> Result<RunRequest, Failure> {
    if curve::grid(&args.worker_grid, curve::MOST_WORKERS).len() < curve::LEAST_POINTS {
        return Err(Failure::new(
            ExitCode::Usage,
            "--worker-grid names one number of workers",
            "a benchmark compares at least two",
            "name two or more, such as 1,2,4,8",
        ));
    }
    Ok(RunRequest {
        table: args.selection.subject(args.table.as_deref()).to_owned(),
        selection: selection(&args.selection)?,
        types: types(&args.types)?,
        work: WorkOptions {
            workers: None,
            start_workers: None,
            min_workers: 1,
            max_workers: args.max_workers,
            explore: false,
            chunking: Chunking::Auto,
            chunk_rows: None,
            consistency: Consistency::Auto,
            proof: ProofLevel::Stream,
        },
        output: OutputOptions {
            directory: String::new(),
            format: FormatOptions::default(),
            layout: Layout::Replace,
            keep: 0,
        },
        increment: None,
        hints: None,
    })
}

fn work_options(args: &WorkArgs) -> Result<WorkOptions, Failure> {
    if args.min_workers > args.max_workers {
        return Err(Failure::new(
            ExitCode::Usage,
            "--min-workers is above --max-workers",
            format!("{} is more than {}", args.min_workers, args.max_workers),
            "lower --min-workers or raise --max-workers",
        ));
    }
    Ok(WorkOptions {
        workers: args.workers,
        start_workers: args.start_workers,
        min_workers: args.min_workers,
        max_workers: args.max_workers,
        explore: !args.no_explore,
        chunking: args.chunking,
        chunk_rows: args.chunk_rows,
        consistency: args.consistency,
        proof: match args.proof {
            ProofName::Full => ProofLevel::Full,
            ProofName::Count => ProofLevel::Count,
            ProofName::Stream => ProofLevel::Stream,
        },
    })
}

/// The output group; the directory is still a template.
///
/// # Errors
/// 64 when the template uses an unknown name, or options do not go with the format.
pub fn output_options(args: &OutputArgs) -> Result<OutputOptions, Failure> {
    template::check(args.place())?;
    Ok(OutputOptions {
        directory: args.place().to_owned(),
        format: format::settle(&args.format)?,
        layout: layout(args)?,
        keep: args.keep,
    })
}

/// The layout that is asked for; on an object store there is one only.
fn layout(args: &OutputArgs) -> Result<Layout, Failure> {
    match (Address::service_of(args.place()), args.layout) {
        (None, layout) => Ok(layout.unwrap_or_default()),
        (Some(_), None | Some(Layout::Runs)) => Ok(Layout::Runs),
        (Some(_), Some(Layout::Replace)) => Err(Failure::new(
            ExitCode::Usage,
            "--layout replace does not go with an object store",
            "a store has no directories that could be exchanged in one step",
            "leave --layout out: stores keep each run's files under _runs/",
        )),
    }
}

/// Where the history lives, settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateSettings {
    /// The file; `None` when nothing says where, which is a warning or, with `required`, an error.
    pub file: Option<PathBuf>,
    /// `--state-required`.
    pub required: bool,
    /// `--scope`.
    pub scope: Option<String>,
}

impl StateSettings {
    /// The file is [`state_file`].
    pub fn settle(args: &StateArgs, environment: &Environment) -> Self {
        Self {
            file: state_file(args.state.as_deref(), environment),
            required: args.state_required,
            scope: args.scope.clone(),
        }
    }
}

/// The history's file: `--state`, `IXTRACT_STATE`, systemd's `STATE_DIRECTORY`, then XDG's
/// directory; `None` when nothing says where.
pub fn state_file(flag: Option<&Path>, environment: &Environment) -> Option<PathBuf> {
    if let Some(file) = flag {
        return Some(file.to_owned());
    }
    if let Some(file) = environment.path("IXTRACT_STATE") {
        return Some(file);
    }
    // systemd lists several directories with colons; the first is the unit's own.
    let systemd = environment.get("STATE_DIRECTORY");
    if let Some(first) = systemd.and_then(|list| list.split(':').next()) {
        return Some(PathBuf::from(first).join("state.db"));
    }
    // XDG: a relative path is to be ignored.
    let xdg = environment
        .path("XDG_STATE_HOME")
        .filter(|p| p.is_absolute());
    let base = xdg.or_else(|| Some(environment.path("HOME")?.join(".local/state")))?;
    Some(base.join("ixtract/state.db"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::{Cli, Command, RunArgs};
    use crate::model::FormatOptions;
    use clap::Parser;

    fn run_args(flags: &[&str]) -> RunArgs {
        let words = ["ixtract", "run", "t"].iter().chain(flags);
        match Cli::try_parse_from(words).expect("valid flags").command {
            Command::Run(args) => args,
            other => panic!("{other:?} is not run"),
        }
    }

    fn request_of(flags: &[&str]) -> Result<RunRequest, Failure> {
        let args = run_args(flags);
        request("t", &args.selection, &args.types, &args.work, &args.output)
    }

    fn state_of(flags: &[&str], variables: &[(&str, &str)]) -> Option<PathBuf> {
        StateSettings::settle(&run_args(flags).state, &Environment::of(variables)).file
    }

    #[test]
    fn the_history_is_where_flag_environment_and_conventions_say_in_this_order() {
        let mut variables = vec![
            ("IXTRACT_STATE", "/1"),
            ("STATE_DIRECTORY", "/2:/other"),
            ("XDG_STATE_HOME", "/3"),
            ("HOME", "/4"),
        ];
        assert_eq!(state_of(&["--state", "/0"], &variables), Some("/0".into()));
        for want in [
            "/1",
            "/2/state.db",
            "/3/ixtract/state.db",
            "/4/.local/state/ixtract/state.db",
        ] {
            assert_eq!(state_of(&[], &variables), Some(want.into()));
            variables.remove(0);
        }
        assert_eq!(state_of(&[], &[]), None);
        assert_eq!(
            state_of(&[], &[("XDG_STATE_HOME", "relative"), ("HOME", "/h")]),
            Some("/h/.local/state/ixtract/state.db".into())
        );
    }

    #[test]
    fn defaults_are_the_documented_ones() {
        let request = request_of(&[]).expect("valid");
        assert_eq!(request.output.directory, "out/{schema}.{table}");
        assert_eq!(request.output.format, FormatOptions::default());
        assert_eq!((request.work.min_workers, request.work.max_workers), (1, 8));
        assert_eq!(request.work.proof, ProofLevel::Count);
        let source = run_args(&[]).source;
        assert_eq!((source.lock_wait_s, source.max_blocking_s), (6, 30));
    }

    #[test]
    fn the_template_of_a_filter_is_kept_beside_its_text() {
        let request = request_of(&["--where", "day = '{day}'", "--param", "day=2026-01-31"]);
        let selection = request.expect("valid").selection;
        assert_eq!(selection.filter_template.as_deref(), Some("day = '{day}'"));
        assert_eq!(selection.filter.as_deref(), Some("day = '2026-01-31'"));
    }

    #[test]
    fn contradictions_are_usage_errors() {
        for flags in [
            &["--min-workers", "4", "--max-workers", "2"][..],
            &["--output", "out/{tabel}"],
            &["--where", "a = {x}", "--param", "y=1"],
        ] {
            let failure = request_of(flags).expect_err("refused");
            assert_eq!(failure.exit, ExitCode::Usage, "{failure}");
        }
    }
}
