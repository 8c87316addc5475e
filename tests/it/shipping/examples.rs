//! Every example of the documents. Those of `--help`, which are those of docs/cli.md, are run on real
//! servers; those of README.md and docs/examples leave things out, and are read by the program.

use std::path::Path;
use std::process::Command;

use super::{kept, prints, read};
use crate::ixtract::Cli;
use crate::servers::mysql::mariadb;
use crate::servers::postgres;
use crate::setting;
use crate::stores::bucket::Bucket;

const TABLE: &str =
    "CREATE TABLE orders (id bigint PRIMARY KEY, placed_on date, total decimal(10, 2),
    updated_at timestamp)";

/// The command lines of examples: at a prompt, with what is continued on further lines.
fn prompted(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let mut goes_on = false;
    for line in text.lines().map(str::trim) {
        let begins = line.strip_prefix("$ ");
        match (begins, goes_on, found.last_mut()) {
            (Some(begun), _, _) => found.push(begun.to_owned()),
            (None, true, Some(last)) => *last = format!("{} {line}", last.trim_end_matches('\\')),
            _ => continue,
        }
        goes_on = line.ends_with('\\');
    }
    found
}

/// What stands for programs that are no part of this.
const OTHERS: &str =
    "mkdir -p ~/bin; printf '#!/bin/sh\\necho PASSWORD\\n' > ~/bin/vault; chmod +x ~/bin/vault
    PATH=~/bin:$PATH
    ssh() { shift; case $1 in cat*) cat > /dev/null ;; *) \"$@\" ;; esac; }
    alert() { :; }
    man() { cat; }
    set -o pipefail
";

/// Puts into a home what the examples take for granted.
fn furnish(home: &Path) {
    rusqlite::Connection::open(home.join("shop.db"))
        .and_then(|file| {
            file.execute_batch(&format!(
                "{TABLE}; INSERT INTO orders WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000) SELECT i, '2026-01-31', 2, '' FROM n"
            ))
        })
        .expect("a database");
    for folder in [
        ".local/share/bash-completion/completions",
        ".zfunc",
        ".config/fish/completions",
        "backup",
    ] {
        std::fs::create_dir_all(home.join(folder)).expect("a folder");
    }
    std::fs::write(home.join("ixtract.toml"), "[profiles.prod]\nkeep = 1\n").expect("written");
}

