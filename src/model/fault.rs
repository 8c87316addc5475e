//! Faults: what goes wrong outside of this program, what a run does about it, and what helps.
//!
//! One table for all sources and stores. Their own errors say which fault they are, by the codes that
//! stand here; the engine asks the table whether to try again, and failures take their exit code and
//! remedy from it. `docs/faults.md` shows it, and a test compares the two.

use crate::error::ExitCode;

/// What goes wrong outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Nobody answers at the source's address.
    Unreachable,
    /// A connection broke, or its server was shut down, restarted or told to end it.
    ConnectionLost,
    /// A standby had to choose between us and its primary's changes.
    RecoveryConflict,
    /// A deadlock, or another conflict that passes.
    Deadlock,
    /// A cloud is moving its database, or says that too much is asked of it.
    Throttled,
    /// A statement took longer than allowed, or was cancelled by somebody.
    Timeout,
    /// The server has no session left.
    TooManyConnections,
    /// Somebody else holds a lock.
    Locked,
    /// The server is out of disk or memory.
    Exhausted,
    /// No session is left that holds the point in time.
    SnapshotLost,
    /// The table was replaced while it was read.
    Changed,
    /// Others waited for our lock.
    Blocking,
    /// The source lets us not in, or not read.
    Denied,
    /// The output's disk or quota is full.
    DiskFull,
    /// A store does not answer.
    StoreUnreachable,
    /// A store says that too much is asked of it.
    StoreThrottled,
    /// A store lets us not in, or not write.
    StoreDenied,
    /// This machine's clock is too far off for a store's signatures.
    StoreClock,
    /// The bucket is in another region.
    StoreRegion,
    /// There is no such bucket.
    StoreMissing,
    /// Another run published meanwhile.
    StoreOvertaken,
}

/// What a run does about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// The chunk is read again from its start, by a new session of the same snapshot.
    Rejoin,
    /// The same; a worker without a session leaves its work to the others.
    FewerSessions,
    /// The request is sent again for a while.
    Resend,
    /// The run ends.
    GiveUp,
}

impl Recovery {
    /// In words, for the table.
    pub fn words(self) -> &'static str {
        match self {
            Self::Rejoin => {
                "reads the chunk again, on a new session of the same snapshot, 3 times after 1, 2 and 4 s"
            }
            Self::FewerSessions => {
                "tries again in the same way; then goes on with the sessions it has"
            }
            Self::Resend => "sends the request again, for up to 2 minutes",
            Self::GiveUp => "ends",
        }
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What happens, in words.
    pub what: &'static str,
    /// What a run does about it.
    pub recovery: Recovery,
    /// Whether finished chunks stay good, so that another run can go on with them.
    pub keeps: bool,
    /// The exit code where that did not help.
    pub exit: ExitCode,
    /// What a person can do.
    pub remedy: &'static str,
}

impl Fault {
    /// All, in the table's order.
    pub const ALL: [Self; 21] = [
        Self::Unreachable,
        Self::ConnectionLost,
        Self::RecoveryConflict,
        Self::Deadlock,
        Self::Throttled,
        Self::Timeout,
        Self::TooManyConnections,
        Self::Locked,
        Self::Exhausted,
        Self::SnapshotLost,
        Self::Changed,
        Self::Blocking,
        Self::Denied,
        Self::DiskFull,
        Self::StoreUnreachable,
        Self::StoreThrottled,
        Self::StoreDenied,
        Self::StoreClock,
        Self::StoreRegion,
        Self::StoreMissing,
        Self::StoreOvertaken,
    ];

