//! The page of runs that are made up.

use jiff::Timestamp;

use super::*;
use crate::diagnosis::attribution;
use crate::model::{
    Anomaly, ChunkRecord, ChunkStatus, Direction, RunId, RunRow, RunStatus, StoredRun, Trend,
    fixtures,
};
use crate::planner::past::stored;
use crate::ui;
use crate::ui::diagnose::{ChunkDocument, DiagnoseDocument};
use crate::ui::history::{HistoryDocument, Outlook};

const HOSTILE: &str = "public.</script><img src=x onerror=\"alert('&')\">\u{202e}";

/// The page of a run, of which only the row is known where it was rebuilt, and of its history.
fn drawn(stored: &StoredRun, newest_first: &[RunRow]) -> String {
    let outlook = Outlook {
        trend: Trend::InsufficientHistory,
        converged: None,
        best_workers: None,
    };
    let known = stored.run.rebuilt_from.is_none();
    let chunks = stored.chunks.iter().map(|chunk| ChunkDocument {
        attribution: attribution::of_chunk(chunk),
        chunk,
    });
    page(&Document {
        report_version: REPORT_VERSION,
        ixtract: "0",
        made_at: Timestamp::UNIX_EPOCH,
        history: HistoryDocument::new("state.db".to_owned(), newest_first, Some(outlook)),
        course: course::of(newest_first),
        run: DiagnoseDocument {
            run: &stored.run,
            excluded: Vec::new(),
            attribution: attribution::of_run(&stored.chunks, &stored.workers, 2_000),
            skew: None,
            chunks: chunks.collect(),
            workers: &stored.workers,
        },
        metrics: known.then(|| crate::metrics::of(stored)),
        columns: if known {
            ui::plan::columns(&stored.plan)
        } else {
            Vec::new()
        },
        written: None,
        plan: known.then_some(&stored.plan),
    })
}

/// Runs of the same history, newest first, a day between two, the newest being `run`.
fn days(run: &RunRow, days: i64, change: impl Fn(i64, &mut RunRow)) -> Vec<RunRow> {
    let runs = (0..days).map(|day| {
        let mut row = run.clone();
        row.started_at -= jiff::SignedDuration::from_hours(24 * day);
        if day > 0 {
            row.id = RunId::stored(format!("rx-20260101-000000-{day:08x}"));
        }
        change(day, &mut row);
        row
    });
    runs.collect()
}

/// Every chart of a page.
fn charts(page: &str) -> Vec<&str> {
    let from = page.match_indices("<svg id=").map(|(at, _)| at);
    from.map(|at| {
        let end = page[at..].find("</div>").expect("a chart ends");
        &page[at..at + end]
    })
    .collect()
}

/// What every page has to be.
#[track_caller]
fn assert_sound(page: &str) {
    assert!(is_report(&page.as_bytes()[..HEAD_BYTES.min(page.len())]));
    for forbidden in [
        "<script", "<img", "http://", "https://", " style=", "\"NaN", "\"inf",
    ] {
        assert!(!page.contains(forbidden), "{forbidden} in {page}");
    }
    for chart in charts(page) {
        assert!(chart.contains("<title id="), "{chart}");
        assert!(chart.contains("<desc id="), "{chart}");
        let mut reader = quick_xml::Reader::from_str(chart);
        loop {
            match reader.read_event() {
                Ok(quick_xml::events::Event::Eof) => break,
                Ok(_) => {}
                Err(error) => panic!("{error} in {chart}"),
            }
        }
    }
}

#[test]
fn a_run_with_a_past_has_every_chart_and_says_what_it_found() {
    let stored = stored();
    let runs = days(&stored.run, 40, |day, run| {
        run.throughput *= 1.0 + 0.02 * (day % 5) as f64;
        run.workers = if day > 20 { 2 } else { 6 };
        run.actual_cost = Some(0.01);
        if day == 3 {
            run.status = RunStatus::Failed;
            run.throughput = 0.0;
            run.teaches = false;
        }
        if day == 7 {
            run.anomaly = Some(Anomaly {
                direction: Direction::Degradation,
                z: 4.0,
                throughput: run.throughput,
                mean: 2.0 * run.throughput,
                sigma: 1.0,
                runs: 20,
            });
        }
    });
    let page = drawn(&stored, &runs);
    assert_sound(&page);
    let ids = [
        "speed",
        "workers",
        "time",
        "timeline",
        "durations",
        "rows",
        "bytes",
        "cost",
    ];
    for id in ids {
        assert!(page.contains(&format!("<svg id=\"{id}\"")), "{id}");
    }
    assert_eq!(charts(&page).len(), ids.len());
    // A dot a published run, the chosen one circled; a cross for the one that failed.
    assert_eq!(page.matches("class=\"dot\"").count(), 39);
    assert_eq!(page.matches("class=\"chosen\"").count(), 1);
    assert_eq!(page.matches("class=\"cross\"").count(), 1);
    assert_eq!(page.matches("class=\"slow\"").count(), 1);
    assert_eq!(page.matches("class=\"fast\"").count(), 0);
    assert_eq!(page.matches("class=\"band\"").count(), 1);
    // Twelve chunks in six lanes.
    assert_eq!(page.matches("class=\"edge\"").count(), 12);
    assert!(page.contains("2 → 6"), "{page}");
}

