//! `sqlserver://…`, with the parameters that SQL Server's own clients have.

use std::path::PathBuf;
use std::time::Duration;

use super::tls::is_loopback;
use super::{Parts, TlsMode, UrlError, client_certificate, filled, in_force, port_number, seconds};
use crate::source::secrets::Secret;

/// A SQL Server address, all parts settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlServerTarget {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// Login.
    pub user: String,
    /// TLS; `None` means the default for the kind of host (decisions.md, section 1).
    pub tls: Option<TlsMode>,
    /// TLS comes before the protocol's own first packet (`encrypt=strict`, TDS 8.0).
    pub strict: bool,
    /// PEM file of trusted roots, beside the system's.
    pub tls_ca: Option<PathBuf>,
    /// Client certificate and key, PEM files.
    pub tls_client: Option<(PathBuf, PathBuf)>,
    /// `applicationIntent=ReadOnly`: an availability group's listener then leads to a replica.
    pub read_only: bool,
}

impl SqlServerTarget {
    /// Whether the server is on this machine, so that nothing travels over a network.
    pub fn is_local(&self) -> bool {
        is_loopback(&self.host)
    }

    /// The TLS mode in force: as written, else by the kind of host.
    pub fn tls_mode(&self) -> TlsMode {
        in_force(self.tls, &self.host)
    }
}

/// The parts of a SQL Server URL that were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SqlServerAddress {
    /// Host name or IP address (without brackets).
    pub host: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// Database.
    pub database: Option<String>,
    /// Login.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// `tls`, or what `encrypt` and `trustServerCertificate` say.
    pub tls: Option<TlsMode>,
    /// `encrypt=strict`.
    pub strict: bool,
    /// `serverCertificate`.
    pub tls_ca: Option<PathBuf>,
    /// `--tls-cert`; no address has it.
    pub tls_cert: Option<PathBuf>,
    /// `--tls-key`; no address has it.
    pub tls_key: Option<PathBuf>,
    /// `loginTimeout`; 0 means no limit and is absent here.
    pub connect_timeout: Option<Duration>,
    /// `applicationIntent=ReadOnly`.
    pub read_only: bool,
}

impl SqlServerAddress {
    /// The target, with the clients' defaults for what is not written: host `localhost`, port 1433.
    ///
    /// # Errors
    /// No user or no database; a client certificate without its key or the reverse; a host with the
    /// name of an instance.
    pub fn settle(&self) -> Result<SqlServerTarget, UrlError> {
        let host = self.host.clone().unwrap_or_else(|| "localhost".to_owned());
        if let Some((_, instance)) = host.split_once('\\') {
            return Err(UrlError::Instance(instance.to_owned()));
        }
        Ok(SqlServerTarget {
            host,
            port: self.port.unwrap_or(1433),
            database: self.database.clone().ok_or(UrlError::NoDatabase)?,
            user: self.user.clone().ok_or(UrlError::NoUser)?,
            tls: self.tls,
            strict: self.strict,
            tls_ca: self.tls_ca.clone(),
            tls_client: client_certificate(&self.tls_cert, &self.tls_key)?,
            read_only: self.read_only,
        })
    }

    /// These parts, and where they are silent those of `below`.
    pub fn over(self, below: Self) -> Self {
        Self {
            host: self.host.or(below.host),
            port: self.port.or(below.port),
            database: self.database.or(below.database),
            user: self.user.or(below.user),
            password: self.password.or(below.password),
            tls: self.tls.or(below.tls),
            strict: self.strict || below.strict,
            tls_ca: self.tls_ca.or(below.tls_ca),
            tls_cert: self.tls_cert.or(below.tls_cert),
            tls_key: self.tls_key.or(below.tls_key),
            connect_timeout: self.connect_timeout.or(below.connect_timeout),
            read_only: self.read_only || below.read_only,
        }
    }
}

/// What `encrypt` says; strict encryption is more than a mode.
fn encrypt(value: &str) -> Result<(TlsMode, bool), UrlError> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "mandatory" => Ok((TlsMode::VerifyFull, false)),
        "strict" => Ok((TlsMode::VerifyFull, true)),
        "false" | "no" | "optional" => Ok((TlsMode::Prefer, false)),
        _ => Err(UrlError::Value {
            name: "encrypt",
            why: "it is one of true, false and strict".to_owned(),
        }),
    }
}

fn intent(value: &str) -> Result<bool, UrlError> {
    match value.to_ascii_lowercase().as_str() {
        "readonly" => Ok(true),
        "readwrite" => Ok(false),
        _ => Err(UrlError::Value {
            name: "applicationIntent",
            why: "it is ReadOnly or ReadWrite".to_owned(),
        }),
    }
}

