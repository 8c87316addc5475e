//! The variables that this program reads, taken once.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use crate::cli::args::VARIABLES;
use crate::error::{ExitCode, Failure};

/// Aborts a debug build at the publishing step that it names, so that tests can see what a crash
/// there leaves. Nothing that users should know: a release build does not look at it.
const CRASH_AT: &str = "IXTRACT_CRASH_AT";

/// Every variable that this build reads.
fn names() -> impl Iterator<Item = &'static str> {
    let for_tests = cfg!(debug_assertions).then_some(CRASH_AT);
    VARIABLES.iter().map(|(name, _)| *name).chain(for_tests)
}

/// The documented variables that are set, and nothing else of the environment but the one that
/// `--password-env` names.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    documented: BTreeMap<&'static str, String>,
    /// Whether other variables are looked up in this process's environment.
    of_process: bool,
}

impl Environment {
    /// The environment of this process.
    ///
    /// # Errors
    /// 78 when a variable that we read is not UTF-8.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    pub fn of_process() -> Result<Self, Failure> {
        let environment = Self::read(|name| std::env::var_os(name))?;
        Ok(Self {
            of_process: true,
            ..environment
        })
    }

    /// The secret in a variable that the user names.
    ///
    /// # Errors
    /// 64 where it is not set, empty or not UTF-8; what it holds is never repeated.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    pub fn secret(&self, name: &str) -> Result<String, Failure> {
        let wrong = |why: &str| {
            Failure::new(
                ExitCode::Usage,
                format!("there is no password in the environment variable {name}"),
                format!("--password-env names it, and {why}"),
                format!(
                    "set {name} to the password, or take it from elsewhere with --password-file"
                ),
            )
        };
        let known = self.documented.get(name).map(OsString::from);
        let found = match self.of_process && !name.is_empty() && !name.contains(['=', '\0']) {
            true => std::env::var_os(name),
            false => known,
        };
        let secret = found.ok_or_else(|| wrong("it is not set"))?;
        let secret = secret.into_string().map_err(|_| wrong("it is not UTF-8"))?;
        match secret.is_empty() {
            true => Err(wrong("it is empty")),
            false => Ok(secret),
        }
    }

    fn read(lookup: impl Fn(&str) -> Option<OsString>) -> Result<Self, Failure> {
        let mut found = BTreeMap::new();
        for name in names() {
            let Some(value) = lookup(name) else { continue };
            let value = value.into_string().map_err(|_| {
                Failure::new(
                    ExitCode::Config,
                    format!("cannot read the environment variable {name}"),
                    "its value is not UTF-8",
                    format!("set {name} to UTF-8 text, or unset it"),
                )
            })?;
            found.insert(name, value);
        }
        Ok(Self {
            documented: found,
            of_process: false,
        })
    }

    /// An environment of these variables only. Panics on a variable that is not documented.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        let known = variables
            .iter()
            .filter(|(name, _)| VARIABLES.iter().any(|(known, _)| known == name));
        assert_eq!(known.count(), variables.len(), "an undocumented variable");
        let lookup = |name: &str| {
            let set = variables.iter().find(|(known, _)| *known == name);
            set.map(|(_, value)| OsString::from(value))
        };
        Self::read(lookup).expect("UTF-8")
    }

    /// A variable's value; an empty one counts as not set, as in libpq.
    pub fn get(&self, name: &str) -> Option<&str> {
        debug_assert!(VARIABLES.iter().any(|(known, _)| *known == name));
        self.documented
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    /// The publishing step to abort at, in debug builds.
    pub fn crash_at(&self) -> Option<&str> {
        self.documented.get(CRASH_AT).map(String::as_str)
    }

    /// A variable's value as a path.
    pub fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn empty_variables_are_not_set() {
        let environment = Environment::of(&[("PGHOST", ""), ("PGPORT", "1")]);
        assert_eq!(environment.get("PGHOST"), None);
        assert_eq!(environment.get("PGPORT"), Some("1"));
        assert_eq!(environment.get("PGUSER"), None);
    }

    #[test]
    fn what_is_not_text_is_an_error_that_names_the_variable() {
        let lookup = |name: &str| (name == "PGUSER").then(|| OsString::from_vec(vec![0xff]));
        let failure = Environment::read(lookup).expect_err("not UTF-8");
        assert!(failure.what.contains("PGUSER"));
        assert_eq!(failure.exit, ExitCode::Config);
    }
}
