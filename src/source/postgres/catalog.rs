//! What the catalogue says of a relation: its name, kind, columns and keys.

use std::borrow::Cow;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::super::dialect::quote_identifier;
use super::super::remote::{self, Facts, Mapped};
use super::super::{Result, SourceError, resolve};
use super::Base;
use super::classify::{Subject, grant_select};
use super::connect::Link;
use super::lookup;
use super::query::{self, Query};
use super::types::{self, ServerType};
use super::{keys, leaves};
use crate::model::{
    Column, ReadAs, ReadSpec, Relation, RelationKind, Selection, Table, TypeMode, TypeOptions,
    TypeOverride,
};

/// The columns of a relation. A NOT NULL that was never validated (version 18) promises nothing.
const COLUMNS: &str = "
    SELECT a.attnum, a.atttypid AS oid, a.atttypmod AS modifier, a.attname::text AS name,
           a.attnotnull AND NOT EXISTS (
               SELECT FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n'
               AND NOT k.convalidated AND k.conkey = ARRAY[a.attnum]) AS not_null,
           CASE WHEN a.attgenerated = 's' THEN 'generated stored'
                WHEN a.attgenerated = 'v' THEN 'generated virtual'
                WHEN a.attidentity = 'a' THEN 'identity always'
                WHEN a.attidentity = 'd' THEN 'identity by default' END AS generated,
           col_description(a.attrelid, a.attnum) AS comment,
           has_column_privilege(a.attrelid, a.attnum, 'SELECT') AS readable
    FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped";

/// What [`Described::from_row`] reads, of columns with their number, type, modifier and the rest, as
/// [`COLUMNS`] selects them: domains are followed to their base type and arrays, once, to their
/// elements'.
pub(super) fn described(columns: &str) -> String {
    format!(
        "
    WITH RECURSIVE given AS ({columns}),
    base AS (
        SELECT attnum, oid, modifier, false AS is_array, 0 AS step FROM given
      UNION ALL
        SELECT b.attnum, CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE e.oid END,
               CASE t.typtype WHEN 'd' THEN t.typtypmod ELSE b.modifier END,
               b.is_array OR t.typtype <> 'd', b.step + 1
        FROM base b JOIN pg_type t ON t.oid = b.oid
        LEFT JOIN pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
        WHERE t.typtype = 'd' OR e.oid IS NOT NULL AND NOT b.is_array),
    last AS (SELECT DISTINCT ON (attnum) * FROM base ORDER BY attnum, step DESC)
    SELECT c.name, format_type(c.oid, c.modifier), t.typname::text, n.nspname = 'pg_catalog',
           t.typtype = 'e', b.modifier, c.not_null, c.generated, c.comment, c.readable, b.is_array,
           CASE WHEN t.oid = 'money'::regtype THEN scale('1'::money::numeric) END
    FROM given c JOIN last b USING (attnum) JOIN pg_type t ON t.oid = b.oid
    JOIN pg_namespace n ON n.oid = t.typnamespace
    ORDER BY c.attnum"
    )
}

/// A relation's place in the catalogue.
struct Entry {
    oid: u32,
    kind: RelationKind,
    /// An ordinary table with inheritance children: its indexes and constraints say nothing of them.
    inherited: bool,
    schema_usable: bool,
}

/// A column with what only the catalogue needs to know of it.
pub(super) struct Described {
    name: String,
    source_type: String,
    server: ServerType,
    not_null: bool,
    generated: Option<String>,
    comment: Option<String>,
    readable: bool,
}

impl Described {
    pub(super) fn from_row(row: &Row) -> Self {
        Self {
            name: row.get(0),
            source_type: row.get(1),
            server: ServerType {
                name: row.get(2),
                built_in: row.get(3),
                is_enum: row.get(4),
                modifier: row.get(5),
                is_array: row.get(10),
                money_scale: row
                    .get::<_, Option<i32>>(11)
                    .and_then(|scale| u8::try_from(scale).ok()),
            },
            not_null: row.get(6),
            generated: row.get(7),
            comment: row.get(8),
            readable: row.get(9),
        }
    }
}

/// Resolves a table's name and describes the selected columns.
pub(super) async fn describe(
    base: &Base,
    table: &str,
    selection: &Selection,
    types: &TypeOptions,
) -> Result<Table> {
    let link = base.link().await?;
    let place = base.connector.place();
    let described = match selection.query.as_deref() {
        Some(text) => query::describe(base, &link, (table, text), selection, types).await?,
        None => describe_relation(base, &link, table, selection, types).await?,
    };
    let subject = Subject::of(place, &described.relation, described.query.as_deref());
    query::check_filter(&link, &subject, &described).await?;
    Ok(described)
}

async fn describe_relation(
    base: &Base,
    link: &Link,
    table: &str,
    selection: &Selection,
    types: &TypeOptions,
) -> Result<Table> {
    let place = base.connector.place();
    let path = lookup::path(base, link).await?;
    let catalogue = Subject::catalogue(place);
    link.look(&catalogue, async {
        let relation = lookup::relation(base, link, table, &path).await?;
        describe_found(base, link, relation, selection, types).await
    })
    .await
}

