//! Which relation a name means: what the catalogue has of that name, and the nearest where it has none.

use super::super::resolve::wild::{Catalogue, Listed};
use super::super::resolve::{self, Found, Known};
use super::super::{Result, SourceError};
use super::Base;
use super::classify::{self, grant_select};
use super::connect::Link;
use super::sql::{Parameter, Statement, quote_relation};
use crate::model::{Relation, RelationKind, nearest};

/// How many relations are looked at for a name that resembles the one written.
const NEAR_LIMIT: u32 = 10_000;

/// Signs that make a part of a name literal: SQL Server's, and standard SQL's.
const QUOTES: &[(char, char)] = &[('[', ']'), ('"', '"')];

/// Tables and views.
const READABLE: &str = "o.type IN ('U', 'V') AND o.is_ms_shipped = 0";

/// The relation that a name as the user wrote it means. A name alone is looked for in the user's own
/// schema first.
///
/// # Errors
/// That it means none, with the nearest names, or several, or that we may not see it.
pub(super) async fn relation(base: &Base, link: &mut Link, table: &str) -> Result<Relation> {
    let readings = resolve::readings(table, QUOTES);
    let (exact, folded) = resolve::names(&readings);
    let mut parameters = Vec::new();
    let mut list = |names: Vec<String>| {
        let places: Vec<String> = names
            .into_iter()
            .map(|name| {
                parameters.push(Parameter::Text(name));
                format!("@P{}", parameters.len())
            })
            .collect();
        places.join(", ")
    };
    // The server compares names by a collation of its own: what it finds is compared again.
    let sql = format!(
        "SELECT s.name, o.name FROM sys.objects AS o \
         JOIN sys.schemas AS s ON s.schema_id = o.schema_id \
         WHERE {READABLE} AND (LOWER(o.name) IN ({}) OR o.name IN ({})) ORDER BY s.name, o.name",
        list(folded),
        list(exact)
    );
    let statement = Statement { sql, parameters };
    let rows = link.ask(&base.catalogue(), &statement).await?;
    let known: Vec<Known> = rows
        .into_iter()
        .filter_map(|row| {
            let mut texts = row.into_iter().flatten();
            let relation = Relation {
                schema: texts.next()?,
                name: texts.next()?,
            };
            let place = (relation.schema == base.server.schema).then_some(0);
            Some(Known { relation, place })
        })
        .collect();
    match resolve::choose(&readings, &known) {
        Found::One(relation) => Ok(relation),
        Found::Several(several) => Err(SourceError::TableAmbiguous {
            table: table.to_owned(),
            candidates: several.iter().map(quote_relation).collect(),
        }),
        Found::Missing => {
            let readings = resolve::within(readings, &base.server.schema);
            if let Some(relation) = resolve::likeliest(&readings) {
                refused(base, link, &relation).await?;
            }
            Err(missing(base, link, table).await?)
        }
    }
}

/// Fails when it is a right that we lack, and not the relation: the catalogue shows neither.
async fn refused(base: &Base, link: &mut Link, relation: &Relation) -> Result<()> {
    let sql = format!("SELECT TOP (0) 1 AS one FROM {}", quote_relation(relation));
    match link.try_ask(&Statement::plain(sql)).await {
        Err(error) if classify::is_denial(&error) => Err(SourceError::Denied {
            object: relation.to_string(),
            why: classify::words(&error),
            grant: grant_select(&base.server, relation, &[]),
        }),
        _ => Ok(()),
    }
}

/// The error for a table that is not there, with the nearest names of what we may see.
pub(super) async fn missing(base: &Base, link: &mut Link, table: &str) -> Result<SourceError> {
    let sql = format!(
        "SELECT TOP ({NEAR_LIMIT}) s.name, o.name FROM sys.objects AS o \
         JOIN sys.schemas AS s ON s.schema_id = o.schema_id WHERE {READABLE} \
         ORDER BY s.name, o.name"
    );
    let rows = link.ask(&base.catalogue(), &Statement::plain(sql)).await?;
    let candidates: Vec<(String, String)> = rows
        .into_iter()
        .filter_map(|row| {
            let mut texts = row.into_iter().flatten();
            Some((texts.next()?, texts.next()?))
        })
        // Either way of writing it may be the slip.
        .flat_map(|(schema, name)| {
            let shown = format!("{schema}.{name}");
            [(name, shown.clone()), (shown.clone(), shown)]
        })
        .collect();
    let pairs = candidates.iter();
    let pairs = pairs.map(|(name, shown)| (name.as_str(), shown.as_str()));
    Ok(SourceError::TableMissing {
        table: table.to_owned(),
        source_name: base.connector.place().database.clone(),
        near: nearest(table, pairs),
    })
}

/// Every relation of the users' own that we may see, for names with wild characters.
pub(super) async fn catalogue(base: &Base) -> Result<Catalogue> {
    let sql = format!(
        "SELECT s.name, o.name, o.type FROM sys.objects AS o \
         JOIN sys.schemas AS s ON s.schema_id = o.schema_id WHERE {READABLE} ORDER BY s.name, o.name"
    );
    let mut link = base.link().await?;
    let rows = link.ask(&base.catalogue(), &Statement::plain(sql)).await?;
    let listed = rows.into_iter().filter_map(|row| {
        let mut texts = row.into_iter().flatten();
        let relation = Relation {
            schema: texts.next()?,
            name: texts.next()?,
        };
        Some(Listed {
            place: (relation.schema == base.server.schema).then_some(0),
            kind: match texts.next()?.trim() {
                "V" => RelationKind::View,
                _ => RelationKind::Table,
            },
            relation,
            parents: Vec::new(),
        })
    });
    Ok(Catalogue {
        database: base.connector.place().database.clone(),
        quotes: QUOTES,
        relations: listed.collect(),
    })
}
