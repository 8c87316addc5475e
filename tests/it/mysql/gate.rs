//! A gate inside a database: readers stop in the middle of their rows until the test opens it.

use crate::extraction::until;
use crate::servers::mysql::{MysqlDatabase, MysqlSession};

/// A shut gate. Dropping it opens it.
pub(crate) struct Gate {
    session: MysqlSession,
    database: String,
}

impl Gate {
    /// Shuts the gate of a database.
    pub(crate) fn shut(database: &MysqlDatabase) -> Self {
        let session = database.session();
        let name = database.name().to_owned();
        session.query_text(&format!("SELECT GET_LOCK('{name}', 0)"));
        Self {
            session,
            database: name,
        }
    }

    /// A filter that every row passes, but every hundredth only when the gate is open; the table
    /// needs an integer column `id`.
    pub(crate) fn filter(&self) -> String {
        let name = &self.database;
        format!("IF(id % 100 = 0, GET_LOCK('{name}', 200) + RELEASE_LOCK('{name}') > 0, 1)")
    }

    /// The server's numbers of the readers that stand at the gate.
    pub(crate) fn readers(&self) -> Vec<String> {
        let rows = self.session.query_text(&format!(
            "SELECT ID FROM information_schema.PROCESSLIST WHERE STATE = 'User lock' \
             AND DB = '{}' AND INFO NOT LIKE 'SELECT COUNT%' ORDER BY ID",
            self.database
        ));
        rows.into_iter().flatten().flatten().collect()
    }

    #[track_caller]
    pub(crate) fn wait_for_readers(&self, readers: usize) {
        until(&format!("{readers} readers stand at the gate"), || {
            self.readers().len() >= readers
        });
    }

    /// The server's number of the session that keeps it shut.
    pub(crate) fn id(&self) -> u32 {
        self.session.id()
    }

    /// Lets everybody pass, from now on.
    pub(crate) fn open(self) {
        drop(self);
    }
}
