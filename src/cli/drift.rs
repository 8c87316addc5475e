//! Whether a run's columns are those of the published run before it.
//!
//! The dataset's own manifest is asked first: it says what readers see now, whoever published it and
//! whatever became of the history. Where there is none, or one of other rows (another table, another
//! selection of columns), the history says what the last published run of the same scope read.

use super::context::Context;
use super::history::History;
use super::survey::Survey;
use crate::drift;
use crate::error::{ExitCode, Failure};
use crate::model::{Column, OnSchemaChange, RunId, SchemaDrift, SchemaWitness};
use crate::writer::Location;
use crate::writer::latest::latest;
use crate::writer::manifest::Manifest;

/// Changes that a line of text names one by one.
const NAMED: usize = 4;

/// How the columns of a plan differ from those of the published run before it; `None` where they do not,
/// or where there is no such run.
///
/// # Errors
/// Where the manifest that is there cannot be read.
pub(super) async fn look(
    context: &Context,
    survey: &Survey,
    history: &mut History,
    place: Location,
) -> Result<Option<SchemaDrift>, Failure> {
    let manifest = context.blocking(move || Ok(latest(place)?)).await?;
    let relation = &survey.plan.spec.read.relation;
    let before = match manifest.filter(|manifest| is_of(manifest, survey)) {
        Some(manifest) => Some((manifest.run, manifest.schema, SchemaWitness::Manifest)),
        None => history
            .last_columns(&survey.scope, relation)?
            .map(|(run, columns)| (run, columns, SchemaWitness::History)),
    };
    Ok(before.and_then(|before| between(before, &survey.plan.spec.read.columns)))
}

fn between(
    (since, before, known_from): (RunId, Vec<Column>, SchemaWitness),
    now: &[Column],
) -> Option<SchemaDrift> {
    let changes = drift::between(&before, now);
    (!changes.is_empty()).then_some(SchemaDrift {
        since,
        known_from,
        changes,
    })
}

/// Whether a manifest is of the same rows and columns as were asked for: of the same scope. Manifests of
/// older versions do not name theirs.
fn is_of(manifest: &Manifest, survey: &Survey) -> bool {
    let read = &survey.plan.spec.read;
    let same_scope = match &manifest.teaching {
        Some(teaching) => teaching.scope == survey.scope.key,
        None => manifest.query == read.query,
    };
    same_scope && manifest.relation == read.relation
}

/// The same for a run that is about to start, judged by `--on-schema-change`.
///
/// # Errors
/// 5 where there is a change and the rule is `fail`.
pub(super) async fn compare(
    context: &Context,
    rule: OnSchemaChange,
    survey: &Survey,
    history: &mut History,
    place: Location,
) -> Result<Option<SchemaDrift>, Failure> {
    let drift = look(context, survey, history, place).await?;
    if let Some(drift) = &drift {
        let table = survey.plan.spec.read.relation.to_string();
        judge(context, rule, (&table, drift))?;
    }
    Ok(drift)
}

/// What becomes of a run with this change: a warning, nothing, or exit 5.
fn judge(
    context: &Context,
    rule: OnSchemaChange,
    (table, drift): (&str, &SchemaDrift),
) -> Result<(), Failure> {
    let what = format!(
        "the columns of {table} have changed since run {}",
        drift.since
    );
    match rule {
        OnSchemaChange::Continue => Ok(()),
        OnSchemaChange::Warn => {
            context
                .printer
                .warn(&format!("{what}: {}", drift.summary(NAMED)));
            Ok(())
        }
        OnSchemaChange::Fail => Err(Failure::new(
            ExitCode::SchemaChange,
            what,
            drift.summary(NAMED),
            "nothing was read and the old version stays; to publish the new columns, pass \
             --on-schema-change warn once",
        )),
    }
}
