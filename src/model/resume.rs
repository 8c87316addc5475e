//! What an unfinished run leaves, so that another can go on with it.

use serde::{Deserialize, Serialize};

use super::key::ChunkBounds;
use super::keysum::KeySum;
use super::plan::ExecutionSpec;
use super::run::{ChunkRecord, RunId};
use super::snapshot::{Consistency, ConsistencyLevel, SnapshotFacts};

/// Where a finished file waits for the proof.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waits {
    /// In the staging area.
    #[default]
    Staged,
    /// In memory: it is small, and goes to its store in one request when the proof has passed.
    Memory,
    /// With an object store, all of it and invisible, until its upload is completed.
    Upload {
        /// The upload's id.
        id: String,
        /// What the store named the pieces, in order.
        pieces: Vec<String>,
    },
}

impl Waits {
    fn is_staged(&self) -> bool {
        *self == Self::Staged
    }
}

/// One finished file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartReceipt {
    /// File name, without directory.
    pub name: String,
    /// Plan chunk number.
    pub chunk: u32,
    /// Segment of the chunk, from 1.
    pub segment: u32,
    /// Rows.
    pub rows: u64,
    /// Bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file in hex, computed while it was written.
    pub sha256: String,
    /// Where it waits.
    #[serde(default, skip_serializing_if = "Waits::is_staged")]
    pub waits: Waits,
}

/// Whether files outlive the program that wrote them.
pub fn outlive<'a>(files: impl IntoIterator<Item = &'a PartReceipt>) -> bool {
    files.into_iter().all(|file| file.waits != Waits::Memory)
}

/// A chunk that was read to its end and written, as it is remembered from that moment on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinishedChunk {
    /// How it went.
    pub record: ChunkRecord,
    /// Its files, in segment order; none where it holds no rows.
    pub files: Vec<PartReceipt>,
    /// The server's own sum of its keys, with a full proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_sum: Option<KeySum>,
    /// The run that read it.
    pub run: RunId,
    /// The point in time that it shows.
    pub snapshot: SnapshotFacts,
}

/// What a run took over from an unfinished one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumption {
    /// The unfinished run.
    pub run: RunId,
    /// Chunks that were kept.
    pub kept: u32,
    /// Chunks that were read again, or for the first time.
    pub read: u32,
}

/// One of the points in time that a dataset of several shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointInTime {
    /// The run that read there.
    pub run: RunId,
    /// The level of its snapshot.
    pub level: ConsistencyLevel,
    /// The server's time when the snapshot was taken, RFC 3339, UTC.
    pub taken_at: String,
    /// The source's position in its log, where there is one.
    pub position: Option<String>,
    /// The plan chunks that show it, ascending.
    pub chunks: Vec<u32>,
}

/// The server's count where some chunks were kept from an unfinished run: all rows, less those that are
/// in the ranges of kept chunks by now, equals the rows that were read in the same snapshot. Kept
/// chunks were read to the end of their streams in a snapshot that is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BesideKept {
    /// All rows, in the last snapshot.
    pub all: u64,
    /// Of these, those in the ranges of kept chunks.
    pub in_kept: u64,
    /// Rows of kept chunks, as they were read.
    pub kept: u64,
}

/// Why no chunk of a run can be kept by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotKept {
    /// One point in time was asked for, and nothing else will do.
    OnePointInTime,
    /// Its chunks are ranges of physical blocks, which hold other rows by now.
    Blocks,
}

impl ExecutionSpec {
    /// Why no chunk of this can be kept when a run of it is not finished; `None` where chunks can be.
    /// Ranges of a key hold the same keys at every point in time; a row that was updated may have
    /// moved from one block to another, and would be there twice or not at all.
    pub fn not_kept(&self) -> Option<NotKept> {
        let by_key = |bounds: &ChunkBounds| {
            matches!(
                bounds,
                ChunkBounds::All | ChunkBounds::Key(_) | ChunkBounds::KeyNull
            )
        };
        if self.consistency == Consistency::Snapshot {
            Some(NotKept::OnePointInTime)
        } else if !self.chunks.iter().all(|chunk| by_key(&chunk.bounds)) {
            Some(NotKept::Blocks)
        } else {
            None
        }
    }
}

