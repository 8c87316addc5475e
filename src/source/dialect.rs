//! Quoting and chunk predicates: pure text, no server.
//!
//! Everything that becomes part of a statement goes through here, so that there is one place to
//! look at for injection, NULLs and the edges of 64 bits.

use thiserror::Error;

use super::spelt::{self, Spelling};
use crate::model::{BlockRange, ChunkBounds, Key, KeyOrder, KeyRange, KeyValue, Relation};

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
    /// A bound that is no value of the key's columns, or that cannot be written as a literal here.
    #[error("the bound {0} does not fit the key {1}")]
    Misfit(String, String),
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
        spelt::predicate(&mut { self }, bounds, key)
    }

    /// Whether a range's bounds ascend, as a question for the server; `None` where we know it, and
    /// where there are not two bounds. The cover of a plan is checked for its seams alone when only
    /// the server can order the key.
    ///
    /// # Errors
    /// [`DialectError::Misfit`].
    pub fn ascends(self, key: &Key, range: &KeyRange) -> Result<Option<String>, DialectError> {
        spelt::ascends(&mut { self }, key, range)
    }

    /// A comparison. In PostgreSQL an operator is found by the search path, which is the role's where
    /// there is a filter of the user's.
    fn plain_operator(self, symbol: &str) -> String {
        match self {
            Self::PostgreSql => format!("OPERATOR(pg_catalog.{symbol})"),
            Self::Sqlite => symbol.to_owned(),
        }
    }
}

impl Spelling for Dialect {
    const NEVER: &'static str = "false";

    fn column(&self, name: &str) -> String {
        quote_identifier(name)
    }

    /// PostgreSQL reads `-9223372036854775808` as the negation of a numeric, so there the sign goes inside
    /// a typed literal.
    fn integer(&mut self, value: i128) -> String {
        match self {
            Self::PostgreSql => format!("'{value}'::pg_catalog.int8"),
            Self::Sqlite => value.to_string(),
        }
    }

    fn typed(&mut self, value: &KeyValue, order: &KeyOrder) -> Option<String> {
        let KeyOrder::Server {
            cast, collation, ..
        } = order
        else {
            return None;
        };
        let literal = match self {
            Self::PostgreSql => cast
                .as_ref()
                .zip(as_text(value))
                .map(|(cast, text)| format!("{}::{cast}", quote_literal(*self, text).trim_start())),
            Self::Sqlite => stored(value),
        }?;
        let collate = collation
            .as_ref()
            .map_or_else(String::new, |collation| format!(" COLLATE {collation}"));
        Some(format!("{literal}{collate}"))
    }

    fn operator(&self, key: &Key, symbol: &str) -> String {
        match (&key.order, self) {
            (
                KeyOrder::Server {
                    operators: Some(schema),
                    ..
                },
                Self::PostgreSql,
            ) => format!("OPERATOR({schema}.{symbol})"),
            _ => self.plain_operator(symbol),
        }
    }

    fn compared(&self, key: &Key, left: &[String], symbol: &str, right: &[String]) -> String {
        format!(
            "{} {} {}",
            row(left),
            self.operator(key, symbol),
            row(right)
        )
    }

    fn blocks(&self, range: &BlockRange) -> Result<Option<String>, DialectError> {
        match self {
            Self::PostgreSql => Ok(block_range(range)),
            Self::Sqlite => Err(DialectError::NoBlocks),
        }
    }
}

/// The server's own text of a value.
fn as_text(value: &KeyValue) -> Option<&str> {
    match value {
        KeyValue::Typed { text, .. } => Some(text),
        KeyValue::Int(_) | KeyValue::Tuple(_) => None,
    }
}

/// A stored value of SQLite as a literal of its storage class, which has no affinity and so changes
/// no comparison. All chunks write a bound alike, so a real that is read back a hair beside the stored
/// one moves the seam between two chunks and opens none.
pub(super) fn stored(value: &KeyValue) -> Option<String> {
    match value {
        KeyValue::Int(value) => i64::try_from(*value).ok().map(|value| value.to_string()),
        KeyValue::Typed { kind, text } => match kind.as_str() {
            "text" => (!text.contains('\0')).then(|| quote_literal(Dialect::Sqlite, text)),
            "real" => text
                .parse::<f64>()
                .ok()
                .filter(|real| real.is_finite())
                .map(|real| format!("{real:?}")),
            "blob" => text
                .bytes()
                .all(|byte| byte.is_ascii_hexdigit())
                .then(|| format!("x'{text}'")),
            _ => None,
        },
        KeyValue::Tuple(_) => None,
    }
}

