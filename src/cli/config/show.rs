//! `ixtract config show`: every value that a command would take, and where it comes from.

use std::ffi::OsString;

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches};

use super::layers::{self, Layers, Source, by_flag};
use super::line::{Added, Line, Subject};
use super::{Refusal, added, profile, read};
use crate::cli::args::{ConfigArgs, ShowArgs, redact};
use crate::cli::context::Context;
use crate::cli::settings::{self, Environment};
use crate::cli::usage;
use crate::error::Failure;
use crate::ui;
use crate::ui::config::{ConfigDocument, Origin, Value};

/// Shows what the words of a command come to; nothing is done with them.
pub(in crate::cli) fn command(
    context: &Context,
    config: &ConfigArgs,
    args: &ShowArgs,
) -> Result<(), Failure> {
    let document =
        document(&context.environment, config, args).map_err(|refusal| match refusal {
            Refusal::Failure(failure) => failure,
            Refusal::Syntax(error) => usage(&redact(&error.render().to_string())),
        })?;
    context.printer.document(&document);
    context.printer.show(&ui::config::view(&document));
    Ok(())
}

fn document(
    environment: &Environment,
    config: &ConfigArgs,
    args: &ShowArgs,
) -> Result<ConfigDocument, Refusal> {
    let mut line = Line::read(&words(config, args)).map_err(Refusal::Syntax)?;
    let mut document = ConfigDocument {
        command: line.path.join(" "),
        table: line.texts("table").pop(),
        ..ConfigDocument::default()
    };
    let Some(file) = read(&line, environment)? else {
        document.values = Rows::new(&line, line.matches(), environment, None).all();
        return Ok(document);
    };
    let profile = profile(&line, environment);
    let layers = Layers::new(&file, profile.as_deref())?;
    // Without a table, the defaults: those of one of several would be no answer.
    let added = match line.texts("table").is_empty() {
        true => bare(&line, environment, (&file, &layers))?,
        false => added(&line, environment, (&file, &layers))?,
    };
    document.file = Some(file.path.display().to_string());
    document.profile = profile;
    document.tables = layers
        .table_names()
        .into_iter()
        .map(str::to_owned)
        .collect();
    if let Some(Subject::Table(name) | Subject::Query(name)) = added.subject {
        document.table = Some(name.to_owned());
    }
    let matches = match line.with(&added) {
        Ok(matches) => matches,
        // What is missing is nothing that could be shown.
        Err(Refusal::Syntax(error)) if is_lacking(&error) => line.matches().clone(),
        Err(refusal) => return Err(refusal),
    };
    document.values = Rows::new(&line, &matches, environment, Some(&added)).all();
    Ok(document)
}

/// What the file adds where no table is named.
fn bare<'a>(
    line: &Line,
    environment: &Environment,
    (file, layers): (&super::File, &Layers<'a>),
) -> Result<Added<'a>, Failure> {
    let source = layers.source(line, environment, None)?;
    Ok(Added {
        path: file.path.clone(),
        taken: layers.taken(line, environment, (None, &source)),
        subject: None,
        source_is_named: matches!(source, Source::Named(_, true)),
    })
}

fn is_lacking(error: &clap::Error) -> bool {
    error.kind() == clap::error::ErrorKind::MissingRequiredArgument
}

/// The words as a command line of its own: a word that is no command is a table to run.
fn words(config: &ConfigArgs, args: &ShowArgs) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["ixtract".into()];
    if let Some(file) = &config.config {
        words.extend(["--config".into(), file.clone().into()]);
    }
    if let Some(name) = &config.profile {
        words.extend(["--profile".into(), name.into()]);
    }
    if config.no_config {
        words.push("--no-config".into());
    }
    if !args.words.first().is_some_and(is_command) {
        words.push("run".into());
    }
    words.extend(args.words.iter().cloned());
    words
}

fn is_command(word: &OsString) -> bool {
    use clap::CommandFactory;
    let command = crate::cli::args::Cli::command();
    word.to_str()
        .is_some_and(|word| command.find_subcommand(word).is_some())
}

/// One row for each flag of a command.
struct Rows<'a> {
    line: &'a Line,
    matches: &'a ArgMatches,
    environment: &'a Environment,
    added: Option<&'a Added<'a>>,
}

impl<'a> Rows<'a> {
    fn new(
        line: &'a Line,
        matches: &'a ArgMatches,
        environment: &'a Environment,
        added: Option<&'a Added<'a>>,
    ) -> Self {
        let mut at = matches;
        while let Some((_, below)) = at.subcommand() {
            at = below;
        }
        Self {
            line,
            matches: at,
            environment,
            added,
        }
    }

    fn all(&self) -> Vec<Value> {
        let mut rows: Vec<Value> = Vec::new();
        for arg in self.line.command().get_arguments() {
            let heading = arg.get_help_heading().unwrap_or("Other");
            let Some(long) = arg.get_long() else { continue };
            if heading == "Common" || ["help", "version"].contains(&long) {
                continue;
            }
            for (value, origin) in self.values(arg) {
                rows.push(Value {
                    key: long.replace('-', "_"),
                    flag: format!("--{long}"),
                    group: heading.split(" (").next().unwrap_or(heading).to_owned(),
                    value: value.map(|value| shown(long, &value)),
                    origin,
                });
            }
        }
        rows
    }

