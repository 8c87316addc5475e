//! `ixtract explain`.

use super::Archive;
use crate::cli::args::ExplainArgs;
use crate::cli::context::Context;
use crate::error::Failure;
use crate::metrics;
use crate::model::{RunRow, RunStatus};
use crate::state::{StateError, Store};
use crate::ui;
use crate::ui::explain::ExplainDocument;

/// Runs among which the one before is looked for.
const LOOK_BACK: u32 = 100_000;

/// Explains a run.
pub(in crate::cli) fn command(context: &Context, args: &ExplainArgs) -> Result<(), Failure> {
    let store = Archive::open(context, &args.selector.store)?.store;
    let stored = store.selected(&args.selector.run)?;
    let previous = previous(&store, &stored.run)?;
    let standard = args.standard.then(|| metrics::of(&stored));
    let document = ExplainDocument::new(&stored, previous.as_ref(), standard);
    context.printer.document(&document);
    context.printer.show(&ui::explain::view(&document));
    Ok(())
}

/// What a run is compared with: the run that it replays, else the newest of its history that was
/// published before it and is no replay.
fn previous(store: &Store, run: &RunRow) -> Result<Option<RunRow>, StateError> {
    if let Some(original) = &run.replay_of {
        return store.row(original);
    }
    let rows = store.rows_beside(&run.id, LOOK_BACK)?;
    let before = rows.into_iter().skip_while(|row| row.id != run.id).skip(1);
    let mut comparable =
        before.filter(|row| row.status == RunStatus::Success && row.replay_of.is_none());
    Ok(comparable.next())
}
