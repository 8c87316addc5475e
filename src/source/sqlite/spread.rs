//! How a table's integer keys are spread, from a bounded number of probes into its b-tree.

use rusqlite::{Connection, Statement, params};

use super::sql;
use crate::model::{Key, KeyDensity, KeyValue, Origin, Relation};

/// A table of no more rows than this is looked at key by key.
const FEW: usize = 8192;
/// Even stretches that the key range is cut into at first.
const EVEN: i128 = 64;
/// Further probes, each of which cuts the stretch with the most unseen rows in two.
const REFINEMENTS: usize = 64;
/// Keys read from each end of a stretch.
const READ: usize = 32;

/// What the probes found.
#[derive(Debug)]
pub(super) enum Spread {
    /// Every key, ascending.
    Exact(Vec<i64>),
    /// Stretches of keys with estimated rows, ascending.
    Sampled(Vec<Stretch>),
}

/// Keys from `first` to `last`, both of which exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    first: i64,
    last: i64,
    /// Rows, seen and estimated.
    rows: u128,
    /// Of them, those that nobody looked at.
    unseen: u128,
}

impl Stretch {
    fn width(&self) -> u128 {
        width(self.first, self.last)
    }
}

/// How many integers there are from `first` to `last`.
fn width(first: i64, last: i64) -> u128 {
    (i128::from(last) - i128::from(first) + 1).unsigned_abs()
}

impl Spread {
    /// Probes a key: at most some thousand keys are read, whatever the table's size.
    pub(super) fn probe(
        connection: &Connection,
        relation: &Relation,
        key: &Key,
    ) -> rusqlite::Result<Self> {
        let mut probe = Probe::new(connection, relation, key)?;
        let few = probe.read_up(i64::MIN, i64::MAX, FEW + 1)?;
        let Some(&min) = few.first().filter(|_| few.len() > FEW) else {
            return Ok(Self::Exact(few));
        };
        let max = probe
            .read_down(i64::MIN, i64::MAX, 1)?
            .first()
            .copied()
            .unwrap_or(min);
        let mut stretches = Vec::new();
        for (from, to) in even_cuts(min, max) {
            stretches.extend(probe.stretch(from, to)?);
        }
        for _ in 0..REFINEMENTS {
            let most = (0..stretches.len()).max_by_key(|&at| stretches[at].unseen);
            let Some(at) = most.filter(|&at| stretches[at].unseen > 0) else {
                break;
            };
            let Stretch { first, last, .. } = stretches[at];
            let middle = midpoint(first, last);
            let halves = [
                probe.stretch(first, middle)?,
                probe.stretch(middle.saturating_add(1), last)?,
            ];
            stretches.splice(at..=at, halves.into_iter().flatten());
        }
        Ok(Self::Sampled(stretches))
    }

    /// Rows of the table and where the number comes from.
    pub(super) fn rows(&self) -> (u64, Origin) {
        match self {
            Self::Exact(keys) => (keys.len() as u64, Origin::Exact),
            Self::Sampled(stretches) => {
                let rows: u128 = stretches.iter().map(|stretch| stretch.rows).sum();
                (u64::try_from(rows).unwrap_or(u64::MAX), Origin::Sample)
            }
        }
    }

    /// About `count` keys, evenly spread over the rows, to look at rows from.
    pub(super) fn landmarks(&self, count: usize) -> Vec<i64> {
        match self {
            Self::Exact(keys) => keys
                .iter()
                .step_by(keys.len().div_ceil(count).max(1))
                .copied()
                .collect(),
            Self::Sampled(stretches) => stretches
                .iter()
                .step_by(stretches.len().div_ceil(count).max(1))
                .map(|stretch| stretch.first)
                .collect(),
        }
    }

    /// The spread as `buckets` parts of equal estimated rows.
    pub(super) fn density(&self, buckets: u32) -> KeyDensity {
        let int = |key: i64| KeyValue::Int(i128::from(key));
        let (ends, bounds, origin) = match self {
            Self::Exact(keys) => (
                keys.first().copied().zip(keys.last().copied()),
                quantiles(keys, buckets),
                Origin::Exact,
            ),
            Self::Sampled(stretches) => (
                stretches
                    .first()
                    .map(|stretch| stretch.first)
                    .zip(stretches.last().map(|stretch| stretch.last)),
                estimated_quantiles(stretches, buckets),
                Origin::Sample,
            ),
        };
        KeyDensity {
            min: ends.map(|(min, _)| int(min)),
            max: ends.map(|(_, max)| int(max)),
            bounds: bounds.into_iter().map(int).collect(),
            null_permille: 0,
            origin,
        }
    }
}

