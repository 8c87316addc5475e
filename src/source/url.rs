//! Source addresses: `postgresql://…` with libpq's parameters, `mysql://…`, `sqlserver://…`, and
//! `sqlite:PATH`.
//!
//! A password in an address is taken out at once and handed back apart, as a [`Secret`]: no
//! [`Target`] and no [`UrlError`] ever holds one.

use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

mod mysql;
mod sqlserver;
mod tls;

pub(super) use mysql::shown as mysql_place;
pub use mysql::{MysqlAddress, MysqlTarget};
pub use sqlserver::{SqlServerAddress, SqlServerTarget};
pub use tls::TlsMode;
use tls::in_force;

use super::secrets::Secret;
use crate::error::{ExitCode, Failure};

/// Where a source is, as whom to log in, and how the line is secured. No password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A PostgreSQL server.
    Postgres(PostgresTarget),
    /// A MySQL or MariaDB server.
    Mysql(MysqlTarget),
    /// A SQL Server.
    SqlServer(SqlServerTarget),
    /// A SQLite file.
    Sqlite(PathBuf),
}

/// A PostgreSQL address, all parts settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresTarget {
    /// Host name, IP address, or the absolute path of a socket directory.
    pub host: String,
    /// TCP port, or the number in the socket's name.
    pub port: u16,
    /// Database.
    pub database: String,
    /// User.
    pub user: String,
    /// TLS; `None` means the default for the kind of host (decisions.md, section 1).
    pub tls: Option<TlsMode>,
    /// `--tls-ca`: PEM file of trusted roots; the system's where absent.
    pub tls_ca: Option<PathBuf>,
    /// Client certificate and key, PEM files.
    pub tls_client: Option<(PathBuf, PathBuf)>,
    /// `options` of the URL: sent as startup options.
    pub options: Option<String>,
}

impl PostgresTarget {
    /// Whether the host is a socket directory.
    pub fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Whether the server is on this machine, so that nothing travels over a network.
    pub fn is_local(&self) -> bool {
        self.is_socket() || tls::is_loopback(&self.host)
    }

    /// The TLS mode in force: as written, else by the kind of host.
    pub fn tls_mode(&self) -> TlsMode {
        if self.is_socket() {
            TlsMode::Disable
        } else {
            in_force(self.tls, &self.host)
        }
    }
}

/// An address as it was written: what it leaves out is still to be settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `postgresql://…`
    Postgres(Box<PostgresAddress>),
    /// `mysql://…`
    Mysql(Box<MysqlAddress>),
    /// `sqlserver://…`
    SqlServer(Box<SqlServerAddress>),
    /// `sqlite:PATH`
    Sqlite(PathBuf),
}

impl Address {
    /// Whether a password is written in it.
    pub fn has_password(&self) -> bool {
        match self {
            Self::Postgres(address) => address.password.is_some(),
            Self::Mysql(address) => address.password.is_some(),
            Self::SqlServer(address) => address.password.is_some(),
            Self::Sqlite(_) => false,
        }
    }
}

/// The parts of a PostgreSQL URL that were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostgresAddress {
    /// Host name, IP address (without brackets), or socket directory.
    pub host: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// Database.
    pub database: Option<String>,
    /// User.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// `passfile`: a `.pgpass` of one's own.
    pub pass_file: Option<PathBuf>,
    /// `sslmode`.
    pub tls: Option<TlsMode>,
    /// `sslrootcert`.
    pub tls_ca: Option<PathBuf>,
    /// `sslcert`.
    pub tls_cert: Option<PathBuf>,
    /// `sslkey`.
    pub tls_key: Option<PathBuf>,
    /// `options`.
    pub options: Option<String>,
    /// `connect_timeout`; libpq's 0 means no limit and is absent here.
    pub connect_timeout: Option<Duration>,
    /// `application_name`.
    pub application_name: Option<String>,
}

impl PostgresAddress {
    /// The target, with libpq's defaults for what is not written: host `localhost`, port 5432, and
    /// the user's name for the database. `default_user` is the environment's or system's user.
    ///
    /// # Errors
    /// No user anywhere; a client certificate without its key or the reverse.
    pub fn settle(&self, default_user: Option<&str>) -> Result<PostgresTarget, UrlError> {
        let user = self
            .user
            .clone()
            .or_else(|| default_user.map(str::to_owned))
            .ok_or(UrlError::NoUser)?;
        let tls_client = client_certificate(&self.tls_cert, &self.tls_key)?;
        Ok(PostgresTarget {
            host: self.host.clone().unwrap_or_else(|| "localhost".to_owned()),
            port: self.port.unwrap_or(5432),
            database: self.database.clone().unwrap_or_else(|| user.clone()),
            user,
            tls: self.effective_tls(),
            tls_ca: self.tls_ca.clone(),
            tls_client,
            options: self.options.clone(),
        })
    }

