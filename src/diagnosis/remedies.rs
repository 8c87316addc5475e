//! What can be done about a finding, in view of what was active already.

use super::Observed;
use super::causes::Found;
use crate::model::{Action, Category, Evidence, Origin, Part};

/// A part that takes this share of the worker time is worth a word even where nothing is wrong, in
/// thousandths.
const LIMIT_PERMILLE: u32 = 500;

/// Parts that a chunk is cut into to even the work out.
const CUT: u64 = 4;

/// The actions for a finding, the most useful first; never none.
pub(super) fn of(now: &Observed, found: &Found) -> Vec<Action> {
    let actions = match found.category {
        Category::UnderParallel | Category::OverParallel => parallel(now, found.category),
        Category::SourceLatency => latency(now, found),
        Category::DataSkew => skew(now),
        Category::ModelError => model(found),
        Category::Anomaly => strange(found),
        Category::Stable => limit(now),
    };
    if actions.is_empty() {
        vec![Action::Nothing]
    } else {
        actions
    }
}

fn parallel(now: &Observed, category: Category) -> Vec<Action> {
    let workers = now.workers;
    if now.fixed {
        vec![Action::FreeWorkers { workers }]
    } else if category == Category::UnderParallel && now.capped {
        vec![Action::RaiseMaxWorkers { workers }]
    } else {
        // The controller weighs this run against the others before it decides.
        vec![Action::Learned]
    }
}

fn latency(now: &Observed, found: &Found) -> Vec<Action> {
    let is_lock = |fact: &Evidence| {
        matches!(
            fact,
            Evidence::SnapshotWaited { .. } | Evidence::LookWaited { .. }
        )
    };
    let is_pause = |fact: &Evidence| matches!(fact, Evidence::BackedOff { .. });
    let mut actions = Vec::new();
    if found.evidence.iter().any(is_lock) {
        actions.push(Action::FindLocks);
    }
    let slow = |fact: &Evidence| {
        matches!(
            fact,
            Evidence::LatencyRose { .. } | Evidence::AnswersSlowed { .. }
        )
    };
    if found
        .evidence
        .iter()
        .any(|fact| slow(fact) || is_pause(fact))
    {
        actions.push(Action::QuieterHour);
    }
    if found.evidence.iter().any(is_pause) && now.workers > 1 {
        let workers = now.workers;
        actions.push(Action::LowerMaxWorkers { workers });
    }
    actions
}

fn skew(now: &Observed) -> Vec<Action> {
    let chunk_rows = (now.rows / now.chunks.saturating_mul(CUT).max(1)).max(1);
    let mut actions = vec![Action::SmallerChunks {
        chunk_rows,
        longest_first: now.longest_first,
        by_density: now.bounds_from.is_some(),
    }];
    // Bounds at equal numbers of rows that turn out uneven: the statistics are behind.
    if now.bounds_from == Some(Origin::Catalogue) {
        actions.push(Action::RefreshStatistics);
    }
    actions
}

fn model(found: &Found) -> Vec<Action> {
    let rows = |fact: &Evidence| matches!(fact, Evidence::RowsMispredicted { .. });
    if found.evidence.iter().any(rows) {
        vec![Action::RefreshStatistics]
    } else {
        vec![Action::Learned]
    }
}

/// What is strange and slow is looked for where it was slow.
fn strange(found: &Found) -> Vec<Action> {
    if found.change.is_none_or(|change| change >= 0.0) {
        return Vec::new();
    }
    let parts = found.evidence.iter().filter_map(|fact| match fact {
        Evidence::Costlier { part, .. } => Some(*part),
        _ => None,
    });
    let mut actions: Vec<Action> = parts
        .filter_map(|part| match part {
            Part::Source => Some(Action::LookAtSource),
            Part::Processor => Some(Action::LookAtMachine),
            Part::Storage => Some(Action::LookAtStorage),
            _ => None,
        })
        .collect();
    if actions.is_empty() {
        actions.push(Action::LookAtSource);
    }
    actions
}

/// Where nothing is wrong: what most of the time depended on.
fn limit(now: &Observed) -> Vec<Action> {
    let went = &now.measures.attribution;
    let Some(part) = went.limit() else {
        return Vec::new();
    };
    if went.part_permille(part) < LIMIT_PERMILLE {
        return Vec::new();
    }
    match part {
        Part::Source => vec![Action::ReadLess],
        Part::Processor => vec![Action::CheaperEncoding],
        Part::Storage => vec![Action::FasterStorage],
        Part::Opening => vec![Action::FewerSessions],
        Part::Trouble => vec![Action::LookAtSource],
        Part::Count => vec![Action::LeaveCountOut],
        Part::Balance => skew(now),
    }
}