#[test]
fn hostile_names_stay_names() {
    let mut stored = stored();
    stored.run.relation = HOSTILE.to_owned();
    stored.run.source = HOSTILE.to_owned();
    stored.run.output = HOSTILE.to_owned();
    stored.run.error = Some(HOSTILE.to_owned());
    stored.plan.spec.read.columns[0].name = HOSTILE.to_owned();
    stored.plan.spec.read.columns[0].source_type = HOSTILE.to_owned();
    let runs = [stored.run.clone()];
    let page = drawn(&stored, &runs);
    assert_sound(&page);
    assert!(page.contains("&lt;img src=x onerror=&quot;alert(&#39;&amp;&#39;)&quot;&gt;\u{fffd}"));
}

#[test]
fn one_run_and_runs_that_published_nothing_have_a_page_too() {
    let mut stored = stored();
    let page = drawn(&stored, &[stored.run.clone()]);
    assert_sound(&page);
    assert!(page.contains("1 clean run so far"), "{page}");
    assert!(page.contains("No rates were given"), "{page}");

    stored.run.status = RunStatus::Crashed;
    stored.run.throughput = 0.0;
    (stored.chunks, stored.workers) = (Vec::new(), Vec::new());
    let page = drawn(&stored, &[stored.run.clone()]);
    assert_sound(&page);
    for says in [
        "No run has been published yet",
        "died before it could record",
        "No chunk was finished",
    ] {
        assert!(page.contains(says), "{says}: {page}");
    }
    stored.run.rebuilt_from = Some("out/_manifest.json".to_owned());
    stored.run.status = RunStatus::Success;
    let page = drawn(&stored, &[stored.run.clone()]);
    assert_sound(&page);
    assert!(
        page.contains("rebuilt from its manifest, so its plan is not known"),
        "{page}"
    );
    // A run that is older than all that are charted.
    let mut other = stored.run.clone();
    other.id = RunId::stored("rx-20270101-000000-00000001");
    let page = drawn(&stored, &[other]);
    assert!(page.contains("the run of this report is older"), "{page}");
}

#[test]
fn thousands_of_runs_and_chunks_stay_a_small_page() {
    let mut stored = stored();
    let one = stored.chunks[0].clone();
    stored.chunks = (0..10_000u32)
        .map(|at| ChunkRecord {
            number: at + 1,
            worker: at % 64 + 1,
            status: if at == 777 {
                ChunkStatus::Failed
            } else {
                ChunkStatus::Success
            },
            started_ms: u64::from(at / 64) * 1_010,
            ..one.clone()
        })
        .collect();
    let runs = days(&stored.run, 5_000, |day, run| {
        run.workers = 1 + day.unsigned_abs() as u32 / 50 % 9;
        run.throughput *= 1.0 + 0.1 * (day % 7) as f64;
        run.anomaly = (day % 3 == 0).then_some(Anomaly {
            direction: Direction::Improvement,
            z: 3.0,
            throughput: run.throughput,
            mean: 1.0,
            sigma: 1.0,
            runs: 20,
        });
    });
    let page = drawn(&stored, &runs);
    assert_sound(&page);
    assert!(page.len() < 2_000_000, "{} bytes", page.len());
    assert!(page.contains("neighbouring chunks are drawn as one"));
    assert!(page.contains("several in a bar"));
    // The chunk that failed is not hidden among its neighbours.
    assert_eq!(page.matches("chunk_778 (failed)").count(), 1);
}

#[test]
fn only_a_report_is_a_report() {
    assert!(!is_report(b""));
    assert!(!is_report(b"<!doctype html>\n<html></html>"));
    let quoted = "<!doctype html>\n<p>&lt;meta name=\"generator\" content=\"ixtract report\"&gt;";
    assert!(!is_report(quoted.as_bytes()));
    let page = fixtures::row(1.0);
    let page = drawn(
        &StoredRun {
            run: page,
            ..stored()
        },
        &[],
    );
    assert!(is_report(&page.as_bytes()[..HEAD_BYTES]));
}
