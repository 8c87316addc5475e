//! Rows into Arrow: one decoder a column, chosen once, appending to typed builders.

use std::fmt::Write as _;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, Float64Builder, Int64Builder, RecordBatch, StringBuilder,
};
use arrow::datatypes::SchemaRef;
use rusqlite::types::ValueRef;

use super::types::Storage;
use crate::model::{Column, FieldType, Relation, arrow_schema};
use crate::source::convert::{Convert, Raw, converter};
use crate::source::ledger::{Ledger, Met, flag};
use crate::source::{Result, SourceError};

/// Bytes that a number or NULL counts for, so that a batch of them is bounded too.
const SMALL: usize = 8;

/// The most of a value that an error shows, in characters or bytes.
const SHOWN: usize = 80;

/// One column's builder.
enum Decoder {
    Integer(Int64Builder),
    Real(Float64Builder),
    Text(StringBuilder),
    Blob(BinaryBuilder),
    Exact(StringBuilder),
    /// Values of any kind as the user wants them.
    Converted {
        to: Box<dyn Convert>,
        /// Bytes are wanted, of whatever is stored: of text as it is, of a number its text's.
        takes_bytes: bool,
    },
}

impl Decoder {
    /// The decoder of a column; `None` where there is none.
    fn of(column: &Column) -> Option<Self> {
        let storage = Storage::named(&column.base_type)?;
        if column.field == storage.field() {
            return Some(Self::new(storage, 0, 0));
        }
        if !storage.can_be(&column.field, column.lossy) {
            return None;
        }
        Some(match column.field {
            FieldType::Utf8 => Self::new(Storage::Exact, 0, 0),
            _ => Self::Converted {
                to: converter(&column.field, column.lossy)?,
                takes_bytes: column.field == FieldType::Binary,
            },
        })
    }

    /// A builder with room for a batch like the last one: `rows` values and `bytes` of them.
    fn new(storage: Storage, rows: usize, bytes: usize) -> Self {
        match storage {
            Storage::Integer => Self::Integer(Int64Builder::with_capacity(rows)),
            Storage::Real => Self::Real(Float64Builder::with_capacity(rows)),
            Storage::Text => Self::Text(StringBuilder::with_capacity(rows, bytes)),
            Storage::Blob => Self::Blob(BinaryBuilder::with_capacity(rows, bytes)),
            Storage::Exact => Self::Exact(StringBuilder::with_capacity(rows, bytes)),
        }
    }

    /// Appends a value and says how many bytes it was, or `None` when it does not fit the column.
    #[inline]
    fn append(&mut self, value: ValueRef<'_>) -> Option<usize> {
        match (self, value) {
            (Self::Integer(to), ValueRef::Integer(value)) => to.append_value(value),
            (Self::Integer(to), ValueRef::Null) => to.append_null(),
            (Self::Real(to), ValueRef::Real(value)) => to.append_value(value),
            (Self::Real(to), ValueRef::Integer(value)) => to.append_value(exact_real(value)?),
            (Self::Real(to), ValueRef::Null) => to.append_null(),
            (Self::Text(to) | Self::Exact(to), ValueRef::Text(value)) => {
                to.append_value(std::str::from_utf8(value).ok()?);
                return Some(value.len());
            }
            (Self::Text(to) | Self::Exact(to), ValueRef::Null) => to.append_null(),
            (Self::Blob(to), ValueRef::Blob(value)) => {
                to.append_value(value);
                return Some(value.len());
            }
            (Self::Blob(to), ValueRef::Null) => to.append_null(),
            // Writing to a builder cannot fail; an empty value then ends what was written.
            (Self::Exact(to), ValueRef::Integer(value)) => {
                write!(to, "{value}").ok()?;
                to.append_value("");
            }
            (Self::Exact(to), ValueRef::Real(value)) => {
                write_real(to, value).ok()?;
                to.append_value("");
            }
            (Self::Converted { to, takes_bytes }, value) => {
                return convert(to.as_mut(), *takes_bytes, value);
            }
            _ => return None,
        }
        Some(SMALL)
    }

    /// Appends NULL in place of what does not fit.
    #[cold]
    fn append_null(&mut self) {
        match self {
            Self::Integer(to) => to.append_null(),
            Self::Real(to) => to.append_null(),
            Self::Text(to) | Self::Exact(to) => to.append_null(),
            Self::Blob(to) => to.append_null(),
            Self::Converted { to, .. } => to.append_null(),
        }
    }

    /// The values so far; the next batch begins with as much room.
    fn finish(&mut self, rows: usize) -> ArrayRef {
        let (array, next): (ArrayRef, _) = match self {
            Self::Integer(from) => (
                Arc::new(from.finish()),
                Self::new(Storage::Integer, rows, 0),
            ),
            Self::Real(from) => (Arc::new(from.finish()), Self::new(Storage::Real, rows, 0)),
            Self::Text(from) => {
                let bytes = from.values_slice().len();
                let next = Self::new(Storage::Text, rows, bytes);
                (Arc::new(from.finish()), next)
            }
            Self::Exact(from) => {
                let bytes = from.values_slice().len();
                let next = Self::new(Storage::Exact, rows, bytes);
                (Arc::new(from.finish()), next)
            }
            Self::Blob(from) => {
                let bytes = from.values_slice().len();
                let next = Self::new(Storage::Blob, rows, bytes);
                (Arc::new(from.finish()), next)
            }
            Self::Converted { to, .. } => return to.finish(),
        };
        *self = next;
        array
    }
}

