//! The long texts of `--help`: what teaches.

use super::variables::VARIABLES;
use crate::error::ExitCode;

/// What a plan has already decided; such flags do not go with `--plan`.
pub(super) const DECIDED_BY_PLAN: [&str; 41] = [
    "table",
    "query",
    "name",
    "columns",
    "exclude_columns",
    "filter",
    "params",
    "incremental",
    "format",
    "compression",
    "max_file_size",
    "row_group_rows",
    "row_group_bytes",
    "csv_null",
    "csv_delimiter",
    "csv_quote_all",
    "csv_no_header",
    "types",
    "overrides",
    "lossy",
    "on_unrepresentable",
    "workers",
    "start_workers",
    "min_workers",
    "max_workers",
    "chunking",
    "chunk_rows",
    "consistency",
    "proof",
    "max_source_connections",
    "max_memory_mb",
    "network_quality",
    "source_load",
    "concurrent_extractions",
    "source_maintenance",
    "priority",
    "target_duration",
    "egress_budget_mb",
    "maintenance_window",
    "disk_available_gb",
    "context_file",
];

/// What the plan of an unfinished run has already decided; such flags do not go with `--resume`. A table
/// says which run, and a consistency may be asked for that no resumed run has.
pub(super) fn decided_by_run() -> Vec<&'static str> {
    let decided = DECIDED_BY_PLAN.into_iter().chain(["plan"]);
    decided
        .filter(|flag| !["table", "consistency"].contains(flag))
        .collect()
}

pub(super) const LONG_ABOUT: &str = "\
Copy tables out of databases into Parquet or CSV: exactly, gently, and faster with every run.

A run reads one point in time of a PostgreSQL (13 or later) or SQLite table with several workers, \
proves that every row arrived, and replaces the dataset in one step: readers see the old version \
or the new one. What each run took is remembered, and the next plan is made from it.";

pub(super) const RUN_ABOUT: &str = "\
Extract a table and publish it as one proven dataset.

Profiles the table without scanning it, plans chunks and workers, shows the plan and its verdict, \
reads all chunks in one snapshot, proves completeness, and exchanges the dataset's directory in \
one step. When anything fails, nothing is published and the old version stays untouched.";

pub(super) const RUN_EXAMPLES: &str = "\
Examples:
  The whole table, into out/public.orders:
  $ ixtract run public.orders --source postgresql://etl@db.example.com/shop

  Some columns and rows, as zstd, into a directory of its own for each day:
  $ ixtract run orders --source sqlite:shop.db --columns id,placed_on,total \\
      --where \"placed_on = '{day}'\" --param day=2026-01-31 \\
      --compression zstd --output 'lake/{table}/{date}'

  As compressed CSV that PostgreSQL's COPY … CSV HEADER reads back:
  $ ixtract run public.orders --source postgresql://etl@db.example.com/shop \\
      --format csv --compression gzip

  Every table of a schema but some, all at one point in time, each to its own dataset:
  $ ixtract run 'public.*' 'sales.order?' --exclude '*_old' --output 'out/{schema}/{table}' \\
      --source postgresql://etl@db.example.com/shop

  Every night what is new, as a window after those before:
  $ ixtract run public.orders --source postgresql://etl@db.example.com/shop \\
      --incremental updated_at --lag 5m --output changes/orders

  To a bucket, with the credentials that AWS's own tools would use:
  $ ixtract run public.orders --source postgresql://etl@db.example.com/shop \\
      --output 's3://lake/{schema}.{table}' --keep 2

  From cron, machine-readable, the password from a secret store:
  $ ixtract run public.orders --json --quiet --password-command 'vault read -field=pw db/shop'

  Exactly the plan that was reviewed:
  $ ixtract plan public.orders --out plan.json
  $ ixtract run --plan plan.json";

pub(super) const REPLAY_ABOUT: &str = "\
Execute a run's stored plan again, exactly as it was decided.

Nothing is profiled, planned or learned: the table must still have the plan's columns, types and \
key, then the same chunks are read by as many workers, proved and published as ever. What was \
executed is compared with the plan, decision by decision, and the outcome with the original's. \
Replays are recorded and marked, and no later plan is made from them.";

pub(super) const REPLAY_EXAMPLES: &str = "\
Examples:
  The newest run of a table, into a directory of its own; user and password as for `run`:
  $ ixtract replay public.orders --output check/orders

  A certain run, by the last part of its id as `ixtract history` lists it:
  $ ixtract replay 1badbc4c --source postgresql://etl@db.example.com/shop

  Were the decisions the same, and how fast was it?
  $ ixtract replay last --json | jq '.same_decisions, .outcome'";

pub(super) const PLAN_ABOUT: &str = "\
Show what `run` would do, and why, without reading the table.

