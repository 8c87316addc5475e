//! Connections and memory are promises: the server's own list and the system's own account are looked
//! at, not what the program says.

use rusqlite::Connection;
use serde_json::json;

use super::{EIGHT, planned, table, workers};
use crate::extraction::{Extraction, until};
use crate::gate::{Gate, pids};
use crate::ixtract::Cli;
use crate::servers::postgres;
use crate::setting;

#[test]
fn no_more_connections_are_opened_than_allowed() {
    let (database, extraction) = table();
    let (session, gate) = (database.session(), Gate::shut(&database));
    let sessions = || pids(&session, "true").len();
    let each = [
        "--workers",
        "8",
        "--chunk-rows",
        "200",
        "--where",
        Gate::FILTER,
    ];
    for consistency in ["auto", "per-chunk"] {
        let cap = [
            "--max-source-connections",
            "5",
            "--consistency",
            consistency,
        ];
        let run = extraction.spawn(&[&each[..], &cap].concat());
        let mut most = 0;
        // Three readers and the count stand at the gate.
        until("the readers stand at the gate", || {
            most = most.max(sessions());
            gate.readers().len() == 3
        });
        until("the count stands there too", || {
            most = most.max(sessions());
            pids(&session, "wait_event = 'advisory'").len() == 4
        });
        assert_eq!(sessions(), 5, "{consistency}");
        assert_eq!(most, 5, "{consistency}");
        drop(run);
        until("the killed run's sessions end", || {
            session.exec(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE application_name LIKE 'ixtract/%' AND datname = current_database()",
            );
            sessions() == 0
        });
    }
    drop(gate);
    let run = extraction.spawn(&[&each[..], &["--max-source-connections", "4"]].concat());
    let mut most = 0;
    until("the run is over", || {
        let now = sessions();
        most = most.max(now);
        most > 0 && now == 0
    });
    run.wait().expect_code(0);
    assert!(most <= 4, "{most}");
    assert_eq!(extraction.count(), 4000);
}

#[test]
fn memory_stays_within_what_is_allowed() {
    let database = postgres().fresh_database();
    // Every row is wide, and the server keeps it small.
    database.exec(
        "CREATE TABLE t (id int8 PRIMARY KEY, a text NOT NULL);
         INSERT INTO t SELECT g, lpad(g::text, 5000, 'x') FROM generate_series(1, 24000) g;
         ANALYZE t",
    );
    let peak_mb = |flags: &[&str]| -> u64 {
        const PEAK: &str = "
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024, file=sys.stderr)
sys.exit(code)";
        let python = setting("IXTRACT_TEST_PYTHON");
        let cli = Cli::new().through(&[&python, "-c", PEAK]);
        let extraction = Extraction::new(database.url(), "t").by(cli);
        let each = [
            "--start-workers",
            "2",
            "--chunk-rows",
            "12000",
            "--compression",
            "none",
        ];
        let outcome = extraction
            .run(&[&each[..], &["--quiet"], flags].concat())
            .expect_code(0);
        let last = outcome.stderr.lines().last().expect("the peak");
        last.trim()
            .parse()
            .unwrap_or_else(|error| panic!("{last}: {error}"))
    };
    let free = peak_mb(&[]);
    let held = peak_mb(&["--max-memory-mb", "64"]);
    assert!(free > 64, "{free} MiB without a limit");
    assert!(held <= 64, "{held} MiB, and 64 are allowed");
}

#[test]
fn a_file_is_under_the_same_rules() {
    let cli = Cli::new();
    let path = cli.home().join("d.db");
    Connection::open(&path)
        .and_then(|db| {
            db.execute_batch(
                "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT);
                 WITH RECURSIVE g(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM g WHERE n < 4000)
                 INSERT INTO t SELECT n, 'x' FROM g; ANALYZE",
            )
        })
        .expect("a database");
    let extraction = Extraction::new(format!("sqlite:{}", path.display()), "t").by(cli);
    let connections = [
        "--max-source-connections",
        "6",
        "--concurrent-extractions",
        "1",
    ];
    assert_eq!(workers(&planned(&extraction, &connections)), 3);
    assert_eq!(
        workers(&planned(&extraction, &["--source-load", "high"])),
        4
    );
    let run = [&EIGHT[..], &connections, &["--json"]].concat();
    let document = extraction.run(&run).expect_code(0).json();
    assert_eq!(
        (&document["workers"], &document["teaches"]),
        (&json!(3), &json!(false))
    );
    assert_eq!(extraction.count(), 4000);
}
