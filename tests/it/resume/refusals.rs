//! What cannot be gone on with is refused, and says what to do instead.

use super::{ALL_BUT_THE_LAST, OPTIONS, Scene, Unfinished, finished};
use crate::ixtract::{Outcome, Signal};

#[track_caller]
fn assert_refused(outcome: Outcome, why: &str) {
    let outcome = outcome.expect_code(2);
    assert!(outcome.stderr.contains(why), "{why}: {outcome:#?}");
    assert!(outcome.stderr.contains("fix: "), "{outcome:#?}");
}

#[test]
fn one_point_in_time_cannot_be_had_again() {
    let left = Scene::killed(&[]);
    assert_refused(
        left.resume(&["--consistency", "snapshot"]),
        "asks for one point in time",
    );
    left.resume(&["--consistency", "auto"]).expect_code(0);

    // What was to be one point in time leaves nothing when it fails.
    let scene = Scene::new(&["--consistency", "snapshot"]);
    let (left, outcome) = scene.end(Signal::TERM);
    assert!(!outcome.stderr.contains("--resume"), "{outcome:#?}");
    assert_eq!(left.extraction.beside(), [].into());
    assert_eq!(finished(&left.extraction), 0);
    assert_refused(left.resume(&[]), "asks for one point in time");
}

#[test]
fn a_table_that_is_another_by_now_is_not_gone_on_with() {
    let changes = [
        ("ALTER TABLE t ALTER version TYPE bigint", "version"),
        ("ALTER TABLE t DROP CONSTRAINT t_pkey", "key"),
        ("ALTER TABLE t DROP version", "version"),
        ("DROP TABLE t", "t"),
    ];
    for (change, why) in changes {
        let left = Scene::killed(&[]);
        left.database.exec(change);
        assert_refused(left.resume(&[]), why);
        assert_eq!(left.extraction.statuses(), ["crashed"], "{change}");
        assert!(left.part(1).exists(), "it stays: {change}");
    }
    // One more column is none of the plan's.
    let left = Scene::killed(&[]);
    left.database.exec("ALTER TABLE t ADD more int");
    left.resume(&[]).expect_code(0);
    assert_eq!(left.extraction.rows().len(), 4000);
}

#[test]
fn only_what_is_unfinished_can_be_gone_on_with() {
    let scene = Scene::new(&[]).seven_chunks();
    let extraction = &scene.extraction;
    let store = ixtract::state::Store::open(&crate::extraction::state_file(&extraction.cli));
    let id = store.expect("a store").newest().expect("readable");
    let id = id.expect("a run").to_string();
    let source = scene.database.url();
    let words = ["run", "--source", &source, "--resume"];
    let by_id = [&words[..], &[&id]].concat();
    let running = extraction.cli.run(&by_id).expect_code(75);
    assert!(running.stderr.contains("it is under way"), "{running:#?}");
    let (left, _) = scene.end(Signal::KILL);
    let Unfinished { extraction, .. } = &left;

    let elsewhere = ["--output", "elsewhere"];
    assert_refused(left.resume(&elsewhere), "there is no run to resume");
    let elsewhere = [&by_id[..], &elsewhere].concat();
    assert_refused(extraction.cli.run(elsewhere), "--output says");
    let other = [&words[..], &["last", "public.other"]].concat();
    assert_refused(extraction.cli.run(other), "there is no run to resume");
    let unknown = [&words[..], &["rx-1999"]].concat();
    let unknown = extraction.cli.run(unknown);
    assert!(unknown.stderr.contains("rx-1999"), "{unknown:#?}");

    let of_table = [&words[..], &["last", "t", "--output", "out"]].concat();
    extraction.cli.run(of_table).expect_code(0);
    assert_refused(extraction.cli.run(&by_id), "has gone on with it");
    assert_refused(left.resume(&[]), "there is no run to resume");

    // Nor what is older than what readers have.
    let options = [&OPTIONS[..], &["--where", ALL_BUT_THE_LAST]].concat();
    let failing = [&options[..], &["--columns", "id"]].concat();
    let gate = crate::gate::Gate::shut_again(&left.database);
    let mut run = extraction.spawn(&failing);
    gate.wait_for_readers(1);
    run.signal(Signal::KILL);
    run.wait();
    gate.open();
    extraction.run(&[]).expect_code(0);
    let history = extraction.cli.run(["history", "--json"]).expect_code(0);
    let crashed = history.json()["runs"][2]["id"].clone();
    let crashed = crashed.as_str().expect("an id").to_owned();
    let late = [&words[..], &[&crashed]].concat();
    assert_refused(extraction.cli.run(late), "has published the dataset since");
}

#[test]
fn flags_that_a_plan_has_decided_do_not_go_with_a_resumed_one() {
    let cli = crate::ixtract::Cli::new();
    for flag in [["--workers", "2"], ["--plan", "p.json"], ["--where", "a"]] {
        let words = [&["run", "--resume", "last"][..], &flag].concat();
        let outcome = cli.run(words).expect_code(64);
        assert!(
            outcome.stderr.contains("cannot be used with"),
            "{outcome:#?}"
        );
    }
}
