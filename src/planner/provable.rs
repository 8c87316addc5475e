//! What `--proof full` can be proved by: a key whose text the server and a reader of the files write
//! alike, byte for byte.

use super::PlanError;
use crate::model::{
    Column, Consistency, FieldType, Key, OnUnrepresentable, ProofLevel, RunRequest, SourceKind,
    Table,
};

/// The columns that are summed; none unless the request asks for a full proof.
///
/// # Errors
/// [`PlanError::Unprovable`] where there is no such key.
pub(super) fn columns(
    request: &RunRequest,
    kind: SourceKind,
    table: &Table,
) -> Result<Vec<String>, PlanError> {
    if request.work.proof != ProofLevel::Full {
        return Ok(Vec::new());
    }
    let unprovable = |why: String| PlanError::Unprovable {
        relation: table.relation.to_string(),
        why,
    };
    if request.work.consistency == Consistency::PerChunk {
        return Err(unprovable(
            "each chunk is read at its own point in time, and would be summed at another"
                .to_owned(),
        ));
    }
    let mut why = "it has no unique key without NULLs".to_owned();
    for key in table.keys.iter().filter(|key| key.unique && !key.nullable) {
        match reason(kind, table, key) {
            None => return Ok(key.columns().map(|(name, _)| name.to_owned()).collect()),
            Some(reason) => why = reason,
        }
    }
    Err(unprovable(why))
}

/// Why a key does not do; `None` where it does.
fn reason(kind: SourceKind, table: &Table, key: &Key) -> Option<String> {
    key.columns().find_map(|(name, _)| {
        let column = table.columns.iter().find(|column| column.name == name);
        match column {
            None => Some(format!("column {name} of its key {key} is not written")),
            Some(column) if !is_exact(kind, column) => Some(format!(
                "column {name} of its key {key} is {} written as {}, whose text the server does not \
                 write as we do",
                column.source_type, column.field
            )),
            Some(_) => None,
        }
    })
}

/// Whether the server's text of a column is that of its output type.
fn is_exact(kind: SourceKind, column: &Column) -> bool {
    if column.lossy || column.on_unrepresentable != OnUnrepresentable::Fail {
        return false;
    }
    let base = column.base_type.as_str();
    let whole = is_whole(&column.field);
    let text = column.field == FieldType::Utf8;
    match kind {
        SourceKind::PostgreSql => match base {
            "int2" | "int4" | "int8" => whole,
            "text" | "varchar" => text,
            "uuid" => text || column.field == FieldType::Uuid,
            "date" => column.field == FieldType::Date,
            "numeric" => is_decimal(&column.field, column.source_type.strip_prefix("numeric")),
            _ => false,
        },
        SourceKind::Mysql => match base {
            "text" => text,
            "date" => column.field == FieldType::Date,
            _ if base.starts_with("decimal(") => {
                is_decimal(&column.field, base.strip_prefix("decimal"))
            }
            _ if base.starts_with("int") || base.starts_with("uint") => whole,
            _ => false,
        },
        SourceKind::Sqlite => match base {
            "integer" => whole,
            "text" => text,
            _ => false,
        },
        // Its digest of text is that of the column's own character set, which is none of a file's.
        SourceKind::SqlServer => match base {
            "tinyint" | "smallint" | "int" | "bigint" => whole,
            "guid" => text || column.field == FieldType::Uuid,
            "date" => column.field == FieldType::Date,
            "money" => is_decimal(&column.field, Some("(19,4)")),
            "smallmoney" => is_decimal(&column.field, Some("(10,4)")),
            _ => is_decimal(&column.field, base.strip_prefix("decimal")),
        },
    }
}

/// A type whose values are written without a point.
fn is_whole(field: &FieldType) -> bool {
    use FieldType as F;
    matches!(
        field,
        F::Int8
            | F::Int16
            | F::Int32
            | F::Int64
            | F::UInt8
            | F::UInt16
            | F::UInt32
            | F::UInt64
            | F::Decimal { scale: 0, .. }
    )
}

/// Whether a decimal has as many digits after the point as the server's type, `(p,s)`.
fn is_decimal(field: &FieldType, modifier: Option<&str>) -> bool {
    let FieldType::Decimal { precision, scale } = field else {
        return false;
    };
    modifier == Some(format!("({precision},{scale})").as_str())
}
