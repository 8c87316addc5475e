//! Any relation with any name can be extracted.

use super::orders;
use crate::extraction::Extraction;
use crate::servers::postgres;

#[test]
fn odd_names_need_no_care() {
    // As a person would type it, as the server stores it.
    let names = [
        ("two words", "two words"),
        ("Upper", "Upper"),
        ("it's", "it's"),
        ("double\"quote", "double\"quote"),
        ("with.dot", "with.dot"),
        ("select", "select"),
        ("tübingen", "tübingen"),
        ("📦", "📦"),
        ("back\\slash", "back\\slash"),
        ("per%cent", "per%cent"),
        ("new\nline", "new\nline"),
        ("public.\"lit.eral\"", "lit.eral"),
        ("\"Quoted\"", "Quoted"),
        ("FOLDED", "folded"),
    ];
    let database = postgres().fresh_database();
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    for (typed, stored) in names {
        let (table, column) = (quoted(stored), quoted(&format!("k {stored}")));
        database.exec(&format!(
            "CREATE TABLE {table} ({column} bigint PRIMARY KEY, other int);
             INSERT INTO {table} SELECT i, i FROM generate_series(1, 100) AS i"
        ));
        let extraction = Extraction::new(database.url(), typed);
        let options = ["--workers", "2", "--chunk-rows", "30", "--chunking", "key"];
        extraction.run(&options).expect_code(0);
        assert_eq!(extraction.count(), 100, "{typed}");
        assert_eq!(extraction.manifest()["relation"]["name"], stored);
        // The name of the output is made of it where nobody says otherwise.
        let words = extraction.words("run", &["--quiet"]);
        extraction.cli.run(words).expect_code(0);
    }
}

#[test]
fn a_name_in_two_schemas_has_to_be_told_apart() {
    let (database, _) = orders();
    database.exec(
        "CREATE SCHEMA \"My Schema\"; CREATE TABLE \"My Schema\".orders (id int);
         CREATE SCHEMA other; CREATE TABLE other.thing (id int); CREATE SCHEMA third;
         CREATE TABLE third.thing (id int)",
    );
    for (typed, schema) in [
        ("My Schema.orders", "My Schema"),
        ("\"My Schema\".\"orders\"", "My Schema"),
        ("public.orders", "public"),
    ] {
        let extraction = Extraction::new(database.url(), typed);
        extraction.run(&[]).expect_code(0);
        assert_eq!(
            extraction.manifest()["relation"]["schema"],
            schema,
            "{typed}"
        );
    }
    let outcome = Extraction::new(database.url(), "thing").run(&[]);
    let failure = super::fails(
        outcome,
        64,
        ["thing", "\"other\".\"thing\"", "schema.table"],
    );
    assert!(
        failure.why.contains("\"third\".\"thing\""),
        "{}",
        failure.why
    );
}

#[test]
fn every_kind_of_relation_is_read() {
    let (database, _) = orders();
    database.exec(
        "CREATE VIEW a_view AS SELECT * FROM orders WHERE id <= 3;
         CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM orders WHERE id <= 4;
         CREATE TABLE parent (id bigint, day date NOT NULL, PRIMARY KEY (id, day))
             PARTITION BY RANGE (day);
         CREATE TABLE jan PARTITION OF parent FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
         CREATE TABLE rest PARTITION OF parent DEFAULT;
         INSERT INTO parent SELECT i, '2026-01-15'::date + i FROM generate_series(1, 50) AS i;
         CREATE TABLE ancestor (id bigint); CREATE TABLE heir () INHERITS (ancestor);
         INSERT INTO ancestor VALUES (1); INSERT INTO heir VALUES (2), (3);
         CREATE TABLE nothing (id bigint PRIMARY KEY, note text);
         CREATE TABLE one (id bigint PRIMARY KEY); INSERT INTO one VALUES (7);
         CREATE TABLE keyless (note text); INSERT INTO keyless VALUES ('a'), (NULL), ('a')",
    );
    for (table, rows) in [
        ("a_view", 3),
        ("a_matview", 4),
        ("parent", 50),
        ("jan", 16),
        ("ancestor", 3),
        ("nothing", 0),
        ("one", 1),
        ("keyless", 3),
    ] {
        for options in [&[][..], &["--workers", "3", "--chunk-rows", "1"]] {
            let extraction = Extraction::new(database.url(), table);
            extraction.run(options).expect_code(0);
            assert_eq!(extraction.count(), rows, "{table} {options:?}");
            assert_eq!(extraction.manifest()["proof"]["counted"], rows, "{table}");
        }
    }
}

#[test]
fn an_empty_table_has_its_schema() {
    let database = postgres().fresh_database();
    database.exec("CREATE TABLE nothing (id bigint PRIMARY KEY, note text, at timestamptz)");
    let extraction = Extraction::new(database.url(), "nothing");
    extraction.run(&[]).expect_code(0);
    assert_eq!(extraction.count(), 0);
    let columns = crate::readers::schema(crate::readers::Engine::Polars, &extraction.dataset());
    let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
    assert_eq!(names, ["id", "note", "at"]);
}

#[test]
fn a_table_that_was_never_analysed_is_read_whole() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE fresh (id int PRIMARY KEY, v int);
         ALTER TABLE fresh SET (autovacuum_enabled = false);
         INSERT INTO fresh SELECT i, i FROM generate_series(-5000, 5000) AS i",
    );
    let extraction = Extraction::new(database.url(), "fresh");
    for chunking in ["key", "ctid", "none", "auto"] {
        let options = [
            "--chunking",
            chunking,
            "--chunk-rows",
            "700",
            "--workers",
            "3",
        ];
        extraction.run(&options).expect_code(0);
        assert_eq!(extraction.count(), 10_001, "{chunking}");
    }
}

#[test]
fn keys_at_the_ends_of_64_bits_and_null_ones_are_read() {
    let database = postgres().fresh_database();
    database.exec(&format!(
        "CREATE TABLE ends (id bigint UNIQUE);
         INSERT INTO ends VALUES ({}), ({}), (0), (-1), (1), (NULL), (NULL);
         INSERT INTO ends SELECT i::bigint * 1000000007 FROM generate_series(2, 2000) AS i; ANALYZE ends",
        i64::MIN,
        i64::MAX
    ));
    for chunking in ["key", "ctid"] {
        let extraction = Extraction::new(database.url(), "ends");
        let options = [
            "--chunking",
            chunking,
            "--chunk-rows",
            "100",
            "--workers",
            "3",
        ];
        extraction.run(&options).expect_code(0);
        let rows = extraction.rows();
        assert_eq!(rows.len(), 2006, "{chunking}");
        let nulls = rows.iter().filter(|row| row[0].is_none()).count();
        assert_eq!(nulls, 2, "{chunking}");
        assert!(rows.iter().any(|row| row[0] == Some(i64::MIN.to_string())));
        assert!(rows.iter().any(|row| row[0] == Some(i64::MAX.to_string())));
    }
}
