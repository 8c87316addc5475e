//! `ixtract verify` and `ixtract files`: datasets without their database.

use std::os::unix::ffi::OsStrExt;

use super::args::DatasetArgs;
use super::context::Context;
use crate::error::Failure;
use crate::ui::json::{FilesDocument, VerifyDocument};
use crate::ui::summary;
use crate::writer::manifest;
use crate::writer::verify::{self, Verified};

/// Checks every file; a signal ends it at once.
pub(super) async fn verify(context: &Context, args: &DatasetArgs) -> Result<(), Failure> {
    let path = args.dataset.clone();
    let check = move || Ok(verify::verify(&path)?);
    let Verified {
        run,
        files,
        rows,
        bytes,
    } = context.blocking(check).await?;
    let document = VerifyDocument {
        status: "intact",
        dataset: args.dataset.display().to_string(),
        run: run.to_string(),
        files,
        rows,
        bytes,
    };
    context.printer.document(&document);
    context.printer.show(&summary::verified(&document));
    Ok(())
}

/// Lists the current files, one a line.
pub(super) async fn files(context: &Context, args: &DatasetArgs) -> Result<(), Failure> {
    let path = args.dataset.clone();
    let files = context.blocking(move || Ok(manifest::files(&path)?)).await?;
    // Paths are bytes: what is printed must open the file, whatever its name.
    let mut lines = Vec::new();
    for file in &files {
        lines.extend_from_slice(file.as_os_str().as_bytes());
        lines.push(b'\n');
    }
    context.printer.raw(&lines);
    context.printer.document(&FilesDocument {
        dataset: args.dataset.display().to_string(),
        files: files.iter().map(|file| file.display().to_string()).collect(),
    });
    Ok(())
}
