//! What every sink promises, whatever layout is behind it and whatever format in it: receipts are true, what did not finish is
//! nowhere, a new attempt replaces the old one, and nothing shows before it is published.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use ixtract::model::{
    CsvOptions, FileCompression, Format, FormatOptions, Layout, ParquetOptions, RunId,
};
use ixtract::writer::publish::{Dataset, WriteBudget};
use ixtract::writer::{PartReceipt, Sink, WriteError};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sha2::{Digest, Sha256};

/// A dataset under construction, in a directory of its own.
struct Subject {
    sink: Arc<dyn Sink>,
    dataset: Dataset,
    target: PathBuf,
    home: tempfile::TempDir,
}

impl Subject {
    fn new(layout: Layout, format: Format) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let target = home.path().join("dataset");
        let dataset = prepare(&target, layout, "0000000a").expect("a dataset");
        let format = match format {
            Format::Parquet => FormatOptions::Parquet(ParquetOptions {
                row_group_rows: 100,
                ..ParquetOptions::default()
            }),
            Format::Csv => FormatOptions::Csv(CsvOptions {
                compression: FileCompression::Gzip,
                ..CsvOptions::default()
            }),
        };
        let sink = dataset.sink(
            &format,
            WriteBudget {
                row_group_bytes_cap: 64_000_000,
            },
        );
        Self {
            sink,
            dataset,
            target,
            home,
        }
    }

    /// Writes a chunk of batches that begin at these values.
    async fn write(&self, chunk: u32, starts: &[i64]) -> Vec<PartReceipt> {
        let mut writer = self.sink.open(chunk, schema()).await.expect("a writer");
        for start in starts {
            writer.write(&batch(*start)).await.expect("a batch");
        }
        writer.finish().await.expect("receipts")
    }

    /// Every file with rows that there is, hidden or not, by name.
    fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        walk(self.home.path(), &mut files);
        files.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.trim_start_matches('.').starts_with("part-")
        });
        files.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
        files
    }

    fn names(&self) -> Vec<String> {
        let name = |path: &PathBuf| {
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        };
        self.files().iter().filter_map(name).collect()
    }
}

fn prepare(target: &Path, layout: Layout, tag: &str) -> Result<Dataset, WriteError> {
    Dataset::prepare(
        target,
        &RunId::stored(format!("rx-20260101-000000-{tag}")),
        layout,
        0,
    )
}

fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, files)
        } else {
            files.push(path)
        }
    }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("word", DataType::Utf8, true),
    ]))
}

const BATCH: i64 = 250;

fn batch(start: i64) -> RecordBatch {
    let ids = Int64Array::from_iter_values(start..start + BATCH);
    let words: StringArray = (start..start + BATCH)
        .map(|id| (id % 3 > 0).then(|| format!("word {id}")))
        .collect();
    RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(words)]).expect("a batch")
}

/// The `id`s of a file.
fn ids(path: &Path) -> Vec<i64> {
    let file = fs::File::open(path).expect("a file");
    if path.extension().is_some_and(|extension| extension == "gz") {
        let text = std::io::read_to_string(flate2::read::GzDecoder::new(file)).expect("text");
        let rows = text.strip_prefix("id,word\n").expect("a header").lines();
        let id = |row: &str| row.split(',').next().and_then(|id| id.parse().ok());
        return rows.map(|row| id(row).expect("a number")).collect();
    }
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("a footer");
    assert_eq!(reader.schema().fields(), schema().fields());
    let batches = reader.build().expect("a reader");
    let ids = |batch: RecordBatch| {
        let ids = batch
            .column(0)
            .as_any()
            .downcast_ref::<Int64Array>()
            .expect("integers")
            .clone();
        ids.values().to_vec()
    };
    batches
        .flat_map(|batch| ids(batch.expect("rows")))
        .collect()
}

