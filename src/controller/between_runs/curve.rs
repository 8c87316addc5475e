//! Which curves of throughput over workers fit what was measured.
//!
//! Reading in parallel becomes faster up to some number of workers and slower past it. How steep it
//! rises, where its peak is and how fast it falls differ from source to source, so hundreds of such
//! curves stand side by side, and every measured count makes some of them more credible than others.
//! No curve is the truth: a count that was measured often is believed more than any of them. Nor is
//! every run: one that is far below a curve may have been disturbed by something else, so a single
//! slow run speaks against a curve only so loudly, and the count that it was is tried again.
//!
//! The constants were chosen by the simulation (`sim/regret.rs`): on the facts sheet's curves, with
//! noise of 10 and 20 %, with disturbed runs and while the best count wanders.
//!
//! All throughputs are natural logarithms here, so that differences are shares and the unknown
//! height of a curve is one number to be added.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use super::memory::{Memory, Seen};

/// How likely a shape is that few sources have, relative to a usual one.
const RARE: f64 = 0.37;

/// Exponents of the rise, throughput growing with `workers^exponent` up to the peak, and how likely each
/// is beforehand: while nothing is short, another worker brings what the first did.
const RISES: [(f64, f64); 6] = [
    (0.1, RARE),
    (0.3, 1.0),
    (0.5, 1.0),
    (0.7, 1.0),
    (0.85, 1.0),
    (1.0, 1.65),
];

/// Share that each worker past the peak costs, what is left at the least, and how likely that is
/// beforehand: no fall to speak of, slow ones, those of the facts sheet's simulator (section 14: 8 to
/// 15 %, never below a fifth), and cliffs.
const FALLS: [(f64, f64, f64); 8] = [
    (0.01, 0.0, RARE),
    (0.04, 0.0, 1.0),
    (0.08, 0.2, 1.0),
    (0.12, 0.2, 1.0),
    (0.17, 0.2, 1.0),
    (0.25, 0.2, 1.0),
    (0.25, 0.75, RARE),
    (1.00, 0.45, RARE),
];

/// A run is slowed down by something else with this probability, down to anything between its usual
/// throughput and this share of it.
const DISTURBANCE: (f64, f64) = (0.03, 0.3);

/// A curve is wrong at a count with this probability, by anything up to this factor all in all. More
/// than two or three slow runs at a count are no accident, whatever the curves say.
const ODDITY: (f64, f64) = (0.001, 100.0);

/// Deviation of one run from its count's mean before anything is known, as a share, and how many runs
/// that opinion is worth. Even noise of ±14 % deviates by 8 %.
pub(super) const NOISE: (f64, f64) = (0.08, 4.0);

/// How far a source may lie off the best curve at one count, as a share.
const MISFIT: f64 = 0.04;

/// A run's weight falls by this factor with every later run, down to the least.
const FADE: (f64, f64) = (0.98, 0.2);

/// A run below this share of its count's median was disturbed, and is passed over.
const DISTURBED: f64 = 0.75;

/// Rounds in which a curve's height and the doubts in what was measured settle each other.
const ROUNDS: usize = 3;

/// Curves of less credibility, relative to the most credible one, are left out.
const NEGLIGIBLE: f64 = 1e-6;

/// No number of workers is above this.
const MOST: u32 = 64;

/// A curve that may be true.
#[derive(Clone, Debug)]
struct Curve {
    peak: u32,
    rise: f64,
    fall: f64,
    /// The logarithm of what is left of the peak at the least.
    floor: f64,
    /// How likely it is before anything was measured, relative to the others.
    beforehand: f64,
    /// Its credibility; all together make 1.
    credit: f64,
    /// Its height, as the measured counts place it.
    height: f64,
    /// What 0, 1, 2, … workers reach if it is true, drawn towards what was measured there and
    /// relative to a fixed throughput. The only numbers that are no logarithms.
    reached: Vec<f64>,
}

impl Curve {
    /// Every curve with a peak of up to `most`; small peaks are likelier than large ones.
    fn every(most: u32) -> Vec<Self> {
        let shapes = (1..=most).flat_map(|peak| {
            let rises = RISES.iter();
            rises.flat_map(move |rise| FALLS.iter().map(move |fall| (peak, *rise, *fall)))
        });
        shapes
            .map(|(peak, (rise, likely), (fall, floor, as_likely))| Self {
                peak,
                rise,
                fall,
                floor: floor.ln(),
                beforehand: likely * as_likely / f64::from(peak),
                credit: 0.0,
                height: 0.0,
                reached: Vec::new(),
            })
            .collect()
    }

