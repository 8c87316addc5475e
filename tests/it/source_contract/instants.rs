//! One point in time, for as many sessions as were asked for, however others write meanwhile.

use ixtract::model::{ChunkBounds, ConsistencyLevel};

use super::for_every_source;
use super::subject::{ROWS, Subject, keys, read, read_alone, read_of, sorted};

for_every_source!(
    sessions_see_one_instant_while_others_write,
    the_count_is_of_the_same_instant,
    an_untouched_relation_is_found_so,
    a_dropped_snapshot_holds_nothing,
    the_facts_are_what_was_achieved,
);

const CHANGES: &str =
    "INSERT INTO orders VALUES (-5, 1, 'below'), (1, 1, 'inside'), (999999, 1, 'above');
    DELETE FROM orders WHERE id % 2 = 0;
    UPDATE orders SET id = id + 1000000, word = 'moved' WHERE id BETWEEN 300 AND 600";

async fn sessions_see_one_instant_while_others_write(subject: &Subject) {
    let table = subject.table("orders").await;
    let before = subject.snapshot(&read_of(&table), 1).await;
    let expected = sorted(read_alone(&*before, &ChunkBounds::All).await);
    before.close().await.expect("an unchanged table");
    assert_eq!(expected.len(), ROWS);

    let snapshot = subject.snapshot(&read_of(&table), 3).await;
    let mut early = snapshot.session().await.expect("a session");
    let mut begun = snapshot.session().await.expect("a session");
    begun.begin(&keys(None, Some(1500))).await.expect("a chunk");
    subject.exec(CHANGES);
    let mut late = snapshot
        .session()
        .await
        .expect("a session opened after the changes");
    subject.exec("INSERT INTO orders VALUES (7777777, 1, 'later still')");

    assert_eq!(sorted(read(&mut *early, &ChunkBounds::All).await), expected);
    assert_eq!(sorted(read(&mut *late, &ChunkBounds::All).await), expected);
    let mut parts = read(&mut *late, &keys(Some(1500), None)).await;
    parts.extend(read(&mut *early, &keys(None, Some(1500))).await);
    assert_eq!(sorted(parts), expected, "two chunks by two sessions");
    let mut rows = 0;
    while let Some(batch) = begun.next().await.expect("a batch") {
        rows += batch.rows.num_rows();
    }
    assert_eq!(rows, 500, "the chunk that had begun before");

    // And a new snapshot sees what was written.
    let after = subject.snapshot(&read_of(&table), 1).await;
    assert_ne!(
        sorted(read_alone(&*after, &ChunkBounds::All).await),
        expected
    );
}

async fn the_count_is_of_the_same_instant(subject: &Subject) {
    let table = subject.table("orders").await;
    let snapshot = subject.snapshot(&read_of(&table), 2).await;
    // Beside a session that is busy reading.
    let mut session = snapshot.session().await.expect("a session");
    session.begin(&ChunkBounds::All).await.expect("a chunk");
    session.next().await.expect("a batch").expect("not the end");
    assert_eq!(snapshot.count().await, Ok(ROWS as u64));
    subject.exec(CHANGES);
    assert_eq!(
        snapshot.count().await,
        Ok(ROWS as u64),
        "what came later is not counted"
    );
}

async fn an_untouched_relation_is_found_so(subject: &Subject) {
    let table = subject.table("orders").await;
    let snapshot = subject.snapshot(&read_of(&table), 2).await;
    read_alone(&*snapshot, &ChunkBounds::All).await;
    assert_eq!(snapshot.blocked().await, Ok(Vec::new()));
    subject.exec("INSERT INTO orders VALUES (-1, NULL, 'meanwhile')");
    assert_eq!(
        snapshot.close().await,
        Ok(()),
        "rows of others are no change of the relation"
    );
}

async fn a_dropped_snapshot_holds_nothing(subject: &Subject) {
    let table = subject.table("orders").await;
    let snapshot = subject.snapshot(&read_of(&table), 2).await;
    let mut session = snapshot.session().await.expect("a session");
    session.begin(&ChunkBounds::All).await.expect("a chunk");
    session.next().await.expect("a batch");
    drop(session);
    drop(snapshot);
    // Waits for every lock that is left, and fails the test by never ending.
    subject.exec("DROP TABLE orders");
}

async fn the_facts_are_what_was_achieved(subject: &Subject) {
    let read = read_of(&subject.table("orders").await);
    let shared = subject.snapshot(&read, 2).await.facts();
    assert_eq!(shared.level, ConsistencyLevel::SharedSnapshot, "{shared:?}");
    assert!(shared.readers >= 2, "{shared:?}");
    let taken: Result<jiff::Timestamp, _> = shared.taken_at.parse();
    assert!(taken.is_ok(), "{shared:?}");
    let single = subject.snapshot(&read, 1).await.facts();
    assert!(single.readers >= 1, "{single:?}");
    assert!(!single.held_by.is_empty(), "{single:?}");
}
