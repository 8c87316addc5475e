//! `ixtract completions` and `ixtract man`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

pub(super) const COMPLETIONS_ABOUT: &str = "\
Print what makes a shell complete commands and flags.

Packages install these files; where there is none, put the output where the shell looks for it.";

pub(super) const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  $ ixtract completions bash > ~/.local/share/bash-completion/completions/ixtract
  $ ixtract completions zsh > ~/.zfunc/_ixtract
  $ ixtract completions fish > ~/.config/fish/completions/ixtract.fish";

pub(super) const MAN_ABOUT: &str = "\
Print the manual: a page as man reads it, all pages as files, or one document of Markdown.

All of it is made from the same definition as --help.";

pub(super) const MAN_EXAMPLES: &str = "\
Examples:
  $ ixtract man run | man -l -
  $ ixtract man --dir ~/.local/share/man/man1
  $ ixtract man --markdown > cli.md";

/// `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: ShellName,
}

/// Shells that completions are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ShellName {
    /// GNU Bash, with its package bash-completion or without
    Bash,
    /// The Z shell
    Zsh,
    /// Fish
    Fish,
}

/// `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// The command whose page is printed, such as `run` or `state prune` [default: ixtract's own]
    #[arg(value_name = "COMMAND", conflicts_with_all = ["dir", "markdown"])]
    pub command: Vec<String>,
    /// Write every page into this folder, one file a command; it is made where it is missing
    #[arg(long, value_name = "DIR", conflicts_with = "markdown")]
    pub dir: Option<PathBuf>,
    /// Print all of it as one document of Markdown: docs/cli.md
    #[arg(long)]
    pub markdown: bool,
}
