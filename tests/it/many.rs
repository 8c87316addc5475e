//! Several tables in one run: one point in time, a dataset each, and nobody disturbs the others.

mod sources;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::extraction::{self, names, statuses, until};
use crate::gate::{Gate, wait_until_blocked};
use crate::ixtract::{Cli, Outcome, Signal};
use crate::readers::{self, Engine, Row};
use crate::servers::{Database, postgres};
use crate::stores::Bucket;

/// The output of every set here.
pub(crate) const OUTPUT: &str = "out/{schema}/{table}";

/// A program in a home of its own, and the database that it reads.
pub(crate) struct Scene {
    pub(crate) cli: Cli,
    pub(crate) source: String,
}

impl Scene {
    pub(crate) fn new(source: impl Into<String>) -> Self {
        Self {
            cli: Cli::new(),
            source: source.into(),
        }
    }

    /// The command line of `ixtract run TABLE … --source … --output …`.
    pub(crate) fn words<'a>(&'a self, tables: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
        let fixed = ["--source", &self.source, "--output", OUTPUT, "--json"];
        [&["run"], tables, &fixed, more].concat()
    }

    pub(crate) fn run(&self, tables: &[&str], more: &[&str]) -> Outcome {
        self.cli.run(self.words(tables, more))
    }

    /// A dataset's directory.
    pub(crate) fn dataset(&self, path: &str) -> PathBuf {
        self.cli.home().join("out").join(path)
    }

    /// A dataset's rows as DuckDB reads them, once it is verified.
    pub(crate) fn rows(&self, path: &str) -> Vec<Row> {
        let dataset = self.dataset(path);
        let shown = dataset.display().to_string();
        self.cli.run(["verify", &shown]).expect_code(0);
        readers::rows(Engine::DuckDb, &dataset, &[])
    }

    /// The sum of a column of integers.
    pub(crate) fn sum(&self, path: &str, column: usize) -> i64 {
        let rows = self.rows(path);
        let value = |row: &Row| row[column].as_deref()?.parse::<i64>().ok();
        rows.iter().map(|row| value(row).expect("a number")).sum()
    }

    /// The manifests of all sets, by name.
    pub(crate) fn sets(&self) -> BTreeMap<String, Value> {
        let folder = self.dataset("_sets");
        let read = |name: String| {
            let text = std::fs::read_to_string(folder.join(&name)).expect("a manifest");
            (name, serde_json::from_str(&text).expect("JSON"))
        };
        names(&folder).into_iter().map(read).collect()
    }
}

/// The status of each table in what `run --json` printed.
pub(crate) fn told(outcome: &Outcome) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let document = outcome.json();
    let tables = document["tables"].as_array().expect("a list").iter();
    tables
        .map(|table| (text(&table["table"]), text(&table["status"])))
        .collect()
}

fn is(table: &str, status: &str) -> (String, String) {
    (table.to_owned(), status.to_owned())
}

/// Two tables between which money is moved: what they hold together never changes.
fn purses() -> (Database, Scene) {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE purse (id bigint PRIMARY KEY, held bigint NOT NULL);
         CREATE TABLE vault (id bigint PRIMARY KEY, held bigint NOT NULL);
         INSERT INTO purse SELECT i, 100 FROM generate_series(1, 2000) i;
         INSERT INTO vault SELECT i, 100 FROM generate_series(1, 2000) i;
         ANALYZE",
    );
    let scene = Scene::new(database.url());
    (database, scene)
}

/// Moves a hundred from every vault into a purse, in one transaction.
const MOVE: &str =
    "BEGIN; UPDATE vault SET held = held - 50; UPDATE purse SET held = held + 50; COMMIT";

#[test]
fn all_tables_are_of_one_instant_though_they_are_read_one_after_another() {
    let (database, scene) = purses();
    let gate = Gate::shut(&database);
    let more = ["--workers", "1", "--where", Gate::FILTER];
    let running = scene.cli.spawn(scene.words(&["*"], &more));
    // With one worker, the second table has not begun while the first stands at the gate.
    gate.wait_for_readers(1);
    database.exec(MOVE);
    gate.open();
    let outcome = running.wait().expect_code(0);
    assert_eq!(
        told(&outcome),
        [is("public.purse", "success"), is("public.vault", "success")].into()
    );
    assert_eq!(scene.sum("public/purse", 1), 200_000);
    assert_eq!(scene.sum("public/vault", 1), 200_000);
    let moments = ["public/purse", "public/vault"].map(|path| {
        let consistency = &extraction::manifest(&scene.dataset(path))["consistency"];
        (
            consistency["taken_at"].clone(),
            consistency["position"].clone(),
        )
    });
    assert_eq!(moments[0], moments[1]);
    let sets = scene.sets();
    let set = sets.values().next().expect("a manifest of the set");
    assert_eq!(set["complete"], true);
    assert_eq!(set["snapshot"]["taken_at"], moments[0].0);
    assert_eq!(set["rows"], 4_000);
    for table in set["tables"].as_array().expect("a list") {
        let dataset = Path::new(table["dataset"].as_str().expect("a path"));
        assert_eq!(extraction::manifest(dataset)["run"], table["run"]);
        assert_eq!(table["in_snapshot"], true);
    }
    // Readers that look for data find none of the sets'.
    let glob = readers::rows(Engine::DuckDb, &scene.dataset("public/purse"), &[]);
    assert_eq!(glob.len(), 2_000);
}

