//! How many workers: who proposes, and what caps it.

use super::resolution::{self, Footprint, Staffing};
use super::strategy::{self, Cut};
use super::{Inputs, chunking};
use crate::controller::between_runs::{Room, State};
use crate::model::{Consistency, Hinted, Reason, RuntimeContext, SourceLoad, WorkerResolution};

/// A table of fewer rows is not worth a second worker.
const ROWS_FOR_TWO: u64 = 100_000;

/// Estimated rows that are worth one worker, beyond that.
const ROWS_PER_WORKER: u64 = 500_000;

/// The most workers that a profile alone recommends.
const MOST_PROFILED: u64 = 8;

/// A number of workers and how it came about.
#[derive(Debug, PartialEq)]
pub(super) struct Staff {
    pub(super) workers: u32,
    pub(super) reasons: Vec<Reason>,
    /// What the controller will know after a clean run, where it decided.
    pub(super) next: Option<State>,
    /// What the user's hints made of them.
    pub(super) resolution: Option<WorkerResolution>,
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

    /// Lowers the workers to what the user's hints leave of them, and says stage by stage how.
    fn heed(&mut self, hints: &RuntimeContext, footprint: Footprint, most: u32) {
        let staffing = Staffing {
            base: self.workers,
            most,
        };
        let found = resolution::resolve(staffing, hints, footprint);
        let flag = |key: &str| RuntimeContext::flag(key).unwrap_or_default().to_owned();
        if let Some(cap) = found.caps.iter().find(|cap| cap.bound) {
            self.cap(cap.workers, &flag(&cap.hint));
        }
        if found.after_multiplier < found.after_caps {
            let factors = found.factors.iter();
            self.reasons.push(Reason::WorkersHinted(Hinted::Scaled {
                from: found.after_caps,
                to: found.after_multiplier,
                permille: found.multiplier_permille,
                because: factors
                    .map(|factor| match factor.value.as_str() {
                        "true" => flag(&factor.hint),
                        value => format!("{} {value}", flag(&factor.hint)),
                    })
                    .collect(),
            }));
        }
        if let Some(priority) = hints.priority
            && found.after_priority != found.after_multiplier
        {
            self.reasons
                .push(Reason::WorkersHinted(Hinted::Prioritised {
                    from: found.after_multiplier,
                    to: found.after_priority,
                    priority,
                }));
        }
        // A plan that the verdict refuses is one that --force may run.
        self.workers = found.workers.max(1);
        self.resolution = Some(found);
    }
}

/// The workers before it is known how many chunks there are. `cuts`: what the table can be cut on.
///
/// `--workers` is the user's word: nothing but the possible limits it. Everything else is kept
/// below what the server and the user's own limit allow. The number of processors limits a mere
/// recommendation: what was measured needs no rule of thumb, and where the network is the limit
/// more workers than processors are the better choice. The user's hints come last and lower any of
/// them, `--workers` too: they say what the circumstances leave.
pub(super) fn staff(inputs: &Inputs<'_>, cuts: &[Cut<'_>]) -> Staff {
    let work = &inputs.request.work;
    let mut staff = proposal(inputs, cuts);
    if work.workers.is_none() {
        if staff.workers < work.min_workers {
            staff.reasons.push(Reason::WorkersRaised {
                from: staff.workers,
                to: work.min_workers,
            });
            staff.workers = work.min_workers;
        }
        staff.cap(safe_workers(inputs), "safe connections");
        if matches!(staff.reasons[..], [Reason::WorkersProfiled { .. }, ..]) {
            staff.cap(inputs.limits.cpus, "CPUs");
        }
        staff.cap(work.max_workers, "--max-workers");
    }
    if let Some(readers) = readers(inputs) {
        staff.cap(readers, "readers of one snapshot");
    }
    if let Some(hints) = &inputs.request.hints {
        let row_bytes = inputs.profile.avg_row_bytes();
        let others = inputs.source.kind.other_sessions();
        let most = safe_workers(inputs).min(work.max_workers);
        staff.heed(hints, Footprint::of_rows(row_bytes, others), most);
    }
    staff
}

