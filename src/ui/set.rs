//! Several tables for people: their plans, and what became of them.

use std::time::Duration;

use super::json::{PlanDocument, PlansDocument, SetDocument, SetTable};
use super::{Line, plan, table, units, wording};

/// The plans of several tables, each as a plan alone is shown.
pub fn plans(document: &PlansDocument<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    for of in &document.plans {
        lines.extend(plan::full(of));
        lines.push(Line::Blank);
    }
    lines.extend(planned(&document.plans));
    lines.extend(document.warnings.iter().cloned().map(Line::Warning));
    lines
}

/// The plans of several tables, one a line.
pub fn planned(plans: &[PlanDocument<'_>]) -> Vec<Line> {
    let Some(first) = plans.first() else {
        return Vec::new();
    };
    let rows = plans.iter().map(|of| {
        let (spec, forecast) = (&of.plan.spec, &of.plan.forecast);
        vec![
            of.table.clone(),
            units::count(forecast.rows),
            spec.chunks.len().to_string(),
            spec.workers.to_string(),
            units::elapsed(Duration::from_secs_f64(forecast.duration_s.max(0.0))),
            of.verdict.words(),
            of.output.to_owned(),
        ]
    });
    let header = [
        "table", "rows", "chunks", "workers", "expected", "verdict", "output",
    ];
    vec![
        Line::Heading(format!(
            "Plan for {} on {}",
            units::plural(plans.len() as u64, "table"),
            first.server
        )),
        table::grid(&header, rows.collect(), &[1, 2, 3, 4]),
        Line::Blank,
    ]
}

/// What became of a set, on one screen.
pub fn view(set: &SetDocument) -> Vec<Line> {
    let well = set.tables.iter().filter(|table| table.error.is_none());
    let (well, all) = (well.count(), set.tables.len());
    let heading = format!(
        "Published {well} of {}: {} rows, {} in {}",
        units::plural(all as u64, "table"),
        units::exact(set.rows),
        units::bytes(set.bytes),
        units::elapsed(Duration::from_secs_f64(set.duration_s.max(0.0)))
    );
    let header = ["table", "", "rows", "files", "bytes", "took", "dataset"];
    let rows = set.tables.iter().map(row).collect();
    let mut lines = vec![
        if well == all {
            Line::Good(heading)
        } else {
            Line::Heading(heading)
        },
        table::grid(&header, rows, &[2, 3, 4, 5]),
        Line::fact("consistency", consistency(set)),
    ];
    let manifest = set.manifest.iter();
    lines.extend(manifest.map(|manifest| Line::fact("manifest", manifest.clone())));
    lines.push(Line::fact("set", set.set.to_string()));
    let of_runs = set.tables.iter().filter_map(|table| {
        let run = table.run.as_deref()?;
        Some(
            run.warnings
                .iter()
                .map(|text| format!("{}: {text}", table.table)),
        )
    });
    lines.extend(of_runs.flatten().map(Line::Warning));
    lines.extend(set.warnings.iter().cloned().map(Line::Warning));
    lines
}

fn row(table: &SetTable) -> Vec<String> {
    let mut cells = vec![table.table.clone(), table.status.to_owned()];
    match (&table.run, &table.error) {
        (Some(run), _) => cells.extend([
            units::exact(run.rows),
            run.files.to_string(),
            units::bytes(run.bytes),
            units::elapsed(Duration::from_secs_f64(run.duration_s.max(0.0))),
            run.dataset.clone(),
        ]),
        (None, error) => {
            cells.extend(std::iter::repeat_n(String::new(), 4));
            let said = error.as_ref().map(|failure| failure.what.clone());
            cells.push(said.unwrap_or_default());
        }
    }
    cells
}

fn consistency(set: &SetDocument) -> String {
    let Some(facts) = &set.snapshot else {
        return "each table at a point in time of its own".to_owned();
    };
    let mut text = format!(
        "all tables at one point in time ({}), as of {}",
        wording::achieved(facts.level),
        units::moment(&facts.taken_at)
    );
    if let Some(position) = &facts.position {
        text.push_str(&format!(", position {position}"));
    }
    let published = set.tables.iter().filter(|table| table.run.is_some());
    let apart: Vec<&str> = published
        .filter(|table| !table.in_snapshot)
        .map(|table| table.table.as_str())
        .collect();
    if !apart.is_empty() {
        text.push_str(&format!("\nbut for {}", apart.join(", ")));
    }
    for note in &facts.notes {
        text.push_str(&format!("\n{note}"));
    }
    text
}
