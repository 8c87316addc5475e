//! The source against real database files.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use tempfile::TempDir;

use super::*;
use crate::clock::System;
use crate::model::{
    ChunkBounds, Column, Consistency, ConsistencyLevel, FieldType, KeyRange, KeyValue, Origin,
};
use crate::source::Session;
use crate::source::secrets::PasswordSource;
use crate::source::url::Target;

/// A directory with one database file in it.
struct Fixture {
    directory: TempDir,
    path: PathBuf,
}

impl Fixture {
    fn new(sql: &str) -> Self {
        Self::named("test.db", sql)
    }

    fn named(name: &str, sql: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name);
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch(sql).unwrap();
        drop(connection);
        Self { directory, path }
    }

    fn writer(&self) -> Connection {
        Connection::open(&self.path).unwrap()
    }

    /// Every file of the directory with its bytes. Only while no connection is open: closing our
    /// descriptors would drop its locks.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        fs::read_dir(self.directory.path())
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.file_name().to_string_lossy().into_owned();
                (name, fs::read(entry.path()).unwrap())
            })
            .collect()
    }
}

fn options(path: &Path) -> ConnectOptions {
    ConnectOptions {
        target: Target::Sqlite(path.to_owned()),
        password: PasswordSource::None,
        source_name: None,
        run: None,
        connect_timeout: Duration::from_millis(50),
        statement_timeout: Duration::ZERO,
        lock_wait: Duration::from_secs(6),
        clock: System::shared(),
    }
}

async fn connect(path: &Path) -> Result<Sqlite> {
    Sqlite::connect(path, &options(path)).await
}

fn request(sessions: u32) -> SnapshotRequest {
    SnapshotRequest {
        consistency: Consistency::Auto,
        sessions,
        batch_bytes: 1 << 16,
        lock_wait: Duration::from_millis(100),
        allow_row_security: false,
    }
}

fn spec(table: &Table) -> ReadSpec {
    ReadSpec {
        relation: table.relation.clone(),
        kind: table.kind,
        query: table.query.clone(),
        columns: table.columns.clone(),
        key: table.keys.first().cloned(),
        leaves: Vec::new(),
        filter: table.filter.clone(),
    }
}

async fn describe(source: &Sqlite, table: &str) -> Result<Table> {
    source
        .describe(table, &Selection::default(), &TypeOptions::default())
        .await
}

fn filtered(filter: &str) -> Selection {
    Selection {
        filter: Some(filter.to_owned()),
        ..Selection::default()
    }
}

fn typed(column: &str, field: FieldType) -> TypeOptions {
    TypeOptions {
        overrides: vec![crate::model::TypeOverride {
            column: column.to_owned(),
            field,
            lossy: false,
        }],
        ..TypeOptions::default()
    }
}

async fn drain(session: &mut dyn Session, chunk: &ChunkBounds) -> Result<Vec<RecordBatch>> {
    session.begin(chunk).await?;
    let mut batches = Vec::new();
    while let Some(batch) = session.next().await? {
        batches.push(batch.rows);
    }
    Ok(batches)
}

/// The whole table in one batch, read as a run would read it.
async fn read(source: &Sqlite, table: &Table) -> Result<RecordBatch> {
    let snapshot = source.snapshot(&spec(table), &request(1)).await?;
    let mut session = snapshot.session().await?;
    let batches = drain(&mut *session, &ChunkBounds::All).await;
    drop(session);
    let counted = snapshot.count().await;
    snapshot.close().await?;
    let schema = crate::model::arrow_schema(&table.columns);
    let rows = arrow::compute::concat_batches(&schema, &batches?).unwrap();
    assert_eq!(counted?, rows.num_rows() as u64);
    Ok(rows)
}

fn texts(rows: &RecordBatch, column: usize) -> Vec<Option<&str>> {
    rows.column(column).as_string::<i32>().iter().collect()
}

fn integers(batches: &[RecordBatch], column: usize) -> Vec<i64> {
    batches
        .iter()
        .flat_map(|rows| rows.column(column).as_primitive::<Int64Type>().values())
        .copied()
        .collect()
}

fn column<'t>(table: &'t Table, name: &str) -> &'t Column {
    table
        .columns
        .iter()
        .find(|column| column.name == name)
        .unwrap()
}

fn range(lower: Option<i128>, upper: Option<i128>) -> ChunkBounds {
    ChunkBounds::Key(KeyRange {
        lower: lower.map(KeyValue::Int),
        upper: upper.map(KeyValue::Int),
    })
}

const SERIES: &str =
    "WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 5000)";
const ENDLESS: &str = "EXISTS (WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s) SELECT 1 FROM s WHERE i < 0)";

