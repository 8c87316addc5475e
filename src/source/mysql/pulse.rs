//! How a server is while a run reads from it.

use std::time::Duration;

use super::super::{Lag, Pulse, Result};
use super::Base;
use super::classify::{self, Subject};
use super::examine::replica_status;
use super::sql::quote_account;

/// Asks one small question, and how far a replica is behind its primary where that is wanted. A primary
/// does not know its replicas' lag.
pub(super) async fn pulse(base: &Base, lag: bool) -> Result<Pulse> {
    let account = base.connector.account();
    let subject = Subject::catalogue(base.connector.place(), account);
    let mut link = base.link().await?;
    let begun = base.clock.monotonic();
    link.run(&subject, "DO 1").await?;
    let round_trip = base.clock.monotonic().saturating_sub(begun);
    let mut pulse = Pulse {
        round_trip,
        lag: Lag::NoReplica,
    };
    if !lag {
        return Ok(pulse);
    }
    let (sql, name) = replica_status(&base.server);
    pulse.lag = match link.try_named(sql).await {
        Ok(rows) => {
            let told = rows.iter().filter_map(|row| row.get(name)?.parse().ok());
            let most = told.max().map(Duration::from_secs);
            most.map_or(Lag::NoReplica, Lag::Behind)
        }
        Err(error) if classify::is_denial(&error) => Lag::Hidden {
            fix: format!(
                "GRANT {} ON *.* TO {}",
                base.server.replica_right(),
                quote_account(account)
            ),
        },
        Err(error) => return Err(link.explain(&subject, &error)),
    };
    Ok(pulse)
}
