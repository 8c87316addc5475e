//! Equal inputs give equal plans, in other processes and directories; and every input that decides
//! what is done is under the fingerprint, one by one, while no other is.

use std::collections::BTreeMap;

use crate::extraction::Extraction;
use crate::servers::{Database, postgres};

/// What all plans here have in common.
const BASE: [&str; 6] = [
    "--workers",
    "2",
    "--chunk-rows",
    "30",
    "--source-name",
    "shop",
];

fn table() -> Database {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id int8 PRIMARY KEY, n int8 UNIQUE NOT NULL, x text, d numeric(10,2));
         INSERT INTO t SELECT i, i, 'row ' || i, i FROM generate_series(1, 300) AS i;
         CREATE TABLE same AS TABLE t;
         ALTER TABLE same ADD PRIMARY KEY (id), ADD UNIQUE (n);
         ANALYZE t; ANALYZE same",
    );
    database
}

/// The fingerprint of a plan of `subject`, made by another process in a home of its own. Flags of
/// [`BASE`] give way to those of the same name.
fn of(source: &str, subject: &str, flags: &[&str]) -> String {
    let extraction = Extraction::new(source, subject);
    let base = BASE.chunks(2).filter(|flag| !flags.contains(&flag[0]));
    let words = [&base.collect::<Vec<_>>().concat(), flags, &["--json"]].concat();
    let outcome = extraction.cli.run(extraction.words("plan", &words));
    let document = outcome.expect_code(0).json();
    let fingerprint = document["plan"]["fingerprint"].as_str();
    fingerprint.expect("a fingerprint").to_owned()
}

#[test]
fn equal_inputs_have_equal_fingerprints_and_every_change_another() {
    let database = table();
    let url = database.url();
    let plain = of(&url, "public.t", &[]);
    assert_eq!(plain.len(), 64);
    assert_eq!(of(&url, "public.t", &[]), plain, "elsewhere");

    let inside: [&[&str]; 20] = [
        &["--source-name", "warehouse"],
        &["--columns", "id,n"],
        &["--exclude-columns", "x"],
        &["--where", "id > 3"],
        &["--where", "id > 4"],
        &["--types", "native"],
        &["--type", "d=text"],
        &["--on-unrepresentable", "null"],
        &["--chunk-rows", "50"],
        &["--chunking", "none"],
        &["--chunking", "ctid"],
        &["--workers", "3"],
        &["--format", "csv"],
        &["--format", "csv", "--csv-null", "NULL"],
        &["--compression", "zstd"],
        &["--compression", "zstd:9"],
        &["--row-group-rows", "50"],
        &["--consistency", "snapshot"],
        &["--consistency", "per-chunk"],
        &["--proof", "stream"],
    ];
    let mut seen = BTreeMap::from([(plain.clone(), "nothing changed".to_owned())]);
    for flags in inside {
        let changed = of(&url, "public.t", flags);
        let before = seen.insert(changed, flags.join(" "));
        assert_eq!(before, None, "{flags:?} gives an equal plan");
    }
    // Another table of the same shape, another database of the same tables.
    let other = table();
    for (url, table) in [(&url, "public.same"), (&other.url(), "public.t")] {
        let before = seen.insert(of(url, table, &[]), table.to_owned());
        assert_eq!(before, None, "{table}");
    }
    // The bounds of the chunks: the same request of other data.
    database
        .exec("INSERT INTO t SELECT i, i, 'x', 1 FROM generate_series(301, 900) AS i; ANALYZE t");
    assert!(!seen.contains_key(&of(&url, "public.t", &[])));
}

#[test]
fn what_does_not_decide_is_not_under_the_fingerprint() {
    let database = table();
    let url = database.url();
    let plain = of(&url, "public.t", &[]);
    let outside: [&[&str]; 12] = [
        &["--output", "elsewhere"],
        &["--layout", "runs"],
        &["--keep", "3"],
        &["--statement-timeout-s", "100"],
        &["--connect-timeout-s", "20"],
        &["--lock-wait-s", "9"],
        &["--max-blocking-s", "60"],
        &["--max-workers", "7"],
        &["--no-explore"],
        &["--scope", "mine"],
        &["--state", "other.db"],
        &["--allow-row-security"],
    ];
    for flags in outside {
        assert_eq!(of(&url, "public.t", flags), plain, "{flags:?}");
    }
    // A secret, another role, and how busy the server is.
    let role = database.limited_role();
    database.exec(&format!("GRANT SELECT ON t TO {}", role.user));
    assert_eq!(of(&role.to_string(), "public.t", &[]), plain);
    let _others: Vec<_> = (0..5).map(|_| database.session()).collect();
    assert_eq!(of(&url, "public.t", &[]), plain);

    // What was learned, what was predicted: after runs the forecast is another, the plan is not.
    let extraction = Extraction::new(&*url, "public.t");
    let words = extraction.words("plan", &[&BASE[..], &["--json"]].concat());
    let forecast = || extraction.cli.run(&words).expect_code(0).json()["plan"].clone();
    let before = forecast();
    extraction
        .run(&[&BASE[2..], &["--start-workers", "1"]].concat())
        .expect_code(0);
    let after = forecast();
    assert_ne!(before["forecast"], after["forecast"]);
    assert_eq!(before["fingerprint"], after["fingerprint"]);
    assert_eq!(after["fingerprint"], plain.as_str());
}
