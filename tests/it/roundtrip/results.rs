//! `docs/types.md`: what each type becomes, and who compared its values, as the comparison itself
//! found it. With `IXTRACT_UPDATE_DOCS=1` the tests write their parts of the page; else the page has to
//! say what they found.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use ixtract::model::FieldType;

use super::oracle::Kind;
use super::table::{Column, Filled, column};
use super::{casts, lists, wire};
use crate::csv;
use crate::ixtract::Cli;
use crate::published::{Published, extract};
use crate::readers::Engine;
use crate::servers::{Database, Postgres};
use crate::setting_or;

const ROWS: usize = 120;

/// Fails the test unless the page has this text between the marks of its part.
#[track_caller]
fn expect_part(name: &str, found: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/types.md");
    // Tests write their parts at the same time.
    let lock = File::create(std::env::temp_dir().join("ixtract-docs-types.lock")).expect("a lock");
    lock.lock().expect("the lock");
    let text = fs::read_to_string(&page).expect("docs/types.md");
    let (begin, end) = (
        format!("<!-- begin: {name} -->\n"),
        format!("<!-- end: {name} -->"),
    );
    let (head, rest) = text.split_once(&begin).expect("the part's begin");
    let (written, tail) = rest.split_once(&end).expect("the part's end");
    if setting_or("IXTRACT_UPDATE_DOCS", "") == "1" {
        fs::write(&page, [head, &begin, found, &end, tail].concat()).expect("docs/types.md");
        return;
    }
    for (written, found) in written.lines().zip(found.lines()) {
        assert_eq!(
            written, found,
            "docs/types.md, {name}: IXTRACT_UPDATE_DOCS=1 writes it anew"
        );
    }
    assert_eq!(
        written.lines().count(),
        found.lines().count(),
        "docs/types.md, {name}"
    );
}

/// Whether a version has a type.
fn known(column: &Column, version: u32) -> bool {
    // Scales outside the precision came with 15, multiranges with 14, and with it infinite numerics.
    let odd_scales = ["n_5_m2", "n_36_m2", "n_38_m5", "n_3_5", "n_2_40"];
    let since = match column.name {
        name if odd_scales.contains(&name) => 15,
        _ if column.sql_type.contains("multirange") => 14,
        _ => 13,
    };
    version >= since
}

/// A value that a version does not have is left out, and its type stays.
fn for_version(mut column: Column, version: u32) -> Column {
    if version < 14 && column.name == "n_free" {
        column.edges = &["0", "NaN", "-0.000", "1e-1000", "1e100"];
    }
    if version < 15 && column.name == "interval_" {
        // Where microseconds had to fit 32 bits.
        column.random = |random| {
            let [months, days] = [random.between(-500, 500), random.between(-500, 500)];
            format!("{months} months {days} days {}", random.time())
        };
    }
    column
}

/// A way to extract the table.
struct Run {
    /// `None` is CSV.
    mapping: Option<&'static str>,
    workers: &'static str,
    compression: &'static str,
}

impl Run {
    fn name(&self) -> String {
        let mapping = self.mapping.unwrap_or("csv");
        format!("{mapping}-{}-{}", self.workers, self.compression)
    }
}

/// Fails the test unless whoever can read the types of a mapping finds the server's values.
#[track_caller]
fn expect_values(filled: &Filled, published: &Published, mapping: &str) {
    if mapping == "portable" {
        filled.expect_in(published, &Engine::ALL);
        return;
    }
    filled.expect_in(published, &[Engine::Pyarrow]);
    let columns = published.plan().spec.read.columns;
    // DuckDB has no decimals of more digits and reads them as doubles.
    let beyond = |name: &str| {
        columns.iter().any(|column| {
            column.name == name
                && matches!(column.field, FieldType::Decimal { precision, .. } if precision > 38)
        })
    };
    filled.expect_columns_in(published, Engine::DuckDb, |name| !beyond(name));
}

/// Every format, mapping and compression, by one worker and by four.
fn every_run() -> Vec<Run> {
    let mut runs = Vec::new();
    for workers in ["4", "1"] {
        for compression in ["snappy", "zstd", "gzip", "lz4", "none"] {
            for mapping in ["portable", "native"] {
                runs.push(Run {
                    mapping: Some(mapping),
                    workers,
                    compression,
                });
            }
        }
        for compression in ["none", "gzip", "zstd"] {
            runs.push(Run {
                mapping: None,
                workers,
                compression,
            });
        }
    }
    runs
}

/// Each format and mapping once, each number of workers at least once.
fn few_runs() -> Vec<Run> {
    let mut runs = every_run();
    runs.retain(|run| match run.mapping {
        Some("portable") => run.compression == "snappy",
        Some(_) => (run.workers, run.compression) == ("4", "zstd"),
        None => (run.workers, run.compression) == ("1", "none"),
    });
    runs
}

/// A server's table `public.t`.
struct Source<'a> {
    cli: &'a Cli,
    database: &'a Database,
    /// How it is cut without its key.
    blocks: &'static str,
}

impl Source<'_> {
    /// Four workers take chunks of a few rows: by the key in portable types, by blocks in native ones.
    fn publish(&self, run: &Run) -> Published {
        let mut flags = vec!["--workers", run.workers, "--compression", run.compression];
        match run.mapping {
            Some(mapping) => flags.extend(["--types", mapping]),
            None => flags.extend(["--format", "csv"]),
        }
        if run.workers != "1" {
            let native = run.mapping == Some("native");
            let chunking = if native { self.blocks } else { "key" };
            flags.extend(["--chunk-rows", "7", "--chunking", chunking]);
        }
        extract(
            self.cli,
            &self.database.url(),
            "public.t",
            &run.name(),
            &flags,
        )
    }
}

