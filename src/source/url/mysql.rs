//! `mysql://…`, with the parameters that MySQL's and MariaDB's own clients have.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::tls::is_loopback;
use super::{Parts, TlsMode, UrlError, client_certificate, filled, in_force, port_number, seconds};
use crate::source::secrets::Secret;

/// A MySQL or MariaDB address, all parts settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MysqlTarget {
    /// Host name or IP address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The server's Unix socket, used instead of host and port.
    pub socket: Option<PathBuf>,
    /// Database: where tables are looked for when only their name is given.
    pub database: String,
    /// User.
    pub user: String,
    /// TLS; `None` means the default for the kind of host (decisions.md, section 1).
    pub tls: Option<TlsMode>,
    /// PEM file of trusted roots; the system's where absent.
    pub tls_ca: Option<PathBuf>,
    /// Client certificate and key, PEM files.
    pub tls_client: Option<(PathBuf, PathBuf)>,
}

impl MysqlTarget {
    /// Whether the server is on this machine, so that nothing travels over a network.
    pub fn is_local(&self) -> bool {
        self.socket.is_some() || is_loopback(&self.host)
    }

    /// The TLS mode in force: as written, else by the kind of host; none on a socket.
    pub fn tls_mode(&self) -> TlsMode {
        if self.socket.is_some() {
            TlsMode::Disable
        } else {
            in_force(self.tls, &self.host)
        }
    }
}

/// The parts of a MySQL URL, or of an option file, that were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MysqlAddress {
    /// Host name or IP address (without brackets).
    pub host: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// `socket`.
    pub socket: Option<PathBuf>,
    /// Database.
    pub database: Option<String>,
    /// User.
    pub user: Option<String>,
    /// Password.
    pub password: Option<Secret>,
    /// `ssl-mode`.
    pub tls: Option<TlsMode>,
    /// `ssl-ca`.
    pub tls_ca: Option<PathBuf>,
    /// `ssl-cert`.
    pub tls_cert: Option<PathBuf>,
    /// `ssl-key`.
    pub tls_key: Option<PathBuf>,
    /// `connect-timeout`; 0 means no limit and is absent here.
    pub connect_timeout: Option<Duration>,
}

impl MysqlAddress {
    /// The target, with the clients' defaults for what is not written: host `localhost`, port 3306.
    /// `default_user` is the system's user. A host that is a path is the socket's.
    ///
    /// # Errors
    /// No user or no database anywhere; a client certificate without its key or the reverse.
    pub fn settle(&self, default_user: Option<&str>) -> Result<MysqlTarget, UrlError> {
        let path = self.host.as_deref().filter(|host| host.starts_with('/'));
        let socket = path.map(PathBuf::from).or_else(|| self.socket.clone());
        let host = self.host.clone().filter(|_| path.is_none());
        Ok(MysqlTarget {
            host: host.unwrap_or_else(|| "localhost".to_owned()),
            port: self.port.unwrap_or(3306),
            socket,
            database: self.database.clone().ok_or(UrlError::NoDatabase)?,
            user: self
                .user
                .clone()
                .or_else(|| default_user.map(str::to_owned))
                .ok_or(UrlError::NoUser)?,
            tls: self.tls,
            tls_ca: self.tls_ca.clone(),
            tls_client: client_certificate(&self.tls_cert, &self.tls_key)?,
        })
    }

    /// These parts, and where they are silent those of `below`. A host that is written stands for the
    /// whole place: the socket of an option file is another server's.
    pub fn over(self, below: Self) -> Self {
        let place = self.host.is_some() || self.port.is_some() || self.socket.is_some();
        Self {
            socket: self.socket.or(below.socket.filter(|_| !place)),
            host: self.host.or(below.host),
            port: self.port.or(below.port),
            database: self.database.or(below.database),
            user: self.user.or(below.user),
            password: self.password.or(below.password),
            tls: self.tls.or(below.tls),
            tls_ca: self.tls_ca.or(below.tls_ca),
            tls_cert: self.tls_cert.or(below.tls_cert),
            tls_key: self.tls_key.or(below.tls_key),
            connect_timeout: self.connect_timeout.or(below.connect_timeout),
        }
    }

    /// Sets what a parameter of a URL, or a line of an option file, says. The clients take `-` and
    /// `_` for one.
    ///
    /// # Errors
    /// [`UrlError::MysqlParameter`] for a name that is not known, [`UrlError::Value`].
    pub fn set(&mut self, name: &str, value: String) -> Result<(), UrlError> {
        match name.replace('_', "-").as_str() {
            "host" => self.host = filled(value),
            "port" => self.port = Some(port_number(&value)?),
            "socket" => self.socket = filled(value).map(PathBuf::from),
            "database" => self.database = filled(value),
            "user" => self.user = filled(value),
            "password" => self.password = filled(value).map(Secret::new),
            "ssl-mode" | "sslmode" | "tls" => {
                self.tls = Some(mode(&value).map_err(|why| UrlError::Value {
                    name: "ssl-mode",
                    why,
                })?);
            }
            // MariaDB's way to say it.
            "ssl-verify-server-cert" => {
                let on = !matches!(value.as_str(), "0" | "OFF" | "off" | "FALSE" | "false");
                self.tls = Some(if on {
                    TlsMode::VerifyFull
                } else {
                    TlsMode::Require
                });
            }
            "ssl-ca" => self.tls_ca = filled(value).map(PathBuf::from),
            "ssl-cert" => self.tls_cert = filled(value).map(PathBuf::from),
            "ssl-key" => self.tls_key = filled(value).map(PathBuf::from),
            "connect-timeout" => self.connect_timeout = seconds("connect-timeout", &value)?,
            // What this program settles by itself.
            "charset" | "default-character-set" => {}
            _ => return Err(UrlError::MysqlParameter(name.to_owned())),
        }
        Ok(())
    }
}

