//! Where a dataset goes.

use std::path::{Path, PathBuf};

use crate::cli::context::Context;
use crate::cli::settings::{self, Names, SourceSettings};
use crate::model::{Relation, SourceIdentity};

/// Where the dataset of a relation goes: the output template, filled in.
pub(in crate::cli) fn output(
    (identity, relation): (&SourceIdentity, &Relation),
    template: &str,
    settings: &SourceSettings,
    context: &Context,
) -> PathBuf {
    let database = match settings.source_name.as_deref() {
        Some(name) => name,
        // A file is known by its name without its extension.
        None => Path::new(&identity.database)
            .file_stem()
            .and_then(|stem| stem.to_str())
            .filter(|_| identity.port == 0 && identity.host.is_empty())
            .unwrap_or(&identity.database),
    };
    settings::directory(
        template,
        &Names {
            source: database,
            schema: &relation.schema,
            table: &relation.name,
            now: context.clock.now(),
        },
    )
}
