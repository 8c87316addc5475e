//! `ixtract doctor`: what would stand in a run's way.

use super::args::DoctorArgs;
use super::context::Context;
use super::history;
use super::settings::{self, ObjectStoreSettings, SourceSettings, StateSettings};
use super::survey;
use crate::doctor::{self, Found, Question};
use crate::error::{ExitCode, Failure};
use crate::model::{Check, Consistency, Relation, SourceIdentity, SourceKind};
use crate::ui;
use crate::ui::doctor::DoctorDocument;

/// Looks at everything that a run needs; the exit code is the verdict.
pub(super) async fn command(context: &Context, args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let selection = settings::selection(&args.selection)?;
    let types = settings::types(&args.types)?;
    let output = settings::output_options(&args.output)?;
    let source = SourceSettings::settle(&args.source, &context.environment, None)?;
    let state = StateSettings::settle(&args.state, &context.environment);
    let store = ObjectStoreSettings::settle(&args.output.store, &context.environment);
    let subject = args.selection.subject(args.table.as_deref());
    let question = Question {
        table: Some(subject).filter(|table| !table.is_empty()),
        selection: &selection,
        types: &types,
        consistency: args.consistency.unwrap_or(Consistency::Auto),
        lock_wait: source.lock_wait,
        allow_row_security: source.allow_row_security,
    };
    survey::caution(context, &source);
    context.printer.detail("looking at the source");
    let looking = async {
        let options = source.connect(None, context.clock.clone());
        Ok::<_, Failure>(doctor::source(options, &question).await)
    };
    let (mut checks, found) = context.interrupt.or(looking).await?;

    context.printer.detail("trying the output");
    let (bytes, identity, relation) = match found {
        Some(Found {
            identity,
            relation,
            bytes,
        }) => (bytes, identity, relation),
        None => (0, nowhere(), nothing()),
    };
    let place = survey::output((&identity, &relation), &output.directory, &source, context);
    let (clock, run) = (context.clock.clone(), context.run_id());
    let trying = move || {
        Ok(match store.locate(place) {
            Ok(location) => doctor::output(location, &run, output.layout, (bytes, clock.as_ref())),
            Err(failure) => vec![Check::failed("output", &failure)],
        })
    };
    checks.extend(context.blocking(trying).await?);

    let looking = move || {
        let file = state.file.as_deref().ok_or_else(history::nowhere);
        Ok(doctor::history(file, state.required))
    };
    checks.push(context.blocking(looking).await?);
    let document = DoctorDocument::new(checks);
    context.printer.document(&document);
    context.printer.show(&ui::doctor::view(&document));
    Ok(document.exit)
}

/// What stands for {source} where none was reached.
fn nowhere() -> SourceIdentity {
    SourceIdentity {
        kind: SourceKind::PostgreSql,
        host: "ixtract-doctor".to_owned(),
        port: 1,
        database: "ixtract-doctor".to_owned(),
        name: None,
    }
}

/// What stands for {schema} and {table} where none is named.
fn nothing() -> Relation {
    Relation {
        schema: "ixtract".to_owned(),
        name: "doctor".to_owned(),
    }
}