    /// Throughput relative to the peak's.
    fn shape(&self, workers: u32) -> f64 {
        if workers <= self.peak {
            self.rise * (f64::from(workers) / f64::from(self.peak)).ln()
        } else {
            (-self.fall * f64::from(workers - self.peak)).max(self.floor)
        }
    }

    fn reached(&self, workers: u32) -> f64 {
        self.reached.get(workers as usize).copied().unwrap_or(0.0)
    }

    /// Throughput.
    fn at(&self, workers: u32) -> f64 {
        self.height + self.shape(workers)
    }
}

/// What the runs of one count say together.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    /// How many runs of today it is worth.
    weight: f64,
    /// Their mean.
    mean: f64,
    /// How much more it is believed than a curve, 0 to 1.
    trust: f64,
    /// One over its variance around the true curve.
    precision: f64,
    /// How likely it is, relative to the true throughput, that every run was disturbed.
    doubt: f64,
    /// How likely it is, relative to the true throughput, that a curve is no curve for this source
    /// at this count.
    oddity: f64,
}

/// What an amount that a measured count is off a curve says.
struct Verdict {
    /// The logarithm of how likely it is, relative to no amount at all.
    likelihood: f64,
    /// The probability that curve and runs are both as they should be.
    sound: f64,
    /// The probability that the curve is wrong at this count.
    odd: f64,
}

impl Measured {
    fn judge(&self, off: f64) -> Verdict {
        let usual = off * off * self.precision / 2.0;
        if usual < 0.5 {
            return Verdict {
                likelihood: -usual,
                sound: 1.0,
                odd: 0.0,
            };
        }
        let (sound, doubt) = ((-usual).exp(), if off < 0.0 { self.doubt } else { 0.0 });
        let any = sound + doubt + self.oddity;
        Verdict {
            likelihood: any.ln(),
            sound: sound / any,
            odd: self.oddity / any,
        }
    }
}

/// What trying a count for a run may bring, as shares of what the best count reaches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stake {
    /// Expected gain where it is better, each run from then on.
    pub(super) gain: f64,
    /// Expected loss where it is not, once.
    pub(super) loss: f64,
    /// The share of what is unknown about the count that one run of it tells.
    pub(super) told: f64,
}

/// The curves, weighed by what was measured.
#[derive(Debug)]
pub(super) struct Belief {
    curves: Vec<Curve>,
    measured: BTreeMap<u32, Measured>,
    /// Variance of one run around its count's mean.
    noise: f64,
}

impl Belief {
    /// Weighs the curves up to `most` workers.
    pub(super) fn new(memory: &Memory, most: u32) -> Self {
        let (measured, noise) = measure(memory);
        let highest = measured.keys().last().copied().unwrap_or(1);
        let most = most.max(highest).min(MOST);
        let mut curves = weigh(Curve::every(most), &measured);
        for curve in &mut curves {
            curve.reached = reached(curve, most, &measured);
        }
        Self {
            curves,
            measured,
            noise,
        }
    }

    /// The measured counts, ascending.
    pub(super) fn measured(&self) -> impl Iterator<Item = u32> {
        self.measured.keys().copied()
    }

    /// How many runs of today the runs of a count are worth; 0 where there are none.
    pub(super) fn weight(&self, workers: u32) -> f64 {
        self.measured
            .get(&workers)
            .map_or(0.0, |measured| measured.weight)
    }

    /// The expected throughput of a count, relative to a fixed one; 0 for a count beyond the curves.
    pub(super) fn expected(&self, workers: u32) -> f64 {
        let each = self.curves.iter();
        each.map(|curve| curve.credit * curve.reached(workers))
            .sum()
    }

    /// What trying `workers` instead of `best` may bring.
    pub(super) fn stake(&self, workers: u32, best: u32) -> Stake {
        let (mut gain, mut loss) = (0.0, 0.0);
        for curve in &self.curves {
            let difference = curve.reached(workers) - curve.reached(best);
            if difference > 0.0 {
                gain += curve.credit * difference;
            } else {
                loss -= curve.credit * difference;
            }
        }
        let of = self.expected(best);
        let mean = self.expected(workers);
        let square = |curve: &Curve| curve.credit * (curve.reached(workers) / mean - 1.0).powi(2);
        let variance: f64 = self.curves.iter().map(square).sum();
        let told = (variance / (variance + self.noise)).sqrt();
        Stake {
            gain: gain / of,
            loss: loss / of,
            told,
        }
    }
}

