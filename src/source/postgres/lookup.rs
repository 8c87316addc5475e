//! Which relation a name means: what the catalogue has of that name, and the nearest where it has none.

use tokio_postgres::types::Type;

use super::super::dialect::quote_relation;
use super::super::resolve::wild::{Catalogue, Listed};
use super::super::resolve::{self, Found, Known};
use super::super::{Result, SourceError};
use super::Base;
use super::classify::Subject;
use super::connect::Link;
use crate::model::{Relation, RelationKind, nearest};

/// How many relations are looked at for a name that resembles the one written.
const NEAR_LIMIT: i64 = 10_000;

/// Signs that make a part of a name literal.
const QUOTES: &[(char, char)] = &[('"', '"')];

/// The schemas that the role's names are looked up in, in that order, the implied ones included.
pub(super) async fn path(base: &Base, link: &Link) -> Result<Vec<String>> {
    let subject = Subject::catalogue(base.connector.place());
    let sql = "SELECT pg_catalog.current_schemas(true)";
    Ok(link.row(&subject, sql, &[]).await?.get(0))
}

/// The relation that a name as the user wrote it means, asked in a transaction that only looks.
///
/// # Errors
/// That it means none, with the nearest names, or several.
pub(super) async fn relation(
    base: &Base,
    link: &Link,
    table: &str,
    path: &[String],
) -> Result<Relation> {
    let subject = Subject::catalogue(base.connector.place());
    let readings = resolve::readings(table, QUOTES);
    let (exact, folded) = resolve::names(&readings);
    // Servers fold by their own locale and we by Unicode: the exact spelling must always do. Temporary
    // tables are of other sessions, which nobody else can read.
    let sql = "
        SELECT n.nspname::text, c.relname::text
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
          AND (lower(c.relname::text) = ANY ($1) OR c.relname::text = ANY ($2))
        ORDER BY 1, 2";
    let rows = link
        .rows(
            &subject,
            sql,
            &[(&folded, Type::TEXT_ARRAY), (&exact, Type::TEXT_ARRAY)],
        )
        .await?;
    let known: Vec<Known> = rows
        .iter()
        .map(|row| {
            let schema: String = row.get(0);
            Known {
                place: path.iter().position(|listed| *listed == schema),
                relation: Relation {
                    schema,
                    name: row.get(1),
                },
            }
        })
        .collect();
    match resolve::choose(&readings, &known) {
        Found::One(relation) => Ok(relation),
        Found::Several(several) => Err(SourceError::TableAmbiguous {
            table: table.to_owned(),
            candidates: several.iter().map(quote_relation).collect(),
        }),
        Found::Missing => Err(missing(base, link, table, path).await?),
    }
}

/// The error for a table that is not there, with the nearest names of what the role may use.
async fn missing(base: &Base, link: &Link, table: &str, path: &[String]) -> Result<SourceError> {
    let place = base.connector.place();
    let sql = "
        SELECT n.nspname::text, c.relname::text
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
          AND has_schema_privilege(n.oid, 'USAGE')
          AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
        ORDER BY array_position($2, n.nspname::text), 1, 2 LIMIT $1";
    let rows = link
        .rows(
            &Subject::catalogue(place),
            sql,
            &[(&NEAR_LIMIT, Type::INT8), (&path, Type::TEXT_ARRAY)],
        )
        .await?;
    let candidates: Vec<(String, String)> = rows
        .iter()
        .flat_map(|row| {
            let (schema, name): (String, String) = (row.get(0), row.get(1));
            let shown = format!("{schema}.{name}");
            // Either way of writing it may be the slip.
            [(name, shown.clone()), (shown.clone(), shown)]
        })
        .collect();
    Ok(SourceError::TableMissing {
        table: table.to_owned(),
        source_name: place.database.clone(),
        near: nearest(
            table,
            candidates
                .iter()
                .map(|(name, shown)| (name.as_str(), shown.as_str())),
        ),
    })
}

/// Every relation of the users' own, for names with wild characters. What an extension made is its
/// own, and temporary tables are of other sessions.
pub(super) async fn catalogue(base: &Base) -> Result<Catalogue> {
    const SQL: &str = "
        SELECT n.nspname::text, c.relname::text, c.relkind::text,
               ARRAY(SELECT pn.nspname::text FROM pg_partition_ancestors(c.oid) AS a (oid)
                     JOIN pg_class p ON p.oid = a.oid JOIN pg_namespace pn ON pn.oid = p.relnamespace
                     WHERE c.relispartition AND a.oid <> c.oid ORDER BY p.oid),
               ARRAY(SELECT p.relname::text FROM pg_partition_ancestors(c.oid) AS a (oid)
                     JOIN pg_class p ON p.oid = a.oid
                     WHERE c.relispartition AND a.oid <> c.oid ORDER BY p.oid)
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
          AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_%'
          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                          AND d.objid = c.oid AND d.objsubid = 0 AND d.deptype = 'e')
        ORDER BY 1, 2";
    let link = base.link().await?;
    let subject = Subject::catalogue(base.connector.place());
    let path = path(base, &link).await?;
    let rows = link
        .look(&subject, async { link.rows(&subject, SQL, &[]).await })
        .await?;
    let relations = rows.iter().map(|row| {
        let (schema, kind): (String, &str) = (row.get(0), row.get(2));
        let (schemas, names): (Vec<String>, Vec<String>) = (row.get(3), row.get(4));
        let parents = schemas.into_iter().zip(names);
        Listed {
            kind: match kind {
                "v" => RelationKind::View,
                "m" => RelationKind::MaterializedView,
                "f" => RelationKind::ForeignTable,
                "p" => RelationKind::Partitioned,
                _ => RelationKind::Table,
            },
            place: path.iter().position(|listed| *listed == schema),
            relation: Relation {
                schema,
                name: row.get(1),
            },
            parents: parents
                .map(|(schema, name)| Relation { schema, name })
                .collect(),
        }
    });
    Ok(Catalogue {
        database: base.connector.place().database.clone(),
        quotes: QUOTES,
        relations: relations.collect(),
    })
}
