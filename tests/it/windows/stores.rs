//! Windows on object stores, where no lock holds the list and a conditional put does.

use super::bounds::{small, with};
use super::{KILLED, change};
use crate::extraction::{Extraction, manifest};
use crate::readers::{self, Engine};
use crate::stores::Bucket;

/// Three windows on a store, the second extracted again, and a run that is killed before its window is
/// listed.
#[test]
fn windows_on_a_store_are_listed_by_a_conditional_put() {
    for bucket in Bucket::everywhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let (connection, extraction) = small(folder.path());
        let mut extraction = extraction.by(bucket.cli());
        let url = bucket.url();
        let run = |extraction: &Extraction, more: &[&str]| {
            let words = with(&[&["--output", &url], more].concat());
            extraction.cli.run(extraction.words("run", &words))
        };
        let insert = |id: i64| {
            let sql = format!("INSERT INTO t VALUES ({id}, 0, 0)");
            connection.execute(&sql, []).expect("a row");
        };
        run(&extraction, &[]).expect_code(0);
        insert(10);
        run(&extraction, &[]).expect_code(0);
        insert(20);
        change(&mut extraction.cli, |cli| {
            cli.env("IXTRACT_CRASH_AT", "released")
        });
        run(&extraction, &[]).expect_code(KILLED);
        change(&mut extraction.cli, |cli| cli.unset("IXTRACT_CRASH_AT"));
        // The same window again, over what the killed run has left.
        run(&extraction, &[]).expect_code(0);
        insert(7);
        run(&extraction, &["--from", "3", "--until", "10"]).expect_code(0);
        let verified = extraction
            .cli
            .run(["verify", &url, "--json"])
            .expect_code(0)
            .json();
        assert_eq!(
            (&verified["rows"], &verified["windows"]),
            (&6.into(), &3.into())
        );
        let copy = bucket.fetch();
        let list = manifest(copy.path());
        let windows = list["windows"].as_array().expect("windows").iter();
        let found: Vec<Option<String>> = windows
            .map(|entry| copy.path().join(entry["path"].as_str().expect("a path")))
            .flat_map(|window| readers::rows(Engine::Pyarrow, &window, &["id"]))
            .map(|mut row| row.remove(0))
            .collect();
        let wanted = ["1", "2", "3", "7", "10", "20"].map(|id| Some(id.to_owned()));
        assert_eq!(found, wanted);
        let listed = extraction.cli.run(["files", &url]).expect_code(0).stdout;
        assert!(
            listed.lines().all(|file| file.starts_with(&url)),
            "{listed}"
        );
    }
}
