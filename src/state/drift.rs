//! Columns that runs met: those of the last published run, and how a run's differ from them.

use rusqlite::Transaction;

use super::record::json;
use super::{Result, Store};
use crate::model::{Column, ExecutionPlan, Relation, RunId, SchemaDrift, Scope};

/// The newest published run of a scope that has a plan, of one relation: runs of several may share a scope.
pub(super) const LAST_PUBLISHED: &str = "
    SELECT run_id, plan_json FROM runs
    WHERE scope_id = (SELECT id FROM scopes WHERE key = ?1) AND relation = ?2
        AND status = 'success' AND plan_json <> ''
    ORDER BY started_at DESC, id DESC LIMIT 1";

impl Store {
    /// The columns of the newest published run of a relation in a scope, and which run that is; `None`
    /// where there is none, or only such as were rebuilt from manifests.
    pub fn last_columns(
        &self,
        scope: &Scope,
        relation: &Relation,
    ) -> Result<Option<(RunId, Vec<Column>)>> {
        let params = (&scope.key, relation.to_string());
        let found: Vec<(String, String)> = self.rows(LAST_PUBLISHED, params)?;
        let Some((id, plan)) = found.into_iter().next() else {
            return Ok(None);
        };
        let plan: ExecutionPlan = self.parsed(&plan)?;
        Ok(Some((RunId::stored(id), plan.spec.read.columns)))
    }
}

/// Remembers how a run's columns differ from those of the run before.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    id: &RunId,
    drift: &SchemaDrift,
) -> rusqlite::Result<()> {
    transaction.execute(
        "INSERT INTO schema_changes (run_id, since, drift_json) VALUES (?1, ?2, ?3)",
        (id.as_str(), drift.since.as_str(), json(drift)?),
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RunStatus, SchemaChange, SchemaWitness};
    use crate::state::tests::{close, count, open, scope, store};

    #[test]
    fn the_newest_published_run_of_a_relation_says_what_its_columns_were() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        let relation = scope("orders").relation;
        assert_eq!(store.last_columns(&scope("orders"), &relation), Ok(None));
        let run = |second, status: RunStatus| {
            let (open, mut close) = (open(second, 1), close(second));
            close.status = status;
            store.begin(&open).expect("the run begins");
            store.close(&open.id, &close, None).expect("the run closes");
            open
        };
        let published = run(1, RunStatus::Success);
        run(2, RunStatus::Failed);
        let columns = published.plan.spec.read.columns.clone();
        let found = store.last_columns(&scope("orders"), &relation);
        assert_eq!(found, Ok(Some((published.id, columns))));
        let other = scope("customers").relation;
        assert_eq!(store.last_columns(&scope("orders"), &other), Ok(None));
        let plan = format!("EXPLAIN QUERY PLAN {LAST_PUBLISHED}");
        let mut plan = store.connection.prepare(&plan).expect("a statement");
        let steps = plan.query_map(["a", "b"], |row| row.get::<_, String>(3));
        for step in steps.expect("steps") {
            let step = step.expect("a step");
            let sorted = step.contains("TEMP") || step.starts_with("SCAN ");
            assert!(!sorted, "{step}");
        }
    }

    #[test]
    fn what_a_run_met_stays_with_its_row_and_goes_with_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        let mut run = open(1, 1);
        run.drift = Some(SchemaDrift {
            since: RunId::stored("rx-before"),
            known_from: SchemaWitness::History,
            changes: vec![SchemaChange::Reordered {
                columns: vec!["a".to_owned()],
            }],
        });
        store.begin(&run).expect("the run begins");
        let row = store.row(&run.id).expect("a row").expect("the run's");
        assert_eq!(row.schema_change, run.drift);
        let sql = "DELETE FROM runs";
        store.connection.execute(sql, []).expect("a row less");
        assert_eq!(count(&store, "SELECT count(*) FROM schema_changes"), 0);
    }
}
