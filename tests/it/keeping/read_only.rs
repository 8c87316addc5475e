//! Looking back works where nothing may be written: on a mounted snapshot, an archive, another user's
//! file.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{fails, history, said, text};
use crate::extraction::state_file;
use crate::ixtract::Cli;

/// A directory with a store in it that nobody may write, made writable again at the end so that it can
/// be removed.
struct Shut<'a>(&'a Path);

impl<'a> Shut<'a> {
    fn new(directory: &'a Path) -> Self {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            fs::set_permissions(path, Permissions::from_mode(0o444)).expect("permissions");
        }
        fs::set_permissions(directory, Permissions::from_mode(0o555)).expect("permissions");
        Self(directory)
    }
}

impl Drop for Shut<'_> {
    fn drop(&mut self) {
        fs::set_permissions(self.0, Permissions::from_mode(0o755)).expect("permissions");
    }
}

/// Every command that only looks back, on a store; what each says.
fn looked_back(cli: &Cli, state: &Path) -> Vec<String> {
    let state = text(state);
    [
        &["history"][..],
        &["history", "t"],
        &["explain", "last", "--standard"],
        &["metrics", "last"],
        &["diff", "last", "last"],
        &["diagnose", "last"],
        &["state", "check"],
    ]
    .into_iter()
    .map(|words| said(cli, &[words, &["--state", state]].concat()).to_string())
    .collect()
}

/// A copy of a store in a directory of its own.
fn archived(cli: &Cli, store: &Path, name: &str) -> std::path::PathBuf {
    let archive = cli.home().join(name);
    fs::create_dir(&archive).expect("a directory");
    let copy = archive.join("state.db");
    fs::copy(store, &copy).expect("a copy");
    copy
}

#[test]
fn a_store_that_nobody_may_write_is_read() {
    let (cli, _) = history(2);
    let store = archived(&cli, &state_file(&cli), "archive");
    let cli = cli.without_privilege();
    let writable = looked_back(&cli, &store);
    let archive = store.parent().expect("a directory");
    // SQLite's own files beside it come from looking while that was allowed.
    for suffix in ["-wal", "-shm"] {
        fs::remove_file(archive.join(format!("state.db{suffix}"))).ok();
    }
    let before = fs::read(&store).expect("a file");
    let shut = Shut::new(archive);
    assert_eq!(looked_back(&cli, &store), writable);
    let copied = said(
        &cli,
        &["state", "backup", "copy.db", "--state", text(&store)],
    );
    assert_eq!(copied["checked"]["contents"]["runs"]["success"], 2);
    said(
        &cli,
        &["state", "export", "h.jsonl", "--state", text(&store)],
    );
    // What would change it says so.
    let words = ["state", "prune", "--keep", "1", "--state", text(&store)];
    let failure = fails(&cli, &words, 73);
    assert!(
        failure.what.contains("cannot be written"),
        "{}",
        failure.text()
    );
    drop(shut);
    assert_eq!(fs::read(&store).expect("a file"), before);
    let left: Vec<_> = fs::read_dir(archive).expect("a directory").collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn an_older_store_that_nobody_may_write_is_read() {
    let cli = Cli::new();
    let first = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/first-release/state.db");
    let store = archived(&cli, &first, "archive");
    let cli = cli.without_privilege();
    let _shut = Shut::new(store.parent().expect("a directory"));
    let state = text(&store);
    let runs = said(&cli, &["history", "--state", state]);
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(6));
    let checked = said(&cli, &["state", "check", "--state", state]);
    assert_eq!(checked["version"], 1);
    assert_eq!(checked["contents"]["runs"]["success"], 5);
    said(&cli, &["explain", "last", "--state", state]);
    assert_eq!(fs::read(&store).ok(), fs::read(&first).ok());
}

#[test]
fn changes_that_only_the_log_has_are_not_read_past() {
    let (cli, url) = history(1);
    let store = archived(&cli, &state_file(&cli), "archive");
    // A process that holds the store open keeps its changes in the log.
    let held = rusqlite::Connection::open(&store).expect("a store");
    held.execute_batch("UPDATE runs SET output = 'elsewhere'")
        .expect("an update");
    let log = store.with_file_name("state.db-wal");
    assert!(log.exists(), "{url}");
    let alone = cli.home().join("alone");
    fs::create_dir(&alone).expect("a directory");
    fs::copy(&store, alone.join("state.db")).expect("a copy");
    fs::copy(&log, alone.join("state.db-wal")).expect("a copy");
    drop(held);
    let cli = cli.without_privilege();
    let _shut = Shut::new(&alone);
    let state = alone.join("state.db");
    let failure = fails(&cli, &["history", "--state", text(&state)], 77);
    assert!(failure.why.contains("-wal"), "{}", failure.text());
}
