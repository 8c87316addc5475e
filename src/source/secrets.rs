//! Where passwords come from. A secret is shown by nothing: `Debug` hides it.

use std::fmt;
use std::path::PathBuf;

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
