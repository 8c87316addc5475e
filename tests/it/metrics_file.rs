//! How runs ended, as Prometheus' node_exporter reads it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::ixtract::Cli;
use crate::published::{attempt, extract, sqlite_url};

/// The samples of a textfile, by a reader that knows the text format: each has its HELP and TYPE before it,
/// each name comes once, labels and values are well-formed.
fn samples(cli: &Cli) -> BTreeMap<String, f64> {
    let text = std::fs::read_to_string(cli.home().join("t.prom")).expect("metrics");
    assert!(text.ends_with('\n'), "{text}");
    let mut lines = text.lines();
    let mut found = BTreeMap::new();
    while let Some(help) = lines.next() {
        let name = help
            .strip_prefix("# HELP ")
            .and_then(|rest| rest.split(' ').next());
        let name = name.expect("a HELP").to_owned();
        assert_eq!(lines.next(), Some(format!("# TYPE {name} gauge").as_str()));
        let sample = lines.next().expect("a sample");
        let rest = sample
            .strip_prefix(&format!("{name}{{"))
            .expect("the sample's name");
        let (labels, value) = rest.rsplit_once("} ").expect("labels and a value");
        assert!(
            labels.starts_with("table=\"t\",source=\"") && labels.ends_with('"'),
            "{sample}"
        );
        assert!(
            found
                .insert(name, value.parse().expect("a number"))
                .is_none(),
            "twice: {sample}"
        );
    }
    found
}

fn small(cli: &Cli) -> String {
    let path = cli.home().join("a \"t\".db");
    let database = rusqlite::Connection::open(&path).expect("a database");
    let sql = "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1), (2)";
    database.execute_batch(sql).expect("a table");
    sqlite_url(Path::new(&path))
}

#[test]
fn success_and_failure_are_told_and_the_last_success_stays() {
    let cli = Cli::new();
    let source = small(&cli);
    let flags = ["--metrics-file", "t.prom"];
    let report = extract(&cli, &source, "t", "out", &flags).report;
    let first = samples(&cli);
    assert_eq!(first["ixtract_run_success"], 1.0);
    assert_eq!(first["ixtract_run_rows"], 2.0);
    assert_eq!(Some(first["ixtract_run_bytes"]), report["bytes"].as_f64());
    assert_eq!(
        Some(first["ixtract_run_read_seconds"]),
        report["duration_s"].as_f64()
    );
    let succeeded = first["ixtract_last_success_timestamp_seconds"];
    assert_eq!(succeeded, first["ixtract_run_end_timestamp_seconds"]);
    let text = std::fs::read_to_string(cli.home().join("t.prom")).expect("metrics");
    assert!(text.contains("a \\\"t\\\".db\"}"), "{text}");

    std::fs::remove_file(cli.home().join("a \"t\".db")).expect("the database");
    attempt(&cli, &source, "t", "out", &flags).expect_code(69);
    let second = samples(&cli);
    assert_eq!(second["ixtract_run_success"], 0.0);
    assert_eq!(second["ixtract_run_exit_code"], 69.0);
    assert_eq!(second["ixtract_last_success_timestamp_seconds"], succeeded);
    assert!(second["ixtract_run_end_timestamp_seconds"] > succeeded);
    assert!(!second.contains_key("ixtract_run_rows"), "{second:?}");
    // Settings that make no sense: the series of before goes on.
    let nonsense = [
        "run",
        "t",
        "--source",
        "nonsense",
        "--metrics-file",
        "t.prom",
    ];
    cli.run(nonsense).expect_code(64);
    let third = samples(&cli);
    assert_eq!(third["ixtract_run_exit_code"], 64.0);
    assert_eq!(third["ixtract_last_success_timestamp_seconds"], succeeded);
    let left = std::fs::read_dir(cli.home()).expect("a home");
    let names = left.map(|entry| entry.expect("an entry").file_name().into_string());
    let names: Vec<String> = names.map(|name| name.expect("a plain name")).collect();
    assert!(!names.iter().any(|name| name.contains(".new")), "{names:?}");
}

#[test]
fn a_file_that_cannot_be_written_is_a_warning() {
    let cli = Cli::new();
    let source = small(&cli);
    let outcome = attempt(&cli, &source, "t", "out", &["--metrics-file", "no/t.prom"]);
    let outcome = outcome.expect_code(0);
    let missing = "the metrics file no/t.prom is not written";
    assert_eq!(outcome.stderr.matches(missing).count(), 1, "{outcome:#?}");
    assert!(
        outcome.json()["warnings"].to_string().contains(missing),
        "{outcome:#?}"
    );
    // What is there and is none of ours is replaced, and nothing is believed of it.
    std::fs::write(cli.home().join("t.prom"), [0xff, b'{', 0]).expect("a file");
    attempt(&cli, &source, "t", "out", &["--metrics-file", "t.prom"]).expect_code(0);
    assert_eq!(samples(&cli)["ixtract_run_success"], 1.0);
}
