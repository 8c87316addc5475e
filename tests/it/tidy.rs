//! The rules of the house that a compiler does not know: which room of `src/` may know which, what
//! pure rooms must not touch, how long a file may be and what it must not be called.
//!
//! Each rule is a function from the sources to a list of offences, so that the tests below can
//! show that it finds some. Where a rule stands in the way of better code, change it here and say
//! why in `ARCHITECTURE.md`.

mod scan;

use std::collections::BTreeSet;
use std::path::Path;

use scan::Source;

/// Rooms that compute: the same answer for the same arguments, on every machine.
const PURE: &[&str] = &[
    "model",
    "planner",
    "controller",
    "estimator",
    "diagnosis",
    "cost",
    "diff",
    "drift",
    "metrics",
    "report",
];

/// What a room may know beside itself and [`VOCABULARY`], as `ARCHITECTURE.md` has it: a `room`, a
/// module `room::module`, or `room::*` for what the room itself offers but none of its modules.
const KNOWS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("clock", &[]),
    ("model", &[]),
    ("planner", &["model", "estimator", "controller"]),
    ("controller", &["model"]),
    ("estimator", &["model"]),
    ("diagnosis", PURE),
    ("cost", PURE),
    ("diff", &["model"]),
    ("drift", &["model"]),
    ("metrics", &["model"]),
    ("source", &["model", "clock"]),
    ("profiler", &["model", "source", "clock"]),
    ("writer", &["model", "clock"]),
    ("state", &["model", "controller"]),
    (
        "engine",
        &[
            "model",
            "source::*",
            "writer::*",
            "clock",
            "controller::within_run",
        ],
    ),
    ("ui", &["model", "engine::event"]),
    (
        "report",
        &[
            "model",
            "diagnosis",
            "estimator",
            "ui::*",
            "ui::diagnose",
            "ui::history",
            "ui::plan",
            "ui::units",
            "ui::wording",
        ],
    ),
];

/// Every room turns its errors into the `Failure` of this one, which knows nobody.
const VOCABULARY: &str = "error";

/// Rooms that bring others together. They may know every room but `cli`, which nobody knows.
const CONNECTING: &[&str] = &["benchmarker", "doctor"];

/// The top: may know everything.
const TOP: &[&str] = &["cli", "lib", "main"];

/// What a pure room must not name: the world outside, the time, and an order that changes from
/// run to run. A path is forbidden when one of these begins it, a name wherever it stands.
const IMPURE_PATHS: &[&str] = &[
    "tokio",
    "tokio_postgres",
    "tokio_util",
    "rusqlite",
    "rustix",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
];
const IMPURE_NAMES: &[&str] = &[
    "Instant",
    "SystemTime",
    "Timestamp::now",
    "Zoned::now",
    "HashMap",
    "HashSet",
];

const LINES_MAX: usize = 500;
const MAIN_LINES_MAX: usize = 60;

/// Files that are tables of data, which no reader reads from top to bottom: exempt from the limit.
const DATA_TABLES: &[&str] = &[];

/// Names that say nothing of what is inside.
const EMPTY_NAMES: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "manager", "managers", "phase", "phases",
];

/// References from a room to one that it may not know.
fn wrong_knowledge(sources: &[Source]) -> Vec<String> {
    let rooms: BTreeSet<&str> = sources.iter().map(Source::room).collect();
    let modules: BTreeSet<String> = sources.iter().map(|s| s.module().join("::")).collect();
    let mut offences = Vec::new();
    for source in sources
        .iter()
        .filter(|source| !TOP.contains(&source.room()))
    {
        let room = source.room();
        let listed = KNOWS.iter().find(|(name, _)| *name == room);
        if listed.is_none() && !CONNECTING.contains(&room) {
            offences.push(format!(
                "{}: the room `{room}` is new: list in tests/it/tidy.rs what it may know",
                source.path
            ));
            continue;
        }
        for reference in source.inside_crate() {
            let target = reference.segments.join("::");
            let other = reference.segments.first().map_or("", String::as_str);
            let at = format!("{}:{}", source.path, reference.line);
            if other == room || other == VOCABULARY {
                continue;
            } else if !rooms.contains(other) {
                offences.push(format!(
                    "{at}: `crate::{target}` is in no room: name its room"
                ));
            } else if !may_know(
                listed.map(|(_, knows)| *knows),
                &reference.segments,
                &modules,
            ) {
                offences.push(format!("{at}: `{room}` must not know `{target}`"));
            }
        }
    }
    offences
}

/// `knows` is `None` for a connecting room.
fn may_know(knows: Option<&[&str]>, target: &[String], modules: &BTreeSet<String>) -> bool {
    let Some(knows) = knows else {
        return target[0] != "cli";
    };
    let module = target
        .get(..2)
        .map(|two| two.join("::"))
        .filter(|two| modules.contains(two));
    knows.iter().any(|known| match known.split_once("::") {
        None => target[0] == *known,
        Some((room, "*")) => target[0] == room && module.is_none(),
        Some(_) => module.as_deref() == Some(known),
    })
}

