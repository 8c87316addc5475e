//! The sources and sinks in memory keep the promises that every other one is held to.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use ixtract::model::{ChunkBounds, KeyRange, KeyValue, arrow_schema};

use crate::promises;
use crate::world::{Faults, MemorySink, MemorySnapshot, World};

#[tokio::test(start_paused = true)]
async fn a_source_in_memory_is_one() {
    let world = World::new(1003, 9, 2, Faults::default());
    let chunks: Vec<ChunkBounds> = world
        .spec
        .chunks
        .iter()
        .map(|chunk| chunk.bounds.clone())
        .collect();
    let nothing = ChunkBounds::Key(KeyRange {
        lower: Some(KeyValue::Int(2_000)),
        upper: None,
    });
    promises::of_a_snapshot(&MemorySnapshot(world.clone()), &chunks, &nothing).await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_in_memory_is_one() {
    let world = World::new(10, 1, 1, Faults::default());
    let schema = arrow_schema(&world.spec.read.columns);
    let batch = |start: i64| {
        let values = Int64Array::from_iter_values(start..start + 250);
        RecordBatch::try_new(schema.clone(), vec![Arc::new(values)]).unwrap()
    };
    let sink = MemorySink::default();
    let there = || sink.values().len() as u64;
    promises::of_a_sink(&sink, &schema, &batch, &there).await;
}
