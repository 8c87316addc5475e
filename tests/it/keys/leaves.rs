//! Partitions and children, each read by itself in block ranges, or by way of their parent.

use ixtract::model::{ChunkBounds, Strategy};

use super::expect_rows;
use crate::ixtract::Cli;
use crate::published::{Published, extract};
use crate::servers::{Address, Database, postgres};

#[track_caller]
fn check(database: &Database, source: &Address, cli: &Cli, table: &str, name: &str) -> Published {
    let flags = ["--workers", "3", "--chunk-rows", "20"];
    let table = format!("public.{table}");
    let run = extract(cli, &source.to_string(), &table, name, &flags);
    let rows = database.query_text(&format!("SELECT * FROM {table}"));
    expect_rows(&run, name, rows);
    run
}

/// The names of the leaves that were read apart.
fn leaves(run: &Published) -> Vec<String> {
    let chunks = run.chunks();
    let mut leaves: Vec<String> = chunks
        .iter()
        .filter_map(ChunkBounds::leaf)
        .map(|leaf| leaf.name.clone())
        .collect();
    leaves.dedup();
    leaves
}

const PARTS: &str = "
    CREATE TABLE parts (id int8, x text) PARTITION BY RANGE (id);
    CREATE TABLE low PARTITION OF parts FOR VALUES FROM (MINVALUE) TO (50);
    CREATE TABLE high PARTITION OF parts FOR VALUES FROM (50) TO (200) PARTITION BY HASH (x);
    CREATE TABLE \"high 'A'\" PARTITION OF high FOR VALUES WITH (MODULUS 2, REMAINDER 0);
    -- Its columns lie in another order, and one was dropped.
    CREATE TABLE high_b (x text, gone int4, id int8);
    ALTER TABLE high_b DROP COLUMN gone;
    ALTER TABLE high ATTACH PARTITION high_b FOR VALUES WITH (MODULUS 2, REMAINDER 1);
    CREATE TABLE empty PARTITION OF parts DEFAULT;
    INSERT INTO parts SELECT i, repeat(md5(i::text), 20) FROM generate_series(1, 199) AS i;
    ANALYZE";

#[test]
fn every_leaf_is_read_by_itself() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(PARTS);
    let run = check(&database, database.address(), &cli, "parts", "parts");
    assert_eq!(leaves(&run), ["empty", "high 'A'", "high_b", "low"]);
    assert!(run.chunks().len() > 6, "{:?}", run.chunks());
    assert_eq!(run.plan().spec.strategy, Strategy::CtidChunking);
    // A filter is written for the parent.
    let filter = ["--where", "parts.id > 40"];
    let flags = [&["--workers", "2", "--chunk-rows", "20"][..], &filter].concat();
    let run = extract(&cli, &database.url(), "public.parts", "filtered", &flags);
    let rows = database.query_text("SELECT * FROM parts WHERE id > 40");
    expect_rows(&run, "filtered", rows);
    assert_eq!(leaves(&run), Vec::<String>::new());
}

#[test]
fn parents_and_children_are_read_once_each() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        "CREATE TABLE parent (id int8 PRIMARY KEY, x text);
         CREATE TABLE child (more int4) INHERITS (parent);
         CREATE TABLE other (id int8, x text);
         CREATE TABLE grandchild () INHERITS (child, other);
         INSERT INTO parent SELECT i, repeat('p', 900) FROM generate_series(1, 60) AS i;
         INSERT INTO child SELECT i, repeat('c', 900), i FROM generate_series(20, 70) AS i;
         INSERT INTO other SELECT i, 'o' FROM generate_series(1, 5) AS i;
         INSERT INTO grandchild SELECT i, repeat('g', 900), i FROM generate_series(1, 40) AS i;
         ANALYZE",
    );
    let run = check(&database, database.address(), &cli, "parent", "parent");
    assert_eq!(leaves(&run), ["child", "grandchild", "parent"]);
    assert!(run.chunks().len() > 5, "{:?}", run.chunks());
    for table in ["child", "other", "grandchild"] {
        check(&database, database.address(), &cli, table, table);
    }
}

#[test]
fn leaves_that_may_not_be_read_alone_are_read_by_way_of_the_parent() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(PARTS);
    database.exec("CREATE INDEX ON parts (id); ANALYZE");
    let role = database.limited_role();
    database.exec(&format!(
        "GRANT SELECT ON parts, low, high_b, empty TO {}",
        role.user
    ));
    let run = check(&database, &role, &cli, "parts", "granted");
    assert_eq!(leaves(&run), Vec::<String>::new());
    assert_eq!(run.plan().spec.strategy, Strategy::RangeChunking);
    // With the last one granted they may.
    database.exec(&format!("GRANT SELECT ON \"high 'A'\" TO {}", role.user));
    let run = check(&database, &role, &cli, "parts", "all_granted");
    assert_eq!(leaves(&run).len(), 4, "{:?}", run.chunks());
    // Policies of a leaf hide nothing from those who come by the parent.
    database.exec("ALTER TABLE low ENABLE ROW LEVEL SECURITY");
    let run = check(&database, &role, &cli, "parts", "hidden");
    assert_eq!(leaves(&run), Vec::<String>::new());
}

#[test]
fn a_plan_of_other_leaves_is_refused() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(PARTS);
    let url = database.url();
    let flags = ["--workers", "2", "--chunk-rows", "20", "--out", "plan.json"];
    let plan = ["plan", "public.parts", "--source", &url, "--output", "out"];
    cli.run([&plan[..], &flags].concat()).expect_code(0);
    database.exec("CREATE TABLE more PARTITION OF parts FOR VALUES FROM (300) TO (400)");
    let run = [
        "run",
        "--source",
        &url,
        "--output",
        "out",
        "--plan",
        "plan.json",
    ];
    let outcome = cli.run(run);
    assert_ne!(outcome.code, 0, "{outcome:#?}");
    assert!(outcome.stderr.contains("leaves"), "{outcome:#?}");
}
