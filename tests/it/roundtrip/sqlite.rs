//! SQLite: what is stored decides, not what a column declares.

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::expect_page;
use crate::ixtract::Cli;
use crate::published::{Failure, attempt, extract, sqlite_url};
use crate::random::{Random, seed};
use crate::readers::{self, Engine};

/// A database file in the user's home, made by these statements.
fn database(cli: &Cli, sql: &str) -> (PathBuf, Connection) {
    let path = cli.home().join("source.db");
    let connection = Connection::open(&path).expect("a database");
    connection
        .execute_batch(sql)
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    (path, connection)
}

/// All rows of a query as SQLite stores them.
fn stored(connection: &Connection, sql: &str) -> Vec<Vec<Value>> {
    let mut statement = connection.prepare(sql).expect("a query");
    let columns = statement.column_count();
    let rows = statement.query_map([], |row| {
        (0..columns)
            .map(|column| row.get(column))
            .collect::<rusqlite::Result<Vec<Value>>>()
    });
    rows.expect("rows").map(|row| row.expect("a row")).collect()
}

/// Whether a reader's text is the stored value: floats to the last bit, and in no more digits than
/// it takes to read them back.
fn is_same(stored: &Value, read: Option<&str>) -> bool {
    match (stored, read) {
        (Value::Null, read) => read.is_none(),
        (_, None) => false,
        (Value::Integer(value), Some(read)) => {
            let text = value.to_string();
            read == text || read.strip_suffix(".0") == Some(&text)
        }
        (Value::Real(value), Some(read)) => {
            let digits = |text: &str| {
                let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
                let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
                digits.trim_matches('0').len()
            };
            let shortest = digits(&format!("{value:e}"));
            read.parse()
                .is_ok_and(|read: f64| read.to_bits() == value.to_bits())
                && digits(read) <= shortest
        }
        (Value::Text(value), Some(read)) => value == read,
        (Value::Blob(value), Some(read)) => {
            let hex: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
            hex == read
        }
    }
}

#[track_caller]
fn expect_same(
    connection: &Connection,
    table: &str,
    dataset: &Path,
    key: &str,
    engines: &[Engine],
) {
    let expected = stored(connection, &format!("SELECT * FROM {table} ORDER BY {key}"));
    for engine in engines {
        let read = readers::rows(*engine, dataset, &[key]);
        assert_eq!(read.len(), expected.len(), "{table}: rows by {engine:?}");
        for (number, (expected, read)) in expected.iter().zip(&read).enumerate() {
            assert_eq!(expected.len(), read.len(), "{table}: columns by {engine:?}");
            for (column, (expected, read)) in expected.iter().zip(read).enumerate() {
                assert!(
                    is_same(expected, read.as_deref()),
                    "{table}, {engine:?}: row {number}, column {column}: stored {expected:?}, \
                     read {read:?}; IXTRACT_TEST_SEED={}",
                    seed()
                );
            }
        }
    }
}

const AFFINITIES: &str = "CREATE TABLE t (id INTEGER PRIMARY KEY, i INTEGER, bi BIGINT, ti TINYINT,
    r REAL, d DOUBLE PRECISION, f FLOAT, x TEXT, v VARCHAR(10), c CLOB, b BLOB, n NUMERIC,
    de DECIMAL(10,5), bo BOOLEAN, da DATE, dt DATETIME, none)";

/// One value for each column of [`AFFINITIES`] after the key.
fn affinity_row(random: &mut Random) -> Vec<Value> {
    let integer = |random: &mut Random| Value::Integer(random.between(i64::MIN, i64::MAX));
    let real = |random: &mut Random| Value::Real(random.float64().parse().expect("a float"));
    let text = |random: &mut Random| Value::Text(random.text(20));
    // What NUMERIC columns hold is any of the three.
    let any = |random: &mut Random| match random.below(3) {
        0 => integer(random),
        1 => real(random),
        _ => text(random),
    };
    let day = |random: &mut Random| format!("20{}-02-0{}", random.digits(2), random.below(10));
    let mut row = vec![
        integer(random),
        integer(random),
        Value::Integer(random.between(-9, 9)),
    ];
    row.extend([real(random), real(random), real(random)]);
    row.extend([text(random), text(random), text(random)]);
    row.push(Value::Blob(
        random.bits().to_be_bytes()[..random.below(9) as usize].to_vec(),
    ));
    row.extend([
        any(random),
        any(random),
        Value::Integer(random.between(0, 1)),
    ]);
    row.push(Value::Text(day(random)));
    row.push(Value::Text(format!("{} {}", day(random), random.time())));
    row.push(any(random));
    for value in &mut row {
        if random.once_in(8) {
            *value = Value::Null;
        }
    }
    row
}

