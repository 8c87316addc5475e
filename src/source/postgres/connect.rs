//! One connection: opened with what the target asks for, driven on the runtime it is opened on.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join3;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{
    CancelToken, Client, Config, CopyOutStream, NoTls, Row, SimpleQueryMessage, Socket,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::remote::Place;
use super::super::secrets::{Login, PasswordSource, Secret};
use super::super::url::{PostgresTarget, TlsMode};
use super::super::{ConnectOptions, Result, SourceError};
use super::classify::{self, Subject};
use super::tls;

/// Lets names mean what the server itself calls so, whatever schemas the role's search path puts before
/// `pg_catalog`: relations, functions, types and operators. Temporary ones, which come first unless
/// they are named, last.
pub(super) const OWN_NAMES: &str = "SET LOCAL search_path = pg_catalog, pg_temp;";

/// Lets names mean what they mean to the role again, as filters and queries of the user's do.
pub(super) const NAMES_OF_ROLE: &str = "SET LOCAL search_path TO DEFAULT;";

/// Begins a transaction that only looks. Its isolation is said, for what a role's default may be: a
/// standby knows none that is serializable, and a deferrable one waits.
pub(super) const BEGIN_LOOK: &str = "BEGIN ISOLATION LEVEL READ COMMITTED, READ ONLY;";

/// [`BEGIN_LOOK`] with [`OWN_NAMES`]; the size of a table takes its lock, and nobody waits for ever.
fn look(lock_wait: Duration) -> String {
    // Zero would be no limit.
    let limit = lock_wait.as_millis().max(1);
    format!("{BEGIN_LOOK}{OWN_NAMES}SET LOCAL lock_timeout = {limit};")
}

/// Opens connections to one target.
pub(super) struct Connector {
    target: PostgresTarget,
    password: PasswordSource,
    tls: Option<MakeRustlsConnect>,
    application: String,
    timeout: Duration,
    look: Arc<str>,
    place: Arc<Place>,
}

impl Connector {
    /// Settles what all connections share.
    ///
    /// # Errors
    /// A certificate file that cannot be used.
    pub(super) fn new(target: PostgresTarget, options: &ConnectOptions) -> Result<Self> {
        let shown = if target.is_socket() {
            format!("{}/.s.PGSQL.{}", target.host, target.port)
        } else {
            format!("{}:{}", target.host, target.port)
        };
        let application = options
            .run
            .as_ref()
            .map_or_else(|| "ixtract".to_owned(), |run| format!("ixtract/{run}"));
        Ok(Self {
            tls: tls::connector(&target, &shown)?,
            password: options.password.clone(),
            application,
            timeout: options.connect_timeout,
            look: look(options.lock_wait).into(),
            place: Arc::new(Place {
                target: shown,
                database: target.database.clone(),
                user: target.user.clone(),
            }),
            target,
        })
    }

    /// Where connections go.
    pub(super) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// How connections are to be secured, and whether the server is on this machine.
    pub(super) fn security(&self) -> (TlsMode, bool) {
        (self.target.tls_mode(), self.target.is_local())
    }

    /// Opens a connection, with a password obtained for it, within the time limit.
    pub(super) async fn open(&self) -> Result<Link> {
        let login = Login {
            host: &self.target.host,
            port: self.target.port,
            database: &self.target.database,
            user: &self.target.user,
        };
        let secret = self.password.resolve(&login).await?;
        if self.timeout.is_zero() {
            return self.negotiate(secret.as_ref()).await;
        }
        tokio::time::timeout(self.timeout, self.negotiate(secret.as_ref()))
            .await
            .unwrap_or_else(|_| {
                Err(SourceError::Unreachable {
                    target: self.place.target.clone(),
                    why: format!("no answer within {} s", self.timeout.as_secs_f64()),
                })
            })
    }

    fn config(&self, secret: Option<&Secret>, options: Option<&str>) -> Config {
        let mut config = Config::new();
        let mode = match self.target.tls_mode() {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        };
        // A socket that dies without a word is noticed within two minutes.
        config
            .host(&self.target.host)
            .port(self.target.port)
            .dbname(&self.target.database)
            .user(&self.target.user)
            .application_name(&self.application)
            .ssl_mode(mode)
            .keepalives_idle(Duration::from_secs(60))
            .keepalives_interval(Duration::from_secs(15))
            .keepalives_retries(4);
        if let Some(options) = options {
            config.options(options);
        }
        if let Some(secret) = secret {
            config.password(secret.expose());
        }
        config
    }

