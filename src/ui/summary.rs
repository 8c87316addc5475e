//! What a run achieved, on one screen.

use std::time::Duration;

use super::json::{
    BackfillDocument, DemoDocument, KeysDocument, NothingNewDocument, RecountDocument, RunDocument,
    VerifyDocument,
};
use super::wording::finding;
use super::{Line, cost, drift, resume, table, units, wording};

/// Most adaptations that are listed; the manifest has them all.
const ADAPTATIONS_SHOWN: usize = 4;

/// Snapshots that are open for so long are worth a word: the server keeps what they may still see.
const WORTH_TELLING: Duration = Duration::from_secs(60);

/// The summary of a published run.
pub fn view(run: &RunDocument) -> Vec<Line> {
    let took = Duration::from_secs_f64(run.duration_s.max(0.0));
    let mut lines = vec![
        Line::Good(format!("Published {}", run.dataset)),
        Line::fact("rows", rows(run)),
        Line::fact(
            "files",
            format!(
                "{}, {}, {}, {}",
                units::plural(run.files, "file"),
                units::bytes(run.bytes),
                run.format,
                run.compression
            ),
        ),
        Line::fact(
            "work",
            format!(
                "{} by {} (busy on average: {:.1})",
                units::plural(run.chunks, "chunk"),
                units::plural(u64::from(run.workers), "worker"),
                run.effective_workers
            ),
        ),
    ];
    lines.extend(run.resumed.iter().flat_map(resume::kept));
    lines.extend([
        Line::fact("consistency", consistency(run)),
        Line::fact("proof", proof(run)),
        Line::fact(
            "predicted",
            format!(
                "{}, and it took {}",
                units::elapsed(Duration::from_secs_f64(run.predicted_s.max(0.0))),
                units::elapsed(took)
            ),
        ),
        Line::fact("fingerprint", run.fingerprint.clone()),
        Line::fact("run", run.run.to_string()),
        Line::fact("history", history(run)),
    ]);
    let window = run.window.iter();
    lines.extend(window.map(|window| Line::fact("window", window.to_string())));
    lines.extend(run.schema_change.iter().map(drift::fact));
    lines.extend(diagnosis(run));
    lines.extend(run.cost.iter().map(cost::spent));
    lines.extend(nulled(run));
    lines.extend(adaptations(run));
    lines.extend(run.warnings.iter().cloned().map(Line::Warning));
    lines
}

/// That there was nothing to do.
pub fn nothing_new(nothing: &NothingNewDocument) -> Vec<Line> {
    vec![
        Line::Good(format!("Nothing new for {}", nothing.dataset)),
        Line::Text(nothing.why.clone()),
    ]
}

/// What a backfill came to; each of its runs had a line before.
pub fn backfilled(document: &BackfillDocument) -> Vec<Line> {
    let windows = units::plural(document.windows.len() as u64, "window");
    let rows = units::plural(document.rows, "row");
    vec![Line::Good(format!("Backfilled {windows}: {rows}"))]
}

/// The summary in one line, for a run like one that was shown before.
pub fn short(run: &RunDocument) -> Line {
    let took = Duration::from_secs_f64(run.duration_s.max(0.0));
    Line::Good(format!(
        "Published {}: {} in {} ({}), {}, {}",
        run.dataset,
        units::plural(run.rows, "row"),
        units::elapsed(took),
        units::rate(run.throughput),
        units::plural(run.files, "file"),
        units::bytes(run.bytes)
    ))
}

fn rows(run: &RunDocument) -> String {
    let took = units::elapsed(Duration::from_secs_f64(run.duration_s.max(0.0)));
    let (rows, rate) = (units::exact(run.rows), units::rate(run.throughput));
    match &run.resumed {
        None => format!("{rows} in {took} ({rate})"),
        Some(resumed) => format!(
            "{rows}, {} of them read in {took} ({rate})",
            units::exact(resumed.rows_read)
        ),
    }
}

