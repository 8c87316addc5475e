//! The page of a run and its history: what a browser shows is what the history holds.

use std::path::Path;

use ixtract::ui::units;
use rusqlite::Connection;
use serde_json::Value;

use crate::browser::{self, SOUND, Screen, assert_sound};
use crate::ixtract::Cli;
use crate::published::{Failure, attempt, extract};
use crate::servers::postgres;

/// A name that no page may take for anything but a name.
const HOSTILE: &str = "</script><img src=x onerror='alert(1)'>&amp; \u{540d}\u{524d}";

/// The same as SQL has it.
fn quoted(name: &str) -> String {
    format!("\"{name}\"")
}

const PHONE: Screen = Screen {
    width: 360,
    dark: false,
};
const DESK: Screen = Screen {
    width: 1280,
    dark: false,
};
const NIGHT: Screen = Screen {
    width: 1280,
    dark: true,
};

/// The page of a run, a history of so many more runs, and what `history --json` says of it: two thirds
/// as fast, as fast or half as fast again, some of them failed or out of the ordinary.
fn with_a_past(cli: &Cli, name: &str, more: u32) -> (String, Value) {
    let database = postgres().fresh_database();
    let table = quoted(name);
    database.exec(&format!(
        "CREATE TABLE {table} (id int8 PRIMARY KEY, {table} numeric(9, 2), b bytea);
         INSERT INTO {table} SELECT i, i / 7.0, 'x' FROM generate_series(1, 4000) i;
         ANALYZE {table}"
    ));
    let flags = [
        "--chunk-rows",
        "250",
        "--start-workers",
        "3",
        "--compute-rate",
        "36000",
    ];
    let literal = format!("public.{table}");
    let run = extract(cli, &database.url(), &literal, "out", &flags);
    let tag = run.run().tag().to_owned();
    let state =
        Connection::open(cli.home().join(".local/state/ixtract/state.db")).expect("a store");
    state
        .execute_batch(&format!(
            "CREATE TEMP TABLE past AS
                 WITH RECURSIVE day(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM day WHERE n < {more})
                 SELECT day.n AS day, runs.* FROM day, runs WHERE tag = '{tag}';
             UPDATE past SET
                 id = id + day, tag = printf('%08x', day),
                 run_id = 'rx-20200101-000000-' || printf('%08x', day),
                 started_at = strftime('%Y-%m-%dT%H:%M:%f000Z', '2020-01-01', (12 * day) || ' hours'),
                 status = iif(day % 11 = 0, 'failed', 'success'),
                 teaches = day % 11 <> 0,
                 workers = 1 + (day / 5) % 4,
                 throughput = iif(day % 11 = 0, 0, 1000 * (4 + day % 3) * iif(day = {more} - 3, 0.1, 1));
             ALTER TABLE past DROP COLUMN day;
             INSERT INTO runs SELECT * FROM past;
             INSERT INTO anomalies
                 SELECT run_id, 'degradation', 5.5, throughput, 5000, 800, 20 FROM runs
                 WHERE throughput > 0 AND throughput < 1000 AND tag <> '{tag}';"
        ))
        .expect("a past");
    let told = cli
        .run(["report", &tag, "--html", "page.html"])
        .expect_code(0)
        .stdout;
    assert!(told.contains("page.html"), "{told}");
    let history = cli
        .run(["history", &tag, "--limit", "500", "--json"])
        .expect_code(0)
        .json();
    (tag, history)
}

/// The rows of the table with this caption, folded or not.
fn table(caption: &str) -> String {
    format!(
        "[...[...document.querySelectorAll('.scroll')]
            .find(one => one.getAttribute('aria-label') === {caption:?})
            .querySelectorAll('tbody tr')].map(row => [...row.cells].map(cell => cell.textContent))"
    )
}

