//! What changed between two runs; pure.
//!
//! Each run is laid out as named facts, and the facts of both are laid side by side. So a run does
//! not differ from itself, and swapping the runs swaps the sides of every difference and nothing
//! else. What is the order of things rather than a fact, such as that of the columns, is compared
//! over what both runs have: a dropped column is no other order.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::model::{Aspect, Column, Difference, ExecutionSpec, ReadAs, StoredRun};

type Facts = BTreeMap<(Aspect, String), Value>;

/// What is not the same in two runs, in the order of [`Aspect`] and of names.
pub fn between(before: &StoredRun, after: &StoredRun) -> Vec<Difference> {
    let (mut one, mut other) = (facts(before), facts(after));
    let (old, new) = (
        &before.plan.spec.read.columns,
        &after.plan.spec.read.columns,
    );
    put_order(&mut one, old, new);
    put_order(&mut other, new, old);
    let names: BTreeSet<_> = one.keys().chain(other.keys()).cloned().collect();
    names
        .into_iter()
        .filter_map(|at| {
            let (before, after) = (one.remove(&at), other.remove(&at));
            (before != after).then_some(Difference {
                aspect: at.0,
                name: at.1,
                before,
                after,
            })
        })
        .collect()
}

/// The names of the columns that the other run has too, in order.
fn put_order(facts: &mut Facts, columns: &[Column], others: &[Column]) {
    let shared = |column: &&Column| others.iter().any(|other| other.name == column.name);
    let names: Vec<&str> = columns
        .iter()
        .filter(shared)
        .map(|column| column.name.as_str())
        .collect();
    facts.insert(
        (Aspect::Schema, "order of columns".to_owned()),
        names.into(),
    );
}

fn facts(stored: &StoredRun) -> Facts {
    let mut facts = Facts::new();
    put_plan(&mut facts, &stored.plan.spec);
    put_run(&mut facts, stored);
    put_outcome(&mut facts, stored);
    facts
}

/// What was decided.
fn put_plan(facts: &mut Facts, spec: &ExecutionSpec) {
    let ExecutionSpec {
        plan_version,
        source,
        read,
        window,
        types,
        strategy,
        chunks,
        workers,
        memory_mb,
        scheduling,
        retry,
        backoff,
        format,
        consistency,
        proof,
        proof_key,
    } = spec;
    let mut put = |aspect, name: &str, value: Value| put_value(facts, aspect, name, value);
    put(Aspect::Table, "database", source.to_string().into());
    put(Aspect::Table, "source name", json(&source.name));
    put(Aspect::Table, "table", read.relation.to_string().into());
    put(Aspect::Table, "kind", json(&read.kind));
    for column in &read.columns {
        let name = format!("column {}", column.name);
        put(Aspect::Schema, &name, described(column).into());
    }
    let key = read.key.as_ref().map(ToString::to_string);
    put(Aspect::Schema, "key of the chunks", json(&key));
    let leaves: Vec<String> = read.leaves.iter().map(ToString::to_string).collect();
    put(Aspect::Schema, "tables read one by one", json(&leaves));
    put(Aspect::Settings, "where", json(&read.filter));
    put(Aspect::Settings, "query", json(&read.query));
    if let Some(window) = window {
        put(Aspect::Settings, "window", window.window.to_string().into());
    }
    put(Aspect::Settings, "types", json(types));
    put(Aspect::Settings, "", json(format));
    put(Aspect::Settings, "consistency", json(consistency));
    put(Aspect::Settings, "proof", json(proof));
    if !proof_key.is_empty() {
        put(Aspect::Settings, "key of the proof", json(proof_key));
    }
    put(Aspect::Settings, "memory in MB", json(memory_mb));
    put(Aspect::Settings, "retry", json(retry));
    put(Aspect::Settings, "backoff", json(backoff));
    put(Aspect::Version, "plan", (*plan_version).into());
    put(Aspect::Strategy, "cut", json(strategy));
    put(Aspect::Strategy, "order", json(scheduling));
    put(Aspect::Workers, "planned", (*workers).into());
    put(Aspect::Chunks, "planned", chunks.len().into());
    let bounds: Vec<String> = chunks
        .iter()
        .map(|chunk| chunk.bounds.to_string())
        .collect();
    put(Aspect::Chunks, "bounds", bounds.into());
}

/// A column's types: the source's, the output's, and what is done with its values on the way.
fn described(column: &Column) -> String {
    let mut text = format!("{} as {}", column.source_type, column.field);
    let notes = [
        (column.read == ReadAs::Text, "as the server writes it"),
        (column.lossy, "lossy"),
        (!column.nullable, "not null"),
        (
            !column.on_unrepresentable.is_fail(),
            "NULL for what it cannot hold",
        ),
    ];
    for (_, note) in notes.iter().filter(|(holds, _)| *holds) {
        text.push_str(", ");
        text.push_str(note);
    }
    if let Some(generated) = &column.generated {
        text.push_str(", ");
        text.push_str(generated);
    }
    text
}

