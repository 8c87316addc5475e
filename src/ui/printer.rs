//! The one place that writes to stdout and stderr.
//!
//! A reader that goes away (`ixtract files DIR | head`) ends the output quietly. Any other failure
//! to write is kept for [`Printer::finish`], because a result that did not arrive is no success.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use indicatif::ProgressBar;
use serde::Serialize;

use super::json::ErrorDocument;
use super::{Line, visible};
use crate::error::{ExitCode, Failure};
use crate::model::{Check, CheckOutcome};

/// How the user wants to be talked to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// `--json`.
    pub json: bool,
    /// `--quiet`.
    pub quiet: bool,
    /// `--verbose`.
    pub verbose: bool,
    /// `NO_COLOR` is set.
    pub no_color: bool,
}

/// Writes what may be written. Clones share one output.
#[derive(Clone, Debug)]
pub struct Printer {
    manner: Manner,
    stdout_colour: bool,
    stderr_colour: bool,
    stderr_terminal: bool,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// The bar that notes must not be drawn over.
    bar: Option<ProgressBar>,
    /// The reader of stdout has gone.
    stdout_closed: bool,
    /// What was warned of once.
    warned: BTreeSet<String>,
    /// The first failure to write to stdout.
    failed: Option<String>,
}

impl Printer {
    /// A printer that talks in the given manner to this process's stdout and stderr.
    pub fn new(manner: Manner) -> Self {
        let stderr_terminal = io::stderr().is_terminal();
        Self {
            manner,
            stdout_colour: io::stdout().is_terminal() && !manner.no_color,
            stderr_colour: stderr_terminal && !manner.no_color,
            stderr_terminal,
            shared: Arc::default(),
        }
    }

    /// The manner it was made with.
    pub fn manner(&self) -> Manner {
        self.manner
    }

    /// Whether stderr is a terminal, on which a bar can be drawn.
    pub fn on_terminal(&self) -> bool {
        self.stderr_terminal
    }

    /// Results for people, on stdout; nothing under `--json`.
    pub fn show(&self, lines: &[Line]) {
        if self.manner.json {
            return;
        }
        let mut text = String::new();
        for line in lines {
            text.push_str(&render(line, self.stdout_colour));
            text.push('\n');
        }
        self.stdout(text.as_bytes());
    }

    /// The one document of `--json`, on stdout; nothing otherwise.
    pub fn document<T: Serialize>(&self, document: &T) {
        if !self.manner.json {
            return;
        }
        match serde_json::to_vec_pretty(document) {
            Ok(mut bytes) => {
                bytes.push(b'\n');
                self.stdout(&bytes);
            }
            Err(error) => self.keep_failure(&error.to_string()),
        }
    }

    /// Bytes that are the result itself, such as file names; nothing under `--json`.
    pub fn raw(&self, bytes: &[u8]) {
        if !self.manner.json {
            self.stdout(bytes);
        }
    }

