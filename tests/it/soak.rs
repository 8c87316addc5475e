//! Many runs, one after another, each with a fault from a seed, while others write to the table and a
//! reader goes on reading what is published: not one torn read, not one row lost or doubled.
//!
//! `IXTRACT_TEST_SOAK=200` makes it long, `IXTRACT_TEST_SEED=N` another one. The table's number of rows
//! and the sum of its balances never change, so every snapshot of it shows whether it is whole.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use ixtract::writer::publish::Step;
use serde_json::Value;

use crate::consistency::accounts::{self, ACCOUNTS, TOTAL, Writers};
use crate::extraction::until;
use crate::ixtract::{Cli, Outcome, Signal};
use crate::proxy::Proxy;
use crate::random::{Random, seed};
use crate::servers::{Database, postgres};
use crate::stores::{Bucket, Faulty};
use crate::{setting, setting_or};

/// What goes wrong in a run.
#[derive(Clone, Debug)]
enum Fault {
    /// Nothing.
    None,
    /// The program gets a signal after so many milliseconds.
    Signal(Signal, u64),
    /// It aborts after a step of publishing.
    Crash(Step),
    /// The server ends one of its sessions after so many milliseconds.
    Terminated(u64),
    /// The network ends a connection after so many bytes; one, or every one that gets so far.
    Cut(u64, bool),
    /// The network falls silent after so many bytes, and the program is told to stop later.
    Silence(u64),
    /// No file may be longer than so many blocks of 512 bytes.
    NoRoom(u64),
    /// The store does this to some of the requests that write.
    Store(&'static str),
}

impl Fault {
    fn draw(random: &mut Random) -> Self {
        match random.below(10) {
            0 | 1 => Self::None,
            2 => Self::Signal(Signal::KILL, random.below(1500)),
            3 => Self::Signal(Signal::TERM, random.below(1500)),
            4 => Self::Crash(Step::ALL[random.below(Step::ALL.len() as u64) as usize]),
            5 => Self::Terminated(random.below(800)),
            6 => Self::Cut(20_000 + random.below(600_000), random.once_in(2)),
            7 => Self::Silence(20_000 + random.below(600_000)),
            8 => Self::NoRoom(4 + random.below(120)),
            _ => Self::Store(random.pick(&["throttle", "lose", "drop"])),
        }
    }

    /// The exit codes that this may end with, beside success.
    fn may_end_with(&self) -> &'static [i32] {
        match self {
            Self::None => &[],
            Self::Signal(signal, _) if *signal == Signal::KILL => &[137],
            Self::Signal(..) => &[143],
            Self::Crash(_) => &[134],
            // A session that is lost while it is opened, or for good.
            Self::Terminated(_) | Self::Cut(..) => &[69, 75],
            Self::Silence(_) => &[69, 75, 143],
            Self::NoRoom(_) => &[73],
            Self::Store(_) => &[69, 75],
        }
    }
}

/// Everything that goes on beside the runs.
struct Soak {
    database: Database,
    bucket: Bucket,
    cli: Cli,
    random: Random,
}

