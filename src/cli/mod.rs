//! The command line: words in, exit code out.
//!
//! [`args`] is the syntax, `config` what a file adds to the words, [`settings`] what flags,
//! environment and defaults mean together; each command is a file of its own, and what they share is
//! in `context`, `survey`, `history` and, for those that look back, `postmortem`.

mod aftermath;
pub mod args;
mod benchmark;
mod budget;
mod config;
mod context;
mod dataset;
mod demo;
mod doctor;
mod drift;
mod events;
mod history;
mod hooks;
mod increment;
mod machine;
mod many;
mod panics;
mod plan;
mod postmortem;
mod price;
mod profile;
mod recount;
mod replay;
mod run;
pub mod settings;
mod shipping;
mod signals;
mod staged;
mod state;
mod survey;

use std::ffi::OsString;

use clap::error::ErrorKind;

use self::args::{Cli, Command, ConfigCommand, LogFormat};
use self::config::{Refusal, Settled};
use self::context::Context;
use self::settings::Environment;
use crate::error::{ExitCode, Failure};
use crate::ui::{Manner, Printer};

/// Runs the program with the words of a command line, its name first.
pub fn run(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let words: Vec<OsString> = words.into_iter().collect();
    let environment = match Environment::of_process() {
        Ok(environment) => environment,
        Err(failure) => return end(&Printer::new(early_manner(&words, false)), Err(failure)),
    };
    let no_color = environment.get("NO_COLOR").is_some();
    match config::settle(&words, &environment) {
        Ok(Settled { cli, origins }) => {
            let printer = Printer::new(Manner {
                json: cli.common.json || cli.command.wants_json(),
                quiet: cli.common.quiet,
                verbose: cli.common.verbose,
                no_color,
                json_log: cli.common.log_format == LogFormat::Json,
            });
            let result = panics::caught(|| execute(cli, &printer, environment));
            end(&printer, result.map_err(|failure| origins.explain(failure)))
        }
        Err(Refusal::Syntax(error)) => {
            refuse(&Printer::new(early_manner(&words, no_color)), &error)
        }
        Err(Refusal::Failure(failure)) => {
            end(&Printer::new(early_manner(&words, no_color)), Err(failure))
        }
    }
}

/// The manner in which to talk before the command line is understood.
fn early_manner(words: &[OsString], no_color: bool) -> Manner {
    Manner {
        json: words.iter().any(|word| word == "--json"),
        no_color,
        json_log: wants_json_log(words),
        ..Manner::default()
    }
}

/// Whether the words ask for a log in JSON, before anybody knows whether they make sense.
fn wants_json_log(words: &[OsString]) -> bool {
    let pair = |pair: &[OsString]| pair[0] == "--log-format" && pair[1] == "json";
    words.iter().any(|word| word == "--log-format=json") || words.windows(2).any(pair)
}

/// Says how it ended and gives the exit code. A result that did not arrive on stdout is a failure.
fn end(printer: &Printer, result: Result<ExitCode, Failure>) -> ExitCode {
    match result.and_then(|exit| printer.finish().map(|()| exit)) {
        Ok(exit) => exit,
        Err(failure) => {
            let failure = without_passwords(failure);
            printer.fail(&failure);
            failure.exit
        }
    }
}

/// A failure whose words hold no URL with its password, wherever such a URL was given: as a table,
/// as a dataset.
fn without_passwords(failure: Failure) -> Failure {
    Failure {
        what: args::redact(&failure.what),
        why: args::redact(&failure.why),
        fix: args::redact(&failure.fix),
        ..failure
    }
}

/// Help, version, or a command line that makes no sense.
fn refuse(printer: &Printer, error: &clap::Error) -> ExitCode {
    let wanted = matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    );
    let rendered = error.render();
    if wanted {
        printer.help(&rendered.to_string(), &rendered.ansi().to_string());
        return end(printer, Ok(ExitCode::Success));
    }
    let nothing_asked = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if nothing_asked && !printer.manner().json && !printer.manner().json_log {
        printer.refusal(&rendered.to_string(), &rendered.ansi().to_string());
        return ExitCode::Usage;
    }
    end(printer, Err(usage(&args::redact(&rendered.to_string()))))
}

