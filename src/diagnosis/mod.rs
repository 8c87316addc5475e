//! What a published run shows, in the light of the clean runs before it; pure.
//!
//! [`attribution`] says where the workers' time went, [`skew`] how uneven the chunks were,
//! [`anomaly`] whether the speed is far from what is usual; `causes` puts the run's course down to
//! one of seven categories, and `remedies` says what can be done, in view of what was active
//! already. [`health`] is the state of a table's runs as a whole.
//!
//! Clean runs are those that teach: successful, unconstrained, not replayed, undisturbed. A run is
//! never among those that it is compared with.

pub mod anomaly;
pub mod attribution;
mod causes;
pub mod health;
mod remedies;
pub mod skew;

use crate::model::{
    Anomaly, ChunkStatus, CleanRun, ConfidenceLevel, ExecutionPlan, Finding, Measures, Origin,
    Reason, RunClose, RunOpen, Scheduling,
};

/// A published run as it is judged.
#[derive(Clone, Debug)]
struct Observed {
    workers: u32,
    throughput: f64,
    duration_s: f64,
    rows: u64,
    chunks: u64,
    /// The latency rule was breached by few chunks at most.
    undisturbed: bool,
    /// The number of workers was fixed by hand.
    fixed: bool,
    /// `--max-workers` or connections kept the plan from more workers.
    capped: bool,
    /// How many rows a filter or query leaves cannot be predicted.
    filtered: bool,
    longest_first: bool,
    /// Chunk bounds are at equal numbers of rows, known from there.
    bounds_from: Option<Origin>,
    predicted_rows: u64,
    predicted_speed: f64,
    predicted_s: f64,
    certainty: ConfidenceLevel,
    measures: Measures,
}

/// What a run shows, and whether its speed is out of the ordinary.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// The finding.
    pub finding: Finding,
    /// The anomaly, if it is one.
    pub anomaly: Option<Anomaly>,
}

/// Diagnoses a published run. `earlier` are the clean runs of its history that began before it,
/// newest first; more than [`anomaly::BASELINE_RUNS`] are of no use.
pub fn diagnose(open: &RunOpen, close: &RunClose, earlier: &[CleanRun]) -> Diagnosis {
    let now = Observed::of(open, close);
    let speeds: Vec<f64> = earlier.iter().map(|run| run.throughput).collect();
    let found = causes::find(&now, earlier);
    let actions = remedies::of(&now, &found);
    Diagnosis {
        anomaly: anomaly::detect(now.throughput, &speeds),
        finding: Finding {
            category: found.category,
            certainty: found.certainty,
            evidence: found.evidence,
            actions,
            deviation_ratio: ratio(now.duration_s, now.predicted_s).unwrap_or(1.0),
            throughput_change: found.change,
            measures: now.measures,
        },
    }
}

/// One over the other, where both are above 0 and finite.
fn ratio(one: f64, other: f64) -> Option<f64> {
    let usable = |value: f64| value.is_finite() && value > 0.0;
    (usable(one) && usable(other)).then(|| one / other)
}

impl Observed {
    fn of(open: &RunOpen, close: &RunClose) -> Self {
        let ExecutionPlan {
            spec,
            forecast,
            reasons,
            ..
        } = &open.plan;
        let bounds_from = reasons.iter().find_map(|reason| match reason {
            Reason::BoundsFrom { origin } => Some(*origin),
            _ => None,
        });
        let capped = reasons.iter().any(|reason| match reason {
            Reason::WorkersCapped { cap, .. } => cap == "--max-workers",
            _ => false,
        });
        Self {
            workers: spec.workers,
            throughput: close.throughput,
            duration_s: close.duration_s,
            rows: close.rows,
            chunks: spec.chunks.len() as u64,
            undisturbed: close.confidence == "full",
            fixed: open.constrained,
            capped,
            filtered: spec.read.filter.is_some() || spec.read.query.is_some(),
            longest_first: spec.scheduling == Scheduling::WorkStealing,
            bounds_from,
            predicted_rows: forecast.rows,
            predicted_speed: forecast.throughput,
            predicted_s: forecast.duration_s,
            certainty: forecast.grounds.confidence,
            measures: measures(open, close),
        }
    }
}

fn measures(open: &RunOpen, close: &RunClose) -> Measures {
    let elapsed_ms = (close.duration_s.max(0.0) * 1000.0).round() as u64;
    let went = attribution::of_run(&close.chunks, &close.workers, elapsed_ms);
    let finished = close
        .chunks
        .iter()
        .filter(|chunk| chunk.status == ChunkStatus::Success);
    Measures {
        skew: skew::measure(&close.chunks, &went),
        attribution: went,
        answer_ms: median(finished.map(|chunk| chunk.answer_ms)).unwrap_or(0),
        snapshot_ms: close.snapshot_ms,
        latency_us: open.source_then.latency_p50_us(),
        look_ms: open.look_ms,
    }
}

/// The middle value, the upper of two; `None` of none.
fn median<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests;
