//! Proofs in full, by the server's own digests; and unfinished runs gone on with.

use serde_json::json;

use super::numbered;
use crate::cli::fails;
use crate::extraction::{Extraction, until};
use crate::full::prove;
use crate::ixtract::Signal;
use crate::resume::{finished, resume};

#[test]
fn every_provable_key_of_sql_server() {
    let database = numbered();
    for (number, (kind, value)) in [
        ("tinyint", "n + 50"),
        ("smallint", "n - 75"),
        ("int", "-2000000000 + n * 10000000"),
        ("bigint", "9223372036854775807 - n"),
        ("decimal(20,4)", "CAST(n AS decimal(20,4)) / 4 - 20"),
        ("decimal(38,0)", "n * 1000000007"),
        ("money", "CAST(n AS money) / 4 - 20"),
        ("smallmoney", "n - 75"),
        ("date", "DATEFROM(n)"),
        ("uniqueidentifier", "MAKEGUID(n)"),
    ]
    .into_iter()
    .enumerate()
    {
        let table = format!("t{number}");
        database.exec(&format!(
            "CREATE TABLE {table} ([the ]]key] {kind} NOT NULL, x int NOT NULL,
                 PRIMARY KEY ([the ]]key], x));
             INSERT INTO {table} SELECT {value}, n % 3 FROM numbers WHERE n < 150"
        ));
        let proof = prove(&Extraction::new(database.url(), &table), 150);
        assert_eq!(proof["keys"]["columns"], json!(["the ]key", "x"]), "{kind}");
    }
    database.exec("CREATE TABLE nothing (id int PRIMARY KEY)");
    prove(&Extraction::new(database.url(), "nothing"), 0);
}

/// Its digests are of bytes in the column's own character set.
#[test]
fn text_is_no_key_for_a_full_proof() {
    let database = numbered();
    database.exec(
        "CREATE TABLE words (w nvarchar(20) PRIMARY KEY);
         INSERT INTO words SELECT WORD(n) FROM numbers WHERE n < 100",
    );
    let extraction = Extraction::new(database.url(), "words");
    let refused = extraction.run(&["--proof", "full", "--json"]);
    fails(refused, 2, ["in full", "nvarchar(20)", "--proof"]);
    assert!(!extraction.dataset().exists());
}

/// Seven chunks are finished when the run is killed; what they hold has changed when it is gone on with.
#[test]
fn finished_chunks_are_kept_and_what_they_hold_now_is_counted() {
    let database = numbered();
    database.exec(
        "CREATE TABLE t (id BIGINT PRIMARY KEY, version INT NOT NULL);
         INSERT INTO t SELECT n, 1 FROM numbers WHERE n < 4000",
    );
    let extraction = Extraction::new(database.url(), "t");
    let gate = database.session();
    gate.exec("GATE SHUT");
    let options = ["--workers", "2", "--chunk-rows", "500", "--chunking", "key"];
    let filter = ["--where", "id < 3500 OR dbo.gate(id) = 1"];
    let mut run = extraction.spawn(&[&options[..], &filter].concat());
    until("seven chunks are finished", || finished(&extraction) == 7);
    run.signal(Signal::KILL);
    run.wait().expect_code(128 + 9);
    gate.exec("GATE OPEN; UPDATE t SET version = 2; DELETE FROM t WHERE id % 2 = 0");
    let report = resume(&extraction, &["--json"]).expect_code(0).json();
    assert_eq!(report["consistency"]["level"], "mixed", "{report:#}");
    assert_eq!(report["resumed"]["kept"], 7);
    let rows = extraction.rows();
    let versions = |version: &str| {
        let of = rows.iter().filter(|row| row[1].as_deref() == Some(version));
        of.count()
    };
    assert_eq!((versions("1"), versions("2")), (3500, 250));
}
