//! Every command that reads a source, by the same traits.

use super::numbered;
use crate::extraction::Extraction;

#[test]
fn every_command_that_reads_a_source_reads_this_one() {
    let database = numbered();
    let url = database.url();
    let extraction = Extraction::new(&url, "numbers");
    let ok = |command: &str, more: &[&str]| {
        let words = extraction.words(command, more);
        extraction.cli.run(words).expect_code(0)
    };
    let profile = ok("profile", &["--json"]).json();
    assert_eq!(profile["profile"]["statistics"]["estimate"]["rows"], 10_000);
    ok("benchmark", &[]);
    ok(
        "plan",
        &[
            "--out",
            "plan.json",
            "--workers",
            "2",
            "--chunk-rows",
            "2000",
        ],
    );
    let planned = ["run", "--plan", "plan.json", "--output", "planned"];
    let planned = [&planned[..], &["--source", &url]].concat();
    extraction.cli.run(planned).expect_code(0);
    extraction
        .run(&[
            "--workers",
            "2",
            "--chunk-rows",
            "2000",
            "--source-load",
            "low",
        ])
        .expect_code(0);
    assert_eq!(extraction.count(), 10_000);
    extraction.cli.run(["verify", "planned"]).expect_code(0);
    let history = extraction.cli.run(["history", "numbers"]).expect_code(0);
    assert!(history.stdout.contains("numbers"), "{history:#?}");
    let runs = extraction
        .cli
        .run(["history", "numbers", "--json"])
        .expect_code(0)
        .json();
    let id = runs["runs"][0]["id"].as_str().expect("a run").to_owned();
    let again = ["replay", &id, "--output", "again"];
    let again = [&again[..], &["--source", &url]].concat();
    extraction.cli.run(again).expect_code(0);
}
