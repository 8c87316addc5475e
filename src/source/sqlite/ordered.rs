//! How the keys of tables without a rowid are spread where they are no single integer: a walk along
//! the b-tree that the rows are stored in, of a bounded number of keys.
//!
//! Between two texts there is nothing to count, so unlike a rowid's these keys cannot be jumped over.

use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};

use super::sql;
use crate::model::{Key, KeyDensity, KeyOrder, KeyValue, Origin, Relation};

/// Keys that are looked at in one walk at most: a second's work, whatever the table's size.
const WALK: u64 = 200_000;

/// Keys that a walk remembers at most, at equal distances.
const REMEMBERED: usize = 16_384;

/// Longer values are no bounds: a plan would hold them all.
const LONGEST_BOUND: usize = 1024;

/// What a walk found.
#[derive(Debug)]
pub(super) struct Walk {
    /// Every `step`-th key, ascending, the first included.
    keys: Vec<Vec<Value>>,
    step: u64,
    seen: u64,
    last: Option<Vec<Value>>,
    /// Whether it came to the last key.
    whole: bool,
}

impl Walk {
    /// Walks from the smallest key on.
    pub(super) fn along(
        connection: &Connection,
        relation: &Relation,
        key: &Key,
    ) -> rusqlite::Result<Self> {
        let from = sql::qualified(relation);
        let (columns, ascending) = (columns(key), by(key, "ASC"));
        let mut statement = connection.prepare(&format!(
            "SELECT {columns} FROM {from} ORDER BY {ascending} LIMIT {}",
            WALK + 1
        ))?;
        let mut walk = Self {
            keys: Vec::new(),
            step: 1,
            seen: 0,
            last: None,
            whole: true,
        };
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if walk.seen == WALK {
                walk.whole = false;
                break;
            }
            if walk.seen.is_multiple_of(walk.step) {
                walk.remember(values(row, key)?);
            }
            walk.seen += 1;
        }
        let mut statement = connection.prepare(&format!(
            "SELECT {columns} FROM {from} ORDER BY {} LIMIT 1",
            by(key, "DESC")
        ))?;
        let mut rows = statement.query([])?;
        if let Some(row) = rows.next()? {
            walk.last = Some(values(row, key)?);
        }
        Ok(walk)
    }

    fn remember(&mut self, key: Vec<Value>) {
        self.keys.push(key);
        if self.keys.len() > REMEMBERED {
            let mut at = 0;
            self.keys.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.step *= 2;
        }
    }

    /// Rows of the table where all were seen.
    pub(super) fn rows(&self) -> Option<u64> {
        self.whole.then_some(self.seen)
    }

    /// About `count` keys at equal distances, to look at rows from.
    pub(super) fn landmarks(&self, count: usize) -> Vec<Vec<Value>> {
        let step = self.keys.len().div_ceil(count).max(1);
        self.keys.iter().step_by(step).cloned().collect()
    }

    /// The spread as about `parts` parts of equal rows, of `rows` in all. What lies beyond the walk
    /// is one part of several parts' rows.
    pub(super) fn density(&self, rows: u64, parts: u32) -> KeyDensity {
        let rows = rows.max(self.seen);
        let parts = u64::from(parts).min(rows.max(1));
        let mut bounds: Vec<KeyValue> = Vec::new();
        for part in 1..parts {
            let target =
                u128::from(part) * u128::from(rows) / u128::from(parts) / u128::from(self.step);
            let at = usize::try_from(target).unwrap_or(usize::MAX);
            // Beyond the walk the last key that can be named stands for all.
            let bound = self
                .keys
                .get(at)
                .or(self.keys.last())
                .and_then(|key| value(key));
            match bound {
                Some(bound) => bounds.push(bound),
                None => bounds.extend(bounds.last().cloned()),
            }
        }
        let end = |key: Option<&Vec<Value>>| key.and_then(|key| value(key));
        let min = end(self.keys.first());
        KeyDensity {
            max: end(self.last.as_ref()),
            origin: match (bounds.is_empty(), self.whole) {
                (true, _) => Origin::Unknown,
                (false, true) => Origin::Exact,
                (false, false) => Origin::Sample,
            },
            min,
            bounds,
            null_permille: 0,
        }
    }
}

/// `"a", "b"`: the key's columns.
pub(super) fn columns(key: &Key) -> String {
    let names: Vec<String> = key.columns().map(|(name, _)| sql::quote(name)).collect();
    names.join(", ")
}

/// The order of the key's b-tree.
pub(super) fn by(key: &Key, direction: &str) -> String {
    let terms: Vec<String> = key
        .columns()
        .map(|(name, order)| {
            let collate = match order {
                KeyOrder::Server {
                    collation: Some(collation),
                    ..
                } => format!(" COLLATE {}", sql::quote(collation)),
                _ => String::new(),
            };
            format!("{}{collate} {direction}", sql::quote(name))
        })
        .collect();
    terms.join(", ")
}

