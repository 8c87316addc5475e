//! The command line as one document of Markdown, `docs/cli.md`.

use clap::{Arg, ArgAction, Command};

use super::all;
use crate::cli::args::VARIABLES;
use crate::cli::config;
use crate::error::ExitCode;

/// All commands, exit codes, variables, and the keys of the configuration file.
pub(super) fn markdown(root: &Command) -> String {
    let mut text = String::from(
        "# The command line\n\n\
         Made by `ixtract man --markdown`; a test compares them.\n",
    );
    let mut commands = all(root).into_iter();
    if let Some(first) = commands.next() {
        text.push_str(&format!("\n{}\n", about(first)));
        text.push_str("\n## Flags of every command\n");
        text.push_str(&flags(first, |_| true));
    }
    for command in commands {
        text.push_str(&one(command));
    }
    text.push_str("\n## Exit codes\n\n| code | meaning |\n|---|---|\n");
    for (code, meaning) in ExitCode::TABLE {
        text.push_str(&format!("| {} | {} |\n", code.code(), cell(meaning)));
    }
    text.push_str(
        "\n## Environment\n\n\
         A flag wins over a variable, one of ours over `ixtract.toml`, that over a default.\n\n\
         | variable | meaning |\n|---|---|\n",
    );
    for (name, meaning) in VARIABLES {
        text.push_str(&format!("| `{name}` | {} |\n", cell(meaning)));
    }
    text.push_str(
        "\n## Keys of ixtract.toml\n\n\
         Each is a flag of `run`, and means the same. What stands in `[defaults]` may stand in \
         `[profiles.NAME]` too.\n\n\
         | key | in `[sources.NAME]` | in `[defaults]` | in `[tables.NAME]` | takes |\n\
         |---|---|---|---|---|\n",
    );
    if let Some(run) = root.find_subcommand("run") {
        for row in config::key_rows(run) {
            let yes = |is: bool| if is { "yes" } else { "" };
            let [source, defaults, table] = row.sections.map(yes);
            text.push_str(&format!(
                "| `{}` | {source} | {defaults} | {table} | {} |\n",
                row.key,
                cell(row.takes)
            ));
        }
    }
    text
}

/// A command's section.
fn one(command: &Command) -> String {
    let name = command.get_display_name().unwrap_or(command.get_name());
    let name = name.replace('-', " ");
    let mut text = format!("\n## {name}\n\n{}\n", about(command));
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage: ");
    text.push_str(&format!("\n```text\n{usage}\n```\n"));
    text.push_str(&flags(command, |arg| !arg.is_global_set()));
    if let Some(examples) = command.get_after_help() {
        let examples = examples.to_string();
        let examples = examples.trim_start_matches("Examples:\n");
        text.push_str(&format!("\n```console\n{examples}\n```\n"));
    }
    text
}

fn about(command: &Command) -> String {
    let text = command.get_long_about().or_else(|| command.get_about());
    text.map(ToString::to_string).unwrap_or_default()
}

/// A table of arguments for each heading.
fn flags(command: &Command, wanted: impl Fn(&Arg) -> bool) -> String {
    let mut text = String::new();
    let mut at: Option<&str> = None;
    let known = |arg: &&Arg| {
        let is_help = matches!(arg.get_action(), ArgAction::Help | ArgAction::Version);
        !is_help && !arg.is_hide_set() && wanted(arg)
    };
    for arg in command.get_arguments().filter(known) {
        let heading = arg.get_help_heading().unwrap_or("Arguments");
        if at != Some(heading) {
            at = Some(heading);
            text.push_str(&format!("\n| {} | |\n|---|---|\n", cell(heading)));
        }
        text.push_str(&format!("| `{}` | {} |\n", spelling(arg), cell(&help(arg))));
    }
    text
}

fn spelling(arg: &Arg) -> String {
    let names: Vec<&str> = arg
        .get_value_names()
        .unwrap_or_default()
        .iter()
        .map(|name| name.as_str())
        .collect();
    let takes = arg.get_action().takes_values();
    // Inside of a table's cell.
    let values = names.join(" ").replace('|', "\\|");
    match (arg.get_long(), arg.get_short()) {
        (None, _) => values,
        (Some(long), Some(short)) if takes => format!("--{long}, -{short} {values}"),
        (Some(long), Some(short)) => format!("--{long}, -{short}"),
        (Some(long), None) if takes => format!("--{long} {values}"),
        (Some(long), None) => format!("--{long}"),
    }
}

/// The help's text, with what clap adds to it: values that are possible, and the default.
fn help(arg: &Arg) -> String {
    let text = arg.get_long_help().or_else(|| arg.get_help());
    let mut text = text.map(ToString::to_string).unwrap_or_default();
    if !arg.get_action().takes_values() {
        return text;
    }
    let possible = arg.get_possible_values();
    if !possible.is_empty() {
        let names: Vec<&str> = possible.iter().map(|value| value.get_name()).collect();
        text.push_str(&format!(" [possible values: {}]", names.join(", ")));
    }
    let default: Vec<_> = arg
        .get_default_values()
        .iter()
        .map(|value| value.to_string_lossy())
        .collect();
    if !default.is_empty() {
        text.push_str(&format!(" [default: {}]", default.join(",")));
    }
    text
}

/// Text that does not end a table's cell, and is no HTML.
fn cell(text: &str) -> String {
    text.replace('\n', " ")
        .replace('|', "\\|")
        .replace('<', "&lt;")
}
