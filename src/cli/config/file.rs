//! A configuration file, read: every key known, every value one that its flag would take, every one with
//! its line. Nothing here says yet which of them count.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::find::Found;
use super::keys::{Keys, Section};
use super::value::{self, Value};
use crate::cli::args::redact;
use crate::error::{ExitCode, Failure};
use crate::model::nearest;
use crate::source::url;

/// A file.
#[derive(Debug)]
pub(super) struct File {
    /// Its path as people should see it.
    pub(super) path: PathBuf,
    /// What holds without a profile.
    pub(super) base: Layer,
    /// What each profile lays over it.
    pub(super) profiles: BTreeMap<String, Layer>,
}

/// The file itself, or a profile of it.
#[derive(Debug, Default)]
pub(super) struct Layer {
    /// `[defaults]`, or the profile's own keys.
    pub(super) defaults: Values,
    /// `[sources.NAME]`.
    pub(super) sources: BTreeMap<String, Values>,
    /// Tables in the order they are written.
    pub(super) tables: Vec<Table>,
}

/// `[tables.NAME]` or `[[tables]]`.
#[derive(Debug)]
pub(super) struct Table {
    /// As it is written, or what the rows of its query are called.
    pub(super) name: String,
    /// Where it begins.
    pub(super) line: usize,
    /// Its keys.
    pub(super) values: Values,
}

/// Values by clap's names of their flags.
pub(super) type Values = BTreeMap<String, Setting>;

/// A value and where it is written.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// The key as it is written.
    pub(super) key: String,
    /// The line of the key, from 1 on.
    pub(super) line: usize,
    /// The value.
    pub(super) value: Value,
}

/// Something that is wrong at a line.
struct Problem {
    line: usize,
    what: String,
    why: String,
}

/// Reads a file.
///
/// # Errors
/// 78 with everything that is wrong, by line.
pub(super) fn read(found: &Found, keys: &Keys) -> Result<File, Failure> {
    let mut reader = Reader {
        found,
        keys,
        problems: Vec::new(),
    };
    let file = match DeTable::parse(&found.text) {
        Ok(root) => Some(reader.file(root.get_ref())),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            let why = crate::error::one_line(error.message());
            reader.problem(at, "it is not TOML", why);
            None
        }
    };
    match (file, reader.problems.is_empty()) {
        (Some(file), true) => Ok(file),
        _ => Err(refused(&found.path, reader.problems)),
    }
}

/// All problems as one failure, in the order of their lines.
fn refused(path: &Path, mut problems: Vec<Problem>) -> Failure {
    problems.sort_by_key(|problem| problem.line);
    let mut all = problems.iter();
    let Some(first) = all.next() else {
        return Failure::new(
            ExitCode::Bug,
            format!("{} is refused for no reason", path.display()),
            "this is a bug",
            "report it with the file",
        );
    };
    let others = all.map(|problem| {
        let Problem { line, what, why } = problem;
        format!("; line {line}: {what}: {why}")
    });
    Failure::new(
        ExitCode::Config,
        format!("{}:{}: {}", path.display(), first.line, first.what),
        format!("{}{}", first.why, others.collect::<String>()),
        "correct the file; `ixtract config show` reads it without doing anything else",
    )
}

struct Reader<'a> {
    found: &'a Found,
    keys: &'a Keys,
    problems: Vec<Problem>,
}

type Item<'a, 'i> = (
    &'a Spanned<std::borrow::Cow<'i, str>>,
    &'a Spanned<DeValue<'i>>,
);

