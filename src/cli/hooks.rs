//! `--on-success` and `--on-failure`: a command of the user's, told how the run ended.
//!
//! It runs when everything is over and released: the dataset, the history, the sessions. Whatever becomes
//! of it, the run's own exit code stays. Its environment is ours, so it holds what the user put there and
//! nothing else but the names below; its standard output goes to stderr, because stdout has the one
//! document of `--json`.

use std::convert::Infallible;
use std::os::fd::AsFd;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

use super::context::Context;
use crate::model::RunId;

/// How long a command that was asked to end may take to do so.
const PARTING: Duration = Duration::from_secs(2);

/// What a command is told.
#[derive(Debug)]
pub(super) struct Told<'a> {
    /// The run.
    pub(super) run: &'a RunId,
    /// The table, as the user names it.
    pub(super) table: &'a str,
    /// The exit code of the run.
    pub(super) exit: u8,
    /// The document of `--json`.
    pub(super) document: Vec<u8>,
}

/// Runs the command of a flag, for at most `limit`. A signal that comes meanwhile ends it.
pub(super) async fn run(
    context: &Context,
    (flag, command): (&str, &str),
    limit: Duration,
    told: Told<'_>,
) {
    context
        .printer
        .detail(&format!("running the command of {flag}"));
    if let Err(why) = ended(context, command, limit, told).await {
        context.printer.warn(&format!(
            "the command of {flag} {why}; the run is as it was"
        ));
    }
}

/// The words after "the command" where it did not end well.
async fn ended(
    context: &Context,
    command: &str,
    limit: Duration,
    told: Told<'_>,
) -> Result<(), String> {
    // Before the command is there: a signal from then on is for the command.
    let asked_before = context.interrupt.failure().is_some();
    let mut child = start(command, &told).map_err(|error| format!("cannot be started: {error}"))?;
    let group = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(Pid::from_raw);
    let _guard = context.interrupt.takes_along(group);
    let token = context.interrupt.token();
    let why = tokio::select! {
        status = fed(&mut child, &told.document) => return judged(status),
        () = tokio::time::sleep(limit) => format!("took longer than {} s and was ended", limit.as_secs_f64()),
        // A signal that ended the run is what the command is told of; another one is for itself.
        () = token.cancelled(), if !asked_before => "was ended by a signal".to_owned(),
    };
    signal(group, Signal::TERM);
    if tokio::time::timeout(PARTING, child.wait()).await.is_err() {
        signal(group, Signal::KILL);
    }
    Err(why)
}

fn start(command: &str, told: &Told<'_>) -> std::io::Result<Child> {
    let to_stderr = std::io::stderr().as_fd().try_clone_to_owned()?;
    Command::new("sh")
        .arg("-c")
        .arg(command)
        .env("IXTRACT_HOOK_RUN", told.run.as_str())
        .env("IXTRACT_HOOK_TABLE", told.table)
        .env("IXTRACT_HOOK_EXIT", told.exit.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::from(to_stderr))
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

/// Hands the document over and waits for the end, whether or not all of it is read.
async fn fed(child: &mut Child, document: &[u8]) -> std::io::Result<ExitStatus> {
    let input = child.stdin.take();
    let feed = async move {
        if let Some(mut input) = input {
            // A command need not read what it is told.
            let _ = input.write_all(document).await;
        }
        std::future::pending::<Infallible>().await
    };
    tokio::select! {
        status = child.wait() => status,
        never = feed => match never {},
    }
}

fn judged(status: std::io::Result<ExitStatus>) -> Result<(), String> {
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("failed: {status}")),
        Err(error) => Err(format!("cannot be waited for: {error}")),
    }
}

fn signal(group: Option<Pid>, signal: Signal) {
    if let Some(group) = group {
        // Already gone is as good as ended.
        let _ = kill_process_group(group, signal);
    }
}
