//! MariaDB and MySQL servers.
//!
//! [`mariadb`] serves nearly every test; each works in a [`MysqlDatabase`] of its own. [`both`] are
//! the two flavours, for what differs between them.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, Opts, OptsBuilder, Row, Value};
use tokio::runtime::{Builder, Runtime};

use super::session::wait;
use crate::extraction::Queried;
use crate::readers;
use crate::setting;

/// MariaDB as the distribution has it.
pub(crate) fn mariadb() -> Mysql {
    Mysql::at(&setting("IXTRACT_TEST_MARIADB"))
}

/// MariaDB and MySQL 5.6.
pub(crate) fn both() -> [Mysql; 2] {
    [mariadb(), Mysql::at(&setting("IXTRACT_TEST_MYSQL56"))]
}

/// How to reach one database as one user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MysqlAddress {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: String,
}

impl MysqlAddress {
    fn options(&self) -> Opts {
        OptsBuilder::default()
            .ip_or_hostname(self.host.as_str())
            .tcp_port(self.port)
            .user(Some(self.user.as_str()))
            .pass(Some(self.password.as_str()))
            .db_name(Some(self.database.as_str()))
            .prefer_socket(false)
            .into()
    }
}

/// The URL. Names and passwords of tests need no percent-encoding.
impl fmt::Display for MysqlAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            user,
            password,
            database,
        } = self;
        write!(f, "mysql://{user}:{password}@{host}:{port}/{database}")
    }
}

/// A running server, seen by root.
pub(crate) struct Mysql {
    address: MysqlAddress,
}

impl Mysql {
    fn at(url: &str) -> Self {
        let options: Opts = url.parse().expect("a MySQL URL");
        let text = |part: Option<&str>| part.expect("a complete MySQL URL").to_owned();
        Self {
            address: MysqlAddress {
                host: options.ip_or_hostname().to_owned(),
                port: options.tcp_port(),
                user: text(options.user()),
                password: text(options.pass()),
                database: text(options.db_name()),
            },
        }
    }

    pub(crate) fn session(&self) -> MysqlSession {
        MysqlSession::open(&self.address)
    }

    /// An empty database that no other test knows.
    pub(crate) fn fresh_database(&self) -> MysqlDatabase {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("it_{}_{count}", std::process::id());
        self.session()
            .exec(&format!("CREATE DATABASE {name} CHARACTER SET utf8mb4"));
        MysqlDatabase {
            server: self.address.clone(),
            address: MysqlAddress {
                database: name,
                ..self.address.clone()
            },
            users: Mutex::default(),
        }
    }
}

/// A database of one test's own; gone, with its users, when dropped.
pub(crate) struct MysqlDatabase {
    server: MysqlAddress,
    address: MysqlAddress,
    users: Mutex<Vec<String>>,
}

impl MysqlDatabase {
    pub(crate) fn name(&self) -> &str {
        &self.address.database
    }

    pub(crate) fn address(&self) -> &MysqlAddress {
        &self.address
    }

    /// Root's URL.
    pub(crate) fn url(&self) -> String {
        self.address.to_string()
    }

    /// Root's URL through something that listens on `port` and passes on to the server.
    pub(crate) fn url_through(&self, port: u16) -> String {
        MysqlAddress {
            port,
            ..self.address.clone()
        }
        .to_string()
    }

    pub(crate) fn session(&self) -> MysqlSession {
        MysqlSession::open(&self.address)
    }

    /// Runs statements as root, on a connection of their own.
    pub(crate) fn exec(&self, sql: &str) {
        self.session().exec(sql);
    }

    /// The rows of a query as the server's own text, `None` for NULL.
    pub(crate) fn query_text(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.session().query_text(sql)
    }

    /// A new user with no rights at all but to connect here.
    pub(crate) fn limited_user(&self) -> MysqlAddress {
        let mut users = self.users.lock().expect("users");
        // MySQL's names of users end at sixteen letters.
        let number = self.name().trim_start_matches("it_").replace('_', "");
        let user = format!("u{number}{}", users.len());
        self.exec(&format!(
            "CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'a-users-secret'"
        ));
        users.push(user.clone());
        MysqlAddress {
            user,
            password: "a-users-secret".to_owned(),
            ..self.address.clone()
        }
    }
}

