//! Which server it is, as whom it knows us, and what every session of ours fixes there.

use std::time::Duration;

use super::super::SourceError;
use super::sql::quote_identifier;

/// The oldest version that this program reads: SQL Server 2016.
const OLDEST: u16 = 13;

/// Azure SQL Database, Managed Instance and Edge count their versions in a way of their own.
const AZURE: [u32; 3] = [5, 8, 9];

/// What the first connection learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// `15.0.2000.5`
    version: String,
    /// `EngineEdition`: 5 is Azure SQL Database.
    edition: u32,
    /// Our name in the database, which grants are made to.
    user: String,
    /// Our name at the server.
    login: String,
    /// Where tables are looked for when only their name is given.
    pub(super) schema: String,
}

impl Server {
    /// The question, and the order of [`Server::of`]'s answers.
    pub(super) const QUESTION: &str = "SELECT \
        CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128)), \
        CAST(SERVERPROPERTY('EngineEdition') AS int), \
        USER_NAME(), SUSER_SNAME(), COALESCE(SCHEMA_NAME(), N'dbo')";

    pub(super) fn of(answers: &[Option<String>]) -> Self {
        let text = |index: usize| answers.get(index).cloned().flatten().unwrap_or_default();
        Self {
            version: text(0),
            edition: text(1).parse().unwrap_or(0),
            user: text(2),
            login: text(3),
            schema: text(4),
        }
    }

    fn is_azure(&self) -> bool {
        AZURE.contains(&self.edition)
    }

    /// As people call it.
    pub(super) fn name(&self) -> String {
        let flavour = match self.edition {
            5 => "Azure SQL Database",
            8 => "Azure SQL Managed Instance",
            9 => "Azure SQL Edge",
            _ => "SQL Server",
        };
        format!("{flavour} {}", self.version)
    }

    /// Refuses versions that lack what we use.
    ///
    /// # Errors
    /// [`SourceError::Unsupported`].
    pub(super) fn check(&self) -> Result<(), SourceError> {
        let major = self.version.split('.').next().unwrap_or_default();
        if self.is_azure() || major.parse().is_ok_and(|major: u16| major >= OLDEST) {
            return Ok(());
        }
        Err(SourceError::Unsupported {
            what: format!("{} is too old", self.name()),
            why: "its catalogue is read as SQL Server 2016 (13.0) has it".to_owned(),
            fix: "read from a newer server or replica".to_owned(),
        })
    }

    /// Whom a grant in the database names.
    pub(super) fn grantee(&self) -> String {
        quote_identifier(&self.user)
    }

    /// Asks whether other sessions are shown to us.
    pub(super) fn may_see_others(&self) -> &'static str {
        if self.edition == 5 {
            "SELECT HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'VIEW DATABASE STATE')"
        } else {
            "SELECT HAS_PERMS_BY_NAME(NULL, NULL, 'VIEW SERVER STATE')"
        }
    }

    /// The grant that lets us see other sessions.
    pub(super) fn state_grant(&self) -> String {
        if self.edition == 5 {
            format!("GRANT VIEW DATABASE STATE TO {}", self.grantee())
        } else {
            format!(
                "GRANT VIEW SERVER STATE TO {}",
                quote_identifier(&self.login)
            )
        }
    }
}

/// What every session fixes, whatever the login's settings are: nothing that changes values or cuts them
/// off, the rules that `--where` and `--query` are written for, and that in a deadlock it is we who give
/// way. A lock is waited for that long and no longer.
pub(super) fn pins(lock_wait: Duration) -> String {
    format!(
        "SET TEXTSIZE -1; SET ROWCOUNT 0; SET NOCOUNT ON; SET XACT_ABORT ON; SET ANSI_NULLS ON; \
         SET ANSI_PADDING ON; SET ANSI_WARNINGS ON; SET ARITHABORT ON; \
         SET CONCAT_NULL_YIELDS_NULL ON; SET NUMERIC_ROUNDABORT OFF; SET QUOTED_IDENTIFIER ON; \
         SET LANGUAGE us_english; SET DEADLOCK_PRIORITY LOW; SET LOCK_TIMEOUT {}",
        lock_wait.as_millis()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(version: &str, edition: &str) -> Server {
        let answers = [version, edition, "etl", "domain\\etl", "dbo"];
        Server::of(&answers.map(|text| Some(text.to_owned())))
    }

    #[test]
    fn versions_and_editions_are_told_apart() {
        assert!(server("13.0.1601.5", "3").check().is_ok());
        assert!(server("12.0.2000.8", "3").check().is_err());
        let azure = server("12.0.2000.8", "5");
        assert!(azure.check().is_ok());
        assert_eq!(azure.name(), "Azure SQL Database 12.0.2000.8");
        assert_eq!(azure.state_grant(), "GRANT VIEW DATABASE STATE TO [etl]");
        assert_eq!(
            server("16.0.1", "3").state_grant(),
            "GRANT VIEW SERVER STATE TO [domain\\etl]"
        );
    }
}
