//! What changed between two runs, side by side.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{Line, table, units};
use crate::model::{Aspect, Difference, RunId, RunRow, RunStatus};

/// The most members of a list that are shown one by one.
const MEMBERS_SHOWN: usize = 6;

/// `diff`.
#[derive(Debug, Serialize)]
pub struct DiffDocument<'a> {
    /// The first run.
    pub before: Side<'a>,
    /// The second run.
    pub after: Side<'a>,
    /// Whether both executed equal plans.
    pub same_plan: bool,
    /// What is not the same, by what it is about.
    pub differences: Vec<Difference>,
}

/// One of the two runs.
#[derive(Debug, Serialize)]
pub struct Side<'a> {
    /// Its id.
    pub run: &'a RunId,
    /// Its relation, `schema.name`.
    pub table: &'a str,
    /// Its start.
    pub started_at: Timestamp,
    /// How it ended.
    pub status: RunStatus,
    /// The fingerprint of its plan.
    pub fingerprint: &'a str,
}

impl<'a> Side<'a> {
    fn of(run: &'a RunRow) -> Self {
        Self {
            run: &run.id,
            table: &run.relation,
            started_at: run.started_at,
            status: run.status,
            fingerprint: &run.fingerprint,
        }
    }
}

impl<'a> DiffDocument<'a> {
    /// Two runs and what differs.
    pub fn new(before: &'a RunRow, after: &'a RunRow, differences: Vec<Difference>) -> Self {
        Self {
            same_plan: before.fingerprint == after.fingerprint,
            before: Side::of(before),
            after: Side::of(after),
            differences,
        }
    }
}

/// The differences on one screen.
pub fn view(document: &DiffDocument<'_>) -> Vec<Line> {
    let plan = match document.same_plan {
        true => "the same",
        false => "another",
    };
    let mut lines = vec![
        Line::Heading(format!(
            "From {} to {}",
            document.before.run, document.after.run
        )),
        Line::fact("first", side(&document.before)),
        Line::fact("second", side(&document.after)),
        Line::fact("plan", plan),
    ];
    if document.differences.is_empty() {
        lines.push(Line::Good("Nothing that was recorded differs".to_owned()));
        return lines;
    }
    let mut last = None;
    let rows = document.differences.iter().map(|found| {
        let aspect = match last.replace(found.aspect) == Some(found.aspect) {
            true => String::new(),
            false => heading(found.aspect).to_owned(),
        };
        vec![
            aspect,
            found.name.clone(),
            cell(&found.name, found.before.as_ref(), found.after.as_ref()),
            cell(&found.name, found.after.as_ref(), found.before.as_ref()),
            change(found),
        ]
    });
    let header = ["", "what", "first", "second", "change"];
    let grid = table::grid(&header, rows.collect(), &[4]);
    lines.extend([Line::Blank, grid]);
    lines
}

fn side(side: &Side<'_>) -> String {
    format!(
        "{} at {}, {}",
        side.table,
        side.started_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        side.status.name()
    )
}

fn heading(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Table => "table",
        Aspect::Schema => "schema",
        Aspect::Settings => "settings",
        Aspect::Hints => "hints",
        Aspect::Kind => "kind of run",
        Aspect::Version => "version",
        Aspect::Context => "context",
        Aspect::Strategy => "strategy",
        Aspect::Workers => "workers",
        Aspect::Chunks => "chunks",
        Aspect::Forecast => "forecast",
        Aspect::Data => "data",
        Aspect::Outcome => "outcome",
    }
}

/// One side of a difference; `other` is what a long list is held against.
fn cell(name: &str, value: Option<&Value>, other: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(Value::Array(members)) => list(members, other.and_then(Value::as_array)),
        Some(value) => match (value.as_u64(), value.as_f64()) {
            (Some(count), _) if name == "bytes" => units::bytes(count),
            (Some(count), _) => units::exact(count),
            (None, Some(number)) => measured(name, number),
            (None, None) => value.to_string(),
        },
    }
}

fn measured(name: &str, number: f64) -> String {
    match name {
        "seconds" => units::elapsed(Duration::from_secs_f64(number.max(0.0))),
        "rows a second" => units::rate(number),
        _ => format!("{number:.2}"),
    }
}

fn list(members: &[Value], others: Option<&Vec<Value>>) -> String {
    if members.len() <= MEMBERS_SHOWN {
        let texts: Vec<String> = members
            .iter()
            .map(|member| {
                member
                    .as_str()
                    .map_or_else(|| member.to_string(), str::to_owned)
            })
            .collect();
        return texts.join(", ");
    }
    let shared = members
        .iter()
        .filter(|member| others.is_some_and(|others| others.contains(member)))
        .count();
    format!("{}, {shared} of them in both", members.len())
}

/// How much more, where both sides are numbers.
fn change(found: &Difference) -> String {
    let number = |side: &Option<Value>| side.as_ref().and_then(Value::as_f64);
    match (number(&found.before), number(&found.after)) {
        (Some(before), Some(after)) if before > 0.0 => {
            units::more((after - before) / before * 100.0)
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::planner::past::stored;
    use crate::ui::plain;

    fn difference(aspect: Aspect, name: &str, before: Value, after: Value) -> Difference {
        let there = |value: Value| (!value.is_null()).then_some(value);
        Difference {
            aspect,
            name: name.to_owned(),
            before: there(before),
            after: there(after),
        }
    }

    #[test]
    fn differences_stand_side_by_side() {
        let (one, other) = (stored().run, stored().run);
        let many = |from: u32| json!((from..from + 9).collect::<Vec<_>>());
        let differences = vec![
            difference(
                Aspect::Schema,
                "column total",
                json!("numeric as text"),
                json!(null),
            ),
            difference(
                Aspect::Schema,
                "order of columns",
                json!(["a", "b"]),
                json!(["b", "a"]),
            ),
            difference(Aspect::Kind, "constrained", json!(false), json!(true)),
            difference(Aspect::Chunks, "bounds", many(1), many(3)),
            difference(Aspect::Data, "rows", json!(1_000_000), json!(1_250_000)),
            difference(Aspect::Data, "bytes", json!(1_000), json!(900)),
            difference(Aspect::Outcome, "seconds", json!(10.0), json!(8.5)),
            difference(Aspect::Outcome, "rows a second", json!(1e6), json!(1.1e6)),
        ];
        let document = DiffDocument::new(&one, &other, differences);
        insta::assert_snapshot!(plain(&view(&document)), @"
        From rx-20260131-120000-0badcafe to rx-20260131-120000-0badcafe
          first        public.orders at 2026-01-31 12:00:00 UTC, success
          second       public.orders at 2026-01-31 12:00:00 UTC, success
          plan         the same

                       what              first                 second                 change
          schema       column total      numeric as text       -
                       order of columns  a, b                  b, a
          kind of run  constrained       no                    yes
          chunks       bounds            9, 7 of them in both  9, 7 of them in both
          data         rows              1,000,000             1,250,000             +25.0 %
                       bytes             1.0 KB                900 B                 -10.0 %
          outcome      seconds           10.0s                 8.50s                 -15.0 %
                       rows a second     1.0M rows/s           1.1M rows/s           +10.0 %
        ");
    }

    #[test]
    fn equal_runs_are_told_to_be() {
        let run = stored().run;
        let text = plain(&view(&DiffDocument::new(&run, &run, Vec::new())));
        assert!(text.contains("Nothing that was recorded differs"), "{text}");
    }
}
