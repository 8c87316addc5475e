//! What windows can be cut on, source by source.

use crate::extraction::Extraction;
use crate::servers::mysql::both;
use crate::servers::postgres;
use crate::servers::sqlserver::SqlDatabase;

/// Three windows, one after the other, each of two rows of one value; then the second again.
#[track_caller]
fn three_windows(
    extraction: &Extraction,
    column: &str,
    values: [&str; 3],
    insert: impl Fn(usize, &str),
) {
    for (index, value) in (1..).zip(values) {
        insert(index, value);
        extraction.run(&["--incremental", column]).expect_code(0);
        let list = extraction.manifest();
        let windows = list["windows"].as_array().expect("windows");
        assert_eq!(windows.len(), index, "{values:?}: {list}");
        let two = windows.iter().all(|entry| entry["rows"] == 2);
        assert!(two, "{values:?}: {list}");
    }
    let again = [
        "--incremental",
        column,
        "--from",
        values[0],
        "--until",
        values[1],
    ];
    extraction.run(&again).expect_code(0);
    assert_eq!(extraction.count(), 6, "{values:?}");
}

#[test]
fn postgresql_cuts_on_every_kind_of_value() {
    let database = postgres().fresh_database();
    for (name, kind, values) in [
        ("small", "smallint", ["-5", "0", "7"]),
        (
            "big",
            "bigint",
            ["-9223372036854775808", "0", "9223372036854775807"],
        ),
        (
            "decimal",
            "numeric",
            ["-1.50", "0.1000", "12345678901234567890.5"],
        ),
        ("day", "date", ["1999-12-31", "2026-01-01", "2026-01-02"]),
        (
            "moment",
            "timestamp",
            ["1999-12-31 23:59:59.999999", "2026-01-01", "2026-01-02"],
        ),
        (
            "zoned",
            "timestamptz",
            [
                "1999-12-31 23:59:59+02",
                "2026-01-01 00:00Z",
                "2026-01-02 00:00Z",
            ],
        ),
        // In the order of bytes, whatever the collation.
        ("text", "text", ["A'\\b", "Z", "aé"]),
        ("name", "varchar(9)", ["", "B", "b"]),
    ] {
        database.exec(&format!("CREATE TABLE {name} (c {kind}, n int)"));
        let extraction = Extraction::new(database.url(), &format!("public.{name}"));
        three_windows(&extraction, "c", values, |index, value| {
            let value = value.replace('\'', "''");
            database.exec(&format!(
                "INSERT INTO {name} VALUES ('{value}', {index}), ('{value}', 9)"
            ));
        });
    }
    database.exec("CREATE TABLE f (c double precision); INSERT INTO f VALUES (1)");
    let refuse = |table: &str, says: &str| {
        let extraction = Extraction::new(database.url(), &format!("public.{table}"));
        let outcome = extraction.run(&["--incremental", "c"]).expect_code(2);
        assert!(outcome.stderr.contains(says), "{}", outcome.stderr);
    };
    refuse("f", "cannot be cut on c");
    database.exec("INSERT INTO moment VALUES ('infinity', 1)");
    refuse("moment", "can end with infinity");
}