/// The ends of what can be stored, in the order of the columns after the key.
const EDGES: &str = "
    INSERT INTO t (id, i, bi, r, d, x, b, n, none) VALUES
    (-9223372036854775808, -9223372036854775808, 9223372036854775807, -0.0, 5e-324, '', x'',
        9223372036854775807, -0.0),
    (9223372036854775807, 9007199254740993, 0, 9e999, -9e999, char(0x10ffff), x'00ff00',
        1e300, 0.1),
    (0, 0, 0, 1.7976931348623157e308, 0.30000000000000004, '0123', zeroblob(300000), '007.50',
        123456789.123456789);
    UPDATE t SET x = replace(hex(zeroblob(500000)), '0', 'ü') WHERE id = 0;
    INSERT INTO t (id) VALUES (1)";

#[test]
fn every_affinity_arrives_as_it_is_stored() {
    let cli = Cli::new();
    let (path, mut connection) = database(&cli, AFFINITIES);
    connection.execute_batch(EDGES).expect("edges");
    let transaction = connection.transaction().expect("a transaction");
    let mut random = Random::new(seed(), "affinities");
    for id in 1000..1150 {
        let row = affinity_row(&mut random);
        let marks = ", ?".repeat(row.len());
        let insert = format!("INSERT INTO t VALUES ({id}{marks})");
        transaction
            .execute(&insert, params_from_iter(row))
            .expect("a row");
    }
    transaction.commit().expect("rows");

    let url = sqlite_url(&path);
    let one = extract(&cli, &url, "t", "one", &["--workers", "1"]);
    let tiny = ["--workers", "4", "--chunk-rows", "7", "--types", "native"];
    let many = extract(&cli, &url, "t", "many", &tiny);
    many.expect_exact_cover(154);
    assert!(many.chunks().len() > 20, "{:?}", many.chunks());
    for run in [&one, &many] {
        expect_same(&connection, "t", &run.dataset, "id", &Engine::ALL);
    }
    for compression in ["zstd", "gzip", "lz4", "none"] {
        for workers in ["1", "4"] {
            let name = format!("{compression}-{workers}");
            let chunked = ["--workers", workers, "--chunk-rows", "40"];
            let flags = [&chunked[..], &["--compression", compression]].concat();
            let run = extract(&cli, &url, "t", &name, &flags);
            expect_same(&connection, "t", &run.dataset, "id", &[Engine::DuckDb]);
        }
    }
    expect_page("SQLite", &[&one, &many], 154, "pyarrow, DuckDB, Polars");

    let kinds: Vec<String> = readers::schema(Engine::Pyarrow, &one.dataset)
        .into_iter()
        .map(|column| column.kind)
        .collect();
    let expected = "int64 int64 int64 int64 double double double string string string binary \
        string string string string string string";
    assert_eq!(kinds.join(" "), expected);
}

#[test]
fn every_column_can_be_had_as_bytes() {
    let cli = Cli::new();
    let (path, connection) = database(
        &cli,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT, n NUMERIC, i INTEGER, r REAL, v);
         INSERT INTO t VALUES (1, 'ä', 1, 1, 1, 1), (2, x'00ff', x'00ff', x'00ff', x'00ff', x'00ff'),
             (3, CAST(x'fffe' AS TEXT), CAST(x'fffe' AS TEXT), 'q', 'q', 2.5), (4, '', 1.5, 2.5, 2.5, ''),
             (5, NULL, NULL, NULL, NULL, NULL), (6, 'z', -7, -9223372036854775808, -0.5, 'z')",
    );
    let named = ["x", "n", "i", "r", "v"].map(|name| format!("{name}=binary"));
    let flags: Vec<&str> = named.iter().flat_map(|named| ["--type", named]).collect();
    let run = extract(&cli, &sqlite_url(&path), "t", "out", &flags);
    // SQLite's own bytes of what it stores; of reals that it spells as we do.
    let bytes = |name: &str| format!("CASE WHEN {name} IS NOT NULL THEN lower(hex({name})) END");
    let columns = ["x", "n", "i", "r", "v"].map(bytes).join(", ");
    let expected = stored(
        &connection,
        &format!("SELECT id, {columns} FROM t ORDER BY id"),
    );
    for engine in Engine::ALL {
        let read = readers::rows(engine, &run.dataset, &["id"]);
        for (expected, read) in expected.iter().zip(&read) {
            for (expected, read) in expected.iter().zip(read) {
                assert!(is_same(expected, read.as_deref()), "{expected:?}, {read:?}");
            }
        }
        assert_eq!(read.len(), expected.len());
    }
    let blob = "blob_in_text";
    connection
        .execute_batch(&format!(
            "CREATE TABLE {blob} (a TEXT); INSERT INTO {blob} VALUES (x'01')"
        ))
        .expect("a table");
    let refused = attempt(&cli, &sqlite_url(&path), blob, "no", &[]).expect_code(1);
    let fix = Failure::of(&refused).fix;
    assert!(fix.contains("--type a=binary"), "{fix}");
}

