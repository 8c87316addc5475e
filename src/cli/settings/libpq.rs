//! What libpq's environment, service file and password file say about a PostgreSQL source.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Environment;
use crate::error::{ExitCode, Failure};
use crate::source::secrets::Secret;
use crate::source::url::PostgresAddress;

/// The parts that the environment and a service file give; the service wins, as in libpq.
///
/// # Errors
/// 78 for a service that cannot be found or read, 64 for a variable with a wrong value.
pub(super) fn address(environment: &Environment) -> Result<PostgresAddress, Failure> {
    let mut address = PostgresAddress::default();
    if let Some(service) = environment.get("PGSERVICE") {
        let file = service_file(environment)?;
        let text = std::fs::read_to_string(&file)
            .map_err(|error| service_failure(service, &file, &error.to_string()))?;
        let settings = section(&text, service)
            .ok_or_else(|| service_failure(service, &file, "it has no such section"))?;
        for (name, value) in settings {
            set(
                &mut address,
                name,
                value,
                &format!("{name} in {}", file.display()),
            )?;
        }
    }
    for (variable, name) in VARIABLES {
        if let Some(value) = environment.get(variable) {
            set_if_absent(&mut address, name, value, variable)?;
        }
    }
    Ok(address)
}

/// libpq's variables and the connection parameters that they are.
const VARIABLES: [(&str, &str); 11] = [
    ("PGHOST", "host"),
    ("PGPORT", "port"),
    ("PGDATABASE", "dbname"),
    ("PGUSER", "user"),
    ("PGPASSWORD", "password"),
    ("PGSSLMODE", "sslmode"),
    ("PGSSLROOTCERT", "sslrootcert"),
    ("PGSSLCERT", "sslcert"),
    ("PGSSLKEY", "sslkey"),
    ("PGCONNECT_TIMEOUT", "connect_timeout"),
    ("PGOPTIONS", "options"),
];

/// The password file: `PGPASSFILE`, else `~/.pgpass`.
pub(super) fn password_file(environment: &Environment) -> Option<PathBuf> {
    environment
        .path("PGPASSFILE")
        .or_else(|| Some(environment.path("HOME")?.join(".pgpass")))
}

/// `first`, and for what it leaves open, `second`.
pub(super) fn over(first: PostgresAddress, second: PostgresAddress) -> PostgresAddress {
    PostgresAddress {
        host: first.host.or(second.host),
        port: first.port.or(second.port),
        database: first.database.or(second.database),
        user: first.user.or(second.user),
        password: first.password.or(second.password),
        pass_file: first.pass_file.or(second.pass_file),
        tls: first.tls.or(second.tls),
        tls_ca: first.tls_ca.or(second.tls_ca),
        tls_cert: first.tls_cert.or(second.tls_cert),
        tls_key: first.tls_key.or(second.tls_key),
        options: first.options.or(second.options),
        connect_timeout: first.connect_timeout.or(second.connect_timeout),
        application_name: first.application_name.or(second.application_name),
    }
}

fn service_file(environment: &Environment) -> Result<PathBuf, Failure> {
    environment
        .path("PGSERVICEFILE")
        .or_else(|| Some(environment.path("HOME")?.join(".pg_service.conf")))
        .ok_or_else(|| {
            Failure::new(
                ExitCode::Config,
                "cannot find the PostgreSQL service file",
                "PGSERVICE is set, but neither PGSERVICEFILE nor HOME",
                "set PGSERVICEFILE to the file's path",
            )
        })
}

fn service_failure(service: &str, file: &Path, why: &str) -> Failure {
    Failure::new(
        ExitCode::Config,
        format!("cannot use the PostgreSQL service '{service}'"),
        format!("{}: {why}", file.display()),
        "correct PGSERVICE or PGSERVICEFILE, or pass --source",
    )
}

/// The settings of one `[section]` of a service file.
fn section<'a>(text: &'a str, name: &str) -> Option<Vec<(&'a str, &'a str)>> {
    let mut found = None;
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let heading = line.strip_prefix('[').and_then(|l| l.strip_suffix(']'));
        match (heading, &mut found) {
            // The first section of that name counts, as in libpq.
            (Some(_), Some(_)) => break,
            (Some(heading), None) if heading == name => found = Some(Vec::new()),
            (None, Some(settings)) => {
                if let Some((key, value)) = line.split_once('=') {
                    settings.push((key.trim(), value.trim()));
                }
            }
            _ => {}
        }
    }
    found
}

