//! Key ranges: the shape of a chunk, and the proof that chunks tile a table exactly.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::relation::Relation;

/// One value of a chunk key. In JSON a typed string, so that no reader's float loses a digit.
///
/// Only integers can be compared here. What comes first of two texts, moods or times is for the
/// server to say, by its collations and types: see [`PartialOrd`] below.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KeyValue {
    /// An integer of any width up to 64 bits, signed or not.
    Int(i128),
    /// A value of another type.
    Typed {
        /// The type's name, of lower-case ASCII letters and digits: `text`, `uuid`, `timestamptz`, ….
        kind: String,
        /// The value in the server's own text, which the server reads back as the same value.
        text: String,
    },
    /// The values of a key of several columns, in the key's order.
    Tuple(Vec<KeyValue>),
}

impl KeyValue {
    /// A value that only the server can order.
    pub fn typed(kind: &str, text: impl Into<String>) -> Self {
        Self::Typed {
            kind: kind.to_owned(),
            text: text.into(),
        }
    }

    /// The integer, where it is one.
    pub fn as_int(&self) -> Option<i128> {
        match self {
            Self::Int(value) => Some(*value),
            Self::Typed { .. } | Self::Tuple(_) => None,
        }
    }

    /// The value's parts: those of a tuple, or the value itself.
    pub fn parts(&self) -> &[KeyValue] {
        match self {
            Self::Tuple(parts) => parts,
            one => std::slice::from_ref(one),
        }
    }
}

/// `None` where only the server knows.
impl PartialOrd for KeyValue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(one), Self::Int(other)) => Some(one.cmp(other)),
            (one, other) => (one == other).then_some(Ordering::Equal),
        }
    }
}

impl fmt::Display for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
            // Escaped and shortened: it goes into messages of one line.
            Self::Typed { text, .. } => {
                let mut chars = text.chars();
                for char in chars.by_ref().take(SHOWN) {
                    write!(f, "{}", char.escape_debug())?;
                }
                f.write_str(if chars.next().is_some() { "…" } else { "" })
            }
            Self::Tuple(parts) => {
                f.write_str("(")?;
                for (index, part) in parts.iter().enumerate() {
                    let comma = if index > 0 { ", " } else { "" };
                    write!(f, "{comma}{part}")?;
                }
                f.write_str(")")
            }
        }
    }
}

/// The most of a text that a message shows, in characters.
const SHOWN: usize = 60;

/// Of [`KeyValue::Int`] and [`KeyValue::Tuple`] in JSON.
const INT: &str = "int";
const TUPLE: &str = "tuple";

impl TryFrom<String> for KeyValue {
    type Error = String;

    fn try_from(written: String) -> Result<Self, String> {
        let wrong = || format!("'{written}' is no key value such as int:42 or text:word");
        let (kind, text) = written.split_once(':').ok_or_else(wrong)?;
        match kind {
            INT => text.parse().map(Self::Int).map_err(|_| wrong()),
            TUPLE => match serde_json::from_str::<Vec<Self>>(text) {
                Ok(parts) if parts.len() > 1 => Ok(Self::Tuple(parts)),
                _ => Err(wrong()),
            },
            _ if is_kind(kind) => Ok(Self::typed(kind, text)),
            _ => Err(wrong()),
        }
    }
}

fn is_kind(kind: &str) -> bool {
    !kind.is_empty()
        && kind
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

impl From<KeyValue> for String {
    fn from(value: KeyValue) -> String {
        match value {
            KeyValue::Int(value) => format!("{INT}:{value}"),
            KeyValue::Typed { kind, text } => format!("{kind}:{text}"),
            KeyValue::Tuple(parts) => {
                let parts: Vec<String> = parts.into_iter().map(String::from).collect();
                format!("{TUPLE}:{}", serde_json::Value::from(parts))
            }
        }
    }
}

/// A half-open range of keys: `lower ≤ key < upper`; `None` is open. NULL keys are never in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyRange {
    /// First key inside, or open below.
    pub lower: Option<KeyValue>,
    /// First key outside, or open above.
    pub upper: Option<KeyValue>,
}

