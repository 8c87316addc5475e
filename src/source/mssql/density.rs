//! How a key's values are spread: by all keys where they are few, else by the keys of a few pages, put
//! in order by the server. Never by a scan.

use super::super::Result;
use super::Base;
use super::classify::Subject;
use super::connect::{Link, Texts};
use super::sql::{self, Statement, quote_identifier, quote_relation};
use super::statistics::bounded;
use crate::model::{Key, KeyDensity, KeyOrder, KeyRange, KeyValue, Origin, Table};

/// Keys that are looked at, about.
const SAMPLED: u32 = 20_000;

/// With it every sample of a table takes the same pages.
const SEED: u32 = 1;

/// A clustered primary key, which is the rule, is the order that rows are stored in.
const STORED_IN_ORDER: i32 = 1000;

/// The spread of a key in about `parts` parts, and the correlation in thousandths.
pub(super) async fn density(
    base: &Base,
    table: &Table,
    key: &Key,
    parts: u32,
) -> Result<(KeyDensity, Option<i32>)> {
    let mut link = base.link().await?;
    let mut question = Question {
        link: &mut link,
        subject: Subject::of(&base.server, &table.relation, None),
        table,
        key,
    };
    let density = question.density(parts).await?;
    Ok((density, key.primary.then_some(STORED_IN_ORDER)))
}

/// What is asked of which key.
struct Question<'a> {
    link: &'a mut Link,
    subject: Subject,
    table: &'a Table,
    key: &'a Key,
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
        let (keys, null_permille) = self.keys().await?;
        let cuts = (1..parts as usize).map(|step| step * keys.len() / parts as usize);
        let cuts = cuts.filter_map(|at| keys.get(at).cloned()).collect();
        let bounds = self.spelt_alike(cuts).await?;
        let origin = if bounds.is_empty() {
            Origin::Unknown
        } else {
            Origin::Sample
        };
        Ok(KeyDensity {
            min: Some(low),
            max: Some(high),
            bounds,
            null_permille,
            origin,
        })
    }

    /// Keys in the server's order: all of them where they are few, else those of some pages; and the
    /// share of rows without a key, in thousandths.
    async fn keys(&mut self) -> Result<(Vec<KeyValue>, u32)> {
        let all = format!("TOP ({})", SAMPLED + 1);
        let rows = self.ordered(&all, "").await?;
        if rows.len() <= SAMPLED as usize {
            return Ok(self.values(&rows));
        }
        let pages = format!(" TABLESAMPLE SYSTEM ({SAMPLED} ROWS) REPEATABLE ({SEED})");
        let sample = self.ordered("", &pages).await?;
        // No page may have been taken; then what comes first says little, and is all there is.
        Ok(self.values(if sample.is_empty() { &rows } else { &sample }))
    }

    async fn ordered(&mut self, top: &str, sample: &str) -> Result<Vec<Texts>> {
        let sql = format!(
            "SELECT {top} {} FROM {}{sample} ORDER BY {}",
            self.shown().join(", "),
            quote_relation(&self.table.relation),
            self.by("ASC")
        );
        bounded(self.link, &self.subject, &Statement::plain(sql)).await
    }

    /// The keys of rows that have one, and how many have none, in thousandths.
    fn values(&self, rows: &[Texts]) -> (Vec<KeyValue>, u32) {
        let values: Vec<KeyValue> = rows.iter().filter_map(|row| self.value(row)).collect();
        let nulls = (rows.len() - values.len()) * 1000;
        // At most 1000.
        let permille = nulls.checked_div(rows.len()).unwrap_or(0) as u32;
        (values, permille)
    }

    /// The key's columns as texts that bounds are made of.
    fn shown(&self) -> Vec<String> {
        let columns = self.key.columns();
        columns
            .enumerate()
            .map(|(index, (name, order))| format!("{} AS k{index}", sql::shown(name, order)))
            .collect()
    }

    fn by(&self, direction: &str) -> String {
        let columns = self.key.columns();
        // By the table's column, and not by the text that is shown of it.
        let terms: Vec<String> = columns
            .map(|(name, _)| format!("{} {direction}", quote_identifier(name)))
            .collect();
        terms.join(", ")
    }

    fn value(&self, texts: &[Option<String>]) -> Option<KeyValue> {
        let pairs = self.key.columns().zip(texts);
        let parts: Option<Vec<KeyValue>> = pairs
            .map(|((_, order), text)| {
                let text = text.as_deref()?;
                match order {
                    KeyOrder::Integer => text.parse().ok().map(KeyValue::Int),
                    KeyOrder::Server { cast, .. } => {
                        Some(KeyValue::typed(sql::kind(cast.as_deref()?), text))
                    }
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

    /// Smallest or largest key: one descent of the index.
    async fn end(&mut self, direction: &str) -> Result<Option<KeyValue>> {
        let not_null = if self.key.nullable {
            format!(" WHERE {} IS NOT NULL", quote_identifier(&self.key.column))
        } else {
            String::new()
        };
        let sql = format!(
            "SELECT TOP (1) {} FROM {}{not_null} ORDER BY {}",
            self.shown().join(", "),
            quote_relation(&self.table.relation),
            self.by(direction)
        );
        let rows = bounded(self.link, &self.subject, &Statement::plain(sql)).await?;
        Ok(rows.first().and_then(|row| self.value(row)))
    }

    /// Values that the server holds equal become the same: two spellings of one word have nothing
    /// between them.
    async fn spelt_alike(&mut self, mut bounds: Vec<KeyValue>) -> Result<Vec<KeyValue>> {
        if self.key.is_integer() {
            return Ok(bounds);
        }
        for at in 1..bounds.len() {
            let range = KeyRange {
                lower: Some(bounds[at - 1].clone()),
                upper: Some(bounds[at].clone()),
            };
            let Ok(Some(question)) = sql::ascends(self.key, &range) else {
                continue;
            };
            let rows = bounded(self.link, &self.subject, &question).await?;
            if rows.into_iter().flatten().flatten().next().as_deref() != Some("1") {
                bounds[at] = bounds[at - 1].clone();
            }
        }
        Ok(bounds)
    }
}
