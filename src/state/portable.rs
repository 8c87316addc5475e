//! A whole store as one document: a JSON object a line, readable by any program, and by this one again
//! in whichever store it likes.
//!
//! The first line says what it is and of which version, the last how much there was, so that a
//! document that was cut off is noticed. Between them stands a line for each history, with what is
//! kept beside it, and a line for each run, with its chunks and what else belongs to it. Rows are
//! objects by column; row numbers are left out, since they mean nothing elsewhere. Which tables belong
//! to what is read from the schema's own references.

use std::io::{BufRead, Write};

use rusqlite::types::{Value as Cell, ValueRef};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params_from_iter};
use serde_json::{Map, Value, json};

use super::{Result, StateError, Store, migrate};
use crate::model::{Exported, Imported};

/// Names the document, in its first line; the value is the version of the store.
const MAGIC: &str = "ixtract_state";

/// The key of the last line.
const END: &str = "end";

impl Store {
    /// Writes everything but runs under way.
    ///
    /// # Errors
    /// [`StateError::Unwritten`] where the writer fails, `name` being its name.
    pub fn export(&self, out: &mut dyn Write, name: &str) -> Result<Exported> {
        // One point in time, whatever other processes write meanwhile.
        let transaction = self
            .connection
            .unchecked_transaction()
            .map_err(|error| self.failed(&error, "read"))?;
        let mut line = |value: Value| writeln!(out, "{value}").map_err(Stop::Writer);
        dump(&transaction, &mut line).map_err(|stop| match stop {
            Stop::Store(error) => self.unreadable(&error),
            Stop::Writer(error) => StateError::Unwritten {
                name: name.to_owned(),
                why: error.to_string(),
            },
        })
    }

    /// Takes in a document that [`Store::export`] wrote, in one transaction. Runs that are here stay as
    /// they are, unless less is known of them; of what is kept beside a history the newer counts.
    ///
    /// # Errors
    /// [`StateError::Document`] for what is no such document, was cut off or is newer than this
    /// program; nothing is taken in then.
    pub fn import(&self, document: &mut dyn BufRead, name: &str) -> Result<Imported> {
        // Brought to this version first, in memory, as a store of that version would be.
        let scratch = load(document).map_err(|why| StateError::Document {
            name: name.to_owned(),
            why,
        })?;
        self.write(|transaction| {
            let mut imported = Imported::default();
            let mut tables = Tables::new(transaction)?;
            dump(&scratch, &mut |line| tables.merge(&line, &mut imported))?;
            Ok(imported)
        })
    }
}

/// Why a document is not written to its end.
enum Stop {
    Store(rusqlite::Error),
    Writer(std::io::Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error)
    }
}

/// The document's rows in a store in memory, of this program's version.
fn load(document: &mut dyn BufRead) -> std::result::Result<Connection, String> {
    let mut lines = document.lines().zip(1u64..).map(|(line, number)| {
        let line = line.map_err(|error| error.to_string())?;
        let value: Value = serde_json::from_str(&line)
            .map_err(|error| format!("line {number} is no JSON: {error}"))?;
        Ok::<_, String>((number, value))
    });
    let (_, head) = lines.next().ok_or("it is empty")??;
    let known = migrate::MIGRATIONS.len();
    let version = head
        .get(MAGIC)
        .and_then(Value::as_u64)
        .and_then(|version| usize::try_from(version).ok())
        .filter(|version| *version > 0)
        .ok_or_else(|| format!("its first line has no {MAGIC}"))?;
    if version > known {
        return Err(format!(
            "it is of version {version}; this ixtract knows versions up to {known}"
        ));
    }
    let said = |error: rusqlite::Error| error.to_string().replace('\n', " ");
    let scratch = Connection::open_in_memory().map_err(said)?;
    scratch
        .execute_batch("PRAGMA foreign_keys = ON")
        .map_err(said)?;
    migrate::raise(&scratch, "in memory", &migrate::MIGRATIONS[..version])
        .map_err(|error| error.to_string())?;
    let transaction =
        Transaction::new_unchecked(&scratch, TransactionBehavior::Deferred).map_err(said)?;
    let mut tables = Tables::new(&transaction).map_err(said)?;
    let mut read = Exported::default();
    let mut ended = false;
    for line in lines {
        let (number, value) = line?;
        if ended {
            return Err(format!("line {number} comes after its end"));
        }
        ended = tables
            .read(&value, &mut read)
            .map_err(|error| format!("line {number}: {}", said(error)))?;
    }
    if !ended {
        return Err("it was cut off: its last line is missing".to_owned());
    }
    drop(tables);
    transaction.commit().map_err(said)?;
    migrate::raise(&scratch, "in memory", migrate::MIGRATIONS)
        .map_err(|error| error.to_string())?;
    Ok(scratch)
}

