//! The dispatcher: the only owner of the run's state.

mod counting;
mod impact;
mod outcome;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::select_all;
use tokio::sync::{mpsc, oneshot, watch as latest};
use tokio_util::sync::CancellationToken;

use super::error::EngineError;
use super::event::Event;
use super::gauge::Gauge;
use super::worker::{Cutting, Report, Worker, blank};
use super::{Execution, Settings, Work, watch};
use crate::controller::within_run::{Backoff, Throttle};
use crate::model::{
    ChunkRecord, ChunkStatus, ConsistencyLevel, ExecutionSpec, KeySum, PlannedChunk, WorkerRecord,
    arrow_schema, usual_width,
};
use crate::source::{Snapshot, SourceError};
use crate::writer::{PartReceipt, Sink};
use counting::{Counted, Counter, Counting};

pub(super) use impact::Felt;

/// How often progress is told.
const TICK: Duration = Duration::from_millis(200);

/// How long workers get to stop after they were asked to; those that do not are left behind.
const GRACE: Duration = Duration::from_secs(4);

/// One worker as the dispatcher sees it.
struct Hand {
    orders: mpsc::Sender<PlannedChunk>,
    gauge: Arc<Gauge>,
    /// Whether it is to stand still, though it has a chunk.
    held: latest::Sender<bool>,
    record: WorkerRecord,
    /// It got a session.
    ready: bool,
    /// It has a session and no chunk.
    idle: bool,
    /// It has ended.
    gone: bool,
}

/// The run's state.
pub(super) struct Dispatcher<'a> {
    work: Work<'a>,
    spec: &'a ExecutionSpec,
    snapshot: Arc<dyn Snapshot>,
    sink: Arc<dyn Sink>,
    settings: &'a Settings,
    origin: Duration,
    stop: CancellationToken,
    /// Chunks nobody has taken, next one last.
    waiting: Vec<PlannedChunk>,
    hands: BTreeMap<u32, Hand>,
    chunks: BTreeMap<u32, ChunkRecord>,
    executed: BTreeMap<u32, PlannedChunk>,
    /// The server's own sums over keys, and what they took.
    summed: BTreeMap<u32, (KeySum, Duration)>,
    receipts: BTreeMap<u32, Vec<PartReceipt>>,
    breached: u32,
    /// How many workers may read.
    throttle: Throttle,
    /// Workers were taken away to spare the source.
    shed: bool,
    counted: Option<Counted>,
    counting: bool,
    told_rows: u64,
    adaptations: Vec<String>,
    failure: Option<EngineError>,
}

impl<'a> Dispatcher<'a> {
    pub(super) fn new(
        work: Work<'a>,
        snapshot: Arc<dyn Snapshot>,
        sink: Arc<dyn Sink>,
        settings: &'a Settings,
    ) -> Self {
        let spec = work.spec;
        let mut waiting: Vec<PlannedChunk> = work.chunks().cloned().collect();
        waiting.sort_by_key(|chunk| std::cmp::Reverse(chunk.rank));
        Self {
            spec,
            snapshot,
            sink,
            settings,
            origin: settings.clock.monotonic(),
            stop: CancellationToken::new(),
            waiting,
            hands: BTreeMap::new(),
            chunks: work
                .chunks()
                .map(|chunk| (chunk.number, blank(chunk, 0)))
                .collect(),
            work,
            executed: BTreeMap::new(),
            summed: BTreeMap::new(),
            receipts: BTreeMap::new(),
            breached: 0,
            throttle: Throttle::new(settings.impact, spec.workers),
            shed: false,
            counted: None,
            counting: spec.proof.counts(),
            told_rows: 0,
            adaptations: Vec::new(),
            failure: None,
        }
    }

    /// Runs everything to its end.
    pub(super) async fn run(
        mut self,
        on_event: &mut (dyn FnMut(Event) + Send),
        cancel: CancellationToken,
    ) -> Execution {
        let (reports, mut inbox) = mpsc::unbounded_channel();
        let mut ends = self.start_workers(&reports);
        drop(reports);
        on_event(Event::Started {
            snapshot: self.snapshot.facts(),
            chunks: u32::try_from(self.chunks.len()).unwrap_or(u32::MAX),
            workers: self.spec.workers,
        });
        let mut counting = self.start_counting();
        let mut blocking = watch::until_blocking(
            watch::behind(self.snapshot.clone()),
            self.settings.clock.clone(),
            self.settings.max_blocking,
            self.spec.read.relation.to_string(),
        )
        .boxed();
        let (tell, mut felt) = mpsc::unbounded_channel();
        let mut feeling = self.start_feeling(tell);
        let gauges = self.hands.values().map(|hand| Arc::clone(&hand.gauge));
        let mut looking = watch::look_at_sessions(
            self.snapshot.clone(),
            self.settings.clock.clone(),
            gauges.collect(),
        )
        .boxed();
        let mut tick = tokio::time::interval(TICK);
        while self.failure.is_none() && !self.done() {
            tokio::select! {
                biased;
                () = cancel.cancelled() => self.fail(EngineError::Cancelled),
                Some(report) = inbox.recv() => self.hear(report, on_event),
                counted = &mut counting, if self.counting => self.hear_count(counted, on_event),
                error = &mut blocking => self.fail(error.into()),
                () = &mut feeling => {}
                () = &mut looking => {}
                Some(felt) = felt.recv() => self.feel(felt, on_event),
                (end, index, _) = select_all(&mut ends), if !ends.is_empty() => {
                    drop(ends.swap_remove(index));
                    self.hear_end(end, ends.is_empty(), &mut inbox, on_event);
                }
                _ = tick.tick() => {
                    self.check_age();
                    self.tell_progress(on_event);
                }
            }
        }
        self.wind_down(ends, inbox, on_event).await;
        self.outcome(on_event)
    }

