//! MySQL's SQL, as text: quoting, literals, and the predicates of chunks. No server.

use std::ops::RangeInclusive;

use super::super::dialect::{DialectError, where_clause};
use super::super::spelt::{self, Spelling};
use crate::model::{ChunkBounds, Key, KeyOrder, KeyRange, KeyValue, Relation};

/// Quotes an identifier. Backticks do in every sql_mode.
pub(super) fn quote_identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// `` `database`.`table` ``.
pub(super) fn quote_relation(relation: &Relation) -> String {
    format!(
        "{}.{}",
        quote_identifier(&relation.schema),
        quote_identifier(&relation.name)
    )
}

/// `'user'@'host'`, from `user@host` as `CURRENT_USER()` has it.
pub(super) fn quote_account(account: &str) -> String {
    let quote = |part: &str| format!("'{}'", part.replace('\'', "''"));
    match account.rsplit_once('@') {
        Some((user, host)) => format!("{}@{}", quote(user), quote(host)),
        None => quote(account),
    }
}

/// Text as a literal that no sql_mode and no character reads otherwise.
pub(super) fn quote_text(text: &str) -> String {
    if text.is_empty() {
        return "_utf8mb4''".to_owned();
    }
    format!("_utf8mb4 x'{}'", hex(text.as_bytes()))
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut digits, byte| {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02X}");
        digits
    })
}

/// What stands behind FROM: the relation or, under its name, the statement of `--query`, which may
/// end in a comment.
pub(super) fn from_item(relation: &Relation, query: Option<&str>) -> String {
    match query {
        None => quote_relation(relation),
        Some(query) => format!("({query}\n) AS {}", quote_identifier(&relation.name)),
    }
}

/// `SELECT … FROM … WHERE …` of a chunk.
pub(super) fn select(
    items: &[String],
    from: &str,
    filter: Option<&str>,
    predicate: Option<&str>,
) -> String {
    format!(
        "SELECT {} FROM {from}{}",
        items.join(", "),
        where_clause(filter, predicate)
    )
}

/// The predicate that holds for exactly the rows of a chunk; `None` when that is every row.
///
/// # Errors
/// A key chunk without a key, a block chunk, a bound that does not fit the key.
pub(super) fn predicate(
    bounds: &ChunkBounds,
    key: Option<&Key>,
) -> Result<Option<String>, DialectError> {
    spelt::predicate(&mut Spelt, bounds, key)
}

/// Whether a range's bounds ascend, as a question for the server; `None` where we know it, and where
/// there are not two bounds.
///
/// # Errors
/// [`DialectError::Misfit`].
pub(super) fn ascends(key: &Key, range: &KeyRange) -> Result<Option<String>, DialectError> {
    spelt::ascends(&mut Spelt, key, range)
}

/// The predicate that holds for the keys between two others, without these; `None` for one that does
/// not fit the key.
pub(super) fn inside(key: &Key, lower: &KeyValue, upper: &KeyValue) -> Option<String> {
    let columns = spelt::columns(&Spelt, key);
    let bound = |bound| spelt::terms(&mut Spelt, key, bound).ok();
    let (lower, upper) = (bound(lower)?, bound(upper)?);
    Some(format!(
        "{} AND {}",
        spelt::compared(&columns, ">", &lower),
        spelt::compared(&columns, "<", &upper)
    ))
}

/// A value as a literal of exactly its type, in exactly its collation.
pub(super) fn literal(value: &KeyValue, order: &KeyOrder) -> Option<String> {
    spelt::term(&mut Spelt, value, order)
}

/// MySQL's way to say it: keys of several columns column after column, because MariaDB scans the whole
/// table for `(a, b) >= (x, y)`.
struct Spelt;

impl Spelling for Spelt {
    /// Of all whole numbers: one beyond would be a decimal.
    const INTEGERS: RangeInclusive<i128> = i64::MIN as i128..=u64::MAX as i128;

    fn column(&self, name: &str) -> String {
        quote_identifier(name)
    }