/// Gives every line of a store's document.
fn dump<E: From<rusqlite::Error>>(
    connection: &Connection,
    line: &mut dyn FnMut(Value) -> std::result::Result<(), E>,
) -> std::result::Result<Exported, E> {
    let tables = Tables::new(connection)?;
    let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    line(json!({ MAGIC: version, "ixtract": env!("CARGO_PKG_VERSION") }))?;
    let mut written = Exported::default();
    let mut scopes = connection.prepare("SELECT id, key FROM scopes ORDER BY id")?;
    let mut rows = scopes.query([])?;
    while let Some(row) = rows.next()? {
        let (id, key): (i64, String) = (row.get(0)?, row.get(1)?);
        line(tables.whole("scope", "scopes", ("key", &key), ("scope_id", id.into()))?)?;
        written.scopes += 1;
    }
    let mut runs =
        connection.prepare("SELECT run_id FROM runs WHERE status <> 'running' ORDER BY id")?;
    let mut rows = runs.query([])?;
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        line(tables.whole(
            "run",
            "runs",
            ("run_id", &id),
            ("run_id", id.clone().into()),
        )?)?;
        written.runs += 1;
    }
    written.under_way = connection
        .query_row(
            "SELECT count(*) FROM runs WHERE status = 'running'",
            [],
            |row| row.get::<_, i64>(0),
        )?
        .unsigned_abs();
    line(json!({ END: { "scopes": written.scopes, "runs": written.runs } }))?;
    Ok(written)
}

/// A table that belongs to a history or a run.
struct Child {
    name: String,
    columns: Vec<String>,
}

/// The store's tables, as its schema relates them.
struct Tables<'a> {
    connection: &'a Connection,
    of_scopes: Vec<Child>,
    of_runs: Vec<Child>,
}

impl<'a> Tables<'a> {
    fn new(connection: &'a Connection) -> rusqlite::Result<Self> {
        let children = |parent: &str| -> rusqlite::Result<Vec<Child>> {
            let mut find = connection.prepare(
                "SELECT schema.name FROM sqlite_schema AS schema, pragma_foreign_key_list(schema.name) AS key
                 WHERE schema.type = 'table' AND key.\"table\" = ?1 AND schema.name <> 'runs'
                 ORDER BY schema.name",
            )?;
            let names = find.query_map([parent], |row| row.get::<_, String>(0))?;
            names
                .map(|name| {
                    let name = name?;
                    let columns = columns(connection, &name)?;
                    Ok(Child { name, columns })
                })
                .collect()
        };
        Ok(Self {
            connection,
            of_scopes: children("scopes")?,
            of_runs: children("runs")?,
        })
    }

