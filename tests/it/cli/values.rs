//! A value that cannot be written exactly ends the run, which says where it is.

use super::fails;
use crate::extraction::Extraction;
use crate::servers::postgres;

#[test]
fn a_value_without_a_counterpart_is_named_with_its_key() {
    let cases = [
        ("numeric(10,2)", "'NaN'", "NaN"),
        ("timestamptz", "'infinity'", "infinity"),
        ("timestamp", "'-infinity'", "-infinity"),
        ("date", "'infinity'", "infinity"),
        ("time", "'24:00:00'", "24:00:00"),
    ];
    for (type_, value, shown) in cases {
        let database = postgres().fresh_database();
        database.exec(&format!(
            "CREATE TABLE readings (id bigint PRIMARY KEY, reading {type_});
             INSERT INTO readings (id) SELECT generate_series(1, 4000);
             UPDATE readings SET reading = {value} WHERE id = 2718; ANALYZE readings"
        ));
        let extraction = Extraction::new(database.url(), "public.readings");
        let options = ["--workers", "2", "--chunk-rows", "500"];
        let failure = fails(
            extraction.run(&options),
            1,
            ["readings.reading", shown, "reading"],
        );
        let said = format!("{} {}", failure.what, failure.why);
        assert!(said.contains("2718"), "{type_}: {said}");
        assert!(!extraction.dataset().exists(), "{type_}");
        assert_eq!(extraction.beside(), [].into(), "{type_}");
        assert_eq!(extraction.statuses(), ["failed"], "{type_}");
        // What the last line advises.
        extraction.run(&["--type", "reading=text"]).expect_code(0);
        let rows = extraction.rows();
        assert_eq!(rows[2717][1].as_deref(), Some(shown), "{type_}");
    }
}

#[test]
fn a_sqlite_value_of_another_class_is_named_with_its_key() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("loose.db");
    rusqlite::Connection::open(&file)
        .expect("a database")
        .execute_batch(
            "CREATE TABLE loose (id INTEGER PRIMARY KEY, n INTEGER);
             INSERT INTO loose VALUES (1, 10), (2, 'eleven'), (3, 12)",
        )
        .expect("a table");
    let extraction = Extraction::new(format!("sqlite:{}", file.display()), "loose");
    let failure = fails(extraction.run(&[]), 1, ["loose.n", "eleven", "--type"]);
    let said = format!("{} {}", failure.what, failure.why);
    assert!(said.contains("id = 2"), "{said}");
    extraction.run(&["--type", "n=text"]).expect_code(0);
    assert_eq!(extraction.rows()[1][1].as_deref(), Some("eleven"));
}
