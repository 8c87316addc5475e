//! How a server is while a run reads from it.

use std::time::Duration;

use tiberius::error::Error;

use super::super::{Lag, Pulse, Result};
use super::Base;
use super::classify;
use super::sql::Statement;

/// How far the replicas of an availability group are behind. Only the primary knows.
const LAG: &str = "SELECT MAX(secondary_lag_seconds) FROM sys.dm_hadr_database_replica_states \
                   WHERE database_id = DB_ID()";

/// Asks one small question, and how far replicas are behind where that is wanted.
pub(super) async fn pulse(base: &Base, lag: bool) -> Result<Pulse> {
    let subject = base.catalogue();
    let mut link = base.link().await?;
    let begun = base.clock.monotonic();
    link.ask(&subject, &Statement::plain("SELECT 1")).await?;
    let mut pulse = Pulse {
        round_trip: base.clock.monotonic().saturating_sub(begun),
        lag: Lag::NoReplica,
    };
    if !lag {
        return Ok(pulse);
    }
    pulse.lag = match link.try_ask(&Statement::plain(LAG)).await {
        Ok(rows) => {
            let told = rows.into_iter().flatten().flatten().next();
            let seconds = told.and_then(|text| text.parse().ok());
            seconds.map_or(Lag::NoReplica, |seconds| {
                Lag::Behind(Duration::from_secs(seconds))
            })
        }
        Err(error) if classify::is_denial(&error) => Lag::Hidden {
            fix: base.server.state_grant(),
        },
        // Editions without availability groups have no such view.
        Err(error @ Error::Server(_)) => {
            tracing::debug!("no replica: {}", classify::words(&error));
            Lag::NoReplica
        }
        Err(error) => return Err(link.explain(&subject, &error)),
    };
    Ok(pulse)
}
