//! Reads chunks by binary COPY inside a snapshot.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio_postgres::CopyOutStream;

use super::super::dialect::{Dialect, from_item, quote_identifier, quote_relation, where_clause};
use super::super::{Batch, Result, Session, SourceError};
use super::connect::Link;
use super::keysum;
use super::reader::CopyReader;
use super::registry::Registration;
use super::shared::Shared;
use crate::model::{ChunkBounds, FieldType, KeySum, ReadAs, ReadSpec};

/// A session inside a snapshot.
pub(super) struct PgSession {
    link: Link,
    shared: Arc<Shared>,
    /// Keeps this session's own export on offer while it lives.
    registration: Registration,
    stream: Option<Pin<Box<CopyOutStream>>>,
    rows: CopyReader,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Between chunks.
    Idle,
    /// A chunk's stream is open, or was dropped half-way.
    Reading,
    /// A statement failed: its transaction is over and with it the session.
    Dead,
}

impl PgSession {
    /// A session on a link whose transaction is in the snapshot.
    pub(super) fn new(link: Link, shared: Arc<Shared>, registration: Registration) -> Result<Self> {
        let rows = CopyReader::new(shared.read(), shared.batch_bytes(), shared.clock().clone())?;
        Ok(Self {
            link,
            shared,
            registration,
            stream: None,
            rows,
            state: State::Idle,
        })
    }

    fn ended(&self) -> SourceError {
        SourceError::ConnectionLost {
            target: self.shared.target().to_owned(),
            why: "this session ended with an earlier error or in the middle of a chunk".to_owned(),
        }
    }

    async fn start(&mut self, chunk: &ChunkBounds) -> Result<()> {
        let sql = copy_statement(self.shared.read(), chunk)?;
        if self.shared.per_chunk() {
            let opening = self.shared.opening(None);
            self.link.execute(self.shared.subject(), &opening).await?;
        }
        self.check_ascends(chunk).await?;
        self.rows.reset();
        let stream = self.link.copy_out(self.shared.subject(), &sql).await?;
        self.stream = Some(Box::pin(stream));
        Ok(())
    }

    /// Asks the server whether it, too, takes the chunk's bounds to be in order: a plan may come from
    /// another server, or from before its collation changed.
    async fn check_ascends(&mut self, chunk: &ChunkBounds) -> Result<()> {
        let read = self.shared.read();
        let (ChunkBounds::Key(range), Some(key)) = (chunk, read.key.as_ref()) else {
            return Ok(());
        };
        let question = Dialect::PostgreSql
            .ascends(key, range)
            .map_err(|error| mismatch(read, error.to_string()))?;
        let Some(question) = question else {
            return Ok(());
        };
        let subject = self.shared.subject();
        let sql = format!("SELECT coalesce({question}, false)");
        if self.link.row(subject, &sql, &[]).await?.get(0) {
            Ok(())
        } else {
            Err(mismatch(
                read,
                format!("the server orders the bounds {chunk} of {key} the other way round"),
            ))
        }
    }

    /// Gathers the next batch; an empty one only at the stream's proven end.
    async fn gather(&mut self) -> Result<Option<Batch>> {
        let Some(stream) = self.stream.as_mut() else {
            return Ok(None);
        };
        while let Some(message) = stream.next().await {
            let data = message.map_err(|error| self.link.explain(self.shared.subject(), &error))?;
            if self.rows.push(&data)? {
                return self.rows.batch().map(Some);
            }
        }
        self.stream = None;
        self.rows.check_end()?;
        if self.shared.per_chunk() {
            self.link.execute(self.shared.subject(), "COMMIT").await?;
        }
        self.state = State::Idle;
        if self.rows.is_empty() {
            Ok(None)
        } else {
            self.rows.batch().map(Some)
        }
    }

    /// A failed statement ends the transaction, so nobody may import from this session any more.
    fn judge<T>(&mut self, outcome: Result<T>) -> Result<T> {
        if outcome.is_err() {
            self.state = State::Dead;
            self.stream = None;
            self.registration.withdraw();
        }
        outcome
    }
}

#[async_trait]
impl Session for PgSession {
    fn number(&self) -> Option<u64> {
        u64::try_from(self.registration.pid()?).ok()
    }

    async fn begin(&mut self, chunk: &ChunkBounds) -> Result<()> {
        if self.state != State::Idle {
            return Err(self.ended());
        }
        self.state = State::Reading;
        let outcome = self.start(chunk).await;
        self.judge(outcome)
    }

    async fn next(&mut self) -> Result<Option<Batch>> {
        if self.stream.is_none() && self.state == State::Dead {
            return Err(SourceError::ConnectionLost {
                target: self.shared.target().to_owned(),
                why: "this session ended with an earlier error".to_owned(),
            });
        }
        let outcome = self.gather().await;
        self.judge(outcome)
    }

    async fn key_sum(&mut self, chunk: &ChunkBounds, columns: &[String]) -> Result<KeySum> {
        if self.state != State::Idle {
            return Err(self.ended());
        }
        self.state = State::Reading;
        let outcome = keysum::ask(&self.link, &self.shared, chunk, columns).await;
        if outcome.is_ok() {
            self.state = State::Idle;
        }
        self.judge(outcome)
    }
}

impl Drop for PgSession {
    fn drop(&mut self) {
        // Without this the driver would read a half-read stream to its end.
        if self.state != State::Idle {
            self.link.abort();
        }
    }
}

/// `COPY (SELECT …) TO STDOUT (FORMAT binary)` for a chunk.
fn copy_statement(read: &ReadSpec, chunk: &ChunkBounds) -> Result<String> {
    let columns: Vec<String> = read
        .columns
        .iter()
        .map(|column| {
            let name = quote_identifier(&column.name);
            match (column.read, &column.field) {
                (ReadAs::Native, _) => name,
                (ReadAs::Text, FieldType::List(_)) => format!("{name}::pg_catalog.text[]"),
                (ReadAs::Text, _) => format!("{name}::pg_catalog.text"),
            }
        })
        .collect();
    Ok(format!(
        "COPY (SELECT {} FROM {}) TO STDOUT (FORMAT binary)",
        columns.join(", "),
        rows_of(read, chunk)?
    ))
}

/// What stands behind FROM to read exactly the rows of a chunk.
pub(super) fn rows_of(read: &ReadSpec, chunk: &ChunkBounds) -> Result<String> {
    let predicate = Dialect::PostgreSql
        .predicate(chunk, read.key.as_ref())
        .map_err(|error| mismatch(read, error.to_string()))?;
    let from = match chunk.leaf() {
        Some(leaf) => format!("ONLY {}", quote_relation(leaf)),
        None => from_item(&read.relation, read.query.as_deref()),
    };
    Ok(from + &where_clause(read.filter.as_deref(), predicate.as_deref()))
}

fn mismatch(read: &ReadSpec, why: String) -> SourceError {
    SourceError::PlanMismatch {
        table: read.relation.to_string(),
        why,
    }
}
