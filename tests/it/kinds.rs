//! Every kind of table, and every name, is read exactly or refused.

mod foreign;
mod names;
mod postgres;
mod security;
mod sqlite;

use crate::extraction::{Extraction, sort_key};
use crate::servers::Database;

/// Ways of cutting that give many small chunks, and the default.
const WAYS: [&[&str]; 4] = [
    &[],
    &["--workers", "3", "--chunk-rows", "7"],
    &["--workers", "2", "--chunk-rows", "9", "--chunking", "key"],
    &["--workers", "2", "--chunk-rows", "9", "--chunking", "ctid"],
];

/// Fails the test unless a relation is extracted with exactly the rows of a query, in every way of
/// cutting that it allows. How it is cut is for the planner to say: a refusal is one with a reason.
#[track_caller]
fn expect_rows(database: &Database, table: &str, query: &str) {
    let mut expected = database.query_text(query);
    expected.sort_by_cached_key(sort_key);
    for way in WAYS {
        let extraction = Extraction::new(database.url(), table);
        let outcome = extraction.run(way);
        if way.contains(&"--chunking") && outcome.code == 2 {
            assert!(outcome.stderr.contains("  fix: "), "{outcome:#?}");
            continue;
        }
        outcome.expect_code(0);
        assert!(
            extraction.rows() == expected,
            "{table} {way:?}: not the rows of {query}"
        );
        assert_eq!(
            extraction.manifest()["proof"]["counted"],
            expected.len(),
            "{table}"
        );
    }
}
