//! What is shipped beside the binary: completions, manual, reference, package, examples.

mod examples; // Every example of the documents, run or at least read by the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cli::fails;
use crate::ixtract::Cli;
use crate::setting_or;

/// A file of the repository.
fn kept(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    fs::read_to_string(kept(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What a program of the system prints.
#[track_caller]
fn prints(program: &str, words: &[&str]) -> String {
    let done = Command::new(program).args(words).output();
    let done = done.unwrap_or_else(|error| panic!("{program}, which tests/run installs: {error}"));
    assert!(done.status.success(), "{program} {words:?}: {done:?}");
    String::from_utf8(done.stdout).expect("UTF-8")
}

/// The completions of a shell in a file.
fn completions(shell: &str) -> (Cli, String) {
    let cli = Cli::new();
    let script = cli.run(["completions", shell]).expect_code(0).stdout;
    let path = cli.home().join("script");
    fs::write(&path, &script).expect("written");
    let document = cli
        .run(["completions", shell, "--json"])
        .expect_code(0)
        .json();
    assert_eq!(document["text"], script);
    let path = path.display().to_string();
    (cli, path)
}

#[test]
fn bash_completes() {
    let (_cli, script) = completions("bash");
    let ask = format!(
        "source {script}; complete -p ixtract >&2
         ask() {{ COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
             _ixtract ixtract \"${{@: -1}}\" \"${{@: -2:1}}\"; echo \"${{COMPREPLY[*]}}\"; }}
         ask ixtract repl; ask ixtract run --work; ask ixtract state pr; ask ixtract run --tls ver"
    );
    let found = prints("bash", &["--norc", "-c", &ask]);
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(
        lines,
        ["replay", "--workers", "prune", "verify-ca verify-full"]
    );
}

#[test]
fn fish_completes() {
    let (cli, script) = completions("fish");
    let ask = |words: &str| {
        let line = format!("source {script}; complete -C '{words}'");
        let home = cli.home().display().to_string();
        prints(
            "env",
            &[&format!("HOME={home}"), "fish", "--no-config", "-c", &line],
        )
    };
    assert!(ask("ixtract repl").starts_with("replay"));
    assert!(ask("ixtract run --worke").starts_with("--workers"));
    assert!(ask("ixtract state pru").starts_with("prune"));
}

#[test]
fn zsh_takes_its_completions() {
    let (cli, script) = completions("zsh");
    let folder = cli.home().join("functions");
    fs::create_dir(&folder).expect("a folder");
    fs::copy(&script, folder.join("_ixtract")).expect("copied");
    prints("zsh", &["-f", "-n", &script]);
    // Its own machinery finds the function for the command and loads it.
    let ask = format!(
        "fpath=({} $fpath); autoload -Uz compinit; compinit -u -D; autoload +X _ixtract; \
         print -r -- $_comps[ixtract]; print -r -- ${{functions[_ixtract]}}",
        folder.display()
    );
    let found = prints("zsh", &["-f", "-c", &ask]);
    assert!(found.starts_with("_ixtract\n"), "{found}");
    assert!(found.contains("--workers="), "{found}");
}

#[test]
fn every_command_has_a_page() {
    let cli = Cli::new();
    let document = cli
        .run(["man", "--dir", "pages/man1", "--json"])
        .expect_code(0)
        .json();
    let files = document["files"].as_array().expect("files");
    let names: Vec<&str> = files
        .iter()
        .filter_map(|file| file.as_str()?.strip_prefix("pages/man1/"))
        .collect();
    for name in [
        "ixtract.1",
        "ixtract-run.1",
        "ixtract-state-prune.1",
        "ixtract-config-show.1",
    ] {
        assert!(names.contains(&name), "{names:?}");
    }
    for name in &names {
        let page = fs::read_to_string(cli.home().join("pages/man1").join(name)).expect("a page");
        assert!(
            page.contains(".TH ixtract") && page.contains(".SH NAME"),
            "{name}: {page}"
        );
    }
    let page = cli.run(["man", "run"]).expect_code(0).stdout;
    assert!(
        page.contains("workers") && page.contains("Examples:"),
        "{page}"
    );
    let nested = cli
        .run(["man", "state", "prune", "--json"])
        .expect_code(0)
        .json();
    assert_eq!(nested["name"], "ixtract-state-prune.1");
    fails(cli.run(["man", "rnu"]), 64, ["'rnu'", "run", "--help"]);
    fs::write(cli.home().join("file"), "").expect("written");
    fails(
        cli.run(["man", "--dir", "file/x"]),
        73,
        ["file/x", "ot a directory", "--dir"],
    );
    fails(
        cli.run(["completions", "tcsh"]),
        64,
        ["tcsh", "bash, zsh, fish", ""],
    );
}

#[test]
fn the_reference_is_what_the_program_says() {
    let made = Cli::new().run(["man", "--markdown"]).expect_code(0).stdout;
    let page = kept("docs/cli.md");
    if setting_or("IXTRACT_UPDATE_DOCS", "") == "1" {
        fs::write(&page, &made).expect("docs/cli.md");
    }
    let written = fs::read_to_string(&page).expect("docs/cli.md");
    for (written, made) in written.lines().zip(made.lines()) {
        assert_eq!(
            written, made,
            "docs/cli.md: IXTRACT_UPDATE_DOCS=1 writes it anew"
        );
    }
    assert_eq!(written.len(), made.len(), "docs/cli.md");
}

/// A value of `[package.metadata.deb]`.
fn package() -> toml::Table {
    let manifest: toml::Table = read("Cargo.toml").parse().expect("TOML");
    let of = |table: &toml::Table, key: &str| table[key].as_table().expect(key).clone();
    of(&of(&of(&manifest, "package"), "metadata"), "deb")
}

#[test]
fn the_debian_package_names_files_that_are_there() {
    let deb = package();
    let assets = deb["assets"].as_array().expect("assets");
    let mut targets = Vec::new();
    for asset in assets {
        let parts: Vec<&str> = asset
            .as_array()
            .expect("three parts")
            .iter()
            .filter_map(toml::Value::as_str)
            .collect();
        let [source, target, mode] = parts[..] else {
            panic!("{asset} has not three parts");
        };
        targets.push(target);
        assert!(["644", "755"].contains(&mode), "{asset}");
        // What the script makes is named by it.
        let made = source.strip_prefix("target/shipped/");
        let script = read("packaging/build-deb");
        match made.and_then(|path| path.split('/').next()) {
            Some(folder) => assert!(script.contains(&format!("$shipped/{folder}")), "{source}"),
            None => assert!(
                kept(source.trim_end_matches("*.md").trim_end_matches('*')).exists(),
                "{source}"
            ),
        }
    }
    for part in [
        "usr/bin/ixtract",
        "man/man1",
        "bash-completion",
        "zsh",
        "fish",
        "doc/ixtract",
    ] {
        assert!(targets.iter().any(|target| target.contains(part)), "{part}");
    }
    assert!(kept(deb["license-file"][0].as_str().expect("a file")).exists());
    prints(
        "bash",
        &["-n", &kept("packaging/build-deb").display().to_string()],
    );
}

#[test]
fn the_container_needs_no_root_and_copies_what_is_there() {
    let text = read("Containerfile");
    let last = text.rfind("\nFROM ").expect("two stages");
    assert!(text[last..].contains("\nUSER 65532:65532\n"), "{text}");
    assert!(text[last..].find("\nUSER ") < text[last..].find("\nENTRYPOINT "));
    let allowed = read(".containerignore");
    for line in text.lines().filter_map(|line| line.strip_prefix("COPY ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((_, sources)) = words.split_last().filter(|_| !line.starts_with("--from")) else {
            continue;
        };
        for source in sources {
            assert!(kept(source).exists(), "{source}");
            assert!(
                allowed.contains(&format!("!{source}\n")),
                "{source} is ignored"
            );
        }
    }
}
