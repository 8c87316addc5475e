//! `ixtract.toml`, as the real program finds it, takes it, shows it, and refuses it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use serde_json::Value;

use crate::cli::fails;
use crate::ixtract::Cli;
use crate::readers::{self, Engine};
use crate::servers::postgres;

/// A program whose home has a SQLite database of two tables and this file beside it.
fn program(text: &str) -> Cli {
    let cli = Cli::new();
    rusqlite::Connection::open(cli.home().join("shop.db"))
        .and_then(|database| {
            database.execute_batch(
                "CREATE TABLE orders (id INTEGER PRIMARY KEY, day TEXT, total INTEGER);
                 INSERT INTO orders VALUES (1, 'a', 10), (2, 'b', 20), (3, 'b', 30);
                 CREATE TABLE customers (id INTEGER PRIMARY KEY);
                 INSERT INTO customers VALUES (7)",
            )
        })
        .expect("a database");
    write(&cli, "ixtract.toml", text);
    cli
}

fn write(cli: &Cli, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = cli.home().join(name);
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(&path, text).expect("written");
    path
}

/// The row of a key.
fn row(document: &Value, key: &str) -> Value {
    let values = document["values"].as_array().expect("values");
    let found = values.iter().find(|value| value["key"] == key);
    found
        .unwrap_or_else(|| panic!("no {key}: {document:#}"))
        .clone()
}

const SHOP: &str = "\
[defaults]
source = \"shop\"
output = \"lake/{table}\"

[sources.shop]
url = \"sqlite:shop.db\"