#[tokio::test]
async fn values_are_written_exactly_by_declared_type() {
    let fixture = Fixture::new(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, n INT NOT NULL, r REAL, s TEXT, b BLOB, any_, d DECIMAL(10,2), day DATE,
            g INTEGER GENERATED ALWAYS AS (n % 10) VIRTUAL);
         INSERT INTO t VALUES
            (1, 9223372036854775807, 0.1, 'häß' || char(0) || 'x', x'00ff', 0.1, 12.50, '2024-02-29'),
            (2, -9223372036854775808 / 2, 1e308, '', x'', 'text', 7, 20240229),
            (3, 0, NULL, NULL, NULL, NULL, NULL, NULL),
            (4, 0, 5, 'x', x'01', 1e300, '1e400x', 1.0);",
    );
    let source = connect(&fixture.path).await.unwrap();
    let table = describe(&source, "t").await.unwrap();
    assert!(!column(&table, "id").nullable);
    assert!(!column(&table, "n").nullable);
    assert!(column(&table, "s").nullable);
    assert_eq!(column(&table, "d").source_type, "DECIMAL(10,2)");
    assert_eq!(
        column(&table, "g").generated.as_deref(),
        Some("generated virtual")
    );

    let rows = read(&source, &table).await.unwrap();
    assert_eq!(
        integers(std::slice::from_ref(&rows), 1),
        [i64::MAX, i64::MIN / 2, 0, 0]
    );
    let reals = rows.column(2).as_primitive::<Float64Type>();
    assert_eq!(reals.value(0), 0.1);
    assert_eq!(reals.value(3), 5.0);
    assert!(reals.is_null(2));
    assert_eq!(texts(&rows, 3), [Some("häß\0x"), Some(""), None, Some("x")]);
    let blobs = rows.column(4).as_binary::<i32>();
    assert_eq!(blobs.value(0), [0, 255]);
    assert_eq!(blobs.value(1), b"");
    assert_eq!(
        texts(&rows, 5),
        [Some("0.1"), Some("text"), None, Some("1e300")]
    );
    assert_eq!(
        texts(&rows, 6),
        [Some("12.5"), Some("7"), None, Some("1e400x")]
    );
    assert_eq!(
        texts(&rows, 7),
        [Some("2024-02-29"), Some("20240229"), None, Some("1")]
    );
    assert_eq!(integers(std::slice::from_ref(&rows), 8), [7, -4, 0, 0]);
}

#[tokio::test]
async fn a_value_of_another_storage_class_stops_the_read_and_is_named() {
    let fixture = Fixture::new(
        "CREATE TABLE i (id INTEGER PRIMARY KEY, v INTEGER); INSERT INTO i VALUES (7, 'seven');
         CREATE TABLE f (v INTEGER); INSERT INTO f VALUES (1), (1.5);
         CREATE TABLE r (v REAL); INSERT INTO r VALUES ('x');
         CREATE TABLE s (v TEXT); INSERT INTO s VALUES (x'00');
         CREATE TABLE u (v TEXT); INSERT INTO u VALUES (CAST(x'ff41' AS TEXT));
         CREATE TABLE b (v BLOB); INSERT INTO b VALUES (1);
         CREATE TABLE a (v); INSERT INTO a VALUES (x'01');
         CREATE VIEW w AS SELECT 9007199254740993 AS v UNION ALL SELECT 1.5;",
    );
    let source = connect(&fixture.path).await.unwrap();
    for (name, wanted_key, wanted_value, as_text) in [
        ("i", Some("id = 7"), "'seven'", true),
        ("f", Some("rowid = 2"), "1.5", true),
        ("r", Some("rowid = 1"), "'x'", true),
        ("s", Some("rowid = 1"), "x'00'", false),
        ("u", Some("rowid = 1"), "x'FF41'", false),
        ("b", Some("rowid = 1"), "1", false),
        ("a", Some("rowid = 1"), "x'01'", false),
    ] {
        let table = describe(&source, name).await.unwrap();
        let error = read(&source, &table).await.unwrap_err();
        let SourceError::Unrepresentable {
            table,
            column,
            key,
            value,
            fix,
            ..
        } = error
        else {
            panic!("{name}: {error}");
        };
        assert_eq!((table, column.as_str()), (format!("main.{name}"), "v"));
        assert_eq!(
            (key.as_deref(), value.as_str()),
            (wanted_key, wanted_value),
            "{name}"
        );
        assert_eq!(fix.contains("--type v=text"), as_text, "{name}: {fix}");
        assert!(fix.contains("--exclude-columns v"));
    }
    let as_text = source
        .describe("f", &Selection::default(), &typed("V", FieldType::Utf8))
        .await
        .unwrap();
    assert_eq!(
        texts(&read(&source, &as_text).await.unwrap(), 0),
        [Some("1"), Some("1.5")]
    );
    let view = describe(&source, "w").await.unwrap();
    assert_eq!(
        texts(&read(&source, &view).await.unwrap(), 0),
        [Some("9007199254740993"), Some("1.5")]
    );
    let other = source
        .describe("f", &Selection::default(), &typed("v", FieldType::Date))
        .await;
    assert!(matches!(other, Err(SourceError::Unsupported { .. })));
}

#[tokio::test]
async fn integers_in_a_real_column_must_convert_exactly() {
    // A REAL column turns integers into reals itself, so views pose as one here.
    let fixture = Fixture::new(
        "CREATE VIEW exact AS SELECT 9007199254740992 AS v;
         CREATE VIEW loses AS SELECT 9007199254740993 AS v;",
    );
    let source = connect(&fixture.path).await.unwrap();
    let mut exact = describe(&source, "exact").await.unwrap();
    let mut loses = describe(&source, "loses").await.unwrap();
    for table in [&mut exact, &mut loses] {
        table.columns[0].base_type = "real".to_owned();
        table.columns[0].field = FieldType::Float64;
    }
    let rows = read(&source, &exact).await.unwrap();
    assert_eq!(
        rows.column(0).as_primitive::<Float64Type>().value(0),
        9_007_199_254_740_992.0
    );
    let error = read(&source, &loses).await.unwrap_err();
    assert!(
        matches!(&error, SourceError::Unrepresentable { value, key: None, .. } if value == "9007199254740993"),
        "{error:?}"
    );
}

