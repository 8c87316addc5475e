//! The life of a dataset: written, proved, published, replaced, broken and verified.

mod csv;
mod full;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::*;
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int32Type, i256};
use jiff::Timestamp;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::basic::{LogicalType, Type as Physical};
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use super::folder::{Blob, Directory, Folder};
use super::manifest::{Manifest, files};
use super::publish::{Dataset, Evidence, Published, Step, Sums, WriteBudget};
use super::verify::{hash, verify};
use super::{PartReceipt, Result, WriteError, names, place};
use crate::clock::System;
use crate::model::*;
// Both globs bring a `Strategy`.
use crate::model::Strategy;

const BUDGET: WriteBudget = WriteBudget {
    row_group_bytes_cap: 64 << 20,
};

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

fn blob(path: &Path) -> Box<dyn Blob> {
    Directory(PathBuf::new())
        .open(path.to_str().unwrap())
        .unwrap()
}

fn instant(number: u32) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + i64::from(number)).unwrap()
}

fn run_id(number: u32) -> RunId {
    RunId::new(instant(number), number.wrapping_mul(0x9e37_79b9))
}

fn column(name: &str, field: FieldType, nullable: bool) -> Column {
    Column {
        name: name.to_owned(),
        source_type: field.to_string(),
        base_type: field.to_string(),
        read: ReadAs::Native,
        field,
        nullable,
        comment: Some("as told".to_owned()),
        generated: None,
        on_unrepresentable: OnUnrepresentable::Fail,
        lossy: false,
    }
}

fn format(compression: Compression) -> FormatOptions {
    FormatOptions::Parquet(ParquetOptions {
        compression,
        row_group_rows: 1_000_000,
        row_group_bytes: 128 << 20,
        max_file_bytes: None,
    })
}

/// Chunks that tile an integer key, cut at `cuts`.
fn chunks(cuts: &[i128]) -> Vec<PlannedChunk> {
    let edge = |index: usize| cuts.get(index).map(|cut| KeyValue::Int(*cut));
    (0..=cuts.len())
        .map(|index| PlannedChunk {
            number: index as u32 + 1,
            bounds: ChunkBounds::Key(KeyRange {
                lower: index.checked_sub(1).and_then(edge),
                upper: edge(index),
            }),
            rank: index as u32,
        })
        .collect()
}

/// A plan over `columns` whose chunks are cut at `cuts` of an integer key.
fn plan(columns: Vec<Column>, cuts: &[i128]) -> ExecutionPlan {
    let forecast = Forecast {
        rows: 0,
        bytes: 0,
        throughput: 0.0,
        duration_s: 0.0,
        method: "cold_start".to_owned(),
        runs: 0,
        grounds: crate::model::Grounds::none(),
        chunks: Vec::new(),
    };
    let spec = ExecutionSpec {
        plan_version: PLAN_VERSION,
        source: SourceIdentity {
            kind: SourceKind::PostgreSql,
            host: "db".to_owned(),
            port: 5432,
            database: "shop".to_owned(),
            name: None,
        },
        read: ReadSpec {
            relation: Relation {
                schema: "public".to_owned(),
                name: "orders".to_owned(),
            },
            kind: RelationKind::Table,
            query: None,
            columns,
            key: None,
            leaves: Vec::new(),
            filter: None,
        },
        window: None,
        types: TypeMapping {
            mode: TypeMode::Portable,
            version: TYPE_MAP_VERSION,
        },
        strategy: Strategy::RangeChunking,
        chunks: chunks(cuts),
        workers: 1,
        scheduling: Scheduling::RoundRobin,
        retry: RetryPolicy {
            retries: 0,
            base_ms: 1,
            max_ms: 1,
        },
        backoff: BackoffRule {
            threshold_p50s: 1,
            floor_ms: 1,
            floor_p50s: 1,
            active_from_p50_us: 1,
            max_activations: 0,
            cooldown_chunks: 0,
            max_pause_ms: 0,
        },
        format: format(Compression::Snappy),
        consistency: Consistency::Auto,
        proof: ProofLevel::Count,
        proof_key: Vec::new(),
        memory_mb: None,
    };
    ExecutionPlan {
        spec,
        forecast,
        fingerprint: "f00d".to_owned(),
        reasons: Vec::new(),
        resolution: None,
        warnings: Vec::new(),
    }
}

fn record(number: u32, rows: u64) -> ChunkRecord {
    ChunkRecord {
        number,
        worker: 1,
        status: ChunkStatus::Success,
        started_ms: 0,
        duration_ms: 0,
        query_ms: 0,
        answer_ms: 0,
        decode_ms: 0,
        storage_ms: 0,
        waits: Default::default(),
        write_ms: 0,
        rows,
        bytes: 0,
        retries: 0,
        files: Vec::new(),
        nulled: BTreeMap::new(),
        error: None,
    }
}

fn snapshot() -> SnapshotFacts {
    SnapshotFacts {
        level: ConsistencyLevel::SharedSnapshot,
        readers: 1,
        position: Some("0/16B3748".to_owned()),
        taken_at: "2026-01-01T00:00:00Z".to_owned(),
        held_by: "ACCESS SHARE lock".to_owned(),
        notes: Vec::new(),
    }
}

/// A run that has read: all that `publish` wants, owned, so that a test can spoil any of it.
struct Read {
    number: u32,
    plan: ExecutionPlan,
    receipts: Vec<PartReceipt>,
    chunks: Vec<ChunkRecord>,
    counted: Option<u64>,
    sums: BTreeMap<u32, (KeySum, Duration)>,
    nulled: BTreeMap<String, u64>,
}

impl Read {
    fn publish(&self, dataset: Dataset) -> Result<Published> {
        self.publish_with(dataset, &mut |_| {})
    }

