//! From an `object_store` error to what it means for the user: unreachable, denied, missing, or to
//! be tried again later.
//!
//! The library's texts hold the request's URL, which may hold a signature. So none of its texts is
//! shown: what is told is the status, the service's own code and message, or the transport's words.

use std::error::Error as _;

use object_store::Error;
use object_store::client::{HttpError, HttpErrorKind};

use super::address::Service;
use crate::error::one_line;
use crate::model::Fault;
use crate::writer::WriteError;

/// Why a store did not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It could not be reached, or fell silent, or broke.
    Unreachable,
    /// It says that too much is asked of it.
    Throttled,
    /// It knows nobody by these credentials, or does not let them do this.
    Denied,
    /// There are no credentials at all.
    NoCredentials,
    /// The clock of this machine is too far off for signatures.
    Clock,
    /// There is no such bucket or container.
    NoBucket,
    /// The bucket is elsewhere.
    Region,
    /// There is no such object.
    Missing,
    /// The condition of the request does not hold: somebody else was there.
    Condition,
    /// It refuses, or answers what nobody expects.
    Refused,
}

impl Trouble {
    /// Every kind.
    #[cfg(test)]
    pub(in crate::writer) const ALL: [Self; 10] = [
        Self::Unreachable,
        Self::Throttled,
        Self::Denied,
        Self::NoCredentials,
        Self::Clock,
        Self::NoBucket,
        Self::Region,
        Self::Missing,
        Self::Condition,
        Self::Refused,
    ];

    /// Which fault it is; none where the store refuses what nobody expects it to.
    pub(in crate::writer) fn fault(self) -> Option<Fault> {
        Some(match self {
            Self::Unreachable => Fault::StoreUnreachable,
            Self::Throttled => Fault::StoreThrottled,
            Self::Denied | Self::NoCredentials => Fault::StoreDenied,
            Self::Clock => Fault::StoreClock,
            Self::NoBucket => Fault::StoreMissing,
            Self::Region => Fault::StoreRegion,
            Self::Missing | Self::Condition => Fault::StoreOvertaken,
            Self::Refused => return None,
        })
    }
}

/// The error of a store, told with its place.
pub(super) fn failed(
    service: Service,
    action: &'static str,
    at: String,
    error: &Error,
) -> WriteError {
    let (trouble, why) = look(error);
    WriteError::Store {
        action,
        at,
        service,
        trouble,
        why,
    }
}

/// What an error means, and one line without secrets on why.
pub(super) fn look(error: &Error) -> (Trouble, String) {
    if is_of_the_machine(error) {
        let why = "none are set, and this machine's metadata service gives none";
        return (Trouble::NoCredentials, why.to_owned());
    }
    if let Some((status, body)) = answer(error) {
        return (of_answer(status, &body), words(status, &body));
    }
    if let Some(http) = transport(error) {
        return transport_trouble(http);
    }
    let text = plain(error);
    let trouble = match error {
        Error::NotFound { .. } => Trouble::Missing,
        Error::AlreadyExists { .. } | Error::Precondition { .. } => Trouble::Condition,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Trouble::Denied,
        _ if text.contains("incorrectly configured region") => Trouble::Region,
        _ if text.contains("redential") || text.contains("token") => Trouble::NoCredentials,
        _ => Trouble::Refused,
    };
    (trouble, text)
}

