//! What encoding costs: a `lineitem`-like table of 16 columns through the whole writer (encoding,
//! compression, SHA-256, file), in rows per second. The figures in `src/writer/parquet.rs` come
//! from here.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array};
use arrow::array::{RecordBatch, StringArray};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ixtract::model::{
    Column, Compression, CsvOptions, FieldType, FileCompression, FormatOptions, Layout,
    OnUnrepresentable, ParquetOptions, ReadAs, RunId, arrow_schema,
};
use ixtract::writer::publish::{Dataset, WriteBudget};

const BATCH_ROWS: usize = 8_192;
const BATCHES: usize = 32;

/// A small generator: benchmarks must see the same values every time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn ints(&mut self, bound: u64) -> ArrayRef {
        Arc::new(Int32Array::from_iter_values(
            (0..BATCH_ROWS).map(|_| self.below(bound) as i32),
        ))
    }

    fn dates(&mut self) -> ArrayRef {
        Arc::new(Date32Array::from_iter_values(
            (0..BATCH_ROWS).map(|_| 8_000 + self.below(2_526) as i32),
        ))
    }

    fn money(&mut self, bound: u64, step: i128) -> ArrayRef {
        let values = (0..BATCH_ROWS).map(|_| i128::from(self.below(bound)) * step);
        let values = Decimal128Array::from_iter_values(values);
        Arc::new(values.with_precision_and_scale(15, 2).expect("fits"))
    }

    fn words(&mut self, words: &[&str], width: usize) -> ArrayRef {
        Arc::new(StringArray::from_iter_values((0..BATCH_ROWS).map(|_| {
            let word = words[self.below(words.len() as u64) as usize];
            format!("{word:<width$}")
        })))
    }

    fn comments(&mut self) -> ArrayRef {
        const WORDS: [&str; 12] = [
            "carefully ",
            "final ",
            "deposits ",
            "sleep ",
            "furiously ",
            "quick ",
            "ironic ",
            "packages ",
            "across ",
            "the ",
            "blithely ",
            "regular ",
        ];
        Arc::new(StringArray::from_iter_values((0..BATCH_ROWS).map(|_| {
            let length = 10 + self.below(34) as usize;
            let mut text = String::with_capacity(length + 10);
            while text.len() < length {
                text.push_str(WORDS[self.below(WORDS.len() as u64) as usize]);
            }
            text.truncate(length);
            text
        })))
    }
}

fn columns() -> Vec<Column> {
    let money = || FieldType::Decimal {
        precision: 15,
        scale: 2,
    };
    [
        ("orderkey", FieldType::Int64),
        ("partkey", FieldType::Int32),
        ("suppkey", FieldType::Int32),
        ("linenumber", FieldType::Int32),
        ("quantity", money()),
        ("extendedprice", money()),
        ("discount", money()),
        ("tax", money()),
        ("returnflag", FieldType::Utf8),
        ("linestatus", FieldType::Utf8),
        ("shipdate", FieldType::Date),
        ("commitdate", FieldType::Date),
        ("receiptdate", FieldType::Date),
        ("shipinstruct", FieldType::Utf8),
        ("shipmode", FieldType::Utf8),
        ("comment", FieldType::Utf8),
    ]
    .map(|(name, field)| Column {
        name: format!("l_{name}"),
        source_type: field.to_string(),
        base_type: field.to_string(),
        read: ReadAs::Native,
        field,
        nullable: true,
        comment: None,
        generated: None,
        on_unrepresentable: OnUnrepresentable::Fail,
        lossy: false,
    })
    .to_vec()
}

fn batches() -> Vec<RecordBatch> {
    let schema = arrow_schema(&columns());
    let mut random = Random(42);
    let mut batch = |start: usize| {
        let orders = (start..start + BATCH_ROWS).map(|row| (row / 4 * 4 + 1) as i64);
        let values: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(orders)),
            random.ints(200_000),
            random.ints(10_000),
            random.ints(7),
            random.money(50, 100),
            random.money(1_000_000, 7),
            random.money(11, 1),
            random.money(9, 1),
            random.words(&["A", "N", "R"], 1),
            random.words(&["O", "F"], 1),
            random.dates(),
            random.dates(),
            random.dates(),
            random.words(
                &[
                    "DELIVER IN PERSON",
                    "COLLECT COD",
                    "NONE",
                    "TAKE BACK RETURN",
                ],
                25,
            ),
            random.words(
                &["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"],
                10,
            ),
            random.comments(),
        ];
        RecordBatch::try_new(schema.clone(), values).expect("columns agree")
    };
    (0..BATCHES)
        .map(|number| batch(number * BATCH_ROWS))
        .collect()
}

fn encode(criterion: &mut Criterion) {
    let batches = batches();
    let schema = arrow_schema(&columns());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime");
    let place = tempfile::tempdir().expect("temporary directory");
    let run = RunId::stored("rx-20260101-000000-0badcafe");
    let dataset =
        Dataset::prepare(&place.path().join("bench"), &run, Layout::Replace, 0).expect("dataset");
    let mut group = criterion.benchmark_group("lineitem");
    group.throughput(Throughput::Elements((BATCHES * BATCH_ROWS) as u64));
    group.sample_size(10);
    let parquet =
        [Compression::None, Compression::Snappy, Compression::Zstd(3)].map(|compression| {
            FormatOptions::Parquet(ParquetOptions {
                compression,
                row_group_rows: 1_000_000,
                row_group_bytes: 128 << 20,
                max_file_bytes: None,
            })
        });
    let csv = [FileCompression::None, FileCompression::Zstd(3)].map(|compression| {
        FormatOptions::Csv(CsvOptions {
            compression,
            ..CsvOptions::default()
        })
    });
    for options in parquet.into_iter().chain(csv) {
        let budget = WriteBudget {
            row_group_bytes_cap: 64 << 20,
        };
        let sink = dataset.sink(&options, budget);
        let name = format!("{} {}", options.format().name(), options.compression());
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                runtime.block_on(async {
                    let mut writer = sink.open(1, schema.clone()).await.expect("open");
                    for batch in &batches {
                        writer.write(batch).await.expect("write");
                    }
                    black_box(writer.finish().await.expect("finish"))
                })
            });
        });
    }
    group.finish();
    dataset.abandon().expect("abandon");
}

criterion_group!(benches, encode);
criterion_main!(benches);
