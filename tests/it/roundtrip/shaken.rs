//! Random tables, read in random ways: types, names, keys, NULLs, statistics, formats, cuts, workers.
//!
//! Each table follows from a seed of its own. A failure prints it, and `IXTRACT_TEST_SEED=N
//! IXTRACT_TEST_TABLES=1` makes that table again; more tables search further.

use std::io::Write as _;

use super::oracle::{Kind, expect_same};
use super::results::expect_loads_back;
use super::table::{Column, PINNED, column};
use super::{casts, lists, wire};
use crate::ixtract::Cli;
use crate::published::extract;
use crate::random::{Random, seed};
use crate::readers::{Engine, Row};
use crate::servers::{Database, Session, postgres};
use crate::setting_or;

/// What can be indexed, by the names of the columns.
const ORDERED: &[&str] = &[
    "bool_",
    "int2_",
    "int4_",
    "int8_",
    "oid_",
    "float4_",
    "float8_",
    "n_10_2",
    "n_free",
    "char_",
    "varchar_",
    "text_",
    "name_",
    "bytea_",
    "uuid_",
    "date_",
    "time_",
    "timestamp_",
    "timestamptz_",
    "timetz_",
    "interval_",
    "mood_",
    "citext_",
    "inet_",
    "xid8_",
];

/// Names that need care, each made another by a number.
const NAMES: &[&str] = &[
    "plain",
    "UPPER",
    "two words",
    "dot.ted",
    "it's",
    "say \"so\"",
    "select",
    "Größe",
    "🙂",
    "100%",
    "a,b",
    "back\\slash",
    " lead",
    "$1",
    "c=d",
    "tab\tbed",
];

/// A table and how it is to be read.
struct Shake {
    seed: u64,
    random: Random,
    /// The table, quoted, and as the user writes it.
    table: String,
    columns: Vec<Column>,
    /// The column, beside `n`, of the primary key: quoted.
    required: Option<String>,
}

