//! What sources with a connection look at alike for `doctor`.

use super::url::TlsMode;
use crate::model::Check;

/// How the line is secured: `version` is that of TLS where it is in use.
pub(super) fn encryption(mode: TlsMode, local: bool, version: Option<&str>) -> Check {
    const NAME: &str = "encryption";
    let verified = match mode {
        TlsMode::VerifyFull => Some("chain and host name verified"),
        TlsMode::VerifyCa => Some("chain verified"),
        TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => None,
    };
    let remedy =
        "pass --tls verify-full, with --tls-ca FILE where the server's CA is a private one";
    match (version, verified) {
        (Some(version), Some(verified)) => Check::good(NAME, format!("{version}, {verified}")),
        (Some(version), None) if local => {
            Check::good(NAME, format!("{version}, unverified, on this machine"))
        }
        (Some(version), None) => Check::warning(
            NAME,
            format!("{version}, but nobody verifies that it is the server"),
            remedy,
        ),
        (None, _) if local => Check::good(NAME, "none: nothing leaves this machine"),
        // A pooler or proxy may end TLS, and what it says of the server is another line's.
        (None, Some(verified)) => Check::good(
            NAME,
            format!("{verified} up to a pooler; the server itself is reached without"),
        ),
        (None, None) => Check::warning(
            NAME,
            "none: whoever is on the way can read password and rows",
            remedy,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CheckOutcome::{Good, Warning};

    #[test]
    fn a_line_that_leaves_the_machine_must_be_verified() {
        let outcome = |mode, local, version| encryption(mode, local, version).outcome;
        assert_eq!(outcome(TlsMode::VerifyFull, false, Some("TLSv1.3")), Good);
        assert_eq!(outcome(TlsMode::Require, false, Some("TLSv1.3")), Warning);
        assert_eq!(outcome(TlsMode::Require, true, Some("TLSv1.3")), Good);
        assert_eq!(outcome(TlsMode::Prefer, false, None), Warning);
        assert_eq!(outcome(TlsMode::Disable, true, None), Good);
        assert_eq!(outcome(TlsMode::VerifyCa, false, None), Good);
    }
}