    fn publish_with(
        &self,
        dataset: Dataset,
        after: &mut (dyn FnMut(Step) + Send),
    ) -> Result<Published> {
        let (run, snapshot) = (run_id(self.number), snapshot());
        let now = instant(self.number);
        let evidence = Evidence {
            run: &run,
            plan: &self.plan,
            snapshot: &snapshot,
            receipts: &self.receipts,
            chunks: &self.chunks,
            counted: self.counted,
            sums: Sums {
                of_chunks: &self.sums,
                clock: System::shared(),
            },
            adaptations: &[],
            nulled: &self.nulled,
            points: &[],
            drift: None,
            counted_kept: &BTreeMap::new(),
            unmarked: None,
            started_at: now,
            now,
            teaching: None,
        };
        block_on(dataset.publish_with(evidence, after))
    }
}

fn id_column() -> Vec<Column> {
    vec![column("id", FieldType::Int64, false)]
}

/// Two chunks of `id`, cut at 100: `rows` rows in each.
fn write_ids(dataset: &Dataset, number: u32, rows: i64) -> Read {
    let plan = plan(id_column(), &[100]);
    let sink = dataset.sink(&plan.spec.format, BUDGET);
    let schema = arrow_schema(&plan.spec.read.columns);
    let mut receipts = Vec::new();
    let mut chunks = Vec::new();
    for (chunk, start) in [(1, 0), (2, 100)] {
        let mut writer = block_on(sink.open(chunk, schema.clone())).unwrap();
        let ids = Int64Array::from_iter_values(start..start + rows);
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(ids)]).unwrap();
        block_on(writer.write(&batch)).unwrap();
        receipts.extend(block_on(writer.finish()).unwrap());
        chunks.push(record(chunk, rows as u64));
    }
    Read {
        number,
        plan,
        receipts,
        chunks,
        counted: Some(2 * rows as u64),
        sums: BTreeMap::new(),
        nulled: BTreeMap::new(),
    }
}

fn publish_ids(target: &Path, number: u32, rows: i64, layout: Layout, keep: u32) -> Published {
    let run = run_id(number);
    let dataset = Dataset::prepare(target, &run, layout, keep).unwrap();
    let read = write_ids(&dataset, number, rows);
    read.publish(dataset).unwrap()
}

fn names_in(directory: &Path) -> Vec<String> {
    let names = place::entries(directory).unwrap();
    names
        .iter()
        .map(|n| n.to_string_lossy().into_owned())
        .collect()
}

fn read_back(path: &Path) -> RecordBatch {
    let builder = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).unwrap()).unwrap();
    let schema = builder.schema().clone();
    let batches: Vec<_> = builder.build().unwrap().map(|b| b.unwrap()).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

/// A value of every output type: edges, then ordinary ones, every third a null.
#[allow(clippy::too_many_lines, reason = "a table of values")]
fn every_type() -> Vec<(FieldType, ArrayRef)> {
    use FieldType as F;
    fn a<T: Array + 'static>(array: T) -> ArrayRef {
        Arc::new(array)
    }
    let list = |values: ArrayRef, item: DataType| {
        let offsets = OffsetBuffer::from_lengths([2, 0, 1]);
        let nulls = Some(vec![true, false, true].into());
        a(ListArray::new(
            Arc::new(Field::new("item", item, true)),
            offsets,
            values,
            nulls,
        ))
    };
    let dec = |p, s, values: [Option<i128>; 3]| {
        a(Decimal128Array::from(values.to_vec())
            .with_precision_and_scale(p, s)
            .unwrap())
    };
    let big = i256::from_string(&"9".repeat(76)).unwrap();
    let utc = |array: TimestampMicrosecondArray| array.with_timezone("UTC");
    let dec_type = |precision, scale| F::Decimal { precision, scale };
    let stamp = |unit, utc| F::Timestamp { unit, utc };
    let (us, ns) = (TimeUnit::Micro, TimeUnit::Nano);
    let long = || vec![Some(i64::MIN), None, Some(i64::MAX)];
    let day = || vec![Some(0), None, Some(86_399_999_999)];
    let ids = [Some([0u8; 16]), None, Some([255; 16])];
    vec![
        (
            F::Bool,
            a(BooleanArray::from(vec![Some(true), None, Some(false)])),
        ),
        (
            F::Int8,
            a(Int8Array::from(vec![Some(i8::MIN), None, Some(i8::MAX)])),
        ),
        (
            F::Int16,
            a(Int16Array::from(vec![Some(i16::MIN), None, Some(i16::MAX)])),
        ),
        (
            F::Int32,
            a(Int32Array::from(vec![Some(i32::MIN), None, Some(i32::MAX)])),
        ),
        (F::Int64, a(Int64Array::from(long()))),
        (
            F::UInt8,
            a(UInt8Array::from(vec![Some(0), None, Some(u8::MAX)])),
        ),
        (
            F::UInt16,
            a(UInt16Array::from(vec![Some(0), None, Some(u16::MAX)])),
        ),
        (
            F::UInt32,
            a(UInt32Array::from(vec![Some(0), None, Some(u32::MAX)])),
        ),
        (
            F::UInt64,
            a(UInt64Array::from(vec![Some(0), None, Some(u64::MAX)])),
        ),
        (
            F::Float32,
            a(Float32Array::from(vec![
                Some(-0.0),
                None,
                Some(f32::INFINITY),
            ])),
        ),
        (
            F::Float64,
            a(Float64Array::from(vec![Some(f64::MIN), None, Some(5e-324)])),
        ),
        (
            dec_type(9, 2),
            dec(9, 2, [Some(-999_999_999), None, Some(999_999_999)]),
        ),
        (
            dec_type(18, 0),
            dec(18, 0, [Some(-(10i128.pow(18)) + 1), None, Some(1)]),
        ),
        (
            dec_type(38, 10),
            dec(38, 10, [Some(10i128.pow(38) - 1), None, Some(-1)]),
        ),
        (
            dec_type(76, 20),
            a(
                Decimal256Array::from(vec![Some(big), None, Some(big.wrapping_neg())])
                    .with_precision_and_scale(76, 20)
                    .unwrap(),
            ),
        ),
        (
            F::Utf8,
            a(StringArray::from(vec![Some("naïve 🦀\0"), None, Some("")])),
        ),
        (
            F::Binary,
            a(BinaryArray::from(vec![
                Some(&[0u8, 255][..]),
                None,
                Some(&[]),
            ])),
        ),
        (
            F::Date,
            a(Date32Array::from(vec![
                Some(-2_440_588),
                None,
                Some(2_932_896),
            ])),
        ),
        (F::Time(us), a(Time64MicrosecondArray::from(day()))),
        (F::Time(ns), a(Time64NanosecondArray::from(day()))),
        (stamp(us, false), a(TimestampMicrosecondArray::from(long()))),
        (
            stamp(us, true),
            a(utc(TimestampMicrosecondArray::from(long()))),
        ),
        (stamp(ns, false), a(TimestampNanosecondArray::from(long()))),
        (
            stamp(ns, true),
            a(TimestampNanosecondArray::from(long()).with_timezone("UTC")),
        ),
        (
            F::Uuid,
            a(FixedSizeBinaryArray::try_from_sparse_iter_with_size(ids.into_iter(), 16).unwrap()),
        ),
        (
            F::Json,
            a(StringArray::from(vec![
                Some("{\"a\": 1}"),
                None,
                Some("null"),
            ])),
        ),
        (
            F::List(Box::new(F::Int32)),
            list(
                a(PrimitiveArray::<Int32Type>::from(vec![
                    Some(1),
                    None,
                    Some(3),
                ])),
                DataType::Int32,
            ),
        ),
        (
            F::List(Box::new(F::Utf8)),
            list(
                a(StringArray::from(vec![Some("x"), None, Some("")])),
                DataType::Utf8,
            ),
        ),
    ]
}

