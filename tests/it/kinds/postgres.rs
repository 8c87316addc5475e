//! PostgreSQL's kinds of relation.

use serde_json::Value;

use super::expect_rows;
use crate::cli::fails;
use crate::extraction::{Extraction, sort_key};
use crate::gate::Gate;
use crate::readers::{Engine, rows, schema};
use crate::servers::{Postgres, postgres};

#[test]
fn a_refresh_meanwhile_changes_nothing() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE base (id bigint PRIMARY KEY, v int);
         INSERT INTO base SELECT i, i FROM generate_series(1, 1000) AS i;
         CREATE MATERIALIZED VIEW m AS SELECT * FROM base; CREATE UNIQUE INDEX ON m (id); ANALYZE",
    );
    let before = database.query_text("SELECT * FROM m ORDER BY id");
    let gate = Gate::shut(&database);
    let extraction = Extraction::new(database.url(), "m");
    let flags = [
        "--workers",
        "3",
        "--chunk-rows",
        "300",
        "--where",
        Gate::FILTER,
    ];
    let run = extraction.spawn(&flags);
    gate.wait_for_readers(3);
    database.exec(
        "UPDATE base SET v = -v; DELETE FROM base WHERE id % 2 = 0;
         REFRESH MATERIALIZED VIEW CONCURRENTLY m",
    );
    gate.open();
    run.wait().expect_code(0);
    assert_eq!(extraction.rows(), before);
    let consistency = &extraction.manifest()["consistency"];
    assert_eq!(consistency["level"], "shared-snapshot");
    assert_eq!(consistency["held_by"], "relfilenode check");
    // What replaces the file waits for us, and is there for the next run.
    database.exec("REFRESH MATERIALIZED VIEW m");
    extraction.run(&[]).expect_code(0);
    assert_eq!(
        extraction.rows(),
        database.query_text("SELECT * FROM m ORDER BY id")
    );
}

#[test]
fn a_materialized_view_without_content_has_the_servers_words() {
    let database = postgres().fresh_database();
    database.exec("CREATE MATERIALIZED VIEW m AS SELECT 1 AS id WITH NO DATA");
    let extraction = Extraction::new(database.url(), "m");
    let outcome = extraction.run(&[]);
    fails(outcome, 1, ["public.m", "has not been populated", ""]);
    assert!(!extraction.dataset().exists());
}

#[test]
fn views_of_all_sorts_are_read() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE base (id bigint PRIMARY KEY, part text);
         INSERT INTO base SELECT i, 'p' || i % 3 FROM generate_series(1, 60) AS i;
         CREATE MATERIALIZED VIEW m AS SELECT * FROM base WHERE id > 10;
         CREATE VIEW over_m AS SELECT * FROM m WHERE id % 2 = 0;
         CREATE VIEW grouped AS SELECT part, count(*) AS n, max(id) AS id FROM base GROUP BY part;
         CREATE VIEW nested AS SELECT v.id, g.n FROM over_m v CROSS JOIN grouped g;
         CREATE RECURSIVE VIEW counted (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counted WHERE n < 40;
         CREATE VIEW one_column AS SELECT 'x'::text COLLATE \"C\" AS x;
         CREATE VIEW nothing AS SELECT * FROM base WHERE false; ANALYZE",
    );
    for view in [
        "over_m",
        "grouped",
        "nested",
        "counted",
        "one_column",
        "nothing",
    ] {
        expect_rows(&database, view, &format!("SELECT * FROM {view}"));
    }
}

#[test]
fn each_row_of_an_inheritance_tree_comes_once() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE parent (id bigint PRIMARY KEY, note text);
         CREATE TABLE child (extra int) INHERITS (parent);
         CREATE TABLE other () INHERITS (parent);
         CREATE TABLE grandchild (more int) INHERITS (child, other);
         INSERT INTO parent SELECT i, 'parent' FROM generate_series(1, 40) AS i;
         INSERT INTO child SELECT i, 'child', i FROM generate_series(20, 70) AS i;
         INSERT INTO other SELECT i, NULL FROM generate_series(1, 30) AS i;
         INSERT INTO grandchild SELECT i, 'grand', 1, 2 FROM generate_series(35, 36) AS i;
         ANALYZE",
    );
    for table in ["parent", "child", "other", "grandchild"] {
        expect_rows(&database, table, &format!("SELECT * FROM {table}"));
    }
    // A column that is NOT NULL in the parent alone promises nothing of the children's rows.
    database.exec("ALTER TABLE ONLY parent ADD CHECK (id > 0) NO INHERIT");
    expect_rows(&database, "parent", "SELECT * FROM parent");
}

