//! Which keys a table has: the leading columns of its plain B-tree indexes, and its primary key as a
//! whole.

use std::collections::BTreeSet;

use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::super::dialect::quote_identifier;
use super::classify::Subject;
use super::connect::Link;
use crate::model::{Key, KeyColumn, KeyDefect, KeyOrder, UnusableKey};

/// Columns of usable B-tree indexes in the type's default order and the column's own collation, best
/// index first. A partial index lacks rows; a column of an expression has no attribute to join with;
/// domains are followed to their base type. In a database without an encoding text may be of bytes
/// that no literal can say. A type whose schema may not be named is no key.
const COLUMNS: &str = "
    WITH RECURSIVE base AS (
        SELECT attnum, atttypid AS oid FROM pg_attribute
        WHERE attrelid = $1 AND attnum > 0 AND NOT attisdropped
      UNION ALL
        SELECT b.attnum, t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.oid
        WHERE t.typtype = 'd')
    SELECT i.indexrelid, i.indisprimary, i.indisunique AND i.indnkeyatts = 1, i.indnkeyatts::int4,
           p.place::int4, a.attname::text, format_type(a.atttypid, a.atttypmod), t.typname::text,
           tn.nspname::text, t.typtype = 'e',
           -- Partitions cannot drop what their parent promises; a constraint that was never
           -- validated (version 18) promises nothing.
           a.attnotnull AND NOT EXISTS (
               SELECT FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n'
               AND NOT k.convalidated AND k.conkey = ARRAY[a.attnum]),
           cn.nspname::text, c.collname::text,
           -- Where the comparisons of the index's order are, all of them in one place under their
           -- usual names.
           (SELECT min(n.nspname::text)
            FROM pg_amop s JOIN pg_operator e ON e.oid = s.amopopr
            JOIN pg_namespace n ON n.oid = e.oprnamespace
            WHERE s.amopfamily = o.opcfamily AND s.amoplefttype = t.oid AND s.amoprighttype = t.oid
              AND (s.amopstrategy, e.oprname) IN ((1, '<'), (3, '='), (4, '>='))
              AND has_schema_privilege(n.oid, 'USAGE')
            HAVING count(*) = 3 AND count(DISTINCT n.oid) = 1),
           a.attcollation = 0 AND t.typtype <> 'e' OR current_setting('server_encoding') <> 'SQL_ASCII'
    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
    CROSS JOIN LATERAL generate_series(0, i.indnkeyatts - 1) p(place)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[p.place]
    JOIN base b USING (attnum) JOIN pg_type t ON t.oid = b.oid AND t.typtype <> 'd'
    JOIN pg_namespace tn ON tn.oid = t.typnamespace
    JOIN pg_opclass o ON o.oid = i.indclass[p.place]
    LEFT JOIN pg_collation c ON c.oid = a.attcollation AND c.collname <> 'default'
    LEFT JOIN pg_namespace cn ON cn.oid = c.collnamespace
    WHERE i.indrelid = $1 AND i.indisvalid AND i.indisready AND i.indpred IS NULL
      AND m.amname = 'btree' AND o.opcdefault AND i.indcollation[p.place] = a.attcollation
      AND has_schema_privilege(tn.oid, 'USAGE')
      AND (cn.oid IS NULL OR has_schema_privilege(cn.oid, 'USAGE'))
    ORDER BY 2 DESC, 3 DESC, 4, 1, p.place";

/// Types of `pg_catalog` in whose order keys may be cut, with the name that their bounds go by and
/// the type that bounds are cast to: one whose text reads back as an equal value, and which compares
/// as the column does.
const ORDERED: &[(&str, &str, &str)] = &[
    ("text", "text", "text"),
    ("varchar", "text", "text"),
    ("bpchar", "char", "bpchar"),
    ("name", "name", "name"),
    ("uuid", "uuid", "uuid"),
    ("date", "date", "date"),
    ("timestamp", "timestamp", "timestamp"),
    ("timestamptz", "timestamptz", "timestamptz"),
    ("time", "time", "time"),
    ("timetz", "timetz", "timetz"),
    ("interval", "interval", "interval"),
    ("numeric", "numeric", "numeric"),
    ("float4", "float4", "float4"),
    ("float8", "float8", "float8"),
    ("bytea", "bytea", "bytea"),
    ("bool", "bool", "bool"),
    ("oid", "oid", "oid"),
    ("inet", "inet", "inet"),
    ("cidr", "inet", "inet"),
    ("macaddr", "macaddr", "macaddr"),
];

