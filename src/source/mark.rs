//! Windows in SQL: the condition that holds for exactly a window's rows, and bounds as literals.
//! Pure text, no server.

use super::dialect::{Dialect, DialectError, quote_identifier, quote_literal};
use super::{Result, SourceError, resolve};
use crate::model::{Column, KeyValue, MarkKind, Table, Watermark, Window};

/// How PostgreSQL compares text bytewise, whatever the column's own collation: that order never changes.
pub(super) const BYTEWISE: &str = "COLLATE pg_catalog.\"C\"";

/// Of [`KeyValue::Typed`]: text.
const TEXT: &str = "text";

impl Dialect {
    /// The condition that holds for exactly the rows of a window, among those with any filter.
    ///
    /// # Errors
    /// [`DialectError::Misfit`] for a bound that has no literal here.
    pub fn window(self, window: &Window) -> std::result::Result<String, DialectError> {
        let literal = |bound: &KeyValue| {
            let misfit = || DialectError::Misfit(bound.to_string(), window.column.clone());
            self.mark(bound).ok_or_else(misfit)
        };
        let column = self.marked(&window.column, &window.high);
        let (above, until) = (
            self.comparison_of_marks(">"),
            self.comparison_of_marks("<="),
        );
        let mut condition = format!("{column} {until} {}", literal(&window.high)?);
        if window.nulls {
            let name = quote_identifier(&window.column);
            condition = format!("({condition} OR {name} IS NULL)");
        }
        if let Some(low) = &window.low {
            condition = format!("{column} {above} {} AND {condition}", literal(low)?);
        }
        Ok(condition)
    }

    /// Whether one bound is below another, as a question for the server.
    ///
    /// # Errors
    /// [`DialectError::Misfit`].
    pub fn is_below(
        self,
        one: &KeyValue,
        other: &KeyValue,
    ) -> std::result::Result<String, DialectError> {
        let literal = |bound: &KeyValue| {
            let misfit = || DialectError::Misfit(bound.to_string(), "watermark".to_owned());
            self.mark(bound).ok_or_else(misfit)
        };
        let below = self.comparison_of_marks("<");
        Ok(format!("{} {below} {}", literal(one)?, literal(other)?))
    }

    /// A watermark's column as it is compared with a value.
    pub(super) fn marked(self, column: &str, value: &KeyValue) -> String {
        let name = quote_identifier(column);
        match (self, value) {
            (Self::PostgreSql, KeyValue::Typed { kind, .. }) if kind == TEXT => {
                format!("{name}::pg_catalog.text {BYTEWISE}")
            }
            (Self::PostgreSql, _) => name,
            (Self::Sqlite, _) => format!("{name} COLLATE BINARY"),
        }
    }

    /// A bound as a literal of its own type; `None` where it has none here.
    fn mark(self, value: &KeyValue) -> Option<String> {
        match (self, value) {
            (_, KeyValue::Tuple(_)) => None,
            (Self::Sqlite, value) => super::dialect::stored(value),
            (Self::PostgreSql, KeyValue::Int(value)) => {
                let value = i64::try_from(*value).ok()?;
                Some(format!("'{value}'::pg_catalog.int8"))
            }
            (Self::PostgreSql, KeyValue::Typed { kind, text }) => {
                let known = ["numeric", "date", "timestamp", "timestamptz", TEXT];
                let sql = known.contains(&kind.as_str()).then(|| {
                    let quoted = quote_literal(self, text);
                    format!("{}::pg_catalog.{kind}", quoted.trim_start())
                })?;
                Some(if kind == TEXT {
                    format!("{sql} {BYTEWISE}")
                } else {
                    sql
                })
            }
        }
    }

    fn comparison_of_marks(self, symbol: &str) -> String {
        match self {
            Self::PostgreSql => format!("OPERATOR(pg_catalog.{symbol})"),
            Self::Sqlite => symbol.to_owned(),
        }
    }
}

/// The column of the table's that windows are to be cut on. `kind` says what its values are, where
/// windows can be cut on them.
pub(super) fn watermark(
    table: &Table,
    wanted: &str,
    kind: impl FnOnce(&Column) -> Option<MarkKind>,
) -> Result<Watermark> {
    let names: Vec<String> = table.columns.iter().map(|c| c.name.clone()).collect();
    let column = &table.columns[resolve::find_column(wanted, &names, &table.relation)?];
    let kind = kind(column).ok_or_else(|| SourceError::Unsupported {
        what: format!(
            "windows of {} cannot be cut on {}",
            table.relation, column.name
        ),
        why: format!(
            "{} has no order here in which every new value comes after the old ones",
            column.source_type
        ),
        fix: "name a column of integers, decimals, dates, timestamps or text".to_owned(),
    })?;
    Ok(Watermark {
        column: column.name.clone(),
        source_type: column.source_type.clone(),
        kind,
        nullable: column.nullable,
    })
}

/// The condition of a window, for a source that speaks `dialect`.
pub(super) fn condition(dialect: Dialect, window: &Window) -> Result<String> {
    dialect
        .window(window)
        .map_err(|error| unsaid(window, &error))
}

/// Of a window that has no condition here.
pub(super) fn unsaid(window: &Window, error: &DialectError) -> SourceError {
    SourceError::Unsupported {
        what: format!("the window {window} cannot be said here"),
        why: error.to_string(),
        fix: "name a column of integers, decimals, dates, timestamps or text".to_owned(),
    }
}

