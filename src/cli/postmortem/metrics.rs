//! `ixtract metrics`.

use super::Archive;
use crate::cli::args::RunSelector;
use crate::cli::context::Context;
use crate::error::Failure;
use crate::metrics;
use crate::ui;
use crate::ui::metrics::MetricsDocument;

/// Shows a run in numbers.
pub(in crate::cli) fn command(context: &Context, args: &RunSelector) -> Result<(), Failure> {
    let store = Archive::open(context, &args.store)?.store;
    let stored = store.selected(&args.run)?;
    let document = MetricsDocument::new(&stored.run, metrics::of(&stored));
    context.printer.document(&document);
    context.printer.show(&ui::metrics::view(&document));
    Ok(())
}
