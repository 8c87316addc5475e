//! Who may read what, and the exact statement that would help who may not.

use super::{fails, orders};
use crate::extraction::{Extraction, sort_key};

#[test]
fn a_missing_grant_is_spelled_out() {
    let (database, _) = orders();
    let role = database.limited_role();
    let extraction = Extraction::new(role.to_string(), "public.orders");
    let grant = format!("GRANT SELECT ON \"public\".\"orders\" TO \"{}\"", role.user);
    let failure = fails(
        extraction.run(&[]),
        77,
        ["public.orders", "SELECT is not granted", "GRANT SELECT ON"],
    );
    // The statement works as it stands.
    let at = failure.fix.find("GRANT").expect("a statement");
    database.exec(failure.fix[at..].trim_end_matches('.'));
    extraction.run(&[]).expect_code(0);
    assert_eq!(extraction.count(), 10);
    let unquoted = |text: &str| text.replace('"', "");
    assert_eq!(unquoted(&failure.fix[at..]), unquoted(&grant));
}

#[test]
fn a_missing_right_on_the_schema_is_spelled_out() {
    let (database, _) = orders();
    let role = database.limited_role();
    database.exec(&format!(
        "CREATE SCHEMA vault; CREATE TABLE vault.gold (id int);
         GRANT SELECT ON vault.gold TO {}",
        role.user
    ));
    let extraction = Extraction::new(role.to_string(), "vault.gold");
    let failure = fails(
        extraction.run(&[]),
        77,
        ["vault.gold", "vault may not be used", "GRANT USAGE"],
    );
    let at = failure.fix.find("GRANT").expect("a statement");
    database.exec(failure.fix[at..].trim_end_matches('.'));
    extraction.run(&[]).expect_code(0);
}

#[test]
fn grants_on_columns_are_enough_for_those_columns() {
    let (database, _) = orders();
    let role = database.limited_role();
    database.exec(&format!(
        "GRANT SELECT (id, total) ON orders TO {}",
        role.user
    ));
    let extraction = Extraction::new(role.to_string(), "public.orders");
    let columns = [
        "--columns",
        "id,total",
        "--workers",
        "2",
        "--chunk-rows",
        "3",
    ];
    extraction.run(&columns).expect_code(0);
    let rows = extraction.rows();
    let mut expected = database.query_text("SELECT id, total FROM orders");
    expected.sort_by_cached_key(sort_key);
    assert_eq!(rows, expected);
    // All columns are more than that.
    let failure = fails(
        extraction.run(&[]),
        77,
        [
            "orders",
            "not granted on the columns customer",
            "GRANT SELECT",
        ],
    );
    assert!(failure.fix.contains("customer"), "{}", failure.fix);
}

#[test]
fn row_security_is_not_read_around_in_silence() {
    let (database, _) = orders();
    let role = database.limited_role();
    database.exec(&format!(
        "GRANT SELECT ON orders TO {}; ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
         CREATE POLICY few ON orders USING (id <= 4)",
        role.user
    ));
    let extraction = Extraction::new(role.to_string(), "public.orders");
    fails(
        extraction.run(&[]),
        77,
        ["row security", &role.user, "--allow-row-security"],
    );
    extraction.run(&["--allow-row-security"]).expect_code(0);
    assert_eq!(extraction.count(), 4);
    // Who owns the table, or bypasses its policies, is not asked.
    Extraction::new(database.url(), "orders")
        .run(&[])
        .expect_code(0);
}
