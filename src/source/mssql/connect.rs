//! One connection: opened with what the target asks for, and fixed as every session of ours is.

use std::net::Shutdown;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use socket2::{SockRef, TcpKeepalive};
use tiberius::error::{Error, IoErrorKind};
use tiberius::{AuthMethod, Client, Config, EncryptionLevel, Query, QueryItem, QueryStream, Row};
use tokio::net::TcpStream;
use tokio::sync::mpsc::Sender;
use tokio_util::compat::{Compat, TokioAsyncWriteCompatExt};

use super::super::remote::Place;
use super::super::seats::Line;
use super::super::secrets::{Login, PasswordSource, Secret};
use super::super::url::{SqlServerTarget, TlsMode};
use super::super::{ConnectOptions, Result, SourceError};
use super::classify::{self, Subject};
use super::server::{self, Server};
use super::sql::{Parameter, Statement};
use super::types::Storage;
use super::value::{is_null, printed};

/// The longest that a question of ours may take; what is not known by then stays unknown.
const QUESTION_LIMIT: Duration = Duration::from_secs(20);

/// The longest that a question waits for a lock.
const QUESTION_LOCKS: Duration = Duration::from_secs(5);

/// A socket that dies without a word is noticed by the system.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// Times that a gateway may send us on to another server.
const REDIRECTS: u32 = 3;

/// Rows that travel together from the driver to the decoders.
const BLOCK_ROWS: usize = 128;

/// Opens connections to one target.
pub(super) struct Connector {
    target: SqlServerTarget,
    password: PasswordSource,
    /// The file of `--tls-ca`.
    roots: Option<Vec<u8>>,
    program: String,
    timeout: Duration,
    pub(super) statement_timeout: Duration,
    place: Arc<Place>,
    /// Known from the first connection on.
    known: OnceLock<Server>,
}

