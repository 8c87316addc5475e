//! `--query` and `--where`: what they mean to the server, without running them.

use std::collections::BTreeMap;

use mysql_async::Error;

use super::super::remote::{self, Stored};
use super::super::{Result, SourceError, duplicate_columns, resolve};
use super::Base;
use super::catalog::{self, Described};
use super::classify::{self, Subject};
use super::connect::Link;
use super::sql::from_item;
use super::types::Storage;
use crate::model::{QUERY_SCHEMA, Relation, RelationKind, Selection, Table, TypeOptions};

/// Describes the selected columns of a query, given by its name and text.
pub(super) async fn describe(
    base: &Base,
    link: &mut Link,
    (name, text): (&str, &str),
    selection: &Selection,
    types: &TypeOptions,
) -> Result<Table> {
    let relation = Relation {
        schema: QUERY_SCHEMA.to_owned(),
        name: name.to_owned(),
    };
    let all = columns(base, link, &relation, text).await?;
    let names: Vec<String> = all.iter().map(|column| column.name.clone()).collect();
    let chosen = resolve::choose_columns(&names, selection, &relation)?;
    let kind = RelationKind::Query;
    let columns = remote::map_columns(&all, &chosen, kind, types, &relation)?;
    Ok(remote::query_table(relation, text, columns, selection))
}

/// A query's columns, as the server describes the prepared statement.
///
/// # Errors
/// [`SourceError::Query`] for anything but one statement that reads; the server's own words where it
/// does not understand it.
pub(super) async fn columns(
    base: &Base,
    link: &mut Link,
    relation: &Relation,
    text: &str,
) -> Result<Vec<Described>> {
    let subject = Subject::of(base.connector.account(), relation, Some(text));
    // By itself first: it must be whole before it is put between parentheses of ours.
    let alone = prepare(
        link,
        &subject,
        relation,
        text,
        "correct the statement of --query",
    )
    .await?;
    if alone.parameters > 0 {
        return Err(refused(
            relation,
            "it holds a place holder (?) that nothing fills".to_owned(),
            "write {NAME} and pass --param NAME=TEXT",
        ));
    }
    let names: Vec<String> = alone
        .columns
        .iter()
        .map(|(name, ..)| name.clone())
        .collect();
    if names.is_empty() {
        return Err(refused(
            relation,
            "it is no statement that returns rows".to_owned(),
            "pass one SELECT statement",
        ));
    }
    if let Some(why) = duplicate_columns(&names) {
        return Err(refused(
            relation,
            why,
            "give every column a name of its own with AS",
        ));
    }
    // Text is then described in the character set that it is stored in.
    link.run(&subject, "SET character_set_results = NULL")
        .await?;
    let sql = format!("SELECT * FROM {} LIMIT 0", from_item(relation, Some(text)));
    let inside = prepare(link, &subject, relation, &sql, "pass one SELECT statement").await;
    link.run(&subject, "SET character_set_results = utf8mb4")
        .await?;
    let inside = inside?;
    let charsets = charsets(link, &subject).await?;
    let described = inside
        .columns
        .into_iter()
        .map(|(name, storage, collation)| {
            let storage = match (storage, charsets.get(&collation)) {
                (Storage::Text, Some(charset)) => Storage::of_text(charset),
                (storage, _) => storage,
            };
            Described::of_query(name, storage.name(), storage)
        });
    Ok(described.collect())
}

/// What the server says of a statement that it prepared.
struct Prepared {
    parameters: u16,
    /// Name, storage, and the number of the collation.
    columns: Vec<(String, Storage, u16)>,
}

async fn prepare(
    link: &mut Link,
    subject: &Subject,
    relation: &Relation,
    sql: &str,
    fix: &str,
) -> Result<Prepared> {
    let statement = link
        .prepare(sql)
        .await
        .map_err(|error| explain(link, subject, relation, &error, fix))?;
    let columns = statement.columns();
    let prepared = Prepared {
        parameters: statement.num_params(),
        columns: columns
            .iter()
            .map(|column| {
                let name = column.name_str().into_owned();
                (name, Storage::of_sent(column), column.character_set())
            })
            .collect(),
    };
    let closed = link.unprepare(statement).await;
    closed.map_err(|error| link.explain(subject, &error))?;
    Ok(prepared)
}

/// The character sets by the numbers of their collations.
async fn charsets(link: &mut Link, subject: &Subject) -> Result<BTreeMap<u16, String>> {
    let sql =
        "SELECT ID, CHARACTER_SET_NAME FROM information_schema.COLLATIONS WHERE ID IS NOT NULL";
    let rows = link.texts(subject, sql).await?;
    let pairs = rows.into_iter().filter_map(|row| {
        let mut texts = row.into_iter().flatten();
        Some((texts.next()?.parse().ok()?, texts.next()?))
    });
    Ok(pairs.collect())
}

/// Has the server prepare the condition of `--where`, so that a mistake in it shows before anything
/// else is done. As an argument too: there it cannot close our parenthesis and open another, as
/// `a) OR (b` would, which put beside a chunk's bounds means something else.
pub(super) async fn check_filter(base: &Base, link: &mut Link, table: &Table) -> Result<()> {
    let Some(filter) = table.filter.as_deref() else {
        return Ok(());
    };
    let query = table.query.as_deref();
    let subject = Subject::of(base.connector.account(), &table.relation, query);
    let sql = format!(
        "SELECT COALESCE({filter}\n, 0) FROM {} WHERE ({filter}\n) LIMIT 0",
        from_item(&table.relation, query)
    );
    let wrong = |link: &Link, error: Error| link.explain(&subject, &error);
    let statement = link.prepare(&sql).await;
    let statement = statement.map_err(|error| wrong(link, error))?;
    let parameters = statement.num_params();
    let closed = link.unprepare(statement).await;
    closed.map_err(|error| wrong(link, error))?;
    if parameters > 0 {
        return Err(SourceError::Statement {
            object: subject.shown().to_owned(),
            why: "--where holds a place holder (?) that nothing fills".to_owned(),
        });
    }
    Ok(())
}

fn refused(relation: &Relation, why: String, fix: &str) -> SourceError {
    SourceError::Query {
        name: relation.name.clone(),
        why,
        fix: fix.to_owned(),
    }
}

/// What the server says of the statement is about the statement, unless it is about rights, time or
/// the connection.
fn explain(
    link: &Link,
    subject: &Subject,
    relation: &Relation,
    error: &Error,
    fix: &str,
) -> SourceError {
    if catalog::its_own(error) {
        refused(relation, classify::words(error), fix)
    } else {
        link.explain(subject, error)
    }
}