The plan has a fingerprint over everything that decides what is done: same inputs, same \
fingerprint, on any machine. Written with --out, it can be reviewed, kept, and executed as it is.";

pub(super) const PLAN_EXAMPLES: &str = "\
Examples:
  $ ixtract plan public.orders --source postgresql://etl@db.example.com/shop
  $ ixtract plan public.orders --workers 4 --chunk-rows 250000 --out plan.json
  $ ixtract plan public.orders --json | jq .plan.forecast

  What a busy afternoon leaves of it:
  $ ixtract plan public.orders --source-load high --max-source-connections 6";

pub(super) const PROFILE_ABOUT: &str = "\
Show what is known about a table without scanning it.

Rows and size from the catalogue or a bounded sample, columns and their mapping, keys and how \
their values are spread, latency, and free connections.";

pub(super) const PROFILE_EXAMPLES: &str = "\
Examples:
  $ ixtract profile public.orders --source postgresql://etl@db.example.com/shop
  $ ixtract profile orders --source sqlite:shop.db --json | jq .profile.statistics";

pub(super) const BENCHMARK_ABOUT: &str = "\
Measure how fast a table is read by different numbers of workers.

Reads two or three ranges of the table with 1, 2, 4 and 8 sessions at the same time, all in one \
snapshot, and drops the rows: nothing is written. The fewest workers within 5 % of the fastest are \
what the next plan takes, for a week, unless the table changes by a fifth or the measurements vary \
too much. The first clean run after it takes the curve up and learns on from there.";

pub(super) const BENCHMARK_EXAMPLES: &str = "\
Examples:
  $ ixtract benchmark public.orders --source postgresql://etl@db.example.com/shop
  $ ixtract benchmark public.orders --worker-grid 1,4,16 --max-workers 16 --json
  $ ixtract benchmark orders --source sqlite:shop.db --force";

pub(super) const DOCTOR_ABOUT: &str = "\
Look for whatever would stand in a run's way, with the exact fix.

Takes a run's source and output flags, and the table if there is one. Connects, looks at role, \
encryption, standby, poolers, limits, clock and free connections; describes the table and opens a \
snapshot of it with two sessions; writes a small file where the dataset goes and removes it; looks at \
the history. One line a check. Nothing is left behind.

Exits with 0 where all is well, with 1 where there are warnings, else with the code that a run would \
end with.";

pub(super) const DOCTOR_EXAMPLES: &str = "\
Examples:
  $ ixtract doctor public.orders --source postgresql://etl@db.example.com/shop
  $ ixtract doctor orders --source mysql://etl@db.example.com/shop --output 's3://lake/{table}'
  $ ixtract doctor --source sqlite:shop.db --json | jq '.checks[] | select(.outcome != \"good\")'";

pub(super) const DEMO_ABOUT: &str = "\
Make a small SQLite database and extract it: a tour in under a minute.

Fills a folder with a database of customers, orders and events (a few hundred thousand rows, \
skewed keys, NULLs, Unicode), extracts orders three times and the others once, and shows plan, \
progress, result, files, and what was learned. The runs go into the ordinary history.";

pub(super) const DEMO_EXAMPLES: &str = "\
Examples:
  $ ixtract demo
  $ ixtract demo --dir /tmp/tour --state /tmp/tour-state.db";

pub(super) const VERIFY_ABOUT: &str = "\
Check a published dataset against its manifest, without the database.

Every file's size, SHA-256, rows and schema are compared, and missing or extra files are named. \
Any difference ends with exit code 3.

With --source the rows of every window of an incremental dataset are counted again there, in one \
snapshot, and the windows are named whose rows are more or fewer by now: rows that were committed late, \
updated or deleted. Then the exit code is 1.";

pub(super) const VERIFY_EXAMPLES: &str = "\
Examples:
  $ ixtract verify out/public.orders
  $ ixtract verify out/public.orders --json | jq .rows

  Did anything come late into the windows that are published?
  $ ixtract verify out/public.orders --source postgresql://etl@db.example.com/shop";

pub(super) const FILES_ABOUT: &str = "\
List the files of a dataset's current version, one a line, in key order.

For readers that cannot follow a manifest, whatever the dataset's layout.";

pub(super) const FILES_EXAMPLES: &str = "\
Examples:
  $ ixtract files out/public.orders
  $ ixtract files out/public.orders | xargs ls -l";

pub(super) const EXPLAIN_ABOUT: &str = "\
Explain a run: what it did, why this many workers, why these chunks, why this estimate, and how it \
compares with the run before it.

Read from the history alone; no database is asked. With --standard the evidence is shown too: \
prediction and outcome, every chunk, a timeline with a lane for each worker, and the workers.";

pub(super) const EXPLAIN_EXAMPLES: &str = "\
Examples:
  $ ixtract explain
  $ ixtract explain public.orders --standard
  $ ixtract explain 1badbc4c --json | jq '.reasons[].words'";

