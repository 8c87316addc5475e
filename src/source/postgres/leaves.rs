//! The leaves of partitioned tables and inheritance trees.

use tokio_postgres::types::Type;

use super::super::Result;
use super::super::dialect::quote_relation;
use super::Base;
use super::classify::Subject;
use super::connect::Link;
use crate::model::{Leaf, Relation, RelationKind, Table};

/// The most leaves that are read one by one: a statement each at least.
const MOST_LEAVES: usize = 1000;

/// Every table of the tree that stores rows, each once, by name; foreign ones and the parent itself
/// included. A child may have several parents.
const TREE: &str = "
    WITH RECURSIVE tree AS (
        SELECT to_regclass($1)::oid AS oid
      UNION
        SELECT i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid
        -- Being detached (from version 14 on): no part of the parent any more.
        WHERE NOT coalesce((to_jsonb(i) ->> 'inhdetachpending')::bool, false))
    SELECT n.nspname::text, c.relname::text,
           coalesce(pg_relation_size(c.oid), 0) / current_setting('block_size')::int8,
           coalesce(m.amname = 'heap', false) AND has_schema_privilege(n.oid, 'USAGE')
             AND has_table_privilege(c.oid, 'SELECT')
    FROM tree JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_am m ON m.oid = c.relam
    WHERE c.relkind IN ('r', 'f', 'm')
    ORDER BY n.nspname::text COLLATE \"C\", c.relname::text COLLATE \"C\"";

/// Whether any table of the tree, partitioned ones included, hides rows.
const ROW_SECURITY: &str = "
    WITH RECURSIVE tree AS (
        SELECT to_regclass($1)::oid AS oid
      UNION
        SELECT i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.oid)
    SELECT coalesce(bool_or(c.relrowsecurity), false) FROM tree JOIN pg_class c USING (oid)";

/// The leaves of a table, where reading each by itself gives what reading the table gives, and each
/// can be cut into blocks; none otherwise. Through a parent only the parent's privileges and policies
/// count, so each leaf must be readable by us and none may have policies. A filter is written for the
/// parent, and may name it.
pub(super) async fn apart(
    base: &Base,
    link: &Link,
    subject: &Subject,
    table: &Table,
) -> Result<Vec<Leaf>> {
    let whole = base.version >= super::BLOCK_RANGES
        && table.kind == RelationKind::Partitioned
        && table.filter.is_none();
    if !whole {
        return Ok(Vec::new());
    }
    let name = quote_relation(&table.relation);
    let hidden = link
        .ask(subject, ROW_SECURITY, &[(&name, Type::TEXT)])
        .await?;
    let hidden = hidden.iter().any(|row| row.get(0));
    let rows = link.ask(subject, TREE, &[(&name, Type::TEXT)]).await?;
    let leaves: Option<Vec<Leaf>> = rows
        .iter()
        .map(|row| {
            let readable: bool = row.get(3);
            let leaf = Leaf {
                relation: Relation {
                    schema: row.get(0),
                    name: row.get(1),
                },
                blocks: u32::try_from(row.get::<_, i64>(2)).ok()?,
            };
            readable.then_some(leaf)
        })
        .collect();
    let few = |leaves: &Vec<Leaf>| leaves.len() <= MOST_LEAVES && !hidden;
    Ok(leaves.filter(few).unwrap_or_default())
}

/// The leaves' names as they are in the link's transaction, in the order of [`apart`].
pub(super) async fn names(
    link: &Link,
    subject: &Subject,
    relation: &Relation,
) -> Result<Vec<Relation>> {
    let name = quote_relation(relation);
    let rows = link.rows(subject, TREE, &[(&name, Type::TEXT)]).await?;
    Ok(rows
        .iter()
        .map(|row| Relation {
            schema: row.get(0),
            name: row.get(1),
        })
        .collect())
}
