//! A run in numbers: chunks, workers, totals.

use std::time::Duration;

use serde::Serialize;

use super::{Line, table, units};
use crate::model::{ChunkMetrics, Metrics, OfChunk, RunId, RunRow, RunStatus, Severity};

/// `metrics`.
#[derive(Debug, Serialize)]
pub struct MetricsDocument<'a> {
    /// The run.
    pub run: &'a RunId,
    /// Its relation, `schema.name`.
    pub table: &'a str,
    /// How it ended, or that it has not.
    pub status: RunStatus,
    /// Rows.
    pub rows: u64,
    /// Bytes of the files.
    pub bytes: u64,
    /// Wall time of the read, in seconds.
    pub duration_s: f64,
    /// Rows a second over the whole read.
    pub throughput: f64,
    /// Chunks and workers.
    #[serde(flatten)]
    pub metrics: Metrics,
}

impl<'a> MetricsDocument<'a> {
    /// A run and its metrics.
    pub fn new(run: &'a RunRow, metrics: Metrics) -> Self {
        Self {
            run: &run.id,
            table: &run.relation,
            status: run.status,
            rows: run.rows,
            bytes: run.bytes,
            duration_s: run.duration_s,
            throughput: run.throughput,
            metrics,
        }
    }
}

/// The numbers on one screen.
pub fn view(document: &MetricsDocument<'_>) -> Vec<Line> {
    let metrics = &document.metrics;
    let counts = &metrics.counts;
    let took = Duration::from_secs_f64(document.duration_s.max(0.0));
    let mut lines = vec![
        Line::Heading(format!("Run {} of {}", document.run, document.table)),
        Line::fact("status", document.status.name()),
        Line::fact(
            "total",
            format!(
                "{} rows, {} in {} ({})",
                units::exact(document.rows),
                units::bytes(document.bytes),
                units::elapsed(took),
                units::rate(document.throughput)
            ),
        ),
        Line::fact(
            "workers",
            format!(
                "{} planned, {:.1} busy on average",
                metrics.planned_workers, metrics.effective_workers
            ),
        ),
        Line::fact(
            "chunks",
            format!(
                "{} planned, {} finished, {} failed, {} pending; {}",
                units::exact(counts.planned),
                units::exact(counts.finished),
                units::exact(counts.failed),
                units::exact(counts.pending),
                match counts.retries {
                    0 => "no retries".to_owned(),
                    1 => "1 retry".to_owned(),
                    retries => format!("{} retries", units::exact(retries)),
                }
            ),
        ),
    ];
    lines.extend(metrics.chunks.iter().flat_map(chunks));
    if !metrics.workers.is_empty() {
        lines.extend([Line::Blank, workers(metrics)]);
    }
    lines
}

fn chunks(chunks: &ChunkMetrics) -> [Line; 3] {
    let rate = |of: OfChunk<f64>| format!("{} (chunk_{:03})", units::rate(of.value), of.chunk);
    let time = |of: OfChunk<u64>| format!("{} (chunk_{:03})", millis(of.value), of.chunk);
    [
        Line::fact(
            "chunk speed",
            format!(
                "{} on average, at best {}, at worst {}",
                units::rate(chunks.average_rate),
                rate(chunks.best_rate),
                rate(chunks.worst_rate)
            ),
        ),
        Line::fact(
            "chunk time",
            format!(
                "median {}, fastest {}, slowest {}",
                millis(chunks.median_ms),
                time(chunks.fastest_ms),
                time(chunks.slowest_ms)
            ),
        ),
        Line::fact(
            "skew",
            format!(
                "{:.2} slowest over median: {}; variation {:.2}",
                chunks.skew,
                Severity::of(chunks.skew).name(),
                chunks.cv
            ),
        ),
    ]
}

/// The workers, one a line.
pub(super) fn workers(metrics: &Metrics) -> Line {
    let share = |permille: u32| units::percent(permille.into(), 1000);
    let rows = metrics.workers.iter().map(|worker| {
        vec![
            worker.worker.to_string(),
            worker.chunks.to_string(),
            units::exact(worker.rows),
            units::bytes(worker.bytes),
            units::rate(worker.rate),
            share(worker.busy_permille),
            share(worker.blocked_permille),
            share(worker.idle_permille),
        ]
    });
    let header = [
        "worker", "chunks", "rows", "size", "speed", "busy", "waiting", "idle",
    ];
    table::grid(&header, rows.collect(), &[0, 1, 2, 3, 4, 5, 6, 7])
}

/// Milliseconds, as long as they are few.
pub(super) fn millis(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms}ms"),
        _ => units::elapsed(Duration::from_millis(ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::past::stored;
    use crate::ui::plain;

    #[test]
    fn a_run_in_numbers_fits_a_screen() {
        let mut stored = stored();
        stored.chunks[3].duration_ms = 4000;
        stored.chunks[4].retries = 1;
        let document = MetricsDocument::new(&stored.run, crate::metrics::of(&stored));
        insta::assert_snapshot!(plain(&view(&document)), @"
        Run rx-20260131-120000-0badcafe of public.orders
          status       success
          total        3,000,000 rows, 120.0 MB in 2.00s (1.5M rows/s)
          workers      6 planned, 6.0 busy on average
          chunks       12 planned, 12 finished, 0 failed, 0 pending; 1 retry
          chunk speed  200.0K rows/s on average, at best 250.0K rows/s (chunk_001), at worst 62.5K rows/s (chunk_004)
          chunk time   median 1.00s, fastest 1.00s (chunk_001), slowest 4.00s (chunk_004)
          skew         4.00 slowest over median: high; variation 0.66

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
    fn a_run_that_was_never_closed_has_totals_only() {
        let mut stored = stored();
        stored.chunks.clear();
        stored.workers.clear();
        stored.run.status = RunStatus::Crashed;
        let document = MetricsDocument::new(&stored.run, crate::metrics::of(&stored));
        let text = plain(&view(&document));
        assert!(text.contains("0 finished, 0 failed, 12 pending"), "{text}");
        assert!(!text.contains("skew"), "{text}");
    }
}