impl Drop for MysqlDatabase {
    fn drop(&mut self) {
        let Ok(session) = MysqlSession::try_open(&self.server) else {
            return;
        };
        let users = self.users.lock().expect("users");
        let drops = users
            .iter()
            .map(|user| format!("DROP USER '{user}'@'127.0.0.1'"));
        let database = format!("DROP DATABASE {}", self.address.database);
        for statement in drops.chain([database]) {
            let dropped = session.try_exec(&statement);
            assert!(
                dropped.is_ok() || std::thread::panicking(),
                "{statement}: {dropped:?}"
            );
        }
    }
}

impl Queried for MysqlDatabase {
    fn url(&self) -> String {
        self.url()
    }

    fn select(&self, sql: &str) -> Vec<readers::Row> {
        self.query_text(sql)
    }
}

/// One connection that a test holds, blocking. As standard SQL has it, `"` quotes a name.
pub(crate) struct MysqlSession {
    runtime: Option<Runtime>,
    conn: Mutex<Option<Conn>>,
}

impl MysqlSession {
    pub(crate) fn open(address: &MysqlAddress) -> Self {
        Self::try_open(address).unwrap_or_else(|error| panic!("{address}: {error:?}"))
    }

    pub(crate) fn try_open(address: &MysqlAddress) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let options = address.options();
        let conn = wait(&runtime, async {
            let mut conn = Conn::new(options).await?;
            conn.query_drop("SET sql_mode = 'ANSI_QUOTES', time_zone = '+00:00'")
                .await?;
            Ok::<_, Error>(conn)
        });
        match conn {
            Ok(conn) => Ok(Self {
                runtime: Some(runtime),
                conn: Mutex::new(Some(conn)),
            }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Runs statements; an error fails the test.
    pub(crate) fn exec(&self, sql: &str) {
        self.try_exec(sql)
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Runs statements whose failure the test is about.
    pub(crate) fn try_exec(&self, sql: &str) -> Result<(), Error> {
        let mut conn = self.conn.lock().expect("a connection");
        let conn = conn.as_mut().expect("only drop takes it");
        wait(self.runtime(), async {
            let mut results = conn.query_iter(sql).await?;
            // An error of a later statement shows only there.
            while !results.is_empty() {
                results.collect::<Row>().await?;
            }
            results.drop_result().await
        })
    }

    /// The rows of a query as the server's own text, `None` for NULL; bytes that are no text as `?`.
    pub(crate) fn query_text(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let mut conn = self.conn.lock().expect("a connection");
        let conn = conn.as_mut().expect("only drop takes it");
        let rows: Vec<Row> = wait(self.runtime(), conn.query(sql))
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        let text = |value: Value| match value {
            Value::NULL => None,
            Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            other => panic!("{sql}: the text protocol sends no {other:?}"),
        };
        let rows = rows.into_iter();
        rows.map(|row| row.unwrap().into_iter().map(text).collect())
            .collect()
    }

    /// The server's number of this connection.
    pub(crate) fn id(&self) -> u32 {
        let conn = self.conn.lock().expect("a connection");
        conn.as_ref().expect("only drop takes it").id()
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("only drop takes the runtime")
    }
}

impl Drop for MysqlSession {
    fn drop(&mut self) {
        let runtime = self.runtime.take().expect("dropped once");
        // Said goodbye to before the runtime goes: locks are then gone, too.
        if let Some(conn) = self.conn.lock().ok().and_then(|mut conn| conn.take()) {
            let _ = wait(&runtime, conn.disconnect());
        }
        runtime.shutdown_background();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_flavours_are_there() {
        let [maria, mysql] = both();
        let version =
            |server: &Mysql| server.session().query_text("SELECT VERSION()")[0][0].clone();
        assert!(version(&maria).is_some_and(|text| text.contains("MariaDB")));
        assert!(version(&mysql).is_some_and(|text| text.starts_with("5.6.")));
    }

    #[test]
    fn a_database_is_gone_when_dropped_and_its_users_too() {
        for server in both() {
            let database = server.fresh_database();
            let (name, user) = (database.name().to_owned(), database.limited_user());
            database.exec("CREATE TABLE t (a INT); INSERT INTO t VALUES (1)");
            assert!(
                MysqlSession::try_open(&user).is_err(),
                "it has no rights yet"
            );
            drop(database);
            let left = format!(
                "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{name}'
                 UNION ALL SELECT User FROM mysql.user WHERE User = '{}'",
                user.user
            );
            assert_eq!(server.session().query_text(&left), Vec::<Vec<_>>::new());
        }
    }
}