fn postgresql(version: u32) {
    let mut servers = Postgres::versions().into_iter();
    let server = servers
        .find(|server| server.version() == version)
        .expect("such a server");
    let database = server.fresh_database();
    database.exec(casts::TYPES);
    database.exec(lists::TYPES);
    let all = [wire::every_type(), casts::columns(), lists::columns()].concat();
    let columns: Vec<Column> = all
        .into_iter()
        .filter(|column| known(column, version))
        .map(|column| for_version(column, version))
        .collect();
    let filled = Filled::create(&database, &columns, ROWS, "");
    let cli = Cli::new();
    let source = Source {
        cli: &cli,
        database: &database,
        blocks: if version >= 14 { "ctid" } else { "key" },
    };
    let runs = if version == 15 {
        every_run()
    } else {
        few_runs()
    };
    let mut published: BTreeMap<&str, Published> = BTreeMap::new();
    for run in runs {
        let read = source.publish(&run);
        match run.mapping {
            Some(mapping) => {
                expect_values(&filled, &read, mapping);
                published.entry(mapping).or_insert(read);
            }
            None => {
                read.expect_exact_cover(filled.rows());
                let id = column("id", "int8", Kind::Exact, &[], |_| String::new());
                let columns = [&[id], &columns[..]].concat();
                expect_loads_back(&database, (&cli, &run.name()), "public.t", &columns);
            }
        }
    }
    expect_page(
        &format!("PostgreSQL {version}"),
        &[&published["portable"], &published["native"]],
        filled.rows(),
        "pyarrow, DuckDB, Polars, COPY",
    );
}

/// Fails the test unless the page's part has a line for each type of the portable and the native run
/// but for the key's, with how many values of it were compared and by whom.
#[track_caller]
pub(crate) fn expect_page(
    part: &str,
    [portable, native]: &[&Published; 2],
    values: usize,
    by: &str,
) {
    let (portable, native) = (portable.plan(), native.plan());
    let pairs = portable
        .spec
        .read
        .columns
        .iter()
        .zip(&native.spec.read.columns);
    let mut found = vec![
        "| Source type | Parquet, portable | Parquet, native | Values | Equal in |".to_owned(),
        "|---|---|---|---|---|".to_owned(),
    ];
    for (portable, native) in pairs.skip(1) {
        let (source, wide, narrow) = (&portable.source_type, &portable.field, &native.field);
        let source = if source.is_empty() { "(none)" } else { source };
        let line = format!("| {source} | {wide} | {narrow} | {values} | {by} |");
        if !found.contains(&line) {
            found.push(line);
        }
    }
    expect_part(part, &(found.join("\n") + "\n"));
}

/// The type that the elements of a list are cast to.
fn element(column: &Column) -> Option<&'static str> {
    matches!(column.kind, Kind::List(_))
        .then(|| column.sql_type.strip_suffix("[]").unwrap_or("text"))
}

/// Fails the test unless COPY loads the CSV files into a table that is equal, as the server prints it:
/// to the last bit of a float. Lists are JSON in CSV, whose elements are cast to their type.
pub(super) fn expect_loads_back(
    database: &Database,
    (cli, dataset): (&Cli, &str),
    table: &str,
    columns: &[Column],
) {
    let session = database.session();
    let quoted = |column: &Column| format!("\"{}\"", column.name.replace('"', "\"\""));
    let selected = |from: &str, list: &dyn Fn(&str, &str) -> String| {
        let columns: Vec<String> = columns
            .iter()
            .map(|column| (quoted(column), element(column)))
            .map(|(name, element)| match element {
                Some(element) => format!("{} AS {name}", list(&name, element)),
                None => name,
            })
            .collect();
        format!("SELECT {} FROM {from}", columns.join(", "))
    };
    let empty = selected(table, &|name, _| format!("{name}::text"));
    session.exec(&format!(
        "DROP TABLE IF EXISTS loaded; CREATE TABLE loaded AS {empty} WITH NO DATA"
    ));
    for file in csv::files(cli, dataset) {
        let text = csv::text(&file);
        session.copy_in(
            "COPY loaded FROM STDIN WITH (FORMAT csv, HEADER)",
            text.into_bytes(),
        );
    }
    let ours = selected("loaded", &|name, element| {
        format!(
            "CASE WHEN {name} IS NOT NULL THEN array_to_json(ARRAY(SELECT e::{element}
             FROM json_array_elements_text({name}::json) WITH ORDINALITY AS u(e, n) ORDER BY n)
             ::text[])::text END"
        )
    });
    let theirs = selected(table, &|name, _| {
        format!("array_to_json({name}::text[])::text")
    });
    for (left, right) in [(&ours, &theirs), (&theirs, &ours)] {
        let lost = session.query_text(&format!(
            "SELECT x::text FROM ({left}) AS x EXCEPT ALL SELECT x::text FROM ({right}) AS x LIMIT 1"
        ));
        assert_eq!(
            lost,
            Vec::<Vec<Option<String>>>::new(),
            "{table} AS CSV: {left}"
        );
    }
}

#[test]
fn postgresql_13_gives_what_the_page_says() {
    postgresql(13);
}

#[test]
fn postgresql_15_gives_what_the_page_says() {
    postgresql(15);
}

#[test]
fn postgresql_16_gives_what_the_page_says() {
    postgresql(16);
}

#[test]
fn postgresql_18_gives_what_the_page_says() {
    postgresql(18);
}
