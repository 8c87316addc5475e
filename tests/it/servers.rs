//! PostgreSQL servers; [`mysql`] has those of another family, [`sqlserver`] the peer for a third.
//!
//! [`postgres`] is the server of the distribution and serves nearly every test; each test works
//! in a [`Database`] of its own. [`Postgres::versions`] are all servers, oldest first, for what
//! differs between versions. [`PrivatePostgres`] is for tests that stop, restart or break it.

pub(crate) mod mysql;
mod pooler;
mod private;
mod session;
pub(crate) mod sqlserver;

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

pub(crate) use pooler::Pooler;
pub(crate) use private::PrivatePostgres;
pub(crate) use session::Session;

use crate::setting;

/// The server that most tests use.
pub(crate) fn postgres() -> Postgres {
    Postgres::at(Address::parse(&setting("IXTRACT_TEST_PG")))
}

/// How to reach one database as one role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: String,
}

impl Address {
    fn parse(url: &str) -> Self {
        let config: tokio_postgres::Config = url.parse().expect("a PostgreSQL URL");
        let text = |part: Option<&str>| part.expect("a complete PostgreSQL URL").to_owned();
        let password = config.get_password().map(String::from_utf8_lossy);
        let Some(tokio_postgres::config::Host::Tcp(host)) = config.get_hosts().first() else {
            panic!("a PostgreSQL URL without a host: {url}");
        };
        Self {
            host: host.clone(),
            port: config.get_ports()[0],
            user: text(config.get_user()),
            password: text(password.as_deref()),
            database: text(config.get_dbname()),
        }
    }
}

/// The URL. Names and passwords of tests need no percent-encoding.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            user,
            password,
            database,
        } = self;
        write!(f, "postgresql://{user}:{password}@{host}:{port}/{database}")
    }
}

/// A running server, seen by its superuser.
pub(crate) struct Postgres {
    address: Address,
    version: u32,
}

impl Postgres {
    fn at(address: Address) -> Self {
        let version = Session::open(&address).query_text("SHOW server_version_num");
        let version: u32 = version[0][0]
            .as_deref()
            .and_then(|v| v.parse().ok())
            .expect("a number");
        Self {
            address,
            version: version / 10_000,
        }
    }

    /// Every server there is, the oldest first.
    pub(crate) fn versions() -> Vec<Self> {
        let names = [
            "IXTRACT_TEST_PG13",
            "IXTRACT_TEST_PG",
            "IXTRACT_TEST_PG16",
            "IXTRACT_TEST_PG18",
        ];
        let mut servers: Vec<_> = names
            .iter()
            .map(|name| Self::at(Address::parse(&setting(name))))
            .collect();
        servers.sort_by_key(|server| server.version);
        servers
    }

    /// The major version.
    pub(crate) fn version(&self) -> u32 {
        self.version
    }

    /// The superuser in the database `postgres`.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// A new connection of the superuser's.
    pub(crate) fn session(&self) -> Session {
        Session::open(&self.address)
    }

    /// An empty database that no other test knows.
    pub(crate) fn fresh_database(&self) -> Database {
        self.fresh_database_with("")
    }

    /// The same, with options of `CREATE DATABASE`: an encoding, a template.
    pub(crate) fn fresh_database_with(&self, options: &str) -> Database {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("it_{}_{count}", std::process::id());
        self.session()
            .exec(&format!("CREATE DATABASE {name} {options}"));
        Database {
            server: self.address.clone(),
            address: Address {
                database: name,
                ..self.address.clone()
            },
            roles: Mutex::default(),
        }
    }
}

/// A database of one test's own; gone, with its roles, when dropped.
pub(crate) struct Database {
    server: Address,
    address: Address,
    roles: Mutex<Vec<String>>,
}

impl Database {
    pub(crate) fn name(&self) -> &str {
        &self.address.database
    }

    /// Where the superuser reaches it.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// The superuser's URL.
    pub(crate) fn url(&self) -> String {
        self.address.to_string()
    }

    /// The superuser's URL through something that listens on `port` and passes on to the server.
    pub(crate) fn url_through(&self, port: u16) -> String {
        Address {
            port,
            ..self.address.clone()
        }
        .to_string()
    }

    /// A new connection of the superuser's, for transactions and for what happens meanwhile.
    pub(crate) fn session(&self) -> Session {
        Session::open(&self.address)
    }

