//! `--query` and `--where`: what they mean to the server, without running them.
//!
//! Everything is asked in the simple protocol or of unnamed statements, so that it works behind a
//! transaction pooler, and of a join that holds for no row, so that the statement is only planned.

use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;

use super::super::dialect::{from_item, quote_identifier};
use super::super::{Result, SourceError, duplicate_columns, remote};
use super::Base;
use super::catalog::{Described, choose_columns, described};
use super::classify::{self, Subject};
use super::connect::{BEGIN_LOOK, Link, NAMES_OF_ROLE, OWN_NAMES};
use super::statistics::{QUESTION_LIMIT_MS, bounded_for_role};
use crate::model::{
    Estimate, Origin, QUERY_SCHEMA, Relation, RelationKind, Selection, Table, TypeOptions,
};

/// Given columns. A query promises nothing about NULLs and everything about the right to read.
const COLUMNS: &str = "
    SELECT u.attnum, u.oid, u.modifier, u.name, false AS not_null, NULL::text AS generated,
           NULL::text AS comment, true AS readable
    FROM unnest($1::oid[], $2::int4[], $3::text[]) WITH ORDINALITY AS u(oid, modifier, name, attnum)";

/// Describes the selected columns of a query, given by its name and text.
pub(super) async fn describe(
    base: &Base,
    link: &Link,
    (name, text): (&str, &str),
    selection: &Selection,
    types: &TypeOptions,
) -> Result<Table> {
    let relation = Relation {
        schema: QUERY_SCHEMA.to_owned(),
        name: name.to_owned(),
    };
    let subject = Subject::of(base.connector.place(), &relation, Some(text));
    let query = Query {
        relation: &relation,
        text,
    };
    let all = query.describe(link, &subject).await?;
    let chosen = choose_columns(&all, selection, &relation)?;
    let kind = RelationKind::Query;
    let columns = remote::map_columns(&all, &chosen, kind, types, &relation)?;
    Ok(remote::query_table(relation, text, columns, selection))
}

/// Has the server plan the condition of `--where`, so that a mistake in it shows before anything else
/// is done. In brackets too: there it cannot close our parenthesis and open another, as
/// `a) OR (b` would, which put beside a chunk's bounds means something else.
pub(super) async fn check_filter(link: &Link, subject: &Subject, table: &Table) -> Result<()> {
    let Some(filter) = table.filter.as_deref() else {
        return Ok(());
    };
    let sql = format!(
        "EXPLAIN (COSTS OFF) SELECT ARRAY[{filter}\n]::pg_catalog.bool[] FROM {} WHERE ({filter}\n)",
        from_item(&table.relation, table.query.as_deref())
    );
    link.execute(subject, &look()).await?;
    let checked = link.rows(subject, &sql, &[]).await;
    link.execute(subject, "ROLLBACK").await?;
    checked.map(|_| ())
}

/// Begins a transaction that only looks, and not for long.
fn look() -> String {
    format!(
        "{BEGIN_LOOK}SET LOCAL statement_timeout = {QUESTION_LIMIT_MS};\
         SET LOCAL lock_timeout = {QUESTION_LIMIT_MS}"
    )
}

/// A query under its name.
pub(super) struct Query<'a> {
    pub(super) relation: &'a Relation,
    pub(super) text: &'a str,
}

