//! Reads runs, plans and profiles.

use jiff::Timestamp;
use rusqlite::types::{FromSql, ValueRef};
use rusqlite::{OptionalExtension, Params, Row, RowIndex};
use serde::de::DeserializeOwned;

use super::{Result, StateError, Store};
use crate::controller::between_runs::State;
use crate::model::{
    ExecutionPlan, PastRun, Reason, Recorded, RunId, RunStatus, Scope, SourceIdentity,
    SourceProfile,
};

/// Runs that an ambiguous id names as examples.
const EXAMPLES: usize = 4;

/// The newest runs of a history; with `teaching`, of those that teach, which have an index of their own.
pub(super) fn history_sql(teaching: bool) -> String {
    let only = if teaching { " AND teaches" } else { "" };
    format!(
        "SELECT run_id, relation, started_at, status, workers, rows, bytes, duration_s, predicted_s,
                throughput, teaches, fingerprint, error, replay_of, execution_context_json
         FROM runs
         WHERE scope_id = (SELECT id FROM scopes WHERE key = ?1){only}
         ORDER BY started_at DESC, id DESC
         LIMIT ?2"
    )
}

/// Ids and tags that begin with ?1. They are ASCII, so everything that begins like the prefix lies
/// below the prefix followed by the highest character.
pub(super) const FIND: &str = "
    SELECT run_id FROM runs WHERE run_id >= ?1 AND run_id < ?1 || char(0x10ffff)
    UNION
    SELECT run_id FROM runs WHERE tag >= ?1 AND tag < ?1 || char(0x10ffff)
    LIMIT ?2";

pub(super) const REASONS: &str = "
    SELECT CASE WHEN json_valid(plan_json) THEN json_extract(plan_json, '$.reasons') END
    FROM runs WHERE run_id = ?1";

pub(super) const RUNNING: &str =
    "SELECT count(*) FROM runs WHERE status = 'running' AND source = ?1";

pub(super) const WRITING: &str = "
    SELECT run_id FROM runs WHERE status = 'running' AND host = ?1 AND output = ?2
    ORDER BY id LIMIT 1";

impl Store {
    /// The runs of a scope, newest first, at most `limit`; runs that must not teach, too.
    pub fn history(&self, scope: &Scope, limit: u32) -> Result<Vec<PastRun>> {
        self.past_runs(scope, limit, false)
    }

    /// The runs of a scope that teach, newest first, at most `limit`: however many others came after
    /// them.
    pub fn teachers(&self, scope: &Scope, limit: u32) -> Result<Vec<PastRun>> {
        self.past_runs(scope, limit, true)
    }

    fn past_runs(&self, scope: &Scope, limit: u32, teaching: bool) -> Result<Vec<PastRun>> {
        let read = || {
            let mut statement = self.connection.prepare_cached(&history_sql(teaching))?;
            let rows = statement.query_map((&scope.key, limit), past_run)?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|error| self.unreadable(&error))
    }

    /// The run that an id, the beginning of an id, or the beginning of its last part stands for.
    ///
    /// # Errors
    /// [`StateError::NotFound`], or [`StateError::Ambiguous`] with some of the runs.
    pub fn find(&self, prefix: &str) -> Result<RunId> {
        let found: Vec<(String,)> = self.rows(FIND, (prefix, EXAMPLES as i64 + 1))?;
        let mut ids: Vec<String> = found.into_iter().map(|(id,)| id).collect();
        if let Some(exact) = ids.iter().position(|id| id == prefix) {
            ids = vec![ids.swap_remove(exact)];
        }
        match ids.len() {
            0 => Err(StateError::NotFound {
                id: prefix.to_owned(),
            }),
            1 => Ok(RunId::stored(ids.remove(0))),
            _ => {
                ids.truncate(EXAMPLES);
                Err(StateError::Ambiguous {
                    prefix: prefix.to_owned(),
                    candidates: ids,
                })
            }
        }
    }

    /// The plan of a run, as it was stored; `None` where there is no such run. What is executed
    /// again should first pass `planner::verify`.
    pub fn plan(&self, id: &RunId) -> Result<Option<ExecutionPlan>> {
        let text = self.plan_text(id)?;
        text.map(|text| self.parsed(&text)).transpose()
    }

    /// The same as the text that is stored, which may be of a version that this program does not
    /// know.
    ///
    /// # Errors
    /// [`StateError::NoPlan`] for a run that was rebuilt from its manifest.
    pub fn plan_text(&self, id: &RunId) -> Result<Option<String>> {
        let text: Option<String> = self.value(
            "SELECT plan_json FROM runs WHERE run_id = ?1",
            [id.as_str()],
        )?;
        match text {
            Some(text) if text.is_empty() => Err(StateError::NoPlan { id: id.to_string() }),
            text => Ok(text),
        }
    }

    /// Why a run's plan decided as it did, without reading the rest of a plan that may be long; nothing
    /// where no plan is known, or one whose reasons this program does not understand.
    pub fn reasons(&self, id: &RunId) -> Result<Vec<Reason>> {
        let text: Option<Option<String>> = self.value(REASONS, [id.as_str()])?;
        let reasons = text.flatten().map(|text| serde_json::from_str(&text));
        Ok(reasons.and_then(|known| known.ok()).unwrap_or_default())
    }