#[test]
fn every_example_of_the_help_runs() {
    let database = postgres().fresh_database();
    database.exec(&format!(
        "{TABLE}; INSERT INTO orders SELECT i, date '2026-01-31' - i % 3, i, now() FROM generate_series(1, 1000) AS i; \
         CREATE TABLE orders_old (id bigint PRIMARY KEY); CREATE SCHEMA sales; \
         CREATE TABLE sales.order1 (id bigint PRIMARY KEY); ANALYZE"
    ));
    let other = mariadb().fresh_database();
    other.exec(TABLE);
    let bucket = Bucket::new();
    let mut cli = bucket.cli().env("IXTRACT_SOURCE", database.url());
    let home = cli.home().to_owned();
    cli = cli.env(
        "IXTRACT_STATE",
        home.join("history.db").display().to_string(),
    );
    furnish(&home);
    let mut tags = Vec::new();
    for _ in 0..2 {
        let done = cli
            .run(["run", "public.orders", "--json"])
            .expect_code(0)
            .json();
        let run = done["run"].as_str().expect("a run").to_owned();
        tags.push(run.rsplit('-').next().expect("a tag").to_owned());
    }
    let windows = ["--incremental", "id", "--output", "windows"];
    let words = [&["run", "public.orders"][..], &windows].concat();
    cli.run(words).expect_code(0);
    let examples = prompted(&read("docs/cli.md"));
    assert!(examples.len() > 60, "{}", examples.len());
    let mut bad = Vec::new();
    for example in examples {
        let line = example
            .replace("postgresql://etl@db.example.com/shop", &database.url())
            .replace("mysql://etl@db.example.com/shop", &other.url())
            .replace("s3://lake", &bucket.url())
            .replace(
                "verify out/public.orders --source",
                "verify windows --source",
            )
            .replace("/backup/", &format!("{}/backup/", home.display()))
            .replace("/tmp/tour", &format!("{}/tour", home.display()))
            .replace("1badbc4c", &tags[0])
            .replace("0badcafe", &tags[0])
            .replace("0ddba115", &tags[1]);
        // Tables of one name in several databases are told apart by whoever has them in one history.
        let own = ["sqlite:", "ixtract demo"]
            .iter()
            .any(|of| line.contains(of));
        let state = if own { "own" } else { "history" };
        let script = format!(
            "program=$1\nexport IXTRACT_STATE=~/{state}.db\n\
             ixtract() {{ \"$program\" \"$@\"; }}\n{}{line}",
            OTHERS.replace("PASSWORD", &database.address().password)
        );
        cli = cli.through(&["bash", "-c", &script, "bash"]);
        let done = cli.run::<&str>([]);
        // Judgements are no failures.
        let good = match line.split_whitespace().nth(1) {
            Some("inspect") => 0..=2,
            Some("doctor") => 0..=1,
            _ => 0..=0,
        };
        let is_empty = line.contains("| jq")
            && !line.contains("select")
            && done.stdout.lines().any(|line| line == "null");
        if !good.contains(&done.code) || is_empty {
            bad.push(format!("{line}\n{done:#?}"));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Lets the program read a command line without doing anything.
#[track_caller]
fn reads(line: &str, config: &[&str]) {
    let script = format!(
        "program=$1\nixtract() {{ \"$program\" config show {} \"$@\"; }}\nset -f\n{line}",
        config.join(" ")
    );
    let cli = Cli::new().through(&["bash", "-c", &script, "bash"]);
    let done = cli.run::<&str>([]);
    assert_eq!(done.code, 0, "{line}\n{done:#?}");
}

#[test]
fn the_program_reads_every_example_of_the_readme() {
    let text = read("README.md");
    let mut shown = 0;
    for block in text.split("```sh\n").skip(1) {
        let block = block
            .split("```")
            .next()
            .unwrap_or_default()
            .replace("\\\n", " ");
        for line in block.lines().filter(|line| line.starts_with("ixtract ")) {
            let line = line.split(['#', '…', '|']).next().unwrap_or_default();
            reads(line.trim(), &["--no-config"]);
            shown += 1;
        }
    }
    assert!(shown > 10, "{shown}");
}

#[test]
fn the_configuration_of_the_readme_is_right() {
    let text = read("README.md");
    let block = text.split("```toml\n").nth(1).expect("a file");
    let block = block.split("```").next().expect("its end");
    let cli = Cli::new();
    std::fs::write(cli.home().join("ixtract.toml"), block).expect("written");
    for words in [
        &["orders"][..],
        &["big_orders"],
        &["orders", "--profile", "prod"],
    ] {
        cli.run([&["config", "show"], words].concat())
            .expect_code(0);
    }
}

/// The configuration that the files in docs/examples use.
fn config() -> String {
    format!("--config {}", kept("docs/examples/ixtract.toml").display())
}

#[test]
fn the_program_reads_every_command_of_the_examples() {
    let with = config();
    let mut seen = 0;
    for file in [
        "systemd/ixtract@.service",
        "cron/ixtract",
        "github/extract.yml",
    ] {
        for line in read(&format!("docs/examples/{file}")).lines() {
            let commands = ["ixtract run ", "ixtract verify ", "ixtract state "];
            let at = commands.iter().find_map(|command| line.find(command));
            let Some(at) = at.filter(|_| !line.trim_start().starts_with('#')) else {
                continue;
            };
            reads(&line[at..].replace("%I", "orders"), &[&with]);
            seen += 1;
        }
    }
    assert_eq!(seen, 6);
    let cronjob = read("docs/examples/kubernetes/cronjob.yaml");
    let words = cronjob
        .lines()
        .find_map(|line| line.trim().strip_prefix("args: "));
    let words: Vec<String> = serde_json::from_str(words.expect("arguments")).expect("a list");
    let line =
        format!("ixtract {}", words.join(" ")).replace(" --config /etc/ixtract/ixtract.toml", "");
    reads(&line, &[&with]);
}

#[test]
fn the_example_configuration_runs() {
    let database = postgres().fresh_database();
    database.exec(&format!(
        "{TABLE}; INSERT INTO orders VALUES (1, now(), 2, now() - interval '1 hour'), (2, now(), 2, now())"
    ));
    let cli = Cli::new();
    let file = kept("docs/examples/ixtract.toml").display().to_string();
    let words = [
        "run",
        "orders",
        "--config",
        &file,
        "--source",
        &database.url(),
        "--output",
        "lake/{table}",
        "--json",
    ];
    let done = cli.run(words).expect_code(0).json();
    // The window ends five minutes before the newest row.
    assert_eq!(done["rows"], 1);
}

#[test]
fn yaml_and_python_of_the_examples_parse() {
    let python = setting("IXTRACT_TEST_STORE_PYTHON");
    for file in ["kubernetes/cronjob.yaml", "github/extract.yml"] {
        let path = kept("docs/examples").join(file).display().to_string();
        let check =
            "import sys, yaml; print(len([d for d in yaml.safe_load_all(open(sys.argv[1])) if d]))";
        assert_ne!(prints(&python, &["-c", check, &path]).trim(), "0", "{file}");
    }
    let path = kept("docs/examples/airflow/ixtract_orders.py")
        .display()
        .to_string();
    let check = "import sys; compile(open(sys.argv[1]).read(), sys.argv[1], 'exec')";
    prints(&python, &["-c", check, &path]);
}

#[test]
fn systemd_understands_its_units() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut units = Vec::new();
    for name in ["ixtract@.service", "ixtract@.timer"] {
        let text = read(&format!("docs/examples/systemd/{name}"));
        // It looks for the program, and for the manual.
        let text = text
            .replace("/usr/bin/ixtract", env!("CARGO_BIN_EXE_ixtract"))
            .replace("Documentation=man:ixtract-run(1)\n", "");
        let path = folder.path().join(name.replace('@', "@orders"));
        std::fs::write(&path, text).expect("written");
        units.push(path.display().to_string());
    }
    let done = Command::new("systemd-analyze")
        .arg("verify")
        .args(&units)
        .output()
        .expect("systemd-analyze, which tests/run installs");
    let told = String::from_utf8_lossy(&done.stderr);
    // What it says of other units of the machine is not ours.
    let ours: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("ixtract@"))
        .collect();
    assert!(ours.is_empty(), "{ours:#?}");
}
