//! Chunks together are the whole, and each is read to its end.

use std::time::Duration;

use ixtract::model::{BlockRange, ChunkBounds, KeyValue, Selection};
use ixtract::source::Snapshot;

use super::for_every_source;
use super::subject::{ROWS, Row, Subject, keys, read, read_alone, read_of, sorted};

for_every_source!(
    what_the_simulation_promises_too,
    key_chunks_together_are_the_whole,
    block_chunks_together_are_the_whole,
    a_session_reads_one_chunk_after_another,
    the_end_comes_once_and_after_every_row,
    an_empty_range_has_an_end_at_once,
    a_filter_holds_in_every_chunk,
    cancel_stops_a_long_read,
);

/// Key ranges from these bounds, open at both ends.
fn cover(bounds: &[KeyValue]) -> Vec<ChunkBounds> {
    let mut bounds: Vec<i128> = bounds.iter().filter_map(KeyValue::as_int).collect();
    bounds.dedup();
    let lower = [None].into_iter().chain(bounds.iter().copied().map(Some));
    let upper = bounds.iter().copied().map(Some).chain([None]);
    lower
        .zip(upper)
        .map(|(lower, upper)| keys(lower, upper))
        .collect()
}

/// Fails the test unless the chunks' rows, read one by one, are all rows.
async fn expect_whole(snapshot: &dyn Snapshot, chunks: &[ChunkBounds]) {
    let whole = sorted(read_alone(snapshot, &ChunkBounds::All).await);
    let mut rows: Vec<Row> = Vec::new();
    let mut session = snapshot.session().await.expect("a session");
    for chunk in chunks {
        rows.extend(read(&mut *session, chunk).await);
    }
    assert_eq!(sorted(rows), whole);
}

async fn what_the_simulation_promises_too(subject: &Subject) {
    let table = subject.table("orders").await;
    let snapshot = subject.snapshot(&read_of(&table), 2).await;
    let chunks = cover(&[30, 1500, 6000].map(KeyValue::Int));
    crate::promises::of_a_snapshot(&*snapshot, &chunks, &keys(Some(-50), Some(-40))).await;
}

async fn key_chunks_together_are_the_whole(subject: &Subject) {
    let table = subject.table("orders").await;
    let (density, _) = subject
        .source
        .density(&table, &table.keys[0], 20)
        .await
        .expect("a density");
    let chunks = cover(&density.bounds);
    assert!(chunks.len() > 5, "{chunks:?}");
    let snapshot = subject.snapshot(&read_of(&table), 2).await;
    assert_eq!(read_alone(&*snapshot, &ChunkBounds::All).await.len(), ROWS);
    expect_whole(&*snapshot, &chunks).await;
    let ends = [
        i64::MIN,
        i64::MIN + 1,
        -1,
        0,
        1,
        1500,
        i64::MAX - 1,
        i64::MAX,
    ];
    let ends: Vec<KeyValue> = ends
        .into_iter()
        .map(|end| KeyValue::Int(end.into()))
        .collect();
    expect_whole(&*snapshot, &cover(&ends)).await;
    snapshot.close().await.expect("an unchanged table");
}

async fn block_chunks_together_are_the_whole(subject: &Subject) {
    if !subject.source.capabilities().blocks_addressable {
        return;
    }
    let table = subject.table("orders").await;
    let blocks = subject
        .source
        .statistics(&table)
        .await
        .expect("statistics")
        .blocks;
    let blocks = blocks.expect("blocks");
    assert!(blocks >= 4, "{blocks}");
    let snapshot = subject.snapshot(&read_of(&table), 2).await;
    let range = |start, end| ChunkBounds::Blocks(BlockRange { start, end });
    let mut chunks = vec![range(None, Some(1))];
    chunks.extend((1..blocks - 1).map(|block| range(Some(block), Some(block + 1))));
    chunks.push(range(Some(blocks - 1), None));
    expect_whole(&*snapshot, &chunks).await;
    expect_whole(
        &*snapshot,
        &[range(None, Some(u32::MAX)), range(Some(u32::MAX), None)],
    )
    .await;
    expect_whole(&*snapshot, &[range(None, None)]).await;
}

