//! A run explained: what it was, why it was done so, and how it compares with the one before.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::json::{Measured, OutcomeDocument};
use super::wording::{self, Topic};
use super::{Line, estimate, measured, metrics, plan, resume, table, timeline, units};
use crate::model::{
    ChunkRecord, ExecutionPlan, Metrics, Reason, RunId, RunRow, RunStatus, Scheduling, StoredRun,
    Strategy, WorkerMetrics,
};

/// Columns of a lane.
const LANE: usize = 64;

/// `explain`.
#[derive(Debug, Serialize)]
pub struct ExplainDocument<'a> {
    /// The run's row.
    pub run: &'a RunRow,
    /// What was decided.
    pub decided: Decided,
    /// Why, in the order in which it was decided.
    pub reasons: Vec<ReasonDocument<'a>>,
    /// What the plan warned of.
    pub plan_warnings: &'a [String],
    /// The run that it is compared with.
    pub previous: Option<PreviousDocument>,
    /// `--standard`: the evidence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standard: Option<StandardDocument<'a>>,
    #[serde(skip)]
    plan: &'a ExecutionPlan,
}

/// What a plan decided, in brief.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Decided {
    /// Workers.
    pub workers: u32,
    /// Chunks.
    pub chunks: u64,
    /// How the table was cut.
    pub strategy: Strategy,
    /// In which order chunks were taken.
    pub scheduling: Scheduling,
}

/// One reason.
#[derive(Debug, Serialize)]
pub struct ReasonDocument<'a> {
    /// What it explains: `strategy`, `workers` or `scheduling`.
    pub explains: &'static str,
    /// As half a sentence.
    pub words: String,
    /// As data.
    #[serde(flatten)]
    pub reason: &'a Reason,
}

/// The run that another is compared with.
#[derive(Clone, Debug, Serialize)]
pub struct PreviousDocument {
    /// Its id.
    pub run: RunId,
    /// Its start.
    pub started_at: Timestamp,
    /// How it ended.
    pub status: RunStatus,
    /// Its planned workers.
    pub workers: u32,
    /// What it came to.
    #[serde(flatten)]
    pub measured: Measured,
    /// What changed since; `None` where one of both published nothing.
    pub change: Option<OutcomeDocument>,
}

/// The evidence.
#[derive(Debug, Serialize)]
pub struct StandardDocument<'a> {
    /// Every chunk of the plan, with what was recorded of it.
    pub chunks: Vec<ChunkDocument<'a>>,
    /// The workers.
    pub workers: Vec<WorkerMetrics>,
    #[serde(skip)]
    metrics: Metrics,
}

/// A chunk as it was planned and executed.
#[derive(Debug, Serialize)]
pub struct ChunkDocument<'a> {
    /// `chunk_001`, ….
    pub id: String,
    /// The rows it holds.
    pub holds: String,
    /// Estimated rows.
    pub expected_rows: Option<u64>,
    /// What was recorded; `None` where the run was never closed.
    #[serde(flatten)]
    pub record: Option<&'a ChunkRecord>,
}

impl<'a> ExplainDocument<'a> {
    /// A run, the one before it, and, where its evidence is wanted, its metrics.
    pub fn new(
        stored: &'a StoredRun,
        previous: Option<&RunRow>,
        standard: Option<Metrics>,
    ) -> Self {
        let StoredRun { run, plan, .. } = stored;
        Self {
            run,
            decided: Decided {
                workers: plan.spec.workers,
                chunks: plan.spec.chunks.len() as u64,
                strategy: plan.spec.strategy,
                scheduling: plan.spec.scheduling,
            },
            reasons: plan.reasons.iter().map(explained).collect(),
            plan_warnings: &plan.warnings,
            previous: previous.map(|previous| PreviousDocument::new(previous, run)),
            standard: standard.map(|metrics| StandardDocument {
                chunks: chunks(stored),
                workers: metrics.workers.clone(),
                metrics,
            }),
            plan,
        }
    }
}

fn explained(reason: &Reason) -> ReasonDocument<'_> {
    ReasonDocument {
        explains: match wording::topic(reason) {
            Topic::Strategy => "strategy",
            Topic::Workers => "workers",
            Topic::Scheduling => "scheduling",
            Topic::Expected => "expected",
        },
        words: wording::reason(reason),
        reason,
    }
}

