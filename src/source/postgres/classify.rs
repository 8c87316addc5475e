//! The driver's errors, turned into ours: by SQLSTATE and system error, in the server's own words.

use std::error::Error as _;

use tokio_postgres::error::{DbError, SqlState};

use super::super::SourceError;
use super::super::dialect::{quote_identifier, quote_relation};
use super::super::remote::Place;
use crate::error::one_line;
use crate::model::{Fault, Relation};

/// What a statement was about: named in its errors, with the grant that reading it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    shown: String,
    grant: String,
}

impl Subject {
    /// The catalogue and the server's own functions.
    pub(super) fn catalogue(place: &Place) -> Self {
        Self {
            shown: format!("the catalogue of {}", place.database),
            grant: format!(
                "GRANT pg_read_all_settings, pg_read_all_stats TO {}",
                quote_identifier(&place.user)
            ),
        }
    }

    /// What is read: a relation, or the query of that name.
    pub(super) fn of(place: &Place, relation: &Relation, query: Option<&str>) -> Self {
        match query {
            None => Self::relation(place, relation),
            Some(_) => Self {
                shown: format!("the query {}", relation.name),
                grant: format!(
                    "GRANT SELECT ON the tables that the query names TO {}",
                    quote_identifier(&place.user)
                ),
            },
        }
    }

    /// A relation.
    pub(super) fn relation(place: &Place, relation: &Relation) -> Self {
        Self {
            shown: relation.to_string(),
            grant: grant_select(place, relation, &[]),
        }
    }
}

/// `GRANT SELECT ON … TO …`, of some columns where they are named.
pub(super) fn grant_select(place: &Place, relation: &Relation, columns: &[String]) -> String {
    let columns = if columns.is_empty() {
        String::new()
    } else {
        let quoted: Vec<String> = columns.iter().map(|name| quote_identifier(name)).collect();
        format!(" ({})", quoted.join(", "))
    };
    format!(
        "GRANT SELECT{columns} ON {} TO {}",
        quote_relation(relation),
        quote_identifier(&place.user)
    )
}

/// What went wrong while a connection was opened.
pub(super) fn connecting(place: &Place, error: &tokio_postgres::Error) -> SourceError {
    let target = place.target.clone();
    let why = words(error);
    if let Some(db) = error.as_db_error() {
        let code = db.code();
        return if code.code().starts_with("28") {
            SourceError::Login {
                target: format!("{target}/{}", place.database),
                user: place.user.clone(),
                why,
                secrets: "~/.pgpass",
            }
        } else if *code == SqlState::INVALID_CATALOG_NAME {
            SourceError::DatabaseMissing {
                target,
                database: place.database.clone(),
                why,
            }
        } else if *code == SqlState::TOO_MANY_CONNECTIONS {
            SourceError::TooManyConnections { target, why }
        } else if *code == SqlState::INSUFFICIENT_PRIVILEGE {
            SourceError::Denied {
                object: format!("the database {}", place.database),
                why,
                grant: format!(
                    "GRANT CONNECT ON DATABASE {} TO {}",
                    quote_identifier(&place.database),
                    quote_identifier(&place.user)
                ),
            }
        } else {
            SourceError::Unreachable { target, why }
        };
    }
    match error.to_string() {
        kind if kind.starts_with("error performing TLS") => SourceError::Tls { target, why },
        kind if kind.starts_with("authentication error")
            || kind.starts_with("invalid configuration") =>
        {
            SourceError::Login {
                target: format!("{target}/{}", place.database),
                user: place.user.clone(),
                why,
                secrets: "~/.pgpass",
            }
        }
        kind if kind.starts_with("unexpected message") || kind.starts_with("error parsing") => {
            SourceError::Protocol { target, why }
        }
        _ => SourceError::Unreachable { target, why },
    }
}

