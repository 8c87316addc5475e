//! What a run's course is put down to: the first of these rules that holds.
//!
//! 1. **data_skew**: the slowest chunk took more than 1.5 times the median's time and held more than
//!    1.5 times as much, and a fifth of the worker time or more was lost waiting for the last chunks.
//! 2. **source_latency**: the run waited for its snapshot, or for what it asked about its table before
//!    that; or it was slower than the run before it and small queries took several times as long as usual, or the first rows of chunks did and are
//!    most of what was added; or the latency rule was breached and the run was no faster than the one
//!    before. What more workers of our own may have caused does not count.
//! 3. **under_parallel**, **over_parallel**: the number of workers changed and so did the speed, by
//!    more than noise and no more than workers can, and earlier runs with this very number do not
//!    contradict.
//! 4. **anomaly**: the speed is more than two standard deviations from that of the runs before.
//! 5. **model_error**: a prediction that could be trusted was off by half or more.
//! 6. **stable**: anything else.
//!
//! What a run inherits (skew) comes before what happened to it, and what has a cause before what
//! is only strange. A run compares itself with the newest clean run whose own speed was not the
//! source's doing or an anomaly.

use super::anomaly::{self, Standing};
use super::{Observed, median, ratio};
use crate::model::{
    Attribution, Category, CleanRun, ConfidenceLevel, Evidence, Measures, Part, Severity,
};

/// A change of the speed up to this is noise (facts sheet, section 10.3).
const NOISE: f64 = 0.05;

/// From here on a change of the speed is no small one.
const CLEAR: f64 = 0.10;

/// Chunks that take less than this are too short to be uneven, in milliseconds of the slowest.
const SKEW_MS_MIN: u64 = 100;

/// How much more than the median's the slowest chunk must hold.
const SIZE_RATIO: f64 = 1.5;

/// Lost worker time from which skew matters, in thousandths.
const LOST_PERMILLE: u32 = 200;

/// A wait for the snapshot, or before it, is one at this many times the usual, by this many
/// milliseconds,
const WAIT: (u64, u64) = (3, 2_000);
/// from this many round trips on: what it takes on a distant source;
const WAIT_ROUND_TRIPS: u64 = 50;
/// and no smaller part of the run's time than one of these.
const WAIT_SHARE: u64 = 20;

/// Latency has risen at this many times the usual, by this many microseconds: less costs no run
/// anything.
const LATENCY: (u64, u64) = (2, 2_000);

/// A chunk takes about so many round trips: its query, and the end of its answer.
const CHUNK_ROUND_TRIPS: u64 = 2;

/// Latency explains a longer run when it makes up this share of what was added,
const RISE_SHARE: f64 = 0.25;
/// or has risen by this many microseconds: a source is far from there on (facts sheet, section 2).
const FAR_US: u64 = 20_000;

/// Answers have slowed at this many times the usual, by this many milliseconds.
const ANSWERS: (u64, u64) = (3, 50);

/// Earlier runs of the same number of workers contradict when they differ by more than this.
const CONTRADICTION: f64 = 0.20;

/// How far beyond its share of the speed a worker can take or bring: less crowded, others read a little
/// faster or slower.
const SHARE: f64 = 1.5;

/// A part is costlier at this many times the usual,
const COSTLIER: f64 = 1.5;
/// when this share of the run's time a row is what was added.
const COSTLIER_SHARE: f64 = 0.10;

/// Runs whose measures say what is usual.
const USUAL_RUNS_MIN: usize = 3;

/// A prediction is off when it is wrong by this factor, either way,
const MISPREDICTED: f64 = 1.5;
/// rows by this one,
const ROWS_MISPREDICTED: f64 = 1.2;
/// and the run, predicted or real, takes this long, in seconds.
const MISPREDICTED_S_MIN: f64 = 0.1;

/// A category and what it rests on.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) category: Category,
    pub(super) certainty: ConfidenceLevel,
    pub(super) evidence: Vec<Evidence>,
    /// Change of the speed since the run it is compared with, as a fraction.
    pub(super) change: Option<f64>,
}

/// A run and what it is compared with.
struct View<'a> {
    now: &'a Observed,
    earlier: &'a [CleanRun],
    previous: Option<&'a CleanRun>,
    change: Option<f64>,
    standing: Option<Standing>,
}

type Ruling = Option<(Category, ConfidenceLevel, Vec<Evidence>)>;

