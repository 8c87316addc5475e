//! A table in memory, a sink in memory, and faults to order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{Array, Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use ixtract::clock::{Clock, SharedClock};
use ixtract::model::*;
use ixtract::source::{
    Batch, BlockedSession, Result as SourceResult, Session, Snapshot, SourceError,
};
use ixtract::writer::{ChunkWriter, Meter, PartReceipt, Result as WriteResult, Sink, WriteError};
use jiff::Timestamp;

/// A clock that follows tokio's, paused or not.
#[derive(Debug)]
pub(crate) struct TokioClock(tokio::time::Instant);

impl TokioClock {
    pub(crate) fn shared() -> Arc<Self> {
        Arc::new(Self(tokio::time::Instant::now()))
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH.checked_add(self.0.elapsed()).unwrap()
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// What goes wrong, and when. Everything off by default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// In these chunks' first attempts, this error comes after the first batch.
    pub(crate) fail_once: BTreeMap<u32, SourceError>,
    /// In every attempt at these chunks, this error comes after the first batch.
    pub(crate) fail_always: BTreeMap<u32, SourceError>,
    /// Session openings, counted from 1, that are refused.
    pub(crate) refuse_openings: BTreeSet<u32>,
    /// Every opening after this many is refused.
    pub(crate) refuse_openings_after: Option<u32>,
    /// Reading these chunks panics.
    pub(crate) panic_in: BTreeSet<u32>,
    /// Reading these chunks never ends.
    pub(crate) hang_in: BTreeSet<u32>,
    /// The server takes this long to begin to answer, the first chunk of all excepted.
    pub(crate) answer: Duration,
    /// Each batch takes this long,
    pub(crate) batch: Duration,
    /// and so long to decode.
    pub(crate) decode: Duration,
    /// Somebody waits for us from this time on.
    pub(crate) blocked_from: Option<Duration>,
    /// The count fails with this error.
    pub(crate) count_error: Option<SourceError>,
}

/// A table of the keys `0..rows`, read in batches of ten.
pub(crate) struct World {
    pub(crate) rows: i64,
    pub(crate) faults: Faults,
    pub(crate) openings: AtomicU32,
    /// Chunks that were begun.
    pub(crate) begun: AtomicU32,
    pub(crate) cancelled: AtomicU32,
    pub(crate) failed_once: Mutex<BTreeSet<u32>>,
    pub(crate) spec: ExecutionSpec,
    pub(crate) clock: Arc<TokioClock>,
}

const BATCH_ROWS: i64 = 10;

impl World {
    /// Chunks of equal size.
    pub(crate) fn new(rows: i64, chunks: u32, workers: u32, faults: Faults) -> Arc<Self> {
        let edge = |index: u32| rows * i64::from(index) / i64::from(chunks);
        let edges: Vec<i64> = (1..chunks).map(edge).collect();
        Self::cut(rows, &edges, workers, faults)
    }