/// Cuts `min..=max` into even pieces, both ends of each inside.
fn even_cuts(min: i64, max: i64) -> impl Iterator<Item = (i64, i64)> {
    let low = i128::from(min);
    let wide = i128::from(max) - low + 1;
    let cut = move |at: i128| low + wide * at / EVEN;
    (0..EVEN)
        .map(move |at| (cut(at), cut(at + 1) - 1))
        .filter(|(from, to)| from <= to)
        // Every cut lies between min and max, so neither conversion can fail.
        .filter_map(|(from, to)| Some((i64::try_from(from).ok()?, i64::try_from(to).ok()?)))
}

fn midpoint(first: i64, last: i64) -> i64 {
    // Of two i64 the mean is one, too.
    i64::try_from((i128::from(first) + i128::from(last)).div_euclid(2)).unwrap_or(first)
}

/// The keys at which parts of equal size begin, the first part's left out.
fn quantiles(keys: &[i64], buckets: u32) -> Vec<i64> {
    let count = keys.len() as u128;
    (1..u128::from(buckets))
        .filter_map(|part| {
            let at = part * count / u128::from(buckets);
            usize::try_from(at)
                .ok()
                .and_then(|at| keys.get(at))
                .copied()
        })
        .collect()
}

fn estimated_quantiles(stretches: &[Stretch], buckets: u32) -> Vec<i64> {
    let total: u128 = stretches.iter().map(|stretch| stretch.rows).sum();
    let mut bounds = Vec::new();
    let mut part = 1;
    let mut before = 0;
    for stretch in stretches {
        while part < u128::from(buckets) {
            let target = part * total / u128::from(buckets);
            if target >= before + stretch.rows {
                break;
            }
            // Rows never outnumber keys, so the product of two 64-bit widths fits.
            let ahead = stretch.width() * (target - before) / stretch.rows;
            let bound = i128::from(stretch.first) + ahead.cast_signed();
            bounds.push(i64::try_from(bound).unwrap_or(stretch.last));
            part += 1;
        }
        before += stretch.rows;
    }
    bounds
}

/// The prepared look-ups.
struct Probe<'c> {
    up: Statement<'c>,
    down: Statement<'c>,
}

impl<'c> Probe<'c> {
    fn new(connection: &'c Connection, relation: &Relation, key: &Key) -> rusqlite::Result<Self> {
        let column = sql::quote(&key.column);
        let from = sql::qualified(relation);
        let text = |order: &str| {
            format!(
                "SELECT {column} FROM {from} NOT INDEXED WHERE {column} BETWEEN ?1 AND ?2 \
                 ORDER BY {column} {order} LIMIT ?3"
            )
        };
        Ok(Self {
            up: connection.prepare(&text("ASC"))?,
            down: connection.prepare(&text("DESC"))?,
        })
    }

    fn read_up(&mut self, from: i64, to: i64, limit: usize) -> rusqlite::Result<Vec<i64>> {
        read(&mut self.up, from, to, limit)
    }

    fn read_down(&mut self, from: i64, to: i64, limit: usize) -> rusqlite::Result<Vec<i64>> {
        read(&mut self.down, from, to, limit)
    }

    /// The keys in `from..=to` as a stretch, looked at from both ends; `None` when there are none.
    fn stretch(&mut self, from: i64, to: i64) -> rusqlite::Result<Option<Stretch>> {
        let up = self.read_up(from, to, READ)?;
        let (Some(&first), Some(&up_end)) = (up.first(), up.last()) else {
            return Ok(None);
        };
        let exact = |last, rows: usize| Stretch {
            first,
            last,
            rows: rows as u128,
            unseen: 0,
        };
        if up.len() < READ {
            return Ok(Some(exact(up_end, up.len())));
        }
        let down = self.read_down(from, to, READ)?;
        let (Some(&last), Some(&down_end)) = (down.first(), down.last()) else {
            return Ok(Some(exact(up_end, up.len())));
        };
        if down_end <= up_end {
            let beyond = down.iter().filter(|key| **key > up_end).count();
            return Ok(Some(exact(last, up.len() + beyond)));
        }
        // Between the two samples the mean of their densities is assumed. The mean errs upward,
        // and the stretch with the most assumed rows is the next to be cut and looked into.
        let between = width(up_end, down_end) - 2;
        let read = READ as u128;
        let unseen =
            (between * read / width(first, up_end) + between * read / width(down_end, last)) / 2;
        Ok(Some(Stretch {
            first,
            last,
            rows: 2 * read + unseen,
            unseen,
        }))
    }
}

