//! A source as the controller meets it: a number of workers goes in, a throughput comes out (facts
//! sheet, section 14).

use ixtract::controller::between_runs::{Room, Sample, State, decide};
use jiff::Timestamp;

use crate::course::Run;

/// Rows per second at the peak of every curve.
const PEAK: f64 = 50_000.0;

/// How throughput depends on the number of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    /// Each worker brings as much as the first; past the best each costs 8 %.
    Linear,
    /// Each worker brings less than the one before; past the best each costs 10 %.
    Logarithmic,
    /// One worker reaches much already; past the best each costs 15 %.
    Plateau,
    /// Close to its limit long before the best, and past it slightly slower with each worker.
    Saturating,
    /// Linear, and a fifth is lost at once past the best.
    Step,
    /// One worker more than the best halves everything.
    Cliff,
    /// Nearly flat from half the best to the best, then down.
    Shelf,
    /// Linear, and every other count does 8 % worse than its neighbours.
    Saw,
    /// Amdahl's law: the most workers are always the best, for ever less.
    Amdahl,
    /// Gunther's universal scalability law: contention, and then coherency.
    Universal,
}

impl Curve {
    /// The facts sheet's.
    pub(crate) const ALL: [Self; 3] = [Self::Linear, Self::Logarithmic, Self::Plateau];

    pub(crate) const EVERY: [Self; 10] = [
        Self::Linear,
        Self::Logarithmic,
        Self::Plateau,
        Self::Saturating,
        Self::Step,
        Self::Cliff,
        Self::Shelf,
        Self::Saw,
        Self::Amdahl,
        Self::Universal,
    ];

    /// The share of the peak that so many workers reach where `best` reach all of it; the peak of
    /// [`Curve::Amdahl`] is at the room's most.
    pub(crate) fn share(self, workers: u32, best: u32) -> f64 {
        let (w, o) = (f64::from(workers), f64::from(best));
        let past = (w - o).max(0.0);
        let linear = (w / o).min(1.0);
        let less = |each: f64| (1.0 - each * past).max(0.2);
        match self {
            Self::Linear => linear * less(0.08),
            Self::Logarithmic => (1.0 + w.min(o)).ln() / (1.0 + o).ln() * less(0.10),
            Self::Plateau => (0.3 + 0.7 * linear) * less(0.15),
            Self::Saturating => {
                let of = |w: f64| 1.0 - (-3.0 * w / o).exp();
                of(w.min(o)) / of(o) * less(0.03)
            }
            Self::Step if workers > best => 0.8 * less(0.05),
            Self::Step => linear,
            Self::Cliff if workers > best => 0.45,
            Self::Cliff => linear,
            Self::Shelf => (2.0 * linear).min(0.96 + 0.04 * linear) * less(0.07),
            Self::Saw => {
                let tooth = if workers.abs_diff(best) % 2 == 1 {
                    0.92
                } else {
                    1.0
                };
                linear * tooth * less(0.06)
            }
            Self::Amdahl => {
                let serial = 0.5 / o;
                let of = |w: f64| 1.0 / (serial + (1.0 - serial) / w);
                of(w) / of(f64::from(ROOM.max))
            }
            Self::Universal => {
                let of = |w: f64| w / (1.0 + 0.05 * (w - 1.0) + 0.95 / (o * o) * w * (w - 1.0));
                of(w) / of(o)
            }
        }
    }
}

/// Small, seeded, the same everywhere (`splitmix64`).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// From 0 up to 1.
    pub(crate) fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }

    /// From 0 up to, but not, `count`.
    pub(crate) fn below(&mut self, count: u32) -> u32 {
        (self.share() * f64::from(count)) as u32
    }
}

/// What happens at a source, run by run.
#[derive(Clone)]
pub(crate) struct Plant {
    pub(crate) curve: Curve,
    /// The best number of workers in a run, counted from 0.
    pub(crate) best: fn(first: u32, run: u32) -> u32,
    /// The best number of workers in the first run.
    pub(crate) first_best: u32,
    /// What the whole curve is multiplied with in a run.
    pub(crate) level: fn(run: u32) -> f64,
    /// Every throughput is off by up to this share, evenly.
    pub(crate) noise: f64,
    /// This share of the runs is slowed down by something else, to a third at the worst.
    pub(crate) disturbed: f64,
    pub(crate) seed: u64,
}

impl Plant {
    /// A source that stays as it is, with 10 % noise.
    pub(crate) fn steady(curve: Curve, best: u32) -> Self {
        Self {
            curve,
            best: |first, _| first,
            first_best: best,
            level: |_| 1.0,
            noise: 0.10,
            disturbed: 0.0,
            seed: 42,
        }
    }

    /// Lets the real controller steer `runs` runs, the first with `start` workers.
    pub(crate) fn course(&self, start: u32, runs: u32, room: Room) -> Vec<Run> {
        let mut meter = self.meter(start);
        let mut state = State::default();
        let mut history: Vec<Sample> = Vec::new();
        let mut course = Vec::new();
        for run in 0..runs {
            let decision = decide(&history, &state, room);
            let workers = decision.as_ref().map_or(start, |decision| decision.workers);
            if let Some(decision) = &decision {
                state = decision.next.clone();
            }
            // The store hands out the newest first; the state knows the rest.
            history.insert(0, meter.measure(run, workers));
            history.truncate(5);
            course.push(Run {
                workers,
                share: self.share(run, workers),
                decision,
            });
        }
        course
    }

    /// The share of the oracle's throughput that so many workers reach in a run, without noise.
    pub(crate) fn share(&self, run: u32, workers: u32) -> f64 {
        self.curve.share(workers, (self.best)(self.first_best, run))
    }

    /// What is measured at this source, noise included.
    pub(crate) fn meter(&self, start: u32) -> Meter<'_> {
        let case = u64::from(self.first_best) * 7_919 + u64::from(start);
        let curve = self.curve as u64 * 791_900;
        Meter {
            plant: self,
            random: Random::new(self.seed * 1_000_003 + case + curve),
        }
    }
}

/// Measures runs one after the other; the same runs in the same order measure the same.
pub(crate) struct Meter<'a> {
    plant: &'a Plant,
    random: Random,
}

impl Meter<'_> {
    pub(crate) fn measure(&mut self, run: u32, workers: u32) -> Sample {
        let plant = self.plant;
        let jitter = 1.0 + plant.noise * (2.0 * self.random.share() - 1.0);
        let level = (plant.level)(run) * jitter / self.slowed();
        Sample {
            workers,
            throughput: PEAK * level * plant.share(run, workers),
            at: Timestamp::from_second(i64::from(run)).unwrap(),
        }
    }

    /// How many times as long a run takes because of something else. Draws nothing where there is
    /// nothing else.
    fn slowed(&mut self) -> f64 {
        let disturbed = self.plant.disturbed;
        if disturbed > 0.0 && self.random.share() < disturbed {
            1.0 + 2.0 * self.random.share().powi(2)
        } else {
            1.0
        }
    }
}

/// The most workers of the simulation, and a source at ease.
pub(crate) const ROOM: Room = Room {
    min: 1,
    max: 16,
    explore: true,
    upward: true,
};