/// Appends a value as the user wants it.
fn convert(to: &mut dyn Convert, takes_bytes: bool, value: ValueRef<'_>) -> Option<usize> {
    let (raw, bytes) = match value {
        ValueRef::Null => {
            to.append_null();
            return Some(SMALL);
        }
        // The bytes of a number are those of its text, as they are to SQLite's own CAST.
        ValueRef::Integer(value) if takes_bytes => return append_text(to, &value.to_string()),
        ValueRef::Real(value) if takes_bytes => {
            let mut text = String::new();
            write_real(&mut text, value).ok()?;
            return append_text(to, &text);
        }
        ValueRef::Integer(value) => (Raw::Integer(value), SMALL),
        ValueRef::Real(value) => (Raw::Real(value), SMALL),
        ValueRef::Blob(value) => (Raw::Bytes(value), value.len()),
        ValueRef::Text(value) if takes_bytes => (Raw::Bytes(value), value.len()),
        ValueRef::Text(value) => (Raw::Text(std::str::from_utf8(value).ok()?), value.len()),
    };
    to.append(raw).then_some(bytes)
}

/// Appends the bytes of a text.
fn append_text(to: &mut dyn Convert, text: &str) -> Option<usize> {
    to.append(Raw::Bytes(text.as_bytes())).then_some(text.len())
}

/// The real that equals an integer, where there is one.
fn exact_real(value: i64) -> Option<f64> {
    let real = value as f64;
    // Through i128, because 2^63 as f64 would saturate to i64::MAX and seem equal to it.
    (real as i128 == i128::from(value)).then_some(real)
}

/// A real as the shortest text that reads back as the same real, and never as an integer.
fn write_real(to: &mut impl std::fmt::Write, value: f64) -> std::fmt::Result {
    if value.is_infinite() {
        // As SQLite prints them; NaN cannot be stored.
        to.write_str(if value > 0.0 { "Inf" } else { "-Inf" })
    } else {
        write!(to, "{value:?}")
    }
}

/// Turns the rows of one statement into batches.
pub(super) struct Decoders {
    relation: Relation,
    columns: Vec<Column>,
    schema: SchemaRef,
    row_name: Option<String>,
    decoders: Vec<Decoder>,
    ledger: Ledger,
    rows: usize,
    bytes: usize,
}

