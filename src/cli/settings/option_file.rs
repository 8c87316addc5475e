//! What the option file of MySQL's clients, `~/.my.cnf`, says about a MySQL source.

use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::Environment;
use crate::error::{ExitCode, Failure};
use crate::source::url::{MysqlAddress, UrlError};

/// The parts that the group `[client]` gives; nothing where there is no file. As the clients do, a
/// file that everybody may write is ignored with a warning.
///
/// # Errors
/// 78 for a file that cannot be read, or a value that is wrong.
pub(super) fn address(environment: &Environment) -> Result<MysqlAddress, Failure> {
    let nothing = MysqlAddress::default();
    let Some(file) = environment.path("HOME").map(|home| home.join(".my.cnf")) else {
        return Ok(nothing);
    };
    match std::fs::metadata(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(nothing),
        Ok(metadata) if metadata.permissions().mode() & 0o002 != 0 => {
            tracing::warn!(
                "{} is ignored: everybody may write to it (chmod 600)",
                file.display()
            );
            return Ok(nothing);
        }
        _ => {}
    }
    let text = std::fs::read_to_string(&file).map_err(|error| wrong(&file, &error.to_string()))?;
    read(&text).map_err(|error| wrong(&file, &error.to_string()))
}

fn wrong(file: &Path, why: &str) -> Failure {
    Failure::new(
        ExitCode::Config,
        format!("cannot use the option file {}", file.display()),
        why,
        "correct or remove it, or give everything with --source and IXTRACT_PASSWORD",
    )
}

/// The settings of `[client]`. Those that we do not know are for other programs.
fn read(text: &str) -> Result<MysqlAddress, UrlError> {
    let mut address = MysqlAddress::default();
    let mut ours = false;
    for line in text.lines().map(str::trim) {
        if let Some(group) = line.strip_prefix('[') {
            ours = group.trim_end_matches(']').trim() == "client";
        } else if ours && !line.is_empty() && !line.starts_with(['#', ';', '!']) {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            match address.set(name.trim(), unquote(value.trim())) {
                Ok(()) | Err(UrlError::MysqlParameter(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(address)
}

/// A value without its quotes, or without the comment behind it, and with its escapes undone.
fn unquote(value: &str) -> String {
    let quoted = ['"', '\''].into_iter().find_map(|quote| {
        let inner = value.strip_prefix(quote)?;
        inner.strip_suffix(quote)
    });
    let text = match quoted {
        Some(inner) => inner,
        // Only behind white space: a password may hold the sign itself.
        None => value.find(" #").map_or(value, |at| value[..at].trim_end()),
    };
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match (c, rest.clone().next()) {
            ('\\', Some(next)) if "bntrs\\\"'".contains(next) => {
                rest.next();
                plain.push(match next {
                    'b' => '\u{8}',
                    'n' => '\n',
                    't' => '\t',
                    'r' => '\r',
                    's' => ' ',
                    other => other,
                });
            }
            _ => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::secrets::Secret;
    use crate::source::url::TlsMode;

    #[test]
    fn only_the_clients_group_counts() {
        let text = "
            [mysqld]
            port = 1
            [client]
            # a comment
            host = db.example
            port=3307
            user = \"etl user\"   
            password = 'p#w\\\\x'
            ssl_mode = VERIFY_IDENTITY
            default-character-set = utf8mb4
            loose-something
            !includedir /etc
            [mysqldump]
            user = other";
        let address = read(text).expect("settings");
        assert_eq!(address.host.as_deref(), Some("db.example"));
        assert_eq!(
            (address.port, address.tls),
            (Some(3307), Some(TlsMode::VerifyFull))
        );
        assert_eq!(address.user.as_deref(), Some("etl user"));
        assert_eq!(address.password, Some(Secret::new("p#w\\x")));
    }

    #[test]
    fn values_may_be_bare() {
        assert_eq!(unquote("p#w #comment"), "p#w");
        assert_eq!(unquote("a\\sb\\q"), "a b\\q");
        assert_eq!(unquote(""), "");
        assert!(read("[client]\nport = x").is_err());
    }
}