#[tokio::test]
async fn odd_names_work_everywhere() {
    let names = [
        "select",
        "two words",
        "a.b",
        "say \"hi\"",
        "it's",
        "[x]",
        "Ünï🦀",
        "`tick`",
        "main.t",
        "x]y",
    ];
    let sql: String = names
        .iter()
        .map(|name| {
            let quoted = sql::quote(name);
            format!(
                "CREATE TABLE {quoted} ({quoted} INTEGER); INSERT INTO {quoted} VALUES (1), (2);"
            )
        })
        .collect();
    let fixture = Fixture::named("o?d #1 100% ü🦀.db", &sql);
    let source = connect(&fixture.path).await.unwrap();
    for name in names {
        for written in [
            name.to_owned(),
            sql::quote(name),
            format!("main.{}", sql::quote(name)),
        ] {
            // A bare name in quotes of its own is read without them first.
            if written == name && name.starts_with(['[', '`']) {
                continue;
            }
            let table = describe(&source, &written).await.unwrap();
            assert_eq!(table.relation.name, name, "{written}");
            let rows = read(&source, &table).await.unwrap();
            assert_eq!(integers(&[rows], 0), [1, 2]);
        }
    }
    assert_eq!(describe(&source, "[x]").await.unwrap().relation.name, "[x]");
    assert_eq!(fs::read_dir(fixture.directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn names_are_folded_and_missing_ones_suggested() {
    let fixture = Fixture::new(
        "CREATE TABLE Orders (Id INTEGER, total REAL); CREATE VIEW totals AS SELECT total FROM Orders;",
    );
    let source = connect(&fixture.path).await.unwrap();
    assert_eq!(
        describe(&source, "ORDERS").await.unwrap().relation.name,
        "Orders"
    );
    assert_eq!(
        describe(&source, "Main.orders")
            .await
            .unwrap()
            .relation
            .name,
        "Orders"
    );
    assert!(describe(&source, "\"orders\"").await.is_err());
    assert_eq!(
        describe(&source, "totals").await.unwrap().kind,
        RelationKind::View
    );
    let missing = describe(&source, "ordres").await.unwrap_err();
    assert!(
        matches!(&missing, SourceError::TableMissing { near, .. } if near[0] == "Orders"),
        "{missing:?}"
    );
    let selection = Selection {
        columns: vec!["TOTAL".to_owned()],
        ..Selection::default()
    };
    let table = source
        .describe("orders", &selection, &TypeOptions::default())
        .await
        .unwrap();
    assert_eq!(table.columns.len(), 1);
    assert_eq!(table.columns[0].name, "total");
    let wrong = Selection {
        exclude: vec!["totl".to_owned()],
        ..Selection::default()
    };
    let missing = source
        .describe("orders", &wrong, &TypeOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(&missing, SourceError::ColumnMissing { near, .. } if near[0] == "total"));
    let none = Selection {
        exclude: vec!["id".to_owned(), "total".to_owned()],
        ..Selection::default()
    };
    let nothing = source
        .describe("orders", &none, &TypeOptions::default())
        .await;
    assert!(matches!(nothing, Err(SourceError::Unsupported { .. })));
}

#[tokio::test]
async fn keys_are_those_that_rows_are_stored_by() {
    let fixture = Fixture::new(
        "CREATE TABLE alias (a TEXT, Id INTEGER PRIMARY KEY);
         CREATE TABLE implicit (a TEXT);
         CREATE TABLE shadowed (rowid TEXT, _ROWID_ TEXT);
         CREATE TABLE hidden (rowid TEXT, _rowid_ TEXT, oid TEXT);
         CREATE TABLE quirk (id INTEGER PRIMARY KEY DESC);
         CREATE TABLE int_ (id INT PRIMARY KEY);
         CREATE TABLE without (id INTEGER PRIMARY KEY, a) WITHOUT ROWID;
         CREATE TABLE strict_without (id INTEGER PRIMARY KEY, a TEXT) WITHOUT ROWID, STRICT;
         CREATE TABLE composite (a INTEGER, b INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID, STRICT;
         CREATE TABLE trimmed (a TEXT COLLATE RTRIM PRIMARY KEY) WITHOUT ROWID;
         CREATE TABLE indexed (rowid TEXT, _rowid_ TEXT, oid TEXT, k TEXT UNIQUE, n INT NOT NULL UNIQUE);
         CREATE VIEW v AS SELECT 1 AS a;
         CREATE VIRTUAL TABLE f USING fts5(body);",
    );
    let source = connect(&fixture.path).await.unwrap();
    for (name, wanted) in [
        ("alias", Some("Id")),
        ("implicit", Some("rowid")),
        ("shadowed", Some("oid")),
        ("hidden", None),
        ("quirk", Some("rowid")),
        ("int_", Some("rowid")),
        ("without", Some("id")),
        ("strict_without", Some("id")),
        ("composite", Some("a")),
        ("trimmed", Some("a")),
        ("indexed", Some("n")),
        ("v", None),
        ("f", None),
    ] {
        let table = describe(&source, name).await.unwrap();
        let key = table.keys.first().map(|key| key.column.as_str());
        assert_eq!(key, wanted, "{name}");
        read(&source, &table).await.unwrap();
    }
    // Other primary keys than the alias may hold NULL in SQLite, except WITHOUT ROWID.
    assert!(describe(&source, "int_").await.unwrap().columns[0].nullable);
    assert!(!describe(&source, "without").await.unwrap().columns[0].nullable);
}

#[tokio::test]
async fn chunks_tile_tables_with_gaps_and_edges() {
    let fixture = Fixture::new(
        "CREATE TABLE t (k INTEGER PRIMARY KEY);
         INSERT INTO t VALUES (-9223372036854775808), (-9223372036854775807), (-5), (0), (3), (1000000), (9223372036854775806), (9223372036854775807);
         CREATE TABLE w (k INTEGER PRIMARY KEY) WITHOUT ROWID, STRICT;
         INSERT INTO w SELECT k FROM t;
         CREATE TABLE i (a); INSERT INTO i (rowid, a) SELECT k, 'x' FROM t;",
    );
    let source = connect(&fixture.path).await.unwrap();
    for name in ["t", "w", "i"] {
        let table = describe(&source, name).await.unwrap();
        let (density, correlation) = source.density(&table, &table.keys[0], 4).await.unwrap();
        assert_eq!(correlation, Some(1000));
        assert_eq!(density.origin, Origin::Exact);
        let snapshot = source.snapshot(&spec(&table), &request(2)).await.unwrap();
        let mut session = snapshot.session().await.unwrap();
        let mut edges: Vec<Option<i128>> = vec![None];
        edges.extend(density.bounds.iter().map(KeyValue::as_int));
        edges.push(Some(i128::from(i64::MAX)));
        edges.push(None);
        let mut rows = Vec::new();
        for pair in edges.windows(2) {
            let batches = drain(&mut *session, &range(pair[0], pair[1]))
                .await
                .unwrap();
            rows.push(batches.iter().map(RecordBatch::num_rows).sum::<usize>());
        }
        assert_eq!(rows, [2, 2, 2, 1, 1], "{name}");
        assert_eq!(snapshot.count().await.unwrap(), 8);
        let blocks = ChunkBounds::Blocks(crate::model::BlockRange {
            start: None,
            end: None,
        });
        assert!(matches!(
            session.begin(&blocks).await,
            Err(SourceError::Unsupported { .. })
        ));
    }
}

#[tokio::test]
async fn filters_apply_to_chunks_and_count_alike() {
    let fixture = Fixture::new(&format!(
        "CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER); INSERT INTO t (a) {SERIES} SELECT i % 10 FROM s; CREATE INDEX ta ON t (a);"
    ));
    let source = connect(&fixture.path).await.unwrap();
    let table = source
        .describe(
            "t",
            &filtered("a = 3 OR a = 4 -- some"),
            &TypeOptions::default(),
        )
        .await
        .unwrap();
    assert_eq!(read(&source, &table).await.unwrap().num_rows(), 1000);
    let snapshot = source.snapshot(&spec(&table), &request(1)).await.unwrap();
    let mut session = snapshot.session().await.unwrap();
    let batches = drain(&mut *session, &range(Some(11), Some(21)))
        .await
        .unwrap();
    assert_eq!(integers(&batches, 1), [3, 4]);

    // SQLite would take a misspelled column in double quotes for text, and find nothing.
    for wrong in [
        "\"aa\" = 3",
        "a = ",
        "a = 1; DELETE FROM t",
        "a = 1) OR (a = 2",
        "a, 1) OR (a",
    ] {
        let refused = source
            .describe("t", &filtered(wrong), &TypeOptions::default())
            .await;
        assert!(
            matches!(refused, Err(SourceError::Statement { .. })),
            "{wrong}"
        );
    }
    let unbound = source
        .describe("t", &filtered("a = ?"), &TypeOptions::default())
        .await
        .unwrap();
    let error = read(&source, &unbound).await.unwrap_err();
    assert!(matches!(error, SourceError::Statement { .. }));
}

#[tokio::test]
async fn reading_leaves_the_files_as_they_were() {
    let fill = format!("CREATE TABLE t (a); INSERT INTO t {SERIES} SELECT i FROM s;");
    for mode in ["delete", "wal"] {
        let fixture = Fixture::new(&format!("PRAGMA journal_mode = {mode}; {fill}"));
        let before = fixture.files();
        assert_eq!(before.len(), 1);
        let source = connect(&fixture.path).await.unwrap();
        let table = describe(&source, "t").await.unwrap();
        source.statistics(&table).await.unwrap();
        assert_eq!(read(&source, &table).await.unwrap().num_rows(), 5000);
        drop(source);
        assert!(
            fixture.files() == before,
            "{mode}: {:?}",
            fixture.files().keys()
        );
    }
}

#[tokio::test]
async fn a_wal_with_content_is_never_checkpointed() {
    let fixture = Fixture::new("PRAGMA journal_mode = wal; CREATE TABLE t (a);");
    // A writer that dies leaves its -wal: closing without a checkpoint does the same.
    let writer = fixture.writer();
    writer
        .set_db_config(
            rusqlite::config::DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE,
            true,
        )
        .unwrap();
    writer
        .execute_batch("INSERT INTO t VALUES (1), (2)")
        .unwrap();
    drop(writer);
    let mut before = fixture.files();
    before.remove("test.db-shm");
    assert!(!before["test.db-wal"].is_empty());
    let source = connect(&fixture.path).await.unwrap();
    let table = describe(&source, "t").await.unwrap();
    assert_eq!(read(&source, &table).await.unwrap().num_rows(), 2);
    drop(source);
    let mut after = fixture.files();
    after.remove("test.db-shm");
    assert!(after == before);
}

/// Commits in a loop until `done`: rows come and go below, inside and above the key range.
fn write_on(fixture: &Fixture, done: &Arc<AtomicBool>) -> std::thread::JoinHandle<u32> {
    let (writer, done) = (fixture.writer(), Arc::clone(done));
    writer.busy_timeout(Duration::from_secs(60)).unwrap();
    writer.execute_batch("PRAGMA synchronous = OFF").unwrap();
    std::thread::spawn(move || {
        let mut commits = 0;
        while !done.load(Ordering::Relaxed) {
            writer
                .execute_batch(
                    "BEGIN IMMEDIATE; INSERT INTO t (a) VALUES (1);
                     UPDATE t SET a = a + 1 WHERE id IN (1, 4999);
                     DELETE FROM t WHERE id = (SELECT min(id) FROM t WHERE id > 10);
                     INSERT INTO t (id, a) SELECT min(id) - 1, 7 FROM t; COMMIT",
                )
                .unwrap();
            commits += 1;
        }
        commits
    })
}

#[tokio::test]
async fn readers_share_one_instant_while_a_writer_goes_on() {
    for mode in ["delete", "wal"] {
        let fixture = Fixture::new(&format!(
            "PRAGMA journal_mode = {mode}; CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER); INSERT INTO t (a) {SERIES} SELECT i FROM s;"
        ));
        let options = ConnectOptions {
            connect_timeout: Duration::from_secs(60),
            ..options(&fixture.path)
        };
        let done = Arc::new(AtomicBool::new(false));
        let writing = write_on(&fixture, &done);
        let source = Sqlite::connect(&fixture.path, &options).await.unwrap();
        let table = describe(&source, "t").await.unwrap();
        let mut instants = Vec::new();
        for _ in 0..8 {
            let ask = SnapshotRequest {
                consistency: Consistency::Snapshot,
                lock_wait: Duration::from_secs(60),
                ..request(4)
            };
            let snapshot = source.snapshot(&spec(&table), &ask).await.unwrap();
            let facts = snapshot.facts();
            assert_eq!(
                (facts.level, facts.readers),
                (ConsistencyLevel::SharedSnapshot, 4)
            );
            let mut sessions = Vec::new();
            for _ in 0..4 {
                sessions.push(snapshot.session().await.unwrap());
            }
            let mut seen = Vec::new();
            for session in &mut sessions {
                let batches = drain(&mut **session, &ChunkBounds::All).await.unwrap();
                seen.push((integers(&batches, 0), integers(&batches, 1)));
            }
            assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{mode}");
            assert_eq!(snapshot.count().await.unwrap(), seen[0].0.len() as u64);
            snapshot.close().await.unwrap();
            instants.push(seen.swap_remove(0));
        }
        done.store(true, Ordering::Relaxed);
        assert!(writing.join().unwrap() > 0);
        instants.dedup();
        assert!(instants.len() > 1, "{mode}: the writer never got a turn");
    }
}

#[tokio::test]
async fn rollback_journal_readers_hold_writers_off_and_say_so() {
    let fixture = Fixture::new("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), (2);");
    let source = connect(&fixture.path).await.unwrap();
    let table = describe(&source, "t").await.unwrap();
    let snapshot = source.snapshot(&spec(&table), &request(3)).await.unwrap();
    let facts = snapshot.facts();
    assert_eq!(
        (facts.level, facts.readers),
        (ConsistencyLevel::SharedSnapshot, 3)
    );
    assert!(facts.notes[0].contains("writers of this database wait"));

    let writer = fixture.writer();
    writer.busy_timeout(Duration::ZERO).unwrap();
    let busy = writer
        .execute_batch("INSERT INTO t VALUES (3)")
        .unwrap_err();
    assert_eq!(busy.sqlite_error_code(), Some(ErrorCode::DatabaseBusy));
    assert_eq!(snapshot.count().await.unwrap(), 2);
    snapshot.close().await.unwrap();
    writer.execute_batch("INSERT INTO t VALUES (3)").unwrap();
    assert!(matches!(
        snapshot.session().await,
        Err(SourceError::SnapshotLost { .. })
    ));
}

#[tokio::test]
async fn a_file_that_stays_locked_is_reported() {
    let fixture = Fixture::new("CREATE TABLE t (a INTEGER);");
    let source = connect(&fixture.path).await.unwrap();
    let table = describe(&source, "t").await.unwrap();
    let writer = fixture.writer();
    writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let locked = source
        .snapshot(&spec(&table), &request(2))
        .await
        .err()
        .unwrap();
    assert!(matches!(locked, SourceError::Locked { .. }), "{locked:?}");
    let locked = connect(&fixture.path).await.unwrap_err();
    assert!(matches!(locked, SourceError::Locked { .. }), "{locked:?}");
}

#[tokio::test]
async fn a_held_write_lock_leaves_one_reader_or_refuses() {
    let fixture = Fixture::new(
        "PRAGMA journal_mode = wal; CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1);",
    );
    let source = connect(&fixture.path).await.unwrap();
    let table = describe(&source, "t").await.unwrap();
    let writer = fixture.writer();
    writer
        .execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (2)")
        .unwrap();
    let snapshot = source.snapshot(&spec(&table), &request(4)).await.unwrap();
    let facts = snapshot.facts();
    assert_eq!(
        (facts.level, facts.readers),
        (ConsistencyLevel::SingleTransaction, 1)
    );
    assert!(
        facts.notes[0].contains("one reader only"),
        "{:?}",
        facts.notes
    );
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(snapshot.count().await.unwrap(), 1);

    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let ask = SnapshotRequest {
        consistency: Consistency::Snapshot,
        ..request(4)
    };
    let refused = source.snapshot(&spec(&table), &ask).await.err().unwrap();
    assert!(matches!(refused, SourceError::Locked { .. }), "{refused:?}");
}

#[tokio::test]
async fn the_only_reader_counts_between_its_batches() {
    let fixture = Fixture::new(&format!(
        "PRAGMA journal_mode = wal; CREATE TABLE t (a INTEGER); INSERT INTO t {SERIES} SELECT i FROM s;"
    ));
    let source = connect(&fixture.path).await.unwrap();
    let table = describe(&source, "t").await.unwrap();
    let writer = fixture.writer();
    writer
        .execute_batch("BEGIN IMMEDIATE; DELETE FROM t")
        .unwrap();
    let ask = SnapshotRequest {
        batch_bytes: 800,
        ..request(2)
    };
    let snapshot = source.snapshot(&spec(&table), &ask).await.unwrap();
    writer.execute_batch("COMMIT").unwrap();
    let mut session = snapshot.session().await.unwrap();
    assert!(matches!(
        snapshot.session().await,
        Err(SourceError::TooManyConnections { .. })
    ));
    let (read, counted) = tokio::join!(drain(&mut *session, &ChunkBounds::All), snapshot.count());
    assert_eq!(
        read.unwrap()
            .iter()
            .map(RecordBatch::num_rows)
            .sum::<usize>(),
        5000
    );
    assert_eq!(counted.unwrap(), 5000);

    // A read that is given up does not take the count with it.
    session.begin(&ChunkBounds::All).await.unwrap();
    session.next().await.unwrap();
    let (counted, ()) = tokio::join!(snapshot.count(), async { drop(session) });
    assert_eq!(counted.unwrap(), 5000);
}

#[tokio::test]
async fn a_dropped_session_gives_its_reader_back() {
    let fixture = Fixture::new(&format!(
        "CREATE TABLE t (a INTEGER); INSERT INTO t {SERIES} SELECT i FROM s;"
    ));
    let source = connect(&fixture.path).await.unwrap();
    let table = describe(&source, "t").await.unwrap();
    let ask = SnapshotRequest {
        batch_bytes: 800,
        ..request(1)
    };
    let snapshot = source.snapshot(&spec(&table), &ask).await.unwrap();
    for _ in 0..5 {
        let mut session = snapshot.session().await.unwrap();
        session.begin(&ChunkBounds::All).await.unwrap();
        let first = session.next().await.unwrap().unwrap();
        assert_eq!(first.rows.num_rows(), 100);
        assert_eq!(first.wire_bytes, 800);
        // Beginning anew gives up the chunk before.
        session.begin(&range(None, Some(3))).await.unwrap();
        assert_eq!(session.next().await.unwrap().unwrap().rows.num_rows(), 2);
        assert!(session.next().await.unwrap().is_none());
        session.begin(&ChunkBounds::All).await.unwrap();
    }
}

#[tokio::test]
async fn endless_statements_are_stopped() {
    let fixture = Fixture::new("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1);");
    let source = connect(&fixture.path).await.unwrap();
    let table = source
        .describe("t", &filtered(ENDLESS), &TypeOptions::default())
        .await
        .unwrap();
    let snapshot = source.snapshot(&spec(&table), &request(1)).await.unwrap();
    for _ in 0..3 {
        // Dropped in the middle of `next`: the reader is free for the next round at once.
        let mut session = snapshot.session().await.unwrap();
        session.begin(&ChunkBounds::All).await.unwrap();
        tokio::select! {
            biased;
            _ = session.next() => panic!("it does not end"),
            () = tokio::task::yield_now() => {}
        }
    }
    tokio::select! {
        biased;
        _ = snapshot.count() => panic!("it does not end"),
        () = tokio::task::yield_now() => {}
    }
    let mut session = snapshot.session().await.unwrap();
    session.begin(&ChunkBounds::All).await.unwrap();
    let (read, counted, ()) = tokio::join!(session.next(), snapshot.count(), snapshot.cancel());
    assert!(matches!(read, Err(SourceError::SnapshotLost { .. })));
    assert!(matches!(counted, Err(SourceError::SnapshotLost { .. })));
    snapshot.close().await.unwrap();
}

#[tokio::test]
async fn statements_have_a_time_limit() {
    let fixture = Fixture::new("CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1);");
    let options = ConnectOptions {
        statement_timeout: Duration::from_millis(5),
        lock_wait: Duration::from_secs(6),
        ..options(&fixture.path)
    };
    let source = Sqlite::connect(&fixture.path, &options).await.unwrap();
    let table = source
        .describe("t", &filtered(ENDLESS), &TypeOptions::default())
        .await
        .unwrap();
    let snapshot = source.snapshot(&spec(&table), &request(1)).await.unwrap();
    let mut session = snapshot.session().await.unwrap();
    session.begin(&ChunkBounds::All).await.unwrap();
    assert!(matches!(
        session.next().await,
        Err(SourceError::Timeout { .. })
    ));
    // A read that failed never seems to have ended well.
    assert!(matches!(
        session.next().await,
        Err(SourceError::SnapshotLost { .. })
    ));
}

#[tokio::test]
async fn per_chunk_reads_see_what_was_committed_between_chunks() {
    let fixture = Fixture::new(
        "PRAGMA journal_mode = wal; CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1);",
    );
    let source = connect(&fixture.path).await.unwrap();
    let table = describe(&source, "t").await.unwrap();
    let ask = SnapshotRequest {
        consistency: Consistency::PerChunk,
        ..request(2)
    };
    let snapshot = source.snapshot(&spec(&table), &ask).await.unwrap();
    assert_eq!(snapshot.facts().level, ConsistencyLevel::PerChunk);
    let mut session = snapshot.session().await.unwrap();
    assert_eq!(
        integers(&drain(&mut *session, &ChunkBounds::All).await.unwrap(), 0),
        [1]
    );
    fixture
        .writer()
        .execute_batch("INSERT INTO t VALUES (2)")
        .unwrap();
    assert_eq!(
        integers(&drain(&mut *session, &ChunkBounds::All).await.unwrap(), 0),
        [1, 2]
    );
}

#[tokio::test]
async fn a_table_that_changed_since_the_plan_is_refused() {
    let fixture = Fixture::new("CREATE TABLE t (id INTEGER PRIMARY KEY, a INTEGER);");
    let source = connect(&fixture.path).await.unwrap();
    let planned = spec(&describe(&source, "t").await.unwrap());
    for change in [
        "DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)",
        "DROP TABLE t; CREATE TABLE t (id INTEGER, a INTEGER)",
        "DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY)",
        "DROP TABLE t",
    ] {
        fixture.writer().execute_batch(change).unwrap();
        let refused = source.snapshot(&planned, &request(2)).await.err().unwrap();
        assert!(
            matches!(refused, SourceError::PlanMismatch { .. }),
            "{change}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn what_is_no_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let garbage = directory.path().join("garbage.db");
    fs::write(&garbage, [0xAB; 8192]).unwrap();
    let error = connect(&garbage).await.unwrap_err();
    assert!(
        matches!(error, SourceError::NotADatabase { .. }),
        "{error:?}"
    );
    let absent = connect(&directory.path().join("absent.db"))
        .await
        .unwrap_err();
    assert!(matches!(absent, SourceError::DatabaseMissing { .. }));
    let empty = directory.path().join("empty.db");
    fs::write(&empty, b"").unwrap();
    let source = connect(&empty).await.unwrap();
    assert!(matches!(
        describe(&source, "t").await,
        Err(SourceError::TableMissing { .. })
    ));
    drop(source);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
}

#[tokio::test]
async fn a_hot_journal_is_not_rolled_back_by_us() {
    let fixture = Fixture::new(&format!(
        "CREATE TABLE t (a TEXT); INSERT INTO t {SERIES} SELECT 'before' || i FROM s;"
    ));
    let writer = fixture.writer();
    // A cache of a few pages spills into the file before the commit, as big transactions do.
    writer
        .execute_batch("PRAGMA cache_size = 5; BEGIN; UPDATE t SET a = 'after'")
        .unwrap();
    let crashed = tempfile::tempdir().unwrap();
    for (name, bytes) in fixture.files() {
        fs::write(crashed.path().join(name), bytes).unwrap();
    }
    assert!(crashed.path().join("test.db-journal").exists());
    let path = crashed.path().join("test.db");
    let before = fs::read(&path).unwrap();
    let error = connect(&path).await.unwrap_err();
    assert!(
        matches!(error, SourceError::Unsupported { .. }),
        "{error:?}"
    );
    assert!(fs::read(&path).unwrap() == before);
}

/// Beside a name this long no `-wal` can be made: names end at 255 bytes, for root as for others.
const LONGEST: usize = 253;

fn sealed() -> Fixture {
    let mut fixture = Fixture::new(
        "PRAGMA journal_mode = wal; CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), (2);",
    );
    let path = fixture.directory.path().join("x".repeat(LONGEST));
    fs::rename(&fixture.path, &path).unwrap();
    fixture.path = path;
    fixture
}

#[tokio::test]
async fn a_wal_database_where_nothing_can_be_created_is_read_as_immutable() {
    let fixture = sealed();
    let before = fixture.files();
    let source = connect(&fixture.path).await.unwrap();
    assert_eq!(source.capabilities().max_readers, MOST_READERS);
    let table = describe(&source, "t").await.unwrap();
    let snapshot = source.snapshot(&spec(&table), &request(3)).await.unwrap();
    assert_eq!(snapshot.facts().level, ConsistencyLevel::SharedSnapshot);
    assert!(snapshot.facts().notes[0].contains("without locks"));
    let mut session = snapshot.session().await.unwrap();
    assert_eq!(
        integers(&drain(&mut *session, &ChunkBounds::All).await.unwrap(), 0),
        [1, 2]
    );
    drop(session);
    snapshot.close().await.unwrap();
    drop(source);
    assert!(fixture.files() == before);
}

#[tokio::test]
async fn a_change_of_an_immutable_file_is_noticed_at_the_end() {
    use std::os::unix::fs::FileExt;
    let fixture = sealed();
    let source = connect(&fixture.path).await.unwrap();
    let table = describe(&source, "t").await.unwrap();
    let snapshot = source.snapshot(&spec(&table), &request(1)).await.unwrap();
    let file = fs::File::options().write(true).open(&fixture.path).unwrap();
    file.write_all_at(&99_u32.to_be_bytes(), 24).unwrap();
    let error = snapshot.close().await.unwrap_err();
    assert!(
        matches!(&error, SourceError::Changed { why, .. } if why.contains("to 99")),
        "{error:?}"
    );
}

/// Runs a test as a user whom permission bits bind: root's thread becomes nobody first. Threads
/// that it starts, SQLite's readers among them, inherit that.
fn as_ordinary_user(test: impl Future<Output = ()> + Send + 'static) {
    std::thread::spawn(move || {
        if rustix::process::geteuid().is_root() {
            rustix::thread::set_thread_uid(rustix::thread::Uid::from_raw(65_534)).unwrap();
        }
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(test);
    })
    .join()
    .unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Takes away the right to write, from the directory too.
fn write_protect(fixture: &Fixture) {
    for entry in fs::read_dir(fixture.directory.path()).unwrap() {
        set_mode(&entry.unwrap().path(), 0o444);
    }
    set_mode(fixture.directory.path(), 0o555);
}

#[test]
fn a_file_that_may_not_be_read_is_denied() {
    let fixture = Fixture::new("CREATE TABLE t (a);");
    set_mode(fixture.directory.path(), 0o755);
    set_mode(&fixture.path, 0o000);
    let path = fixture.path.clone();
    as_ordinary_user(async move {
        let error = connect(&path).await.unwrap_err();
        assert!(
            matches!(&error, SourceError::Denied { grant, .. } if grant.starts_with("chmod")),
            "{error:?}"
        );
    });
}

#[test]
fn write_protected_databases_are_read_in_parallel_where_no_writer_can_be() {
    for mode in ["delete", "wal"] {
        let fixture = Fixture::new(&format!(
            "PRAGMA journal_mode = {mode}; CREATE TABLE t (a INTEGER); INSERT INTO t VALUES (1), (2);"
        ));
        write_protect(&fixture);
        let path = fixture.path.clone();
        as_ordinary_user(async move {
            let source = connect(&path).await.unwrap();
            let immutable = source.desk.access == Access::Immutable;
            assert_eq!(immutable, mode == "wal");
            let table = describe(&source, "t").await.unwrap();
            let snapshot = source.snapshot(&spec(&table), &request(3)).await.unwrap();
            assert_eq!(snapshot.facts().readers, 3);
            assert_eq!(snapshot.count().await.unwrap(), 2);
            snapshot.close().await.unwrap();
        });
        set_mode(fixture.directory.path(), 0o755);
    }
}

#[test]
fn without_the_right_to_write_a_live_wal_gives_one_reader() {
    let fixture = Fixture::new("PRAGMA journal_mode = wal; CREATE TABLE t (a INTEGER);");
    let writer = fixture.writer();
    writer
        .execute_batch("INSERT INTO t VALUES (1), (2), (3)")
        .unwrap();
    write_protect(&fixture);
    let path = fixture.path.clone();
    as_ordinary_user(async move {
        let source = connect(&path).await.unwrap();
        assert_eq!(source.capabilities().max_readers, 1);
        let table = describe(&source, "t").await.unwrap();
        let snapshot = source.snapshot(&spec(&table), &request(3)).await.unwrap();
        let facts = snapshot.facts();
        assert_eq!(
            (facts.level, facts.readers),
            (ConsistencyLevel::SingleTransaction, 1)
        );
        assert!(facts.notes[0].contains("write lock"), "{:?}", facts.notes);
        assert_eq!(snapshot.count().await.unwrap(), 3);
        snapshot.close().await.unwrap();
        let ask = SnapshotRequest {
            consistency: Consistency::Snapshot,
            ..request(3)
        };
        let refused = source.snapshot(&spec(&table), &ask).await.err().unwrap();
        assert!(
            matches!(refused, SourceError::Consistency { .. }),
            "{refused:?}"
        );
    });
    drop(writer);
    set_mode(fixture.directory.path(), 0o755);
}

#[test]
fn a_wal_that_cannot_be_read_here_is_refused() {
    let fixture = Fixture::new("PRAGMA journal_mode = wal; CREATE TABLE t (a INTEGER);");
    let writer = fixture.writer();
    writer.execute_batch("INSERT INTO t VALUES (1)").unwrap();
    let copied = tempfile::tempdir().unwrap();
    let path = copied.path().join("test.db");
    for suffix in ["", "-wal"] {
        let name = format!("test.db{suffix}");
        fs::copy(
            fixture.directory.path().join(&name),
            copied.path().join(&name),
        )
        .unwrap();
    }
    let copied = Fixture {
        directory: copied,
        path,
    };
    write_protect(&copied);
    let path = copied.path.clone();
    as_ordinary_user(async move {
        let error = connect(&path).await.unwrap_err();
        assert!(
            matches!(error, SourceError::Unsupported { .. }),
            "{error:?}"
        );
    });
    set_mode(copied.directory.path(), 0o755);
}

#[tokio::test]
async fn statistics_come_from_probes_or_analyze() {
    let fixture = Fixture::new(&format!(
        "CREATE TABLE small (a TEXT); INSERT INTO small {SERIES} SELECT 'twelve chars' FROM s;
         CREATE TABLE big (a TEXT); INSERT INTO big SELECT a FROM small, (SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3 UNION ALL SELECT 4);
         CREATE TABLE without (a INTEGER PRIMARY KEY, b) WITHOUT ROWID; INSERT INTO without SELECT rowid, a FROM big;
         CREATE TABLE empty (a); CREATE VIEW v AS SELECT a FROM big;
         PRAGMA user_version = 42;"
    ));
    let source = connect(&fixture.path).await.unwrap();
    let ask = async |name: &str| {
        let table = describe(&source, name).await.unwrap();
        source.statistics(&table).await.unwrap()
    };
    let small = ask("small").await;
    assert_eq!(
        (small.estimate.rows, small.estimate.origin),
        (5000, Origin::Exact)
    );
    assert_eq!(small.bytes, 60_000);
    assert_eq!(small.counters.0["user_version"], "42");
    assert_ne!(small.counters.0["change_counter"], "0");
    let big = ask("big").await;
    assert_eq!(
        (big.estimate.rows, big.estimate.origin),
        (20_000, Origin::Sample)
    );
    let without = ask("without").await;
    assert_eq!(
        (without.estimate.rows, without.estimate.origin),
        (20_000, Origin::Exact)
    );
    assert_eq!(ask("empty").await.estimate.rows, 0);
    let view = ask("v").await;
    assert_eq!(view.estimate.origin, Origin::Unknown);
    assert!(view.estimate.rows > 0);

    fixture.writer().execute_batch("ANALYZE").unwrap();
    let big = ask("big").await;
    assert_eq!(
        (big.estimate.rows, big.estimate.origin),
        (20_000, Origin::Catalogue)
    );
    source.ping().await.unwrap();
    assert_eq!(source.load().await.unwrap().max, 64);
    assert!(source.capabilities().server.starts_with("SQLite 3."));
}