/// What each count up to `most` reaches if `curve` is true.
fn reached(curve: &Curve, most: u32, measured: &BTreeMap<u32, Measured>) -> Vec<f64> {
    // Exponentials stay near 1 when logarithms are taken from something that was measured.
    let zero = measured.values().next().map_or(0.0, |first| first.mean);
    let drawn = |workers: u32| {
        let on_curve = curve.at(workers);
        measured.get(&workers).map_or(on_curve, |of| {
            let off = of.mean - on_curve;
            let verdict = of.judge(off);
            on_curve + (of.trust * verdict.sound + verdict.odd) * off
        })
    };
    let counts = (1..=most).map(|workers| (drawn(workers) - zero).exp());
    std::iter::once(0.0).chain(counts).collect()
}

/// Sums up the runs of each count, and how much they vary.
fn measure(memory: &Memory) -> (BTreeMap<u32, Measured>, f64) {
    let mut measured = BTreeMap::new();
    // The opinion held beforehand counts as so many runs.
    let (mut squares, mut freedom) = (NOISE.1 * NOISE.0 * NOISE.0, NOISE.1);
    for (workers, seen) in memory.counts().filter(|(workers, _)| *workers <= MOST) {
        let disturbed = DISTURBED * median(seen);
        let weighed = seen.iter().filter(|seen| seen.throughput >= disturbed);
        let weighed = weighed.map(|seen| {
            let age = i32::try_from(memory.age(seen)).unwrap_or(i32::MAX);
            (FADE.0.powi(age).max(FADE.1), seen.throughput.ln())
        });
        let weight: f64 = weighed.clone().map(|(weight, _)| weight).sum();
        let mean = weighed.clone().map(|(weight, at)| weight * at).sum::<f64>() / weight;
        let undisturbed = weighed.clone().count();
        squares += weighed.map(|(_, at)| (at - mean).powi(2)).sum::<f64>();
        freedom += undisturbed.saturating_sub(1) as f64;
        measured.insert(
            workers,
            Measured {
                weight,
                mean,
                doubt: DISTURBANCE.0.powf(undisturbed as f64),
                ..Measured::default()
            },
        );
    }
    let (noise, misfit) = (squares / freedom, MISFIT * MISFIT);
    for of_count in measured.values_mut() {
        of_count.precision = 1.0 / (misfit + noise / of_count.weight);
        // Densities, relative to the normal one at its top.
        let top = (TAU / of_count.precision).sqrt();
        of_count.doubt *= top / -DISTURBANCE.1.ln();
        of_count.oddity = ODDITY.0 * top / ODDITY.1.ln();
        of_count.trust = misfit * of_count.precision;
    }
    (measured, noise)
}

/// The middle throughput, the faster of two middle ones: a disturbance makes slow.
fn median(seen: &[Seen]) -> f64 {
    let mut all: Vec<f64> = seen.iter().map(|seen| seen.throughput).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

/// Gives every curve its height and its credibility: Bayes' rule, the height unknown, noise normal
/// but for disturbances. Curves that are next to impossible are dropped.
fn weigh(mut curves: Vec<Curve>, measured: &BTreeMap<u32, Measured>) -> Vec<Curve> {
    let mut heights: Vec<(f64, Measured)> = Vec::with_capacity(measured.len());
    for curve in &mut curves {
        heights.clear();
        heights.extend(
            measured
                .iter()
                .map(|(workers, of)| (of.mean - curve.shape(*workers), *of)),
        );
        curve.height = settle(&heights);
        let each = heights
            .iter()
            .map(|(height, of)| of.judge(height - curve.height).likelihood);
        curve.credit = each.sum::<f64>() + curve.beforehand.ln();
    }
    let most = curves
        .iter()
        .map(|curve| curve.credit)
        .fold(f64::NEG_INFINITY, f64::max);
    for curve in &mut curves {
        curve.credit = (curve.credit - most).exp();
    }
    curves.retain(|curve| curve.credit > NEGLIGIBLE);
    let all: f64 = curves.iter().map(|curve| curve.credit).sum();
    for curve in &mut curves {
        curve.credit /= all;
    }
    curves
}

/// The height of a curve, from the heights at which single counts see it: their mean, in which one
/// counts the less the likelier it was disturbed, as the mean has it.
fn settle(heights: &[(f64, Measured)]) -> f64 {
    let mut settled = None;
    for _ in 0..ROUNDS {
        let (mut sum, mut all) = (0.0, f64::MIN_POSITIVE);
        for (height, of) in heights {
            let faith = settled.map_or(1.0, |settled| of.judge(height - settled).sound);
            sum += of.precision * faith * height;
            all += of.precision * faith;
        }
        settled = Some(sum / all);
    }
    settled.unwrap_or_default()
}
