//! What runs cost by the user's rates: shown, reckoned from what the run really took, stored, and
//! compared only with numbers of workers that were measured.

use std::collections::BTreeSet;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::extraction::{Extraction, state_file};
use crate::ixtract::Cli;

/// Four thousand rows in a file.
fn table() -> Extraction {
    let cli = Cli::new();
    let path = cli.home().join("d.db");
    Connection::open(&path)
        .and_then(|db| {
            db.execute_batch(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);
                 WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < 4000)
                 INSERT INTO t SELECT n, printf('%0500d', n) FROM g; ANALYZE",
            )
        })
        .expect("a database");
    Extraction::new(format!("sqlite:{}", path.display()), "t").by(cli)
}

const RATES: [&str; 6] = [
    "--compute-rate",
    "3600000",
    "--egress-rate",
    "1024",
    "--connection-rate",
    "36000",
];

fn plan(extraction: &Extraction, flags: &[&str]) -> Value {
    let words = extraction.words("plan", &[flags, &["--json"]].concat());
    extraction.cli.run(words).expect_code(0).json()
}

fn run(extraction: &Extraction, flags: &[&str]) -> Value {
    extraction
        .run(&[flags, &["--json"]].concat())
        .expect_code(0)
        .json()
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

/// The total by [`RATES`], reckoned from the formula: hours, GiB, and hours of each worker.
#[track_caller]
fn assert_total(cost: &Value, seconds: &Value, bytes: &Value, workers: &Value) {
    let want = number(seconds) * 1_000.0
        + number(bytes) / 1_048_576.0
        + number(workers) * number(seconds) * 10.0;
    let got = number(&cost["total"]);
    assert!((got - want).abs() < 0.001, "{got} is not {want}: {cost}");
}

/// Expected and actual cost of every run, the oldest first.
fn stored(extraction: &Extraction) -> Vec<(Option<f64>, Option<f64>)> {
    let store = Connection::open(state_file(&extraction.cli)).expect("the state");
    let mut ask = store
        .prepare("SELECT estimated_cost, actual_cost FROM runs ORDER BY started_at")
        .expect("a statement");
    ask.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("rows")
        .collect::<Result<_, _>>()
        .expect("numbers")
}

#[test]
fn without_rates_there_is_no_cost() {
    let extraction = table();
    for flags in [&[][..], &["--compute-rate", "0", "--egress-rate", "0.0"]] {
        assert_eq!(plan(&extraction, flags)["cost"], Value::Null);
        assert_eq!(run(&extraction, flags)["cost"], Value::Null);
        let told = extraction.run(flags).expect_code(0).stdout;
        assert!(!told.contains("  cost "), "{told}");
    }
    assert_eq!(stored(&extraction), [(None, None); 4]);
}

#[test]
fn a_plan_tells_what_its_forecast_costs() {
    let extraction = table();
    let document = plan(&extraction, &RATES);
    let (cost, forecast) = (&document["cost"], &document["plan"]["forecast"]);
    let workers = &document["plan"]["spec"]["workers"];
    assert_total(
        &cost["expected"],
        &forecast["duration_s"],
        &forecast["bytes"],
        workers,
    );
    assert_eq!(cost["currency"], "USD");
    assert_eq!(cost["comparison"], Value::Null, "nothing was measured");
    // Costs decide nothing.
    let free = plan(&extraction, &[]);
    assert_eq!(free["plan"]["fingerprint"], document["plan"]["fingerprint"]);
    let told = extraction
        .cli
        .run(extraction.words("plan", &RATES))
        .expect_code(0)
        .stdout;
    let total = format!(
        "cost         {:.4} USD (compute ",
        number(&cost["expected"]["total"])
    );
    assert!(told.contains(&total), "no {total:?} in {told}");
}

#[test]
fn a_run_tells_and_stores_what_it_took() {
    let extraction = table();
    let flags = [&RATES[..], &["--workers", "2", "--chunk-rows", "500"]].concat();
    let document = run(&extraction, &flags);
    let cost = &document["cost"];
    assert_eq!(document["workers"], 2);
    assert_total(
        &cost["actual"],
        &document["duration_s"],
        &document["bytes"],
        &json!(2),
    );
    let row = |cost: &Value| {
        let total = |part: &str| cost[part]["total"].as_f64();
        (total("expected"), total("actual"))
    };
    assert_eq!(stored(&extraction), [row(cost)]);
    let outcome = extraction.run(&flags).expect_code(0);
    assert!(outcome.stdout.contains(" USD expected\n"), "{outcome:#?}");
    let both = stored(&extraction)[1];
    let told = format!("; {:.4} USD expected", both.0.expect("an estimate"));
    assert!(
        outcome.stdout.contains(&told),
        "no {told:?} in {outcome:#?}"
    );
    // A given plan costs too.
    let out = [&flags[..], &["--out", "p.json"]].concat();
    plan(&extraction, &out);
    let database = extraction.cli.home().join("d.db");
    let source = format!("sqlite:{}", database.display());
    let words = [
        "run", "--plan", "p.json", "--source", &source, "--output", "out", "--json",
    ];
    let given = extraction
        .cli
        .run([&words[..], &RATES].concat())
        .expect_code(0)
        .json();
    assert_total(
        &given["cost"]["actual"],
        &given["duration_s"],
        &given["bytes"],
        &json!(2),
    );
}

#[test]
fn a_run_that_failed_has_cost_what_it_took() {
    let extraction = table();
    let spoilt = [
        &RATES[..],
        &["--workers", "1", "--chunk-rows", "500", "--type", "a=int64"],
    ];
    let database = Connection::open(extraction.cli.home().join("d.db")).expect("a database");
    database
        .execute_batch("UPDATE t SET a = CASE WHEN id < 3900 THEN '7' ELSE 'no number' END")
        .expect("an update");
    extraction.run(&spoilt.concat()).expect_code(1);
    let rows = stored(&extraction);
    let [(Some(_), Some(actual))] = rows[..] else {
        panic!("{rows:?}");
    };
    assert!(actual > 0.0, "{actual}");
}

#[test]
fn only_measured_numbers_of_workers_are_compared() {
    let extraction = table();
    let each = ["--chunk-rows", "100", "--start-workers", "2"];
    let mut measured = BTreeSet::new();
    for _ in 0..6 {
        let document = run(&extraction, &each);
        if document["teaches"] == true {
            measured.insert(document["workers"].as_u64().expect("a number"));
        }
    }
    assert!(measured.len() >= 2, "{measured:?}");
    // Connections cost, so that more workers are no free lunch.
    let compare = |flags: &[&str]| {
        let rates = ["--connection-rate", "10", "--compute-rate", "1"];
        let document = plan(&extraction, &[&each, &rates, flags].concat());
        let found = document["cost"]["comparison"]["alternatives"].clone();
        (document["plan"]["spec"]["workers"].as_u64(), found)
    };
    let (planned, found) = compare(&["--no-explore"]);
    let found = found.as_array().expect("a comparison").clone();
    let own: Vec<_> = found.iter().filter(|one| one["planned"] == true).collect();
    assert_eq!(own.len(), 1, "{found:?}");
    assert_eq!(own[0]["workers"].as_u64(), planned);
    for one in &found {
        assert_eq!(one["measured"], true, "{found:?}");
        let workers = one["workers"].as_u64().expect("a number");
        assert!(
            measured.contains(&workers),
            "{workers} is not in {measured:?}"
        );
        // None beats another in both.
        let both = |one: &Value| (number(&one["duration_s"]), number(&one["cost"]["total"]));
        let (time, price) = both(one);
        let beaten = found
            .iter()
            .filter(|other| other["workers"] != one["workers"])
            .any(|other| {
                let other = both(other);
                other.0 <= time && other.1 <= price
            });
        assert!(!beaten || one["planned"] == true, "{found:?}");
    }
    // A number that was never measured is compared only as the plan's own, and says so.
    let odd = (1..=8)
        .rev()
        .find(|count| !measured.contains(count))
        .expect("one is left");
    let (planned, found) = compare(&["--workers", &odd.to_string()]);
    let found = found.as_array().expect("a comparison").clone();
    assert_eq!(planned, Some(odd));
    let guessed: Vec<_> = found
        .iter()
        .filter(|one| one["measured"] == false)
        .collect();
    assert_eq!(guessed.len(), 1, "{found:?}");
    assert_eq!(
        (&guessed[0]["workers"], &guessed[0]["planned"]),
        (&json!(odd), &json!(true))
    );
}

#[test]
fn rates_come_from_a_file_too_and_everything_wrong_is_told() {
    let extraction = table();
    let write = |text: &str| {
        std::fs::write(extraction.cli.home().join("rates.json"), text).expect("a file");
    };
    write(r#"{"compute_cost_per_hour": 3600, "egress_cost_per_gb": null, "currency": "EUR"}"#);
    let document = plan(&extraction, &["--cost-file", "rates.json"]);
    assert_eq!(document["cost"]["currency"], "EUR");
    let seconds = number(&document["plan"]["forecast"]["duration_s"]);
    let compute = number(&document["cost"]["expected"]["compute"]);
    assert!((compute - seconds).abs() < 0.001, "{document:#}");
    let over = plan(
        &extraction,
        &["--cost-file", "rates.json", "--compute-rate", "7200"],
    );
    let doubled = number(&over["cost"]["expected"]["compute"]);
    assert!((doubled - 2.0 * seconds).abs() < 0.001, "{over:#}");

    write(r#"{"compute_cost_per_hours": 1, "egress_cost_per_gb": -1, "currency": true}"#);
    let told = |flags: &[&str], code: i32| {
        let words = extraction.words("plan", &[&["--cost-file", "rates.json"], flags].concat());
        let outcome = extraction.cli.run(words).expect_code(code);
        assert_eq!(outcome.stderr.lines().count(), 3, "{outcome:#?}");
        outcome.stderr
    };
    let why = told(&[], 78);
    for word in [
        "did you mean compute_cost_per_hour?",
        "not -1",
        "currency must be",
    ] {
        assert!(why.contains(word), "{why}");
    }
    // What would make the total overflow is no rate.
    assert!(told(&["--compute-rate", "1e308"], 64).contains("--compute-rate"));
    let why = told(&["--connection-rate", "free", "--egress-rate", "inf"], 64);
    for word in [
        "--connection-rate",
        "--egress-rate",
        "rates.json: egress_cost_per_gb",
    ] {
        assert!(why.contains(word), "{why}");
    }
}
