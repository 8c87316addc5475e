//! TLS as `--tls` has it, in the driver's terms.

use mysql_async::{ClientIdentity, IoError, SslOpts, TlsError};
use rustls::CertificateError;

use super::super::url::{MysqlTarget, TlsMode};
use super::super::{Result, SourceError};

/// How connections to a target are secured; `None` when they are not.
///
/// # Errors
/// [`SourceError::Tls`] when no root is trusted.
pub(super) fn options(target: &MysqlTarget, shown: &str) -> Result<Option<SslOpts>> {
    // The driver takes the process's provider; that another was set before is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let identity = target
        .tls_client
        .clone()
        .map(|(certificate, key)| ClientIdentity::new(certificate.into(), key.into()));
    let options = SslOpts::default().with_client_identity(identity);
    Ok(match target.tls_mode() {
        TlsMode::Disable => None,
        TlsMode::Prefer | TlsMode::Require => Some(options.with_danger_accept_invalid_certs(true)),
        TlsMode::VerifyCa | TlsMode::VerifyFull => {
            let roots = match &target.tls_ca {
                Some(file) => vec![file.clone().into()],
                None => system_roots(shown)?.into_iter().map(Into::into).collect(),
            };
            Some(
                options
                    .with_root_certs(roots)
                    .with_disable_built_in_roots(true),
            )
        }
    })
}

/// The system's trusted certificates, each as DER.
fn system_roots(shown: &str) -> Result<Vec<Vec<u8>>> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        return Err(SourceError::Tls {
            target: shown.to_owned(),
            why: "no trusted root certificate was found on this system".to_owned(),
        });
    }
    Ok(found.certs.iter().map(|root| root.to_vec()).collect())
}

/// The TLS library's own error inside one of the driver's.
pub(super) fn cause(error: &mysql_async::Error) -> Option<&rustls::Error> {
    let mysql_async::Error::Io(error) = error else {
        return None;
    };
    match error {
        IoError::Io(error) => error.get_ref()?.downcast_ref(),
        IoError::Tls(TlsError::Tls(error)) => Some(error),
        IoError::Tls(_) => None,
    }
}

/// A name that the server's certificate is for, where it was refused for no other reason than its
/// name: the chain is checked before it. `verify-ca` takes any name.
pub(super) fn other_name(error: &mysql_async::Error) -> Option<String> {
    match cause(error)? {
        rustls::Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            presented,
            ..
        }) => presented.iter().find_map(|name| plain_name(name)),
        _ => None,
    }
}

/// `DnsName("db")`, as the library writes a certificate's names, without what stands around it. Of a
/// wildcard any name will do.
fn plain_name(presented: &str) -> Option<String> {
    let inner = presented
        .split_once('(')
        .map_or(presented, |(_, inner)| inner);
    let name = inner.trim_matches(|c| c == ')' || c == '"');
    (!name.is_empty()).then(|| name.replace('*', "any"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presented_names_are_read() {
        assert_eq!(
            plain_name("DnsName(\"db.example\")").as_deref(),
            Some("db.example")
        );
        assert_eq!(plain_name("localhost").as_deref(), Some("localhost"));
        assert_eq!(plain_name("DnsName(\"*.x\")").as_deref(), Some("any.x"));
        assert_eq!(plain_name(""), None);
    }
}
