//! What every command has at hand.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;

use super::events::Events;
use super::settings::Environment;
use super::signals::Interrupt;
use crate::clock::{SharedClock, System};
use crate::error::{ExitCode, Failure};
use crate::model::RunId;
use crate::ui::Printer;

/// The outside world of a command.
pub(super) struct Context {
    /// Where it talks.
    pub(super) printer: Printer,
    /// The environment.
    pub(super) environment: Environment,
    /// The time.
    pub(super) clock: SharedClock,
    /// SIGINT and SIGTERM.
    pub(super) interrupt: Interrupt,
    /// Where events go, once somebody wants them.
    events: OnceLock<Events>,
}

impl Context {
    /// Takes hold of the outside world; inside a tokio runtime.
    pub(super) fn new(printer: Printer, environment: Environment) -> Result<Self, Failure> {
        start_log(&printer, &environment);
        Ok(Self {
            interrupt: Interrupt::listen(&printer)?,
            printer,
            environment,
            clock: System::shared(),
            events: OnceLock::new(),
        })
    }

    /// Has events go there from now on, unless they go somewhere already.
    pub(super) fn listen(&self, events: Events) {
        self.events.get_or_init(|| events);
    }

    /// Where events go.
    pub(super) fn events(&self) -> Events {
        self.events.get().cloned().unwrap_or_default()
    }

    /// Does work that keeps a thread busy, on one of its own; a signal ends the wait for it.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let work = tokio::task::spawn_blocking(work);
        let result = async {
            match work.await {
                Ok(result) => result,
                Err(error) => Err(Failure::new(
                    ExitCode::Bug,
                    "ixtract has a bug and stopped",
                    error.to_string(),
                    "report it with this message and the command line",
                )),
            }
        };
        self.interrupt.or(result).await
    }

    /// A new run's id.
    pub(super) fn run_id(&self) -> RunId {
        // The low half: as random as the whole.
        RunId::new(self.clock.now(), entropy() as u32)
    }
}

/// Random bits: the standard library seeds its hasher from the operating system; the process id
/// keeps two processes apart even if that were not so.
pub(super) fn entropy() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}

/// `IXTRACT_LOG`, else `debug` of our own under `--verbose`, else nothing.
fn start_log(printer: &Printer, environment: &Environment) {
    let manner = printer.manner();
    let filter = match environment.get("IXTRACT_LOG") {
        Some(filter) => filter,
        None if manner.verbose => "ixtract=debug",
        None => return,
    };
    match tracing_subscriber::EnvFilter::try_new(filter) {
        Ok(filter) => {
            let printer = printer.clone();
            // A second subscriber in one process (a test) is no reason to fail.
            let _ = tracing_subscriber::fmt()
                .with_env_filter(filter)
                .with_ansi(false)
                .without_time()
                .with_writer(move || printer.log())
                .try_init();
        }
        Err(error) => printer.warn(&format!("IXTRACT_LOG is not understood: {error}")),
    }
}
