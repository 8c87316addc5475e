//! Ranges of keys in SQL: said once for all databases, which differ in how they spell names, values and
//! comparisons.

use std::ops::RangeInclusive;

use super::dialect::DialectError;
use crate::model::{BlockRange, ChunkBounds, Key, KeyOrder, KeyRange, KeyValue};

/// How a database spells what a range is made of.
pub(super) trait Spelling {
    /// The numbers that an integer bound may be. One beyond reaches no key, and as a literal it would turn
    /// the comparison into one that no index serves.
    const INTEGERS: RangeInclusive<i128> = i64::MIN as i128..=i64::MAX as i128;

    /// What holds for no row.
    const NEVER: &'static str = "1 = 0";

    /// A column.
    fn column(&self, name: &str) -> String;

    /// A number of [`Spelling::INTEGERS`].
    fn integer(&mut self, value: i128) -> String;

    /// A value of exactly the type and the collation that its column has; `None` for one that it cannot
    /// have.
    fn typed(&mut self, value: &KeyValue, order: &KeyOrder) -> Option<String>;

    /// A comparison of a key's columns, of which those of a key of several are all the server's own.
    fn operator(&self, _key: &Key, symbol: &str) -> String {
        symbol.to_owned()
    }

    /// A comparison of several columns, or of one: spelt out column by column, for databases that have no
    /// comparison of rows, or none that uses an index.
    fn compared(&self, _key: &Key, left: &[String], symbol: &str, right: &[String]) -> String {
        compared(left, symbol, right)
    }

    /// The predicate of a range of blocks; `None` for all.
    fn blocks(&self, _range: &BlockRange) -> Result<Option<String>, DialectError> {
        Err(DialectError::NoBlocks)
    }
}

/// The predicate that holds for exactly the rows of a chunk; `None` when that is every row.
///
/// # Errors
/// A key chunk without a key, a block chunk where blocks have no address, a bound that does not fit the
/// key.
pub(super) fn predicate(
    spelling: &mut impl Spelling,
    bounds: &ChunkBounds,
    key: Option<&Key>,
) -> Result<Option<String>, DialectError> {
    match bounds {
        ChunkBounds::All => Ok(None),
        ChunkBounds::KeyNull => {
            let key = key.ok_or(DialectError::NoKey)?;
            Ok(Some(format!("{} IS NULL", spelling.column(&key.column))))
        }
        ChunkBounds::Key(range) => {
            let key = key.ok_or(DialectError::NoKey)?;
            let predicate = if key.is_integer() {
                integer_range(spelling, key, range)
            } else {
                self::range(spelling, key, range)
            };
            predicate.map(Some)
        }
        ChunkBounds::Blocks(range) | ChunkBounds::LeafBlocks { blocks: range, .. } => {
            spelling.blocks(range)
        }
    }
}

/// Whether a range's bounds ascend, as a condition for the server; `None` where we know it, and where
/// there are not two bounds. The cover of a plan is checked for its seams alone when only the server can
/// order the key.
///
/// # Errors
/// [`DialectError::Misfit`].
pub(super) fn ascends(
    spelling: &mut impl Spelling,
    key: &Key,
    range: &KeyRange,
) -> Result<Option<String>, DialectError> {
    let (Some(lower), Some(upper)) = (&range.lower, &range.upper) else {
        return Ok(None);
    };
    if key.is_integer() {
        return Ok(None);
    }
    let (lower, upper) = (terms(spelling, key, lower)?, terms(spelling, key, upper)?);
    Ok(Some(spelling.compared(key, &lower, "<", &upper)))
}

/// A key's columns.
pub(super) fn columns(spelling: &impl Spelling, key: &Key) -> Vec<String> {
    let names = key.columns().map(|(name, _)| spelling.column(name));
    names.collect()
}

/// A bound as one term a column.
///
/// # Errors
/// [`DialectError::Misfit`].
pub(super) fn terms(
    spelling: &mut impl Spelling,
    key: &Key,
    bound: &KeyValue,
) -> Result<Vec<String>, DialectError> {
    let columns: Vec<(&str, &KeyOrder)> = key.columns().collect();
    if bound.parts().len() != columns.len() {
        return Err(misfit(bound, key));
    }
    let pairs = bound.parts().iter().zip(columns);
    pairs
        .map(|(value, (_, order))| term(spelling, value, order).ok_or_else(|| misfit(bound, key)))
        .collect()
}