#[test]
fn whoever_moves_money_meanwhile_never_tears_the_set() {
    let (database, scene) = purses();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let session = database.session();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                session.exec(MOVE);
            }
        });
        for _ in 0..3 {
            scene.run(&["purse", "vault"], &[]).expect_code(0);
            let sum = scene.sum("public/purse", 1) + scene.sum("public/vault", 1);
            assert_eq!(sum, 400_000);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(scene.sets().len(), 3);
}

#[test]
fn patterns_mean_the_users_own_tables() {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE \"Odd ?ame\" (id int); CREATE TABLE \"Odd name\" (id int);
         CREATE TABLE other (id int); CREATE VIEW shown AS SELECT * FROM other;
         CREATE TABLE parts (id int) PARTITION BY RANGE (id);
         CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
         CREATE SCHEMA far; CREATE TABLE far.other (id int);
         INSERT INTO parts VALUES (1), (2); ANALYZE",
    );
    let scene = Scene::new(database.url());
    let tables = |names: &[&str], more: &[&str]| {
        let outcome = scene.run(names, more).expect_code(0);
        told(&outcome).into_keys().collect::<Vec<_>>()
    };
    assert_eq!(
        tables(&["*"], &["--exclude", "odd *"]),
        ["public.other", "public.parts"]
    );
    assert_eq!(
        tables(&["\"Odd ?ame\"", "shown"], &[]),
        ["public.Odd ?ame", "public.shown"]
    );
    assert_eq!(
        tables(&["ODD*"], &[]),
        ["public.Odd ?ame", "public.Odd name"]
    );
    assert_eq!(tables(&["*.other"], &[]), ["far.other", "public.other"]);
    assert_eq!(tables(&["p*_?"], &[]), ["public.parts_1"]);
    assert_eq!(scene.rows("public/parts").len(), 2);
}

#[test]
fn what_cannot_be_done_is_refused_before_anything_begins() {
    let (_database, scene) = purses();
    for (tables, more, says) in [
        (&["puble.*"][..], &[][..], "public.*"),
        (&["*", "nothing*"], &[], "fits 'nothing*'"),
        (&["*"], &["--exclude", "purze"], "public.purse"),
        (&["*"], &["--exclude", "*"], "no table is left"),
        (&["*"], &["--columns", "id"], "--columns"),
        (&["*"], &["--type", "id=int64"], "--type"),
        (&["purse", "vault"], &["--resume", "last"], "--resume"),
    ] {
        let outcome = scene.run(tables, more).expect_code(64);
        assert!(outcome.stderr.contains(says), "{outcome:#?}");
    }
    let fixed = [
        "run",
        "purse",
        "vault",
        "--source",
        &scene.source,
        "--output",
    ];
    for output in ["out/{schema}", "out"] {
        let outcome = scene
            .cli
            .run([&fixed[..], &[output]].concat())
            .expect_code(64);
        assert!(outcome.stderr.contains("{table}"), "{outcome:#?}");
    }
    assert!(!scene.dataset("").exists());
    let store = extraction::state_file(&scene.cli);
    assert!(!store.exists() || statuses(&scene.cli).is_empty());
}

#[test]
fn two_tables_of_one_name_need_places_of_their_own() {
    let (database, scene) = purses();
    database.exec("CREATE SCHEMA far; CREATE TABLE far.purse (id int)");
    let fixed = ["run", "*.purse", "--source", &scene.source];
    let outcome = scene
        .cli
        .run([&fixed[..], &["--output", "out/{table}"]].concat());
    let outcome = outcome.expect_code(64);
    assert!(
        outcome.stderr.contains("would be published into one place"),
        "{outcome:#?}"
    );
    scene.cli.run(fixed).expect_code(0);
    assert!(scene.dataset("far.purse/_SUCCESS").exists());
}

