//! `--proof full`: of every chunk the server's own rows and sum of keys, in the same snapshot, against
//! the written files, read back.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::cli::fails;
use crate::extraction::Extraction;
use crate::gate::Gate;
use crate::ixtract::Cli;
use crate::servers::mysql::both;
use crate::servers::{Postgres, postgres};

/// Runs with a full proof in several chunks and every format; gives the last manifest's proof.
#[track_caller]
pub(crate) fn prove(extraction: &Extraction, rows: u64) -> Value {
    let mut proof = Value::Null;
    for format in ["parquet", "csv"] {
        let flags = ["--proof", "full", "--workers", "2", "--chunk-rows", "40"];
        let flags = [&flags[..], &["--format", format, "--json"]].concat();
        let report = extraction.run(&flags).expect_code(0).json();
        proof = extraction.manifest()["proof"].clone();
        assert_eq!(
            (&proof["level"], &proof["rows"]),
            (&json!("full"), &json!(rows))
        );
        assert_eq!(report["proof"]["keys"], proof["keys"]);
        let verified = extraction
            .cli
            .run(["verify", "out", "--json"])
            .expect_code(0);
        assert_eq!(verified.json()["proof"], "full");
    }
    proof
}

/// Keys of every type that can be proved, of a server that writes `SELECT` from a series.
const POSTGRES: [(&str, &str); 8] = [
    ("smallint", "(i - 100)::smallint"),
    ("integer", "-2000000000 + i * 10000000"),
    ("bigint", "9223372036854775807 - i::bigint"),
    ("text", "repeat('ä€', i % 3) || E'\\n\",''' || i"),
    ("varchar(20)", "'k' || i"),
    ("uuid", "md5(i::text)::uuid"),
    ("numeric(20,4)", "i * 1.25 - 100"),
    ("date", "date '0044-03-15 BC' + i * 20000"),
];

#[test]
fn every_provable_key_of_postgresql() {
    for server in Postgres::versions() {
        let database = server.fresh_database();
        for (number, (kind, value)) in POSTGRES.into_iter().enumerate() {
            let table = format!("Table {number}");
            database.exec(&format!(
                "CREATE TABLE \"{table}\" (\"the \"\"key\" {kind} PRIMARY KEY, x int);
                 INSERT INTO \"{table}\" SELECT {value}, i FROM generate_series(1, 150) AS i;
                 ANALYZE \"{table}\""
            ));
            let proof = prove(
                &Extraction::new(database.url(), &format!("\"{table}\"")),
                150,
            );
            assert_eq!(proof["keys"]["columns"], json!(["the \"key"]), "{kind}");
        }
    }
}

#[test]
fn composite_keys_partitions_blocks_and_filters_of_postgresql() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE parted (tenant text, id bigint, x int, PRIMARY KEY (tenant, id))
             PARTITION BY HASH (id);
         CREATE TABLE parted_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE parted_2 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
         INSERT INTO parted SELECT 't' || i % 7, i, i FROM generate_series(1, 200) AS i;
         ANALYZE parted",
    );
    for chunking in ["key", "auto", "none"] {
        let extraction = Extraction::new(database.url(), "parted");
        let flags = [
            "--proof",
            "full",
            "--chunk-rows",
            "30",
            "--chunking",
            chunking,
        ];
        let where_flags = [&flags[..], &["--where", "x % 3 <> 0 -- all of it"]].concat();
        extraction.run(&where_flags).expect_code(0);
        assert_eq!(extraction.manifest()["rows"], 134);
        assert_eq!(
            extraction.manifest()["proof"]["keys"]["columns"],
            json!(["tenant", "id"])
        );
    }
    // An empty table has nothing to sum, and that is summed too.
    database.exec("CREATE TABLE nothing (id int PRIMARY KEY)");
    prove(&Extraction::new(database.url(), "nothing"), 0);
}

#[test]
fn the_sums_are_of_the_snapshot_whatever_is_written_meanwhile() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id bigint PRIMARY KEY);
         INSERT INTO t SELECT generate_series(1, 1000); ANALYZE t",
    );
    let extraction = Extraction::new(database.url(), "t");
    let gate = Gate::shut(&database);
    let flags = ["--proof", "full", "--chunk-rows", "200", "--workers", "2"];
    let running = extraction.spawn(&[&flags[..], &["--where", Gate::FILTER]].concat());
    gate.wait_for_readers(1);
    database
        .exec("DELETE FROM t WHERE id % 2 = 0; INSERT INTO t SELECT generate_series(5001, 6000)");
    gate.open();
    running.wait().expect_code(0);
    assert_eq!(extraction.rows().len(), 1000);
}

