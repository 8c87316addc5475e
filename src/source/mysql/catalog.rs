//! What the catalogue says of a relation: its kind, engine, columns and keys.

use std::borrow::Cow;

use mysql_async::Error;

use super::super::remote::{self, Facts, Mapped};
use super::super::{Result, SourceError, resolve};
use super::Base;
use super::classify::{self, Subject, grant_select};
use super::connect::{Link, Texts};
use super::keys;
use super::lookup;
use super::query;
use super::sql::{quote_identifier, quote_relation, quote_text};
use super::types::Storage;
use crate::model::{
    Column, ReadSpec, Relation, RelationKind, Selection, Table, TypeMode, TypeOptions, TypeOverride,
};

/// A relation's place in the catalogue.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) kind: RelationKind,
    /// The storage engine; a view has none.
    pub(super) engine: Option<String>,
}

impl Entry {
    /// Whether its rows are read in snapshots.
    pub(super) fn is_transactional(&self) -> bool {
        let engine = self.engine.as_deref();
        engine.is_none_or(|engine| engine.eq_ignore_ascii_case("InnoDB"))
    }
}

/// A column with what only the catalogue needs to know of it.
#[derive(Clone, Debug)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) source_type: String,
    pub(super) storage: Storage,
    /// The collation of text that is ordered by it: not that of enum and set, which are ordered as
    /// they were declared.
    pub(super) collation: Option<String>,
    /// Its values have an order that bounds can be named in.
    pub(super) ordered: bool,
    pub(super) not_null: bool,
    generated: Option<String>,
    comment: Option<String>,
}

impl Described {
    /// A column of a query.
    pub(super) fn of_query(name: String, source_type: String, storage: Storage) -> Self {
        Self {
            name,
            source_type,
            storage,
            collation: None,
            ordered: false,
            not_null: false,
            generated: None,
            comment: None,
        }
    }

    /// A row of [`columns`], which knows the names of columns that are checked to be JSON.
    fn of_row(row: &Texts, json: &[String]) -> Self {
        let text = |index: usize| row.get(index).cloned().flatten();
        let filled = |index: usize| text(index).filter(|text| !text.is_empty());
        let (data_type, charset) = (text(1).unwrap_or_default(), text(3));
        let name = text(0).unwrap_or_default();
        let source_type = text(2).unwrap_or_default();
        let declared = matches!(data_type.as_str(), "enum" | "set");
        let storage = match Storage::of_catalogue(&data_type, &source_type, charset.as_deref()) {
            Storage::Text if json.contains(&name) => Storage::Json,
            storage => storage,
        };
        let shapeless = ["blob", "binary"]
            .iter()
            .all(|kind| !data_type.ends_with(kind));
        Self {
            ordered: !declared
                && match &storage {
                    Storage::Bytes => !shapeless,
                    Storage::Float | Storage::Double | Storage::Bit(_) | Storage::Json => false,
                    Storage::Text => !data_type.starts_with("inet"),
                    _ => true,
                },
            collation: text(4),
            not_null: text(5).as_deref() == Some("NO"),
            generated: filled(6).and_then(|extra| generated(&extra)),
            comment: filled(7),
            source_type,
            storage,
            name,
        }
    }
}

/// What `EXTRA` says that is worth knowing.
fn generated(extra: &str) -> Option<String> {
    let extra = extra.to_ascii_lowercase();
    let kinds = [
        ("virtual generated", "generated virtual"),
        ("stored generated", "generated stored"),
        ("persistent generated", "generated stored"),
        ("auto_increment", "identity by default"),
        ("invisible", "invisible"),
    ];
    let said: Vec<&str> = kinds
        .iter()
        .filter(|(word, _)| extra.contains(word))
        .map(|(_, meaning)| *meaning)
        .collect();
    (!said.is_empty()).then(|| said.join(", "))
}

