//! Which facts to ask a source for before planning.
//!
//! Catalogue, latency, connections, the best key's spread: none of them reads a whole table.

use std::time::Duration;

use crate::clock::Clock;
use crate::model::{
    ConnectionLoad, Key, KeyProfile, LatencySample, Origin, RelationKind, SourceKind,
    SourceProfile, Spread, Statistics, Table,
};
use crate::source::{Doubt, Source, SourceError};

/// Round trips that are timed; the third is the median, the fifth the 95th percentile.
const PINGS: usize = 5;

/// Parts that a key's spread is asked for in: as many as a plan has chunks at most by default.
const DENSITY_PARTS: u32 = 200;

/// The most parts that a spread is asked for in, as many as a plan has chunks at most.
const MOST_PARTS: u32 = 10_000;

/// Rows that a spread's variation is measured with; it does not depend on their number.
const SPREAD_ROWS: u64 = 1_000_000;

/// How a source answers at the moment, whatever the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Round trips.
    pub latency: LatencySample,
    /// Connections.
    pub connections: ConnectionLoad,
}

/// Asks `source` what an execution needs to know where nothing is left to plan: the back-off rule is
/// a multiple of the latency that the run itself finds.
///
/// # Errors
/// Whatever the source answers.
pub async fn contact(source: &dyn Source, clock: &dyn Clock) -> Result<Contact, SourceError> {
    Ok(Contact {
        latency: latency(source, clock).await?,
        connections: source.load().await?,
    })
}

/// A table as a plan that was made before finds it.
#[derive(Clone, Debug)]
pub struct Glance {
    /// The table.
    pub table: Table,
    /// How its source answers.
    pub contact: Contact,
    /// What the source's own statistics and counters of changes say; `None` where it would not tell.
    pub statistics: Option<Statistics>,
}

/// Asks `source` what is kept with every run of `table`, where nothing is left to plan.
///
/// # Errors
/// Whatever the source answers, but for its statistics: nothing depends on them.
pub async fn glance(
    source: &dyn Source,
    table: Table,
    clock: &dyn Clock,
) -> Result<Glance, SourceError> {
    let statistics = match source.statistics(&table).await {
        Ok(statistics) => Some(statistics),
        Err(error) => {
            tracing::warn!(%error, "the table's counters of changes are not kept with this run");
            None
        }
    };
    Ok(Glance {
        contact: contact(source, clock).await?,
        table,
        statistics,
    })
}

/// Asks `source` what a plan needs to know of `table`; `chunk_rows` is the user's wish, if any.
///
/// # Errors
/// Whatever the source answers; nothing is guessed in place of a failed question.
pub async fn profile(
    source: &dyn Source,
    table: Table,
    chunk_rows: Option<u64>,
    clock: &dyn Clock,
) -> Result<SourceProfile, SourceError> {
    let capabilities = source.capabilities();
    let mut statistics = source.statistics(&table).await?;
    let Contact {
        latency,
        connections,
    } = contact(source, clock).await?;
    let parts = density_parts(statistics.estimate.rows, chunk_rows);
    let key = match best_key(&table.keys) {
        Some(key) => Some(key_profile(source, &table, key, parts).await?),
        None => None,
    };
    let whole_key = match key
        .as_ref()
        .and_then(|key| whole_key(&table.keys, key, parts))
    {
        Some(whole) => Some(key_profile(source, &table, whole, parts).await?),
        None => None,
    };
    let plain = matches!(
        table.kind,
        RelationKind::Table | RelationKind::MaterializedView
    );
    if !plain || !capabilities.blocks_addressable {
        statistics.blocks = None;
    }
    let apart = !statistics.leaves.is_empty();
    let blocks_addressable =
        capabilities.blocks_addressable && (apart || statistics.blocks.is_some());
    let mut warnings = warnings(source.identity().kind, &statistics, key.as_ref());
    let doubts = source.doubts(&table).await?;
    warnings.extend(doubts.iter().filter_map(|doubt| warning(doubt, &table)));
    warnings.extend(source.cautions().await?);
    Ok(SourceProfile {
        warnings,
        server: capabilities.server.clone(),
        max_readers: capabilities.max_readers,
        table,
        statistics,
        key,
        whole_key,
        latency,
        connections,
        blocks_addressable,
    })
}

/// The best key: the primary key, else a unique one, else one without NULLs, else any. Among equals
/// the source's order holds.
fn best_key(keys: &[Key]) -> Option<&Key> {
    keys.iter()
        .filter(|key| key.rest.is_empty())
        .min_by_key(|key| (!key.primary, !key.unique, key.nullable))
}

/// All columns of the primary key, where its first one alone was found too coarse to cut on: it has
/// fewer values than a third of the parts asked for.
fn whole_key<'a>(keys: &'a [Key], first: &KeyProfile, parts: u32) -> Option<&'a Key> {
    let coarse = 3 * first.density.distinct() < parts as usize;
    keys.iter()
        .find(|key| !key.rest.is_empty() && key.column == first.key.column)
        .filter(|_| coarse)
}