    fn done(&self) -> bool {
        !self.counting
            && self
                .chunks
                .values()
                .all(|chunk| chunk.status == ChunkStatus::Success)
    }

    fn fail(&mut self, error: EngineError) {
        // The first error is the cause; what follows is its consequence.
        if self.failure.is_none() {
            self.failure = Some(error);
            self.stop.cancel();
        }
    }

    fn start_workers(
        &mut self,
        reports: &mpsc::UnboundedSender<Report>,
    ) -> Vec<oneshot::Receiver<()>> {
        let schema = arrow_schema(&self.spec.read.columns);
        let p50 = self.settings.latency_p50;
        let one_statement = self.snapshot.facts().level == ConsistencyLevel::PerChunk;
        let cutting = (!one_statement).then(|| Cutting {
            usual_width: usual_width(&self.spec.chunks),
        });
        (1..=self.spec.workers)
            .map(|number| {
                let (orders, inbox) = mpsc::channel(1);
                let gauge = Arc::new(Gauge::default());
                let (held, holding) = latest::channel(false);
                let worker = Worker {
                    number,
                    schema: schema.clone(),
                    snapshot: self.snapshot.clone(),
                    sink: self.sink.clone(),
                    proof_key: self.spec.proof_key.clone(),
                    clock: self.settings.clock.clone(),
                    origin: self.origin,
                    retry: self.spec.retry,
                    cutting,
                    seed: self.settings.seed.wrapping_add(u64::from(number) << 32),
                    backoff: Backoff::new(self.spec.backoff, p50),
                    gauge: gauge.clone(),
                    held: holding,
                    orders: inbox,
                    reports: reports.clone(),
                    stop: self.stop.clone(),
                };
                let record = WorkerRecord {
                    worker: number,
                    chunks: 0,
                    rows: 0,
                    bytes: 0,
                    busy_ms: 0,
                    blocked_ms: 0,
                    idle_ms: 0,
                    paused_ms: 0,
                };
                self.hands.insert(
                    number,
                    Hand {
                        orders,
                        gauge,
                        held,
                        record,
                        idle: false,
                        gone: false,
                        ready: false,
                    },
                );
                self.settings.host.start(number, worker.run())
            })
            .collect()
    }

    /// The server's own count beside the read.
    fn start_counting(&self) -> Counting {
        let counter = Counter {
            snapshot: self.snapshot.clone(),
            clock: self.settings.clock.clone(),
            policy: self.spec.retry,
            seed: self.settings.seed,
        };
        counter.count(self.work.kept().cloned().collect())
    }

    fn hear_count(
        &mut self,
        counted: Result<Counted, SourceError>,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) {
        self.counting = false;
        match counted {
            Ok(counted) => {
                on_event(Event::Counted {
                    rows: counted.rows,
                    took: counted.took,
                });
                self.counted = Some(counted);
            }
            Err(error) => self.fail(error.into()),
        }
    }

    fn hear(&mut self, report: Report, on_event: &mut (dyn FnMut(Event) + Send)) {
        match report {
            Report::Ready { worker } => {
                on_event(Event::WorkerReady { worker });
                if let Some(hand) = self.hands.get_mut(&worker) {
                    hand.ready = true;
                }
                self.set_idle(worker);
            }
            Report::Told(event) => {
                self.note(&event);
                on_event(event);
            }
            Report::Cut { chunk, pieces } => self.adaptations.push(format!(
                "chunk_{chunk:03} is read by {pieces} statements, one a part of it"
            )),
            Report::Finished {
                worker,
                chunk,
                record,
                receipts,
                summed,
                breached,
            } => {
                self.summed.extend(summed.map(|sum| (chunk.number, sum)));
                self.executed.insert(chunk.number, chunk);
                self.finished(record, receipts, breached, on_event);
                self.set_idle(worker);
            }
            Report::Failed { record, error } => {
                self.chunks.insert(record.number, record);
                self.fail(error);
            }
            Report::Gone {
                worker,
                chunk,
                error,
            } => self.gone(worker, chunk, error, on_event),
        }
    }

