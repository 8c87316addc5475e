//! Connections that stand at one point in time, lent to the reads of several relations.
//!
//! A read ends by interrupting whatever runs on its connections, again and again until its threads are
//! over. So none of them may go to another read before that: they wait in a [`Berth`] until it is
//! released.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::Notify;

/// The connections of one point in time.
#[derive(Debug, Default)]
pub(super) struct Pool {
    state: Mutex<State>,
    returned: Notify,
}

#[derive(Debug, Default)]
struct State {
    free: Vec<Connection>,
    lent: usize,
}

impl Pool {
    /// A pool of these.
    pub(super) fn new(free: Vec<Connection>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State { free, lent: 0 }),
            returned: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many connections, or all that there are where that is less; waits until they are free.
    /// `None` when none is left that stands at the point in time.
    pub(super) async fn lend(self: &Arc<Self>, wanted: usize) -> Option<Lent> {
        loop {
            let returned = self.returned.notified();
            {
                let mut state = self.state();
                let all = state.free.len() + state.lent;
                if all == 0 {
                    return None;
                }
                let wanted = wanted.clamp(1, all);
                if state.free.len() >= wanted {
                    let rest = state.free.len() - wanted;
                    state.lent += wanted;
                    return Some(Lent {
                        connections: state.free.split_off(rest),
                        pool: Some(Arc::clone(self)),
                    });
                }
            }
            returned.await;
        }
    }

    /// Ends the transactions of all that nobody has.
    pub(super) fn close(&self) {
        let free = std::mem::take(&mut self.state().free);
        drop(free);
    }

    /// Takes a connection back; one that is gone, or has left its transaction, stands at that point in
    /// time no more.
    fn take_back(&self, connection: Option<Connection>) {
        let standing = connection.and_then(|mut connection| {
            // What watched over a read's statements goes with it.
            let cleared = connection.progress_handler(0, None::<fn() -> bool>);
            (cleared.is_ok() && !connection.is_autocommit()).then_some(connection)
        });
        let mut state = self.state();
        state.lent -= 1;
        state.free.extend(standing);
        drop(state);
        self.returned.notify_waiters();
    }
}

/// Connections for one read, its own or lent; what is not taken goes back.
#[derive(Debug)]
pub(super) struct Lent {
    connections: Vec<Connection>,
    pool: Option<Arc<Pool>>,
}

impl Lent {
    /// Connections that are the read's own.
    pub(super) fn own(connections: Vec<Connection>) -> Self {
        Self {
            connections,
            pool: None,
        }
    }

    /// The connections.
    pub(super) fn all(&self) -> &[Connection] {
        &self.connections
    }

    /// Where they go when the read is over.
    pub(super) fn berth(&self) -> Arc<Berth> {
        Arc::new(Berth {
            pool: self.pool.clone(),
            state: Mutex::default(),
        })
    }

    /// Takes them in order, each with the duty to bring it to `berth`.
    pub(super) fn moorings(mut self, berth: &Arc<Berth>) -> Vec<Mooring> {
        let connections = std::mem::take(&mut self.connections);
        let moorings = connections.into_iter().map(|connection| Mooring {
            connection: Some(connection),
            berth: Arc::clone(berth),
        });
        moorings.collect()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(pool) = &self.pool else {
            return;
        };
        for connection in std::mem::take(&mut self.connections) {
            pool.take_back(Some(connection));
        }
    }
}

/// Where a read's connections wait until nobody interrupts them any more.
#[derive(Debug)]
pub(super) struct Berth {
    pool: Option<Arc<Pool>>,
    state: Mutex<Moored>,
}

#[derive(Debug, Default)]
struct Moored {
    released: bool,
    connections: Vec<Option<Connection>>,
}

impl Berth {
    fn state(&self) -> MutexGuard<'_, Moored> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to connections of this read, unless they may be another's by now.
    pub(super) fn unless_released(&self, act: impl FnOnce()) {
        let state = self.state();
        if !state.released {
            act();
        }
    }

    /// Lets all go: those that are here, and those that are yet to come.
    pub(super) fn release(&self) {
        let mut state = self.state();
        state.released = true;
        let moored = std::mem::take(&mut state.connections);
        drop(state);
        moored.into_iter().for_each(|of| self.let_go(of));
    }

    fn let_go(&self, connection: Option<Connection>) {
        match &self.pool {
            Some(pool) => pool.take_back(connection),
            None => drop(connection),
        }
    }

    fn moor(&self, connection: Option<Connection>) {
        let mut state = self.state();
        // One's own is closed at once: its transaction is over with its thread.
        if state.released || self.pool.is_none() {
            drop(state);
            self.let_go(connection);
        } else {
            state.connections.push(connection);
        }
    }
}

/// The duty to bring a connection to its berth, or to own up to having lost it.
#[derive(Debug)]
pub(super) struct Mooring {
    connection: Option<Connection>,
    berth: Arc<Berth>,
}

impl Mooring {
    /// The connection, to be worked with.
    pub(super) fn cast_off(&mut self) -> Option<Connection> {
        self.connection.take()
    }

    /// The connection is not needed any more.
    pub(super) fn moor(mut self, connection: Connection) {
        self.connection = Some(connection);
    }

    /// Where it is to go.
    pub(super) fn berth(&self) -> &Arc<Berth> {
        &self.berth
    }
}

impl Drop for Mooring {
    fn drop(&mut self) {
        self.berth.moor(self.connection.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing() -> Connection {
        let connection = Connection::open_in_memory().expect("a database");
        connection.execute_batch("BEGIN").expect("a transaction");
        connection
    }

    #[tokio::test]
    async fn connections_come_back_when_their_read_is_over_and_not_before() {
        let pool = Pool::new(vec![standing(), standing()]);
        let lent = pool.lend(2).await.expect("two");
        let berth = lent.berth();
        drop(lent.moorings(&berth));
        assert!(pool.state().free.is_empty());
        berth.unless_released(|| ());
        berth.release();
        berth.unless_released(|| panic!("they are another's"));
        assert_eq!(pool.state().free.len(), 2);
    }

    #[tokio::test]
    async fn what_left_its_transaction_or_is_lost_is_not_lent_again() {
        let pool = Pool::new(vec![standing(), standing()]);
        let lent = pool.lend(5).await.expect("all there are");
        let berth = lent.berth();
        let mut moorings = lent.moorings(&berth);
        let mut last = moorings.pop().expect("the second");
        let connection = last.cast_off().expect("a connection");
        connection.execute_batch("COMMIT").expect("an end");
        last.moor(connection);
        let mut first = moorings.pop().expect("the first");
        drop(first.cast_off());
        drop(first);
        berth.release();
        assert!(pool.lend(1).await.is_none());
    }

    #[tokio::test]
    async fn who_comes_too_early_waits() {
        let pool = Pool::new(vec![standing()]);
        let lent = pool.lend(1).await.expect("one");
        let (second, ()) = tokio::join!(pool.lend(1), async { drop(lent) });
        assert_eq!(second.expect("the same").all().len(), 1);
    }
}
