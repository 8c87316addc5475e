//! `doctor` sees what would stand in a run's way, names the fix that helps, and leaves nothing.

use serde_json::Value;

use crate::extraction::until;
use crate::ixtract::{Cli, Outcome};
use crate::servers::mysql::both;
use crate::servers::sqlserver::SqlDatabase;
use crate::servers::{Address, Database, Pooler, PrivatePostgres, Session, postgres};
use crate::stores::{Bucket, user_without};

/// `doctor` of a source, for people and as JSON, which must agree; and the checks by name.
struct Examined {
    outcome: Outcome,
    checks: Vec<Value>,
}

impl Examined {
    fn of(cli: &Cli, source: &str, words: &[&str]) -> Self {
        let words = [&["doctor", "--source", source], words].concat();
        let json = cli.run([&words[..], &["--json"]].concat());
        let outcome = cli.run(&words);
        let document = json.json();
        assert_eq!(json.code, outcome.code, "{json:#?}, {outcome:#?}");
        assert_eq!(document["exit"], outcome.code);
        let checks = document["checks"].as_array().expect("checks").clone();
        // One line each, and the verdict.
        assert_eq!(
            outcome.stdout.lines().count(),
            checks.len() + 1,
            "{outcome:#?}"
        );
        Self { outcome, checks }
    }

    fn check(&self, name: &str) -> &Value {
        let found = self.checks.iter().find(|check| check["name"] == name);
        found.unwrap_or_else(|| panic!("no check {name}: {:#?}", self.outcome))
    }

    #[track_caller]
    fn expect(&self, name: &str, outcome: &str, words: &str) -> &Self {
        let check = self.check(name);
        let text = format!("{} {}", check["seen"], check["fix"]);
        assert!(
            check["outcome"] == outcome && text.contains(words),
            "{name} is not {outcome} with '{words}': {:#?}",
            self.outcome
        );
        self
    }

    #[track_caller]
    fn expect_code(&self, code: i32) -> &Self {
        assert_eq!(self.outcome.code, code, "{:#?}", self.outcome);
        self
    }

    fn fix(&self, name: &str) -> &str {
        self.check(name)["fix"].as_str().expect("a fix")
    }

    /// The fix's statement: what follows the last colon before GRANT.
    fn grant(&self, name: &str) -> &str {
        let fix = self.fix(name);
        let statement = &fix[fix.find("GRANT").expect("a GRANT")..];
        statement.split(", or ").next().expect("a statement")
    }
}

fn scene() -> (Database, Cli) {
    let database = postgres().fresh_database();
    database.exec(
        "CREATE TABLE orders (id int8 PRIMARY KEY, note text);
         INSERT INTO orders SELECT i, 'n' FROM generate_series(1, 1000) i; ANALYZE orders",
    );
    (database, Cli::new())
}

