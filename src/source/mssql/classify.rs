//! The driver's errors, turned into ours: by the server's error numbers, in its own words.

use tiberius::error::{Error, IoErrorKind, TokenError};

use super::super::remote::Place;
use super::super::{BY_ADMINISTRATOR, SourceError};
use super::server::Server;
use super::sql::{quote_identifier, quote_relation};
use crate::error::one_line;
use crate::model::{Fault, Relation};

/// What a statement was about: named in its errors, with the grant that reading it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    shown: String,
    grant: String,
}

impl Subject {
    /// The catalogue and the server's own views.
    pub(super) fn catalogue(place: &Place, server: Option<&Server>) -> Self {
        Self {
            shown: format!("the catalogue of {}", place.database),
            grant: server.map_or_else(String::new, Server::state_grant),
        }
    }

    /// What is read: a relation, or the query of that name.
    pub(super) fn of(server: &Server, relation: &Relation, query: Option<&str>) -> Self {
        match query {
            None => Self {
                shown: relation.to_string(),
                grant: grant_select(server, relation, &[]),
            },
            Some(_) => Self {
                shown: format!("the query {}", relation.name),
                grant: format!(
                    "GRANT SELECT ON the tables that the query names TO {}",
                    server.grantee()
                ),
            },
        }
    }

    /// The name that errors show.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }
}

/// `GRANT SELECT ON … TO …`, of some columns where they are named.
pub(super) fn grant_select(server: &Server, relation: &Relation, columns: &[String]) -> String {
    let columns = if columns.is_empty() {
        String::new()
    } else {
        let quoted: Vec<String> = columns.iter().map(|name| quote_identifier(name)).collect();
        format!(" ({})", quoted.join(", "))
    };
    format!(
        "GRANT SELECT ON {}{columns} TO {}",
        quote_relation(relation),
        server.grantee()
    )
}

/// What went wrong while a connection was opened.
pub(super) fn connecting(place: &Place, error: &Error) -> SourceError {
    let target = place.target.clone();
    let why = words(error);
    match error {
        Error::Server(server) => match server.code() {
            4060 | 4064 | 911 => SourceError::DatabaseMissing {
                target,
                database: place.database.clone(),
                // The server says the same of a database that is not there and of one that is not
                // for this login.
                why: format!(
                    "{why}; it is not there, or {BY_ADMINISTRATOR}CREATE USER {user} FOR LOGIN \
                     {user} in it",
                    user = quote_identifier(&place.user)
                ),
            },
            code => match Fault::of_sqlserver(code) {
                Some(Fault::Throttled) => SourceError::Throttled { target, why },
                Some(Fault::TooManyConnections) => SourceError::TooManyConnections { target, why },
                Some(Fault::Denied) => SourceError::Login {
                    target: format!("{}/{}", place.target, place.database),
                    user: place.user.clone(),
                    why,
                },
                _ => SourceError::Unreachable { target, why },
            },
        },
        Error::Tls(_) => SourceError::Tls { target, why },
        Error::Io { message, .. } if message.contains("certificate") => {
            SourceError::Tls { target, why }
        }
        Error::Io { .. } | Error::Routing { .. } => SourceError::Unreachable { target, why },
        error if refuses_encryption(error) => SourceError::Tls {
            target,
            why: "the server offers no encryption".to_owned(),
        },
        _ => SourceError::Protocol { target, why },
    }
}

/// Whether the server declined the encryption that was asked for.
pub(super) fn refuses_encryption(error: &Error) -> bool {
    matches!(error, Error::Protocol(text) if text.contains("encryption level"))
}

/// What went wrong with a statement on an open connection.
pub(super) fn statement(place: &Place, subject: &Subject, error: &Error) -> SourceError {
    let target = place.target.clone();
    let why = words(error);
    match error {
        Error::Server(server) => by_number(place, subject, server, why),
        Error::Io {
            kind: IoErrorKind::TimedOut,
            ..
        } => SourceError::Timeout {
            object: subject.shown.clone(),
            why,
        },
        Error::Io {
            kind: IoErrorKind::InvalidData | IoErrorKind::InvalidInput,
            ..
        } => SourceError::Protocol { target, why },
        Error::Io { .. } => SourceError::ConnectionLost { target, why },
        _ => SourceError::Protocol { target, why },
    }
}