    /// As in libpq, `require` together with a root certificate verifies the chain.
    fn effective_tls(&self) -> Option<TlsMode> {
        match self.tls {
            Some(TlsMode::Require) if self.tls_ca.is_some() => Some(TlsMode::VerifyCa),
            mode => mode,
        }
    }
}

/// A client certificate with its key.
fn client_certificate(
    certificate: &Option<PathBuf>,
    key: &Option<PathBuf>,
) -> Result<Option<(PathBuf, PathBuf)>, UrlError> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate.clone(), key.clone()))),
        (None, None) => Ok(None),
        _ => Err(UrlError::HalfClientCertificate),
    }
}

/// What is wrong with an address. Never repeats the address: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UrlError {
    /// None of `postgresql://`, `mysql://`, `sqlserver://` and `sqlite:`.
    #[error("the source address begins with '{0}', which is no known kind of source")]
    Scheme(String),
    /// A `%` that two hexadecimal digits do not follow, or bytes that are not UTF-8.
    #[error("the {0} of the source address is not percent-encoded UTF-8")]
    Encoding(&'static str),
    /// A parameter that libpq does not know, or that this program does not take.
    #[error("the source address has the parameter '{0}', which is not known here")]
    Parameter(String),
    /// The same of a MySQL address.
    #[error("the source address has the parameter '{0}', which is not known for MySQL")]
    MysqlParameter(String),
    /// The same of a SQL Server address.
    #[error("the source address has the parameter '{0}', which is not known for SQL Server")]
    SqlServerParameter(String),
    /// A named instance, which only a service on UDP port 1434 could find.
    #[error("the source address names the instance '{0}'")]
    Instance(String),
    /// A parameter's value is not one it can have.
    #[error("the source address's {name} is not valid: {why}")]
    Value {
        /// The parameter.
        name: &'static str,
        /// What is wrong; never a secret.
        why: String,
    },
    /// Several hosts.
    #[error("the source address names several hosts")]
    SeveralHosts,
    /// No user anywhere.
    #[error("no user is given for the source")]
    NoUser,
    /// A MySQL or SQL Server address without a database.
    #[error("no database is given for the source")]
    NoDatabase,
    /// `sslcert` without `sslkey`, or the reverse.
    #[error("a client certificate needs both its certificate and its key file")]
    HalfClientCertificate,
    /// `sqlite:` without a path.
    #[error("the address sqlite: names no file")]
    NoPath,
}

impl From<UrlError> for Failure {
    fn from(error: UrlError) -> Failure {
        let (why, fix) = match &error {
            UrlError::Scheme(_) => (
                "known are postgresql://, postgres://, mysql://, mariadb://, sqlserver://, mssql:// and sqlite:",
                "write --source postgresql://user@host/database, mysql://user@host/database, sqlserver://user@host/database or sqlite:PATH",
            ),
            UrlError::Encoding(_) => (
                "a % must be followed by two hexadecimal digits",
                "write %25 for a %, %40 for an @, %2F for a / inside user, password or names",
            ),
            UrlError::Parameter(_) => (
                "known are host, port, dbname, user, password, passfile, sslmode, sslrootcert, sslcert, sslkey, options, connect_timeout, application_name",
                "leave the parameter out",
            ),
            UrlError::MysqlParameter(_) => (
                "known are socket, ssl-mode, ssl-ca, ssl-cert, ssl-key, connect-timeout",
                "leave the parameter out",
            ),
            UrlError::NoDatabase => (
                "tables are looked for there when only their name is given",
                "write the database behind the host, as in mysql://user@host/DATABASE, or pass --database",
            ),
            UrlError::SqlServerParameter(_) => (
                "known are database, user, password, encrypt, trustServerCertificate, tls, serverCertificate, loginTimeout, applicationIntent",
                "leave the parameter out",
            ),
            UrlError::Instance(_) => (
                "which port an instance listens on is told by a service of its own, which is not asked",
                "write the instance's port: sqlserver://user@host:PORT/database",
            ),
            UrlError::Value { .. } => (
                "the server's own clients would not accept it either",
                "correct the value in --source",
            ),
            UrlError::SeveralHosts => (
                "a run reads one server, so that its snapshot is one point in time",
                "write the one host to read from",
            ),
            UrlError::NoUser => (
                "neither the address nor the environment names one",
                "write USER@ before the host or pass --user",
            ),
            UrlError::HalfClientCertificate => (
                "only one of sslcert and sslkey is given",
                "give both, or neither",
            ),
            UrlError::NoPath => ("nothing follows sqlite:", "write --source sqlite:PATH"),
        };
        Failure::new(ExitCode::Usage, error.to_string(), why, fix)
    }
}

