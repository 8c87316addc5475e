//! Who is in a snapshot now: their server processes, what cancels them, and what they offer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_postgres::CancelToken;

/// The living sessions of one snapshot, oldest first.
#[derive(Default)]
pub(super) struct Registry(Mutex<Members>);

#[derive(Default)]
struct Members {
    next: u64,
    by_number: BTreeMap<u64, Member>,
    /// What cancels sessions that were dropped, perhaps in the middle of a statement: a server that
    /// waits for something itself does not notice that nobody listens any more.
    dropped: Vec<CancelToken>,
}

struct Member {
    pid: i32,
    export: Option<String>,
    cancel: CancelToken,
}

impl Registry {
    fn members(&self) -> MutexGuard<'_, Members> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a session; it leaves when the registration is dropped.
    pub(super) fn join(
        registry: &Arc<Registry>,
        pid: i32,
        export: Option<String>,
        cancel: CancelToken,
    ) -> Registration {
        let mut members = registry.members();
        let number = members.next;
        members.next += 1;
        members.by_number.insert(
            number,
            Member {
                pid,
                export,
                cancel,
            },
        );
        Registration {
            registry: Arc::clone(registry),
            number,
        }
    }

    /// Takes a session out.
    pub(super) fn remove(&self, number: u64) {
        self.members().by_number.remove(&number);
    }

    /// The oldest export that is still on offer.
    pub(super) fn offer(&self) -> Option<(u64, String)> {
        self.members()
            .by_number
            .iter()
            .find_map(|(number, member)| Some((*number, member.export.clone()?)))
    }

    /// The server process of a session.
    fn pid(&self, number: u64) -> Option<i32> {
        self.members()
            .by_number
            .get(&number)
            .map(|member| member.pid)
    }

    /// The server processes of all sessions.
    pub(super) fn pids(&self) -> Vec<i32> {
        let members = self.members();
        members
            .by_number
            .values()
            .map(|member| member.pid)
            .collect()
    }

    /// What cancels all sessions, those that were dropped included.
    pub(super) fn cancel_tokens(&self) -> Vec<CancelToken> {
        let members = self.members();
        let living = members.by_number.values().map(|member| &member.cancel);
        living.chain(&members.dropped).cloned().collect()
    }
}

/// A session's place in the registry.
pub(super) struct Registration {
    registry: Arc<Registry>,
    number: u64,
}

impl Registration {
    /// The session's server process; `None` once it was taken out.
    pub(super) fn pid(&self) -> Option<i32> {
        self.registry.pid(self.number)
    }

    /// Leaves early: the session's transaction is over.
    pub(super) fn withdraw(&self) {
        self.registry.remove(self.number);
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut members = self.registry.members();
        if let Some(member) = members.by_number.remove(&self.number) {
            members.dropped.push(member.cancel);
        }
    }
}
