//! Ways to a server: encrypted and verified, by option file and variable, and what is wrong with them.

use std::fs;

use crate::extraction::Extraction;
use crate::ixtract::Cli;
use crate::servers::mysql::{MysqlDatabase, mariadb};
use crate::setting;

fn scene() -> MysqlDatabase {
    let database = mariadb().fresh_database();
    database.exec("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2), (3)");
    database
}

#[track_caller]
fn expect_read(cli: Cli, source: &str, flags: &[&str]) {
    let extraction = Extraction::new(source, "t").by(cli);
    extraction.run(flags).expect_code(0);
    assert_eq!(extraction.rows().len(), 3, "{flags:?}");
}

#[test]
fn the_server_is_verified_as_far_as_was_asked_for() {
    let database = scene();
    let (ca, other) = (setting("IXTRACT_TEST_CA"), setting("IXTRACT_TEST_OTHER_CA"));
    let named = database.url();
    let numbered = named.replace("@localhost:", "@127.0.0.1:");
    let good: [(&str, &[&str]); 5] = [
        (&named, &["--tls", "verify-full", "--tls-ca", &ca]),
        (&numbered, &["--tls", "verify-ca", "--tls-ca", &ca]),
        (&numbered, &["--tls", "require"]),
        (&numbered, &["--tls", "prefer"]),
        (&named, &["--tls", "disable"]),
    ];
    for (source, flags) in good {
        expect_read(Cli::new(), source, flags);
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
            "not valid for name",
        ),
    ];
    for (source, flags, part) in bad {
        let refused = Extraction::new(source, "t").run(flags).expect_code(69);
        assert!(refused.stderr.contains(part), "{flags:?}: {refused:#?}");
    }
}

#[test]
fn a_user_who_must_encrypt_is_read_encrypted() {
    let database = scene();
    let user = database.limited_user();
    database.exec(&format!(
        "GRANT SELECT ON {}.* TO '{user}'@'127.0.0.1'; ALTER USER '{user}'@'127.0.0.1' REQUIRE SSL",
        database.name(),
        user = user.user
    ));
    // On this machine encryption is preferred where nothing is said.
    expect_read(Cli::new(), &user.to_string(), &[]);
    let plain = Extraction::new(user.to_string(), "t");
    plain.run(&["--tls", "disable"]).expect_code(77);
    database.exec(&format!(
        "ALTER USER '{}'@'127.0.0.1' REQUIRE X509",
        user.user
    ));
    let ca = setting("IXTRACT_TEST_CA");
    let (certificate, key) = (
        ca.replace("ca.crt", "client.crt"),
        ca.replace("ca.crt", "client.key"),
    );
    let own = [
        "--tls",
        "verify-full",
        "--tls-ca",
        &ca,
        "--tls-cert",
        &certificate,
        "--tls-key",
        &key,
    ];
    expect_read(Cli::new(), &user.to_string(), &own);
    plain.run(&own[..4]).expect_code(77);
}

#[test]
fn flags_option_file_and_variables_say_the_same() {
    let database = scene();
    let address = database.address();
    let port = address.port.to_string();
    let cli = Cli::new();
    fs::write(
        cli.home().join(".my.cnf"),
        format!(
            "[client]\nuser = {}\npassword = \"{}\"\nport = {port}\n[mysqldump]\nuser = nobody\n",
            address.user, address.password
        ),
    )
    .expect("a file");
    expect_read(cli, &format!("mysql://localhost/{}", database.name()), &[]);

    let url = format!(
        "mysql://{}@localhost:{port}/{}",
        address.user,
        database.name()
    );
    expect_read(Cli::new().env("MYSQL_PWD", &address.password), &url, &[]);
    let wrong = Cli::new().env("MYSQL_PWD", "wrong");
    let refused = Extraction::new(&url, "t")
        .by(wrong)
        .run(&[])
        .expect_code(77);
    for part in ["error 1045", "MYSQL_PWD, ~/.my.cnf"] {
        assert!(refused.stderr.contains(part), "{part}: {refused:#?}");
    }

    let cli = Cli::new().env("IXTRACT_PASSWORD", &address.password);
    let parts = [
        "profile",
        "t",
        "--source-type",
        "mysql",
        "--host",
        "localhost",
        "--port",
        &port,
        "--database",
        database.name(),
        "--user",
        &address.user,
    ];
    let profile = cli.run(parts).expect_code(0);
    assert!(profile.stdout.contains("MariaDB"), "{profile:#?}");
}

#[test]
fn a_socket_is_as_good_as_a_port() {
    let database = scene();
    let sockets = database.query_text("SELECT @@socket");
    let socket = sockets[0][0].as_deref().expect("a socket");
    let (user, name) = (&database.address().user, database.name());
    let password = &database.address().password;
    let url = format!("mysql://{user}@/{name}?socket={socket}");
    let cli = || Cli::new().env("MYSQL_PWD", password);
    expect_read(cli(), &url, &[]);
    let nowhere = url.replace("/socket", "/no-socket");
    let refused = Extraction::new(nowhere, "t").by(cli()).run(&[]);
    let refused = refused.expect_code(69);
    assert!(refused.stderr.contains("no-socket"), "{refused:#?}");
}

#[test]
fn what_is_wrong_with_the_address_is_said() {
    let database = scene();
    let nowhere = database.url().replace(database.name(), "no_such_database");
    let missing = Extraction::new(nowhere, "t").run(&[]).expect_code(69);
    assert!(missing.stderr.contains("no_such_database"), "{missing:#?}");
    let closed = Extraction::new("mysql://u@127.0.0.1:1/d", "t")
        .run(&[])
        .expect_code(69);
    assert!(closed.stderr.contains("127.0.0.1:1"), "{closed:#?}");
    let none = Extraction::new("mysql://u@127.0.0.1", "t")
        .run(&[])
        .expect_code(64);
    assert!(none.stderr.contains("--database"), "{none:#?}");
    // The backticks are the server's own quotes.
    let extraction = Extraction::new(database.url(), &format!("`{}`.`t`", database.name()));
    extraction.run(&[]).expect_code(0);
    let typo = Extraction::new(database.url(), "tt")
        .run(&[])
        .expect_code(64);
    assert!(typo.stderr.contains("did you mean"), "{typo:#?}");
}
