//! `ixtract.toml`: what it says becomes part of the command line, before anything is settled.
//!
//! [`find`] finds and reads the file, [`file`] understands it by the [`keys`] that clap's definition of
//! `run` gives, [`layers`] says which of its values count for a command, and [`line`] writes them behind
//! the flags that were given. [`settle`] is all of it.

mod file;
mod find;
mod keys;
mod layers;
mod line;
mod show;
mod value;

use std::ffi::OsString;

use clap::FromArgMatches;

use self::file::File;
use self::keys::Keys;
use self::layers::{Layers, takes_keys};
pub(super) use self::line::Origins;
use self::line::{Added, Line, Subject};
pub(super) use self::show::command as show;
use super::args::Cli;
use super::settings::Environment;
use crate::error::{ExitCode, Failure};

/// Why there is nothing to do.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Help, version, or a command line that makes no sense.
    Syntax(clap::Error),
    /// A file that is wrong, or does not have what was asked for.
    Failure(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// A command line, settled with the file.
#[derive(Debug)]
pub(super) struct Settled {
    /// What is to be done.
    pub(super) cli: Cli,
    /// Where what nobody wrote comes from.
    pub(super) origins: Origins,
}

/// Reads a command line and what a configuration file has for it.
///
/// # Errors
/// clap's own; 78 for a file that is wrong, 64 for a profile or source that it does not have.
pub(super) fn settle(words: &[OsString], environment: &Environment) -> Result<Settled, Refusal> {
    let mut line = Line::read(words).map_err(Refusal::Syntax)?;
    let Some(file) = read(&line, environment)? else {
        return Ok(Settled {
            cli: line.alone()?,
            origins: Origins::default(),
        });
    };
    let layers = Layers::new(&file, profile(&line, environment).as_deref())?;
    let added = added(&line, environment, (&file, &layers))?;
    let matches = line.with(&added)?;
    Ok(Settled {
        cli: Cli::from_arg_matches(&matches).map_err(Refusal::Syntax)?,
        origins: Origins::of(&line, &added),
    })
}

/// The file that counts for a command line, where the command takes anything from one.
fn read(line: &Line, environment: &Environment) -> Result<Option<File>, Failure> {
    if !takes_keys(line.command()) || line.has("no_config") {
        return Ok(None);
    }
    let flag = line.matches().get_one::<std::path::PathBuf>("config");
    let Some(found) = find::find(flag.map(AsRef::as_ref), environment)? else {
        return match profile(line, environment) {
            None => Ok(None),
            Some(name) => Err(Failure::new(
                ExitCode::Usage,
                format!("there is no profile '{name}'"),
                format!("there is no {}", find::NAME),
                "name the file with --config, or leave the profile out",
            )),
        };
    };
    let keys = line.other("run").map(Keys::of).unwrap_or_default();
    file::read(&found, &keys).map(Some)
}

/// The profile that is chosen.
fn profile(line: &Line, environment: &Environment) -> Option<String> {
    let written = line.texts("profile").pop();
    written.or_else(|| environment.get("IXTRACT_PROFILE").map(str::to_owned))
}

/// What the file adds.
fn added<'a>(
    line: &Line,
    environment: &Environment,
    (file, layers): (&File, &Layers<'a>),
) -> Result<Added<'a>, Failure> {
    let (entry, subject) = table(line, layers)?;
    let source = layers.source(line, environment, entry)?;
    let taken = layers.taken(line, environment, (entry, &source));
    Ok(Added {
        path: file.path.clone(),
        taken,
        subject,
        source_is_named: matches!(source, layers::Source::Named(_, true)),
    })
}

/// The entry of the table that a command is about, and what is to be read instead of what was written.
#[allow(clippy::type_complexity, reason = "a pair of options")]
fn table<'a>(
    line: &Line,
    layers: &Layers<'a>,
) -> Result<(Option<&'a str>, Option<Subject<'a>>), Failure> {
    if let Some(written) = line.texts("table").pop() {
        return Ok(match layers.table(&written)? {
            None => (None, None),
            Some((entry, true)) => (Some(entry), Some(layers.subject(entry))),
            Some((entry, false)) => (Some(entry), None),
        });
    }
    let is_run = line.path.first().is_some_and(|name| name == "run");
    if !is_run || ["plan", "query", "resume"].iter().any(|id| line.has(id)) {
        return Ok((None, None));
    }
    match layers.table_names().as_slice() {
        [] => Ok((None, None)),
        [one] => Ok((Some(one), Some(layers.subject(one)))),
        several => Err(Failure::new(
            ExitCode::Usage,
            "no table is named",
            format!(
                "the configuration has {}, and this version runs one at a time: {}",
                several.len(),
                several.join(", ")
            ),
            format!("name one of them, as in: ixtract run {}", several[0]),
        )),
    }
}

#[cfg(test)]
mod tests;
