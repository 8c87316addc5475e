//! `ixtract state`: the history itself, as a file to keep.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use jiff::SignedDuration;

use super::args::{
    BackupArgs, CheckArgs, PortArgs, PruneArgs, RebuildArgs, StateCommand, StoreArgs,
};
use super::context::Context;
use super::history::{LOOK_BACK, nowhere};
use super::postmortem::Archive;
use super::settings::{self, ObjectStoreSettings};
use crate::diagnosis::anomaly::BASELINE_RUNS;
use crate::error::{ExitCode, Failure};
use crate::model::{ChunkBounds, Exported, Scope, Selection, Strategy};
use crate::state::{Pruning, RebuiltRun, StateError, Store};
use crate::ui;
use crate::ui::state::{
    BackupDocument, CheckDocument, ExportDocument, ImportDocument, PruneDocument, RebuildDocument,
};
use crate::writer::manifest::{self, Manifest};

/// Standard input or output in place of a file.
const STANDARD: &str = "-";

/// Does one of them.
pub(super) async fn command(context: &Context, command: &StateCommand) -> Result<(), Failure> {
    match command {
        StateCommand::Backup(args) => back_up(context, args),
        StateCommand::Check(args) => check(context, args),
        StateCommand::Prune(args) => prune(context, args),
        StateCommand::Export(args) => export(context, args),
        StateCommand::Import(args) => import(context, args),
        StateCommand::Rebuild(args) => rebuild(context, args).await,
    }
}

/// The history's file.
fn file(context: &Context, args: &StoreArgs) -> Result<PathBuf, Failure> {
    settings::state_file(args.state.as_deref(), &context.environment).ok_or_else(nowhere)
}

fn back_up(context: &Context, args: &BackupArgs) -> Result<(), Failure> {
    let Archive { store, file } = Archive::open(context, &args.store)?;
    let document = BackupDocument {
        state: file,
        backup: args.file.display().to_string(),
        copied: store.back_up(&args.file)?,
    };
    context.printer.document(&document);
    context.printer.show(&ui::state::backup(&document));
    Ok(())
}

fn check(context: &Context, args: &CheckArgs) -> Result<(), Failure> {
    let file = file(context, &args.store)?;
    let document = CheckDocument {
        status: "sound",
        state: file.display().to_string(),
        checked: Store::check(&file)?,
    };
    context.printer.document(&document);
    context.printer.show(&ui::state::check(&document));
    Ok(())
}

fn prune(context: &Context, args: &PruneArgs) -> Result<(), Failure> {
    let Archive { store, file } = Archive::open(context, &args.store)?;
    let needed = LOOK_BACK.max(u32::try_from(BASELINE_RUNS).unwrap_or(u32::MAX));
    let span = args.older_than.map(SignedDuration::from_secs);
    let pruning = Pruning {
        keep: args.keep,
        before: span
            .map(|span| context.clock.now().checked_sub(span))
            .transpose()
            .map_err(|error| too_old(&error))?,
        needed,
    };
    let size = |path: &str| fs::metadata(path).map_or(0, |file| file.len());
    let before = size(&file);
    let (pruned, warning) = if args.dry_run {
        (store.prunable(&pruning)?, None)
    } else {
        let pruned = store.prune(&pruning)?;
        // The runs are gone already; a file that stays long is only that.
        let failed = store.compact().err().map(Failure::from);
        let warning = failed.map(|failure| {
            format!(
                "the file keeps its size: {} ({})",
                failure.what, failure.why
            )
        });
        (pruned, warning)
    };
    if let Some(warning) = &warning {
        context.printer.warn(warning);
    }
    let document = PruneDocument {
        dry_run: args.dry_run,
        bytes_before: before,
        bytes_after: size(&file),
        state: file,
        pruned,
        looked_at: needed,
        warnings: warning.into_iter().collect(),
    };
    context.printer.document(&document);
    context.printer.show(&ui::state::prune(&document));
    Ok(())
}

fn too_old(error: &jiff::Error) -> Failure {
    Failure::new(
        ExitCode::Usage,
        "--older-than reaches beyond all time",
        error.to_string(),
        "name fewer days",
    )
}

fn export(context: &Context, args: &PortArgs) -> Result<(), Failure> {
    let Archive { store, file } = Archive::open(context, &args.store)?;
    let standard = args.file == Path::new(STANDARD);
    if standard && context.printer.manner().json {
        return Err(Failure::new(
            ExitCode::Usage,
            "--json and an export cannot share standard output",
            "the export is a document of many lines, and --json promises one document",
            "name a file for the export, or leave out --json",
        ));
    }
    let exported = if standard {
        // It goes through the printer, the only one that writes there; a history is small.
        let mut bytes = Vec::new();
        let exported = store.export(&mut bytes, "standard output")?;
        context.printer.raw(&bytes);
        context.printer.note(&ui::state::exported(&exported));
        return Ok(());
    } else {
        to_file(&store, &args.file)?
    };
    let document = ExportDocument {
        state: file,
        file: args.file.display().to_string(),
        exported,
    };
    context.printer.document(&document);
    context.printer.show(&ui::state::export(&document));
    Ok(())
}