impl Shake {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed, "shaken");
        let pool = [wire::every_type(), casts::columns(), lists::columns()].concat();
        let row = column("n", "int4", Kind::Exact, &[], |_| String::new());
        let mut columns = vec![row];
        for number in 0..=random.below(9) {
            let mut chosen = pool[random.below(pool.len() as u64) as usize].clone();
            if number < 2 {
                // Mostly something to cut on.
                let ordered = pool.iter().filter(|column| ORDERED.contains(&column.name));
                let ordered: Vec<&Column> = ordered.collect();
                chosen = ordered[random.below(ordered.len() as u64) as usize].clone();
            }
            columns.push(chosen);
        }
        let table = format!("{} {seed}", random.pick(NAMES));
        Self {
            seed,
            random,
            table: format!("public.{}", quoted(&table)),
            columns,
            required: None,
        }
    }

    /// Creates and fills the table, and gives every column a name of its own.
    fn make(&mut self, session: &Session) {
        let indexable: Vec<usize> = (0..self.columns.len())
            .filter(|at| ORDERED.contains(&self.columns[*at].name) || *at == 0)
            .collect();
        for (number, column) in self.columns.iter_mut().enumerate().skip(1) {
            let name = format!("{} {number}", self.random.pick(NAMES));
            column.name = Box::leak(name.into_boxed_str());
        }
        let definitions: Vec<String> = self
            .columns
            .iter()
            .map(|column| format!("{} {}", quoted(column.name), column.sql_type))
            .collect();
        let table = &self.table;
        session.exec(&format!(
            "CREATE TABLE {table} ({}) WITH (autovacuum_enabled = off)",
            definitions.join(", ")
        ));
        let rows = self.random.below(300);
        // What the statistics know of: nothing, all rows, or the first ones only.
        let analysed = [0, rows, rows / 3][self.random.below(3) as usize];
        self.insert(session, 0..analysed);
        self.index(session, &indexable);
        if analysed > 0 {
            session.exec(&format!("ANALYZE {}", self.table));
        }
        self.insert(session, analysed..rows);
        if self.random.once_in(2) {
            let rest = self.random.below(5);
            session.exec(&format!("DELETE FROM {} WHERE n % 5 = {rest}", self.table));
        }
    }

    fn insert(&mut self, session: &Session, rows: std::ops::Range<u64>) {
        let nulls = self.random.below(9) + 1;
        let mut lines = Vec::new();
        for n in rows {
            let mut cells = vec![n.to_string()];
            for column in &self.columns[1..] {
                let edges = column.edges.len() as u64;
                let value = match self.random.below(4) {
                    0 if self.random.once_in(nulls)
                        && self.required != Some(quoted(column.name)) =>
                    {
                        None
                    }
                    1 if edges > 0 => {
                        Some(column.edges[self.random.below(edges) as usize].to_owned())
                    }
                    _ => Some((column.random)(&mut self.random)),
                };
                cells.push(value.map_or("NULL".to_owned(), |value| {
                    format!("'{}'", value.replace('\'', "''"))
                }));
            }
            lines.push(format!("({})", cells.join(",")));
        }
        if !lines.is_empty() {
            session.exec(&format!(
                "INSERT INTO {} VALUES {}",
                self.table,
                lines.join(",")
            ));
        }
    }

    /// A primary key, an index of one column or of several, or none.
    fn index(&mut self, session: &Session, indexable: &[usize]) {
        let pick = |random: &mut Random| {
            let at = indexable[random.below(indexable.len() as u64) as usize];
            quoted(self.columns[at].name)
        };
        let (one, other) = (pick(&mut self.random), pick(&mut self.random));
        let table = &self.table;
        let sql = match self.random.below(6) {
            0 => String::new(),
            1 => format!("ALTER TABLE {table} ADD PRIMARY KEY (n)"),
            2 if one != "\"n\"" => {
                let key = format!(
                    "DELETE FROM {table} WHERE {one} IS NULL;
                     ALTER TABLE {table} ADD PRIMARY KEY ({one}, n)"
                );
                self.required = Some(one);
                key
            }
            3 if one != other => format!("CREATE INDEX ON {table} ({one}, {other})"),
            4 => format!("CREATE INDEX ON {table} ({one}); CREATE INDEX ON {table} ({other})"),
            _ => format!("CREATE INDEX ON {table} ({one} DESC NULLS LAST)"),
        };
        session.exec(&sql);
    }

    /// Flags to read it by, the format left out.
    fn flags(&mut self) -> Vec<String> {
        let random = &mut self.random;
        // An index of what has no order that we can name is no key.
        let chunking = random.pick(&["auto", "auto", "ctid", "none"]);
        let workers = (random.below(4) + 1).to_string();
        let chunk_rows = (random.below(60) + 1).to_string();
        [
            "--chunking",
            chunking,
            "--workers",
            &workers,
            "--chunk-rows",
            &chunk_rows,
        ]
        .map(str::to_owned)
        .to_vec()
    }

    fn what(&self, flags: &[String]) -> String {
        let types: Vec<&str> = self.columns.iter().map(|column| column.sql_type).collect();
        format!(
            "{} of {}, {}; IXTRACT_TEST_SEED={} IXTRACT_TEST_TABLES=1",
            self.table,
            types.join(", "),
            flags.join(" "),
            self.seed
        )
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The server's texts in the order of `n`.
fn expected(session: &Session, shake: &Shake) -> Vec<Row> {
    session.exec(PINNED);
    let values: Vec<String> = shake
        .columns
        .iter()
        .map(|column| column.kind.query(&quoted(column.name)))
        .collect();
    let rows = session.query_text(&format!(
        "SELECT {} FROM {} ORDER BY n",
        values.join(", "),
        shake.table
    ));
    session.exec("RESET ALL");
    rows
}

fn shake(database: &Database, cli: &Cli, seed: u64) {
    let mut shake = Shake::new(seed);
    let session = database.session();
    shake.make(&session);
    let name = format!("run_{seed}");
    let mut flags = shake.flags();
    let formats: [&[&str]; 5] = [
        &["--format", "csv"],
        &["--types", "native", "--compression", "zstd"],
        &["--types", "native"],
        &["--compression", "gzip"],
        &[],
    ];
    let format = formats[shake.random.below(5) as usize];
    flags.extend(format.iter().map(|flag| (*flag).to_owned()));
    let what = shake.what(&flags);
    // Shown where the run itself fails.
    writeln!(std::io::stderr(), "{what}").expect("a line");
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let run = extract(cli, &database.url(), &shake.table, &name, &flags);
    let expected = expected(&session, &shake);
    run.expect_exact_cover(expected.len());
    if format.contains(&"csv") {
        expect_loads_back(database, (cli, &name), &shake.table, &shake.columns);
    } else {
        let names: Vec<&str> = shake.columns.iter().map(|column| column.name).collect();
        let kinds: Vec<Kind> = shake.columns.iter().map(|column| column.kind).collect();
        let engine = Engine::ALL[shake.random.below(3) as usize];
        // Native types are not for all readers.
        let engine = if format.contains(&"native") {
            Engine::Pyarrow
        } else {
            engine
        };
        let read = run.rows(engine, &["n"]);
        expect_same(&what, &names, &kinds, &expected, &read);
    }
    session.exec(&format!("DROP TABLE {}", shake.table));
}

#[test]
fn random_tables_arrive_whole_in_whatever_way_they_are_read() {
    let tables: u64 = setting_or("IXTRACT_TEST_TABLES", "8")
        .parse()
        .expect("a number of tables");
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(casts::TYPES);
    database.exec(lists::TYPES);
    for number in 0..tables {
        shake(&database, &cli, seed() + number);
    }
}