    /// Chunks that begin at 0 and at these keys.
    pub(crate) fn cut(rows: i64, edges: &[i64], workers: u32, faults: Faults) -> Arc<Self> {
        Arc::new(Self {
            rows,
            faults,
            openings: AtomicU32::new(0),
            begun: AtomicU32::new(0),
            cancelled: AtomicU32::new(0),
            failed_once: Mutex::new(BTreeSet::new()),
            spec: spec(edges, workers),
            clock: TokioClock::shared(),
        })
    }
}

/// The one column of the one table.
fn numbers() -> ReadSpec {
    ReadSpec {
        relation: Relation {
            schema: "main".into(),
            name: "numbers".into(),
        },
        kind: RelationKind::Table,
        query: None,
        columns: vec![Column {
            name: "n".into(),
            source_type: "INTEGER".into(),
            base_type: "integer".into(),
            read: ReadAs::Native,
            field: FieldType::Int64,
            nullable: false,
            comment: None,
            generated: None,
            on_unrepresentable: Default::default(),
            lossy: false,
        }],
        key: Some(Key {
            column: "n".into(),
            source_type: "INTEGER".into(),
            primary: true,
            unique: true,
            nullable: false,
            order: KeyOrder::Integer,
            rest: Vec::new(),
        }),
        leaves: Vec::new(),
        filter: None,
    }
}

fn spec(edges: &[i64], workers: u32) -> ExecutionSpec {
    let chunks = edges.len() as u32 + 1;
    let edge = |index: usize| edges.get(index).map(|edge| KeyValue::Int((*edge).into()));
    let planned = (0..chunks).map(|index| PlannedChunk {
        number: index + 1,
        // The last chunk is dispatched first, so that order is seen to come from the rank.
        rank: chunks - 1 - index,
        bounds: ChunkBounds::Key(KeyRange {
            lower: (index as usize).checked_sub(1).and_then(edge),
            upper: edge(index as usize),
        }),
    });
    ExecutionSpec {
        plan_version: PLAN_VERSION,
        source: SourceIdentity {
            kind: SourceKind::Sqlite,
            host: String::new(),
            port: 0,
            database: "world".into(),
            name: None,
        },
        read: numbers(),
        window: None,
        types: TypeMapping {
            mode: TypeMode::Portable,
            version: TYPE_MAP_VERSION,
        },
        strategy: Strategy::RangeChunking,
        chunks: planned.collect(),
        workers,
        scheduling: Scheduling::WorkStealing,
        retry: RetryPolicy {
            retries: 3,
            base_ms: 1000,
            max_ms: 60_000,
        },
        backoff: BackoffRule {
            threshold_p50s: 5,
            floor_ms: 50,
            floor_p50s: 10,
            active_from_p50_us: 1000,
            max_activations: 10,
            cooldown_chunks: 3,
            max_pause_ms: 30_000,
        },
        format: FormatOptions::default(),
        consistency: Consistency::Auto,
        proof: ProofLevel::Count,
        proof_key: Vec::new(),
        memory_mb: None,
    }
}

/// A handle that is a snapshot; the trait needs a type of its own because of `Arc`.
pub(crate) struct MemorySnapshot(pub(crate) Arc<World>);

#[async_trait]
impl Snapshot for MemorySnapshot {
    fn facts(&self) -> SnapshotFacts {
        SnapshotFacts {
            level: ConsistencyLevel::SharedSnapshot,
            readers: self.0.spec.workers,
            position: None,
            taken_at: "2026-01-01T00:00:00Z".into(),
            held_by: "nothing".into(),
            notes: Vec::new(),
        }
    }

    async fn session(&self) -> SourceResult<Box<dyn Session>> {
        let opening = self.0.openings.fetch_add(1, Ordering::SeqCst) + 1;
        let faults = &self.0.faults;
        let late = faults
            .refuse_openings_after
            .is_some_and(|most| opening > most);
        if late || faults.refuse_openings.contains(&opening) {
            return Err(too_many());
        }
        Ok(Box::new(MemorySession {
            world: self.0.clone(),
            chunk: 0,
            next: 0,
            end: 0,
            sent: 0,
        }))
    }

    async fn count(&self) -> SourceResult<u64> {
        tokio::time::sleep(Duration::from_millis(5)).await;
        match &self.0.faults.count_error {
            Some(error) => Err(error.clone()),
            None => Ok(self.0.rows.unsigned_abs()),
        }
    }

    async fn blocked(&self) -> SourceResult<Vec<BlockedSession>> {
        let since = self.0.faults.blocked_from;
        let waits = since.is_some_and(|from| self.0.clock.monotonic() >= from);
        let session = BlockedSession {
            id: "4711".into(),
            statement: "ALTER TABLE numbers ADD x int".into(),
        };
        Ok(waits.then_some(session).into_iter().collect())
    }

    async fn cancel(&self) {
        self.0.cancelled.fetch_add(1, Ordering::SeqCst);
    }

    async fn close(&self) -> SourceResult<()> {
        Ok(())
    }
}

/// The error of a full server.
pub(crate) fn too_many() -> SourceError {
    SourceError::TooManyConnections {
        target: "world".into(),
        why: "53300".into(),
    }
}

/// The error of a broken line.
pub(crate) fn lost() -> SourceError {
    SourceError::ConnectionLost {
        target: "world".into(),
        why: "reset".into(),
    }
}

struct MemorySession {
    world: Arc<World>,
    chunk: u32,
    next: i64,
    end: i64,
    sent: u32,
}

#[async_trait]
impl Session for MemorySession {
    async fn begin(&mut self, bounds: &ChunkBounds) -> SourceResult<()> {
        if self.world.begun.fetch_add(1, Ordering::SeqCst) > 0 {
            tokio::time::sleep(self.world.faults.answer).await;
        }
        let planned = self
            .world
            .spec
            .chunks
            .iter()
            .find(|chunk| chunk.bounds == *bounds)
            .unwrap();
        let ChunkBounds::Key(range) = bounds else {
            panic!("only key chunks here")
        };
        let int = |value: &Option<KeyValue>, open: i64| match value {
            Some(value) => i64::try_from(value.as_int().unwrap()).unwrap(),
            None => open,
        };
        self.chunk = planned.number;
        self.next = int(&range.lower, 0);
        self.end = int(&range.upper, self.world.rows);
        self.sent = 0;
        Ok(())
    }

