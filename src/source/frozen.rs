//! Snapshots of servers that hand no point in time on: several sessions begin together, or one stands
//! alone, and what is asked of the snapshot is asked on these.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;

use super::dialect::DialectError;
use super::seats::{Line, Seat, Seats};
use super::{Result, SnapshotRequest, SourceError};
use crate::model::{
    ChunkBounds, Consistency, ConsistencyLevel, Key, KeyRange, KeySum, ReadSpec, Relation,
    SnapshotFacts,
};

/// Sessions that stand at one point in time, as far as `level` says.
pub(super) struct Acquired<L> {
    /// The readers, and the spare one as the last where there are several.
    pub(super) links: Vec<L>,
    pub(super) readers: usize,
    pub(super) level: ConsistencyLevel,
    pub(super) held_by: &'static str,
    pub(super) position: Option<String>,
    pub(super) taken_at: String,
    pub(super) notes: Vec<String>,
}

impl<L: Line> Acquired<L> {
    /// Readers that begin each chunk at a point in time of its own: there is nothing to open yet.
    pub(super) fn per_chunk(
        request: &SnapshotRequest,
        taken_at: String,
        notes: Vec<String>,
    ) -> Self {
        Self {
            links: Vec::new(),
            readers: request.sessions as usize,
            level: ConsistencyLevel::PerChunk,
            held_by: "nothing between chunks",
            position: None,
            taken_at,
            notes,
        }
    }

    /// One reader for everything.
    pub(super) fn alone(link: L, held_by: &'static str, taken_at: String) -> Self {
        Self {
            links: vec![link],
            readers: 1,
            level: ConsistencyLevel::SingleTransaction,
            held_by,
            position: None,
            taken_at,
            notes: Vec::new(),
        }
    }

    /// Readers that began together, of which the last is to spare; `wanted` is how many there were to
    /// be, that one among them.
    pub(super) fn together(
        links: Vec<L>,
        wanted: usize,
        held_by: &'static str,
        taken_at: String,
    ) -> Self {
        let fewer = (links.len() < wanted)
            .then(|| format!("the server had room for {} sessions only", links.len()));
        Self {
            readers: links.len() - 1,
            links,
            level: ConsistencyLevel::SharedSnapshot,
            held_by,
            position: None,
            taken_at,
            notes: fewer.into_iter().collect(),
        }
    }

    /// What the snapshot achieved, and its sessions.
    pub(super) fn into_parts(self, request: &SnapshotRequest) -> (SnapshotFacts, Seats<L>) {
        let facts = SnapshotFacts {
            level: self.level,
            readers: u32::try_from(self.readers)
                .unwrap_or(u32::MAX)
                .min(request.sessions.max(1)),
            position: self.position,
            taken_at: self.taken_at,
            held_by: self.held_by.to_owned(),
            notes: self.notes,
        };
        (facts, Seats::new(self.links))
    }
}

/// Why one reader must do where several could not begin together.
///
/// # Errors
/// The same error where one will not do, and where it says more than that.
pub(super) fn cause(consistency: Consistency, error: SourceError) -> Result<String> {
    match error {
        error if consistency == Consistency::Snapshot => Err(error),
        SourceError::Locked { why, .. } => Ok(format!(
            "the lock that lets several begin together was not free: {why}"
        )),
        SourceError::Consistency { why, .. } | SourceError::TooManyConnections { why, .. } => {
            Ok(why)
        }
        error => Err(error),
    }
}

/// Opens as many sessions as there is room for, at least two of `wanted`.
pub(super) async fn open_several<L: Line, F: Future<Output = Result<L>>>(
    wanted: usize,
    open: impl Fn() -> F,
) -> Result<Vec<L>> {
    let opened = join_all((0..wanted).map(|_| open())).await;
    let mut links = Vec::with_capacity(wanted);
    let mut full = None;
    for link in opened {
        match link {
            Ok(link) => links.push(link),
            Err(error @ SourceError::TooManyConnections { .. }) => full = Some(error),
            Err(error) => return Err(error),
        }
    }
    match full {
        Some(error) if links.len() < 2 => {
            join_all(links.into_iter().map(Line::close)).await;
            Err(error)
        }
        _ => Ok(links),
    }
}

/// What a snapshot of this kind shares with its sessions.
#[async_trait]
pub(super) trait Frozen: Sync {
    /// Its connections.
    type Line: Line;

    /// What is asked on them.
    type Question: Send;

    fn seats(&self) -> &Seats<Self::Line>;

    /// Where it is: `host:port`, or a socket's path.
    fn target(&self) -> &str;

    fn read(&self) -> &ReadSpec;

    fn level(&self) -> ConsistencyLevel;

    /// A session where each chunk has its own point in time.
    async fn open(&self) -> Result<Self::Line>;

    /// What counts the rows of a chunk of what is to be read.
    fn counting(&self, read: &ReadSpec, chunk: &ChunkBounds) -> Result<Self::Question>;

    /// What asks whether the server, too, takes a range's bounds to be in order; `None` where there is
    /// nothing to ask.
    fn ascending(
        &self,
        key: &Key,
        range: &KeyRange,
    ) -> std::result::Result<Option<Self::Question>, DialectError>;

    /// The first value of an answer's first row.
    async fn first(
        &self,
        link: &mut Self::Line,
        question: Self::Question,
    ) -> Result<Option<String>>;

