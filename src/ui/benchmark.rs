//! What a benchmark found, on one screen.

use super::json::BenchmarkDocument;
use super::{Line, picture, table, units, wording};
use crate::model::{Benchmark, CurveShape};

/// Characters of the longest bar.
const BAR: usize = 24;

/// A benchmark, or why there is none.
pub fn view(document: &BenchmarkDocument<'_>) -> Vec<Line> {
    let mut lines = vec![
        Line::Heading(format!(
            "Benchmark of {} on {}",
            document.table, document.server
        )),
        Line::fact("source", document.source.clone()),
    ];
    if let Some(reason) = &document.skipped {
        lines.push(Line::fact("skipped", reason.clone()));
    }
    if let Some(benchmark) = &document.benchmark {
        lines.extend(found(benchmark));
    }
    lines.extend(
        document
            .next_plan
            .iter()
            .map(|next| Line::fact("next plan", next.clone())),
    );
    if let Some(consistency) = &document.consistency {
        lines.push(Line::fact(
            "consistency",
            format!(
                "{}, {}; nothing was written",
                wording::achieved(consistency.level),
                units::plural(u64::from(consistency.readers), "session")
            ),
        ));
    }
    lines.extend(document.warnings.iter().cloned().map(Line::Warning));
    lines
}

fn found(benchmark: &Benchmark) -> Vec<Line> {
    vec![
        Line::fact(
            "read",
            format!(
                "{} of the table, about {} a session in each",
                units::plural(u64::from(benchmark.ranges_used), "range"),
                units::plural(benchmark.probe_rows, "row")
            ),
        ),
        curve(benchmark),
        Line::fact("curve", shape(benchmark.curve_shape)),
        Line::fact(
            "confidence",
            format!(
                "{:.2}; the number of workers makes a difference of {}",
                benchmark.confidence,
                wording::share(benchmark.signal_strength)
            ),
        ),
    ]
}

fn curve(benchmark: &Benchmark) -> Line {
    let results = &benchmark.probe_results;
    let best = results
        .iter()
        .map(|result| result.avg_throughput)
        .fold(0.0, f64::max);
    let rows = results.iter().map(|result| {
        let mark = if result.worker_count == benchmark.optimal_workers {
            " fewest within 5 % of the fastest"
        } else {
            ""
        };
        vec![
            result.worker_count.to_string(),
            units::rate(result.avg_throughput),
            format!("{:.2}", result.cv),
            format!("{:.1}", result.effective_workers),
            format!("{}{mark}", picture::bar(result.avg_throughput, best, BAR)),
        ]
    });
    table::grid(
        &["workers", "speed", "varies", "busy", ""],
        rows.collect(),
        &[0, 1, 2, 3],
    )
}

fn shape(shape: CurveShape) -> &'static str {
    match shape {
        CurveShape::Increasing => "still rising at the most workers",
        CurveShape::Plateau => "flat past the fastest, or fastest at the fewest",
        CurveShape::NonMonotonic => "falls past the fastest",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimator::curve::tests::benchmark;
    use crate::model::{ConsistencyLevel, SnapshotFacts};
    use crate::ui::plain;

    fn document(benchmark: Option<Benchmark>) -> BenchmarkDocument<'static> {
        BenchmarkDocument {
            status: "measured",
            skipped: None,
            table: "public.orders".to_owned(),
            server: "PostgreSQL 15.18",
            source: "postgresql://db.example:5432/shop".to_owned(),
            throughput_by_workers: benchmark.as_ref().map(Benchmark::throughput_by_workers),
            benchmark,
            next_plan: Some("2 benchmarked".to_owned()),
            consistency: None,
            state: None,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_benchmark_draws_its_curve() {
        let curve = benchmark(&[(1, 1e5), (2, 2.2e5), (4, 2.3e5), (8, 2.15e5)]);
        let document = BenchmarkDocument {
            consistency: Some(SnapshotFacts {
                level: ConsistencyLevel::SharedSnapshot,
                readers: 8,
                position: None,
                taken_at: "2026-02-02T02:40:00Z".to_owned(),
                held_by: "ACCESS SHARE lock".to_owned(),
                notes: Vec::new(),
            }),
            ..document(Some(curve))
        };
        insta::assert_snapshot!(plain(&view(&document)), @"
        Benchmark of public.orders on PostgreSQL 15.18
          source       postgresql://db.example:5432/shop
          read         1 range of the table, about 50,000 rows a session in each
          workers          speed  varies  busy
                1  100.0K rows/s    0.00   1.0  ██████████▍
                2  220.0K rows/s    0.00   2.0  ███████████████████████ fewest within 5 % of the fastest
                4  230.0K rows/s    0.00   4.0  ████████████████████████
                8  215.0K rows/s    0.00   8.0  ██████████████████████▍
          curve        falls past the fastest
          confidence   0.70; the number of workers makes a difference of 57 %
          next plan    2 benchmarked
          consistency  one snapshot shared by all readers, 8 sessions; nothing was written
        ");
    }

    #[test]
    fn a_skipped_benchmark_says_why() {
        let document = BenchmarkDocument {
            status: "skipped",
            skipped: Some("the table is small".to_owned()),
            next_plan: None,
            ..document(None)
        };
        insta::assert_snapshot!(plain(&view(&document)), @"
        Benchmark of public.orders on PostgreSQL 15.18
          source       postgresql://db.example:5432/shop
          skipped      the table is small
        ");
    }
}
