//! PostgreSQL's types that travel in their own binary form.

mod columns; // Edge values and random ones.

use super::table::Filled;
use crate::ixtract::Cli;
use crate::published::{Published, extract};
use crate::readers::{self, Engine};
use crate::servers::postgres;
pub(super) use columns::every_type;

#[test]
fn every_type_arrives_value_by_value_however_it_is_read() {
    let database = postgres().fresh_database();
    let columns = every_type();
    let table = Filled::create(&database, &columns, 150, LARGE_VALUES);
    let cli = Cli::new();
    let run = |name: &str, flags: &[&str]| extract(&cli, &database.url(), "public.t", name, flags);

    let one = run("one", &["--workers", "1"]);
    table.expect_in(&one, &Engine::ALL);
    let by_key = ["--workers", "4", "--chunking", "key", "--chunk-rows", "7"];
    let keyed = run(
        "keyed",
        &[&by_key[..], &["--types", "native", "--compression", "zstd"]].concat(),
    );
    table.expect_in(&keyed, &[Engine::Pyarrow]);
    let by_block = ["--workers", "4", "--chunking", "ctid", "--chunk-rows", "7"];
    let blocks = run(
        "blocks",
        &[&by_block[..], &["--compression", "gzip"]].concat(),
    );
    table.expect_in(&blocks, &[Engine::Pyarrow, Engine::DuckDb]);
    let none = run(
        "none",
        &[
            "--workers",
            "2",
            "--types",
            "native",
            "--compression",
            "none",
        ],
    );
    table.expect_in(&none, &[Engine::Pyarrow]);
    let lz4 = run("lz4", &["--workers", "2", "--compression", "lz4"]);
    table.expect_in(&lz4, &[Engine::Pyarrow, Engine::Polars]);

    assert!(keyed.chunks().len() > 10, "{} chunks", keyed.chunks().len());
    assert!(
        blocks.chunks().len() > 1,
        "{} chunks",
        blocks.chunks().len()
    );
    for (published, codec) in [
        (&one, "SNAPPY"),
        (&keyed, "ZSTD"),
        (&blocks, "GZIP"),
        (&none, "UNCOMPRESSED"),
        (&lz4, "LZ4"),
    ] {
        expect_codec(published, codec);
    }
}

fn expect_codec(published: &Published, codec: &str) {
    for group in readers::row_groups(&published.dataset) {
        for (name, column) in &group.columns {
            // pyarrow calls LZ4_RAW just LZ4.
            assert!(column.compression.starts_with(codec), "{name}: {column:?}");
        }
    }
}

#[test]
fn types_are_as_narrow_as_the_mode_allows() {
    let database = postgres().fresh_database();
    let columns = every_type();
    Filled::create(&database, &columns, 1, "");
    let cli = Cli::new();
    let types = |mode: &str| -> Vec<String> {
        let run = extract(&cli, &database.url(), "public.t", mode, &["--types", mode]);
        let describe = |column: readers::Column| format!("{} {}", column.name, column.kind);
        readers::schema(Engine::Pyarrow, &run.dataset)
            .into_iter()
            .map(describe)
            .collect()
    };
    let (portable, native) = (types("portable"), types("native"));
    let both = [
        "id int64",
        "bool_ bool",
        "int2_ int16",
        "int4_ int32",
        "int8_ int64",
        "float4_ float",
        "float8_ double",
        "n_10_2 decimal128(10, 2)",
        "n_38_38 decimal128(38, 38)",
        "n_5_m2 decimal128(7, 0)",
        "n_3_5 decimal128(5, 5)",
        "n_free string",
        "char_ string",
        "bytea_ binary",
        "date_ date32[day]",
        "time_ time64[us]",
        "timestamp_ timestamp[us]",
        "timestamptz_ timestamp[us, tz=UTC]",
    ];
    for wanted in both {
        assert!(
            portable.contains(&wanted.to_owned()),
            "{wanted}: {portable:#?}"
        );
        assert!(native.contains(&wanted.to_owned()), "{wanted}: {native:#?}");
    }
    for wanted in [
        "oid_ int64",
        "uuid_ string",
        "n_39_3 string",
        "n_76_38 string",
    ] {
        assert!(
            portable.contains(&wanted.to_owned()),
            "{wanted}: {portable:#?}"
        );
    }
    for wanted in [
        "oid_ uint32",
        "n_39_3 decimal256(39, 3)",
        "n_76_38 decimal256(76, 38)",
    ] {
        assert!(native.contains(&wanted.to_owned()), "{wanted}: {native:#?}");
    }
    let uuid = readers::schema(Engine::Pyarrow, &cli.home().join("native"));
    let uuid = uuid
        .iter()
        .find(|column| column.name == "uuid_")
        .expect("a column");
    assert_eq!(
        (uuid.physical.as_str(), uuid.logical.as_str()),
        ("FIXED_LEN_BYTE_ARRAY", "UUID")
    );
}

/// A megabyte that compresses well, one that does not, and the empty value, in one row each.
pub(super) const LARGE_VALUES: &str = "
    UPDATE t SET text_ = repeat('Fünf Bögen ', 100000), bytea_ = '' WHERE id = 20;
    UPDATE t SET (text_, bytea_) = (
        SELECT string_agg(md5(i::text), ''), decode(string_agg(md5((-i)::text), ''), 'hex')
        FROM generate_series(1, 32768) AS i) WHERE id = 21;
    UPDATE t SET n_free = repeat('9', 1000)::numeric / 7 WHERE id = 22";
