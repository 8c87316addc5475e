//! How a key's values are spread: from the statistics where they are, from a bounded sample where not.

use tokio_postgres::types::Type;

use super::super::Result;
use super::super::dialect::{quote_identifier, quote_relation};
use super::super::spread::{self, Histogram};
use super::Base;
use super::classify::Subject;
use super::connect::Link;
use super::ordered;
use super::statistics::{bounded, files, sample_clause};
use crate::model::{Key, KeyDensity, KeyValue, Origin, RelationKind, Table};

/// Rows of a sample at most: more than its blocks can hold of the narrowest table.
const SAMPLE_ROWS: u32 = 100_000;

/// The spread of a key in about `buckets` parts, and the correlation in thousandths.
pub(super) async fn density(
    base: &Base,
    table: &Table,
    key: &Key,
    buckets: u32,
) -> Result<(KeyDensity, Option<i32>)> {
    let link = base.link().await?;
    let subject = Subject::relation(base.connector.place(), &table.relation);
    if !key.is_integer() {
        return ordered::density(&link, &subject, table, key, buckets).await;
    }
    let (min, max) = ends(&link, &subject, table, key).await?;
    let known = statistics(&link, &subject, table, key).await?;
    let (Some(low), Some(high)) = (min, max) else {
        return Ok((nothing(key, known.as_ref()), None));
    };
    let density = |bounds: Vec<i128>, null_permille, origin| KeyDensity {
        min: Some(KeyValue::Int(low)),
        max: Some(KeyValue::Int(high)),
        bounds: bounds.into_iter().map(KeyValue::Int).collect(),
        null_permille,
        origin,
    };
    if let Some(known) = &known
        && known.histogram.is_usable()
    {
        let bounds = known.histogram.cut(low, high, known.growth, buckets);
        return Ok((
            density(bounds, known.null_permille, Origin::Catalogue),
            known.correlation_permille,
        ));
    }
    let sample = sample(&link, &subject, table, key).await?;
    let (values, null_permille) = spread::split_nulls(&sample);
    let correlation = (table.kind == RelationKind::Table)
        .then(|| spread::correlation_permille(&values))
        .flatten();
    let bounds = spread::cut_sample(values, low, high, buckets);
    let origin = if bounds.is_empty() {
        Origin::Unknown
    } else {
        Origin::Sample
    };
    Ok((density(bounds, null_permille, origin), correlation))
}

/// No key that is not NULL, or none that could be asked for in time.
fn nothing(key: &Key, known: Option<&Known>) -> KeyDensity {
    KeyDensity {
        min: None,
        max: None,
        bounds: Vec::new(),
        null_permille: match known {
            Some(known) => known.null_permille,
            None => 1000 * u32::from(key.nullable),
        },
        origin: Origin::Unknown,
    }
}

/// Smallest and largest key: one descent of the index each.
async fn ends(
    link: &Link,
    subject: &Subject,
    table: &Table,
    key: &Key,
) -> Result<(Option<i128>, Option<i128>)> {
    let column = quote_identifier(&key.column);
    let relation = quote_relation(&table.relation);
    let end = |order| {
        format!(
            "(SELECT {column} FROM {relation} WHERE {column} IS NOT NULL \
             ORDER BY {column} {order} LIMIT 1)"
        )
    };
    let sql = format!("SELECT {}, {}", end("ASC"), end("DESC"));
    let rows = bounded(link, subject, &sql).await?;
    let value = |index: usize| rows.first()?.get(index)?.as_deref()?.parse::<i128>().ok();
    Ok((value(0), value(1)))
}

/// What `pg_stats` knows of a key.
struct Known {
    histogram: Histogram,
    null_permille: u32,
    correlation_permille: Option<i32>,
    /// Share by which the table grew since it was analysed, where that is known.
    growth: Option<f64>,
}

async fn statistics(
    link: &Link,
    subject: &Subject,
    table: &Table,
    key: &Key,
) -> Result<Option<Known>> {
    let sql = "
        SELECT s.null_frac::float8, s.correlation::float8,
               s.most_common_vals::text::int8[], s.most_common_freqs::float8[],
               s.histogram_bounds::text::int8[],
               CASE WHEN c.reltuples > 0 THEN greatest(
                   t.n_mod_since_analyze / c.reltuples::float8,
                   pg_relation_size(c.oid) / current_setting('block_size')::float8
                       / nullif(c.relpages, 0) - 1, 0) END::float8
        FROM pg_stats s
        JOIN pg_class c ON c.oid = to_regclass($1)::oid
        LEFT JOIN pg_stat_all_tables t ON t.relid = c.oid
        WHERE s.schemaname = $2 AND s.tablename = $3 AND s.attname = $4 AND s.inherited = $5";
    let name = quote_relation(&table.relation);
    let partitioned = table.kind == RelationKind::Partitioned;
    let rows = link
        .ask(
            subject,
            sql,
            &[
                (&name, Type::TEXT),
                (&table.relation.schema, Type::TEXT),
                (&table.relation.name, Type::TEXT),
                (&key.column, Type::TEXT),
                (&partitioned, Type::BOOL),
            ],
        )
        .await?;
    Ok(rows.first().map(|row| {
        let null_frac: f64 = row.get(0);
        let correlation: Option<f64> = row.get(1);
        let values: Option<Vec<i64>> = row.get(2);
        let shares: Option<Vec<f64>> = row.get(3);
        let bounds: Option<Vec<i64>> = row.get(4);
        let common = values
            .unwrap_or_default()
            .into_iter()
            .map(i128::from)
            .zip(shares.unwrap_or_default());
        Known {
            histogram: Histogram::new(
                bounds
                    .unwrap_or_default()
                    .into_iter()
                    .map(i128::from)
                    .collect(),
                common.collect(),
                null_frac,
            ),
            // Shares are between 0 and 1, correlations between −1 and 1.
            null_permille: (null_frac * 1000.0).round() as u32,
            correlation_permille: correlation.map(|value| (value * 1000.0).round() as i32),
            growth: if partitioned { None } else { row.get(5) },
        }
    }))
}

/// Key values of some blocks, in storage order, NULLs included.
async fn sample(
    link: &Link,
    subject: &Subject,
    table: &Table,
    key: &Key,
) -> Result<Vec<Option<i128>>> {
    let blocks = files(link, subject, table).await?.blocks;
    let sql = format!(
        "SELECT {} FROM {}{} LIMIT {SAMPLE_ROWS}",
        quote_identifier(&key.column),
        quote_relation(&table.relation),
        sample_clause(blocks)
    );
    let rows = bounded(link, subject, &sql).await?;
    let value = |row: &Vec<Option<String>>| row.first()?.as_deref()?.parse().ok();
    Ok(rows.iter().map(value).collect())
}
