//! SIGINT and SIGTERM: the first ends the work in order, the second ends the process.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::error::{ExitCode, Failure};
use crate::ui::Printer;

/// Knows whether somebody asked us to stop. Clones share the answer.
#[derive(Clone, Debug)]
pub(super) struct Interrupt {
    token: CancellationToken,
    /// The exit code that the signal asks for; 0 before there was one.
    exit: Arc<AtomicU8>,
    /// The process group that goes when we go at once; 0 where there is none.
    along: Arc<AtomicI32>,
}

/// While it lives, a process group goes when we go at once.
#[derive(Debug)]
pub(super) struct Along(Arc<AtomicI32>);

impl Drop for Along {
    fn drop(&mut self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

impl Interrupt {
    /// Listens from now on, on the current tokio runtime.
    pub(super) fn listen(printer: &Printer) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| {
            Failure::new(
                ExitCode::Failed,
                "cannot listen for signals",
                error.to_string(),
                "check the limits on open files",
            )
        };
        let mut interrupts = signal(SignalKind::interrupt()).map_err(failed)?;
        let mut terminations = signal(SignalKind::terminate()).map_err(failed)?;
        let interrupt = Self {
            token: CancellationToken::new(),
            exit: Arc::default(),
            along: Arc::default(),
        };
        let shared = interrupt.clone();
        let printer = printer.clone();
        tokio::spawn(async move {
            loop {
                let code = tokio::select! {
                    _ = interrupts.recv() => ExitCode::Interrupted,
                    _ = terminations.recv() => ExitCode::Terminated,
                };
                if shared.token.is_cancelled() {
                    // The user has asked twice: nothing is more important than to be gone. Staging
                    // is swept by the next run, and its look at the history marks this one crashed.
                    shared.end_along();
                    std::process::exit(code.code().into());
                }
                shared.exit.store(code.code(), Ordering::SeqCst);
                shared.token.cancel();
                printer.note("stopping in order; once more stops at once");
            }
        });
        Ok(interrupt)
    }

    /// The second signal ends this process group too, as long as the answer is kept.
    pub(super) fn takes_along(&self, group: Option<Pid>) -> Along {
        let raw = group.map_or(0, |group| group.as_raw_nonzero().get());
        self.along.store(raw, Ordering::SeqCst);
        Along(Arc::clone(&self.along))
    }

    fn end_along(&self) {
        if let Some(group) = Pid::from_raw(self.along.load(Ordering::SeqCst)) {
            // Already gone is as good as ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }

    /// Cancelled by the first signal.
    pub(super) fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// The failure to end with, once there was a signal.
    pub(super) fn failure(&self) -> Option<Failure> {
        let (exit, signal) = match self.exit.load(Ordering::SeqCst) {
            0 => return None,
            code if code == ExitCode::Terminated.code() => (ExitCode::Terminated, "SIGTERM"),
            _ => (ExitCode::Interrupted, "SIGINT"),
        };
        Some(Failure::new(
            exit,
            "stopped before the end",
            format!("{signal} asked for it"),
            "run the same command again",
        ))
    }

    /// The future's result, unless a signal comes first; the future is then dropped.
    pub(super) async fn or<T, E>(
        &self,
        future: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure>
    where
        Failure: From<E>,
    {
        tokio::select! {
            biased;
            () = self.token.cancelled() => Err(self.failure().unwrap_or_else(unknown_signal)),
            result = future => result.map_err(Failure::from),
        }
    }
}

/// The code is stored before the token is cancelled, so this is never seen.
fn unknown_signal() -> Failure {
    Failure::new(
        ExitCode::Interrupted,
        "stopped before the end",
        "a signal asked for it",
        "run the same command again",
    )
}