/// Publishes one chunk of `batches`; gives its file.
fn publish_batches(target: &Path, columns: Vec<Column>, batches: &[RecordBatch]) -> PathBuf {
    publish_planned(target, plan(columns, &[]), batches)
}

/// The same, as a plan says.
fn publish_planned(target: &Path, plan: ExecutionPlan, batches: &[RecordBatch]) -> PathBuf {
    let run = run_id(1);
    let dataset = Dataset::prepare(target, &run, Layout::Replace, 0).unwrap();
    let sink = dataset.sink(&plan.spec.format, BUDGET);
    let schema = arrow_schema(&plan.spec.read.columns);
    let mut writer = block_on(sink.open(1, schema)).unwrap();
    for batch in batches {
        block_on(writer.write(batch)).unwrap();
    }
    let rows = batches.iter().map(|b| b.num_rows() as u64).sum();
    let read = Read {
        number: 1,
        plan,
        receipts: block_on(writer.finish()).unwrap(),
        chunks: vec![record(1, rows)],
        counted: Some(rows),
        sums: BTreeMap::new(),
        nulled: BTreeMap::new(),
    };
    read.publish(dataset).unwrap();
    files(target).unwrap().remove(0)
}

fn all_columns() -> Vec<Column> {
    every_type()
        .into_iter()
        .map(|(field, _)| column(&format!("c.{field}"), field, true))
        .collect()
}

#[test]
fn every_type_comes_back_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("d");
    let schema = arrow_schema(&all_columns());
    let values = every_type().into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(schema.clone(), values).unwrap();
    let nothing = RecordBatch::new_empty(schema.clone());
    let file = publish_batches(
        &target,
        all_columns(),
        &[nothing.clone(), batch.clone(), nothing, batch.clone()],
    );
    let found = read_back(&file);
    let twice = arrow::compute::concat_batches(&schema, [&batch, &batch]).unwrap();
    assert_eq!(found.num_rows(), 6);
    for (index, field) in schema.fields().iter().enumerate() {
        assert_eq!(found.column(index), twice.column(index), "{}", field.name());
        assert_eq!(
            found
                .schema()
                .field(index)
                .metadata()
                .get("ixtract.source_type"),
            field.metadata().get("ixtract.source_type")
        );
    }
    verify(&target).unwrap();
}

#[test]
fn parquet_types_are_the_ones_other_readers_expect() {
    let root = tempfile::tempdir().unwrap();
    let schema = arrow_schema(&all_columns());
    let values = every_type().into_iter().map(|(_, array)| array).collect();
    let batch = RecordBatch::try_new(schema, values).unwrap();
    let file = publish_batches(&root.path().join("d"), all_columns(), &[batch]);
    let opened = fs::File::open(file).unwrap();
    let footer = ArrowReaderMetadata::load(&opened, Default::default()).unwrap();
    let facts = footer.metadata().file_metadata();
    assert_eq!(
        facts.created_by(),
        Some(concat!("ixtract version ", env!("CARGO_PKG_VERSION")))
    );
    let keys = facts.key_value_metadata().unwrap();
    assert!(keys.iter().any(|pair| pair.key == "ARROW:schema"));
    let leaf = |field: &str| {
        let index = all_columns()
            .iter()
            .position(|c| c.field.to_string() == field)
            .unwrap();
        facts.schema_descr().column(index)
    };
    assert!(
        facts
            .schema_descr()
            .columns()
            .iter()
            .all(|c| c.physical_type() != Physical::INT96)
    );
    assert_eq!(leaf("decimal(9,2)").physical_type(), Physical::INT32);
    assert_eq!(leaf("decimal(18,0)").physical_type(), Physical::INT64);
    assert_eq!(leaf("decimal(38,10)").type_length(), 16);
    assert_eq!(leaf("uuid").logical_type_ref(), Some(&LogicalType::Uuid));
    assert_eq!(leaf("json").logical_type_ref(), Some(&LogicalType::Json));
    for (field, adjusted) in [("timestamp(us)", false), ("timestamp(us,utc)", true)] {
        let shown = format!("{:?}", leaf(field).logical_type_ref());
        assert!(
            shown.contains(&format!("is_adjusted_to_u_t_c: {adjusted}")),
            "{shown}"
        );
    }
    for group in footer.metadata().row_groups() {
        for chunk in group
            .columns()
            .iter()
            .filter(|c| c.column_descr().max_rep_level() == 0)
        {
            assert!(chunk.statistics().is_some(), "{}", chunk.column_path());
        }
    }
}

