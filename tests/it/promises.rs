//! What sources and sinks promise, through the traits that the engine knows them by. Those of the
//! simulation are held to the same (`sim/contract.rs`), or what it shows would say nothing.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use ixtract::model::ChunkBounds;
use ixtract::source::{Session, Snapshot};
use ixtract::writer::{PartReceipt, Sink};

/// Reads a chunk to its end, which comes once and after every row.
async fn read(session: &mut dyn Session, chunk: &ChunkBounds) -> Vec<RecordBatch> {
    session.begin(chunk).await.expect("a chunk");
    let mut batches = Vec::new();
    while let Some(batch) = session.next().await.expect("a batch") {
        assert!(batch.rows.num_rows() > 0, "a batch of nothing");
        batches.push(batch.rows);
    }
    batches
}

fn rows(batches: &[RecordBatch]) -> u64 {
    batches.iter().map(|batch| batch.num_rows() as u64).sum()
}

/// `chunks` are the whole, and `nothing` holds no row.
pub(crate) async fn of_a_snapshot(
    snapshot: &dyn Snapshot,
    chunks: &[ChunkBounds],
    nothing: &ChunkBounds,
) {
    let whole = snapshot.count().await.expect("a count");
    let mut session = snapshot.session().await.expect("a session");
    let mut sum = 0;
    for chunk in chunks {
        let batches = read(&mut *session, chunk).await;
        let schemas = batches.iter().map(|batch| batch.schema());
        assert!(
            schemas
                .clone()
                .all(|schema| Some(schema) == schemas.clone().next())
        );
        let counted = snapshot.count_of(chunk).await.expect("a count");
        assert_eq!(rows(&batches), counted, "{chunk}");
        sum += counted;
    }
    assert_eq!(sum, whole, "chunks that are not the whole, once");
    assert_eq!(rows(&read(&mut *session, nothing).await), 0, "{nothing}");
    // After the end there is nothing more; to ask is an error at most.
    if let Ok(more) = session.next().await {
        assert!(more.is_none(), "rows after the end");
    }
    // A chunk is the same for everybody, also for a session of later on.
    let mut late = snapshot.session().await.expect("a session");
    let first = &chunks[0];
    let again = read(&mut *late, first).await;
    assert_eq!(
        rows(&again),
        snapshot.count_of(first).await.expect("a count")
    );
    let all = rows(&read(&mut *late, &ChunkBounds::All).await);
    assert_eq!(all, whole, "the whole in one chunk");
    assert_eq!(
        snapshot.blocked().await,
        Ok(Vec::new()),
        "nobody waits for us"
    );
    drop((session, late));
    assert_eq!(
        snapshot.close().await,
        Ok(()),
        "nobody changed the relation"
    );
}

/// `batch` makes rows that begin at a value, and `there` counts the rows of all finished chunks.
pub(crate) async fn of_a_sink(
    sink: &dyn Sink,
    schema: &SchemaRef,
    batch: &dyn Fn(i64) -> RecordBatch,
    there: &dyn Fn() -> u64,
) {
    let write = async |chunk: u32, starts: &[i64]| -> Vec<PartReceipt> {
        let mut writer = sink.open(chunk, schema.clone()).await.expect("a writer");
        for start in starts {
            writer.write(&batch(*start)).await.expect("a batch");
        }
        writer.finish().await.expect("receipts")
    };
    let each = batch(0).num_rows() as u64;
    let told = |receipts: &[PartReceipt]| receipts.iter().map(|one| one.rows).sum::<u64>();
    let receipts = write(3, &[0, 1000, 2000]).await;
    assert!(receipts.iter().all(|receipt| receipt.chunk == 3));
    assert_eq!(
        (told(&receipts), there()),
        (3 * each, 3 * each),
        "receipts are true"
    );
    assert_eq!(write(4, &[]).await, Vec::new(), "no row, no receipt");
    // What did not finish is nowhere.
    let mut aborted = sink.open(5, schema.clone()).await.expect("a writer");
    aborted.write(&batch(0)).await.expect("a batch");
    aborted.abort().await.expect("no more than a removal");
    let mut dropped = sink.open(6, schema.clone()).await.expect("a writer");
    dropped.write(&batch(0)).await.expect("a batch");
    drop(dropped);
    assert_eq!(there(), 3 * each);
    // A new attempt replaces the old one, also with nothing.
    assert_eq!(told(&write(3, &[7000]).await), each);
    assert_eq!(there(), each);
    assert_eq!(write(3, &[]).await, Vec::new());
    assert_eq!(there(), 0);
}