fn consistency(run: &RunDocument) -> String {
    let facts = &run.consistency;
    let mut text = format!(
        "{} ({}), as of {}",
        wording::achieved(facts.level),
        units::plural(u64::from(facts.readers), "reader"),
        units::moment(&facts.taken_at)
    );
    if let Some(position) = &facts.position {
        text.push_str(&format!(", position {position}"));
    }
    let open = Duration::from_secs_f64(run.snapshot_open_s.max(0.0));
    if open >= WORTH_TELLING {
        text.push_str(&format!(", open for {}", units::elapsed(open)));
    }
    for note in &facts.notes {
        text.push_str(&format!("\n{note}"));
    }
    text
}

fn proof(run: &RunDocument) -> String {
    if let Some(beside) = run.proof.beside_kept {
        let mut text = format!(
            "the server counts {} rows now, {} of them where chunks were kept: the rest is what was \
             read; the kept ones hold {} rows of then",
            units::exact(beside.all),
            units::exact(beside.in_kept),
            units::exact(beside.kept)
        );
        if let Some(keys) = &run.proof.keys {
            text.push_str(&format!("\n{}", summed(keys)));
        }
        return text;
    }
    match run.proof.counted {
        Some(counted) => {
            let took = run
                .proof
                .count_ms
                .map(|ms| {
                    format!(
                        " (its count took {})",
                        units::elapsed(Duration::from_millis(ms))
                    )
                })
                .unwrap_or_default();
            let counted = format!("the server counts {} rows too{took}", units::exact(counted));
            match &run.proof.keys {
                None => counted,
                Some(keys) => format!("{counted}\n{}", summed(keys)),
            }
        }
        None => "every stream ended properly, every file reads back; not counted by the server"
            .to_owned(),
    }
}

/// What a full proof found, and what it cost.
fn summed(keys: &KeysDocument) -> String {
    let spent = |ms| units::elapsed(Duration::from_millis(ms));
    format!(
        "and chunk by chunk the same keys ({}) as the files, read back (its sums took {} in all, \
         reading back {})",
        keys.columns.join(", "),
        spent(keys.server_ms),
        spent(keys.read_back_ms)
    )
}

fn history(run: &RunDocument) -> String {
    match (&run.state, run.teaches) {
        (Some(file), true) => format!("{file} (the next plan learns from this run)"),
        (Some(file), false) if run.resumed.is_some() => {
            format!("{file} (recorded, but not learned from: it read only a part)")
        }
        (Some(file), false) if run.hints.is_some() => {
            format!("{file} (recorded, but not learned from: hints constrained it)")
        }
        (Some(file), false) if run.constrained => {
            format!("{file} (recorded, but not learned from: flags or a given plan constrained it)")
        }
        (Some(file), false) => format!("{file} (recorded, but not learned from)"),
        (None, _) => "not recorded".to_owned(),
    }
}

/// What the run shows: its category, what was the limit, and whether it is out of the ordinary.
fn diagnosis(run: &RunDocument) -> Vec<Line> {
    let Some(found) = &run.finding else {
        return Vec::new();
    };
    let limit = finding::limit(&found.measures.attribution, found.measures.waits);
    let text = format!("{}\n{limit}", finding::headline(found));
    let mut lines = vec![Line::fact("diagnosis", text)];
    if let Some(anomaly) = &run.anomaly {
        lines.push(Line::fact("anomaly", finding::anomaly(anomaly)));
    }
    lines
}

/// Values that were not written, column by column: nothing is nulled in silence.
fn nulled(run: &RunDocument) -> Option<Line> {
    let values = run.nulled.iter().map(|(column, count)| {
        let values = units::plural(*count, "value");
        format!("{column}: {values} that its type cannot hold")
    });
    let text = values.collect::<Vec<_>>().join("\n");
    (!text.is_empty()).then(|| Line::fact("nulled", text))
}

