//! One connection: opened with what the target asks for, and fixed as every session of ours is.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use mysql_async::{
    BinaryProtocol, Conn, DriverError, Error, Opts, OptsBuilder, QueryResult, Row, SslOpts,
    Statement, Value,
};

use super::super::remote::Place;
use super::super::seats::Line;
use super::super::secrets::{Login, PasswordSource, Secret};
use super::super::url::{self, MysqlTarget, TlsMode};
use super::super::{ConnectOptions, Result, SourceError};
use super::classify::{self, Subject};
use super::server::Server;
use super::tls;

/// Rows as long as the protocol allows: the server's own limit is for what it is sent.
const LONGEST_ROW: usize = 1 << 30;

/// The longest that a question of ours may take; what is not known by then stays unknown.
const QUESTION_LIMIT: Duration = Duration::from_secs(20);

/// A socket that dies without a word is noticed by the system.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Opens connections to one target.
pub(super) struct Connector {
    target: MysqlTarget,
    password: PasswordSource,
    tls: Option<SslOpts>,
    program: String,
    timeout: Duration,
    statement_timeout: Duration,
    lock_wait: Duration,
    place: Arc<Place>,
    /// Known from the first connection on.
    known: OnceLock<Known>,
}

/// What the first connection learned.
struct Known {
    server: Server,
    account: String,
}

impl Connector {
    /// Settles what all connections share.
    ///
    /// # Errors
    /// No trusted root for a mode that needs one.
    pub(super) fn new(target: MysqlTarget, options: &ConnectOptions) -> Result<Self> {
        let shown = url::mysql_place(&target);
        let run = options.run.as_ref();
        Ok(Self {
            tls: tls::options(&target, &shown)?,
            password: options.password.clone(),
            program: run.map_or_else(|| "ixtract".to_owned(), |run| format!("ixtract/{run}")),
            timeout: options.connect_timeout,
            statement_timeout: options.statement_timeout,
            lock_wait: options.lock_wait,
            place: Arc::new(Place {
                target: shown,
                database: target.database.clone(),
                user: target.user.clone(),
            }),
            known: OnceLock::new(),
            target,
        })
    }

    /// Where connections go.
    pub(super) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// The server, once somebody has connected.
    ///
    /// # Errors
    /// Nobody has.
    pub(super) fn server(&self) -> Result<&Server> {
        let known = self.known.get().map(|known| &known.server);
        known.ok_or_else(|| SourceError::ConnectionLost {
            target: self.place.target.clone(),
            why: "it was never made".to_owned(),
        })
    }

    /// The account that the server took us for, as `user@host`.
    pub(super) fn account(&self) -> &str {
        self.known
            .get()
            .map_or(self.target.user.as_str(), |known| known.account.as_str())
    }

    /// How connections are to be secured, and whether the server is on this machine.
    pub(super) fn security(&self) -> (TlsMode, bool) {
        (self.target.tls_mode(), self.target.is_local())
    }

    /// Opens a connection for reading; the user's limit holds for its statements.
    pub(super) async fn open(&self) -> Result<Link> {
        self.open_limited(self.statement_timeout).await
    }

    /// Opens a connection for questions, which have a limit of their own.
    pub(super) async fn open_to_ask(&self) -> Result<Link> {
        self.open_limited(QUESTION_LIMIT).await
    }

    /// Opens a connection, with a password obtained for it, within the time limit.
    async fn open_limited(&self, limit: Duration) -> Result<Link> {
        let login = Login {
            host: &self.target.host,
            port: self.target.port,
            database: &self.target.database,
            user: &self.target.user,
        };
        let secret = self.password.resolve(&login).await?;
        let opened = self.ready(secret.as_ref(), limit);
        if self.timeout.is_zero() {
            return opened.await;
        }
        tokio::time::timeout(self.timeout, opened)
            .await
            .unwrap_or_else(|_| {
                Err(SourceError::Unreachable {
                    target: self.place.target.clone(),
                    why: format!("no answer within {} s", self.timeout.as_secs_f64()),
                })
            })
    }

    async fn ready(&self, secret: Option<&Secret>, limit: Duration) -> Result<Link> {
        let negotiated = self.negotiate(secret).await;
        let conn = negotiated.map_err(|error| classify::connecting(&self.place, &error))?;
        let mut link = Link {
            conn: Some(conn),
            place: Arc::clone(&self.place),
            in_order: true,
        };
        let subject = Subject::catalogue(&self.place, self.account());
        let server = match self.known.get() {
            Some(known) => &known.server,
            None => {
                let sql = "SELECT VERSION(), @@version_comment, CURRENT_USER()";
                let row = link.texts(&subject, sql).await?.into_iter().next();
                let texts: Vec<String> = row.into_iter().flatten().flatten().collect();
                let text = |index: usize| texts.get(index).map_or("", String::as_str);
                let server = Server::of(text(0), text(1));
                server.check()?;
                let account = text(2).to_owned();
                &self.known.get_or_init(|| Known { server, account }).server
            }
        };
        let pins = server.pins(limit, self.lock_wait);
        link.run(&subject, &pins).await?;
        link.run(&subject, "SET NAMES utf8mb4").await?;
        Ok(link)
    }

