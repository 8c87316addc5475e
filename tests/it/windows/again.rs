//! Windows whose plan is kept, executed again, or gone on with.

use super::bounds::{small, with};
use super::change;
use crate::extraction::Extraction;

fn highs(extraction: &Extraction) -> Vec<String> {
    let list = extraction.manifest();
    let windows = list["windows"].as_array().expect("windows").iter();
    windows
        .map(|entry| {
            entry["window"]["high"]
                .as_str()
                .expect("a bound")
                .to_owned()
        })
        .collect()
}

#[test]
fn a_plan_of_a_window_is_kept_and_fits_until_the_windows_have_moved() {
    let folder = tempfile::tempdir().expect("a folder");
    let (connection, extraction) = small(folder.path());
    let cli = &extraction.cli;
    let plan = |file: &str| {
        let words = extraction.words("plan", &with(&["--output", "out", "--out", file, "--json"]));
        cli.run(words).expect_code(0).json()
    };
    let run = |file: &str| {
        let source = extraction.words("run", &["--plan", file, "--output", "out"]);
        // The table is the plan's.
        cli.run(source.into_iter().filter(|word| word != "t"))
    };
    assert_eq!(
        plan("first.json")["plan"]["spec"]["window"]["high"],
        "int:3"
    );
    run("first.json").expect_code(0);
    assert_eq!(extraction.count(), 3);
    connection
        .execute("INSERT INTO t VALUES (4, 40, 0)", [])
        .expect("a row");
    plan("second.json");
    run("second.json").expect_code(0);
    assert_eq!(highs(&extraction), ["int:3", "int:4"]);
    // The same window again replaces itself.
    run("first.json").expect_code(0);
    assert_eq!(extraction.count(), 4);
    connection
        .execute("INSERT INTO t VALUES (5, 50, 0)", [])
        .expect("a row");
    plan("third.json");
    connection
        .execute("INSERT INTO t VALUES (6, 60, 0)", [])
        .expect("a row");
    extraction.run(&with(&[])).expect_code(0);
    let refused = run("third.json").expect_code(2);
    assert!(refused.stderr.contains("ends with 6"), "{}", refused.stderr);
}

#[test]
fn a_replay_of_a_window_replaces_only_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (connection, extraction) = small(folder.path());
    let first = extraction.run(&with(&["--json"])).expect_code(0).json();
    connection
        .execute("INSERT INTO t VALUES (10, 0, 0)", [])
        .expect("a row");
    let second = extraction.run(&with(&["--json"])).expect_code(0).json();
    let insert = "INSERT INTO t VALUES (-1, 0, 0), (7, 0, 0)";
    connection.execute(insert, []).expect("rows");
    let replay = |run: &serde_json::Value| {
        let id = run["run"].as_str().expect("a run");
        extraction.cli.run(["replay", id, "--yes"]).expect_code(0);
    };
    replay(&second);
    assert_eq!(extraction.count(), 5);
    assert_eq!(highs(&extraction), ["int:3", "int:10"]);
    replay(&first);
    assert_eq!(extraction.count(), 6);
    // Runs of all windows are remembered as one, and a replay teaches nothing.
    let told = extraction
        .cli
        .run(["history", "t", "--json"])
        .expect_code(0)
        .json();
    let runs = told["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 4, "{told}");
    assert!(
        runs.iter().all(|run| run["scope"] == runs[0]["scope"]),
        "{told}"
    );
}

/// What was read of a window before its run died is kept, and no other window takes its place.
#[test]
fn an_unfinished_window_is_gone_on_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let (connection, mut extraction) = small(folder.path());
    extraction.run(&with(&[])).expect_code(0);
    let rows = (10..=400)
        .map(|id| format!("({id}, 0, 0)"))
        .collect::<Vec<_>>();
    let sql = format!("INSERT INTO t VALUES {}", rows.join(", "));
    connection.execute(&sql, []).expect("rows");
    change(&mut extraction.cli, |cli| {
        cli.env("IXTRACT_CRASH_AT", "proved")
    });
    let chunked = with(&["--chunk-rows", "50", "--workers", "2"]);
    extraction.run(&chunked).expect_code(super::KILLED);
    change(&mut extraction.cli, |cli| cli.unset("IXTRACT_CRASH_AT"));
    let words = ["run", "--resume", "last", "--json"];
    let resumed = extraction.cli.run(words).expect_code(0).json();
    assert_eq!(resumed["window"]["high"], "int:400");
    assert_eq!(resumed["resumed"]["rows_read"], 0, "{resumed}");
    assert_eq!(extraction.count(), 394);
    assert_eq!(highs(&extraction), ["int:3", "int:400"]);
}
