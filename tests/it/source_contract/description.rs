//! Tables, columns, statistics, density: from the catalogue, and true.

use std::collections::BTreeMap;

use ixtract::model::{FieldType, KeyValue, Selection};
use ixtract::source::SourceError;

use super::for_every_source;
use super::subject::{ROWS, Subject, keys, read_alone, read_of};

for_every_source!(
    a_missing_table_is_named_with_the_nearest,
    a_missing_column_is_named_with_the_nearest,
    columns_keep_the_catalogues_order,
    no_column_left_is_refused,
    any_name_can_be_read,
    statistics_are_about_right,
    density_bounds_ascend_between_the_ends,
    the_density_of_nothing_is_nothing,
    keys_that_may_be_null_say_so,
    the_source_answers_and_has_room,
);

async fn a_missing_table_is_named_with_the_nearest(subject: &Subject) {
    let missing = subject.try_table("ordres", &Selection::default()).await;
    let Err(SourceError::TableMissing { table, near, .. }) = missing else {
        panic!("{missing:?}");
    };
    assert_eq!(table, "ordres");
    assert!(
        near.first().is_some_and(|near| near.ends_with("orders")),
        "{near:?}"
    );
}

async fn a_missing_column_is_named_with_the_nearest(subject: &Subject) {
    let names = || vec!["id".to_owned(), "amuont".to_owned()];
    for selection in [
        Selection {
            columns: names(),
            ..Selection::default()
        },
        Selection {
            exclude: names(),
            ..Selection::default()
        },
    ] {
        let missing = subject.try_table("orders", &selection).await;
        let Err(SourceError::ColumnMissing { column, near, .. }) = missing else {
            panic!("{selection:?}: {missing:?}");
        };
        assert_eq!(column, "amuont");
        assert_eq!(near.first().map(String::as_str), Some("amount"), "{near:?}");
    }
}

async fn columns_keep_the_catalogues_order(subject: &Subject) {
    let columns = async |selection: Selection| -> Vec<String> {
        let table = subject
            .try_table("orders", &selection)
            .await
            .expect("a table");
        assert_eq!(table.keys[0].column, "id", "keys need not be selected");
        assert!(
            table.keys[0].primary && table.keys[0].unique,
            "{:?}",
            table.keys
        );
        table
            .columns
            .into_iter()
            .map(|column| column.name)
            .collect()
    };
    assert_eq!(
        columns(Selection::default()).await,
        ["id", "amount", "word"]
    );
    let chosen = vec!["word".to_owned(), "amount".to_owned()];
    let only = Selection {
        columns: chosen.clone(),
        ..Selection::default()
    };
    assert_eq!(columns(only).await, ["amount", "word"]);
    let without = Selection {
        exclude: chosen,
        ..Selection::default()
    };
    assert_eq!(columns(without).await, ["id"]);

    let table = subject.table("orders").await;
    let types: Vec<&FieldType> = table.columns.iter().map(|column| &column.field).collect();
    assert_eq!(
        types,
        [&FieldType::Int64, &FieldType::Int64, &FieldType::Utf8]
    );
    let nullable: Vec<bool> = table.columns.iter().map(|column| column.nullable).collect();
    assert_eq!(nullable[1..], [true, false], "word is NOT NULL");
}

