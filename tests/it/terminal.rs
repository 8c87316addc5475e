//! Tables and pictures on terminals, wide and narrow, and where there is none.

use std::path::Path;

use unicode_width::UnicodeWidthStr;

use crate::ixtract::Cli;
use crate::published::extract;
use crate::servers::{Database, postgres};
use crate::setting;

/// A user in front of a terminal of so many columns.
fn terminal(cli: Cli, columns: u32) -> Cli {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/terminal.py");
    let python = setting("IXTRACT_TEST_PYTHON");
    let program = program.to_str().expect("a path in UTF-8");
    cli.through(&[&python, program, &columns.to_string()])
}

/// A home with some runs of a table whose names are wide.
fn with_runs() -> (Cli, Database) {
    let cli = Cli::new();
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE \"注文の表\" (id int8 PRIMARY KEY, \"名前\" text, \"👩‍👩‍👧 emoji\" text, n numeric(20, 5));
         INSERT INTO \"注文の表\" SELECT i, 'x', 'y', i FROM generate_series(1, 3000) i;
         ANALYZE \"注文の表\"",
    );
    let url = database.url();
    for workers in ["1", "2", "3"] {
        let flags = ["--chunk-rows", "200", "--workers", workers];
        extract(&cli, &url, "注文の表", "out", &flags);
    }
    (cli, database)
}

/// The lines below the heading that begins so, up to the next heading.
fn below<'a>(text: &'a str, heading: &str) -> Vec<&'a str> {
    let lines = text.lines().skip_while(|line| !line.starts_with(heading));
    let lines = lines.skip(1);
    let lines: Vec<&str> = lines
        .take_while(|line| line.is_empty() || line.starts_with(' '))
        .collect();
    assert!(!lines.is_empty(), "nothing below {heading}: {text}");
    lines
}

#[test]
fn pictures_fit_the_terminal() {
    let (cli, _database) = with_runs();
    let piped = cli.run(["history", "注文の表"]).expect_code(0).stdout;
    assert!(!piped.contains('\u{1b}'), "{piped}");
    assert!(piped.contains("██"), "no bars: {piped}");
    let mut cli = cli;
    for columns in [120, 80, 50, 32] {
        cli = terminal(cli, columns);
        let history = cli.run(["history", "注文の表"]).expect_code(0).stdout;
        assert!(
            history.contains("\u{1b}[1m"),
            "a terminal has headings: {history:?}"
        );
        let history = plain(&history);
        assert!(history.contains("注文の表"), "{history}");
        let explained = plain(&cli.run(["explain", "--standard"]).expect_code(0).stdout);
        assert!(explained.contains("Timeline"), "{explained}");
        let runs = below(&history, "Runs of");
        // The facts below the pictures are for the terminal to break.
        let facts = runs.iter().position(|line| line.starts_with("  trend"));
        let mut drawn = runs[..facts.expect("a trend")].to_vec();
        let evidence = below(&explained, "Evidence");
        drawn.extend(evidence.iter().take_while(|line| !line.is_empty()));
        for heading in ["Chunks", "Workers", "Timeline"] {
            drawn.extend(below(&explained, heading));
        }
        for line in drawn {
            assert!(line.width() <= columns as usize, "{columns}: {line:?}");
        }
        let lanes = below(&explained, "Timeline");
        let lanes: Vec<usize> = lanes[..4].iter().map(|lane| lane.width()).collect();
        assert!(
            lanes[0] > 12 && lanes.iter().all(|lane| *lane == lanes[0]),
            "{explained}"
        );
    }
    let quiet = cli.env("NO_COLOR", "1");
    let history = quiet.run(["history", "注文の表"]).expect_code(0).stdout;
    assert!(!history.contains('\u{1b}'), "{history:?}");
}

/// Without the colours.
fn plain(text: &str) -> String {
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

#[test]
fn columns_of_wide_names_line_up() {
    let (cli, database) = with_runs();
    let url = database.url();
    let plan = cli
        .run(["plan", "注文の表", "--source", &url, "--output", "other"])
        .expect_code(0)
        .stdout;
    let table: Vec<&str> = plan
        .lines()
        .skip_while(|line| !line.starts_with("  column"))
        .take(5)
        .collect();
    let at = |line: &str, word: &str| {
        let place = line
            .find(word)
            .unwrap_or_else(|| panic!("no {word} in {line}: {plan}"));
        line[..place].width()
    };
    let source = at(table[0], "source type");
    let types = ["bigint", "text", "text", "numeric(20,5)"];
    for (line, word) in table[1..].iter().zip(types) {
        assert_eq!(at(line, word), source, "{plan}");
    }
}
