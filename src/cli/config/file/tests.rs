//! Files that are right, and everything that may be wrong with one.

use std::path::PathBuf;

use clap::CommandFactory;

use super::*;
use crate::cli::args::Cli;

fn of(text: &str) -> Result<File, Failure> {
    let mut command = Cli::command();
    command.build();
    let keys = Keys::of(command.find_subcommand("run").expect("run"));
    let found = Found {
        path: PathBuf::from("conf/ixtract.toml"),
        text: text.to_owned(),
    };
    read(&found, &keys)
}

fn words(setting: &Setting) -> Vec<&str> {
    match &setting.value {
        Value::Switch(_) => Vec::new(),
        Value::Words(words) => words.iter().map(|word| word.text.as_str()).collect(),
    }
}

const WHOLE: &str = r#"
[defaults]
source = "shop"
output = "lake/{table}"
max_workers = 4
no_explore = true
max_memory_mb = 512.5

[sources.shop]
url = "postgresql://etl@db.example.com/shop"
password_env = "SHOP_PASSWORD"

[sources.file]
type = "sqlite"
database = "shop.db"

[tables."public.orders"]
columns = ["id", "a,b"]
on_unrepresentable = "null"
param.day = 2026-01-31
param.n = 0x10

[tables."public.orders".type]
total = "decimal(38,9)"

[tables.big]
query = "SELECT 1"

[profiles.prod]
max_workers = 8
[profiles.prod.sources.shop]
password_file = "/run/secrets/shop"
"#;

#[test]
fn every_kind_of_value_becomes_its_flags_words() {
    let file = of(WHOLE).expect("right");
    let defaults = &file.base.defaults;
    assert_eq!(defaults["max_workers"].line, 5);
    assert_eq!(words(&defaults["max_workers"]), ["4"]);
    assert_eq!(words(&defaults["output"]), ["conf/lake/{table}"]);
    assert_eq!(defaults["no_explore"].value, Value::Switch(true));
    assert_eq!(words(&defaults["max_memory_mb"]), ["512.5"]);
    let source = &file.base.sources["file"];
    assert_eq!(words(&source["database"]), ["conf/shop.db"]);
    let names: Vec<&str> = file
        .base
        .tables
        .iter()
        .map(|table| table.name.as_str())
        .collect();
    assert_eq!(names, ["public.orders", "big"]);
    let orders = &file.base.tables[0].values;
    assert_eq!(words(&orders["columns"]), ["id", "\"a,b\""]);
    assert_eq!(words(&orders["overrides"]), ["total=decimal(38,9)"]);
    assert_eq!(words(&orders["params"]), ["day=2026-01-31", "n=16"]);
    let prod = &file.profiles["prod"];
    assert_eq!(words(&prod.defaults["max_workers"]), ["8"]);
    assert_eq!(prod.sources["shop"]["password_file"].line, 32);
}

#[test]
fn tables_may_be_a_list() {
    let file = of("[[tables]]\ntable = \"b.c\"\nworkers = 2\n\n[[tables]]\ntable = \"a\"\n");
    let tables = file.expect("right").base.tables;
    assert_eq!((tables[0].name.as_str(), tables[0].line), ("b.c", 1));
    assert_eq!((tables[1].name.as_str(), tables[1].line), ("a", 5));
    assert_eq!(words(&tables[0].values["workers"]), ["2"]);
}