#[test]
fn a_browser_shows_what_the_history_holds() {
    let cli = Cli::new();
    let (tag, history) = with_a_past(&cli, HOSTILE, 40);
    let (speeds, workers, columns) = (
        table("Speeds as a table, newest first"),
        table("Workers and reasons as a table, newest first"),
        table("Columns and their types"),
    );
    let mut questions = SOUND.to_vec();
    questions.extend([
        ("name", "document.querySelector('h1').textContent"),
        ("title", "document.title"),
        ("which", "document.querySelector('.which').textContent"),
        ("speeds", speeds.as_str()),
        ("workers", &workers),
        ("columns", &columns),
        (
            "dots",
            "document.querySelectorAll('#speed .dot, #speed .ring').length",
        ),
        (
            "crosses",
            "document.querySelectorAll('#speed .cross').length",
        ),
        ("slow", "document.querySelectorAll('#speed .slow').length"),
        ("band", "document.querySelectorAll('#speed .band').length"),
        (
            "lanes",
            "[...document.querySelectorAll('#timeline text.tick')].map(text => text.textContent)",
        ),
        (
            "chunks",
            "document.querySelectorAll('#timeline .one').length",
        ),
        ("paper", "getComputedStyle(document.body).backgroundColor"),
    ]);
    let page = cli.home().join("page.html");
    let seen = browser::look(&page, &[PHONE, DESK, NIGHT], &questions);
    assert_sound(&seen);
    let runs = history["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 41);
    let published = |run: &&Value| run["status"] == "success";
    for view in &seen.views {
        assert_eq!(view["name"], format!("public.{HOSTILE}"));
        assert_eq!(view["title"], format!("public.{HOSTILE}: run {tag}"));
        assert!(
            view["which"]
                .as_str()
                .is_some_and(|text| text.contains(&tag)),
            "{view}"
        );
        assert_eq!(view["dots"], runs.iter().filter(published).count());
        assert_eq!(view["crosses"], 3);
        assert_eq!(view["slow"], 1);
        assert_eq!(view["band"], 1);
        assert_eq!(view["chunks"], 16);
        assert_eq!(view["columns"][1][0], HOSTILE);
        assert_eq!(view["columns"][1][1], "numeric(9,2)");
        assert_eq!(view["columns"][1][2], "decimal(9,2)");
        assert_rows(view, runs);
    }
    assert_ne!(
        seen.views[1]["paper"], seen.views[2]["paper"],
        "night is as day"
    );
}

/// The tables of speeds and workers against the history's runs.
#[track_caller]
fn assert_rows(view: &Value, runs: &[Value]) {
    let (speeds, workers) = (view["speeds"].as_array(), view["workers"].as_array());
    let (speeds, workers) = (speeds.expect("rows"), workers.expect("rows"));
    assert_eq!((speeds.len(), workers.len()), (runs.len(), runs.len()));
    for ((run, speed), workers) in runs.iter().rev().zip(speeds).zip(workers) {
        assert_eq!(speed[0], run["tag"]);
        assert_eq!(workers[0], run["tag"]);
        assert_eq!(speed[2], run["workers"].to_string());
        assert_eq!(workers[2], run["workers"].to_string());
        let rate = run["throughput"].as_f64().expect("a speed");
        let shown = if run["status"] == "success" {
            units::rate(rate)
        } else {
            "-".to_owned()
        };
        assert_eq!(speed[3], shown);
        let odd = speed[6]
            .as_str()
            .is_some_and(|text| text.contains("much slower"));
        assert_eq!(odd, !run["anomaly"].is_null());
    }
    // All of them are of one plan.
    assert!(
        workers[0][4]
            .as_str()
            .is_some_and(|text| text.contains("--start-workers")),
        "{view}"
    );
}

#[test]
fn runs_by_the_thousand_and_one_alone_are_shown() {
    let cli = Cli::new();
    let (tag, _) = with_a_past(&cli, "t", 3_000);
    cli.run(["report", &tag, "--limit", "3001", "--html", "page.html"])
        .expect_code(0);
    cli.run(["report", &tag, "--limit", "1", "--html", "one.html"])
        .expect_code(0);
    for (page, runs) in [("page.html", "3,001 runs"), ("one.html", "1 run,")] {
        let page = cli.home().join(page);
        let lead = (
            "lead",
            "document.querySelector('section:nth-of-type(2) .lead').textContent",
        );
        let seen = browser::look(&page, &[PHONE, DESK], &[&SOUND[..], &[lead]].concat());
        assert_sound(&seen);
        assert!(
            seen.views[0]["lead"]
                .as_str()
                .is_some_and(|text| text.starts_with(runs)),
            "{seen:?}"
        );
        let bytes = std::fs::metadata(&page).expect("a page").len();
        assert!(bytes < 2_000_000, "{bytes}");
    }
}

#[test]
fn runs_that_published_nothing_have_a_page() {
    let cli = Cli::new();
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id int8 PRIMARY KEY);
         INSERT INTO t SELECT generate_series(1, 500); ANALYZE t",
    );
    let broken = ["--where", "id / (id - 400) >= 0", "--chunk-rows", "50"];
    attempt(&cli, &database.url(), "public.t", "out", &broken).expect_code(1);
    cli.run(["report"]).expect_code(0);
    let page = cli.home().join("ixtract-report.html");
    let questions = [("error", "document.querySelector('.error').textContent")];
    let seen = browser::look(&page, &[PHONE, NIGHT], &[&SOUND[..], &questions].concat());
    assert_sound(&seen);
    assert!(
        seen.views[0]["error"]
            .as_str()
            .is_some_and(|text| text.contains("division by zero")),
        "{seen:?}"
    );

    // As a run that was killed leaves it.
    let state =
        Connection::open(cli.home().join(".local/state/ixtract/state.db")).expect("a store");
    state
        .execute_batch(
            "UPDATE runs SET status = 'crashed', error = NULL, throughput = 0;
             DELETE FROM chunks; DELETE FROM worker_metrics",
        )
        .expect("a crash");
    cli.run(["report"]).expect_code(0);
    let seen = browser::look(
        &page,
        &[PHONE, DESK],
        &[&SOUND[..], &[("text", "document.body.innerText")]].concat(),
    );
    assert_sound(&seen);
    let text = seen.views[0]["text"].as_str().unwrap_or_default();
    for says in [
        "crashed",
        "No run has been published yet",
        "died before it could record its chunks",
    ] {
        assert!(text.contains(says), "{says}: {text}");
    }
}

