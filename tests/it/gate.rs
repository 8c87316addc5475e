//! A gate inside a database: readers stop in the middle of their rows until the test opens it, so
//! that "meanwhile" is a place in the test and not a matter of luck.
//!
//! ```ignore
//! let gate = Gate::shut(&database);
//! let run = extraction.spawn(&["--where", Gate::FILTER, …]);
//! gate.wait_for_readers(4);
//! … // All four are in the middle of a chunk.
//! gate.open();
//! ```

use crate::extraction::until;
use crate::servers::{Database, Session};

/// A shut gate. Dropping it opens it.
pub(crate) struct Gate {
    session: Session,
}

impl Gate {
    /// A filter that every row passes, but every hundredth only when the gate is open; the table
    /// needs a bigint column `id`.
    pub(crate) const FILTER: &'static str = "public.gate(id)";

    /// Creates the gate, shut.
    pub(crate) fn shut(database: &Database) -> Self {
        let session = database.session();
        // A lock that somebody else has: waiting for it is an ordinary wait that the server can
        // cancel. Nothing is written, so it works in a read-only transaction.
        session.exec(
            "CREATE FUNCTION public.gate(id bigint) RETURNS boolean
             LANGUAGE plpgsql VOLATILE PARALLEL RESTRICTED SET lock_timeout = 0 AS $$
             BEGIN
                 IF id % 100 = 0 THEN PERFORM pg_advisory_xact_lock_shared(42); END IF;
                 RETURN true;
             END $$;
             SELECT pg_advisory_lock(42)",
        );
        Self { session }
    }

    /// Shuts the gate of a database that has had one before.
    pub(crate) fn shut_again(database: &Database) -> Self {
        let session = database.session();
        session.exec("SELECT pg_advisory_lock(42)");
        Self { session }
    }

    /// Waits until this many readers have stopped in the middle of a `COPY`.
    #[track_caller]
    pub(crate) fn wait_for_readers(&self, readers: usize) {
        until(&format!("{readers} readers stand at the gate"), || {
            self.readers().len() >= readers
        });
    }

    /// The server's process ids of the readers that stand at the gate.
    pub(crate) fn readers(&self) -> Vec<String> {
        pids(
            &self.session,
            "wait_event = 'advisory' AND query ILIKE 'copy%'",
        )
    }

    /// Lets everybody pass, from now on.
    pub(crate) fn open(self) {
        drop(self);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        // The test may have stopped the server.
        self.session.try_exec("SELECT pg_advisory_unlock(42)").ok();
    }
}

/// The server's process ids of sessions of ours in this database for which a condition on
/// `pg_stat_activity` holds.
pub(crate) fn pids(session: &Session, condition: &str) -> Vec<String> {
    let rows = session.query_text(&format!(
        "SELECT pid FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'ixtract/%'
           AND ({condition})
         ORDER BY pid"
    ));
    rows.into_iter()
        .map(|mut row| row.remove(0).expect("a process id"))
        .collect()
}

/// Waits until a statement of somebody's that begins with `text` waits for a lock.
#[track_caller]
pub(crate) fn wait_until_blocked(session: &Session, text: &str) {
    until(&format!("{text} waits for a lock"), || {
        let waiting = session.query_text(&format!(
            "SELECT 1 FROM pg_stat_activity
             WHERE datname = current_database() AND wait_event_type = 'Lock'
               AND query LIKE '{text}%'"
        ));
        !waiting.is_empty()
    });
}
