//! Where the configuration file is, and its text.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cli::settings::Environment;
use crate::error::{ExitCode, Failure};

/// What the file is called wherever it is looked for.
pub(super) const NAME: &str = "ixtract.toml";

/// The system's own folder.
const SYSTEM: &str = "/etc/ixtract";

/// More than any file that people write; what is longer is something else, such as `/dev/zero`.
const MOST_BYTES: u64 = 1 << 20;

/// A file as it was read.
#[derive(Debug)]
pub(super) struct Found {
    /// Its path as people should see it.
    pub(super) path: PathBuf,
    /// Its text, without a byte order mark.
    pub(super) text: String,
}

/// The one file that counts: that of `--config`, of `IXTRACT_CONFIG`, of the working directory, of
/// the user, of the system. The first that is there is the only one that is read: two files laid over
/// each other would be understood by nobody.
///
/// # Errors
/// 78 where the file that counts cannot be read, or is somebody else's.
pub(super) fn find(
    flag: Option<&Path>,
    environment: &Environment,
) -> Result<Option<Found>, Failure> {
    if let Some(path) = flag
        .map(Path::to_owned)
        .or(environment.path("IXTRACT_CONFIG"))
    {
        return read(&path).map(Some);
    }
    let here = PathBuf::from(NAME);
    if is_there(&here)? {
        check_owner(&here)?;
        return read(&here).map(Some);
    }
    let own = environment
        .path("XDG_CONFIG_HOME")
        // XDG: a relative path is to be ignored.
        .filter(|path| path.is_absolute())
        .or_else(|| Some(environment.path("HOME")?.join(".config")))
        .map(|folder| folder.join("ixtract").join(NAME));
    for path in own.into_iter().chain([Path::new(SYSTEM).join(NAME)]) {
        if is_there(&path)? {
            return read(&path).map(Some);
        }
    }
    Ok(None)
}

/// Whether anything has this name, readable or not; a folder on the way that we may not enter is an
/// error, because the file behind it may be the one that was meant.
fn is_there(path: &Path) -> Result<bool, Failure> {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    match std::fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if [NotFound, NotADirectory].contains(&error.kind()) => Ok(false),
        Err(error) => Err(unreadable(path, &error.to_string())),
    }
}

/// A file that lies in the working directory is taken without a word, so it must be the user's own or
/// root's: else whoever may write to `/tmp` would decide what a run started there does.
fn check_owner(path: &Path) -> Result<(), Failure> {
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(path, &error.to_string()))?;
    let me = rustix::process::geteuid().as_raw();
    if [me, 0].contains(&metadata.uid()) {
        return Ok(());
    }
    Err(Failure::new(
        ExitCode::Config,
        format!(
            "{} in the working directory is somebody else's",
            path.display()
        ),
        format!(
            "it belongs to user {}, and this program runs as user {me}",
            metadata.uid()
        ),
        format!(
            "pass --config {} if it is to count, or --no-config",
            path.display()
        ),
    ))
}

fn read(path: &Path) -> Result<Found, Failure> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, &error.to_string()))?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(unreadable(path, "it is longer than 1 MiB"));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        unreadable(path, &format!("line {line} is not UTF-8"))
    })?;
    Ok(Found {
        path: path.to_owned(),
        text: text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned(),
    })
}

fn unreadable(path: &Path, why: &str) -> Failure {
    Failure::new(
        ExitCode::Config,
        format!("cannot read the configuration {}", path.display()),
        why,
        "make it a readable file of TOML in UTF-8, or name another one with --config",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[(&str, &str)]) -> Option<PathBuf> {
        let found = find(None, &Environment::of(variables)).expect("readable");
        found.map(|found| found.path)
    }

    #[test]
    fn the_users_folder_is_xdgs_and_a_named_file_comes_first() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().to_str().expect("UTF-8");
        assert_eq!(found(&[("HOME", home)]), None);
        let own = folder.path().join(".config/ixtract");
        std::fs::create_dir_all(&own).expect("a folder");
        std::fs::write(own.join(NAME), "\u{feff}[defaults]\n").expect("written");
        assert_eq!(found(&[("HOME", home)]), Some(own.join(NAME)));
        assert_eq!(found(&[("HOME", home), ("XDG_CONFIG_HOME", "/none")]), None);
        assert_eq!(
            found(&[("HOME", home), ("XDG_CONFIG_HOME", "relative")]),
            Some(own.join(NAME))
        );
        let named = folder.path().join("other.toml");
        std::fs::write(&named, "").expect("written");
        let variables = [
            ("HOME", home),
            ("IXTRACT_CONFIG", named.to_str().expect("UTF-8")),
        ];
        assert_eq!(found(&variables), Some(named));
    }

    #[test]
    fn a_byte_order_mark_is_no_text() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(NAME);
        std::fs::write(&path, "\u{feff}[defaults]\r\n").expect("written");
        assert_eq!(read(&path).expect("read").text, "[defaults]\r\n");
    }

    #[test]
    fn what_cannot_be_read_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let latin = folder.path().join("latin.toml");
        std::fs::write(&latin, b"[defaults]\n# \xe4\n").expect("written");
        for (path, says) in [
            (folder.path(), "directory"),
            (&folder.path().join("none"), "No such file"),
            (&latin, "line 2 is not UTF-8"),
            (Path::new("/dev/zero"), "longer than 1 MiB"),
        ] {
            let failure = read(path).expect_err("refused");
            assert_eq!(failure.exit, ExitCode::Config);
            assert!(failure.why.contains(says), "{failure}");
        }
    }
}
