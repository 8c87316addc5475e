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
