//! A plan for people: what will be done, why, and what is expected of it.

use serde::Serialize;

use super::Line;
use super::json::PlanDocument;
use super::wording::{self, Topic};
use super::{cost, drift, estimate, hints, table, units};
use crate::model::{
    ExecutionContext, ExecutionPlan, OnUnrepresentable, ReadAs, SourceKind, Strategy, TypeMode,
};

/// Most chunks that are listed one by one.
const CHUNKS_SHOWN: usize = 10;

/// The plan in a few lines: what `run` shows before it begins.
pub fn brief(document: &PlanDocument<'_>) -> Vec<Line> {
    let plan = document.plan;
    let spec = &plan.spec;
    let heading = format!("Plan for {} on {}", document.table, document.server);
    let consistency = wording::consistency(spec.consistency);
    let mut lines = vec![
        Line::Heading(heading),
        Line::fact("source", spec.source.to_string()),
    ];
    lines.extend(spec.read.query.iter().map(|q| Line::fact("query", q)));
    lines.extend(spec.read.filter.iter().map(|f| Line::fact("where", f)));
    let window = spec.window.iter();
    lines.extend(window.map(|planned| Line::fact("window", planned.window.to_string())));
    lines.push(Line::fact("output", document.output));
    lines.push(Line::fact("format", wording::format(&spec.format)));
    lines.extend(decided(plan));
    // A file has no connections to share.
    if spec.source.kind != SourceKind::Sqlite {
        lines.push(Line::fact("connections", connections(document)));
    }
    lines.push(Line::fact("consistency", consistency));
    lines.push(Line::fact("proof", wording::proof(spec.proof)));
    lines.extend(foreseen(plan));
    lines.extend(document.cost.iter().map(cost::expected));
    lines.push(Line::fact("context", context(document.context)));
    lines.push(Line::fact("fingerprint", &plan.fingerprint));
    lines.extend(document.schema_change.iter().map(drift::fact));
    lines.extend(warnings(document));
    lines.extend(hints::warnings(document));
    lines.push(verdict(document));
    lines
}

/// The plan in one line, for a plan that was shown before.
pub fn short(document: &PlanDocument<'_>) -> Line {
    let plan = document.plan;
    Line::Text(format!(
        "Plan: {}, {}; expected {} ({}). {}",
        units::plural(plan.spec.chunks.len() as u64, "chunk"),
        units::plural(u64::from(plan.spec.workers), "worker"),
        expected(plan),
        estimate::method(&plan.forecast),
        document.verdict.words()
    ))
}

/// The plan with the mapping of every column and the chunks: what `plan` shows.
pub fn full(document: &PlanDocument<'_>) -> Vec<Line> {
    let plan = document.plan;
    let mut lines = brief(document);
    let verdict = lines.pop();
    lines.push(Line::Blank);
    lines.push(Line::Heading(format!(
        "Columns ({} types, mapping {})",
        match plan.spec.types.mode {
            TypeMode::Portable => "portable",
            TypeMode::Native => "native",
        },
        plan.spec.types.version
    )));
    lines.push(mapping(plan));
    lines.push(Line::Blank);
    lines.push(Line::Heading("Chunks".to_owned()));
    lines.push(chunks(plan));
    let more = plan.spec.chunks.len().saturating_sub(CHUNKS_SHOWN);
    if more > 0 {
        lines.push(Line::Text(format!("  and {more} more")));
    }
    lines.extend(hints::section(document));
    lines.extend(document.cost.iter().flat_map(cost::section));
    lines.push(Line::Blank);
    let estimate = estimate::full(&plan.forecast);
    if !estimate.is_empty() {
        lines.extend(estimate);
        lines.push(Line::Blank);
    }
    if let Some(file) = &document.written {
        lines.push(Line::fact("written to", file.clone()));
    }
    lines.extend(verdict);
    lines
}

/// What was decided and why, and what that was expected to give and why.
pub fn decisions(plan: &ExecutionPlan) -> impl Iterator<Item = Line> {
    decided(plan).into_iter().chain(foreseen(plan))
}

fn decided(plan: &ExecutionPlan) -> [Line; 3] {
    let order = wording::scheduling(plan.spec.scheduling);
    [
        Line::fact("strategy", strategy(plan)),
        Line::fact("workers", workers(plan)),
        Line::fact("scheduling", because(plan, Topic::Scheduling, order)),
    ]
}

fn foreseen(plan: &ExecutionPlan) -> [Line; 2] {
    [
        Line::fact("expected", because(plan, Topic::Expected, &expected(plan))),
        Line::fact("estimate", estimate::brief(&plan.forecast)),
    ]
}

