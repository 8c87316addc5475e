//! Cutting a key's range at equal estimated rows: pure arithmetic on statistics and samples.

/// A key's distribution as ANALYZE leaves it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Histogram {
    /// Ascending values that split the rows outside `common` into equal parts.
    bounds: Vec<i128>,
    /// Frequent values with their share of all rows, ascending by value.
    common: Vec<(i128, f64)>,
    /// Share of rows that the histogram's buckets hold together.
    share: f64,
}

/// A stretch of keys with some share of the rows; a single value when `low == high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Piece {
    pub(super) low: i128,
    pub(super) high: i128,
    pub(super) mass: f64,
}

impl Histogram {
    pub(super) fn new(bounds: Vec<i128>, mut common: Vec<(i128, f64)>, null_share: f64) -> Self {
        common.sort_by_key(|(value, _)| *value);
        let taken: f64 = common.iter().map(|(_, share)| share).sum();
        Self {
            bounds,
            common,
            share: (1.0 - null_share - taken).max(0.0),
        }
    }

    /// Whether there is anything to cut by.
    pub(super) fn is_usable(&self) -> bool {
        self.bounds.len() >= 2 || !self.common.is_empty()
    }

    /// Values that cut the keys between `min` and `max`, which are those of now, into `parts` of
    /// equal estimated rows. What lies outside the statistics' range came since they were taken: as
    /// dense as the rest, but no more than the table grew.
    pub(super) fn cut(&self, min: i128, max: i128, growth: Option<f64>, parts: u32) -> Vec<i128> {
        let mut pieces = self.pieces();
        let first = pieces.first().map_or(min, |piece| piece.low);
        let last = pieces.last().map_or(max, |piece| piece.high);
        let total: f64 = pieces.iter().map(|piece| piece.mass).sum();
        let width = (last - first).max(1) as f64;
        let outside = |span: i128| (span as f64 / width).min(growth.unwrap_or(1.0)) * total;
        if min < first {
            let mass = outside(first - min);
            pieces.insert(
                0,
                Piece {
                    low: min,
                    high: first,
                    mass,
                },
            );
        }
        if max > last {
            let mass = outside(max - last);
            pieces.push(Piece {
                low: last,
                high: max,
                mass,
            });
        }
        quantiles(&pieces, parts)
            .into_iter()
            .map(|value| value.clamp(min, max))
            .collect()
    }

    /// The distribution in ascending, disjoint pieces: buckets cut open where a frequent value lies.
    fn pieces(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut common = self.common.iter().peekable();
        let buckets = self.bounds.len().saturating_sub(1).max(1) as f64;
        for pair in self.bounds.windows(2) {
            let (mut low, high) = (pair[0], pair[1]);
            let density = self.share / buckets / (high - low).max(1) as f64;
            while let Some((value, mass)) = common.next_if(|(value, _)| *value <= high) {
                if *value > low && high > low {
                    pieces.push(Piece {
                        low,
                        high: *value,
                        mass: density * (*value - low) as f64,
                    });
                    low = *value;
                }
                pieces.push(Piece {
                    low: *value,
                    high: *value,
                    mass: *mass,
                });
            }
            let mass = if high > low {
                density * (high - low) as f64
            } else if pair[0] == high {
                self.share / buckets
            } else {
                0.0
            };
            pieces.push(Piece { low, high, mass });
        }
        pieces.extend(common.map(|(value, mass)| Piece {
            low: *value,
            high: *value,
            mass: *mass,
        }));
        pieces
    }
}

/// Where the running mass passes each of `parts − 1` equal steps.
pub(super) fn quantiles(pieces: &[Piece], parts: u32) -> Vec<i128> {
    let total: f64 = pieces.iter().map(|piece| piece.mass).sum();
    if total <= 0.0 {
        return Vec::new();
    }
    let mut cuts = Vec::with_capacity(parts.saturating_sub(1) as usize);
    let mut rest = pieces.iter();
    let mut piece = rest.next();
    let mut before = 0.0;
    for step in 1..parts {
        let target = total * f64::from(step) / f64::from(parts);
        while let Some(now) = piece
            && before + now.mass < target
        {
            before += now.mass;
            piece = rest.next();
        }
        // Rounding may leave the last step a hair beyond the last piece.
        let Some(now) = piece.or(pieces.last()) else {
            break;
        };
        let share = if now.mass > 0.0 {
            (target - before) / now.mass
        } else {
            1.0
        };
        cuts.push(within(now.low, now.high, share));
    }
    cuts
}

/// The key at a share of the way from `low` to `high`; the share is turned into an integer first, so
/// that a key of 64 bits loses no digit to a float.
fn within(low: i128, high: i128, share: f64) -> i128 {
    const STEPS: f64 = 4_294_967_296.0;
    let steps = (share.clamp(0.0, 1.0) * STEPS) as i128;
    low + ((high - low) * steps + STEPS as i128 / 2) / STEPS as i128
}

