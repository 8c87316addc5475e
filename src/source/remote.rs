//! What the sources behind a connection have in common.

use std::borrow::Cow;

use super::{Result, SourceError, resolve};
use crate::model::{
    Column, FieldType, ReadAs, ReadSpec, Relation, RelationKind, Selection, Table, TypeMode,
    TypeOptions, TypeOverride,
};

/// Where we are connected: what every error names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// `host:port`, or the socket's path.
    pub(super) target: String,
    /// Database.
    pub(super) database: String,
    /// User, as we log in.
    pub(super) user: String,
}

/// How a column is read: its decoder's name, the way it travels, the output type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    pub(super) base_type: String,
    pub(super) read: ReadAs,
    pub(super) field: FieldType,
    pub(super) lossy: bool,
}

/// How a source's type is stored, as far as reading and writing it goes.
pub(super) trait Stored {
    /// The name that plans keep.
    fn name(&self) -> String;

    /// How values travel.
    fn read(&self) -> ReadAs {
        ReadAs::Native
    }

    /// The output type that holds every value exactly; text where no other does.
    fn field(&self, mode: TypeMode) -> FieldType;

    /// Whether what it holds can be written as an output type: each value checked, or near to it with
    /// `lossy`.
    fn can_be(&self, field: &FieldType, lossy: bool) -> bool;
}

/// The mapping of a type, or of what the user wants of it, where there is one.
pub(super) fn map(
    storage: &impl Stored,
    mode: TypeMode,
    wanted: Option<&TypeOverride>,
) -> Option<Mapped> {
    let natural = storage.field(mode);
    let field = wanted.map_or_else(|| natural.clone(), |wanted| wanted.field.clone());
    let lossy = wanted.is_some_and(|wanted| wanted.lossy);
    storage.can_be(&field, lossy).then(|| Mapped {
        base_type: storage.name(),
        read: storage.read(),
        lossy: lossy && field != natural && field != FieldType::Utf8,
        field,
    })
}

/// What a catalogue says of a column.
pub(super) struct Facts<'a> {
    pub(super) name: &'a str,
    pub(super) source_type: &'a str,
    pub(super) not_null: bool,
    pub(super) generated: Option<&'a str>,
    pub(super) comment: Option<&'a str>,
}

/// A column out of a catalogue.
pub(super) trait Described {
    /// What the catalogue says of it.
    fn facts(&self) -> Facts<'_>;

    /// How it is read and written.
    ///
    /// # Errors
    /// [`refusal`] where it cannot be what the user wants.
    fn mapped(&self, wanted: Option<&TypeOverride>, mode: TypeMode) -> Result<Mapped>;

    /// What a planned column was and what it is, in words of the source, where its type is another now.
    fn retyped<'a>(&'a self, planned: &'a Column) -> Option<(Cow<'a, str>, Cow<'a, str>)>;
}

/// [`Described::mapped`] of a column that is stored so.
pub(super) fn mapped(
    facts: &Facts<'_>,
    storage: &impl Stored,
    (wanted, mode): (Option<&TypeOverride>, TypeMode),
) -> Result<Mapped> {
    map(storage, mode, wanted).ok_or_else(|| {
        let natural = storage.field(mode);
        let field = wanted.map_or(&natural, |wanted| &wanted.field);
        refusal(facts, &natural, field, storage.can_be(field, true))
    })
}

/// [`Described::retyped`] of a column that is stored so.
pub(super) fn retyped<'a>(
    source_type: &'a str,
    storage: &impl Stored,
    planned: &'a Column,
) -> Option<(Cow<'a, str>, Cow<'a, str>)> {
    let same = source_type == planned.source_type && storage.name() == planned.base_type;
    (!same).then(|| (planned.source_type.as_str().into(), source_type.into()))
}

