//! Quoting and chunk predicates: pure text, no server.
//!
//! Everything that becomes part of a statement goes through here, so that there is one place to
//! look at for injection, NULLs and the edges of 64 bits.

use thiserror::Error;

use crate::model::{BlockRange, ChunkBounds, Key, KeyRange, KeyValue, Relation};

/// The SQL spelling of a database family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL 13 or later.
    PostgreSql,
    /// SQLite 3.
    Sqlite,
}

/// Why a chunk cannot be said in a dialect.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum DialectError {
    /// A key chunk of a read that has no key.
    #[error("the chunk is cut on a key, and the read names none")]
    NoKey,
    /// A block chunk for a database whose blocks have no address.
    #[error("blocks cannot be addressed here")]
    NoBlocks,
}

/// Quotes an identifier as standard SQL does; PostgreSQL and SQLite both read it literally.
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes text as a literal that both databases read the same, whatever
/// `standard_conforming_strings` says: text with a backslash takes PostgreSQL's `E''` form.
pub fn quote_literal(dialect: Dialect, text: &str) -> String {
    let quoted = text.replace('\'', "''");
    match dialect {
        Dialect::PostgreSql if text.contains('\\') => {
            format!(" E'{}'", quoted.replace('\\', "\\\\"))
        }
        _ => format!("'{quoted}'"),
    }
}

/// `"schema"."name"`.
pub fn quote_relation(relation: &Relation) -> String {
    format!(
        "{}.{}",
        quote_identifier(&relation.schema),
        quote_identifier(&relation.name)
    )
}

/// What stands behind FROM: the relation or, under its name, the statement of `--query`, which may
/// end in a `--` comment.
pub fn from_item(relation: &Relation, query: Option<&str>) -> String {
    match query {
        None => quote_relation(relation),
        Some(query) => format!("({query}\n) AS {}", quote_identifier(&relation.name)),
    }
}

impl Dialect {
    /// The predicate that holds for exactly the rows of a chunk; `None` when that is every row.
    ///
    /// # Errors
    /// A key chunk without a key; a block chunk outside PostgreSQL.
    pub fn predicate(
        self,
        bounds: &ChunkBounds,
        key: Option<&Key>,
    ) -> Result<Option<String>, DialectError> {
        let column = || key.map(|key| quote_identifier(&key.column));
        match bounds {
            ChunkBounds::All => Ok(None),
            ChunkBounds::KeyNull => {
                let column = column().ok_or(DialectError::NoKey)?;
                Ok(Some(format!("{column} IS NULL")))
            }
            ChunkBounds::Key(range) => {
                let column = column().ok_or(DialectError::NoKey)?;
                Ok(Some(self.key_range(&column, range)))
            }
            ChunkBounds::Blocks(range) => match self {
                Self::PostgreSql => Ok(block_range(range)),
                Self::Sqlite => Err(DialectError::NoBlocks),
            },
        }
    }

    /// A range of a quoted key column. NULL keys are in no range, so a range that is open at both
    /// ends says so; a bound that no 64-bit key can reach is not written, because a literal beyond
    /// 64 bits would turn the comparison into one that no index serves.
    fn key_range(self, column: &str, range: &KeyRange) -> String {
        let mut parts = Vec::with_capacity(2);
        if let Some(KeyValue::Int(lower)) = range.lower {
            match i64::try_from(lower) {
                Ok(lower) => parts.push(format!("{column} >= {}", self.integer(lower))),
                Err(_) if lower > 0 => return "false".to_owned(),
                Err(_) => {}
            }
        }
        if let Some(KeyValue::Int(upper)) = range.upper {
            match i64::try_from(upper) {
                Ok(upper) => parts.push(format!("{column} < {}", self.integer(upper))),
                Err(_) if upper < 0 => return "false".to_owned(),
                Err(_) => {}
            }
        }
        if parts.is_empty() {
            format!("{column} IS NOT NULL")
        } else {
            parts.join(" AND ")
        }
    }

    /// An integer literal. PostgreSQL reads `-9223372036854775808` as the negation of a numeric, so
    /// there the sign goes inside a typed literal.
    fn integer(self, value: i64) -> String {
        match self {
            Self::PostgreSql => format!("'{value}'::int8"),
            Self::Sqlite => value.to_string(),
        }
    }
}

/// PostgreSQL's `ctid` range: a Tid Range Scan from version 14 on.
fn block_range(range: &BlockRange) -> Option<String> {
    let lower = range
        .start
        .map(|block| format!("ctid >= '({block},0)'::tid"));
    let upper = range.end.map(|block| format!("ctid < '({block},0)'::tid"));
    match (lower, upper) {
        (Some(lower), Some(upper)) => Some(format!("{lower} AND {upper}")),
        (one, other) => one.or(other),
    }
}