/// A half-open range of a table's physical blocks: `start ≤ block < end`; `None` is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BlockRange {
    /// First block inside, or open below.
    pub start: Option<u32>,
    /// First block outside, or open above.
    pub end: Option<u32>,
}

/// The rows that one chunk holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChunkBounds {
    /// Every row.
    All,
    /// Rows whose key is in the range.
    Key(KeyRange),
    /// Rows whose key is NULL.
    KeyNull,
    /// Rows that live in these blocks (PostgreSQL's `ctid`).
    Blocks(BlockRange),
    /// Rows that live in these blocks of one leaf of a partitioned table or inheritance tree.
    LeafBlocks {
        /// The leaf, read alone: without what inherits from it.
        leaf: Relation,
        /// Its blocks.
        blocks: BlockRange,
    },
}

impl ChunkBounds {
    /// The leaf that alone is read, where it is one.
    pub fn leaf(&self) -> Option<&Relation> {
        match self {
            Self::LeafBlocks { leaf, .. } => Some(leaf),
            Self::All | Self::Key(_) | Self::KeyNull | Self::Blocks(_) => None,
        }
    }
}

fn side<T: fmt::Display>(value: Option<&T>) -> String {
    value.map_or_else(|| "…".to_owned(), ToString::to_string)
}

impl fmt::Display for BlockRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (start, end) = (side(self.start.as_ref()), side(self.end.as_ref()));
        write!(f, "blocks [{start}, {end})")
    }
}

impl fmt::Display for ChunkBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all rows"),
            Self::Key(range) => {
                let (lower, upper) = (side(range.lower.as_ref()), side(range.upper.as_ref()));
                write!(f, "[{lower}, {upper})")
            }
            Self::KeyNull => f.write_str("key is null"),
            Self::Blocks(range) => write!(f, "{range}"),
            Self::LeafBlocks { leaf, blocks } => write!(f, "{leaf} {blocks}"),
        }
    }
}

/// Why a list of chunks does not tile a table.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CoverError {
    /// There is no chunk at all.
    #[error("there is no chunk")]
    Empty,
    /// A chunk of one kind stands beside chunks of another.
    #[error("chunk {0} is of another kind than the first")]
    MixedKinds(usize),
    /// The first chunk must be open below and the last open above.
    #[error("the {0} chunk is not open-ended")]
    ClosedEnd(&'static str),
    /// A chunk does not begin where the one before it ends, or is empty or inverted.
    #[error("chunk {0} does not begin where the chunk before it ends, or holds nothing")]
    Seam(usize),
    /// The key may be NULL and no chunk, or more than one, holds the NULLs.
    #[error("the key may be null and {0} chunks hold the nulls")]
    Nulls(usize),
    /// A bound of another number of columns than the key, or the same bound twice.
    #[error("the bound {0} is of another shape than the others, or comes twice")]
    Bound(String),
    /// The chunks of a leaf do not follow one another.
    #[error("the chunks of the leaf {0} stand apart")]
    LeafTwice(Relation),
}

/// Checks that chunks, in order, are disjoint and exhaustive: every row is in exactly one.
///
/// Key and block chunks must be listed in ascending order; the chunks of each leaf together. A
/// nullable key needs exactly one [`ChunkBounds::KeyNull`]; a key that cannot be NULL needs none.
///
/// Of keys that only the server can order the shape is checked: first and last open, each chunk
/// beginning with the very bound that the one before it ends with, no bound twice. Then no row can
/// be in no chunk, whatever the order; that none is in two, the server is asked when a chunk is read
/// (`Dialect::ascends`), and its count of the rows says it again.
pub fn check_cover(chunks: &[ChunkBounds], key_nullable: bool) -> Result<(), CoverError> {
    let ranged: Vec<&ChunkBounds> = chunks
        .iter()
        .filter(|bounds| !matches!(bounds, ChunkBounds::KeyNull))
        .collect();
    let nulls = chunks.len() - ranged.len();
    let first = ranged.first().ok_or(CoverError::Empty)?;
    let by_key = matches!(first, ChunkBounds::Key(_));
    if nulls != usize::from(by_key && key_nullable) {
        return Err(match first {
            ChunkBounds::All => CoverError::MixedKinds(1),
            _ => CoverError::Nulls(nulls),
        });
    }
    match first {
        ChunkBounds::All if ranged.len() == 1 => Ok(()),
        ChunkBounds::All => Err(CoverError::MixedKinds(1)),
        ChunkBounds::Key(_) => {
            let ranges = alike(&ranged, |bounds| match bounds {
                ChunkBounds::Key(range) => Some((range.lower.as_ref(), range.upper.as_ref())),
                _ => None,
            })?;
            check_tiles(&ranges)?;
            check_bounds(&ranges)
        }
        ChunkBounds::Blocks(_) => check_tiles(&alike(&ranged, |bounds| match bounds {
            ChunkBounds::Blocks(range) => Some((range.start, range.end)),
            _ => None,
        })?),
        ChunkBounds::LeafBlocks { .. } => check_leaves(&alike(&ranged, |bounds| match bounds {
            ChunkBounds::LeafBlocks { leaf, blocks } => Some((leaf, *blocks)),
            _ => None,
        })?),
        ChunkBounds::KeyNull => Err(CoverError::Empty),
    }
}

