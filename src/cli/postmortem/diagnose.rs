//! `ixtract diagnose`.

use super::Archive;
use crate::cli::args::RunSelector;
use crate::cli::context::Context;
use crate::diagnosis::{attribution, skew};
use crate::error::Failure;
use crate::ui;
use crate::ui::diagnose::{ChunkDocument, DiagnoseDocument};

/// Shows what a run's numbers say.
pub(in crate::cli) fn command(context: &Context, args: &RunSelector) -> Result<(), Failure> {
    let Archive { store, .. } = Archive::open(context, &args.store)?;
    let stored = store.selected(&args.run)?;
    let elapsed_ms = (stored.run.duration_s.max(0.0) * 1000.0).round() as u64;
    // Also of runs that failed, and of those that an older ixtract recorded.
    let went = attribution::of_run(&stored.chunks, &stored.workers, elapsed_ms);
    let waits = attribution::waits(&stored.chunks);
    let document = DiagnoseDocument {
        waits,
        network_permille: waits.network_permille(),
        skew: skew::measure(&stored.chunks, &went),
        attribution: went,
        chunks: stored
            .chunks
            .iter()
            .map(|chunk| ChunkDocument {
                attribution: attribution::of_chunk(chunk),
                chunk,
            })
            .collect(),
        workers: &stored.workers,
        excluded: ui::diagnose::excluded(&stored.run),
        run: &stored.run,
    };
    context.printer.document(&document);
    context.printer.show(&ui::diagnose::view(&document));
    Ok(())
}