/// Whether what failed was to ask the machine itself for credentials, the last place of all.
fn is_of_the_machine(error: &Error) -> bool {
    const SERVICES: [&str; 2] = ["//169.254.169.254/", "//metadata.google.internal/"];
    let mut next = Some(error as &(dyn std::error::Error + 'static));
    while let Some(inner) = next {
        let text = inner.to_string();
        if SERVICES.iter().any(|service| text.contains(service)) {
            return true;
        }
        next = inner.source();
    }
    false
}

/// The innermost text of an error that no request stands behind.
fn plain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(inner) = next {
        text = inner.to_string();
        next = inner.source();
    }
    one_line(&without_query(&text))
}

/// Every query string taken out of the URLs in a text.
fn without_query(text: &str) -> String {
    text.split(' ')
        .map(|word| match word.split_once('?') {
            Some((before, _)) if word.contains("://") => before.to_owned(),
            _ => word.to_owned(),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// Status and body of the answer that an error stands for. The library keeps the type to itself; its
/// text is `Server returned non-2xx status code: 403 Forbidden: BODY`.
fn answer(error: &Error) -> Option<(u16, String)> {
    const BEGIN: &str = "Server returned non-2xx status code: ";
    let mut next = error.source();
    while let Some(inner) = next {
        let text = inner.to_string();
        if let Some(rest) = text.strip_prefix(BEGIN) {
            let (status, body) = rest.split_once(':').unwrap_or((rest, ""));
            let status = status.split(' ').next()?.parse().ok()?;
            return Some((status, body.trim().to_owned()));
        }
        if let Some(body) = text.strip_prefix("Server returned error response: ") {
            return Some((503, body.trim().to_owned()));
        }
        next = inner.source();
    }
    None
}

fn transport(error: &Error) -> Option<&HttpError> {
    let mut next = error.source();
    while let Some(inner) = next {
        if let Some(http) = inner.downcast_ref::<HttpError>() {
            return Some(http);
        }
        next = inner.source();
    }
    None
}

fn transport_trouble(error: &HttpError) -> (Trouble, String) {
    // The innermost cause has no URL: "Connection refused", a certificate's fault.
    let mut words = match error.kind() {
        HttpErrorKind::Timeout => "no answer in time".to_owned(),
        HttpErrorKind::Connect => "no connection".to_owned(),
        HttpErrorKind::Interrupted => "the connection broke".to_owned(),
        _ => "the exchange broke".to_owned(),
    };
    let mut next = error.source();
    while let Some(inner) = next {
        if inner.source().is_none() {
            words = format!("{words}: {}", without_query(&inner.to_string()));
        }
        next = inner.source();
    }
    (Trouble::Unreachable, one_line(&words))
}

fn of_answer(status: u16, body: &str) -> Trouble {
    let code = tag(body, "Code").unwrap_or_default();
    match (status, code.as_str()) {
        (_, "NoSuchBucket" | "ContainerNotFound" | "ContainerBeingDeleted") => Trouble::NoBucket,
        (_, "RequestTimeTooSkewed" | "RequestExpired") => Trouble::Clock,
        (
            _,
            "AuthorizationHeaderMalformed"
            | "PermanentRedirect"
            | "IllegalLocationConstraintException",
        ) => Trouble::Region,
        (_, "SlowDown" | "ServerBusy" | "TooManyRequests" | "Throttling") | (429, _) => {
            Trouble::Throttled
        }
        (_, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken")
        | (401 | 403, _) => Trouble::Denied,
        (301 | 307 | 308, _) => Trouble::Region,
        (404, _) => Trouble::Missing,
        (409 | 412, _) => Trouble::Condition,
        (503, _) => Trouble::Throttled,
        (500.., _) => Trouble::Unreachable,
        _ => Trouble::Refused,
    }
}

/// The service's own words: `AccessDenied: Access Denied.`
fn words(status: u16, body: &str) -> String {
    let said = match (tag(body, "Code"), tag(body, "Message")) {
        (Some(code), Some(message)) if !message.is_empty() => format!("{code}: {message}"),
        (Some(code), _) => code,
        // No document of a store: a proxy's page, or nothing.
        _ => return format!("the answer was status {status}"),
    };
    one_line(&format!("{} (status {status})", without_query(&said)))
}

/// The text of the first element of this name.
fn tag(body: &str, name: &str) -> Option<String> {
    let (_, rest) = body.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    let plain = text
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&");
    // Azure's messages go on with request ids and times.
    Some(plain.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, code: &str) -> Trouble {
        of_answer(status, &format!("<Error><Code>{code}</Code></Error>"))
    }

    #[test]
    fn answers_are_told_apart() {
        for (status, code, trouble) in [
            (404, "NoSuchBucket", Trouble::NoBucket),
            (404, "NoSuchKey", Trouble::Missing),
            (403, "AccessDenied", Trouble::Denied),
            (403, "RequestTimeTooSkewed", Trouble::Clock),
            (400, "AuthorizationHeaderMalformed", Trouble::Region),
            (400, "ExpiredToken", Trouble::Denied),
            (503, "SlowDown", Trouble::Throttled),
            (500, "InternalError", Trouble::Unreachable),
            (412, "PreconditionFailed", Trouble::Condition),
            (400, "InvalidArgument", Trouble::Refused),
        ] {
            assert_eq!(of(status, code), trouble, "{status} {code}");
        }
    }

    #[test]
    fn words_are_the_services_own_and_hold_no_signature() {
        let body = "<Error><Code>X</Code><Message>a &amp; b at https://h/k?sig=hidden now\nTime:1</Message></Error>";
        assert_eq!(words(400, body), "X: a & b at https://h/k now (status 400)");
        assert_eq!(words(502, "<html>"), "the answer was status 502");
    }
}
