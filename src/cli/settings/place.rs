//! Which database is meant, as whom, and where its password comes from.

use std::path::PathBuf;
use std::time::Duration;

use super::{Environment, libpq, option_file};
use crate::cli::args::{SourceArgs, TlsName};
use crate::error::{ExitCode, Failure};
use crate::model::{SourceIdentity, SourceKind};
use crate::source::secrets::{PasswordSource, Secret};
use crate::source::url::{
    self, Address, MysqlAddress, PostgresAddress, SqlServerAddress, Target, TlsMode,
};

/// A source's address with everything that goes with it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Where, as whom, and how encrypted.
    pub(super) target: Target,
    /// Where passwords come from.
    pub(super) password: PasswordSource,
    /// The address's own limit for connecting.
    pub(super) connect_timeout: Option<Duration>,
}

/// Settles the address: flags, then `IXTRACT_SOURCE`, then a plan's database, then what libpq's
/// variables say. Parts that a PostgreSQL address leaves open come from libpq's variables, those of a
/// MySQL address from its clients' option file.
pub(super) fn settle(
    args: &SourceArgs,
    environment: &Environment,
    planned: Option<&SourceIdentity>,
) -> Result<Place, Failure> {
    let address = if let Some(url) = &args.source {
        parse(url)?
    } else if names_parts(args) {
        of_parts(args)?
    } else if let Some(url) = environment.get("IXTRACT_SOURCE") {
        parse(url)?
    } else if let Some(identity) = planned {
        of_identity(identity)
    } else if ["PGHOST", "PGDATABASE", "PGSERVICE"]
        .iter()
        .any(|name| environment.get(name).is_some())
    {
        Address::Postgres(Box::default())
    } else {
        return Err(no_source());
    };
    match address {
        Address::Sqlite(file) => sqlite(args, file),
        Address::Postgres(address) => postgres(args, environment, *address),
        Address::Mysql(address) => mysql(args, environment, *address),
        Address::SqlServer(address) => sqlserver(args, environment, *address),
    }
}

fn parse(text: &str) -> Result<Address, Failure> {
    url::parse(text).map_err(|error| match error {
        // The schemes of databases that people will try; a plain path is what they write for a file.
        url::UrlError::Scheme(scheme) => unsupported(&scheme),
        other => other.into(),
    })
}

fn unsupported(kind: &str) -> Failure {
    Failure::new(
        ExitCode::Usage,
        format!("'{kind}' is not a source that this version reads"),
        format!(
            "ixtract {} reads postgresql, mysql, sqlserver and sqlite",
            env!("CARGO_PKG_VERSION")
        ),
        "write --source postgresql://USER@HOST/DATABASE, mysql://…, sqlserver://…, sqlite:PATH, or the name of a source in ixtract.toml",
    )
}

fn no_source() -> Failure {
    Failure::new(
        ExitCode::Usage,
        "no source is named",
        "there is no --source, no IXTRACT_SOURCE, none in ixtract.toml, and no PGHOST, PGDATABASE or PGSERVICE",
        "pass --source postgresql://USER@HOST/DATABASE, mysql://…, sqlserver://…, sqlite:PATH, or the name of a source in ixtract.toml",
    )
}

fn names_parts(args: &SourceArgs) -> bool {
    args.source_type.is_some()
        || args.host.is_some()
        || args.port.is_some()
        || args.database.is_some()
}

