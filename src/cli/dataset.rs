//! `ixtract verify` and `ixtract files`: datasets without their database.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::args::{DatasetArgs, VerifyArgs};
use super::context::Context;
use super::recount;
use super::settings::ObjectStoreSettings;
use crate::error::{ExitCode, Failure};
use crate::ui::json::{FilesDocument, RecountDocument, VerifyDocument};
use crate::ui::summary;
use crate::writer::verify::{self, Verified};
use crate::writer::{Location, manifest};

/// `verify`: checks every file; a signal ends it at once. With a source its windows are counted again
/// there, and the exit code says whether any has changed.
pub(super) async fn verify(context: &Context, args: &VerifyArgs) -> Result<ExitCode, Failure> {
    let dataset = located(context, &args.dataset)?;
    let mut document = verified(context, &dataset).await?;
    if args.asks_source() {
        document.source = Some(recount::recount(context, args, dataset).await?);
    }
    context.printer.document(&document);
    context.printer.show(&summary::verified(&document));
    let changed = |again: &RecountDocument| !again.changed.is_empty();
    Ok(match &document.source {
        Some(again) if changed(again) => ExitCode::Failed,
        _ => ExitCode::Success,
    })
}

/// Where the dataset is.
fn located(context: &Context, args: &DatasetArgs) -> Result<Location, Failure> {
    ObjectStoreSettings::settle(&args.store, &context.environment).locate(args.dataset.clone())
}

/// Checks a dataset.
pub(super) async fn verified(
    context: &Context,
    dataset: &Location,
) -> Result<VerifyDocument, Failure> {
    let place = dataset.clone();
    let Verified {
        run,
        files,
        rows,
        bytes,
        windows,
        proof,
    } = context
        .blocking(move || Ok(verify::verify(&place)?))
        .await?;
    Ok(VerifyDocument {
        status: "intact",
        dataset: dataset.to_string(),
        run: run.to_string(),
        files,
        rows,
        bytes,
        windows,
        proof,
        source: None,
    })
}

/// `files`: lists the current files, one a line.
pub(super) async fn files(context: &Context, args: &DatasetArgs) -> Result<(), Failure> {
    let files = listed(context, &located(context, args)?).await?;
    // Paths are bytes: what is printed must open the file, whatever its name.
    let mut lines = Vec::new();
    for file in &files {
        lines.extend_from_slice(file.as_os_str().as_bytes());
        lines.push(b'\n');
    }
    context.printer.raw(&lines);
    context.printer.document(&FilesDocument {
        dataset: args.dataset.display().to_string(),
        files: files
            .iter()
            .map(|file| file.display().to_string())
            .collect(),
    });
    Ok(())
}

/// The current files of a dataset, in key order.
pub(super) async fn listed(context: &Context, dataset: &Location) -> Result<Vec<PathBuf>, Failure> {
    let place = dataset.clone();
    context.blocking(move || Ok(manifest::files(&place)?)).await
}
