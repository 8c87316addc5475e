//! How a key's values are spread: by the server's own estimates of rows between two keys, which are
//! dives into the index and read a few pages each, or by all keys where they are few. Never by a scan.
//!
//! Histograms are not read. Neither server keeps one of a column that has a unique index to itself (MySQL
//! refuses to make it, MariaDB leaves it out), which most keys have; and of others it has some hundred steps
//! as old as the last `ANALYZE`, where a dive counts the index's own pages. 200 000 rows heaped up at one end
//! of a date were cut into 21 chunks by dives, of which the largest was within 1 % of the mean.

use super::super::Result;
use super::super::spread::{Piece, quantiles};
use super::Base;
use super::axis::Axis;
use super::classify::Subject;
use super::connect::Link;
use super::sql::{self, quote_identifier, quote_relation};
use super::statistics::{bounded, explained};
use crate::model::{ChunkBounds, Key, KeyDensity, KeyOrder, KeyRange, KeyValue, Origin, Table};

/// Keys that are all looked at, at most.
const FEW: u32 = 20_000;

/// Ranges of one question.
const RANGES: usize = 64;

/// Ranges that are asked for in all, about.
const MOST_RANGES: usize = 1024;

/// Times that heavy ranges are divided.
const ROUNDS: usize = 4;

/// InnoDB stores rows in the order of their primary key.
const STORED_IN_ORDER: i32 = 1000;

/// The spread of a key in about `parts` parts, and the correlation in thousandths.
pub(super) async fn density(
    base: &Base,
    table: &Table,
    key: &Key,
    parts: u32,
) -> Result<(KeyDensity, Option<i32>)> {
    let mut link = base.link().await?;
    let subject = Subject::of(base.connector.account(), &table.relation, None);
    let mut question = Question {
        link: &mut link,
        subject,
        table,
        key,
    };
    let density = question.density(parts).await?;
    Ok((density, key.primary.then_some(STORED_IN_ORDER)))
}

/// What is asked of which key.
pub(super) struct Question<'a> {
    pub(super) link: &'a mut Link,
    pub(super) subject: Subject,
    table: &'a Table,
    pub(super) key: &'a Key,
}