fn of_parts(args: &SourceArgs) -> Result<Address, Failure> {
    match args.source_type.as_deref() {
        None | Some("postgresql" | "postgres") => {
            Ok(Address::Postgres(Box::new(PostgresAddress {
                host: args.host.clone(),
                port: args.port,
                database: args.database.clone(),
                ..PostgresAddress::default()
            })))
        }
        Some("mysql" | "mariadb") => Ok(Address::Mysql(Box::new(MysqlAddress {
            host: args.host.clone(),
            port: args.port,
            database: args.database.clone(),
            ..MysqlAddress::default()
        }))),
        Some("sqlserver" | "mssql") => Ok(Address::SqlServer(Box::new(SqlServerAddress {
            host: args.host.clone(),
            port: args.port,
            database: args.database.clone(),
            ..SqlServerAddress::default()
        }))),
        Some("sqlite") => match &args.database {
            Some(file) if args.host.is_none() && args.port.is_none() => {
                Ok(Address::Sqlite(PathBuf::from(file)))
            }
            _ => Err(Failure::new(
                ExitCode::Usage,
                "a SQLite source is one file",
                "it has no host and no port, and --database names the file",
                "pass --source-type sqlite --database PATH, or --source sqlite:PATH",
            )),
        },
        Some(other) => Err(unsupported(other)),
    }
}

fn of_identity(identity: &SourceIdentity) -> Address {
    match identity.kind {
        SourceKind::Sqlite => Address::Sqlite(PathBuf::from(&identity.database)),
        SourceKind::PostgreSql => Address::Postgres(Box::new(PostgresAddress {
            host: Some(identity.host.clone()),
            port: Some(identity.port),
            database: Some(identity.database.clone()),
            ..PostgresAddress::default()
        })),
        SourceKind::Mysql => Address::Mysql(Box::new(MysqlAddress {
            host: Some(identity.host.clone()),
            port: Some(identity.port),
            database: Some(identity.database.clone()),
            ..MysqlAddress::default()
        })),
        SourceKind::SqlServer => Address::SqlServer(Box::new(SqlServerAddress {
            host: Some(identity.host.clone()),
            port: Some(identity.port),
            database: Some(identity.database.clone()),
            ..SqlServerAddress::default()
        })),
    }
}

fn sqlite(args: &SourceArgs, file: PathBuf) -> Result<Place, Failure> {
    let pointless = [
        ("--user", args.user.is_some()),
        ("--password-file", args.password_file.is_some()),
        ("--password-env", args.password_env.is_some()),
        ("--password-command", args.password_command.is_some()),
        ("--tls", args.tls.is_some()),
        ("--tls-ca", args.tls_ca.is_some()),
        ("--tls-cert", args.tls_cert.is_some()),
    ];
    if let Some((flag, _)) = pointless.iter().find(|(_, given)| *given) {
        return Err(Failure::new(
            ExitCode::Usage,
            format!("{flag} does not go with a SQLite source"),
            "a file has no users, no passwords and no connection to encrypt",
            format!("leave {flag} out"),
        ));
    }
    Ok(Place {
        target: Target::Sqlite(file),
        password: PasswordSource::None,
        connect_timeout: None,
    })
}

fn postgres(
    args: &SourceArgs,
    environment: &Environment,
    written: PostgresAddress,
) -> Result<Place, Failure> {
    let flags = PostgresAddress {
        user: args.user.clone(),
        tls: args.tls.map(tls_mode),
        tls_ca: args.tls_ca.clone(),
        tls_cert: args.tls_cert.clone(),
        tls_key: args.tls_key.clone(),
        ..PostgresAddress::default()
    };
    let written = libpq::over(flags, written);
    let own_password = written.password.clone();
    let own_file = written.pass_file.clone();
    let address = libpq::over(written, libpq::address(environment)?);
    let target = address.settle(os_user().as_deref())?;
    let password = password(args, environment, own_password, address.password.clone())?
        .or(own_file
            .or_else(|| libpq::password_file(environment))
            .map(PasswordSource::PgPass))
        .unwrap_or(PasswordSource::None);
    Ok(Place {
        target: Target::Postgres(target),
        password,
        connect_timeout: address.connect_timeout,
    })
}

