//! PostgreSQL's types that have no counterpart: the server turns them into text.

use super::oracle::Kind;
use super::table::{Column, Filled, column};
use crate::ixtract::Cli;
use crate::published::extract;
use crate::random::Random;
use crate::readers::Engine;
use crate::servers::postgres;

#[test]
fn what_has_no_counterpart_arrives_as_the_servers_text() {
    let database = postgres().fresh_database();
    database.exec(TYPES);
    let columns = columns();
    let table = Filled::create(&database, &columns, 100, "");
    let cli = Cli::new();
    let run = |name: &str, flags: &[&str]| extract(&cli, &database.url(), "public.t", name, flags);
    table.expect_in(&run("one", &["--workers", "1"]), &Engine::ALL);
    let by_key = [
        "--workers",
        "4",
        "--chunking",
        "key",
        "--chunk-rows",
        "7",
        "--types",
        "native",
    ];
    table.expect_in(&run("keyed", &by_key), &[Engine::Pyarrow]);
    let by_block = ["--workers", "4", "--chunking", "ctid", "--chunk-rows", "7"];
    table.expect_in(&run("blocks", &by_block), &[Engine::Pyarrow]);
}

/// What the columns need.
pub(super) const TYPES: &str = "
    CREATE EXTENSION hstore; CREATE EXTENSION citext;
    CREATE TYPE mood AS ENUM ('sad', 'so so', 'glücklich');
    CREATE TYPE pair AS (number int, word text, moment timestamptz);
    CREATE DOMAIN percent AS numeric(5,2) CHECK (VALUE BETWEEN 0 AND 100);
    CREATE DOMAIN code AS text;
    CREATE DOMAIN nested AS percent;
    CREATE TYPE \"Odd \"\"Type\" AS ENUM ('x')";

/// One column for each of these types.
pub(super) fn columns() -> Vec<Column> {
    [clocks(), own_types(), networks(), shapes()].concat()
}

fn clocks() -> Vec<Column> {
    vec![
        column(
            "timetz_",
            "timetz",
            Kind::Cast,
            &[
                "00:00:00+00",
                "23:59:59.999999-15:59",
                "24:00:00+00",
                "12:00:00+05:45:10",
            ],
            |random| format!("{}+{:02}:30", random.time(), random.below(15)),
        ),
        column("interval_", "interval", Kind::Cast, INTERVAL, |random| {
            let [months, days] = [random.between(-500, 500), random.between(-500, 500)];
            let micros = random.between(-100_000_000_000, 100_000_000_000);
            format!("{months} months {days} days {micros} microseconds")
        }),
    ]
}

const INTERVAL: &[&str] = &[
    "0",
    "1 year 2 months 3 days 04:05:06.5",
    "-1 month +1 day -00:00:00.000001",
    "178000000 years",
    "-178000000 years",
    "1 day -24:00:00",
    "1000000:00:00",
];

fn own_types() -> Vec<Column> {
    let word = |random: &mut Random| random.text(8);
    vec![
        column(
            "mood_",
            "mood",
            Kind::Cast,
            &["sad", "so so", "glücklich"],
            |random| random.pick(&["sad", "so so", "glücklich"]).to_owned(),
        ),
        column("odd", "\"Odd \"\"Type\"", Kind::Cast, &["x"], |_| {
            "x".to_owned()
        }),
        column(
            "percent_",
            "percent",
            Kind::Cast,
            &["0", "100", "0.01"],
            |random| format!("{}.{}", random.below(100), random.digits(2)),
        ),
        column("nested_", "nested", Kind::Cast, &["0", "100"], |random| {
            random.below(100).to_string()
        }),
        column("code_", "code", Kind::Cast, &[""], word),
        column("pair_", "pair", Kind::Cast, PAIR, |random| {
            format!(
                "({},\"{}\",2024-01-02 {})",
                random.below(99),
                random.digits(4),
                random.time()
            )
        }),
        column(
            "range_",
            "int4range",
            Kind::Cast,
            &["empty", "(,)", "[1,5)", "(,5]"],
            |random| {
                let low = random.between(-1000, 1000);
                format!("[{low},{}]", low + random.between(0, 50))
            },
        ),
        column(
            "span",
            "tstzrange",
            Kind::Cast,
            &["empty", "(,)"],
            |random| format!("[2024-01-02 {},)", random.time()),
        ),
        column(
            "many",
            "int8multirange",
            Kind::Cast,
            &["{}", "{[1,3),[7,9)}"],
            |random| format!("{{[{},1000]}}", random.below(1000)),
        ),
        column(
            "hstore_",
            "hstore",
            Kind::Cast,
            &["", "a=>1,b=>NULL", "\"x y\"=>\"\""],
            |random| format!("k=>{}", random.below(100)),
        ),
        column("citext_", "citext", Kind::Cast, &["", "ÄbC"], word),
    ]
}