/// The output columns of the chosen ones, given by their positions.
pub(super) fn map_columns(
    all: &[impl Described],
    chosen: &[usize],
    kind: RelationKind,
    types: &TypeOptions,
    relation: &Relation,
) -> Result<Vec<Column>> {
    let name = |facts: Facts<'_>| facts.name.to_owned();
    let names: Vec<String> = all.iter().map(|column| name(column.facts())).collect();
    let find = |name: &str| resolve::find_column(name, &names, relation);
    let options = types.of_columns(all.len(), find)?;
    chosen
        .iter()
        .filter_map(|index| all.get(*index).zip(options.get(*index)))
        .map(|(column, options)| {
            let (facts, mapped) = (column.facts(), column.mapped(options.wanted, types.mode)?);
            // Only a plain table's constraint holds for every row that is read.
            let promised = facts.not_null && kind == RelationKind::Table;
            Ok(Column {
                name: facts.name.to_owned(),
                source_type: facts.source_type.to_owned(),
                base_type: mapped.base_type,
                read: mapped.read,
                field: mapped.field,
                nullable: !(promised && options.on_unrepresentable.is_fail()),
                comment: facts.comment.map(str::to_owned),
                generated: facts.generated.map(str::to_owned),
                on_unrepresentable: options.on_unrepresentable,
                lossy: mapped.lossy,
            })
        })
        .collect()
}

/// Why a column cannot be written as the user wants it, and what can be done; `nearly` where it can
/// with a loss.
pub(super) fn refusal(
    facts: &Facts<'_>,
    natural: &FieldType,
    field: &FieldType,
    nearly: bool,
) -> SourceError {
    let Facts {
        name, source_type, ..
    } = facts;
    let what = format!("cannot write {name} as {field}");
    if nearly {
        return SourceError::Unsupported {
            what: format!("{what} without losing something"),
            why: format!(
                "it is {source_type} at the source, whose values {field} can only come near to"
            ),
            fix: format!("allow that with --lossy {name}={field}, or leave out --type {name}"),
        };
    }
    let as_text = match natural {
        FieldType::Utf8 => "",
        _ => " or as text",
    };
    SourceError::Unsupported {
        what,
        why: format!("it is {source_type} at the source, which is written as {natural}{as_text}"),
        fix: format!("leave out --type {name}={field}, or pass --type {name}=text"),
    }
}

/// A query as a table: it has no keys, and promises nothing.
pub(super) fn query_table(
    relation: Relation,
    text: &str,
    columns: Vec<Column>,
    selection: &Selection,
) -> Table {
    Table {
        relation,
        kind: RelationKind::Query,
        query: Some(text.to_owned()),
        columns,
        keys: Vec::new(),
        unusable_key: None,
        filter: selection.filter.clone(),
    }
}

/// Fails when a relation is not of the kind that the plan was made for.
pub(super) fn check_kind(read: &ReadSpec, now: Option<RelationKind>) -> Result<()> {
    let why = match now {
        Some(now) if now == read.kind => return Ok(()),
        Some(now) => format!("it was {} and is {now}", read.kind),
        None => "the table does not exist any more".to_owned(),
    };
    Err(mismatch(read, why))
}

/// Fails when the columns are not those that the plan was made for.
pub(super) fn check_columns(read: &ReadSpec, all: &[impl Described]) -> Result<()> {
    let find = |name: &str| all.iter().find(|now| now.facts().name == name);
    for column in &read.columns {
        let name = &column.name;
        let Some(now) = find(name) else {
            return Err(mismatch(read, format!("the column {name} is gone")));
        };
        if let Some((was, is)) = now.retyped(column) {
            let why = format!("the column {name} was {was} and is {is}");
            return Err(mismatch(read, why));
        }
        if !column.nullable && !now.facts().not_null {
            return Err(mismatch(read, format!("the column {name} may be NULL now")));
        }
    }
    let not_null = |name: &str| find(name).is_some_and(|now| now.facts().not_null);
    match read.key.as_ref().filter(|key| !key.nullable) {
        Some(key) if !key.columns().all(|(name, _)| not_null(name)) => {
            Err(mismatch(read, format!("the key {key} may be NULL now")))
        }
        _ => Ok(()),
    }
}

/// The refusal of a plan.
pub(super) fn mismatch(read: &ReadSpec, why: String) -> SourceError {
    SourceError::PlanMismatch {
        table: read.relation.to_string(),
        why,
    }
}