/// Of a source without windows.
pub(super) fn unknown() -> SourceError {
    SourceError::Unsupported {
        what: "--incremental is not there for this kind of source".to_owned(),
        why: "it says nothing of the order of its values".to_owned(),
        fix: "leave --incremental out, and pass --where for the rows that are wanted".to_owned(),
    }
}

/// Why `--lag auto` cannot be had.
pub(super) fn never_settled(table: &Table, mark: &Watermark, why: &str) -> SourceError {
    SourceError::Unsupported {
        what: format!(
            "--lag auto cannot be had for {} of {}",
            mark.column, table.relation
        ),
        why: why.to_owned(),
        fix: "pass --lag with a time longer than any writing transaction, such as --lag 5m, or --until with \
              a value that is surely settled"
            .to_owned(),
    }
}

/// Of a value after which nothing would ever be new.
pub(super) fn endless(table: &Table, mark: &Watermark, value: &str) -> SourceError {
    SourceError::Unsupported {
        what: format!("no window of {} can end with {value}", table.relation),
        why: format!(
            "{} of at least one row is {value}, and nothing is newer",
            mark.column
        ),
        fix: "leave such rows out with --where, or correct them".to_owned(),
    }
}

/// Of a value that is none of the column's.
pub(super) fn wrong(table: &Table, why: String) -> SourceError {
    SourceError::Statement {
        object: table.relation.to_string(),
        why,
    }
}

/// A number, or a point in time, without the zeros at the end of its fraction: alike for all that are
/// equal.
pub(super) fn shortest(text: &str) -> &str {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    }
}

/// An integer that a server or a person wrote.
pub(super) fn integer(table: &Table, text: &str) -> Result<KeyValue> {
    text.parse()
        .map(KeyValue::Int)
        .map_err(|_| wrong(table, format!("'{text}' is no integer")))
}

/// A condition in words of a source's own: `column` as it is compared, and bounds as literals.
pub(super) fn between(
    window: &Window,
    (column, name): (&str, &str),
    literal: impl Fn(&KeyValue) -> std::result::Result<String, DialectError>,
) -> Result<String> {
    let said = || -> std::result::Result<String, DialectError> {
        let mut condition = format!("{column} <= {}", literal(&window.high)?);
        if window.nulls {
            condition = format!("({condition} OR {name} IS NULL)");
        }
        if let Some(low) = &window.low {
            condition = format!("{column} > {} AND {condition}", literal(low)?);
        }
        Ok(condition)
    };
    said().map_err(|error| unsaid(window, &error))
}

/// A filter of the user's and a window's condition, as one filter. The user's may end in a `--`
/// comment, so it is closed on a new line.
pub fn within(filter: Option<&str>, condition: &str) -> String {
    match filter {
        Some(filter) => format!("({filter}\n) AND ({condition})"),
        None => condition.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(low: Option<KeyValue>, high: KeyValue, nulls: bool) -> Window {
        Window {
            column: "a \"b\"".to_owned(),
            low,
            high,
            nulls,
        }
    }

    #[test]
    fn bounds_are_literals_of_their_own_type() {
        let of = |window| Dialect::PostgreSql.window(&window).unwrap();
        assert_eq!(
            of(window(Some(KeyValue::Int(-1)), KeyValue::Int(5), false)),
            "\"a \"\"b\"\"\" OPERATOR(pg_catalog.>) '-1'::pg_catalog.int8 AND \
             \"a \"\"b\"\"\" OPERATOR(pg_catalog.<=) '5'::pg_catalog.int8"
        );
        assert_eq!(
            of(window(None, KeyValue::typed("text", "it's \\"), true)),
            "(\"a \"\"b\"\"\"::pg_catalog.text COLLATE pg_catalog.\"C\" OPERATOR(pg_catalog.<=) \
             E'it''s \\\\'::pg_catalog.text COLLATE pg_catalog.\"C\" OR \"a \"\"b\"\"\" IS NULL)"
        );
        let real = Dialect::Sqlite.window(&window(None, KeyValue::typed("real", "1.5"), false));
        assert_eq!(real.unwrap(), "\"a \"\"b\"\"\" COLLATE BINARY <= 1.5");
    }

    #[test]
    fn a_bound_without_a_literal_is_refused() {
        let blob = KeyValue::typed("money", "1; DROP TABLE t");
        assert!(
            Dialect::PostgreSql
                .window(&window(None, blob, false))
                .is_err()
        );
        let nul = KeyValue::typed("text", "a\0b");
        assert!(Dialect::Sqlite.window(&window(None, nul, false)).is_err());
    }

    #[test]
    fn equal_values_are_written_alike() {
        assert_eq!(shortest("1.500"), "1.5");
        assert_eq!(shortest("100"), "100");
        assert_eq!(
            shortest("2026-01-01 10:00:00.000000"),
            "2026-01-01 10:00:00"
        );
        assert_eq!(
            shortest("2026-01-01 10:00:00.120000"),
            "2026-01-01 10:00:00.12"
        );
    }

    #[test]
    fn a_comment_at_the_filters_end_hides_nothing() {
        assert_eq!(
            within(Some("a > 1 -- old"), "b"),
            "(a > 1 -- old\n) AND (b)"
        );
        assert_eq!(within(None, "b"), "b");
    }
}