    /// The row of a history or run by its own `key`, and the rows that belong to it by `reference`.
    fn whole(
        &self,
        kind: &str,
        table: &str,
        key: (&str, &str),
        reference: (&str, Cell),
    ) -> rusqlite::Result<Value> {
        let columns = columns(self.connection, table)?;
        let mut rows = self.rows(table, &columns, key.0, &key.1.to_owned().into())?;
        let mut row = rows.pop().ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        if table == "runs" {
            let scope: String = self.connection.query_row(
                "SELECT key FROM scopes JOIN runs ON scopes.id = scope_id WHERE run_id = ?1",
                [key.1],
                |row| row.get(0),
            )?;
            row.insert("scope".to_owned(), scope.into());
        }
        let mut line = Map::from_iter([(kind.to_owned(), Value::Object(row))]);
        let children = if table == "runs" {
            &self.of_runs
        } else {
            &self.of_scopes
        };
        for child in children {
            let rows = self.rows(&child.name, &child.columns, reference.0, &reference.1)?;
            let rows: Vec<Value> = rows.into_iter().map(Value::Object).collect();
            if !rows.is_empty() {
                line.insert(child.name.clone(), rows.into());
            }
        }
        Ok(Value::Object(line))
    }

    /// Rows of a table as objects, in the order of their keys.
    fn rows(
        &self,
        table: &str,
        columns: &[String],
        by: &str,
        value: &Cell,
    ) -> rusqlite::Result<Vec<Map<String, Value>>> {
        let sql = format!(
            "SELECT {} FROM {table} WHERE {by} = ?1 ORDER BY {}",
            columns.join(", "),
            self.order(table)?
        );
        let mut select = self.connection.prepare_cached(&sql)?;
        let rows = select.query_map([value], |row| {
            let cell = |(at, name): (usize, &String)| Ok((name.clone(), cell(row.get_ref(at)?)?));
            columns.iter().enumerate().map(cell).collect()
        })?;
        rows.collect()
    }

    /// What orders a table's rows: its primary key.
    fn order(&self, table: &str) -> rusqlite::Result<String> {
        let mut keys = self
            .connection
            .prepare_cached("SELECT name FROM pragma_table_info(?1) WHERE pk > 0 ORDER BY pk")?;
        let keys = keys.query_map([table], |row| row.get::<_, String>(0))?;
        Ok(keys.collect::<rusqlite::Result<Vec<_>>>()?.join(", "))
    }

    /// Puts a line of a document into an empty store; whether it was the last.
    fn read(&mut self, line: &Value, read: &mut Exported) -> rusqlite::Result<bool> {
        if let Some(scope) = line.get("scope") {
            self.put_scope(line, scope)?;
            read.scopes += 1;
        } else if let Some(run) = line.get("run") {
            self.put_run(line, run)?;
            read.runs += 1;
        } else if let Some(end) = line.get(END) {
            let said = json!({ "scopes": read.scopes, "runs": read.runs });
            if *end != said {
                return Err(unfit(format!("it ends with {end}, and {said} came before")));
            }
            return Ok(true);
        } else {
            return Err(unfit("it is neither scope nor run".to_owned()));
        }
        Ok(false)
    }

    /// Merges a line of a document of this version.
    fn merge(&mut self, line: &Value, imported: &mut Imported) -> rusqlite::Result<()> {
        if let Some(scope) = line.get("scope") {
            return self.put_scope(line, scope);
        }
        let Some(run) = line.get("run") else {
            return Ok(());
        };
        let id = run["run_id"].as_str().unwrap_or_default();
        // What is under way here may have come to its end elsewhere; a rebuilt run knows the least.
        let lesser: Option<bool> = self
            .connection
            .query_row(
                "SELECT status = 'running' OR (?2 = 0 AND EXISTS (SELECT 1 FROM rebuilt WHERE run_id = ?1))
                 FROM runs WHERE run_id = ?1",
                (id, line.get("rebuilt").is_some()),
                |row| row.get(0),
            )
            .optional()?;
        match lesser {
            None => imported.runs += 1,
            Some(true) => {
                self.connection
                    .execute("DELETE FROM runs WHERE run_id = ?1", [id])?;
                imported.completed += 1;
            }
            Some(false) => {
                imported.known += 1;
                return Ok(());
            }
        }
        self.put_run(line, run)
    }