/// Under which circumstances.
fn put_run(facts: &mut Facts, stored: &StoredRun) {
    let run = &stored.run;
    let mut put = |aspect, name: &str, value: Value| put_value(facts, aspect, name, value);
    put(Aspect::Settings, "output", run.output.as_str().into());
    // One text a change: what a run met is a fact of its own, whatever the two runs' columns are.
    let met = run.schema_change.as_ref().map(|drift| {
        let changes = drift.changes.iter().map(ToString::to_string);
        changes.collect::<Vec<_>>()
    });
    put(Aspect::Schema, "changes met", json(&met));
    put(Aspect::Hints, "", json(&run.hints));
    put(Aspect::Kind, "constrained", run.constrained.into());
    put(Aspect::Kind, "replay of", json(&run.replay_of));
    put(Aspect::Kind, "set", json(&run.set));
    put(Aspect::Kind, "teaches", run.teaches.into());
    put(Aspect::Version, "ixtract", run.version.as_str().into());
    put(Aspect::Context, "", json(&run.context.known()));
    put(Aspect::Context, "host", run.host.as_str().into());
    put(
        Aspect::Context,
        "round trip (µs)",
        json(&run.source_then.latency_p50_us()),
    );
    put(
        Aspect::Context,
        "rows by statistics",
        json(&run.source_then.rows),
    );
    put(
        Aspect::Context,
        "smallest key",
        json(&run.source_then.key_min),
    );
    put(
        Aspect::Context,
        "largest key",
        json(&run.source_then.key_max),
    );
    let predicted = &run.predicted;
    put(Aspect::Forecast, "rows", predicted.rows.into());
    put(Aspect::Forecast, "bytes", predicted.bytes.into());
    put(
        Aspect::Forecast,
        "rows a second",
        json(&predicted.throughput),
    );
    put(Aspect::Forecast, "seconds", json(&predicted.duration_s));
    put(Aspect::Forecast, "method", predicted.method.as_str().into());
}

/// And what came of it.
fn put_outcome(facts: &mut Facts, stored: &StoredRun) {
    let run = &stored.run;
    let mut put = |aspect, name: &str, value: Value| put_value(facts, aspect, name, value);
    put(Aspect::Data, "rows", run.rows.into());
    put(Aspect::Data, "bytes", run.bytes.into());
    for (column, count) in &run.nulled {
        put(
            Aspect::Data,
            &format!("nulled in {column}"),
            (*count).into(),
        );
    }
    put(Aspect::Outcome, "status", run.status.name().into());
    put(Aspect::Outcome, "error", json(&run.error));
    put(Aspect::Outcome, "seconds", json(&run.duration_s));
    put(Aspect::Outcome, "rows a second", json(&run.throughput));
    put(
        Aspect::Outcome,
        "busy workers",
        json(&run.effective_workers),
    );
    put(
        Aspect::Outcome,
        "confidence",
        run.confidence.as_str().into(),
    );
    put(Aspect::Outcome, "deviations", json(&run.adaptations));
    let retries: u32 = stored.chunks.iter().map(|chunk| chunk.retries).sum();
    put(Aspect::Outcome, "retries", retries.into());
    let snapshot = run.snapshot.as_ref();
    put(
        Aspect::Outcome,
        "consistency",
        json(&snapshot.map(|facts| facts.level)),
    );
    put(
        Aspect::Outcome,
        "readers",
        json(&snapshot.map(|facts| facts.readers)),
    );
    put(Aspect::Outcome, "cost expected", json(&run.estimated_cost));
    put(Aspect::Outcome, "cost", json(&run.actual_cost));
}

/// A fact, or each fact inside of it. What is null is no fact.
fn put_value(facts: &mut Facts, aspect: Aspect, name: &str, value: Value) {
    match value {
        Value::Null => {}
        Value::Object(members) => {
            for (member, value) in members {
                let member = member.replace('_', " ");
                let name = match name {
                    "" => member,
                    name => format!("{name}: {member}"),
                };
                put_value(facts, aspect, &name, value);
            }
        }
        value => {
            facts.insert((aspect, name.to_owned()), value);
        }
    }
}