/// A value of one column as a term; `None` for one that it cannot have.
pub(super) fn term<S: Spelling>(
    spelling: &mut S,
    value: &KeyValue,
    order: &KeyOrder,
) -> Option<String> {
    match (value, order) {
        (KeyValue::Int(value), KeyOrder::Integer) => S::INTEGERS
            .contains(value)
            .then(|| spelling.integer(*value)),
        (_, KeyOrder::Integer) => None,
        (value, order) => spelling.typed(value, order),
    }
}

/// A range of an integer key. NULL keys are in no range, so one that is open at both ends says so.
fn integer_range<S: Spelling>(
    spelling: &mut S,
    key: &Key,
    range: &KeyRange,
) -> Result<String, DialectError> {
    let column = [spelling.column(&key.column)];
    let int = |bound: &Option<KeyValue>| match bound {
        None => Ok(None),
        Some(bound) => bound.as_int().map(Some).ok_or_else(|| misfit(bound, key)),
    };
    let (lower, upper) = (int(&range.lower)?, int(&range.upper)?);
    let (least, most) = (*S::INTEGERS.start(), *S::INTEGERS.end());
    if lower.is_some_and(|lower| lower > most) || upper.is_some_and(|upper| upper < least) {
        return Ok(S::NEVER.to_owned());
    }
    let mut side = |bound: Option<i128>, symbol: &str| {
        let bound = bound.filter(|bound| S::INTEGERS.contains(bound))?;
        let value = [spelling.integer(bound)];
        Some(spelling.compared(key, &column, symbol, &value))
    };
    let sides = [side(lower, ">="), side(upper, "<")];
    let parts: Vec<String> = sides.into_iter().flatten().collect();
    if parts.is_empty() {
        return Ok(format!("{} IS NOT NULL", column[0]));
    }
    Ok(parts.join(" AND "))
}

/// A range of a key that the server orders: in any total order exactly the rows from `lower` on that are
/// below `upper`, column after column. NULL keys are in no range, so one that is open at both ends says so.
///
/// Columns in which both bounds are alike are compared for equality: it means the same, and the server
/// then knows how few rows there are.
fn range(
    spelling: &mut impl Spelling,
    key: &Key,
    range: &KeyRange,
) -> Result<String, DialectError> {
    let columns = columns(spelling, key);
    let mut side = |bound: &Option<KeyValue>| {
        let bound = bound.as_ref();
        bound.map(|bound| terms(spelling, key, bound)).transpose()
    };
    let (lower, upper) = (side(&range.lower)?, side(&range.upper)?);
    let fixed = match (&lower, &upper) {
        (Some(lower), Some(upper)) => {
            let pairs = lower.iter().zip(upper);
            let alike = pairs.take_while(|(one, other)| one == other).count();
            // Bounds that are alike throughout hold nothing between them.
            alike.min(columns.len() - 1)
        }
        _ => 0,
    };
    let equal = lower
        .iter()
        .flat_map(|lower| columns.iter().zip(lower).take(fixed));
    let mut parts: Vec<String> = equal
        .map(|(column, value)| format!("{column} {} {value}", spelling.operator(key, "=")))
        .collect();
    for (symbol, bound) in [(">=", &lower), ("<", &upper)] {
        let side = bound
            .as_ref()
            .map(|values| spelling.compared(key, &columns[fixed..], symbol, &values[fixed..]));
        parts.extend(side);
    }
    if parts.is_empty() {
        parts.extend(columns.iter().map(|column| format!("{column} IS NOT NULL")));
    }
    Ok(parts.join(" AND "))
}

/// `a > x OR (a = x AND (b > y OR (b = y AND c >= z)))`: what `(a, b, c) >= (x, y, z)` means. The
/// leading `a >= x` says nothing new and lets the server range on the index.
pub(super) fn compared(left: &[String], operator: &str, right: &[String]) -> String {
    let strict = &operator[..1];
    let (Some(a), Some(x)) = (left.first(), right.first()) else {
        return "1 = 1".to_owned();
    };
    if left.len() == 1 {
        return format!("{a} {operator} {x}");
    }
    let rest = compared(&left[1..], operator, &right[1..]);
    format!("({a} {strict}= {x} AND ({a} {strict} {x} OR ({rest})))")
}

fn misfit(bound: &KeyValue, key: &Key) -> DialectError {
    DialectError::Misfit(bound.to_string(), key.to_string())
}
