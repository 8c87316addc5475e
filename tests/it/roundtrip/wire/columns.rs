//! The columns: edge values first, then where random ones come from.

use crate::random::Random;
use crate::roundtrip::oracle::Kind;
use crate::roundtrip::table::{Column, column};

/// All of them.
pub(in crate::roundtrip) fn every_type() -> Vec<Column> {
    [numbers(), decimals(), odd_decimals(), texts(), times()].concat()
}

fn numbers() -> Vec<Column> {
    vec![
        column("bool_", "bool", Kind::Bool, &["t", "f"], |random| {
            random.pick(&["t", "f"]).to_owned()
        }),
        column(
            "int2_",
            "int2",
            Kind::Exact,
            &["-32768", "32767", "0", "-1"],
            |random| random.between(-32768, 32767).to_string(),
        ),
        column(
            "int4_",
            "int4",
            Kind::Exact,
            &["-2147483648", "2147483647", "0"],
            |random| random.between(i32::MIN.into(), i32::MAX.into()).to_string(),
        ),
        column(
            "int8_",
            "int8",
            Kind::Exact,
            &[
                "-9223372036854775808",
                "9223372036854775807",
                "0",
                "9007199254740993",
            ],
            |random| random.between(i64::MIN, i64::MAX).to_string(),
        ),
        column(
            "oid_",
            "oid",
            Kind::Exact,
            &["0", "4294967295", "2147483648"],
            |random| random.below(1 << 32).to_string(),
        ),
        column("float4_", "float4", Kind::Float32, FLOAT_4, Random::float32),
        column("float8_", "float8", Kind::Float64, FLOAT_8, Random::float64),
    ]
}

const FLOAT_4: &[&str] = &[
    "NaN",
    "Infinity",
    "-Infinity",
    "-0",
    "0",
    "0.1",
    "3.4028235e38",
    "-3.4028235e38",
    "1e-45",
    "1.17549435e-38",
    "16777217",
];
const FLOAT_8: &[&str] = &[
    "NaN",
    "Infinity",
    "-Infinity",
    "-0",
    "0",
    "0.1",
    "1.7976931348623157e308",
    "5e-324",
    "2.2250738585072014e-308",
    "9007199254740993",
    "0.30000000000000004",
];

fn decimals() -> Vec<Column> {
    vec![
        column(
            "n_1_0",
            "numeric(1,0)",
            Kind::Exact,
            &["9", "-9", "0"],
            |random| random.between(-9, 9).to_string(),
        ),
        column(
            "n_10_2",
            "numeric(10,2)",
            Kind::Exact,
            &[
                "99999999.99",
                "-99999999.99",
                "0",
                "-0.01",
                "0.1",
                "10000",
                "10000.0001",
            ],
            |random| decimal(random, 8, 2),
        ),
        column(
            "n_18_9",
            "numeric(18,9)",
            Kind::Exact,
            &["0.000000001", "1"],
            |random| decimal(random, 9, 9),
        ),
        column(
            "n_19_0",
            "numeric(19,0)",
            Kind::Exact,
            &["9223372036854775808"],
            |random| decimal(random, 19, 0),
        ),
        column("n_38_0", "numeric(38,0)", Kind::Exact, N_38_0, |random| {
            decimal(random, 38, 0)
        }),
        column(
            "n_38_10",
            "numeric(38,10)",
            Kind::Exact,
            &["1e27", "-1e-10"],
            |random| decimal(random, 28, 10),
        ),
        column(
            "n_38_38",
            "numeric(38,38)",
            Kind::Exact,
            &["1e-38", "-1e-38", "0"],
            |random| decimal(random, 0, 38),
        ),
    ]
}

/// Scales outside the precision, precisions beyond 38 digits, and none at all.
fn odd_decimals() -> Vec<Column> {
    vec![
        column(
            "n_5_m2",
            "numeric(5,-2)",
            Kind::Exact,
            &["9999900", "-100", "0", "50"],
            |random| format!("{}e2", decimal(random, 5, 0)),
        ),
        column(
            "n_36_m2",
            "numeric(36,-2)",
            Kind::Exact,
            &["1e37", "-1e37"],
            |random| format!("{}e2", decimal(random, 36, 0)),
        ),
        column(
            "n_38_m5",
            "numeric(38,-5)",
            Kind::Exact,
            &["1e42", "-1e42", "1e5"],
            |random| format!("{}e5", decimal(random, 38, 0)),
        ),
        column(
            "n_3_5",
            "numeric(3,5)",
            Kind::Exact,
            &["0.00999", "-0.00999", "0"],
            |random| format!("0.00{}", random.digits(3)),
        ),
        column(
            "n_2_40",
            "numeric(2,40)",
            Kind::Exact,
            &["99e-40", "-1e-40", "0"],
            |random| format!("{}e-40", random.below(100)),
        ),
        column(
            "n_39_3",
            "numeric(39,3)",
            Kind::Exact,
            &["1e35", "-0.001"],
            |random| decimal(random, 36, 3),
        ),
        column(
            "n_76_38",
            "numeric(76,38)",
            Kind::Exact,
            &["1e37", "-1e-38", "0"],
            |random| decimal(random, 38, 38),
        ),
        column(
            "n_100_50",
            "numeric(100,50)",
            Kind::Exact,
            &["1e49", "1e-50"],
            |random| decimal(random, 50, 50),
        ),
        column("n_free", "numeric", Kind::Exact, N_FREE, |random| {
            let (whole, fraction) = (random.below(40), random.below(40));
            decimal(random, whole, fraction)
        }),
    ]
}

