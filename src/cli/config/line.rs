//! The command line with what the file adds to it.
//!
//! A file's values become flags of the command that they are for, behind those that were written; clap
//! then reads all of them as one command line. So a value has the meaning of its flag, no more and no
//! less, and there is no second way from words to settings.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};

use super::Refusal;
use super::layers::Taken;
use crate::cli::args::Cli;
use crate::error::{ExitCode, Failure};

/// A command line as it was written.
pub(super) struct Line {
    root: Command,
    /// The command's words, such as `state backup`.
    pub(super) path: Vec<String>,
    /// What clap understood, of all commands.
    matches: ArgMatches,
    /// What is missing in it, where something is.
    lacking: Option<clap::Error>,
}

impl Line {
    /// Reads a command line. One that lacks something is read as far as it goes: the file may have it.
    ///
    /// # Errors
    /// Whatever else clap has against it, and help.
    pub(super) fn read(words: &[OsString]) -> Result<Self, clap::Error> {
        let mut root = Cli::command();
        let (matches, lacking) = match root.try_get_matches_from_mut(words) {
            Ok(matches) => (matches, None),
            Err(error) if error.kind() == ErrorKind::MissingRequiredArgument => {
                let lenient = Cli::command().ignore_errors(true);
                match lenient.try_get_matches_from(words) {
                    Ok(matches) => (matches, Some(error)),
                    Err(_) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
        let mut path = Vec::new();
        let mut at = &matches;
        while let Some((name, below)) = at.subcommand() {
            path.push(name.to_owned());
            at = below;
        }
        Ok(Self {
            root,
            path,
            matches,
            lacking,
        })
    }

    /// What was said to the command itself; flags of every command are there too.
    pub(super) fn matches(&self) -> &ArgMatches {
        let mut at = &self.matches;
        while let Some((_, below)) = at.subcommand() {
            at = below;
        }
        at
    }

    /// The command's definition.
    pub(super) fn command(&self) -> &Command {
        let mut at = &self.root;
        for name in &self.path {
            at = at.find_subcommand(name).unwrap_or(at);
        }
        at
    }

    /// The definition of another command.
    pub(super) fn other(&self, name: &str) -> Option<&Command> {
        self.root.find_subcommand(name)
    }

    /// Whether something was written on the command line.
    pub(super) fn has(&self, id: &str) -> bool {
        self.command().get_arguments().any(|arg| arg.get_id() == id) && self.source(id)
    }

    fn source(&self, id: &str) -> bool {
        self.matches().value_source(id) == Some(ValueSource::CommandLine)
    }

    /// clap's names of everything that was written.
    pub(super) fn written(&self) -> BTreeSet<&str> {
        let arguments = self.command().get_arguments();
        arguments
            .map(|arg| arg.get_id().as_str())
            .filter(|id| self.source(id))
            .collect()
    }

    /// The flags that were written, without dashes.
    fn longs(&self) -> impl Iterator<Item = &str> {
        let arguments = self.command().get_arguments();
        arguments
            .filter(|arg| self.source(arg.get_id().as_str()))
            .filter_map(Arg::get_long)
    }

    /// The texts of a flag as they were written.
    pub(super) fn texts(&self, id: &str) -> Vec<String> {
        if !self.has(id) {
            return Vec::new();
        }
        let found = self.matches().get_raw(id).into_iter().flatten();
        found
            .map(|text| text.to_string_lossy().into_owned())
            .collect()
    }

    /// The command line, read, with nothing added.
    ///
    /// # Errors
    /// What it lacks.
    pub(super) fn alone(self) -> Result<Cli, Refusal> {
        match self.lacking {
            Some(error) => Err(Refusal::Syntax(error)),
            None => Cli::from_arg_matches(&self.matches).map_err(Refusal::Syntax),
        }
    }

    /// The command line with what a file adds.
    ///
    /// # Errors
    /// 78 where things of the file do not go together.
    pub(super) fn with(&mut self, added: &Added<'_>) -> Result<ArgMatches, Refusal> {
        let words = self.words(added);
        self.root
            .try_get_matches_from_mut(words)
            .map_err(|error| added.refuse(error, self.lacking.is_none()))
    }

    /// Every word: those that were written, in clap's order, and those that are added.
    fn words(&self, added: &Added<'_>) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["ixtract".into()];
        words.extend(self.path.iter().map(OsString::from));
        let mut places = Vec::new();
        for arg in self.command().get_arguments() {
            let id = arg.get_id().as_str();
            if !self.source(id) || (id == "source" && added.source_is_named) {
                continue;
            }
            match arg.get_long() {
                Some(long) => words.extend(self.flag(arg, long)),
                None if added.subject.is_some() => {}
                None => places.extend(self.raw(id).concat()),
            }
        }
        words.extend(added.taken.iter().flat_map(Taken::words));
        match added.subject {
            Some(Subject::Table(table)) => places.push(table.into()),
            Some(Subject::Query(name)) => words.push(format!("--name={name}").into()),
            None => {}
        }
        if !places.is_empty() {
            // Whatever they begin with.
            words.push("--".into());
            words.extend(places);
        }
        words
    }

    fn flag(&self, arg: &Arg, long: &str) -> Vec<OsString> {
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            return vec![format!("--{long}").into()];
        }
        let between = arg
            .get_value_delimiter()
            .map(String::from)
            .unwrap_or_default();
        let each = self.raw(arg.get_id().as_str()).into_iter();
        each.map(|texts| {
            let mut word = OsString::from(format!("--{long}="));
            word.push(texts.join(between.as_ref() as &std::ffi::OsStr));
            word
        })
        .collect()
    }

    fn raw(&self, id: &str) -> Vec<Vec<OsString>> {
        let occurrences = self.matches().get_raw_occurrences(id);
        occurrences
            .map(|all| all.map(|one| one.map(OsString::from).collect()).collect())
            .unwrap_or_default()
    }
}

/// What is to be read, where the file says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject<'a> {
    /// A table, by its full name in the file.
    Table(&'a str),
    /// The rows of a query of this name.
    Query(&'a str),
}

/// What a file adds to a command line.
pub(super) struct Added<'a> {
    /// The file.
    pub(super) path: PathBuf,
    /// Its values that count.
    pub(super) taken: Vec<Taken<'a>>,
    /// The table, where the file names it.
    pub(super) subject: Option<Subject<'a>>,
    /// The source that was written is a name of the file's, which stands for what is there.
    pub(super) source_is_named: bool,
}

impl Added<'_> {
    /// clap's message on words of which some are the file's.
    fn refuse(&self, error: clap::Error, was_complete: bool) -> Refusal {
        let path = self.path.display();
        let named = |kind| match error.get(kind) {
            Some(ContextValue::String(flag)) => vec![flag.as_str()],
            Some(ContextValue::Strings(flags)) => flags.iter().map(String::as_str).collect(),
            _ => Vec::new(),
        };
        let ours = |flag: &str| {
            let long = flag.split_whitespace().next()?.strip_prefix("--")?;
            self.taken.iter().find(|taken| taken.long == long)
        };
        let wrong = named(ContextKind::InvalidArg);
        let prior = named(ContextKind::PriorArg);
        if let Some(one) = wrong.iter().find_map(|flag| ours(flag)) {
            let (key, line) = (&one.setting.key, one.setting.line);
            let others: Vec<String> = prior
                .iter()
                .map(|flag| match ours(flag) {
                    Some(other) => format!("{} in line {}", other.setting.key, other.setting.line),
                    None => (*flag).to_owned(),
                })
                .collect();
            return Refusal::Failure(Failure::new(
                ExitCode::Config,
                format!(
                    "{path}:{line}: {key} does not go with {}",
                    others.join(", ")
                ),
                "one of them says what the other would decide",
                "leave one of them out",
            ));
        }
        if was_complete && error.kind() == ErrorKind::MissingRequiredArgument {
            return Refusal::Failure(Failure::new(
                ExitCode::Config,
                format!("{path} leaves something out"),
                format!("what it says needs {} too", wrong.join(", ")),
                "add it, or leave out what needs it",
            ));
        }
        Refusal::Syntax(error)
    }
}

/// Where flags that nobody wrote come from, for messages.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Origins {
    path: PathBuf,
    /// Keys and lines by flag.
    of_file: BTreeMap<String, (String, usize)>,
    /// Flags that somebody wrote.
    written: BTreeSet<String>,
}

