//! The real program, run in a home of its own.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use rustix::process::{Pid, kill_process};
use tempfile::TempDir;

/// Signals that a [`Running`] program can be sent.
pub(crate) use rustix::process::Signal;

/// A user's environment in which `ixtract` runs, several times if the test likes: the state that
/// one run leaves is there for the next.
///
/// Nothing of the surroundings gets in (no `IXTRACT_*`, `PG*`, configuration or history); what a
/// test wants is set with [`env`](Self::env).
pub(crate) struct Cli {
    program: PathBuf,
    wrapper: Vec<String>,
    home: TempDir,
    environment: Vec<(String, String)>,
    stdin: Vec<u8>,
    timeout: Duration,
}

impl Cli {
    pub(crate) fn new() -> Self {
        Self::of(Path::new(env!("CARGO_BIN_EXE_ixtract")))
    }

    fn of(program: &Path) -> Self {
        Self {
            program: program.to_owned(),
            wrapper: Vec::new(),
            home: tempfile::tempdir().expect("a home"),
            environment: Vec::new(),
            stdin: Vec::new(),
            timeout: Duration::from_secs(120),
        }
    }

    /// The user's home and the program's working directory; empty at first.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// Sets an environment variable for all further runs.
    pub(crate) fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Takes back an environment variable that [`env`](Self::env) set.
    pub(crate) fn unset(mut self, name: &str) -> Self {
        self.environment.retain(|(set, _)| set != name);
        self
    }

    /// Starts further runs by another command, which gets the program and its arguments appended:
    /// `["sh", "-c", "ulimit -f 8; exec \"$@\"", "sh"]`.
    pub(crate) fn through(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Runs further programs without root's right to write everywhere.
    pub(crate) fn without_privilege(self) -> Self {
        if !rustix::process::geteuid().is_root() {
            return self;
        }
        self.through(&[
            "setpriv",
            "--bounding-set=-dac_override,-dac_read_search",
            "--inh-caps=-dac_override,-dac_read_search",
            "--",
        ])
    }

    /// What further runs read from standard input; nothing at first.
    pub(crate) fn stdin(mut self, text: &str) -> Self {
        self.stdin = text.into();
        self
    }

    /// How long a run may take before the test fails; two minutes at first.
    pub(crate) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Runs the program to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Outcome {
        self.spawn(arguments).wait()
    }

    /// Starts the program and leaves it running.
    pub(crate) fn spawn<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Running {
        let home = self.home.path();
        let program = self.program.as_os_str();
        let mut words = self.wrapper.iter().map(AsRef::as_ref).chain([program]);
        let mut command = Command::new(words.next().unwrap_or(program));
        command.args(words).args(arguments);
        command.current_dir(home).env_clear();
        command.envs(inherited());
        command
            .env("HOME", home)
            .env("XDG_STATE_HOME", home.join(".local/state"));
        command.env("LANG", "C.UTF-8");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        Running::new(
            child,
            format!("{command:?}"),
            self.stdin.clone(),
            self.timeout,
        )
    }
}

/// What a program needs to run at all, and what coverage needs to be measured.
#[expect(
    clippy::disallowed_methods,
    reason = "a child's environment is built from ours"
)]
fn inherited() -> impl Iterator<Item = (&'static str, std::ffi::OsString)> {
    let names = ["PATH", "TMPDIR", "LLVM_PROFILE_FILE"];
    names
        .into_iter()
        .filter_map(|name| Some((name, std::env::var_os(name)?)))
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The exit code; a shell's 128 + n where signal n ended the program.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// The one document that `--json` promises on standard output.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("standard output is not JSON ({error}): {self:#?}"))
    }

    /// Fails the test, showing both outputs, unless the program exited with this code.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }
}

/// A program at work. Dropped while it works, it is killed.
pub(crate) struct Running {
    description: String,
    pid: Pid,
    stdout: Arc<Output>,
    stderr: Arc<Output>,
    ended: Receiver<ExitStatus>,
    timeout: Duration,
    status: Option<ExitStatus>,
}

impl Running {
    fn new(mut child: Child, description: String, stdin: Vec<u8>, timeout: Duration) -> Self {
        let pid = Pid::from_child(&child);
        let input = child.stdin.take();
        // The program need not read it, or live to do so.
        std::thread::spawn(move || input.map(|mut input| input.write_all(&stdin)));
        let stdout = Output::collect(child.stdout.take().expect("piped"));
        let stderr = Output::collect(child.stderr.take().expect("piped"));
        let (end, ended) = channel();
        std::thread::spawn(move || {
            let status = child.wait().expect("the status of a child");
            // Nobody listens when the test gave up.
            end.send(status).ok();
        });
        Self {
            description,
            pid,
            stdout,
            stderr,
            ended,
            timeout,
            status: None,
        }
    }

    /// Sends a signal, if the program still runs.
    pub(crate) fn signal(&mut self, signal: Signal) {
        self.status = self.status.or_else(|| self.ended.try_recv().ok());
        if self.status.is_none() {
            // It may have ended in between; then there is nothing to signal.
            kill_process(self.pid, signal).ok();
        }
    }

    /// Waits until standard error contains `text`: a sign of how far the program has come.
    pub(crate) fn wait_for_stderr(&mut self, text: &str) {
        if !self.stderr.wait_for(text, self.timeout) {
            self.signal(Signal::KILL);
            panic!(
                "no {text:?} on standard error of {}: {}",
                self.description,
                self.stderr.text()
            );
        }
    }

