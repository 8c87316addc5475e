//! `ixtract diff`.

use super::Archive;
use crate::cli::args::DiffArgs;
use crate::cli::context::Context;
use crate::diff;
use crate::error::Failure;
use crate::ui;
use crate::ui::diff::DiffDocument;

/// Says what changed between two runs.
pub(in crate::cli) fn command(context: &Context, args: &DiffArgs) -> Result<(), Failure> {
    let store = Archive::open(context, &args.store)?.store;
    let before = store.selected(&args.before)?;
    let after = store.selected(&args.after)?;
    let differences = diff::between(&before, &after);
    let document = DiffDocument::new(&before.run, &after.run, differences);
    context.printer.document(&document);
    context.printer.show(&ui::diff::view(&document));
    Ok(())
}
