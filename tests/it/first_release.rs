//! Files that the first complete version wrote, opened by this one: `tests/data/first-release`, whose
//! README says how they were made. They never change.

use std::fs;
use std::path::{Path, PathBuf};

use ixtract::model::{Relation, RunId, Scope, Selection, SourceIdentity, SourceKind};
use ixtract::planner::{parse, verify};
use ixtract::state::Store;
use rusqlite::Connection;

use crate::ixtract::Cli;
use crate::published::Failure;
use crate::readers::{self, Engine};
use crate::servers::postgres;

/// The runs of the store, oldest first: of orders three times, of a table that failed, of PostgreSQL.
const RUNS: [&str; 6] = [
    "rx-20261124-111348-59866eeb",
    "rx-20261124-111348-0e0e67ff",
    "rx-20261124-111349-300cafdd",
    "rx-20261124-111350-515d2e12",
    "rx-20261124-111350-59a6c8e5",
    "rx-20261124-111351-7aef638e",
];

fn fixture(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/first-release");
    directory.join(name)
}

/// Copies a file or a directory into the user's home.
fn put(cli: &Cli, name: &str) -> PathBuf {
    fn copy(from: &Path, to: &Path) {
        if !from.is_dir() {
            fs::copy(from, to).expect("a copy");
            return;
        }
        fs::create_dir(to).expect("a directory");
        for entry in fs::read_dir(from).expect("a directory") {
            let entry = entry.expect("an entry");
            copy(&entry.path(), &to.join(entry.file_name()));
        }
    }
    let target = cli.home().join(name);
    copy(&fixture(name), &target);
    target
}

/// The SQLite database that the runs read, made again.
fn shop(cli: &Cli) -> String {
    let path = cli.home().join("shop.db");
    let database = Connection::open(&path).expect("a database");
    let sql = fs::read_to_string(fixture("shop.sql")).expect("statements");
    database.execute_batch(&sql).expect("tables");
    format!("sqlite:{}", path.display())
}

#[test]
fn its_history_is_read_and_gone_on_with() {
    let cli = Cli::new();
    let state = put(&cli, "state.db");
    let store = Store::open(&state).expect("an old store");
    for run in RUNS {
        let id = RunId::stored(run);
        let plan = store.plan(&id).expect("a readable plan").expect("a plan");
        assert!(!plan.spec.read.columns.is_empty(), "{run}");
        assert_eq!(store.find(run).expect("the run"), id);
    }
    let source = SourceIdentity {
        kind: SourceKind::Sqlite,
        host: String::new(),
        port: 0,
        database: "/srv/shop/shop.db".to_owned(),
        name: Some("shop".to_owned()),
    };
    let orders = Relation {
        schema: "main".to_owned(),
        name: "orders".to_owned(),
    };
    let scope = Scope::new(&source, &orders, &Selection::default(), None);
    assert_eq!(store.history(&scope, 10).expect("history").len(), 2);
    let (_, profile) = store.profile(&scope).expect("a profile").expect("one");
    assert_eq!(profile.table.columns.len(), 4);
    drop(store);
    let backup = cli.home().join("state.db.v1.bak");
    assert!(backup.exists(), "the old store is kept");

    // The same scope, by its key, of the same tables elsewhere.
    let state = state.display().to_string();
    let url = shop(&cli);
    let run = |more: &[&str]| {
        let place = ["run", "orders", "--source", &url, "--output", "out"];
        let history = [
            "--state",
            &state,
            "--state-required",
            "--scope",
            &scope.key,
            "--json",
        ];
        cli.run([&place[..], &history, more].concat())
            .expect_code(0)
            .json()
    };
    run(&[]);
    let store = Store::open(state.as_ref()).expect("the store");
    assert_eq!(store.history(&scope, 10).expect("history").len(), 3);
}

#[test]
fn its_plans_are_executed_or_clearly_refused() {
    let cli = Cli::new();
    let plan = put(&cli, "plan.json").display().to_string();
    let url = shop(&cli);
    let place = ["run", "--plan", &plan, "--source", &url, "--output", "out"];
    // That database was another file: the plan is whole, and for that one.
    let refused = cli.run([&place[..], &["--source-name", "shop"], &["--json"]].concat());
    let refused = Failure::of(&refused.expect_code(2)).text();
    assert!(refused.contains("/srv/shop/shop.db"), "{refused}");

    let server = postgres();
    let session = server.session();
    session.exec("DROP DATABASE IF EXISTS first_release_shop");
    session.exec("CREATE DATABASE first_release_shop");
    let address = crate::servers::Address {
        database: "first_release_shop".to_owned(),
        ..server.address().clone()
    };
    let sql = fs::read_to_string(fixture("shop.pg.sql")).expect("statements");
    crate::servers::Session::open(&address).exec(&sql);
    let plan = put(&cli, "plan.pg.json").display().to_string();
    let url = address.to_string();
    let place = [
        "run",
        "--plan",
        &plan,
        "--source",
        &url,
        "--source-name",
        "shop",
    ];
    let output = ["--output", "out", "--json"];
    let report = cli
        .run([&place[..], &output].concat())
        .expect_code(0)
        .json();
    let before: serde_json::Value =
        serde_json::from_slice(&fs::read(&plan).expect("the plan")).expect("JSON");
    assert_eq!(report["fingerprint"], before["fingerprint"], "{report}");
    let rows = readers::rows(Engine::Pyarrow, &cli.home().join("out"), &["id"]);
    assert_eq!(rows.len(), 1000);
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        rows[0],
        [text("3"), text("customer 1"), text("1.25"), text("happy")]
    );
    assert_eq!(
        rows[4],
        [text("15"), text("customer 5"), text("6.25"), None]
    );
    session.exec("DROP DATABASE first_release_shop WITH (FORCE)");
}

#[test]
fn its_plans_have_the_fingerprints_they_had() {
    for name in ["plan.json", "plan.pg.json"] {
        let text = fs::read_to_string(fixture(name)).expect("a plan");
        let plan = parse(&text).expect("a plan");
        verify(&plan).expect("an untouched plan");
    }
}

#[test]
fn its_datasets_are_verified_listed_and_replaced() {
    for (name, layout, files) in [("orders", "replace", 4), ("pg", "runs", 1)] {
        let cli = Cli::new();
        let dataset = put(&cli, name);
        cli.run(["verify", name]).expect_code(0);
        let listed = cli.run(["files", name]).expect_code(0).stdout;
        assert_eq!(listed.lines().count(), files, "{listed}");
        assert_eq!(readers::rows(Engine::DuckDb, &dataset, &["id"]).len(), 1000);

        let url = shop(&cli);
        let place = ["run", "orders", "--source", &url, "--output", name];
        cli.run([&place[..], &["--layout", layout]].concat())
            .expect_code(0);
        cli.run(["verify", name]).expect_code(0);
        assert_eq!(readers::rows(Engine::DuckDb, &dataset, &["id"]).len(), 1000);
        let after = cli.run(["files", name]).expect_code(0).stdout;
        assert!(!listed.lines().any(|old| after.contains(old)), "{after}");
    }
}
