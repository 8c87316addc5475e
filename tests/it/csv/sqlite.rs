//! Out of SQLite.

use rusqlite::Connection;

use super::{DIALECTS, files, read};
use crate::ixtract::Cli;
use crate::published::{extract, sqlite_url};
use crate::readers::Row;

#[test]
fn python_and_duckdb_read_what_is_stored() {
    let cli = Cli::new();
    let path = cli.home().join("source.db");
    let connection = Connection::open(&path).expect("a database");
    connection
        .execute_batch(
            "CREATE TABLE t (id INTEGER PRIMARY KEY, word TEXT, real REAL, bytes BLOB, free);
             INSERT INTO t VALUES
                (-9223372036854775808, '', 0.1, x'', 1),
                (0, NULL, NULL, NULL, NULL),
                (1, 'NULL', -1.5, x'00ff', 'a,b'),
                (2, char(10) || '\"' || char(13), 1e300, x'22', 2.5),
                (9223372036854775807, '👩‍👩‍👧‍👦 1|2', 9e999, x'0a', '\\N')",
        )
        .expect("rows");
    let text = |text: &str| Some(text.to_owned());
    let expected: [Row; 5] = [
        [
            text("-9223372036854775808"),
            text(""),
            text("0.1"),
            text("\\x"),
            text("1"),
        ]
        .into(),
        [text("0"), None, None, None, None].into(),
        [
            text("1"),
            text("NULL"),
            text("-1.5"),
            text("\\x00ff"),
            text("a,b"),
        ]
        .into(),
        [
            text("2"),
            text("\n\"\r"),
            text("1e+300"),
            text("\\x22"),
            text("2.5"),
        ]
        .into(),
        [
            text("9223372036854775807"),
            text("👩‍👩‍👧‍👦 1|2"),
            text("Infinity"),
            text("\\x0a"),
            text("\\N"),
        ]
        .into(),
    ];
    for (number, dialect) in DIALECTS.iter().enumerate() {
        let name = format!("run_{number}");
        let cut = ["--workers", "3", "--chunking", "key", "--chunk-rows", "2"];
        let flags = [&dialect.flags()[..], &cut].concat();
        extract(&cli, &sqlite_url(&path), "t", &name, &flags);
        let files = files(&cli, &name);
        for engine in ["python", "duckdb"] {
            let mut expected = expected.to_vec();
            if engine == "python" {
                // It does not see quotes, and takes what looks like NULL for it.
                let null = dialect.null.unwrap_or_default();
                for value in expected.iter_mut().flatten() {
                    value.take_if(|text| text == null);
                }
            }
            let rows = read(engine, dialect, &files);
            let rows = &rows[usize::from(!dialect.no_header)..];
            assert_eq!(rows, expected, "{engine}, {dialect:?}");
        }
    }
}