/// Names of the outside world in a pure room.
fn impurities(sources: &[Source]) -> Vec<String> {
    let mut offences = Vec::new();
    for source in sources
        .iter()
        .filter(|source| PURE.contains(&source.room()))
    {
        for reference in source.references() {
            let target = reference.segments.join("::");
            let begins = |path: &&&str| is_or_begins(path, &target);
            let names = |name: &&&str| format!("::{target}::").contains(&format!("::{name}::"));
            let culprit = IMPURE_PATHS
                .iter()
                .find(begins)
                .or(IMPURE_NAMES.iter().find(names));
            if let Some(culprit) = culprit {
                offences.push(format!(
                    "{}:{}: `{}` is pure and must not use `{culprit}`",
                    source.path,
                    reference.line,
                    source.room()
                ));
            }
        }
    }
    offences
}

fn is_or_begins(path: &str, target: &str) -> bool {
    target
        .strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Files longer than a reader can hold, tests inside them not counted.
fn too_long(sources: &[Source]) -> Vec<String> {
    let measured = sources
        .iter()
        .filter(|source| !DATA_TABLES.contains(&source.path.as_str()));
    measured
        .filter_map(|source| {
            let max = if source.path == "src/main.rs" {
                MAIN_LINES_MAX
            } else {
                LINES_MAX
            };
            let lines = source.lines_without_tests();
            let message = format!(
                "{}: {lines} lines without tests, at most {max}",
                source.path
            );
            (lines > max).then_some(message)
        })
        .collect()
}

/// Files and folders named after nothing.
fn empty_names(sources: &[Source]) -> Vec<String> {
    let named = |source: &&Source| {
        let mut words = source.path.split(['/', '_', '.', '-']);
        words.any(|word| EMPTY_NAMES.contains(&word))
    };
    let message = |source: &Source| format!("{}: name it after what it holds", source.path);
    sources.iter().filter(named).map(message).collect()
}

/// Lines of the project's documents and scripts that a merge left undecided.
fn undecided_merges(files: &[(String, String)]) -> Vec<String> {
    let marks = ["<".repeat(7) + " ", ">".repeat(7) + " "];
    let mut found = Vec::new();
    for (path, text) in files {
        for (at, line) in text.lines().enumerate() {
            if marks.iter().any(|mark| line.starts_with(mark)) {
                found.push(format!("{path}:{}: decide this merge", at + 1));
            }
        }
    }
    found
}

/// Every file of the repository that git knows and that is text, with its path.
fn kept_files() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = std::process::Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root)
        .output()
        .expect("git lists the repository");
    assert!(listed.status.success(), "{listed:?}");
    let names = String::from_utf8(listed.stdout).expect("names in UTF-8");
    let names = names.split_terminator('\0').map(str::to_owned);
    let read = |name: String| Some((std::fs::read_to_string(root.join(&name)).ok()?, name));
    names
        .filter_map(read)
        .map(|(text, name)| (name, text))
        .collect()
}

/// The Rust files below these folders, without those that only tests see.
fn sources(folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = folders
        .iter()
        .flat_map(|folder| scan::rust_files(root, folder))
        .collect();
    scan::without_test_files(files)
}

#[track_caller]
fn assert_none(offences: Vec<String>) {
    assert!(
        offences.is_empty(),
        "{} offences:\n{}",
        offences.len(),
        offences.join("\n")
    );
}

#[test]
fn rooms_know_only_the_rooms_they_may() {
    assert_none(wrong_knowledge(&sources(&["src"])));
}

#[test]
fn pure_rooms_do_not_touch_the_world() {
    assert_none(impurities(&sources(&["src"])));
}

#[test]
fn files_are_short() {
    assert_none(too_long(&sources(&["src", "sim", "tests", "benches"])));
}

#[test]
fn files_are_named_after_what_they_hold() {
    assert_none(empty_names(&sources(&["src", "sim", "tests", "benches"])));
}

