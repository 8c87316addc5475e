//! What `doctor` looks at in a MySQL or MariaDB server.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::super::seats::Line;
use super::super::{Result, SourceError, examination};
use super::Base;
use super::classify::{self, Subject};
use super::connect::Link;
use super::server::Server;
use super::sql::quote_account;
use crate::model::Check;

/// Limits of the server that our sessions set aside, in its own units.
const SET_ASIDE: [&str; 6] = [
    "net_write_timeout",
    "wait_timeout",
    "max_statement_time",
    "max_execution_time",
    "idle_transaction_timeout",
    "idle_readonly_transaction_timeout",
];

/// Limits of an account that nobody may set aside.
const OF_ACCOUNT: [&str; 2] = ["MAX_QUERIES_PER_HOUR", "MAX_CONNECTIONS_PER_HOUR"];

/// Everything, one check each.
pub(super) async fn examine(base: &Base) -> Result<Vec<Check>> {
    let account = base.connector.account();
    let subject = Subject::catalogue(base.connector.place(), account);
    let mut link = base.link().await?;
    let link = &mut *link;
    let mut checks = vec![Check::good("role", quote_account(account))];
    let version = link
        .texts(&subject, "SHOW SESSION STATUS LIKE 'Ssl_version'")
        .await?;
    let version = version.into_iter().flatten().flatten().nth(1);
    let version = version.filter(|version| !version.is_empty());
    let (mode, local) = base.connector.security();
    checks.push(examination::encryption(mode, local, version.as_deref()));
    checks.push(replica(link, &subject, &base.server).await?);
    checks.push(proxy(link, &subject).await?);
    checks.push(limits(link, &subject, account).await?);
    checks.push(watcher(link, &subject, account).await?);
    checks.push(clock(base, link, &subject).await?);
    Ok(checks)
}

/// The answer to a question that takes a right of its own; the server's words where it is refused.
async fn permitted(
    link: &mut Link,
    subject: &Subject,
    sql: &str,
) -> Result<std::result::Result<Vec<BTreeMap<String, String>>, String>> {
    match link.try_named(sql).await {
        Ok(rows) => Ok(Ok(rows)),
        Err(error @ mysql_async::Error::Server(_)) => Ok(Err(classify::words(&error))),
        Err(error) => Err(link.explain(subject, &error)),
    }
}

/// The statement that tells how a replica is doing, and the name of its lag.
pub(super) fn replica_status(server: &Server) -> (&'static str, &'static str) {
    if !server.mariadb && server.since(8, 0, 22) {
        ("SHOW REPLICA STATUS", "Seconds_Behind_Source")
    } else {
        ("SHOW SLAVE STATUS", "Seconds_Behind_Master")
    }
}

async fn replica(link: &mut Link, subject: &Subject, server: &Server) -> Result<Check> {
    const NAME: &str = "replica";
    let (sql, lag) = replica_status(server);
    let rows = match permitted(link, subject, sql).await? {
        Ok(rows) => rows,
        Err(why) => return Ok(Check::skipped(NAME, format!("not told: {why}"))),
    };
    Ok(match rows.first() {
        None => Check::good(NAME, "no, a primary"),
        Some(row) => match row.get(lag) {
            Some(seconds) => {
                Check::good(NAME, format!("a replica, {seconds} s behind its primary"))
            }
            None => Check::warning(
                NAME,
                "a replica that is not replicating: its rows are as old as that",
                format!("find out why with {sql} and start it, or read from another server"),
            ),
        },
    })
}

/// A proxy answers the handshake with a number of its own.
async fn proxy(link: &mut Link, subject: &Subject) -> Result<Check> {
    const NAME: &str = "proxy";
    let greeted = link.id().to_string();
    let rows = link.texts(subject, "SELECT CONNECTION_ID()").await?;
    let told = rows.into_iter().flatten().flatten().next();
    if told.as_deref() == Some(greeted.as_str()) {
        return Ok(Check::good(
            NAME,
            "none seen: a connection keeps its session",
        ));
    }
    Ok(Check::warning(
        NAME,
        "a proxy stands between: it may hand our statements to different sessions, and a statement of \
         ours cannot be cancelled by its number",
        "connect to the server itself, or switch off multiplexing for this user",
    ))
}

