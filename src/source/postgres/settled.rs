//! `--lag auto`: how far the past is settled, by the transactions that are under way.
//!
//! A column that is filled with `now()`, or with any later reading of the server's clock, holds no value
//! from before its transaction began. So a row that is not committed yet has a value that is not below the
//! beginning of the oldest transaction, and every value below that is settled. That is no help for a column
//! that an application fills by its own clock, or with anything but a time.

use super::super::Result;
use super::super::mark::{never_settled, wrong};
use super::Base;
use super::marks::ask;
use crate::model::{KeyValue, MarkKind, Settled, Table, Watermark};

/// What is under way in this database, as far as we are told. Prepared transactions do not say when they
/// began. What only cleans up never adds a row, and a parallel worker's leader is there itself. A second is
/// taken off, because a transaction reads the clock a moment before the server lists it.
const UNDER_WAY: &str = "
    SELECT pg_catalog.pg_is_in_recovery(), hidden, prepared, zone, pid,
           EXTRACT(epoch FROM pg_catalog.now() OPERATOR(pg_catalog.-) began)::pg_catalog.int8,
           until::pg_catalog.timestamptz::pg_catalog.text,
           pg_catalog.timezone('UTC', until)::pg_catalog.text,
           (pg_catalog.timezone('UTC', until)::pg_catalog.date OPERATOR(pg_catalog.-) 1)::pg_catalog.text
    FROM (SELECT pg_catalog.count(*) FILTER (
                     WHERE a.query OPERATOR(pg_catalog.=) '<insufficient privilege>') AS hidden,
                 pg_catalog.min(a.xact_start) AS began,
                 (pg_catalog.array_agg(a.pid ORDER BY a.xact_start))[1] AS pid,
                 LEAST(pg_catalog.min(a.xact_start), pg_catalog.now())
                     OPERATOR(pg_catalog.-) '1 second'::pg_catalog.interval AS until
          FROM pg_catalog.pg_stat_activity AS a
          WHERE a.datname OPERATOR(pg_catalog.=) pg_catalog.current_database()
            AND a.pid OPERATOR(pg_catalog.<>) pg_catalog.pg_backend_pid()
            -- Of sessions that are hidden from us it is NULL.
            AND COALESCE(a.backend_type, '') NOT IN ('autovacuum worker', 'parallel worker')) AS known,
         (SELECT pg_catalog.count(*) AS prepared FROM pg_catalog.pg_prepared_xacts
          WHERE database OPERATOR(pg_catalog.=) pg_catalog.current_database()) AS waiting,
         (SELECT reset_val AS zone FROM pg_catalog.pg_settings
          WHERE name OPERATOR(pg_catalog.=) 'TimeZone') AS zones";

/// Names of UTC, as `TimeZone` may have it.
const UTC: [&str; 6] = ["UTC", "Etc/UTC", "GMT", "Etc/GMT", "UCT", "Zulu"];

/// The highest value that is settled.
///
/// # Errors
/// [`crate::source::SourceError::Unsupported`] for a column of anything but a time, and where what is
/// under way cannot be known: on a standby, beside prepared transactions, or without the right to see it.
pub(super) async fn settled(base: &Base, table: &Table, mark: &Watermark) -> Result<Settled> {
    let refuse = |why: &str| Err(never_settled(table, mark, why));
    let (place, kind) = match mark.kind {
        MarkKind::TimestampTz => (6, "timestamptz"),
        MarkKind::Timestamp => (7, "timestamp"),
        MarkKind::Date => (8, "date"),
        MarkKind::Integer | MarkKind::Decimal => {
            return refuse(
                "a number is taken before its row is committed, and no transaction says which it took",
            );
        }
        MarkKind::Text | MarkKind::Stored | MarkKind::RowVersion => {
            return refuse("only what holds a time can be compared with when a transaction began");
        }
    };
    let said = ask(base, table, UNDER_WAY).await?;
    let text = |index: usize| said.get(index).and_then(Option::as_deref);
    if text(0) == Some("t") {
        return refuse("this is a standby, which does not know what is under way on its primary");
    }
    if text(1) != Some("0") {
        return refuse(
            "this role may not see when others' transactions began: GRANT pg_read_all_stats to it",
        );
    }
    if text(2) != Some("0") {
        return refuse("there are prepared transactions, which do not say when they began");
    }
    let zone = text(3).unwrap_or_default();
    if mark.kind != MarkKind::TimestampTz && !UTC.contains(&zone) {
        return refuse(&format!(
            "its values have no time zone, and the database's is {zone}: only in UTC can they be compared"
        ));
    }
    let value = text(place).ok_or_else(|| wrong(table, "the server told no time".to_owned()))?;
    Ok(Settled {
        value: KeyValue::typed(kind, value),
        why: match (text(4), text(5)) {
            (Some(pid), Some(age)) => {
                format!("the oldest transaction, of process {pid}, began {age} s ago")
            }
            _ => "no other transaction is under way".to_owned(),
        },
    })
}