/// Writes the export beside its place, then moves it there: an older one stays until this one is
/// whole.
fn to_file(store: &Store, path: &Path) -> Result<Exported, Failure> {
    let name = path.display().to_string();
    let unwritten = |error: io::Error| StateError::Unwritten {
        name: name.clone(),
        why: error.to_string(),
    };
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".{}.tmp", std::process::id()));
    let partial = PathBuf::from(partial);
    let write = || -> Result<_, StateError> {
        let mut out = BufWriter::new(File::create(&partial).map_err(unwritten)?);
        let exported = store.export(&mut out, &name)?;
        out.flush().map_err(unwritten)?;
        out.get_ref().sync_all().map_err(unwritten)?;
        fs::rename(&partial, path).map_err(unwritten)?;
        Ok(exported)
    };
    let written = write();
    if written.is_err() {
        // The error that is reported came first.
        let _ = fs::remove_file(&partial);
    }
    Ok(written?)
}

fn import(context: &Context, args: &PortArgs) -> Result<(), Failure> {
    let file = file(context, &args.store)?;
    let name = args.file.display().to_string();
    let store = Store::open(&file)?;
    let imported = if args.file == Path::new(STANDARD) {
        store.import(&mut io::stdin().lock(), "standard input")?
    } else {
        let document = File::open(&args.file).map_err(|error| {
            Failure::new(
                ExitCode::Usage,
                format!("cannot read {name}"),
                error.to_string(),
                "name a file that ixtract state export wrote",
            )
        })?;
        store.import(&mut BufReader::new(document), &name)?
    };
    let document = ImportDocument {
        state: file.display().to_string(),
        file: name,
        imported,
    };
    context.printer.document(&document);
    context.printer.show(&ui::state::import(&document));
    Ok(())
}

async fn rebuild(context: &Context, args: &RebuildArgs) -> Result<(), Failure> {
    let file = file(context, &args.store)?;
    let stores = ObjectStoreSettings::settle(&args.object_store, &context.environment);
    let (mut runs, mut problems) = (Vec::new(), Vec::new());
    for dataset in &args.datasets {
        let place = stores.locate(dataset.clone())?;
        let found = context
            .blocking(move || Ok(manifest::find_all(&place)?))
            .await?;
        if found.manifests.is_empty() && found.problems.is_empty() {
            problems.push(format!("{}: no dataset is there", dataset.display()));
        }
        problems.extend(found.problems);
        runs.extend(
            found
                .manifests
                .into_iter()
                .map(|(at, manifest)| survivor(at, manifest)),
        );
    }
    if runs.is_empty() {
        return Err(Failure::new(
            ExitCode::Usage,
            "no manifest was found to rebuild a history from",
            problems.join("; "),
            "name directories or URLs that ixtract run published to",
        ));
    }
    // In the order they happened, as a history that was never lost would have them.
    runs.sort_by(|one, other| (one.started_at, &one.id).cmp(&(other.started_at, &other.id)));
    runs.dedup_by(|one, other| one.id == other.id);
    let taken = Store::open(&file)?.take_in(&runs, context.clock.now())?;
    for problem in &problems {
        context.printer.warn(problem);
    }
    let document = RebuildDocument {
        state: file.display().to_string(),
        manifests: runs.len() as u64,
        runs: taken,
        warnings: problems,
    };
    context.printer.document(&document);
    context.printer.show(&ui::state::rebuild(&document));
    Ok(())
}

/// A run as its manifest knows it.
fn survivor(at: String, manifest: Manifest) -> RebuiltRun {
    let mut scope = Scope::new(
        &manifest.source,
        &manifest.relation,
        // Which columns were asked for, and where a parameter stood in filter and query, nobody
        // knows; such a run does not teach.
        &Selection {
            filter_template: manifest.filter.clone(),
            query_template: manifest.query.clone(),
            ..Selection::default()
        },
        None,
    );
    if let Some(teaching) = &manifest.teaching {
        scope.key.clone_from(&teaching.scope);
    }
    let bounds = manifest.files.first().map(|file| &file.bounds);
    RebuiltRun {
        id: manifest.run,
        scope,
        teaching: manifest.teaching,
        started_at: manifest.started_at,
        published_at: manifest.created_at,
        version: manifest.ixtract,
        fingerprint: manifest.fingerprint,
        strategy: match bounds {
            None | Some(ChunkBounds::All) => Strategy::SinglePass,
            Some(ChunkBounds::Key(_) | ChunkBounds::KeyNull) => Strategy::RangeChunking,
            Some(ChunkBounds::Blocks(_) | ChunkBounds::LeafBlocks { .. }) => Strategy::CtidChunking,
        },
        chunks: u64::from(manifest.proof.chunks),
        // A window's run is one of the dataset that lists it.
        output: match at.rsplit_once("/_windows/") {
            Some((dataset, _)) if manifest.extraction_window.is_some() => dataset.to_owned(),
            _ => at.trim_end_matches("/_manifest.json").to_owned(),
        },
        manifest: at,
        rows: manifest.rows,
        bytes: manifest.bytes,
        adaptations: manifest.adaptations,
        snapshot: manifest.consistency,
        nulled: manifest.nulled,
        window: manifest.extraction_window,
        drift: manifest.schema_change,
    }
}
