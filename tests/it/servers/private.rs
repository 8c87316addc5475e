//! A server that one test may stop, restart and break.

use std::net::TcpListener;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::{Address, Postgres};
use crate::setting;

const PASSWORD: &str = "private";

/// A server of the distribution's version, stopped when dropped.
///
/// Its directory lies in the scratch directory of `tests/run`, which stops it when the test was
/// killed. Creating one takes seconds: a test that breaks nothing wants [`super::postgres`].
pub(crate) struct PrivatePostgres {
    server: Postgres,
    home: TempDir,
}

impl PrivatePostgres {
    /// Creates and starts a server with additional lines of `postgresql.conf`.
    pub(crate) fn start(configuration: &str) -> Self {
        let home = new_home();
        setup(
            "create_server",
            &[path(&home), &bin(), PASSWORD, configuration],
        )
        .unwrap_or_else(|error| panic!("creating a server: {error}"));
        Self::start_in(home)
    }

    /// Starts a standby that follows `primary`.
    pub(crate) fn standby_of(primary: &Self) -> Self {
        let home = new_home();
        let data = home.path().join("data");
        let program = format!("{}/pg_basebackup", bin());
        let (data, source) = (data.to_string_lossy(), primary.address().to_string());
        let options = ["--checkpoint=fast", "--no-sync", "--write-recovery-conf"];
        let from_to = ["--pgdata", &data, "--dbname", &source];
        let arguments = [&[program.as_str()][..], &options, &from_to].concat();
        setup("as_server", &arguments)
            .unwrap_or_else(|error| panic!("copying the primary: {error}"));
        Self::start_in(home)
    }

    fn start_in(home: TempDir) -> Self {
        // Another process may take a free port before the server does.
        let started = (0..5).map(|_| free_port()).find(|port| {
            match setup("start_server", &[path(&home), &bin(), &port.to_string()]) {
                Ok(()) => true,
                Err(error) if error.contains("Address already in use") => false,
                Err(error) => panic!("starting a server: {error}"),
            }
        });
        let address = Address {
            host: "localhost".to_owned(),
            port: started.expect("a port that stays free"),
            user: "postgres".to_owned(),
            password: PASSWORD.to_owned(),
            database: "postgres".to_owned(),
        };
        Self {
            server: Postgres::at(address),
            home,
        }
    }

    /// Disconnects all clients and shuts down.
    pub(crate) fn stop(&self) {
        self.try_stop("--mode=fast")
            .unwrap_or_else(|error| panic!("stopping a server: {error}"));
    }

    /// Starts again, on the same port, after [`stop`](Self::stop).
    pub(crate) fn start_again(&self) {
        let port = self.address().port.to_string();
        setup("start_server", &[path(&self.home), &bin(), &port])
            .unwrap_or_else(|error| panic!("starting a server again: {error}"));
    }

    /// Stops and starts again.
    pub(crate) fn restart(&self) {
        self.stop();
        self.start_again();
    }

    /// Kills one of the server's processes as the kernel would when memory runs out. The server
    /// then ends every session and recovers.
    #[expect(
        clippy::unused_self,
        reason = "only of a private server, never of a shared one"
    )]
    pub(crate) fn kill9_backend(&self, pid: i32) {
        let pid = Pid::from_raw(pid).expect("a process id");
        kill_process(pid, Signal::KILL).expect("a process of ours");
    }

    fn try_stop(&self, mode: &str) -> Result<(), String> {
        let program = format!("{}/pg_ctl", bin());
        let data = self.home.path().join("data");
        let data = data.to_string_lossy();
        setup(
            "as_server",
            &[&program, "--pgdata", &data, mode, "--wait", "stop"],
        )
    }
}

impl Deref for PrivatePostgres {
    type Target = Postgres;

    fn deref(&self) -> &Postgres {
        &self.server
    }
}

impl Drop for PrivatePostgres {
    fn drop(&mut self) {
        // The test may have stopped it already.
        if self.home.path().join("data/postmaster.pid").exists() {
            // One that recovers from a crash may be deaf to the polite way for a minute.
            let stopped = self.try_stop("--mode=immediate");
            assert!(stopped.is_ok() || std::thread::panicking(), "{stopped:?}");
        }
    }
}

fn bin() -> String {
    setting("IXTRACT_TEST_PG_BIN")
}

fn path(home: &TempDir) -> &str {
    home.path()
        .to_str()
        .expect("a scratch directory with a plain name")
}

fn new_home() -> TempDir {
    let scratch = PathBuf::from(setting("IXTRACT_TEST_DIR"));
    let home = tempfile::Builder::new()
        .prefix("private-")
        .tempdir_in(scratch);
    let home = home.expect("a directory for the server");
    setup("make_home", &[path(&home)]).unwrap_or_else(|error| panic!("{error}"));
    home
}

pub(super) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// Calls a function of `tests/setup/postgres.sh`, the one place that knows how to run a server.
/// The error is what it printed.
fn setup(function: &str, arguments: &[&str]) -> Result<(), String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/setup/postgres.sh");
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", r#"source "$1"; "${@:2}""#, "bash"])
        .arg(script)
        .arg(function)
        .args(arguments)
        .current_dir(setting("IXTRACT_TEST_DIR"))
        .stdin(Stdio::null())
        .output()
        .expect("bash");
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

#[cfg(test)]
mod tests {
    use crate::servers::{PrivatePostgres, Session};

    #[test]
    fn a_server_of_ones_own_is_stopped_and_restarted() {
        let server = PrivatePostgres::start("work_mem = '7MB'");
        let database = server.fresh_database();
        let before = database.session();
        assert_eq!(
            before.query_text("SHOW work_mem"),
            [[Some("7MB".to_owned())]]
        );
        server.restart();
        assert!(
            before.try_exec("SELECT 1").is_err(),
            "the session did not survive"
        );
        database.exec("SELECT 1");
        server.stop();
        assert!(Session::try_open(server.address()).is_err());
        server.start_again();
    }

    #[test]
    fn a_killed_backend_takes_its_session_along() {
        let server = PrivatePostgres::start("");
        let session = server.session();
        server.kill9_backend(session.backend_pid());
        assert!(session.try_exec("SELECT 1").is_err());
    }

    #[test]
    fn a_standby_follows_its_primary() {
        let primary = PrivatePostgres::start("");
        let standby = PrivatePostgres::standby_of(&primary);
        let answer = standby.session().query_text("SELECT pg_is_in_recovery()");
        assert_eq!(answer, [[Some("t".to_owned())]]);
    }
}