impl Soak {
    /// One run under a fault; its outcome, and whether it wrote to the store.
    fn run(&mut self, fault: &Fault) -> (Outcome, bool) {
        let remote = matches!(fault, Fault::Store(_)) || self.random.once_in(4);
        let proxy = self.line(fault);
        let url = proxy.as_ref().map_or_else(
            || self.database.url(),
            |proxy| self.database.url_through(proxy.port()),
        );
        let faulty = match *fault {
            Fault::Store(how) => Some(Faulty::of("PUT", &self.bucket, (3, 2), &[how])),
            _ => None,
        };
        let endpoint = faulty
            .as_ref()
            .map_or_else(|| self.bucket.endpoint(), Faulty::endpoint);
        let limit = format!(
            "trap '' XFSZ; ulimit -f {}; exec \"$@\"",
            match fault {
                Fault::NoRoom(blocks) if !remote => *blocks,
                _ => 1 << 20,
            }
        );
        let crash = match fault {
            Fault::Crash(step) => step.name(),
            _ => "never",
        };
        let cli = std::mem::replace(&mut self.cli, Cli::new());
        self.cli = cli
            .unset("AWS_ENDPOINT_URL")
            .env("AWS_ENDPOINT_URL", endpoint)
            .unset("IXTRACT_CRASH_AT")
            .env("IXTRACT_CRASH_AT", crash)
            .through(&["sh", "-c", &limit, "sh"]);
        let words = self.words(&url, remote);
        let mut running = self.cli.spawn(words);
        let pause = |ms| std::thread::sleep(Duration::from_millis(ms));
        match *fault {
            Fault::Signal(signal, after) => {
                pause(after);
                running.signal(signal);
            }
            Fault::Terminated(after) => {
                pause(after);
                self.database.exec(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE datname = current_database() AND application_name LIKE 'ixtract%'
                     ORDER BY random() LIMIT 1",
                );
            }
            Fault::Silence(_) => {
                pause(1500);
                running.signal(Signal::TERM);
            }
            _ => {}
        }
        let outcome = running.wait();
        // What looks at the result meets no fault.
        let cli = std::mem::replace(&mut self.cli, Cli::new());
        self.cli = cli
            .unset("AWS_ENDPOINT_URL")
            .env("AWS_ENDPOINT_URL", self.bucket.endpoint())
            .unset("IXTRACT_CRASH_AT")
            .through(&[]);
        (outcome, remote)
    }

    /// The network between program and server, where the fault is there.
    fn line(&self, fault: &Fault) -> Option<Proxy> {
        let line = Proxy::to(self.database.address().port);
        let line = match *fault {
            Fault::Cut(bytes, true) => line.cut_after(bytes).once(),
            Fault::Cut(bytes, false) => line.cut_after(bytes),
            Fault::Silence(bytes) => line.hang_after(bytes).once(),
            _ => return None,
        };
        Some(line.start())
    }

    /// A command line as users write it, a little different each time.
    fn words(&mut self, url: &str, remote: bool) -> Vec<String> {
        let random = &mut self.random;
        let output = if remote {
            self.bucket.url()
        } else {
            "out".to_owned()
        };
        let workers = (1 + random.below(4)).to_string();
        let chunk = (1_000 + random.below(9_000)).to_string();
        let words = [
            "run",
            "public.accounts",
            "--source",
            url,
            "--output",
            &output,
            "--json",
            "--quiet",
            "--workers",
            &workers,
            "--chunk-rows",
            &chunk,
            "--proof",
            random.pick(&["count", "full"]),
            "--chunking",
            random.pick(&["auto", "key"]),
            "--keep",
            random.pick(&["0", "1"]),
        ];
        words.map(str::to_owned).to_vec()
    }

    /// The run that a dataset is of; none where there is none.
    fn published(&self, remote: bool) -> Option<String> {
        let place = if remote {
            self.bucket.url()
        } else {
            "out".to_owned()
        };
        let outcome = self.cli.run(["verify", &place, "--json"]);
        match outcome.code {
            0 => {
                let document = outcome.json();
                assert_eq!(document["rows"], ACCOUNTS);
                Some(document["run"].as_str().expect("a run").to_owned())
            }
            _ => {
                let why = outcome.json()["error"]["why"].to_string();
                assert!(why.contains("there is no _manifest.json"), "{outcome:#?}");
                None
            }
        }
    }
}

/// The reader beside it all.
struct Reader {
    process: Child,
    output: BufReader<ChildStdout>,
    stop: PathBuf,
}

impl Reader {
    fn start(soak: &Soak) -> Self {
        let home = soak.cli.home();
        let stop = home.join("stop");
        let url = soak.bucket.url();
        let mut process = Command::new(setting("IXTRACT_TEST_PYTHON"))
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/soak.py"))
            .arg(home.join("out"))
            .arg(url.strip_prefix("s3://lake/").expect("our bucket"))
            .args([ACCOUNTS.to_string(), TOTAL.to_string()])
            .arg(&stop)
            .envs(["IXTRACT_TEST_S3"].map(|name| (name, setting(name))))
            .stdout(Stdio::piped())
            .spawn()
            .expect("python");
        let mut output = BufReader::new(process.stdout.take().expect("piped"));
        let mut ready = String::new();
        output.read_line(&mut ready).expect("a sign that it reads");
        assert_eq!(ready, "ready\n");
        Self {
            process,
            output,
            stop,
        }
    }