    /// A history, unless it is here, and what is kept beside it, where it is newer than what is here.
    fn put_scope(&self, line: &Value, scope: &Value) -> rusqlite::Result<()> {
        let columns = columns(self.connection, "scopes")?;
        self.insert(
            "scopes",
            &columns,
            scope,
            None,
            "ON CONFLICT (key) DO NOTHING",
        )?;
        let id: i64 = self.connection.query_row(
            "SELECT id FROM scopes WHERE key = ?1",
            [scope["key"].as_str().unwrap_or_default()],
            |row| row.get(0),
        )?;
        for child in &self.of_scopes {
            // A row that has a time is replaced by a later one.
            let time = child.columns.iter().find(|name| name.ends_with("_at"));
            let conflict = time.map_or_else(
                || "ON CONFLICT DO NOTHING".to_owned(),
                |time| {
                    let set = child
                        .columns
                        .iter()
                        .map(|name| format!("{name} = excluded.{name}"));
                    format!(
                        "ON CONFLICT DO UPDATE SET {} WHERE excluded.{time} > {}.{time}",
                        set.collect::<Vec<_>>().join(", "),
                        child.name
                    )
                },
            );
            self.put_children(line, child, ("scope_id", id.into()), &conflict)?;
        }
        Ok(())
    }

    fn put_run(&self, line: &Value, run: &Value) -> rusqlite::Result<()> {
        let columns = columns(self.connection, "runs")?;
        let scope: i64 = self
            .connection
            .query_row(
                "SELECT id FROM scopes WHERE key = ?1",
                [run["scope"].as_str().unwrap_or_default()],
                |row| row.get(0),
            )
            .optional()?
            .ok_or_else(|| unfit("the run's scope did not come before it".to_owned()))?;
        let mut row = run.clone();
        if let Some(fields) = row.as_object_mut() {
            fields.remove("scope");
        }
        self.insert("runs", &columns, &row, Some(("scope_id", scope.into())), "")?;
        let id = run["run_id"].as_str().unwrap_or_default().to_owned();
        for child in &self.of_runs {
            self.put_children(line, child, ("run_id", id.clone().into()), "")?;
        }
        Ok(())
    }

    fn put_children(
        &self,
        line: &Value,
        child: &Child,
        reference: (&str, Cell),
        conflict: &str,
    ) -> rusqlite::Result<()> {
        let rows = line.get(&child.name).and_then(Value::as_array);
        for row in rows.into_iter().flatten() {
            let reference = (reference.0, reference.1.clone());
            self.insert(&child.name, &child.columns, row, Some(reference), conflict)?;
        }
        Ok(())
    }

    /// Inserts an object as a row. A column that the object lacks gets its default; a name that is no
    /// column is refused, since what it means would be lost.
    fn insert(
        &self,
        table: &str,
        columns: &[String],
        row: &Value,
        reference: Option<(&str, Cell)>,
        conflict: &str,
    ) -> rusqlite::Result<()> {
        let fields = row
            .as_object()
            .ok_or_else(|| unfit(format!("a row of {table} is no object")))?;
        if let Some(stranger) = fields.keys().find(|name| !columns.contains(name)) {
            return Err(unfit(format!("'{stranger}' is no column of {table}")));
        }
        let mut names: Vec<&str> = fields.keys().map(String::as_str).collect();
        let mut cells = fields
            .values()
            .map(stored)
            .collect::<rusqlite::Result<Vec<Cell>>>()?;
        if let Some((name, cell)) = reference {
            names.push(name);
            cells.push(cell);
        }
        let marks = vec!["?"; cells.len()].join(", ");
        let sql = format!(
            "INSERT INTO {table} ({}) VALUES ({marks}) {conflict}",
            names.join(", ")
        );
        self.connection
            .prepare_cached(&sql)?
            .execute(params_from_iter(cells))
            .map(drop)
    }
}

