//! Foreign tables: rows that are in no snapshot of the server's, and recorded as such.

use super::expect_rows;
use crate::cli::fails;
use crate::extraction::Extraction;
use crate::servers::{Database, postgres};

/// A table, the same as a foreign table of the server itself, and partitions of both sorts.
fn linked() -> Database {
    let database = postgres().fresh_database();
    let address = database.address();
    database.exec(&format!(
        "CREATE TABLE here (id bigint PRIMARY KEY, note text, amount numeric(9,2));
         INSERT INTO here SELECT i, 'n' || i, i / 3.0 FROM generate_series(1, 90) AS i; ANALYZE;
         CREATE EXTENSION postgres_fdw;
         CREATE SERVER itself FOREIGN DATA WRAPPER postgres_fdw
             OPTIONS (host '{}', port '{}', dbname '{}');
         CREATE USER MAPPING FOR CURRENT_USER SERVER itself OPTIONS (user '{}', password '{}');
         CREATE FOREIGN TABLE there (id bigint, note text, amount numeric(9,2)) SERVER itself
             OPTIONS (table_name 'here');
         CREATE VIEW through AS SELECT * FROM there WHERE id > 80;
         CREATE TABLE parted (id bigint, note text, amount numeric(9,2)) PARTITION BY RANGE (id);
         CREATE TABLE low PARTITION OF parted FOR VALUES FROM (-1000) TO (0);
         INSERT INTO parted SELECT -i, 'low', i FROM generate_series(1, 50) AS i;
         CREATE FOREIGN TABLE high PARTITION OF parted FOR VALUES FROM (0) TO (1000) SERVER itself
             OPTIONS (table_name 'here'); CREATE INDEX ON low (id)",
        address.host, address.port, address.database, address.user, address.password
    ));
    database
}

#[test]
fn foreign_tables_are_read_and_recorded_as_outside_of_the_snapshot() {
    let database = linked();
    for table in ["there", "through", "parted", "high"] {
        expect_rows(&database, table, &format!("SELECT * FROM {table}"));
        let extraction = Extraction::new(database.url(), table);
        extraction.run(&[]).expect_code(0);
        let consistency = &extraction.manifest()["consistency"];
        assert_eq!(consistency["level"], "single-transaction", "{table}");
        let notes = consistency["notes"].to_string();
        assert!(
            notes.contains("outside of the snapshot"),
            "{table}: {notes}"
        );
        let outcome = extraction.run(&["--consistency", "snapshot"]);
        fails(outcome, 2, [table, "in no snapshot", "per-chunk"]);
    }
    let sql = "SELECT h.id FROM here AS h JOIN there AS t USING (id)";
    let extraction = Extraction::of_query(database.url(), sql, "both");
    extraction.run(&[]).expect_code(0);
    assert_eq!(
        extraction.manifest()["consistency"]["level"],
        "single-transaction"
    );
    assert_eq!(extraction.count(), 90);
}

#[test]
fn a_file_behind_a_foreign_table_is_read() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
         CREATE FOREIGN TABLE lines (id int, t text) SERVER files
             OPTIONS (program 'printf \"1,a\\n2,\\n3,ü\\n\"', format 'csv')",
    );
    expect_rows(&database, "lines", "SELECT * FROM lines");
}