/// What went wrong with a statement on an open connection.
pub(super) fn statement(
    place: &Place,
    subject: &Subject,
    error: &tokio_postgres::Error,
) -> SourceError {
    match error.as_db_error() {
        Some(db) => by_code(place, subject, db),
        None => {
            let kind = error.to_string();
            let why = words(error);
            if kind.starts_with("unexpected message") || kind.starts_with("error parsing") {
                SourceError::Protocol {
                    target: place.target.clone(),
                    why,
                }
            } else if error.is_closed() || kind.starts_with("error communicating") {
                SourceError::ConnectionLost {
                    target: place.target.clone(),
                    why,
                }
            } else {
                SourceError::Statement {
                    object: subject.shown.clone(),
                    why,
                }
            }
        }
    }
}

fn by_code(place: &Place, subject: &Subject, error: &DbError) -> SourceError {
    let why = server_words(error);
    let object = subject.shown.clone();
    let target = place.target.clone();
    let code = error.code().code();
    match (Fault::of_sqlstate(code), code) {
        (Some(Fault::ConnectionLost), _) => SourceError::ConnectionLost { target, why },
        (Some(Fault::Timeout), _) => SourceError::Timeout { object, why },
        (Some(Fault::RecoveryConflict), _) => SourceError::RecoveryConflict { object, why },
        (Some(fault @ Fault::Deadlock), _) => SourceError::Conflict {
            object,
            why,
            remedy: fault.rule().remedy.to_owned(),
        },
        (Some(Fault::Locked), _) => SourceError::Locked { object, why },
        (Some(Fault::TooManyConnections), _) => SourceError::TooManyConnections { target, why },
        (Some(Fault::Exhausted), _) => SourceError::Exhausted { object, why },
        // The routine's name is the one part of this error that no translation changes.
        (Some(Fault::Denied), _) if error.routine() == Some("check_enable_rls") => {
            SourceError::RowSecurity {
                table: object,
                user: place.user.clone(),
            }
        }
        (Some(Fault::Denied), _) => SourceError::Denied {
            object,
            why,
            grant: subject.grant.clone(),
        },
        (_, "42P01" | "3F000") => SourceError::TableMissing {
            table: object,
            source_name: place.database.clone(),
            near: Vec::new(),
        },
        _ => SourceError::Statement { object, why },
    }
}

/// The innermost cause in one line; the driver's wrapping only where there is nothing else.
pub(super) fn words(error: &tokio_postgres::Error) -> String {
    if let Some(db) = error.as_db_error() {
        return server_words(db);
    }
    match error.source() {
        // The one TLS error that everybody meets, and that the library calls by its variant's name.
        Some(cause) if cause.to_string().ends_with("UnknownIssuer") => {
            "the server's certificate is signed by an authority that is not trusted here".to_owned()
        }
        Some(cause) => one_line(&cause.to_string()),
        None if error.is_closed() => "the server closed the connection".to_owned(),
        None => one_line(&error.to_string()),
    }
}

fn server_words(error: &DbError) -> String {
    let detail = error
        .detail()
        .map(|detail| format!("; {detail}"))
        .unwrap_or_default();
    one_line(&format!(
        "{}{detail} (SQLSTATE {})",
        error.message(),
        error.code().code()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            target: "db:5432".to_owned(),
            database: "sales".to_owned(),
            user: "e\"tl".to_owned(),
        }
    }

    fn relation() -> Relation {
        Relation {
            schema: "public".to_owned(),
            name: "Or ders".to_owned(),
        }
    }

    #[test]
    fn grants_are_ready_to_run() {
        assert_eq!(
            grant_select(&place(), &relation(), &[]),
            r#"GRANT SELECT ON "public"."Or ders" TO "e""tl""#
        );
        assert_eq!(
            grant_select(&place(), &relation(), &["a".to_owned(), "b c".to_owned()]),
            r#"GRANT SELECT ("a", "b c") ON "public"."Or ders" TO "e""tl""#
        );
    }

    #[test]
    fn words_fit_one_line() {
        assert_eq!(one_line("a\n  b\tc "), "a b c");
    }
}