#[test]
fn a_run_of_which_only_the_manifest_is_left_has_a_page() {
    let cli = Cli::new();
    let database = postgres().fresh_database();
    database.exec("CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t VALUES (1)");
    let run = extract(&cli, &database.url(), "public.t", "out", &[]).run();
    std::fs::remove_dir_all(cli.home().join(".local")).expect("a lost history");
    cli.run(["state", "rebuild", "out"]).expect_code(0);
    let page = cli
        .run(["report", run.tag(), "--html", "-"])
        .expect_code(0)
        .stdout;
    assert!(page.starts_with("<!doctype html>\n"), "{page}");
    assert!(page.contains("rebuilt from its manifest"), "{page}");
    let document = cli
        .run(["report", run.tag(), "--json"])
        .expect_code(0)
        .json();
    assert_eq!(document["metrics"], Value::Null);
    assert_eq!(document["run"]["rows"], 1);
}

#[test]
fn the_document_is_what_other_commands_say() {
    let cli = Cli::new();
    let (tag, history) = with_a_past(&cli, "t", 12);
    let said = |words: &[&str]| cli.run([words, &["--json"]].concat()).expect_code(0).json();
    let document = said(&["report", &tag]);
    assert_eq!(document["report_version"], 1);
    assert_eq!(document["history"], history);
    assert_eq!(document["run"], said(&["diagnose", &tag]));
    let metrics = said(&["metrics", &tag]);
    for part in ["counts", "chunks", "workers"] {
        assert_eq!(document["metrics"][part], metrics[part], "{part}");
    }
    assert_eq!(document["written"], Value::Null);
    let course = document["course"].as_array().expect("a course");
    assert_eq!(course.len(), 13);
    // Runs of 5, 6, 4, 5, … thousand rows a second, the eleventh failed.
    assert_eq!(course[0]["average"], 5000.0);
    assert_eq!(course[1]["average"], 5300.0);
    assert_eq!(course[4]["usual"], Value::Null);
    assert_eq!(course[6]["usual"]["mean"], 5000.0);
    assert_eq!(course[10]["clean"], false);
    assert_eq!(course[10]["average"], course[9]["average"]);
    assert!(!cli.home().join("ixtract-report.html").exists());
    // Few runs are shown, and what was usual is known all the same.
    let few = said(&["report", &tag, "--limit", "2"]);
    assert_eq!(few["course"].as_array().map(Vec::len), Some(2));
    assert_eq!(few["course"][1], course[12]);
    assert_eq!(few["history"]["runs"][1]["id"], history["runs"][12]["id"]);
    let both = said(&["report", &tag, "--html", "both.html"]);
    assert_eq!(both["written"], "both.html");
    assert!(cli.home().join("both.html").exists());
}