#[test]
fn receipts_tell_the_truth_under_every_compression() {
    for compression in [
        Compression::None,
        Compression::Snappy,
        Compression::Zstd(3),
        Compression::Lz4,
        Compression::Gzip,
    ] {
        let root = tempfile::tempdir().unwrap();
        let run = run_id(1);
        let dataset = Dataset::prepare(&root.path().join("d"), &run, Layout::Replace, 0).unwrap();
        let sink = dataset.sink(&format(compression), BUDGET);
        let schema = arrow_schema(&id_column());
        let mut writer = block_on(sink.open(7, schema.clone())).unwrap();
        let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10_000));
        let batch = RecordBatch::try_new(schema, vec![ids]).unwrap();
        block_on(writer.write(&batch)).unwrap();
        let receipt = block_on(writer.finish()).unwrap().remove(0);
        assert_eq!(
            receipt.name,
            format!("part-00007-001-{}.parquet", run.tag())
        );
        let staging = format!(".d.ixtract-staging-{}", run.tag());
        let path = root.path().join(staging).join(&receipt.name);
        assert_eq!(
            receipt.sha256,
            hash(blob(&path).as_ref()).unwrap(),
            "{compression}"
        );
        assert_eq!(receipt.bytes, fs::metadata(&path).unwrap().len());
        assert_eq!(receipt.rows, 10_000);
        assert_eq!(read_back(&path), batch);
    }
}

#[test]
fn row_groups_end_by_rows_by_bytes_and_by_memory() {
    let groups = |rows: u64, bytes: u64, cap: u64| {
        let root = tempfile::tempdir().unwrap();
        let dataset =
            Dataset::prepare(&root.path().join("d"), &run_id(1), Layout::Replace, 0).unwrap();
        let options = FormatOptions::Parquet(ParquetOptions {
            compression: Compression::None,
            row_group_rows: rows,
            row_group_bytes: bytes,
            max_file_bytes: None,
        });
        let budget = WriteBudget {
            row_group_bytes_cap: cap,
        };
        let schema = arrow_schema(&id_column());
        let sink = dataset.sink(&options, budget);
        let mut writer = block_on(sink.open(1, schema.clone())).unwrap();
        for start in 0..100 {
            let ids = Int64Array::from_iter_values(start * 1_000..(start + 1) * 1_000);
            let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(ids)]).unwrap();
            block_on(writer.write(&batch)).unwrap();
        }
        let receipt = block_on(writer.finish()).unwrap().remove(0);
        let staging = format!(".d.ixtract-staging-{}", run_id(1).tag());
        let file = fs::File::open(root.path().join(staging).join(receipt.name)).unwrap();
        let footer = ArrowReaderMetadata::load(&file, Default::default()).unwrap();
        let groups = footer.metadata().row_groups();
        let sizes: Vec<i64> = groups.iter().map(|g| g.total_byte_size()).collect();
        let rows: Vec<i64> = groups.iter().map(|g| g.num_rows()).collect();
        assert_eq!(rows.iter().sum::<i64>(), 100_000);
        (rows, sizes)
    };
    let (rows, _) = groups(30_000, u64::MAX, u64::MAX);
    assert_eq!(rows, [30_000, 30_000, 30_000, 10_000]);
    let (rows, sizes) = groups(1_000_000, 200_000, u64::MAX);
    assert!(rows.len() >= 4, "{rows:?}");
    assert!(sizes.iter().all(|bytes| *bytes <= 220_000), "{sizes:?}");
    let (rows, sizes) = groups(1_000_000, u64::MAX, 200_000);
    assert!(rows.len() >= 4, "{rows:?}");
    assert!(sizes.iter().all(|bytes| *bytes <= 220_000), "{sizes:?}");
}

#[test]
fn an_attempt_replaces_the_one_before_and_leaves_nothing_when_dropped() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("d");
    let run = run_id(1);
    let dataset = Dataset::prepare(&target, &run, Layout::Replace, 0).unwrap();
    let staging = root
        .path()
        .join(format!(".d.ixtract-staging-{}", run.tag()));
    let plan = plan(id_column(), &[]);
    let sink = dataset.sink(&plan.spec.format, BUDGET);
    let schema = arrow_schema(&id_column());
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(Int64Array::from(vec![1]))]);
    let batch = batch.unwrap();
    let attempt = || {
        let mut writer = block_on(sink.open(1, schema.clone())).unwrap();
        block_on(writer.write(&batch)).unwrap();
        writer
    };
    assert_eq!(block_on(attempt().finish()).unwrap().len(), 1);
    block_on(attempt().abort()).unwrap();
    assert!(names_in(&staging).is_empty());
    drop(attempt());
    assert!(names_in(&staging).is_empty());
    assert_eq!(block_on(attempt().finish()).unwrap().len(), 1);
    let without_rows = block_on(sink.open(1, schema.clone())).unwrap();
    assert!(block_on(without_rows.finish()).unwrap().is_empty());
    assert!(
        names_in(&staging).is_empty(),
        "nor does an earlier attempt's file stay"
    );
    dataset.abandon().unwrap();
    assert!(names_in(root.path()).is_empty());
}