#[test]
fn each_row_of_a_partitioned_table_comes_once() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE p (id bigint, day date, region text) PARTITION BY RANGE (day);
         CREATE TABLE p_jan PARTITION OF p FOR VALUES FROM ('2026-01-01') TO ('2026-02-01')
             PARTITION BY LIST (region);
         CREATE TABLE p_jan_eu (region text, id bigint, gone int, day date);
         ALTER TABLE p_jan_eu DROP gone;
         ALTER TABLE p_jan ATTACH PARTITION p_jan_eu FOR VALUES IN ('eu');
         CREATE TABLE p_jan_rest PARTITION OF p_jan DEFAULT;
         CREATE TABLE p_rest PARTITION OF p DEFAULT; CREATE INDEX ON p (id);
         INSERT INTO p SELECT i, '2026-01-01'::date + i % 60, CASE WHEN i % 2 = 0 THEN 'eu' ELSE 'us' END
             FROM generate_series(1, 300) AS i;
         CREATE TABLE empty (id bigint PRIMARY KEY) PARTITION BY HASH (id); ANALYZE",
    );
    for table in ["p", "p_jan", "p_jan_eu", "p_rest"] {
        expect_rows(&database, table, &format!("SELECT * FROM {table}"));
    }
    expect_rows(&database, "empty", "SELECT * FROM empty");
}

#[test]
fn columns_of_every_origin_are_read() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (gone int, id int GENERATED ALWAYS AS IDENTITY, dropped text, a int,
             doubled int GENERATED ALWAYS AS (a * 2) STORED,
             other int GENERATED BY DEFAULT AS IDENTITY, last text, PRIMARY KEY (id));
         INSERT INTO t (gone, dropped, a) SELECT 1, 'x', i FROM generate_series(1, 50) AS i;
         ALTER TABLE t DROP gone; ALTER TABLE t DROP dropped; ALTER TABLE t DROP last;
         ALTER TABLE t ADD added numeric(5,2) DEFAULT 1.25; ALTER TABLE t ADD late text;
         INSERT INTO t (a, added, late) SELECT i, i, 'late' FROM generate_series(51, 60) AS i;
         CREATE UNLOGGED TABLE u (id int PRIMARY KEY, t text);
         INSERT INTO u SELECT i, 'u' || i FROM generate_series(1, 30) AS i",
    );
    expect_rows(&database, "t", "SELECT * FROM t");
    expect_rows(&database, "u", "SELECT * FROM u");
    let extraction = Extraction::new(database.url(), "t");
    extraction.run(&[]).expect_code(0);
    let generated: Vec<(String, Option<String>)> = schema(Engine::Pyarrow, &extraction.dataset())
        .into_iter()
        .map(|mut column| (column.name, column.metadata.remove("ixtract.generated")))
        .collect();
    let expected = [
        ("id", Some("identity always")),
        ("a", None),
        ("doubled", Some("generated stored")),
        ("other", Some("identity by default")),
        ("added", None),
        ("late", None),
    ];
    let expected = expected.map(|(name, note)| (name.to_owned(), note.map(str::to_owned)));
    assert_eq!(generated, expected);
}

#[test]
fn virtual_columns_are_read_where_the_server_has_them() {
    let newest = Postgres::versions().pop().expect("servers");
    assert!(newest.version() >= 18);
    let database = newest.fresh_database();
    database.exec(
        "CREATE TABLE t (id int PRIMARY KEY, a int, v int GENERATED ALWAYS AS (a + 1) VIRTUAL);
         INSERT INTO t SELECT i, i * 3 FROM generate_series(1, 40) AS i",
    );
    expect_rows(&database, "t", "SELECT * FROM t");
}

#[test]
fn the_widest_table_is_read() {
    let database = postgres().fresh_database();
    let columns: Vec<String> = (1..=1600).map(|i| format!("column_{i} int4")).collect();
    let values: Vec<String> = (1..=1600).map(|i| format!("i * {i}")).collect();
    database.exec(&format!(
        "CREATE TABLE wide ({}); INSERT INTO wide SELECT {} FROM generate_series(1, 3) AS i;
         CREATE INDEX ON wide (column_1)",
        columns.join(","),
        values.join(",")
    ));
    let mut expected = database.query_text("SELECT * FROM wide");
    expected.sort_by_cached_key(sort_key);
    let wide = Extraction::new(database.url(), "wide");
    wide.run(&["--workers", "2", "--chunk-rows", "1"])
        .expect_code(0);
    assert_eq!(wide.rows(), expected);
    let query = Extraction::of_query(database.url(), "SELECT * FROM wide", "wide");
    query.run(&[]).expect_code(0);
    let found = rows(Engine::Pyarrow, &query.dataset(), &["column_1"]);
    assert_eq!(found, expected);
}

