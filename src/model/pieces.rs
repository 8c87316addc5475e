//! Pieces of a chunk: for a server that does not finish a statement over the whole of it.

use super::key::{BlockRange, ChunkBounds, KeyRange, KeyValue};
use super::plan::PlannedChunk;

/// How far the chunks of a plan reach, from one bound to the next: the middle one of those that are
/// closed on both sides. `None` where none is, or where bounds cannot be calculated with.
pub fn usual_width(chunks: &[PlannedChunk]) -> Option<i128> {
    let mut widths: Vec<i128> = chunks
        .iter()
        .filter_map(|chunk| {
            let (lower, upper) = sides(&chunk.bounds)?;
            Some(upper? - lower?)
        })
        .collect();
    widths.sort_unstable();
    widths.get(widths.len() / 2).copied()
}

impl ChunkBounds {
    /// This, cut into at most `count` pieces that tile it exactly, in ascending order; itself alone where
    /// it cannot be cut: bounds that only the server can order, a range of one key.
    ///
    /// A side that is open is taken to reach as far as chunks usually do; the outermost piece stays open.
    pub fn pieces(&self, count: u32, usual_width: Option<i128>) -> Vec<Self> {
        let Some((lower, upper)) = sides(self) else {
            return vec![self.clone()];
        };
        let mut cuts = cuts((lower, upper), count, usual_width);
        // An open side may be taken to reach beyond what there can be.
        cuts.retain(|cut| matches!(self, Self::Key(_)) || u32::try_from(*cut).is_ok());
        let starts = std::iter::once(lower).chain(cuts.iter().copied().map(Some));
        let ends = cuts.iter().copied().map(Some).chain([upper]);
        starts
            .zip(ends)
            .map(|sides| self.with_sides(sides))
            .collect()
    }

    /// The same kind of bounds with these sides, which lie inside.
    fn with_sides(&self, (lower, upper): (Option<i128>, Option<i128>)) -> Self {
        let block = |side: Option<i128>| side.and_then(|side| u32::try_from(side).ok());
        let blocks = BlockRange {
            start: block(lower),
            end: block(upper),
        };
        match self {
            Self::All | Self::KeyNull => self.clone(),
            Self::Key(_) => Self::Key(KeyRange {
                lower: lower.map(KeyValue::Int),
                upper: upper.map(KeyValue::Int),
            }),
            Self::Blocks(_) => Self::Blocks(blocks),
            Self::LeafBlocks { leaf, .. } => Self::LeafBlocks {
                leaf: leaf.clone(),
                blocks,
            },
        }
    }
}

/// The two sides of bounds that can be calculated with.
fn sides(bounds: &ChunkBounds) -> Option<(Option<i128>, Option<i128>)> {
    let of_key = |side: &Option<KeyValue>| match side {
        None => Some(None),
        Some(value) => value.as_int().map(Some),
    };
    match bounds {
        ChunkBounds::Key(range) => Some((of_key(&range.lower)?, of_key(&range.upper)?)),
        ChunkBounds::Blocks(blocks) | ChunkBounds::LeafBlocks { blocks, .. } => {
            Some((blocks.start.map(i128::from), blocks.end.map(i128::from)))
        }
        ChunkBounds::All | ChunkBounds::KeyNull => None,
    }
}

/// Where to cut: strictly inside, ascending, none twice; nowhere where a side is not known.
fn cuts(
    (lower, upper): (Option<i128>, Option<i128>),
    count: u32,
    usual_width: Option<i128>,
) -> Vec<i128> {
    let reach = usual_width.filter(|width| *width > 0);
    let first = lower.or_else(|| Some(upper? - reach?));
    let last = upper.or_else(|| Some(lower? + reach?));
    let (Some(first), Some(last)) = (first, last) else {
        return Vec::new();
    };
    let count = i128::from(count.max(1));
    let mut cuts: Vec<i128> = (1..count)
        .map(|at| first + (last - first) * at / count)
        .filter(|cut| lower.is_none_or(|lower| *cut > lower))
        .filter(|cut| upper.is_none_or(|upper| *cut < upper))
        .collect();
    cuts.dedup();
    cuts
}