#[test]
fn a_batch_of_another_schema_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let dataset = Dataset::prepare(&root.path().join("d"), &run_id(1), Layout::Replace, 0).unwrap();
    let sink = dataset.sink(&format(Compression::Snappy), BUDGET);
    let mut writer = block_on(sink.open(1, arrow_schema(&id_column()))).unwrap();
    let other = arrow_schema(&[column("id", FieldType::Int32, false)]);
    let batch = RecordBatch::try_new(other, vec![Arc::new(Int32Array::from(vec![1]))]).unwrap();
    assert!(matches!(
        block_on(writer.write(&batch)),
        Err(WriteError::Encode { .. })
    ));
}

#[test]
fn an_empty_table_is_one_readable_file_with_its_schema() {
    for layout in [Layout::Replace, Layout::Runs] {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("d");
        let run = run_id(1);
        let dataset = Dataset::prepare(&target, &run, layout, 0).unwrap();
        let read = Read {
            number: 1,
            plan: plan(all_columns(), &[5]),
            receipts: Vec::new(),
            chunks: vec![record(1, 0), record(2, 0)],
            counted: Some(0),
            sums: BTreeMap::new(),
            nulled: BTreeMap::new(),
        };
        read.publish(dataset).unwrap();
        let found = files(&target).unwrap();
        assert_eq!(found.len(), 1);
        let batch = read_back(&found[0]);
        assert_eq!(batch.num_rows(), 0);
        assert_eq!(batch.num_columns(), every_type().len());
        assert_eq!(verify(&target).unwrap().rows, 0);
    }
}

#[test]
fn a_dataset_is_replaced_whole_and_leaves_no_litter() {
    for layout in [Layout::Replace, Layout::Runs] {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("deep/er/d");
        let first = publish_ids(&target, 1, 10, layout, 0);
        let held = files(&target).unwrap();
        assert_eq!(first.manifest.rows, 20);
        assert_eq!(verify(&target).unwrap().files, 2);
        let second = publish_ids(&target, 2, 20, layout, 0);
        assert!(second.warnings.is_empty(), "{:?}", second.warnings);
        assert_eq!(verify(&target).unwrap().run, run_id(2));
        assert_eq!(Manifest::load(&target).unwrap(), second.manifest);
        assert!(held.iter().all(|file| !file.exists()), "names never repeat");
        assert_eq!(names_in(target.parent().unwrap()), ["d"]);
        let rows: usize = files(&target)
            .unwrap()
            .iter()
            .map(|f| read_back(f).num_rows())
            .sum();
        assert_eq!(rows, 40);
    }
}

#[test]
fn an_empty_directory_and_a_link_may_be_targets_and_permissions_stay() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("d");
    fs::create_dir(&target).unwrap();
    fs::set_permissions(&target, fs::Permissions::from_mode(0o750)).unwrap();
    let link = root.path().join("link");
    std::os::unix::fs::symlink(&target, &link).unwrap();
    publish_ids(&link, 1, 10, Layout::Replace, 0);
    assert!(link.is_symlink());
    verify(&target).unwrap();
    assert_eq!(
        fs::metadata(&target).unwrap().permissions().mode() & 0o777,
        0o750
    );
}

#[test]
fn what_is_not_ours_is_refused_and_untouched() {
    for layout in [Layout::Replace, Layout::Runs] {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("d");
        publish_ids(&target, 1, 10, layout, 0);
        let stranger = target.join("notes.txt");
        fs::write(&stranger, "mine").unwrap();
        let refused = Dataset::prepare(&target, &run_id(2), layout, 0);
        assert!(
            matches!(&refused, Err(WriteError::Foreign { file, .. }) if file == "notes.txt"),
            "{refused:?}"
        );
        assert_eq!(fs::read_to_string(&stranger).unwrap(), "mine");
        assert_eq!(names_in(root.path()), ["d"], "no lock and no staging stay");
        fs::remove_file(&stranger).unwrap();
        let other = match layout {
            Layout::Replace => Layout::Runs,
            Layout::Runs => Layout::Replace,
        };
        let refused = Dataset::prepare(&target, &run_id(2), other, 0);
        assert!(
            matches!(refused, Err(WriteError::OtherLayout { .. })),
            "{refused:?}"
        );
        verify(&target).unwrap();
        fs::write(target.join(names::MANIFEST), "{\"manifest_version\": 2}").unwrap();
        let refused = Dataset::prepare(&target, &run_id(2), layout, 0);
        assert!(
            matches!(refused, Err(WriteError::Manifest { .. })),
            "{refused:?}"
        );
    }
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "mine").unwrap();
    let refused = Dataset::prepare(&file, &run_id(1), Layout::Replace, 0);
    assert!(matches!(refused, Err(WriteError::Io { .. })), "{refused:?}");
}

#[test]
fn a_stranger_that_came_during_the_read_stops_the_publish() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("d");
    publish_ids(&target, 1, 10, Layout::Replace, 0);
    let dataset = Dataset::prepare(&target, &run_id(2), Layout::Replace, 0).unwrap();
    let read = write_ids(&dataset, 2, 20);
    fs::write(target.join("late.txt"), "mine").unwrap();
    let refused = read.publish(dataset);
    assert!(
        matches!(refused, Err(WriteError::Foreign { .. })),
        "{refused:?}"
    );
    assert_eq!(Manifest::load(&target).unwrap().run, run_id(1));
    assert_eq!(names_in(root.path()), ["d"]);
}

