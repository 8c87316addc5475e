//! What is known about a table without reading it: sizes that are right, keys, latency, headroom,
//! and the server's own counters to show that nothing was scanned.

use serde_json::Value;

use crate::ixtract::Cli;
use crate::servers::{Address, Database, Session, postgres};

/// `profile` of a table, by the role of an address.
fn profile(cli: &Cli, address: &Address, table: &str) -> Value {
    let url = address.to_string();
    let outcome = cli.run(["profile", table, "--source", &url, "--json"]);
    outcome.expect_code(0).json()["profile"].clone()
}

fn estimate(profile: &Value) -> u64 {
    profile["statistics"]["estimate"]["rows"]
        .as_u64()
        .expect("a number of rows")
}

/// Fails the test unless the estimate is right within a factor.
#[track_caller]
fn expect_about(profile: &Value, rows: u64, factor: u64) {
    let estimated = estimate(profile);
    assert!(
        estimated >= rows / factor && estimated <= rows * factor,
        "{estimated} rows estimated, {rows} are there: {}",
        profile["statistics"]
    );
}

/// How often a table was scanned, and how many rows scans and samples of it have read.
fn scans(session: &Session, table: &str) -> (u64, u64) {
    let rows = session.query_text(&format!(
        "SELECT seq_scan, seq_tup_read FROM pg_stat_user_tables WHERE relid = '{table}'::regclass"
    ));
    let number = |column: usize| {
        rows[0][column]
            .as_deref()
            .and_then(|text| text.parse().ok())
    };
    number(0).zip(number(1)).expect("two numbers")
}

/// Waits until the program's sessions are gone: a session reports what it did before it ends.
fn wait_until_reported(session: &Session) {
    let ours = "SELECT 1 FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for _ in 0..6000 {
        if session.query_text(ours).is_empty() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("sessions stay open");
}

const ROWS: u64 = 100_000;

fn tables() -> Database {
    let database = postgres().fresh_database();
    let columns = "(id int8 PRIMARY KEY, k int8, x text) WITH (autovacuum_enabled = off)";
    database.exec(&format!(
        "CREATE TABLE analysed {columns}; CREATE TABLE never {columns};
         CREATE INDEX ON never (k);
         INSERT INTO analysed SELECT i, i * 7, 'row ' || i FROM generate_series(1, {ROWS}) AS i;
         INSERT INTO never SELECT * FROM analysed; ANALYZE analysed"
    ));
    database
}

#[test]
fn neither_profile_nor_plan_scans_the_table() {
    let (database, cli) = (tables(), Cli::new());
    let session = database.session();
    // One scan, to see that the counters count.
    let before = scans(&session, "never");
    database.exec("SELECT count(x) FROM never");
    wait_until_reported(&session);
    let counted = scans(&session, "never");
    assert!(
        counted.0 > before.0 && counted.1 >= before.1 + ROWS,
        "{before:?}, {counted:?}"
    );

    let analysed = scans(&session, "analysed");
    for table in ["public.never", "public.analysed"] {
        profile(&cli, database.address(), table);
        for chunking in ["auto", "key", "ctid"] {
            let url = database.url();
            let plan = [
                "plan",
                table,
                "--source",
                &url,
                "--chunking",
                chunking,
                "--chunk-rows",
                "999",
            ];
            cli.run(plan).expect_code(0);
        }
    }
    wait_until_reported(&session);
    assert_eq!(
        scans(&session, "analysed"),
        analysed,
        "statistics were there to be used"
    );
    let (scanned, read) = scans(&session, "never");
    assert_eq!(scanned, counted.0, "a scan of a table without statistics");
    // A sample counts as rows read: at most 300 blocks of a hundred and fifty such rows, for the
    // number of rows and again for the key, at each of four looks.
    let sampled = read - counted.1;
    assert!(sampled <= 4 * 2 * 300 * 150, "{sampled} rows sampled");
}

#[test]
fn estimates_are_right_with_and_without_statistics() {
    let (database, cli) = (tables(), Cli::new());
    database.exec(
        "CREATE TABLE empty (id int PRIMARY KEY);
         CREATE TABLE one (id int PRIMARY KEY); INSERT INTO one VALUES (1);
         CREATE TABLE gone (id int PRIMARY KEY) WITH (autovacuum_enabled = off);
         INSERT INTO gone SELECT generate_series(1, 5000); DELETE FROM gone;
         CREATE TABLE wide (id int PRIMARY KEY, x text) WITH (autovacuum_enabled = off);
         INSERT INTO wide SELECT i, repeat(md5(i::text), 100) FROM generate_series(1, 2000) AS i;
         CREATE TABLE grown (id int PRIMARY KEY) WITH (autovacuum_enabled = off);
         INSERT INTO grown SELECT generate_series(1, 2000); ANALYZE grown;
         INSERT INTO grown SELECT generate_series(2001, 20000);
         CREATE TABLE parent (id int PRIMARY KEY) PARTITION BY RANGE (id);
         CREATE TABLE low PARTITION OF parent FOR VALUES FROM (0) TO (6000);
         CREATE TABLE high PARTITION OF parent FOR VALUES FROM (6000) TO (60000);
         INSERT INTO parent SELECT generate_series(1, 18000); ANALYZE low",
    );
    let of = |table: &str| profile(&cli, database.address(), &format!("public.{table}"));
    for (table, rows) in [
        ("analysed", ROWS),
        ("never", ROWS),
        ("wide", 2_000),
        ("grown", 20_000),
        ("parent", 18_000),
    ] {
        expect_about(&of(table), rows, 2);
    }
    assert_eq!(estimate(&of("empty")), 0, "an empty table");
    assert!(estimate(&of("one")) <= 10, "a table of one row");
    assert!(estimate(&of("gone")) <= 500, "a table of dead rows");
    let never = of("never");
    assert_eq!(never["statistics"]["estimate"]["origin"], "sample");
    let bytes = never["statistics"]["bytes"].as_u64().expect("bytes");
    let heap = database.query_text("SELECT pg_table_size('never')");
    let heap: u64 = heap[0][0]
        .as_deref()
        .and_then(|text| text.parse().ok())
        .expect("bytes");
    assert!(
        bytes <= heap && bytes * 2 >= heap,
        "{bytes} bytes, the server says {heap}"
    );
}