impl Connector {
    /// Settles what all connections share.
    ///
    /// # Errors
    /// A file of trusted roots that cannot be read.
    pub(super) fn new(target: SqlServerTarget, options: &ConnectOptions) -> Result<Self> {
        let shown = format!("{}:{}", target.host, target.port);
        let roots = match &target.tls_ca {
            Some(file) => Some(std::fs::read(file).map_err(|error| SourceError::Tls {
                target: shown.clone(),
                why: format!("{}: {error}", file.display()),
            })?),
            None => None,
        };
        let run = options.run.as_ref();
        Ok(Self {
            roots,
            password: options.password.clone(),
            program: run.map_or_else(|| "ixtract".to_owned(), |run| format!("ixtract/{run}")),
            timeout: options.connect_timeout,
            statement_timeout: options.statement_timeout,
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
        self.known.get().ok_or_else(|| SourceError::ConnectionLost {
            target: self.place.target.clone(),
            why: "it was never made".to_owned(),
        })
    }

    /// The mode in force, and whether the server is on this machine.
    pub(super) fn security(&self) -> (TlsMode, bool) {
        (self.target.tls_mode(), self.target.is_local())
    }

    /// Opens a connection for reading, which waits that long for a lock.
    pub(super) async fn open(&self, lock_wait: Duration) -> Result<Link> {
        self.open_limited(lock_wait).await
    }

    /// Opens a connection for questions, whose answers have a limit of their own.
    pub(super) async fn open_to_ask(&self) -> Result<Link> {
        let mut link = self.open_limited(QUESTION_LOCKS).await?;
        link.limit = QUESTION_LIMIT;
        Ok(link)
    }

    /// Opens a connection, with a password obtained for it, within the time limit.
    async fn open_limited(&self, lock_wait: Duration) -> Result<Link> {
        let login = Login {
            host: &self.target.host,
            port: self.target.port,
            database: &self.target.database,
            user: &self.target.user,
        };
        let secret = self.password.resolve(&login).await?;
        let opened = self.ready(secret.as_ref(), lock_wait);
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

    async fn ready(&self, secret: Option<&Secret>, lock_wait: Duration) -> Result<Link> {
        let reached = self.reach(secret).await;
        let mut link = reached.map_err(|error| classify::connecting(&self.place, &error))?;
        let subject = Subject::catalogue(&self.place, self.known.get());
        link.run(&subject, &server::pins(lock_wait)).await?;
        let spid = link
            .ask(&subject, &Statement::plain("SELECT @@SPID"))
            .await?;
        let spid = spid.into_iter().flatten().flatten().next();
        link.id = spid.and_then(|text| text.parse().ok()).unwrap_or(0);
        if self.known.get().is_none() {
            let question = Statement::plain(Server::QUESTION);
            let answers = link.ask(&subject, &question).await?;
            let server = Server::of(answers.first().map_or(&[], Vec::as_slice));
            server.check()?;
            self.known.get_or_init(|| server);
        }
        Ok(link)
    }

    /// Connects, and again where a gateway sends us, as Azure's does.
    async fn reach(&self, secret: Option<&Secret>) -> std::result::Result<Link, Error> {
        let (mut host, mut port) = (self.target.host.clone(), self.target.port);
        let mut redirects = 0;
        loop {
            match self.negotiate(&host, port, secret).await {
                Err(Error::Routing {
                    host: next_host,
                    port: next_port,
                }) if redirects < REDIRECTS => {
                    redirects += 1;
                    (host, port) = (next_host, next_port);
                }
                outcome => return outcome,
            }
        }
    }

    /// Connects, with the second tries that are safe: in plain text where `prefer` allows it, and
    /// under another name where `verify-ca` takes any.
    async fn negotiate(
        &self,
        host: &str,
        port: u16,
        secret: Option<&Secret>,
    ) -> std::result::Result<Link, Error> {
        let mode = self.target.tls_mode();
        let level = match mode {
            _ if self.target.strict => EncryptionLevel::Strict,
            TlsMode::Disable => EncryptionLevel::NotSupported,
            TlsMode::Prefer => EncryptionLevel::On,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => EncryptionLevel::Required,
        };
        let config = || self.config(host, port, secret, level);
        let encrypted = level != EncryptionLevel::NotSupported;
        let error = match self.dial((host, port), config(), encrypted).await {
            Ok(link) => return Ok(link),
            Err(error) => error,
        };
        match mode {
            TlsMode::Prefer
                if matches!(error, Error::Tls(_)) || classify::refuses_encryption(&error) =>
            {
                let plain = self.config(host, port, secret, EncryptionLevel::NotSupported);
                // The first error is the one to show: the second try is a fallback.
                self.dial((host, port), plain, false)
                    .await
                    .map_err(|_| error)
            }
            TlsMode::VerifyCa => match classify::other_name(&error) {
                Some(name) => {
                    let mut renamed = config();
                    renamed.hostname_in_certificate(name);
                    self.dial((host, port), renamed, true).await
                }
                None => Err(error),
            },
            _ => Err(error),
        }
    }

    fn config(
        &self,
        host: &str,
        port: u16,
        secret: Option<&Secret>,
        level: EncryptionLevel,
    ) -> Config {
        let mut config = Config::new();
        config.host(host);
        config.port(port);
        config.database(&self.target.database);
        config.application_name(&self.program);
        config.readonly(self.target.read_only);
        config.encryption(level);
        // There is a limit for all of it.
        config.handshake_timeout(None);
        // Half a minute would be what a statement may take to its first row.
        config.command_timeout(None);
        // Of the catalogue's texts; those of rows are read as bytes.
        config.lossy_utf16_decoding(true);
        let password = secret.map_or("", Secret::expose);
        config.authentication(AuthMethod::sql_server(&self.target.user, password));
        match (self.target.tls_mode(), &self.roots) {
            (TlsMode::VerifyCa | TlsMode::VerifyFull, Some(roots)) => {
                config.trust_cert_ca_bundle(roots.clone());
            }
            (TlsMode::VerifyCa | TlsMode::VerifyFull, None) => {}
            _ => config.trust_cert(),
        }
        if let Some((certificate, key)) = &self.target.tls_client {
            config.client_certificate(certificate, key);
        }
        config
    }

    async fn dial(
        &self,
        place: (&str, u16),
        config: Config,
        encrypted: bool,
    ) -> std::result::Result<Link, Error> {
        let socket = TcpStream::connect(place).await?;
        socket.set_nodelay(true)?;
        let probing = TcpKeepalive::new().with_time(KEEP_ALIVE);
        SockRef::from(&socket).set_tcp_keepalive(&probing)?;
        let socket = socket.into_std()?;
        let cord = Arc::new(socket.try_clone()?);
        let socket = TcpStream::from_std(socket)?;
        let client = Client::connect(config, socket.compat_write()).await?;
        Ok(Link {
            client,
            cord,
            id: 0,
            place: Arc::clone(&self.place),
            in_order: true,
            encrypted,
            limit: self.statement_timeout,
        })
    }
}

/// The socket of a connection, by which it can be cut while it is in use: the server then ends what it
/// was doing for it. To have it ended by KILL would take a right that readers do not have.
pub(super) type Cord = Arc<std::net::TcpStream>;

/// An open connection.
pub(super) struct Link {
    client: Client<Compat<TcpStream>>,
    cord: Cord,
    id: u32,
    place: Arc<Place>,
    /// Every statement's answer was read to its end.
    in_order: bool,
    encrypted: bool,
    /// The longest that a statement may take; zero is no limit. The server has no such setting.
    limit: Duration,
}

/// A row of texts.
pub(super) type Texts = Vec<Option<String>>;

impl Link {
    /// What the connection can be cut by.
    pub(super) fn cord(&self) -> &Cord {
        &self.cord
    }

    /// Whether the line is encrypted.
    pub(super) fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Executes statements of ours, as one batch, that return nothing we need.
    pub(super) async fn run(&mut self, subject: &Subject, sql: &str) -> Result<()> {
        let outcome = self.try_run(sql).await;
        outcome.map_err(|error| self.explain(subject, &error))
    }

    /// As [`Link::run`], with the driver's error for whoever needs its number.
    pub(super) async fn try_run(&mut self, sql: &str) -> std::result::Result<(), Error> {
        self.in_order = false;
        let client = &mut self.client;
        let outcome = within(self.limit, async move {
            client
                .simple_query(sql)
                .await?
                .into_results()
                .await
                .map(drop)
        });
        let outcome = outcome.await;
        self.settle(outcome)
    }

    /// Rows of a statement, every value as text.
    pub(super) async fn ask(
        &mut self,
        subject: &Subject,
        statement: &Statement,
    ) -> Result<Vec<Texts>> {
        let outcome = self.try_ask(statement).await;
        outcome.map_err(|error| self.explain(subject, &error))
    }

    /// As [`Link::ask`], with the driver's error for whoever needs its number.
    pub(super) async fn try_ask(
        &mut self,
        statement: &Statement,
    ) -> std::result::Result<Vec<Texts>, Error> {
        self.in_order = false;
        let client = &mut self.client;
        let rows = within(self.limit, async move {
            start(client, statement).await?.into_first_result().await
        });
        let rows = rows.await;
        Ok(self.settle(rows)?.iter().map(texts).collect())
    }

    /// Executes a statement and hands its rows on in blocks, to the server's own end of them. Whoever
    /// takes them may stop at any time; the connection is then of no further use.
    pub(super) async fn pour(
        &mut self,
        statement: &Statement,
        to: Sender<Vec<Row>>,
    ) -> std::result::Result<(), Error> {
        self.in_order = false;
        let client = &mut self.client;
        let poured = within(self.limit, async move {
            let mut items = start(client, statement).await?;
            let mut block = Vec::with_capacity(BLOCK_ROWS);
            while let Some(item) = items.try_next().await? {
                let QueryItem::Row(row) = item else { continue };
                block.push(row);
                if block.len() == BLOCK_ROWS {
                    let full = std::mem::replace(&mut block, Vec::with_capacity(BLOCK_ROWS));
                    to.send(full).await.map_err(|_| nobody_listens())?;
                }
            }
            if block.is_empty() {
                return Ok(());
            }
            to.send(block).await.map_err(|_| nobody_listens())
        });
        let outcome = poured.await;
        self.settle(outcome)
    }

    /// An answer has ended, unless the connection broke in the middle of it.
    fn settle<T>(
        &mut self,
        outcome: std::result::Result<T, Error>,
    ) -> std::result::Result<T, Error> {
        // After an error of the server's the rest of its answer was read, too.
        self.in_order = matches!(&outcome, Ok(_) | Err(Error::Server(_)));
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
        self.id
    }

    fn is_usable(&self) -> bool {
        self.in_order
    }

    async fn close(self) {
        // The protocol has no goodbye: that the socket closes is all there is to say.
        drop(self);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Others may hold the cord; the server must notice nevertheless.
        cut(&self.cord);
    }
}

/// Cuts a connection.
pub(super) fn cut(cord: &Cord) {
    if let Err(error) = cord.shutdown(Shutdown::Both) {
        tracing::debug!("a connection was already gone: {error}");
    }
}

fn nobody_listens() -> Error {
    Error::Io {
        kind: IoErrorKind::Other,
        message: "nobody takes the rows any more".to_owned(),
    }
}

/// Starts a statement; one with parameters by `sp_executesql`.
async fn start<'a>(
    client: &'a mut Client<Compat<TcpStream>>,
    statement: &Statement,
) -> std::result::Result<QueryStream<'a>, Error> {
    let mut query = Query::new(statement.sql.clone());
    for parameter in &statement.parameters {
        match parameter {
            Parameter::Int(value) => query.bind(*value),
            Parameter::Text(text) => query.bind(text.clone()),
        }
    }
    query.query(client).await
}

/// A future with a limit; zero is none.
async fn within<T>(
    limit: Duration,
    future: impl Future<Output = std::result::Result<T, Error>>,
) -> std::result::Result<T, Error> {
    if limit.is_zero() {
        return future.await;
    }
    tokio::time::timeout(limit, future)
        .await
        .unwrap_or_else(|_| {
            Err(Error::Io {
                kind: IoErrorKind::TimedOut,
                message: format!("no end within {} s", limit.as_secs_f64()),
            })
        })
}

/// A row's values as text.
fn texts(row: &Row) -> Texts {
    let text = |value| {
        if is_null(value) {
            return None;
        }
        printed(value, &Storage::DateTime2(7))
    };
    row.cells().map(|(_, value)| text(value)).collect()
}
