//! Every type: what the server prints is what other people's code reads.

use ixtract::model::FieldType;

use crate::extraction::Extraction;
use crate::ixtract::Cli;
use crate::published::{Published, extract};
use crate::readers::{self, Engine, Row};
use crate::roundtrip::expect_page;
use crate::servers::mysql::{Mysql, MysqlDatabase, both, mariadb};

/// A column's definition, how the server prints its values in the readers' way, and values.
struct Case {
    definition: &'static str,
    printed: &'static str,
    values: &'static [&'static str],
}

const fn case(
    definition: &'static str,
    printed: &'static str,
    values: &'static [&'static str],
) -> Case {
    Case {
        definition,
        printed,
        values,
    }
}

/// What both flavours have.
const CASES: &[Case] = &[
    case("tinyint(1)", "c", &["0", "1", "-128", "127"]),
    case("tinyint unsigned", "c", &["0", "255"]),
    case("smallint", "c", &["-32768", "32767"]),
    case("smallint unsigned zerofill", "c + 0", &["0", "65535"]),
    case("mediumint", "c", &["-8388608", "8388607"]),
    case("mediumint unsigned", "c", &["0", "16777215"]),
    case("int", "c", &["-2147483648", "2147483647"]),
    case("int unsigned", "c", &["0", "4294967295"]),
    case(
        "bigint",
        "c",
        &[
            "-9223372036854775808",
            "9223372036854775807",
            "9007199254740993",
        ],
    ),
    case(
        "bigint unsigned",
        "c",
        &["0", "9223372036854775808", "18446744073709551615"],
    ),
    case(
        "decimal(38,10)",
        "c",
        &["-9999999999999999999999999999.9999999999", "0.0000000001"],
    ),
    case(
        "decimal(65,30)",
        "c",
        &[
            "-99999999999999999999999999999999999.999999999999999999999999999999",
            "1",
        ],
    ),
    case("decimal(5,0) unsigned", "c", &["99999", "0"]),
    case("bit(1)", "ELT(c + 1, 'false', 'true')", &["b'0'", "b'1'"]),
    case("bit(10)", "c + 0", &["b'0'", "b'1111111111'"]),
    case(
        "bit(64)",
        "c + 0",
        &["0xFFFFFFFFFFFFFFFF", "0x8000000000000000"],
    ),
    case("year", "c + 0", &["1901", "2155", "0"]),
    case(
        "date",
        "c",
        &[
            "'1000-01-01'",
            "'9999-12-31'",
            "'2024-02-29'",
            "'0001-01-01'",
        ],
    ),
    case(
        "datetime",
        "DATE_FORMAT(c, '%Y-%m-%dT%H:%i:%s.%f')",
        &["'1000-01-01 00:00:00'", "'9999-12-31 23:59:59'"],
    ),
    case(
        "datetime(6)",
        "DATE_FORMAT(c, '%Y-%m-%dT%H:%i:%s.%f')",
        &["'1969-12-31 23:59:59.999999'", "'2024-06-01 12:00:00.5'"],
    ),
    case(
        "timestamp(6) NULL DEFAULT NULL",
        "DATE_FORMAT(c, '%Y-%m-%dT%H:%i:%s.%fZ')",
        &["'1970-01-01 00:00:01'", "'2038-01-19 03:14:07.999999'"],
    ),
    case(
        "time",
        "c",
        &["'-838:59:59'", "'838:59:59'", "'00:00:00'", "'01:02:03'"],
    ),
    case("time(3)", "c", &["'-00:00:00.001'", "'100:00:00.25'"]),
    case("char(5)", "c", &["'ab'", "''", "'é€'"]),
    case(
        "varchar(50)",
        "c",
        &["''", "'a\\'b\\\"c\\\\'", "'日本🦀'", "' tail  '"],
    ),
    case(
        "varchar(50) CHARACTER SET latin1",
        "c",
        &["'Grüße'", "'€'", "x'81'"],
    ),
    case(
        "varchar(50) CHARACTER SET cp1251",
        "c",
        &["'Привет'", "'?'"],
    ),
    case("varchar(50) CHARACTER SET utf16", "c", &["'x🦀'"]),
    case("longtext", "c", &["REPEAT('long ', 20000)", "''"]),
    case("enum('a','ü','')", "c", &["'a'", "'ü'", "''"]),
    case("set('x','y','z')", "c", &["'x,z'", "''"]),
    case("binary(4)", "LOWER(HEX(c))", &["x'00ff'", "'abcd'"]),
    case("varbinary(300)", "LOWER(HEX(c))", &["x''", "x'00FF80'"]),
    case("longblob", "LOWER(HEX(c))", &["REPEAT(x'00FE', 30000)"]),
    case("point", "LOWER(HEX(c))", &["POINT(1, -2.5)"]),
    case(
        "double",
        "c",
        &[
            "0",
            "0.1",
            "-1.7976931348623157e308",
            "5e-324",
            "123456789.123",
        ],
    ),
];