/// Sampled values, and the share of NULLs in thousandths.
pub(super) fn split_nulls(sample: &[Option<i128>]) -> (Vec<i128>, u32) {
    let values: Vec<i128> = sample.iter().flatten().copied().collect();
    let nulls = (sample.len() - values.len()) * 1000;
    // At most 1000.
    let permille = nulls.checked_div(sample.len()).unwrap_or(0) as u32;
    (values, permille)
}

/// Cuts at equal counts of a sample's values.
pub(super) fn cut_sample(mut values: Vec<i128>, min: i128, max: i128, parts: u32) -> Vec<i128> {
    values.sort_unstable();
    let count = values.len();
    (1..parts as usize)
        .filter_map(|step| values.get(step * count / parts as usize))
        .map(|value| (*value).clamp(min, max))
        .collect()
}

/// How far storage order is key order, in thousandths: the correlation of each value's place with its
/// rank, as ANALYZE computes it. `None` for fewer than two values.
pub(super) fn correlation_permille(values: &[i128]) -> Option<i32> {
    let count = values.len();
    if count < 2 {
        return None;
    }
    let mut order: Vec<usize> = (0..count).collect();
    // Stable: equal values keep their storage order, which counts as sorted.
    order.sort_by_key(|place| values.get(*place));
    let mean = (count - 1) as f64 / 2.0;
    let mut covariance = 0.0;
    let mut variance = 0.0;
    for (rank, place) in order.iter().enumerate() {
        let (rank, place) = (rank as f64 - mean, *place as f64 - mean);
        covariance += rank * place;
        variance += place * place;
    }
    Some((covariance / variance * 1000.0).round() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_uniform_histogram_is_cut_evenly() {
        let histogram = Histogram::new((0..=10).map(|step| step * 100).collect(), Vec::new(), 0.0);
        assert_eq!(histogram.cut(0, 1000, Some(0.0), 4), [250, 500, 750]);
    }

    #[test]
    fn skew_moves_the_cuts() {
        // Half of the rows below 10.
        let histogram = Histogram::new(vec![0, 10, 1000], Vec::new(), 0.0);
        assert_eq!(histogram.cut(0, 1000, Some(0.0), 4), [5, 10, 505]);
    }

    #[test]
    fn a_frequent_value_takes_the_cuts_that_its_rows_take() {
        let histogram = Histogram::new(vec![0, 100], vec![(50, 0.7)], 0.0);
        let cuts = histogram.cut(0, 100, Some(0.0), 10);
        assert_eq!(cuts.iter().filter(|cut| **cut == 50).count(), 7, "{cuts:?}");
        assert_eq!(
            Histogram::new(Vec::new(), vec![(3, 0.5), (1, 0.5)], 0.0).cut(1, 3, None, 2),
            [1]
        );
    }

    #[test]
    fn growth_beyond_the_statistics_is_cut_too() {
        let histogram = Histogram::new(vec![0, 100], Vec::new(), 0.0);
        assert_eq!(histogram.cut(0, 200, Some(1.0), 4), [50, 100, 150]);
        // One stray key far away does not pull the cuts.
        let cuts = histogram.cut(0, i128::from(i64::MAX), Some(0.01), 4);
        assert!(cuts.iter().all(|cut| *cut <= 100), "{cuts:?}");
    }

    #[test]
    fn samples_are_cut_at_equal_counts() {
        assert_eq!(cut_sample(vec![4, 1, 3, 2], 1, 4, 2), [3]);
        assert!(cut_sample(Vec::new(), 0, 9, 4).is_empty());
        assert_eq!(
            split_nulls(&[Some(1), None, Some(2), None]),
            (vec![1, 2], 500)
        );
    }

    #[test]
    fn correlation_knows_order_from_disorder() {
        let ascending: Vec<i128> = (0..100).collect();
        assert_eq!(correlation_permille(&ascending), Some(1000));
        let descending: Vec<i128> = (0..100).rev().collect();
        assert_eq!(correlation_permille(&descending), Some(-1000));
        assert_eq!(correlation_permille(&[7]), None);
    }

    proptest! {
        #[test]
        fn cuts_ascend_and_stay_in_range(
            mut bounds in prop::collection::vec(any::<i64>(), 0..12),
            common in prop::collection::btree_map(any::<i64>(), 0.001f64..0.05, 0..10),
            ends in (any::<i64>(), any::<i64>()),
            growth in prop::option::of(0f64..3.0),
            parts in 1u32..40,
        ) {
            bounds.sort_unstable();
            let (min, max) = (i128::from(ends.0.min(ends.1)), i128::from(ends.0.max(ends.1)));
            let histogram = Histogram::new(
                bounds.into_iter().map(i128::from).collect(),
                common.into_iter().map(|(value, share)| (i128::from(value), share)).collect(),
                0.1,
            );
            let cuts = histogram.cut(min, max, growth, parts);
            prop_assert!(cuts.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", cuts);
            prop_assert!(cuts.iter().all(|cut| (min..=max).contains(cut)));
            prop_assert!(cuts.len() < parts as usize || parts == 0);
            let sample = cut_sample(cuts.clone(), min, max, parts);
            prop_assert!(sample.windows(2).all(|pair| pair[0] <= pair[1]));
        }
    }
}
