//! Who else is told of a run: the event stream, the metrics file, the commands of `--on-success` and
//! `--on-failure`. None of them decides how the run ends.

use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::args::{self, MachineArgs};
use super::context::Context;
use super::events::Events;
use super::hooks::{self, Told};
use super::run::Job;
use super::staged;
use crate::error::{ExitCode, Failure};
use crate::model::RunId;
use crate::ui::Line;
use crate::ui::events::RunEvent;
use crate::ui::json::{
    BackfillDocument, ErrorDocument, NothingNewDocument, ReplayDocument, RunDocument,
};
use crate::ui::{self, prometheus};

/// How a run ended well.
#[derive(Debug)]
pub(super) enum Ending {
    /// A dataset was published.
    Published(Box<RunDocument>),
    /// By a plan that was executed again.
    Replayed(Box<ReplayDocument>),
    /// Window after window.
    Backfilled(Box<BackfillDocument>),
    /// There was nothing to do.
    Nothing(NothingNewDocument),
}

impl Ending {
    fn run(&self) -> Option<&RunDocument> {
        match self {
            Self::Published(document) => Some(document),
            Self::Replayed(document) => Some(&document.replay),
            // The newest says how far the data goes by now.
            Self::Backfilled(document) => document.windows.last(),
            Self::Nothing(_) => None,
        }
    }

    fn warn(&mut self, text: String) {
        match self {
            Self::Published(document) => document.warnings.push(text),
            Self::Replayed(document) => document.replay.warnings.push(text),
            Self::Backfilled(document) => {
                if let Some(last) = document.windows.last_mut() {
                    last.warnings.push(text);
                }
            }
            // It has no warnings; stderr was told.
            Self::Nothing(_) => {}
        }
    }

    fn json(&self) -> Vec<u8> {
        match self {
            Self::Published(document) => bytes(document),
            Self::Replayed(document) => bytes(document),
            Self::Backfilled(document) => bytes(document),
            Self::Nothing(document) => bytes(document),
        }
    }

    fn show(&self, context: &Context) {
        match self {
            Self::Published(document) => show(context, document, &ui::summary::view(document)),
            Self::Replayed(document) => show(context, document, &ui::replay::view(document)),
            Self::Backfilled(document) => {
                show(context, document, &ui::summary::backfilled(document));
            }
            Self::Nothing(document) => {
                context.printer.document(document);
                context.printer.show(&ui::summary::nothing_new(document));
                return;
            }
        }
        context.printer.excuse(super::run::PUBLISHED_UNTOLD);
    }
}

fn show(context: &Context, document: &impl Serialize, lines: &[Line]) {
    context.printer.document(document);
    context.printer.show(lines);
}

/// Documents are texts, numbers and lists, which always serialise.
fn bytes(document: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(document).unwrap_or_default();
    text.push(b'\n');
    text
}

/// A run that others are told of.
pub(super) struct Watched<'a> {
    context: &'a Context,
    args: &'a MachineArgs,
    /// Its id, also where it fails before it has a row.
    pub(super) id: RunId,
    table: String,
    /// The labels of its metrics; not known before its settings are.
    labels: Option<String>,
}

impl<'a> Watched<'a> {
    /// A run of what the user calls `table`, which may be known only later.
    pub(super) fn new(context: &'a Context, wanted: &'a MachineArgs, table: &str) -> Self {
        Self {
            context,
            args: wanted,
            id: context.run_id(),
            // Somebody may give a URL where a table belongs.
            table: args::redact(table),
            labels: None,
        }
    }

    /// Opens the event stream and tells that the run begins.
    ///
    /// # Errors
    /// 64 where stdout would have two masters, 73 where the file cannot be opened.
    pub(super) async fn begin(&self, command: &'static str) -> Result<(), Failure> {
        let Some(file) = self.args.events.clone() else {
            return Ok(());
        };
        if file == Path::new("-") && self.context.printer.manner().json {
            return Err(Failure::new(
                ExitCode::Usage,
                "--events - and --json cannot both have standard output",
                "each promises that nothing else is there",
                "give --events a file, or leave --json out: the last event says how the run ended",
            ));
        }
        let (clock, printer) = (self.context.clock.clone(), self.context.printer.clone());
        // A named pipe is open when somebody reads it.
        let open = move || Events::open(&file, clock, &printer);
        self.context.listen(self.context.blocking(open).await?);
        self.context.events().tell(
            &self.id,
            &RunEvent::RunStarted {
                command,
                table: self.table.clone(),
                ixtract: env!("CARGO_PKG_VERSION"),
                pid: std::process::id(),
            },
        );
        Ok(())
    }

    /// What is known once the settings are.
    pub(super) fn settled(&mut self, job: &Job) {
        self.table = args::redact(&job.subject());
        self.labels = Some(prometheus::labels(&self.table, &job.source.shown()));
    }

    /// Tells everybody how the run ended, and the user first.
    pub(super) async fn end(self, result: Result<Ending, Failure>) -> Result<(), Failure> {
        let result = result.map_err(super::without_passwords);
        let events = self.context.events();
        match &result {
            Ok(ending) => events.tell(&self.id, &finished(ending)),
            Err(failure) => events.tell(&self.id, &RunEvent::failure(failure)),
        }
        let mut problems: Vec<String> = events.close().into_iter().collect();
        problems.extend(self.write_metrics(&result));
        match result {
            Ok(mut ending) => {
                problems.into_iter().for_each(|text| ending.warn(text));
                ending.show(self.context);
                self.call(
                    "--on-success",
                    self.args.on_success.as_deref(),
                    0,
                    ending.json(),
                )
                .await;
                Ok(())
            }
            Err(failure) => {
                let document = bytes(&ErrorDocument::new(&failure));
                let command = self.args.on_failure.as_deref();
                self.call("--on-failure", command, failure.exit.code(), document)
                    .await;
                Err(failure)
            }
        }
    }

    async fn call(&self, flag: &str, command: Option<&str>, exit: u8, document: Vec<u8>) {
        let Some(command) = command else {
            return;
        };
        let told = Told {
            run: &self.id,
            table: &self.table,
            exit,
            document,
        };
        hooks::run(self.context, (flag, command), self.args.hook_timeout, told).await;
    }

    /// Writes the metrics file; what went wrong, if anything did.
    fn write_metrics(&self, result: &Result<Ending, Failure>) -> Option<String> {
        let file = self.args.metrics_file.as_deref()?;
        // There may be none yet, or something that is no textfile: then nothing is known of before.
        let before = std::fs::read_to_string(file).unwrap_or_default();
        let (labels, succeeded_before) = prometheus::before(&before, self.labels.as_deref());
        let labels = labels.unwrap_or_else(|| prometheus::labels(&self.table, ""));
        let exit = result
            .as_ref()
            .err()
            .map_or(0, |failure| failure.exit.code());
        let ended = prometheus::Ended {
            exit,
            at: seconds(self.context.clock.now()),
            succeeded_before,
            run: result.as_ref().ok().and_then(Ending::run),
        };
        let page = prometheus::page(&labels, &ended);
        let error = staged::replace(file, &page).err()?;
        let text = format!(
            "the metrics file {} is not written: {error}",
            file.display()
        );
        self.context.printer.warn(&text);
        Some(text)
    }
}

fn finished(ending: &Ending) -> RunEvent {
    match ending.run() {
        Some(run) => RunEvent::success(run),
        None => RunEvent::nothing_new(),
    }
}

/// Seconds since 1970, to the millisecond.
fn seconds(time: Timestamp) -> f64 {
    time.as_millisecond() as f64 / 1000.0
}