#[track_caller]
fn expect_true(subject: &Subject, receipts: &[PartReceipt], rows: &[i64]) {
    let mut read = Vec::new();
    for (segment, receipt) in (1..).zip(receipts) {
        assert_eq!(receipt.segment, segment, "{receipts:?}");
        let files = subject.files();
        let path = files
            .iter()
            .find(|path| path.ends_with(&receipt.name))
            .expect("a file");
        let bytes = fs::read(path).expect("a file");
        assert_eq!(receipt.bytes, bytes.len() as u64, "{receipt:?}");
        let hash: String = Sha256::digest(&bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(receipt.sha256, hash, "{receipt:?}");
        let ids = ids(path);
        assert_eq!(receipt.rows, ids.len() as u64, "{receipt:?}");
        read.extend(ids);
    }
    assert_eq!(read, rows);
}

async fn what_the_simulation_promises_too(subject: Subject) {
    let there = || {
        subject
            .files()
            .iter()
            .map(|path| ids(path).len() as u64)
            .sum()
    };
    crate::promises::of_a_sink(&*subject.sink, &schema(), &batch, &there).await;
}

async fn receipts_are_true(subject: Subject) {
    let receipts = subject.write(3, &[0, 1000, 2000]).await;
    assert!(!receipts.is_empty() && receipts.iter().all(|receipt| receipt.chunk == 3));
    let rows: Vec<i64> = [0, 1000, 2000]
        .into_iter()
        .flat_map(|start| start..start + BATCH)
        .collect();
    expect_true(&subject, &receipts, &rows);
    assert_eq!(
        subject.names().len(),
        receipts.len(),
        "{:?}",
        subject.names()
    );
}

async fn a_chunk_without_rows_gives_no_receipt_and_no_file(subject: Subject) {
    assert_eq!(subject.write(1, &[]).await, Vec::new());
    let mut writer = subject.sink.open(2, schema()).await.expect("a writer");
    writer
        .write(&RecordBatch::new_empty(schema()))
        .await
        .expect("a batch of nothing");
    assert_eq!(writer.finish().await.expect("receipts"), Vec::new());
    assert_eq!(subject.names(), Vec::<String>::new());
}

async fn what_is_aborted_or_dropped_is_nowhere(subject: Subject) {
    let mut aborted = subject.sink.open(1, schema()).await.expect("a writer");
    aborted.write(&batch(0)).await.expect("a batch");
    aborted.abort().await.expect("no more than a removal");
    let untouched = subject.sink.open(2, schema()).await.expect("a writer");
    untouched.abort().await.expect("nothing to remove");
    let mut dropped = subject.sink.open(3, schema()).await.expect("a writer");
    dropped.write(&batch(0)).await.expect("a batch");
    drop(dropped);
    assert_eq!(subject.names(), Vec::<String>::new());
}

async fn a_new_attempt_replaces_the_old_one(subject: Subject) {
    let first = subject.write(1, &[0, 5000]).await;
    let second = subject.write(1, &[7000]).await;
    let rows: Vec<i64> = (7000..7000 + BATCH).collect();
    expect_true(&subject, &second, &rows);
    assert_eq!(
        subject.names().len(),
        second.len(),
        "{first:?} and {second:?}"
    );

    let mut lost = subject.sink.open(2, schema()).await.expect("a writer");
    lost.write(&batch(0)).await.expect("a batch");
    // The session broke: the next attempt starts while nobody has cleaned up.
    let third = subject.write(2, &[9000]).await;
    drop(lost);
    let rows: Vec<i64> = (9000..9000 + BATCH).collect();
    expect_true(&subject, &third, &rows);

    // An attempt that finds nothing leaves nothing of an earlier one.
    assert_eq!(subject.write(2, &[]).await, Vec::new());
    assert_eq!(subject.names().len(), second.len(), "{:?}", subject.names());
}

async fn writers_work_side_by_side(subject: Subject) {
    let tasks: Vec<_> = (1..=8_u32)
        .map(|chunk| {
            let sink = Arc::clone(&subject.sink);
            tokio::spawn(async move {
                let mut writer = sink.open(chunk, schema()).await.expect("a writer");
                for part in 0..4 {
                    writer
                        .write(&batch(i64::from(chunk) * 10_000 + part * BATCH))
                        .await
                        .expect("a batch");
                    tokio::task::yield_now().await;
                }
                writer.finish().await.expect("receipts")
            })
        })
        .collect();
    let mut names = Vec::new();
    for (chunk, task) in (1..).zip(tasks) {
        let receipts = task.await.expect("a task");
        let start = chunk * 10_000;
        let rows: Vec<i64> = (start..start + 4 * BATCH).collect();
        expect_true(&subject, &receipts, &rows);
        names.extend(receipts.into_iter().map(|receipt| receipt.name));
    }
    assert!(names.is_sorted(), "names follow the chunks: {names:?}");
    assert_eq!(subject.names(), names);
}

async fn a_batch_of_another_schema_is_an_error(subject: Subject) {
    let mut writer = subject.sink.open(1, schema()).await.expect("a writer");
    writer.write(&batch(0)).await.expect("a batch");
    let only_ids = batch(0).project(&[0]).expect("a projection");
    assert!(writer.write(&only_ids).await.is_err());
    writer.abort().await.expect("no more than a removal");
    assert_eq!(subject.names(), Vec::<String>::new());
}

async fn nothing_shows_before_it_is_published(subject: Subject) {
    subject.write(1, &[0]).await;
    let is_hidden = |path: &Path| {
        let inside = path
            .strip_prefix(subject.home.path())
            .expect("below the home");
        inside.iter().any(|part| {
            let part = part.to_string_lossy();
            part.starts_with('.') || part.starts_with("_runs")
        })
    };
    let files = subject.files();
    assert!(files.iter().all(|path| is_hidden(path)), "{files:?}");
    let markers = ["_SUCCESS", "_manifest.json"].map(|name| subject.target.join(name).exists());
    assert_eq!(markers, [false, false]);

    subject.dataset.abandon().expect("a removal");
    let mut left = Vec::new();
    walk(subject.home.path(), &mut left);
    assert_eq!(left, Vec::<PathBuf>::new(), "left after abandoning");
}

async fn a_dataset_is_held_by_one_run_at_a_time(subject: Subject) {
    let layout = if subject.target.exists() {
        Layout::Runs
    } else {
        Layout::Replace
    };
    let second = prepare(&subject.target, layout, "0000000b");
    assert!(
        matches!(second, Err(WriteError::Held { .. })),
        "{:?}",
        second.err()
    );
    subject.write(1, &[0]).await;
    subject.dataset.abandon().expect("a removal");
    let third = prepare(&subject.target, layout, "0000000c").expect("a free dataset");
    third.abandon().expect("a removal");
}

/// Runs these checks for a layout and a format.
macro_rules! checks {
    ($name:ident, $layout:ident, $format:ident, $($check:ident),+ $(,)?) => {
        mod $name {
            use ixtract::model::{Format, Layout};
            $(#[tokio::test]
            async fn $check() {
                super::$check(super::Subject::new(Layout::$layout, Format::$format)).await;
            })+
        }
    };
}

/// Runs these checks for every layout, and for every format.
macro_rules! for_every_sink {
    ($($check:ident),+ $(,)?) => {
        checks!(replace, Replace, Parquet, $($check),+);
        checks!(runs, Runs, Parquet, $($check),+);
        checks!(csv, Replace, Csv, $($check),+);
    };
}

for_every_sink!(
    what_the_simulation_promises_too,
    receipts_are_true,
    a_chunk_without_rows_gives_no_receipt_and_no_file,
    what_is_aborted_or_dropped_is_nowhere,
    a_new_attempt_replaces_the_old_one,
    writers_work_side_by_side,
    a_batch_of_another_schema_is_an_error,
    nothing_shows_before_it_is_published,
    a_dataset_is_held_by_one_run_at_a_time,
);