impl PreviousDocument {
    fn new(previous: &RunRow, run: &RunRow) -> Self {
        let published = previous.status == RunStatus::Success && run.status == RunStatus::Success;
        let (before, after) = (Measured::from(previous), Measured::from(run));
        Self {
            run: previous.id.clone(),
            started_at: previous.started_at,
            status: previous.status,
            workers: previous.workers,
            measured: before,
            change: published.then(|| OutcomeDocument::between(before, after)),
        }
    }
}

fn chunks(stored: &StoredRun) -> Vec<ChunkDocument<'_>> {
    let planned = stored.plan.spec.chunks.iter().enumerate();
    planned
        .map(|(index, chunk)| ChunkDocument {
            id: chunk.id(),
            holds: chunk.bounds.to_string(),
            expected_rows: stored.plan.forecast.chunks.get(index).map(|of| of.rows),
            record: stored.chunks.iter().find(|of| of.number == chunk.number),
        })
        .collect()
}

/// The explanation, its evidence at the end.
pub fn view(document: &ExplainDocument<'_>) -> Vec<Line> {
    let mut lines = summary(document.run);
    lines.extend([Line::Blank, Line::Heading("Why it was done so".to_owned())]);
    lines.extend(plan::decisions(document.plan));
    if let Some(context) = document.run.context.known() {
        lines.push(Line::fact("context", plan::context(context)));
    }
    lines.extend(document.plan_warnings.iter().cloned().map(Line::Warning));
    lines.push(Line::Blank);
    match &document.previous {
        Some(previous) => lines.extend(comparison(document.run, previous)),
        None => lines.push(Line::Text(
            "There is no earlier run to compare it with".to_owned(),
        )),
    }
    if let Some(standard) = &document.standard {
        lines.extend(evidence(document, standard));
    }
    lines
}

fn summary(run: &RunRow) -> Vec<Line> {
    let took = units::elapsed(Duration::from_secs_f64(run.duration_s.max(0.0)));
    let status = match &run.error {
        Some(error) => format!("{}: {error}", run.status.name()),
        None => run.status.name().to_owned(),
    };
    let mut lines = vec![
        Line::Heading(format!("Run {} of {}", run.id, run.relation)),
        Line::fact("source", run.source.clone()),
        Line::fact(
            "started",
            run.started_at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
        ),
        Line::fact("status", status),
    ];
    if run.status == RunStatus::Success {
        let read = format!(
            "{} in {took} ({}), {}; {} busy on average",
            units::plural(run.rows, "row"),
            units::rate(run.throughput),
            units::bytes(run.bytes),
            format_args!("{:.1} of {} workers", run.effective_workers, run.workers)
        );
        lines.push(Line::fact("read", read));
    }
    lines.extend(resume::of_row(run));
    lines.push(Line::fact("dataset", run.output.clone()));
    lines.push(Line::fact("teaches", taught(run)));
    if !run.adaptations.is_empty() {
        lines.push(Line::fact("deviations", run.adaptations.join("\n")));
    }
    lines.push(Line::fact("fingerprint", run.fingerprint.clone()));
    lines
}

/// Whether later plans are made from it, and why not.
fn taught(run: &RunRow) -> String {
    match (&run.replay_of, run.teaches) {
        (_, true) => "yes".to_owned(),
        (Some(original), false) => format!("no: it is a replay of {original}"),
        (None, false) if run.status != RunStatus::Success => "no: it published nothing".to_owned(),
        (None, false) if run.resumes.is_some() => "no: it read only a part".to_owned(),
        (None, false) if run.constrained => {
            "no: hints, --workers or a given plan shaped it".to_owned()
        }
        (None, false) => "no: it was disturbed, or read by fewer workers than planned".to_owned(),
    }
}

fn comparison(run: &RunRow, previous: &PreviousDocument) -> [Line; 2] {
    let of = match run.replay_of.as_ref() == Some(&previous.run) {
        true => "the run it replays",
        false => "the run before",
    };
    let workers = match (previous.workers, run.workers) {
        (before, now) if before == now => {
            format!("{} in both", units::plural(u64::from(now), "worker"))
        }
        (before, now) => format!(
            "{} instead of {before}",
            units::plural(u64::from(now), "worker")
        ),
    };
    [
        Line::Heading(format!("Against {of}, {} ({workers})", previous.run)),
        Line::Text(measured::side_by_side(
            [
                ("before", previous.status.name(), previous.measured),
                ("now", run.status.name(), Measured::from(run)),
            ],
            previous.change,
        )),
    ]
}

