//! Keys of PostgreSQL that only the server can order: each type at its extremes, text under every
//! kind of collation, and keys of several columns.

use ixtract::model::{ChunkBounds, ExecutionSpec, KeyValue, Strategy};
use ixtract::ui::wording;

use super::expect_rows;
use crate::ixtract::Cli;
use crate::published::{Published, extract};
use crate::servers::{Database, postgres};

/// Reads the numbers of a table's rows by its key, with three workers and chunks of seven rows or as
/// the flags say: what a key's values look like is another test's.
#[track_caller]
fn check(database: &Database, cli: &Cli, table: &str, flags: &[&str]) -> Published {
    let mut all = vec!["--chunking", "key", "--workers", "3", "--columns", "n"];
    if flags.is_empty() {
        all.extend(["--chunk-rows", "7"]);
    }
    all.extend(flags);
    let name = format!("out_{table}");
    let run = extract(
        cli,
        &database.url(),
        &format!("public.{table}"),
        &name,
        &all,
    );
    let rows = database.query_text(&format!("SELECT n FROM public.{table}"));
    expect_rows(&run, table, rows);
    run
}

/// Rows of the largest file.
fn largest(run: &Published) -> u64 {
    let files = run.manifest["files"].as_array().expect("files");
    let rows = files.iter().filter_map(|file| file["rows"].as_u64());
    rows.max().expect("a file")
}

/// The columns of the key that a plan cuts on.
fn key_of(spec: &ExecutionSpec) -> String {
    spec.read.key.as_ref().expect("a key").to_string()
}

/// A table of one key column of a type, 150 of its keys made from `i`, some extremes and two NULLs;
/// once analysed and once not.
#[track_caller]
fn check_type(database: &Database, cli: &Cli, kind: &str, key: &str, extremes: &[&str]) {
    for analysed in [true, false] {
        let table = if analysed { "analysed" } else { "unanalysed" };
        let extremes: Vec<String> = extremes
            .iter()
            .zip(1000..)
            .map(|(value, n)| format!("INSERT INTO {table} VALUES ({value}, {n});"))
            .collect();
        database.exec(&format!(
            "DROP TABLE IF EXISTS {table};
             CREATE TABLE {table} (k {kind} UNIQUE, n int4) WITH (autovacuum_enabled = off);
             INSERT INTO {table} SELECT {key}, i FROM generate_series(1, 150) AS i;
             INSERT INTO {table} VALUES (NULL, 2001), (NULL, 2002); {}",
            extremes.concat()
        ));
        if analysed {
            database.exec(&format!("ANALYZE {table}"));
        }
        let run = check(database, cli, table, &[]);
        let chunks = run.chunks();
        assert!(chunks.len() > 15, "{kind}, {table}: {chunks:?}");
        assert_eq!(chunks.last(), Some(&ChunkBounds::KeyNull), "{kind}");
        let largest = largest(&run);
        assert!(largest < 25, "{kind}, {table}: a chunk of {largest}");
    }
}