#[test]
fn keys_and_their_spread_are_known() {
    let (database, cli) = (tables(), Cli::new());
    for table in ["public.analysed", "public.never"] {
        let profile = profile(&cli, database.address(), table);
        let key = &profile["key"];
        assert_eq!(key["key"]["column"], "id", "{table}: {key}");
        assert_eq!(key["key"]["primary"], true, "{table}: {key}");
        assert_eq!(key["density"]["min"], "int:1", "{table}: {key}");
        assert_eq!(
            key["density"]["max"],
            format!("int:{ROWS}"),
            "{table}: {key}"
        );
        let bounds: Vec<i64> = key["density"]["bounds"]
            .as_array()
            .expect("bounds")
            .iter()
            .map(|bound| bound.as_str().and_then(|text| text.strip_prefix("int:")))
            .map(|digits| {
                digits
                    .and_then(|digits| digits.parse().ok())
                    .expect("an integer")
            })
            .collect();
        assert!(
            bounds.len() > 5 && bounds.is_sorted(),
            "{table}: {bounds:?}"
        );
        // Even keys: the middle bound is near the middle.
        let middle = bounds[bounds.len() / 2];
        let rows = ROWS as i64;
        assert!(
            (rows / 4..rows * 3 / 4).contains(&middle),
            "{table}: {bounds:?}"
        );
    }
}

#[test]
fn the_schema_decides_which_of_two_tables_it_is() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec(
        "CREATE SCHEMA a; CREATE SCHEMA b;
         CREATE TABLE a.t (id int PRIMARY KEY, only_a text);
         INSERT INTO a.t SELECT i, 'a' FROM generate_series(1, 3000) AS i;
         CREATE TABLE b.t (other int8 PRIMARY KEY);
         INSERT INTO b.t SELECT i FROM generate_series(1, 40) AS i;
         ANALYZE a.t, b.t",
    );
    let (a, b) = (
        profile(&cli, database.address(), "a.t"),
        profile(&cli, database.address(), "b.t"),
    );
    expect_about(&a, 3000, 2);
    expect_about(&b, 40, 2);
    let column = |profile: &Value| profile["table"]["columns"][0]["name"].clone();
    assert_eq!((column(&a), column(&b)), ("id".into(), "other".into()));
    assert_eq!(a["key"]["density"]["max"], "int:3000");
    assert_eq!(b["key"]["density"]["max"], "int:40");
}

#[test]
fn latency_and_headroom_are_shown() {
    let (database, cli) = (postgres().fresh_database(), Cli::new());
    database.exec("CREATE TABLE t (id int PRIMARY KEY)");
    let role = database.limited_role();
    database.exec(&format!(
        "GRANT SELECT ON t TO {0}; ALTER ROLE {0} CONNECTION LIMIT 9",
        role.user
    ));
    let limited = profile(&cli, &role, "public.t");
    let latency = &limited["latency"];
    let trips: Vec<u64> = latency["round_trips_us"]
        .as_array()
        .expect("round trips")
        .iter()
        .filter_map(Value::as_u64)
        .collect();
    assert!(trips.len() == 5 && trips.is_sorted(), "{latency}");
    assert!(latency["connect_us"].as_u64() > Some(0), "{latency}");
    let connections = |profile: &Value| {
        let number = |name: &str| profile["connections"][name].as_u64().expect("a number");
        (number("max"), number("active"))
    };
    // One of the role's nine is the profiler's own.
    let (max, active) = connections(&limited);
    assert!(active >= 1 && max - active <= 8, "{max}, {active}");

    // Connections of the server, those kept for superusers apart.
    let free = profile(&cli, database.address(), "public.t");
    let (max, _) = connections(&free);
    assert!((150..=197).contains(&max), "{max} of 200 with 3 reserved");

    let words = cli
        .run(["profile", "public.t", "--source", &database.url()])
        .expect_code(0)
        .stdout;
    for word in ["latency", "connections"] {
        assert!(words.to_lowercase().contains(word), "{words}");
    }
}
