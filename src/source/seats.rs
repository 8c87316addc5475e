//! The sessions that stand at one point in time, of servers that hand no snapshot on: none can be added
//! later. A session that is lost is replaced by the spare one, or not at all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

use super::SourceError;
use crate::error::Failure;
use crate::model::Fault;

/// A connection that a session reads on.
#[async_trait]
pub(super) trait Line: Send + 'static {
    /// The server's number of this connection.
    fn id(&self) -> u32;

    /// Whether it can take another statement.
    fn is_usable(&self) -> bool;

    /// Says goodbye.
    async fn close(self);
}

/// The sessions of one snapshot; the last one is the spare, on which the count runs.
pub(super) struct Seats<L> {
    all: Mutex<Vec<Arc<Seat<L>>>>,
    /// Those that no reader holds, by position; the next one to give away last.
    free: Mutex<Vec<usize>>,
    /// Connections that were dropped in the middle of an answer: a server that works on something
    /// does not notice that nobody listens any more.
    dropped: Mutex<Vec<u32>>,
    /// What the last session was lost of.
    cause: Mutex<Option<(Fault, String)>>,
}

/// A session, and whether it is still there.
pub(super) struct Seat<L> {
    id: u32,
    lost: AtomicBool,
    link: Arc<Lock<Option<L>>>,
}

/// A session while a statement of its holder runs on it.
pub(super) type Held<L> = OwnedMutexGuard<Option<L>>;

impl<L: Line> Seat<L> {
    fn new(link: L) -> Arc<Self> {
        Arc::new(Self {
            id: link.id(),
            lost: AtomicBool::new(false),
            link: Arc::new(Lock::new(Some(link))),
        })
    }

    /// Waits until nobody else uses the session; `None` when it is lost, which it is, too, when its
    /// last user gave up in the middle of an answer.
    pub(super) async fn take(&self) -> Option<Held<L>> {
        let mut held = Arc::clone(&self.link).lock_owned().await;
        let usable = held.as_ref().is_some_and(L::is_usable);
        if !usable || self.is_lost() {
            self.lost.store(true, Ordering::Release);
            *held = None;
            return None;
        }
        Some(held)
    }

    /// The session in whatever state it is, unless somebody uses it.
    pub(super) fn try_take(&self) -> Option<Held<L>> {
        Arc::clone(&self.link).try_lock_owned().ok()
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}

impl<L: Line> Seats<L> {
    /// The sessions of a snapshot, the spare one last.
    pub(super) fn new(links: Vec<L>) -> Self {
        let all: Vec<Arc<Seat<L>>> = links.into_iter().map(Seat::new).collect();
        // The spare is the first to lie there, so the last to be given away.
        let free = (0..all.len()).rev().collect();
        Self {
            free: Mutex::new(free),
            all: Mutex::new(all),
            dropped: Mutex::default(),
            cause: Mutex::default(),
        }
    }

    /// A session more, where each chunk has its own point in time, and who holds it.
    pub(super) fn add(&self, link: L) -> (usize, Arc<Seat<L>>) {
        let mut all = unpoisoned(&self.all);
        let seat = Seat::new(link);
        all.push(Arc::clone(&seat));
        (all.len() - 1, seat)
    }

    fn seats(&self) -> Vec<Arc<Seat<L>>> {
        unpoisoned(&self.all).clone()
    }

    /// A session that nobody reads in.
    pub(super) fn claim(&self) -> Option<(usize, Arc<Seat<L>>)> {
        let mut free = unpoisoned(&self.free);
        while let Some(at) = free.pop() {
            let seat = unpoisoned(&self.all).get(at).cloned();
            if let Some(seat) = seat.filter(|seat| !seat.is_lost()) {
                return Some((at, seat));
            }
        }
        None
    }

    /// Gives a session back.
    pub(super) fn release(&self, at: usize) {
        let mut free = unpoisoned(&self.free);
        free.push(at);
        // In order, so that the spare stays the last resort.
        free.sort_unstable_by(|one, other| other.cmp(one));
    }

    /// Ends a session whose statement failed, or was given up half-way: its point in time may be
    /// gone, and it must not be mistaken for another.
    pub(super) fn lose(&self, seat: &Seat<L>, mut held: Held<L>) {
        seat.lost.store(true, Ordering::Release);
        if let Some(link) = held.take() {
            unpoisoned(&self.dropped).push(link.id());
        }
    }

    /// Remembers what a session is lost of.
    pub(super) fn note(&self, error: &SourceError) {
        if let Some(fault) = error.fault() {
            let why = Failure::from(error.clone()).why;
            *unpoisoned(&self.cause) = Some((fault, why));
        }
    }

    /// What the last session was lost of, where the world was at fault.
    pub(super) fn cause(&self) -> Option<(Fault, String)> {
        unpoisoned(&self.cause).clone()
    }

    /// Whether any session is left.
    pub(super) fn any_left(&self) -> bool {
        self.seats().iter().any(|seat| !seat.is_lost())
    }

    /// The sessions, the spare one first.
    pub(super) fn spare_first(&self) -> impl Iterator<Item = Arc<Seat<L>>> + use<L> {
        self.seats().into_iter().rev()
    }

    /// The server's numbers of all connections that may be executing something.
    pub(super) fn ids(&self) -> Vec<u32> {
        let seats = self.seats();
        let living = seats.iter().filter(|seat| !seat.is_lost());
        let mut ids: Vec<u32> = living.map(|seat| seat.id).collect();
        ids.extend(unpoisoned(&self.dropped).iter());
        ids
    }

    /// Ends every session that nobody uses now, each in good order.
    pub(super) async fn close(&self) {
        for seat in self.seats() {
            seat.lost.store(true, Ordering::Release);
            let Ok(mut held) = Arc::clone(&seat.link).try_lock_owned() else {
                continue;
            };
            if let Some(link) = held.take() {
                link.close().await;
            }
        }
    }
}

fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
