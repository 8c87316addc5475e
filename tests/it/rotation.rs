//! `--max-file-size`: a chunk goes on in another file; all of them count, none is empty.

use std::collections::BTreeSet;

use rusqlite::Connection;
use serde_json::Value;

use crate::extraction::Extraction;
use crate::stores::Bucket;

/// Rows of 1 000 random bytes each: 12 MB that no codec makes smaller.
const ROWS: u64 = 12_000;
const LIMIT: u64 = 1_000_000;

/// A table and an extraction of it; the directory is the database's.
fn table(cli: Option<crate::ixtract::Cli>) -> (tempfile::TempDir, Extraction) {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("source.db");
    Connection::open(&file)
        .and_then(|database| {
            database.execute_batch(&format!(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, noise TEXT NOT NULL);
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})
                 INSERT INTO t SELECT i, hex(randomblob(500)) FROM n;"
            ))
        })
        .expect("a table");
    let extraction = Extraction::new(format!("sqlite:{}", file.display()), "t");
    let extraction = match cli {
        Some(cli) => extraction.by(cli),
        None => extraction,
    };
    (home, extraction)
}

/// Every chunk's files follow each other, none is empty or too long, and only a chunk's last one may
/// be short.
fn assert_rotated(manifest: &Value, least: u64) {
    let files = manifest["files"].as_array().expect("files");
    let mut names = BTreeSet::new();
    let mut rows = 0;
    for (index, file) in files.iter().enumerate() {
        let path = file["path"].as_str().expect("a path");
        let name = path.rsplit('/').next().expect("a name");
        assert!(names.insert(name.to_owned()), "{name} twice");
        let bytes = file["bytes"].as_u64().expect("bytes");
        let held = file["rows"].as_u64().expect("rows");
        assert!(held > 0, "{name} is empty");
        assert!(bytes <= LIMIT, "{name} has {bytes} bytes");
        let goes_on = files
            .get(index + 1)
            .is_some_and(|next| next["chunk"] == file["chunk"]);
        assert!(!goes_on || bytes >= least, "{name} has only {bytes} bytes");
        rows += held;
    }
    assert_eq!(rows, ROWS);
    assert_eq!(manifest["rows"], ROWS);
    assert!(files.len() > 5, "{} files", files.len());
    assert!(
        names.iter().any(|name| name.starts_with("part-00001-001-")),
        "{names:?}"
    );
    assert!(
        names.iter().any(|name| name.starts_with("part-00002-002-")),
        "{names:?}"
    );
}

const CUT: [&str; 6] = [
    "--max-file-size",
    "1MB",
    "--chunk-rows",
    "6000",
    "--workers",
    "2",
];

#[test]
fn parquet_files_end_near_the_limit() {
    for compression in ["none", "snappy", "zstd"] {
        let (_home, extraction) = table(None);
        let options = [&CUT[..], &["--compression", compression]].concat();
        extraction.run(&options).expect_code(0);
        assert_rotated(&extraction.manifest(), LIMIT / 2);
        let rows = extraction.rows();
        assert_eq!(rows.len() as u64, ROWS);
        assert_eq!(rows[0][0].as_deref(), Some("1"));
        assert_eq!(rows[ROWS as usize - 1][0].as_deref(), Some("12000"));
    }
}

#[test]
fn csv_files_end_near_the_limit() {
    for (compression, least) in [
        ("none", LIMIT / 5 * 4),
        ("gzip", LIMIT / 2),
        ("zstd", LIMIT / 3),
    ] {
        let (_home, extraction) = table(None);
        let options = [&CUT[..], &["--format", "csv", "--compression", compression]].concat();
        extraction.run(&options).expect_code(0);
        assert_rotated(&extraction.manifest(), least);
        assert_eq!(extraction.count(), ROWS);
    }
}

#[test]
fn files_on_a_store_end_near_the_limit() {
    let bucket = Bucket::new();
    let (_home, extraction) = table(Some(bucket.cli()));
    let url = bucket.url();
    let options = [&CUT[..], &["--output", &url]].concat();
    extraction
        .cli
        .run(extraction.words("run", &options))
        .expect_code(0);
    let copy = bucket.fetch();
    assert_rotated(&crate::extraction::manifest(copy.path()), LIMIT / 2);
    extraction.cli.run(["verify", &url]).expect_code(0);
    assert_eq!(bucket.uploads(), Vec::<String>::new());
}

#[test]
fn a_row_longer_than_a_file_gets_one_of_its_own() {
    let home = tempfile::tempdir().expect("a directory");
    let file = home.path().join("source.db");
    Connection::open(&file)
        .and_then(|database| {
            database.execute_batch(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, noise BLOB);
                 INSERT INTO t VALUES (1, randomblob(100)), (2, randomblob(3000000)), (3, NULL)",
            )
        })
        .expect("a table");
    let extraction = Extraction::new(format!("sqlite:{}", file.display()), "t");
    extraction.run(&["--max-file-size", "1MB"]).expect_code(0);
    assert_eq!(extraction.rows().len(), 3);
}

#[test]
fn the_limit_is_checked_and_part_of_the_fingerprint() {
    let (_home, extraction) = table(None);
    let outcome = extraction
        .run(&["--max-file-size", "999999"])
        .expect_code(64);
    assert!(outcome.stderr.contains("less than 1 MB"), "{outcome:#?}");
    let fingerprint = |more: &[&str]| {
        let words = extraction.words("plan", &[&["--json"], more].concat());
        let document = extraction.cli.run(words).expect_code(0).json();
        document["plan"]["fingerprint"].clone()
    };
    let (without, with) = (fingerprint(&[]), fingerprint(&["--max-file-size", "1MB"]));
    assert_ne!(without, with);
    assert_eq!(with, fingerprint(&["--max-file-size", "1000000"]));
}
