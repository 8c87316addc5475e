//! The integration tests: one binary, so that everything is linked once.
//!
//! `tests/run` installs the tools, starts the servers and then runs these. Started without it, a
//! test that needs a server or a reader fails and says so; nothing is ever skipped.

// What the tests stand on.
mod browser; // A page as a browser shows it.
mod extraction; // A table, the directory it is extracted to, and what came out.
mod gate; // Stops readers in the middle of their rows until the test lets them go.
mod ixtract; // The real program, started in a home of its own.
mod proxy; // A network that is slow, hangs or breaks.
mod published; // What one run published, and what it left.
mod random; // Data that follows from a seed.
mod readers; // Parquet read back by other people's code.
mod servers; // PostgreSQL, shared by all tests or private to one.
mod versions; // A table whose rows say which version of it they are of.

// The tests.
mod benchmark; // Sessions that read at the same time, and what the next plan makes of it.
mod budget; // Processes keep within a number of sessions together.
mod circumstances; // What a run's circumstances were, and what the next estimate makes of them.
mod cli; // Three-line failures, exit codes, --json, names, privileges, secrets, state, plans.
mod config; // ixtract.toml: found, taken, shown, refused.
mod connect; // TLS, certificates, sockets, services, poolers, and servers that are nearly full.
mod consistency; // One point in time while others write, alter, block and terminate.
mod cost; // What runs cost by the user's rates.
mod crash; // Killed at every step of publishing and in mid-read; stopped by signals.
mod csv; // CSV as PostgreSQL, Python and DuckDB read it.
mod demo; // The tour.
mod diagnosis; // What runs are put down to, by causes that are brought about.
mod diff; // What changed between two runs.
mod docs; // README.md says what --help says, and back.
mod doctor; // What would stand in a run's way, and the fix that helps.
mod drift; // Columns that changed since the last published run.
mod explain; // Runs explained and measured from the store alone.
mod faults; // What goes wrong outside, and what is done about it.
mod first_release; // Files of the first version.
mod full; // What the server has of every chunk, against the files read back.
mod fuzz; // Bytes that nobody sane would send.
mod hints; // What the user knows of the circumstances lowers what a run takes.
mod impact; // Workers make room when the source slows down, and come back.
mod keeping; // The history backed up, checked, pruned, moved, rebuilt, and read where it is read-only.
mod keys; // Every row once, whatever the keys are like.
mod kinds; // Every kind of table, and every name.
mod learning; // Runs teach how many workers to use.
mod mysql; // MySQL and MariaDB: types, one point in time, rights, keys, ways to a server.
mod overlap; // Two runs of one dataset: the second says so, waits, or takes over from the dead.
mod postmortem; // What is told of runs that are over.
mod profile; // What is known without reading the table.
mod publish; // Datasets are replaced whole; readers race, disks are full, files are foreign.
mod releases; // PostgreSQL from the oldest to the newest.
mod replay; // Stored plans are executed again, exactly, or not at all.
mod report; // The page of a run and its history, in a browser.
mod resume; // Unfinished runs are gone on with.
mod rotation; // A chunk's rows in files of a bounded size.
mod roundtrip; // Every type, value by value.
mod selections; // Queries, columns, conditions and parameters.
mod sink_contract; // What every sink promises.
mod soak; // Many runs with faults from a seed, while others write and read.
mod source_contract; // What every source promises.
mod sqlserver; // SQL Server, by a peer that speaks its protocol: types, one point in time, rights, keys.
mod state; // What is remembered, and for whom.
mod stores; // Object stores: publish, race, crash, fail.
mod tidy; // Who may know whom, and how long a file may be.
mod windows; // Incremental windows: every row in exactly one, whatever happens from night to night.

/// What `tests/run` found out about this machine.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where tests read the environment"
)]
fn setting(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: start the tests with `tests/run`"))
}

/// What the caller of `tests/run` may choose.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place where tests read the environment"
)]
fn setting_or(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}