/// Resolves a table's name and describes the selected columns.
pub(super) async fn describe(
    base: &Base,
    table: &str,
    selection: &Selection,
    types: &TypeOptions,
) -> Result<Table> {
    let mut link = base.link().await?;
    let link = &mut *link;
    let described = match selection.query.as_deref() {
        Some(text) => query::describe(base, link, (table, text), selection, types).await?,
        None => describe_relation(base, link, table, selection, types).await?,
    };
    query::check_filter(base, link, &described).await?;
    Ok(described)
}

async fn describe_relation(
    base: &Base,
    link: &mut Link,
    table: &str,
    selection: &Selection,
    types: &TypeOptions,
) -> Result<Table> {
    let relation = lookup::relation(base, link, table).await?;
    let Some(entry) = entry(base, link, &relation).await? else {
        return Err(lookup::missing(base, link, table).await?);
    };
    let all = columns(base, link, &relation).await?;
    if selection.columns.is_empty() {
        // The catalogue does not show columns that we may not read: they must not go unnoticed.
        check_readable(base, link, &relation, &[]).await?;
    }
    let names: Vec<String> = all.iter().map(|column| column.name.clone()).collect();
    let chosen = match resolve::choose_columns(&names, selection, &relation) {
        Ok(chosen) => chosen,
        Err(error) => {
            if let SourceError::ColumnMissing { column, .. } = &error {
                // One that we may not read is not shown either.
                may_be_denied(base, link, &relation, column).await?;
            }
            return Err(error);
        }
    };
    let wanted: Vec<String> = chosen.iter().map(|index| names[*index].clone()).collect();
    check_readable(base, link, &relation, &wanted).await?;
    let (keys, unusable_key) = match entry.kind {
        RelationKind::Table => keys::keys(base, link, &relation, &all).await?,
        _ => (Vec::new(), None),
    };
    let columns = remote::map_columns(&all, &chosen, entry.kind, types, &relation)?;
    Ok(Table {
        relation,
        kind: entry.kind,
        query: None,
        columns,
        keys,
        unusable_key,
        filter: selection.filter.clone(),
    })
}

/// Fails when a column may not be read; with none named, when any of the table's may not. Nothing is
/// run.
async fn check_readable(
    base: &Base,
    link: &mut Link,
    relation: &Relation,
    columns: &[String],
) -> Result<()> {
    let quoted: Vec<String> = columns.iter().map(|name| quote_identifier(name)).collect();
    let list = if quoted.is_empty() {
        "*".to_owned()
    } else {
        quoted.join(", ")
    };
    let sql = format!("SELECT {list} FROM {} LIMIT 0", quote_relation(relation));
    let account = base.connector.account();
    let subject = Subject::of(account, relation, None);
    match link.prepare(&sql).await {
        Ok(statement) => {
            let closed = link.unprepare(statement).await;
            closed.map_err(|error| link.explain(&subject, &error))
        }
        Err(error) if classify::is_denial(&error) => Err(SourceError::Denied {
            object: relation.to_string(),
            why: classify::words(&error),
            grant: grant_select(account, relation, columns),
        }),
        Err(error) => Err(link.explain(&subject, &error)),
    }
}

/// Fails when a column that is not shown is one that we may not read.
async fn may_be_denied(
    base: &Base,
    link: &mut Link,
    relation: &Relation,
    column: &String,
) -> Result<()> {
    match check_readable(base, link, relation, std::slice::from_ref(column)).await {
        Err(denied @ SourceError::Denied { .. }) => Err(denied),
        _ => Ok(()),
    }
}

/// What kind of relation it is; `None` when it is not there, or not for us to see.
pub(super) async fn entry(
    base: &Base,
    link: &mut Link,
    relation: &Relation,
) -> Result<Option<Entry>> {
    let sql = format!(
        "SELECT TABLE_TYPE, ENGINE FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        quote_text(&relation.schema),
        quote_text(&relation.name)
    );
    let subject = Subject::of(base.connector.account(), relation, None);
    let rows = link.texts(&subject, &sql).await?;
    Ok(rows.first().map(|row| {
        let text = |index: usize| row.get(index).cloned().flatten();
        let view = text(0).is_some_and(|kind| kind.ends_with("VIEW"));
        Entry {
            kind: if view {
                RelationKind::View
            } else {
                RelationKind::Table
            },
            engine: text(1),
        }
    }))
}

