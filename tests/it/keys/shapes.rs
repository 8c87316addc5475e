//! Random tables: keys of any spread, with and without NULLs, repeats and statistics.

use super::expect_rows;
use crate::ixtract::Cli;
use crate::published::extract;
use crate::random::{Random, seed};
use crate::servers::postgres;

const TABLES: usize = 8;

#[test]
fn random_tables_give_each_row_once() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    let session = database.session();
    let mut random = Random::new(seed(), "shapes");
    for number in 0..TABLES {
        let table = format!("t{number}");
        let unique = random.once_in(2);
        let index = if unique { "UNIQUE INDEX" } else { "INDEX" };
        let keys = keys(&mut random, unique);
        let rows: Vec<String> = keys
            .iter()
            .zip(0..)
            .map(|(key, n): (_, i32)| format!("({key}, {n})"))
            .collect();
        session.exec(&format!(
            "CREATE TABLE {table} (k int8, n int4) WITH (autovacuum_enabled = off);
             INSERT INTO {table} VALUES {}; CREATE {index} ON {table} (k)",
            rows.join(",")
        ));
        let analysed = random.once_in(2);
        if analysed {
            session.exec(&format!("ANALYZE {table}"));
        }
        // Some come and some go after the statistics were made.
        session.exec(&format!(
            "DELETE FROM {table} WHERE n % 7 = {}",
            random.below(7)
        ));
        session.exec(&format!(
            "INSERT INTO {table} VALUES ({}, -1)",
            i64::MAX - 77
        ));

        let chunk_rows = (random.below(40) + 1).to_string();
        let workers = (random.below(4) + 1).to_string();
        let what = format!(
            "{table}: unique {unique}, analysed {analysed}, {workers} workers, {chunk_rows} rows a \
             chunk; IXTRACT_TEST_SEED={}",
            seed()
        );
        let flags = [
            "--chunking",
            "key",
            "--workers",
            &workers,
            "--chunk-rows",
            &chunk_rows,
        ];
        let run = extract(
            &cli,
            &database.url(),
            &format!("public.{table}"),
            &table,
            &flags,
        );
        expect_rows(
            &run,
            &what,
            session.query_text(&format!("SELECT * FROM {table}")),
        );
    }
}

/// Up to two hundred keys as SQL, clustered somewhere between the ends of 64 bits.
fn keys(random: &mut Random, unique: bool) -> Vec<String> {
    let count = random.below(200) + 1;
    let spread = 1_i64 << random.below(62);
    let centre = random.between(i64::MIN / 2, i64::MAX / 2);
    let nulls = random.once_in(2);
    let mut keys = Vec::new();
    while (keys.len() as u64) < count {
        let key = match random.below(10) {
            0 if nulls => "NULL".to_owned(),
            1 => random.between(i64::MIN, i64::MAX - 1000).to_string(),
            _ => random.between(centre - spread, centre + spread).to_string(),
        };
        let repeated = unique && key != "NULL" && keys.contains(&key);
        if !repeated {
            keys.push(key);
        } else if spread < 200 {
            // Too few different keys for so many rows.
            break;
        }
    }
    keys
}
