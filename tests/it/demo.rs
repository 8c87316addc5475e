//! `ixtract demo` is a tour that works anywhere, with nothing but the program.

use rusqlite::Connection;

use crate::extraction::{names, state_file, statuses};
use crate::ixtract::Cli;
use crate::readers::{self, Engine};

#[test]
fn the_demo_extracts_its_own_database_and_is_remembered() {
    let cli = Cli::new();
    let outcome = cli.run(["demo"]).expect_code(0);
    let folder = cli.home().join("ixtract-demo");
    let made = names(cli.home());
    assert_eq!(
        made,
        [".local".to_owned(), "ixtract-demo".to_owned()].into()
    );

    let store = Connection::open(state_file(&cli)).expect("a state store");
    let orders: u32 = store
        .query_row(
            "SELECT count(*) FROM runs WHERE relation LIKE '%orders' AND status = 'success'",
            [],
            |row| row.get(0),
        )
        .expect("a table of runs");
    assert_eq!(orders, 3);
    assert!(statuses(&cli).iter().all(|status| status == "success"));
    let state = state_file(&cli).display().to_string();
    let shown = [
        &state,
        &state.replace(&cli.home().display().to_string(), "~"),
    ];
    assert!(
        shown.iter().any(|text| outcome.stdout.contains(*text)),
        "{outcome:#?}"
    );

    let mut datasets = Vec::new();
    find_datasets(&folder, &mut datasets);
    assert_eq!(
        datasets.len(),
        3,
        "orders, customers and events: {datasets:?}"
    );
    let mut rows = 0;
    for dataset in datasets {
        let path = dataset.to_str().expect("a plain name");
        cli.run(["verify", path]).expect_code(0);
        rows += readers::row_groups(&dataset)
            .iter()
            .map(|group| group.rows)
            .sum::<u64>();
        let columns = readers::schema(Engine::DuckDb, &dataset);
        assert!(columns.len() > 2, "{columns:?}");
    }
    assert!(rows >= 200_000, "a few hundred thousand rows, not {rows}");
}

fn find_datasets(directory: &std::path::Path, found: &mut Vec<std::path::PathBuf>) {
    if directory.join("_manifest.json").is_file() {
        found.push(directory.to_owned());
        return;
    }
    for name in names(directory) {
        let path = directory.join(name);
        if path.is_dir() {
            find_datasets(&path, found);
        }
    }
}

#[test]
fn the_demo_can_be_repeated_but_takes_no_folder_of_others() {
    let cli = Cli::new();
    cli.run(["demo", "--dir", "tour"]).expect_code(0);
    cli.run(["demo", "--dir", "tour"]).expect_code(0);
    let mine = cli.home().join("mine");
    std::fs::create_dir(&mine).expect("a directory");
    std::fs::write(mine.join("thesis.tex"), "years of work").expect("a file");
    cli.run(["demo", "--dir", "mine"]).expect_code(73);
    assert_eq!(names(&mine), ["thesis.tex".to_owned()].into());
}
