//! How many workers the next run should have, from what earlier runs reached.
//!
//! Three voices, heard in this order:
//!
//! 1. `trend` looks at the last runs of the count in use. A fall means that the source has less to
//!    give, so workers go down and never up; a fall or a rise by far means that the source is another
//!    one now, and everything measured before is forgotten. Until three runs have shown it, the count
//!    in use is kept.
//! 2. `curve` weighs every measured count together: which of them is best, and what the counts
//!    between and beyond them may reach. A measured count that is better beyond noise is adopted; on
//!    a tie the smaller one is.
//! 3. A count that was not measured, or not often enough, is tried for one run where what it may gain
//!    over the next `HORIZON` runs is more than what the trial may lose. When no trial pays, the
//!    search has converged; from then on a neighbour is tried once in a long while, because sources
//!    change without a sound.
//!
//! Pure: equal inputs give equal decisions. A decision's next state is for the store to keep when,
//! and only when, the run that was decided teaches; until then the same question has the same answer.

pub mod benchmarked;
mod curve;
mod memory;
mod trend;

use serde::{Deserialize, Serialize};

use crate::model::Learned;
use curve::Belief;
pub use memory::{Memory, Sample};
use trend::Trend;

/// Runs over which a trial has to pay for itself.
const HORIZON: f64 = 7.0;

/// Measured counts within this share of the best are as good as it, and the smallest is taken.
const TIE: f64 = 0.015;

/// A measured count must be better by this share to be adopted.
const BEYOND_NOISE: f64 = 0.02;

/// Twice as many workers are not tried for an expected gain below this share, and half as many are worth
/// half of it.
const MODESTY: f64 = 0.005;

/// What the trials of a search that had converged before may cost beyond what they are expected to
/// bring, as a share of one run, and how much of that each run gives back: a settled source is not kept
/// busy by a search that noise has woken.
const SPENDING: (f64, f64) = (0.12, 0.02);

/// Runs after a degradation before more workers than before it are tried.
const CALM: u32 = 5;

/// Quiet runs before a converged search first tries a neighbour again, and the most it waits.
const QUIET: (u32, u32) = (8, 30);

/// A run more or less at a neighbour counts as this share in the choice of the next one to look at.
const SEEN_BEFORE: f64 = 0.02;

/// What the controller carries from run to run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// What was measured since the source last changed.
    pub memory: Memory,
    /// The count in use, apart from trials; 0 before the first run.
    pub best: u32,
    /// Whether no trial pays any more.
    pub converged: bool,
    /// Whether some search has converged since the source last changed.
    pub settled: bool,
    /// What trials since then have cost beyond what they were expected to bring, as a share of a run.
    pub spent: f64,
    /// Runs without a trial since the search converged.
    pub quiet: u32,
    /// Quiet runs before the next look at a neighbour.
    pub patience: u32,
    /// After the source became slower: nothing above this many workers…
    pub ceiling: u32,
    /// …for so many more runs.
    pub ceiling_runs: u32,
}

/// Within what a decision must stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Fewest workers, from 1.
    pub min: u32,
    /// Most workers; `min` wins where it is larger.
    pub max: u32,
    /// Whether counts may be tried at all (`--no-explore` forbids it).
    pub explore: bool,
    /// Whether the source is at ease, so that more workers than now may be tried.
    pub upward: bool,
}

impl Room {
    fn hold(self, workers: u32) -> u32 {
        workers.min(self.max).max(self.min)
    }
}

/// How many workers the next run has, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Workers, within the room.
    pub workers: u32,
    /// Which step of the search this is, and why.
    pub why: Learned,
    /// What to keep when a run with this many workers teaches.
    pub next: State,
}

/// Decides from teaching runs, newest first, and the state that the last of them left. Runs that the
/// state has taken in already are passed over, so the history may reach back further than needed.
/// `None` while nothing is known.
pub fn decide(history: &[Sample], state: &State, room: Room) -> Option<Decision> {
    let mut next = state.clone();
    let before = next.memory.runs();
    let newest = next.memory.take_in(history)?;
    let runs = next.memory.runs() - before;
    next.ceiling_runs = next.ceiling_runs.saturating_sub(runs);
    if next.best == 0 {
        next.best = newest;
    }
    if next.patience == 0 {
        next.patience = QUIET.0;
    }
    let trend = trend::of(&next.memory.at(next.best));
    Some(match trend {
        Trend::Steady => search(next, room),
        Trend::Declining { permille } => {
            let (from, to) = step_down(&mut next, room, 1);
            let why = Learned::Declined { from, to, permille };
            decision(to, why, next)
        }
        Trend::Dropping { permille } => {
            let (from, to) = step_down(&mut next, room, 2);
            let why = Learned::Dropped { from, to, permille };
            decision(to, why, next)
        }
        Trend::Changed { permille } => restart(next, room, permille),
        Trend::Doubtful => hold(next, room),
    })
}

/// Answers degradation: fewer workers at once, and what was measured before counts no more. Returns
/// the workers before and after.
fn step_down(next: &mut State, room: Room, by: u32) -> (u32, u32) {
    let from = next.best;
    next.best = room.hold(from.saturating_sub(by));
    next.memory.forget_all_but_newest(from, 1);
    next.search_anew();
    next.calm(from);
    (from, next.best)
}

/// The level has changed by far: the count in use stays for this run and the search begins anew.
fn restart(mut next: State, room: Room, permille: i32) -> Decision {
    next.memory
        .forget_all_but_newest(next.best, trend::CHANGE_RUNS);
    next.search_anew();
    let workers = room.hold(next.best);
    if permille < 0 {
        next.calm(workers);
    }
    decision(workers, Learned::Restarted { workers, permille }, next)
}

