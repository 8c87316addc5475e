//! Values of fifty megabytes, by two workers at once.

use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::ixtract::Cli;
use crate::published::{extract, sqlite_url};
use crate::servers::postgres;
use crate::setting;

/// Prints number, length and SHA-256 of both values of every row, in the order of the rows' numbers.
const DIGESTS: &str = "
import hashlib, json, sys
import pyarrow.parquet as pq
manifest = json.load(open(sys.argv[1] + '/_manifest.json'))
rows = []
for file in manifest['files']:
    for batch in pq.ParquetFile(sys.argv[1] + '/' + file['path']).iter_batches(batch_size=1):
        for row in batch.to_pylist():
            values = [row['x'].encode(), row['b']]
            rows.append((row['id'], [(len(v), hashlib.sha256(v).hexdigest()) for v in values]))
for number, ((x, xs), (b, bs)) in sorted(rows):
    print(number, x, xs, b, bs)
";

fn digests(dataset: &Path) -> Vec<String> {
    let mut command = Command::new(setting("IXTRACT_TEST_PYTHON"));
    let output = command
        .args(["-c", DIGESTS])
        .arg(dataset)
        .output()
        .expect("python");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(str::to_owned).collect()
}

const ROWS: u8 = 4;

#[test]
fn postgresql_hands_over_values_of_fifty_megabytes() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(&format!(
        "CREATE TABLE t (id int PRIMARY KEY, x text, b bytea);
         INSERT INTO t SELECT i, repeat('Größe ' || md5(i::text), 1300000),
             decode(repeat(md5((-i)::text), 3276800), 'hex') FROM generate_series(1, {ROWS}) AS i;
         UPDATE t SET b = (SELECT string_agg(decode(md5(i::text), 'hex'), '')
             FROM generate_series(1, 3276800) AS i) WHERE id = 2"
    ));
    let expected = database.query_text(
        "SELECT concat_ws(' ', id, octet_length(x), encode(sha256(convert_to(x, 'UTF8')), 'hex'),
             octet_length(b), encode(sha256(b), 'hex')) FROM t ORDER BY id",
    );
    let expected: Vec<String> = expected.into_iter().flatten().flatten().collect();
    let flags = ["--workers", "2", "--chunk-rows", "1", "--chunking", "key"];
    let run = extract(&cli, &database.url(), "public.t", "out", &flags);
    run.expect_exact_cover(usize::from(ROWS));
    assert_eq!(digests(&run.dataset), expected);
}

#[test]
fn sqlite_hands_over_values_of_fifty_megabytes() {
    let cli = Cli::new();
    let path = cli.home().join("source.db");
    let database = rusqlite::Connection::open(&path).expect("a database");
    database
        .execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT, b BLOB)")
        .expect("a table");
    for id in 1..=ROWS {
        let text = format!("Größe {id} ").repeat(5_000_000);
        let bytes: Vec<u8> = (0..52_428_800_usize)
            .map(|at| ((at * usize::from(id)) >> 3) as u8)
            .collect();
        database
            .execute("INSERT INTO t VALUES (?1, ?2, ?3)", (id, text, bytes))
            .expect("a row");
    }
    let flags = ["--workers", "2", "--chunk-rows", "1"];
    let run = extract(&cli, &sqlite_url(&path), "t", "out", &flags);
    run.expect_exact_cover(usize::from(ROWS));
    let expected: Vec<String> = (1..=ROWS)
        .map(|id| {
            let sql = "SELECT CAST(x AS BLOB), b FROM t WHERE id = ?1";
            let stored = database.query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?)));
            let (text, bytes): (Vec<u8>, Vec<u8>) = stored.expect("a row");
            let (xs, bs) = (digest(&text), digest(&bytes));
            format!("{id} {} {xs} {} {bs}", text.len(), bytes.len())
        })
        .collect();
    assert_eq!(digests(&run.dataset), expected);
}

fn digest(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
