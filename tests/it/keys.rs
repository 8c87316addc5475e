//! Every row once, whatever the keys are like: extremes, gaps, heaps, NULLs, statistics that are
//! absent or wrong, and tables that hold other tables.

mod leaves; // Partitions and children, each read by itself.
mod ordered; // Keys that only the server can order.
mod postgres; // Keys of PostgreSQL, and tables without one.
mod rowids; // Keys of SQLite.
mod shapes; // Random tables.
mod stored; // Keys of SQLite's tables without a rowid.

use crate::published::Published;
use crate::readers::{Engine, Row};

/// Fails the test unless the dataset holds exactly these rows, each once, in chunks that tile.
#[track_caller]
fn expect_rows(run: &Published, what: &str, mut expected: Vec<Row>) {
    let mut read = run.rows(Engine::Pyarrow, &[]);
    read.sort();
    expected.sort();
    if read != expected {
        let missing: Vec<_> = expected
            .iter()
            .filter(|row| !read.contains(row))
            .take(3)
            .collect();
        let added: Vec<_> = read
            .iter()
            .filter(|row| !expected.contains(row))
            .take(3)
            .collect();
        panic!(
            "{what}: {} rows instead of {}; missing {missing:?}, added {added:?}, chunks {:?}",
            read.len(),
            expected.len(),
            run.chunks()
        );
    }
    run.expect_exact_cover(expected.len());
}
