//! What the program can do stands in README.md, and what stands there it can do: commands,
//! environment variables and exit codes.

use std::collections::{BTreeMap, BTreeSet};

use crate::ixtract::Cli;

fn readme() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn help(words: &[&str]) -> String {
    let words = [words, &["--help"]].concat();
    Cli::new().run(words).expect_code(0).stdout
}

/// The lines of a section of the help, up to the next empty line.
fn section<'a>(help: &'a str, head: &str) -> Vec<&'a str> {
    let lines: Vec<_> = help
        .lines()
        .skip_while(|line| !line.starts_with(head))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .collect();
    assert!(!lines.is_empty(), "no {head} in {help}");
    lines
}

fn first_word(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

/// Words of capitals, digits and underscores that look like variables of ours or of libpq's.
fn variables(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        .filter(|word| word.starts_with("IXTRACT_") || word.starts_with("PG"))
        .filter(|word| !["PG", "PGP"].contains(word) && !word.starts_with("IXTRACT_TEST_"))
        .map(str::to_owned)
        .collect()
}

fn commands() -> BTreeSet<String> {
    section(&help(&[]), "Commands:")
        .iter()
        // A command's name stands two columns in; its description may go on below.
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .map(|line| first_word(line).to_owned())
        .collect()
}

#[test]
fn every_command_is_in_the_readme_and_back() {
    let readme = readme();
    let commands = commands();
    for command in &commands {
        assert!(
            readme.contains(&format!("ixtract {command}")),
            "{command} is not in README.md"
        );
    }
    // Commands are shown as `ixtract word`, at a prompt or between backticks.
    let shown = readme
        .split(['\n', '`'])
        .filter_map(|text| text.trim_start_matches("$ ").strip_prefix("ixtract "))
        .map(first_word)
        .filter(|word| word.bytes().all(|byte| byte.is_ascii_lowercase()));
    for word in shown {
        assert!(
            commands.contains(word) || word == "execute",
            "no command {word}"
        );
    }
}

#[test]
fn every_variable_is_in_the_readme_and_back() {
    let in_help: BTreeSet<String> = section(&help(&[]), "Environment")
        .iter()
        .map(|line| first_word(line).to_owned())
        .collect();
    let readme = readme();
    for name in &in_help {
        assert!(readme.contains(name.as_str()), "{name} is not in README.md");
    }
    for name in variables(&readme) {
        assert!(in_help.contains(&name), "{name} is not in --help");
    }
    // And what the flags say of them is true.
    for command in commands() {
        for name in variables(&help(&[&command])) {
            assert!(in_help.contains(&name), "{command} --help: {name}");
        }
    }
}

#[test]
fn every_exit_code_is_in_the_readme_and_back() {
    let in_help: BTreeMap<u8, String> = section(&help(&[]), "Exit codes:")
        .iter()
        .filter_map(|line| {
            let (code, meaning) = line.trim().split_once("  ")?;
            Some((code.parse().ok()?, meaning.trim().to_owned()))
        })
        .collect();
    assert!(in_help.len() > 10, "{in_help:?}");
    // A table's row: `| 0 | meaning |`.
    let in_readme: BTreeSet<u8> = readme()
        .lines()
        .filter_map(|line| {
            let code = line.strip_prefix('|')?.split('|').next()?.trim();
            code.trim_matches('`').parse().ok()
        })
        .collect();
    let codes: BTreeSet<u8> = in_help.keys().copied().collect();
    assert_eq!(in_readme, codes);
}