/// Describes a relation, in a transaction that only looks.
async fn describe_found(
    base: &Base,
    link: &Link,
    relation: Relation,
    selection: &Selection,
    types: &TypeOptions,
) -> Result<Table> {
    let place = base.connector.place();
    let subject = Subject::relation(place, &relation);
    let entry = entry(link, &subject, &relation).await?;
    let Some(entry) = entry else {
        return Err(SourceError::Changed {
            object: relation.to_string(),
            why: "it was dropped just now".to_owned(),
        });
    };
    if !entry.schema_usable {
        return Err(SourceError::Denied {
            object: relation.to_string(),
            why: format!("the schema {} may not be used", relation.schema),
            grant: format!(
                "GRANT USAGE ON SCHEMA {} TO {}",
                quote_identifier(&relation.schema),
                quote_identifier(&place.user)
            ),
        });
    }
    let rows = link
        .rows(&subject, &described(COLUMNS), &[(&entry.oid, Type::OID)])
        .await?;
    let all: Vec<Described> = rows.iter().map(Described::from_row).collect();
    let chosen = choose_columns(&all, selection, &relation)?;
    check_readable(base, &relation, &all, &chosen)?;
    // An index of a parent says nothing of what inherits from it.
    let (keys, unusable_key) = if entry.inherited {
        (Vec::new(), None)
    } else {
        keys::keys(link, &subject, entry.oid).await?
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

async fn entry(link: &Link, subject: &Subject, relation: &Relation) -> Result<Option<Entry>> {
    let sql = "
        SELECT c.oid, c.relkind::text, has_schema_privilege(n.oid, 'USAGE'),
               EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = $2";
    let rows = link
        .rows(
            subject,
            sql,
            &[(&relation.schema, Type::TEXT), (&relation.name, Type::TEXT)],
        )
        .await?;
    Ok(rows.first().map(|row| {
        let has_children: bool = row.get(3);
        let letter: String = row.get(1);
        let kind = match letter.as_str() {
            "v" => RelationKind::View,
            "m" => RelationKind::MaterializedView,
            "f" => RelationKind::ForeignTable,
            "p" => RelationKind::Partitioned,
            _ if has_children => RelationKind::Partitioned,
            _ => RelationKind::Table,
        };
        Entry {
            oid: row.get(0),
            inherited: letter == "r" && has_children,
            kind,
            schema_usable: row.get(2),
        }
    }))
}

/// Positions of the selected columns, in the catalogue's order.
pub(super) fn choose_columns(
    all: &[Described],
    selection: &Selection,
    relation: &Relation,
) -> Result<Vec<usize>> {
    let names: Vec<String> = all.iter().map(|column| column.name.clone()).collect();
    resolve::choose_columns(&names, selection, relation)
}

fn check_readable(
    base: &Base,
    relation: &Relation,
    all: &[Described],
    chosen: &[usize],
) -> Result<()> {
    let chosen = || chosen.iter().filter_map(|index| all.get(*index));
    let denied: Vec<String> = chosen()
        .filter(|column| !column.readable)
        .map(|column| column.name.clone())
        .collect();
    if denied.is_empty() {
        return Ok(());
    }
    let whole = denied.len() == all.len();
    let grant = grant_select(
        base.connector.place(),
        relation,
        if whole { &[] } else { &denied },
    );
    Err(SourceError::Denied {
        object: relation.to_string(),
        why: if whole {
            "SELECT is not granted on it".to_owned()
        } else {
            format!("SELECT is not granted on the columns {}", denied.join(", "))
        },
        grant,
    })
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
        let natural = types::map(&self.server, mode);
        let Some(wanted) = wanted else {
            return Ok(natural);
        };
        types::as_wanted(&self.server, mode, wanted).ok_or_else(|| {
            let field = &wanted.field;
            let nearly = !wanted.lossy && types::would_lose(&self.server, mode, field);
            remote::refusal(&self.facts(), &natural.field, field, nearly)
        })
    }

    fn retyped<'a>(&'a self, planned: &'a Column) -> Option<(Cow<'a, str>, Cow<'a, str>)> {
        if !planned.is_of(&self.source_type) {
            return Some((
                planned.source_type.as_str().into(),
                self.source_type.as_str().into(),
            ));
        }
        let base_type = types::map(&self.server, TypeMode::default()).base_type;
        let other = planned.read == ReadAs::Native && base_type != planned.base_type;
        other.then(|| (planned.base_type.as_str().into(), base_type.into()))
    }
}

/// Fails when the relation's columns are not what the plan was made for.
pub(super) async fn check_columns(base: &Base, link: &Link, read: &ReadSpec) -> Result<()> {
    let (kind, all) = columns_now(base, link, read).await?.unzip();
    remote::check_kind(read, kind)?;
    remote::check_columns(read, &all.unwrap_or_default())?;
    if !read.leaves.is_empty() {
        let subject = Subject::relation(base.connector.place(), &read.relation);
        let now = leaves::names(link, &subject, &read.relation).await?;
        if now != read.leaves {
            let why = "its leaves are not those of the plan".to_owned();
            return Err(remote::mismatch(read, why));
        }
    }
    Ok(())
}

/// What is read and all of its columns as the link's transaction sees them; `None` when it is gone.
async fn columns_now(
    base: &Base,
    link: &Link,
    read: &ReadSpec,
) -> Result<Option<(RelationKind, Vec<Described>)>> {
    let relation = &read.relation;
    let subject = Subject::of(base.connector.place(), relation, read.query.as_deref());
    if let Some(text) = read.query.as_deref() {
        let columns = Query { relation, text }.columns(link, &subject).await?;
        return Ok(Some((RelationKind::Query, columns)));
    }
    let Some(entry) = entry(link, &subject, relation).await? else {
        return Ok(None);
    };
    let rows = link
        .rows(&subject, &described(COLUMNS), &[(&entry.oid, Type::OID)])
        .await?;
    let columns = rows.iter().map(Described::from_row).collect();
    Ok(Some((entry.kind, columns)))
}
