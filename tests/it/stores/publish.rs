//! What is published, replaced, kept and refused.

use serde_json::json;

use super::{Bucket, LARGE, Versions};
use crate::extraction::Extraction;

#[test]
fn a_version_is_published_and_replaced_whole() {
    for bucket in Bucket::everywhere() {
        let versions = Versions::small(bucket);
        for version in 1..=3 {
            versions.publish(version);
            assert_eq!(versions.published(), Some(version));
        }
        versions.assert_swept();
        let run = versions.bucket.runs().pop_first().expect("a run");
        let keys: Vec<String> = versions.bucket.keys().into_keys().collect();
        assert!(keys.len() > 5, "{keys:?}");
        for key in &keys {
            let own = ["_SUCCESS", "_manifest.json"].contains(&key.as_str());
            assert!(own || key.starts_with(&format!("_runs/{run}/")), "{key}");
        }
    }
}

#[test]
fn files_in_pieces_hold_the_tables_own_bytes() {
    for bucket in Bucket::everywhere() {
        let versions = Versions::large(bucket);
        versions.publish(1);
        assert_eq!(versions.published(), Some(1));
        versions.assert_swept();
        let sizes = versions.bucket.keys();
        assert!(sizes.values().any(|size| *size > 8 << 20), "{sizes:?}");
        let mut noise = versions
            .database
            .prepare("SELECT lower(hex(noise)) FROM versions ORDER BY id")
            .expect("a query");
        let wanted: Vec<Option<String>> = noise
            .query_map([], |row| row.get(0))
            .expect("rows")
            .collect::<Result<_, _>>()
            .expect("texts");
        let rows = versions.rows().expect("a dataset");
        let found: Vec<Option<String>> = rows.into_iter().map(|mut row| row.remove(2)).collect();
        assert_eq!(found.len(), LARGE);
        assert!(found == wanted, "bytes differ");
    }
}

#[test]
fn csv_is_published_too() {
    let versions = Versions::small(Bucket::new());
    for compression in ["none", "gzip", "zstd"] {
        let options = ["--format", "csv", "--compression", compression];
        versions.run(1, &options).expect_code(0);
        let url = versions.bucket.url();
        let verified = versions.extraction.cli.run(["verify", &url, "--json"]);
        assert_eq!(verified.expect_code(0).json()["rows"], 300);
    }
}

#[test]
fn older_versions_stay_as_asked_and_can_be_verified() {
    let versions = Versions::small(Bucket::new());
    for version in 1..=4 {
        versions.run(version, &["--keep", "2"]).expect_code(0);
    }
    assert_eq!(versions.published(), Some(4));
    let runs = versions.bucket.runs();
    assert_eq!(runs.len(), 3);
    for run in &runs {
        let url = format!("{}/_runs/{run}", versions.bucket.url());
        versions.extraction.cli.run(["verify", &url]).expect_code(0);
    }
    versions.publish(5);
    assert_eq!(versions.published(), Some(5));
    versions.assert_swept();
}

#[test]
fn a_key_is_written_as_it_stands() {
    for end in ["/a b/ü😀", "/100%/%20/q?x=1&y#z", "/[a]*'\"+=@"] {
        for bucket in Bucket::everywhere_ending(end) {
            let versions = Versions::small(bucket);
            versions.publish(1);
            versions.publish(2);
            assert_eq!(versions.published(), Some(2), "{end}");
            versions.assert_swept();
        }
    }
}

#[test]
fn a_whole_bucket_is_a_place_too() {
    let versions = Versions::small(Bucket::whole());
    versions.publish(1);
    versions.publish(2);
    assert_eq!(versions.published(), Some(2));
    versions.assert_swept();
    let url = versions.bucket.url();
    let bare = url.trim_end_matches('/');
    versions.extraction.cli.run(["verify", bare]).expect_code(0);
    versions.bucket.put("notes.txt", "mine");
    versions.run(3, &[]).expect_code(73);
}

#[test]
fn names_in_the_template_become_one_part_of_the_key_each() {
    let versions = Versions::small(Bucket::new());
    let template = format!("{}/{{table}}", versions.bucket.url());
    let words = versions
        .extraction
        .words("run", &["--output", &template, "--json"]);
    let report = versions.extraction.cli.run(words).expect_code(0).json();
    let dataset = format!("{}/versions", versions.bucket.url());
    assert_eq!(report["dataset"], dataset);
    assert_eq!(report["manifest"], format!("{dataset}/_manifest.json"));
    assert!(
        versions
            .bucket
            .keys()
            .contains_key("versions/_manifest.json")
    );
}

#[test]
fn an_empty_table_is_one_readable_file() {
    let versions = Versions::small(Bucket::new());
    versions
        .database
        .execute("DELETE FROM versions", [])
        .expect("a deletion");
    versions.publish(1);
    assert_eq!(versions.rows(), Some(Vec::new()));
    let url = versions.bucket.url();
    versions.extraction.cli.run(["verify", &url]).expect_code(0);
}

