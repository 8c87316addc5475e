//! One reader of a snapshot: a connection with its transaction, on a thread of its own.
//!
//! SQLite's statements borrow their connection, and its calls block. So a reader lives on a plain
//! thread, takes commands from a queue and sends finished batches through a channel that holds one:
//! at most three batches of a reader exist at a time, one being filled, one queued, one in use.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, ErrorCode, InterruptHandle};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::decode::Decoders;
use super::failure;
use super::file::DatabaseFile;
use super::pool::{Berth, Mooring};
use crate::clock::SharedClock;
use crate::model::{Column, KeySum, Relation};
use crate::source::{Batch, Result, SourceError};

/// Virtual machine instructions between two looks at whether to go on: some hundred microseconds.
const LOOK_EVERY: i32 = 10_000;
/// The time of one row in so many is taken.
const TIMED: usize = 64;
/// More than this into one batch would overflow Arrow's 32-bit offsets.
const MOST_BATCH_BYTES: usize = 256 << 20;

/// What every reader of a snapshot reads, and how.
#[derive(Debug)]
pub(super) struct Job {
    /// The relation.
    pub(super) relation: Relation,
    /// Its columns in output order.
    pub(super) columns: Vec<Column>,
    /// The name of a row: the last column of every statement, where rows have one.
    pub(super) row_name: Option<String>,
    /// Bytes that end a batch.
    pub(super) batch_bytes: usize,
    /// Each chunk in a transaction of its own.
    pub(super) per_chunk: bool,
    /// The most time a statement may take; zero means any.
    pub(super) statement_timeout: Duration,
    /// The clock that time is measured with.
    pub(super) clock: SharedClock,
    /// Ends every reader of the snapshot.
    pub(super) stop: CancellationToken,
}

impl Job {
    fn object(&self) -> String {
        self.relation.to_string()
    }
}

/// What a reader is asked to do.
pub(super) struct Command {
    /// The statement.
    pub(super) sql: String,
    /// Cancelled when nobody waits for the answer any more; a child of [`Job::stop`].
    pub(super) gone: CancellationToken,
    /// Where the answer goes.
    pub(super) to: Answer,
}

/// Where a command's answer goes, and so what kind of command it is.
pub(super) enum Answer {
    /// Run a chunk's statement; `Ok(None)` follows the last batch once SQLite said SQLITE_DONE.
    Batches(mpsc::Sender<Result<Option<Batch>>>),
    /// Count rows. May come in the middle of a read, and is then answered between two batches.
    Count(oneshot::Sender<Result<u64>>),
    /// Sum the keys that a statement's rows are.
    Sum(oneshot::Sender<Result<KeySum>>),
}

/// The near end of a reader.
pub(super) struct Reader {
    commands: mpsc::UnboundedSender<Command>,
    interrupt: InterruptHandle,
    berth: Arc<Berth>,
    thread: JoinHandle<()>,
}

impl Reader {
    /// Moves a connection, its transaction already open where it is to have one, to a new thread, which
    /// brings it to its berth in the end.
    ///
    /// # Errors
    /// The system's, when it has no thread left.
    pub(super) fn start(
        number: usize,
        mut mooring: Mooring,
        file: Arc<DatabaseFile>,
        job: Arc<Job>,
        runtime: Handle,
    ) -> Result<Self> {
        let Some(connection) = mooring.cast_off() else {
            return Err(failure::interrupted(&job.object()));
        };
        let berth = Arc::clone(mooring.berth());
        let (commands, queue) = mpsc::unbounded_channel();
        let inbox = Inbox {
            queue,
            put_back: None,
        };
        let interrupt = connection.get_interrupt_handle();
        let object = job.object();
        let watch = Arc::new(Watch {
            clock: Arc::clone(&job.clock),
            gone: Mutex::new(job.stop.clone()),
            deadline_us: AtomicU64::new(u64::MAX),
        });
        let mut worker = Worker {
            connection,
            _file: file,
            job,
            runtime,
            watch,
        };
        worker
            .install_watch()
            .map_err(|error| failure::translate(&error, &object))?;
        let thread = std::thread::Builder::new()
            .name(format!("ixtract-sqlite-{number}"))
            .spawn(move || mooring.moor(worker.run(inbox)))
            .map_err(|error: io::Error| SourceError::Statement {
                object,
                why: format!("no thread for a reader: {}", failure::one_line(&error)),
            })?;
        Ok(Self {
            commands,
            interrupt,
            berth,
            thread,
        })
    }

