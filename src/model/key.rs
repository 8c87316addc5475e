//! Key ranges: the shape of a chunk, and the proof that chunks tile a table exactly.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One value of a chunk key. In JSON a typed string, so that no reader's float loses a digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KeyValue {
    /// An integer of any width up to 64 bits, signed or not.
    Int(i128),
}

impl fmt::Display for KeyValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(value) => write!(f, "{value}"),
        }
    }
}

impl TryFrom<String> for KeyValue {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let value = text
            .strip_prefix("int:")
            .and_then(|digits| digits.parse().ok());
        value
            .map(Self::Int)
            .ok_or_else(|| format!("'{text}' is no key value such as int:42"))
    }
}

impl From<KeyValue> for String {
    fn from(value: KeyValue) -> String {
        match value {
            KeyValue::Int(value) => format!("int:{value}"),
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
}

impl fmt::Display for ChunkBounds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn side<T: fmt::Display>(value: Option<&T>) -> String {
            value.map_or_else(|| "…".to_owned(), ToString::to_string)
        }
        match self {
            Self::All => f.write_str("all rows"),
            Self::Key(range) => {
                write!(
                    f,
                    "[{}, {})",
                    side(range.lower.as_ref()),
                    side(range.upper.as_ref())
                )
            }
            Self::KeyNull => f.write_str("key is null"),
            Self::Blocks(range) => {
                write!(
                    f,
                    "blocks [{}, {})",
                    side(range.start.as_ref()),
                    side(range.end.as_ref())
                )
            }
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
}

/// Checks that chunks, in order, are disjoint and exhaustive: every row is in exactly one.
///
/// Key and block chunks must be listed in ascending order. A nullable key needs exactly one
/// [`ChunkBounds::KeyNull`]; a key that cannot be NULL needs none.
pub fn check_cover(chunks: &[ChunkBounds], key_nullable: bool) -> Result<(), CoverError> {
    let ranged: Vec<&ChunkBounds> = chunks
        .iter()
        .filter(|bounds| !matches!(bounds, ChunkBounds::KeyNull))
        .collect();
    let nulls = chunks.len() - ranged.len();
    let first = ranged.first().ok_or(CoverError::Empty)?;
    match first {
        ChunkBounds::All if ranged.len() == 1 && nulls == 0 => Ok(()),
        ChunkBounds::All => Err(CoverError::MixedKinds(1)),
        ChunkBounds::Key(_) => {
            if nulls != usize::from(key_nullable) {
                return Err(CoverError::Nulls(nulls));
            }
            let ranges: Option<Vec<_>> = ranged
                .iter()
                .map(|bounds| match bounds {
                    ChunkBounds::Key(range) => Some((range.lower.clone(), range.upper.clone())),
                    _ => None,
                })
                .collect();
            check_tiles(&ranges.ok_or(CoverError::MixedKinds(0))?)
        }
        ChunkBounds::Blocks(_) => {
            if nulls != 0 {
                return Err(CoverError::Nulls(nulls));
            }
            let ranges: Option<Vec<_>> = ranged
                .iter()
                .map(|bounds| match bounds {
                    ChunkBounds::Blocks(range) => Some((range.start, range.end)),
                    _ => None,
                })
                .collect();
            check_tiles(&ranges.ok_or(CoverError::MixedKinds(0))?)
        }
        ChunkBounds::KeyNull => Err(CoverError::Empty),
    }
}

fn check_tiles<T: Ord + Clone>(ranges: &[(Option<T>, Option<T>)]) -> Result<(), CoverError> {
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
        let (Some(end), Some(begin)) = (&pair[0].1, &pair[1].0) else {
            return Err(CoverError::Seam(index + 1));
        };
        let holds_something = pair[0].0.as_ref().is_none_or(|lower| lower < end);
        if end != begin || !holds_something {
            return Err(CoverError::Seam(index + 1));
        }
    }
    Ok(())
}