    /// Ends it; how often it read each dataset whole. What it found torn fails the test.
    fn stop(mut self) -> Value {
        std::fs::write(&self.stop, "").expect("a file");
        let mut last = String::new();
        self.output.read_line(&mut last).expect("its numbers");
        assert!(
            self.process.wait().expect("an end").success(),
            "a torn read"
        );
        let counts: Value = serde_json::from_str(&last).expect("numbers");
        counts[0].clone()
    }
}

#[test]
fn runs_under_random_faults_never_publish_anything_torn() {
    let runs: u32 = setting_or("IXTRACT_TEST_SOAK", "12")
        .parse()
        .expect("a number");
    println!(
        "seed {}, {runs} runs: IXTRACT_TEST_SEED, IXTRACT_TEST_SOAK",
        seed()
    );
    let database = postgres().fresh_database();
    accounts::create(&database);
    let bucket = Bucket::new();
    let mut soak = Soak {
        cli: bucket.cli(),
        database,
        bucket,
        random: Random::new(seed(), "soak"),
    };
    let writers = Writers::start(&soak.database);
    let reader = Reader::start(&soak);
    let mut published = [None, None];
    let mut succeeded = 0;
    for number in 1..=runs {
        // The first two give the reader something to read; the last two sweep.
        let calm = number <= 2 || number + 2 > runs;
        let fault = if calm {
            Fault::None
        } else {
            Fault::draw(&mut soak.random)
        };
        let (outcome, remote) = soak.run(&fault);
        println!(
            "run {number}: {fault:?}, {}: {}",
            if remote { "store" } else { "local" },
            outcome.code
        );
        let known = outcome.code == 0 || fault.may_end_with().contains(&outcome.code);
        assert!(known, "run {number} under {fault:?}: {outcome:#?}");
        let before = std::mem::take(&mut published[usize::from(remote)]);
        let now = soak.published(remote);
        if outcome.code == 0 {
            succeeded += 1;
            let own = outcome.json()["run"].as_str().map(str::to_owned);
            assert_eq!(now, own, "run {number} under {fault:?}");
        } else if !matches!(outcome.code, 134 | 137 | 143) {
            // Who says that nothing was published has published nothing.
            assert_eq!(now, before, "run {number} under {fault:?}: {outcome:#?}");
        }
        published[usize::from(remote)] = now;
    }
    assert!(succeeded >= 4, "{succeeded} of {runs} runs succeeded");
    assert!(writers.done() > 0, "nobody wrote meanwhile");
    writers.stop();
    expect_clean(&mut soak);
    let whole = reader.stop();
    println!("{succeeded} of {runs} runs published; read whole: {whole}");
    assert!(whole["manifest"].as_u64() > Some(0), "{whole}");
}

/// After a calm run to each place nothing is left behind: no staging, no upload, no session, no run
/// that seems to be under way.
fn expect_clean(soak: &mut Soak) {
    let url = soak.database.url();
    for remote in [false, true] {
        let words = soak.words(&url, remote);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let cli = &soak.cli;
        cli.run(words).expect_code(0);
    }
    let entries = std::fs::read_dir(soak.cli.home()).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name());
    let staged: Vec<_> = names
        .filter(|name| name.to_string_lossy().contains(".ixtract-staging-"))
        .collect();
    assert!(staged.is_empty(), "{staged:?}");
    assert_eq!(soak.bucket.uploads(), Vec::<String>::new());
    until("no session is left on the server", || {
        let left = "SELECT 1 FROM pg_stat_activity
            WHERE datname = current_database() AND application_name LIKE 'ixtract%'";
        soak.database.query_text(left).is_empty()
    });
    let checked = soak
        .cli
        .run(["state", "check", "--json"])
        .expect_code(0)
        .json();
    assert_eq!(
        checked["contents"]["runs"]["running"],
        Value::Null,
        "{checked}"
    );
}
