//! Ways to a server: encrypted and verified, redirected, by flags and variables, and what is wrong with
//! them.

use crate::extraction::Extraction;
use crate::ixtract::Cli;
use crate::servers::sqlserver::{SqlAddress, SqlDatabase};
use crate::setting;

fn scene() -> SqlDatabase {
    let database = SqlDatabase::fresh();
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
    let trusting = format!("{numbered}?encrypt=true&trustServerCertificate=true");
    let by_url = format!("{named}?encrypt=true&serverCertificate={ca}");
    let good: [(&str, &[&str]); 7] = [
        (&named, &["--tls", "verify-full", "--tls-ca", &ca]),
        (&numbered, &["--tls", "verify-ca", "--tls-ca", &ca]),
        (&numbered, &["--tls", "require"]),
        (&numbered, &["--tls", "prefer"]),
        (&named, &["--tls", "disable"]),
        (&trusting, &[]),
        (&by_url, &[]),
    ];
    for (source, flags) in good {
        expect_read(Cli::new(), source, flags);
    }
    let bad: [(&str, &[&str], &str); 5] = [
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
        (
            &named,
            &["--tls", "verify-full", "--tls-ca", "/nowhere/ca.pem"],
            "/nowhere/ca.pem",
        ),
    ];
    for (source, flags, part) in bad {
        let refused = Extraction::new(source, "t").run(flags).expect_code(69);
        assert!(refused.stderr.contains(part), "{flags:?}: {refused:#?}");
    }
}

/// TDS 8.0: the handshake comes before the protocol's first packet.
#[test]
fn strict_encryption_is_encrypted_from_the_first_byte_on() {
    let database = scene();
    let (ca, other) = (setting("IXTRACT_TEST_CA"), setting("IXTRACT_TEST_OTHER_CA"));
    let strict = format!("{}?encrypt=strict", database.url());
    expect_read(Cli::new(), &strict, &["--tls-ca", &ca]);
    let wrong = Extraction::new(&strict, "t").run(&["--tls-ca", &other]);
    let wrong = wrong.expect_code(69);
    assert!(wrong.stderr.contains("not trusted"), "{wrong:#?}");
    // Whoever shows a certificate shows one that the server knows, or is not let in.
    let file = |name: &str| ca.replace("ca.crt", name);
    let shown = |certificate: &str, key: &str| {
        let flags = ["--tls-ca", &ca, "--tls-cert", certificate, "--tls-key", key];
        Extraction::new(&strict, "t").run(&flags)
    };
    shown(&file("client.crt"), &file("client.key")).expect_code(0);
    let unknown = shown(&other, &file("other-ca.key")).expect_code(69);
    assert!(
        unknown
            .stderr
            .contains("the server refuses the certificate"),
        "{unknown:#?}"
    );
    let none = shown("/nowhere/client.pem", &file("client.key")).expect_code(69);
    assert!(none.stderr.contains("/nowhere/client.pem"), "{none:#?}");
}

/// An availability group's listener sends it to a replica.
#[test]
fn who_only_reads_says_so() {
    let database = scene();
    for (intent, said) in [
        ("ReadOnly", "the database is read-only here"),
        ("ReadWrite", "the database takes writes here"),
    ] {
        let url = format!("{}?applicationIntent={intent}", database.url());
        let doctor = Cli::new().run(["doctor", "t", "--source", &url, "--json"]);
        let text = doctor.stdout;
        assert!(text.contains(said), "{intent}: {text}");
    }
    let url = format!("{}?applicationIntent=Sometimes", database.url());
    let refused = Extraction::new(url, "t").run(&[]).expect_code(64);
    assert!(refused.stderr.contains("applicationIntent"), "{refused:#?}");
}

/// As Azure's gateway does it.
#[test]
fn a_gateway_leads_to_the_server() {
    let database = scene();
    let port = setting("IXTRACT_TEST_TDS_GATEWAY").parse().expect("a port");
    let ca = setting("IXTRACT_TEST_CA");
    let gateway = SqlAddress {
        port,
        ..database.address().clone()
    };
    let flags = ["--tls", "verify-full", "--tls-ca", &ca];
    expect_read(Cli::new(), &gateway.to_string(), &flags);
}

#[test]
fn flags_and_variables_say_the_same() {
    let database = scene();
    let address = database.address();
    let port = address.port.to_string();
    let url = format!("mssql://sa@localhost:{port}/{}", database.name());
    for variable in ["MSSQL_PASSWORD", "SQLCMDPASSWORD", "IXTRACT_PASSWORD"] {
        let cli = Cli::new().env(variable, &address.password);
        expect_read(cli, &url, &[]);
    }
    let wrong = Cli::new().env("MSSQL_PASSWORD", "a-wrong-secret");
    let refused = Extraction::new(&url, "t")
        .by(wrong)
        .run(&[])
        .expect_code(77);
    for part in ["error 18456", "SQLCMDPASSWORD"] {
        assert!(refused.stderr.contains(part), "{part}: {refused:#?}");
    }
    assert!(!refused.stderr.contains("a-wrong-secret"), "{refused:#?}");

    let cli = Cli::new().env("MSSQL_PASSWORD", &address.password);
    let parts = [
        "profile",
        "dbo.t",
        "--source-type",
        "sqlserver",
        "--host",
        "localhost",
        "--port",
        &port,
        "--database",
        database.name(),
        "--user",
        "sa",
    ];
    let profile = cli.run(parts).expect_code(0);
    assert!(profile.stdout.contains("SQL Server"), "{profile:#?}");
}

#[test]
fn what_is_wrong_with_the_address_is_said() {
    let database = scene();
    let nowhere = database.url().replace(database.name(), "no_such_database");
    let missing = Extraction::new(nowhere, "t").run(&[]).expect_code(69);
    assert!(missing.stderr.contains("no_such_database"), "{missing:#?}");
    for (source, code, part) in [
        ("sqlserver://u@127.0.0.1:1/d", 69, "127.0.0.1:1"),
        ("sqlserver://u@127.0.0.1", 64, "--database"),
        ("sqlserver://127.0.0.1/d", 64, "--user"),
        ("sqlserver://u@h%5CEXPRESS/d", 64, "PORT"),
        ("sqlserver://u@h/d?nonsense=1", 64, "nonsense"),
    ] {
        let refused = Extraction::new(source, "t").run(&[]).expect_code(code);
        assert!(refused.stderr.contains(part), "{source}: {refused:#?}");
    }
    // The brackets are the server's own quotes.
    for name in ["[dbo].[t]", "dbo.t", "DBO.T", "\"dbo\".\"t\""] {
        Extraction::new(database.url(), name)
            .run(&[])
            .expect_code(0);
    }
    let typo = Extraction::new(database.url(), "tt")
        .run(&[])
        .expect_code(64);
    assert!(typo.stderr.contains("did you mean"), "{typo:#?}");
}
