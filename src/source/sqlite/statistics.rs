//! Size and change counters of a table, without reading it.

use std::collections::BTreeMap;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Statement, params_from_iter};

use super::file::DatabaseFile;
use super::keys;
use super::ordered::{self, Walk};
use super::spread::Spread;
use super::sql;
use crate::model::{ChangeCounters, Estimate, Origin, RelationKind, Statistics, Table};

/// Places of a table whose rows are looked at for their size, and rows at each.
const PLACES: usize = 50;
const ROWS_EACH: usize = 10;
/// A table without a key that has fewer rows than this is counted.
const COUNTED: u64 = 8192;
/// Bytes that a row is taken for where nothing else is known.
const GUESSED_ROW: u64 = 100;
/// No row takes less of a page than this: a cell's pointer, size, key and header.
const LEAST_ROW: u64 = 5;

/// Estimates a table's rows and bytes.
pub(super) fn statistics(
    connection: &Connection,
    file: &DatabaseFile,
    table: &Table,
) -> rusqlite::Result<Statistics> {
    let pragma = |name: &str| -> rusqlite::Result<i64> {
        connection.query_row(&format!("PRAGMA main.{name}"), [], |row| row.get(0))
    };
    let pages = pragma("page_count")?;
    let size = pages.saturating_mul(pragma("page_size")?).unsigned_abs();

    let mut counters = BTreeMap::new();
    counters.insert("page_count".to_owned(), pages.to_string());
    for name in ["data_version", "schema_version", "user_version"] {
        counters.insert(name.to_owned(), pragma(name)?.to_string());
    }
    // Counters are a help: without them statistics are still worth having.
    if let Ok(stamp) = file.stamp() {
        counters.insert(
            "change_counter".to_owned(),
            stamp.change_counter.to_string(),
        );
        counters.insert("file_bytes".to_owned(), stamp.size.to_string());
    }
    let (estimate, bytes) = estimate(connection, file, table, size)?;
    Ok(Statistics {
        estimate,
        bytes: bytes.min(size),
        blocks: None,
        leaves: Vec::new(),
        counters: ChangeCounters(counters),
    })
}

fn estimate(
    connection: &Connection,
    file: &DatabaseFile,
    table: &Table,
    size: u64,
) -> rusqlite::Result<(Estimate, u64)> {
    if table.kind != RelationKind::Table {
        // One row of a view may cost a scan of everything, so it is not looked at.
        let guess = Estimate {
            rows: size / GUESSED_ROW,
            origin: Origin::Unknown,
        };
        return Ok((guess, size));
    }
    let analysed = analysed_rows(connection, table)?;
    let (estimate, row) = match table.keys.first() {
        Some(key) if key.is_integer() => {
            let spread = Spread::probe(connection, &table.relation, key)?;
            let places = spread.landmarks(PLACES).into_iter().map(Value::Integer);
            let row = row_bytes(
                connection,
                table,
                &places.map(|at| vec![at]).collect::<Vec<_>>(),
            )?;
            (settle(spread.rows(), analysed, size), row)
        }
        Some(key) => {
            let key = table
                .keys
                .iter()
                .find(|whole| !whole.rest.is_empty() && whole.column == key.column)
                .unwrap_or(key);
            let walk = Walk::along(connection, file, &table.relation, key)?;
            let row = row_bytes(connection, table, &walk.landmarks(PLACES))?;
            let estimate = match (walk.rows(), walk.told()) {
                (Some(rows), _) => Estimate {
                    rows,
                    origin: Origin::Exact,
                },
                (None, Some(told)) => settle((told, Origin::Sample), analysed, size),
                (None, None) => keyless(connection, table, analysed, size, row)?,
            };
            (estimate, row)
        }
        None => {
            let row = row_bytes(connection, table, &[])?;
            (keyless(connection, table, analysed, size, row)?, row)
        }
    };
    Ok((estimate, estimate.rows.saturating_mul(row)))
}

/// One estimate from what probes saw and what ANALYZE counted at some time in the past.
fn settle(probed: (u64, Origin), analysed: Option<u64>, size: u64) -> Estimate {
    let (rows, origin) = probed;
    match analysed {
        // The count may be old, the probes may miss a gap: the count holds as long as the probes
        // see something like it, and follows them otherwise.
        Some(counted) if origin != Origin::Exact => Estimate {
            rows: counted
                .clamp(rows / 2, rows.saturating_mul(2))
                .min(size / LEAST_ROW),
            origin: Origin::Catalogue,
        },
        _ => Estimate {
            rows: if origin == Origin::Exact {
                rows
            } else {
                rows.min(size / LEAST_ROW)
            },
            origin,
        },
    }
}

