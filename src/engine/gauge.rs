//! What a worker shows while it works: to progress, and to whoever looks at what the server does
//! meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::model::WaitedFor;
use crate::source::Occupation;

/// One worker's running totals of the attempt in hand, for progress.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    pub(super) rows: AtomicU64,
    pub(super) bytes: AtomicU64,
    /// The server's number of the session in use; 0 of none.
    session: AtomicU64,
    /// The worker waits for the source at this moment.
    waiting: AtomicBool,
    /// Looks at it while it waited that found the server at work, and that found it waiting for us.
    looks: [AtomicU32; 2],
}

impl Gauge {
    /// Forgets the rows of an attempt that is over.
    pub(super) fn clear(&self) {
        self.rows.store(0, Ordering::Relaxed);
    }

    /// The session that the worker reads in from now on, by the server's number.
    pub(super) fn set_session(&self, number: Option<u64>) {
        self.session.store(number.unwrap_or(0), Ordering::Relaxed);
    }

    /// From now on until the guard is dropped the worker waits for the source.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waiting.store(true, Ordering::Relaxed);
        Waiting(&self.waiting)
    }

    /// The session that the worker waits for at this moment, if it does.
    pub(super) fn waits_for(&self) -> Option<u64> {
        let session = self.session.load(Ordering::Relaxed);
        (session != 0 && self.waiting.load(Ordering::Relaxed)).then_some(session)
    }

    /// Takes down what the server did while the worker waited.
    pub(super) fn found(&self, occupation: Occupation) {
        let [server, network] = &self.looks;
        let count = match occupation {
            Occupation::AtWork => server,
            Occupation::WaitingForUs => network,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// What was found since it was last asked.
    pub(super) fn take_waits(&self) -> WaitedFor {
        let [server, network] = self
            .looks
            .each_ref()
            .map(|count| count.swap(0, Ordering::Relaxed));
        WaitedFor { server, network }
    }
}

/// A worker waits for the source while this lives.
pub(super) struct Waiting<'a>(&'a AtomicBool);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
