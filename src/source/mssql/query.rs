//! `--query` and `--where`: what they mean to the server, without running them.

use super::super::{Result, SourceError, duplicate_columns, remote, resolve};
use super::Base;
use super::catalog::Described;
use super::classify::{self, Subject};
use super::connect::Link;
use super::sql::{Statement, from_item};
use super::types::Declared;
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

/// A query's columns, as the server describes them.
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
    let subject = Subject::of(&base.server, relation, Some(text));
    let refused = |why: String, fix: &str| SourceError::Query {
        name: relation.name.clone(),
        why,
        fix: fix.to_owned(),
    };
    // By itself first: it must be whole before it is put between parentheses of ours. Between these a
    // second statement, or an order without TOP, is a mistake.
    let alone = first_result_set(link, &subject, text).await?;
    let alone = alone.map_err(|why| refused(why, "correct the statement of --query"))?;
    if alone.is_empty() {
        return Err(refused(
            "it is no statement that returns rows".to_owned(),
            "pass one SELECT statement",
        ));
    }
    let names: Vec<String> = alone.iter().map(|column| column.name.clone()).collect();
    if names.iter().any(String::is_empty) {
        return Err(refused(
            "one of its columns has no name".to_owned(),
            "give every column a name of its own with AS",
        ));
    }
    if let Some(why) = duplicate_columns(&names) {
        return Err(refused(why, "give every column a name of its own with AS"));
    }
    let sql = format!("SELECT * FROM {}", from_item(relation, Some(text)));
    let inside = first_result_set(link, &subject, &sql).await?;
    inside.map_err(|why| refused(why, "pass one SELECT statement, without ORDER BY"))
}

/// The columns of a statement's first rows, or the server's own words of what is wrong with it.
async fn first_result_set(
    link: &mut Link,
    subject: &Subject,
    text: &str,
) -> Result<std::result::Result<Vec<Described>, String>> {
    let sql = "SELECT r.name, r.system_type_name, r.collation_name, \
               CAST(COLLATIONPROPERTY(r.collation_name, 'CodePage') AS int), \
               r.error_number, r.error_message, r.user_type_name \
               FROM sys.dm_exec_describe_first_result_set(@P1, NULL, 0) AS r \
               WHERE r.is_hidden = 0 OR r.error_number IS NOT NULL ORDER BY r.column_ordinal";
    let rows = link
        .ask(subject, &Statement::with_texts(sql, &[text]))
        .await?;
    let mut columns = Vec::with_capacity(rows.len());
    for row in rows {
        let text = |index: usize| row.get(index).cloned().flatten();
        if let Some(number) = text(4) {
            let words = text(5).unwrap_or_default();
            return Ok(Err(crate::error::one_line(&format!(
                "{words} (error {number})"
            ))));
        }
        let page = text(3).and_then(|page| page.parse().ok());
        // Types of the CLR have only a name of their own.
        let type_name = text(1).or(text(6)).unwrap_or_default();
        let declared = Declared::parse(&type_name, page);
        let name = text(0).unwrap_or_default();
        columns.push(Described::of_query(name, declared, text(2)));
    }
    Ok(Ok(columns))
}

/// Has the server compile the condition of `--where`, so that a mistake in it shows before anything
/// else is done. As an argument too: there it cannot close our parenthesis and open another, as
/// `a) OR (b` would, which put beside a chunk's bounds means something else.
pub(super) async fn check_filter(base: &Base, link: &mut Link, table: &Table) -> Result<()> {
    let Some(filter) = table.filter.as_deref() else {
        return Ok(());
    };
    let query = table.query.as_deref();
    let subject = Subject::of(&base.server, &table.relation, query);
    let sql = format!(
        "SELECT IIF({filter}\n, 1, 0) AS one FROM {} WHERE ({filter}\n)",
        from_item(&table.relation, query)
    );
    let described = first_result_set(link, &subject, &sql).await?;
    match described {
        Ok(columns) if columns.len() == 1 => Ok(()),
        Ok(_) => Err(SourceError::Statement {
            object: subject.shown().to_owned(),
            why: "--where is no condition".to_owned(),
        }),
        Err(why) if why.contains("(error 229)") || why.contains("(error 230)") => {
            Err(SourceError::Denied {
                object: subject.shown().to_owned(),
                why,
                grant: classify::grant_select(&base.server, &table.relation, &[]),
            })
        }
        Err(why) => Err(SourceError::Statement {
            object: subject.shown().to_owned(),
            why,
        }),
    }
}
