//! A dataset is replaced as a whole, in one step that no reader sees the middle of, and nothing
//! that is not ours is touched.

mod room;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::extraction::{Extraction, manifest, names};
use crate::gate::Gate;
use crate::ixtract::Cli;
use crate::readers::{self, Engine};
use crate::servers::postgres;
use crate::setting;
use crate::versions::{Versions, parts};

/// Lists the dataset's files, as `argv[2]` says: the directory's own or the manifest's; waits a
/// while, then opens them; again and again until the file `argv[1]/../stop` is there. A missing
/// file is part of life; rows of two versions are not. Prints how often it read everything, and
/// how often a file was missing.
const RACING_READER: &str = r#"
import json, pathlib, random, sys, time
import pyarrow.parquet as pq

dataset = pathlib.Path(sys.argv[1])
def listed():
    if sys.argv[2] == "directory":
        return sorted(dataset.glob("*.parquet"))
    files = json.loads((dataset / "_manifest.json").read_text())["files"]
    return [dataset / file["path"] for file in files]

whole = missing = 0
random.seed(1)
print("ready", flush=True)
while not (dataset.parent / "stop").exists():
    try:
        files = listed()
        time.sleep(random.choice([0, 0.01, 0.1]))
        tables = [pq.ParquetFile(file).read(["version"]) for file in files]
    except FileNotFoundError:
        missing += 1
        continue
    versions = {value for table in tables for value in table["version"].to_pylist()}
    rows = sum(table.num_rows for table in tables)
    assert files and len(versions) == 1 and rows == 300, f"{versions}, {rows} rows: {files}"
    whole += 1
    if whole >= 5:
        (dataset.parent / "enough").touch()
print(json.dumps([whole, missing]))
"#;

