//! How the values of keys are spread that only the server can order: it sorts, in the column's own
//! collation, what its statistics or a bounded sample hold, and says which values it takes for equal.

use super::super::Result;
use super::super::dialect::{Dialect, quote_identifier, quote_literal, quote_relation};
use super::classify::Subject;
use super::connect::Link;
use super::keys::kind;
use super::statistics::{bounded, files, sample_clause};
use crate::model::{Key, KeyDensity, KeyOrder, KeyValue, Origin, RelationKind, Table};

/// Rows of a sample at most: more than its blocks can hold of the narrowest table.
const SAMPLE_ROWS: u32 = 100_000;

/// Longer values are no bounds: a plan would hold them all. ANALYZE draws the same line.
const LONGEST_BOUND: u32 = 1024;

/// Statistics of a table that has changed by a larger share since are set aside for a sample.
const STALE: f64 = 0.2;

/// The spread of a key in about `parts` parts, and the correlation in thousandths.
pub(super) async fn density(
    link: &Link,
    subject: &Subject,
    table: &Table,
    key: &Key,
    parts: u32,
) -> Result<(KeyDensity, Option<i32>)> {
    let question = Question { table, key, parts };
    let (min, max) = question.ends(link, subject).await?;
    let known = question.statistics(link, subject).await?;
    let enough = |found: &Found| !found.stale && 3 * found.distinct() >= parts as usize;
    let found = match known {
        Some(known) if min.is_none() || enough(&known) => known,
        known => {
            let sample = match min {
                Some(_) => question.sample(link, subject).await?,
                None => None,
            };
            better(known, sample).unwrap_or_else(|| Found::nothing(key.nullable && min.is_none()))
        }
    };
    let bounds = if min.is_some() {
        found.bounds
    } else {
        Vec::new()
    };
    let origin = if bounds.is_empty() {
        Origin::Unknown
    } else {
        found.origin
    };
    let density = KeyDensity {
        min,
        max,
        bounds,
        null_permille: found.null_permille,
        origin,
    };
    Ok((density, found.correlation_permille))
}

/// What is known of a key's values.
struct Found {
    bounds: Vec<KeyValue>,
    null_permille: u32,
    correlation_permille: Option<i32>,
    origin: Origin,
    /// The table has changed much since.
    stale: bool,
}

impl Found {
    fn nothing(all_null: bool) -> Self {
        Self {
            bounds: Vec::new(),
            null_permille: 1000 * u32::from(all_null),
            correlation_permille: None,
            origin: Origin::Unknown,
            stale: true,
        }
    }

    fn distinct(&self) -> usize {
        self.bounds.chunk_by(|one, next| one == next).count()
    }
}

/// A sample tells of now; statistics may tell of more rows than a sample reads.
fn better(known: Option<Found>, sample: Option<Found>) -> Option<Found> {
    match (known, sample) {
        (Some(known), Some(sample)) => {
            let keep = !known.stale && known.distinct() >= sample.distinct();
            let unread = sample.bounds.is_empty() && !known.bounds.is_empty();
            Some(if keep || unread { known } else { sample })
        }
        (known, sample) => sample.or(known),
    }
}

/// What is asked of which key.
struct Question<'a> {
    table: &'a Table,
    key: &'a Key,
    parts: u32,
}

