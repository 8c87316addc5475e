//! What is known about a source table before a plan is made (facts sheet, section 1).

use serde::{Deserialize, Serialize};

use super::key::KeyValue;
use super::relation::{Key, Relation, Table};
use super::run::ChangeCounters;

/// Where an estimate comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The catalogue's statistics, scaled to the relation's size now.
    Catalogue,
    /// A bounded sample taken now.
    Sample,
    /// Counted or known exactly.
    Exact,
    /// Nothing is known; the value is a guess from the size, or zero.
    Unknown,
}

/// A number of rows and where it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Estimate {
    /// Rows.
    pub rows: u64,
    /// Where the number comes from.
    pub origin: Origin,
}

/// What the catalogue knows of a relation, without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistics {
    /// Estimated rows; a never-analysed table is sampled, not taken for empty.
    pub estimate: Estimate,
    /// Bytes of the row data itself (heap and TOAST, no indexes).
    pub bytes: u64,
    /// Physical blocks of the main data, where blocks can be addressed (PostgreSQL tables).
    pub blocks: Option<u32>,
    /// The leaves of a partitioned table or inheritance tree, where each may be read by itself in
    /// block ranges and together they are the table; empty elsewhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub leaves: Vec<Leaf>,
    /// The source's change counters now.
    pub counters: ChangeCounters,
}

/// A table that holds some of a partitioned table's rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaf {
    /// Exact name.
    pub relation: Relation,
    /// Its blocks now.
    pub blocks: u32,
}

/// How a key's values are spread, from statistics or a bounded sample; never from a scan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyDensity {
    /// Smallest key now (an index look-up); `None` when there is no non-null key.
    pub min: Option<KeyValue>,
    /// Largest key now.
    pub max: Option<KeyValue>,
    /// Ascending key values that cut the rows into parts of equal estimated count. Values may
    /// repeat where one key value holds many rows; values that the server holds equal are then
    /// spelt alike. Empty when nothing is known.
    pub bounds: Vec<KeyValue>,
    /// Estimated share of NULL keys, in thousandths.
    pub null_permille: u32,
    /// Where `bounds` comes from.
    pub origin: Origin,
}

impl KeyDensity {
    /// How many different values there are among the bounds.
    pub fn distinct(&self) -> usize {
        self.bounds.chunk_by(|one, next| one == next).count()
    }
}

/// A key together with what is known of its values.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyProfile {
    /// The key.
    pub key: Key,
    /// Its spread.
    pub density: KeyDensity,
    /// Physical correlation of key order and storage order in thousandths, −1000 to 1000; `None`
    /// when unknown. SQLite's rowid tables are stored in key order: 1000.
    pub correlation_permille: Option<i32>,
    /// Coefficient of variation over ten equal-width buckets of the key range, in thousandths
    /// (facts sheet, section 1.1), computed from `density`.
    pub cv_permille: u32,
}

/// Round-trip times of small queries on one connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencySample {
    /// Time to open a session and get its first answer, in microseconds.
    pub connect_us: u64,
    /// Round trips in microseconds, ascending; five by default.
    pub round_trips_us: Vec<u64>,
}

impl LatencySample {
    /// The middle round trip, in microseconds.
    pub fn p50_us(&self) -> u64 {
        self.round_trips_us
            .get(self.round_trips_us.len() / 2)
            .copied()
            .unwrap_or(0)
    }

    /// The largest round trip, in microseconds: of five probes that is the 95th percentile.
    pub fn p95_us(&self) -> u64 {
        self.round_trips_us.last().copied().unwrap_or(0)
    }
}

/// How busy a server is, by the share of its connections in use (facts sheet, section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceLoad {
    /// Less than a fifth.
    Low,
    /// Less than three fifths.
    Normal,
    /// Less than four fifths.
    High,
    /// More.
    Critical,
}

/// Connections of the server, as far as this session may see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionLoad {
    /// The most sessions the server (and role and database) allows an ordinary user.
    pub max: u32,
    /// Sessions now, ours included.
    pub active: u32,
}

impl ConnectionLoad {
    /// Free connections now.
    pub fn available(&self) -> u32 {
        self.max.saturating_sub(self.active)
    }

    /// How busy the server is with other sessions; a server without a limit is at ease.
    pub fn level(&self) -> SourceLoad {
        // Shares of the limit without fractions: a fifth, three fifths, four fifths.
        let (active, max) = (5 * u64::from(self.active), u64::from(self.max));
        match active {
            _ if max == 0 => SourceLoad::Normal,
            _ if active < max => SourceLoad::Low,
            _ if active < 3 * max => SourceLoad::Normal,
            _ if active < 4 * max => SourceLoad::High,
            _ => SourceLoad::Critical,
        }
    }

    /// How many we may take at most: half of what is free, at least one.
    pub fn safe(&self) -> u32 {
        (self.available() / 2).max(1)
    }
}

/// Everything a plan is made from, apart from the request and history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceProfile {
    /// The relation and its selected columns.
    pub table: Table,
    /// Size and rows.
    pub statistics: Statistics,
    /// The best key and its spread, where there is one.
    pub key: Option<KeyProfile>,
    /// All columns of the primary key, where `key` is its first one and has few values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_key: Option<KeyProfile>,
    /// Latency.
    pub latency: LatencySample,
    /// Connections.
    pub connections: ConnectionLoad,
    /// The server as it names itself, such as `PostgreSQL 15.18`.
    pub server: String,
    /// Whether the source can be cut by physical blocks (PostgreSQL ≥ 14, plain tables).
    pub blocks_addressable: bool,
    /// The most readers that can share one point in time here.
    pub max_readers: u32,
    /// Things a person should know before the run.
    pub warnings: Vec<String>,
}

impl SourceProfile {
    /// Average bytes of a row; 0 when rows or bytes are 0.
    pub fn avg_row_bytes(&self) -> u64 {
        self.statistics
            .bytes
            .checked_div(self.statistics.estimate.rows)
            .unwrap_or(0)
    }

    /// The smallest and the largest value of its key as text, where they are known.
    pub fn key_ends(&self) -> (Option<String>, Option<String>) {
        let density = self.key.as_ref().map(|profile| &profile.density);
        let text = |value: &KeyValue| value.to_string();
        (
            density.and_then(|density| density.min.as_ref().map(text)),
            density.and_then(|density| density.max.as_ref().map(text)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_goes_by_the_share_of_connections_in_use() {
        let level = |active, max| ConnectionLoad { max, active }.level();
        assert_eq!(level(19, 100), SourceLoad::Low);
        assert_eq!(level(20, 100), SourceLoad::Normal);
        assert_eq!(level(59, 100), SourceLoad::Normal);
        assert_eq!(level(60, 100), SourceLoad::High);
        assert_eq!(level(79, 100), SourceLoad::High);
        assert_eq!(level(80, 100), SourceLoad::Critical);
        assert_eq!(level(3, 0), SourceLoad::Normal);
    }
}