/// What `take` finds in every chunk; a chunk without it is of another kind.
fn alike<'a, T>(
    chunks: &[&'a ChunkBounds],
    take: impl Fn(&'a ChunkBounds) -> Option<T>,
) -> Result<Vec<T>, CoverError> {
    chunks
        .iter()
        .enumerate()
        .map(|(index, bounds)| take(bounds).ok_or(CoverError::MixedKinds(index)))
        .collect()
}

fn check_tiles<T: PartialOrd + Copy>(ranges: &[(Option<T>, Option<T>)]) -> Result<(), CoverError> {
    let (Some(first), Some(last)) = (ranges.first(), ranges.last()) else {
        return Err(CoverError::Empty);
    };
    if first.0.is_some() {
        return Err(CoverError::ClosedEnd("first"));
    }
    if last.1.is_some() {
        return Err(CoverError::ClosedEnd("last"));
    }
    for (index, pair) in ranges.windows(2).enumerate() {
        let (Some(end), Some(begin)) = (pair[0].1, pair[1].0) else {
            return Err(CoverError::Seam(index + 1));
        };
        // What cannot be compared here, the server compares.
        let holds_something = pair[0]
            .0
            .is_none_or(|lower| matches!(lower.partial_cmp(&end), Some(Ordering::Less) | None));
        if end != begin || !holds_something {
            return Err(CoverError::Seam(index + 1));
        }
    }
    Ok(())
}

/// Every bound has as many columns as the others, and none comes twice.
fn check_bounds(ranges: &[(Option<&KeyValue>, Option<&KeyValue>)]) -> Result<(), CoverError> {
    let bounds: Vec<&KeyValue> = ranges.iter().filter_map(|(lower, _)| *lower).collect();
    let width = bounds.first().map_or(0, |bound| bound.parts().len());
    let mut seen = BTreeSet::new();
    for bound in bounds {
        if bound.parts().len() != width || !seen.insert(String::from(bound.clone())) {
            return Err(CoverError::Bound(bound.to_string()));
        }
    }
    Ok(())
}

/// The chunks of each leaf come together and tile it.
fn check_leaves(chunks: &[(&Relation, BlockRange)]) -> Result<(), CoverError> {
    let mut seen = BTreeSet::new();
    for chunks in chunks.chunk_by(|one, next| one.0 == next.0) {
        let leaf = chunks[0].0;
        if !seen.insert(leaf) {
            return Err(CoverError::LeafTwice(leaf.clone()));
        }
        let ranges: Vec<_> = chunks.iter().map(|(_, r)| (r.start, r.end)).collect();
        check_tiles(&ranges)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(word: &str) -> KeyValue {
        KeyValue::typed("text", word)
    }

    fn chunk(lower: Option<KeyValue>, upper: Option<KeyValue>) -> ChunkBounds {
        ChunkBounds::Key(KeyRange { lower, upper })
    }

    fn leaf(name: &str, start: Option<u32>, end: Option<u32>) -> ChunkBounds {
        ChunkBounds::LeafBlocks {
            leaf: Relation {
                schema: "public".to_owned(),
                name: name.to_owned(),
            },
            blocks: BlockRange { start, end },
        }
    }

    #[test]
    fn only_integers_are_compared_here() {
        assert!(KeyValue::Int(2) < KeyValue::Int(10));
        assert_eq!(text("a").partial_cmp(&text("b")), None);
        assert_eq!(text("a").partial_cmp(&text("a")), Some(Ordering::Equal));
        assert_eq!(KeyValue::Int(1).partial_cmp(&text("1")), None);
    }

    #[test]
    fn in_json_a_value_names_its_type() {
        let tuple = KeyValue::Tuple(vec![KeyValue::Int(-7), text("a:\"b\"")]);
        assert_eq!(String::from(tuple), r#"tuple:["int:-7","text:a:\"b\""]"#);
        for wrong in [
            "42",
            "int:x",
            "Text:a",
            ":a",
            "tuple:[]",
            r#"tuple:["int:1"]"#,
        ] {
            assert!(KeyValue::try_from(wrong.to_owned()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_long_text_is_shown_on_one_short_line() {
        let shown = text(&"é\n".repeat(500)).to_string();
        assert!(shown.chars().count() < 130 && shown.ends_with('…') && !shown.contains('\n'));
    }

    #[test]
    fn bounds_that_only_the_server_orders_must_join_and_differ() {
        let (a, b) = (|| Some(text("a")), || Some(text("b")));
        // Whatever the server's order of the two, each joins with the next.
        let cover = [chunk(None, b()), chunk(b(), a()), chunk(a(), None)];
        assert_eq!(check_cover(&cover, false), Ok(()));
        assert_eq!(check_cover(&cover, true), Err(CoverError::Nulls(0)));
        let torn = [chunk(None, a()), chunk(b(), None)];
        assert_eq!(check_cover(&torn, false), Err(CoverError::Seam(1)));
        let twice = [
            chunk(None, a()),
            chunk(a(), b()),
            chunk(b(), a()),
            chunk(a(), None),
        ];
        assert_eq!(
            check_cover(&twice, false),
            Err(CoverError::Bound("a".to_owned()))
        );
        let empty = [chunk(None, a()), chunk(a(), a()), chunk(a(), None)];
        assert_eq!(check_cover(&empty, false), Err(CoverError::Seam(2)));
        let pair = || Some(KeyValue::Tuple(vec![text("a"), text("b")]));
        let uneven = [chunk(None, a()), chunk(a(), pair()), chunk(pair(), None)];
        assert!(matches!(
            check_cover(&uneven, false),
            Err(CoverError::Bound(_))
        ));
    }

    #[test]
    fn each_leaf_is_tiled_and_comes_once() {
        let (low, high) = (|| leaf("low", None, Some(3)), || leaf("low", Some(3), None));
        let other = || leaf("other", None, None);
        assert_eq!(check_cover(&[low(), high(), other()], false), Ok(()));
        let apart = check_cover(&[low(), other(), high()], false);
        assert_eq!(apart, Err(CoverError::ClosedEnd("last")));
        let twice = check_cover(&[other(), leaf("low", None, None), other()], false);
        assert!(matches!(twice, Err(CoverError::LeafTwice(_))));
        let mixed = check_cover(&[other(), ChunkBounds::All], false);
        assert_eq!(mixed, Err(CoverError::MixedKinds(1)));
        assert!(check_cover(&[other(), ChunkBounds::KeyNull], true).is_err());
    }

    fn any_value() -> impl Strategy<Value = KeyValue> {
        let single = prop_oneof![
            any::<i64>().prop_map(|value| KeyValue::Int(value.into())),
            ("[a-z]{1,3}[0-9]?", any::<String>())
                .prop_filter("another kind", |(kind, _)| kind != INT && kind != TUPLE)
                .prop_map(|(kind, text)| KeyValue::typed(&kind, text)),
        ];
        prop_oneof![
            single.clone(),
            proptest::collection::vec(single, 2..4).prop_map(KeyValue::Tuple),
        ]
    }

    proptest! {
        #[test]
        fn a_value_reads_back(value in any_value()) {
            let written = String::from(value.clone());
            prop_assert_eq!(KeyValue::try_from(written), Ok(value.clone()));
            let json = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(serde_json::from_str::<KeyValue>(&json).unwrap(), value);
        }
    }
}