fn race(layout: &'static str, listing: &str) {
    let versions = Versions::new(layout);
    versions.publish(0);
    let dataset = versions.extraction.dataset();
    let mut reader = Command::new(setting("IXTRACT_TEST_PYTHON"))
        .args(["-c", RACING_READER])
        .arg(&dataset)
        .arg(listing)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python");
    let mut stdout = BufReader::new(reader.stdout.take().expect("piped"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("a sign that it reads");
    let enough = dataset.with_file_name("enough");
    for version in 1.. {
        versions.publish(version);
        // The reader needs its time, and an end however unlucky it is.
        if (version >= 12 && enough.exists()) || version == 200 {
            break;
        }
    }
    fs::write(dataset.with_file_name("stop"), "").expect("a file");
    let output = reader.wait_with_output().expect("an end");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{layout}: {stderr}");
    let (whole, _missing): (u32, u32) = serde_json::from_reader(stdout).expect("two numbers");
    assert!(whole > 0, "{layout}: the reader never read everything");
}

#[test]
fn a_reader_that_listed_before_never_reads_a_mix() {
    race("replace", "directory");
}

#[test]
fn a_reader_that_follows_the_manifest_never_reads_a_mix() {
    race("runs", "manifest");
}

#[test]
fn a_version_is_replaced_whole() {
    let versions = Versions::new("replace");
    versions.publish(1);
    let before = names(&versions.extraction.dataset());
    versions.publish(2);
    let after = names(&versions.extraction.dataset());
    assert_eq!(versions.published(), Some(2));
    let both: Vec<_> = before.intersection(&after).collect();
    assert_eq!(
        both,
        ["_SUCCESS", "_manifest.json"],
        "no part's name repeats"
    );
    assert!(parts(&versions.extraction.dataset()).len() > 1);
    assert_eq!(versions.extraction.beside(), [].into());
    assert_eq!(versions.extraction.manifest()["layout"], "replace");
}

#[test]
fn runs_lie_side_by_side_and_the_manifest_names_the_current_one() {
    let versions = Versions::new("runs");
    for version in 1..=3 {
        versions.publish(version);
        assert_eq!(versions.published(), Some(version));
    }
    let dataset = versions.extraction.dataset();
    let manifest = versions.extraction.manifest();
    let run = manifest["run"].as_str().expect("a run");
    assert_eq!(names(&dataset.join("_runs")), [run.to_owned()].into());
    let files = manifest["files"].as_array().expect("files");
    for file in files {
        let path = file["path"].as_str().expect("a path");
        assert!(path.starts_with(&format!("_runs/{run}/part-")), "{path}");
    }
    // What Spark, Hive and a careless glob see: nothing rather than rows twice.
    assert!(names(&dataset).iter().all(|name| name.starts_with('_')));
}

#[test]
fn older_versions_stay_as_asked() {
    for layout in ["replace", "runs"] {
        let versions = Versions::new(layout);
        let mut runs = Vec::new();
        for version in 1..=4 {
            versions.run(version, &["--keep", "2"]).expect_code(0);
            runs.push(versions.extraction.manifest()["run"].clone());
        }
        assert_eq!(versions.published(), Some(4), "{layout}");
        let dataset = versions.extraction.dataset();
        if layout == "runs" {
            let kept: Vec<_> = names(&dataset.join("_runs")).into_iter().collect();
            let expected: Vec<_> = runs[1..].iter().filter_map(|run| run.as_str()).collect();
            let mut expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
            expected.sort();
            assert_eq!(kept, expected);
        } else {
            let kept = versions.extraction.beside();
            assert_eq!(kept.len(), 2, "{kept:?}");
            let mut of_runs = Vec::new();
            for name in &kept {
                let path = dataset.with_file_name(name);
                let path_text = path.to_str().expect("a plain name");
                versions
                    .extraction
                    .cli
                    .run(["verify", path_text])
                    .expect_code(0);
                of_runs.push(manifest(&path)["run"].clone());
            }
            of_runs.sort_by_key(|run| run.to_string());
            let mut expected = runs[1..3].to_vec();
            expected.sort_by_key(|run| run.to_string());
            assert_eq!(of_runs, expected);
        }
        versions.publish(5);
        assert_eq!(versions.published(), Some(5));
        versions.assert_swept();
    }
}

#[test]
fn a_directory_with_other_files_is_not_ours() {
    let cases: [fn(&Path); 4] = [
        // Nothing of ours at all.
        |dataset| {
            fs::create_dir(dataset).expect("a directory");
            fs::write(dataset.join("thesis.tex"), "years of work").expect("a file");
        },
        // Parquet, but not ours.
        |dataset| {
            fs::create_dir(dataset).expect("a directory");
            fs::write(dataset.join("part-00001.parquet"), "PAR1").expect("a file");
        },
        // Ours, and somebody's notes in it.
        |dataset| fs::write(dataset.join("notes.txt"), "mine").expect("a file"),
        // Ours, and somebody's directory in it.
        |dataset| {
            fs::create_dir(dataset.join("backup")).expect("a directory");
            fs::write(dataset.join("backup/db.sql"), "mine").expect("a file");
        },
    ];
    for (number, put) in cases.into_iter().enumerate() {
        for layout in ["replace", "runs"] {
            let versions = Versions::new(layout);
            if number >= 2 {
                versions.publish(1);
            }
            let dataset = versions.extraction.dataset();
            put(&dataset);
            let before = names(&dataset);
            let outcome = versions.run(2, &[]).expect_code(73);
            assert!(
                outcome.stderr.contains("not ours to replace"),
                "{outcome:#?}"
            );
            assert_eq!(names(&dataset), before, "{number} {layout}");
            assert_eq!(versions.extraction.beside(), [].into());
        }
    }
}

#[test]
fn an_empty_directory_is_taken_as_it_is() {
    for layout in ["replace", "runs"] {
        let versions = Versions::new(layout);
        fs::create_dir(versions.extraction.dataset()).expect("a directory");
        versions.publish(1);
        assert_eq!(versions.published(), Some(1));
    }
}

#[test]
fn a_file_is_no_output() {
    let versions = Versions::new("replace");
    let dataset = versions.extraction.dataset();
    fs::write(&dataset, "precious").expect("a file");
    versions.run(1, &[]).expect_code(73);
    assert_eq!(fs::read_to_string(&dataset).expect("a file"), "precious");
    // Nor is a path through one.
    let outcome = versions.extraction.cli.run(
        versions
            .extraction
            .words("run", &["--output", "out/deeper"]),
    );
    outcome.expect_code(73);
    assert_eq!(fs::read_to_string(&dataset).expect("a file"), "precious");
}

#[test]
fn a_parent_that_cannot_be_written_is_refused_before_reading() {
    let versions = Versions::new("replace");
    let home = tempfile::tempdir().expect("a directory");
    let shut = home.path().join("shut");
    fs::create_dir(&shut).expect("a directory");
    let writable = fs::metadata(&shut).expect("a directory").permissions();
    let mut read_only = writable.clone();
    read_only.set_readonly(true);
    fs::set_permissions(&shut, read_only).expect("permissions");

    let cli = Cli::new().without_privilege();
    let output = shut.join("out");
    let output = output.to_str().expect("a plain name");
    let outcome = cli.run(versions.extraction.words("run", &["--output", output]));
    fs::set_permissions(&shut, writable).expect("permissions");

    let outcome = outcome.expect_code(73);
    assert!(outcome.stderr.contains("Permission denied"), "{outcome:#?}");
    assert!(outcome.stderr.contains("--output"), "{outcome:#?}");
    assert_eq!(names(&shut), [].into());
}

#[test]
fn two_runs_never_write_one_dataset() {
    for layout in ["replace", "runs"] {
        let database = postgres().fresh_database();
        database.exec(
            "CREATE TABLE t (id bigint PRIMARY KEY);
             INSERT INTO t SELECT generate_series(1, 1000)",
        );
        let extraction = Extraction::new(database.url(), "t");
        let gate = Gate::shut(&database);
        let options = ["--layout", layout, "--where", Gate::FILTER];
        let first = extraction.spawn(&options);
        gate.wait_for_readers(1);
        let second = extraction.run(&["--layout", layout]).expect_code(75);
        assert!(second.stderr.contains("another run"), "{second:#?}");
        gate.open();
        first.wait().expect_code(0);
        assert_eq!(extraction.rows().len(), 1000);
        assert_eq!(extraction.beside(), [].into());
    }
}

#[test]
fn verify_finds_every_difference() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 6] = [
        ("SHA-256", |dataset| flip_a_byte(&parts(dataset)[1])),
        ("missing", |dataset| {
            fs::remove_file(&parts(dataset)[0]).expect("a part");
        }),
        ("extra.parquet", |dataset| {
            let parts = parts(dataset);
            let beside = parts[0].with_file_name("extra.parquet");
            fs::copy(&parts[0], beside).expect("a copy");
        }),
        ("bytes", |dataset| {
            let part = &parts(dataset)[0];
            let mut bytes = fs::read(part).expect("a part");
            bytes.push(0);
            fs::write(part, bytes).expect("a part");
        }),
        ("_SUCCESS", |dataset| {
            fs::remove_file(dataset.join("_SUCCESS")).expect("a marker");
        }),
        ("_manifest.json", |dataset| {
            let path = dataset.join("_manifest.json");
            let text = fs::read_to_string(&path).expect("a manifest");
            fs::write(
                &path,
                text.replacen("\"freshness\": \"2", "\"freshness\": \"3", 1),
            )
            .expect("a manifest");
        }),
    ];
    for layout in ["replace", "runs"] {
        for (word, change) in changes {
            let versions = Versions::new(layout);
            versions.publish(1);
            let cli = &versions.extraction.cli;
            cli.run(["verify", "out"]).expect_code(0);
            change(&versions.extraction.dataset());
            let outcome = cli.run(["verify", "out"]).expect_code(3);
            assert!(
                outcome.stderr.contains(word),
                "{layout}, {word}: {outcome:#?}"
            );
            let json = cli.run(["verify", "out", "--json"]).expect_code(3).json();
            assert!(json.to_string().contains(word), "{json}");
        }
    }
}

