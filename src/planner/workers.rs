//! How many workers: who proposes, and what caps it.

use super::Inputs;
use crate::model::{Consistency, Reason};

/// A table of fewer rows is not worth a second worker.
const ROWS_FOR_TWO: u64 = 100_000;

/// Estimated rows that are worth one worker, beyond that.
const ROWS_PER_WORKER: u64 = 500_000;

/// The most workers that a profile alone recommends.
const MOST_PROFILED: u64 = 8;

/// A number of workers and how it came about.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Staff {
    pub(super) workers: u32,
    pub(super) reasons: Vec<Reason>,
}

impl Staff {
    /// Lowers the workers to `most`, at least one, and says what lowered them.
    pub(super) fn cap(&mut self, most: u32, cap: &str) {
        let to = self.workers.min(most.max(1));
        if to < self.workers {
            self.reasons.push(Reason::WorkersCapped {
                from: self.workers,
                to,
                cap: cap.to_owned(),
            });
            self.workers = to;
        }
    }
}

/// The workers before it is known how many chunks there are. `cuttable`: there is something to cut
/// the table on.
///
/// `--workers` is the user's word: nothing but the possible limits it. Everything else is kept
/// below what the server, this machine and the user's own limit allow.
pub(super) fn staff(inputs: &Inputs<'_>, cuttable: bool) -> Staff {
    let work = &inputs.request.work;
    let (workers, reason) = if let Some(workers) = work.workers {
        let workers = workers.max(1);
        (workers, Reason::WorkersForced { workers })
    } else if let Some(workers) = work.start_workers {
        let workers = workers.max(1);
        (workers, Reason::WorkersStart { workers })
    } else {
        let workers = profiled(inputs, cuttable);
        (workers, Reason::WorkersProfiled { workers })
    };
    let mut staff = Staff {
        workers,
        reasons: vec![reason],
    };
    if work.workers.is_none() {
        if staff.workers < work.min_workers {
            staff.reasons.push(Reason::WorkersRaised {
                from: staff.workers,
                to: work.min_workers,
            });
            staff.workers = work.min_workers;
        }
        staff.cap(safe_workers(inputs), "safe connections");
        staff.cap(inputs.limits.cpus, "CPUs");
        staff.cap(work.max_workers, "--max-workers");
    }
    match work.consistency {
        Consistency::Snapshot | Consistency::Auto => {
            staff.cap(inputs.profile.max_readers, "readers of one snapshot");
        }
        Consistency::PerChunk => {}
    }
    staff
}

/// The profiler's recommendation; the server's headroom is a cap of its own.
fn profiled(inputs: &Inputs<'_>, cuttable: bool) -> u32 {
    let rows = inputs.profile.statistics.estimate.rows;
    if rows < ROWS_FOR_TWO || !cuttable {
        return 1;
    }
    (rows / ROWS_PER_WORKER).clamp(1, MOST_PROFILED) as u32
}

/// Half of the server's free connections, less those that a run needs beside its workers.
fn safe_workers(inputs: &Inputs<'_>) -> u32 {
    let safe = inputs.profile.connections.safe();
    safe.saturating_sub(inputs.source.kind.other_sessions())
}
