//! What decoding costs: the bytes of a binary COPY of one column, type by type, into Arrow batches.
//! Framing is in it, the network is not. Values a second.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ixtract::clock::{SharedClock, System};
use ixtract::model::{
    Column, FieldType, OnUnrepresentable, ReadAs, ReadSpec, Relation, RelationKind, TimeUnit,
};
use ixtract::source::postgres::CopyReader;

const ROWS: u64 = 65_536;

/// A batch as the engine asks for it.
const BATCH_BYTES: usize = 4 << 20;

/// A server sends a row a message; a socket hands over several at once.
const PIECE: usize = 16 * 1024;

/// One column of a table: its PostgreSQL type, its output type, its value in a row.
struct Subject {
    base_type: &'static str,
    field: FieldType,
    value: fn(u64) -> Vec<u8>,
}

/// Spreads row numbers: benchmarks must see the same values every time.
fn mixed(row: u64) -> u64 {
    let mixed = (row + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    mixed ^ (mixed >> 29)
}

/// A `numeric` of `groups` base-10000 digits, two of them after the point where there are as many.
fn numeric(row: u64, groups: u16) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + 2 * usize::from(groups));
    let weight = groups.saturating_sub(2);
    for header in [groups, weight, 0, 2] {
        bytes.extend(header.to_be_bytes());
    }
    for group in 0..groups {
        let digits = match group + 1 == groups {
            // Two digits after the point: hundreds of the last group.
            true => mixed(row) % 100 * 100,
            false => 1 + mixed(row + u64::from(group)) % 9_999,
        };
        bytes.extend((digits as u16).to_be_bytes());
    }
    bytes
}

/// A one-dimensional array of `int8`.
fn list(row: u64) -> Vec<u8> {
    let length = (row % 5 + 1) as i32;
    let mut bytes = Vec::new();
    for header in [1, 0, 20, length, 1] {
        bytes.extend(header.to_be_bytes());
    }
    for item in 0..length {
        bytes.extend(8_i32.to_be_bytes());
        bytes.extend((mixed(row) as i64 + i64::from(item)).to_be_bytes());
    }
    bytes
}

fn subjects() -> Vec<Subject> {
    let decimal = |precision| FieldType::Decimal {
        precision,
        scale: 2,
    };
    let instant = FieldType::Timestamp {
        unit: TimeUnit::Micro,
        utc: true,
    };
    let subject = |base_type, field, value| Subject {
        base_type,
        field,
        value,
    };
    vec![
        subject("bool", FieldType::Bool, |row| vec![(row & 1) as u8]),
        subject("int4", FieldType::Int32, |row| {
            (mixed(row) as i32).to_be_bytes().to_vec()
        }),
        subject("int8", FieldType::Int64, |row| {
            (mixed(row) as i64).to_be_bytes().to_vec()
        }),
        subject("float8", FieldType::Float64, |row| {
            (row as f64 / 3.0).to_be_bytes().to_vec()
        }),
        subject("numeric", decimal(15), |row| numeric(row, 3)),
        subject("numeric", decimal(38), |row| numeric(row, 8)),
        subject("date", FieldType::Date, |row| {
            ((row % 20_000) as i32).to_be_bytes().to_vec()
        }),
        subject("timestamptz", instant, |row| {
            ((mixed(row) >> 14) as i64).to_be_bytes().to_vec()
        }),
        subject("text", FieldType::Utf8, |row| {
            b"carefully final deposits sleep"[..10 + (row % 20) as usize].to_vec()
        }),
        subject("uuid", FieldType::Uuid, |row| {
            [mixed(row).to_be_bytes(), row.to_be_bytes()].concat()
        }),
        subject("uuid", FieldType::Utf8, |row| {
            [mixed(row).to_be_bytes(), row.to_be_bytes()].concat()
        }),
        subject("jsonb", FieldType::Json, |row| {
            format!("\x01{{\"id\": {row}, \"state\": \"open\"}}").into_bytes()
        }),
        subject("bytea", FieldType::Binary, |row| {
            mixed(row).to_be_bytes().to_vec()
        }),
        subject("_int8", FieldType::List(Box::new(FieldType::Int64)), list),
    ]
}

fn read_spec(subject: &Subject) -> ReadSpec {
    ReadSpec {
        relation: Relation {
            schema: "public".to_owned(),
            name: "bench".to_owned(),
        },
        kind: RelationKind::Table,
        query: None,
        columns: vec![Column {
            name: "c".to_owned(),
            source_type: subject.base_type.to_owned(),
            base_type: subject.base_type.to_owned(),
            read: ReadAs::Native,
            field: subject.field.clone(),
            nullable: true,
            comment: None,
            generated: None,
            on_unrepresentable: OnUnrepresentable::Fail,
            lossy: false,
        }],
        key: None,
        leaves: Vec::new(),
        filter: None,
    }
}

/// The whole stream: header, rows of which every sixteenth is NULL, trailer.
fn stream(value: fn(u64) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0".to_vec();
    for row in 0..ROWS {
        bytes.extend(1_i16.to_be_bytes());
        if row % 16 == 0 {
            bytes.extend((-1_i32).to_be_bytes());
        } else {
            let value = value(row);
            bytes.extend((value.len() as i32).to_be_bytes());
            bytes.extend(value);
        }
    }
    bytes.extend((-1_i16).to_be_bytes());
    bytes
}

/// Decodes the stream to its end; the rows that came out.
fn decode(reader: &mut CopyReader, stream: &[u8]) -> u64 {
    let mut rows = 0;
    reader.reset();
    for piece in stream.chunks(PIECE) {
        if reader.push(piece).expect("a stream of ours") {
            rows += black_box(reader.batch().expect("values that fit"))
                .rows
                .num_rows() as u64;
        }
    }
    reader.check_end().expect("a trailer");
    rows + black_box(reader.batch().expect("values that fit"))
        .rows
        .num_rows() as u64
}

fn every_type(criterion: &mut Criterion) {
    let clock: SharedClock = Arc::new(System::new());
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(ROWS));
    group.sample_size(20);
    for subject in subjects() {
        let spec = read_spec(&subject);
        let stream = stream(subject.value);
        let mut reader = CopyReader::new(&spec, BATCH_BYTES, Arc::clone(&clock))
            .unwrap_or_else(|error| panic!("{}: {error}", subject.base_type));
        assert_eq!(decode(&mut reader, &stream), ROWS);
        let name = format!("{} to {}", subject.base_type, subject.field);
        group.bench_function(name, |bencher| {
            bencher.iter(|| decode(&mut reader, &stream));
        });
    }
    group.finish();
}

criterion_group!(benches, every_type);
criterion_main!(benches);
