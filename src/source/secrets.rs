//! Where passwords come from. A secret is shown by nothing: `Debug` hides it.

use std::fmt;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::{Result, SourceError};

/// How long a `--password-command` may take: a cloud token needs a few round trips, a person none.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);

/// Text that no log, error or `Debug` output shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, to hand to a driver.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where the password of a connection comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordSource {
    /// No password.
    None,
    /// Known (from a URL or the environment).
    Given(Secret),
    /// `--password-file`: the file's first line.
    File(PathBuf),
    /// `--password-command`: run by the shell again for each new connection; first line of stdout.
    Command(String),
    /// A `.pgpass` file, matched by host, port, database and user.
    PgPass(PathBuf),
}

/// Whom a password is wanted for: what a `.pgpass` line is matched by.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// Host name, address or socket directory.
    pub host: &'a str,
    /// Port.
    pub port: u16,
    /// Database.
    pub database: &'a str,
    /// User.
    pub user: &'a str,
}

impl PasswordSource {
    /// Obtains the password for one new connection; `None` when there is none to send.
    ///
    /// # Errors
    /// [`SourceError::Secret`] when the file cannot be read or is empty, or the command fails, says
    /// nothing or takes more than 30 s. A `.pgpass` that is absent or open to others is no error.
    pub async fn resolve(&self, login: &Login<'_>) -> Result<Option<Secret>> {
        match self {
            Self::None => Ok(None),
            Self::Given(secret) => Ok(Some(secret.clone())),
            Self::File(path) => first_line_of_file(path).map(Some),
            Self::Command(command) => run(command, COMMAND_TIMEOUT).await.map(Some),
            Self::PgPass(path) => pgpass(path, login),
        }
    }
}

fn first_line_of_file(path: &Path) -> Result<Secret> {
    let place = || format!("the file {}", path.display());
    let text = std::fs::read_to_string(path).map_err(|error| SourceError::Secret {
        place: place(),
        why: error.to_string(),
    })?;
    first_line(&text).ok_or_else(|| SourceError::Secret {
        place: place(),
        why: "its first line is empty".to_owned(),
    })
}

fn first_line(text: &str) -> Option<Secret> {
    let line = text.lines().next().unwrap_or_default();
    (!line.is_empty()).then(|| Secret::new(line))
}

/// Runs the command with the shell, in a process group of its own so that a limit ends its children
/// too. Its standard error goes where ours goes: a tool that asks for a login says so there.
async fn run(command: &str, limit: Duration) -> Result<Secret> {
    // The command itself may hold a secret, so no error repeats it.
    let failed = |why: String| SourceError::Secret {
        place: "--password-command".to_owned(),
        why,
    };
    let child = Command::new("sh")
        .arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(format!("the shell cannot be started: {error}")))?;
    let group = child
        .id()
        .and_then(|pid| i32::try_from(pid).ok())
        .and_then(rustix::process::Pid::from_raw);
    let Ok(output) = tokio::time::timeout(limit, child.wait_with_output()).await else {
        if let Some(group) = group {
            // Already gone is as good as killed.
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        return Err(failed(format!("it took longer than {} s", limit.as_secs())));
    };
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(format!("it ended with {}", output.status)));
    }
    let text = String::from_utf8(output.stdout)
        .map_err(|_| failed("it printed bytes that are not UTF-8".to_owned()))?;
    first_line(&text).ok_or_else(|| failed("it printed nothing".to_owned()))
}

/// The password of the first line that matches, as libpq reads the file: ignored, with a warning,
/// when group or others may read it.
fn pgpass(path: &Path, login: &Login<'_>) -> Result<Option<Secret>> {
    let failed = |error: std::io::Error| SourceError::Secret {
        place: format!("the file {}", path.display()),
        why: error.to_string(),
    };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if !metadata.is_file() || metadata.permissions().mode() & 0o077 != 0 {
        tracing::warn!(
            "{} is ignored: it must be a file that only its owner may read (chmod 600)",
            path.display()
        );
        return Ok(None);
    }
    let text = std::fs::read_to_string(path).map_err(failed)?;
    Ok(match_pgpass(&text, login))
}

fn match_pgpass(text: &str, login: &Login<'_>) -> Option<Secret> {
    let port = login.port.to_string();
    text.lines().find_map(|line| {
        if line.starts_with('#') {
            return None;
        }
        let (host, rest) = field(line)?;
        let (line_port, rest) = field(rest)?;
        let (database, rest) = field(rest)?;
        let (user, password) = field(rest)?;
        // libpq calls the default socket directory `localhost` in this file.
        let host_fits =
            host.fits(login.host) || (login.host.starts_with('/') && host.fits("localhost"));
        let fits = host_fits
            && line_port.fits(&port)
            && database.fits(login.database)
            && user.fits(login.user);
        fits.then(|| Secret::new(unescape(password)))
            .filter(|secret| !secret.0.is_empty())
    })
}