    async fn next(&mut self) -> SourceResult<Option<Batch>> {
        let faults = &self.world.faults;
        assert!(
            !faults.panic_in.contains(&self.chunk),
            "ordered by the test"
        );
        if faults.hang_in.contains(&self.chunk) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(faults.batch).await;
        if self.sent == 1 {
            if let Some(error) = faults.fail_always.get(&self.chunk) {
                return Err(error.clone());
            }
            if let Some(error) = faults.fail_once.get(&self.chunk)
                && self.world.failed_once.lock().unwrap().insert(self.chunk)
            {
                return Err(error.clone());
            }
        }
        if self.next >= self.end {
            return Ok(None);
        }
        let until = (self.next + BATCH_ROWS).min(self.end);
        let values = Int64Array::from_iter_values(self.next..until);
        let schema = arrow_schema(&self.world.spec.read.columns);
        let rows = RecordBatch::try_new(schema, vec![Arc::new(values)]).unwrap();
        self.next = until;
        self.sent += 1;
        tokio::time::sleep(faults.decode).await;
        Ok(Some(Batch {
            wire_bytes: rows.num_rows() as u64 * 8,
            rows,
            decode: faults.decode,
            nulled: Vec::new(),
        }))
    }
}

/// Keeps what is finished, chunk by chunk; forgets what is aborted or dropped.
#[derive(Default)]
pub(crate) struct MemorySink {
    pub(crate) finished: Arc<Mutex<BTreeMap<u32, Vec<i64>>>>,
    pub(crate) order: Arc<Mutex<Vec<u32>>>,
    pub(crate) aborts: Arc<AtomicU32>,
    /// Writing to these chunks fails as a full disk does.
    pub(crate) full_in: BTreeSet<u32>,
    /// How long a batch takes to encode,
    pub(crate) encode: Duration,
    /// and to be stored.
    pub(crate) store: Duration,
    /// Measures the latter.
    pub(crate) clock: Option<Arc<TokioClock>>,
}

impl MemorySink {
    /// Every finished value in chunk order.
    pub(crate) fn values(&self) -> Vec<i64> {
        self.finished
            .lock()
            .unwrap()
            .values()
            .flatten()
            .copied()
            .collect()
    }
}

#[async_trait]
impl Sink for MemorySink {
    async fn open(&self, chunk: u32, _schema: SchemaRef) -> WriteResult<Box<dyn ChunkWriter>> {
        self.order.lock().unwrap().push(chunk);
        Ok(Box::new(MemoryWriter {
            chunk,
            values: Vec::new(),
            finished: self.finished.clone(),
            aborts: self.aborts.clone(),
            full: self.full_in.contains(&chunk),
            encode: self.encode,
            store: self.store,
            meter: Meter::new(self.clock.clone().map(|clock| clock as SharedClock)),
        }))
    }
}

struct MemoryWriter {
    chunk: u32,
    values: Vec<i64>,
    finished: Arc<Mutex<BTreeMap<u32, Vec<i64>>>>,
    aborts: Arc<AtomicU32>,
    full: bool,
    encode: Duration,
    store: Duration,
    meter: Meter,
}

#[async_trait]
impl ChunkWriter for MemoryWriter {
    async fn write(&mut self, batch: &RecordBatch) -> WriteResult<()> {
        if self.full {
            let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
            return Err(WriteError::io("write", "memory")(full));
        }
        let column = batch
            .column(0)
            .as_any()
            .downcast_ref::<Int64Array>()
            .unwrap();
        assert_eq!(column.null_count(), 0);
        self.values.extend(column.values());
        tokio::time::sleep(self.encode).await;
        let storing = tokio::time::sleep(self.store);
        self.meter.while_waiting(storing).await;
        Ok(())
    }

    fn meter(&self) -> Meter {
        self.meter.clone()
    }

    async fn finish(self: Box<Self>) -> WriteResult<Vec<PartReceipt>> {
        let rows = self.values.len() as u64;
        self.finished
            .lock()
            .unwrap()
            .insert(self.chunk, self.values);
        let receipt = PartReceipt {
            waits: Waits::Staged,
            name: format!("part-{:05}", self.chunk),
            chunk: self.chunk,
            segment: 1,
            rows,
            bytes: rows * 8,
            sha256: String::new(),
        };
        Ok((rows > 0).then_some(receipt).into_iter().collect())
    }

    async fn abort(self: Box<Self>) -> WriteResult<()> {
        self.aborts.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}