fn flip_a_byte(file: &Path) {
    let mut bytes = fs::read(file).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).expect("a file");
}

#[test]
fn what_is_no_dataset_cannot_be_verified_or_listed() {
    let cli = Cli::new();
    fs::create_dir(cli.home().join("empty")).expect("a directory");
    for command in ["verify", "files"] {
        for dataset in ["empty", "nowhere"] {
            let outcome = cli.run([command, dataset]).expect_code(78);
            assert!(outcome.stderr.contains(dataset), "{outcome:#?}");
        }
    }
}

#[test]
fn files_lists_what_counts_in_key_order() {
    for layout in ["replace", "runs"] {
        let versions = Versions::new(layout);
        versions.run(1, &["--keep", "1"]).expect_code(0);
        versions.run(2, &["--keep", "1"]).expect_code(0);
        let cli = &versions.extraction.cli;
        let outcome = cli.run(["files", "out"]).expect_code(0);
        let listed: Vec<_> = outcome.stdout.lines().collect();
        assert!(listed.len() > 1, "{listed:?}");
        let mut last = 0;
        for file in &listed {
            for row in readers::rows(Engine::Pyarrow, &cli.home().join(file), &[]) {
                let id: u64 = row[0]
                    .as_deref()
                    .and_then(|id| id.parse().ok())
                    .expect("an id");
                assert!(id > last, "{layout}: {id} after {last}");
                assert_eq!(row[1].as_deref(), Some("2"), "{layout}");
                last = id;
            }
        }
        assert_eq!(last, 300, "{layout}");
        let mut sorted = listed.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, listed, "names sort in key order");
        let json = cli.run(["files", "out", "--json"]).expect_code(0).json();
        assert_eq!(json["files"], json!(listed));
    }
}

#[test]
fn a_link_keeps_pointing_at_what_is_replaced() {
    let versions = Versions::new("replace");
    let dataset = versions.extraction.dataset();
    let real = dataset.with_file_name("real");
    fs::create_dir(&real).expect("a directory");
    std::os::unix::fs::symlink("real", &dataset).expect("a link");
    for version in [1, 2] {
        versions.publish(version);
        assert_eq!(versions.published(), Some(version));
        assert!(dataset.is_symlink() && real.join("_SUCCESS").is_file());
    }
}