/// Every column that we may see of a relation, in the catalogue's order.
pub(super) async fn columns(
    base: &Base,
    link: &mut Link,
    relation: &Relation,
) -> Result<Vec<Described>> {
    let place = format!(
        "TABLE_SCHEMA = {} AND TABLE_NAME = {}",
        quote_text(&relation.schema),
        quote_text(&relation.name)
    );
    let subject = Subject::of(base.connector.account(), relation, None);
    let sql = format!(
        "SELECT COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, CHARACTER_SET_NAME, COLLATION_NAME, \
         IS_NULLABLE, EXTRA, COLUMN_COMMENT FROM information_schema.COLUMNS \
         WHERE {place} ORDER BY ORDINAL_POSITION"
    );
    let rows = link.texts(&subject, &sql).await?;
    let json = json_columns(base, link, relation).await?;
    Ok(rows
        .iter()
        .map(|row| Described::of_row(row, &json))
        .collect())
}

/// MariaDB's `json` is text with a check of the column's own name.
async fn json_columns(base: &Base, link: &mut Link, relation: &Relation) -> Result<Vec<String>> {
    if !base.server.mariadb {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT CONSTRAINT_NAME FROM information_schema.CHECK_CONSTRAINTS \
         WHERE CONSTRAINT_SCHEMA = {} AND TABLE_NAME = {} \
         AND CHECK_CLAUSE = CONCAT('json_valid(`', REPLACE(CONSTRAINT_NAME, '`', '``'), '`)')",
        quote_text(&relation.schema),
        quote_text(&relation.name)
    );
    let subject = Subject::of(base.connector.account(), relation, None);
    let rows = link.texts(&subject, &sql).await?;
    Ok(rows.into_iter().flatten().flatten().collect())
}

impl remote::Described for Described {
    fn facts(&self) -> Facts<'_> {
        Facts {
            name: &self.name,
            source_type: &self.source_type,
            not_null: self.not_null,
            generated: self.generated.as_deref(),
            comment: self.comment.as_deref(),
        }
    }

    fn mapped(&self, wanted: Option<&TypeOverride>, mode: TypeMode) -> Result<Mapped> {
        remote::mapped(&self.facts(), &self.storage, (wanted, mode))
    }

    fn retyped<'a>(&'a self, planned: &'a Column) -> Option<(Cow<'a, str>, Cow<'a, str>)> {
        remote::retyped(&self.source_type, &self.storage, planned)
    }
}

/// Fails when the relation's columns are not what the plan was made for, as the link sees them now.
pub(super) async fn check_columns(base: &Base, link: &mut Link, read: &ReadSpec) -> Result<()> {
    let all = match read.query.as_deref() {
        Some(text) => query::columns(base, link, &read.relation, text).await?,
        None => {
            let entry = entry(base, link, &read.relation).await?;
            remote::check_kind(read, entry.map(|entry| entry.kind))?;
            columns(base, link, &read.relation).await?
        }
    };
    remote::check_columns(read, &all)
}

/// An error of a statement that names what the user wrote.
pub(super) fn its_own(error: &Error) -> bool {
    // Syntax, names, functions, operands, and what they may not be used for.
    matches!(
        classify::number(error),
        Some(
            1052 | 1054
                | 1055
                | 1056
                | 1060
                | 1064
                | 1109
                | 1111
                | 1115
                | 1140
                | 1146
                | 1235
                | 1241
                | 1242
                | 1248
                | 1267
                | 1271
                | 1295
                | 1305
                | 1318
                | 1327
                | 1370
                | 1582
                | 1583
                | 1630
                | 1651
                | 1690
                | 1815
                | 4079
        )
    )
}