#[test]
fn a_held_dataset_is_refused_until_it_is_let_go() {
    for layout in [Layout::Replace, Layout::Runs] {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("d");
        let first = Dataset::prepare(&target, &run_id(1), layout, 0).unwrap();
        assert!(first.free_bytes().unwrap() > Some(0));
        let second = Dataset::prepare(&target, &run_id(2), layout, 0);
        assert!(matches!(second, Err(WriteError::Held { .. })), "{second:?}");
        first.abandon().unwrap();
        assert!(
            names_in(root.path()).is_empty(),
            "{:?}",
            names_in(root.path())
        );
        Dataset::prepare(&target, &run_id(2), layout, 0).unwrap();
    }
}

#[test]
fn a_stop_before_the_switch_publishes_nothing_and_a_later_one_is_too_late() {
    for layout in [Layout::Replace, Layout::Runs] {
        for step in Step::ALL {
            let root = tempfile::tempdir().unwrap();
            let target = root.path().join("d");
            publish_ids(&target, 1, 3, layout, 0);
            let mut dataset = Dataset::prepare(&target, &run_id(2), layout, 0).unwrap();
            let stop = CancellationToken::new();
            dataset.stop_on(stop.clone());
            let read = write_ids(&dataset, 2, 3);
            let outcome = read.publish_with(dataset, &mut |done| {
                if done == step {
                    stop.cancel();
                }
            });
            let published = match outcome {
                Ok(_) => true,
                Err(WriteError::Stopped) => false,
                Err(error) => panic!("{step}: {error}"),
            };
            assert_eq!(published, step.is_published(), "{step}");
            let expected = run_id(if published { 2 } else { 1 });
            assert_eq!(verify(&target).unwrap().run, expected, "{step}");
            assert_eq!(names_in(root.path()), ["d"], "{step}");
        }
    }
}

/// The files of a run, by name, and the chunks that an unfinished run would be remembered by.
fn leave_ids(target: &Path, number: u32, layout: Layout) -> Vec<FinishedChunk> {
    let dataset = Dataset::prepare(target, &run_id(number), layout, 0).unwrap();
    let read = write_ids(&dataset, number, 3);
    dataset.leave().unwrap();
    let chunks = read.chunks.into_iter();
    chunks
        .map(|record| FinishedChunk {
            key_sum: None,
            files: read
                .receipts
                .iter()
                .filter(|receipt| receipt.chunk == record.number)
                .cloned()
                .collect(),
            record,
            run: run_id(number),
            snapshot: snapshot(),
        })
        .collect()
}

#[test]
fn what_a_run_left_is_spared_found_taken_over_and_swept() {
    for layout in [Layout::Replace, Layout::Runs] {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("d");
        let chunks = leave_ids(&target, 1, layout);
        let spared = [run_id(1)];
        let prepare = |number| {
            Dataset::prepare_sparing(&target, &run_id(number), (layout, 0), &spared).unwrap()
        };
        // Of a run that does not look for it, nothing is taken.
        let other = prepare(2);
        other.abandon().unwrap();
        let mut dataset = prepare(3);
        let left = dataset.look_over(&spared, chunks.clone()).unwrap();
        assert_eq!((left.intact.len(), left.lost.len()), (2, 0));
        dataset.take_over().unwrap();
        // It dies; its files are where it took them, and the names are still those of the first.
        dataset.leave().unwrap();
        let both = [run_id(3), run_id(1)];
        let mut dataset =
            Dataset::prepare_sparing(&target, &run_id(4), (layout, 0), &both).unwrap();
        let left = dataset.look_over(&both, chunks.clone()).unwrap();
        assert_eq!(left.intact, chunks);
        dataset.take_over().unwrap();
        let read = Read {
            number: 4,
            plan: plan(id_column(), &[100]),
            receipts: chunks
                .iter()
                .flat_map(|chunk| chunk.files.clone())
                .collect(),
            chunks: chunks.iter().map(|chunk| chunk.record.clone()).collect(),
            counted: Some(6),
            nulled: BTreeMap::new(),
            sums: BTreeMap::new(),
        };
        read.publish(dataset).unwrap();
        assert_eq!(verify(&target).unwrap().rows, 6);
        assert_eq!(names_in(root.path()), ["d"]);

        // What readers are shown is nobody's leftover.
        let mut dataset = prepare(5);
        let left = dataset.look_over(&[run_id(4)], chunks.clone()).unwrap();
        assert_eq!((left.intact.len(), left.lost.len()), (0, 2), "{left:?}");
        dataset.abandon().unwrap();
        verify(&target).unwrap();
    }
}

#[test]
fn names_out_of_a_history_open_nothing_but_parts() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("d");
    let mut chunks = leave_ids(&target, 1, Layout::Replace);
    fs::write(root.path().join("secret"), "x").unwrap();
    for chunk in &mut chunks {
        for file in &mut chunk.files {
            file.name = "../secret".to_owned();
        }
    }
    let spared = [run_id(1)];
    let options = (Layout::Replace, 0);
    let mut dataset = Dataset::prepare_sparing(&target, &run_id(2), options, &spared).unwrap();
    let left = dataset.look_over(&spared, chunks).unwrap();
    assert_eq!((left.intact.len(), left.lost.len()), (0, 2));
    dataset.take_over().unwrap();
    assert!(root.path().join("secret").exists());
}

#[test]
fn kept_versions_are_whole_and_the_newest() {
    for (layout, place) in [(Layout::Replace, "."), (Layout::Runs, "d/_runs")] {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("d");
        for number in 1..=5 {
            publish_ids(&target, number, i64::from(number), layout, 2);
        }
        verify(&target).unwrap();
        let mut runs: Vec<RunId> = names_in(&root.path().join(place))
            .into_iter()
            .map(|name| root.path().join(place).join(name))
            .map(|path| verify(&path).unwrap().run)
            .collect();
        runs.sort();
        assert_eq!(runs, [run_id(3), run_id(4), run_id(5)], "{layout:?}");
        publish_ids(&target, 6, 6, layout, 0);
        let left = names_in(&root.path().join(place));
        assert_eq!(left.len(), 1, "{left:?}");
    }
}

