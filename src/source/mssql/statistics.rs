//! Rows, bytes, change counters and connections, without reading a table.

use std::collections::BTreeMap;

use tiberius::error::Error;

use super::super::Result;
use super::Base;
use super::catalog;
use super::classify::Subject;
use super::connect::{Link, Texts};
use super::sql::{Statement, from_item};
use crate::model::{
    ChangeCounters, ConnectionLoad, Estimate, Origin, RelationKind, Statistics, Table,
};

/// Relations of so few rows are counted: it takes no longer than to ask.
const COUNTED: u64 = 20_000;

/// Sessions that a server has at most.
const MOST_SESSIONS: u32 = 32_767;

/// Rows and bytes of a table's own pages, by the server's running count. Takes VIEW DATABASE STATE.
const PARTITION_STATS: &str = "SELECT SUM(p.row_count), \
    SUM(p.in_row_data_page_count + p.lob_used_page_count + p.row_overflow_used_page_count) * 8192 \
    FROM sys.dm_db_partition_stats AS p JOIN sys.objects AS o ON o.object_id = p.object_id \
    JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
    WHERE s.name = @P1 AND o.name = @P2 AND p.index_id IN (0, 1)";

/// The same by the catalogue, for everybody who sees the table.
const PARTITIONS: &str = "SELECT SUM(CASE WHEN a.type = 1 THEN p.rows ELSE 0 END), \
    SUM(a.used_pages) * 8192 \
    FROM sys.partitions AS p JOIN sys.allocation_units AS a ON a.container_id = p.partition_id \
    JOIN sys.objects AS o ON o.object_id = p.object_id \
    JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
    WHERE s.name = @P1 AND o.name = @P2 AND p.index_id IN (0, 1)";

/// Rows, bytes and counters.
pub(super) async fn statistics(base: &Base, table: &Table) -> Result<Statistics> {
    let mut link = base.link().await?;
    let link = &mut *link;
    let subject = Subject::of(&base.server, &table.relation, table.query.as_deref());
    let (mut known, mut bytes) = (None, 0);
    let mut counters = BTreeMap::new();
    if table.kind == RelationKind::Table {
        (known, bytes) = stored(link, &subject, table).await?;
        let entry = catalog::entry(base, link, &table.relation).await?;
        counters.extend(known.map(|rows| ("rows".to_owned(), rows.to_string())));
        counters.extend(entry.map(|entry| ("modify_date".to_owned(), entry.modified)));
    }
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
    Ok(Statistics {
        estimate,
        bytes,
        blocks: None,
        leaves: Vec::new(),
        counters: ChangeCounters(counters),
    })
}

/// The rows and bytes that the server keeps count of.
async fn stored(link: &mut Link, subject: &Subject, table: &Table) -> Result<(Option<u64>, u64)> {
    let relation = &table.relation;
    for sql in [PARTITION_STATS, PARTITIONS] {
        let statement = Statement::with_texts(sql, &[&relation.schema, &relation.name]);
        let rows = bounded(link, subject, &statement).await?;
        let number =
            |index: usize| -> Option<u64> { rows.first()?.get(index)?.as_deref()?.parse().ok() };
        if let Some(rows) = number(0) {
            return Ok((Some(rows), number(1).unwrap_or(0)));
        }
    }
    Ok((None, 0))
}

/// The rows of a small relation, counted; `None` for one that is larger, or takes long.
async fn counted(
    link: &mut Link,
    subject: &Subject,
    table: &Table,
    known: Option<u64>,
) -> Result<Option<u64>> {
    if known.is_some_and(|rows| rows > COUNTED) {
        return Ok(None);
    }
    let sql = format!(
        "SELECT COUNT_BIG(*) FROM (SELECT TOP ({}) 1 AS one FROM {}) AS few",
        COUNTED + 1,
        from_item(&table.relation, table.query.as_deref())
    );
    let rows = bounded(link, subject, &Statement::plain(sql)).await?;
    let count = first(&rows).and_then(|text| text.parse().ok());
    Ok(count.filter(|count| *count <= COUNTED))
}

/// Rows of a question; one that takes too long, or that we may not ask, has no answer.
pub(super) async fn bounded(
    link: &mut Link,
    subject: &Subject,
    statement: &Statement,
) -> Result<Vec<Texts>> {
    match link.try_ask(statement).await {
        Ok(rows) => Ok(rows),
        Err(error @ Error::Server(_)) => {
            tracing::debug!("not answered: {}", link.explain(subject, &error));
            Ok(Vec::new())
        }
        Err(error) => Err(link.explain(subject, &error)),
    }
}

fn first(rows: &[Texts]) -> Option<&str> {
    rows.first()?.first()?.as_deref()
}

/// How many sessions there are. Without VIEW SERVER STATE only our own are seen.
pub(super) async fn load(base: &Base) -> Result<ConnectionLoad> {
    let mut link = base.link().await?;
    let sql = "SELECT COUNT(*) FROM sys.dm_exec_sessions WHERE is_user_process = 1";
    let rows = bounded(&mut link, &base.catalogue(), &Statement::plain(sql)).await?;
    Ok(ConnectionLoad {
        active: first(&rows).and_then(|text| text.parse().ok()).unwrap_or(1),
        max: MOST_SESSIONS,
    })
}