    /// Its row.
    #[expect(clippy::too_many_lines, reason = "it is the table")]
    pub fn rule(self) -> Rule {
        use ExitCode as X;
        use Recovery::{FewerSessions, GiveUp, Rejoin, Resend};
        let row = |what, recovery, exit, remedy| Rule {
            what,
            recovery,
            keeps: !(self == Self::Changed || self.is_of_a_store()),
            exit,
            remedy,
        };
        match self {
            Self::Unreachable => row(
                "nobody answers at the source's address",
                Rejoin,
                X::Unreachable,
                "check host and port, that the server runs, and that a firewall lets you through",
            ),
            Self::ConnectionLost => row(
                "the connection broke, or the server shut down, restarted or ended the session",
                Rejoin,
                X::Unreachable,
                "check the server's log and the network, then run again",
            ),
            Self::RecoveryConflict => row(
                "a standby cancelled every session of the snapshot in favour of its primary's changes",
                GiveUp,
                X::TryLater,
                "on the standby set hot_standby_feedback = on or raise max_standby_streaming_delay, or read from the primary",
            ),
            Self::Deadlock => row(
                "a deadlock",
                Rejoin,
                X::TryLater,
                "run again when no schema change is under way on the table",
            ),
            Self::Throttled => row(
                "a cloud is moving or waking the database, or says that too much is asked of it",
                Rejoin,
                X::TryLater,
                "run again in a few minutes, with fewer --workers where it comes again",
            ),
            Self::Timeout => row(
                "a statement took longer than the server, the role or we allow, or somebody cancelled it",
                Rejoin,
                X::Failed,
                "raise --statement-timeout-s or the role's statement_timeout, or cut smaller chunks with --chunk-rows",
            ),
            Self::TooManyConnections => row(
                "the server has no session left",
                FewerSessions,
                X::TryLater,
                "try again later, or lower --workers",
            ),
            Self::Locked => row(
                "somebody else holds the table's lock, or the file's",
                Rejoin,
                X::TryLater,
                "try again when the lock is gone, or raise --lock-wait-s",
            ),
            Self::Exhausted => row(
                "the server is out of disk or memory",
                Rejoin,
                X::TryLater,
                "free disk or memory on the server, or read with fewer --workers or smaller chunks",
            ),
            Self::SnapshotLost => row(
                "every session of the snapshot ended, so its point in time is gone",
                GiveUp,
                X::Unreachable,
                "run again: every session of the snapshot ended, so its point in time is gone",
            ),
            Self::Changed => row(
                "the table was truncated, rewritten or altered while it was read",
                GiveUp,
                X::TryLater,
                "run again when the table is not truncated, rewritten or altered meanwhile",
            ),
            Self::Blocking => row(
                "others waited for our lock longer than --max-blocking-s",
                GiveUp,
                X::TryLater,
                "run in a quieter hour, or raise --max-blocking-s",
            ),
            Self::Denied => row(
                "the source lets us not in, or not read",
                GiveUp,
                X::Denied,
                "let an owner run the GRANT that the error names, or check user and password",
            ),
            Self::DiskFull => row(
                "the output's disk or quota is full",
                GiveUp,
                X::Output,
                "free some space or choose another --output; the old version is untouched",
            ),
            Self::StoreUnreachable => row(
                "a store does not answer, or breaks off",
                Resend,
                X::Unreachable,
                "check the endpoint and the network, and run again",
            ),
            Self::StoreThrottled => row(
                "a store says that too much is asked of it",
                Resend,
                X::TryLater,
                "run again later, or with fewer --workers",
            ),
            Self::StoreDenied => row(
                "a store lets us not in, or not write",
                GiveUp,
                X::Denied,
                "check the credentials, and that they have the rights that the error names",
            ),
            Self::StoreClock => row(
                "this machine's clock is too far off for signatures",
                GiveUp,
                X::Denied,
                "set the clock of this machine",
            ),
            Self::StoreRegion => row(
                "the bucket is in another region",
                GiveUp,
                X::Output,
                "set AWS_REGION to the bucket's own region",
            ),
            Self::StoreMissing => row(
                "there is no such bucket",
                GiveUp,
                X::Output,
                "create the bucket, or correct its name or the endpoint",
            ),
            Self::StoreOvertaken => row(
                "another run published to the same place on a store meanwhile",
                GiveUp,
                X::TryLater,
                "run again if the newer version will not do; keep two runs from overlapping",
            ),
        }
    }

