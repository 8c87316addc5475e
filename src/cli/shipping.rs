//! `ixtract completions` and `ixtract man`: what a package has beside the binary, made from clap's
//! definition and therefore never behind it.

mod reference;

use std::path::Path;

use clap::{Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;
use serde::Serialize;

use super::args::{Cli, CompletionsArgs, ManArgs, ShellName};
use super::context::Context;
use crate::error::{ExitCode, Failure};
use crate::model::nearest;

/// The document of `completions` and `man`: a text and what it is.
#[derive(Debug, Serialize)]
struct TextDocument<'a> {
    /// Its name: a shell, or a page.
    name: &'a str,
    /// The text.
    text: &'a str,
}

/// The document of `man --dir`.
#[derive(Debug, Serialize)]
struct PagesDocument {
    /// The files that were written.
    files: Vec<String>,
}

/// Prints a shell's completions.
pub(super) fn completions(context: &Context, args: &CompletionsArgs) -> Result<(), Failure> {
    let (name, shell) = match args.shell {
        ShellName::Bash => ("bash", Shell::Bash),
        ShellName::Zsh => ("zsh", Shell::Zsh),
        ShellName::Fish => ("fish", Shell::Fish),
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ixtract", &mut script);
    print(context, name, &script);
    Ok(())
}

/// Prints or writes the manual.
pub(super) fn man(context: &Context, args: &ManArgs) -> Result<(), Failure> {
    let mut root = Cli::command();
    root.build();
    if args.markdown {
        print(context, "cli.md", reference::markdown(&root).as_bytes());
        return Ok(());
    }
    if let Some(folder) = &args.dir {
        let files = write_all(&root, folder)?;
        context
            .printer
            .note(&format!("{} pages in {}", files.len(), folder.display()));
        context.printer.document(&PagesDocument { files });
        return Ok(());
    }
    let command = find(&root, &args.command)?;
    let page = Man::new(command.clone());
    print(context, &page.get_filename(), &render(&page)?);
    Ok(())
}

fn print(context: &Context, name: &str, text: &[u8]) {
    context.printer.raw(text);
    context.printer.document(&TextDocument {
        name,
        text: &String::from_utf8_lossy(text),
    });
}

/// A command by its words.
fn find<'a>(root: &'a Command, words: &[String]) -> Result<&'a Command, Failure> {
    let mut at = root;
    for word in words {
        at = at.find_subcommand(word).ok_or_else(|| {
            let names: Vec<&str> = at.get_subcommands().map(Command::get_name).collect();
            let near = nearest(word, names.iter().map(|name| (*name, *name)));
            let why = match near.is_empty() {
                true => format!("there are {}", names.join(", ")),
                false => format!("nearest names: {}", near.join(", ")),
            };
            Failure::new(
                ExitCode::Usage,
                format!("there is no command '{word}'"),
                why,
                "name a command that `ixtract --help` lists",
            )
        })?;
    }
    Ok(at)
}

fn render(page: &Man) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    page.render(&mut text)
        .map_err(|error| unwritten("the page", &error))?;
    Ok(text)
}

/// Writes a page for each command; the files, in the order of the commands.
fn write_all(root: &Command, folder: &Path) -> Result<Vec<String>, Failure> {
    let shown = folder.display().to_string();
    std::fs::create_dir_all(folder).map_err(|error| unwritten(&shown, &error))?;
    let mut files = Vec::new();
    for command in all(root) {
        let page = Man::new(command.clone());
        let path = folder.join(page.get_filename());
        let shown = path.display().to_string();
        std::fs::write(&path, render(&page)?).map_err(|error| unwritten(&shown, &error))?;
        files.push(shown);
    }
    Ok(files)
}

/// A command and all below it.
fn all(command: &Command) -> Vec<&Command> {
    let below = command.get_subcommands().flat_map(all);
    std::iter::once(command).chain(below).collect()
}

fn unwritten(what: &str, error: &std::io::Error) -> Failure {
    Failure::new(
        ExitCode::Output,
        format!("cannot write {what}"),
        error.to_string(),
        "name a folder that you may write to with --dir",
    )
}
