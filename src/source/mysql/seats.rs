//! The sessions that stand at one point in time. None can be added later: this server hands no
//! snapshot on. A session that is lost is replaced by the spare one, or not at all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

use super::connect::Link;

/// The sessions of one snapshot; the last one is the spare, on which the count runs.
#[derive(Default)]
pub(super) struct Seats {
    all: Mutex<Vec<Arc<Seat>>>,
    /// Those that no reader holds, by position; the next one to give away last.
    free: Mutex<Vec<usize>>,
    /// Connections that were dropped in the middle of an answer: a server that works on something
    /// does not notice that nobody listens any more.
    dropped: Mutex<Vec<u32>>,
}

/// A session, and whether it is still there.
pub(super) struct Seat {
    id: u32,
    lost: AtomicBool,
    link: Arc<Lock<Option<Link>>>,
}

/// A session while a statement of its holder runs on it.
pub(super) type Held = OwnedMutexGuard<Option<Link>>;

impl Seat {
    fn new(link: Link) -> Arc<Self> {
        Arc::new(Self {
            id: link.id(),
            lost: AtomicBool::new(false),
            link: Arc::new(Lock::new(Some(link))),
        })
    }

    /// Waits until nobody else uses the session; `None` when it is lost, which it is, too, when its
    /// last user gave up in the middle of an answer.
    pub(super) async fn take(&self) -> Option<Held> {
        let mut held = Arc::clone(&self.link).lock_owned().await;
        let usable = held.as_ref().is_some_and(Link::is_usable);
        if !usable || self.is_lost() {
            self.lost.store(true, Ordering::Release);
            *held = None;
            return None;
        }
        Some(held)
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}

impl Seats {
    /// The sessions of a snapshot, the spare one last.
    pub(super) fn new(links: Vec<Link>) -> Self {
        let all: Vec<Arc<Seat>> = links.into_iter().map(Seat::new).collect();
        // The spare is the first to lie there, so the last to be given away.
        let free = (0..all.len()).rev().collect();
        Self {
            free: Mutex::new(free),
            all: Mutex::new(all),
            dropped: Mutex::default(),
        }
    }

    /// A session more, where each chunk has its own point in time, and who holds it.
    pub(super) fn add(&self, link: Link) -> (usize, Arc<Seat>) {
        let mut all = unpoisoned(&self.all);
        let seat = Seat::new(link);
        all.push(Arc::clone(&seat));
        (all.len() - 1, seat)
    }

    fn seats(&self) -> Vec<Arc<Seat>> {
        unpoisoned(&self.all).clone()
    }

    /// A session that nobody reads in.
    pub(super) fn claim(&self) -> Option<(usize, Arc<Seat>)> {
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
    pub(super) fn lose(&self, seat: &Seat, mut held: Held) {
        seat.lost.store(true, Ordering::Release);
        if let Some(link) = held.take() {
            unpoisoned(&self.dropped).push(link.id());
        }
    }

    /// Whether any session is left.
    pub(super) fn any_left(&self) -> bool {
        self.seats().iter().any(|seat| !seat.is_lost())
    }

    /// The sessions, the spare one first.
    pub(super) fn spare_first(&self) -> impl Iterator<Item = Arc<Seat>> {
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
