//! How keys are spread that are no single integer: a walk along the b-tree that they stand in, of a
//! bounded number of keys, and beyond it what the tree's inner pages tell.
//!
//! Between two texts there is nothing to count, so unlike a rowid's these keys cannot be jumped over.

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params_from_iter};

use super::file::DatabaseFile;
use super::keys;
use super::pages::{Marks, Tree};
use super::sql;
use crate::model::{Key, KeyDensity, KeyOrder, KeyValue, Origin, Relation};

/// Keys that are looked at in one walk at most: a second's work, whatever the table's size.
const WALK: u64 = 200_000;

/// Keys that a walk remembers at most, at equal distances.
const REMEMBERED: usize = 16_384;

/// Longer values are no bounds: a plan would hold them all.
const LONGEST_BOUND: usize = 1024;

/// What is known of a key's values.
#[derive(Debug)]
pub(super) struct Walk {
    /// Every `step`-th key from the first on, ascending; or, where `told` is known, the keys that
    /// the tree's inner pages hold.
    keys: Vec<Vec<Value>>,
    step: u64,
    /// Keys that were walked over.
    seen: u64,
    first: Option<Vec<Value>>,
    last: Option<Vec<Value>>,
    /// Rows whose key is NULL, as far as they were counted.
    nulls: u64,
    /// Whether it came to the last key, and all NULLs were counted.
    whole: bool,
    /// Rows, as the inner pages have it.
    told: Option<u64>,
}

impl Walk {
    /// Walks from the smallest key on.
    pub(super) fn along(
        connection: &Connection,
        file: &DatabaseFile,
        relation: &Relation,
        key: &Key,
    ) -> rusqlite::Result<Self> {
        let mut walk = Self::begin(connection, relation, key)?;
        if !walk.whole
            && let Some(marks) = marks(connection, file, relation, key)?
        {
            walk.hear(marks, connection, key)?;
        }
        Ok(walk)
    }

