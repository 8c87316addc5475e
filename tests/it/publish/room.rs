//! Disks that are full, files that may not grow, and places where directories cannot be exchanged.

use std::path::Path;
use std::process::Command;

use crate::extraction::Extraction;
use crate::ixtract::Cli;
use crate::versions::Versions;

/// A table of about six megabytes that do not compress, in a file of its own.
fn bulky() -> (tempfile::TempDir, String) {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("bulky.db");
    let database = rusqlite::Connection::open(&file).expect("a database");
    database
        .execute_batch(
            "CREATE TABLE bulky (id INTEGER PRIMARY KEY, noise BLOB);
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 6000)
             INSERT INTO bulky SELECT i, randomblob(1000) FROM n;",
        )
        .expect("a table");
    (home, format!("sqlite:{}", file.display()))
}

/// The file system takes no more in the middle of writing.
fn runs_full(wrapper: &[&str]) {
    let (_home, source) = bulky();
    let cli = Cli::new().through(wrapper);
    let extraction = Extraction::new(source, "bulky").by(cli);
    let outcome = extraction
        .run(&["--workers", "1", "--force"])
        .expect_code(73);
    assert!(outcome.stderr.contains("error: "), "{outcome:#?}");
    assert!(outcome.stderr.contains("fix: "), "{outcome:#?}");
    assert!(outcome.stdout.contains("left behind: ."), "{outcome:#?}");
}

/// Runs the program, then shows what is there of its output.
const THEN_LIST: &str =
    r#""$@"; code=$?; echo "left behind: "$(ls -A | grep out || echo .); exit $code"#;

#[test]
fn a_file_that_may_not_grow_ends_the_run() {
    // The signal that comes with the error would end the program.
    let script = format!("trap '' XFSZ; ulimit -f 4096; {THEN_LIST}");
    runs_full(&["sh", "-c", &script, "sh"]);
}

#[test]
fn a_full_disk_ends_the_run() {
    // A disk of four megabytes that only the program sees; where mounting is refused even in a
    // namespace of one's own, a limit on files stands in for it.
    let mount = "mount -t tmpfs -o size=4m none . && cd \"$PWD\"";
    let namespaces: [&[&str]; 2] = [
        &["unshare", "--mount"],
        &["unshare", "--user", "--map-root-user", "--mount"],
    ];
    let works = |unshare: &&&[&str]| {
        let mut command = Command::new(unshare[0]);
        let home = tempfile::tempdir().expect("a directory");
        command.args(&unshare[1..]).args(["sh", "-c", mount]);
        let output = command.current_dir(&home).output();
        output.is_ok_and(|output| output.status.success())
    };
    let unshare = namespaces.iter().find(works);
    let script = match unshare {
        Some(_) => format!("{mount}; {THEN_LIST}"),
        None => format!("trap '' XFSZ; ulimit -f 4096; {THEN_LIST}"),
    };
    let unshare = unshare.copied().unwrap_or_default();
    runs_full(&[unshare, &["sh", "-c", &script, "sh"]].concat());
}

#[test]
fn a_mount_point_cannot_be_exchanged_but_holds_runs() {
    let versions = Versions::new("replace");
    let script = "mkdir out && mount -t tmpfs none out && \"$@\"; code=$?; ls -A out; exit $code";
    let words = versions.extraction.words("run", &["--output", "out"]);
    let wrappers: [&[&str]; 2] = [
        &["unshare", "--mount"],
        &["unshare", "--user", "--map-root-user", "--mount"],
    ];
    for unshare in wrappers {
        let run = |more: &[&str]| {
            let wrapper = [unshare, &["sh", "-c", script, "sh"]].concat();
            let words = words.iter().map(String::as_str).chain(more.iter().copied());
            Cli::new().through(&wrapper).run(words)
        };
        let refused = run(&[]);
        if refused.stderr.contains("unshare:") || refused.stderr.contains("mount:") {
            continue;
        }
        let refused = refused.expect_code(73);
        assert!(refused.stderr.contains("--layout runs"), "{refused:#?}");
        assert_eq!(refused.stdout, "", "nothing is there");
        let runs = run(&["--layout", "runs"]).expect_code(0);
        assert!(runs.stdout.contains("_manifest.json\n"), "{runs:#?}");
        return;
    }
    // No mount to be had: the file system's root is the one mount point that is always there.
    let words = versions.extraction.words("run", &["--output", "/"]);
    Cli::new().run(words).expect_code(73);
    assert!(
        !Path::new("/_manifest.json").exists(),
        "nothing was made there"
    );
}
