//! Every type: what two clients of other makers are sent is what other people's code reads.

use super::cases::{CASES, Case};
use crate::extraction::{Extraction, sort_key};
use crate::random::{Random, seed};
use crate::readers::{self, Engine};
use crate::servers::sqlserver::SqlDatabase;

/// The table `t` with a column for each case, a row of NULLs, and a row for each value.
fn create(cases: &[Case]) -> SqlDatabase {
    let database = SqlDatabase::fresh();
    let columns: Vec<String> = cases
        .iter()
        .enumerate()
        .map(|(at, case)| format!("c{at} {} NULL", case.definition))
        .collect();
    database.exec(&format!(
        "CREATE TABLE t (id INT PRIMARY KEY, {}); INSERT INTO t (id) VALUES (-1)",
        columns.join(", ")
    ));
    let session = database.session();
    let most = cases.iter().map(|case| case.values.len()).max();
    for row in 0..most.expect("cases") {
        let values: Vec<&str> = cases
            .iter()
            .map(|case| case.values[row % case.values.len()])
            .collect();
        session.exec(&format!(
            "INSERT INTO t VALUES ({row}, {})",
            values.join(", ")
        ));
    }
    database
}

/// What the clients are to be sent.
fn sent(cases: &[Case]) -> String {
    let of = |(at, case): (usize, &Case)| match case.sent {
        "c" => format!("c{at}"),
        cast => cast
            .replace("(c", &format!("(c{at}"))
            .replace(", c)", &format!(", c{at})")),
    };
    let columns: Vec<String> = cases.iter().enumerate().map(of).collect();
    columns.join(", ")
}

#[track_caller]
fn expect_same(expected: &str, read: &str, what: &str) {
    let double = |text: &str| text.parse::<f64>().ok().map(f64::to_bits);
    let float = |text: &str| text.parse::<f32>().ok().map(f32::to_bits);
    assert!(
        expected == read
            || what.starts_with("float") && double(expected) == double(read)
            || what.starts_with("real") && float(expected) == float(read),
        "{what}: the client says {expected:?}, the reader {read:?}"
    );
}

#[track_caller]
fn expect_all(expected: &[readers::Row], rows: &[readers::Row], what: impl Fn(usize) -> String) {
    assert_eq!(rows.len(), expected.len());
    for (expected, read) in expected.iter().zip(rows) {
        for (at, (expected, read)) in expected.iter().zip(read).enumerate() {
            match (expected, read) {
                (None, None) => {}
                (Some(expected), Some(read)) => expect_same(expected, read, &what(at)),
                _ => panic!("{}: {expected:?} and {read:?}", what(at)),
            }
        }
    }
}

#[test]
fn every_type_is_read_as_two_other_clients_read_it() {
    let database = create(CASES);
    let sql = format!("SELECT id, {} FROM t ORDER BY id", sent(CASES));
    let expected = database.rows(&sql);
    let what = |at: usize| match at {
        0 => "id".to_owned(),
        at => CASES[at - 1].definition.to_owned(),
    };
    // What the peer sends is what it means to: a client of Microsoft's own says the same.
    expect_all(&expected, &database.rows_by("mssql", &sql), what);
    for mode in ["portable", "native"] {
        for workers in ["1", "4"] {
            let extraction = Extraction::new(database.url(), "t");
            let options = ["--types", mode, "--workers", workers, "--chunk-rows", "1"];
            extraction.run(&options).expect_code(0);
            for engine in Engine::ALL {
                let rows = readers::rows(engine, &extraction.dataset(), &["id"]);
                expect_all(&expected, &rows, |at| {
                    format!("{}, {mode}, {engine:?}", what(at))
                });
            }
        }
    }
}

#[test]
fn csv_holds_the_same_values() {
    let database = create(CASES);
    for workers in ["1", "4"] {
        let extraction = Extraction::new(database.url(), "t");
        let options = ["--format", "csv", "--workers", workers, "--chunk-rows", "1"];
        extraction.run(&options).expect_code(0);
        let mut lines = Vec::new();
        for file in extraction.manifest()["files"].as_array().expect("files") {
            let path = extraction
                .dataset()
                .join(file["path"].as_str().expect("a path"));
            let mut reader = csv::Reader::from_path(path).expect("a file");
            lines.extend(reader.records().map(|record| record.expect("a record")));
        }
        lines.sort_by_key(|line| line[0].parse::<i64>().expect("an id"));
        let sql = format!("SELECT id, {} FROM t ORDER BY id", sent(CASES));
        for (line, row) in lines.iter().zip(database.rows(&sql)) {
            for (at, (cell, value)) in line.iter().zip(row).enumerate().skip(1) {
                let what = CASES[at - 1].definition;
                let value = value.unwrap_or_default();
                // Bytes have a prefix in CSV, and fractions only the digits they need.
                let cell = cell.strip_prefix("\\x").unwrap_or(cell);
                let short = |text: &str| match text.contains(':') && text.contains('.') {
                    true => {
                        let zone = if text.ends_with('Z') { "Z" } else { "" };
                        let clock = text.trim_end_matches('Z').trim_end_matches('0');
                        format!("{}{zone}", clock.trim_end_matches('.'))
                    }
                    false => text.to_owned(),
                };
                expect_same(&short(&value), &short(cell), what);
            }
        }
    }
}

