//! Reads a few ranges of a table with different numbers of sessions at once, and measures how fast
//! each number is (facts sheet, section 4).
//!
//! All sessions read in one snapshot, each on a thread of its own as a run's workers do. Each range is
//! cut into slices, one a session; so many sessions as are being measured start on theirs together,
//! decode every row and drop it. Nothing is written anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::engine::event::Event;
use crate::engine::{EngineError, WorkerHost, behind, until_blocking};
use crate::estimator::curve::Measured;
use crate::model::ChunkBounds;
use crate::source::{Session, Snapshot, SourceError};

/// How often progress is told.
const TICK: Duration = Duration::from_millis(250);

/// What to read.
#[derive(Clone, Debug, PartialEq)]
pub struct Probes {
    /// The table's name, for messages.
    pub object: String,
    /// The numbers of sessions to measure, ascending.
    pub grid: Vec<u32>,
    /// The ranges, each as slices, one for every session of the largest number.
    pub ranges: Vec<Vec<ChunkBounds>>,
}

impl Probes {
    /// The most sessions.
    pub fn sessions(&self) -> u32 {
        self.grid.last().copied().unwrap_or(0)
    }

    /// The same with at most so many sessions.
    pub fn within(&self, sessions: u32) -> Self {
        let mut fewer = self.clone();
        fewer.grid.retain(|count| *count <= sessions);
        for slices in &mut fewer.ranges {
            slices.truncate(sessions as usize);
        }
        fewer
    }

    /// Slices that are read in all: each range once by all sessions, which nobody times, then once for
    /// every number.
    pub fn reads(&self) -> u32 {
        let of_range = self.sessions() + self.grid.iter().sum::<u32>();
        of_range * u32::try_from(self.ranges.len()).unwrap_or(u32::MAX)
    }
}

/// How to read it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Measures durations.
    pub clock: SharedClock,
    /// Where sessions run.
    pub host: WorkerHost,
    /// How long somebody may wait for a lock of ours before the benchmark is given up.
    pub max_blocking: Duration,
}

/// Measures every number of sessions, in ascending order. A range in which a number failed for a
/// passing reason, or found no row, has no figure for it.
///
/// Returns when every session has ended.
///
/// # Errors
/// [`EngineError::Cancelled`] on `cancel`; [`SourceError::Blocking`] when somebody waited too long for
/// us; whatever keeps sessions from being opened or read for good.
pub async fn measure(
    snapshot: Arc<dyn Snapshot>,
    probes: &Probes,
    settings: &Settings,
    on_event: &mut (dyn FnMut(Event) + Send),
    cancel: CancellationToken,
) -> Result<Vec<Measured>, EngineError> {
    let stop = CancellationToken::new();
    let mut crew = Crew::start(&snapshot, probes.sessions(), settings, &stop);
    let watcher = until_blocking(
        behind(Arc::clone(&snapshot)),
        settings.clock.clone(),
        settings.max_blocking,
        probes.object.clone(),
    );
    let result = tokio::select! {
        biased;
        () = cancel.cancelled() => Err(EngineError::Cancelled),
        blocking = watcher => Err(blocking.into()),
        measured = crew.measure(probes, on_event) => measured,
    };
    stop.cancel();
    if result.is_err() {
        snapshot.cancel().await;
    }
    crew.ended().await;
    result
}

/// A slice to read.
struct Order {
    bounds: ChunkBounds,
    reply: oneshot::Sender<Result<Reading, SourceError>>,
}

/// A slice, read to its end.
struct Reading {
    rows: u64,
    took: Duration,
}

/// What all sessions together have read so far.
#[derive(Debug, Default)]
struct Gauge {
    rows: AtomicU64,
    bytes: AtomicU64,
}

/// A session on its thread.
struct Reader {
    opened: oneshot::Receiver<Result<(), SourceError>>,
    orders: mpsc::Sender<Order>,
    ended: oneshot::Receiver<()>,
}

/// Sessions that wait for slices.
struct Crew {
    readers: Vec<Reader>,
    gauge: Arc<Gauge>,
    clock: SharedClock,
    origin: Duration,
    /// Slices that were read.
    done: u32,
}