/// Whose word counts: the user's, then a benchmark's, then the controller's, then the start's.
fn proposal(inputs: &Inputs<'_>, cuts: &[Cut<'_>]) -> Staff {
    let work = &inputs.request.work;
    let (workers, reason, next) = if let Some(workers) = work.workers {
        let workers = workers.max(1);
        (workers, Reason::WorkersForced { workers }, None)
    } else if let Some(Ok(advice)) = inputs.benchmark {
        (advice.workers, Reason::WorkersBenchmarked(advice), None)
    } else if let Some(decision) = (inputs.learned)(room(inputs, cuts)) {
        let reason = Reason::WorkersLearned(decision.why);
        (decision.workers, reason, Some(decision.next))
    } else if let Some(workers) = work.start_workers {
        let workers = workers.max(1);
        (workers, Reason::WorkersStart { workers }, None)
    } else {
        let workers = profiled(inputs, !cuts.is_empty());
        (workers, Reason::WorkersProfiled { workers }, None)
    };
    let mut reasons = vec![reason];
    if let Some(Err(unfit)) = inputs.benchmark
        && work.workers.is_none()
    {
        reasons.push(Reason::BenchmarkPassed(unfit));
    }
    Staff {
        workers,
        reasons,
        next,
        resolution: None,
    }
}

/// Within what the controller may look for workers: what can be had, and a quarter of the server's
/// free connections.
fn room(inputs: &Inputs<'_>, cuts: &[Cut<'_>]) -> Room {
    let work = &inputs.request.work;
    let connections = inputs.profile.connections;
    let max = [
        connections.available() / 4,
        most_sessions(inputs),
        pieces_at_most(inputs, cuts),
    ]
    .into_iter()
    .fold(u32::MAX, u32::min)
    .max(1);
    Room {
        min: work.min_workers.clamp(1, max),
        max,
        // A run under hints teaches nothing, so it tries nothing.
        explore: work.explore && inputs.request.hints.is_none(),
        upward: connections.level() <= SourceLoad::Normal,
    }
}

/// How many pieces the table can be cut into for as many workers as are allowed.
fn pieces_at_most(inputs: &Inputs<'_>, cuts: &[Cut<'_>]) -> u32 {
    let work = &inputs.request.work;
    let rows = inputs.profile.statistics.estimate.rows;
    let count = chunking::count(rows, work.max_workers, work.chunk_rows);
    let pieces = strategy::cut(cuts, rows, count).pieces.len();
    u32::try_from(pieces).unwrap_or(u32::MAX)
}

/// The most readers, where they have to share one point in time.
fn readers(inputs: &Inputs<'_>) -> Option<u32> {
    match inputs.request.work.consistency {
        Consistency::Snapshot | Consistency::Auto => Some(inputs.profile.max_readers),
        Consistency::PerChunk => None,
    }
}

/// The profiler's recommendation; the server's headroom is a cap of its own.
fn profiled(inputs: &Inputs<'_>, cuttable: bool) -> u32 {
    let rows = inputs.profile.statistics.estimate.rows;
    if rows < ROWS_FOR_TWO || !cuttable {
        return 1;
    }
    (rows / ROWS_PER_WORKER).clamp(1, MOST_PROFILED) as u32
}

/// The most sessions that may read at once, whatever the table.
pub(super) fn most_sessions(inputs: &Inputs<'_>) -> u32 {
    let most = safe_workers(inputs).min(inputs.request.work.max_workers);
    most.min(readers(inputs).unwrap_or(u32::MAX)).max(1)
}

/// Half of the server's free connections, less those that a run needs beside its workers.
fn safe_workers(inputs: &Inputs<'_>) -> u32 {
    let safe = inputs.profile.connections.safe();
    safe.saturating_sub(inputs.source.kind.other_sessions())
}
