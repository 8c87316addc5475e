//! Where workers run.
//!
//! A worker decodes and encodes for milliseconds at a time without yielding. On a shared runtime two
//! of them would starve signals, heartbeats and the dispatcher on a machine of two cores; so each
//! gets a thread with a runtime of its own, on which its session's connection lives too: bytes go
//! from the socket to the file without changing threads. A simulation on tokio's paused clock runs
//! the same workers as tasks.

use std::future::Future;

use tokio::sync::oneshot;

/// Where workers run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerHost {
    /// A thread a worker, each with a current-thread runtime.
    Threads,
    /// Tasks of the caller's runtime.
    Inline,
}

impl WorkerHost {
    /// Starts a worker. The receiver resolves when it ended by itself; when it panicked, or its
    /// thread could not be started, the sender is dropped and the receiver gives an error.
    pub(crate) fn start<F>(self, number: u32, worker: F) -> oneshot::Receiver<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (done, ended) = oneshot::channel();
        match self {
            Self::Inline => {
                tokio::spawn(async move {
                    worker.await;
                    let _ = done.send(());
                });
            }
            Self::Threads => {
                let body = move || {
                    let runtime = tokio::runtime::Builder::new_current_thread()
                        .enable_all()
                        .build();
                    match runtime {
                        Ok(runtime) => {
                            runtime.block_on(worker);
                            let _ = done.send(());
                        }
                        Err(error) => tracing::error!(%error, "a worker's runtime did not start"),
                    }
                };
                let thread = std::thread::Builder::new()
                    .name(format!("ixtract-worker-{number}"))
                    .spawn(body);
                if let Err(error) = thread {
                    tracing::error!(%error, "a worker's thread did not start");
                }
            }
        }
        ended
    }
}
