//! What the sources behind a connection have in common.

use super::{Result, SourceError};
use crate::model::{FieldType, ReadAs, ReadSpec, RelationKind};

/// Where we are connected: what every error names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `host:port`, or the socket's path.
    pub(super) target: String,
    /// Database.
    pub(super) database: String,
    /// User, as we log in.
    pub(super) user: String,
}

/// How a column is read: its decoder's name, the way it travels, the output type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) base_type: String,
    pub(super) read: ReadAs,
    pub(super) field: FieldType,
    pub(super) lossy: bool,
}

/// Why a column, given by its name and type, cannot be written as the user wants it, and what can be
/// done; `nearly` where it can with a loss.
pub(super) fn refusal(
    (name, source_type): (&str, &str),
    natural: &FieldType,
    field: &FieldType,
    nearly: bool,
) -> SourceError {
    let what = format!("cannot write {name} as {field}");
    if nearly {
        return SourceError::Unsupported {
            what: format!("{what} without losing something"),
            why: format!(
                "it is {source_type} at the source, whose values {field} can only come near to"
            ),
            fix: format!("allow that with --lossy {name}={field}, or leave out --type {name}"),
        };
    }
    SourceError::Unsupported {
        what,
        why: format!("it is {source_type} at the source, which is written as {natural} or as text"),
        fix: format!("leave out --type {name}={field}, or pass --type {name}=text"),
    }
}

/// A column as the catalogue has it now.
pub(super) struct Present<'a> {
    pub(super) name: &'a str,
    pub(super) source_type: &'a str,
    pub(super) base_type: String,
    pub(super) not_null: bool,
}

/// Fails when a relation is not of the kind that the plan was made for.
pub(super) fn check_kind(read: &ReadSpec, now: Option<RelationKind>) -> Result<()> {
    let why = match now {
        Some(now) if now == read.kind => return Ok(()),
        Some(now) => format!("it was {:?} and is {now:?}", read.kind),
        None => "the table does not exist any more".to_owned(),
    };
    Err(mismatch(read, why))
}

/// Fails when the columns are not those that the plan was made for.
pub(super) fn check_columns(read: &ReadSpec, all: &[Present<'_>]) -> Result<()> {
    for column in &read.columns {
        let Some(now) = all.iter().find(|now| now.name == column.name) else {
            return Err(mismatch(
                read,
                format!("the column {} is gone", column.name),
            ));
        };
        if now.source_type != column.source_type || now.base_type != column.base_type {
            let why = format!(
                "the column {} was {} and is {}",
                column.name, column.source_type, now.source_type
            );
            return Err(mismatch(read, why));
        }
        if !column.nullable && !now.not_null {
            let why = format!("the column {} may be NULL now", column.name);
            return Err(mismatch(read, why));
        }
    }
    let not_null = |name: &str| all.iter().any(|now| now.name == name && now.not_null);
    match read.key.as_ref().filter(|key| !key.nullable) {
        Some(key) if !key.columns().all(|(name, _)| not_null(name)) => {
            Err(mismatch(read, format!("the key {key} may be NULL now")))
        }
        _ => Ok(()),
    }
}

fn mismatch(read: &ReadSpec, why: String) -> SourceError {
    SourceError::PlanMismatch {
        table: read.relation.to_string(),
        why,
    }
}
