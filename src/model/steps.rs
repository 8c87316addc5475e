//! Where the rows of a key lie whose values only the server can order: a [`KeyDensity`] read as
//! steps. Cuts are at its bounds and nowhere between, for nothing is known between.

use super::key::KeyValue;
use super::profile::KeyDensity;

/// The distribution of a number of rows over a key's bounds. Rows with a NULL key are not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps<'a> {
    /// Each bound once, with the parts below it; parts are of equal estimated rows. Without the
    /// smallest key, which has nothing below it.
    steps: Vec<(&'a KeyValue, u64)>,
    parts: u64,
    rows: u64,
}

impl<'a> Steps<'a> {
    /// Spreads `rows` over the density's bounds, which ascend in the server's order; bounds that it
    /// holds equal are the same value, repeated once for every part that lies on it.
    pub fn new(density: &'a KeyDensity, rows: u64) -> Self {
        let mut steps: Vec<(&KeyValue, u64)> = Vec::with_capacity(density.bounds.len());
        for (bound, below) in density.bounds.iter().zip(1..) {
            let repeated = steps.last().is_some_and(|(last, _)| *last == bound);
            if !repeated {
                steps.push((bound, below));
            }
        }
        if steps.first().map(|(bound, _)| *bound) == density.min.as_ref() {
            steps.splice(..1.min(steps.len()), []);
        }
        Self {
            steps,
            parts: density.bounds.len() as u64 + 1,
            rows,
        }
    }

    /// Ascending cuts into at most `count` parts of nearly equal estimated rows, with the rows below
    /// each: for every share the bound next to it, so that a key of several shares is cut off on both
    /// sides.
    pub fn cuts(&self, count: u32) -> Vec<(KeyValue, u64)> {
        let count = u128::from(count.max(1));
        let parts = u128::from(self.parts);
        let mut chosen: Vec<usize> = (1..count)
            .filter_map(|index| {
                let target = index * parts;
                let after = self
                    .steps
                    .partition_point(|(_, below)| u128::from(*below) * count < target);
                let far = |at: &usize| {
                    let below = self.steps.get(*at).map_or(0, |(_, below)| *below);
                    (u128::from(below) * count).abs_diff(target)
                };
                [after.checked_sub(1), Some(after)]
                    .into_iter()
                    .flatten()
                    .filter(|at| *at < self.steps.len())
                    .min_by_key(far)
            })
            .collect();
        chosen.dedup();
        chosen
            .into_iter()
            .filter_map(|at| self.steps.get(at))
            .map(|(bound, below)| {
                let rows = u128::from(self.rows) * u128::from(*below) / parts;
                // No more than all rows.
                ((*bound).clone(), u64::try_from(rows).unwrap_or(self.rows))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Origin;

    fn text(word: &str) -> KeyValue {
        KeyValue::typed("text", word)
    }

    fn density(min: &str, bounds: &[&str]) -> KeyDensity {
        KeyDensity {
            min: Some(text(min)),
            max: None,
            bounds: bounds.iter().map(|bound| text(bound)).collect(),
            null_permille: 0,
            origin: Origin::Catalogue,
        }
    }

    fn cuts(density: &KeyDensity, count: u32) -> Vec<(String, u64)> {
        Steps::new(density, 1000)
            .cuts(count)
            .into_iter()
            .map(|(bound, rows)| (bound.to_string(), rows))
            .collect()
    }

    #[test]
    fn cuts_are_at_the_bounds_next_to_equal_shares() {
        let even = density("a", &["b", "c", "d", "e"]);
        let wanted = [("b", 200), ("c", 400), ("e", 800)].map(|(b, r)| (b.to_owned(), r));
        assert_eq!(cuts(&even, 4), wanted);
        assert_eq!(cuts(&even, 100).len(), 4);
        assert_eq!(cuts(&even, 1), []);
        assert_eq!(cuts(&density("a", &[]), 9), []);
    }

    #[test]
    fn a_key_with_many_rows_is_cut_off_on_both_sides() {
        let heavy = density("a", &["b", "m", "m", "m", "m", "m", "m", "x", "y"]);
        let wanted = [("b", 100), ("m", 200), ("x", 800)].map(|(b, r)| (b.to_owned(), r));
        assert_eq!(cuts(&heavy, 8)[..3], wanted);
    }

    #[test]
    fn the_smallest_key_cuts_nothing_off() {
        assert_eq!(cuts(&density("a", &["a", "a", "a"]), 5), []);
        let wanted = [("b".to_owned(), 750)];
        assert_eq!(cuts(&density("a", &["a", "a", "b"]), 5), wanted);
    }

    proptest! {
        #[test]
        fn cuts_ascend_and_so_do_their_rows(
            mut places in proptest::collection::vec(0u32..50, 0..80),
            rows: u64,
            count in 1u32..200,
        ) {
            places.sort_unstable();
            let words: Vec<String> = places.iter().map(|place| format!("{place:03}")).collect();
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let density = density("000", &words);
            let steps = Steps::new(&density, rows);
            let cuts = steps.cuts(count);
            prop_assert!(cuts.len() < count as usize || cuts.is_empty());
            prop_assert!(cuts.len() <= density.distinct());
            // These texts order as they are written.
            let shown: Vec<String> = cuts.iter().map(|(bound, _)| bound.to_string()).collect();
            prop_assert!(shown.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", shown);
            prop_assert!(cuts.iter().map(|(_, below)| *below).is_sorted());
            prop_assert!(cuts.iter().all(|(_, below)| *below <= rows));
        }
    }
}