fn adaptations(run: &RunDocument) -> Vec<Line> {
    let more = run.adaptations.len().saturating_sub(ADAPTATIONS_SHOWN);
    let mut shown: Vec<String> = run
        .adaptations
        .iter()
        .take(ADAPTATIONS_SHOWN)
        .cloned()
        .collect();
    if more > 0 {
        shown.push(format!("and {more} more, in the manifest"));
    }
    if shown.is_empty() {
        Vec::new()
    } else {
        vec![Line::fact("deviations", shown.join("\n"))]
    }
}

/// What the demo's runs predicted and took, and where to go from there.
pub fn tour(demo: &DemoDocument) -> Vec<Line> {
    let rows = demo.runs.iter().map(|run| {
        vec![
            run.table.clone(),
            units::exact(run.rows),
            run.workers.to_string(),
            format!("{:.2}s", run.predicted_s),
            format!("{:.2}s", run.duration_s),
            units::rate(run.throughput),
        ]
    });
    let header = ["table", "rows", "workers", "predicted", "took", "speed"];
    let mut lines = vec![
        Line::Heading("What was learned: each plan is made from the runs before it".to_owned()),
        table::grid(&header, rows.collect(), &[1, 2, 3, 4, 5]),
        Line::Blank,
    ];
    if let Some(file) = &demo.state {
        lines.push(Line::fact("history", file.clone()));
    }
    lines.push(Line::fact("database", demo.database.clone()));
    if let Some(run) = demo.runs.first() {
        lines.push(Line::Blank);
        lines.push(Line::Heading("Now try".to_owned()));
        for command in [
            format!("ixtract plan orders --source sqlite:{}", demo.database),
            format!(
                "ixtract run orders --source sqlite:{} --output {} --workers 2 --chunk-rows 50000",
                demo.database, run.dataset
            ),
            format!("ixtract profile events --source sqlite:{}", demo.database),
            "ixtract run --help".to_owned(),
        ] {
            lines.push(Line::Text(format!("  $ {command}")));
        }
    }
    lines
}

/// The summary of a dataset that is intact.
pub fn verified(found: &VerifyDocument) -> Vec<Line> {
    let windows = found.windows.map(|count| units::plural(count, "window"));
    let mut lines = vec![Line::Good(format!("{} is intact", found.dataset))];
    lines.extend(windows.map(|windows| Line::fact("windows", windows)));
    lines.extend([
        Line::fact("rows", units::exact(found.rows)),
        Line::fact(
            "files",
            format!(
                "{}, {}: sizes, SHA-256, rows and schema are as the manifest says",
                units::plural(found.files, "file"),
                units::bytes(found.bytes)
            ),
        ),
        Line::fact("proof", wording::proved(found.proof)),
        Line::fact("run", found.run.clone()),
    ]);
    lines.extend(found.source.iter().flat_map(recounted));
    lines
}

