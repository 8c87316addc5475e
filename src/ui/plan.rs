//! A plan for people: what will be done, why, and what is expected of it.

use super::Line;
use super::json::PlanDocument;
use super::wording::{self, Topic};
use super::{table, units};
use crate::model::{ExecutionPlan, ReadAs, SourceKind, Strategy, TypeMode};

/// Most chunks that are listed one by one.
const CHUNKS_SHOWN: usize = 12;

/// The plan in a few lines: what `run` shows before it begins.
pub fn brief(document: &PlanDocument<'_>) -> Vec<Line> {
    let plan = document.plan;
    let spec = &plan.spec;
    let mut lines = vec![
        Line::Heading(format!(
            "Plan for {} on {}",
            document.table, document.server
        )),
        Line::fact("source", spec.source.to_string()),
        Line::fact("output", document.output),
        Line::fact("strategy", strategy(plan)),
        Line::fact("workers", workers(plan)),
        Line::fact(
            "scheduling",
            because(
                plan,
                Topic::Scheduling,
                wording::scheduling(spec.scheduling),
            ),
        ),
        Line::fact("consistency", wording::consistency(spec.consistency)),
        Line::fact("proof", wording::proof(spec.proof)),
        Line::fact("expected", expected(plan)),
        Line::fact("fingerprint", plan.fingerprint.clone()),
    ];
    if spec.source.kind != SourceKind::Sqlite {
        lines.insert(6, Line::fact("connections", connections(document)));
    }
    lines.extend(warnings(document));
    lines.push(verdict(document));
    lines
}

/// The plan in one line, for a plan that was shown before.
pub fn short(document: &PlanDocument<'_>) -> Line {
    let plan = document.plan;
    Line::Text(format!(
        "Plan: {}, {}; expected {}. {}",
        units::plural(plan.spec.chunks.len() as u64, "chunk"),
        units::plural(u64::from(plan.spec.workers), "worker"),
        expected(plan),
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
    lines.push(Line::Text(mapping(plan)));
    lines.push(Line::Blank);
    lines.push(Line::Heading("Chunks".to_owned()));
    lines.push(Line::Text(chunks(plan)));
    let more = plan.spec.chunks.len().saturating_sub(CHUNKS_SHOWN);
    if more > 0 {
        lines.push(Line::Text(format!("  and {more} more")));
    }
    if let Some(filter) = &plan.spec.read.filter {
        lines.push(Line::fact("where", filter.clone()));
    }
    lines.push(Line::Blank);
    if let Some(file) = &document.written {
        lines.push(Line::fact("written to", file.clone()));
    }
    lines.extend(verdict);
    lines
}

fn strategy(plan: &ExecutionPlan) -> String {
    let spec = &plan.spec;
    let chunks = units::plural(spec.chunks.len() as u64, "chunk");
    let how = match &spec.read.key {
        Some(key) if spec.chunks.len() > 1 && spec.strategy == Strategy::RangeChunking => {
            format!(
                "{chunks}, {} of {}",
                wording::strategy(spec.strategy),
                key.column
            )
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
    // One more than the workers: the coordinator holds the snapshot.
    let ours = u64::from(document.plan.spec.workers) + 1;
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
        "{} rows, {} at the source, {} at {} ({})",
        units::count(forecast.rows),
        units::bytes(forecast.bytes),
        units::duration(forecast.duration_s),
        units::rate(forecast.throughput),
        wording::method(&forecast.method, forecast.runs)
    )
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

fn mapping(plan: &ExecutionPlan) -> String {
    let rows = plan.spec.read.columns.iter().map(|column| {
        let mut notes = Vec::new();
        if column.read == ReadAs::Text {
            notes.push("as the server writes it".to_owned());
        }
        notes.extend(column.generated.clone());
        vec![
            column.name.clone(),
            column.source_type.clone(),
            column.field.to_string(),
            if column.nullable { "yes" } else { "no" }.to_owned(),
            notes.join(", "),
        ]
    });
    table::grid(
        &["column", "source type", "parquet", "null", "note"],
        rows.collect(),
        &[],
    )
}

fn chunks(plan: &ExecutionPlan) -> String {
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