/// Reads a source address.
///
/// # Errors
/// See [`UrlError`]; the address itself is never repeated in it.
pub fn parse(text: &str) -> Result<Address, UrlError> {
    let (scheme, rest) = text
        .split_once(':')
        .ok_or_else(|| UrlError::Scheme(shown_scheme(text)))?;
    match (scheme.to_ascii_lowercase().as_str(), rest) {
        ("postgresql" | "postgres", rest) if rest.starts_with("//") => {
            postgres(&rest[2..]).map(|address| Address::Postgres(Box::new(address)))
        }
        ("mysql" | "mariadb", rest) if rest.starts_with("//") => {
            mysql::address(&rest[2..]).map(|address| Address::Mysql(Box::new(address)))
        }
        ("sqlserver" | "mssql", rest) if rest.starts_with("//") => {
            sqlserver::address(&rest[2..]).map(|address| Address::SqlServer(Box::new(address)))
        }
        ("sqlite", path) => {
            // `sqlite:///abs` is what other tools write for an absolute path.
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err(UrlError::NoPath);
            }
            Ok(Address::Sqlite(PathBuf::from(path)))
        }
        _ => Err(UrlError::Scheme(shown_scheme(scheme))),
    }
}

/// As much of the address's beginning as can be a scheme, so that no secret is shown.
fn shown_scheme(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '+')
        .take(12)
        .collect()
}

/// The parts of a URL after its `//`, percent-decoded.
#[derive(Debug, Default)]
struct Parts {
    user: Option<String>,
    password: Option<Secret>,
    host: Option<String>,
    port: Option<u16>,
    database: Option<String>,
    parameters: Vec<(String, String)>,
}

impl Parts {
    fn of(rest: &str) -> Result<Self, UrlError> {
        let mut parts = Self::default();
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let place = match authority.rsplit_once('@') {
            Some((login, place)) => {
                let (user, password) = match login.split_once(':') {
                    Some((user, password)) => (user, Some(password)),
                    None => (login, None),
                };
                parts.user = filled(decode(user, "user")?);
                if let Some(password) = password {
                    parts.password = filled(decode(password, "password")?).map(Secret::new);
                }
                place
            }
            None => authority,
        };
        (parts.host, parts.port) = host_and_port(place)?;
        parts.database = filled(decode(path, "database")?);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let pair = (decode(name, "parameter")?, decode(value, "parameter")?);
            parts.parameters.push(pair);
        }
        Ok(parts)
    }
}

/// Everything after `postgresql://`.
fn postgres(rest: &str) -> Result<PostgresAddress, UrlError> {
    let parts = Parts::of(rest)?;
    let mut address = PostgresAddress {
        user: parts.user,
        password: parts.password,
        host: parts.host,
        port: parts.port,
        database: parts.database,
        ..PostgresAddress::default()
    };
    for (name, value) in parts.parameters {
        parameter(&mut address, &name, value)?;
    }
    Ok(address)
}

fn host_and_port(place: &str) -> Result<(Option<String>, Option<u16>), UrlError> {
    if place.contains(',') {
        return Err(UrlError::SeveralHosts);
    }
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or_else(|| UrlError::Value {
                name: "host",
                why: "an IPv6 address's [ has no ]".to_owned(),
            })?;
            let port = match after {
                "" => None,
                after => Some(after.strip_prefix(':').ok_or_else(|| UrlError::Value {
                    name: "port",
                    why: "only :PORT may follow an IPv6 address".to_owned(),
                })?),
            };
            (host, port)
        }
        None => match place.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let port = port.filter(|port| !port.is_empty()).map(port_number);
    Ok((filled(decode(host, "host")?), port.transpose()?))
}