#[test]
fn no_merge_is_left_undecided() {
    let files = kept_files();
    assert!(files.iter().any(|(path, _)| path == "ARCHITECTURE.md"));
    assert_none(undecided_merges(&files));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn house(files: &[(&str, &str)]) -> Vec<Source> {
        let files = files
            .iter()
            .map(|(path, text)| Source::new(path, text))
            .collect();
        scan::without_test_files(files)
    }

    const OTHERS: &[(&str, &str)] = &[
        ("src/lib.rs", "pub mod cli; pub use cli::Cli;"),
        ("src/cli/mod.rs", "use crate::{engine, state, ui};"),
        ("src/controller/between_runs.rs", "use super::within_run;"),
        (
            "src/controller/mod.rs",
            "mod between_runs; pub mod within_run;",
        ),
        ("src/controller/within_run.rs", "use crate::model::Plan;"),
        ("src/engine/event.rs", "use crate::error::Failure;"),
        ("src/error.rs", ""),
        ("src/model/mod.rs", "use std::collections::BTreeMap;"),
        (
            "src/source/mod.rs",
            "use crate::model; use tokio_postgres::Client;",
        ),
        (
            "src/source/postgres/mod.rs",
            "use super::super::model::Plan; use super::Source;",
        ),
        ("src/state/mod.rs", ""),
        ("src/ui/mod.rs", "use crate::engine::event::Event;"),
    ];

    fn offences_of(path: &str, text: &str) -> Vec<String> {
        let files = house(&[OTHERS, &[(path, text)]].concat());
        wrong_knowledge(&files)
    }

    #[test]
    fn the_directions_of_the_design_are_allowed() {
        let good = "use crate::{controller::within_run::{self, Action}, model, source::Snapshot};
            fn f() { crate::clock::wait(super::source::Session) }";
        let files = house(&[OTHERS, &[("src/engine/mod.rs", good), ("src/clock.rs", "")]].concat());
        assert_eq!(wrong_knowledge(&files), Vec::<String>::new());
    }

    #[test]
    fn other_directions_are_offences() {
        let bad = "use crate::controller::between_runs::decide;
            use crate::{model, source::{Session, postgres::Copy}, state as store};
            // use crate::cli; r#\"crate::cli\"#
            fn f<'a>(c: char) -> bool { c == '\"' || crate::ui::is(super::cli::X, \"crate::cli\") }";
        let expected = [
            "src/engine/mod.rs:1: `engine` must not know `controller::between_runs::decide`",
            "src/engine/mod.rs:2: `engine` must not know `source::postgres::Copy`",
            "src/engine/mod.rs:2: `engine` must not know `state`",
            "src/engine/mod.rs:4: `engine` must not know `ui::is`",
            "src/engine/mod.rs:4: `engine` must not know `cli::X`",
        ];
        assert_eq!(offences_of("src/engine/mod.rs", bad), expected);
        assert_eq!(
            offences_of("src/doctor.rs", "use crate::{state, cli::Cli};"),
            ["src/doctor.rs:1: `doctor` must not know `cli::Cli`"]
        );
    }

    #[test]
    fn ways_around_the_rooms_are_offences() {
        assert_eq!(
            offences_of("src/cost.rs", "use crate::Cli;"),
            ["src/cost.rs:1: `crate::Cli` is in no room: name its room"]
        );
        assert_eq!(
            offences_of("src/cost.rs", "use super::*; use crate::{*, model::*};").len(),
            2
        );
        assert_eq!(
            offences_of("src/attic.rs", ""),
            ["src/attic.rs: the room `attic` is new: list in tests/it/tidy.rs what it may know"]
        );
    }

    #[test]
    fn what_only_tests_see_ends_where_it_ends() {
        let field = "struct S { #[cfg(test)] seen: X<A, B>, }\nuse crate::cli::Cli;";
        let found = offences_of("src/cost.rs", field);
        assert_eq!(found, ["src/cost.rs:2: `cost` must not know `cli::Cli`"]);
    }

    #[test]
    fn tests_may_know_what_they_like() {
        let tests = "#[cfg(test)] mod more;\n#[cfg(test)]\nmod tests { use crate::cli::Cli; }";
        assert_eq!(offences_of("src/cost.rs", tests), Vec::<String>::new());
        let more = [
            ("src/cost.rs", tests),
            ("src/cost/more.rs", "use crate::cli::Cli;"),
        ];
        assert_eq!(
            wrong_knowledge(&house(&[OTHERS, &more].concat())),
            Vec::<String>::new()
        );
    }

    #[test]
    fn impurities_are_found_however_they_are_spelt() {
        let bad = "use std::{collections::{BTreeMap, HashMap}, env, fs::File};
            use tokio::time::sleep;
            fn f() { std::net::lookup(); Instant::now(); jiff::Timestamp::now(); std::fmt::x() }
            #[cfg(test)] mod tests { use std::fs; }";
        let found = impurities(&house(&[
            ("src/planner/mod.rs", bad),
            ("src/engine.rs", bad),
        ]));
        let expected = [
            (1, "HashMap"),
            (1, "std::env"),
            (1, "std::fs"),
            (2, "tokio"),
            (3, "std::net"),
            (3, "Instant"),
            (3, "Timestamp::now"),
        ];
        let expected = expected.map(|(line, culprit)| {
            format!("src/planner/mod.rs:{line}: `planner` is pure and must not use `{culprit}`")
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn length_counts_no_tests() {
        let code = "fn f() {}\n".repeat(LINES_MAX);
        let tests = format!(
            "#[cfg(test)]\nmod tests {{\n{}}}\n",
            "fn t() {}\n".repeat(100)
        );
        let files = house(&[
            ("src/a.rs", &format!("{code}{tests}")),
            ("src/b.rs", &format!("{code}fn g() {{}}\n{tests}")),
            ("src/main.rs", &"\n".repeat(61)),
        ]);
        let expected = [
            "src/b.rs: 501 lines without tests, at most 500",
            "src/main.rs: 61 lines without tests, at most 60",
        ];
        assert_eq!(too_long(&files), expected);
    }

    #[test]
    fn empty_names_are_found_in_parts_too() {
        let files = house(&[
            ("src/state_manager.rs", ""),
            ("src/utils/text.rs", ""),
            ("src/commonplace.rs", ""),
        ]);
        let found: Vec<_> = empty_names(&files);
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