#[test]
fn strict_without_rowid_and_generated_columns_arrive() {
    let cli = Cli::new();
    let (path, connection) = database(
        &cli,
        "CREATE TABLE strict_ (id INTEGER PRIMARY KEY, i INT NOT NULL, r REAL, x TEXT, b BLOB, a ANY)
             STRICT;
         INSERT INTO strict_ VALUES (1, 2, 3.5, 'x', x'01', 4), (2, 3, 1, '', x'', '004'),
             (3, 0, NULL, NULL, NULL, 1.25);
         CREATE TABLE pairs (word TEXT, number INT, extra, PRIMARY KEY (word, number)) WITHOUT ROWID;
         INSERT INTO pairs VALUES ('a', 1, 1.5), ('b', -1, NULL), ('a', 0, 'x');
         CREATE TABLE numbered (n INTEGER PRIMARY KEY, x TEXT) WITHOUT ROWID;
         WITH RECURSIVE c(i) AS (SELECT -50 UNION ALL SELECT i + 1 FROM c WHERE i < 49)
             INSERT INTO numbered SELECT i, 'row ' || i FROM c;
         CREATE TABLE made (a INTEGER, twice INTEGER AS (a * 2) VIRTUAL, text_ TEXT AS ('<' || a || '>')
             STORED, z REAL);
         INSERT INTO made (a, z) VALUES (1, 0.5), (-7, NULL), (40, 1e-7)",
    );
    let url = sqlite_url(&path);
    for (table, key) in [
        ("strict_", "id"),
        ("pairs", "number"),
        ("numbered", "n"),
        ("made", "a"),
    ] {
        let run = extract(
            &cli,
            &url,
            table,
            table,
            &["--workers", "2", "--chunk-rows", "10"],
        );
        expect_same(&connection, table, &run.dataset, key, &[Engine::Pyarrow]);
    }
    let schema = readers::schema(Engine::Pyarrow, &cli.home().join("strict_"));
    let nullable: Vec<bool> = schema.iter().map(|column| column.nullable).collect();
    assert_eq!(
        nullable[1..],
        [false, true, true, true, true],
        "only NOT NULL promises a value"
    );
}

#[test]
fn views_and_rowid_tables_without_a_key_arrive() {
    let cli = Cli::new();
    let (path, connection) = database(
        &cli,
        "CREATE TABLE plain (x TEXT, y REAL);
         WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100)
             INSERT INTO plain SELECT 'row ' || (i + 1000), i / 7.0 FROM c;
         DELETE FROM plain WHERE rowid % 3 = 0;
         CREATE VIEW seen AS SELECT x, y, y * 3 AS computed, length(x) AS size FROM plain",
    );
    let url = sqlite_url(&path);
    let plain = extract(
        &cli,
        &url,
        "plain",
        "plain",
        &["--workers", "3", "--chunk-rows", "7"],
    );
    expect_same(
        &connection,
        "plain",
        &plain.dataset,
        "x",
        &[Engine::Pyarrow],
    );
    plain.expect_exact_cover(67);
    assert!(
        plain.chunks().len() > 2,
        "cut on the rowid: {:?}",
        plain.chunks()
    );
    let seen = extract(&cli, &url, "seen", "seen", &["--workers", "3"]);
    expect_same(&connection, "seen", &seen.dataset, "x", &Engine::ALL);
}