    fn options(&self, secret: Option<&Secret>, tls: Option<SslOpts>) -> Opts {
        let socket = self.target.socket.as_ref();
        OptsBuilder::default()
            .ip_or_hostname(self.target.host.as_str())
            .tcp_port(self.target.port)
            .socket(socket.map(|path| path.display().to_string()))
            // The driver would change to a socket of the server's own choice.
            .prefer_socket(false)
            .db_name(Some(self.target.database.as_str()))
            .user(Some(self.target.user.as_str()))
            .pass(secret.map(Secret::expose))
            .tcp_keepalive(Some(KEEP_ALIVE))
            .stmt_cache_size(0)
            .max_allowed_packet(Some(LONGEST_ROW))
            // Only a pool would ask for it.
            .wait_timeout(Some(usize::MAX))
            .connect_attribute("program_name", self.program.as_str())
            .ssl_opts(tls)
            .into()
    }

    /// Connects, with the second tries that are safe: in plain text where `prefer` allows it, and
    /// under another name where `verify-ca` takes any.
    async fn negotiate(&self, secret: Option<&Secret>) -> std::result::Result<Conn, Error> {
        let first = Conn::new(self.options(secret, self.tls.clone())).await;
        let Err(error) = first else {
            return first;
        };
        match self.target.tls_mode() {
            TlsMode::Prefer if plain_text_may_help(&error) => {
                let plain = Conn::new(self.options(secret, None)).await;
                match error {
                    // Then there was nothing else to try, and what it says is what is wrong.
                    Error::Driver(DriverError::NoClientSslFlagFromServer) => plain,
                    // The first error is the one to show: the second try is a fallback.
                    error => plain.map_err(|_| error),
                }
            }
            TlsMode::VerifyCa => match tls::other_name(&error) {
                // The driver checks the name always, so it gets one that fits.
                Some(name) => {
                    let renamed = |tls: SslOpts| tls.with_danger_tls_hostname_override(Some(name));
                    Conn::new(self.options(secret, self.tls.clone().map(renamed))).await
                }
                None => Err(error),
            },
            _ => Err(error),
        }
    }

    /// Ends a statement, by the number of its connection. Best effort: it may have ended by itself.
    pub(super) async fn cancel(&self, ids: &[u32]) {
        let mut link = match self.open().await {
            Ok(link) => link,
            Err(error) => {
                tracing::debug!("nothing was cancelled: {error}");
                return;
            }
        };
        let subject = Subject::catalogue(&self.place, self.account());
        for id in ids {
            if let Err(error) = link.run(&subject, &format!("KILL QUERY {id}")).await {
                tracing::debug!("connection {id}: {error}");
            }
        }
        link.close().await;
    }
}

/// A handshake that failed, or a server without encryption.
fn plain_text_may_help(error: &Error) -> bool {
    matches!(error, Error::Driver(DriverError::NoClientSslFlagFromServer))
        || tls::cause(error).is_some()
}

/// An open connection. Dropped in the middle of an answer it closes its socket at once.
pub(super) struct Link {
    /// Absent only while it is dropped.
    conn: Option<Conn>,
    place: Arc<Place>,
    /// Every statement's answer was read to its end.
    in_order: bool,
}

/// A row of texts, as the text protocol sends them.
pub(super) type Texts = Vec<Option<String>>;

impl Link {
    fn conn(&mut self) -> std::result::Result<&mut Conn, Error> {
        let closed = Error::Driver(DriverError::ConnectionClosed);
        self.conn.as_mut().ok_or(closed)
    }

    /// Executes a statement of ours that returns nothing we need.
    pub(super) async fn run(&mut self, subject: &Subject, sql: &str) -> Result<()> {
        let outcome = self.try_run(sql).await;
        outcome.map_err(|error| self.explain(subject, &error))
    }

    /// As [`Link::run`], with the driver's error for whoever needs its number.
    pub(super) async fn try_run(&mut self, sql: &str) -> std::result::Result<(), Error> {
        self.in_order = false;
        let outcome = self.conn()?.query_drop(sql).await;
        self.settle(outcome)
    }

    /// Rows of a statement of ours, every value as text.
    pub(super) async fn texts(&mut self, subject: &Subject, sql: &str) -> Result<Vec<Texts>> {
        let outcome = self.try_texts(sql).await;
        outcome.map_err(|error| self.explain(subject, &error))
    }

    /// As [`Link::texts`], with the driver's error for whoever needs its number.
    pub(super) async fn try_texts(&mut self, sql: &str) -> std::result::Result<Vec<Texts>, Error> {
        self.in_order = false;
        let outcome = self.conn()?.query::<Row, _>(sql).await;
        Ok(self.settle(outcome)?.into_iter().map(texts).collect())
    }

