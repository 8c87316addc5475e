//! How a server is while a run reads from it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_postgres::types::Type;

use super::super::dialect::quote_identifier;
use super::super::{Lag, Occupation, Pulse, Result};
use super::Base;
use super::classify::Subject;

/// How far behind, in milliseconds: of a standby, itself; of a primary, the standby farthest behind.
/// A standby that has replayed all it received is not behind, however long nothing came; one that has
/// replayed nothing yet is behind since it started, for all that is known. Of others'
/// replication a role is told only as a member of `pg_read_all_stats`.
const LAG: &str = "
    SELECT CASE WHEN NOT pg_is_in_recovery()
                THEN (SELECT (extract(epoch FROM max(r.replay_lag)) * 1000)::int8
                      FROM pg_stat_replication r)
                WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() THEN 0
                ELSE (extract(epoch FROM clock_timestamp() - coalesce(pg_last_xact_replay_timestamp(),
                                                                      pg_postmaster_start_time()))
                      * 1000)::int8
           END,
           NOT pg_is_in_recovery() AND EXISTS (SELECT 1 FROM pg_stat_replication)
             AND NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')";

/// Asks one small question, and how far replicas are behind where that is wanted.
pub(super) async fn pulse(base: &Base, lag: bool) -> Result<Pulse> {
    let place = base.connector.place();
    let subject = Subject::catalogue(place);
    let link = base.link().await?;
    let begun = base.clock.monotonic();
    link.execute(&subject, "SELECT 1").await?;
    let round_trip = base.clock.monotonic().saturating_sub(begun);
    let mut pulse = Pulse {
        round_trip,
        lag: Lag::NoReplica,
    };
    if lag && let Some(row) = link.ask(&subject, LAG, &[]).await?.first() {
        let behind: Option<i64> = row.get(0);
        pulse.lag = if row.get(1) {
            Lag::Hidden {
                fix: format!(
                    "GRANT pg_read_all_stats TO {}",
                    quote_identifier(&place.user)
                ),
            }
        } else {
            let behind = behind.and_then(|ms| u64::try_from(ms).ok());
            behind.map_or(Lag::NoReplica, |ms| Lag::Behind(Duration::from_millis(ms)))
        };
    }
    Ok(pulse)
}

/// What processes of ours do, with whether each waits for its client: for a statement, or until it takes
/// more of an answer. A server that keeps no account of activities says so by another state.
const OCCUPATIONS: &str = "
    SELECT a.pid, a.state <> 'active' OR coalesce(a.wait_event_type = 'Client', false)
    FROM unnest($1::int4[]) AS ours (pid), pg_stat_get_activity(ours.pid) AS a
    WHERE a.state IN ('active', 'idle', 'idle in transaction')";

/// What these server processes do.
pub(super) async fn occupations(base: &Base, pids: &[i32]) -> Result<BTreeMap<u64, Occupation>> {
    let subject = Subject::catalogue(base.connector.place());
    let link = base.link().await?;
    let rows = link
        .ask(&subject, OCCUPATIONS, &[(&pids, Type::INT4_ARRAY)])
        .await?;
    let occupation = |waits| {
        if waits {
            Occupation::WaitingForUs
        } else {
            Occupation::AtWork
        }
    };
    let told = rows.iter().filter_map(|row| {
        let number = u64::try_from(row.get::<_, i32>(0)).ok()?;
        Some((number, occupation(row.get(1))))
    });
    Ok(told.collect())
}
