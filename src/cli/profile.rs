//! `ixtract profile`.

use super::args::ProfileArgs;
use super::context::Context;
use super::history::History;
use super::settings::{self, SourceSettings, StateSettings};
use super::survey::{self, Wanted};
use crate::error::Failure;
use crate::model::SourceKind;
use crate::ui;
use crate::ui::json::ProfileDocument;

/// Shows what is known of a table, and keeps it.
pub(super) async fn command(context: &Context, args: &ProfileArgs) -> Result<(), Failure> {
    let selection = settings::selection(&args.selection)?;
    let source_settings = SourceSettings::settle(&args.source, &context.environment, None)?;
    let state = StateSettings::settle(&args.state, &context.environment);
    let source = survey::connect(context, &source_settings, None).await?;
    let types = settings::types(&args.types)?;
    let wanted = Wanted {
        table: args.selection.subject(args.table.as_deref()),
        selection: &selection,
        types: &types,
        chunk_rows: None,
        window: None,
    };
    let profile = survey::profile(context, &source, &wanted).await?;
    let mut history = History::open(context, &state)?;
    let scope = history.scope(source.identity(), &profile.table.relation, &selection);
    history.save_profile(&scope, &profile, context)?;
    let document = ProfileDocument {
        source: source.identity().to_string(),
        file: source.identity().kind == SourceKind::Sqlite,
        profile: &profile,
    };
    context.printer.document(&document);
    context.printer.show(&ui::profile::view(&document));
    Ok(())
}