/// MySQL's names of the modes, and ours.
fn mode(text: &str) -> Result<TlsMode, String> {
    match text.to_ascii_lowercase().replace('_', "-").as_str() {
        "disabled" => Ok(TlsMode::Disable),
        "preferred" => Ok(TlsMode::Prefer),
        "required" => Ok(TlsMode::Require),
        "verify-identity" => Ok(TlsMode::VerifyFull),
        other => other.parse(),
    }
}

/// Everything after `mysql://`.
pub(super) fn address(rest: &str) -> Result<MysqlAddress, UrlError> {
    let parts = Parts::of(rest)?;
    let mut address = MysqlAddress {
        user: parts.user,
        password: parts.password,
        host: parts.host,
        port: parts.port,
        database: parts.database,
        ..MysqlAddress::default()
    };
    for (name, value) in parts.parameters {
        address.set(&name, value)?;
    }
    Ok(address)
}

/// The socket, or `host:port`.
pub(in crate::source) fn shown(target: &MysqlTarget) -> String {
    match target.socket.as_deref().map(Path::display) {
        Some(socket) => socket.to_string(),
        None => format!("{}:{}", target.host, target.port),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Address, parse};
    use super::*;

    fn parsed(text: &str) -> MysqlAddress {
        match parse(text).expect("an address") {
            Address::Mysql(address) => *address,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_part_of_a_url_is_read() {
        let address = parsed(
            "mysql://etl%40x:p%3Aw@db.example:3307/my%20db?ssl-mode=VERIFY_CA&ssl_ca=/ca.pem&ssl-cert=c.pem&ssl-key=k.pem&connect_timeout=7",
        );
        assert_eq!(address.password, Some(Secret::new("p:w")));
        assert_eq!(address.connect_timeout, Some(Duration::from_secs(7)));
        assert_eq!(
            address.settle(None),
            Ok(MysqlTarget {
                host: "db.example".to_owned(),
                port: 3307,
                socket: None,
                database: "my db".to_owned(),
                user: "etl@x".to_owned(),
                tls: Some(TlsMode::VerifyCa),
                tls_ca: Some("/ca.pem".into()),
                tls_client: Some(("c.pem".into(), "k.pem".into())),
            })
        );
        assert_eq!(parsed("mariadb://h/d").host.as_deref(), Some("h"));
    }

    #[test]
    fn what_is_not_written_has_the_clients_defaults() {
        let target = parsed("mysql:///d").settle(Some("me")).expect("a target");
        assert_eq!((target.host.as_str(), target.port), ("localhost", 3306));
        assert_eq!(
            (target.user.as_str(), target.tls_mode()),
            ("me", TlsMode::Prefer)
        );
        let far = parsed("mysql://u@far/d").settle(None).expect("a target");
        assert_eq!(far.tls_mode(), TlsMode::VerifyFull);
        assert_eq!(
            parsed("mysql://u@h").settle(None),
            Err(UrlError::NoDatabase)
        );
        assert_eq!(parsed("mysql://h/d").settle(None), Err(UrlError::NoUser));
    }

    #[test]
    fn a_socket_is_a_place_of_its_own() {
        let url = parsed("mysql://u@/d?socket=/run/mysqld/mysqld.sock");
        let target = url.settle(None).expect("a target");
        assert_eq!(shown(&target), "/run/mysqld/mysqld.sock");
        assert_eq!(target.tls_mode(), TlsMode::Disable);
        let of_file = MysqlAddress {
            socket: Some("/s".into()),
            user: Some("u".to_owned()),
            ..MysqlAddress::default()
        };
        let elsewhere = parsed("mysql://far/d").over(of_file.clone());
        assert_eq!(elsewhere.settle(None).expect("a target").socket, None);
        let here = parsed("mysql:///d").over(of_file);
        assert_eq!(
            here.settle(None).expect("a target").socket,
            Some("/s".into())
        );
    }

    #[test]
    fn unknown_parameters_and_values_are_refused() {
        let refused = |text: &str| parse(text).expect_err(text);
        assert!(matches!(
            refused("mysql://h/d?ssl-mood=x"),
            UrlError::MysqlParameter(_)
        ));
        assert!(matches!(
            refused("mysql://h/d?ssl-mode=x"),
            UrlError::Value {
                name: "ssl-mode",
                ..
            }
        ));
    }
}