fn mysql(
    args: &SourceArgs,
    environment: &Environment,
    written: MysqlAddress,
) -> Result<Place, Failure> {
    let flags = MysqlAddress {
        user: args.user.clone(),
        tls: args.tls.map(tls_mode),
        tls_ca: args.tls_ca.clone(),
        tls_cert: args.tls_cert.clone(),
        tls_key: args.tls_key.clone(),
        ..MysqlAddress::default()
    };
    let written = flags.over(written);
    let own_password = written.password.clone();
    let address = written.over(option_file::address(environment)?);
    let target = address.settle(os_user().as_deref())?;
    // As the clients have it, the file comes before the variable.
    let ecosystem = address
        .password
        .clone()
        .or_else(|| environment.get("MYSQL_PWD").map(Secret::new));
    let password = password(args, environment, own_password, ecosystem)?;
    Ok(Place {
        target: Target::Mysql(target),
        password: password.unwrap_or(PasswordSource::None),
        connect_timeout: address.connect_timeout,
    })
}

fn sqlserver(
    args: &SourceArgs,
    environment: &Environment,
    written: SqlServerAddress,
) -> Result<Place, Failure> {
    let address = SqlServerAddress {
        user: args.user.clone(),
        tls: args.tls.map(tls_mode),
        tls_ca: args.tls_ca.clone(),
        tls_cert: args.tls_cert.clone(),
        tls_key: args.tls_key.clone(),
        ..SqlServerAddress::default()
    }
    .over(written);
    let target = address.settle()?;
    let ecosystem = ["MSSQL_PASSWORD", "SQLCMDPASSWORD"]
        .iter()
        .find_map(|name| environment.get(name))
        .map(Secret::new);
    let password = password(args, environment, address.password.clone(), ecosystem)?;
    Ok(Place {
        target: Target::SqlServer(target),
        password: password.unwrap_or(PasswordSource::None),
        connect_timeout: address.connect_timeout,
    })
}

/// A password that is given somewhere, nearest first: flag, address, our variable, and what the
/// database's own clients have.
fn password(
    args: &SourceArgs,
    environment: &Environment,
    of_address: Option<Secret>,
    of_clients: Option<Secret>,
) -> Result<Option<PasswordSource>, Failure> {
    if let Some(file) = &args.password_file {
        return Ok(Some(PasswordSource::File(file.clone())));
    }
    if let Some(command) = &args.password_command {
        return Ok(Some(PasswordSource::Command(command.clone())));
    }
    if let Some(name) = &args.password_env {
        let secret = environment.secret(name)?;
        return Ok(Some(PasswordSource::Given(Secret::new(secret))));
    }
    let given = of_address
        .or_else(|| environment.get("IXTRACT_PASSWORD").map(Secret::new))
        .or(of_clients);
    Ok(given.map(PasswordSource::Given))
}

fn tls_mode(name: TlsName) -> TlsMode {
    match name {
        TlsName::Disable => TlsMode::Disable,
        TlsName::Prefer => TlsMode::Prefer,
        TlsName::Require => TlsMode::Require,
        TlsName::VerifyCa => TlsMode::VerifyCa,
        TlsName::VerifyFull => TlsMode::VerifyFull,
    }
}

/// The operating system's name for us, libpq's default user; from `/etc/passwd`, because the
/// directory services behind `getpwuid` would need the C library.
fn os_user() -> Option<String> {
    let uid = rustix::process::geteuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    user_of(&users, uid)
}