fn evidence(document: &ExplainDocument<'_>, standard: &StandardDocument<'_>) -> Vec<Line> {
    let run = document.run;
    let mut lines = vec![
        Line::Blank,
        Line::Heading("Evidence: what was predicted and what came".to_owned()),
        Line::Text(predicted(run)),
        Line::Blank,
    ];
    let estimate = estimate::full(&document.plan.forecast);
    if !estimate.is_empty() {
        lines.extend(estimate);
        lines.push(Line::Blank);
    }
    lines.push(Line::Heading("Chunks".to_owned()));
    lines.push(Line::Text(chunk_table(&standard.chunks)));
    let records: Vec<ChunkRecord> = standard
        .chunks
        .iter()
        .filter_map(|chunk| chunk.record.cloned())
        .collect();
    let total_ms = (run.duration_s.max(0.0) * 1000.0).round() as u64;
    let lanes = timeline::lanes(&records, total_ms, LANE);
    if !lanes.is_empty() {
        let column = metrics::millis(total_ms.div_ceil(LANE as u64));
        lines.push(Line::Blank);
        lines.push(Line::Heading(format!(
            "Timeline (a column is about {column}, a digit the last of a chunk's number)"
        )));
        let lanes = lanes.iter();
        lines.extend(lanes.map(|(worker, lane)| Line::Text(format!("  {worker:>2}  {lane}"))));
    }
    if !standard.workers.is_empty() {
        lines.push(Line::Blank);
        lines.push(Line::Heading("Workers".to_owned()));
        lines.push(Line::Text(metrics::workers(&standard.metrics)));
    }
    lines
}

fn predicted(run: &RunRow) -> String {
    let seconds = |seconds: f64| units::elapsed(Duration::from_secs_f64(seconds.max(0.0)));
    let expected = &run.predicted;
    let row = |what: &str, before: String, now: String| vec![what.to_owned(), before, now];
    let rows = vec![
        row(
            "workers",
            run.workers.to_string(),
            format!("{:.1}", run.effective_workers),
        ),
        row("rows", units::count(expected.rows), units::count(run.rows)),
        row(
            "size",
            units::bytes(expected.bytes),
            units::bytes(run.bytes),
        ),
        row(
            "speed",
            units::rate(expected.throughput),
            units::rate(run.throughput),
        ),
        row(
            "duration",
            seconds(expected.duration_s),
            seconds(run.duration_s),
        ),
    ];
    table::grid(&["", "predicted", "measured"], rows, &[1, 2])
}

