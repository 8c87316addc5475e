//! What was measured since the source last changed: a few runs of every count.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Runs that are kept of each count.
const KEPT: usize = 12;

/// The place among all runs of what a benchmark found.
const NO_RUN: u32 = 0;

/// A teaching run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Planned workers.
    pub workers: u32,
    /// Rows per second.
    pub throughput: f64,
    /// Its start.
    pub at: Timestamp,
}

/// Runs by their number of workers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Runs taken in, ever.
    runs: u32,
    /// Start of the newest of them.
    newest: Option<Timestamp>,
    /// Number of workers of the newest of them.
    last: u32,
    /// The newest runs of each count, oldest first.
    counts: BTreeMap<u32, Vec<Seen>>,
}

/// One run's measurement.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Which of all runs it was, from 1; [`NO_RUN`] where it was none.
    pub(super) run: u32,
    /// Rows per second, above 0.
    pub(super) throughput: f64,
}

impl Memory {
    /// Nothing but what a benchmark says of some counts, in rows per second. It counts for as little
    /// as the oldest of runs, and only until there is a run of the count.
    pub(super) fn of_benchmark(counts: impl IntoIterator<Item = (u32, f64)>) -> Self {
        let run = NO_RUN;
        let counts = counts.into_iter();
        Self {
            counts: counts
                .map(|(workers, throughput)| (workers, vec![Seen { run, throughput }]))
                .collect(),
            ..Self::default()
        }
    }

    /// Takes in runs that are newer than all before, given newest first. Returns the workers of the
    /// newest run known, `None` when none is.
    pub(super) fn take_in(&mut self, history: &[Sample]) -> Option<u32> {
        let known = self.newest;
        for sample in history.iter().rev() {
            let usable = sample.throughput.is_finite() && sample.throughput > 0.0;
            if !usable || sample.workers == 0 || known.is_some_and(|known| sample.at <= known) {
                continue;
            }
            self.runs = self.runs.saturating_add(1);
            self.newest = self.newest.max(Some(sample.at));
            self.last = sample.workers;
            let seen = self.counts.entry(sample.workers).or_default();
            seen.retain(|seen| seen.run != NO_RUN);
            seen.push(Seen {
                run: self.runs,
                throughput: sample.throughput,
            });
            seen.drain(..seen.len().saturating_sub(KEPT));
        }
        (!self.counts.is_empty()).then_some(self.last)
    }

    /// Start of the newest run taken in.
    pub(super) fn newest(&self) -> Option<Timestamp> {
        self.newest
    }

    /// Runs taken in, ever.
    pub(super) fn runs(&self) -> u32 {
        self.runs
    }

    /// Throughputs of one count, oldest first.
    pub(super) fn at(&self, workers: u32) -> Vec<f64> {
        let seen = self.counts.get(&workers).into_iter().flatten();
        let seen = seen.filter(|seen| seen.run != NO_RUN);
        seen.map(|seen| seen.throughput).collect()
    }

    /// Every count with its runs.
    pub(super) fn counts(&self) -> impl Iterator<Item = (u32, &[Seen])> {
        self.counts
            .iter()
            .map(|(workers, seen)| (*workers, seen.as_slice()))
    }

    /// How many runs lie between `seen` and the newest.
    pub(super) fn age(&self, seen: &Seen) -> u32 {
        match seen.run {
            NO_RUN => u32::MAX,
            run => self.runs.saturating_sub(run),
        }
    }

    /// Runs and counts that are remembered.
    pub(super) fn size(&self) -> (u32, u32) {
        let of_count = |seen: &Vec<Seen>| seen.iter().filter(|seen| seen.run != NO_RUN).count();
        let counts = self.counts.values().map(of_count);
        let (runs, counts) = counts
            .filter(|runs| *runs > 0)
            .fold((0, 0), |(runs, counts), of_count| {
                (runs + of_count, counts + 1)
            });
        (runs as u32, counts)
    }

    /// Forgets everything but the newest `runs` runs of one count, and what came after those.
    pub(super) fn forget_all_but_newest(&mut self, workers: u32, runs: usize) {
        let first = self
            .counts
            .get(&workers)
            .and_then(|seen| seen.get(seen.len().saturating_sub(runs)))
            .map_or(self.runs, |seen| seen.run);
        for seen in self.counts.values_mut() {
            seen.retain(|seen| seen.run >= first);
        }
        self.counts.retain(|_, seen| !seen.is_empty());
    }
}