    /// Hands over a command; false when the thread has ended.
    pub(super) fn tell(&self, command: Command) -> bool {
        self.commands.send(command).is_ok()
    }

    /// Stops the statements that run now, those included that look at nothing while they run.
    pub(super) fn interrupt(&self) {
        self.berth.unless_released(|| self.interrupt.interrupt());
    }

    /// Whether the thread has ended and its connection is closed.
    pub(super) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }
}

/// What the progress handler looks at while a statement runs.
struct Watch {
    clock: SharedClock,
    /// The running command's own token.
    gone: Mutex<CancellationToken>,
    /// When the statement must have ended, on the clock's monotonic time.
    deadline_us: AtomicU64,
}

/// Why a statement is to end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Gone,
    TooLong,
}

impl Watch {
    fn begin(&self, gone: &CancellationToken, deadline_us: u64) {
        *self.gone.lock().unwrap_or_else(PoisonError::into_inner) = gone.clone();
        self.deadline_us.store(deadline_us, Ordering::Relaxed);
    }

    fn reason(&self) -> Option<Reason> {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if gone.is_cancelled() {
            return Some(Reason::Gone);
        }
        let deadline = self.deadline_us.load(Ordering::Relaxed);
        (deadline != u64::MAX && micros(self.clock.monotonic()) > deadline)
            .then_some(Reason::TooLong)
    }
}

struct Worker {
    // Dropped in this order: the file may tidy up only once the connection is closed.
    connection: Connection,
    _file: Arc<DatabaseFile>,
    job: Arc<Job>,
    runtime: Handle,
    watch: Arc<Watch>,
}

/// A reader's commands.
struct Inbox {
    queue: mpsc::UnboundedReceiver<Command>,
    /// A command that was taken from the queue too early.
    put_back: Option<Command>,
}

impl Inbox {
    /// The next command if it is there already and is a count.
    fn take_count(&mut self) -> Option<Command> {
        if self.put_back.is_none() {
            self.put_back = self.queue.try_recv().ok();
        }
        self.put_back
            .take_if(|command| matches!(command.to, Answer::Count(_)))
    }
}

/// Where a read's batches go.
struct Line {
    to: mpsc::Sender<Result<Option<Batch>>>,
    gone: CancellationToken,
}

impl Worker {
    fn install_watch(&mut self) -> rusqlite::Result<()> {
        let watch = Arc::clone(&self.watch);
        let look = move || watch.reason().is_some();
        self.connection.progress_handler(LOOK_EVERY, Some(look))
    }

    /// Does what it is told, and hands the connection back in the end.
    fn run(self, mut inbox: Inbox) -> Connection {
        while let Some(Command { sql, gone, to }) = self.next_command(&mut inbox) {
            match to {
                Answer::Count(to) => {
                    let counted = loop {
                        if let Some(counted) = self.count(&sql, &gone) {
                            break counted;
                        }
                    };
                    // The asker may have gone, and then nobody wants the number.
                    let _ = to.send(counted);
                }
                Answer::Sum(to) => {
                    self.begin_statement(&gone);
                    // The asker may have gone, and then nobody wants the sum.
                    let _ = to.send(self.sum(&sql));
                }
                Answer::Batches(to) => {
                    let line = Line { to, gone };
                    let end = self.read(&sql, &line, &mut inbox).map(|()| None);
                    // A receiver that is gone does not want the end either.
                    self.send(&line, end);
                }
            }
        }
        self.connection
    }