impl Origins {
    /// Of what a file added.
    pub(super) fn of(line: &Line, added: &Added<'_>) -> Self {
        let of_file = added.taken.iter().map(|taken| {
            let place = (taken.setting.key.clone(), taken.setting.line);
            (taken.long.clone(), place)
        });
        Self {
            path: added.path.clone(),
            of_file: of_file.collect(),
            written: line.longs().map(str::to_owned).collect(),
        }
    }

    /// A failure that is about flags which are really keys of the file: says where they are, and ends
    /// with 78 where nothing that it is about was written on the command line.
    pub(in crate::cli) fn explain(&self, failure: Failure) -> Failure {
        if failure.exit != ExitCode::Usage || self.of_file.is_empty() {
            return failure;
        }
        let text = format!("{} {}", failure.what, failure.why);
        let flags: BTreeSet<&str> = flags_in(&text).collect();
        let places: Vec<String> = flags
            .iter()
            .filter_map(|flag| Some((flag, self.of_file.get(*flag)?)))
            .map(|(flag, (key, line))| {
                format!("--{flag} is {key} in {}:{line}", self.path.display())
            })
            .collect();
        if places.is_empty() {
            return failure;
        }
        let is_written = flags.iter().any(|flag| self.written.contains(*flag));
        Failure {
            why: format!("{}; {}", failure.why, places.join("; ")),
            exit: if is_written {
                failure.exit
            } else {
                ExitCode::Config
            },
            ..failure
        }
    }
}

/// The long flags that a text names.
fn flags_in(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'))
        .filter_map(|word| word.strip_prefix("--"))
        .filter(|flag| flag.starts_with(|c: char| c.is_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_file_where_the_flag_is_its_key() {
        let origins = Origins {
            path: "x.toml".into(),
            of_file: BTreeMap::from([("min-workers".to_owned(), ("min_workers".to_owned(), 7))]),
            written: BTreeSet::from(["max-workers".to_owned()]),
        };
        let failure =
            |what: &str| Failure::new(ExitCode::Usage, what, "4 is more than 2", "lower it");
        let told = origins.explain(failure("--min-workers is above --max-workers"));
        assert_eq!(
            told.why,
            "4 is more than 2; --min-workers is min_workers in x.toml:7"
        );
        assert_eq!(told.exit, ExitCode::Usage);
        let told = origins.explain(failure("--min-workers is wrong"));
        assert_eq!(told.exit, ExitCode::Config);
        let other = failure("there is no table");
        assert_eq!(origins.explain(other.clone()), other);
    }
}