/// So many sessions at once, on their slices of one range.
struct Probe {
    rows: u64,
    elapsed: Duration,
    /// Time that sessions spent reading, all together.
    busy: Duration,
}

impl Crew {
    fn start(
        snapshot: &Arc<dyn Snapshot>,
        sessions: u32,
        settings: &Settings,
        stop: &CancellationToken,
    ) -> Self {
        let gauge = Arc::new(Gauge::default());
        let readers = (1..=sessions).map(|number| {
            let (told, opened) = oneshot::channel();
            let (orders, inbox) = mpsc::channel(1);
            let work = read(
                Arc::clone(snapshot),
                settings.clock.clone(),
                Arc::clone(&gauge),
                told,
                inbox,
            );
            let stop = stop.clone();
            let ended = settings.host.start(number, async move {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => {}
                    () = work => {}
                }
            });
            Reader {
                opened,
                orders,
                ended,
            }
        });
        Self {
            readers: readers.collect(),
            gauge,
            clock: settings.clock.clone(),
            origin: settings.clock.monotonic(),
            done: 0,
        }
    }

    /// Measures every number of sessions that could be opened.
    async fn measure(
        &mut self,
        probes: &Probes,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Vec<Measured>, EngineError> {
        let sessions = self.open(on_event).await?;
        let counts = probes.grid.iter().filter(|count| **count <= sessions);
        let mut measured: Vec<Measured> = counts
            .map(|count| Measured {
                workers: *count,
                effective_workers: 0.0,
                throughputs: Vec::new(),
            })
            .collect();
        for slices in &probes.ranges {
            // What the first reading finds cold, every timed one finds warm.
            self.probe(slices, sessions, on_event).await?;
            for of_count in &mut measured {
                let probe = self.probe(slices, of_count.workers, on_event).await?;
                let Some(probe) = probe else { continue };
                let seconds = probe.elapsed.as_secs_f64();
                of_count.throughputs.push(probe.rows as f64 / seconds);
                of_count.effective_workers += probe.busy.as_secs_f64() / seconds;
            }
        }
        for of_count in &mut measured {
            of_count.effective_workers /= of_count.throughputs.len().max(1) as f64;
        }
        Ok(measured)
    }

    /// Waits until every session is open, and returns how many are. Those that could not be had are
    /// let go: the server may be full.
    async fn open(&mut self, on_event: &mut (dyn FnMut(Event) + Send)) -> Result<u32, EngineError> {
        let mut open = Vec::with_capacity(self.readers.len());
        let mut refused = None;
        for (mut reader, worker) in std::mem::take(&mut self.readers).into_iter().zip(1..) {
            match (&mut reader.opened).await {
                Ok(Ok(())) => open.push(reader),
                Ok(Err(error)) if error.is_transient() => {
                    let why = error.to_string();
                    on_event(Event::WorkerMissing { worker, why });
                    refused = Some(error);
                }
                Ok(Err(error)) => return Err(error.into()),
                Err(_) => return Err(died()),
            }
        }
        self.readers = open;
        match refused {
            Some(error) if self.readers.is_empty() => Err(error.into()),
            _ => Ok(u32::try_from(self.readers.len()).unwrap_or(u32::MAX)),
        }
    }

    /// The first `count` sessions read a slice each, at the same time. `None` where that failed for a
    /// passing reason, or there was nothing to read.
    async fn probe(
        &mut self,
        slices: &[ChunkBounds],
        count: u32,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) -> Result<Option<Probe>, EngineError> {
        let begun = self.clock.monotonic();
        let mut replies = Vec::with_capacity(slices.len());
        for (reader, bounds) in self.readers.iter().zip(slices).take(count as usize) {
            let (reply, answer) = oneshot::channel();
            let order = Order {
                bounds: bounds.clone(),
                reply,
            };
            reader.orders.send(order).await.map_err(|_| died())?;
            replies.push(answer);
        }
        let answers = self.wait(replies, on_event).await;
        let elapsed = self.clock.monotonic().saturating_sub(begun);
        self.done += count;
        let (mut rows, mut busy, mut whole) = (0, Duration::ZERO, true);
        for answer in answers {
            match answer.map_err(|_| died())? {
                Ok(reading) => {
                    rows += reading.rows;
                    busy += reading.took;
                }
                Err(error) if error.is_transient() => {
                    tracing::warn!(%error, count, "a range could not be measured");
                    whole = false;
                }
                Err(error) => return Err(error.into()),
            }
        }
        let probe = Probe {
            rows,
            elapsed,
            busy,
        };
        Ok((whole && rows > 0 && !elapsed.is_zero()).then_some(probe))
    }

    /// All answers, with progress meanwhile.
    async fn wait<T>(
        &self,
        answers: Vec<oneshot::Receiver<T>>,
        on_event: &mut (dyn FnMut(Event) + Send),
    ) -> Vec<Result<T, oneshot::error::RecvError>> {
        let busy = u32::try_from(answers.len()).unwrap_or(u32::MAX);
        let mut all = std::pin::pin!(join_all(answers));
        let mut ticks = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                biased;
                answers = &mut all => return answers,
                _ = ticks.tick() => on_event(Event::Progress {
                    rows: self.gauge.rows.load(Ordering::Relaxed),
                    bytes: self.gauge.bytes.load(Ordering::Relaxed),
                    chunks_done: self.done,
                    busy,
                    elapsed: self.clock.monotonic().saturating_sub(self.origin),
                }),
            }
        }
    }

    /// Waits until every session has ended, which is soon after they were stopped.
    async fn ended(self) {
        // A reader that panicked has ended too.
        join_all(self.readers.into_iter().map(|reader| reader.ended)).await;
    }
}

