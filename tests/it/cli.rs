//! What the program says and how it exits: three lines that help for each failure, one document
//! for `--json`, and never a password.

mod failures;
mod names;
mod plans;
mod privileges;
mod secrets;
mod state;
mod values;

use crate::extraction::Extraction;
use crate::ixtract::{Cli, Outcome};
use crate::servers::{Database, postgres};

/// The lines of a failure: what, why, fix.
pub(crate) struct Failure {
    pub(crate) what: String,
    pub(crate) why: String,
    pub(crate) fix: String,
}

impl Failure {
    /// The three lines that end standard error, once it is sure that they are three, and that
    /// nothing of the program's inside got out.
    #[track_caller]
    fn of(outcome: &Outcome) -> Self {
        let lines: Vec<_> = outcome.stderr.lines().collect();
        let [.., what, why, fix] = lines[..] else {
            panic!("no three lines: {outcome:#?}");
        };
        let part = |line: &str, prefix| {
            let text = line.strip_prefix(prefix);
            text.unwrap_or_else(|| panic!("no {prefix:?} in its place: {outcome:#?}"))
                .to_owned()
        };
        for inside in [
            "panicked",
            "RUST_BACKTRACE",
            "Error {",
            "Kind(",
            "Some(",
            "Err(",
        ] {
            assert!(!outcome.stderr.contains(inside), "{inside}: {outcome:#?}");
        }
        Self {
            what: part(what, "error: "),
            why: part(why, "  why: "),
            fix: part(fix, "  fix: "),
        }
    }

    /// All three have these words.
    #[track_caller]
    fn assert_says(&self, what: &str, why: &str, fix: &str) {
        let said = format!("{}\n{}\n{}", self.what, self.why, self.fix);
        assert!(
            self.what.contains(what),
            "no {what:?} in the first line of\n{said}"
        );
        assert!(
            self.why.contains(why),
            "no {why:?} in the second line of\n{said}"
        );
        assert!(
            self.fix.contains(fix),
            "no {fix:?} in the third line of\n{said}"
        );
    }
}

/// Fails with this code, and says this.
#[track_caller]
pub(crate) fn fails(outcome: Outcome, code: i32, [what, why, fix]: [&str; 3]) -> Failure {
    let outcome = outcome.expect_code(code);
    let failure = Failure::of(&outcome);
    failure.assert_says(what, why, fix);
    failure
}

/// A database with `public.orders` of ten rows, and its extraction.
fn orders() -> (Database, Extraction) {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE orders (id bigint PRIMARY KEY, customer text, total numeric(10,2));
         INSERT INTO orders SELECT i, 'c' || i, i FROM generate_series(1, 10) AS i;
         ANALYZE orders",
    );
    let extraction = Extraction::new(database.url(), "public.orders");
    (database, extraction)
}

#[test]
fn every_command_gives_one_json_document_and_nothing_else_on_stdout() {
    let (_database, extraction) = orders();
    let run = extraction.run(&["--json"]).expect_code(0).json();
    assert_eq!(
        (&run["status"], &run["rows"]),
        (&"success".into(), &10.into())
    );
    assert_eq!(run["table"], "public.orders");
    let cli = &extraction.cli;
    for (command, key) in [("plan", "plan"), ("profile", "profile")] {
        let outcome = cli.run(extraction.words(command, &["--json"]));
        let json = outcome.expect_code(0).json();
        assert!(json[key].is_object(), "{command}: {json}");
    }
    for (command, key) in [("verify", "rows"), ("files", "files")] {
        let json = cli.run([command, "out", "--json"]).expect_code(0).json();
        assert!(!json[key].is_null(), "{command}: {json}");
    }
    let demo = Cli::new().run(["demo", "--json"]).expect_code(0).json();
    assert!(demo["runs"].is_array(), "{demo}");
}

#[test]
fn json_failures_have_the_same_three_texts_and_the_code() {
    let (database, extraction) = orders();
    let extraction = Extraction::new(database.url(), "public.oders").by(extraction.cli);
    let plain = extraction.run(&[]).expect_code(64);
    let failure = Failure::of(&plain);
    for command in ["run", "plan", "profile"] {
        let outcome = extraction.cli.run(extraction.words(command, &["--json"]));
        let error = outcome.expect_code(64).json()["error"].clone();
        assert_eq!(error["what"], failure.what.as_str(), "{command}");
        assert_eq!(error["why"], failure.why.as_str(), "{command}");
        assert_eq!(error["fix"], failure.fix.as_str(), "{command}");
        assert_eq!(error["exit"], 64, "{command}");
    }
    let json = extraction
        .cli
        .run(["verify", "nowhere", "--json"])
        .expect_code(78)
        .json();
    assert_eq!(json["error"]["exit"], 78);
    // Not even clap writes anything else there.
    let json = extraction
        .cli
        .run(["run", "--json", "--wrokers", "2"])
        .expect_code(64)
        .json();
    assert_eq!(json["error"]["exit"], 64);
}

#[test]
fn quiet_is_quiet_and_results_go_to_stdout() {
    let (_database, extraction) = orders();
    let loud = extraction.run(&[]).expect_code(0);
    assert!(loud.stdout.contains("10 rows"), "{loud:#?}");
    let quiet = extraction.run(&["--quiet"]).expect_code(0);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn help_and_version_are_no_failures() {
    let cli = Cli::new();
    for words in [&["--help"][..], &["-h"], &["--version"], &["run", "--help"]] {
        let outcome = cli.run(words).expect_code(0);
        assert!(outcome.stdout.contains("ixtract"), "{words:?}");
        assert_eq!(outcome.stderr, "", "{words:?}");
    }
}