/// Type, key from `i`, extremes.
const TYPES: &[(&str, &str, &[&str])] = &[
    (
        "uuid",
        "md5(i::text)::uuid",
        &[
            "'00000000-0000-0000-0000-000000000000'",
            "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
        ],
    ),
    (
        "date",
        "'2024-02-28'::date + i",
        &[
            "'infinity'",
            "'-infinity'",
            "'4713-11-24 BC'",
            "'5874897-12-31'",
        ],
    ),
    (
        "timestamp",
        "'1999-12-31 23:59:59.999999'::timestamp - i * '1 h'::interval",
        &[
            "'infinity'",
            "'-infinity'",
            "'4713-11-24 00:00 BC'",
            "'294276-12-31 23:59:59.999999'",
        ],
    ),
    (
        "timestamptz",
        "'2024-03-31 00:30+01'::timestamptz + i * '7 min'::interval",
        &["'infinity'", "'-infinity'", "'0044-03-15 00:00+00 BC'"],
    ),
    (
        "timestamp(0)",
        "'1970-01-01'::timestamp - i * '1 s'::interval",
        &[],
    ),
    (
        "time",
        "'00:00'::time + i * '1 min'::interval",
        &["'24:00'"],
    ),
    (
        "timetz",
        "('00:00'::time + i * '1 min'::interval)::timetz",
        &["'24:00-12'"],
    ),
    (
        "interval",
        "i * '1 day 3 h'::interval",
        &["'170000000 years'", "'-170000000 years'"],
    ),
    (
        "numeric",
        "(i - 75) * 1e30 / 7",
        &["'NaN'", "'1e-200'", "'-1e200'", "'1e200'"],
    ),
    (
        "numeric(12,2)",
        "(i - 75) * 1.25",
        &["'NaN'", "9999999999.99", "-9999999999.99"],
    ),
    (
        "float8",
        "(i - 75) / 3e300::float8",
        &[
            "'NaN'",
            "'-Infinity'",
            "'Infinity'",
            "'5e-324'",
            "'1.7976931348623157e308'",
        ],
    ),
    (
        "float4",
        "(i - 75) / 3::float4",
        &["'NaN'", "'-Infinity'", "'Infinity'", "'1e-45'"],
    ),
    (
        "bytea",
        "decode(md5(i::text), 'hex')",
        &["''", r"'\x00'", r"'\xff'", r"convert_to('''\', 'UTF8')"],
    ),
    ("oid", "(i * 28000000::int8)::oid", &["0", "4294967295"]),
    (
        "inet",
        "'10.0.0.0'::inet + i",
        &["'::1'", "'192.168.0.0/16'"],
    ),
    (
        "cidr",
        "('10.0.' || i || '.0/24')::cidr",
        &["'2001:db8::/32'"],
    ),
    ("char(9)", "'k' || i", &["''", "'k 1'"]),
];

#[test]
fn numbers_times_and_identifiers() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    for (kind, key, extremes) in TYPES {
        check_type(&database, &cli, kind, key, extremes);
    }
}

/// Quotes, backslashes, patterns, casts and emoji: nothing in a key may be taken for SQL.
const AWKWARD: &[&str] = &[
    "''",
    "''''",
    r"E'\\'",
    r"E'\\'''",
    "'\"'",
    "'%'",
    "'$$'",
    "'x''::int8; --'",
    r"E'\n'",
    "'🦀'",
    "'Ångström'",
    "'-1'",
    "'text:1'",
    "repeat('é', 400)",
];

#[test]
fn text_under_every_kind_of_collation() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        r#"CREATE COLLATION german (provider = icu, locale = 'de-u-ks-level2', deterministic = false);
           CREATE COLLATION "say ""aah""" (provider = icu, locale = 'en-u-kf-upper');
           CREATE DOMAIN word AS varchar(900) COLLATE "C""#,
    );
    let kinds = [
        "text",
        r#"text COLLATE "C""#,
        r#"text COLLATE "en-x-icu""#,
        r#"varchar(900) COLLATE "say ""aah""""#,
        "text COLLATE german",
        "word",
    ];
    for kind in kinds {
        // Cases and signs: what libc, ICU and "C" order each in their own way.
        let key = "CASE i % 3 WHEN 0 THEN 'Key-' WHEN 1 THEN 'key' ELSE '_KEY ' END || i";
        check_type(&database, &cli, kind, key, AWKWARD);
    }
}

#[test]
fn what_a_nondeterministic_collation_holds_equal_is_one_key() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        "CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         CREATE TABLE words (k text COLLATE nocase, n int4) WITH (autovacuum_enabled = off);
         CREATE INDEX ON words (k);
         INSERT INTO words SELECT CASE WHEN j % 2 = 0 THEN 'w' ELSE 'W' END || i, i * 10 + j
             FROM generate_series(1, 40) AS i, generate_series(0, 4) AS j",
    );
    for _ in 0..2 {
        let run = check(&database, &cli, "words", &[]);
        assert!(run.chunks().len() > 10, "{:?}", run.chunks());
        // Statistics now, a sample before.
        database.exec("ANALYZE words");
    }
}