    fn integer(&mut self, value: i128) -> String {
        value.to_string()
    }

    fn typed(&mut self, value: &KeyValue, order: &KeyOrder) -> Option<String> {
        let (
            KeyValue::Typed { kind, text },
            KeyOrder::Server {
                cast: Some(cast),
                collation,
                ..
            },
        ) = (value, order)
        else {
            return None;
        };
        (kind == cast).then_some(())?;
        match (cast.as_str(), collation) {
            ("text", Some(collation)) => Some(format!(
                "CONVERT({} USING {}) COLLATE {collation}",
                quote_text(text),
                charset(collation)
            )),
            ("binary", None) => {
                let digits = text.bytes().all(|byte| byte.is_ascii_hexdigit());
                (digits && text.len() % 2 == 0).then(|| format!("x'{text}'"))
            }
            ("decimal", None) => is_decimal(text).then(|| text.clone()),
            ("date", None) => Some(format!("CAST({} AS DATE)", quote_text(text))),
            ("datetime" | "timestamp", None) => {
                Some(format!("CAST({} AS DATETIME(6))", quote_text(text)))
            }
            ("time", None) => Some(format!("CAST({} AS TIME(6))", quote_text(text))),
            _ => None,
        }
    }
}

pub(super) fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let points = digits.bytes().filter(|byte| *byte == b'.').count();
    let other = digits
        .bytes()
        .any(|byte| !byte.is_ascii_digit() && byte != b'.');
    points <= 1 && !other && digits.bytes().any(|byte| byte.is_ascii_digit())
}

