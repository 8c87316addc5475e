//! `ixtract history`.

use super::Archive;
use crate::cli::args::HistoryArgs;
use crate::cli::context::Context;
use crate::diagnosis::health;
use crate::error::Failure;
use crate::model::RunRow;
use crate::state::{StateError, Store};
use crate::ui;
use crate::ui::history::{HistoryDocument, Outlook};

/// Lists the runs of a table, or of all tables, oldest first.
pub(in crate::cli) fn command(context: &Context, args: &HistoryArgs) -> Result<(), Failure> {
    let Archive { store, file } = Archive::open(context, &args.store)?;
    let (runs, outlook) = match &args.table {
        None => (store.newest_rows(args.limit)?, None),
        Some(name) => {
            let runs = store.rows_beside(&store.select(name)?, args.limit)?;
            let outlook = outlook(&store, &runs)?;
            (runs, Some(outlook))
        }
    };
    let document = HistoryDocument::new(file, &runs, outlook);
    context.printer.document(&document);
    context.printer.show(&ui::history::view(&document));
    Ok(())
}

/// Where a table is going, by its runs, newest first.
pub(super) fn outlook(store: &Store, runs: &[RunRow]) -> Result<Outlook, StateError> {
    let scope = runs.first().map_or("", |run| run.scope.as_str());
    let learned = store.learned_in(scope)?;
    Ok(Outlook {
        trend: health::trend(&health::speeds(runs)),
        converged: learned.as_ref().map(|learned| learned.converged),
        best_workers: learned.map(|learned| learned.best),
    })
}
