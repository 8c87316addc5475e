//! Processes of one machine keep within a number of sessions together, and none has more than it said.

use crate::extraction::until;
use crate::gate::{Gate, pids};
use crate::ixtract::{Cli, Running, Signal};
use crate::servers::mysql::both;
use crate::servers::{Database, postgres};

fn scene() -> (Database, Cli) {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE t (id int8 PRIMARY KEY);
         INSERT INTO t SELECT generate_series(1, 4000); ANALYZE t",
    );
    (database, Cli::new())
}

/// A run of two workers, four sessions in all, that stands at the gate.
fn holder(cli: &Cli, database: &Database, gate: &Gate) -> Running {
    let url = database.url();
    let words = ["run", "t", "--source", &url, "--output", "held"];
    let work = ["--workers", "2", "--chunk-rows", "500", "--where"];
    let running = cli.spawn([&words[..], &work, &[Gate::FILTER]].concat());
    gate.wait_for_readers(2);
    running
}

/// The words of a run of four workers under a limit.
fn words<'a>(command: &'a str, url: &'a str, most: &'a str) -> Vec<&'a str> {
    let words = [command, "t", "--source", url, "--output", "out"];
    let work = ["--workers", "4", "--chunk-rows", "500", "--json"];
    [&words[..], &work, &["--max-source-connections", most]].concat()
}

#[test]
fn a_second_process_takes_what_the_first_leaves() {
    let (database, cli) = scene();
    let gate = Gate::shut(&database);
    let first = holder(&cli, &database, &gate);
    let url = database.url();
    let second = cli.run(words("run", &url, "7")).expect_code(0).json();
    assert_eq!(second["workers"], 1, "{second:#}");
    assert_eq!(second["rows"], 4000);
    let warned = second["plan_warnings"].to_string();
    assert!(
        warned.contains("4 of --max-source-connections 7 are taken by process"),
        "{warned}"
    );
    // A plan sees the same, and takes nothing.
    let planned = cli.run(words("plan", &url, "8")).expect_code(0).json();
    assert_eq!(planned["plan"]["spec"]["workers"], 2, "{planned:#}");

    // Nothing is left for a third, nor for a benchmark.
    let refused = cli.run(words("run", &url, "6")).expect_code(75).json();
    let why = refused["error"]["why"].to_string();
    assert!(
        why.contains("4 of them are taken by process") && why.contains("at least 3"),
        "{refused:#}"
    );
    let measure = ["benchmark", "t", "--source", &url, "--force"];
    let most = ["--max-source-connections", "6"];
    cli.run([&measure[..], &most].concat()).expect_code(75);

    gate.open();
    first.wait().expect_code(0);
    let alone = cli.run(words("run", &url, "6")).expect_code(0).json();
    assert_eq!(alone["workers"], 4, "{alone:#}");
    assert!(!alone["plan_warnings"].to_string().contains("taken by"));
}

#[test]
fn what_a_killed_process_had_is_taken_over() {
    let (database, cli) = scene();
    let gate = Gate::shut(&database);
    let mut first = holder(&cli, &database, &gate);
    let url = database.url();
    cli.run(words("run", &url, "6")).expect_code(75);
    first.signal(Signal::KILL);
    assert_eq!(first.wait().code, 128 + 9);
    let session = database.session();
    gate.open();
    until("its sessions are gone", || {
        pids(&session, "true").is_empty()
    });
    let next = cli.run(words("run", &url, "6")).expect_code(0).json();
    assert_eq!((&next["workers"], &next["rows"]), (&4.into(), &4000.into()));
    let ledger = cli.home().join(".local/state/ixtract/state.db.sessions");
    let left = std::fs::read_dir(ledger).expect("a ledger").count();
    assert_eq!(left, 0, "nobody is at work");
}

#[test]
fn a_ledger_that_cannot_be_used_is_told_where_it_matters() {
    let (database, cli) = scene();
    let url = database.url();
    std::fs::write(cli.home().join("s.db.sessions"), "no directory").expect("a file");
    let state = ["--state", "s.db"];
    let outcome = cli.run([&words("run", &url, "6")[..], &state].concat());
    let outcome = outcome.expect_code(0);
    assert!(
        outcome.stderr.contains("holds for this process alone"),
        "{outcome:#?}"
    );
    let free = ["run", "t", "--source", &url, "--output", "free"];
    let outcome = cli.run([&free[..], &state].concat()).expect_code(0);
    assert!(!outcome.stderr.contains("sessions"), "{outcome:#?}");
}

/// The server itself counts: one session more would be refused.
#[test]
fn no_session_more_than_was_said() {
    let (database, _) = scene();
    let role = database.limited_role();
    database.exec(&format!(
        "GRANT SELECT ON t TO {0}; ALTER ROLE {0} CONNECTION LIMIT 4",
        role.user
    ));
    let url = role.to_string();
    let ran = Cli::new().run(words("run", &url, "4"));
    let ran = ran.expect_code(0).json();
    assert_eq!(ran["workers"], 2, "{ran:#}");
    // So small a table may be read before the second has its session; none was refused one.
    assert!(
        !ran["adaptations"].to_string().contains("connection"),
        "{ran:#}"
    );

    for server in both() {
        let database = server.fresh_database();
        let values: Vec<String> = (1..=2000).map(|n| format!("({n})")).collect();
        database.exec("CREATE TABLE t (id INT PRIMARY KEY)");
        database.exec(&format!("INSERT INTO t VALUES {}", values.join(",")));
        let user = database.limited_user();
        database.exec(&format!(
            "GRANT SELECT, LOCK TABLES ON {}.* TO '{}'@'127.0.0.1' WITH MAX_USER_CONNECTIONS 4",
            database.name(),
            user.user
        ));
        let url = user.to_string();
        let ran = Cli::new().run(words("run", &url, "4"));
        let ran = ran.expect_code(0).json();
        assert_eq!(ran["workers"], 2, "{ran:#}");
        assert_eq!(ran["consistency"]["level"], "shared-snapshot", "{ran:#}");
        assert_eq!(ran["consistency"]["readers"], 2, "{ran:#}");
        assert_eq!(
            ran["consistency"]["notes"].as_array().map(Vec::len),
            Some(0)
        );
    }
}