#[test]
fn mysql_and_mariadb_cut_on_every_kind_of_value() {
    for server in both() {
        let database = server.fresh_database();
        for (name, kind, values) in [
            ("small", "tinyint", ["-5", "0", "7"]),
            ("big", "bigint unsigned", ["0", "7", "18446744073709551615"]),
            ("padded", "int(9) zerofill", ["0", "7", "12"]),
            (
                "decimals",
                "decimal(30,4)",
                ["-1.5", "0.1", "12345678901234567890.5"],
            ),
            ("days", "date", ["1999-12-31", "2026-01-01", "2026-01-02"]),
            (
                "moments",
                "datetime(6)",
                ["1999-12-31 23:59:59.999999", "2026-01-01", "2026-01-02"],
            ),
            (
                "zoned",
                "timestamp(3) null",
                ["1999-12-31 23:59:59.999", "2026-01-01", "2026-01-02"],
            ),
            // By code points: a collation takes the first two for equal, and the last for less.
            (
                "words",
                "varchar(9) collate utf8mb4_general_ci",
                ["B", "b", "\u{e9}"],
            ),
            (
                "latin",
                "varchar(9) character set latin1",
                ["A'\\", "Z", "\u{e9}"],
            ),
            ("padding", "text", ["a", "a ", "a!"]),
        ] {
            database.exec(&format!("CREATE TABLE {name} (c {kind}, n int)"));
            let extraction = Extraction::new(database.url(), name);
            three_windows(&extraction, "c", values, |index, value| {
                let value = value.replace('\\', "\\\\").replace('\'', "''");
                database.exec(&format!(
                    "INSERT INTO {name} VALUES ('{value}', {index}), ('{value}', 9)"
                ));
            });
        }
        let refuse = |table: &str, says: &str| {
            let extraction = Extraction::new(database.url(), table);
            let refused = extraction.run(&["--incremental", "c"]).expect_code(2);
            assert!(refused.stderr.contains(says), "{}", refused.stderr);
        };
        database.exec("CREATE TABLE moods (c enum('good', 'bad'))");
        refuse("moods", "cannot be cut on c");
        database.exec("CREATE TABLE zeros (c date); INSERT INTO zeros VALUES ('0000-00-00')");
        refuse("zeros", "can end with 0000-00-00");
    }
}

#[test]
fn sql_server_cuts_on_every_kind_of_value() {
    let database = SqlDatabase::fresh();
    for (name, kind, values) in [
        ("small", "tinyint", ["0", "1", "7"]),
        (
            "big",
            "bigint",
            ["-9223372036854775808", "0", "9223372036854775807"],
        ),
        (
            "decimals",
            "decimal(30,4)",
            ["-1.5", "0.1", "12345678901234567890.5"],
        ),
        ("coins", "money", ["-1.5", "0.1", "12.3456"]),
        ("days", "date", ["1999-12-31", "2026-01-01", "2026-01-02"]),
        (
            "ticks",
            "datetime",
            [
                "1999-12-31 23:59:59.997",
                "2026-01-01 00:00:00.003",
                "2026-01-02",
            ],
        ),
        (
            "moments",
            "datetime2(6)",
            ["1999-12-31 23:59:59.999999", "2026-01-01", "2026-01-02"],
        ),
        (
            "zoned",
            "datetimeoffset(3)",
            [
                "1999-12-31 23:59:59.999 +02:00",
                "2026-01-01 00:00:00 +00:00",
                "2026-01-02 00:00:00 +00:00",
            ],
        ),
        ("words", "nvarchar(9)", ["A'", "Z", "a"]),
    ] {
        database.exec(&format!("CREATE TABLE {name} (c {kind}, n int)"));
        let extraction = Extraction::new(database.url(), &format!("dbo.{name}"));
        three_windows(&extraction, "c", values, |index, value| {
            let value = value.replace('\'', "''");
            database.exec(&format!(
                "INSERT INTO {name} VALUES ('{value}', {index}), ('{value}', 9)"
            ));
        });
    }
}

/// Row versions end where the server says that everything is committed: before the one that a transaction
/// under way has taken.
#[test]
fn row_versions_end_before_what_is_not_committed() {
    let database = SqlDatabase::fresh();
    database.exec("CREATE TABLE t (id int NOT NULL, v rowversion)");
    database.exec("INSERT INTO t (id) VALUES (1)");
    database.exec("TAKE VERSION");
    database.exec("INSERT INTO t (id) VALUES (2)");
    let active = database.rows(
        "SELECT CONVERT(nvarchar(60), CAST(MIN_ACTIVE_ROWVERSION() AS binary(8)), 1) AS active",
    );
    let active = active[0][0]
        .as_deref()
        .and_then(|text| text.strip_prefix("0x"));
    let active = u64::from_str_radix(active.expect("a version"), 16).expect("eight bytes");
    let settled = format!("rowversion:0x{:016X}", active - 1);
    let extraction = Extraction::new(database.url(), "dbo.t");
    for lag in [&["--lag", "auto"][..], &[]] {
        extraction
            .run(&[&["--incremental", "v"], lag].concat())
            .expect_code(0);
        let list = extraction.manifest();
        let high = &list["windows"][0]["window"]["high"];
        assert_eq!(high, settled.as_str());
        assert_eq!(extraction.count(), 1);
    }
}