    /// Walks as far as it goes.
    fn begin(connection: &Connection, relation: &Relation, key: &Key) -> rusqlite::Result<Self> {
        let from = sql::qualified(relation);
        let (columns, first) = (columns(key), sql::quote(&key.column));
        let ordered = |direction: &str, limit: u64| {
            format!(
                "SELECT {columns} FROM {from} WHERE {first} IS NOT NULL ORDER BY {} LIMIT {limit}",
                by(key, direction)
            )
        };
        let mut walk = Self {
            keys: Vec::new(),
            step: 1,
            seen: 0,
            first: None,
            last: None,
            nulls: 0,
            whole: true,
            told: None,
        };
        let mut statement = connection.prepare(&ordered("ASC", WALK + 1))?;
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
        walk.first = walk.keys.first().cloned();
        let mut statement = connection.prepare(&ordered("DESC", 1))?;
        let mut rows = statement.query([])?;
        if let Some(row) = rows.next()? {
            walk.last = Some(values(row, key)?);
        }
        if key.nullable {
            let counted: i64 = connection.query_row(
                &format!(
                    "SELECT count(*) FROM (SELECT 1 FROM {from} WHERE {first} IS NULL LIMIT {})",
                    WALK + 1
                ),
                [],
                |row| row.get(0),
            )?;
            walk.nulls = counted.unsigned_abs();
            walk.whole &= walk.nulls <= WALK;
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

    /// Takes what the inner pages tell, unless it is less than was seen: the file may be older than
    /// the WAL beside it.
    fn hear(&mut self, marks: Marks, connection: &Connection, key: &Key) -> rusqlite::Result<()> {
        let all = marks.keys.len() as u128;
        let keys: Vec<Vec<Value>> = marks
            .keys
            .into_iter()
            .filter(|key| key.first() != Some(&Value::Null))
            .collect();
        let null = (all - keys.len() as u128) * u128::from(marks.rows) / all.max(1);
        let keys = in_order(connection, key, &keys)?;
        if marks.rows <= self.seen || keys.is_empty() {
            return Ok(());
        }
        self.nulls = self.nulls.max(u64::try_from(null).unwrap_or(u64::MAX));
        self.keys = keys;
        self.told = Some(marks.rows);
        Ok(())
    }

    /// Rows of the table where all were seen.
    pub(super) fn rows(&self) -> Option<u64> {
        self.whole.then_some(self.seen + self.nulls)
    }

    /// Estimated rows of the table, where the tree's inner pages tell.
    pub(super) fn told(&self) -> Option<u64> {
        self.told
    }

    /// About `count` keys at equal distances, to look at rows from.
    pub(super) fn landmarks(&self, count: usize) -> Vec<Vec<Value>> {
        let step = self.keys.len().div_ceil(count).max(1);
        self.keys.iter().step_by(step).cloned().collect()
    }

    /// The spread as about `parts` parts of equal rows, of `rows` in all. What lies beyond the walk,
    /// where the inner pages do not tell, is one part of several parts' rows.
    pub(super) fn density(&self, key: &Key, rows: u64, parts: u32) -> KeyDensity {
        let rows = rows.max(self.seen.saturating_add(self.nulls));
        let keyed = rows - self.nulls;
        let parts = u64::from(parts).min(keyed.max(1));
        let mut bounds: Vec<KeyValue> = Vec::new();
        let mut before: Option<&Vec<Value>> = None;
        for part in 1..parts {
            // Beyond the walk the last key that can be named stands for all.
            let at = self.place(part, parts, keyed);
            let next = self.keys.get(at).or(self.keys.last());
            let same = before
                .zip(next)
                .is_some_and(|(one, other)| alike(key, one, other));
            match next.and_then(|next| value(next)).filter(|_| !same) {
                Some(bound) => {
                    bounds.push(bound);
                    before = next;
                }
                None => bounds.extend(bounds.last().cloned()),
            }
        }
        let end = |key: Option<&Vec<Value>>| key.and_then(|key| value(key));
        let null = u128::from(self.nulls) * 1000 / u128::from(rows.max(1));
        KeyDensity {
            min: end(self.first.as_ref()),
            max: end(self.last.as_ref()),
            origin: match (bounds.is_empty(), self.whole) {
                (true, _) => Origin::Unknown,
                (false, true) => Origin::Exact,
                (false, false) => Origin::Sample,
            },
            bounds,
            null_permille: u32::try_from(null).unwrap_or(1000),
        }
    }

    /// Where among the known keys a part of so many begins.
    fn place(&self, part: u64, parts: u64, keyed: u64) -> usize {
        let share = |whole: u128| u128::from(part) * whole / u128::from(parts);
        let at = match self.told {
            // Each key has one more of equal shares below it than keys.
            Some(_) => share(self.keys.len() as u128 + 1).saturating_sub(1),
            None => share(u128::from(keyed)) / u128::from(self.step),
        };
        usize::try_from(at).unwrap_or(usize::MAX)
    }
}

/// What the inner pages of a key's b-tree tell.
fn marks(
    connection: &Connection,
    file: &DatabaseFile,
    relation: &Relation,
    key: &Key,
) -> rusqlite::Result<Option<Marks>> {
    let Some(root) = keys::root_page(connection, relation, key)? else {
        return Ok(None);
    };
    // A file that cannot be read beside SQLite tells nothing; SQLite itself reads it all the same.
    let Ok(bytes) = file.bytes() else {
        return Ok(None);
    };
    let tree = Tree::new(&bytes, root, key.rest.len() + 1);
    Ok(tree.and_then(|tree| tree.marks()))
}

/// Keys in SQLite's own order: pages that were being written may hold them in none.
fn in_order(
    connection: &Connection,
    key: &Key,
    keys: &[Vec<Value>],
) -> rusqlite::Result<Vec<Vec<Value>>> {
    // Text is compared byte by byte as it is stored.
    let encoding: String = connection.query_row("PRAGMA main.encoding", [], |row| row.get(0))?;
    let desk = Connection::open_in_memory()?;
    let (names, columns): (Vec<String>, Vec<String>) = (1..)
        .zip(key.columns())
        .map(|(place, (_, order))| (format!("k{place}"), format!("k{place}{}", collate(order))))
        .unzip();
    let (names, places) = (names.join(", "), vec!["?"; columns.len()].join(", "));
    desk.execute_batch(&format!(
        "PRAGMA encoding = '{encoding}'; CREATE TABLE keys ({}); BEGIN",
        columns.join(", ")
    ))?;
    let mut insert = desk.prepare(&format!("INSERT INTO keys VALUES ({places})"))?;
    for values in keys {
        insert.execute(params_from_iter(values))?;
    }
    let mut sorted = desk.prepare(&format!("SELECT {names} FROM keys ORDER BY {names}"))?;
    let rows = sorted.query_map([], |row| values(row, key))?;
    rows.collect()
}

/// Whether SQLite takes two keys for equal that may be spelt differently.
fn alike(key: &Key, one: &[Value], other: &[Value]) -> bool {
    let same = |order: &KeyOrder, one: &Value, other: &Value| match (one, other) {
        (Value::Text(one), Value::Text(other)) => match order {
            KeyOrder::Server {
                collation: Some(collation),
                ..
            } if collation == "NOCASE" => one.eq_ignore_ascii_case(other),
            KeyOrder::Server {
                collation: Some(collation),
                ..
            } if collation == "RTRIM" => one.trim_end_matches(' ') == other.trim_end_matches(' '),
            _ => one == other,
        },
        (Value::Integer(whole), Value::Real(real)) | (Value::Real(real), Value::Integer(whole)) => {
            real.fract() == 0.0 && *real as i128 == i128::from(*whole)
        }
        (one, other) => one == other,
    };
    let mut columns = key.columns().zip(one.iter().zip(other));
    columns.all(|((_, order), (one, other))| same(order, one, other))
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
        .map(|(name, order)| format!("{}{} {direction}", sql::quote(name), collate(order)))
        .collect();
    terms.join(", ")
}

/// ` COLLATE …` as a column of a key is ordered.
fn collate(order: &KeyOrder) -> String {
    match order {
        KeyOrder::Server {
            collation: Some(collation),
            ..
        } => format!(" COLLATE {}", sql::quote(collation)),
        _ => String::new(),
    }
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
            operators: None,
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
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        let relation = Relation {
            schema: "main".to_owned(),
            name: "t".to_owned(),
        };
        let file = DatabaseFile::find(&path).unwrap();
        Walk::along(&connection, &file, &relation, key).unwrap()
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
        let density = found.density(&key(&[]), 6, 6);
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
            shown(&found.density(&key(&["n"]), 4, 100)),
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
            shown(&found.density(&key(&[]), 40_000, 4)),
            ["text:010000", "text:020000", "text:030000"]
        );
        // Of four times the rows only a quarter was seen: the last key stands for the rest.
        let density = found.density(&key(&[]), 160_000, 8);
        assert_eq!(density.bounds.len(), 7);
        assert_eq!(density.distinct(), 2);
        assert!(
            walk("CREATE TABLE t (k PRIMARY KEY) WITHOUT ROWID", &key(&[]))
                .density(&key(&[]), 0, 9)
                .bounds
                .is_empty()
        );
    }