#[test]
fn a_table_that_fails_disturbs_no_other() {
    let (database, scene) = purses();
    let role = database.limited_role();
    database.exec(&format!("GRANT SELECT ON vault TO {}", role.user));
    let limited = Scene {
        source: role.to_string(),
        ..scene
    };
    let outcome = limited.run(&["*"], &[]).expect_code(4);
    assert_eq!(
        told(&outcome),
        [is("public.purse", "failed"), is("public.vault", "success")].into()
    );
    let document = outcome.json();
    assert_eq!(document["exit"], 4);
    assert_eq!(document["tables"][0]["error"]["exit"], 77);
    assert!(outcome.stderr.contains("GRANT SELECT"), "{outcome:#?}");
    assert_eq!(limited.sum("public/vault", 1), 200_000);
    assert!(!limited.dataset("public/purse").exists());
    let sets = limited.sets();
    let set = sets.values().next().expect("a manifest");
    assert_eq!(set["complete"], false);

    // All fail alike: their own code, and no manifest more.
    let outcome = limited.run(&["purse", "purs?"], &[]).expect_code(77);
    assert_eq!(told(&outcome), [is("public.purse", "failed")].into());
    assert_eq!(limited.sets().len(), 1);
    assert_eq!(statuses(&limited.cli), ["success"]);
}

#[test]
fn a_table_that_fails_in_the_middle_disturbs_no_other() {
    let (database, scene) = purses();
    // Longer than the other, so it comes first; its last rows cannot be read.
    database.exec(
        "CREATE TABLE broken (id bigint PRIMARY KEY, at date);
         INSERT INTO broken SELECT i, CASE WHEN i > 9000 THEN 'infinity'::date END
             FROM generate_series(1, 10000) i;
         ANALYZE",
    );
    let outcome = scene
        .run(&["*"], &["--chunk-rows", "500", "--workers", "3"])
        .expect_code(4);
    let failed = is("public.broken", "failed");
    let others = [is("public.purse", "success"), is("public.vault", "success")];
    assert_eq!(told(&outcome), others.into_iter().chain([failed]).collect());
    assert_eq!(
        scene.sum("public/vault", 1) + scene.sum("public/purse", 1),
        400_000
    );
    let document = outcome.json();
    let level = &document["tables"][1]["run"]["consistency"]["level"];
    assert_eq!(level, "shared-snapshot");
    let mut ended = statuses(&scene.cli);
    ended.sort();
    assert_eq!(ended, ["failed", "success", "success"]);
}

#[test]
fn a_signal_ends_all_of_it() {
    let (database, scene) = purses();
    let gate = Gate::shut(&database);
    let more = ["--workers", "1", "--where", Gate::FILTER];
    let mut running = scene.cli.spawn(scene.words(&["*"], &more));
    gate.wait_for_readers(1);
    running.signal(Signal::TERM);
    let outcome = running.wait().expect_code(143);
    gate.open();
    assert_eq!(
        told(&outcome),
        [is("public.purse", "failed"), is("public.vault", "failed")].into()
    );
    assert_eq!(statuses(&scene.cli), ["cancelled"]);
    assert!(scene.sets().is_empty());
    let left = names(&scene.dataset("public"));
    assert!(
        !left.contains("purse") && !left.contains("vault"),
        "{left:?}"
    );
    let sessions = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()
                    AND application_name LIKE 'ixtract/%'";
    until("nobody of ours is left", || {
        database.query_text(sessions).is_empty()
    });
}

#[test]
fn killed_in_the_middle_it_is_run_again() {
    let (database, scene) = purses();
    let gate = Gate::shut(&database);
    let more = ["--workers", "1", "--where", Gate::FILTER];
    let mut running = scene.cli.spawn(scene.words(&["*"], &more));
    gate.wait_for_readers(1);
    running.signal(Signal::KILL);
    running.wait();
    assert!(scene.sets().is_empty());
    gate.open();
    let outcome = scene.run(&["*"], &["--where", Gate::FILTER]).expect_code(0);
    assert_eq!(
        scene.sum("public/vault", 1) + scene.sum("public/purse", 1),
        400_000
    );
    assert_eq!(statuses(&scene.cli), ["crashed", "success", "success"]);
    let left: Vec<String> = names(&scene.dataset("public")).into_iter().collect();
    let ours: Vec<&String> = left
        .iter()
        .filter(|name| name.contains("staging"))
        .collect();
    assert!(ours.is_empty(), "{left:?}");
    assert_eq!(outcome.json()["status"], "success");
}

