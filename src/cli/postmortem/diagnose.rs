//! `ixtract diagnose`.

use super::Archive;
use crate::cli::args::RunSelector;
use crate::cli::context::Context;
use crate::diagnosis::{attribution, skew};
use crate::error::Failure;
use crate::model::{ChunkRecord, RunRow, WorkerRecord};
use crate::ui;
use crate::ui::diagnose::{ChunkDocument, DiagnoseDocument};

/// Shows what a run's numbers say.
pub(in crate::cli) fn command(context: &Context, args: &RunSelector) -> Result<(), Failure> {
    let Archive { store, .. } = Archive::open(context, &args.store)?;
    let stored = store.selected(&args.run)?;
    let document = document(&stored.run, &stored.chunks, &stored.workers);
    context.printer.document(&document);
    context.printer.show(&ui::diagnose::view(&document));
    Ok(())
}

/// A run, its chunks and workers, diagnosed: also one that failed, or that an older ixtract recorded.
pub(super) fn document<'a>(
    run: &'a RunRow,
    chunks: &'a [ChunkRecord],
    workers: &'a [WorkerRecord],
) -> DiagnoseDocument<'a> {
    let elapsed_ms = (run.duration_s.max(0.0) * 1000.0).round() as u64;
    let went = attribution::of_run(chunks, workers, elapsed_ms);
    let of_chunks = chunks.iter().map(|chunk| ChunkDocument {
        attribution: attribution::of_chunk(chunk),
        chunk,
    });
    DiagnoseDocument {
        skew: skew::measure(chunks, &went),
        attribution: went,
        chunks: of_chunks.collect(),
        workers,
        excluded: ui::diagnose::excluded(run),
        run,
    }
}