#[test]
fn a_value_that_does_not_fit_its_column_stops_the_run() {
    let cases = [
        ("INTEGER", "'seven'", "seven"),
        ("INTEGER", "1.5", "1.5"),
        ("REAL", "'many'", "many"),
        ("TEXT", "x'00ff'", "00ff"),
        ("BLOB", "'words'", "words"),
        ("NUMERIC", "x'00ff'", "00ff"),
    ];
    let cli = Cli::new();
    let tables: String = (0..cases.len())
        .map(|number| {
            let (declared, value, _) = cases[number];
            format!(
                "CREATE TABLE t{number} (id INTEGER PRIMARY KEY, c {declared});
                 INSERT INTO t{number} VALUES (1, NULL), (7, {value});"
            )
        })
        .collect();
    let (path, connection) = database(&cli, &tables);
    let url = sqlite_url(&path);
    for (number, (declared, value, shown)) in cases.into_iter().enumerate() {
        let table = format!("t{number}");
        let outcome = attempt(&cli, &url, &table, &table, &[]).expect_code(1);
        assert!(
            !cli.home().join(&table).exists(),
            "{declared} {value}: published"
        );
        let failure = Failure::of(&outcome);
        let said = failure.text().to_lowercase();
        for part in [&format!("{table}.c"), "id = 7", shown] {
            assert!(
                said.contains(part),
                "{declared} {value}: no {part:?} in {said}"
            );
        }
        // What it advises must work.
        let words = failure
            .fix
            .split_whitespace()
            .map(|word| word.trim_end_matches([',', ';']));
        let advice: Vec<&str> = words
            .skip_while(|word| !word.starts_with("--"))
            .take(2)
            .collect();
        let run = extract(&cli, &url, &table, &table, &advice);
        let rows = run.rows(Engine::Pyarrow, &["id"]);
        let read = rows[1][1].as_deref();
        if advice[0] == "--type" {
            let kept = stored(&connection, &format!("SELECT c FROM {table} WHERE id = 7"));
            assert!(is_same(&kept[0][0], read), "{declared} {value}: {read:?}");
        } else {
            assert_eq!(advice, ["--on-unrepresentable", "c=null"], "{declared}");
            assert_eq!(read, None, "{declared} {value}");
        }
    }
}

#[test]
fn an_integer_in_a_real_column_becomes_the_double_that_sqlite_reads() {
    let cli = Cli::new();
    let (path, connection) = database(
        &cli,
        "CREATE TABLE t (r REAL); INSERT INTO t VALUES (0.5), (7), (9007199254740993);
         CREATE VIEW mixed AS SELECT r FROM t UNION ALL SELECT 9007199254740994",
    );
    for table in ["t", "mixed"] {
        let run = extract(&cli, &sqlite_url(&path), table, table, &[]);
        expect_same(&connection, table, &run.dataset, "r", &[Engine::Pyarrow]);
    }
}

#[test]
fn an_override_that_is_not_possible_says_what_is() {
    let cli = Cli::new();
    let (path, _connection) = database(
        &cli,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT, size REAL)",
    );
    for (wanted, says, fix) in [
        ("id=json", "which is written as int64", "--type id=text"),
        (
            "size=date",
            "which is written as float64",
            "--type size=text",
        ),
        ("word=float64", "can only come near", "--lossy word=float64"),
    ] {
        let outcome = attempt(&cli, &sqlite_url(&path), "t", "out", &["--type", wanted]);
        let failure = Failure::of(&outcome.expect_code(2));
        assert!(failure.why.contains(says), "{}", failure.why);
        assert!(failure.fix.contains(fix), "{}", failure.fix);
    }
}

#[test]
fn an_empty_table_becomes_one_readable_file_with_its_schema() {
    let cli = Cli::new();
    let (path, _connection) = database(&cli, "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)");
    let run = extract(&cli, &sqlite_url(&path), "t", "empty", &["--workers", "3"]);
    assert_eq!(run.manifest["files"].as_array().map(Vec::len), Some(1));
    for engine in Engine::ALL {
        assert!(run.rows(engine, &[]).is_empty(), "{engine:?}");
        let names: Vec<String> = readers::schema(engine, &run.dataset)
            .into_iter()
            .map(|column| column.name)
            .collect();
        assert_eq!(names, ["id", "x"], "{engine:?}");
    }
}
