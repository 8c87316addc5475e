//! Source addresses: `postgresql://…` with libpq's parameters, and `sqlite:PATH`.

use std::path::PathBuf;

/// Where a source is, as whom to log in, and how the line is secured. No password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A PostgreSQL server.
    Postgres(PostgresTarget),
    /// A SQLite file.
    Sqlite(PathBuf),
}

/// `--tls`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server can, unverified.
    Prefer,
    /// Encrypted, the server not verified.
    Require,
    /// Encrypted, the certificate's chain verified.
    VerifyCa,
    /// Encrypted, chain and host name verified.
    VerifyFull,
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