/// Types of extensions in whose order keys may be cut, too; bounds go by their name.
const EXTENSIONS: &[&str] = &["citext"];

/// The name that bounds of integers go by where an order is by name.
const INTEGERS: &[&str] = &["int2", "int4", "int8"];

/// A column at a place of an index.
struct Indexed {
    index: u32,
    primary: bool,
    unique: bool,
    /// Columns of the whole index.
    width: i32,
    place: i32,
    column: String,
    source_type: String,
    not_null: bool,
    /// How its bounds are written, where they can be.
    order: Result<KeyOrder, KeyDefect>,
}

impl Indexed {
    fn from_row(row: &Row) -> Self {
        let (name, schema): (String, String) = (row.get(7), row.get(8));
        let collation: Option<(String, String)> = row
            .get::<_, Option<String>>(11)
            .zip(row.get::<_, Option<String>>(12));
        Self {
            index: row.get(0),
            primary: row.get(1),
            unique: row.get(2),
            width: row.get(3),
            place: row.get(4),
            column: row.get(5),
            source_type: row.get(6),
            order: if row.get(14) {
                order(&name, &schema, row.get(9), collation, row.get(13)).ok_or(KeyDefect::NoOrder)
            } else {
                Err(KeyDefect::NoEncoding)
            },
            not_null: row.get(10),
        }
    }
}

/// How bounds of a type are written. `operators` is the schema of its comparisons.
fn order(
    name: &str,
    schema: &str,
    is_enum: bool,
    collation: Option<(String, String)>,
    operators: Option<String>,
) -> Option<KeyOrder> {
    let qualified = |schema: &str, name: &str| {
        format!("{}.{}", quote_identifier(schema), quote_identifier(name))
    };
    let mut foreign = None;
    let cast = if is_enum {
        qualified(schema, name)
    } else if schema != "pg_catalog" {
        // Where it was put nobody searches, so its comparisons are named with their place.
        EXTENSIONS.iter().find(|known| **known == name)?;
        foreign = Some(quote_identifier(&operators?));
        qualified(schema, name)
    } else if INTEGERS.contains(&name) {
        return Some(KeyOrder::Integer);
    } else {
        let (_, _, cast) = ORDERED.iter().find(|(known, ..)| *known == name)?;
        format!("pg_catalog.{cast}")
    };
    Some(KeyOrder::Server {
        cast: Some(cast),
        collation: collation.map(|(schema, name)| qualified(&schema, &name)),
        operators: foreign,
    })
}

/// The name that a column's bounds go by in plans.
pub(super) fn kind(order: &KeyOrder) -> &'static str {
    let KeyOrder::Server {
        cast: Some(cast),
        operators,
        ..
    } = order
    else {
        return "int";
    };
    if operators.is_some() {
        let named = |known: &&&str| cast.ends_with(&format!(".{}", quote_identifier(known)));
        return EXTENSIONS.iter().find(named).map_or("text", |known| *known);
    }
    ORDERED
        .iter()
        .find(|(.., known)| cast.strip_prefix("pg_catalog.") == Some(known))
        .map_or("enum", |(_, kind, _)| kind)
}

/// A relation's keys, best first; after the first column of a primary key of several, all of them. And
/// the primary key, where it is not among them.
pub(super) async fn keys(
    link: &Link,
    subject: &Subject,
    relation: u32,
) -> crate::source::Result<(Vec<Key>, Option<UnusableKey>)> {
    let rows = link
        .rows(subject, COLUMNS, &[(&relation, Type::OID)])
        .await?;
    let columns: Vec<Indexed> = rows.iter().map(Indexed::from_row).collect();
    let mut seen = BTreeSet::new();
    let mut keys = Vec::new();
    for columns in columns.chunk_by(|one, next| one.index == next.index) {
        let leading = columns.first().and_then(leading);
        if let Some(key) = leading.filter(|key| seen.insert(key.column.clone())) {
            keys.push(key);
            keys.extend(whole(columns));
        }
    }
    let mut primary = columns.iter().filter(|column| column.primary);
    Ok((keys, primary.next().and_then(unusable)))
}

