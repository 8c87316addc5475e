//! Names that people give, and tables of every kind.

use crate::extraction::{Extraction, sort_key};
use crate::readers::{self, Engine};
use crate::servers::mysql::{MysqlDatabase, both, mariadb};

/// Sixty-four letters are the longest; names may not end in a space, and MySQL 5.6 has no letters of
/// four bytes there.
const NAMES: &[&str] = &[
    "two words",
    " leading",
    "a.b",
    "a.b.c",
    ".",
    "quo\"te",
    "back`tick",
    "`",
    "it's",
    "Upper",
    "select",
    "table",
    "tübingen",
    "日本",
    "back\\slash",
    "100%",
    "{braces}",
    "$1",
    "?",
    "-- x",
    "/* x */",
    "semi;colon",
    "*",
    "_",
    "0",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
];

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// Fails the test unless the dataset has the server's rows of a table.
#[track_caller]
fn expect_rows(database: &MysqlDatabase, extraction: &Extraction, from: &str) {
    let mut expected = database.query_text(&format!("SELECT * FROM {from}"));
    expected.sort_by_cached_key(sort_key);
    assert_eq!(extraction.rows(), expected, "{from}");
}

/// As the program wants a name that has a dot or a quote in it.
fn typed(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[test]
fn any_name_of_a_table_is_read_with_its_columns() {
    // What is written differs between the two by the version alone, so some will do for the other.
    for (server, step) in both().iter().zip([1, 5]) {
        let database = server.fresh_database();
        let columns: Vec<String> = NAMES
            .iter()
            .map(|name| format!("{} INT", quoted(name)))
            .collect();
        let names: Vec<String> = NAMES.iter().map(|name| (*name).to_owned()).collect();
        for name in NAMES.iter().step_by(step) {
            let table = quoted(name);
            database.exec(&format!(
                "CREATE TABLE {table} ({}, PRIMARY KEY ({}));
                 INSERT INTO {table} ({}) VALUES (1), (2), (3), (4), (5)",
                columns.join(", "),
                quoted(name),
                quoted(name)
            ));
            let extraction = Extraction::new(database.url(), &typed(name));
            let cut = ["--workers", "2", "--chunk-rows", "2", "--chunking", "key"];
            extraction.run(&cut).expect_code(0);
            assert_eq!(extraction.count(), 5, "{name}");
            let read = readers::schema(Engine::Pyarrow, &extraction.dataset());
            let read: Vec<String> = read.into_iter().map(|column| column.name).collect();
            assert_eq!(read, names, "{name}");
        }
    }
}

#[test]
fn tables_of_the_same_name_are_told_apart_by_their_database() {
    let (one, other) = (mariadb().fresh_database(), mariadb().fresh_database());
    for (database, value) in [(&one, 1), (&other, 2)] {
        database.exec(&format!(
            "CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES ({value})"
        ));
    }
    let extraction = Extraction::new(one.url(), &format!("{}.t", other.name()));
    extraction.run(&[]).expect_code(0);
    expect_rows(&other, &extraction, "t");
    let missing = Extraction::new(one.url(), "T_").run(&[]).expect_code(64);
    assert!(missing.stderr.contains("T_"), "{missing:#?}");
}

#[test]
fn every_kind_of_table_gives_each_row_once() {
    let database = mariadb().fresh_database();
    database.exec(
        "CREATE TABLE ranges (id INT, y INT, PRIMARY KEY (id, y)) PARTITION BY RANGE (y)
             (PARTITION p0 VALUES LESS THAN (2000), PARTITION p1 VALUES LESS THAN MAXVALUE);
         INSERT INTO ranges SELECT seq, 1990 + seq % 20 FROM seq_1_to_500;
         CREATE TABLE nobody (id INT PRIMARY KEY, x TEXT NOT NULL);
         CREATE TABLE alone (id BIGINT UNSIGNED PRIMARY KEY);
         INSERT INTO alone VALUES (18446744073709551615);
         CREATE TABLE packed (id INT PRIMARY KEY, x VARCHAR(20)) ROW_FORMAT = COMPRESSED;
         INSERT INTO packed SELECT seq, CONCAT('x', seq) FROM seq_1_to_300;
         CREATE TABLE aria (id INT PRIMARY KEY, x VARCHAR(20)) ENGINE = Aria;
         INSERT INTO aria SELECT seq, CONCAT('x', seq) FROM seq_1_to_300;
         CREATE TABLE myisam (id INT PRIMARY KEY, x VARCHAR(20)) ENGINE = MyISAM;
         INSERT INTO myisam SELECT seq, CONCAT('x', seq) FROM seq_1_to_300;
         CREATE TABLE versioned (id INT PRIMARY KEY, x INT) WITH SYSTEM VERSIONING;
         INSERT INTO versioned SELECT seq, seq FROM seq_1_to_300;
         UPDATE versioned SET x = -x WHERE id % 2 = 0; DELETE FROM versioned WHERE id % 3 = 0;
         CREATE VIEW joined AS SELECT r.id, r.y, p.x FROM ranges r JOIN packed p ON p.id = r.id;
         CREATE TABLE checked (id INT PRIMARY KEY, j JSON, g INT AS (id * 2) PERSISTENT);
         INSERT INTO checked (id, j) SELECT seq, JSON_OBJECT('n', seq) FROM seq_1_to_100",
    );
    let tables = [
        "ranges",
        "nobody",
        "alone",
        "packed",
        "aria",
        "myisam",
        "versioned",
        "joined",
        "checked",
    ];
    for table in tables {
        for workers in ["1", "3"] {
            let extraction = Extraction::new(database.url(), table);
            let flags = ["--workers", workers, "--chunk-rows", "50"];
            extraction.run(&flags).expect_code(0);
            expect_rows(&database, &extraction, table);
        }
    }
}
