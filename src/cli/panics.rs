//! A panic is a bug of ours; the user sees three lines, never a backtrace.
//!
//! The hook only remembers: a panic of a worker's thread is reported by the engine as an error, so
//! that the run still ends in order, and one of the main thread is caught here.

use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook};
use std::sync::{Mutex, PoisonError};

use crate::error::{ExitCode, Failure};

/// The first panic, in one line.
static FIRST: Mutex<Option<String>> = Mutex::new(None);

/// The result of `work`, or exit code 70 with the panic's own words.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    set_hook(Box::new(remember));
    // Nothing of what `work` holds is used after a panic.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Err(failure)) if failure.exit == ExitCode::Bug => Err(explained(failure)),
        Ok(result) => result,
        Err(_) => Err(explained(Failure::new(
            ExitCode::Bug,
            "ixtract has a bug and stopped",
            "it panicked",
            "report it with this message and the command line; the next run cleans up",
        ))),
    }
}

fn remember(info: &PanicHookInfo<'_>) {
    let words = info.payload_as_str().unwrap_or("a panic without words");
    let line = words.lines().next().unwrap_or_default();
    let text = match info.location() {
        Some(place) => format!("{line} ({}:{})", place.file(), place.line()),
        None => line.to_owned(),
    };
    FIRST
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get_or_insert(text);
}

/// A failure of exit code 70, with the first panic's words where there was one.
fn explained(failure: Failure) -> Failure {
    let first = FIRST.lock().unwrap_or_else(PoisonError::into_inner).take();
    match first {
        Some(why) => Failure { why, ..failure },
        None => failure,
    }
}
