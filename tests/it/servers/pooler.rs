//! Debian's pgbouncer in transaction mode, in front of a server.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::Address;
use super::private::free_port;
use crate::extraction::until;
use crate::{setting, setting_or};

/// A running pooler, stopped when dropped.
pub(crate) struct Pooler {
    process: Child,
    address: Address,
    _home: TempDir,
}

impl Pooler {
    /// Starts a pooler of at most `size` server connections to the database of `address`.
    pub(crate) fn of(address: &Address, size: u32) -> Self {
        let home = tempfile::Builder::new()
            .prefix("pooler-")
            .tempdir_in(PathBuf::from(setting("IXTRACT_TEST_DIR")))
            .expect("a directory for the pooler");
        let (port, directory) = (free_port(), home.path().display());
        let users = format!("\"{}\" \"{}\"\n", address.user, address.password);
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n\
             auth_file = {directory}/users\npool_mode = transaction\ndefault_pool_size = {size}\n\
             logfile = {directory}/log\n",
            address.port
        );
        let file = home.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).expect("settings");
        std::fs::write(home.path().join("users"), users).expect("users");
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(home.path(), open).expect("permissions");
        // It refuses to be root, and must not outlive a test that is killed.
        let user = setting_or("IXTRACT_TEST_SERVER_USER", "");
        let mut command = Command::new("setpriv");
        if !user.is_empty() {
            command.args([&format!("--reuid={user}"), "--clear-groups"]);
        }
        command
            .args(["--pdeathsig", "KILL", "--", "/usr/sbin/pgbouncer", "-q"])
            .arg(&file)
            .stdin(Stdio::null())
            .stderr(Stdio::null());
        let process = command.spawn().expect("pgbouncer");
        until("the pooler listens", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self {
            process,
            address: Address {
                port,
                ..address.clone()
            },
            _home: home,
        }
    }

    /// How to reach the database through the pooler.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        // It may have ended by itself, and then a test has failed already.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