    /// Runs statements as the superuser, on a connection of their own.
    pub(crate) fn exec(&self, sql: &str) {
        self.session().exec(sql);
    }

    /// The rows of a query as the server's own text, `None` for NULL.
    pub(crate) fn query_text(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.session().query_text(sql)
    }

    /// A new role that may log in and nothing else; its name needs no quotes.
    pub(crate) fn limited_role(&self) -> Address {
        let mut roles = self.roles.lock().expect("roles");
        let user = format!("{}_role_{}", self.name(), roles.len());
        let role = Address {
            user,
            password: "a-role's-secret".to_owned(),
            ..self.address.clone()
        };
        self.exec(&format!(
            "CREATE ROLE {} LOGIN PASSWORD '{}'",
            role.user,
            role.password.replace('\'', "''")
        ));
        roles.push(role.user.clone());
        role
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // While a test fails its server may be gone: one panic is enough.
        let Ok(session) = Session::try_open(&self.server) else {
            return;
        };
        let mut statements = vec![format!("DROP DATABASE {} WITH (FORCE)", self.name())];
        let roles = self.roles.lock().expect("roles");
        statements.extend(roles.iter().map(|role| format!("DROP ROLE {role}")));
        for statement in statements {
            let dropped = session.try_exec(&statement);
            assert!(
                dropped.is_ok() || std::thread::panicking(),
                "{statement}: {dropped:?}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn every_version_is_there() {
        let servers = Postgres::versions();
        let versions: Vec<_> = servers.iter().map(Postgres::version).collect();
        assert!(
            [13, 16, 18]
                .iter()
                .all(|version| versions.contains(version)),
            "{versions:?}"
        );
        assert!(versions.contains(&postgres().version()));
        for server in servers {
            let database = server.fresh_database();
            database.exec("CREATE EXTENSION hstore; CREATE EXTENSION citext");
            assert_eq!(database.query_text("SELECT 1, NULL"), [[cell("1"), None]]);
        }
    }

    #[test]
    fn a_database_is_gone_when_dropped_and_its_roles_too() {
        let server = postgres();
        let database = server.fresh_database_with("ENCODING 'SQL_ASCII' TEMPLATE template0");
        let (name, role) = (database.name().to_owned(), database.limited_role());
        let _still_connected = database.session();
        assert_eq!(
            database.query_text("SHOW server_encoding"),
            [[cell("SQL_ASCII")]]
        );
        drop(database);
        let left = format!(
            "SELECT datname FROM pg_database WHERE datname = '{name}'
             UNION ALL SELECT rolname FROM pg_roles WHERE rolname = '{}'",
            role.user
        );
        assert_eq!(server.session().query_text(&left), Vec::<Vec<_>>::new());
    }

    #[test]
    fn a_limited_role_reads_what_it_was_granted() {
        let database = postgres().fresh_database();
        let role = database.limited_role();
        database.exec("CREATE TABLE open (id int); CREATE TABLE shut (id int)");
        database.exec(&format!("GRANT SELECT ON open TO {}", role.user));
        let session = Session::open(&role);
        session.exec("SELECT * FROM open");
        let refusal = session
            .try_exec("SELECT * FROM shut")
            .expect_err("must be refused");
        assert_eq!(refusal.code().map(|code| code.code()), Some("42501"));
    }

    #[test]
    fn a_session_keeps_its_transaction() {
        let database = postgres().fresh_database();
        database.exec("CREATE TABLE t (id int)");
        let writer = database.session();
        writer.exec("BEGIN; INSERT INTO t VALUES (1)");
        assert_eq!(database.query_text("SELECT count(*) FROM t"), [[cell("0")]]);
        writer.exec("COMMIT");
        assert_eq!(database.query_text("SELECT count(*) FROM t"), [[cell("1")]]);
    }

    /// The servers' rules that tests of authentication and TLS rely on.
    #[test]
    fn a_role_named_tls_only_is_refused_without_tls() {
        let server = postgres();
        let database = server.fresh_database();
        let role = Address {
            user: "tls_only".to_owned(),
            ..database.address().clone()
        };
        let refusal = Session::try_open(&role).expect_err("must be refused");
        assert_eq!(refusal.code().map(|code| code.code()), Some("28000"));
    }

    #[tokio::test]
    async fn sessions_work_inside_a_runtime_too() {
        let database = postgres().fresh_database();
        assert_eq!(database.query_text("SELECT 1"), [[cell("1")]]);
    }
}