#[test]
fn nothing_but_a_report_is_replaced() {
    let cli = Cli::new();
    let file = |name: &str| cli.home().join(name);
    let failure = Failure::of(&cli.run(["report", "--json"]).expect_code(64));
    assert!(
        failure.what.contains("there is no state store"),
        "{}",
        failure.text()
    );
    let database = postgres().fresh_database();
    database.exec("CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t VALUES (1)");
    extract(&cli, &database.url(), "public.t", "out", &[]);

    cli.run(["report"]).expect_code(0);
    let older = read(&file("ixtract-report.html")) + "<!-- older -->";
    std::fs::write(file("ixtract-report.html"), older).expect("a file");
    cli.run(["report", "t"]).expect_code(0);
    assert!(!read(&file("ixtract-report.html")).contains("older"));

    std::fs::write(file("mine.html"), "<!doctype html>\nmine").expect("a file");
    let refused = cli
        .run(["report", "--html", "mine.html", "--json"])
        .expect_code(73);
    let failure = Failure::of(&refused);
    assert!(
        failure.what.contains("mine.html is no report"),
        "{}",
        failure.text()
    );
    assert!(failure.fix.contains("--force"), "{}", failure.text());
    assert_eq!(read(&file("mine.html")), "<!doctype html>\nmine");
    cli.run(["report", "--html", "mine.html", "--force"])
        .expect_code(0);
    assert!(read(&file("mine.html")).contains("content=\"ixtract report\""));

    std::fs::write(file("empty.html"), "").expect("a file");
    cli.run(["report", "--html", "empty.html"]).expect_code(0);
    let refused = cli
        .run(["report", "--html", "no/such/page.html", "--json"])
        .expect_code(73);
    assert!(
        Failure::of(&refused)
            .what
            .contains("cannot write the report"),
        "{refused:?}"
    );
    let refused = cli
        .run(["report", "--html", "out", "--json"])
        .expect_code(73);
    assert!(
        Failure::of(&refused).why.contains("directory"),
        "{refused:?}"
    );
    let refused = cli.run(["report", "--html", "-", "--json"]).expect_code(64);
    assert!(
        Failure::of(&refused).fix.contains("--html report.html"),
        "{refused:?}"
    );
    let page = cli.run(["report", "--html", "-"]).expect_code(0).stdout;
    assert!(
        page.starts_with("<!doctype html>\n") && page.ends_with("</html>\n"),
        "{page}"
    );
    let refused = cli.run(["report", "other", "--json"]).expect_code(64);
    assert_eq!(Failure::of(&refused).what, "there is no run 'other'");
    // Nothing half written is left.
    let left = std::fs::read_dir(cli.home()).expect("a home");
    let left = left.filter(|entry| {
        entry
            .as_ref()
            .is_ok_and(|entry| entry.file_name().to_string_lossy().ends_with(".new"))
    });
    assert_eq!(left.count(), 0);
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).expect("a file")
}
