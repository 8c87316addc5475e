//! `verify --source`: the windows of an incremental dataset, counted again.
//!
//! A window holds its rows as they were when it was read. Counted again in one snapshot, it shows what has
//! come late, moved on or gone since: all that a watermark cannot see.

use super::args::VerifyArgs;
use super::context::Context;
use super::settings::{self, SourceSettings};
use super::survey;
use crate::error::{ExitCode, Failure};
use crate::model::{Consistency, ReadSpec, Selection, Table, TypeOptions, WindowDefinition};
use crate::source::{Snapshot, SnapshotRequest, Source, SourceError, within};
use crate::ui::json::{ChangedWindow, RecountDocument};
use crate::writer::Location;
use crate::writer::windows::{self, WindowList};

/// Nothing but numbers is read.
const BATCH_BYTES: usize = 1 << 16;

/// Counts the rows of every window at the source.
///
/// # Errors
/// 2 for a dataset without windows, or another database than theirs.
pub(super) async fn recount(
    context: &Context,
    args: &VerifyArgs,
    dataset: Location,
) -> Result<RecountDocument, Failure> {
    let shown = dataset.to_string();
    let list = context
        .blocking(move || Ok(windows::find(dataset)?))
        .await?;
    let list = list.ok_or_else(|| {
        Failure::new(
            ExitCode::Refused,
            format!("{shown} has no windows to count again"),
            "it is one dataset, replaced as a whole by every run",
            "leave --source out, or run it again",
        )
    })?;
    let selection = selection(&list.definition, args)?;
    let place = SourceSettings::settle(&args.source, &context.environment, None)?;
    let source = survey::connect(context, &place, None).await?;
    let of = &list.definition;
    survey::check_source(&list.source, source.identity(), &of.relation)?;
    let name = match of.query {
        Some(_) => of.relation.name.clone(),
        None => survey::literal(&of.relation),
    };
    context.printer.detail("counting the windows at the source");
    let counting = async {
        let types = TypeOptions::default();
        let table = source.describe(&name, &selection, &types).await?;
        let snapshot = source.snapshot(&read(&table), &request(&place)).await?;
        let changed = compare(source.as_ref(), (snapshot.as_ref(), &table), &list).await?;
        let taken_at = snapshot.facts().taken_at;
        snapshot.close().await?;
        Ok::<_, SourceError>(RecountDocument {
            taken_at,
            windows: list.windows.len() as u64,
            changed,
        })
    };
    context.interrupt.or::<_, SourceError>(counting).await
}

/// What the windows are of, with the user's parameters.
fn selection(of: &WindowDefinition, args: &VerifyArgs) -> Result<Selection, Failure> {
    let [filter, query] = settings::filled([&of.filter, &of.query], &args.params)?;
    Ok(Selection {
        filter_template: of.filter.clone(),
        filter,
        query_template: of.query.clone(),
        query,
        ..Selection::default()
    })
}

fn read(table: &Table) -> ReadSpec {
    ReadSpec {
        relation: table.relation.clone(),
        kind: table.kind,
        query: table.query.clone(),
        columns: table.columns.clone(),
        key: None,
        leaves: Vec::new(),
        filter: table.filter.clone(),
    }
}

fn request(place: &SourceSettings) -> SnapshotRequest {
    SnapshotRequest {
        consistency: Consistency::Auto,
        sessions: 1,
        batch_bytes: BATCH_BYTES,
        lock_wait: place.lock_wait,
        allow_row_security: place.allow_row_security,
    }
}

/// The windows that hold another number of rows at the source by now.
async fn compare(
    source: &dyn Source,
    (snapshot, table): (&dyn Snapshot, &Table),
    list: &WindowList,
) -> Result<Vec<ChangedWindow>, SourceError> {
    let mut changed = Vec::new();
    for entry in &list.windows {
        let condition = source.window(&entry.window)?;
        let filter = within(table.filter.as_deref(), &condition);
        let now = snapshot.count_where(Some(&filter)).await?;
        if now != entry.rows {
            changed.push(ChangedWindow {
                window: entry.window.clone(),
                path: entry.path.clone(),
                published: entry.rows,
                now,
            });
        }
    }
    Ok(changed)
}
