//! Cuts a table into chunks that cover it exactly, each with its estimated rows.
//!
//! Whatever the statistics say, the chunks are disjoint and exhaustive: neighbours share one cut, the
//! first is open below, the last open above, and NULL keys have a chunk of their own. Statistics only
//! decide where the cuts are, so stale ones cost balance, never rows.

use crate::model::{
    BlockRange, ChunkBounds, Key, KeyDensity, KeyRange, KeyValue, Leaf, Relation, Spread, Steps,
};

/// Estimated rows above which a chunk is worth a further cut.
const ROWS_PER_CHUNK: u64 = 500_000;

/// Most chunks where the user did not say how large they shall be.
const MOST_CHUNKS: u64 = 200;

/// Most chunks where the user did.
const MOST_FORCED_CHUNKS: u64 = 10_000;

/// A chunk to be, and how many rows it is expected to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) bounds: ChunkBounds,
    pub(super) rows: u64,
}

impl Piece {
    /// The same blocks, of a leaf.
    fn of_leaf(mut self, leaf: &Relation) -> Self {
        if let ChunkBounds::Blocks(blocks) = self.bounds {
            let leaf = leaf.clone();
            self.bounds = ChunkBounds::LeafBlocks { leaf, blocks };
        }
        self
    }
}

/// How many chunks to aim at. `chunk_rows` is `--chunk-rows`.
pub(super) fn count(rows: u64, workers: u32, chunk_rows: Option<u64>) -> u32 {
    let count = match chunk_rows {
        Some(size) => rows.div_ceil(size.max(1)).clamp(1, MOST_FORCED_CHUNKS),
        None => (2 * u64::from(workers))
            .max(rows / ROWS_PER_CHUNK)
            .clamp(1, MOST_CHUNKS),
    };
    // Both clamps end far below.
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// The whole table as one chunk.
pub(super) fn whole(rows: u64) -> Vec<Piece> {
    vec![Piece {
        bounds: ChunkBounds::All,
        rows,
    }]
}

/// Ranges of a key at equal estimated rows, in key order, then the NULL keys where there may be
/// any. At most `count` ranges: fewer where single keys hold more rows than a chunk should.
pub(super) fn by_key(key: &Key, density: &KeyDensity, rows: u64, count: u32) -> Vec<Piece> {
    let nulls = if key.nullable {
        let share = u128::from(rows) * u128::from(density.null_permille.min(1000)) / 1000;
        u64::try_from(share).unwrap_or(rows)
    } else {
        0
    };
    let keyed = rows - nulls;
    let (cuts, below): (Vec<KeyValue>, Vec<u64>) = if key.is_integer() {
        Spread::new(density, keyed)
            .map(|spread| integer_cuts(&spread, count))
            .unwrap_or_default()
    } else {
        Steps::new(density, keyed).cuts(count).into_iter().unzip()
    };
    let mut pieces: Vec<Piece> = tiles(&cuts)
        .zip(shares(&below, keyed))
        .map(|((lower, upper), rows)| Piece {
            bounds: ChunkBounds::Key(KeyRange { lower, upper }),
            rows,
        })
        .collect();
    if key.nullable {
        pieces.push(Piece {
            bounds: ChunkBounds::KeyNull,
            rows: nulls,
        });
    }
    pieces
}

/// Cuts into `count` parts between keys that we can count, with the rows below each.
fn integer_cuts(spread: &Spread, count: u32) -> (Vec<KeyValue>, Vec<u64>) {
    // A cut at the smallest key, or above the largest, would cut nothing off.
    let inside = spread.min() + 1..spread.end();
    let mut cuts: Vec<i128> = (1..count)
        .map(|index| spread.cut(index, count))
        .filter(|cut| inside.contains(cut))
        .collect();
    cuts.dedup();
    cuts.into_iter()
        .map(|cut| (KeyValue::Int(cut), spread.rows_below(cut)))
        .unzip()
}

/// Ranges of blocks of each leaf, in the leaves' order: about `count` in all, but one a leaf at
/// least. Rows are taken to be as dense everywhere.
pub(super) fn by_leaves(leaves: &[Leaf], rows: u64, count: u32) -> Vec<Piece> {
    let total: u64 = leaves.iter().map(|leaf| u64::from(leaf.blocks)).sum();
    let rows_of = |blocks: u64| {
        let share = (u128::from(rows) * u128::from(blocks)).checked_div(u128::from(total));
        share.map_or(0, |share| share as u64)
    };
    let mut before = 0;
    leaves
        .iter()
        .flat_map(|leaf| {
            let blocks = u64::from(leaf.blocks);
            // Rounded up: no chunk is larger than its share.
            let chunks = (blocks * u64::from(count)).div_ceil(total.max(1));
            let rows = rows_of(before + blocks) - rows_of(before);
            before += blocks;
            by_blocks(leaf.blocks, rows, u32::try_from(chunks).unwrap_or(u32::MAX))
                .into_iter()
                .map(|piece| piece.of_leaf(&leaf.relation))
        })
        .collect()
}

/// Ranges of as nearly as possible equally many blocks; never more than there are blocks.
pub(super) fn by_blocks(blocks: u32, rows: u64, count: u32) -> Vec<Piece> {
    let count = count.clamp(1, blocks.max(1));
    let share =
        |whole: u64, index: u32| (u128::from(whole) * u128::from(index) / u128::from(count)) as u64;
    let cuts: Vec<u32> = (1..count)
        .map(|index| share(blocks.into(), index) as u32)
        .collect();
    let below: Vec<u64> = cuts
        .iter()
        .map(|cut| (u128::from(rows) * u128::from(*cut) / u128::from(blocks)) as u64)
        .collect();
    tiles(&cuts)
        .zip(shares(&below, rows))
        .map(|((start, end), rows)| Piece {
            bounds: ChunkBounds::Blocks(BlockRange { start, end }),
            rows,
        })
        .collect()
}

/// The ranges between neighbouring cuts, open at both extremes: one more than there are cuts.
fn tiles<T: Clone>(cuts: &[T]) -> impl Iterator<Item = (Option<T>, Option<T>)> {
    let lower = std::iter::once(None).chain(cuts.iter().cloned().map(Some));
    let upper = cuts.iter().cloned().map(Some).chain(std::iter::once(None));
    lower.zip(upper)
}

/// The rows of each range, from the rows below each cut; their sum is `rows`.
fn shares(below: &[u64], rows: u64) -> impl Iterator<Item = u64> {
    let start = std::iter::once(0).chain(below.iter().copied());
    let end = below.iter().copied().chain(std::iter::once(rows));
    start.zip(end).map(|(start, end)| end.saturating_sub(start))
}

#[cfg(test)]
mod tests {
    use std::ops::RangeInclusive;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{KeyColumn, KeyOrder, Origin, check_cover};

    const ROWS: u64 = 1_000_000;

    fn key(nullable: bool) -> Key {
        Key {
            column: "id".to_owned(),
            source_type: "bigint".to_owned(),
            primary: !nullable,
            unique: !nullable,
            nullable,
            order: KeyOrder::Integer,
            rest: Vec::new(),
        }
    }

    /// Words in the order of some server, which is not ours.
    const WORDS: &[&str] = &[
        "", "b", "A", "a", "🦀", "it's", "z", "_", "B", "é", "10", "9",
    ];

    fn ordered_key(nullable: bool, several: bool) -> Key {
        let order = || KeyOrder::Server {
            cast: Some("pg_catalog.text".to_owned()),
            collation: None,
            operators: None,
        };
        let rest = several.then(|| KeyColumn {
            column: "word".to_owned(),
            order: order(),
        });
        Key {
            order: if several { KeyOrder::Integer } else { order() },
            rest: rest.into_iter().collect(),
            ..key(nullable)
        }
    }

    fn density(min: i128, max: i128, bounds: Vec<i128>) -> KeyDensity {
        KeyDensity {
            min: Some(KeyValue::Int(min)),
            max: Some(KeyValue::Int(max)),
            bounds: bounds.into_iter().map(KeyValue::Int).collect(),
            null_permille: 0,
            origin: Origin::Catalogue,
        }
    }

    fn bounds(pieces: &[Piece]) -> Vec<ChunkBounds> {
        pieces.iter().map(|piece| piece.bounds.clone()).collect()
    }

    fn text(pieces: &[Piece]) -> Vec<String> {
        pieces
            .iter()
            .map(|p| format!("{} {}", p.bounds, p.rows))
            .collect()
    }

    /// How many of the chunks hold a row with this key.
    fn holders(pieces: &[Piece], key: Option<i128>) -> usize {
        pieces
            .iter()
            .filter(|piece| match (&piece.bounds, key) {
                (ChunkBounds::KeyNull, None) => true,
                (ChunkBounds::Key(range), Some(key)) => {
                    let key = KeyValue::Int(key);
                    range.lower.as_ref().is_none_or(|lower| *lower <= key)
                        && range.upper.as_ref().is_none_or(|upper| key < *upper)
                }
                _ => false,
            })
            .count()
    }

    #[test]
    fn the_number_of_chunks_follows_workers_rows_and_the_user() {
        assert_eq!(count(1_200_000, 2, None), 4);
        assert_eq!(count(5_000_000, 2, None), 10);
        assert_eq!(count(u64::MAX, 2, None), 200);
        assert_eq!(count(10, 2, Some(3)), 4);
        assert_eq!(count(0, 2, Some(3)), 1);
        assert_eq!(count(u64::MAX, 2, Some(1)), 10_000);
        assert_eq!(count(10, 2, Some(0)), 10);
    }

    #[test]
    fn an_even_key_gives_the_facts_sheets_edges() {
        let pieces = by_key(&key(false), &density(1, 1_200_000, vec![]), 1_200_000, 4);
        assert_eq!(
            text(&pieces),
            [
                "[…, 300001) 300000",
                "[300001, 600001) 300000",
                "[600001, 900001) 300000",
                "[900001, …) 300000"
            ]
        );
    }

    #[test]
    fn null_keys_have_a_chunk_of_their_own() {
        let mut sparse = density(1, 100, vec![]);
        sparse.null_permille = 250;
        assert_eq!(
            text(&by_key(&key(true), &sparse, 1000, 2)),
            ["[…, 51) 375", "[51, …) 375", "key is null 250"]
        );
        let pieces = by_key(
            &key(true),
            &KeyDensity {
                min: None,
                max: None,
                ..sparse
            },
            1000,
            4,
        );
        assert_eq!(text(&pieces), ["[…, …) 750", "key is null 250"]);
    }

    #[test]
    fn tiny_ranges_give_a_chunk_a_key_at_most() {
        let pieces = by_key(&key(false), &density(7, 9, vec![]), 3, 50);
        assert_eq!(text(&pieces), ["[…, 8) 1", "[8, 9) 1", "[9, …) 1"]);
        let pieces = by_key(&key(false), &density(7, 7, vec![7; 20]), 99, 50);
        assert_eq!(text(&pieces), ["[…, …) 99"]);
    }

    #[test]
    fn blocks_are_shared_out_evenly() {
        assert_eq!(
            text(&by_blocks(10, 100, 4)),
            [
                "blocks […, 2) 20",
                "blocks [2, 5) 30",
                "blocks [5, 7) 20",
                "blocks [7, …) 30"
            ]
        );
        assert_eq!(text(&by_blocks(0, 0, 4)), ["blocks […, …) 0"]);
        assert_eq!(by_blocks(3, 100, 200).len(), 3);
        let most = by_blocks(u32::MAX, u64::MAX, 10_000);
        assert_eq!(check_cover(&bounds(&most), false), Ok(()));
        assert_eq!(most.iter().map(|piece| piece.rows).sum::<u64>(), u64::MAX);
    }

    /// Keys of one of several ranges: tiny, at either edge of 64 bits, and all of them.
    fn key_range() -> impl Strategy<Value = RangeInclusive<i128>> {
        let (low, high) = (i128::from(i64::MIN), i128::from(u64::MAX));
        prop_oneof![
            (-5i128..5, 0i128..12).prop_map(|(min, width)| min..=min + width),
            (0i128..2000).prop_map(move |width| low..=low + width),
            (0i128..2000).prop_map(move |width| high - width..=high),
            Just(low..=high),
            Just(low..=i128::from(i64::MAX)),
            Just(0..=100_000),
        ]
    }

    /// A density with bounds that repeat now and then, and some outside the keys.
    fn any_density() -> impl Strategy<Value = KeyDensity> {
        key_range().prop_flat_map(|range| {
            let (min, max) = range.into_inner();
            let bound = prop_oneof![
                4 => min..=max,
                1 => Just(min),
                1 => Just(max),
                1 => Just(min + (max - min) / 2),
                1 => Just(min - 3),
            ];
            proptest::collection::vec(bound, 0..120).prop_map(move |mut bounds| {
                bounds.sort_unstable();
                density(min, max, bounds)
            })
        })
    }

    proptest! {
        #[test]
        fn chunks_tile_the_keys_and_share_out_every_row(
            mut density in any_density(),
            nullable: bool,
            null_permille in 0u32..=1000,
            count in 1u32..300,
            rows in 0u64..10_000_000_000,
            keys in proptest::collection::vec(any::<i64>(), 20),
        ) {
            density.null_permille = null_permille;
            let pieces = by_key(&key(nullable), &density, rows, count);
            prop_assert_eq!(check_cover(&bounds(&pieces), nullable), Ok(()));
            prop_assert!(pieces.len() <= count as usize + usize::from(nullable));
            prop_assert_eq!(pieces.iter().map(|piece| piece.rows).sum::<u64>(), rows);
            prop_assert_eq!(holders(&pieces, None), usize::from(nullable));
            let edges = pieces.iter().filter_map(|piece| match &piece.bounds {
                ChunkBounds::Key(KeyRange { lower: Some(KeyValue::Int(lower)), .. }) => Some(*lower),
                _ => None,
            });
            let near_edges: Vec<i128> = edges.flat_map(|edge| [edge - 1, edge, edge + 1]).collect();
            for key in keys.into_iter().map(i128::from).chain(near_edges) {
                prop_assert_eq!(holders(&pieces, Some(key)), 1);
            }
        }

        #[test]
        fn chunks_tile_keys_that_only_the_server_orders(
            mut places in proptest::collection::vec(0usize..WORDS.len(), 0..120),
            nullable: bool,
            several: bool,
            null_permille in 0u32..=1000,
            count in 1u32..300,
            rows in 0u64..10_000_000_000,
        ) {
            places.sort_unstable();
            let value = |place: usize| {
                let word = KeyValue::typed("text", WORDS[place]);
                if several {
                    KeyValue::Tuple(vec![KeyValue::Int(7), word])
                } else {
                    word
                }
            };
            let density = KeyDensity {
                min: places.first().map(|place| value(*place)),
                max: places.last().map(|place| value(*place)),
                bounds: places.iter().map(|place| value(*place)).collect(),
                null_permille,
                origin: Origin::Sample,
            };
            let nullable = nullable && !several;
            let pieces = by_key(&ordered_key(nullable, several), &density, rows, count);
            prop_assert_eq!(check_cover(&bounds(&pieces), nullable), Ok(()));
            prop_assert!(pieces.len() <= count as usize + usize::from(nullable));
            prop_assert_eq!(pieces.iter().map(|piece| piece.rows).sum::<u64>(), rows);
            // In the server's order every word, those between the bounds too, is in one chunk.
            let place = |bound: &KeyValue| (0..WORDS.len()).find(|at| value(*at) == *bound);
            for word in 0..WORDS.len() {
                let holders = pieces.iter().filter(|piece| match &piece.bounds {
                    ChunkBounds::Key(range) => {
                        range.lower.as_ref().is_none_or(|lower| place(lower) <= Some(word))
                            && range.upper.as_ref().is_none_or(|upper| Some(word) < place(upper))
                    }
                    _ => false,
                });
                prop_assert_eq!(holders.count(), 1);
            }
        }

        #[test]
        fn leaves_are_tiled_each(
            blocks in proptest::collection::vec(0u32..5_000, 1..20),
            count in 1u32..300,
            rows in 0u64..10_000_000_000,
        ) {
            let leaves: Vec<Leaf> = blocks
                .iter()
                .enumerate()
                .map(|(number, blocks)| Leaf {
                    relation: Relation {
                        schema: "public".to_owned(),
                        name: format!("leaf {number}"),
                    },
                    blocks: *blocks,
                })
                .collect();
            let pieces = by_leaves(&leaves, rows, count);
            prop_assert_eq!(check_cover(&bounds(&pieces), false), Ok(()));
            prop_assert!(pieces.len() <= count as usize + leaves.len());
            let mut read: Vec<&Relation> =
                pieces.iter().filter_map(|piece| piece.bounds.leaf()).collect();
            read.dedup();
            prop_assert!(read.into_iter().eq(leaves.iter().map(|leaf| &leaf.relation)));
            let expected = if blocks.iter().any(|blocks| *blocks > 0) { rows } else { 0 };
            prop_assert_eq!(pieces.iter().map(|piece| piece.rows).sum::<u64>(), expected);
        }

        #[test]
        fn no_chunk_is_larger_than_its_share_and_the_keys_at_its_ends(
            density in any_density(),
            count in 1u32..300,
        ) {
            let pieces = by_key(&key(false), &density, ROWS, count);
            let spread = Spread::new(&density, ROWS).expect("there are keys");
            let rows_of = |key: i128| spread.rows_below(key + 1) - spread.rows_below(key);
            for piece in &pieces {
                let ChunkBounds::Key(range) = &piece.bounds else { unreachable!() };
                let int = |bound: &Option<KeyValue>| bound.as_ref().and_then(KeyValue::as_int);
                let first = int(&range.lower).map_or(0, rows_of);
                let last = rows_of(int(&range.upper).unwrap_or(spread.end()) - 1);
                let share = ROWS / u64::from(count);
                // Four rows for what the integer divisions drop.
                prop_assert!(piece.rows <= share + first + last + 4, "{} of {share}", piece.rows);
            }
        }

        #[test]
        fn blocks_tile_the_table(blocks: u32, count in 1u32..300, rows: u64) {
            let pieces = by_blocks(blocks, rows, count);
            prop_assert_eq!(check_cover(&bounds(&pieces), false), Ok(()));
            prop_assert_eq!(
                pieces.iter().map(|piece| u128::from(piece.rows)).sum::<u128>(),
                u128::from(rows)
            );
            let share = rows / u64::from(count.min(blocks.max(1)));
            let block = rows / u64::from(blocks.max(1));
            for piece in &pieces {
                prop_assert!(piece.rows.abs_diff(share) <= block + 4);
            }
        }
    }
}