fn by_number(place: &Place, subject: &Subject, error: &TokenError, why: String) -> SourceError {
    let object = subject.shown.clone();
    let target = place.target.clone();
    match (Fault::of_sqlserver(error.code()), error.code()) {
        (Some(Fault::ConnectionLost), _) => SourceError::ConnectionLost { target, why },
        (Some(Fault::TooManyConnections), _) => SourceError::TooManyConnections { target, why },
        (Some(Fault::Throttled), _) => SourceError::Throttled { target, why },
        (Some(Fault::Denied), _) => SourceError::Denied {
            object,
            why,
            grant: subject.grant.clone(),
        },
        (Some(Fault::Locked), _) => SourceError::Locked { object, why },
        (Some(Fault::Deadlock), _) => SourceError::Conflict {
            object,
            why,
            remedy: "run again; ours is the session that gives way to others".to_owned(),
        },
        (Some(Fault::Exhausted), _) => SourceError::Exhausted { object, why },
        (Some(Fault::Changed), _) => SourceError::Changed { object, why },
        (Some(Fault::SnapshotLost), _) => SourceError::SnapshotLost {
            object,
            why,
            cause: None,
        },
        (_, 208 | 4902) => SourceError::TableMissing {
            table: object,
            source_name: place.database.clone(),
            near: Vec::new(),
        },
        (_, 3952) => SourceError::Consistency { object, why },
        _ => SourceError::Statement { object, why },
    }
}

/// An error in one line: the server's own words with its number, or the cause without advice that is
/// meant for programmers.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::Server(server) => {
            one_line(&format!("{} (error {})", server.message(), server.code()))
        }
        Error::Tls(text) => certificate(text),
        Error::Io { message, .. } if message.contains("certificate") => certificate(message),
        Error::Io {
            kind: IoErrorKind::UnexpectedEof | IoErrorKind::BrokenPipe,
            ..
        } => "the server closed the connection".to_owned(),
        Error::Io { message, .. } => one_line(message),
        other => one_line(&other.to_string()),
    }
}

fn certificate(text: &str) -> String {
    let text = text.split(" To connect anyway").next().unwrap_or(text);
    let text = text
        .rsplit_once("TLS handshake: ")
        .map_or(text, |(_, cause)| cause)
        .trim_end_matches('.');
    if text.contains("UnknownIssuer") {
        return "the server's certificate is signed by an authority that is not trusted here"
            .to_owned();
    }
    one_line(text)
}

/// A name that the server's certificate is for, where it was refused for no other reason than its
/// name: the chain is checked before it. `verify-ca` takes any name.
pub(super) fn other_name(error: &Error) -> Option<String> {
    let Error::Tls(text) = error else {
        return None;
    };
    let (_, names) = text.split_once("certificate is only valid for ")?;
    let (_, name) = names.split_once("(\"")?;
    let (name, _) = name.split_once("\")")?;
    Some(name.replace('*', "any"))
}

/// The server's error number, where it is the server that said no.
pub(super) fn number(error: &Error) -> Option<u32> {
    error.code()
}

/// Whether the server denied a right.
pub(super) fn is_denial(error: &Error) -> bool {
    number(error).and_then(Fault::of_sqlserver) == Some(Fault::Denied)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(text: &str) -> Error {
        Error::Tls(text.to_owned())
    }

    #[test]
    fn grants_are_ready_to_run() {
        let server = Server::of(
            &["13.0.0.0", "3", "e]tl", "login", "dbo"].map(|text| Some(text.to_owned())),
        );
        let relation = Relation {
            schema: "dbo".to_owned(),
            name: "Or]ders".to_owned(),
        };
        assert_eq!(
            grant_select(&server, &relation, &["a".to_owned()]),
            "GRANT SELECT ON [dbo].[Or]]ders] ([a]) TO [e]]tl]"
        );
    }

    #[test]
    fn certificates_are_told_of_without_advice_for_programmers() {
        let long = "the server's certificate was rejected during the TLS handshake: invalid peer \
                    certificate: UnknownIssuer. To connect anyway you can: (1) trust a specific CA";
        assert!(words(&tls(long)).ends_with("that is not trusted here"));
        let name = "… TLS handshake: invalid peer certificate: certificate not valid for name \
                    \"127.0.0.1\"; certificate is only valid for DnsName(\"*.db.example\"). To connect";
        assert_eq!(other_name(&tls(name)).as_deref(), Some("any.db.example"));
        assert_eq!(other_name(&tls(long)), None);
    }

    #[test]
    fn a_broken_line_is_a_lost_connection() {
        let place = Place {
            target: "db:1433".to_owned(),
            database: "shop".to_owned(),
            user: "etl".to_owned(),
        };
        let subject = Subject::catalogue(&place, None);
        let broken = Error::Io {
            kind: IoErrorKind::UnexpectedEof,
            message: "No more packets in the wire".to_owned(),
        };
        let SourceError::ConnectionLost { why, .. } = statement(&place, &subject, &broken) else {
            panic!("the connection is lost");
        };
        assert_eq!(why, "the server closed the connection");
        let late = Error::Io {
            kind: IoErrorKind::TimedOut,
            message: String::new(),
        };
        let late = statement(&place, &subject, &late);
        assert!(matches!(late, SourceError::Timeout { .. }));
    }
}