fn files(cli: &Cli) -> Vec<String> {
    let listed = std::fs::read_dir(cli.home()).expect("a home");
    let names = listed.map(|entry| entry.expect("an entry").file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

#[test]
fn a_role_that_may_read_is_all_well_and_nothing_is_left() {
    let (database, cli) = scene();
    let role = database.limited_role();
    database.exec(&format!("GRANT SELECT ON orders TO {}", role.user));
    let examined = Examined::of(&cli, &role.to_string(), &["orders"]);
    examined
        .expect_code(0)
        .expect("source", "good", "PostgreSQL")
        .expect("role", "good", "no superuser")
        .expect("encryption", "good", "TLS")
        .expect("standby", "good", "a primary")
        .expect("pooler", "good", "none seen")
        .expect("time limits", "good", "none that would end a run")
        .expect("clock", "good", "its clock")
        .expect("connections", "good", "in use")
        .expect(
            "table",
            "good",
            "public.orders: may be read; 2 columns, about 1000 rows",
        )
        .expect("snapshot", "good", "ACCESS SHARE lock")
        .expect(
            "output",
            "good",
            "public.orders: a file was written and removed",
        )
        .expect("room", "good", "free")
        .expect("history", "good", "not there yet");
    assert!(examined.outcome.stdout.ends_with("all well\n"));
    assert_eq!(files(&cli), Vec::<String>::new());
    until("its sessions are gone", || {
        let ours = format!(
            "SELECT 1 FROM pg_stat_activity WHERE usename = '{}'",
            role.user
        );
        database.query_text(&ours).is_empty()
    });
    // Every version answers the same questions.
    for server in crate::servers::Postgres::versions() {
        Examined::of(&cli, &server.address().to_string(), &[]).expect_code(0);
    }
}

#[test]
fn a_missing_grant_is_named_and_helps() {
    let (database, cli) = scene();
    let role = database.limited_role();
    let examined = Examined::of(&cli, &role.to_string(), &["orders"]);
    examined
        .expect_code(77)
        .expect("table", "failed", "SELECT is not granted");
    // The rest is looked at all the same.
    examined.expect("output", "good", "a file was written");
    database.exec(examined.grant("table"));
    Examined::of(&cli, &role.to_string(), &["orders"]).expect_code(0);
}

#[test]
fn row_security_and_a_missing_table_are_what_a_run_would_end_with() {
    let (database, cli) = scene();
    let role = database.limited_role();
    database.exec(&format!(
        "ALTER TABLE orders ENABLE ROW LEVEL SECURITY; GRANT SELECT ON orders TO {}",
        role.user
    ));
    let source = role.to_string();
    let examined = Examined::of(&cli, &source, &["orders"]);
    examined
        .expect_code(77)
        .expect("snapshot", "failed", "--allow-row-security");
    Examined::of(&cli, &source, &["orders", "--allow-row-security"]).expect_code(0);
    Examined::of(&cli, &source, &["ordres"])
        .expect_code(64)
        .expect("table", "failed", "did you mean public.orders?");
}

#[test]
fn a_source_that_is_away_keeps_nothing_else_from_being_looked_at() {
    let cli = Cli::new();
    let source = "postgresql://u@127.0.0.1:1/d";
    let examined = Examined::of(&cli, source, &["orders", "--output", "a/b/{table}"]);
    examined
        .expect_code(69)
        .expect("source", "failed", "cannot reach 127.0.0.1:1")
        .expect("output", "good", "a file was written")
        .expect("history", "good", "not there yet");
    assert_eq!(files(&cli), Vec::<String>::new());
}

#[test]
fn a_table_that_is_locked_and_a_wrong_password_are_told() {
    let (database, cli) = scene();
    let holder = database.session();
    holder.exec("BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE");
    Examined::of(&cli, &database.url(), &["orders", "--lock-wait-s", "1"])
        .expect_code(75)
        .expect("table", "failed", "lock timeout")
        .expect("snapshot", "failed", "holds an exclusive lock");
    // Nor does a run wait for ever.
    let url = database.url();
    let words = ["run", "orders", "--lock-wait-s", "1", "--source", &url];
    let run = cli.run(words).expect_code(75);
    assert!(
        run.stderr.contains("is locked by somebody else"),
        "{run:#?}"
    );
    drop(holder);
    let wrong = Address {
        password: "not-it".to_owned(),
        ..database.limited_role()
    };
    let examined = Examined::of(&cli, &wrong.to_string(), &[]);
    examined
        .expect_code(77)
        .expect("source", "failed", "password authentication failed");
    assert!(!examined.outcome.stdout.contains("not-it"));
}

#[test]
fn a_standby_that_cancels_long_reads_is_told_here_and_in_the_plan() {
    let primary = PrivatePostgres::start("");
    let database = primary.fresh_database();
    database.exec("CREATE TABLE t (id int8 PRIMARY KEY); INSERT INTO t VALUES (1)");
    let standby = PrivatePostgres::standby_of(&primary);
    let there = Address {
        database: database.name().to_owned(),
        ..standby.address().clone()
    };
    let (cli, url) = (Cli::new(), there.to_string());
    let examined = Examined::of(&cli, &url, &["t"]);
    examined
        .expect_code(1)
        .expect(
            "standby",
            "warning",
            "cancelled after 30 s (max_standby_streaming_delay)",
        )
        .expect("snapshot", "good", "read from a standby");
    let plan = cli.run(["plan", "t", "--source", &url]).expect_code(0);
    assert!(
        plan.stdout.contains("hot_standby_feedback is off"),
        "{plan:#?}"
    );
    assert!(plan.stdout.contains("SAFE WITH WARNINGS"), "{plan:#?}");

    // The fix as it is told.
    let session = Session::open(&there);
    assert!(
        examined
            .fix("standby")
            .contains("ALTER SYSTEM SET hot_standby_feedback = on")
    );
    session.exec("ALTER SYSTEM SET hot_standby_feedback = on");
    session.exec("SELECT pg_reload_conf()");
    until("the setting is in force", || {
        Session::open(&there).query_text("SHOW hot_standby_feedback") == [[Some("on".to_owned())]]
    });
    Examined::of(&cli, &url, &["t"]).expect_code(0).expect(
        "standby",
        "good",
        "hot_standby_feedback is on",
    );
    let plan = cli.run(["plan", "t", "--source", &url]).expect_code(0);
    assert!(!plan.stdout.contains("hot_standby_feedback"), "{plan:#?}");
}

#[test]
fn a_pooler_is_seen_and_so_is_one_that_is_too_small() {
    let (database, cli) = scene();
    let pooler = Pooler::of(database.address(), 10);
    Examined::of(&cli, &pooler.address().to_string(), &["orders"])
        .expect_code(0)
        .expect("pooler", "good", "a transaction pooler");
    let small = Pooler::of(database.address(), 1);
    Examined::of(&cli, &small.address().to_string(), &[])
        .expect_code(1)
        .expect("pooler", "warning", "default_pool_size");
}

#[test]
fn settings_that_end_sessions_are_told_with_the_role_that_has_them() {
    let (database, cli) = scene();
    let role = database.limited_role();
    database.exec(&format!(
        "GRANT SELECT ON orders TO {user}; ALTER ROLE {user} SET statement_timeout = '7s'",
        user = role.user
    ));
    let source = role.to_string();
    Examined::of(&cli, &source, &["orders"])
        .expect_code(0)
        .expect("time limits", "good", "statement_timeout = 7s: set aside");
    database.exec(&format!(
        "ALTER ROLE {} SET idle_session_timeout = '2s'",
        role.user
    ));
    let examined = Examined::of(&cli, &source, &["orders"]);
    examined
        .expect_code(1)
        .expect("time limits", "warning", "idle_session_timeout = 2000 ms");
    database.exec(examined.fix("time limits"));
    Examined::of(&cli, &source, &["orders"]).expect_code(0);
    // A server that is nearly full.
    database.exec(&format!("ALTER ROLE {} CONNECTION LIMIT 2", role.user));
    Examined::of(&cli, &source, &[]).expect_code(75).expect(
        "connections",
        "failed",
        "a run takes at least 3",
    );
}

#[test]
fn rights_that_mysql_lacks_are_told_one_after_the_other() {
    for server in both() {
        let database = server.fresh_database();
        database.exec("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2)");
        let user = database.limited_user();
        let examine = || Examined::of(&Cli::new(), &user.to_string(), &["t"]);
        // Even the database is not to be seen, and the account is named as the server knows it.
        let denied = examine();
        denied
            .expect_code(77)
            .expect("source", "failed", "Access denied");
        database.exec(denied.grant("source"));

        let alone = examine();
        alone
            .expect_code(1)
            .expect("snapshot", "warning", "one reader only");
        database.exec(alone.grant("snapshot"));

        let blind = examine();
        blind
            .expect_code(1)
            .expect("snapshot", "good", "LOCK TABLES")
            .expect("watcher", "warning", "goes unseen");
        let grant = format!("GRANT PROCESS ON *.* TO '{}'@'127.0.0.1'", user.user);
        assert_eq!(blind.fix("watcher"), grant);
        database.exec(&grant);

        examine()
            .expect_code(0)
            .expect("watcher", "good", "sees who waits")
            .expect("proxy", "good", "none seen")
            .expect("time limits", "good", "net_write_timeout")
            .expect("clock", "good", "its clock");

        database.exec(&format!(
            "GRANT USAGE ON *.* TO '{}'@'127.0.0.1' WITH MAX_QUERIES_PER_HOUR 5000",
            user.user
        ));
        examine()
            .expect_code(1)
            .expect("time limits", "warning", "MAX_QUERIES_PER_HOUR 5000");
    }
}

#[test]
fn a_sqlite_file_is_looked_at_and_stays_as_it_is() {
    let cli = Cli::new();
    let path = cli.home().join("shop.db");
    let writer = rusqlite::Connection::open(&path).expect("a database");
    writer
        .execute_batch("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        .expect("a table");
    let source = format!("sqlite:{}", path.display());
    let before = std::fs::read(&path).expect("bytes");
    Examined::of(&cli, &source, &["t"])
        .expect_code(0)
        .expect("journal", "good", "writers of this database wait")
        .expect("writer", "good", "none at work now")
        .expect("connections", "good", "it is a file");
    assert!(before == std::fs::read(&path).expect("bytes"));
    writer
        .execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
        .expect("a write");
    Examined::of(&cli, &source, &[]).expect("writer", "warning", "-journal");
    writer
        .execute_batch("COMMIT; PRAGMA journal_mode = WAL; BEGIN IMMEDIATE")
        .expect("WAL");
    Examined::of(&cli, &source, &[])
        .expect_code(1)
        .expect("journal", "good", "writers go on")
        .expect("writer", "warning", "the write lock is taken");
    writer.execute_batch("COMMIT").expect("the end");
    Examined::of(&cli, &source, &["t"]).expect_code(0);
}

#[test]
fn an_output_is_really_written_to_and_what_dead_runs_left_stays() {
    let (database, cli) = scene();
    let url = database.url();
    let foreign = cli.home().join("lake");
    std::fs::create_dir(&foreign).expect("a directory");
    std::fs::write(foreign.join("mine.txt"), "mine").expect("a file");
    Examined::of(&cli, &url, &["orders", "--output", "lake"])
        .expect_code(73)
        .expect("output", "failed", "not ours to replace");
    let staged = cli.home().join(".out.ixtract-staging-0badcafe");
    std::fs::create_dir(&staged).expect("what a dead run left");
    for layout in ["replace", "runs"] {
        let words = ["orders", "--output", "out", "--layout", layout];
        Examined::of(&cli, &url, &words).expect_code(0);
        assert!(staged.exists() && !cli.home().join("out").exists());
    }
    std::fs::write(cli.home().join("file"), "").expect("a file");
    Examined::of(&cli, &url, &["orders", "--output", "file/out"]).expect_code(73);
}

#[test]
fn an_object_is_really_put_and_removed() {
    let (database, url) = {
        let (database, _) = scene();
        let url = database.url();
        (database, url)
    };
    for bucket in Bucket::everywhere() {
        let cli = bucket.cli();
        let examined = Examined::of(&cli, &url, &["orders", "--output", &bucket.url()]);
        examined
            .expect_code(0)
            .expect("output", "good", "a file was written and removed")
            .expect("store clock", "good", "its clock")
            .expect("room", "good", "no end");
        assert!(bucket.keys().is_empty());
    }
    let bucket = Bucket::on_moto();
    let (key, secret) = user_without(&["s3:DeleteObject"]);
    let cli = bucket
        .cli()
        .unset("AWS_ACCESS_KEY_ID")
        .unset("AWS_SECRET_ACCESS_KEY")
        .env("AWS_ACCESS_KEY_ID", key)
        .env("AWS_SECRET_ACCESS_KEY", secret);
    Examined::of(&cli, &url, &["orders", "--output", &bucket.url()])
        .expect_code(1)
        .expect("output", "warning", "s3:DeleteObject");
    let cli = bucket
        .cli()
        .unset("AWS_SECRET_ACCESS_KEY")
        .env("AWS_SECRET_ACCESS_KEY", "wrong");
    Examined::of(&cli, &url, &["orders", "--output", &bucket.url()])
        .expect_code(77)
        .expect("output", "failed", "SignatureDoesNotMatch");
    drop(database);
}

#[test]
fn a_history_that_cannot_be_used_is_a_warning_unless_it_is_required() {
    let (database, cli) = scene();
    let (url, path) = (database.url(), cli.home().join("s.db"));
    std::fs::write(
        &path,
        "no database at all, but more bytes than an empty file has",
    )
    .expect("a file");
    let words = ["orders", "--state", "s.db"];
    let examined = Examined::of(&cli, &url, &words);
    examined
        .expect_code(1)
        .expect("history", "warning", "a run goes on without");
    let words = [&words[..], &["--state-required"]].concat();
    Examined::of(&cli, &url, &words)
        .expect_code(78)
        .expect("history", "failed", "s.db");
}

#[test]
fn what_stands_in_the_way_on_sql_server_is_told_with_its_fix() {
    let database = SqlDatabase::fresh();
    database.exec("CREATE TABLE t (id INT PRIMARY KEY); INSERT INTO t VALUES (1), (2)");
    let examine = |source: &str| Examined::of(&Cli::new(), source, &["t"]);
    examine(&database.url())
        .expect_code(0)
        .expect("role", "good", "[dbo]")
        .expect("encryption", "good", "on this machine")
        .expect("isolation", "good", "allowed")
        .expect("replica", "good", "takes writes")
        .expect("watcher", "good", "sees who waits")
        .expect("clock", "good", "");

    let user = database.limited_login();
    let denied = examine(&user.to_string());
    denied.expect_code(77);
    let grant = format!("GRANT SELECT ON [dbo].[t] TO [{}]", user.user);
    assert!(
        denied.outcome.stdout.contains(&grant),
        "{:#?}",
        denied.outcome
    );
    database.exec(&grant);
    database.forbid_snapshots();
    let blind = examine(&user.to_string());
    blind
        .expect_code(1)
        .expect("watcher", "warning", "GRANT VIEW SERVER STATE")
        .expect("snapshot", "warning", "one reader only");
    database.exec(blind.fix("isolation"));
    examine(&database.url()).expect_code(0);
}