fn keyless(
    connection: &Connection,
    table: &Table,
    analysed: Option<u64>,
    size: u64,
    row: u64,
) -> rusqlite::Result<Estimate> {
    let counted = connection.query_row(
        &format!(
            "SELECT count(*) FROM (SELECT 1 FROM {} LIMIT {COUNTED})",
            sql::qualified(&table.relation)
        ),
        [],
        |row| row.get::<_, i64>(0),
    )?;
    let counted = counted.unsigned_abs();
    let (rows, origin) = match analysed {
        _ if counted < COUNTED => (counted, Origin::Exact),
        Some(rows) => (rows.max(counted), Origin::Catalogue),
        None => ((size / row.max(LEAST_ROW)).max(counted), Origin::Unknown),
    };
    Ok(Estimate { rows, origin })
}

/// Rows as ANALYZE counted them, where it ever ran.
fn analysed_rows(connection: &Connection, table: &Table) -> rusqlite::Result<Option<u64>> {
    let known: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM pragma_table_list('sqlite_stat1') WHERE schema = 'main')",
        [],
        |row| row.get(0),
    )?;
    if !known {
        return Ok(None);
    }
    // The first number of every index's line is the table's rows; partial indexes have fewer.
    let mut statement = connection.prepare(
        "SELECT max(CAST(stat AS INTEGER)) FROM main.sqlite_stat1 WHERE tbl = ?1 HAVING count(*) > 0",
    )?;
    statement
        .query_row([&table.relation.name], |row| row.get::<_, Option<i64>>(0))
        .optional()
        .map(|rows| rows.flatten().map(i64::unsigned_abs))
}

/// Mean bytes of the selected columns of some rows: after each landmark, or the table's first.
fn row_bytes(
    connection: &Connection,
    table: &Table,
    landmarks: &[Vec<Value>],
) -> rusqlite::Result<u64> {
    let lengths: Vec<String> = table
        .columns
        .iter()
        .map(|column| format!("octet_length({})", sql::quote(&column.name)))
        .collect();
    let from = format!(
        "SELECT {} FROM {}",
        lengths.join(", "),
        sql::qualified(&table.relation)
    );
    let mut seen = (0_u64, 0_u64);
    match table.keys.first() {
        Some(key) => {
            // Of several columns the first one is precise enough to find a place by.
            let (column, order) = (sql::quote(&key.column), ordered::by(key, "ASC"));
            let hint = if keys::is_stored(key) {
                " NOT INDEXED"
            } else {
                ""
            };
            let mut statement = connection.prepare(&format!(
                "{from}{hint} WHERE {column} >= ?1 ORDER BY {order} LIMIT {ROWS_EACH}"
            ))?;
            for landmark in landmarks {
                add_lengths(
                    &mut statement,
                    params_from_iter(landmark.iter().take(1)),
                    &mut seen,
                )?;
            }
        }
        None => {
            let mut statement =
                connection.prepare(&format!("{from} LIMIT {}", PLACES * ROWS_EACH))?;
            add_lengths(&mut statement, [], &mut seen)?;
        }
    }
    let (rows, bytes) = seen;
    Ok(bytes.div_ceil(rows.max(1)))
}

fn add_lengths(
    statement: &mut Statement<'_>,
    parameters: impl rusqlite::Params,
    seen: &mut (u64, u64),
) -> rusqlite::Result<()> {
    let columns = statement.column_count();
    let mut rows = statement.query(parameters)?;
    while let Some(row) = rows.next()? {
        seen.0 += 1;
        for column in 0..columns {
            seen.1 += row
                .get::<_, Option<i64>>(column)?
                .unwrap_or(0)
                .unsigned_abs();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_count_follows_the_probes() {
        let settled = |probed, analysed| settle((probed, Origin::Sample), analysed, u64::MAX);
        assert_eq!(settled(1000, None).rows, 1000);
        assert_eq!(settled(1000, None).origin, Origin::Sample);
        assert_eq!(settled(1000, Some(1200)).rows, 1200);
        assert_eq!(settled(1000, Some(1200)).origin, Origin::Catalogue);
        assert_eq!(settled(1000, Some(7)).rows, 500);
        assert_eq!(settled(1000, Some(70_000)).rows, 2000);
    }

    #[test]
    fn what_was_seen_key_by_key_is_believed() {
        let exact = settle((4, Origin::Exact), Some(100), 0);
        assert_eq!((exact.rows, exact.origin), (4, Origin::Exact));
        let absurd = settle((u64::MAX, Origin::Sample), None, 4096);
        assert_eq!(absurd.rows, 4096 / LEAST_ROW);
    }
}
