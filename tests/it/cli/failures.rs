//! Failures by their three lines and exit codes.

use std::net::TcpListener;

use super::{Failure, fails, orders};
use crate::extraction::Extraction;
use crate::gate::Gate;
use crate::ixtract::Cli;
use crate::servers::{Address, PrivatePostgres, postgres};

/// Runs and profiles as told.
#[track_caller]
fn run_fails(source: impl Into<String>, table: &str, code: i32, says: [&str; 3]) {
    let extraction = Extraction::new(source, table);
    let outcome = extraction.run(&["--connect-timeout-s", "5"]);
    fails(outcome, code, says);
    assert!(!extraction.dataset().exists());
    assert_eq!(extraction.beside(), [].into());
    for command in ["plan", "profile"] {
        let words = extraction.words(command, &["--connect-timeout-s", "5"]);
        fails(extraction.cli.run(words), code, says);
    }
}

#[test]
fn a_wrong_host() {
    run_fails(
        "postgresql://me@no-such-host.invalid/shop",
        "orders",
        69,
        ["no-such-host.invalid", "", "host"],
    );
}

#[test]
fn a_wrong_port() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    run_fails(
        format!("postgresql://me@127.0.0.1:{port}/shop"),
        "orders",
        69,
        [&format!("127.0.0.1:{port}"), "refused", "port"],
    );
}

#[test]
fn somebody_else_at_the_port() {
    // Accepts and says nothing that PostgreSQL would say.
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            use std::io::Write;
            (&client)
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .ok();
        }
    });
    run_fails(
        format!("postgresql://me:pw@127.0.0.1:{port}/shop"),
        "orders",
        69,
        [&format!("127.0.0.1:{port}"), "", ""],
    );
}

#[test]
fn a_wrong_password_or_user() {
    let database = postgres().fresh_database();
    for (user, password) in [("postgres", "wrong-one"), ("nobody", "wrong-one")] {
        let address = Address {
            user: user.to_owned(),
            password: password.to_owned(),
            ..database.address().clone()
        };
        let why = format!("password authentication failed for user \"{user}\"");
        run_fails(
            address.to_string(),
            "t",
            77,
            ["log in", &why, "IXTRACT_PASSWORD"],
        );
    }
}

#[test]
fn no_password_at_all() {
    let mut address = postgres().address().clone();
    address.password.clear();
    let url = address.to_string().replace(":@", "@");
    run_fails(url, "t", 77, ["postgres", "password", "IXTRACT_PASSWORD"]);
}

#[test]
fn a_wrong_database() {
    let address = Address {
        database: "no_such_database".to_owned(),
        ..postgres().address().clone()
    };
    run_fails(
        address.to_string(),
        "t",
        69,
        [
            "no database 'no_such_database'",
            "does not exist",
            "--database",
        ],
    );
}

#[test]
fn a_wrong_table_names_the_nearest() {
    let (database, _) = orders();
    database.exec("CREATE TABLE customers (id int); CREATE SCHEMA old; CREATE TABLE old.things ()");
    for (typed, nearest) in [
        ("public.oders", "public.orders"),
        ("order", "public.orders"),
        ("pubic.orders", "public.orders"),
        ("custommers", "public.customers"),
    ] {
        run_fails(database.url(), typed, 64, [typed, nearest, nearest]);
    }
    run_fails(database.url(), "xyzzy", 64, ["xyzzy", "no table", "check"]);
}

#[test]
fn a_wrong_column_names_the_nearest() {
    let (_database, extraction) = orders();
    let outcome = extraction.run(&["--columns", "id,custommer"]);
    fails(outcome, 64, ["custommer", "customer", ""]);
}

#[test]
fn a_wrong_filter_has_the_servers_words() {
    let (_database, extraction) = orders();
    let failure = fails(
        extraction.run(&["--where", "no_such_column > 1"]),
        1,
        ["public.orders", "no_such_column", ""],
    );
    assert!(failure.why.contains("does not exist"), "{}", failure.why);
    assert!(!extraction.dataset().exists());
    // One that would be more than a filter.
    for filter in [
        "true) TO STDOUT; DROP TABLE orders; --",
        "true; DROP TABLE orders",
    ] {
        extraction.run(&["--where", filter]).expect_code(1);
    }
    extraction.run(&[]).expect_code(0);
    assert_eq!(extraction.count(), 10);
}

#[test]
fn a_sqlite_file_that_is_none() {
    let cli = Cli::new();
    let home = cli.home().to_owned();
    std::fs::write(
        home.join("notes.txt"),
        "not a database, but longer than a header".repeat(9),
    )
    .expect("a file");
    std::fs::write(home.join("empty.db"), "").expect("a file");
    let cases = [
        (
            "sqlite:notes.txt",
            1,
            ["notes.txt", "not a database", "SQLite"],
        ),
        ("sqlite:nowhere.db", 69, ["nowhere.db", "", ""]),
        ("sqlite:nowhere/some.db", 69, ["some.db", "", ""]),
        ("sqlite:.", 1, ["", "", ""]),
        ("sqlite:empty.db", 64, ["there is no table", "", ""]),
    ];
    for (source, code, says) in cases {
        let outcome = cli.run(["run", "t", "--source", source]);
        fails(outcome, code, says);
    }
    assert!(!home.join("nowhere.db").exists(), "reading creates nothing");
}

