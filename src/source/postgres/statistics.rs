//! Rows, bytes, blocks, change counters and connections, without reading a table.

use std::collections::BTreeMap;

use tokio_postgres::types::Type;

use super::super::Result;
use super::super::dialect::quote_relation;
use super::Base;
use super::classify::Subject;
use super::connect::{BEGIN_LOOK, Link, OWN_NAMES};
use super::leaves;
use super::query::Query;
use super::shared::OUTPUT;
use crate::model::{
    ChangeCounters, ConnectionLoad, Estimate, Origin, RelationKind, Statistics, Table,
};

/// Blocks that a sample reads at most, about.
pub(super) const SAMPLE_BLOCKS: u64 = 300;

/// A sample's seed, fixed so that equal tables give equal plans.
pub(super) const SAMPLE_SEED: u32 = 20_000_101;

/// The longest a question of the profiler may take; what is not known by then stays unknown.
pub(super) const QUESTION_LIMIT_MS: u32 = 10_000;

/// The files of a relation: itself, or its leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Files {
    /// Heap blocks now.
    pub(super) blocks: u64,
    /// Bytes of heap and TOAST.
    bytes: u64,
    /// Rows by the statistics, scaled to the blocks now, over the analysed files.
    rows: f64,
    /// Blocks of files that were never analysed.
    unknown_blocks: u64,
    /// Whether every one is a heap.
    heap: bool,
    /// Whether a partition lives elsewhere, where it has no file of ours.
    foreign: bool,
}

const FILES: &str = "
    WITH RECURSIVE tree AS (
        SELECT to_regclass($1)::oid AS oid
      UNION
        SELECT i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid),
    leaf AS (
        SELECT c.reltuples::float8 AS tuples, c.relpages::int8 AS pages,
               coalesce(pg_relation_size(c.oid), 0) / current_setting('block_size')::int8 AS blocks,
               coalesce(pg_relation_size(c.oid), 0) + CASE WHEN c.reltoastrelid = 0 THEN 0
                   ELSE coalesce(pg_relation_size(c.reltoastrelid), 0) END AS bytes,
               coalesce(m.amname = 'heap', false) AS heap, c.relkind = 'f' AS away
        FROM tree JOIN pg_class c USING (oid) LEFT JOIN pg_am m ON m.oid = c.relam
        WHERE c.relkind IN ('r', 'm', 'f'))
    SELECT coalesce(sum(blocks), 0)::int8, coalesce(sum(bytes), 0)::int8,
           coalesce(sum(CASE WHEN tuples > 0 AND pages > 0 THEN tuples / pages * blocks END), 0)::float8,
           coalesce(sum(blocks) FILTER (WHERE tuples < 0 OR pages = 0), 0)::int8,
           coalesce(bool_and(heap), false), coalesce(bool_or(away), false)
    FROM leaf";

/// The relation's files as they are now.
pub(super) async fn files(link: &Link, subject: &Subject, table: &Table) -> Result<Files> {
    let name = quote_relation(&table.relation);
    let rows = link.ask(subject, FILES, &[(&name, Type::TEXT)]).await?;
    let Some(row) = rows.first() else {
        return Ok(Files::default());
    };
    let count = |index| u64::try_from(row.get::<_, i64>(index)).unwrap_or(0);
    Ok(Files {
        blocks: count(0),
        bytes: count(1),
        rows: row.get(2),
        unknown_blocks: count(3),
        heap: row.get(4),
        foreign: row.get(5),
    })
}

/// Rows, bytes, blocks and counters.
pub(super) async fn statistics(base: &Base, table: &Table) -> Result<Statistics> {
    let link = base.link().await?;
    if let Some(text) = table.query.as_deref() {
        return of_query(base, &link, table, text).await;
    }
    let subject = Subject::relation(base.connector.place(), &table.relation);
    let files = files(&link, &subject, table).await?;
    let estimate = match table.kind {
        RelationKind::View => unknown(),
        RelationKind::ForeignTable => foreign(&link, &subject, table).await?,
        _ => estimate(&link, &subject, table, &files).await?,
    };
    let addressable = matches!(
        table.kind,
        RelationKind::Table | RelationKind::MaterializedView
    ) && files.heap;
    Ok(Statistics {
        estimate,
        bytes: files.bytes,
        blocks: addressable
            .then(|| u32::try_from(files.blocks).ok())
            .flatten(),
        leaves: leaves::apart(base, &link, &subject, table).await?,
        counters: counters(&link, &subject, table).await?,
    })
}

