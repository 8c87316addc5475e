//! `--events`: what happens to runs, written as it happens and never in their way.
//!
//! Lines are handed to a thread of their own, so that a reader that does not keep up, a pipe that nobody
//! empties or a disk that stands still holds up no chunk. What cannot be written is lost, and said: once
//! on stderr, and in the summary.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::SharedClock;
use crate::engine::event::Event;
use crate::error::{ExitCode, Failure};
use crate::model::RunId;
use crate::ui::Printer;
use crate::ui::events::{EVENTS_VERSION, EventLine, RunEvent};

/// Lines that wait to be written; beyond them, lines are lost.
const WAITING: usize = 10_000;

/// How long the last lines may take to be written when everything else is over.
const LAST_LINES: Duration = Duration::from_secs(5);

/// Where events go; nowhere at first. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Events(Option<Arc<Stream>>);

#[derive(Debug)]
struct Stream {
    clock: SharedClock,
    name: String,
    printer: Printer,
    /// `None` once it is closed.
    lines: Mutex<Option<SyncSender<Vec<u8>>>>,
    /// Says that the last line was written.
    done: Mutex<Receiver<()>>,
    /// The first thing that went wrong.
    problem: Arc<Mutex<Option<String>>>,
}

impl Events {
    /// Events into a file, after what is there, or with `-` to stdout.
    ///
    /// # Errors
    /// 73 where the file cannot be opened: nothing was done yet, and a wrong name is soon corrected.
    pub(super) fn open(
        file: &Path,
        clock: SharedClock,
        printer: &Printer,
    ) -> Result<Self, Failure> {
        let (name, out): (String, Box<dyn Write + Send>) = if file.as_os_str() == "-" {
            printer.reserve_stdout();
            ("standard output".to_owned(), Box::new(printer.reserved()))
        } else {
            let opened = opened(file).map_err(|error| {
                Failure::new(
                    ExitCode::Output,
                    format!("cannot open {} for events", file.display()),
                    error.to_string(),
                    "name a file that this user may write, or leave --events out",
                )
            })?;
            (file.display().to_string(), Box::new(opened))
        };
        let (lines, waiting) = sync_channel(WAITING);
        let (written, done) = channel();
        let problem = Arc::default();
        let stream = Stream {
            clock,
            name,
            printer: printer.clone(),
            lines: Mutex::new(Some(lines)),
            done: Mutex::new(done),
            problem: Arc::clone(&problem),
        };
        let writer = Writer {
            out,
            name: stream.name.clone(),
            printer: printer.clone(),
            problem,
        };
        std::thread::spawn(move || {
            writer.pour(&waiting);
            // Nobody waits for it where the process is on its way out already.
            let _ = written.send(());
        });
        Ok(Self(Some(Arc::new(stream))))
    }

    /// Tells what happened to a run, now.
    pub(super) fn tell(&self, run: &RunId, event: &RunEvent) {
        let Some(stream) = &self.0 else {
            return;
        };
        let line = EventLine {
            schema: EVENTS_VERSION,
            at: stream.clock.now(),
            run,
            event,
        };
        // Structs of texts and numbers always serialise.
        let mut line = serde_json::to_vec(&line).unwrap_or_default();
        line.push(b'\n');
        let lines = held(&stream.lines);
        if let Some(Err(TrySendError::Full(_))) = lines.as_ref().map(|to| to.try_send(line)) {
            let why = "what reads them does not keep up";
            told_once(&stream.problem, &stream.printer, &stream.name, why);
        }
    }

    /// The same for what the engine says, where it is worth a line.
    pub(super) fn hear(&self, run: &RunId, event: &Event) {
        if self.0.is_some()
            && let Some(event) = RunEvent::of(event)
        {
            self.tell(run, &event);
        }
    }

    /// Waits until everything is written, and says what went wrong, if anything did.
    pub(super) fn close(&self) -> Option<String> {
        let stream = self.0.as_ref()?;
        drop(held(&stream.lines).take());
        if held(&stream.done).recv_timeout(LAST_LINES).is_err() {
            let why = "the last lines were not taken";
            told_once(&stream.problem, &stream.printer, &stream.name, why);
        }
        held(&stream.problem).clone()
    }
}

/// Opens a file to append to. A line that an earlier process could not finish stays by itself.
fn opened(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let kind = file.metadata()?.file_type();
    let device = kind.is_fifo() || kind.is_char_device() || kind.is_socket();
    if !device && file.metadata()?.len() > 0 {
        let mut last = [0];
        let mut reader = File::open(path)?;
        reader.seek(SeekFrom::End(-1))?;
        reader.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
        }
    }
    Ok(file)
}

/// Writes the lines, in a thread of its own.
struct Writer {
    out: Box<dyn Write + Send>,
    name: String,
    printer: Printer,
    problem: Arc<Mutex<Option<String>>>,
}

impl Writer {
    /// Writes until no more lines can come; after a failure they are dropped, so that nobody waits.
    fn pour(mut self, lines: &Receiver<Vec<u8>>) {
        let mut failed = false;
        for line in lines {
            if failed {
                continue;
            }
            if let Err(error) = self.out.write_all(&line).and_then(|()| self.out.flush()) {
                failed = true;
                told_once(&self.problem, &self.printer, &self.name, &error.to_string());
            }
        }
    }
}

/// Warns, unless somebody did before, that events are lost.
fn told_once(problem: &Mutex<Option<String>>, printer: &Printer, name: &str, why: &str) {
    let mut problem = held(problem);
    if problem.is_none() {
        let text = format!("events are missing from {name}: {why}");
        printer.warn(&text);
        *problem = Some(text);
    }
}

fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside stays sound whatever a panicking thread was doing.
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