/// The count in use once more. Trials while the source may just be changing would compare counts at
/// two levels, and the old level's would look worse for good.
fn hold(mut next: State, room: Room) -> Decision {
    let workers = room.hold(next.best);
    next.best = workers;
    let (runs, counts) = next.memory.size();
    let why = Learned::Held {
        workers,
        runs,
        counts,
    };
    decision(workers, why, next)
}

impl State {
    /// Of another source nothing is known, and finding out may cost what it has to.
    fn search_anew(&mut self) {
        self.restart();
        self.settled = false;
        self.spent = 0.0;
    }

    fn restart(&mut self) {
        self.converged = false;
        self.quiet = 0;
        self.patience = QUIET.0;
    }

    /// Whether a trial with this shortfall is within [`SPENDING`]; what costs nothing always is.
    fn can_spend(&self, shortfall: f64) -> bool {
        shortfall == 0.0 || self.spent + shortfall <= SPENDING.0
    }

    /// Degradation is not answered with more workers, nor soon followed by them.
    fn calm(&mut self, ceiling: u32) {
        self.ceiling = ceiling;
        self.ceiling_runs = CALM;
    }
}

/// The best of the measured counts, or one whose trial pays.
fn search(mut next: State, mut room: Room) -> Decision {
    let belief = Belief::new(&next.memory, room.max);
    let from = next.best;
    if !room.upward {
        room.max = room.max.min(from);
    }
    if next.ceiling_runs > 0 {
        room.max = room.max.min(next.ceiling);
    }
    room.max = room.max.max(room.min);
    next.best = best_measured(&belief, from, room);
    let best = next.best;
    next.spent = (next.spent - SPENDING.1).max(0.0);
    let trial = best_trial(&belief, best, room)
        .filter(|trial| room.explore && (!next.settled || next.can_spend(trial.shortfall)));
    if let Some(Trial {
        workers,
        gain,
        shortfall,
    }) = trial
    {
        next.spent += shortfall;
        next.restart();
        let why = Learned::Tried {
            workers,
            best,
            permille: permille(gain),
        };
        return decision(workers, why, next);
    }
    (next.converged, next.settled) = (true, true);
    next.quiet = next.quiet.saturating_add(1);
    if room.explore && next.quiet > next.patience {
        let quiet = next.quiet - 1;
        next.quiet = 0;
        next.patience = (next.patience * 3 / 2).min(QUIET.1);
        if let Some(workers) = neighbour(&belief, best, room) {
            let why = Learned::Probed {
                workers,
                best,
                quiet,
            };
            return decision(workers, why, next);
        }
    }
    if best == from {
        return hold(next, room);
    }
    let why = Learned::Adopted {
        workers: best,
        from,
        permille: permille(belief.expected(best) / belief.expected(from) - 1.0),
    };
    decision(best, why, next)
}

fn decision(workers: u32, why: Learned, next: State) -> Decision {
    Decision { workers, why, next }
}

/// The count to use: the one in use, unless a measured one is better beyond noise or as good with
/// fewer workers.
fn best_measured(belief: &Belief, current: u32, room: Room) -> u32 {
    let current = room.hold(current);
    let expected = |workers: u32| belief.expected(workers);
    let top = belief
        .measured()
        .filter(|workers| (room.min..=room.max).contains(workers))
        .max_by(|a, b| expected(*a).total_cmp(&expected(*b)).then(b.cmp(a)))
        .filter(|top| expected(*top) > expected(current) * (1.0 + BEYOND_NOISE))
        .unwrap_or(current);
    belief
        .measured()
        .filter(|workers| (room.min..top).contains(workers))
        .find(|workers| expected(*workers) >= expected(top) * (1.0 - TIE))
        .unwrap_or(top)
}

/// A count that is worth a run.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Trial {
    workers: u32,
    /// What it may gain, weighed by how likely that is, as a share of what the best count reaches.
    gain: f64,
    /// How much slower it is expected to be, all in all, in the same measure; at least 0.
    shortfall: f64,
}

/// The trial that pays best, if one does; at most twice and at least half of the count in use.
fn best_trial(belief: &Belief, best: u32, room: Room) -> Option<Trial> {
    let most = best.saturating_mul(2).min(room.max);
    let mut found = None;
    let mut most_worth = 0.0;
    for workers in best.div_ceil(2).max(room.min)..=most {
        let stake = belief.stake(workers, best);
        let more = f64::from(workers) / f64::from(best) - 1.0;
        // Another run at a count that was measured tells less than the first did.
        let gain = stake.gain * stake.told - MODESTY * more;
        let worth = HORIZON * gain - stake.loss;
        if workers != best && worth > most_worth {
            most_worth = worth;
            found = Some(Trial {
                workers,
                gain: stake.gain,
                shortfall: (stake.loss - stake.gain).max(0.0),
            });
        }
    }
    found
}

/// The neighbour of a converged search that is most worth another look.
fn neighbour(belief: &Belief, best: u32, room: Room) -> Option<u32> {
    let stride = (best / 8).max(1);
    let worth = |workers: u32| {
        let stake = belief.stake(workers, best);
        stake.gain - 0.2 * stake.loss - SEEN_BEFORE * belief.weight(workers)
    };
    [best.saturating_sub(stride), best.saturating_add(stride)]
        .into_iter()
        .filter(|workers| (room.min..=room.max).contains(workers))
        .max_by(|a, b| worth(*a).total_cmp(&worth(*b)).then(b.cmp(a)))
}

/// A share in thousandths.
fn permille(share: f64) -> i32 {
    (share * 1000.0).round() as i32
}

#[cfg(test)]
mod tests;
