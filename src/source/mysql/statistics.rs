//! Rows, bytes, change counters and connections, without reading a table.

use std::collections::BTreeMap;

use super::super::Result;
use super::Base;
use super::classify::Subject;
use super::connect::{Link, Texts};
use super::sql::{from_item, quote_identifier, quote_relation, quote_text};
use crate::model::{
    ChangeCounters, ConnectionLoad, Estimate, Origin, RelationKind, Statistics, Table,
};

/// Tables of so few rows are counted: it takes no longer than to ask.
const COUNTED: u64 = 20_000;

/// Rows whose length is looked at where the catalogue's size is older than the rows.
const MEASURED: u32 = 100;

/// The catalogue's columns that tell of changes, and what they are called among the counters.
const COUNTERS: [(&str, &str); 6] = [
    ("TABLE_ROWS", "table_rows"),
    ("DATA_LENGTH", "data_length"),
    ("AUTO_INCREMENT", "auto_increment"),
    ("CREATE_TIME", "create_time"),
    ("UPDATE_TIME", "update_time"),
    ("CHECKSUM", "checksum"),
];

/// Rows, bytes and counters.
pub(super) async fn statistics(base: &Base, table: &Table) -> Result<Statistics> {
    let mut link = base.link().await?;
    let link = &mut *link;
    let account = base.connector.account();
    let subject = Subject::of(account, &table.relation, table.query.as_deref());
    if table.kind != RelationKind::Table {
        let estimate = planned(link, &subject, table).await?;
        return Ok(Statistics {
            estimate,
            bytes: 0,
            blocks: None,
            leaves: Vec::new(),
            counters: ChangeCounters(BTreeMap::new()),
        });
    }
    let counters = counters(link, &subject, table).await?;
    let number = |name: &str| {
        counters
            .0
            .get(name)
            .and_then(|text| text.parse::<u64>().ok())
    };
    let known = number("table_rows");
    let estimate = match counted(link, &subject, table, known).await? {
        Some(rows) => Estimate {
            rows,
            origin: Origin::Exact,
        },
        None => Estimate {
            rows: known.unwrap_or(0),
            origin: known.map_or(Origin::Unknown, |_| Origin::Catalogue),
        },
    };
    let stored = number("data_length").unwrap_or(0);
    let measured = measured(link, &subject, table, estimate.rows).await?;
    Ok(Statistics {
        estimate,
        bytes: stored.max(measured),
        blocks: None,
        leaves: Vec::new(),
        counters,
    })
}

async fn counters(link: &mut Link, subject: &Subject, table: &Table) -> Result<ChangeCounters> {
    let columns: Vec<&str> = COUNTERS.iter().map(|(column, _)| *column).collect();
    let sql = format!(
        "SELECT {} FROM information_schema.TABLES WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        columns.join(", "),
        quote_text(&table.relation.schema),
        quote_text(&table.relation.name)
    );
    let rows = link.texts(subject, &sql).await?;
    let values = rows.into_iter().next().unwrap_or_default();
    let pairs = COUNTERS.iter().zip(values);
    let pairs = pairs.filter_map(|((_, name), value)| Some(((*name).to_owned(), value?)));
    Ok(ChangeCounters(pairs.collect()))
}

/// The rows of a small table, counted; `None` for one that is larger, or takes long.
async fn counted(
    link: &mut Link,
    subject: &Subject,
    table: &Table,
    known: Option<u64>,
) -> Result<Option<u64>> {
    // The catalogue's number may be wrong by half.
    if known.is_some_and(|rows| rows > 4 * COUNTED) {
        return Ok(None);
    }
    let sql = format!(
        "SELECT COUNT(*) FROM (SELECT 1 FROM {} LIMIT {}) AS few",
        quote_relation(&table.relation),
        COUNTED + 1
    );
    let rows = bounded(link, subject, &sql).await?;
    let count = first(&rows).and_then(|text| text.parse().ok());
    Ok(count.filter(|count| *count <= COUNTED))
}

/// Bytes of the rows by the length of a few: what InnoDB says of its pages may be older than they are.
async fn measured(link: &mut Link, subject: &Subject, table: &Table, rows: u64) -> Result<u64> {
    let lengths: Vec<String> = table
        .columns
        .iter()
        .map(|column| format!("COALESCE(LENGTH({}), 0)", quote_identifier(&column.name)))
        .collect();
    let sql = format!(
        "SELECT CAST(COALESCE(AVG({}), 0) AS UNSIGNED) FROM (SELECT * FROM {} LIMIT {MEASURED}) AS few",
        lengths.join(" + "),
        quote_relation(&table.relation)
    );
    let found = bounded(link, subject, &sql).await?;
    let average: u64 = first(&found)
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    Ok(average.saturating_mul(rows))
}

/// The optimizer's own estimate for a view or a query; nothing is run.
async fn planned(link: &mut Link, subject: &Subject, table: &Table) -> Result<Estimate> {
    let from = from_item(&table.relation, table.query.as_deref());
    let sql = format!("EXPLAIN SELECT 1 FROM {from}");
    let rows = bounded(link, subject, &sql).await?;
    let parts: Vec<u64> = rows.iter().filter_map(explained).collect();
    // A join multiplies. A single row is what the optimizer says of what it does not know.
    let rows = parts.iter().copied().fold(1_u64, u64::saturating_mul);
    Ok(if rows > 1 {
        Estimate {
            rows,
            origin: Origin::Catalogue,
        }
    } else {
        Estimate {
            rows: 0,
            origin: Origin::Unknown,
        }
    })
}

/// The `rows` of a line of EXPLAIN: the last number but for the percentage that MySQL 5.7 puts behind
/// it, and the remarks.
pub(super) fn explained(line: &Texts) -> Option<u64> {
    let last = line.len().checked_sub(1)?;
    // MySQL 5.7 and later have `filtered` between.
    let place = if line.len() >= 12 { last - 2 } else { last - 1 };
    line.get(place)?.as_deref()?.parse().ok()
}

/// Rows of a question; one that takes too long, or that we may not ask, has no answer.
pub(super) async fn bounded(link: &mut Link, subject: &Subject, sql: &str) -> Result<Vec<Texts>> {
    match link.try_rows(sql).await {
        Ok(rows) => Ok(rows),
        Err(error @ mysql_async::Error::Server(_)) => {
            tracing::debug!("not answered: {}", link.explain(subject, &error));
            Ok(Vec::new())
        }
        Err(error) => Err(link.explain(subject, &error)),
    }
}

fn first(rows: &[Texts]) -> Option<&str> {
    rows.first()?.first()?.as_deref()
}

/// What the server and the account let us have, and how many sessions there are.
pub(super) async fn load(base: &Base) -> Result<ConnectionLoad> {
    let mut link = base.link().await?;
    let subject = Subject::catalogue(base.connector.place(), base.connector.account());
    let limits = link
        .texts(&subject, "SELECT @@max_connections, @@max_user_connections")
        .await?;
    let sessions = link
        .texts(&subject, "SHOW GLOBAL STATUS LIKE 'Threads_connected'")
        .await?;
    let number = |rows: &[Texts], index: usize| -> u32 {
        let text = rows.first().and_then(|row| row.get(index)?.as_deref());
        text.and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let active = number(&sessions, 1);
    let (all, ours) = (number(&limits, 0), number(&limits, 1));
    Ok(ConnectionLoad {
        active,
        // Zero is no limit of the account's own.
        max: if ours > 0 {
            all.min(active + ours)
        } else {
            all
        },
    })
}
