//! Which run is meant: `last`, an id or the beginning of one, or a table.

use super::{Result, StateError, Store};
use crate::model::RunId;

/// The word for the newest run of all.
pub const LAST: &str = "last";

pub(super) const NEWEST: &str = "SELECT run_id FROM runs ORDER BY started_at DESC, id DESC LIMIT 1";

/// The newest run of every scope of some relations, newest first. SQLite takes the other columns
/// from the row that has the maximum.
pub(super) const RELATIONS: &str = "
    SELECT run_id, relation, source FROM (
        SELECT run_id, relation, source, max(started_at) AS at FROM runs
        WHERE relation IN (SELECT value FROM json_each(?1))
        GROUP BY relation, scope_id)
    ORDER BY at DESC, run_id DESC";

pub(super) const NAMES: &str = "SELECT DISTINCT relation FROM runs";

impl Store {
    /// The run that `text` stands for: [`LAST`], the newest of all; an id or its last part; a table
    /// (`schema.table` or `table`), its newest run; or the beginning of an id or of its last part.
    ///
    /// A table's name means that table alone: where several are called so, in different schemas or
    /// databases, it is an error that names their newest runs.
    ///
    /// # Errors
    /// [`StateError::NotFound`], [`StateError::Ambiguous`], [`StateError::SeveralTables`].
    pub fn select(&self, text: &str) -> Result<RunId> {
        let nothing = || StateError::NotFound {
            id: text.to_owned(),
        };
        if text == LAST {
            return self.newest()?.ok_or_else(nothing);
        }
        let begins = self.find(text);
        let whole = |id: &RunId| id.as_str() == text || id.tag() == text;
        if let Ok(id) = &begins
            && whole(id)
        {
            return begins;
        }
        match self.newest_of_table(text)? {
            Some(id) => Ok(id),
            None => begins,
        }
    }

    /// The newest run, whatever its table.
    pub fn newest(&self) -> Result<Option<RunId>> {
        let found: Vec<(String,)> = self.rows(NEWEST, [])?;
        Ok(found.into_iter().next().map(|(id,)| RunId::stored(id)))
    }

    /// The newest run of a table; `None` where no run read a table of that name.
    ///
    /// # Errors
    /// [`StateError::SeveralTables`].
    pub fn newest_of_table(&self, name: &str) -> Result<Option<RunId>> {
        let relations: Vec<(String,)> = self.rows(NAMES, [])?;
        let relations = called(name, relations.into_iter().map(|(name,)| name).collect());
        let listed = serde_json::to_string(&relations).map_err(|error| self.corrupt(error))?;
        let found: Vec<(String, String, String)> = self.rows(RELATIONS, [listed])?;
        // Newest first, so the first run of each relation and database is its newest.
        let mut tables: Vec<&(String, String, String)> = Vec::new();
        for run in &found {
            if !tables
                .iter()
                .any(|table| (&table.1, &table.2) == (&run.1, &run.2))
            {
                tables.push(run);
            }
        }
        match tables[..] {
            [] => Ok(None),
            [(id, ..)] => Ok(Some(RunId::stored(id))),
            _ => Err(StateError::SeveralTables {
                name: name.to_owned(),
                candidates: tables
                    .iter()
                    .map(|(id, relation, source)| format!("{id} read {relation} in {source}"))
                    .collect(),
            }),
        }
    }
}

/// The relations that are called so: exactly, else by the table's own name, else whatever the case
/// of the letters.
fn called(name: &str, relations: Vec<String>) -> Vec<String> {
    let own = |relation: &str| relation.split_once('.').map(|(_, own)| own.to_owned());
    let rules: [&dyn Fn(&str) -> bool; 3] = [
        &|relation| relation == name,
        &|relation| own(relation).as_deref() == Some(name),
        &|relation| {
            relation.eq_ignore_ascii_case(name)
                || own(relation).is_some_and(|own| own.eq_ignore_ascii_case(name))
        },
    ];
    for rule in rules {
        let found: Vec<String> = relations
            .iter()
            .filter(|relation| rule(relation))
            .cloned()
            .collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}