/// What only MariaDB has.
const MARIADB: &[Case] = &[
    case("json", "c", &["'{\"a\": [1, null]}'", "'\"é\"'"]),
    case("uuid", "c", &["'123e4567-e89b-12d3-a456-426655440000'"]),
    case(
        "inet6",
        "c",
        &["'2001:db8::ff00:42:8329'", "'::ffff:192.0.2.1'"],
    ),
];

/// The table `t` with a column for each case.
fn create(server: &Mysql, cases: &[&Case]) -> MysqlDatabase {
    let database = server.fresh_database();
    let columns: Vec<String> = cases
        .iter()
        .enumerate()
        .map(|(at, case)| format!("c{at} {}", case.definition))
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

/// The server's words, with its functions' letters left alone.
fn printed(cases: &[&Case]) -> String {
    let of = |(at, case): (usize, &&Case)| {
        let name = format!("c{at}");
        let words = case.printed.split_inclusive(|c: char| !c.is_alphanumeric());
        words
            .map(|word| match word.strip_prefix('c') {
                Some(rest) if !rest.starts_with(char::is_alphanumeric) => format!("{name}{rest}"),
                _ => word.to_owned(),
            })
            .collect::<String>()
    };
    cases
        .iter()
        .enumerate()
        .map(of)
        .collect::<Vec<_>>()
        .join(", ")
}

#[track_caller]
fn expect_same(expected: &str, read: &str, what: &str) {
    let double = |text: &str| text.parse::<f64>().ok().map(f64::to_bits);
    let float = |text: &str| text.parse::<f32>().ok().map(f32::to_bits);
    assert!(
        expected == read
            || what.starts_with("double") && double(expected) == double(read)
            || what.starts_with("float") && float(expected) == float(read),
        "{what}: the server says {expected:?}, the reader {read:?}"
    );
}

/// Fails the test unless an engine reads of every column that it can read what the server printed.
#[track_caller]
fn expect_values(cases: &[&Case], expected: &[Row], run: &Published, engine: Engine) {
    let columns = run.plan().spec.read.columns;
    let rows = run.rows(engine, &["id"]);
    assert_eq!(rows.len(), expected.len());
    for (expected, read) in expected.iter().zip(&rows) {
        for (at, (expected, read)) in expected.iter().zip(read).enumerate().skip(1) {
            // The others have no decimals of more than 38 digits.
            let long =
                matches!(columns[at].field, FieldType::Decimal { precision, .. } if precision > 38);
            if long && engine != Engine::Pyarrow {
                continue;
            }
            let what = format!("{}, {engine:?}", cases[at - 1].definition);
            match (expected, read) {
                (None, None) => {}
                (Some(expected), Some(read)) => expect_same(expected, read, &what),
                _ => panic!("{what}: {expected:?} and {read:?}"),
            }
        }
    }
}

#[test]
fn every_type_is_read_as_the_server_prints_it() {
    let servers = ["MariaDB 10.11", "MySQL 5.6"].into_iter().zip(both());
    for ((name, server), more) in servers.zip([MARIADB, &[]]) {
        let cases: Vec<&Case> = CASES.iter().chain(more).collect();
        let database = create(&server, &cases);
        let sql = format!("SELECT id, {} FROM t ORDER BY id", printed(&cases));
        let expected = database.query_text(&sql);
        let cli = Cli::new();
        let run = |out: &str, flags: &[&str]| extract(&cli, &database.url(), "t", out, flags);
        let portable = run("portable", &["--workers", "4", "--chunk-rows", "2"]);
        let native = run("native", &["--workers", "1", "--types", "native"]);
        for engine in [Engine::Pyarrow, Engine::DuckDb] {
            expect_values(&cases, &expected, &portable, engine);
            expect_values(&cases, &expected, &native, engine);
        }
        expect_values(&cases, &expected, &portable, Engine::Polars);
        for compression in ["zstd", "gzip", "lz4", "none"] {
            for (workers, types) in [("1", "portable"), ("4", "native")] {
                let out = format!("{compression}-{types}");
                let flags = ["--workers", workers, "--chunk-rows", "2", "--types", types];
                let run = run(
                    &out,
                    &[&flags[..], &["--compression", compression]].concat(),
                );
                expect_values(&cases, &expected, &run, Engine::Pyarrow);
            }
        }
        let by = "pyarrow, DuckDB, Polars";
        expect_page(name, &[&portable, &native], expected.len(), by);
    }
}

/// Random values, made by the server.
#[test]
fn random_values_are_read_to_the_last_digit() {
    for server in both() {
        let database = server.fresh_database();
        database.exec(
            "CREATE TABLE digits (d INT PRIMARY KEY);
             INSERT INTO digits VALUES (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
             CREATE TABLE t (id INT PRIMARY KEY, i BIGINT, u BIGINT UNSIGNED, n DECIMAL(38,12),
                 d DOUBLE, f FLOAT, at DATETIME(6), v VARBINARY(40), day DATE, ts TIMESTAMP(6) NULL,
                 took TIME(6), y YEAR, bits BIT(33), mood ENUM('sad', 'so-so', 'glad'),
                 tags SET('a', 'b', 'c', 'd'), words TEXT, latin VARCHAR(9) CHARACTER SET latin1);
             INSERT INTO t SELECT a.d + 10 * b.d + 100 * c.d,
                 CAST((RAND(1) - 0.5) * 1.8e19 AS SIGNED),
                 CAST(RAND(2) * 1.8e19 AS UNSIGNED),
                 CAST(RAND(3) * 1e15 AS DECIMAL(38,12)) - 5e14,
                 (RAND(4) - 0.5) * POW(10, FLOOR(RAND(5) * 600) - 300),
                 (RAND(6) - 0.5) * POW(10, FLOOR(RAND(7) * 70) - 35),
                 DATE_ADD('1600-01-01', INTERVAL FLOOR(RAND(8) * 2e17) MICROSECOND),
                 UNHEX(SHA1(RAND(9))),
                 DATE_ADD('0400-02-29', INTERVAL FLOOR(RAND(10) * 3500000) DAY),
                 DATE_ADD('1970-01-02', INTERVAL FLOOR(RAND(11) * 2.1e15) MICROSECOND),
                 SEC_TO_TIME((RAND(12) - 0.5) * 6e6), 1901 + FLOOR(RAND(13) * 254),
                 FLOOR(RAND(14) * POW(2, 33)), 1 + FLOOR(RAND(15) * 3), FLOOR(RAND(16) * 16),
                 REPEAT(ELT(1 + FLOOR(RAND(17) * 4), 'x', '🦀', 'é\n', '\\\\\"'), FLOOR(RAND(18) * 40)),
                 ELT(1 + FLOOR(RAND(19) * 4), 'ÿ', '', '€', NULL)
             FROM digits a, digits b, digits c",
        );
        let expected = database.query_text(
            "SELECT id, i, u, n, d, f + 0e0, DATE_FORMAT(at, '%Y-%m-%dT%H:%i:%s.%f'), LOWER(HEX(v)),
             day, DATE_FORMAT(ts, '%Y-%m-%dT%H:%i:%s.%fZ'), took, y + 0, bits + 0, mood, tags, words,
             latin FROM t ORDER BY id",
        );
        let extraction = Extraction::new(database.url(), "t");
        let chunks = ["--chunk-rows", "100", "--workers", "3"];
        extraction.run(&chunks).expect_code(0);
        let rows = readers::rows(Engine::Pyarrow, &extraction.dataset(), &["id"]);
        assert_eq!(rows.len(), 1000);
        for (expected, read) in expected.iter().zip(&rows) {
            for (at, (expected, read)) in expected.iter().zip(read).enumerate() {
                let (Some(expected), Some(read)) = (expected, read) else {
                    assert_eq!(expected, read, "column {at}");
                    continue;
                };
                let kind = ["double", "float"]
                    .get(at.wrapping_sub(4))
                    .unwrap_or(&"exact");
                expect_same(expected, read, kind);
            }
        }
    }
}

#[test]
fn what_no_type_holds_stops_the_run_or_is_counted_or_is_text() {
    for server in both() {
        let database = server.fresh_database();
        database.exec(
            "CREATE TABLE t (id INT PRIMARY KEY, d DATE, at DATETIME(2), \
                 w VARCHAR(9) CHARACTER SET cp1251, KEY (d));
             INSERT INTO t VALUES (1, '2024-01-01', '2024-01-01', 'x'),
                 (2, '0000-00-00', '2024-00-10 01:02:03', _binary x'98')",
        );
        let extraction = Extraction::new(database.url(), "t");
        // An index shows the first of them before the run; the others' columns have none.
        let warned = extraction
            .cli
            .run(extraction.words("plan", &[]))
            .expect_code(0);
        let warning =
            "d holds 0000-00-00 by the statistics, which date cannot hold: the run will stop";
        assert!(warned.stdout.contains(warning), "{warned:#?}");
        assert!(!warned.stdout.contains("at holds"), "{warned:#?}");
        let text = extraction.run(&[]).expect_code(1).stderr;
        for part in [
            "t.d",
            "0000-00-00",
            "id = 2",
            "--type d=text",
            "--type at=text",
            "--type w=binary",
            "--on-unrepresentable d=null",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!extraction.dataset().exists(), "nothing is published");

        let nulls = ["--on-unrepresentable", "null"];
        let told = extraction.run(&nulls).expect_code(0).stdout;
        assert!(
            told.contains("w: 1 value that its type cannot hold"),
            "{told}"
        );
        assert_eq!(
            extraction.rows()[1],
            [Some("2".to_owned()), None, None, None]
        );

        let exact = [
            "--type", "d=text", "--type", "at=text", "--type", "w=binary",
        ];
        let extraction = Extraction::new(database.url(), "t");
        extraction.run(&exact).expect_code(0);
        let second: Vec<String> = extraction.rows().remove(1).into_iter().flatten().collect();
        assert_eq!(second, ["2", "0000-00-00", "2024-00-10 01:02:03.00", "98"]);
    }
}

#[test]
fn overrides_are_checked_value_by_value() {
    let database = mariadb().fresh_database();
    database.exec(
        "CREATE TABLE t (id INT PRIMARY KEY, flag TINYINT(1), u BINARY(16), clock TIME(6), n DECIMAL(10,4));
         INSERT INTO t VALUES (1, 1, x'123e4567e89b12d3a456426655440000', '12:34:56.5', 1.2500)",
    );
    let wanted = [
        "--type",
        "flag=bool",
        "--type",
        "u=uuid",
        "--type",
        "clock=time(us)",
        "--type",
        "n=decimal(10,2)",
    ];
    let extraction = Extraction::new(database.url(), "t");
    extraction.run(&wanted).expect_code(0);
    let row: Vec<String> = extraction.rows().remove(0).into_iter().flatten().collect();
    assert_eq!(
        row,
        [
            "1",
            "true",
            "123e4567-e89b-12d3-a456-426655440000",
            "12:34:56.500000",
            "1.25"
        ]
    );
    for (bad, part) in [
        ("INSERT INTO t (id, flag) VALUES (2, 2)", "flag"),
        ("INSERT INTO t (id, clock) VALUES (2, '-01:00:00')", "clock"),
        ("INSERT INTO t (id, n) VALUES (2, 0.0001)", "0.0001"),
    ] {
        database.exec(bad);
        let text = extraction.run(&wanted).expect_code(1).stderr;
        assert!(text.contains(part), "{text}");
        database.exec("DELETE FROM t WHERE id = 2");
    }
    let refused = extraction.run(&["--type", "n=float64"]).expect_code(2);
    assert!(refused.stderr.contains("--lossy n=float64"), "{refused:#?}");
}
