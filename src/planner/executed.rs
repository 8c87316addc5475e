//! What was executed against what was planned: the decision check of every run.
//!
//! A fingerprint that is compared with itself proves nothing. This one is computed anew over what
//! the execution says it did: the database that was read, the workers that had a session, and the
//! chunks as the workers that read them were told (facts sheet, section 12).

use std::collections::BTreeMap;

use super::fingerprint::fingerprint;
use crate::model::{
    Both, ChunkBounds, Decisions, ExecutionPlan, ExecutionSpec, PlannedChunk, SourceIdentity,
    Strategy,
};

/// What an execution did.
#[derive(Clone, Debug)]
pub struct Executed<'a> {
    /// What it was handed.
    pub spec: &'a ExecutionSpec,
    /// The database that it read.
    pub source: &'a SourceIdentity,
    /// Workers that had a session.
    pub workers: u32,
    /// What was read to its end, by number.
    pub chunks: &'a [PlannedChunk],
}

impl Executed<'_> {
    /// The decisions that a plan of this would hold.
    fn spec(&self) -> ExecutionSpec {
        let planned = cut_by(&self.spec.chunks);
        let executed = cut_by(self.chunks);
        ExecutionSpec {
            source: self.source.clone(),
            workers: self.workers,
            chunks: self.chunks.to_vec(),
            // One chunk of everything may come of any strategy.
            strategy: match executed {
                Some(strategy) if Some(strategy) != planned => strategy,
                _ => self.spec.strategy,
            },
            ..self.spec.clone()
        }
    }
}

/// How chunks cut the table; `None` where there are none.
fn cut_by(chunks: &[PlannedChunk]) -> Option<Strategy> {
    chunks.first().map(|chunk| match chunk.bounds {
        ChunkBounds::All => Strategy::SinglePass,
        ChunkBounds::Key(_) | ChunkBounds::KeyNull => Strategy::RangeChunking,
        ChunkBounds::Blocks(_) | ChunkBounds::LeafBlocks { .. } => Strategy::CtidChunking,
    })
}

/// Compares an execution with the plan that it was to execute.
pub fn decisions(plan: &ExecutionPlan, executed: &Executed<'_>) -> Decisions {
    let done = executed.spec();
    let mut decisions = Decisions {
        workers: Both {
            planned: plan.spec.workers,
            executed: done.workers,
        },
        chunks: Both {
            planned: plan.spec.chunks.len() as u64,
            executed: done.chunks.len() as u64,
        },
        strategy: Both {
            planned: plan.spec.strategy,
            executed: done.strategy,
        },
        fingerprint: Both {
            planned: plan.fingerprint.clone(),
            executed: fingerprint(&done),
        },
        differences: Vec::new(),
    };
    if !decisions.agree() {
        decisions.differences = differences(&plan.spec, &done);
    }
    decisions
}

fn differences(planned: &ExecutionSpec, done: &ExecutionSpec) -> Vec<String> {
    let mut found = Vec::new();
    if planned.source != done.source {
        found.push(format!(
            "planned for {}, read from {}",
            planned.source, done.source
        ));
    }
    if planned.workers != done.workers {
        found.push(format!(
            "planned for {} workers, read by {}",
            planned.workers, done.workers
        ));
    }
    found.extend(chunk_differences(&planned.chunks, &done.chunks));
    if found.is_empty() {
        found.push(
            "the plan says more than this version of ixtract understands and executed".to_owned(),
        );
    }
    found
}

fn chunk_differences(planned: &[PlannedChunk], done: &[PlannedChunk]) -> Vec<String> {
    let by_number: BTreeMap<u32, &PlannedChunk> =
        done.iter().map(|chunk| (chunk.number, chunk)).collect();
    let mut found = Vec::new();
    for chunk in planned {
        match by_number.get(&chunk.number) {
            None => found.push(format!("{} was not read to its end", chunk.id())),
            Some(done) if done.bounds != chunk.bounds => found.push(format!(
                "{} was planned as {}, read as {}",
                chunk.id(),
                chunk.bounds,
                done.bounds
            )),
            Some(done) if done.rank != chunk.rank => {
                found.push(format!("{} was handed out in another order", chunk.id()));
            }
            Some(_) => {}
        }
    }
    let unplanned = done
        .iter()
        .filter(|chunk| planned.iter().all(|plan| plan.number != chunk.number));
    found.extend(unplanned.map(|chunk| format!("{} was read and not planned", chunk.id())));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::fixtures;

    fn plan() -> ExecutionPlan {
        fixtures::plan(fixtures::profile(3_000_000))
    }

    fn check<'a>(plan: &'a ExecutionPlan, change: impl FnOnce(&mut Executed<'a>)) -> Decisions {
        let mut executed = Executed {
            spec: &plan.spec,
            source: &plan.spec.source,
            workers: plan.spec.workers,
            chunks: &plan.spec.chunks,
        };
        change(&mut executed);
        decisions(plan, &executed)
    }

    #[test]
    fn an_execution_to_the_letter_agrees() {
        let plan = plan();
        let found = check(&plan, |_| {});
        assert!(found.agree());
        assert_eq!(found.fingerprint.executed, plan.fingerprint);
        assert_eq!(found.differences, Vec::<String>::new());
        assert_eq!((found.workers.executed, found.chunks.executed), (6, 12));
    }

    #[test]
    fn fewer_workers_are_another_decision() {
        let found = check(&plan(), |executed| executed.workers = 5);
        assert!(!found.agree());
        assert_eq!(found.differences, ["planned for 6 workers, read by 5"]);
    }

    #[test]
    fn every_chunk_is_compared_with_its_bounds_and_rank() {
        let plan = plan();
        let mut chunks = plan.spec.chunks.clone();
        chunks[0].bounds = ChunkBounds::KeyNull;
        chunks[1].rank = 99;
        chunks[11].number = 13;
        let found = check(&plan, |executed| executed.chunks = &chunks);
        assert_eq!(
            found.differences,
            [
                "chunk_001 was planned as […, 250001), read as key is null",
                "chunk_002 was handed out in another order",
                "chunk_012 was not read to its end",
                "chunk_013 was read and not planned",
            ]
        );
    }

    #[test]
    fn another_cut_is_another_strategy() {
        let plan = plan();
        let whole = [PlannedChunk {
            number: 1,
            bounds: ChunkBounds::All,
            rank: 0,
        }];
        let found = check(&plan, |executed| executed.chunks = &whole);
        assert_eq!(found.strategy.planned, Strategy::RangeChunking);
        assert_eq!(found.strategy.executed, Strategy::SinglePass);
    }

    #[test]
    fn a_failover_is_told_of() {
        let plan = plan();
        let elsewhere = SourceIdentity {
            host: "standby.example".to_owned(),
            ..plan.spec.source.clone()
        };
        let found = check(&plan, |executed| executed.source = &elsewhere);
        assert!(found.differences[0].contains("standby.example"));
    }

    #[test]
    fn what_is_not_understood_is_not_executed_in_silence() {
        let mut plan = plan();
        plan.fingerprint = "of more than we know".to_owned();
        let found = check(&plan, |_| {});
        assert!(!found.agree());
        assert_eq!(found.differences.len(), 1);
    }
}