fn read(
    statement: &mut Statement<'_>,
    from: i64,
    to: i64,
    limit: usize,
) -> rusqlite::Result<Vec<i64>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    statement
        .query_map(params![from, to, limit], |row| row.get(0))?
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key() -> Key {
        Key {
            column: "k".to_owned(),
            source_type: "INTEGER".to_owned(),
            primary: true,
            unique: true,
            nullable: false,
            order: crate::model::KeyOrder::Integer,
            rest: Vec::new(),
        }
    }

    fn probe(fill: &str) -> Spread {
        let connection = Connection::open_in_memory().unwrap();
        connection
            .execute_batch(&format!("CREATE TABLE t (k INTEGER PRIMARY KEY); {fill}"))
            .unwrap();
        let relation = Relation {
            schema: "main".to_owned(),
            name: "t".to_owned(),
        };
        Spread::probe(&connection, &relation, &key()).unwrap()
    }

    fn series(rows: u64, key: &str) -> String {
        format!(
            "INSERT INTO t WITH RECURSIVE s(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i + 1 < {rows}) SELECT {key} FROM s;"
        )
    }

    fn within(spread: &Spread, rows: u64, percent: u64) {
        let (found, _) = spread.rows();
        let off = found.abs_diff(rows);
        assert!(off <= rows * percent / 100, "{found} for {rows}");
    }

    fn ascending(bounds: &[KeyValue]) -> bool {
        bounds.windows(2).all(|pair| pair[0] <= pair[1])
    }

    #[test]
    fn small_tables_are_exact_at_the_edges_of_64_bits() {
        let spread =
            probe("INSERT INTO t VALUES (-9223372036854775808), (-1), (0), (9223372036854775807);");
        assert_eq!(spread.rows(), (4, Origin::Exact));
        let density = spread.density(4);
        assert_eq!(density.min, Some(KeyValue::Int(i128::from(i64::MIN))));
        assert_eq!(density.max, Some(KeyValue::Int(i128::from(i64::MAX))));
        let bounds: Vec<KeyValue> = [-1, 0, i128::from(i64::MAX)].map(KeyValue::Int).into();
        assert_eq!(density.bounds, bounds);
        assert_eq!(probe("").density(4).min, None);
        assert!(probe("").density(4).bounds.is_empty());
    }

    #[test]
    fn dense_keys_are_estimated_well() {
        let spread = probe(&series(50_000, "i - 25000"));
        assert_eq!(spread.rows().1, Origin::Sample);
        within(&spread, 50_000, 1);
        let density = spread.density(10);
        assert_eq!(density.bounds.len(), 9);
        assert!(ascending(&density.bounds));
        let middle = density.bounds[4].as_int().unwrap();
        assert!(middle.abs() < 500, "{middle}");
    }

    #[test]
    fn two_far_clusters_are_not_taken_for_one_range() {
        let far = "CASE WHEN i % 2 = 0 THEN i ELSE 1000000000000 + i END";
        let spread = probe(&series(40_000, far));
        within(&spread, 40_000, 10);
        let density = spread.density(4);
        let below = density
            .bounds
            .iter()
            .filter(|bound| **bound < KeyValue::Int(500_000_000_000))
            .count();
        assert!((1..=2).contains(&below), "{:?}", density.bounds);
    }

    #[test]
    fn clusters_at_both_edges_of_64_bits_do_not_overflow() {
        let edges =
            "CASE WHEN i % 2 = 0 THEN -9223372036854775808 + i ELSE 9223372036854775807 - i END";
        let spread = probe(&series(40_000, edges));
        within(&spread, 40_000, 10);
        assert!(ascending(&spread.density(16).bounds));
    }

    #[test]
    fn gaps_are_seen() {
        let spread = probe(&series(40_000, "i * 1000 + abs(random() % 900)"));
        within(&spread, 40_000, 15);
    }

    #[test]
    fn even_cuts_tile_the_range() {
        let cuts: Vec<(i64, i64)> = even_cuts(i64::MIN, i64::MAX).collect();
        assert_eq!(cuts.len(), 64);
        assert_eq!(cuts[0].0, i64::MIN);
        assert_eq!(cuts[63].1, i64::MAX);
        assert!(cuts.windows(2).all(|pair| pair[0].1 + 1 == pair[1].0));
        assert_eq!(even_cuts(5, 5).collect::<Vec<_>>(), [(5, 5)]);
    }

    proptest! {
        #[test]
        fn estimated_bounds_ascend_and_lie_inside(
            parts in proptest::collection::vec((1_u64..1000, 0_u64..1000, 1_u64..u64::MAX / 64), 1..20),
            buckets in 1_u32..50,
        ) {
            let mut stretches = Vec::new();
            let mut at = i128::from(i64::MIN);
            for (rows, gap, wide) in parts {
                let wide = i128::from(wide.max(rows));
                let last = at + wide - 1;
                if last > i128::from(i64::MAX) { break; }
                stretches.push(Stretch { first: at as i64, last: last as i64, rows: u128::from(rows), unseen: 0 });
                at = last + 1 + i128::from(gap);
                if at > i128::from(i64::MAX) { break; }
            }
            let bounds = estimated_quantiles(&stretches, buckets);
            prop_assert_eq!(bounds.len() as u32, buckets - 1);
            prop_assert!(bounds.windows(2).all(|pair| pair[0] <= pair[1]));
            let ends = (stretches[0].first, stretches[stretches.len() - 1].last);
            prop_assert!(bounds.iter().all(|bound| (ends.0..=ends.1).contains(bound)));
        }
    }
}