fn yes(name: &'static str, value: &str) -> Result<bool, UrlError> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" => Ok(true),
        "false" | "no" => Ok(false),
        _ => Err(UrlError::Value {
            name,
            why: "it is true or false".to_owned(),
        }),
    }
}

/// Everything after `sqlserver://`.
pub(super) fn address(rest: &str) -> Result<SqlServerAddress, UrlError> {
    let parts = Parts::of(rest)?;
    let mut address = SqlServerAddress {
        user: parts.user,
        password: parts.password,
        host: parts.host,
        port: parts.port,
        database: parts.database,
        ..SqlServerAddress::default()
    };
    let (mut trusts, mut written) = (false, None);
    for (name, value) in parts.parameters {
        match name.to_ascii_lowercase().as_str() {
            "database" | "databasename" => address.database = filled(value),
            "user" | "username" => address.user = filled(value),
            "password" => address.password = filled(value).map(Secret::new),
            "port" => address.port = Some(port_number(&value)?),
            "encrypt" => {
                let (mode, strict) = encrypt(&value)?;
                (address.tls, address.strict) = (Some(mode), strict);
            }
            "trustservercertificate" => trusts = yes("trustServerCertificate", &value)?,
            "tls" => {
                let mode = value.parse();
                written = Some(mode.map_err(|why| UrlError::Value { name: "tls", why })?);
            }
            "servercertificate" => address.tls_ca = filled(value).map(PathBuf::from),
            "logintimeout" => address.connect_timeout = seconds("loginTimeout", &value)?,
            "applicationintent" => {
                address.read_only = intent(&value)?;
            }
            "instance" | "instancename" => return Err(UrlError::Instance(value)),
            // What this program settles by itself.
            "applicationname" | "app" | "multisubnetfailover" => {}
            _ => return Err(UrlError::SqlServerParameter(name)),
        }
    }
    if trusts && address.tls != Some(TlsMode::Prefer) && !address.strict {
        address.tls = Some(TlsMode::Require);
    }
    address.tls = written.or(address.tls);
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::super::{Address, parse};
    use super::*;

    fn parsed(text: &str) -> SqlServerAddress {
        match parse(text).expect("an address") {
            Address::SqlServer(address) => *address,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_part_of_a_url_is_read() {
        let address = parsed(
            "mssql://etl%40x:p%3Aw@db.example:1444/my%20db?encrypt=true&serverCertificate=/ca.pem&loginTimeout=7&applicationIntent=ReadOnly",
        );
        assert_eq!(address.password, Some(Secret::new("p:w")));
        assert_eq!(address.connect_timeout, Some(Duration::from_secs(7)));
        assert_eq!(
            address.settle(),
            Ok(SqlServerTarget {
                host: "db.example".to_owned(),
                port: 1444,
                database: "my db".to_owned(),
                user: "etl@x".to_owned(),
                tls: Some(TlsMode::VerifyFull),
                strict: false,
                tls_ca: Some("/ca.pem".into()),
                tls_client: None,
                read_only: true,
            })
        );
    }

    #[test]
    fn any_certificate_is_trusted_only_where_that_is_written() {
        let mode = |text: &str| parsed(text).settle().expect("a target").tls_mode();
        assert_eq!(mode("sqlserver://u@far/d"), TlsMode::VerifyFull);
        assert_eq!(mode("sqlserver://u@localhost/d"), TlsMode::Prefer);
        assert_eq!(
            mode("sqlserver://u@far/d?encrypt=true"),
            TlsMode::VerifyFull
        );
        let trusting = "sqlserver://u@far/d?trustServerCertificate=true";
        assert_eq!(mode(trusting), TlsMode::Require);
        let strict = parsed("sqlserver://u@far/d?encrypt=strict&trustServerCertificate=true");
        assert!(strict.strict);
        assert_eq!(strict.tls, Some(TlsMode::VerifyFull));
    }

    #[test]
    fn instances_are_reached_by_their_port() {
        let target = parsed("sqlserver://u@localhost/d")
            .settle()
            .expect("a target");
        assert_eq!((target.host.as_str(), target.port), ("localhost", 1433));
        let named = parsed("sqlserver://u@h%5CSQLEXPRESS/d").settle();
        assert_eq!(named, Err(UrlError::Instance("SQLEXPRESS".to_owned())));
        let wrong = parse("sqlserver://u@h/d?instance=X");
        assert_eq!(wrong, Err(UrlError::Instance("X".to_owned())));
        assert_eq!(
            parsed("sqlserver://u@h").settle(),
            Err(UrlError::NoDatabase)
        );
        assert_eq!(parsed("sqlserver://h/d").settle(), Err(UrlError::NoUser));
        assert!(matches!(
            parse("sqlserver://h/d?x=1"),
            Err(UrlError::SqlServerParameter(_))
        ));
    }
}
