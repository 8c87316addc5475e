//! The driver's errors, turned into ours: by the server's error numbers, in its own words.

use mysql_async::{DriverError, Error, IoError, ServerError};

use super::super::SourceError;
use super::super::remote::Place;
use super::sql::{quote_account, quote_identifier, quote_relation};
use super::tls;
use crate::error::one_line;
use crate::model::{Fault, Relation};

/// What a statement was about: named in its errors, with the grant that reading it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    shown: String,
    grant: String,
}

impl Subject {
    /// The catalogue and the server's own tables.
    pub(super) fn catalogue(place: &Place, account: &str) -> Self {
        Self {
            shown: format!("the catalogue of {}", place.database),
            grant: format!("GRANT PROCESS ON *.* TO {}", quote_account(account)),
        }
    }

    /// What is read: a relation, or the query of that name.
    pub(super) fn of(account: &str, relation: &Relation, query: Option<&str>) -> Self {
        match query {
            None => Self {
                shown: relation.to_string(),
                grant: grant_select(account, relation, &[]),
            },
            Some(_) => Self {
                shown: format!("the query {}", relation.name),
                grant: format!(
                    "GRANT SELECT ON the tables that the query names TO {}",
                    quote_account(account)
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
pub(super) fn grant_select(account: &str, relation: &Relation, columns: &[String]) -> String {
    let columns = if columns.is_empty() {
        String::new()
    } else {
        let quoted: Vec<String> = columns.iter().map(|name| quote_identifier(name)).collect();
        format!(" ({})", quoted.join(", "))
    };
    format!(
        "GRANT SELECT{columns} ON {} TO {}",
        quote_relation(relation),
        quote_account(account)
    )
}

/// What went wrong while a connection was opened.
pub(super) fn connecting(place: &Place, error: &Error) -> SourceError {
    let target = place.target.clone();
    let why = words(error);
    let login = |why| SourceError::Login {
        target: format!("{}/{}", place.target, place.database),
        user: place.user.clone(),
        why,
    };
    match error {
        Error::Server(server) => match server.code {
            1049 => SourceError::DatabaseMissing {
                target,
                database: place.database.clone(),
                why,
            },
            1040 | 1203 | 1226 => SourceError::TooManyConnections { target, why },
            1044 => SourceError::Denied {
                object: format!("the database {}", place.database),
                why,
                grant: format!(
                    "GRANT SELECT ON {}.* TO {}",
                    quote_identifier(&place.database),
                    quote_account(&account_named(&server.message).unwrap_or(place.user.clone()))
                ),
            },
            // Wrong password or account, host not allowed, blocked, expired, locked.
            1045 | 1129 | 1130 | 1251 | 1524 | 1698 | 1820 | 1862 | 3118 | 3159 | 3948 | 4151 => {
                login(why)
            }
            _ => SourceError::Unreachable { target, why },
        },
        Error::Driver(DriverError::NoClientSslFlagFromServer) => SourceError::Tls {
            target,
            why: "the server offers no encryption".to_owned(),
        },
        Error::Driver(
            DriverError::UnknownAuthPlugin { .. }
            | DriverError::MysqlOldPasswordDisabled
            | DriverError::CleartextPluginDisabled,
        ) => login(why),
        Error::Driver(DriverError::UnexpectedPacket { .. } | DriverError::PacketOutOfOrder) => {
            SourceError::Protocol { target, why }
        }
        Error::Driver(DriverError::NoKeyFound) | Error::Io(IoError::Tls(_)) => {
            SourceError::Tls { target, why }
        }
        error if tls::cause(error).is_some() => SourceError::Tls { target, why },
        _ => SourceError::Unreachable { target, why },
    }
}

/// The account that a refusal names, as `user@host`: who is refused a database was known to the server
/// by it, and nobody could ask for it.
fn account_named(message: &str) -> Option<String> {
    let (_, rest) = message.split_once(" '")?;
    let (user, rest) = rest.split_once("'@'")?;
    let (host, _) = rest.split_once('\'')?;
    Some(format!("{user}@{host}"))
}

/// What went wrong with a statement on an open connection.
pub(super) fn statement(place: &Place, subject: &Subject, error: &Error) -> SourceError {
    let target = place.target.clone();
    let why = words(error);
    match error {
        Error::Server(server) => by_number(place, subject, server, why),
        Error::Io(_) | Error::Driver(DriverError::ConnectionClosed) => {
            SourceError::ConnectionLost { target, why }
        }
        _ => SourceError::Protocol { target, why },
    }
}

fn by_number(place: &Place, subject: &Subject, error: &ServerError, why: String) -> SourceError {
    let object = subject.shown.clone();
    let target = place.target.clone();
    match (Fault::of_mysql(error.code), error.code) {
        (Some(Fault::ConnectionLost), _) => SourceError::ConnectionLost { target, why },
        (Some(Fault::TooManyConnections), _) => SourceError::TooManyConnections { target, why },
        (Some(Fault::Denied), _) => SourceError::Denied {
            object,
            why,
            grant: subject.grant.clone(),
        },
        (Some(Fault::Locked), _) => SourceError::Locked { object, why },
        (Some(fault @ Fault::Deadlock), _) => SourceError::Conflict {
            object,
            why,
            remedy: fault.rule().remedy.to_owned(),
        },
        (Some(Fault::Timeout), _) => SourceError::Timeout { object, why },
        (Some(Fault::Changed), _) => SourceError::Changed { object, why },
        (Some(Fault::Exhausted), _) => SourceError::Exhausted { object, why },
        (_, 1046 | 1049 | 1051 | 1146) => SourceError::TableMissing {
            table: object,
            source_name: place.database.clone(),
            near: Vec::new(),
        },
        _ => SourceError::Statement { object, why },
    }
}

/// An error in one line: the server's own words with its number, or the innermost cause.
pub(super) fn words(error: &Error) -> String {
    if let Some(cause) = tls::cause(error) {
        return match cause {
            // What everybody meets, and what the library calls by its variant's name.
            rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
                "the server's certificate is signed by an authority that is not trusted here"
                    .to_owned()
            }
            cause => one_line(&cause.to_string()),
        };
    }
    match error {
        Error::Server(server) => one_line(&format!("{} (error {})", server.message, server.code)),
        Error::Io(IoError::Io(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "the server closed the connection".to_owned()
        }
        Error::Io(IoError::Io(error)) => one_line(&error.to_string()),
        Error::Io(IoError::Tls(error)) => one_line(&error.to_string()),
        Error::Driver(error) => one_line(&error.to_string()),
        other => one_line(&other.to_string()),
    }
}

/// The server's error number, where it is the server that said no.
pub(super) fn number(error: &Error) -> Option<u16> {
    match error {
        Error::Server(error) => Some(error.code),
        _ => None,
    }
}

/// Whether the server denied a right.
pub(super) fn is_denial(error: &Error) -> bool {
    number(error).and_then(Fault::of_mysql) == Some(Fault::Denied)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_are_ready_to_run() {
        let relation = Relation {
            schema: "shop".to_owned(),
            name: "Or`ders".to_owned(),
        };
        assert_eq!(
            grant_select("e'tl@10.%", &relation, &["a".to_owned()]),
            "GRANT SELECT (`a`) ON `shop`.`Or``ders` TO 'e''tl'@'10.%'"
        );
    }

    #[test]
    fn a_refusal_names_the_account() {
        let message = "Access denied for user 'etl'@'10.0.0.%' to database 'shop'";
        assert_eq!(account_named(message).as_deref(), Some("etl@10.0.0.%"));
        assert_eq!(account_named("Zugriff verweigert"), None);
    }

    #[test]
    fn numbers_decide_the_kind() {
        let place = Place {
            target: "db:3306".to_owned(),
            database: "shop".to_owned(),
            user: "etl".to_owned(),
        };
        let server = |code| {
            Error::Server(ServerError {
                code,
                message: "no".to_owned(),
                state: "HY000".to_owned(),
            })
        };
        let subject = Subject::catalogue(&place, "etl@%");
        let kind = |code| statement(&place, &subject, &server(code));
        assert!(matches!(kind(1205), SourceError::Locked { .. }));
        assert!(matches!(kind(1927), SourceError::ConnectionLost { .. }));
        assert!(matches!(kind(1412), SourceError::Changed { .. }));
        assert!(matches!(kind(1064), SourceError::Statement { .. }));
        let SourceError::Login { why, .. } = connecting(&place, &server(1045)) else {
            panic!("a login is refused");
        };
        assert_eq!(why, "no (error 1045)");
    }
}