fn user_of(users: &str, uid: u32) -> Option<String> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let id: u32 = fields.nth(1)?.parse().ok()?;
        (id == uid).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::url::PostgresTarget;

    fn place(args: SourceArgs, variables: &[(&str, &str)]) -> Result<Place, Failure> {
        settle(&args, &Environment::of(variables), None)
    }

    fn url(text: &str) -> SourceArgs {
        SourceArgs {
            source: Some(text.to_owned()),
            ..SourceArgs::default()
        }
    }

    fn target(place: &Place) -> &PostgresTarget {
        match &place.target {
            Target::Postgres(target) => target,
            other => panic!("{other:?}"),
        }
    }

    fn given(text: &str) -> PasswordSource {
        PasswordSource::Given(Secret::new(text))
    }

    #[test]
    fn an_address_wins_over_variables_and_they_fill_its_gaps() {
        let variables = [
            ("IXTRACT_SOURCE", "postgresql://other/other"),
            ("PGHOST", "h2"),
            ("PGPORT", "6000"),
            ("PGUSER", "u2"),
        ];
        let place = place(url("postgresql://h1/d1"), &variables).expect("settled");
        let target = target(&place);
        assert_eq!((target.host.as_str(), target.port), ("h1", 6000));
        assert_eq!(
            (target.database.as_str(), target.user.as_str()),
            ("d1", "u2")
        );
    }

    #[test]
    fn parts_win_over_ixtract_source() {
        let args = SourceArgs {
            host: Some("h1".to_owned()),
            database: Some("d1".to_owned()),
            user: Some("u1".to_owned()),
            ..SourceArgs::default()
        };
        let place = place(args, &[("IXTRACT_SOURCE", "sqlite:x.db")]).expect("settled");
        assert_eq!(target(&place).host, "h1");
        assert_eq!(target(&place).port, 5432);
    }

    #[test]
    fn libpqs_variables_alone_are_a_source() {
        let variables = [("PGHOST", "h"), ("PGDATABASE", "d"), ("PGUSER", "u")];
        let place = place(SourceArgs::default(), &variables).expect("settled");
        assert_eq!(target(&place).database, "d");
        let failure = settle(
            &SourceArgs::default(),
            &Environment::of(&[("PGUSER", "u")]),
            None,
        );
        assert_eq!(failure.expect_err("no source").exit, ExitCode::Usage);
    }

    #[test]
    fn passwords_come_from_the_nearest_place() {
        let all = [
            ("IXTRACT_PASSWORD", "ours"),
            ("PGPASSWORD", "libpq"),
            ("HOME", "/h"),
        ];
        let of = |args: SourceArgs, variables: &[(&str, &str)]| {
            place(args, variables).expect("settled").password
        };
        let with_file = SourceArgs {
            password_file: Some("/f".into()),
            ..url("postgresql://u:own@h/d")
        };
        assert_eq!(of(with_file, &all), PasswordSource::File("/f".into()));
        assert_eq!(of(url("postgresql://u:own@h/d"), &all), given("own"));
        assert_eq!(of(url("postgresql://u@h/d"), &all), given("ours"));
        assert_eq!(of(url("postgresql://u@h/d"), &all[1..]), given("libpq"));
        let file = PasswordSource::PgPass("/h/.pgpass".into());
        assert_eq!(of(url("postgresql://u@h/d"), &all[2..]), file);
        assert_eq!(of(url("postgresql://u@h/d"), &[]), PasswordSource::None);
    }

    #[test]
    fn tls_flags_go_with_an_address() {
        let args = SourceArgs {
            tls: Some(TlsName::VerifyCa),
            ..url("postgresql://u@h/d?sslmode=require")
        };
        let place = place(args, &[("PGSSLMODE", "disable")]).expect("settled");
        assert_eq!(target(&place).tls, Some(TlsMode::VerifyCa));
    }

    #[test]
    fn a_sqlite_source_is_a_file_and_nothing_else() {
        let found = place(url("sqlite:a b.db"), &[]).expect("settled");
        assert_eq!(found.target, Target::Sqlite("a b.db".into()));
        let with_user = SourceArgs {
            password_file: Some("/f".into()),
            ..url("sqlite:x.db")
        };
        assert!(place(with_user, &[]).is_err());
        let parts = SourceArgs {
            source_type: Some("sqlite".to_owned()),
            ..SourceArgs::default()
        };
        assert!(place(parts, &[]).is_err());
    }

    #[test]
    fn a_mysql_source_takes_flags_and_what_its_clients_have() {
        let home = tempfile::tempdir().expect("a directory");
        std::fs::write(
            home.path().join(".my.cnf"),
            "[client]\nuser = file\npassword = of-file\nport = 3400\n",
        )
        .expect("a file");
        let home = home.path().to_str().expect("UTF-8");
        let variables = [("HOME", home), ("MYSQL_PWD", "of-variable")];
        let found = place(url("mysql://h/d"), &variables).expect("settled");
        let Target::Mysql(target) = &found.target else {
            panic!("{found:?}");
        };
        assert_eq!((target.user.as_str(), target.port), ("file", 3400));
        assert_eq!(found.password, given("of-file"));
        assert_eq!(
            place(url("mysql://u@h/d"), &variables[1..])
                .expect("settled")
                .password,
            given("of-variable")
        );
        let parts = SourceArgs {
            source_type: Some("mysql".to_owned()),
            database: Some("d".to_owned()),
            user: Some("u".to_owned()),
            tls: Some(TlsName::Require),
            ..SourceArgs::default()
        };
        let found = place(parts, &[("IXTRACT_PASSWORD", "ours"), ("MYSQL_PWD", "x")]);
        let found = found.expect("settled");
        let Target::Mysql(target) = &found.target else {
            panic!("{found:?}");
        };
        assert_eq!(
            (target.host.as_str(), target.tls),
            ("localhost", Some(TlsMode::Require))
        );
        assert_eq!(found.password, given("ours"));
    }

    #[test]
    fn a_sql_server_source_takes_flags_and_variables() {
        let variables = [("MSSQL_PASSWORD", "one"), ("SQLCMDPASSWORD", "other")];
        let found = place(url("sqlserver://u@h/d"), &variables).expect("settled");
        assert_eq!(found.password, given("one"));
        let found = place(url("sqlserver://u@h/d"), &variables[1..]).expect("settled");
        assert_eq!(found.password, given("other"));
        let args = SourceArgs {
            source_type: Some("sqlserver".to_owned()),
            host: Some("h".to_owned()),
            port: Some(1444),
            database: Some("d".to_owned()),
            user: Some("u".to_owned()),
            tls: Some(TlsName::Require),
            ..SourceArgs::default()
        };
        let found = place(args, &[("IXTRACT_PASSWORD", "ours"), variables[0]]).expect("settled");
        let Target::SqlServer(target) = &found.target else {
            panic!("{found:?}");
        };
        assert_eq!((target.port, target.tls), (1444, Some(TlsMode::Require)));
        assert_eq!(found.password, given("ours"));
        let nobody = place(url("sqlserver://h/d"), &[]).expect_err("no user");
        assert_eq!(nobody.exit, ExitCode::Usage);
    }

    #[test]
    fn other_databases_are_refused_with_what_is_supported() {
        for text in ["oracle://u:secret@h/d", "db2://u@h/d", "shop.db"] {
            let failure = place(url(text), &[]).expect_err(text);
            assert_eq!(failure.exit, ExitCode::Usage);
            assert!(
                failure
                    .why
                    .contains("postgresql, mysql, sqlserver and sqlite"),
                "{failure}"
            );
            assert!(!failure.to_string().contains("secret"), "{failure}");
        }
    }

    #[test]
    fn a_plans_database_is_the_default() {
        let identity = SourceIdentity {
            kind: SourceKind::PostgreSql,
            host: "h".to_owned(),
            port: 7000,
            database: "d".to_owned(),
            name: None,
        };
        let environment = Environment::of(&[("PGUSER", "u"), ("PGPORT", "1")]);
        let place = settle(&SourceArgs::default(), &environment, Some(&identity));
        assert_eq!(target(&place.expect("settled")).port, 7000);
    }

    #[test]
    fn the_systems_user_is_found_by_number() {
        let users = "root:x:0:0:root:/root:/bin/sh\netl:x:1001:1001::/home/etl:/bin/sh\nbroken\n";
        assert_eq!(user_of(users, 1001).as_deref(), Some("etl"));
        assert_eq!(user_of(users, 7), None);
    }
}