impl Query<'_> {
    /// The columns, asked in a transaction of its own that can write nothing.
    pub(super) async fn describe(&self, link: &Link, subject: &Subject) -> Result<Vec<Described>> {
        link.execute(subject, &look()).await?;
        let columns = self.columns(link, subject).await;
        // Ends the transaction whether it failed or not; what is lost with the connection is told.
        link.execute(subject, "ROLLBACK").await?;
        columns
    }

    /// The columns, asked in a transaction that is open already, and that has the server's own names
    /// afterwards.
    ///
    /// # Errors
    /// [`SourceError::Query`] for anything but one statement that reads; the server's own words
    /// where it does not understand it.
    pub(super) async fn columns(&self, link: &Link, subject: &Subject) -> Result<Vec<Described>> {
        link.execute(subject, NAMES_OF_ROLE).await?;
        self.check_alone(link, subject).await?;
        let names = self.names(link, subject).await?;
        if let Some(why) = duplicate_columns(&names) {
            return Err(self.refused(why, "give every column a name of its own with AS"));
        }
        let types = self.types(link, subject, &names).await?;
        let modifiers = self.modifiers(link, subject, &names, &types).await?;
        link.execute(subject, OWN_NAMES).await?;
        let rows = link
            .rows(
                subject,
                &described(COLUMNS),
                &[
                    (&types, Type::OID_ARRAY),
                    (&modifiers, Type::INT4_ARRAY),
                    (&names, Type::TEXT_ARRAY),
                ],
            )
            .await?;
        Ok(rows.iter().map(Described::from_row).collect())
    }

    /// The statement must be one, and whole, before it is put between parentheses of ours.
    async fn check_alone(&self, link: &Link, subject: &Subject) -> Result<()> {
        let sql = format!("EXPLAIN (COSTS OFF) {}", self.text);
        match link.try_rows(&sql).await {
            Ok(_) => Ok(()),
            // The routine's name is the one part of this error that no translation changes.
            Err(error)
                if error
                    .as_db_error()
                    .is_some_and(|db| db.routine() == Some("exec_parse_message")) =>
            {
                Err(self.refused(
                    "it holds several statements".to_owned(),
                    "pass one SELECT statement; parts of it may be named with WITH",
                ))
            }
            Err(error) => Err(self.explain(link, subject, &error)),
        }
    }

    /// Names of the columns. Fails for a statement that cannot stand behind FROM.
    async fn names(&self, link: &Link, subject: &Subject) -> Result<Vec<String>> {
        let sql = format!("SELECT * FROM {} LIMIT 0", self.from());
        link.column_names(&sql).await.map_err(|error| {
            let misplaced = [&SqlState::SYNTAX_ERROR, &SqlState::FEATURE_NOT_SUPPORTED];
            if error.code().is_some_and(|code| misplaced.contains(&code)) {
                self.refused(
                    format!(
                        "it is no statement that only reads: {}",
                        classify::words(&error)
                    ),
                    "pass one SELECT statement",
                )
            } else {
                self.explain(link, subject, &error)
            }
        })
    }

    /// The columns' types, domains as such.
    async fn types(&self, link: &Link, subject: &Subject, names: &[String]) -> Result<Vec<u32>> {
        let types: Vec<String> = names
            .iter()
            .map(|name| {
                format!(
                    "pg_catalog.pg_typeof({})::pg_catalog.oid",
                    self.column(name)
                )
            })
            .collect();
        let sql = format!(
            "SELECT ARRAY[{}]::pg_catalog.oid[] FROM {}",
            types.join(", "),
            self.one_row_of_nulls()
        );
        Ok(link.row(subject, &sql, &[]).await?.get(0))
    }

    /// The columns' type modifiers. Only types that the driver knows have one that matters, and it
    /// would ask for the others by a named statement.
    async fn modifiers(
        &self,
        link: &Link,
        subject: &Subject,
        names: &[String],
        types: &[u32],
    ) -> Result<Vec<i32>> {
        let columns: Vec<String> = names
            .iter()
            .zip(types)
            .map(|(name, oid)| match Type::from_oid(*oid) {
                Some(_) => self.column(name),
                None => "NULL::pg_catalog.bool".to_owned(),
            })
            .collect();
        let sql = format!(
            "SELECT {} FROM {}",
            columns.join(", "),
            self.one_row_of_nulls()
        );
        let row = link.row(subject, &sql, &[]).await?;
        let modifiers = row.columns().iter().map(|column| column.type_modifier());
        Ok(modifiers.collect())
    }

    /// The planner's own estimate; nothing is run.
    pub(super) async fn estimate(&self, link: &Link, subject: &Subject) -> Result<(Estimate, u64)> {
        let sql = format!("EXPLAIN (FORMAT JSON) {}", self.text);
        let answer = bounded_for_role(link, subject, &sql).await?;
        let number = |name: &str| {
            let text = answer.first()?.first()?.as_deref()?;
            let plan: serde_json::Value = serde_json::from_str(text).ok()?;
            plan.pointer(&format!("/0/Plan/{name}"))?.as_f64()
        };
        let (Some(rows), Some(width)) = (number("Plan Rows"), number("Plan Width")) else {
            let unknown = Estimate {
                rows: 0,
                origin: Origin::Unknown,
            };
            return Ok((unknown, 0));
        };
        let estimate = Estimate {
            rows: rows as u64,
            origin: Origin::Catalogue,
        };
        Ok((estimate, (rows * width) as u64))
    }

    fn from(&self) -> String {
        from_item(self.relation, Some(self.text))
    }

    /// The query's columns, all NULL and of their own types, in one row: its planner sees that it
    /// need not be run.
    fn one_row_of_nulls(&self) -> String {
        // Two names in a list must not be one.
        let row = match self.relation.name.as_str() {
            "one" => "other",
            _ => "one",
        };
        format!("(VALUES (1)) AS {row} LEFT JOIN {} ON false", self.from())
    }

    fn column(&self, name: &str) -> String {
        format!(
            "{}.{}",
            quote_identifier(&self.relation.name),
            quote_identifier(name)
        )
    }

    fn refused(&self, why: String, fix: &str) -> SourceError {
        SourceError::Query {
            name: self.relation.name.clone(),
            why,
            fix: fix.to_owned(),
        }
    }

    /// What the server says of the statement is about the statement, unless it is about rights, time
    /// or the connection.
    fn explain(
        &self,
        link: &Link,
        subject: &Subject,
        error: &tokio_postgres::Error,
    ) -> SourceError {
        let its_own = error.code().is_some_and(|code| {
            // A place holder that nothing fills breaks the protocol, in the server's eyes.
            code.code().starts_with("42") && *code != SqlState::INSUFFICIENT_PRIVILEGE
                || *code == SqlState::PROTOCOL_VIOLATION
        });
        if its_own {
            self.refused(classify::words(error), "correct the statement of --query")
        } else {
            link.explain(subject, error)
        }
    }
}