pub(super) const METRICS_ABOUT: &str = "\
Show a run in numbers: average, best and worst speed of its chunks, their times and skew, what \
each worker did, and the totals.

Read from the history alone; no database is asked.";

pub(super) const METRICS_EXAMPLES: &str = "\
Examples:
  $ ixtract metrics
  $ ixtract metrics public.orders --json | jq '.chunks.skew, .effective_workers'";

pub(super) const DIFF_ABOUT: &str = "\
Say what changed between two runs: columns added, dropped, retyped or reordered, settings, hints, \
circumstances, version, chunks, workers, rows, bytes, and how it went.

Read from the history alone; no database is asked.";

pub(super) const DIFF_EXAMPLES: &str = "\
Examples:
  $ ixtract diff 1badbc4c last
  $ ixtract diff 1badbc4c 0ddba115 --json | jq '.differences[] | select(.aspect == \"schema\")'";

pub(super) const HISTORY_ABOUT: &str = "\
List the runs of a table, oldest first: how fast they were, and how they ended.

Read from the history alone; no database is asked. A run is named by its last part wherever a run \
is asked for.";

pub(super) const HISTORY_EXAMPLES: &str = "\
Examples:
  $ ixtract history public.orders
  $ ixtract history orders --limit 50 --json | jq '.runs[].throughput'
  $ ixtract history";

pub(super) const DIAGNOSE_ABOUT: &str = "\
Show where a run's time went, how it compares, and what can be done.

A run is put down to one of seven categories, by the numbers it left: under_parallel, \
over_parallel, stable, source_latency, data_skew, model_error, anomaly. It is compared with the \
clean runs before it in the same history, never with itself, nor with runs that were constrained, \
replayed or disturbed. Read from the history alone; no database is asked.";

pub(super) const DIAGNOSE_EXAMPLES: &str = "\
Examples:
  The last run, a table's last run, a run by the end of its id:
  $ ixtract diagnose
  $ ixtract diagnose public.orders
  $ ixtract diagnose 0badcafe --json | jq .finding.category";

pub(super) const INSPECT_ABOUT: &str = "\
Judge a table's runs: exits 0 HEALTHY, 1 NEEDS ATTENTION, 2 DEGRADED.

DEGRADED: the last run did not succeed, two of the last three were out of the ordinary, the speed fell \
by more than a fifth, or the newest published data is older than --max-age. NEEDS ATTENTION: one of the last three was, the profile is \
missing or stale, the number of workers is still searched for, or nothing has run yet. Read from \
the history alone; no database is asked.";

pub(super) const INSPECT_EXAMPLES: &str = "\
Examples:
  $ ixtract inspect public.orders
  $ ixtract inspect orders --profile-stale-hours 72 --json || alert

  Is the nightly extraction there? Exits 2 if not:
  $ ixtract inspect orders --max-age 26h";

pub(super) const STATE_ABOUT: &str = "\
Back up, check, prune, move or rebuild the history.

The history is one SQLite file. It may be in use meanwhile: a backup and an export are of one point in \
time. What the next plan looks at is never pruned. A history that is lost comes back from a backup or, \
as far as they know it, from the manifests of the datasets that were published.";

pub(super) const STATE_EXAMPLES: &str = "\
Examples:
  From cron, each night; the copy is checked before it takes its name:
  $ ixtract state backup /backup/ixtract.db --quiet

  Is it sound? Exits 78 with what is wrong if not:
  $ ixtract state check

  Half a year, and at least 100 runs of each table:
  $ ixtract state prune --older-than 180d --keep 100 --dry-run

  To another machine:
  $ ixtract state export - | ssh etl-2 ixtract state import -

  From what the datasets say, local and in buckets:
  $ ixtract state rebuild out s3://lake/public.orders";

/// Exit codes, variables and the order of precedence.
pub(super) fn after_long_help() -> String {
    use std::fmt::Write;
    let mut text = String::from("Exit codes:\n");
    for (code, meaning) in ExitCode::TABLE {
        let _ = writeln!(text, "{:>5}  {meaning}", code.code());
    }
    text.push_str("\nEnvironment (a flag wins over a variable, one of ours over ixtract.toml, that over a default):\n");
    for (name, meaning) in VARIABLES {
        // A few clouds' names are as long as two of the others'.
        let _ = match name.len() {
            ..=18 => writeln!(text, "  {name:<18} {meaning}"),
            _ => writeln!(text, "  {name}  {meaning}"),
        };
    }
    text.push_str(
        "\nA password never has to be in the command line: use IXTRACT_PASSWORD, --password-file, \
         --password-command, PGPASSWORD, ~/.pgpass, MYSQL_PWD or ~/.my.cnf.",
    );
    text
}