async fn limits(link: &mut Link, subject: &Subject, account: &str) -> Result<Check> {
    const NAME: &str = "time limits";
    // What is told of our own account takes no right.
    let grants = permitted(link, subject, "SHOW GRANTS").await?;
    let grants = grants.unwrap_or_default();
    let lines = grants.iter().flat_map(BTreeMap::values);
    if let Some((limit, number)) = lines.filter_map(|line| hourly(line)).next() {
        return Ok(Check::warning(
            NAME,
            format!("{limit} {number}: a run may use up what the account is allowed in an hour"),
            format!("ALTER USER {} WITH {limit} 0", quote_account(account)),
        ));
    }
    let names: Vec<String> = SET_ASIDE.iter().map(|name| format!("'{name}'")).collect();
    let sql = format!(
        "SHOW GLOBAL VARIABLES WHERE Variable_name IN ({}) AND Value + 0 <> 0",
        names.join(", ")
    );
    let rows = link.texts(subject, &sql).await?;
    let told: Vec<String> = rows
        .into_iter()
        .map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(" = "))
        .collect();
    Ok(Check::good(
        NAME,
        format!("{}: set aside in our sessions", told.join(", ")),
    ))
}

/// A limit on what the account may do in an hour, where a line of its grants has one.
fn hourly(line: &str) -> Option<(&'static str, u64)> {
    OF_ACCOUNT.iter().find_map(|limit| {
        let (_, rest) = line.split_once(limit)?;
        let number: u64 = rest.split_whitespace().next()?.parse().ok()?;
        (number > 0).then_some((*limit, number))
    })
}

/// Without PROCESS an account sees its own sessions only, so nobody else's wait.
async fn watcher(link: &mut Link, subject: &Subject, account: &str) -> Result<Check> {
    const NAME: &str = "watcher";
    // Takes the same right, and says so.
    let sql = "SELECT COUNT(*) FROM information_schema.INNODB_TRX";
    let grant = format!("GRANT PROCESS ON *.* TO {}", quote_account(account));
    Ok(match link.try_texts(sql).await {
        Ok(_) => Check::good(NAME, "sees who waits for our locks, and for what"),
        Err(error) if classify::is_denial(&error) => Check::warning(
            NAME,
            "sees only sessions of this account: whoever else waits for our locks goes unseen, and \
             --max-blocking-s cannot hold",
            grant,
        ),
        Err(error @ mysql_async::Error::Server(_)) => {
            Check::skipped(NAME, format!("not told: {}", classify::words(&error)))
        }
        Err(error) => return Err(link.explain(subject, &error)),
    })
}

async fn clock(base: &Base, link: &mut Link, subject: &Subject) -> Result<Check> {
    let begun = base.clock.now();
    let rows = link
        .texts(
            subject,
            "SELECT CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS UNSIGNED)",
        )
        .await?;
    let ended = base.clock.now();
    let told = rows.into_iter().flatten().flatten().next();
    let micros = told.and_then(|text| text.parse().ok());
    let theirs = micros.and_then(|micros| Timestamp::from_microsecond(micros).ok());
    let theirs = theirs.ok_or_else(|| SourceError::Protocol {
        target: base.connector.place().target.clone(),
        why: "the server told no time".to_owned(),
    })?;
    Ok(Check::clock("clock", theirs, (begun, ended)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accounts_hourly_limits_are_found_among_its_grants() {
        let grant = "GRANT USAGE ON *.* TO 'a'@'%' WITH MAX_QUERIES_PER_HOUR 100 MAX_CONNECTIONS_PER_HOUR 7";
        assert_eq!(hourly(grant), Some(("MAX_QUERIES_PER_HOUR", 100)));
        let grant = "GRANT USAGE ON *.* TO 'a'@'%' WITH MAX_CONNECTIONS_PER_HOUR 7";
        assert_eq!(hourly(grant), Some(("MAX_CONNECTIONS_PER_HOUR", 7)));
        assert_eq!(
            hourly("GRANT SELECT ON `MAX_QUERIES_PER_HOUR`.* TO `a`"),
            None
        );
    }

    #[test]
    fn a_replicas_words_depend_on_the_version() {
        let of = |version, comment| replica_status(&Server::of(version, comment)).0;
        assert_eq!(of("8.0.22", "MySQL"), "SHOW REPLICA STATUS");
        assert_eq!(of("8.0.21", "MySQL"), "SHOW SLAVE STATUS");
        assert_eq!(of("10.11.19-MariaDB", ""), "SHOW SLAVE STATUS");
    }
}
