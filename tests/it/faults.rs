//! What goes wrong outside, what a run does about it, and that the documented table is the program's own.

use ixtract::model::Fault;

use crate::extraction::{Extraction, until};
use crate::gate::Gate;
use crate::readers::Row;
use crate::servers::{Address, PrivatePostgres, Session};

/// The table as `docs/faults.md` is to hold it.
fn table() -> String {
    let header = "\
| what happens | PostgreSQL | MySQL, MariaDB | SQL Server | SQLite | a run | chunks kept | else exit | what helps |
|---|---|---|---|---|---|---|---|---|
";
    let rows = Fault::ALL.into_iter().map(|fault| {
        let rule = fault.rule();
        let codes = |codes: Vec<String>| {
            let codes = codes.into_iter().map(|code| format!("`{code}`"));
            codes.collect::<Vec<_>>().join(" ")
        };
        // A class is its two letters and whatever follows.
        let state = |state: &&str| match state.len() {
            2 => format!("{state}…"),
            _ => (*state).to_owned(),
        };
        let states = codes(fault.sqlstates().iter().map(state).collect());
        let numbers = codes(fault.mysql_errors().iter().map(u16::to_string).collect());
        let others = fault.sqlserver_errors().iter().map(u32::to_string);
        let others = codes(others.collect());
        let results = codes(
            fault
                .sqlite_codes()
                .iter()
                .map(|code| (*code).to_owned())
                .collect(),
        );
        format!(
            "| {} | {states} | {numbers} | {others} | {results} | {} | {} | {} | {} |\n",
            rule.what,
            rule.recovery.words(),
            if rule.keeps { "yes" } else { "no" },
            rule.exit.code(),
            rule.remedy
        )
    });
    header.to_owned() + &rows.collect::<String>()
}

#[test]
fn the_documented_table_of_faults_is_the_programs_own() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/faults.md");
    let document = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let table = table();
    assert!(document.contains(&table), "{path} is to hold:\n{table}");
    for fault in Fault::ALL {
        let code = fault.rule().exit;
        let known = ixtract::error::ExitCode::TABLE;
        assert!(known.iter().any(|(known, _)| *known == code), "{fault:?}");
    }
}

/// The primary removes what the standby's snapshot still needs: after a second the standby ends every
/// session of ours at once.
#[test]
fn a_recovery_conflict_ends_the_run_as_documented_and_it_is_gone_on_with() {
    let primary =
        PrivatePostgres::start("max_standby_streaming_delay = 1s\nhot_standby_feedback = off");
    let database = primary.fresh_database();
    database.exec(
        "CREATE TABLE t (id bigint PRIMARY KEY, version int NOT NULL);
         INSERT INTO t SELECT i, 1 FROM generate_series(1, 4000) AS i; ANALYZE t",
    );
    // The function of the gate; the lock is each server's own.
    Gate::shut(&database).open();
    let standby = PrivatePostgres::standby_of(&primary);
    let there = Address {
        database: database.name().to_owned(),
        ..standby.address().clone()
    };
    let session = Session::open(&there);
    session.exec("SELECT pg_advisory_lock(42)");
    let extraction = Extraction::new(there.to_string(), "public.t");
    let options = ["--workers", "2", "--chunk-rows", "500", "--chunking", "key"];
    let filter = ["--where", "id <= 3600 OR public.gate(id)"];
    let run = extraction.spawn(&[&options[..], &filter].concat());
    until("seven chunks are finished", || {
        crate::resume::finished(&extraction) == 7
    });
    database.exec("DELETE FROM t WHERE id % 2 = 0");
    database.exec("VACUUM t");
    let outcome = run.wait().expect_code(75);
    for words in ["hot_standby_feedback", "primary", "ixtract run --resume"] {
        assert!(outcome.stderr.contains(words), "{words}: {outcome:#?}");
    }
    assert!(!extraction.dataset().exists(), "nothing is published");
    session.exec("SELECT pg_advisory_unlock(42)");

    let words = ["run", "--source", &there.to_string(), "--resume", "last"];
    let words = [&words[..], &["--json"]].concat();
    let report = extraction.cli.run(words).expect_code(0).json();
    assert_eq!(report["consistency"]["level"], "mixed", "{report:#}");
    assert_eq!(report["resumed"]["kept"], 7);
    let expected: Vec<Row> = (1..=4000)
        .filter(|id| *id < 3500 || id % 2 == 1)
        .map(|id: i64| vec![Some(id.to_string()), Some("1".to_owned())])
        .collect();
    assert!(extraction.rows() == expected, "torn");
    assert_eq!(extraction.statuses(), ["failed", "success"]);
}
