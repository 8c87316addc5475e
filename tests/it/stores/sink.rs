//! What the sink of a store promises before anything is published: nothing shows, and what is
//! aborted, dropped or repeated leaves nothing, on every store.

use std::sync::Arc;

use arrow::array::{BinaryArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use ixtract::model::{FormatOptions, Layout, RunId};
use ixtract::writer::publish::{Dataset, WriteBudget};
use ixtract::writer::store::{Address, Store};
use ixtract::writer::{Location, PartReceipt, Sink};

use super::Bucket;
use crate::extraction::until;

/// Bytes of a batch; three of them are more than one piece of an upload.
const BATCH: usize = 4 << 20;

struct Subject {
    bucket: Bucket,
    dataset: Dataset,
    sink: Arc<dyn Sink>,
}

impl Subject {
    fn new(bucket: Bucket) -> Self {
        let dataset = prepare(&bucket, "0000000a");
        let budget = WriteBudget {
            row_group_bytes_cap: 4 << 20,
        };
        let sink = dataset.sink(&FormatOptions::default(), budget);
        Self {
            bucket,
            dataset,
            sink,
        }
    }

    fn everywhere() -> impl Iterator<Item = Self> {
        Bucket::everywhere().into_iter().map(Self::new)
    }

    async fn write(&self, chunk: u32, batches: u8) -> Vec<PartReceipt> {
        let mut writer = self.sink.open(chunk, schema()).await.expect("a writer");
        for number in 0..batches {
            writer.write(&batch(number)).await.expect("a batch");
        }
        writer.finish().await.expect("receipts")
    }

    fn assert_nothing_shows(&self) {
        assert_eq!(self.bucket.keys().len(), 0, "{:?}", self.bucket.keys());
    }

    /// Aborts run beside the work.
    fn assert_no_uploads(&self) {
        until("no upload is left", || self.bucket.uploads().is_empty());
    }
}

fn prepare(bucket: &Bucket, tag: &str) -> Dataset {
    let address = Address::parse(&bucket.url()).expect("an address");
    let store = Store::new(address, &bucket.options()).expect("a store");
    let run = RunId::stored(format!("rx-20260101-000000-{tag}"));
    Dataset::prepare(Location::Store(store), &run, Layout::Runs, 0).expect("a dataset")
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(
        "noise",
        DataType::Binary,
        false,
    )]))
}

/// Bytes that do not compress, all different from batch to batch.
fn batch(number: u8) -> RecordBatch {
    let mut state = u64::from(number) + 1;
    let noise: Vec<u8> = (0..BATCH)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect();
    let values: Vec<&[u8]> = noise.chunks(BATCH / 64).collect();
    let array = BinaryArray::from_vec(values);
    RecordBatch::try_new(schema(), vec![Arc::new(array)]).expect("a batch")
}

#[tokio::test]
async fn nothing_shows_before_it_is_published_and_abandoning_leaves_nothing() {
    for subject in Subject::everywhere() {
        let large = subject.write(1, 4).await;
        let small = subject.write(2, 1).await;
        assert_eq!((large.len(), small.len()), (1, 1));
        assert!(large[0].bytes > 4 * BATCH as u64, "{large:?}");
        subject.assert_nothing_shows();
        let uploads = subject.bucket.uploads();
        assert_eq!(!uploads.is_empty(), subject.bucket.keeps_uploads());
        let Subject {
            bucket, dataset, ..
        } = subject;
        dataset.abandon().expect("a removal");
        assert_eq!(bucket.keys().len(), 0);
        assert_eq!(bucket.uploads(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn what_is_aborted_or_dropped_is_nowhere() {
    for subject in Subject::everywhere() {
        let mut aborted = subject.sink.open(1, schema()).await.expect("a writer");
        let mut dropped = subject.sink.open(2, schema()).await.expect("a writer");
        for number in 0..4 {
            aborted.write(&batch(number)).await.expect("a batch");
            dropped.write(&batch(number)).await.expect("a batch");
        }
        aborted.abort().await.expect("an end");
        drop(dropped);
        subject.assert_no_uploads();
        subject.assert_nothing_shows();
    }
}

#[tokio::test]
async fn a_new_attempt_replaces_the_old_one() {
    for subject in Subject::everywhere() {
        subject.write(1, 4).await;
        subject.write(1, 5).await;
        let names = |uploads: Vec<String>| uploads.len();
        let expected = usize::from(subject.bucket.keeps_uploads());
        until("one upload is left", || {
            names(subject.bucket.uploads()) == expected
        });
        // An attempt that finds nothing leaves nothing of an earlier one.
        assert_eq!(subject.write(1, 0).await, Vec::new());
        subject.assert_no_uploads();
    }
}

#[tokio::test]
async fn a_batch_of_another_schema_is_an_error() {
    for subject in Subject::everywhere() {
        let mut writer = subject.sink.open(1, schema()).await.expect("a writer");
        writer.write(&batch(1)).await.expect("a batch");
        let other = RecordBatch::new_empty(Arc::new(Schema::empty()));
        let one_row = arrow::array::RecordBatchOptions::new().with_row_count(Some(1));
        let other = RecordBatch::try_new_with_options(other.schema(), vec![], &one_row);
        assert!(writer.write(&other.expect("a batch")).await.is_err());
        writer.abort().await.expect("an end");
        subject.assert_no_uploads();
    }
}
