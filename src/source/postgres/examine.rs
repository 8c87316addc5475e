//! What `doctor` looks at in a PostgreSQL server, and what of it is said before every run.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::super::{Result, SourceError, examination};
use super::Base;
use super::classify::Subject;
use super::connect::{BEGIN_LOOK, Link};
use crate::model::Check;

/// How long a second session may take to begin: behind a pooler without a free one it waits.
const SECOND_SESSION: Duration = Duration::from_secs(5);

/// Everything that one question tells. Settings that a version does not know are NULL; times are in
/// milliseconds.
const FACTS: &str = "
    SELECT current_user::text,
           (SELECT r.rolsuper FROM pg_roles r WHERE r.rolname = current_user),
           pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'),
           (SELECT s.version FROM pg_stat_ssl s WHERE s.pid = pg_backend_pid() AND s.ssl),
           pg_is_in_recovery(),
           (SELECT min(nullif(CASE WHEN s.name LIKE 'max_standby_%_delay' THEN s.setting::int8 END, -1))
            FROM pg_settings s),
           current_setting('hot_standby_feedback') = 'on',
           (extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) * 1000)::int8,
           (extract(epoch FROM clock_timestamp()) * 1000000)::int8,
           (SELECT string_agg(s.name || ' = ' || current_setting(s.name), ', ' ORDER BY s.name)
            FROM pg_settings s WHERE s.setting <> '0' AND s.name IN
              ('statement_timeout', 'idle_in_transaction_session_timeout',
               'transaction_timeout')),
           (SELECT s.setting::int8 FROM pg_settings s WHERE s.name = 'idle_session_timeout'),
           (SELECT s.setting::int8 * 60000 FROM pg_settings s WHERE s.name = 'old_snapshot_threshold'),
           CASE WHEN current_setting('rds.extensions', true) IS NOT NULL THEN 'Amazon RDS or Aurora'
                WHEN current_setting('cloudsql.supported_extensions', true) IS NOT NULL
                  OR current_setting('cloudsql.iam_authentication', true) IS NOT NULL
                THEN 'Google Cloud SQL'
                WHEN current_setting('azure.extensions', true) IS NOT NULL
                THEN 'Azure Database for PostgreSQL' END";

/// The columns of [`FACTS`], by name.
struct Facts(Row);

impl Facts {
    async fn ask(base: &Base) -> Result<Self> {
        let link = base.link().await?;
        let subject = Subject::catalogue(base.connector.place());
        let rows = link.ask(&subject, FACTS, &[]).await?;
        let first = rows.into_iter().next().map(Self);
        first.ok_or_else(|| SourceError::Protocol {
            target: base.connector.place().target.clone(),
            why: "a question with one answer had none".to_owned(),
        })
    }

    fn role(&self) -> Check {
        let (name, superuser): (&str, Option<bool>) = (self.0.get(0), self.0.get(1));
        Check::good(
            "role",
            if superuser == Some(true) {
                format!("{name}, a superuser: a role that may only read is enough")
            } else {
                format!("{name}, no superuser")
            },
        )
    }

    fn watcher(&self) -> Check {
        let all: bool = self.0.get(2);
        Check::good(
            "watcher",
            if all {
                "sees who waits for our locks, and for what"
            } else {
                "sees who waits for our locks; the statements of other roles take pg_read_all_stats"
            },
        )
    }

    /// Why a long read may be cancelled here, and what helps: on a standby that does not tell its
    /// primary what is still read.
    fn standby_risk(&self) -> Option<(String, String)> {
        let (standby, delay, feedback): (bool, Option<i64>, bool) =
            (self.0.get(4), self.0.get(5), self.0.get(6));
        let delay = delay.filter(|_| standby && !feedback)?;
        let seen = format!(
            "a hot standby{}: a read that needs rows which the primary has removed is cancelled after \
             {} (max_standby_streaming_delay), and hot_standby_feedback is off",
            self.lag(),
            span(delay)
        );
        let fix = "on the standby: ALTER SYSTEM SET hot_standby_feedback = on; SELECT \
                   pg_reload_conf(); or raise max_standby_streaming_delay above the run's length, or \
                   read from the primary";
        Some((seen, fix.to_owned()))
    }

    fn lag(&self) -> String {
        let lag: Option<i64> = self.0.get(7);
        lag.map_or_else(String::new, |lag| {
            format!(", last change replayed {} ago", span(lag.max(0)))
        })
    }

    fn standby(&self) -> Check {
        const NAME: &str = "standby";
        match self.standby_risk() {
            Some((seen, fix)) => Check::warning(NAME, seen, fix),
            None if self.0.get(4) => {
                let feedback: bool = self.0.get(6);
                let why = if feedback {
                    "hot_standby_feedback is on: the primary keeps what we read"
                } else {
                    "replay waits for readers without limit"
                };
                Check::good(NAME, format!("a hot standby{}; {why}", self.lag()))
            }
            None => Check::good(NAME, "no, a primary"),
        }
    }