/// A hundred nanoseconds are exact as text, and in nanoseconds where these reach.
#[test]
fn seven_digits_of_a_second_are_kept_or_refused() {
    let database = SqlDatabase::fresh();
    database.exec(
        "CREATE TABLE t (id INT PRIMARY KEY, at datetime2(7), o datetimeoffset(7), c time(7));
         INSERT INTO t VALUES (1, '2024-01-02 03:04:05.1234567', '2024-01-02 03:04:05.1234567 +02:00',
             '23:59:59.9999999')",
    );
    let texts = |extraction: &Extraction| -> Vec<String> {
        extraction.rows().remove(0).into_iter().flatten().collect()
    };
    let portable = Extraction::new(database.url(), "t");
    portable.run(&[]).expect_code(0);
    let clock = "23:59:59.999999900";
    let expected = [
        "1",
        "2024-01-02 03:04:05.1234567",
        "2024-01-02 03:04:05.1234567 +02:00",
        clock,
    ];
    // DuckDB has no times of nanoseconds.
    let read = |extraction: &Extraction| -> Vec<String> {
        let rows = readers::rows(Engine::Pyarrow, &extraction.dataset(), &["id"]);
        rows[0].iter().flatten().cloned().collect()
    };
    assert_eq!(read(&portable), expected);
    let native = Extraction::new(database.url(), "t");
    native.run(&["--types", "native"]).expect_code(0);
    let instant = [
        "1",
        "2024-01-02T03:04:05.123456700",
        "2024-01-02T01:04:05.123456700Z",
        clock,
    ];
    assert_eq!(read(&native), instant);
    // The offset is not kept, and the schema says so.
    let columns = readers::schema(Engine::Pyarrow, &native.dataset());
    let metadata = &columns[2].metadata;
    assert_eq!(
        metadata.get("ixtract.lossy").map(String::as_str),
        Some("offset")
    );
    let column = |extraction: &Extraction, at: usize| extraction.manifest()["schema"][at].clone();
    assert_eq!(column(&native, 2)["lossy"], "offset");
    assert_eq!(column(&native, 1).get("lossy"), None);
    native.cli.run(["verify", "out"]).expect_code(0);

    let exact = ["--type", "at=timestamp(us)"];
    let refused = native.run(&exact).expect_code(1).stderr;
    for part in [
        "t.at",
        "2024-01-02 03:04:05.1234567",
        "id = 1",
        "--type at=text",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    let lossy = Extraction::new(database.url(), "t");
    let cut = ["--lossy", "at=timestamp(us)", "--exclude-columns", "o,c"];
    lossy.run(&cut).expect_code(0);
    assert_eq!(column(&lossy, 1)["lossy"], true);
    assert_eq!(texts(&lossy), ["1", "2024-01-02T03:04:05.123456"]);

    database.exec("INSERT INTO t (id, at) VALUES (2, '0001-01-01 00:00:00.0000001')");
    let refused = native.run(&["--types", "native"]).expect_code(1).stderr;
    assert!(
        refused.contains("1677") && refused.contains("id = 2"),
        "{refused}"
    );
    let nulls = ["--types", "native", "--on-unrepresentable", "at=null"];
    let told = native.run(&nulls).expect_code(0).stdout;
    assert!(told.contains("at: 1 value"), "{told}");
}

/// Half of a pair of UTF-16 is text to the server, and to nobody else.
#[test]
fn halves_of_characters_are_named_and_not_replaced() {
    let database = SqlDatabase::fresh();
    database.exec(
        "CREATE TABLE t (id INT PRIMARY KEY, w nvarchar(20), ok nvarchar(20));
         INSERT INTO t VALUES (1, N'x', NCHAR(65533)), (2, NCHAR(55358), N'y')",
    );
    let extraction = Extraction::new(database.url(), "t");
    let refused = extraction.run(&[]).expect_code(1).stderr;
    for part in ["t.w", "id = 2", "0x3ED8", "--type w=binary"] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    extraction.run(&["--type", "w=binary"]).expect_code(0);
    let rows = extraction.rows();
    assert_eq!(rows[1][1].as_deref(), Some("3ed8"));
    // The replacement character itself is a character like others.
    assert_eq!(rows[0][2].as_deref(), Some("\u{fffd}"));
    extraction
        .run(&["--on-unrepresentable", "w=null"])
        .expect_code(0);
    assert_eq!(extraction.rows()[1][1], None);
}

#[test]
fn a_variant_keeps_every_digit_of_its_own_type() {
    let database = SqlDatabase::fresh();
    database.exec(
        "CREATE TABLE t (id INT PRIMARY KEY, v sql_variant);
         INSERT INTO t VALUES (1, CAST(0.1234567890123456 AS float)), (2, CAST(12.3456 AS money)),
             (3, CAST('2024-01-02 03:04:05.1234567' AS datetime2(7))), (4, CAST(0x00FF AS varbinary(4))),
             (5, N'word'), (6, CAST(12 AS int)), (7, NULL)",
    );
    let extraction = Extraction::new(database.url(), "t");
    extraction.run(&[]).expect_code(0);
    let values: Vec<Option<String>> = extraction
        .rows()
        .into_iter()
        .map(|row| row[1].clone())
        .collect();
    let expected = [
        Some("0.1234567890123456"),
        Some("12.3456"),
        Some("2024-01-02 03:04:05.1234567"),
        Some("0x00FF"),
        Some("word"),
        Some("12"),
        None,
    ];
    assert_eq!(values, expected.map(|text| text.map(str::to_owned)));
}

#[test]
fn overrides_are_checked_value_by_value() {
    let database = SqlDatabase::fresh();
    database.exec(
        "CREATE TABLE t (id INT PRIMARY KEY, flag tinyint, u binary(16), n decimal(10,4), m money);
         INSERT INTO t VALUES (1, 1, 0x123E4567E89B12D3A456426655440000, 1.2500, 3.5000)",
    );
    let wanted = [
        "--type",
        "flag=bool",
        "--type",
        "u=uuid",
        "--type",
        "n=decimal(10,2)",
        "--type",
        "m=int64",
    ];
    let extraction = Extraction::new(database.url(), "t");
    let text = extraction.run(&wanted).expect_code(1).stderr;
    assert!(text.contains("t.m") && text.contains("3.5000"), "{text}");
    database.exec("UPDATE t SET m = 3");
    extraction.run(&wanted).expect_code(0);
    let row: Vec<String> = extraction.rows().remove(0).into_iter().flatten().collect();
    let uuid = "123e4567-e89b-12d3-a456-426655440000";
    assert_eq!(row, ["1", "true", uuid, "1.25", "3"]);
    let refused = extraction.run(&["--type", "n=float64"]).expect_code(2);
    assert!(refused.stderr.contains("--lossy n=float64"), "{refused:#?}");
}

/// Random values of a seed that a failure prints.
#[test]
fn random_values_are_read_to_the_last_digit() {
    let mut random = Random::new(seed(), "sql server");
    let database = SqlDatabase::fresh();
    database.exec(
        "CREATE TABLE t (id INT PRIMARY KEY, i bigint, n decimal(38,12), m money, f float, r real,
             at datetime2(6), w nvarchar(60), v varchar(60), b varbinary(40), g uniqueidentifier)",
    );
    let session = database.session();
    for block in 0..10 {
        let rows: Vec<String> = (0..40)
            .map(|at| {
                let quoted = |text: String| format!("N'{}'", text.replace('\'', "''"));
                let day = random.between(1, 28);
                format!(
                    "({}, {}, {}{}.{}, {}.{}, {}, {}, '{:04}-{:02}-{day:02} {}', {}, {}, 0x{}, \
                     '{}')",
                    block * 40 + at,
                    random.bits() as i64,
                    random.pick(&["", "-"]),
                    random.digits(26),
                    random.digits(12),
                    random.digits(14),
                    random.digits(4),
                    random.float64(),
                    random.float32(),
                    random.between(1, 9999),
                    random.between(1, 12),
                    random.time(),
                    quoted(random.text(20)),
                    quoted(
                        random
                            .text(20)
                            .chars()
                            .filter(|c| (' '..'\u{7f}').contains(c))
                            .collect()
                    ),
                    random.hex(20),
                    {
                        let hex = random.hex(16);
                        let parts = [
                            &hex[..8],
                            &hex[8..12],
                            &hex[12..16],
                            &hex[16..20],
                            &hex[20..],
                        ];
                        parts.join("-")
                    },
                )
            })
            .collect();
        session.exec(&format!("INSERT INTO t VALUES {}", rows.join(", ")));
    }
    let mut expected = database.rows("SELECT * FROM t");
    expected.sort_by_cached_key(sort_key);
    for workers in ["1", "4"] {
        let extraction = Extraction::new(database.url(), "t");
        let options = ["--chunk-rows", "50", "--workers", workers];
        extraction.run(&options).expect_code(0);
        let rows = readers::rows(Engine::Pyarrow, &extraction.dataset(), &["id"]);
        expect_all(&expected, &rows, |at| {
            ["id", "bigint", "decimal", "money", "float", "real"]
                .get(at)
                .unwrap_or(&"exact")
                .to_string()
        });
    }
}
