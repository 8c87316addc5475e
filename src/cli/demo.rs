//! `ixtract demo`: a tour with a database of its own.
//!
//! The runs are ordinary ones: they take the same path as `ixtract run`, into the ordinary history.

mod data;
mod random;

use std::path::Path;

use clap::Parser;

use super::args::{Cli, Command, DemoArgs};
use super::context::Context;
use super::dataset;
use super::run::{self, Job};
use super::settings::{self, StateSettings};
use super::usage;
use crate::error::Failure;
use crate::ui::json::{DemoDocument, RunDocument};
use crate::ui::{self, Line};
use crate::writer::Location;

/// The extractions, in order: one table three times, so that something is learned, the others once.
const TOUR: [&str; 5] = ["orders", "orders", "orders", "customers", "events"];

/// Makes the database where it is missing, extracts its tables, and shows what was learned.
pub(super) async fn command(context: &Context, args: &DemoArgs) -> Result<(), Failure> {
    let state = StateSettings::settle(&args.state, &context.environment);
    let database = args.dir.join(data::DATABASE);
    context.printer.show(&[
        Line::Heading(format!("A tour of ixtract, in {}", args.dir.display())),
        Line::Blank,
    ]);
    let folder = args.dir.clone();
    let made = context.blocking(move || data::make(&folder)).await?;
    context
        .printer
        .show(&[Line::Text(made.describe(&database)), Line::Blank]);

    let mut runs = Vec::with_capacity(TOUR.len());
    for (index, table) in TOUR.into_iter().enumerate() {
        let words = words(&args.dir, table);
        let shown_before = index > 0;
        let job = Job {
            state: state.clone(),
            shown_before,
            ..job(context, &words)?
        };
        let step = format!("[{}/{}] $ {}", index + 1, TOUR.len(), words.join(" "));
        context.printer.show(&[Line::Heading(step)]);
        let document = run::perform(context, &job).await?;
        if shown_before {
            context.printer.show(&[ui::summary::short(&document)]);
        } else {
            context.printer.show(&ui::summary::view(&document));
        }
        context.printer.show(&[Line::Blank]);
        runs.push(document);
    }
    inspect(context, &Location::from(&args.dir.join(TOUR[0]))).await?;
    let document = DemoDocument {
        database: database.display().to_string(),
        state: runs.last().and_then(|run: &RunDocument| run.state.clone()),
        runs,
    };
    context.printer.document(&document);
    context.printer.show(&ui::summary::tour(&document));
    Ok(())
}

/// Checks the first dataset and lists its files.
async fn inspect(context: &Context, dataset: &Location) -> Result<(), Failure> {
    let verified = dataset::verified(context, dataset).await?;
    let files = dataset::listed(context, dataset).await?;
    let shown = dataset;
    let mut lines = vec![Line::Heading(format!("$ ixtract verify {shown}"))];
    lines.extend(ui::summary::verified(&verified));
    lines.push(Line::Blank);
    lines.push(Line::Heading(format!("$ ixtract files {shown}")));
    lines.extend(
        files
            .iter()
            .map(|file| Line::Text(file.display().to_string())),
    );
    lines.push(Line::Blank);
    context.printer.show(&lines);
    Ok(())
}

/// The words of one extraction, as a person would type them.
fn words(folder: &Path, table: &str) -> [String; 7] {
    let database = folder.join(data::DATABASE);
    let output = folder.join(table).display().to_string();
    [
        "ixtract".to_owned(),
        "run".to_owned(),
        table.to_owned(),
        "--source".to_owned(),
        format!("sqlite:{}", database.display()),
        "--output".to_owned(),
        // The folder is no template.
        settings::literal(&output),
    ]
}

/// The job of these words: the demo does what it shows.
fn job(context: &Context, words: &[String]) -> Result<Job, Failure> {
    let parsed = Cli::try_parse_from(words).map_err(|error| usage(&error.to_string()))?;
    let Command::Run(args) = parsed.command else {
        return Err(usage("the words of the demo are no run"));
    };
    Job::of(context, &args)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_that_are_shown_are_a_command() {
        for table in TOUR {
            let parsed = Cli::try_parse_from(words(Path::new("a {b}"), table));
            let Command::Run(args) = parsed.expect("valid words").command else {
                panic!("no run");
            };
            assert_eq!(args.output.place(), format!("a {{{{b}}}}/{table}"));
        }
    }
}
