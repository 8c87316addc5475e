//! Bytes that nobody sane would send: what reads them says so, and never panics, hangs or takes them
//! for something else.
//!
//! Every file of `tests/corpus` is tried as it is, and then as many changes of them as
//! `IXTRACT_TEST_FUZZ=N` says, from the tests' seed. What once made trouble is kept there. The corpus
//! of COPY streams was written by PostgreSQL 15 from `copy/every-type.sql`, as `copy/read.json`, out of
//! a plan, reads it.

use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use ixtract::clock::{SharedClock, System};
use ixtract::model::{ReadSpec, arrow_schema};
use ixtract::planner;
use ixtract::source::postgres::CopyReader;
use ixtract::writer::manifest::{self, Manifest};
use ixtract::writer::verify::verify;

use crate::random::{Random, seed};
use crate::setting_or;

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/corpus")
        .join(name)
}

/// The corpus's files with these endings, each with its name.
fn inputs(name: &str, ending: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(corpus(name)).expect("a corpus");
    let mut inputs: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .map(|path| (path.display().to_string(), fs::read(&path).expect("a file")))
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty(), "no corpus of {name}");
    inputs
}

/// Numbers that lengths and counts are compared with.
const INTERESTING: [i64; 9] = [
    -1,
    0,
    1,
    255,
    65_535,
    0x7fff_ffff,
    -0x8000_0000,
    1 << 30,
    -2,
];

/// A change of one input, or of two that are joined.
fn changed(random: &mut Random, one: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = one.to_vec();
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            bytes.extend_from_slice(other);
        }
        let length = bytes.len() as u64;
        let at = random.below(length) as usize;
        match random.below(7) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.bits() as u8,
            2 => bytes.truncate(at),
            3 => {
                let end = (at + 1 + random.below(40) as usize).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let number = INTERESTING[random.below(INTERESTING.len() as u64) as usize];
                let width = [1, 2, 4, 8][random.below(4) as usize];
                let whole = number.to_be_bytes();
                let end = (at + width).min(bytes.len());
                bytes[at..end].copy_from_slice(&whole[8 - width..][..end - at]);
            }
            5 => {
                let end = (at + 1 + random.below(60) as usize).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => {
                let from = random.below(other.len().max(1) as u64) as usize;
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from.min(other.len())..]);
            }
        }
    }
    bytes
}

/// Where the runner shows it if the test fails.
fn tell(what: std::fmt::Arguments<'_>) {
    // A test without standard error has nobody to tell.
    let _ = writeln!(std::io::stderr(), "{what}");
}

/// Tries the corpus and its changes. What fails is written to a file, to be kept in the corpus.
fn fuzz(name: &str, ending: &str, target: &mut dyn FnMut(&[u8])) {
    let inputs = inputs(name, ending);
    for (file, bytes) in &inputs {
        tell(format_args!("{file}"));
        target(bytes);
    }
    let tries: u32 = setting_or("IXTRACT_TEST_FUZZ", "3000")
        .parse()
        .expect("a number");
    let mut random = Random::new(seed(), name);
    for number in 0..tries {
        let mut any = || &inputs[random.below(inputs.len() as u64) as usize].1;
        let (one, other) = (any(), any());
        let bytes = changed(&mut random, one, other);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| target(&bytes))) {
            let kept = std::env::temp_dir().join(format!("{name}-{}-{number}.{ending}", seed()));
            fs::write(&kept, &bytes).expect("a file");
            tell(format_args!(
                "keep {} in tests/corpus/{name}",
                kept.display()
            ));
            std::panic::resume_unwind(panic);
        }
    }
}

/// Decodes a stream in pieces of a length: its rows, or in one line why not.
fn decode(
    reader: &mut CopyReader,
    read: &ReadSpec,
    stream: &[u8],
    piece: usize,
) -> Result<RecordBatch, String> {
    reader.reset();
    let mut batches = Vec::new();
    let mut pieces = || -> Result<(), ixtract::source::SourceError> {
        for piece in stream.chunks(piece) {
            if reader.push(piece)? {
                batches.push(reader.batch()?.rows);
            }
        }
        reader.check_end()?;
        batches.push(reader.batch()?.rows);
        Ok(())
    };
    let outcome = pieces();
    let rows = concat_batches(&arrow_schema(&read.columns), &batches).expect("one schema");
    match outcome {
        Ok(()) => Ok(rows),
        Err(error) => {
            let failure = ixtract::error::Failure::from(error);
            let lines = [&failure.what, &failure.why, &failure.fix];
            let whole = lines
                .iter()
                .all(|line| !line.is_empty() && !line.contains('\n'));
            assert!(whole, "{failure:?}");
            Err(failure.why)
        }
    }
}

#[test]
fn copy_streams() {
    let read = fs::read(corpus("copy/read.json")).expect("a file");
    let read: ReadSpec = serde_json::from_slice(&read).expect("a plan's read");
    let clock: SharedClock = Arc::new(System::new());
    let new = || CopyReader::new(&read, 1 << 20, Arc::clone(&clock)).expect("a reader");
    let mut reader = new();
    let mut good = 0;
    fuzz("copy", "copy", &mut |stream| {
        let whole = decode(&mut reader, &read, stream, usize::MAX);
        // However it was cut on its way, and whatever was read before it.
        for piece in [1, 7] {
            let again = decode(&mut new(), &read, stream, piece);
            assert_eq!(again.is_ok(), whole.is_ok(), "{again:?} and {whole:?}");
            if let (Ok(again), Ok(whole)) = (&again, &whole) {
                // As text, where what is no number equals itself.
                assert_eq!(format!("{again:?}"), format!("{whole:?}"));
            }
        }
        good += u32::from(whole.is_ok_and(|rows| rows.num_rows() > 0));
    });
    assert!(good > 0, "the corpus itself was not understood");
}

#[test]
fn plans() {
    let mut good = 0;
    fuzz("plan", "json", &mut |bytes| {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return;
        };
        match planner::parse(text) {
            Ok(plan) => {
                good += 1;
                planner::verify(&plan).expect("a plan that was taken holds");
                let again = serde_json::to_string(&plan).expect("a document");
                assert_eq!(planner::parse(&again).expect("the same plan"), plan);
            }
            Err(error) => {
                let failure = ixtract::error::Failure::from(error);
                assert!(
                    !failure.why.is_empty() && !failure.why.contains('\n'),
                    "{failure:?}"
                );
            }
        }
        // Of any version, as --force takes it: understood or refused, but never a panic.
        let _ = planner::parse_any_version(text);
    });
    assert!(good > 0, "the corpus itself was not understood");
}

#[test]
fn manifests() {
    let home = tempfile::tempdir().expect("a directory");
    let secret = home.path().join("secret");
    fs::write(&secret, "outside").expect("a file");
    let dataset = home.path().join("dataset");
    fs::create_dir(&dataset).expect("a directory");
    let mut good = 0;
    fuzz("manifest", "json", &mut |bytes| {
        fs::write(dataset.join("_manifest.json"), bytes).expect("a file");
        if Manifest::load(&dataset).is_err() {
            return;
        }
        good += 1;
        for file in manifest::files(&dataset).expect("the same manifest") {
            assert!(file.starts_with(&dataset), "{}", file.display());
            assert!(
                !file.components().any(|part| part.as_os_str() == ".."),
                "{}",
                file.display()
            );
        }
        // Its files are not there, which is found, whatever else the manifest says.
        verify(&dataset).expect_err("no file of it is there");
        manifest::find_all(&dataset).expect("a search");
    });
    assert!(good > 0, "the corpus itself was not understood");
}
