//! The proof of completeness: what must hold before anything is published, each part of it checked
//! against what it does not itself rest on.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio_util::sync::CancellationToken;

use super::folder::Folder;
use super::manifest::ProofRecord;
use super::publish::{Evidence, WriteBudget};
use super::staging::Staging;
use super::stopping::Stoppable;
use super::{PartReceipt, Result, WriteError, format, names};
use crate::model::{BesideKept, ChunkStatus, ProofLevel, arrow_schema};

type Held<T> = std::result::Result<T, String>;

/// Proves that the staged files are the whole table as the snapshot shows it.
///
/// (a) the plan's chunks tile the table exactly; (b) each of them was read to the end of its stream,
/// and no other; (c) the files, read back by their footers or, where the format has none, from end
/// to end, hold the rows, columns and bytes that were written, and there is no other file; (d) the
/// server's own count agrees, unless the plan asks for no count.
///
/// Files land, by `land`, when all but (c) holds: on a store that is what makes them readable at
/// all, and nothing that is known to be wrong gets so far.
///
/// # Errors
/// [`WriteError::Proof`] with the first part that does not hold, and both numbers; those of `land`;
/// [`WriteError::Stopped`] once `stop` is cancelled.
pub(super) fn prove(
    dataset: &str,
    staging: &dyn Staging,
    evidence: &Evidence<'_>,
    stop: &CancellationToken,
    landed: &mut dyn FnMut(),
) -> Result<ProofRecord> {
    let broken = |why| WriteError::Proof {
        path: dataset.to_owned(),
        why,
    };
    let record = told(evidence).map_err(broken)?;
    staging.land(evidence.receipts)?;
    landed();
    let folder = staging.folder();
    let present = folder.names("")?.into_iter().collect();
    let agreed = files_agree(folder.as_ref(), &present, evidence, stop);
    match agreed {
        // Whatever was found by then is of no interest any more.
        _ if stop.is_cancelled() => Err(WriteError::Stopped),
        agreed => agreed.map_err(broken).map(|()| record),
    }
}

/// (a), (b) and (d): what those who read and counted say of each other.
fn told(evidence: &Evidence<'_>) -> Held<ProofRecord> {
    evidence.plan.spec.check().map_err(|e| e.to_string())?;
    let by_chunk = chunks_ended(evidence)?;
    rows_by_chunk_agree(&by_chunk, evidence.receipts)?;
    let rows = evidence.receipts.iter().map(|receipt| receipt.rows).sum();
    let level = evidence.plan.spec.proof;
    let beside_kept = beside_kept(evidence, &by_chunk);
    // What was kept is older than the count, so only the rest can be compared with it.
    let counted = match (evidence.counted, beside_kept) {
        (Some(_), Some(beside)) => Some(counted_with(beside)?),
        (counted, _) => counted,
    };
    if level == ProofLevel::Count {
        count_agrees(counted, rows)?;
    }
    Ok(ProofRecord {
        level,
        counted,
        beside_kept,
        rows,
        chunks: u32::try_from(by_chunk.len()).map_err(|e| e.to_string())?,
    })
}

/// What the server counted beside kept chunks, where there are any.
fn beside_kept(evidence: &Evidence<'_>, rows: &BTreeMap<u32, u64>) -> Option<BesideKept> {
    let kept = evidence.counted_kept;
    (!kept.is_empty()).then(|| BesideKept {
        all: evidence.counted.unwrap_or(0),
        in_kept: kept.values().sum(),
        kept: kept.keys().filter_map(|chunk| rows.get(chunk)).sum(),
    })
}

/// The rows that a dataset with kept chunks must have.
fn counted_with(beside: BesideKept) -> Held<u64> {
    let BesideKept { all, in_kept, kept } = beside;
    let others = all.checked_sub(in_kept).ok_or_else(|| {
        format!("the server counts {all} rows and {in_kept} of them in kept chunks")
    })?;
    Ok(others.saturating_add(kept))
}