/// clap's message as a failure: its first line says what, its tips and usage say how.
fn usage(message: &str) -> Failure {
    let mut lines = message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    let what = lines.next().unwrap_or("the command line is wrong");
    let what = what.strip_prefix("error: ").unwrap_or(what);
    let details: Vec<&str> = lines
        .take_while(|line| !line.starts_with("For more information"))
        .collect();
    let why = if details.is_empty() {
        "the command line cannot be understood".to_owned()
    } else {
        details.join("; ")
    };
    let command = usage_line(&details).unwrap_or("COMMAND");
    let fix = format!("see ixtract {command} --help");
    Failure::new(ExitCode::Usage, what.trim_end_matches(':'), why, fix)
}

/// The command that clap shows the usage of: the words before its first option or value.
fn usage_line<'a>(details: &[&'a str]) -> Option<&'a str> {
    let line = details
        .iter()
        .find_map(|line| line.strip_prefix("Usage: ixtract "))?;
    let end = line
        .find(|c: char| !(c.is_ascii_lowercase() || c == ' '))
        .unwrap_or(line.len());
    Some(line[..end].trim_end()).filter(|command| !command.is_empty())
}

/// Executes a command. One that is a judgement, such as `inspect`, exits with it; others succeed or
/// fail.
fn execute(cli: Cli, printer: &Printer, environment: Environment) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        // One for the main flow, one for signals; workers bring threads of their own.
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::new(
                ExitCode::Failed,
                "cannot start",
                error.to_string(),
                "check the limits on threads and open files",
            )
        })?;
    let result = runtime.block_on(async {
        let context = Context::new(printer.clone(), environment)?;
        let mut exit = ExitCode::Success;
        let result = match cli.command {
            Command::Run(args) => {
                let ended = run::command(&context, &args).await;
                ended.map(|ended| exit = ended)
            }
            Command::Replay(args) => replay::command(&context, &args).await,
            Command::Plan(args) => plan::command(&context, &args).await,
            Command::Profile(args) => profile::command(&context, &args).await,
            Command::Benchmark(args) => benchmark::command(&context, &args).await,
            Command::Demo(args) => demo::command(&context, &args).await,
            Command::Doctor(args) => {
                let judged = doctor::command(&context, &args).await;
                judged.map(|judged| exit = judged)
            }
            Command::Verify(args) => {
                let judged = dataset::verify(&context, &args).await;
                judged.map(|judged| exit = judged)
            }
            Command::Files(args) => dataset::files(&context, &args).await,
            Command::Explain(args) => postmortem::explain::command(&context, &args),
            Command::Metrics(args) => postmortem::metrics::command(&context, &args),
            Command::Report(args) => postmortem::report::command(&context, &args),
            Command::Diff(args) => postmortem::diff::command(&context, &args),
            Command::History(args) => postmortem::history::command(&context, &args),
            Command::Diagnose(args) => postmortem::diagnose::command(&context, &args),
            Command::State(args) => state::command(&context, &args).await,
            Command::Completions(args) => shipping::completions(&context, &args),
            Command::Man(args) => shipping::man(&context, &args),
            Command::Config(ConfigCommand::Show(args)) => {
                config::show(&context, &cli.config, &args)
            }
            Command::Inspect(args) => {
                postmortem::inspect::command(&context, &args).map(|judged| exit = judged)
            }
        };
        result.map(|()| exit)
    });
    // What still runs in the background (a hash that was interrupted) must not hold up the end.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claps_messages_become_failures() {
        use clap::Parser;
        let error = Cli::try_parse_from(["ixtract", "run", "t", "--worker", "2"]);
        let failure = usage(&error.expect_err("no such flag").render().to_string());
        assert_eq!(failure.what, "unexpected argument '--worker' found");
        assert!(failure.why.contains("--workers"), "{failure}");
        assert_eq!(failure.fix, "see ixtract run --help");
        assert_eq!(failure.exit, ExitCode::Usage);
    }
}