    #[test]
    fn what_is_beyond_a_walk_is_told_by_the_tree() {
        let found = walk(
            "CREATE TABLE t (k TEXT COLLATE NOCASE PRIMARY KEY) WITHOUT ROWID;
             INSERT INTO t WITH RECURSIVE s(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i < 399999)
                 SELECT printf('%06d', i) FROM s;",
            &key(&[]),
        );
        assert_eq!((found.rows(), found.seen), (None, WALK));
        let told = found.told().unwrap();
        assert!(told.abs_diff(400_000) < 20_000, "{told}");
        let density = found.density(&key(&[]), told, 8);
        assert_eq!(density.origin, Origin::Sample);
        for (bound, wanted) in shown(&density)
            .iter()
            .zip((1..8).map(|part| part * 50_000_u64))
        {
            let place: u64 = bound.strip_prefix("text:").unwrap().parse().unwrap();
            assert!(place.abs_diff(wanted) < 5000, "{bound} for {wanted}");
        }
    }

    #[test]
    fn values_that_a_collation_holds_equal_are_spelt_alike() {
        let text = |text: &str| vec![Value::Text(text.to_owned())];
        let keyed = |collation: &str| Key {
            order: order(collation),
            ..key(&[])
        };
        assert!(alike(&keyed("NOCASE"), &text("Key "), &text("kEY ")));
        assert!(!alike(&keyed("NOCASE"), &text("É"), &text("é")));
        assert!(alike(&keyed("RTRIM"), &text("a"), &text("a  ")));
        assert!(!alike(&keyed("RTRIM"), &text("a"), &text("A")));
        assert!(!alike(&keyed("BINARY"), &text("a"), &text("a ")));
        let (whole, real) = (Value::Integer(i64::MAX), Value::Real(i64::MAX as f64));
        assert!(!alike(&keyed("BINARY"), &[whole], &[real]));
        assert!(alike(
            &keyed("BINARY"),
            &[Value::Integer(2)],
            &[Value::Real(2.0)]
        ));
        let found = walk(
            "CREATE TABLE t (k TEXT COLLATE NOCASE, n, PRIMARY KEY (k, n)) WITHOUT ROWID;
             INSERT INTO t VALUES ('a', 2), ('A', 1), ('b', 0), ('B', 1);",
            &key(&[]),
        );
        assert_eq!(
            shown(&found.density(&key(&[]), 4, 4)),
            ["text:a", "text:b", "text:b"]
        );
    }
}