/// (b) Every planned chunk has one record, a success; gives the rows that each read.
fn chunks_ended(evidence: &Evidence<'_>) -> Held<BTreeMap<u32, u64>> {
    let mut ended = BTreeMap::new();
    for record in evidence.chunks {
        if record.status != ChunkStatus::Success {
            return Err(format!("chunk {} did not end as success", record.number));
        }
        if ended.insert(record.number, record.rows).is_some() {
            return Err(format!("chunk {} is recorded twice", record.number));
        }
    }
    let planned: BTreeSet<u32> = evidence.plan.spec.chunks.iter().map(|c| c.number).collect();
    if let Some(missing) = planned.iter().find(|number| !ended.contains_key(number)) {
        return Err(format!("chunk {missing} has no record of success"));
    }
    match ended.keys().find(|number| !planned.contains(number)) {
        Some(stranger) => Err(format!("chunk {stranger} is recorded but was not planned")),
        None => Ok(ended),
    }
}

/// What each chunk's reader counted is what its files were given.
fn rows_by_chunk_agree(read: &BTreeMap<u32, u64>, receipts: &[PartReceipt]) -> Held<()> {
    let mut written: BTreeMap<u32, u64> = BTreeMap::new();
    for receipt in receipts {
        *written.entry(receipt.chunk).or_default() += receipt.rows;
    }
    if let Some(stranger) = written.keys().find(|chunk| !read.contains_key(chunk)) {
        return Err(format!(
            "a file belongs to chunk {stranger}, which was not planned"
        ));
    }
    let differing = read
        .iter()
        .map(|(chunk, rows)| (chunk, rows, written.get(chunk).copied().unwrap_or(0)))
        .find(|(_, rows, written)| *rows != written);
    match differing {
        Some((chunk, rows, written)) => Err(format!(
            "chunk {chunk} read {rows} rows and wrote {written}"
        )),
        None => Ok(()),
    }
}

/// (c) The files are those of the receipts and hold what the receipts say.
fn files_agree(
    staged: &dyn Folder,
    present: &BTreeSet<String>,
    evidence: &Evidence<'_>,
    stop: &CancellationToken,
) -> Held<()> {
    let mut expected = BTreeSet::new();
    for receipt in evidence.receipts {
        if !names::is_part(&receipt.name) || !expected.insert(receipt.name.clone()) {
            return Err(format!("'{}' is no file name of its own", receipt.name));
        }
    }
    if let Some(stray) = present.difference(&expected).next() {
        return Err(format!("{stray} was written but nothing accounts for it"));
    }
    read_back(staged, evidence, stop)
}

/// Reads every file back, several at once: a format without a footer is read from end to end.
fn read_back(
    staged: &dyn Folder,
    evidence: &Evidence<'_>,
    stop: &CancellationToken,
) -> Held<()> {
    let spec = &evidence.plan.spec;
    let format = format::of(&spec.format, WriteBudget::UNBOUNDED);
    let schema = arrow_schema(&spec.read.columns);
    let next = AtomicUsize::new(0);
    let work = || -> Held<()> {
        while let Some(receipt) = evidence.receipts.get(next.fetch_add(1, Ordering::Relaxed)) {
            let name = &receipt.name;
            let found = staged
                .open(name)
                .map_err(|error| error.to_string())
                .and_then(|blob| {
                    let stop = stop.clone();
                    format.inspect(&Stoppable { blob, stop }, &schema)
                })
                .map_err(|why| format!("{name} cannot be read back as it was written: {why}"))?;
            for (what, found, said) in [
                ("bytes", found.bytes, receipt.bytes),
                ("rows", found.rows, receipt.rows),
            ] {
                if found != said {
                    return Err(format!("{name} has {found} {what} and {said} were written"));
                }
            }
        }
        Ok(())
    };
    let helpers = staged.side_by_side() - 1;
    thread::scope(|scope| {
        let helpers: Vec<_> = (0..helpers.min(evidence.receipts.len()))
            // Where the system gives no thread, this one does all of it.
            .filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let own = work();
        helpers
            .into_iter()
            .map(|helper| helper.join().unwrap_or_else(|panic| resume_unwind(panic)))
            .fold(own, Held::and)
    })
}

/// (d) The server's own count in the same snapshot.
fn count_agrees(counted: Option<u64>, rows: u64) -> Held<()> {
    match counted {
        Some(counted) if counted == rows => Ok(()),
        Some(counted) => Err(format!(
            "the server counts {counted} rows and {rows} were written"
        )),
        None => Err("the plan asks for the server's count and there is none".to_owned()),
    }
}