impl Reader<'_> {
    fn line(&self, at: usize) -> usize {
        let before = self.found.text.as_bytes().iter().take(at);
        1 + before.filter(|byte| **byte == b'\n').count()
    }

    fn problem(&mut self, at: usize, what: impl Into<String>, why: impl Into<String>) {
        self.problems.push(Problem {
            line: self.line(at),
            what: what.into(),
            why: why.into(),
        });
    }

    fn file(&mut self, root: &DeTable<'_>) -> File {
        let mut profiles = BTreeMap::new();
        let base = self.layer(root, None, |reader, (key, value)| {
            match key.get_ref().as_ref() {
                "defaults" => return false,
                "profiles" => {
                    for (name, profile) in reader.tables_in(key, value) {
                        let layer = reader.layer(profile, Some(&name), |_, _| false);
                        profiles.insert(name, layer);
                    }
                }
                _ => reader.unknown_at_top(key),
            }
            true
        });
        File {
            path: self.found.path.clone(),
            base,
            profiles,
        }
    }

    /// A layer; `other` sees what is neither `sources` nor `tables` and says whether it took it.
    fn layer(
        &mut self,
        table: &DeTable<'_>,
        profile: Option<&str>,
        mut other: impl FnMut(&mut Self, Item<'_, '_>) -> bool,
    ) -> Layer {
        let mut layer = Layer::default();
        let of = profile.map_or(String::new(), |name| format!("profiles.{name}."));
        for (key, value) in table.iter() {
            match key.get_ref().as_ref() {
                "sources" => {
                    for (name, source) in self.tables_in(key, value) {
                        self.check_source_name(key, &name);
                        let place = format!("[{of}sources.{name}]");
                        let mut values = self.values(source, Section::Source, &place);
                        self.rebase_sqlite(&mut values);
                        layer.sources.insert(name, values);
                    }
                }
                "tables" => layer.tables = self.tables(key, value, &of),
                _ if other(self, (key, value)) => {}
                _ if profile.is_some() => {
                    let place = format!("[profiles.{}]", profile.unwrap_or_default());
                    self.value(&mut layer.defaults, (key, value), Section::Defaults, &place);
                }
                _ => match value.get_ref().as_table() {
                    Some(table) => {
                        layer.defaults = self.values(table, Section::Defaults, "[defaults]");
                    }
                    None => {
                        self.problem(key.span().start, "defaults is no table", "write [defaults]")
                    }
                },
            }
        }
        layer
    }

    /// A source's name is told from a URL by having no colon.
    fn check_source_name(&mut self, key: &Spanned<std::borrow::Cow<'_, str>>, name: &str) {
        if name.is_empty() || name.contains(':') {
            let what = format!("a source is called \"{name}\"");
            self.problem(key.span().start, what, "a name has a letter, and no colon");
        }
    }

    /// SQLite's database is a file, and its path begins where the configuration is.
    fn rebase_sqlite(&mut self, values: &mut Values) {
        let kind = values.get("source_type").and_then(|kind| kind.value.text());
        if kind != Some("sqlite") {
            return;
        }
        let base = self.base().to_owned();
        let Some(database) = values.get_mut("database") else {
            return;
        };
        if let Err(why) = value::rebase(&base, &mut database.value) {
            let line = database.line;
            self.problems.push(Problem {
                line,
                what: "database has a wrong value".to_owned(),
                why,
            });
        }
    }

    /// Where relative paths begin.
    fn base(&self) -> &Path {
        self.found.path.parent().unwrap_or(Path::new(""))
    }

    fn unknown_at_top(&mut self, key: &Spanned<std::borrow::Cow<'_, str>>) {
        let name = key.get_ref().as_ref();
        let tables = ["sources", "defaults", "tables", "profiles"];
        let why = match self.keys.get(Section::Defaults, name) {
            Some(_) => "it belongs into [defaults]".to_owned(),
            None => suggestion(name, tables.into_iter()),
        };
        self.problem(
            key.span().start,
            format!("the key '{}' is unknown", shown(name)),
            why,
        );
    }

    /// The tables by name that a table of tables holds.
    fn tables_in<'a, 'i>(
        &mut self,
        key: &Spanned<std::borrow::Cow<'i, str>>,
        value: &'a Spanned<DeValue<'i>>,
    ) -> Vec<(String, &'a DeTable<'i>)> {
        let kind = key.get_ref().as_ref();
        let Some(table) = value.get_ref().as_table() else {
            self.problem(
                key.span().start,
                format!("{kind} is no table"),
                format!("write [{kind}.NAME]"),
            );
            return Vec::new();
        };
        let mut found = Vec::new();
        for (name, value) in table.iter() {
            match value.get_ref().as_table() {
                Some(inner) => found.push((name.get_ref().to_string(), inner)),
                None => self.problem(
                    name.span().start,
                    format!("{kind}.{} is no table", shown(name.get_ref())),
                    format!("write [{kind}.NAME] and the keys below it"),
                ),
            }
        }
        found
    }

    /// `[tables.NAME]` or `[[tables]]` with `table = "NAME"`.
    fn tables(
        &mut self,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        of: &str,
    ) -> Vec<Table> {
        let mut tables = Vec::new();
        match value.get_ref() {
            DeValue::Table(named) => {
                for (name, value) in named.iter() {
                    let Some(inner) = value.get_ref().as_table() else {
                        self.problem(
                            name.span().start,
                            format!("tables.{} is no table", shown(name.get_ref())),
                            "write [tables.\"schema.name\"] and the keys below it",
                        );
                        continue;
                    };
                    let place = format!("[{of}tables.\"{}\"]", shown(name.get_ref()));
                    tables.push((
                        name.span().start,
                        Table {
                            name: name.get_ref().to_string(),
                            line: self.line(name.span().start),
                            values: self.values(inner, Section::Table, &place),
                        },
                    ));
                }
                // As they are written, which a map forgets.
                tables.sort_by_key(|(at, _)| *at);
            }
            DeValue::Array(listed) => {
                for value in listed.iter() {
                    let at = value.span().start;
                    if let Some(table) = self.listed_table(value, of) {
                        if let Some((_, first)) = tables
                            .iter()
                            .find(|(_, t): &&(usize, Table)| t.name == table.name)
                        {
                            let why = format!("the first is in line {}", first.line);
                            let what = format!("the table {} is there twice", shown(&table.name));
                            self.problem(at, what, why);
                        }
                        tables.push((at, table));
                    }
                }
            }
            _ => self.problem(
                key.span().start,
                "tables is no table",
                "write [tables.\"schema.name\"]",
            ),
        }
        tables.into_iter().map(|(_, table)| table).collect()
    }

    fn listed_table(&mut self, value: &Spanned<DeValue<'_>>, of: &str) -> Option<Table> {
        const WHY: &str = "write [[tables]] and table = \"schema.name\" below it";
        let at = value.span().start;
        let Some(inner) = value.get_ref().as_table() else {
            self.problem(at, "an entry of tables is no table", WHY);
            return None;
        };
        let name = inner.get("table").and_then(|name| name.get_ref().as_str());
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            self.problem(at, "an entry of tables has no name", WHY);
            return None;
        };
        let place = format!("[[{of}tables]]");
        let mut values = Values::new();
        for item in inner.iter().filter(|(key, _)| key.get_ref() != "table") {
            self.value(&mut values, item, Section::Table, &place);
        }
        Some(Table {
            name: name.to_owned(),
            line: self.line(at),
            values,
        })
    }

    fn values(&mut self, table: &DeTable<'_>, section: Section, place: &str) -> Values {
        let mut values = Values::new();
        for item in table.iter() {
            self.value(&mut values, item, section, place);
        }
        values
    }

    fn value(&mut self, values: &mut Values, item: Item<'_, '_>, section: Section, place: &str) {
        let (key, value) = item;
        let (at, name) = (key.span().start, key.get_ref().as_ref());
        if name.contains("password") && !["password_env", "password_file"].contains(&name) {
            return self.secret(at, name);
        }
        let Some(known) = self.keys.get(section, name) else {
            let why = self
                .keys
                .elsewhere(section, name)
                .unwrap_or_else(|| suggestion(name, self.keys.names(section)));
            let what = format!("the key '{}' is unknown in {place}", shown(name));
            return self.problem(at, what, why);
        };
        match value::take(known, value.get_ref(), self.base()) {
            Ok(value) if known.id == "source" && !self.is_good_address(at, name, &value) => {}
            Ok(value) if known.id == "store_endpoint" && is_secret(&value) => {
                self.secret(at, &format!("the password in {name}"));
            }
            Ok(value) => {
                let setting = Setting {
                    key: name.to_owned(),
                    line: self.line(at),
                    value,
                };
                values.insert(known.id.clone(), setting);
            }
            Err(why) => self.problem(at, format!("{name} has a wrong value"), why),
        }
    }

    fn secret(&mut self, at: usize, name: &str) {
        self.problem(
            at,
            format!("a secret in the file: {}", shown(name)),
            "secrets come by password_env = \"VARIABLE\" or password_file = \"PATH\" of [sources.NAME]",
        );
    }

    /// Whether a source is a name, or an address that makes sense and holds no secret.
    fn is_good_address(&mut self, at: usize, name: &str, value: &Value) -> bool {
        let text = value.text().unwrap_or_default();
        if name == "source" && !text.contains(':') {
            return true;
        }
        match url::parse(text) {
            Ok(address) if address.has_password() => {
                self.secret(at, &format!("the password in {name}"));
                false
            }
            Ok(_) => true,
            Err(error) => {
                self.problem(at, format!("{name} has a wrong value"), error.to_string());
                false
            }
        }
    }
}

/// Whether a URL has a password in it.
fn is_secret(value: &Value) -> bool {
    value.text().is_some_and(|text| redact(text) != text)
}

/// What somebody may have meant.
pub(super) fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.collect();
    match nearest(name, known.iter().map(|name| (*name, *name))).as_slice() {
        [] if known.len() <= 12 => format!("known are {}", known.join(", ")),
        [] => "`ixtract config show` lists the keys".to_owned(),
        near => format!("did you mean {}?", near.join(", ")),
    }
}

/// A name of the file's in a message: on one line, and not without end.
fn shown(name: &str) -> String {
    let one_line: String = name
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .take(80)
        .collect();
    one_line
}

#[cfg(test)]
mod tests;
