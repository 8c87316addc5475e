//! Progress of an execution: a bar on a terminal, a plain line every ten seconds elsewhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Printer;
use super::units;
use crate::engine::event::Event;

/// How far apart plain lines are.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Turns the engine's events into progress on stderr.
#[derive(Debug)]
pub struct Progress {
    printer: Printer,
    face: Face,
    expected_rows: u64,
    chunks: u32,
}

#[derive(Debug)]
enum Face {
    /// `--quiet`.
    Silent,
    /// A bar that is redrawn.
    Bar(ProgressBar),
    /// Lines; holds when the last one was printed.
    Lines { last: Duration },
    /// A part of something larger.
    Part(Part),
}

impl Progress {
    /// Progress towards an estimated number of rows.
    pub fn new(printer: &Printer, expected_rows: u64) -> Self {
        let manner = printer.manner();
        let face = if manner.quiet {
            Face::Silent
        } else if printer.on_terminal() && !manner.verbose {
            let bar = ProgressBar::with_draw_target(
                Some(expected_rows.max(1)),
                ProgressDrawTarget::stderr(),
            );
            bar.set_style(bar_style());
            printer.attach(bar.clone());
            Face::Bar(bar)
        } else {
            Face::Lines {
                last: Duration::ZERO,
            }
        };
        Self {
            printer: printer.clone(),
            face,
            expected_rows,
            chunks: 0,
        }
    }

    /// How many chunks there will be, where nobody says so in an event.
    pub fn expect(&mut self, chunks: u32) {
        self.chunks = chunks;
    }

    /// Shows what happened.
    pub fn on_event(&mut self, event: &Event) {
        if let Some(text) = remark(event) {
            match &self.face {
                Face::Part(part) => self.printer.note(&format!("{}: {text}", part.table)),
                _ => self.printer.note(&text),
            }
        }
        match event {
            Event::Started { chunks, .. } => self.chunks = *chunks,
            Event::Progress {
                rows,
                bytes,
                chunks_done,
                busy,
                elapsed,
            } => {
                let now = Moment {
                    rows: *rows,
                    bytes: *bytes,
                    chunks_done: *chunks_done,
                    busy: *busy,
                    elapsed: *elapsed,
                };
                self.advance(&now);
            }
            Event::ChunkFinished { record, .. } => self.printer.detail(&format!(
                "chunk_{:03}: {} in {} by worker {}",
                record.number,
                units::plural(record.rows, "row"),
                units::elapsed(Duration::from_millis(record.duration_ms)),
                record.worker,
            )),
            _ => {}
        }
    }

    fn advance(&mut self, now: &Moment) {
        if let Face::Part(part) = &self.face {
            return part.advance(now, self.chunks);
        }
        let text = now.describe(self.expected_rows, self.chunks);
        match &mut self.face {
            Face::Silent | Face::Part(_) => {}
            Face::Bar(bar) => {
                // More rows than estimated: the bar is full, never beyond.
                bar.set_length(self.expected_rows.max(now.rows).max(1));
                bar.set_position(now.rows);
                bar.set_message(text);
            }
            Face::Lines { last } => {
                if now.elapsed >= *last + PLAIN_EVERY {
                    *last = now.elapsed;
                    let percent = units::percent(now.rows, self.expected_rows.max(now.rows));
                    self.printer.note(&format!("{percent} {text}"));
                }
            }
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        match &self.face {
            Face::Bar(bar) => {
                bar.finish_and_clear();
                self.printer.detach();
            }
            Face::Part(part) => part.rest(),
            Face::Silent | Face::Lines { .. } => {}
        }
    }
}

/// Progress of several executions together, as if they were one.
#[derive(Clone, Debug)]
pub struct Overall(Arc<Mutex<Whole>>);

#[derive(Debug)]
struct Whole {
    progress: Progress,
    /// Where each part stands, and how many chunks it has.
    parts: BTreeMap<u64, (Moment, u32)>,
    next: u64,
}

/// One of several.
#[derive(Debug)]
struct Part {
    overall: Overall,
    number: u64,
    table: String,
    begun: Duration,
}

impl Overall {
    /// Progress towards an estimated number of rows of all together.
    pub fn new(printer: &Printer, expected_rows: u64) -> Self {
        Self(Arc::new(Mutex::new(Whole {
            progress: Progress::new(printer, expected_rows),
            parts: BTreeMap::new(),
            next: 0,
        })))
    }

