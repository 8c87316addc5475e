//! What is told of an attempt that was published.

use std::collections::BTreeSet;

use super::{Attempt, nothing_read, throughput};
use crate::cli::survey::Survey;
use crate::engine::Execution;
use crate::error::Failure;
use crate::model::{Decisions, PlannedChunk, RunOpen, RunStatus};
use crate::planner::{self, Executed};
use crate::ui::events::RunEvent;
use crate::ui::json::{KeysDocument, ProofDocument, ResumedDocument, RunDocument};
use crate::writer::publish::Published;

impl Attempt {
    /// What is told of a published run.
    pub(in crate::cli::run) fn document(
        self,
        survey: &Survey,
        open: &RunOpen,
        published: Published,
    ) -> Result<RunDocument, Failure> {
        let (shown, nulled, resumed) = (self.shown(open), self.nulled(), self.resumed(open));
        let (kept, took) = (self.kept_numbers(), self.snapshot_took);
        let (Some((consistency, _)), Some(execution)) = (shown, self.execution) else {
            return Err(nothing_read());
        };
        let spec = &survey.plan.spec;
        let Published {
            dataset,
            manifest,
            mut warnings,
        } = published;
        let open_s = (took + execution.elapsed).as_secs_f64();
        warnings.extend(planner::long_held(open_s, survey.source.identity().kind));
        Ok(RunDocument {
            status: RunStatus::Success.name(),
            run: open.id.clone(),
            table: spec.read.relation.to_string(),
            manifest: format!("{dataset}/_manifest.json"),
            dataset: dataset.to_string(),
            files: manifest.files.len() as u64,
            rows: manifest.rows,
            bytes: manifest.bytes,
            format: spec.format.format().name(),
            compression: spec.format.compression().to_string(),
            duration_s: execution.elapsed.as_secs_f64(),
            predicted_s: survey.plan.forecast.duration_s,
            throughput: throughput(&execution),
            chunks: spec.chunks.len() as u64,
            workers: spec.workers,
            effective_workers: execution.effective_workers,
            consistency,
            proof: ProofDocument {
                level: spec.proof,
                counted: manifest.proof.counted,
                beside_kept: manifest.proof.beside_kept,
                count_ms: execution
                    .count_took
                    .and_then(|took| u64::try_from(took.as_millis()).ok()),
                keys: manifest.proof.keys.map(|keys| KeysDocument {
                    columns: keys.columns,
                    server_ms: keys.server_ms,
                    read_back_ms: keys.read_back_ms,
                }),
            },
            fingerprint: survey.plan.fingerprint.clone(),
            window: spec.window.as_ref().map(|planned| planned.window.clone()),
            schema_change: open.drift.clone(),
            notes: Vec::new(),
            replay_of: open.replay_of.clone(),
            resumed,
            decisions: decisions(survey, &execution, &kept),
            nulled,
            adaptations: execution.adaptations,
            snapshot_open_s: open_s,
            plan_warnings: survey.plan.warnings.clone(),
            warnings,
            state: None,
            constrained: survey.constrained,
            hints: survey.hints().cloned(),
            cost: None,
            teaches: false,
            finding: None,
            anomaly: None,
        })
    }

    /// What was kept of the run that this one went on with.
    fn resumed(&self, open: &RunOpen) -> Option<ResumedDocument> {
        let resumes = open.resumes.as_ref()?;
        let kept = resumes.kept.len();
        let (_, points) = self.shown(open)?;
        Some(ResumedDocument {
            run: resumes.run.clone(),
            kept: u32::try_from(kept).unwrap_or(u32::MAX),
            read: u32::try_from(open.plan.spec.chunks.len() - kept).unwrap_or(u32::MAX),
            rows_read: self.execution.as_ref().map_or(0, |done| done.rows),
            points,
        })
    }
}

/// That readers see the new version.
pub(in crate::cli::run) fn published(published: &Published) -> RunEvent {
    let manifest = &published.manifest;
    RunEvent::Published {
        dataset: published.dataset.to_string(),
        files: manifest.files.len() as u64,
        rows: manifest.rows,
        bytes: manifest.bytes,
    }
}

/// What was executed against what was planned. Kept chunks were read as planned, or their files would
/// not be there.
fn decisions(survey: &Survey, execution: &Execution, kept: &BTreeSet<u32>) -> Decisions {
    let spec = &survey.plan.spec;
    let kept = spec.chunks.iter().filter(|of| kept.contains(&of.number));
    let mut chunks: Vec<PlannedChunk> = kept.chain(&execution.executed).cloned().collect();
    chunks.sort_by_key(|chunk| chunk.number);
    let executed = Executed {
        spec,
        source: survey.source.identity(),
        workers: execution.sessions,
        chunks: &chunks,
    };
    planner::decisions(&survey.plan, &executed)
}