fn strategy(plan: &ExecutionPlan) -> String {
    let spec = &plan.spec;
    let chunks = units::plural(spec.chunks.len() as u64, "chunk");
    let how = match &spec.read.key {
        Some(key) if spec.chunks.len() > 1 && spec.strategy == Strategy::RangeChunking => {
            format!("{chunks}, {} of {key}", wording::strategy(spec.strategy),)
        }
        _ => format!("{chunks}, {}", wording::strategy(spec.strategy)),
    };
    because(plan, Topic::Strategy, &how)
}

fn workers(plan: &ExecutionPlan) -> String {
    because(plan, Topic::Workers, &plan.spec.workers.to_string())
}

/// `what`, and below it one line for each reason of `topic`.
fn because(plan: &ExecutionPlan, topic: Topic, what: &str) -> String {
    plan.reasons
        .iter()
        .filter(|reason| wording::topic(reason) == topic)
        .fold(what.to_owned(), |text, reason| {
            format!("{text}\n· {}", wording::reason(reason))
        })
}

fn connections(document: &PlanDocument<'_>) -> String {
    let load = document.connections;
    let spec = &document.plan.spec;
    let ours = u64::from(spec.workers) + u64::from(spec.source.kind.other_sessions());
    format!(
        "{ours} of {} ({}), {} free now",
        load.max,
        units::percent(ours, u64::from(load.max)),
        load.available()
    )
}

fn expected(plan: &ExecutionPlan) -> String {
    let forecast = &plan.forecast;
    format!(
        "{} rows, {} at the source, {} at {}",
        units::count(forecast.rows),
        units::bytes(forecast.bytes),
        units::duration(forecast.duration_s),
        units::rate(forecast.throughput)
    )
}

/// The circumstances as they were measured.
pub(super) fn context(context: &ExecutionContext) -> String {
    let load = context.source_load.map_or("unknown", wording::load);
    let network = context.network_quality.map_or("unknown", wording::network);
    let beside = match context.concurrent_extractions {
        0 => "no other extraction".to_owned(),
        others => units::plural(u64::from(others), "other extraction"),
    };
    let band = wording::time_band(context.time_band);
    let mut text = format!("source load {load}, network {network}, {beside}, {band} UTC");
    if let Some(load) = context.system_load_per_core {
        text.push_str(&format!(", this machine's load {load:.2} a core"));
    }
    text
}

fn warnings(document: &PlanDocument<'_>) -> impl Iterator<Item = Line> {
    document
        .plan
        .warnings
        .iter()
        .chain(&document.warnings)
        .map(|warning| Line::Warning(warning.clone()))
}

fn verdict(document: &PlanDocument<'_>) -> Line {
    Line::Judgement {
        label: "verdict",
        text: document.verdict.words(),
        good: document.verdict.verdict == wording::SAFE,
    }
}

/// A column and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ColumnDocument {
    /// Its name.
    pub name: String,
    /// Its type as the server writes it.
    pub source_type: String,
    /// Its type in the output.
    pub output_type: String,
    /// Whether it may hold NULL.
    pub nullable: bool,
    /// What else there is to know, in words.
    pub notes: Vec<String>,
}

/// What becomes of each column.
pub fn columns(plan: &ExecutionPlan) -> Vec<ColumnDocument> {
    let columns = plan.spec.read.columns.iter().map(|column| {
        let mut notes = Vec::new();
        if column.read == ReadAs::Text {
            notes.push("as the server writes it".to_owned());
        }
        if let Some(loss) = column.loss() {
            let note = match loss {
                "offset" => "its offset is not kept",
                _ => "lossy",
            };
            notes.push(note.to_owned());
        }
        if column.on_unrepresentable == OnUnrepresentable::Null {
            notes.push("NULL for what it cannot hold".to_owned());
        }
        notes.extend(column.generated.clone());
        ColumnDocument {
            name: column.name.clone(),
            source_type: column.source_type.clone(),
            output_type: column.field.to_string(),
            nullable: column.nullable,
            notes,
        }
    });
    columns.collect()
}

fn mapping(plan: &ExecutionPlan) -> Line {
    let rows = columns(plan).into_iter().map(|column| {
        vec![
            column.name,
            column.source_type,
            column.output_type,
            if column.nullable { "yes" } else { "no" }.to_owned(),
            column.notes.join(", "),
        ]
    });
    table::grid(
        &[
            "column",
            "source type",
            plan.spec.format.format().name(),
            "null",
            "note",
        ],
        rows.collect(),
        &[],
    )
}