    /// Connects, with the two second tries that are safe: in plain text where `prefer` allows it, and
    /// without `options` where a pooler knows none.
    async fn negotiate(&self, secret: Option<&Secret>) -> Result<Link> {
        let options = self.target.options.as_deref();
        let mut config = self.config(secret, options);
        let mut result = self.attempt(&config).await;
        if let Err(error) = &result
            && options.is_some()
            && error.code() == Some(&SqlState::PROTOCOL_VIOLATION)
        {
            tracing::warn!("the server takes no startup options; connecting without them");
            // Empty ones would be a parameter too.
            config = self.config(secret, None);
            result = self.attempt(&config).await;
        }
        if let Err(error) = &result
            && config.get_ssl_mode() == SslMode::Prefer
            && plain_text_may_help(error)
        {
            config.ssl_mode(SslMode::Disable);
            // The first error is the one to show: the second try is a fallback.
            if let Ok(link) = self.attempt(&config).await {
                return Ok(link);
            }
        }
        result.map_err(|error| classify::connecting(&self.place, &error))
    }

    async fn attempt(&self, config: &Config) -> std::result::Result<Link, tokio_postgres::Error> {
        match &self.tls {
            Some(tls) if config.get_ssl_mode() != SslMode::Disable => {
                let (client, connection) = config.connect(tls.clone()).await?;
                Ok(self.link(client, connection))
            }
            _ => {
                let (client, connection) = config.connect(NoTls).await?;
                let connection: tokio_postgres::Connection<Socket, NoTlsStream> = connection;
                Ok(self.link(client, connection))
            }
        }
    }

    fn link<S>(&self, client: Client, connection: tokio_postgres::Connection<Socket, S>) -> Link
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let last_words = Arc::new(OnceLock::new());
        let heard = Arc::clone(&last_words);
        let driver = tokio::spawn(async move {
            let mut connection = connection;
            if let Err(error) = (&mut connection).await {
                // Kept before the connection is dropped, which is what wakes whoever waits for it.
                let _ = heard.set(classify::words(&error));
            }
        });
        Link {
            client,
            driver,
            last_words,
            look: Arc::clone(&self.look),
            place: Arc::clone(&self.place),
        }
    }

    /// Asks the server to stop what a connection is executing.
    pub(super) async fn cancel(&self, token: &CancelToken) {
        // Best effort by nature: the server never says whether it had anything to cancel.
        let outcome = match &self.tls {
            Some(tls) => token.cancel_query(tls.clone()).await,
            None => token.cancel_query(NoTls).await,
        };
        if let Err(error) = outcome {
            tracing::debug!("cancel request: {}", classify::words(&error));
        }
    }
}

/// libpq's rule for `prefer`: a handshake that failed, or a server rule against encryption.
fn plain_text_may_help(error: &tokio_postgres::Error) -> bool {
    error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
        || (error.as_db_error().is_none() && error.to_string().starts_with("error performing TLS"))
}

/// An open connection. Dropped, it ends when the statement it executes does; see [`Link::abort`].
pub(super) struct Link {
    client: Client,
    driver: JoinHandle<()>,
    /// What the server said last, when it ended the connection by itself.
    last_words: Arc<OnceLock<String>>,
    /// Begins a transaction for questions to the catalogue.
    look: Arc<str>,
    place: Arc<Place>,
}

impl Link {
    /// Executes statements that return nothing we need, in one round trip.
    pub(super) async fn execute(&self, subject: &Subject, sql: &str) -> Result<()> {
        let outcome = self.client.batch_execute(sql).await;
        outcome.map_err(|error| self.explain(subject, &error))
    }

    /// As [`Link::execute`], with the driver's error for whoever needs its SQLSTATE.
    pub(super) async fn attempt(
        &self,
        sql: &str,
    ) -> std::result::Result<(), tokio_postgres::Error> {
        self.client.batch_execute(sql).await
    }

