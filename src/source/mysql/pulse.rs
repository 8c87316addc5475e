//! How a server is while a run reads from it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::{Lag, Occupation, Pulse, Result};
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

/// What these connections do. The server's words for one that waits until its client takes more of an
/// answer are `Writing to net`, and `Sending to client` from MySQL 8.0.17 on.
pub(super) async fn occupations(base: &Base, ids: &[u32]) -> Result<BTreeMap<u64, Occupation>> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
    let sql = format!(
        "SELECT ID, IF(COMMAND = 'Sleep' OR STATE IN ('Writing to net', 'Sending to client'), 1, 0) \
         FROM information_schema.PROCESSLIST WHERE ID IN ({})",
        ids.join(", ")
    );
    let subject = Subject::catalogue(base.connector.place(), base.connector.account());
    let mut link = base.link().await?;
    let rows = link.texts(&subject, &sql).await?;
    let told = rows.into_iter().filter_map(|row| {
        let mut texts = row.into_iter().flatten();
        let number = texts.next()?.parse().ok()?;
        let occupation = match texts.next()?.as_str() {
            "1" => Occupation::WaitingForUs,
            _ => Occupation::AtWork,
        };
        Some((number, occupation))
    });
    Ok(told.collect())
}