    /// Something that goes by, on stderr; nothing under `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.manner.quiet {
            self.stderr(&paint(&clean(text), DIM, self.stderr_colour));
        }
    }

    /// A detail that only `--verbose` shows, on stderr.
    pub fn detail(&self, text: &str) {
        if self.manner.verbose {
            self.note(text);
        }
    }

    /// Something a person should know, on stderr, also under `--quiet`.
    pub fn warn(&self, text: &str) {
        let label = paint("warning:", YELLOW, self.stderr_colour);
        self.stderr(&format!("{label} {}", clean(text)));
    }

    /// A warning that one command gives once, however often there is reason to.
    pub fn warn_once(&self, text: &str) {
        if self.shared().warned.insert(text.to_owned()) {
            self.warn(text);
        }
    }

    /// A failure: three lines on stderr, and the document of `--json` on stdout.
    pub fn fail(&self, failure: &Failure) {
        self.document(&ErrorDocument::new(failure));
        let lines = format!(
            "{} {}\n  {} {}\n  {} {}",
            paint("error:", RED, self.stderr_colour),
            clean(&failure.what),
            paint("why:", DIM, self.stderr_colour),
            clean(&failure.why),
            paint("fix:", DIM, self.stderr_colour),
            clean(&failure.fix),
        );
        self.stderr(&lines);
    }

    /// Help, to stdout: clap has laid it out, `styled` is the same for a terminal.
    pub fn help(&self, plain: &str, styled: &str) {
        let text = if self.stdout_colour { styled } else { plain };
        self.stdout(text.as_bytes());
    }

    /// What is wrong with a command line, to stderr; laid out like [`Printer::help`].
    pub fn refusal(&self, plain: &str, styled: &str) {
        let text = if self.stderr_colour { styled } else { plain };
        self.stderr(text.trim_end());
    }

    /// Asks a person; `None` when there is nobody to ask. Blocks until the line is there.
    pub fn ask(&self, question: &str) -> Option<bool> {
        if self.manner.json || !self.stderr_terminal || !io::stdin().is_terminal() {
            return None;
        }
        self.stderr(&format!("{question} [y/N]"));
        let mut answer = String::new();
        // No answer is no.
        let read = io::stdin().read_line(&mut answer);
        let yes = matches!(answer.trim(), "y" | "Y" | "yes" | "Yes");
        Some(read.is_ok() && yes)
    }

    /// A writer for log lines, on stderr.
    pub fn log(&self) -> impl Write + use<> {
        Log(self.clone())
    }

    /// Draws notes around `bar` from now on.
    pub(super) fn attach(&self, bar: ProgressBar) {
        self.shared().bar = Some(bar);
    }

    /// Forgets the bar.
    pub(super) fn detach(&self) {
        self.shared().bar = None;
    }

    /// Whether everything on stdout arrived.
    ///
    /// # Errors
    /// The first failure to write, other than a reader that went away.
    pub fn finish(&self) -> Result<(), Failure> {
        match self.shared().failed.take() {
            None => Ok(()),
            Some(why) => Err(Failure::new(
                ExitCode::Output,
                "cannot write to standard output",
                why,
                "check where the output is redirected to",
            )),
        }
    }

    /// Where something on stdout did not arrive: a warning instead of a failure, because what the
    /// command was for is done.
    pub fn excuse(&self, what: &str) {
        let failed = self.shared().failed.take();
        if let Some(why) = failed {
            self.warn(&format!("{what}: {why}"));
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        // What is inside stays sound whatever a panicking thread was doing.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep_failure(&self, why: &str) {
        self.shared().failed.get_or_insert_with(|| why.to_owned());
    }

    fn stdout(&self, bytes: &[u8]) {
        if self.shared().stdout_closed {
            return;
        }
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.shared().stdout_closed = true;
            }
            Err(error) => self.keep_failure(&error.to_string()),
        }
    }

    fn stderr(&self, text: &str) {
        let bar = self.shared().bar.clone();
        let write = || {
            // Nobody could be told that stderr does not work.
            let _ = writeln!(io::stderr().lock(), "{text}");
        };
        match bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

/// Log lines, one a write.
struct Log(Printer);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .stderr(clean(String::from_utf8_lossy(bytes).trim_end()).as_str());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const BOLD: &str = "1";
const DIM: &str = "2";
const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "1;31";

/// Width of a fact's label.
const LABEL: usize = 12;

/// A line as it is written, without its end.
pub(super) fn render(line: &Line, colour: bool) -> String {
    match line {
        Line::Blank => String::new(),
        Line::Heading(text) => paint(&clean(text), BOLD, colour),
        Line::Fact(label, value) => {
            let indent = " ".repeat(LABEL + 3);
            let value = value.split('\n').map(clean).collect::<Vec<_>>();
            named(label, &value.join(&format!("\n{indent}")), colour)
        }
        Line::Judgement { label, text, good } => {
            let style = if *good { GREEN } else { YELLOW };
            named(label, &paint(&clean(text), style, colour), colour)
        }
        Line::Text(text) => text.split('\n').map(clean).collect::<Vec<_>>().join("\n"),
        Line::Good(text) => paint(&clean(text), GREEN, colour),
        Line::Warning(text) => {
            format!("  {} {}", paint("warning:", YELLOW, colour), clean(text))
        }
        Line::Check(found) => check(found, colour),
    }
}

/// One line: a mark, what was looked at, what was seen and what helps.
fn check(found: &Check, colour: bool) -> String {
    let (mark, style) = match found.outcome {
        CheckOutcome::Good => ("✓", GREEN),
        CheckOutcome::Warning => ("!", YELLOW),
        CheckOutcome::Failed => ("✗", RED),
        CheckOutcome::Skipped => ("-", DIM),
    };
    let fix = found.fix.as_ref().map(|fix| {
        let label = paint("fix:", DIM, colour);
        format!("; {label} {}", clean(fix))
    });
    format!(
        "{} {} {}{}",
        paint(mark, style, colour),
        paint(&format!("{:<LABEL$}", found.name), DIM, colour),
        clean(&found.seen),
        fix.unwrap_or_default()
    )
}

fn named(label: &str, text: &str, colour: bool) -> String {
    let label = paint(&format!("{label:<LABEL$}"), DIM, colour);
    format!("  {label} {text}")
}

fn paint(text: &str, style: &str, colour: bool) -> String {
    if colour {
        format!("\u{1b}[{style}m{text}\u{1b}[0m")
    } else {
        text.to_owned()
    }
}

/// Names and messages come from databases: one line, and no control character of theirs may reach
/// a terminal.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\r' | '\t' => ' ',
            c => visible(c),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_of_names_do_not_reach_a_terminal() {
        let line = Line::Fact("table", "a\u{1b}[31mb\rc".to_owned());
        assert_eq!(render(&line, false), "  table        a\u{fffd}[31mb c");
    }

    #[test]
    fn a_fact_of_several_lines_stays_in_its_column() {
        let line = Line::Fact("why", "one\ntwo".to_owned());
        assert_eq!(
            render(&line, false),
            "  why          one\n               two"
        );
    }

    #[test]
    fn colour_is_only_painted_when_asked_for() {
        let line = Line::Heading("x".to_owned());
        assert_eq!(render(&line, false), "x");
        assert_eq!(render(&line, true), "\u{1b}[1mx\u{1b}[0m");
    }
}