/// What is stored of a run are strings, numbers and lists, which all have a JSON form.
fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{FieldType, RunStatus};
    use crate::planner::past::stored;

    fn names(before: &StoredRun, after: &StoredRun) -> Vec<(Aspect, String)> {
        let found = between(before, after);
        found
            .into_iter()
            .map(|found| (found.aspect, found.name))
            .collect()
    }

    fn changed(change: impl FnOnce(&mut StoredRun)) -> Vec<(Aspect, String)> {
        let before = stored();
        let mut after = before.clone();
        change(&mut after);
        let found = names(&before, &after);
        // Whatever the change, it is one from either side.
        assert_eq!(names(&after, &before), found);
        found
    }

    fn column(name: &str) -> Column {
        let mut column = stored().plan.spec.read.columns[0].clone();
        column.name = name.to_owned();
        column
    }

    #[test]
    fn a_run_does_not_differ_from_itself() {
        assert_eq!(between(&stored(), &stored()), []);
    }

    type Change = fn(&mut StoredRun);

    /// Each change alone gives a difference of this aspect and name, and no other.
    #[track_caller]
    fn expect(cases: &[(Change, Aspect, &str)]) {
        for (change, aspect, name) in cases {
            assert_eq!(changed(change), [(*aspect, (*name).to_owned())]);
        }
    }

    #[test]
    fn every_change_of_the_table_is_named() {
        use Aspect::{Schema, Table};
        expect(&[
            (
                |run| run.plan.spec.read.relation.name = "o".into(),
                Table,
                "table",
            ),
            (
                |run| run.plan.spec.read.columns.push(column("x")),
                Schema,
                "column x",
            ),
            (
                |run| run.plan.spec.read.columns[0].field = FieldType::Utf8,
                Schema,
                "column id",
            ),
            (
                |run| run.plan.spec.read.columns[0].nullable = true,
                Schema,
                "column id",
            ),
            (
                |run| run.plan.spec.read.key = None,
                Schema,
                "key of the chunks",
            ),
        ]);
    }

    #[test]
    fn every_change_of_the_run_is_named() {
        use Aspect::{Data, Kind, Outcome, Settings, Version, Workers};
        expect(&[
            (
                |run| run.plan.spec.read.filter = Some("a > 1".into()),
                Settings,
                "where",
            ),
            (
                |run| run.plan.spec.retry.retries = 9,
                Settings,
                "retry: retries",
            ),
            (
                |run| run.run.output = "elsewhere".into(),
                Settings,
                "output",
            ),
            (
                |run| run.run.replay_of = Some(run.run.id.clone()),
                Kind,
                "replay of",
            ),
            (|run| run.run.version = "9.0.0".into(), Version, "ixtract"),
            (|run| run.plan.spec.workers = 7, Workers, "planned"),
            (|run| run.run.rows = 9, Data, "rows"),
            (|run| run.run.status = RunStatus::Failed, Outcome, "status"),
        ]);
    }

    #[test]
    fn hints_and_chunks_are_told_one_by_one() {
        use Aspect::{Chunks, Hints};
        let hints = serde_json::json!({"max_memory_mb": 512, "priority": "low"});
        let found = changed(|run| run.run.hints = serde_json::from_value(hints).ok());
        let hint = |name: &str| (Hints, name.to_owned());
        assert_eq!(found, [hint("max memory mb"), hint("priority")]);
        let found = changed(|run| run.plan.spec.chunks.truncate(3));
        let chunks = |name: &str| (Chunks, name.to_owned());
        assert_eq!(found, [chunks("bounds"), chunks("planned")]);
    }

    #[test]
    fn columns_in_another_order_are_told_from_columns_that_came_or_went() {
        let order = (Aspect::Schema, "order of columns".to_owned());
        let mut two = stored();
        two.plan.spec.read.columns = vec![column("a"), column("b")];
        let mut swapped = stored();
        swapped.plan.spec.read.columns = vec![column("b"), column("a")];
        assert_eq!(names(&two, &swapped), std::slice::from_ref(&order));
        let mut more = stored();
        more.plan.spec.read.columns = vec![column("c"), column("a"), column("b")];
        assert_eq!(
            names(&two, &more),
            [(Aspect::Schema, "column c".to_owned())]
        );
        let dropped = between(&more, &two);
        assert!(dropped[0].before.is_some() && dropped[0].after.is_none());
        more.plan.spec.read.columns.reverse();
        assert!(names(&two, &more).contains(&order));
    }

    /// A run of some columns, with a few things that may be as in another one.
    fn any_run() -> impl Strategy<Value = StoredRun> {
        let columns = proptest::sample::subsequence(vec!["a", "b", "c", "d"], 0..=4).prop_shuffle();
        let numbers = (0u32..3, 0u64..3, 0usize..12, proptest::option::of(0u8..2));
        (columns, numbers).prop_map(|(columns, (workers, rows, chunks, filter))| {
            let mut run = stored();
            run.plan.spec.read.columns = columns.into_iter().map(column).collect();
            run.plan.spec.workers = workers;
            run.plan.spec.chunks.truncate(chunks);
            run.plan.spec.read.filter = filter.map(|number| format!("a > {number}"));
            run.run.rows = rows;
            run
        })
    }

    proptest! {
        #[test]
        fn swapping_the_runs_swaps_the_sides(one in any_run(), other in any_run()) {
            let swapped = between(&other, &one).into_iter().map(|found| Difference {
                before: found.after,
                after: found.before,
                ..found
            });
            prop_assert_eq!(between(&one, &other), swapped.collect::<Vec<_>>());
            prop_assert_eq!(between(&one, &one), vec![]);
        }

        #[test]
        fn every_difference_is_one(one in any_run(), other in any_run()) {
            for found in between(&one, &other) {
                prop_assert_ne!(found.before, found.after);
            }
        }
    }
}