    /// What it sums of a chunk's keys.
    async fn sum(
        &self,
        link: &mut Self::Line,
        chunk: &ChunkBounds,
        columns: &[String],
    ) -> Result<KeySum>;

    /// Whether each chunk has a point in time of its own.
    fn per_chunk(&self) -> bool {
        self.level() == ConsistencyLevel::PerChunk
    }

    fn relation(&self) -> &Relation {
        &self.read().relation
    }

    fn lost(&self) -> SourceError {
        let ended = "every session that held it has ended";
        let (cause, why) = match self.seats().cause() {
            Some((fault, why)) => (Some(fault), format!("{ended}; of the last was said: {why}")),
            None => (None, ended.to_owned()),
        };
        SourceError::SnapshotLost {
            object: self.relation().to_string(),
            why,
            cause,
        }
    }

    fn mismatch(&self, why: String) -> SourceError {
        SourceError::PlanMismatch {
            table: self.relation().to_string(),
            why,
        }
    }

    fn protocol(&self, why: &str) -> SourceError {
        SourceError::Protocol {
            target: self.target().to_owned(),
            why: why.to_owned(),
        }
    }

    /// What a session says that ended earlier.
    fn ended(&self) -> SourceError {
        SourceError::ConnectionLost {
            target: self.target().to_owned(),
            why: "this session ended with an earlier error or in the middle of a chunk".to_owned(),
        }
    }

    /// A session to read on.
    ///
    /// # Errors
    /// [`SourceError::TooManyConnections`] while others read on all that are left;
    /// [`SourceError::SnapshotLost`] when none is.
    async fn seat(&self) -> Result<(usize, Arc<Seat<Self::Line>>)> {
        let seats = self.seats();
        match seats.claim() {
            Some(claimed) => Ok(claimed),
            None if self.per_chunk() => Ok(seats.add(self.open().await?)),
            None if seats.any_left() => Err(SourceError::TooManyConnections {
                target: self.target().to_owned(),
                why: "every session of the snapshot that is left is in use".to_owned(),
            }),
            None => Err(self.lost()),
        }
    }

    /// A chunk's rows as the server counts them.
    async fn count(&self, chunk: &ChunkBounds) -> Result<u64> {
        self.count_in(self.read(), chunk).await
    }

    /// The relation's rows for which another filter holds, as the server counts them.
    async fn count_where(&self, filter: Option<&str>) -> Result<u64> {
        let read = self.read().filtered(filter);
        self.count_in(&read, &ChunkBounds::All).await
    }

    async fn count_in(&self, read: &ReadSpec, chunk: &ChunkBounds) -> Result<u64> {
        if self.per_chunk() {
            let mut link = self.open().await?;
            let count = self.count_on(&mut link, read, chunk).await;
            link.close().await;
            return count;
        }
        // On the spare session; where it reads, or is lost, between the chunks of another.
        for seat in self.seats().spare_first() {
            let Some(mut held) = seat.take().await else {
                continue;
            };
            let Some(link) = held.as_mut() else { continue };
            let count = self.count_on(link, read, chunk).await;
            if let Err(error) = &count {
                self.seats().note(error);
                self.seats().lose(&seat, held);
            }
            return count;
        }
        Err(self.lost())
    }

    /// The server's own sum over the keys of a chunk, on a session that reads nothing just now; after a
    /// failure it is lost.
    async fn summed(
        &self,
        seat: &Seat<Self::Line>,
        chunk: &ChunkBounds,
        columns: &[String],
    ) -> Result<KeySum> {
        let mut held = seat.take().await.ok_or_else(|| self.ended())?;
        let link = held.as_mut().ok_or_else(|| self.lost())?;
        let sum = self.sum(link, chunk, columns).await;
        if let Err(error) = &sum {
            self.seats().note(error);
            self.seats().lose(seat, held);
        }
        sum
    }

    async fn count_on(
        &self,
        link: &mut Self::Line,
        read: &ReadSpec,
        chunk: &ChunkBounds,
    ) -> Result<u64> {
        let count = self.first(link, self.counting(read, chunk)?).await?;
        count
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| self.protocol("the count of rows is no number"))
    }

    /// Fails when the server takes a chunk's bounds to be out of order: a plan may come from another
    /// server, or from before its collation changed.
    async fn check_ascends(&self, link: &mut Self::Line, chunk: &ChunkBounds) -> Result<()> {
        let (ChunkBounds::Key(range), Some(key)) = (chunk, self.read().key.as_ref()) else {
            return Ok(());
        };
        let question = self.ascending(key, range);
        let question = question.map_err(|error| self.mismatch(error.to_string()))?;
        let Some(question) = question else {
            return Ok(());
        };
        // What is neither true nor false is no order.
        if self.first(link, question).await?.as_deref() == Some("1") {
            return Ok(());
        }
        Err(self.mismatch(format!(
            "the server orders the bounds {chunk} of {key} the other way round"
        )))
    }
}

/// Rows and the sum of their keys, out of the texts that the server gave; `None` where these are no
/// numbers.
pub(super) fn key_sum(rows: Vec<Vec<Option<String>>>) -> Option<KeySum> {
    let mut texts = rows.into_iter().flatten();
    let (rows, sum) = (texts.next()??, texts.next()??);
    Some(KeySum {
        rows: rows.parse().ok()?,
        sum: sum.parse().ok()?,
    })
}