[tables.\"main.orders\"]
columns = [\"id\", \"total\"]
where = \"day = '{day}'\"
param.day = \"b\"
format = \"csv\"

[profiles.test]
output = \"test/{table}\"
";

#[test]
fn a_table_is_run_with_its_own_options() {
    let cli = program(SHOP);
    let done = cli.run(["run", "orders", "--json"]).expect_code(0).json();
    assert_eq!(done["rows"], 2);
    let files = cli.run(["files", "lake/orders"]).expect_code(0).stdout;
    let text = fs::read_to_string(cli.home().join(files.trim())).expect("a file");
    assert_eq!(text, "id,total\n2,20\n3,30\n");
    // A flag wins, for its own name only.
    let words = [
        "run", "orders", "--json", "--param", "day=a", "--format", "parquet",
    ];
    let done = cli.run(words).expect_code(0).json();
    assert_eq!(done["rows"], 1);
    let rows = readers::rows(Engine::DuckDb, &cli.home().join("lake/orders"), &["id"]);
    assert_eq!(rows.len(), 1);
    // The profile's place, whatever the file says; and another table without options.
    cli.run(["run", "customers", "--profile", "test"])
        .expect_code(0);
    assert!(cli.home().join("test/customers/_manifest.json").is_file());
    // The only table of the file needs no name.
    let done = cli
        .run(["run", "--json", "--profile=test"])
        .expect_code(0)
        .json();
    assert_eq!(done["rows"], 2);
}

#[test]
fn the_first_file_that_is_there_is_the_only_one() {
    let cli = program("[defaults]\nsource = \"sqlite:shop.db\"\nkeep = 1\n");
    write(
        &cli,
        ".config/ixtract/ixtract.toml",
        "[defaults]\nkeep = 2\nworkers = 2\n",
    );
    write(&cli, "xdg/ixtract/ixtract.toml", "[defaults]\nkeep = 3\n");
    write(
        &cli,
        "named/other.toml",
        "[defaults]\nkeep = 4\nstate = \"h.db\"\n",
    );
    let show = |cli: &Cli, words: &[&str]| {
        let words = [&["config", "show", "--json"], words].concat();
        cli.run(words).expect_code(0).json()
    };
    let here = show(&cli, &[]);
    assert_eq!(
        (&here["file"], &row(&here, "keep")["value"]),
        (&"ixtract.toml".into(), &"1".into())
    );
    assert_eq!(row(&here, "workers")["value"], Value::Null);
    let named = show(&cli, &["--config", "named/other.toml"]);
    assert_eq!(row(&named, "keep")["value"], "4");
    // Relative paths begin where the file is.
    assert_eq!(row(&named, "state")["value"], "named/h.db");
    let cli = cli.env("IXTRACT_CONFIG", "named/other.toml");
    assert_eq!(row(&show(&cli, &[]), "keep")["value"], "4");
    assert_eq!(
        row(&show(&cli, &["--no-config"]), "keep")["origin"],
        "default"
    );
    let cli = cli.unset("IXTRACT_CONFIG");
    fs::remove_file(cli.home().join("ixtract.toml")).expect("removed");
    assert_eq!(row(&show(&cli, &[]), "keep")["value"], "2");
    let xdg = cli.home().join("xdg").display().to_string();
    let cli = cli.env("XDG_CONFIG_HOME", xdg);
    assert_eq!(row(&show(&cli, &[]), "keep")["value"], "3");
}

#[test]
fn show_says_where_each_value_comes_from() {
    let text = "[defaults]\nsource = \"shop\"\nchunk_rows = 5\n\n[sources.shop]\n\
                url = \"postgresql://etl@db/shop\"\npassword_env = \"SHOP_PASSWORD\"\n\n\
                [profiles.prod]\nkeep = 2\n[tables.\"public.orders\"]\nworkers = 3\n";
    let cli = program(text)
        .env("IXTRACT_PROFILE", "prod")
        .env("PGPORT", "6543")
        .env("SHOP_PASSWORD", "hunter2")
        .env("AWS_REGION", "eu-west-1");
    let words = [
        "config",
        "show",
        "plan",
        "orders",
        "--max-workers",
        "5",
        "--json",
    ];
    let shown = cli.run(words).expect_code(0);
    let document = shown.json();
    assert_eq!(document["command"], "plan");
    assert_eq!(document["table"], "public.orders");
    assert_eq!(document["profile"], "prod");
    for (key, value, origin, line) in [
        ("max_workers", "5", "flag", None),
        ("workers", "3", "file", Some(12)),
        ("keep", "2", "file", Some(10)),
        ("chunk_rows", "5", "file", Some(3)),
        ("source", "postgresql://etl@db/shop", "file", Some(6)),
        ("password_env", "SHOP_PASSWORD", "file", Some(7)),
        ("min_workers", "1", "default", None),
        ("compression", "snappy", "default", None),
        ("port", "6543", "environment", None),
        ("store_region", "eu-west-1", "environment", None),
    ] {
        let row = row(&document, key);
        assert_eq!(
            (&row["value"], &row["origin"]),
            (&value.into(), &origin.into()),
            "{key}"
        );
        assert_eq!(row["line"].as_u64(), line, "{key}");
    }
    assert_eq!(row(&document, "port")["variable"], "PGPORT");
    assert!(!shown.stdout.contains("hunter2"));
    // For people.
    let shown = cli.run(["config", "show", "orders"]).expect_code(0).stdout;
    let line = |key: &str| {
        let found = shown
            .lines()
            .find(|line| line.trim_start().starts_with(key));
        found
            .unwrap_or_else(|| panic!("{shown}"))
            .split_whitespace()
            .collect::<Vec<_>>()
    };
    assert_eq!(line("workers"), ["workers", "3", "ixtract.toml:12"]);
    assert_eq!(
        line("store_region"),
        ["store_region", "eu-west-1", "AWS_REGION"]
    );
    // A variable of ours wins over the file, and a password in it is not shown.
    let cli = cli.env("IXTRACT_SOURCE", "postgresql://u:hunter2@h/d");
    let shown = cli.run(["config", "show", "--json"]).expect_code(0);
    let source = row(&shown.json(), "source");
    assert_eq!(source["variable"], "IXTRACT_SOURCE");
    assert_eq!(source["value"], "postgresql://u:…@h/d");
    assert_eq!(row(&shown.json(), "password_env")["value"], Value::Null);
}

#[test]
fn a_wrong_file_is_refused_by_line_and_costs_nothing_else() {
    for (text, says) in [
        (
            "[defaults]\nworkres = 2\n",
            ["ixtract.toml:2: the key 'workres'", "did you mean workers?"],
        ),
        (
            "[defaults]\nworkers = 65\n",
            ["ixtract.toml:2: workers", "65 is not in 1..=64"],
        ),
        (
            "[sources.a]\npassword = \"x\"\n",
            ["ixtract.toml:2: a secret", "password_env"],
        ),
        (
            "[defaults]\nkeep = 1\nkeep = 2\n",
            ["ixtract.toml:3", "duplicate key"],
        ),
        (
            "[tables.orders]\nformat = \"csv\"\nrow_group_rows = 5\n",
            ["--row-group-rows", "row_group_rows in ixtract.toml:3"],
        ),
        (
            "[defaults]\nmin_workers = 4\nmax_workers = 2\n",
            ["--min-workers", "min_workers in ixtract.toml:2"],
        ),
        (
            "[defaults]\nmax_memory_mb = -5\n",
            ["the hints", "max_memory_mb in ixtract.toml:2"],
        ),
        (
            "[tables.orders]\nwhere = \"a = {x}\"\n",
            ["--where", "where in ixtract.toml:2"],
        ),
    ] {
        let cli = program(text);
        let outcome = cli.run(["run", "orders", "--source", "sqlite:shop.db"]);
        fails(outcome, 78, [says[0], says[1], ""]);
        assert!(!cli.home().join("out").exists(), "{text}");
        // What reads no configuration does not mind.
        cli.run(["--help"]).expect_code(0);
        cli.run(["--version"]).expect_code(0);
    }
    let wrong = program("[defaults]\nworkres = 2\n");
    fails(
        wrong.run(["config", "show"]),
        78,
        ["ixtract.toml:2", "workers", "config show"],
    );
    fails(
        wrong.run(["history"]),
        78,
        ["ixtract.toml:2", "workers", ""],
    );
    let words = ["run", "orders", "--source", "sqlite:shop.db", "--no-config"];
    wrong.run(words).expect_code(0);
    let failure = wrong.run(["history", "--json"]).expect_code(78).json();
    assert!(
        failure["error"]["what"]
            .as_str()
            .is_some_and(|what| what.contains(":2")),
        "{failure}"
    );
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_wherever_it_was_found() {
    let cli = program("").without_privilege();
    let path = cli.home().join("ixtract.toml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).expect("closed");
    fails(
        cli.run(["history"]),
        78,
        ["ixtract.toml", "ermission denied", "--config"],
    );
    fs::remove_file(&path).expect("removed");
    fs::create_dir(&path).expect("a folder");
    fails(cli.run(["history"]), 78, ["ixtract.toml", "directory", ""]);
    fs::remove_dir(&path).expect("removed");
    fails(
        cli.run(["history", "--config", "none.toml"]),
        78,
        ["none.toml", "No such file", ""],
    );
    write(&cli, "ixtract.toml", b"[defaults]\nscope = \"\xff\"\n");
    fails(
        cli.run(["history"]),
        78,
        ["ixtract.toml", "line 2 is not UTF-8", ""],
    );
    // What editors elsewhere write is as good.
    write(
        &cli,
        "ixtract.toml",
        "\u{feff}[defaults]\r\nstate = \"mine.db\"\r\n",
    );
    fails(cli.run(["history"]), 64, ["mine.db", "", ""]);
}

#[test]
fn unknown_profiles_and_sources_are_named() {
    let cli = program(SHOP);
    fails(
        cli.run(["run", "orders", "--profile", "tes"]),
        64,
        ["profile 'tes'", "did you mean test?", ""],
    );
    fails(
        cli.run(["run", "orders", "--source", "shp"]),
        64,
        ["source 'shp'", "did you mean shop?", "--source"],
    );
    fails(
        cli.run(["run", "orders", "--no-config"]),
        64,
        ["no source", "", "ixtract.toml"],
    );
    let bare = Cli::new();
    fails(
        bare.run(["history", "--profile", "p"]),
        64,
        ["profile 'p'", "no ixtract.toml", "--config"],
    );
    fails(
        bare.run(["run", "t", "--source", "shop"]),
        64,
        ["'shop'", "", "ixtract.toml"],
    );
    fails(
        bare.run(["history", "--no-config", "--profile", "p"]),
        64,
        ["cannot be used with", "", ""],
    );
}

#[test]
fn passwords_come_from_where_the_file_says() {
    const PASSWORD: &str = "xX-s3cret-Xx";
    let database = postgres().fresh_database();
    database
        .exec("CREATE TABLE orders (id bigint PRIMARY KEY); INSERT INTO orders VALUES (1), (2)");
    let role = database.limited_role();
    database.exec(&format!(
        "GRANT SELECT ON orders TO {0}; ALTER ROLE {0} PASSWORD '{PASSWORD}'",
        role.user
    ));
    let source = |secret: &str| {
        format!(
            "[sources.shop]\ntype = \"postgresql\"\nhost = \"{}\"\nport = {}\ndatabase = \"{}\"\nuser = \"{}\"\n{secret}\n",
            role.host, role.port, role.database, role.user
        )
    };
    let words = ["run", "public.orders", "--source", "shop"];
    let cli = program(&source("password_env = \"SHOP_PASSWORD\""));
    let missing = cli.run(words);
    fails(
        missing,
        78,
        [
            "SHOP_PASSWORD",
            "it is not set; --password-env is password_env in ixtract.toml:7",
            "set SHOP_PASSWORD",
        ],
    );
    let cli = cli.env("SHOP_PASSWORD", PASSWORD);
    cli.run(words).expect_code(0);
    let cli = cli.env("SHOP_PASSWORD", "");
    fails(cli.run(words), 78, ["SHOP_PASSWORD", "it is empty", ""]);
    // The flag alone.
    let cli = cli.env("OTHER", PASSWORD);
    cli.run([&words[..], &["--password-env", "OTHER"]].concat())
        .expect_code(0);

    let cli = program(&source("password_file = \"secrets/shop\""));
    let path = write(&cli, "secrets/shop", format!("{PASSWORD}\n"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("open");
    let told = cli.run(words).expect_code(0).stderr;
    assert_eq!(
        told.matches("everybody on this machine may read").count(),
        1,
        "{told}"
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("closed");
    let told = cli.run(words).expect_code(0).stderr;
    assert!(!told.contains("everybody"), "{told}");
    write(&cli, "secrets/shop", "\n");
    let told = cli.run(words).stderr;
    assert!(
        told.contains("secrets/shop") && told.contains("empty"),
        "{told}"
    );
    fs::remove_file(&path).expect("removed");
    let told = cli.run(words).stderr;
    assert!(told.contains("No such file"), "{told}");
}

#[test]
fn somebody_elses_file_in_the_working_directory_does_not_count() {
    if !rustix::process::geteuid().is_root() {
        // Nobody else can give a file away.
        return assert!(program(SHOP).run(["config", "show"]).code == 0);
    }
    let cli = program(SHOP);
    let path = cli.home().join("ixtract.toml");
    std::os::unix::fs::chown(&path, Some(12_345), None).expect("given away");
    fails(
        cli.run(["config", "show"]),
        78,
        ["somebody else's", "12345", "--config ixtract.toml"],
    );
    cli.run(["config", "show", "--config", "ixtract.toml"])
        .expect_code(0);
}