    /// Limits that would end a session of ours in the middle of its work.
    fn limits(&self) -> Check {
        const NAME: &str = "time limits";
        let (idle, oldest): (Option<i64>, Option<i64>) = (self.0.get(10), self.0.get(11));
        if let Some(oldest) = oldest.filter(|oldest| *oldest >= 0) {
            return Check::warning(
                NAME,
                format!(
                    "old_snapshot_threshold = {}: a run that takes longer fails with \"snapshot too old\"",
                    span(oldest)
                ),
                "ALTER SYSTEM SET old_snapshot_threshold = -1; and restart the server, or keep the run \
                 shorter",
            );
        }
        if let Some(idle) = idle.filter(|idle| (1..60_000).contains(idle)) {
            return Check::warning(
                NAME,
                format!(
                    "idle_session_timeout = {}: sessions end between two chunks",
                    span(idle)
                ),
                format!(
                    "ALTER ROLE {} SET idle_session_timeout = 0",
                    super::super::dialect::quote_identifier(self.0.get(0))
                ),
            );
        }
        let theirs: Option<&str> = self.0.get(9);
        Check::good(
            NAME,
            match theirs {
                Some(theirs) => format!("{theirs}: set aside in our transactions"),
                None => "none that would end a run".to_owned(),
            },
        )
    }

    fn service(&self) -> Option<Check> {
        let service: Option<&str> = self.0.get(12);
        service.map(|service| {
            let words = "; its limits are those seen here";
            Check::good("service", format!("{service}{words}"))
        })
    }

    fn clock(&self, ours: (Timestamp, Timestamp)) -> Check {
        let theirs = Timestamp::from_microsecond(self.0.get(8)).unwrap_or(Timestamp::MIN);
        Check::clock("clock", theirs, ours)
    }
}

/// A time in milliseconds as people write it.
fn span(ms: i64) -> String {
    match ms {
        0..10_000 => format!("{ms} ms"),
        10_000..600_000 => format!("{} s", ms / 1000),
        _ => format!("{} min", ms / 60_000),
    }
}

/// Everything, one check each.
pub(super) async fn examine(base: &Base) -> Result<Vec<Check>> {
    let begun = base.clock.now();
    let facts = Facts::ask(base).await?;
    let ended = base.clock.now();
    let (mode, local) = base.connector.security();
    let mut checks = vec![
        facts.role(),
        examination::encryption(mode, local, facts.0.get(3)),
        facts.standby(),
        pooler(base).await?,
        facts.limits(),
        facts.watcher(),
        facts.clock((begun, ended)),
    ];
    checks.extend(facts.service());
    Ok(checks)
}

/// What a person should know before a run of any table here, one line each.
pub(super) async fn cautions(base: &Base) -> Result<Vec<String>> {
    let facts = Facts::ask(base).await?;
    let risk = facts.standby_risk();
    Ok(risk
        .map(|(seen, fix)| format!("{seen} ({fix})"))
        .into_iter()
        .collect())
}

/// Whether each transaction of a connection may be another session of the server: two connections
/// begin one each, end them in the same order, and the first begins again. A pooler then hands out
/// the session that came back last.
async fn pooler(base: &Base) -> Result<Check> {
    const NAME: &str = "pooler";
    let subject = Subject::catalogue(base.connector.place());
    let (one, other) = (base.connector.open().await?, base.connector.open().await?);
    let first = begun(&one, &subject).await?;
    let Ok(second) = tokio::time::timeout(SECOND_SESSION, begun(&other, &subject)).await else {
        other.abort();
        one.close().await;
        return Ok(Check::warning(
            NAME,
            format!(
                "a pooler gave no second session within {} s: a run needs three",
                SECOND_SESSION.as_secs()
            ),
            "raise the pooler's pool size for this database (PgBouncer: default_pool_size), or connect \
             to the server itself",
        ));
    };
    second?;
    for link in [&one, &other] {
        link.execute(&subject, "ROLLBACK").await?;
    }
    let again = begun(&one, &subject).await?;
    one.execute(&subject, "ROLLBACK").await?;
    one.close().await;
    other.close().await;
    Ok(Check::good(
        NAME,
        if first == again {
            "none seen: a connection keeps its session"
        } else {
            "a transaction pooler: settings are made in each transaction, so it is safe; each worker \
             holds one of its sessions"
        },
    ))
}

/// Begins a transaction; the server's number of the session that it is in.
async fn begun(link: &Link, subject: &Subject) -> Result<i32> {
    link.execute(subject, BEGIN_LOOK).await?;
    let sql = "SELECT pg_catalog.pg_backend_pid()";
    Ok(link.row(subject, sql, &[]).await?.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_in_units_that_fit() {
        assert_eq!(span(1_000), "1000 ms");
        assert_eq!(span(30_000), "30 s");
        assert_eq!(span(3_600_000), "60 min");
    }
}