fn parameter(address: &mut PostgresAddress, name: &str, value: String) -> Result<(), UrlError> {
    match name {
        "host" if value.contains(',') => return Err(UrlError::SeveralHosts),
        "host" => address.host = filled(value),
        "port" if value.contains(',') => return Err(UrlError::SeveralHosts),
        "port" => address.port = Some(port_number(&value)?),
        "dbname" => address.database = filled(value),
        "user" => address.user = filled(value),
        "password" => address.password = filled(value).map(Secret::new),
        "passfile" => address.pass_file = filled(value).map(PathBuf::from),
        "sslmode" => {
            address.tls = Some(value.parse().map_err(|why| UrlError::Value {
                name: "sslmode",
                why,
            })?);
        }
        // The system's store is what is used without a file, and libpq then insists on the name.
        "sslrootcert" if value == "system" => address.tls = Some(TlsMode::VerifyFull),
        "sslrootcert" => address.tls_ca = filled(value).map(PathBuf::from),
        "sslcert" => address.tls_cert = filled(value).map(PathBuf::from),
        "sslkey" => address.tls_key = filled(value).map(PathBuf::from),
        "options" => address.options = filled(value),
        "application_name" => address.application_name = filled(value),
        "connect_timeout" => {
            address.connect_timeout = seconds("connect_timeout", &value)?;
        }
        // What this program settles by itself, with no loss if it is ignored.
        "client_encoding"
        | "fallback_application_name"
        | "keepalives"
        | "keepalives_idle"
        | "keepalives_interval"
        | "keepalives_count"
        | "tcp_user_timeout"
        | "gssencmode"
        | "sslcompression"
        | "sslsni"
        | "target_session_attrs"
        | "load_balance_hosts" => {}
        _ => return Err(UrlError::Parameter(name.to_owned())),
    }
    Ok(())
}

/// A number of seconds, of which none or fewer mean no limit.
fn seconds(name: &'static str, text: &str) -> Result<Option<Duration>, UrlError> {
    let seconds: i64 = text.parse().map_err(|_| UrlError::Value {
        name,
        why: "it is a whole number of seconds".to_owned(),
    })?;
    Ok(u64::try_from(seconds)
        .ok()
        .filter(|seconds| *seconds > 0)
        .map(Duration::from_secs))
}

fn port_number(text: &str) -> Result<u16, UrlError> {
    text.parse()
        .ok()
        .filter(|port| *port > 0)
        .ok_or_else(|| UrlError::Value {
            name: "port",
            why: "it is a number from 1 to 65535".to_owned(),
        })
}

