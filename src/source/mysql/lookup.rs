//! Which relation a name means: what the catalogue has of that name, and the nearest where it has none.

use super::super::resolve::wild::{Catalogue, Listed};
use super::super::resolve::{self, Found, Known};
use super::super::{Result, SourceError};
use super::Base;
use super::classify::{self, Subject, grant_select};
use super::connect::Link;
use super::sql::{quote_relation, quote_text};
use crate::model::{Relation, RelationKind, nearest};

/// How many relations are looked at for a name that resembles the one written.
const NEAR_LIMIT: u32 = 10_000;

/// Signs that make a part of a name literal: MySQL's, and standard SQL's.
const QUOTES: &[(char, char)] = &[('`', '`'), ('"', '"')];

/// The relation that a name as the user wrote it means. A name alone is looked for in the connection's
/// database.
///
/// # Errors
/// That it means none, with the nearest names, or several, or that we may not see it.
pub(super) async fn relation(base: &Base, link: &mut Link, table: &str) -> Result<Relation> {
    let place = base.connector.place();
    let readings = resolve::within(resolve::readings(table, QUOTES), &place.database);
    let (exact, folded) = resolve::names(&readings);
    let list = |names: &[String]| {
        let quoted: Vec<String> = names.iter().map(|name| quote_text(name)).collect();
        quoted.join(", ")
    };
    // The server compares names by a collation of its own: what it finds is compared again.
    let sql = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES \
         WHERE LOWER(TABLE_NAME) IN ({}) OR TABLE_NAME IN ({}) ORDER BY 1, 2",
        list(&folded),
        list(&exact)
    );
    let subject = Subject::catalogue(place, base.connector.account());
    let rows = link.texts(&subject, &sql).await?;
    let known: Vec<Known> = rows
        .into_iter()
        .filter_map(|row| {
            let mut texts = row.into_iter().flatten();
            Some(Known {
                relation: Relation {
                    schema: texts.next()?,
                    name: texts.next()?,
                },
                // Every reading has its schema.
                place: None,
            })
        })
        .collect();
    match resolve::choose(&readings, &known) {
        Found::One(relation) => Ok(relation),
        Found::Several(several) => Err(SourceError::TableAmbiguous {
            table: table.to_owned(),
            candidates: several.iter().map(quote_relation).collect(),
        }),
        Found::Missing => {
            if let Some(relation) = resolve::likeliest(&readings) {
                refused(base, link, &relation).await?;
            }
            Err(missing(base, link, table).await?)
        }
    }
}

/// Fails when it is a right that we lack, and not the relation: the catalogue shows neither.
async fn refused(base: &Base, link: &mut Link, relation: &Relation) -> Result<()> {
    let sql = format!("SELECT 1 FROM {} LIMIT 0", quote_relation(relation));
    match link.try_rows(&sql).await {
        Err(error) if classify::is_denial(&error) => Err(SourceError::Denied {
            object: relation.to_string(),
            why: classify::words(&error),
            grant: grant_select(base.connector.account(), relation, &[]),
        }),
        _ => Ok(()),
    }
}

/// The error for a table that is not there, with the nearest names of what we may see.
pub(super) async fn missing(base: &Base, link: &mut Link, table: &str) -> Result<SourceError> {
    let place = base.connector.place();
    let sql = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN \
         ('information_schema', 'mysql', 'performance_schema', 'sys') ORDER BY 1, 2 LIMIT {NEAR_LIMIT}"
    );
    let subject = Subject::catalogue(place, base.connector.account());
    let rows = link.texts(&subject, &sql).await?;
    let candidates: Vec<(String, String)> = rows
        .into_iter()
        .filter_map(|row| {
            let mut texts = row.into_iter().flatten();
            Some((texts.next()?, texts.next()?))
        })
        .flat_map(|(schema, name)| {
            let shown = format!("{schema}.{name}");
            // Either way of writing it may be the slip; another database's table needs its own.
            let bare = (schema == place.database).then(|| (name, shown.clone()));
            bare.into_iter().chain([(shown.clone(), shown)])
        })
        .collect();
    let pairs = candidates.iter();
    let pairs = pairs.map(|(name, shown)| (name.as_str(), shown.as_str()));
    Ok(SourceError::TableMissing {
        table: table.to_owned(),
        source_name: place.database.clone(),
        near: nearest(table, pairs),
    })
}

/// Every relation of the users' own that we may see, for names with wild characters.
pub(super) async fn catalogue(base: &Base) -> Result<Catalogue> {
    let place = base.connector.place();
    let subject = Subject::catalogue(place, base.connector.account());
    let sql = "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES \
               WHERE TABLE_SCHEMA NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys') \
               AND TABLE_TYPE <> 'SEQUENCE' AND TABLE_TYPE NOT LIKE 'TEMPORARY%' ORDER BY 1, 2";
    let rows = base.link().await?.texts(&subject, sql).await?;
    let listed = rows.into_iter().filter_map(|row| {
        let mut texts = row.into_iter().flatten();
        let relation = Relation {
            schema: texts.next()?,
            name: texts.next()?,
        };
        Some(Listed {
            place: (relation.schema == place.database).then_some(0),
            kind: match texts.next()?.as_str() {
                "VIEW" | "SYSTEM VIEW" => RelationKind::View,
                _ => RelationKind::Table,
            },
            relation,
            parents: Vec::new(),
        })
    });
    Ok(Catalogue {
        database: place.database.clone(),
        quotes: QUOTES,
        relations: listed.collect(),
    })
}
