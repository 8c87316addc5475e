//! Whether a plan that was made before still fits: the database, the table, its columns and key.

use crate::cli::context::Context;
use crate::error::{ExitCode, Failure};
use crate::model::{
    Column, ExecutionPlan, ReadAs, ReadSpec, Relation, Selection, SourceIdentity, Table,
    TypeOptions,
};
use crate::profiler::{self, Glance};
use crate::source::{Source, SourceError};

/// Looks at the table of a plan that was made before, as `selection` has its columns and rows.
pub(super) async fn glance(
    context: &Context,
    source: &dyn Source,
    plan: &ExecutionPlan,
    selection: &Selection,
) -> Result<Glance, Failure> {
    let read = &plan.spec.read;
    let types = TypeOptions {
        mode: plan.spec.types.mode,
        ..TypeOptions::default()
    };
    let name = match read.query {
        Some(_) => read.relation.name.clone(),
        None => literal(&read.relation),
    };
    context
        .printer
        .detail("looking whether the table is as planned");
    let look = async {
        let table = source.describe(&name, selection, &types).await?;
        profiler::glance(source, table, context.clock.as_ref()).await
    };
    let looked = context.interrupt.or::<_, SourceError>(look).await;
    looked.map_err(|failure| match failure.exit {
        // A table or column that is gone is no slip of the user's here.
        ExitCode::Usage => mismatch(&read.relation, failure.what),
        _ => failure,
    })
}

/// A relation's name with both parts in the server's quotes, so that it is taken literally.
pub(in crate::cli) fn literal(relation: &Relation) -> String {
    let quoted = |part: &str| format!("\"{}\"", part.replace('"', "\"\""));
    format!("{}.{}", quoted(&relation.schema), quoted(&relation.name))
}

/// A plan is for one database. A `--source-name` that both have stands for host and port.
pub(in crate::cli) fn check_source(
    planned: &SourceIdentity,
    found: &SourceIdentity,
    relation: &Relation,
) -> Result<(), Failure> {
    let same_place = match (&planned.name, &found.name) {
        (Some(planned), Some(found)) => planned == found,
        _ => (&planned.host, planned.port) == (&found.host, found.port),
    };
    if same_place && planned.kind == found.kind && planned.database == found.database {
        return Ok(());
    }
    Err(mismatch(
        relation,
        format!("the plan is for {planned}, this is {found}"),
    ))
}

fn mismatch(relation: &Relation, why: String) -> Failure {
    let table = relation.to_string();
    SourceError::PlanMismatch { table, why }.into()
}

/// The table still has the plan's columns and key, as the plan knows them.
pub(super) fn check_table(planned: &ReadSpec, found: &Table) -> Result<(), Failure> {
    let mismatch = |why: String| Err(mismatch(&planned.relation, why));
    if planned.kind != found.kind {
        return mismatch(format!("it was {}, it is {}", planned.kind, found.kind));
    }
    for column in &planned.columns {
        // `describe` refuses a column that is missing.
        let now = found.columns.iter().find(|now| now.name == column.name);
        if let Some(why) = now.and_then(|now| difference(column, now)) {
            return mismatch(format!("column {}: {why}", column.name));
        }
    }
    match &planned.key {
        Some(key) if !found.keys.contains(key) => mismatch(format!(
            "the key {key} of its chunks is not a key any more, or is another"
        )),
        _ => Ok(()),
    }
}

/// What makes a column of today unfit for a plan of before. The output type is the plan's own: it
/// may come from an override.
fn difference(planned: &Column, now: &Column) -> Option<String> {
    if !planned.is_of(&now.source_type) {
        Some(format!(
            "it was {}, it is {}",
            planned.source_type, now.source_type
        ))
    } else if planned.read == ReadAs::Native && planned.base_type != now.base_type {
        Some(format!(
            "it was {}, it is {}",
            planned.base_type, now.base_type
        ))
    } else if !planned.nullable && now.nullable {
        Some("it could not be null, now it can".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FieldType, OnUnrepresentable, ReadAs, RelationKind, SourceKind};

    fn column(source_type: &str, nullable: bool) -> Column {
        Column {
            name: "a".to_owned(),
            source_type: source_type.to_owned(),
            base_type: source_type.to_owned(),
            read: ReadAs::Native,
            field: FieldType::Int64,
            nullable,
            comment: None,
            generated: None,
            on_unrepresentable: OnUnrepresentable::Fail,
            lossy: false,
        }
    }

    fn relation() -> Relation {
        Relation {
            schema: "public".to_owned(),
            name: "t".to_owned(),
        }
    }

    fn spec(column: Column) -> ReadSpec {
        ReadSpec {
            relation: relation(),
            kind: RelationKind::Table,
            query: None,
            columns: vec![column],
            key: None,
            leaves: Vec::new(),
            filter: None,
        }
    }

    fn table(column: Column) -> Table {
        Table {
            relation: relation(),
            kind: RelationKind::Table,
            query: None,
            columns: vec![column],
            keys: Vec::new(),
            unusable_key: None,
            filter: None,
        }
    }

    #[test]
    fn a_table_may_become_stricter_but_not_other_than_planned() {
        let fits = |planned, now| check_table(&spec(planned), &table(now)).is_ok();
        assert!(fits(column("bigint", true), column("bigint", true)));
        assert!(fits(column("bigint", true), column("bigint", false)));
        assert!(!fits(column("bigint", false), column("bigint", true)));
        assert!(!fits(column("bigint", true), column("integer", true)));
        let view = Table {
            kind: RelationKind::View,
            ..table(column("bigint", true))
        };
        assert!(check_table(&spec(column("bigint", true)), &view).is_err());
    }

    #[test]
    fn a_plan_is_for_one_database() {
        let identity = |host: &str, name: Option<&str>| SourceIdentity {
            kind: SourceKind::PostgreSql,
            host: host.to_owned(),
            port: 5432,
            database: "d".to_owned(),
            name: name.map(str::to_owned),
        };
        let fits = |a, b| check_source(&a, &b, &relation()).is_ok();
        assert!(fits(identity("h", None), identity("h", None)));
        assert!(!fits(identity("h", None), identity("i", None)));
        assert!(fits(identity("h", Some("n")), identity("i", Some("n"))));
        assert!(!fits(identity("h", Some("n")), identity("h", Some("m"))));
    }

    #[test]
    fn a_literal_name_is_quoted() {
        let odd = Relation {
            schema: "a.b".to_owned(),
            name: "c\"d".to_owned(),
        };
        assert_eq!(literal(&odd), "\"a.b\".\"c\"\"d\"");
    }

    #[test]
    fn a_type_is_known_by_its_name_with_and_without_its_schema() {
        let is = |planned: &str, now: &str| column(planned, true).is_of(now);
        assert!(is("integer", "integer") && is("s.mood[]", "s.mood[]"));
        assert!(is("mood", "s.mood") && is("mood[]", "\"my s\".mood[]"));
        assert!(!is("ood", "s.mood") && !is("bigint", "integer"));
        assert!(!is("s.mood", "mood") && !is("t.mood", "s.mood"));
    }
}