#[test]
fn citext_is_ordered_by_its_own_operators() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    // Nobody searches that schema.
    database.exec(
        r#"CREATE SCHEMA "Ext ra"; CREATE EXTENSION citext SCHEMA "Ext ra";
           CREATE DOMAIN word AS "Ext ra".citext;
           CREATE TABLE several (a "Ext ra".citext, b int4, n int4, PRIMARY KEY (a, b));
           INSERT INTO several SELECT CASE i % 2 WHEN 0 THEN 'Key' ELSE 'kEY' END || i / 20, i, i
               FROM generate_series(1, 200) AS i"#,
    );
    for kind in [
        r#""Ext ra".citext"#,
        r#""Ext ra".citext COLLATE "C""#,
        "word",
    ] {
        let key = "CASE i % 3 WHEN 0 THEN 'Key-' WHEN 1 THEN 'key' ELSE '_KEY ' END || i";
        check_type(&database, &cli, kind, key, AWKWARD);
    }
    let run = check(&database, &cli, "several", &[]);
    assert_eq!(key_of(&run.plan().spec), "a");
    assert!(run.chunks().len() > 5, "{:?}", run.chunks());
}

#[test]
fn enums_booleans_and_heaps() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        r#"CREATE TYPE "my mood" AS ENUM ('zzz', 'it''s', 'a\b', '🦀', 'aaa');
           CREATE TABLE moods (k "my mood" NOT NULL, n int4);
           INSERT INTO moods SELECT (enum_range(NULL::"my mood"))[i % 5 + 1], i
               FROM generate_series(1, 100) AS i;
           CREATE INDEX ON moods (k);
           CREATE TABLE flags (k bool, n int4);
           INSERT INTO flags SELECT i % 3 = 0, i FROM generate_series(1, 60) AS i;
           INSERT INTO flags VALUES (NULL, 0);
           CREATE INDEX ON flags (k);
           CREATE TABLE heap (k text, n int4);
           INSERT INTO heap SELECT 'same', i FROM generate_series(1, 60) AS i;
           CREATE INDEX ON heap (k);
           CREATE TABLE nothing (k uuid PRIMARY KEY, n int4);
           CREATE TABLE nulls (k text UNIQUE, n int4);
           INSERT INTO nulls SELECT NULL, i FROM generate_series(1, 20) AS i;
           ANALYZE"#,
    );
    for (table, chunks) in [("moods", 5), ("flags", 3)] {
        let run = check(&database, &cli, table, &[]);
        assert_eq!(run.chunks().len(), chunks, "{table}: {:?}", run.chunks());
    }
    for table in ["heap", "nothing", "nulls"] {
        check(&database, &cli, table, &[]);
    }
}

#[test]
fn statistics_of_text_that_are_out_of_date_lose_no_row() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        "CREATE TABLE grown (k text PRIMARY KEY, n int4) WITH (autovacuum_enabled = off);
         INSERT INTO grown SELECT 'm' || i, i FROM generate_series(1, 50) AS i; ANALYZE grown;
         INSERT INTO grown SELECT 'z' || i, i FROM generate_series(1000, 1999) AS i;
         INSERT INTO grown VALUES ('', -1), ('a', -2), ('🦀', -3)",
    );
    let run = check(&database, &cli, "grown", &["--chunk-rows", "20"]);
    assert!(run.chunks().len() > 8, "{:?}", run.chunks());
    assert!(largest(&run) < 250, "{}", largest(&run));
}