impl Question<'_> {
    async fn density(&mut self, parts: u32) -> Result<KeyDensity> {
        let low = self.end("ASC").await?;
        let high = self.end("DESC").await?;
        let (Some(low), Some(high)) = (low, high) else {
            return Ok(KeyDensity {
                min: None,
                max: None,
                bounds: Vec::new(),
                null_permille: 1000 * u32::from(self.key.nullable),
                origin: Origin::Unknown,
            });
        };
        let bounds = match self.all_keys(parts).await? {
            Some(bounds) => bounds,
            None => match Axis::of(self.key, &low, &high) {
                Some(axis) => self.dive(&axis, &low, &high, parts).await?,
                None => self.probe(&low, &high, parts).await?,
            },
        };
        let bounds = self.spelt_alike(bounds).await?;
        let origin = if bounds.is_empty() {
            Origin::Unknown
        } else {
            Origin::Sample
        };
        Ok(KeyDensity {
            null_permille: self.null_permille().await?,
            min: Some(low),
            max: Some(high),
            bounds,
            origin,
        })
    }

    /// The key's columns as texts that bounds are made of.
    pub(super) fn shown(&self) -> Vec<String> {
        let columns = self.key.columns();
        columns
            .map(|(name, order)| match order {
                KeyOrder::Server {
                    cast: Some(cast), ..
                } if cast == "binary" => format!("HEX({})", quote_identifier(name)),
                _ => quote_identifier(name),
            })
            .collect()
    }

    pub(super) fn by(&self, direction: &str) -> String {
        let columns = self.key.columns();
        let terms: Vec<String> = columns
            .map(|(name, _)| format!("{} {direction}", quote_identifier(name)))
            .collect();
        terms.join(", ")
    }

    pub(super) fn value(&self, texts: &[Option<String>]) -> Option<KeyValue> {
        let pairs = self.key.columns().zip(texts);
        let parts: Option<Vec<KeyValue>> = pairs
            .map(|((_, order), text)| {
                let text = text.as_deref()?;
                match order {
                    KeyOrder::Integer => text.parse().ok().map(KeyValue::Int),
                    KeyOrder::Server { cast, .. } => Some(KeyValue::typed(cast.as_deref()?, text)),
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

    pub(super) fn from(&self) -> String {
        quote_relation(&self.table.relation)
    }

    /// Values that the server holds equal become the same: two spellings of one word have nothing
    /// between them.
    async fn spelt_alike(&mut self, mut bounds: Vec<KeyValue>) -> Result<Vec<KeyValue>> {
        if self.key.is_integer() {
            return Ok(bounds);
        }
        let mut at = 1;
        while at < bounds.len() {
            let end = bounds.len().min(at + RANGES);
            let questions: Vec<String> = (at..end)
                .map(|at| {
                    let range = KeyRange {
                        lower: Some(bounds[at - 1].clone()),
                        upper: Some(bounds[at].clone()),
                    };
                    let question = sql::ascends(self.key, &range);
                    question.ok().flatten().unwrap_or_else(|| "0".to_owned())
                })
                .collect();
            let sql = format!("SELECT {}", questions.join(", "));
            let rows = bounded(self.link, &self.subject, &sql).await?;
            for (offset, answer) in rows.into_iter().flatten().enumerate() {
                if answer.as_deref() != Some("1") {
                    bounds[at + offset] = bounds[at + offset - 1].clone();
                }
            }
            at = end;
        }
        Ok(bounds)
    }

    /// The estimated share of rows without a key.
    async fn null_permille(&mut self) -> Result<u32> {
        if !self.key.nullable {
            return Ok(0);
        }
        let column = quote_identifier(&self.key.column);
        let nulls = self.explain(&format!("{column} IS NULL")).await?;
        let others = self.explain(&format!("{column} IS NOT NULL")).await?;
        // Between 0 and 1000.
        Ok((nulls * 1000.0 / (nulls + others).max(1.0)).round() as u32)
    }

    /// Estimated rows that fit a predicate on the key.
    pub(super) async fn explain(&mut self, predicate: &str) -> Result<f64> {
        let column = quote_identifier(&self.key.column);
        let sql = format!(
            "EXPLAIN SELECT {column} FROM {} WHERE {predicate}",
            self.from()
        );
        let rows = bounded(self.link, &self.subject, &sql).await?;
        let rows = rows.first().and_then(explained).unwrap_or(0);
        // One is the least that is ever said, of nothing too.
        Ok(rows.saturating_sub(1) as f64)
    }

    fn not_null(&self) -> String {
        if self.key.nullable {
            format!(" WHERE {} IS NOT NULL", quote_identifier(&self.key.column))
        } else {
            String::new()
        }
    }

    /// Smallest or largest key: one descent of the index.
    async fn end(&mut self, direction: &str) -> Result<Option<KeyValue>> {
        let sql = format!(
            "SELECT {} FROM {}{} ORDER BY {} LIMIT 1",
            self.shown().join(", "),
            self.from(),
            self.not_null(),
            self.by(direction)
        );
        let rows = bounded(self.link, &self.subject, &sql).await?;
        Ok(rows.first().and_then(|row| self.value(row)))
    }

    /// Cuts of all keys in order, where they are few; `None` where they are not.
    async fn all_keys(&mut self, parts: u32) -> Result<Option<Vec<KeyValue>>> {
        let sql = format!(
            "SELECT {} FROM {}{} ORDER BY {} LIMIT {}",
            self.shown().join(", "),
            self.from(),
            self.not_null(),
            self.by("ASC"),
            FEW + 1
        );
        let rows = bounded(self.link, &self.subject, &sql).await?;
        if rows.is_empty() || rows.len() > FEW as usize {
            return Ok(None);
        }
        let cuts = (1..parts as usize).map(|step| step * rows.len() / parts as usize);
        let values = cuts
            .filter_map(|at| rows.get(at))
            .filter_map(|row| self.value(row));
        Ok(Some(values.collect()))
    }

    /// Cuts at equal estimated rows: the range is divided evenly, then its heavy parts again.
    async fn dive(
        &mut self,
        axis: &Axis,
        low: &KeyValue,
        high: &KeyValue,
        parts: u32,
    ) -> Result<Vec<KeyValue>> {
        let (Some(from), Some(to)) = (axis.place(low), axis.place(high)) else {
            return Ok(Vec::new());
        };
        let mut pieces = self.weigh(axis, divide(from, to, RANGES)).await?;
        for _ in 1..ROUNDS {
            let total: f64 = pieces.iter().map(|piece| piece.mass).sum();
            let fair = total / f64::from(parts);
            let heavy = |piece: &Piece| piece.mass > 2.0 * fair && piece.high - piece.low > 1;
            let count = pieces.iter().filter(|piece| heavy(piece)).count();
            if count == 0 || pieces.len() >= MOST_RANGES {
                break;
            }
            let each = (MOST_RANGES / count).clamp(2, 16);
            let mut next = Vec::new();
            for piece in pieces {
                if heavy(&piece) {
                    next.extend(
                        self.weigh(axis, divide(piece.low, piece.high, each))
                            .await?,
                    );
                } else {
                    next.push(piece);
                }
            }
            pieces = next;
        }
        let cuts = quantiles(&pieces, parts).into_iter();
        Ok(cuts
            .filter_map(|place| axis.value(place.clamp(from, to)))
            .collect())
    }

    /// What the server estimates of each stretch's rows.
    async fn weigh(&mut self, axis: &Axis, stretches: Vec<(i128, i128)>) -> Result<Vec<Piece>> {
        let mut pieces = Vec::with_capacity(stretches.len());
        for group in stretches.chunks(RANGES) {
            let questions: Vec<String> = group
                .iter()
                .filter_map(|(low, high)| self.estimate(axis, *low, *high))
                .collect();
            if questions.len() < group.len() {
                return Ok(Vec::new());
            }
            let sql = format!("EXPLAIN {}", questions.join(" UNION ALL "));
            let rows = bounded(self.link, &self.subject, &sql).await?;
            for ((low, high), row) in group.iter().zip(&rows) {
                // One is the least that is ever said, of nothing too.
                let rows = explained(row).unwrap_or(0).saturating_sub(1);
                pieces.push(Piece {
                    low: *low,
                    high: *high,
                    mass: rows as f64,
                });
            }
        }
        Ok(pieces)
    }

    fn estimate(&self, axis: &Axis, low: i128, high: i128) -> Option<String> {
        let bounds = ChunkBounds::Key(KeyRange {
            lower: axis.value(low),
            upper: axis.value(high),
        });
        let predicate = sql::predicate(&bounds, Some(self.key)).ok()??;
        let column = quote_identifier(&self.key.column);
        Some(format!(
            "(SELECT {column} FROM {} WHERE {predicate})",
            self.from()
        ))
    }
}

/// A stretch in about `count` stretches of equal width; the last one holds the end.
fn divide(low: i128, high: i128, count: usize) -> Vec<(i128, i128)> {
    let count = i128::try_from(count).unwrap_or(1).min((high - low).max(1));
    (0..count)
        .map(|step| {
            let at = |step: i128| low + (high - low) * step / count;
            (at(step), at(step + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_join() {
        let stretches = divide(-5, 100, 8);
        assert_eq!((stretches[0].0, stretches[7].1), (-5, 100));
        assert!(stretches.windows(2).all(|pair| pair[0].1 == pair[1].0));
        assert_eq!(divide(3, 5, 64), [(3, 4), (4, 5)]);
        assert_eq!(divide(7, 7, 64), [(7, 7)]);
    }
}
