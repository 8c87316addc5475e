//! `ixtract report`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{Archive, diagnose, history};
use crate::cli::args::ReportArgs;
use crate::cli::context::Context;
use crate::cli::staged;
use crate::error::{ExitCode, Failure};
use crate::metrics;
use crate::model::{RunId, RunRow, StoredRun};
use crate::report::course::{self, Point};
use crate::report::{self, Document, REPORT_VERSION};
use crate::state::{StateError, Store};
use crate::ui;
use crate::ui::history::HistoryDocument;

/// The page's file, where none is named.
const PAGE: &str = "ixtract-report.html";

/// Runs whose plans are asked why they have their number of workers.
const ASKED: usize = 200;

/// Draws a run and its history as a page.
pub(in crate::cli) fn command(context: &Context, args: &ReportArgs) -> Result<(), Failure> {
    let json = context.printer.manner().json;
    let place = Place::of(args, json)?;
    let Archive { store, file } = Archive::open(context, &args.selector.store)?;
    let id = store.select(&args.selector.run)?;
    let subject = Subject::of(&store, &id)?;
    let (runs, course) = past(&store, &id, args.limit)?;
    let outlook = history::outlook(&store, &runs)?;
    let stored = subject.stored.as_ref();
    let mut document = Document {
        report_version: REPORT_VERSION,
        ixtract: env!("CARGO_PKG_VERSION"),
        made_at: context.clock.now(),
        history: HistoryDocument::new(file, &runs, Some(outlook)),
        course,
        run: diagnose::document(
            &subject.row,
            stored.map_or(&[], |stored| &stored.chunks),
            stored.map_or(&[], |stored| &stored.workers),
        ),
        metrics: stored.map(metrics::of),
        columns: stored.map_or_else(Vec::new, |stored| ui::plan::columns(&stored.plan)),
        written: None,
        plan: stored.map(|stored| &stored.plan),
    };
    match place {
        Place::Nowhere => {}
        Place::Stdout => context.printer.raw(report::page(&document).as_bytes()),
        Place::File(path) => {
            let page = report::page(&document);
            staged::replace(&path, &page).map_err(|error| unwritten(&path, &error))?;
            document.written = Some(path.display().to_string());
            context.printer.show(&ui::report::view(
                &subject.row,
                document.history.runs.len(),
                (&path.display().to_string(), page.len() as u64),
            ));
        }
    }
    context.printer.document(&document);
    Ok(())
}

/// Where the page goes.
enum Place {
    Nowhere,
    Stdout,
    File(PathBuf),
}

impl Place {
    /// What is there must be a report, or nothing.
    fn of(args: &ReportArgs, json: bool) -> Result<Self, Failure> {
        let path = match &args.html {
            None if json => return Ok(Self::Nowhere),
            Some(path) if path.as_os_str() == "-" && json => return Err(two_documents()),
            Some(path) if path.as_os_str() == "-" => return Ok(Self::Stdout),
            Some(path) => path.clone(),
            None => PathBuf::from(PAGE),
        };
        if !args.force {
            let ours = replaceable(&path).map_err(|error| unwritten(&path, &error))?;
            if !ours {
                return Err(foreign(&path));
            }
        }
        Ok(Self::File(path))
    }
}

/// Whether a report may go there: nothing is lost by it.
fn replaceable(path: &Path) -> io::Result<bool> {
    let found = match std::fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        found => found?,
    };
    // Nothing is replaced in a device or pipe, and a folder refuses by itself.
    if !found.is_file() || found.len() == 0 {
        return Ok(true);
    }
    let mut head = Vec::new();
    File::open(path)?
        .take(report::HEAD_BYTES as u64)
        .read_to_end(&mut head)?;
    Ok(report::is_report(&head))
}

fn two_documents() -> Failure {
    Failure::new(
        ExitCode::Usage,
        "the page and the document of --json cannot both go to standard output",
        "--html - and --json were given",
        "leave one of them out, or name a file: --html report.html",
    )
}

fn foreign(path: &Path) -> Failure {
    Failure::new(
        ExitCode::Output,
        format!("{} is no report", path.display()),
        "there is a file of that name which ixtract report did not make",
        "name another file with --html, or replace it with --force",
    )
}

fn unwritten(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        ExitCode::Output,
        format!("cannot write the report to {}", path.display()),
        error.to_string(),
        "name a file in a directory that this user may write, or --html -",
    )
}

/// The run of the report: of one that was rebuilt from its manifest only the row is known.
struct Subject {
    row: RunRow,
    stored: Option<StoredRun>,
}

impl Subject {
    fn of(store: &Store, id: &RunId) -> Result<Self, StateError> {
        let nothing = || StateError::NotFound { id: id.to_string() };
        let row = store.row(id)?.ok_or_else(nothing)?;
        let stored = match store.stored(id) {
            Err(StateError::NoPlan { .. }) => None,
            other => other?,
        };
        Ok(Self { row, stored })
    }
}

/// The newest runs of a run's history, newest first, and what was usual at each of them, oldest first.
fn past(store: &Store, id: &RunId, limit: u32) -> Result<(Vec<RunRow>, Vec<Point>), StateError> {
    let mut runs = store.rows_beside(id, limit.saturating_add(course::LEAD_IN))?;
    let mut points = course::of(&runs);
    let shown = runs.len().min(limit as usize);
    points.drain(..runs.len() - shown);
    runs.truncate(shown);
    for at in course::worth_a_reason(&runs, ASKED) {
        let reasons = store.reasons(&runs[at].id)?;
        points[shown - 1 - at].workers_because = course::workers_because(&reasons);
    }
    Ok((runs, points))
}