#[test]
fn files_lists_urls_in_key_order() {
    let versions = Versions::small(Bucket::new());
    versions.publish(1);
    let url = versions.bucket.url();
    let run = versions.bucket.runs().pop_first().expect("a run");
    let outcome = versions.extraction.cli.run(["files", &url]).expect_code(0);
    let listed: Vec<&str> = outcome.stdout.lines().collect();
    assert!(listed.len() > 1 && listed.is_sorted(), "{listed:?}");
    for file in &listed {
        assert!(
            file.starts_with(&format!("{url}/_runs/{run}/part-")),
            "{file}"
        );
    }
    let json = versions.extraction.cli.run(["files", &url, "--json"]);
    assert_eq!(json.expect_code(0).json()["files"], json!(listed));
}

#[test]
fn a_prefix_with_other_objects_is_not_ours() {
    for name in [
        "thesis.tex",
        "part-00001.parquet",
        "backup/db.sql",
        "_runs/notes.txt",
    ] {
        for published in [false, true] {
            let versions = Versions::small(Bucket::new());
            if published {
                versions.publish(1);
            }
            versions.bucket.put(name, "years of work");
            let before = versions.bucket.keys();
            let outcome = versions.run(2, &[]).expect_code(73);
            assert!(
                outcome.stderr.contains("not ours to replace"),
                "{outcome:#?}"
            );
            assert_eq!(versions.bucket.keys(), before, "{name}");
        }
    }
    // What lies beside the prefix is nobody's business.
    let versions = Versions::small(Bucket::ending("/deep"));
    versions.bucket.put_beside("er/x", "not below");
    versions.publish(1);
}

#[test]
fn a_layout_of_directories_is_refused() {
    let versions = Versions::small(Bucket::new());
    let outcome = versions.run(1, &["--layout", "replace"]).expect_code(64);
    assert!(outcome.stderr.contains("object store"), "{outcome:#?}");
    versions.run(1, &["--layout", "runs"]).expect_code(0);
}

#[test]
fn verify_finds_every_difference() {
    let versions = Versions::small(Bucket::new());
    let url = versions.bucket.url();
    versions.publish(1);
    let first_part = || {
        let keys = versions.bucket.keys();
        let part = keys.into_keys().find(|key| key.contains("/part-"));
        part.expect("a part")
    };
    let changes: [(&str, &dyn Fn()); 4] = [
        ("missing", &|| versions.bucket.remove(&first_part())),
        ("bytes", &|| versions.bucket.put(&first_part(), "short")),
        ("_SUCCESS", &|| versions.bucket.remove("_SUCCESS")),
        ("stray.txt", &|| versions.bucket.put("stray.txt", "x")),
    ];
    for (word, change) in changes {
        change();
        let outcome = versions.extraction.cli.run(["verify", &url]).expect_code(3);
        assert!(outcome.stderr.contains(word), "{word}: {outcome:#?}");
        versions.bucket.remove("stray.txt");
        versions.publish(1);
    }
}

#[test]
fn what_is_no_dataset_cannot_be_verified_or_listed() {
    let bucket = Bucket::new();
    for command in ["verify", "files"] {
        let outcome = bucket.cli().run([command, &bucket.url()]).expect_code(78);
        assert!(outcome.stderr.contains(&bucket.url()), "{outcome:#?}");
    }
}

#[test]
fn a_plan_asks_the_store_nothing() {
    let versions = Versions::small(Bucket::new());
    let url = versions.bucket.url();
    let words = versions
        .extraction
        .words("plan", &["--output", &url, "--json"]);
    let cli = versions
        .bucket
        .cli()
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:1");
    let document = cli.run(words).expect_code(0).json();
    assert_eq!(document["output"], url);
    assert!(versions.bucket.keys().is_empty());
}

#[test]
fn a_file_url_is_a_directory() {
    let versions = Versions::small(Bucket::new());
    let directory = versions.extraction.cli.home().join("out");
    let url = format!("file://{}", directory.display());
    let words = versions.extraction.words("run", &["--output", &url]);
    versions.extraction.cli.run(words).expect_code(0);
    assert_eq!(Extraction::rows(&versions.extraction).len(), 300);
}

#[test]
fn what_is_written_is_encrypted_with_the_key_that_is_named() {
    let versions = Versions::large(Bucket::on_moto());
    versions
        .run(1, &["--store-kms-key", "alias/lake"])
        .expect_code(0);
    assert_eq!(versions.published(), Some(1));
    for name in versions.bucket.keys().into_keys() {
        let header = |header| versions.bucket.header(&name, header);
        assert_eq!(header("x-amz-server-side-encryption"), "aws:kms", "{name}");
        let key = header("x-amz-server-side-encryption-aws-kms-key-id");
        assert!(key.ends_with("alias/lake"), "{name}: {key}");
    }
}
