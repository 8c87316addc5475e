//! Where the rows of a key lie: a [`KeyDensity`] read as a distribution, in exact integers.
//!
//! The density's bounds cut the rows into parts of equal mass. Inside a part rows are taken to be
//! spread evenly; a part of no width is mass that sits on one key. No arithmetic here overflows or
//! rounds a key: keys are compared and added in `i128`, products are split before they are taken.

use super::key::KeyValue;
use super::profile::KeyDensity;

/// Parts of a million are enough to measure a spread and leave every square inside `u128`.
const CV_SCALE: u64 = 1_000_000;

/// Equal-width buckets that the coefficient of variation is taken over (facts sheet, 1.1).
const CV_BUCKETS: u32 = 10;

/// The distribution of a number of rows over a key's values. Rows with a NULL key are not in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// Ascending; part `i` is `edges[i] ≤ key < edges[i + 1]`, or the key `edges[i]` alone where
    /// both are equal. The first is the smallest key, the last one above the largest.
    edges: Vec<i128>,
    rows: u64,
}

impl Spread {
    /// Spreads `rows` over the keys; `None` where there is no key at all, or none of integers.
    ///
    /// Statistics may be older than the smallest and largest key: bounds outside them are left out.
    pub fn new(density: &KeyDensity, rows: u64) -> Option<Self> {
        let min = density.min.as_ref()?.as_int()?;
        let max = density.max.as_ref()?.as_int()?;
        let (min, max) = (min.min(max), max.max(min));
        let mut edges = Vec::with_capacity(density.bounds.len() + 2);
        edges.push(min);
        edges.extend(
            density
                .bounds
                .iter()
                .filter_map(KeyValue::as_int)
                .filter(|bound| (min..=max).contains(bound)),
        );
        edges.sort_unstable();
        edges.push(max.saturating_add(1));
        Some(Self { edges, rows })
    }

    /// The smallest key.
    pub fn min(&self) -> i128 {
        self.edges[0]
    }

    /// One above the largest key.
    pub fn end(&self) -> i128 {
        self.edges[self.parts()]
    }

    /// The `index`-th of the `count − 1` keys that cut the rows into `count` parts of equal
    /// estimated rows: off by less than the rows of one key. `index` is below `count`.
    pub fn cut(&self, index: u32, count: u32) -> i128 {
        let count = u128::from(count.max(1));
        let target = u128::from(index) * self.parts() as u128;
        let part = ((target / count) as usize).min(self.parts() - 1);
        let (from, to) = (self.edges[part], self.edges[part + 1]);
        let heavy = self.edges.partition_point(|edge| *edge < from);
        if from < to {
            let inside = floor_share(from.abs_diff(to), target % count, count);
            // Mass that sits on the part's first key has been passed, so that key stays below.
            let passed = u128::from(inside == 0 && heavy < part);
            return from.saturating_add_unsigned(inside + passed);
        }
        // The target falls into the mass of one key, which cannot be divided: it goes to the side
        // that leaves less error, so that a key of several parts' mass gets a chunk of its own.
        let last = self.edges.partition_point(|edge| *edge <= from) - 1;
        if 2 * target <= (heavy + last) as u128 * count {
            from
        } else {
            from + 1
        }
    }

    /// Estimated rows whose key is below `key`. Grows with `key`, from 0 to all rows.
    pub fn rows_below(&self, key: i128) -> u64 {
        let smaller = self.edges.partition_point(|edge| *edge < key);
        // The number of parts that lie wholly below the key.
        let full = match self.edges.get(smaller) {
            None => return self.rows,
            Some(edge) if *edge == key => smaller,
            Some(_) => smaller.saturating_sub(1),
        };
        let below = self.rows_of_parts(full);
        let from = self.edges[full];
        if key <= from {
            return below;
        }
        let to = self.edges[full + 1];
        let rows = self.rows_of_parts(full + 1) - below;
        below + estimated_share(rows, from.abs_diff(key), from.abs_diff(to))
    }

    /// Coefficient of variation over ten equal-width buckets of the key range, in thousandths; 0
    /// for fewer than two keys. A range of fewer than ten keys has a bucket a key.
    pub fn cv_permille(&self) -> u32 {
        let scaled = Self {
            edges: self.edges.clone(),
            rows: CV_SCALE,
        };
        let width = self.min().abs_diff(self.end());
        let buckets = width.min(u128::from(CV_BUCKETS));
        let edge = |index: u128| {
            let inside = floor_share(width, index, buckets);
            scaled.rows_below(self.min().saturating_add_unsigned(inside))
        };
        let counts: Vec<u128> = (0..buckets)
            .map(|index| u128::from(edge(index + 1) - edge(index)))
            .collect();
        let sum: u128 = counts.iter().sum();
        let squares: u128 = counts.iter().map(|count| count * count).sum();
        if sum == 0 {
            return 0;
        }
        // σ/μ = √(n·Σx² − (Σx)²) / Σx, with the population's σ.
        let ratio = (buckets * squares).saturating_sub(sum * sum) * 1_000_000 / (sum * sum);
        u32::try_from(ratio.isqrt()).unwrap_or(u32::MAX)
    }

    fn parts(&self) -> usize {
        self.edges.len() - 1
    }

    /// Rows of the first `parts` parts.
    fn rows_of_parts(&self, parts: usize) -> u64 {
        (u128::from(self.rows) * parts as u128 / self.parts() as u128) as u64
    }
}

