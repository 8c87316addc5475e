//! PostgreSQL's arrays: lists of what their elements are.

use super::casts;
use super::oracle::Kind;
use super::table::{Column, Filled, column};
use crate::ixtract::Cli;
use crate::published::{Failure, attempt, extract};
use crate::readers::{self, Engine};
use crate::servers::postgres;

/// What the columns need beside [`casts::TYPES`].
pub(super) const TYPES: &str = "
    CREATE TYPE couple AS (number int, word text);
    CREATE DOMAIN codes AS text[];
    CREATE DOMAIN more_codes AS codes";

#[test]
fn arrays_arrive_element_by_element() {
    let database = postgres().fresh_database();
    database.exec(casts::TYPES);
    database.exec(TYPES);
    let columns = columns();
    let table = Filled::create(&database, &columns, 120, "");
    let cli = Cli::new();
    let run = |name: &str, flags: &[&str]| extract(&cli, &database.url(), "public.t", name, flags);
    table.expect_in(&run("one", &["--workers", "1"]), &Engine::ALL);
    let tiny = ["--workers", "4", "--chunk-rows", "7", "--chunking"];
    let keyed = [&tiny[..], &["key", "--types", "native"]].concat();
    table.expect_in(&run("keyed", &keyed), &[Engine::Pyarrow]);
    let blocks = [&tiny[..], &["ctid", "--compression", "zstd"]].concat();
    table.expect_in(&run("blocks", &blocks), &[Engine::Pyarrow, Engine::DuckDb]);

    let kinds = readers::schema(Engine::Pyarrow, &cli.home().join("one"));
    let kind = |name: &str| {
        let found = kinds.iter().find(|column| column.name == name);
        found.expect("a column").kind.clone()
    };
    assert_eq!(kind("ints"), "list<item: int32>");
    assert_eq!(kind("moments"), "list<item: timestamp[us, tz=UTC]>");
    assert_eq!(kind("percents"), "list<item: decimal128(5, 2)>");
    assert_eq!(kind("nets"), "list<item: string>");
}

/// One column for each of these types.
pub(super) fn columns() -> Vec<Column> {
    [plain(), made()].concat()
}

fn plain() -> Vec<Column> {
    vec![
        column(
            "ints",
            "int4[]",
            Kind::List(&Kind::Exact),
            &[
                "{}",
                "{1,NULL,-3}",
                "[-1:1]={7,8,9}",
                "{2147483647}",
                "{NULL}",
            ],
            |random| format!("{{{},NULL,{}}}", random.below(9), random.below(1000)),
        ),
        column(
            "texts",
            "text[]",
            Kind::List(&Kind::Exact),
            &[
                "{}",
                "{NULL,\"NULL\",\"\"}",
                r#"{"a b","c\"d","e\\f","g,h"}"#,
            ],
            |random| format!("{{\"{}\"}}", random.digits(3)),
        ),
        column(
            "moments",
            "timestamptz[]",
            Kind::List(&Kind::Instant),
            &["{2024-06-01 00:00+02}"],
            |random| format!("{{\"2024-01-02 {}\"}}", random.time()),
        ),
        column(
            "days",
            "date[]",
            Kind::List(&Kind::Date),
            &["{4713-11-24 BC,5874897-12-31}"],
            |random| format!("{{J{}}}", random.between(1, 2_147_483_493)),
        ),
        column(
            "doubles",
            "float8[]",
            Kind::List(&Kind::Float64),
            &["{0.1,NaN,-0,1e-300}"],
            |random| format!("{{{}}}", random.float64()),
        ),
        column(
            "blobs",
            "bytea[]",
            Kind::List(&Kind::Bytes),
            &["{\"\\\\x00ff\"}"],
            |random| format!("{{\"\\\\x{}\"}}", random.hex(3)),
        ),
        column(
            "uuids",
            "uuid[]",
            Kind::List(&Kind::Exact),
            &["{00112233-4455-6677-8899-aabbccddeeff,NULL}"],
            |random| format!("{{{}}}", random.hex(16)),
        ),
    ]
}

fn made() -> Vec<Column> {
    vec![
        column(
            "percents",
            "percent[]",
            Kind::List(&Kind::Exact),
            &["{0.5,NULL,100}"],
            |random| format!("{{{}.{}}}", random.below(100), random.digits(2)),
        ),
        column(
            "wide",
            "numeric[]",
            Kind::List(&Kind::Exact),
            &["{NaN,1e300,0.000}"],
            |random| format!("{{{}.{}}}", random.below(100), random.digits(20)),
        ),
        column(
            "moods",
            "mood[]",
            Kind::List(&Kind::Exact),
            &["{sad,\"so so\",glücklich}"],
            |_| "{sad}".to_owned(),
        ),
        column(
            "nets",
            "inet[]",
            Kind::List(&Kind::Exact),
            &["{::1,10.0.0.1/8,NULL}"],
            |random| format!("{{10.0.0.{}/32}}", random.below(256)),
        ),
        column(
            "couples",
            "couple[]",
            Kind::List(&Kind::Exact),
            &["{\"(1,a)\",NULL}"],
            |random| format!("{{\"({},b)\"}}", random.below(256)),
        ),
        column(
            "codes_",
            "more_codes",
            Kind::List(&Kind::Exact),
            &["{}", "{a,NULL}"],
            |random| format!("{{{}}}", random.digits(3)),
        ),
    ]
}

#[test]
fn an_array_of_more_dimensions_stops_the_run_and_can_be_had_as_text() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        "CREATE TABLE t (id int PRIMARY KEY, c int[]);
         INSERT INTO t VALUES (1, '{1}'), (7, '{{1,2},{3,4}}')",
    );
    let outcome = attempt(&cli, &database.url(), "public.t", "out", &[]).expect_code(1);
    let failure = Failure::of(&outcome);
    assert!(failure.text().contains("id = 7"), "{}", failure.text());
    assert!(
        failure.text().contains("2 dimensions"),
        "{}",
        failure.text()
    );
    assert!(failure.fix.contains("--type c=text"), "{}", failure.fix);
    let text = extract(
        &cli,
        &database.url(),
        "public.t",
        "out",
        &["--type", "c=text"],
    );
    let rows = text.rows(Engine::Pyarrow, &["id"]);
    assert_eq!(rows[1][1].as_deref(), Some("{{1,2},{3,4}}"));
    let nulls = ["--on-unrepresentable", "c=null"];
    let nulls = extract(&cli, &database.url(), "public.t", "out", &nulls);
    assert_eq!(nulls.rows(Engine::DuckDb, &["id"])[1][1], None);
    assert_eq!(nulls.manifest["nulled"]["c"], 1);
}