const PAIR: &[&str] = &[
    "(,,)",
    "(1,\"a \"\"b\"\", c\",2024-06-01 00:00+02)",
    "(-1,\"\",)",
];

fn networks() -> Vec<Column> {
    vec![
        column(
            "inet_",
            "inet",
            Kind::Cast,
            &["::1", "10.0.0.1/8", "::ffff:1.2.3.4"],
            |random| {
                format!(
                    "192.168.{}.{}/{}",
                    random.below(256),
                    random.below(256),
                    random.below(33)
                )
            },
        ),
        column(
            "cidr_",
            "cidr",
            Kind::Cast,
            &["0.0.0.0/0", "2001:db8::/32"],
            |random| format!("10.{}.0.0/16", random.below(256)),
        ),
        column(
            "mac",
            "macaddr",
            Kind::Cast,
            &["00:00:00:00:00:00"],
            |random| random.hex(6),
        ),
        column(
            "bit_",
            "bit(10)",
            Kind::Cast,
            &["0000000000", "1111111111"],
            |random| format!("{:010b}", random.below(1024)),
        ),
        column("varbit_", "varbit", Kind::Cast, &["", "1"], |random| {
            format!("{:b}", random.below(1 << 40))
        }),
        column(
            "lsn",
            "pg_lsn",
            Kind::Cast,
            &["0/0", "FFFFFFFF/FFFFFFFF"],
            |random| format!("{:X}/{:X}", random.below(1 << 32), random.below(1 << 32)),
        ),
        column(
            "xid8_",
            "xid8",
            Kind::Cast,
            &["0", "18446744073709551615"],
            |random| random.bits().to_string(),
        ),
        column("table_", "regclass", Kind::Cast, &["pg_class", "-"], |_| {
            "pg_type".to_owned()
        }),
        column("money_", "money", Kind::Money, MONEY, |random| {
            format!(
                "{}.{}",
                random.between(-1_000_000, 1_000_000),
                random.digits(2)
            )
        }),
    ]
}

const MONEY: &[&str] = &[
    "0",
    "-92233720368547758.08",
    "92233720368547758.07",
    "-0.01",
];

fn shapes() -> Vec<Column> {
    vec![
        column(
            "point_",
            "point",
            Kind::Cast,
            &["(0,-0)", "(1e-300,Infinity)"],
            |random| format!("({},{})", random.float64(), random.float64()),
        ),
        column("box_", "box", Kind::Cast, &["(0,0),(1,1)"], |random| {
            format!("({},2),(0.1,0.2)", random.below(99))
        }),
        column(
            "path_",
            "path",
            Kind::Cast,
            &["[(0,0),(1,1)]", "((0,0),(1,0.1))"],
            |random| format!("[(0.3,{})]", random.below(99)),
        ),
        column(
            "circle_",
            "circle",
            Kind::Cast,
            &["<(0,0),0.1>"],
            |random| format!("<(0.1,0.2),{}>", random.below(99)),
        ),
        column(
            "xml_",
            "xml",
            Kind::Cast,
            &["<a/>", "text", "<a b=\"ü\">&amp;</a>"],
            |random| format!("<n>{}</n>", random.below(1000)),
        ),
        column(
            "vector",
            "tsvector",
            Kind::Cast,
            &["", "a:1A b:2 'c d'"],
            |random| format!("w{}:{}", random.below(99), random.below(99) + 1),
        ),
        column(
            "query",
            "tsquery",
            Kind::Cast,
            &["a & !b", "'c d' <-> e:*"],
            |random| format!("w{} | x", random.below(99)),
        ),
        column(
            "path_of_json",
            "jsonpath",
            Kind::Cast,
            &["$", "$.a[*] ? (@ > 1)"],
            |random| format!("$.k{}", random.below(99)),
        ),
    ]
}
