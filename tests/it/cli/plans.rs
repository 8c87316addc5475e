//! A plan can be kept, reviewed and executed as it is, and nothing else in its place.

use std::fs;

use serde_json::Value;

use super::{fails, orders};
use crate::extraction::Extraction;

const OPTIONS: [&str; 4] = ["--workers", "2", "--chunk-rows", "3"];

fn plan(extraction: &Extraction, file: &str) -> Value {
    let options = [&OPTIONS[..], &["--out", file, "--json"]].concat();
    let words = extraction.words("plan", &options);
    extraction.cli.run(words).expect_code(0).json()
}

fn run_plan(extraction: &Extraction, source: &str, file: &str) -> crate::ixtract::Outcome {
    let words = ["run", "--plan", file, "--source", source, "--output", "out"];
    extraction.cli.run(words)
}

#[test]
fn a_plan_is_executed_as_it_was_written() {
    let (database, extraction) = orders();
    let planned = plan(&extraction, "plan.json");
    let written = fs::read_to_string(extraction.cli.home().join("plan.json")).expect("a plan");
    let written: Value = serde_json::from_str(&written).expect("JSON");
    assert_eq!(planned["plan"], written);
    assert!(!extraction.dataset().exists(), "planning reads nothing");
    // More rows than there were: the plan's chunks are still a cover.
    database.exec("INSERT INTO orders SELECT generate_series(-100, 0); ANALYZE orders");
    run_plan(&extraction, &database.url(), "plan.json").expect_code(0);
    assert_eq!(extraction.count(), 111);
    let manifest = extraction.manifest();
    assert_eq!(manifest["fingerprint"], written["fingerprint"]);
    let chunks = written["spec"]["chunks"].as_array().expect("chunks").len();
    assert!(chunks > 1);
    assert_eq!(manifest["proof"]["chunks"], chunks);
}

#[test]
fn equal_inputs_have_equal_fingerprints() {
    let (database, extraction) = orders();
    let first = plan(&extraction, "plan.json")["plan"]["fingerprint"].clone();
    assert_eq!(first.as_str().map(str::len), Some(64), "{first}");
    // Again; elsewhere; after a run; to another output.
    assert_eq!(
        plan(&extraction, "again.json")["plan"]["fingerprint"],
        first
    );
    let elsewhere = Extraction::new(database.url(), "public.orders");
    assert_eq!(plan(&elsewhere, "plan.json")["plan"]["fingerprint"], first);
    extraction.run(&OPTIONS).expect_code(0);
    assert_eq!(extraction.manifest()["fingerprint"], first);
    let options = [&OPTIONS[..], &["--json", "--output", "other"]].concat();
    let words = extraction.words("plan", &options);
    let json = extraction.cli.run(words).expect_code(0).json();
    assert_eq!(json["plan"]["fingerprint"], first);
    // What decides is in it.
    for more in [
        ["--compression", "zstd"],
        ["--columns", "id"],
        ["--where", "id > 3"],
        ["--proof", "stream"],
        ["--consistency", "snapshot"],
        ["--types", "native"],
        ["--row-group-rows", "5"],
    ] {
        let options = [&OPTIONS[..], &["--json"], &more].concat();
        let words = extraction.words("plan", &options);
        let json = extraction.cli.run(words).expect_code(0).json();
        assert_ne!(json["plan"]["fingerprint"], first, "{more:?}");
    }
}

#[test]
fn a_plan_for_a_table_that_changed_is_refused() {
    for change in [
        "ALTER TABLE orders DROP COLUMN customer",
        "ALTER TABLE orders ALTER COLUMN total TYPE numeric(12,3)",
        "ALTER TABLE orders RENAME COLUMN total TO sum",
        "ALTER TABLE orders ALTER COLUMN id TYPE text",
    ] {
        let (database, extraction) = orders();
        plan(&extraction, "plan.json");
        database.exec(change);
        let outcome = run_plan(&extraction, &database.url(), "plan.json");
        assert_eq!(outcome.code, 2, "{change}: {outcome:#?}");
        let failure = super::Failure::of(&outcome);
        assert!(
            failure.what.contains("public.orders"),
            "{change}: {}",
            failure.what
        );
        assert!(!extraction.dataset().exists(), "{change}");
    }
}

#[test]
fn a_plan_for_another_database_is_refused() {
    let (_database, extraction) = orders();
    plan(&extraction, "plan.json");
    let (other, _) = orders();
    let outcome = run_plan(&extraction, &other.url(), "plan.json");
    assert_eq!(outcome.code, 2, "{outcome:#?}");
    super::Failure::of(&outcome);
    assert!(!extraction.dataset().exists());
}

#[test]
fn a_plan_that_was_edited_is_refused() {
    let (database, extraction) = orders();
    plan(&extraction, "plan.json");
    let path = extraction.cli.home().join("plan.json");
    let text = fs::read_to_string(&path).expect("a plan");
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let mut workers = document.clone();
    workers["spec"]["workers"] = 3.into();
    let mut chunks = document.clone();
    chunks["spec"]["chunks"]
        .as_array_mut()
        .expect("chunks")
        .remove(1);
    let mut fingerprint = document.clone();
    fingerprint["fingerprint"] = "0".repeat(64).into();
    for edited in [workers, chunks, fingerprint] {
        fs::write(&path, edited.to_string()).expect("a plan");
        let outcome = run_plan(&extraction, &database.url(), "plan.json");
        fails(outcome, 3, ["plan", "plan.json", "ixtract plan"]);
        assert!(!extraction.dataset().exists());
    }
    // Spaces and the order of fields are no edit, nor are opinions.
    let mut opinion = document;
    opinion["forecast"]["duration_s"] = 12.5.into();
    fs::write(&path, format!("\n\n{opinion:#}\n")).expect("a plan");
    run_plan(&extraction, &database.url(), "plan.json").expect_code(0);
}

#[test]
fn a_file_that_is_no_plan_is_refused() {
    let (database, extraction) = orders();
    plan(&extraction, "plan.json");
    let home = extraction.cli.home();
    let text = fs::read_to_string(home.join("plan.json")).expect("a plan");
    let newer = text.replace("\"plan_version\": 1", "\"plan_version\": 99");
    assert_ne!(newer, text);
    for (name, content) in [
        ("cut.json", &text[..text.len() / 2]),
        ("empty.json", ""),
        ("other.json", "{\"hello\": [1, 2]}"),
        ("newer.json", &newer),
    ] {
        fs::write(home.join(name), content).expect("a file");
        fails(
            run_plan(&extraction, &database.url(), name),
            78,
            ["plan", name, "ixtract plan"],
        );
    }
    fails(
        run_plan(&extraction, &database.url(), "nowhere.json"),
        78,
        ["nowhere.json", "", ""],
    );
}

#[test]
fn planning_writes_no_history_of_runs() {
    let (_database, extraction) = orders();
    plan(&extraction, "plan.json");
    extraction.run(&[]).expect_code(0);
    assert_eq!(extraction.statuses(), ["success"]);
    // A plan that cannot be written.
    let options = [&OPTIONS[..], &["--out", "no/such/plan.json"]].concat();
    let words = extraction.words("plan", &options);
    fails(extraction.cli.run(words), 73, ["no/such/plan.json", "", ""]);
}