/// The category of a run.
pub(super) fn find(now: &Observed, earlier: &[CleanRun]) -> Found {
    let previous = earlier.iter().find(|run| ordinary(run)).or(earlier.first());
    let speeds: Vec<f64> = earlier.iter().map(|run| run.throughput).collect();
    let view = View {
        now,
        earlier,
        previous,
        change: previous.and_then(|run| Some(ratio(now.throughput, run.throughput)? - 1.0)),
        standing: anomaly::standing(now.throughput, &speeds),
    };
    let rules: [fn(&View<'_>) -> Ruling; 5] = [skewed, latent, parallel, anomalous, mispredicted];
    let ruling = rules.iter().find_map(|rule| rule(&view));
    let (category, certainty, mut evidence) =
        ruling.unwrap_or_else(|| (Category::Stable, view.history_certainty(), Vec::new()));
    view.add_context(&mut evidence);
    Found {
        category,
        certainty,
        evidence,
        change: view.change,
    }
}

/// Whether a run's speed is one that others can be compared with.
fn ordinary(run: &CleanRun) -> bool {
    let strange = |category| matches!(category, Category::SourceLatency | Category::Anomaly);
    run.anomaly.is_none()
        && !run
            .finding
            .as_ref()
            .is_some_and(|finding| strange(finding.category))
}

impl View<'_> {
    fn slower(&self) -> bool {
        self.change.is_some_and(|change| change < -NOISE)
    }

    fn faster(&self) -> bool {
        self.change.is_some_and(|change| change > NOISE)
    }

    fn more_workers(&self) -> bool {
        self.previous
            .is_some_and(|previous| self.now.workers > previous.workers)
    }

    /// The measures of earlier runs that have them.
    fn usual(&self) -> impl Iterator<Item = &Measures> {
        let findings = self.earlier.iter().filter_map(|run| run.finding.as_ref());
        findings.map(|finding| &finding.measures)
    }

    /// What a look at the table usually takes, where runs measured it.
    fn usual_look_ms(&self) -> Option<u64> {
        let measured = self.usual().map(|usual| usual.look_ms);
        median(measured.filter(|look_ms| *look_ms > 0))
    }

    /// How much more time than usual a row took in a part of the work, in nanoseconds.
    fn added(&self, of: fn(&Attribution) -> u64) -> u64 {
        let per_row = |measures: &Measures, rows: u64| {
            of(&measures.attribution).saturating_mul(1_000_000) / rows.max(1)
        };
        let usual = self.earlier.iter().filter_map(|run| {
            let finding = run.finding.as_ref()?;
            Some(per_row(&finding.measures, run.rows))
        });
        let now = per_row(&self.now.measures, self.now.rows);
        now.saturating_sub(median(usual).unwrap_or(0))
    }

    /// Whether at least half of the time that a row takes more than usual is waiting for answers to
    /// begin. A server that is slower throughout begins later, too: that is not latency.
    fn answers_are_what_was_added(&self) -> bool {
        let rest =
            |went: &Attribution| went.rows_ms + went.decode_ms + went.encode_ms + went.write_ms;
        self.added(|went| went.answer_ms) >= self.added(rest)
    }

    /// Whether latency that rose by so much can be why. At least half of the time that was added must be
    /// waiting for the source: a machine that has no time for us is slow to hear answers, too. And what
    /// the rise adds to the few round trips of each chunk must be a good part of what the run took longer
    /// than the one before, unless it is so much that a stream of rows becomes slow by it.
    fn latency_explains(&self, rise_us: u64) -> bool {
        let Some(previous) = self.previous else {
            return false;
        };
        let here = |went: &Attribution| went.decode_ms + went.encode_ms + went.write_ms;
        let waited_longer = self.added(|went| went.answer_ms + went.rows_ms) >= self.added(here);
        let now = self.now;
        let longer_s = now.duration_s - now.rows as f64 / previous.throughput;
        let round_trips = now.chunks.saturating_mul(CHUNK_ROUND_TRIPS) as f64;
        let of_rise_s = rise_us as f64 / 1e6 * round_trips / f64::from(now.workers.max(1));
        let far = rise_us >= FAR_US && now.workers == previous.workers;
        waited_longer && (far || of_rise_s >= longer_s * RISE_SHARE)
    }

    fn history_certainty(&self) -> ConfidenceLevel {
        match self.earlier.len() {
            0 => ConfidenceLevel::Low,
            runs if runs < anomaly::BASELINE_RUNS_MIN => ConfidenceLevel::Medium,
            _ => ConfidenceLevel::High,
        }
    }

    /// Adds how the run compares with those before it, and which part of it became costlier.
    fn add_context(&self, evidence: &mut Vec<Evidence>) {
        let mut add = |fact: Evidence| {
            if !evidence.contains(&fact) {
                evidence.push(fact);
            }
        };
        match self.previous_change() {
            None => add(Evidence::First),
            Some(fact) => add(fact),
        }
        if self.slower() {
            costlier(self).into_iter().for_each(&mut add);
        }
        match self.standing {
            Some(standing) if !standing.anomalous => add(Evidence::Usual {
                z: anomaly::rounded(standing.z, 2),
                runs: standing.runs,
            }),
            Some(standing) => add(unusual(standing)),
            None if self.earlier.is_empty() => {}
            None => add(Evidence::FewRuns {
                runs: u32::try_from(self.earlier.len()).unwrap_or(u32::MAX),
                needed: anomaly::BASELINE_RUNS_MIN as u32,
            }),
        }
    }

    fn previous_change(&self) -> Option<Evidence> {
        let (since, change) = (self.previous?.id.clone(), self.change?);
        let permille = (change * 1000.0).round() as i64;
        Some(if change.abs() > NOISE {
            Evidence::Changed { since, permille }
        } else {
            Evidence::Unchanged { since, permille }
        })
    }
}

fn unusual(standing: Standing) -> Evidence {
    Evidence::Unusual {
        z: anomaly::rounded(standing.z, 2),
        mean: anomaly::rounded(standing.mean, 1),
        runs: standing.runs,
    }
}

fn skewed(view: &View<'_>) -> Ruling {
    let skew = view.now.measures.skew?;
    let lost = view.now.workers > 1 && skew.lost_permille >= LOST_PERMILLE;
    let long = view.now.measures.attribution.total_ms() >= SKEW_MS_MIN;
    let uneven = skew.severity > Severity::Low && skew.size_ratio > SIZE_RATIO;
    (uneven && lost && long).then(|| {
        let evidence = vec![Evidence::Uneven(skew)];
        (Category::DataSkew, ConfidenceLevel::High, evidence)
    })
}

fn latent(view: &View<'_>) -> Ruling {
    let measures = &view.now.measures;
    let rose = |from: u64, to: u64, (times, by): (u64, u64)| {
        to > from.saturating_mul(times) && to >= from.saturating_add(by)
    };
    let mut evidence = Vec::new();
    let distance_ms = measures.latency_us.unwrap_or(0) * WAIT_ROUND_TRIPS / 1000;
    let matters_ms = (view.now.duration_s.max(0.0) * 1000.0) as u64 / WAIT_SHARE;
    let waited = |from: u64, to: u64| rose(from, to, WAIT) && to > distance_ms.max(matters_ms);
    let from_ms = median(view.usual().map(|usual| usual.snapshot_ms)).unwrap_or(0);
    let to_ms = measures.snapshot_ms;
    if waited(from_ms, to_ms) {
        evidence.push(Evidence::SnapshotWaited { from_ms, to_ms });
    }
    // A first look has nothing to be long beside: one that samples a table may take its time.
    let to_ms = measures.look_ms;
    if let Some(from_ms) = view
        .usual_look_ms()
        .filter(|from_ms| waited(*from_ms, to_ms))
    {
        evidence.push(Evidence::LookWaited { from_ms, to_ms });
    }
    if view.slower() {
        let from_us = median(view.usual().filter_map(|usual| usual.latency_us));
        if let (Some(from_us), Some(to_us)) = (from_us, measures.latency_us)
            && rose(from_us, to_us, LATENCY)
            && view.latency_explains(to_us - from_us)
        {
            evidence.push(Evidence::LatencyRose { from_us, to_us });
        }
        let (from_ms, to_ms) = (
            median(view.usual().map(|usual| usual.answer_ms)),
            measures.answer_ms,
        );
        if let Some(from_ms) = from_ms
            && !view.more_workers()
            && rose(from_ms, to_ms, ANSWERS)
            && view.answers_are_what_was_added()
        {
            evidence.push(Evidence::AnswersSlowed { from_ms, to_ms });
        }
    }
    // Pauses that cost nothing that shows are told among the run's numbers, and explain nothing.
    if !view.now.undisturbed && !view.more_workers() && !view.faster() {
        let paused_ms = measures.attribution.back_off_ms;
        evidence.push(Evidence::BackedOff { paused_ms });
    }
    let certainty = match evidence.len() {
        0 => return None,
        1 => view.history_certainty().max(ConfidenceLevel::Medium),
        _ => ConfidenceLevel::High,
    };
    Some((Category::SourceLatency, certainty, evidence))
}

fn parallel(view: &View<'_>) -> Ruling {
    let (previous, change) = (view.previous?, view.change?);
    let (from, to) = (previous.workers, view.now.workers);
    let share = f64::from(to) / f64::from(from);
    let explicable = if to < from {
        1.0 + change >= share / SHARE
    } else {
        1.0 + change <= share * SHARE
    };
    if from == to || change.abs() <= NOISE || !explicable {
        return None;
    }
    let mut peers: Vec<f64> = view
        .earlier
        .iter()
        .filter(|run| run.workers == to && ordinary(run))
        .map(|run| run.throughput)
        .collect();
    peers.sort_by(f64::total_cmp);
    if let Some(usual) = peers.get(peers.len() / 2) {
        let against = ratio(view.now.throughput, *usual)? - 1.0;
        if against.abs() > CONTRADICTION && (against < 0.0) == (change < 0.0) {
            return None;
        }
    }
    let category = if (to > from) == (change > 0.0) {
        Category::UnderParallel
    } else {
        Category::OverParallel
    };
    let certainty = match change.abs() {
        _ if !peers.is_empty() => ConfidenceLevel::High,
        change if change > CLEAR => ConfidenceLevel::Medium,
        _ => ConfidenceLevel::Low,
    };
    let mut evidence = vec![Evidence::WorkersChanged { from, to }];
    evidence.extend(view.previous_change());
    Some((category, certainty, evidence))
}

fn anomalous(view: &View<'_>) -> Ruling {
    let standing = view.standing.filter(|standing| standing.anomalous)?;
    let mut evidence = vec![unusual(standing)];
    if view.slower() {
        evidence.extend(costlier(view));
    }
    let sure = standing.z > 3.0 && standing.runs >= 10;
    let certainty = if sure {
        ConfidenceLevel::High
    } else {
        ConfidenceLevel::Medium
    };
    Some((Category::Anomaly, certainty, evidence))
}

fn mispredicted(view: &View<'_>) -> Ruling {
    let now = view.now;
    if now.certainty < ConfidenceLevel::Medium
        || now.duration_s.max(now.predicted_s) < MISPREDICTED_S_MIN
    {
        return None;
    }
    let off = |factor: Option<f64>, limit: f64| {
        factor.is_some_and(|factor| factor > limit || factor < 1.0 / limit)
    };
    let speed = ratio(now.predicted_speed, now.throughput);
    let rows = ratio(now.rows as f64, now.predicted_rows as f64);
    // How many rows a filter leaves was not predicted, only how fast they are.
    let whole = if now.filtered {
        speed
    } else {
        ratio(now.duration_s, now.predicted_s)
    };
    if !off(whole, MISPREDICTED) {
        return None;
    }
    let mut evidence = Vec::new();
    if !now.filtered && off(rows, ROWS_MISPREDICTED) {
        evidence.push(Evidence::RowsMispredicted {
            predicted: now.predicted_rows,
            rows: now.rows,
        });
    }
    if off(speed, ROWS_MISPREDICTED) {
        evidence.push(Evidence::SpeedMispredicted {
            predicted: now.predicted_speed,
            throughput: now.throughput,
        });
    }
    (!evidence.is_empty()).then_some((Category::ModelError, now.certainty, evidence))
}

/// The parts that took much longer for a row than in earlier runs, the most added first.
fn costlier(view: &View<'_>) -> Vec<Evidence> {
    /// Parts whose time grows with the rows.
    const PER_ROW: [Part; 3] = [Part::Source, Part::Processor, Part::Storage];
    let per_row = |measures: &Measures, part, rows: u64| {
        measures.attribution.of_part(part) * 1_000_000 / rows.max(1)
    };
    let measures = &view.now.measures;
    let all: u64 = PER_ROW
        .iter()
        .map(|part| per_row(measures, *part, view.now.rows))
        .sum();
    // More workers wait longer for a row each: runs of the same number, where there are enough.
    let peers = view
        .earlier
        .iter()
        .filter(|run| run.workers == view.now.workers);
    let alike = peers.filter(|run| run.finding.is_some()).count() >= USUAL_RUNS_MIN;
    let mut found: Vec<(u64, Evidence)> = PER_ROW
        .into_iter()
        .filter_map(|part| {
            let usual: Vec<u64> = view
                .earlier
                .iter()
                .filter(|run| !alike || run.workers == view.now.workers)
                .filter_map(|run| Some(per_row(&run.finding.as_ref()?.measures, part, run.rows)))
                .collect();
            let from_ns =
                median(usual.iter().copied()).filter(|_| usual.len() >= USUAL_RUNS_MIN)?;
            let to_ns = per_row(measures, part, view.now.rows);
            let added = to_ns.saturating_sub(from_ns);
            let costlier = to_ns as f64 > from_ns as f64 * COSTLIER
                && added as f64 > all as f64 * COSTLIER_SHARE;
            costlier.then_some((
                added,
                Evidence::Costlier {
                    part,
                    from_ns,
                    to_ns,
                },
            ))
        })
        .collect();
    found.sort_by_key(|(added, _)| std::cmp::Reverse(*added));
    found.into_iter().map(|(_, evidence)| evidence).collect()
}
