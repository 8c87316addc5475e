//! The peer for SQL Server: it speaks the protocol, and is not Microsoft's server (tests/peers/tds_peer.py).
//!
//! Each test works in a [`SqlDatabase`] of its own.

use std::fmt;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use tiberius::{AuthMethod, Client, Config, EncryptionLevel, error::Error};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use super::session::wait;
use crate::extraction::Queried;
use crate::readers::Row;
use crate::setting;

/// How to reach one database as one login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SqlAddress {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: String,
}

impl SqlAddress {
    fn of_peer() -> Self {
        let setting = setting("IXTRACT_TEST_TDS");
        let url: url::Url = setting.parse().expect("a URL");
        Self {
            host: url.host_str().expect("a host").to_owned(),
            port: url.port().expect("a port"),
            user: url.username().to_owned(),
            password: url.password().expect("a password").to_owned(),
            database: url.path().trim_start_matches('/').to_owned(),
        }
    }
}

/// The URL. Names and passwords of tests need no percent-encoding.
impl fmt::Display for SqlAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            host,
            port,
            user,
            password,
            database,
        } = self;
        write!(f, "sqlserver://{user}:{password}@{host}:{port}/{database}")
    }
}

/// A database of one test's own.
pub(crate) struct SqlDatabase {
    address: SqlAddress,
    logins: AtomicU32,
}

impl SqlDatabase {
    /// An empty database that no other test knows, in which SNAPSHOT isolation is allowed.
    pub(crate) fn fresh() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("it_{}_{count}", std::process::id());
        let server = SqlAddress::of_peer();
        SqlSession::open(&server).exec(&format!(
            "CREATE DATABASE {name}; ALTER DATABASE {name} SET ALLOW_SNAPSHOT_ISOLATION ON"
        ));
        Self {
            address: SqlAddress {
                database: name,
                ..server
            },
            logins: AtomicU32::new(0),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.address.database
    }

    pub(crate) fn address(&self) -> &SqlAddress {
        &self.address
    }

    /// The URL of `sa`.
    pub(crate) fn url(&self) -> String {
        self.address.to_string()
    }

    /// The same through something that listens on `port` and passes on to the peer.
    pub(crate) fn url_through(&self, port: u16) -> String {
        SqlAddress {
            port,
            ..self.address.clone()
        }
        .to_string()
    }

    pub(crate) fn session(&self) -> SqlSession {
        SqlSession::open(&self.address)
    }

    /// Runs statements as `sa`, on a connection of their own.
    pub(crate) fn exec(&self, sql: &str) {
        self.session().exec(sql);
    }

    /// Forbids what lets several readers share one point in time.
    pub(crate) fn forbid_snapshots(&self) {
        self.exec(&format!(
            "ALTER DATABASE {} SET ALLOW_SNAPSHOT_ISOLATION OFF",
            self.name()
        ));
    }

    /// The rows of a query as pymssql, a client of other makers, reads them: texts, `None` for NULL.
    pub(crate) fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        self.rows_by("pymssql", sql)
    }

    /// The rows as `pymssql` or `mssql`, Microsoft's own client, reads them.
    pub(crate) fn rows_by(&self, client: &str, sql: &str) -> Vec<Vec<Option<String>>> {
        let address = &self.address;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tds.py");
        let output = Command::new(setting("IXTRACT_TEST_TDS_PYTHON"))
            .arg(script)
            .args([client, &address.host, &address.port.to_string()])
            .args([&address.user, &address.password, &address.database, sql])
            .output()
            .expect("a python");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{client}: {sql}: {errors}");
        let text = String::from_utf8(output.stdout).expect("text");
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a row"))
            .collect()
    }

    /// A new login with no rights at all but to connect here.
    pub(crate) fn limited_login(&self) -> SqlAddress {
        let number = self.logins.fetch_add(1, Ordering::Relaxed);
        let user = format!("u_{}_{number}", self.name());
        self.exec(&format!(
            "CREATE LOGIN {user} WITH PASSWORD = 'a-users-secret'; CREATE USER {user}"
        ));
        SqlAddress {
            user,
            password: "a-users-secret".to_owned(),
            ..self.address.clone()
        }
    }
}

impl Queried for SqlDatabase {
    fn url(&self) -> String {
        self.url()
    }

    fn select(&self, sql: &str) -> Vec<Row> {
        self.rows(sql)
    }
}

/// One connection that a test holds, blocking.
pub(crate) struct SqlSession {
    runtime: Option<Runtime>,
    client: Mutex<Client<Compat<TcpStream>>>,
}

impl SqlSession {
    pub(crate) fn open(address: &SqlAddress) -> Self {
        Self::try_open(address).unwrap_or_else(|error| panic!("{address}: {error:?}"))
    }

    pub(crate) fn try_open(address: &SqlAddress) -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let mut config = Config::new();
        config.host(&address.host);
        config.port(address.port);
        config.database(&address.database);
        config.authentication(AuthMethod::sql_server(&address.user, &address.password));
        config.encryption(EncryptionLevel::NotSupported);
        let port = address.port;
        let client = wait(&runtime, async move {
            let socket = TcpStream::connect(("127.0.0.1", port)).await?;
            Client::connect(config, socket.compat_write()).await
        });
        match client {
            Ok(client) => Ok(Self {
                runtime: Some(runtime),
                client: Mutex::new(client),
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
        self.numbers(sql).map(drop)
    }

    /// The integers of a statement's first column.
    pub(crate) fn numbers(&self, sql: &str) -> Result<Vec<i32>, Error> {
        let mut client = self.client.lock().expect("a connection");
        let client = &mut *client;
        let runtime = self.runtime.as_ref().expect("only drop takes the runtime");
        let rows = wait(runtime, async {
            client.simple_query(sql).await?.into_first_result().await
        })?;
        Ok(rows.iter().filter_map(|row| row.get(0)).collect())
    }
}

impl Drop for SqlSession {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
