//! Ways to a server: encrypted and verified, by certificate, socket, service and pooler, and to a
//! server that has hardly any connection left.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::cli::fails;
use crate::extraction::{Extraction, sort_key};
use crate::ixtract::Cli;
use crate::servers::{Address, Database, Pooler, Postgres, PrivatePostgres, Session, postgres};
use crate::setting;

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text);
    INSERT INTO t SELECT i, 'v' || i FROM generate_series(1, 60) AS i; ANALYZE t";

const CHUNKS: [&str; 4] = ["--workers", "3", "--chunk-rows", "7"];

/// Extracts `t` by this source and these flags, and compares.
#[track_caller]
fn expect_read(cli: Cli, database: &Database, source: &str, flags: &[&str]) -> Extraction {
    let extraction = Extraction::new(source, "t").by(cli);
    extraction.run(&[&CHUNKS, flags].concat()).expect_code(0);
    let mut expected = database.query_text("SELECT * FROM t");
    expected.sort_by_cached_key(sort_key);
    assert_eq!(extraction.rows(), expected, "{flags:?}");
    extraction
}

#[test]
fn every_version_is_verified_as_far_as_was_asked_for() {
    let (ca, other) = (setting("IXTRACT_TEST_CA"), setting("IXTRACT_TEST_OTHER_CA"));
    for server in Postgres::versions() {
        let database = server.fresh_database();
        database.exec(TABLE);
        let (named, numbered) = (
            database.url(),
            database.url().replace("@localhost:", "@127.0.0.1:"),
        );
        let good: [(&str, &[&str]); 4] = [
            (&named, &["--tls", "verify-full", "--tls-ca", &ca]),
            (&numbered, &["--tls", "verify-ca", "--tls-ca", &ca]),
            (&numbered, &["--tls", "require"]),
            (&named, &["--tls", "disable"]),
        ];
        for (source, flags) in good {
            expect_read(Cli::new(), &database, source, flags);
        }
        let bad: [(&str, &[&str], &str); 4] = [
            (
                &named,
                &["--tls", "verify-full", "--tls-ca", &other],
                "not trusted",
            ),
            (
                &named,
                &["--tls", "verify-ca", "--tls-ca", &other],
                "not trusted",
            ),
            (&named, &["--tls", "verify-full"], "not trusted"),
            (
                &numbered,
                &["--tls", "verify-full", "--tls-ca", &ca],
                "127.0.0.1",
            ),
        ];
        for (source, flags, why) in bad {
            let extraction = Extraction::new(source, "t");
            fails(extraction.run(flags), 69, ["", why, "--tls-ca"]);
        }
        let wrong = named.replace(&database.address().password, "wrong");
        fails(
            Extraction::new(wrong, "t").run(&[]),
            77,
            ["postgres", "password", ""],
        );
    }
}

#[test]
fn certificates_and_sockets_of_a_server_of_its_own() {
    let server = PrivatePostgres::start("");
    let database = server.fresh_database();
    database.exec(TABLE);
    database.exec(
        "CREATE ROLE cert_only LOGIN; CREATE ROLE tls_only LOGIN PASSWORD 'tls';
         GRANT SELECT ON t TO cert_only, tls_only",
    );
    let ca = setting("IXTRACT_TEST_CA");
    let (certificate, key) = (
        ca.replace("ca.crt", "client.crt"),
        ca.replace("ca.crt", "client.key"),
    );
    let as_role = |user: &str, password: &str| Address {
        user: user.to_owned(),
        password: password.to_owned(),
        ..database.address().clone()
    };
    let full = ["--tls", "verify-full", "--tls-ca", &ca];

    let by_certificate = as_role("cert_only", "").to_string().replace(":@", "@");
    let flags = [&full[..], &["--tls-cert", &certificate, "--tls-key", &key]].concat();
    expect_read(Cli::new(), &database, &by_certificate, &flags);
    let outcome = Extraction::new(&by_certificate, "t").run(&full);
    fails(outcome, 77, ["cert_only", "certificate", ""]);

    let encrypted = as_role("tls_only", "tls").to_string();
    expect_read(Cli::new(), &database, &encrypted, &full);
    // What prefer is: encrypted where it can be.
    expect_read(Cli::new(), &database, &encrypted, &[]);
    let outcome = Extraction::new(&encrypted, "t").run(&["--tls", "disable"]);
    fails(outcome, 77, ["tls_only", "", ""]);

    let Address {
        port,
        user,
        password,
        ..
    } = database.address();
    let directory = database.query_text("SHOW unix_socket_directories")[0][0].clone();
    let directory = directory.expect("a directory");
    let socket = format!(
        "postgresql://{user}@/{}?host={directory}&port={port}",
        database.name()
    );
    expect_read(
        Cli::new().env("PGPASSWORD", password),
        &database,
        &socket,
        &[],
    );
    let parts = [
        ("PGHOST", directory),
        ("PGPORT", port.to_string()),
        ("PGUSER", user.clone()),
    ];
    let cli = parts
        .into_iter()
        .fold(Cli::new(), |cli, (name, value)| cli.env(name, value));
    let cli = cli
        .env("PGDATABASE", database.name())
        .env("PGPASSWORD", password);
    cli.run(["run", "t"]).expect_code(0);
}

