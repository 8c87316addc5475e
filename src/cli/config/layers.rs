//! Which of a file's values count for a command line.
//!
//! From the nearest to the farthest: the profile's entry of the table, the profile's source, the
//! profile's own keys, then the table's entry, the source and the defaults of the file itself. A flag
//! that was written wins over all of them, and so does what goes with no flag that was written.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use clap::{Arg, Command};

use super::file::{File, Layer, Setting, Table, Values, suggestion};
use super::line::{Line, Subject};
use super::value::{Value, Word};
use crate::cli::settings::Environment;
use crate::error::{ExitCode, Failure};

/// Variables of ours that win over a file, by clap's name of the flag. What other programs' variables
/// say only fills what flags, ours, and file leave open.
pub(super) const VARIABLES: [(&str, &str); 4] = [
    ("source", "IXTRACT_SOURCE"),
    ("password_file", "IXTRACT_PASSWORD"),
    ("password_env", "IXTRACT_PASSWORD"),
    ("state", "IXTRACT_STATE"),
];

/// Commands that plan or do what a request says; all others take only where things are.
const REQUESTS: [&str; 5] = ["run", "plan", "profile", "benchmark", "doctor"];

/// What every command takes, by heading.
const PLACES: [&str; 3] = ["Source", "Object store", "State"];

/// A value that counts.
#[derive(Clone, Debug)]
pub(super) struct Taken<'a> {
    /// clap's name of the flag.
    pub(super) id: String,
    /// The flag without dashes.
    pub(super) long: String,
    /// Where it is written.
    pub(super) setting: &'a Setting,
    /// Its words, without those about what a nearer place has a word on.
    words: Vec<&'a Word>,
    depth: usize,
}

impl Taken<'_> {
    /// The flag as it would be written.
    pub(super) fn words(&self) -> Vec<OsString> {
        match &self.setting.value {
            Value::Switch(true) => vec![format!("--{}", self.long).into()],
            Value::Switch(false) => Vec::new(),
            Value::Words(_) => self
                .words
                .iter()
                .map(|word| format!("--{}={}", self.long, word.text).into())
                .collect(),
        }
    }

    /// The value as people should see it.
    pub(super) fn shown(&self) -> String {
        match &self.setting.value {
            Value::Switch(on) => on.to_string(),
            Value::Words(_) => {
                let texts: Vec<&str> = self.words.iter().map(|word| word.text.as_str()).collect();
                texts.join(", ")
            }
        }
    }
}

/// Whether a command takes keys at all.
pub(super) fn takes_keys(command: &Command) -> bool {
    command.get_arguments().any(|arg| takes(command, arg))
}

/// Whether a command takes what a flag of `run` says. Its own flags of the same name have no heading, or
/// are about something else.
fn takes(command: &Command, arg: &Arg) -> bool {
    let Some(heading) = arg.get_help_heading() else {
        return false;
    };
    REQUESTS.contains(&command.get_name()) || PLACES.contains(&heading)
}

/// The file with a profile laid over it, for one command line.
pub(super) struct Layers<'a> {
    file: &'a File,
    profile: Option<&'a Layer>,
}

/// The source that is meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// None of the file's: a flag or a variable says where, or nothing does.
    Other,
    /// The address that `source = "URL"` is.
    Address,
    /// The file's, by name; whether the name is what `--source` was given.
    Named(String, bool),
}

impl<'a> Layers<'a> {
    /// Of a file and the profile that is chosen.
    ///
    /// # Errors
    /// 64 for a profile that the file does not have.
    pub(super) fn new(file: &'a File, profile: Option<&str>) -> Result<Self, Failure> {
        let Some(name) = profile else {
            return Ok(Self {
                file,
                profile: None,
            });
        };
        let layer = file.profiles.get(name).ok_or_else(|| {
            let known = file.profiles.keys().map(String::as_str);
            Failure::new(
                ExitCode::Usage,
                format!("there is no profile '{name}' in {}", file.path.display()),
                match file.profiles.is_empty() {
                    true => "it has no profiles".to_owned(),
                    false => suggestion(name, known),
                },
                "pass the name of a [profiles.NAME] of the file",
            )
        })?;
        Ok(Self {
            file,
            profile: Some(layer),
        })
    }