/// Publishes over version 1 with `spoil` having had its way; nothing may be published.
fn refused_proof(spoil: impl FnOnce(&mut Read, &Path)) -> String {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("d");
    publish_ids(&target, 1, 10, Layout::Replace, 0);
    let before = verify(&target).unwrap();
    let dataset = Dataset::prepare(&target, &run_id(2), Layout::Replace, 0).unwrap();
    let staging = root
        .path()
        .join(format!(".d.ixtract-staging-{}", run_id(2).tag()));
    let mut read = write_ids(&dataset, 2, 20);
    spoil(&mut read, &staging);
    let outcome = read.publish(dataset);
    assert_eq!(
        verify(&target).unwrap(),
        before,
        "the old version is as it was"
    );
    assert_eq!(names_in(root.path()), ["d"], "and nothing else is left");
    match outcome {
        Err(WriteError::Proof { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn nothing_is_published_unless_every_proof_holds() {
    let part = |read: &Read, staging: &Path| staging.join(&read.receipts[0].name);
    assert!(refused_proof(|read, _| read.counted = Some(41)).contains("41"));
    assert!(refused_proof(|read, _| read.counted = None).contains("count"));
    assert!(refused_proof(|read, _| read.chunks.truncate(1)).contains("chunk 2"));
    assert!(refused_proof(|read, _| read.receipts.truncate(1)).contains("chunk 2"));
    assert!(refused_proof(|read, _| read.receipts[0].rows = 21).contains("21"));
    assert!(refused_proof(|read, _| read.receipts[0].bytes += 1).contains("bytes"));
    assert!(
        refused_proof(|read, _| read.chunks[1].status = ChunkStatus::Failed).contains("chunk 2")
    );
    assert!(refused_proof(|read, _| read.chunks.push(record(1, 20))).contains("twice"));
    assert!(refused_proof(|read, _| read.chunks.push(record(3, 0))).contains("chunk 3"));
    assert!(refused_proof(|read, _| read.plan.spec.chunks.truncate(1)).contains("cover"));
    assert!(
        refused_proof(|read, _| read.plan.spec.read.columns[0].nullable = true).contains("column")
    );
    let truncated = refused_proof(|read, staging| {
        let file = fs::OpenOptions::new()
            .write(true)
            .open(part(read, staging))
            .unwrap();
        file.set_len(100).unwrap();
    });
    assert!(truncated.contains("read back"), "{truncated}");
    let gone = refused_proof(|read, staging| fs::remove_file(part(read, staging)).unwrap());
    assert!(gone.contains("read back"), "{gone}");
    let stray = refused_proof(|read, staging| {
        let stray = staging.join("part-00009-001-ab12.parquet");
        fs::copy(part(read, staging), stray).unwrap();
    });
    assert!(stray.contains("accounts"), "{stray}");
    let both = refused_proof(|read, _| {
        read.receipts[0].rows += 1;
        read.chunks[0].rows += 1;
        read.counted = Some(41);
    });
    assert!(
        both.contains("20 rows and 21"),
        "footers are the judge: {both}"
    );
}

#[test]
fn a_stream_proof_needs_no_count() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("d");
    let dataset = Dataset::prepare(&target, &run_id(1), Layout::Replace, 0).unwrap();
    let mut read = write_ids(&dataset, 1, 20);
    read.plan.spec.proof = ProofLevel::Stream;
    read.counted = None;
    let published = read.publish(dataset).unwrap();
    assert_eq!(published.manifest.proof.level, ProofLevel::Stream);
    verify(&target).unwrap();
}

/// The differences that `verify` finds after `spoil`.
fn differences(layout: Layout, spoil: impl FnOnce(&Path, &Path)) -> Vec<String> {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("d");
    publish_ids(&target, 1, 10, layout, 0);
    let file = files(&target).unwrap().remove(1);
    spoil(&target, &file);
    match verify(&target) {
        Err(WriteError::Differs { differences, .. }) => differences,
        other => panic!("{other:?}"),
    }
}

#[test]
fn verify_names_every_difference() {
    for layout in [Layout::Replace, Layout::Runs] {
        let one = |spoil: &dyn Fn(&Path, &Path)| {
            let found = differences(layout, spoil);
            assert_eq!(found.len(), 1, "{found:?}");
            found.into_iter().next().unwrap()
        };
        let flipped = one(&|_, file| {
            let mut bytes = fs::read(file).unwrap();
            bytes[40] ^= 1;
            fs::write(file, bytes).unwrap();
        });
        assert!(flipped.ends_with("SHA-256 differs"), "{flipped}");
        let cut = one(&|_, file| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
        });
        assert!(cut.contains("bytes and not"), "{cut}");
        assert!(one(&|_, file| fs::remove_file(file).unwrap()).ends_with("missing"));
        let extra = one(&|_, file| {
            fs::copy(file, file.with_file_name("more.parquet")).unwrap();
        });
        assert!(
            extra.contains("more.parquet is not in the manifest"),
            "{extra}"
        );
        let marker = one(&|dataset, _| fs::remove_file(dataset.join(names::SUCCESS)).unwrap());
        assert_eq!(marker, "_SUCCESS is missing");
        let edited = one(&|dataset, _| edit(dataset, "\"readers\": 1", "\"readers\": 4"));
        assert_eq!(edited, "_manifest.json was edited");
        let found = differences(layout, |dataset, file| {
            edit(dataset, "\"rows\": 20", "\"rows\": 21");
            fs::remove_file(file).unwrap();
        });
        assert!(found.len() >= 3, "edited, totals and missing: {found:?}");
    }
}

fn edit(dataset: &Path, from: &str, to: &str) {
    let path = dataset.join(names::MANIFEST);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn a_manifest_that_points_outside_is_not_followed() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("d");
    publish_ids(&target, 1, 10, Layout::Replace, 0);
    edit(&target, "\"path\": \"part", "\"path\": \"../part");
    assert!(matches!(files(&target), Err(WriteError::Manifest { .. })));
    assert!(matches!(
        verify(root.path()),
        Err(WriteError::Manifest { .. })
    ));
}

/// Publishes and dies after `step`, by a panic that skips all that comes after, as a kill would.
fn publish_and_die(target: &Path, number: u32, layout: Layout, keep: u32, step: Step) {
    let run = run_id(number);
    let dataset = Dataset::prepare(target, &run, layout, keep).unwrap();
    let read = write_ids(&dataset, number, i64::from(number));
    let died = catch_unwind(AssertUnwindSafe(|| {
        read.publish_with(dataset, &mut |done| {
            // `resume_unwind` does not print.
            if done == step {
                std::panic::resume_unwind(Box::new(()));
            }
        })
    }));
    assert!(died.is_err(), "{step} was never reached");
}

#[test]
fn a_crash_at_any_step_leaves_one_whole_version_and_the_next_run_sweeps() {
    for layout in [Layout::Replace, Layout::Runs] {
        for step in Step::ALL {
            let root = tempfile::tempdir().unwrap();
            let target = root.path().join("d");
            publish_ids(&target, 1, 1, layout, 1);
            publish_and_die(&target, 2, layout, 1, step);
            let current = if step.is_published() {
                run_id(2)
            } else {
                run_id(1)
            };
            assert_eq!(verify(&target).unwrap().run, current, "{layout:?} {step}");
            publish_ids(&target, 3, 3, layout, 1);
            assert_eq!(verify(&target).unwrap().run, run_id(3));
            let kept = match layout {
                Layout::Replace => root
                    .path()
                    .join(format!(".d.ixtract-kept-{}", current.tag())),
                Layout::Runs => target.join("_runs").join(current.as_str()),
            };
            assert_eq!(verify(&kept).unwrap().run, current, "{layout:?} {step}");
            let versions = match layout {
                Layout::Replace => names_in(root.path()),
                Layout::Runs => names_in(&target.join("_runs")),
            };
            assert_eq!(versions.len(), 2, "{layout:?} {step}: {versions:?}");
        }
    }
}

#[test]
fn a_version_exchanged_out_by_a_run_that_died_is_still_kept() {
    for step in [Step::Switched, Step::Settled] {
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("d");
        publish_ids(&target, 1, 1, Layout::Replace, 2);
        publish_and_die(&target, 2, Layout::Replace, 2, step);
        publish_ids(&target, 3, 3, Layout::Replace, 2);
        for number in [1, 2] {
            let kept = format!(".d.ixtract-kept-{}", run_id(number).tag());
            let found = verify(&root.path().join(kept)).unwrap();
            assert_eq!(found.run, run_id(number), "{step}");
        }
    }
}

#[test]
fn a_removal_that_was_cut_short_is_never_taken_for_a_version() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("d");
    publish_ids(&target, 1, 1, Layout::Replace, 1);
    publish_and_die(&target, 2, Layout::Replace, 1, Step::Switched);
    let old = root
        .path()
        .join(format!(".d.ixtract-staging-{}", run_id(2).tag()));
    fs::remove_file(old.join(names::MANIFEST)).unwrap();
    publish_ids(&target, 3, 3, Layout::Replace, 2);
    let kept = format!(".d.ixtract-kept-{}", run_id(2).tag());
    assert_eq!(names_in(root.path()), [kept.as_str(), "d"]);
}

#[test]
fn a_first_run_that_dies_leaves_nothing_that_looks_whole() {
    for layout in [Layout::Replace, Layout::Runs] {
        for step in Step::ALL.into_iter().filter(|step| !step.is_published()) {
            let root = tempfile::tempdir().unwrap();
            let target = root.path().join("d");
            publish_and_die(&target, 1, layout, 0, step);
            assert!(matches!(verify(&target), Err(WriteError::Manifest { .. })));
            publish_ids(&target, 2, 2, layout, 0);
            assert_eq!(verify(&target).unwrap().run, run_id(2));
            assert_eq!(names_in(root.path()), ["d"]);
        }
    }
}

#[test]
fn step_names_are_distinct_and_in_order() {
    let mut names: Vec<&str> = Step::ALL.iter().map(|step| step.name()).collect();
    assert!(Step::ALL.is_sorted());
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Step::ALL.len());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn whatever_happens_a_reader_finds_a_whole_dataset(
        runs in prop::bool::ANY,
        story in prop::collection::vec((0u32..3, prop::option::of(0..Step::ALL.len())), 1..8),
    ) {
        let layout = if runs { Layout::Runs } else { Layout::Replace };
        let root = tempfile::tempdir().unwrap();
        let target = root.path().join("d");
        publish_ids(&target, 100, 1, layout, 0);
        let mut current = run_id(100);
        for (number, (keep, death)) in (101..).zip(story) {
            match death.map(|step| Step::ALL[step]) {
                Some(step) => {
                    publish_and_die(&target, number, layout, keep, step);
                    if step.is_published() {
                        current = run_id(number);
                    }
                }
                None => {
                    publish_ids(&target, number, 2, layout, keep);
                    current = run_id(number);
                    let versions = match layout {
                        Layout::Replace => names_in(root.path()),
                        Layout::Runs => names_in(&target.join("_runs")),
                    };
                    prop_assert!(versions.len() <= keep as usize + 1, "{:?}", versions);
                }
            }
            prop_assert_eq!(verify(&target).unwrap().run, current.clone());
            prop_assert!(files(&target).unwrap().iter().all(|file| file.exists()));
        }
    }
}
