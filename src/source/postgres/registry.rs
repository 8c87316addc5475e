//! Who is in a snapshot now: their server processes, what cancels them, and what they offer.
//!
//! Where several relations share a point in time they share a registry too, each with a group of its
//! own: anybody may hand the snapshot on, but only its own sessions are cancelled with a relation's read.

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
    dropped: Vec<(u32, CancelToken)>,
    /// The group that comes next.
    groups: u32,
}

struct Member {
    group: u32,
    pid: i32,
    export: Option<String>,
    cancel: CancelToken,
}

impl Registry {
    fn members(&self) -> MutexGuard<'_, Members> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A group that nobody is in yet.
    pub(super) fn group(registry: &Arc<Registry>) -> Group {
        let mut members = registry.members();
        members.groups += 1;
        Group {
            registry: Arc::clone(registry),
            number: members.groups,
        }
    }

    /// Takes a session out.
    fn remove(&self, number: u64) {
        self.members().by_number.remove(&number);
    }

    /// The server process of a session.
    fn pid(&self, number: u64) -> Option<i32> {
        self.members()
            .by_number
            .get(&number)
            .map(|member| member.pid)
    }

    /// The server processes of all sessions, of every group.
    pub(super) fn pids(&self) -> Vec<i32> {
        let members = self.members();
        members
            .by_number
            .values()
            .map(|member| member.pid)
            .collect()
    }
}

/// The sessions of one relation's read.
pub(super) struct Group {
    registry: Arc<Registry>,
    number: u32,
}

impl Group {
    /// Enters a session; it leaves when the registration is dropped.
    pub(super) fn join(
        &self,
        pid: i32,
        export: Option<String>,
        cancel: CancelToken,
    ) -> Registration {
        let mut members = self.registry.members();
        let number = members.next;
        members.next += 1;
        members.by_number.insert(
            number,
            Member {
                group: self.number,
                pid,
                export,
                cancel,
            },
        );
        Registration {
            registry: Arc::clone(&self.registry),
            number,
        }
    }

    /// Takes a session out.
    pub(super) fn remove(&self, number: u64) {
        self.registry.remove(number);
    }

    /// The oldest export that is still on offer, whosever it is.
    pub(super) fn offer(&self) -> Option<(u64, String)> {
        self.registry
            .members()
            .by_number
            .iter()
            .find_map(|(number, member)| Some((*number, member.export.clone()?)))
    }

    /// The server processes of all sessions of the point in time.
    pub(super) fn pids(&self) -> Vec<i32> {
        self.registry.pids()
    }

    /// What cancels the group's sessions, those that were dropped included.
    pub(super) fn cancel_tokens(&self) -> Vec<CancelToken> {
        let members = self.registry.members();
        let living = members.by_number.values();
        let living = living.filter(|member| member.group == self.number);
        let living = living.map(|member| &member.cancel);
        let dropped = members.dropped.iter();
        let dropped = dropped.filter(|(group, _)| *group == self.number);
        let dropped = dropped.map(|(_, cancel)| cancel);
        living.chain(dropped).cloned().collect()
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
            members.dropped.push((member.group, member.cancel));
        }
    }
}