    /// Rows of one statement. Unnamed and typed, so one round trip and safe behind any pooler.
    pub(super) async fn rows(
        &self,
        subject: &Subject,
        sql: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>> {
        let outcome = self.client.query_typed(sql, params).await;
        outcome.map_err(|error| self.explain(subject, &error))
    }

    /// Rows of one question to the catalogue: in a transaction of its own, in which only the server's
    /// own names mean anything, and still in one round trip.
    pub(super) async fn ask(
        &self,
        subject: &Subject,
        sql: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>> {
        // Polled in this order, and each is sent whole when it is polled first.
        let (begun, rows, ended) = join3(
            self.client.batch_execute(&self.look),
            self.client.query_typed(sql, params),
            self.client.batch_execute("ROLLBACK"),
        )
        .await;
        begun
            .and(rows)
            .and_then(|rows| ended.map(|()| rows))
            .map_err(|error| self.explain(subject, &error))
    }

    /// Questions to the catalogue that belong together, as [`Link::ask`] asks one.
    pub(super) async fn look<T>(
        &self,
        subject: &Subject,
        questions: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.execute(subject, &self.look).await?;
        let answers = questions.await;
        // Ends the transaction whether it failed or not.
        let ended = self.execute(subject, "ROLLBACK").await;
        let answers = answers?;
        ended.map(|()| answers)
    }

    /// As [`Link::rows`] without parameters, with the driver's error for whoever needs its SQLSTATE.
    pub(super) async fn try_rows(
        &self,
        sql: &str,
    ) -> std::result::Result<Vec<Row>, tokio_postgres::Error> {
        self.client.query_typed(sql, &[]).await
    }

    /// Names of a statement's columns, of whatever types they are, in the simple protocol.
    pub(super) async fn column_names(
        &self,
        sql: &str,
    ) -> std::result::Result<Vec<String>, tokio_postgres::Error> {
        let messages = self.client.simple_query(sql).await?;
        let columns = messages.iter().find_map(|message| match message {
            SimpleQueryMessage::RowDescription(columns) => Some(columns),
            _ => None,
        });
        let columns = columns.iter().flat_map(|columns| columns.iter());
        Ok(columns.map(|column| column.name().to_owned()).collect())
    }

    /// The one row of a statement that always has one.
    pub(super) async fn row(
        &self,
        subject: &Subject,
        sql: &str,
        params: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Row> {
        let outcome = self.client.query_typed_one(sql, params).await;
        outcome.map_err(|error| self.explain(subject, &error))
    }

    /// Rows of one statement in the simple protocol, every value as text.
    pub(super) async fn text_rows(
        &self,
        sql: &str,
    ) -> std::result::Result<Vec<Vec<Option<String>>>, tokio_postgres::Error> {
        let messages = self.client.simple_query(sql).await?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        rows.map(|row| {
            (0..row.len())
                .map(|index| row.try_get(index).map(|text| text.map(str::to_owned)))
                .collect()
        })
        .collect()
    }

    /// Starts a `COPY … TO STDOUT`.
    pub(super) async fn copy_out(&self, subject: &Subject, sql: &str) -> Result<CopyOutStream> {
        let outcome = self.client.copy_out(sql).await;
        outcome.map_err(|error| self.explain(subject, &error))
    }

    /// What an error of this connection means, with the server's last words where it closed it.
    pub(super) fn explain(&self, subject: &Subject, error: &tokio_postgres::Error) -> SourceError {
        match classify::statement(&self.place, subject, error) {
            SourceError::ConnectionLost { target, .. } if error.is_closed() => {
                SourceError::ConnectionLost {
                    target,
                    why: self
                        .last_words
                        .get()
                        .cloned()
                        .unwrap_or_else(|| classify::words(error)),
                }
            }
            other => other,
        }
    }

    /// Whether the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// What cancels this connection's statements.
    pub(super) fn cancel_token(&self) -> CancelToken {
        self.client.cancel_token()
    }

    /// Says goodbye and waits for the connection to end.
    pub(super) async fn close(self) {
        let Self { client, driver, .. } = self;
        drop(client);
        // A driver that was aborted has ended too.
        let _ = driver.await;
    }

    /// Closes the socket now, in the middle of whatever is going on.
    pub(super) fn abort(&self) {
        self.driver.abort();
    }
}
