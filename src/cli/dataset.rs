//! `ixtract verify` and `ixtract files`: datasets without their database.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::args::DatasetArgs;
use super::context::Context;
use crate::error::Failure;
use crate::ui::json::{FilesDocument, VerifyDocument};
use crate::ui::summary;
use crate::writer::manifest;
use crate::writer::verify::{self, Verified};

/// `verify`: checks every file; a signal ends it at once.
pub(super) async fn verify(context: &Context, args: &DatasetArgs) -> Result<(), Failure> {
    let document = verified(context, &args.dataset).await?;
    context.printer.document(&document);
    context.printer.show(&summary::verified(&document));
    Ok(())
}

/// Checks a dataset.
pub(super) async fn verified(context: &Context, dataset: &Path) -> Result<VerifyDocument, Failure> {
    let path = dataset.to_owned();
    let Verified {
        run,
        files,
        rows,
        bytes,
    } = context.blocking(move || Ok(verify::verify(&path)?)).await?;
    Ok(VerifyDocument {
        status: "intact",
        dataset: dataset.display().to_string(),
        run: run.to_string(),
        files,
        rows,
        bytes,
    })
}

/// `files`: lists the current files, one a line.
pub(super) async fn files(context: &Context, args: &DatasetArgs) -> Result<(), Failure> {
    let files = listed(context, &args.dataset).await?;
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
pub(super) async fn listed(context: &Context, dataset: &Path) -> Result<Vec<PathBuf>, Failure> {
    let path = dataset.to_owned();
    context.blocking(move || Ok(manifest::files(&path)?)).await
}