/// One session: opens itself, then reads every slice that is ordered. After a failure it is of no
/// further use, and another is opened.
async fn read(
    snapshot: Arc<dyn Snapshot>,
    clock: SharedClock,
    gauge: Arc<Gauge>,
    opened: oneshot::Sender<Result<(), SourceError>>,
    mut orders: mpsc::Receiver<Order>,
) {
    let mut session = match snapshot.session().await {
        Ok(session) => Some(session),
        Err(error) => {
            // Nobody listens when the benchmark was given up.
            let _ = opened.send(Err(error));
            return;
        }
    };
    let _ = opened.send(Ok(()));
    while let Some(Order { bounds, reply }) = orders.recv().await {
        let begun = clock.monotonic();
        let result = attempt(&snapshot, &mut session, &bounds, &gauge).await;
        let _ = reply.send(result.map(|rows| Reading {
            rows,
            took: clock.monotonic().saturating_sub(begun),
        }));
        if session.is_none() {
            // Now, while nobody is timed; where it fails, the next order tries again and tells.
            session = snapshot.session().await.ok();
        }
    }
}

/// Reads a slice, in a new session where there is none. After a failure there is none.
async fn attempt(
    snapshot: &Arc<dyn Snapshot>,
    session: &mut Option<Box<dyn Session>>,
    bounds: &ChunkBounds,
    gauge: &Gauge,
) -> Result<u64, SourceError> {
    let mut open = match session.take() {
        Some(open) => open,
        None => snapshot.session().await?,
    };
    let rows = slice(open.as_mut(), bounds, gauge).await?;
    *session = Some(open);
    Ok(rows)
}

/// Reads a slice to its end, decodes every row and drops it.
async fn slice(
    session: &mut dyn Session,
    bounds: &ChunkBounds,
    gauge: &Gauge,
) -> Result<u64, SourceError> {
    session.begin(bounds).await?;
    let mut rows = 0;
    while let Some(batch) = session.next().await? {
        let of_batch = batch.rows.num_rows() as u64;
        rows += of_batch;
        gauge.rows.fetch_add(of_batch, Ordering::Relaxed);
        gauge.bytes.fetch_add(batch.wire_bytes, Ordering::Relaxed);
    }
    Ok(rows)
}

fn died() -> EngineError {
    EngineError::WorkerDied {
        why: "a session of the benchmark ended before its time".to_owned(),
    }
}
