//! Every row once, whatever the keys are like.

use super::NUMBERS;
use crate::extraction::{DIGITS, Extraction, expect_every_row, sort_key};
use crate::servers::mysql::{both, mariadb};

#[test]
fn every_kind_of_key_is_cut() {
    for server in both() {
        let database = server.fresh_database();
        database.exec(DIGITS);
        database.exec(NUMBERS);
        for (name, definition, value, printed) in [
            (
                "signed",
                "BIGINT",
                "n * 9000000000000 - 4000000000000000",
                "k",
            ),
            (
                "big",
                "BIGINT UNSIGNED",
                "18446744073709551615 - n * 7",
                "k",
            ),
            ("decimals", "DECIMAL(20,4)", "n / 7 - 50", "k"),
            (
                "days",
                "DATE",
                "DATE_ADD('1990-01-01', INTERVAL n DAY)",
                "k",
            ),
            (
                "moments",
                "DATETIME(3)",
                "DATE_ADD('1990-01-01', INTERVAL n * 1001 MICROSECOND)",
                "DATE_FORMAT(k, '%Y-%m-%dT%H:%i:%s.%f')",
            ),
            (
                "words",
                "VARCHAR(30) CHARACTER SET latin1",
                "CONCAT(ELT(1 + n % 4, 'ä', 'A', 'z', 'Ö'), n)",
                "k",
            ),
            (
                "cased",
                "VARCHAR(30) COLLATE utf8mb4_bin",
                "CONCAT(ELT(1 + n % 4, 'a', 'A', '日', '_'), n)",
                "k",
            ),
            ("bytes", "BINARY(16)", "UNHEX(MD5(n))", "LOWER(HEX(k))"),
            ("clocks", "TIME(3)", "SEC_TO_TIME((n - 1000) * 3.001)", "k"),
            (
                "instants",
                "TIMESTAMP(6)",
                "DATE_ADD('1999-12-31', INTERVAL n * 99999 SECOND)",
                "DATE_FORMAT(k, '%Y-%m-%dT%H:%i:%s.%fZ')",
            ),
            ("small", "SMALLINT", "n - 1000", "k"),
        ] {
            database.exec(&format!(
                "CREATE TABLE {name} (k {definition} PRIMARY KEY, n INT);
                 INSERT INTO {name} SELECT {value}, n FROM numbers WHERE n < 2000"
            ));
            let chunks = expect_every_row(&database, name, &format!("{printed}, n"));
            assert!(chunks > 5, "{name}: {chunks} chunks");
        }
    }
}

/// MariaDB orders UUIDs of several versions one way in an index and another when it compares.
#[test]
fn uuids_of_several_versions_are_not_cut_by_and_arrive_once() {
    let database = mariadb().fresh_database();
    database.exec(
        "CREATE TABLE t (k UUID PRIMARY KEY, n INT, KEY (n));
         INSERT INTO t SELECT UNHEX(MD5(seq)), seq FROM seq_1_to_1000;
         INSERT INTO t SELECT UNHEX(CONCAT(LPAD(HEX(seq), 8, '0'), SUBSTR(MD5(seq), 9, 4), '11EE9',
             SUBSTR(MD5(seq), 18))), -seq FROM seq_1_to_1000;
         CREATE TABLE bare (k UUID PRIMARY KEY); INSERT INTO bare SELECT k FROM t",
    );
    // By the other index.
    assert!(expect_every_row(&database, "t", "k, n") > 5);
    let extraction = Extraction::new(database.url(), "bare");
    extraction.run(&["--workers", "3"]).expect_code(0);
    let mut expected = database.query_text("SELECT k FROM bare");
    expected.sort_by_cached_key(sort_key);
    assert_eq!(extraction.rows(), expected);
    let refused = extraction.run(&["--chunking", "key"]).expect_code(2);
    let why = "the primary key's k is passed over: this server's comparisons and its index do not \
               order every uuid alike";
    assert!(refused.stderr.contains(why), "{refused:#?}");
}

#[test]
fn keys_of_several_columns_and_none_and_nulls() {
    for server in both() {
        let database = server.fresh_database();
        database.exec(&format!(
            "{DIGITS} {NUMBERS};
             CREATE TABLE pairs (a INT, b VARCHAR(10), c INT, PRIMARY KEY (a, b));
             INSERT INTO pairs SELECT n % 3, CONCAT('b', n), n FROM numbers WHERE n < 2000;
             CREATE TABLE loose (a INT, n INT, KEY (a));
             INSERT INTO loose SELECT IF(n % 10 = 0, NULL, n DIV 5), n FROM numbers WHERE n < 2000;
             CREATE TABLE bare (n INT, t TEXT);
             INSERT INTO bare SELECT n, REPEAT('x', n % 50) FROM numbers WHERE n < 2000;
             CREATE TABLE nothing (id INT PRIMARY KEY);
             CREATE TABLE parted (id INT PRIMARY KEY, n INT) PARTITION BY HASH (id) PARTITIONS 5;
             INSERT INTO parted SELECT n, n FROM numbers WHERE n < 2000;
             CREATE VIEW seen AS SELECT id, n FROM parted WHERE n % 2 = 0"
        ));
        assert!(expect_every_row(&database, "pairs", "a, b, c") > 5);
        assert!(expect_every_row(&database, "parted", "id, n") > 5);
        assert!(expect_every_row(&database, "loose", "a, n") > 5);
        for (table, columns) in [("bare", "n, t"), ("nothing", "id"), ("seen", "id, n")] {
            let extraction = Extraction::new(database.url(), table);
            extraction.run(&["--workers", "2"]).expect_code(0);
            let mut expected = database.query_text(&format!("SELECT {columns} FROM {table}"));
            expected.sort_by_cached_key(sort_key);
            assert_eq!(extraction.rows(), expected, "{table}");
        }
    }
}

