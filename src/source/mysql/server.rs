//! Which server it is, and what every session of ours fixes there.

use std::time::Duration;

use super::super::SourceError;

/// The oldest versions that this program reads.
const OLDEST_MYSQL: (u16, u16) = (5, 6);
const OLDEST_MARIADB: (u16, u16) = (10, 3);

/// How long the server waits for us to take what it sends: writing a file may take its time.
const SLOW_CONSUMER: Duration = Duration::from_secs(3600);

/// How long a session may be idle: as long as the longest chunk of another.
const IDLE: Duration = Duration::from_secs(7 * 86_400);

/// A server's flavour and version: they differ in more than their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// MariaDB, not MySQL.
    pub(super) mariadb: bool,
    /// Major, minor, patch.
    pub(super) version: (u16, u16, u16),
}

impl Server {
    /// Reads what `VERSION()` and `@@version_comment` say.
    pub(super) fn of(version: &str, comment: &str) -> Self {
        let mariadb = [version, comment]
            .iter()
            .any(|text| text.to_ascii_lowercase().contains("mariadb"));
        // What replication needs to take MariaDB 10 for a MySQL 5.5.
        let number = version.strip_prefix("5.5.5-").unwrap_or(version);
        let mut parts = number.split(|c: char| !c.is_ascii_digit());
        let mut part = || {
            let digits = parts.next().and_then(|digits| digits.parse().ok());
            digits.unwrap_or(0)
        };
        Self {
            mariadb,
            version: (part(), part(), part()),
        }
    }

    /// Whether the version is this or a later one.
    pub(super) fn since(&self, major: u16, minor: u16, patch: u16) -> bool {
        self.version >= (major, minor, patch)
    }

    /// As people call it.
    pub(super) fn name(&self) -> String {
        let (major, minor, patch) = self.version;
        let flavour = if self.mariadb { "MariaDB" } else { "MySQL" };
        format!("{flavour} {major}.{minor}.{patch}")
    }

    /// Refuses versions that lack what we use.
    ///
    /// # Errors
    /// [`SourceError::Unsupported`].
    pub(super) fn check(&self) -> Result<(), SourceError> {
        let (major, minor) = if self.mariadb {
            OLDEST_MARIADB
        } else {
            OLDEST_MYSQL
        };
        if self.since(major, minor, 0) {
            return Ok(());
        }
        Err(SourceError::Unsupported {
            what: format!("{} is too old", self.name()),
            why: format!("its transactions are used as of version {major}.{minor}"),
            fix: "read from a newer server or replica".to_owned(),
        })
    }

    /// What every session fixes, whatever the server's settings are: nothing that changes values, no
    /// limit that ends a session while it waits its turn. `limit` is for one statement; zero is none.
    /// `lock_wait` is the longest wait for a table's lock, in whole seconds, at least one.
    pub(super) fn pins(&self, limit: Duration, lock_wait: Duration) -> String {
        let mut pins = vec![
            "SESSION time_zone = '+00:00'".to_owned(),
            // PAD_CHAR_TO_FULL_LENGTH and the like change what is read; ours are the rules that
            // --where and --query are written for.
            "SESSION sql_mode = ''".to_owned(),
            format!("SESSION net_write_timeout = {}", SLOW_CONSUMER.as_secs()),
            format!("SESSION net_read_timeout = {}", SLOW_CONSUMER.as_secs()),
            format!("SESSION wait_timeout = {}", IDLE.as_secs()),
            // Its default is a day or a year.
            format!("SESSION lock_wait_timeout = {}", lock_wait.as_secs().max(1)),
            "SESSION sql_select_limit = DEFAULT".to_owned(),
            "SESSION sql_big_selects = 1".to_owned(),
            "SESSION sql_safe_updates = 0".to_owned(),
            "SESSION autocommit = 1".to_owned(),
            format!("SESSION {} = 'REPEATABLE-READ'", self.isolation()),
        ];
        if self.mariadb {
            // Zero is no limit at all. In seconds, with a fraction.
            pins.push(format!(
                "SESSION max_statement_time = {}",
                limit.as_secs_f64()
            ));
            pins.push("SESSION idle_transaction_timeout = 0".to_owned());
            pins.push("SESSION idle_readonly_transaction_timeout = 0".to_owned());
        } else {
            if self.since(5, 7, 8) {
                pins.push(format!(
                    "SESSION max_execution_time = {}",
                    limit.as_millis()
                ));
            }
            if self.since(8, 0, 0) {
                pins.push("SESSION information_schema_stats_expiry = 0".to_owned());
            }
        }
        format!("SET {}", pins.join(", "))
    }

    /// The right that an account needs to be told how a replica is doing.
    pub(super) fn replica_right(&self) -> &'static str {
        if self.mariadb && self.since(10, 5, 9) {
            "SLAVE MONITOR"
        } else {
            "REPLICATION CLIENT"
        }
    }

    fn isolation(&self) -> &'static str {
        if !self.mariadb && self.since(5, 7, 20) || self.mariadb && self.since(11, 1, 0) {
            "transaction_isolation"
        } else {
            "tx_isolation"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flavours_and_versions_are_told_apart() {
        let maria = Server::of("5.5.5-10.11.19-MariaDB-0+deb12u1", "Debian 12");
        assert_eq!((maria.mariadb, maria.version), (true, (10, 11, 19)));
        assert_eq!(maria.name(), "MariaDB 10.11.19");
        let by_comment = Server::of("11.4.2", "MariaDB Server");
        assert!(by_comment.mariadb && by_comment.since(11, 1, 0));
        let old = Server::of("5.6.24-log", "MySQL Community Server (GPL)");
        assert_eq!((old.mariadb, old.version), (false, (5, 6, 24)));
        assert!(old.check().is_ok());
        assert!(Server::of("5.5.62", "MySQL").check().is_err());
        assert!(Server::of("10.1.48-MariaDB", "").check().is_err());
    }

    #[test]
    fn pins_are_the_flavours_own() {
        let limit = Duration::from_millis(1500);
        let maria = Server::of("10.11.19-MariaDB", "").pins(limit, Duration::ZERO);
        assert!(maria.contains("max_statement_time = 1.5") && maria.contains("tx_isolation"));
        assert!(!maria.contains("max_execution_time"));
        let mysql = Server::of("8.4.0", "MySQL").pins(limit, Duration::ZERO);
        assert!(mysql.contains("max_execution_time = 1500"));
        assert!(mysql.contains("transaction_isolation") && !mysql.contains("max_statement_time"));
        let old = Server::of("5.6.24", "MySQL").pins(limit, Duration::ZERO);
        assert!(
            !old.contains("max_") && old.contains("lock_wait_timeout = 1,"),
            "{old}"
        );
    }
}