    /// Waits for the end.
    pub(crate) fn wait(mut self) -> Outcome {
        use std::os::unix::process::ExitStatusExt;

        let status = match self.status {
            Some(status) => Ok(status),
            None => self.ended.recv_timeout(self.timeout),
        };
        let status = status.unwrap_or_else(|error| self.give_up(error));
        self.status = Some(status);
        let code = status
            .code()
            .or_else(|| Some(128 + status.signal()?))
            .expect("an ended child");
        Outcome {
            code,
            stdout: self.stdout.whole(),
            stderr: self.stderr.whole(),
        }
    }

    fn give_up(&mut self, error: RecvTimeoutError) -> ! {
        self.signal(Signal::KILL);
        let (description, timeout) = (&self.description, self.timeout);
        let (stdout, stderr) = (self.stdout.text(), self.stderr.text());
        panic!("{description}: {error} ({timeout:?})\nstdout: {stdout}\nstderr: {stderr}")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// One of a program's outputs, read as it comes so that the pipe never fills.
#[derive(Default)]
struct Output {
    state: Mutex<OutputState>,
    changed: Condvar,
}

#[derive(Default)]
struct OutputState {
    bytes: Vec<u8>,
    closed: bool,
}

impl Output {
    fn collect(mut pipe: impl Read + Send + 'static) -> Arc<Self> {
        let output = Arc::new(Self::default());
        let shared = Arc::clone(&output);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            loop {
                let length = pipe.read(&mut buffer).unwrap_or(0);
                let mut state = shared.lock();
                state.bytes.extend_from_slice(&buffer[..length]);
                state.closed = length == 0;
                shared.changed.notify_all();
                if state.closed {
                    return;
                }
            }
        });
        output
    }

    /// False when the output closed, or the time passed, without the text.
    fn wait_for(&self, text: &str, timeout: Duration) -> bool {
        let contains = |state: &OutputState| String::from_utf8_lossy(&state.bytes).contains(text);
        let waiting = |state: &mut OutputState| !state.closed && !contains(state);
        let waited = self
            .changed
            .wait_timeout_while(self.lock(), timeout, waiting);
        contains(&waited.expect("no reader panics").0)
    }

    /// Everything, once the program has closed it.
    fn whole(&self) -> String {
        let open = |state: &mut OutputState| !state.closed;
        drop(
            self.changed
                .wait_while(self.lock(), open)
                .expect("no reader panics"),
        );
        self.text()
    }

    /// What has come so far.
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.lock().bytes).into_owned()
    }

    fn lock(&self) -> MutexGuard<'_, OutputState> {
        self.state.lock().expect("no reader panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shell in place of `ixtract`, to see what a program sees.
    fn shell() -> Cli {
        Cli::of(Path::new("/bin/sh"))
    }

    #[test]
    fn only_what_the_test_set_gets_in() {
        let cli = shell().env("IXTRACT_STATE", "here");
        let outcome = cli.run(["-c", "env; pwd"]).expect_code(0);
        let home = cli.home().to_str().expect("a plain name");
        let variables = [
            "HOME",
            "XDG_STATE_HOME",
            "IXTRACT_STATE",
            "PATH",
            "TMPDIR",
            "LANG",
            "PWD",
        ];
        for line in outcome.stdout.lines().filter(|line| line.contains('=')) {
            let name = line.split('=').next().unwrap_or_default();
            let expected = variables.contains(&name)
                || ["LLVM_PROFILE_FILE", "_", "OLDPWD", "SHLVL"].contains(&name);
            assert!(expected, "inherited {line}");
        }
        assert!(outcome.stdout.contains(&format!("HOME={home}\n")));
        assert!(outcome.stdout.contains("IXTRACT_STATE=here\n"));
        assert!(outcome.stdout.ends_with(&format!("{home}\n")));
    }

    #[test]
    fn an_outcome_has_everything_printed() {
        let outcome = shell()
            .stdin("[1, 2]")
            .run(["-c", "cat; echo oops >&2; exit 75"]);
        assert_eq!((outcome.code, outcome.stderr.as_str()), (75, "oops\n"));
        assert_eq!(outcome.json(), serde_json::json!([1, 2]));
        // More than a pipe holds.
        let long = shell().run([
            "-c",
            "head -c 300000 /dev/zero; head -c 300000 /dev/zero >&2",
        ]);
        assert_eq!((long.stdout.len(), long.stderr.len()), (300_000, 300_000));
    }

    #[test]
    fn a_wrapper_starts_the_program() {
        let shell = shell().through(&["/bin/sh", "-c", "echo wrapped; exec \"$@\"", "sh"]);
        let outcome = shell.run(["-c", "echo $1", "sh", "a b"]).expect_code(0);
        assert_eq!(outcome.stdout, "wrapped\na b\n");
    }

    #[test]
    fn a_running_program_gets_signals() {
        let script = "trap 'echo caught; exit 3' INT; echo ready >&2; while :; do sleep 0.01; done";
        let mut running = shell().spawn(["-c", script]);
        running.wait_for_stderr("ready");
        running.signal(Signal::INT);
        let outcome = running.wait();
        assert_eq!((outcome.code, outcome.stdout.as_str()), (3, "caught\n"));
    }

    #[test]
    fn a_signal_that_kills_shows_in_the_code() {
        for (signal, code) in [(Signal::TERM, 143), (Signal::KILL, 137)] {
            let mut running = shell().spawn(["-c", "echo ready >&2; exec sleep 100"]);
            running.wait_for_stderr("ready");
            running.signal(signal);
            assert_eq!(running.wait().code, code);
        }
    }

    #[test]
    #[should_panic(expected = "timed out")]
    fn a_program_that_never_ends_fails_the_test() {
        shell()
            .timeout(Duration::from_millis(50))
            .run(["-c", "exec sleep 100"]);
    }

    #[test]
    fn the_program_is_ixtract() {
        let cli = Cli::new();
        assert_eq!(cli.program.file_name(), Some(OsStr::new("ixtract")));
        assert!(cli.program.is_file());
    }
}