#[test]
fn whoever_waits_for_the_common_locks_ends_the_set() {
    let (database, scene) = purses();
    let gate = Gate::shut(&database);
    let more = [
        "--workers",
        "1",
        "--where",
        Gate::FILTER,
        "--max-blocking-s",
        "1",
    ];
    let running = scene.cli.spawn(scene.words(&["*"], &more));
    gate.wait_for_readers(1);
    // Of the table that is not read yet, too.
    let session = database.session();
    let waiting = std::thread::spawn(move || session.exec("ALTER TABLE vault ADD COLUMN more int"));
    wait_until_blocked(&database.session(), "ALTER TABLE vault");
    let outcome = running.wait().expect_code(75);
    assert!(outcome.stderr.contains("ALTER TABLE vault"), "{outcome:#?}");
    waiting.join().expect("the change is made");
    gate.open();
}

#[test]
fn a_lost_point_in_time_fails_what_was_not_read_and_nothing_else() {
    let (database, scene) = purses();
    let gate = Gate::shut(&database);
    let more = ["--workers", "1", "--where", Gate::FILTER];
    let running = scene.cli.spawn(scene.words(&["*"], &more));
    gate.wait_for_readers(1);
    let ended = database.query_text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE 'ixtract/%'
           AND state = 'idle in transaction' AND query LIKE '%pg_export_snapshot()%'",
    );
    assert_eq!(ended.len(), 1, "the one that holds the common snapshot");
    gate.open();
    let outcome = running.wait().expect_code(4);
    assert_eq!(
        told(&outcome),
        [is("public.purse", "success"), is("public.vault", "failed")].into()
    );
    assert!(outcome.stderr.contains("public.vault"), "{outcome:#?}");
    assert_eq!(scene.sum("public/purse", 1), 200_000);
    assert!(!scene.dataset("public/vault").exists());
}

#[test]
fn history_and_diff_know_the_set() {
    let (_database, scene) = purses();
    let outcome = scene.run(&["*"], &[]).expect_code(0);
    scene.run(&["*"], &[]).expect_code(0);
    let set = outcome.json()["set"].clone();
    let history = scene.cli.run(["history", "--json"]).expect_code(0).json();
    let runs = history["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 4);
    assert!(runs[..2].iter().all(|run| run["set"] == set));
    let id = |run: &Value| run["id"].as_str().expect("an id").to_owned();
    let of = |table: &str| -> Vec<String> {
        let runs = runs.iter().filter(|run| run["relation"] == table);
        runs.map(id).collect()
    };
    let pair = of("public.purse");
    let diff = scene.cli.run(["diff", &pair[0], &pair[1]]).expect_code(0);
    assert!(diff.stdout.contains("set"), "{}", diff.stdout);
    scene.cli.run(["explain", &pair[0]]).expect_code(0);
}

#[test]
fn plan_shows_every_plan() {
    let (_database, scene) = purses();
    let words = ["plan", "*", "--source", &scene.source];
    let json = scene
        .cli
        .run([&words[..], &["--json"]].concat())
        .expect_code(0)
        .json();
    let plans = json["plans"].as_array().expect("plans");
    let tables: Vec<&Value> = plans.iter().map(|plan| &plan["table"]).collect();
    assert_eq!(tables, ["public.purse", "public.vault"]);
    let shown = scene.cli.run(words).expect_code(0);
    assert!(
        shown.stdout.contains("Plan for 2 tables"),
        "{}",
        shown.stdout
    );
    scene
        .cli
        .run([&words[..], &["--out", "p.json"]].concat())
        .expect_code(64);
}

#[test]
fn sets_are_published_to_object_stores() {
    let (_database, scene) = purses();
    for bucket in Bucket::everywhere() {
        let cli = bucket.cli();
        let output = format!("{}/{OUTPUT}", bucket.url());
        let words = [
            "run",
            "*",
            "--source",
            &scene.source,
            "--json",
            "--output",
            &output,
        ];
        let outcome = cli.run(words).expect_code(0);
        let document = outcome.json();
        let expected = format!("{}/out/_sets/", bucket.url());
        let manifest = document["manifest"].as_str().expect("a manifest");
        assert!(manifest.starts_with(&expected), "{manifest}");
        let set = document["set"].as_str().expect("an id");
        let keys = bucket.keys();
        let key = keys
            .keys()
            .find(|key| key.ends_with(&format!("_sets/{set}.json")));
        assert!(key.is_some(), "{keys:?}");
        for table in document["tables"].as_array().expect("a list") {
            let dataset = table["dataset"].as_str().expect("a URL");
            cli.run(["verify", dataset]).expect_code(0);
        }
    }
}
