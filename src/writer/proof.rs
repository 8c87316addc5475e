//! The proof of completeness: what must hold before anything is published, each part of it checked
//! against what it does not itself rest on.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::folder::Folder;
use super::manifest::{KeyProof, ProofRecord};
use super::publish::{Evidence, WriteBudget};
use super::staging::Staging;
use super::stopping::Stoppable;
use super::{PartReceipt, Result, WriteError, format, names};
use crate::model::{BesideKept, ChunkStatus, KeySum, ProofLevel, arrow_schema};

type Held<T> = std::result::Result<T, String>;

/// Proves that the staged files are the whole table as the snapshot shows it.
///
/// (a) the plan's chunks tile the table exactly; (b) each of them was read to the end of its stream,
/// and no other; (c) the files, read back by their footers or, where the format has none, from end
/// to end, hold the rows, columns and bytes that were written, and there is no other file; (d) the
/// server's own count agrees, unless the plan asks for no count; (e) with a full proof the server's
/// rows and sum of keys, chunk by chunk, are those of the files, read back from end to end.
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
    let folder = Stoppable {
        folder: staging.folder(),
        stop: stop.clone(),
    };
    let present = folder.names("")?.into_iter().collect();
    let read = files_agree(&folder, &present, evidence).and_then(|()| {
        let full = evidence.plan.spec.proof == ProofLevel::Full;
        full.then(|| keys_agree(&folder, evidence)).transpose()
    });
    match read {
        // Whatever was found by then is of no interest any more.
        _ if stop.is_cancelled() => Err(WriteError::Stopped),
        Ok(keys) => Ok(ProofRecord { keys, ..record }),
        Err(why) => Err(broken(why)),
    }
}

/// (e) What the server summed of each chunk is what its files hold.
fn keys_agree(staged: &dyn Folder, evidence: &Evidence<'_>) -> Held<KeyProof> {
    let spec = &evidence.plan.spec;
    let begun = evidence.sums.clock.monotonic();
    let format = format::of(&spec.format, WriteBudget::UNBOUNDED);
    let schema = arrow_schema(&spec.read.columns);
    let found: Mutex<BTreeMap<u32, KeySum>> = Mutex::default();
    each_file(staged, evidence, &|name, receipt| {
        let sum = staged
            .open(name)
            .map_err(|error| error.to_string())
            .and_then(|file| format.key_sum(file, &schema, &spec.proof_key))
            .map_err(|why| format!("the keys of {name} cannot be read back: {why}"))?;
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        found.entry(receipt.chunk).or_default().merge(sum);
        Ok(())
    })?;
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    for chunk in &spec.chunks {
        let number = chunk.number;
        let Some((server, _)) = evidence.sums.of_chunks.get(&number) else {
            return Err(format!("the server did not sum the keys of chunk {number}"));
        };
        let files = found.get(&number).copied().unwrap_or_default();
        if server.rows != files.rows {
            return Err(format!(
                "the server counts {} rows in chunk {number} and {} are read back",
                server.rows, files.rows
            ));
        }
        if server.sum != files.sum {
            return Err(format!(
                "the keys of chunk {number} that are read back are not those that the server has: \
                 their sums are {:x} and {:x}",
                files.sum, server.sum
            ));
        }
    }
    Ok(KeyProof {
        columns: spec.proof_key.clone(),
        server_ms: millis(
            evidence
                .sums
                .of_chunks
                .values()
                .map(|(_, took)| *took)
                .sum(),
        ),
        read_back_ms: millis(evidence.sums.clock.monotonic().saturating_sub(begun)),
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
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
    if level.counts() {
        count_agrees(counted, rows)?;
    }
    Ok(ProofRecord {
        level,
        counted,
        beside_kept,
        rows,
        chunks: u32::try_from(by_chunk.len()).map_err(|e| e.to_string())?,
        keys: None,
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
    read_back(staged, evidence)
}

/// Reads every file back as far as its format tells what it holds.
fn read_back(staged: &dyn Folder, evidence: &Evidence<'_>) -> Held<()> {
    let spec = &evidence.plan.spec;
    let format = format::of(&spec.format, WriteBudget::UNBOUNDED);
    let schema = arrow_schema(&spec.read.columns);
    each_file(staged, evidence, &|name, receipt| {
        let found = staged
            .open(name)
            .map_err(|error| error.to_string())
            .and_then(|file| format.inspect(file.as_ref(), &schema))
            .map_err(|why| format!("{name} cannot be read back as it was written: {why}"))?;
        for (what, found, said) in [
            ("bytes", found.bytes, receipt.bytes),
            ("rows", found.rows, receipt.rows),
        ] {
            if found != said {
                return Err(format!("{name} has {found} {what} and {said} were written"));
            }
        }
        Ok(())
    })
}

/// Does something with every file, several at once: many are read from end to end.
fn each_file(
    staged: &dyn Folder,
    evidence: &Evidence<'_>,
    look: &(dyn Fn(&str, &PartReceipt) -> Held<()> + Sync),
) -> Held<()> {
    let next = AtomicUsize::new(0);
    let work = || -> Held<()> {
        while let Some(receipt) = evidence.receipts.get(next.fetch_add(1, Ordering::Relaxed)) {
            look(&receipt.name, receipt)?;
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