fn chunk_table(chunks: &[ChunkDocument<'_>]) -> String {
    let rows = chunks.iter().map(|chunk| {
        let record =
            |say: &dyn Fn(&ChunkRecord) -> String| chunk.record.map_or_else(|| "-".to_owned(), say);
        vec![
            chunk.id.clone(),
            chunk.holds.clone(),
            chunk
                .expected_rows
                .map_or_else(|| "-".to_owned(), units::count),
            record(&|of| units::exact(of.rows)),
            record(&|of| units::bytes(of.bytes)),
            record(&|of| match of.worker {
                0 => "-".to_owned(),
                worker => worker.to_string(),
            }),
            record(&|of| metrics::millis(of.started_ms)),
            record(&|of| metrics::millis(of.duration_ms)),
            record(&|of| of.retries.to_string()),
        ]
    });
    let header = [
        "chunk", "holds", "expected", "rows", "size", "worker", "at", "took", "retries",
    ];
    table::grid(&header, rows.collect(), &[2, 3, 4, 5, 6, 7, 8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::past::stored;
    use crate::ui::plain;

    #[test]
    fn a_run_is_explained_on_one_screen() {
        let (mut before, mut stored) = (stored().run, stored());
        before.id = RunId::stored("rx-20260130-120000-0ddba115");
        before.workers = 4;
        before.throughput = 1_200_000.0;
        before.duration_s = 2.5;
        stored.run.fingerprint = "f00d".to_owned();
        let text = plain(&view(&ExplainDocument::new(&stored, Some(&before), None)));
        insta::assert_snapshot!(text, @"
        Run rx-20260131-120000-0badcafe of public.orders
          source       postgresql://db.example:5432/shop
          started      2026-01-31 12:00:00 UTC
          status       success
          read         3,000,000 rows in 2.00s (1.5M rows/s), 120.0 MB; 6.0 of 6 workers busy on average
          dataset      /srv/out/public.orders
          teaches      yes
          fingerprint  f00d

        Why it was done so
          strategy     12 chunks, key ranges of id
                       · rows are stored in the order of id (correlation 1.00)
                       · bounds at equal numbers of rows, from the catalogue's statistics
          workers      6
                       · 6 recommended by the profile
          scheduling   plan order
          expected     3.0M rows, 300.0 MB at the source, 5s at 600.0K rows/s
          estimate     no history yet: a cautious guess
                       · confidence LOW: no run under like circumstances, hardly any evidence

        Against the run before, rx-20260130-120000-0ddba115 (6 workers instead of 4)
                         before          now   change
          status        success      success
          rows        3,000,000    3,000,000        0
          size         120.0 MB     120.0 MB      0 B
          duration        2.50s        2.00s   -0.50s
          speed     1.2M rows/s  1.5M rows/s  +25.0 %
        ");
        (before.workers, stored.run.workers) = (1, 1);
        let text = plain(&view(&ExplainDocument::new(&stored, Some(&before), None)));
        assert!(text.contains("(1 worker in both)"), "{text}");
    }

    #[test]
    fn the_evidence_is_below() {
        let mut stored = stored();
        stored.chunks.truncate(3);
        stored.plan.spec.chunks.truncate(4);
        let metrics = crate::metrics::of(&stored);
        let text = plain(&view(&ExplainDocument::new(&stored, None, Some(metrics))));
        let at = text
            .find("There is no earlier run")
            .expect("no earlier run");
        insta::assert_snapshot!(&text[at..], @"
        There is no earlier run to compare it with

        Evidence: what was predicted and what came
                        predicted     measured
          workers               6          6.0
          rows               3.0M         3.0M
          size           300.0 MB     120.0 MB
          speed     600.0K rows/s  1.5M rows/s
          duration          5.00s        2.00s

        Chunks
          chunk      holds              expected     rows     size  worker   at   took  retries
          chunk_001  […, 250001)          250.0K  250,000  10.0 MB       1  0ms  1.00s        0
          chunk_002  [250001, 500001)     250.0K  250,000  10.0 MB       2  0ms  1.00s        0
          chunk_003  [500001, 750001)     250.0K  250,000  10.0 MB       3  0ms  1.00s        0
          chunk_004  [750001, 1000001)    250.0K        -        -       -    -      -        -

        Timeline (a column is about 32ms, a digit the last of a chunk's number)
           1  11111111111111111111111111111111································
           2  22222222222222222222222222222222································
           3  33333333333333333333333333333333································

        Workers
          worker  chunks     rows     size          speed  busy  waiting  idle
               1       2  500,000  20.0 MB  250.0K rows/s  100%      60%    0%
               2       2  500,000  20.0 MB  250.0K rows/s  100%      60%    0%
               3       2  500,000  20.0 MB  250.0K rows/s  100%      60%    0%
               4       2  500,000  20.0 MB  250.0K rows/s  100%      60%    0%
               5       2  500,000  20.0 MB  250.0K rows/s  100%      60%    0%
               6       2  500,000  20.0 MB  250.0K rows/s  100%      60%    0%
        ");
    }

    #[test]
    fn why_a_run_does_not_teach_is_told() {
        let why = |change: fn(&mut RunRow)| {
            let mut run = stored().run;
            run.teaches = false;
            change(&mut run);
            taught(&run)
        };
        assert!(why(|run| run.constrained = true).contains("--workers"));
        assert!(why(|run| run.status = RunStatus::Failed).contains("published nothing"));
        assert!(why(|run| run.replay_of = Some(run.id.clone())).contains("a replay of rx-"));
        assert!(why(|_| {}).contains("disturbed"));
        assert_eq!(why(|run| run.teaches = true), "yes");
    }
}