/// Tables of more keys than are all looked at.
#[test]
fn large_tables_are_cut_evenly_without_reading_them() {
    for server in both() {
        let database = server.fresh_database();
        database.exec(&format!(
            "{DIGITS} {NUMBERS};
             CREATE TABLE ids (id BIGINT PRIMARY KEY);
             INSERT INTO ids SELECT 3 * (n + 10000 * d) FROM numbers, digits WHERE d < 4;
             CREATE TABLE words (id VARCHAR(30) PRIMARY KEY);
             INSERT INTO words SELECT CONCAT('user-', LPAD(id, 9, '0')) FROM ids;
             CREATE TABLE pairs (a INT, b INT, PRIMARY KEY (a, b));
             INSERT INTO pairs SELECT id % 4, id FROM ids;
             CREATE TABLE cased (w VARCHAR(30), KEY (w));
             INSERT INTO cased SELECT CONCAT(ELT(1 + id % 2, 'x', 'X'), id DIV 4) FROM ids"
        ));
        // The server does so by itself, some seconds later.
        database.query_text("ANALYZE TABLE ids, words, pairs, cased");
        for (table, columns) in [
            ("ids", "id"),
            ("words", "id"),
            ("pairs", "a, b"),
            ("cased", "w"),
        ] {
            let extraction = Extraction::new(database.url(), table);
            let options = [
                "--workers",
                "2",
                "--chunk-rows",
                "4000",
                "--chunking",
                "key",
            ];
            extraction.run(&options).expect_code(0);
            let expected = database.query_text(&format!("SELECT {columns} FROM {table}"));
            let sorted = |mut rows: Vec<Vec<Option<String>>>| {
                rows.sort();
                rows
            };
            assert!(sorted(extraction.rows()) == sorted(expected), "{table}");
            let manifest = extraction.manifest();
            let files = manifest["files"].as_array().expect("files");
            let rows = files.iter().filter_map(|file| file["rows"].as_u64());
            let largest = rows.max().expect("a file");
            assert!(files.len() > 5 && largest < 16_000, "{table}: {files:#?}");
        }
    }
}

#[test]
fn a_wide_table_and_generated_columns_are_read() {
    for server in both() {
        let database = server.fresh_database();
        let wide: Vec<String> = (0..600).map(|at| format!("c{at} TINYINT")).collect();
        let values: Vec<String> = (0..600).map(|at| (at % 100).to_string()).collect();
        database.exec(&format!(
            "CREATE TABLE wide (id INT PRIMARY KEY, {}); INSERT INTO wide VALUES (1, {})",
            wide.join(", "),
            values.join(", ")
        ));
        let extraction = Extraction::new(database.url(), "wide");
        extraction.run(&[]).expect_code(0);
        assert_eq!(extraction.rows(), database.query_text("SELECT * FROM wide"));
    }
    let database = crate::servers::mysql::mariadb().fresh_database();
    database.exec(
        "CREATE TABLE t (id INT PRIMARY KEY, d INT AS (id * 2) VIRTUAL, s INT AS (id + 1) STORED,
             hidden INT INVISIBLE DEFAULT 5);
         INSERT INTO t (id) VALUES (1), (2)",
    );
    let extraction = Extraction::new(database.url(), "t");
    extraction.run(&[]).expect_code(0);
    let expected = database.query_text("SELECT id, d, s, hidden FROM t");
    assert_eq!(extraction.rows(), expected);
}

#[test]
fn a_query_and_a_condition_are_checked_before_anything_is_read() {
    for server in both() {
        let database = server.fresh_database();
        database.exec(&format!(
            "{DIGITS} {NUMBERS}; CREATE TABLE t (id INT PRIMARY KEY, w VARCHAR(9) CHARACTER SET cp1251);
             INSERT INTO t SELECT n, CONCAT('ш', n) FROM numbers WHERE n < 100"
        ));
        let query = "SELECT id AS a, w, id * 1.5 AS half FROM t -- all";
        let extraction = Extraction::of_query(database.url(), query, "mine");
        extraction.run(&["--where", "a < 50 # few"]).expect_code(0);
        let expected = database.query_text("SELECT id, w, id * 1.5 FROM t WHERE id < 50");
        assert_eq!(extraction.rows(), expected);
        for (wrong, part) in [
            ("SELECT nope FROM t", "nope"),
            ("SELECT 1 AS a; DROP TABLE t", "error 1064"),
            ("DELETE FROM t", "SELECT"),
            ("SELECT id, id FROM t", "AS"),
        ] {
            let extraction = Extraction::of_query(database.url(), wrong, "mine");
            let refused = extraction.run(&[]).expect_code(64);
            assert!(refused.stderr.contains(part), "{wrong}: {refused:#?}");
        }
        let extraction = Extraction::new(database.url(), "t");
        for wrong in [
            "nope = 1",
            "id = 1) OR (id = 2",
            "id = 1; DROP TABLE t",
            "id = ?",
        ] {
            let refused = extraction.run(&["--where", wrong]).expect_code(1);
            assert!(refused.stderr.contains("--where"), "{wrong}: {refused:#?}");
        }
        assert_eq!(
            database.query_text("SELECT COUNT(*) FROM t"),
            [[Some("100".to_owned())]]
        );
    }
}