/// The key that begins with this column, where no bounds can be written for it.
fn unusable(first: &Indexed) -> Option<UnusableKey> {
    let defect = *first.order.as_ref().err()?;
    Some(UnusableKey {
        column: first.column.clone(),
        source_type: first.source_type.clone(),
        defect,
    })
}

fn leading(first: &Indexed) -> Option<Key> {
    (first.place == 0).then_some(())?;
    Some(Key {
        column: first.column.clone(),
        source_type: first.source_type.clone(),
        order: first.order.clone().ok()?,
        primary: first.primary,
        unique: first.unique,
        nullable: !first.not_null,
        rest: Vec::new(),
    })
}

/// All columns of a primary key of several, where each has an order.
fn whole(columns: &[Indexed]) -> Option<Key> {
    let (first, rest) = columns.split_first()?;
    let complete = first.width > 1
        && first.primary
        && usize::try_from(first.width) == Ok(columns.len())
        && columns.iter().all(|column| column.not_null);
    let key = leading(first).filter(|_| complete)?;
    // Rows are compared by operators of one place.
    let foreign = |column: &Indexed| {
        matches!(
            &column.order,
            Ok(KeyOrder::Server {
                operators: Some(_),
                ..
            })
        )
    };
    if columns.iter().any(foreign) {
        return None;
    }
    let rest: Option<Vec<KeyColumn>> = rest
        .iter()
        .map(|more| {
            Some(KeyColumn {
                column: more.column.clone(),
                order: more.order.clone().ok()?,
            })
        })
        .collect();
    Some(Key {
        unique: true,
        rest: rest?,
        ..key
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_cast_and_a_name_in_plans() {
        for (name, kind, cast) in ORDERED {
            let order = order(name, "pg_catalog", false, None, None).expect("an order");
            assert_eq!(super::kind(&order), *kind, "{name}");
            let KeyOrder::Server {
                cast: Some(written),
                ..
            } = order
            else {
                panic!("{name}: {order:?}");
            };
            assert_eq!(written, format!("pg_catalog.{cast}"));
            assert!(
                kind.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            );
        }
        assert_eq!(
            order("int2", "pg_catalog", false, None, None),
            Some(KeyOrder::Integer)
        );
        assert_eq!(order("citext", "public", false, None, None), None);
        let ours = || Some("Ext".to_owned());
        assert_eq!(order("other", "public", false, None, ours()), None);
        let citext = order("citext", "Ext", false, None, ours()).expect("an order");
        assert_eq!(super::kind(&citext), "citext");
        let KeyOrder::Server { operators, .. } = citext else {
            panic!("citext is the server's");
        };
        assert_eq!(operators.as_deref(), Some("\"Ext\""));
        assert_eq!(order("json", "pg_catalog", false, None, None), None);
    }

    #[test]
    fn enums_and_collations_are_named_with_their_schema() {
        let mood = order("my \"mood\"", "public", true, None, None).expect("an order");
        assert_eq!(kind(&mood), "enum");
        let KeyOrder::Server { cast, .. } = mood else {
            panic!("{mood:?}");
        };
        assert_eq!(cast.as_deref(), Some("\"public\".\"my \"\"mood\"\"\""));
        let collation = ("pg_catalog".to_owned(), "C".to_owned());
        let KeyOrder::Server { collation, .. } =
            order("text", "pg_catalog", false, Some(collation), None).expect("an order")
        else {
            panic!("text is the server's");
        };
        assert_eq!(collation.as_deref(), Some("\"pg_catalog\".\"C\""));
    }

    #[test]
    fn only_a_whole_primary_key_without_nulls_is_one() {
        let column = |place: i32, not_null| Indexed {
            index: 1,
            primary: true,
            unique: false,
            width: 2,
            place,
            column: format!("c{place}"),
            source_type: "bigint".to_owned(),
            not_null,
            order: Ok(KeyOrder::Integer),
        };
        let key = whole(&[column(0, true), column(1, true)]).expect("a key");
        assert_eq!(key.to_string(), "(c0, c1)");
        assert_eq!(whole(&[column(0, true), column(1, false)]), None);
        // A column of it has gone missing: an expression, or another collation.
        assert_eq!(whole(&[column(0, true)]), None);
        assert!(leading(&column(1, true)).is_none());
    }
}