/// Parts to ask a spread for. Nothing is known between the bounds of a key that only the server can
/// order, so there must be some for every chunk.
fn density_parts(rows: u64, chunk_rows: Option<u64>) -> u32 {
    let chunks = chunk_rows.map_or(0, |size| rows.div_ceil(size.max(1)));
    let parts = chunks.saturating_mul(2);
    u32::try_from(parts)
        .unwrap_or(u32::MAX)
        .clamp(DENSITY_PARTS, MOST_PARTS)
}

async fn key_profile(
    source: &dyn Source,
    table: &Table,
    key: &Key,
    parts: u32,
) -> Result<KeyProfile, SourceError> {
    let (density, correlation_permille) = source.density(table, key, parts).await?;
    let cv_permille = Spread::new(&density, SPREAD_ROWS).map_or(0, |spread| spread.cv_permille());
    Ok(KeyProfile {
        key: key.clone(),
        density,
        correlation_permille,
        cv_permille,
    })
}

async fn latency(source: &dyn Source, clock: &dyn Clock) -> Result<LatencySample, SourceError> {
    let mut round_trips_us = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let start = clock.monotonic();
        source.ping().await?;
        round_trips_us.push(micros(clock.monotonic().saturating_sub(start)));
    }
    round_trips_us.sort_unstable();
    Ok(LatencySample {
        connect_us: micros(source.connect_time()),
        round_trips_us,
    })
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn warnings(kind: SourceKind, statistics: &Statistics, key: Option<&KeyProfile>) -> Vec<String> {
    let mut warnings = Vec::new();
    match (statistics.estimate.origin, kind) {
        (Origin::Unknown, _) => warnings.push(
            "nobody knows how many rows there are: duration and progress are guesses".to_owned(),
        ),
        // SQLite keeps no row count, so there a sample is nothing to act on.
        (Origin::Sample, SourceKind::PostgreSql) => warnings.push(
            "the table was never analysed, so its rows are estimated from a sample: run ANALYZE on it"
                .to_owned(),
        ),
        (Origin::Sample | Origin::Catalogue | Origin::Exact, _) => {}
    }
    match key {
        None if statistics.blocks.is_none() => warnings
            .push("there is no key and no block to cut on: one worker reads everything".to_owned()),
        Some(key) if key.density.origin == Origin::Unknown && key.density.min.is_some() => {
            warnings.push(format!(
                "nobody knows how the values of {} are spread: chunks may differ in size",
                key.key.column
            ));
        }
        _ => {}
    }
    warnings
}

