//! Keys of PostgreSQL, and tables without one.

use ixtract::model::{ChunkBounds, Strategy};

use super::expect_rows;
use crate::ixtract::Cli;
use crate::published::{Published, extract};
use crate::servers::{Database, postgres};

/// Three workers and chunks of about seven rows, unless more flags say otherwise.
#[track_caller]
fn check(database: &Database, cli: &Cli, table: &str, flags: &[&str]) -> Published {
    let name = format!("{}_{}", table.replace(['.', '"'], "_"), flags.join("_"));
    let mut flags = flags.to_vec();
    for default in [["--workers", "3"], ["--chunk-rows", "7"]] {
        if !flags.contains(&default[0]) {
            flags.extend(default);
        }
    }
    let run = extract(cli, &database.url(), table, &name, &flags);
    expect_rows(
        &run,
        &name,
        database.query_text(&format!("SELECT * FROM {table}")),
    );
    run
}

/// Reads by key and by blocks; both must have been cut into several chunks.
#[track_caller]
fn check_both(database: &Database, cli: &Cli, table: &str) {
    for chunking in ["key", "ctid"] {
        let run = check(database, cli, table, &["--chunking", chunking]);
        assert!(
            run.chunks().len() > 1,
            "{table}, {chunking}: {:?}",
            run.chunks()
        );
    }
}

/// Rows wide enough that a few of them fill a block, so that blocks can be cut.
const WIDE: &str = "repeat(md5(i::text), 20)";

#[test]
fn keys_at_both_ends_of_64_bits_and_of_narrower_types() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(&format!(
        "CREATE TABLE big (id int8 PRIMARY KEY, x text);
         INSERT INTO big SELECT -9223372036854775808 + i, {WIDE} FROM generate_series(0, 19) AS i;
         INSERT INTO big SELECT 9223372036854775807 - i, {WIDE} FROM generate_series(0, 19) AS i;
         INSERT INTO big SELECT i, {WIDE} FROM generate_series(-20, 20) AS i;
         CREATE TABLE small (id int2 PRIMARY KEY, x text);
         INSERT INTO small SELECT i, {WIDE} FROM generate_series(-32768, -32740) AS i;
         INSERT INTO small SELECT i, {WIDE} FROM generate_series(32740, 32767) AS i;
         CREATE TABLE middle (id int4 PRIMARY KEY, x text);
         INSERT INTO middle VALUES (-2147483648, 'low'), (2147483647, 'high');
         INSERT INTO middle SELECT i, {WIDE} FROM generate_series(-30, -1) AS i;
         CREATE TABLE ends (id int8 PRIMARY KEY);
         INSERT INTO ends VALUES (-9223372036854775808), (9223372036854775807);
         ANALYZE big, small, middle, ends"
    ));
    check_both(&database, &cli, "public.big");
    check_both(&database, &cli, "public.small");
    check_both(&database, &cli, "public.middle");
    check(
        &database,
        &cli,
        "public.ends",
        &["--chunking", "key", "--chunk-rows", "1"],
    );
}

#[test]
fn gaps_and_heaps_of_keys() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(&format!(
        "CREATE TABLE gaps (id int8 PRIMARY KEY, x text);
         INSERT INTO gaps SELECT i::int8 * i * i * 1000003, {WIDE} FROM generate_series(-40, 40) AS i;
         CREATE TABLE heap (k int4, n int4, x text);
         INSERT INTO heap SELECT 42, i, {WIDE} FROM generate_series(1, 60) AS i;
         CREATE INDEX ON heap (k);
         CREATE TABLE lopsided (id int8 PRIMARY KEY, x text);
         INSERT INTO lopsided SELECT i, {WIDE} FROM generate_series(1, 150) AS i;
         INSERT INTO lopsided SELECT i * 1000000000::int8, 'far' FROM generate_series(1, 10) AS i;
         CREATE TABLE unanalysed (LIKE lopsided INCLUDING ALL);
         ALTER TABLE unanalysed SET (autovacuum_enabled = off);
         INSERT INTO unanalysed SELECT * FROM lopsided;
         ANALYZE gaps, heap, lopsided"
    ));
    check_both(&database, &cli, "public.gaps");
    check(&database, &cli, "public.heap", &["--chunking", "key"]);
    check(&database, &cli, "public.heap", &["--chunking", "ctid"]);
    check_both(&database, &cli, "public.lopsided");
    check_both(&database, &cli, "public.unanalysed");
}