    fn note(&mut self, event: &Event) {
        if let Event::ChunkRetried { worker, pause, .. }
        | Event::BackedOff { worker, pause, .. }
        | Event::HeldUp { worker, pause } = event
            && let Some(hand) = self.hands.get_mut(worker)
        {
            hand.record.paused_ms += u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        }
        match event {
            Event::ChunkRetried {
                chunk,
                attempt,
                error,
                ..
            } => self.adaptations.push(format!(
                "chunk_{chunk:03} was read again from its start after attempt {attempt}: {error}"
            )),
            Event::BackedOff { worker, pause, .. } => self.adaptations.push(format!(
                "source_latency_backoff: worker {worker} paused {} s",
                pause.as_secs()
            )),
            _ => {}
        }
    }

    fn finished(
        &mut self,
        record: ChunkRecord,
        receipts: Vec<PartReceipt>,
        breached: bool,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) {
        if let Some(hand) = self.hands.get_mut(&record.worker) {
            hand.record.chunks += 1;
            hand.record.rows += record.rows;
            hand.record.bytes += record.bytes;
            hand.record.busy_ms += record.duration_ms;
            hand.record.blocked_ms += record.query_ms;
        }
        self.breached += u32::from(breached);
        on_event(Event::ChunkFinished {
            record: record.clone(),
            files: receipts.clone(),
            key_sum: self.summed.get(&record.number).map(|(sum, _)| *sum),
        });
        self.receipts.insert(record.number, receipts);
        self.chunks.insert(record.number, record);
    }

    /// A worker without a session ends; its chunk goes to the others, if there are any.
    fn gone(
        &mut self,
        worker: u32,
        chunk: Option<PlannedChunk>,
        error: EngineError,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) {
        if let Some(hand) = self.hands.get_mut(&worker) {
            hand.gone = true;
        }
        let why = error.to_string();
        let passing = matches!(&error, EngineError::Source(error) if error.is_transient());
        if !passing || self.hands.values().all(|hand| hand.gone) {
            return self.fail(error);
        }
        self.adaptations
            .push(format!("went on without worker {worker}: {why}"));
        on_event(Event::WorkerMissing { worker, why });
        if let Some(chunk) = chunk {
            self.waiting.push(chunk);
        }
        self.apply_allowance();
    }

    fn set_idle(&mut self, worker: u32) {
        if let Some(hand) = self.hands.get_mut(&worker) {
            hand.idle = true;
        }
        self.apply_allowance();
    }

    /// A worker has ended. Before the run is over that is in order only after it said why, and
    /// while others are left.
    fn hear_end(
        &mut self,
        end: Result<(), oneshot::error::RecvError>,
        was_last: bool,
        inbox: &mut mpsc::UnboundedReceiver<Report>,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) {
        while let Ok(report) = inbox.try_recv() {
            self.hear(report, on_event);
        }
        if end.is_err() {
            self.fail(EngineError::WorkerDied {
                why: "its thread panicked or could not be started".to_owned(),
            });
        }
        if was_last && !self.done() {
            self.fail(EngineError::WorkerDied {
                why: "no worker is left".to_owned(),
            });
        }
    }

    fn tell_progress(&mut self, on_event: &mut (dyn FnMut(Event) + Send)) {
        let done = self
            .chunks
            .values()
            .filter(|chunk| chunk.status == ChunkStatus::Success);
        let (mut rows, mut chunks_done) = (0, 0);
        for chunk in done {
            rows += chunk.rows;
            chunks_done += 1;
        }
        let (mut bytes, mut busy) = (0, 0);
        for hand in self.hands.values() {
            rows += hand.gauge.rows.load(Ordering::Relaxed);
            bytes += hand.gauge.bytes.load(Ordering::Relaxed);
            busy += u32::from(!hand.idle && !hand.gone);
        }
        self.told_rows = self.told_rows.max(rows);
        let elapsed = self.elapsed();
        on_event(Event::Progress {
            rows: self.told_rows,
            bytes,
            chunks_done,
            busy,
            elapsed,
        });
    }

    fn elapsed(&self) -> Duration {
        self.settings.clock.monotonic().saturating_sub(self.origin)
    }

    /// Stops the workers and hears what they still have to say. After a failure the server is asked
    /// to drop its queries; a worker that does not stop in time is left behind.
    async fn wind_down(
        &mut self,
        mut ends: Vec<oneshot::Receiver<()>>,
        mut inbox: mpsc::UnboundedReceiver<Report>,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) {
        self.stop.cancel();
        let snapshot = self.snapshot.clone();
        let failed = self.failure.is_some();
        let cancelling = async move {
            if failed {
                snapshot.cancel().await;
            }
        };
        let ending = async {
            while !ends.is_empty() {
                let (_, index, _) = select_all(&mut ends).await;
                drop(ends.swap_remove(index));
            }
        };
        let both = async { tokio::join!(cancelling, ending) };
        if tokio::time::timeout(GRACE, both).await.is_err() {
            tracing::warn!("a worker or the server did not stop in time and was left behind");
        }
        while let Ok(report) = inbox.try_recv() {
            if let Report::Finished {
                record,
                receipts,
                summed,
                breached,
                ..
            } = report
            {
                self.summed.extend(summed.map(|sum| (record.number, sum)));
                self.finished(record, receipts, breached, on_event);
            }
        }
    }
}
