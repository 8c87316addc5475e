//! A PostgreSQL table with a column for each of many types.

use super::oracle::{Kind, expect_same};
use crate::published::Published;
use crate::random::{Random, seed};
use crate::readers::{Engine, Row};
use crate::servers::{Database, Session};

/// What makes a server's text the same whatever its defaults are.
pub(super) const PINNED: &str = "SET DateStyle = ISO; SET TimeZone = 'UTC'; \
    SET bytea_output = hex; SET extra_float_digits = 3; SET IntervalStyle = iso_8601; \
    SET search_path = pg_catalog";

/// A column to be filled. Values are what PostgreSQL reads as a literal of the type.
#[derive(Clone)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) sql_type: &'static str,
    pub(super) kind: Kind,
    /// One for each of the first rows.
    pub(super) edges: &'static [&'static str],
    /// For the rows after.
    pub(super) random: fn(&mut Random) -> String,
}

/// A column, in the order in which tables of columns are best read.
pub(super) fn column(
    name: &'static str,
    sql_type: &'static str,
    kind: Kind,
    edges: &'static [&'static str],
    random: fn(&mut Random) -> String,
) -> Column {
    Column {
        name,
        sql_type,
        kind,
        edges,
        random,
    }
}

/// A filled table `public.t` with the primary key `id` before its columns.
pub(crate) struct Filled {
    names: Vec<&'static str>,
    kinds: Vec<Kind>,
    /// The server's texts in the order of `id`.
    expected: Vec<Row>,
}

impl Filled {
    /// Creates and fills the table, then runs `more` on it.
    pub(super) fn create(database: &Database, columns: &[Column], rows: usize, more: &str) -> Self {
        let definitions: Vec<String> = columns
            .iter()
            .map(|column| format!(", {} {}", column.name, column.sql_type))
            .collect();
        let session = database.session();
        session.exec("SET TimeZone = 'UTC'");
        session.exec(&format!(
            "CREATE TABLE t (id int8 PRIMARY KEY {})",
            definitions.concat()
        ));
        session.exec(&format!("INSERT INTO t VALUES {}", values(columns, rows)));
        // Rows without any value, and with every one.
        session.exec(&format!("INSERT INTO t (id) VALUES ({}); {more}", rows + 1));
        session.exec("ANALYZE t");
        Self::read(&session, columns)
    }

    fn read(session: &Session, columns: &[Column]) -> Self {
        session.exec(PINNED);
        let value = |column: &Column| format!(", {}", column.kind.query(column.name));
        let values: String = columns.iter().map(value).collect();
        Self {
            names: ["id"]
                .into_iter()
                .chain(columns.iter().map(|column| column.name))
                .collect(),
            kinds: [Kind::Exact]
                .into_iter()
                .chain(columns.iter().map(|column| column.kind))
                .collect(),
            expected: session.query_text(&format!("SELECT id{values} FROM public.t ORDER BY id")),
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.expected.len()
    }

    /// The columns' names.
    pub(crate) fn names(&self) -> &[&'static str] {
        &self.names
    }

    /// The server's texts in the order of `id`, each with its kind.
    pub(crate) fn expected(&self) -> impl Iterator<Item = Vec<(Kind, Option<&str>)>> {
        self.expected.iter().map(|row| {
            let texts = row.iter().map(|text| text.as_deref());
            self.kinds.iter().copied().zip(texts).collect()
        })
    }

    /// Fails the test unless these engines read exactly what the server has.
    #[track_caller]
    pub(super) fn expect_in(&self, published: &Published, engines: &[Engine]) {
        published.expect_exact_cover(self.rows());
        for engine in engines {
            self.expect_columns_in(published, *engine, |_| true);
        }
    }

    /// The same of those columns that an engine can read exactly, at least half of them.
    #[track_caller]
    pub(super) fn expect_columns_in(
        &self,
        published: &Published,
        engine: Engine,
        exact: impl Fn(&str) -> bool,
    ) {
        let what = format!("{engine:?} in {}", published.dataset.display());
        let kept: Vec<usize> = (0..self.names.len())
            .filter(|column| exact(self.names[*column]))
            .collect();
        assert!(kept.len() * 2 > self.names.len(), "{what}: {kept:?}");
        let of_rows = |rows: &[Row]| -> Vec<Row> {
            let of = |row: &Row| kept.iter().map(|column| row[*column].clone()).collect();
            rows.iter().map(of).collect()
        };
        let names: Vec<&str> = kept.iter().map(|column| self.names[*column]).collect();
        let kinds: Vec<Kind> = kept.iter().map(|column| self.kinds[*column]).collect();
        let read = published.rows(engine, &["id"]);
        let (expected, read) = (of_rows(&self.expected), of_rows(&read));
        expect_same(&what, &names, &kinds, &expected, &read);
    }
}

/// The rows of an `INSERT`, `id` from 1.
fn values(columns: &[Column], rows: usize) -> String {
    let mut random: Vec<Random> = columns
        .iter()
        .map(|column| Random::new(seed(), column.name))
        .collect();
    let row = |number: usize| {
        let cells: Vec<String> = columns
            .iter()
            .zip(&mut random)
            .map(|(column, random)| cell(column, number, random))
            .collect();
        format!("({}{})", number + 1, cells.concat())
    };
    (0..rows).map(row).collect::<Vec<_>>().join(",\n")
}

fn cell(column: &Column, number: usize, random: &mut Random) -> String {
    let value = match column.edges.get(number) {
        Some(edge) => (*edge).to_owned(),
        None if random.once_in(8) => return ", NULL".to_owned(),
        None => (column.random)(random),
    };
    format!(", '{}'", value.replace('\'', "''"))
}