/// Dense keys with a few far away: chunks of equal width would put nearly all into one.
#[test]
fn chunks_follow_the_density_of_keys() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        "CREATE TABLE t (id int8 PRIMARY KEY, x int8);
         INSERT INTO t SELECT i, i FROM generate_series(1, 20000) AS i;
         INSERT INTO t SELECT i * 1000000000000, i FROM generate_series(1, 200) AS i;
         CREATE TABLE unanalysed (LIKE t INCLUDING ALL);
         ALTER TABLE unanalysed SET (autovacuum_enabled = off);
         INSERT INTO unanalysed SELECT * FROM t; ANALYZE t",
    );
    for table in ["public.t", "public.unanalysed"] {
        let flags = ["--chunking", "key", "--chunk-rows", "2000"];
        let run = check(&database, &cli, table, &flags);
        let files = run.manifest["files"].as_array().expect("files");
        let largest = files
            .iter()
            .filter_map(|file| file["rows"].as_u64())
            .max()
            .expect("files");
        assert!(
            largest < 10_000,
            "{table}: one chunk of about 2000 rows has {largest}"
        );
    }
}

#[test]
fn null_keys_have_a_chunk_of_their_own() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        "CREATE TABLE part (k int8 UNIQUE, x text);
         INSERT INTO part SELECT CASE WHEN i % 3 > 0 THEN i END, 'row ' || i
             FROM generate_series(1, 90) AS i;
         CREATE TABLE whole (k int8 UNIQUE, x text);
         INSERT INTO whole SELECT NULL, 'row ' || i FROM generate_series(1, 30) AS i;
         ANALYZE part, whole",
    );
    let run = check(&database, &cli, "public.part", &["--chunking", "key"]);
    let nulls = run
        .chunks()
        .iter()
        .filter(|bounds| **bounds == ChunkBounds::KeyNull)
        .count();
    assert_eq!(nulls, 1, "{:?}", run.chunks());
    assert!(run.chunks().len() > 3, "{:?}", run.chunks());
    check(&database, &cli, "public.whole", &["--chunking", "key"]);
    // A filter must not lose what a chunk's own condition says.
    let flags = ["--chunking", "key", "--workers", "2", "--chunk-rows", "7"];
    let filter = "x LIKE '%1' OR x LIKE '%2'";
    let flags = [&flags[..], &["--where", filter]].concat();
    let run = extract(&cli, &database.url(), "public.part", "filtered", &flags);
    let wanted = database.query_text(&format!("SELECT * FROM part WHERE {filter}"));
    expect_rows(&run, "filtered", wanted);
}

#[test]
fn statistics_that_are_missing_or_out_of_date_lose_no_row() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    let table = |name: &str| {
        format!(
            "CREATE TABLE {name} (id int8 PRIMARY KEY, x text) WITH (autovacuum_enabled = off);
             INSERT INTO {name} SELECT i, {WIDE} FROM generate_series(1000, 1099) AS i;"
        )
    };
    database.exec(
        &[
            table("never"),
            table("grown"),
            table("moved"),
            table("emptied"),
        ]
        .concat(),
    );
    database.exec(&format!(
        "ANALYZE grown, moved, emptied;
         INSERT INTO grown SELECT i, {WIDE} FROM generate_series(1100, 1999) AS i;
         INSERT INTO moved SELECT i, {WIDE} FROM generate_series(1, 50) AS i;
         INSERT INTO moved SELECT i, {WIDE} FROM generate_series(900000, 900050) AS i;
         INSERT INTO moved VALUES (-9223372036854775808, 'low'), (9223372036854775807, 'high');
         DELETE FROM emptied"
    ));
    check_both(&database, &cli, "public.never");
    check_both(&database, &cli, "public.moved");
    check(&database, &cli, "public.emptied", &["--chunking", "key"]);
    check(&database, &cli, "public.emptied", &["--chunking", "ctid"]);
    // Ten times the rows: chunks must have followed.
    for chunking in ["key", "ctid"] {
        let flags = ["--chunking", chunking, "--chunk-rows", "50"];
        let run = check(&database, &cli, "public.grown", &flags);
        assert!(
            run.chunks().len() > 8,
            "{chunking}: {} chunks",
            run.chunks().len()
        );
    }
}

/// The strategy that a run took on its own.
fn chosen(run: &Published) -> Strategy {
    run.plan().spec.strategy
}