#[test]
fn services_and_password_files_are_libpqs() {
    let database = postgres().fresh_database();
    database.exec(TABLE);
    let Address {
        host,
        port,
        user,
        password,
        ..
    } = database.address();
    let cli = Cli::new()
        .env("PGSERVICE", "shop")
        .env("PGSSLROOTCERT", setting("IXTRACT_TEST_CA"));
    let service = format!(
        "# services\n[other]\nhost=nowhere\n\n[shop]\nhost={host}\nport={port}\ndbname={}\n\
         user={user}\nsslmode=verify-full\n",
        database.name()
    );
    fs::write(cli.home().join(".pg_service.conf"), service).expect("a service file");
    let lines = format!("nowhere:*:*:*:wrong\n{host}:{port}:*:{user}:{password}\n");
    let file = cli.home().join(".pgpass");
    fs::write(&file, lines).expect("a password file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("permissions");
    cli.run(["run", "t", "--output", "out"]).expect_code(0);
    cli.run(["verify", "out"]).expect_code(0);
    let cli = cli.unset("PGSERVICE").env("PGSERVICE", "missing");
    cli.run(["run", "t", "--output", "out"]).expect_code(78);
}

#[test]
fn a_password_command_runs_again_for_each_connection() {
    let database = postgres().fresh_database();
    database.exec(TABLE);
    let Address { user, password, .. } = database.address();
    let bare = database
        .url()
        .replace(&format!("{user}:{password}@"), &format!("{user}@"));
    let command = format!("echo called >> calls; echo '{password}'");
    let extraction = expect_read(
        Cli::new(),
        &database,
        &bare,
        &["--password-command", &command],
    );
    let calls = fs::read_to_string(extraction.cli.home().join("calls")).expect("calls");
    // The source's own, the coordinator's, and one for each worker that was needed.
    assert!((3..=5).contains(&calls.lines().count()), "{calls}");
}

#[test]
fn a_pooler_in_transaction_mode_hands_on_one_snapshot() {
    let database = postgres().fresh_database();
    database.exec(TABLE);
    database.exec("CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE m (id int, m mood); INSERT INTO m VALUES (1, 'ok')");
    let pooler = Pooler::of(database.address(), 10);
    let url = pooler.address().to_string();
    for flags in [&[][..], &["--where", "id > 0"], &["--chunking", "ctid"]] {
        let extraction = expect_read(Cli::new(), &database, &url, flags);
        assert_eq!(
            extraction.manifest()["consistency"]["level"],
            "shared-snapshot"
        );
    }
    let outcome = Extraction::new(&url, "m").run(&["--json"]).expect_code(0);
    assert_eq!(outcome.json()["rows"], 1);
    let query = Extraction::of_query(&url, "SELECT t.id, m.m FROM t JOIN m USING (id)", "q");
    for _ in 0..3 {
        query.run(&[]).expect_code(0);
        assert_eq!(query.count(), 1);
    }
    // A start-up parameter that no pooler knows is left out.
    let cli = Cli::new().env("PGOPTIONS", "-c geqo=off");
    expect_read(cli, &database, &url, &[]);
    // What we pinned is not handed on to whoever comes next.
    let next = Session::open(pooler.address());
    assert_ne!(
        next.query_text("SHOW search_path")[0][0].as_deref(),
        Some("pg_catalog")
    );
}

#[test]
fn a_pooler_with_fewer_sessions_than_planned_is_enough() {
    let database = postgres().fresh_database();
    database.exec(TABLE);
    let pooler = Pooler::of(database.address(), 3);
    let extraction = expect_read(Cli::new(), &database, &pooler.address().to_string(), &[]);
    let readers = extraction.manifest()["consistency"]["readers"].as_u64();
    assert!(
        readers.is_some_and(|readers| (1..=2).contains(&readers)),
        "{readers:?}"
    );
}

#[test]
fn a_server_that_is_nearly_full_is_read_by_fewer() {
    let server = PrivatePostgres::start("max_connections = 10");
    let database = server.fresh_database();
    database.exec(TABLE);
    let role = database.limited_role();
    database.exec(&format!("GRANT SELECT ON t TO {}", role.user));
    let extraction = Extraction::new(role.to_string(), "t");
    let plan = [&CHUNKS[..], &["--out", "p.json"]].concat();
    extraction
        .cli
        .run(extraction.words("plan", &plan))
        .expect_code(0);
    // Seven are for everybody: the rest of them stays for the source, the coordinator and a worker.
    let held: Vec<Session> = (0..4).map(|_| Session::open(&role)).collect();
    let url = role.to_string();
    let words = [
        "run", "--plan", "p.json", "--source", &url, "--output", "out",
    ];
    extraction.cli.run(words).expect_code(0);
    drop(held);
    assert_eq!(extraction.count(), 60);
    let manifest = extraction.manifest();
    assert_eq!(manifest["consistency"]["readers"], 1);
    assert!(
        !manifest["adaptations"]
            .as_array()
            .expect("a list")
            .is_empty()
    );
}