#[test]
fn temporary_tables_of_others_are_not_in_the_way() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE SCHEMA s; CREATE TABLE s.orders (id int PRIMARY KEY);
         INSERT INTO s.orders SELECT generate_series(1, 5)",
    );
    let other = database.session();
    other.exec(
        "CREATE TEMP TABLE orders (id int, other text); CREATE TEMP TABLE only_there (id int)",
    );
    let extraction = Extraction::new(database.url(), "orders");
    extraction.run(&[]).expect_code(0);
    assert_eq!(extraction.count(), 5);
    assert_eq!(extraction.manifest()["relation"]["schema"], "s");
    let outcome = Extraction::new(database.url(), "only_there").run(&[]);
    fails(outcome, 64, ["only_there", "no table", ""]);
}

#[test]
fn a_version_that_cannot_address_blocks_reads_every_kind_too() {
    let oldest = Postgres::versions().remove(0);
    let database = oldest.fresh_database();
    database.exec(
        "CREATE TABLE t (id int PRIMARY KEY, v text);
         INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 60) AS i;
         CREATE VIEW v AS SELECT * FROM t; CREATE MATERIALIZED VIEW m AS SELECT * FROM t;
         CREATE TABLE c () INHERITS (t); INSERT INTO c VALUES (1, 'child')",
    );
    for table in ["t", "v", "m", "c"] {
        expect_rows(&database, table, &format!("SELECT * FROM {table}"));
    }
    let sql = "SELECT id, v FROM t WHERE id < 9";
    let extraction = Extraction::of_query(database.url(), sql, "q");
    extraction.run(&[]).expect_code(0);
    assert_eq!(
        extraction.rows(),
        database.query_text(&format!("{sql} ORDER BY id, v"))
    );
}

/// Blocks are numbered with 32 bits: a table of the greatest size has more than 4 billion of them,
/// and hundreds of billions of rows.
#[test]
fn the_last_block_numbers_mean_the_same_to_the_server() {
    use ixtract::model::{BlockRange, ChunkBounds};
    use ixtract::source::dialect::Dialect;
    for server in Postgres::versions() {
        let database = server.fresh_database();
        database.exec("CREATE TABLE t AS SELECT generate_series(1, 1000) AS i");
        let count = |start, end| {
            let bounds = ChunkBounds::Blocks(BlockRange { start, end });
            let predicate = Dialect::PostgreSql
                .predicate(&bounds, None)
                .expect("blocks");
            let sql = format!(
                "SELECT count(*) FROM t WHERE {}",
                predicate.expect("a bound")
            );
            database.query_text(&sql)[0][0].clone().expect("a count")
        };
        for edge in [1 << 31, u32::MAX - 1, u32::MAX] {
            assert_eq!(count(None, Some(edge)), "1000");
            assert_eq!(count(Some(edge), None), "0");
            assert_eq!(count(Some(0), Some(edge)), "1000");
            assert_eq!(count(Some(edge - 1), Some(edge)), "0");
        }
    }
}

#[test]
fn few_rows_have_few_files() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE one (id bigint PRIMARY KEY, t text); INSERT INTO one VALUES (7, NULL);
         CREATE TABLE none (id bigint PRIMARY KEY, t text);
         CREATE TABLE emptied (id bigint PRIMARY KEY);
         INSERT INTO emptied SELECT generate_series(1, 5000); DELETE FROM emptied; ANALYZE",
    );
    for (table, rows) in [("one", 1), ("none", 0), ("emptied", 0)] {
        expect_rows(&database, table, &format!("SELECT * FROM {table}"));
        let extraction = Extraction::new(database.url(), table);
        extraction
            .run(&["--workers", "4", "--chunk-rows", "1"])
            .expect_code(0);
        let files = extraction.manifest()["files"].as_array().map(Vec::len);
        assert_eq!(files, Some(1), "{table} of {rows}");
        let names: Vec<Value> = schema(Engine::DuckDb, &extraction.dataset())
            .into_iter()
            .map(|column| column.name.into())
            .collect();
        assert_eq!(names[0], "id", "{table}");
    }
}