/// What is wrong, its line, and what is said of it.
const WRONG: &[(&str, usize, &str)] = &[
    ("[default]\n", 1, "did you mean defaults?"),
    ("workers = 2\n", 1, "it belongs into [defaults]"),
    ("[defaults]\nworkres = 2\n", 2, "did you mean workers?"),
    (
        "[defaults]\nmax-workers = 2\n",
        2,
        "did you mean max_workers, ",
    ),
    ("[defaults]\r\n\r\nworkers = 0\r\n", 3, "0 is not in 1..=64"),
    (
        "[defaults]\nworkers = \"2\"\n",
        2,
        "it takes a whole number, not text",
    ),
    (
        "[defaults]\nworkers = 99999999999999999999999\n",
        2,
        "number too large",
    ),
    (
        "[defaults]\nno_explore = 1\n",
        2,
        "it takes true or false, not a whole number",
    ),
    ("[defaults]\nwait = 90\n", 2, "it takes text in quotes"),
    (
        "[defaults]\nformat = \"csw\"\n",
        2,
        "formats are parquet and csv",
    ),
    (
        "[defaults]\nproof = \"all\"\n",
        2,
        "known are full, count, stream",
    ),
    (
        "[defaults]\nhost = \"h\"\n",
        2,
        "it belongs into [sources.NAME]",
    ),
    ("[defaults]\nforce = true\n", 2, "nobody agrees in advance"),
    ("[defaults]\nplan = \"p.json\"\n", 2, "it is about one run"),
    (
        "[defaults]\nquery = \"SELECT 1\"\n",
        2,
        "it belongs into [tables.NAME]",
    ),
    (
        "[defaults]\ncolumns = [1]\n",
        2,
        "not one with a whole number",
    ),
    ("[defaults]\nstate = \"\"\n", 2, "it is empty"),
    ("[defaults]\nscope = \"a\\u0000b\"\n", 2, "a byte of zero"),
    (
        "[sources]\nshop = \"sqlite:x\"\n",
        2,
        "write [sources.NAME]",
    ),
    (
        "[sources.shop]\nurl = \"oracle://h/d\"\n",
        2,
        "no known kind of source",
    ),
    ("[sources.\"a:b\"]\nurl = \"sqlite:x\"\n", 1, "no colon"),
    ("[sources.a]\ntyp = \"sqlite\"\n", 2, "did you mean type?"),
    ("sources = 1\n", 1, "write [sources.NAME]"),
    ("tables = 1\n", 1, "write [tables."),
    ("[[tables]]\nworkers = 1\n", 1, "table = \"schema.name\""),
    (
        "[[tables]]\ntable = \"a\"\n[[tables]]\ntable = \"a\"\n",
        3,
        "the first is in line 1",
    ),
    ("[tables]\norders = 1\n", 2, "write [tables."),
    ("[profiles.p]\ntabels = 1\n", 2, "unknown in [profiles.p]"),
    ("[defaults]\nworkers = 1\nworkers = 2\n", 3, "duplicate key"),
    ("[defaults\n", 1, "not TOML"),
    ("a = \n", 1, "not TOML"),
    ("defaults = 3", 1, "write [defaults]"),
];

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (text, line, says) in WRONG {
        let failure = of(text).expect_err(text);
        assert_eq!(failure.exit, ExitCode::Config, "{failure}");
        let place = format!("conf/ixtract.toml:{line}: ");
        assert!(failure.what.starts_with(&place), "{text}: {failure}");
        assert!(failure.to_string().contains(says), "{text}: {failure}");
        assert_eq!(failure.to_string().lines().count(), 3, "{failure}");
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let failure = of("[defaults]\nworkres = 1\nkeep = -1\nformat = 2\n").expect_err("wrong");
    for says in ["ixtract.toml:2", "; line 3: keep", "; line 4: format"] {
        assert!(failure.to_string().contains(says), "{failure}");
    }
}

#[test]
fn no_secret_may_be_in_the_file_and_none_is_repeated() {
    for text in [
        "[sources.a]\npassword = \"hunter2\"\n",
        "[sources.a]\nurl = \"postgresql://u:hunter2@h/d\"\n",
        "[sources.a]\nurl = \"postgresql://h/d?password=hunter2\"\n",
        "[sources.a]\nurl = \"mysql://u:hunter2@h/d\"\n",
        "[sources.a]\nurl = \"sqlserver://u:hunter2@h/d\"\n",
        "[sources.a]\npassword_command = \"echo hunter2\"\n",
        "[defaults]\nsource = \"postgresql://u:hunter2@h/d\"\n",
        "[defaults]\nstore_endpoint = \"https://u:hunter2@h\"\n",
        "[tables.a]\nsource_password = \"hunter2\"\n",
        "password = \"hunter2\"\n",
        "[sources.a]\npassword = hunter2\n",
    ] {
        let failure = of(text).expect_err(text);
        assert_eq!(failure.exit, ExitCode::Config, "{failure}");
        assert!(!failure.to_string().contains("hunter2"), "{failure}");
    }
}

mod arbitrary {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in r#"([\[\]{}a-z_."'=0-9#\n\r, \\-]|defaults|sources|tables|profiles|workers|url){0,60}"#) {
            if let Err(failure) = of(&text) {
                prop_assert_eq!(failure.exit, ExitCode::Config);
                prop_assert!(failure.what.starts_with("conf/ixtract.toml:"));
            }
        }
    }
}
