//! Chunks that the server does not finish within its time limit are read by several statements.

use crate::extraction::Extraction;
use crate::servers::postgres;

/// Sixteen rows of a chunk take four seconds, and a statement may take two.
#[test]
fn a_statement_limit_makes_statements_smaller() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id bigint PRIMARY KEY, word text NOT NULL);
         INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 64) AS i;
         CREATE FUNCTION slow(id bigint) RETURNS boolean LANGUAGE plpgsql AS $$
         BEGIN PERFORM pg_sleep(0.25); RETURN true; END $$;
         ANALYZE t",
    );
    let extraction = Extraction::new(database.url(), "public.t");
    let limited = [
        "--where",
        "public.slow(id)",
        "--chunk-rows",
        "16",
        "--chunking",
        "key",
        "--workers",
        "4",
        "--statement-timeout-s",
        "2",
        // A count of all rows would take as long as all chunks together.
        "--proof",
        "stream",
        "--json",
    ];
    let report = extraction.run(&limited).expect_code(0).json();
    assert_eq!(report["rows"], 64);
    assert_eq!(report["chunks"], 4);
    let told = report["adaptations"].to_string();
    for chunk in 1..=4 {
        let cut = format!("chunk_{chunk:03} is read by 4 statements");
        assert!(told.contains(&cut), "{told}");
    }
    let expected = database.query_text("SELECT id, word FROM t ORDER BY id");
    assert!(extraction.rows() == expected);
}