    /// The SQLSTATEs by which PostgreSQL says so; two letters are a whole class.
    pub fn sqlstates(self) -> &'static [&'static str] {
        match self {
            Self::ConnectionLost => &[
                "08", "57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04",
            ],
            Self::RecoveryConflict => &["40001"],
            Self::Deadlock => &["40P01"],
            Self::Timeout => &["57014"],
            Self::TooManyConnections => &["53300"],
            Self::Locked => &["55P03"],
            Self::Exhausted => &["53000", "53100", "53200", "53400"],
            Self::Denied => &["28", "42501"],
            _ => &[],
        }
    }

    /// The error numbers by which MySQL and MariaDB say so.
    pub fn mysql_errors(self) -> &'static [u16] {
        match self {
            Self::ConnectionLost => &[
                1053, 1077, 1078, 1080, 1152, 1153, 1154, 1155, 1156, 1157, 1158, 1159, 1160, 1161,
                1184, 1927, 2006, 2013, 3032,
            ],
            Self::Deadlock => &[1020, 1213],
            Self::Timeout => &[1317, 1969, 3024],
            Self::TooManyConnections => &[1040, 1203, 1226],
            Self::Locked => &[1205, 3572],
            Self::Exhausted => &[1021, 1037, 1038, 1041],
            Self::Changed => &[1412],
            Self::Denied => &[1044, 1142, 1143, 1227, 1370],
            _ => &[],
        }
    }

    /// The error numbers by which SQL Server and Azure SQL say so.
    pub fn sqlserver_errors(self) -> &'static [u32] {
        match self {
            Self::ConnectionLost => &[64, 233, 596, 6005, 6006, 10053, 10054, 10060, 17142],
            Self::Deadlock => &[1205, 3960],
            Self::Throttled => &[615, 4221, 40197, 40501, 40540, 40613, 49918, 49919, 49920],
            Self::TooManyConnections => &[10928, 10929, 17300, 17809, 18461],
            Self::Locked => &[1222],
            // No memory, no locks, a full tempdb or log; and the sessions that Azure ends for it.
            Self::Exhausted => &[
                701, 802, 1101, 1105, 1204, 8645, 8651, 9002, 40549, 40550, 40551, 40552, 40553,
            ],
            // The versions of rows that the snapshot stands on are gone.
            Self::SnapshotLost => &[3958, 3959, 3966, 3967],
            Self::Changed => &[3961],
            // Rights first, then logins: wrong, disabled, locked, expired, or kept out by a firewall.
            Self::Denied => &[
                229, 230, 262, 297, 300, 371, 916, 15247, 18451, 18452, 18456, 18470, 18486, 18487,
                18488, 40532, 40615, 40914, 47073,
            ],
            _ => &[],
        }
    }

    /// The result codes by which SQLite says so.
    pub fn sqlite_codes(self) -> &'static [&'static str] {
        match self {
            Self::Locked => &["SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL"],
            Self::Exhausted => &["SQLITE_FULL", "SQLITE_NOMEM"],
            Self::Denied => &["SQLITE_PERM"],
            _ => &[],
        }
    }

    /// The fault of a SQLSTATE.
    pub fn of_sqlstate(code: &str) -> Option<Self> {
        let is = |sign: &str| code == sign || sign.len() == 2 && code.starts_with(sign);
        let says = |fault: &Self| fault.sqlstates().iter().any(|sign| is(sign));
        Self::ALL.into_iter().find(says)
    }

    /// The fault of an error number of MySQL or MariaDB.
    pub fn of_mysql(number: u16) -> Option<Self> {
        let says = |fault: &Self| fault.mysql_errors().contains(&number);
        Self::ALL.into_iter().find(says)
    }

    /// The fault of an error number of SQL Server.
    pub fn of_sqlserver(number: u32) -> Option<Self> {
        let says = |fault: &Self| fault.sqlserver_errors().contains(&number);
        Self::ALL.into_iter().find(says)
    }

    /// Whether it is a store's. What is on its way there has no name yet, and is not kept.
    fn is_of_a_store(self) -> bool {
        matches!(
            self,
            Self::StoreUnreachable
                | Self::StoreThrottled
                | Self::StoreDenied
                | Self::StoreClock
                | Self::StoreRegion
                | Self::StoreMissing
                | Self::StoreOvertaken
        )
    }

    /// Whether the same may succeed when it is tried again in the same snapshot.
    pub fn is_transient(self) -> bool {
        matches!(
            self.rule().recovery,
            Recovery::Rejoin | Recovery::FewerSessions
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_fault_is_in_the_table_once_and_no_code_says_two_things() {
        let all: BTreeSet<Fault> = Fault::ALL.into_iter().collect();
        assert_eq!(all.len(), Fault::ALL.len());
        let states = Fault::ALL.iter().flat_map(|fault| fault.sqlstates());
        let numbers = Fault::ALL.iter().flat_map(|fault| fault.mysql_errors());
        let others = Fault::ALL.iter().flat_map(|fault| fault.sqlserver_errors());
        let (states, numbers): (Vec<_>, Vec<_>) = (states.collect(), numbers.collect());
        let others: Vec<_> = others.collect();
        assert_eq!(others.iter().collect::<BTreeSet<_>>().len(), others.len());
        assert_eq!(states.iter().collect::<BTreeSet<_>>().len(), states.len());
        assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len());
        for fault in Fault::ALL {
            for state in fault.sqlstates() {
                assert_eq!(Fault::of_sqlstate(state), Some(fault));
            }
            for number in fault.mysql_errors() {
                assert_eq!(Fault::of_mysql(*number), Some(fault));
            }
            for number in fault.sqlserver_errors() {
                assert_eq!(Fault::of_sqlserver(*number), Some(fault));
            }
        }
        assert_eq!(Fault::of_sqlstate("08006"), Some(Fault::ConnectionLost));
        assert_eq!(Fault::of_sqlstate("22012"), None);
        assert_eq!(Fault::of_mysql(1064), None);
    }

    #[test]
    fn what_is_given_up_is_told_in_one_line_with_a_remedy() {
        for fault in Fault::ALL {
            let rule = fault.rule();
            assert!(
                !rule.remedy.is_empty() && !rule.what.contains('\n'),
                "{fault:?}"
            );
            assert_ne!(rule.exit, ExitCode::Success);
        }
    }
}