#[test]
fn a_whole_primary_key_where_its_first_column_is_too_coarse() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        r#"CREATE TYPE side AS ENUM ('left', 'right');
           CREATE TABLE one (a int4, b text COLLATE "C", c uuid, n int4, PRIMARY KEY (a, b, c));
           INSERT INTO one SELECT 7, 'it''s \ ' || i % 20, md5(i::text)::uuid, i
               FROM generate_series(1, 200) AS i;
           CREATE TABLE few (a side, b int8, n int4, PRIMARY KEY (a, b));
           INSERT INTO few SELECT (enum_range(NULL::side))[i % 2 + 1],
                  CASE WHEN i < 5 THEN -9223372036854775808 + i
                       WHEN i > 195 THEN 9223372036854775807 - i ELSE -i * 1000 END, i
               FROM generate_series(1, 200) AS i;
           CREATE TABLE fine (a int4, b int4, n int4, PRIMARY KEY (a, b));
           INSERT INTO fine SELECT i, 1, i FROM generate_series(1, 300) AS i;
           ANALYZE"#,
    );
    for (table, key) in [("one", "(a, b, c)"), ("few", "(a, b)")] {
        let run = check(&database, &cli, table, &[]);
        let spec = run.plan().spec;
        assert!(spec.chunks.len() > 20, "{table}: {:?}", run.chunks());
        assert!(largest(&run) < 20, "{table}: {}", largest(&run));
        assert_eq!(key_of(&spec), key);
        let tuples = spec.chunks.iter().filter(|chunk| match &chunk.bounds {
            ChunkBounds::Key(range) => matches!(range.lower, Some(KeyValue::Tuple(_))),
            _ => false,
        });
        assert_eq!(tuples.count(), spec.chunks.len() - 1);
    }
    let fine = check(&database, &cli, "fine", &[]);
    assert_eq!(key_of(&fine.plan().spec), "a");
}

#[test]
fn auto_says_why_it_cuts_by_what() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        "CREATE TABLE t (a int4, b int4, n int4, PRIMARY KEY (a, b));
         INSERT INTO t SELECT 1, i, i FROM generate_series(1, 90) AS i; ANALYZE t",
    );
    let flags = ["--workers", "3", "--chunk-rows", "7"];
    let run = extract(&cli, &database.url(), "public.t", "auto", &flags);
    let plan = run.plan();
    assert_eq!(plan.spec.strategy, Strategy::RangeChunking);
    let reasons: Vec<String> = plan.reasons.iter().map(wording::reason).collect();
    let said = reasons.join("; ");
    assert!(
        said.contains("cutting by key a would give only 1 chunk"),
        "{said}"
    );
    assert!(said.contains("it is cut by key (a, b) instead"), "{said}");
}

/// A plan says what it passes over, and so does the refusal of `--chunking key`.
#[track_caller]
fn expect_passed_over(cli: &Cli, source: &str, table: &str, why: &str) {
    let plan = ["plan", "--source", source, table];
    let said = cli.run(plan).expect_code(0).stdout.replace('\n', " ");
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(why), "{why}: {said}");
    let forced = [&plan[..], &["--chunking", "key"]].concat();
    let refused = cli.run(forced).expect_code(2).stderr;
    assert!(refused.contains(why), "{refused}");
}

#[test]
fn a_primary_key_that_cannot_be_cut_on_is_named() {
    let database = postgres().fresh_database_with("ENCODING 'SQL_ASCII' TEMPLATE template0");
    let cli = Cli::new();
    database.exec(
        "CREATE TABLE t (code text PRIMARY KEY, x text);
         INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(1, 200) AS i;
         INSERT INTO t VALUES (convert_from('\\xff'::bytea, 'SQL_ASCII'), 'x');
         CREATE TABLE j (body jsonb PRIMARY KEY);
         INSERT INTO j SELECT to_jsonb(i) FROM generate_series(1, 90) AS i; ANALYZE t, j",
    );
    let none = "the database has no encoding, so its text may be of bytes that no bound can say";
    let why = format!("the primary key's code is passed over: {none}");
    expect_passed_over(&cli, &database.url(), "public.t", &why);
    let why =
        "the primary key's body is passed over: jsonb has no order that bounds can be written in";
    expect_passed_over(&cli, &database.url(), "public.j", why);
    let flags = [
        "--workers",
        "3",
        "--chunk-rows",
        "7",
        "--type",
        "code=binary",
    ];
    let run = extract(&cli, &database.url(), "public.t", "out", &flags);
    assert_eq!(run.plan().spec.strategy, Strategy::CtidChunking);
    let expected =
        database.query_text("SELECT encode(convert_to(code, 'SQL_ASCII'), 'hex'), x FROM t");
    expect_rows(&run, "t", expected);
}