fn filled(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// Percent-decoding as libpq does it: `+` stays a plus, `%00` is refused.
fn decode(text: &str, part: &'static str) -> Result<String, UrlError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || {
            rest.next()
                .and_then(|byte| char::from(byte).to_digit(16))
                .ok_or(UrlError::Encoding(part))
        };
        // Two hexadecimal digits make at most 255.
        let value = (digit()? * 16 + digit()?) as u8;
        if value == 0 {
            return Err(UrlError::Encoding(part));
        }
        bytes.push(value);
    }
    String::from_utf8(bytes).map_err(|_| UrlError::Encoding(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> PostgresAddress {
        match parse(text).unwrap() {
            Address::Postgres(address) => *address,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_part_of_a_url_is_read() {
        let address = parsed(
            "postgresql://etl%40x:p%3Aw%2F@db.example:6432/my%20db?sslmode=verify-ca&sslrootcert=/ca.pem&sslcert=c.pem&sslkey=k.pem&options=-c%20geqo%3Doff&connect_timeout=7&application_name=me",
        );
        assert_eq!(address.password, Some(Secret::new("p:w/")));
        assert_eq!(address.connect_timeout, Some(Duration::from_secs(7)));
        assert_eq!(address.application_name.as_deref(), Some("me"));
        assert_eq!(
            address.settle(None).unwrap(),
            PostgresTarget {
                host: "db.example".to_owned(),
                port: 6432,
                database: "my db".to_owned(),
                user: "etl@x".to_owned(),
                tls: Some(TlsMode::VerifyCa),
                tls_ca: Some("/ca.pem".into()),
                tls_client: Some(("c.pem".into(), "k.pem".into())),
                options: Some("-c geqo=off".to_owned()),
            }
        );
    }

    #[test]
    fn what_is_left_out_gets_libpqs_defaults() {
        let target = parsed("postgres://").settle(Some("me")).unwrap();
        assert_eq!(
            (target.host.as_str(), target.port, target.database.as_str()),
            ("localhost", 5432, "me")
        );
        assert_eq!(target.tls_mode(), TlsMode::Prefer);
        assert_eq!(parsed("postgresql://").settle(None), Err(UrlError::NoUser));
    }

    #[test]
    fn sockets_and_ipv6_are_hosts() {
        let by_parameter = parsed("postgresql:///db?host=/run/pg&user=u")
            .settle(None)
            .unwrap();
        let by_encoding = parsed("postgresql://u@%2Frun%2Fpg/db")
            .settle(None)
            .unwrap();
        assert_eq!(by_parameter, by_encoding);
        assert!(by_encoding.is_socket());
        assert_eq!(by_encoding.tls_mode(), TlsMode::Disable);
        let v6 = parsed("postgresql://u@[::1]:99/d").settle(None).unwrap();
        assert_eq!((v6.host.as_str(), v6.port), ("::1", 99));
        assert_eq!(v6.tls_mode(), TlsMode::Prefer);
    }

    #[test]
    fn elsewhere_the_server_is_verified_unless_written_otherwise() {
        let mode = |text: &str| parsed(text).settle(Some("u")).unwrap().tls_mode();
        assert_eq!(mode("postgresql://db.example/d"), TlsMode::VerifyFull);
        assert_eq!(
            mode("postgresql://db.example/d?sslmode=require"),
            TlsMode::Require
        );
        assert_eq!(
            mode("postgresql://db.example/d?sslmode=require&sslrootcert=ca"),
            TlsMode::VerifyCa
        );
        assert_eq!(
            mode("postgresql://db.example/d?sslrootcert=system"),
            TlsMode::VerifyFull
        );
    }

    #[test]
    fn wrong_addresses_are_refused() {
        for (text, error) in [
            ("mongodb://h/d", UrlError::Scheme("mongodb".to_owned())),
            (
                "postgresql:secret@h",
                UrlError::Scheme("postgresql".to_owned()),
            ),
            ("postgresql://u:%zz@h", UrlError::Encoding("password")),
            ("postgresql://u:%00@h", UrlError::Encoding("password")),
            ("postgresql://a,b/d", UrlError::SeveralHosts),
            (
                "postgresql://h/d?colour=red",
                UrlError::Parameter("colour".to_owned()),
            ),
            ("sqlite:", UrlError::NoPath),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        assert!(matches!(
            parse("postgresql://h:0/d"),
            Err(UrlError::Value { name: "port", .. })
        ));
        assert_eq!(
            parsed("postgresql://u@h/d?sslcert=c").settle(None),
            Err(UrlError::HalfClientCertificate)
        );
    }

    #[test]
    fn sqlite_paths_stay_as_written() {
        for (text, path) in [
            ("sqlite:a b.db", "a b.db"),
            ("sqlite:/x/y.db", "/x/y.db"),
            ("sqlite:///x/y.db", "/x/y.db"),
        ] {
            assert_eq!(parse(text).unwrap(), Address::Sqlite(path.into()));
        }
    }

    fn encode(text: &str) -> String {
        use std::fmt::Write;
        text.bytes().fold(String::new(), |mut out, byte| {
            write!(out, "%{byte:02X}").unwrap();
            out
        })
    }

    proptest! {
        #[test]
        fn any_text_survives_percent_encoding(
            user in "[^\0]{1,12}", password in "[^\0]{1,12}", database in "[^\0]{1,12}",
        ) {
            let address = parsed(&format!(
                "postgresql://{}:{}@h/{}", encode(&user), encode(&password), encode(&database)
            ));
            prop_assert_eq!(address.password.as_ref().map(Secret::expose), Some(password.as_str()));
            let target = address.settle(None).unwrap();
            prop_assert_eq!((target.user, target.database), (user, database));
        }

        #[test]
        fn no_text_panics_or_leaks_its_password(text in ".*", secret in "[a-z]{20}") {
            let _ = parse(&text);
            let url = format!("postgresql://u:{secret}@h{text}");
            let shown = match parse(&url) {
                Ok(address) => format!("{address:?}"),
                Err(error) => format!("{error} {:?}", Failure::from(error.clone())),
            };
            // The secret may only be seen where the rest of the text turned it into a host or name.
            if !text.contains('@') {
                prop_assert!(!shown.contains(&secret), "{}", shown);
            }
        }
    }
}