/// What a dataset shows whose chunks were read in several snapshots, and which: `own` is this run's,
/// in which `read` were read. The list is empty where one snapshot is all there is.
///
/// The level is never stronger than that of any snapshot: [`ConsistencyLevel::Mixed`] where each shows
/// one point in time.
pub fn combine(
    (run, own): (&RunId, &SnapshotFacts),
    read: &[u32],
    kept: &[FinishedChunk],
) -> (SnapshotFacts, Vec<PointInTime>) {
    let mut points: Vec<(&SnapshotFacts, PointInTime)> = Vec::new();
    let of_kept = kept.iter();
    let of_kept = of_kept.map(|chunk| (&chunk.run, &chunk.snapshot, chunk.record.number));
    let of_read = read.iter().map(|number| (run, own, *number));
    for (run, facts, number) in of_kept.chain(of_read) {
        match points.iter_mut().find(|(_, point)| point.run == *run) {
            Some((_, point)) => point.chunks.push(number),
            None => {
                let point = PointInTime {
                    run: run.clone(),
                    level: facts.level,
                    taken_at: facts.taken_at.clone(),
                    position: facts.position.clone(),
                    chunks: vec![number],
                };
                points.push((facts, point));
            }
        }
    }
    for (_, point) in &mut points {
        point.chunks.sort_unstable();
    }
    match &points[..] {
        [] => (own.clone(), Vec::new()),
        [(facts, _)] => ((*facts).clone(), Vec::new()),
        several => {
            let mut facts = SnapshotFacts {
                position: None,
                ..own.clone()
            };
            let loose = |level| level == ConsistencyLevel::PerChunk;
            facts.level = match several.iter().any(|(_, point)| loose(point.level)) {
                true => ConsistencyLevel::PerChunk,
                false => ConsistencyLevel::Mixed,
            };
            let oldest = several.iter().map(|(_, point)| &point.taken_at).min();
            facts.taken_at = oldest.unwrap_or(&own.taken_at).clone();
            (facts, points.into_iter().map(|(_, point)| point).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixtures;

    fn facts(level: ConsistencyLevel, minute: u32) -> SnapshotFacts {
        SnapshotFacts {
            level,
            readers: 2,
            position: Some(format!("0/{minute}")),
            taken_at: format!("2026-01-31T12:{minute:02}:00Z"),
            held_by: "a lock".to_owned(),
            notes: Vec::new(),
        }
    }

    fn kept(number: u32, run: &str, level: ConsistencyLevel, minute: u32) -> FinishedChunk {
        FinishedChunk {
            record: fixtures::chunk(number),
            files: Vec::new(),
            key_sum: None,
            run: RunId::stored(run),
            snapshot: facts(level, minute),
        }
    }

    #[test]
    fn two_snapshots_are_mixed_as_of_the_older_and_each_names_its_chunks() {
        use ConsistencyLevel::{Mixed, SharedSnapshot, SingleTransaction};
        let own = facts(SharedSnapshot, 20);
        let run = RunId::stored("b");
        let before = [
            kept(4, "a", SingleTransaction, 10),
            kept(1, "a", SingleTransaction, 10),
        ];
        let (found, points) = combine((&run, &own), &[2, 3], &before);
        assert_eq!((found.level, found.position), (Mixed, None));
        assert_eq!(found.taken_at, "2026-01-31T12:10:00Z");
        let told: Vec<_> = points
            .iter()
            .map(|point| (point.run.as_str(), &point.chunks[..], point.level))
            .collect();
        assert_eq!(
            told,
            [
                ("a", &[1, 4][..], SingleTransaction),
                ("b", &[2, 3], SharedSnapshot)
            ]
        );
    }

    #[test]
    fn one_snapshot_is_what_it_is_whoever_read_it() {
        use ConsistencyLevel::SharedSnapshot;
        let own = facts(SharedSnapshot, 20);
        let run = RunId::stored("b");
        assert_eq!(combine((&run, &own), &[1], &[]), (own.clone(), Vec::new()));
        let all = [kept(1, "a", SharedSnapshot, 10)];
        let (found, points) = combine((&run, &own), &[], &all);
        assert_eq!((found, points.len()), (facts(SharedSnapshot, 10), 0));
    }

    #[test]
    fn no_level_is_stronger_than_its_weakest_part() {
        use ConsistencyLevel::{PerChunk, SharedSnapshot};
        let own = facts(SharedSnapshot, 20);
        let run = RunId::stored("b");
        let (found, _) = combine((&run, &own), &[2], &[kept(1, "a", PerChunk, 10)]);
        assert_eq!(found.level, PerChunk);
    }
}
