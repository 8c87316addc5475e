//! What every version left behind is still opened: all of `tests/data`.

use std::fs;
use std::path::{Path, PathBuf};

use ixtract::planner;

use super::{said, text};
use crate::ixtract::Cli;

/// Every file below a directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).expect("a directory");
    entries
        .flat_map(|entry| {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

#[test]
fn what_every_version_left_is_opened() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let (mut stores, mut documents, mut plans, mut datasets) = (0, 0, 0, 0);
    for path in files(&data) {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let inside_runs = path.components().any(|part| part.as_os_str() == "_runs");
        let cli = Cli::new();
        if name == "state.db" {
            let copy = cli.home().join("state.db");
            fs::copy(&path, &copy).expect("a copy");
            let state = text(&copy);
            let checked = said(&cli, &["state", "check", "--state", state]);
            let listed = said(&cli, &["history", "--limit", "1000", "--state", state]);
            let runs = checked["contents"]["runs"].as_object().expect("runs");
            let runs: u64 = runs.values().filter_map(serde_json::Value::as_u64).sum();
            assert_eq!(
                listed["runs"].as_array().map(Vec::len),
                Some(runs as usize),
                "{path:?}"
            );
            said(&cli, &["explain", "last", "--standard", "--state", state]);
            // Migrated by now, and still sound.
            let checked = said(&cli, &["state", "check", "--state", state]);
            assert_eq!(checked["version"], checked["current"]);
            stores += 1;
        } else if name.ends_with(".jsonl") {
            let imported = said(&cli, &["state", "import", text(&path)]);
            assert!(imported["runs"].as_u64() > Some(0), "{path:?}: {imported}");
            said(&cli, &["state", "check"]);
            documents += 1;
        } else if name.starts_with("plan") {
            let plan = fs::read_to_string(&path).expect("a file");
            planner::parse(&plan).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            plans += 1;
        } else if name == "_manifest.json" && !inside_runs {
            let dataset = path.parent().expect("a directory");
            let verified = said(&cli, &["verify", text(dataset)]);
            assert!(verified["rows"].as_u64() > Some(0), "{path:?}: {verified}");
            said(&cli, &["state", "rebuild", text(dataset)]);
            datasets += 1;
        }
    }
    assert!(
        stores >= 2 && documents >= 1 && plans >= 3 && datasets >= 6,
        "{stores} stores, {documents} documents, {plans} plans, {datasets} datasets"
    );
}
