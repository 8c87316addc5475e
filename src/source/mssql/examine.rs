//! What `doctor` looks at in a SQL Server.

use jiff::Timestamp;

use super::super::{Result, SourceError, examination};
use super::Base;
use super::acquire::{self, Allowed};
use super::connect::{Link, Texts};
use super::sql::Statement;
use crate::model::Check;

/// Everything, one check each.
pub(super) async fn examine(base: &Base) -> Result<Vec<Check>> {
    let mut link = base.link().await?;
    let link = &mut *link;
    let (mode, local) = base.connector.security();
    // Which version of TLS it is the driver does not tell.
    let version = link.is_encrypted().then_some("TLS");
    Ok(vec![
        Check::good("role", base.server.grantee()),
        examination::encryption(mode, local, version),
        isolation(base, link).await?,
        replica(base, link).await?,
        watcher(base, link).await?,
        clock(base, link).await?,
    ])
}

async fn ask(base: &Base, link: &mut Link, sql: &str) -> Result<Texts> {
    let rows = link.ask(&base.catalogue(), &Statement::plain(sql)).await?;
    Ok(rows.into_iter().next().unwrap_or_default())
}

/// Whether several readers can share one point in time.
async fn isolation(base: &Base, link: &mut Link) -> Result<Check> {
    const NAME: &str = "isolation";
    let Allowed { snapshot, .. } = acquire::allowed(base, link).await?;
    Ok(if snapshot {
        Check::good(
            NAME,
            "SNAPSHOT isolation is allowed: readers share one point in time",
        )
    } else {
        Check::warning(
            NAME,
            "SNAPSHOT isolation is not allowed: one reader keeps a table lock, and writers wait for it",
            acquire::remedy(base),
        )
    })
}

async fn replica(base: &Base, link: &mut Link) -> Result<Check> {
    const NAME: &str = "replica";
    let sql = "SELECT CAST(DATABASEPROPERTYEX(DB_NAME(), 'Updateability') AS nvarchar(60))";
    let told = ask(base, link, sql).await?.into_iter().flatten().next();
    Ok(match told.as_deref() {
        Some("READ_ONLY") => Check::good(
            NAME,
            "the database is read-only here: how far it lags behind is not looked at",
        ),
        Some(_) => Check::good(NAME, "none: the database takes writes here"),
        None => Check::skipped(NAME, "not told"),
    })
}

/// Whether others who wait for our locks are seen.
async fn watcher(base: &Base, link: &mut Link) -> Result<Check> {
    const NAME: &str = "watcher";
    let told = ask(base, link, base.server.may_see_others()).await?;
    Ok(
        if told.into_iter().flatten().next().as_deref() == Some("1") {
            Check::good(NAME, "sees who waits for our locks, and for what")
        } else {
            Check::warning(
                NAME,
                "sees only its own sessions: whoever waits for our locks goes unseen, and \
             --max-blocking-s cannot hold",
                base.server.state_grant(),
            )
        },
    )
}

async fn clock(base: &Base, link: &mut Link) -> Result<Check> {
    let begun = base.clock.now();
    let sql = "SELECT CONVERT(nvarchar(40), SYSUTCDATETIME(), 126)";
    let told = ask(base, link, sql).await?.into_iter().flatten().next();
    let ended = base.clock.now();
    let theirs = told.and_then(|text| format!("{text}Z").parse::<Timestamp>().ok());
    let theirs = theirs.ok_or_else(|| SourceError::Protocol {
        target: base.connector.place().target.clone(),
        why: "the server told no time".to_owned(),
    })?;
    Ok(Check::clock("clock", theirs, (begun, ended)))
}