    fn whole(&self) -> MutexGuard<'_, Whole> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The progress of one, which begins so long after all of them did.
    pub fn part(&self, table: &str, begun: Duration) -> Progress {
        let mut whole = self.whole();
        whole.next += 1;
        Progress {
            printer: whole.progress.printer.clone(),
            face: Face::Part(Part {
                overall: self.clone(),
                number: whole.next,
                table: table.to_owned(),
                begun,
            }),
            expected_rows: 0,
            chunks: 0,
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        let mut whole = self.whole();
        let printer = whole.progress.printer.clone();
        let silent = Progress {
            printer,
            face: Face::Silent,
            expected_rows: 0,
            chunks: 0,
        };
        std::mem::replace(&mut whole.progress, silent).finish();
    }
}

impl Part {
    fn advance(&self, now: &Moment, chunks: u32) {
        let mut whole = self.overall.whole();
        whole.parts.insert(self.number, (*now, chunks));
        let mut all = Moment {
            elapsed: self.begun + now.elapsed,
            ..Moment::default()
        };
        let mut total = 0;
        for (part, chunks) in whole.parts.values() {
            all.rows += part.rows;
            all.bytes += part.bytes;
            all.chunks_done += part.chunks_done;
            all.busy += part.busy;
            total += chunks;
        }
        whole.progress.chunks = total;
        whole.progress.advance(&all);
    }

    /// Nobody works on it any more.
    fn rest(&self) {
        let mut whole = self.overall.whole();
        if let Some((moment, _)) = whole.parts.get_mut(&self.number) {
            moment.busy = 0;
        }
    }
}

/// Remarks that stay on the screen above the bar.
fn remark(event: &Event) -> Option<String> {
    match event {
        Event::Impact { text } => Some(text.clone()),
        Event::WorkerMissing { worker, why } => Some(format!(
            "worker {worker} got no session, the others go on: {why}"
        )),
        Event::ChunkRetried {
            chunk,
            attempt,
            pause,
            error,
            ..
        } => Some(format!(
            "chunk_{chunk:03}: attempt {attempt} failed, again in {}: {error}",
            units::elapsed(*pause)
        )),
        Event::BackedOff {
            worker,
            pause,
            answer,
        } => Some(format!(
            "worker {worker} pauses for {}: the source took {} to answer",
            units::elapsed(*pause),
            units::elapsed(*answer)
        )),
        _ => None,
    }
}

fn bar_style() -> ProgressStyle {
    // The template is constant and valid; the default style is the harmless answer if it were not.
    ProgressStyle::with_template("{bar:12.cyan/dim} {percent:>3}% {wide_msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━╸─")
}

/// Where an execution stands.
#[derive(Clone, Copy, Debug, Default)]
struct Moment {
    rows: u64,
    bytes: u64,
    chunks_done: u32,
    busy: u32,
    elapsed: Duration,
}

impl Moment {
    /// Rows, bytes, rate, time left, chunks and workers, within a narrow terminal.
    fn describe(&self, expected_rows: u64, chunks: u32) -> String {
        let seconds = self.elapsed.as_secs_f64();
        let rate = if seconds > 0.0 {
            self.rows as f64 / seconds
        } else {
            0.0
        };
        let left = expected_rows.saturating_sub(self.rows) as f64;
        let eta = if rate > 0.0 && left > 0.0 {
            format!(" · ETA {}", units::duration(left / rate))
        } else {
            String::new()
        };
        format!(
            "{} rows · {} · {}/s{eta} · {}/{chunks} chunks · {}w",
            units::count(self.rows),
            units::bytes(self.bytes),
            units::count(rate.round() as u64),
            self.chunks_done,
            self.busy,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(rows: u64, seconds: u64) -> Moment {
        Moment {
            rows,
            bytes: rows * 100,
            chunks_done: 3,
            busy: 4,
            elapsed: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn a_moment_says_everything_in_few_words() {
        assert_eq!(
            moment(3_000_000, 3).describe(6_000_000, 12),
            "3.0M rows · 300.0 MB · 1.0M/s · ETA 3s · 3/12 chunks · 4w"
        );
    }

    #[test]
    fn nothing_is_promised_before_anything_is_known_or_after_the_estimate() {
        assert!(!moment(0, 0).describe(6_000_000, 12).contains("ETA"));
        assert!(!moment(7_000_000, 3).describe(6_000_000, 12).contains("ETA"));
    }

    #[test]
    fn only_what_a_person_can_act_on_stays_on_the_screen() {
        let retried = Event::ChunkRetried {
            chunk: 7,
            worker: 2,
            attempt: 1,
            pause: Duration::from_millis(1500),
            error: "connection reset".to_owned(),
        };
        assert_eq!(
            remark(&retried).as_deref(),
            Some("chunk_007: attempt 1 failed, again in 1.50s: connection reset")
        );
        assert_eq!(remark(&Event::WorkerReady { worker: 1 }), None);
    }
}