fn set_if_absent(
    address: &mut PostgresAddress,
    name: &str,
    value: &str,
    place: &str,
) -> Result<(), Failure> {
    let mut alone = PostgresAddress::default();
    set(&mut alone, name, value, place)?;
    *address = over(std::mem::take(address), alone);
    Ok(())
}

/// Sets one connection parameter; one that we do not use is left out, as libpq's newer ones would be
/// unknown to us.
fn set(address: &mut PostgresAddress, name: &str, value: &str, place: &str) -> Result<(), Failure> {
    let wrong = |why: String| {
        Failure::new(
            ExitCode::Usage,
            format!("{place} has a wrong value"),
            why,
            format!("correct {place}, or pass --source with everything in it"),
        )
    };
    match name {
        "host" | "hostaddr" => {
            if value.contains(',') {
                return Err(wrong(
                    "a run reads one server, and it names several".to_owned(),
                ));
            }
            address.host = Some(value.to_owned());
        }
        "port" => {
            let port = value.parse().ok().filter(|port| *port > 0);
            let port =
                port.ok_or_else(|| wrong("a port is a number from 1 to 65535".to_owned()))?;
            address.port = Some(port);
        }
        "dbname" => address.database = Some(value.to_owned()),
        "user" => address.user = Some(value.to_owned()),
        "password" => address.password = Some(Secret::new(value)),
        "passfile" => address.pass_file = Some(PathBuf::from(value)),
        "sslmode" => address.tls = Some(value.parse().map_err(wrong)?),
        "sslrootcert" => address.tls_ca = Some(PathBuf::from(value)),
        "sslcert" => address.tls_cert = Some(PathBuf::from(value)),
        "sslkey" => address.tls_key = Some(PathBuf::from(value)),
        "options" => address.options = Some(value.to_owned()),
        "connect_timeout" => {
            let seconds: u64 = value
                .parse()
                .map_err(|_| wrong("it is a whole number of seconds".to_owned()))?;
            // libpq: 0 means no limit; ours is the default's then.
            address.connect_timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# ours\n[other]\nhost=o\n\n[shop]\nhost = db.example.com\nport=6432\n\
                        dbname=shop\npassword=p=w\nkeepalives=1\n[shop]\nhost=late\n";

    #[test]
    fn a_service_is_the_first_section_of_its_name() {
        let settings = section(FILE, "shop").expect("found");
        assert_eq!(settings[0], ("host", "db.example.com"));
        assert_eq!(settings[3], ("password", "p=w"));
        assert_eq!(settings.len(), 5);
        assert_eq!(section(FILE, "none"), None);
    }

    #[test]
    fn a_service_wins_over_variables() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("services");
        std::fs::write(&file, FILE).expect("written");
        let environment = Environment::of(&[
            ("PGSERVICE", "shop"),
            ("PGSERVICEFILE", file.to_str().expect("UTF-8")),
            ("PGHOST", "elsewhere"),
            ("PGUSER", "etl"),
        ]);
        let address = address(&environment).expect("valid");
        assert_eq!(address.host.as_deref(), Some("db.example.com"));
        assert_eq!(address.port, Some(6432));
        assert_eq!(address.user.as_deref(), Some("etl"));
        assert_eq!(address.password, Some(Secret::new("p=w")));
    }

    #[test]
    fn a_missing_service_is_a_configuration_error() {
        for variables in [
            &[("PGSERVICE", "shop"), ("PGSERVICEFILE", "/nonexistent")][..],
            &[("PGSERVICE", "shop")],
        ] {
            let failure = address(&Environment::of(variables)).expect_err("refused");
            assert_eq!(failure.exit, ExitCode::Config, "{failure}");
        }
    }

    #[test]
    fn wrong_values_name_their_variable() {
        for (variable, value) in [
            ("PGPORT", "x"),
            ("PGSSLMODE", "maybe"),
            ("PGCONNECT_TIMEOUT", "soon"),
            ("PGHOST", "a,b"),
        ] {
            let failure = address(&Environment::of(&[(variable, value)])).expect_err("refused");
            assert!(failure.what.contains(variable), "{failure}");
        }
    }
}