/// One term, or a row of several.
fn row(terms: &[String]) -> String {
    match terms {
        [one] => one.clone(),
        several => format!("({})", several.join(", ")),
    }
}

/// PostgreSQL's `ctid` range: a Tid Range Scan from version 14 on.
fn block_range(range: &BlockRange) -> Option<String> {
    let lower = range
        .start
        .map(|block| format!("ctid OPERATOR(pg_catalog.>=) '({block},0)'::pg_catalog.tid"));
    let upper = range
        .end
        .map(|block| format!("ctid OPERATOR(pg_catalog.<) '({block},0)'::pg_catalog.tid"));
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
    use crate::model::KeyColumn;
    use proptest::prelude::*;

    fn key() -> Key {
        Key {
            column: "Id \"x\"".to_owned(),
            source_type: "bigint".to_owned(),
            primary: true,
            unique: true,
            nullable: false,
            order: KeyOrder::Integer,
            rest: Vec::new(),
        }
    }

    fn range(lower: Option<i128>, upper: Option<i128>) -> ChunkBounds {
        ChunkBounds::Key(KeyRange {
            lower: lower.map(KeyValue::Int),
            upper: upper.map(KeyValue::Int),
        })
    }

    fn postgres(bounds: &ChunkBounds) -> Option<String> {
        let sql = Dialect::PostgreSql.predicate(bounds, Some(&key())).unwrap();
        sql.map(|sql| plain(&sql))
    }

    /// A predicate as one would write it where every name is the server's own.
    fn plain(sql: &str) -> String {
        ["<", ">=", "="]
            .iter()
            .fold(sql.to_owned(), |sql, operator| {
                sql.replace(&format!("OPERATOR(pg_catalog.{operator})"), operator)
            })
            .replace("::pg_catalog.int8", "::int8")
            .replace("::pg_catalog.tid", "::tid")
    }

    #[test]
    fn names_are_the_servers_own_whatever_the_search_path() {
        let sql = |bounds: &ChunkBounds| {
            let sql = Dialect::PostgreSql.predicate(bounds, Some(&key()));
            sql.unwrap().unwrap()
        };
        let column = "\"Id \"\"x\"\"\"";
        assert_eq!(
            sql(&range(Some(1), None)),
            format!("{column} OPERATOR(pg_catalog.>=) '1'::pg_catalog.int8")
        );
        let blocks = BlockRange {
            start: None,
            end: Some(9),
        };
        assert_eq!(
            sql(&ChunkBounds::Blocks(blocks)),
            "ctid OPERATOR(pg_catalog.<) '(9,0)'::pg_catalog.tid"
        );
        assert_eq!(Dialect::Sqlite.operator(&key(), "<"), "<");
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

    fn composite() -> Key {
        let server = |cast: &str, collation: Option<&str>| KeyOrder::Server {
            cast: Some(cast.to_owned()),
            collation: collation.map(str::to_owned),
            operators: None,
        };
        Key {
            column: "a".to_owned(),
            order: server("pg_catalog.text", Some("pg_catalog.\"C\"")),
            rest: vec![
                KeyColumn {
                    column: "b".to_owned(),
                    order: KeyOrder::Integer,
                },
                KeyColumn {
                    column: "c".to_owned(),
                    order: server("pg_catalog.uuid", None),
                },
            ],
            ..key()
        }
    }

    fn tuple(a: &str, b: i128, c: &str) -> Option<KeyValue> {
        Some(KeyValue::Tuple(vec![
            KeyValue::typed("text", a),
            KeyValue::Int(b),
            KeyValue::typed("uuid", c),
        ]))
    }

    #[test]
    fn text_is_a_literal_of_its_type_and_collation() {
        let mut key = composite();
        key.rest.clear();
        let bound = |text: &str| Some(KeyValue::typed("text", text));
        let range = KeyRange {
            lower: bound("it's"),
            upper: bound("back\\slash"),
        };
        let predicate = |range: KeyRange| {
            let bounds = ChunkBounds::Key(range);
            let sql = Dialect::PostgreSql.predicate(&bounds, Some(&key));
            plain(&sql.unwrap().unwrap())
        };
        assert_eq!(
            predicate(range.clone()),
            "\"a\" >= 'it''s'::pg_catalog.text COLLATE pg_catalog.\"C\" \
             AND \"a\" < E'back\\\\slash'::pg_catalog.text COLLATE pg_catalog.\"C\""
        );
        let open = KeyRange {
            lower: None,
            upper: None,
        };
        assert_eq!(predicate(open.clone()), "\"a\" IS NOT NULL");
        let ascends = |range| Dialect::PostgreSql.ascends(&key, range).unwrap();
        assert!(plain(&ascends(&range).unwrap()).contains(" < E'back"));
        assert_eq!(ascends(&open), None);
        let bounds = ChunkBounds::Key(range);
        let sqlite = Dialect::Sqlite.predicate(&bounds, Some(&key)).unwrap();
        assert!(sqlite.unwrap().starts_with("\"a\" >= 'it''s' COLLATE"));
    }

    #[test]
    fn several_columns_are_compared_as_rows_from_where_bounds_differ() {
        let key = composite();
        let predicate = |lower, upper| {
            let bounds = ChunkBounds::Key(KeyRange { lower, upper });
            let sql = Dialect::PostgreSql.predicate(&bounds, Some(&key));
            let sql = plain(&sql.unwrap().unwrap());
            let sql = sql.replace("::pg_catalog.text COLLATE pg_catalog.\"C\"", "");
            sql.replace("::pg_catalog.uuid", "").replace("::int8", "")
        };
        assert_eq!(
            predicate(tuple("x", 1, "u"), tuple("y", 2, "v")),
            "(\"a\", \"b\", \"c\") >= ('x', '1', 'u') AND (\"a\", \"b\", \"c\") < ('y', '2', 'v')"
        );
        assert_eq!(
            predicate(tuple("x", 1, "u"), tuple("x", 2, "v")),
            "\"a\" = 'x' AND (\"b\", \"c\") >= ('1', 'u') AND (\"b\", \"c\") < ('2', 'v')"
        );
        assert_eq!(
            predicate(tuple("x", 1, "u"), tuple("x", 1, "v")),
            "\"a\" = 'x' AND \"b\" = '1' AND \"c\" >= 'u' AND \"c\" < 'v'"
        );
        assert_eq!(
            predicate(None, tuple("x", 1, "u")),
            "(\"a\", \"b\", \"c\") < ('x', '1', 'u')"
        );
    }

    #[test]
    fn an_extensions_type_is_compared_by_its_own_operators() {
        let key = Key {
            order: KeyOrder::Server {
                cast: Some("\"Ext\".\"citext\"".to_owned()),
                collation: None,
                operators: Some("\"Ext\"".to_owned()),
            },
            column: "k".to_owned(),
            ..key()
        };
        let range = KeyRange {
            lower: Some(KeyValue::typed("citext", "a")),
            upper: Some(KeyValue::typed("citext", "B")),
        };
        let bounds = ChunkBounds::Key(range.clone());
        assert_eq!(
            Dialect::PostgreSql
                .predicate(&bounds, Some(&key))
                .unwrap()
                .unwrap(),
            "\"k\" OPERATOR(\"Ext\".>=) 'a'::\"Ext\".\"citext\" \
             AND \"k\" OPERATOR(\"Ext\".<) 'B'::\"Ext\".\"citext\""
        );
        assert_eq!(
            Dialect::PostgreSql.ascends(&key, &range).unwrap().unwrap(),
            "'a'::\"Ext\".\"citext\" OPERATOR(\"Ext\".<) 'B'::\"Ext\".\"citext\""
        );
    }

    #[test]
    fn a_bound_of_another_shape_is_refused() {
        let misfits = |key: &Key, lower| {
            let bounds = ChunkBounds::Key(KeyRange { lower, upper: None });
            matches!(
                Dialect::PostgreSql.predicate(&bounds, Some(key)),
                Err(DialectError::Misfit(..))
            )
        };
        assert!(misfits(&key(), Some(KeyValue::typed("text", "1"))));
        assert!(misfits(&composite(), Some(KeyValue::Int(1))));
        assert!(misfits(
            &composite(),
            Some(KeyValue::Tuple(vec![KeyValue::Int(1); 3]))
        ));
        assert!(!misfits(&composite(), tuple("x", 1, "u")));
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