/// A query has no files and no counters of its own, but the planner's estimate.
async fn of_query(base: &Base, link: &Link, table: &Table, text: &str) -> Result<Statistics> {
    let relation = &table.relation;
    let subject = Subject::of(base.connector.place(), relation, Some(text));
    let (estimate, bytes) = Query { relation, text }.estimate(link, &subject).await?;
    Ok(Statistics {
        estimate,
        bytes,
        blocks: None,
        leaves: Vec::new(),
        counters: ChangeCounters(BTreeMap::new()),
    })
}

fn unknown() -> Estimate {
    Estimate {
        rows: 0,
        origin: Origin::Unknown,
    }
}

/// A foreign table has no blocks here: only an ANALYZE can have counted it.
async fn foreign(link: &Link, subject: &Subject, table: &Table) -> Result<Estimate> {
    let name = quote_relation(&table.relation);
    let sql = "SELECT reltuples::float8 FROM pg_class WHERE oid = to_regclass($1)::oid";
    let rows = link.ask(subject, sql, &[(&name, Type::TEXT)]).await?;
    Ok(match rows.first().map(|row| row.get::<_, f64>(0)) {
        Some(tuples) if tuples > 0.0 => Estimate {
            rows: tuples.round() as u64,
            origin: Origin::Catalogue,
        },
        _ => unknown(),
    })
}

/// Rows by the catalogue where it knows, by a bounded sample where it does not.
async fn estimate(
    link: &Link,
    subject: &Subject,
    table: &Table,
    files: &Files,
) -> Result<Estimate> {
    if files.blocks == 0 && files.foreign {
        return Ok(unknown());
    }
    if files.blocks == 0 {
        // No block, no row: the one case that is exact without reading.
        return Ok(Estimate {
            rows: 0,
            origin: Origin::Exact,
        });
    }
    if files.unknown_blocks == 0 {
        return Ok(Estimate {
            rows: files.rows.round() as u64,
            origin: Origin::Catalogue,
        });
    }
    let known_blocks = files.blocks - files.unknown_blocks;
    if known_blocks >= files.unknown_blocks && files.rows > 0.0 {
        // Leaves of one table are alike: the analysed ones speak for a new one.
        let rows = files.rows * files.blocks as f64 / known_blocks as f64;
        return Ok(Estimate {
            rows: rows.round() as u64,
            origin: Origin::Catalogue,
        });
    }
    let sql = format!(
        "SELECT count(*) FROM {}{}",
        quote_relation(&table.relation),
        sample_clause(files.blocks)
    );
    let rows = bounded(link, subject, &sql).await?;
    let counted = rows
        .first()
        .and_then(|row| row.first())
        .and_then(|text| text.as_deref()?.parse::<u64>().ok());
    Ok(counted.map_or_else(unknown, |counted| Estimate {
        rows: (counted as f64 * 100.0 / sample_percent(files.blocks)).round() as u64,
        origin: Origin::Sample,
    }))
}

/// `TABLESAMPLE SYSTEM`: whole blocks, chosen by a hash of their number, the others never read.
pub(super) fn sample_clause(blocks: u64) -> String {
    format!(
        " TABLESAMPLE SYSTEM ({}) REPEATABLE ({SAMPLE_SEED})",
        sample_percent(blocks)
    )
}

pub(super) fn sample_percent(blocks: u64) -> f64 {
    if blocks <= SAMPLE_BLOCKS {
        100.0
    } else {
        SAMPLE_BLOCKS as f64 * 100.0 / blocks as f64
    }
}

/// Runs a question of ours in a read-only transaction of its own, with a time limit and row security
/// as the role has it; a question that takes too long, or that the role may not ask, has no answer.
pub(super) async fn bounded(
    link: &Link,
    subject: &Subject,
    sql: &str,
) -> Result<Vec<Vec<Option<String>>>> {
    bounded_where(link, subject, OWN_NAMES, sql).await
}

/// As [`bounded`], with a statement of the user's, whose names mean what they mean to the role.
pub(super) async fn bounded_for_role(
    link: &Link,
    subject: &Subject,
    sql: &str,
) -> Result<Vec<Vec<Option<String>>>> {
    bounded_where(link, subject, "", sql).await
}

