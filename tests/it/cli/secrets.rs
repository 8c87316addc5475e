//! A password is found in many places and shown in none.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::orders;
use crate::extraction::Extraction;
use crate::ixtract::{Cli, Outcome};
use crate::servers::Address;

const PASSWORD: &str = "xX-s3cret-Xx";

/// Every file below a directory that holds the password.
fn holders(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() && !path.is_symlink() {
            found.extend(holders(&path));
        } else if contains(&fs::read(&path).unwrap_or_default()) {
            found.push(path.display().to_string());
        }
    }
    found
}

fn contains(bytes: &[u8]) -> bool {
    bytes
        .windows(PASSWORD.len())
        .any(|window| window == PASSWORD.as_bytes())
}

#[track_caller]
fn assert_silent(outcome: &Outcome) {
    assert!(!contains(outcome.stdout.as_bytes()), "{outcome:#?}");
    assert!(!contains(outcome.stderr.as_bytes()), "{outcome:#?}");
}

/// A role with that password which may read `public.orders`.
fn scene() -> (crate::servers::Database, Address) {
    let (database, _) = orders();
    let role = database.limited_role();
    database.exec(&format!(
        "GRANT SELECT ON orders TO {0}; ALTER ROLE {0} PASSWORD '{PASSWORD}'",
        role.user
    ));
    let role = Address {
        password: PASSWORD.to_owned(),
        ..role
    };
    (database, role)
}

#[test]
fn nothing_that_is_printed_or_stored_has_the_password() {
    let (database, role) = scene();
    let extraction = Extraction::new(role.to_string(), "public.orders")
        .by(Cli::new().env("IXTRACT_LOG", "trace"));
    let cli = &extraction.cli;
    for more in [&["-v"][..], &["--json"], &["--quiet"], &[]] {
        assert_silent(&extraction.run(more).expect_code(0));
        let plan = [&["--out", "plan.json"], more].concat();
        assert_silent(&cli.run(extraction.words("plan", &plan)).expect_code(0));
        assert_silent(&cli.run(extraction.words("profile", more)).expect_code(0));
    }
    assert!(cli.home().join("plan.json").is_file());
    // Failures of every stage, and wrong flags beside the URL.
    let url = role.to_string();
    let wrong = url.replace(database.name(), "no_such_database");
    let refused = url.replace(PASSWORD, &format!("{PASSWORD}{PASSWORD}"));
    let elsewhere = url.replace(&role.port.to_string(), "1");
    let odd = url.replace("postgresql://", "postgrseql://");
    let parameter = format!(
        "postgresql://{}@/x?host=/nowhere&password={PASSWORD}",
        role.user
    );
    for source in [&wrong, &refused, &elsewhere, &odd, &parameter] {
        for more in [&["-v"][..], &["--json"], &["--wrokers", "1"]] {
            let words = [&["run", "public.orders", "--source", source.as_str()], more].concat();
            let outcome = cli.run(words);
            assert_ne!(outcome.code, 0, "{outcome:#?}");
            assert_silent(&outcome);
        }
    }
    // The URL where the table should be.
    assert_silent(&cli.run(["run", &url]));
    assert_silent(&cli.run(["verify", &url]));
    assert_eq!(holders(cli.home()), Vec::<String>::new());
}

#[test]
fn a_password_is_taken_from_where_people_keep_it() {
    let (_database, role) = scene();
    let with = |password: &str| {
        let address = Address {
            password: password.to_owned(),
            ..role.clone()
        };
        address.to_string().replace(":@", "@")
    };
    let bare = with("");
    let pgpass = format!("{}:{}:*:{}:{PASSWORD}\n", role.host, role.port, role.user);
    let private = |path: &Path, text: &str| {
        fs::write(path, text).expect("a file");
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("permissions");
    };
    let cases: [(Cli, &[&str]); 6] = [
        (Cli::new().env("IXTRACT_PASSWORD", PASSWORD), &[]),
        (Cli::new().env("PGPASSWORD", PASSWORD), &[]),
        (Cli::new(), &["--password-file", "pw"]),
        (Cli::new(), &["--password-command", "cat pw"]),
        (Cli::new(), &[]),
        (Cli::new().env("PGPASSFILE", "elsewhere"), &[]),
    ];
    for (number, (cli, more)) in cases.into_iter().enumerate() {
        private(&cli.home().join("pw"), &format!("{PASSWORD}\n"));
        match number {
            4 => private(&cli.home().join(".pgpass"), &pgpass),
            5 => private(&cli.home().join("elsewhere"), &pgpass),
            _ => {}
        }
        let extraction = Extraction::new(bare.clone(), "public.orders").by(cli);
        let outcome = extraction.run(&[&["--workers", "2", "--chunk-rows", "3"], more].concat());
        assert_silent(&outcome.expect_code(0));
        assert_eq!(extraction.count(), 10, "case {number}");
    }
    // The source itself need not be in the command line either.
    let cli = Cli::new().env("IXTRACT_SOURCE", with(PASSWORD));
    cli.run(["run", "public.orders"]).expect_code(0);
    let cli = ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD"]
        .into_iter()
        .zip([
            role.host.clone(),
            role.port.to_string(),
            role.user.clone(),
            role.database.clone(),
            PASSWORD.to_owned(),
        ])
        .fold(Cli::new(), |cli, (name, value)| cli.env(name, value));
    cli.run(["run", "public.orders", "--source-type", "postgresql"])
        .expect_code(0);
}

#[test]
fn a_secret_that_cannot_be_had_is_told_by_its_place() {
    let (_database, mut role) = scene();
    role.password.clear();
    let url = role.to_string().replace(":@", "@");
    let cli = Cli::new();
    for (flag, place) in [
        (["--password-file", "nowhere"], "nowhere"),
        (["--password-command", "exit 3"], "--password-command"),
    ] {
        let words = [
            &["run", "public.orders", "--source", url.as_str()],
            &flag[..],
        ]
        .concat();
        let outcome = cli.run(words);
        let failure = super::Failure::of(&outcome);
        assert!(failure.what.contains(place), "{outcome:#?}");
        assert_eq!(outcome.code, 78, "{outcome:#?}");
    }
}