/// The character set that a collation is of: its name begins with it.
pub(super) fn charset(collation: &str) -> &str {
    collation.split_once('_').map_or(collation, |(set, _)| set)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::spelt::fixtures::{key, order};
    use proptest::prelude::*;

    fn chunk(key: &Key, lower: Option<KeyValue>, upper: Option<KeyValue>) -> String {
        let bounds = ChunkBounds::Key(KeyRange { lower, upper });
        predicate(&bounds, Some(key)).unwrap().unwrap()
    }

    #[test]
    fn names_and_text_stay_literal() {
        assert_eq!(quote_identifier("a`b.\"c"), "`a``b.\"c`");
        assert_eq!(quote_text("it's"), "_utf8mb4 x'69742773'");
        assert_eq!(quote_text(""), "_utf8mb4''");
        assert_eq!(quote_account("a@b@%"), "'a@b'@'%'");
        assert_eq!(charset("latin1_swedish_ci"), "latin1");
        assert_eq!(charset("binary"), "binary");
    }

    #[test]
    fn integers_go_from_the_smallest_signed_to_the_largest_unsigned() {
        let key = key(KeyOrder::Integer, &[]);
        let int = |value: i128| Some(KeyValue::Int(value));
        let max = i128::from(u64::MAX);
        assert_eq!(
            chunk(&key, int(-5), int(max)),
            format!("`a` >= -5 AND `a` < {max}")
        );
        assert_eq!(chunk(&key, int(max + 1), None), "1 = 0");
        assert_eq!(chunk(&key, None, int(i128::from(i64::MIN) - 1)), "1 = 0");
        assert_eq!(chunk(&key, None, int(max + 1)), "`a` IS NOT NULL");
    }

    #[test]
    fn several_columns_are_spelt_out() {
        let key = key(KeyOrder::Integer, &[KeyOrder::Integer, KeyOrder::Integer]);
        let tuple = |a, b, c| {
            let parts: [i128; 3] = [a, b, c];
            Some(KeyValue::Tuple(parts.map(KeyValue::Int).to_vec()))
        };
        assert_eq!(
            chunk(&key, tuple(1, 2, 3), None),
            "(`a` >= 1 AND (`a` > 1 OR ((`b` >= 2 AND (`b` > 2 OR (`c` >= 3))))))"
        );
        assert_eq!(
            chunk(&key, tuple(1, 2, 3), tuple(1, 2, 9)),
            "`a` = 1 AND `b` = 2 AND `c` >= 3 AND `c` < 9"
        );
    }

    #[test]
    fn text_is_compared_in_its_own_collation() {
        let key = key(order("text", Some("latin1_swedish_ci")), &[]);
        let text = |text: &str| Some(KeyValue::typed("text", text));
        assert_eq!(
            chunk(&key, text("ä"), None),
            "`a` >= CONVERT(_utf8mb4 x'C3A4' USING latin1) COLLATE latin1_swedish_ci"
        );
        let range = KeyRange {
            lower: text("a"),
            upper: text("b"),
        };
        assert!(
            ascends(&key, &range)
                .unwrap()
                .unwrap()
                .contains(" < CONVERT")
        );
    }

    #[test]
    fn a_bound_of_another_type_is_refused() {
        let misfits = |key: &Key, lower| {
            let bounds = ChunkBounds::Key(KeyRange { lower, upper: None });
            predicate(&bounds, Some(key)).is_err()
        };
        let decimal = key(order("decimal", None), &[]);
        assert!(!misfits(
            &decimal,
            Some(KeyValue::typed("decimal", "-1.50"))
        ));
        assert!(misfits(
            &decimal,
            Some(KeyValue::typed("decimal", "1 OR 1"))
        ));
        assert!(misfits(&decimal, Some(KeyValue::typed("text", "1"))));
        let binary = key(order("binary", None), &[]);
        assert!(misfits(&binary, Some(KeyValue::typed("binary", "0G"))));
        let bounds = ChunkBounds::Blocks(crate::model::BlockRange {
            start: None,
            end: None,
        });
        assert_eq!(predicate(&bounds, None), Err(DialectError::NoBlocks));
    }

    /// Enough of SQL to evaluate what `spelt::range` writes of three integers.
    fn holds(text: &str, values: [i128; 3]) -> bool {
        fn either(text: &mut &str, values: [i128; 3]) -> bool {
            let mut result = both(text, values);
            while let Some(rest) = text.strip_prefix(" OR ") {
                *text = rest;
                result |= both(text, values);
            }
            result
        }
        fn both(text: &mut &str, values: [i128; 3]) -> bool {
            let mut result = term(text, values);
            while let Some(rest) = text.strip_prefix(" AND ") {
                *text = rest;
                result &= term(text, values);
            }
            result
        }
        fn term(text: &mut &str, values: [i128; 3]) -> bool {
            if let Some(rest) = text.strip_prefix('(') {
                *text = rest;
                let result = either(text, values);
                *text = text.strip_prefix(')').unwrap();
                return result;
            }
            let column = values[usize::from(text.as_bytes()[1] - b'a')];
            let (_, rest) = text.split_at(4);
            let (operator, rest) = rest.split_once(' ').unwrap();
            let end = rest.find([')', ' ']).unwrap_or(rest.len());
            let bound: i128 = rest[..end].parse().unwrap();
            *text = &rest[end..];
            match operator {
                ">=" => column >= bound,
                ">" => column > bound,
                "<=" => column <= bound,
                "<" => column < bound,
                _ => column == bound,
            }
        }
        let mut text = text;
        let result = either(&mut text, values);
        assert_eq!(text, "");
        result
    }

    proptest! {
        #[test]
        fn a_range_of_rows_is_lexicographic(
            lower in any::<[i8; 3]>(), upper in any::<[i8; 3]>(), value in any::<[i8; 3]>(),
        ) {
            // Few values, so that columns are often alike.
            let wide = |row: [i8; 3]| row.map(|part| i128::from(part % 3));
            let (lower, upper, value) = (wide(lower), wide(upper), wide(value));
            let key = key(KeyOrder::Integer, &[KeyOrder::Integer, KeyOrder::Integer]);
            let tuple = |row: [i128; 3]| Some(KeyValue::Tuple(row.map(KeyValue::Int).to_vec()));
            let text = chunk(&key, tuple(lower), tuple(upper));
            prop_assert_eq!(holds(&text, value), value >= lower && value < upper);
        }
    }
}