async fn a_session_reads_one_chunk_after_another(subject: &Subject) {
    let table = subject.table("orders").await;
    let snapshot = subject.snapshot(&read_of(&table), 1).await;
    let mut session = snapshot.session().await.expect("a session");
    let low = read(&mut *session, &keys(None, Some(30))).await;
    let nothing = read(&mut *session, &keys(Some(-50), Some(-40))).await;
    let again = read(&mut *session, &keys(None, Some(30))).await;
    let all = read(&mut *session, &ChunkBounds::All).await;
    assert_eq!((low.len(), nothing.len(), all.len()), (10, 0, ROWS));
    assert_eq!(sorted(low), sorted(again));
}

async fn the_end_comes_once_and_after_every_row(subject: &Subject) {
    let table = subject.table("orders").await;
    let snapshot = subject.snapshot(&read_of(&table), 1).await;
    let mut session = snapshot.session().await.expect("a session");
    session.begin(&ChunkBounds::All).await.expect("a chunk");
    let (mut rows, mut batches) = (0, 0);
    while let Some(batch) = session.next().await.expect("a batch") {
        let schema = ixtract::model::arrow_schema(&table.columns);
        assert_eq!(batch.rows.schema(), schema, "the schema is the catalogue's");
        assert!(batch.rows.num_rows() > 0, "a batch of nothing");
        rows += batch.rows.num_rows();
        batches += 1;
    }
    assert_eq!(rows, ROWS);
    assert!(batches > 3, "{batches} batches of 2 kB");
    // After the end there is nothing more; to ask is an error at most.
    if let Ok(more) = session.next().await {
        assert!(more.is_none(), "rows after the end");
    }
}

async fn an_empty_range_has_an_end_at_once(subject: &Subject) {
    let table = subject.table("orders").await;
    let snapshot = subject.snapshot(&read_of(&table), 1).await;
    for chunk in [
        keys(Some(1), Some(3)),
        keys(Some(1_000_000), None),
        keys(None, Some(-7)),
    ] {
        assert_eq!(
            read_alone(&*snapshot, &chunk).await,
            Vec::<Row>::new(),
            "{chunk}"
        );
    }
    let empty = subject.table("other").await;
    let snapshot = subject.snapshot(&read_of(&empty), 1).await;
    assert_eq!(
        read_alone(&*snapshot, &ChunkBounds::All).await,
        Vec::<Row>::new()
    );
    assert_eq!(snapshot.count().await, Ok(0));
}

/// An `OR` in a filter must not reach beyond the chunk, nor a comment swallow its bounds.
async fn a_filter_holds_in_every_chunk(subject: &Subject) {
    let filter = "id = 3 OR amount > 900000 -- large ones".to_owned();
    let selection = Selection {
        filter: Some(filter),
        ..Selection::default()
    };
    let table = subject
        .try_table("orders", &selection)
        .await
        .expect("a table");
    let snapshot = subject.snapshot(&read_of(&table), 2).await;
    let whole = read_alone(&*snapshot, &ChunkBounds::All).await;
    assert!(
        whole.len() > 1 && whole.len() < ROWS / 2,
        "{} rows",
        whole.len()
    );
    assert_eq!(snapshot.count().await, Ok(whole.len() as u64));
    expect_whole(&*snapshot, &cover(&[0, 3, 4, 2900].map(KeyValue::Int))).await;
    let none = read_alone(&*snapshot, &keys(Some(10), Some(20))).await;
    assert_eq!(none, Vec::<Row>::new());
}

async fn cancel_stops_a_long_read(subject: &Subject) {
    subject.exec(
        "CREATE VIEW endless AS SELECT a.id FROM orders AS a, orders AS b, orders AS c, orders AS d",
    );
    let table = subject.table("endless").await;
    let snapshot = subject.snapshot(&read_of(&table), 1).await;
    let mut session = snapshot.session().await.expect("a session");
    session.begin(&ChunkBounds::All).await.expect("a chunk");
    session.next().await.expect("a batch").expect("not the end");
    let stopped = async {
        snapshot.cancel().await;
        // What was on its way may still come; the end must not.
        loop {
            match session.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a cancelled read ended as if it were whole"),
                Err(_) => return,
            }
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), stopped).await;
    assert!(waited.is_ok(), "the read went on for a minute");
}