/// ` WHERE …` for the user's filter and a chunk's predicate, or nothing. Each stands in its own
/// parentheses, closed on a new line: a filter may end in a `--` comment.
pub fn where_clause(filter: Option<&str>, predicate: Option<&str>) -> String {
    let parts: Vec<String> = [filter, predicate]
        .into_iter()
        .flatten()
        .map(|part| format!("({part}\n)"))
        .collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(" WHERE {}", parts.join(" AND "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> Key {
        Key {
            column: "Id \"x\"".to_owned(),
            source_type: "bigint".to_owned(),
            primary: true,
            unique: true,
            nullable: false,
        }
    }

    fn range(lower: Option<i128>, upper: Option<i128>) -> ChunkBounds {
        ChunkBounds::Key(KeyRange {
            lower: lower.map(KeyValue::Int),
            upper: upper.map(KeyValue::Int),
        })
    }

    fn postgres(bounds: &ChunkBounds) -> Option<String> {
        Dialect::PostgreSql.predicate(bounds, Some(&key())).unwrap()
    }

    #[test]
    fn identifiers_and_literals_stay_literal() {
        assert_eq!(quote_identifier("a\"b.c"), "\"a\"\"b.c\"");
        assert_eq!(
            quote_literal(Dialect::PostgreSql, "it's \\ me"),
            " E'it''s \\\\ me'"
        );
        assert_eq!(
            quote_literal(Dialect::Sqlite, "it's \\ me"),
            "'it''s \\ me'"
        );
    }

    #[test]
    fn key_ranges_are_half_open_and_null_safe() {
        let column = "\"Id \"\"x\"\"\"";
        assert_eq!(
            postgres(&range(Some(1), Some(5))).unwrap(),
            format!("{column} >= '1'::int8 AND {column} < '5'::int8")
        );
        assert_eq!(
            postgres(&range(None, None)).unwrap(),
            format!("{column} IS NOT NULL")
        );
        assert_eq!(
            postgres(&ChunkBounds::KeyNull).unwrap(),
            format!("{column} IS NULL")
        );
        assert_eq!(postgres(&ChunkBounds::All), None);
        assert_eq!(
            Dialect::Sqlite
                .predicate(&range(None, Some(7)), Some(&key()))
                .unwrap()
                .unwrap(),
            format!("{column} < 7")
        );
    }

    #[test]
    fn bounds_beyond_64_bits_are_not_written() {
        let column = "\"Id \"\"x\"\"\"";
        let min = i128::from(i64::MIN);
        let max = i128::from(i64::MAX);
        assert_eq!(
            postgres(&range(Some(min), Some(max + 1))).unwrap(),
            format!("{column} >= '-9223372036854775808'::int8")
        );
        assert_eq!(postgres(&range(Some(max + 1), None)).unwrap(), "false");
        assert_eq!(postgres(&range(None, Some(min - 1))).unwrap(), "false");
        assert_eq!(
            postgres(&range(Some(min - 1), None)).unwrap(),
            format!("{column} IS NOT NULL")
        );
    }

    #[test]
    fn blocks_are_tid_ranges_and_only_in_postgresql() {
        let blocks = |start, end| ChunkBounds::Blocks(BlockRange { start, end });
        assert_eq!(
            postgres(&blocks(Some(3), Some(9))).unwrap(),
            "ctid >= '(3,0)'::tid AND ctid < '(9,0)'::tid"
        );
        assert_eq!(
            postgres(&blocks(None, Some(9))).unwrap(),
            "ctid < '(9,0)'::tid"
        );
        assert_eq!(postgres(&blocks(None, None)), None);
        assert_eq!(
            Dialect::Sqlite.predicate(&blocks(None, None), None),
            Err(DialectError::NoBlocks)
        );
        assert_eq!(
            Dialect::PostgreSql.predicate(&ChunkBounds::KeyNull, None),
            Err(DialectError::NoKey)
        );
    }

    #[test]
    fn a_comment_in_the_filter_swallows_nothing() {
        assert_eq!(
            where_clause(Some("a > 1 -- recent"), Some("k IS NULL")),
            " WHERE (a > 1 -- recent\n) AND (k IS NULL\n)"
        );
        assert_eq!(where_clause(None, None), "");
    }

    /// Whether a rendered PostgreSQL range holds for a key: enough of SQL to check it.
    fn holds(predicate: &str, value: i64) -> bool {
        predicate.split(" AND ").all(|term| {
            if term == "false" {
                return false;
            }
            if term.ends_with("IS NOT NULL") {
                return true;
            }
            let bound: i64 = term
                .rsplit_once(" '")
                .and_then(|(_, rest)| rest.strip_suffix("'::int8"))
                .and_then(|digits| digits.parse().ok())
                .unwrap();
            if term.contains(">=") {
                value >= bound
            } else {
                value < bound
            }
        })
    }

    proptest! {
        #[test]
        fn a_range_holds_for_exactly_its_keys(
            lower in proptest::option::of(-(1i128 << 64)..(1i128 << 64)),
            upper in proptest::option::of(-(1i128 << 64)..(1i128 << 64)),
            value in any::<i64>(),
        ) {
            let predicate = postgres(&range(lower, upper)).unwrap();
            let wide = i128::from(value);
            let inside = lower.is_none_or(|bound| wide >= bound) && upper.is_none_or(|bound| wide < bound);
            prop_assert_eq!(holds(&predicate, value), inside);
        }

        #[test]
        fn a_quoted_identifier_reads_back(name in ".*") {
            let quoted = quote_identifier(&name);
            let inner = &quoted[1..quoted.len() - 1];
            prop_assert_eq!(inner.replace("\"\"", "\""), name);
            prop_assert!(!inner.replace("\"\"", "").contains('"'));
        }
    }
}