impl Question<'_> {
    fn columns(&self) -> Vec<String> {
        self.key
            .columns()
            .map(|(name, _)| quote_identifier(name))
            .collect()
    }

    /// `"a"::text, "b"::text`, in the order of the key.
    fn texts(&self) -> String {
        let texts: Vec<String> = self
            .columns()
            .iter()
            .map(|column| format!("{column}::text"))
            .collect();
        texts.join(", ")
    }

    /// `k1, k2, …`: the key's columns inside our statements.
    fn names(&self) -> Vec<String> {
        (1..=self.key.rest.len() + 1)
            .map(|place| format!("k{place}"))
            .collect()
    }

    /// A value from one text a column.
    fn value(&self, texts: &[Option<String>]) -> Option<KeyValue> {
        let parts: Option<Vec<KeyValue>> = self
            .key
            .columns()
            .zip(texts)
            .map(|((_, order), text)| {
                let text = text.as_deref()?;
                match order {
                    KeyOrder::Integer => text.parse().ok().map(KeyValue::Int),
                    order => Some(KeyValue::typed(kind(order), text)),
                }
            })
            .collect();
        let mut parts = parts?;
        if self.key.rest.is_empty() {
            parts.pop()
        } else {
            Some(KeyValue::Tuple(parts))
        }
    }

    /// Smallest and largest key: one descent of the index each.
    async fn ends(
        &self,
        link: &Link,
        subject: &Subject,
    ) -> Result<(Option<KeyValue>, Option<KeyValue>)> {
        // Told from the texts that are selected, whose order is another, by the table's name.
        let columns: Vec<String> = self
            .columns()
            .iter()
            .map(|name| format!("t.{name}"))
            .collect();
        let relation = quote_relation(&self.table.relation);
        let end = |side: &str, order: &str| {
            format!(
                "(SELECT '{side}', {} FROM {relation} t WHERE {} IS NOT NULL ORDER BY {} LIMIT 1)",
                self.texts(),
                columns[0],
                columns
                    .iter()
                    .map(|column| format!("{column} {order}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            )
        };
        let sql = format!("{} UNION ALL {}", end("min", "ASC"), end("max", "DESC"));
        let rows = bounded(link, subject, &sql).await?;
        let value = |side: &str| {
            let row = rows
                .iter()
                .find(|row| row.first().and_then(Option::as_deref) == Some(side))?;
            self.value(row.get(1..)?)
        };
        Ok((value("min"), value("max")))
    }

    /// What `pg_stats` knows of a key of one column: there are none of several.
    async fn statistics(&self, link: &Link, subject: &Subject) -> Result<Option<Found>> {
        let KeyOrder::Server {
            cast: Some(cast),
            collation,
            ..
        } = &self.key.order
        else {
            return Ok(None);
        };
        if !self.key.rest.is_empty() {
            return Ok(None);
        }
        let literal = |text: &str| quote_literal(Dialect::PostgreSql, text);
        let relation = &self.table.relation;
        let collate = collation
            .as_ref()
            .map_or_else(String::new, |collation| format!(" COLLATE {collation}"));
        // Cast by type, not read as any array: the server can then sort them.
        let sql = format!(
            "WITH s AS MATERIALIZED (
               SELECT s.null_frac::float8, s.correlation::float8, s.histogram_bounds::text::{cast}[] AS bounds,
                      s.most_common_vals::text::{cast}[] AS common, s.most_common_freqs::float8[] AS shares,
                      CASE WHEN c.reltuples > 0 THEN greatest(
                        t.n_mod_since_analyze / c.reltuples::float8,
                        pg_relation_size(c.oid) / current_setting('block_size')::float8
                          / nullif(c.relpages, 0) - 1) END AS growth
               FROM pg_stats s JOIN pg_class c ON c.oid = to_regclass({name})::oid
               LEFT JOIN pg_stat_all_tables t ON t.relid = c.oid
               WHERE s.schemaname = {schema} AND s.tablename = {table} AND s.attname = {column}
                 AND s.inherited = {inherited}),
             v AS (
               SELECT u.v, NULL::float8 AS share FROM s, unnest(s.bounds) u(v)
               UNION ALL
               SELECT u.v, u.share FROM s, unnest(s.common, s.shares) u(v, share))
             SELECT s.null_frac, s.correlation, s.growth, v.v::text, v.share,
                    dense_rank() OVER (ORDER BY v.v{collate})
             FROM s LEFT JOIN v ON true ORDER BY v.v{collate}, v.v::text COLLATE \"C\", v.share",
            name = literal(&quote_relation(relation)),
            schema = literal(&relation.schema),
            table = literal(&relation.name),
            column = literal(&self.key.column),
            inherited = self.table.kind == RelationKind::Partitioned,
        );
        let rows = bounded(link, subject, &sql).await?;
        Ok(rows.first().map(|first| {
            let null_share = number(first, 0).unwrap_or(0.0);
            let points = points(&rows);
            Found {
                bounds: self.spelt_alike(
                    equal_parts(&points, 1.0 - null_share, self.parts)
                        .into_iter()
                        .map(|point| (point.rank, vec![Some(point.text.clone())])),
                ),
                // Shares are between 0 and 1, correlations between −1 and 1.
                null_permille: (null_share * 1000.0).round() as u32,
                correlation_permille: number(first, 1).map(|value| (value * 1000.0).round() as i32),
                origin: Origin::Catalogue,
                stale: number(first, 2).is_some_and(|growth| growth > STALE),
            }
        }))
    }

    /// Cuts of a sample of some blocks, made by the server.
    async fn sample(&self, link: &Link, subject: &Subject) -> Result<Option<Found>> {
        let blocks = files(link, subject, self.table).await?.blocks;
        let names = self.names();
        let selected: Vec<String> = self
            .columns()
            .iter()
            .zip(&names)
            .map(|(column, name)| format!("{column} AS {name}"))
            .collect();
        let narrow: Vec<String> = names
            .iter()
            .map(|name| format!("octet_length({name}::text) <= {LONGEST_BOUND}"))
            .collect();
        let texts: Vec<String> = names
            .iter()
            .map(|name| format!("{name}::text AS {name}"))
            .collect();
        let (by, parts) = (names.join(", "), self.parts);
        let sql = format!(
            "WITH sample AS MATERIALIZED (
               SELECT {selected} FROM {relation}{clause} LIMIT {SAMPLE_ROWS}),
             placed AS (
               SELECT *, row_number() OVER () AS place FROM sample WHERE {narrow}),
             ranked AS MATERIALIZED (
               SELECT {texts}, place, dense_rank() OVER (ORDER BY {by}) AS rank,
                      row_number() OVER (ORDER BY {by}, place) - 1 AS n, count(*) OVER () AS total
               FROM placed),
             known AS (
               SELECT (SELECT (count(*) FILTER (WHERE k1 IS NULL))::float8 / greatest(count(*), 1)
                       FROM sample) AS nulls,
                      (SELECT corr(place, n) FROM ranked) AS correlation)
             SELECT known.nulls, known.correlation, b.rank, {bounds}
             FROM known LEFT JOIN ranked b
               ON b.n * {parts} / b.total > (b.n - 1) * {parts} / b.total AND b.n > 0
             ORDER BY b.n",
            selected = selected.join(", "),
            relation = quote_relation(&self.table.relation),
            clause = sample_clause(blocks),
            narrow = narrow.join(" AND "),
            texts = texts.join(", "),
            bounds = names
                .iter()
                .map(|name| format!("b.{name}"))
                .collect::<Vec<_>>()
                .join(", "),
        );
        let rows = bounded(link, subject, &sql).await?;
        let stored_in_order = self.table.kind == RelationKind::Table;
        Ok(rows.first().map(|first| Found {
            bounds: self.spelt_alike(rows.iter().filter_map(|row| {
                let rank = row.get(2)?.as_deref()?.parse().ok()?;
                Some((rank, row.get(3..)?.to_vec()))
            })),
            null_permille: number(first, 0).map_or(0, |share| (share * 1000.0).round() as u32),
            correlation_permille: number(first, 1)
                .filter(|_| stored_in_order)
                .map(|value| (value * 1000.0).round() as i32),
            origin: Origin::Sample,
            stale: false,
        }))
    }

    /// Ascending bounds, those of one rank, which the server holds equal, as the same value. Two of
    /// different ranks that print alike are taken for one, too.
    fn spelt_alike(
        &self,
        bounds: impl Iterator<Item = (u64, Vec<Option<String>>)>,
    ) -> Vec<KeyValue> {
        let mut spelt: Vec<KeyValue> = Vec::new();
        let mut last = None;
        for (rank, texts) in bounds {
            match (spelt.last(), last == Some(rank)) {
                (Some(same), true) => spelt.push(same.clone()),
                _ => spelt.extend(self.value(&texts)),
            }
            last = Some(rank);
        }
        spelt
    }
}