fn values(row: &rusqlite::Row<'_>, key: &Key) -> rusqlite::Result<Vec<Value>> {
    (0..=key.rest.len())
        .map(|column| {
            Ok(match row.get_ref(column)? {
                // Told apart from text by `value`, which cannot name it.
                ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
                    Ok(text) => Value::Text(text.to_owned()),
                    Err(_) => Value::Null,
                },
                ValueRef::Null => Value::Null,
                ValueRef::Integer(value) => Value::Integer(value),
                ValueRef::Real(value) => Value::Real(value),
                ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
            })
        })
        .collect()
}

/// A stored key as a bound; `None` where no literal can say it, or where it is too long.
fn value(key: &[Value]) -> Option<KeyValue> {
    let parts: Option<Vec<KeyValue>> = key
        .iter()
        .map(|value| match value {
            Value::Null => None,
            Value::Integer(value) => Some(KeyValue::Int(i128::from(*value))),
            Value::Real(real) => real
                .is_finite()
                .then(|| KeyValue::typed("real", format!("{real:?}"))),
            Value::Text(text) => (text.len() <= LONGEST_BOUND && !text.contains('\0'))
                .then(|| KeyValue::typed("text", text)),
            Value::Blob(bytes) => (bytes.len() <= LONGEST_BOUND / 2).then(|| {
                let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                KeyValue::typed("blob", digits.concat())
            }),
        })
        .collect();
    let mut parts = parts?;
    if parts.len() == 1 {
        parts.pop()
    } else {
        Some(KeyValue::Tuple(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::KeyColumn;

    fn order(collation: &str) -> KeyOrder {
        KeyOrder::Server {
            cast: None,
            collation: Some(collation.to_owned()),
        }
    }

    fn key(rest: &[&str]) -> Key {
        Key {
            column: "k".to_owned(),
            source_type: String::new(),
            order: order("NOCASE"),
            primary: true,
            unique: true,
            nullable: false,
            rest: rest
                .iter()
                .map(|name| KeyColumn {
                    column: (*name).to_owned(),
                    order: order("BINARY"),
                })
                .collect(),
        }
    }

    fn walk(sql: &str, key: &Key) -> Walk {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(sql).unwrap();
        let relation = Relation {
            schema: "main".to_owned(),
            name: "t".to_owned(),
        };
        Walk::along(&connection, &relation, key).unwrap()
    }

    fn shown(density: &KeyDensity) -> Vec<String> {
        density.bounds.iter().cloned().map(String::from).collect()
    }

    #[test]
    fn keys_of_every_storage_class_are_bounds() {
        let found = walk(
            "CREATE TABLE t (k COLLATE NOCASE PRIMARY KEY) WITHOUT ROWID;
             INSERT INTO t VALUES (-1), (1e300), ('B'), ('a'), (x'00ff'), ('nul' || char(0) || 'x');",
            &key(&[]),
        );
        assert_eq!(found.rows(), Some(6));
        let density = found.density(6, 6);
        assert_eq!(
            shown(&density),
            ["real:1e300", "text:a", "text:B", "text:B", "blob:00ff"]
        );
        assert_eq!(density.min, Some(KeyValue::Int(-1)));
        assert_eq!(density.origin, Origin::Exact);
    }

    #[test]
    fn several_columns_are_one_key() {
        let found = walk(
            "CREATE TABLE t (k TEXT COLLATE NOCASE, n, PRIMARY KEY (k, n)) WITHOUT ROWID;
             INSERT INTO t VALUES ('a', 2), ('A', 1), ('b', 0), ('b', 'x');",
            &key(&["n"]),
        );
        assert_eq!(
            shown(&found.density(4, 100)),
            [
                r#"tuple:["text:a","int:2"]"#,
                r#"tuple:["text:b","int:0"]"#,
                r#"tuple:["text:b","text:x"]"#
            ]
        );
    }

    #[test]
    fn a_long_walk_remembers_keys_at_equal_distances() {
        let found = walk(
            "CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY) WITHOUT ROWID;
             INSERT INTO t WITH RECURSIVE s(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i < 39999)
                 SELECT printf('%06d', i) FROM s;",
            &key(&[]),
        );
        assert_eq!((found.rows(), found.step), (Some(40_000), 4));
        assert_eq!(
            shown(&found.density(40_000, 4)),
            ["text:010000", "text:020000", "text:030000"]
        );
        // Of four times the rows only a quarter was seen: the last key stands for the rest.
        let density = found.density(160_000, 8);
        assert_eq!(density.bounds.len(), 7);
        assert_eq!(density.distinct(), 2);
        assert!(
            walk("CREATE TABLE t (k PRIMARY KEY) WITHOUT ROWID", &key(&[]))
                .density(0, 9)
                .bounds
                .is_empty()
        );
    }
}