impl Decoders {
    /// Decoders for `columns`; the statement's last column is `row_name`, where there is one.
    ///
    /// # Errors
    /// [`SourceError::PlanMismatch`] for a column of a kind that we do not know.
    pub(super) fn new(
        relation: &Relation,
        columns: &[Column],
        row_name: Option<&str>,
    ) -> Result<Self> {
        let decoders = columns
            .iter()
            .map(|column| {
                Decoder::of(column).ok_or_else(|| SourceError::PlanMismatch {
                    table: relation.to_string(),
                    why: format!(
                        "column {} cannot be decoded from {} to {}",
                        column.name, column.base_type, column.field
                    ),
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            relation: relation.clone(),
            schema: arrow_schema(columns),
            columns: columns.to_vec(),
            ledger: Ledger::new(relation, columns),
            row_name: row_name.map(str::to_owned),
            decoders,
            rows: 0,
            bytes: 0,
        })
    }

    /// Rows gathered since the last batch.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes gathered since the last batch.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Appends one row. A value that does not fit its column is noted.
    ///
    /// # Errors
    /// What SQLite says when a value cannot be had.
    #[inline]
    pub(super) fn append(&mut self, row: &rusqlite::Row<'_>) -> Result<()> {
        for (index, decoder) in self.decoders.iter_mut().enumerate() {
            let value = row
                .get_ref(index)
                .map_err(|error| super::failure::translate(&error, &self.relation.to_string()))?;
            if let Some(bytes) = decoder.append(value) {
                self.bytes += bytes;
                continue;
            }
            decoder.append_null();
            let key = || {
                let name = self.row_name.as_ref()?;
                let key = row.get_ref(self.columns.len()).ok()?;
                Some(format!("{name} = {}", shown(key)))
            };
            let column = &self.columns[index];
            let met = || Met {
                row: self.rows,
                key: key(),
                ..misfit(column, value)
            };
            self.ledger.enter(index, 1, met);
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows gathered so far as a batch, and how many values of which columns stand as NULL in
    /// it; the next one starts with as much room.
    ///
    /// # Errors
    /// [`SourceError::Unrepresentable`] for the values that do not fit their columns, where those are
    /// to stop the run, and for a NULL where the table's own constraint forbids it.
    pub(super) fn finish(&mut self) -> Result<(RecordBatch, Vec<(usize, u64)>)> {
        let nulled = self.ledger.close()?;
        let mut arrays = Vec::with_capacity(self.decoders.len());
        for (index, decoder) in self.decoders.iter_mut().enumerate() {
            let array = decoder.finish(self.rows);
            if !self.columns[index].nullable && array.null_count() > 0 {
                return Err(unexpected_null(&self.relation, &self.columns[index]));
            }
            arrays.push(array);
        }
        self.rows = 0;
        self.bytes = 0;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays);
        batch
            .map(|batch| (batch, nulled))
            .map_err(|error| SourceError::Protocol {
                target: self.relation.to_string(),
                why: error.to_string(),
            })
    }
}

/// A value that does not fit its column, and the output type that would hold it.
#[cold]
fn misfit(column: &Column, value: ValueRef<'_>) -> Met {
    // Text holds every number and text, and bytes hold every text and blob.
    let (what, helps) = match value {
        ValueRef::Text(text) if std::str::from_utf8(text).is_err() => {
            ("text that is not valid UTF-8", Some("binary"))
        }
        ValueRef::Blob(_) => ("a blob", Some("binary")),
        ValueRef::Text(_) => ("text", Some("text")),
        ValueRef::Real(_) => ("a real", Some("text")),
        ValueRef::Integer(_) => ("an integer", Some("text")),
        ValueRef::Null => ("NULL", None),
    };
    let helps = helps.filter(|field| {
        let field = field.parse().unwrap_or(FieldType::Utf8);
        let storage = Storage::named(&column.base_type);
        column.field != field && storage.is_some_and(|storage| storage.can_be(&field, false))
    });
    let declared = match column.source_type.as_str() {
        "" => "no type",
        declared => declared,
    };
    Met {
        row: 0,
        key: None,
        value: shown(value),
        why: format!(
            "it is stored as {what}, and the column (declared {declared}) is written as {}",
            column.field
        ),
        flag: helps.map(|field| flag("--type", &format!("{}={field}", column.name))),
    }
}

#[cold]
fn unexpected_null(relation: &Relation, column: &Column) -> SourceError {
    SourceError::Unrepresentable {
        table: relation.to_string(),
        column: column.name.clone(),
        key: None,
        value: "NULL".to_owned(),
        why: "the column is declared NOT NULL".to_owned(),
        fix: format!(
            "repair the table (PRAGMA integrity_check finds the rows), or leave the column out with --exclude-columns {}",
            column.name
        ),
    }
}

/// A value for a person, as an SQL literal, shortened.
fn shown(value: ValueRef<'_>) -> String {
    let hex = |bytes: &[u8]| {
        let more = if bytes.len() > SHOWN / 2 { "…" } else { "" };
        let head = &bytes[..bytes.len().min(SHOWN / 2)];
        let digits = head.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02X}");
            text
        });
        format!("x'{digits}'{more}")
    };
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(value) => value.to_string(),
        ValueRef::Real(value) => {
            let mut text = String::new();
            let _ = write_real(&mut text, value);
            text
        }
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => {
                let mut head: String = text.escape_debug().take(SHOWN).collect();
                if text.chars().nth(SHOWN).is_some() {
                    head.push('…');
                }
                format!("'{head}'")
            }
            Err(_) => hex(bytes),
        },
        ValueRef::Blob(bytes) => hex(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(value: f64) -> String {
        let mut text = String::new();
        write_real(&mut text, value).unwrap();
        text
    }

    #[test]
    fn reals_are_told_from_integers() {
        assert_eq!(text(1.0), "1.0");
        assert_eq!(text(-0.0), "-0.0");
        assert_eq!(text(0.1), "0.1");
        assert_eq!(text(f64::INFINITY), "Inf");
        assert_eq!(text(f64::NEG_INFINITY), "-Inf");
    }

    #[test]
    fn integers_become_reals_only_where_equal() {
        assert_eq!(exact_real(1 << 53), Some(9_007_199_254_740_992.0));
        assert_eq!(exact_real((1 << 53) + 1), None);
        assert_eq!(exact_real(i64::MIN), Some(-9_223_372_036_854_775_808.0));
        assert_eq!(exact_real(i64::MAX), None);
    }

    #[test]
    fn long_values_are_shortened() {
        assert_eq!(shown(ValueRef::Text(b"a\nb")), "'a\\nb'");
        assert_eq!(shown(ValueRef::Text(b"\xff")), "x'FF'");
        assert!(shown(ValueRef::Blob(&[7; 1000])).ends_with("'…"));
        assert!(shown(ValueRef::Text(&[b'x'; 1000])).ends_with("…'"));
    }

    proptest! {
        #[test]
        fn a_real_reads_back(bits: u64) {
            let value = f64::from_bits(bits);
            prop_assume!(value.is_finite());
            prop_assert_eq!(text(value).parse::<f64>().unwrap().to_bits(), bits);
        }
    }
}