    /// Waits for a command; `None` when all is to stop.
    fn next_command(&self, inbox: &mut Inbox) -> Option<Command> {
        if self.job.stop.is_cancelled() {
            return None;
        }
        if let Some(command) = inbox.put_back.take() {
            return Some(command);
        }
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.job.stop.cancelled() => None,
                command = inbox.queue.recv() => command,
            }
        })
    }

    /// Waits for room in the channel; false when nobody listens any more.
    fn send(&self, line: &Line, message: Result<Option<Batch>>) -> bool {
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                sent = line.to.send(message) => sent.is_ok(),
                () = line.gone.cancelled() => false,
            }
        })
    }

    fn begin_statement(&self, gone: &CancellationToken) {
        let deadline = match self.job.statement_timeout {
            Duration::ZERO => u64::MAX,
            limit => micros(self.job.clock.monotonic().saturating_add(limit)),
        };
        self.watch.begin(gone, deadline);
    }

    fn read(&self, sql: &str, line: &Line, inbox: &mut Inbox) -> Result<()> {
        self.begin_statement(&line.gone);
        if self.job.per_chunk {
            self.execute("BEGIN")?;
        }
        let read = self.stream(sql, line, inbox);
        if self.job.per_chunk {
            // The session may be used again, so it must not stay in this transaction.
            self.execute("ROLLBACK")?;
        }
        read
    }

    fn execute(&self, sql: &str) -> Result<()> {
        self.connection
            .execute_batch(sql)
            .map_err(|error| self.explain(&error))
    }

    /// Runs a chunk's statement to SQLITE_DONE, or until nobody listens.
    fn stream(&self, sql: &str, line: &Line, inbox: &mut Inbox) -> Result<()> {
        let job = &self.job;
        let mut decoders = Decoders::new(&job.relation, &job.columns, job.row_name.as_deref())?;
        let mut statement = self
            .connection
            .prepare(sql)
            .map_err(|error| self.explain(&error))?;
        // An unbound place holder would be NULL, silently.
        if statement.parameter_count() > 0 {
            return Err(SourceError::Statement {
                object: job.object(),
                why: "the filter holds a place holder (? or :name) that nothing fills".to_owned(),
            });
        }
        let limit = job.batch_bytes.clamp(1, MOST_BATCH_BYTES);
        let mut timer = Timer::default();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(|error| self.explain(&error))? {
            if decoders.rows() % TIMED == 0 {
                let start = job.clock.monotonic();
                decoders.append(row)?;
                timer.add(start, job.clock.monotonic());
            } else {
                decoders.append(row)?;
            }
            if decoders.bytes() >= limit {
                let batch = finish(&mut decoders, &mut timer, &job.clock)?;
                if !self.send(line, Ok(Some(batch))) || !self.answer_count(line, inbox) {
                    return Err(failure::interrupted(&job.object()));
                }
            }
        }
        if decoders.rows() > 0 {
            let batch = finish(&mut decoders, &mut timer, &job.clock)?;
            self.send(line, Ok(Some(batch)));
        }
        Ok(())
    }

    /// Answers a count that came in the middle of a read, on the same connection and so in the same
    /// transaction. False when the read was given up meanwhile, and the count is to be taken anew
    /// once its statement is off the connection.
    fn answer_count(&self, line: &Line, inbox: &mut Inbox) -> bool {
        let Some(Command { sql, gone, to }) = inbox.take_count() else {
            return true;
        };
        let counted = self.count(&sql, &gone);
        self.begin_statement(&line.gone);
        match (counted, to) {
            (Some(counted), Answer::Count(to)) => {
                // The asker may have gone, and then nobody wants the number.
                let _ = to.send(counted);
                true
            }
            (_, to) => {
                inbox.put_back = Some(Command { sql, gone, to });
                false
            }
        }
    }

    /// Counts; `None` when the count was interrupted for the sake of a read on this connection.
    fn count(&self, sql: &str, gone: &CancellationToken) -> Option<Result<u64>> {
        // The time limit is for chunks, which can be cut smaller.
        self.watch.begin(gone, u64::MAX);
        let counted = self
            .connection
            .query_row(sql, [], |row| row.get::<_, i64>(0));
        match counted {
            Ok(rows) => Some(Ok(rows.unsigned_abs())),
            Err(error) if is_interruption(&error) && self.watch.reason().is_none() => None,
            Err(error) => Some(Err(self.explain(&error))),
        }
    }

    /// Sums the keys that a statement's rows are: texts and integers.
    fn sum(&self, sql: &str) -> Result<KeySum> {
        let explain = |error| self.explain(&error);
        let mut statement = self.connection.prepare(sql).map_err(explain)?;
        let columns = statement.column_count();
        let mut rows = statement.raw_query();
        let mut sum = KeySum::default();
        let mut key = Vec::new();
        while let Some(row) = rows.next().map_err(explain)? {
            key.clear();
            for column in 0..columns {
                match row.get_ref(column).map_err(explain)? {
                    ValueRef::Integer(number) => {
                        KeySum::part(&mut key, number.to_string().as_bytes());
                    }
                    ValueRef::Text(text) => KeySum::part(&mut key, text),
                    other => {
                        return Err(SourceError::Statement {
                            object: self.job.object(),
                            why: format!("a key is of type {}", other.data_type()),
                        });
                    }
                }
            }
            sum.add(&key);
        }
        Ok(sum)
    }

    /// What an error means, knowing why we may have interrupted a statement.
    fn explain(&self, error: &rusqlite::Error) -> SourceError {
        let object = self.job.object();
        match self.watch.reason() {
            Some(Reason::TooLong) if is_interruption(error) => SourceError::Timeout {
                object,
                why: format!(
                    "the statement ran longer than {} s",
                    self.job.statement_timeout.as_secs_f64()
                ),
            },
            _ => failure::translate(error, &object),
        }
    }
}

