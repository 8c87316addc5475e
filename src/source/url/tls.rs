//! How a line is secured.

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

impl std::str::FromStr for TlsMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "disable" => Ok(Self::Disable),
            // libpq's `allow` tries plain text first; encrypting where possible is never less safe.
            "allow" | "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            _ => Err(format!(
                "'{text}' is no TLS mode; known are disable, prefer, require, verify-ca, verify-full"
            )),
        }
    }
}

/// The TLS mode of a connection to a host: as written, else by whether the host is this machine.
pub(super) fn in_force(written: Option<TlsMode>, host: &str) -> TlsMode {
    match written {
        Some(mode) => mode,
        None if is_loopback(host) => TlsMode::Prefer,
        None => TlsMode::VerifyFull,
    }
}

/// Whether a host is this machine, by name or address.
pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