/// A file without columns does not even say how many rows it has.
async fn no_column_left_is_refused(subject: &Subject) {
    let exclude = ["id", "amount", "word"].map(str::to_owned).to_vec();
    let nothing = Selection {
        exclude,
        ..Selection::default()
    };
    let refused = subject.try_table("orders", &nothing).await;
    let Err(SourceError::Unsupported { what, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(what.contains("orders"), "{what}");
}

async fn any_name_can_be_read(subject: &Subject) {
    let names = subject.odd_names();
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    for (number, name) in names.iter().enumerate() {
        let sql = quoted(name);
        subject.exec(&format!(
            "CREATE TABLE {sql} ({sql} BIGINT PRIMARY KEY, {} TEXT);
             INSERT INTO {sql} VALUES ({number}, 'x')",
            quoted(&format!("{name}2")),
        ));
    }
    for (number, name) in names.iter().enumerate() {
        let table = subject.table(name).await;
        assert_eq!(
            (&*table.relation.name, &*table.columns[0].name),
            (*name, *name)
        );
        let snapshot = subject.snapshot(&read_of(&table), 1).await;
        let rows = read_alone(&*snapshot, &keys(Some(number as i128), None)).await;
        assert_eq!(rows, [[number.to_string(), "x".to_owned()]], "{name}");
        assert_eq!(snapshot.count().await, Ok(1), "{name}");
        snapshot
            .close()
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        // In the server's own quotes.
        assert_eq!(subject.table(&quoted(name)).await.relation, table.relation);
    }
}

async fn statistics_are_about_right(subject: &Subject) {
    let table = subject.table("orders").await;
    let statistics = subject.source.statistics(&table).await.expect("statistics");
    let rows = statistics.estimate.rows as usize;
    assert!((ROWS / 2..=ROWS * 2).contains(&rows), "{statistics:?}");
    assert!(statistics.bytes >= 10_000, "{statistics:?}");
    assert_eq!(
        statistics.blocks.is_some(),
        subject.source.capabilities().blocks_addressable,
        "{statistics:?}"
    );
    assert_ne!(statistics.counters.0, BTreeMap::new(), "no change counters");
    let empty = subject.table("other").await;
    let statistics = subject.source.statistics(&empty).await.expect("statistics");
    assert_eq!(statistics.estimate.rows, 0, "{statistics:?}");
}

async fn density_bounds_ascend_between_the_ends(subject: &Subject) {
    let table = subject.table("orders").await;
    let key = &table.keys[0];
    let (density, _) = subject
        .source
        .density(&table, key, 20)
        .await
        .expect("a density");
    assert_eq!(density.min, Some(KeyValue::Int(0)), "{density:?}");
    assert_eq!(
        density.max,
        Some(KeyValue::Int(3 * (ROWS as i128 - 1))),
        "{density:?}"
    );
    assert!(density.bounds.is_sorted(), "{density:?}");
    assert!(density.bounds.len() >= 10, "{density:?}");
    let ends = density.min.clone()..=density.max.clone();
    let inside = density
        .bounds
        .iter()
        .all(|bound| ends.contains(&Some(bound.clone())));
    assert!(inside, "{density:?}");
    assert_eq!(density.null_permille, 0, "{density:?}");
}

async fn the_density_of_nothing_is_nothing(subject: &Subject) {
    let table = subject.table("other").await;
    let (density, _) = subject
        .source
        .density(&table, &table.keys[0], 20)
        .await
        .expect("a density");
    assert_eq!((&density.min, &density.max), (&None, &None), "{density:?}");
    assert!(density.bounds.is_empty(), "{density:?}");
}

async fn keys_that_may_be_null_say_so(subject: &Subject) {
    subject.exec(
        "CREATE TABLE loose (word TEXT, k BIGINT); CREATE UNIQUE INDEX loose_k ON loose (k);
         INSERT INTO loose VALUES ('a', 1), ('b', NULL), ('c', NULL), ('d', 9223372036854775807)",
    );
    let table = subject.table("loose").await;
    let Some(key) = table.keys.iter().find(|key| key.column == "k") else {
        // Where every row has a number of its own, nothing else is a better key.
        assert!(!table.keys[0].nullable, "{:?}", table.keys);
        return;
    };
    assert!(key.nullable && key.unique && !key.primary, "{key:?}");
    let mut read = read_of(&table);
    read.key = Some(key.clone());
    let snapshot = subject.snapshot(&read, 1).await;
    let (density, _) = subject
        .source
        .density(&table, key, 4)
        .await
        .expect("a density");
    assert_eq!(
        density.max,
        Some(KeyValue::Int(i64::MAX.into())),
        "{density:?}"
    );
    let nulls = read_alone(&*snapshot, &ixtract::model::ChunkBounds::KeyNull).await;
    assert_eq!(nulls.len(), 2, "{nulls:?}");
    let others = read_alone(&*snapshot, &keys(None, None)).await;
    assert_eq!(others.len(), 2, "a range holds no NULL: {others:?}");
}

async fn the_source_answers_and_has_room(subject: &Subject) {
    subject.source.ping().await.expect("an answer");
    let load = subject.source.load().await.expect("a load");
    assert!(load.available() >= 1 && load.max >= load.active, "{load:?}");
    assert!(subject.source.capabilities().max_readers >= 2);
    assert!(!subject.source.capabilities().server.is_empty());
    assert!(!subject.source.identity().database.is_empty());
}