const N_38_0: &[&str] = &[
    "99999999999999999999999999999999999999",
    "-99999999999999999999999999999999999999",
    "0",
    "170141183460469231731687303715884105",
    "10000000000000000000000000000000000000",
];
const N_FREE: &[&str] = &[
    "NaN",
    "Infinity",
    "-Infinity",
    "0",
    "0.000",
    "-1.50",
    "1e300",
    "1e-300",
    "10000",
    "0.0001",
    "100000000",
    "12345678.9",
];

/// A number of up to that many digits before and after the point.
fn decimal(random: &mut Random, whole: u64, fraction: u64) -> String {
    let sign = random.pick(&["", "-"]);
    let length = random.below(whole + 1);
    let (whole, fraction) = (random.digits(length), random.digits(fraction));
    format!("{sign}0{whole}.{fraction}0")
}

fn texts() -> Vec<Column> {
    let json = |random: &mut Random| {
        let text = serde_json::Value::from(random.text(20).replace('\0', ""));
        format!(
            r#"{{"b": {text},  "a": [{}, null, 1.50]}}"#,
            random.below(1000)
        )
    };
    vec![
        column(
            "char_",
            "char(5)",
            Kind::Exact,
            &["", "a", "abcde", "ä  ", "     "],
            |random| random.text(5),
        ),
        column(
            "varchar_",
            "varchar(20)",
            Kind::Exact,
            &["", " a "],
            |random| random.text(20),
        ),
        column("text_", "text", Kind::Exact, TEXT, |random| random.text(60)),
        column("name_", "name", Kind::Exact, &["", "Größe"], |random| {
            random.text(12)
        }),
        column("letter", "\"char\"", Kind::Exact, &["", "x"], |random| {
            char::from(random.between(0x20, 0x7e) as u8).to_string()
        }),
        column(
            "bytea_",
            "bytea",
            Kind::Bytes,
            &["", "\\x00", "\\xff00"],
            |random| {
                let length = random.below(40);
                format!("\\x{}", random.hex(length))
            },
        ),
        column("uuid_", "uuid", Kind::Exact, UUID, |random| random.hex(16)),
        column(
            "json_",
            "json",
            Kind::Exact,
            &["null", " {\"a\" :1,\"a\":2 } ", "[]", "1e400"],
            json,
        ),
        column(
            "jsonb_",
            "jsonb",
            Kind::Exact,
            &["null", " {\"a\" :1,\"a\":2 } ", "[]", "\"\""],
            json,
        ),
    ]
}

const TEXT: &[&str] = &[
    "",
    " ",
    "\\N",
    "\\.",
    "NULL",
    "\n\r\t",
    "👩‍👩‍👧‍👦",
    "e\u{301}",
    "\u{feff}",
    "\u{10ffff}",
    "'",
];
const UUID: &[&str] = &[
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "00112233-4455-6677-8899-aabbccddeeff",
];

/// Days are written as Julian days, which reach from one end of the types to the other.
fn times() -> Vec<Column> {
    let moment = |random: &mut Random| {
        // Near today, or anywhere that microseconds since 1970 reach in 64 bits.
        let day = if random.once_in(2) {
            random.between(2_440_000, 2_470_000)
        } else {
            random.between(1, 109_192_578)
        };
        format!("J{day} {}", random.time())
    };
    vec![
        column("date_", "date", Kind::Date, DATE, |random| {
            format!("J{}", random.between(1, 2_147_483_493))
        }),
        column(
            "time_",
            "time",
            Kind::Time,
            &["00:00", "23:59:59.999999"],
            Random::time,
        ),
        column(
            "time_3",
            "time(3)",
            Kind::Time,
            &["00:00", "23:59:59.999"],
            |random| random.time()[..12].to_owned(),
        ),
        column(
            "timestamp_",
            "timestamp",
            Kind::Timestamp,
            TIMESTAMP,
            moment,
        ),
        column(
            "timestamp_0",
            "timestamp(0)",
            Kind::Timestamp,
            &["epoch"],
            moment,
        ),
        column(
            "timestamptz_",
            "timestamptz",
            Kind::Instant,
            TIMESTAMP,
            moment,
        ),
    ]
}

const DATE: &[&str] = &[
    "4713-11-24 BC",
    "5874897-12-31",
    "0001-01-01",
    "0001-12-31 BC",
    "1970-01-01",
    "1969-12-31",
    "2000-02-29",
    "1900-02-28",
    "10000-01-01",
    "2000-01-01",
    "1999-12-31",
];
const TIMESTAMP: &[&str] = &[
    "4713-11-24 00:00:00 BC",
    "294247-01-10 04:00:54.775806",
    "294247-01-10 04:00:54.775807",
    "0001-01-01 00:00:00",
    "0001-12-31 23:59:59.999999 BC",
    "1970-01-01 00:00:00",
    "1969-12-31 23:59:59.999999",
    "2000-01-01 00:00:00",
    "1999-12-31 23:59:59.999999",
    "9999-12-31 23:59:59.999999",
    "2024-02-29 12:34:56.789",
];