fn is_interruption(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Estimates the time of decoding from some of the rows: a clock read costs as much as a row.
#[derive(Default)]
struct Timer {
    /// When the first timed row began.
    first: Option<Duration>,
    spent: Duration,
    rows: u32,
}

impl Timer {
    fn add(&mut self, start: Duration, end: Duration) {
        self.first.get_or_insert(start);
        self.spent += end.saturating_sub(start);
        self.rows += 1;
    }

    /// The time of `rows` rows, going by those that were timed; starts anew. Never more than went by
    /// since the first of them: a thread that lost the CPU while it was timed would multiply that.
    fn take(&mut self, rows: usize, now: Duration) -> Duration {
        let Self {
            first,
            spent,
            rows: timed,
        } = std::mem::take(self);
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        let all = spent.checked_mul(rows).unwrap_or(spent) / timed.max(1);
        all.min(now.saturating_sub(first.unwrap_or(now)))
    }
}

fn finish(decoders: &mut Decoders, timer: &mut Timer, clock: &SharedClock) -> Result<Batch> {
    let wire_bytes = decoders.bytes() as u64;
    let start = clock.monotonic();
    let decode = timer.take(decoders.rows(), start);
    let (rows, nulled) = decoders.finish()?;
    Ok(Batch {
        nulled,
        rows,
        wire_bytes,
        decode: decode + clock.monotonic().saturating_sub(start),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_all_rows_follows_from_some_and_stays_possible() {
        let ms = Duration::from_millis;
        let mut timer = Timer::default();
        timer.add(ms(0), ms(1));
        timer.add(ms(64), ms(67));
        assert_eq!(timer.take(100, ms(500)), ms(200));
        timer.add(ms(500), ms(510));
        assert_eq!(timer.take(100, ms(540)), ms(40));
        assert_eq!(timer.take(0, ms(540)), Duration::ZERO);
    }
}