    /// The latest profile of a scope and when it was made.
    pub fn profile(&self, scope: &Scope) -> Result<Option<(Timestamp, SourceProfile)>> {
        let rows: Vec<(String, String)> = self.rows(
            "SELECT profiled_at, profile_json FROM profiles
             WHERE scope_id = (SELECT id FROM scopes WHERE key = ?1)",
            [&scope.key],
        )?;
        let Some((at, text)) = rows.into_iter().next() else {
            return Ok(None);
        };
        let at = at.parse().map_err(|error| self.corrupt(error))?;
        Ok(Some((at, self.parsed(&text)?)))
    }

    /// When the latest profile of a scope was made, by the scope's key.
    pub fn profiled_at(&self, scope: &str) -> Result<Option<Timestamp>> {
        let text: Option<String> = self.value(
            "SELECT profiled_at FROM profiles
             WHERE scope_id = (SELECT id FROM scopes WHERE key = ?1)",
            [scope],
        )?;
        let parse = |text: String| text.parse().map_err(|error| self.corrupt(error));
        text.map(parse).transpose()
    }

    /// What the controller knows of a scope; `None` before the first run that it decided and that
    /// taught.
    pub fn learned(&self, scope: &Scope) -> Result<Option<State>> {
        self.learned_in(&scope.key)
    }

    /// The same by the scope's key.
    pub fn learned_in(&self, scope: &str) -> Result<Option<State>> {
        let text: Option<String> = self.value(
            "SELECT state_json FROM controller_state
             WHERE scope_id = (SELECT id FROM scopes WHERE key = ?1)",
            [scope],
        )?;
        text.map(|text| self.parsed(&text)).transpose()
    }

    /// How many runs are under way on a database, whichever its tables.
    pub fn running(&self, source: &SourceIdentity) -> Result<u32> {
        let count = self.value(RUNNING, [source.to_string()])?;
        Ok(count.unwrap_or(0))
    }

    /// The run of a host that is under way into an output, if there is one; of several the oldest.
    pub fn writing(&self, host: &str, output: &str) -> Result<Option<RunId>> {
        let run: Option<String> = self.value(WRITING, [host, output])?;
        Ok(run.map(RunId::stored))
    }

    /// All rows of a query.
    pub(super) fn rows<T, P>(&self, sql: &str, params: P) -> Result<Vec<T>>
    where
        T: for<'r> TryFrom<&'r Row<'r>, Error = rusqlite::Error>,
        P: Params,
    {
        let read = || {
            let mut statement = self.connection.prepare_cached(sql)?;
            let rows = statement.query_map(params, |row| T::try_from(row))?;
            rows.collect::<rusqlite::Result<Vec<T>>>()
        };
        read().map_err(|error| self.unreadable(&error))
    }

    /// The one value of a query that has at most one.
    pub(super) fn value<T: FromSql>(&self, sql: &str, params: impl Params) -> Result<Option<T>> {
        self.connection
            .query_row(sql, params, |row| row.get(0))
            .optional()
            .map_err(|error| self.unreadable(&error))
    }

    pub(super) fn parsed<T: DeserializeOwned>(&self, text: &str) -> Result<T> {
        serde_json::from_str(text).map_err(|error| self.corrupt(error))
    }

    /// A value that cannot be what the column means is damage; the rest is SQLite's.
    pub(super) fn unreadable(&self, error: &rusqlite::Error) -> StateError {
        match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..) => self.corrupt(error),
            other => self.failed(other, "read"),
        }
    }
}

fn past_run(row: &Row<'_>) -> rusqlite::Result<PastRun> {
    Ok(PastRun {
        id: RunId::stored(row.get::<_, String>(0)?),
        relation: row.get(1)?,
        started_at: understood(row, 2, |text| text.parse().ok())?,
        status: understood(row, 3, status)?,
        workers: row.get(4)?,
        rows: row.get::<_, i64>(5)?.unsigned_abs(),
        bytes: row.get::<_, i64>(6)?.unsigned_abs(),
        duration_s: row.get(7)?,
        predicted_s: row.get(8)?,
        throughput: row.get(9)?,
        teaches: row.get(10)?,
        fingerprint: row.get(11)?,
        error: row.get(12)?,
        replay_of: row.get::<_, Option<String>>(13)?.map(RunId::stored),
        context: Recorded::parse(&row.get::<_, String>(14)?),
    })
}

pub(super) fn status(name: &str) -> Option<RunStatus> {
    use RunStatus::{Cancelled, Crashed, Failed, Running, Success};
    [Running, Success, Failed, Cancelled, Crashed]
        .into_iter()
        .find(|status| status.name() == name)
}

/// A text column that has a meaning.
pub(super) fn understood<T>(
    row: &Row<'_>,
    column: impl RowIndex,
    meaning: impl FnOnce(&str) -> Option<T>,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    meaning(&text).ok_or_else(|| {
        let column = column.idx(row.as_ref()).unwrap_or_default();
        let why = format!("'{text}' is not understood");
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, why.into())
    })
}

/// The same for a column that may be NULL.
pub(super) fn understood_if_any<T>(
    row: &Row<'_>,
    column: impl RowIndex,
    meaning: impl FnOnce(&str) -> Option<T>,
) -> rusqlite::Result<Option<T>> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        _ => understood(row, column, meaning).map(Some),
    }
}