/// One field of a `.pgpass` line.
enum Field {
    Any,
    Text(String),
}

impl Field {
    fn fits(&self, value: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Text(text) => text == value,
        }
    }
}

/// The first field of a line, up to a colon that no backslash escapes, and what follows the colon.
fn field(line: &str) -> Option<(Field, &str)> {
    let mut escaped = false;
    for (at, c) in line.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ':' => {
                let text = &line[..at];
                let field = if text == "*" {
                    Field::Any
                } else {
                    Field::Text(unescape(text))
                };
                return Some((field, &line[at + 1..]));
            }
            _ => {}
        }
    }
    None
}

/// Removes each backslash and keeps what follows it.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == '\\' {
            plain.extend(rest.next());
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    const LOGIN: Login<'_> = Login {
        host: "db",
        port: 5432,
        database: "sales",
        user: "etl",
    };

    fn found(text: &str) -> Option<String> {
        match_pgpass(text, &LOGIN).map(|secret| secret.0)
    }

    #[test]
    fn the_first_matching_line_of_pgpass_wins() {
        assert_eq!(
            found("db:5432:sales:etl:one\n*:*:*:*:two"),
            Some("one".into())
        );
        assert_eq!(
            found("db:5433:sales:etl:one\n*:*:*:*:two"),
            Some("two".into())
        );
        assert_eq!(found("#db:5432:sales:etl:one"), None);
        assert_eq!(found("db:5432:sales:etl:"), None);
        assert_eq!(found("db:5432:sales"), None);
        assert_eq!(found(""), None);
    }

    #[test]
    fn pgpass_escapes_are_libpqs() {
        assert_eq!(
            found(r"db:5432:sales:etl:a\:b\\c:d"),
            Some(r"a:b\c:d".into())
        );
        assert_eq!(found(r"d\b:*:sal\es:*:x"), Some("x".into()));
        // An escaped star is a star, not a wildcard.
        assert_eq!(found(r"\*:*:*:*:x"), None);
    }

    #[test]
    fn a_socket_is_also_called_localhost() {
        let socket = Login {
            host: "/run/pg",
            ..LOGIN
        };
        assert!(match_pgpass("localhost:5432:sales:etl:x", &socket).is_some());
        assert!(match_pgpass("/run/pg:5432:sales:etl:x", &socket).is_some());
        assert!(match_pgpass("localhost:5432:sales:etl:x", &LOGIN).is_none());
    }

    #[tokio::test]
    async fn a_pgpass_that_others_may_read_is_ignored() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "*:*:*:*:x").unwrap();
        let source = PasswordSource::PgPass(file.path().to_owned());
        assert_eq!(source.resolve(&LOGIN).await, Ok(Some(Secret::new("x"))));
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o640)).unwrap();
        assert_eq!(source.resolve(&LOGIN).await, Ok(None));
        let absent = PasswordSource::PgPass("/nonexistent/pgpass".into());
        assert_eq!(absent.resolve(&LOGIN).await, Ok(None));
    }

    #[tokio::test]
    async fn files_and_commands_give_their_first_line() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "pa ss\r\nmore").unwrap();
        let of_file = PasswordSource::File(file.path().to_owned());
        assert_eq!(
            of_file.resolve(&LOGIN).await,
            Ok(Some(Secret::new("pa ss")))
        );
        let of_command = PasswordSource::Command("echo one; echo two".to_owned());
        assert_eq!(
            of_command.resolve(&LOGIN).await,
            Ok(Some(Secret::new("one")))
        );
    }

    #[tokio::test]
    async fn a_failing_command_shows_neither_itself_nor_its_output() {
        for (command, why) in [
            ("echo hush; exit 3", "exit status: 3"),
            ("true", "printed nothing"),
        ] {
            let source = PasswordSource::Command(command.to_owned());
            let error = source.resolve(&LOGIN).await.unwrap_err();
            let shown = format!("{error:?}");
            assert!(shown.contains(why) && !shown.contains("hush"), "{shown}");
        }
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_ended() {
        let error = run("sleep 600", Duration::from_millis(50))
            .await
            .unwrap_err();
        assert!(matches!(error, SourceError::Secret { why, .. } if why.contains("longer")));
    }

    proptest! {
        #[test]
        fn any_login_is_found_when_escaped(
            host in "[^\0\n\r]{1,8}", user in "[^\0\n\r]{1,8}", password in "[^\0\n\r]{1,8}",
        ) {
            let escape = |text: &str| text.replace('\\', r"\\").replace(':', r"\:");
            let line = format!("{}:*:*:{}:{}", escape(&host), escape(&user), escape(&password));
            let login = Login { host: &host, user: &user, ..LOGIN };
            // A host that is a lone star, or begins a comment, means something else to libpq.
            prop_assume!(!host.starts_with('#') && host != "*" && user != "*");
            prop_assert_eq!(match_pgpass(&line, &login).map(|secret| secret.0), Some(password));
        }
    }
}
