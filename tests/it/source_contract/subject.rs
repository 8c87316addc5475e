//! A source, and somebody else who changes its data.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use ixtract::clock::System;
use ixtract::model::{
    ChunkBounds, Consistency, KeyRange, KeyValue, ReadSpec, Selection, Table, TypeOptions,
};
use ixtract::source::secrets::{PasswordSource, Secret};
use ixtract::source::url::{MysqlTarget, PostgresTarget, SqlServerTarget, Target};
use ixtract::source::{
    ConnectOptions, Session, Snapshot, SnapshotRequest, Source, SourceError, connect,
};

use crate::servers::mysql::{Mysql, MysqlDatabase, both, mariadb};
use crate::servers::sqlserver::SqlDatabase;
use crate::servers::{self, Database};

/// Rows of the table `orders`.
pub(super) const ROWS: usize = 1000;

/// A source with the table `orders (id, amount, word)`: `id` is the primary key and goes in
/// threes, `amount` is sometimes NULL, and `other` is an empty table.
pub(super) struct Subject {
    pub(super) source: Arc<dyn Source>,
    writer: Writer,
}

enum Writer {
    Postgres(Database),
    Mysql(MysqlDatabase),
    SqlServer(SqlDatabase),
    Sqlite {
        connection: Mutex<rusqlite::Connection>,
        _home: tempfile::TempDir,
    },
}

/// A row as text, NULL as nothing.
pub(super) type Row = Vec<String>;

impl Subject {
    pub(super) async fn postgres() -> Self {
        let database = servers::postgres().fresh_database();
        let address = database.address();
        let target = Target::Postgres(PostgresTarget {
            host: address.host.clone(),
            port: address.port,
            database: address.database.clone(),
            user: address.user.clone(),
            tls: None,
            tls_ca: None,
            tls_client: None,
            options: None,
        });
        let password = PasswordSource::Given(Secret::new(&address.password));
        let writer = Writer::Postgres(database);
        Self::filled(target, password, writer).await
    }

    pub(super) async fn mariadb() -> Self {
        Self::of_mysql(mariadb()).await
    }

    /// MySQL 5.6.
    pub(super) async fn mysql() -> Self {
        let [_, mysql] = both();
        Self::of_mysql(mysql).await
    }

    async fn of_mysql(server: Mysql) -> Self {
        let database = server.fresh_database();
        let address = database.address();
        let target = Target::Mysql(MysqlTarget {
            host: address.host.clone(),
            port: address.port,
            socket: None,
            database: address.database.clone(),
            user: address.user.clone(),
            tls: None,
            tls_ca: None,
            tls_client: None,
        });
        let password = PasswordSource::Given(Secret::new(&address.password));
        let writer = Writer::Mysql(database);
        Self::filled(target, password, writer).await
    }

    /// The peer that speaks SQL Server's protocol.
    pub(super) async fn sqlserver() -> Self {
        let database = SqlDatabase::fresh();
        let address = database.address();
        let target = Target::SqlServer(SqlServerTarget {
            host: address.host.clone(),
            port: address.port,
            database: address.database.clone(),
            user: address.user.clone(),
            tls: None,
            strict: false,
            tls_ca: None,
            tls_client: None,
            read_only: false,
        });
        let password = PasswordSource::Given(Secret::new(&address.password));
        let writer = Writer::SqlServer(database);
        Self::filled(target, password, writer).await
    }