fn chunks(plan: &ExecutionPlan) -> Line {
    let rows = plan.spec.chunks.iter().enumerate().take(CHUNKS_SHOWN);
    let rows = rows.map(|(index, chunk)| {
        let (rows, bytes) = plan
            .forecast
            .chunks
            .get(index)
            .map_or_else(Default::default, |expected| {
                (units::count(expected.rows), units::bytes(expected.bytes))
            });
        vec![chunk.id(), chunk.bounds.to_string(), rows, bytes]
    });
    table::grid(&["chunk", "holds", "rows", "size"], rows.collect(), &[2, 3])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::fixtures;
    use crate::ui::json::VerdictDocument;
    use crate::ui::plain;

    fn context() -> &'static ExecutionContext {
        static CONTEXT: std::sync::LazyLock<ExecutionContext> = std::sync::LazyLock::new(|| {
            let around = crate::model::Surroundings {
                now: jiff::Timestamp::UNIX_EPOCH,
                concurrent_extractions: 0,
                system_load_per_core: Some(0.251),
            };
            let profile = fixtures::profile(3_000_000);
            ExecutionContext::measured(&profile.latency, profile.connections, 3_000_000, around)
        });
        &CONTEXT
    }

    fn document<'a>(plan: &'a ExecutionPlan, reason: Option<&str>) -> PlanDocument<'a> {
        PlanDocument {
            context: context(),
            table: plan.spec.read.relation.to_string(),
            server: "PostgreSQL 15.18",
            connections: crate::model::ConnectionLoad {
                max: 100,
                active: 10,
            },
            output: "out/public.orders",
            verdict: VerdictDocument {
                verdict: match reason {
                    None => wording::SAFE,
                    Some(_) => wording::NOT_RECOMMENDED,
                },
                reason: reason.map(str::to_owned),
            },
            advice: Vec::new(),
            constrained: false,
            schema_change: None,
            cost: None,
            plan,
            written: None,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_plan_fits_a_screen_and_says_why() {
        let mut plan = fixtures::plan(fixtures::profile(3_000_000));
        plan.fingerprint = "f00d".to_owned();
        insta::assert_snapshot!(plain(&full(&document(&plan, None))), @"
        Plan for public.orders on PostgreSQL 15.18
          source       postgresql://db.example:5432/shop
          output       out/public.orders
          format       parquet, snappy
          strategy     12 chunks, key ranges of id
                       · rows are stored in the order of id (correlation 1.00)
                       · bounds at equal numbers of rows, from the catalogue's statistics
          workers      6
                       · 6 recommended by the profile
          scheduling   plan order
          connections  8 of 100 (8%), 90 free now
          consistency  one point in time, with fewer workers where it cannot be shared
          proof        the server counts the rows in the same snapshot
          expected     3.0M rows, 300.0 MB at the source, 5s at 600.0K rows/s
          estimate     no history yet: a cautious guess
                       · confidence LOW: no run under like circumstances, hardly any evidence
          context      source load low, network excellent, no other extraction, 00-04 UTC, this machine's load 0.25 a core
          fingerprint  f00d

        Columns (portable types, mapping 1)
          column  source type  parquet  null  note
          id      bigint       int64    no

        Chunks
          chunk      holds                 rows     size
          chunk_001  […, 250001)         250.0K  25.0 MB
          chunk_002  [250001, 500001)    250.0K  25.0 MB
          chunk_003  [500001, 750001)    250.0K  25.0 MB
          chunk_004  [750001, 1000001)   250.0K  25.0 MB
          chunk_005  [1000001, 1250001)  250.0K  25.0 MB
          chunk_006  [1250001, 1500001)  250.0K  25.0 MB
          chunk_007  [1500001, 1750001)  250.0K  25.0 MB
          chunk_008  [1750001, 2000001)  250.0K  25.0 MB
          chunk_009  [2000001, 2250001)  250.0K  25.0 MB
          chunk_010  [2250001, 2500001)  250.0K  25.0 MB
          and 2 more

          verdict      SAFE
        ");
    }

    #[test]
    fn a_plan_that_is_not_recommended_says_so_in_its_last_line() {
        let plan = fixtures::plan(fixtures::profile(3_000_000));
        let document = document(&plan, Some("the disk is full"));
        for lines in [brief(&document), full(&document)] {
            let last = plain(&lines).lines().next_back().map(str::to_owned);
            let want = "  verdict      NOT RECOMMENDED: the disk is full";
            assert_eq!(last.as_deref(), Some(want));
        }
        assert!(plain(&[short(&document)]).contains("NOT RECOMMENDED"));
    }

    #[test]
    fn a_filter_is_shown_and_a_file_has_no_connections() {
        let mut plan = fixtures::plan(fixtures::profile(3_000_000));
        plan.spec.read.filter = Some("a > 1".to_owned());
        plan.spec.source.kind = SourceKind::Sqlite;
        let text = plain(&brief(&document(&plan, None)));
        assert!(text.contains("  where        a > 1\n"), "{text}");
        assert!(!text.contains("connections"), "{text}");
    }
}