/// What will become of a value that an output type cannot hold.
fn warning(doubt: &Doubt, table: &Table) -> Option<String> {
    const LONGEST: usize = 60;
    let name = &doubt.column;
    let column = table.columns.iter().find(|column| column.name == *name)?;
    let mut value: String = doubt.value.chars().take(LONGEST).collect();
    if value.len() < doubt.value.len() {
        value.push('…');
    }
    let found = format!(
        "{name} holds {value} by the statistics, which {} cannot hold",
        column.field
    );
    Some(if column.on_unrepresentable.is_fail() {
        format!("{found}: the run will stop there; see --type and --on-unrepresentable")
    } else {
        format!("{found}: such values are written as NULL and counted")
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use async_trait::async_trait;
    use jiff::Timestamp;

    use super::*;
    use crate::clock::Manual;
    use crate::model::{
        ConnectionLoad, Estimate, KeyDensity, KeyValue, ReadSpec, Selection, SourceIdentity,
        TypeOptions,
    };
    use crate::planner::fixtures;
    use crate::source::{Capabilities, Result, Snapshot, SnapshotRequest};

    /// A source that answers from fields, and takes 900, 800, 700, … microseconds for a ping.
    struct Fake {
        identity: SourceIdentity,
        capabilities: Capabilities,
        statistics: Statistics,
        density: KeyDensity,
        clock: Manual,
        pings: AtomicU64,
    }

    impl Fake {
        fn new() -> Self {
            let profile = fixtures::profile(1_000_000);
            let mut density = profile.key.expect("it has a key").density;
            // Nine tenths of the rows in the first tenth of the keys.
            density.bounds = (1..10).map(|part| KeyValue::Int(part * 11_111)).collect();
            Self {
                identity: fixtures::source(),
                capabilities: Capabilities {
                    server: profile.server,
                    blocks_addressable: true,
                    max_readers: 7,
                },
                statistics: profile.statistics,
                density,
                clock: Manual::at(Timestamp::UNIX_EPOCH),
                pings: AtomicU64::new(0),
            }
        }

        async fn profile(&self, table: Table) -> SourceProfile {
            profile(self, table, None, &self.clock)
                .await
                .expect("the fake answers everything")
        }
    }

    #[async_trait]
    impl Source for Fake {
        fn identity(&self) -> &SourceIdentity {
            &self.identity
        }

        fn capabilities(&self) -> &Capabilities {
            &self.capabilities
        }

        async fn describe(&self, _: &str, _: &Selection, _: &TypeOptions) -> Result<Table> {
            Ok(table())
        }

        async fn statistics(&self, _: &Table) -> Result<Statistics> {
            Ok(self.statistics.clone())
        }

        async fn density(
            &self,
            _: &Table,
            key: &Key,
            parts: u32,
        ) -> Result<(KeyDensity, Option<i32>)> {
            assert_eq!((key.column.as_str(), parts), ("id", DENSITY_PARTS));
            Ok((self.density.clone(), Some(990)))
        }

        async fn ping(&self) -> Result<()> {
            let ping = self.pings.fetch_add(1, Ordering::Relaxed);
            self.clock.advance(Duration::from_micros(900 - 100 * ping));
            Ok(())
        }

        fn connect_time(&self) -> Duration {
            Duration::from_millis(3)
        }

        async fn load(&self) -> Result<ConnectionLoad> {
            Ok(ConnectionLoad {
                max: 100,
                active: 40,
            })
        }

        async fn snapshot(&self, _: &ReadSpec, _: &SnapshotRequest) -> Result<Arc<dyn Snapshot>> {
            Err(SourceError::Unsupported {
                what: "a snapshot of a fake".to_owned(),
                why: "profiling opens none".to_owned(),
                fix: "do not ask".to_owned(),
            })
        }
    }

    fn table() -> Table {
        fixtures::profile(1_000_000).table
    }

    fn key(column: &str, primary: bool, unique: bool, nullable: bool) -> Key {
        Key {
            column: column.to_owned(),
            primary,
            unique,
            nullable,
            ..fixtures::key()
        }
    }

    #[tokio::test]
    async fn it_asks_for_everything_a_plan_needs() {
        let fake = Fake::new();
        let profile = fake.profile(table()).await;
        assert_eq!(profile.latency.round_trips_us, [500, 600, 700, 800, 900]);
        assert_eq!(
            (profile.latency.p50_us(), profile.latency.p95_us()),
            (700, 900)
        );
        assert_eq!(profile.latency.connect_us, 3_000);
        assert_eq!(profile.connections.safe(), 30);
        assert_eq!(profile.max_readers, 7);
        assert!(profile.blocks_addressable);
        let key = profile.key.expect("it has a key");
        assert_eq!(key.correlation_permille, Some(990));
        assert!(key.cv_permille > 2_500, "{}", key.cv_permille);
        assert_eq!(profile.warnings, Vec::<String>::new());
    }

    #[test]
    fn the_best_key_is_primary_then_unique_then_without_nulls() {
        let any = key("any", false, false, true);
        let filled = key("filled", false, false, false);
        let unique = key("unique", false, true, true);
        let composite = key("composite", true, false, false);
        let best = |keys: &[&Key]| {
            let keys: Vec<Key> = keys.iter().map(|key| (*key).clone()).collect();
            best_key(&keys).map(|key| key.column.clone())
        };
        assert_eq!(best(&[]), None);
        assert_eq!(best(&[&any, &filled]).as_deref(), Some("filled"));
        assert_eq!(best(&[&any, &filled, &unique]).as_deref(), Some("unique"));
        assert_eq!(best(&[&unique, &composite]).as_deref(), Some("composite"));
    }

    #[tokio::test]
    async fn blocks_of_a_partitioned_table_are_not_addressable() {
        let mut table = table();
        table.kind = RelationKind::Partitioned;
        let profile = Fake::new().profile(table).await;
        assert!(!profile.blocks_addressable);
        assert_eq!(profile.statistics.blocks, None);
    }

    #[tokio::test]
    async fn what_a_person_should_know_is_said() {
        let mut fake = Fake::new();
        fake.statistics.estimate = Estimate {
            rows: 5,
            origin: Origin::Sample,
        };
        let warnings = fake.profile(table()).await.warnings;
        assert!(warnings[0].contains("ANALYZE"), "{warnings:?}");

        let mut fake = Fake::new();
        fake.statistics.estimate.origin = Origin::Unknown;
        fake.density.origin = Origin::Unknown;
        let warnings = fake.profile(table()).await.warnings;
        assert_eq!(warnings.len(), 2);
        assert!(warnings[1].contains("id"), "{warnings:?}");

        let mut fake = Fake::new();
        fake.capabilities.blocks_addressable = false;
        let mut keyless = table();
        keyless.keys.clear();
        let warnings = fake.profile(keyless).await.warnings;
        assert!(warnings[0].contains("one worker"), "{warnings:?}");
    }
}