    /// A flag's values: several where several places have words on it.
    fn values(&self, arg: &Arg) -> Vec<(Option<String>, Origin)> {
        let id = arg.get_id().as_str();
        let mut found = Vec::new();
        let is_written = self.line.has(id) && !self.is_replaced(id);
        if is_written {
            found.push((Some(self.written(arg)), Origin::Flag));
        }
        if let Some(added) = self.added {
            for taken in by_flag(&added.taken).remove(id).unwrap_or_default() {
                let origin = Origin::File {
                    file: added.path.display().to_string(),
                    line: taken.setting.line,
                };
                found.push((Some(taken.shown()), origin));
            }
        }
        match found.is_empty() {
            false => found,
            true => vec![self.elsewhere(arg)],
        }
    }

    /// Whether `--source` was given a name, and so is not the value.
    fn is_replaced(&self, id: &str) -> bool {
        id == "source" && self.added.is_some_and(|added| added.source_is_named)
    }

    fn written(&self, arg: &Arg) -> String {
        match arg.get_action() {
            ArgAction::SetTrue => "true".to_owned(),
            _ => self.line.texts(arg.get_id().as_str()).join(", "),
        }
    }

    /// What is neither written nor in the file.
    fn elsewhere(&self, arg: &Arg) -> (Option<String>, Origin) {
        let id = arg.get_id().as_str();
        if let Some((name, value)) = self.variable(id) {
            let variable = name.to_owned();
            return (Some(value), Origin::Environment { variable });
        }
        let default = match (arg.get_action(), self.matches.value_source(id)) {
            (ArgAction::SetTrue, _) => Some("false".to_owned()),
            (_, Some(ValueSource::DefaultValue)) => {
                let values = arg.get_default_values().iter();
                let texts: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
                Some(texts.join(","))
            }
            _ if id == "state" => {
                settings::state_file(None, self.environment).map(|file| file.display().to_string())
            }
            _ => documented_default(arg),
        };
        (default, Origin::Default)
    }

    fn variable(&self, id: &str) -> Option<(&'static str, String)> {
        let ours = layers::VARIABLES.iter().filter(|(flag, _)| *flag == id);
        let others = FILLED_BY.iter().filter(|(flag, _)| *flag == id);
        let said_at_once = self.line.has("source")
            || self.environment.get("IXTRACT_SOURCE").is_some()
            || self
                .added
                .is_some_and(|added| added.taken.iter().any(|taken| taken.id == "source"));
        ours.chain(others)
            // What a URL says, variables do not.
            .filter(|(_, name)| !(said_at_once && PLACE_OF_LIBPQ.contains(name)))
            .find_map(|(_, name)| Some((*name, self.environment.get(name)?.to_owned())))
            .map(|(name, value)| match name {
                "IXTRACT_PASSWORD" => (name, "…".to_owned()),
                _ => (name, value),
            })
    }
}

/// Variables of other programs that fill what is left open.
const FILLED_BY: [(&str, &str); 15] = [
    ("host", "PGHOST"),
    ("port", "PGPORT"),
    ("database", "PGDATABASE"),
    ("user", "PGUSER"),
    ("tls", "PGSSLMODE"),
    ("tls_ca", "PGSSLROOTCERT"),
    ("tls_cert", "PGSSLCERT"),
    ("tls_key", "PGSSLKEY"),
    ("connect_timeout_s", "PGCONNECT_TIMEOUT"),
    ("store_endpoint", "AWS_ENDPOINT_URL_S3"),
    ("store_endpoint", "AWS_ENDPOINT_URL"),
    ("store_region", "AWS_REGION"),
    ("store_region", "AWS_DEFAULT_REGION"),
    ("store_profile", "AWS_PROFILE"),
    ("state", "STATE_DIRECTORY"),
];

/// Those that a URL leaves nothing to.
const PLACE_OF_LIBPQ: [&str; 2] = ["PGHOST", "PGDATABASE"];

/// The default that the flag's help tells.
fn documented_default(arg: &Arg) -> Option<String> {
    let help = arg.get_help()?.to_string();
    let (_, rest) = help.split_once("[default: ")?;
    let (text, _) = rest.split_once(']')?;
    Some(text.split(", env:").next().unwrap_or(text).to_owned())
}

/// A value without what is secret in it. A command for a password may hold one.
fn shown(long: &str, value: &str) -> String {
    match long {
        "password-command" => "…".to_owned(),
        _ => redact(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_command_is_a_table() {
        let of = |words: &[&str]| {
            let args = ShowArgs {
                words: words.iter().map(OsString::from).collect(),
            };
            super::words(&ConfigArgs::default(), &args)
        };
        assert_eq!(of(&["orders"]), ["ixtract", "run", "orders"]);
        assert_eq!(of(&["plan", "orders"]), ["ixtract", "plan", "orders"]);
        assert_eq!(of(&[]), ["ixtract", "run"]);
        assert_eq!(
            of(&["--workers", "2"]),
            ["ixtract", "run", "--workers", "2"]
        );
    }
}