/// The columns of a table that mean something elsewhere: no row numbers, and no references, which the
/// document's structure has.
fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<String>> {
    let own_id = if table == "runs" {
        "scope_id"
    } else {
        "run_id"
    };
    let mut select =
        connection.prepare_cached("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?;
    let names = select.query_map([table], |row| row.get::<_, String>(0))?;
    let names: Vec<String> = names.collect::<rusqlite::Result<_>>()?;
    let references = ["id", "scope_id", own_id];
    Ok(names
        .into_iter()
        .filter(|name| !references.contains(&name.as_str()))
        .collect())
}

fn cell(value: ValueRef<'_>) -> rusqlite::Result<Value> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned().into(),
        ValueRef::Blob(_) => return Err(unfit("a store has no blobs".to_owned())),
    })
}

fn stored(value: &Value) -> rusqlite::Result<Cell> {
    Ok(match value {
        Value::Null => Cell::Null,
        Value::String(text) => Cell::Text(text.clone()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Cell::Integer(number),
            (None, Some(number)) if !number.is_nan() && !value.is_u64() => Cell::Real(number),
            _ => return Err(unfit(format!("{number} is no number of a store"))),
        },
        other => return Err(unfit(format!("{other} is no value of a store"))),
    })
}

/// What a document says that makes no sense, as an error of the store's driver.
fn unfit(why: String) -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure(why.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::controller::between_runs::State;
    use crate::model::{Anomaly, Direction, RunStatus};
    use crate::planner::fixtures;
    use crate::state::tests::{at, close, count, open, scope, store};

    /// One run of a history, as far as it matters here.
    #[derive(Clone, Debug)]
    struct Told {
        table: u8,
        end: Option<RunStatus>,
        throughput: f64,
        error: Option<String>,
        odd: bool,
    }

    fn told() -> impl Strategy<Value = Told> {
        let ends = [RunStatus::Success, RunStatus::Failed, RunStatus::Cancelled];
        (
            0u8..3,
            proptest::option::weighted(0.9, proptest::sample::select(ends.to_vec())),
            proptest::num::f64::NORMAL | proptest::num::f64::ZERO,
            proptest::option::of(any::<String>()),
            any::<bool>(),
        )
            .prop_map(|(table, end, throughput, error, odd)| Told {
                table,
                end,
                throughput,
                error,
                odd,
            })
    }

    fn tell(store: &Store, history: &[Told]) {
        for (told, number) in history.iter().zip(0u32..) {
            let mut run = open(number.into(), number);
            run.scope = scope(&format!("t{}", told.table));
            store.begin(&run).expect("the run begins");
            store
                .save_profile(
                    &run.scope,
                    &fixtures::profile(u64::from(number)),
                    at(number.into()),
                )
                .expect("a profile");
            let Some(status) = told.end else { continue };
            let mut end = close(i64::from(number) + 1);
            end.status = status;
            end.throughput = told.throughput;
            end.error.clone_from(&told.error);
            end.anomaly = told.odd.then_some(Anomaly {
                direction: Direction::Degradation,
                z: told.throughput,
                throughput: told.throughput,
                mean: 1.0,
                sigma: 0.5,
                runs: 7,
            });
            store
                .close(&run.id, &end, Some(&State::default()))
                .expect("the run closes");
        }
    }

    fn exported(store: &Store) -> String {
        let mut bytes = Vec::new();
        store.export(&mut bytes, "memory").expect("an export");
        String::from_utf8(bytes).expect("text")
    }

    fn taken(store: &Store, document: &str) -> Result<Imported> {
        store.import(&mut document.as_bytes(), "memory")
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_is_imported_exports_the_same_however_often(
            history in proptest::collection::vec(told(), 0..8)
        ) {
            let [one, other] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
            let (one, other) = (store(&one), store(&other));
            tell(&one, &history);
            let document = exported(&one);
            let ended = history.iter().filter(|told| told.end.is_some()).count() as u64;
            let first = taken(&other, &document).expect("an import");
            prop_assert_eq!(first, Imported { runs: ended, ..Imported::default() });
            prop_assert_eq!(&exported(&other), &document);
            let again = taken(&other, &document).expect("an import");
            prop_assert_eq!(again, Imported { known: ended, ..Imported::default() });
            prop_assert_eq!(&exported(&other), &document);
            prop_assert_eq!(count(&other, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
        }

        #[test]
        fn a_document_that_was_damaged_is_refused_or_harmless(
            cut in 0usize..4000,
            byte in any::<u8>(),
            keep in any::<bool>(),
        ) {
            let [one, other] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
            let (one, other) = (store(&one), store(&other));
            let told = Told { table: 0, end: Some(RunStatus::Success), throughput: 1.0, error: None, odd: true };
            tell(&one, &[told]);
            let mut document = exported(&one).into_bytes();
            let cut = cut % document.len();
            if keep {
                document[cut] = byte;
            } else {
                document.truncate(cut);
            }
            let result = other.import(&mut document.as_slice(), "memory");
            // Whatever was understood of it, the store is sound.
            if result.is_err() {
                prop_assert_eq!(count(&other, "SELECT count(*) FROM runs"), 0);
            }
            prop_assert_eq!(count(&other, "SELECT count(*) FROM pragma_foreign_key_check"), 0);
        }
    }

    #[test]
    fn every_table_of_the_schema_is_in_the_document() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        let tables = Tables::new(&store.connection).expect("tables");
        let mut told: Vec<&str> = ["runs", "scopes"].to_vec();
        told.extend(tables.of_runs.iter().map(|child| child.name.as_str()));
        told.extend(tables.of_scopes.iter().map(|child| child.name.as_str()));
        told.sort_unstable();
        let all: Vec<(String,)> = store
            .rows(
                "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
                [],
            )
            .expect("tables");
        let all: Vec<String> = all.into_iter().map(|(name,)| name).collect();
        assert_eq!(told, all);
    }

    #[test]
    fn newer_and_strange_documents_are_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = store(&directory);
        let newer = format!("{{\"{MAGIC}\": {}}}\n", migrate::MIGRATIONS.len() + 1);
        for (document, says) in [
            (newer.as_str(), "knows versions up to"),
            ("", "it is empty"),
            ("{}\n", "its first line has no"),
            ("hello\n", "line 1 is no JSON"),
            ("{\"ixtract_state\": 1}\n", "it was cut off"),
            (
                "{\"ixtract_state\": 1}\n{\"run\": {\"run_id\": \"rx\"}}\n",
                "line 2",
            ),
            (
                "{\"ixtract_state\": 1}\n{\"scope\": {\"key\": \"k\", \"nonsense\": 1}}\n",
                "'nonsense' is no column of scopes",
            ),
        ] {
            let error = taken(&store, document).expect_err(document);
            let StateError::Document { why, .. } = error else {
                panic!("{document}: {error:?}");
            };
            assert!(why.contains(says), "{document}: {why}");
        }
    }

    #[test]
    fn a_run_that_ended_elsewhere_is_completed_here() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
        let (one, other) = (store(&one), store(&other));
        let run = open(0, 1);
        other.begin(&run).expect("the run begins");
        one.begin(&run).expect("the run begins");
        one.close(&run.id, &close(9), None).expect("the run closes");
        let imported = taken(&other, &exported(&one)).expect("an import");
        assert_eq!(imported.completed, 1);
        assert_eq!(exported(&other), exported(&one));
        assert_eq!(count(&other, "SELECT count(*) FROM chunks"), 3);
    }
}