#[test]
fn every_provable_key_of_mysql() {
    for server in both() {
        let database = server.fresh_database();
        database.exec(
            "CREATE TABLE digits (d int); INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)",
        );
        let series = "(SELECT a.d + 10 * b.d AS i FROM digits a, digits b) AS s";
        for (number, (kind, value)) in [
            ("TINYINT", "i - 50"),
            ("INT(10) UNSIGNED ZEROFILL", "i * 7"),
            ("BIGINT", "9223372036854775807 - i"),
            ("BIGINT UNSIGNED", "18446744073709551615 - i"),
            ("DECIMAL(20,4)", "i * 1.25 - 50"),
            ("DATE", "DATE_ADD('1000-01-01', INTERVAL i * 10000 DAY)"),
            (
                "VARCHAR(30) CHARACTER SET latin1",
                "CONCAT('ä', i, '\\'\"')",
            ),
            (
                "VARCHAR(30) CHARACTER SET utf8mb4",
                "CONCAT(_utf8mb4 x'F09F9880', i)",
            ),
            ("CHAR(10)", "CONCAT('k', i)"),
        ]
        .into_iter()
        .enumerate()
        {
            database.exec(&format!(
                "CREATE TABLE t{number} (`the ``key` {kind} NOT NULL, x int NOT NULL,
                     PRIMARY KEY (`the ``key`, x)) ENGINE = InnoDB"
            ));
            database.exec(&format!(
                "INSERT INTO t{number} SELECT {value}, i % 3 FROM {series}"
            ));
            let extraction = Extraction::new(database.url(), &format!("t{number}"));
            let proof = prove(&extraction, 100);
            assert_eq!(proof["keys"]["columns"], json!(["the `key", "x"]), "{kind}");
        }
    }
}

#[test]
fn every_provable_key_of_sqlite() {
    let cli = Cli::new();
    let path = cli.home().join("source.db");
    let database = Connection::open(&path).expect("a database");
    for (table, key, value) in [
        ("a", "id INTEGER PRIMARY KEY", "i * 1000000007 - 5"),
        ("b", "id TEXT NOT NULL PRIMARY KEY", "'ä€\"' || i"),
    ] {
        // Where rows have numbers, those are what SQLite offers as the key.
        let rowid = if table == "b" { " WITHOUT ROWID" } else { "" };
        database
            .execute_batch(&format!(
                "CREATE TABLE {table} ({key}, x INT){rowid};
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 150)
                 INSERT INTO {table} SELECT {value}, i FROM n"
            ))
            .expect("a table");
        let url = format!("sqlite:{}", path.display());
        let proof = prove(&Extraction::new(url, table), 150);
        assert_eq!(proof["keys"]["columns"], json!(["id"]));
    }
}

#[test]
fn what_cannot_be_proved_in_full_is_refused_before_reading() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE bare (id int); CREATE TABLE keyed (id int PRIMARY KEY, x text);
         CREATE TABLE loose (id int UNIQUE);
         CREATE TABLE moments (at timestamptz PRIMARY KEY);
         CREATE TABLE free (id numeric PRIMARY KEY);
         CREATE VIEW seen AS SELECT * FROM keyed",
    );
    let full = ["--proof", "full"];
    for (table, flags, why) in [
        ("bare", &[][..], "no unique key without NULLs"),
        ("loose", &[], "no unique key without NULLs"),
        ("seen", &[], "no unique key without NULLs"),
        (
            "keyed",
            &["--columns", "x"],
            "column id of its key id is not written",
        ),
        (
            "keyed",
            &["--type", "id=decimal(12,2)"],
            "is integer written as decimal(12,2)",
        ),
        (
            "keyed",
            &["--on-unrepresentable", "null"],
            "column id of its key id",
        ),
        (
            "keyed",
            &["--consistency", "per-chunk"],
            "at its own point in time",
        ),
        ("moments", &[], "timestamp with time zone"),
        ("free", &[], "column id of its key id is numeric"),
    ] {
        let extraction = Extraction::new(database.url(), table);
        let flags = [&full[..], flags, &["--json"]].concat();
        let failure = fails(extraction.run(&flags), 2, ["in full", why, "--proof"]);
        assert!(failure.what.contains(table), "{}", failure.what);
        assert!(!extraction.dataset().exists());
    }
    let query = Extraction::of_query(database.url(), "SELECT 1 AS id", "one");
    fails(
        query.run(&["--proof", "full", "--json"]),
        2,
        ["in full", "no unique key", ""],
    );
}

#[test]
fn a_plan_says_what_will_be_summed_and_a_replay_sums_it_again() {
    let database = postgres().fresh_database();
    database
        .exec("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 100)");
    let extraction = Extraction::new(database.url(), "t");
    let plan = extraction
        .cli
        .run(extraction.words("plan", &["--proof", "full", "--json", "--out", "plan.json"]))
        .expect_code(0)
        .json();
    let spec = &plan["plan"]["spec"];
    assert_eq!(
        (&spec["proof"], &spec["proof_key"]),
        (&json!("full"), &json!(["id"]))
    );
    let url = database.url();
    let words = [
        "run",
        "--plan",
        "plan.json",
        "--source",
        &url,
        "--output",
        "out",
    ];
    extraction.cli.run(words).expect_code(0);
    let first = extraction.manifest();
    let words = ["replay", "last", "--source", &url, "--output", "again"];
    extraction.cli.run(words).expect_code(0);
    let again = crate::extraction::manifest(&extraction.cli.home().join("again"));
    assert_eq!(first["fingerprint"], again["fingerprint"]);
    for manifest in [first, again] {
        assert_eq!(manifest["proof"]["keys"]["columns"], json!(["id"]));
    }
}