#[cfg(test)]
mod tests {
    use proptest::option::of;
    use proptest::prelude::*;

    use super::*;
    use crate::model::check_cover;

    fn key(lower: Option<i128>, upper: Option<i128>) -> ChunkBounds {
        ChunkBounds::Key(KeyRange {
            lower: lower.map(KeyValue::Int),
            upper: upper.map(KeyValue::Int),
        })
    }

    fn blocks(start: Option<u32>, end: Option<u32>) -> ChunkBounds {
        ChunkBounds::Blocks(BlockRange { start, end })
    }

    /// The pieces between what lies before and after the whole tile everything.
    fn tile(whole: &ChunkBounds, pieces: Vec<ChunkBounds>) -> Result<(), String> {
        let (lower, upper) = sides(whole).ok_or("no sides")?;
        let before = lower.map(|side| whole.with_sides((None, Some(side))));
        let after = upper.map(|side| whole.with_sides((Some(side), None)));
        let all: Vec<ChunkBounds> = before.into_iter().chain(pieces).chain(after).collect();
        check_cover(&all, false).map_err(|error| format!("{error}: {all:?}"))
    }

    proptest! {
        #[test]
        fn pieces_tile_the_whole(
            lower in of(-1_000_000i128..1_000_000),
            reach in of(1i128..2_000_000),
            count in 1u32..100,
            width in of(0i128..10_000),
        ) {
            // An open upper side, or one above the lower; a range open below ends anywhere.
            let upper = reach.map(|reach| lower.unwrap_or(0) + reach);
            let whole = key(lower, upper);
            let pieces = whole.pieces(count, width);
            prop_assert!(!pieces.is_empty() && pieces.len() <= count as usize);
            prop_assert_eq!(tile(&whole, pieces), Ok(()));
        }

        #[test]
        fn pieces_of_blocks_tile_the_whole(
            start in of(1u32..u32::MAX - 1),
            reach in of(1u32..5_000_000),
            count in 1u32..100,
            width in of(0i128..10_000_000_000),
        ) {
            let end = reach.map(|reach| start.unwrap_or(0).saturating_add(reach));
            let whole = blocks(start, end);
            let pieces = whole.pieces(count, width);
            prop_assert!(!pieces.is_empty() && pieces.len() <= count as usize);
            prop_assert_eq!(tile(&whole, pieces), Ok(()));
        }
    }

    #[test]
    fn a_closed_range_is_cut_evenly_and_an_open_side_as_far_as_chunks_reach() {
        assert_eq!(
            key(Some(0), Some(100)).pieces(4, None),
            [(0, 25), (25, 50), (50, 75), (75, 100)].map(|(a, b)| key(Some(a), Some(b)))
        );
        assert_eq!(
            key(Some(100), None).pieces(2, Some(50)),
            [key(Some(100), Some(125)), key(Some(125), None)]
        );
        assert_eq!(key(Some(100), None).pieces(2, None).len(), 1);
        assert_eq!(key(Some(7), Some(8)).pieces(4, None).len(), 1);
        assert_eq!(ChunkBounds::All.pieces(4, Some(9)).len(), 1);
        // Fewer blocks than chunks usually have.
        let few = blocks(None, Some(10)).pieces(4, Some(100));
        assert_eq!(few, [blocks(None, Some(10))]);
        let text = ChunkBounds::Key(KeyRange {
            lower: Some(KeyValue::typed("text", "a")),
            upper: None,
        });
        assert_eq!(text.pieces(4, Some(9)), std::slice::from_ref(&text));
    }

    #[test]
    fn the_usual_width_is_that_of_closed_chunks() {
        let chunk = |number, bounds| PlannedChunk {
            number,
            bounds,
            rank: 0,
        };
        let chunks = [
            chunk(1, key(None, Some(10))),
            chunk(2, key(Some(10), Some(20))),
            chunk(3, key(Some(20), Some(1000))),
            chunk(4, key(Some(1000), Some(1010))),
            chunk(5, key(Some(1010), None)),
        ];
        assert_eq!(usual_width(&chunks), Some(10));
        assert_eq!(usual_width(&chunks[..1]), None);
    }
}