/// ⌊whole · part / parts⌋ exactly, for `part` ≤ `parts` < 2⁶⁴.
fn floor_share(whole: u128, part: u128, parts: u128) -> u128 {
    whole / parts * part + whole % parts * part / parts
}

/// About `rows · inside / width`, for `inside` ≤ `width`: an estimate, so that wide keys may lose
/// bits below the 64 that matter.
fn estimated_share(rows: u64, inside: u128, width: u128) -> u64 {
    let shift = (u128::BITS - width.leading_zeros()).saturating_sub(u64::BITS);
    (u128::from(rows) * (inside >> shift) / (width >> shift)) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Origin;

    fn density(min: i128, max: i128, bounds: &[i128]) -> KeyDensity {
        KeyDensity {
            min: Some(KeyValue::Int(min)),
            max: Some(KeyValue::Int(max)),
            bounds: bounds.iter().map(|b| KeyValue::Int(*b)).collect(),
            null_permille: 0,
            origin: Origin::Catalogue,
        }
    }

    fn spread(min: i128, max: i128, bounds: &[i128], rows: u64) -> Spread {
        Spread::new(&density(min, max, bounds), rows).expect("there are keys")
    }

    #[test]
    fn no_key_no_spread() {
        let empty = KeyDensity {
            min: None,
            max: None,
            bounds: vec![],
            null_permille: 1000,
            origin: Origin::Unknown,
        };
        assert_eq!(Spread::new(&empty, 10), None);
    }

    #[test]
    fn without_bounds_the_cuts_are_of_equal_width() {
        let even = spread(1, 1_200_000, &[], 1_200_000);
        let cuts: Vec<i128> = (1..4).map(|index| even.cut(index, 4)).collect();
        // The facts sheet's golden edges, section 5.
        assert_eq!(cuts, [300_001, 600_001, 900_001]);
        assert_eq!(even.rows_below(300_001), 300_000);
        assert_eq!(even.cv_permille(), 0);
    }

    #[test]
    fn the_smallest_and_the_largest_key_may_hold_many_rows() {
        // Of ten parts four sit on the key 0 and three on the key 9.
        let heavy = spread(0, 9, &[0, 0, 0, 0, 3, 6, 9, 9, 9], 1000);
        assert_eq!(heavy.rows_below(0), 0);
        assert_eq!(heavy.rows_below(1), 433);
        assert_eq!(heavy.rows_below(9), 700);
        let cuts: Vec<i128> = (1..4).map(|index| heavy.cut(index, 4)).collect();
        assert_eq!(cuts, [1, 3, 9]);
    }

    #[test]
    fn bounds_older_than_the_keys_are_left_out() {
        let moved = spread(100, 200, &[0, 50, 150, 400], 100);
        assert_eq!(moved, spread(100, 200, &[150], 100));
    }

    #[test]
    fn a_key_with_many_rows_is_cut_off_on_both_sides() {
        // Ten parts, of which five sit on the key 50.
        let heavy = spread(0, 100, &[20, 40, 50, 50, 50, 50, 50, 50, 80], 1000);
        let cuts: Vec<i128> = (1..5).map(|index| heavy.cut(index, 5)).collect();
        assert_eq!(cuts, [40, 50, 51, 51]);
        assert_eq!(heavy.rows_below(50), 300);
        assert_eq!(heavy.rows_below(51), 803);
    }

    #[test]
    fn the_extremes_of_64_bits_do_not_overflow() {
        let wide = spread(i64::MIN.into(), u64::MAX.into(), &[], u64::MAX);
        assert!(wide.cut(9_999, 10_000) < i128::from(u64::MAX));
        assert_eq!(wide.rows_below(wide.end()), u64::MAX);
        assert_eq!(wide.cv_permille(), 0);
    }

    #[test]
    fn skew_shows_in_the_coefficient_of_variation() {
        // Nine tenths of the rows in the first tenth of the range.
        let bounds: Vec<i128> = (1..10).map(|part| part * 111).collect();
        let skewed = spread(0, 9_999, &bounds, 1000);
        assert!((2_600..2_800).contains(&skewed.cv_permille()), "{skewed:?}");
        // A handful of dense keys is not skewed.
        assert_eq!(spread(1, 3, &[], 3).cv_permille(), 0);
    }

    proptest! {
        #[test]
        fn rows_below_grows_from_nothing_to_everything(
            mut bounds in proptest::collection::vec(-500i128..500, 0..40),
            rows in 0u64..1_000_000,
            mut keys in proptest::collection::vec(-600i128..600, 1..20),
        ) {
            bounds.sort_unstable();
            let spread = spread(-500, 500, &bounds, rows);
            keys.sort_unstable();
            let below: Vec<u64> = keys.iter().map(|key| spread.rows_below(*key)).collect();
            prop_assert!(below.is_sorted());
            prop_assert_eq!(spread.rows_below(spread.min()), 0);
            prop_assert_eq!(spread.rows_below(spread.end()), rows);
        }

        #[test]
        fn cuts_ascend_inside_the_keys(
            mut bounds in proptest::collection::vec(any::<i64>(), 0..40),
            count in 1u32..300,
        ) {
            bounds.sort_unstable();
            let bounds: Vec<i128> = bounds.into_iter().map(i128::from).collect();
            let spread = spread(i64::MIN.into(), i64::MAX.into(), &bounds, 1000);
            let cuts: Vec<i128> = (1..count).map(|index| spread.cut(index, count)).collect();
            prop_assert!(cuts.is_sorted());
            prop_assert!(cuts.iter().all(|cut| (spread.min()..=spread.end()).contains(cut)));
        }
    }
}