    /// As [`Link::try_texts`], each value by the name of its column, for answers whose columns differ
    /// from version to version.
    pub(super) async fn try_named(
        &mut self,
        sql: &str,
    ) -> std::result::Result<Vec<BTreeMap<String, String>>, Error> {
        self.in_order = false;
        let outcome = self.conn()?.query::<Row, _>(sql).await;
        let rows = self.settle(outcome)?.into_iter().map(|row| {
            let columns = row.columns();
            let names = columns.iter().map(|column| column.name_str().into_owned());
            let named = names.zip(texts(row));
            named
                .filter_map(|(name, value)| Some((name, value?)))
                .collect()
        });
        Ok(rows.collect())
    }

    /// Prepares a statement: the one way for text that is the user's, because it takes one statement
    /// only, and runs nothing.
    pub(super) async fn prepare(&mut self, sql: &str) -> std::result::Result<Statement, Error> {
        self.in_order = false;
        let outcome = self.conn()?.prep(sql).await;
        self.settle(outcome)
    }

    /// Closes a prepared statement.
    pub(super) async fn unprepare(
        &mut self,
        statement: Statement,
    ) -> std::result::Result<(), Error> {
        self.in_order = false;
        let outcome = self.conn()?.close(statement).await;
        self.settle(outcome)
    }

    /// Rows of a statement that may hold text of the user's.
    pub(super) async fn try_rows(&mut self, sql: &str) -> std::result::Result<Vec<Texts>, Error> {
        let statement = self.prepare(sql).await?;
        self.in_order = false;
        let outcome = self.conn()?.exec::<Row, _, _>(&statement, ()).await;
        let rows = self.settle(outcome);
        self.unprepare(statement).await?;
        Ok(rows?.into_iter().map(texts).collect())
    }

    /// Starts a prepared statement, whose rows [`Link::next_row`] then reads.
    pub(super) async fn start(&mut self, statement: &Statement) -> std::result::Result<(), Error> {
        self.in_order = false;
        let outcome = self.conn()?.exec_iter(statement, ()).await.map(drop);
        match outcome {
            // Its rows are yet to come.
            Ok(()) => Ok(()),
            Err(error) => self.settle(Err(error)),
        }
    }

    /// The next row of what was started; `None` after the server said that it was the last.
    #[inline]
    pub(super) async fn next_row(&mut self) -> std::result::Result<Option<Row>, Error> {
        let conn = self.conn()?;
        let outcome = QueryResult::<'_, '_, BinaryProtocol>::new(conn)
            .next()
            .await;
        match outcome {
            Ok(Some(row)) => Ok(Some(row)),
            end => self.settle(end),
        }
    }

    /// An answer has ended, unless the connection broke in the middle of it.
    fn settle<T>(
        &mut self,
        outcome: std::result::Result<T, Error>,
    ) -> std::result::Result<T, Error> {
        self.in_order = match &outcome {
            Ok(_) => true,
            Err(error) => matches!(error, Error::Server(_)),
        };
        outcome
    }

    /// What an error of this connection means.
    pub(super) fn explain(&self, subject: &Subject, error: &Error) -> SourceError {
        classify::statement(&self.place, subject, error)
    }
}

#[async_trait]
impl Line for Link {
    fn id(&self) -> u32 {
        self.conn.as_ref().map_or(0, Conn::id)
    }

    fn is_usable(&self) -> bool {
        let open = self
            .conn
            .as_ref()
            .is_some_and(|conn| !conn.is_disconnected());
        self.in_order && open
    }

    async fn close(mut self) {
        self.hang_up().await;
    }
}

impl Link {
    /// Says goodbye; the link is of no use afterwards.
    pub(super) async fn hang_up(&mut self) {
        if self.is_usable()
            && let Some(conn) = self.conn.take()
            && let Err(error) = conn.disconnect().await
        {
            tracing::debug!("goodbye: {}", classify::words(&error));
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else {
            return;
        };
        if self.in_order {
            // The driver says goodbye by itself.
            return drop(conn);
        }
        // On a runtime's thread the driver would first read the rest of the answer, however long it
        // is. Elsewhere it just closes the socket, which the server notices.
        let closing = std::thread::Builder::new().spawn(move || drop(conn));
        if let Err(error) = closing {
            tracing::debug!("a connection is closed by reading it to its end: {error}");
        }
    }
}

fn texts(row: Row) -> Texts {
    let values = row.unwrap().into_iter();
    values
        .map(|value| match value {
            Value::NULL => None,
            Value::Bytes(bytes) => Some(match String::from_utf8(bytes) {
                Ok(text) => text,
                Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
            }),
            Value::Int(number) => Some(number.to_string()),
            Value::UInt(number) => Some(number.to_string()),
            Value::Float(number) => Some(number.to_string()),
            Value::Double(number) => Some(number.to_string()),
            other => Some(other.as_sql(true).trim_matches('\'').to_owned()),
        })
        .collect()
}