fn number(row: &[Option<String>], index: usize) -> Option<f64> {
    row.get(index)?.as_deref()?.parse().ok()
}

/// A value of the statistics.
#[derive(Clone, Debug, PartialEq)]
struct Point {
    text: String,
    /// Its place among the values in the server's order; equal for equal values.
    rank: u64,
    /// Share of the rows that lie on it.
    on: f64,
    /// Whether a bucket of the histogram begins or ends with it.
    edge: bool,
}

/// The statistics' values in the server's order: a share makes a frequent value, none a bound.
fn points(rows: &[Vec<Option<String>>]) -> Vec<Point> {
    rows.iter()
        .filter_map(|row| {
            let share = number(row, 4);
            Some(Point {
                text: row.get(3)?.clone()?,
                rank: row.get(5)?.as_deref()?.parse().ok()?,
                on: share.unwrap_or(0.0),
                edge: share.is_none(),
            })
        })
        .collect()
}

/// For each of `parts − 1` equal steps of the rows the point next to it, ascending: the point itself
/// where the step falls on a frequent value's rows. `total` is the share of rows that are not NULL.
fn equal_parts(points: &[Point], total: f64, parts: u32) -> Vec<&Point> {
    let frequent: f64 = points.iter().map(|point| point.on).sum();
    let edges: Vec<usize> = (0..points.len()).filter(|at| points[*at].edge).collect();
    // Nothing lies between the points where every value is a frequent one.
    let bucket = (total - frequent).max(0.0) / edges.len().saturating_sub(1).max(1) as f64;
    // The share of rows between each point and the next.
    let mut after = vec![0.0; points.len()];
    for pair in edges.windows(2) {
        after[pair[0]..pair[1]].fill(bucket / (pair[1] - pair[0]) as f64);
    }
    let all = frequent + after.iter().sum::<f64>();
    let mut places = points.iter().zip(&after).peekable();
    let mut below = 0.0;
    let mut chosen = Vec::with_capacity(parts.saturating_sub(1) as usize);
    for step in 1..parts {
        let target = all * f64::from(step) / f64::from(parts);
        while let Some((point, gap)) =
            places.next_if(|(point, gap)| below + point.on + **gap < target)
        {
            below += point.on + gap;
        }
        let mut ahead = places.clone();
        let Some((point, gap)) = ahead.next().or(points.last().zip(after.last())) else {
            break;
        };
        let next = ahead.next().map(|(next, _)| next);
        let beyond = target - below - point.on;
        chosen.push(next.filter(|_| beyond > gap / 2.0).unwrap_or(point));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn edge(rank: u64) -> Point {
        Point {
            text: rank.to_string(),
            rank,
            on: 0.0,
            edge: true,
        }
    }

    fn frequent(rank: u64, on: f64) -> Point {
        Point {
            on,
            edge: false,
            ..edge(rank)
        }
    }

    fn ranks(points: &[Point], parts: u32) -> Vec<u64> {
        equal_parts(points, 1.0, parts)
            .iter()
            .map(|point| point.rank)
            .collect()
    }

    #[test]
    fn a_histogram_is_cut_at_its_edges() {
        let points: Vec<Point> = (0..=10).map(edge).collect();
        assert_eq!(ranks(&points, 10), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(ranks(&points, 5), [2, 4, 6, 8]);
        assert!(ranks(&points, 1).is_empty());
        assert!(ranks(&[], 5).is_empty());
    }

    #[test]
    fn a_frequent_value_takes_the_steps_that_its_rows_take() {
        let points = [edge(1), frequent(2, 0.6), edge(3)];
        assert_eq!(ranks(&points, 5), [2, 2, 2, 2]);
        let only = [frequent(1, 0.5), frequent(2, 0.25), frequent(3, 0.25)];
        assert_eq!(ranks(&only, 8), [1, 1, 1, 1, 2, 2, 3]);
    }

    #[test]
    fn what_changed_much_gives_way_to_a_sample() {
        let found = |count: u64, stale, origin| {
            let bounds = (0..count).map(|word| KeyValue::typed("text", word.to_string()));
            Some(Found {
                bounds: bounds.collect(),
                stale,
                origin,
                ..Found::nothing(false)
            })
        };
        let chosen = |known, sample| better(known, sample).map(|found| found.origin);
        let known = |count, stale| found(count, stale, Origin::Catalogue);
        let sample = |count| found(count, false, Origin::Sample);
        assert_eq!(chosen(known(9, false), sample(9)), Some(Origin::Catalogue));
        assert_eq!(chosen(known(9, false), sample(10)), Some(Origin::Sample));
        assert_eq!(chosen(known(99, true), sample(2)), Some(Origin::Sample));
        assert_eq!(chosen(known(9, true), sample(0)), Some(Origin::Catalogue));
        assert_eq!(chosen(known(9, true), None), Some(Origin::Catalogue));
        assert_eq!(chosen(None, None), None);
    }

    proptest! {
        #[test]
        fn steps_ascend(
            kinds in proptest::collection::vec(proptest::option::of(0.0f64..0.1), 0..40),
            parts in 1u32..300,
        ) {
            let points: Vec<Point> = kinds
                .into_iter()
                .zip(0..)
                .map(|(share, rank)| share.map_or_else(|| edge(rank), |on| frequent(rank, on)))
                .collect();
            let ranks = ranks(&points, parts);
            prop_assert!(ranks.is_sorted(), "{:?}", ranks);
            prop_assert!(points.is_empty() || ranks.len() == parts as usize - 1);
        }
    }
}
