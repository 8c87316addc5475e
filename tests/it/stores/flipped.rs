//! A store that gives back something else than it was given.

use super::failures::{Faulty, through};
use super::{Bucket, Versions};

/// The store changes a key in what it gives back of the run's files.
fn run_with(flags: &[&str], code: i32) -> (Versions, String) {
    let mut versions = Versions::small(Bucket::new());
    let flipping = Faulty::of("GET", &versions.bucket, (u32::MAX, 1), &["flip"]);
    through(&mut versions, Some(&flipping));
    let flags = [&["--format", "csv"], flags].concat();
    let outcome = versions.run(1, &flags).expect_code(code);
    assert!(flipping.met() > 0, "nothing was changed");
    through(&mut versions, None);
    (versions, outcome.stderr)
}

#[test]
fn a_key_that_changed_on_its_way_is_found_by_a_full_proof_alone() {
    let (versions, _) = run_with(&[], 0);
    assert!(versions.bucket.keys().contains_key("_manifest.json"));
    let (versions, said) = run_with(&["--proof", "full"], 3);
    assert!(
        said.contains("the keys of chunk 1 that are read back are not those that the server has"),
        "{said}"
    );
    assert_eq!(versions.bucket.keys().len(), 0, "something was left");
    assert_eq!(versions.bucket.uploads(), Vec::<String>::new());
}

#[test]
fn keys_are_read_back_from_every_store() {
    for bucket in Bucket::everywhere() {
        for format in ["csv", "parquet"] {
            let versions = Versions::small(Bucket::on(bucket.name()));
            versions
                .run(1, &["--proof", "full", "--format", format])
                .expect_code(0);
            let url = versions.bucket.url();
            let verified = versions.extraction.cli.run(["verify", &url, "--json"]);
            assert_eq!(verified.expect_code(0).json()["proof"], "full");
        }
    }
}