async fn bounded_where(
    link: &Link,
    subject: &Subject,
    names: &str,
    sql: &str,
) -> Result<Vec<Vec<Option<String>>>> {
    let opening = format!(
        "{BEGIN_LOOK}{OUTPUT}{names}SET LOCAL statement_timeout = {QUESTION_LIMIT_MS};\
         SET LOCAL lock_timeout = {QUESTION_LIMIT_MS};SET LOCAL enable_seqscan = off;\
         SET LOCAL max_parallel_workers_per_gather = 0;SET LOCAL jit = off"
    );
    link.execute(subject, &opening).await?;
    let outcome = link.text_rows(sql).await;
    // Ends the transaction whether it failed or not; what is lost with the connection is told here.
    link.execute(subject, "ROLLBACK").await?;
    match outcome {
        Ok(rows) => Ok(rows),
        Err(error) if error.as_db_error().is_some() => {
            tracing::debug!("not answered: {}", link.explain(subject, &error));
            Ok(Vec::new())
        }
        Err(error) => Err(link.explain(subject, &error)),
    }
}

/// The server's counters of changes, summed over the leaves of a partitioned table, with what tells
/// whether they were reset in between.
async fn counters(link: &Link, subject: &Subject, table: &Table) -> Result<ChangeCounters> {
    let sql = "
        WITH RECURSIVE tree AS (
            SELECT to_regclass($1)::oid AS oid
          UNION
            SELECT i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid)
        SELECT sum(s.n_tup_ins)::text, sum(s.n_tup_upd)::text, sum(s.n_tup_del)::text,
               sum(s.n_live_tup)::text, sum(s.n_dead_tup)::text, sum(s.n_mod_since_analyze)::text,
               to_char(max(greatest(s.last_analyze, s.last_autoanalyze)) AT TIME ZONE 'UTC',
                       'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),
               (SELECT to_char(d.stats_reset AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
                FROM pg_stat_database d WHERE d.datname = current_database())
        FROM tree JOIN pg_stat_all_tables s ON s.relid = tree.oid";
    let name = quote_relation(&table.relation);
    let rows = link.ask(subject, sql, &[(&name, Type::TEXT)]).await?;
    let names = [
        "n_tup_ins",
        "n_tup_upd",
        "n_tup_del",
        "n_live_tup",
        "n_dead_tup",
        "n_mod_since_analyze",
        "last_analyze",
        "stats_reset",
    ];
    let counters: BTreeMap<String, String> = names
        .iter()
        .enumerate()
        .filter_map(|(index, name)| {
            let value: Option<String> = rows.first()?.get(index);
            Some(((*name).to_owned(), value?))
        })
        .collect();
    Ok(ChangeCounters(counters))
}

/// What the server, the role and the database let us have, and how many sessions there are. What a
/// role may not see of others' sessions is still counted: it shows as a user without details.
pub(super) async fn load(base: &Base) -> Result<ConnectionLoad> {
    let sql = "
        WITH session AS (
            SELECT datname, usename FROM pg_stat_activity
            WHERE backend_type = 'client backend' OR (backend_type IS NULL AND usesysid IS NOT NULL)),
        active AS (SELECT count(*) AS n FROM session)
        SELECT active.n, least(
            current_setting('max_connections')::int8
              - coalesce(current_setting('superuser_reserved_connections', true)::int8, 0)
              - coalesce(current_setting('reserved_connections', true)::int8, 0),
            (SELECT active.n + r.rolconnlimit
                    - (SELECT count(*) FROM session WHERE usename = current_user)
             FROM pg_roles r WHERE r.rolname = current_user AND r.rolconnlimit >= 0),
            (SELECT active.n + d.datconnlimit
                    - (SELECT count(*) FROM session WHERE datname = current_database())
             FROM pg_database d WHERE d.datname = current_database() AND d.datconnlimit >= 0))
        FROM active";
    let link = base.link().await?;
    let subject = Subject::catalogue(base.connector.place());
    let rows = link.ask(&subject, sql, &[]).await?;
    let number = |index| {
        let count = rows.first().map_or(0, |row| row.get::<_, i64>(index));
        u32::try_from(count).unwrap_or(0)
    };
    Ok(ConnectionLoad {
        active: number(0),
        max: number(1),
    })
}