#[test]
fn only_whole_plain_indexes_give_keys() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        "CREATE TABLE composite (a int4, b int4, x text, PRIMARY KEY (a, b));
         INSERT INTO composite SELECT i / 10, i % 10, 'row' FROM generate_series(1, 95) AS i;
         CREATE TABLE partial (id int8, x text);
         INSERT INTO partial SELECT i, 'row' FROM generate_series(1, 50) AS i;
         CREATE UNIQUE INDEX ON partial (id) WHERE id > 25;
         CREATE TABLE expression (id int8, x text);
         INSERT INTO expression SELECT i, 'row' FROM generate_series(1, 50) AS i;
         CREATE UNIQUE INDEX ON expression ((id % 1000));
         CREATE TABLE invalid (id int8, x text);
         INSERT INTO invalid SELECT i, 'row' FROM generate_series(1, 50) AS i;
         CREATE INDEX broken ON invalid (id);
         UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'broken'::regclass;
         CREATE TABLE hashed (id int8, x text);
         INSERT INTO hashed SELECT i, 'row' FROM generate_series(1, 50) AS i;
         CREATE INDEX ON hashed USING hash (id);
         ANALYZE composite, partial, expression, invalid, hashed",
    );
    let composite = check(&database, &cli, "public.composite", &["--chunking", "key"]);
    assert!(composite.chunks().len() > 3, "{:?}", composite.chunks());
    for table in [
        "public.partial",
        "public.expression",
        "public.invalid",
        "public.hashed",
    ] {
        let run = check(&database, &cli, table, &[]);
        assert_ne!(chosen(&run), Strategy::RangeChunking, "{table}");
        let outcome = crate::published::attempt(
            &cli,
            &database.url(),
            table,
            "refused",
            &["--chunking", "key"],
        );
        assert_eq!(
            outcome.code, 2,
            "{table}: --chunking key without a key: {outcome:#?}"
        );
    }
}

#[test]
fn without_a_key_blocks_or_one_chunk_hold_every_row() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(&format!(
        "CREATE TABLE keyless (a text, b text);
         INSERT INTO keyless SELECT 'same', {WIDE} FROM generate_series(1, 80) AS i;
         INSERT INTO keyless SELECT 'same', 'same' FROM generate_series(1, 20);
         CREATE TABLE none (a text);
         CREATE TABLE dead (a text, b text) WITH (autovacuum_enabled = off);
         INSERT INTO dead SELECT i::text, {WIDE} FROM generate_series(1, 200) AS i;
         DELETE FROM dead WHERE a::int % 10 > 0;
         CREATE VIEW seen AS SELECT * FROM keyless WHERE a = 'same';
         CREATE MATERIALIZED VIEW kept AS SELECT * FROM keyless;
         ANALYZE keyless, dead, kept"
    ));
    let keyless = check(&database, &cli, "public.keyless", &[]);
    assert_eq!(chosen(&keyless), Strategy::CtidChunking);
    check(&database, &cli, "public.keyless", &["--chunking", "none"]);
    check(&database, &cli, "public.none", &[]);
    check(&database, &cli, "public.none", &["--chunking", "ctid"]);
    check(&database, &cli, "public.dead", &["--chunking", "ctid"]);
    let seen = check(&database, &cli, "public.seen", &[]);
    assert_eq!(chosen(&seen), Strategy::SinglePass);
    check(&database, &cli, "public.kept", &[]);
}

#[test]
fn partitions_and_children_are_read_once() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        "CREATE TABLE parted (id int8 PRIMARY KEY, x text) PARTITION BY RANGE (id);
         CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (MINVALUE) TO (50);
         CREATE TABLE parted_high PARTITION OF parted FOR VALUES FROM (50) TO (MAXVALUE)
             PARTITION BY HASH (id);
         CREATE TABLE parted_a PARTITION OF parted_high FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE parted_b PARTITION OF parted_high FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         INSERT INTO parted SELECT i, 'row ' || i FROM generate_series(1, 150) AS i;
         CREATE TABLE parent (id int8 PRIMARY KEY, x text);
         CREATE TABLE child (more int) INHERITS (parent);
         INSERT INTO parent SELECT i, 'parent' FROM generate_series(1, 40) AS i;
         INSERT INTO child SELECT i, 'child', i FROM generate_series(20, 70) AS i;
         CREATE TABLE empty_parent (id int8, x text) PARTITION BY LIST (id);
         ANALYZE",
    );
    let keyed = check(&database, &cli, "public.parted", &["--chunking", "key"]);
    assert!(keyed.chunks().len() > 3, "{:?}", keyed.chunks());
    for table in [
        "public.parted",
        "public.parent",
        "public.child",
        "public.empty_parent",
    ] {
        check(&database, &cli, table, &[]);
    }
    check(&database, &cli, "public.parted_low", &["--chunking", "key"]);
    check(&database, &cli, "public.parted_high", &[]);
}