    fn layers(&self) -> impl Iterator<Item = &'a Layer> {
        self.profile.into_iter().chain([&self.file.base])
    }

    /// The names of all tables, each once, in the order of the file.
    pub(super) fn table_names(&self) -> Vec<&'a str> {
        let mut names: Vec<&str> = Vec::new();
        for layer in [Some(&self.file.base), self.profile].into_iter().flatten() {
            for table in &layer.tables {
                if !names.contains(&table.name.as_str()) {
                    names.push(&table.name);
                }
            }
        }
        names
    }

    /// The entry that a table's name means, and whether that name stands for the one written.
    ///
    /// # Errors
    /// 64 where it means several.
    pub(super) fn table(&self, written: &str) -> Result<Option<(&'a str, bool)>, Failure> {
        let names = self.table_names();
        if let Some(name) = names.iter().find(|name| **name == written) {
            return Ok(Some((name, true)));
        }
        let is_plain = |name: &str| !name.contains(['"', '`', '[']);
        if !is_plain(written) {
            return Ok(None);
        }
        if let Some((_, last)) = written.rsplit_once('.') {
            // An entry without a schema is about that table in any.
            let found = names.iter().find(|name| **name == last);
            return Ok(found.map(|name| (*name, false)));
        }
        let of_schema = |name: &&&str| {
            is_plain(name)
                && name
                    .rsplit_once('.')
                    .is_some_and(|(_, last)| last == written)
        };
        let found: Vec<&&str> = names.iter().filter(of_schema).collect();
        match found.as_slice() {
            [] => Ok(None),
            [one] => Ok(Some((one, true))),
            several => Err(Failure::new(
                ExitCode::Usage,
                format!("'{written}' is the name of several tables"),
                format!(
                    "{} has {}",
                    self.file.path.display(),
                    several
                        .iter()
                        .map(|name| **name)
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
                "write the schema too",
            )),
        }
    }

    fn entry(layer: &'a Layer, table: Option<&str>) -> Option<&'a Values> {
        let is = |entry: &&Table| Some(entry.name.as_str()) == table;
        layer.tables.iter().find(is).map(|entry| &entry.values)
    }

    /// What is to be read where the file names it: a table by the name of its entry, or a query.
    pub(super) fn subject(&self, entry: &'a str) -> Subject<'a> {
        let is_query = |layer| Self::entry(layer, Some(entry)).is_some_and(has_query);
        match self.layers().any(is_query) {
            true => Subject::Query(entry),
            false => Subject::Table(entry),
        }
    }

    /// Which source is meant.
    ///
    /// # Errors
    /// 64, or 78 where the file says so, for a name that the file does not have.
    pub(super) fn source(
        &self,
        line: &Line,
        environment: &Environment,
        table: Option<&str>,
    ) -> Result<Source, Failure> {
        let parts = ["source_type", "host", "port", "database"];
        if let Some(written) = line.texts("source").pop() {
            return self.named(&written, true, || (ExitCode::Usage, "--source".to_owned()));
        }
        if parts.iter().any(|part| line.has(part)) {
            return Ok(Source::Other);
        }
        if let Some(name) = environment.get("IXTRACT_SOURCE") {
            return self.named(name, false, || {
                (ExitCode::Usage, "IXTRACT_SOURCE".to_owned())
            });
        }
        let places = self.layers().flat_map(|layer| {
            let entry = Self::entry(layer, table).into_iter();
            entry.chain([&layer.defaults])
        });
        let said = places.into_iter().find_map(|values| values.get("source"));
        match said.and_then(|said| said.value.text().map(|text| (said, text))) {
            None => Ok(Source::Other),
            Some((_, text)) if text.contains(':') => Ok(Source::Address),
            Some((said, name)) => self.named(name, false, || {
                let place = format!("{}:{}", self.file.path.display(), said.line);
                (ExitCode::Config, place)
            }),
        }
    }

    fn named(
        &self,
        name: &str,
        flag: bool,
        from: impl Fn() -> (ExitCode, String),
    ) -> Result<Source, Failure> {
        if name.contains(':') {
            return Ok(Source::Other);
        }
        let known: BTreeSet<&str> = self
            .layers()
            .flat_map(|layer| layer.sources.keys().map(String::as_str))
            .collect();
        if known.contains(name) {
            return Ok(Source::Named(name.to_owned(), flag));
        }
        let (exit, place) = from();
        Err(Failure::new(
            exit,
            format!("there is no source '{name}'"),
            match known.is_empty() {
                true => format!(
                    "{} has no sources, and a URL has a colon",
                    self.file.path.display()
                ),
                false => suggestion(name, known.into_iter()),
            },
            format!(
                "correct {place}: a [sources.NAME] of {}, or a URL such as postgresql://USER@HOST/DATABASE",
                self.file.path.display()
            ),
        ))
    }

    /// The values that count for a command.
    pub(super) fn taken(
        &self,
        line: &Line,
        environment: &Environment,
        (table, source): (Option<&str>, &Source),
    ) -> Vec<Taken<'a>> {
        let mut written = line.written();
        if table.is_some() {
            // An entry may be a query of that name.
            written.remove("table");
        }
        let named = match source {
            Source::Named(name, flag) => {
                if *flag {
                    written.remove("source");
                }
                Some(name)
            }
            _ => None,
        };
        let mut levels: Vec<(&Values, bool)> = Vec::new();
        for layer in self.layers() {
            levels.extend(Self::entry(layer, table).map(|values| (values, false)));
            levels.extend(
                named
                    .and_then(|name| layer.sources.get(name))
                    .map(|values| (values, true)),
            );
            levels.push((&layer.defaults, false));
        }
        let mut merge = Merge {
            command: line.command(),
            written: &written,
            named: written
                .iter()
                .flat_map(|id| names_of(id, &line.texts(id)))
                .collect(),
            taken: Vec::new(),
        };
        for (depth, (values, of_source)) in levels.into_iter().enumerate() {
            for (id, setting) in values {
                let is_name = id == "source" && !of_source && *source != Source::Address;
                let variable = VARIABLES.iter().find(|(flag, _)| flag == id);
                let is_set = |name| environment.get(name).is_some();
                let by_variable = id != "source" && variable.is_some_and(|(_, name)| is_set(name));
                if !is_name && !by_variable {
                    merge.take(id, setting, depth);
                }
            }
            merge.settle(depth);
        }
        merge.taken
    }
}

fn has_query(values: &Values) -> bool {
    values.contains_key("query")
}

struct Merge<'a, 'l> {
    command: &'l Command,
    written: &'l BTreeSet<&'l str>,
    /// What a nearer place has a word on, by family.
    named: BTreeSet<(&'static str, String)>,
    taken: Vec<Taken<'a>>,
}

impl<'a> Merge<'a, '_> {
    fn take(&mut self, id: &str, setting: &'a Setting, depth: usize) {
        let Some(arg) = find(self.command, id).filter(|arg| takes(self.command, arg)) else {
            return;
        };
        let Some(long) = arg.get_long() else { return };
        let family = family(id);
        let is_there = |other: &Taken<'_>| other.id == id && other.depth < depth;
        let is_taken = self.taken.iter().any(is_there) || self.written.contains(id);
        if (is_taken && family.is_none()) || self.conflicts(arg, depth) {
            return;
        }
        let words: Vec<&Word> = match &setting.value {
            Value::Switch(_) => Vec::new(),
            Value::Words(words) => words
                .iter()
                .filter(|word| !self.is_named(family, word))
                .collect(),
        };
        if words.is_empty() && matches!(setting.value, Value::Words(_)) {
            return;
        }
        self.taken.push(Taken {
            id: id.to_owned(),
            long: long.to_owned(),
            setting,
            words,
            depth,
        });
    }

    fn is_named(&self, family: Option<&'static str>, word: &Word) -> bool {
        family.is_some_and(|family| {
            let of = word.of.clone().unwrap_or_default();
            self.named.contains(&(family, of))
        })
    }

    /// After a level, what it has a word on is settled.
    fn settle(&mut self, depth: usize) {
        for taken in self.taken.iter().filter(|taken| taken.depth == depth) {
            if let Some(family) = family(&taken.id) {
                let names = taken
                    .words
                    .iter()
                    .map(|word| word.of.clone().unwrap_or_default());
                self.named.extend(names.map(|name| (family, name)));
            }
        }
    }

    /// Whether a flag goes with one that was written, or that a nearer place has. A switch that is off
    /// says nothing.
    fn conflicts(&self, arg: &Arg, depth: usize) -> bool {
        let nearer = self
            .taken
            .iter()
            .filter(|taken| taken.depth < depth && taken.setting.value != Value::Switch(false))
            .map(|taken| taken.id.as_str());
        let given = self.written.iter().copied().chain(nearer);
        given
            .filter_map(|id| find(self.command, id))
            .any(|other| excludes(self.command, arg, other) || excludes(self.command, other, arg))
    }
}

fn excludes(command: &Command, one: &Arg, other: &Arg) -> bool {
    let excluded = command.get_arg_conflicts_with(one);
    excluded.iter().any(|arg| arg.get_id() == other.get_id())
}

fn find<'a>(command: &'a Command, id: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| arg.get_id() == id)
}

/// Flags whose words are about one thing each; those of one family about the same things.
fn family(id: &str) -> Option<&'static str> {
    match id {
        "params" => Some("params"),
        "overrides" | "lossy" => Some("types"),
        "on_unrepresentable" => Some("on_unrepresentable"),
        _ => None,
    }
}

/// What the words of a flag that was written are about.
fn names_of(id: &str, texts: &[String]) -> Vec<(&'static str, String)> {
    let Some(family) = family(id) else {
        return Vec::new();
    };
    let name = |text: &String| {
        match id {
            // A parameter's text may hold the sign, a type has none.
            "params" => text.split_once('='),
            _ => text.rsplit_once('='),
        }
        .map_or(String::new(), |(name, _)| name.to_owned())
    };
    texts.iter().map(|text| (family, name(text))).collect()
}

/// Values by flag, for whoever shows them.
pub(super) fn by_flag<'a, 't>(taken: &'t [Taken<'a>]) -> BTreeMap<&'t str, Vec<&'t Taken<'a>>> {
    let mut found: BTreeMap<&str, Vec<&Taken<'_>>> = BTreeMap::new();
    for one in taken {
        found.entry(&one.id).or_default().push(one);
    }
    found
}
