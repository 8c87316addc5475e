//! Row-level security and privileges on columns: refused, or recorded.

use crate::cli::fails;
use crate::extraction::Extraction;
use crate::servers::{Address, Database, postgres};

/// Ten rows of which a role may see four, directly, through views and partitions.
fn guarded() -> (Database, Address) {
    let database = postgres().fresh_database();
    let role = database.limited_role();
    database.exec(&format!(
        "CREATE TABLE t (id bigint PRIMARY KEY, secret text);
         INSERT INTO t SELECT i, 's' || i FROM generate_series(1, 10) AS i;
         ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON t USING (id <= 4);
         CREATE VIEW invoked WITH (security_invoker) AS SELECT * FROM t;
         CREATE VIEW owned AS SELECT * FROM t;
         CREATE TABLE p (id bigint, day int) PARTITION BY LIST (day);
         CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p DEFAULT;
         INSERT INTO p SELECT i, i % 2 FROM generate_series(1, 10) AS i;
         ALTER TABLE p ENABLE ROW LEVEL SECURITY; CREATE POLICY few ON p USING (id <= 4);
         GRANT SELECT ON t, invoked, owned, p, p1 TO {}; ANALYZE",
        role.user
    ));
    (database, role)
}

fn notes(extraction: &Extraction) -> String {
    extraction.manifest()["consistency"]["notes"].to_string()
}

#[test]
fn what_hides_rows_is_refused_or_recorded() {
    let (_database, role) = guarded();
    for (table, chunking) in [
        ("t", "key"),
        ("t", "ctid"),
        ("p", "auto"),
        ("invoked", "auto"),
    ] {
        let extraction = Extraction::new(role.to_string(), table);
        let flags = [
            "--workers",
            "2",
            "--chunk-rows",
            "2",
            "--chunking",
            chunking,
        ];
        let failure = fails(
            extraction.run(&flags),
            77,
            [table, "row", "--allow-row-security"],
        );
        assert!(!extraction.dataset().exists(), "{}", failure.why);
        extraction
            .run(&[&["--allow-row-security"], &flags[..]].concat())
            .expect_code(0);
        assert_eq!(extraction.count(), 4, "{table}");
        let notes = notes(&extraction);
        assert!(notes.contains("row security is active"), "{table}: {notes}");
    }
    // A leaf's rows are hidden by the leaf's own policies only: there is none.
    let extraction = Extraction::new(role.to_string(), "p1");
    extraction.run(&[]).expect_code(0);
    assert_eq!(extraction.count(), 5);
    // Nor are rows hidden from the view's owner.
    let extraction = Extraction::new(role.to_string(), "owned");
    extraction.run(&[]).expect_code(0);
    assert_eq!(extraction.count(), 10);
}

#[test]
fn who_sees_everything_has_nothing_recorded() {
    let (database, _) = guarded();
    for table in ["t", "p", "invoked"] {
        let extraction = Extraction::new(database.url(), table);
        extraction.run(&["--allow-row-security"]).expect_code(0);
        assert_eq!(extraction.count(), 10, "{table}");
        assert!(!notes(&extraction).contains("row security"), "{table}");
    }
}

#[test]
fn a_condition_may_use_only_columns_that_the_role_may_read() {
    let (database, role) = guarded();
    database.exec(&format!(
        "CREATE TABLE c (id bigint PRIMARY KEY, a int, b int); INSERT INTO c VALUES (1, 2, 3);
         GRANT SELECT (id, a) ON c TO {}",
        role.user
    ));
    let extraction = Extraction::new(role.to_string(), "c");
    let columns = ["--exclude-columns", "b"];
    extraction
        .run(&[&columns[..], &["--where", "a = 2"]].concat())
        .expect_code(0);
    assert_eq!(extraction.count(), 1);
    let outcome = extraction.run(&[&columns[..], &["--where", "b = 3"]].concat());
    fails(
        outcome,
        77,
        ["public.c", "permission denied", "GRANT SELECT"],
    );
    // The dataset of before is untouched.
    assert_eq!(extraction.count(), 1);
}