/// What the source has of the windows now.
fn recounted(again: &RecountDocument) -> Vec<Line> {
    let as_of = units::moment(&again.taken_at);
    let count = units::plural(again.windows, "window");
    if again.changed.is_empty() {
        let text = format!("{count} counted again, as published, as of {as_of}");
        return vec![Line::fact("source", text)];
    }
    let changed = again.changed.iter().map(|of| {
        Line::Warning(format!(
            "{}: {} published, {} at the source now",
            of.window,
            units::plural(of.published, "row"),
            units::exact(of.now)
        ))
    });
    let text = format!(
        "{} of {count} changed since, as of {as_of}; --from and --until extract one again",
        again.changed.len()
    );
    std::iter::once(Line::fact("source", text))
        .chain(changed)
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::{
        Both, ConsistencyLevel, Decisions, ProofLevel, RunId, SnapshotFacts, Strategy,
    };
    use crate::ui::json::ProofDocument;
    use crate::ui::plain;

    fn decisions() -> Decisions {
        fn same<T: Clone>(value: T) -> Both<T> {
            Both {
                planned: value.clone(),
                executed: value,
            }
        }
        Decisions {
            workers: same(2),
            chunks: same(8),
            strategy: same(Strategy::RangeChunking),
            fingerprint: same("f00d".to_owned()),
            differences: Vec::new(),
        }
    }

    pub(crate) fn run() -> RunDocument {
        RunDocument {
            status: "success",
            run: RunId::stored("rx-20260131-120000-0badcafe"),
            table: "public.orders".to_owned(),
            dataset: "/srv/out/public.orders".to_owned(),
            manifest: "/srv/out/public.orders/_manifest.json".to_owned(),
            files: 8,
            rows: 6_001_215,
            bytes: 231_000_000,
            format: "parquet",
            compression: "snappy".to_owned(),
            duration_s: 5.6,
            predicted_s: 6.2,
            throughput: 1_071_645.5,
            chunks: 8,
            workers: 2,
            effective_workers: 1.96,
            consistency: SnapshotFacts {
                level: ConsistencyLevel::SharedSnapshot,
                readers: 2,
                position: Some("0/1A2B3C4D".to_owned()),
                taken_at: "2026-01-31T12:00:01.123456Z".to_owned(),
                held_by: "ACCESS SHARE lock".to_owned(),
                notes: Vec::new(),
            },
            proof: ProofDocument {
                level: ProofLevel::Count,
                counted: Some(6_001_215),
                beside_kept: None,
                count_ms: Some(900),
                keys: None,
            },
            fingerprint: "f00d".to_owned(),
            window: None,
            schema_change: None,
            notes: Vec::new(),
            replay_of: None,
            resumed: None,
            decisions: decisions(),
            nulled: BTreeMap::new(),
            adaptations: Vec::new(),
            snapshot_open_s: 9.5,
            plan_warnings: Vec::new(),
            warnings: Vec::new(),
            state: Some("/home/etl/.local/state/ixtract/state.db".to_owned()),
            constrained: false,
            hints: None,
            cost: None,
            teaches: true,
            finding: None,
            anomaly: None,
        }
    }

    #[test]
    fn a_summary_fits_a_screen() {
        insta::assert_snapshot!(plain(&view(&run())), @"
        Published /srv/out/public.orders
          rows         6,001,215 in 5.60s (1.1M rows/s)
          files        8 files, 231.0 MB, parquet, snappy
          work         8 chunks by 2 workers (busy on average: 2.0)
          consistency  one snapshot shared by all readers (2 readers), as of 2026-01-31 12:00:01 UTC, position 0/1A2B3C4D
          proof        the server counts 6,001,215 rows too (its count took 0.90s)
          predicted    6.20s, and it took 5.60s
          fingerprint  f00d
          run          rx-20260131-120000-0badcafe
          history      /home/etl/.local/state/ixtract/state.db (the next plan learns from this run)
        ");
    }

    #[test]
    fn what_went_otherwise_is_told_but_never_floods_the_screen() {
        let mut run = run();
        run.nulled = BTreeMap::from([("born".to_owned(), 2), ("price".to_owned(), 1)]);
        run.adaptations = (1..=9).map(|n| format!("deviation {n}")).collect();
        run.warnings = vec!["the old version could not be removed".to_owned()];
        run.state = None;
        run.proof.level = ProofLevel::Stream;
        run.proof.counted = None;
        let text = plain(&view(&run));
        assert!(text.contains("deviation 4\n               and 5 more, in the manifest"));
        assert!(text.contains("  warning: the old version could not be removed"));
        assert!(text.contains(
            "nulled       born: 2 values that its type cannot hold\n               price: 1 value"
        ));
        assert!(text.contains("history      not recorded"));
        assert!(text.contains("not counted by the server"));
        assert!(text.lines().count() < 24, "{text}");
    }

    #[test]
    fn a_tour_compares_predictions_with_what_runs_took() {
        let demo = DemoDocument {
            database: "demo/shop.db".to_owned(),
            runs: vec![run()],
            state: None,
        };
        let text = plain(&tour(&demo));
        assert!(
            text.contains("public.orders  6,001,215        2      6.20s  5.60s"),
            "{text}"
        );
    }
}