    /// In WAL mode, where a writer need not wait for readers.
    pub(super) async fn sqlite() -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("source.db");
        let connection = rusqlite::Connection::open(&path).expect("a database");
        connection
            .execute_batch("PRAGMA journal_mode = WAL")
            .expect("WAL mode");
        let writer = Writer::Sqlite {
            connection: Mutex::new(connection),
            _home: home,
        };
        Self::filled(Target::Sqlite(path), PasswordSource::None, writer).await
    }

    async fn filled(target: Target, password: PasswordSource, writer: Writer) -> Self {
        let rows: Vec<String> = (0..ROWS)
            .map(|n| {
                let amount = if n % 10 == 0 {
                    "NULL".to_owned()
                } else {
                    (n * n).to_string()
                };
                format!("({}, {amount}, 'word {n}')", n * 3)
            })
            .collect();
        writer.exec(&format!(
            "CREATE TABLE orders (id BIGINT PRIMARY KEY, amount BIGINT, word TEXT NOT NULL);
             INSERT INTO orders VALUES {};
             CREATE TABLE other (id BIGINT PRIMARY KEY, word TEXT)",
            rows.join(",")
        ));
        let options = ConnectOptions {
            target,
            password,
            source_name: None,
            run: None,
            connect_timeout: Duration::from_secs(20),
            statement_timeout: Duration::ZERO,
            lock_wait: Duration::from_secs(6),
            clock: System::shared(),
        };
        let source = connect(options).await.expect("a connection");
        Self { source, writer }
    }

    /// Names that are hard to spell; MySQL's have no letters beyond the basic plane.
    pub(super) fn odd_names(&self) -> [&'static str; 7] {
        let letters = match self.writer {
            Writer::Mysql(_) => "ünï€",
            Writer::Postgres(_) | Writer::SqlServer(_) | Writer::Sqlite { .. } => "ünï🦀",
        };
        [
            "select",
            "UPPER",
            "with space",
            "dotted.name",
            "quo\"te",
            letters,
            "x'; DROP--",
        ]
    }

    /// Runs statements as somebody else. `BIGINT` is each database's natural integer key.
    pub(super) fn exec(&self, sql: &str) {
        self.writer.exec(sql);
    }

    /// Describes all columns of a table.
    pub(super) async fn table(&self, name: &str) -> Table {
        self.try_table(name, &Selection::default())
            .await
            .expect("a table")
    }

    pub(super) async fn try_table(
        &self,
        name: &str,
        selection: &Selection,
    ) -> Result<Table, SourceError> {
        self.source
            .describe(name, selection, &TypeOptions::default())
            .await
    }

    /// One point in time of a table.
    pub(super) async fn snapshot(&self, read: &ReadSpec, sessions: u32) -> Arc<dyn Snapshot> {
        let request = SnapshotRequest {
            consistency: Consistency::Snapshot,
            sessions,
            // Small, so that a chunk of hundreds of rows is several batches.
            batch_bytes: 2048,
            lock_wait: Duration::from_secs(20),
            allow_row_security: false,
        };
        self.source
            .snapshot(read, &request)
            .await
            .expect("a snapshot")
    }
}

impl Writer {
    fn exec(&self, sql: &str) {
        match self {
            Self::Postgres(database) => database.exec(sql),
            Self::Mysql(database) => database.exec(sql),
            // Its own TEXT has been out of use for twenty years.
            Self::SqlServer(database) => database.exec(&sql.replace("TEXT", "NVARCHAR(200)")),
            Self::Sqlite { connection, .. } => connection
                .lock()
                .expect("a connection")
                // Only this word makes a primary key the rowid.
                .execute_batch(&sql.replace("BIGINT", "INTEGER"))
                .unwrap_or_else(|error| panic!("{sql}: {error}")),
        }
    }
}

/// How a described table is read, cut on its best key.
pub(super) fn read_of(table: &Table) -> ReadSpec {
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

/// The rows of keys from `lower` up to, but not including, `upper`.
pub(super) fn keys(lower: Option<i128>, upper: Option<i128>) -> ChunkBounds {
    ChunkBounds::Key(KeyRange {
        lower: lower.map(KeyValue::Int),
        upper: upper.map(KeyValue::Int),
    })
}

/// Reads a chunk to its end.
pub(super) async fn read(session: &mut dyn Session, chunk: &ChunkBounds) -> Vec<Row> {
    session
        .begin(chunk)
        .await
        .unwrap_or_else(|error| panic!("{chunk}: {error}"));
    let mut rows = Vec::new();
    while let Some(batch) = session
        .next()
        .await
        .unwrap_or_else(|error| panic!("{chunk}: {error}"))
    {
        rows.extend(text(&batch.rows));
    }
    rows
}

/// Reads a chunk in a session of its own.
pub(super) async fn read_alone(snapshot: &dyn Snapshot, chunk: &ChunkBounds) -> Vec<Row> {
    let mut session = snapshot.session().await.expect("a session");
    read(&mut *session, chunk).await
}

/// A batch's rows.
pub(super) fn text(batch: &RecordBatch) -> Vec<Row> {
    let options = FormatOptions::default();
    let columns: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).expect("a printable column"))
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect()
        })
        .collect()
}

/// In an order that does not depend on how they were read.
pub(super) fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort();
    rows
}
