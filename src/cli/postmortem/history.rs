//! `ixtract history`.

use super::Archive;
use crate::cli::args::HistoryArgs;
use crate::cli::context::Context;
use crate::error::Failure;
use crate::ui;
use crate::ui::history::HistoryDocument;

/// Lists the runs of a table, or of all tables, oldest first.
pub(in crate::cli) fn command(context: &Context, args: &HistoryArgs) -> Result<(), Failure> {
    let Archive { store, file } = Archive::open(context, &args.store)?;
    let mut runs = match &args.table {
        Some(name) => store.rows_beside(&store.select(name)?, args.limit)?,
        None => store.newest_rows(args.limit)?,
    };
    runs.reverse();
    let document = HistoryDocument::new(file, args.table.is_some(), &runs);
    context.printer.document(&document);
    context.printer.show(&ui::history::view(&document));
    Ok(())
}