#[test]
fn a_server_that_is_shut_down_in_mid_run() {
    let server = PrivatePostgres::start("");
    let database = server.fresh_database();
    database.exec(
        "CREATE TABLE t (id bigint PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 5000)",
    );
    let extraction = Extraction::new(database.url(), "t");
    extraction.run(&[]).expect_code(0);
    let gate = Gate::shut(&database);
    let options = [
        "--workers",
        "2",
        "--chunk-rows",
        "1000",
        "--where",
        Gate::FILTER,
    ];
    let running = extraction.spawn(&options);
    gate.wait_for_readers(2);
    server.stop();
    let outcome = running.wait().expect_code(69);
    let failure = Failure::of(&outcome);
    let said = format!("{} {}", failure.what, failure.why);
    assert!(said.contains("lost"), "{outcome:#?}");
    assert_eq!(
        extraction.rows().len(),
        5000,
        "the old version is untouched"
    );
    assert_eq!(extraction.beside(), [].into());
    assert_eq!(extraction.statuses(), ["success", "failed"]);
    server.start_again();
}

#[test]
fn bad_flags() {
    let (_database, extraction) = orders();
    let cases: [(&[&str], &str); 12] = [
        (&["--wrokers", "4"], "--workers"),
        (&["--workers", "0"], "0"),
        (&["--workers", "many"], "many"),
        (&["--workers", "65"], "64"),
        (&["--chunk-rows", "0"], "0"),
        (&["--chunking", "sideways"], "ctid"),
        (&["--consistency", "none"], "per-chunk"),
        (&["--compression", "zstd:99"], "zstd"),
        (&["--format", "avro"], "parquet"),
        (&["--output", "ftp://host/x"], "s3://"),
        (
            &["--columns", "id", "--exclude-columns", "total"],
            "--columns",
        ),
        (&["--param", "a=1"], "--where"),
    ];
    for (flags, says) in cases {
        let outcome = extraction
            .cli
            .run(extraction.words("run", flags))
            .expect_code(64);
        assert!(outcome.stderr.contains(says), "{flags:?}: {outcome:#?}");
        assert_eq!(outcome.stdout, "", "{flags:?}");
        // clap's refusals are told as every other.
        assert_eq!(outcome.stderr.lines().count(), 3, "{flags:?}: {outcome:#?}");
        Failure::of(&outcome).assert_says("", "", "");
    }
    for words in [
        &[][..],
        &["run"],
        &["nonsense"],
        &["verify"],
        &["run", "a", "b"],
    ] {
        let outcome = Cli::new().run(words).expect_code(64);
        assert_eq!(outcome.stdout, "", "{words:?}");
    }
}

#[test]
fn sources_that_this_version_does_not_read() {
    for source in [
        "db2://me@localhost/shop",
        "oracle://me@localhost/shop",
        "shop.db",
        "",
    ] {
        let outcome = Cli::new().run(["run", "t", "--source", source]);
        fails(outcome, 64, ["", "", "postgresql"]);
    }
    // And none at all.
    fails(Cli::new().run(["run", "t"]), 64, ["", "", "--source"]);
}

#[test]
fn a_missing_parameter() {
    let (_database, extraction) = orders();
    let filter = [
        "--where",
        "customer = '{who}' AND id > {above}",
        "--param",
        "above=0",
    ];
    fails(
        extraction.run(&filter),
        64,
        ["{who}", "above", "--param who="],
    );
    let filled = ["--where", "customer = '{who}'", "--param", "who=c3"];
    extraction.run(&filled).expect_code(0);
    assert_eq!(extraction.count(), 1);
}

/// Runs the program with a standard output that takes nothing.
fn untold(cli: Cli) -> Cli {
    cli.through(&["sh", "-c", "exec \"$@\" > /dev/full", "sh"])
}

#[test]
fn a_run_whose_summary_cannot_be_written_has_published_all_the_same() {
    let (_database, mut extraction) = orders();
    extraction.cli = untold(extraction.cli);
    for flags in [&[][..], &["--json"]] {
        let outcome = extraction.run(flags).expect_code(0);
        assert!(
            outcome
                .stderr
                .contains("warning: the dataset is published, but its summary"),
            "{outcome:#?}"
        );
    }
    assert_eq!(extraction.manifest()["rows"], 10);
    // What was only to be told is not told.
    let outcome = extraction.cli.run(extraction.words("plan", &[]));
    let outcome = outcome.expect_code(73);
    assert!(outcome.stderr.contains("standard output"), "{outcome:#?}");
}
